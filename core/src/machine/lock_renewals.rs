//! Locks that are kept alive: entries of a table with a deadline each, not tasks. They are renewed while the
//! application's code is busy, on any runtime, without an allocator and in virtual time. `renewing.rs` sends their
//! requests.
// docs/evidence/invariants.md §1 rows 13–15

use super::backoff::Backoff;
use super::id::{EndpointId, RenewalId, RequestId};
use super::renewal_end::RenewalEnd;
use super::service_clock::{LONGEST_LOCK, ServiceClock};
use super::settings::Settings;
use super::timers::{Timer, Timers};
use super::{Cause, Clock, Failure};
use crate::random::Random;
use crate::servicebus::Reason;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::received::Origin;
use crate::storage::{Chain, Index, Joint, Place, Spare, Storage, Table, TableOf, room};
use crate::time::{Duration, Instant, Millis, Timestamp};
use crate::wire::Full;
use core::task::Poll;

/// The lock that is renewed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Message { token: LockToken, origin: Origin },
    Session(EndpointId),
}

impl Subject {
    /// A number for the lock; other locks may have the same.
    fn number(self) -> u64 {
        match self {
            Self::Message { token, .. } => Self::of_token(token),
            Self::Session(session) => Self::of_session(session),
        }
    }

    fn of_token(token: LockToken) -> u64 {
        let bytes = u128::from_le_bytes(token.uuid().0);
        bytes as u64 ^ (bytes >> 64) as u64
    }

    fn of_session(session: EndpointId) -> u64 {
        u64::from(session.0.index) << 32 | u64::from(session.0.generation.get())
    }
}

/// How far a registration is. It goes from `Active` to one of the others, and never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Released,
    Elapsed,
    Lost,
}

/// A registration.
struct Renewal<S: Storage> {
    subject: Subject,
    /// Another one whose lock has the same number.
    next: Option<Place>,
    /// The channel that renewals are asked on: it stays while the registration is active.
    channel: u32,
    locked_until: Timestamp,
    /// `locked_until` is what the service has said, and no request since can have changed it unseen.
    known: bool,
    /// Where one can have: how long the lock may last by that.
    doubt_ends: Instant,
    /// How long a lock lasts, as far as is known.
    length: Millis,
    /// From when on the lock is not renewed any more.
    until: Instant,
    /// Requests that failed in a row.
    backoff: Backoff,
    request: Option<RequestId>,
    /// When the last request was begun.
    asked_at: Instant,
    state: State,
    /// Why the last attempt failed; why the lock is lost.
    failure: Option<Failure<S>>,
    /// The message is being settled: that its lock is gone is no news.
    settling: bool,
    /// The settlement is done.
    settled: bool,
    /// The message was settled under a transaction: whether its lock lasts is the transaction's affair.
    transacted: bool,
    renewed: bool,
    /// The call that waits for the end.
    waiter: Option<u32>,
    /// The handle is gone, and only the end of the lock is remembered.
    forgotten: bool,
    /// Its neighbours among those.
    joint: Joint,
}

/// A lock is renewed when no more than a third of it is left, and no more than this.
const MARGIN: Millis = Millis::from_secs(10);
/// The shortest wait between two attempts.
const SHORTEST: Millis = Millis::new(100);
/// The shortest wait between two attempts once the lock may be over.
const DOUBTFUL: Millis = Millis::from_secs(1);
/// The shortest time that a request has for its answer.
const PATIENCE: Millis = Millis::from_secs(1);

/// How long from now on a lock that has `left` of its `length` is left alone.
fn rest(left: Millis, length: Millis) -> Millis {
    left.before_end(length, 3, MARGIN)
}

