//! Rules of subscriptions: correlation filters and a little SQL.

use super::Model;
use super::entities::Topic;
use super::messages::Message;

/// A condition of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `color = 'TEXT'`.
    Color(&'static str),
    /// `quantity > NUMBER`.
    More(i64),
    /// `color IS NULL`.
    NoColor,
    /// `NOT (…)`.
    Not(Box<Condition>),
    /// `(…) AND (…)`.
    And(Box<Condition>, Box<Condition>),
    /// `(…) OR (…)`.
    Or(Box<Condition>, Box<Condition>),
}

impl Condition {
    /// Its text, with names in another case: they are not case-sensitive (docs/evidence/pinned-behaviour.md RUL20).
    pub fn sql(&self) -> String {
        match self {
            Self::Color(text) => format!("Color = '{text}'"),
            Self::More(number) => format!("QUANTITY > {number}"),
            Self::NoColor => "color IS NULL".to_owned(),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
            Self::And(one, other) => format!("({}) AND ({})", one.sql(), other.sql()),
            Self::Or(one, other) => format!("({}) OR ({})", one.sql(), other.sql()),
        }
    }

    /// True, false or unknown: a property that is missing makes its comparison unknown
    /// (docs/evidence/wire-protocol.md §7.3).
    pub fn value(&self, message: &Message) -> Option<bool> {
        match self {
            Self::Color(text) => message.color.as_ref().map(|color| color == text),
            Self::More(number) => message.quantity.map(|quantity| quantity > *number),
            Self::NoColor => Some(message.color.is_none()),
            Self::Not(inner) => inner.value(message).map(|value| !value),
            Self::And(one, other) => match (one.value(message), other.value(message)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(one, other) => match (one.value(message), other.value(message)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

/// The messages that a rule takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everything.
    True,
    /// A correlation filter on the property: its value is exact, its name in any case
    /// (docs/evidence/pinned-behaviour.md RUL17 and RUL18).
    Color(&'static str),
    /// Messages for which the condition is true.
    Sql(Condition),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The messages that it takes.
    pub filter: Filter,
}

impl Rule {
    /// The rule of a new subscription (docs/evidence/pinned-behaviour.md RUL1).
    pub fn default_rule() -> Self {
        Self { name: "$Default".to_owned(), filter: Filter::True }
    }

    fn takes(&self, message: &Message) -> bool {
        match &self.filter {
            Filter::True => true,
            Filter::Color(text) => message.color.as_deref() == Some(text),
            Filter::Sql(condition) => condition.value(message) == Some(true),
        }
    }
}

/// The subscriptions that get a copy: one whichever rules without an action match
/// (docs/evidence/service-evidence.md §11), none without a rule (docs/evidence/pinned-behaviour.md RUL3).
pub fn matching(topic: &Topic, message: &Message) -> Vec<String> {
    let takes = |rules: &Vec<Rule>| rules.iter().any(|rule| rule.takes(message));
    topic.subscriptions.iter().filter(|(_, rules)| takes(rules)).map(|(path, _)| path.clone()).collect()
}

impl Model {
    /// The rules of a subscription.
    pub fn rules_of(&mut self, subscription: &str) -> Option<&mut Vec<Rule>> {
        self.topics.values_mut().find_map(|topic| topic.subscriptions.get_mut(subscription))
    }

    fn rules(&mut self, subscription: &str) -> &mut Vec<Rule> {
        self.rules_of(subscription).expect("the subscription exists")
    }

    /// Adds a rule, unless its name is taken (docs/evidence/pinned-behaviour.md RUL8). What is stored already does not
    /// change (RUL30).
    pub fn add_rule(&mut self, subscription: &str, rule: Rule) -> super::Answer {
        let rules = self.rules(subscription);
        if rules.iter().any(|found| found.name == rule.name) {
            return super::Answer::Refused(&["com.microsoft:entity-already-exists"]);
        }
        rules.push(rule);
        super::Answer::Done
    }

    /// Removes a rule (docs/evidence/pinned-behaviour.md RUL9 and RUL10).
    pub fn remove_rule(&mut self, subscription: &str, name: &str) -> super::Answer {
        let rules = self.rules(subscription);
        let Some(at) = rules.iter().position(|rule| rule.name == name) else {
            return super::Answer::Refused(&["amqp:not-found"]);
        };
        rules.remove(at);
        super::Answer::Done
    }
}
