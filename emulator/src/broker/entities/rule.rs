//! Rules of a subscription: which messages it takes, and what it changes on them.

use super::error::EntityError;
use super::message::Message;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// The rule that a new subscription has.
pub const DEFAULT_RULE: &str = "$Default";

/// A filter as it is described and listed.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterDescription {
    /// Every message.
    True,
    /// No message.
    False,
    /// A condition in the SQL dialect.
    Sql(String),
}

/// A rule as it is described and listed.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDescription {
    /// The name, unique in the subscription.
    pub name: String,
    /// Which messages.
    pub filter: FilterDescription,
    /// What changes on the copy.
    pub action: Option<String>,
}

impl RuleDescription {
    /// The rule that a new subscription has.
    pub fn default_rule() -> Self {
        Self { name: DEFAULT_RULE.into(), filter: FilterDescription::True, action: None }
    }
}

/// A rule in a subscription.
#[derive(Debug)]
pub struct Rule {
    /// The name as it is shown.
    pub name: Arc<str>,
    /// Its description.
    pub description: RuleDescription,
    /// When it was made or last changed.
    pub created_at: Timestamp,
    matches: bool,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`EntityError::InvalidFilter`].
    pub fn new(description: RuleDescription, utc: Timestamp) -> Result<Self, EntityError> {
        let matches = match &description.filter {
            FilterDescription::True => true,
            FilterDescription::False => false,
            FilterDescription::Sql(text) => match text.split_whitespace().collect::<String>().as_str() {
                "1=1" => true,
                "1=0" => false,
                _ => return Err(EntityError::InvalidFilter(format!("'{text}' is no condition that is known here"))),
            },
        };
        if let Some(action) = &description.action {
            return Err(EntityError::InvalidFilter(format!("'{action}' is no action that is known here")));
        }
        Ok(Self { name: Arc::from(description.name.as_str()), description, created_at: utc, matches })
    }

    /// The copy that the rule makes of a message: `None` when it does not match.
    ///
    /// # Errors
    /// A filter or action that cannot be evaluated, as text.
    pub fn apply(&self, message: &Message) -> Result<Option<Copied>, String> {
        let _ = message;
        Ok(self.matches.then_some(Copied::Plain))
    }
}

/// What a matching rule makes.
#[derive(Debug)]
pub enum Copied {
    /// Its part in the one plain copy.
    Plain,
    /// A copy of its own.
    Own(Box<Message>),
}
