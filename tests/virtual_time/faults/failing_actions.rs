//! An action that cannot be carried out never lets the message through as if there were none.

use crate::rule_bench::{Made, changed};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::Value;

#[test]
fn a_message_is_not_passed_on_without_its_action_f77() {
    let (long, longer) = ("x".repeat(129), "é".repeat(200));
    let properties = [
        ("accent", Value::from("éclair")),
        ("long", Value::from(long.as_str())),
        ("longer", Value::from(longer.as_str())),
    ];
    let message = MessageRef::new("x").with_properties(&properties);
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
        "SET sys.TimeToLive = 'soon'",
        "SET sys.TimeToLive = '-00:10:00'",
        "SET sys.ScheduledEnqueueTimeUtc = 'soon'",
        "SET sys.ReplyToSessionId = long",
        "SET sys.MessageId = 'x' + newid() + long",
        "SET sys.ContentType = newid() + 'é'",
        "SET a = 1 / 0",
    ] {
        let made = changed(&format!("{action}; SET z = '1'"), &message);
        assert!(matches!(made, Made::Refused(_) | Made::Dead(_)), "{action}: {made:?}");
    }
    for action in [
        "SET sys.ContentType = 'eclair'",
        "SET sys.SessionId = 'a'; SET sys.PartitionKey = 'a'",
        "SET sys.MessageId = newid()",
        "SET sys.SessionId = newid() + long; SET sys.SessionId = newid()",
        "SET sys.ContentType = 5",
    ] {
        // An action is carried out whole or not at all.
        let made = changed(&format!("{action}; SET z = '1'"), &message);
        let is_carried_out = made
            .copy()
            .is_some_and(|copy| copy.property("z") == Some("1".into()) && copy.property("RuleName").is_some());
        assert_eq!(is_carried_out, !action.contains("+ long"), "{action}: {made:?}");
    }
}
