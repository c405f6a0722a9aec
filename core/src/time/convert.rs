//! Times of the standard library and of other crates.

use super::{Duration, Timestamp};
use core::fmt;

/// A time beyond the range of the other type.
///
/// # Examples
///
/// ```
/// use servicebus_core::time::{Duration, TimeOutOfRange, Timestamp};
///
/// assert_eq!(Duration::try_from(Timestamp::from_secs(5)), Ok(Duration::from_secs(5)));
/// assert_eq!(Duration::try_from(Timestamp::from_secs(-5)), Err(TimeOutOfRange));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TimeOutOfRange;

impl fmt::Display for TimeOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is beyond the range of the other type")
    }
}

impl core::error::Error for TimeOutOfRange {}

/// The point that is this long after the Unix epoch; fractions of a millisecond are cut.
impl From<Duration> for Timestamp {
    fn from(since_epoch: Duration) -> Self {
        Self::UNIX_EPOCH + since_epoch
    }
}

/// The time since the Unix epoch.
impl TryFrom<Timestamp> for Duration {
    type Error = TimeOutOfRange;

    fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
        u64::try_from(time.as_millis()).map(Self::from_millis).map_err(|_| TimeOutOfRange)
    }
}

#[cfg(feature = "chrono")]
mod chrono_time {
    use super::{TimeOutOfRange, Timestamp};
    use chrono::{DateTime, TimeZone, Utc};

    /// Fractions of a millisecond are cut.
    impl<Z: TimeZone> From<DateTime<Z>> for Timestamp {
        fn from(time: DateTime<Z>) -> Self {
            Self::from_millis(time.timestamp_millis())
        }
    }

    impl TryFrom<Timestamp> for DateTime<Utc> {
        type Error = TimeOutOfRange;

        fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
            Self::from_timestamp_millis(time.as_millis()).ok_or(TimeOutOfRange)
        }
    }
}

#[cfg(feature = "time")]
mod offset_date_time {
    use super::{TimeOutOfRange, Timestamp};
    use time::OffsetDateTime;

    /// Fractions of a millisecond are cut.
    impl From<OffsetDateTime> for Timestamp {
        fn from(time: OffsetDateTime) -> Self {
            let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
            // The years of that type are of four or six digits.
            Self::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
        }
    }

    impl TryFrom<Timestamp> for OffsetDateTime {
        type Error = TimeOutOfRange;

        fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
            let nanos = i128::from(time.as_millis()) * 1_000_000;
            Self::from_unix_timestamp_nanos(nanos).map_err(|_| TimeOutOfRange)
        }
    }
}

#[cfg(feature = "jiff")]
mod jiff_time {
    use super::{TimeOutOfRange, Timestamp};

    /// Fractions of a millisecond are cut.
    impl From<jiff::Timestamp> for Timestamp {
        fn from(time: jiff::Timestamp) -> Self {
            Self::from_millis(time.as_millisecond())
        }
    }

    impl TryFrom<Timestamp> for jiff::Timestamp {
        type Error = TimeOutOfRange;

        fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
            Self::from_millisecond(time.as_millis()).map_err(|_| TimeOutOfRange)
        }
    }
}
