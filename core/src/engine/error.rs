//! Errors of the engine, by whose fault they are: the caller's, the peer's, or a full table's.
//!
//! # Examples
//! ```
//! use servicebus_core::engine::{Capacity, ConnectionError, EngineError, Violation};
//!
//! let full = EngineError::NoCapacity(Capacity::Links);
//! assert_eq!(full.to_string(), "no capacity left: `links`");
//!
//! let broken = ConnectionError::Violation(Violation::HandleInUse);
//! assert_eq!(broken.to_string(), "the peer broke the protocol (amqp:session:handle-in-use)");
//! ```

use crate::wire::messaging::Outcome;
use crate::wire::sasl::SaslCode;
use crate::wire::{DecodeError, frame::FrameError};
use core::fmt;

/// AMQP's error conditions (AMQP 1.0 §2.8.15–§2.8.18).
///
/// # Examples
/// ```
/// use servicebus_core::engine::condition;
/// use servicebus_core::wire::performative::ErrorCondition;
///
/// fn is_worth_another_try(error: &ErrorCondition<'_>) -> bool {
///     matches!(error.condition.as_str(), condition::DETACH_FORCED | condition::CONNECTION_FORCED)
/// }
///
/// assert!(!is_worth_another_try(&ErrorCondition::new(condition::NOT_FOUND)));
/// ```
pub mod condition {
    /// An internal error.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::INTERNAL_ERROR).with_description("the disk is full");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const INTERNAL_ERROR: &str = "amqp:internal-error";
    /// Something that is not there.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::NOT_FOUND).with_description("no queue has this name");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const NOT_FOUND: &str = "amqp:not-found";
    /// Not permitted.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::UnauthorizedAccess.condition(), condition::UNAUTHORIZED_ACCESS);
    /// ```
    pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
    /// Data that cannot be decoded.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::DecodeError.condition(), condition::DECODE_ERROR);
    /// ```
    pub const DECODE_ERROR: &str = "amqp:decode-error";
    /// A limit of the peer's own resources.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::ResourceLimitExceeded.condition(), condition::RESOURCE_LIMIT_EXCEEDED);
    /// ```
    pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
    /// Not allowed in the present state.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::NotAllowed.condition(), condition::NOT_ALLOWED);
    /// ```
    pub const NOT_ALLOWED: &str = "amqp:not-allowed";
    /// A field with a value that is not allowed.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::InvalidField.condition(), condition::INVALID_FIELD);
    /// ```
    pub const INVALID_FIELD: &str = "amqp:invalid-field";
    /// Not supported.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::NOT_IMPLEMENTED).with_description("there is no such operation");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
    /// Something that another holds exclusively.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::RESOURCE_LOCKED).with_description("another has the session");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const RESOURCE_LOCKED: &str = "amqp:resource-locked";
    /// A condition that a request was tied to does not hold.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::PRECONDITION_FAILED).with_description("it is not the latest");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
    /// Something that was deleted while it was in use.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::RESOURCE_DELETED).with_description("the queue was deleted");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const RESOURCE_DELETED: &str = "amqp:resource-deleted";
    /// A frame that does not fit the state of the endpoint.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::IllegalState.condition(), condition::ILLEGAL_STATE);
    /// ```
    pub const ILLEGAL_STATE: &str = "amqp:illegal-state";
    /// Something that does not fit into the peer's frames.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::FRAME_SIZE_TOO_SMALL).with_description("the details are too long");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const FRAME_SIZE_TOO_SMALL: &str = "amqp:frame-size-too-small";
    /// A connection closed by force.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::ConnectionForced.condition(), condition::CONNECTION_FORCED);
    /// ```
    pub const CONNECTION_FORCED: &str = "amqp:connection:forced";
    /// Bytes that are no frame.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::FramingError.condition(), condition::FRAMING_ERROR);
    /// ```
    pub const FRAMING_ERROR: &str = "amqp:connection:framing-error";
    /// The container has moved to another address.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::CONNECTION_REDIRECT).with_description("the namespace has moved");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const CONNECTION_REDIRECT: &str = "amqp:connection:redirect";
    /// More transfers than the incoming window allows.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::WindowViolation.condition(), condition::WINDOW_VIOLATION);
    /// ```
    pub const WINDOW_VIOLATION: &str = "amqp:session:window-violation";
    /// A link that breaks the protocol again and again.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::ERRANT_LINK).with_description("the handle was detached");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const ERRANT_LINK: &str = "amqp:session:errant-link";
    /// A handle that is not attached.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::UnattachedHandle.condition(), condition::UNATTACHED_HANDLE);
    /// ```
    pub const UNATTACHED_HANDLE: &str = "amqp:session:unattached-handle";
    /// A handle that is attached already.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::HandleInUse.condition(), condition::HANDLE_IN_USE);
    /// ```
    pub const HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
    /// A link detached by force.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::DETACH_FORCED).with_description("the queue was moved");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const DETACH_FORCED: &str = "amqp:link:detach-forced";
    /// More deliveries than there was credit for.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::TransferLimitExceeded.condition(), condition::TRANSFER_LIMIT_EXCEEDED);
    /// ```
    pub const TRANSFER_LIMIT_EXCEEDED: &str = "amqp:link:transfer-limit-exceeded";
    /// A message larger than the link allows.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{Violation, condition};
    /// assert_eq!(Violation::MessageSizeExceeded.condition(), condition::MESSAGE_SIZE_EXCEEDED);
    /// ```
    pub const MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
    /// The node has moved to another address.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::LINK_REDIRECT).with_description("the queue has moved");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const LINK_REDIRECT: &str = "amqp:link:redirect";
    /// A link that another connection has taken over.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::{engine::condition, wire::performative::ErrorCondition};
    /// let error = ErrorCondition::new(condition::STOLEN).with_description("another connection has the link");
    /// # assert!(error.condition.as_str().starts_with("amqp:"));
    /// ```
    pub const STOLEN: &str = "amqp:link:stolen";
}

