//! The service's time, estimated from what the service shows of it: a local clock can be minutes off, drift and jump.
//!
//! The estimate is an interval for the difference between the service's UTC and the monotonic clock here, so that a
//! jump of the local UTC changes nothing. Each bound comes from one observation, and widens with time, since clocks
//! drift. The local UTC, clamped into the interval, is the time by which everything is scheduled.

use super::Clock;
use crate::storage::Features;
use crate::time::{Instant, Millis, Timestamp};
use core::marker::PhantomData;

/// The longest lock that an entity can have.
// docs/evidence/service-evidence.md, lock durations
pub(super) const LONGEST_LOCK: Millis = Millis::from_secs(300);
/// The shortest lock that an entity can have.
pub(super) const SHORTEST_LOCK: Millis = Millis::from_secs(5);
/// How far outside of the interval the local UTC must be to count as wrong: within it, the margin of a renewal is
/// enough.
const TOLERANCE: i64 = 1_000_000;
/// A bound widens by one part in so many of its age: 200 parts in a million, four times what quartz clocks drift.
const DRIFT: i64 = 5_000;
/// Times from here on are placeholders, and before the epoch as well.
const PLACEHOLDER: Timestamp = Timestamp::from_millis(253_370_764_800_000);

/// A bound for the service's UTC minus the monotonic clock, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Bound {
    offset: i64,
    /// When it was observed.
    at: Instant,
}

impl Bound {
    /// How far it has widened.
    fn drift(self, now: Instant) -> i64 {
        (signed(now) - signed(self.at)) / DRIFT
    }

    /// The service's time by a lower bound, in microseconds.
    fn at_least(self, now: Instant) -> i64 {
        signed(now) + self.offset - self.drift(now)
    }
}

/// No time is further away, in milliseconds: 35 000 years. Sums of a few of them fit into 64 bits as microseconds.
const FURTHEST: i64 = 1 << 50;

/// Microseconds of the monotonic clock.
#[inline(never)]
fn signed(now: Instant) -> i64 {
    now.as_micros().min(FURTHEST as u64 * 1_000) as i64
}

/// Microseconds since the Unix epoch.
#[inline(never)]
fn micros(utc: Timestamp) -> i64 {
    utc.as_millis().clamp(-FURTHEST, FURTHEST) * 1_000
}

/// What is known of the service's clock.
#[derive(Debug)]
pub(super) struct ServiceClock<F> {
    features: PhantomData<F>,
    least: Option<Bound>,
    /// A second lower bound, from a lock that the service reported as lost: that may have another reason than its end,
    /// so no message is refused or released because of it.
    guess: Option<Bound>,
    most: Option<Bound>,
    /// Whether the local UTC has been outside of the interval.
    wrong: Wrong,
}

/// Whether the local UTC is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    No,
    /// By the guess alone.
    Perhaps,
    Surely,
}

impl<F: Features> Default for ServiceClock<F> {
    fn default() -> Self {
        Self { features: PhantomData, least: None, guess: None, most: None, wrong: Wrong::No }
    }
}

impl<F: Features> ServiceClock<F> {
    /// Whether the service ever shows its time: in messages and locks. Without either, there is nothing but a guess.
    const SEES_TIMES: bool = F::RECEIVERS || F::MANAGEMENT;

    /// The earliest possible time at the service, in microseconds: certain, or a guess.
    fn earliest(&self, now: Instant) -> Option<i64> {
        self.certain(now).max(self.guess.map(|bound| bound.at_least(now)))
    }

    /// The latest that it can be at the service, in microseconds.
    fn latest(&self, now: Instant) -> Option<i64> {
        let bound = self.most.filter(|_| Self::SEES_TIMES)?;
        Some(signed(now) + bound.offset + bound.drift(now))
    }

    /// The earliest possible time at the service by certain evidence, in microseconds.
    fn certain(&self, now: Instant) -> Option<i64> {
        Some(self.least.filter(|_| Self::SEES_TIMES)?.at_least(now))
    }

