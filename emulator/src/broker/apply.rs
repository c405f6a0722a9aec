//! The one place that changes messages. Applying cannot fail: what could be refused was refused by the plan, and a change
//! for a store or message that is gone is none.

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
                duplicates.remember(&id, window, utc);
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

#[cfg(test)]
mod tests {
    use crate::broker::change::{Change, Settlement};
    use crate::broker::entities::store::Ending;
    use crate::broker::entities::{
        Message, Namespace, QueueDescription, StoreId, SubscriptionDescription, TopicDescription,
    };
    use crate::filter::{Dialect, Filter, Rule, SqlAction};
    use bytes::{Bytes, BytesMut};
    use servicebus_core::random::Random;
    use servicebus_core::servicebus::LockToken;
    use servicebus_core::time::{Duration, Timestamp};
    use servicebus_core::wire::{Encode, Sink};

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    /// Queues that forward, detect duplicates and dead-letter, a topic with rules, and a queue for dead letters.
    fn namespace(seed: u64) -> (Namespace, Vec<StoreId>) {
        let mut namespace = Namespace::new(seed);
        let to = |target: &str| Some(target.to_owned());
        let plain = QueueDescription {
            lock_duration: Duration::from_secs(10),
            max_delivery_count: 3,
            dead_lettering_on_message_expiration: true,
            ..QueueDescription::default()
        };
        let queues = [
            ("letters", QueueDescription { max_delivery_count: 2, ..plain.clone() }),
            ("end", QueueDescription { forward_dead_lettered_messages_to: to("letters"), ..plain.clone() }),
            ("first", QueueDescription { forward_to: to("end"), ..plain.clone() }),
            ("sessions", QueueDescription { requires_session: true, ..plain.clone() }),
            ("once", QueueDescription { requires_duplicate_detection: true, ..plain.clone() }),
        ];
        for (name, description) in queues {
            namespace.create_queue(name, description, START).unwrap();
        }
        namespace.create_topic("topic", TopicDescription::default(), START).unwrap();
        let subscriptions = [
            ("all", SubscriptionDescription { lock_duration: Duration::from_secs(5), ..Default::default() }),
            ("sessions", SubscriptionDescription { requires_session: true, ..Default::default() }),
            ("on", SubscriptionDescription { forward_to: to("first"), ..Default::default() }),
        ];
        for (name, description) in subscriptions {
            namespace.create_subscription("topic", name, description, None, START).unwrap();
        }
        let action = SqlAction::parse("SET made = newid()", Vec::new(), &Dialect::default()).unwrap();
        let rule = Rule { name: "made".into(), filter: Filter::True, action: Some(action) };
        namespace.create_rule("topic", "all", rule, START).unwrap();
        let mut stores: Vec<StoreId> = namespace.queues().flat_map(|queue| queue.stores.all()).collect();
        let topic = namespace.topic("topic").unwrap();
        stores.extend([topic.scheduled, topic.transit]);
        stores.extend(topic.subscriptions.values().flat_map(|subscription| subscription.stores.all()));
        (namespace, stores)
    }

    fn message(random: &mut Random, utc: Timestamp) -> Message {
        let id = random.below(20).to_string();
        let session = random.below(4).to_string();
        let mut message = servicebus_core::servicebus::MessageRef::new("body").with_session_id(&session);
        if random.below(3) > 0 {
            message = message.with_message_id(id.as_str());
        }
        if random.below(4) == 0 {
            message = message.with_time_to_live(Duration::from_secs(1 + random.below(30)));
        }
        if random.below(5) == 0 {
            message = message.with_scheduled_enqueue_time(utc + Duration::from_secs(random.below(30)));
        }
        let mut bytes = BytesMut::new();
        message.encode(&mut Sink::from(&mut bytes));
        Message::accept(bytes.freeze()).unwrap()
    }

    /// Everything that can be seen of the stores.
    fn seen(namespace: &Namespace, stores: &[StoreId], tokens: &[LockToken]) -> Vec<String> {
        let mut lines = Vec::new();
        for id in stores {
            let store = namespace.store(*id).unwrap();
            for found in store.peek(0, None) {
                lines.push(format!("{}: {:?}, {:?}", store.owner.path, found.message, found.locked_until));
            }
            lines.push(format!(
                "{}: {} available, {} locks, {} scheduled, {} bytes, then {}, due {:?}",
                store.owner.path,
                store.available_count(),
                store.lock_count(),
                store.scheduled_count(),
                store.size(),
                store.next_number(),
                store.next_deadline(),
            ));
            lines.push(format!("{:?}", store.session_state("session")));
            lines.extend(store.list_sessions(None).map(|id| format!("{id}: {:?}", store.session_lock(id))));
            let locked = tokens.iter().filter_map(|token| Some((token, store.under_lock(*token)?.1)));
            lines.extend(locked.map(|(token, until)| format!("{token} until {until}")));
        }
        for entity in ["letters", "end", "first", "once", "topic", "sessions"] {
            lines.push(format!("{entity}: {} bytes", namespace.held(entity)));
        }
        lines.push(format!("{:?}", namespace.queue("once").unwrap().times));
        lines
    }

