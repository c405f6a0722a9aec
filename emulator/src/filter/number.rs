//! Comparison and arithmetic: C#'s promotions where they are defined and harmless, an error where C# would wrap.

use super::decimal::{Decimal, Fixed};
use super::error::EvaluationError;
use super::expression::Operator;
use super::time::{parse_span, parse_ticks};
use super::value::Value;
use core::cmp::Ordering;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::borrow::Cow;

/// The longest text that `+` makes: no message's properties may be longer.
// docs/evidence/wire-protocol.md §8, header map
const MAX_TEXT: usize = 65_536;

/// .NET ticks in a millisecond.
const TICKS_PER_MILLI: i64 = 10_000;

/// A number of any type.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Decimal(Fixed),
    Double(f64),
}

/// Two numbers of one type.
enum Pair {
    Integers(i128, i128),
    Decimals(Fixed, Fixed),
    Doubles(f64, f64),
}

impl Number {
    fn of(value: &Value<'_>) -> Option<Self> {
        Some(match *value {
            Value::Ubyte(v) => Self::Integer(v.into()),
            Value::Ushort(v) => Self::Integer(v.into()),
            Value::Uint(v) => Self::Integer(v.into()),
            Value::Ulong(v) => Self::Integer(v.into()),
            Value::Byte(v) => Self::Integer(v.into()),
            Value::Short(v) => Self::Integer(v.into()),
            Value::Int(v) => Self::Integer(v.into()),
            Value::Long(v) => Self::Integer(v.into()),
            Value::Float(v) => Self::Double(v.into()),
            Value::Double(v) => Self::Double(v),
            Value::Decimal(v) => Fixed::of(v).map_or_else(|| Self::Double(v.to_f64()), Self::Decimal),
            _ => return None,
        })
    }

    /// A number, or the code of a character, which C# takes for one in comparisons and arithmetic.
    fn of_operand(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Char(c) => Some(Self::Integer(u32::from(*c).into())),
            value => Self::of(value),
        }
    }

    /// As C# converts an integer beside a double.
    fn to_f64(self) -> f64 {
        match self {
            Self::Integer(v) => v as f64,
            Self::Decimal(v) => Decimal::from(v).to_f64(),
            Self::Double(v) => v,
        }
    }

    fn to_fixed(self) -> Option<Fixed> {
        match self {
            Self::Integer(v) => Fixed::of_integer(v),
            Self::Decimal(v) => Some(v),
            Self::Double(v) => Fixed::of_double(v),
        }
    }

    /// The number when it is whole.
    fn to_integer(self) -> Option<i128> {
        match self {
            Self::Integer(v) => Some(v),
            Self::Decimal(v) => v.to_integer(),
            Self::Double(v) if v.fract() == 0.0 && v.abs() < 1e38 => Some(v as i128),
            Self::Double(_) => None,
        }
    }
}

impl Pair {
    /// Integers beside a decimal become decimals, and beside a double doubles, as in C#. A decimal beside a double,
    /// which C# refuses, makes that a decimal as a cast would, since a constant such as `10.5` is a double; one that no
    /// decimal can hold makes doubles of both.
    // docs/evidence/field-reports.md F52
    fn of(left: Number, right: Number) -> Self {
        let doubles = Self::Doubles(left.to_f64(), right.to_f64());
        match (left, right) {
            (Number::Integer(a), Number::Integer(b)) => Self::Integers(a, b),
            (Number::Decimal(_), _) | (_, Number::Decimal(_)) => match (left.to_fixed(), right.to_fixed()) {
                (Some(a), Some(b)) => Self::Decimals(a, b),
                _ => doubles,
            },
            _ => doubles,
        }
    }
}

/// A point in time in ticks.
fn ticks(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Timestamp(at) => Some(at.as_dotnet_ticks()),
        Value::DateTime(at) => Some(at.ticks()),
        _ => None,
    }
}

/// The order of two values of kinds that have one; `None` when they cannot be compared.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Timestamp(_) | Value::DateTime(_), Value::Timestamp(_) | Value::DateTime(_)) => {
            Some(ticks(left)?.cmp(&ticks(right)?))
        }
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => match Pair::of(Number::of_operand(left)?, Number::of_operand(right)?) {
            Pair::Integers(a, b) => Some(a.cmp(&b)),
            Pair::Decimals(a, b) => Some(a.order(b)),
            Pair::Doubles(a, b) => a.partial_cmp(&b),
        },
    }
}

