//! A message to be sent, as Service Bus knows it.
// docs/evidence/wire-protocol.md §3.1

use super::argument::{Argument, is_longer};
use super::body::Body;
use super::entries::Entries;
use super::key::{PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, TRACEPARENT, TRACESTATE, VIA_PARTITION_KEY};
use super::property::{MAX_HEADER, MAX_PROPERTY};
use crate::storage::Storage;
use crate::time::{Duration, Millis, Timestamp};
use crate::wire::message::section;
use crate::wire::messaging::{Header, MessageId, Properties, put_section};
use crate::wire::{Encode, MapWriter, Sink, Symbol, Value, measure};
use core::fmt;
use core::ops::Range;

/// Session ids, message ids and partition keys have this many characters at most.
// docs/evidence/wire-protocol.md §3.1
pub(crate) const MAX_ID_LEN: usize = 128;

/// The last expiry time that the service takes.
// docs/evidence/wire-protocol.md §3.1
const LAST_EXPIRY: Timestamp = Timestamp::from_millis(253_402_243_199_000);

/// The times that the service can tell.
const CALENDAR: Range<Timestamp> = Timestamp::DOTNET_MIN..Timestamp::DOTNET_MAX;

/// A message to be sent that borrows everything: it is made without an allocator and encoded without a copy. Fields
/// that are `None` are not sent.
///
/// ```
/// use servicebus_core::servicebus::MessageRef;
///
/// let message = MessageRef::new("reading").with_subject("temperature");
/// let properties = [("celsius", 21.5.into())];
/// let message = message.with_properties(&properties);
/// assert_eq!(message.subject, Some("temperature"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MessageRef<'a> {
    /// The body.
    pub body: Body<'a>,
    /// Identifies the message; duplicate detection goes by it. At most 128 characters.
    pub message_id: Option<MessageId<'a>>,
    /// The session; entities that require sessions refuse messages without. At most 128 characters.
    pub session_id: Option<&'a str>,
    /// Chooses the partition; equals `session_id` where both are set.
    pub partition_key: Option<&'a str>,
    /// Chooses the partition of the entity that a transaction goes through.
    pub transaction_partition_key: Option<&'a str>,
    /// The message this one answers.
    pub correlation_id: Option<MessageId<'a>>,
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
    /// How long the message lives from its enqueueing on; the service cuts it to the entity's own limit. Sent in
    /// milliseconds, and beyond 49 days by the times of creation and expiry, which the sender adds.
    pub time_to_live: Option<Duration>,
    /// When the message becomes available.
    pub scheduled_enqueue_time: Option<Timestamp>,
    /// The application's own properties.
    pub properties: Entries<'a>,
    /// The W3C trace context that the message belongs to, sent as the application property `traceparent`.
    pub traceparent: Option<&'a str>,
    /// The vendors' part of the trace context, sent as `tracestate`.
    pub tracestate: Option<&'a str>,
    /// Message annotations beside those that have a field of their own.
    pub annotations: Entries<'a>,
    /// Delivery annotations.
    pub delivery_annotations: Entries<'a>,
    /// The footer.
    pub footer: Entries<'a>,
    /// Who made the message.
    pub user_id: Option<&'a [u8]>,
    /// Position in a group.
    pub group_sequence: Option<u32>,
    /// When the message was made.
    pub creation_time: Option<Timestamp>,
    /// When the message expires. Without `time_to_live` it is stored and handed on, without effect.
    pub absolute_expiry_time: Option<Timestamp>,
    /// AMQP's priority; stored and handed on, without effect on the order.
    pub priority: Option<u8>,
    /// AMQP's durable flag; stored and handed on.
    pub durable: Option<bool>,
    /// AMQP's first-acquirer flag; stored and handed on.
    pub first_acquirer: Option<bool>,
}

