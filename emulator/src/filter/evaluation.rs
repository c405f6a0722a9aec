//! Evaluation in three-valued logic: `None` is unknown, and so is null to every operator.

use super::error::EvaluationError;
use super::expression::{Comparison, Constant, Expression, Predicate, Property, Statement};
use super::like::Pattern;
use super::number::{arithmetic, converted, equal, order, signed};
use super::property::{MessageProperties, MessagePropertiesMut, SystemProperty};
use super::sql::AbsentSystemProperty;
use super::value::Value;
use servicebus_core::random::Random;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Uuid;
use std::borrow::Cow;

/// What a text is evaluated against.
#[derive(Debug)]
pub(super) struct Environment<'m, 'r, M> {
    pub(super) message: &'m M,
    pub(super) random: &'r mut Random,
    pub(super) absent: AbsentSystemProperty,
}

type Truth = Result<Option<bool>, EvaluationError>;

impl Predicate {
    pub(super) fn evaluate<'a, M: MessageProperties>(&'a self, environment: &mut Environment<'a, '_, M>) -> Truth {
        match self {
            Self::Not(operand) => Ok(operand.evaluate(environment)?.map(|truth| !truth)),
            Self::And(items) => junction(items, environment, false),
            Self::Or(items) => junction(items, environment, true),
            Self::Compare { comparison, left, right } => {
                let left = left.known(environment)?;
                let right = right.known(environment)?;
                let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
                Ok(comparison.holds(&left, &right))
            }
            Self::IsNull { property, negated } => {
                let null = property.find(environment.message).is_none_or(|value| value == Value::Null);
                Ok(Some(null != *negated))
            }
            Self::In { operand, items, negated } => {
                let Some(operand) = operand.known(environment)? else { return Ok(None) };
                // As a chain of `operand = item OR …`.
                let mut found = Some(false);
                for item in items {
                    let item = item.known(environment)?;
                    match item.and_then(|item| equal(&operand, &item)) {
                        Some(true) => {
                            found = Some(true);
                            break;
                        }
                        Some(false) => {}
                        None => found = None,
                    }
                }
                Ok(found.map(|found| found != *negated))
            }
            Self::Like { operand, negated, compiled: Some(pattern), .. } => match operand.known(environment)? {
                Some(Value::String(text)) => Ok(Some(pattern.matches(&text) != *negated)),
                _ => Ok(None),
            },
            Self::Like { operand, pattern, escape, negated, compiled: None } => {
                let operand = operand.known(environment)?;
                let pattern = pattern.known(environment)?;
                let escape = match escape {
                    None => None,
                    Some(escape) => {
                        let Some(escape) = escape.known(environment)? else { return Ok(None) };
                        let mut chars = escape.as_str().unwrap_or_default().chars();
                        let (Some(escape), None) = (chars.next(), chars.next()) else {
                            return Err(EvaluationError::EscapeCharacter);
                        };
                        Some(escape)
                    }
                };
                let (Some(Value::String(text)), Some(Value::String(pattern))) = (operand, pattern) else {
                    return Ok(None);
                };
                let pattern = Pattern::new(&pattern, escape).map_err(|_| EvaluationError::Overflow)?;
                Ok(Some(pattern.matches(&text) != *negated))
            }
            Self::Exists(property) => Ok(Some(property.find(environment.message).is_some())),
        }
    }
}

/// AND (decided by false) or OR (decided by true), left to right; what follows the deciding condition is not evaluated.
fn junction<'a, M: MessageProperties>(
    items: &'a [Predicate],
    environment: &mut Environment<'a, '_, M>,
    decisive: bool,
) -> Truth {
    let mut truth = Some(!decisive);
    for item in items {
        match item.evaluate(environment)? {
            Some(value) if value == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => truth = None,
        }
    }
    Ok(truth)
}

impl Comparison {
    fn holds(self, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => equal(left, right).map(|equal| !equal),
            Self::Greater => order(left, right).map(core::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order(left, right).map(core::cmp::Ordering::is_ge),
            Self::Less => order(left, right).map(core::cmp::Ordering::is_lt),
            Self::LessOrEqual => order(left, right).map(core::cmp::Ordering::is_le),
        }
    }
}

impl Property {
    /// The property's value, [`Value::Null`] included; `None` when the message does not have it.
    fn find<'a, M: MessageProperties>(&self, message: &'a M) -> Option<Value<'a>> {
        match self {
            Self::System(property) => message.system(*property),
            Self::User(name) => message.user(name),
        }
    }
}

