//! A namespace: its queues and topics by name, and the stores they keep messages in.

use super::idle::IdleChecks;
use super::listed::Listed;
use super::name;
use super::queue::{Queue, Stores, Versions};
use super::remains::{Life, Remains};
use super::rule::StoredRule;
use super::store::{MAX_TIMERS, Owner, Store, StoreSignal};
use super::topic::{Subscription, Topic};
use crate::broker::budget::Budget;
use crate::broker::change::Change;
use crate::broker::relays::Relays;
use crate::broker::tier::{Limits, Tier};
use crate::broker::work::Work;
use servicebus_core::random::Random;
use servicebus_core::servicebus::LockToken;
use servicebus_core::storage::{HeapTable, Key, Table};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Uuid;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// Names a store. A stale id reads as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub(super) Key);

/// What those who are attached should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Something in a store.
    Store(StoreId, StoreSignal),
    /// The settings of an entity were changed; its key, or `topic/subscriptions/name`.
    Updated(String),
    /// An entity is gone; its key, or `topic/subscriptions/name`.
    Deleted(String),
    /// All entities are gone.
    Cleared,
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
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// let namespace = broker.namespace();
/// let counts = namespace.queue("orders").map(|queue| namespace.counts(&queue.stores));
/// assert_eq!(counts, Some(RuntimeCounts::default()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Bytes of all of them, and of the states of sessions.
    pub size_in_bytes: u64,
}

impl RuntimeCounts {
    /// All messages.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::entities::RuntimeCounts;
    /// let counts = RuntimeCounts { active: 3, dead_letter: 1, ..RuntimeCounts::default() };
    /// assert_eq!(counts.total(), 4);
    /// ```
    pub fn total(&self) -> u64 {
        self.active + self.dead_letter + self.scheduled + self.transfer + self.transfer_dead_letter
    }
}

