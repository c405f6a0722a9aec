//! A message pump over sessions: accepts available sessions, several at once, and releases them when they are idle.

use super::call::check_entity;
use super::handler_future::{AsTasks, HandlerFuture, InPlace, Launch};
use super::processor::log_error;
use super::processor_control::Mode;
use super::processor_message::Source;
use super::pump::{Pump, PumpEnd, either};
use super::{
    AutoLockRenewer, Client, Error, HandlerError, ProcessorControl, ProcessorError, ProcessorErrorCause,
    ProcessorMessage, Receiver, ReceiverOptions, SessionProcessorOptions, SessionReceiver, StorageOf,
};
use crate::machine::HEALTHY;
use crate::runtime::{RunTask, Runtime};
use crate::storage::{LockRenewal, Sessions, Storage};
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, Ready, poll_fn, ready};
use core::pin::Pin;
use core::task::Poll;
use futures_util::stream::{FuturesUnordered, Stream};

/// How long one accept waits for a session.
const ACCEPT: Duration = Duration::from_secs(60);
/// The least pause between accepts, for a service that answers "no session" sooner.
const SOONEST: Duration = Duration::from_secs(1);

/// The handler of sessions that are opened or closed while a processor has none for them.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::{NoSessionHandler, SessionProcessorOptions};
///
/// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
/// let opened: NoSessionHandler<_> = |_| core::future::ready(Ok(())); // what it has from the start
/// let processor = processor.on_session_opened(opened);
/// # drop(processor);
/// # Ok(())
/// # });
/// ```
pub type NoSessionHandler<R> = fn(SessionReceiver<R>) -> Ready<Result<(), HandlerError>>;

/// Receives the messages of sessions, one session after the other and several side by side, and calls a handler for
/// each message. A session's lock is renewed while it is held.
///
/// `F` is the function that errors are reported to; without [`SessionProcessor::on_error`] they are logged. `O` and `C`
/// handle sessions that are [opened](SessionProcessor::on_session_opened) and
/// [closed](SessionProcessor::on_session_closing).
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// use servicebus_core::client::SessionProcessorOptions;
///
/// # use servicebus_core::servicebus::Message;
/// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
/// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
/// # world.stop_soon(&processor.control());
/// processor
///     .on_error(|error| eprintln!("{error}"))
///     .run(|message| async move {
///         println!("{}: {}", message.session_id().unwrap_or_default(), message.text()?);
///         Ok(())
///     })
///     .await?;
/// # Ok(())
/// # });
/// ```
#[must_use = "it does nothing unless it is run"]
pub struct SessionProcessor<
    R: Runtime,
    F = fn(ProcessorError<StorageOf<R>>),
    O = NoSessionHandler<R>,
    C = NoSessionHandler<R>,
> {
    client: Client<R>,
    receiver: ReceiverOptions<StorageOf<R>>,
    options: SessionProcessorOptions,
    control: ProcessorControl<R>,
    on_error: F,
    opened: O,
    closing: C,
}

impl<R: Runtime, F, O, C> fmt::Debug for SessionProcessor<R, F, O, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionProcessor")
            .field("receiver", &self.receiver)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// A processor of the sessions of a queue or subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::client::{ReceiverOptions, SessionProcessorOptions};
    ///
    /// let options = SessionProcessorOptions::new().with_max_concurrent_sessions(2);
    /// let processor = client.session_processor(ReceiverOptions::new("jobs").with_identifier("painter-3"), options);
    /// # world.stop_soon(&processor.control());
    /// processor.run(|_| async { Ok(()) }).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn session_processor(
        &self,
        receiver: impl Into<ReceiverOptions<S>>,
        options: SessionProcessorOptions,
    ) -> SessionProcessor<R> {
        let (receiver, control) = (receiver.into(), ProcessorControl::new(self));
        let (opened, closing): (NoSessionHandler<R>, NoSessionHandler<R>) = (nothing::<R>, nothing::<R>);
        SessionProcessor { client: self.clone(), receiver, options, control, on_error: log_error, opened, closing }
    }
}

/// A handler for sessions that does nothing.
fn nothing<R: Runtime>(_: SessionReceiver<R>) -> Ready<Result<(), HandlerError>> {
    ready(Ok(()))
}

