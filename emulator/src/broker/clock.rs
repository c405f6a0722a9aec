//! The time of a call: the broker reads no clock of its own.

use servicebus_core::time::{Duration, Instant, Timestamp};

/// The two clocks at one moment.
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
    #[must_use]
    pub fn after(self, elapsed: Duration) -> Self {
        Self { now: self.now + elapsed, utc: self.utc + elapsed }
    }
}
