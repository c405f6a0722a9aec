//! Sessions of receivers: asked for with the link, held as long as it lives (docs/evidence/wire-protocol.md §4.6).

use super::calls::{OperationId, Outcome};
use super::channels::Owner;
use super::endpoint::{Endpoint, EndpointId, Entity, Kind, ReceiveMode};
use super::{Capacity, Cause, ClientMachine, Clock, EngineError, Failure, Offer};
use crate::engine::LinkId;
use crate::log::Maybe;
use crate::servicebus::Reason;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::received::Origin;
use crate::servicebus::session_choice::SessionChoice;
use crate::servicebus::session_filter;
use crate::storage::{Features, Place, Storage, Table, TransactionOf};
use crate::time::{Millis, Timestamp};
use crate::wire::performative::Attach;
use crate::wire::{Full, Map, View};
use core::task::Poll;

/// Until when a session is locked, in .NET ticks (docs/evidence/wire-protocol.md §4.6).
const LOCKED_UNTIL: &str = "com.microsoft:locked-until-utc";
/// How often the service is asked again while it may take the new holder of a session for a stranger: until the link is
/// healthy, thirty seconds after the take-over (docs/evidence/pinned-behaviour.md SES44).
pub(super) const TAKEOVER_POLL: Millis = Millis::new(100);

/// The session that a receiver asks for, or has.
pub(super) struct Claim<S: Storage> {
    pub(super) choice: SessionChoice<S>,
    /// How long the service may take to find a session, in milliseconds.
    accept_timeout: Option<u32>,
    pub(super) locked_until: Option<Timestamp>,
    /// Others may take the session over.
    non_exclusive: bool,
    /// It is held.
    granted: bool,
    /// It was taken over by a token, not long ago.
    took_over: bool,
    /// The peer has attached without granting what was asked for.
    declined: bool,
}

/// Who holds the session of a message that is to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nobody else can.
    Exclusive,
    /// The link that the message came on.
    Here,
    /// Another link than the one that the message came on: that one has lost the session.
    Elsewhere,
}

/// A filter, and milliseconds.
type Ask<'b> = (Map<'b>, Option<u32>);

impl<S: Storage> Claim<S> {
    /// The link has lived so long that the service knows the session's new holder.
    pub(super) fn settle_in(&mut self) {
        self.took_over = false;
    }

    /// The filter that asks for the session, in the buffer, and how long the service may look for one.
    pub(super) fn ask<'b>(&self, buffer: &'b mut [u8]) -> Result<Ask<'b>, Full> {
        let filter = session_filter::encode(&self.choice, buffer)?;
        Ok((filter, self.accept_timeout.filter(|_| self.choice.id().is_none())))
    }

    /// The peer's attach has come, with these properties: what it grants.
    pub(super) fn answered<'a>(&mut self, properties: Map<'a>, attach: &mut View<'a, Attach<'a>>) {
        self.locked_until =
            properties.get(LOCKED_UNTIL).and_then(|value| value.as_i64()).map(Timestamp::from_dotnet_ticks);
        match session_filter::granted(&self.choice, attach.filter()) {
            Some(granted) => {
                self.took_over = self.choice.token().is_some();
                self.choice = granted;
            }
            None => self.declined = self.non_exclusive,
        }
    }
}

impl<S: Storage> ClientMachine<S> {
    /// Whether a receiver may be sent messages: a peer that does not know non-exclusive sessions might send messages
    /// without a session.
    pub(super) fn may_grant(&self, endpoint: &Endpoint<S>) -> bool {
        self.claim_of(endpoint).is_none_or(|claim| claim.granted || !claim.non_exclusive)
    }

