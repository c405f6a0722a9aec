//! Where the server has its time from: the machine, or whoever runs a test.

use crate::broker::Clock;
use servicebus_core::time::{Duration, Instant, Timestamp};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A clock that runs, or one that is moved by hand.
#[derive(Clone, Debug)]
pub enum ClockSource {
    /// The machine's monotonic clock; UTC runs with it from what it was at the start, so that it never jumps.
    System {
        /// The start.
        started: tokio::time::Instant,
        /// UTC at the start.
        utc: Timestamp,
    },
    /// A clock that stands until it is moved.
    Virtual {
        /// UTC at the start.
        utc: Timestamp,
        /// Time since the start.
        elapsed: Arc<watch::Sender<Duration>>,
    },
}

impl ClockSource {
    /// The machine's clock.
    pub fn system() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let utc = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Self::System { started: tokio::time::Instant::now(), utc }
    }

    /// A clock that stands at `utc`.
    pub fn standing_at(utc: Timestamp) -> Self {
        Self::Virtual { utc, elapsed: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// The time.
    pub fn now(&self) -> Clock {
        let (utc, elapsed) = match self {
            Self::System { started, utc } => (*utc, started.elapsed()),
            Self::Virtual { utc, elapsed } => (*utc, *elapsed.borrow()),
        };
        Clock { now: Instant::ZERO + elapsed, utc: utc + elapsed }
    }

    /// Moves a standing clock; one that runs stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Self::Virtual { elapsed, .. } = self {
            elapsed.send_modify(|elapsed| *elapsed += by);
        }
    }

    /// Waits until the clock shows `at`.
    pub async fn sleep_until(&self, at: Instant) {
        match self {
            Self::System { started, .. } => {
                tokio::time::sleep_until(*started + Duration::from_micros(at.as_micros())).await;
            }
            Self::Virtual { elapsed, .. } => {
                let mut elapsed = elapsed.subscribe();
                let waited = elapsed.wait_for(|elapsed| Instant::ZERO + *elapsed >= at).await;
                debug_assert!(waited.is_ok(), "the clock is borrowed");
            }
        }
    }
}
