//! Requests and responses over a pair of links: `$cbs` and `<entity>/$management` (wire-protocol.md §2, §5).

use super::endpoint::{Attachment, Entity, Path};
use super::operation::{OperationId, State};
use super::{Capacity, Cause, Clock, EngineError, Failure, Namespace};
use crate::engine::{DeliveryId, SendOptions, Tag};
use crate::servicebus::Reason;
use crate::servicebus::management::{self, Response};
use crate::storage::{Encoder, Key, Storage, Table};
use crate::time::{Instant, Timestamp};
use crate::wire::message::{MessageView, section};
use crate::wire::messaging::{MessageId, Properties, put_section};
use crate::wire::{Encode, MapWriter, Sink, Value};
use core::task::Poll;

/// Who waits for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Operation(Key),
    /// The renewal of a lock.
    Renewal(Key),
    /// A token, and when the token that is put ends.
    Token(Key, Timestamp),
}

/// How far a request is. The response waits here until it is taken: there are few requests and many operations.
#[derive(Debug)]
pub(super) enum Stage<S: Storage> {
    /// Encoded, not sent yet.
    Queued(S::Payload),
    Sent,
    Answered(S::Payload),
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Request<S: Storage> {
    pub(super) node: u32,
    pub(super) owner: Owner,
    pub(super) stage: Stage<S>,
    pub(super) delivery: Option<DeliveryId>,
    pub(super) deadline: Instant,
    pub(super) transaction: Option<Tag>,
}

/// Marks the engine's number of a delivery as that of a request.
pub(super) const REQUEST: u32 = 1 << 31;
/// Responses that a node may send ahead, where the table of deliveries is large.
const RESPONSE_CREDIT: u32 = 100;
/// A table of deliveries with this many free places is large.
const LARGE: usize = 10_000;

/// Names a request in its message-id: place and generation, so that a late response finds nobody else.
pub(super) fn request_id(key: Key) -> heapless::String<17> {
    let mut text = heapless::String::new();
    // Eight digits, a hyphen, eight digits: it fits.
    let _ = core::fmt::write(&mut text, format_args!("{:08x}-{:08x}", key.index, key.generation));
    text
}

pub(super) fn parse_request_id(text: &str) -> Option<Key> {
    let (index, rest) = text.as_bytes().split_first_chunk::<8>()?;
    let (b"-", generation) = rest.split_first_chunk::<1>()? else { return None };
    Some(Key { index: hexadecimal(index)?, generation: hexadecimal(generation.try_into().ok()?)? })
}

/// A number of eight digits.
fn hexadecimal(digits: &[u8; 8]) -> Option<u32> {
    let mut number = 0;
    for &digit in digits {
        number = number << 4 | char::from(digit).to_digit(16)?;
    }
    Some(number)
}

/// A request as it is sent.
pub(super) struct RequestMessage<'a> {
    pub(super) id: &'a str,
    pub(super) to: &'a str,
    pub(super) reply_to: &'a str,
    pub(super) operation: &'a str,
    pub(super) properties: &'a [(&'a str, Value<'a>)],
    pub(super) body: &'a dyn Encode,
}

