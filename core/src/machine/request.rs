//! Requests and responses over a pair of links: `$cbs` and `<entity>/$management`.
// docs/evidence/wire-protocol.md §2, §5

use super::calls::{Outcome, State};
use super::channels::{Channels, Links, Row};
use super::id::{OperationId, RenewalId, RequestId, TokenId};
use super::owner::Owner;
use super::request_message::{RequestMessage, check_response, request_id, response_to};
use super::tokens::User;
use super::{Capacity, Cause, ClientMachine, Clock, EngineError, Entity, Failure, Path, Timer, client};
use crate::engine::{DeliveryId, SendOptions, Tag};
use crate::servicebus::management::{self, Response};
use crate::storage::{Features, Key, Payload, Payloads, Spare, Storage, TransactionOf};
use crate::time::Instant;
use crate::wire::messaging::DeliveryState;
use crate::wire::{Encode, Value};
use core::task::Poll;

/// Marks the engine's number of a delivery as that of a request.
pub(super) const REQUEST: u32 = 1 << 31;
/// Responses that a node may send ahead, where the table of deliveries is large.
const RESPONSE_CREDIT: u32 = 100;
/// Channels in a row that find no room before the others wait for the next.
const IN_VAIN: u32 = 4;
/// A table of deliveries with this many free places is large.
const LARGE: usize = 10_000;

impl<S: Storage> ClientMachine<S> {
    /// A place for a request to a node. The last place is reserved for requests whose responses the client itself
    /// handles: an application may be slow to take its response.
    #[inline(never)]
    pub(super) fn start_request(&mut self, node: u32, owner: Owner, deadline: Instant) -> Result<Key, Failure<S>> {
        let full = |_| Failure::no_capacity(Capacity::Deliveries);
        let id = self.channels.start(node, owner).map_err(full)?;
        self.timers.set(Timer::Request, id.index(), Some(deadline));
        self.due = true;
        Ok(id.key())
    }

    /// The same, to an entity's `$management`: a token that was given up is put again for a new call.
    pub(super) fn start_management(
        &mut self,
        clock: Clock,
        node: u32,
        owner: Owner,
        deadline: Instant,
    ) -> Result<Key, Failure<S>> {
        self.node_used(node, clock);
        if let Some(entity) = self.channels.entity(node) {
            self.tokens.retry(entity.token);
        }
        self.start_request(node, owner, deadline)
    }

