//! Rules in a configuration file of Microsoft's emulator.

use servicebus_core::time::Instant;
use servicebus_emulator::broker::Clock;
use servicebus_emulator::{Emulator, config};
use servicebus_tests::broker::START;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

/// Starts a broker with this file, without sockets: why that is refused.
pub(crate) fn start_refusal(file: &str) -> Option<String> {
    let blueprint = match config::parse(file) {
        Ok(blueprint) => blueprint,
        Err(error) => return Some(error.to_string()),
    };
    let clock = Clock { now: Instant::ZERO, utc: START };
    Emulator::builder().blueprint(blueprint).broker(clock).err().map(|error| error.to_string())
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

#[known_fault("F59")]
fn a_rule_may_have_requires_preprocessing_f59() {
    let mut judge = Judge::new();
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
                "action of a correlation filter",
                r#""FilterType": "Correlation", "CorrelationFilter": { "Label": "x" },
                   "Action": { "SqlExpression": "SET x = 1", "RequiresPreprocessing": VALUE }"#,
            ),
        ] {
            judge.case(
                format!("{name}, {value}"),
                start_refusal(&with_rule(&rule.replace("VALUE", value))),
                Option::is_none,
                |refused| refused.as_ref().is_some_and(|text| text.contains("RequiresPreprocessing")),
            );
        }
    }
    let plain = r#""FilterType": "Correlation", "CorrelationFilter": { "Label": "x" }"#;
    judge.control("without", start_refusal(&with_rule(plain)), Option::is_none);
    let other = r#""FilterType": "Correlation", "CorrelationFilter": { "RequiresPreprocessingX": true }"#;
    judge.control("another key", start_refusal(&with_rule(other)), Option::is_some);
    judge.finish();
}
