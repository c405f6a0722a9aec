//! Filters and properties of an attach: their types, what they ask for, and how a granted session is answered.

use super::fault::Refusal;
use crate::broker::entities::EntityError;
use crate::broker::entities::message::MAX_ID_LEN;
use servicebus_core::servicebus::{LockToken, Reason};
use servicebus_core::wire::performative::{Attach, Role};
use servicebus_core::wire::{Compound, Described, Encode, Map, Reader, Sink, Symbol, Value, encode_map};

/// The filter that asks for a session.
const SESSION_FILTER: &str = "com.microsoft:session-filter";
/// The filter that asks for a session which another receiver may take over. Only the symbol that describes its value
/// ends in `:list`.
// docs/evidence/wire-protocol.md §5
pub(super) const SHARED_FILTER: &str = "com.microsoft:non-exclusive-session-filter";
/// The descriptor of that filter's list.
const SHARED_DESCRIPTOR: u64 = 0x0000_0013_7000_000e;

/// The session that an attach asks for.
pub(super) enum Wanted<'a> {
    /// None.
    Plain,
    /// The next one.
    Next,
    /// This one.
    Named(&'a str),
    /// The one under this token, whoever holds it; it may be named besides.
    Shared(Option<&'a str>, LockToken),
}

/// A field of an attach that is not of the type that it must have.
pub(super) fn wrong_type(name: &str, must_be: &str) -> Refusal {
    Refusal::new(Reason::InvalidField, format!("The value of '{name}' is not valid: it must be {must_be}."))
}

/// A session by its id, which is no longer than that of a message can be: it is kept while the session is held.
fn named(id: &str) -> Result<Wanted<'_>, Refusal> {
    if id.chars().count() > MAX_ID_LEN {
        return Err(EntityError::IdTooLong("SessionId").into());
    }
    Ok(Wanted::Named(id))
}

pub(super) fn wanted<'a>(attach: &Attach<'a>, exclusive_only: bool) -> Result<Wanted<'a>, Refusal> {
    let Some(filters) = attach.source.and_then(|source| source.filter) else { return Ok(Wanted::Plain) };
    if let Some(filter) = filters.get(SHARED_FILTER).filter(|_| !exclusive_only) {
        let wrong = || wrong_type(SHARED_FILTER, "a described list of a session id and a lock token");
        let Value::Described(filter) = filter else { return Err(wrong()) };
        let Ok(Value::List(fields)) = filter.value() else { return Err(wrong()) };
        let mut fields = fields.iter();
        let mut next = || fields.next().unwrap_or(Ok(Value::Null)).map_err(|_| wrong());
        return match (next()?, next()?) {
            (Value::String(id), Value::Uuid(token)) => Ok(Wanted::Shared(Some(id), LockToken::from_uuid(token))),
            (Value::Null, Value::Uuid(token)) => Ok(Wanted::Shared(None, LockToken::from_uuid(token))),
            (Value::String(id), Value::Null) => named(id),
            (Value::Null, Value::Null) => Ok(Wanted::Next),
            _ => Err(wrong()),
        };
    }
    let Some(filter) = filters.get(SESSION_FILTER) else { return Ok(Wanted::Plain) };
    // Go describes the value, the others do not (docs/evidence/wire-protocol.md §0 fact 9).
    let value = match filter {
        Value::Described(described) => described.value().map_err(|_| wrong_type(SESSION_FILTER, "a string or null"))?,
        value => value,
    };
    match value {
        Value::String(id) => named(id),
        Value::Null => Ok(Wanted::Next),
        _ => Err(wrong_type(SESSION_FILTER, "a string or null")),
    }
}

/// A property of an attach that must be an integer, where it is there.
pub(super) fn integer(attach: &Attach<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    match attach.properties.and_then(|properties| properties.get(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong_type(name, "an integer")),
    }
}

/// What a receiver asks of its source and the broker does not have.
pub(super) fn check_source(attach: &Attach<'_>) -> Result<(), Refusal> {
    let mode = attach.source.and_then(|source| source.distribution_mode);
    match (attach.role, mode) {
        // A browser of JMS: its messages must not be taken for received ones.
        (Role::Receiver, Some(mode)) if mode.as_str() != "move" => {
            let text = format!("The distribution mode '{}' is not supported. Messages can be peeked.", mode.as_str());
            Err(Refusal::new(Reason::NotImplemented, text))
        }
        _ => Ok(()),
    }
}

/// The session filter with the granted id, described or not as the client wrote it.
pub(super) fn granted_filter<'a>(attach: &Attach<'_>, session: &str, buffer: &'a mut [u8]) -> Option<Map<'a>> {
    let key = Value::Symbol(Symbol::new(SESSION_FILTER));
    let asked = attach.source?.filter?.get(SESSION_FILTER);
    if matches!(asked, Some(Value::Described(_))) {
        // 0x00, the descriptor as ulong, and the id.
        let mut bytes = vec![0x00, 0x80];
        bytes.extend_from_slice(&0x0000_0013_7000_000c_u64.to_be_bytes());
        session.encode(&mut Sink::from(&mut bytes));
        let described = Reader::new(&bytes).read::<Described<'_>>().ok()?;
        return encode_map(&[(key, Value::Described(described))], buffer).ok();
    }
    encode_map(&[(key, Value::String(session))], buffer).ok()
}

/// The filter of a session that can be taken over: id and token, both filled.
// docs/evidence/pinned-behaviour.md SES46
pub(super) fn shared_filter<'a>(session: &str, token: LockToken, buffer: &'a mut [u8]) -> Option<Map<'a>> {
    let mut bytes = vec![0x00, 0x80];
    bytes.extend_from_slice(&SHARED_DESCRIPTOR.to_be_bytes());
    let mut sink = Sink::from(&mut bytes);
    let list = sink.begin();
    session.encode(&mut sink);
    token.uuid().encode(&mut sink);
    sink.end(list, Compound::List, 2);
    let described = Reader::new(&bytes).read::<Described<'_>>().ok()?;
    encode_map(&[(Value::Symbol(Symbol::new(SHARED_FILTER)), Value::Described(described))], buffer).ok()
}
