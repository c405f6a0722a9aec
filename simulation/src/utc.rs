//! UTC as the parties of a simulation see it: each has its own clock.

use servicebus_core::time::{Duration, Instant, Timestamp};
use std::cell::Cell;
use std::rc::Rc;

/// The moment at which a simulation begins, on the monotonic clock.
pub(super) const FIRST: Instant = Instant::from_millis(1_000);

/// The moment at which a simulation begins, in true UTC: 2026-01-01T00:00:00Z.
const BEGIN: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A distance between two clocks, with its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Later than the other.
    Ahead(Duration),
    /// Earlier than the other.
    Behind(Duration),
}

impl Skew {
    /// No distance.
    pub const NONE: Self = Self::Ahead(Duration::ZERO);

    /// Microseconds, negative when behind.
    fn micros(self) -> i64 {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match self {
            Self::Ahead(by) => micros(by),
            Self::Behind(by) => -micros(by),
        }
    }
}

/// A straight line through a point: what a clock shows from `at` on.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Instant,
    /// Microseconds since the Unix epoch that the clock shows at `at`.
    shown: i64,
    /// Microseconds that the clock gains in a second, negative when it loses.
    drift_ppm: i32,
}

impl Line {
    fn shown(self, now: Instant) -> i64 {
        let elapsed = i64::try_from(now.saturating_duration_since(self.at).as_micros()).unwrap_or(i64::MAX);
        let gained = i128::from(elapsed) * i128::from(self.drift_ppm) / 1_000_000;
        self.shown.saturating_add(elapsed).saturating_add(i64::try_from(gained).unwrap_or(0))
    }
}

/// True UTC in microseconds since the Unix epoch.
fn true_micros(now: Instant) -> i64 {
    let elapsed = i64::try_from(now.saturating_duration_since(FIRST).as_micros()).unwrap_or(i64::MAX);
    (BEGIN.as_millis() * 1_000).saturating_add(elapsed)
}

/// True UTC: what a clock without faults shows.
pub(super) fn true_utc(now: Instant) -> Timestamp {
    Timestamp::from_millis(true_micros(now).div_euclid(1_000))
}

/// The UTC clock of one client, device or broker. It is right at first; it can be set ahead or behind, drift, and jump
/// at any moment. The monotonic clock, by which deadlines are kept, is not touched by any of this. Clones are handles
/// to the same clock.
#[derive(Clone, Debug)]
pub struct UtcClock {
    /// The world's monotonic clock.
    now: Rc<Cell<Instant>>,
    line: Rc<Cell<Line>>,
}

impl UtcClock {
    pub(super) fn new(now: Rc<Cell<Instant>>) -> Self {
        let at = now.get();
        let line = Rc::new(Cell::new(Line { at, shown: true_micros(at), drift_ppm: 0 }));
        Self { now, line }
    }

    /// What the clock shows.
    pub fn utc(&self) -> Timestamp {
        Timestamp::from_millis(self.line.get().shown(self.now.get()).div_euclid(1_000))
    }

    /// Sets the clock to this distance from true UTC; a drift continues from there.
    pub fn set_offset(&self, offset: Skew) {
        self.set(true_micros(self.now.get()).saturating_add(offset.micros()));
    }

    /// From now on the clock gains so many microseconds a second, or loses them when the number is negative.
    pub fn set_drift_ppm(&self, drift_ppm: i32) {
        let now = self.now.get();
        self.line.set(Line { at: now, shown: self.line.get().shown(now), drift_ppm });
    }

    /// Moves the clock, as an operator or a time server does.
    pub fn jump(&self, by: Skew) {
        self.set(self.line.get().shown(self.now.get()).saturating_add(by.micros()));
    }

