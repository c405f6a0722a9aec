//! Locks of sessions: asked for with a receiver's link, held as long as that lives.
// docs/evidence/wire-protocol.md §4.6

use super::id::SessionLockId;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::session_choice::SessionChoice;
use crate::servicebus::session_filter;
use crate::storage::{Storage, Table, TableOf, room};
use crate::time::{Millis, Timestamp};
use crate::wire::{Full, Map};

/// Until when a session is locked, in .NET ticks.
// docs/evidence/wire-protocol.md §4.6
const LOCKED_UNTIL: &str = "com.microsoft:locked-until-utc";
/// The retry interval while the service may reject the new holder of a session: until the link is healthy, thirty
/// seconds after the takeover.
// docs/evidence/pinned-behaviour.md SES44
pub(super) const TAKEOVER_POLL: Millis = Millis::new(100);

/// The lock of a session that a receiver asks for, or has.
struct Lock<S: Storage> {
    choice: SessionChoice<S>,
    /// How long the service may take to find a session, in milliseconds.
    accept_timeout: Option<u32>,
    locked_until: Option<Timestamp>,
    /// Others may take the session over.
    non_exclusive: bool,
    /// It is held.
    granted: bool,
    /// It was taken over by a token, not long ago.
    took_over: bool,
    /// The peer has attached without granting what was asked for.
    declined: bool,
}

/// The peer's answer to a request for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is held, until this time as far as the peer has said.
    Granted(Option<Timestamp>),
    /// The peer does not know sessions that others may take over.
    Declined,
}

/// A filter, and milliseconds.
type Ask<'b> = (Map<'b>, Option<u32>);

/// The locks of sessions: one for each receiver of a session, as long as that is there.
pub(super) struct SessionLocks<S: Storage> {
    locks: TableOf<S, room::SessionReceivers, Lock<S>>,
}

