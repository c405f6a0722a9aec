//! Durations and points in time as ISO 8601 text, with .NET's ranges.
// docs/evidence/wire-protocol.md §7.2, docs/evidence/service-evidence.md §13.3

use crate::time::{Duration, Timestamp};
use alloc::string::{String, ToString};
use core::fmt::{self, Write};

/// .NET's `TimeSpan.MaxValue`: what the service writes for "never" and "no limit" (`P10675199DT2H48M5.4775807S`).
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::MAX_TIME_SPAN;
/// # servicebus_simulation::administration_example(async |admin| {
/// let orders = admin.get_queue("orders").await?;
/// assert_eq!(orders.auto_delete_on_idle, MAX_TIME_SPAN);
/// # Ok(())
/// # });
/// ```
pub const MAX_TIME_SPAN: Duration = Duration::new(922_337_203_685, 477_580_700);

/// The longest duration or timestamp; longer text is not parsed.
const MAX_TEXT: usize = 64;

const TICKS_PER_SECOND: i64 = 10_000_000;

/// A signed span of time in .NET's unit of 100 ns, as parameters of filters carry it. Settings of entities are plain
/// [`Duration`]s, since they cannot be negative.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use servicebus_core::servicebus::administration::TimeSpan;
///
/// let hour = TimeSpan::from(Duration::from_secs(3_600));
/// assert_eq!(hour.to_string(), "PT1H");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(i64);

impl TimeSpan {
    /// The longest span.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::TimeSpan;
    /// assert_eq!(TimeSpan::MAX.to_string(), "P10675199DT2H48M5.4775807S");
    /// ```
    pub const MAX: Self = Self(i64::MAX);

    /// A span of so many times 100 ns.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::TimeSpan;
    /// assert_eq!(TimeSpan::from_ticks(-15_000_000).to_string(), "-PT1.5S");
    /// ```
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// The span in units of 100 ns.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::administration::TimeSpan;
    /// assert_eq!(TimeSpan::from(Duration::from_secs(1)).ticks(), 10_000_000);
    /// ```
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Reads `P1DT2H3M4.5S` and its parts; a year counts 365 days and a month 30, as .NET counts them. `None` for
    /// anything else and for a span that .NET cannot hold.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use servicebus_core::servicebus::administration::TimeSpan;
    /// assert_eq!(TimeSpan::parse("PT1M30S"), Some(Duration::from_secs(90).into()));
    /// assert_eq!(TimeSpan::parse("90 seconds"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return None;
        }
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut rest = rest.strip_prefix('P')?;
        let mut total: i128 = 0;
        let (mut in_time, mut any, mut last_unit) = (false, false, 0);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('T') {
                if in_time || after.is_empty() {
                    return None;
                }
                (in_time, last_unit, rest) = (true, 0, after);
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = (rest.get(..end)?, rest.get(end..)?);
            let unit = tail.chars().next()?;
            rest = tail.get(unit.len_utf8()..)?;
            let (rank, seconds) = match (in_time, unit) {
                (false, 'Y') => (1, 365 * 86_400),
                (false, 'M') => (2, 30 * 86_400),
                (false, 'W') => (3, 7 * 86_400),
                (false, 'D') => (4, 86_400),
                (true, 'H') => (1, 3_600),
                (true, 'M') => (2, 60),
                (true, 'S') => (3, 1),
                _ => return None,
            };
            if rank <= last_unit {
                return None;
            }
            last_unit = rank;
            // Only seconds have a fraction in what the service writes; a fraction elsewhere is ambiguous.
            let ticks =
                if unit == 'S' { ticks_of_seconds(number)? } else { whole(number)?.checked_mul(TICKS_PER_SECOND)? };
            total += i128::from(ticks) * seconds;
            any = true;
        }
        let total = if negative { -total } else { total };
        any.then(|| i64::try_from(total).ok().map(Self)).flatten()
    }
}

fn whole(number: &str) -> Option<i64> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten()
}

