//! The one place that changes messages. Applying cannot fail: what could be refused was refused by the plan, and a change
//! for a store or message that is gone is none.

use super::change::Change;
use super::entities::namespace::StoreOwner;
use super::entities::store::{DeadReason, Effect, Ending};
use super::entities::{Message, MessageState, Namespace, StoreId};
use super::plan::Planned;
use super::routing;
use servicebus_core::time::Timestamp;

impl Namespace {
    /// Makes the changes of a plan.
    pub(crate) fn carry_out(&mut self, planned: Planned) {
        self.random = planned.random;
        for change in planned.changes {
            self.apply(change);
        }
    }

    /// Keeps the changes that are made from now on.
    pub fn record_changes(&mut self) {
        self.log = Some(Vec::new());
    }

    /// The changes since [`Namespace::record_changes`].
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.log.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Makes one change.
    pub fn apply(&mut self, change: Change) {
        self.log_change(&change);
        if let Some(log) = &mut self.log {
            log.push(change.clone());
        }
        match change {
            Change::Insert { store: id, message } => {
                if let Some(store) = self.store_mut(id) {
                    store.place(*message);
                }
                self.touched(id);
            }
            Change::Bury { store: id, message } => {
                if let Some(store) = self.store_mut(id) {
                    store.bury(*message);
                }
                self.touched(id);
            }
            Change::Remove { store: id, number } => {
                if let Some(store) = self.store_mut(id) {
                    store.delete(number);
                }
                self.touched(id);
            }
            Change::Restore { store: id, taken } => {
                if let Some(store) = self.store_mut(id) {
                    store.put_back(*taken);
                }
                self.touched(id);
            }
            Change::Reserve { store } => {
                if let Some(store) = self.store_mut(store) {
                    store.reserve_number();
                }
            }
            Change::Remember { entity, id, utc } => {
                let (duplicates, window) = if let Some(queue) = self.queues.get_mut(&entity) {
                    (&mut queue.duplicates, queue.description.duplicate_detection_history_time_window)
                } else if let Some(topic) = self.topics.get_mut(&entity) {
                    (&mut topic.duplicates, topic.description.duplicate_detection_history_time_window)
                } else {
                    return;
                };
                duplicates.remember(id, window, utc);
            }
            Change::Use { entity, subscription, utc } => self.accessed(&entity, subscription.as_deref(), utc),
            Change::Lock { store: id, number, token, utc } => {
                if let Some(store) = self.store_mut(id) {
                    store.lock_entry(number, token, utc);
                }
                self.touched(id);
            }
            Change::Settle { store: id, token, settlement, utc } => {
                let changes = settlement.decoded();
                let effect = self.store_mut(id).and_then(|store| store.settle(token, settlement.ending, &changes, utc));
                self.touched(id);
                self.follow(id, effect, utc);
            }
            Change::Renew { store: id, token, utc } => {
                if let Some(store) = self.store_mut(id) {
                    store.extend_lock(token, utc);
                }
                self.touched(id);
            }
            Change::Expire { store: id, number, utc } => {
                let effect = self.store_mut(id).and_then(|store| store.expire(number));
                self.touched(id);
                self.follow(id, effect, utc);
            }
            Change::Time { store: id, utc } => {
                let effects = self.store_mut(id).map(|store| store.handle_timers(utc));
                self.touched(id);
                self.follow(id, effects.into_iter().flatten(), utc);
            }
            Change::SessionState { store: id, session, state, utc } => {
                if let Some(store) = self.store_mut(id) {
                    store.put_session_state(&session, state, utc);
                }
                self.touched(id);
            }
        }
    }

    /// What a change to a store leads to in the other stores of its entity.
    pub(super) fn follow(&mut self, id: StoreId, effects: impl IntoIterator<Item = Effect>, utc: Timestamp) {
        for effect in effects {
            let (message, reason) = match effect {
                Effect::Activate(message) => {
                    self.activate(id, message, utc);
                    continue;
                }
                Effect::DeadLetter(message, reason) => (message, reason),
            };
            let message = match reason {
                DeadReason::Explicit => message,
                DeadReason::MaxDeliveryCount(count) => {
                    let text = format!("Message could not be consumed after {count} delivery attempts.");
                    routing::dead(message, "MaxDeliveryCountExceeded", &text)
                }
                DeadReason::Expired => {
                    routing::dead(message, "TTLExpiredException", "The message expired and was dead lettered.")
                }
            };
            let Some(StoreOwner { stores: Some(stores), .. }) = self.owner_of(id) else { continue };
            self.log_dead(stores.dead_letter, &message);
            if let Some(store) = self.store_mut(stores.dead_letter) {
                store.bury(message);
            }
            self.touched(stores.dead_letter);
        }
    }

    /// The time of a scheduled message has come: it is enqueued anew, with a new number
    /// (docs/evidence/service-evidence.md §8).
    fn activate(&mut self, id: StoreId, mut message: Message, utc: Timestamp) {
        let Some(owner) = self.owner_of(id) else { return };
        let arrivals = owner.arrivals;
        let Some(store) = self.store_mut(arrivals) else { return };
        message.sequence_number = store.reserve_number();
        message.enqueued_time = utc;
        message.state = MessageState::Active;
        message.activated = true;
        store.place(message);
        self.touched(arrivals);
    }
}

/// A lock that ends because nothing was done with the message.
pub(super) const RELEASE: super::change::Settlement = super::change::Settlement::plain(Ending::Release);
