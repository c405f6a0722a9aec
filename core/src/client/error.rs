//! Why a call did not work, as the application sees it.

use crate::engine::{Capacity, ConnectionErrorKind, EngineError};
use crate::machine::{Cause, Failure};
use crate::servicebus::{Argument, BatchError, InvalidMessage, Reason};
use crate::storage::{Storage, Text};
use core::fmt;

/// Why a call did not work.
///
/// Programs decide by [`kind`](Error::kind). The text is one line for people; it names the
/// entity and the limit, and ends with the service's own words, which have the tracking id that its support asks for.
///
/// On the heap an error is one pointer, so that `Result<(), Error>` takes 8 bytes. In fixed storage it is one word,
/// without entity, words and sources.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// # use servicebus_core::storage::Heap;
/// use servicebus_core::client::{Error, ErrorKind};
///
/// /// The HTTP status that a service answers with.
/// fn status(error: &Error<Heap>) -> u16 {
///     match error.kind() {
///         ErrorKind::InvalidArgument | ErrorKind::TooLarge => 400,
///         _ if error.is_transient() => 503,
///         _ => 500,
///     }
/// }
///
/// if let Err(error) = client.sender("ghosts")?.send("boo").await {
///     eprintln!("{error}"); // one line, with the entity and the service's own words
///     assert_eq!(status(&error), 500);
/// }
/// # Ok(())
/// # });
/// ```
pub struct Error<S: Storage>(S::Boxed<Details<S>>);

/// What an error carries.
struct Details<S: Storage> {
    failure: Failure<S>,
    entity: S::Description,
}

/// What can be done about an [`Error`].
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::ErrorKind;
///
/// # client.sender("orders")?.send("two of the blue ones").await?;
/// let receiver = client.receiver("orders")?;
/// let message = receiver.next().await?;
/// match receiver.complete(&message).await {
///     Ok(()) => {}
///     Err(error) if error.kind() == ErrorKind::LockLost => eprintln!("too slow: it comes again"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service refused the call for a reason of its own: [`Error::reason`] names it.
    Rejected,
    /// The service released or modified the message instead of accepting it. It can be sent again.
    NotAccepted,
    /// The lock on the message has ended: the message comes again, here or elsewhere.
    LockLost,
    /// The lock on the session has ended: accept the session again.
    SessionLockLost,
    /// Another receiver holds the session: try again later, or accept another one.
    SessionLocked,
    /// There is no such entity, message, session or rule.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The key or token was refused, or has no right to do this.
    Unauthorized,
    /// The credential gave no token.
    Credential,
    /// The namespace is throttled. The client has made pauses; the application should send less.
    Throttled,
    /// The entity is full: receive from it, or raise its size.
    QuotaExceeded,
    /// The message or batch is larger than the entity, the link or the storage takes.
    TooLarge,
    /// It took longer than it was allowed to.
    Timeout,
    /// There is no connection, or it was lost, after as many attempts as the retry policy allows.
    Disconnected,
    /// The service failed: try again later.
    Unavailable,
    /// The peer does not speak the protocol: a wrong host or port, or an answer that cannot be read.
    Protocol,
    /// The service does not offer this, or not for this entity.
    NotOffered,
    /// An argument is not valid; nothing was sent. [`Error::argument`] names it.
    InvalidArgument,
    /// A table of the client is full; [`Error::capacity`] names the number to raise.
    Capacity,
    /// The client, sender or receiver is closed, or the client's driver was dropped.
    Closed,
}

/// What a call that failed has done at the service.
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// # let client = world.client::<servicebus_core::storage::Heap>();
/// # use core::time::Duration;
/// use servicebus_core::client::ErrorOutcome;
///
/// let invoices = client.sender("invoices")?.timeout(Duration::from_secs(5));
/// # invoices.size_limits().await?;
/// # world.set_black_hole(true);
/// if let Err(error) = invoices.send("pay 100").await {
///     match error.outcome() {
///         ErrorOutcome::NotSent => eprintln!("not stored: {error}"),
///         _ => eprintln!("stored or not: {error}"),
///     }
///     # assert_eq!(error.outcome(), ErrorOutcome::Unknown);
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ErrorOutcome {
    /// Nothing: it was not sent, or the service refused it.
    NotSent,
    /// It may have been carried out: the answer was lost, or the service does not know itself.
    Unknown,
}

