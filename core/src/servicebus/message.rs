//! A message to be sent, as Service Bus knows it, and its batch envelope (docs/evidence/wire-protocol.md §3.1, §3.3).

use super::argument::Argument;
use crate::storage::{Encoder, Storage};
use crate::time::{Duration, Millis, Timestamp};
use crate::wire::message::section;
use crate::wire::messaging::{Header, MessageId, Properties, put_section};
use crate::wire::{Encode, Full, List, MapWriter, Sink, Symbol, Value, measure, put_binary_head};
use core::fmt;

/// The message format of a batch (docs/evidence/wire-protocol.md §3.3).
pub const BATCH_FORMAT: u32 = 0x8001_3700;

/// `x-opt-partition-key`
pub const PARTITION_KEY: &str = "x-opt-partition-key";
/// `x-opt-via-partition-key`
pub const VIA_PARTITION_KEY: &str = "x-opt-via-partition-key";
/// `x-opt-scheduled-enqueue-time`
pub const SCHEDULED_ENQUEUE_TIME: &str = "x-opt-scheduled-enqueue-time";
/// `x-opt-enqueued-time`
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// `x-opt-sequence-number`
pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
/// `x-opt-enqueue-sequence-number`
pub const ENQUEUED_SEQUENCE_NUMBER: &str = "x-opt-enqueue-sequence-number";
/// `x-opt-locked-until`
pub const LOCKED_UNTIL: &str = "x-opt-locked-until";
/// `x-opt-deadletter-source`
pub const DEAD_LETTER_SOURCE: &str = "x-opt-deadletter-source";
/// `x-opt-message-state`
pub const MESSAGE_STATE: &str = "x-opt-message-state";
/// `DeadLetterReason`
pub const DEAD_LETTER_REASON: &str = "DeadLetterReason";
/// `DeadLetterErrorDescription`
pub const DEAD_LETTER_ERROR_DESCRIPTION: &str = "DeadLetterErrorDescription";

/// `traceparent`: the W3C trace context, as an application property (docs/evidence/sdk-features.md §9)
pub const TRACEPARENT: &str = "traceparent";
/// `tracestate`
pub const TRACESTATE: &str = "tracestate";

/// Session ids, message ids and partition keys have this many characters at most (docs/evidence/wire-protocol.md §3.1).
pub const MAX_ID_LEN: usize = 128;

/// What a message carries.
#[derive(Clone, Copy, PartialEq)]
pub enum Body<'a> {
    /// No body section at all.
    Empty,
    /// One data section: what every SDK sends by default.
    Data(&'a [u8]),
    /// Several data sections.
    DataSections(&'a [&'a [u8]]),
    /// Sequence sections.
    Sequence(&'a [List<'a>]),
    /// One AMQP value.
    Value(Value<'a>),
    /// The body of a received message, section by section as it came.
    Encoded(&'a [u8]),
}

impl fmt::Debug for Body<'_> {
    /// What kind of body it is, and nothing of its content: that is the application's, and this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::DataSections(sections) => write!(f, "DataSections({})", sections.len()),
            Self::Sequence(sections) => write!(f, "Sequence({})", sections.len()),
            Self::Value(_) => f.write_str("Value"),
            Self::Encoded(sections) => write!(f, "Encoded({} bytes)", sections.len()),
        }
    }
}

