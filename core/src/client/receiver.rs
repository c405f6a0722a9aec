//! Receiving from a queue or subscription, and settling messages.

use super::Error;
use super::call::Endpoint;
use super::pending::Pending;
use super::receiving::{Giving, Keep, Keeping, Receiving};
use super::settling::Settling;
use crate::machine::{Disposition, Entity, Locked, Properties};
use crate::runtime::Runtime;
use crate::servicebus::received::Origin;
use crate::servicebus::{DeadLetterOptions, LockToken, ReceivedMessage};
use crate::storage::{Management, Storage};
use crate::time::Duration;
use core::fmt;
use core::future::Future;

/// Receives messages. It is a handle: clones share one link, and messages may be settled while others are received.
/// When the last clone is dropped, the link is closed in the background, and prefetched messages are released.
///
/// A lost link or connection is restored in the background; a pending receive continues.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use core::time::Duration;
/// use servicebus_core::client::DeadLetterOptions;
///
/// # client.sender("orders")?.send_all(&["two of the blue ones", "nonsense"]).await?;
/// let receiver = client.receiver("orders")?;
/// while let Some(message) = receiver.receive(Duration::from_secs(5)).await? {
///     match message.text()? {
///         "nonsense" => receiver.dead_letter(&message, DeadLetterOptions::new().with_reason("no order")).await?,
///         _ => receiver.complete(&message).await?,
///     }
/// }
/// # Ok(())
/// # });
/// ```
pub struct Receiver<R: Runtime> {
    pub(super) endpoint: Endpoint<R>,
}

impl<R: Runtime> Clone for Receiver<R> {
    fn clone(&self) -> Self {
        Self { endpoint: self.endpoint.clone() }
    }
}

impl<R: Runtime> fmt::Debug for Receiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("entity", &self.endpoint.entity).finish()
    }
}

impl<S: Storage> ReceivedMessage<S> {
    pub(super) fn locked(&self) -> Locked {
        Locked { origin: self.origin, token: self.lock_token, locked_until: self.locked_until }
    }
}

