//! The `$management` nodes: what they know, and what it takes to be allowed it.
// docs/evidence/wire-protocol.md §5

use super::fault::Refusal;
use super::peer::Peer;
use super::response::{self, Request};
use super::settlement::State;
use crate::broker::Clock;
use crate::broker::budget::{Holding, OverBudget};
use crate::broker::change::Settlement;
use crate::broker::entities::message::Handout;
use crate::broker::entities::queue::Stores;
use crate::broker::entities::{EntityError, Message, StoreId};
use crate::broker::shared::Shared;
use crate::broker::transactions::{Operation, SPANS_ENTITIES};
use bytes::{Bytes, BytesMut};
use servicebus_core::engine::SessionId;
use servicebus_core::servicebus::{Address, LockToken, Reason};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::{Compound, Encode, Map, Sink, Symbol, Value};

/// Messages of one peek at most.
// docs/evidence/service-evidence.md §7
const MAX_PEEK: usize = 250;
/// Bytes of one peek at most, so that one response cannot hold the whole entity.
const MAX_PEEK_BYTES: usize = 8 << 20;
/// Bytes of the deferred messages of one request at most.
const MAX_DEFERRED_BYTES: usize = 128 << 20;
/// Deferred messages that one request deletes at most.
const MAX_DEFERRED_DELETE: usize = 250;
/// What an operation comes to.
pub(super) enum Reply {
    /// Done, with a body.
    Body(BytesMut),
    /// Done, without.
    Done,
    /// Nothing there.
    Nothing,
}

/// A request with what it is about.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) address: Address<'a>,
    pub(super) txn: Option<Vec<u8>>,
    /// The AMQP session of the request.
    pub(super) session: SessionId,
    pub(super) clock: Clock,
}

pub(super) fn argument(text: impl Into<String>) -> Refusal {
    Refusal::new(Reason::ArgumentError, text)
}

