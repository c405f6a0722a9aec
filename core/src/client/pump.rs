//! What processors do with the messages of a receiver: receive, call the handler, settle.

use super::call::Endpoint;
use super::handler_future::{HandlerFuture, Launch, Panic, caught};
use super::processor_control::Mode;
use super::processor_error::Subject;
use super::processor_message::Source;
use super::{
    AutoLockRenewer, Error, ErrorKind, HandlerError, LockRenewal, ProcessorControl, ProcessorError,
    ProcessorErrorCause, ProcessorMessage, ProcessorOptions, Receiver, ReceiverOptions, RenewalEnd, SessionReceiver,
    StorageOf,
};
use crate::log::Span;
use crate::machine::ReceiveMode;
use crate::runtime::Runtime;
use crate::servicebus::DeadLetterOptions;
use crate::servicebus::{Reason, ReceivedMessage};
use crate::storage::{self, Storage};
use crate::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use futures_util::stream::{FuturesUnordered, Stream};

/// Ends with the first of both.
pub(super) async fn either<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> Result<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => other.as_mut().poll(cx).map(Err),
    })
    .await
}

/// Why a pump has ended.
pub(super) enum PumpEnd<S: Storage> {
    /// The processor was stopped, or a session's processor paused.
    Told,
    /// No message came for as long as it was to wait.
    Idle,
    /// The session was held for the configured renewal time.
    Held {
        /// A message was received meanwhile.
        moved: bool,
    },
    /// There is nothing to receive from any more.
    Over {
        failure: Error<S>,
        /// A message was received before.
        moved: bool,
    },
}

/// What handlers are called with, and where they run.
pub(super) struct Pump<'p, R: Runtime, H, L, F> {
    pub(super) receiver: &'p ReceiverOptions<StorageOf<R>>,
    pub(super) control: &'p ProcessorControl<R>,
    pub(super) options: &'p ProcessorOptions,
    pub(super) handler: &'p H,
    pub(super) launch: &'p L,
    pub(super) on_error: &'p F,
}

/// How a handler ended.
type Handled = Result<Result<(), HandlerError>, Panic>;

impl<R, H, L, F> Pump<'_, R, H, L, F>
where
    R: Runtime,
    F: Fn(ProcessorError<StorageOf<R>>),
{
    /// Reports an error. A panic of the function that it is reported to stops nothing.
    fn report(&self, cause: ProcessorErrorCause<StorageOf<R>>, subject: Subject) {
        let _ = caught(|| (self.on_error)(ProcessorError::new(cause, subject)));
    }

    /// Reports an error of the receiver.
    pub(super) fn report_of(&self, session: Option<&SessionReceiver<R>>, cause: ProcessorErrorCause<StorageOf<R>>) {
        self.report(cause, Subject::new(&self.receiver.entity, session.map(SessionReceiver::session_id)));
    }

    fn report_message(&self, message: &ProcessorMessage<R>, cause: ProcessorErrorCause<StorageOf<R>>) {
        let session = message.session().map(SessionReceiver::session_id);
        self.report(cause, Subject::new(&self.receiver.entity, session).with_message(message));
    }

    /// Calls a handler of a session, and reports its failure; true when there was none.
    pub(super) async fn call<Fut: Future<Output = Result<(), HandlerError>>>(
        &self,
        launch: &impl Launch<HandlerFuture<Fut>>,
        session: &SessionReceiver<R>,
        handler: impl FnOnce() -> Fut,
    ) -> bool {
        let result = match HandlerFuture::call(Span::default(), handler) {
            Ok(handler) => launch.launch(handler).await,
            Err(panic) => Err(panic),
        };
        let cause = match result {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => ProcessorErrorCause::Handler(error),
            Err(panic) => ProcessorErrorCause::Panicked(panic),
        };
        self.report_of(Some(session), cause);
        false
    }
}

