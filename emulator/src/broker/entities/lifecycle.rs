//! Entities and rules as they are made, changed and deleted. Nothing here is refused: the commands on entities have
//! checked it, and `apply` is the one caller.

use super::description::{QueueDescription, SubscriptionDescription, TopicDescription};
use super::duplicates::Duplicates;
use super::idle::subscription_key;
use super::listed::Listed;
use super::name;
use super::namespace::{Namespace, Signal, StoreId};
use super::queue::{self, Queue, Stores, Times};
use super::remains::{Life, Part};
use super::rule::StoredRule;
use super::rule_index::{RuleCounts, RuleIndex};
use super::store::{MAX_TIMERS, Owner, Store, StoreSettings};
use super::topic::{self, Subscription, Topic};
use crate::broker::budget::{Holding, Share};
use crate::filter::Rule;
use servicebus_core::servicebus::SubQueue;
use servicebus_core::storage::Table;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// The sub-queues in the order of [`Stores::all`].
const KINDS: [Option<SubQueue>; 3] = [None, Some(SubQueue::DeadLetter), Some(SubQueue::TransferDeadLetter)];

impl Namespace {
    /// A share of the memory budget for something that is there.
    fn entity_share(&self, bytes: usize) -> Share {
        let mut share = self.budget.empty(Holding::Entities);
        share.set(bytes);
        share
    }

    fn new_store(&mut self, owner: Owner, settings: StoreSettings, life: &Arc<Life>) -> Option<StoreId> {
        let mut store = Store::new(owner, settings);
        store.count_in(self.work().clone());
        store.live_in(Arc::clone(life));
        let key = self.stores.insert(store).ok()?;
        let slots = self.recorded.len().max(key.index as usize + 1);
        self.recorded.resize(slots, None);
        self.recorded_fills.resize(slots, false);
        self.recorded_sizes.resize(slots, 0);
        Some(StoreId(key))
    }

    fn new_stores(
        &mut self,
        entity: &str,
        subscription: Option<&str>,
        path: &str,
        life: &Arc<Life>,
        settings: impl Fn(Option<SubQueue>) -> StoreSettings,
    ) -> Option<Stores> {
        let mut store = |sub_queue: Option<SubQueue>| {
            let path = match sub_queue {
                None => Arc::from(path),
                Some(sub_queue) => Arc::from(format!("{path}/{}", sub_queue.suffix())),
            };
            let owner = Owner { entity: entity.to_owned(), subscription: subscription.map(str::to_owned), path };
            self.new_store(owner, settings(sub_queue), life)
        };
        Some(Stores {
            main: store(None)?,
            dead_letter: store(Some(SubQueue::DeadLetter))?,
            transfer: store(Some(SubQueue::TransferDeadLetter))?,
        })
    }

    fn set_settings(&mut self, stores: Stores, settings: impl Fn(Option<SubQueue>) -> StoreSettings) {
        for (id, sub_queue) in stores.all().into_iter().zip(KINDS) {
            if let Some(store) = self.store_mut(id) {
                store.set_settings(settings(sub_queue));
            }
            self.relays.try_store_again(id);
            self.touched(id);
        }
    }

    /// Makes a queue, or gives it other settings.
    pub(in crate::broker) fn put_queue(&mut self, key: String, description: QueueDescription, utc: Timestamp) {
        self.watch_idle(key.clone(), description.auto_delete_on_idle, utc);
        let share = self.entity_share(queue::bytes(&key, &description));
        if let Some(queue) = self.queues.get_mut(&key) {
            let stores = queue.stores;
            queue.description = description.clone();
            self.versions.update(&mut queue.times, utc);
            queue.share = share;
            self.set_settings(stores, |sub_queue| queue::settings(&description, sub_queue));
            self.watch_duplicates(&key, utc);
            self.signal(Signal::Updated(key.clone()));
        } else {
            let life = Life::below(&self.life);
            let stores = self.new_stores(&key, None, &key, &life, |kind| queue::settings(&description, kind));
            let Some(stores) = stores else { return };
            let duplicates = Duplicates::new(&self.budget);
            let name = key.clone();
            let times = self.versions.make(utc);
            let queue = Queue { name, description, times, stores, duplicates, share, life };
            self.queues.insert(key.clone(), queue);
        }
        self.relays.try_again(&key);
    }

