//! The service's time, estimated from what the service shows of it: a local clock can be minutes off, drift and jump.
//!
//! The estimate is an interval for the difference between the service's UTC and the monotonic clock here, so that a
//! jump of the local UTC changes nothing. Each bound comes from one observation, and widens with time, since clocks
//! drift. The local UTC, clamped into the interval, is the time by which everything is scheduled.

use super::Clock;
use crate::time::{Instant, Millis, Timestamp};

/// The longest lock that an entity can have (docs/evidence/service-evidence.md, lock durations).
const LONGEST_LOCK: Millis = Millis::from_secs(300);
/// The shortest lock that an entity can have.
const SHORTEST_LOCK: Millis = Millis::from_secs(5);
/// How far outside of the interval the local UTC must be to count as wrong: within it, the margin of a renewal is enough.
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
        signed(now).saturating_sub(signed(self.at)) / DRIFT
    }
}

/// Microseconds of the monotonic clock; saturates after 292 000 years.
fn signed(now: Instant) -> i64 {
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds since the Unix epoch.
fn micros(utc: Timestamp) -> i64 {
    utc.as_millis().saturating_mul(1_000)
}

/// What is known of the service's clock.
#[derive(Debug, Default)]
pub(super) struct ServiceClock {
    least: Option<Bound>,
    most: Option<Bound>,
    /// The local UTC has been outside of the interval.
    wrong: bool,
}

impl ServiceClock {
    /// The earliest that it can be at the service, in microseconds.
    fn earliest(&self, now: Instant) -> Option<i64> {
        let bound = self.least?;
        Some(signed(now).saturating_add(bound.offset).saturating_sub(bound.drift(now)))
    }

    /// The latest that it can be at the service, in microseconds.
    fn latest(&self, now: Instant) -> Option<i64> {
        let bound = self.most?;
        Some(signed(now).saturating_add(bound.offset).saturating_add(bound.drift(now)))
    }

    /// At `now`, it is `time` or later at the service. Returns whether the local UTC has just turned out to be wrong.
    fn is_after(&mut self, clock: Clock, time: i64) -> bool {
        if self.earliest(clock.now).is_none_or(|earliest| time > earliest) {
            self.least = Some(Bound { offset: time.saturating_sub(signed(clock.now)), at: clock.now });
            // Of two bounds that contradict each other, the older one goes.
            if self.latest(clock.now).is_some_and(|latest| latest < time) {
                self.most = None;
            }
        }
        self.compare(clock)
    }

    /// At `since`, it was `time` or earlier at the service. Returns whether the local UTC has just turned out to be wrong.
    fn was_before(&mut self, clock: Clock, since: Instant, time: i64) -> bool {
        // Times of the service are whole milliseconds, cut.
        let time = time.saturating_add(999);
        if self.latest(since).is_none_or(|latest| time < latest) {
            self.most = Some(Bound { offset: time.saturating_sub(signed(since)), at: since });
            if self.earliest(since).is_some_and(|earliest| earliest > time) {
                self.least = None;
            }
        }
        self.compare(clock)
    }

    /// Compares the local UTC with the interval. Returns whether it has just turned out to be wrong.
    fn compare(&mut self, clock: Clock) -> bool {
        let local = micros(clock.utc);
        let early = self.earliest(clock.now).is_some_and(|earliest| local.saturating_add(TOLERANCE) < earliest);
        let late = self.latest(clock.now).is_some_and(|latest| local.saturating_sub(TOLERANCE) > latest);
        let turned = (early || late) && !self.wrong;
        self.wrong |= turned;
        turned
    }

    /// A message was enqueued at this time, which is past at the service. Returns whether the local UTC has just turned
    /// out to be wrong.
    pub(super) fn enqueued(&mut self, clock: Clock, time: Timestamp) -> bool {
        is_time(time) && self.is_after(clock, micros(time))
    }

    /// The service has given a lock until `until`; not before `since`, where that is known. Returns whether the local
    /// UTC has just turned out to be wrong.
    pub(super) fn locked(&mut self, clock: Clock, since: Option<Instant>, until: Timestamp) -> bool {
        if !is_time(until) {
            return false;
        }
        let until = micros(until);
        let given = |length: Millis| until.saturating_sub(i64::from(length.get()).saturating_mul(1_000));
        let turned = self.is_after(clock, given(LONGEST_LOCK));
        // A lock of this length is given at the latest when it begins, which is not before it was asked for.
        since.is_some_and(|since| self.was_before(clock, since, given(SHORTEST_LOCK))) || turned
    }

    /// What was asked for at `since` needed a lock that ends at `until`, and the service has done it. Returns whether the
    /// local UTC has just turned out to be wrong.
    pub(super) fn within(&mut self, clock: Clock, since: Instant, until: Timestamp) -> bool {
        is_time(until) && self.was_before(clock, since, micros(until))
    }

    /// The service takes what ends at `until` for over: a lock, or a token. Where that was out of the question there is
    /// another reason: a takeover, a purge, a link that is gone. Returns whether the local UTC has just turned out to be
    /// wrong.
    pub(super) fn ended(&mut self, clock: Clock, until: Timestamp) -> bool {
        let doubtful = self.latest(clock.now).is_none_or(|latest| latest >= micros(until));
        doubtful && is_time(until) && self.is_after(clock, micros(until))
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
        match self.earliest(clock.now) {
            Some(earliest) => earliest >= micros(time),
            None => false,
        }
    }

    /// How long it surely is until `time` at the service, by a local UTC that is right so far; by the interval alone once
    /// that was wrong. To be used for what must not be late.
    pub(super) fn left(&self, clock: Clock, time: Timestamp) -> Millis {
        match self.latest(clock.now).filter(|_| self.wrong) {
            Some(latest) => time.left(Timestamp::from_millis(latest.div_euclid(1_000).saturating_add(1))),
            None => time.left(self.utc(clock)),
        }
    }

    /// How long it is at most until `time` at the service; `None` while nothing is known.
    pub(super) fn left_at_most(&self, clock: Clock, time: Timestamp) -> Millis {
        match self.earliest(clock.now) {
            Some(earliest) => time.left(Timestamp::from_millis(earliest.div_euclid(1_000))),
            None => Millis::new(u32::MAX),
        }
    }
}

/// Whether it is a time, and no placeholder for one.
fn is_time(time: Timestamp) -> bool {
    time > Timestamp::UNIX_EPOCH && time < PLACEHOLDER
}
