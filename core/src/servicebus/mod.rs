//! What Azure adds to AMQP: names and addresses, credentials and tokens, messages, reasons. No state.

pub mod address;
#[cfg(feature = "administration")]
pub mod administration;
pub mod argument;
pub mod connection_string;
pub mod disposition;
pub mod failure;
pub mod lock_token;
pub mod management;
pub mod message;
pub mod reason;
pub mod received;
pub mod retry;
pub mod rule;
pub mod sas;
pub mod session_choice;
pub(crate) mod session_filter;

pub use address::{Address, SubQueue};
pub use argument::Argument;
pub use connection_string::{ConnectionCredential, ConnectionString, ConnectionStringError};
pub use disposition::{Disposition, Properties};
pub use failure::{Cause, Failure, Offer};
pub use lock_token::LockToken;
pub use message::{BatchError, Body, InvalidMessage, MessageBatch, MessageRef};
pub use reason::Reason;
pub use received::{MessageState, ReceivedMessage};
pub use retry::{RetryMode, RetryPolicy};
pub use rule::{CorrelationFilter, RuleDescription, RuleFilter};
pub use session_choice::SessionChoice;
