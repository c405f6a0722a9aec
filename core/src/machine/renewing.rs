//! Renews locks: their requests and the answers.

use super::id::{EndpointId, OperationId, RenewalId, RequestId};
use super::lock_renewals::{Due, Ended, LockRenewals, State, Subject, Turn, is_gone};
use super::owner::Owner;
use super::renewal_end::RenewalEnd;
use super::service_clock::LONGEST_LOCK;
use super::settlement::Locked;
use super::tokens::User;
use super::{Capacity, Cause, ClientMachine, Clock, Entity, Failure};
use crate::engine::DeliveryId;
use crate::servicebus::management::{RenewLock, RenewSessionLock, Response};
use crate::servicebus::{Argument, Reason};
use crate::storage::{Features, Storage};
use crate::time::{Duration, Instant, Millis, Timestamp};
use core::task::Poll;

/// What is assumed of a lock whose end is not known: it is renewed at once, and then it is known.
const UNKNOWN: Millis = Millis::from_secs(30);

/// The answer to a request for a renewal: its response waits on the channel's link.
type Answer<S> = Result<DeliveryId, Failure<S>>;

impl<S: Storage> ClientMachine<S> {
    /// The registrations, and what a decision about one needs.
    fn renewal_turn(&mut self, clock: Clock) -> (&mut LockRenewals<S>, Turn<'_, S>) {
        let turn = Turn {
            clock,
            service: &self.service_clock,
            settings: &self.settings,
            random: &mut self.random,
            timers: &mut self.timers,
        };
        (&mut self.lock_renewals, turn)
    }

