//! A namespace: its queues and topics by name, made and changed at run time, and the stores they keep messages in.

use super::description::{QueueDescription, TopicDescription};
use super::duplicates::Duplicates;
use super::error::EntityError;
use super::name;
use super::queue::{self, Queue, Stores, Times};
use super::rule_index::RuleIndex;
use super::store::{MAX_TIMERS, Owner, Store, StoreSettings, StoreSignal};
use super::topic::Topic;
use crate::broker::change::Change;
use crate::broker::relays::Relays;
use crate::broker::tier::{Limits, Tier};
use crate::broker::work::Work;
use servicebus_core::random::Random;
use servicebus_core::servicebus::{LockToken, SubQueue};
use servicebus_core::storage::{HeapTable, Key, Table};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Uuid;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// Names a store. A stale id reads as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(Key);

/// What those who are attached should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Something in a store.
    Store(StoreId, StoreSignal),
    /// The settings of an entity were changed; its key, or `topic/subscriptions/name`.
    Updated(String),
    /// An entity is gone; its key, or `topic/subscriptions/name`.
    Deleted(String),
}

/// The stores that belong with a store.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct StoreOwner {
    /// Those of its queue or subscription; none for a topic.
    pub(in crate::broker) stores: Option<Stores>,
    /// The one where messages come in.
    pub(in crate::broker) arrivals: StoreId,
}

/// How many messages an entity holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeCounts {
    /// Messages in the entity itself that do not wait for their time.
    pub active: u64,
    /// Messages in its dead-letter queue.
    pub dead_letter: u64,
    /// Messages that wait for their time.
    pub scheduled: u64,
    /// Messages that wait to be forwarded: always zero, since forwarding happens at once.
    pub transfer: u64,
    /// Messages in its dead-letter queue of failed transfers.
    pub transfer_dead_letter: u64,
    /// Bytes of all of them.
    pub size_in_bytes: u64,
}

impl RuntimeCounts {
    /// All messages.
    pub fn total(&self) -> u64 {
        self.active + self.dead_letter + self.scheduled + self.transfer + self.transfer_dead_letter
    }
}

/// The entities of a namespace.
#[derive(Debug)]
pub struct Namespace {
    tier: Tier,
    pub(super) limits: Limits,
    pub(super) stores: HeapTable<Store>,
    /// The next timer of each store that has one.
    deadlines: BTreeSet<(Timestamp, u32)>,
    recorded: Vec<Option<Timestamp>>,
    /// Bytes of each store as they are counted in `sizes`.
    recorded_sizes: Vec<u64>,
    /// Bytes of each queue, and of each topic with its subscriptions.
    sizes: BTreeMap<String, u64>,
    /// Bytes that open transactions have reserved, by queue or topic.
    pub(in crate::broker) reserved: BTreeMap<String, u64>,
    /// Its name, for texts.
    pub(in crate::broker) name: String,
    pub(in crate::broker) queues: BTreeMap<String, Queue>,
    pub(in crate::broker) topics: BTreeMap<String, Topic>,
    /// When to look whether an entity has been idle for too long.
    idle: BTreeSet<(Timestamp, String)>,
    /// The time under which an entity is in `idle`.
    idle_checks: BTreeMap<String, Timestamp>,
    signals: VecDeque<Signal>,
    /// What is among the signals.
    signalled: HashSet<Signal>,
    work: Work,
    pub(in crate::broker) random: Random,
    /// Filters that messages were compared with.
    pub(in crate::broker) filters_evaluated: u64,
    pub(in crate::broker) relays: Relays,
    /// The changes that were made, where they are recorded.
    pub(in crate::broker) log: Option<Vec<Change>>,
}

impl Namespace {
    /// An empty namespace of the Standard tier; the seed makes lock tokens.
    pub fn new(seed: u64) -> Self {
        Self {
            tier: Tier::Standard,
            limits: Tier::Standard.limits(),
            stores: HeapTable::bounded(usize::MAX),
            deadlines: BTreeSet::new(),
            recorded: Vec::new(),
            recorded_sizes: Vec::new(),
            sizes: BTreeMap::new(),
            reserved: BTreeMap::new(),
            name: String::new(),
            queues: BTreeMap::new(),
            topics: BTreeMap::new(),
            idle: BTreeSet::new(),
            idle_checks: BTreeMap::new(),
            signals: VecDeque::new(),
            signalled: HashSet::new(),
            work: Work::default(),
            random: Random::seeded(seed),
            filters_evaluated: 0,
            relays: Relays::default(),
            log: None,
        }
    }

