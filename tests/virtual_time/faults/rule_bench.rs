//! One rule and one message: the rule is created over HTTP, the copies are received.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::servicebus::administration::{
    CreateRuleOptions, RuleFilter, RuleProperties, SqlRuleAction, SqlRuleFilter,
};
use servicebus_emulator::broker::entities::SubscriptionDescription;
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::{Ended, Received, World};
use std::fmt;

/// The result of a rule.
#[derive(Clone)]
pub(crate) enum Made {
    /// The rule was refused, with this text.
    Refused(String),
    /// The copies that the subscription got.
    Copies(Vec<Received>),
    /// The message is in the dead-letter queue, for this reason.
    Dead(String),
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Copies(copies) => write!(f, "{} copies", copies.len()),
            Self::Dead(reason) => write!(f, "dead: {reason}"),
        }
    }
}

impl Made {
    /// The only copy.
    pub(crate) fn copy(&self) -> Option<&Received> {
        match self {
            Self::Copies(copies) if copies.len() == 1 => copies.first(),
            _ => None,
        }
    }

    /// Whether evaluation failed.
    pub(crate) fn failed(&self) -> bool {
        matches!(self, Self::Dead(reason) if reason == "FilterEvaluationException")
    }
}

/// A topic `t` with a subscription `s` without rules, and a client.
pub(crate) fn world() -> (World, usize) {
    let mut world = World::new();
    world.topic("t", &[("s", SubscriptionDescription::default())]);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| namespace.delete_rule("t", "s", "$Default")).unwrap();
    let c = world.connect();
    (world, c)
}

/// Lets a rule meet a message.
pub(crate) fn made(filter: RuleFilter, action: Option<&str>, message: &MessageRef<'_>) -> Made {
    let (mut world, c) = world();
    let mut options = CreateRuleOptions::new().with_filter(filter);
    if let Some(action) = action {
        options = options.with_action(SqlRuleAction::new(action));
    }
    let admin = Administrator::default();
    let request = admin.requests.create_rule("t", "s", &RuleProperties::new("rule", options));
    let response = admin.run(&mut world, request);
    if response.status != 201 {
        return Made::Refused(text(&response));
    }
    let sender = world.sender(c, "t").unwrap();
    assert_eq!(world.send(c, sender, message), Ended::Accepted);
    let receiver = world.receiver(c, "t/Subscriptions/s").unwrap();
    let copies = world.receive_now(c, receiver, 10);
    let dead = world.receiver(c, "t/Subscriptions/s/$DeadLetterQueue").unwrap();
    match world.receive_now(c, dead, 1).first() {
        Some(dead) => Made::Dead(dead.reason().unwrap_or_default().to_owned()),
        None => Made::Copies(copies),
    }
}

/// Lets an action change a message.
pub(crate) fn changed(action: &str, message: &MessageRef<'_>) -> Made {
    made(RuleFilter::True, Some(action), message)
}

/// Whether an SQL filter takes a message with these properties.
pub(crate) fn matches(filter: &str, message: &MessageRef<'_>) -> Made {
    made(SqlRuleFilter::new(filter).into(), None, message)
}