    /// Encodes and sends a request whose links are up. Without a free place it stays queued.
    #[inline(never)]
    pub(super) fn send_request(
        &mut self,
        place: u32,
        operation: &str,
        properties: &[(&str, Value<'_>)],
        body: &dyn Encode,
        transaction: Option<TransactionOf<S>>,
    ) -> Result<(), Failure<S>> {
        let closed = || Failure::new(Cause::Closed);
        let key = self.channels.id(place).ok_or_else(closed)?.key();
        let (node, _) = self.channels.request(place).ok_or_else(closed)?;
        let reply_to = self.node_name(node);
        let mut address = Path::new();
        // One that is too long does not get this far: its node is not attached.
        let _ = self.put_node_address(node, &mut address);
        let message =
            RequestMessage { id: request_id(key), to: &address, reply_to: &reply_to, operation, properties, body };
        let mut payload = None;
        let full = |_| Failure::no_capacity(Capacity::Message);
        S::Payload::encode_in(&mut payload, None, &message).map_err(full)?;
        let Links::Up { sender: link, .. } = self.channels.links(node) else {
            self.channels.wait_again(place);
            return Ok(());
        };
        self.tags = self.tags.wrapping_add(1);
        let options = SendOptions {
            tag: Tag::number(self.tags),
            user: Some(REQUEST | place),
            transaction,
            ..SendOptions::default()
        };
        let (Some(connection), Some(payload)) = (&mut self.connection, &payload) else { return Err(closed()) };
        match connection.send(link, payload, &options) {
            Ok(delivery) => {
                self.channels.sent(place, delivery);
                Ok(())
            }
            Err(EngineError::NoCapacity(_)) => {
                self.channels.wait_again(place);
                self.channels.starve(node);
                self.starved = true;
                Ok(())
            }
            Err(error) => Err(Failure::of_engine(error)),
        }
    }

    /// Sends a request to an entity's `$management` and waits for the response. It has to be the same each time.
    pub(crate) fn poll_request(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        request: &dyn management::Request,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<Response<S::Payload>, Failure<S>>> {
        if let Some(payload) = self.take_response(operation) {
            return Poll::Ready(Ok(Response::new(payload)));
        }
        let owner = Owner::Operation(operation.0);
        self.poll_asked(clock, operation, owner, entity, request, transaction)
            .map(|result| Err(result.map_or_else(|failure| failure, |_| Failure::new(Cause::LinkLost))))
    }

    /// Sends a request and waits until its operation has ended.
    pub(super) fn poll_asked(
        &mut self,
        clock: Clock,
        operation: OperationId,
        owner: Owner,
        entity: &Entity<S>,
        request: &dyn management::Request,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<Outcome<S>, Failure<S>>> {
        if let Poll::Ready(result) = self.poll_done(operation) {
            return Poll::Ready(result);
        }
        let endpoint = self.calls.endpoint(operation);
        let place = match self.calls.state(operation) {
            Some(State::Idle) => {
                let deadline = self.timers.get(Timer::Call, operation.0.index);
                let deadline = deadline.unwrap_or(clock.now + self.settings.retry.try_timeout);
                let node = self.acquire(entity, User::Channel).and_then(|entity| self.use_node(Some(entity)));
                let started = node.and_then(|node| self.start_management(clock, node, owner, deadline));
                let key = match started {
                    Ok(key) => key,
                    Err(failure) => return Poll::Ready(Err(failure)),
                };
                self.calls.set_state(operation, State::Requested(key));
                key.index
            }
            Some(&State::Requested(Key { index, .. })) if self.channels.is_called(index) => index,
            _ => return Poll::Pending,
        };
        if !self.can_send(place, clock) {
            self.channels.wait_again(place);
            return Poll::Pending;
        }
        match self.ask(clock, place, endpoint, request, transaction) {
            Ok(()) => Poll::Pending,
            Err(failure) => {
                self.free_request(place);
                self.calls.set_state(operation, State::Idle);
                Poll::Ready(Err(failure))
            }
        }
    }

    /// Sends a request to an entity's `$management`; the link of `endpoint` is named as the associated one.
    // docs/evidence/wire-protocol.md §5
    pub(super) fn ask(
        &mut self,
        clock: Clock,
        place: u32,
        endpoint: Option<u32>,
        request: &dyn management::Request,
        transaction: Option<TransactionOf<S>>,
    ) -> Result<(), Failure<S>> {
        let deadline = self.timers.get(Timer::Request, place).unwrap_or(clock.now);
        let left = deadline.left(clock.now);
        let endpoint = endpoint.and_then(|place| self.links.get(place)).filter(|found| found.link().is_some());
        let link_name = endpoint.map(|found| Self::name(self.link_up.container(), found.name()));
        let properties = [
            ("type", Value::String("entity-mgmt")),
            ("com.microsoft:server-timeout", Value::Uint(left.get())),
            ("associated-link-name", Value::String(link_name.as_deref().unwrap_or_default())),
        ];
        let properties = properties.get(..2 + usize::from(link_name.is_some())).unwrap_or_default();
        self.send_request(place, request.name(), properties, request, transaction)
    }

    /// The response to an operation's request, once it is there.
    pub(super) fn take_response(&mut self, operation: OperationId) -> Option<S::Payload> {
        let Some(&State::Requested(key)) = self.calls.state(operation) else { return None };
        let (node, response, kept) = self.channels.take_answer(RequestId::new(key))?;
        self.timers.stop(Timer::Request, key.index);
        self.calls.set_state(operation, State::Idle);
        kept.or_else(|| self.take_from_node(node, response?))
    }

    /// Nobody waits for the response any more.
    pub(super) fn drop_request(&mut self, key: Key) {
        if self.channels.has(RequestId::new(key)) {
            self.drop_request_at(key.index);
        }
    }

    /// The same, of the request at a place.
    pub(super) fn drop_request_at(&mut self, place: u32) {
        let Some((node, delivery)) = self.free_request(place) else { return };
        // Its response may be on the link.
        self.due |= S::Payloads::BOUNDED;
        self.take_back(node, delivery);
    }

    /// Takes back a request that waits for credit.
    #[inline(never)]
    fn take_back(&mut self, node: u32, delivery: Option<DeliveryId>) {
        let (Some(delivery), Some(connection)) = (delivery, &mut self.connection) else { return };
        connection.set_user(delivery, None);
        if connection.cancel(delivery) {
            // It never left: there will be no response, and no place is kept for one.
            self.channels.count_response(node);
        }
    }

    /// A request has its response, which waits on its node's link, or will get none.
    #[inline(never)]
    pub(super) fn end_request(&mut self, place: u32, clock: Clock, result: Result<DeliveryId, Failure<S>>) {
        let Some((node, owner)) = self.channels.request(place) else { return };
        if !S::Payloads::BOUNDED && self.channels.is_answered(place) {
            // It has its response, and waits for the application.
            return;
        }
        if result.is_err()
            && let (Some(delivery), Some(connection)) = (self.channels.delivery(place), &mut self.connection)
        {
            connection.set_user(delivery, None);
        }
        match (owner, result) {
            (Owner::Operation(_) | Owner::Settlement(..), _) if !S::Features::MANAGEMENT => {}
            (Owner::Operation(key), Ok(response)) => {
                let mut kept = Spare::default();
                if !S::Payloads::BOUNDED
                    && let Some(payload) = self.take_from_node(node, response)
                {
                    kept.keep(payload);
                }
                self.channels.answered(place, response, kept);
                self.calls.notice(key.index);
            }
            (Owner::Operation(key), Err(failure)) => self.end_asked(place, key, Err(failure)),
            (Owner::Settlement(key, outcome), result) => {
                self.end_asked(place, key, result.map(|_| Outcome::Delivery(outcome)));
            }
            (Owner::Renewal(_), _) if !S::Features::LOCK_RENEWAL => {}
            (Owner::Renewal(key), result) => {
                self.free_request(place);
                self.renewal_answered(RenewalId::new(key), clock, result);
            }
            (Owner::Token(token, expiry), result) => {
                self.free_request(place);
                self.token_answered(token, expiry, clock, result.map(|_| ()));
            }
        }
    }

    /// A request will get no response. What was written may have been carried out.
    pub(super) fn lose_request(&mut self, place: u32, clock: Clock, failure: &Failure<S>) {
        let (Some((node, _)), delivery) = (self.channels.request(place), self.channels.delivery(place)) else { return };
        let uncertain = delivery.is_some_and(|delivery| Self::is_written(self.connection.as_ref(), delivery));
        // Cancels a request that waits for credit: it would be carried out later, besides the next attempt.
        self.take_back(node, delivery);
        self.end_request(place, clock, Err(failure.of_call(uncertain)));
    }

    /// The operation that waits for a request ends with it.
    fn end_asked(&mut self, place: u32, operation: Key, result: Result<Outcome<S>, Failure<S>>) {
        self.free_request(place);
        if self.calls.state(OperationId(operation)).is_some() {
            self.calls.end(operation.index, result);
        }
    }

    /// The channels that need a token that was refused remember why; their requests fail when it cannot be had.
    pub(super) fn fail_node_requests(&mut self, token: TokenId, clock: Clock, failure: &Failure<S>, hopeless: bool) {
        for place in self.channels.of_token(token).into_iter().flatten() {
            self.channels.set_error(place, failure.clone());
            if hopeless {
                self.fail_requests(place, clock, failure, false);
            }
        }
    }

    /// Ends the requests of a channel: all of them, or those that were sent.
    pub(super) fn fail_requests(&mut self, node: u32, clock: Clock, failure: &Failure<S>, only_sent: bool) {
        for row in [Row::Others, Row::Urgent, Row::Waiting] {
            if only_sent && row != Row::Others {
                continue;
            }
            let mut at = self.channels.first(node, row);
            while let Some(place) = at {
                at = self.channels.next(place);
                if !(only_sent && self.channels.waits(place)) {
                    self.lose_request(place, clock, failure);
                }
            }
        }
    }

    /// Ends the requests of a channel whose connection is gone; `keeps` those of operations that never left.
    pub(super) fn lose_requests(&mut self, node: u32, clock: Clock, failure: &Failure<S>, keeps: bool) {
        for row in [Row::Others, Row::Urgent, Row::Waiting] {
            let mut at = self.channels.first(node, row);
            while let Some(place) = at {
                at = self.channels.next(place);
                let owner = self.channels.request(place).filter(|_| S::Features::MANAGEMENT);
                let operation = owner.is_some_and(|(_, owner)| owner.is_operation());
                if !(keeps && operation && self.channels.waits(place)) {
                    self.lose_request(place, clock, failure);
                }
            }
        }
    }

    /// Sends what waits and can be sent.
    #[inline(never)]
    pub(super) fn advance_requests(&mut self, clock: Clock) {
        if S::Features::MANAGEMENT && S::Payloads::BOUNDED {
            // A response may be there that no call waits for any more.
            for place in 0..self.channels.end() {
                self.take_responses(place, clock);
            }
        }
        if self.has_room {
            let mut in_vain = 0;
            for _ in 0..self.channels.count_starved() {
                let Some(node) = self.channels.take_starved() else { break };
                self.advance_channel(node, clock);
                in_vain = if self.channels.is_starved(node) { in_vain + 1 } else { 0 };
                // The others have their turns with the next room. Those that need the least were first, and the ones
                // that failed have requests under way, whose ends make room.
                if in_vain == IN_VAIN {
                    break;
                }
            }
            self.starved |= self.channels.has_starved();
        }
        for _ in 0..self.channels.count_marked() {
            let Some(node) = self.channels.take_marked() else { return };
            self.advance_channel(node, clock);
        }
    }

    /// Sends the requests of a channel that wait and can be sent.
    fn advance_channel(&mut self, node: u32, clock: Clock) {
        for row in [Row::Urgent, Row::Waiting] {
            while let Some(place) = self.channels.first(node, row)
                && self.can_send(place, clock)
            {
                self.channels.called(place);
                self.send_called(place, clock);
            }
        }
    }

    /// The owner of a request that can be sent encodes it.
    fn send_called(&mut self, place: u32, clock: Clock) {
        let Some((_, owner)) = self.channels.request(place) else { return };
        let sent = match owner {
            Owner::Operation(key) | Owner::Settlement(key, _) if S::Features::MANAGEMENT => {
                self.calls.notice(key.index);
                Ok(())
            }
            Owner::Renewal(key) if S::Features::LOCK_RENEWAL => self.send_renewal(RenewalId::new(key), place, clock),
            Owner::Operation(_) | Owner::Settlement(..) | Owner::Renewal(_) => Ok(()),
            Owner::Token(token, _) => self.send_token(token, place, clock),
        };
        if let Err(failure) = sent {
            self.end_request(place, clock, Err(failure));
        }
    }

    /// Whether a request can be sent now. Attaches its node, and grants a place for the response.
    pub(super) fn can_send(&mut self, place: u32, clock: Clock) -> bool {
        let Some((node, owner)) = self.channels.request(place) else { return false };
        let is_operation = S::Features::MANAGEMENT && matches!(owner, Owner::Operation(_));
        if self.connection.as_ref().is_none_or(|connection| connection.failure().is_some()) {
            return false;
        }
        let links = self.channels.links(node);
        if links == Links::Down {
            let ready = self.timers.get(Timer::Channel, node).is_none();
            if ready
                && self.channels.entity(node).is_none_or(|entity| self.tokens.is_valid(entity.token))
                && let Err(error) = self.within(|machine| machine.attach_node(node, clock.now))
            {
                // The outbox is empty again in a moment; links that others hold may stay.
                if error == EngineError::NoCapacity(Capacity::Outbox) && self.may_fit(error) {
                    self.channels.starve(node);
                    self.starved = true;
                } else {
                    self.fail_requests(node, clock, &Failure::of_engine(error), false);
                }
            }
            return false;
        }
        let Links::Up { receiver, .. } = links else { return false };
        let under_way = self.channels.under_way(node);
        let Some(connection) = &mut self.connection else { return false };
        // A place for the response comes first: small tables have few.
        let Some(status) = connection.link(receiver) else { return false };
        let awaited = under_way.saturating_sub(status.waiting);
        let short = status.credit <= awaited && {
            let ahead = if connection.free_deliveries() >= LARGE { RESPONSE_CREDIT } else { 1 };
            connection.grant(receiver, awaited + ahead).is_ok_and(|granted| granted <= awaited)
        };
        // Applications may be slow to take their responses: from the second on they leave room for a renewal and its
        // own.
        let spare = usize::from(is_operation && under_way > 0);
        if short || connection.free_deliveries() <= spare {
            if self.channels.has_forgotten(node) {
                // Responses to abandoned requests may never come: their places are freed with the link.
                self.node_detached(node, clock);
            }
            self.channels.starve(node);
            self.starved = true;
            return false;
        }
        true
    }

    /// Looks at the responses that wait on a node's link. Where the storage has no room for them elsewhere, those of
    /// operations stay there until these take them.
    #[inline(never)]
    pub(super) fn take_responses(&mut self, place: u32, clock: Clock) {
        let mut last_that_stays = None;
        loop {
            let Some(link) = self.channels.receiver(place) else { return };
            let next = self.connection.as_ref().and_then(|connection| connection.peek_behind(link, last_that_stays));
            let Some((delivery, response)) = next else { return };
            let key = response_to(response);
            let state = |channels: &Channels<S>| channels.answer_is_here(RequestId::new(key?));
            if let (Some(key), Some(here)) = (key, state(&self.channels))
                && !(S::Payloads::BOUNDED && here)
            {
                let result = check_response(response, &mut self.last_description);
                if self.channels.entity(place).is_none() {
                    self.timers.stop(Timer::Client, client::OPENING);
                }
                self.end_request(key.index, clock, result.map(|()| delivery));
            }
            if S::Features::MANAGEMENT && S::Payloads::BOUNDED && state(&self.channels) == Some(true) {
                last_that_stays = Some(delivery);
            } else if let Some(connection) = &mut self.connection
                && let Some(settled) = connection.discard(delivery)
            {
                self.taken_from_node(place, delivery, settled);
            }
        }
    }

    /// Takes a response from a node's link.
    pub(super) fn take_from_node(&mut self, place: u32, response: DeliveryId) -> Option<S::Payload> {
        let mut payload = S::Payload::default();
        let incoming = self.connection.as_mut()?.take_into(response, &mut payload)?;
        self.taken_from_node(place, response, incoming.settled);
        Some(payload)
    }

    fn taken_from_node(&mut self, place: u32, response: DeliveryId, settled: bool) {
        self.channels.count_response(place);
        self.channels.healthy(place);
        if let (false, Some(connection)) = (settled, &mut self.connection) {
            let _ = connection.settle(response, &DeliveryState::ACCEPTED, true);
        }
    }

    /// The deadline of a request has passed: it is not waited for any more.
    pub(super) fn request_expired(&mut self, place: u32, clock: Clock) {
        let Some((node, _)) = self.channels.request(place).filter(|_| !self.channels.is_answered(place)) else {
            return;
        };
        let known = self.channels.error(node);
        let known = known.or(self.link_up.known());
        let failure = Failure::after(Cause::Timeout, known);
        self.lose_request(place, clock, &failure);
    }

    /// Forgets a request; returns its channel and its delivery.
    pub(super) fn free_request(&mut self, place: u32) -> Option<(u32, Option<DeliveryId>)> {
        self.timers.stop(Timer::Request, place);
        self.channels.free(place)
    }
}