/// Whether the service reports that there is nothing to renew.
pub(super) fn is_gone(reason: Reason) -> bool {
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

    /// Whether the lock may have another end than is known.
    fn in_doubt(&self) -> bool {
        !self.known || self.request.is_some()
    }

    /// How long the lock may last at most.
    fn left_at_most(&self, turn: &Turn<'_, S>) -> Millis {
        let known = turn.service.left_at_most(turn.clock, self.locked_until);
        if self.known { known } else { known.max(self.doubt_ends.left(turn.clock.now)) }
    }

    fn lost(&self) -> Reason {
        match self.subject {
            Subject::Message { .. } => Reason::MessageLockLost,
            Subject::Session(_) => Reason::SessionLockLost,
        }
    }
}

fn joint<S: Storage>(renewal: &mut Renewal<S>) -> &mut Joint {
    &mut renewal.joint
}

/// The time, and what else a decision about a registration needs.
pub(super) struct Turn<'a, S: Storage> {
    pub(super) clock: Clock,
    pub(super) service: &'a ServiceClock<S::Features>,
    pub(super) settings: &'a Settings<S>,
    pub(super) random: &'a mut Random,
    pub(super) timers: &'a mut Timers<S>,
}

/// The end of a registration, as far as other parts have to do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(super) struct Ended {
    /// The channel that it does not need any more.
    pub(super) channel: Option<u32>,
    /// Its request, whose response is of no use.
    pub(super) request: Option<RequestId>,
    /// The call that waits for the end.
    pub(super) waiter: Option<u32>,
}

/// What is due for a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A request on this channel, whose answer may take so long.
    Ask { channel: u32, patience: Millis },
    /// It has ended, or nothing is due.
    Ended(Ended),
}

/// A registration whose request was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) channel: u32,
    pub(super) asked_at: Instant,
    /// When its lock ended until now, if that is known.
    pub(super) locked_until: Option<Timestamp>,
}

/// The locks that are renewed.
pub(super) struct LockRenewals<S: Storage> {
    table: TableOf<S, room::Renewals, Renewal<S>>,
    /// Finds them by their locks where there may be many.
    by_lock: Spare<S, S::Index>,
    /// Those of which only the end of the lock is remembered, the oldest first.
    forgotten: Chain,
}

impl<S: Storage> LockRenewals<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(limit: usize) -> Self {
        let mut by_lock = Spare::default();
        by_lock.keep(S::Index::bounded(limit));
        Self { table: Table::bounded(limit), by_lock, forgotten: Chain::EMPTY }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One past the highest place ever used.
    pub(super) fn end(&self) -> u32 {
        self.table.end()
    }

    fn get(&self, id: RenewalId) -> Option<&Renewal<S>> {
        self.table.find(id.key())
    }

    /// The id of the registration at a place.
    pub(super) fn id(&self, place: u32) -> Option<RenewalId> {
        self.table.key(place).map(RenewalId::new)
    }

    /// The first of those that may be for a lock with this number.
    fn first(&self, number: u64) -> Option<u32> {
        match self.by_lock.kept() {
            Some(index) => index.get(number),
            None => (!self.table.is_empty()).then_some(0),
        }
    }

    /// The one behind another.
    fn next(&self, place: u32) -> Option<u32> {
        match self.by_lock.kept() {
            Some(_) => self.table.get(place)?.next.map(Place::index),
            None => Some(place + 1).filter(|&next| next < self.table.end()),
        }
    }

    fn find(&self, number: u64, is_it: impl Fn(&Renewal<S>) -> bool) -> Option<RenewalId> {
        let mut at = self.first(number);
        while let Some(place) = at {
            if self.table.get(place).is_some_and(&is_it) {
                return self.id(place);
            }
            at = self.next(place);
        }
        None
    }

    /// The registration of a message's lock.
    pub(super) fn of_message(&self, wanted: LockToken) -> Option<RenewalId> {
        let is_it = |found: &Renewal<S>| matches!(found.subject, Subject::Message { token, .. } if token == wanted);
        self.find(Subject::of_token(wanted), is_it)
    }

