//! A message to be sent that owns its parts.

use super::as_message::AsMessage;
use super::body::Body;
use super::encoded_entries::EncodedEntries;
use super::key::{TRACEPARENT, TRACESTATE};
use super::message::MessageRef;
use crate::time::{Duration, Timestamp};
use crate::wire::messaging::MessageId;
use crate::wire::{Uuid, Value, to_vec};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// What the body of a [`Message`] is made from: bytes, or text in UTF-8. Owned ones are taken without a copy.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Message, MessageBody};
///
/// fn order(body: impl Into<MessageBody>) -> Message {
///     Message::new(body).with_subject("order")
/// }
/// order("two of the blue ones");
/// order(vec![0x02, 0xb1]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MessageBody(Bytes);

impl fmt::Debug for MessageBody {
    /// The size alone: the content is the application's, and this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageBody({} bytes)", self.0.len())
    }
}

macro_rules! body_from {
    ($([$($generics:tt)*] $type:ty, |$body:ident| $bytes:expr;)*) => { $(
        impl<$($generics)*> From<$type> for MessageBody {
            fn from($body: $type) -> Self {
                Self($bytes)
            }
        }
    )* };
}

body_from! {
    [] Bytes, |body| body;
    [] Vec<u8>, |body| body.into();
    [] Box<[u8]>, |body| body.into();
    [] String, |body| body.into();
    [] Box<str>, |body| String::from(body).into();
    [] &[u8], |body| Bytes::copy_from_slice(body);
    [] &Vec<u8>, |body| Bytes::copy_from_slice(body);
    [] &str, |body| Bytes::copy_from_slice(body.as_bytes());
    [] &String, |body| Bytes::copy_from_slice(body.as_bytes());
    [const N: usize] [u8; N], |body| Bytes::copy_from_slice(&body);
    [const N: usize] &[u8; N], |body| Bytes::copy_from_slice(body);
    [] Cow<'_, str>, |body| body.into_owned().into();
    [] Cow<'_, [u8]>, |body| body.into_owned().into();
}

/// A message or correlation id that owns its bytes.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{AsMessage, Message, MessageIdBuf};
///
/// let id = MessageIdBuf::from("order-7");
/// let order = Message::new("two of the blue ones").with_message_id(id.clone());
/// assert_eq!(order.as_message().message_id, Some(id.as_message_id()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageIdBuf {
    /// A number.
    Ulong(u64),
    /// A UUID.
    Uuid(Uuid),
    /// Bytes.
    Binary(Vec<u8>),
    /// Text: what every SDK sends.
    String(String),
}

impl MessageIdBuf {
    /// The id, borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::MessageIdBuf;
    /// assert_eq!(MessageIdBuf::from("order-7").as_message_id(), "order-7");
    /// ```
    pub fn as_message_id(&self) -> MessageId<'_> {
        match self {
            Self::Ulong(number) => MessageId::Ulong(*number),
            Self::Uuid(uuid) => MessageId::Uuid(*uuid),
            Self::Binary(bytes) => MessageId::Binary(bytes),
            Self::String(text) => MessageId::String(text),
        }
    }
}

impl fmt::Display for MessageIdBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message_id().fmt(f)
    }
}

impl From<MessageId<'_>> for MessageIdBuf {
    fn from(id: MessageId<'_>) -> Self {
        match id {
            MessageId::Ulong(number) => Self::Ulong(number),
            MessageId::Uuid(uuid) => Self::Uuid(uuid),
            MessageId::Binary(bytes) => Self::Binary(bytes.into()),
            MessageId::String(text) => Self::String(text.into()),
        }
    }
}

macro_rules! id_from {
    ($($type:ty => $variant:ident),* $(,)?) => { $(
        impl From<$type> for MessageIdBuf {
            fn from(id: $type) -> Self {
                Self::$variant(id.into())
            }
        }
    )* };
}

id_from! { u64 => Ulong, Uuid => Uuid, Vec<u8> => Binary, &[u8] => Binary, String => String, &str => String, &String => String }

#[cfg(feature = "uuid")]
impl From<uuid::Uuid> for MessageIdBuf {
    fn from(id: uuid::Uuid) -> Self {
        Self::Uuid(id.into())
    }
}