/// The tables and numbers that can run out; each names the knob to turn.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{Capacity, EngineError};
///
/// fn advice(error: EngineError) -> Option<&'static str> {
///     match error {
///         EngineError::NoCapacity(Capacity::Deliveries) => Some("settle what was received"),
///         EngineError::NoCapacity(capacity) => Some(capacity.knob()),
///         _ => None,
///     }
/// }
///
/// assert_eq!(advice(EngineError::NoCapacity(Capacity::Links)), Some("`links`"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Capacity {
    /// `sessions` of the storage, or the peer's channel-max.
    Sessions,
    /// `links` of the storage, or the peer's handle-max.
    Links,
    /// `session_receivers` of fixed storage.
    SessionReceivers,
    /// `deliveries` of the storage.
    Deliveries,
    /// `outbox` of the limits, or `transmit` of fixed storage.
    Outbox,
    /// `message` of fixed storage.
    Message,
}

impl Capacity {
    /// The name of the number to raise.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::Capacity;
    /// assert_eq!(Capacity::SessionReceivers.knob(), "`session_receivers`");
    /// ```
    pub const fn knob(self) -> &'static str {
        match self {
            Self::Sessions => "`sessions`",
            Self::Links => "`links`",
            Self::SessionReceivers => "`session_receivers`",
            Self::Deliveries => "`deliveries`",
            Self::Outbox => "`outbox` of the limits, or `transmit`",
            Self::Message => "`message`",
        }
    }
}

/// The number to raise.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.knob())
    }
}

