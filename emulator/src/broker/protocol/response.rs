//! Requests to a node and the responses to them.
// docs/evidence/wire-protocol.md §2.2, §5

use super::fault::Refusal;
use bytes::{Bytes, BytesMut};
use servicebus_core::servicebus::Reason;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::message::{Body, MessageView, section};
use servicebus_core::wire::messaging::{MessageId, Properties, put_section};
use servicebus_core::wire::{Compound, DecodeError, Encode, Map, MapWriter, Sink, Value};

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// What the response is to be correlated with.
    pub message_id: Option<MessageId<'a>>,
    /// Which link the client expects the response on.
    pub reply_to: Option<&'a str>,
    /// What is asked for.
    pub operation: &'a str,
    /// The application properties.
    pub properties: Map<'a>,
    /// The body, when it is a value.
    pub body: Value<'a>,
}

impl<'a> Request<'a> {
    /// Reads a request; `None` for bytes that are none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let view = MessageView::parse(bytes).ok()?;
        let properties = view.properties().ok()?;
        let application = view.application_properties().ok()?;
        let body = match view.body() {
            Ok(Body::Value(value)) => value,
            _ => Value::Null,
        };
        Some(Self {
            message_id: properties.message_id.or(properties.correlation_id),
            reply_to: properties.reply_to,
            operation: application.get("operation").and_then(|value| value.as_str()).unwrap_or_default(),
            properties: application,
            body,
        })
    }

    /// An entry of a body that is a map.
    pub(super) fn entry(&self, key: &str) -> Option<Value<'a>> {
        match self.body {
            Value::Map(map) => map.get(key).filter(|value| !value.is_null()),
            _ => None,
        }
    }

    /// An entry that must be of one type where it is there: one of another must not read as none, which would mean all
    /// sessions, no cutoff, or no state.
    fn typed<T>(
        &self,
        key: &str,
        must_be: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.entry(key) else { return Ok(None) };
        let wrong =
            || Refusal::new(Reason::ArgumentError, format!("The value of '{key}' is not valid: it must be {must_be}."));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// A text in the body.
    ///
    /// # Errors
    /// For a value of another type, as all of these.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        self.typed(key, "a string", |value| value.as_str())
    }

    /// A number in the body, of whatever integer type.
    // docs/evidence/wire-protocol.md §0 fact 10
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        self.typed(key, "an integer", |value| value.as_i64())
    }

    /// How many, or behind how many.
    ///
    /// # Errors
    /// Also for a negative one.
    pub(super) fn count(&self, key: &str, default: usize) -> Result<usize, Refusal> {
        let Some(number) = self.number(key)? else { return Ok(default) };
        usize::try_from(number).map_err(|_| {
            let text = format!("The value of '{key}' is {number}. It must not be negative.");
            Refusal::new(Reason::ArgumentOutOfRange, text)
        })
    }

    /// Whether.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        let read = |value| match value {
            Value::Boolean(value) => Some(value),
            _ => None,
        };
        Ok(self.typed(key, "true or false", read)?.unwrap_or(false))
    }

    /// A time.
    pub(super) fn time(&self, key: &str) -> Result<Option<Timestamp>, Refusal> {
        self.typed(key, "a timestamp", |value| value.as_timestamp())
    }

    /// Bytes.
    pub(super) fn bytes(&self, key: &str) -> Result<Option<&'a [u8]>, Refusal> {
        self.typed(key, "binary", |value| value.as_bytes())
    }

    /// A map whose keys are texts.
    pub(super) fn map(&self, key: &str) -> Result<Option<Map<'a>>, Refusal> {
        let has_texts = |map: &Map<'a>| map.iter().all(|entry| entry.is_ok_and(|(key, _)| key.as_str().is_some()));
        self.typed(key, "a map with strings as keys", |value| match value {
            Value::Map(map) => Some(map).filter(has_texts),
            _ => None,
        })
    }

    /// The items of an array or a list in the body, each read while they are walked, so that small ones take no more
    /// memory than they have bytes. `missing` is the refusal for a body without them.
    ///
    /// # Errors
    /// What `read` refuses, and more than [`MAX_ITEMS`].
    pub(super) fn items<T>(
        &self,
        key: &str,
        missing: &str,
        read: impl FnMut(Value<'a>) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        match self.entry(key) {
            Some(Value::Array(array)) => walked(key, array.iter(), read),
            Some(Value::List(list)) => walked(key, list.iter(), read),
            _ => Err(Refusal::new(Reason::ArgumentError, missing)),
        }
    }
}

/// Items of one request at most: more than the largest batch has.
const MAX_ITEMS: usize = 10_000;

fn walked<'a, T>(
    key: &str,
    items: impl Iterator<Item = Result<Value<'a>, DecodeError>>,
    mut read: impl FnMut(Value<'a>) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let mut all = Vec::new();
    for item in items {
        if all.len() >= MAX_ITEMS {
            let text = format!("The request has more than {MAX_ITEMS} items in '{key}'.");
            return Err(Refusal::new(Reason::ArgumentOutOfRange, text));
        }
        let item = item.map_err(|_| Refusal::new(Reason::DecodeError, format!("'{key}' cannot be decoded.")))?;
        all.push(read(item)?);
    }
    Ok(all)
}

/// Encodes a response: properties first, no header, as the service does.
// docs/evidence/service-evidence.md §3
pub(super) fn encode(
    correlation_id: Option<MessageId<'_>>,
    properties: &[(&str, Value<'_>)],
    body: impl FnOnce(&mut Sink<'_>),
) -> Bytes {
    let mut bytes = BytesMut::with_capacity(256);
    let out = &mut Sink::from(&mut bytes);
    Properties { correlation_id, ..Properties::EMPTY }.encode(out);
    put_section(out, section::APPLICATION_PROPERTIES);
    let mut map = MapWriter::begin(out);
    map.put_all(properties);
    map.end();
    put_section(out, section::AMQP_VALUE);
    body(out);
    bytes.freeze()
}

/// Writes an array of longs: a real array, since some clients read nothing else.
// docs/evidence/wire-protocol.md §5
pub(super) fn put_longs(out: &mut Sink<'_>, numbers: &[i64]) {
    put_array(out, 0x81, numbers.iter().map(|number| number.to_be_bytes()));
}

/// Writes an array of timestamps.
pub(super) fn put_timestamps(out: &mut Sink<'_>, times: &[Timestamp]) {
    put_array(out, 0x83, times.iter().map(|time| time.as_millis().to_be_bytes()));
}

fn put_array(out: &mut Sink<'_>, code: u8, items: impl Iterator<Item = [u8; 8]>) {
    let mark = out.begin();
    out.put_byte(code);
    let mut count = 0;
    for item in items {
        out.put(&item);
        count += 1;
    }
    out.end(mark, Compound::Array, count);
}

/// Writes an array of strings.
pub(super) fn put_strings<'a>(out: &mut Sink<'_>, texts: impl Iterator<Item = &'a str>) {
    let mark = out.begin();
    out.put_byte(0xb1);
    let mut count = 0;
    for text in texts {
        out.put_size(text.len());
        out.put(text.as_bytes());
        count += 1;
    }
    out.end(mark, Compound::Array, count);
}

/// Writes a map of one entry whose value is written by `value`.
pub(super) fn put_single(out: &mut Sink<'_>, key: &str, value: impl FnOnce(&mut Sink<'_>)) {
    let mut map = MapWriter::begin(out);
    value(map.key(key));
    map.end();
}