/// Whether two values are equal; `None` when they cannot be compared.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    match (left, right) {
        (Value::Boolean(a), Value::Boolean(b)) => Some(a == b),
        (Value::Uuid(a), Value::Uuid(b)) => Some(a == b),
        (Value::Binary(a), Value::Binary(b)) => Some(a == b),
        _ => order(left, right).map(Ordering::is_eq),
    }
}

/// The value of a binary operator; neither operand is null.
pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: Value<'a>,
    right: Value<'a>,
) -> Result<Value<'a>, EvaluationError> {
    if let (Some(a), Some(b)) = (Number::of_operand(&left), Number::of_operand(&right)) {
        return match Pair::of(a, b) {
            Pair::Integers(a, b) => {
                let unsigned = matches!(left, Value::Ulong(_)) || matches!(right, Value::Ulong(_));
                integers(operator, a, b).and_then(|result| narrow(result, unsigned))
            }
            Pair::Decimals(a, b) => decimals(operator, a, b),
            Pair::Doubles(a, b) => doubles(operator, a, b),
        };
    }
    let refused = EvaluationError::Operands { operator: operator.symbol() };
    // A text and any other value are put together, as in C# (docs/evidence/field-reports.md F53).
    if operator == Operator::Add && (left.as_str().is_some() || right.as_str().is_some()) {
        let (Some(a), Some(b)) = (left.to_text(), right.to_text()) else { return Err(refused) };
        if a.len().saturating_add(b.len()) > MAX_TEXT {
            return Err(EvaluationError::Overflow);
        }
        return Ok(Value::String(Cow::Owned(a.into_owned() + &b)));
    }
    match (operator, as_message_value(left), as_message_value(right)) {
        (Operator::Add, Value::Timestamp(at), Value::Duration(ticks))
        | (Operator::Add, Value::Duration(ticks), Value::Timestamp(at)) => shifted(at, Some(ticks)),
        (Operator::Subtract, Value::Timestamp(at), Value::Duration(ticks)) => shifted(at, ticks.checked_neg()),
        (Operator::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            let millis = a.as_millis().checked_sub(b.as_millis());
            let ticks = millis.and_then(|millis| millis.checked_mul(TICKS_PER_MILLI));
            ticks.map(Value::Duration).ok_or(EvaluationError::Overflow)
        }
        (Operator::Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(b).map(Value::Duration).ok_or(EvaluationError::Overflow)
        }
        (Operator::Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(b).map(Value::Duration).ok_or(EvaluationError::Overflow)
        }
        _ => Err(refused),
    }
}

