//! The entities of a namespace: messages, queues, topics, subscriptions, locks, sessions, rules and schedules, as pure
//! functions of time. Nothing here knows of AMQP's performatives or of connections.
//!
//! # Examples
//! ```
//! # use servicebus_core::time::{Duration, Instant, Timestamp};
//! # use servicebus_emulator::Emulator;
//! # use servicebus_emulator::broker::*;
//! # use servicebus_emulator::broker::entities::*;
//! # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
//! # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
//! broker.with_namespace(clock, |namespace| {
//!     let jobs = QueueDescription { requires_session: true, ..QueueDescription::default() };
//!     namespace.create_queue("jobs", jobs, clock.utc)
//! })?;
//! let description = broker.namespace().queue("jobs").map(|queue| &queue.description);
//! assert!(description.is_some_and(|description| description.requires_session));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod addresses;
#[doc(hidden)]
pub mod bounds;
#[doc(hidden)]
pub mod description;
pub(super) mod duplicates;
#[doc(hidden)]
pub mod error;
mod idle;
mod lifecycle;
#[doc(hidden)]
pub mod listed;
#[doc(hidden)]
pub mod message;
#[doc(hidden)]
pub mod name;
#[doc(hidden)]
pub mod namespace;
mod properties;
#[doc(hidden)]
pub mod queue;
mod ranked;
mod remains;
#[doc(hidden)]
pub mod rule;
#[doc(hidden)]
pub mod rule_index;
mod session;
#[doc(hidden)]
pub mod settings;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod topic;

#[doc(hidden)]
pub use bounds::OutOfBounds;
pub use description::{
    AuthorizationRule, EntityStatus, MAX_DELIVERY_COUNT, QueueDescription, Rights, SubscriptionDescription,
    TopicDescription,
};
pub use error::EntityError;
#[doc(hidden)]
pub use message::{Message, MessageState};
pub use namespace::{Namespace, RuntimeCounts};
#[doc(hidden)]
pub use namespace::{Signal, StoreId};
pub use queue::{Queue, Stores, Times};
#[doc(hidden)]
pub use rule::StoredRule;
pub(super) use session::session_key;
pub use topic::{Subscription, Topic};