impl Encode for RequestMessage<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        Properties {
            message_id: Some(MessageId::String(self.id)),
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

/// The status of a response, and the failure that it tells. `$cbs` and `$management` spell the keys in different ways
/// (wire-protocol.md §0 fact 12).
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn check_response<S: Storage>(payload: &[u8]) -> Result<(), Failure<S>> {
    let malformed = || Failure::new(Cause::Service(Reason::DecodeError));
    let view = MessageView::parse(payload).map_err(|_| malformed())?;
    let properties = view.application_properties().map_err(|_| malformed())?;
    let get = |one: &str, other: &str| properties.get(one).or_else(|| properties.get(other));
    let status = get("statusCode", "status-code").and_then(|value| value.as_i64()).ok_or_else(malformed)?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let condition = get("errorCondition", "error-condition").and_then(|value| value.as_str());
    let reason = Reason::from_status(u16::try_from(status).unwrap_or(500), condition);
    let description = get("statusDescription", "status-description").and_then(|value| value.as_str());
    Err(Failure::described(Cause::Service(reason), description.or(condition).unwrap_or_default()))
}

impl<S: Storage> Namespace<S> {
    /// Encodes a request and queues it for its node.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn queue_request(
        &mut self,
        node: u32,
        owner: Owner,
        operation: &str,
        properties: &[(&str, Value<'_>)],
        body: &dyn Encode,
        deadline: Instant,
    ) -> Result<Key, Failure<S>> {
        let no_room = |capacity| Failure::new(Cause::Engine(EngineError::NoCapacity(capacity)));
        let request = Request { node, owner, stage: Stage::Sent, delivery: None, deadline, transaction: None };
        let key = self.requests.insert(request).map_err(|_| no_room(Capacity::Deliveries))?;
        let reply_to = self.node_name(node);
        let mut address = Path::new();
        // One that is too long does not get this far: its node is not attached.
        let _ = self.put_node_address(node, &mut address);
        let message =
            RequestMessage { id: &request_id(key), to: &address, reply_to: &reply_to, operation, properties, body };
        let mut encoder = S::Encoder::default();
        if encoder.append(&message).is_err() {
            self.requests.remove(key.index);
            return Err(no_room(Capacity::Message));
        }
        if let Some(request) = self.requests.get_mut(key.index) {
            request.stage = Stage::Queued(encoder.finish());
        }
        self.due = true;
        Ok(key)
    }

    /// Sends a request to an entity's `$management` and waits for the response. The operation is encoded by the first
    /// call.
    pub fn poll_request(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        request: &management::Request<'_>,
        transaction: Option<Tag>,
    ) -> Poll<Result<Response<S::Payload>, Failure<S>>> {
        if let Some(payload) = self.take_response(operation) {
            return Poll::Ready(Ok(Response::new(payload)));
        }
        if let Poll::Ready(result) = self.poll_done(operation) {
            return Poll::Ready(Err(result.map_or_else(|failure| failure, |_| Failure::new(Cause::LinkLost))));
        }
        let Some(found) = self.operations.find(operation.0) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        if !matches!(found.state, State::Idle) {
            return Poll::Pending;
        }
        let (deadline, endpoint) = (found.deadline, found.endpoint);
        let deadline = deadline.unwrap_or(clock.now + self.settings.retry.try_timeout);
        let node = match self.use_node(Some(entity)) {
            Ok(node) => node,
            Err(failure) => return Poll::Ready(Err(failure)),
        };
        match self.ask(clock, node, Owner::Operation(operation.0), endpoint, request, deadline) {
            Ok(key) => {
                if let Some(request) = self.requests.get_mut(key.index) {
                    request.transaction = transaction;
                }
                if let Some(found) = self.operations.find_mut(operation.0) {
                    found.state = State::Requested(key);
                }
                Poll::Pending
            }
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }

    /// Queues a request to an entity's `$management`; the link of `endpoint` is named as the associated one
    /// (wire-protocol.md §5).
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn ask(
        &mut self,
        clock: Clock,
        node: u32,
        owner: Owner,
        endpoint: Option<u32>,
        request: &management::Request<'_>,
        deadline: Instant,
    ) -> Result<Key, Failure<S>> {
        self.node_used(node, clock);
        // A node that waits after a failure tries again for a new call.
        if let Some(found) = self.nodes.get_mut(node).filter(|found| found.error.is_some() && found.is_down()) {
            found.error = None;
            found.retry_at = None;
            found.attempts = 0;
            let token = found.token;
            if let Some(token) = token {
                self.retry_token(token);
            }
        }
        let left = deadline.saturating_duration_since(clock.now).as_millis();
        let endpoint = endpoint.and_then(|place| self.endpoints.get(place));
        let link_name = endpoint
            .filter(|found| found.attachment.link().is_some())
            .map(|found| Self::name(self.container, found.name));
        let timeout = ("com.microsoft:server-timeout", Value::Uint(u32::try_from(left).unwrap_or(u32::MAX)));
        let kind = ("type", Value::String("entity-mgmt"));
        let with_link;
        let without_link = [kind, timeout];
        let properties: &[(&str, Value<'_>)] = match &link_name {
            Some(name) => {
                with_link = [kind, timeout, ("associated-link-name", Value::String(name))];
                &with_link
            }
            None => &without_link,
        };
        self.queue_request(node, owner, request.name(), properties, request, deadline)
    }

    /// The response to an operation's request, once it is there.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn take_response(&mut self, operation: OperationId) -> Option<S::Payload> {
        let found = self.operations.find_mut(operation.0)?;
        let State::Requested(key) = found.state else { return None };
        if !matches!(self.requests.find(key)?.stage, Stage::Answered(_)) {
            return None;
        }
        found.state = State::Idle;
        match self.requests.remove(key.index)?.stage {
            Stage::Answered(payload) => Some(payload),
            _ => None,
        }
    }

    /// Nobody waits for the response any more.
    pub(super) fn drop_request(&mut self, key: Key) {
        if self.requests.key(key.index) != Some(key) {
            return;
        }
        let request = self.requests.remove(key.index);
        if let (Some(delivery), Some(connection)) = (request.and_then(|request| request.delivery), &mut self.connection)
        {
            connection.set_user(delivery, None);
            connection.cancel(delivery);
        }
    }

    /// A request has its response, or will get none.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn end_request(&mut self, place: u32, clock: Clock, result: Result<S::Payload, Failure<S>>) {
        let Some(request) = self.requests.get_mut(place) else { return };
        if matches!(request.stage, Stage::Answered(_)) {
            // It has its response, and waits for the application.
            return;
        }
        if result.is_err()
            && let (Some(delivery), Some(connection)) = (request.delivery, &mut self.connection)
        {
            connection.set_user(delivery, None);
        }
        let result = result.and_then(|payload| check_response(payload.as_ref()).map(|()| payload));
        match (request.owner, result) {
            (Owner::Operation(key), Ok(payload)) => {
                request.stage = Stage::Answered(payload);
                self.notice(key.index);
            }
            (Owner::Operation(key), Err(failure)) => {
                self.requests.remove(place);
                if let Some(operation) = self.operations.find_mut(key) {
                    operation.state = State::Done(Err(failure));
                    self.notice(key.index);
                }
            }
            (Owner::Renewal(key), result) => {
                self.requests.remove(place);
                if let Some(renewing) = self.renewing {
                    (renewing.answered)(self, key, clock, result);
                }
            }
            (Owner::Token(key, expiry), result) => {
                self.requests.remove(place);
                self.token_answered(key, expiry, clock, result.map(|_| ()));
            }
        }
    }

    /// Requests on the nodes that need a token fail when it cannot be had.
    pub(super) fn fail_node_requests(&mut self, token: u32, clock: Clock, failure: &Failure<S>) {
        for place in 0..self.nodes.end() {
            if self.nodes.get(place).is_some_and(|node| node.token == Some(token)) {
                if let Some(node) = self.nodes.get_mut(place) {
                    node.error = Some(failure.clone());
                }
                self.fail_requests(place, clock, failure, false);
            }
        }
    }

    /// Ends the requests of a node: all of them, or those that were sent.
    pub(super) fn fail_requests(&mut self, node: u32, clock: Clock, failure: &Failure<S>, only_sent: bool) {
        for place in 0..self.requests.end() {
            let hit = self.requests.get(place).is_some_and(|request| {
                request.node == node && !(only_sent && matches!(request.stage, Stage::Queued(_)))
            });
            if hit {
                self.end_request(place, clock, Err(failure.clone()));
            }
        }
    }

    /// Attaches nodes that have something to ask, and sends what waits for those that are up.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn advance_requests(&mut self, clock: Clock) {
        for place in 0..self.requests.end() {
            let Some(request) = self.requests.get_mut(place) else { continue };
            let node = request.node;
            if !matches!(request.stage, Stage::Queued(_)) {
                continue;
            }
            let Some(found) = self.nodes.get_mut(node) else { continue };
            if found.is_down() {
                let ready = found.retry_at.is_none_or(|at| at <= clock.now);
                let token = found.token;
                if ready
                    && token.is_none_or(|token| self.token_is_valid(token))
                    && let Err(error) = self.attach_node(node)
                {
                    self.fail_requests(node, clock, &Failure::new(Cause::Engine(error)), false);
                }
                continue;
            }
            let (Attachment::Up(link), Attachment::Up(receiver)) = (found.sender, found.receiver) else { continue };
            let Some(connection) = &mut self.connection else { continue };
            // A place for the response comes first: small tables have few.
            let Some(status) = connection.link(receiver) else { continue };
            if status.credit <= found.under_way {
                let ahead = if connection.free_deliveries() >= LARGE { RESPONSE_CREDIT } else { 1 };
                let granted = connection.grant(receiver, found.under_way + ahead);
                if granted.is_ok_and(|granted| granted <= found.under_way) || connection.free_deliveries() == 0 {
                    self.starved = true;
                    continue;
                }
            }
            let Stage::Queued(payload) = core::mem::replace(&mut request.stage, Stage::Sent) else { continue };
            found.next_tag = found.next_tag.wrapping_add(1);
            let options = SendOptions {
                tag: Tag::new(&found.next_tag.to_be_bytes()).unwrap_or(Tag::EMPTY),
                user: Some(REQUEST | place),
                transaction: request.transaction,
                ..SendOptions::default()
            };
            match connection.send(link, payload, &options) {
                Ok(delivery) => {
                    request.delivery = Some(delivery);
                    found.under_way += 1;
                }
                Err((EngineError::NoCapacity(_), payload)) => request.stage = Stage::Queued(payload),
                Err((error, _)) => self.end_request(place, clock, Err(Failure::new(Cause::Engine(error)))),
            }
        }
    }

