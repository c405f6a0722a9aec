//! Termini, outcomes and message sections that are lists (AMQP 1.0 §3).
//!
//! # Examples
//! ```
//! use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome};
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let failed = Modified { delivery_failed: Some(true), undeliverable_here: None, message_annotations: None };
//! let bytes = to_vec(&DeliveryState::Outcome(Outcome::Modified(failed)));
//! match Reader::new(&bytes).read()? {
//!     DeliveryState::Outcome(Outcome::Modified(modified)) => assert_eq!(modified.delivery_failed, Some(true)),
//!     other => panic!("not what was sent: {other:?}"),
//! }
//! # Ok::<(), servicebus_core::wire::DecodeError>(())
//! ```

use super::composite::{FromFields, put_descriptor};
use super::{Decode, Decoder, Encode, Expected, Fields, Map, Multiple, Sink, Symbol, Uuid, Value};
use crate::time::Timestamp;
use crate::wire::transaction::{Declared, TransactionalState};
use core::fmt;

pub use super::outcome::{Accepted, Modified, Outcome, Received, Rejected, Released};

composite! {
    /// Transport headers of a message (AMQP 1.0 §3.2.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::Header;
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let bytes = to_vec(&Header { durable: Some(true), ttl: Some(60_000), ..Header::EMPTY });
    /// let header: Header = Reader::new(&bytes).read()?;
    /// assert_eq!((header.ttl, header.priority), (Some(60_000), None));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    Header = 0x70 "amqp:header:list" {
        /// Whether the message survives a broker's restart.
        durable: bool [optional],
        /// Relative priority, 4 when absent.
        priority: u8 [optional],
        /// Time to live in milliseconds.
        ttl: u32 [optional],
        /// Whether no receiver has acquired the message before.
        first_acquirer: bool [optional],
        /// Earlier deliveries that failed.
        delivery_count: u32 [optional],
    }

    /// Immutable properties of a message (AMQP 1.0 §3.2.4).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{MessageId, Properties};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let message_id = Some(MessageId::String("order-7"));
    /// let bytes = to_vec(&Properties { message_id, subject: Some("order"), ..Properties::EMPTY });
    ///
    /// let mut properties: View<'_, Properties<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((properties.message_id(), properties.to()), (message_id, None));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    Properties<'a> = 0x73 "amqp:properties:list" {
        /// Identifies the message.
        message_id: MessageId<'a> [optional],
        /// Who made the message.
        user_id: &'a [u8] [optional],
        /// Where the message is meant to go.
        to: &'a str [optional],
        /// What the message is about.
        subject: &'a str [optional],
        /// Where to send replies.
        reply_to: &'a str [optional],
        /// The message this one answers.
        correlation_id: MessageId<'a> [optional],
        /// MIME type of the body.
        content_type: Symbol<'a> [optional],
        /// MIME encoding of the body.
        content_encoding: Symbol<'a> [optional],
        /// When the message expires.
        absolute_expiry_time: Timestamp [optional],
        /// When the message was made.
        creation_time: Timestamp [optional],
        /// The group: Service Bus's session id.
        group_id: &'a str [optional],
        /// Position in the group.
        group_sequence: u32 [optional],
        /// The group that replies belong to.
        reply_to_group_id: &'a str [optional],
    }

    /// Where messages of a link come from (AMQP 1.0 §3.5.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::Source;
    /// use servicebus_core::wire::{Reader, Value, encode_map, to_vec};
    ///
    /// let mut memory = [0; 64];
    /// let session = encode_map(&[(Value::symbol("com.microsoft:session-filter"), "customer-7".into())], &mut memory)?;
    /// let bytes = to_vec(&Source { filter: Some(session), ..Source::new(Some("jobs")) });
    ///
    /// let source: Source<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!((source.address, source.filter), (Some(Value::String("jobs")), Some(session)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Source<'a> = 0x28 "amqp:source:list" {
        /// The node's address.
        address: Value<'a> [optional],
        /// What survives of the terminus.
        durable: TerminusDurability [default "none" = TerminusDurability::None],
        /// When the terminus expires.
        expiry_policy: Symbol<'a> [default "session-end" = Symbol::new(expiry_policy::SESSION_END)],
        /// Seconds until it expires.
        timeout: u32 [default "0" = 0],
        /// Whether the peer creates the node.
        dynamic: bool [default "false" = false],
        /// Properties of a dynamic node.
        dynamic_node_properties: Map<'a> [optional],
        /// How messages are distributed.
        distribution_mode: Symbol<'a> [optional],
        /// Filters; Service Bus keeps the session here.
        filter: Map<'a> [optional],
        /// The outcome of deliveries that end without one.
        default_outcome: Value<'a> [optional],
        /// Outcomes that can be chosen.
        outcomes: Multiple<'a> [optional],
        /// Extensions.
        capabilities: Multiple<'a> [optional],
    }

    /// Where messages of a link go (AMQP 1.0 §3.5.4).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::Target;
    /// use servicebus_core::wire::{Reader, Value, View, to_vec};
    ///
    /// let bytes = to_vec(&Target::new(Some("orders")));
    /// let mut target: View<'_, Target<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((target.address(), target.dynamic()), (Some(Value::String("orders")), false));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Target<'a> = 0x29 "amqp:target:list" {
        /// The node's address.
        address: Value<'a> [optional],
        /// What survives of the terminus.
        durable: TerminusDurability [default "none" = TerminusDurability::None],
        /// When the terminus expires.
        expiry_policy: Symbol<'a> [default "session-end" = Symbol::new(expiry_policy::SESSION_END)],
        /// Seconds until it expires.
        timeout: u32 [default "0" = 0],
        /// Whether the peer creates the node.
        dynamic: bool [default "false" = false],
        /// Properties of a dynamic node.
        dynamic_node_properties: Map<'a> [optional],
        /// Extensions.
        capabilities: Multiple<'a> [optional],
    }

    /// A dynamic node goes when its link closes (AMQP 1.0 §3.5.10).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{DeleteOnClose, Target};
    /// use servicebus_core::wire::{Reader, Value, encode_map, to_vec};
    ///
    /// let policy = to_vec(&DeleteOnClose {});
    /// let policy = Reader::new(&policy).value()?;
    /// let mut memory = [0; 64];
    /// let properties = encode_map(&[(Value::symbol("lifetime-policy"), policy)], &mut memory)?;
    /// let replies = Target { dynamic: true, dynamic_node_properties: Some(properties), ..Target::new(None) };
    /// assert!(replies.dynamic);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug)]
    DeleteOnClose = 0x2b "amqp:delete-on-close:list" {}

    /// A dynamic node goes when it has no links (AMQP 1.0 §3.5.11).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Described, Reader, messaging::DeleteOnNoLinks, to_vec};
    /// let policy = to_vec(&DeleteOnNoLinks {});
    /// let policy: Described<'_> = Reader::new(&policy).read()?;
    /// assert_eq!(policy.code(), Some(0x2c));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    DeleteOnNoLinks = 0x2c "amqp:delete-on-no-links:list" {}

    /// A dynamic node goes when it has no messages (AMQP 1.0 §3.5.12).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Described, Reader, messaging::DeleteOnNoMessages, to_vec};
    /// let policy = to_vec(&DeleteOnNoMessages {});
    /// let policy: Described<'_> = Reader::new(&policy).read()?;
    /// assert_eq!(policy.code(), Some(0x2d));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    DeleteOnNoMessages = 0x2d "amqp:delete-on-no-messages:list" {}

    /// A dynamic node goes when it has neither links nor messages (AMQP 1.0 §3.5.13).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Described, Reader, messaging::DeleteOnNoLinksOrMessages, to_vec};
    /// let policy = to_vec(&DeleteOnNoLinksOrMessages {});
    /// let policy: Described<'_> = Reader::new(&policy).read()?;
    /// assert_eq!(policy.code(), Some(0x2e));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    DeleteOnNoLinksOrMessages = 0x2e "amqp:delete-on-no-links-or-messages:list" {}
}

