//! A pending call as a future, and what all calls share.

use super::{LiteralOf, State, StorageOf};
use crate::runtime::{Runtime, Shared};
use crate::servicebus::Message;
use crate::servicebus::management::{Request, Response};
use crate::servicebus::namespace::{Clock, EndpointId, Entity, Failure, Kind, Namespace, OperationId, SizeLimits};
use crate::storage::{Arena, Slots, Storage};
use crate::time::Instant;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// An encoded message in the storage of a runtime.
pub(super) type PayloadOf<R> = <StorageOf<R> as Storage>::Payload;

/// A call that was started, and the encoded message that it is to send.
pub(super) type Started<'c, R> = (Pending<'c, R>, PayloadOf<R>);

/// Another handle to the state.
pub(super) fn handle<R: Runtime>(shared: &R::Shared) -> R::Shared {
    shared.with(|state| state.handles += 1);
    shared.clone()
}

/// A handle goes; with the last one the client closes.
pub(super) fn drop_handle<R: Runtime>(shared: &R::Shared) {
    let driver = shared.with(|state| {
        state.handles = state.handles.saturating_sub(1);
        if state.handles > 0 {
            return None;
        }
        state.namespace.close();
        state.wake_driver()
    });
    if let Some(waker) = driver {
        waker.wake();
    }
}

pub(super) fn clock<R: Runtime>(shared: &R::Shared) -> Clock {
    shared.with(|state| state.runtime.clock())
}

/// The slot of a call that waits. Dropping it gives the call up.
pub(super) struct Pending<'c, R: Runtime> {
    shared: &'c R::Shared,
    operation: Option<OperationId>,
}

impl<'c, R: Runtime> Pending<'c, R> {
    /// Starts a call on an endpoint, or on the client itself, that ends at `deadline`.
    pub(super) fn start(
        shared: &'c R::Shared,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
    ) -> Result<Self, Failure<StorageOf<R>>> {
        let operation = shared.with(|state| state.namespace.start(endpoint, deadline))?;
        Ok(Self { shared, operation: Some(operation) })
    }
}

impl<R: Runtime> Drop for Pending<'_, R> {
    fn drop(&mut self) {
        let Some(operation) = self.operation else { return };
        let driver = self.shared.with(|state| {
            finish(state, operation);
            state.wake_driver()
        });
        if let Some(waker) = driver {
            waker.wake();
        }
    }
}

/// Polls a call; once it is ready, its slot is free again.
pub(super) fn poll_pending<R: Runtime, T>(
    pending: &mut Pending<'_, R>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Namespace<StorageOf<R>>, &R, OperationId) -> Poll<T>,
) -> Poll<T> {
    let Some(operation) = pending.operation else { return Poll::Pending };
    let (result, driver) = pending.shared.with(|state| {
        let result = poll(&mut state.namespace, &state.runtime, operation);
        if result.is_pending() {
            let known = state.wakers.get(operation.index()).is_some_and(|known| known.will_wake(cx.waker()));
            if !known {
                let _ = state.wakers.put(operation.index(), cx.waker().clone());
            }
        } else {
            finish(state, operation);
        }
        (result, state.wake_driver())
    });
    if result.is_ready() {
        pending.operation = None;
    }
    if let Some(waker) = driver {
        waker.wake();
    }
    result
}

fn finish<R: Runtime>(state: &mut State<R>, operation: OperationId) {
    state.wakers.take(operation.index());
    state.namespace.finish(operation);
}

/// A call that has to wait, as a future.
pub(super) struct Call<'c, R: Runtime, F> {
    pending: Pending<'c, R>,
    poll: F,
}

impl<'c, R: Runtime, F> Call<'c, R, F> {
    /// A call that was started.
    pub(super) fn of<T>(pending: Pending<'c, R>, poll: F) -> Self
    where
        F: FnMut(&mut Namespace<StorageOf<R>>, &R, OperationId) -> Poll<T>,
    {
        Self { pending, poll }
    }

    /// As [`Pending::start`]; `poll` is called until it is ready.
    pub(super) fn start<T>(
        shared: &'c R::Shared,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
        poll: F,
    ) -> Result<Self, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut Namespace<StorageOf<R>>, &R, OperationId) -> Poll<T>,
    {
        Ok(Self { pending: Pending::start(shared, endpoint, deadline)?, poll })
    }
}

impl<R: Runtime, F, T> Future for Call<'_, R, F>
where
    F: FnMut(&mut Namespace<StorageOf<R>>, &R, OperationId) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        poll_pending(&mut this.pending, cx, &mut this.poll)
    }
}

/// Waits as the retry policy wants after a failed attempt of a call on an endpoint; false when there is to be no other.
pub(super) async fn wait_to_retry<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
    attempt: &mut u32,
    failure: &Failure<StorageOf<R>>,
) -> bool {
    let delay = shared.with(|state| {
        let now = state.runtime.now();
        state.namespace.retry_delay(now, endpoint, attempt, failure)
    });
    let Some(delay) = delay else { return false };
    log!(debug, "trying again", attempt = *attempt, delay_ms = delay.as_millis(), failure = failure);
    let until = clock::<R>(shared).now + delay;
    match Call::<R, _>::start(shared, None, Some(until), |namespace, _, operation| namespace.poll_sleep(operation)) {
        Ok(call) => {
            call.await;
            true
        }
        Err(_) => false,
    }
}

