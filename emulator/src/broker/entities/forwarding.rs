//! The ways of a message: into an entity, on to another, into a subscription's copies, and to the dead.

use super::error::EntityError;
use super::message::{Message, MessageState};
use super::name;
use super::namespace::{Namespace, StoreId, target_key};
use super::queue::Stores;
use super::rule;
use super::store::{DeadReason, Effect, Owner};
use servicebus_core::servicebus::Address;
use servicebus_core::servicebus::message::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::Value;
use std::sync::Arc;

/// A message moves on this often at most (docs/evidence/wire-protocol.md §8).
const MAX_HOPS: u8 = 4;

/// Where messages can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendTarget {
    /// The key of the queue or topic.
    pub entity: String,
    /// The largest message in bytes.
    pub max_message_size: u64,
}

/// What everything but the body of a message may take, in bytes (docs/evidence/wire-protocol.md §8).
const MAX_HEADER: usize = 64 << 10;

/// What a queue and a subscription have in common.
struct Inbox {
    stores: Stores,
    forward_to: Option<String>,
    forward_dead_letters_to: Option<String>,
    requires_session: bool,
    time_to_live: Option<Duration>,
}

impl Namespace {
    /// Whether there is a queue or topic of this name.
    pub fn exists(&self, entity: &str) -> bool {
        let key = name::key(entity);
        self.queues.contains_key(&key) || self.topics.contains_key(&key)
    }

    /// Finds out where a sender with this address sends to.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], [`EntityError::NotAllowed`] for subscriptions and sub-queues,
    /// [`EntityError::Disabled`].
    pub fn sender(&self, address: &Address<'_>) -> Result<SendTarget, EntityError> {
        let key = name::key(address.entity);
        let (description_size, status, name) = if let Some(queue) = self.queues.get(&key) {
            (queue.description.max_message_size_in_kilobytes, queue.description.status, &queue.name)
        } else if let Some(topic) = self.topics.get(&key) {
            (topic.description.max_message_size_in_kilobytes, topic.description.status, &topic.name)
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
        let kilobytes = description_size.unwrap_or(self.tier().default_message_kilobytes());
        Ok(SendTarget { entity: key, max_message_size: kilobytes * 1_024 })
    }

    /// Finds the store that a receiver with this address receives from.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], [`EntityError::NotAllowed`] for a topic and for an entity that forwards,
    /// [`EntityError::Disabled`].
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

    /// Checks whether an entity takes a message.
    ///
    /// # Errors
    /// What the service would refuse it with.
    pub fn check_send(&self, entity: &str, message: &Message) -> Result<(), EntityError> {
        if let Some(queue) = self.queues.get(entity) {
            if !queue.description.status.can_send() {
                return Err(EntityError::Disabled(queue.name.clone()));
            }
            if queue.description.requires_session && message.session_id.is_none() {
                return Err(EntityError::SessionIdMissing);
            }
            let limit = queue.description.max_size_in_megabytes << 20;
            let size = self.counts(&queue.stores).size_in_bytes;
            if size + message.size() as u64 > limit {
                return Err(EntityError::QuotaExceeded { kind: "Queue", name: queue.name.clone(), size, limit });
            }
            return Ok(());
        }
        match self.topics.get(entity) {
            Some(topic) if !topic.description.status.can_send() => Err(EntityError::Disabled(topic.name.clone())),
            Some(topic) => {
                let limit = topic.description.max_size_in_megabytes << 20;
                let size = topic.subscriptions.values().map(|own| self.counts(&own.stores).size_in_bytes).sum::<u64>()
                    + self.topic_counts(topic).size_in_bytes;
                if size + message.size() as u64 > limit {
                    return Err(EntityError::QuotaExceeded { kind: "Topic", name: topic.name.clone(), size, limit });
                }
                Ok(())
            }
            None => Err(EntityError::NotFound(entity.to_owned())),
        }
    }

    /// Takes a message in, now or for its time; returns its number, zero for one that repeats another and is dropped
    /// (docs/evidence/pinned-behaviour.md §12).
    ///
    /// # Errors
    /// As [`Namespace::check_send`].
    pub fn send(&mut self, entity: &str, mut message: Message, utc: Timestamp) -> Result<i64, EntityError> {
        self.check_send(entity, &message)?;
        self.accessed(entity, None, utc);
        if self.is_duplicate(entity, &message, utc) {
            return Ok(0);
        }
        if message.lacks_id() {
            let id = self.new_message_id();
            message.set_made_id(id);
        }
        if message.scheduled_enqueue_time.is_some_and(|at| at > utc) {
            return self.schedule(entity, message, utc);
        }
        self.enqueue(entity, message, utc)
    }

    fn is_duplicate(&mut self, entity: &str, message: &Message, utc: Timestamp) -> bool {
        let (detects, window) = if let Some(queue) = self.queues.get(entity) {
            let description = &queue.description;
            (description.requires_duplicate_detection, description.duplicate_detection_history_time_window)
        } else if let Some(topic) = self.topics.get(entity) {
            let description = &topic.description;
            (description.requires_duplicate_detection, description.duplicate_detection_history_time_window)
        } else {
            return false;
        };
        if !detects {
            return false;
        }
        let Some(id) = message.message_id() else { return false };
        let duplicates = match self.queues.get_mut(entity) {
            Some(queue) => &mut queue.duplicates,
            None => match self.topics.get_mut(entity) {
                Some(topic) => &mut topic.duplicates,
                None => return false,
            },
        };
        duplicates.is_repeated(&id, window, utc)
    }

    /// Where an entity keeps messages that wait for their time.
    pub fn schedule_store(&self, entity: &str) -> Result<StoreId, EntityError> {
        if let Some(queue) = self.queues.get(entity) {
            return Ok(queue.stores.main);
        }
        let topic = self.topics.get(entity).ok_or_else(|| EntityError::NotFound(entity.to_owned()))?;
        Ok(topic.scheduled)
    }

    /// The next sequence number of an entity, for a message that is scheduled under a transaction.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    pub fn reserve_number(&mut self, entity: &str) -> Result<i64, EntityError> {
        let id = self.schedule_store(entity)?;
        let store = self.store_mut(id).ok_or_else(|| EntityError::NotFound(entity.to_owned()))?;
        Ok(store.reserve_number())
    }

