//! Locks that are kept alive: entries of a table with a deadline each, not tasks. They go on while the application's
//! code is busy, on any runtime, without an allocator and in virtual time (docs/evidence/invariants.md §1 rows 13–15).

use super::calls::OperationId;
use super::channels::Owner;
use super::endpoint::EndpointId;
use super::settle::Locked;
use super::tokens::User;
use super::{Backoff, Capacity, Cause, ClientMachine, Clock, EngineError, Entity, Failure, Timer};
use crate::engine::DeliveryId;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::management::{RenewLock, RenewSessionLock, Response};
use crate::servicebus::received::Origin;
use crate::servicebus::{Argument, Reason};
use crate::storage::{Features, Key, Storage, Table};
use crate::time::{Duration, Instant, Millis, Timestamp};
use core::fmt;
use core::task::Poll;

/// Names a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalId(Key);

/// How the renewal of a lock ended.
pub enum RenewalEnd<S: Storage> {
    /// The message was settled, or the session, the receiver or the client was closed.
    Released,
    /// The longest time for which the lock was to be renewed has passed; the lock ends by itself.
    Elapsed,
    /// The lock is lost.
    Lost(Failure<S>),
}

impl<S: Storage> fmt::Debug for RenewalEnd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("Released"),
            Self::Elapsed => f.write_str("Elapsed"),
            Self::Lost(failure) => f.debug_tuple("Lost").field(failure).finish(),
        }
    }
}

/// Whose lock it is.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Message { token: LockToken, origin: Origin },
    Session(EndpointId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Released,
    Elapsed,
    Lost,
}

/// A registration.
pub(super) struct Renewal<S: Storage> {
    subject: Subject,
    /// Where renewals are asked for: it stays while the renewal is active.
    node: u32,
    locked_until: Timestamp,
    /// How long a lock lasts, as far as is known.
    length: Millis,
    /// From when on the lock is not renewed any more.
    until: Instant,
    /// Requests that failed in a row.
    backoff: Backoff,
    request: Option<Key>,
    /// When the last request was begun.
    asked_at: Instant,
    state: State,
    /// Why the last attempt failed; why the lock is lost.
    failure: Option<Failure<S>>,
    /// The message is being settled: that its lock is gone is no news.
    pub(super) settling: bool,
    /// The settlement is done.
    pub(super) settled: bool,
    renewed: bool,
    /// Who waits for the end.
    waiter: Option<u32>,
    /// The handle is gone, and only the end of the lock is remembered.
    forgotten: bool,
}

/// A lock is renewed when no more than a third of it is left, and no more than this.
const MARGIN: Millis = Millis::from_secs(10);
/// The shortest wait between two attempts.
const SHORTEST: Millis = Millis::new(100);
/// The shortest wait between two attempts once the lock may be over.
const DOUBTFUL: Millis = Millis::from_secs(1);
/// What is assumed of a session whose peer does not tell when the lock ends: it is renewed at once, and then it is known.
const UNKNOWN: Millis = Millis::from_secs(30);

/// How long from now on a lock that has `left` of its `length` is left alone.
fn rest(left: Millis, length: Millis) -> Millis {
    left.before_end(length, 3, MARGIN)
}

/// Whether the service says that there is nothing to renew.
fn is_gone(reason: Reason) -> bool {
    use Reason::{EntityNotFound, MessageLockLost, MessageNotFound, SessionLockLost};
    matches!(reason, MessageLockLost | SessionLockLost | MessageNotFound | EntityNotFound)
}

/// Whether the lock is gone for good: everything else is tried again while it lasts.
fn is_final<S: Storage>(failure: &Failure<S>) -> bool {
    match failure.cause {
        Cause::Service(reason) => is_gone(reason),
        Cause::Closed | Cause::Argument(_) => true,
        _ => false,
    }
}

impl<S: Storage> Renewal<S> {
    fn is_active(&self) -> bool {
        self.state == State::Active
    }

