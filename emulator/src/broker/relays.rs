//! Messages that go on by themselves: to where an entity forwards, to the subscriptions of a topic, dead letters to where
//! those are forwarded. Each step takes one message one hop on, in the order of arrival and in turn among the stores; work
//! in one call is bounded, and the rest goes on in the next.

use super::backlog::Backlog;
use super::change::Change;
use super::entities::queue::Stores;
use super::entities::{EntityError, Namespace, StoreId, namespace};
use super::id_map::{IdMap, IdSet};
use super::plan::Plan;
use super::routing::{self, Copy};
use servicebus_core::servicebus::SubQueue;
use servicebus_core::time::{Duration, Timestamp};
use std::collections::hash_set::IntoIter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Changes by relays in one call, give or take those of one message.
const MAX_CHANGES: usize = 4_096;
/// What a look at a store whose message does not go on counts among them.
const LOOK: usize = 4;
/// Stores that one call begins to try again.
const MAX_RETRIES: u64 = 1_000;
/// When a target is tried again that does not take dead letters.
const RETRY: Duration = Duration::from_secs(30);

/// Stores whose messages go on, and those whose target does not take them.
#[derive(Debug, Default)]
pub(super) struct Relays {
    ready: VecDeque<StoreId>,
    queued: IdSet<StoreId>,
    /// Stores to be tried again, by when: one entry for each that is blocked.
    retries: BTreeMap<(Timestamp, u64), StoreId>,
    /// Stores whose target takes none, with their places there.
    blocked: IdMap<StoreId, (Timestamp, u64)>,
    blocks: u64,
    /// Stores whose target was made or changed: they are tried again in parts.
    again: Backlog<IntoIter<StoreId>>,
    /// Behind which arrival the letters of a store are that can go on: those before cannot, whatever the time.
    passed: IdMap<StoreId, u64>,
    /// Places before that one where a letter came back that somebody had locked: those are looked at by themselves.
    returned: IdMap<StoreId, BTreeSet<u64>>,
    /// The entity that each of those waits for, by its key,
    awaited: IdMap<StoreId, String>,
    /// and the stores that wait for each.
    waiting: BTreeMap<String, IdSet<StoreId>>,
    /// When work was left for the next call.
    left: Option<Timestamp>,
}

impl Relays {
    /// Notes that a store has messages that go on.
    pub(super) fn note(&mut self, id: StoreId) {
        if !self.blocked.contains_key(&id) && self.queued.insert(id) {
            self.ready.push_back(id);
        }
    }

    /// Notes places of a store where messages became available again.
    pub(super) fn note_returned(&mut self, id: StoreId, places: Vec<u64>) {
        let Some(passed) = self.passed.get(&id) else { return };
        let behind = places.into_iter().filter(|place| place <= passed);
        let mut behind = behind.peekable();
        if behind.peek().is_some() {
            self.returned.entry(id).or_default().extend(behind);
        }
    }

    /// The letter of a store is not looked at again at this place, unless it comes back once more.
    fn pass(&mut self, id: StoreId, position: u64) {
        let passed = self.passed.entry(id).or_default();
        *passed = position.max(*passed);
        self.forget_returned(id, position);
    }

    fn forget_returned(&mut self, id: StoreId, position: u64) {
        if let Some(places) = self.returned.get_mut(&id) {
            places.remove(&position);
            if places.is_empty() {
                self.returned.remove(&id);
            }
        }
    }

    /// When there is something to do.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        if !self.again.is_empty() {
            return Some(Timestamp::DOTNET_MIN);
        }
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        match (self.left, retry) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// An entity was made or has other settings: what waits for it can be tried again.
    pub(super) fn try_again(&mut self, entity: &str) {
        self.again.extend(self.waiting.remove(entity).map(IntoIterator::into_iter));
    }

    /// The settings of a store's own entity have changed.
    pub(super) fn try_store_again(&mut self, id: StoreId) {
        let waited = self.unblock(id) | self.passed.remove(&id).is_some();
        self.returned.remove(&id);
        if waited {
            self.note(id);
        }
    }

    fn unblock(&mut self, id: StoreId) -> bool {
        let place = self.blocked.remove(&id);
        place.is_some_and(|place| self.retries.remove(&place).is_some())
    }

    fn wait_for(&mut self, id: StoreId, entity: String) {
        if self.awaited.get(&id) == Some(&entity) {
            return;
        }
        self.stop_waiting(id);
        self.waiting.entry(entity.clone()).or_default().insert(id);
        self.awaited.insert(id, entity);
    }

    fn stop_waiting(&mut self, id: StoreId) {
        let Some(entity) = self.awaited.remove(&id) else { return };
        if let Some(stores) = self.waiting.get_mut(&entity) {
            stores.remove(&id);
            if stores.is_empty() {
                self.waiting.remove(&entity);
            }
        }
    }

    /// Begins to try stores again, up to a bound: the rest is due at once. How many they were.
    fn take_due(&mut self, utc: Timestamp) -> u64 {
        for count in 0..MAX_RETRIES {
            if let Some(id) = self.again.next() {
                self.stop_waiting(id);
                self.try_store_again(id);
            } else if let Some(entry) = self.retries.first_entry().filter(|entry| entry.key().0 <= utc) {
                let id = entry.remove();
                self.blocked.remove(&id);
                self.note(id);
            } else {
                return count;
            }
        }
        MAX_RETRIES
    }

    /// Forgets a store that is gone.
    pub(super) fn forget(&mut self, id: StoreId) {
        self.stop_waiting(id);
        self.passed.remove(&id);
        self.returned.remove(&id);
        self.unblock(id);
    }

    fn block(&mut self, id: StoreId, utc: Timestamp) {
        if !self.blocked.contains_key(&id) {
            self.blocks += 1;
            let place = (utc + RETRY, self.blocks);
            self.blocked.insert(id, place);
            self.retries.insert(place, id);
        }
    }
}

