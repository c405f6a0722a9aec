//! The sessions of a namespace's stores: accepted, shared, taken over, let go.

use super::error::EntityError;
use super::namespace::{Namespace, StoreId};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

impl Namespace {
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
        self.follow(id, effects, utc);
        self.run_relays(utc);
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
}