    /// At `now`, it is `time` or later at the service, which may be a guess. Returns whether the local UTC has just
    /// turned out to be wrong.
    fn is_after(&mut self, clock: Clock, time: i64, guessed: bool) -> bool {
        let known = if guessed { self.earliest(clock.now) } else { self.certain(clock.now) };
        if known.is_none_or(|known| time > known) {
            let bound = if guessed { &mut self.guess } else { &mut self.least };
            *bound = Some(Bound { offset: time - signed(clock.now), at: clock.now });
            // Of two bounds that contradict each other, the older one goes.
            if self.latest(clock.now).is_some_and(|latest| latest < time) {
                self.most = None;
            }
        }
        self.compare(clock)
    }

    /// At `since`, it was `time` or earlier at the service. Returns whether the local UTC has just turned out to be
    /// wrong.
    fn was_before(&mut self, clock: Clock, since: Instant, time: i64) -> bool {
        // Times of the service are whole milliseconds, cut.
        let time = time + 999;
        if self.latest(since).is_none_or(|latest| time < latest) {
            self.most = Some(Bound { offset: time - signed(since), at: since });
            for bound in [&mut self.least, &mut self.guess] {
                *bound = bound.filter(|bound| bound.at_least(since) <= time);
            }
        }
        self.compare(clock)
    }

    /// Whether it can be later than `time` at the service: otherwise the success of a call with a lock until then is no
    /// evidence.
    pub(super) fn may_be_after(&self, now: Instant, time: Timestamp) -> bool {
        self.latest(now).is_none_or(|latest| micros(time) < latest)
    }

    /// Compares the local UTC with the interval. Returns whether it has just turned out to be wrong.
    fn compare(&mut self, clock: Clock) -> bool {
        let local = micros(clock.utc);
        let is_early = |earliest: Option<i64>| earliest.is_some_and(|earliest| local + TOLERANCE < earliest);
        let late = self.latest(clock.now).is_some_and(|latest| local - TOLERANCE > latest);
        let wrong = if late || is_early(self.certain(clock.now)) {
            Wrong::Surely
        } else if is_early(self.earliest(clock.now)) {
            Wrong::Perhaps
        } else {
            Wrong::No
        };
        let turned = wrong > self.wrong;
        self.wrong = self.wrong.max(wrong);
        turned
    }

    /// A message was enqueued at this time, which is past at the service. Returns whether the local UTC has just turned
    /// out to be wrong.
    pub(super) fn enqueued(&mut self, clock: Clock, time: Timestamp) -> bool {
        is_time(time) && self.is_after(clock, micros(time), false)
    }

    /// The service has given a lock until `until`; not before `since`, where that is known. Returns whether the local
    /// UTC has just turned out to be wrong.
    pub(super) fn locked(&mut self, clock: Clock, since: Option<Instant>, until: Timestamp) -> bool {
        if !is_time(until) {
            return false;
        }
        let until = micros(until);
        let given = |length: Millis| until - i64::from(length.get()) * 1_000;
        let turned = self.is_after(clock, given(LONGEST_LOCK), false);
        // A lock of this length is given at the latest when it begins, which is not before it was asked for.
        since.is_some_and(|since| self.was_before(clock, since, given(SHORTEST_LOCK))) || turned
    }

    /// What was asked for at `since` needed a lock that ends at `until`, and the service has done it. Returns whether
    /// the local UTC has just turned out to be wrong.
    pub(super) fn within(&mut self, clock: Clock, since: Instant, until: Timestamp) -> bool {
        is_time(until) && self.was_before(clock, since, micros(until))
    }

