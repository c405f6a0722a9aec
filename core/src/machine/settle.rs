//! Settlement: on the message's link while that lives, else through `$management` (docs/evidence/invariants.md §1 row
//! 25).

use super::calls::{OperationId, Outcome, State};
use super::channels::Owner;
use super::endpoint::Entity;
use super::session::Hold;
use super::{Cause, ClientMachine, Clock, EngineError, Failure, Timer};
use crate::engine::{LinkId, OutcomeKind};
use crate::log::Maybe;
use crate::servicebus::disposition::Disposition;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::message::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, Reason};
use crate::storage::{Encoder, Features, Storage, Table, TransactionId, TransactionOf};
use crate::time::Timestamp;
use crate::wire::messaging::{self, DeliveryState, Modified, Rejected};
use crate::wire::performative::ErrorCondition;
use crate::wire::transaction::TransactionalState;
use crate::wire::{Encode, Map, Sink, Symbol, Value};
use core::task::Poll;

/// A locked message, as far as its settlement goes.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    pub(crate) origin: Origin,
    pub(crate) token: Option<LockToken>,
    pub(crate) locked_until: Option<Timestamp>,
}

/// The entries of a disposition's map.
struct Entries<'a>(Disposition<'a>);

impl Entries<'_> {
    fn count(&self) -> usize {
        match self.0 {
            Disposition::Complete => 0,
            Disposition::Abandon { properties } | Disposition::Defer { properties } => properties.len(),
            Disposition::DeadLetter { reason, description, properties } => {
                usize::from(reason.is_some()) + usize::from(description.is_some()) + properties.len()
            }
        }
    }
}

impl Encode for Entries<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let mut put = |key: &str, value: &Value<'_>| {
            Symbol::new(key).encode(sink);
            value.encode(sink);
        };
        let properties = match self.0 {
            Disposition::Complete => &[][..],
            Disposition::Abandon { properties } | Disposition::Defer { properties } => properties,
            Disposition::DeadLetter { reason, description, properties } => {
                for (key, text) in [(DEAD_LETTER_REASON, reason), (DEAD_LETTER_ERROR_DESCRIPTION, description)] {
                    if let Some(text) = text {
                        put(key, &Value::String(text));
                    }
                }
                properties
            }
        };
        for (key, value) in properties {
            put(key, value);
        }
    }
}

impl<'a> Disposition<'a> {
    /// What becomes of the message, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Abandon { .. } => "abandon",
            Self::Defer { .. } => "defer",
            Self::DeadLetter { .. } => "dead-letter",
        }
    }

    /// How the service confirms it.
    const fn outcome(&self) -> OutcomeKind {
        match self {
            Self::Complete => OutcomeKind::Accepted,
            Self::Abandon { .. } | Self::Defer { .. } => OutcomeKind::Modified,
            Self::DeadLetter { .. } => OutcomeKind::Rejected,
        }
    }

    /// The state that tells it; `details` are its entries.
    fn state<'s>(&self, details: Map<'s>) -> messaging::Outcome<'s> {
        let modified = |undeliverable_here| {
            messaging::Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: Some(undeliverable_here),
                message_annotations: (!details.is_empty()).then_some(details),
            })
        };
        match self {
            Self::Complete => messaging::Outcome::Accepted,
            Self::Abandon { .. } => modified(false),
            Self::Defer { .. } => modified(true),
            Self::DeadLetter { .. } => messaging::Outcome::Rejected(Rejected {
                error: Some(ErrorCondition {
                    condition: Symbol::new("com.microsoft:dead-letter"),
                    description: None,
                    info: Some(details),
                }),
            }),
        }
    }
}