/// A message to be sent. It borrows everything, so that it can be made without an allocator and is encoded without a
/// copy; fields that are `None` are not sent.
///
/// ```
/// use servicebus_core::servicebus::MessageRef;
/// use servicebus_core::wire::Value;
///
/// let properties = [("celsius", Value::Double(21.5))];
/// let message = MessageRef::new("reading").with_subject("temperature").with_application_properties(&properties);
/// assert_eq!(message.subject, Some("temperature"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// The body.
    pub body: Body<'a>,
    /// Identifies the message; duplicate detection goes by it. At most 128 characters.
    pub message_id: Option<&'a str>,
    /// The session; entities that require sessions refuse messages without. At most 128 characters.
    pub session_id: Option<&'a str>,
    /// Chooses the partition; equals `session_id` where both are set.
    pub partition_key: Option<&'a str>,
    /// Chooses the partition of the entity that a transaction goes through.
    pub transaction_partition_key: Option<&'a str>,
    /// The message this one answers.
    pub correlation_id: Option<&'a str>,
    /// What the message is about.
    pub subject: Option<&'a str>,
    /// Where the message is meant to go.
    pub to: Option<&'a str>,
    /// Where to send replies.
    pub reply_to: Option<&'a str>,
    /// The session that replies belong to.
    pub reply_to_session_id: Option<&'a str>,
    /// MIME type of the body.
    pub content_type: Option<&'a str>,
    /// MIME encoding of the body.
    pub content_encoding: Option<&'a str>,
    /// How long the message lives; the service cuts it to the entity's own limit. Sent in milliseconds.
    pub time_to_live: Option<Duration>,
    /// When the message becomes available.
    pub scheduled_enqueue_time: Option<Timestamp>,
    /// The application's own properties.
    pub application_properties: &'a [(&'a str, Value<'a>)],
    /// The W3C trace context that the message belongs to, sent as the application property `traceparent`.
    pub traceparent: Option<&'a str>,
    /// The vendors' part of the trace context, sent as `tracestate`.
    pub tracestate: Option<&'a str>,
    /// Message annotations beside those that have a field of their own.
    pub annotations: &'a [(&'a str, Value<'a>)],
    /// Delivery annotations.
    pub delivery_annotations: &'a [(&'a str, Value<'a>)],
    /// The footer.
    pub footer: &'a [(&'a str, Value<'a>)],
    /// Who made the message.
    pub user_id: Option<&'a [u8]>,
    /// Position in a group.
    pub group_sequence: Option<u32>,
    /// When the message was made.
    pub creation_time: Option<Timestamp>,
    /// When the message expires: for times to live beyond the 49 days that `time_to_live` can tell.
    pub absolute_expiry_time: Option<Timestamp>,
    /// AMQP's priority; stored and handed on, without effect on the order.
    pub priority: Option<u8>,
    /// AMQP's durable flag; stored and handed on.
    pub durable: Option<bool>,
    /// AMQP's first-acquirer flag; stored and handed on.
    pub first_acquirer: Option<bool>,
}

impl Default for MessageRef<'_> {
    fn default() -> Self {
        Self {
            body: Body::Empty,
            message_id: None,
            session_id: None,
            partition_key: None,
            transaction_partition_key: None,
            correlation_id: None,
            subject: None,
            to: None,
            reply_to: None,
            reply_to_session_id: None,
            content_type: None,
            content_encoding: None,
            time_to_live: None,
            scheduled_enqueue_time: None,
            application_properties: &[],
            traceparent: None,
            tracestate: None,
            annotations: &[],
            delivery_annotations: &[],
            footer: &[],
            user_id: None,
            group_sequence: None,
            creation_time: None,
            absolute_expiry_time: None,
            priority: None,
            durable: None,
            first_acquirer: None,
        }
    }
}