    fn schedule(&mut self, entity: &str, message: Message, utc: Timestamp) -> Result<i64, EntityError> {
        let id = self.schedule_store(entity)?;
        let Some(store) = self.store_mut(id) else { return Err(EntityError::NotFound(entity.to_owned())) };
        let number = store.schedule(message, utc);
        self.touched(id);
        Ok(number)
    }

    /// Checks that all of these wait for their time.
    ///
    /// # Errors
    /// [`EntityError::MessageNotFound`] (docs/evidence/pinned-behaviour.md SCH9).
    pub fn check_scheduled(&self, entity: &str, numbers: &[i64]) -> Result<(), EntityError> {
        let id = self.schedule_store(entity)?;
        let missing = numbers.iter().find(|number| !self.store(id).is_some_and(|store| store.is_scheduled(**number)));
        match missing {
            None => Ok(()),
            Some(number) => Err(EntityError::MessageNotFound(format!(
                "The message with sequence number {number} could not be found."
            ))),
        }
    }

    /// Takes scheduled messages back: all of them, or none.
    ///
    /// # Errors
    /// As [`Namespace::check_scheduled`].
    pub fn cancel_scheduled(&mut self, entity: &str, numbers: &[i64]) -> Result<(), EntityError> {
        self.check_scheduled(entity, numbers)?;
        let id = self.schedule_store(entity)?;
        if let Some(store) = self.store_mut(id) {
            for number in numbers {
                store.cancel(*number);
            }
        }
        self.touched(id);
        Ok(())
    }

    /// Puts a message into a queue, or into the subscriptions of a topic.
    fn enqueue(&mut self, entity: &str, mut message: Message, utc: Timestamp) -> Result<i64, EntityError> {
        if self.topics.contains_key(entity) {
            self.fan_out(entity, message, utc);
            return Ok(0);
        }
        if !self.queues.contains_key(entity) {
            return Err(EntityError::NotFound(entity.to_owned()));
        }
        message.state = MessageState::Active;
        Ok(self.deposit(entity, None, message, utc))
    }

