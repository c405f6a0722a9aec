//! Plans: changes that have not been made yet, and the namespace as it will be after them.
//!
//! Whatever a client asks for in one go (a send, a batch, a commit) is planned as a whole. A step that is refused
//! refuses all of it, since nothing has changed. Earlier steps decide later ones: quota that a completion frees, an id
//! that occurs twice in a batch, a queue that the batch fills.

use super::admission::Target;
use super::change::{Change, Settlement};
use super::entities::store::Ending;
use super::entities::{EntityError, Message, MessageState, Namespace, StoreId, session_key};
use super::id_map::{IdMap, IdSet};
use bytes::Bytes;
use servicebus_core::random::Random;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Bytes that an entity gains and loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Bytes of messages that come in.
    pub(crate) added: u64,
    /// Bytes of messages that are completed or cancelled.
    pub(crate) freed: u64,
}

/// Changes to be made together.
#[derive(Debug)]
pub(crate) struct Plan<'n> {
    namespace: &'n Namespace,
    random: Random,
    utc: Timestamp,
    changes: Vec<Change>,
    balances: BTreeMap<&'n str, Balance>,
    identities: BTreeSet<(&'n str, String)>,
    /// Bytes of these ids.
    remembered: usize,
    /// The next number of each store that gets messages.
    numbers: IdMap<StoreId, i64>,
    ended: IdSet<LockToken>,
    cancelled: IdSet<(StoreId, i64)>,
    /// Bytes of messages whose properties change.
    rewritten: usize,
    state_growth: StateGrowth,
}

/// Bytes by which the state of each session grows: the most of all changes of it.
pub(super) type StateGrowth = HashMap<(StoreId, String), u64>;

fn state_key(store: StoreId, session: &str) -> (StoreId, String) {
    (store, session_key(session).into_owned())
}

/// What a plan comes to.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) changes: Vec<Change>,
    pub(super) random: Random,
}

impl<'n> Plan<'n> {
    /// A plan without changes.
    pub(crate) fn new(namespace: &'n Namespace, utc: Timestamp) -> Self {
        Self {
            namespace,
            random: namespace.random.clone(),
            utc,
            changes: Vec::new(),
            balances: BTreeMap::new(),
            identities: BTreeSet::new(),
            remembered: 0,
            numbers: IdMap::default(),
            ended: IdSet::default(),
            cancelled: IdSet::default(),
            rewritten: 0,
            state_growth: StateGrowth::default(),
        }
    }

    /// The changes, for [`Namespace::carry_out`].
    pub(crate) fn finish(self) -> Planned {
        Planned { changes: self.changes, random: self.random }
    }

    /// Bytes that earlier operations of the same transaction free.
    pub(super) fn assume_freed(&mut self, entity: &str, freed: u64) {
        if let Ok(target) = Target::find(self.namespace, entity) {
            self.balance(target.key).freed += freed;
        }
    }

    /// The growth of a session's state that earlier operations of the same transaction have reserved.
    pub(super) fn assume_state_growth(&mut self, reserved: &StateGrowth, store: StoreId, session: &str) {
        self.state_growth
            .extend(reserved.get_key_value(&state_key(store, session)).map(|(key, growth)| (key.clone(), *growth)));
    }