impl<R: Runtime<Storage = S>, S: Storage, F, O, C> SessionProcessor<R, F, O, C> {
    /// Reports errors to `on_error`, in the task of `run`. None of them ends the processor.
    ///
    /// During an outage [`Receive`](ProcessorErrorCause::Receive) is reported **again and again**, by each of
    /// [`max_concurrent_sessions`](SessionProcessorOptions::max_concurrent_sessions) that waits for a session: after each
    /// accept whose attempts are used up, with growing pauses between them. A session that was held is reported once, as
    /// [`LockLost`](ProcessorErrorCause::LockLost), also where the connection was lost and not the lock.
    /// [`Processor::on_error`](super::Processor::on_error) has a filter, and a way to log each outage and its end once.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::{HandlerError, SessionProcessorOptions};
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_error(|error| eprintln!("{:?}: {error}", error.session_id()))
    ///     .run(|_| async { Err(HandlerError::new("out of paint")) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn on_error<G: Fn(ProcessorError<S>)>(self, on_error: G) -> SessionProcessor<R, G, O, C> {
        let Self { client, receiver, options, control, opened, closing, .. } = self;
        SessionProcessor { client, receiver, options, control, on_error, opened, closing }
    }

    /// Calls `handler` with each session when it is locked, before its first message, as to read its state. After an
    /// error the session is let go of with no message received, and the next one is accepted after a pause.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_session_opened(|session| async move {
    ///         println!("{} was left at {:?}", session.session_id(), session.state().await?);
    ///         Ok(())
    ///     })
    ///     .run(|_| async { Ok(()) })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn on_session_opened<H, Fut>(self, handler: H) -> SessionProcessor<R, F, H, C>
    where
        H: Fn(SessionReceiver<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
    {
        let Self { client, receiver, options, control, on_error, closing, .. } = self;
        SessionProcessor { client, receiver, options, control, on_error, opened: handler, closing }
    }

    /// Calls `handler` with each session that was opened without an error before it is let go of, when no handler of
    /// its messages runs any more, as to write its state. It is called for a session that was lost as well: requests to
    /// the service then fail with [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost).
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .on_session_closing(|session| async move {
    ///         session.set_state(Some(b"painted")).await?;
    ///         Ok(())
    ///     })
    ///     .run(|_| async { Ok(()) })
    ///     .await?;
    /// # let session = client.accept_session("jobs", "customer-7").await?;
    /// # assert_eq!(session.state().await?.as_deref(), Some(&b"painted"[..]));
    /// # Ok(())
    /// # });
    /// ```
    pub fn on_session_closing<H, Fut>(self, handler: H) -> SessionProcessor<R, F, O, H>
    where
        H: Fn(SessionReceiver<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
    {
        let Self { client, receiver, options, control, on_error, opened, .. } = self;
        SessionProcessor { client, receiver, options, control, on_error, opened, closing: handler }
    }

    /// Pauses, resumes and stops it from elsewhere. Paused, it closes its sessions.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use core::time::Duration;
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
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

    /// Accepts sessions and handles each of their messages in a task of its own, until [`ProcessorControl::stop`] is
    /// called. Handlers are closures as those of [`Processor::run`](super::Processor::run); a session's lock is renewed
    /// while those for its opening and closing run as well.
    ///
    /// On tokio, smol and async-std handlers are spawned and have to be `Send + 'static`; on embassy they run in this
    /// future, as with [`SessionProcessor::run_inline`]. The executor of `smol::spawn` has **one** thread unless
    /// `SMOL_THREADS` is set, which the handlers of all sessions share: see [`Processor::run`](super::Processor::run).
    ///
    /// Cancel safety: dropped, it cancels the handlers that run, and calls none for closing; their messages come again
    /// when their sessions do.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](super::ErrorKind::Closed) when the client is closed under it or its driver is dropped, and a
    /// name that leads to no entity.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// use servicebus_core::client::DeadLetter;
    ///
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run(|message| async move {
    ///         match message.text()? {
    ///             "paint it blue" => Ok(()),
    ///             other => Err(DeadLetter::new("no such job", other).into()),
    ///         }
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn run<H, Fut, FutO, FutC>(self, handler: H) -> Result<(), Error<S>>
    where
        R: RunTask<HandlerFuture<Fut>> + RunTask<HandlerFuture<FutO>> + RunTask<HandlerFuture<FutC>>,
        S: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
        O: Fn(SessionReceiver<R>) -> FutO,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
    {
        let tasks = AsTasks(self.client.shared.runtime().clone());
        self.pump(handler, tasks).await
    }

    /// As [`SessionProcessor::run`], with the handlers in this future: see
    /// [`Processor::run_inline`](super::Processor::run_inline).
    ///
    /// Cancel safety: dropped, it cancels the handlers that run, and calls none for closing; their messages come again
    /// when their sessions do.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`SessionProcessor::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// # use servicebus_core::client::SessionProcessorOptions;
    /// # use servicebus_core::servicebus::Message;
    /// # client.sender("jobs")?.send(&Message::new("paint it blue").with_session_id("customer-7")).await?;
    /// use core::cell::RefCell;
    ///
    /// let seen = RefCell::new(Vec::new());
    /// let processor = client.session_processor("jobs", SessionProcessorOptions::new());
    /// # world.stop_soon(&processor.control());
    /// processor
    ///     .run_inline(|message| {
    ///         seen.borrow_mut().extend(message.session_id().map(str::to_owned));
    ///         async { Ok(()) }
    ///     })
    ///     .await?;
    /// assert_eq!(seen.into_inner(), ["customer-7"]);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn run_inline<H, Fut, FutO, FutC>(self, handler: H) -> Result<(), Error<S>>
    where
        S: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
        O: Fn(SessionReceiver<R>) -> FutO,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
    {
        self.pump(handler, InPlace).await
    }

    async fn pump<H, Fut, FutO, FutC, L>(self, handler: H, launch: L) -> Result<(), Error<S>>
    where
        S: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
        O: Fn(SessionReceiver<R>) -> FutO,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>> + Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
    {
        // No session is ever accepted there: that is no outage to wait for.
        check_entity(&self.client.shared, self.receiver.entity())?;
        let pump = Pump {
            receiver: &self.receiver,
            control: &self.control,
            options: &self.options.processor,
            handler: &handler,
            launch: &launch,
            on_error: &self.on_error,
        };
        let mut places = FuturesUnordered::new();
        let count = self.options.max_concurrent_sessions.max(1);
        places.extend((0..count).map(|_| self.hold_sessions(&pump)));
        let mut result = Ok(());
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut places).poll_next(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(Some(Err(failure))) => result = Err(failure),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        result
    }

    fn now(&self) -> Instant {
        self.control.shared.now()
    }

    /// One session after the other.
    async fn hold_sessions<H, Fut, FutO, FutC, L>(&self, pump: &Pump<'_, R, H, L, F>) -> Result<(), Error<S>>
    where
        S: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
        O: Fn(SessionReceiver<R>) -> FutO,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>> + Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
    {
        // Counts what went wrong since a session was opened last.
        let mut attempt = 0;
        loop {
            let mode = self.control.mode();
            match mode {
                Mode::Stopping => return Ok(()),
                Mode::Paused => {
                    self.control.changed(mode).await?;
                    continue;
                }
                Mode::Running => {}
            }
            let began = self.now();
            let accept = self.client.accept_next_session(self.receiver.clone(), ACCEPT);
            let failure = match either(accept, self.control.changed(mode)).await {
                Err(changed) => {
                    changed?;
                    continue;
                }
                Ok(Ok(None)) => {
                    attempt = 0;
                    if self.now() < began + SOONEST {
                        self.control.pause_after(0, None).await;
                    }
                    continue;
                }
                Ok(Ok(Some(session))) => {
                    let accepted = self.now();
                    let end = self.hold(pump, &session).await;
                    session.close().await;
                    let reason = match end {
                        Some(PumpEnd::Told | PumpEnd::Idle | PumpEnd::Held { moved: true }) => {
                            attempt = 0;
                            continue;
                        }
                        Some(PumpEnd::Over { failure, .. }) if failure.is_end() => return Err(failure),
                        Some(PumpEnd::Over { failure, moved }) => {
                            pump.report_of(Some(&session), ProcessorErrorCause::LockLost(failure.clone()));
                            // Lost without a message it counts as a failed attempt, unless it was held for long.
                            if moved || self.now() >= accepted.after(HEALTHY) {
                                attempt = 0;
                                continue;
                            }
                            failure.reason()
                        }
                        // The session is free again, and would be accepted at once.
                        Some(PumpEnd::Held { moved: false }) | None => None,
                    };
                    self.control.pause_after(attempt, reason).await;
                    attempt += 1;
                    continue;
                }
                Ok(Err(failure)) if failure.is_end() => return Err(failure),
                Ok(Err(failure)) => failure,
            };
            let reason = failure.reason();
            pump.report_of(None, ProcessorErrorCause::Receive(failure));
            self.control.pause_after(attempt, reason).await;
            attempt += 1;
        }
    }

    /// Handles the messages of one session; `None` when its opening has failed.
    async fn hold<H, Fut, FutO, FutC, L>(
        &self,
        pump: &Pump<'_, R, H, L, F>,
        session: &SessionReceiver<R>,
    ) -> Option<PumpEnd<S>>
    where
        S: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<S>),
        O: Fn(SessionReceiver<R>) -> FutO,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>> + Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
    {
        let receiver = Receiver::clone(session);
        let source = Arc::new(Source { receiver, session: Some(session.clone()), control: self.control.clone() });
        let session = source.session.as_ref().unwrap_or(session);
        let mut renewal = None;
        if let Some(max) = self.options.processor.max_auto_lock_renewal.filter(|max| !max.is_zero()) {
            match AutoLockRenewer::new(max).session(session) {
                Ok(registered) => renewal = Some(registered),
                Err(failure) => return Some(PumpEnd::Over { failure, moved: false }),
            }
        }
        if !pump.call(pump.launch, session, || (self.opened)(session.clone())).await {
            return None;
        }
        let end = pump.run(&source, renewal.as_mut(), Some(self.options.session_idle_timeout)).await;
        pump.call(pump.launch, session, || (self.closing)(session.clone())).await;
        Some(end)
    }
}