macro_rules! setters {
    ($( $name:ident, $field:ident: $type:ty $(, $converted:ident)? = $example:literal => $found:literal; )*) => { $(
        #[doc = concat!("Sets [`MessageRef::", stringify!($field), "`].")]
        ///
        /// # Examples
        ///
        /// ```
        /// # use core::time::Duration;
        /// # use servicebus_core::servicebus::MessageRef;
        /// # use servicebus_core::time::Timestamp;
        #[doc = concat!("let order = MessageRef::new(\"two of the blue ones\").", stringify!($name), "(", $example, ");")]
        #[doc = concat!("assert_eq!(order.", stringify!($field), ", Some(", $found, "));")]
        /// ```
        #[must_use]
        pub fn $name(mut self, $field: $type) -> Self {
            self.$field = Some($field$(.$converted())?);
            self
        }
    )* };
}

macro_rules! entry_setters {
    ($( $name:ident, $field:ident, such as $example:literal; )*) => { $(
        #[doc = concat!("Sets [`MessageRef::", stringify!($field), "`], all of them at once.")]
        ///
        /// # Examples
        ///
        /// ```
        /// # use servicebus_core::servicebus::MessageRef;
        #[doc = concat!("let entries = [(\"", $example, "\", 3.into())];")]
        #[doc = concat!("let order = MessageRef::new(\"two of the blue ones\").", stringify!($name), "(&entries);")]
        #[doc = concat!("assert_eq!(order.", stringify!($field), ".get(\"", $example, "\"), Some(3.into()));")]
        /// ```
        #[must_use]
        pub fn $name(mut self, $field: &'a [(&'a str, Value<'a>)]) -> Self {
            self.$field = $field.into();
            self
        }
    )* };
}

impl<'a> MessageRef<'a> {
    /// A message with one data section: bytes, or text in UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Body, MessageRef};
    /// assert_eq!(MessageRef::new("two of the blue ones").body, Body::Data(b"two of the blue ones"));
    /// ```
    pub fn new(body: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::from_body(Body::Data(body.as_ref()))
    }

    /// A message with a body of any kind.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Body, MessageRef};
    /// let reading = MessageRef::from_body(Body::Value(21.5.into()));
    /// assert_eq!(reading.body, Body::Value(21.5.into()));
    /// ```
    pub fn from_body(body: Body<'a>) -> Self {
        Self { body, ..Self::default() }
    }

    setters! {
        with_message_id, message_id: impl Into<MessageId<'a>>, into = "\"order-7\"" => "\"order-7\".into()";
        with_session_id, session_id: &'a str = "\"contoso\"" => "\"contoso\"";
        with_partition_key, partition_key: &'a str = "\"emea\"" => "\"emea\"";
        with_transaction_partition_key, transaction_partition_key: &'a str = "\"emea\"" => "\"emea\"";
        with_correlation_id, correlation_id: impl Into<MessageId<'a>>, into = "\"offer-3\"" => "\"offer-3\".into()";
        with_subject, subject: &'a str = "\"order\"" => "\"order\"";
        with_to, to: &'a str = "\"warehouse\"" => "\"warehouse\"";
        with_reply_to, reply_to: &'a str = "\"answers\"" => "\"answers\"";
        with_reply_to_session_id, reply_to_session_id: &'a str = "\"contoso\"" => "\"contoso\"";
        with_content_type, content_type: &'a str = "\"text/plain\"" => "\"text/plain\"";
        with_content_encoding, content_encoding: &'a str = "\"gzip\"" => "\"gzip\"";
        with_traceparent, traceparent: &'a str
            = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\""
            => "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
        with_tracestate, tracestate: &'a str = "\"contoso=7\"" => "\"contoso=7\"";
        with_time_to_live, time_to_live: Duration = "Duration::from_secs(3_600)" => "Duration::from_secs(3_600)";
        with_scheduled_enqueue_time, scheduled_enqueue_time: Timestamp
            = "Timestamp::from_secs(1_800_000_000)"
            => "Timestamp::from_secs(1_800_000_000)";
        with_user_id, user_id: &'a [u8] = "b\"alice\"" => "&b\"alice\"[..]";
        with_group_sequence, group_sequence: u32 = "7" => "7";
        with_creation_time, creation_time: Timestamp
            = "Timestamp::from_secs(1_800_000_000)"
            => "Timestamp::from_secs(1_800_000_000)";
        with_absolute_expiry_time, absolute_expiry_time: Timestamp
            = "Timestamp::from_secs(1_800_003_600)"
            => "Timestamp::from_secs(1_800_003_600)";
        with_priority, priority: u8 = "9" => "9";
        with_durable, durable: bool = "true" => "true";
        with_first_acquirer, first_acquirer: bool = "true" => "true";
    }

