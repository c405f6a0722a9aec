//! Requests and responses as messages.
// docs/evidence/wire-protocol.md §2, §5

use super::{Cause, Failure};
use crate::servicebus::Reason;
use crate::storage::{Generation, Key, Storage, Text};
use crate::wire::message::{MessageView, section};
use crate::wire::messaging::{MessageId, Properties, put_section};
use crate::wire::{Encode, Map, MapWriter, Sink, Uuid, Value};

/// Names a request in its message-id: place and generation, so that a late response is never taken for that of a later
/// request. A UUID, as the Python SDK has it.
// docs/evidence/wire-protocol.md §2
pub(super) fn request_id(key: Key) -> Uuid {
    Uuid((u128::from(key.index) << 96 | u128::from(key.generation.get()) << 64).to_be_bytes())
}

pub(super) fn parse_request_id(id: Uuid) -> Option<Key> {
    let id = u128::from_be_bytes(id.0);
    let generation = Generation::new((id >> 64) as u32)?;
    (id as u64 == 0).then_some(Key { index: (id >> 96) as u32, generation })
}

/// The request that a response answers.
pub(super) fn response_to(response: &[u8]) -> Option<Key> {
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

/// The status of a response, and its failure. `$cbs` and `$management` spell the keys differently.
// docs/evidence/wire-protocol.md §0 fact 12
#[inline(never)]
pub(super) fn check_response<S: Storage>(payload: &[u8], last: &mut S::Text) -> Result<(), Failure<S>> {
    let malformed = || Failure::answered(Cause::Malformed);
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
