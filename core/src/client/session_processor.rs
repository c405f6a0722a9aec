//! A message pump over sessions: takes those that are available, several at a time, and lets go of them when they are
//! quiet.

use super::processor::{Mode, Pump, PumpEnd, either, now};
use super::{Client, ProcessorControl, ProcessorError, ProcessorMessage, ProcessorOptions, StorageOf};
use crate::runtime::Runtime;
use crate::servicebus::namespace::{Cause, Entity, Failure};
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
        entity: Entity<StorageOf<R>>,
        options: SessionProcessorOptions,
    ) -> SessionProcessor<R> {
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
    /// [`Cause::Closed`] when the client is closed under it.
    pub async fn run<H, E, F>(self, handler: H, on_error: F) -> Result<(), Failure<StorageOf<R>>>
    where
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let options = self.options.processor;
        let pump = Pump { control: &self.control, options, handler: &handler, on_error: &on_error };
        let mut places = FuturesUnordered::new();
        places.extend((0..self.options.max_concurrent_sessions.max(1)).map(|_| self.hold_sessions(&pump)));
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
    async fn hold_sessions<H, E, F>(&self, pump: &Pump<'_, R, H, F>) -> Result<(), Failure<StorageOf<R>>>
    where
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let receiver = self.options.processor.receiver;
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
                        self.control.pause_after(0, &Failure::new(Cause::Timeout)).await;
                    }
                    continue;
                }
                Ok(Ok(Some(session))) => {
                    attempt = 0;
                    let end = pump.run(&session, Some(&session), Some(self.options.session_idle_timeout)).await;
                    session.close().await;
                    match end {
                        PumpEnd::Told | PumpEnd::Idle => continue,
                        PumpEnd::Over(failure) if failure.cause == Cause::Closed => return Err(failure),
                        PumpEnd::Over(failure) => {
                            pump.report(ProcessorError::LockLost(failure));
                            continue;
                        }
                    }
                }
                Ok(Err(failure)) if failure.cause == Cause::Closed => return Err(failure),
                Ok(Err(failure)) => failure,
            };
            pump.report(ProcessorError::Receive(failure.clone()));
            self.control.pause_after(attempt, &failure).await;
            attempt += 1;
        }
    }
}
