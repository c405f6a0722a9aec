//! The time driver: SysTick counts milliseconds; UTC comes from the host.

use core::cell::{Cell, RefCell};
use core::task::Waker;
use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use semihosting::experimental::time::SystemTime;
use servicebus_core::time::Timestamp;

/// SysTick's input.
const CORE_HZ: u32 = 25_000_000;

struct Clock {
    /// Milliseconds since the start.
    now: Mutex<Cell<u64>>,
    /// When the queue wants to be looked at.
    next: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    now: Mutex::new(Cell::new(0)),
    next: Mutex::new(Cell::new(u64::MAX)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|section| self.now.borrow(section).get())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            let mut queue = self.queue.borrow(section).borrow_mut();
            if queue.schedule_wake(at, waker) {
                // A time that has passed comes up with the next tick.
                let next = queue.next_expiration(self.now.borrow(section).get());
                self.next.borrow(section).set(next);
            }
        });
    }
}

/// Lets SysTick interrupt every millisecond.
pub(super) fn start(mut systick: SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(CORE_HZ / 1_000 - 1);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
}

#[exception]
fn SysTick() {
    critical_section::with(|section| {
        let now = CLOCK.now.borrow(section).get() + 1;
        CLOCK.now.borrow(section).set(now);
        if now >= CLOCK.next.borrow(section).get() {
            let next = CLOCK.queue.borrow(section).borrow_mut().next_expiration(now);
            CLOCK.next.borrow(section).set(next);
        }
    });
}

/// The host's clock.
///
/// # Panics
///
/// When the host does not tell.
pub fn utc() -> Timestamp {
    let Ok(since) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { panic!("the host has no clock") };
    Timestamp::from_millis(since.as_millis() as i64)
}