    fn inbox(&self, entity: &str, subscription: Option<&str>) -> Option<Inbox> {
        match subscription {
            None => {
                let queue = self.queues.get(entity)?;
                let description = &queue.description;
                Some(Inbox {
                    stores: queue.stores,
                    forward_to: description.forward_to.clone(),
                    forward_dead_letters_to: description.forward_dead_lettered_messages_to.clone(),
                    requires_session: description.requires_session,
                    time_to_live: description.default_message_time_to_live,
                })
            }
            Some(name) => {
                let subscription = self.topics.get(entity)?.subscriptions.get(name)?;
                let description = &subscription.description;
                Some(Inbox {
                    stores: subscription.stores,
                    forward_to: description.forward_to.clone(),
                    forward_dead_letters_to: description.forward_dead_lettered_messages_to.clone(),
                    requires_session: description.requires_session,
                    time_to_live: description.default_message_time_to_live,
                })
            }
        }
    }

    /// Puts a message into a queue or subscription, or passes it on where that forwards.
    fn deposit(&mut self, entity: &str, subscription: Option<&str>, mut message: Message, utc: Timestamp) -> i64 {
        let Some(inbox) = self.inbox(entity, subscription) else { return 0 };
        if let Some(limit) = inbox.time_to_live {
            message.time_to_live = Some(message.time_to_live.map_or(limit, |own| own.min(limit)));
        }
        // What is dead on arrival; of a missing session id the description is the live service's, the reason that of
        // its documentation.
        let dead = if inbox.requires_session && message.session_id.is_none() {
            Some(("Session ID is null.", "Session id is null"))
        } else if message.header_size() > MAX_HEADER {
            Some(("HeaderSizeExceeded", "The size quota for this stream has been exceeded."))
        } else {
            None
        };
        if let Some((reason, description)) = dead {
            let Some(store) = self.store_mut(inbox.stores.main) else { return 0 };
            let owner = store.owner.clone();
            if message.sequence_number == 0 {
                message.sequence_number = store.reserve_number();
            }
            message.enqueued_time = utc;
            self.bury(&owner, message, reason, description, utc);
            return 0;
        }
        let Some(store) = self.store_mut(inbox.stores.main) else { return 0 };
        match inbox.forward_to {
            None => {
                let number = store.push(message, utc);
                self.touched(inbox.stores.main);
                number
            }
            Some(target) => {
                message.sequence_number = store.reserve_number();
                message.enqueued_time = utc;
                let number = message.sequence_number;
                self.forward(inbox.stores, &target, message, utc);
                number
            }
        }
    }

    /// Moves what an entity holds on, after it has been told to forward.
    pub(super) fn forward_waiting(&mut self, id: StoreId, utc: Timestamp) {
        let Some(owner) = self.store(id).map(|store| store.owner.clone()) else { return };
        let Some(inbox) = self.inbox(&owner.entity, owner.subscription.as_deref()) else { return };
        let Some(target) = inbox.forward_to else { return };
        while let Some(taken) = self.store_mut(id).and_then(|store| store.take(None)) {
            self.forward(inbox.stores, &target, taken.message, utc);
        }
        self.touched(id);
    }

    /// Sends a message on; what the target refuses goes to the source's dead-letter queue of transfers.
    fn forward(&mut self, source: Stores, target: &str, mut message: Message, utc: Timestamp) {
        let original = message.clone();
        message.enqueued_sequence_number = message.enqueued_sequence_number.or(Some(message.sequence_number));
        message.sequence_number = 0;
        message.hops += 1;
        let key = target_key(target);
        let (reason, description) = if message.hops > MAX_HOPS {
            let text = "The maximum number of allowed hops when forwarding between entities was exceeded.";
            ("MaxTransferHopCountExceeded".to_owned(), text.to_owned())
        } else {
            match self.check_send(&key, &message) {
                Ok(()) => {
                    self.accessed(&key, None, utc);
                    if !self.is_duplicate(&key, &message, utc) {
                        let _ = self.enqueue(&key, message, utc);
                    }
                    return;
                }
                Err(EntityError::SessionIdMissing) => {
                    // It stays with the source (docs/evidence/pinned-behaviour.md FWD10).
                    let owner = self.store(source.main).map(|store| store.owner.clone());
                    if let Some(owner) = owner {
                        self.bury(&owner, original, "Session ID is null.", "Session id is null", utc);
                    }
                    return;
                }
                Err(error) => ("TransferFailed".to_owned(), error.to_string()),
            }
        };
        let mut dead = original;
        dead.set_application_properties(&[
            (DEAD_LETTER_REASON, Value::String(&reason)),
            (DEAD_LETTER_ERROR_DESCRIPTION, Value::String(&description)),
        ]);
        if let Some(store) = self.store_mut(source.transfer) {
            store.bury(dead);
        }
        self.touched(source.transfer);
    }