    /// Sets the tier, and limits other than the tier's. Entities that exist stay as they are.
    pub fn set_tier(&mut self, tier: Tier, limits: Option<Limits>) {
        self.tier = tier;
        self.limits = limits.unwrap_or(tier.limits());
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pricing tier.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// A new lock token.
    pub(crate) fn new_token(&mut self) -> LockToken {
        LockToken::from_uuid(Uuid(self.random.uuid()))
    }

    /// Takes what has happened since the last call.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        self.signalled.clear();
        core::mem::take(&mut self.signals).into()
    }

    /// Takes the first thing that has happened.
    pub(crate) fn next_signal(&mut self) -> Option<Signal> {
        let signal = self.signals.pop_front()?;
        self.signalled.remove(&signal);
        Some(signal)
    }

    /// Notes that something has happened.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.signalled.insert(signal.clone()) {
            self.signals.push_back(signal);
        }
    }

    /// Entries that operations have looked at so far: messages, sessions, timers, entities.
    pub fn entries_touched(&self) -> u64 {
        self.work.done()
    }

    /// Where entries that were looked at are counted.
    pub(in crate::broker) fn work(&self) -> &Work {
        &self.work
    }

    /// Whether something has happened since [`Namespace::take_signals`].
    pub fn has_signals(&self) -> bool {
        !self.signals.is_empty()
    }

    /// A store.
    pub fn store(&self, id: StoreId) -> Option<&Store> {
        self.stores.find(id.0)
    }

    pub(in crate::broker) fn store_mut(&mut self, id: StoreId) -> Option<&mut Store> {
        self.stores.find_mut(id.0)
    }

    /// The stores that belong with a store.
    pub(in crate::broker) fn owner_of(&self, id: StoreId) -> Option<StoreOwner> {
        let Owner { entity, subscription, .. } = &self.store(id)?.owner;
        if let Some(queue) = self.queues.get(entity) {
            return Some(StoreOwner { stores: Some(queue.stores), arrivals: queue.stores.main });
        }
        let topic = self.topics.get(entity)?;
        match subscription {
            None => Some(StoreOwner { stores: None, arrivals: topic.transit }),
            Some(name) => {
                let stores = topic.subscriptions.get(name)?.stores;
                Some(StoreOwner { stores: Some(stores), arrivals: stores.main })
            }
        }
    }

    /// The key of the queue or topic that a store belongs to.
    pub(in crate::broker) fn top_level(&self, id: StoreId) -> Option<&str> {
        Some(&self.store(id)?.owner.entity)
    }

    /// Bytes of a queue, or of a topic with its subscriptions, with those that open transactions have reserved.
    pub(in crate::broker) fn held(&self, entity: &str) -> u64 {
        let bytes = |sizes: &BTreeMap<String, u64>| sizes.get(entity).copied().unwrap_or_default();
        bytes(&self.sizes) + bytes(&self.reserved)
    }

    fn count_size(&mut self, id: StoreId) {
        let Some(store) = self.stores.find(id.0) else { return };
        let size = store.size();
        let Some(recorded) = self.recorded_sizes.get_mut(id.0.index as usize) else { return };
        if *recorded == size {
            return;
        }
        let before = core::mem::replace(recorded, size);
        match self.sizes.get_mut(&store.owner.entity) {
            Some(total) => *total = *total + size - before,
            None => {
                self.sizes.insert(store.owner.entity.clone(), size);
            }
        }
    }

    /// Brings deadlines and signals up to date after a change to a store.
    pub(in crate::broker) fn touched(&mut self, id: StoreId) {
        let index = id.0.index;
        self.count_size(id);
        let Some(store) = self.stores.find_mut(id.0) else { return };
        if store.settings().relays && store.has_available(None) {
            self.relays.note(id);
        }
        self.relays.note_returned(id, store.take_returned());
        let deadline = store.next_deadline();
        let signals = store.take_signals();
        if let Some(slot) = self.recorded.get_mut(index as usize)
            && *slot != deadline
        {
            if let Some(old) = slot.take() {
                self.deadlines.remove(&(old, index));
            }
            *slot = deadline;
            if let Some(new) = deadline {
                self.deadlines.insert((new, index));
            }
        }
        for signal in signals {
            self.signal(Signal::Store(id, signal));
        }
    }

    /// When [`Namespace::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let store = self.deadlines.first().map(|(at, _)| *at);
        let idle = self.idle.first().map(|(at, _)| *at);
        [store, idle, self.relays.poll_timeout()].into_iter().flatten().min()
    }

    /// Carries out what is due, up to a bound: lock ends, expiries, schedules, idle entities. The rest stays due, see
    /// [`Namespace::poll_timeout`].
    pub fn handle_timeout(&mut self, utc: Timestamp) {
        let end = self.work.done() + MAX_TIMERS;
        while self.work.done() < end
            && let Some(&(at, index)) = self.deadlines.first()
            && at <= utc
        {
            let Some(id) = self.stores.key(index).map(StoreId) else {
                self.deadlines.pop_first();
                continue;
            };
            self.apply(Change::Time { store: id, utc });
        }
        while self.work.done() < end && self.idle.first().is_some_and(|(at, _)| *at <= utc) {
            let Some((_, key)) = self.idle.pop_first() else { break };
            self.work.add(1);
            self.idle_checks.remove(&key);
            self.check_idle(key, utc);
        }
        self.run_relays(utc);
    }

    fn check_idle(&mut self, key: String, utc: Timestamp) {
        let (entity, subscription) = match key.split_once("/subscriptions/") {
            Some((topic, subscription)) => (topic, Some(subscription)),
            None => (key.as_str(), None),
        };
        let Some((idle, times)) = self.idle_setting(entity, subscription) else { return };
        let awaited = self.is_awaited(entity, subscription);
        let due = if awaited { utc } else { times.accessed.max(times.updated) } + idle;
        if due > utc {
            self.idle_checks.insert(key.clone(), due);
            self.idle.insert((due, key));
            return;
        }
        match subscription {
            Some(name) => self.remove_subscription(entity, name),
            None => self.remove_entity(entity),
        };
    }

    fn idle_setting(&self, entity: &str, subscription: Option<&str>) -> Option<(core::time::Duration, Times)> {
        if let Some(queue) = self.queues.get(entity) {
            return Some((queue.description.auto_delete_on_idle?, queue.times));
        }
        let topic = self.topics.get(entity)?;
        match subscription {
            None => Some((topic.description.auto_delete_on_idle?, topic.times)),
            Some(name) => {
                let subscription = topic.subscriptions.get(name)?;
                Some((subscription.description.auto_delete_on_idle?, subscription.times))
            }
        }
    }

    /// Whether a receiver waits for messages with credit: that is use, also where none comes
    /// (docs/evidence/field-reports.md F7). One that waits for a session is not.
    fn is_awaited(&self, entity: &str, subscription: Option<&str>) -> bool {
        let stores = match (subscription, self.queues.get(entity)) {
            (None, Some(queue)) => Some(queue.stores),
            (None, None) => None,
            (Some(name), _) => {
                self.topics.get(entity).and_then(|topic| topic.subscriptions.get(name)).map(|found| found.stores)
            }
        };
        stores.is_some_and(|stores| stores.all().iter().any(|id| self.store(*id).is_some_and(|store| store.awaited)))
    }

    pub(super) fn watch_idle(&mut self, key: String, idle: Option<core::time::Duration>, utc: Timestamp) {
        self.work.add(1);
        self.forget_idle(&key);
        if let Some(idle) = idle {
            self.idle_checks.insert(key.clone(), utc + idle);
            self.idle.insert((utc + idle, key));
        }
    }

    pub(super) fn forget_idle(&mut self, key: &str) {
        if let Some((key, at)) = self.idle_checks.remove_entry(key) {
            self.idle.remove(&(at, key));
        }
    }

    /// Notes whether a receiver waits for messages of a store with credit. It was in use until now if one did.
    pub(crate) fn set_awaited(&mut self, id: StoreId, awaited: bool, utc: Timestamp) {
        let Some(store) = self.store_mut(id) else { return };
        if core::mem::replace(&mut store.awaited, awaited) || awaited {
            self.used(id, utc);
        }
    }

    /// Notes that the entity of a store was used: a message received or settled, or asked for.
    pub(crate) fn used(&mut self, id: StoreId, utc: Timestamp) {
        let Some(owner) = self.stores.find(id.0).map(|store| &store.owner) else { return };
        if let Some(queue) = self.queues.get_mut(&owner.entity) {
            queue.times.accessed = utc;
        } else if let Some(topic) = self.topics.get_mut(&owner.entity) {
            topic.times.accessed = utc;
            if let Some(name) = &owner.subscription
                && let Some(subscription) = topic.subscriptions.get_mut(name)
            {
                subscription.times.accessed = utc;
            }
        }
    }

    /// Notes that an entity was used.
    pub fn accessed(&mut self, entity: &str, subscription: Option<&str>, utc: Timestamp) {
        if let Some(queue) = self.queues.get_mut(entity) {
            queue.times.accessed = utc;
        } else if let Some(topic) = self.topics.get_mut(entity) {
            topic.times.accessed = utc;
            if let Some(subscription) = subscription.and_then(|name| topic.subscriptions.get_mut(name)) {
                subscription.times.accessed = utc;
            }
        }
    }

    /// Settings of an entity with these stores have changed: messages that waited for it go on.
    pub(super) fn settings_changed(&mut self, stores: &[StoreId], utc: Timestamp) {
        for id in stores {
            self.touched(*id);
        }
        self.relays.try_all_again();
        self.run_relays(utc);
    }

    fn new_store(&mut self, owner: Owner, settings: StoreSettings) -> Result<StoreId, EntityError> {
        let full = |_| EntityError::OutOfRange("The namespace holds too many entities.".into());
        let mut store = Store::new(owner, settings);
        store.count_in(self.work.clone());
        let key = self.stores.insert(store).map_err(full)?;
        let slots = self.recorded.len().max(key.index as usize + 1);
        self.recorded.resize(slots, None);
        self.recorded_sizes.resize(slots, 0);
        Ok(StoreId(key))
    }

    pub(super) fn new_stores(
        &mut self,
        entity: &str,
        subscription: Option<&str>,
        path: &str,
        settings: impl Fn(Option<SubQueue>) -> StoreSettings,
    ) -> Result<Stores, EntityError> {
        let mut store = |sub_queue: Option<SubQueue>| {
            let path = match sub_queue {
                None => Arc::from(path),
                Some(sub_queue) => Arc::from(format!("{path}/{}", sub_queue.suffix())),
            };
            let owner = Owner { entity: entity.to_owned(), subscription: subscription.map(str::to_owned), path };
            self.new_store(owner, settings(sub_queue))
        };
        Ok(Stores {
            main: store(None)?,
            dead_letter: store(Some(SubQueue::DeadLetter))?,
            transfer: store(Some(SubQueue::TransferDeadLetter))?,
        })
    }

    pub(super) fn drop_store(&mut self, id: StoreId) {
        if let Some(store) = self.store_mut(id) {
            store.clear();
        }
        self.touched(id);
        if self.stores.find(id.0).is_some() {
            self.stores.remove(id.0.index);
        }
    }

    fn check_new(&self, path: &str) -> Result<String, EntityError> {
        name::check_path(path)?;
        let key = name::key(path);
        if self.queues.contains_key(&key) || self.topics.contains_key(&key) {
            return Err(EntityError::AlreadyExists(path.to_owned()));
        }
        if self.queues.len() + self.topics.len() >= self.limits.entities {
            return Err(EntityError::OutOfRange("The namespace holds too many entities.".into()));
        }
        Ok(key)
    }

    /// A forwarding target must exist before its source (docs/evidence/pinned-behaviour.md ADM76). An entity that exists
    /// may become its own (docs/evidence/field-reports.md F22).
    pub(super) fn check_target(&self, target: Option<&String>) -> Result<(), EntityError> {
        let Some(target) = target else { return Ok(()) };
        let key = target_key(target);
        if self.queues.contains_key(&key) || self.topics.contains_key(&key) {
            Ok(())
        } else {
            Err(EntityError::NoForwardTarget(target.clone()))
        }
    }

    /// Makes a queue. Its name is kept in lower case (docs/evidence/field-reports.md F65).
    ///
    /// # Errors
    /// [`EntityError`] for a bad or taken name and for settings that are not valid.
    pub fn create_queue(
        &mut self,
        path: &str,
        description: QueueDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = self.check_new(path)?;
        description.validate()?;
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        let description = description.never_idle_where_it_forwards();
        let stores = self.new_stores(&key, None, &key, |sub_queue| queue::settings(&description, sub_queue))?;
        self.watch_idle(key.clone(), description.auto_delete_on_idle, utc);
        let queue =
            Queue { name: key.clone(), description, times: Times::new(utc), stores, duplicates: Duplicates::default() };
        self.queues.insert(key, queue);
        self.settings_changed(&[], utc);
        Ok(())
    }

    /// Changes a queue's settings; links to it are detached, as the service does.
    ///
    /// # Errors
    /// [`EntityError`] for what is not there, not valid, or cannot be changed.
    pub fn update_queue(
        &mut self,
        path: &str,
        description: QueueDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = name::key(path);
        let queue = self.queues.get(&key).ok_or_else(|| EntityError::NotFound(path.to_owned()))?;
        let old = &queue.description;
        if old.requires_session != description.requires_session {
            return Err(EntityError::Unchangeable("RequiresSession property of an existing Queue"));
        }
        if old.requires_duplicate_detection != description.requires_duplicate_detection {
            return Err(EntityError::Unchangeable("'requiresDuplicateDetection' property of an existing Queue"));
        }
        if old.enable_partitioning != description.enable_partitioning {
            return Err(EntityError::Unchangeable("partitioning of an existing Queue"));
        }
        description.validate()?;
        self.check_target(description.forward_to.as_ref())?;
        self.check_target(description.forward_dead_lettered_messages_to.as_ref())?;
        let description = description.never_idle_where_it_forwards();
        self.watch_idle(key.clone(), description.auto_delete_on_idle, utc);
        let Some(queue) = self.queues.get_mut(&key) else { return Err(EntityError::NotFound(path.to_owned())) };
        let stores = queue.stores;
        queue.description = description.clone();
        queue.times.updated = utc;
        let kinds = [None, Some(SubQueue::DeadLetter), Some(SubQueue::TransferDeadLetter)];
        for (id, sub_queue) in stores.all().into_iter().zip(kinds) {
            if let Some(store) = self.store_mut(id) {
                store.set_settings(queue::settings(&description, sub_queue));
            }
        }
        self.signal(Signal::Updated(key));
        self.settings_changed(&stores.all(), utc);
        Ok(())
    }

    /// Makes a topic. Its name is kept in lower case (docs/evidence/field-reports.md F65).
    ///
    /// # Errors
    /// As [`Namespace::create_queue`].
    pub fn create_topic(
        &mut self,
        path: &str,
        description: TopicDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = self.check_new(path)?;
        description.validate()?;
        let owner = Owner { entity: key.clone(), subscription: None, path: Arc::from(key.as_str()) };
        let settings = queue::settings(&QueueDescription::default(), None);
        let scheduled = self.new_store(owner.clone(), settings.clone())?;
        let transit = self.new_store(owner, StoreSettings { relays: true, ..settings })?;
        self.watch_idle(key.clone(), description.auto_delete_on_idle, utc);
        let topic = Topic {
            name: key.clone(),
            description,
            times: Times::new(utc),
            scheduled,
            transit,
            subscriptions: BTreeMap::new(),
            rules: RuleIndex::default(),
            duplicates: Duplicates::default(),
        };
        self.topics.insert(key, topic);
        self.settings_changed(&[], utc);
        Ok(())
    }

    /// Changes a topic's settings; links to it are detached.
    ///
    /// # Errors
    /// As [`Namespace::update_queue`].
    pub fn update_topic(
        &mut self,
        path: &str,
        description: TopicDescription,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let key = name::key(path);
        description.validate()?;
        let idle = description.auto_delete_on_idle;
        let topic = self.topics.get_mut(&key).ok_or_else(|| EntityError::NotFound(path.to_owned()))?;
        if topic.description.requires_duplicate_detection != description.requires_duplicate_detection {
            return Err(EntityError::Unchangeable("'requiresDuplicateDetection' property of an existing Topic"));
        }
        if topic.description.enable_partitioning != description.enable_partitioning {
            return Err(EntityError::Unchangeable("partitioning of an existing Topic"));
        }
        topic.description = description;
        topic.times.updated = utc;
        self.watch_idle(key.clone(), idle, utc);
        self.signal(Signal::Updated(key));
        self.settings_changed(&[], utc);
        Ok(())
    }

    /// Deletes a queue, or a topic with its subscriptions, and every message in it.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    pub fn delete(&mut self, path: &str) -> Result<(), EntityError> {
        if self.remove_entity(&name::key(path)) { Ok(()) } else { Err(EntityError::NotFound(path.to_owned())) }
    }

    /// Removes a queue or a topic by its key; false when there is none.
    fn remove_entity(&mut self, key: &str) -> bool {
        if let Some(queue) = self.queues.remove(key) {
            for id in queue.stores.all() {
                self.drop_store(id);
            }
        } else if let Some(topic) = self.topics.remove(key) {
            self.drop_store(topic.scheduled);
            self.drop_store(topic.transit);
            for (name, subscription) in topic.subscriptions {
                self.forget_idle(&format!("{key}/subscriptions/{name}"));
                for id in subscription.stores.all() {
                    self.drop_store(id);
                }
            }
        } else {
            return false;
        }
        self.forget_idle(key);
        self.sizes.remove(key);
        self.signal(Signal::Deleted(key.to_owned()));
        true
    }

    /// Removes every message and every session's state from every entity; who holds a session keeps it.
    pub fn purge(&mut self) {
        let queues = self.queues.values().flat_map(|queue| queue.stores.all());
        let topics = self.topics.values().flat_map(|topic| {
            let below = topic.subscriptions.values().flat_map(|subscription| subscription.stores.all());
            below.chain([topic.scheduled, topic.transit])
        });
        let stores: Vec<StoreId> = queues.chain(topics).collect();
        for id in stores {
            if let Some(store) = self.store_mut(id) {
                store.purge();
            }
            self.touched(id);
        }
    }

    /// Deletes every entity.
    pub fn clear(&mut self) {
        let paths: Vec<String> = self.queues.keys().chain(self.topics.keys()).cloned().collect();
        for path in paths {
            self.remove_entity(&path);
        }
    }

    /// A queue.
    pub fn queue(&self, path: &str) -> Option<&Queue> {
        self.queues.get(&name::key(path))
    }

    /// A topic.
    pub fn topic(&self, path: &str) -> Option<&Topic> {
        self.topics.get(&name::key(path))
    }

    /// All queues by name.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// How many messages a queue or subscription holds.
    pub fn counts(&self, stores: &Stores) -> RuntimeCounts {
        let count = |id: StoreId| {
            self.store(id)
                .map_or((0, 0, 0), |store| (store.active_count() as u64, store.scheduled_count() as u64, store.size()))
        };
        let (main, dead, transfer) = (count(stores.main), count(stores.dead_letter), count(stores.transfer));
        RuntimeCounts {
            active: main.0,
            dead_letter: dead.0,
            scheduled: main.1,
            transfer: 0,
            transfer_dead_letter: transfer.0,
            size_in_bytes: main.2 + dead.2 + transfer.2,
        }
    }

    /// How many messages wait in a topic for their time.
    pub fn topic_counts(&self, topic: &Topic) -> RuntimeCounts {
        let store = self.store(topic.scheduled);
        let bytes = |id| self.store(id).map_or(0, Store::size);
        RuntimeCounts {
            scheduled: store.map_or(0, |store| store.scheduled_count() as u64),
            size_in_bytes: bytes(topic.scheduled) + bytes(topic.transit),
            ..RuntimeCounts::default()
        }
    }
}

/// The key of a forwarding target, which may be written as an absolute address.
pub(in crate::broker) fn target_key(target: &str) -> String {
    name::key(servicebus_core::servicebus::Address::parse(target).entity)
}