impl<S: Storage> SessionLocks<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(limit: usize) -> Self {
        Self { locks: Table::bounded(limit) }
    }

    fn get(&self, id: SessionLockId) -> Option<&Lock<S>> {
        self.locks.get(id.index())
    }

    fn granted(&self, id: SessionLockId) -> Option<&Lock<S>> {
        self.get(id).filter(|lock| lock.granted)
    }

    /// A place for a session to be accepted. `accept_timeout` is how long the service may take to find one, in
    /// milliseconds.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn add(&mut self, choice: SessionChoice<S>, accept_timeout: Option<u32>) -> Result<SessionLockId, Full> {
        let key = self.locks.insert(Lock {
            non_exclusive: matches!(choice, SessionChoice::NonExclusive { .. }),
            choice,
            accept_timeout,
            locked_until: None,
            granted: false,
            took_over: false,
            declined: false,
        })?;
        Ok(SessionLockId::new(key.index))
    }

    /// The receiver of a session is gone.
    pub(super) fn release(&mut self, id: SessionLockId) {
        self.locks.free(id.index());
    }

    /// The filter that asks for the session, in the buffer, and how long the service may look for one.
    ///
    /// # Errors
    /// An id that has no room in the buffer.
    pub(super) fn ask<'b>(&self, id: SessionLockId, buffer: &'b mut [u8]) -> Result<Ask<'b>, Full> {
        let lock = self.get(id).ok_or(Full)?;
        let filter = session_filter::encode(&lock.choice, buffer)?;
        Ok((filter, self.accept_timeout(id)))
    }

    /// How long the service may take to find a session, in milliseconds; `None` for one that is named.
    pub(super) fn accept_timeout(&self, id: SessionLockId) -> Option<u32> {
        let lock = self.get(id)?;
        lock.accept_timeout.filter(|_| lock.choice.id().is_none())
    }

    /// Handles the peer's attach: the session in its filter, and the lock in its properties.
    pub(super) fn answered(&mut self, id: SessionLockId, properties: Map<'_>, filter: Map<'_>) {
        let Some(lock) = self.locks.get_mut(id.index()) else { return };
        lock.locked_until =
            properties.get(LOCKED_UNTIL).and_then(|value| value.as_i64()).map(Timestamp::from_dotnet_ticks);
        match session_filter::granted(&lock.choice, filter) {
            Some(granted) => {
                lock.took_over = lock.choice.token().is_some();
                lock.choice = granted;
            }
            None => lock.declined = lock.non_exclusive,
        }
    }

    /// Both attaches were seen.
    pub(super) fn attached(&mut self, id: SessionLockId) -> Answer {
        match self.locks.get_mut(id.index()) {
            Some(lock) if lock.declined => Answer::Declined,
            Some(lock) => {
                lock.granted = true;
                Answer::Granted(lock.locked_until)
            }
            None => Answer::Granted(None),
        }
    }

    /// Whether the link may get credit: a peer that does not know non-exclusive sessions might send messages without a
    /// session.
    pub(super) fn may_grant(&self, id: SessionLockId) -> bool {
        self.get(id).is_none_or(|lock| lock.granted || !lock.non_exclusive)
    }

    /// The link has lived so long that the service knows the session's new holder.
    pub(super) fn settle_in(&mut self, id: SessionLockId) {
        if let Some(lock) = self.locks.get_mut(id.index()) {
            lock.took_over = false;
        }
    }

    /// Whether the session was taken over not long ago.
    pub(super) fn took_over(&self, id: SessionLockId) -> bool {
        self.get(id).is_some_and(|lock| lock.took_over)
    }

    /// Whether others may take the session over.
    pub(super) fn is_non_exclusive(&self, id: SessionLockId) -> bool {
        self.get(id).is_some_and(|lock| lock.non_exclusive)
    }

    /// Whether the session is held.
    pub(super) fn is_granted(&self, id: SessionLockId) -> bool {
        self.granted(id).is_some()
    }

    /// The id of the requested or held session.
    pub(super) fn session(&self, id: SessionLockId) -> Option<&S::Text> {
        self.get(id)?.choice.id()
    }

    /// The token that takes the session over, where it is held and its lock is not exclusive.
    pub(super) fn token(&self, id: SessionLockId) -> Option<LockToken> {
        self.granted(id)?.choice.token()
    }

    /// When the lock ends, as far as is known.
    pub(super) fn lock_end(&self, id: SessionLockId) -> Option<Timestamp> {
        self.get(id)?.locked_until
    }

    /// The lock was renewed.
    pub(super) fn renewed(&mut self, id: SessionLockId, until: Timestamp) {
        if let Some(lock) = self.locks.get_mut(id.index()) {
            lock.locked_until = Some(until);
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::{Heap, Text};
    use crate::wire::{Symbol, Uuid, Value, encode_map};

    fn named(id: &str) -> SessionChoice<Heap> {
        SessionChoice::Named(<Heap as Storage>::Text::cut(id))
    }

    fn shared(id: &str, token: Option<u8>) -> SessionChoice<Heap> {
        let token = token.map(|byte| LockToken::from_uuid(Uuid([byte; 16])));
        SessionChoice::NonExclusive { id: Some(<Heap as Storage>::Text::cut(id)), token }
    }

    /// The peer attaches with the filter of this session.
    fn answer(locks: &mut SessionLocks<Heap>, id: SessionLockId, granted: &SessionChoice<Heap>) -> Answer {
        let (mut filter, mut properties) = ([0; session_filter::MAX_LEN], [0; 100]);
        let filter = session_filter::encode(granted, &mut filter).unwrap();
        let until = Timestamp::from_secs(1_795_000_000).as_dotnet_ticks();
        let entry = (Value::Symbol(Symbol::new(LOCKED_UNTIL)), Value::Long(until));
        locks.answered(id, encode_map(&[entry], &mut properties).unwrap(), filter);
        locks.attached(id)
    }

    #[test]
    fn the_next_session_becomes_the_one_that_is_granted() {
        let mut locks = SessionLocks::<Heap>::new(2);
        let id = locks.add(SessionChoice::NextAvailable, Some(5_000)).unwrap();
        let mut buffer = [0; session_filter::MAX_LEN];
        assert_eq!(locks.ask(id, &mut buffer).unwrap().1, Some(5_000));
        assert!(!locks.is_granted(id) && locks.may_grant(id));
        let until = Timestamp::from_secs(1_795_000_000);
        assert_eq!(answer(&mut locks, id, &named("one")), Answer::Granted(Some(until)));
        assert_eq!((locks.session(id).map(AsRef::as_ref), locks.lock_end(id)), (Some("one"), Some(until)));
        locks.renewed(id, until.after(TAKEOVER_POLL));
        assert_eq!(locks.lock_end(id), Some(until.after(TAKEOVER_POLL)));
        assert_eq!(locks.ask(id, &mut buffer).unwrap().1, None, "a session with a name is not searched for");
    }

    #[test]
    fn a_peer_that_does_not_know_shared_sessions_gets_no_credit() {
        let mut locks = SessionLocks::<Heap>::new(2);
        let id = locks.add(shared("one", None), None).unwrap();
        assert!(!locks.may_grant(id));
        assert_eq!(answer(&mut locks, id, &named("one")), Answer::Declined);
        assert!(!locks.is_granted(id) && !locks.may_grant(id));
    }

    #[test]
    fn a_takeover_is_recent_until_the_link_is_healthy() {
        let mut locks = SessionLocks::<Heap>::new(2);
        let id = locks.add(shared("one", Some(1)), None).unwrap();
        assert!(matches!(answer(&mut locks, id, &shared("one", Some(2))), Answer::Granted(_)));
        assert!(locks.took_over(id) && locks.is_granted(id) && locks.may_grant(id));
        locks.settle_in(id);
        assert!(!locks.took_over(id));
    }

    #[test]
    fn a_full_table_refuses_until_a_receiver_is_gone() {
        let mut locks = SessionLocks::<Heap>::new(1);
        let id = locks.add(named("one"), None).unwrap();
        assert!(locks.add(named("two"), None).is_err());
        locks.release(id);
        let id = locks.add(named("two"), None).unwrap();
        assert!(!locks.is_granted(id));
    }
}
