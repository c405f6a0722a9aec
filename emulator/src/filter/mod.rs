//! Which messages a subscription takes, and what it changes on them: filters, actions and rules.
//!
//! - [`Filter`]: always, never, an [`SqlFilter`] or a [`CorrelationFilter`].
//! - [`SqlAction`]: what a rule changes on its copy of a message.
//! - [`Rule`]: a name, a filter and perhaps an action.
//!
//! Texts are parsed once, under the bounds of a [`Dialect`]; they are evaluated without I/O and without a clock, and
//! `newid()` takes its randomness from the broker's seed.
//!
//! Conditions have three values. A property that the message lacks is *unknown*, so is `NULL`, and so is a comparison
//! of values that cannot be compared, such as a text with a number: neither a comparison nor its negation matches then.
//! A filter matches when its condition is true.
//!
//! # Examples
//! ```
//! use servicebus_emulator::filter::{Dialect, Filter, Rule, SqlAction, SqlFilter};
//!
//! let dialect = Dialect::default();
//! let rule = Rule {
//!     name: "large".into(),
//!     filter: Filter::Sql(SqlFilter::parse("quantity >= 100", Vec::new(), &dialect)?),
//!     action: Some(SqlAction::parse("SET sys.Label = 'large'", Vec::new(), &dialect)?),
//! };
//! assert_eq!(rule.name, "large");
//! # Ok::<(), servicebus_emulator::filter::ParseError>(())
//! ```
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
#[doc(hidden)]
pub use description::{DescriptionError, RuleDescription};
#[doc(hidden)]
pub use error::EvaluationError;
pub use error::{ParseError, ParseErrorKind};
pub use property::SystemProperty;
#[doc(hidden)]
pub use property::{MessageProperties, MessagePropertiesMut, UserProperties};
pub use rule::{Filter, Rule};
#[doc(hidden)]
pub use rule::{Selection, select};
pub use sql::{AbsentSystemProperty, Dialect, SqlAction, SqlFilter};
pub use time::DateTime;
pub use value::Value;