impl<S: Storage> ClientMachine<S> {
    /// Settles a message and waits for the service's confirmation. `entity` is what it was received from.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_settle(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        message: Locked,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<(), Failure<S>>> {
        let result = self.poll_disposition(clock, operation, entity, message, disposition, transaction);
        match &result {
            Poll::Ready(Ok(())) => {
                let lock = Maybe(message.token);
                log!(debug, "settled", entity = entity.address(), lock = lock, how = disposition.name());
            }
            Poll::Ready(Err(failure)) => {
                let lock = Maybe(message.token);
                log!(debug, "not settled", entity = entity.address(), lock = lock, failure = failure);
            }
            Poll::Pending => {}
        }
        if let (Poll::Ready(result), None, true) = (&result, transaction, S::Features::LOCK_RENEWAL) {
            self.settlement_ended(&message, result);
        }
        result
    }

    fn poll_disposition(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        message: Locked,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<(), Failure<S>>> {
        let Some(state) = self.calls.state(operation) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        let asked = matches!(state, State::Requested(_));
        if !asked && (!matches!(state, State::Idle) || self.calls.is_expired(operation)) {
            let Poll::Ready(answer) = self.poll_done(operation) else { return Poll::Pending };
            return Poll::Ready(match answer {
                // Only another settlement of the same message, whose call was given up, has another outcome
                // (docs/evidence/wire-protocol.md §0 fact 8).
                Ok(Outcome::Delivery(kind)) if transaction.is_none() && kind != disposition.outcome() => {
                    let lost = Cause::Service(Reason::MessageLockLost);
                    Err(Failure::described(lost, "the message was settled in another way before"))
                }
                Ok(Outcome::Declared(_)) => Err(Failure::new(Cause::LinkLost)),
                answer => self.settlement_answered(clock, operation, &message, answer),
            });
        }
        let holder = self.calls.endpoint(operation);
        let Some(token) = message.token else {
            return Poll::Ready(Err(Failure::new(Cause::Argument(Argument::Unlocked))));
        };
        if let Err(argument) = disposition.validate() {
            return Poll::Ready(Err(Failure::new(Cause::Argument(argument))));
        }
        let in_session = message.origin.in_session;
        if !asked
            && !in_session
            && self.lock_end(&message).is_some_and(|until| self.service_clock.has_passed(clock, until))
        {
            let lost = Cause::Service(Reason::MessageLockLost);
            return Poll::Ready(Err(Failure::described(lost, "the lock had expired before the message was settled")));
        }
        if transaction.is_none() && !asked {
            self.settling(&message);
        }
        // The receiver of a session, by its place.
        let holder = holder.filter(|&place| self.endpoints.get(place).is_some_and(|holder| holder.is_session()));
        let hold = holder.map_or(Hold::Exclusive, |place| self.hold(place, message.origin));
        let on_link = !asked && hold != Hold::Elsewhere;
        match on_link.then(|| self.settle_on_link(operation, message.origin, disposition, transaction)) {
            Some(Ok(true)) => return Poll::Pending,
            Some(Ok(false)) | None => {}
            Some(Err(failure)) => return Poll::Ready(Err(failure)),
        }
        if in_session && hold == Hold::Exclusive && !asked {
            let lost = Cause::Service(Reason::SessionLockLost);
            return Poll::Ready(Err(Failure::described(lost, "the link that held the session is gone")));
        }
        let request = UpdateDisposition { disposition: *disposition, lock_tokens: &[token], session_id: None };
        let owner = Owner::Settlement(operation.0, disposition.outcome());
        let answer = match holder {
            Some(place) => self.update_in_session(clock, operation, owner, entity, request, transaction, place),
            None => self.poll_asked(clock, operation, owner, entity, &request, transaction),
        };
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        Poll::Ready(self.settlement_answered(clock, operation, &message, answer))
    }

    /// The service has answered a settlement, or it has failed: what the answer says of the service's time. A settlement
    /// that was taken was inside of the lock.
    fn settlement_answered(
        &mut self,
        clock: Clock,
        operation: OperationId,
        message: &Locked,
        answer: Result<Outcome<S>, Failure<S>>,
    ) -> Result<(), Failure<S>> {
        let end = if message.origin.in_session { self.session_lock_end(operation) } else { self.lock_end(message) };
        let Some(until) = end else { return answer.map(|_| ()) };
        match &answer {
            // Attempts end no later than `try_timeout` after they began.
            Ok(_) => {
                if let Some(deadline) = self.timers.get(Timer::Call, operation.0.index) {
                    self.lock_held(clock, deadline - self.settings.retry.try_timeout, until);
                }
            }
            Err(failure) if failure.reason() == Some(Reason::MessageLockLost) && !message.origin.in_session => {
                self.lock_ended(clock, until);
            }
            Err(_) => {}
        }
        answer.map(|_| ())
    }

    /// The link that a delivery came on, while it is there.
    pub(super) fn link_of(&self, origin: Origin) -> Option<LinkId> {
        let delivery = origin.delivery.filter(|_| origin.connection == self.connection_id())?;
        self.connection.as_ref()?.link_of(delivery)
    }

    /// True when the settlement is on its way, false when the link is not there any more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn settle_on_link(
        &mut self,
        operation: OperationId,
        origin: Origin,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Result<bool, Failure<S>> {
        let connection_id = self.connection_id();
        let (Some(delivery), Some(connection)) = (origin.delivery, &mut self.connection) else { return Ok(false) };
        if origin.connection != connection_id {
            return Ok(false);
        }
        // A settlement that somebody waits for is not disturbed; one whose call was given up is said again.
        let awaited = connection
            .user(delivery)
            .and_then(|place| self.calls.state_at(place))
            .is_some_and(|state| matches!(state, State::Sent(sent) if *sent == delivery));
        if awaited {
            return Err(Failure::new(Cause::Argument(Argument::BeingSettled)));
        }
        let mut encoded = S::Encoder::default();
        let entries = Entries(*disposition);
        encoded.append(&entries).map_err(|_| Failure::new(Cause::Argument(Argument::Properties)))?;
        let details = Map::of_encoded(u32::try_from(entries.count()).unwrap_or(u32::MAX), encoded.as_slice());
        let outcome = disposition.state(details);
        let state = match &transaction {
            Some(id) => {
                DeliveryState::Transactional(TransactionalState { txn_id: id.as_bytes(), outcome: Some(outcome) })
            }
            None => DeliveryState::Outcome(outcome),
        };
        match connection.settle(delivery, &state, false) {
            Ok(()) => {
                connection.set_user(delivery, Some(operation.0.index));
                self.calls.set_state(operation, State::Sent(delivery));
                Ok(true)
            }
            Err(EngineError::Detached | EngineError::Closed) => Ok(false),
            Err(EngineError::IllegalState) => Err(Failure::new(Cause::Argument(Argument::BeingSettled))),
            Err(EngineError::MessageTooLarge) => {
                let limit = connection.peer_max_frame_size();
                let sizes = format_args!("{} bytes, and a frame has {limit}", encoded.len());
                Err(Failure::told(Cause::Argument(Argument::Properties), &sizes))
            }
            Err(error) => Err(Failure::new(Cause::Engine(error))),
        }
    }
}
