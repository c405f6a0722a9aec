//! The entities of a namespace: messages, queues, topics, subscriptions, locks, sessions, rules and schedules, as pure
//! functions of time. Nothing here knows of AMQP's performatives or of connections.

mod addresses;
pub mod bounds;
pub mod description;
pub(super) mod duplicates;
pub mod error;
mod idle;
mod lifecycle;
pub mod listed;
pub mod message;
pub mod name;
pub mod namespace;
mod properties;
pub mod queue;
mod ranked;
mod remains;
pub mod rule;
pub mod rule_index;
mod session;
pub mod settings;
pub mod store;
pub mod topic;

pub use bounds::OutOfBounds;
pub use description::{
    AuthorizationRule, EntityStatus, MAX_DELIVERY_COUNT, QueueDescription, Rights, SubscriptionDescription,
    TopicDescription,
};
pub use error::EntityError;
pub use message::{Message, MessageState};
pub use namespace::{Namespace, Signal, StoreId};
pub use rule::StoredRule;
