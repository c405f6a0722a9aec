//! What the service means by an error.
// docs/evidence/wire-protocol.md §6

use core::fmt;

macro_rules! reasons {
    ($( $(#[$meta:meta])* $name:ident = $condition:literal, $status:literal, $sdk:literal, $transient:literal; )*) => {
        /// Why the service refused or ended something, by the names that users of the official SDKs know.
        ///
        /// # Examples
        ///
        /// ```
        /// # use servicebus_core::servicebus::Reason;
        /// # servicebus_simulation::example(async |client| {
        /// let letters = client.receiver("letters")?;
        /// match letters.next().await {
        ///     Err(error) if error.reason() == Some(Reason::EntityNotFound) => println!("there is no queue letters"),
        ///     other => println!("{}", other?),
        /// }
        /// # Ok(())
        /// # });
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Reason { $( $(#[$meta])* $name, )* }

        impl Reason {
            /// Every reason.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// let worth_a_retry = Reason::ALL.iter().filter(|reason| reason.is_transient()).count();
            /// assert!(worth_a_retry < Reason::ALL.len());
            /// ```
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// The AMQP condition.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// assert_eq!(Reason::ServerBusy.condition(), "com.microsoft:server-busy");
            /// ```
            pub const fn condition(self) -> &'static str {
                match self { $( Self::$name => $condition, )* }
            }

            /// The status code that `$cbs` and `$management` use for it.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// assert_eq!(Reason::ServerBusy.status_code(), 503);
            /// ```
            // docs/evidence/wire-protocol.md §6.2
            pub const fn status_code(self) -> u16 {
                match self { $( Self::$name => $status, )* }
            }

            /// The exception or code of the official SDKs.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// assert_eq!(Reason::ServerBusy.sdk_name(), "ServiceBusServerBusyError");
            /// ```
            pub const fn sdk_name(self) -> &'static str {
                match self { $( Self::$name => $sdk, )* }
            }

            /// Whether trying again can help.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// assert!(Reason::ServerBusy.is_transient());
            /// assert!(!Reason::EntityNotFound.is_transient());
            /// ```
            pub const fn is_transient(self) -> bool {
                match self { $( Self::$name => $transient, )* }
            }

            /// The reason for an AMQP condition; [`Reason::Other`] for one that is not known.
            ///
            /// # Examples
            ///
            /// ```
            /// # use servicebus_core::servicebus::Reason;
            /// assert_eq!(Reason::from_condition("com.microsoft:server-busy"), Reason::ServerBusy);
            /// assert_eq!(Reason::from_condition("com.contoso:closed"), Reason::Other);
            /// ```
            pub fn from_condition(condition: &str) -> Self {
                // A loop over the table: comparing with each in turn would be many times its code.
                Self::ALL.iter().copied().find(|reason| reason.condition() == condition).unwrap_or(Self::Other)
            }
        }
    };
}

reasons! {
    /// The namespace is throttled: wait before trying again.
    ServerBusy = "com.microsoft:server-busy", 503, "ServiceBusServerBusyError", true;
    /// The service did not finish in time.
    Timeout = "com.microsoft:timeout", 408, "OperationTimeoutError", true;
    /// The service failed.
    InternalError = "amqp:internal-error", 500, "ServiceBusError", true;
    /// The link was detached: idle, moved, or its token ended.
    DetachForced = "amqp:link:detach-forced", 500, "ServiceBusConnectionError", true;
    /// The connection was closed by the service.
    ConnectionForced = "amqp:connection:forced", 500, "ServiceBusConnectionError", true;
    /// The token was refused.
    AuthFailed = "com.microsoft:auth-failed", 401, "ServiceBusAuthenticationError", false;
    /// A right is missing.
    Unauthorized = "amqp:unauthorized-access", 401, "ServiceBusAuthorizationError", false;
    /// There is no such entity.
    EntityNotFound = "amqp:not-found", 404, "MessagingEntityNotFoundError", false;
    /// The entity is disabled.
    EntityDisabled = "com.microsoft:entity-disabled", 400, "MessagingEntityDisabledError", false;
    /// The entity exists already.
    EntityAlreadyExists = "com.microsoft:entity-already-exists", 409, "MessagingEntityAlreadyExistsError", false;
    /// The operation is not possible on this entity.
    NotAllowed = "amqp:not-allowed", 400, "ServiceBusError", false;
    /// The service does not know the operation.
    NotImplemented = "amqp:not-implemented", 501, "ServiceBusError", false;
    /// The message is larger than the link allows.
    MessageSizeExceeded = "amqp:link:message-size-exceeded", 403, "MessageSizeExceededError", false;
    /// A quota is used up.
    QuotaExceeded = "amqp:resource-limit-exceeded", 403, "ServiceBusQuotaExceededError", false;
    /// An argument is not valid.
    ArgumentError = "com.microsoft:argument-error", 400, "ServiceBusError", false;
    /// An argument is out of range.
    ArgumentOutOfRange = "com.microsoft:argument-out-of-range", 400, "ServiceBusError", false;
    /// The lock on the message is gone.
    MessageLockLost = "com.microsoft:message-lock-lost", 410, "MessageLockLostError", false;
    /// The lock on the session is gone.
    SessionLockLost = "com.microsoft:session-lock-lost", 410, "SessionLockLostError", false;
    /// Another receiver holds the session.
    SessionCannotBeLocked = "com.microsoft:session-cannot-be-locked", 410, "SessionCannotBeLockedError", true;
    /// The service lost the lock in its store.
    StoreLockLost = "com.microsoft:store-lock-lost", 410, "ServiceBusError", false;
    /// No message has this sequence number, or it cannot be had.
    MessageNotFound = "com.microsoft:message-not-found", 404, "MessageNotFoundError", false;
    /// There is no such session.
    SessionNotFound = "com.microsoft:session-not-found", 404, "ServiceBusError", false;
    /// No subscription takes the message.
    NoMatchingSubscription = "com.microsoft:no-matching-subscription", 500, "ServiceBusError", false;
    /// The service gave up the operation.
    OperationCancelled = "com.microsoft:operation-cancelled", 500, "ServiceBusError", true;
    /// Another broker owns the partition.
    PartitionNotOwned = "com.microsoft:partition-not-owned", 410, "ServiceBusError", true;
    /// The publisher's right was taken back.
    PublisherRevoked = "com.microsoft:publisher-revoked", 401, "ServiceBusAuthorizationError", false;
    /// Another receiver took the link over.
    LinkStolen = "amqp:link:stolen", 410, "ServiceBusError", false;
    /// A condition of AMQP's or of the entity's state does not hold.
    PreconditionFailed = "amqp:precondition-failed", 412, "ServiceBusError", false;
    /// The peer could not decode a frame.
    DecodeError = "amqp:decode-error", 400, "ServiceBusError", false;
    /// A field had a value that is not allowed.
    InvalidField = "amqp:invalid-field", 400, "ServiceBusError", false;
    /// A frame did not fit the state of the link or session.
    IllegalState = "amqp:illegal-state", 400, "ServiceBusError", false;
    /// What was there is deleted.
    ResourceDeleted = "amqp:resource-deleted", 404, "MessagingEntityNotFoundError", false;
    /// The transaction is unknown.
    TransactionUnknown = "amqp:transaction:unknown-id", 404, "ServiceBusError", false;
    /// The transaction was rolled back.
    TransactionRollback = "amqp:transaction:rollback", 500, "ServiceBusError", false;
    /// The transaction took too long.
    TransactionTimeout = "amqp:transaction:timeout", 408, "ServiceBusError", false;
    /// A condition that is not known here; unknown conditions of Service Bus are worth another try.
    // docs/evidence/wire-protocol.md §6.1
    Other = "com.microsoft:unknown", 500, "ServiceBusError", true;
}

impl Reason {
    /// The reason for a response of `$cbs` or `$management`: its condition, or else its status code.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Reason;
    /// assert_eq!(Reason::from_status(404, None), Reason::EntityNotFound);
    /// assert_eq!(Reason::from_status(410, Some("com.microsoft:session-lock-lost")), Reason::SessionLockLost);
    /// ```
    pub fn from_status(status: u16, condition: Option<&str>) -> Self {
        let named = condition.map(Self::from_condition).filter(|reason| *reason != Self::Other);
        named.unwrap_or(match status {
            400 => Self::ArgumentError,
            401 => Self::Unauthorized,
            403 => Self::QuotaExceeded,
            404 => Self::EntityNotFound,
            408 => Self::Timeout,
            409 => Self::EntityAlreadyExists,
            410 => Self::MessageLockLost,
            412 => Self::PreconditionFailed,
            500 => Self::InternalError,
            501 => Self::NotImplemented,
            503 => Self::ServerBusy,
            _ => Self::Other,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.condition())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_reasons_and_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_condition(reason.condition()), *reason);
        }
        assert_eq!(Reason::from_status(410, Some("com.microsoft:session-lock-lost")), Reason::SessionLockLost);
        assert_eq!(Reason::from_status(503, None), Reason::ServerBusy);
        assert!(Reason::from_condition("com.microsoft:whatever").is_transient());
    }
}