choice! {
    /// What survives of a terminus (AMQP 1.0 §3.5.5).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{Source, TerminusDurability};
    ///
    /// let kept = match Source::new(Some("orders")).durable {
    ///     TerminusDurability::None => "nothing",
    ///     TerminusDurability::Configuration => "the terminus",
    ///     TerminusDurability::UnsettledState => "the terminus and its unsettled deliveries",
    /// };
    /// assert_eq!(kept, "nothing");
    /// ```
    TerminusDurability: u32 {
        /// Nothing.
        None = 0,
        /// The configuration.
        Configuration = 1,
        /// The configuration and the unsettled state.
        UnsettledState = 2,
    }
}

/// When a terminus expires (AMQP 1.0 §3.5.6).
///
/// # Examples
/// ```
/// use servicebus_core::wire::Symbol;
/// use servicebus_core::wire::messaging::{Source, expiry_policy};
///
/// let source = Source { expiry_policy: Symbol::new(expiry_policy::NEVER), ..Source::new(Some("events")) };
/// assert_eq!(source.expiry_policy.as_str(), "never");
/// ```
pub mod expiry_policy {
    /// With its link.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, messaging::{Target, expiry_policy}};
    /// let kept = Target { expiry_policy: Symbol::new(expiry_policy::LINK_DETACH), ..Target::new(None) };
    /// assert_ne!(kept, Target::new(None));
    /// ```
    pub const LINK_DETACH: &str = "link-detach";
    /// With its session.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::{Source, expiry_policy};
    /// assert_eq!(Source::new(Some("orders")).expiry_policy.as_str(), expiry_policy::SESSION_END);
    /// ```
    pub const SESSION_END: &str = "session-end";
    /// With its connection.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, messaging::{Source, expiry_policy}};
    /// let kept = Source { expiry_policy: Symbol::new(expiry_policy::CONNECTION_CLOSE), ..Source::new(None) };
    /// assert_ne!(kept, Source::new(None));
    /// ```
    pub const CONNECTION_CLOSE: &str = "connection-close";
    /// Never.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, messaging::{Source, expiry_policy}};
    /// let kept = Source { expiry_policy: Symbol::new(expiry_policy::NEVER), ..Source::new(None) };
    /// assert_ne!(kept, Source::new(None));
    /// ```
    pub const NEVER: &str = "never";
}

