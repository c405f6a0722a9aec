//! Messages as the model keeps them.

use super::{Time, Token};

/// Whether a message can be received, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// By any receiver.
    Active,
    /// By its number.
    Deferred,
    /// Not before this time.
    Scheduled(Time),
}

impl State {
    /// The number in `x-opt-message-state` (docs/evidence/service-evidence.md §10).
    pub const fn code(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Deferred => 1,
            Self::Scheduled(_) => 2,
        }
    }
}

/// A lock. One without an end lasts as long as its session's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Names the lock.
    pub token: Token,
    /// When it ends.
    pub until: Option<Time>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Tells messages apart; copies of one message share it.
    pub body: u32,
    /// The message id.
    pub id: Option<String>,
    /// The session id.
    pub session: Option<String>,
    /// An application property.
    pub color: Option<String>,
    /// Another one.
    pub quantity: Option<i64>,
    /// How long it lives once it is enqueued.
    pub ttl: Option<Time>,
    /// When it is to be enqueued.
    pub schedule: Option<Time>,
    /// The sequence number.
    pub number: i64,
    /// Earlier deliveries that failed: the raw value of the header.
    pub count: u32,
    /// Whether it can be received.
    pub state: State,
    /// When it was enqueued.
    pub enqueued: Time,
    /// Its lock.
    pub lock: Option<Lock>,
    /// The transaction that settles it.
    pub taken: Option<usize>,
    /// Why it was dead-lettered, where that is known.
    pub reason: Option<&'static str>,
    /// How often it was forwarded.
    pub hops: u8,
    /// The order in which it is received.
    pub order: i64,
    /// Whether it has waited for its time.
    pub activated: bool,
}

impl Message {
    /// A message that has not been sent.
    pub fn new(body: u32) -> Self {
        Self {
            body,
            id: None,
            session: None,
            color: None,
            quantity: None,
            ttl: None,
            schedule: None,
            number: 0,
            count: 0,
            state: State::Active,
            enqueued: 0,
            lock: None,
            taken: None,
            reason: None,
            hops: 0,
            order: 0,
            activated: false,
        }
    }

    /// Whether a receiver can get it: not deferred (docs/evidence/pinned-behaviour.md DEF4), not before its time
    /// (SCH12) and not locked.
    pub fn is_available(&self) -> bool {
        self.state == State::Active && self.lock.is_none() && self.taken.is_none()
    }

    /// Whether its life is over: enqueued time and time to live (docs/evidence/pinned-behaviour.md DLQ4).
    pub fn is_expired(&self, utc: Time) -> bool {
        self.ttl.is_some_and(|ttl| self.enqueued + ttl <= utc)
    }
}
