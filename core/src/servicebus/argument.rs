//! What a call is given.

use core::fmt;

/// A value of a call's or a setting's, named when it does not fit.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{Argument, Message};
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let order = Message::new("two of the blue ones").with_session_id("x".repeat(200));
/// match orders.send(&order).await {
///     Err(error) if error.argument() == Some(Argument::SessionId) => println!("the customer's name is too long"),
///     other => other?,
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Argument {
    /// The connection string.
    ConnectionString,
    /// The host in it.
    HostName,
    /// How connections are opened, which cannot work: TLS without cryptography, for example.
    Dialer,
    /// The name of the queue, topic or subscription.
    EntityName,
    /// The entity that the connection string is for, beside another one.
    EntityPath,
    /// The name of a rule.
    RuleName,
    /// The SQL expression of a rule's filter or action.
    SqlExpression,
    /// How long a message lives.
    TimeToLive,
    /// When a message becomes available.
    ScheduledEnqueueTime,
    /// The identifier of a sender or receiver.
    Identifier,
    /// The token of an external credential.
    AccessToken,
    /// A message's id.
    MessageId,
    /// The id of a session, of a message or of a receiver.
    SessionId,
    /// A message's partition key.
    PartitionKey,
    /// A message's partition key for the entity that a transaction goes through.
    TransactionPartitionKey,
    /// A message's partition key beside its session's id.
    PartitionKeyMismatch,
    /// The session that replies belong to.
    ReplyToSessionId,
    /// A message without a lock, or without one of its own.
    Unlocked,
    /// A message that is being settled already.
    BeingSettled,
    /// A message of another entity than the receiver's.
    OtherEntity,
    /// The properties that a settlement changes.
    Properties,
    /// An application property, of a message or that a settlement changes: its name or its value.
    ApplicationProperty,
    /// All properties and annotations of a message together.
    MessageHeader,
    /// The reason of a dead letter.
    DeadLetterReason,
    /// The description of a dead letter.
    DeadLetterDescription,
    /// The storage's room for what is sent.
    Storage,
    /// The state of a session that is read or written as JSON.
    #[cfg(feature = "serde")]
    SessionState,
}

impl Argument {
    /// What is wrong with it, in words; a limit is named.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Argument;
    /// assert_eq!(Argument::MessageId.words(), "message_id has more than 128 characters");
    /// ```
    pub const fn words(self) -> &'static str {
        match self {
            Self::ConnectionString => "the connection string is not valid",
            Self::HostName => "the host name is not valid: 256 bytes at most",
            Self::Dialer => "no connection can be opened as the program has set it up",
            Self::EntityName => "the entity's name is not valid: 260 characters at most, a subscription's 50",
            Self::EntityPath => "the connection string is for another entity",
            Self::RuleName => "the rule's name is not valid: 50 characters at most",
            Self::SqlExpression => "the SQL expression or action has more than 1024 characters",
            Self::TimeToLive => "time_to_live is shorter than a millisecond",
            Self::ScheduledEnqueueTime => "the time to enqueue at is not within the years 1 to 9999",
            Self::Identifier => "the identifier has more than 128 characters",
            Self::AccessToken => "the access token is not text",
            Self::MessageId => "message_id has more than 128 characters",
            Self::SessionId => "session_id has more than 128 characters",
            Self::PartitionKey => "partition_key has more than 128 characters",
            Self::TransactionPartitionKey => "transaction_partition_key has more than 128 characters",
            Self::PartitionKeyMismatch => "partition_key and session_id differ",
            Self::ReplyToSessionId => "reply_to_session_id has more than 128 characters",
            Self::Unlocked => "the message has no lock of its own",
            Self::OtherEntity => "the message is of another entity",
            Self::BeingSettled => "the message is being settled already",
            Self::Properties => "the properties are larger than the storage or a frame takes",
            Self::ApplicationProperty => "the name or the value of a property has more than 32768 bytes",
            Self::MessageHeader => "properties and annotations take more than 65536 bytes",
            Self::DeadLetterReason => "the dead-letter reason has more than 4096 characters",
            Self::DeadLetterDescription => "the dead-letter description has more than 4096 characters",
            Self::Storage => "the request is larger than `message` of fixed storage",
            #[cfg(feature = "serde")]
            Self::SessionState => "the session's state is not JSON of this type",
        }
    }
}

/// What is wrong with it.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Whether a text has more characters than these.
#[inline(never)]
pub(crate) fn is_longer(text: &str, characters: usize) -> bool {
    // A character has a byte at least.
    text.len() > characters && text.chars().count() > characters
}