impl<R, H, Fut, L, F> Pump<'_, R, H, L, F>
where
    R: Runtime<Storage: storage::LockRenewal>,
    H: Fn(ProcessorMessage<R>) -> Fut,
    Fut: Future<Output = Result<(), HandlerError>>,
    L: Launch<HandlerFuture<Fut>>,
    F: Fn(ProcessorError<StorageOf<R>>),
{
    /// One message from its arrival to its settlement.
    async fn handle(&self, source: &Arc<Source<R>>, message: ReceivedMessage<StorageOf<R>>) {
        let message = ProcessorMessage::new(source, message);
        let receiver = &source.receiver;
        let locks = self.receiver.mode() == ReceiveMode::PeekLock;
        let mut renewal: Option<LockRenewal<'_, R>> = None;
        if let (true, None, Some(max)) = (locks, &source.session, self.options.max_auto_lock_renewal) {
            match AutoLockRenewer::new(max).message(receiver, &message) {
                Ok(registered) => renewal = Some(registered),
                Err(failure) => self.report_message(&message, ProcessorErrorCause::LockLost(failure)),
            }
        }
        let span = Span::handling(message.traceparent());
        let result = match HandlerFuture::call(span, || (self.handler)(message.clone())) {
            Ok(handler) => {
                let work = self.launch.launch(handler);
                // A transaction that is committed takes the lock with it.
                let lost = |failure| {
                    if !message.is_transacted() {
                        self.report_message(&message, ProcessorErrorCause::LockLost(failure));
                    }
                };
                match &mut renewal {
                    Some(renewal) => renewal.during(work, lost).await,
                    None => work.await,
                }
            }
            Err(panic) => Err(panic),
        };
        self.settle(receiver, &message, result, locks).await;
    }

    /// Reports what a handler failed with, and settles its message unless the handler did.
    async fn settle(&self, receiver: &Receiver<R>, message: &ProcessorMessage<R>, result: Handled, locks: bool) {
        let settles = locks && !message.is_settled();
        let transacted = message.is_transacted();
        let result = match result {
            Ok(Ok(())) if settles && !transacted && self.options.auto_complete => receiver.complete(message).await,
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let dead_letter = error.dead_letter().filter(|_| settles).cloned();
                self.report_message(message, ProcessorErrorCause::Handler(error));
                match dead_letter {
                    Some(dead_letter) => {
                        let (reason, description) = (Some(dead_letter.reason()), Some(dead_letter.description()));
                        let options = DeadLetterOptions { reason, description, ..DeadLetterOptions::default() };
                        receiver.dead_letter(message, options).await
                    }
                    None if settles => receiver.abandon(message).await,
                    None => Ok(()),
                }
            }
            Err(panic) => {
                self.report_message(message, ProcessorErrorCause::Panicked(panic));
                if settles { receiver.abandon(message).await } else { Ok(()) }
            }
        };
        if let Err(failure) = result {
            // A transaction that was committed has settled the message before.
            if transacted && failure.kind() == ErrorKind::LockLost {
                return;
            }
            self.report_message(message, ProcessorErrorCause::Settle(failure));
        }
    }

    /// Receives messages and handles them until the processor is stopped. For a session it also ends when no message
    /// comes for `idle`, or when the session's `renewal` has ended. Every handler has returned by then.
    pub(super) async fn run<'s>(
        &self,
        source: &'s Arc<Source<R>>,
        mut renewal: Option<&mut LockRenewal<'s, R>>,
        idle: Option<Duration>,
    ) -> PumpEnd<StorageOf<R>> {
        let (receiver, session) = (&source.receiver, source.session.as_ref());
        let mut running = FuturesUnordered::new();
        let limit = self.options.max_concurrent_calls.max(1);
        let (mut attempt, mut moved) = (0, false);
        let end = {
            let mut over = pin!(async {
                match renewal.as_deref_mut() {
                    Some(renewal) => match renewal.ended().await {
                        RenewalEnd::Lost(failure) => Some(failure),
                        RenewalEnd::Elapsed => None,
                        RenewalEnd::Released => core::future::pending().await,
                    },
                    None => core::future::pending().await,
                }
            });
            loop {
                let mode = self.control.mode();
                if mode == Mode::Stopping || (mode == Mode::Paused && session.is_some()) {
                    break PumpEnd::Told;
                }
                let free = limit - running.len();
                let mut receive = pin!(async {
                    if mode == Mode::Paused || free == 0 {
                        return core::future::pending().await;
                    }
                    let mut messages = Vec::new();
                    let free = u32::try_from(free).unwrap_or(u32::MAX);
                    receiver.receive_each(free, idle, |message| messages.push(message)).await?;
                    Ok(messages)
                });
                let mut changed = pin!(self.control.changed(mode));
                let full = free == 0;
                let step = poll_fn(|cx| {
                    // What has been received is taken first: nothing may get lost.
                    if let Poll::Ready(result) = receive.as_mut().poll(cx) {
                        return Poll::Ready(Step::Received(result));
                    }
                    if let Poll::Ready(result) = changed.as_mut().poll(cx) {
                        return Poll::Ready(Step::Changed(result));
                    }
                    if let Poll::Ready(lost) = over.as_mut().poll(cx) {
                        return Poll::Ready(Step::Over(lost));
                    }
                    while let Poll::Ready(Some(())) = Pin::new(&mut running).poll_next(cx) {
                        if full {
                            return Poll::Ready(Step::Handled);
                        }
                    }
                    Poll::Pending
                })
                .await;
                match step {
                    Step::Handled => {}
                    Step::Received(Ok(messages)) if messages.is_empty() => {
                        if idle.is_some() && running.is_empty() {
                            break PumpEnd::Idle;
                        }
                    }
                    Step::Received(Ok(messages)) => {
                        (attempt, moved) = (0, true);
                        running.extend(messages.into_iter().map(|message| self.handle(source, message)));
                    }
                    Step::Received(Err(failure)) | Step::Changed(Err(failure))
                        if failure.is_end() || failure.reason() == Some(Reason::SessionLockLost) =>
                    {
                        break PumpEnd::Over { failure, moved };
                    }
                    Step::Received(Err(failure)) => {
                        let wait = self.control.pause_after(attempt, failure.reason());
                        attempt += 1;
                        self.report_of(session, ProcessorErrorCause::Receive(failure));
                        let mut wait = pin!(wait);
                        poll_fn(|cx| {
                            while let Poll::Ready(Some(())) = Pin::new(&mut running).poll_next(cx) {}
                            wait.as_mut().poll(cx)
                        })
                        .await;
                    }
                    Step::Changed(Ok(()) | Err(_)) => receiver.suspend(self.control.mode() == Mode::Paused),
                    Step::Over(Some(failure)) => break PumpEnd::Over { failure, moved },
                    Step::Over(None) => break PumpEnd::Held { moved },
                }
            }
        };
        // Nothing more is prefetched while the last handlers run.
        receiver.suspend(true);
        if let (Some(renewal), Some(session), Some(max)) = (renewal, session, self.options.max_auto_lock_renewal)
            && !matches!(end, PumpEnd::Over { .. })
        {
            // The handlers that began last have as long as the first ones.
            match AutoLockRenewer::new(max).session(session) {
                Ok(registered) => *renewal = registered,
                Err(failure) => self.report_of(Some(session), ProcessorErrorCause::LockLost(failure)),
            }
        }
        finish(&mut running).await;
        // A receive-and-delete receiver may still hold messages. The service has deleted them, so they are handled as
        // well.
        while let Some(count) = receiver.leftover() {
            let count = count.min(u32::try_from(limit).unwrap_or(u32::MAX));
            let mut messages = Vec::new();
            let result = receiver.receive_each(count, Some(Duration::ZERO), |message| messages.push(message)).await;
            running.extend(messages.into_iter().map(|message| self.handle(source, message)));
            finish(&mut running).await;
            if result.is_err() {
                break;
            }
        }
        end
    }
}

