//! Locks that are kept while the application is busy.

use super::call::Endpoint;
use super::pending::{Call, drop_handle, handle};
use super::settling::other_entity;
use super::{Access, DescriptionOf, Error, Receiver, SessionReceiver};
use crate::machine::{self, ClientMachine, Clock, Failure, Locked, OperationId, RenewalId};
use crate::runtime::Runtime;
use crate::servicebus::received::Origin;
use crate::servicebus::{LockToken, ReceivedMessage};
use crate::storage::{self, Storage, Text};
use crate::time::{Duration, Timestamp};
use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::pin::pin;
use core::task::Poll;

/// Renews locks: when no more than a third of a lock is left, and at most 10 s, again and again until the message is
/// settled or the session closed. What fails is tried again while the lock lasts; that it is lost is said once.
///
/// The driver renews, not a task of its own: code of the application that blocks its task does not stop renewals as
/// long as the driver runs on another one.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use core::time::Duration;
/// use servicebus_core::client::AutoLockRenewer;
///
/// # let handle = world.clone();
/// # let sleep = async move |time| handle.sleep(time).await;
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// let receiver = client.receiver("orders")?;
/// let message = receiver.next().await?;
/// let renewal = AutoLockRenewer::new(Duration::from_secs(1_800)).message(&receiver, &message)?;
/// sleep(Duration::from_secs(900)).await; // longer than the lock of an entity may be
/// drop(renewal);
/// receiver.complete(&message).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoLockRenewer {
    /// No lock is renewed for longer than this after its registration; it then ends by itself.
    pub max_duration: Duration,
}

impl Default for AutoLockRenewer {
    /// Five minutes, as the official SDKs.
    fn default() -> Self {
        Self::new(Duration::from_secs(300))
    }
}

impl AutoLockRenewer {
    /// Renews locks for up to `max_duration` each.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use servicebus_core::client::AutoLockRenewer;
    ///
    /// const RENEWER: AutoLockRenewer = AutoLockRenewer::new(Duration::from_secs(300));
    /// assert_eq!(RENEWER, AutoLockRenewer::default());
    /// ```
    pub const fn new(max_duration: Duration) -> Self {
        Self { max_duration }
    }

    fn register<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        endpoint: &Endpoint<R>,
        add: impl FnOnce(&mut ClientMachine<S>, Clock) -> Result<RenewalId, Failure<S>>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let shared = &endpoint.shared;
        let clock = shared.clock();
        let id = shared.change(|state| add(&mut state.machine, clock));
        let id = id.map_err(|failure| endpoint.error(failure))?;
        let entity = DescriptionOf::<R>::of(&endpoint.entity);
        Ok(LockRenewal { shared: handle::<R>(shared), id, entity, subject: PhantomData })
    }

    /// Renews the lock on a message from now on, until it is settled or the returned handle is dropped.
    ///
    /// # Errors
    /// A message without a lock of its own (received and deleted, or of a session), one whose lock has ended, or too
    /// many registrations: in fixed storage there is room for as many as for requests.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::AutoLockRenewer;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let renewal = AutoLockRenewer::default().message(&receiver, &message)?;
    /// assert!(renewal.is_active());
    /// receiver.complete(&message).await?;
    /// assert!(!renewal.is_active());
    /// # Ok(())
    /// # });
    /// ```
    pub fn message<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        message: &'m ReceivedMessage<S>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        if let Some(refused) = other_entity(&receiver.endpoint, message) {
            return Err(receiver.endpoint.error(refused));
        }
        self.locked(receiver, message.locked())
    }

    /// Renews the lock with this token, which ends at `locked_until`, until the returned handle is dropped.
    ///
    /// # Errors
    /// As [`AutoLockRenewer::message`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::AutoLockRenewer;
    /// # use servicebus_core::servicebus::Disposition;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let (Some(token), Some(until)) = (message.lock_token(), message.locked_until()) else {
    ///     return Err("the message has no lock".into());
    /// };
    /// drop(message);
    /// let renewal = AutoLockRenewer::default().token(&receiver, token, until)?;
    /// # assert!(renewal.is_active());
    /// receiver.settle_by_token(token, Disposition::Complete).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn token<R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        token: LockToken,
        locked_until: Timestamp,
    ) -> Result<LockRenewal<'static, R>, Error<S>> {
        let locked = Locked { origin: Origin::NONE, token: Some(token), locked_until: Some(locked_until) };
        self.locked(receiver, locked)
    }

    pub(super) fn locked<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        receiver: &Receiver<R>,
        locked: Locked,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let (endpoint, max) = (&receiver.endpoint, self.max_duration);
        Self::register(endpoint, |machine, clock| machine.renew_message(clock, &endpoint.entity, locked, max))
    }

    /// Renews a session's lock from now on, until its receiver is closed or the returned handle is dropped.
    ///
    /// The service detaches a link without traffic after ten minutes, and with its link the session is lost, however
    /// its lock is renewed: work that takes longer is not done in one session without receiving meanwhile.
    ///
    /// # Errors
    /// A session that is lost already, or too many registrations.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::AutoLockRenewer;
    ///
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let renewal = AutoLockRenewer::default().session(&session)?;
    /// assert!(renewal.is_active());
    /// session.close().await;
    /// assert!(!renewal.is_active());
    /// # Ok(())
    /// # });
    /// ```
    pub fn session<'m, R: Runtime<Storage = S>, S: storage::LockRenewal>(
        &self,
        session: &'m SessionReceiver<R>,
    ) -> Result<LockRenewal<'m, R>, Error<S>> {
        let (endpoint, max) = (&session.endpoint, self.max_duration);
        Self::register(endpoint, |machine, clock| machine.renew_session(clock, endpoint.id, max))
    }
}

