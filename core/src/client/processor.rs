//! A message pump: receives, calls a handler for each message, and settles by what the handler returns.

use super::call::{Call, Endpoint, clock};
use super::receiver::DeadLetterOptions;
use super::{
    AutoLockRenewer, Client, Error, LockRenewal, Receiver, ReceiverOptions, RenewalEnd, SessionReceiver, StorageOf,
};
use crate::log::Span;
use crate::machine::{ClientMachine, Entity, Failure, OperationId, Properties, ReceiveMode};
use crate::runtime::{Runtime, Shared};
use crate::servicebus::{Reason, ReceivedMessage};
use crate::storage::{self, Heap, Storage};
use crate::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::ops::Deref;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use core::task::{Context, Poll};
use futures_util::stream::{FuturesUnordered, Stream};

/// How a processor works.
#[derive(Clone, Copy, Debug)]
pub struct ProcessorOptions {
    /// How messages are received.
    pub receiver: ReceiverOptions<Heap>,
    /// Handlers that may run at once; one at least.
    pub max_concurrent_calls: usize,
    /// Whether a message is completed when its handler has returned without an error and has not settled it.
    pub auto_complete: bool,
    /// How long locks are renewed while handlers run; `None` leaves them alone. A session is held for as long: then it
    /// gets no more messages, its handlers end under a lock that is renewed for as long once more, and it is closed, free
    /// for the next receiver.
    pub max_auto_lock_renewal: Option<Duration>,
}

impl Default for ProcessorOptions {
    /// One message at a time, completed by the processor, locks renewed for five minutes.
    fn default() -> Self {
        Self {
            receiver: ReceiverOptions::default(),
            max_concurrent_calls: 1,
            auto_complete: true,
            max_auto_lock_renewal: Some(AutoLockRenewer::default().max_duration),
        }
    }
}

/// What went wrong in a processor; it goes on after each of them.
pub enum ProcessorError<S: Storage, E> {
    /// Messages could not be received, or a session could not be accepted.
    Receive(Error<S>),
    /// A lock was lost while a handler had the message or session.
    LockLost(Error<S>),
    /// A message could not be completed or abandoned.
    Settle(Error<S>),
    /// A handler returned an error; its message is abandoned, and a session that it was to open is let go of.
    Handler(E),
    /// A handler panicked; what follows is as after an error. Panics are caught with the feature `std` only.
    Panicked,
}

impl<S: Storage, E: fmt::Debug> fmt::Debug for ProcessorError<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(failure) => f.debug_tuple("Receive").field(failure).finish(),
            Self::LockLost(failure) => f.debug_tuple("LockLost").field(failure).finish(),
            Self::Settle(failure) => f.debug_tuple("Settle").field(failure).finish(),
            Self::Handler(error) => f.debug_tuple("Handler").field(error).finish(),
            Self::Panicked => f.write_str("Panicked"),
        }
    }
}

impl<S: Storage, E: fmt::Display> fmt::Display for ProcessorError<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(failure) => write!(f, "receiving failed: {failure}"),
            Self::LockLost(failure) => write!(f, "the lock was lost: {failure}"),
            Self::Settle(failure) => write!(f, "settling failed: {failure}"),
            Self::Handler(error) => write!(f, "the handler failed: {error}"),
            Self::Panicked => f.write_str("the handler panicked"),
        }
    }
}

impl<S: Storage, E: fmt::Debug + fmt::Display> core::error::Error for ProcessorError<S, E> {}

/// A message in a handler's hands. It derefs to [`ReceivedMessage`]; what the handler does not settle, the processor
/// does.
pub struct ProcessorMessage<'p, R: Runtime> {
    receiver: &'p Receiver<R>,
    session: Option<&'p SessionReceiver<R>>,
    message: &'p ReceivedMessage<StorageOf<R>>,
    settled: AtomicBool,
}

impl<R: Runtime> fmt::Debug for ProcessorMessage<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl<R: Runtime> Deref for ProcessorMessage<'_, R> {
    type Target = ReceivedMessage<StorageOf<R>>;

    fn deref(&self) -> &Self::Target {
        self.message
    }
}

