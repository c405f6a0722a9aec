//! The time of a call: the broker reads no clock of its own.

use servicebus_core::time::{Duration, Instant, Timestamp};

/// The two clocks at one moment.
///
/// # Examples
/// ```
/// use servicebus_core::time::{Instant, Timestamp};
/// use servicebus_emulator::broker::Clock;
///
/// let start = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// assert_eq!(start.now.as_micros(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic clock: heartbeats, idle links, waits.
    pub now: Instant,
    /// UTC: locks, times to live, schedules, tokens.
    pub utc: Timestamp,
}

impl Clock {
    /// The monotonic time at which UTC reaches `deadline`; UTC is read in milliseconds, so the next one is meant.
    pub(crate) fn instant_of(&self, deadline: Timestamp) -> Instant {
        self.now + deadline.saturating_duration_since(self.utc)
    }

    /// The moment that is `elapsed` later.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::broker::Clock;
    /// # let start = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// let tomorrow = start.after(Duration::from_secs(86_400));
    /// assert_eq!(tomorrow.utc, Timestamp::from_secs(1_795_086_400));
    /// ```
    #[must_use]
    pub fn after(self, elapsed: Duration) -> Self {
        Self { now: self.now + elapsed, utc: self.utc + elapsed }
    }
}
