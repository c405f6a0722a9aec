//! Points in time and spans as texts: as clients write them over HTTP and in SQL, and as .NET prints them.

use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// .NET ticks, of 100 ns, in a second.
const TICKS_PER_SECOND: i64 = 10_000_000;
/// Seconds in a day.
const DAY: i64 = 86_400;
/// The longest text that is read.
const MAX_TEXT: usize = 64;

/// A point in time with the text that a client wrote: more digits than a timestamp has, or no zone.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{DateTime, Value};
///
/// let due = DateTime::parse("2026-11-23T08:00:00Z").map(Value::DateTime);
/// assert!(due.is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime {
    ticks: i64,
    text: Arc<str>,
}

impl DateTime {
    /// Reads `2026-11-23T08:00:00[.fraction][Z|±hh:mm]`; without a zone it is UTC.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::DateTime;
    /// assert!(DateTime::parse("2026-11-23T08:00:00+01:00").is_some());
    /// assert!(DateTime::parse("tomorrow").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self { ticks: parse_ticks(text)?, text: text.into() })
    }

    /// The text as it was written.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::DateTime;
    /// let due = DateTime::parse("2026-11-23T08:00:00Z");
    /// assert_eq!(due.as_ref().map(DateTime::text), Some("2026-11-23T08:00:00Z"));
    /// ```
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The point in time in ticks of 100 ns since the year 1.
    pub(super) fn ticks(&self) -> i64 {
        self.ticks
    }

    /// The point in time to the millisecond.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::DateTime;
    /// # use servicebus_core::time::Timestamp;
    /// let due = DateTime::parse("2026-11-23T08:00:00Z").map(|due| due.timestamp());
    /// assert_eq!(due, Some(Timestamp::from_secs(1_795_420_800)));
    /// ```
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_dotnet_ticks(self.ticks)
    }
}

/// The digits from `from` to `to` as a number.
fn field(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// A fraction of a second, from its digits, in ticks; what is below a tick is cut.
fn fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    let digits: String = digits.chars().chain(core::iter::repeat('0')).take(7).collect();
    field(&digits, 0, 7)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the Gregorian calendar before this one, from the year 1 on.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let full = year - 1;
    let years = full * 365 + full / 4 - full / 100 + full / 400;
    years + (1..month).map(|month| days_in_month(year, month)).sum::<i64>() + day - 1
}

/// An ISO 8601 time in ticks since the year 1.
pub(super) fn parse_ticks(text: &str) -> Option<i64> {
    let text = text.trim();
    let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if text.len() > MAX_TEXT
        || !text.is_ascii()
        || !separators.iter().all(|&(at, expected)| text.get(at..at + 1) == Some(expected))
    {
        return None;
    }
    let (year, month, day) = (field(text, 0, 4)?, field(text, 5, 7)?, field(text, 8, 10)?);
    let (hour, minute, second) = (field(text, 11, 13)?, field(text, 14, 16)?, field(text, 17, 19)?);
    if year < 1 || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ticks = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        ticks = fraction(after.get(..end)?)?;
        rest = after.get(end..)?;
    }
    let offset = match rest.split_at_checked(1) {
        None => 0,
        Some(("Z", "")) => 0,
        Some((sign @ ("+" | "-"), zone)) if zone.len() == 5 && zone.get(2..3) == Some(":") => {
            let (hours, minutes) = (field(zone, 0, 2)?, field(zone, 3, 5)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if sign == "-" { -offset } else { offset }
        }
        Some(_) => return None,
    };
    let seconds = days_before(year, month, day) * DAY + hour * 3_600 + minute * 60 + second - offset;
    Some(seconds * TICKS_PER_SECOND + ticks)
}

/// As .NET prints a `DateTime` in the invariant culture.
pub(super) fn print_time(time: Timestamp) -> String {
    let text = time.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!("{}/{}/{} {}", part(5, 7), part(8, 10), part(0, 4), part(11, 19))
}