/// Where the messages of a store go on to.
enum Route {
    /// To the subscriptions of this topic.
    Subscriptions(String),
    /// To this entity.
    Forward { target: String, stores: Stores },
    /// Dead letters of an entity of this path, to this entity.
    Letters { target: String, source: Arc<str> },
}

/// What one step came to.
enum Step {
    /// So many changes.
    Done(usize),
    /// The message at this place cannot go on to this entity, now or ever.
    Stays(u64, String),
    /// This entity takes nothing now.
    Blocked(String),
}

impl Namespace {
    fn route(&self, id: StoreId) -> Option<Route> {
        let store = self.store(id).filter(|store| store.settings().relays)?;
        let owner = &store.owner;
        let Some(subscription) = &owner.subscription else {
            if self.topics.contains_key(&owner.entity) {
                return Some(Route::Subscriptions(owner.entity.clone()));
            }
            let queue = self.queues.get(&owner.entity)?;
            let description = &queue.description;
            return match store.settings().sub_queue {
                None => Some(Route::Forward { target: description.forward_to.clone()?, stores: queue.stores }),
                Some(SubQueue::DeadLetter) => {
                    let target = description.forward_dead_lettered_messages_to.clone()?;
                    Some(Route::Letters { target, source: self.store(queue.stores.main)?.owner.path.clone() })
                }
                Some(SubQueue::TransferDeadLetter) => None,
            };
        };
        let found = self.topics.get(&owner.entity)?.subscriptions.get(subscription)?;
        match store.settings().sub_queue {
            None => Some(Route::Forward { target: found.description.forward_to.clone()?, stores: found.stores }),
            Some(SubQueue::DeadLetter) => {
                let target = found.description.forward_dead_lettered_messages_to.clone()?;
                Some(Route::Letters { target, source: self.store(found.stores.main)?.owner.path.clone() })
            }
            Some(SubQueue::TransferDeadLetter) => None,
        }
    }

    /// Takes messages on, as far as one call goes.
    pub(super) fn run_relays(&mut self, utc: Timestamp) {
        let begun = self.relays.take_due(utc);
        self.work().add(begun);
        self.relays.left = None;
        let mut changes = 0;
        while let Some(id) = self.relays.ready.pop_front() {
            self.relays.queued.remove(&id);
            match self.relay(id, utc) {
                Some(Step::Done(count)) => {
                    changes += count;
                    self.relays.note(id);
                }
                Some(Step::Stays(position, target)) => {
                    changes += self.count_look();
                    self.relays.pass(id, position);
                    self.relays.wait_for(id, target);
                    self.relays.note(id);
                }
                Some(Step::Blocked(target)) => {
                    changes += self.count_look();
                    self.relays.wait_for(id, target);
                    self.relays.block(id, utc);
                }
                None => changes += self.count_look(),
            }
            if changes >= MAX_CHANGES {
                self.relays.left = (!self.relays.ready.is_empty()).then_some(utc);
                return;
            }
        }
    }

    fn count_look(&self) -> usize {
        self.work().add(1);
        LOOK
    }

    /// The place of the first letter that came back before those that are passed, and is still there.
    fn first_returned(&mut self, id: StoreId) -> Option<u64> {
        loop {
            let position = *self.relays.returned.get(&id)?.first()?;
            let next = self.store(id)?.first_after(Some(position.saturating_sub(1)));
            if next.is_some_and(|(found, _)| found == position) {
                return Some(position);
            }
            self.relays.forget_returned(id, position);
        }
    }