/// What happens to messages that are sent to a link (AMQP 1.0 §3.5.7).
///
/// # Examples
/// ```
/// use servicebus_core::wire::Symbol;
/// use servicebus_core::wire::messaging::{Source, distribution_mode};
///
/// let distribution_mode = Some(Symbol::new(distribution_mode::COPY));
/// let browser = Source { distribution_mode, ..Source::new(Some("orders")) };
/// assert_eq!(browser.distribution_mode.map(Symbol::as_str), Some("copy"));
/// ```
pub mod distribution_mode {
    /// They are no longer there for other links.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, messaging::{Source, distribution_mode}};
    /// let mode = Some(Symbol::new(distribution_mode::MOVE));
    /// let consumer = Source { distribution_mode: mode, ..Source::new(Some("orders")) };
    /// # assert_eq!(consumer.distribution_mode, mode);
    /// ```
    pub const MOVE: &str = "move";
    /// They stay there for other links.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, messaging::{Source, distribution_mode}};
    /// let mode = Some(Symbol::new(distribution_mode::COPY));
    /// let browser = Source { distribution_mode: mode, ..Source::new(Some("orders")) };
    /// # assert_eq!(browser.distribution_mode, mode);
    /// ```
    pub const COPY: &str = "copy";
}

impl<'a> Source<'a> {
    /// A source with this address and every other field at its default.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, messaging::Source};
    /// let source = Source::new(Some("orders/$DeadLetterQueue"));
    /// assert_eq!(source.address, Some(Value::String("orders/$DeadLetterQueue")));
    /// assert_eq!(source.filter, None);
    /// ```
    pub const fn new(address: Option<&'a str>) -> Self {
        Self {
            address: match address {
                Some(address) => Some(Value::String(address)),
                None => None,
            },
            durable: TerminusDurability::None,
            expiry_policy: Symbol::new(expiry_policy::SESSION_END),
            timeout: 0,
            dynamic: false,
            dynamic_node_properties: None,
            distribution_mode: None,
            filter: None,
            default_outcome: None,
            outcomes: None,
            capabilities: None,
        }
    }
}

