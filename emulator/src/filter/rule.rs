//! Rules of a subscription, and the copies that they make of a message.

use super::correlation::CorrelationFilter;
use super::error::EvaluationError;
use super::property::{MessageProperties, MessagePropertiesMut};
use super::sql::{SqlAction, SqlFilter};
use super::value::Value;
use servicebus_core::random::Random;
use std::borrow::Cow;

/// The application property that tells a copy's rule.
// docs/evidence/service-evidence.md §11
const RULE_NAME: &str = "RuleName";

/// Which messages a rule takes.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Filter, Rule};
///
/// let text = match Rule::default_rule().filter {
///     Filter::True => "everything".to_owned(),
///     Filter::False => "nothing".to_owned(),
///     Filter::Sql(filter) => filter.text().to_owned(),
///     _ => "by properties".to_owned(),
/// };
/// assert_eq!(text, "everything");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// All of them.
    #[default]
    True,
    /// None.
    False,
    /// Those for which a condition is true.
    Sql(SqlFilter),
    /// Those with given values.
    Correlation(CorrelationFilter),
}

impl Filter {
    /// Whether the filter takes the message; `random` makes the values of `newid()`.
    ///
    /// # Errors
    /// A condition that cannot be evaluated for this message.
    #[doc(hidden)]
    pub fn matches<M: MessageProperties>(&self, message: &M, random: &mut Random) -> Result<bool, EvaluationError> {
        match self {
            Self::True => Ok(true),
            Self::False => Ok(false),
            Self::Sql(filter) => filter.matches(message, random),
            Self::Correlation(filter) => Ok(filter.matches(message)),
        }
    }
}

/// A rule of a subscription.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{CorrelationFilter, Filter, Rule};
///
/// let orders = CorrelationFilter { label: Some("order".into()), ..CorrelationFilter::default() };
/// let rule = Rule { name: "orders".into(), filter: Filter::Correlation(orders), action: None };
/// assert_ne!(rule, Rule::default_rule());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique in the subscription.
    pub name: String,
    /// Which messages the rule takes.
    pub filter: Filter,
    /// What it changes on its copy; without an action it takes the message as it is.
    pub action: Option<SqlAction>,
}

/// Bytes that values take with their names.
pub(super) fn memory_of(values: &[(String, Value<'static>)]) -> usize {
    let text = |value: &Value<'_>| value.as_str().map_or(0, str::len);
    values.iter().map(|(name, value)| size_of::<(String, Value<'_>)>() + name.len() + text(value)).sum()
}

impl Rule {
    /// What a rule takes beside its texts: its places in the tables of subscription and topic.
    const PLACES: usize = 1_536;

    /// Bytes that a rule of a subscription takes.
    pub(crate) fn memory(&self) -> usize {
        let filter = match &self.filter {
            Filter::True | Filter::False => 0,
            Filter::Sql(filter) => filter.memory(),
            Filter::Correlation(filter) => {
                let texts = filter.fields().into_iter().filter_map(|(_, value)| value).map(str::len).sum::<usize>();
                2 * (texts + memory_of(&filter.properties))
            }
        };
        Self::PLACES + 4 * self.name.len() + filter + self.action.as_ref().map_or(0, SqlAction::memory)
    }

    /// The name of the rule that a new subscription starts with.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Rule;
    /// assert_eq!(Rule::default_rule().name, Rule::DEFAULT_NAME);
    /// ```
    pub const DEFAULT_NAME: &'static str = "$Default";

    /// Takes every message as it is: what a new subscription starts with.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::{Filter, Rule};
    /// assert_eq!(Rule::default_rule().filter, Filter::True);
    /// ```
    // docs/evidence/pinned-behaviour.md RUL1
    pub fn default_rule() -> Self {
        Self { name: Self::DEFAULT_NAME.to_owned(), filter: Filter::True, action: None }
    }

    /// Makes the rule's copy of a message out of `copy`, which is the message as it came: carries out the action, then
    /// sets the application property `RuleName`. Without an action nothing happens.
    ///
    /// # Errors
    /// An action that cannot be carried out; `copy` is to be dropped.
    #[doc(hidden)]
    pub fn annotate<M: MessagePropertiesMut>(&self, copy: &mut M, random: &mut Random) -> Result<(), EvaluationError> {
        let Some(action) = &self.action else { return Ok(()) };
        action.apply(copy, random)?;
        copy.set_user(RULE_NAME, Value::String(Cow::Owned(self.name.clone())));
        Ok(())
    }
}

/// What the rules of a subscription make of one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection<'r> {
    /// Whether a rule without action matched: all of those together make one copy, the message as it came.
    pub unchanged: bool,
    /// The rules with action that matched: each makes a copy of its own, see [`Rule::annotate`].
    pub annotated: Vec<&'r Rule>,
    /// The rules that could not be evaluated: these match nothing, and the subscription may dead-letter the message.
    pub errors: Vec<(&'r Rule, EvaluationError)>,
}

impl<'r> Selection<'r> {
    /// How many copies there are.
    pub fn len(&self) -> usize {
        usize::from(self.unchanged) + self.annotated.len()
    }

    /// Whether no rule matched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The copies: the unchanged one first (`None`), then one for each rule with action.
    pub fn copies(&self) -> impl Iterator<Item = Option<&'r Rule>> {
        let unchanged = self.unchanged.then_some(None);
        unchanged.into_iter().chain(self.annotated.iter().copied().map(Some))
    }
}

/// Evaluates the rules of a subscription for a message as it came, in their order.
// docs/evidence/service-evidence.md §11
pub fn select<'r, M: MessageProperties>(
    rules: impl IntoIterator<Item = &'r Rule>,
    message: &M,
    random: &mut Random,
) -> Selection<'r> {
    let mut selection = Selection::default();
    for rule in rules {
        match rule.filter.matches(message, random) {
            Ok(true) if rule.action.is_some() => selection.annotated.push(rule),
            Ok(true) => selection.unchanged = true,
            Ok(false) => {}
            Err(error) => selection.errors.push((rule, error)),
        }
    }
    selection
}
