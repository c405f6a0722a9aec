//! Looking at messages one page after the other.

use super::{Error, Receiver};
use crate::runtime::Runtime;
use crate::servicebus::ReceivedMessage;
use crate::storage::{Management, Storage};
use core::fmt;

/// Peeks at the messages of an entity in order, each call behind the last message that this peeker has seen: until
/// there are none, and again when there are more. Other peeks do not move it. It owns a handle of its receiver.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// # client.sender("orders")?.send_all(&["one", "two", "three"]).await?;
/// let mut peeker = client.receiver("orders")?.peeker();
/// loop {
///     let page = peeker.peek(2).await?;
///     if page.is_empty() {
///         break;
///     }
///     page.iter().for_each(|message| println!("{message}"));
/// }
/// # Ok(())
/// # });
/// ```
pub struct Peeker<R: Runtime> {
    receiver: Receiver<R>,
    next: i64,
}

impl<R: Runtime> fmt::Debug for Peeker<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeker").field("receiver", &self.receiver).field("next", &self.next).finish()
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
    /// Looks at the messages from the first on; in a session receiver, at those of its session.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two", "three"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// let (mut first, mut second) = (receiver.peeker(), receiver.peeker());
    /// assert_eq!(first.peek(2).await?.len(), 2);
    /// assert_eq!(second.peek(10).await?.len(), 3); // each has its own place
    /// # Ok(())
    /// # });
    /// ```
    pub fn peeker(&self) -> Peeker<R>
    where
        S: Management,
    {
        Peeker { receiver: self.clone(), next: 0 }
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Peeker<R> {
    /// The lowest sequence number that the next messages can have.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two", "three"]).await?;
    /// let mut peeker = client.receiver("orders")?.peeker();
    /// let page = peeker.peek(2).await?;
    /// assert_eq!(page[1].sequence_number(), Some(peeker.position() - 1));
    /// # Ok(())
    /// # });
    /// ```
    pub const fn position(&self) -> i64 {
        self.next
    }

    /// Peeks at up to `max` messages behind the last one seen. Returns their number; the service returns at most 250
    /// per call, and may return fewer than there are.
    ///
    /// Cancel safety: nothing is lost; what a dropped future has not given out is seen again.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// What the service says, after the retries of the policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two", "three"]).await?;
    /// let mut peeker = client.receiver("orders")?.peeker();
    /// let mut total = 0;
    /// while peeker.peek_each(100, |message| total += message.data().len()).await? > 0 {}
    /// assert_eq!(total, 11);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn peek_each(&mut self, max: u32, mut take: impl FnMut(ReceivedMessage<S>)) -> Result<u32, Error<S>>
    where
        S: Management,
    {
        let Self { receiver, next } = self;
        let from = *next;
        let seen = |message: ReceivedMessage<S>| {
            *next = message.sequence_number().map_or(*next, |number| number.saturating_add(1)).max(*next);
            take(message);
        };
        receiver.peek_each(from, max, seen).await
    }

    /// Looks at up to `max` messages behind those that were seen; none when there are no more.
    ///
    /// Cancel safety: nothing is lost; what a dropped future has not given out is seen again.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`Peeker::peek_each`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two", "three"]).await?;
    /// let mut peeker = client.receiver("orders")?.peeker();
    /// assert_eq!(peeker.peek(2).await?[0].text()?, "one");
    /// assert_eq!(peeker.peek(2).await?[0].text()?, "three");
    /// assert!(peeker.peek(2).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    pub async fn peek(&mut self, max: u32) -> Result<alloc::vec::Vec<ReceivedMessage<S>>, Error<S>>
    where
        S: Management,
    {
        let mut messages = alloc::vec::Vec::new();
        self.peek_each(max, |message| messages.push(message)).await?;
        Ok(messages)
    }
}