/// Reads a .NET `TimeSpan` in ticks: `[-][d.]hh:mm[:ss[.fffffff]]`.
pub(super) fn parse_span(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return None;
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (days, rest) = match rest.split_once(':')?.0.split_once('.') {
        Some((days, _)) => (field(days, 0, days.len()).filter(|_| !days.is_empty())?, rest.get(days.len() + 1..)?),
        None => (0, rest),
    };
    let mut parts = rest.splitn(3, ':');
    let mut part = |limit: i64| {
        let digits = parts.next()?;
        field(digits, 0, digits.len()).filter(|value| (1..=2).contains(&digits.len()) && *value <= limit)
    };
    let (hours, minutes) = (part(23)?, part(59)?);
    let (seconds, ticks) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, ticks) = match seconds.split_once('.') {
                Some((whole, digits)) if digits.len() <= 7 => (whole, fraction(digits)?),
                Some(_) => return None,
                None => (seconds, 0),
            };
            let seconds =
                field(whole, 0, whole.len()).filter(|value| (1..=2).contains(&whole.len()) && *value <= 59)?;
            (seconds, ticks)
        }
    };
    let seconds = days.checked_mul(DAY)?.checked_add(hours * 3_600 + minutes * 60 + seconds)?;
    let total = seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(ticks)?;
    Some(if negative { -total } else { total })
}

/// As .NET prints a `TimeSpan`.
pub(super) fn print_span(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let per_second = TICKS_PER_SECOND.unsigned_abs();
    let (seconds, fraction) = (ticks / per_second, ticks % per_second);
    let days = if seconds >= 86_400 { format!("{}.", seconds / 86_400) } else { String::new() };
    let fraction = if fraction > 0 { format!(".{fraction:07}") } else { String::new() };
    format!("{sign}{days}{:02}:{:02}:{:02}{fraction}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_tick() {
        let at = |text: &str| DateTime::parse(text).map(|time| time.ticks());
        assert_eq!(at("0001-01-01T00:00:00"), Some(0));
        assert_eq!(at("0001-01-01T00:00:00.1234567Z"), Some(1_234_567));
        assert_eq!(at("0001-01-01T00:00:00.12345678"), Some(1_234_567));
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "9999-12-31T23:59:59Z"] {
            let time = DateTime::parse(text).unwrap();
            assert_eq!((time.timestamp().to_string().get(..19), time.text()), (text.get(..19), text));
        }
        assert_eq!(at("2000-02-29T01:30:00+01:30"), at("2000-02-29T00:00:00"));
        for bad in [
            "",
            "2020-07-05",
            "2020-07-05 11:12:13",
            "2020-13-05T11:12:13",
            "2019-02-29T00:00:00",
            "2020-07-05T24:00:00",
            "2020-07-05T11:12:13.",
            "2020-07-05T11:12:13.5X",
            "2020-07-05T11:12:13+1:00",
            "2020-07-05T11:12:13+15:00",
            "0000-01-01T00:00:00",
            "2020-07-05T11:12:1é",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(print_time(DateTime::parse("2020-07-05T11:12:13.5Z").unwrap().timestamp()), "07/05/2020 11:12:13");
    }

    #[test]
    fn spans_are_read_and_printed_as_dotnet_does() {
        for (text, ticks) in [
            ("00:00:00", 0),
            ("00:10:00", 6_000_000_000),
            ("1.02:03:04", 937_840_000_000),
            ("-00:00:01.5000000", -15_000_000),
            ("10675199.02:48:05.4775807", i64::MAX),
        ] {
            assert_eq!(parse_span(text), Some(ticks), "{text}");
            assert_eq!(print_span(ticks), text);
        }
        assert_eq!(parse_span("1:2"), parse_span("01:02:00"));
        for bad in [
            "",
            "7",
            "-",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "1.5",
            "00:00:00.12345678",
            "a:b:c",
            ".00:00:00",
            "99999999999.00:00:00",
        ] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }
}
