//! The operations of `<entity>/$management`: requests and responses.
// docs/evidence/wire-protocol.md §5

use super::disposition::{DeadLetterOptions, Disposition};
use super::failure::{Cause, Failure};
use super::lock_token::LockToken;
use super::message::{InvalidMessage, MessageRef};
use super::rule::RuleRef;
use crate::storage::{Payload, Storage};
use crate::time::Timestamp;
use crate::wire::message::{Body, MessageView};
use crate::wire::messaging::MessageId;
use crate::wire::{Array, Compound, Encode, MapWriter, Sink, Value, measure, put_binary_head};

/// `get-message-sessions` without a time: sessions that have messages or a state.
const ANY_SESSION: Timestamp = Timestamp::DOTNET_MAX;

/// A request to an entity: encodes as the map in the body. Each operation is a type of its own, so that a program links
/// only the operations that it uses.
pub(crate) trait Request: Encode + Sync {
    /// The name of the operation.
    fn name(&self) -> &'static str;

    /// Whether the service repeats the operation for a repeated request, so that it must not be retried after a lost
    /// answer.
    fn doubles(&self) -> bool {
        false
    }
}

/// Declares operations: the type, its name, and how its map is filled.
macro_rules! requests {
    ($( $(#[$meta:meta])* $name:ident $(<$life:lifetime>)? = $text:literal $(, $doubles:ident)? {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty, )*
    } |$request:ident, $map:ident| $fill:block )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub(crate) $field: $type, )*
        }

        impl $(<$life>)? Request for $name $(<$life>)? {
            fn name(&self) -> &'static str {
                $text
            }

            $( fn $doubles(&self) -> bool {
                true
            } )?
        }

        impl $(<$life>)? Encode for $name $(<$life>)? {
            fn encode(&self, sink: &mut Sink<'_>) {
                let $request = self;
                let mut $map = MapWriter::begin(sink);
                $fill
                $map.end();
            }
        }
    )* };
}