impl<'a> Target<'a> {
    /// A target with this address and every other field at its default.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, messaging::Target};
    /// assert_eq!(Target::new(Some("orders")).address, Some(Value::String("orders")));
    /// assert_eq!(Target::new(None).address, None);
    /// ```
    pub const fn new(address: Option<&'a str>) -> Self {
        Self {
            address: match address {
                Some(address) => Some(Value::String(address)),
                None => None,
            },
            durable: TerminusDurability::None,
            expiry_policy: Symbol::new(expiry_policy::SESSION_END),
            timeout: 0,
            dynamic: false,
            dynamic_node_properties: None,
            capabilities: None,
        }
    }
}

impl Header {
    /// A header without any field.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::Header;
    /// let urgent = Header { priority: Some(9), ..Header::EMPTY };
    /// assert_eq!(urgent.durable, None);
    /// ```
    pub const EMPTY: Self =
        Self { durable: None, priority: None, ttl: None, first_acquirer: None, delivery_count: None };
}

impl Properties<'_> {
    /// Properties without any field.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::Properties;
    /// let order = Properties { subject: Some("order"), ..Properties::EMPTY };
    /// assert_eq!(order.message_id, None);
    /// ```
    pub const EMPTY: Self = Self {
        message_id: None,
        user_id: None,
        to: None,
        subject: None,
        reply_to: None,
        correlation_id: None,
        content_type: None,
        content_encoding: None,
        absolute_expiry_time: None,
        creation_time: None,
        group_id: None,
        group_sequence: None,
        reply_to_group_id: None,
    };
}

/// A message or correlation id in one of its four types (AMQP 1.0 §3.2.11–§3.2.14).
///
/// # Examples
/// ```
/// use servicebus_core::servicebus::MessageId;
///
/// let text = match MessageId::from(7) {
///     MessageId::String(text) => text.to_owned(),
///     MessageId::Ulong(number) => format!("order-{number}"),
///     id @ (MessageId::Uuid(_) | MessageId::Binary(_)) => id.to_string(),
/// };
/// assert_eq!(text, "order-7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageId<'a> {
    /// A number.
    Ulong(u64),
    /// A UUID.
    Uuid(Uuid),
    /// Bytes.
    Binary(&'a [u8]),
    /// Text: what every SDK sends.
    String(&'a str),
}

impl<'a> MessageId<'a> {
    /// The id, when it is text.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::servicebus::MessageId;
    /// assert_eq!(MessageId::from("order-7").as_str(), Some("order-7"));
    /// assert_eq!(MessageId::from(7).as_str(), None);
    /// ```
    pub const fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq<str> for MessageId<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for MessageId<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(other)
    }
}

/// Text as it is, numbers in decimal, UUIDs in their usual form, bytes in hexadecimal digits.
impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ulong(number) => number.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Binary(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::String(text) => f.write_str(text),
        }
    }
}

macro_rules! message_id_from {
    ($($type:ty => $variant:ident),* $(,)?) => { $(
        impl<'a> From<$type> for MessageId<'a> {
            fn from(id: $type) -> Self {
                Self::$variant(id)
            }
        }
    )* };
}

message_id_from! { &'a str => String, &'a [u8] => Binary, u64 => Ulong, Uuid => Uuid }

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::string::String> for MessageId<'a> {
    fn from(id: &'a alloc::string::String) -> Self {
        Self::String(id)
    }
}

impl Encode for MessageId<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Ulong(v) => v.encode(sink),
            Self::Uuid(v) => v.encode(sink),
            Self::Binary(v) => v.encode(sink),
            Self::String(v) => v.encode(sink),
        }
    }
}

