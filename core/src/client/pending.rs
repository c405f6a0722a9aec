//! A call that waits: its slot, and a future of it.

use super::{Access, State, StorageOf};
use crate::machine::{ClientMachine, EndpointId, Failure, OperationId};
use crate::runtime::Runtime;
use crate::storage::{self, Storage};
use crate::time::Instant;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// An encoded message in the storage of a runtime.
pub(super) type PayloadOf<R> = <StorageOf<R> as Storage>::Payload;

/// The id of a transaction, where the storage of a runtime has any.
pub(super) type TransactionOf<R> = storage::TransactionOf<StorageOf<R>>;

/// Another handle to the state.
pub(super) fn handle<R: Runtime>(shared: &Access<R>) -> Access<R> {
    shared.with(|state| state.handles += 1);
    shared.clone()
}

/// A handle goes; with the last one the client closes.
#[inline(never)]
pub(super) fn drop_handle<R: Runtime>(shared: &Access<R>) {
    shared.change(|state| {
        state.handles = state.handles.saturating_sub(1);
        if state.handles == 0 {
            state.machine.close();
        }
    });
}

/// The slot of a call that waits. Dropping it gives the call up.
pub(super) struct Pending<'c, R: Runtime> {
    pub(super) shared: &'c Access<R>,
    pub(super) operation: Option<OperationId>,
}

impl<'c, R: Runtime> Pending<'c, R> {
    /// No call yet.
    pub(super) fn idle(shared: &'c Access<R>) -> Self {
        Self { shared, operation: None }
    }

    /// Starts a call on an endpoint, or on the client itself, that ends at `deadline`.
    pub(super) fn start(
        shared: &'c Access<R>,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
    ) -> Result<Self, Failure<StorageOf<R>>> {
        let operation = shared.with(|state| state.machine.start(endpoint, deadline))?;
        Ok(Self { shared, operation: Some(operation) })
    }
}

/// Starts a call on an endpoint for the task of this waker.
pub(super) fn start_for<R: Runtime>(
    shared: &Access<R>,
    endpoint: EndpointId,
    deadline: Option<Instant>,
    waker: &Waker,
) -> Result<OperationId, Failure<StorageOf<R>>> {
    let mut waker = Some(waker.clone());
    shared.with(|state| {
        let operation = state.machine.start(Some(endpoint), deadline)?;
        leave_waker(state, operation, &mut waker);
        Ok(operation)
    })
}

/// Leaves a waker with a call that has none yet.
pub(super) fn leave_waker<R: Runtime>(state: &mut State<R>, operation: OperationId, waker: &mut Option<Waker>) {
    let place = operation.index();
    if state.wakers.get(place).is_none()
        && let Some(new) = waker.take()
    {
        *waker = state.wakers.put(place, new);
    }
}

impl<R: Runtime> Drop for Pending<'_, R> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation {
            give_up::<R>(self.shared, operation);
        }
    }
}

/// Drops a call. Not part of the futures that hold one: each would have a copy of it.
#[inline(never)]
pub(super) fn give_up<R: Runtime>(shared: &Access<R>, operation: OperationId) {
    let waker = shared.change(|state| {
        let waker = finish(state, operation);
        state.machine.needs_less();
        waker
    });
    drop(waker);
}

/// Polls a call; once it is ready, its slot is free again.
pub(super) fn poll_pending<R: Runtime, T>(
    pending: &mut Pending<'_, R>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<T>,
) -> Poll<T> {
    let mut output = Poll::Pending;
    poll_slot(pending, cx, &mut |machine, operation| {
        output = poll(machine, operation);
        if output.is_ready() { Poll::Ready(true) } else { Poll::Pending }
    });
    output
}

/// Goes on with a call. Ready when the task does not have to wait, with whether the call is over.
pub(super) type Polling<'p, R> = dyn FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<bool> + 'p;

