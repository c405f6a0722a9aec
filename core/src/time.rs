//! The two clocks of the state machine. Both are arguments; nothing in this crate reads a clock.

mod convert;

pub use convert::TimeOutOfRange;
use core::cmp::Ordering;
use core::fmt;
use core::num::NonZeroU32;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point on a monotonic clock: microseconds since a start of the caller's choosing.
///
/// An `Option` of it takes no more room than itself: the machine keeps many deadlines that may be none.
///
/// # Examples
///
/// ```
/// use servicebus_core::time::{Duration, Instant};
///
/// let started = Instant::from_millis(1_500);
/// let deadline = started + Duration::from_secs(5);
/// assert!(started < deadline);
/// assert_eq!(deadline.saturating_duration_since(started), Duration::from_secs(5));
/// ```
// Two halves: a small machine aligns for words of 32 bits, and a number of 64 would waste room beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instant {
    /// The upper half of the microseconds, and one.
    high: NonZeroU32,
    low: u32,
}

impl Instant {
    /// The start of the clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Instant;
    /// assert_eq!(Instant::ZERO, Instant::from_micros(0));
    /// ```
    pub const ZERO: Self = Self { high: NonZeroU32::MIN, low: 0 };
    /// A point that is never reached.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::{Duration, Instant};
    /// assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
    /// ```
    pub const MAX: Self = Self { high: NonZeroU32::MAX, low: u32::MAX };

    /// Both halves as they are: in the order of time.
    const fn halves(self) -> u64 {
        (self.high.get() as u64) << 32 | self.low as u64
    }

    /// The inverse of [`Instant::halves`].
    const fn of_halves(halves: u64) -> Self {
        match NonZeroU32::new((halves >> 32) as u32) {
            Some(high) => Self { high, low: halves as u32 },
            None => Self::ZERO,
        }
    }

    /// The point `micros` microseconds after the start.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Instant;
    /// assert_eq!(Instant::from_micros(2_000), Instant::from_millis(2));
    /// ```
    pub const fn from_micros(micros: u64) -> Self {
        Self::of_halves(micros.saturating_add(1 << 32))
    }

    /// The point `millis` milliseconds after the start.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Instant;
    /// assert_eq!(Instant::from_millis(3).as_micros(), 3_000);
    /// ```
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the start.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::{Duration, Instant};
    /// let since_boot = Instant::ZERO + Duration::from_millis(7);
    /// assert_eq!(since_boot.as_micros(), 7_000);
    /// ```
    pub const fn as_micros(self) -> u64 {
        self.halves().wrapping_sub(1 << 32)
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::{Duration, Instant};
    /// let (sent, answered) = (Instant::from_millis(10), Instant::from_millis(35));
    /// assert_eq!(answered.saturating_duration_since(sent), Duration::from_millis(25));
    /// assert_eq!(sent.saturating_duration_since(answered), Duration::ZERO);
    /// ```
    #[inline(never)]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.halves().saturating_sub(earlier.halves()))
    }

    /// As [`Instant::saturating_duration_since`], in whole milliseconds.
    #[inline(never)]
    pub(crate) fn left(self, now: Self) -> Millis {
        Millis(u32::try_from(self.halves().saturating_sub(now.halves()) / 1_000).unwrap_or(u32::MAX))
    }

    /// The point that is this much later; saturates, as with durations.
    #[inline(never)]
    pub(crate) fn after(self, millis: Millis) -> Self {
        Self::of_halves(self.halves().saturating_add(u64::from(millis.0) * 1_000))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Self) -> Ordering {
        self.halves().cmp(&other.halves())
    }
}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_micros()).finish()
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a point past the end of the clock is [`Instant::MAX`].
    #[inline(never)]
    fn add(self, rhs: Duration) -> Self {
        Self::of_halves(self.halves().saturating_add(micros(rhs)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the start of the clock.
    fn sub(self, rhs: Duration) -> Self {
        Self::from_micros(self.as_micros().saturating_sub(micros(rhs)))
    }
}

/// A length of time in whole milliseconds, up to 49 days: what the machine's own deadlines are made of. It is one word
/// of a small machine, and a [`Duration`] is three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(u32);

impl Millis {
    /// This many milliseconds.
    pub(crate) const fn new(millis: u32) -> Self {
        Self(millis)
    }

    /// This many seconds.
    pub(crate) const fn from_secs(secs: u32) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Its number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// One of so many parts of it.
    pub(crate) fn part(self, parts: u32) -> Self {
        Self(self.0.checked_div(parts).unwrap_or(0))
    }

    /// What is left of it but for a part of the whole, which is no longer than `most`: when to begin with what takes
    /// that part.
    pub(crate) fn before_end(self, whole: Self, parts: u32, most: Self) -> Self {
        Self(self.0.saturating_sub(whole.part(parts).min(most).0))
    }
}

impl From<Duration> for Millis {
    /// Saturates; fractions of a millisecond are cut.
    #[inline(never)]
    fn from(duration: Duration) -> Self {
        Self(u32::try_from(whole_millis(duration)).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0.into())
    }
}

/// Whole milliseconds, as [`micros`].
fn whole_millis(duration: Duration) -> i64 {
    let millis = duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis().into());
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Whole microseconds, saturating; in 64 bits, which is less code on small machines than `Duration::as_micros`.
#[inline(never)]
pub(crate) const fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros() as u64)
}

