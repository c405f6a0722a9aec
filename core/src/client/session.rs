//! Receiving from one session.

use super::{Error, Receiver, StorageOf};
use crate::runtime::Runtime;
use crate::servicebus::LockToken;
use crate::servicebus::management::{GetSessionState, RenewSessionLock, SetSessionState};
use crate::storage::{Management, Storage, Text};
use crate::time::{Duration, Timestamp};
use core::fmt;
use core::ops::Deref;

/// Receives the messages of one session, in their order and alone. It derefs to [`Receiver`], and clones share the
/// session as those of a receiver share its link.
///
/// The lock of a session that was accepted as a non-exclusive one can be taken over by another receiver; this one has
/// then lost it.
///
/// The session's lock goes with its link: when that is lost, every call fails with
/// [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost), and the session has to be accepted again.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use core::time::Duration;
///
/// # use servicebus_core::servicebus::Message;
/// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
/// let session = client.accept_session("jobs", "customer-7").await?;
/// while let Some(message) = session.receive(Duration::from_secs(1)).await? {
///     session.set_state(Some(b"painted")).await?; // first: a crash before `complete` loses nothing
///     session.complete(&message).await?;
/// }
/// session.close().await;
/// # Ok(())
/// # });
/// ```
pub struct SessionReceiver<R: Runtime> {
    receiver: Receiver<R>,
    id: <StorageOf<R> as Storage>::Text,
    token: Option<LockToken>,
}

impl<R: Runtime> Clone for SessionReceiver<R> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), id: self.id.clone(), token: self.token }
    }
}

impl<R: Runtime> fmt::Debug for SessionReceiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionReceiver")
            .field("receiver", &self.receiver)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Deref for SessionReceiver<R> {
    type Target = Receiver<R>;

    fn deref(&self) -> &Receiver<R> {
        &self.receiver
    }
}

impl<R: Runtime<Storage = S>, S: Storage> SessionReceiver<R> {
    pub(super) fn new(receiver: Receiver<R>) -> Self {
        let endpoint = &receiver.endpoint;
        let (id, token) = endpoint.shared.with(|state| {
            let id = state.machine.session_of(endpoint.id).map_or("", |(id, _)| id);
            (S::Text::cut(id), state.machine.session_token(endpoint.id))
        });
        Self { receiver, id, token }
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
    /// let session = client.accept_session("jobs", "customer-7").await?.timeout(Duration::from_secs(2));
    /// session.set_state(Some(b"painted")).await?; // or an error after two seconds
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        let receiver = self.receiver.timeout(limit);
        Self { receiver, id: self.id.clone(), token: self.token }
    }

    /// The session's id.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// assert_eq!(session.session_id(), "customer-7");
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_id(&self) -> &str {
        self.id.as_ref()
    }

    /// The token by which another receiver can take the session over; `None` when its lock is exclusive. It stays what
    /// it was when the session was accepted, also when another has taken the session since.
    ///
    /// Anyone with the right to listen on the entity and this token can take the session over: treat it as a secret.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let exclusive = client.accept_session("jobs", "customer-7").await?;
    /// assert_eq!(exclusive.lock_token(), None);
    ///
    /// let shared = client.accept_non_exclusive_session("jobs", "customer-8").await?;
    /// assert!(shared.lock_token().is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock_token(&self) -> Option<LockToken> {
        self.token
    }

    /// When the session's lock ends, by the service's answer to the accept or the last renewal.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let until = session.locked_until().ok_or("no lock")?;
    /// println!("there is time until {until}");
    /// # Ok(())
    /// # });
    /// ```
    pub fn locked_until(&self) -> Option<Timestamp> {
        let endpoint = &self.receiver.endpoint;
        endpoint.shared.with(|state| state.machine.session_of(endpoint.id).and_then(|(_, until)| until))
    }

    /// Renews the session's lock and returns its new end.
    ///
    /// Cancel safety: a dropped future may still have renewed the lock.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost) when it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    ///
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// # world.sleep(Duration::from_secs(30)).await;
    /// let before = session.locked_until();
    /// let until = session.renew_session_lock().await?;
    /// assert!(Some(until) > before);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn renew_session_lock(&self) -> Result<Timestamp, Error<S>>
    where
        S: Management,
    {
        let endpoint = &self.receiver.endpoint;
        let request = RenewSessionLock { session_id: self.id.as_ref() };
        let asked_at = endpoint.shared.now();
        let known = endpoint.shared.change(|state| state.machine.renews_itself(asked_at));
        let until = endpoint.request(&request).await?.expiration().map_err(|failure| endpoint.error(failure))?;
        let clock = endpoint.shared.clock();
        endpoint.shared.change(|state| state.machine.session_renewed(clock, asked_at, known, endpoint.id, until));
        Ok(until)
    }

    /// What the session remembers; `None` when nothing was set.
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
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// assert!(session.state().await?.is_none());
    ///
    /// session.set_state(Some(b"painted")).await?;
    /// assert_eq!(session.state().await?.as_deref(), Some(&b"painted"[..]));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn state(&self) -> Result<Option<S::Payload>, Error<S>>
    where
        S: Management,
    {
        let request = GetSessionState { session_id: self.id.as_ref() };
        Ok(self.receiver.endpoint.request(&request).await?.session_state())
    }

    /// Sets what the session remembers; `None` clears it.
    ///
    /// Cancel safety: a dropped future may still have set the state.
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
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// session.set_state(Some(b"painted")).await?;
    /// session.set_state(None).await?;
    /// assert!(session.state().await?.is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn set_state(&self, state: Option<&[u8]>) -> Result<(), Error<S>>
    where
        S: Management,
    {
        let request = SetSessionState { session_id: self.id.as_ref(), state };
        self.receiver.endpoint.request(&request).await.map(|_| ())
    }

    /// Closes it for all clones: releases prefetched messages and the session.
    ///
    /// Cancel safety: once polled, closing goes on when the future is dropped.
    ///
    /// Bound: one attempt, and ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// session.close().await;
    /// let again = client.accept_session("jobs", "customer-7").await?; // free at once
    /// # let _ = again;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn close(&self) {
        self.receiver.close().await;
    }
}
