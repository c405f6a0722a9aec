//! Calls of a receiver that return their messages in a vector.

use super::{Error, Receiver};
use crate::runtime::Runtime;
use crate::servicebus::ReceivedMessage;
use crate::storage::{Management, Storage};
use crate::time::Duration;
use alloc::vec::Vec;

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
    /// Waits up to `max_wait` for messages and returns up to `max` of them: all that the service has at once, not only
    /// the first. Empty when there is none by then.
    ///
    /// Cancel safety: a dropped future has taken no message.
    ///
    /// Bound: the time given.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// Why there is no link, after the retries of the policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// for message in receiver.receive_messages(10, Duration::from_secs(5)).await? {
    ///     receiver.complete(&message).await?;
    /// }
    /// # assert!(receiver.receive_messages(10, Duration::from_secs(120)).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn receive_messages(&self, max: u32, max_wait: Duration) -> Result<Vec<ReceivedMessage<S>>, Error<S>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        in_span!("ServiceBus.receive", self.endpoint.entity, self.keeping(max, Some(max_wait)))
    }

    /// Looks at up to `max` messages from sequence number `from` on, without locking them.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`Receiver::peek_each`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// let messages = receiver.peek(0, 100).await?;
    /// assert_eq!(messages.len(), 2);
    /// assert_eq!(messages[0].lock_token(), None);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn peek(&self, from: i64, max: u32) -> Result<Vec<ReceivedMessage<S>>, Error<S>>
    where
        S: Management,
    {
        let mut messages = Vec::new();
        self.peek_each(from, max, |message| messages.push(message)).await?;
        Ok(messages)
    }

    /// Receives deferred messages by their sequence numbers: all of them, or none.
    ///
    /// Cancel safety: a dropped future may have locked the messages; in receive-and-delete mode they may be lost.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`Receiver::receive_deferred_each`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let number = message.sequence_number().ok_or("no sequence number")?;
    /// receiver.defer(&message).await?;
    ///
    /// let messages = receiver.receive_deferred(&[number]).await?;
    /// assert_eq!(messages[0].text()?, "two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn receive_deferred(&self, sequence_numbers: &[i64]) -> Result<Vec<ReceivedMessage<S>>, Error<S>>
    where
        S: Management,
    {
        let mut messages = Vec::new();
        self.receive_deferred_each(sequence_numbers, |message| messages.push(message)).await?;
        Ok(messages)
    }
}
