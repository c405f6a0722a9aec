//! Rules in a configuration file of Microsoft's emulator.

use servicebus_core::time::Instant;
use servicebus_emulator::broker::Clock;
use servicebus_emulator::{Emulator, config};
use servicebus_tests::broker::START;

/// Starts a broker with this file, without sockets: why that is refused.
pub(crate) fn start_refusal(file: &str) -> Option<String> {
    let blueprints = match config::parse(file) {
        Ok(blueprints) => blueprints,
        Err(error) => return Some(error.to_string()),
    };
    let clock = Clock { now: Instant::ZERO, utc: START };
    Emulator::builder().configuration(blueprints).broker(clock).err().map(|error| error.to_string())
}

/// A file with one namespace of these queues and topics.
pub(crate) fn file(queues: &str, topics: &str) -> String {
    format!(
        r#"{{ "UserConfig": {{ "Namespaces": [ {{ "Name": "ns", "Queues": [ {queues} ], "Topics": [ {topics} ] }} ],
            "Logging": {{ "Type": "File" }} }} }}"#
    )
}

fn with_rule(properties: &str) -> String {
    let rule = format!(r#"{{ "Name": "r", "Properties": {{ {properties} }} }}"#);
    file("", &format!(r#"{{ "Name": "t", "Subscriptions": [ {{ "Name": "s", "Rules": [ {rule} ] }} ] }}"#))
}

#[test]
fn a_rule_may_have_requires_preprocessing_f59() {
    for value in ["true", "false", "null"] {
        for (name, rule) in [
            (
                "correlation filter",
                r#""FilterType": "Correlation", "CorrelationFilter": { "Label": "x", "RequiresPreprocessing": VALUE }"#,
            ),
            (
                "correlation filter, first",
                r#""FilterType": "Correlation", "CorrelationFilter": { "RequiresPreprocessing": VALUE, "To": "x" }"#,
            ),
            (
                "action of an SQL filter",
                r#""FilterType": "Sql", "SqlFilter": { "SqlExpression": "1=1" },
                   "Action": { "SqlExpression": "SET x = 1", "RequiresPreprocessing": VALUE }"#,
            ),
            (
                "SQL filter",
                r#""FilterType": "Sql", "SqlFilter": { "RequiresPreprocessing": VALUE, "SqlExpression": "1=1" }"#,
            ),
            (
                "action of a correlation filter",
                r#""FilterType": "Correlation", "CorrelationFilter": { "Label": "x" },
                   "Action": { "SqlExpression": "SET x = 1", "RequiresPreprocessing": VALUE }"#,
            ),
        ] {
            assert_eq!(start_refusal(&with_rule(&rule.replace("VALUE", value))), None, "{name}, {value}");
        }
    }
    let plain = r#""FilterType": "Correlation", "CorrelationFilter": { "Label": "x" }"#;
    assert_eq!(start_refusal(&with_rule(plain)), None);
    let other = r#""FilterType": "Correlation", "CorrelationFilter": { "RequiresPreprocessingX": true }"#;
    assert!(start_refusal(&with_rule(other)).is_some());
    let text = plain.replace(r#""x""#, r#""x", "RequiresPreprocessing": "yes""#);
    assert!(start_refusal(&with_rule(&text)).is_some_and(|text| text.contains("RequiresPreprocessing")));
}
