//! Messages out of the stores of a namespace, and the ends of their locks and sessions.

use super::error::EntityError;
use super::message::{Changes, Handout};
use super::namespace::{Namespace, StoreId};
use super::store::{Ending, Taken};
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

impl Namespace {
    /// Locks the next message and encodes it.
    pub fn receive(&mut self, id: StoreId, session: Option<&str>, utc: Timestamp) -> Option<(Bytes, LockToken, i64)> {
        let token = self.new_token();
        let store = self.store_mut(id)?;
        let received = store
            .receive(session, token, utc)
            .map(|(message, until)| (message.hand_out(Handout::locked(token, until)), token, message.sequence_number));
        self.touched(id);
        received
    }

    /// Takes the next message for good and encodes it.
    pub fn take(&mut self, id: StoreId, session: Option<&str>) -> Option<(Bytes, Taken)> {
        let taken = self.store_mut(id)?.take(session)?;
        self.touched(id);
        Some((taken.message.hand_out(Handout::TAKEN), taken))
    }

    /// Puts a message back that was taken and not sent.
    pub fn put_back(&mut self, id: StoreId, taken: Taken) {
        if let Some(store) = self.store_mut(id) {
            store.put_back(taken);
        }
        self.touched(id);
    }

    /// Ends the lock of a message in one of these stores: a lock in a sub-queue may be ended through the entity
    /// (docs/evidence/pinned-behaviour.md SET29).
    ///
    /// # Errors
    /// As [`super::store::Store::settle`].
    pub fn settle(
        &mut self,
        stores: &[StoreId],
        token: LockToken,
        ending: Ending,
        changes: &Changes<'_>,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let id = self.find_lock(stores, token)?;
        let Some(store) = self.store_mut(id) else { return Err(EntityError::MessageLockLost) };
        let effect = store.settle(token, ending, changes, utc)?;
        self.touched(id);
        self.process(id, effect.into_iter().collect(), utc);
        Ok(())
    }

    /// The store in which this lock is held.
    ///
    /// # Errors
    /// The first store's error when it is held in none.
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
    pub fn renew(&mut self, stores: &[StoreId], token: LockToken, utc: Timestamp) -> Result<Timestamp, EntityError> {
        let id = self.find_lock(stores, token)?;
        let Some(store) = self.store_mut(id) else { return Err(EntityError::MessageLockLost) };
        let until = store.renew(token, utc);
        self.touched(id);
        until
    }

    /// Locks or takes deferred messages, all or none of them; in the order of the numbers.
    ///
    /// # Errors
    /// [`EntityError::MessageNotFound`].
    pub fn receive_deferred(
        &mut self,
        id: StoreId,
        numbers: &[i64],
        session: Option<&str>,
        lock: bool,
        utc: Timestamp,
    ) -> Result<Vec<(Option<LockToken>, Bytes)>, EntityError> {
        let mut effects = Vec::new();
        let Some(store) = self.store_mut(id) else { return Err(EntityError::MessageNotFound(String::new())) };
        let checked = store.check_deferred(numbers, session, utc, &mut effects);
        self.touched(id);
        self.process(id, effects, utc);
        checked?;
        let mut messages = Vec::with_capacity(numbers.len());
        for number in numbers {
            let token = self.new_token();
            let Some(store) = self.store_mut(id) else { break };
            if lock {
                if let Some((message, until)) = store.lock_deferred(*number, token, utc) {
                    let handout = Handout::locked(token, until);
                    messages.push((Some(token), message.hand_out(handout)));
                }
            } else if let Some(message) = store.take_deferred(*number) {
                messages.push((None, message.hand_out(Handout::TAKEN)));
            }
        }
        self.touched(id);
        Ok(messages)
    }

    /// Deletes messages in bulk; how many were deleted.
    pub fn delete_batch(&mut self, id: StoreId, count: usize, cutoff: Timestamp, session: Option<&str>) -> usize {
        let deleted = self.store_mut(id).map_or(0, |store| store.delete_batch(count, cutoff, session));
        self.touched(id);
        deleted
    }

    // Sessions.

    /// Locks a session, see [`super::store::Store::accept_session`].
    ///
    /// # Errors
    /// [`EntityError::SessionCannotBeLocked`].
    pub fn accept_session(
        &mut self,
        id: StoreId,
        session: Option<&str>,
        holder: u64,
        utc: Timestamp,
    ) -> Result<Option<(Arc<str>, Timestamp)>, EntityError> {
        let Some(store) = self.store_mut(id) else { return Err(EntityError::NotFound(String::new())) };
        let accepted = store.accept_session(session, holder, utc);
        self.touched(id);
        accepted
    }

    /// Lets others take a locked session over; by which token, see [`super::store::Store::share_session`].
    pub fn share_session(&mut self, id: StoreId, session: &str) -> Option<LockToken> {
        let token = self.new_token();
        self.store_mut(id)?.share_session(session, token)
    }

    /// Gives a session to another holder, see [`super::store::Store::take_over_session`].
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`].
    pub fn take_over_session(
        &mut self,
        id: StoreId,
        session: Option<&str>,
        token: LockToken,
        holder: u64,
        utc: Timestamp,
    ) -> Result<(Arc<str>, Timestamp), EntityError> {
        let Some(store) = self.store_mut(id) else { return Err(EntityError::SessionLockLost) };
        let taken = store.take_over_session(session, token, holder, utc);
        self.touched(id);
        taken
    }

    /// Lets a session go.
    pub fn release_session(&mut self, id: StoreId, session: &str, holder: u64, utc: Timestamp) {
        let Some(store) = self.store_mut(id) else { return };
        let effects = store.release_session(session, holder, utc);
        self.touched(id);
        self.process(id, effects, utc);
    }

    /// Extends the lock of a session.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`].
    pub fn renew_session(&mut self, id: StoreId, session: &str, utc: Timestamp) -> Result<Timestamp, EntityError> {
        let Some(store) = self.store_mut(id) else { return Err(EntityError::SessionLockLost) };
        let until = store.renew_session(session, utc);
        self.touched(id);
        until
    }

    /// Sets the state of a session, or clears it.
    ///
    /// # Errors
    /// As [`super::store::Store::set_session_state`].
    pub fn set_session_state(
        &mut self,
        id: StoreId,
        session: &str,
        state: Option<Bytes>,
        utc: Timestamp,
    ) -> Result<(), EntityError> {
        let Some(store) = self.store_mut(id) else { return Err(EntityError::SessionLockLost) };
        let set = store.set_session_state(session, state, utc);
        self.touched(id);
        set
    }
}