macro_rules! setters {
    ($( $(#[$meta:meta])* $name:ident, $field:ident: $type:ty; )*) => { $(
        $(#[$meta])*
        #[must_use]
        pub fn $name(mut self, $field: $type) -> Self {
            self.$field = Some($field);
            self
        }
    )* };
}

impl<'a> MessageRef<'a> {
    /// A message with one data section.
    pub fn new(body: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { body: Body::Data(body.as_ref()), ..Self::default() }
    }

    /// A message with a body of another kind.
    pub fn with_body(body: Body<'a>) -> Self {
        Self { body, ..Self::default() }
    }

    setters! {
        /// Sets [`MessageRef::message_id`].
        with_message_id, message_id: &'a str;
        /// Sets [`MessageRef::session_id`].
        with_session_id, session_id: &'a str;
        /// Sets [`MessageRef::partition_key`].
        with_partition_key, partition_key: &'a str;
        /// Sets [`MessageRef::correlation_id`].
        with_correlation_id, correlation_id: &'a str;
        /// Sets [`MessageRef::subject`].
        with_subject, subject: &'a str;
        /// Sets [`MessageRef::to`].
        with_to, to: &'a str;
        /// Sets [`MessageRef::reply_to`].
        with_reply_to, reply_to: &'a str;
        /// Sets [`MessageRef::reply_to_session_id`].
        with_reply_to_session_id, reply_to_session_id: &'a str;
        /// Sets [`MessageRef::content_type`].
        with_content_type, content_type: &'a str;
        /// Sets [`MessageRef::traceparent`].
        with_traceparent, traceparent: &'a str;
        /// Sets [`MessageRef::tracestate`].
        with_tracestate, tracestate: &'a str;
        /// Sets [`MessageRef::time_to_live`].
        with_time_to_live, time_to_live: Duration;
        /// Sets [`MessageRef::scheduled_enqueue_time`].
        with_scheduled_enqueue_time, scheduled_enqueue_time: Timestamp;
    }

    /// Sets [`MessageRef::application_properties`].
    #[must_use]
    pub fn with_application_properties(mut self, properties: &'a [(&'a str, Value<'a>)]) -> Self {
        self.application_properties = properties;
        self
    }

    /// Checks what the service would refuse, before it travels (docs/evidence/wire-protocol.md §3.1).
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        let ids = [
            (self.message_id, Argument::MessageId),
            (self.session_id, Argument::SessionId),
            (self.partition_key, Argument::PartitionKey),
            (self.reply_to_session_id, Argument::ReplyToSessionId),
        ];
        for (id, argument) in ids {
            if id.is_some_and(|id| id.chars().count() > MAX_ID_LEN) {
                return Err(InvalidMessage::TooLong(argument));
            }
        }
        match (self.session_id, self.partition_key) {
            (Some(session), Some(partition)) if session != partition => Err(InvalidMessage::PartitionKeyMismatch),
            _ => Ok(()),
        }
    }

    /// Appends a property of the trace context, unless the application has set it itself.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn put_trace(&self, map: &mut MapWriter<'_, '_>, key: &str, text: Option<&str>) {
        if let Some(text) = text
            && !self.application_properties.iter().any(|(set, _)| *set == key)
        {
            map.put(key, text);
        }
    }

    fn header(&self) -> Header {
        let ttl = self.time_to_live.map(|ttl| Millis::from(ttl).get());
        Header {
            durable: self.durable,
            priority: self.priority,
            ttl,
            first_acquirer: self.first_acquirer,
            delivery_count: None,
        }
    }

    fn has_header(&self) -> bool {
        self.durable.is_some()
            || self.priority.is_some()
            || self.time_to_live.is_some()
            || self.first_acquirer.is_some()
    }

    fn has_annotations(&self) -> bool {
        self.partition_key.is_some()
            || self.transaction_partition_key.is_some()
            || self.scheduled_enqueue_time.is_some()
            || !self.annotations.is_empty()
    }

    fn has_properties(&self) -> bool {
        self.message_id.is_some()
            || self.user_id.is_some()
            || self.to.is_some()
            || self.subject.is_some()
            || self.reply_to.is_some()
            || self.correlation_id.is_some()
            || self.content_type.is_some()
            || self.content_encoding.is_some()
            || self.absolute_expiry_time.is_some()
            || self.creation_time.is_some()
            || self.session_id.is_some()
            || self.group_sequence.is_some()
            || self.reply_to_session_id.is_some()
    }

    fn properties(&self) -> Properties<'a> {
        Properties {
            message_id: self.message_id.map(MessageId::String),
            user_id: self.user_id,
            to: self.to,
            subject: self.subject,
            reply_to: self.reply_to,
            correlation_id: self.correlation_id.map(MessageId::String),
            content_type: self.content_type.map(Symbol::new),
            content_encoding: self.content_encoding.map(Symbol::new),
            absolute_expiry_time: self.absolute_expiry_time,
            creation_time: self.creation_time,
            group_id: self.session_id,
            group_sequence: self.group_sequence,
            reply_to_group_id: self.reply_to_session_id,
        }
    }

    fn encode_annotations(&self, sink: &mut Sink<'_>) {
        put_section(sink, section::MESSAGE_ANNOTATIONS);
        let mut map = MapWriter::begin(sink);
        if let Some(key) = self.partition_key {
            map.put_symbol(PARTITION_KEY, key);
        }
        if let Some(key) = self.transaction_partition_key {
            map.put_symbol(VIA_PARTITION_KEY, key);
        }
        if let Some(time) = self.scheduled_enqueue_time {
            map.put_symbol(SCHEDULED_ENQUEUE_TIME, time);
        }
        put_annotations(map, self.annotations);
    }
}