    /// Renews the lock on a message until it is settled or the registration is given up, for `max` at the longest.
    ///
    /// # Errors
    /// A message without a lock of its own, a lock that has ended, or a full table ([`Capacity::Deliveries`]).
    #[doc(hidden)]
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
        let id = self.add_renewal(clock, subject, node, (locked_until, known), max)?;
        if let Some(delivery) = self.delivery_of(message.origin) {
            self.settlement.registered(delivery, id);
        }
        Ok(id)
    }

    /// Renews a session's lock until its receiver is closed or the registration is given up, for `max` at the longest.
    ///
    /// # Errors
    /// A receiver that holds no session, or a full table ([`Capacity::Deliveries`]).
    #[doc(hidden)]
    pub fn renew_session(&mut self, clock: Clock, session: EndpointId, max: Duration) -> Result<RenewalId, Failure<S>> {
        let found = self.links.find(session).filter(|found| !found.is_closing());
        let found = found.ok_or_else(|| Failure::new(Cause::Closed))?;
        let lock = self.granted_to(found).filter(|_| !found.is_over());
        let Some(lock) = lock else {
            let lost = Failure::new(Cause::Service(Reason::SessionLockLost));
            return Err(found.error().cloned().unwrap_or(lost));
        };
        let (entity, known) = (found.entity(), self.session_locks.lock_end(lock));
        self.tokens.acquire_again(entity.token, User::Channel);
        let node = self.use_node(Some(entity))?;
        let locked_until = known.unwrap_or(self.service_clock.utc(clock).after(UNKNOWN));
        self.add_renewal(clock, Subject::Session(session), node, (locked_until, known.is_some()), max)
    }

    fn add_renewal(
        &mut self,
        clock: Clock,
        subject: Subject,
        node: u32,
        lock: (Timestamp, bool),
        max: Duration,
    ) -> Result<RenewalId, Failure<S>> {
        if let Some(cause) = self.ended() {
            return Err(Failure::new(cause));
        }
        self.node_used(node, clock);
        let (renewals, mut turn) = self.renewal_turn(clock);
        let full = |_| Failure::no_capacity(Capacity::Deliveries);
        let id = renewals.add(subject, node, lock, max, &mut turn).map_err(full)?;
        self.channels.count_renewal(node, true);
        Ok(id)
    }

    /// A registration has ended: the parts that have to do with it learn of it.
    pub(super) fn renewal_ended(&mut self, ended: Ended) {
        if let Some(channel) = ended.channel {
            self.channels.count_renewal(channel, false);
        }
        if let Some(request) = ended.request {
            self.drop_request(request.key());
        }
        if let Some(waiter) = ended.waiter {
            self.calls.notice(waiter);
        }
    }

    /// Renews a lock: its time has come.
    pub(super) fn renew(&mut self, place: u32, clock: Clock) {
        let (renewals, mut turn) = self.renewal_turn(clock);
        let (channel, patience) = match renewals.handle_timer(place, &mut turn) {
            Due::Ask { channel, patience } => (channel, patience),
            Due::Ended(ended) => return self.renewal_ended(ended),
        };
        if self.connection.is_none() {
            // The lock does not wait for the back-off of connecting.
            self.link_up.dial_now();
        }
        let Some(id) = self.lock_renewals.id(place) else { return };
        if let Some(Subject::Session(session)) = self.lock_renewals.subject(id)
            && self.links.find(session).is_none_or(|found| found.is_closing())
        {
            let ended = self.lock_renewals.end_at(place, State::Released, None, &mut self.timers);
            return self.renewal_ended(ended);
        }
        match self.start_management(clock, channel, Owner::Renewal(id.key()), clock.now.after(patience)) {
            Ok(request) => self.lock_renewals.asked(id, RequestId::new(request), clock.now),
            Err(failure) => self.renewal_failed(id, clock, failure),
        }
    }

    /// Sends the request of a registration: its links are up.
    pub(super) fn send_renewal(&mut self, id: RenewalId, request: u32, clock: Clock) -> Result<(), Failure<S>> {
        let closed = || Failure::new(Cause::Closed);
        match self.lock_renewals.subject(id).ok_or_else(closed)? {
            Subject::Message { token, .. } => {
                self.ask(clock, request, None, &RenewLock { lock_tokens: &[token] }, None)
            }
            Subject::Session(session) => {
                let lock = self.links.find(session).and_then(|found| found.session_lock());
                let name = lock.and_then(|lock| self.session_locks.session(lock)).cloned().ok_or_else(closed)?;
                let request_of = RenewSessionLock { session_id: name.as_ref() };
                self.ask(clock, request, Some(session.0.index), &request_of, None)
            }
        }
    }

    /// The service has answered, or an attempt has failed.
    pub(super) fn renewal_answered(&mut self, id: RenewalId, clock: Clock, result: Answer<S>) {
        let Some(asked) = self.lock_renewals.answered(id) else { return };
        let response = match result {
            Ok(response) => self.take_from_node(asked.channel, response).map(Response::new),
            Err(failure) => return self.renewal_failed(id, clock, failure),
        };
        let until = response.and_then(|response| match asked.subject {
            Subject::Message { .. } => response.expirations().next(),
            Subject::Session(_) => response.expiration::<S>().ok(),
        });
        let Some(until) = until else {
            let failure = Failure::described(Cause::Malformed, "a renewal without a time");
            return self.renewal_failed(id, clock, failure);
        };
        self.lock_renewed(clock, asked.asked_at, asked.locked_until, until);
        match asked.subject {
            Subject::Message { origin, .. } => {
                if let Some(delivery) = self.delivery_of(origin) {
                    self.settlement.renewed(delivery, until);
                }
            }
            Subject::Session(session) => self.set_session_lock(session, until),
        }
        let (renewals, mut turn) = self.renewal_turn(clock);
        renewals.renewed(id, until, &mut turn);
    }

    fn renewal_failed(&mut self, id: RenewalId, clock: Clock, failure: Failure<S>) {
        let (Some(subject), Some(until)) = (self.lock_renewals.subject(id), self.lock_renewals.lock_end(id)) else {
            return;
        };
        let passing = matches!(subject, Subject::Session(session) if self.is_taking_over(session));
        let told = !passing && !self.lock_renewals.is_transacted(id);
        if told && matches!(failure.reason(), Some(Reason::MessageLockLost | Reason::SessionLockLost)) {
            self.lock_ended(clock, until);
        }
        let (renewals, mut turn) = self.renewal_turn(clock);
        let ended = renewals.failed(id, failure, passing, &mut turn);
        self.renewal_ended(ended);
    }

    /// The local UTC turned out to be wrong: what was scheduled by it may be late.
    pub(super) fn replan_renewals(&mut self, clock: Clock) {
        let (renewals, mut turn) = self.renewal_turn(clock);
        renewals.replan(&mut turn);
    }

    /// No handle is interested in a registration any more.
    #[doc(hidden)]
    pub fn forget_renewal(&mut self, clock: Clock, id: RenewalId) {
        let (renewals, mut turn) = self.renewal_turn(clock);
        let ended = renewals.forget(id, &mut turn);
        self.renewal_ended(ended);
    }

    /// Waits for the end of a registration.
    #[doc(hidden)]
    pub fn poll_renewal(&mut self, operation: OperationId, id: RenewalId) -> Poll<RenewalEnd<S>> {
        self.lock_renewals.poll_end(id, operation.index() as u32)
    }

    /// Whether a registration still renews.
    #[doc(hidden)]
    pub fn is_renewing(&self, id: RenewalId) -> bool {
        self.lock_renewals.is_active(id)
    }

    /// When the lock of a registration ends, as far as is known.
    #[doc(hidden)]
    pub fn renewed_until(&self, id: RenewalId) -> Option<Timestamp> {
        self.lock_renewals.lock_end(id)
    }

    /// Why the lock of a registration is lost; `None` while it is not.
    #[doc(hidden)]
    pub fn renewal_failure(&self, id: RenewalId) -> Option<&Failure<S>> {
        self.lock_renewals.loss(id)
    }

    /// Why the lock of a message that is registered is lost.
    #[doc(hidden)]
    pub fn message_renewal_failure(&self, message: &Locked) -> Option<&Failure<S>> {
        self.renewal_failure(self.renewal_of(message)?)
    }

    /// Why the lock of a session that is registered is lost.
    #[doc(hidden)]
    pub fn session_renewal_failure(&self, session: EndpointId) -> Option<&Failure<S>> {
        self.renewal_failure(self.lock_renewals.of_session(session, State::Lost)?)
    }

    /// The registration of a message.
    fn renewal_of(&self, message: &Locked) -> Option<RenewalId> {
        if !S::Features::LOCK_RENEWAL || self.lock_renewals.is_empty() {
            return None;
        }
        // Its delivery knows it, while the link lives.
        let beside = self.delivery_of(message.origin).and_then(|delivery| self.settlement.renewal(delivery));
        beside
            .filter(|id| self.lock_renewals.subject(*id).is_some())
            .or_else(|| self.lock_renewals.of_message(message.token?))
    }

    /// When the lock on a message ends: as it was when the message came, or as it was renewed since.
    pub(super) fn lock_end(&self, message: &Locked) -> Option<Timestamp> {
        let held = self.delivery_of(message.origin).and_then(|delivery| self.settlement.lock_end(delivery));
        let end = message.locked_until.max(held);
        end.max(self.renewal_of(message).and_then(|id| self.renewed_until(id)))
    }

    /// A lock that ended at `before` was renewed by a request of `asked_at`: evidence of the service's time.
    pub(super) fn lock_renewed(
        &mut self,
        clock: Clock,
        asked_at: Instant,
        before: Option<Timestamp>,
        until: Timestamp,
    ) {
        if let Some(before) = before {
            self.lock_held(clock, asked_at, before);
        }
        self.lock_given(clock, Some(asked_at), until);
    }

    /// The lock on a message was renewed by the application, which asked for that at `asked_at`, when the ends of locks
    /// were `known` or not.
    #[doc(hidden)]
    pub fn message_renewed(
        &mut self,
        clock: Clock,
        asked_at: Instant,
        known: bool,
        message: &Locked,
        until: Timestamp,
    ) {
        let in_doubt = self.renewal_of(message).is_some_and(|id| self.lock_renewals.in_doubt(id));
        let before = self.lock_end(message).filter(|_| known && !in_doubt);
        self.lock_renewed(clock, asked_at, before, until);
        if let Some(delivery) = self.delivery_of(message.origin) {
            self.settlement.renewed(delivery, until);
        }
        if let Some(id) = self.renewal_of(message) {
            let (renewals, mut turn) = self.renewal_turn(clock);
            renewals.renewed(id, until, &mut turn);
        }
    }

    /// The application renews a lock itself, possibly one that is not registered here: for as long as that lock can
    /// last, no settlement is evidence of the service's time. The request may be retried for a while. Returns whether
    /// the ends of locks were known until now.
    #[doc(hidden)]
    pub fn renews_itself(&mut self, now: Instant) -> bool {
        let known = now >= self.renews_itself;
        self.renews_itself = now.after(LONGEST_LOCK).after(LONGEST_LOCK);
        known
    }

    /// Whether the lock of a message may have been renewed unseen: then only the service knows whether it has ended.
    pub(super) fn may_be_renewed(&self, now: Instant, message: &Locked) -> bool {
        let in_doubt = |id| self.lock_renewals.in_doubt(id);
        now < self.renews_itself || self.renewal_of(message).is_some_and(in_doubt)
    }

    /// Whether the lock of the session on whose receiver a call is may have another end than is known.
    fn session_in_doubt(&self, operation: OperationId) -> bool {
        S::Features::LOCK_RENEWAL
            && self
                .calls
                .endpoint(operation)
                .and_then(|place| self.links.id(place))
                .is_some_and(|session| self.lock_renewals.session_in_doubt(session))
    }

    /// A message is about to be settled, for good if it `ends`. Its lock's end is taken now, while that is known here;
    /// none where it may be another one.
    pub(super) fn settling(&mut self, clock: Clock, operation: OperationId, message: &mut Locked, ends: bool) {
        let mut end;
        if message.origin.in_session {
            end = self.session_lock_end(operation).filter(|_| !self.session_in_doubt(operation));
        } else {
            let held = self.delivery_of(message.origin).and_then(|delivery| self.settlement.lock_end(delivery));
            end = message.locked_until.max(held);
            if let Some(id) = self.renewal_of(message) {
                end = end.max(self.renewed_until(id)).filter(|_| !self.lock_renewals.in_doubt(id));
                if ends {
                    self.lock_renewals.set_settling(id, true);
                } else {
                    self.lock_renewals.set_transacted(id);
                }
            }
        }
        message.locked_until = end.filter(|_| clock.now >= self.renews_itself);
    }

    /// A settlement has ended.
    pub(super) fn settlement_ended(&mut self, message: &Locked, result: &Result<(), Failure<S>>) {
        let Some(id) = self.renewal_of(message) else { return };
        let ended = match result {
            Ok(()) => self.lock_renewals.settled(id, &mut self.timers),
            Err(failure) if failure.reason().is_some_and(is_gone) => {
                self.lock_renewals.end_by(id, State::Lost, Some(failure.clone()), &mut self.timers)
            }
            Err(_) => return self.lock_renewals.set_settling(id, false),
        };
        self.renewal_ended(ended);
    }

    /// A session is lost, or its receiver is closed.
    pub(super) fn session_renewals_end(&mut self, session: EndpointId, lost: Option<&Failure<S>>) {
        if !S::Features::LOCK_RENEWAL {
            return;
        }
        let state = if lost.is_some() { State::Lost } else { State::Released };
        while let Some(id) = self.lock_renewals.of_session(session, State::Active) {
            let ended = self.lock_renewals.end_by(id, state, lost.cloned(), &mut self.timers);
            self.renewal_ended(ended);
        }
    }

    /// The client closes, or its driver is gone.
    pub(super) fn release_renewals(&mut self) {
        // With the driver gone nothing renews a lock that the application still counts on.
        let (state, failure) = match self.ended() {
            Some(Cause::DriverStopped) => (State::Lost, Some(Failure::new(Cause::DriverStopped))),
            _ => (State::Released, None),
        };
        for place in 0..self.lock_renewals.end() {
            let ended = self.lock_renewals.end_at(place, state, failure.clone(), &mut self.timers);
            self.renewal_ended(ended);
        }
    }
}