/// Writes the body of a response.
pub(super) fn body(write: impl FnOnce(&mut Sink<'_>)) -> Reply {
    let mut out = BytesMut::new();
    write(&mut Sink::from(&mut out));
    Reply::Body(out)
}

impl Shared {
    /// Answers a request to a `$management` node.
    pub(super) fn manage(
        &mut self,
        peer: &mut Peer,
        path: &str,
        session: SessionId,
        request: &Request<'_>,
        state: Option<&State>,
        clock: Clock,
    ) -> Bytes {
        self.statistics.management_requests += 1;
        let txn = match state.and_then(State::state) {
            Some(DeliveryState::Transactional(state)) => Some(state.txn_id.to_vec()),
            _ => None,
        };
        let call = Call { request, address: Address::parse(path), txn, session, clock };
        let result = match self.injected() {
            Some(refusal) => Err(refusal),
            None => self.operate(peer, path, &call),
        };
        let (status, description, condition, body) = match result {
            Ok(Reply::Body(body)) => (200, "OK".to_owned(), None, Some(body)),
            Ok(Reply::Done) => (200, "OK".to_owned(), None, None),
            Ok(Reply::Nothing) => (204, "No content".to_owned(), None, None),
            Err(refusal) => {
                let fault = self.fault(refusal, path, clock);
                (fault.status, fault.description, Some(fault.condition), None)
            }
        };
        tracing::debug!(entity = path, operation = request.operation, status, "request");
        let mut properties =
            vec![("statusCode", Value::Int(i32::from(status))), ("statusDescription", Value::String(&description))];
        if let Some(condition) = condition {
            properties.push(("errorCondition", Value::Symbol(Symbol::new(condition))));
        }
        let tracking = request.properties.get("com.microsoft:tracking-id").filter(|id| id.as_str().is_some());
        if let Some(id) = tracking {
            properties.push(("com.microsoft:tracking-id", id));
        }
        response::encode(request.message_id, &properties, |out| match body {
            Some(body) => out.put(&body),
            None => Map::EMPTY.encode(out),
        })
    }

    /// A request to schedule a message that is larger than the entity takes: its link is closed with this.
    // docs/evidence/field-reports.md F17
    pub(super) fn oversized(&self, path: &str, request: &Request<'_>) -> Option<Refusal> {
        if request.operation.strip_prefix("com.microsoft:").unwrap_or(request.operation) != "schedule-message" {
            return None;
        }
        let limit =
            self.namespace.sender(&Address { management: false, ..Address::parse(path) }).ok()?.max_message_size;
        let size = |item: Value<'_>| match item {
            Value::Map(item) => {
                Ok(item.get("message").and_then(|value| value.as_bytes()).map_or(0, <[u8]>::len) as u64)
            }
            _ => Ok(0),
        };
        let size = request.items("messages", "", size).ok()?.into_iter().max().filter(|size| *size > limit)?;
        Some(super::sending::too_large(size, limit))
    }

    fn operate(&mut self, peer: &mut Peer, path: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        let operation = call.request.operation;
        if operation == "com.servicebus-emulator:statistics" {
            // A right is wanted, as over HTTP: one of the entity whose node is asked.
            let rights = peer.access.management_rights(path, call.clock.utc);
            let allowed = rights.listen || rights.send;
            let missing = || super::attach::missing_claim("Listen", &format!("sb://{}/{}", peer.host, call.address));
            return if allowed {
                Ok(self.statistics_body())
            } else {
                Err(Refusal::new(Reason::Unauthorized, missing()))
            };
        }
        if !self.budget.has_room(Holding::Deliveries, 1) {
            return Err(OverBudget.into());
        }
        if path.is_empty() {
            return Err(unknown_operation(operation));
        }
        if let Some(txn) = &call.txn {
            // Also what is no part of transactions, such as a peek: the SDK for .NET sends each request of a transaction's
            // scope so.
            self.transactions.check(peer.id, txn)?;
        }
        let name = operation.strip_prefix("com.microsoft:").unwrap_or(operation);
        let rights = peer.access.management_rights(path, call.clock.utc);
        let sends = matches!(name, "schedule-message" | "cancel-scheduled-message");
        let (allowed, claim) = if sends { (rights.send, "Send") } else { (rights.listen, "Listen") };
        if !allowed {
            let resource = format!("sb://{}/{}", peer.host, call.address);
            return Err(Refusal::new(Reason::Unauthorized, super::attach::missing_claim(claim, &resource)));
        }
        let entity = crate::broker::entities::name::key(call.address.entity);
        if !sends && !self.transactions.span_entities && !peer.pin(call.session, &entity) {
            return Err(Refusal::new(Reason::NotAllowed, SPANS_ENTITIES));
        }
        let subscription = call.address.subscription.map(crate::broker::entities::name::key);
        self.namespace.accessed(&entity, subscription.as_deref(), call.clock.utc);
        match name {
            "peek-message" => self.peek(peer, call),
            "schedule-message" => self.schedule_messages(peer, &entity, call),
            "cancel-scheduled-message" => self.cancel_messages(peer, &entity, call),
            "receive-by-sequence-number" => self.receive_deferred(peer, call),
            "update-disposition" => self.update_disposition(peer, call),
            "renew-lock" => self.renew_locks(call),
            "batch-delete-messages" => self.delete_messages(call),
            "renew-session-lock" | "get-session-state" | "set-session-state" | "get-message-sessions" => {
                self.manage_sessions(peer, name, call)
            }
            "add-rule" | "remove-rule" | "enumerate-rules" => self.manage_rules(name, call),
            _ => Err(unknown_operation(operation)),
        }
    }

    /// The stores that a request may speak of: the one addressed first.
    pub(super) fn stores(&self, call: &Call<'_>) -> Result<(StoreId, Stores), Refusal> {
        let stores = self.namespace.stores_of(&call.address)?;
        Ok((stores.get(call.address.sub_queue), stores))
    }

    /// Operations on messages of a session need the session's lock.
    pub(super) fn check_session(
        &self,
        peer: &Peer,
        store: StoreId,
        session: &str,
        clock: Clock,
    ) -> Result<(), Refusal> {
        let requires = self.namespace.store(store).is_some_and(|store| store.settings().requires_session);
        let lock = self.namespace.store(store).and_then(|store| store.session_lock(session));
        if !requires {
            return Err(EntityError::SessionNotSupported.into());
        }
        let held = lock.is_some_and(|lock| {
            let known = lock.taken_over.is_none_or(|at| at + self.faults.takeover_delay <= clock.utc);
            known && self.holder_is(lock.holder, peer.id)
        });
        if held { Ok(()) } else { Err(EntityError::SessionLockLost.into()) }
    }

    /// Whether what is sent to a queue or subscription goes on to another entity.
    fn forwards(&self, address: &Address<'_>) -> bool {
        match address.subscription {
            Some(name) => {
                let found = self.namespace.subscription(address.entity, name);
                found.is_some_and(|found| found.description.forward_to.is_some())
            }
            None => self.namespace.queue(address.entity).is_some_and(|queue| queue.description.forward_to.is_some()),
        }
    }

    fn peek(&mut self, peer: &Peer, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (id, _) = match self.stores(call) {
            Ok(stores) => stores,
            // A topic: its scheduled messages.
            Err(refusal) => match self.namespace.schedule_store(&call.address.entity.to_ascii_lowercase()) {
                Ok(store) if call.address.subscription.is_none() && call.address.sub_queue.is_none() => {
                    return self.peek_store(store, None, call);
                }
                _ => return Err(refusal),
            },
        };
        if call.address.sub_queue.is_none() && self.forwards(&call.address) {
            return Err(EntityError::NotAllowed(
                "Cannot create a message browser on an entity with auto-forwarding enabled.".into(),
            )
            .into());
        }
        let session = named_session(peer, id, call)?;
        let requires = self.namespace.store(id).is_some_and(|store| store.settings().requires_session);
        // Without a session, the messages of all of them (docs/evidence/field-reports.md F31); but a receiver of one
        // session, which names its link, does not see others once that link is gone.
        if requires && session.is_none() && call.request.properties.get("associated-link-name").is_some() {
            return Err(EntityError::SessionRequired.into());
        }
        self.peek_store(id, session.filter(|_| requires), call)
    }

    fn peek_store(&self, id: StoreId, session: Option<&str>, call: &Call<'_>) -> Result<Reply, Refusal> {
        let from = call.request.number("from-sequence-number")?.unwrap_or(0);
        let count = call.request.count("message-count", 1)?.min(MAX_PEEK);
        let omit_body = call.request.flag("omit-message-body")?;
        let Some(store) = self.namespace.store(id) else { return Ok(Reply::Nothing) };
        let mut total = 0;
        let mut messages = Vec::new();
        for peeked in store.peek(from, session).take(count) {
            let bytes =
                peeked.message.hand_out(Handout { locked_until: peeked.locked_until, omit_body, ..Handout::PEEKED });
            total += bytes.len();
            messages.push((None, bytes));
            if total > MAX_PEEK_BYTES || !self.budget.has_room(Holding::Deliveries, 2 * total) {
                break;
            }
        }
        Ok(if messages.is_empty() { Reply::Nothing } else { messages_body(&messages) })
    }

    fn schedule_messages(&mut self, peer: &Peer, entity: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        if !self.namespace.exists(entity) {
            return Err(EntityError::NotFound(call.address.to_string()).into());
        }
        check_sends(&call.address)?;
        if self.forwards(&call.address) {
            let text = "Messages cannot be scheduled on an entity with auto-forwarding enabled.";
            return Err(EntityError::NotAllowed(text.into()).into());
        }
        let mut messages = call.request.items("messages", "The request holds no messages.", |item| {
            let Value::Map(item) = item else { return Err(argument("A message of the request is no map.")) };
            let bytes = item.get("message").and_then(|value| value.as_bytes());
            let bytes = bytes.ok_or_else(|| argument("A message of the request has no bytes."))?;
            let mut message = Message::accept(Bytes::copy_from_slice(bytes))?;
            message.hold(&self.budget)?;
            Ok(message)
        })?;
        let count = messages.len();
        let numbers = match &call.txn {
            None => {
                let scheduled = self.namespace.schedule(entity, messages, call.clock.utc);
                scheduled.map_err(|error| self.located(&peer.host, error, &call.address, true))?
            }
            Some(txn) => {
                // The numbers are given before the commit (docs/evidence/pinned-behaviour.md TXN4).
                let first = self.namespace.next_number(entity)?;
                let numbers: Vec<i64> = (first..).take(count).collect();
                for (message, number) in messages.iter_mut().zip(&numbers) {
                    message.sequence_number = *number;
                }
                let operation = Operation::Send { entity: entity.to_owned(), messages };
                self.enlist(peer, call.session, txn, operation, call.clock)?;
                self.namespace.reserve_numbers(entity, count)?;
                numbers
            }
        };
        self.statistics.messages_sent += count as u64;
        Ok(body(|out| response::put_single(out, "sequence-numbers", |out| response::put_longs(out, &numbers))))
    }

    fn cancel_messages(&mut self, peer: &Peer, entity: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        check_sends(&call.address)?;
        let numbers = numbers(call.request)?;
        match &call.txn {
            Some(txn) => {
                self.enlist(
                    peer,
                    call.session,
                    txn,
                    Operation::Cancel { entity: entity.to_owned(), numbers },
                    call.clock,
                )?;
            }
            None => self.namespace.cancel_scheduled(entity, &numbers, call.clock.utc)?,
        }
        Ok(Reply::Done)
    }

    fn receive_deferred(&mut self, peer: &Peer, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (id, _) = self.stores(call)?;
        let numbers = numbers(call.request)?;
        let lock = match call.request.number("receiver-settle-mode")? {
            Some(0) => false,
            None | Some(1) => true,
            Some(mode) => return Err(argument(format!("The receiver-settle-mode {mode} is not known."))),
        };
        if !lock && numbers.len() > MAX_DEFERRED_DELETE {
            return Err(Refusal::new(
                Reason::ArgumentOutOfRange,
                "ReceiveAndDelete only can process 250 deferred messages",
            ));
        }
        let session = named_session(peer, id, call)?;
        let requires = self.namespace.store(id).is_some_and(|store| store.settings().requires_session);
        if requires {
            let Some(session) = session else { return Err(EntityError::SessionRequired.into()) };
            self.check_session(peer, id, session, call.clock)?;
        }
        let session = session.filter(|_| requires);
        // All of them are in one response.
        let size = |number: &i64| {
            let found = self.namespace.store(id).and_then(|store| store.peek(*number, None).next());
            found.filter(|found| found.message.sequence_number == *number).map_or(0, |found| found.message.size())
        };
        if numbers.iter().map(size).sum::<usize>() > MAX_DEFERRED_BYTES {
            let text = "The messages are too large for one response. Receive fewer of them at once.";
            return Err(Refusal::new(Reason::QuotaExceeded, text));
        }
        let messages = self.namespace.receive_deferred(id, &numbers, session, lock, call.clock.utc)?;
        self.statistics.messages_delivered += messages.len() as u64;
        Ok(messages_body(&messages))
    }

    fn update_disposition(&mut self, peer: &Peer, call: &Call<'_>) -> Result<Reply, Refusal> {
        let request = call.request;
        let (first, stores) = self.stores(call)?;
        let status = request.text("disposition-status")?.unwrap_or_default();
        let session = request.text("session-id")?;
        let settlement = Settlement::of_status(
            status,
            request.text("deadletter-reason")?,
            request.text("deadletter-description")?,
            request.map("properties-to-modify")?,
        )
        .ok_or_else(|| argument(format!("The disposition status '{status}' is not known.")))?;
        let tokens = tokens(request)?;
        // Messages of a session are its holder's to settle, whoever has received them.
        if let Some(session) = session
            && self.namespace.store(first).is_some_and(|store| store.settings().requires_session)
        {
            self.check_session(peer, first, session, call.clock)?;
        }
        let mut order = vec![first];
        order.extend(stores.all().into_iter().filter(|id| *id != first));
        let lost = |shared: &Self, error: EntityError| shared.lost_lock(peer, first, session, error.into(), call.clock);
        let Some(txn) = &call.txn else {
            // All of them, or none.
            let settled = self.namespace.execute(call.clock.utc, |plan| {
                tokens.iter().try_for_each(|token| plan.settle(&order, *token, &settlement))
            });
            settled.map_err(|error| lost(self, error))?;
            self.statistics.settled_by_management += tokens.len() as u64;
            return Ok(Reply::Done);
        };
        // All locks are looked at before any of them ends.
        for token in &tokens {
            let checked = self.namespace.check_settlement(&order, *token, &settlement);
            checked.map_err(|error| lost(self, error))?;
        }
        let operation = Operation::Settle { stores: order, tokens, settlement };
        self.enlist(peer, call.session, txn, operation, call.clock)?;
        Ok(Reply::Done)
    }

    fn renew_locks(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (first, stores) = self.stores(call)?;
        let mut order = vec![first];
        order.extend(stores.all().into_iter().filter(|id| *id != first));
        let tokens = tokens(call.request)?;
        let mut expirations = Vec::with_capacity(tokens.len());
        for token in tokens {
            // Whatever guards the message, a token that is unknown is a lost message lock here.
            let renewed = self.namespace.renew(&order, token, call.clock.utc);
            expirations.push(renewed.map_err(|_| EntityError::MessageLockLost)?);
        }
        self.statistics.locks_renewed += expirations.len() as u64;
        Ok(body(|out| response::put_single(out, "expirations", |out| response::put_timestamps(out, &expirations))))
    }

    fn delete_messages(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (id, _) = self.stores(call)?;
        let count = call.request.number("message-count")?.unwrap_or(0);
        let most = self.namespace.tier().batch_delete();
        if !(1..=i64::from(most)).contains(&count) {
            // Azure/azure-sdk-for-js#34274
            let text =
                format!("Invalid Message Count : requested {count}. Message count should be between 1 and {most}.");
            return Err(Refusal::new(Reason::ArgumentOutOfRange, text));
        }
        let cutoff = call.request.time("enqueued-time-utc")?;
        let cutoff = cutoff.unwrap_or(call.clock.utc + core::time::Duration::from_millis(1));
        let session = call.request.text("session-id")?;
        let deleted = self.namespace.delete_batch(id, usize::try_from(count).unwrap_or(0), cutoff, session);
        // A delete that finds nothing has a count as well: docs/evidence/field-reports.md F21.
        let deleted = i32::try_from(deleted).unwrap_or(i32::MAX);
        Ok(body(|out| response::put_single(out, "message-count", |out| deleted.encode(out))))
    }
}

