//! Pausing, resuming and stopping a processor.

use super::pending::Call;
use super::room::{is_full, room};
use super::{Access, Client, Error};
use crate::machine::{ClientMachine, Failure, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::Reason;
use crate::storage::Storage;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use core::task::Poll;

/// What a processor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    Paused,
    Stopping,
}

/// Pauses, resumes and stops a processor from elsewhere. It is a handle: clones control the same processor.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// # use core::time::Duration;
/// # use servicebus_core::client::ProcessorOptions;
/// let processor = client.processor("orders", ProcessorOptions::new());
/// let control = processor.control();
/// # let handle = world.clone();
/// # let sleep = async move |time| handle.sleep(time).await;
/// # let spawn = |task| world.spawn(task);
/// spawn(async move {
///     control.pause(); // for the nightly stock-taking
///     sleep(Duration::from_secs(3_600)).await;
///     control.resume();
/// #     sleep(Duration::from_secs(60)).await;
/// #     control.stop();
/// });
/// processor.run(|_| async { Ok(()) }).await?;
/// # Ok(())
/// # });
/// ```
pub struct ProcessorControl<R: Runtime> {
    pub(super) shared: Access<R>,
    mode: Arc<AtomicU8>,
}

impl<R: Runtime> Clone for ProcessorControl<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), mode: Arc::clone(&self.mode) }
    }
}

impl<R: Runtime> fmt::Debug for ProcessorControl<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessorControl").field(&self.mode()).finish()
    }
}

impl<R: Runtime<Storage = S>, S: Storage> ProcessorControl<R> {
    pub(super) fn new(client: &Client<R>) -> Self {
        Self { shared: client.shared.clone(), mode: Arc::new(AtomicU8::new(0)) }
    }

    pub(super) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Acquire) {
            0 => Mode::Running,
            1 => Mode::Paused,
            _ => Mode::Stopping,
        }
    }

    fn set(&self, mode: u8) {
        // Stopping is for good.
        let change = |now: u8| (now < 2).then_some(mode);
        let _ = self.mode.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        self.shared.change(|state| {
            state.machine.notice_watchers();
            state.without_slot.call_watching();
        });
    }

    /// Takes no more messages, and releases the prefetched ones. Running handlers continue.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use core::time::Duration;
    /// # use servicebus_core::client::ProcessorOptions;
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// processor.control().pause(); // before it runs: it begins paused
    /// # world.stop_soon(&processor.control());
    /// processor.run(|_| async { unreachable!() }).await?;
    /// # assert!(client.receiver("orders")?.receive(Duration::from_secs(1)).await?.is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub fn pause(&self) {
        self.set(1);
    }

    /// Continues after [`ProcessorControl::pause`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::ProcessorOptions;
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// let control = processor.control();
    /// control.pause();
    /// control.resume();
    /// # world.stop_soon(&control);
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// processor.run(|_| async { Ok(()) }).await?;
    /// # assert!(client.receiver("orders")?.peek(0, 1).await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub fn resume(&self) {
        self.set(0);
    }

    /// Takes no more messages; `run` returns when the handlers that run have. They see it by
    /// [`ProcessorMessage::is_stopping`](super::ProcessorMessage::is_stopping).
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::ProcessorOptions;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let processor = client.processor("orders", ProcessorOptions::new());
    /// let control = processor.control();
    /// processor
    ///     .run(move |message| {
    ///         let control = control.clone();
    ///         async move {
    ///             println!("only this one: {}", message.text()?);
    ///             control.stop();
    ///             Ok(())
    ///         }
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn stop(&self) {
        self.set(2);
    }

    /// Whether it was stopped, or the client is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::ProcessorOptions;
    /// let control = client.processor("orders", ProcessorOptions::new()).control();
    /// assert!(!control.is_stopping());
    /// control.stop();
    /// assert!(control.is_stopping());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.mode() == Mode::Stopping || self.shared.with(|state| state.machine.ended().is_some())
    }

    /// Waits until the processor is stopped or the client is closed.
    pub(super) async fn stopping(&self) {
        loop {
            let mode = self.mode();
            if mode == Mode::Stopping || self.changed(mode).await.is_err() {
                return;
            }
        }
    }

    /// Waits until there is something else to do than `known`.
    ///
    /// # Errors
    /// The client is closed.
    pub(super) async fn changed(&self, known: Mode) -> Result<(), Error<S>> {
        let poll = |machine: &mut ClientMachine<S>, _: OperationId| {
            if let Some(cause) = machine.ended() {
                return Poll::Ready(Err(Error::of(Failure::new(cause))));
            }
            if self.mode() == known { Poll::Pending } else { Poll::Ready(Ok(())) }
        };
        loop {
            match Call::<R, _>::watch(&self.shared, None, poll) {
                Ok(call) => return call.await,
                Err(failure) if is_full(&failure) => {
                    room(&self.shared, None, || self.mode() != known).await;
                    if self.mode() != known {
                        return Ok(());
                    }
                }
                Err(failure) => return Err(Error::of(failure)),
            }
        }
    }

    /// Waits after a failure, longer each time; sooner over when there is something else to do.
    pub(super) async fn pause_after(&self, attempt: u32, reason: Option<Reason>) {
        let now = self.shared.now();
        let until = self.shared.with(|state| {
            let retry = state.machine.settings().retry;
            now + retry.backoff(attempt, reason, state.machine.random())
        });
        let mode = self.mode();
        let poll = |machine: &mut ClientMachine<S>, operation: OperationId| {
            if self.mode() == mode { machine.poll_sleep(operation) } else { Poll::Ready(()) }
        };
        while self.mode() == mode {
            match Call::<R, _>::watch(&self.shared, Some(until), poll) {
                Ok(call) => return call.await,
                Err(failure) if is_full(&failure) => {
                    if !room(&self.shared, Some(until), || self.mode() != mode).await {
                        return;
                    }
                }
                // The client has ended.
                Err(_) => return,
            }
        }
    }
}