    /// Takes the next message of a store one hop on; `None` when there is none.
    fn relay(&mut self, id: StoreId, utc: Timestamp) -> Option<Step> {
        let route = self.route(id)?;
        let returned = self.first_returned(id);
        let store = self.store(id)?;
        let after = self.relays.passed.get(&id).copied();
        let (position, number) = match returned {
            Some(position) => store.first_after(Some(position.saturating_sub(1)))?,
            None => store.first_after(after)?,
        };
        let message = store.message(number)?;
        let mut plan = Plan::new(self, utc);
        let mut evaluated = 0;
        match route {
            Route::Subscriptions(topic) => {
                plan.push(Change::Remove { store: id, number });
                let mut message = message.clone();
                // Copies in a partitioned topic carry the number that it took the message under
                // (docs/evidence/service-evidence.md §8, docs/evidence/field-reports.md F74).
                if message.enqueued_sequence_number.is_none()
                    && let Some(found) = self.topics.get(&topic).filter(|topic| topic.description.enable_partitioning)
                {
                    message.enqueued_sequence_number = Some(plan.reserve(found.scheduled));
                }
                let made = routing::fan_out(self, &topic, &message, plan.random(), utc);
                if made.is_cut {
                    // It waits in the topic until there is room.
                    return Some(Step::Blocked(topic));
                }
                evaluated = made.evaluated;
                for (store, copy) in made.copies {
                    match copy {
                        Copy::Alive(mut copy) => {
                            copy.sequence_number = plan.next_number(store);
                            plan.push(Change::Insert { store, message: Box::new(copy) });
                        }
                        Copy::Dead { mut message, main } => {
                            message.sequence_number = plan.next_number(main);
                            plan.push(Change::Reserve { store: main });
                            plan.push(Change::Bury { store, message: Box::new(message) });
                        }
                    }
                }
            }
            Route::Forward { target, stores } => {
                plan.push(Change::Remove { store: id, number });
                if message.hops >= routing::MAX_HOPS {
                    let dead = routing::dead_after_hops(message.clone());
                    plan.push(Change::Bury { store: stores.transfer, message: Box::new(dead) });
                } else {
                    let target = namespace::target_key(&target);
                    match plan.forward(&target, routing::hop(message)) {
                        Ok(()) => {}
                        // It waits here until there is room.
                        Err(EntityError::OverBudget(_)) => return Some(Step::Blocked(target)),
                        Err(why) => {
                            let dead = routing::dead_in_transfer(message.clone(), &why);
                            plan.push(Change::Bury { store: stores.dead_letter, message: Box::new(dead) });
                        }
                    }
                }
            }
            Route::Letters { target, source } => {
                let target = namespace::target_key(&target);
                if message.hops >= routing::MAX_HOPS {
                    return Some(Step::Stays(position, target));
                }
                plan.push(Change::Remove { store: id, number });
                let mut letter = routing::hop(message);
                letter.dead_letter_source = Some(source);
                letter.delivery_count = 0;
                // Its life has ended where it died: an expired message would be lost in the target
                // (docs/evidence/field-reports.md F78).
                letter.time_to_live = None;
                match plan.forward(&target, letter) {
                    Ok(()) => {}
                    Err(EntityError::SessionIdMissing) => return Some(Step::Stays(position, target)),
                    Err(_) => return Some(Step::Blocked(target)),
                }
            }
        }
        let planned = plan.finish();
        let changes = planned.changes.len();
        self.carry_out(planned);
        self.filters_evaluated += evaluated;
        Some(Step::Done(changes))
    }
}

#[cfg(test)]
mod tests {
    use crate::broker::budget::Holding;
    use crate::broker::entities::{Message, Namespace, QueueDescription};
    use bytes::BytesMut;
    use servicebus_core::servicebus::MessageRef;
    use servicebus_core::time::{Duration, Timestamp};
    use servicebus_core::wire::{Encode, Sink};

    /// A message that is forwarded waits while there is no memory for its id, and goes on later.
    #[test]
    fn a_forward_waits_for_memory() {
        let utc = Timestamp::from_secs(1_700_000_000);
        let mut namespace = Namespace::new(1);
        let once = QueueDescription { requires_duplicate_detection: true, ..QueueDescription::default() };
        namespace.create_queue("once", once, utc).unwrap();
        let first = QueueDescription { forward_to: Some("once".into()), ..QueueDescription::default() };
        namespace.create_queue("first", first, utc).unwrap();
        let mut all = namespace.budget.empty(Holding::MessageIds);
        all.set(namespace.budget.limit());
        let mut bytes = BytesMut::new();
        MessageRef::new("body").with_message_id("1").encode(&mut Sink::from(&mut bytes));
        namespace.send("first", Message::accept(bytes.freeze()).unwrap(), utc).unwrap();
        namespace.handle_timeout(utc);
        let counts = |namespace: &Namespace, name| namespace.counts(&namespace.queue(name).unwrap().stores);
        assert_eq!((counts(&namespace, "first").active, counts(&namespace, "once").total()), (1, 0));
        drop(all);
        namespace.handle_timeout(utc + Duration::from_secs(30));
        assert_eq!((counts(&namespace, "first").total(), counts(&namespace, "once").active), (0, 1));
    }
}
