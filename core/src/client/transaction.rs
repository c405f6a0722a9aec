//! Transactions: messages sent and settled together, or not at all (AMQP 1.0 §4).
// docs/evidence/wire-protocol.md §3.6

use super::attempts::wait_to_retry;
use super::call::Endpoint;
use super::pending::{Pending, TransactionOf, poll_pending};
use super::sender::{Sending, SendingEncoded};
use super::settling::Settling;
use super::{Client, Error, Receiver, SendError, Sender};
use crate::engine::EngineError;
use crate::machine::{Cause, ClientMachine, Control, Disposition, Entity, Failure, Kind, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::Argument;
use crate::servicebus::management::Schedule;
use crate::servicebus::{AsMessage, MessageBatch, ReceivedMessage};
use crate::storage::{Management, Payload, Storage, Transactions};
use crate::time::{Duration, Instant, Timestamp};
use core::fmt;
use core::future::{Future, poll_fn};

/// Begins transactions. It is a handle: clones, and the transactions themselves, share one link to the service's
/// coordinator, which is closed with the last of them.
///
/// A transaction belongs to one queue or topic. To span several, make the client with cross-entity transactions: then
/// all of them can be sent to, and only the first entity that is received from can be received from or peeked.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let transactions = client.transactions("orders")?;
/// for pair in [["one", "another one"], ["two", "another two"]] {
///     let transaction = transactions.begin().await?; // all share one link
///     transaction.send(&orders, pair[0]).await?;
///     transaction.send(&orders, pair[1]).await?;
///     transaction.commit().await?;
/// }
/// # assert_eq!(client.receiver("orders")?.peek(0, 10).await?.len(), 4);
/// # Ok(())
/// # });
/// ```
pub struct TransactionController<R: Runtime> {
    endpoint: Endpoint<R>,
}

impl<R: Runtime> Clone for TransactionController<R> {
    fn clone(&self) -> Self {
        Self { endpoint: self.endpoint.clone() }
    }
}

impl<R: Runtime> fmt::Debug for TransactionController<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionController").field("entity", &self.endpoint.entity).finish()
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// A controller of transactions, authorized by a right on `entity`.
    ///
    /// # Errors
    /// As [`Client::sender`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let transactions = client.transactions("orders")?;
    /// let transaction = transactions.begin().await?;
    /// # drop(transaction);
    /// # Ok(())
    /// # });
    /// ```
    pub fn transactions(&self, entity: impl Into<Entity<S>>) -> Result<TransactionController<R>, Error<S>>
    where
        S: Transactions,
    {
        Ok(TransactionController { endpoint: Endpoint::new(&self.shared, Kind::Coordinator, entity.into(), None)? })
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// Begins a transaction, which owns its handles. It is authorized by the right on an entity that the client has a
    /// sender or receiver of. The service rolls it back by itself after two minutes.
    ///
    /// Each has a link to the service's coordinator; many transactions share one that are begun by a
    /// [`TransactionController`].
    ///
    /// Cancel safety: a transaction that was begun by a dropped future ends by itself.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](super::ErrorKind::InvalidArgument) while the client has no sender and no
    /// receiver; otherwise as [`TransactionController::begin`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.send(&orders, "one").await?;
    /// transaction.send(&orders, "two").await?;
    /// transaction.commit().await?;
    /// # assert_eq!(client.receiver("orders")?.peek(0, 10).await?.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn begin_transaction(&self) -> Result<Transaction<R>, Error<S>>
    where
        S: Transactions,
    {
        let entity = self.shared.with(|state| state.machine.used_entity());
        let Some(entity) = entity else {
            let why = "a transaction begins on a client that has a sender or receiver";
            return Err(Error::of(Failure::explained(Cause::Engine(EngineError::IllegalState), &why)));
        };
        self.transactions(entity)?.begin().await
    }
}

impl<R: Runtime<Storage = S>, S: Storage> TransactionController<R> {
    /// A clone whose transactions begin, commit and roll back within `limit`, whatever the retry policy allows. What is
    /// sent and settled under them ends as the time-outs of its senders and receivers say.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::time::Duration;
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let transactions = client.transactions("orders")?;
    /// # world.set_black_hole(true);
    /// // Nothing answers: known after two seconds instead of minutes.
    /// let error = transactions.timeout(Duration::from_secs(2)).begin().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        Self { endpoint: self.endpoint.limited(limit) }
    }

    async fn control(
        &self,
        control: Control<S>,
        until: Option<Instant>,
    ) -> Result<Option<TransactionOf<R>>, Failure<S>> {
        let id = self.endpoint.id;
        let payload = S::Payload::encode(&control).map_err(|_| Failure::new(Cause::Argument(Argument::Storage)))?;
        let mut unsent = Some(&payload);
        let poll =
            |machine: &mut ClientMachine<S>, operation: OperationId| machine.poll_control(operation, id, &mut unsent);
        self.endpoint.call(Some(self.endpoint.try_deadline_within(until)), poll)?.await
    }

    /// Begins a transaction. The service rolls it back by itself after two minutes.
    ///
    /// Cancel safety: a transaction that was begun by a dropped future ends by itself.
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
    /// let transactions = client.transactions("orders")?;
    /// let transaction = transactions.begin().await?;
    /// transaction.send(&client.sender("orders")?, "one").await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn begin(&self) -> Result<Transaction<R>, Error<S>> {
        let (mut attempt, until) = (0, self.endpoint.until());
        loop {
            match self.control(Control::Declare, until).await {
                Ok(Some(id)) => return Ok(Transaction { controller: self.clone(), id, open: true }),
                Ok(None) => return Err(self.endpoint.error(Failure::answered(Cause::Malformed))),
                Err(failure) => {
                    if !wait_to_retry::<R>(&self.endpoint.shared, None, &mut attempt, &failure, until).await {
                        return Err(self.endpoint.error(failure));
                    }
                }
            }
        }
    }

    /// Closes it for all clones: detaches the controller's link; open transactions are rolled back.
    ///
    /// Cancel safety: once polled, closing goes on when the future is dropped.
    ///
    /// Bound: one attempt, and ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let transactions = client.transactions("orders")?;
    /// let transaction = transactions.begin().await?;
    /// transaction.send(&client.sender("orders")?, "one").await?;
    /// transactions.close().await; // it was not committed
    /// # drop(transaction);
    /// # assert!(client.receiver("orders")?.peek(0, 10).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn close(&self) {
        self.endpoint.close().await;
    }
}

