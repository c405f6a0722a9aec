//! What a store is told, and what it tells.

use super::message::Message;
use servicebus_core::servicebus::SubQueue;
use servicebus_core::time::Duration;
use std::sync::Arc;

/// Settings of the entity that its store acts on.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// How long a message or session stays locked.
    pub lock_duration: Duration,
    /// Failed deliveries after which a message is dead-lettered.
    pub max_delivery_count: u32,
    /// Whether messages are received by session.
    pub requires_session: bool,
    /// Whether this is a sub-queue of an entity whose messages are received by session.
    pub of_sessions: bool,
    /// Whether expired messages are dead-lettered.
    pub dead_letter_on_expiry: bool,
    /// Which sub-queue it is, if one.
    pub sub_queue: Option<SubQueue>,
    /// Whether its messages go on by themselves.
    pub relays: bool,
}

/// Whose store it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Key of the queue or topic.
    pub entity: String,
    /// Key of the subscription.
    pub subscription: Option<String>,
    /// The path as it is shown, with subscription and sub-queue.
    pub path: Arc<str>,
}

/// How a lock ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The message is done.
    Complete,
    /// It comes again at once.
    Abandon,
    /// It is set aside.
    Defer,
    /// It goes to the dead-letter queue.
    DeadLetter,
    /// It was never looked at: no failed delivery.
    Release,
    /// The lock ran out.
    Expire,
}

/// Why a message leaves for the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// A receiver said so; its reason is among the message's properties.
    Explicit,
    /// Too many failed deliveries; how many.
    MaxDeliveryCount(u32),
    /// Its time to live ended.
    Expired,
}

/// What a store hands over to the namespace.
#[derive(Debug)]
pub enum Effect {
    /// A message for the dead-letter queue.
    DeadLetter(Message, DeadReason),
    /// A scheduled message whose time has come.
    Activate(Message),
}

/// What a store tells those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreSignal {
    /// There is something to receive.
    Messages,
    /// There is something to receive in the session that this receiver holds.
    Session(u64),
    /// A session can be accepted.
    SessionReady,
    /// The lock of the session that this receiver held has run out.
    SessionLost(u64),
}
