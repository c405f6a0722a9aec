//! What the service has set.

use super::ReceivedMessage;
use crate::servicebus::key::{
    DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SOURCE, ENQUEUED_SEQUENCE_NUMBER, ENQUEUED_TIME,
    MESSAGE_STATE, SEQUENCE_NUMBER,
};
use crate::servicebus::{LockToken, MessageState};
use crate::storage::Storage;
use crate::time::Timestamp;

impl<S: Storage> ReceivedMessage<S> {
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
}
