//! A message pump over sessions: takes those that are available, several at a time, and lets go of them when they are
//! quiet.

use super::processor::{Mode, Pump, PumpEnd, either, now};
use super::{
    AutoLockRenewer, Client, Error, ProcessorControl, ProcessorError, ProcessorMessage, ProcessorOptions,
    SessionReceiver, StorageOf,
};
use crate::machine::Entity;
use crate::runtime::Runtime;
use crate::storage::{LockRenewal, Sessions};
use crate::time::Duration;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use futures_util::stream::{FuturesUnordered, Stream};

/// How long the service looks for a session before it is asked again.
const ACCEPT: Duration = Duration::from_secs(60);
/// A service that says sooner that there is none is asked again after this.
const SOONEST: Duration = Duration::from_secs(1);
/// A session that is lost without a message counts as a failed attempt, unless it was held for this long.
const HEALTHY: Duration = Duration::from_secs(30);

/// How a session processor works.
#[derive(Clone, Copy, Debug)]
pub struct SessionProcessorOptions {
    /// How the messages of a session are received and handled; `max_concurrent_calls` counts for each session, and
    /// more than one gives up the order of its messages.
    pub processor: ProcessorOptions,
    /// Sessions that may be held at once; one at least.
    pub max_concurrent_sessions: usize,
    /// A session that has no message for this long makes room for others.
    pub session_idle_timeout: Duration,
}

impl Default for SessionProcessorOptions {
    /// Eight sessions, one message of each at a time, given up after a minute of silence.
    fn default() -> Self {
        Self {
            processor: ProcessorOptions::default(),
            max_concurrent_sessions: 8,
            session_idle_timeout: Duration::from_secs(60),
        }
    }
}

/// What a session processor calls, in the order of a session's life.
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
pub struct SessionProcessor<R: Runtime> {
    client: Client<R>,
    entity: Entity<StorageOf<R>>,
    options: SessionProcessorOptions,
    control: ProcessorControl<R>,
}

impl<R: Runtime> fmt::Debug for SessionProcessor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionProcessor").field("entity", &self.entity).field("options", &self.options).finish()
    }
}

impl<R: Runtime> Client<R> {
    /// A processor of the sessions of a queue or subscription.
    pub fn session_processor(
        &self,
        entity: impl Into<Entity<StorageOf<R>>>,
        options: SessionProcessorOptions,
    ) -> SessionProcessor<R> {
        let entity = entity.into();
        SessionProcessor { client: self.clone(), entity, options, control: ProcessorControl::new(self) }
    }
}

impl<R: Runtime> SessionProcessor<R> {
    /// What pauses, resumes and stops it. Paused, it lets go of its sessions.
    pub fn control(&self) -> ProcessorControl<R> {
        self.control.clone()
    }

    /// Takes sessions and handles their messages until [`ProcessorControl::stop`] is called. What goes wrong goes to
    /// `on_error`; neither that nor a handler's error ends it.
    ///
    /// Cancel safety: dropped, it drops the handlers that run; their messages come again when their sessions do.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](super::ErrorKind::Closed) when the client is closed under it or its driver is dropped.
    pub async fn run<H, E, F>(self, handler: H, on_error: F) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let nothing = async |_: &SessionReceiver<R>| Ok(());
        self.run_with(SessionHandlers { opened: nothing, message: handler, closing: nothing }, on_error).await
    }

    /// As [`SessionProcessor::run`], and tells when sessions are opened and closed. A session's lock is renewed while
    /// these handlers run as well.
    ///
    /// Cancel safety: dropped, it drops the handlers that run, and tells of no closing; their messages come again when
    /// their sessions do.
    ///
    /// # Errors
    /// As [`SessionProcessor::run`].
    pub async fn run_with<O, H, C, E, F>(
        self,
        handlers: SessionHandlers<O, H, C>,
        on_error: F,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        C: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let options = self.options.processor;
        let SessionHandlers { opened, message, closing } = handlers;
        let pump = Pump { control: &self.control, options, handler: &message, on_error: &on_error };
        let mut places = FuturesUnordered::new();
        let count = self.options.max_concurrent_sessions.max(1);
        places.extend((0..count).map(|_| self.hold_sessions(&pump, &opened, &closing)));
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

    /// One session after the other.
    async fn hold_sessions<O, H, C, E, F>(
        &self,
        pump: &Pump<'_, R, H, F>,
        opened: &O,
        closing: &C,
    ) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        C: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let receiver = self.options.processor.receiver.in_storage();
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
            let began = now(&self.control);
            let accept = self.client.accept_next_session(self.entity.clone(), ACCEPT, receiver);
            let failure = match either(accept, self.control.changed(mode)).await {
                Err(changed) => {
                    changed?;
                    continue;
                }
                Ok(Ok(None)) => {
                    attempt = 0;
                    if now(&self.control) < began + SOONEST {
                        self.control.pause_after(0, None).await;
                    }
                    continue;
                }
                Ok(Ok(Some(session))) => {
                    let accepted = now(&self.control);
                    let end = self.hold(pump, &session, opened, closing).await;
                    session.close().await;
                    let reason = match end {
                        Some(PumpEnd::Told | PumpEnd::Idle | PumpEnd::Held { moved: true }) => {
                            attempt = 0;
                            continue;
                        }
                        Some(PumpEnd::Over { failure, .. }) if failure.is_end() => return Err(failure),
                        Some(PumpEnd::Over { failure, moved }) => {
                            pump.report(ProcessorError::LockLost(failure.clone()));
                            if moved || now(&self.control) >= accepted + HEALTHY {
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
            pump.report(ProcessorError::Receive(failure));
            self.control.pause_after(attempt, reason).await;
            attempt += 1;
        }
    }

    /// Handles the messages of one session; `None` when its opening has failed.
    async fn hold<O, H, C, E, F>(
        &self,
        pump: &Pump<'_, R, H, F>,
        session: &SessionReceiver<R>,
        opened: &O,
        closing: &C,
    ) -> Option<PumpEnd<StorageOf<R>>>
    where
        R::Storage: LockRenewal + Sessions,
        O: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        C: AsyncFn(&SessionReceiver<R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let mut renewal = None;
        if let Some(max) = self.options.processor.max_auto_lock_renewal.filter(|max| !max.is_zero()) {
            match AutoLockRenewer::new(max).session(session) {
                Ok(registered) => renewal = Some(registered),
                Err(failure) => return Some(PumpEnd::Over { failure, moved: false }),
            }
        }
        if !pump.call(opened(session)).await {
            return None;
        }
        let end = pump.run(session, Some(session), renewal.as_mut(), Some(self.options.session_idle_timeout)).await;
        pump.call(closing(session)).await;
        Some(end)
    }
}
