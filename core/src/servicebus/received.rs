//! A received message: its bytes as they came, read on demand.
// docs/evidence/wire-protocol.md §4.7

use super::as_message::AsMessage;
use super::body::Body as SendBody;
use super::body_error::BodyError;
use super::entity::Entity;
use super::entries::Entries;
use super::key::{
    DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SOURCE, ENQUEUED_SEQUENCE_NUMBER, ENQUEUED_TIME,
    LOCKED_UNTIL, MESSAGE_STATE, PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, SEQUENCE_NUMBER, TRACEPARENT, TRACESTATE,
    VIA_PARTITION_KEY,
};
use super::lock_token::LockToken;
use super::message::MessageRef;
use crate::engine::DeliveryId;
use crate::storage::Storage;
use crate::time::{Duration, Timestamp};
use crate::wire::message::{Body, Layout, MessageView};
use crate::wire::messaging::{MessageId, Properties};
use crate::wire::{DecodeError, Symbol, Value, View};
use core::fmt;

/// What has become of a stored message.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::MessageState;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// for message in receiver.peek(0, 10).await? {
///     match message.state() {
///         MessageState::Active => println!("{message} waits for a receiver"),
///         MessageState::Deferred => println!("{message} is set aside"),
///         MessageState::Scheduled => println!("{message} comes later"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// Available, or locked by a receiver.
    Active,
    /// Set aside; only its sequence number brings it back.
    Deferred,
    /// Waits for its time.
    Scheduled,
}

/// How a message is settled: on its link while that lives, else through `$management`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The delivery, on this connection.
    pub(crate) delivery: Option<DeliveryId>,
    /// Names the connection, so that a delivery of an earlier one or of another client's is never mistaken for a live
    /// one.
    pub(crate) connection: u32,
    /// The session's lock protects the message, not one of its own.
    pub(crate) in_session: bool,
}

impl Origin {
    /// A message that is on no link.
    pub(crate) const NONE: Self = Self { delivery: None, connection: 0, in_session: false };
}

/// A message that was received or peeked. Every part is decoded when it is asked for; a part that cannot be decoded
/// reads as absent, and the message can still be settled.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send(&Message::new("two of the blue ones").with_subject("order").with_property("priority", 3)).await?;
/// let order = receiver.next().await?;
/// println!("{order}: {}", order.text()?);
/// assert_eq!(order.subject(), Some("order"));
/// assert_eq!(order.property("priority"), Some(3.into()));
/// receiver.complete(&order).await?;
/// # Ok(())
/// # });
/// ```
pub struct ReceivedMessage<S: Storage> {
    pub(crate) payload: S::Payload,
    layout: Layout,
    pub(crate) lock_token: Option<LockToken>,
    pub(crate) locked_until: Option<Timestamp>,
    pub(crate) origin: Origin,
    entity: Option<Entity<S>>,
}

/// On the heap a clone shares the message's bytes. Every clone can settle the message, which counts once.
impl<S: Storage> Clone for ReceivedMessage<S> {
    fn clone(&self) -> Self {
        Self {
            payload: self.payload.clone(),
            layout: self.layout,
            lock_token: self.lock_token,
            locked_until: self.locked_until,
            origin: self.origin,
            entity: self.entity.clone(),
        }
    }
}

/// For logs: the entity, the sequence number and the message id, as far as there are any.
impl<S: Storage> fmt::Display for ReceivedMessage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entity {
            Some(entity) => write!(f, "message of {entity}")?,
            None => f.write_str("message")?,
        }
        if let Some(number) = self.sequence_number() {
            write!(f, ", sequence number {number}")?;
        }
        if let Some(id) = self.message_id() {
            write!(f, ", id {id}")?;
        }
        Ok(())
    }
}