/// The encoded body.
#[derive(Clone, PartialEq)]
enum Content {
    /// The bytes of the one data section.
    Data(Bytes),
    /// Any number of sections, each behind its descriptor.
    Sections(Bytes),
}

/// A message to be sent. It owns its parts, so that it can be kept, cloned and moved to other tasks.
///
/// It is made from bytes or text, or with [`Message::json`] from a serializable value, and sent by reference:
///
/// ```
/// use servicebus_core::servicebus::{AsMessage, Message};
///
/// let message = Message::new("an order").with_message_id("42").with_property("priority", 3);
/// let urgent = message.with_property("priority", 4); // replaces the value
/// assert_eq!(urgent.as_message().properties.get("priority"), Some(4.into()));
/// ```
///
/// Its application properties are kept encoded: borrowing it for a send neither allocates nor walks them. Setting one
/// looks through those that are set.
#[derive(Clone, PartialEq)]
pub struct Message {
    body: Content,
    message_id: Option<MessageIdBuf>,
    correlation_id: Option<MessageIdBuf>,
    session_id: Option<String>,
    partition_key: Option<String>,
    transaction_partition_key: Option<String>,
    subject: Option<String>,
    to: Option<String>,
    reply_to: Option<String>,
    reply_to_session_id: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    user_id: Option<Vec<u8>>,
    properties: EncodedEntries,
    annotations: EncodedEntries,
    delivery_annotations: EncodedEntries,
    footer: EncodedEntries,
    time_to_live: Option<Duration>,
    scheduled_enqueue_time: Option<Timestamp>,
    creation_time: Option<Timestamp>,
    absolute_expiry_time: Option<Timestamp>,
    group_sequence: Option<u32>,
    priority: Option<u8>,
    durable: Option<bool>,
    first_acquirer: Option<bool>,
}

impl Default for Message {
    /// A message without a body section.
    fn default() -> Self {
        Self {
            body: Content::Sections(Bytes::new()),
            message_id: None,
            correlation_id: None,
            session_id: None,
            partition_key: None,
            transaction_partition_key: None,
            subject: None,
            to: None,
            reply_to: None,
            reply_to_session_id: None,
            content_type: None,
            content_encoding: None,
            user_id: None,
            properties: EncodedEntries::default(),
            annotations: EncodedEntries::default(),
            delivery_annotations: EncodedEntries::default(),
            footer: EncodedEntries::default(),
            time_to_live: None,
            scheduled_enqueue_time: None,
            creation_time: None,
            absolute_expiry_time: None,
            group_sequence: None,
            priority: None,
            durable: None,
            first_acquirer: None,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message().fmt(f)
    }
}

macro_rules! setters {
    ($( $name:ident, $field:ident: $type:ty $(, $converted:ident)? = $example:literal => $found:literal; )*) => { $(
        #[doc = concat!("Sets [`MessageRef::", stringify!($field), "`].")]
        ///
        /// # Examples
        ///
        /// ```
        /// # use core::time::Duration;
        /// # use servicebus_core::servicebus::{AsMessage, Message};
        /// # use servicebus_core::time::Timestamp;
        #[doc = concat!("let order = Message::new(\"two of the blue ones\").", stringify!($name), "(", $example, ");")]
        #[doc = concat!("assert_eq!(order.as_message().", stringify!($field), ", Some(", $found, "));")]
        /// ```
        #[must_use]
        pub fn $name(mut self, $field: $type) -> Self {
            self.$field = Some($field$(.$converted())?);
            self
        }
    )* };
}

impl Message {
    /// A message with one data section: bytes, or text in UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Body, Message};
    /// let order = Message::new(format!("{} of the blue ones", 2));
    /// assert_eq!(order.as_message().body, Body::Data(b"2 of the blue ones"));
    /// ```
    pub fn new(body: impl Into<MessageBody>) -> Self {
        Self { body: Content::Data(body.into().0), ..Self::default() }
    }

    /// A message with a body of any kind.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Body;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::from_body(Body::Value(21.5.into()))).await?;
    /// let reading = receiver.next().await?;
    /// assert_eq!(reading.body()?, servicebus_core::wire::message::Body::Value(21.5.into()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn from_body(body: Body<'_>) -> Self {
        let body = match body {
            Body::Data(data) => Content::Data(Bytes::copy_from_slice(data)),
            body => Content::Sections(to_vec(&body).into()),
        };
        Self { body, ..Self::default() }
    }

