//! A message in a handler's hands.

use super::{Error, ProcessorControl, Receiver, SessionReceiver, StorageOf, Transaction};
use crate::runtime::Runtime;
use crate::servicebus::{DeadLetterOptions, Disposition, Properties, ReceivedMessage};
use crate::storage::Storage;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, Ordering};

/// Where the messages of a pump come from.
pub(super) struct Source<R: Runtime> {
    pub(super) receiver: Receiver<R>,
    pub(super) session: Option<SessionReceiver<R>>,
    pub(super) control: ProcessorControl<R>,
}

/// A message that a handler has.
struct Held<R: Runtime> {
    source: Arc<Source<R>>,
    message: ReceivedMessage<StorageOf<R>>,
    settled: AtomicBool,
    /// It was settled under a transaction, which may have been committed or not.
    transacted: AtomicBool,
}

/// A message in a handler's hands. It owns the message and derefs to [`ReceivedMessage`]; clones are handles to the same
/// one. The processor settles it after the handler has returned, unless the handler did.
///
/// Under a transaction it is settled with [`complete_in`](Self::complete_in) or [`settle_in`](Self::settle_in), so that the
/// processor knows of it: a handler that gives it to [`Transaction::complete`] has it completed a second time.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// # use servicebus_core::runtime::HeapRuntime;
/// use servicebus_core::client::{HandlerError, ProcessorMessage, ProcessorOptions};
///
/// /// A handler for every runtime on the heap.
/// async fn handle<R: HeapRuntime>(message: ProcessorMessage<R>) -> Result<(), HandlerError> {
///     println!("{:?}: {}", message.message_id(), message.text()?);
///     Ok(())
/// }
///
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// let processor = client.processor("orders", ProcessorOptions::new());
/// # world.stop_soon(&processor.control());
/// processor.run(handle).await?;
/// # Ok(())
/// # });
/// ```
pub struct ProcessorMessage<R: Runtime> {
    held: Arc<Held<R>>,
}

impl<R: Runtime> Clone for ProcessorMessage<R> {
    fn clone(&self) -> Self {
        Self { held: Arc::clone(&self.held) }
    }
}

impl<R: Runtime> fmt::Debug for ProcessorMessage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.message.fmt(f)
    }
}

impl<R: Runtime> fmt::Display for ProcessorMessage<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.message.fmt(f)
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Deref for ProcessorMessage<R> {
    type Target = ReceivedMessage<S>;

    fn deref(&self) -> &Self::Target {
        &self.held.message
    }
}

impl<R: Runtime<Storage = S>, S: Storage> ProcessorMessage<R> {
    pub(super) fn new(source: &Arc<Source<R>>, message: ReceivedMessage<S>) -> Self {
        let source = Arc::clone(source);
        Self {
            held: Arc::new(Held {
                source,
                message,
                settled: AtomicBool::new(false),
                transacted: AtomicBool::new(false),
            }),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.held.settled.load(Ordering::Acquire)
    }

    pub(super) fn is_transacted(&self) -> bool {
        self.held.transacted.load(Ordering::Acquire)
    }

    fn done(&self, result: Result<(), Error<S>>) -> Result<(), Error<S>> {
        if result.is_ok() {
            self.held.settled.store(true, Ordering::Release);
        }
        result
    }

    /// The receiver that it came on.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         let waiting = message.receiver().peek(0, 100).await?;
    ///         println!("{message} of {}", waiting.len());
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn receiver(&self) -> &Receiver<R> {
        &self.held.source.receiver
    }

    /// The session that the message belongs to, in a session processor.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// # let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         if let Some(session) = message.session() {
    ///             session.set_state(Some(message.data())).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # let session = client.accept_session("jobs", "customer-7").await?;
    /// # assert_eq!(session.state().await?.as_deref(), Some(&b"paint it blue"[..]));
    /// # Ok(())
    /// # });
    /// ```
    pub fn session(&self) -> Option<&SessionReceiver<R>> {
        self.held.source.session.as_ref()
    }

    /// Whether the processor was stopped, or the client closed: a handler that takes long can end early.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::HandlerError;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         for byte in message.data() {
    ///             if message.is_stopping() {
    ///                 return Err(HandlerError::new("stopped")); // it comes again
    ///             }
    ///             println!("{byte}");
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.held.source.control.is_stopping()
    }