/// A transaction. Dropped, it is rolled back. When the connection is lost, the service rolls it back and everything
/// done under it from then on fails; nothing is tried again, since what was done before is gone.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// let (receiver, sender) = (client.receiver("orders")?, client.sender("orders")?);
/// let message = receiver.next().await?;
///
/// // The order is replaced: both happen, or neither.
/// let transaction = client.begin_transaction().await?;
/// transaction.complete(&receiver, &message).await?;
/// transaction.send(&sender, "two of the green ones").await?;
/// transaction.commit().await?;
/// # assert_eq!(receiver.next().await?.text()?, "two of the green ones");
/// # Ok(())
/// # });
/// ```
#[must_use = "dropped, it is rolled back"]
pub struct Transaction<R: Runtime> {
    controller: TransactionController<R>,
    id: TransactionOf<R>,
    open: bool,
}

impl<R: Runtime> fmt::Debug for Transaction<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.id).finish()
    }
}

impl<R: Runtime> Drop for Transaction<R> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (endpoint, control) = (&self.controller.endpoint, Control::Discharge { id: self.id, fail: true });
        let driver = endpoint.shared.with(|state| {
            state.machine.send_control(endpoint.id, &control);
            state.wake_driver()
        });
        if let Some(waker) = driver {
            waker.wake();
        }
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Transaction<R> {
    /// Sends a message under the transaction: it is stored when that commits.
    ///
    /// Cancel safety: a dropped future may still have sent the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Sender::send`], at the first attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.send(&orders, "two of the blue ones").await?;
    /// # let receiver = client.receiver("orders")?;
    /// assert!(receiver.peek(0, 1).await?.is_empty()); // not yet
    /// transaction.commit().await?;
    /// assert_eq!(receiver.peek(0, 1).await?.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send(&self, sender: &Sender<R>, message: &(impl AsMessage + ?Sized)) -> Result<(), Error<S>> {
        let sending = Sending::new(&sender.endpoint, message, Some(self.id));
        sender.endpoint.attempt_once(sending).await
    }

    /// Sends a batch under the transaction.
    ///
    /// Cancel safety: a dropped future may still have sent the batch.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Sender::send`], at the first attempt; the batch comes back.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let mut batch = orders.create_batch().await?;
    /// batch.try_add("one")?;
    /// batch.try_add("two")?;
    ///
    /// let transaction = client.begin_transaction().await?;
    /// transaction.send_batch(&orders, batch).await?;
    /// transaction.commit().await?;
    /// # assert_eq!(client.receiver("orders")?.peek(0, 10).await?.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    #[allow(clippy::manual_async_fn, reason = "an async function would hold its argument twice")]
    pub fn send_batch(
        &self,
        sender: &Sender<R>,
        mut batch: MessageBatch<S>,
    ) -> impl Future<Output = Result<(), SendError<S, MessageBatch<S>>>> {
        async move {
            let Some(payload) = batch.seal() else { return Ok(()) };
            let sending = SendingEncoded::batch(&sender.endpoint, payload, Some(self.id));
            match sender.endpoint.attempt_once(sending).await {
                Ok(()) => Ok(()),
                Err(error) => Err(SendError::new(error, batch)),
            }
        }
    }

    /// Schedules a message under the transaction, and returns the sequence number that it gets.
    ///
    /// Cancel safety: a dropped future may still have scheduled the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Sender::schedule`], at the first attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use core::time::Duration;
    ///
    /// let orders = client.sender("orders")?;
    /// let transaction = client.begin_transaction().await?;
    /// let reminder = transaction.schedule(&orders, "a reminder", orders.now() + Duration::from_secs(3_600)).await?;
    /// transaction.commit().await?;
    ///
    /// orders.cancel_scheduled(&[reminder]).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn schedule(
        &self,
        sender: &Sender<R>,
        message: &(impl AsMessage + ?Sized),
        at: Timestamp,
    ) -> Result<i64, Error<S>>
    where
        S: Management,
    {
        let endpoint = &sender.endpoint;
        let (id, utc) = (endpoint.new_id(), sender.now());
        let message = super::scheduling::scheduled(message.as_message(), &id, at, utc)
            .map_err(|failure| endpoint.error(failure))?;
        let request = Schedule { messages: core::slice::from_ref(&message) };
        let (entity, transaction) = (&endpoint.entity, Some(self.id));
        let response = match Pending::start(&endpoint.shared, Some(endpoint.id), Some(endpoint.try_deadline())) {
            Ok(mut pending) => {
                poll_fn(|cx| {
                    let clock = endpoint.shared.clock();
                    poll_pending(&mut pending, cx, |machine, operation| {
                        machine.poll_request(clock, operation, entity, &request, transaction)
                    })
                })
                .await
            }
            Err(failure) => Err(failure),
        };
        let number = response.map(|response| response.sequence_numbers().next());
        number
            .and_then(|number| number.ok_or_else(|| Failure::answered(Cause::Malformed)))
            .map_err(|failure| endpoint.error(failure))
    }

    /// Settles a message under the transaction: it is settled when that commits, and keeps its lock otherwise. Settled
    /// again, it needs a storage with [`Management`](crate::storage::Management); elsewhere it comes again when its
    /// lock has ended.
    ///
    /// Cancel safety: a dropped future may still have settled the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Receiver::complete`], at the first attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Disposition;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.settle(&receiver, &message, Disposition::Abandon { properties: &[("tries", 1.into())] }).await?;
    /// transaction.commit().await?;
    /// assert_eq!(receiver.next().await?.property("tries"), Some(1.into()));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn settle(
        &self,
        receiver: &Receiver<R>,
        message: &ReceivedMessage<S>,
        disposition: Disposition<'_>,
    ) -> Result<(), Error<S>> {
        let endpoint = &receiver.endpoint;
        let settling = Settling::new(endpoint, message, disposition, Some(self.id));
        endpoint.attempt_once(settling).await
    }

    /// Completes a message under the transaction.
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Receiver::complete`], at the first attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let receiver = client.receiver("orders")?;
    /// let message = receiver.next().await?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.complete(&receiver, &message).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn complete(&self, receiver: &Receiver<R>, message: &ReceivedMessage<S>) -> Result<(), Error<S>> {
        self.settle(receiver, message, Disposition::Complete).await
    }

    async fn discharge(mut self, fail: bool) -> Result<(), Error<S>> {
        let until = self.controller.endpoint.until();
        let result = self.controller.control(Control::Discharge { id: self.id, fail }, until).await;
        self.open = false;
        result.map(|_| ()).map_err(|failure| self.controller.endpoint.error(failure))
    }

    /// Makes everything that was done under the transaction count, at once.
    ///
    /// Cancel safety: a dropped future may have committed, or rolls back.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: all or nothing; unknown when the answer is lost.
    ///
    /// # Errors
    /// The service's error. When the answer was lost, it is unknown whether the transaction committed.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorOutcome;
    ///
    /// let orders = client.sender("orders")?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.send(&orders, "one").await?;
    /// match transaction.commit().await {
    ///     Err(error) if error.outcome() == ErrorOutcome::Unknown => eprintln!("committed or not: {error}"),
    ///     result => result?,
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn commit(self) -> Result<(), Error<S>> {
        self.discharge(false).await
    }

    /// Discards every operation of the transaction.
    ///
    /// Cancel safety: a dropped future rolls back all the same.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: all or nothing; unknown when the answer is lost.
    ///
    /// # Errors
    /// The service's error; the service rolls back by itself in the end.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let transaction = client.begin_transaction().await?;
    /// transaction.send(&orders, "one").await?;
    /// transaction.roll_back().await?;
    /// assert!(client.receiver("orders")?.peek(0, 1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn roll_back(self) -> Result<(), Error<S>> {
        self.discharge(true).await
    }
}
