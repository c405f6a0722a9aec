//! Filters and actions in Service Bus's SQL.

use super::error::{EvaluationError, ParseError};
use super::evaluation::Environment;
use super::expression::{Predicate, Statement};
use super::parser;
use super::property::{MessageProperties, MessagePropertiesMut};
use super::value::Value;
use core::fmt;
use servicebus_core::random::Random;

/// Bounds on texts, and what the service's documents leave open.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Dialect, ParseErrorKind, SqlFilter};
///
/// let short = Dialect { characters: 10, ..Dialect::default() };
/// let kind = SqlFilter::parse("color = 'red'", Vec::new(), &short).map_err(|error| error.kind);
/// assert_eq!(kind.err(), Some(ParseErrorKind::TooLong { limit: 10 }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Characters in a filter's or an action's text.
    pub characters: usize,
    /// Statements in an action.
    pub statements: usize,
    /// Levels of nesting in an expression; chains of `AND` and of `OR` are one level, chains of arithmetic are as deep
    /// as they are long. Stack space is in proportion to it.
    pub depth: usize,
    /// What a system property is worth that the message lacks.
    pub absent_system_property: AbsentSystemProperty,
}

/// What a system property is worth in an expression when the message lacks it. `IS NULL` and `EXISTS` always find out
/// without an error.
///
/// The service's documents call access to a nonexistent system property an error. No test or report of a live namespace
/// shows whether that means a name that no message has, or a known one that this message leaves out. The default is the
/// first reading, for these reasons:
///
/// - The documents define system properties as those of the message class, where one that is not set is there and null.
/// - They call the correlation filter for a label, a reply address and a colour equivalent to
///   `sys.ReplyTo = '…' AND sys.Label = '…' AND color = '…'`. A correlation filter passes a message without a label
///   over; it would be no equivalent if that message were an error.
/// - Rules that ask `sys.MessageId IS NULL` are accepted, which is a question only where its answer can be yes.
/// - By the second reading, `sys.Label = 'x'` dead-letters each message without a label on a subscription with default
///   settings. Such filters are common, and no report of that was found.
///
/// A name that no message has is refused when the rule is parsed.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{AbsentSystemProperty, Dialect};
///
/// let strict = Dialect { absent_system_property: AbsentSystemProperty::Error, ..Dialect::default() };
/// let dead_letters = match strict.absent_system_property {
///     AbsentSystemProperty::Error => true,
///     AbsentSystemProperty::Unknown => false,
/// };
/// assert!(dead_letters);
/// ```
// docs/evidence/pinned-behaviour.md RUL35
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AbsentSystemProperty {
    /// An [`EvaluationError`], by the letter of the documentation.
    // docs/evidence/wire-protocol.md §7.3
    Error,
    /// Unknown, like an application property that the message lacks.
    #[default]
    Unknown,
}

impl Default for Dialect {
    /// The service's limits, and 64 levels.
    // docs/evidence/wire-protocol.md §7.3 and §9
    fn default() -> Self {
        Self { characters: 1024, statements: 32, depth: 64, absent_system_property: AbsentSystemProperty::default() }
    }
}

/// A condition on messages. Its text is parsed once; evaluation allocates only where the text computes new strings.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Dialect, SqlFilter};
///
/// let filter = SqlFilter::parse("color = 'red' AND quantity > 10", Vec::new(), &Dialect::default())?;
/// assert_eq!(filter.text(), "color = 'red' AND quantity > 10");
/// # Ok::<(), servicebus_emulator::filter::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SqlFilter {
    text: String,
    parameters: Vec<(String, Value<'static>)>,
    predicate: Predicate,
    absent: AbsentSystemProperty,
}

