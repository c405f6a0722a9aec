//! What Azure adds to AMQP: names and addresses, credentials and tokens, messages, reasons. No state.

pub mod address;
#[cfg(feature = "administration")]
pub mod administration;
pub mod argument;
pub mod as_message;
pub mod batch;
pub mod body;
pub mod body_error;
pub mod connection_string;
pub mod disposition;
#[cfg(feature = "alloc")]
mod encoded_entries;
pub mod entity;
pub mod entries;
pub mod failure;
pub mod key;
pub mod lock_token;
pub mod management;
pub mod message;
#[cfg(feature = "alloc")]
pub mod owned_message;
pub mod reason;
pub mod received;
pub mod retry;
pub mod rule;
pub mod sas;
pub mod session_choice;
pub(crate) mod session_filter;
pub mod token;

pub use address::{Address, SubQueue};
pub use argument::Argument;
pub use as_message::AsMessage;
pub use batch::{BatchError, MessageBatch};
pub use body::Body;
pub use body_error::BodyError;
pub use connection_string::{ConnectionCredential, ConnectionString, ConnectionStringError};
pub use disposition::{Disposition, Properties};
pub use entity::Entity;
pub use entries::Entries;
pub use failure::{Cause, Failure, Offer};
pub use lock_token::LockToken;
pub use message::{InvalidMessage, MessageRef};
#[cfg(feature = "alloc")]
pub use owned_message::{Message, MessageBody, MessageIdBuf};
pub use reason::Reason;
pub use received::{MessageState, ReceivedMessage};
pub use retry::{RetryMode, RetryPolicy};
pub use rule::{CorrelationFilter, RuleFilterRef, RuleRef};
pub use session_choice::SessionChoice;
pub use token::Token;

pub use crate::wire::messaging::MessageId;