    /// The service reports as expired a lock or token that ends at `until`. If it cannot have expired yet, the cause is
    /// another one (a takeover, a purge, another settlement). If that is uncertain, the bound is a guess: it schedules
    /// renewals and refuses nothing. Returns whether this has just shown the local UTC to be wrong.
    pub(super) fn ended(&mut self, clock: Clock, until: Timestamp) -> bool {
        let doubtful = self.latest(clock.now).is_none_or(|latest| latest >= micros(until));
        doubtful && is_time(until) && self.is_after(clock, micros(until), true)
    }

    /// Whether the local UTC has surely been wrong.
    pub(super) fn is_surely_wrong(&self) -> bool {
        self.wrong == Wrong::Surely
    }

    /// The service's time: the local UTC, clamped into the interval.
    pub(super) fn utc(&self, clock: Clock) -> Timestamp {
        let local = micros(clock.utc);
        let clamped = match (self.earliest(clock.now), self.latest(clock.now)) {
            (Some(earliest), _) if local < earliest => earliest,
            (_, Some(latest)) if local > latest => latest,
            _ => return clock.utc,
        };
        Timestamp::from_millis(clamped.div_euclid(1_000))
    }

    /// Whether `time` has surely passed at the service.
    pub(super) fn has_passed(&self, clock: Clock, time: Timestamp) -> bool {
        self.certain(clock.now).is_some_and(|earliest| earliest >= micros(time))
    }

    /// The earliest that it surely is at the service; long ago while nothing is known.
    pub(super) fn surely(&self, now: Instant) -> Timestamp {
        self.certain(now).map_or(Timestamp::DOTNET_MIN, |earliest| Timestamp::from_millis(earliest.div_euclid(1_000)))
    }

    /// How long it surely is until `time` at the service: by a local UTC that is right so far, by the interval alone
    /// once that was wrong. For what must not be late.
    pub(super) fn left(&self, clock: Clock, time: Timestamp) -> Millis {
        if self.wrong == Wrong::No {
            return time.left(self.utc(clock));
        }
        match self.latest(clock.now) {
            Some(latest) => time.left(Timestamp::from_millis(latest.div_euclid(1_000) + 1)),
            None => Millis::new(0),
        }
    }

    /// How long it is at most until `time` at the service: 49 days while nothing is known.
    pub(super) fn left_at_most(&self, clock: Clock, time: Timestamp) -> Millis {
        match self.certain(clock.now) {
            Some(earliest) => time.left(Timestamp::from_millis(earliest.div_euclid(1_000))),
            None => Millis::new(u32::MAX),
        }
    }
}

