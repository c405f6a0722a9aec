//! A message pump: receives, calls a handler for each message, and settles by what the handler returns.

use super::handler_future::{AsTasks, HandlerFuture, InPlace, Launch};
use super::processor_message::Source;
use super::pump::{Pump, PumpEnd};
use super::{
    Client, Error, HandlerError, ProcessorControl, ProcessorError, ProcessorMessage, ProcessorOptions, ReceiverOptions,
    StorageOf,
};
use crate::runtime::{RunTask, Runtime};
use crate::storage;
use crate::storage::Storage;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;

/// Receives messages of a queue or subscription and calls a handler for each, several concurrently. Locks are renewed while
/// handlers run; a message is completed when its handler has succeeded and abandoned when it has failed.
///
/// [`Processor::run`] gives each handler a task of its own where the runtime can spawn, so that handlers use all threads of
/// the executor. It receives and settles in its own future.
///
/// `F` is the function that errors are reported to; without [`Processor::on_error`] they are logged.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use core::time::Duration;
/// use servicebus_core::client::{DeadLetter, ProcessorOptions};
///
/// # client.sender("orders")?.send_all(&["7", "seven"]).await?;
/// let options = ProcessorOptions::new()
///     .with_max_concurrent_calls(8)
///     .with_max_auto_lock_renewal(Duration::from_secs(600));
/// let processor = client.processor("orders", options);
/// # world.stop_soon(&processor.control());
/// processor
///     .on_error(|error| eprintln!("{error}"))
///     .run(|message| async move {
///         let number: u32 = message.text()?.parse().map_err(|error| DeadLetter::new("not a number", error))?;
///         println!("{number}");
///         Ok(()) // completes it; another error abandons it
///     })
///     .await?;
/// # Ok(())
/// # });
/// ```
#[must_use = "it does nothing unless it is run"]
pub struct Processor<R: Runtime, F = fn(ProcessorError<StorageOf<R>>)> {
    client: Client<R>,
    receiver: ReceiverOptions<StorageOf<R>>,
    options: ProcessorOptions,
    control: ProcessorControl<R>,
    on_error: F,
}

impl<R: Runtime, F> fmt::Debug for Processor<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("receiver", &self.receiver)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Logs an error.
pub(super) fn log_error<S: Storage>(error: ProcessorError<S>) {
    log!(warn, "processor", error = error);
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// A processor of the messages of a queue or subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::{ProcessorOptions, ReceiverOptions};
    /// use servicebus_core::servicebus::Entity;
    ///
    /// # client.sender("events")?.send("started").await?;
    /// let audit = ReceiverOptions::new(Entity::subscription("events", "audit")).with_prefetch(100);
    /// let processor = client.processor(audit, ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         println!("{}", message.text()?);
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn processor(&self, receiver: impl Into<ReceiverOptions<S>>, options: ProcessorOptions) -> Processor<R> {
        let (receiver, control) = (receiver.into(), ProcessorControl::new(self));
        Processor { client: self.clone(), receiver, options, control, on_error: log_error }
    }
}

impl<R: Runtime<Storage = S>, S: Storage, F> Processor<R, F> {
    /// Reports errors to `on_error`, in the task of `run`. None of them ends the processor.
    ///
    /// During an outage each processor reports [`Receive`](super::ProcessorErrorCause::Receive) **again and again**: first
    /// when the attempts of the retry policy are used up, which is about five seconds after the first refused connection by
    /// the default policy, then after each further attempt, with pauses that grow up to
    /// [`max_delay`](crate::servicebus::RetryPolicy::max_delay). An outage that ends earlier is not reported. To log each
    /// outage and its end once, leave these errors out here and follow [`Client::state_changed`] in a task:
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::{ProcessorErrorCause, ProcessorOptions};
    ///
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| match error.cause() {
    ///         ProcessorErrorCause::Receive(receive) if receive.is_transient() => {} // an outage
    ///         _ => eprintln!("{error}"),
    ///     })
    ///     .run(|_| async { Ok(()) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn on_error<G: Fn(ProcessorError<S>)>(self, on_error: G) -> Processor<R, G> {
        let Self { client, receiver, options, control, .. } = self;
        Processor { client, receiver, options, control, on_error }
    }

