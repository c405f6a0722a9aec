//! How the connection of a client stands.

use super::pending::{Pending, news, poll_pending};
use super::{Client, Error};
use crate::machine::{Cause, ClientMachine, Failure, OperationId, Phase};
use crate::runtime::Runtime;
use crate::storage::Storage;
use crate::time::{Duration, Timestamp};
use core::fmt;
use core::future::poll_fn;
use core::mem::discriminant;
use core::task::Poll;

/// How the connection of a client stands. It is opened when a call needs it.
///
/// `Connecting` and `Recovering` last only while a call waits for the connection: a processor, a pending receive, or a send
/// under way. With a sender alone the state is `Idle` again as soon as a send has failed, so that the next one pays its
/// whole time-out anew. A service that wants to answer 503 at once during an outage keeps one call waiting, in a task of its
/// own:
///
/// ```
/// # use core::time::Duration;
/// # use servicebus_core::client::Client;
/// # use servicebus_core::runtime::Runtime;
/// use servicebus_core::client::ConnectionState;
///
/// # async fn sleep(_: Duration) {}
/// // Keeps the connection open, or `Recovering`.
/// async fn keep_open<R: Runtime>(client: Client<R>) {
///     while !matches!(client.state(), ConnectionState::Closed) {
///         match client.ready(Duration::from_secs(60)).await {
///             Ok(()) => {
///                 let state = client.state();
///                 if matches!(state, ConnectionState::Connected) {
///                     client.state_changed(&state).await;
///                 }
///             }
///             Err(error) if error.is_transient() => {} // an outage: wait on
///             Err(_) => sleep(Duration::from_secs(10)).await,
///         }
///     }
/// }
///
/// // Asked by each request before it sends.
/// fn is_available<R: Runtime>(client: &Client<R>) -> bool {
///     !matches!(client.state(), ConnectionState::Recovering { .. } | ConnectionState::Closed)
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionState<S: Storage> {
    /// There is none, and no call waits for one; also during an outage, between two calls.
    Idle,
    /// It is being opened.
    Connecting,
    /// It is open.
    Connected,
    /// It was lost, or could not be opened, and the client tries again because a call waits for it. Attempts are as far apart as
    /// the pauses of the [`RetryPolicy`](crate::servicebus::RetryPolicy): up to `max_delay`, a minute by default, so that
    /// the state can last that long after the service is back.
    Recovering {
        /// When it was lost, or could not be opened for the first time.
        since: Timestamp,
        /// Why it was lost or could not be opened last.
        error: Error<S>,
    },
    /// The client is closed, or its driver was dropped.
    Closed,
}

impl<S: Storage> fmt::Display for ConnectionState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Connecting => f.write_str("connecting"),
            Self::Connected => f.write_str("connected"),
            Self::Recovering { since, error } => write!(f, "recovering since {since}: {error}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

impl<S: Storage> ConnectionState<S> {
    fn of(machine: &ClientMachine<S>) -> Self {
        match machine.phase() {
            Phase::Idle => Self::Idle,
            Phase::Connecting => Self::Connecting,
            Phase::Connected => Self::Connected,
            Phase::Recovering(since) => {
                let failure = machine.last_failure().cloned();
                Self::Recovering { since, error: Error::of(failure.unwrap_or_else(|| Failure::new(Cause::LinkLost))) }
            }
            Phase::Closed => Self::Closed,
        }
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// How the connection stands now.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ConnectionState;
    ///
    /// assert!(matches!(client.state(), ConnectionState::Idle));
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// assert!(matches!(client.state(), ConnectionState::Connected));
    /// # Ok(())
    /// # });
    /// ```
    pub fn state(&self) -> ConnectionState<S> {
        self.shared.with(|state| ConnectionState::of(&state.machine))
    }

    /// Waits until the connection's state is another one than `known`, and returns it. Given the state that was returned
    /// last, no change is missed that lasts. A state of another kind counts, not another `error` in
    /// [`ConnectionState::Recovering`].
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: none; it ends with the client.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::ConnectionState;
    ///
    /// # let (watched, handle) = (client.clone(), world.clone());
    /// # world.spawn(async move {
    /// #     let _ = watched.ready(core::time::Duration::from_secs(5)).await;
    /// #     handle.sleep(core::time::Duration::from_secs(60)).await;
    /// #     watched.close().await;
    /// # });
    /// let mut state = client.state();
    /// while !matches!(state, ConnectionState::Closed) {
    ///     state = client.state_changed(&state).await;
    ///     println!("{state:?}");
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn state_changed(&self, known: &ConnectionState<S>) -> ConnectionState<S> {
        let known = discriminant(known);
        news::<R, _>(&self.shared, ClientMachine::start_watch, |machine| {
            let state = ConnectionState::of(machine);
            let stays = discriminant(&state) == known && !matches!(state, ConnectionState::Closed);
            if stays { Poll::Pending } else { Poll::Ready(state) }
        })
        .await
    }

    /// Opens the connection, if there is none, and waits until it is open: name resolution, TCP, TLS where it is used, and
    /// the open of AMQP. It checks neither the key nor that an entity exists, which the service does at the first link: a
    /// readiness probe that has to know calls [`Sender::size_limits`](super::Sender::size_limits), which sends no message.
    ///
    /// A pause between two attempts to connect is not shortened; the
    /// [`RetryPolicy`](crate::servicebus::RetryPolicy) sets how long they are.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the time given.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](super::ErrorKind::Timeout), whose text and source are those of the last attempt, and at once
    /// what another attempt to connect does not mend, such as a server that is none of AMQP. A wrong key is no such error.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    ///
    /// client.ready(Duration::from_secs(5)).await?; // at the start of a service
    ///
    /// # world.set_reachable(false);
    /// # client.disconnect().await;
    /// let outage = client.ready(Duration::from_secs(5)).await.unwrap_err();
    /// assert!(outage.is_transient());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn ready(&self, timeout: Duration) -> Result<(), Error<S>> {
        let deadline = self.shared.now() + timeout;
        let started = self.shared.change(|state| state.machine.start_opening(deadline));
        let mut pending = Pending::<R> { shared: &self.shared, operation: Some(started.map_err(Error::of)?) };
        let opened = |machine: &mut ClientMachine<S>, operation: OperationId| machine.poll_opened(operation);
        poll_fn(|cx| poll_pending(&mut pending, cx, opened)).await.map_err(Error::of)
    }
}
