//! A pending call as a future, and what all calls share.

use super::attempts::{Asking, Attempts};
use super::{Error, LiteralOf, ReceiverOptions, State, StorageOf};
use crate::engine::{Capacity, EngineError};
use crate::machine::{
    Cause, ClientMachine, Clock, EndpointId, Entity, Failure, Kind, OperationId, SessionChoice, SizeLimits,
};
use crate::runtime::{Runtime, Shared};
use crate::servicebus::management::{Request, Response};
use crate::servicebus::{MessageId, MessageRef};
use crate::storage::{self, Arena, Slots, Storage};
use crate::time::Instant;
use crate::wire::{Uuid, UuidText};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// An encoded message in the storage of a runtime.
pub(super) type PayloadOf<R> = <StorageOf<R> as Storage>::Payload;

/// The id of a transaction, where the storage of a runtime has any.
pub(super) type TransactionOf<R> = storage::TransactionOf<StorageOf<R>>;

/// Another handle to the state.
pub(super) fn handle<R: Runtime>(shared: &R::Shared) -> R::Shared {
    shared.with(|state| state.handles += 1);
    shared.clone()
}

/// A handle goes; with the last one the client closes.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn drop_handle<R: Runtime>(shared: &R::Shared) {
    change::<R, _>(shared, |state| {
        state.handles = state.handles.saturating_sub(1);
        if state.handles == 0 {
            state.machine.close();
        }
    });
}

pub(super) fn clock<R: Runtime>(shared: &R::Shared) -> Clock {
    shared.with(|state| state.runtime.clock())
}

/// Changes the state, and wakes the driver when it has something to do then.
pub(crate) fn change<R: Runtime, T>(shared: &R::Shared, change: impl FnOnce(&mut State<R>) -> T) -> T {
    let (result, driver) = shared.with(|state| (change(state), state.wake_driver()));
    if let Some(waker) = driver {
        waker.wake();
    }
    result
}

/// The slot of a call that waits. Dropping it gives the call up.
pub(super) struct Pending<'c, R: Runtime> {
    pub(super) shared: &'c R::Shared,
    pub(super) operation: Option<OperationId>,
}

impl<'c, R: Runtime> Pending<'c, R> {
    /// No call yet.
    pub(super) fn idle(shared: &'c R::Shared) -> Self {
        Self { shared, operation: None }
    }

    /// Starts a call on an endpoint, or on the client itself, that ends at `deadline`.
    pub(super) fn start(
        shared: &'c R::Shared,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
    ) -> Result<Self, Failure<StorageOf<R>>> {
        let operation = shared.with(|state| state.machine.start(endpoint, deadline))?;
        Ok(Self { shared, operation: Some(operation) })
    }
}

impl<R: Runtime> Drop for Pending<'_, R> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation {
            give_up::<R>(self.shared, operation);
        }
    }
}

/// Nobody waits for a call any more. Not part of the futures that hold one: each would have a copy of it.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn give_up<R: Runtime>(shared: &R::Shared, operation: OperationId) {
    change::<R, _>(shared, |state| finish(state, operation));
}

/// Polls a call; once it is ready, its slot is free again.
pub(super) fn poll_pending<R: Runtime, T>(
    pending: &mut Pending<'_, R>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut ClientMachine<StorageOf<R>>, &R, OperationId) -> Poll<T>,
) -> Poll<T> {
    let mut output = Poll::Pending;
    poll_slot(pending, cx, &mut |machine, runtime, operation| {
        output = poll(machine, runtime, operation);
        output.is_ready()
    });
    output
}

/// Goes on with a call, and tells whether it is over.
type Polling<'p, R> = dyn FnMut(&mut ClientMachine<StorageOf<R>>, &R, OperationId) -> bool + 'p;

/// What is the same for calls of all kinds. `poll` tells whether the call is over.
#[cfg_attr(feature = "alloc", inline)]
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn poll_slot<R: Runtime>(pending: &mut Pending<'_, R>, cx: &mut Context<'_>, poll: &mut Polling<'_, R>) {
    let Some(operation) = pending.operation else { return };
    let ready = change::<R, _>(pending.shared, |state| {
        let ready = poll(&mut state.machine, &state.runtime, operation);
        if ready {
            finish(state, operation);
        } else {
            let known = state.wakers.get(operation.index()).is_some_and(|known| known.will_wake(cx.waker()));
            if !known {
                let _ = state.wakers.put(operation.index(), cx.waker().clone());
            }
        }
        ready
    });
    if ready {
        pending.operation = None;
    }
}

