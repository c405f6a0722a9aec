//! Sessions of a store: a lock by id, exclusive unless its holder shares it, order inside, and a state that outlives messages.

use super::error::EntityError;
use super::store::{Effect, Ending, Store};
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The form in which session ids are compared: they are not case-sensitive (docs/evidence/field-reports.md F67).
pub(super) fn session_key(id: &str) -> Cow<'_, str> {
    if id.chars().any(char::is_uppercase) { Cow::Owned(id.to_lowercase()) } else { Cow::Borrowed(id) }
}

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
#[derive(Debug)]
pub(super) struct Session {
    /// The id as it was written when the session came to be: messages keep the form they were sent with.
    pub(super) name: Arc<str>,
    pub(super) state: Option<Bytes>,
    pub(super) state_updated: Option<Timestamp>,
    pub(super) available: BTreeSet<(u64, i64)>,
    /// Messages that its holder has locked.
    pub(super) locked: BTreeSet<i64>,
    /// Messages of any state.
    pub(super) messages: BTreeSet<i64>,
    pub(super) lock: Option<SessionLock>,
    /// Its place in the index of sessions that can be accepted.
    pub(super) rank: Option<u64>,
}

impl Session {
    pub(super) fn named(name: Arc<str>) -> Self {
        Self {
            name,
            state: None,
            state_updated: None,
            available: BTreeSet::new(),
            locked: BTreeSet::new(),
            messages: BTreeSet::new(),
            lock: None,
            rank: None,
        }
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.lock.is_none() && self.messages.is_empty() && self.state.is_none()
    }
}

impl Store {
    /// The key of a session that exists.
    fn find_session(&self, id: &str) -> Option<Arc<str>> {
        self.sessions().get_key_value(session_key(id).as_ref()).map(|(key, _)| Arc::clone(key))
    }

    /// Locks a session: the named one, which need not exist, or the one whose first message has waited longest. Its id
    /// comes back as it was asked for, or as the session was first written. `None` when the next one is asked for and
    /// there is none.
    ///
    /// # Errors
    /// [`EntityError::SessionCannotBeLocked`].
    pub fn accept_session(
        &mut self,
        id: Option<&str>,
        holder: u64,
        utc: Timestamp,
    ) -> Result<Option<(Arc<str>, Timestamp)>, EntityError> {
        let name: Arc<str> = match id {
            Some(id) => Arc::from(id),
            None => match self.first_ready().and_then(|key| self.sessions().get(&key)) {
                Some(session) => Arc::clone(&session.name),
                None => return Ok(None),
            },
        };
        let until = utc + self.settings().lock_duration;
        let (key, session) = self.session_entry(&name);
        if session.lock.is_some() {
            return Err(EntityError::SessionCannotBeLocked(name.as_ref().to_owned()));
        }
        session.lock = Some(SessionLock { holder, until, token: None, taken_over: None });
        self.set_session_timer(&key, None, Some(until));
        self.refresh_session(&key);
        Ok(Some((name, until)))
    }

    /// Lets others take a locked session over by a token: the one it has, or else this one. `None` when nobody holds
    /// the session.
    pub fn share_session(&mut self, id: &str, token: LockToken) -> Option<LockToken> {
        let key = self.find_session(id)?;
        let lock = self.sessions_mut().get_mut(&key)?.lock.as_mut()?;
        let token = *lock.token.get_or_insert(token);
        self.shared().insert(token, key);
        Some(token)
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
        let key = self.shared().get(&token).cloned().ok_or(EntityError::SessionLockLost)?;
        if id.is_some_and(|id| session_key(id) != *key) {
            return Err(EntityError::SessionLockLost);
        }
        let until = utc + self.settings().lock_duration;
        let session = self.sessions_mut().get_mut(&key).ok_or(EntityError::SessionLockLost)?;
        let name = id.map_or_else(|| Arc::clone(&session.name), Arc::from);
        let lock = session.lock.as_mut().ok_or(EntityError::SessionLockLost)?;
        let taken = SessionLock { holder, until, token: Some(token), taken_over: Some(utc) };
        let before = core::mem::replace(lock, taken);
        self.set_session_timer(&key, Some(before.until), Some(until));
        self.signal_session_lost(before.holder);
        Ok((name, until))
    }

