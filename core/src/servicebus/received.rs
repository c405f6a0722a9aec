//! A received message: its bytes as they came, read on demand.
// docs/evidence/wire-protocol.md §4.7

mod sender_properties;
mod service_properties;

use super::as_message::AsMessage;
use super::body::Body as SendBody;
use super::body_error::BodyError;
use super::entity::Entity;
use super::entries::Entries;
use super::key::LOCKED_UNTIL;
use super::lock_token::LockToken;
use super::message::MessageRef;
use crate::engine::DeliveryId;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::wire::message::{Body, Layout, MessageView};
use crate::wire::{DecodeError, Symbol, Value};
use core::fmt;

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