/// How a settlement ended.
type Settled<S> = Result<(), Error<S>>;

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
    pub(super) fn new(endpoint: Endpoint<R>) -> Self {
        Self { endpoint }
    }

    /// A clone whose calls end within `limit`, whatever the retry policy allows: an attempt that is under way then ends
    /// with [`ErrorKind::Timeout`](super::ErrorKind::Timeout), and no pause before another attempt is begun that would
    /// last longer. A receive that finds nothing by then returns nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let orders = client.receiver("orders")?.timeout(Duration::from_secs(2));
    /// assert!(orders.receive(Duration::from_secs(60)).await?.is_none()); // after two seconds
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        Self { endpoint: self.endpoint.limited(limit) }
    }

    /// What is received from.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Entity;
    ///
    /// let audit = client.receiver(Entity::subscription("events", "audit"))?;
    /// assert_eq!(audit.entity().to_string(), "events/Subscriptions/audit");
    /// # Ok(())
    /// # });
    /// ```
    pub fn entity(&self) -> &Entity<S> {
        &self.endpoint.entity
    }

    /// Waits up to `max_wait` for messages and hands up to `max` of them to `take`, which may call the client. It
    /// returns as soon as there are some: all that the service has at once, not only the first. Returns how many there
    /// were.
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
    /// let mut bytes = 0;
    /// let wait = Some(Duration::from_secs(5));
    /// let count = receiver.receive_each(10, wait, |message| bytes += message.data().len()).await?;
    /// assert_eq!((count, bytes), (2, 6));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn receive_each(
        &self,
        max: u32,
        max_wait: Option<Duration>,
        mut take: impl FnMut(ReceivedMessage<S>),
    ) -> Result<u32, Error<S>> {
        if max == 0 {
            return Ok(0);
        }
        let receive = Giving { receiving: self.receiving(max, max_wait), take: &mut take };
        in_span!("ServiceBus.receive", self.endpoint.entity, receive)
    }

    pub(super) fn keeping<K: Keep<S>>(&self, max: u32, max_wait: Option<Duration>) -> Keeping<'_, R, K> {
        Keeping { receiving: self.receiving(max, max_wait), kept: K::default() }
    }

    fn receiving(&self, max: u32, max_wait: Option<Duration>) -> Receiving<'_, R> {
        let (until, limit) = (max_wait, self.endpoint.until());
        let until = until.map(|wait| self.endpoint.shared.now() + wait);
        let deadline = match (until, limit) {
            (Some(until), Some(limit)) => Some(until.min(limit)),
            (until, limit) => until.or(limit),
        };
        let pending = Pending::idle(&self.endpoint.shared);
        Receiving { pending, endpoint: &self.endpoint, deadline, max, taken: 0 }
    }

    /// Waits up to `max_wait` for a message; `None` when the service has none by then. Where the service does not
    /// answer on the link, that is not known: then it fails with [`ErrorKind::Timeout`](super::ErrorKind::Timeout).
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
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// while let Some(message) = receiver.receive(Duration::from_secs(5)).await? {
    ///     println!("{}", message.text()?);
    ///     receiver.complete(&message).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn receive(&self, max_wait: Duration) -> Result<Option<ReceivedMessage<S>>, Error<S>> {
        in_span!("ServiceBus.receive", self.endpoint.entity, self.keeping(1, Some(max_wait)))
    }

    /// Waits for a message, however long that takes.
    ///
    /// Cancel safety: a dropped future has taken no message.
    ///
    /// Bound: none; it ends with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// Why there is no link, after the retries of the policy; calling again tries again.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// assert_eq!(message.text()?, "two of the blue ones");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn next(&self) -> Result<ReceivedMessage<S>, Error<S>> {
        loop {
            let receive: Keeping<'_, R, Option<_>> = self.keeping(1, None);
            if let Some(message) = in_span!("ServiceBus.receive", self.endpoint.entity, receive)? {
                return Ok(message);
            }
        }
    }

    /// Settles a message and waits for the confirmation. A settlement that was lost on its way is tried again until
    /// the message's lock has ended.
    fn settle<'c>(
        &'c self,
        message: &ReceivedMessage<S>,
        disposition: Disposition<'c>,
    ) -> impl Future<Output = Settled<S>> + use<'c, R, S> {
        self.settling(Settling::new(&self.endpoint, message, disposition, None))
    }

    fn settling<'c>(&'c self, settling: Settling<'c, R>) -> impl Future<Output = Settled<S>> + use<'c, R, S> {
        spanned!("ServiceBus.settle", self.endpoint.entity, self.endpoint.attempts(settling))
    }

    /// Completes a message: it is done and leaves the entity. Any receiver of the message's entity can settle it, also
    /// after the one that it came on is gone. A storage without [`Management`] settles on the link that the message
    /// came on alone: with the link the lock counts as lost, and the message comes again.
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`ErrorKind::LockLost`](super::ErrorKind::LockLost) when the lock has ended, without asking the service when
    /// that is known here; [`Argument::OtherEntity`](crate::servicebus::Argument::OtherEntity) for a message of another
    /// entity.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// receiver.complete(&message).await?;
    /// assert!(receiver.receive(Duration::from_secs(120)).await?.is_none());
    /// # Ok(())
    /// # });
    /// ```
    // None of the settlements is an async function: each would be a state machine around the same future.
    pub fn complete(&self, message: &ReceivedMessage<S>) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::Complete)
    }

    /// Abandons a message: it is available again at once, its delivery count raised by one.
    ///
    /// Cancel safety: a dropped future may still have abandoned the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// receiver.abandon(&message).await?;
    /// assert_eq!(receiver.next().await?.delivery_count(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn abandon(&self, message: &ReceivedMessage<S>) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::Abandon { properties: &[] })
    }

    /// Abandons a message and changes some of its application properties.
    ///
    /// Cancel safety: a dropped future may still have abandoned the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::wire::Value;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// receiver.abandon_with(&message, &[("tried-by", Value::String("worker-3"))]).await?;
    /// assert_eq!(receiver.next().await?.property("tried-by"), Some(Value::String("worker-3")));
    /// # Ok(())
    /// # });
    /// ```
    pub fn abandon_with<'c>(
        &'c self,
        message: &'c ReceivedMessage<S>,
        properties: Properties<'c>,
    ) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::Abandon { properties })
    }

    /// Defers a message: it is set aside, and only its sequence number brings it back.
    ///
    /// Cancel safety: a dropped future may still have deferred the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let number = message.sequence_number().ok_or("no sequence number")?; // to be kept
    /// receiver.defer(&message).await?;
    ///
    /// let messages = receiver.receive_deferred(&[number]).await?;
    /// receiver.complete(&messages[0]).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn defer(&self, message: &ReceivedMessage<S>) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::Defer { properties: &[] })
    }

    /// Defers a message and changes some of its application properties.
    ///
    /// Cancel safety: a dropped future may still have deferred the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::MessageState;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// receiver.defer_with(&message, &[("waits-for", "payment".into())]).await?;
    ///
    /// let deferred = &receiver.peek(0, 1).await?[0];
    /// assert_eq!(deferred.state(), MessageState::Deferred);
    /// assert_eq!(deferred.property("waits-for"), Some("payment".into()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn defer_with<'c>(
        &'c self,
        message: &'c ReceivedMessage<S>,
        properties: Properties<'c>,
    ) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::Defer { properties })
    }

    /// Dead-letters a message: it moves to the entity's dead-letter queue.
    ///
    /// Cancel safety: a dropped future may still have dead-lettered the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::DeadLetterOptions;
    /// use servicebus_core::servicebus::Entity;
    ///
    /// # client.sender("orders")?.send("nonsense").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// receiver.dead_letter(&message, DeadLetterOptions::new().with_reason("no order")).await?;
    ///
    /// let dead = client.receiver(Entity::queue("orders").dead_letter())?;
    /// assert_eq!(dead.next().await?.dead_letter_reason(), Some("no order"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn dead_letter<'c>(
        &'c self,
        message: &'c ReceivedMessage<S>,
        options: DeadLetterOptions<'c>,
    ) -> impl Future<Output = Settled<S>> {
        self.settle(message, Disposition::DeadLetter(options))
    }

    /// Settles a message by its lock token alone, as after a restart.
    ///
    /// Cancel safety: a dropped future may still have settled the message.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Disposition;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let token = receiver.next().await?.lock_token().ok_or("no lock")?;
    /// receiver.settle_by_token(token, Disposition::Complete).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn settle_by_token(&self, token: LockToken, disposition: Disposition<'_>) -> Result<(), Error<S>>
    where
        S: Management,
    {
        let message = Locked { origin: Origin::NONE, token: Some(token), locked_until: None };
        let endpoint = &self.endpoint;
        self.settling(Settling { endpoint, message, disposition, transaction: None, refused: None }).await
    }

    /// Closes it for all clones: releases prefetched messages, then detaches the link. Afterwards the service holds
    /// only the locks of messages that were handed out.
    ///
    /// Cancel safety: once polled, closing goes on when the future is dropped.
    ///
    /// Bound: one attempt, and ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let receiver = client.receiver("orders")?;
    /// receiver.close().await;
    /// assert_eq!(receiver.next().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # });
    /// ```
    pub fn close(&self) -> impl Future<Output = ()> {
        self.endpoint.close()
    }
}
