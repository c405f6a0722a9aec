//! Requests and responses over a pair of links: `$cbs` and `<entity>/$management` (docs/evidence/wire-protocol.md §2,
//! §5).

use super::calls::{OperationId, Outcome, State};
use super::endpoint::{Attachment, Entity, Path};
use super::id::TokenId;
use super::tokens::User;
use super::{Capacity, Cause, ClientMachine, Clock, EngineError, Failure, Timer, client};
use crate::engine::{DeliveryId, OutcomeKind, SendOptions, Tag};
use crate::servicebus::Reason;
use crate::servicebus::management::{self, Response};
use crate::storage::{Encoder, Generation, Key, Payloads, Spare, Storage, Table, Text};
use crate::time::{Instant, Timestamp};
use crate::wire::message::{MessageView, section};
use crate::wire::messaging::{DeliveryState, MessageId, Properties, put_section};
use crate::wire::{Encode, Map, MapWriter, Sink, Uuid, Value};
use core::task::Poll;

/// Who waits for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Operation(Key),
    /// A settlement, and what it makes of the message: all that counts is that the response tells of no failure.
    Settlement(Key, OutcomeKind),
    /// The renewal of a lock.
    Renewal(Key),
    /// A token, and the end of the one that is put.
    Token(TokenId, Timestamp),
}

impl Owner {
    /// Whether the application has to go on with it.
    pub(super) fn is_operation(self) -> bool {
        matches!(self, Self::Operation(_) | Self::Settlement(..))
    }
}

/// How far a request is. It is encoded when it can be sent, not before: until then it takes no room.
pub(super) enum Stage<S: Storage> {
    /// Waits for the links, or for a place.
    Waiting,
    /// It can be sent: the operation that waits for it is told to encode it.
    Called,
    Sent,
    /// The response is here until it is taken, or on its link where the storage has no room for it here.
    Answered(S::Spare<S::Payload>),
}

/// A request under way.
pub(super) struct Request<S: Storage> {
    pub(super) node: u32,
    pub(super) owner: Owner,
    pub(super) stage: Stage<S>,
    /// That of the request; once its response is there, where it waits on its link, that of the response.
    pub(super) delivery: Option<DeliveryId>,
}

impl<S: Storage> Request<S> {
    /// Whether it has not left yet.
    pub(super) fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Called)
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Answered(_))
    }
}

/// Marks the engine's number of a delivery as that of a request.
pub(super) const REQUEST: u32 = 1 << 31;
/// Responses that a node may send ahead, where the table of deliveries is large.
const RESPONSE_CREDIT: u32 = 100;
/// A table of deliveries with this many free places is large.
const LARGE: usize = 10_000;

/// Names a request in its message-id: place and generation, so that a late response finds nobody else. A UUID, as the Python
/// SDK has it (docs/evidence/wire-protocol.md §2).
pub(super) fn request_id(key: Key) -> Uuid {
    Uuid((u128::from(key.index) << 96 | u128::from(key.generation.get()) << 64).to_be_bytes())
}

pub(super) fn parse_request_id(id: Uuid) -> Option<Key> {
    let id = u128::from_be_bytes(id.0);
    let generation = Generation::new((id >> 64) as u32)?;
    (id as u64 == 0).then_some(Key { index: (id >> 96) as u32, generation })
}

/// The request that a response answers.
fn response_to(response: &[u8]) -> Option<Key> {
    match MessageView::parse(response).ok()?.properties_view()?.correlation_id()? {
        MessageId::Uuid(id) => parse_request_id(id),
        _ => None,
    }
}

/// A request as it is sent.
pub(super) struct RequestMessage<'a> {
    pub(super) id: Uuid,
    pub(super) to: &'a str,
    pub(super) reply_to: &'a str,
    pub(super) operation: &'a str,
    pub(super) properties: &'a [(&'a str, Value<'a>)],
    pub(super) body: &'a dyn Encode,
}