    entry_setters! {
        with_properties, properties, such as "priority";
        with_annotations, annotations, such as "shop";
        with_delivery_annotations, delivery_annotations, such as "hop";
        with_footer, footer, such as "checksum";
    }

    /// Checks what the service would refuse, before it travels. A send checks the sizes of properties besides, when the
    /// message is encoded.
    ///
    /// # Errors
    /// The field that is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Argument, InvalidMessage, MessageRef};
    /// let id = "x".repeat(200);
    /// let order = MessageRef::new("two of the blue ones").with_message_id(id.as_str());
    /// assert_eq!(order.validate(), Err(InvalidMessage::TooLong(Argument::MessageId)));
    /// ```
    // docs/evidence/wire-protocol.md §3.1
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        self.validate_ids()?;
        if self.transaction_partition_key.is_some_and(|key| is_longer(key, MAX_ID_LEN)) {
            return Err(InvalidMessage::TooLong(Argument::TransactionPartitionKey));
        }
        if self.time_to_live.is_some_and(|life| life < Duration::from_millis(1)) {
            return Err(InvalidMessage::TimeToLive);
        }
        if self.scheduled_enqueue_time.is_some_and(|at| !CALENDAR.contains(&at)) {
            return Err(InvalidMessage::ScheduledEnqueueTime);
        }
        Ok(())
    }

    /// The check before a send. In fixed storage, which has no room for more code in every send, that of the ids.
    pub(crate) fn validate_for<S: Storage>(&self) -> Result<(), InvalidMessage> {
        if S::CHECKS { self.validate() } else { self.validate_ids() }
    }

    /// Checks the sizes of the properties of a message that is encoded in so many bytes, where the storage checks. One
    /// that is no larger than a property may be is not read again.
    #[inline]
    pub(crate) fn validate_sizes<S: Storage>(&self, encoded: usize) -> Result<(), InvalidMessage> {
        if S::CHECKS && encoded > MAX_PROPERTY { self.validate_large(encoded) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn validate_large(&self, encoded: usize) -> Result<(), InvalidMessage> {
        let header = encoded.saturating_sub(measure(&self.body));
        if header <= MAX_PROPERTY {
            return Ok(());
        }
        let trace = [self.traceparent, self.tracestate];
        if self.properties.has_too_long() || trace.into_iter().flatten().any(|text| text.len() > MAX_PROPERTY) {
            return Err(InvalidMessage::PropertyTooLarge);
        }
        if header > MAX_HEADER { Err(InvalidMessage::HeaderTooLarge) } else { Ok(()) }
    }

    fn validate_ids(&self) -> Result<(), InvalidMessage> {
        let ids = [
            (self.message_id.and_then(|id| id.as_str()), Argument::MessageId),
            (self.session_id, Argument::SessionId),
            (self.partition_key, Argument::PartitionKey),
            (self.reply_to_session_id, Argument::ReplyToSessionId),
        ];
        for (id, argument) in ids {
            if id.is_some_and(|id| is_longer(id, MAX_ID_LEN)) {
                return Err(InvalidMessage::TooLong(argument));
            }
        }
        if matches!(self.message_id, Some(MessageId::Binary(id)) if id.len() > MAX_ID_LEN) {
            return Err(InvalidMessage::TooLong(Argument::MessageId));
        }
        match (self.session_id, self.partition_key) {
            (Some(session), Some(partition)) if session != partition => Err(InvalidMessage::PartitionKeyMismatch),
            _ => Ok(()),
        }
    }

    /// Whether it lives longer than the header can tell, which has room for 49 days of milliseconds.
    pub(crate) fn needs_expiry(&self) -> bool {
        const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);
        self.absolute_expiry_time.is_none() && self.time_to_live.is_some_and(|life| life > LONGEST)
    }

    /// Adds the times of creation and expiry if the header cannot tell how long it lives. The service takes the
    /// difference of the two, so that no clock has to be right.
    // docs/evidence/service-evidence.md §10
    #[inline(never)]
    pub(crate) fn set_expiry(&mut self, utc: Timestamp) {
        if let Some(life) = self.time_to_live.filter(|_| self.needs_expiry()) {
            let created = *self.creation_time.get_or_insert(utc);
            self.absolute_expiry_time = Some((created + life).min(LAST_EXPIRY));
        }
    }

    /// Appends a property of the trace context, unless the application has set it itself.
    #[inline(never)]
    fn put_trace(&self, map: &mut MapWriter<'_, '_>, key: &str, text: Option<&str>) {
        if let Some(text) = text
            && self.properties.get(key).is_none()
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

    fn has_properties_section(&self) -> bool {
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

    fn properties_section(&self) -> Properties<'a> {
        Properties {
            message_id: self.message_id,
            user_id: self.user_id,
            to: self.to,
            subject: self.subject,
            reply_to: self.reply_to,
            correlation_id: self.correlation_id,
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
        self.annotations.put_annotations(&mut map);
        map.end();
    }
}

/// A section with these annotations, or none.
fn encode_annotations(sink: &mut Sink<'_>, code: u8, annotations: &Entries<'_>) {
    if !annotations.is_empty() {
        put_section(sink, code);
        let mut map = MapWriter::begin(sink);
        annotations.put_annotations(&mut map);
        map.end();
    }
}

impl Encode for MessageRef<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        if self.has_header() {
            self.header().encode(sink);
        }
        encode_annotations(sink, section::DELIVERY_ANNOTATIONS, &self.delivery_annotations);
        if self.has_annotations() {
            self.encode_annotations(sink);
        }
        if self.has_properties_section() {
            self.properties_section().encode(sink);
        }
        if !self.properties.is_empty() || self.traceparent.is_some() || self.tracestate.is_some() {
            put_section(sink, section::APPLICATION_PROPERTIES);
            let mut map = MapWriter::begin(sink);
            self.properties.put_properties(&mut map);
            self.put_trace(&mut map, TRACEPARENT, self.traceparent);
            self.put_trace(&mut map, TRACESTATE, self.tracestate);
            map.end();
        }
        self.body.encode(sink);
        encode_annotations(sink, section::FOOTER, &self.footer);
    }
}