    /// Adds a receiver of a session; it asks for it as soon as there is a connection. `accept_timeout` is how long the
    /// service may take to find one, in milliseconds.
    ///
    /// # Errors
    /// As [`ClientMachine::add_endpoint`], and [`Capacity::SessionReceivers`].
    pub(crate) fn add_session_receiver(
        &mut self,
        mode: ReceiveMode,
        prefetch: u32,
        choice: SessionChoice<S>,
        entity: Entity<S>,
        accept_timeout: Option<u32>,
    ) -> Result<EndpointId, Failure<S>> {
        let claim = Claim {
            non_exclusive: matches!(choice, SessionChoice::NonExclusive { .. }),
            choice,
            accept_timeout,
            locked_until: None,
            granted: false,
            took_over: false,
            declined: false,
        };
        let full = |_| Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::SessionReceivers)));
        let place = self.claims.insert(claim).map_err(full)?.index;
        let added = self.add_endpoint(Kind::Receiver { mode, prefetch }, entity, None);
        match added.as_ref().ok().and_then(|id| self.endpoints.find_mut(id.0)) {
            Some(endpoint) => endpoint.claim = Some(Place::new(place)),
            None => self.claims.free(place),
        }
        added
    }

    /// Both attaches were seen; false when the peer has granted nothing, and the link is unusable.
    pub(super) fn session_attached(&mut self, place: u32, link: LinkId, clock: Clock) -> bool {
        let Some(endpoint) = self.endpoints.get(place) else { return true };
        let (claim, asked_at) = (endpoint.claim, endpoint.asked_at);
        let Some(claim) = claim.and_then(|claim| self.claims.get_mut(claim.index())) else { return true };
        if !claim.declined {
            claim.granted = true;
            if let Some(until) = claim.locked_until {
                self.lock_given(clock, Some(asked_at), until);
            }
            return true;
        }
        // The link that came instead is of no use: an exclusive lock cannot be taken over, and none at all gives
        // messages of any session.
        if let Some(connection) = &mut self.connection {
            let _ = connection.detach(link, true, None);
        }
        self.give_up(place, &Failure::new(Cause::NotOffered(Offer::NonExclusiveSessions)));
        false
    }

    /// A held session's lock is gone with its link: said once, never mended silently. Which session to ask for next
    /// where none was held is the application's decision.
    pub(super) fn session_detached(&mut self, place: u32, was_up: bool, failure: &Failure<S>) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if !was_up {
            let claim = endpoint.claim.and_then(|claim| self.claims.get(claim.index()));
            // Who does not know the filter sees a receiver without a session.
            let unknown = matches!(failure.reason(), Some(Reason::NotAllowed | Reason::NotImplemented))
                && claim.is_some_and(|claim| claim.non_exclusive);
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
        endpoint.over = true;
        endpoint.error = Some(lost.clone());
        self.fail_sent(place, &lost);
        self.fail_waiting(place, &lost);
        if let Some(key) = self.endpoints.key(place) {
            self.session_renewals_end(EndpointId(key), Some(&lost));
        }
        self.calls.notice_endpoint(place);
    }

    /// Who holds the session of a message from a receiver.
    pub(super) fn hold(&self, place: u32, origin: Origin) -> Hold {
        let Some(holder) = self.endpoints.get(place) else { return Hold::Exclusive };
        if !self.granted_to(holder).is_some_and(|claim| claim.non_exclusive) {
            return Hold::Exclusive;
        }
        let own = holder.attachment.link();
        if self.link_of(origin).is_some_and(|link| own == Some(link)) { Hold::Here } else { Hold::Elsewhere }
    }

    /// When the lock of the session ends on whose receiver this call is.
    pub(super) fn session_lock_end(&self, operation: OperationId) -> Option<Timestamp> {
        let holder = self.endpoints.get(self.calls.endpoint(operation)?)?;
        self.granted_to(holder).filter(|_| !holder.over)?.locked_until
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
        let holder = self.endpoints.get(place);
        let session = holder.and_then(|holder| self.granted_to(holder)?.choice.id()).cloned();
        let request = UpdateDisposition { session_id: session.as_ref().map(AsRef::as_ref), ..request };
        self.poll_asked(clock, operation, owner, entity, &request, transaction)
    }

    /// Whether a session was taken over just now: the service may take its new holder for a stranger for a while
    /// (docs/evidence/pinned-behaviour.md SES44).
    pub(super) fn is_taking_over(&self, id: EndpointId) -> bool {
        self.endpoints.find(id.0).is_some_and(|endpoint| {
            self.claim_of(endpoint).is_some_and(|claim| claim.took_over) && endpoint.attachment.is_up()
        })
    }

    /// The session that a receiver asks for, or has.
    pub(super) fn claim_of(&self, endpoint: &Endpoint<S>) -> Option<&Claim<S>> {
        if S::Features::SESSIONS { self.claims.get(endpoint.claim?.index()) } else { None }
    }

    /// The session that a receiver has.
    pub(super) fn granted_to(&self, endpoint: &Endpoint<S>) -> Option<&Claim<S>> {
        self.claim_of(endpoint).filter(|claim| claim.granted)
    }

    /// The session that a session receiver holds, and until when.
    pub fn session_of(&self, id: EndpointId) -> Option<(&str, Option<Timestamp>)> {
        let claim = self.granted_to(self.endpoints.find(id.0)?)?;
        Some((claim.choice.id()?.as_ref(), claim.locked_until))
    }

    /// The token that takes the session of a session receiver over; `None` when its lock is exclusive.
    pub fn session_token(&self, id: EndpointId) -> Option<LockToken> {
        self.granted_to(self.endpoints.find(id.0)?)?.choice.token()
    }

    /// Whether an endpoint holds a session.
    pub fn is_session(&self, endpoint: EndpointId) -> bool {
        self.endpoints.find(endpoint.0).is_some_and(|endpoint| endpoint.is_session())
    }

    /// A session's lock was renewed.
    pub fn set_session_lock(&mut self, id: EndpointId, until: Timestamp) {
        let claim = self.endpoints.find(id.0).and_then(|endpoint| endpoint.claim);
        if let Some(claim) = claim.and_then(|claim| self.claims.get_mut(claim.index())) {
            claim.locked_until = Some(until);
        }
    }
}