/// A section with these annotations, or none.
fn encode_annotations(sink: &mut Sink<'_>, code: u8, annotations: &[(&str, Value<'_>)]) {
    if !annotations.is_empty() {
        put_section(sink, code);
        put_annotations(MapWriter::begin(sink), annotations);
    }
}

/// The rest of a map.
fn put_annotations(mut map: MapWriter<'_, '_>, annotations: &[(&str, Value<'_>)]) {
    for (key, value) in annotations {
        map.put_symbol(key, value);
    }
    map.end();
}

impl Encode for MessageRef<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        if self.has_header() {
            self.header().encode(sink);
        }
        encode_annotations(sink, section::DELIVERY_ANNOTATIONS, self.delivery_annotations);
        if self.has_annotations() {
            self.encode_annotations(sink);
        }
        if self.has_properties() {
            self.properties().encode(sink);
        }
        if !self.application_properties.is_empty() || self.traceparent.is_some() || self.tracestate.is_some() {
            put_section(sink, section::APPLICATION_PROPERTIES);
            let mut map = MapWriter::begin(sink);
            map.put_all(self.application_properties);
            self.put_trace(&mut map, TRACEPARENT, self.traceparent);
            self.put_trace(&mut map, TRACESTATE, self.tracestate);
            map.end();
        }
        match self.body {
            Body::Empty => {}
            Body::Data(data) => encode_data(sink, data),
            Body::DataSections(sections) => {
                for data in sections {
                    encode_data(sink, data);
                }
            }
            Body::Sequence(lists) => {
                for list in lists {
                    put_section(sink, section::AMQP_SEQUENCE);
                    list.encode(sink);
                }
            }
            Body::Value(value) => {
                put_section(sink, section::AMQP_VALUE);
                value.encode(sink);
            }
            Body::Encoded(sections) => sink.put(sections),
        }
        encode_annotations(sink, section::FOOTER, self.footer);
    }
}

/// A data section. Its head is written in one piece: this is what nearly every message consists of.
fn encode_data(sink: &mut Sink<'_>, data: &[u8]) {
    match u8::try_from(data.len()) {
        Ok(len) => sink.put(&[0x00, 0x53, section::DATA, 0xa0, len]),
        Err(_) => {
            let [a, b, c, d] = sink.size(data.len());
            sink.put(&[0x00, 0x53, section::DATA, 0xb0, a, b, c, d]);
        }
    }
    sink.put(data);
}

/// A message that the service would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The named field has more than 128 characters.
    TooLong(Argument),
    /// Session id and partition key are both set and differ.
    PartitionKeyMismatch,
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(argument) => f.write_str(argument.words()),
            Self::PartitionKeyMismatch => f.write_str(Argument::PartitionKeyMismatch.words()),
        }
    }
}

impl core::error::Error for InvalidMessage {}

