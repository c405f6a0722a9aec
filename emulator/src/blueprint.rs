//! The namespaces and entities that an emulator starts with.
//!
//! # Examples
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use servicebus_emulator::Emulator;
//! use servicebus_emulator::blueprint::{Blueprint, SubscriptionBlueprint, TopicBlueprint};
//!
//! let all = SubscriptionBlueprint { name: "all".into(), ..SubscriptionBlueprint::default() };
//! let events = TopicBlueprint { name: "events".into(), subscriptions: vec![all], ..TopicBlueprint::default() };
//! let shop = Blueprint { topics: vec![events], ..Blueprint::default() };
//! let emulator = Emulator::builder().blueprint(shop).start().await?;
//! # Ok(())
//! # }
//! ```

use crate::broker::Tier;
use crate::broker::entities::{
    AuthorizationRule, EntityError, Namespace, QueueDescription, SubscriptionDescription, TopicDescription,
};
use crate::filter::Rule;
use core::fmt;
use servicebus_core::time::Timestamp;

/// A subscription to be made.
///
/// # Examples
/// ```
/// use servicebus_emulator::blueprint::SubscriptionBlueprint;
/// use servicebus_emulator::broker::entities::SubscriptionDescription;
///
/// let audit = SubscriptionBlueprint {
///     name: "audit".into(),
///     description: SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() },
///     rules: Vec::new(),
/// };
/// assert!(audit.description.requires_session);
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_emulator::blueprint::{SubscriptionBlueprint, TopicBlueprint};
///
/// let names = ["all", "audit"];
/// let events = TopicBlueprint {
///     name: "events".into(),
///     subscriptions: names.map(|name| SubscriptionBlueprint { name: name.into(), ..Default::default() }).to_vec(),
///     ..TopicBlueprint::default()
/// };
/// assert_eq!(events.subscriptions.len(), 2);
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_emulator::blueprint::Blueprint;
/// use servicebus_emulator::broker::Tier;
///
/// let queues = ["orders", "invoices"].map(|name| (name.to_owned(), Default::default())).to_vec();
/// let shop = Blueprint { tier: Some(Tier::Premium), queues, ..Blueprint::default() };
/// assert_eq!(shop.name, None);
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_emulator::blueprint::Blueprint;
/// use servicebus_emulator::{Emulator, StartError};
/// # use servicebus_core::time::{Instant, Timestamp};
/// # use servicebus_emulator::broker::Clock;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
///
/// let shop = Blueprint { queues: vec![("two words".into(), Default::default())], ..Blueprint::default() };
/// match Emulator::builder().blueprint(shop).broker(clock) {
///     Err(StartError::Entity(error)) => assert_eq!(error.entity, "two words"),
///     other => panic!("such a name is not allowed: {other:?}"),
/// }
/// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::blueprint::Blueprint;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().broker(clock)?;
    /// let shop = Blueprint { queues: vec![("orders".into(), Default::default())], ..Blueprint::default() };
    /// broker.with_namespace(clock, |namespace| shop.build(namespace, clock.utc))?;
    /// assert!(broker.namespace().exists("orders"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
