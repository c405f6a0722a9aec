//! A message pump over sessions: takes those that are available, several at a time, and lets go of them when they are
//! quiet.

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
use crate::storage::{LockRenewal, Sessions};
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use futures_util::stream::{FuturesUnordered, Stream};

/// How long the service looks for a session before it is asked again.
const ACCEPT: Duration = Duration::from_secs(60);
/// A service that says sooner that there is none is asked again after this.
const SOONEST: Duration = Duration::from_secs(1);

/// What a session processor calls, in the order of a session's life. Each is a closure that returns a future, as the
/// handler of [`Processor::run`](super::Processor::run).
#[derive(Clone, Copy, Debug)]
pub struct SessionHandlers<O, H, C> {
    /// Called with each session when it is locked, before its first message, as to read what it remembers. After an
    /// error the session is let go of with no message received, and the next one is accepted after a pause.
    pub opened: O,
    /// Called with each message.
    pub message: H,
    /// Called with each session that was opened without an error before it is let go of, when no handler of its messages
    /// runs any more. It is called for a session that was lost as well: what it asks of the service then fails with
    /// [`ErrorKind::SessionLockLost`](super::ErrorKind::SessionLockLost).
    pub closing: C,
}

/// Receives the messages of sessions, one session after the other and several side by side, and calls a handler for
/// each message. A session's lock is renewed while it is held.
///
/// `F` is the function that errors are reported to; without [`SessionProcessor::on_error`] they are logged.
#[must_use = "it does nothing unless it is run"]
pub struct SessionProcessor<R: Runtime, F = fn(ProcessorError<StorageOf<R>>)> {
    client: Client<R>,
    receiver: ReceiverOptions<StorageOf<R>>,
    options: SessionProcessorOptions,
    control: ProcessorControl<R>,
    on_error: F,
}

impl<R: Runtime, F> fmt::Debug for SessionProcessor<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionProcessor")
            .field("receiver", &self.receiver)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Client<R> {
    /// A processor of the sessions of a queue or subscription.
    pub fn session_processor(
        &self,
        receiver: impl Into<ReceiverOptions<StorageOf<R>>>,
        options: SessionProcessorOptions,
    ) -> SessionProcessor<R> {
        let (receiver, control) = (receiver.into(), ProcessorControl::new(self));
        SessionProcessor { client: self.clone(), receiver, options, control, on_error: log_error }
    }
}

/// A handler for sessions that does nothing.
async fn nothing<R: Runtime>(_: SessionReceiver<R>) -> Result<(), HandlerError> {
    Ok(())
}

impl<R: Runtime, F> SessionProcessor<R, F> {
    /// Reports errors to `on_error`, in the task of `run`. None of them ends the processor.
    pub fn on_error<G: Fn(ProcessorError<StorageOf<R>>)>(self, on_error: G) -> SessionProcessor<R, G> {
        let Self { client, receiver, options, control, .. } = self;
        SessionProcessor { client, receiver, options, control, on_error }
    }

    /// Pauses, resumes and stops it from elsewhere. Paused, it closes its sessions.
    pub fn control(&self) -> ProcessorControl<R> {
        self.control.clone()
    }

