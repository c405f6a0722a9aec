//! Which messages a subscription takes, and what it changes on them: filters, actions and rules.
//!
//! - [`Filter`]: always, never, an [`SqlFilter`] or a [`CorrelationFilter`].
//! - [`SqlAction`]: what a rule changes on its copy of a message.
//! - [`Rule`]: a name, a filter and perhaps an action; [`select`] says which copies of a message a set of rules makes.
//! - [`RuleDescription`] and [`Rule::from_description`]: rules as `$management` writes and reads them.
//!
//! Texts are parsed once, under the bounds of a [`Dialect`]; what comes of it is evaluated against anything that
//! implements [`MessageProperties`], without I/O and without a clock. `newid()` takes its randomness from the caller.
//!
//! Conditions have three values. A property that the message lacks is *unknown*, so is `NULL`, and so is a comparison
//! of values that cannot be compared, such as a text with a number: neither a comparison nor its negation matches then.
//! A filter matches when its condition is true.
// docs/evidence/invariants.md §4

mod correlation;
mod decimal;
mod description;
mod error;
mod evaluation;
mod expression;
mod like;
mod number;
mod parser;
mod property;
mod rule;
mod sql;
#[cfg(test)]
mod tests;
mod time;
mod value;

pub use correlation::CorrelationFilter;
pub use decimal::Decimal;
pub use description::{DescriptionError, RuleDescription};
pub use error::{EvaluationError, ParseError, ParseErrorKind};
pub use property::{MessageProperties, MessagePropertiesMut, SystemProperty, UserProperties};
pub use rule::{Filter, Rule, Selection, select};
pub use sql::{AbsentSystemProperty, Dialect, SqlAction, SqlFilter};
pub use time::DateTime;
pub use value::Value;