    /// Pauses, resumes and stops it from elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use core::time::Duration;
    /// # use servicebus_core::client::ProcessorOptions;
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// let control = processor.control();
    /// # let handle = world.clone();
    /// # let shutdown = async move { handle.sleep(Duration::from_secs(60)).await };
    /// # let spawn = |task| world.spawn(task);
    /// spawn(async move {
    ///     shutdown.await; // such as a signal
    ///     control.stop();
    /// });
    /// processor.run(|_| async { Ok(()) }).await?; // returns when it is stopped
    /// # Ok(())
    /// # });
    /// ```
    pub fn control(&self) -> ProcessorControl<R> {
        self.control.clone()
    }

    /// Receives messages and handles each in a task of its own, until [`ProcessorControl::stop`] is called. Neither a
    /// handler's error nor its panic ends it: the message is abandoned, or dead-lettered with a
    /// [`DeadLetter`](super::DeadLetter).
    ///
    /// A handler is a closure that returns a future. What it uses is cloned for each message:
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{DeadLetter, ProcessorOptions};
    /// # use std::sync::{Arc, Mutex};
    /// # client.sender("orders")?.send_all(&["7", "seven", "8"]).await?;
    /// # let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// let total = Arc::new(Mutex::new(0));
    /// # let counted = total.clone();
    /// processor
    ///     .run(move |message| {
    ///         let total = total.clone();
    ///         async move {
    ///             let number: u32 = message.text()?.parse().map_err(|error| DeadLetter::new("not a number", error))?;
    ///             *total.lock().unwrap() += number;
    ///             Ok(())
    ///         }
    ///     })
    ///     .await?;
    /// # assert_eq!(*counted.lock().unwrap(), 15);
    ///
    /// // An async closure works while it captures nothing.
    /// # client.sender("invoices")?.send("pay 100").await?;
    /// let processor = client.processor("invoices", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(async |message| {
    ///         println!("{}", message.text()?);
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// On tokio, smol and async-std handlers are spawned and have to be `Send + 'static`; on embassy they run in this
    /// future, as with [`Processor::run_inline`]. Tokio's multi-threaded runtime and async-std have a thread for each core.
    /// The executor of `smol::spawn` has **one** thread, unless the environment variable `SMOL_THREADS` has a number when
    /// the program first spawns: with one thread, a handler that computes or blocks stops the others.
    ///
    /// Cancel safety: dropped, it cancels the handlers that run; their messages come again when their locks end.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](super::ErrorKind::Closed) when the client is closed under it or its driver is dropped, a full
    /// table of links, or a name that leads to no entity.
    pub async fn run<H, Fut>(self, handler: H) -> Result<(), Error<S>>
    where
        R: RunTask<HandlerFuture<Fut>>,
        S: storage::LockRenewal,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
    {
        let runtime = self.client.shared.runtime().clone();
        self.pump(handler, AsTasks(runtime)).await
    }

    /// As [`Processor::run`], with the handlers in this future, on every runtime: they need not be `Send` and may borrow,
    /// they run concurrently and on one core, and one that blocks stops the others. For code that is generic over its
    /// runtime, which cannot name the bound of `run`.
    ///
    /// Cancel safety: dropped, it cancels the handlers that run; their messages come again when their locks end.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`Processor::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use core::cell::Cell;
    /// use servicebus_core::client::ProcessorOptions;
    ///
    /// # client.sender("orders")?.send_all(&["7", "8"]).await?;
    /// let total = Cell::new(0);
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run_inline(|message| {
    ///         let total = &total; // borrowed: the handler stays here
    ///         async move {
    ///             total.set(total.get() + message.text()?.parse::<u32>()?);
    ///             Ok(())
    ///         }
    ///     })
    ///     .await?;
    /// assert_eq!(total.get(), 15);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn run_inline<H, Fut>(self, handler: H) -> Result<(), Error<S>>
    where
        S: storage::LockRenewal,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
    {
        self.pump(handler, InPlace).await
    }

    async fn pump<H, Fut, L>(self, handler: H, launch: L) -> Result<(), Error<S>>
    where
        S: storage::LockRenewal,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>>,
        F: Fn(ProcessorError<S>),
    {
        let Self { client, receiver, options, control, on_error } = self;
        let source = client.receiver(receiver.clone())?;
        let source = Arc::new(Source { receiver: source, session: None, control: control.clone() });
        let pump = Pump {
            receiver: &receiver,
            control: &control,
            options: &options,
            handler: &handler,
            launch: &launch,
            on_error: &on_error,
        };
        let end = pump.run(&source, None, None).await;
        source.receiver.close().await;
        match end {
            PumpEnd::Told | PumpEnd::Idle | PumpEnd::Held { .. } => Ok(()),
            PumpEnd::Over { failure, .. } => Err(failure),
        }
    }
}
