//! A queue: settings, and the stores of it and of its sub-queues.

use super::description::QueueDescription;
use super::duplicates::Duplicates;
use super::namespace::StoreId;
use super::remains::Life;
use super::store::{Store, StoreSettings};
use crate::broker::budget::Share;
use servicebus_core::servicebus::SubQueue;
use servicebus_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The stores of a queue or a subscription: what [`Namespace::counts`](super::Namespace::counts) takes.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// let namespace = broker.namespace();
/// let stores = namespace.queue("orders").map(|queue| queue.stores);
/// assert_eq!(stores.map(|stores| namespace.counts(&stores).active), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stores {
    /// Its messages.
    #[doc(hidden)]
    pub main: StoreId,
    /// Its dead-letter queue.
    #[doc(hidden)]
    pub dead_letter: StoreId,
    /// The dead-letter queue of failed transfers.
    #[doc(hidden)]
    pub transfer: StoreId,
}

impl Stores {
    /// The store of a sub-queue, or the main one.
    #[doc(hidden)]
    pub fn get(&self, sub_queue: Option<SubQueue>) -> StoreId {
        match sub_queue {
            None => self.main,
            Some(SubQueue::DeadLetter) => self.dead_letter,
            Some(SubQueue::TransferDeadLetter) => self.transfer,
        }
    }

    /// All three.
    #[doc(hidden)]
    pub fn all(&self) -> [StoreId; 3] {
        [self.main, self.dead_letter, self.transfer]
    }
}

/// When an entity was made, changed and used.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// let times = broker.namespace().queue("orders").map(|queue| queue.times);
/// assert_eq!(times.map(|times| times.created), Some(clock.utc));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was made.
    pub created: Timestamp,
    /// When its settings were last changed; of a queue or topic also its version.
    pub updated: Timestamp,
    /// When it was last used; [`Timestamp::DOTNET_MIN`] for never.
    pub accessed: Timestamp,
}

impl Times {
    /// Made now.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::Timestamp;
    /// # use servicebus_emulator::broker::entities::Times;
    /// let times = Times::new(Timestamp::from_secs(1_795_000_000));
    /// assert_eq!(times.accessed, Timestamp::DOTNET_MIN);
    /// ```
    pub fn new(utc: Timestamp) -> Self {
        Self { created: utc, updated: utc, accessed: Timestamp::DOTNET_MIN }
    }
}

/// The times at which queues and topics were changed, which are the versions that the management API names: under one
/// name each is later than those before it, also than those of an entity that was deleted. A change in the millisecond
/// of the one before, or after UTC went back, is a millisecond later.
// docs/evidence/pinned-behaviour.md ADM6
#[derive(Debug)]
pub(super) struct Versions {
    latest: Timestamp,
    /// The latest when an entity was last deleted.
    at_delete: Timestamp,
}

impl Default for Versions {
    fn default() -> Self {
        Self { latest: Timestamp::DOTNET_MIN, at_delete: Timestamp::DOTNET_MIN }
    }
}

impl Versions {
    /// The times of an entity that is made.
    pub(super) fn make(&mut self, utc: Timestamp) -> Times {
        let updated = self.after(self.at_delete, utc);
        Times { updated, ..Times::new(utc) }
    }

    /// An entity is changed.
    pub(super) fn update(&mut self, times: &mut Times, utc: Timestamp) {
        times.updated = self.after(times.updated, utc);
    }

    /// An entity is deleted.
    pub(super) fn delete(&mut self) {
        self.at_delete = self.latest;
    }

    fn after(&mut self, before: Timestamp, utc: Timestamp) -> Timestamp {
        let version = utc.max(before + Duration::from_millis(1));
        self.latest = self.latest.max(version);
        version
    }
}

/// A queue.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// if let Some(queue) = broker.namespace().queue("orders") {
///     assert_eq!((queue.name.as_str(), queue.times.created), ("orders", clock.utc));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Queue {
    /// The name as it was written.
    pub name: String,
    /// The settings.
    pub description: QueueDescription,
    /// When it was made, changed and used.
    pub times: Times,
    /// Its messages.
    pub stores: Stores,
    pub(in crate::broker) duplicates: Duplicates,
    /// Its part of the memory budget.
    pub(super) share: Share,
    pub(super) life: Arc<Life>,
}

/// What an entity takes beside its stores, name and texts: its places in the tables of namespace and management.
pub(super) const PLACES: usize = 1_024;

/// Bytes that a queue takes without messages. Its name stands in many places; texts are kept as set and as shown.
pub(in crate::broker) fn bytes(key: &str, description: &QueueDescription) -> usize {
    PLACES + 3 * size_of::<Store>() + 12 * key.len() + 2 * description.memory()
}

/// What a queue's description means for its stores.
pub(super) fn settings(description: &QueueDescription, sub_queue: Option<SubQueue>) -> StoreSettings {
    StoreSettings {
        lock_duration: description.lock_duration,
        max_delivery_count: description.max_delivery_count,
        // Sub-queues never have sessions (docs/evidence/wire-protocol.md §4.5).
        requires_session: description.requires_session && sub_queue.is_none(),
        of_sessions: description.requires_session && sub_queue.is_some(),
        dead_letter_on_expiry: description.dead_lettering_on_message_expiration,
        sub_queue,
        relays: relays(
            sub_queue,
            description.forward_to.is_some(),
            description.forward_dead_lettered_messages_to.is_some(),
        ),
    }
}

/// Whether the messages of a store go on by themselves.
pub(super) fn relays(sub_queue: Option<SubQueue>, forwards: bool, forwards_letters: bool) -> bool {
    match sub_queue {
        None => forwards,
        Some(SubQueue::DeadLetter) => forwards_letters,
        Some(SubQueue::TransferDeadLetter) => false,
    }
}
