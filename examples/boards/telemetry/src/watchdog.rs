//! A watchdog that is fed while every task gets on. An outage of the network is no reason to reset; a task that hangs is.

use core::convert::Infallible;
use core::future::pending;
use core::sync::atomic::{AtomicBool, Ordering};
use defmt::error;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};

/// The time of a hardware watchdog: longer than the longest poll, the signatures of a server's chain.
pub const WATCHDOG_SECONDS: u32 = 8;

/// Runs a board's start, from its radio to the client, and feeds the watchdog for up to `limit`. A start that takes longer, or
/// panics, ends in the watchdog's reset: the network that was missing may be there by then, and a driver that hangs starts anew.
pub async fn bring_up<T>(limit: Duration, start: impl Future<Output = T>, mut feed: impl FnMut()) -> T {
    let feeding = async {
        for _ in 0..limit.as_secs() {
            feed();
            Timer::after_secs(1).await;
        }
        error!("the start takes too long: the watchdog will reset the board");
        pending::<Infallible>().await
    };
    match select(start, feeding).await {
        Either::First(started) => started,
        Either::Second(never) => match never {},
    }
}

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