impl<'p, R: Runtime> ProcessorMessage<'p, R> {
    fn done(&self, result: Result<(), Error<StorageOf<R>>>) -> Result<(), Error<StorageOf<R>>> {
        if result.is_ok() {
            self.settled.store(true, Ordering::Relaxed);
        }
        result
    }

    /// The session that the message belongs to, in a session processor.
    pub fn session(&self) -> Option<&'p SessionReceiver<R>> {
        self.session
    }

    /// Why the message's lock, or its session's, could not be renewed; `None` while it is not lost.
    pub fn lock_failure(&self) -> Option<Error<StorageOf<R>>> {
        match self.session {
            Some(session) => session.session_renewal_failure(),
            None => self.receiver.lock_renewal_failure(self.message),
        }
    }

    /// As [`Receiver::complete`].
    ///
    /// Cancel safety: a dropped future may still have completed the message.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn complete(&self) -> Result<(), Error<StorageOf<R>>> {
        self.done(self.receiver.complete(self.message).await)
    }

    /// As [`Receiver::abandon_with`].
    ///
    /// Cancel safety: a dropped future may still have abandoned the message.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn abandon(&self, properties: Properties<'_>) -> Result<(), Error<StorageOf<R>>> {
        self.done(self.receiver.abandon_with(self.message, properties).await)
    }

    /// As [`Receiver::defer_with`].
    ///
    /// Cancel safety: a dropped future may still have deferred the message.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn defer(&self, properties: Properties<'_>) -> Result<(), Error<StorageOf<R>>> {
        self.done(self.receiver.defer_with(self.message, properties).await)
    }

    /// As [`Receiver::dead_letter`].
    ///
    /// Cancel safety: a dropped future may still have dead-lettered the message.
    ///
    /// # Errors
    /// As [`Receiver::complete`].
    pub async fn dead_letter(&self, options: DeadLetterOptions<'_>) -> Result<(), Error<StorageOf<R>>> {
        self.done(self.receiver.dead_letter(self.message, options).await)
    }
}

/// What a processor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    Paused,
    Stopping,
}

/// Pauses, resumes and stops a processor from elsewhere.
pub struct ProcessorControl<R: Runtime> {
    shared: R::Shared,
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

impl<R: Runtime> ProcessorControl<R> {
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
        let driver = self.shared.with(|state| {
            state.machine.notice_all();
            state.wake_driver()
        });
        if let Some(waker) = driver {
            waker.wake();
        }
    }

    /// Takes no more messages: what was prefetched is given back. Handlers that run go on.
    pub fn pause(&self) {
        self.set(1);
    }

    /// Goes on after [`ProcessorControl::pause`].
    pub fn resume(&self) {
        self.set(0);
    }

    /// Takes no more messages; `run` returns when the handlers that run have.
    pub fn stop(&self) {
        self.set(2);
    }

    /// Waits until there is something else to do than `known`.
    ///
    /// # Errors
    /// The client is closed.
    pub(super) async fn changed(&self, known: Mode) -> Result<(), Error<StorageOf<R>>> {
        let poll = |machine: &mut ClientMachine<StorageOf<R>>, _: &R, _: OperationId| {
            if let Some(cause) = machine.ended() {
                return Poll::Ready(Err(Error::of(Failure::new(cause))));
            }
            if self.mode() == known { Poll::Pending } else { Poll::Ready(Ok(())) }
        };
        match Call::<R, _>::start(&self.shared, None, None, poll) {
            Ok(call) => call.await,
            Err(failure) if failure.is_end() => Err(Error::of(failure)),
            // There is no room for a call that waits: the others go on.
            Err(_) => core::future::pending().await,
        }
    }

    /// Waits after a failure, longer each time; sooner over when there is something else to do.
    pub(super) async fn pause_after(&self, attempt: u32, reason: Option<Reason>) {
        let until = self.shared.with(|state| {
            let retry = state.machine.settings().retry;
            state.runtime.clock().now + retry.backoff(attempt, reason, state.machine.random())
        });
        let mode = self.mode();
        let poll = |machine: &mut ClientMachine<StorageOf<R>>, _: &R, operation: OperationId| {
            if self.mode() == mode { machine.poll_sleep(operation) } else { Poll::Ready(()) }
        };
        if let Ok(call) = Call::<R, _>::start(&self.shared, None, Some(until), poll) {
            call.await;
        }
    }
}

