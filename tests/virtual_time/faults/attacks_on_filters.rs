//! Work that one message can make for the rules of a topic.

use servicebus_core::random::Random;
use servicebus_emulator::filter::{Dialect, MessageProperties, SqlFilter, SystemProperty, Value};
use std::time::{Duration, Instant};

/// A message with one property.
struct Property(String);

impl MessageProperties for Property {
    fn system(&self, _: SystemProperty) -> Option<Value<'_>> {
        None
    }

    fn user(&self, name: &str) -> Option<Value<'_>> {
        (name == "p").then(|| Value::String(self.0.as_str().into()))
    }
}

/// The time of one evaluation, the shortest of six.
fn time(text: &str, pattern: &str, escape: &str) -> Duration {
    let filter = SqlFilter::parse(format!("p LIKE '{pattern}'{escape}"), Vec::new(), &Dialect::default()).unwrap();
    let (property, mut random) = (Property(text.to_owned()), Random::seeded(1));
    let run = || {
        let begun = Instant::now();
        assert!(!filter.matches(&property, &mut random).unwrap());
        begun.elapsed()
    };
    std::iter::repeat_with(run).take(6).min().unwrap_or_default()
}

/// A pattern of this length.
type Pattern = fn(usize) -> String;

/// Time for a pattern of 900 characters against one of 30: a match in linear time walks the text once for either.
#[test]
#[ignore = "tests/run all: wall clock"]
fn like_takes_time_for_the_text_and_not_for_every_start_of_the_pattern_a4() {
    let shapes: [(&str, char, Pattern, &str); 7] = [
        ("%aa…ab", 'a', |length| format!("%{}b", "a".repeat(length)), ""),
        ("%aa…ab%", 'a', |length| format!("%{}b%", "a".repeat(length)), ""),
        ("%__…_b", 'a', |length| format!("%{}b", "_".repeat(length)), ""),
        ("a%aa…ab", 'a', |length| format!("a%{}b", "a".repeat(length)), ""),
        ("%éé…éb", 'é', |length| format!("%{}b", "é".repeat(length / 2)), ""),
        ("escaped", 'a', |length| format!("%{}b", "!a".repeat(length / 2)), " ESCAPE '!'"),
        // No % at all: the match ends at the first character that differs.
        ("ba…a", 'a', |length| format!("b{}", "a".repeat(length)), ""),
    ];
    for (name, character, pattern, escape) in shapes {
        let text = String::from(character).repeat(3_000);
        let (short, long) = (time(&text, &pattern(30), escape), time(&text, &pattern(900), escape));
        let ratio = long.as_secs_f64() / short.as_secs_f64().max(1e-6);
        assert!(ratio <= 5.0, "{name}: {ratio}");
    }
}
