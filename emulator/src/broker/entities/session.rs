//! Sessions of a store: a lock by id, exclusive unless its holder shares it, order inside, and a state that outlives messages.

use super::error::EntityError;
use super::store::{Effect, Ending, Store};
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who holds a session, and until when.
#[derive(Clone, Copy, Debug)]
pub struct SessionLock {
    /// The receiver.
    pub holder: u64,
    /// The end of the lock.
    pub until: Timestamp,
    /// With what another receiver can take the session over; none while the lock is exclusive.
    pub token: Option<LockToken>,
    /// When it was taken over from another holder.
    pub taken_over: Option<Timestamp>,
}

/// A session: it exists while it has messages, a state or a holder.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) state: Option<Bytes>,
    pub(super) state_updated: Option<Timestamp>,
    pub(super) available: BTreeSet<(u64, i64)>,
    /// Messages that its holder has locked.
    pub(super) locked: BTreeSet<i64>,
    /// Messages of any state.
    pub(super) messages: usize,
    pub(super) lock: Option<SessionLock>,
    /// Its place in the index of sessions that can be accepted.
    pub(super) rank: Option<u64>,
}

impl Session {
    pub(super) fn is_vacant(&self) -> bool {
        self.lock.is_none() && self.messages == 0 && self.state.is_none() && self.available.is_empty()
    }
}

