//! Times of the standard library and of other crates.

use super::{Duration, Timestamp};
use core::fmt;

/// A time beyond the range of the other type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[cfg(feature = "std")]
mod system_time {
    use super::{Duration, TimeOutOfRange, Timestamp};
    use std::time::SystemTime;

    /// Fractions of a millisecond are cut.
    impl From<SystemTime> for Timestamp {
        fn from(time: SystemTime) -> Self {
            match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(since) => Self::UNIX_EPOCH + since,
                // Rounded down, as after the epoch.
                Err(before) => Self::UNIX_EPOCH - (before.duration() + Duration::from_nanos(999_999)),
            }
        }
    }

    impl TryFrom<Timestamp> for SystemTime {
        type Error = TimeOutOfRange;

        fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
            let (millis, epoch) = (time.as_millis(), Self::UNIX_EPOCH);
            let distance = Duration::from_millis(millis.unsigned_abs());
            let time = if millis < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
            time.ok_or(TimeOutOfRange)
        }
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

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use core::fmt::Debug;
    use std::time::SystemTime;

    /// Times that every type holds.
    const TIMES: [Timestamp; 4] = [
        Timestamp::UNIX_EPOCH,
        Timestamp::from_millis(1_795_413_488_250),
        Timestamp::from_millis(-62_000_000_000_001),
        Timestamp::from_millis(253_402_200_000_000),
    ];

    fn there_and_back<T: TryFrom<Timestamp, Error: Debug> + Into<Timestamp>>() {
        for time in TIMES {
            assert_eq!(T::try_from(time).unwrap().into(), time);
        }
    }

    #[test]
    fn times_go_both_ways() {
        there_and_back::<SystemTime>();
        #[cfg(feature = "chrono")]
        there_and_back::<chrono::DateTime<chrono::Utc>>();
        #[cfg(feature = "time")]
        there_and_back::<time::OffsetDateTime>();
        #[cfg(feature = "jiff")]
        there_and_back::<jiff::Timestamp>();
        for time in [0, 7, 253_402_200_000_000].map(Timestamp::from_millis) {
            assert_eq!(Timestamp::from(Duration::try_from(time).unwrap()), time);
        }
        assert_eq!(Duration::try_from(Timestamp::from_millis(-1)), Err(TimeOutOfRange));
        let early = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(Timestamp::from(early), Timestamp::from_millis(-1));
    }

    #[test]
    fn times_beyond_another_type_are_refused() {
        for time in [i64::MIN, i64::MAX].map(Timestamp::from_millis) {
            #[cfg(feature = "chrono")]
            assert_eq!(chrono::DateTime::<chrono::Utc>::try_from(time), Err(TimeOutOfRange));
            #[cfg(feature = "time")]
            assert_eq!(time::OffsetDateTime::try_from(time), Err(TimeOutOfRange));
            #[cfg(feature = "jiff")]
            assert_eq!(jiff::Timestamp::try_from(time), Err(TimeOutOfRange));
            let _ = SystemTime::try_from(time);
        }
    }
}