impl<S: Storage> Error<S> {
    /// An error of a call on an entity.
    #[cfg_attr(feature = "alloc", cold)]
    #[inline]
    pub(crate) fn new(failure: Failure<S>, entity: &dyn fmt::Display) -> Self {
        Self(S::Boxed::from(Details { failure, entity: S::Description::of(entity) }))
    }

    /// An error that belongs to no entity.
    pub(crate) fn of(failure: Failure<S>) -> Self {
        Self(S::Boxed::from(Details { failure, entity: S::Description::default() }))
    }

    /// An argument that is not valid, and why: for adapters.
    #[doc(hidden)]
    pub fn invalid(argument: Argument, why: &dyn fmt::Display) -> Self {
        Self::of(Failure::explained(Cause::Argument(argument), why))
    }

    pub(crate) fn failure(&self) -> &Failure<S> {
        &self.0.failure
    }

    /// What can be done about it.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # });
    /// ```
    pub fn kind(&self) -> ErrorKind {
        kind(self.failure().cause)
    }

    /// The service's reason, where the service refused: its AMQP condition, with the name that users of the official
    /// SDKs know ([`Reason::sdk_name`]).
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Reason;
    ///
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert_eq!(error.reason(), Some(Reason::EntityNotFound));
    /// # Ok(())
    /// # });
    /// ```
    pub fn reason(&self) -> Option<Reason> {
        self.failure().reason()
    }

    /// Whether the same call can succeed later. The client has tried as often as its retry policy allows.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert!(!error.is_transient()); // the queue has to be made first
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_transient(&self) -> bool {
        self.failure().is_transient()
    }

    /// Whether the call may have been carried out all the same, over all of its attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorOutcome;
    ///
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert_eq!(error.outcome(), ErrorOutcome::NotSent);
    /// # Ok(())
    /// # });
    /// ```
    pub fn outcome(&self) -> ErrorOutcome {
        if self.failure().uncertain { ErrorOutcome::Unknown } else { ErrorOutcome::NotSent }
    }

    /// The path of the queue, topic or subscription; `None` where there is none, and in fixed storage.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert_eq!(error.entity(), Some("ghosts"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn entity(&self) -> Option<&str> {
        Some(self.0.entity.as_ref()).filter(|entity| !entity.is_empty())
    }

    /// The words of the service, the transport or the credential; empty where there are none, and in fixed storage.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let error = client.sender("ghosts")?.send("boo").await.unwrap_err();
    /// assert!(error.description().starts_with("The messaging entity"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn description(&self) -> &str {
        self.failure().description.as_ref()
    }

    /// The argument that is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::{Argument, Message};
    ///
    /// let endless = Message::new("two of the blue ones").with_message_id("7".repeat(1_000));
    /// let error = client.sender("orders")?.send(&endless).await.unwrap_err();
    /// assert_eq!(error.argument(), Some(Argument::MessageId));
    /// # Ok(())
    /// # });
    /// ```
    pub fn argument(&self) -> Option<Argument> {
        match self.failure().cause {
            Cause::Argument(argument) => Some(argument),
            _ => None,
        }
    }

    /// What is full: a number of the limits, or of fixed storage.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// use servicebus_core::engine::Capacity;
    /// use servicebus_core::storage::Limits;
    ///
    /// let limits = Limits::default().with_links(4);
    /// # let settings = world.settings::<servicebus_core::storage::Heap>();
    /// # let client = world.client_with(settings.with_limits(limits));
    /// // With a client of these limits:
    /// let senders: Result<Vec<_>, _> = (0..100).map(|_| client.sender("orders")).collect();
    /// assert_eq!(senders.unwrap_err().capacity(), Some(Capacity::Links));
    /// # Ok(())
    /// # });
    /// ```
    pub fn capacity(&self) -> Option<Capacity> {
        match self.failure().cause {
            Cause::Engine(EngineError::NoCapacity(capacity)) => Some(capacity),
            _ => None,
        }
    }

    /// Whether the client takes no more calls, or the sender or receiver does not.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_end(&self) -> bool {
        self.failure().is_end()
    }
}

