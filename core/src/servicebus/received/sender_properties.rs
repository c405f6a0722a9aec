//! What the sender of a message has set.

use super::ReceivedMessage;
use crate::servicebus::key::{PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, TRACEPARENT, TRACESTATE, VIA_PARTITION_KEY};
use crate::storage::Storage;
use crate::time::{Duration, Timestamp};
use crate::wire::messaging::{MessageId, Properties};
use crate::wire::{Symbol, Value, View};

impl<S: Storage> ReceivedMessage<S> {
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

    pub(super) fn section(&self) -> Option<View<'_, Properties<'_>>> {
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
