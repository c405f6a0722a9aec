//! Settling: on the message's link while that lives, else through `$management`.
// docs/evidence/invariants.md §1 row 25

use super::calls::{Outcome, State};
use super::hold::Hold;
use super::id::OperationId;
use super::owner::Owner;
use super::settlement::{Locked, STEPS};
use super::{Cause, ClientMachine, Clock, EngineError, Entity, Failure, Timer};
use crate::engine::{DeliveryId, LinkId};
use crate::log::Maybe;
use crate::servicebus::disposition::{Disposition, Entries};
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, Reason};
use crate::storage::{EncoderOf, Features, Payload, Storage, TransactionId, TransactionOf};
use crate::time::Timestamp;
use crate::wire::Map;
use crate::wire::messaging::DeliveryState;
use crate::wire::transaction::TransactionalState;
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// Settles a message and waits for the service's confirmation. `entity` is the source of the message.
    #[doc(hidden)]
    pub fn poll_settle(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        message: &mut Locked,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<(), Failure<S>>> {
        let result = self.poll_disposition(clock, operation, entity, message, disposition, transaction);
        match &result {
            Poll::Ready(Ok(())) => {
                let lock = Maybe(message.token);
                log!(debug, "settled", entity = entity.address(), lock = lock, how = disposition);
            }
            Poll::Ready(Err(failure)) => {
                let lock = Maybe(message.token);
                log!(debug, "not settled", entity = entity.address(), lock = lock, failure = failure);
            }
            Poll::Pending => {}
        }
        if let (Poll::Ready(result), None, true) = (&result, transaction, S::Features::LOCK_RENEWAL) {
            self.settlement_ended(message, result);
        }
        result
    }

    fn poll_disposition(
        &mut self,
        clock: Clock,
        operation: OperationId,
        entity: &Entity<S>,
        message: &mut Locked,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<(), Failure<S>>> {
        let Some(state) = self.calls.state(operation) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        let asked = S::Features::MANAGEMENT && matches!(state, State::Requested(_));
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
                answer => self.settlement_answered(clock, operation, message, answer),
            });
        }
        let holder = self.calls.endpoint(operation);
        let Some(token) = message.token else {
            return Poll::Ready(Err(Failure::new(Cause::Argument(Argument::Unlocked))));
        };
        if let Err(argument) = disposition.validate::<S>() {
            return Poll::Ready(Err(Failure::new(Cause::Argument(argument))));
        }
        let in_session = message.origin.in_session;
        if !asked
            && !in_session
            && message.locked_until.is_none_or(|until| self.service_clock.has_passed(clock, until))
            && self.lock_end(message).is_some_and(|until| self.service_clock.has_passed(clock, until))
            && !self.may_be_renewed(clock.now, message)
        {
            let lost = Cause::Service(Reason::MessageLockLost);
            return Poll::Ready(Err(Failure::described(lost, "the lock had expired before the message was settled")));
        }
        if !asked {
            self.settling(clock, operation, message, transaction.is_none());
        }
        // The receiver of a session, by its place.
        let holder = holder.filter(|&place| self.links.get(place).is_some_and(|holder| holder.is_session()));
        let hold = holder.map_or(Hold::Exclusive, |place| self.hold(place, message.origin));
        let on_link = !asked && hold != Hold::Elsewhere;
        match on_link.then(|| self.settle_on_link(operation, message, disposition, transaction)) {
            Some(Ok(true)) => return Poll::Pending,
            Some(Ok(false)) | None => {}
            Some(Err(failure)) => return Poll::Ready(Err(failure)),
        }
        // Where the session is still held, only the delivery is gone, as when it was settled under a transaction.
        let held = holder.is_some_and(|place| self.holds_since(place, message.origin));
        if in_session && hold == Hold::Exclusive && !asked && !held {
            let lost = Cause::Service(Reason::SessionLockLost);
            return Poll::Ready(Err(Failure::described(lost, "the link that held the session is gone")));
        }
        if !S::Features::MANAGEMENT {
            let lost = Cause::Service(Reason::MessageLockLost);
            return Poll::Ready(Err(Failure::described(
                lost,
                "without requests to `$management`, a message is settled on its link alone, and once",
            )));
        }
        let request = UpdateDisposition { disposition: *disposition, lock_tokens: &[token], session_id: None };
        let owner = Owner::Settlement(operation.0, disposition.outcome());
        let answer = match holder {
            Some(place) => self.update_in_session(clock, operation, owner, entity, request, transaction, place),
            None => self.poll_asked(clock, operation, owner, entity, &request, transaction),
        };
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        Poll::Ready(self.settlement_answered(clock, operation, message, answer))
    }

    /// A settlement was answered or has failed: updates the estimate of the service's time. An accepted settlement
    /// arrived before the lock ended.
    fn settlement_answered(
        &mut self,
        clock: Clock,
        operation: OperationId,
        message: &Locked,
        answer: Result<Outcome<S>, Failure<S>>,
    ) -> Result<(), Failure<S>> {
        let in_session = message.origin.in_session;
        match &answer {
            Ok(_) => {
                // Most tell nothing: the lock had long to go.
                let end = message.locked_until.filter(|until| self.service_clock.may_be_after(clock.now, *until));
                if let Some(until) = end {
                    self.settlement_taken(clock, operation, until);
                }
            }
            Err(failure) if failure.reason() == Some(Reason::MessageLockLost) && !in_session => {
                if let Some(until) = self.lock_end(message) {
                    self.lock_ended(clock, until);
                }
            }
            Err(_) => {}
        }
        answer.map(|_| ())
    }

    /// A settlement was taken, by a lock that ended at `until` when it was asked for.
    #[inline(never)]
    fn settlement_taken(&mut self, clock: Clock, operation: OperationId, until: Timestamp) {
        // Attempts end no later than `try_timeout` after they began.
        let Some(deadline) = self.timers.get(Timer::Call, operation.0.index) else { return };
        let since = deadline - self.settings.retry.try_timeout;
        // A lock that had certainly ended by then was renewed by another client: no evidence.
        if self.service_clock.surely(since) <= until {
            self.lock_held(clock, since, until);
        }
    }

    /// The delivery of a message, if it is of this connection.
    pub(super) fn delivery_of(&self, origin: Origin) -> Option<DeliveryId> {
        origin.delivery.filter(|_| origin.connection == self.link_up.connection_id())
    }

    /// The link that a delivery came on, while it is there.
    pub(super) fn link_of(&self, origin: Origin) -> Option<LinkId> {
        self.connection.as_ref()?.link_of(self.delivery_of(origin)?)
    }

    /// Makes room where messages were received and never settled: long after their locks have ended they are forgotten.
    pub(super) fn sweep_held(&mut self, clock: Clock) {
        // Not by a guess: a message that is released while its lock lasts is handled twice.
        let utc = self.service_clock.surely(clock.now);
        let mut steps = STEPS;
        while let Some(delivery) = self.settlement.forget_next(clock.now, utc, &mut steps) {
            if let Some(connection) = &mut self.connection {
                let _ = connection.settle(delivery, &DeliveryState::RELEASED, true);
            }
        }
    }

    /// A link has ended: removes its rest from the engine; its messages can no longer be settled on it.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.routes.take(link);
        let Some(connection) = &mut self.connection else { return };
        let mut next = if S::Features::RECEIVERS { connection.first_delivery(link) } else { None };
        while let Some(delivery) = next {
            next = connection.next_delivery(delivery);
            let _ = self.settlement.ended(delivery);
        }
        connection.forget(link);
    }

    /// True when the settlement is on its way, false when the link is not there any more.
    fn settle_on_link(
        &mut self,
        operation: OperationId,
        message: &mut Locked,
        disposition: &Disposition<'_>,
        transaction: Option<TransactionOf<S>>,
    ) -> Result<bool, Failure<S>> {
        let (Some(delivery), Some(connection)) = (self.delivery_of(message.origin), &mut self.connection) else {
            return Ok(false);
        };
        // A settlement with a waiting call is left alone; one whose call was dropped is sent again.
        let before = connection.user(delivery);
        let awaited = before
            .and_then(|place| self.calls.state_at(place))
            .is_some_and(|state| matches!(state, State::Sent(sent) if *sent == delivery));
        if awaited {
            return Err(Failure::new(Cause::Argument(Argument::BeingSettled)));
        }
        let mut encoded = EncoderOf::<S>::default();
        let entries = Entries(*disposition);
        let count = entries.count();
        if count > 0 {
            let full = |_| Failure::new(Cause::Argument(Argument::Properties));
            S::Payload::append(&mut encoded, &entries).map_err(full)?;
        }
        let details = Map::of_encoded(u32::try_from(count).unwrap_or(u32::MAX), encoded.as_ref());
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
                if before.is_some() {
                    // What is answered may be the first one, which was taken before this call.
                    message.locked_until = None;
                }
                self.calls.set_state(operation, State::Sent(delivery));
                Ok(true)
            }
            Err(EngineError::Detached | EngineError::Closed) => Ok(false),
            Err(EngineError::IllegalState) => Err(Failure::new(Cause::Argument(Argument::BeingSettled))),
            Err(EngineError::MessageTooLarge) => {
                let limit = connection.peer_max_frame_size();
                let sizes = format_args!("{} bytes, and a frame has {limit}", encoded.as_ref().len());
                Err(Failure::explained(Cause::Argument(Argument::Properties), &sizes))
            }
            Err(error) => Err(Failure::new(Cause::Engine(error))),
        }
    }
}