    /// The balances of the entities and the growth of sessions' states; nothing is changed.
    pub(super) fn into_reservations(self) -> (Vec<(String, Balance)>, StateGrowth) {
        let balances = self.balances.into_iter().map(|(entity, balance)| (entity.to_owned(), balance)).collect();
        (balances, self.state_growth)
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    fn balance(&mut self, entity: &'n str) -> &mut Balance {
        self.balances.entry(entity).or_default()
    }

    /// Bytes that an entity holds after the changes, with those that open transactions have reserved.
    fn held(&self, entity: &str) -> u64 {
        let Balance { added, freed } = self.balances.get(entity).copied().unwrap_or_default();
        (self.namespace.held(entity) + added).saturating_sub(freed)
    }

    /// The next sequence number of a store.
    pub(super) fn next_number(&mut self, id: StoreId) -> i64 {
        let namespace = self.namespace;
        let first = || namespace.store(id).map_or(1, super::entities::store::Store::next_number);
        let next = self.numbers.entry(id).or_insert_with(first);
        *next += 1;
        *next - 1
    }

    /// Gives the next sequence number of a store away.
    pub(super) fn reserve(&mut self, store: StoreId) -> i64 {
        self.push(Change::Reserve { store });
        self.next_number(store)
    }

    /// A message of a sender for an entity; its number, zero for one that repeats another and is dropped, and for one
    /// that goes to the subscriptions of a topic at once.
    // docs/evidence/pinned-behaviour.md §12
    pub(crate) fn send(&mut self, entity: &str, message: Message) -> Result<i64, EntityError> {
        let target = Target::find(self.namespace, entity)?;
        target.check(&message)?;
        target.check_quota(self.held(target.key), message.size() as u64)?;
        self.take_in(&target, message)
    }

    /// Messages of a batch: all of them or none.
    pub(crate) fn send_batch(&mut self, entity: &str, messages: Vec<Message>) -> Result<(), EntityError> {
        Target::find(self.namespace, entity)?.check_batch(&messages)?;
        for message in messages {
            self.send(entity, message)?;
        }
        Ok(())
    }

    /// A message that another entity forwards.
    pub(super) fn forward(&mut self, entity: &str, message: Message) -> Result<(), EntityError> {
        let target = Target::find(self.namespace, entity)?;
        target.check_forwarded(&message)?;
        target.check_quota(self.held(target.key), message.size() as u64)?;
        self.take_in(&target, message)?;
        Ok(())
    }

    fn take_in(&mut self, target: &Target<'n>, mut message: Message) -> Result<i64, EntityError> {
        let utc = self.utc;
        self.push(Change::Use { store: target.arrivals, utc });
        if let Some(identity) = target.identity(&message) {
            if target.is_remembered(&identity, utc) || !self.identities.insert((target.key, identity.clone())) {
                return Ok(0);
            }
            self.remembered += identity.len();
            target.check_room_for_ids(self.identities.len(), self.remembered)?;
            self.push(Change::Remember { entity: target.key.to_owned(), id: identity, utc });
        }
        if message.lacks_id() {
            message.set_made_id(super::entities::message::made_id(&mut self.random));
        }
        message.limit_life(target.time_to_live);
        message.enqueued_time = utc;
        let waits = message.scheduled_enqueue_time.is_some_and(|at| at > utc);
        message.state = if waits { MessageState::Scheduled } else { MessageState::Active };
        let passes = !waits && !target.is_queue();
        let store = if waits { target.scheduled } else { target.arrivals };
        if message.sequence_number == 0 || passes {
            message.sequence_number = self.next_number(store);
        }
        let number = if passes { 0 } else { message.sequence_number };
        self.balance(target.key).added += message.size() as u64;
        self.push(Change::Insert { store, message: Box::new(message) });
        Ok(number)
    }

    /// The end of a lock, held in one of these stores.
    pub(crate) fn settle(
        &mut self,
        stores: &[StoreId],
        token: LockToken,
        settlement: &Settlement,
    ) -> Result<(), EntityError> {
        let (store, size, growth) = self.namespace.check_settlement(stores, token, settlement)?;
        if !self.ended.insert(token) {
            return Err(EntityError::MessageLockLost);
        }
        if settlement.ending == Ending::Complete
            && let Some(key) = self.namespace.top_level(store)
        {
            self.balance(key).freed += size;
        }
        if growth > 0 {
            self.grow(store, token, growth)?;
        }
        let (settlement, utc) = (settlement.clone(), self.utc);
        self.push(Change::Settle { store, token, settlement, utc });
        Ok(())
    }

    /// A stored message gets larger: the memory budget must have room, for all of the plan's together. The size of an
    /// entity bounds what comes in: a message of a full entity can still be settled in every way.
    fn grow(&mut self, store: StoreId, token: LockToken, growth: u64) -> Result<(), EntityError> {
        let namespace = self.namespace;
        if let Some(key) = namespace.top_level(store) {
            self.balance(key).added += growth;
        }
        // Its bytes become its own, and may have been shared with copies.
        let message = namespace.store(store).and_then(|store| store.under_lock(token)).map(|(message, _)| message);
        let own = message.map_or(0, Message::size) + usize::try_from(growth).unwrap_or(usize::MAX);
        self.rewritten = self.rewritten.saturating_add(own);
        if message.is_some_and(|message| !message.has_room(self.rewritten)) {
            return Err(super::budget::OverBudget.into());
        }
        Ok(())
    }

    /// Scheduled messages are taken back: all of them or none.
    pub(crate) fn cancel(&mut self, entity: &str, numbers: &[i64]) -> Result<(), EntityError> {
        let target = Target::find(self.namespace, entity)?;
        let store = target.scheduled;
        for number in numbers {
            let size = self.namespace.store(store).and_then(|store| store.scheduled_size(*number));
            let fresh = size.filter(|_| self.cancelled.insert((store, *number)));
            let size = fresh.ok_or_else(|| not_scheduled(*number))?;
            self.balance(target.key).freed += size;
            self.push(Change::Remove { store, number: *number });
        }
        Ok(())
    }

    /// The state of a session is set or cleared.
    pub(crate) fn set_session_state(
        &mut self,
        store: StoreId,
        session: &str,
        state: Option<Bytes>,
    ) -> Result<(), EntityError> {
        let namespace = self.namespace;
        let found = namespace.store(store).ok_or(EntityError::SessionLockLost)?;
        found.check_session_state(session, state.as_ref())?;
        let size = |state: Option<&Bytes>| state.map_or(0, |state| state.len() as u64);
        let (before, after) = (size(found.session_state(session).as_ref()), size(state.as_ref()));
        // What a state gives up counts once it is gone.
        let growth = after.saturating_sub(before);
        if let Some(key) = namespace.top_level(store)
            && growth > 0
        {
            // Where it is set more than once, its largest size counts.
            let counted = self.state_growth.entry(state_key(store, session)).or_default();
            let more = growth.saturating_sub(*counted);
            *counted += more;
            self.balance(key).added += more;
        }
        let (session, utc) = (session.to_owned(), self.utc);
        self.push(Change::SessionState { store, session, state, utc });
        Ok(())
    }
}

/// The error for a number that no scheduled message has.
// docs/evidence/pinned-behaviour.md SCH9
pub(super) fn not_scheduled(number: i64) -> EntityError {
    EntityError::MessageNotFound(format!("The message with sequence number {number} could not be found."))
}