macro_rules! violations {
    ($($(#[$meta:meta])* $variant:ident = $condition:ident,)*) => {
        /// A peer's violation of the protocol, with the error condition that reports it.
        ///
        /// # Examples
        /// ```
        /// use servicebus_core::engine::{Violation, condition};
        ///
        /// let text = match Violation::TransferLimitExceeded {
        ///     Violation::TransferLimitExceeded => "the sender had no credit left",
        ///     Violation::MessageSizeExceeded => "the message is too large",
        ///     violation => violation.condition(),
        /// };
        /// assert_eq!(text, "the sender had no credit left");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Violation { $($(#[$meta])* $variant,)* }

        impl Violation {
            /// AMQP's condition for it.
            ///
            /// # Examples
            /// ```
            /// # use servicebus_core::engine::Violation;
            /// assert_eq!(Violation::DecodeError.condition(), "amqp:decode-error");
            /// ```
            pub const fn condition(self) -> &'static str {
                const CONDITIONS: &[&str] = &[$(condition::$condition),*];
                CONDITIONS[self as usize]
            }
        }
    };
}

violations! {
    /// Something that the state of the endpoint does not allow.
    IllegalState = ILLEGAL_STATE,
    /// Bytes or numbers that no frame may have.
    FramingError = FRAMING_ERROR,
    /// What cannot be decoded.
    DecodeError = DECODE_ERROR,
    /// A field whose value is not allowed.
    InvalidField = INVALID_FIELD,
    /// Something that the peer's role does not allow.
    NotAllowed = NOT_ALLOWED,
    /// More than there is room for, or too long a silence.
    ResourceLimitExceeded = RESOURCE_LIMIT_EXCEEDED,
    /// More transfers than the window allows.
    WindowViolation = WINDOW_VIOLATION,
    /// A handle that is not attached.
    UnattachedHandle = UNATTACHED_HANDLE,
    /// A handle that is attached already.
    HandleInUse = HANDLE_IN_USE,
    /// More deliveries than there was credit for.
    TransferLimitExceeded = TRANSFER_LIMIT_EXCEEDED,
    /// A message larger than the link takes.
    MessageSizeExceeded = MESSAGE_SIZE_EXCEEDED,
    /// Credentials that were refused, or none that can be used.
    UnauthorizedAccess = UNAUTHORIZED_ACCESS,
    /// The connection was ended from the other side.
    ConnectionForced = CONNECTION_FORCED,
}

/// Why a verb could not be carried out.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_core::wire::performative::Role;
/// # use servicebus_simulation::{Linked, exchange, linked};
/// # use bytes::Bytes;
/// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
/// client.detach(link, true, None)?;
/// match client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default()) {
///     Ok(_) => println!("waits for credit"),
///     Err(EngineError::Detached) => println!("attach again"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EngineError {
    /// The connection is closing or closed.
    Closed,
    /// The session, link or delivery is gone; the id is stale.
    Detached,
    /// A table is full.
    NoCapacity(Capacity),
    /// The verb does not fit the link's role or state.
    IllegalState,
    /// The message exceeds what the peer accepts: see
    /// [`LinkStatus::peer_max_message_size`](super::LinkStatus::peer_max_message_size). So do the details of a
    /// settlement, which have to fit into one frame.
    MessageTooLarge,
}

impl EngineError {
    /// What it is in words, without its details.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Closed => "the connection is closed",
            Self::Detached => "the link or session is gone",
            Self::NoCapacity(_) => "no capacity left",
            Self::IllegalState => "not possible in this state",
            Self::MessageTooLarge => "the message is too large for the link",
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity(capacity) => write!(f, "{}: {}", self.words(), capacity.knob()),
            _ => f.write_str(self.words()),
        }
    }
}

impl core::error::Error for EngineError {}

/// Why a connection is over. Nothing that arrives afterwards is read.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{Config, Connection, ConnectionError};
/// # use servicebus_core::storage::{Buffer, Heap, Storage};
/// # use servicebus_core::time::Instant;
/// # use servicebus_core::wire::performative::Open;
/// # let mut client = Connection::<Heap>::client(Config::default(), Instant::ZERO, None, &Open::new("till-3"))?;
/// # let mut rx = Heap::rx(65_536);
/// # rx.spare()[..8].copy_from_slice(b"HTTP/1.1");
/// # rx.commit(8);
///
/// match client.handle_input(Instant::ZERO, &mut rx, &mut ()) {
///     Err(ConnectionError::Disconnected | ConnectionError::IdleTimeout) => println!("connect again"),
///     Err(error) => assert_eq!(error.to_string(), "the peer speaks HTTP, not AMQP"),
///     Ok(()) => {}
/// }
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer answered with something that is not AMQP 1.0: its first four bytes, or its header of another AMQP.
    /// `HTTP` and a TLS record (`16 03 …`) are the usual ones.
    NotAmqp([u8; 8]),
    /// The peer speaks another protocol layer than was asked for.
    UnexpectedProtocol,
    /// The server offers no mechanism that was asked for.
    NoMechanism,
    /// The server refused the credentials.
    Sasl(SaslCode),
    /// Bytes that are no frame.
    Frame(FrameError),
    /// A frame whose content cannot be decoded.
    Decode(DecodeError),
    /// A frame that does not fit the connection's state.
    Violation(Violation),
    /// The peer was silent for too long.
    IdleTimeout,
    /// The peer sent `close`.
    ClosedByPeer,
    /// The transport ended.
    Disconnected,
}

