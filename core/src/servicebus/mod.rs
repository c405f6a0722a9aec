//! What Azure adds to AMQP: names and addresses, credentials and tokens, messages, and the namespace as one machine.

pub mod address;
#[cfg(feature = "administration")]
pub mod administration;
pub mod argument;
pub mod connection_string;
pub mod lock_token;
pub mod management;
pub mod message;
pub mod namespace;
pub mod reason;
pub mod received;
pub mod retry;
pub mod rule;
pub mod sas;

pub use address::{Address, SubQueue};
pub use argument::Argument;
pub use connection_string::{ConnectionCredential, ConnectionString, ConnectionStringError};
pub use lock_token::LockToken;
pub use message::{BatchError, Body, InvalidMessage, Message, MessageBatch};
pub use reason::Reason;
pub use received::{MessageState, ReceivedMessage};
pub use retry::{RetryMode, RetryPolicy};
pub use rule::{CorrelationFilter, RuleDescription, RuleFilter};