/// Why a lock is not renewed any more.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::{AutoLockRenewer, RenewalEnd};
///
/// let session = client.accept_session("jobs", "customer-7").await?;
/// let mut renewal = AutoLockRenewer::default().session(&session)?;
/// match renewal.ended().await {
///     RenewalEnd::Lost(error) => eprintln!("another has the session: {error}"),
///     RenewalEnd::Elapsed => eprintln!("five minutes are over"),
///     _ => {}
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RenewalEnd<S: Storage> {
    /// The lock is lost.
    Lost(Error<S>),
    /// The configured renewal time is over.
    Elapsed,
    /// The message was settled, or the session closed.
    Released,
}

/// The renewal of one lock. It ends when it is dropped, and with the message it borrows; a lock that was renewed lasts
/// until its end all the same. It is a handle to the client, as receivers are.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use core::time::Duration;
/// use servicebus_core::client::AutoLockRenewer;
///
/// # let handle = world.clone();
/// # let sleep = async move |time| handle.sleep(time).await;
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// # let receiver = client.receiver("orders")?;
/// let message = receiver.next().await?;
/// let mut renewal = AutoLockRenewer::default().message(&receiver, &message)?;
/// let work = sleep(Duration::from_secs(120));
/// renewal.during(work, |error| eprintln!("the lock is lost: {error}")).await;
/// receiver.complete(&message).await?;
/// # Ok(())
/// # });
/// ```
#[must_use = "dropped, it renews the lock no longer"]
pub struct LockRenewal<'m, R: Runtime> {
    shared: Access<R>,
    id: RenewalId,
    entity: DescriptionOf<R>,
    subject: PhantomData<&'m ()>,
}

impl<R: Runtime> fmt::Debug for LockRenewal<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRenewal").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<R: Runtime> Drop for LockRenewal<'_, R> {
    fn drop(&mut self) {
        let clock = self.shared.clock();
        self.shared.change(|state| state.machine.forget_renewal(clock, self.id));
        drop_handle::<R>(&self.shared);
    }
}

