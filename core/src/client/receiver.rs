//! Receiving from a queue or subscription, and settling messages.

use super::Error;
use super::call::{Endpoint, Pending};
use super::receiving::{Giving, Keep, Keeping, Receiving};
use super::settling::{Settling, other_entity};
use crate::machine::{Cause, Disposition, Entity, Failure, Locked, Properties};
use crate::runtime::Runtime;
use crate::servicebus::management::{DeleteMessages, Peek, ReceiveDeferred, RenewLock};
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, DeadLetterOptions, LockToken, ReceivedMessage};
use crate::storage::{Management, Storage};
use crate::time::{Duration, Instant, Timestamp};
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
    #[cfg_attr(not(feature = "alloc"), inline(never))]
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

    /// Renews the lock on a message and returns its new end.
    ///
    /// Cancel safety: a dropped future may still have renewed the lock.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::LockLost`](super::ErrorKind::LockLost) when the lock has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let mut message = receiver.next().await?;
    /// # world.sleep(Duration::from_secs(30)).await;
    /// let before = message.locked_until();
    /// let until = receiver.renew_lock(&mut message).await?;
    /// assert!(Some(until) > before);
    /// assert_eq!(message.locked_until(), Some(until));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn renew_lock(&self, message: &mut ReceivedMessage<S>) -> Result<Timestamp, Error<S>>
    where
        S: Management,
    {
        if let Some(refused) = other_entity(&self.endpoint, message) {
            return Err(self.endpoint.error(refused));
        }
        let token =
            message.lock_token.ok_or_else(|| self.endpoint.error(Failure::new(Cause::Argument(Argument::Unlocked))))?;
        let asked_at = self.endpoint.shared.now();
        let (until, known) = self.renew_by_token(token, asked_at).await?;
        let locked = message.locked();
        let clock = self.endpoint.shared.clock();
        self.endpoint.shared.change(|state| state.machine.message_renewed(clock, asked_at, known, &locked, until));
        message.locked_until = Some(until);
        Ok(until)
    }

    /// Renews the lock with this token and returns its new end.
    ///
    /// Cancel safety: a dropped future may still have renewed the lock.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::LockLost`](super::ErrorKind::LockLost) when the lock has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let token = receiver.next().await?.lock_token().ok_or("no lock")?;
    /// let until = receiver.renew_lock_by_token(token).await?;
    /// println!("locked until {until}");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn renew_lock_by_token(&self, token: LockToken) -> Result<Timestamp, Error<S>>
    where
        S: Management,
    {
        let now = self.endpoint.shared.now();
        self.renew_by_token(token, now).await.map(|(until, _)| until)
    }

    /// The new end of a lock, and whether the ends of locks were known before.
    async fn renew_by_token(&self, token: LockToken, now: Instant) -> Result<(Timestamp, bool), Error<S>> {
        let known = self.endpoint.shared.change(|state| state.machine.renews_itself(now));
        let response = self.endpoint.request(&RenewLock { lock_tokens: &[token] }).await?;
        let until = response.expirations().next();
        until.map(|until| (until, known)).ok_or_else(|| self.endpoint.error(Failure::new(Cause::Malformed)))
    }

    fn session_id(&self) -> Option<S::Text> {
        use crate::storage::Text;
        let id = self.endpoint.id;
        self.endpoint.shared.with(|state| state.machine.session_of(id).map(|(session, _)| S::Text::cut(session)))
    }

    /// Peeks at messages without locking them: up to `max` from sequence number `from` on, in order. Returns their
    /// number; the service returns at most 250 per call.
    ///
    /// Cancel safety: nothing is lost.
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
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// let count = receiver.peek_each(0, 100, |message| println!("{message}")).await?;
    /// assert_eq!(count, 2);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn peek_each(
        &self,
        from: i64,
        max: u32,
        mut take: impl FnMut(ReceivedMessage<S>),
    ) -> Result<u32, Error<S>>
    where
        S: Management,
    {
        let session = self.session_id();
        let session_id = session.as_ref().map(AsRef::as_ref);
        let request = Peek { from, count: max, session_id };
        let peeking = self.endpoint.request(&request);
        let response = in_span!("ServiceBus.peek", self.endpoint.entity, peeking)?;
        let mut count = 0;
        for (payload, _) in response.messages() {
            take(ReceivedMessage::new(payload, None, Origin::NONE).of(&self.endpoint.entity));
            count += 1;
        }
        Ok(count)
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
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) when one of them is not deferred, or is locked.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// # let receiver = client.receiver("orders")?;
    /// # let mut numbers = Vec::new();
    /// # for _ in 0..2 {
    /// #     let message = receiver.next().await?;
    /// #     numbers.extend(message.sequence_number());
    /// #     receiver.defer(&message).await?;
    /// # }
    /// let mut bytes = 0;
    /// receiver.receive_deferred_each(&numbers, |message| bytes += message.data().len()).await?;
    /// assert_eq!(bytes, 6);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn receive_deferred_each(
        &self,
        sequence_numbers: &[i64],
        mut take: impl FnMut(ReceivedMessage<S>),
    ) -> Result<(), Error<S>>
    where
        S: Management,
    {
        if sequence_numbers.is_empty() {
            return Ok(());
        }
        let session = self.session_id();
        let session_id = session.as_ref().map(AsRef::as_ref);
        let delete = self.endpoint.shared.with(|state| state.machine.deletes(self.endpoint.id));
        let request = ReceiveDeferred { sequence_numbers, delete, session_id };
        let receiving = self.endpoint.request(&request);
        let response = in_span!("ServiceBus.receive_deferred", self.endpoint.entity, receiving)?;
        for (payload, token) in response.messages() {
            take(ReceivedMessage::new(payload, token.filter(|_| !delete), Origin::NONE).of(&self.endpoint.entity));
        }
        Ok(())
    }

    /// Deletes up to `max` messages that were enqueued before `before`, without receiving them; locked ones are passed
    /// over. Returns how many were deleted, which may be fewer than there are: the service has a limit for one request,
    /// and refuses a larger `max`. Not tried again by itself: what a lost answer deleted is not known.
    ///
    /// Cancel safety: a dropped future may still have deleted messages.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// What the service says.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # let sender = client.sender("orders")?;
    /// # sender.send_all(&["one", "two", "three"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// let deleted = receiver.delete_messages(2, sender.now()).await?;
    /// assert_eq!(deleted, 2);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn delete_messages(&self, max: u32, before: Timestamp) -> Result<u32, Error<S>>
    where
        S: Management,
    {
        if max == 0 {
            return Ok(0);
        }
        let session = self.session_id();
        let session_id = session.as_ref().map(AsRef::as_ref);
        let request = DeleteMessages { count: max, before, session_id };
        Ok(self.endpoint.request_once(&request).await?.message_count())
    }

    /// Deletes every message that was enqueued before `before`, in steps of up to 500, each tried again after failures
    /// that can pass. Returns how many there were, without those that a step deleted whose answer was lost.
    ///
    /// Cancel safety: a dropped future has deleted some of the messages.
    ///
    /// Bound: the retry policy for each round.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// What the service says.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # let sender = client.sender("orders")?;
    /// # sender.send_all(&["one", "two", "three"]).await?;
    /// let receiver = client.receiver("orders")?;
    /// assert_eq!(receiver.purge(sender.now()).await?, 3);
    /// assert!(receiver.peek(0, 1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn purge(&self, before: Timestamp) -> Result<u64, Error<S>>
    where
        S: Management,
    {
        let mut total = 0;
        loop {
            let session = self.session_id();
            let session_id = session.as_ref().map(AsRef::as_ref);
            let request = DeleteMessages { count: 500, before, session_id };
            match self.endpoint.request(&request).await?.message_count() {
                0 => return Ok(total),
                count => total += u64::from(count),
            }
        }
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
