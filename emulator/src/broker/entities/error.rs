//! What an entity refuses, and why.

use crate::broker::budget::OverBudget;
use core::fmt;

/// Why an operation on an entity was refused. The protocol turns it into a condition and the service's text.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # use servicebus_emulator::broker::entities::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// let made = broker.with_namespace(clock, |namespace| {
///     namespace.create_queue("orders", QueueDescription::default(), clock.utc)
/// });
/// match made {
///     Ok(()) | Err(EntityError::AlreadyExists(_)) => {}
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntityError {
    /// No queue, topic or subscription has this path.
    NotFound(String),
    /// There is one already.
    AlreadyExists(String),
    /// A subscription has no such rule.
    RuleNotFound(String),
    /// A name with characters that are not allowed, too long, or empty.
    InvalidName(String),
    /// A setting outside of what the service allows: its name and why.
    InvalidSetting(&'static str, String),
    /// A target of forwarding that does not exist.
    NoForwardTarget(String),
    /// A setting that cannot be changed on an existing entity.
    Unchangeable(&'static str),
    /// The entity does not take messages, or does not give them.
    Disabled(String),
    /// The bytes are no message.
    Malformed,
    /// A batch of more messages than the service takes at once.
    BatchTooLong,
    /// A system annotation that is null.
    NullAnnotation(&'static str),
    /// A system annotation of another type than it must have.
    WrongAnnotation(&'static str),
    /// An application property of a type that the service does not keep.
    UnsupportedProperty,
    /// A property whose name or value is too long.
    PropertyTooLong,
    /// Properties that take too much together.
    HeaderTooLarge,
    /// An id of more than 128 characters.
    IdTooLong(&'static str),
    /// Session id and partition key differ.
    PartitionKeyMismatch,
    /// A message without a session id for an entity that requires sessions.
    SessionIdMissing,
    /// The entity holds as much as it may.
    QuotaExceeded {
        /// `Queue` or `Topic`.
        kind: &'static str,
        /// Namespace, kind and entity, with colons between.
        name: String,
        /// Bytes that would be in it.
        size: u64,
        /// Bytes it may hold.
        limit: u64,
    },
    /// The process holds as much as it may.
    OverBudget(OverBudget),
    /// A plain receiver on an entity that requires sessions.
    SessionRequired,
    /// A session receiver on an entity without sessions.
    SessionNotSupported,
    /// Another receiver holds the session.
    SessionCannotBeLocked(String),
    /// The lock is gone.
    MessageLockLost,
    /// The session's lock is gone.
    SessionLockLost,
    /// No such message, or it cannot be had that way.
    MessageNotFound(String),
    /// A dead-lettered message cannot be dead-lettered again.
    AlreadyDeadLettered,
    /// A filter or an action that cannot be read.
    InvalidFilter(String),
    /// More than an operation may ask for.
    OutOfRange(String),
    /// The operation does not go with the entity.
    NotAllowed(String),
}

impl fmt::Display for EntityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(path) => write!(f, "The messaging entity '{path}' could not be found."),
            Self::AlreadyExists(path) => write!(f, "The messaging entity '{path}' already exists."),
            Self::RuleNotFound(path) => write!(f, "The messaging entity '{path}' could not be found."),
            Self::InvalidName(name) => write!(
                f,
                "'{name}' contains character(s) that is not allowed by Service Bus. Entity segments can contain only \
                 letters, numbers, periods (.), hyphens (-), and underscores (_)."
            ),
            Self::InvalidSetting(name, why) => write!(f, "The value of '{name}' is not valid: {why}"),
            Self::NoForwardTarget(target) => write!(
                f,
                "The autoforwarding destination entity does not exist. The destination '{target}' must be created before \
                 its source."
            ),
            Self::Unchangeable(what) => write!(f, "The value for the {what} cannot be changed."),
            Self::Disabled(path) => {
                write!(f, "Messaging entity '{path}' is currently disabled for this operation.")
            }
            Self::Malformed => f.write_str("The message could not be decoded."),
            // The service says no more than this: Azure/azure-service-bus#397, Azure/azure-sdk-for-net#19125.
            Self::BatchTooLong => f.write_str(
                "The service was unable to process the request; please retry the operation. For more information on \
                 exception types and proper exception handling, please refer to \
                 http://go.microsoft.com/fwlink/?LinkId=761101",
            ),
            Self::WrongAnnotation(key) => {
                write!(f, "The message annotation '{key}' is of a type that it cannot have.")
            }
            Self::NullAnnotation(key) => write!(f, "The message annotation '{key}' must not be null."),
            Self::UnsupportedProperty => {
                f.write_str("Serialization operation failed due to unsupported type of an application property.")
            }
            // The service says no more than this: NServiceBus.Transport.AzureServiceBus#171.
            Self::PropertyTooLong => f.write_str(
                "The service was unable to process the request; please retry the operation. For more information on \
                 exception types and proper exception handling, please refer to \
                 http://go.microsoft.com/fwlink/?LinkId=761101",
            ),
            Self::HeaderTooLarge => f.write_str(
                "A serialization error occurred while processing the message header stream with sequence number 0. \
                 The size quota for this stream (65536) has been exceeded..",
            ),
            Self::IdTooLong(name) => write!(f, "The value of '{name}' exceeds the limit of 128 characters."),
            Self::PartitionKeyMismatch => f.write_str("PartitionKey and SessionId of a message must be equal."),
            Self::SessionIdMissing => f.write_str(
                "The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have \
                 session support enabled can only receive messages that have the SessionId set to a valid value.",
            ),
            Self::QuotaExceeded { kind, name, size, limit } => write!(
                f,
                "The maximum entity size has been reached or exceeded for {kind}: '{name}'. Size of entity in \
                 bytes:{size}, Max entity size in bytes:{limit}. For more information please see \
                 https://aka.ms/ServiceBusExceptions . QuotaType: EntitySize"
            ),
            Self::OverBudget(error) => error.fmt(f),
            Self::SessionRequired => f.write_str(
                "It is not possible for an entity that requires sessions to create a non-sessionful message receiver.",
            ),
            Self::SessionNotSupported => f.write_str(
                "A sessionful message receiver cannot be created on an entity that does not require sessions. Ensure \
                 RequiresSession is set to true when creating a Queue or Subscription to enable sessionful behavior.",
            ),
            Self::SessionCannotBeLocked(id) => {
                write!(f, "The requested session '{id}' cannot be accepted. It may be locked by another receiver.")
            }
            Self::MessageLockLost => f.write_str(
                "The lock supplied is invalid. Either the lock expired, or the message has already been removed from \
                 the queue. For more information please see https://aka.ms/ServiceBusExceptions .",
            ),
            Self::SessionLockLost => {
                f.write_str("The session lock has expired on the MessageSession. Accept a new MessageSession.")
            }
            Self::MessageNotFound(text) | Self::OutOfRange(text) | Self::NotAllowed(text) => f.write_str(text),
            Self::AlreadyDeadLettered => {
                f.write_str("A message that is in a dead-letter queue cannot be dead-lettered again.")
            }
            Self::InvalidFilter(why) => write!(f, "The filter or action could not be read: {why}"),
        }
    }
}

/// Transparent where there is an inner error: text and source are its.
impl core::error::Error for EntityError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::OverBudget(error) => error.source(),
            _ => None,
        }
    }
}

impl From<OverBudget> for EntityError {
    fn from(error: OverBudget) -> Self {
        Self::OverBudget(error)
    }
}
