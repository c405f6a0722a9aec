//! `$management` for the rules of a subscription.

use super::fault::Refusal;
use super::management::{Call, Reply, argument, body};
use super::response;
use crate::broker::entities::{EntityError, FilterDescription, RuleDescription};
use crate::broker::shared::Shared;
use bytes::BytesMut;
use servicebus_core::servicebus::Reason;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::{Compound, Encode, Full, Map, Sink, Value};

/// Descriptors of rules and what they are made of (wire-protocol.md §5); the two vendor prefixes are no mistake.
const RULE: u64 = 0x0000_0137_0000_0004;
const EMPTY_ACTION: u64 = 0x0000_0137_0000_0005;
const SQL_ACTION: u64 = 0x0000_0137_0000_0006;
const SQL_FILTER: u64 = 0x0000_0013_7000_0006;
const TRUE_FILTER: u64 = 0x0000_0013_7000_0007;
const FALSE_FILTER: u64 = 0x0000_0013_7000_0008;
/// The version of the SQL dialect.
const COMPATIBILITY_LEVEL: i32 = 20;
/// Rules of one page at most.
const MAX_PAGE: usize = 100;

impl Shared {
    pub(super) fn manage_rules(&mut self, name: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        let Some(subscription) = call.address.subscription else {
            return Err(EntityError::NotAllowed("Only subscriptions have rules.".into()).into());
        };
        let topic = call.address.entity;
        match name {
            "add-rule" => {
                let rule = rule_of(call)?;
                let name = rule.name.clone();
                self.namespace.create_rule(topic, subscription, rule, call.clock.utc).map_err(|error| match error {
                    EntityError::AlreadyExists(_) => {
                        let path = self.rule_path(topic, subscription, &name);
                        Refusal::new(
                            Reason::EntityAlreadyExists,
                            format!("The messaging entity '{path}' already exists."),
                        )
                    }
                    error => error.into(),
                })?;
                Ok(Reply::Done)
            }
            "remove-rule" => {
                let name = call.request.text("rule-name").ok_or_else(|| argument("The request names no rule."))?;
                self.namespace.delete_rule(topic, subscription, name).map_err(|error| match error {
                    EntityError::RuleNotFound(_) => {
                        let path = self.rule_path(topic, subscription, name);
                        Refusal::new(
                            Reason::EntityNotFound,
                            format!("The messaging entity '{path}' could not be found."),
                        )
                    }
                    error => error.into(),
                })?;
                Ok(Reply::Done)
            }
            _ => {
                let skip = usize::try_from(call.request.number("skip").unwrap_or(0)).unwrap_or(0);
                let top = usize::try_from(call.request.number("top").unwrap_or(100)).unwrap_or(0).min(MAX_PAGE);
                let found = self
                    .namespace
                    .subscription(topic, subscription)
                    .ok_or_else(|| EntityError::NotFound(call.address.to_string()))?;
                let rules: Vec<_> = found.rules.values().skip(skip).take(top).collect();
                if rules.is_empty() {
                    return Ok(Reply::Nothing);
                }
                Ok(body(|out| {
                    response::put_single(out, "rules", |out| {
                        let list = out.begin()?;
                        for rule in &rules {
                            let map = out.begin()?;
                            "rule-description".encode(out)?;
                            put_rule(out, &rule.description, rule.created_at)?;
                            out.end(map, Compound::Map, 2)?;
                        }
                        out.end(list, Compound::List, u32::try_from(rules.len()).map_err(|_| Full)?)
                    })
                }))
            }
        }
    }

    fn rule_path(&self, topic: &str, subscription: &str, rule: &str) -> String {
        format!("{}:Topic:{topic}|{subscription}|{rule}", self.tracker.namespace())
    }
}

fn rule_of(call: &Call<'_>) -> Result<RuleDescription, Refusal> {
    let request = call.request;
    let name = request.text("rule-name").ok_or_else(|| argument("The request names no rule."))?;
    let Some(Value::Map(description)) = request.entry("rule-description") else {
        return Err(argument("The request describes no rule."));
    };
    let nested = |key: &str| match description.get(key) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    };
    let expression = |map: Map<'_>| map.get("expression").and_then(|value| value.as_str()).map(str::to_owned);
    let filter = match (nested("sql-filter"), nested("correlation-filter")) {
        (Some(sql), _) => {
            FilterDescription::Sql(expression(sql).ok_or_else(|| argument("The filter has no expression."))?)
        }
        (None, Some(_)) => return Err(argument("The filter is of a kind that is not known.")),
        (None, None) => FilterDescription::True,
    };
    let action = nested("sql-rule-action").and_then(expression);
    Ok(RuleDescription { name: name.to_owned(), filter, action })
}

fn put_described(
    out: &mut BytesMut,
    code: u64,
    count: u32,
    fields: impl FnOnce(&mut BytesMut) -> Result<(), Full>,
) -> Result<(), Full> {
    out.put(&[0x00, 0x80])?;
    out.put(&code.to_be_bytes())?;
    let mark = out.begin()?;
    fields(out)?;
    out.end(mark, Compound::List, count)
}

fn put_expression(out: &mut BytesMut, code: u64, expression: &str) -> Result<(), Full> {
    put_described(out, code, 2, |out| {
        expression.encode(out)?;
        COMPATIBILITY_LEVEL.encode(out)
    })
}

fn put_rule(out: &mut BytesMut, rule: &RuleDescription, created_at: Timestamp) -> Result<(), Full> {
    put_described(out, RULE, 4, |out| {
        match &rule.filter {
            FilterDescription::True => put_expression(out, TRUE_FILTER, "1=1")?,
            FilterDescription::False => put_expression(out, FALSE_FILTER, "1=0")?,
            FilterDescription::Sql(text) => put_expression(out, SQL_FILTER, text)?,
        }
        match &rule.action {
            None => put_described(out, EMPTY_ACTION, 0, |_| Ok(()))?,
            Some(text) => put_expression(out, SQL_ACTION, text)?,
        }
        rule.name.as_str().encode(out)?;
        created_at.encode(out)
    })
}