    /// A message whose body is `value` as JSON, with that content type.
    ///
    /// # Errors
    /// A value that cannot be serialized.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Order {
    ///     item: String,
    ///     count: u32,
    /// }
    ///
    /// sender.send(&Message::json(&Order { item: "blue".into(), count: 2 })?).await?;
    /// let order: Order = receiver.next().await?.json()?;
    /// assert_eq!(order.count, 2);
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "serde")]
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        Ok(Self::new(serde_json::to_vec(value)?).with_content_type("application/json"))
    }

    /// The same message with the sections of a body that another message holds already.
    pub(super) fn with_sections(mut self, sections: Bytes) -> Self {
        self.body = Content::Sections(sections);
        self
    }

    setters! {
        with_message_id, message_id: impl Into<MessageIdBuf>, into = "\"order-7\"" => "\"order-7\".into()";
        with_session_id, session_id: impl Into<String>, into = "\"contoso\"" => "\"contoso\"";
        with_partition_key, partition_key: impl Into<String>, into = "\"emea\"" => "\"emea\"";
        with_transaction_partition_key, transaction_partition_key: impl Into<String>, into = "\"emea\"" => "\"emea\"";
        with_correlation_id, correlation_id: impl Into<MessageIdBuf>, into = "\"offer-3\"" => "\"offer-3\".into()";
        with_subject, subject: impl Into<String>, into = "\"order\"" => "\"order\"";
        with_to, to: impl Into<String>, into = "\"warehouse\"" => "\"warehouse\"";
        with_reply_to, reply_to: impl Into<String>, into = "\"answers\"" => "\"answers\"";
        with_reply_to_session_id, reply_to_session_id: impl Into<String>, into = "\"contoso\"" => "\"contoso\"";
        with_content_type, content_type: impl Into<String>, into = "\"text/plain\"" => "\"text/plain\"";
        with_content_encoding, content_encoding: impl Into<String>, into = "\"gzip\"" => "\"gzip\"";
        with_time_to_live, time_to_live: Duration = "Duration::from_secs(3_600)" => "Duration::from_secs(3_600)";
        with_scheduled_enqueue_time, scheduled_enqueue_time: Timestamp
            = "Timestamp::from_secs(1_800_000_000)"
            => "Timestamp::from_secs(1_800_000_000)";
        with_user_id, user_id: impl Into<Vec<u8>>, into = "b\"alice\"" => "&b\"alice\"[..]";
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

    /// Sets one of the application's own properties; one with the same name is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_property("priority", 3)).await?;
    /// assert_eq!(receiver.next().await?.property("priority"), Some(3.into()));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_property<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.properties.set(Value::String(name), value.into());
        self
    }

    /// Sets several of the application's own properties; those with the same names are replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Message};
    /// let order = Message::new("two of the blue ones")
    ///     .with_properties(&[("priority", 3.into()), ("customer", "contoso".into())]);
    /// assert_eq!(order.as_message().properties.get("customer"), Some("contoso".into()));
    /// ```
    #[must_use]
    pub fn with_properties(self, properties: &[(&str, Value<'_>)]) -> Self {
        properties.iter().fold(self, |message, (name, value)| message.with_property(name, *value))
    }

    /// Sets the W3C trace context that the message belongs to: the application property `traceparent`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// sender.send(&Message::new("two of the blue ones").with_traceparent(context)).await?;
    /// assert_eq!(receiver.next().await?.traceparent(), Some(context));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_traceparent(self, traceparent: &str) -> Self {
        self.with_property(TRACEPARENT, traceparent)
    }

    /// Sets the vendors' part of the trace context: the application property `tracestate`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_tracestate("contoso=7")).await?;
    /// assert_eq!(receiver.next().await?.tracestate(), Some("contoso=7"));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_tracestate(self, tracestate: &str) -> Self {
        self.with_property(TRACESTATE, tracestate)
    }

    /// Sets a message annotation beside those that have a setter of their own; one with the same name is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_annotation("x-opt-shop", "berlin")).await?;
    /// assert_eq!(receiver.next().await?.annotation("x-opt-shop"), Some("berlin".into()));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_annotation<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.annotations.set(Value::symbol(name), value.into());
        self
    }

    /// Sets a delivery annotation; one with the same name is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Message};
    /// let order = Message::new("two of the blue ones").with_delivery_annotation("x-opt-hop", 1);
    /// assert_eq!(order.as_message().delivery_annotations.get("x-opt-hop"), Some(1.into()));
    /// ```
    #[must_use]
    pub fn with_delivery_annotation<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.delivery_annotations.set(Value::symbol(name), value.into());
        self
    }

    /// Sets an entry of the footer; one with the same name is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_footer("x-opt-checksum", 0x2ab7)).await?;
    /// assert_eq!(receiver.next().await?.footer("x-opt-checksum"), Some(0x2ab7.into()));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_footer<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.footer.set(Value::symbol(name), value.into());
        self
    }
}

