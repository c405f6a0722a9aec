//! A watchdog that is fed while every task gets on. An outage of the network is no reason to reset; a task that hangs is.

use core::sync::atomic::{AtomicBool, Ordering};
use embassy_futures::select::select;
use embassy_time::Timer;

/// The time of a hardware watchdog: longer than the longest poll, the signatures of a server's chain.
pub const WATCHDOG_SECONDS: u32 = 8;

/// A flag for each task that has to get on.
#[derive(Debug)]
pub struct Beats<const N: usize>([AtomicBool; N]);

impl<const N: usize> Beats<N> {
    /// No task has got on yet.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        Self([const { AtomicBool::new(false) }; N])
    }

    /// Runs a task's future; its flag is set each second in which the task is polled.
    pub async fn keep<F: Future>(&self, task: usize, future: F) {
        let beat = async {
            loop {
                self.0[task].store(true, Ordering::Relaxed);
                Timer::after_secs(1).await;
            }
        };
        select(future, beat).await;
    }

    /// Feeds the watchdog whenever all flags are set.
    pub async fn watch(&self, mut feed: impl FnMut()) {
        loop {
            Timer::after_secs(2).await;
            if self.0.iter().all(|beat| beat.load(Ordering::Relaxed)) {
                // No swap: a Cortex-M0+ has none. A beat in between would be lost at worst.
                self.0.iter().for_each(|beat| beat.store(false, Ordering::Relaxed));
                feed();
            }
        }
    }
}
