//! Sending to a queue or topic.

use super::attempts::{Attempt, Turn, start_try};
use super::call::Endpoint;
use super::error;
use super::pending::{PayloadOf, TransactionOf};
use super::{Error, SendAllError, SendError, StorageOf};
use crate::machine::{Cause, ClientMachine, Clock, Entity, Failure, OperationId, SizeLimits};
use crate::random::Random;
use crate::runtime::Runtime;
use crate::servicebus::batch::BATCH_FORMAT;
use crate::servicebus::{AsMessage, BatchError, MessageBatch};
use crate::storage::Storage;
use crate::time::{Duration, Timestamp};
use crate::wire::Uuid;
use core::fmt;
use core::future::Future;
use core::task::{Poll, Waker, ready};

/// Sends messages to a queue or topic. It is a handle: clones share one link, and many sends may be under way at once.
/// With the last clone dropped, the link is closed in the background.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::servicebus::Message;
///
/// let orders = client.sender("orders")?;
/// orders.send("two of the blue ones").await?;
/// orders.send(&Message::new("three more").with_message_id("order-7").with_property("priority", 1)).await?;
/// orders.send_all(&["one", "two", "three"]).await?;
/// # Ok(())
/// # });
/// ```
pub struct Sender<R: Runtime> {
    pub(super) endpoint: Endpoint<R>,
    /// One message is under way at once, and no other overtakes it.
    #[cfg(feature = "alloc")]
    pub(super) is_ordered: bool,
}

impl<R: Runtime> Clone for Sender<R> {
    fn clone(&self) -> Self {
        self.with_endpoint(self.endpoint.clone())
    }
}

impl<R: Runtime> fmt::Debug for Sender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("entity", &self.endpoint.entity).finish()
    }
}

/// Sending a message once, which is encoded for each attempt.
pub(super) struct Sending<'c, R: Runtime, M: ?Sized> {
    endpoint: &'c Endpoint<R>,
    message: &'c M,
    /// What the engine has not taken yet.
    payload: Option<PayloadOf<R>>,
    transaction: Option<TransactionOf<R>>,
    /// The id of a message without one: the same in every attempt, so that the service can tell a second one.
    id: Option<Uuid>,
}

impl<'c, R: Runtime, M: AsMessage + ?Sized> Sending<'c, R, M> {
    pub(super) fn new(endpoint: &'c Endpoint<R>, message: &'c M, transaction: Option<TransactionOf<R>>) -> Self {
        Self { endpoint, message, payload: None, transaction, id: None }
    }
}

impl<R: Runtime, M: AsMessage + ?Sized> Attempt<R> for Sending<'_, R, M> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        let id = if self.transaction.is_none() { Some(&mut self.id) } else { None };
        self.endpoint.encode_and_start(&self.message.as_message(), id, turn, waker, &mut self.payload)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        _: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let mut unsent = self.payload.as_ref();
        let polled = machine.poll_send(operation, self.endpoint.id, &mut unsent, 0, self.transaction);
        if unsent.is_none() {
            self.payload = None;
        }
        polled
    }
}

/// Sends a message that is encoded once, from the place that it keeps.
pub(super) struct SendingEncoded<'c, R: Runtime> {
    pub(super) endpoint: &'c Endpoint<R>,
    pub(super) payload: &'c PayloadOf<R>,
    pub(super) format: u32,
    /// What the engine has not taken yet.
    pub(super) unsent: Option<&'c PayloadOf<R>>,
    pub(super) transaction: Option<TransactionOf<R>>,
}

impl<'c, R: Runtime> SendingEncoded<'c, R> {
    pub(super) fn batch(
        endpoint: &'c Endpoint<R>,
        batch: &'c PayloadOf<R>,
        transaction: Option<TransactionOf<R>>,
    ) -> Self {
        Self { endpoint, payload: batch, format: BATCH_FORMAT, unsent: None, transaction }
    }
}

impl<R: Runtime> Attempt<R> for SendingEncoded<'_, R> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        self.unsent = Some(self.payload);
        start_try::<R>(&self.endpoint.shared, Some(self.endpoint.id), turn, waker)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        _: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        machine.poll_send(operation, self.endpoint.id, &mut self.unsent, self.format, self.transaction)
    }
}

/// Waiting for the link.
struct Attaching<'c, R: Runtime> {
    endpoint: &'c Endpoint<R>,
    limits: Option<SizeLimits>,
}

