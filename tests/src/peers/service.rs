//! A service that can fall sick: an emulator whose frames pass a filter.

use super::connection::Connection;
use super::sick::{Fault, Sick};
use super::{Answer, Factory, Peer};
use crate::calls::{QUEUE, SESSIONS, SUBSCRIPTION, TOPIC};
use servicebus_core::servicebus::Reason;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, ConnectionId};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// UTC at the instant zero of a simulation, which begins at one second.
pub const VIRTUAL: Timestamp = Timestamp::from_secs(1_767_225_600 - 1);

/// How fast floods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Frames that come together.
    pub burst: usize,
    /// The pause between two bursts; zero for as fast as the client reads.
    pub every: Duration,
    /// The payload of a frame that continues a message.
    pub payload: usize,
}

impl Pace {
    /// For virtual time: 80 frames a second.
    pub const GENTLE: Self = Self { burst: 4, every: Duration::from_millis(50), payload: 1_024 };
    /// As fast as the client reads.
    pub const FULL: Self = Self { burst: 256, every: Duration::ZERO, payload: 32_768 };
}

/// The state that the connections of a service share.
pub(super) struct Inner {
    pub(super) broker: Broker,
    zero: Timestamp,
    pub(super) pace: Pace,
    pub(super) sick: Option<&'static Sick>,
    /// Counts the changes of `sick`.
    pub(super) epoch: u32,
    /// Connections that may have something to send.
    pub(super) ready: HashSet<ConnectionId>,
    accepted: u64,
    /// Dials that were left to wait or refused.
    turned_away: u64,
    /// Attaches of clients.
    pub(super) attaches: u64,
    /// How often a connection misbehaved.
    pub(super) hits: u64,
    /// Connections that were sick stay so.
    pub(super) leaves_the_sick: bool,
}

impl Inner {
    pub(super) fn clock(&self, now: Instant) -> Clock {
        Clock { now, utc: self.zero + now.saturating_duration_since(Instant::ZERO) }
    }

    pub(super) fn note_ready(&mut self) {
        while let Some(id) = self.broker.poll_ready() {
            self.ready.insert(id);
        }
    }
}

/// A service. Clones are handles to the same one.
#[derive(Clone)]
pub struct Service(Arc<Mutex<Inner>>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.lock().sick).finish()
    }
}

impl Service {
    /// A healthy service, with the entities that [`calls`](crate::calls) need. `zero` is UTC at the instant zero.
    ///
    /// # Panics
    /// When an entity cannot be made.
    pub fn new(zero: Timestamp, seed: u64) -> Self {
        let service = Self(Arc::new(Mutex::new(Inner {
            broker: Broker::new(BrokerConfig::default(), seed),
            zero,
            pace: Pace::GENTLE,
            sick: None,
            epoch: 0,
            ready: HashSet::new(),
            accepted: 0,
            turned_away: 0,
            attaches: 0,
            hits: 0,
            leaves_the_sick: false,
        })));
        service.with(Instant::ZERO, |broker, clock| {
            broker.with_namespace(clock, |namespace| {
                let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
                let subscription = SubscriptionDescription::default();
                namespace.create_queue(QUEUE, QueueDescription::default(), clock.utc).expect("a queue");
                namespace.create_queue(SESSIONS, sessions, clock.utc).expect("a queue with sessions");
                namespace.create_topic(TOPIC, TopicDescription::default(), clock.utc).expect("a topic");
                let created = namespace.create_subscription(TOPIC, SUBSCRIPTION, subscription, None, clock.utc);
                created.expect("a subscription");
            });
        });
        service
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the emulator inside.
    pub fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Broker, Clock) -> T) -> T {
        let mut inner = self.lock();
        let clock = inner.clock(now);
        let result = act(&mut inner.broker, clock);
        inner.note_ready();
        result
    }

    /// Sets how fast floods are.
    pub fn set_pace(&self, pace: Pace) {
        self.lock().pace = pace;
    }

    /// The connections that were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.lock().accepted
    }

    /// Dials, answered or not, and attaches so far.
    pub fn demands(&self) -> u64 {
        let inner = self.lock();
        inner.accepted + inner.turned_away + inner.attaches
    }

    /// How often a connection misbehaved so far.
    pub fn hits(&self) -> u64 {
        self.lock().hits
    }

    pub(super) fn turn_away(&self) {
        let mut inner = self.lock();
        inner.turned_away += 1;
        inner.hits += 1;
    }

    /// Every connection misbehaves from now on. Those that are open are closed where the misbehaviour is in the opening.
    pub fn fall_sick(&self, sick: &'static Sick) {
        let mut inner = self.lock();
        inner.sick = Some(sick);
        inner.leaves_the_sick = false;
        inner.epoch += 1;
        match sick.fault {
            Fault::RefusesTokens(reason) => inner.broker.refuse_tokens(u64::MAX, reason),
            Fault::RefusesOperations(reason) => inner.broker.refuse(u64::MAX, reason),
            _ => {}
        }
    }

    /// Ends the sickness for new connections; those that are open stay sick.
    pub fn heal_new(&self) {
        self.lock().leaves_the_sick = true;
        self.cure();
    }

    /// Ends the sickness: its connections are closed, new ones work.
    pub fn heal(&self) {
        self.lock().leaves_the_sick = false;
        self.cure();
    }

    fn cure(&self) {
        let mut inner = self.lock();
        inner.sick = None;
        inner.epoch += 1;
        inner.broker.refuse_tokens(0, Reason::ServerBusy);
        inner.broker.refuse(0, Reason::ServerBusy);
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.lock().sick.map(|sick| sick.fault)
    }

    /// A service for sockets, whose instant zero is now: [`serve`](super::serve()) it soon.
    ///
    /// # Panics
    /// When the system's clock is before 1970.
    pub fn over_sockets(seed: u64) -> Self {
        let utc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
        // As in a simulation, time begins at one second.
        let zero = Timestamp::from_millis(i64::try_from(utc.as_millis()).unwrap_or(i64::MAX) - 1_000);
        let service = Self::new(zero, seed);
        service.set_pace(Pace::FULL);
        service
    }

    /// The peer of a new connection.
    pub fn accept(&self) -> Box<dyn Peer + Send> {
        self.lock().accepted += 1;
        Box::new(Connection::new(self.clone()))
    }

    /// Answers the dials of a simulation.
    pub fn factory(&self) -> Factory {
        let service = self.clone();
        Factory::new(move || match service.fault() {
            Some(Fault::NeverAccepts) => {
                service.turn_away();
                Answer::Nothing
            }
            Some(Fault::RefusesConnections) => {
                service.turn_away();
                Answer::Refuses
            }
            _ => Answer::Accepts(service.accept()),
        })
    }
}