/// Ends with the first of both.
pub(super) async fn either<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> Result<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => other.as_mut().poll(cx).map(Err),
    })
    .await
}

/// Polls a handler; an error is what it panicked with.
fn poll_handler<F: Future>(handler: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, ()>> {
    #[cfg(feature = "std")]
    {
        // After a panic the handler is not polled any more, so nobody sees what it left half done.
        let polled = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| handler.poll(cx)));
        polled.map_or(Poll::Ready(Err(())), |polled| polled.map(Ok))
    }
    #[cfg(not(feature = "std"))]
    handler.poll(cx).map(Ok)
}

/// Why a pump has ended.
pub(super) enum PumpEnd<S: Storage> {
    /// It was told to; a pump of a session also ends when it is paused.
    Told,
    /// No message came for as long as it was to wait.
    Idle,
    /// The session was held for as long as its lock was to be renewed.
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

/// What handlers are called with.
pub(super) struct Pump<'p, R: Runtime, H, F> {
    pub(super) control: &'p ProcessorControl<R>,
    pub(super) options: ProcessorOptions,
    pub(super) handler: &'p H,
    pub(super) on_error: &'p F,
}

impl<R, H, E, F> Pump<'_, R, H, F>
where
    R: Runtime<Storage: storage::LockRenewal>,
    H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
    F: Fn(ProcessorError<StorageOf<R>, E>),
{
    /// Tells of an error; that telling fails stops nothing.
    pub(super) fn report(&self, error: ProcessorError<StorageOf<R>, E>) {
        #[cfg(feature = "std")]
        let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| (self.on_error)(error)));
        #[cfg(not(feature = "std"))]
        (self.on_error)(error);
    }

    /// Awaits a handler and reports its failure; true when there was none.
    pub(super) async fn call(&self, handler: impl Future<Output = Result<(), E>>) -> bool {
        let mut handler = pin!(handler);
        self.succeeded(poll_fn(|cx| poll_handler(handler.as_mut(), cx)).await)
    }

    /// Reports what a handler has failed with; true when there was nothing.
    fn succeeded(&self, result: Result<Result<(), E>, ()>) -> bool {
        let error = match result {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => ProcessorError::Handler(error),
            Err(()) => ProcessorError::Panicked,
        };
        self.report(error);
        false
    }

    /// One message from its arrival to its settlement.
    async fn handle(
        &self,
        receiver: &Receiver<R>,
        session: Option<&SessionReceiver<R>>,
        message: ReceivedMessage<StorageOf<R>>,
    ) {
        let locks = self.options.receiver.mode() == ReceiveMode::PeekLock;
        let mut renewal: Option<LockRenewal<'_, R>> = None;
        if let (true, None, Some(max)) = (locks, session, self.options.max_auto_lock_renewal) {
            match AutoLockRenewer::new(max).message(receiver, &message) {
                Ok(registered) => renewal = Some(registered),
                Err(failure) => self.report(ProcessorError::LockLost(failure)),
            }
        }
        let context = ProcessorMessage { receiver, session, message: &message, settled: AtomicBool::new(false) };
        let result = {
            let mut work = pin!((self.handler)(&context));
            let span = Span::handling(message.traceparent());
            let work = poll_fn(|cx| span.within(|| poll_handler(work.as_mut(), cx)));
            match &mut renewal {
                Some(renewal) => renewal.during(work, |failure| self.report(ProcessorError::LockLost(failure))).await,
                None => work.await,
            }
        };
        let settled = context.settled.into_inner();
        let failed = !self.succeeded(result);
        if settled || !locks {
            return;
        }
        let result = if failed {
            receiver.abandon(&message).await
        } else if self.options.auto_complete {
            receiver.complete(&message).await
        } else {
            Ok(())
        };
        if let Err(failure) = result {
            self.report(ProcessorError::Settle(failure));
        }
    }

    /// Receives and handles until it is told to end; for a session also when nothing comes for `idle`, or its `renewal`
    /// has ended. Every handler has returned when it ends.
    pub(super) async fn run<'s>(
        &self,
        receiver: &Receiver<R>,
        session: Option<&'s SessionReceiver<R>>,
        mut renewal: Option<&mut LockRenewal<'s, R>>,
        idle: Option<Duration>,
    ) -> PumpEnd<StorageOf<R>> {
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
                        running.extend(messages.into_iter().map(|message| self.handle(receiver, session, message)));
                    }
                    Step::Received(Err(failure)) | Step::Changed(Err(failure))
                        if failure.is_end() || failure.reason() == Some(Reason::SessionLockLost) =>
                    {
                        break PumpEnd::Over { failure, moved };
                    }
                    Step::Received(Err(failure)) => {
                        let wait = self.control.pause_after(attempt, failure.reason());
                        attempt += 1;
                        self.report(ProcessorError::Receive(failure.clone()));
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
                Err(failure) => self.report(ProcessorError::LockLost(failure)),
            }
        }
        finish(&mut running).await;
        // What was deleted when it was sent is in nobody else's hands: it is handled as well.
        while let Some(count) = receiver.leftover() {
            let count = count.min(u32::try_from(limit).unwrap_or(u32::MAX));
            let mut messages = Vec::new();
            let result = receiver.receive_each(count, Some(Duration::ZERO), |message| messages.push(message)).await;
            running.extend(messages.into_iter().map(|message| self.handle(receiver, session, message)));
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

    /// Gives back what was prefetched and prefetches nothing more, or goes on.
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

/// Receives messages of a queue or subscription and calls a handler for each, several at a time. Locks are renewed while
/// handlers run; a message is completed when its handler has succeeded and abandoned when it has failed.
///
/// Everything happens inside the future of [`Processor::run`]: handlers share its task, so one that blocks stops the
/// others. It runs on every runtime.
pub struct Processor<R: Runtime> {
    client: Client<R>,
    entity: Entity<StorageOf<R>>,
    options: ProcessorOptions,
    control: ProcessorControl<R>,
}

impl<R: Runtime> fmt::Debug for Processor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").field("entity", &self.entity).field("options", &self.options).finish()
    }
}