impl AsMessage for Message {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef {
            body: match &self.body {
                Content::Data(data) => Body::Data(data),
                Content::Sections(sections) => Body::Encoded(sections),
            },
            message_id: self.message_id.as_ref().map(MessageIdBuf::as_message_id),
            session_id: self.session_id.as_deref(),
            partition_key: self.partition_key.as_deref(),
            transaction_partition_key: self.transaction_partition_key.as_deref(),
            correlation_id: self.correlation_id.as_ref().map(MessageIdBuf::as_message_id),
            subject: self.subject.as_deref(),
            to: self.to.as_deref(),
            reply_to: self.reply_to.as_deref(),
            reply_to_session_id: self.reply_to_session_id.as_deref(),
            content_type: self.content_type.as_deref(),
            content_encoding: self.content_encoding.as_deref(),
            time_to_live: self.time_to_live,
            scheduled_enqueue_time: self.scheduled_enqueue_time,
            properties: self.properties.as_entries(),
            traceparent: None,
            tracestate: None,
            annotations: self.annotations.as_entries(),
            delivery_annotations: self.delivery_annotations.as_entries(),
            footer: self.footer.as_entries(),
            user_id: self.user_id.as_deref(),
            group_sequence: self.group_sequence,
            creation_time: self.creation_time,
            absolute_expiry_time: self.absolute_expiry_time,
            priority: self.priority,
            durable: self.durable,
            first_acquirer: self.first_acquirer,
        }
    }
}

