//! Parsed conditions, expressions and statements, and their canonical text.

use super::like::{Pattern, TooLong};
use super::property::SystemProperty;
use super::value::Value;
use core::fmt;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Predicate {
    Not(Box<Predicate>),
    /// Two or more.
    And(Vec<Predicate>),
    /// Two or more.
    Or(Vec<Predicate>),
    Compare {
        comparison: Comparison,
        left: Expression,
        right: Expression,
    },
    IsNull {
        property: Property,
        negated: bool,
    },
    /// One item or more.
    In {
        operand: Expression,
        items: Vec<Expression>,
        negated: bool,
    },
    Like {
        operand: Expression,
        pattern: Expression,
        escape: Option<Expression>,
        negated: bool,
        /// The pattern when no message decides it.
        compiled: Option<Pattern>,
    },
    Exists(Property),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Constant(Constant),
    /// The name without `@`, and what it is bound to.
    Parameter(Box<str>, Value<'static>),
    Property(Property),
    NewId,
    /// `property(name)`
    Lookup(Box<Expression>),
    Sign {
        negative: bool,
        operand: Box<Expression>,
    },
    Arithmetic {
        operator: Operator,
        operands: Box<(Expression, Expression)>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Integer(i64),
    /// Finite.
    Double(f64),
    String(Box<str>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Property {
    System(SystemProperty),
    User(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A statement of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    Set(Property, Expression),
    Remove(Property),
}

/// Words that are never names of properties unless in brackets or quotes.
const RESERVED: &[&str] = &["NOT", "AND", "OR", "IS", "NULL", "IN", "LIKE", "ESCAPE", "EXISTS", "TRUE", "FALSE"];

/// Whether this word is a keyword wherever it stands. `SET` and `REMOVE` are keywords at the start of a statement only.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// How tightly operators bind, loosest first.
pub(super) mod binding {
    pub(in super::super) const OR: i64 = 1;
    pub(in super::super) const AND: i64 = 2;
    pub(in super::super) const NOT: i64 = 3;
    pub(in super::super) const COMPARISON: i64 = 4;
    pub(in super::super) const SUM: i64 = 5;
    pub(in super::super) const PRODUCT: i64 = 6;
    pub(in super::super) const SIGN: i64 = 7;
}

impl Comparison {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

impl Operator {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    const fn binding(self) -> i64 {
        match self {
            Self::Add | Self::Subtract => binding::SUM,
            Self::Multiply | Self::Divide | Self::Remainder => binding::PRODUCT,
        }
    }
}

impl Predicate {
    /// A `LIKE`, whose pattern is prepared where no message decides it.
    pub(super) fn like(
        operand: Expression,
        pattern: Expression,
        escape: Option<Expression>,
        negated: bool,
    ) -> Result<Self, TooLong> {
        let fixed_escape = match &escape {
            None => Some(None),
            Some(escape) => escape.fixed_text().map(|text| text.chars().next()),
        };
        let compiled = match (pattern.fixed_text(), fixed_escape) {
            (Some(text), Some(escape)) => Some(Pattern::new(text, escape)?),
            _ => None,
        };
        Ok(Self::Like { operand, pattern, escape, negated, compiled })
    }

    const fn binding(&self) -> i64 {
        match self {
            Self::Or(_) => binding::OR,
            Self::And(_) => binding::AND,
            Self::Not(_) => binding::NOT,
            Self::Compare { .. } | Self::IsNull { .. } | Self::In { .. } | Self::Like { .. } => binding::COMPARISON,
            Self::Exists(_) => i64::MAX,
        }
    }

    /// The text where only what binds at least as tightly as `least` may stand without parentheses.
    fn print(&self, f: &mut fmt::Formatter<'_>, least: i64) -> fmt::Result {
        if self.binding() < least {
            f.write_str("(")?;
            self.print(f, binding::OR)?;
            return f.write_str(")");
        }
        let not = |negated: bool| if negated { "NOT " } else { "" };
        match self {
            Self::Not(operand) => {
                f.write_str("NOT ")?;
                operand.print(f, binding::NOT)
            }
            Self::And(items) => separated(f, items, " AND ", |f, item| item.print(f, binding::NOT)),
            Self::Or(items) => separated(f, items, " OR ", |f, item| item.print(f, binding::AND)),
            Self::Compare { comparison, left, right } => write!(f, "{left} {} {right}", comparison.symbol()),
            Self::IsNull { property, negated } => write!(f, "{property} IS {}NULL", not(*negated)),
            Self::In { operand, items, negated } => {
                write!(f, "{operand} {}IN (", not(*negated))?;
                separated(f, items, ", ", |f, item| item.print(f, binding::SUM))?;
                f.write_str(")")
            }
            Self::Like { operand, pattern, escape, negated, .. } => {
                write!(f, "{operand} {}LIKE {pattern}", not(*negated))?;
                match escape {
                    Some(escape) => write!(f, " ESCAPE {escape}"),
                    None => Ok(()),
                }
            }
            Self::Exists(property) => write!(f, "EXISTS({property})"),
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
    print: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        print(f, item)?;
    }
    Ok(())
}

impl Expression {
    /// The text when no message decides it.
    pub(super) fn fixed_text(&self) -> Option<&str> {
        match self {
            Self::Constant(Constant::String(text)) => Some(text),
            Self::Parameter(_, value) => value.as_str(),
            _ => None,
        }
    }

    const fn binding(&self) -> i64 {
        match self {
            Self::Arithmetic { operator, .. } => operator.binding(),
            Self::Sign { .. } => binding::SIGN,
            _ => i64::MAX,
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, least: i64) -> fmt::Result {
        if self.binding() < least {
            f.write_str("(")?;
            self.print(f, binding::SUM)?;
            return f.write_str(")");
        }
        match self {
            Self::Constant(constant) => write!(f, "{constant}"),
            Self::Parameter(name, _) => write!(f, "@{name}"),
            Self::Property(property) => write!(f, "{property}"),
            Self::NewId => f.write_str("newid()"),
            Self::Lookup(name) => write!(f, "property({name})"),
            Self::Sign { negative, operand } => {
                f.write_str(if *negative { "-" } else { "+" })?;
                // A number right behind a minus would be read as one negative constant.
                match **operand {
                    Self::Constant(Constant::Integer(_) | Constant::Double(_)) => write!(f, "({operand})"),
                    _ => operand.print(f, binding::SIGN),
                }
            }
            Self::Arithmetic { operator, operands } => {
                operands.0.print(f, operator.binding())?;
                write!(f, " {} ", operator.symbol())?;
                operands.1.print(f, operator.binding() + 1)
            }
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, binding::OR)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, binding::SUM)
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(true) => f.write_str("TRUE"),
            Self::Boolean(false) => f.write_str("FALSE"),
            Self::Integer(v) => write!(f, "{v}"),
            // Debug always keeps a point or an exponent, which is what makes it a double again.
            Self::Double(v) => write!(f, "{v:?}"),
            Self::String(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(property) => write!(f, "{property}"),
            Self::User(name) => {
                let mut chars = name.chars();
                let regular = chars.next().is_some_and(char::is_alphabetic)
                    && chars.all(|c| c == '_' || c.is_alphanumeric())
                    && !is_reserved(name);
                if regular { f.write_str(name) } else { write!(f, "[{}]", name.replace(']', "]]")) }
            }
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(property, value) => write!(f, "SET {property} = {value}"),
            Self::Remove(property) => write!(f, "REMOVE {property}"),
        }
    }
}