/// What is the same for calls of all kinds.
#[inline]
pub(super) fn poll_slot<R: Runtime>(pending: &mut Pending<'_, R>, cx: &mut Context<'_>, poll: &mut Polling<'_, R>) {
    let Some(operation) = pending.operation else { return };
    let mut waker = None;
    loop {
        // Wakers come and go outside of the lock.
        let (polled, _gone) = pending.shared.change(|state| {
            match poll(&mut state.machine, operation) {
                Poll::Ready(true) => return (Polled::Over, finish(state, operation)),
                Poll::Ready(false) => return (Polled::Pending, None),
                Poll::Pending => {}
            }
            match state.wakers.get(operation.index()) {
                Some(known) if known.will_wake(cx.waker()) => (Polled::Pending, None),
                _ => match waker.take() {
                    Some(waker) => (Polled::Pending, state.wakers.put(operation.index(), waker)),
                    None => (Polled::Unknown, None),
                },
            }
        });
        match polled {
            Polled::Over => return pending.operation = None,
            Polled::Pending => return,
            // Polled once more with the waker: what happens meanwhile must not be missed.
            Polled::Unknown => waker = Some(cx.waker().clone()),
        }
    }
}

/// How a call stands after a poll.
enum Polled {
    Over,
    /// Its task will be woken, or does not wait.
    Pending,
    /// The waker of its task is not known yet.
    Unknown,
}

/// Frees the slot of a call. Drop the returned waker outside of the lock.
#[must_use]
fn finish<R: Runtime>(state: &mut State<R>, operation: OperationId) -> Option<Waker> {
    state.machine.finish(operation);
    state.wakers.take(operation.index())
}

/// A call that has to wait, as a future.
pub(super) struct Call<'c, R: Runtime, F> {
    pub(super) pending: Pending<'c, R>,
    pub(super) poll: F,
}

impl<'c, R: Runtime, F> Call<'c, R, F> {
    /// As [`Pending::start`]; `poll` is called until it is ready.
    pub(super) fn start<T>(
        shared: &'c Access<R>,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
        poll: F,
    ) -> Result<Self, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<T>,
    {
        Ok(Self { pending: Pending::start(shared, endpoint, deadline)?, poll })
    }

    /// The same for a call that has news when a processor is paused, resumed or stopped.
    #[cfg(feature = "alloc")]
    pub(super) fn watch<T>(
        shared: &'c Access<R>,
        deadline: Option<Instant>,
        poll: F,
    ) -> Result<Self, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<T>,
    {
        let operation = shared.with(|state| state.machine.start_watch_until(deadline))?;
        Ok(Self { pending: Pending { shared, operation: Some(operation) }, poll })
    }
}

impl<R: Runtime, F, T> Future for Call<'_, R, F>
where
    F: FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        poll_pending(&mut this.pending, cx, &mut this.poll)
    }
}

/// Closes the client and waits until its driver has ended.
pub(super) async fn close<R: Runtime>(shared: &Access<R>) {
    shared.change(|state| state.machine.close());
    news::<R, _>(shared, ClientMachine::start_closing, |machine| {
        if machine.is_stopped() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits until `poll` is ready, which depends on what the client's driver does. `start` takes a slot for that; while
/// all are taken, the task waits in a place that is left for those.
pub(super) async fn news<R: Runtime, T>(
    shared: &Access<R>,
    start: fn(&mut ClientMachine<StorageOf<R>>) -> Option<OperationId>,
    mut poll: impl FnMut(&ClientMachine<StorageOf<R>>) -> Poll<T>,
) -> T {
    let mut pending = Pending::<R>::idle(shared);
    poll_fn(|cx| {
        if pending.operation.is_none() {
            let mut waker = Some(cx.waker().clone());
            let (polled, before) = shared.change(|state| {
                pending.operation = start(&mut state.machine);
                if pending.operation.is_some() {
                    return (Poll::Pending, None);
                }
                let polled = poll(&state.machine);
                let before = if polled.is_pending() { state.wait_outside(&mut waker) } else { None };
                (polled, before)
            });
            if let Some(before) = before {
                before.wake();
            }
            if pending.operation.is_none() {
                return polled;
            }
        }
        poll_pending(&mut pending, cx, |machine, _| poll(machine))
    })
    .await
}
