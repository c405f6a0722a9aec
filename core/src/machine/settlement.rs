//! Messages in the application's hands and their settlement: on the message's link while that lives, else through
//! `$management` (docs/evidence/invariants.md §1 row 25).

use super::calls::{Outcome, State};
use super::channels::Owner;
use super::id::{OperationId, RenewalId};
use super::session_locks::Hold;
use super::{Cause, ClientMachine, Clock, EngineError, Entity, Failure, Timer};
use crate::engine::{DeliveryId, LinkId};
use crate::log::Maybe;
use crate::servicebus::disposition::{Disposition, Entries};
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::UpdateDisposition;
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, Reason};
use crate::storage::{EncoderOf, Features, Payload, Slots, Storage, TransactionId, TransactionOf, room};
use crate::time::{Instant, Millis, Timestamp};
use crate::wire::Map;
use crate::wire::messaging::DeliveryState;
use crate::wire::transaction::TransactionalState;
use core::task::Poll;

/// How long after the end of its lock a message that was never settled is forgotten.
const GRACE: Millis = Millis::from_secs(60);
/// The shortest time between two rounds through all messages.
const REST: Millis = Millis::from_secs(1);
/// Messages that one call looks at.
const STEPS: u32 = 64;

/// A locked message, as far as its settlement goes.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    pub(crate) origin: Origin,
    pub(crate) token: Option<LockToken>,
    /// When its lock ends; while it is settled, the end by which that tells the service's time, a session's as well.
    pub(crate) locked_until: Option<Timestamp>,
}

/// A message in the application's hands.
#[derive(Clone, Copy, Debug)]
struct Held {
    delivery: DeliveryId,
    /// When its lock ends; a session's message has none.
    locked_until: Timestamp,
    renewal: Option<RenewalId>,
}

/// The messages that the application has taken and not settled, by the places of their deliveries.
pub(super) struct Settlement<S: Storage> {
    /// Where the round through all messages goes on.
    next: usize,
    /// No round begins before.
    rests_until: Instant,
    held: Slots<S, room::Deliveries, Held>,
}