    /// Accepts sessions and handles each of their messages in a task of its own, until [`ProcessorControl::stop`] is
    /// called. Handlers are closures as those of [`Processor::run`](super::Processor::run).
    ///
    /// Cancel safety: dropped, it cancels the handlers that run; their messages come again when their sessions do.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](super::ErrorKind::Closed) when the client is closed under it or its driver is dropped.
    pub async fn run<H, Fut>(self, handler: H) -> Result<(), Error<StorageOf<R>>>
    where
        R: RunTask<HandlerFuture<Fut>, Storage: LockRenewal + Sessions>,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<StorageOf<R>>),
    {
        let runtime = self.client.shared.runtime().clone();
        let handlers = SessionHandlers { opened: nothing::<R>, message: handler, closing: nothing::<R> };
        self.pump(handlers, AsTasks(runtime), InPlace).await
    }

    /// As [`SessionProcessor::run`], with the handlers in this future: see
    /// [`Processor::run_inline`](super::Processor::run_inline).
    ///
    /// Cancel safety: dropped, it cancels the handlers that run; their messages come again when their sessions do.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`SessionProcessor::run`].
    pub async fn run_inline<H, Fut>(self, handler: H) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        H: Fn(ProcessorMessage<R>) -> Fut,
        Fut: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<StorageOf<R>>),
    {
        let handlers = SessionHandlers { opened: nothing::<R>, message: handler, closing: nothing::<R> };
        self.pump(handlers, InPlace, InPlace).await
    }

    /// As [`SessionProcessor::run`], with handlers for sessions that are opened and closed. A session's lock is renewed
    /// while these run as well.
    ///
    /// Cancel safety: dropped, it cancels the handlers that run, and calls none for closing; their messages come again when
    /// their sessions do.
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`SessionProcessor::run`].
    pub async fn run_with<O, H, C, FutO, Fut, FutC>(
        self,
        handlers: SessionHandlers<O, H, C>,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R: RunTask<HandlerFuture<FutO>> + RunTask<HandlerFuture<Fut>> + RunTask<HandlerFuture<FutC>>,
        R::Storage: LockRenewal + Sessions,
        O: Fn(SessionReceiver<R>) -> FutO,
        H: Fn(ProcessorMessage<R>) -> Fut,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        Fut: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<StorageOf<R>>),
    {
        let runtime = self.client.shared.runtime().clone();
        self.pump(handlers, AsTasks(runtime.clone()), AsTasks(runtime)).await
    }

    /// As [`SessionProcessor::run_with`], with the handlers in this future.
    ///
    /// Cancel safety: as [`SessionProcessor::run_with`].
    ///
    /// Bound: none; it ends when it is stopped, or with the client.
    ///
    /// Guarantee: at least once with locks, at most once with receive-and-delete.
    ///
    /// # Errors
    /// As [`SessionProcessor::run`].
    pub async fn run_inline_with<O, H, C, FutO, Fut, FutC>(
        self,
        handlers: SessionHandlers<O, H, C>,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: Fn(SessionReceiver<R>) -> FutO,
        H: Fn(ProcessorMessage<R>) -> Fut,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        Fut: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        F: Fn(ProcessorError<StorageOf<R>>),
    {
        self.pump(handlers, InPlace, InPlace).await
    }

    async fn pump<O, H, C, FutO, Fut, FutC, L, A>(
        self,
        handlers: SessionHandlers<O, H, C>,
        launch: L,
        around: A,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: Fn(SessionReceiver<R>) -> FutO,
        H: Fn(ProcessorMessage<R>) -> Fut,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        Fut: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>>,
        A: Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
        F: Fn(ProcessorError<StorageOf<R>>),
    {
        let SessionHandlers { opened, message, closing } = handlers;
        let pump = Pump {
            receiver: &self.receiver,
            control: &self.control,
            options: &self.options.processor,
            handler: &message,
            launch: &launch,
            on_error: &self.on_error,
        };
        let mut places = FuturesUnordered::new();
        let count = self.options.max_concurrent_sessions.max(1);
        places.extend((0..count).map(|_| self.hold_sessions(&pump, &around, &opened, &closing)));
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
    async fn hold_sessions<O, H, C, FutO, Fut, FutC, L, A>(
        &self,
        pump: &Pump<'_, R, H, L, F>,
        around: &A,
        opened: &O,
        closing: &C,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: Fn(SessionReceiver<R>) -> FutO,
        H: Fn(ProcessorMessage<R>) -> Fut,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        Fut: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>>,
        A: Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
        F: Fn(ProcessorError<StorageOf<R>>),
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
                    let end = self.hold(pump, &session, around, opened, closing).await;
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
    async fn hold<O, H, C, FutO, Fut, FutC, L, A>(
        &self,
        pump: &Pump<'_, R, H, L, F>,
        session: &SessionReceiver<R>,
        around: &A,
        opened: &O,
        closing: &C,
    ) -> Option<PumpEnd<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: Fn(SessionReceiver<R>) -> FutO,
        H: Fn(ProcessorMessage<R>) -> Fut,
        C: Fn(SessionReceiver<R>) -> FutC,
        FutO: Future<Output = Result<(), HandlerError>>,
        Fut: Future<Output = Result<(), HandlerError>>,
        FutC: Future<Output = Result<(), HandlerError>>,
        L: Launch<HandlerFuture<Fut>>,
        A: Launch<HandlerFuture<FutO>> + Launch<HandlerFuture<FutC>>,
        F: Fn(ProcessorError<StorageOf<R>>),
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
        if !pump.call(around, session, || opened(session.clone())).await {
            return None;
        }
        let end = pump.run(&source, renewal.as_mut(), Some(self.options.session_idle_timeout)).await;
        pump.call(around, session, || closing(session.clone())).await;
        Some(end)
    }
}