/// A point in UTC: milliseconds since the Unix epoch, as AMQP's `timestamp` (AMQP 1.0 §1.6.17).
///
/// ```
/// # #[cfg(feature = "std")]
/// # {
/// use servicebus_core::time::Timestamp;
/// use std::time::{Duration, SystemTime};
///
/// let in_an_hour = Timestamp::from(SystemTime::now() + Duration::from_secs(3_600));
/// assert!(in_an_hour > Timestamp::from_secs(1_700_000_000));
/// # }
/// ```
// Two halves, as with `Instant`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    high: i32,
    low: u32,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// assert_eq!(Timestamp::UNIX_EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
    /// ```
    pub const UNIX_EPOCH: Self = Self::from_millis(0);
    /// .NET's `DateTime.MinValue` (0001-01-01), which Service Bus sends for "not set".
    // docs/evidence/wire-protocol.md §4.7
    #[doc(hidden)]
    pub const DOTNET_MIN: Self = Self::from_millis(-62_135_596_800_000);
    /// .NET's `DateTime.MaxValue` as AMQP encodes it.
    // docs/evidence/wire-protocol.md §5, `get-message-sessions`
    #[doc(hidden)]
    pub const DOTNET_MAX: Self = Self::from_millis(253_402_300_800_000);

    /// Milliseconds since the Unix epoch.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// assert_eq!(Timestamp::from_millis(1_500).to_string(), "1970-01-01T00:00:01.500Z");
    /// ```
    pub const fn from_millis(millis: i64) -> Self {
        Self { high: (millis >> 32) as i32, low: millis as u32 }
    }

    /// Whole seconds since the Unix epoch.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// let built_at = Timestamp::from_secs(1_767_225_600);
    /// assert_eq!(built_at.to_string(), "2026-01-01T00:00:00.000Z");
    /// ```
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// assert_eq!(Timestamp::from_secs(2).as_millis(), 2_000);
    /// ```
    pub const fn as_millis(self) -> i64 {
        (self.high as i64) << 32 | self.low as i64
    }

    /// Whole seconds since the Unix epoch, rounded down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// assert_eq!(Timestamp::from_millis(1_999).as_secs(), 1);
    /// assert_eq!(Timestamp::from_millis(-1).as_secs(), -1);
    /// ```
    pub const fn as_secs(self) -> i64 {
        self.as_millis().div_euclid(1_000)
    }

    /// .NET ticks: 100 ns since 0001-01-01.
    // docs/evidence/wire-protocol.md §4.6
    #[doc(hidden)]
    pub const fn as_dotnet_ticks(self) -> i64 {
        self.as_millis().saturating_mul(10_000).saturating_add(621_355_968_000_000_000)
    }

    /// The inverse of [`Timestamp::as_dotnet_ticks`]; fractions of a millisecond are cut.
    #[doc(hidden)]
    pub const fn from_dotnet_ticks(ticks: i64) -> Self {
        Self::from_millis(ticks.saturating_sub(621_355_968_000_000_000).div_euclid(10_000))
    }

    /// The point that is this much later.
    pub(crate) fn after(self, millis: Millis) -> Self {
        Self::from_millis(self.as_millis().saturating_add(i64::from(millis.0)))
    }

    /// The time from `now` until `self`: zero when that is over, and no more than 49 days.
    #[inline(never)]
    pub(crate) fn left(self, now: Self) -> Millis {
        Millis(u32::try_from(self.as_millis().saturating_sub(now.as_millis()).max(0)).unwrap_or(u32::MAX))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use std::time::Duration;
    /// client.sender("orders")?.send("one").await?;
    /// let receiver = client.receiver("orders")?;
    /// let order = receiver.receive(Duration::from_secs(60)).await?.ok_or("no order")?;
    /// let until = order.locked_until().ok_or("no lock")?;
    /// assert_eq!(until.saturating_duration_since(order.enqueued_time().ok_or("no time")?).as_secs(), 60);
    /// # Ok(())
    /// # });
    /// ```
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        if millis <= 0 { Duration::ZERO } else { Duration::from_millis(millis as u64) }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    #[inline(never)]
    fn add(self, rhs: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_add(whole_millis(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_sub(whole_millis(rhs)))
    }
}

/// ISO 8601 in UTC with milliseconds: `2026-11-23T08:00:00.000Z`.
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.as_millis().div_euclid(86_400_000);
        let millis = self.as_millis().rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (secs, ms) = (millis / 1_000, millis % 1_000);
        let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Proleptic Gregorian date of a day number (0 = 1970-01-01), counting years from March so that the leap day is last.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn timestamps_print_as_iso_8601() {
        assert_eq!(Timestamp::UNIX_EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(951_782_400_123).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Timestamp::DOTNET_MIN.to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::DOTNET_MAX.to_string(), "10000-01-01T00:00:00.000Z");
        let _ = Timestamp::from_millis(i64::MIN).to_string();
    }

    #[test]
    fn ticks_go_both_ways() {
        assert_eq!(Timestamp::DOTNET_MIN.as_dotnet_ticks(), 0);
        let now = Timestamp::from_millis(1_795_413_488_250);
        assert_eq!(Timestamp::from_dotnet_ticks(now.as_dotnet_ticks()), now);
    }

    #[test]
    fn instants_saturate() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO.saturating_duration_since(Instant::MAX), Duration::ZERO);
    }

    #[test]
    fn instants_are_counted_over_the_border_of_their_halves() {
        for micros in [0, 1, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, u64::MAX - (1 << 32)] {
            assert_eq!(Instant::from_micros(micros).as_micros(), micros);
        }
        let border = Instant::from_micros(u64::from(u32::MAX));
        let behind = border + Duration::from_micros(1);
        assert!(border < behind && behind.as_micros() == 1 << 32);
        assert_eq!(behind.saturating_duration_since(border), Duration::from_micros(1));
        assert_eq!(border.after(Millis::new(1)).left(border), Millis::new(1));
        // The last points of the clock are not told apart from its end.
        assert_eq!(Instant::from_micros(u64::MAX), Instant::MAX);
        assert_eq!(Instant::MAX.after(Millis::new(u32::MAX)), Instant::MAX);
        assert_eq!(Instant::MAX.left(Instant::ZERO), Millis::new(u32::MAX));
        assert_eq!(Instant::ZERO.left(Instant::MAX), Millis::new(0));
    }

    #[test]
    fn milliseconds_saturate() {
        assert_eq!(Millis::from(Duration::from_micros(1_999)), Millis::new(1));
        assert_eq!(Millis::from(Duration::MAX), Millis::new(u32::MAX));
        assert_eq!(Millis::from_secs(u32::MAX), Millis::new(u32::MAX));
        assert_eq!(Millis::new(9).part(0), Millis::new(0));
        // A quarter, and no more than two seconds, before the end.
        let most = Millis::from_secs(2);
        assert_eq!(Millis::from_secs(60).before_end(Millis::from_secs(60), 4, most), Millis::from_secs(58));
        assert_eq!(Millis::from_secs(4).before_end(Millis::from_secs(4), 4, most), Millis::from_secs(3));
        assert_eq!(Millis::new(100).before_end(Millis::from_secs(60), 4, most), Millis::new(0));
    }

    #[test]
    fn what_is_left_of_a_time_in_utc_saturates() {
        assert_eq!(Timestamp::from_millis(1_500).left(Timestamp::from_secs(1)), Millis::new(500));
        assert_eq!(Timestamp::UNIX_EPOCH.left(Timestamp::from_secs(1)), Millis::new(0));
        assert_eq!(Timestamp::DOTNET_MAX.left(Timestamp::DOTNET_MIN), Millis::new(u32::MAX));
        assert_eq!(Timestamp::from_millis(i64::MAX).after(Millis::new(1)), Timestamp::from_millis(i64::MAX));
        // The halves are compared as one number, before the epoch too.
        assert!(Timestamp::from_millis(-1) < Timestamp::UNIX_EPOCH);
        assert!(Timestamp::from_millis(-(1 << 32)) < Timestamp::from_millis(-1));
    }
}