/// Whether it is a time, and no placeholder for one.
fn is_time(time: Timestamp) -> bool {
    time > Timestamp::UNIX_EPOCH && time < PLACEHOLDER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::AllFeatures;

    type ServiceClock = super::ServiceClock<AllFeatures>;

    /// The service's UTC when the monotonic clock starts.
    const START: i64 = 1_795_000_000_000;
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;

    /// A moment `at` milliseconds after the start, with a local clock that is `off` milliseconds ahead.
    fn clock(at: i64, off: i64) -> Clock {
        Clock { now: Instant::from_millis(at.unsigned_abs()), utc: Timestamp::from_millis(START + at + off) }
    }

    /// The service's time.
    fn service(at: i64) -> Timestamp {
        clock(at, 0).utc
    }

    #[test]
    fn without_evidence_the_local_clock_counts_and_nothing_is_over() {
        for off in [0, 10 * MINUTE, -10 * MINUTE] {
            let (known, clock) = (ServiceClock::default(), clock(0, off));
            assert_eq!(known.utc(clock), clock.utc);
            assert!(!known.has_passed(clock, Timestamp::DOTNET_MIN));
            assert_eq!(known.left_at_most(clock, clock.utc), Millis::new(u32::MAX));
        }
    }

    #[test]
    fn a_clock_that_is_right_stays_as_it_is() {
        let mut known = ServiceClock::default();
        for at in (0..100).map(|n| n * 7 * SECOND) {
            let clock = clock(at, 0);
            assert!(!known.enqueued(clock, clock.utc));
            assert!(!known.locked(clock, Some(clock.now), service(at + 5 * SECOND)));
            assert_eq!(known.utc(clock), clock.utc);
            assert_eq!(known.left(clock, service(at + MINUTE)), Millis::from_secs(60));
        }
    }

    /// A purge or a takeover takes locks as well: a lock that is lost long before its end is no proof.
    #[test]
    fn a_lock_that_is_lost_early_makes_a_right_clock_doubtful_and_no_more() {
        let mut known = ServiceClock::default();
        let given = clock(0, 0);
        assert!(!known.enqueued(given, service(0)));
        assert!(!known.locked(given, Some(given.now), service(30 * SECOND)));
        assert!(known.ended(clock(6 * SECOND, 0), service(30 * SECOND)));
        assert!(!known.is_surely_wrong());
        // What is certain says so when it comes, once.
        let later = clock(7 * SECOND, 0);
        assert!(known.enqueued(later, service(MINUTE)));
        assert!(known.is_surely_wrong());
        assert!(!known.enqueued(later, service(MINUTE)));
    }

    #[test]
    fn a_clock_that_is_behind_is_moved_to_what_has_passed() {
        for off in [-2 * SECOND, -15 * SECOND, -2 * MINUTE, -10 * MINUTE] {
            let mut known = ServiceClock::default();
            let came = clock(10 * SECOND, off);
            let sent = service(10 * SECOND - 100);
            assert!(known.enqueued(came, sent), "{off}");
            assert!(!known.enqueued(came, sent), "reported once");
            assert_eq!(known.utc(came), sent);
            assert!(!known.has_passed(came, service(10 * SECOND)));
            assert!(known.has_passed(came, service(9 * SECOND)));
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_moved_to_what_a_lock_allows() {
        for off in [2 * SECOND, 15 * SECOND, 2 * MINUTE, 10 * MINUTE] {
            let mut known = ServiceClock::default();
            let asked = clock(0, off).now;
            let came = clock(SECOND, off);
            // A lock of five seconds says exactly when it was given: between the request and now.
            assert!(known.locked(came, Some(asked), service(5 * SECOND)), "{off}");
            assert!(known.utc(came) >= service(SECOND) && known.utc(came) <= service(2 * SECOND));
            assert!(!known.has_passed(came, service(5 * SECOND)));
        }
    }

    #[test]
    fn renewals_go_by_the_near_end_once_the_clock_was_wrong() {
        let mut known = ServiceClock::default();
        let asked = clock(0, 0).now;
        let right = clock(0, 0);
        // A lock of a minute: the service may be up to 55 s later than it is.
        known.locked(right, Some(asked), service(MINUTE));
        assert_eq!(known.left(right, service(MINUTE)), Millis::from_secs(60));
        assert!(known.locked(clock(0, 2 * MINUTE), Some(asked), service(MINUTE)));
        let left = known.left(clock(0, 0), service(MINUTE)).get();
        assert!((4_900..=5_000).contains(&left), "{left}");
    }

    #[test]
    fn of_evidence_that_contradicts_the_older_goes() {
        let mut known = ServiceClock::default();
        known.enqueued(clock(0, 0), service(0));
        known.locked(clock(0, 0), Some(clock(0, 0).now), service(30 * SECOND));
        // The service's clock is set back by an hour, and forward again.
        let later = clock(MINUTE, 0);
        known.within(later, later.now, service(MINUTE - 60 * MINUTE));
        assert!(!known.has_passed(later, service(2 * SECOND)));
        known.enqueued(later, service(MINUTE));
        assert_eq!(known.utc(later), later.utc);
        assert!(known.has_passed(later, service(MINUTE)));
    }

    #[test]
    fn bounds_widen_with_time() {
        let mut known = ServiceClock::default();
        known.enqueued(clock(0, 0), service(0));
        let day = 24 * 60 * MINUTE;
        // 100 parts in a million of a day are 8.64 s.
        assert!(!known.has_passed(clock(day, 0), service(day - 10 * SECOND)));
        assert!(known.has_passed(clock(day, 0), service(day - 20 * SECOND)));
        assert_eq!(known.utc(clock(day, -9 * SECOND)), service(day - 9 * SECOND));
    }

    #[test]
    fn a_lock_that_is_lost_says_something_only_in_doubt() {
        let mut known = ServiceClock::default();
        let asked = clock(0, 0).now;
        known.locked(clock(0, 0), Some(asked), service(30 * SECOND));
        // The service can be 25 s ahead at the most: the lock was taken away.
        known.ended(clock(SECOND, 0), service(30 * SECOND));
        assert_eq!(known.utc(clock(SECOND, 0)), service(SECOND));
        known.ended(clock(10 * SECOND, 0), service(30 * SECOND));
        assert_eq!(known.utc(clock(10 * SECOND, 0)), service(30 * SECOND));
    }

    #[test]
    fn nothing_is_over_by_a_guess() {
        let mut known = ServiceClock::default();
        known.ended(clock(SECOND, 0), service(5 * MINUTE));
        let then = clock(2 * SECOND, 0);
        assert!(!known.has_passed(then, service(MINUTE)));
        assert_eq!(known.left_at_most(then, service(MINUTE)), Millis::new(u32::MAX));
        // A settlement that was taken proves the guess wrong.
        known.within(then, then.now, service(MINUTE));
        assert_eq!(known.utc(then), then.utc);
        // What is certain counts again.
        known.enqueued(then, service(2 * SECOND));
        assert!(known.has_passed(then, service(SECOND)));
    }

    #[test]
    fn a_guess_leaves_what_is_certain() {
        let mut known = ServiceClock::default();
        known.enqueued(clock(MINUTE, 0), service(MINUTE));
        known.ended(clock(MINUTE, 0), service(5 * MINUTE));
        let then = clock(MINUTE + SECOND, 0);
        assert!(known.utc(then) > service(5 * MINUTE), "what is scheduled goes by it");
        assert!(known.has_passed(then, service(MINUTE)) && !known.has_passed(then, service(2 * MINUTE)));
        assert!(known.left_at_most(then, service(2 * MINUTE)) <= Millis::from_secs(60));
        assert_eq!(known.surely(then.now), service(MINUTE + SECOND - 1), "a bound widens");
        // What is certain and earlier than the guess is learned as well.
        let later = clock(3 * MINUTE, 0);
        known.enqueued(later, service(3 * MINUTE));
        assert!(known.has_passed(later, service(3 * MINUTE)));
        // What proves the guess wrong leaves the rest.
        known.within(later, later.now, service(4 * MINUTE));
        assert_eq!((known.utc(later), known.has_passed(later, service(3 * MINUTE))), (later.utc, true));
    }

    #[test]
    fn placeholders_and_extremes_say_nothing() {
        let times = [
            Timestamp::DOTNET_MIN,
            Timestamp::DOTNET_MAX,
            Timestamp::UNIX_EPOCH,
            Timestamp::from_millis(i64::MIN),
            Timestamp::from_millis(i64::MAX),
        ];
        for time in times {
            let (mut known, clock) = (ServiceClock::default(), clock(0, 0));
            assert!(!known.enqueued(clock, time) && !known.locked(clock, Some(clock.now), time));
            assert!(!known.within(clock, clock.now, time) && !known.ended(clock, time));
            assert_eq!(known.utc(clock), clock.utc);
        }
        let mut known = ServiceClock::default();
        let end = Clock { now: Instant::MAX, utc: Timestamp::from_millis(i64::MAX) };
        known.enqueued(end, service(0));
        known.locked(end, Some(Instant::ZERO), service(0));
        assert_eq!(known.left(end, Timestamp::from_millis(i64::MIN)), Millis::new(0));
    }
}