impl Encode for RequestMessage<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        Properties {
            message_id: Some(MessageId::Uuid(self.id)),
            to: Some(self.to),
            reply_to: Some(self.reply_to),
            ..Properties::EMPTY
        }
        .encode(sink);
        put_section(sink, section::APPLICATION_PROPERTIES);
        let mut map = MapWriter::begin(sink);
        map.put("operation", self.operation);
        map.put_all(self.properties);
        map.end();
        put_section(sink, section::AMQP_VALUE);
        self.body.encode(sink);
    }
}

/// The value of a key that is spelled in one way or the other.
#[inline(never)]
fn either<'a>(map: &Map<'a>, one: &str, other: &str) -> Option<Value<'a>> {
    map.get(one).or_else(|| map.get(other))
}

/// The status of a response, and the failure that it tells. `$cbs` and `$management` spell the keys in different ways
/// (docs/evidence/wire-protocol.md §0 fact 12).
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn check_response<S: Storage>(payload: &[u8], last: &mut S::Text) -> Result<(), Failure<S>> {
    let malformed = || Failure::new(Cause::Malformed);
    let view = MessageView::parse(payload).map_err(|_| malformed())?;
    let properties = view.application_properties().map_err(|_| malformed())?;
    let get = |one, other| either(&properties, one, other);
    let status = get("statusCode", "status-code").and_then(|value| value.as_i64()).ok_or_else(malformed)?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let condition = get("errorCondition", "error-condition").and_then(|value| value.as_str());
    let reason = Reason::from_status(u16::try_from(status).unwrap_or(500), condition);
    let description = get("statusDescription", "status-description").and_then(|value| value.as_str());
    let words = description.or(condition).unwrap_or_default();
    *last = S::Text::cut(words);
    Err(Failure::described(Cause::Service(reason), words))
}