/// What can be done about a failure.
fn kind(cause: Cause) -> ErrorKind {
    match cause {
        Cause::Service(reason) => kind_of(reason),
        Cause::Connection(kind) => match kind {
            ConnectionErrorKind::NoMechanism | ConnectionErrorKind::Sasl(_) => ErrorKind::Unauthorized,
            ConnectionErrorKind::NotAmqp(_) | ConnectionErrorKind::UnexpectedProtocol => ErrorKind::Protocol,
            _ => ErrorKind::Disconnected,
        },
        Cause::Unreachable | Cause::LinkLost => ErrorKind::Disconnected,
        Cause::Engine(EngineError::Closed | EngineError::Detached) => ErrorKind::Disconnected,
        Cause::Credential => ErrorKind::Credential,
        Cause::NotAccepted(_) => ErrorKind::NotAccepted,
        Cause::Engine(EngineError::NoCapacity(Capacity::Message) | EngineError::MessageTooLarge) => ErrorKind::TooLarge,
        Cause::Engine(EngineError::NoCapacity(_)) => ErrorKind::Capacity,
        Cause::Engine(EngineError::IllegalState) | Cause::Argument(_) => ErrorKind::InvalidArgument,
        Cause::Timeout => ErrorKind::Timeout,
        Cause::Closed | Cause::DriverStopped => ErrorKind::Closed,
        Cause::Endless | Cause::Malformed => ErrorKind::Protocol,
        Cause::NotOffered(_) => ErrorKind::NotOffered,
    }
}

/// What can be done about a refusal.
fn kind_of(reason: Reason) -> ErrorKind {
    match reason {
        Reason::ServerBusy => ErrorKind::Throttled,
        Reason::Timeout | Reason::TransactionTimeout => ErrorKind::Timeout,
        Reason::InternalError | Reason::OperationCancelled | Reason::PartitionNotOwned => ErrorKind::Unavailable,
        Reason::DetachForced | Reason::ConnectionForced | Reason::LinkStolen => ErrorKind::Disconnected,
        Reason::AuthFailed | Reason::Unauthorized | Reason::PublisherRevoked => ErrorKind::Unauthorized,
        Reason::EntityNotFound | Reason::ResourceDeleted => ErrorKind::NotFound,
        Reason::MessageNotFound | Reason::SessionNotFound | Reason::TransactionUnknown => ErrorKind::NotFound,
        Reason::EntityAlreadyExists => ErrorKind::AlreadyExists,
        Reason::NotImplemented => ErrorKind::NotOffered,
        Reason::MessageSizeExceeded => ErrorKind::TooLarge,
        Reason::QuotaExceeded => ErrorKind::QuotaExceeded,
        Reason::MessageLockLost | Reason::StoreLockLost => ErrorKind::LockLost,
        Reason::SessionLockLost => ErrorKind::SessionLockLost,
        Reason::SessionCannotBeLocked => ErrorKind::SessionLocked,
        Reason::EntityDisabled
        | Reason::NotAllowed
        | Reason::ArgumentError
        | Reason::ArgumentOutOfRange
        | Reason::NoMatchingSubscription
        | Reason::PreconditionFailed
        | Reason::DecodeError
        | Reason::InvalidField
        | Reason::IllegalState
        | Reason::TransactionRollback
        | Reason::Other => ErrorKind::Rejected,
    }
}

/// A few words, for a log that has the kind as a field.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::NotAccepted => "not accepted",
            Self::LockLost => "lock lost",
            Self::SessionLockLost => "session lock lost",
            Self::SessionLocked => "session locked",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Unauthorized => "unauthorized",
            Self::Credential => "no token",
            Self::Throttled => "throttled",
            Self::QuotaExceeded => "quota exceeded",
            Self::TooLarge => "too large",
            Self::Timeout => "timed out",
            Self::Disconnected => "disconnected",
            Self::Unavailable => "unavailable",
            Self::Protocol => "not the service's protocol",
            Self::NotOffered => "not offered",
            Self::InvalidArgument => "invalid argument",
            Self::Capacity => "no capacity",
            Self::Closed => "closed",
        })
    }
}

