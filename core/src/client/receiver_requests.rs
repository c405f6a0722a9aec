//! What a receiver asks `$management` for: locks, messages it looks at, deferred messages, deletion.

use super::settling::other_entity;
use super::{Error, Receiver};
use crate::machine::{Cause, Failure};
use crate::runtime::Runtime;
use crate::servicebus::management::{DeleteMessages, Peek, ReceiveDeferred, RenewLock};
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, LockToken, ReceivedMessage};
use crate::storage::{Management, Storage, Text};
use crate::time::{Instant, Timestamp};

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
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
        until.map(|until| (until, known)).ok_or_else(|| self.endpoint.error(Failure::answered(Cause::Malformed)))
    }

    fn session_id(&self) -> Option<S::Text> {
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
}