/// A time as a message has it.
fn as_message_value(value: Value<'_>) -> Value<'_> {
    match value {
        Value::DateTime(at) => Value::Timestamp(at.timestamp()),
        value => value,
    }
}

/// The value under a sign; it is not null.
pub(super) fn signed(negative: bool, value: Value<'_>) -> Result<Value<'_>, EvaluationError> {
    match (negative, value) {
        (true, Value::Duration(ticks)) => ticks.checked_neg().map(Value::Duration).ok_or(EvaluationError::Overflow),
        (false, value @ Value::Duration(_)) => Ok(value),
        (negative, value) => match (negative, Number::of(&value)) {
            (false, Some(_)) => Ok(value),
            (true, Some(Number::Integer(v))) => narrow(-v, false),
            (true, Some(Number::Decimal(v))) => Ok(Value::Decimal(v.negated().into())),
            (true, Some(Number::Double(v))) => Ok(Value::Double(-v)),
            (_, None) => Err(EvaluationError::Operands { operator: if negative { "-" } else { "+" } }),
        },
    }
}

/// `value` in the type of `existing` when it can be converted without a loss; as it is otherwise.
// docs/evidence/field-reports.md F54
pub(super) fn converted(value: Value<'static>, existing: &Value<'_>) -> Value<'static> {
    let value = as_message_value(value);
    let converted = match existing {
        Value::String(_) => value.to_text().map(|text| Value::String(Cow::Owned(text.into_owned()))),
        existing => match &value {
            Value::String(text) => read(text.trim(), existing),
            value => Number::of(value).and_then(|number| fitted(number, existing)),
        },
    };
    converted.unwrap_or(value)
}

/// A number in the numeric type of `existing`; `None` when that cannot hold it.
fn fitted(number: Number, existing: &Value<'_>) -> Option<Value<'static>> {
    fn fit<T: TryFrom<i128>>(number: Number, wrap: fn(T) -> Value<'static>) -> Option<Value<'static>> {
        T::try_from(number.to_integer()?).ok().map(wrap)
    }
    match existing {
        Value::Ubyte(_) => fit(number, Value::Ubyte),
        Value::Ushort(_) => fit(number, Value::Ushort),
        Value::Uint(_) => fit(number, Value::Uint),
        Value::Ulong(_) => fit(number, Value::Ulong),
        Value::Byte(_) => fit(number, Value::Byte),
        Value::Short(_) => fit(number, Value::Short),
        Value::Int(_) => fit(number, Value::Int),
        Value::Long(_) => fit(number, Value::Long),
        Value::Decimal(_) => number.to_fixed().map(|number| Value::Decimal(number.into())),
        Value::Double(_) => Some(Value::Double(number.to_f64())),
        Value::Float(_) => match number {
            Number::Double(v) if f64::from(v as f32) != v => None,
            number => Some(Value::Float(number.to_f64() as f32)),
        },
        _ => None,
    }
}

/// A text in the type of `existing`; `None` for a text of no such value.
fn read(text: &str, existing: &Value<'_>) -> Option<Value<'static>> {
    match existing {
        Value::Boolean(_) if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
        Value::Boolean(_) if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
        Value::Timestamp(_) => parse_ticks(text).map(|ticks| Value::Timestamp(Timestamp::from_dotnet_ticks(ticks))),
        Value::Duration(_) => parse_span(text).map(Value::Duration),
        Value::Uuid(_) => text.parse::<LockToken>().ok().map(|id| Value::Uuid(id.uuid())),
        Value::Char(_) => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none()).map(Value::Char)
        }
        Value::Float(_) => text.parse().ok().filter(|v: &f32| v.is_finite()).map(Value::Float),
        Value::Double(_) => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Value::Double),
        Value::Decimal(_) => text.parse().ok().map(Value::Decimal),
        existing => fitted(Number::Integer(text.parse().ok()?), existing),
    }
}

fn decimals(operator: Operator, a: Fixed, b: Fixed) -> Result<Value<'static>, EvaluationError> {
    if b.is_zero() && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(EvaluationError::DivisionByZero);
    }
    let result = match operator {
        Operator::Add => a.plus(b),
        Operator::Subtract => a.plus(b.negated()),
        Operator::Multiply => a.times(b),
        Operator::Divide => a.over(b),
        Operator::Remainder => a.modulo(b),
    };
    result.map(|result| Value::Decimal(result.into())).ok_or(EvaluationError::Overflow)
}

fn integers(operator: Operator, a: i128, b: i128) -> Result<i128, EvaluationError> {
    if b == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(EvaluationError::DivisionByZero);
    }
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
    }
    .ok_or(EvaluationError::Overflow)
}

/// A `long`, or a `ulong` where one took part.
fn narrow(result: i128, unsigned: bool) -> Result<Value<'static>, EvaluationError> {
    match (i64::try_from(result), u64::try_from(result)) {
        (Ok(long), _) => Ok(Value::Long(long)),
        (Err(_), Ok(ulong)) if unsigned => Ok(Value::Ulong(ulong)),
        _ => Err(EvaluationError::Overflow),
    }
}

fn doubles(operator: Operator, a: f64, b: f64) -> Result<Value<'static>, EvaluationError> {
    if b == 0.0 && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(EvaluationError::DivisionByZero);
    }
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
    };
    if a.is_finite() && b.is_finite() && !result.is_finite() {
        return Err(EvaluationError::Overflow);
    }
    Ok(Value::Double(result))
}

fn shifted(at: Timestamp, ticks: Option<i64>) -> Result<Value<'static>, EvaluationError> {
    // Timestamps count milliseconds: what a duration has below them is cut.
    let millis = ticks.and_then(|ticks| at.as_millis().checked_add(ticks.div_euclid(TICKS_PER_MILLI)));
    millis.map(|millis| Value::Timestamp(Timestamp::from_millis(millis))).ok_or(EvaluationError::Overflow)
}