/// Ticks of `seconds[.fraction]`; what is finer than a tick is cut.
fn ticks_of_seconds(number: &str) -> Option<i64> {
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (mut ticks, mut unit) = (0, TICKS_PER_SECOND / 10);
    for digit in fraction.bytes() {
        ticks += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    whole(seconds)?.checked_mul(TICKS_PER_SECOND)?.checked_add(ticks)
}

/// Saturates at [`TimeSpan::MAX`] and cuts what is finer than 100 ns.
impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }
}

/// Refuses a negative span.
impl TryFrom<TimeSpan> for Duration {
    type Error = core::num::TryFromIntError;

    fn try_from(span: TimeSpan) -> Result<Self, Self::Error> {
        let ticks = u64::try_from(span.0)?;
        let second = TICKS_PER_SECOND as u64;
        Ok(Self::new(ticks / second, (ticks % second) as u32 * 100))
    }
}

/// As .NET's `XmlConvert` writes it: `PT1M`, `P2D`, `PT0S`.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.unsigned_abs();
        let second = TICKS_PER_SECOND as u64;
        let (seconds, fraction) = (ticks / second, ticks % second);
        if self.0 < 0 {
            f.write_char('-')?;
        }
        f.write_char('P')?;
        if ticks == 0 {
            return f.write_str("T0S");
        }
        let (days, hours, minutes, left) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if (hours, minutes, left, fraction) == (0, 0, 0, 0) {
            return Ok(());
        }
        f.write_char('T')?;
        if hours > 0 {
            write!(f, "{hours}H")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}M")?;
        }
        match (left, fraction) {
            (0, 0) => Ok(()),
            (left, 0) => write!(f, "{left}S"),
            (left, fraction) => {
                let digits = alloc::format!("{fraction:07}");
                write!(f, "{left}.{}S", digits.trim_end_matches('0'))
            }
        }
    }
}

/// How a point in time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimestampForm {
    /// Trailing zeros of the fraction dropped, as for queues and topics: `2026-11-23T08:00:00.2Z`.
    Trimmed,
    /// Seven digits, as for subscriptions and rules; "never" has neither fraction nor `Z`.
    SevenDigits,
}

/// Writes a point in time; what .NET's `DateTime` cannot hold becomes its first or last value.
pub(super) fn write_timestamp(timestamp: Timestamp, form: TimestampForm) -> String {
    let last = Timestamp::DOTNET_MAX.as_millis() - 1;
    let clamped = Timestamp::from_millis(timestamp.as_millis().clamp(Timestamp::DOTNET_MIN.as_millis(), last));
    let text = clamped.to_string();
    let text = text.trim_end_matches('Z');
    match form {
        TimestampForm::SevenDigits if clamped == Timestamp::DOTNET_MIN => text.trim_end_matches(".000").into(),
        TimestampForm::SevenDigits => alloc::format!("{text}0000Z"),
        TimestampForm::Trimmed => alloc::format!("{}Z", text.trim_end_matches('0').trim_end_matches('.')),
    }
}

