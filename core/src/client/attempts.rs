//! A call that is tried again after failures that can pass.

use super::pending::{Call, PayloadOf, Pending, leave_waker, poll_pending};
use super::{Access, Error, State, StorageOf};
use crate::machine::{ClientMachine, Clock, EndpointId, Entity, Failure, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::Reason;
use crate::servicebus::management::{Request, Response};
use crate::time::Instant;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};

/// One retryable operation. It keeps its own result, so that one call loop serves every kind.
pub(super) trait Attempt<R: Runtime> {
    /// The sender or receiver that it is for, where its state decides about trying again.
    fn endpoint(&self) -> Option<EndpointId> {
        None
    }

    /// What it is done with, for the error.
    fn entity(&self) -> &Entity<StorageOf<R>>;

    /// Whether a second attempt does it a second time, where the first one's answer was lost.
    fn doubles(&self) -> bool {
        false
    }

    /// The time, for attempts that need it while they are polled.
    fn clock(&self) -> Clock {
        Clock::default()
    }

    /// Starts an attempt, or the pause that has to be made before, for the task of this waker.
    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>>;

    /// Goes on with the attempt that was started last, under the lock.
    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        clock: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>>;
}

/// A borrowed attempt: the caller reads its result afterwards.
impl<R: Runtime, A: Attempt<R>> Attempt<R> for &mut A {
    fn endpoint(&self) -> Option<EndpointId> {
        (**self).endpoint()
    }

    fn entity(&self) -> &Entity<StorageOf<R>> {
        (**self).entity()
    }

    fn doubles(&self) -> bool {
        (**self).doubles()
    }

    fn clock(&self) -> Clock {
        (**self).clock()
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        (**self).start(turn, waker)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        clock: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        (**self).poll(machine, clock, operation)
    }
}

/// When the next attempt of a call may begin, and when it has to end.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    /// The end of the call, where it has one of its own.
    pub(super) until: Option<Instant>,
    /// What was started is a pause.
    pub(super) waits: bool,
    /// The pause that all calls make while the service is busy was made.
    pub(super) paused: bool,
}

/// A call, attempt after attempt, as the retry policy wants.
///
/// Written by hand, and the same code for every kind of attempt: as async functions each of them had a state machine of
/// its own around the same waits.
pub(super) struct Attempts<'c, R: Runtime, A> {
    progress: Progress<'c, R>,
    attempt: A,
}

/// How far a call has come that is kept while it is not polled.
#[cfg(feature = "alloc")]
pub(super) struct Course {
    /// The attempt that is under way, or the wait for the next.
    pub(super) operation: Option<OperationId>,
    pub(super) turn: Turn,
    /// An attempt that failed may have been carried out.
    pub(super) uncertain: bool,
    failed: u32,
}

#[cfg(feature = "alloc")]
impl Course {
    /// As many attempts as the policy wants, until `until` at the latest.
    pub(super) fn new(until: Option<Instant>) -> Self {
        Self { operation: None, turn: Turn { until, waits: false, paused: false }, uncertain: false, failed: 0 }
    }

    /// Goes on with the call.
    pub(super) fn poll<R: Runtime, A: Attempt<R>>(
        &mut self,
        shared: &Access<R>,
        cx: &mut Context<'_>,
        attempt: &mut A,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let pending = Pending { shared, operation: self.operation.take() };
        let Self { turn, uncertain, failed, .. } = *self;
        let mut progress = Progress { pending, turn, uncertain, failed: Some(failed) };
        let polled = progress.poll(cx, attempt);
        self.operation = progress.pending.operation.take();
        self.turn = progress.turn;
        self.uncertain = progress.uncertain;
        self.failed = progress.failed.unwrap_or_default();
        polled
    }
}

struct Progress<'c, R: Runtime> {
    /// The attempt that is under way, or the wait for the next.
    pending: Pending<'c, R>,
    turn: Turn,
    /// An attempt that failed may have been carried out.
    uncertain: bool,
    /// The number of failed attempts; `None` where only one is made.
    failed: Option<u32>,
}

impl<'c, R: Runtime, A: Attempt<R>> Attempts<'c, R, A> {
    /// As many attempts as the policy wants, until `until` at the latest.
    pub(super) fn new(shared: &'c Access<R>, until: Option<Instant>, attempt: A) -> Self {
        Self::counted(shared, until, Some(0), attempt)
    }

    /// One attempt.
    pub(super) fn once(shared: &'c Access<R>, until: Option<Instant>, attempt: A) -> Self {
        Self::counted(shared, until, None, attempt)
    }

    fn counted(shared: &'c Access<R>, until: Option<Instant>, failed: Option<u32>, attempt: A) -> Self {
        let turn = Turn { until, waits: false, paused: false };
        Self { progress: Progress { pending: Pending::idle(shared), turn, uncertain: false, failed }, attempt }
    }
}

impl<R: Runtime, A: Attempt<R> + Unpin> Future for Attempts<'_, R, A> {
    type Output = Result<(), Error<StorageOf<R>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // One copy for all kinds where there is no allocator; servers have one for each, without indirect calls.
        #[cfg(feature = "alloc")]
        let polled = this.progress.poll(cx, &mut this.attempt);
        #[cfg(not(feature = "alloc"))]
        let polled = this.progress.poll(cx, &mut this.attempt as &mut dyn Attempt<R>);
        polled.map_err(|failure| Error::new(failure, this.attempt.entity()))
    }
}

