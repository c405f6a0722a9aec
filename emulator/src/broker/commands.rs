//! The commands on messages: each is planned, then carried out, and messages that go on by themselves go on.

use super::admission::Target;
use super::change::{Change, Settlement};
use super::entities::message::Handout;
use super::entities::store::Taken;
use super::entities::{EntityError, Message, Namespace, StoreId};
use super::plan::{Plan, Planned};
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;

impl Namespace {
    /// Plans something, and does it if nothing in it is refused.
    ///
    /// # Errors
    /// Those of the plan.
    pub(crate) fn execute<T>(
        &mut self,
        utc: Timestamp,
        command: impl FnOnce(&mut Plan<'_>) -> Result<T, EntityError>,
    ) -> Result<T, EntityError> {
        let mut plan = Plan::new(self, utc);
        let result = command(&mut plan)?;
        let planned: Planned = plan.finish();
        self.carry_out(planned);
        self.run_relays(utc);
        Ok(result)
    }

    /// Makes one change.
    pub(super) fn make(&mut self, change: Change, utc: Timestamp) {
        self.apply(change);
        self.run_relays(utc);
    }

    /// Takes a message in, now or for its time; returns its number, zero for one that repeats another and is dropped.
    ///
    /// # Errors
    /// What the service would refuse it with.
    // docs/evidence/pinned-behaviour.md §12
    #[doc(hidden)]
    pub fn send(&mut self, entity: &str, message: Message, utc: Timestamp) -> Result<i64, EntityError> {
        self.execute(utc, |plan| plan.send(entity, message))
    }

    /// The sequence number that the next scheduled message of an entity gets.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    pub(crate) fn next_number(&self, entity: &str) -> Result<i64, EntityError> {
        let store = self.store(self.schedule_store(entity)?);
        let number = store.map(super::entities::store::Store::next_number);
        number.ok_or_else(|| EntityError::NotFound(entity.to_owned()))
    }

    /// Gives sequence numbers of an entity away, for messages that come with a commit.
    ///
    /// # Errors
    /// [`EntityError::NotFound`].
    pub(crate) fn reserve_numbers(&mut self, entity: &str, count: usize) -> Result<(), EntityError> {
        let store = self.schedule_store(entity)?;
        for _ in 0..count {
            self.apply(Change::Reserve { store });
        }
        Ok(())
    }

    /// Takes messages in under numbers that are given to all of them, also to one that repeats another; all or none.
    ///
    /// # Errors
    /// As [`Namespace::send`].
    #[doc(hidden)]
    pub fn schedule(&mut self, entity: &str, messages: Vec<Message>, utc: Timestamp) -> Result<Vec<i64>, EntityError> {
        let store = self.schedule_store(entity)?;
        self.execute(utc, |plan| {
            let mut numbers = Vec::with_capacity(messages.len());
            for mut message in messages {
                message.sequence_number = plan.reserve(store);
                numbers.push(message.sequence_number);
                plan.send(entity, message)?;
            }
            Ok(numbers)
        })
    }

    /// Takes scheduled messages back: all of them, or none.
    ///
    /// # Errors
    /// [`EntityError::MessageNotFound`].
    // docs/evidence/pinned-behaviour.md SCH9
    #[doc(hidden)]
    pub fn cancel_scheduled(&mut self, entity: &str, numbers: &[i64], utc: Timestamp) -> Result<(), EntityError> {
        self.execute(utc, |plan| plan.cancel(entity, numbers))
    }

    /// Locks the next message and encodes it.
    #[doc(hidden)]
    pub fn receive(&mut self, id: StoreId, session: Option<&str>, utc: Timestamp) -> Option<(Bytes, LockToken, i64)> {
        let (_, number) = self.store(id)?.first(session)?;
        let token = self.new_token();
        self.apply(Change::Lock { store: id, number, token, utc });
        let (message, until) = self.store(id)?.under_lock(token)?;
        Some((message.hand_out(Handout::locked(token, until)), token, number))
    }

    /// Takes the next message for good and encodes it.
    #[doc(hidden)]
    pub fn take(&mut self, id: StoreId, session: Option<&str>) -> Option<(Bytes, Taken)> {
        let store = self.store(id)?;
        let (_, number) = store.first(session)?;
        let taken = store.copy_of(number)?;
        self.apply(Change::Remove { store: id, number });
        Some((taken.message.hand_out(Handout::TAKEN), taken))
    }

    /// Puts a message back that was taken and not sent.
    #[doc(hidden)]
    pub fn put_back(&mut self, id: StoreId, taken: Taken) {
        self.apply(Change::Restore { store: id, taken: Box::new(taken) });
    }

    /// Ends the lock of a message in one of these stores: a lock in a sub-queue may be ended through the entity.
    ///
    /// # Errors
    /// As `check_settlement`.
    // docs/evidence/pinned-behaviour.md SET29
    #[doc(hidden)]
    pub fn settle(
        &mut self,
        stores: &[StoreId],
        token: LockToken,
        settlement: &Settlement,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        self.execute(utc, |plan| plan.settle(stores, token, settlement))
    }

    /// Gives a message back that was locked and not sent; a lock that is gone is let go already.
    pub(crate) fn release(&mut self, store: StoreId, token: LockToken, utc: Timestamp) {
        let settlement = super::apply::RELEASE;
        self.make(Change::Settle { store, token, settlement, utc }, utc);
    }

