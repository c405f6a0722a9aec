//! A handle to a sender or receiver, and the calls that are made on it.

use super::attempts::{Asking, Attempt, Attempts, Turn, begin, try_deadline};
use super::pending::{Call, PayloadOf, Pending, drop_handle, give_up, handle};
use super::{Access, Error, LiteralOf, ReceiverOptions, StorageOf};
use crate::engine::Capacity;
use crate::machine::{Cause, ClientMachine, EndpointId, Entity, Failure, Kind, OperationId, SessionChoice, SizeLimits};
use crate::runtime::Runtime;
use crate::servicebus::connection_string::{may_hold_key, names_key};
use crate::servicebus::management::{Request, Response};
use crate::servicebus::name::check_address;
use crate::servicebus::{Argument, MessageId, MessageRef};
use crate::storage::{EncoderOf, Features, Payload, Spare, Storage};
use crate::time::{Duration, Instant};
use crate::wire::{Full, Uuid, UuidText};
use core::fmt;
use core::task::{Poll, Waker};

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

/// Refuses an entity that no address leads to, or that the connection string is not for, where the storage checks: it
/// would cost a connection and a link.
pub(super) fn check_entity<R: Runtime>(
    shared: &Access<R>,
    entity: &Entity<StorageOf<R>>,
) -> Result<(), Error<StorageOf<R>>> {
    if !<StorageOf<R> as Storage>::CHECKS {
        return Ok(());
    }
    let address = entity.address();
    let names = [Some(address.entity), address.subscription].into_iter().flatten();
    let refused = |why: &dyn fmt::Display| Failure::explained(Cause::Argument(Argument::EntityName), why);
    // A connection string where the name belongs: its key stays out of errors, also out of those of the service.
    let mut with_keys = names.filter(|name| may_hold_key(name)).peekable();
    let named = with_keys.peek().is_none();
    let error = |failure| if named { Error::new(failure, entity) } else { Error::of(failure) };
    if with_keys.any(names_key) {
        return Err(error(refused(&"a connection string is not the name of an entity")));
    }
    check_address(address).map_err(|why| error(refused(&why)))?;
    let refused = shared.with(|state| {
        let path = state.machine.settings().entity_path().filter(|path| !address.is_of(path))?;
        Some(Failure::explained(Cause::Argument(Argument::EntityPath), &path))
    });
    refused.map_or(Ok(()), |failure| Err(error(failure)))
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
        check_entity(shared, &entity)?;
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
        check_entity(shared, &options.entity)?;
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
        let encoded = encoded.map_err(|Full| Failure::no_capacity(Capacity::Message));
        let checked = encoded.and_then(|()| Self::check_sizes(message, payload.as_ref()));
        if let Err(failure) = checked {
            // The call was started for nothing.
            give_up::<R>(&self.shared, operation);
            return Err(failure);
        }
        Ok(operation)
    }

    /// Checks the sizes of an encoded message's properties.
    fn check_sizes(message: &MessageRef<'_>, payload: Option<&PayloadOf<R>>) -> Result<(), Failure<StorageOf<R>>> {
        let Some(payload) = payload.filter(|_| <StorageOf<R> as Storage>::CHECKS) else { return Ok(()) };
        let size = payload.as_ref().len();
        message.validate_sizes::<StorageOf<R>>(size).map_err(|error| super::error::invalid(&error))
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
        let payload = payload.filter(|_| encoded.is_ok()).ok_or_else(|| Failure::no_capacity(Capacity::Message))?;
        Self::check_sizes(message, Some(&payload))?;
        Ok(payload)
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