fn finish<R: Runtime>(state: &mut State<R>, operation: OperationId) {
    state.wakers.take(operation.index());
    state.machine.finish(operation);
}

/// A call that has to wait, as a future.
pub(super) struct Call<'c, R: Runtime, F> {
    pending: Pending<'c, R>,
    poll: F,
}

impl<'c, R: Runtime, F> Call<'c, R, F> {
    /// As [`Pending::start`]; `poll` is called until it is ready.
    pub(super) fn start<T>(
        shared: &'c R::Shared,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
        poll: F,
    ) -> Result<Self, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut ClientMachine<StorageOf<R>>, &R, OperationId) -> Poll<T>,
    {
        Ok(Self { pending: Pending::start(shared, endpoint, deadline)?, poll })
    }
}

impl<R: Runtime, F, T> Future for Call<'_, R, F>
where
    F: FnMut(&mut ClientMachine<StorageOf<R>>, &R, OperationId) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        poll_pending(&mut this.pending, cx, &mut this.poll)
    }
}

/// Starts the wait that the retry policy wants after a failed attempt of a call on an endpoint; `None` when there is to
/// be no other.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn start_wait<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
    failed: &mut u32,
    failure: &Failure<StorageOf<R>>,
) -> Option<OperationId> {
    shared.with(|state| {
        let now = state.runtime.now();
        let delay = state.machine.retry_delay(endpoint, failed, failure)?;
        log!(debug, "trying again", attempt = *failed, delay_ms = delay.get(), failure = failure);
        state.machine.start(None, Some(now.after(delay))).ok()
    })
}

/// Waits as the retry policy wants after a failed attempt of a call on an endpoint; false when there is to be no other.
pub(super) async fn wait_to_retry<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
    failed: &mut u32,
    failure: &Failure<StorageOf<R>>,
) -> bool {
    let operation = start_wait::<R>(shared, endpoint, failed, failure);
    let waits = operation.is_some();
    if waits {
        let pending = Pending::<R> { shared, operation };
        Call { pending, poll: |machine: &mut ClientMachine<_>, _: &R, operation| machine.poll_sleep(operation) }.await;
    }
    waits
}

/// The end of an attempt that starts now.
pub(super) fn try_deadline<R: Runtime>(shared: &R::Shared) -> Instant {
    shared.with(|state| state.runtime.now() + state.machine.settings().retry.try_timeout)
}

/// Starts an attempt of a call on an endpoint, or on the client itself.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn start_try<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
) -> Result<OperationId, Failure<StorageOf<R>>> {
    shared.with(|state| {
        let deadline = state.runtime.now() + state.machine.settings().retry.try_timeout;
        state.machine.start(endpoint, Some(deadline))
    })
}