/// The end of an attempt that starts now.
pub(super) fn try_deadline<R: Runtime>(shared: &R::Shared) -> Instant {
    shared.with(|state| state.runtime.now() + state.namespace.settings().retry.try_timeout)
}

/// Asks an entity's `$management`, for an endpoint or for the client itself, again after failures that can pass.
pub(super) async fn request<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
    entity: &Entity<StorageOf<R>>,
    request: Request<'_>,
) -> Result<Response<PayloadOf<R>>, Failure<StorageOf<R>>> {
    let mut attempt = 0;
    loop {
        let deadline = try_deadline::<R>(shared);
        let poll = |namespace: &mut Namespace<StorageOf<R>>, runtime: &R, operation: OperationId| {
            namespace.poll_request(runtime.clock(), operation, entity, &request, None)
        };
        let failure = match Call::<R, _>::start(shared, endpoint, Some(deadline), poll)?.await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        if !wait_to_retry::<R>(shared, endpoint, &mut attempt, &failure).await {
            return Err(failure);
        }
    }
}

/// A sender or receiver of the application's: dropped, it is closed in the background.
pub(super) struct Endpoint<R: Runtime> {
    pub(super) shared: R::Shared,
    pub(super) id: EndpointId,
    pub(super) entity: Entity<StorageOf<R>>,
}

impl<R: Runtime> Drop for Endpoint<R> {
    fn drop(&mut self) {
        self.begin_close();
        drop_handle::<R>(&self.shared);
    }
}

impl<R: Runtime> Endpoint<R> {
    pub(super) fn new(
        shared: &R::Shared,
        kind: Kind<StorageOf<R>>,
        entity: Entity<StorageOf<R>>,
        accept_timeout: Option<u32>,
        identifier: Option<LiteralOf<R>>,
    ) -> Result<Self, Failure<StorageOf<R>>> {
        let (id, driver) = shared.with(|state| {
            let id = state.namespace.add_endpoint(kind, entity.clone(), accept_timeout, identifier);
            (id, state.wake_driver())
        });
        if let Some(waker) = driver {
            waker.wake();
        }
        Ok(Self { id: id?, shared: handle::<R>(shared), entity })
    }

    fn begin_close(&self) {
        let driver = self.shared.with(|state| {
            state.namespace.close_endpoint(self.id);
            state.wake_driver()
        });
        if let Some(waker) = driver {
            waker.wake();
        }
    }

    /// Encodes a message outside of the lock and starts the call that sends it.
    pub(super) fn encode_and_start(&self, message: &Message<'_>) -> Result<Started<'_, R>, Failure<StorageOf<R>>> {
        // Whoever comes meanwhile finds no arena and makes one of its own.
        let mut arena = self.shared.with(|state| core::mem::take(&mut state.arena));
        let payload = arena.encode(message);
        let started = self.shared.with(|state| {
            state.arena = arena;
            let deadline = state.runtime.now() + state.namespace.settings().retry.try_timeout;
            state.namespace.start(Some(self.id), Some(deadline))
        });
        let pending = Pending { shared: &self.shared, operation: Some(started?) };
        // A call that was started for nothing is given up here.
        Ok((pending, payload.map_err(|_| super::sender::too_large())?))
    }

    /// The end of an attempt that starts now.
    pub(super) fn try_deadline(&self) -> Instant {
        try_deadline::<R>(&self.shared)
    }

    pub(super) fn call<T, F>(&self, deadline: Option<Instant>, poll: F) -> Result<Call<'_, R, F>, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut Namespace<StorageOf<R>>, &R, OperationId) -> Poll<T>,
    {
        Call::start(&self.shared, Some(self.id), deadline, poll)
    }

    /// Waits for the link; until `deadline`, or for one attempt.
    pub(super) async fn attached(&self, deadline: Option<Instant>) -> Result<SizeLimits, Failure<StorageOf<R>>> {
        let deadline = deadline.unwrap_or_else(|| self.try_deadline());
        let id = self.id;
        self.call(Some(deadline), |namespace, _, operation| namespace.poll_attached(operation, id))?.await
    }

    /// Asks the entity's `$management`, again after failures that can pass.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Response<PayloadOf<R>>, Failure<StorageOf<R>>> {
        self::request::<R>(&self.shared, Some(self.id), &self.entity, request).await
    }

    /// Closes and waits until the link is gone.
    pub(super) async fn close(self) {
        self.begin_close();
        let id = self.id;
        let gone = |namespace: &mut Namespace<StorageOf<R>>, _: &R, _| {
            if namespace.is_gone(id) { Poll::Ready(()) } else { Poll::Pending }
        };
        if let Ok(call) = Call::<R, _>::start(&self.shared, None, None, gone) {
            call.await;
        }
    }
}
