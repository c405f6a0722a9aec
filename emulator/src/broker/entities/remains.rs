//! What is left of entities and messages that are gone: nobody can reach it any more, and it is let go in parts, so that
//! no call pays for all of a large entity.

use super::duplicates::Duplicates;
use super::namespace::StoreId;
use super::queue::Queue;
use super::rule::StoredRule;
use super::rule_index::RuleIndex;
use super::topic::{Subscription, Topic};
use crate::broker::backlog::Backlog;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;

/// Whether an entity is there. The stores of a topic and of its subscriptions share one, so that all of them go at once;
/// those of a namespace have another above theirs.
#[derive(Debug, Default)]
pub(in crate::broker) struct Life {
    ended: AtomicBool,
    above: Option<Arc<Self>>,
}

impl Life {
    /// One that also ends with this one.
    pub(super) fn below(above: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { ended: AtomicBool::new(false), above: Some(Arc::clone(above)) })
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.above.as_ref().is_some_and(|above| above.has_ended())
    }
}

/// Entries that are let go one by one.
type Entries = Box<dyn Iterator<Item = ()> + Send>;

/// A part that takes one step.
pub(super) enum Part {
    /// An entry is gone.
    Entry,
    /// This store is to be taken out of its table.
    Store(StoreId),
    /// A subscription of a topic that is gone, whose main store this is: its stores go later.
    Subscription(StoreId),
    /// A rule of a subscription that is gone, which is still in the index of its topic.
    Rule(Box<GoneRule>),
}

/// A rule of a subscription that is gone.
pub(super) struct GoneRule {
    pub(super) topic: Arc<str>,
    pub(super) subscription: Arc<str>,
    /// The subscription's number.
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) rule: StoredRule,
}

/// What is to be let go.
#[derive(Default)]
pub(super) struct Remains {
    entries: Backlog<Entries>,
    stores: VecDeque<StoreId>,
    rules: Backlog<Box<dyn Iterator<Item = GoneRule> + Send>>,
    subscriptions: Backlog<Box<dyn Iterator<Item = Subscription> + Send>>,
    queues: Backlog<Box<dyn Iterator<Item = Queue> + Send>>,
    topics: Backlog<Box<dyn Iterator<Item = Topic> + Send>>,
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

impl Remains {
    pub(super) fn is_empty(&self) -> bool {
        let Self { entries, stores, rules, subscriptions, queues, topics } = self;
        let has_entities = !(subscriptions.is_empty() && queues.is_empty() && topics.is_empty());
        !has_entities && entries.is_empty() && stores.is_empty() && rules.is_empty()
    }

    /// Entries that were taken out of something.
    pub(super) fn add<T>(&mut self, entries: impl Iterator<Item = T> + Send + 'static) {
        self.entries.push(Box::new(entries.map(|_| ())));
    }

    pub(super) fn add_duplicates(&mut self, duplicates: Duplicates) {
        self.entries.push(Box::new(duplicates.into_entries()));
    }

    pub(super) fn add_rules(&mut self, rules: RuleIndex) {
        self.entries.push(Box::new(rules.into_entries()));
    }

    /// A subscription, whose stores are not reached any more.
    pub(super) fn add_subscription(&mut self, subscription: Subscription) {
        self.stores.extend(subscription.stores.all());
        let (rules, order) = subscription.rules.into_parts();
        self.add(order);
        self.add(rules.into_iter());
    }

    /// The same for one whose topic stays: its rules are to be taken out of the index there. Both are keys.
    pub(super) fn add_subscription_of(&mut self, topic: &str, own: &str, subscription: Subscription) {
        let Subscription { number, rules, .. } = subscription;
        let (topic, subscription): (Arc<str>, Arc<str>) = (topic.into(), own.into());
        let (rules, order) = rules.into_parts();
        self.add(order);
        self.rules.push(Box::new(rules.into_iter().map(move |(key, rule)| {
            let (topic, subscription) = (Arc::clone(&topic), Arc::clone(&subscription));
            GoneRule { topic, subscription, number, key, rule }
        })));
    }

    /// A queue whose stores are not reached any more.
    pub(super) fn add_queue(&mut self, queue: Queue) {
        self.stores.extend(queue.stores.all());
        self.add_duplicates(queue.duplicates);
    }

    /// A topic; its life has ended.
    pub(super) fn add_topic(&mut self, topic: Topic) {
        self.stores.extend([topic.scheduled, topic.transit]);
        self.add_duplicates(topic.duplicates);
        self.add_rules(topic.rules);
        let (subscriptions, order) = topic.subscriptions.into_parts();
        self.add(order);
        self.subscriptions.push(Box::new(subscriptions.into_values()));
    }

    /// All queues and topics of a namespace.
    pub(super) fn add_all(
        &mut self,
        queues: impl Iterator<Item = Queue> + Send + 'static,
        topics: impl Iterator<Item = Topic> + Send + 'static,
    ) {
        self.queues.push(Box::new(queues));
        self.topics.push(Box::new(topics));
    }

    /// Lets one part go; `None` when nothing is left.
    pub(super) fn next(&mut self) -> Option<Part> {
        if let Some(()) = self.entries.next() {
            return Some(Part::Entry);
        }
        if let Some(id) = self.stores.pop_front() {
            return Some(Part::Store(id));
        }
        if let Some(rule) = self.rules.next() {
            return Some(Part::Rule(Box::new(rule)));
        }
        if let Some(subscription) = self.subscriptions.next() {
            let main = subscription.stores.main;
            self.add_subscription(subscription);
            return Some(Part::Subscription(main));
        } else if let Some(queue) = self.queues.next() {
            self.add_queue(queue);
        } else if let Some(topic) = self.topics.next() {
            self.add_topic(topic);
        } else {
            return None;
        }
        Some(Part::Entry)
    }
}
