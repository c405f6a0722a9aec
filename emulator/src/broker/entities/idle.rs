//! Entities that delete themselves when they have not been used for a while (`AutoDeleteOnIdle`).

use super::namespace::{Namespace, StoreId};
use super::queue::Times;
use crate::broker::change::Change;
use core::time::Duration;
use servicebus_core::storage::Table as _;
use servicebus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// When to look whether entities have been idle for too long.
#[derive(Debug, Default)]
pub(super) struct IdleChecks {
    due: BTreeSet<(Timestamp, String)>,
    /// The time under which an entity is due.
    by_key: BTreeMap<String, Timestamp>,
}

impl IdleChecks {
    /// The first of them.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    fn take_due(&mut self, utc: Timestamp) -> Option<String> {
        self.due.first().filter(|(at, _)| *at <= utc)?;
        let (_, key) = self.due.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    fn set(&mut self, key: String, at: Timestamp) {
        self.forget(&key);
        self.by_key.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    pub(super) fn forget(&mut self, key: &str) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.due.remove(&(at, key));
        }
    }

    /// What there is of it, to be let go.
    pub(super) fn into_entries(self) -> impl Iterator<Item = ()> + Send {
        self.due.into_iter().map(|_| ()).chain(self.by_key.into_iter().map(|_| ()))
    }
}

/// The key under which a subscription is due.
pub(super) fn subscription_key(topic: &str, subscription: &str) -> String {
    format!("{topic}/subscriptions/{subscription}")
}

impl Namespace {
    /// Looks at the next entity that is due; false when there is none.
    pub(super) fn check_next_idle(&mut self, utc: Timestamp) -> bool {
        let Some(key) = self.idle.take_due(utc) else { return false };
        self.work().add(1);
        let (entity, subscription) = match key.split_once("/subscriptions/") {
            Some((topic, subscription)) => (topic.to_owned(), Some(subscription.to_owned())),
            None => (key.clone(), None),
        };
        let Some((idle, times)) = self.idle_setting(&entity, subscription.as_deref()) else { return true };
        let due = self.last_use(&entity, subscription.as_deref(), times, utc) + idle;
        if due > utc {
            self.idle.set(key, due);
        } else {
            self.apply(Change::Delete { entity, subscription });
        }
        true
    }

    fn idle_setting(&self, entity: &str, subscription: Option<&str>) -> Option<(Duration, Times)> {
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

    /// Whether a receiver waits for messages with credit: that is use, also where none comes. One that waits for a
    /// session is not.
    // docs/evidence/field-reports.md F7
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

    /// When an entity was used last: now while something in it counts as use.
    fn last_use(&self, entity: &str, subscription: Option<&str>, times: Times, utc: Timestamp) -> Timestamp {
        if self.is_awaited(entity, subscription) || self.has_scheduled(entity, subscription) {
            return utc;
        }
        let mut last = times.accessed.max(times.updated);
        // What is done with its subscriptions is use of a topic, and to forward is to receive
        // (docs/evidence/field-reports.md F83).
        let topic = self.topics.get(entity).filter(|_| subscription.is_none());
        for (name, found) in topic.into_iter().flat_map(|topic| topic.subscriptions.iter()) {
            self.work().add(1);
            if found.description.forward_to.is_some() || self.is_awaited(entity, Some(name)) {
                return utc;
            }
            last = last.max(found.times.accessed).max(found.times.updated);
        }
        last
    }

    /// Whether messages wait in a queue or topic for their time: it is not idle meanwhile.
    // docs/evidence/field-reports.md F79
    fn has_scheduled(&self, entity: &str, subscription: Option<&str>) -> bool {
        let store = self.schedule_store(entity).ok().filter(|_| subscription.is_none());
        store.and_then(|id| self.store(id)).is_some_and(|store| store.scheduled_count() > 0)
    }

    /// An entity was made or changed now: when to look at it.
    pub(super) fn watch_idle(&mut self, key: String, idle: Option<Duration>, utc: Timestamp) {
        self.work().add(1);
        match idle {
            Some(idle) => self.idle.set(key, utc + idle),
            None => self.idle.forget(&key),
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
    pub(crate) fn used(&mut self, store: StoreId, utc: Timestamp) {
        self.apply(Change::Use { store, utc });
    }

    /// Notes that an entity was used.
    #[doc(hidden)]
    pub fn accessed(&mut self, entity: &str, subscription: Option<&str>, utc: Timestamp) {
        let store = match (self.queues.get(entity), self.topics.get(entity)) {
            (Some(queue), _) => Some(queue.stores.main),
            (None, Some(topic)) => {
                let below = subscription.and_then(|name| topic.subscriptions.get(name));
                Some(below.map_or(topic.transit, |found| found.stores.main))
            }
            (None, None) => None,
        };
        if let Some(store) = store {
            self.used(store, utc);
        }
    }

    /// The entity of a store was used at this time.
    pub(in crate::broker) fn note_use(&mut self, id: StoreId, utc: Timestamp) {
        // What still has the store of an entity that is gone does not use the next one of its name.
        let found = self.stores.find(id.0).filter(|store| store.is_there());
        let Some(owner) = found.map(|store| &store.owner) else { return };
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
}
