//! The namespaces and entities that an emulator starts with.

use crate::broker::Tier;
use crate::broker::entities::{
    AuthorizationRule, EntityError, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use crate::filter::Rule;
use core::fmt;
use servicebus_core::time::Timestamp;

/// A subscription to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionBlueprint {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub description: SubscriptionDescription,
    /// Its rules; without any it takes everything.
    pub rules: Vec<Rule>,
}

/// A topic to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicBlueprint {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub description: TopicDescription,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionBlueprint>,
}

/// Queues and topics to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blueprint {
    /// The namespace's name.
    pub name: Option<String>,
    /// The pricing tier; `None` for the one that is given otherwise, or Standard.
    pub tier: Option<Tier>,
    /// Whether every transaction may span entities.
    pub cross_entity_transactions: bool,
    /// Keys for the whole namespace, beside the one that every namespace has.
    pub keys: Vec<AuthorizationRule>,
    /// Queues with their settings.
    pub queues: Vec<(String, QueueDescription)>,
    /// Topics.
    pub topics: Vec<TopicBlueprint>,
}

/// Which entity could not be made, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlueprintError {
    /// The path of the entity.
    pub entity: String,
    /// What is wrong with it.
    pub error: EntityError,
}

impl fmt::Display for BlueprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.entity, self.error)
    }
}

impl core::error::Error for BlueprintError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Blueprint {
    /// Makes everything. Entities may forward to each other in any order.
    ///
    /// # Errors
    /// The first entity that cannot be made.
    pub fn build(&self, namespace: &mut Namespace, utc: Timestamp) -> Result<(), BlueprintError> {
        let at = |entity: &str| {
            let entity = entity.to_owned();
            move |error| BlueprintError { entity, error }
        };
        for (name, description) in &self.queues {
            let bare =
                QueueDescription { forward_to: None, forward_dead_lettered_messages_to: None, ..description.clone() };
            namespace.create_queue(name, bare, utc).map_err(at(name))?;
        }
        for topic in &self.topics {
            namespace.create_topic(&topic.name, topic.description.clone(), utc).map_err(at(&topic.name))?;
            for subscription in &topic.subscriptions {
                let path = format!("{}/Subscriptions/{}", topic.name, subscription.name);
                let bare = SubscriptionDescription {
                    forward_to: None,
                    forward_dead_lettered_messages_to: None,
                    ..subscription.description.clone()
                };
                let mut rules = subscription.rules.iter().cloned();
                namespace
                    .create_subscription(&topic.name, &subscription.name, bare, rules.next(), utc)
                    .map_err(at(&path))?;
                for rule in rules {
                    namespace.create_rule(&topic.name, &subscription.name, rule, utc).map_err(at(&path))?;
                }
            }
        }
        for (name, description) in &self.queues {
            if description.forward_to.is_some() || description.forward_dead_lettered_messages_to.is_some() {
                namespace.update_queue(name, description.clone(), utc).map_err(at(name))?;
            }
        }
        for topic in &self.topics {
            for subscription in &topic.subscriptions {
                let description = &subscription.description;
                if description.forward_to.is_some() || description.forward_dead_lettered_messages_to.is_some() {
                    let path = format!("{}/Subscriptions/{}", topic.name, subscription.name);
                    namespace
                        .update_subscription(&topic.name, &subscription.name, description.clone(), utc)
                        .map_err(at(&path))?;
                }
            }
        }
        Ok(())
    }
}