    fn set(&self, shown: i64) {
        self.line.set(Line { at: self.now.get(), shown, ..self.line.get() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;
    use servicebus_core::servicebus::MessageRef;
    use servicebus_core::storage::Heap;
    use servicebus_emulator::broker::BrokerConfig;
    use servicebus_emulator::broker::entities::QueueDescription;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn world() -> World {
        let world = World::new(BrokerConfig::default(), 7);
        world.broker(|broker, clock| {
            let queue = QueueDescription::default();
            broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).unwrap();
        });
        world
    }

    #[test]
    fn a_clock_is_ahead_behind_drifts_and_jumps() {
        let world = world();
        let clock = world.utc_clock();
        let inner = world.clone();
        world.run(async move {
            let ahead_by = |clock: &UtcClock| clock.utc().as_millis() - inner.clock().utc.as_millis();
            assert_eq!(ahead_by(&clock), 0);
            clock.set_offset(Skew::Ahead(HOUR));
            inner.sleep(HOUR).await;
            assert_eq!(ahead_by(&clock), 3_600_000);
            clock.set_offset(Skew::Behind(HOUR));
            assert_eq!(ahead_by(&clock), -3_600_000);
            clock.set_offset(Skew::NONE);
            // 100 ppm are 8.64 s a day.
            for (drift, gained) in [(100, 8_640), (-100, -8_640), (0, 0)] {
                let before = ahead_by(&clock);
                clock.set_drift_ppm(drift);
                assert_eq!(ahead_by(&clock), before, "a drift does not move the clock by itself");
                inner.sleep(DAY).await;
                assert_eq!(ahead_by(&clock) - before, gained);
            }
            clock.set_drift_ppm(1_000);
            clock.jump(Skew::Ahead(HOUR));
            inner.sleep(Duration::from_secs(1_000)).await;
            assert_eq!(ahead_by(&clock), 3_601_000, "a jump leaves the drift as it is");
            clock.jump(Skew::Behind(HOUR * 2));
            assert_eq!(ahead_by(&clock), -3_599_000);
        });
    }

    #[test]
    fn each_client_and_the_broker_have_clocks_of_their_own() {
        let world = world();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let (one, other) = (world.utc_clock(), world.utc_clock());
        one.set_offset(Skew::Ahead(minutes(10)));
        other.set_offset(Skew::Behind(HOUR));
        // Less than a token's life, so that the client's is good.
        world.broker_utc().set_offset(Skew::Ahead(minutes(5)));
        let begin = world.clock().utc;
        assert_eq!((one.utc(), other.utc()), (begin + minutes(10), begin - HOUR));
        assert_eq!(world.broker(|_, clock| clock.utc), begin + minutes(5));
        let inner = world.clone();
        world.run(async move {
            let client = inner.client_with_utc(inner.settings::<Heap>(), &one);
            client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
            let message =
                client.receiver("q").unwrap().receive(Duration::from_secs(1)).await.unwrap().expect("a message");
            // The broker stamps with its own clock.
            let after = message.enqueued_time().unwrap().saturating_duration_since(begin);
            assert!((minutes(5)..minutes(6)).contains(&after), "{after:?}");
            // This client's first token has ended an hour ago; it learns of it and signs another.
            let began = inner.clock().now;
            let late = inner.client_with_utc(inner.settings::<Heap>(), &other);
            late.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
            assert!(inner.clock().now.saturating_duration_since(began) >= Duration::from_millis(500));
            late.close().await;
            client.close().await;
        });
    }

    #[test]
    fn the_brokers_deadlines_in_utc_go_by_its_own_drifting_clock() {
        // A clock that loses a tenth reaches a minute after 66.7 s; one that gains a quarter after 48 s.
        for (drift, seconds) in [(0, 60), (-100_000, 66), (250_000, 48)] {
            let world = world();
            world.broker_utc().set_drift_ppm(drift);
            let inner = world.clone();
            world.run(async move {
                let client = inner.client::<Heap>();
                let message = MessageRef::new("x").with_time_to_live(Duration::from_secs(60));
                client.sender("q").unwrap().send(&message).await.unwrap();
                let sent = inner.clock().now;
                let left = |world: &World| {
                    world.broker(|broker, _| {
                        let namespace = broker.namespace();
                        namespace.counts(&namespace.queue("q").unwrap().stores).active
                    })
                };
                while left(&inner) == 1 {
                    inner.sleep(Duration::from_millis(100)).await;
                }
                let passed = inner.clock().now.saturating_duration_since(sent).as_secs();
                // What an early deadline finds not yet due is set again, so only a clock that gains is late.
                let most = if drift > 0 { 60 } else { seconds + 1 };
                assert!((seconds..=most).contains(&passed), "{drift} ppm: {passed} s");
                client.close().await;
            });
        }
    }
}