    /// Whether a lock can be ended in this way, in one of these stores; the store, the bytes of the message, and those
    /// that it gains.
    ///
    /// # Errors
    /// The first store's error when the lock is held in none; [`EntityError::AlreadyDeadLettered`] in a dead-letter
    /// queue; [`EntityError::PropertyTooLong`], [`EntityError::HeaderTooLarge`].
    pub(crate) fn check_settlement(
        &self,
        stores: &[StoreId],
        token: LockToken,
        settlement: &Settlement,
    ) -> Result<(StoreId, u64, u64), EntityError> {
        let id = self.find_lock(stores, token)?;
        let store = self.store(id).ok_or(EntityError::MessageLockLost)?;
        store.check_ending(settlement.ending)?;
        if settlement.size() > super::admission::MAX_HEADER {
            return Err(EntityError::HeaderTooLarge);
        }
        let changes = settlement.decoded();
        for (key, value) in &changes {
            super::admission::check_property(key.len(), value.as_str().map_or(0, str::len))?;
            if super::entities::message::is_compound(value) {
                return Err(EntityError::UnsupportedProperty);
            }
        }
        let (message, _) = store.under_lock(token).ok_or(EntityError::MessageLockLost)?;
        let growth = match settlement.ending {
            super::entities::store::Ending::Complete => 0,
            _ => message.growth(&changes),
        };
        if growth > 0 && message.header_size() + growth > super::admission::MAX_HEADER {
            return Err(EntityError::HeaderTooLarge);
        }
        Ok((id, message.size() as u64, growth as u64))
    }

    /// The store in which this lock is held.
    ///
    /// # Errors
    /// The first store's error when it is held in none.
    #[doc(hidden)]
    pub fn find_lock(&self, stores: &[StoreId], token: LockToken) -> Result<StoreId, EntityError> {
        let mut first = None;
        for id in stores {
            match self.store(*id).map_or(Err(EntityError::MessageLockLost), |store| store.locked(token)) {
                Ok(_) => return Ok(*id),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(EntityError::MessageLockLost))
    }

    /// Extends the lock of a message in one of these stores.
    ///
    /// # Errors
    /// As [`Namespace::find_lock`].
    #[doc(hidden)]
    pub fn renew(&mut self, stores: &[StoreId], token: LockToken, utc: Timestamp) -> Result<Timestamp, EntityError> {
        let id = self.find_lock(stores, token)?;
        self.apply(Change::Renew { store: id, token, utc });
        let renewed = self.store(id).and_then(|store| store.under_lock(token));
        renewed.map(|(_, until)| until).ok_or(EntityError::MessageLockLost)
    }

    /// Locks or takes deferred messages, all or none of them; in the order of the numbers.
    ///
    /// # Errors
    /// [`EntityError::MessageNotFound`]; [`EntityError::NotAllowed`] for messages of several partitions.
    #[doc(hidden)]
    pub fn receive_deferred(
        &mut self,
        id: StoreId,
        numbers: &[i64],
        session: Option<&str>,
        lock: bool,
        utc: Timestamp,
    ) -> Result<Vec<(Option<LockToken>, Bytes)>, EntityError> {
        let Some(store) = self.store(id) else { return Err(EntityError::MessageNotFound(String::new())) };
        let target = Target::find(self, &store.owner.entity)?;
        let deferred = numbers.iter().filter_map(|number| store.message(*number));
        if target.partition_of(deferred).is_err() {
            // docs/evidence/service-evidence.md §7
            let text = "ReceiveBatch of sequence numbers from different partitions is not supported for an entity with \
                        partitioning enabled.";
            return Err(EntityError::NotAllowed(text.into()));
        }
        let mut expired = Vec::new();
        let checked = store.check_deferred(numbers, session, utc, &mut expired);
        for number in expired {
            self.make(Change::Expire { store: id, number, utc }, utc);
        }
        checked?;
        let mut messages = Vec::with_capacity(numbers.len());
        for &number in numbers {
            if lock {
                let token = self.new_token();
                self.apply(Change::Lock { store: id, number, token, utc });
                if let Some((message, until)) = self.store(id).and_then(|store| store.under_lock(token)) {
                    messages.push((Some(token), message.hand_out(Handout::locked(token, until))));
                }
            } else if let Some(message) = self.store(id).and_then(|store| store.message(number)) {
                messages.push((None, message.hand_out(Handout::TAKEN)));
                self.apply(Change::Remove { store: id, number });
            }
        }
        Ok(messages)
    }

    /// Deletes messages in bulk; how many were deleted.
    #[doc(hidden)]
    pub fn delete_batch(&mut self, id: StoreId, count: usize, cutoff: Timestamp, session: Option<&str>) -> usize {
        let doomed = self.store(id).map(|store| store.deletable(count, cutoff, session)).unwrap_or_default();
        for number in &doomed {
            self.apply(Change::Remove { store: id, number: *number });
        }
        doomed.len()
    }

    /// Sets the state of a session, or clears it.
    ///
    /// # Errors
    /// [`EntityError::OutOfRange`] when all states together take too much.
    #[doc(hidden)]
    pub fn set_session_state(
        &mut self,
        id: StoreId,
        session: &str,
        state: Option<Bytes>,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        self.execute(utc, |plan| plan.set_session_state(id, session, state))
    }
}