    fn lost(&self) -> Reason {
        match self.subject {
            Subject::Message { .. } => Reason::MessageLockLost,
            Subject::Session(_) => Reason::SessionLockLost,
        }
    }
}

/// What a request for a renewal brought: its response waits on the node's link.
type Answer<S> = Result<DeliveryId, Failure<S>>;
impl<S: Storage> ClientMachine<S> {
    /// Renews the lock on a message until it is settled or the registration is given up, for `max` at the longest.
    ///
    /// # Errors
    /// A message without a lock of its own, a lock that has ended, or a full table ([`Capacity::Deliveries`]).
    pub fn renew_message(
        &mut self,
        clock: Clock,
        entity: &Entity<S>,
        message: Locked,
        max: Duration,
    ) -> Result<RenewalId, Failure<S>> {
        let (Some(token), false) = (message.token, message.origin.in_session) else {
            return Err(Failure::new(Cause::Argument(Argument::Unlocked)));
        };
        let locked_until = self.lock_end(&message).unwrap_or(self.service_clock.utc(clock).after(UNKNOWN));
        if self.service_clock.has_passed(clock, locked_until) {
            return Err(Failure::new(Cause::Service(Reason::MessageLockLost)));
        }
        let entity = self.acquire(entity, User::Channel)?;
        let node = self.use_node(Some(entity))?;
        let subject = Subject::Message { token, origin: message.origin };
        let known = message.locked_until.is_some();
        let id = self.add_renewal(clock, subject, node, locked_until, max, known)?;
        self.set_held(message.origin, |held| held.renewal = Some(id.0.index));
        Ok(id)
    }

    /// Renews a session's lock until its receiver is closed or the registration is given up, for `max` at the longest.
    ///
    /// # Errors
    /// A receiver that holds no session, or a full table ([`Capacity::Deliveries`]).
    pub fn renew_session(&mut self, clock: Clock, session: EndpointId, max: Duration) -> Result<RenewalId, Failure<S>> {
        let found = self.endpoints.find(session.0).filter(|found| !found.closing);
        let found = found.ok_or_else(|| Failure::new(Cause::Closed))?;
        let claim = self.granted_to(found).filter(|_| !found.over);
        let Some(claim) = claim else {
            let lost = Failure::new(Cause::Service(Reason::SessionLockLost));
            return Err(found.error.clone().unwrap_or(lost));
        };
        let (entity, known) = (found.entity(), claim.locked_until);
        self.tokens.acquire_again(entity.token, User::Channel);
        let node = self.use_node(Some(entity))?;
        let locked_until = known.unwrap_or(self.service_clock.utc(clock).after(UNKNOWN));
        self.add_renewal(clock, Subject::Session(session), node, locked_until, max, known.is_some())
    }