    /// The lock of a session.
    pub fn session_lock(&self, id: &str) -> Option<SessionLock> {
        self.sessions().get(session_key(id).as_ref())?.lock
    }

    /// Extends the lock of a session.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`] when nobody holds it.
    pub fn renew_session(&mut self, id: &str, utc: Timestamp) -> Result<Timestamp, EntityError> {
        let until = utc + self.settings().lock_duration;
        let key = self.find_session(id).ok_or(EntityError::SessionLockLost)?;
        let session = self.sessions_mut().get_mut(&key).ok_or(EntityError::SessionLockLost)?;
        let lock = session.lock.as_mut().ok_or(EntityError::SessionLockLost)?;
        let before = core::mem::replace(&mut lock.until, until);
        self.set_session_timer(&key, Some(before), Some(until));
        Ok(until)
    }

    /// The lock of a session is over.
    fn end_session_lock(&mut self, key: &Arc<str>, lock: SessionLock) {
        if let Some(session) = self.sessions_mut().get_mut(key) {
            session.lock = None;
        }
        if let Some(token) = lock.token {
            self.shared().remove(&token);
        }
        self.set_session_timer(key, Some(lock.until), None);
    }

    /// The lock of a session may have run out: it does whatever credit its link has (docs/evidence/field-reports.md F14).
    pub(super) fn session_timer(&mut self, key: &Arc<str>, utc: Timestamp) -> Vec<Effect> {
        match self.sessions().get(key).and_then(|session| session.lock) {
            Some(lock) if lock.until <= utc => {
                self.end_session_lock(key, lock);
                self.signal_session_lost(lock.holder);
                // The lock's end is a failed delivery of what it guarded (docs/evidence/pinned-behaviour.md SET3).
                self.unlock_session(key, Ending::Expire, utc)
            }
            _ => Vec::new(),
        }
    }

    /// The holder lets a session go: it can be accepted at once, and nothing counts as a failed delivery.
    pub fn release_session(&mut self, id: &str, holder: u64, utc: Timestamp) -> Vec<Effect> {
        let Some(key) = self.find_session(id) else { return Vec::new() };
        match self.sessions().get(&key).and_then(|session| session.lock) {
            Some(lock) if lock.holder == holder => {
                self.end_session_lock(&key, lock);
                self.unlock_session(&key, Ending::Release, utc)
            }
            _ => Vec::new(),
        }
    }

    /// The state of a session; `None` when it was never set or was cleared.
    pub fn session_state(&self, id: &str) -> Option<Bytes> {
        self.sessions().get(session_key(id).as_ref())?.state.clone()
    }

    /// Checks that the state of a session can be set.
    ///
    /// # Errors
    /// [`EntityError::OutOfRange`] when all states together take too much.
    pub(in crate::broker) fn check_session_state(&self, id: &str, state: Option<&Bytes>) -> Result<(), EntityError> {
        let before = self.session_state(id).map_or(0, |state| state.len());
        self.check_states(before, state.map_or(0, Bytes::len))
    }

    /// Sets the state of a session, or clears it.
    pub(in crate::broker) fn put_session_state(&mut self, id: &str, state: Option<Bytes>, utc: Timestamp) {
        let before = self.session_state(id).map_or(0, |state| state.len());
        self.count_states(before, state.as_ref().map_or(0, Bytes::len));
        let (key, session) = self.session_entry(&Arc::from(id));
        session.state_updated = state.is_some().then_some(utc);
        session.state = state;
        self.refresh_session(&key);
    }

    /// Ids of sessions, in order: those with messages or a state, or with a cutoff those whose state was set after it
    /// (docs/evidence/pinned-behaviour.md SES47, SES50).
    pub fn list_sessions(&self, updated_after: Option<Timestamp>) -> impl Iterator<Item = &Arc<str>> {
        self.sessions()
            .values()
            .inspect(|_| self.count_work(1))
            .filter(move |session| match updated_after {
                None => !session.messages.is_empty() || session.state.is_some(),
                Some(cutoff) => session.state_updated.is_some_and(|at| at > cutoff),
            })
            .map(|session| &session.name)
    }
}
