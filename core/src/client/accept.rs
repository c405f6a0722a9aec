//! Sessions are locked before their messages are received.

use super::attempts::wait_to_retry;
use super::call::Endpoint;
use super::{Client, Error, Receiver, ReceiverOptions, SessionReceiver, StorageOf};
use crate::machine::{Cause, Entity, Failure, SessionChoice};
use crate::runtime::Runtime;
use crate::servicebus::argument::is_longer;
use crate::servicebus::message::MAX_ID_LEN;
use crate::servicebus::{Argument, LockToken, Reason};
use crate::storage::{Management, Sessions, Storage, Text};
use crate::time::Duration;

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// Locks the session `session_id` of a queue or subscription and returns a receiver of its messages.
    ///
    /// Cancel safety: a dropped future leaves no lock behind.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLocked`](super::ErrorKind::SessionLocked) while another receiver holds it, after the retries
    /// of the policy; an id of more than 128 characters, or one that has no room in fixed storage.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let jobs = client.accept_session("jobs", "customer-7").await?;
    /// let message = jobs.next().await?;
    /// assert_eq!(message.session_id(), Some("customer-7"));
    /// jobs.complete(&message).await?;
    /// jobs.close().await;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn accept_session(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        session_id: &str,
    ) -> Result<SessionReceiver<R>, Error<S>>
    where
        S: Sessions,
    {
        let receiver = receiver.into();
        let session = SessionChoice::Named(whole::<R>(session_id, &receiver.entity)?);
        self.accept(receiver, &session).await
    }

    /// Locks any free session that has messages, waiting up to `max_wait` for one; `None` when there is none by then.
    ///
    /// Cancel safety: a dropped future leaves no lock behind.
    ///
    /// Bound: the time given.
    ///
    /// # Errors
    /// Errors of the service other than a time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// while let Some(session) = client.accept_next_session("jobs", Duration::from_secs(10)).await? {
    ///     for message in session.receive_messages(10, Duration::from_secs(1)).await? {
    ///         session.complete(&message).await?;
    ///     }
    ///     session.close().await;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn accept_next_session(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        max_wait: Duration,
    ) -> Result<Option<SessionReceiver<R>>, Error<S>>
    where
        S: Sessions,
    {
        let receiver = receiver.into();
        self.accept_next(receiver, max_wait, &SessionChoice::NextAvailable).await
    }

    /// Locks the session `session_id` in such a way that another receiver can take it over, here or elsewhere, by its
    /// [`lock_token`](SessionReceiver::lock_token) and [`Client::take_over_session`]. Services offer it in some places
    /// only; there is no falling back to an exclusive lock, which could not be taken over.
    ///
    /// Cancel safety: a dropped future leaves no lock behind.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::NotOffered`](super::ErrorKind::NotOffered) where there are no such sessions, and as
    /// [`Client::accept_session`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let jobs = client.accept_non_exclusive_session("jobs", "customer-7").await?;
    /// let token = jobs.lock_token().ok_or("an exclusive lock")?; // to be handed to the next receiver
    /// # let _ = token;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn accept_non_exclusive_session(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        session_id: &str,
    ) -> Result<SessionReceiver<R>, Error<S>>
    where
        S: Sessions + Management,
    {
        let receiver = receiver.into();
        let session = SessionChoice::NonExclusive { id: Some(whole::<R>(session_id, &receiver.entity)?), token: None };
        self.accept(receiver, &session).await
    }

    /// Locks any free session that has messages, in such a way that another receiver can take it over.
    ///
    /// Cancel safety: a dropped future leaves no lock behind.
    ///
    /// Bound: the time given.
    ///
    /// # Errors
    /// [`ErrorKind::NotOffered`](super::ErrorKind::NotOffered) where there are no such sessions, and as
    /// [`Client::accept_next_session`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let session = client.accept_next_non_exclusive_session("jobs", Duration::from_secs(10)).await?;
    /// let session = session.ok_or("no session has messages")?;
    /// assert_eq!(session.session_id(), "customer-7");
    /// assert!(session.lock_token().is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn accept_next_non_exclusive_session(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        max_wait: Duration,
    ) -> Result<Option<SessionReceiver<R>>, Error<S>>
    where
        S: Sessions + Management,
    {
        let receiver = receiver.into();
        self.accept_next(receiver, max_wait, &SessionChoice::NonExclusive { id: None, token: None }).await
    }

    /// Takes a non-exclusive session over from the receiver whose [`lock_token`](SessionReceiver::lock_token) this is.
    /// That receiver has lost the session: each of its calls fails with
    /// [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost). What it had received stays locked, and is
    /// settled by the new one.
    ///
    /// The service may need a moment to recognize the new holder: in the first half minute, calls that it refuses as
    /// "lock lost" are retried.
    ///
    /// Cancel safety: a dropped future may have taken the session over, and then leaves no lock behind.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost) when no lock goes by this token any more,
    /// [`ErrorKind::NotOffered`](super::ErrorKind::NotOffered) where there are no such sessions.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let leaving = client.accept_non_exclusive_session("jobs", "customer-7").await?;
    /// let token = leaving.lock_token().ok_or("an exclusive lock")?;
    ///
    /// let jobs = client.take_over_session("jobs", "customer-7", token).await?;
    /// jobs.set_state(Some(b"taken over")).await?;
    /// assert_eq!(leaving.state().await.unwrap_err().kind(), ErrorKind::SessionLockLost);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn take_over_session(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        session_id: &str,
        token: LockToken,
    ) -> Result<SessionReceiver<R>, Error<S>>
    where
        S: Sessions + Management,
    {
        let receiver = receiver.into();
        let session =
            SessionChoice::NonExclusive { id: Some(whole::<R>(session_id, &receiver.entity)?), token: Some(token) };
        self.accept(receiver, &session).await
    }

    async fn accept(
        &self,
        options: ReceiverOptions<S>,
        session: &SessionChoice<S>,
    ) -> Result<SessionReceiver<R>, Error<S>> {
        let mut attempt = 0;
        loop {
            let endpoint = Endpoint::in_session(&self.shared, options.clone(), session, None)?;
            match endpoint.attached(None).await {
                Ok(_) => return Ok(SessionReceiver::new(Receiver::new(endpoint))),
                Err(failure) => {
                    drop(endpoint);
                    if !wait_to_retry::<R>(&self.shared, None, &mut attempt, &failure, None).await {
                        return Err(Error::new(failure, &options.entity));
                    }
                }
            }
        }
    }

    async fn accept_next(
        &self,
        options: ReceiverOptions<S>,
        max_wait: Duration,
        session: &SessionChoice<S>,
    ) -> Result<Option<SessionReceiver<R>>, Error<S>> {
        let deadline = self.shared.now() + max_wait;
        let mut attempt = 0;
        loop {
            let timeout = deadline.left(self.shared.now()).get();
            let endpoint = Endpoint::in_session(&self.shared, options.clone(), session, Some(timeout))?;
            // The service answers at its own deadline; ours is only for a service that does not answer.
            let result = endpoint.attached(Some(deadline + Duration::from_secs(1))).await;
            let failure = match result {
                Ok(_) => return Ok(Some(SessionReceiver::new(Receiver::new(endpoint)))),
                Err(failure) => failure,
            };
            drop(endpoint);
            let waited = failure.reason() == Some(Reason::Timeout) || failure.cause == Cause::Timeout;
            if waited || self.shared.now() >= deadline {
                return if waited { Ok(None) } else { Err(Error::new(failure, &options.entity)) };
            }
            if !wait_to_retry::<R>(&self.shared, None, &mut attempt, &failure, None).await {
                return Err(Error::new(failure, &options.entity));
            }
        }
    }
}

/// A session's id as it is kept: one that was cut would be another session's, and no session has one that is longer than ids
/// may be.
fn whole<R: Runtime>(
    session_id: &str,
    entity: &Entity<StorageOf<R>>,
) -> Result<<StorageOf<R> as Storage>::Text, Error<StorageOf<R>>> {
    let id = <StorageOf<R> as Storage>::Text::cut(session_id);
    if id.as_ref() == session_id && !is_longer(session_id, MAX_ID_LEN) {
        return Ok(id);
    }
    Err(Error::new(Failure::new(Cause::Argument(Argument::SessionId)), entity))
}
