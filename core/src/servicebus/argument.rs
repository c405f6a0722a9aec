//! What a call is given.

/// A value of a call's or a setting's, named when it does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// The connection string.
    ConnectionString,
    /// The host in it.
    HostName,
    /// The name of the queue, topic or subscription.
    EntityName,
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
    /// The session that replies belong to.
    ReplyToSessionId,
    /// A message without a lock, or without one of its own.
    Unlocked,
    /// A message that is being settled already.
    BeingSettled,
    /// The properties that a settlement changes.
    Properties,
    /// The storage's room for what is sent.
    Storage,
}

impl Argument {
    /// What it is in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ConnectionString => "the connection string",
            Self::HostName => "the host name",
            Self::EntityName => "the length of the entity's name",
            Self::Identifier => "an identifier of more than 128 characters",
            Self::AccessToken => "the access token",
            Self::MessageId => "message_id",
            Self::SessionId => "session_id",
            Self::PartitionKey => "partition_key",
            Self::ReplyToSessionId => "reply_to_session_id",
            Self::Unlocked => "a message without a lock of its own",
            Self::BeingSettled => "a message that is being settled already",
            Self::Properties => "the size of the properties",
            Self::Storage => "the size of fixed storage",
        }
    }
}