/// The entities of a namespace.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// broker.with_namespace(clock, |namespace| {
///     namespace.create_queue("invoices", QueueDescription::default(), clock.utc)
/// })?;
/// let names: Vec<_> = broker.namespace().queues().map(|queue| queue.name.as_str()).collect();
/// assert_eq!(names, ["invoices", "orders"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Namespace {
    tier: Tier,
    pub(in crate::broker) limits: Limits,
    /// What entities hold counts here.
    pub(in crate::broker) budget: Budget,
    /// That of all its entities.
    pub(super) life: Arc<Life>,
    /// What is left of entities and messages that are gone.
    pub(super) remains: Remains,
    pub(super) stores: HeapTable<Store>,
    /// The next timer of each store that has one.
    deadlines: BTreeSet<(Timestamp, u32)>,
    pub(super) recorded: Vec<Option<Timestamp>>,
    /// Whether each store is among those of `filled`.
    pub(super) recorded_fills: Vec<bool>,
    /// Bytes of each store as they are counted in `sizes`.
    pub(super) recorded_sizes: Vec<u64>,
    /// Bytes of each queue, and of each topic with its subscriptions.
    pub(super) sizes: BTreeMap<String, u64>,
    /// Bytes that open transactions have reserved, by queue or topic.
    pub(in crate::broker) reserved: BTreeMap<String, u64>,
    /// Its name, for texts.
    pub(in crate::broker) name: String,
    pub(in crate::broker) queues: Listed<Queue>,
    pub(in crate::broker) topics: Listed<Topic>,
    /// Places of the stores that have messages or sessions.
    pub(super) filled: BTreeSet<u32>,
    /// Subscriptions that there were so far.
    pub(super) subscriptions_made: u64,
    pub(super) versions: Versions,
    pub(super) idle: IdleChecks,
    /// When message ids of an entity are forgotten next, by its key.
    pub(super) duplicate_checks: BTreeSet<(Timestamp, String)>,
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
    #[doc(hidden)]
    pub fn new(seed: u64) -> Self {
        Self {
            tier: Tier::Standard,
            limits: Tier::Standard.limits(),
            budget: Budget::default(),
            life: Arc::default(),
            remains: Remains::default(),
            stores: HeapTable::bounded(usize::MAX),
            deadlines: BTreeSet::new(),
            recorded: Vec::new(),
            recorded_fills: Vec::new(),
            recorded_sizes: Vec::new(),
            sizes: BTreeMap::new(),
            reserved: BTreeMap::new(),
            name: String::new(),
            queues: Listed::default(),
            topics: Listed::default(),
            filled: BTreeSet::new(),
            subscriptions_made: 0,
            versions: Versions::default(),
            idle: IdleChecks::default(),
            duplicate_checks: BTreeSet::new(),
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
    #[doc(hidden)]
    pub fn set_tier(&mut self, tier: Tier, limits: Option<Limits>) {
        self.tier = tier;
        self.limits = limits.unwrap_or(tier.limits());
    }

    /// Its name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert_eq!(broker.namespace().name(), "sbemulatorns");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pricing tier.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert_eq!(broker.namespace().tier(), Tier::Standard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// A new lock token.
    pub(crate) fn new_token(&mut self) -> LockToken {
        LockToken::from_uuid(Uuid(self.random.uuid()))
    }

    /// Takes what has happened since the last call.
    #[doc(hidden)]
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
    #[doc(hidden)]
    pub fn entries_touched(&self) -> u64 {
        self.work.done()
    }

    /// Where entries that were looked at are counted.
    pub(in crate::broker) fn work(&self) -> &Work {
        &self.work
    }

    /// Whether something has happened since [`Namespace::take_signals`].
    #[doc(hidden)]
    pub fn has_signals(&self) -> bool {
        !self.signals.is_empty()
    }

    /// A store. Those of an entity are gone with it.
    #[doc(hidden)]
    pub fn store(&self, id: StoreId) -> Option<&Store> {
        self.stores.find(id.0).filter(|store| store.is_there())
    }

    pub(in crate::broker) fn store_mut(&mut self, id: StoreId) -> Option<&mut Store> {
        self.stores.find_mut(id.0).filter(|store| store.is_there())
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
    #[doc(hidden)]
    pub fn held(&self, entity: &str) -> u64 {
        let bytes = |sizes: &BTreeMap<String, u64>| sizes.get(entity).copied().unwrap_or_default();
        bytes(&self.sizes) + bytes(&self.reserved)
    }

    /// Bytes of a queue, or of a topic with its subscriptions, without those.
    pub(crate) fn stored(&self, key: &str) -> u64 {
        self.sizes.get(key).copied().unwrap_or_default()
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
        if self.store(id).is_none() {
            return;
        }
        self.count_size(id);
        let Some(store) = self.stores.find_mut(id.0) else { return };
        if store.settings().relays && store.has_available(None) {
            self.relays.note(id);
        }
        self.relays.note_returned(id, store.take_returned());
        let deadline = store.next_deadline();
        let signals = store.take_signals();
        let is_filled = !store.is_pure();
        if let Some(slot) = self.recorded_fills.get_mut(index as usize)
            && *slot != is_filled
        {
            *slot = is_filled;
            if is_filled {
                self.filled.insert(index);
            } else {
                self.filled.remove(&index);
            }
        }
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

    /// The timers of a store that is gone are none.
    pub(super) fn forget_deadline(&mut self, index: u32) {
        if let Some(at) = self.recorded.get_mut(index as usize).and_then(Option::take) {
            self.deadlines.remove(&(at, index));
        }
    }

    /// When [`Namespace::handle_timeout`] has something to do.
    #[doc(hidden)]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if !self.remains.is_empty() {
            // More than one call lets go.
            return Some(Timestamp::DOTNET_MIN);
        }
        let store = self.deadlines.first().map(|(at, _)| *at);
        let ids = self.duplicate_checks.first().map(|(at, _)| *at);
        [store, self.idle.next(), ids, self.relays.poll_timeout()].into_iter().flatten().min()
    }

    /// Carries out what is due, up to a bound: lock ends, expiries, schedules, idle entities, message ids to be forgotten.
    /// The rest stays due, see [`Namespace::poll_timeout`].
    #[doc(hidden)]
    pub fn handle_timeout(&mut self, utc: Timestamp) {
        let end = self.work.done() + MAX_TIMERS;
        while self.work.done() < end
            && let Some(&(at, index)) = self.deadlines.first()
            && at <= utc
        {
            match self.stores.key(index).map(StoreId).filter(|id| self.store(*id).is_some()) {
                Some(store) => self.apply(Change::Time { store, utc }),
                None => {
                    self.work.add(1);
                    self.forget_deadline(index);
                }
            }
        }
        while self.work.done() < end && self.check_next_idle(utc) {}
        while self.work.done() < end && self.forget_next_ids(utc) {}
        if !self.remains.is_empty() {
            self.apply(Change::LetGo);
        }
        self.run_relays(utc);
    }

    /// A queue.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let orders = broker.namespace().queue("orders");
    /// assert_eq!(orders.map(|queue| queue.description.max_delivery_count), Some(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queue(&self, path: &str) -> Option<&Queue> {
        self.queues.get(&name::key(path))
    }

    /// A topic.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// let events = broker.namespace().topic("events");
    /// assert_eq!(events.map(|topic| topic.subscriptions.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topic(&self, path: &str) -> Option<&Topic> {
        self.topics.get(&name::key(path))
    }

    /// A subscription.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// let all = broker.namespace().subscription("events", "all");
    /// assert_eq!(all.map(|subscription| subscription.rules.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscription(&self, topic: &str, subscription: &str) -> Option<&Subscription> {
        self.topic(topic)?.subscriptions.get(&name::key(subscription))
    }

    /// All queues by name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// for queue in broker.namespace().queues() {
    ///     println!("{}: {:?}", queue.name, queue.description.lock_duration);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// All topics by name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// for topic in broker.namespace().topics() {
    ///     println!("{}: {} subscriptions", topic.name, topic.subscriptions.len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// How many queues there are.
    pub(crate) fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// So many queues by name behind the first `skip`.
    pub(crate) fn page_of_queues(&self, skip: usize, top: usize) -> impl Iterator<Item = &Queue> {
        self.counted(self.queues.from_rank(skip).take(top))
    }

    /// So many topics by name behind the first `skip`.
    pub(crate) fn page_of_topics(&self, skip: usize, top: usize) -> impl Iterator<Item = &Topic> {
        self.counted(self.topics.from_rank(skip).take(top))
    }

    /// So many subscriptions of a topic by name behind the first `skip`.
    pub(crate) fn page_of_subscriptions<'a>(
        &'a self,
        topic: &'a Topic,
        skip: usize,
        top: usize,
    ) -> impl Iterator<Item = &'a Subscription> {
        self.counted(topic.subscriptions.from_rank(skip).take(top))
    }

    /// So many rules of a subscription by name behind the first `skip`.
    pub(crate) fn page_of_rules<'a>(
        &'a self,
        subscription: &'a Subscription,
        skip: usize,
        top: usize,
    ) -> impl Iterator<Item = &'a StoredRule> {
        self.counted(subscription.rules.from_rank(skip).take(top))
    }

    fn counted<'a, T: 'a>(&'a self, page: impl Iterator<Item = T> + 'a) -> impl Iterator<Item = T> {
        page.inspect(|_| self.work.add(1))
    }

    /// How many messages a queue or subscription holds.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let namespace = broker.namespace();
    /// for queue in namespace.queues() {
    ///     assert_eq!(namespace.counts(&queue.stores).active, 0);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().topic("events").subscription("all").broker(clock)?;
    /// let namespace = broker.namespace();
    /// let waiting = namespace.topic("events").map(|topic| namespace.topic_counts(topic).scheduled);
    /// assert_eq!(waiting, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