requests! {
    /// Messages from a sequence number on, without locking them.
    Peek<'a> = "com.microsoft:peek-message" {
        /// The lowest sequence number.
        from: i64,
        /// How many at most.
        count: u32,
        /// Of this session only.
        session_id: Option<&'a str>,
    } |request, map| {
        map.put("from-sequence-number", request.from);
        map.put("message-count", int(request.count));
        map.put_if("session-id", request.session_id);
    }

    /// Messages for later. Each has a message id and its time.
    Schedule<'a> = "com.microsoft:schedule-message", doubles {
        /// The messages.
        messages: &'a [Measured<'a>],
    } |request, map| {
        put_messages(map.key("messages"), request.messages);
    }

    /// Scheduled messages are taken back.
    CancelScheduled<'a> = "com.microsoft:cancel-scheduled-message" {
        /// Their sequence numbers.
        sequence_numbers: &'a [i64],
    } |request, map| {
        put_longs(map.key("sequence-numbers"), request.sequence_numbers);
    }

    /// Deferred messages.
    ReceiveDeferred<'a> = "com.microsoft:receive-by-sequence-number" {
        /// Their sequence numbers.
        sequence_numbers: &'a [i64],
        /// Delete instead of lock.
        delete: bool,
        /// The session they belong to.
        session_id: Option<&'a str>,
    } |request, map| {
        put_longs(map.key("sequence-numbers"), request.sequence_numbers);
        map.put("receiver-settle-mode", u32::from(!request.delete));
        map.put_if("session-id", request.session_id);
    }

    /// Settlement by lock token.
    UpdateDisposition<'a> = "com.microsoft:update-disposition" {
        /// What becomes of them.
        disposition: Disposition<'a>,
        /// The locks.
        lock_tokens: &'a [LockToken],
        /// The session they belong to.
        session_id: Option<&'a str>,
    } |request, map| {
        let (status, properties) = match request.disposition {
            Disposition::Complete => ("completed", &[][..]),
            Disposition::Abandon { properties } => ("abandoned", properties),
            Disposition::Defer { properties } => ("defered", properties),
            Disposition::DeadLetter(DeadLetterOptions { properties, .. }) => ("suspended", properties),
        };
        map.put("disposition-status", status);
        put_tokens(map.key("lock-tokens"), request.lock_tokens);
        if let Disposition::DeadLetter(DeadLetterOptions { reason, description, .. }) = request.disposition {
            map.put_if("deadletter-reason", reason);
            map.put_if("deadletter-description", description);
        }
        if !properties.is_empty() {
            let mut modified = MapWriter::begin(map.key("properties-to-modify"));
            modified.put_all(properties);
            modified.end();
        }
        map.put_if("session-id", request.session_id);
    }

    /// More time for locked messages.
    RenewLock<'a> = "com.microsoft:renew-lock" {
        /// The locks.
        lock_tokens: &'a [LockToken],
    } |request, map| {
        put_tokens(map.key("lock-tokens"), request.lock_tokens);
    }

    /// More time for a session.
    RenewSessionLock<'a> = "com.microsoft:renew-session-lock" {
        /// The session.
        session_id: &'a str,
    } |request, map| {
        map.put("session-id", request.session_id);
    }

    /// What a session remembers.
    GetSessionState<'a> = "com.microsoft:get-session-state" {
        /// The session.
        session_id: &'a str,
    } |request, map| {
        map.put("session-id", request.session_id);
    }

    /// What a session is to remember; `None` clears it.
    SetSessionState<'a> = "com.microsoft:set-session-state" {
        /// The session.
        session_id: &'a str,
        /// The state.
        state: Option<&'a [u8]>,
    } |request, map| {
        map.put("session-id", request.session_id);
        map.put("session-state", request.state.map_or(Value::Null, Value::Binary));
    }

    /// Ids of sessions.
    ListSessions = "com.microsoft:get-message-sessions" {
        /// Only those whose state was set since.
        updated_after: Option<Timestamp>,
        /// How many to pass over.
        skip: u32,
        /// How many at most.
        top: u32,
    } |request, map| {
        map.put("last-updated-time", request.updated_after.unwrap_or(ANY_SESSION));
        map.put("skip", int(request.skip));
        map.put("top", int(request.top));
    }

    /// A rule for a subscription.
    AddRule<'a> = "com.microsoft:add-rule" {
        /// The rule.
        rule: RuleRef<'a>,
    } |request, map| {
        map.put("rule-name", request.rule.name);
        request.rule.encode(map.key("rule-description"));
    }

    /// A rule goes.
    RemoveRule<'a> = "com.microsoft:remove-rule" {
        /// Its name.
        name: &'a str,
    } |request, map| {
        map.put("rule-name", request.name);
    }

    /// The rules of a subscription.
    ListRules = "com.microsoft:enumerate-rules" {
        /// How many to pass over.
        skip: u32,
        /// How many at most.
        top: u32,
    } |request, map| {
        map.put("top", int(request.top));
        map.put("skip", int(request.skip));
    }

    /// Messages are deleted without being received.
    DeleteMessages<'a> = "com.microsoft:batch-delete-messages" {
        /// How many at most.
        count: u32,
        /// Only those enqueued before.
        before: Timestamp,
        /// Of this session only.
        session_id: Option<&'a str>,
    } |request, map| {
        map.put("message-count", int(request.count));
        map.put("enqueued-time-utc", request.before);
        map.put_if("session-id", request.session_id);
    }
}

/// A number as the service reads it.
fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// An array of `long`; peers insist on genuine arrays.
fn put_longs(sink: &mut Sink<'_>, numbers: &[i64]) {
    let mark = sink.begin();
    sink.put_byte(0x81);
    for number in numbers {
        sink.put(&number.to_be_bytes());
    }
    sink.end(mark, Compound::Array, numbers.len());
}

/// An array of `uuid`.
fn put_tokens(sink: &mut Sink<'_>, tokens: &[LockToken]) {
    let mark = sink.begin();
    sink.put_byte(0x98);
    for token in tokens {
        sink.put(&token.uuid().0);
    }
    sink.end(mark, Compound::Array, tokens.len());
}

/// A message and the bytes that it is encoded in.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    message: MessageRef<'a>,
    size: usize,
}

impl<'a> Measured<'a> {
    /// A message whose properties are not too large, where the storage checks.
    pub(crate) fn new<S: Storage>(message: MessageRef<'a>) -> Result<Self, InvalidMessage> {
        let size = measure(&message);
        message.validate_sizes::<S>(size)?;
        Ok(Self { message, size })
    }
}

