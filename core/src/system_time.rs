//! Times of the standard library. The layers know no clock but the times that they are given.

use crate::time::{Duration, TimeOutOfRange, Timestamp};
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

/// Fallible, as for the types of the crates `chrono`, `jiff` and `time`: on Windows a `SystemTime` begins in 1601.
impl TryFrom<Timestamp> for SystemTime {
    type Error = TimeOutOfRange;

    fn try_from(time: Timestamp) -> Result<Self, TimeOutOfRange> {
        let (millis, epoch) = (time.as_millis(), Self::UNIX_EPOCH);
        let distance = Duration::from_millis(millis.unsigned_abs());
        let time = if millis < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
        time.ok_or(TimeOutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Debug;

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
