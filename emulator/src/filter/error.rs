//! What can be wrong with a filter's text, and with its evaluation.

use super::property::SystemProperty;
use core::fmt;

/// A filter or action that cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// Where in the text, in bytes from its start; always at a character's boundary.
    pub position: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong with a filter's or action's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Something else should stand here.
    Expected(&'static str),
    /// The text has more characters than the dialect allows.
    TooLong {
        /// [`Dialect::characters`](super::Dialect::characters).
        limit: usize,
    },
    /// The expression is nested more deeply than the dialect allows.
    TooDeep {
        /// [`Dialect::depth`](super::Dialect::depth).
        limit: usize,
    },
    /// The action has more statements than the dialect allows.
    TooManyStatements {
        /// [`Dialect::statements`](super::Dialect::statements).
        limit: usize,
    },
    /// A text or name whose closing quote or bracket is missing.
    Unterminated,
    /// A name without characters.
    EmptyName,
    /// A number outside of what `long` or `double` hold.
    NumberRange,
    /// A scope other than `sys` and `user`.
    UnknownScope,
    /// No system property has this name.
    UnknownSystemProperty,
    /// The system property cannot be changed.
    ReadOnlySystemProperty(SystemProperty),
    /// No function has this name.
    UnknownFunction,
    /// No value was given for the parameter.
    UnboundParameter,
    /// `ESCAPE` needs a text of one character.
    EscapeCharacter,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position;
        match self.kind {
            ParseErrorKind::Expected(what) => write!(f, "expected {what} at {position}"),
            ParseErrorKind::TooLong { limit } => write!(f, "more than {limit} characters"),
            ParseErrorKind::TooDeep { limit } => write!(f, "nested more than {limit} levels deep at {position}"),
            ParseErrorKind::TooManyStatements { limit } => write!(f, "more than {limit} statements at {position}"),
            ParseErrorKind::Unterminated => write!(f, "no closing quote or bracket for the one at {position}"),
            ParseErrorKind::EmptyName => write!(f, "empty name at {position}"),
            ParseErrorKind::NumberRange => write!(f, "number out of range at {position}"),
            ParseErrorKind::UnknownScope => write!(f, "scope other than `sys` and `user` at {position}"),
            ParseErrorKind::UnknownSystemProperty => write!(f, "unknown system property at {position}"),
            ParseErrorKind::ReadOnlySystemProperty(property) => {
                write!(f, "{property} at {position} cannot be changed")
            }
            ParseErrorKind::UnknownFunction => write!(f, "unknown function at {position}"),
            ParseErrorKind::UnboundParameter => write!(f, "parameter without a value at {position}"),
            ParseErrorKind::EscapeCharacter => write!(f, "not a text of one character after ESCAPE at {position}"),
        }
    }
}

impl core::error::Error for ParseError {}

/// A filter or action that cannot be evaluated for a message. The service dead-letters such a message when the
/// subscription says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A division, or remainder, by zero.
    DivisionByZero,
    /// A result outside of its type, or a text beyond 64 KiB.
    Overflow,
    /// Operands that the operator does not take.
    Operands {
        /// `+`, `-`, `*`, `/` or `%`.
        operator: &'static str,
    },
    /// The message lacks the system property, see [`AbsentSystemProperty`](super::AbsentSystemProperty).
    AbsentSystemProperty(SystemProperty),
    /// `property(…)` was given something other than a text.
    PropertyName,
    /// `ESCAPE` was given something other than a text of one character.
    EscapeCharacter,
    /// A value that the system property cannot take.
    Conversion(SystemProperty),
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::Overflow => f.write_str("result out of range"),
            Self::Operands { operator } => write!(f, "operands that `{operator}` does not take"),
            Self::AbsentSystemProperty(property) => write!(f, "the message has no {property}"),
            Self::PropertyName => f.write_str("property() of something other than a text"),
            Self::EscapeCharacter => f.write_str("ESCAPE of something other than one character"),
            Self::Conversion(property) => write!(f, "value of a type that {property} does not take"),
        }
    }
}

impl core::error::Error for EvaluationError {}