    /// A registration of a session's lock in this state.
    pub(super) fn of_session(&self, session: EndpointId, state: State) -> Option<RenewalId> {
        let is_it =
            |found: &Renewal<S>| found.state == state && matches!(found.subject, Subject::Session(id) if id == session);
        self.find(Subject::of_session(session), is_it)
    }

    /// Adds a registration: the lock ends at `locked_until`, or nothing is known of that, and is renewed for `max` at
    /// the longest. In a full table one of which only the end of the lock is remembered makes room.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        channel: u32,
        (locked_until, known): (Timestamp, bool),
        max: Duration,
        turn: &mut Turn<'_, S>,
    ) -> Result<RenewalId, Full> {
        let now = turn.clock.now;
        let length = turn.service.left(turn.clock, locked_until);
        let until = now + max;
        let first = if known { now.after(rest(length, length)) } else { now };
        if self.table.is_full()
            && let Some(place) = self.forgotten.first()
        {
            let _ = self.remove(place, turn.timers);
        }
        let number = subject.number();
        let key = self.table.insert(Renewal {
            subject,
            next: None,
            channel,
            locked_until,
            known,
            doubt_ends: now,
            length,
            until,
            backoff: Backoff::default(),
            request: None,
            asked_at: now,
            state: State::Active,
            failure: None,
            settling: false,
            settled: false,
            transacted: false,
            renewed: false,
            waiter: None,
            forgotten: false,
            joint: Joint::FREE,
        })?;
        if let Some(index) = self.by_lock.kept_mut() {
            let before = index.get(number);
            let _ = index.insert(number, key.index);
            if let Some(renewal) = self.table.get_mut(key.index) {
                renewal.next = before.map(Place::new);
            }
        }
        turn.timers.set(Timer::Renewal, key.index, Some(first.min(until)));
        Ok(RenewalId::new(key))
    }

    /// Takes a registration from the index.
    fn unlink(&mut self, place: u32) {
        let Some(renewal) = self.table.get(place) else { return };
        let (number, next) = (renewal.subject.number(), renewal.next);
        let Some(index) = self.by_lock.kept_mut() else { return };
        if index.get(number) == Some(place) {
            index.remove(number);
            if let Some(next) = next {
                let _ = index.insert(number, next.index());
            }
            return;
        }
        let mut at = self.first(number);
        while let Some(before) = at.and_then(|at| self.table.get_mut(at)) {
            if before.next.map(Place::index) == Some(place) {
                before.next = next;
                return;
            }
            at = before.next.map(Place::index);
        }
    }

    /// The time of a registration has come.
    pub(super) fn handle_timer(&mut self, place: u32, turn: &mut Turn<'_, S>) -> Due {
        let Some(renewal) = self.table.get(place) else { return Due::Ended(Ended::default()) };
        let (clock, until) = (turn.clock, renewal.locked_until);
        let over = renewal.left_at_most(turn).get() == 0;
        if renewal.settled {
            return Due::Ended(self.settled_at(place, turn.timers));
        }
        if renewal.forgotten {
            return Due::Ended(self.remove(place, turn.timers));
        }
        if !renewal.is_active() {
            return Due::Ended(Ended::default());
        }
        if over {
            return Due::Ended(self.ran_out(place, turn.timers));
        }
        if renewal.until <= clock.now {
            return Due::Ended(self.end_at(place, State::Elapsed, None, turn.timers));
        }
        // An answer that is lost on its way must leave time for another attempt.
        let left = turn.service.left(clock, until);
        let patience = left.part(2).max(PATIENCE).min(turn.settings.retry.try_timeout.into());
        Due::Ask { channel: renewal.channel, patience }
    }

    /// Its request was begun.
    pub(super) fn asked(&mut self, id: RenewalId, request: RequestId, now: Instant) {
        if let Some(renewal) = self.table.find_mut(id.key()) {
            renewal.request = Some(request);
            renewal.asked_at = now;
        }
    }

    /// The lock of a registration.
    pub(super) fn subject(&self, id: RenewalId) -> Option<Subject> {
        Some(self.get(id)?.subject)
    }

    /// Its request has ended. `None` when the registration has ended as well.
    pub(super) fn answered(&mut self, id: RenewalId) -> Option<Asked> {
        let renewal = self.table.find_mut(id.key())?;
        renewal.request = None;
        let Renewal { subject, channel, asked_at, .. } = *renewal;
        let locked_until = renewal.known.then_some(renewal.locked_until);
        renewal.is_active().then_some(Asked { subject, channel, asked_at, locked_until })
    }

    /// A lock has a new end: the next renewal is due later.
    pub(super) fn renewed(&mut self, id: RenewalId, until: Timestamp, turn: &mut Turn<'_, S>) {
        let Some(renewal) = self.table.find_mut(id.key()) else { return };
        log!(debug, "a lock was renewed", locked_until = until);
        renewal.locked_until = until;
        renewal.known = true;
        renewal.length = turn.service.left(turn.clock, until);
        renewal.backoff.forget();
        renewal.failure = None;
        renewal.renewed = true;
        let next = turn.clock.now.after(rest(renewal.length, renewal.length).max(SHORTEST)).min(renewal.until);
        if renewal.is_active() && renewal.request.is_none() {
            turn.timers.set(Timer::Renewal, id.index(), Some(next));
        }
    }

    /// An attempt has failed. It is repeated while the lock may last, unless the failure is final. That the lock is
    /// lost is `passing` while the service does not know the new holder of a session yet.
    pub(super) fn failed(
        &mut self,
        id: RenewalId,
        failure: Failure<S>,
        passing: bool,
        turn: &mut Turn<'_, S>,
    ) -> Ended {
        let Some(renewal) = self.table.find_mut(id.key()) else { return Ended::default() };
        if is_final(&failure) && !passing {
            // The service has said it: there is no doubt any more.
            renewal.known = true;
            // The settlement itself reports whether it was in time.
            let state = if renewal.settling || renewal.transacted { State::Released } else { State::Lost };
            return self.end_at(id.index(), state, Some(failure), turn.timers);
        }
        let left = turn.service.left(turn.clock, renewal.locked_until);
        renewal.backoff.failed();
        let (backoff, reason) = (renewal.backoff, failure.reason());
        log!(warn, "a lock was not renewed", attempt = backoff.failures(), left_ms = left.get(), failure = failure);
        if failure.uncertain {
            // The service may have renewed it all the same.
            renewal.known = false;
            renewal.doubt_ends = turn.clock.now.after(LONGEST_LOCK);
        }
        renewal.failure = Some(failure);
        let most = renewal.left_at_most(turn);
        if most.get() == 0 {
            return self.ran_out(id.index(), turn.timers);
        }
        let wait = backoff.pause(&turn.settings.retry, reason, turn.random);
        // The lock's end comes first, however patient the policy is. Past the end that is expected, the service may
        // still hold the lock, by a clock of its own or since it was renewed unseen.
        let wait = if left.get() > 0 { wait.min(left.part(3)).max(SHORTEST).min(left) } else { wait.max(DOUBTFUL) };
        turn.timers.start(Timer::Renewal, id.index(), turn.clock.now, wait.min(most));
        Ended::default()
    }

    /// The local UTC turned out to be wrong: what was scheduled by it may be late.
    pub(super) fn replan(&mut self, turn: &mut Turn<'_, S>) {
        for place in 0..self.table.end() {
            let Some(renewal) = self.table.get_mut(place).filter(|renewal| renewal.is_active()) else { continue };
            let Some(planned) = turn.timers.get(Timer::Renewal, place) else { continue };
            let left = turn.service.left(turn.clock, renewal.locked_until);
            renewal.length = renewal.length.min(left);
            let next = turn.clock.now.after(rest(left, renewal.length));
            if next < planned {
                turn.timers.set(Timer::Renewal, place, Some(next));
            }
        }
    }

    /// No attempt was in time.
    fn ran_out(&mut self, place: u32, timers: &mut Timers<S>) -> Ended {
        let Some(renewal) = self.table.get_mut(place) else { return Ended::default() };
        let state = if renewal.settling { State::Released } else { State::Lost };
        let failure = Failure::after(Cause::Service(renewal.lost()), renewal.failure.as_ref());
        self.end_at(place, state, Some(failure), timers)
    }

    /// Ends the registration at a place, unless it has ended before.
    pub(super) fn end_at(
        &mut self,
        place: u32,
        state: State,
        failure: Option<Failure<S>>,
        timers: &mut Timers<S>,
    ) -> Ended {
        let Some(renewal) = self.table.get_mut(place).filter(|renewal| renewal.is_active()) else {
            return Ended::default();
        };
        if let (State::Lost, Some(failure)) = (state, &failure) {
            log!(warn, "a lock is lost", locked_until = renewal.locked_until, failure = failure);
        }
        renewal.state = state;
        renewal.failure = failure;
        renewal.known &= renewal.request.is_none();
        timers.stop(Timer::Renewal, place);
        Ended { channel: Some(renewal.channel), request: renewal.request.take(), waiter: renewal.waiter.take() }
    }

    /// The same, by id.
    pub(super) fn end_by(
        &mut self,
        id: RenewalId,
        state: State,
        failure: Option<Failure<S>>,
        timers: &mut Timers<S>,
    ) -> Ended {
        if self.get(id).is_none() {
            return Ended::default();
        }
        self.end_at(id.index(), state, failure, timers)
    }

    fn remove(&mut self, place: u32, timers: &mut Timers<S>) -> Ended {
        let Some(renewal) = self.table.get_mut(place) else { return Ended::default() };
        let channel = renewal.is_active().then_some(renewal.channel);
        let (request, forgotten) = (renewal.request.take(), renewal.forgotten);
        if forgotten {
            self.forgotten.remove(&mut self.table, place, joint);
        }
        self.unlink(place);
        self.table.free(place);
        timers.stop(Timer::Renewal, place);
        Ended { channel, request, waiter: None }
    }

    /// No handle is interested in a registration any more. The end of a lock that was renewed, or may have been, is
    /// remembered while it lasts, so that the message can still be settled.
    pub(super) fn forget(&mut self, id: RenewalId, turn: &mut Turn<'_, S>) -> Ended {
        let Some(renewal) = self.get(id) else { return Ended::default() };
        let place = id.index();
        let message = matches!(renewal.subject, Subject::Message { .. });
        let in_doubt = renewal.in_doubt() && renewal.state != State::Released;
        let lasts = renewal.renewed && matches!(renewal.state, State::Active | State::Elapsed);
        if !(message && (in_doubt || lasts)) {
            return self.remove(place, turn.timers);
        }
        let left = renewal.left_at_most(turn);
        // The request that is dropped with it may be carried out.
        let left = if renewal.request.is_some() { left.max(LONGEST_LOCK) } else { left };
        let ended = self.end_at(place, State::Released, None, turn.timers);
        if let Some(renewal) = self.table.get_mut(place).filter(|renewal| !renewal.forgotten) {
            renewal.forgotten = true;
            self.forgotten.push(&mut self.table, place, joint);
        }
        turn.timers.start(Timer::Renewal, place, turn.clock.now, left);
        ended
    }

    /// Waits for the end of a registration, for the call at a place.
    pub(super) fn poll_end(&mut self, id: RenewalId, waiter: u32) -> Poll<RenewalEnd<S>> {
        let Some(renewal) = self.table.find_mut(id.key()) else { return Poll::Ready(RenewalEnd::Released) };
        if renewal.is_active() {
            renewal.waiter = Some(waiter);
            return Poll::Pending;
        }
        Poll::Ready(match (renewal.state, &renewal.failure) {
            (State::Elapsed, _) => RenewalEnd::Elapsed,
            (State::Lost, Some(failure)) => RenewalEnd::Lost(failure.clone()),
            _ => RenewalEnd::Released,
        })
    }

    pub(super) fn is_active(&self, id: RenewalId) -> bool {
        self.get(id).is_some_and(Renewal::is_active)
    }

    /// When the lock of a registration ends, as far as is known.
    pub(super) fn lock_end(&self, id: RenewalId) -> Option<Timestamp> {
        self.get(id).map(|renewal| renewal.locked_until)
    }

    /// Why the lock of a registration is lost; `None` while it is not.
    pub(super) fn loss(&self, id: RenewalId) -> Option<&Failure<S>> {
        self.get(id).filter(|renewal| renewal.state == State::Lost)?.failure.as_ref()
    }

    /// Whether the lock of a registration may have another end than is known.
    pub(super) fn in_doubt(&self, id: RenewalId) -> bool {
        self.get(id).is_some_and(Renewal::in_doubt)
    }

    /// The same for a registration of a session's lock.
    pub(super) fn session_in_doubt(&self, session: EndpointId) -> bool {
        let is_it =
            |found: &Renewal<S>| found.in_doubt() && matches!(found.subject, Subject::Session(id) if id == session);
        self.find(Subject::of_session(session), is_it).is_some()
    }

    /// A message is about to be settled, or that has failed.
    pub(super) fn set_settling(&mut self, id: RenewalId, settling: bool) {
        if let Some(renewal) = self.table.find_mut(id.key()) {
            renewal.settling = settling;
        }
    }

    /// A message is settled under a transaction. On commit the lock ends, which is neither a loss nor evidence of the
    /// service's time; on rollback the lock and its renewals continue.
    pub(super) fn set_transacted(&mut self, id: RenewalId) {
        if let Some(renewal) = self.table.find_mut(id.key()) {
            renewal.transacted = true;
        }
    }

    /// Whether the message was settled under a transaction.
    pub(super) fn is_transacted(&self, id: RenewalId) -> bool {
        self.get(id).is_some_and(|renewal| renewal.transacted)
    }

    /// A message is not in the application's hands any more. If that was by its settlement, the registration ends with
    /// the next timers.
    pub(super) fn message_ended(&mut self, id: RenewalId, timers: &mut Timers<S>) {
        if let Some(renewal) = self.table.find_mut(id.key()).filter(|renewal| !renewal.transacted) {
            renewal.settled = renewal.settling;
            timers.set(Timer::Renewal, id.index(), Some(Instant::ZERO));
        }
    }

    /// A message is settled: its lock need not be renewed any more.
    pub(super) fn settled(&mut self, id: RenewalId, timers: &mut Timers<S>) -> Ended {
        if self.get(id).is_none() {
            return Ended::default();
        }
        self.settled_at(id.index(), timers)
    }

    fn settled_at(&mut self, place: u32, timers: &mut Timers<S>) -> Ended {
        match self.table.get(place).filter(|renewal| renewal.settling) {
            Some(renewal) if renewal.forgotten => self.remove(place, timers),
            Some(_) => self.end_at(place, State::Released, None, timers),
            None => Ended::default(),
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::{Generation, Heap, Key};
    use crate::wire::Uuid;

    crate::fixed_storage! {
        type Board {
            sessions: 1, links: 4, deliveries: 8, receive: 512, transmit: 512, message: 512,
            receivers: true, management: true, lock_renewal: true, session_receivers: 1,
        }
    }

    const STRING: &str = "Endpoint=sb://a.example/;SharedAccessKeyName=n;SharedAccessKey=a2V5";
    const LOCK: Millis = Millis::from_secs(30);
    const LONG: Duration = Duration::from_secs(3_600);

    /// Registrations, and what else a decision needs.
    struct Alone<S: Storage> {
        renewals: LockRenewals<S>,
        timers: Timers<S>,
        settings: Settings<S>,
        random: Random,
        service: ServiceClock<S::Features>,
        clock: Clock,
    }

    impl<S: Storage> Alone<S> {
        fn new(limit: usize) -> Self {
            Self {
                renewals: LockRenewals::new(limit),
                timers: Timers::new(),
                settings: Settings::new(STRING.into(), 1),
                random: Random::seeded(1),
                service: ServiceClock::default(),
                clock: Clock { now: Instant::from_millis(1_000), utc: Timestamp::from_millis(1_795_000_000_000) },
            }
        }

        fn parts(&mut self) -> (&mut LockRenewals<S>, Turn<'_, S>) {
            let Self { renewals, timers, settings, random, service, clock } = self;
            (renewals, Turn { clock: *clock, service, settings, random, timers })
        }

        fn add(&mut self, subject: Subject) -> Result<RenewalId, Full> {
            let until = self.clock.utc.after(LOCK);
            let (renewals, mut turn) = self.parts();
            renewals.add(subject, 7, (until, true), LONG, &mut turn)
        }

        /// Lets time pass up to the next deadline, and handles that.
        fn pass(&mut self) -> Option<Due> {
            let place = loop {
                let at = self.timers.next()?;
                self.clock.utc = self.clock.utc.after(at.left(self.clock.now));
                self.clock.now = self.clock.now.max(at);
                if let Some((_, place)) = self.timers.pop(self.clock.now) {
                    break place;
                }
            };
            let (renewals, mut turn) = self.parts();
            Some(renewals.handle_timer(place, &mut turn))
        }

        fn fail(&mut self, id: RenewalId, cause: Cause) -> Ended {
            let (renewals, mut turn) = self.parts();
            let _ = renewals.answered(id);
            renewals.failed(id, Failure::new(cause), false, &mut turn)
        }
    }

    fn message(number: u128) -> Subject {
        Subject::Message { token: LockToken::from_uuid(Uuid(number.to_be_bytes())), origin: Origin::NONE }
    }

    fn token(subject: Subject) -> LockToken {
        match subject {
            Subject::Message { token, .. } => token,
            Subject::Session(_) => panic!("it is a session's"),
        }
    }

    fn session(index: u32) -> EndpointId {
        EndpointId(Key { index, generation: Generation::FIRST })
    }

    fn over(ended: Ended) -> bool {
        ended.channel == Some(7)
    }

    #[test]
    fn a_lock_is_renewed_before_its_end_until_it_is_lost() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.add(message(1)).unwrap();
        let began = alone.clock.now;
        assert!(matches!(alone.pass(), Some(Due::Ask { channel: 7, .. })));
        assert_eq!(alone.clock.now, began.after(Millis::from_secs(20)), "at two thirds");
        assert_eq!(alone.fail(id, Cause::Timeout), Ended::default(), "it is tried again");
        assert!(matches!(alone.pass(), Some(Due::Ask { .. })));
        assert!(alone.clock.now < began.after(LOCK), "before its end");
        let until = alone.clock.utc.after(LOCK);
        let _ = alone.renewals.answered(id);
        let (renewals, mut turn) = alone.parts();
        renewals.renewed(id, until, &mut turn);
        assert_eq!(alone.renewals.lock_end(id), Some(until));
        assert!(matches!(alone.pass(), Some(Due::Ask { .. })));
        assert!(over(alone.fail(id, Cause::Service(Reason::MessageLockLost))));
        assert!(alone.renewals.loss(id).is_some() && !alone.renewals.is_active(id));
        assert_eq!(alone.fail(id, Cause::Timeout), Ended::default(), "it ends once");
    }

    #[test]
    fn a_settlement_ends_a_registration_and_its_request() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.add(message(1)).unwrap();
        let request = RequestId::new(Key { index: 3, generation: Generation::FIRST });
        alone.renewals.asked(id, request, alone.clock.now);
        assert_eq!(alone.renewals.settled(id, &mut alone.timers), Ended::default(), "nothing settles it");
        alone.renewals.set_settling(id, true);
        assert!(alone.renewals.poll_end(id, 5).is_pending());
        let ended = alone.renewals.settled(id, &mut alone.timers);
        assert_eq!(ended, Ended { channel: Some(7), request: Some(request), waiter: Some(5) });
        assert!(matches!(alone.renewals.poll_end(id, 5), Poll::Ready(RenewalEnd::Released)));
        assert_eq!(alone.timers.pop(Instant::MAX), None, "nothing is due for it");
    }

    fn locks_are_found_while_they_are_there<S: Storage>() {
        let mut alone = Alone::<S>::new(2);
        // They have the same number.
        let subjects = [message(2 << 64), message(2)];
        assert_eq!(subjects[0].number(), subjects[1].number());
        let ids = subjects.map(|subject| alone.add(subject).unwrap());
        let found = |alone: &Alone<S>| subjects.map(|subject| alone.renewals.of_message(token(subject)));
        assert_eq!(found(&alone), ids.map(Some));
        assert!(alone.add(message(4)).is_err(), "the table is full");
        let (renewals, mut turn) = alone.parts();
        assert!(over(renewals.forget(ids[0], &mut turn)));
        assert_eq!(found(&alone), [None, Some(ids[1])]);
        let again = alone.add(subjects[0]).unwrap();
        assert_eq!(found(&alone), [Some(again), Some(ids[1])]);
        let (renewals, mut turn) = alone.parts();
        assert!(over(renewals.forget(again, &mut turn)));
        let (renewals, mut turn) = alone.parts();
        assert!(over(renewals.forget(ids[1], &mut turn)));
        assert_eq!(found(&alone), [None, None]);
    }

    #[test]
    fn locks_are_found_on_the_heap() {
        locks_are_found_while_they_are_there::<Heap>();
    }

    #[test]
    fn locks_are_found_in_fixed_storage() {
        locks_are_found_while_they_are_there::<Board>();
    }

    #[test]
    fn what_is_only_remembered_makes_room() {
        let mut alone = Alone::<Heap>::new(2);
        let ids = [message(1), message(2)].map(|subject| alone.add(subject).unwrap());
        let until = alone.clock.utc.after(LOCK);
        for id in ids {
            let (renewals, mut turn) = alone.parts();
            renewals.renewed(id, until, &mut turn);
            assert!(over(renewals.forget(id, &mut turn)));
            assert_eq!(alone.renewals.lock_end(id), Some(until), "its end is remembered");
        }
        assert!(alone.add(message(3)).is_ok());
        assert_eq!(alone.renewals.lock_end(ids[0]), None, "the oldest is gone");
        assert_eq!(alone.renewals.of_message(token(message(2))), Some(ids[1]));
    }

    #[test]
    fn all_registrations_of_a_session_end_with_it() {
        let mut alone = Alone::<Heap>::new(8);
        let ids = [1, 2, 1].map(|index| alone.add(Subject::Session(session(index))).unwrap());
        let mut ended = 0;
        while let Some(id) = alone.renewals.of_session(session(1), State::Active) {
            assert!(over(alone.renewals.end_by(id, State::Released, None, &mut alone.timers)));
            ended += 1;
        }
        assert_eq!((ended, ids.map(|id| alone.renewals.is_active(id))), (2, [false, true, false]));
        assert!(alone.renewals.of_session(session(1), State::Lost).is_none());
    }

    #[test]
    fn a_wrong_clock_brings_renewals_forward() {
        let mut alone = Alone::<Heap>::new(2);
        alone.add(message(1)).unwrap();
        let planned = alone.timers.next().unwrap();
        // It is 25 s later at the service.
        alone.service.enqueued(alone.clock, alone.clock.utc.after(Millis::from_secs(25)));
        let (renewals, mut turn) = alone.parts();
        renewals.replan(&mut turn);
        let next = alone.timers.next().unwrap();
        assert!(
            next < planned && next <= alone.clock.now.after(Millis::from_secs(5)),
            "{next:?}, planned for {planned:?}"
        );
    }
}
