//! Sessions of a store: a lock by id, exclusive unless its holder shares it, order inside, and a state that outlives messages.

use super::error::EntityError;
use super::store::{Effect, Ending, Store};
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The form in which session ids are compared: they are not case-sensitive.
// docs/evidence/field-reports.md F67
pub(in crate::broker) fn session_key(id: &str) -> Cow<'_, str> {
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
    /// How the messages that it guards are given back, once it is over.
    ending: Option<Ending>,
}

impl SessionLock {
    /// Whether it is over, and messages that it guarded are still to be given back.
    pub(in crate::broker) fn is_over(&self) -> bool {
        self.ending.is_some()
    }
}

/// The holder of a session whose lock is over, while its messages are given back: receivers are counted from one.
const NOBODY: u64 = 0;

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
    /// Whether it is among the listed ones.
    pub(super) listed: bool,
    /// The time under which it is among those with a state.
    pub(super) stated: Option<Timestamp>,
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
            listed: false,
            stated: None,
        }
    }

    /// Its entries, to be let go.
    pub(super) fn into_entries(self) -> impl Iterator<Item = ()> + Send {
        let Self { state, available, locked, messages, .. } = self;
        let numbers = locked.into_iter().chain(messages).map(|_| ());
        state.into_iter().map(|_| ()).chain(available.into_iter().map(|_| ())).chain(numbers)
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

    /// The session to be locked: the named one, which need not exist, or the one whose first message has waited longest. Its
    /// id comes back as it was asked for, or as the session was first written. `None` when the next one is asked for and
    /// there is none.
    ///
    /// # Errors
    /// [`EntityError::SessionCannotBeLocked`].
    pub(in crate::broker) fn acceptable(&self, id: Option<&str>) -> Result<Option<Arc<str>>, EntityError> {
        let Some(id) = id else {
            let next = self.first_ready().and_then(|key| self.sessions().get(&key));
            return Ok(next.map(|session| Arc::clone(&session.name)));
        };
        if self.session_lock(id).is_some() {
            return Err(EntityError::SessionCannotBeLocked(id.to_owned()));
        }
        Ok(Some(Arc::from(id)))
    }

    /// Locks a session.
    pub(in crate::broker) fn lock_session(&mut self, id: &str, holder: u64, utc: Timestamp) {
        let until = utc + self.settings().lock_duration;
        let (key, session) = self.session_entry(&Arc::from(id));
        let before = session.lock.replace(SessionLock { holder, until, token: None, taken_over: None, ending: None });
        self.set_session_timer(&key, before.map(|lock| lock.until), Some(until));
        self.refresh_session(&key);
    }

    /// Lets others take a locked session over by a token: the one it has, or else this one.
    pub(in crate::broker) fn share_session(&mut self, id: &str, token: LockToken) {
        let Some(key) = self.find_session(id) else { return };
        let Some(lock) = self.sessions_mut().get_mut(&key).and_then(|session| session.lock.as_mut()) else { return };
        if lock.is_over() {
            return;
        }
        let token = *lock.token.get_or_insert(token);
        self.shared().insert(token, key);
    }

    /// The session that is locked under this token, of this id where it is named.
    ///
    /// # Errors
    /// [`EntityError::SessionLockLost`] when no lock goes by this token (any more).
    pub(in crate::broker) fn session_under(&self, id: Option<&str>, token: LockToken) -> Result<Arc<str>, EntityError> {
        let key = self.shared_session(&token).ok_or(EntityError::SessionLockLost)?;
        let session = self.sessions().get(key).filter(|session| session.lock.is_some());
        let session = session.ok_or(EntityError::SessionLockLost)?;
        match id {
            Some(id) if session_key(id) != **key => Err(EntityError::SessionLockLost),
            Some(id) => Ok(Arc::from(id)),
            None => Ok(Arc::clone(&session.name)),
        }
    }

    /// Gives a locked session to another holder. What the former holder has received stays locked, for the new one to
    /// settle.
    // docs/evidence/pinned-behaviour.md SES43, SES45
    pub(in crate::broker) fn hand_over_session(&mut self, id: &str, token: LockToken, holder: u64, utc: Timestamp) {
        let until = utc + self.settings().lock_duration;
        let Some(key) = self.find_session(id) else { return };
        let Some(lock) = self.sessions_mut().get_mut(&key).and_then(|session| session.lock.as_mut()) else { return };
        let taken = SessionLock { holder, until, token: Some(token), taken_over: Some(utc), ending: None };
        let before = core::mem::replace(lock, taken);
        self.set_session_timer(&key, Some(before.until), Some(until));
        self.signal_session_lost(before.holder);
    }

    /// The lock of a session.
    pub fn session_lock(&self, id: &str) -> Option<SessionLock> {
        self.sessions().get(session_key(id).as_ref())?.lock
    }

    /// Extends the lock of a session.
    pub(in crate::broker) fn extend_session(&mut self, id: &str, utc: Timestamp) {
        let until = utc + self.settings().lock_duration;
        let Some(key) = self.find_session(id) else { return };
        let Some(lock) = self.sessions_mut().get_mut(&key).and_then(|session| session.lock.as_mut()) else { return };
        let before = core::mem::replace(&mut lock.until, until);
        self.set_session_timer(&key, Some(before), Some(until));
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

    /// Gives back messages that the lock of a session guards, some at once; the lock is over with the last of them. Until
    /// then nobody holds the session and nobody gets it, so that its messages keep their order.
    fn unlock_some(&mut self, key: &Arc<str>, lock: SessionLock, ending: Ending, utc: Timestamp) -> Vec<Effect> {
        if let Some(token) = lock.token {
            self.shared().remove(&token);
        }
        let effects = self.unlock_session(key, ending, utc);
        let rest = self.sessions().get(key).is_some_and(|session| !session.locked.is_empty());
        if rest {
            let ending = SessionLock { holder: NOBODY, until: utc, token: None, ending: Some(ending), ..lock };
            if let Some(session) = self.sessions_mut().get_mut(key) {
                session.lock = Some(ending);
            }
            self.set_session_timer(key, Some(lock.until), Some(utc));
        } else {
            self.end_session_lock(key, lock);
            self.refresh_session(key);
        }
        effects
    }

    /// The lock of a session may have run out: it does whatever credit its link has.
    // docs/evidence/field-reports.md F14
    pub(super) fn session_timer(&mut self, key: &Arc<str>, utc: Timestamp) -> Vec<Effect> {
        match self.sessions().get(key).and_then(|session| session.lock) {
            Some(lock) if lock.until <= utc => {
                if lock.holder != NOBODY {
                    self.signal_session_lost(lock.holder);
                }
                // The lock's end is a failed delivery of what it guarded (docs/evidence/pinned-behaviour.md SET3).
                self.unlock_some(key, lock, lock.ending.unwrap_or(Ending::Expire), utc)
            }
            _ => Vec::new(),
        }
    }

    /// The holder lets a session go: it can be accepted at once, and nothing counts as a failed delivery.
    pub fn release_session(&mut self, id: &str, holder: u64, utc: Timestamp) -> Vec<Effect> {
        let Some(key) = self.find_session(id) else { return Vec::new() };
        match self.sessions().get(&key).and_then(|session| session.lock) {
            Some(lock) if lock.holder == holder => self.unlock_some(&key, lock, Ending::Release, utc),
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

    /// Ids of sessions: those with messages or a state by id, or with a cutoff those whose state was set after it by that
    /// time. The first so many are left out.
    // docs/evidence/pinned-behaviour.md SES47, SES50
    pub fn list_sessions(&self, updated_after: Option<Timestamp>, skip: usize) -> impl Iterator<Item = &Arc<str>> {
        let first = skip.saturating_add(updated_after.map_or(0, |cutoff| self.states_until(cutoff)));
        let ranks = (0..).map_while(move |at: usize| first.checked_add(at));
        ranks.map_while(move |rank| self.listed_session(updated_after.is_some(), rank)).map(|session| &session.name)
    }
}