impl<'a> Decode<'a> for MessageId<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let found = decoder.peek()?;
        Some(match decoder.value()? {
            Value::Ulong(v) => Self::Ulong(v),
            Value::Uuid(v) => Self::Uuid(v),
            Value::Binary(v) => Self::Binary(v),
            Value::String(v) => Self::String(v),
            _ => return decoder.unexpected(Expected::MessageId, found),
        })
    }
}

/// The state of a delivery: an outcome, or something on the way to one.
///
/// # Examples
/// ```
/// use servicebus_core::wire::messaging::{DeliveryState, Outcome};
///
/// fn is_final(state: &DeliveryState<'_>) -> bool {
///     match state {
///         DeliveryState::Outcome(_) | DeliveryState::Declared(_) => true,
///         DeliveryState::Received(_) | DeliveryState::Transactional(_) => false,
///     }
/// }
///
/// assert!(is_final(&DeliveryState::Outcome(Outcome::Released)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeliveryState<'a> {
    /// How much has been received.
    Received(Received),
    /// How it ended.
    Outcome(Outcome<'a>),
    /// A transaction was declared.
    Declared(Declared<'a>),
    /// A state under a transaction.
    Transactional(TransactionalState<'a>),
}

impl DeliveryState<'_> {
    /// `accepted`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::{DeliveryState, Outcome};
    /// assert_eq!(DeliveryState::ACCEPTED, DeliveryState::Outcome(Outcome::Accepted));
    /// ```
    pub const ACCEPTED: Self = Self::Outcome(Outcome::Accepted);
    /// `released`
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::{DeliveryState, Outcome};
    /// assert_eq!(DeliveryState::RELEASED, DeliveryState::Outcome(Outcome::Released));
    /// ```
    pub const RELEASED: Self = Self::Outcome(Outcome::Released);
}

impl Encode for DeliveryState<'_> {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Received(v) => v.encode(sink),
            Self::Outcome(v) => v.encode(sink),
            Self::Declared(v) => v.encode(sink),
            Self::Transactional(v) => v.encode(sink),
        }
    }
}

impl<'a> Decode<'a> for DeliveryState<'a> {
    // Once: inlined, it would be in each of its two callers, and an outcome has as many bytes of code as a state.
    #[inline(never)]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = decoder.descriptor(Expected::DeliveryState)?;
        let mut fields = Fields::list(decoder, code)?;
        let state = match code {
            0x23 => Self::Received(FromFields::from_fields(&mut fields)),
            0x24 => Self::ACCEPTED,
            0x25 => Self::Outcome(Outcome::Rejected(FromFields::from_fields(&mut fields))),
            0x26 => Self::RELEASED,
            0x27 => Self::Outcome(Outcome::Modified(FromFields::from_fields(&mut fields))),
            0x33 => Self::Declared(FromFields::from_fields(&mut fields)),
            0x34 => Self::Transactional(FromFields::from_fields(&mut fields)),
            found => return decoder.unexpected_descriptor(Expected::DeliveryState, found),
        };
        match fields.check() {
            Ok(()) => Some(state),
            Err(error) => decoder.fail(error),
        }
    }
}

impl<'a> Decode<'a> for Outcome<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        match decoder.read()? {
            DeliveryState::Outcome(outcome) => Some(outcome),
            _ => decoder.invalid(Expected::Outcome),
        }
    }
}

/// Writes the descriptor of a message section; its value follows.
///
/// # Examples
/// ```
/// use servicebus_core::wire::message::section;
/// use servicebus_core::wire::messaging::put_section;
/// use servicebus_core::wire::{Encode, Sink};
///
/// let mut message = Vec::new();
/// let mut sink = Sink::from(&mut message);
/// put_section(&mut sink, section::AMQP_VALUE);
/// "blue".encode(&mut sink);
/// assert_eq!(message, b"\x00\x53\x77\xa1\x04blue");
/// ```
#[cfg_attr(feature = "alloc", inline(always))]
pub fn put_section(sink: &mut Sink<'_>, code: u8) {
    put_descriptor(sink, code);
}
