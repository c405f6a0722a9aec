//! Queues, subscriptions, topics and the stores in them.

use super::messages::Message;
use super::rules::Rule;
use super::{Time, Token};
use std::collections::BTreeMap;

/// Whether an entity takes and gives messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Both.
    #[default]
    Active,
    /// Neither.
    Disabled,
    /// Only gives.
    SendDisabled,
    /// Only takes.
    ReceiveDisabled,
}

/// Settings of a queue or subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a message or session is locked.
    pub lock: Time,
    /// Deliveries after which a message is dead-lettered.
    pub max_delivery: u32,
    /// Whether messages need a session id.
    pub sessions: bool,
    /// The longest life of a message.
    pub ttl: Option<Time>,
    /// Whether an expired message is dead-lettered.
    pub dead_on_expiry: bool,
    /// How long message ids are remembered.
    pub duplicates: Option<Time>,
    /// Where messages are forwarded to.
    pub forward: Option<String>,
    /// Where dead letters are forwarded to.
    pub forward_dead: Option<String>,
    /// Whether it takes and gives messages.
    pub status: Status,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lock: 60_000,
            max_delivery: 10,
            sessions: false,
            ttl: None,
            dead_on_expiry: false,
            duplicates: None,
            forward: None,
            forward_dead: None,
            status: Status::Active,
        }
    }
}

/// One of the three stores of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sub {
    /// The entity itself.
    Main,
    /// Its dead-letter queue.
    Dead,
    /// Its dead-letter queue of failed transfers.
    Transfer,
}

/// A store's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path of the queue or subscription.
    pub entity: String,
    /// Which of its stores.
    pub sub: Sub,
}

impl Place {
    /// The entity itself.
    pub fn main(entity: &str) -> Self {
        Self { entity: entity.to_owned(), sub: Sub::Main }
    }

    /// Its dead-letter queue.
    pub fn dead(entity: &str) -> Self {
        Self { entity: entity.to_owned(), sub: Sub::Dead }
    }

    /// The address of a receiver (docs/evidence/pinned-behaviour.md DLQ1).
    pub fn address(&self) -> String {
        let suffix = match self.sub {
            Sub::Main => "",
            Sub::Dead => "/$DeadLetterQueue",
            Sub::Transfer => "/$Transfer/$DeadLetterQueue",
        };
        format!("{}{suffix}", self.entity)
    }
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The link that holds it.
    pub holder: Option<usize>,
    /// When its lock ends.
    pub until: Time,
    /// Its state.
    pub state: Option<Vec<u8>>,
}

/// Messages and sessions.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// In any order.
    pub messages: Vec<Message>,
    /// The last sequence number that was given.
    pub last: i64,
    /// Sessions that are held or have state.
    pub sessions: BTreeMap<String, Session>,
    /// Message ids and when they were last taken.
    pub remembered: Vec<(String, Time)>,
}

impl Store {
    /// The next sequence number: from 1 on, without gaps (docs/evidence/pinned-behaviour.md PEK21).
    pub fn next_number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// The message under a lock that is not settled yet in a transaction.
    pub fn locked(&self, token: Token) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.taken.is_none() && message.lock.as_ref().is_some_and(|lock| lock.token == token))
    }

    /// Takes out the message with a number.
    pub fn remove(&mut self, number: i64) -> Option<Message> {
        let at = self.messages.iter().position(|message| message.number == number)?;
        Some(self.messages.remove(at))
    }

    /// The message with a number.
    pub fn find(&mut self, number: i64) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.number == number)
    }
}

/// A queue or subscription.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its settings.
    pub settings: Settings,
    stores: [Store; 3],
}

impl Entity {
    /// One that is empty.
    pub fn new(settings: Settings) -> Self {
        Self { settings, stores: Default::default() }
    }

    /// One of its stores.
    pub fn store(&self, sub: Sub) -> &Store {
        &self.stores[sub as usize]
    }

    /// One of its stores.
    pub fn store_mut(&mut self, sub: Sub) -> &mut Store {
        &mut self.stores[sub as usize]
    }
}

/// A topic.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Messages that wait for their time stay here (docs/evidence/pinned-behaviour.md SCH16).
    pub waiting: Store,
    /// Paths and rules of its subscriptions.
    pub subscriptions: BTreeMap<String, Vec<Rule>>,
}