/// Copies everything that a borrowed message holds.
impl From<MessageRef<'_>> for Message {
    fn from(message: MessageRef<'_>) -> Self {
        let text = |text: Option<&str>| text.map(String::from);
        let mut owned = Self {
            message_id: message.message_id.map(MessageIdBuf::from),
            correlation_id: message.correlation_id.map(MessageIdBuf::from),
            session_id: text(message.session_id),
            partition_key: text(message.partition_key),
            transaction_partition_key: text(message.transaction_partition_key),
            subject: text(message.subject),
            to: text(message.to),
            reply_to: text(message.reply_to),
            reply_to_session_id: text(message.reply_to_session_id),
            content_type: text(message.content_type),
            content_encoding: text(message.content_encoding),
            user_id: message.user_id.map(Vec::from),
            properties: EncodedEntries::of(&message.properties, |name| Value::String(name)),
            annotations: EncodedEntries::of(&message.annotations, |name| Value::symbol(name)),
            delivery_annotations: EncodedEntries::of(&message.delivery_annotations, |name| Value::symbol(name)),
            footer: EncodedEntries::of(&message.footer, |name| Value::symbol(name)),
            time_to_live: message.time_to_live,
            scheduled_enqueue_time: message.scheduled_enqueue_time,
            creation_time: message.creation_time,
            absolute_expiry_time: message.absolute_expiry_time,
            group_sequence: message.group_sequence,
            priority: message.priority,
            durable: message.durable,
            first_acquirer: message.first_acquirer,
            ..Self::from_body(message.body)
        };
        for (name, text) in [(TRACEPARENT, message.traceparent), (TRACESTATE, message.tracestate)] {
            if let Some(text) = text
                && message.properties.get(name).is_none()
            {
                owned = owned.with_property(name, text);
            }
        }
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servicebus::Entries;
    use alloc::string::ToString;

    /// Every setter, on the owned form.
    fn full() -> Message {
        Message::new("body")
            .with_message_id("id")
            .with_session_id(String::from("s"))
            .with_partition_key("s")
            .with_transaction_partition_key("t")
            .with_correlation_id(7u64)
            .with_subject("subject".to_string())
            .with_to("to")
            .with_reply_to("back")
            .with_reply_to_session_id("rs")
            .with_content_type("text/plain")
            .with_content_encoding("gzip")
            .with_time_to_live(Duration::from_secs(60))
            .with_scheduled_enqueue_time(Timestamp::from_secs(1))
            .with_user_id(*b"user")
            .with_group_sequence(9)
            .with_creation_time(Timestamp::from_secs(2))
            .with_absolute_expiry_time(Timestamp::from_secs(3))
            .with_priority(4)
            .with_durable(true)
            .with_first_acquirer(false)
            .with_property("i", 1)
            .with_traceparent("trace")
            .with_tracestate("state")
            .with_annotation("x-own", "a")
            .with_delivery_annotation("x-there", true)
            .with_footer("f", 2.5)
    }

    #[test]
    fn an_owned_message_is_sent_as_the_borrowed_one_with_the_same_fields() {
        let (properties, annotations) = ([("i", 1.into())], [("x-own", "a".into())]);
        let (delivery, footer) = ([("x-there", true.into())], [("f", 2.5.into())]);
        let borrowed = MessageRef::new("body")
            .with_message_id("id")
            .with_session_id("s")
            .with_partition_key("s")
            .with_transaction_partition_key("t")
            .with_correlation_id(7u64)
            .with_subject("subject")
            .with_to("to")
            .with_reply_to("back")
            .with_reply_to_session_id("rs")
            .with_content_type("text/plain")
            .with_content_encoding("gzip")
            .with_time_to_live(Duration::from_secs(60))
            .with_scheduled_enqueue_time(Timestamp::from_secs(1))
            .with_user_id(b"user")
            .with_group_sequence(9)
            .with_creation_time(Timestamp::from_secs(2))
            .with_absolute_expiry_time(Timestamp::from_secs(3))
            .with_priority(4)
            .with_durable(true)
            .with_first_acquirer(false)
            .with_properties(&properties)
            .with_traceparent("trace")
            .with_tracestate("state")
            .with_annotations(&annotations)
            .with_delivery_annotations(&delivery)
            .with_footer(&footer);
        let bytes = to_vec(&borrowed);
        assert_eq!(to_vec(&full().as_message()), bytes);
        assert_eq!(to_vec(&Message::from(borrowed).as_message()), bytes);
        assert_eq!(to_vec(&Message::from(full().as_message()).as_message()), bytes);
    }

    #[test]
    fn a_property_that_is_set_again_is_replaced() {
        let message = ["a", "b", "c", "b", "a"]
            .into_iter()
            .zip(0..)
            .fold(Message::new(""), |message, (name, value)| message.with_property(name, value));
        let sent = message.as_message().properties;
        assert_eq!(["a", "b", "c"].map(|name| sent.get(name)), [4, 3, 2].map(|value| Some(value.into())));
        let bytes = to_vec(&message.as_message());
        let view = crate::wire::message::MessageView::parse(&bytes).unwrap();
        assert_eq!(view.application_properties().unwrap().len(), 3);
        // Of a slice that has a name twice the last one is copied.
        let twice = [("a", 1.into()), ("a", 2.into())];
        let copy = Message::from(MessageRef::new("").with_properties(&twice));
        assert_eq!(copy.as_message().properties.get("a"), Some(2.into()));
    }

    #[test]
    fn a_body_is_made_from_bytes_and_text_of_every_kind() {
        let (text, bytes) = (String::from("text"), b"text".to_vec());
        for message in [
            Message::new("text"),
            Message::new(&text),
            Message::new(text),
            Message::new(b"text"),
            Message::new(*b"text"),
            Message::new(&b"text"[..]),
            Message::new(&bytes),
            Message::new(bytes),
            Message::new(Bytes::from_static(b"text")),
            Message::new(Cow::from("text")),
        ] {
            assert_eq!(message.as_message().body, Body::Data(b"text"));
        }
        assert_eq!(to_vec(&Message::default().as_message()), b"");
        let value = Message::from_body(Body::Value(7.into()));
        assert_eq!(to_vec(&value.as_message()), to_vec(&MessageRef::from_body(Body::Value(7.into()))));
    }

    #[test]
    fn what_is_told_of_a_message_leaves_out_its_body() {
        let text = alloc::format!("{:?}", full());
        assert!(text.contains("subject") && !text.contains("body\""), "{text}");
        assert!(Entries::default().is_empty());
    }
}
