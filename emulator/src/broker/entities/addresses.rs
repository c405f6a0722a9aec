//! What addresses stand for: where senders send to, and the stores that receivers receive from.

use super::error::EntityError;
use super::name;
use super::namespace::{Namespace, StoreId};
use super::queue::Stores;
use servicebus_core::servicebus::Address;

/// Where messages can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendTarget {
    /// The key of the queue or topic.
    pub entity: String,
    /// The largest message in bytes.
    pub max_message_size: u64,
}

impl Namespace {
    /// Whether there is a queue or topic of this name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert!(broker.namespace().exists("Orders"));
    /// assert!(!broker.namespace().exists("invoices"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exists(&self, entity: &str) -> bool {
        let key = name::key(entity);
        self.queues.contains_key(&key) || self.topics.contains_key(&key)
    }

    /// Finds out where a sender with this address sends to.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], [`EntityError::NotAllowed`] for subscriptions and sub-queues,
    /// [`EntityError::Disabled`].
    #[doc(hidden)]
    pub fn sender(&self, address: &Address<'_>) -> Result<SendTarget, EntityError> {
        let key = name::key(address.entity);
        let (status, name) = if let Some(queue) = self.queues.get(&key) {
            (queue.description.status, &queue.name)
        } else if let Some(topic) = self.topics.get(&key) {
            (topic.description.status, &topic.name)
        } else {
            return Err(EntityError::NotFound(address.to_string()));
        };
        if address.subscription.is_some() {
            return Err(EntityError::NotAllowed("Cannot create a message sender for a subscription".into()));
        }
        if address.sub_queue.is_some() {
            return Err(EntityError::NotAllowed("Cannot create a message sender for a sub-queue".into()));
        }
        if !status.can_send() {
            return Err(EntityError::Disabled(name.clone()));
        }
        let max_message_size = self.max_message_size(&key);
        Ok(SendTarget { entity: key, max_message_size })
    }

    /// The largest message in bytes that the queue or topic of this key takes.
    pub(in crate::broker) fn max_message_size(&self, key: &str) -> u64 {
        let of_queue = self.queues.get(key).map(|queue| queue.description.max_message_size_in_kilobytes);
        let of_topic = || self.topics.get(key).map(|topic| topic.description.max_message_size_in_kilobytes);
        let kilobytes = of_queue.or_else(of_topic).flatten();
        kilobytes.unwrap_or(self.tier().default_message_kilobytes()) * 1_024
    }

    /// Finds the store that a receiver with this address receives from.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], [`EntityError::NotAllowed`] for a topic and for an entity that forwards,
    /// [`EntityError::Disabled`].
    #[doc(hidden)]
    pub fn receiver(&self, address: &Address<'_>) -> Result<StoreId, EntityError> {
        let stores = self.stores_of(address)?;
        let key = name::key(address.entity);
        let (status, forwards) = match (self.queues.get(&key), address.subscription) {
            (Some(queue), _) => (queue.description.status, queue.description.forward_to.is_some()),
            (None, Some(subscription)) => {
                let found = self.subscription(address.entity, subscription);
                found.map_or((Default::default(), false), |found| {
                    (found.description.status, found.description.forward_to.is_some())
                })
            }
            (None, None) => Default::default(),
        };
        if !status.can_receive() {
            return Err(EntityError::Disabled(address.to_string()));
        }
        if forwards && address.sub_queue.is_none() {
            return Err(EntityError::NotAllowed(
                "Cannot create a message receiver on an entity with auto-forwarding enabled.".into(),
            ));
        }
        Ok(stores.get(address.sub_queue))
    }

    /// The stores of a queue or subscription.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], [`EntityError::NotAllowed`] for a topic.
    #[doc(hidden)]
    pub fn stores_of(&self, address: &Address<'_>) -> Result<Stores, EntityError> {
        let key = name::key(address.entity);
        match address.subscription {
            None => match self.queues.get(&key) {
                Some(queue) => Ok(queue.stores),
                None if self.topics.contains_key(&key) => Err(EntityError::NotAllowed(
                    "Messages of a topic can be received through its subscriptions only.".into(),
                )),
                None => Err(EntityError::NotFound(address.to_string())),
            },
            Some(subscription) => self
                .subscription(address.entity, subscription)
                .map(|found| found.stores)
                .ok_or_else(|| EntityError::NotFound(address.to_string())),
        }
    }

    /// Where an entity keeps messages that wait for their time.
    #[doc(hidden)]
    pub fn schedule_store(&self, entity: &str) -> Result<StoreId, EntityError> {
        if let Some(queue) = self.queues.get(entity) {
            return Ok(queue.stores.main);
        }
        let topic = self.topics.get(entity).ok_or_else(|| EntityError::NotFound(entity.to_owned()))?;
        Ok(topic.scheduled)
    }
}
