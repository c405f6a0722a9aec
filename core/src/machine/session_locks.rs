//! Locks of sessions: asked for with a receiver's link, held as long as that lives (docs/evidence/wire-protocol.md §4.6).

use super::calls::Outcome;
use super::channels::Owner;
use super::id::{EndpointId, OperationId, SessionLockId};
use super::links::Endpoint;
use super::{Capacity, Cause, ClientMachine, Clock, Entity, Failure, Kind, Offer};
use crate::engine::LinkId;
use crate::log::Maybe;
use crate::servicebus::Reason;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::received::Origin;
use crate::servicebus::session_choice::SessionChoice;
use crate::servicebus::session_filter;
use crate::storage::{Storage, Table, TableOf, TransactionOf, room};
use crate::time::{Instant, Millis, Timestamp};
use crate::wire::{Full, Map};
use core::task::Poll;

/// Until when a session is locked, in .NET ticks (docs/evidence/wire-protocol.md §4.6).
const LOCKED_UNTIL: &str = "com.microsoft:locked-until-utc";
/// How often the service is asked again while it may take the new holder of a session for a stranger: until the link is
/// healthy, thirty seconds after the take-over (docs/evidence/pinned-behaviour.md SES44).
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

/// The receiver's link that holds the session of a message which is to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Only one link can.
    Exclusive,
    /// The link that the message came on.
    Here,
    /// Another link than the one that the message came on: that one has lost the session.
    Elsewhere,
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
    locks: TableOf<S, room::Claims, Lock<S>>,
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

    /// A place for a session that is to be asked for. `accept_timeout` is how long the service may take to find one, in
    /// milliseconds.
    ///
    /// # Errors
    /// A full table.
    fn add(&mut self, choice: SessionChoice<S>, accept_timeout: Option<u32>) -> Result<SessionLockId, Full> {
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
        Ok((filter, lock.accept_timeout.filter(|_| lock.choice.id().is_none())))
    }

    /// The peer's attach has come, with these properties and this filter: what it grants.
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
    fn attached(&mut self, id: SessionLockId) -> Answer {
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
    fn may_grant(&self, id: SessionLockId) -> bool {
        self.get(id).is_none_or(|lock| lock.granted || !lock.non_exclusive)
    }

    /// The link has lived so long that the service knows the session's new holder.
    pub(super) fn settle_in(&mut self, id: SessionLockId) {
        if let Some(lock) = self.locks.get_mut(id.index()) {
            lock.took_over = false;
        }
    }

    /// Whether the session was taken over not long ago.
    fn took_over(&self, id: SessionLockId) -> bool {
        self.get(id).is_some_and(|lock| lock.took_over)
    }

    /// Whether others may take the session over.
    fn is_non_exclusive(&self, id: SessionLockId) -> bool {
        self.get(id).is_some_and(|lock| lock.non_exclusive)
    }

    /// Whether the session is held.
    pub(super) fn is_granted(&self, id: SessionLockId) -> bool {
        self.granted(id).is_some()
    }

    /// The id of the session that is asked for, or held.
    pub(super) fn session(&self, id: SessionLockId) -> Option<&S::Text> {
        self.get(id)?.choice.id()
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

impl<S: Storage> ClientMachine<S> {
    /// Whether a receiver may be sent messages.
    pub(super) fn may_grant(&self, endpoint: &Endpoint<S>) -> bool {
        endpoint.session_lock().is_none_or(|lock| self.session_locks.may_grant(lock))
    }

    /// Adds a receiver of a session; it asks for it as soon as there is a connection. `accept_timeout` is how long the
    /// service may take to find one, in milliseconds.
    ///
    /// # Errors
    /// As [`ClientMachine::add_endpoint`], and [`Capacity::SessionReceivers`].
    pub(crate) fn add_session_receiver(
        &mut self,
        kind: Kind,
        choice: SessionChoice<S>,
        entity: Entity<S>,
        identifier: Option<S::Literal>,
        accept_timeout: Option<u32>,
    ) -> Result<EndpointId, Failure<S>> {
        let full = |_| Failure::no_capacity(Capacity::SessionReceivers);
        let lock = self.session_locks.add(choice, accept_timeout).map_err(full)?;
        let added = self.add_endpoint(kind, entity, identifier);
        match added.as_ref().ok().and_then(|id| self.links.get_mut(id.0.index)) {
            Some(endpoint) => endpoint.set_session_lock(lock),
            None => self.session_locks.release(lock),
        }
        added
    }

    /// Both attaches were seen; false when the peer has granted nothing, and the link is unusable.
    pub(super) fn session_attached(&mut self, place: u32, link: LinkId, clock: Clock) -> bool {
        let Some(endpoint) = self.links.get(place) else { return true };
        let (Some(lock), asked_at) = (endpoint.session_lock(), self.credit.asked_at(place)) else { return true };
        match self.session_locks.attached(lock) {
            Answer::Granted(until) => {
                if let Some(until) = until {
                    self.lock_given(clock, asked_at, until);
                }
                true
            }
            Answer::Declined => {
                // The link that came instead is unusable: an exclusive lock cannot be taken over, and none at all gives
                // messages of any session.
                if let Some(connection) = &mut self.connection {
                    let _ = connection.detach(link, true, None);
                }
                self.give_up(place, &Failure::new(Cause::NotOffered(Offer::NonExclusiveSessions)));
                false
            }
        }
    }

    /// A held session's lock is gone with its link: reported once, never mended silently. Which session to ask for next
    /// where none was held is the application's decision.
    pub(super) fn session_detached(&mut self, place: u32, was_up: bool, failure: &Failure<S>) {
        let Some(endpoint) = self.links.get(place) else { return };
        if !was_up {
            let lock = endpoint.session_lock();
            // A service that does not know the filter sees a receiver without a session.
            let unknown = matches!(failure.reason(), Some(Reason::NotAllowed | Reason::NotImplemented))
                && lock.is_some_and(|lock| self.session_locks.is_non_exclusive(lock));
            if unknown {
                let cause = Cause::NotOffered(Offer::NonExclusiveSessions);
                self.give_up(place, &Failure { cause, ..failure.clone() });
            } else {
                self.give_up(place, failure);
            }
            return;
        }
        let lost = Failure::after(Cause::Service(Reason::SessionLockLost), Some(failure));
        let entity = endpoint.entity();
        log!(warn, "session lost", entity = Maybe(self.tokens.address(entity)), failure = lost);
        self.links.end_for_good(place, &lost);
        self.fail_sent(place, &lost);
        self.fail_waiting(place, &lost);
        if let Some(id) = self.links.id(place) {
            self.session_renewals_end(id, Some(&lost));
        }
        self.calls.notice_endpoint(place);
    }

    /// The receiver's link that holds the session of a message from a receiver.
    pub(super) fn hold(&self, place: u32, origin: Origin) -> Hold {
        let Some(holder) = self.links.get(place) else { return Hold::Exclusive };
        let lock = self.granted_to(holder).filter(|lock| self.session_locks.is_non_exclusive(*lock));
        if lock.is_none() {
            return Hold::Exclusive;
        }
        let own = holder.link();
        if self.link_of(origin).is_some_and(|link| own == Some(link)) { Hold::Here } else { Hold::Elsewhere }
    }

    /// When the lock of the session ends on whose receiver this call is.
    pub(super) fn session_lock_end(&self, operation: OperationId) -> Option<Timestamp> {
        let holder = self.links.get(self.calls.endpoint(operation)?)?;
        self.session_locks.lock_end(self.granted_to(holder).filter(|_| !holder.is_over())?)
    }

    /// Settles by request, with the session of the receiver in it.
    pub(super) fn update_in_session(
        &mut self,
        clock: Clock,
        operation: OperationId,
        owner: Owner,
        entity: &Entity<S>,
        request: UpdateDisposition<'_>,
        transaction: Option<TransactionOf<S>>,
        place: u32,
    ) -> Poll<Result<Outcome<S>, Failure<S>>> {
        let holder = self.links.get(place);
        let session = holder.and_then(|holder| self.session_locks.session(self.granted_to(holder)?)).cloned();
        let request = UpdateDisposition { session_id: session.as_ref().map(AsRef::as_ref), ..request };
        self.poll_asked(clock, operation, owner, entity, &request, transaction)
    }

    /// Whether a session was taken over just now: the service may take its new holder for a stranger for a while
    /// (docs/evidence/pinned-behaviour.md SES44).
    pub(super) fn is_taking_over(&self, id: EndpointId) -> bool {
        self.links.find(id).is_some_and(|endpoint| {
            endpoint.session_lock().is_some_and(|lock| self.session_locks.took_over(lock)) && endpoint.is_up()
        })
    }

    /// The lock of the session that a receiver has.
    pub(super) fn granted_to(&self, endpoint: &Endpoint<S>) -> Option<SessionLockId> {
        endpoint.session_lock().filter(|lock| self.session_locks.is_granted(*lock))
    }

    /// The session that a session receiver holds, and until when.
    pub fn session_of(&self, id: EndpointId) -> Option<(&str, Option<Timestamp>)> {
        let lock = self.granted_to(self.links.find(id)?)?;
        Some((self.session_locks.session(lock)?.as_ref(), self.session_locks.lock_end(lock)))
    }

    /// The token that takes the session of a session receiver over; `None` when its lock is exclusive.
    pub fn session_token(&self, id: EndpointId) -> Option<LockToken> {
        self.session_locks.granted(self.links.find(id)?.session_lock()?)?.choice.token()
    }

    /// Whether an endpoint holds a session.
    pub fn is_session(&self, endpoint: EndpointId) -> bool {
        self.links.find(endpoint).is_some_and(|endpoint| endpoint.is_session())
    }

    /// A session's lock was renewed by the application, which asked for that at `asked_at`.
    pub fn session_renewed(&mut self, clock: Clock, asked_at: Instant, id: EndpointId, until: Timestamp) {
        let lock = self.links.find(id).and_then(Endpoint::session_lock);
        let before = lock.and_then(|lock| self.session_locks.lock_end(lock));
        self.lock_renewed(clock, asked_at, before, until);
        self.set_session_lock(id, until);
    }

    /// A session's lock has a new end.
    pub(super) fn set_session_lock(&mut self, id: EndpointId, until: Timestamp) {
        if let Some(lock) = self.links.find(id).and_then(Endpoint::session_lock) {
            self.session_locks.renewed(lock, until);
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