/// The list of messages to schedule.
fn put_messages(sink: &mut Sink<'_>, messages: &[Measured<'_>]) {
    let mark = sink.begin();
    for Measured { message, size } in messages {
        let mut map = MapWriter::begin(sink);
        map.put("message-id", message.message_id.unwrap_or(MessageId::String("")));
        map.put_if("session-id", message.session_id);
        map.put_if("partition-key", message.partition_key);
        map.put_if("via-partition-key", message.transaction_partition_key);
        let embedded = map.key("message");
        put_binary_head(embedded, *size);
        message.encode(embedded);
        map.end();
    }
    sink.end(mark, Compound::List, messages.len());
}

/// The response to a [`Request`] that was carried out.
#[derive(Clone, Debug)]
pub(crate) struct Response<P>(P);

impl<P: AsRef<[u8]> + Payload> Response<P> {
    /// A response whose status has been checked.
    pub(crate) const fn new(payload: P) -> Self {
        Self(payload)
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        let view = MessageView::parse(self.0.as_ref()).ok()?;
        match view.body().ok()? {
            Body::Value(Value::Map(map)) => map.get(key),
            _ => None,
        }
    }

    /// The value of a key that must be there.
    fn need<S: Storage>(&self, key: &str) -> Result<Value<'_>, Failure<S>> {
        self.get(key).ok_or_else(|| Failure::described(Cause::Malformed, "a response lacks its value"))
    }

    /// The items of an array or list; no item where there is none.
    fn items(&self, key: &str) -> impl Iterator<Item = Value<'_>> {
        let (array, list) = match self.get(key) {
            Some(Value::Array(array)) => (Some(array), None),
            Some(Value::List(list)) => (None, Some(list)),
            _ => (None, None),
        };
        let array = array.into_iter().flat_map(|array: Array<'_>| array.iter().map_while(Result::ok));
        array.chain(list.into_iter().flat_map(|list| list.iter().map_while(Result::ok)))
    }

    /// The numbers that scheduled messages got, in their order.
    pub(crate) fn sequence_numbers(&self) -> impl Iterator<Item = i64> {
        self.items("sequence-numbers").filter_map(|value| value.as_i64())
    }

    /// The new ends of renewed locks, in their order.
    pub(crate) fn expirations(&self) -> impl Iterator<Item = Timestamp> {
        self.items("expirations").filter_map(|value| value.as_timestamp())
    }

    /// The new end of a renewed session's lock.
    ///
    /// # Errors
    /// A response without it.
    pub(crate) fn expiration<S: Storage>(&self) -> Result<Timestamp, Failure<S>> {
        let value = self.need("expiration")?;
        value.as_timestamp().ok_or_else(|| Failure::answered(Cause::Malformed))
    }

    /// Peeked or deferred messages with their locks, where they have one.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (P, Option<LockToken>)> {
        self.items("messages").filter_map(|value| {
            let Value::Map(map) = value else { return None };
            let token = match map.get("lock-token") {
                Some(Value::Uuid(uuid)) => Some(LockToken::from_uuid(uuid)),
                _ => None,
            };
            let message = map.get("message")?.as_bytes()?;
            Some((self.0.part(message).ok()?, token))
        })
    }

    /// What a session remembers.
    pub(crate) fn session_state(&self) -> Option<P> {
        self.0.part(self.get("session-state")?.as_bytes()?).ok()
    }

    /// Ids of sessions.
    pub(crate) fn session_ids(&self) -> impl Iterator<Item = &str> {
        self.items("sessions-ids").filter_map(|value| value.as_str())
    }

    /// The rules of a subscription.
    pub(crate) fn rules(&self) -> impl Iterator<Item = RuleRef<'_>> {
        self.items("rules").filter_map(|value| {
            let Value::Map(map) = value else { return None };
            RuleRef::from_value(map.get("rule-description")?)
        })
    }

    /// How many messages were deleted.
    pub(crate) fn message_count(&self) -> u32 {
        self.get("message-count")
            .and_then(|value| value.as_i64())
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0)
    }
}
