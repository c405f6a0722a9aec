//! Tests of the language as a whole; parts have their tests beside them.

mod evaluation;
mod grammar;
mod properties;
mod rules;

use super::{
    Dialect, EvaluationError, MessageProperties, MessagePropertiesMut, SqlAction, SqlFilter, SystemProperty,
    UserProperties, Value,
};
use servicebus_core::random::Random;
use std::collections::HashMap;

/// A message as filters see it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    system: HashMap<SystemProperty, Value<'static>>,
    user: UserProperties,
}

impl Message {
    fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: impl Into<Value<'static>>) -> Self {
        self.user.push(name.to_owned(), value.into());
        self
    }

    fn with_system(mut self, property: SystemProperty, value: impl Into<Value<'static>>) -> Self {
        self.system.insert(property, value.into());
        self
    }
}

impl MessageProperties for Message {
    fn system(&self, property: SystemProperty) -> Option<Value<'_>> {
        self.system.get(&property).map(Value::borrowed)
    }

    fn user(&self, name: &str) -> Option<Value<'_>> {
        self.user.get(name).map(Value::borrowed)
    }
}

impl MessagePropertiesMut for Message {
    fn set_system(&mut self, property: SystemProperty, value: Option<Value<'static>>) {
        match value {
            Some(value) => self.system.insert(property, value),
            None => self.system.remove(&property),
        };
    }

    fn set_user(&mut self, name: &str, value: Value<'static>) {
        self.user.set(name, value);
    }

    fn remove_user(&mut self, name: &str) {
        self.user.remove(name);
    }
}

fn random() -> Random {
    Random::seeded(1)
}

fn filter(text: &str) -> SqlFilter {
    SqlFilter::parse(text, Vec::new(), &Dialect::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn action(text: &str) -> SqlAction {
    SqlAction::parse(text, Vec::new(), &Dialect::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn evaluate(text: &str, message: &Message) -> Result<bool, EvaluationError> {
    filter(text).matches(message, &mut random())
}

fn applied(text: &str, message: &Message) -> Result<Message, EvaluationError> {
    let mut copy = message.clone();
    action(text).apply(&mut copy, &mut random()).map(|()| copy)
}