impl<S: Storage> fmt::Debug for ReceivedMessage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body.
        f.debug_struct("ReceivedMessage")
            .field("entity", &self.entity)
            .field("message_id", &self.message_id())
            .field("sequence_number", &self.sequence_number())
            .field("lock_token", &self.lock_token)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> ReceivedMessage<S> {
    pub(crate) fn new(payload: S::Payload, lock_token: Option<LockToken>, origin: Origin) -> Self {
        let mut message = Self { payload, ..Self::empty() };
        message.came(lock_token, origin);
        message
    }

    /// A place for a message, whose payload comes next.
    pub(crate) fn empty() -> Self {
        Self {
            payload: S::Payload::default(),
            layout: Layout::default(),
            lock_token: None,
            locked_until: None,
            origin: Origin::NONE,
            entity: None,
        }
    }

    /// The payload is there.
    pub(crate) fn came(&mut self, lock_token: Option<LockToken>, origin: Origin) {
        // A message that cannot be parsed is handed out all the same: it must be possible to dead-letter it.
        self.layout = Layout::of(self.payload.as_ref()).unwrap_or_default();
        self.locked_until = self.annotation(LOCKED_UNTIL).and_then(|value| value.as_timestamp());
        self.lock_token = lock_token;
        self.origin = origin;
    }

    /// A message read from the bytes of an encoded AMQP message; it cannot be settled.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Message, ReceivedMessage};
    /// # use servicebus_core::storage::Heap;
    /// # use servicebus_core::wire::to_vec;
    /// let encoded = to_vec(&Message::new("two of the blue ones").with_subject("order").as_message());
    /// let order = ReceivedMessage::<Heap>::from_bytes(encoded.into())?;
    /// assert_eq!(order.subject(), Some("order"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn from_bytes(payload: S::Payload) -> Result<Self, DecodeError> {
        Layout::of(payload.as_ref())?;
        Ok(Self::new(payload, None, Origin::NONE))
    }

    /// The same message, of this entity.
    pub(crate) fn of(mut self, entity: &Entity<S>) -> Self {
        self.entity = Some(entity.clone());
        self
    }

    /// What the message was received or peeked from; `None` for one that was read from bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// assert_eq!(order.entity(), Some(receiver.entity()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn entity(&self) -> Option<&Entity<S>> {
        self.entity.as_ref()
    }

    /// The message's sections as they came.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send(&Message::new("two of the blue ones").with_property("priority", 3)).await?;
    /// let order = receiver.next().await?;
    /// assert_eq!(order.view().application_properties()?.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn view(&self) -> MessageView<'_> {
        MessageView::with_layout(self.payload.as_ref(), self.layout)
    }

    /// The encoded message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ReceivedMessage;
    /// # use servicebus_core::storage::Heap;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// let copy = ReceivedMessage::<Heap>::from_bytes(order.as_bytes().to_vec().into())?;
    /// assert_eq!(copy.text()?, "two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        self.payload.as_ref()
    }

    /// The body's first data section: what almost every message is. Empty for other bodies.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&[0x02, 0xb1]).await?;
    /// assert_eq!(receiver.next().await?.data(), [0x02, 0xb1]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn data(&self) -> &[u8] {
        match self.view().body() {
            Ok(Body::Data(sections)) => sections.data().next().and_then(Result::ok).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The body's bytes, when it is one data section, a string or a binary.
    ///
    /// # Errors
    /// A body that is another.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send("two of the blue ones").await?;
    /// assert_eq!(receiver.next().await?.bytes()?, b"two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub fn bytes(&self) -> Result<&[u8], BodyError> {
        match self.view().body().map_err(BodyError::Malformed)? {
            Body::Data(sections) => {
                let mut sections = sections.data();
                match (sections.next(), sections.next()) {
                    (Some(first), None) => first.map_err(BodyError::Malformed),
                    _ => Err(BodyError::OtherKind),
                }
            }
            Body::Value(Value::Binary(bytes)) => Ok(bytes),
            Body::Value(value) => value.as_str().map(str::as_bytes).ok_or(BodyError::OtherKind),
            Body::Empty | Body::Sequence(_) => Err(BodyError::OtherKind),
        }
    }

    /// The body as text, when it is one data section, a string or a binary, of UTF-8.
    ///
    /// # Errors
    /// A body that is another.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send("two of the blue ones").await?;
    /// assert_eq!(receiver.next().await?.text()?, "two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub fn text(&self) -> Result<&str, BodyError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| BodyError::NotUtf8)
    }

    /// What the body is in JSON.
    ///
    /// # Errors
    /// A body that is no JSON, or not that of a `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// #[derive(serde::Deserialize)]
    /// struct Order<'a> {
    ///     item: &'a str,
    ///     count: u32,
    /// }
    ///
    /// sender.send(r#"{"item": "blue", "count": 2}"#).await?;
    /// let message = receiver.next().await?;
    /// let order: Order<'_> = message.json()?;
    /// assert_eq!((order.item, order.count), ("blue", 2));
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "serde")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.bytes().map_err(serde::de::Error::custom)?)
    }

    /// The body, of any kind.
    ///
    /// # Errors
    /// A body that cannot be decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::wire::message::Body;
    ///
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let message = receiver.next().await?;
    /// match message.body()? {
    ///     Body::Empty => println!("nothing"),
    ///     Body::Data(sections) => println!("{} sections of bytes", sections.data().count()),
    ///     Body::Sequence(_) => println!("lists"),
    ///     Body::Value(value) => println!("{value:?}"),
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn body(&self) -> Result<Body<'_>, DecodeError> {
        self.view().body()
    }

    /// One of the message annotations, the service's own and the sender's.
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
    pub fn annotation(&self, key: &str) -> Option<Value<'_>> {
        self.view().message_annotations().ok()?.get(key)
    }

    /// One of the delivery annotations.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send("two of the blue ones").await?;
    /// assert_eq!(receiver.next().await?.delivery_annotation("x-opt-hop"), None);
    /// # Ok(())
    /// # });
    /// ```
    pub fn delivery_annotation(&self, key: &str) -> Option<Value<'_>> {
        self.view().delivery_annotations().ok()?.get(key)
    }

    /// One of the entries of the footer.
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
    pub fn footer(&self, key: &str) -> Option<Value<'_>> {
        self.view().footer().ok()?.get(key)
    }

    fn section(&self) -> Option<View<'_, Properties<'_>>> {
        self.view().properties_view()
    }

    /// The message id, in whichever of AMQP's types the sender gave it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_message_id("order-7")).await?;
    /// assert_eq!(receiver.next().await?.message_id(), Some("order-7".into()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn message_id(&self) -> Option<MessageId<'_>> {
        self.section()?.message_id()
    }

    /// The correlation id, in whichever of AMQP's types the sender gave it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::AsMessage;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send(&Message::new("two of the blue ones").with_message_id("order-7")).await?;
    /// let order = receiver.next().await?;
    /// let id = order.message_id().ok_or("no id")?;
    /// sender.send(&Message::new("confirmed").with_correlation_id(id)).await?;
    /// assert_eq!(receiver.next().await?.correlation_id(), Some("order-7".into()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn correlation_id(&self) -> Option<MessageId<'_>> {
        self.section()?.correlation_id()
    }

    /// The session id.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// client.sender("jobs")?.send(&Message::new("resize 7.png").with_session_id("contoso")).await?;
    /// let session = client.accept_session("jobs", "contoso").await?;
    /// assert_eq!(session.next().await?.session_id(), Some("contoso"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_id(&self) -> Option<&str> {
        self.section()?.group_id()
    }

    /// The session that replies belong to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("how many are left?").with_reply_to_session_id("contoso")).await?;
    /// assert_eq!(receiver.next().await?.reply_to_session_id(), Some("contoso"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn reply_to_session_id(&self) -> Option<&str> {
        self.section()?.reply_to_group_id()
    }

    /// What the message is about.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_subject("order")).await?;
    /// assert_eq!(receiver.next().await?.subject(), Some("order"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn subject(&self) -> Option<&str> {
        self.section()?.subject()
    }

    /// Where the message is meant to go.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_to("warehouse")).await?;
    /// assert_eq!(receiver.next().await?.to(), Some("warehouse"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn to(&self) -> Option<&str> {
        self.section()?.to()
    }

    /// Where to send replies.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("how many are left?").with_reply_to("invoices")).await?;
    /// let question = receiver.next().await?;
    /// client.sender(question.reply_to().ok_or("no address for a reply")?)?.send("seven").await?;
    /// assert_eq!(client.receiver("invoices")?.next().await?.text()?, "seven");
    /// # Ok(())
    /// # });
    /// ```
    pub fn reply_to(&self) -> Option<&str> {
        self.section()?.reply_to()
    }

    /// MIME type of the body.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("{}").with_content_type("application/json")).await?;
    /// assert_eq!(receiver.next().await?.content_type(), Some("application/json"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn content_type(&self) -> Option<&str> {
        self.section()?.content_type().map(Symbol::as_str)
    }

    /// Earlier deliveries that failed: 0 at the first delivery.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// assert_eq!(order.delivery_count(), 0);
    /// receiver.abandon(&order).await?;
    /// assert_eq!(receiver.next().await?.delivery_count(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn delivery_count(&self) -> u32 {
        self.view().header_view().and_then(|mut header| header.delivery_count()).unwrap_or(0)
    }

    /// How long the message lives, from [`ReceivedMessage::enqueued_time`] on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let hour = Duration::from_secs(3_600);
    /// sender.send(&Message::new("two of the blue ones").with_time_to_live(hour)).await?;
    /// assert_eq!(receiver.next().await?.time_to_live(), Some(hour));
    /// # Ok(())
    /// # });
    /// ```
    pub fn time_to_live(&self) -> Option<Duration> {
        let ttl = self.view().header_view()?.ttl()?;
        let life = Duration::from_millis(u64::from(ttl));
        if ttl < u32::MAX {
            return Some(life);
        }
        // The header ends at 49 days; for longer lives only the times of creation and expiry tell
        // (docs/evidence/service-evidence.md §10).
        let longer = self.absolute_expiry_time().zip(self.creation_time());
        Some(longer.map_or(life, |(until, from)| life.max(until.saturating_duration_since(from))))
    }

    /// MIME encoding of the body.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new(vec![0x1f, 0x8b]).with_content_encoding("gzip")).await?;
    /// assert_eq!(receiver.next().await?.content_encoding(), Some("gzip"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn content_encoding(&self) -> Option<&str> {
        self.section()?.content_encoding().map(Symbol::as_str)
    }

    /// Who made the message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_user_id("alice")).await?;
    /// assert_eq!(receiver.next().await?.user_id(), Some(&b"alice"[..]));
    /// # Ok(())
    /// # });
    /// ```
    pub fn user_id(&self) -> Option<&[u8]> {
        self.section()?.user_id()
    }

    /// Position in a group.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_group_sequence(7)).await?;
    /// assert_eq!(receiver.next().await?.group_sequence(), Some(7));
    /// # Ok(())
    /// # });
    /// ```
    pub fn group_sequence(&self) -> Option<u32> {
        self.section()?.group_sequence()
    }

    /// When the message was created: set by the sender, or by the service for a message with a time to live.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let now = sender.now();
    /// sender.send(&Message::new("two of the blue ones").with_creation_time(now)).await?;
    /// assert_eq!(receiver.next().await?.creation_time(), Some(now));
    /// # Ok(())
    /// # });
    /// ```
    pub fn creation_time(&self) -> Option<Timestamp> {
        self.section()?.creation_time()
    }

    /// The expiry time that the message carries.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let tomorrow = sender.now() + Duration::from_secs(24 * 3_600);
    /// sender.send(&Message::new("two of the blue ones").with_absolute_expiry_time(tomorrow)).await?;
    /// assert_eq!(receiver.next().await?.absolute_expiry_time(), Some(tomorrow));
    /// # Ok(())
    /// # });
    /// ```
    pub fn absolute_expiry_time(&self) -> Option<Timestamp> {
        self.section()?.absolute_expiry_time()
    }

    /// AMQP's priority.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_priority(9)).await?;
    /// assert_eq!(receiver.next().await?.priority(), Some(9));
    /// # Ok(())
    /// # });
    /// ```
    pub fn priority(&self) -> Option<u8> {
        self.view().header_view()?.priority()
    }

    /// AMQP's durable flag.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_durable(true)).await?;
    /// assert_eq!(receiver.next().await?.durable(), Some(true));
    /// # Ok(())
    /// # });
    /// ```
    pub fn durable(&self) -> Option<bool> {
        self.view().header_view()?.durable()
    }

    /// AMQP's first-acquirer flag.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_first_acquirer(true)).await?;
    /// assert_eq!(receiver.next().await?.first_acquirer(), Some(true));
    /// # Ok(())
    /// # });
    /// ```
    pub fn first_acquirer(&self) -> Option<bool> {
        self.view().header_view()?.first_acquirer()
    }

    /// When the message expires.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let hour = Duration::from_secs(3_600);
    /// sender.send(&Message::new("two of the blue ones").with_time_to_live(hour)).await?;
    /// let order = receiver.next().await?;
    /// assert_eq!(order.expires_at(), order.enqueued_time().map(|time| time + hour));
    /// # Ok(())
    /// # });
    /// ```
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.absolute_expiry_time().or_else(|| Some(self.enqueued_time()? + self.time_to_live()?))
    }

    /// When the message was enqueued.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// let waited = order.enqueued_time().map(|time| sender.now().saturating_duration_since(time));
    /// assert!(waited.is_some_and(|waited| waited.as_secs() < 1));
    /// # Ok(())
    /// # });
    /// ```
    pub fn enqueued_time(&self) -> Option<Timestamp> {
        self.annotation(ENQUEUED_TIME)?.as_timestamp()
    }

    /// The number that the entity gave the message: unique in the entity and its handle when it is deferred.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// let number = order.sequence_number().ok_or("not from a queue")?; // to be kept
    /// receiver.defer(&order).await?;
    /// assert_eq!(receiver.receive_deferred(&[number]).await?[0].text()?, "two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub fn sequence_number(&self) -> Option<i64> {
        self.annotation(SEQUENCE_NUMBER)?.as_i64()
    }

    /// The number the message had in the entity it was first sent to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// // A message that was never forwarded has only one.
    /// let number = order.enqueued_sequence_number().or(order.sequence_number());
    /// assert_eq!(number, Some(1));
    /// # Ok(())
    /// # });
    /// ```
    pub fn enqueued_sequence_number(&self) -> Option<i64> {
        self.annotation(ENQUEUED_SEQUENCE_NUMBER)?.as_i64()
    }

    /// When the lock ends, by the delivery or the last renewal; `None` without a lock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let order = receiver.next().await?;
    /// let left = order.locked_until().map(|until| until.saturating_duration_since(sender.now()));
    /// assert!(left.is_some_and(|left| left.as_secs() > 20));
    /// # Ok(())
    /// # });
    /// ```
    pub fn locked_until(&self) -> Option<Timestamp> {
        if self.lock_token.is_some() { self.locked_until } else { None }
    }

    /// The lock, when the message was received in peek-lock mode.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Disposition;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let token = receiver.next().await?.lock_token().ok_or("received in the other mode")?;
    /// receiver.settle_by_token(token, Disposition::Complete).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock_token(&self) -> Option<LockToken> {
        self.lock_token
    }

    /// The partition key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_partition_key("emea")).await?;
    /// assert_eq!(receiver.next().await?.partition_key(), Some("emea"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn partition_key(&self) -> Option<&str> {
        self.annotation(PARTITION_KEY)?.as_str()
    }

    /// The partition key of the entity that a transaction went through.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_transaction_partition_key("emea")).await?;
    /// assert_eq!(receiver.next().await?.transaction_partition_key(), Some("emea"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn transaction_partition_key(&self) -> Option<&str> {
        self.annotation(VIA_PARTITION_KEY)?.as_str()
    }

    /// When the message was to be enqueued.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// let at = sender.now() + Duration::from_secs(3_600);
    /// sender.schedule("two of the blue ones", at).await?;
    /// assert_eq!(receiver.next().await?.scheduled_enqueue_time(), Some(at));
    /// # Ok(())
    /// # });
    /// ```
    pub fn scheduled_enqueue_time(&self) -> Option<Timestamp> {
        self.annotation(SCHEDULED_ENQUEUE_TIME)?.as_timestamp().filter(|time| *time != Timestamp::DOTNET_MIN)
    }

    /// The entity whose dead-letter queue the message came from.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{DeadLetterOptions, Entity};
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// receiver.dead_letter(&receiver.next().await?, DeadLetterOptions::new()).await?;
    /// let letter = client.receiver(Entity::queue("orders").dead_letter())?.next().await?;
    /// println!("from {}", letter.dead_letter_source().unwrap_or("this very queue"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn dead_letter_source(&self) -> Option<&str> {
        self.annotation(DEAD_LETTER_SOURCE)?.as_str()
    }

    /// Why the message was dead-lettered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{DeadLetterOptions, Entity};
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// receiver.dead_letter(&receiver.next().await?, DeadLetterOptions::new().with_reason("sold out")).await?;
    /// let letter = client.receiver(Entity::queue("orders").dead_letter())?.next().await?;
    /// assert_eq!(letter.dead_letter_reason(), Some("sold out"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn dead_letter_reason(&self) -> Option<&str> {
        self.property(DEAD_LETTER_REASON)?.as_str()
    }

    /// Details of why the message was dead-lettered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{DeadLetterOptions, Entity};
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// let options = DeadLetterOptions::new().with_description("none left in Berlin");
    /// receiver.dead_letter(&receiver.next().await?, options).await?;
    /// let letter = client.receiver(Entity::queue("orders").dead_letter())?.next().await?;
    /// assert_eq!(letter.dead_letter_description(), Some("none left in Berlin"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn dead_letter_description(&self) -> Option<&str> {
        self.property(DEAD_LETTER_ERROR_DESCRIPTION)?.as_str()
    }

    /// What has become of the message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::MessageState;
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send("two of the blue ones").await?;
    /// receiver.defer(&receiver.next().await?).await?;
    /// assert_eq!(receiver.peek(0, 1).await?[0].state(), MessageState::Deferred);
    /// # Ok(())
    /// # });
    /// ```
    pub fn state(&self) -> MessageState {
        match self.annotation(MESSAGE_STATE).and_then(|value| value.as_i64()) {
            Some(1) => MessageState::Deferred,
            Some(2) => MessageState::Scheduled,
            _ => MessageState::Active,
        }
    }

    /// The W3C trace context of the sender: `traceparent`, or what older senders call `Diagnostic-Id`.
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
    pub fn traceparent(&self) -> Option<&str> {
        let property = |key| match self.property(key)? {
            Value::String(text) => Some(text),
            _ => None,
        };
        property(TRACEPARENT).or_else(|| property("Diagnostic-Id"))
    }

    /// The vendors' part of the sender's W3C trace context.
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
    pub fn tracestate(&self) -> Option<&str> {
        self.property(TRACESTATE)?.as_str()
    }

    /// One of the application's own properties.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_property("priority", 3)).await?;
    /// let order = receiver.next().await?;
    /// assert_eq!(order.property("priority").and_then(|value| value.as_i64()), Some(3));
    /// # Ok(())
    /// # });
    /// ```
    pub fn property(&self, key: &str) -> Option<Value<'_>> {
        self.view().application_properties().ok()?.get(key)
    }

    /// The application's own properties, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// sender.send(&Message::new("two of the blue ones").with_property("priority", 3)).await?;
    /// for (name, value) in receiver.next().await?.properties() {
    ///     println!("{name}: {value:?}");
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn properties(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let properties = self.view().application_properties().unwrap_or(crate::wire::Map::EMPTY);
        properties.iter().map_while(Result::ok).filter_map(|(key, value)| Some((key.as_str()?, value)))
    }
}