/// Messages are scheduled for a queue or topic: the nodes below it take none, as senders meet it.
fn check_sends(address: &Address<'_>) -> Result<(), EntityError> {
    let text = match (address.subscription, address.sub_queue) {
        (None, None) => return Ok(()),
        (Some(_), _) => "Cannot create a message sender for a subscription",
        (None, Some(_)) => "Cannot create a message sender for a sub-queue",
    };
    Err(EntityError::NotAllowed(text.into()))
}

fn unknown_operation(operation: &str) -> Refusal {
    Refusal::new(Reason::NotImplemented, format!("The operation '{operation}' is not supported."))
}

/// The session that a request is about: the one that it names, or the one of the receiver that it is sent for. The SDK
/// for Go names only its link when it peeks or asks for deferred messages.
fn named_session<'a>(peer: &'a Peer, store: StoreId, call: &'a Call<'_>) -> Result<Option<&'a str>, Refusal> {
    Ok(call.request.text("session-id")?.or_else(|| {
        let name = call.request.properties.get("associated-link-name")?.as_str()?;
        peer.session_named(name, store)
    }))
}

fn numbers(request: &Request<'_>) -> Result<Vec<i64>, Refusal> {
    request.items("sequence-numbers", "The request has no sequence numbers.", |item| {
        item.as_i64().ok_or_else(|| argument("A sequence number is not an integer."))
    })
}