impl<R: Runtime<Storage = S>, S: Storage> LockRenewal<'_, R> {
    /// Whether the lock is still renewed.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::AutoLockRenewer;
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let renewal = AutoLockRenewer::default().session(&session)?;
    /// assert!(renewal.is_active());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_active(&self) -> bool {
        self.shared.with(|state| state.machine.is_renewing(self.id))
    }

    /// When the lock ends, by the service's last answer.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use core::time::Duration;
    /// # use servicebus_core::client::AutoLockRenewer;
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let renewal = AutoLockRenewer::default().session(&session)?;
    /// let first = renewal.locked_until();
    /// # world.sleep(Duration::from_secs(120)).await;
    /// // Minutes later:
    /// assert!(renewal.locked_until() > first);
    /// # Ok(())
    /// # });
    /// ```
    pub fn locked_until(&self) -> Option<Timestamp> {
        self.shared.with(|state| state.machine.renewed_until(self.id))
    }

    fn of_entity(&self, failure: Failure<S>) -> Error<S> {
        Error::new(failure, &self.entity.as_ref())
    }

    /// Why the lock is lost; `None` while it is not.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::AutoLockRenewer;
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let renewal = AutoLockRenewer::default().session(&session)?;
    /// if let Some(error) = renewal.error() {
    ///     eprintln!("another has the session: {error}");
    /// }
    /// # assert!(renewal.error().is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn error(&self) -> Option<Error<S>> {
        let failure = self.shared.with(|state| state.machine.renewal_failure(self.id).cloned());
        failure.map(|failure| self.of_entity(failure))
    }

    /// Waits until renewal ends, and returns the reason.
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
    /// # use core::time::Duration;
    /// # use servicebus_core::client::RenewalEnd;
    /// use servicebus_core::client::AutoLockRenewer;
    ///
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let mut renewal = AutoLockRenewer::new(Duration::from_secs(90)).session(&session)?;
    /// assert!(matches!(renewal.ended().await, RenewalEnd::Elapsed)); // after these 90 seconds
    /// # Ok(())
    /// # });
    /// ```
    pub async fn ended(&mut self) -> RenewalEnd<S> {
        let id = self.id;
        let poll = |machine: &mut ClientMachine<S>, operation: OperationId| machine.poll_renewal(operation, id);
        match Call::<R, _>::start(&self.shared, None, None, poll) {
            Ok(call) => match call.await {
                machine::RenewalEnd::Lost(failure) => RenewalEnd::Lost(self.of_entity(failure)),
                machine::RenewalEnd::Elapsed => RenewalEnd::Elapsed,
                machine::RenewalEnd::Released => RenewalEnd::Released,
            },
            // The client is closed, or has no room for a waiting call: returns the present state.
            Err(failure) => match self.error() {
                Some(lost) => RenewalEnd::Lost(lost),
                None if self.is_active() => RenewalEnd::Lost(self.of_entity(failure)),
                None => RenewalEnd::Released,
            },
        }
    }

    /// Runs `work` and calls `on_lost` if the lock is lost meanwhile; `work` continues either way.
    ///
    /// Cancel safety: that of `work`.
    ///
    /// Bound: that of `work`.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::cell::Cell;
    /// use core::time::Duration;
    ///
    /// # use servicebus_core::client::AutoLockRenewer;
    /// # let handle = world.clone();
    /// # let sleep = async move |time| handle.sleep(time).await;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let receiver = client.receiver("orders")?;
    /// # let message = receiver.next().await?;
    /// let is_lost = Cell::new(false);
    /// let mut renewal = AutoLockRenewer::default().message(&receiver, &message)?;
    /// let work = async {
    ///     sleep(Duration::from_secs(120)).await;
    ///     if is_lost.get() { Err("another has the message") } else { Ok(()) }
    /// };
    /// renewal.during(work, |_| is_lost.set(true)).await?;
    /// receiver.complete(&message).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn during<T>(&mut self, work: impl Future<Output = T>, on_lost: impl FnOnce(Error<S>)) -> T {
        let mut work = pin!(work);
        let mut ended = pin!(self.ended());
        let mut on_lost = Some(on_lost);
        let mut over = false;
        poll_fn(|cx| {
            // Work that is done settles the message, and that is no loss.
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if !over && let Poll::Ready(end) = ended.as_mut().poll(cx) {
                over = true;
                if let (RenewalEnd::Lost(failure), Some(on_lost)) = (end, on_lost.take()) {
                    on_lost(failure);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Receiver<R> {
    /// Why the lock on a message could not be renewed, while its [`LockRenewal`] lives; `None` while it is not lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::AutoLockRenewer;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let renewal = AutoLockRenewer::default().message(&receiver, &message)?;
    /// // … long work, then before what cannot be undone:
    /// if let Some(lost) = receiver.lock_renewal_error(&message) {
    ///     return Err(lost.into());
    /// }
    /// receiver.complete(&message).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock_renewal_error(&self, message: &ReceivedMessage<S>) -> Option<Error<S>> {
        let locked = message.locked();
        let failure = self.endpoint.shared.with(|state| state.machine.message_renewal_failure(&locked).cloned());
        failure.map(|failure| self.endpoint.error(failure))
    }
}

impl<R: Runtime<Storage = S>, S: Storage> SessionReceiver<R> {
    /// Why the session's lock could not be renewed, while its [`LockRenewal`] lives; `None` while it is not lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::AutoLockRenewer;
    /// let session = client.accept_session("jobs", "customer-7").await?;
    /// let renewal = AutoLockRenewer::default().session(&session)?;
    /// // … long work, then before what cannot be undone:
    /// if let Some(lost) = session.session_lock_renewal_error() {
    ///     return Err(lost.into());
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_lock_renewal_error(&self) -> Option<Error<S>> {
        let endpoint = &self.endpoint;
        let failure = endpoint.shared.with(|state| state.machine.session_renewal_failure(endpoint.id).cloned());
        failure.map(|failure| endpoint.error(failure))
    }
}