/// Bytes that a parsed text takes at most: a part of it is as short as one character.
fn memory(text: &str, parameters: &[(String, Value<'static>)]) -> usize {
    const CHARACTER: usize = 64;
    CHARACTER * text.len() + super::rule::memory_of(parameters)
}

impl SqlFilter {
    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        memory(&self.text, &self.parameters)
    }

    /// Parses `text`. Parameters are found by name, with or without `@` and in any case.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let limit = vec![("@limit".to_owned(), Value::Long(10))];
    /// let filter = SqlFilter::parse("quantity > @limit", limit, &Dialect::default())?;
    /// assert!(SqlFilter::parse("quantity >", Vec::new(), &Dialect::default()).is_err());
    /// # Ok::<(), ParseError>(())
    /// ```
    pub fn parse(
        text: impl Into<String>,
        parameters: Vec<(String, Value<'static>)>,
        dialect: &Dialect,
    ) -> Result<Self, ParseError> {
        let text = text.into();
        let predicate = parser::predicate(&text, &parameters, dialect)?;
        Ok(Self { text, parameters, predicate, absent: dialect.absent_system_property })
    }

    /// The text as it was given.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let filter = SqlFilter::parse("color='red'", Vec::new(), &Dialect::default())?;
    /// assert_eq!(filter.text(), "color='red'");
    /// # Ok::<(), ParseError>(())
    /// ```
    // docs/evidence/pinned-behaviour.md RUL6
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters as they were given.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let limit = vec![("@limit".to_owned(), Value::Long(10))];
    /// let filter = SqlFilter::parse("quantity > @limit", limit.clone(), &Dialect::default())?;
    /// assert_eq!(filter.parameters(), limit);
    /// # Ok::<(), ParseError>(())
    /// ```
    pub fn parameters(&self) -> &[(String, Value<'static>)] {
        &self.parameters
    }

    /// Whether the condition is true for the message; `random` makes the values of `newid()`.
    ///
    /// # Errors
    /// A condition that cannot be evaluated for this message.
    #[doc(hidden)]
    pub fn matches<M: MessageProperties>(&self, message: &M, random: &mut Random) -> Result<bool, EvaluationError> {
        let mut environment = Environment { message, random, absent: self.absent };
        Ok(self.predicate.evaluate(&mut environment)? == Some(true))
    }
}

/// The condition in its canonical form, which parses to the same condition.
impl fmt::Display for SqlFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(f)
    }
}

/// What a rule changes on its copy of a message.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Dialect, SqlAction};
///
/// let action = SqlAction::parse("SET priority = 'high'; REMOVE color", Vec::new(), &Dialect::default())?;
/// assert_eq!(action.text(), "SET priority = 'high'; REMOVE color");
/// # Ok::<(), servicebus_emulator::filter::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SqlAction {
    text: String,
    parameters: Vec<(String, Value<'static>)>,
    statements: Vec<Statement>,
    absent: AbsentSystemProperty,
}

impl SqlAction {
    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        memory(&self.text, &self.parameters)
    }

    /// Parses `text`. Parameters are found by name, with or without `@` and in any case.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let read_only = SqlAction::parse("SET sys.SequenceNumber = 1", Vec::new(), &Dialect::default());
    /// let kind = read_only.map_err(|error| error.kind).err();
    /// assert_eq!(kind, Some(ParseErrorKind::ReadOnlySystemProperty(SystemProperty::SequenceNumber)));
    /// ```
    pub fn parse(
        text: impl Into<String>,
        parameters: Vec<(String, Value<'static>)>,
        dialect: &Dialect,
    ) -> Result<Self, ParseError> {
        let text = text.into();
        let statements = parser::statements(&text, &parameters, dialect)?;
        Ok(Self { text, parameters, statements, absent: dialect.absent_system_property })
    }

    /// The text as it was given.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let action = SqlAction::parse("SET color = 'red'", Vec::new(), &Dialect::default())?;
    /// assert_eq!(action.text(), "SET color = 'red'");
    /// # Ok::<(), ParseError>(())
    /// ```
    // docs/evidence/pinned-behaviour.md RUL6
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters as they were given.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::*;
    /// let action = SqlAction::parse("SET color = 'red'", Vec::new(), &Dialect::default())?;
    /// assert!(action.parameters().is_empty());
    /// # Ok::<(), ParseError>(())
    /// ```
    pub fn parameters(&self) -> &[(String, Value<'static>)] {
        &self.parameters
    }

    /// Carries out the statements in order; each sees what those before it changed. A statement whose value is unknown
    /// changes nothing. `SET` keeps the numeric type of the property it changes where that type holds the new value, and
    /// of a system property it sets to `NULL` it makes an absent one.
    ///
    /// # Errors
    /// A statement that cannot be carried out on this message. Those before it have been: the copy is to be dropped.
    #[doc(hidden)]
    pub fn apply<M: MessagePropertiesMut>(&self, message: &mut M, random: &mut Random) -> Result<(), EvaluationError> {
        self.statements.iter().try_for_each(|statement| statement.apply(message, random, self.absent))
    }
}

/// The statements in their canonical form, which parses to the same statements.
impl fmt::Display for SqlAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, statement) in self.statements.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{statement}")?;
        }
        Ok(())
    }
}