impl Expression {
    /// The value, [`Value::Null`] included; `None` when it is unknown.
    pub(super) fn evaluate<'a, M: MessageProperties>(
        &'a self,
        environment: &mut Environment<'a, '_, M>,
    ) -> Result<Option<Value<'a>>, EvaluationError> {
        Ok(match self {
            Self::Constant(constant) => Some(match constant {
                Constant::Null => Value::Null,
                Constant::Boolean(v) => Value::Boolean(*v),
                Constant::Integer(v) => Value::Long(*v),
                Constant::Double(v) => Value::Double(*v),
                Constant::String(text) => Value::String(Cow::Borrowed(text)),
            }),
            Self::Parameter(_, value) => Some(value.borrowed()),
            Self::Property(property) => match (property.find(environment.message), property) {
                (None, Property::System(property)) if environment.absent == AbsentSystemProperty::Error => {
                    return Err(EvaluationError::AbsentSystemProperty(*property));
                }
                (found, _) => found,
            },
            Self::NewId => Some(Value::Uuid(Uuid(environment.random.uuid()))),
            Self::Lookup(name) => match name.known(environment)? {
                Some(Value::String(name)) => environment.message.user(&name),
                Some(_) => return Err(EvaluationError::PropertyName),
                None => None,
            },
            Self::Sign { negative, operand } => match operand.known(environment)? {
                Some(value) => Some(signed(*negative, value)?),
                None => None,
            },
            Self::Arithmetic { operator, operands } => {
                let left = operands.0.known(environment)?;
                let right = operands.1.known(environment)?;
                match (left, right) {
                    (Some(left), Some(right)) => Some(arithmetic(*operator, left, right)?),
                    _ => None,
                }
            }
        })
    }

    /// The value; `None` when it is unknown or null.
    fn known<'a, M: MessageProperties>(
        &'a self,
        environment: &mut Environment<'a, '_, M>,
    ) -> Result<Option<Value<'a>>, EvaluationError> {
        Ok(self.evaluate(environment)?.filter(|value| *value != Value::Null))
    }
}

impl Statement {
    pub(super) fn apply<M: MessagePropertiesMut>(
        &self,
        message: &mut M,
        random: &mut Random,
        absent: AbsentSystemProperty,
    ) -> Result<(), EvaluationError> {
        match self {
            Self::Remove(Property::User(name)) => message.remove_user(name),
            Self::Remove(Property::System(property)) => message.set_system(*property, None),
            Self::Set(target, value) => {
                let mut environment = Environment { message: &*message, random, absent };
                let Some(value) = value.evaluate(&mut environment)? else { return Ok(()) };
                match target {
                    Property::User(name) => {
                        let value = converted(value.into_owned(), &message.user(name).unwrap_or(Value::Null));
                        message.set_user(name, value);
                    }
                    Property::System(property) => {
                        let value = system_value(*property, value)?;
                        message.set_system(*property, value);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The longest id, in characters.
// docs/evidence/wire-protocol.md §8
const MAX_ID: usize = 128;

/// `value` in the type of the system property, as a message can carry it.
fn system_value(property: SystemProperty, value: Value<'_>) -> Result<Option<Value<'static>>, EvaluationError> {
    if value == Value::Null {
        return Ok(None);
    }
    let refused = EvaluationError::Conversion(property);
    let wanted = match property {
        SystemProperty::TimeToLive => Value::Duration(0),
        SystemProperty::ScheduledEnqueueTime => Value::Timestamp(Timestamp::UNIX_EPOCH),
        _ => Value::String(Cow::Borrowed("")),
    };
    let value = converted(value.into_owned(), &wanted);
    match (property, &value) {
        (SystemProperty::TimeToLive, Value::Duration(0..)) => Ok(Some(value)),
        (SystemProperty::ScheduledEnqueueTime, Value::Timestamp(_)) => Ok(Some(value)),
        // A symbol on the wire (AMQP 1.0 §3.2.4), which is ASCII.
        (SystemProperty::ContentType, Value::String(text)) if !text.is_ascii() => Err(refused),
        (property, Value::String(text)) if property.is_id() && text.chars().nth(MAX_ID).is_some() => {
            Err(EvaluationError::IdTooLong(property))
        }
        (property, Value::String(_)) if property.is_text() => Ok(Some(value)),
        _ => Err(refused),
    }
}
