//! The one place that changes messages, entities and rules. Applying cannot fail: what could be refused was refused by the
//! plan, and a change for a store or message that is gone is none.

#[cfg(test)]
mod tests;

use super::change::{Change, SessionStep};
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
    #[doc(hidden)]
    pub fn record_changes(&mut self) {
        self.log = Some(Vec::new());
    }

    /// The changes since [`Namespace::record_changes`].
    #[doc(hidden)]
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.log.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Makes one change.
    #[doc(hidden)]
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
            Change::Remember { entity, id, utc } => self.remember_id(&entity, &id, utc),
            Change::Forget { entity, utc } => self.forget_ids(&entity, utc),
            Change::Use { store, utc } => self.note_use(store, utc),
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
            Change::Session { store: id, session, step, utc } => {
                let Some(store) = self.store_mut(id) else { return };
                let effects = match step {
                    SessionStep::Release { holder } => store.release_session(&session, holder, utc),
                    SessionStep::Accept { holder } => {
                        store.lock_session(&session, holder, utc);
                        Vec::new()
                    }
                    SessionStep::Share { token } => {
                        store.share_session(&session, token);
                        Vec::new()
                    }
                    SessionStep::TakeOver { holder, token } => {
                        store.hand_over_session(&session, token, holder, utc);
                        Vec::new()
                    }
                    SessionStep::Renew => {
                        store.extend_session(&session, utc);
                        Vec::new()
                    }
                };
                self.touched(id);
                self.follow(id, effects, utc);
            }
            Change::SessionState { store: id, session, state, utc } => {
                if let Some(store) = self.store_mut(id) {
                    store.put_session_state(&session, state, utc);
                }
                self.touched(id);
            }
            Change::Queue { key, description, utc } => self.put_queue(key, *description, utc),
            Change::Topic { key, description, utc } => self.put_topic(key, *description, utc),
            Change::Subscription { topic, name, description, rule, utc } => {
                self.put_subscription(&topic, name, *description, rule.map(|rule| *rule), utc);
            }
            Change::Rule { topic, subscription, rule, utc } => self.put_rule(&topic, &subscription, *rule, utc),
            Change::RemoveRule { topic, subscription, rule } => self.remove_rule(&topic, &subscription, &rule),
            Change::Delete { entity, subscription: None } => self.remove_entity(&entity),
            Change::Delete { entity, subscription: Some(subscription) } => {
                self.remove_subscription(&entity, &subscription);
            }
            Change::Clear => self.remove_all(),
            Change::Purge { store } => self.purge_store(store),
            Change::LetGo => self.let_go(),
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

    /// The time of a scheduled message has come: it is enqueued anew, with a new number.
    // docs/evidence/service-evidence.md §8
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
        self.note_use(arrivals, utc);
    }
}

/// A lock that ends because nothing was done with the message.
pub(super) const RELEASE: super::change::Settlement = super::change::Settlement::plain(Ending::Release);