impl fmt::Display for ErrorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::Unknown => "unknown",
        })
    }
}

impl<S: Storage> Clone for Error<S> {
    fn clone(&self) -> Self {
        let Details { failure, entity } = &*self.0;
        Self(S::Boxed::from(Details { failure: failure.clone(), entity: entity.clone() }))
    }
}

impl<S: Storage> fmt::Debug for Error<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("outcome", &self.outcome())
            .field("text", &format_args!("{self}"))
            .finish()
    }
}

impl<S: Storage> fmt::Display for Error<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entity) = self.entity() {
            write!(f, "{entity}: ")?;
        }
        self.failure().fmt(f)
    }
}

impl<S: Storage> core::error::Error for Error<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.failure().description.source()
    }
}

impl<S: Storage> From<InvalidMessage> for Error<S> {
    fn from(error: InvalidMessage) -> Self {
        Self::of(invalid(&error))
    }
}

impl<S: Storage> From<BatchError> for Error<S> {
    fn from(error: BatchError) -> Self {
        Self::of(not_added(&error))
    }
}

/// A message that was not added to a batch.
pub(super) fn not_added<S: Storage>(error: &BatchError) -> Failure<S> {
    match error {
        BatchError::Invalid(error) => invalid(error),
        error => Failure::explained(Cause::Engine(EngineError::MessageTooLarge), error),
    }
}

/// A message that is not valid.
pub(super) fn invalid<S: Storage>(error: &InvalidMessage) -> Failure<S> {
    Failure::new(Cause::Argument(match error {
        InvalidMessage::TooLong(argument) => *argument,
        InvalidMessage::PartitionKeyMismatch => Argument::PartitionKeyMismatch,
        InvalidMessage::TimeToLive => Argument::TimeToLive,
        InvalidMessage::ScheduledEnqueueTime => Argument::ScheduledEnqueueTime,
        InvalidMessage::PropertyTooLarge => Argument::ApplicationProperty,
        InvalidMessage::HeaderTooLarge => Argument::MessageHeader,
    }))
}

/// Something that could not be sent, and why.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// # use servicebus_core::client::ErrorKind;
/// let orders = client.sender("orders")?;
/// let mut batch = orders.create_batch().await?;
/// batch.try_add("two of the blue ones")?;
///
/// orders.close().await;
/// let unsent = orders.send_batch(batch).await.unwrap_err();
/// assert_eq!(unsent.error().kind(), ErrorKind::Closed);
///
/// let batch = unsent.into_inner();
/// client.sender("orders")?.send_batch(batch).await?;
/// # Ok(())
/// # });
/// ```
pub struct SendError<S: Storage, M> {
    error: Error<S>,
    value: M,
}

impl<S: Storage, M> SendError<S, M> {
    pub(crate) fn new(error: Error<S>, value: M) -> Self {
        Self { error, value }
    }

    /// Why it could not be sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # let orders = client.sender("orders")?;
    /// # let mut batch = orders.create_batch().await?;
    /// # batch.try_add("two of the blue ones")?;
    /// # orders.close().await;
    /// if let Err(unsent) = orders.send_batch(batch).await {
    ///     assert!(!unsent.error().is_transient());
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn error(&self) -> &Error<S> {
        &self.error
    }

    /// The unsent messages, to send them again.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # let orders = client.sender("orders")?;
    /// # let mut batch = orders.create_batch().await?;
    /// # batch.try_add("two of the blue ones")?;
    /// # orders.close().await;
    /// if let Err(unsent) = orders.send_batch(batch).await {
    ///     let batch = unsent.into_inner();
    ///     client.sender("orders")?.send_batch(batch).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn into_inner(self) -> M {
        self.value
    }

    /// Both.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # let orders = client.sender("orders")?;
    /// # let mut batch = orders.create_batch().await?;
    /// # batch.try_add("two of the blue ones")?;
    /// # orders.close().await;
    /// if let Err(unsent) = orders.send_batch(batch).await {
    ///     let (error, batch) = unsent.into_parts();
    ///     eprintln!("{} messages are left: {error}", batch.len());
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn into_parts(self) -> (Error<S>, M) {
        (self.error, self.value)
    }
}

