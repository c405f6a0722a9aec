//! The commands on sessions: accepted, shared, taken over, let go.

use super::change::{Change, SessionStep};
use super::entities::{EntityError, Namespace, StoreId};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

impl Namespace {
    fn step(&mut self, store: StoreId, session: &str, step: SessionStep, utc: Timestamp) {
        self.apply(Change::Session { store, session: session.to_owned(), step, utc });
    }

    fn session_end(&self, id: StoreId, session: &str) -> Result<Timestamp, EntityError> {
        let lock = self.store(id).and_then(|store| store.session_lock(session));
        lock.filter(|lock| !lock.is_over()).map(|lock| lock.until).ok_or(EntityError::SessionLockLost)
    }

    /// Locks a session: the named one, which need not exist, or the one whose first message has waited longest; its id and
    /// the end of the lock. `None` when the next one is asked for and there is none.
    ///
    /// # Errors
    /// [`EntityError::SessionCannotBeLocked`].
    #[doc(hidden)]
    pub fn accept_session(
        &mut self,
        id: StoreId,
        session: Option<&str>,
        holder: u64,
        utc: Timestamp,
    ) -> Result<Option<(Arc<str>, Timestamp)>, EntityError> {
        let store = self.store(id).ok_or_else(|| EntityError::NotFound(String::new()))?;
        let Some(session) = store.acceptable(session)? else { return Ok(None) };
        self.step(id, &session, SessionStep::Accept { holder }, utc);
        let until = self.session_end(id, &session)?;
        Ok(Some((session, until)))
    }

    /// Lets others take a locked session over; by which token: the one it has, or else a new one. `None` when it is not
    /// locked.
    #[doc(hidden)]
    pub fn share_session(&mut self, id: StoreId, session: &str, utc: Timestamp) -> Option<LockToken> {
        let token = self.new_token();
        self.step(id, session, SessionStep::Share { token }, utc);
        self.store(id)?.session_lock(session)?.token
    }

    /// Gives a session to another holder: the one under this token, of this id where it is named.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`] when no lock goes by this token (any more).
    #[doc(hidden)]
    pub fn take_over_session(
        &mut self,
        id: StoreId,
        session: Option<&str>,
        token: LockToken,
        holder: u64,
        utc: Timestamp,
    ) -> Result<(Arc<str>, Timestamp), EntityError> {
        let store = self.store(id).ok_or(EntityError::SessionLockLost)?;
        let session = store.session_under(session, token)?;
        self.step(id, &session, SessionStep::TakeOver { holder, token }, utc);
        let until = self.session_end(id, &session)?;
        Ok((session, until))
    }

    /// Lets a session go.
    #[doc(hidden)]
    pub fn release_session(&mut self, id: StoreId, session: &str, holder: u64, utc: Timestamp) {
        self.step(id, session, SessionStep::Release { holder }, utc);
        self.run_relays(utc);
    }

    /// Extends the lock of a session.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`].
    #[doc(hidden)]
    pub fn renew_session(&mut self, id: StoreId, session: &str, utc: Timestamp) -> Result<Timestamp, EntityError> {
        self.session_end(id, session)?;
        self.step(id, session, SessionStep::Renew, utc);
        self.session_end(id, session)
    }
}