fn tokens(request: &Request<'_>) -> Result<Vec<LockToken>, Refusal> {
    request.items("lock-tokens", "The request has no lock tokens.", |item| match item {
        Value::Uuid(uuid) => Ok(LockToken::from_uuid(uuid)),
        _ => Err(argument("A lock token is not a UUID.")),
    })
}

/// A body that lists messages, with their tokens where they are locked.
fn messages_body(messages: &[(Option<LockToken>, Bytes)]) -> Reply {
    body(|out| {
        response::put_single(out, "messages", |out| {
            let list = out.begin();
            for (token, bytes) in messages {
                let map = out.begin();
                let mut count = 2;
                "message".encode(out);
                Value::Binary(bytes).encode(out);
                if let Some(token) = token {
                    count += 2;
                    "lock-token".encode(out);
                    Value::Uuid(token.uuid()).encode(out);
                }
                out.end(map, Compound::Map, count);
            }
            out.end(list, Compound::List, messages.len());
        });
    })
}

/// Whether a cutoff means "every session with messages or a state".
// docs/evidence/wire-protocol.md §5
pub(super) fn is_sentinel(time: Timestamp) -> bool {
    time >= Timestamp::from_millis(253_402_300_799_000)
}

impl Shared {
    /// The counters, as a map of longs.
    fn statistics_body(&self) -> Reply {
        let entries = self.counted().entries();
        body(|out| {
            let mark = out.begin();
            for (name, value) in entries {
                name.encode(out);
                Value::Long(i64::try_from(value).unwrap_or(i64::MAX)).encode(out);
            }
            out.end(mark, Compound::Map, entries.len() * 2);
        })
    }
}
