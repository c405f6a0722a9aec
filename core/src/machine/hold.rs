//! Receivers of sessions: they hold a session as long as their link lives.
// docs/evidence/wire-protocol.md §4.6

use super::calls::Outcome;
use super::id::{EndpointId, OperationId, SessionLockId};
use super::links::Endpoint;
use super::owner::Owner;
use super::session_locks::Answer;
use super::{Capacity, Cause, ClientMachine, Clock, Entity, Failure, Kind, Offer};
use crate::engine::LinkId;
use crate::log::Maybe;
use crate::servicebus::Reason;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::received::Origin;
use crate::servicebus::session_choice::SessionChoice;
use crate::storage::{Features, Storage, TransactionOf};
use crate::time::{Instant, Timestamp};
use core::task::Poll;

/// The receiver's link that holds the session of the message being settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Only one link can.
    Exclusive,
    /// The link that the message came on.
    Here,
    /// Another link than the one that the message came on: that one has lost the session.
    Elsewhere,
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
                self.detach(link);
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

    /// Whether a receiver holds its session on the connection that a message came on: a session that was lost with its
    /// link is not asked for again.
    pub(super) fn holds_since(&self, place: u32, origin: Origin) -> bool {
        let is_up = self.links.get(place).is_some_and(|holder| holder.is_up() && self.granted_to(holder).is_some());
        is_up && self.delivery_of(origin).is_some()
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

    /// Whether a session was taken over recently: for a while the service may reject its new holder.
    // docs/evidence/pinned-behaviour.md SES44
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
    #[doc(hidden)]
    pub fn session_of(&self, id: EndpointId) -> Option<(&str, Option<Timestamp>)> {
        let lock = self.granted_to(self.links.find(id)?)?;
        Some((self.session_locks.session(lock)?.as_ref(), self.session_locks.lock_end(lock)))
    }

    /// The token that takes the session of a session receiver over; `None` when its lock is exclusive.
    #[doc(hidden)]
    pub fn session_token(&self, id: EndpointId) -> Option<LockToken> {
        self.session_locks.token(self.links.find(id)?.session_lock()?)
    }

    /// Whether an endpoint holds a session.
    #[doc(hidden)]
    pub fn is_session(&self, endpoint: EndpointId) -> bool {
        self.links.find(endpoint).is_some_and(|endpoint| endpoint.is_session())
    }

    /// A session's lock was renewed by the application, which asked for that at `asked_at`, when the ends of locks were
    /// `known` or not.
    #[doc(hidden)]
    pub fn session_renewed(&mut self, clock: Clock, asked_at: Instant, known: bool, id: EndpointId, until: Timestamp) {
        let lock = self.links.find(id).and_then(Endpoint::session_lock);
        let in_doubt = S::Features::LOCK_RENEWAL && self.lock_renewals.session_in_doubt(id);
        let before = lock.and_then(|lock| self.session_locks.lock_end(lock)).filter(|_| known && !in_doubt);
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