impl ConnectionError {
    /// The violation that is reported to the peer.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{ConnectionError, Violation};
    /// assert_eq!(ConnectionError::IdleTimeout.violation(), Violation::ResourceLimitExceeded);
    /// ```
    pub const fn violation(&self) -> Violation {
        match self {
            Self::NotAmqp(_) | Self::UnexpectedProtocol | Self::Frame(_) => Violation::FramingError,
            Self::NoMechanism | Self::Sasl(_) => Violation::UnauthorizedAccess,
            Self::Decode(_) => Violation::DecodeError,
            Self::Violation(violation) => *violation,
            Self::IdleTimeout => Violation::ResourceLimitExceeded,
            Self::ClosedByPeer | Self::Disconnected => Violation::ConnectionForced,
        }
    }

    /// The AMQP error condition that reports it to the peer.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{ConnectionError, condition};
    /// assert_eq!(ConnectionError::NoMechanism.condition(), condition::UNAUTHORIZED_ACCESS);
    /// ```
    pub const fn condition(&self) -> &'static str {
        self.violation().condition()
    }

    /// The same without its details.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::{ConnectionError, ConnectionErrorKind, Spoken};
    /// let error = ConnectionError::NotAmqp(*b"HTTP/1.1");
    /// assert_eq!(error.kind(), ConnectionErrorKind::NotAmqp(Spoken::Http));
    /// ```
    pub const fn kind(&self) -> ConnectionErrorKind {
        match self {
            Self::NotAmqp(sent) => ConnectionErrorKind::NotAmqp(Spoken::of(sent)),
            Self::UnexpectedProtocol => ConnectionErrorKind::UnexpectedProtocol,
            Self::NoMechanism => ConnectionErrorKind::NoMechanism,
            Self::Sasl(code) => ConnectionErrorKind::Sasl(*code),
            Self::Frame(_) => ConnectionErrorKind::Frame,
            Self::Decode(_) => ConnectionErrorKind::Decode,
            Self::Violation(_) => ConnectionErrorKind::Violation,
            Self::IdleTimeout => ConnectionErrorKind::IdleTimeout,
            Self::ClosedByPeer => ConnectionErrorKind::ClosedByPeer,
            Self::Disconnected => ConnectionErrorKind::Disconnected,
        }
    }

    /// What it is in words, without its details.
    pub(crate) const fn words(&self) -> &'static str {
        self.kind().words()
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAmqp(sent) if matches!(Spoken::of(sent), Spoken::Http | Spoken::Tls) => f.write_str(self.words()),
            Self::NotAmqp([a, b, c, d, 0, 0, 0, 0]) => write!(f, "{}; it sent {:02x?}", self.words(), [a, b, c, d]),
            Self::NotAmqp(header) => write!(f, "{}; its header is {header:02x?}", self.words()),
            Self::Sasl(code) => write!(f, "{} ({code:?})", self.words()),
            Self::Frame(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Violation(violation) => write!(f, "{} ({})", self.words(), violation.condition()),
            _ => f.write_str(self.words()),
        }
    }
}

/// Transparent where there is an inner error: text and source are its.
impl core::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Frame(error) => error.source(),
            Self::Decode(error) => error.source(),
            _ => None,
        }
    }
}