/// Asks an entity's `$management`, for an endpoint or for the client itself, again after failures that can pass.
pub(super) async fn request<R: Runtime>(
    shared: &R::Shared,
    endpoint: Option<EndpointId>,
    entity: &Entity<StorageOf<R>>,
    request: &dyn Request,
) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
    let mut asking = Asking::<R> { shared, endpoint, entity, request, response: None };
    Attempts::new(shared, &mut asking).await?;
    asking.response.ok_or_else(|| Error::new(Failure::new(Cause::LinkLost), entity))
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
        kind: Kind,
        entity: Entity<StorageOf<R>>,
        identifier: Option<LiteralOf<R>>,
    ) -> Result<Self, Error<StorageOf<R>>> {
        let id = change::<R, _>(shared, |state| state.machine.add_endpoint(kind, entity.clone(), identifier));
        let id = id.map_err(|failure| Error::new(failure, &entity))?;
        Ok(Self { id, shared: handle::<R>(shared), entity })
    }

    /// A receiver of a session; the service may look for one for `accept_timeout` milliseconds.
    pub(super) fn in_session(
        shared: &R::Shared,
        options: ReceiverOptions<StorageOf<R>>,
        session: &SessionChoice<StorageOf<R>>,
        entity: Entity<StorageOf<R>>,
        accept_timeout: Option<u32>,
    ) -> Result<Self, Error<StorageOf<R>>> {
        let (mode, prefetch) = (options.mode, options.prefetch);
        let id = change::<R, _>(shared, |state| {
            state.machine.add_session_receiver(mode, prefetch, session.clone(), entity.clone(), accept_timeout)
        });
        let id = id.map_err(|failure| Error::new(failure, &entity))?;
        Ok(Self { id, shared: handle::<R>(shared), entity })
    }

    /// The error of a call on it.
    pub(super) fn error(&self, failure: Failure<StorageOf<R>>) -> Error<StorageOf<R>> {
        Error::new(failure, &self.entity)
    }

    fn begin_close(&self) {
        change::<R, _>(&self.shared, |state| state.machine.close_endpoint(self.id));
    }

    /// An id for a message that has none.
    pub(super) fn new_id(&self) -> UuidText {
        Uuid(self.shared.with(|state| state.machine.random().uuid())).text()
    }

    /// Encodes a message outside of the lock and starts the call that sends it. `id` is the place for the id of a message
    /// that has none, in a call that makes several attempts.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn encode_and_start(
        &self,
        message: &MessageRef<'_>,
        id: Option<&mut Option<Uuid>>,
    ) -> Result<(OperationId, PayloadOf<R>), Failure<StorageOf<R>>> {
        message.validate().map_err(|error| super::error::invalid(&error))?;
        let id = id.filter(|_| <StorageOf<R> as Storage>::MESSAGE_IDS && message.message_id.is_none());
        let (mut arena, id) = self.shared.with(|state| {
            let id = id.and_then(|id| {
                if id.is_none() && state.machine.settings().message_ids {
                    *id = Some(Uuid(state.machine.random().uuid()));
                }
                *id
            });
            // Whoever comes meanwhile finds no arena and makes one of its own.
            (core::mem::take(&mut state.arena), id)
        });
        let text = id.map(Uuid::text);
        let payload = if text.is_some() || message.needs_expiry() {
            let mut message: MessageRef<'_> = *message;
            message.message_id = message.message_id.or(text.as_ref().map(|text| MessageId::String(text.as_str())));
            if message.needs_expiry() {
                message.set_expiry(clock::<R>(&self.shared).utc);
            }
            arena.encode(&message)
        } else {
            arena.encode(message)
        };
        let started = self.shared.with(|state| {
            state.arena = arena;
            let deadline = state.runtime.now() + state.machine.settings().retry.try_timeout;
            state.machine.start(Some(self.id), Some(deadline))
        });
        let operation = started?;
        payload.map(|payload| (operation, payload)).map_err(|_| {
            // The call was started for nothing.
            give_up::<R>(&self.shared, operation);
            Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Message)))
        })
    }

    /// The end of an attempt that starts now.
    pub(super) fn try_deadline(&self) -> Instant {
        try_deadline::<R>(&self.shared)
    }

    pub(super) fn call<T, F>(&self, deadline: Option<Instant>, poll: F) -> Result<Call<'_, R, F>, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut ClientMachine<StorageOf<R>>, &R, OperationId) -> Poll<T>,
    {
        Call::start(&self.shared, Some(self.id), deadline, poll)
    }

    /// Waits for the link; until `deadline`, or for one attempt.
    pub(super) async fn attached(&self, deadline: Option<Instant>) -> Result<SizeLimits, Failure<StorageOf<R>>> {
        let deadline = deadline.unwrap_or_else(|| self.try_deadline());
        let id = self.id;
        self.call(Some(deadline), |machine, _, operation| machine.poll_attached(operation, id))?.await
    }

    /// Asks the entity's `$management`, again after failures that can pass.
    pub(super) async fn request(&self, request: &dyn Request) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
        self::request::<R>(&self.shared, Some(self.id), &self.entity, request).await
    }

    /// Asks the entity's `$management` once.
    pub(super) async fn request_once(
        &self,
        request: &dyn Request,
    ) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
        let Self { shared, id, entity } = self;
        let mut asking = Asking::<R> { shared, endpoint: Some(*id), entity, request, response: None };
        Attempts::once(shared, &mut asking).await?;
        asking.response.ok_or_else(|| self.error(Failure::new(Cause::LinkLost)))
    }

    /// Closes and waits until the link is gone.
    pub(super) async fn close(self) {
        self.begin_close();
        let id = self.id;
        let gone = |machine: &mut ClientMachine<StorageOf<R>>, _: &R, _| {
            if machine.is_gone(id) { Poll::Ready(()) } else { Poll::Pending }
        };
        let operation = self.shared.with(|state| state.machine.start_close(id).ok());
        if operation.is_some() {
            let pending = Pending { shared: &self.shared, operation };
            Call::<R, _> { pending, poll: gone }.await;
        }
    }
}
