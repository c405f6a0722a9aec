//! What Azure adds to AMQP: names and addresses, credentials and tokens, messages, reasons. No state.

pub(crate) mod address;
#[cfg(feature = "administration")]
pub mod administration;
pub(crate) mod argument;
pub(crate) mod as_message;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod body_error;
pub(crate) mod connection_string;
pub(crate) mod disposition;
#[cfg(feature = "alloc")]
mod encoded_entries;
pub(crate) mod entity;
pub(crate) mod entries;
pub(crate) mod failure;
mod hash;
pub mod key;
pub(crate) mod lock_token;
pub(crate) mod management;
pub(crate) mod message;
mod message_state;
pub(crate) mod name;
#[cfg(feature = "alloc")]
pub(crate) mod owned_message;
#[cfg(feature = "alloc")]
mod owned_rule;
mod property;
pub(crate) mod reason;
pub(crate) mod received;
pub(crate) mod retry;
pub(crate) mod rule;
pub mod sas;
pub(crate) mod session_choice;
pub(crate) mod session_filter;
pub(crate) mod token;

pub use address::{Address, SubQueue};
pub use argument::Argument;
pub use as_message::AsMessage;
pub use batch::{BATCH_FORMAT, BatchError, MessageBatch};
pub use body::Body;
pub use body_error::BodyError;
pub use connection_string::{ConnectionCredential, ConnectionString, ConnectionStringError};
pub use disposition::{DeadLetterOptions, Disposition, Properties};
pub use entity::Entity;
pub use entries::Entries;
#[doc(hidden)]
pub use failure::{Cause, Failure, Offer};
pub use lock_token::{InvalidLockToken, LockToken};
pub use message::{InvalidMessage, MessageRef};
pub use message_state::MessageState;
pub use name::{InvalidName, MAX_ENTITY_NAME, MAX_SUBSCRIPTION_NAME};
#[cfg(feature = "alloc")]
pub use owned_message::{Message, MessageBody, MessageIdBuf};
#[cfg(feature = "alloc")]
pub use owned_rule::Rule;
pub use reason::Reason;
pub use received::ReceivedMessage;
pub use retry::{RetryMode, RetryPolicy};
pub use rule::{CorrelationRuleFilterRef, FilterProperties, RuleFilterRef, RuleRef};
pub use session_choice::SessionChoice;
pub use token::Token;

pub use crate::wire::messaging::MessageId;
