//! `$management` for the rules of a subscription.

use super::fault::Refusal;
use super::management::{Call, Reply, argument, body};
use super::response;
use crate::broker::entities::EntityError;
use crate::broker::shared::Shared;
use crate::filter::{Dialect, Rule, RuleDescription};
use servicebus_core::servicebus::Reason;
use servicebus_core::wire::{Compound, Encode, Value};

/// Rules of one page at most.
const MAX_PAGE: usize = 100;

impl Shared {
    pub(super) fn manage_rules(&mut self, name: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        let Some(subscription) = call.address.subscription.filter(|_| call.address.sub_queue.is_none()) else {
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
                let name = call.request.text("rule-name")?.ok_or_else(|| argument("The request names no rule."))?;
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
                let skip = call.request.count("skip", 0)?;
                let top = call.request.count("top", 100)?.min(MAX_PAGE);
                let found = self
                    .namespace
                    .subscription(topic, subscription)
                    .ok_or_else(|| EntityError::NotFound(call.address.to_string()))?;
                let rules: Vec<_> = self.namespace.page_of_rules(found, skip, top).collect();
                if rules.is_empty() {
                    return Ok(Reply::Nothing);
                }
                Ok(body(|out| {
                    response::put_single(out, "rules", |out| {
                        let list = out.begin();
                        for rule in &rules {
                            let map = out.begin();
                            "rule-description".encode(out);
                            RuleDescription { rule: &rule.rule, created_at: rule.created_at }.encode(out);
                            out.end(map, Compound::Map, 2);
                        }
                        out.end(list, Compound::List, rules.len());
                    });
                }))
            }
        }
    }

    fn rule_path(&self, topic: &str, subscription: &str, rule: &str) -> String {
        format!("{}:Topic:{topic}|{subscription}|{rule}", self.tracker.namespace())
    }
}

fn rule_of(call: &Call<'_>) -> Result<Rule, Refusal> {
    let name = call.request.text("rule-name")?.ok_or_else(|| argument("The request names no rule."))?;
    let Some(Value::Map(description)) = call.request.entry("rule-description") else {
        return Err(argument("The request describes no rule."));
    };
    Rule::from_description(name, description, &Dialect::default()).map_err(|error| argument(error.to_string()))
}
