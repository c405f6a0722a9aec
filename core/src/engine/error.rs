//! Errors of the engine, by whose fault they are: the caller's, the peer's, or a full table's.

use crate::wire::messaging::Outcome;
use crate::wire::sasl::SaslCode;
use crate::wire::{DecodeError, frame::FrameError};
use core::fmt;

/// AMQP's error conditions (AMQP 1.0 §2.8.15–§2.8.18).
pub mod condition {
    /// An internal error.
    pub const INTERNAL_ERROR: &str = "amqp:internal-error";
    /// Something that is not there.
    pub const NOT_FOUND: &str = "amqp:not-found";
    /// Not permitted.
    pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
    /// Data that cannot be decoded.
    pub const DECODE_ERROR: &str = "amqp:decode-error";
    /// A limit of the peer's own resources.
    pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
    /// Not allowed in the present state.
    pub const NOT_ALLOWED: &str = "amqp:not-allowed";
    /// A field with a value that is not allowed.
    pub const INVALID_FIELD: &str = "amqp:invalid-field";
    /// Not supported.
    pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
    /// Something that another holds exclusively.
    pub const RESOURCE_LOCKED: &str = "amqp:resource-locked";
    /// A condition that a request was tied to does not hold.
    pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
    /// Something that was deleted while it was in use.
    pub const RESOURCE_DELETED: &str = "amqp:resource-deleted";
    /// A frame that does not fit the state of the endpoint.
    pub const ILLEGAL_STATE: &str = "amqp:illegal-state";
    /// Something that does not fit into the peer's frames.
    pub const FRAME_SIZE_TOO_SMALL: &str = "amqp:frame-size-too-small";
    /// A connection closed by force.
    pub const CONNECTION_FORCED: &str = "amqp:connection:forced";
    /// Bytes that are no frame.
    pub const FRAMING_ERROR: &str = "amqp:connection:framing-error";
    /// The container has moved to another address.
    pub const CONNECTION_REDIRECT: &str = "amqp:connection:redirect";
    /// More transfers than the incoming window allows.
    pub const WINDOW_VIOLATION: &str = "amqp:session:window-violation";
    /// A link that breaks the protocol again and again.
    pub const ERRANT_LINK: &str = "amqp:session:errant-link";
    /// A handle that is not attached.
    pub const UNATTACHED_HANDLE: &str = "amqp:session:unattached-handle";
    /// A handle that is attached already.
    pub const HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
    /// A link detached by force.
    pub const DETACH_FORCED: &str = "amqp:link:detach-forced";
    /// More deliveries than there was credit for.
    pub const TRANSFER_LIMIT_EXCEEDED: &str = "amqp:link:transfer-limit-exceeded";
    /// A message larger than the link allows.
    pub const MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
    /// The node has moved to another address.
    pub const LINK_REDIRECT: &str = "amqp:link:redirect";
    /// A link that another connection has taken over.
    pub const STOLEN: &str = "amqp:link:stolen";
}

/// The tables and numbers that can run out; each names the knob to turn.
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

macro_rules! violations {
    ($($(#[$meta:meta])* $variant:ident = $condition:ident,)*) => {
        /// A peer's violation of the protocol, with the error condition that reports it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Violation { $($(#[$meta])* $variant,)* }

        impl Violation {
            /// AMQP's condition for it.
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
    pub const fn condition(&self) -> &'static str {
        self.violation().condition()
    }

    /// The same without its details.
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

impl core::error::Error for ConnectionError {}

/// The kind of a [`ConnectionError`], for storage without room for its details.
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