    /// Waits until the processor is stopped or the client is closed.
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
    /// use core::pin::pin;
    /// use core::time::Duration;
    /// use futures_util::future::{Either, select};
    /// use servicebus_core::client::HandlerError;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// # let handle = world.clone();
    /// # let sleep = async |time: Duration| handle.sleep(time).await;
    /// # let sleep = &sleep;
    /// processor
    ///     .run(|message| async move {
    ///         let work = pin!(sleep(Duration::from_secs(3_600)));
    ///         match select(work, pin!(message.stopping())).await {
    ///             Either::Left(_) => Ok(()),
    ///             Either::Right(_) => Err(HandlerError::new("stopped")), // it comes again
    ///         }
    ///     })
    ///     .await?;
    /// # assert_eq!(client.receiver("orders")?.next().await?.delivery_count(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn stopping(&self) {
        self.held.source.control.stopping().await;
    }

    /// Why the message's lock, or its session's, could not be renewed; `None` while it is not lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::HandlerError;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         // … long work, then before what cannot be undone:
    ///         if let Some(lost) = message.lock_renewal_error() {
    ///             return Err(HandlerError::from(lost));
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # assert!(client.receiver("orders")?.peek(0, 1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock_renewal_error(&self) -> Option<Error<S>> {
        match self.session() {
            Some(session) => session.session_lock_renewal_error(),
            None => self.receiver().lock_renewal_error(self),
        }
    }

    /// As [`Receiver::complete`].
    ///
    /// Cancel safety: a dropped future may still have completed the message.
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let processor = client.processor("orders", ProcessorOptions::new().without_auto_complete());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         println!("{}", message.text()?);
    ///         message.complete().await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # assert!(client.receiver("orders")?.peek(0, 1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn complete(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().complete(self).await)
    }

    /// As [`Receiver::abandon`].
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         if message.delivery_count() == 0 {
    ///             message.abandon().await?; // no error, and nothing to report
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn abandon(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().abandon(self).await)
    }

    /// As [`Receiver::abandon_with`].
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         if message.property("tried-by").is_none() {
    ///             message.abandon_with(&[("tried-by", "worker-3".into())]).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn abandon_with(&self, properties: Properties<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().abandon_with(self, properties).await)
    }

    /// As [`Receiver::defer`].
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         println!("{:?} waits for its payment", message.sequence_number());
    ///         message.defer().await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # client.receiver("orders")?.receive_deferred(&[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn defer(&self) -> Result<(), Error<S>> {
        self.done(self.receiver().defer(self).await)
    }

    /// As [`Receiver::defer_with`].
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         message.defer_with(&[("waits-for", "payment".into())]).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # let deferred = &client.receiver("orders")?.receive_deferred(&[1]).await?[0];
    /// # assert_eq!(deferred.property("waits-for"), Some("payment".into()));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn defer_with(&self, properties: Properties<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().defer_with(self, properties).await)
    }

    /// As [`Receiver::dead_letter`].
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
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::DeadLetterOptions;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # use servicebus_core::servicebus::Entity;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         let sold_out = DeadLetterOptions::new().with_reason("sold out");
    ///         message.dead_letter(sold_out.with_properties(&[("colour", "blue".into())])).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # let dead = client.receiver(Entity::queue("orders").dead_letter())?.next().await?;
    /// # assert_eq!(dead.property("colour"), Some("blue".into()));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn dead_letter(&self, options: DeadLetterOptions<'_>) -> Result<(), Error<S>> {
        self.done(self.receiver().dead_letter(self, options).await)
    }

    /// As [`Transaction::settle`]. When the handler returns `Ok`, the message is the transaction's: rolled back, it keeps its
    /// lock until that ends or the handler settles it. When the handler fails, the processor abandons or dead-letters the
    /// message, which comes to nothing where the transaction was committed.
    ///
    /// Cancel safety: a dropped future may still have settled the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Transaction::settle`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::servicebus::Disposition;
    ///
    /// # use servicebus_core::client::ProcessorOptions;
    /// # let orders = client.sender("orders")?;
    /// # orders.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// let transactions = client.transactions("orders")?;
    /// processor
    ///     .run(move |message| {
    ///         let (orders, transactions) = (orders.clone(), transactions.clone());
    ///         async move {
    ///             if message.text()? == "two of the blue ones" {
    ///                 let transaction = transactions.begin().await?;
    ///                 message.settle_in(&transaction, Disposition::Defer { properties: &[] }).await?;
    ///                 transaction.send(&orders, "one of the blue ones is left").await?;
    ///                 transaction.commit().await?;
    ///             }
    ///             Ok(())
    ///         }
    ///     })
    ///     .await?;
    /// # assert_eq!(client.receiver("orders")?.receive_deferred(&[1]).await?.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn settle_in(&self, transaction: &Transaction<R>, disposition: Disposition<'_>) -> Result<(), Error<S>> {
        let result = transaction.settle(self.receiver(), self, disposition).await;
        if result.is_ok() {
            self.held.transacted.store(true, Ordering::Release);
        }
        result
    }

    /// Completes the message under a transaction, as [`settle_in`](Self::settle_in).
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// Bound: one attempt.
    ///
    /// Guarantee: at most once, and only when the transaction commits.
    ///
    /// # Errors
    /// As [`Transaction::settle`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::client::ProcessorOptions;
    /// # let settings = world.settings::<servicebus_core::storage::Heap>().with_cross_entity_transactions(true);
    /// # let client = world.client_with(settings);
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// // The client has cross-entity transactions.
    /// let (transactions, invoices) = (client.transactions("orders")?, client.sender("invoices")?);
    /// processor
    ///     .run(move |message| {
    ///         let (transactions, invoices) = (transactions.clone(), invoices.clone());
    ///         async move {
    ///             let transaction = transactions.begin().await?;
    ///             transaction.send(&invoices, "two of the blue ones: 40").await?;
    ///             message.complete_in(&transaction).await?;
    ///             transaction.commit().await?;
    ///             Ok(())
    ///         }
    ///     })
    ///     .await?;
    /// # let plain = world.client::<servicebus_core::storage::Heap>();
    /// # assert_eq!(plain.receiver("invoices")?.peek(0, 10).await?.len(), 1);
    /// # assert!(plain.receiver("orders")?.peek(0, 10).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn complete_in(&self, transaction: &Transaction<R>) -> Result<(), Error<S>> {
        self.settle_in(transaction, Disposition::Complete).await
    }
}