impl<R: Runtime> Client<R> {
    /// A processor of the messages of a queue or subscription.
    pub fn processor(&self, entity: impl Into<Entity<StorageOf<R>>>, options: ProcessorOptions) -> Processor<R> {
        let entity = entity.into();
        Processor { client: self.clone(), entity, options, control: ProcessorControl::new(self) }
    }
}

impl<R: Runtime> Processor<R> {
    /// What pauses, resumes and stops it.
    pub fn control(&self) -> ProcessorControl<R> {
        self.control.clone()
    }

    /// Receives and handles messages until [`ProcessorControl::stop`] is called. What goes wrong goes to `on_error`;
    /// neither that nor a handler's error ends it.
    ///
    /// Cancel safety: dropped, it drops the handlers that run; their messages come again when their locks end.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](super::ErrorKind::Closed) when the client is closed under it or its driver is dropped, or a
    /// full table of links.
    pub async fn run<H, E, F>(self, handler: H, on_error: F) -> Result<(), Error<StorageOf<R>>>
    where
        R::Storage: storage::LockRenewal,
        H: AsyncFn(&ProcessorMessage<'_, R>) -> Result<(), E>,
        F: Fn(ProcessorError<StorageOf<R>, E>),
    {
        let receiver = self.client.receiver_with(self.entity.clone(), self.options.receiver.in_storage())?;
        let pump = Pump { control: &self.control, options: self.options, handler: &handler, on_error: &on_error };
        let end = pump.run(&receiver, None, None, None).await;
        receiver.close().await;
        match end {
            PumpEnd::Told | PumpEnd::Idle | PumpEnd::Held { .. } => Ok(()),
            PumpEnd::Over { failure, .. } => Err(failure),
        }
    }
}

/// The time, for sessions that come back too soon.
pub(super) fn now<R: Runtime>(control: &ProcessorControl<R>) -> crate::time::Instant {
    clock::<R>(&control.shared).now
}