impl<R: Runtime> Attaching<'_, R> {
    /// What the link allows, once it is there.
    fn limits(self) -> Result<SizeLimits, Error<StorageOf<R>>> {
        let Self { endpoint, limits } = self;
        limits.ok_or_else(|| endpoint.error(Failure::new(Cause::LinkLost)))
    }
}

impl<R: Runtime> Attempt<R> for Attaching<'_, R> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        start_try::<R>(&self.endpoint.shared, Some(self.endpoint.id), turn, waker)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        _: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let limits = ready!(machine.poll_attached(operation, self.endpoint.id));
        Poll::Ready(limits.map(|limits| self.limits = Some(limits)))
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Sender<R> {
    pub(super) fn new(endpoint: Endpoint<R>) -> Self {
        Self {
            endpoint,
            #[cfg(feature = "alloc")]
            is_ordered: false,
        }
    }

    fn with_endpoint(&self, endpoint: Endpoint<R>) -> Self {
        Self {
            endpoint,
            #[cfg(feature = "alloc")]
            is_ordered: self.is_ordered,
        }
    }

    /// A clone whose calls end within `limit`, whatever the retry policy allows: an attempt that is under way then ends
    /// with [`ErrorKind::Timeout`](super::ErrorKind::Timeout), and no pause before another attempt is begun that would
    /// last longer.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let orders = client.sender("orders")?;
    /// # world.set_black_hole(true);
    /// // Nothing answers: known after two seconds instead of minutes.
    /// let error = orders.timeout(Duration::from_secs(2)).send("now or never").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        self.with_endpoint(self.endpoint.limited(limit))
    }

    /// Sends one message and waits until the service has stored it.
    ///
    /// A send whose outcome was lost with the connection is tried again, so that the message can arrive twice. Every
    /// attempt has the same message id: an entity that detects duplicates keeps one. A message without an id gets one
    /// for that, as [`Settings::message_ids`](crate::machine::Settings::message_ids) says.
    ///
    /// Messages that are sent one after the other, each awaited before the next, are stored in that order. Of sends
    /// that are under way together the first poll of each decides, and one that is tried again comes behind those sent
    /// meanwhile: an [ordered](super::SenderOptions::ordered) sender keeps the order all the same.
    ///
    /// Cancel safety: a dropped future may still have sent the message. What had not begun is not sent.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// A message that is not valid or too large, and what the service says, after the retries of the policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Message;
    ///
    /// let orders = client.sender("orders")?;
    /// orders.send("two of the blue ones").await?;
    /// orders.send(&Message::new("three more").with_message_id("order-7")).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send(&self, message: &(impl AsMessage + ?Sized)) -> Result<(), Error<S>> {
        #[cfg(feature = "alloc")]
        if self.is_ordered {
            let payload =
                self.endpoint.encode(&message.as_message()).map_err(|failure| self.endpoint.error(failure))?;
            return self.send_in_order(payload, 0).await;
        }
        let sending = Sending::new(&self.endpoint, message, None);
        in_span!("ServiceBus.send", self.endpoint.entity, self.endpoint.attempts(sending))
    }

    /// Waits for the link and returns its limits.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// Why there is no link, after the retries of the policy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let limits = client.sender("orders")?.size_limits().await?;
    /// assert!(limits.message >= 256 * 1_024);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn size_limits(&self) -> Result<SizeLimits, Error<S>> {
        let mut attaching = Attaching { endpoint: &self.endpoint, limits: None };
        self.endpoint.attempts(&mut attaching).await?;
        attaching.limits()
    }

    /// An empty batch of the size that the link allows.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// As [`Sender::size_limits`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let mut batch = orders.create_batch().await?;
    /// for order in ["one", "two", "three"] {
    ///     batch.try_add(order)?;
    /// }
    /// assert_eq!(batch.len(), 3);
    /// orders.send_batch(batch).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_batch(&self) -> Result<MessageBatch<S>, Error<S>> {
        let mut attaching = Attaching { endpoint: &self.endpoint, limits: None };
        self.endpoint.attempts(&mut attaching).await?;
        let limits = attaching.limits()?;
        let limit = usize::try_from(limits.batch).unwrap_or(usize::MAX);
        let batch = MessageBatch::new(limit, self.now());
        if !S::MESSAGE_IDS {
            return Ok(batch);
        }
        let ids = self.endpoint.shared.with(|state| {
            let wanted = state.machine.settings().message_ids;
            wanted.then(|| Random::seeded(state.machine.random().next()))
        });
        Ok(batch.with_ids(ids))
    }

    /// Sends a batch: all of it is stored, or nothing. An empty one is not sent at all.
    ///
    /// Cancel safety: a dropped future may still have sent the batch. What had not begun is not sent.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Sender::send`]; the batch comes back.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let mut batch = orders.create_batch().await?;
    /// batch.try_add("one")?;
    /// batch.try_add("two")?;
    /// if let Err(unsent) = orders.send_batch(batch).await {
    ///     let (error, batch) = unsent.into_parts();
    ///     eprintln!("{} messages are left: {error}", batch.len());
    /// }
    /// # let receiver = client.receiver("orders")?;
    /// # assert_eq!(receiver.receive_messages(10, core::time::Duration::from_secs(1)).await?.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    #[allow(clippy::manual_async_fn, reason = "an async function would hold its argument twice")]
    pub fn send_batch(
        &self,
        mut batch: MessageBatch<S>,
    ) -> impl Future<Output = Result<(), SendError<S, MessageBatch<S>>>> {
        async move {
            match self.send_from(&mut batch).await {
                Ok(()) => Ok(()),
                Err(error) => Err(SendError::new(error, batch)),
            }
        }
    }

    /// Sends a batch from its place.
    async fn send_from(&self, batch: &mut MessageBatch<S>) -> Result<(), Error<S>> {
        let Some(payload) = batch.seal() else { return Ok(()) };
        #[cfg(feature = "alloc")]
        if self.is_ordered {
            return self.send_in_order(payload.clone(), BATCH_FORMAT).await;
        }
        let sending = self.endpoint.attempts(SendingEncoded::batch(&self.endpoint, payload, None));
        in_span!("ServiceBus.send", self.endpoint.entity, sending)
    }

    /// Sends messages in as few batches as they fit into, one after the other: of each batch all messages are stored,
    /// or none.
    ///
    /// Cancel safety: a dropped future may still have sent some of the messages, or all of them.
    ///
    /// Bound: the retry policy for each batch.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`Sender::send`], with the number of messages that are stored: those before the first that is not valid or
    /// too large for a batch, or before the batch that was not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let lines = ["one", "two", "three"];
    /// if let Err(error) = orders.send_all(&lines).await {
    ///     eprintln!("{} of {} are stored: {}", error.stored(), lines.len(), error.error());
    /// }
    /// # let receiver = client.receiver("orders")?;
    /// # assert_eq!(receiver.receive_messages(10, core::time::Duration::from_secs(1)).await?.len(), 3);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send_all(&self, messages: &[impl AsMessage]) -> Result<(), SendAllError<S>> {
        let mut stored = 0;
        while stored < messages.len() {
            let mut batch = self.create_batch().await.map_err(|error| SendAllError::new(error, stored))?;
            let mut refused = None;
            for message in messages.iter().skip(stored) {
                match batch.try_add(message) {
                    Ok(()) => {}
                    Err(BatchError::Full) => break,
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            let count = batch.len();
            self.send_from(&mut batch).await.map_err(|error| SendAllError::new(error, stored))?;
            stored += count;
            if let Some(error) = refused {
                return Err(SendAllError::new(self.endpoint.error(error::not_added(&error)), stored));
            }
        }
        Ok(())
    }

    /// Closes it for all clones: waits for messages under way, then detaches the link.
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
    /// let orders = client.sender("orders")?;
    /// orders.send("the last one").await?;
    /// orders.close().await;
    /// assert_eq!(orders.send("one more").await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # });
    /// ```
    pub fn close(&self) -> impl Future<Output = ()> {
        self.endpoint.close()
    }
}

impl<R: Runtime> Sender<R> {
    /// UTC by the clock of the runtime, as for [`Sender::schedule`]: the clock of tests and of devices may not be the
    /// system's.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let orders = client.sender("orders")?;
    /// let tomorrow = orders.now() + Duration::from_secs(24 * 60 * 60);
    /// orders.schedule("a reminder", tomorrow).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn now(&self) -> Timestamp {
        self.endpoint.shared.clock().utc
    }
}