    /// Gives every subscription its copies.
    fn fan_out(&mut self, topic: &str, mut message: Message, utc: Timestamp) {
        // Copies in a partitioned topic carry the number that it took the message under
        // (docs/evidence/service-evidence.md §8, docs/evidence/field-reports.md F74).
        if message.enqueued_sequence_number.is_none()
            && self.topics.get(topic).is_some_and(|topic| topic.description.enable_partitioning)
        {
            message.enqueued_sequence_number = self.reserve_number(topic).ok();
        }
        let Some(found) = self.topics.get(topic) else { return };
        let limit = found.description.default_message_time_to_live;
        let mut base = message;
        base.state = MessageState::Active;
        base.enqueued_time = utc;
        if let Some(limit) = limit {
            base.time_to_live = Some(base.time_to_live.map_or(limit, |own| own.min(limit)));
        }
        let mut copies: Vec<(String, Result<Message, String>)> = Vec::new();
        for (key, subscription, rules) in found.candidates(&base) {
            let made = rule::copies(rules.into_iter(), &base, &mut self.random);
            self.filters_evaluated += made.evaluated;
            copies.extend(made.messages.into_iter().map(|copy| (key.to_owned(), Ok(copy))));
            if subscription.description.dead_lettering_on_filter_evaluation_exceptions
                && let Some(error) = made.errors.first()
            {
                copies.push((key.to_owned(), Err(error.to_string())));
            }
        }
        for (subscription, copy) in copies {
            let number = match self.inbox(topic, Some(&subscription)) {
                Some(inbox) => self.store_mut(inbox.stores.main).map(super::store::Store::reserve_number),
                None => continue,
            };
            match copy {
                Ok(mut copy) => {
                    copy.sequence_number = number.unwrap_or_default();
                    self.deposit(topic, Some(&subscription), copy, utc);
                }
                Err(why) => {
                    let mut dead = base.clone();
                    dead.sequence_number = number.unwrap_or_default();
                    let owner =
                        Owner { entity: topic.to_owned(), subscription: Some(subscription), path: Arc::from(topic) };
                    self.bury(&owner, dead, "FilterEvaluationException", &why, utc);
                }
            }
        }
    }

    /// Carries out what a store handed over.
    pub(super) fn process(&mut self, id: StoreId, effects: Vec<Effect>, utc: Timestamp) {
        if effects.is_empty() {
            return;
        }
        let Some(owner) = self.store(id).map(|store| store.owner.clone()) else { return };
        for effect in effects {
            match effect {
                Effect::Activate(message) => {
                    let _ = self.enqueue(&owner.entity, message, utc);
                }
                Effect::DeadLetter(message, DeadReason::Explicit) => self.bury_as_is(&owner, message, utc),
                Effect::DeadLetter(message, DeadReason::MaxDeliveryCount(count)) => {
                    let text = format!("Message could not be consumed after {count} delivery attempts.");
                    self.bury(&owner, message, "MaxDeliveryCountExceeded", &text, utc);
                }
                Effect::DeadLetter(message, DeadReason::Expired) => {
                    let text = "The message expired and was dead lettered.";
                    self.bury(&owner, message, "TTLExpiredException", text, utc);
                }
            }
        }
    }

    fn bury(&mut self, owner: &Owner, mut message: Message, reason: &str, description: &str, utc: Timestamp) {
        message.set_application_properties(&[
            (DEAD_LETTER_REASON, Value::String(reason)),
            (DEAD_LETTER_ERROR_DESCRIPTION, Value::String(description)),
        ]);
        self.bury_as_is(owner, message, utc);
    }

    fn bury_as_is(&mut self, owner: &Owner, message: Message, utc: Timestamp) {
        let Some(inbox) = self.inbox(&owner.entity, owner.subscription.as_deref()) else { return };
        if let Some(target) = &inbox.forward_dead_letters_to {
            let mut message = message;
            message.dead_letter_source = Some(Arc::clone(&owner.path));
            message.delivery_count = 0;
            self.forward(inbox.stores, target, message, utc);
            return;
        }
        if let Some(store) = self.store_mut(inbox.stores.dead_letter) {
            store.bury(message);
        }
        self.touched(inbox.stores.dead_letter);
    }
}
