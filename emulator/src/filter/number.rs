//! Comparison and arithmetic: C#'s promotions where they are defined and harmless, an error where C# would wrap.

use super::error::EvaluationError;
use super::expression::Operator;
use super::value::Value;
use core::cmp::Ordering;
use servicebus_core::time::Timestamp;
use std::borrow::Cow;

/// The longest text that `+` makes: no message's properties may be longer (docs/evidence/wire-protocol.md §8, header
/// map).
const MAX_TEXT: usize = 65_536;

/// .NET ticks in a millisecond.
const TICKS_PER_MILLI: i64 = 10_000;

/// A number of any type.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Double(f64),
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
            Value::Decimal(v) => v.to_integer().map_or_else(|| Self::Double(v.to_f64()), Self::Integer),
            _ => return None,
        })
    }

    /// As C# converts an integer beside a double.
    fn to_f64(self) -> f64 {
        match self {
            Self::Integer(v) => v as f64,
            Self::Double(v) => v,
        }
    }
}

/// The order of two values of kinds that have one; `None` when they cannot be compared.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Char(a), Value::Char(b)) => Some(a.cmp(b)),
        _ => match (Number::of(left)?, Number::of(right)?) {
            (Number::Integer(a), Number::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => a.to_f64().partial_cmp(&b.to_f64()),
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
    if let (Some(a), Some(b)) = (Number::of(&left), Number::of(&right)) {
        return match (a, b) {
            (Number::Integer(a), Number::Integer(b)) => {
                let unsigned = matches!(left, Value::Ulong(_)) || matches!(right, Value::Ulong(_));
                integers(operator, a, b).and_then(|result| narrow(result, unsigned))
            }
            (a, b) => doubles(operator, a.to_f64(), b.to_f64()),
        };
    }
    match (operator, left, right) {
        (Operator::Add, Value::String(a), Value::String(b)) => {
            if a.len().saturating_add(b.len()) > MAX_TEXT {
                return Err(EvaluationError::Overflow);
            }
            Ok(Value::String(Cow::Owned(a.into_owned() + &b)))
        }
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
        _ => Err(EvaluationError::Operands { operator: operator.symbol() }),
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
            (true, Some(Number::Double(v))) => Ok(Value::Double(-v)),
            (_, None) => Err(EvaluationError::Operands { operator: if negative { "-" } else { "+" } }),
        },
    }
}

/// `value` in the numeric type of `existing` when that type can hold it; as it is otherwise.
pub(super) fn converted(value: Value<'static>, existing: &Value<'_>) -> Value<'static> {
    fn fit<T: TryFrom<i128>>(value: i128, wrap: fn(T) -> Value<'static>) -> Option<Value<'static>> {
        T::try_from(value).ok().map(wrap)
    }
    let converted = match (Number::of(&value), existing) {
        (Some(Number::Integer(v)), existing) => match existing {
            Value::Ubyte(_) => fit(v, Value::Ubyte),
            Value::Ushort(_) => fit(v, Value::Ushort),
            Value::Uint(_) => fit(v, Value::Uint),
            Value::Ulong(_) => fit(v, Value::Ulong),
            Value::Byte(_) => fit(v, Value::Byte),
            Value::Short(_) => fit(v, Value::Short),
            Value::Int(_) => fit(v, Value::Int),
            Value::Long(_) => fit(v, Value::Long),
            Value::Float(_) => Some(Value::Float(v as f32)),
            Value::Double(_) => Some(Value::Double(v as f64)),
            _ => None,
        },
        (Some(Number::Double(v)), Value::Double(_)) => Some(Value::Double(v)),
        (Some(Number::Double(v)), Value::Float(_)) if f64::from(v as f32) == v => Some(Value::Float(v as f32)),
        _ => None,
    };
    converted.unwrap_or(value)
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