    /// One random command.
    fn step(
        namespace: &mut Namespace,
        stores: &[StoreId],
        tokens: &mut Vec<LockToken>,
        random: &mut Random,
        utc: Timestamp,
    ) {
        let entity = ["end", "first", "once", "topic", "sessions"][random.below(5) as usize];
        let store = stores[random.below(stores.len() as u64) as usize];
        let sessions = namespace.queue("sessions").unwrap().stores.main;
        match random.below(13) {
            0..=2 => {
                let message = message(random, utc);
                namespace.send(entity, message, utc).unwrap();
            }
            3 => {
                let messages = vec![message(random, utc), message(random, utc)];
                assert_eq!(namespace.schedule(entity, messages, utc).unwrap().len(), 2);
            }
            4..=6 => tokens.extend(namespace.receive(store, None, utc).map(|(_, token, _)| token)),
            7..=8 if !tokens.is_empty() => {
                let token = tokens[tokens.len() - 1 - random.below(tokens.len().min(6) as u64) as usize];
                let endings = [Ending::Complete, Ending::Abandon, Ending::Defer, Ending::DeadLetter, Ending::Release];
                let ending = endings[random.below(5) as usize];
                // Many locks have ended already: then nothing happens.
                let settled = namespace.settle(stores, token, &Settlement::plain(ending), utc);
                assert!(settled.is_ok() || namespace.find_lock(stores, token).is_err() || ending == Ending::DeadLetter);
            }
            11 => {
                let accepted = namespace.accept_session(sessions, None, random.below(3), utc);
                if let Ok(Some((session, _))) = accepted {
                    let shared = namespace.share_session(sessions, &session, utc);
                    tokens.extend(namespace.receive(sessions, Some(&session), utc).map(|(_, token, _)| token));
                    match random.below(4) {
                        0 => namespace.release_session(sessions, &session, random.below(3), utc),
                        1 => assert!(namespace.renew_session(sessions, &session, utc).is_ok()),
                        2 => assert!(namespace.take_over_session(sessions, None, shared.unwrap(), 9, utc).is_ok()),
                        _ => {}
                    }
                }
                let state = (random.below(2) == 0).then(|| Bytes::from_static(b"state"));
                namespace.set_session_state(store, "session", state, utc).unwrap();
            }
            9 => {
                if let Some((_, taken)) = namespace.take(store, None)
                    && random.below(2) == 0
                {
                    namespace.put_back(store, taken);
                }
            }
            10 => {
                let numbers: Vec<i64> =
                    namespace.store(store).unwrap().peek(0, None).map(|it| it.message.sequence_number).collect();
                let number = numbers.get(random.below(8) as usize).copied().unwrap_or_default();
                let cancelled = namespace.cancel_scheduled(entity, &[number], utc).is_ok();
                let received = namespace.receive_deferred(store, &[number], None, random.below(2) == 0, utc);
                if !cancelled && let Ok(received) = received {
                    tokens.extend(received.into_iter().filter_map(|(token, _)| token));
                }
            }
            _ => {
                namespace.delete_batch(store, random.below(3) as usize, utc, None);
            }
        }
    }

    #[test]
    fn a_log_of_changes_leads_to_the_same_state() {
        let mut kinds = std::collections::HashSet::new();
        for seed in 0..30 {
            let (mut original, stores) = namespace(seed);
            original.record_changes();
            let (mut random, mut tokens, mut utc) = (Random::seeded(seed), Vec::new(), START);
            let mut changes = Vec::new();
            for _ in 0..400 {
                step(&mut original, &stores, &mut tokens, &mut random, utc);
                if random.below(4) == 0 {
                    utc = utc + Duration::from_millis(random.below(4_000));
                    original.handle_timeout(utc);
                }
                changes.extend(original.take_changes());
            }
            // Its own randomness is another.
            let (mut replayed, again) = namespace(seed + 1_000);
            assert_eq!(stores, again);
            for change in changes {
                kinds.insert(core::mem::discriminant(&change));
                replayed.apply(change);
            }
            assert_eq!(seen(&original, &stores, &tokens), seen(&replayed, &stores, &tokens), "seed {seed}");
        }
        assert!(kinds.len() >= 12, "{}", kinds.len());
    }

    #[test]
    fn a_change_for_what_is_gone_is_none() {
        let (mut original, stores) = namespace(1);
        let token = LockToken::from_uuid(servicebus_core::wire::Uuid([7; 16]));
        let before = seen(&original, &stores, &[]);
        original.apply(Change::Remove { store: stores[0], number: 77 });
        original.apply(Change::Renew { store: stores[0], token, utc: START });
        original.apply(Change::Lock { store: stores[0], number: 77, token, utc: START });
        let settlement = Settlement::plain(Ending::DeadLetter);
        original.apply(Change::Settle { store: stores[0], token, settlement, utc: START });
        assert_eq!(seen(&original, &stores, &[]), before);
        original.delete("end").unwrap();
        let gone: Vec<StoreId> = stores.iter().copied().filter(|id| original.store(*id).is_none()).collect();
        assert_eq!(gone.len(), 3);
        for store in gone {
            original.apply(Change::Reserve { store });
            original.apply(Change::Time { store, utc: START });
        }
    }
}