    /// Takes the responses that wait on a node's link.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn take_responses(&mut self, place: u32, clock: Clock) {
        let Some(link) = self.nodes.get(place).and_then(|node| node.receiver.link()) else { return };
        loop {
            let Some(connection) = &mut self.connection else { return };
            let Some(incoming) = connection.receive(link) else { break };
            if let Some(node) = self.nodes.get_mut(place) {
                node.under_way = node.under_way.saturating_sub(1);
            }
            if !incoming.settled {
                let accepted = crate::wire::messaging::DeliveryState::ACCEPTED;
                let _ = connection.settle(incoming.delivery, &accepted, true);
            }
            let correlation = MessageView::parse(incoming.payload.as_ref())
                .and_then(|view| view.properties())
                .ok()
                .and_then(|properties| properties.correlation_id);
            let Some(MessageId::String(id)) = correlation else { continue };
            let Some(key) = parse_request_id(id) else { continue };
            if self.requests.key(key.index) == Some(key) {
                self.end_request(key.index, clock, Ok(incoming.payload));
            }
        }
    }

    /// Requests whose deadline has passed will not be waited for.
    pub(super) fn expire_requests(&mut self, clock: Clock) {
        for place in 0..self.requests.end() {
            let Some(request) = self.requests.get(place).filter(|request| request.deadline <= clock.now) else {
                continue;
            };
            let node = self.nodes.get(request.node);
            let known = node.and_then(|node| node.error.as_ref()).or(self.last_error.as_ref());
            let description = known.map(|known| known.text()).unwrap_or_default();
            self.end_request(place, clock, Err(Failure { cause: Cause::Timeout, description }));
        }
    }
}
