//! The changes of a namespace: of its messages, entities and rules. A change holds outcomes (sequence numbers, ids, lock tokens, times), so that the
//! same changes in the same order lead to the same state: see `apply`.

use super::entities::store::{Ending, Taken};
use super::entities::{Message, QueueDescription, StoreId, SubscriptionDescription, TopicDescription};
use crate::filter::Rule;
use bytes::Bytes;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::{Reader, Value};
use std::sync::Arc;

/// The name of an application property and its encoded value.
type Property = (String, Vec<u8>);

/// The end of a message's lock, in a form that can wait for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// How the lock ends.
    pub ending: Ending,
    /// Application properties to set, with encoded values. Copies share them: a transaction and the changes that a
    /// request is planned as hold one settlement for many messages.
    changes: Option<Arc<[Property]>>,
}

impl Settlement {
    /// Without changes to properties.
    pub const fn plain(ending: Ending) -> Self {
        Self { ending, changes: None }
    }

    /// With application properties to set.
    pub fn with_changes(ending: Ending, changes: Vec<(String, Vec<u8>)>) -> Self {
        Self { ending, changes: (!changes.is_empty()).then(|| changes.into()) }
    }

    fn changes(&self) -> &[Property] {
        self.changes.as_deref().unwrap_or_default()
    }

    /// Bytes of the names and values to set.
    pub fn size(&self) -> usize {
        self.changes().iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// The changes with their values decoded.
    pub fn decoded(&self) -> Vec<(&str, Value<'_>)> {
        self.changes()
            .iter()
            .filter_map(|(key, value)| Some((key.as_str(), Reader::new(value).value().ok()?)))
            .collect()
    }
}

/// What happens to the lock of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStep {
    /// A receiver locks it.
    Accept {
        /// The receiver.
        holder: u64,
    },
    /// Others can take it over.
    Share {
        /// By this token, unless it has one.
        token: LockToken,
    },
    /// Another receiver takes it over.
    TakeOver {
        /// The receiver.
        holder: u64,
        /// The token by which it does.
        token: LockToken,
    },
    /// Its receiver lets it go.
    Release {
        /// The receiver; nothing happens if another holds it.
        holder: u64,
    },
    /// Its lock is extended.
    Renew,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A message comes into a store, at once or for its time, under its number.
    Insert {
        /// The store.
        store: StoreId,
        /// The message, with its number, state and times.
        message: Box<Message>,
    },
    /// A message comes into a dead-letter queue, under the number it had where that is free.
    Bury {
        /// The dead-letter queue.
        store: StoreId,
        /// The message, with the reason among its properties.
        message: Box<Message>,
    },
    /// A message leaves a store for good.
    Remove {
        /// The store.
        store: StoreId,
        /// The message's number.
        number: i64,
    },
    /// A message comes back that was taken for good and not sent.
    Restore {
        /// The store.
        store: StoreId,
        /// The message and its place.
        taken: Box<Taken>,
    },
    /// A sequence number is given away, for a message that comes with a commit.
    Reserve {
        /// The store.
        store: StoreId,
    },
    /// An entity remembers a message id.
    Remember {
        /// The entity's key.
        entity: String,
        /// The id.
        id: String,
        /// When it came.
        utc: Timestamp,
    },
    /// An entity forgets message ids that are past its window, some at once.
    Forget {
        /// The entity's key.
        entity: String,
        /// When.
        utc: Timestamp,
    },
    /// An entity was used: the one that a store belongs to, and for a subscription its topic.
    Use {
        /// The store.
        store: StoreId,
        /// When.
        utc: Timestamp,
    },
    /// A message is locked.
    Lock {
        /// The store.
        store: StoreId,
        /// The message's number.
        number: i64,
        /// The name of the lock.
        token: LockToken,
        /// When.
        utc: Timestamp,
    },
    /// A message's lock ends as its holder says.
    Settle {
        /// The store.
        store: StoreId,
        /// The name of the lock.
        token: LockToken,
        /// How.
        settlement: Settlement,
        /// When.
        utc: Timestamp,
    },
    /// A message's lock is extended.
    Renew {
        /// The store.
        store: StoreId,
        /// The name of the lock.
        token: LockToken,
        /// When.
        utc: Timestamp,
    },
    /// A deferred message is found to be past its time to live.
    Expire {
        /// The store.
        store: StoreId,
        /// The message's number.
        number: i64,
        /// When.
        utc: Timestamp,
    },
    /// Locks, sessions, lives and schedules of a store that end at a time.
    Time {
        /// The store.
        store: StoreId,
        /// The time.
        utc: Timestamp,
    },
    /// The lock of a session begins, changes or ends.
    Session {
        /// The store.
        store: StoreId,
        /// The session.
        session: String,
        /// How.
        step: SessionStep,
        /// When.
        utc: Timestamp,
    },
    /// The state of a session is set or cleared.
    SessionState {
        /// The store.
        store: StoreId,
        /// The session.
        session: String,
        /// The state.
        state: Option<Bytes>,
        /// When.
        utc: Timestamp,
    },
    /// A queue is made, or gets other settings.
    Queue {
        /// Its key.
        key: String,
        /// The settings.
        description: Box<QueueDescription>,
        /// When.
        utc: Timestamp,
    },
    /// A topic is made, or gets other settings.
    Topic {
        /// Its key.
        key: String,
        /// The settings.
        description: Box<TopicDescription>,
        /// When.
        utc: Timestamp,
    },
    /// A subscription is made, or gets other settings.
    Subscription {
        /// The topic's key.
        topic: String,
        /// The name as it was written first.
        name: String,
        /// The settings.
        description: Box<SubscriptionDescription>,
        /// The rule of one that is made.
        rule: Option<Box<Rule>>,
        /// When.
        utc: Timestamp,
    },
    /// A rule is made, or comes in the place of the one of its name.
    Rule {
        /// The topic's key.
        topic: String,
        /// The subscription's key.
        subscription: String,
        /// The rule.
        rule: Box<Rule>,
        /// When.
        utc: Timestamp,
    },
    /// A rule goes.
    RemoveRule {
        /// The topic's key.
        topic: String,
        /// The subscription's key.
        subscription: String,
        /// The rule's key.
        rule: String,
    },
    /// A queue or topic goes, or one subscription of a topic.
    Delete {
        /// The key of the queue or topic.
        entity: String,
        /// The subscription's key.
        subscription: Option<String>,
    },
    /// Every entity goes.
    Clear,
    /// The messages of a store go, and the states of its sessions.
    Purge {
        /// The store.
        store: StoreId,
    },
    /// A part of what is left of entities and messages that are gone goes. With it go stores, and the next ones that are
    /// made take their places.
    LetGo,
}