/// Why a message was not added to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The batch has no room for it; it fits into an empty one.
    Full,
    /// No batch on this link can hold it: its size with the envelope, and the limit, in bytes.
    TooLarge {
        /// The batch's size with this message alone.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The message is not valid.
    Invalid(InvalidMessage),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the batch is full"),
            Self::TooLarge { size, limit } => {
                write!(f, "a batch of this message alone takes {size} bytes; the limit is {limit}")
            }
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BatchError {}

/// More messages than this are refused by the service (docs/evidence/pinned-behaviour.md SND21).
pub const MAX_BATCH_COUNT: usize = 4_500;

/// Messages that travel, and are stored, together. Its size is exact: it is the encoded batch itself.
pub struct MessageBatch<S: Storage> {
    encoded: S::Encoder,
    count: usize,
    limit: usize,
}

impl<S: Storage> fmt::Debug for MessageBatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageBatch({} messages, {} of {} bytes)", self.count, self.size_in_bytes(), self.limit)
    }
}

impl<S: Storage> MessageBatch<S> {
    /// An empty batch of up to `limit` encoded bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { encoded: S::Encoder::default(), count: 0, limit }
    }

    /// Adds a message. The first one lends its message id, session id and partition key to the envelope, as the
    /// official SDKs do (docs/evidence/wire-protocol.md §3.3).
    ///
    /// # Errors
    /// [`BatchError`]; the batch is unchanged then.
    pub fn try_add(&mut self, message: &MessageRef<'_>) -> Result<(), BatchError> {
        message.validate().map_err(BatchError::Invalid)?;
        let start = self.encoded.len();
        let size = measure(message);
        let result = self.append(message, size);
        let end = self.encoded.len();
        if result.is_ok() && end <= self.limit && self.count < MAX_BATCH_COUNT {
            self.count += 1;
            return Ok(());
        }
        self.encoded.truncate(start);
        let alone = measure(&Envelope(message)) + section_size(size);
        if self.count == 0 || alone > self.limit {
            return Err(BatchError::TooLarge { size: alone, limit: self.limit });
        }
        Err(BatchError::Full)
    }

    fn append(&mut self, message: &MessageRef<'_>, size: usize) -> Result<(), Full> {
        if self.count == 0 {
            self.encoded.append(&Envelope(message))?;
        }
        self.encoded.append(&Enclosed { message, size })
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded size so far.
    pub fn size_in_bytes(&self) -> usize {
        self.encoded.len()
    }

    /// The largest encoded size.
    pub fn max_size_in_bytes(&self) -> usize {
        self.limit
    }

    /// The batch as it is sent.
    pub(crate) fn seal(self) -> SealedBatch<S> {
        SealedBatch { payload: self.encoded.finish(), count: self.count, limit: self.limit }
    }
}

/// A batch that is being sent.
pub(crate) struct SealedBatch<S: Storage> {
    payload: S::Payload,
    count: usize,
    limit: usize,
}

impl<S: Storage> SealedBatch<S> {
    pub(crate) fn payload(&self) -> &S::Payload {
        &self.payload
    }

    /// The batch, to be added to or sent again.
    pub(crate) fn unseal(self) -> MessageBatch<S> {
        MessageBatch { encoded: S::Encoder::resume(self.payload), count: self.count, limit: self.limit }
    }
}

/// A data section around `size` bytes.
fn section_size(size: usize) -> usize {
    size + if size < 256 { 5 } else { 8 }
}

/// What a batch carries besides its messages.
struct Envelope<'m, 'a>(&'m MessageRef<'a>);

impl Encode for Envelope<'_, '_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let Self(first) = self;
        let envelope = MessageRef {
            body: Body::Empty,
            message_id: first.message_id,
            session_id: first.session_id,
            partition_key: first.partition_key,
            ..MessageRef::default()
        };
        envelope.encode(sink);
    }
}

/// A message as a data section of a batch.
struct Enclosed<'m, 'a> {
    message: &'m MessageRef<'a>,
    size: usize,
}

impl Encode for Enclosed<'_, '_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        put_section(sink, section::DATA);
        put_binary_head(sink, self.size);
        self.message.encode(sink);
    }
}
