//! Rules as the management API and as the filter language have them.

use super::refusal::{MORE, Refusal, Speaker};
use crate::filter::{CorrelationFilter, DateTime, Dialect, Filter, ParseError, Rule, SqlAction, SqlFilter, Value};
use servicebus_core::servicebus::LockToken;
use servicebus_core::servicebus::administration::{
    CorrelationRuleFilter, CreateRuleOptions, RuleFilter, RuleProperties, RuleValue, SqlRuleAction, SqlRuleFilter,
    TimeSpan,
};
use servicebus_core::time::Timestamp;
use std::borrow::Cow;

fn to_value(value: &RuleValue) -> Result<Value<'static>, Refusal> {
    Ok(match value {
        RuleValue::String(text) => Value::String(Cow::Owned(text.clone())),
        RuleValue::Int(number) => Value::Int(*number),
        RuleValue::Long(number) => Value::Long(*number),
        RuleValue::Double(number) => Value::Double(*number),
        RuleValue::Boolean(value) => Value::Boolean(*value),
        RuleValue::DateTime(time) => Value::Timestamp(*time),
        RuleValue::Duration(span) => Value::Duration(span.ticks()),
        // A time that is no timestamp keeps its text: docs/evidence/field-reports.md F23, F72.
        RuleValue::Other { kind, text } if kind == "dateTime" => match DateTime::parse(text) {
            Some(time) => Value::DateTime(time),
            None => Value::String(Cow::Owned(text.clone())),
        },
        RuleValue::Other { kind, text } => {
            let parsed = match kind.as_str() {
                "guid" => text.trim().parse::<LockToken>().ok().map(|id| Value::Uuid(id.uuid())),
                "unsignedLong" => text.trim().parse().ok().map(Value::Ulong),
                "decimal" => text.trim().parse().ok().map(Value::Decimal),
                // Types that messages have no properties of are compared as text.
                _ => Some(Value::String(Cow::Owned(text.clone()))),
            };
            parsed.ok_or_else(|| Refusal::setting(&format!("The value '{text}' is no {kind}."), None))?
        }
        _ => Value::Null,
    })
}

/// Rules added over AMQP have values of more types than the API knows: these become the next larger one, or text.
fn from_value(value: &Value<'_>) -> RuleValue {
    match value {
        Value::Boolean(value) => RuleValue::Boolean(*value),
        Value::Ubyte(number) => RuleValue::Int((*number).into()),
        Value::Ushort(number) => RuleValue::Int((*number).into()),
        Value::Byte(number) => RuleValue::Int((*number).into()),
        Value::Short(number) => RuleValue::Int((*number).into()),
        Value::Int(number) => RuleValue::Int(*number),
        Value::Uint(number) => RuleValue::Long((*number).into()),
        Value::Long(number) => RuleValue::Long(*number),
        Value::Ulong(number) => RuleValue::Other { kind: "unsignedLong".into(), text: number.to_string() },
        Value::Float(number) => RuleValue::Double((*number).into()),
        Value::Double(number) => RuleValue::Double(*number),
        Value::Timestamp(time) => RuleValue::DateTime(*time),
        Value::DateTime(time) => RuleValue::Other { kind: "dateTime".into(), text: time.text().into() },
        Value::Duration(ticks) => RuleValue::Duration(TimeSpan::from_ticks(*ticks)),
        Value::String(text) => RuleValue::String(text.clone().into_owned()),
        Value::Char(c) => RuleValue::String(c.to_string()),
        Value::Uuid(uuid) => RuleValue::Other { kind: "guid".into(), text: LockToken::from_uuid(*uuid).to_string() },
        Value::Decimal(number) => RuleValue::Other { kind: "decimal".into(), text: number.to_string() },
        // Bytes are not among the API's types.
        _ => RuleValue::Null,
    }
}

fn to_values(pairs: &[(String, RuleValue)]) -> Result<Vec<(String, Value<'static>)>, Refusal> {
    pairs.iter().map(|(key, value)| Ok((key.clone(), to_value(value)?))).collect()
}

fn from_values(pairs: &[(String, Value<'static>)]) -> Vec<(String, RuleValue)> {
    pairs.iter().map(|(key, value)| (key.clone(), from_value(value))).collect()
}

fn unreadable(error: &ParseError) -> Refusal {
    Refusal { speaker: Speaker::Broker, ..Refusal::bad_request(format!("SubCode=40000. {error} {MORE} ")) }
}

/// The rule that a client describes.
pub(super) fn to_rule(rule: &RuleProperties) -> Result<Rule, Refusal> {
    let dialect = Dialect::default();
    let filter = match &rule.filter {
        RuleFilter::True => Filter::True,
        RuleFilter::False => Filter::False,
        RuleFilter::Sql(sql) => {
            let parsed = SqlFilter::parse(sql.sql_expression.as_str(), to_values(&sql.parameters)?, &dialect);
            Filter::Sql(parsed.map_err(|error| unreadable(&error))?)
        }
        RuleFilter::Correlation(filter) => Filter::Correlation(CorrelationFilter {
            correlation_id: filter.correlation_id.clone(),
            message_id: filter.message_id.clone(),
            to: filter.to.clone(),
            reply_to: filter.reply_to.clone(),
            label: filter.subject.clone(),
            session_id: filter.session_id.clone(),
            reply_to_session_id: filter.reply_to_session_id.clone(),
            content_type: filter.content_type.clone(),
            properties: to_values(&filter.properties)?,
        }),
        other => return Err(Refusal::setting(&format!("The filter {other:?} is not known."), None)),
    };
    let action = match &rule.action {
        None => None,
        Some(action) => Some(
            SqlAction::parse(action.sql_expression.as_str(), to_values(&action.parameters)?, &dialect)
                .map_err(|error| unreadable(&error))?,
        ),
    };
    Ok(Rule { name: rule.name.clone(), filter, action })
}

/// A rule as it is told to a client.
pub(super) fn from_rule(rule: &Rule, created_at: Timestamp) -> RuleProperties {
    let filter = match &rule.filter {
        Filter::False => RuleFilter::False,
        Filter::Sql(sql) => {
            let mut filter = SqlRuleFilter::new(sql.text());
            filter.parameters = from_values(sql.parameters());
            RuleFilter::Sql(filter)
        }
        Filter::Correlation(found) => {
            let mut filter = CorrelationRuleFilter::new();
            filter.correlation_id = found.correlation_id.clone();
            filter.message_id = found.message_id.clone();
            filter.to = found.to.clone();
            filter.reply_to = found.reply_to.clone();
            filter.subject = found.label.clone();
            filter.session_id = found.session_id.clone();
            filter.reply_to_session_id = found.reply_to_session_id.clone();
            filter.content_type = found.content_type.clone();
            filter.properties = from_values(&found.properties);
            RuleFilter::Correlation(filter)
        }
        _ => RuleFilter::True,
    };
    let mut properties = RuleProperties::new(rule.name.clone(), CreateRuleOptions::new().with_filter(filter));
    properties.action = rule.action.as_ref().map(|action| {
        let mut sql = SqlRuleAction::new(action.text());
        sql.parameters = from_values(action.parameters());
        sql
    });
    properties.created_at = Some(created_at);
    properties
}
