//! An action that cannot be carried out never lets the message through as if there were none.

use crate::rule_bench::{Made, changed};
use servicebus_core::servicebus::Message;
use servicebus_core::wire::Value;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

#[known_fault("F77")]
fn a_message_is_not_passed_on_without_its_action_f77() {
    let (long, longer) = ("x".repeat(129), "é".repeat(200));
    let properties = [
        ("accent", Value::from("éclair")),
        ("long", Value::from(long.as_str())),
        ("longer", Value::from(longer.as_str())),
    ];
    let message = Message::new("x").with_application_properties(&properties);
    let mut judge = Judge::new();
    for action in [
        "SET sys.ContentType = 'éclair'",
        "SET sys.ContentType = '日本'",
        "SET sys.ContentType = accent",
        "SET sys.MessageId = long",
        "SET sys.SessionId = long",
        "SET sys.SessionId = longer",
        "SET sys.PartitionKey = long",
        "SET sys.SessionId = 'a'; SET sys.PartitionKey = 'b'",
        "SET sys.TimeToLive = 5",
    ] {
        let made = changed(&format!("{action}; SET z = '1'"), &message);
        judge.case(
            action,
            made,
            |made| matches!(made, Made::Refused(_) | Made::Dead(_)),
            |made| {
                let untouched = |copy: &servicebus_tests::broker::Received| {
                    copy.property("z").is_none() && copy.property("RuleName").is_none()
                };
                made.copy().is_some_and(untouched)
            },
        );
    }
    for action in ["SET sys.ContentType = 'eclair'", "SET sys.SessionId = 'a'; SET sys.PartitionKey = 'a'"] {
        judge.control(action, changed(&format!("{action}; SET z = '1'"), &message), |made| {
            made.copy().is_some_and(|copy| copy.property("z") == Some("1".into()))
        });
    }
    judge.finish();
}