/// The kind of a [`ConnectionError`], for storage without room for its details.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{ConnectionError, ConnectionErrorKind};
///
/// let text = match ConnectionError::Disconnected.kind() {
///     ConnectionErrorKind::Sasl(_) | ConnectionErrorKind::NoMechanism => "look at the credentials",
///     ConnectionErrorKind::NotAmqp(_) => "look at the address",
///     _ => "connect again",
/// };
/// assert_eq!(text, "connect again");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectionErrorKind {
    /// The peer answered with something that is not AMQP 1.0.
    NotAmqp(Spoken),
    /// The peer speaks another protocol layer than was asked for.
    UnexpectedProtocol,
    /// The server offers no mechanism that was asked for.
    NoMechanism,
    /// The server refused the credentials.
    Sasl(SaslCode),
    /// Bytes that are no frame.
    Frame,
    /// A frame whose content cannot be decoded.
    Decode,
    /// A frame that does not fit the connection's state.
    Violation,
    /// The peer was silent for too long.
    IdleTimeout,
    /// The peer sent `close`.
    ClosedByPeer,
    /// The transport ended.
    Disconnected,
}

/// What a peer speaks instead of AMQP 1.0.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{ConnectionError, ConnectionErrorKind, Spoken};
///
/// let tls_alert = ConnectionError::NotAmqp([0x15, 3, 1, 0, 2, 2, 70, 0]);
/// let text = match tls_alert.kind() {
///     ConnectionErrorKind::NotAmqp(Spoken::Tls) => "the port takes TLS",
///     ConnectionErrorKind::NotAmqp(Spoken::Http) => "the port takes HTTP",
///     _ => "something else",
/// };
/// assert_eq!(text, "the port takes TLS");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Spoken {
    /// HTTP: a proxy, or a port of the management API.
    Http,
    /// TLS, where the connection was not to be encrypted.
    Tls,
    /// AMQP of another version.
    OtherAmqp,
    /// Nothing that is known here.
    Unknown,
}

impl Spoken {
    /// By the first bytes of what the peer sent.
    const fn of(sent: &[u8; 8]) -> Self {
        match sent {
            [b'H', b'T', b'T', b'P', ..] => Self::Http,
            [0x15 | 0x16, 3, ..] => Self::Tls,
            [b'A', b'M', b'Q', b'P', ..] => Self::OtherAmqp,
            _ => Self::Unknown,
        }
    }
}

impl ConnectionErrorKind {
    /// What it is in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::NotAmqp(Spoken::Http) => "the peer speaks HTTP, not AMQP",
            Self::NotAmqp(Spoken::Tls) => "the peer speaks TLS on a plain connection",
            Self::NotAmqp(Spoken::OtherAmqp) => "the peer speaks another AMQP",
            Self::NotAmqp(_) => "the peer does not speak AMQP",
            Self::UnexpectedProtocol => "the peer speaks another layer of AMQP than was asked for",
            Self::NoMechanism => "the server offers none of the SASL mechanisms that can be used",
            Self::Sasl(_) => "the server refused the credentials",
            Self::Frame => "the peer sent what is no frame",
            Self::Decode => "the peer sent what cannot be decoded",
            Self::Violation => "the peer broke the protocol",
            Self::IdleTimeout => "the peer was silent for too long",
            Self::ClosedByPeer => "the peer closed the connection",
            Self::Disconnected => "the transport ended",
        }
    }
}

impl From<DecodeError> for ConnectionError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<FrameError> for ConnectionError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// The kind of an outcome, without its details.
///
/// # Examples
/// ```
/// use servicebus_core::engine::OutcomeKind;
/// use servicebus_core::wire::messaging::Outcome;
///
/// let done = match OutcomeKind::from(&Outcome::Released) {
///     OutcomeKind::Accepted | OutcomeKind::Rejected => true,
///     OutcomeKind::Released | OutcomeKind::Modified => false,
/// };
/// assert!(!done);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OutcomeKind {
    /// `accepted`
    Accepted,
    /// `rejected`
    Rejected,
    /// `released`
    Released,
    /// `modified`
    Modified,
}

impl From<&Outcome<'_>> for OutcomeKind {
    fn from(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Accepted => Self::Accepted,
            Outcome::Rejected(_) => Self::Rejected,
            Outcome::Released => Self::Released,
            Outcome::Modified(_) => Self::Modified,
        }
    }
}