/// Reads `2026-11-23T08:00:00[.fraction][Z|±hh:mm]`; without a zone it is UTC, as the service means it. Fractions of a
/// millisecond are cut.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return None;
    }
    let field = |from: usize, to: usize| whole(text.get(from..to)?);
    let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if !separators.iter().all(|&(at, expected)| text.get(at..at + 1) == Some(expected)) {
        return None;
    }
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let fraction = after.get(..end).filter(|digits| !digits.is_empty())?;
        millis = ticks_of_seconds(&alloc::format!("0.{fraction}"))? / 10_000;
        rest = after.get(end..)?;
    }
    let offset_minutes = match rest {
        "" | "Z" => 0,
        zone => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let (hours, minutes) = (whole(hours)?, whole(minutes)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    let seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(Timestamp::from_millis(seconds * 1_000 + millis))
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day number (0 = 1970-01-01) of a date of the Gregorian calendar, counting years from March so that the leap
/// day is last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_go_both_ways() {
        for (text, ticks) in [
            ("PT0S", 0),
            ("PT1M", 60 * TICKS_PER_SECOND),
            ("PT5M30S", 330 * TICKS_PER_SECOND),
            ("P2D", 2 * 86_400 * TICKS_PER_SECOND),
            ("P1DT1H", 90_000 * TICKS_PER_SECOND),
            ("PT0.0000001S", 1),
            ("-PT1.5S", -15_000_000),
            ("P10675199DT2H48M5.4775807S", i64::MAX),
        ] {
            assert_eq!(TimeSpan::parse(text), Some(TimeSpan(ticks)), "{text}");
            assert_eq!(TimeSpan(ticks).to_string(), text);
        }
        assert_eq!(TimeSpan::from(MAX_TIME_SPAN), TimeSpan::MAX);
        assert_eq!(Duration::try_from(TimeSpan::MAX), Ok(MAX_TIME_SPAN));
        assert_eq!(TimeSpan::from(Duration::MAX), TimeSpan::MAX);
        assert!(Duration::try_from(TimeSpan(-1)).is_err());
    }

    #[test]
    fn other_spellings_of_a_duration_are_read() {
        for (text, seconds) in [
            ("P1Y", 31_536_000),
            ("P1M", 2_592_000),
            ("P1W", 604_800),
            ("PT90S", 90),
            ("PT24H", 86_400),
            (" PT060S ", 60),
        ] {
            assert_eq!(TimeSpan::parse(text), Some(TimeSpan(seconds * TICKS_PER_SECOND)), "{text}");
        }
        // The Python SDK sends the longest span with a lower resolution.
        assert!(TimeSpan::parse("P10675199DT2H48M5.477539S").is_some());
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "PT1D",
            "P1H",
            "P1DT",
            "PT1S1M",
            "PT1M1M",
            "PT.5S",
            "PT1.S",
            "PT1.5M",
            "PTS",
            "P-1D",
            "P10675199DT2H48M5.4775808S",
            "P99999999999999999999D",
            "PT1Sx",
            "ü",
            "00:01:00",
        ] {
            assert_eq!(TimeSpan::parse(text), None, "{text}");
        }
        assert_eq!(TimeSpan::parse(&alloc::format!("PT{}S", "0".repeat(100))), None);
    }

    #[test]
    fn timestamps_go_both_ways() {
        let time = parse_timestamp("2021-04-19T17:21:14.73Z").unwrap();
        assert_eq!(time.as_dotnet_ticks(), 637_544_496_747_300_000);
        assert_eq!(write_timestamp(time, TimestampForm::Trimmed), "2021-04-19T17:21:14.73Z");
        assert_eq!(write_timestamp(time, TimestampForm::SevenDigits), "2021-04-19T17:21:14.7300000Z");
        for never in ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z"] {
            assert_eq!(parse_timestamp(never), Some(Timestamp::DOTNET_MIN));
        }
        assert_eq!(write_timestamp(Timestamp::DOTNET_MIN, TimestampForm::Trimmed), "0001-01-01T00:00:00Z");
        assert_eq!(write_timestamp(Timestamp::DOTNET_MIN, TimestampForm::SevenDigits), "0001-01-01T00:00:00");
        assert_eq!(write_timestamp(Timestamp::DOTNET_MAX, TimestampForm::Trimmed), "9999-12-31T23:59:59.999Z");
        assert_eq!(parse_timestamp("2000-02-29T01:30:00+01:30"), Some(Timestamp::from_millis(951_782_400_000)));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.1234567Z"), Some(Timestamp::from_millis(123)));
        for year in [1, 1900, 1999, 2000, 2024, 2100, 9999] {
            let text = alloc::format!("{year:04}-12-31T23:59:59Z");
            assert_eq!(write_timestamp(parse_timestamp(&text).unwrap(), TimestampForm::Trimmed), text);
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "2021",
            "2021-02-29T00:00:00Z",
            "2021-13-01T00:00:00Z",
            "2021-01-01 00:00:00Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:00:00.Z",
            "2021-01-01T00:00:00X",
            "2021-01-01T00:00:00+1",
            "0000-01-01T00:00:00Z",
            "ü021-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