impl<S: Storage> ClientMachine<S> {
    /// A place for a request to a node. The last one is not for those whose response waits for its application, which
    /// may be slow to take it.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn start_request(&mut self, node: u32, owner: Owner, deadline: Instant) -> Result<Key, Failure<S>> {
        let full = || Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries)));
        if matches!(owner, Owner::Operation(_)) && self.requests.len() + 1 >= self.requests.capacity() {
            return Err(full());
        }
        let request = Request { node, owner, stage: Stage::Waiting, delivery: None };
        let key = self.requests.insert(request).map_err(|_| full())?;
        self.timers.set(Timer::Request, key.index, Some(deadline));
        self.due = true;
        Ok(key)
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
        if let Some(entity) = self.nodes.get(node).and_then(|found| found.entity) {
            self.tokens.retry(entity.token);
        }
        self.start_request(node, owner, deadline)
    }

    /// Encodes and sends a request whose links are up. Without a place for it, it goes on waiting.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn send_request(
        &mut self,
        place: u32,
        operation: &str,
        properties: &[(&str, Value<'_>)],
        body: &dyn Encode,
        transaction: Option<S::Transaction>,
    ) -> Result<(), Failure<S>> {
        let closed = || Failure::new(Cause::Closed);
        let key = self.requests.key(place).ok_or_else(closed)?;
        let node = self.requests.get(place).ok_or_else(closed)?.node;
        let reply_to = self.node_name(node);
        let mut address = Path::new();
        // One that is too long does not get this far: its node is not attached.
        let _ = self.put_node_address(node, &mut address);
        let message =
            RequestMessage { id: request_id(key), to: &address, reply_to: &reply_to, operation, properties, body };
        let mut encoder = S::Encoder::default();
        let full = |_| Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Message)));
        encoder.append(&message).map_err(full)?;
        let found = self.nodes.get_mut(node).ok_or_else(closed)?;
        let Attachment::Up(link) = found.sender else { return Ok(()) };
        self.tags = self.tags.wrapping_add(1);
        let options = SendOptions {
            tag: Tag::number(self.tags),
            user: Some(REQUEST | place),
            transaction,
            ..SendOptions::default()
        };
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let request = self.requests.get_mut(place).ok_or_else(closed)?;
        match connection.send(link, encoder.finish(), &options) {
            Ok(delivery) => {
                request.stage = Stage::Sent;
                request.delivery = Some(delivery);
                found.under_way += 1;
                Ok(())
            }
            Err((EngineError::NoCapacity(_), _)) => {
                request.stage = Stage::Waiting;
                self.starved = true;
                Ok(())
            }
            Err((error, _)) => Err(Failure::of_engine(error)),
        }
    }

    /// Sends a request to an entity's `$management` and waits for the response. It has to be the same each time.
    pub fn poll_request(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        request: &dyn management::Request,
        transaction: Option<S::Transaction>,
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
        transaction: Option<S::Transaction>,
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
            Some(&State::Requested(Key { index, .. }))
                if self.requests.get(index).is_some_and(|request| matches!(request.stage, Stage::Called)) =>
            {
                index
            }
            _ => return Poll::Pending,
        };
        if !self.can_send(place, clock) {
            if let Some(request) = self.requests.get_mut(place) {
                request.stage = Stage::Waiting;
            }
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

    /// Sends a request to an entity's `$management`; the link of `endpoint` is named as the associated one
    /// (docs/evidence/wire-protocol.md §5).
    pub(super) fn ask(
        &mut self,
        clock: Clock,
        place: u32,
        endpoint: Option<u32>,
        request: &dyn management::Request,
        transaction: Option<S::Transaction>,
    ) -> Result<(), Failure<S>> {
        let deadline = self.timers.get(Timer::Request, place).unwrap_or(clock.now);
        let left = deadline.left(clock.now);
        let endpoint = endpoint.and_then(|place| self.endpoints.get(place));
        let link_name = endpoint
            .filter(|found| found.attachment.link().is_some())
            .map(|found| Self::name(self.container, found.name));
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
        let request = self.requests.find_mut(key)?;
        let Stage::Answered(kept) = &mut request.stage else { return None };
        let (node, response, kept) = (request.node, request.delivery, kept.take());
        self.calls.set_state(operation, State::Idle);
        self.free_request(key.index);
        kept.or_else(|| self.take_from_node(node, response?))
    }

    /// Nobody waits for the response any more.
    pub(super) fn drop_request(&mut self, key: Key) {
        let Some(request) = self.requests.find(key) else { return };
        let (delivery, node) = (request.delivery, request.node);
        self.free_request(key.index);
        // Its response may be on the link.
        self.due |= S::Payloads::BOUNDED;
        let (Some(delivery), Some(connection)) = (delivery, &mut self.connection) else { return };
        connection.set_user(delivery, None);
        if connection.cancel(delivery)
            && let Some(node) = self.nodes.get_mut(node)
        {
            // It never left: there will be no response, and no place is kept for one.
            node.under_way = node.under_way.saturating_sub(1);
        }
    }

    /// A request has its response, which waits on its node's link, or will get none.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn end_request(&mut self, place: u32, clock: Clock, result: Result<DeliveryId, Failure<S>>) {
        let Some(request) = self.requests.get_mut(place) else { return };
        if !S::Payloads::BOUNDED && request.is_answered() {
            // It has its response, and waits for the application.
            return;
        }
        if result.is_err()
            && let (Some(delivery), Some(connection)) = (request.delivery, &mut self.connection)
        {
            connection.set_user(delivery, None);
        }
        match (request.owner, result) {
            (Owner::Operation(key), Ok(response)) => {
                let node = request.node;
                request.stage = Stage::Answered(S::Spare::default());
                request.delivery = Some(response);
                if !S::Payloads::BOUNDED {
                    self.keep_response(place, node, response);
                }
                self.calls.notice(key.index);
            }
            (Owner::Operation(key), Err(failure)) => self.end_asked(place, key, Err(failure)),
            (Owner::Settlement(key, outcome), result) => {
                self.end_asked(place, key, result.map(|_| Outcome::Delivery(outcome)));
            }
            (Owner::Renewal(key), result) => {
                self.free_request(place);
                if let Some(renewing) = self.renewing {
                    (renewing.answered)(self, key, clock, result);
                }
            }
            (Owner::Token(token, expiry), result) => {
                self.free_request(place);
                self.token_answered(token, expiry, clock, result.map(|_| ()));
            }
        }
    }

    /// A request will get no response. What was sent may have been carried out.
    pub(super) fn lose_request(&mut self, place: u32, clock: Clock, failure: &Failure<S>) {
        let uncertain = self.requests.get(place).is_some_and(|request| !request.waits());
        self.end_request(place, clock, Err(Failure { uncertain, ..failure.clone() }));
    }

    /// Takes a response from its link, for as long as its application leaves it here.
    fn keep_response(&mut self, place: u32, node: u32, response: DeliveryId) {
        let payload = self.take_from_node(node, response);
        let request = self.requests.get_mut(place);
        if let (Some(Stage::Answered(kept)), Some(payload)) = (request.map(|request| &mut request.stage), payload) {
            kept.keep(payload);
        }
    }

    /// The operation that waits for a request ends with it.
    fn end_asked(&mut self, place: u32, operation: Key, result: Result<Outcome<S>, Failure<S>>) {
        self.free_request(place);
        if self.calls.state(OperationId(operation)).is_some() {
            self.calls.end(operation.index, result);
        }
    }

    /// The nodes that need a token that was refused remember why; their requests fail when it cannot be had.
    pub(super) fn fail_node_requests(&mut self, token: TokenId, clock: Clock, failure: &Failure<S>, hopeless: bool) {
        for place in 0..self.nodes.end() {
            if self.nodes.get(place).is_some_and(|node| node.entity.is_some_and(|entity| entity.token == token)) {
                if let Some(node) = self.nodes.get_mut(place) {
                    node.error = Some(failure.clone());
                }
                if hopeless {
                    self.fail_requests(place, clock, failure, false);
                }
            }
        }
    }

    /// Ends the requests of a node: all of them, or those that were sent.
    pub(super) fn fail_requests(&mut self, node: u32, clock: Clock, failure: &Failure<S>, only_sent: bool) {
        for place in 0..self.requests.end() {
            let hit =
                self.requests.get(place).is_some_and(|request| request.node == node && !(only_sent && request.waits()));
            if hit {
                self.lose_request(place, clock, failure);
            }
        }
    }

    /// Sends what waits and can be sent.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn advance_requests(&mut self, clock: Clock) {
        if S::Payloads::BOUNDED {
            // Nobody may wait any more for one that is there.
            for place in 0..self.nodes.end() {
                self.take_responses(place, clock);
            }
        }
        for place in 0..self.requests.end() {
            let Some(request) = self.requests.get(place) else { continue };
            let owner = request.owner;
            if !matches!(request.stage, Stage::Waiting) || !self.can_send(place, clock) {
                continue;
            }
            let sent = match owner {
                Owner::Operation(key) | Owner::Settlement(key, _) => {
                    if let Some(request) = self.requests.get_mut(place) {
                        request.stage = Stage::Called;
                    }
                    self.calls.notice(key.index);
                    Ok(())
                }
                Owner::Renewal(key) => match self.renewing {
                    Some(renewing) => (renewing.send)(self, key, place, clock),
                    None => Ok(()),
                },
                Owner::Token(token, _) => self.send_token(token, place, clock),
            };
            if let Err(failure) = sent {
                self.end_request(place, clock, Err(failure));
            }
        }
    }

    /// Whether a request can be sent now. Attaches its node, and grants a place for the response.
    pub(super) fn can_send(&mut self, place: u32, clock: Clock) -> bool {
        let Some(request) = self.requests.get(place) else { return false };
        let (node, is_operation) = (request.node, matches!(request.owner, Owner::Operation(_)));
        let Some(found) = self.nodes.get(node) else { return false };
        if self.connection.as_ref().is_none_or(|connection| connection.failure().is_some()) {
            return false;
        }
        if found.is_down() {
            let ready = self.timers.get(Timer::Channel, node).is_none();
            if ready
                && found.entity.is_none_or(|entity| self.tokens.is_valid(entity.token))
                && let Err(error) = self.within(|machine| machine.attach_node(node))
            {
                self.fail_requests(node, clock, &Failure::of_engine(error), false);
            }
            return false;
        }
        let (Attachment::Up(_), Attachment::Up(receiver)) = (found.sender, found.receiver) else { return false };
        let under_way = found.under_way;
        let Some(connection) = &mut self.connection else { return false };
        // A place for the response comes first: small tables have few.
        let Some(status) = connection.link(receiver) else { return false };
        let awaited = under_way.saturating_sub(status.waiting);
        let short = status.credit <= awaited && {
            let ahead = if connection.free_deliveries() >= LARGE { RESPONSE_CREDIT } else { 1 };
            connection.grant(receiver, awaited + ahead).is_ok_and(|granted| granted <= awaited)
        };
        // Applications may be slow to take their responses: from the second on they leave room for a renewal and its own.
        let spare = usize::from(is_operation && under_way > 0);
        if short || connection.free_deliveries() <= spare {
            if self.asked_of(node) < under_way {
                // Responses that nobody waits for any more may never come: the places for them come back with the link.
                self.node_detached(node, clock);
            }
            self.starved = true;
            return false;
        }
        true
    }

    /// Requests to a node that were sent and that somebody waits for.
    fn asked_of(&self, node: u32) -> u32 {
        let requests = (0..self.requests.end()).filter_map(|place| self.requests.get(place));
        requests.filter(|request| request.node == node && !request.waits()).count() as u32
    }

    /// Looks at the responses that wait on a node's link. Where the storage has no room for them elsewhere, those of
    /// operations stay there until these take them.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn take_responses(&mut self, place: u32, clock: Clock) {
        let mut last_that_stays = None;
        loop {
            let Some(link) = self.nodes.get(place).and_then(|node| node.receiver.link()) else { return };
            let next = self.connection.as_ref().and_then(|connection| connection.peek_behind(link, last_that_stays));
            let Some((delivery, response)) = next else { return };
            let key = response_to(response);
            let is_answered = |request: &Request<S>| S::Payloads::BOUNDED && request.is_answered();
            if let Some(key) = key
                && self.requests.find(key).is_some_and(|request| !is_answered(request))
            {
                let result = check_response(response, &mut self.last_description);
                if self.nodes.get(place).is_some_and(|node| node.entity.is_none()) {
                    self.timers.stop(Timer::Client, client::OPENING);
                }
                self.end_request(key.index, clock, result.map(|()| delivery));
            }
            if key.and_then(|key| self.requests.find(key)).is_some_and(is_answered) {
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
        let incoming = self.connection.as_mut()?.take(response)?;
        self.taken_from_node(place, response, incoming.settled);
        Some(incoming.payload)
    }

    fn taken_from_node(&mut self, place: u32, response: DeliveryId, settled: bool) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.under_way = node.under_way.saturating_sub(1);
            node.backoff.healthy();
        }
        if let (false, Some(connection)) = (settled, &mut self.connection) {
            let _ = connection.settle(response, &DeliveryState::ACCEPTED, true);
        }
    }

    /// The deadline of a request has passed: it is not waited for any more.
    pub(super) fn request_expired(&mut self, place: u32, clock: Clock) {
        let Some(request) = self.requests.get(place).filter(|request| !request.is_answered()) else { return };
        let node = self.nodes.get(request.node);
        let known = node.and_then(|node| node.error.as_ref());
        let known = known.or(self.ending.as_ref()).or(self.last_error.as_ref());
        let failure = Failure::after(Cause::Timeout, known);
        self.lose_request(place, clock, &failure);
    }

    pub(super) fn free_request(&mut self, place: u32) {
        self.timers.stop(Timer::Request, place);
        self.requests.free(place);
    }
}