    fn add_renewal(
        &mut self,
        clock: Clock,
        subject: Subject,
        node: u32,
        locked_until: Timestamp,
        max: Duration,
        known: bool,
    ) -> Result<RenewalId, Failure<S>> {
        if let Some(cause) = self.ended() {
            return Err(Failure::new(cause));
        }
        self.node_used(node, clock);
        let length = self.service_clock.left(clock, locked_until);
        let until = clock.now + max;
        let first = if known { clock.now.after(rest(length, length)) } else { clock.now };
        let renewal = Renewal {
            subject,
            node,
            locked_until,
            length,
            until,
            backoff: Backoff::default(),
            request: None,
            asked_at: clock.now,
            state: State::Active,
            failure: None,
            settling: false,
            settled: false,
            renewed: false,
            waiter: None,
            forgotten: false,
        };
        // One of which only the end of the lock is remembered makes room.
        let forgotten = |place: &u32| self.renewals.get(*place).is_some_and(|renewal| renewal.forgotten);
        if self.renewals.is_full()
            && let Some(place) = (0..self.renewals.end()).find(forgotten)
        {
            self.remove_renewal(place);
        }
        match self.renewals.insert(renewal) {
            Ok(key) => {
                self.channels.count_renewal(node, true);
                self.timers.set(Timer::Renewal, key.index, Some(first.min(until)));
                Ok(RenewalId(key))
            }
            Err(_) => Err(Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries)))),
        }
    }

    /// Renews a lock: its time has come.
    pub(super) fn renew(&mut self, place: u32, clock: Clock) {
        let Some(renewal) = self.renewals.get(place) else { return };
        if renewal.settled {
            self.message_settled(place);
            return;
        }
        if renewal.forgotten {
            self.remove_renewal(place);
            return;
        }
        if !renewal.is_active() {
            return;
        }
        if self.service_clock.has_passed(clock, renewal.locked_until) {
            self.lock_ran_out(place);
            return;
        }
        let left = self.service_clock.left(clock, renewal.locked_until);
        if renewal.until <= clock.now {
            self.end_renewal(place, State::Elapsed, None);
            return;
        }
        // An answer that is lost on its way must leave time for another attempt.
        let patience = left.part(2).max(Millis::from_secs(1)).min(self.settings.retry.try_timeout.into());
        let deadline = clock.now.after(patience);
        let (node, subject) = (renewal.node, renewal.subject);
        if self.connection.is_none() {
            // The lock does not wait for the back-off of connecting.
            self.dial_at = None;
        }
        let Some(owner) = self.renewals.key(place).map(Owner::Renewal) else { return };
        let closing = match subject {
            Subject::Message { .. } => false,
            Subject::Session(id) => self.endpoints.find(id.0).is_none_or(|found| found.closing),
        };
        if closing {
            self.end_renewal(place, State::Released, None);
            return;
        }
        let result = self.start_management(clock, node, owner, deadline);
        match result {
            Ok(request) => {
                if let Some(renewal) = self.renewals.get_mut(place) {
                    renewal.request = Some(request);
                    renewal.asked_at = clock.now;
                }
            }
            Err(failure) => self.renewal_failed(place, clock, failure),
        }
    }

    /// Sends the request of a registration: its links are up.
    pub(super) fn send_renewal(&mut self, key: Key, request: u32, clock: Clock) -> Result<(), Failure<S>> {
        let closed = || Failure::new(Cause::Closed);
        match self.renewals.find(key).ok_or_else(closed)?.subject {
            Subject::Message { token, .. } => {
                self.ask(clock, request, None, &RenewLock { lock_tokens: &[token] }, None)
            }
            Subject::Session(id) => {
                let found = self.endpoints.find(id.0).and_then(|found| self.claim_of(found)?.choice.id());
                let name = found.cloned().ok_or_else(closed)?;
                let request_of = RenewSessionLock { session_id: name.as_ref() };
                self.ask(clock, request, Some(id.0.index), &request_of, None)
            }
        }
    }

    /// The service has answered, or an attempt has failed.
    pub(super) fn renewal_answered(&mut self, key: Key, clock: Clock, result: Answer<S>) {
        let Some(renewal) = self.renewals.find_mut(key) else { return };
        renewal.request = None;
        if !renewal.is_active() {
            return;
        }
        let (subject, node) = (renewal.subject, renewal.node);
        let (asked_at, before) = (renewal.asked_at, renewal.locked_until);
        let response = match result {
            Ok(response) => self.take_from_node(node, response).map(Response::new),
            Err(failure) => return self.renewal_failed(key.index, clock, failure),
        };
        let until = response.and_then(|response| match subject {
            Subject::Message { .. } => response.expirations().next(),
            Subject::Session(_) => response.expiration::<S>().ok(),
        });
        let Some(until) = until else {
            let failure = Failure::described(Cause::Malformed, "a renewal without a time");
            return self.renewal_failed(key.index, clock, failure);
        };
        self.lock_held(clock, asked_at, before);
        self.lock_given(clock, Some(asked_at), until);
        match subject {
            Subject::Message { origin, .. } => self.set_held(origin, |held| held.locked_until = until),
            Subject::Session(id) => self.set_session_lock(id, until),
        }
        self.lock_renewed(key.index, clock, until);
    }

    /// A lock has a new end: the next renewal is due later.
    fn lock_renewed(&mut self, place: u32, clock: Clock, until: Timestamp) {
        let Some(renewal) = self.renewals.get_mut(place) else { return };
        log!(debug, "a lock was renewed", locked_until = until);
        renewal.locked_until = until;
        renewal.length = self.service_clock.left(clock, until);
        renewal.backoff.forget();
        renewal.failure = None;
        renewal.renewed = true;
        let next = clock.now.after(rest(renewal.length, renewal.length).max(SHORTEST));
        let next = next.min(renewal.until);
        if renewal.is_active() && renewal.request.is_none() {
            self.timers.set(Timer::Renewal, place, Some(next));
        }
    }

    fn renewal_failed(&mut self, place: u32, clock: Clock, failure: Failure<S>) {
        let Some(renewal) = self.renewals.get(place) else { return };
        let passing = matches!(renewal.subject, Subject::Session(id) if self.is_taking_over(id));
        let Some(renewal) = self.renewals.get_mut(place) else { return };
        if is_final(&failure) && !passing {
            if matches!(failure.reason(), Some(Reason::MessageLockLost | Reason::SessionLockLost)) {
                let until = renewal.locked_until;
                self.lock_ended(clock, until);
            }
            let Some(renewal) = self.renewals.get(place) else { return };
            // Settling goes its own way: it tells whether it was in time.
            let state = if renewal.settling { State::Released } else { State::Lost };
            self.end_renewal(place, state, Some(failure));
            return;
        }
        let until = renewal.locked_until;
        let left = self.service_clock.left(clock, until);
        renewal.backoff.failed();
        let (backoff, reason) = (renewal.backoff, failure.reason());
        log!(warn, "a lock was not renewed", attempt = backoff.failures(), left_ms = left.get(), failure = failure);
        renewal.failure = Some(failure);
        if self.service_clock.has_passed(clock, until) {
            self.lock_ran_out(place);
            return;
        }
        let wait = backoff.pause(&self.settings.retry, reason, &mut self.random);
        // The lock's end comes first, however patient the policy is. Past the end that is expected, the service may
        // still hold the lock, by a clock of its own.
        let wait = if left.get() > 0 { wait.min(left.part(3)).max(SHORTEST).min(left) } else { wait.max(DOUBTFUL) };
        let wait = wait.min(self.service_clock.left_at_most(clock, until));
        self.timers.start(Timer::Renewal, place, clock.now, wait);
    }

    /// The local UTC turned out to be wrong: what was scheduled by it may be late.
    pub(super) fn replan_renewals(&mut self, clock: Clock) {
        for place in 0..self.renewals.end() {
            let Some(renewal) = self.renewals.get_mut(place) else { continue };
            let active = renewal.is_active();
            let Some(planned) = self.timers.get(Timer::Renewal, place).filter(|_| active) else { continue };
            let left = self.service_clock.left(clock, renewal.locked_until);
            renewal.length = renewal.length.min(left);
            let next = clock.now.after(rest(left, renewal.length));
            self.timers.set(Timer::Renewal, place, Some(planned.min(next)));
        }
    }

    /// No attempt was in time.
    fn lock_ran_out(&mut self, place: u32) {
        let Some(renewal) = self.renewals.get_mut(place) else { return };
        let state = if renewal.settling { State::Released } else { State::Lost };
        let failure = Failure::after(Cause::Service(renewal.lost()), renewal.failure.as_ref());
        self.end_renewal(place, state, Some(failure));
    }

    fn end_renewal(&mut self, place: u32, state: State, failure: Option<Failure<S>>) {
        let Some(renewal) = self.renewals.get_mut(place).filter(|renewal| renewal.is_active()) else { return };
        if let (State::Lost, Some(failure)) = (state, &failure) {
            log!(warn, "a lock is lost", locked_until = renewal.locked_until, failure = failure);
        }
        renewal.state = state;
        renewal.failure = failure;
        let (request, waiter) = (renewal.request.take(), renewal.waiter.take());
        self.channels.count_renewal(renewal.node, false);
        self.timers.stop(Timer::Renewal, place);
        if let Some(request) = request {
            self.drop_request(request);
        }
        if let Some(waiter) = waiter {
            self.calls.notice(waiter);
        }
    }

    fn remove_renewal(&mut self, place: u32) {
        let Some(renewal) = self.renewals.get(place) else { return };
        let (request, subject) = (renewal.request, renewal.subject);
        if renewal.is_active() {
            self.channels.count_renewal(renewal.node, false);
        }
        self.renewals.free(place);
        self.timers.stop(Timer::Renewal, place);
        if let Some(request) = request {
            self.drop_request(request);
        }
        if let Subject::Message { origin, .. } = subject {
            self.set_held(origin, |held| {
                if held.renewal == Some(place) {
                    held.renewal = None;
                }
            });
        }
    }

    /// Nobody is interested in a registration any more. The end of a lock that was renewed is remembered while it
    /// lasts, so that the message can still be settled.
    pub fn forget_renewal(&mut self, clock: Clock, id: RenewalId) {
        let Some(renewal) = self.renewals.find(id.0) else { return };
        let place = id.0.index;
        let message = matches!(renewal.subject, Subject::Message { .. });
        let remembers = message && renewal.renewed && matches!(renewal.state, State::Active | State::Elapsed);
        if !remembers {
            self.remove_renewal(place);
            return;
        }
        let left = self.service_clock.left_at_most(clock, renewal.locked_until);
        self.end_renewal(place, State::Released, None);
        if let Some(renewal) = self.renewals.get_mut(place) {
            renewal.forgotten = true;
        }
        self.timers.start(Timer::Renewal, place, clock.now, left);
    }

    /// Waits for the end of a registration.
    pub fn poll_renewal(&mut self, operation: OperationId, id: RenewalId) -> Poll<RenewalEnd<S>> {
        let Some(renewal) = self.renewals.find_mut(id.0) else { return Poll::Ready(RenewalEnd::Released) };
        if renewal.is_active() {
            renewal.waiter = Some(operation.index() as u32);
            return Poll::Pending;
        }
        Poll::Ready(match (renewal.state, &renewal.failure) {
            (State::Elapsed, _) => RenewalEnd::Elapsed,
            (State::Lost, Some(failure)) => RenewalEnd::Lost(failure.clone()),
            _ => RenewalEnd::Released,
        })
    }

    /// Whether a registration still renews.
    pub fn is_renewing(&self, id: RenewalId) -> bool {
        self.renewals.find(id.0).is_some_and(Renewal::is_active)
    }

    /// When the lock of a registration ends, as far as is known.
    pub fn renewed_until(&self, id: RenewalId) -> Option<Timestamp> {
        self.renewals.find(id.0).map(|renewal| renewal.locked_until)
    }

    /// Why the lock of a registration is lost; `None` while it is not.
    pub fn renewal_failure(&self, id: RenewalId) -> Option<&Failure<S>> {
        self.renewals.find(id.0).filter(|renewal| renewal.state == State::Lost)?.failure.as_ref()
    }

    /// Why the lock of a message that is registered is lost.
    pub fn message_renewal_failure(&self, message: &Locked) -> Option<&Failure<S>> {
        self.renewal_failure(self.renewal_of(message)?)
    }

    /// Why the lock of a session that is registered is lost.
    pub fn session_renewal_failure(&self, session: EndpointId) -> Option<&Failure<S>> {
        let renewals = (0..self.renewals.end()).filter_map(|place| self.renewals.get(place));
        let mut lost = renewals.filter(|renewal| {
            renewal.state == State::Lost && matches!(renewal.subject, Subject::Session(id) if id == session)
        });
        lost.next()?.failure.as_ref()
    }

    /// The registration of a message.
    fn renewal_of(&self, message: &Locked) -> Option<RenewalId> {
        if !S::Features::LOCK_RENEWAL || self.renewals.is_empty() {
            return None;
        }
        let wanted = message.token?;
        let is_it = |place: u32| {
            let found = self.renewals.get(place)?;
            matches!(found.subject, Subject::Message { token, .. } if token == wanted)
                .then(|| self.renewals.key(place).map(RenewalId))?
        };
        // Its delivery knows the place, while the link lives.
        let beside = self.held_of(message.origin).and_then(|held| held.renewal);
        beside.and_then(is_it).or_else(|| (0..self.renewals.end()).find_map(is_it))
    }

    /// When the lock on a message ends: as it was told, or as it was renewed since.
    pub(super) fn lock_end(&self, message: &Locked) -> Option<Timestamp> {
        let mut end = message.locked_until;
        if let Some(held) = self.held_of(message.origin).filter(|held| held.locked_until < Timestamp::DOTNET_MAX) {
            end = end.max(Some(held.locked_until));
        }
        end.max(self.renewal_of(message).and_then(|id| self.renewed_until(id)))
    }

    /// The lock on a message was renewed by the application.
    pub fn set_message_lock(&mut self, clock: Clock, message: &Locked, until: Timestamp) {
        self.set_held(message.origin, |held| held.locked_until = until);
        if let Some(RenewalId(key)) = self.renewal_of(message) {
            self.lock_renewed(key.index, clock, until);
        }
    }

    /// A message is about to be settled.
    pub(super) fn settling(&mut self, message: &Locked) {
        if let Some(RenewalId(key)) = self.renewal_of(message)
            && let Some(renewal) = self.renewals.get_mut(key.index)
        {
            renewal.settling = true;
        }
    }

    /// A settlement has ended.
    pub(super) fn settlement_ended(&mut self, message: &Locked, result: &Result<(), Failure<S>>) {
        let Some(RenewalId(key)) = self.renewal_of(message) else { return };
        let place = key.index;
        match result {
            Ok(()) => self.message_settled(place),
            Err(failure) if failure.reason().is_some_and(is_gone) => {
                self.end_renewal(place, State::Lost, Some(failure.clone()));
            }
            Err(_) => {
                if let Some(renewal) = self.renewals.get_mut(place) {
                    renewal.settling = false;
                }
            }
        }
    }

    /// A message is settled: its lock need not be renewed any more.
    pub(super) fn message_settled(&mut self, place: u32) {
        let Some(renewal) = self.renewals.get(place).filter(|renewal| renewal.settling) else { return };
        if renewal.forgotten {
            self.remove_renewal(place);
        } else {
            self.end_renewal(place, State::Released, None);
        }
    }

    /// A session is lost, or its receiver is closed.
    pub(super) fn session_renewals_end(&mut self, session: EndpointId, lost: Option<&Failure<S>>) {
        if !S::Features::LOCK_RENEWAL {
            return;
        }
        for place in 0..self.renewals.end() {
            let hit = self
                .renewals
                .get(place)
                .is_some_and(|renewal| matches!(renewal.subject, Subject::Session(id) if id == session));
            if hit {
                let state = if lost.is_some() { State::Lost } else { State::Released };
                self.end_renewal(place, state, lost.cloned());
            }
        }
    }

    /// The client closes, or its driver is gone.
    pub(super) fn release_renewals(&mut self) {
        // With the driver gone nothing renews a lock that the application still counts on.
        let (state, failure) = match self.ended() {
            Some(Cause::DriverStopped) => (State::Lost, Some(Failure::new(Cause::DriverStopped))),
            _ => (State::Released, None),
        };
        for place in 0..self.renewals.end() {
            self.end_renewal(place, state, failure.clone());
        }
    }
}