/// Waits for all of them.
async fn finish(running: &mut FuturesUnordered<impl Future<Output = ()>>) {
    poll_fn(|cx| {
        while let Poll::Ready(Some(())) = Pin::new(&mut *running).poll_next(cx) {}
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// What a pump waits for.
enum Step<S: Storage> {
    /// A handler has returned, and there is room for another.
    Handled,
    Received(Result<Vec<ReceivedMessage<S>>, Error<S>>),
    Changed(Result<(), Error<S>>),
    /// The lock is renewed no more; it is lost for a reason.
    Over(Option<Error<S>>),
}

impl<R: Runtime> Receiver<R> {
    /// How many messages wait that were settled when they came, one at least while more may come; `None` when there is
    /// none, or the receiver locks messages.
    fn leftover(&self) -> Option<u32> {
        let Endpoint { shared, id, .. } = &self.endpoint;
        shared.with(|state| state.machine.leftover(*id))
    }

    /// Releases prefetched messages and pauses prefetching, or resumes it.
    pub(super) fn suspend(&self, suspended: bool) {
        let Endpoint { shared, id, .. } = &self.endpoint;
        let driver = shared.with(|state| {
            state.machine.suspend(*id, suspended);
            state.wake_driver()
        });
        if let Some(waker) = driver {
            waker.wake();
        }
    }
}
