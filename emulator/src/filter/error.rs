//! What can be wrong with a filter's text, and with its evaluation.

use super::property::SystemProperty;
use core::fmt;

/// A filter or action that cannot be created. It is displayed in the service's words.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Dialect, ParseError, SqlFilter};
///
/// let filter: Result<SqlFilter, ParseError> = SqlFilter::parse("color = red'", Vec::new(), &Dialect::default());
/// let place = filter.map_err(|error| (error.line, error.column)).err();
/// assert_eq!(place, Some((1, 11)));
/// ```
// docs/evidence/field-reports.md F58
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// Where in the text, in bytes from its start; always at a character's boundary.
    pub position: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
    /// The line, from 1 on.
    pub line: usize,
    /// The characters before it in its line.
    pub column: usize,
    /// The word, number, text or operator there; empty at the end.
    pub token: String,
}

/// Most characters of a token that are shown.
const MAX_TOKEN: usize = 64;

impl ParseError {
    pub(super) fn new(text: &str, position: usize, kind: ParseErrorKind) -> Self {
        let (before, rest) = text.split_at_checked(position).unwrap_or((text, ""));
        // What follows blanks is what was not understood.
        let token = rest.trim_start();
        let before = text.get(..text.len() - token.len()).unwrap_or(before);
        let (line, start) = match before.rfind('\n') {
            Some(at) => (before.matches('\n').count() + 1, at + 1),
            None => (1, 0),
        };
        let column = before.get(start..).unwrap_or_default().chars().count();
        Self { position, kind, line, column, token: token_of(token).chars().take(MAX_TOKEN).collect() }
    }
}

/// The token at the beginning of a text without blanks there.
fn token_of(text: &str) -> &str {
    let is_word = |c: char| c == '_' || c == '@' || c.is_alphanumeric();
    let end = match text.chars().next() {
        None => 0,
        Some(quote @ ('\'' | '"' | '[')) => {
            let closing = if quote == '[' { ']' } else { quote };
            text.get(1..).and_then(|rest| rest.find(closing)).map_or(text.len(), |at| at + 2)
        }
        Some(first) if is_word(first) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
        Some(_) if ["<>", "<=", ">=", "!="].iter().any(|operator| text.starts_with(operator)) => 2,
        Some(first) => first.len_utf8(),
    };
    text.get(..end).unwrap_or_default()
}

/// What is wrong with a filter's or action's text.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Dialect, ParseErrorKind, SqlFilter};
///
/// let text = match SqlFilter::parse("sys.Colour = 'red'", Vec::new(), &Dialect::default()) {
///     Ok(filter) => filter.to_string(),
///     Err(error) if error.kind == ParseErrorKind::UnknownSystemProperty => "no system property".to_owned(),
///     Err(error) => error.to_string(),
/// };
/// assert_eq!(text, "no system property");
/// ```
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
    /// The pattern of a `LIKE` is longer than a filter's text can be.
    PatternTooLong,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, token, kind, .. } = self;
        write!(
            f,
            "There was an error parsing the SQL expression. [Token line={line}, column={column}, Token in error= {token}, \
             Additional details= {kind}]"
        )
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::TooLong { limit } => write!(f, "more than {limit} characters"),
            Self::TooDeep { limit } => write!(f, "nested more than {limit} levels deep"),
            Self::TooManyStatements { limit } => write!(f, "more than {limit} statements"),
            Self::Unterminated => f.write_str("no closing quote or bracket"),
            Self::EmptyName => f.write_str("empty name"),
            Self::NumberRange => f.write_str("number out of range"),
            Self::UnknownScope => f.write_str("scope other than `sys` and `user`"),
            Self::UnknownSystemProperty => f.write_str("unknown system property"),
            Self::ReadOnlySystemProperty(property) => write!(f, "{property} cannot be changed"),
            Self::UnknownFunction => f.write_str("unknown function"),
            Self::UnboundParameter => f.write_str("parameter without a value"),
            Self::EscapeCharacter => f.write_str("not a text of one character after ESCAPE"),
            Self::PatternTooLong => f.write_str("a pattern of more than 1024 characters"),
        }
    }
}

impl core::error::Error for ParseError {}

/// A filter or action that cannot be evaluated for a message. The service dead-letters such a message when the
/// subscription says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A division, or remainder, by zero.
    DivisionByZero,
    /// A result outside of its type, a text beyond 64 KiB, or a pattern of a message beyond 1 024 characters.
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
    /// An id of more than 128 characters.
    IdTooLong(SystemProperty),
    /// The result of an action is no message that could have been sent, for instance with a partition key other than its
    /// session id.
    Refused(String),
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
            Self::Conversion(property) => write!(f, "value that {property} does not take"),
            Self::IdTooLong(property) => write!(f, "more than 128 characters in {property}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for EvaluationError {}