    /// Makes a topic, or gives it other settings.
    pub(in crate::broker) fn put_topic(&mut self, key: String, description: TopicDescription, utc: Timestamp) {
        self.watch_idle(key.clone(), description.auto_delete_on_idle, utc);
        let share = self.entity_share(topic::bytes(&key, &description));
        if let Some(topic) = self.topics.get_mut(&key) {
            topic.description = description;
            self.versions.update(&mut topic.times, utc);
            topic.share = share;
            self.watch_duplicates(&key, utc);
            self.signal(Signal::Updated(key.clone()));
        } else {
            let life = Life::below(&self.life);
            let owner = Owner { entity: key.clone(), subscription: None, path: Arc::from(key.as_str()) };
            let settings = queue::settings(&QueueDescription::default(), None);
            let scheduled = self.new_store(owner.clone(), settings.clone(), &life);
            let transit = self.new_store(owner, StoreSettings { relays: true, ..settings }, &life);
            let (Some(scheduled), Some(transit)) = (scheduled, transit) else { return };
            let topic = Topic {
                name: key.clone(),
                description,
                times: self.versions.make(utc),
                scheduled,
                transit,
                subscriptions: Listed::default(),
                rules: RuleIndex::default(),
                duplicates: Duplicates::new(&self.budget),
                share,
                life,
            };
            self.topics.insert(key.clone(), topic);
        }
        self.relays.try_again(&key);
    }

    /// Makes a subscription with this rule, or gives it other settings. `key` is the topic's.
    pub(in crate::broker) fn put_subscription(
        &mut self,
        key: &str,
        name: String,
        description: SubscriptionDescription,
        rule: Option<Rule>,
        utc: Timestamp,
    ) {
        let own = name::key(&name);
        let Some(topic) = self.topics.get_mut(key) else { return };
        let path = subscription_key(key, &own);
        if let Some(found) = topic.subscriptions.get_mut(&own) {
            let stores = found.stores;
            found.description = description.clone();
            self.versions.update(&mut found.times, utc);
            found.share.set(topic::subscription_bytes(&path, &description));
            self.set_settings(stores, |sub_queue| topic::settings(&description, sub_queue));
            self.watch_idle(path.clone(), description.auto_delete_on_idle, utc);
            self.signal(Signal::Updated(path));
            return;
        }
        // A fresh subscription counts as used, and so does its topic (docs/evidence/pinned-behaviour.md ADM57, ADM58).
        topic.times.accessed = utc;
        let (life, shown) = (Arc::clone(&topic.life), format!("{}/Subscriptions/{name}", topic.name));
        let settings = |sub_queue| topic::settings(&description, sub_queue);
        let Some(stores) = self.new_stores(key, Some(&own), &shown, &life, settings) else { return };
        let share = self.entity_share(topic::subscription_bytes(&path, &description));
        self.watch_idle(path, description.auto_delete_on_idle, utc);
        let times = Times { accessed: utc, ..Times::new(utc) };
        self.subscriptions_made += 1;
        let (rules, counts, number) = (Listed::default(), RuleCounts::default(), self.subscriptions_made);
        let subscription = Subscription { name, description, times, stores, rules, counts, number, share };
        if let Some(topic) = self.topics.get_mut(key) {
            topic.subscriptions.insert(own.clone(), subscription);
        }
        if let Some(rule) = rule {
            self.put_rule(key, &own, rule, utc);
        }
    }

    /// Adds a rule, or puts it in the place of the one of the same name. Topic and subscription are keys.
    pub(in crate::broker) fn put_rule(&mut self, topic: &str, subscription: &str, rule: Rule, utc: Timestamp) {
        let share = self.entity_share(rule.memory());
        let key = name::key(&rule.name);
        let Some(found) = self.topics.get_mut(topic) else { return };
        let Some(place) = found.subscriptions.get_mut(subscription) else { return };
        if let Some(before) = place.rules.get(&key) {
            found.rules.remove(subscription, place.number, &key, &before.rule);
            place.counts.remove(&before.rule);
        }
        found.rules.add(subscription, place.number, &key, &rule);
        place.counts.add(&rule);
        place.rules.insert(key, StoredRule { rule, created_at: utc, _share: share });
        // A rule that is added is use of its subscription (docs/evidence/field-reports.md F79).
        let store = place.stores.main;
        self.note_use(store, utc);
    }

    /// Takes a rule away. All three are keys.
    pub(in crate::broker) fn remove_rule(&mut self, topic: &str, subscription: &str, rule: &str) {
        let Some(found) = self.topics.get_mut(topic) else { return };
        let Some(place) = found.subscriptions.get_mut(subscription) else { return };
        if let Some(removed) = place.rules.remove(rule) {
            found.rules.remove(subscription, place.number, rule, &removed.rule);
            place.counts.remove(&removed.rule);
        }
    }