impl<S: Storage> Settlement<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { next: 0, rests_until: Instant::ZERO, held: Slots::<S, room::Deliveries, _>::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        (0..self.held.end()).filter(|&index| self.held.get(index).is_some()).count()
    }

    /// The application takes a message.
    pub(super) fn taken(&mut self, delivery: DeliveryId, locked_until: Timestamp) {
        let _ = self.held.put(delivery.index(), Held { delivery, locked_until, renewal: None });
    }

    /// A message is settled, or its link is gone: returns what renews its lock.
    pub(super) fn ended(&mut self, delivery: DeliveryId) -> Option<RenewalId> {
        self.get(delivery)?;
        self.held.take(delivery.index())?.renewal
    }

    /// The connection is gone.
    pub(super) fn clear(&mut self) {
        self.held = Slots::<S, room::Deliveries, _>::default();
    }

    fn get(&self, delivery: DeliveryId) -> Option<&Held> {
        self.held.get(delivery.index()).filter(|held| held.delivery == delivery)
    }

    fn change(&mut self, delivery: DeliveryId, change: impl FnOnce(&mut Held)) {
        let Some(&(mut held)) = self.get(delivery) else { return };
        change(&mut held);
        let _ = self.held.put(delivery.index(), held);
    }

    /// When the lock on a message ends, as far as it has one.
    pub(super) fn lock_end(&self, delivery: DeliveryId) -> Option<Timestamp> {
        Some(self.get(delivery)?.locked_until).filter(|until| *until < Timestamp::DOTNET_MAX)
    }

    /// The lock on a message was renewed.
    pub(super) fn renewed(&mut self, delivery: DeliveryId, until: Timestamp) {
        self.change(delivery, |held| held.locked_until = until);
    }

    /// What renews the lock on a message.
    pub(super) fn renewal(&self, delivery: DeliveryId) -> Option<RenewalId> {
        self.get(delivery)?.renewal
    }

    /// The lock on a message is renewed from now on.
    pub(super) fn registered(&mut self, delivery: DeliveryId, renewal: RenewalId) {
        self.change(delivery, |held| held.renewal = Some(renewal));
    }

    /// Takes a message whose lock has ended long ago, at the service's time `utc`. Looks at no more than `steps` places,
    /// and goes through all of them no more often than once a second.
    fn forget_next(&mut self, now: Instant, utc: Timestamp, steps: &mut u32) -> Option<DeliveryId> {
        if now < self.rests_until {
            return None;
        }
        while *steps > 0 {
            *steps -= 1;
            if self.next >= self.held.end() {
                self.next = 0;
                self.rests_until = now.after(REST);
                return None;
            }
            let place = self.next;
            self.next += 1;
            if self.held.get(place).is_some_and(|held| held.locked_until.after(GRACE) <= utc) {
                return self.held.take(place).map(|held| held.delivery);
            }
        }
        None
    }

    /// Whether a round goes on with the next call.
    pub(super) fn is_searching(&self) -> bool {
        self.next > 0
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
        message: &mut Locked,
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
                answer => self.settlement_answered(clock, operation, message, answer),
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
        Poll::Ready(self.settlement_answered(clock, operation, message, answer))
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
        // One that had surely passed by then was renewed by somebody else: that says nothing.
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

    /// A link is over: what is left of it in the engine goes, and its messages cannot be settled on it any more.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.routes.take(link);
        let Some(connection) = &mut self.connection else { return };
        let mut next = connection.first_delivery(link);
        while let Some(delivery) = next {
            next = connection.next_delivery(delivery);
            let _ = self.settlement.ended(delivery);
        }
        connection.forget(link);
    }

    /// True when the settlement is on its way, false when the link is not there any more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
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
        // A settlement that somebody waits for is not disturbed; one whose call was given up is said again.
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
                Err(Failure::told(Cause::Argument(Argument::Properties), &sizes))
            }
            Err(error) => Err(Failure::new(Cause::Engine(error))),
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::{Generation, Heap, Key};
    use alloc::vec::Vec;

    const UTC: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn delivery(index: u32) -> DeliveryId {
        DeliveryId::numbered(index, Generation::FIRST)
    }

    fn renewal(index: u32) -> RenewalId {
        RenewalId::new(Key { index, generation: Generation::FIRST })
    }

    /// Messages that are forgotten, with the steps that this took.
    fn forget(settlement: &mut Settlement<Heap>, now: Instant, utc: Timestamp) -> (Vec<DeliveryId>, u32) {
        let mut steps = STEPS;
        let forgotten = core::iter::from_fn(|| settlement.forget_next(now, utc, &mut steps)).collect();
        (forgotten, STEPS - steps)
    }

    #[test]
    fn a_message_is_known_until_it_is_settled() {
        let mut settlement = Settlement::<Heap>::new();
        settlement.taken(delivery(3), UTC);
        settlement.registered(delivery(3), renewal(1));
        settlement.renewed(delivery(3), UTC.after(GRACE));
        assert_eq!(settlement.lock_end(delivery(3)), Some(UTC.after(GRACE)));
        let later = DeliveryId::numbered(3, Generation::FIRST.next());
        assert_eq!(
            (settlement.lock_end(later), settlement.ended(later)),
            (None, None),
            "another delivery in its place"
        );
        assert_eq!((settlement.len(), settlement.ended(delivery(3))), (1, Some(renewal(1))));
        assert_eq!((settlement.len(), settlement.ended(delivery(3))), (0, None));
    }

    #[test]
    fn a_message_of_a_session_has_no_lock_of_its_own() {
        let mut settlement = Settlement::<Heap>::new();
        settlement.taken(delivery(0), Timestamp::DOTNET_MAX);
        assert_eq!(settlement.lock_end(delivery(0)), None);
        let (forgotten, _) = forget(&mut settlement, Instant::ZERO, UTC.after(Millis::new(u32::MAX)));
        assert_eq!((forgotten.len(), settlement.len()), (0, 1));
    }

    #[test]
    fn messages_that_were_never_settled_are_forgotten_in_parts() {
        let mut settlement = Settlement::<Heap>::new();
        let count = 10 * STEPS;
        for index in 0..count {
            // Every other one is locked for longer.
            settlement.taken(delivery(index), if index % 2 == 0 { UTC } else { UTC.after(Millis::new(1)) });
        }
        let (mut now, utc) = (Instant::ZERO, UTC.after(GRACE));
        let mut calls = 0;
        while settlement.len() > count as usize / 2 {
            let (forgotten, steps) = forget(&mut settlement, now, utc);
            assert!(steps <= STEPS && forgotten.iter().all(|delivery| delivery.index() % 2 == 0));
            assert!(settlement.is_searching());
            calls += 1;
        }
        assert_eq!(calls, 10);
        // The round ends, and the next one is not at once.
        assert_eq!(forget(&mut settlement, now, utc), (Vec::new(), 1));
        assert!(!settlement.is_searching());
        assert_eq!(forget(&mut settlement, now, utc.after(GRACE)), (Vec::new(), 0));
        now = now.after(REST);
        assert_eq!(forget(&mut settlement, now, utc.after(GRACE)).0.len(), STEPS as usize / 2);
    }
}