impl<S: Storage, M> fmt::Debug for SendError<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<S: Storage, M> fmt::Display for SendError<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Transparent: text and source are those of the inner error.
impl<S: Storage, M> core::error::Error for SendError<S, M> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        core::error::Error::source(&self.error)
    }
}

impl<S: Storage, M> From<SendError<S, M>> for Error<S> {
    fn from(error: SendError<S, M>) -> Self {
        error.error
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use alloc::string::ToString;
    use core::error::Error as _;

    crate::fixed_storage! {
        pub(super) type Small { sessions: 1, links: 4, deliveries: 6, receive: 512, transmit: 512, message: 512 }
    }

    #[test]
    fn an_error_is_a_word() {
        assert_eq!(size_of::<Result<(), Error<Heap>>>(), size_of::<usize>());
        assert!(size_of::<Result<(), Error<Small>>>() <= 4);
        const fn crosses_threads<T: Send + Sync + 'static>() {}
        crosses_threads::<Error<Heap>>();
        crosses_threads::<SendError<Heap, ()>>();
    }

    #[test]
    fn the_text_is_one_line_that_names_the_entity() {
        let failure = Failure::<Heap>::described(Cause::Service(Reason::MessageLockLost), "The lock is gone.");
        let error = Error::new(failure, &"orders");
        assert_eq!(error.entity(), Some("orders"));
        assert_eq!(
            error.to_string(),
            "orders: the service refused: MessageLockLost (com.microsoft:message-lock-lost): The lock is gone."
        );
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::LockLost, ErrorOutcome::NotSent));
        let error = Error::<Small>::new(Failure::no_capacity(Capacity::Links), &"orders");
        assert_eq!(error.to_string(), "no capacity left: `links`");
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Capacity, None));
    }

    #[test]
    fn sources_are_kept_on_the_heap() {
        let source = core::num::ParseIntError::clone(&"x".parse::<u8>().unwrap_err());
        let error = Error::<Heap>::of(Failure::caused(Cause::Unreachable, source.clone()));
        let kept = error.source().and_then(|kept| kept.downcast_ref::<core::num::ParseIntError>());
        assert_eq!(kept, Some(&source));
        assert!(error.is_transient());
        // A call that times out meanwhile has the same source.
        let late = Error::<Heap>::of(Failure::after(Cause::Timeout, Some(error.failure())));
        assert!(late.source().is_some());
        assert!(SendError::new(late, 7).source().is_some());
        assert!(Error::<Small>::of(Failure::caused(Cause::Unreachable, source)).source().is_none());
    }

    /// After these the service does not know itself what it has done, or its answer cannot be read.
    #[test]
    fn what_an_answer_leaves_open_is_unknown() {
        let outcome = |failure: Failure<Heap>| Error::of(failure).outcome();
        for reason in Reason::ALL {
            let open =
                matches!(reason, Reason::Timeout | Reason::InternalError | Reason::OperationCancelled | Reason::Other);
            let wanted = if open { ErrorOutcome::Unknown } else { ErrorOutcome::NotSent };
            let cause = Cause::Service(*reason);
            assert_eq!(outcome(Failure::answered(cause)), wanted, "{reason}");
            assert_eq!(outcome(Failure::described(cause, "its words")), wanted, "{reason}");
        }
        for cause in [Cause::Malformed, Cause::Endless] {
            assert_eq!(outcome(Failure::answered(cause)), ErrorOutcome::Unknown, "{cause:?}");
        }
        assert_eq!(outcome(Failure::answered(Cause::Unreachable)), ErrorOutcome::NotSent);
    }

    #[test]
    fn every_reason_has_a_kind() {
        for reason in Reason::ALL {
            let error = Error::<Heap>::of(Failure::new(Cause::Service(*reason)));
            assert_eq!(error.reason(), Some(*reason));
            let rejected = error.kind() == ErrorKind::Rejected;
            assert!(!rejected || !reason.is_transient() || *reason == Reason::Other, "{reason}");
        }
    }
}
