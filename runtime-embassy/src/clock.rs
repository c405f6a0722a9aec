//! The two clocks: embassy-time's for deadlines, the board's for UTC.

use core::time::Duration;
use embassy_time::{TICK_HZ, Timer};
use servicebus_core::time::{Instant, Timestamp};

/// Where a board gets UTC from: a battery-backed clock, SNTP, a modem.
///
/// UTC goes into the tokens that are made from a shared access key, and into the validity of TLS certificates. A board
/// that cannot tell it uses a ready shared access signature in its connection string and [`FixedUtc`].
///
/// # Examples
///
/// ```
/// use servicebus_embassy::{Timestamp, Utc};
///
/// /// A battery-backed clock that counts seconds since 1970.
/// struct Rtc;
///
/// impl Utc for Rtc {
///     fn now(&self) -> Timestamp {
///         let seconds = 1_767_225_600; // read from its registers
///         Timestamp::from_secs(seconds)
///     }
/// }
/// assert_eq!(Rtc.now().to_string(), "2026-01-01T00:00:00.000Z");
/// ```
pub trait Utc {
    /// UTC now.
    fn now(&self) -> Timestamp;
}

/// UTC that stands still, such as the time the firmware was built at: for boards without a clock.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::{FixedUtc, Timestamp, Utc};
///
/// static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// assert_eq!(UTC.now(), UTC.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FixedUtc(pub Timestamp);

impl Utc for FixedUtc {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// UTC by a closure: `&|| Timestamp::from_secs(rtc.seconds())`.
impl<F: Fn() -> Timestamp> Utc for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// embassy-time's clock.
#[inline(never)]
pub(crate) fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// Waits until `at`; never too short a time, whatever the tick.
pub(crate) async fn sleep_until(at: Instant) {
    Timer::at(embassy_time::Instant::from_ticks(ticks(at.as_micros()))).await;
}

/// The first tick that is not before `micros`.
const fn ticks(micros: u64) -> u64 {
    const MICROS: u64 = Duration::from_secs(1).as_micros() as u64;
    // Seconds and the rest apart, so that nothing overflows.
    (micros / MICROS).saturating_mul(TICK_HZ).saturating_add((micros % MICROS * TICK_HZ).div_ceil(MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;
    // The critical section of embassy-time's queue is std's on the host.
    use critical_section as _;

    #[test]
    fn deadlines_are_rounded_up() {
        assert_eq!(ticks(0), 0);
        assert_eq!(ticks(1), TICK_HZ.div_ceil(1_000_000));
        assert_eq!(ticks(1_500_000), TICK_HZ + TICK_HZ.div_ceil(2));
        assert!(ticks(u64::MAX) >= u64::MAX / 1_000_000);
    }
}