impl<R: Runtime> Progress<'_, R> {
    fn poll<A: Attempt<R> + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: &mut A,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        loop {
            if self.turn.waits {
                ready!(poll_pending(&mut self.pending, cx, |machine, operation| machine.poll_sleep(operation)));
                self.turn.waits = false;
            }
            if self.pending.operation.is_none() {
                let started = attempt.start(&mut self.turn, cx.waker());
                let uncertain = self.uncertain;
                self.pending.operation = Some(started.map_err(|failure| Failure { uncertain, ..failure })?);
                if self.turn.waits {
                    continue;
                }
            }
            let clock = attempt.clock();
            let poll = |machine: &mut ClientMachine<StorageOf<R>>, operation| attempt.poll(machine, clock, operation);
            let Err(mut failure) = ready!(poll_pending(&mut self.pending, cx, poll)) else {
                return Poll::Ready(Ok(()));
            };
            let endpoint = attempt.endpoint();
            let (shared, until) = (self.pending.shared, self.turn.until);
            self.uncertain |= failure.uncertain;
            let again = self.failed.as_mut().filter(|_| !self.uncertain || !attempt.doubles());
            let wait = again.and_then(|failed| start_wait::<R>(shared, endpoint, failed, &failure, until));
            if wait.is_none() {
                shared.change(|state| state.machine.needs_less());
                failure.uncertain = self.uncertain;
                return Poll::Ready(Err(failure));
            }
            self.pending.operation = wait;
            self.turn.waits = true;
        }
    }
}

/// A request to an entity's `$management`, for an endpoint or for the client itself.
pub(super) struct Asking<'c, R: Runtime> {
    pub(super) shared: &'c Access<R>,
    pub(super) endpoint: Option<EndpointId>,
    pub(super) entity: &'c Entity<StorageOf<R>>,
    pub(super) request: &'c dyn Request,
    pub(super) response: Option<Response<PayloadOf<R>>>,
}

impl<R: Runtime> Attempt<R> for Asking<'_, R> {
    fn endpoint(&self) -> Option<EndpointId> {
        self.endpoint
    }

    fn doubles(&self) -> bool {
        self.request.doubles()
    }

    fn entity(&self) -> &Entity<StorageOf<R>> {
        self.entity
    }

    fn clock(&self) -> Clock {
        self.shared.clock()
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        start_try::<R>(self.shared, self.endpoint, turn, waker)
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        clock: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let response = ready!(machine.poll_request(clock, operation, self.entity, self.request, None));
        Poll::Ready(response.map(|response| self.response = Some(response)))
    }
}

/// Starts the wait that the retry policy wants after a failed attempt of a call on an endpoint; `None` when there is to
/// be no other.
#[inline(never)]
pub(super) fn start_wait<R: Runtime>(
    shared: &Access<R>,
    endpoint: Option<EndpointId>,
    failed: &mut u32,
    failure: &Failure<StorageOf<R>>,
    until: Option<Instant>,
) -> Option<OperationId> {
    let now = shared.now();
    shared.with(|state| {
        let delay = state.machine.retry_delay(endpoint, failed, failure)?;
        if failure.reason() == Some(Reason::ServerBusy) {
            state.machine.pause_until(now.after(delay));
        }
        if until.is_some_and(|until| until <= now.after(delay)) {
            return None;
        }
        log!(debug, "trying again", attempt = *failed, delay_ms = delay.get(), failure = failure);
        state.machine.start_pause(now.after(delay)).ok()
    })
}

/// Waits for the retry policy's delay after a failed attempt of a call on an endpoint; false when no attempt is left.
pub(super) async fn wait_to_retry<R: Runtime>(
    shared: &Access<R>,
    endpoint: Option<EndpointId>,
    failed: &mut u32,
    failure: &Failure<StorageOf<R>>,
    until: Option<Instant>,
) -> bool {
    let operation = start_wait::<R>(shared, endpoint, failed, failure, until);
    let waits = operation.is_some();
    if waits {
        let pending = Pending::<R> { shared, operation };
        Call { pending, poll: |machine: &mut ClientMachine<_>, operation| machine.poll_sleep(operation) }.await;
    }
    waits
}

/// The end of an attempt that starts now.
pub(super) fn try_deadline<R: Runtime>(state: &State<R>, now: Instant, until: Option<Instant>) -> Instant {
    let deadline = now + state.machine.settings().retry.try_timeout;
    until.map_or(deadline, |until| until.min(deadline))
}

/// Starts an attempt of a call, or the pause before it: while the service is busy, all calls of the client wait
/// together. The waker of its task is left where there is none yet.
pub(super) fn begin<R: Runtime>(
    state: &mut State<R>,
    now: Instant,
    endpoint: Option<EndpointId>,
    turn: &mut Turn,
    waker: &mut Option<Waker>,
) -> Result<OperationId, Failure<StorageOf<R>>> {
    if turn.until.is_some_and(|until| until <= now) {
        // Nothing may leave for a call whose time is up.
        return Err(state.machine.late(endpoint));
    }
    let busy = state.machine.paused_until().filter(|busy| !turn.paused && *busy > now);
    let operation = match busy {
        Some(busy) => state.machine.start_pause(turn.until.map_or(busy, |until| until.min(busy)))?,
        None => state.machine.start(endpoint, Some(try_deadline(state, now, turn.until)))?,
    };
    turn.paused = busy.is_some();
    turn.waits = busy.is_some();
    leave_waker(state, operation, waker);
    Ok(operation)
}

/// Starts an attempt of a call on an endpoint, or on the client itself.
#[inline(never)]
pub(super) fn start_try<R: Runtime>(
    shared: &Access<R>,
    endpoint: Option<EndpointId>,
    turn: &mut Turn,
    waker: &Waker,
) -> Result<OperationId, Failure<StorageOf<R>>> {
    let (now, mut waker) = (shared.now(), Some(waker.clone()));
    shared.with(|state| begin(state, now, endpoint, turn, &mut waker))
}