/// The same message for sending again: properties set by its sender are kept, those set by the service are left out. Of the
/// application properties these are `DeadLetterReason` and `DeadLetterErrorDescription`. To edit it, change the fields of
/// the [`MessageRef`]:
///
/// ```
/// use servicebus_core::servicebus::{AsMessage, Body};
///
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("2 for 7 EUR").await?;
/// let order = receiver.next().await?;
/// let text = order.text()?.replace("EUR", "USD");
/// let mut copy = order.as_message();
/// copy.body = Body::Data(text.as_bytes());
/// copy.subject = Some("corrected");
/// sender.send(&copy).await?;
/// assert_eq!(receiver.next().await?.text()?, "2 for 7 USD");
/// # Ok(())
/// # });
/// ```
impl<S: Storage> AsMessage for ReceivedMessage<S> {
    fn as_message(&self) -> MessageRef<'_> {
        let view = self.view();
        let entries = |map: Result<_, DecodeError>| map.map(Entries::received).unwrap_or_default();
        let mut message = MessageRef::from_body(SendBody::Encoded(view.body_bytes()));
        message.properties = entries(view.application_properties());
        message.annotations = entries(view.message_annotations());
        message.delivery_annotations = entries(view.delivery_annotations());
        message.footer = entries(view.footer());
        message.partition_key = self.partition_key();
        message.transaction_partition_key = self.transaction_partition_key();
        message.scheduled_enqueue_time = self.scheduled_enqueue_time();
        message.time_to_live = self.time_to_live();
        if let Some(mut header) = view.header_view() {
            message.priority = header.priority();
            message.durable = header.durable();
            message.first_acquirer = header.first_acquirer();
        }
        if let Some(mut properties) = view.properties_view() {
            message.message_id = properties.message_id();
            message.user_id = properties.user_id();
            message.to = properties.to();
            message.subject = properties.subject();
            message.reply_to = properties.reply_to();
            message.correlation_id = properties.correlation_id();
            message.content_type = properties.content_type().map(Symbol::as_str);
            message.content_encoding = properties.content_encoding().map(Symbol::as_str);
            message.session_id = properties.group_id();
            message.group_sequence = properties.group_sequence();
            message.reply_to_session_id = properties.reply_to_group_id();
            message.creation_time = properties.creation_time();
            message.absolute_expiry_time = properties.absolute_expiry_time();
        }
        if message.time_to_live.is_some() {
            // The service adds both to what has a time to live (docs/evidence/service-evidence.md §10), and the new
            // life begins when the copy is enqueued.
            message.absolute_expiry_time = None;
            message.creation_time =
                message.creation_time.filter(|made| Some(*made) != self.enqueued_time() && !message.needs_expiry());
        }
        message
    }
}

#[cfg(feature = "alloc")]
impl ReceivedMessage<crate::storage::Heap> {
    /// A copy to be sent: everything that its sender set is kept, what the service set is left out, such as the reason and
    /// description of a dead letter. The copy shares the bytes of the body. It has setters for everything else; to change the
    /// body, use [`as_message`](AsMessage::as_message).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Message;
    /// # servicebus_simulation::example(async |client| {
    /// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
    /// # sender.send(&Message::new("two of the blue ones").with_subject("order")).await?;
    /// let order = receiver.next().await?;
    /// client.sender("invoices")?.send(&order.to_message().with_property("checked", true)).await?;
    /// let copy = client.receiver("invoices")?.next().await?;
    /// assert_eq!((copy.subject(), copy.property("checked")), (Some("order"), Some(true.into())));
    /// # Ok(())
    /// # });
    /// ```
    pub fn to_message(&self) -> super::owned_message::Message {
        let mut message = self.as_message();
        message.body = SendBody::Empty;
        super::owned_message::Message::from(message).with_sections(self.payload.slice_ref(self.view().body_bytes()))
    }
}
