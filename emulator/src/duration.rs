//! Durations as ISO 8601 writes them (`P1DT2H3M4.5S`), without years and months, whose lengths vary.

use core::time::Duration;

/// The longest span of .NET as Java writes it; .NET itself writes `P10675199DT2H48M5.4775807S`.
const LONGEST: Duration = Duration::new(922_337_203_685, 477_000_000);

/// A span as a limit: the longest there is stands for none.
// docs/evidence/field-reports.md F25
pub fn limit(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| *duration < LONGEST)
}

/// Reads a duration; `None` for a text that is none.
pub fn parse(text: &str) -> Option<Duration> {
    let rest = text.trim().strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (rest, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut add = |part: &str, units: &[(char, u64)]| -> Option<()> {
        let mut number = String::new();
        let mut left = units;
        for character in part.chars() {
            if character.is_ascii_digit() || character == '.' {
                number.push(character);
                continue;
            }
            // Units come in order, each at most once.
            let at = left.iter().position(|(unit, _)| *unit == character)?;
            let (_, seconds) = left.get(at)?;
            left = left.get(at + 1..)?;
            total = total.checked_add(amount(&number, *seconds)?)?;
            number.clear();
        }
        number.is_empty().then_some(())
    };
    add(days, &[('W', 604_800), ('D', 86_400)])?;
    add(time, &[('H', 3_600), ('M', 60), ('S', 1)])?;
    Some(total)
}

/// A number with up to nine decimals, times so many seconds.
fn amount(number: &str, seconds: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = Duration::from_secs(whole.parse::<u64>().ok()?.checked_mul(seconds)?);
    if fraction.is_empty() {
        return Some(whole);
    }
    let digits: String = fraction.chars().chain(core::iter::repeat('0')).take(9).collect();
    let nanos = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
    whole.checked_add(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("PT1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse("P1DT2H3M4.5S"), Some(Duration::from_millis(93_784_500)));
        assert_eq!(parse("PT20S"), Some(Duration::from_secs(20)));
        let max = parse("P10675199DT2H48M5.4775807S").unwrap();
        assert_eq!(max.subsec_nanos(), 477_580_700);
        assert_eq!((limit(max), limit(parse("P10675199DT2H48M5.477S").unwrap())), (None, None));
        let shorter = parse("P10675199DT2H48M5.476S").unwrap();
        assert_eq!(limit(shorter), Some(shorter));
        for bad in ["", "P", "PT", "1H", "PT1", "PT1X", "PT1S1H", "P1Y", "PT.S", "PT99999999999999999999S", "-PT1S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