    /// Takes a queue, or a topic with its subscriptions, away by its key: nobody finds it any more, and what is left of
    /// it goes in parts.
    pub(in crate::broker) fn remove_entity(&mut self, key: &str) {
        self.forget_duplicates_of(key);
        if let Some(queue) = self.queues.remove(key) {
            queue.life.end();
            self.remains.add_queue(queue);
        } else if let Some(topic) = self.topics.remove(key) {
            topic.life.end();
            self.remains.add_topic(topic);
        } else {
            return;
        }
        self.work().add(1);
        self.versions.delete();
        self.idle.forget(key);
        self.sizes.remove(key);
        self.reserved.remove(key);
        self.signal(Signal::Deleted(key.to_owned()));
        self.let_go();
    }

    /// Takes a subscription away by its keys. Its topic holds less from now on.
    pub(in crate::broker) fn remove_subscription(&mut self, key: &str, own: &str) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let Some(removed) = topic.subscriptions.remove(own) else { return };
        topic.rules.leave(removed.counts);
        self.work().add(1);
        for id in removed.stores.all() {
            self.drop_store(id);
        }
        self.remains.add_subscription_of(key, own, removed);
        let path = subscription_key(key, own);
        self.idle.forget(&path);
        self.signal(Signal::Deleted(path));
        self.let_go();
    }

    /// Takes every entity away.
    pub(in crate::broker) fn remove_all(&mut self) {
        self.life.end();
        self.life = Arc::default();
        self.versions.delete();
        let (queues, topics) = (core::mem::take(&mut self.queues), core::mem::take(&mut self.topics));
        let ((queues, of_queues), (topics, of_topics)) = (queues.into_parts(), topics.into_parts());
        self.remains.add_all(queues.into_values(), topics.into_values());
        self.remains.add(of_queues.chain(of_topics));
        self.remains.add(core::mem::take(&mut self.idle).into_entries());
        self.remains.add(core::mem::take(&mut self.duplicate_checks).into_iter());
        self.remains.add(core::mem::take(&mut self.sizes).into_iter());
        self.remains.add(core::mem::take(&mut self.reserved).into_iter());
        self.signal(Signal::Cleared);
        self.let_go();
    }

    /// The stores that have messages or sessions.
    pub(in crate::broker) fn filled_stores(&self) -> Vec<StoreId> {
        let all = self.filled.iter().filter_map(|index| self.stores.key(*index)).map(StoreId);
        all.inspect(|_| self.work().add(1)).filter(|id| self.store(*id).is_some()).collect()
    }

    /// Takes the messages of a store and the states of its sessions away; sessions that are held stay so.
    pub(in crate::broker) fn purge_store(&mut self, id: StoreId) {
        if let Some(entries) = self.store_mut(id).map(Store::purge) {
            self.remains.add(entries);
        }
        self.touched(id);
    }

    /// Takes a store out of the table; its entries go in parts.
    fn drop_store(&mut self, id: StoreId) {
        if self.stores.find(id.0).is_none() {
            return;
        }
        let index = id.0.index;
        self.forget_deadline(index);
        let size = self.recorded_sizes.get_mut(index as usize).map(core::mem::take).unwrap_or_default();
        if self.recorded_fills.get_mut(index as usize).is_some_and(core::mem::take) {
            self.filled.remove(&index);
        }
        self.relays.forget(id);
        let Some(store) = self.stores.remove(index) else { return };
        // The entity of a store whose life has ended is gone, and another may have its name.
        if store.is_there()
            && let Some(total) = self.sizes.get_mut(&store.owner.entity)
        {
            *total = total.saturating_sub(size);
        }
        self.remains.add(store.into_entries());
    }

    /// Lets go of what is left of entities and messages that are gone, up to a bound. The places of stores that go are
    /// given to new ones.
    pub(in crate::broker) fn let_go(&mut self) {
        let end = self.work().done() + MAX_TIMERS;
        while self.work().done() < end
            && let Some(part) = self.remains.next()
        {
            self.work().add(1);
            match part {
                Part::Entry => {}
                Part::Store(id) => self.drop_store(id),
                Part::Subscription(main) => self.forget_idle_of(main),
                Part::Rule(gone) => {
                    if let Some(topic) = self.topics.get_mut(&gone.topic) {
                        topic.rules.let_go(&gone.subscription, gone.number, &gone.key, &gone.rule.rule.filter);
                    }
                }
            }
        }
    }

    /// A subscription that went with its topic is not idle any more, unless there is another of its name by now.
    fn forget_idle_of(&mut self, main: StoreId) {
        let Some(Owner { entity, subscription: Some(own), .. }) = self.stores.find(main.0).map(|store| &store.owner)
        else {
            return;
        };
        if self.topics.get(entity).is_none_or(|topic| !topic.subscriptions.contains_key(own)) {
            self.idle.forget(&subscription_key(entity, own));
        }
    }
}
