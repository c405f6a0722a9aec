//! A pending call as a future, and what all calls share.

use super::attempts::{Asking, Attempt, Attempts, Turn};
use super::{Access, Error, LiteralOf, ReceiverOptions, State, StorageOf};
use crate::engine::Capacity;
use crate::machine::{Cause, ClientMachine, EndpointId, Entity, Failure, Kind, OperationId, SessionChoice, SizeLimits};
use crate::runtime::Runtime;
use crate::servicebus::connection_string::may_hold_key;
use crate::servicebus::management::{Request, Response};
use crate::servicebus::name::check_address;
use crate::servicebus::{Argument, MessageId, MessageRef, Reason};
use crate::storage::{self, EncoderOf, Features, Payload, Spare, Storage};
use crate::time::{Duration, Instant};
use crate::wire::{Full, Uuid, UuidText};
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
fn leave_waker<R: Runtime>(state: &mut State<R>, operation: OperationId, waker: &mut Option<Waker>) {
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
    pending: Pending<'c, R>,
    poll: F,
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
fn try_deadline<R: Runtime>(state: &State<R>, now: Instant, until: Option<Instant>) -> Instant {
    let deadline = now + state.machine.settings().retry.try_timeout;
    until.map_or(deadline, |until| until.min(deadline))
}

/// Starts an attempt of a call, or the pause before it: while the service is busy, all calls of the client wait
/// together. The waker of its task is left where there is none yet.
fn begin<R: Runtime>(
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

/// Asks an entity's `$management`, for an endpoint or for the client itself, again after failures that can pass.
pub(super) async fn request<R: Runtime>(
    shared: &Access<R>,
    endpoint: Option<EndpointId>,
    entity: &Entity<StorageOf<R>>,
    request: &dyn Request,
    until: Option<Instant>,
) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
    const {
        assert!(
            <StorageOf<R> as Storage>::Features::MANAGEMENT,
            "the storage's features have no requests to `$management`"
        );
    }
    let mut asking = Asking::<R> { shared, endpoint, entity, request, response: None };
    Attempts::new(shared, until, &mut asking).await?;
    asking.response.ok_or_else(|| Error::new(Failure::new(Cause::LinkLost), entity))
}

/// Refuses an entity that no address leads to, where the storage checks: it would cost a connection and a link.
pub(super) fn check_entity<S: Storage>(entity: &Entity<S>) -> Result<(), Error<S>> {
    if !S::CHECKS {
        return Ok(());
    }
    let address = entity.address();
    check_address(address).map_err(|why| {
        let failure = Failure::explained(Cause::Argument(Argument::EntityName), &why);
        // A connection string where the name belongs: its key stays out of errors.
        if may_hold_key(address.entity) || address.subscription.is_some_and(may_hold_key) {
            Error::of(failure)
        } else {
            Error::new(failure, entity)
        }
    })
}

/// A handle to a sender or receiver: with the last one dropped, it is closed in the background.
pub(super) struct Endpoint<R: Runtime> {
    pub(super) shared: Access<R>,
    pub(super) id: EndpointId,
    pub(super) entity: Entity<StorageOf<R>>,
    /// The time-out of each call, within the retry policy's.
    limit: Option<Duration>,
}

impl<R: Runtime> Clone for Endpoint<R> {
    fn clone(&self) -> Self {
        self.shared.with(|state| {
            state.handles += 1;
            state.machine.share_endpoint(self.id);
        });
        Self { shared: self.shared.clone(), id: self.id, entity: self.entity.clone(), limit: self.limit }
    }
}

impl<R: Runtime> Drop for Endpoint<R> {
    fn drop(&mut self) {
        self.shared.change(|state| state.machine.release_endpoint(self.id));
        drop_handle::<R>(&self.shared);
    }
}

impl<R: Runtime> Endpoint<R> {
    pub(super) fn new(
        shared: &Access<R>,
        kind: Kind,
        entity: Entity<StorageOf<R>>,
        identifier: Option<LiteralOf<R>>,
    ) -> Result<Self, Error<StorageOf<R>>> {
        check_entity(&entity)?;
        let id = shared.change(|state| state.machine.add_endpoint(kind, entity.clone(), identifier));
        let id = id.map_err(|failure| Error::new(failure, &entity))?;
        Ok(Self { id, shared: handle::<R>(shared), entity, limit: None })
    }

    /// A receiver of a session; the service may look for one for `accept_timeout` milliseconds.
    pub(super) fn in_session(
        shared: &Access<R>,
        options: ReceiverOptions<StorageOf<R>>,
        session: &SessionChoice<StorageOf<R>>,
        accept_timeout: Option<u32>,
    ) -> Result<Self, Error<StorageOf<R>>> {
        check_entity(&options.entity)?;
        let kind = options.kind();
        let ReceiverOptions { entity, identifier, .. } = options;
        let id = shared.change(|state| {
            state.machine.add_session_receiver(kind, session.clone(), entity.clone(), identifier, accept_timeout)
        });
        let id = id.map_err(|failure| Error::new(failure, &entity))?;
        Ok(Self { id, shared: handle::<R>(shared), entity, limit: None })
    }

    /// The error of a call on it.
    pub(super) fn error(&self, failure: Failure<StorageOf<R>>) -> Error<StorageOf<R>> {
        Error::new(failure, &self.entity)
    }

    fn begin_close(&self) {
        self.shared.change(|state| state.machine.close_endpoint(self.id));
    }

    /// Another handle, each of whose calls takes no longer than this.
    pub(super) fn limited(&self, limit: Duration) -> Self {
        let mut limited = self.clone();
        limited.limit = Some(limit);
        limited
    }

    /// The end of a call that starts now, where it has one of its own.
    pub(super) fn until(&self) -> Option<Instant> {
        let limit = self.limit?;
        Some(self.shared.now() + limit)
    }

    /// Makes a call, attempt after attempt.
    pub(super) fn attempts<A: Attempt<R>>(&self, attempt: A) -> Attempts<'_, R, A> {
        Attempts::new(&self.shared, self.until(), attempt)
    }

    /// Makes a call of one attempt.
    pub(super) fn attempt_once<A: Attempt<R>>(&self, attempt: A) -> Attempts<'_, R, A> {
        Attempts::once(&self.shared, self.until(), attempt)
    }

    /// An id for a message that has none.
    pub(super) fn new_id(&self) -> UuidText {
        Uuid(self.shared.with(|state| state.machine.random().uuid())).text()
    }

    /// Encodes a message outside of the lock into `payload` and starts the call that sends it; nothing is encoded where
    /// a pause comes first. `id` is the place for the id of a message that has none, in a call that makes several
    /// attempts.
    #[inline(never)]
    pub(super) fn encode_and_start(
        &self,
        message: &MessageRef<'_>,
        id: Option<&mut Option<Uuid>>,
        turn: &mut Turn,
        waker: &Waker,
        payload: &mut Option<PayloadOf<R>>,
    ) -> Result<OperationId, Failure<StorageOf<R>>> {
        message.validate_for::<StorageOf<R>>().map_err(|error| super::error::invalid(&error))?;
        let id = id.filter(|_| <StorageOf<R> as Storage>::MESSAGE_IDS && message.message_id.is_none());
        let (now, mut waker) = (self.shared.now(), Some(waker.clone()));
        let (started, mut arena, id) = self.shared.with(|state| {
            let started = begin(state, now, Some(self.id), turn, &mut waker);
            let id = id.and_then(|id| {
                if id.is_none() && state.machine.settings().message_ids {
                    *id = Some(Uuid(state.machine.random().uuid()));
                }
                *id
            });
            // A task that comes meanwhile finds no arena and makes one of its own.
            (started, core::mem::take(&mut state.arena), id)
        });
        *payload = None;
        let encoded = match started {
            Ok(_) if !turn.waits => self.encode_in(payload, &mut arena, message, id),
            _ => Ok(()),
        };
        self.shared.with(|state| state.arena = arena);
        let operation = started?;
        if encoded.is_err() {
            // The call was started for nothing.
            give_up::<R>(&self.shared, operation);
            return Err(Failure::no_capacity(Capacity::Message));
        }
        Ok(operation)
    }

    /// Encodes a message outside of the lock. One without an id gets this one, and a life too long for its field an
    /// expiry.
    fn encode_in(
        &self,
        place: &mut Option<PayloadOf<R>>,
        arena: &mut Spare<StorageOf<R>, EncoderOf<StorageOf<R>>>,
        message: &MessageRef<'_>,
        id: Option<Uuid>,
    ) -> Result<(), Full> {
        let text = id.map(Uuid::text);
        if text.is_some() || message.needs_expiry() {
            let mut message: MessageRef<'_> = *message;
            message.message_id = message.message_id.or(text.as_ref().map(|text| MessageId::String(text.as_str())));
            if message.needs_expiry() {
                message.set_expiry(self.shared.clock().utc);
            }
            PayloadOf::<R>::encode_in(place, arena.kept_mut(), &message)
        } else {
            PayloadOf::<R>::encode_in(place, arena.kept_mut(), message)
        }
    }

    /// Encodes a message for a call that keeps it. One without an id gets one, as the settings say.
    #[cfg(feature = "alloc")]
    pub(super) fn encode(&self, message: &MessageRef<'_>) -> Result<PayloadOf<R>, Failure<StorageOf<R>>> {
        message.validate_for::<StorageOf<R>>().map_err(|error| super::error::invalid(&error))?;
        let lacks_id = <StorageOf<R> as Storage>::MESSAGE_IDS && message.message_id.is_none();
        let (mut arena, id) = self.shared.with(|state| {
            let gets_id = lacks_id && state.machine.settings().message_ids;
            (core::mem::take(&mut state.arena), gets_id.then(|| Uuid(state.machine.random().uuid())))
        });
        let mut payload = None;
        let encoded = self.encode_in(&mut payload, &mut arena, message, id);
        self.shared.with(|state| state.arena = arena);
        payload.filter(|_| encoded.is_ok()).ok_or_else(|| Failure::no_capacity(Capacity::Message))
    }

    /// The end of an attempt that starts now.
    pub(super) fn try_deadline(&self) -> Instant {
        self.try_deadline_within(self.until())
    }

    /// The end of an attempt that starts now, of a call that has to end by `until`.
    pub(super) fn try_deadline_within(&self, until: Option<Instant>) -> Instant {
        let now = self.shared.now();
        self.shared.with(|state| try_deadline(state, now, until))
    }

    pub(super) fn call<T, F>(&self, deadline: Option<Instant>, poll: F) -> Result<Call<'_, R, F>, Failure<StorageOf<R>>>
    where
        F: FnMut(&mut ClientMachine<StorageOf<R>>, OperationId) -> Poll<T>,
    {
        Call::start(&self.shared, Some(self.id), deadline, poll)
    }

    /// Waits for the link; until `deadline`, or for one attempt.
    pub(super) async fn attached(&self, deadline: Option<Instant>) -> Result<SizeLimits, Failure<StorageOf<R>>> {
        let deadline = deadline.unwrap_or_else(|| self.try_deadline());
        let id = self.id;
        self.call(Some(deadline), |machine, operation| machine.poll_attached(operation, id))?.await
    }

    /// Asks the entity's `$management`, again after failures that can pass.
    pub(super) async fn request(&self, request: &dyn Request) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
        self::request::<R>(&self.shared, Some(self.id), &self.entity, request, self.until()).await
    }

    /// Asks the entity's `$management` once.
    pub(super) async fn request_once(
        &self,
        request: &dyn Request,
    ) -> Result<Response<PayloadOf<R>>, Error<StorageOf<R>>> {
        let Self { shared, id, entity, .. } = self;
        let mut asking = Asking::<R> { shared, endpoint: Some(*id), entity, request, response: None };
        Attempts::once(shared, self.until(), &mut asking).await?;
        asking.response.ok_or_else(|| self.error(Failure::new(Cause::LinkLost)))
    }

    /// Closes it for all handles and waits until the link is gone.
    pub(super) async fn close(&self) {
        self.begin_close();
        let id = self.id;
        let gone = |machine: &mut ClientMachine<StorageOf<R>>, operation| {
            if machine.is_gone(id) || machine.is_late(operation) { Poll::Ready(()) } else { Poll::Pending }
        };
        let until = self.until();
        let operation = self.shared.with(|state| state.machine.start_close(id, until).ok());
        if operation.is_some() {
            let pending = Pending { shared: &self.shared, operation };
            Call::<R, _> { pending, poll: gone }.await;
        }
    }
}
