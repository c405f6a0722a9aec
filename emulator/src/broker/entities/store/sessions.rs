//! The sessions of a store and their indexes: which can be accepted, which are listed, which are held.

use super::{MAX_STATES, Store, Timer};
use crate::broker::entities::error::EntityError;
use crate::broker::entities::session::{Session, session_key};
use crate::broker::entities::settings::StoreSignal;
use crate::broker::id_map::IdMap;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::{Duration, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Store {
    /// Brings the index of sessions that can be accepted up to date, and forgets a session that holds nothing.
    pub(in crate::broker::entities) fn refresh_session(&mut self, id: &Arc<str>) {
        self.list_session(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let rank = if session.lock.is_none() { session.available.first().map(|(position, _)| *position) } else { None };
        if session.rank != rank {
            if let Some(old) = session.rank {
                self.ready.remove(&(old, id.clone()));
            }
            session.rank = rank;
            if let Some(new) = rank {
                self.ready.insert((new, id.clone()));
                self.signal(StoreSignal::SessionReady);
            }
        }
        if self.sessions.get(id).is_some_and(Session::is_vacant) {
            self.sessions.remove(id);
        }
    }

    /// Brings the lists of sessions up to date.
    pub(super) fn list_session(&mut self, id: &Arc<str>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let listed = !session.messages.is_empty() || session.state.is_some();
        match (core::mem::replace(&mut session.listed, listed), listed) {
            (false, true) => self.listed.insert(Arc::clone(id)),
            (true, false) => self.listed.remove(id),
            _ => {}
        }
        let before = core::mem::replace(&mut session.stated, session.state_updated);
        if before != session.state_updated {
            if let Some(before) = before {
                self.stated.remove(&(before, Arc::clone(id)));
            }
            if let Some(at) = session.state_updated {
                self.stated.insert((at, Arc::clone(id)));
            }
        }
    }

    /// The session of this rank among those with messages or a state by id, or among those with a state by its time.
    pub(in crate::broker::entities) fn listed_session(&self, by_state: bool, rank: usize) -> Option<&Session> {
        let id = if by_state { &self.stated.at(rank)?.1 } else { self.listed.at(rank)? };
        self.work.add(1);
        self.sessions.get(id)
    }

    /// How many states were set up to a time.
    pub(in crate::broker::entities) fn states_until(&self, time: Timestamp) -> usize {
        self.stated.count_below(&(time + Duration::from_millis(1), Arc::from("")))
    }

    /// The oldest messages over all sessions without a lock: the first of each session, and behind each that is taken the
    /// next one of its session.
    pub(super) fn oldest_of_sessions(&self, count: usize, old: impl Fn(&i64) -> bool) -> Vec<i64> {
        let mut sessions = self.ready.iter().peekable();
        let mut next: BTreeSet<(u64, i64, &Arc<str>)> = BTreeSet::new();
        let mut found = Vec::new();
        while found.len() < count {
            while let Some((rank, id)) = sessions.peek()
                && next.first().is_none_or(|(position, _, _)| rank < position)
            {
                let first = self.sessions.get(id).and_then(|session| session.available.first());
                next.extend(first.map(|(position, number)| (*position, *number, id)));
                sessions.next();
            }
            let Some((position, number, id)) = next.pop_first().filter(|(_, number, _)| old(number)) else { break };
            found.push(number);
            let behind = self.sessions.get(id).and_then(|it| it.available.range((position + 1, i64::MIN)..).next());
            next.extend(behind.map(|(position, number)| (*position, *number, id)));
        }
        found
    }

    pub(in crate::broker::entities) fn sessions(&self) -> &BTreeMap<Arc<str>, Session> {
        &self.sessions
    }

    pub(in crate::broker::entities) fn sessions_mut(&mut self) -> &mut BTreeMap<Arc<str>, Session> {
        &mut self.sessions
    }

    /// Checks that the state of a session can be replaced.
    pub(in crate::broker::entities) fn check_states(&self, before: usize, after: usize) -> Result<(), EntityError> {
        if self.states.saturating_sub(before) + after > MAX_STATES {
            return Err(EntityError::OutOfRange("The states of the entity's sessions take too much.".into()));
        }
        Ok(())
    }

    /// Accounts for the state of a session that is replaced.
    pub(in crate::broker::entities) fn count_states(&mut self, before: usize, after: usize) {
        self.states = self.states.saturating_sub(before) + after;
    }

    pub(in crate::broker::entities) fn first_ready(&self) -> Option<Arc<str>> {
        self.ready.first().map(|(_, id)| id.clone())
    }

    pub(in crate::broker::entities) fn set_session_timer(
        &mut self,
        id: &Arc<str>,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Session(id.clone())));
        }
        match after {
            Some(after) => {
                self.timers.insert((after, Timer::Session(id.clone())));
                self.held.insert(id.clone());
            }
            None => _ = self.held.remove(id),
        }
    }

    /// A session by its id, made if need be, with its key.
    pub(in crate::broker::entities) fn session_entry(&mut self, id: &Arc<str>) -> (Arc<str>, &mut Session) {
        let key = match session_key(id) {
            Cow::Borrowed(_) => Arc::clone(id),
            Cow::Owned(key) => Arc::from(key),
        };
        let session = self.sessions.entry(Arc::clone(&key)).or_insert_with(|| Session::named(Arc::clone(id)));
        (key, session)
    }

    /// The key of the session that is shared under a token.
    pub(in crate::broker::entities) fn shared_session(&self, token: &LockToken) -> Option<&Arc<str>> {
        self.shared.get(token)
    }

    pub(in crate::broker::entities) fn shared(&mut self) -> &mut IdMap<LockToken, Arc<str>> {
        &mut self.shared
    }

    pub(in crate::broker::entities) fn signal_session_lost(&mut self, holder: u64) {
        self.signal(StoreSignal::SessionLost(holder));
    }
}