/// A message that the service would refuse.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{InvalidMessage, MessageRef};
///
/// let order = MessageRef::new("two of the blue ones").with_session_id("contoso").with_partition_key("emea");
/// match order.validate() {
///     Err(InvalidMessage::TooLong(argument)) => println!("{}", argument.words()),
///     Err(InvalidMessage::PartitionKeyMismatch) => println!("the session decides the partition"),
///     other => other?,
/// }
/// # Ok::<(), InvalidMessage>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The named field has more than 128 characters.
    TooLong(Argument),
    /// Session id and partition key are both set and differ.
    PartitionKeyMismatch,
    /// It lives for less than a millisecond, which is what the service counts in: it would be gone at once.
    TimeToLive,
    /// The time to enqueue at is outside the years 1 to 9999, which are all that the service's calendar has.
    ScheduledEnqueueTime,
    /// The name or the value of an application property has more than 32 KiB. The service's documents say so, and it was
    /// seen to refuse a value of 32,786 bytes; where between the two its limit is, is not known.
    PropertyTooLarge,
    /// All but the body takes more than 64 KiB. The service's documents say so, and errors that it sent name 65,536
    /// bytes. It counts in an encoding of its own and adds what it sets itself, so that it may refuse a little less.
    HeaderTooLarge,
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(argument) => f.write_str(argument.words()),
            Self::PartitionKeyMismatch => f.write_str(Argument::PartitionKeyMismatch.words()),
            Self::TimeToLive => f.write_str(Argument::TimeToLive.words()),
            Self::ScheduledEnqueueTime => f.write_str(Argument::ScheduledEnqueueTime.words()),
            Self::PropertyTooLarge => f.write_str(Argument::ApplicationProperty.words()),
            Self::HeaderTooLarge => f.write_str(Argument::MessageHeader.words()),
        }
    }
}

impl core::error::Error for InvalidMessage {}