impl Store {
    /// Locks a session: the named one, which need not exist, or the one whose first message has waited longest.
    /// `None` when the next one is asked for and there is none.
    ///
    /// # Errors
    /// [`EntityError::SessionCannotBeLocked`].
    pub fn accept_session(
        &mut self,
        id: Option<&str>,
        holder: u64,
        utc: Timestamp,
    ) -> Result<Option<(Arc<str>, Timestamp)>, EntityError> {
        let id = match id {
            Some(id) => Arc::from(id),
            None => match self.first_ready() {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let until = utc + self.settings().lock_duration;
        let session = self.sessions_mut().entry(Arc::clone(&id)).or_default();
        if session.lock.is_some() {
            return Err(EntityError::SessionCannotBeLocked(id.as_ref().to_owned()));
        }
        session.lock = Some(SessionLock { holder, until, token: None, taken_over: None });
        self.set_session_timer(&id, None, Some(until));
        self.refresh_session(&id);
        Ok(Some((id, until)))
    }

    /// Lets others take a locked session over by a token: the one it has, or else this one. `None` when nobody holds
    /// the session.
    pub fn share_session(&mut self, id: &str, token: LockToken) -> Option<LockToken> {
        let lock = self.sessions_mut().get_mut(id)?.lock.as_mut()?;
        Some(*lock.token.get_or_insert(token))
    }

    /// Gives a locked session to another holder: the one under this token, of this id where it is named. What the
    /// former holder has received stays locked, for the new one to settle (docs/evidence/pinned-behaviour.md SES43,
    /// SES45).
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`] when no lock goes by this token (any more).
    pub fn take_over_session(
        &mut self,
        id: Option<&str>,
        token: LockToken,
        holder: u64,
        utc: Timestamp,
    ) -> Result<(Arc<str>, Timestamp), EntityError> {
        let goes = |session: &Session| session.lock.is_some_and(|lock| lock.token == Some(token));
        let found = match id {
            Some(id) => self.sessions().get_key_value(id).filter(|(_, session)| goes(session)),
            None => self.sessions().iter().find(|(_, session)| goes(session)),
        };
        let id = found.map(|(id, _)| Arc::clone(id)).ok_or(EntityError::SessionLockLost)?;
        let until = utc + self.settings().lock_duration;
        let lock = self.sessions_mut().get_mut(&id).and_then(|session| session.lock.as_mut());
        let lock = lock.ok_or(EntityError::SessionLockLost)?;
        let taken = SessionLock { holder, until, token: Some(token), taken_over: Some(utc) };
        let before = core::mem::replace(lock, taken);
        self.set_session_timer(&id, Some(before.until), Some(until));
        self.signal_session_lost(before.holder);
        Ok((id, until))
    }

    /// The lock of a session.
    pub fn session_lock(&self, id: &str) -> Option<SessionLock> {
        self.sessions().get(id)?.lock
    }

    /// Extends the lock of a session.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`] when nobody holds it.
    pub fn renew_session(&mut self, id: &str, utc: Timestamp) -> Result<Timestamp, EntityError> {
        let until = utc + self.settings().lock_duration;
        let Some((id, _)) = self.sessions().get_key_value(id) else { return Err(EntityError::SessionLockLost) };
        let id = Arc::clone(id);
        let session = self.sessions_mut().get_mut(&id).ok_or(EntityError::SessionLockLost)?;
        let lock = session.lock.as_mut().ok_or(EntityError::SessionLockLost)?;
        let before = core::mem::replace(&mut lock.until, until);
        self.set_session_timer(&id, Some(before), Some(until));
        Ok(until)
    }

    /// The lock of a session may have run out: it does whatever credit its link has (docs/evidence/field-reports.md F14).
    pub(super) fn session_timer(&mut self, id: &Arc<str>, utc: Timestamp) -> Vec<Effect> {
        let Some(session) = self.sessions_mut().get_mut(id) else { return Vec::new() };
        match session.lock {
            Some(lock) if lock.until <= utc => {
                session.lock = None;
                self.set_session_timer(id, Some(lock.until), None);
                self.signal_session_lost(lock.holder);
                // The lock's end is a failed delivery of what it guarded (docs/evidence/pinned-behaviour.md SET3).
                self.unlock_session(id, Ending::Expire, utc)
            }
            _ => Vec::new(),
        }
    }

    /// The holder lets a session go: it can be accepted at once, and nothing counts as a failed delivery.
    pub fn release_session(&mut self, id: &str, holder: u64, utc: Timestamp) -> Vec<Effect> {
        let Some((id, _)) = self.sessions().get_key_value(id) else { return Vec::new() };
        let id = Arc::clone(id);
        let Some(session) = self.sessions_mut().get_mut(&id) else { return Vec::new() };
        match session.lock {
            Some(lock) if lock.holder == holder => {
                session.lock = None;
                self.set_session_timer(&id, Some(lock.until), None);
                self.unlock_session(&id, Ending::Release, utc)
            }
            _ => Vec::new(),
        }
    }

    /// The state of a session; `None` when it was never set or was cleared.
    pub fn session_state(&self, id: &str) -> Option<Bytes> {
        self.sessions().get(id)?.state.clone()
    }

    /// Checks that the state of a session can be set.
    ///
    /// # Errors
    /// [`EntityError::OutOfRange`] when all states together take too much.
    pub(in crate::broker) fn check_session_state(&self, id: &str, state: Option<&Bytes>) -> Result<(), EntityError> {
        let before = self.sessions().get(id).and_then(|session| session.state.as_ref()).map_or(0, Bytes::len);
        self.check_states(before, state.map_or(0, Bytes::len))
    }

    /// Sets the state of a session, or clears it.
    pub(in crate::broker) fn put_session_state(&mut self, id: &str, state: Option<Bytes>, utc: Timestamp) {
        let id: Arc<str> = Arc::from(id);
        let before = self.sessions().get(&id).and_then(|session| session.state.as_ref()).map_or(0, Bytes::len);
        self.count_states(before, state.as_ref().map_or(0, Bytes::len));
        let session = self.sessions_mut().entry(Arc::clone(&id)).or_default();
        session.state_updated = state.is_some().then_some(utc);
        session.state = state;
        self.refresh_session(&id);
    }

    /// Ids of sessions, in order: those with messages or a state, or with a cutoff those whose state was set after it
    /// (docs/evidence/pinned-behaviour.md SES47, SES50).
    pub fn list_sessions(&self, updated_after: Option<Timestamp>) -> impl Iterator<Item = &Arc<str>> {
        self.sessions()
            .iter()
            .filter(move |(_, session)| match updated_after {
                None => session.messages > 0 || session.state.is_some(),
                Some(cutoff) => session.state_updated.is_some_and(|at| at > cutoff),
            })
            .map(|(id, _)| id)
    }
}
