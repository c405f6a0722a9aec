//! What can be wrong with encoded bytes.

use super::definition::Definition;
use super::descriptor;
use core::fmt;

/// Why bytes are not the AMQP value that was asked for. A word in size, since everything that is decoded may carry one.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{DecodeError, Reader};
///
/// let wanted = match Reader::new(b"\x54\x07").read::<&str>() {
///     Ok(queue) => queue,
///     Err(DecodeError::Truncated) => "more bytes",
///     Err(DecodeError::UnexpectedType { expected, .. }) => expected.as_str(),
///     Err(_) => "other bytes",
/// };
/// assert_eq!(wanted, "string");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// The value needs more bytes than there are, or a compound's items end beyond its size.
    Truncated,
    /// No type has this format code (AMQP 1.0 §1.6).
    UnknownFormatCode(u8),
    /// The value is of another type; `found` is its format code.
    UnexpectedType {
        /// What was asked for.
        expected: Expected,
        /// The format code that was there.
        found: u8,
    },
    /// A string that is not UTF-8, a symbol that is not ASCII, or a char that is no Unicode scalar value.
    InvalidText,
    /// A descriptor that names another type, or none that is known here.
    UnexpectedDescriptor {
        /// What was asked for.
        expected: Expected,
        /// The descriptor's code; zero when it is none of AMQP's own, which are all below 256.
        found: u8,
    },
    /// A mandatory field is absent or null.
    MissingField(FieldName),
    /// Values are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A count that its bytes cannot hold, a map with an odd number of items, or an array of more zero-width items
    /// than this library is willing to walk.
    InvalidCount,
    /// A value outside what its type allows.
    InvalidField(Expected),
    /// A section of a message that is repeated, out of place or unknown; the descriptor's code.
    InvalidSection(u8),
}

macro_rules! expected {
    ($($variant:ident = $name:literal,)*) => {
        /// What was asked for when something else was there.
        ///
        /// # Examples
        /// ```
        /// use servicebus_core::wire::{DecodeError, Expected, Reader};
        ///
        /// let read: Result<u32, _> = Reader::new(b"\x40").read();
        /// assert_eq!(read, Err(DecodeError::UnexpectedType { expected: Expected::Uint, found: 0x40 }));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Expected {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// The composite type with this descriptor.
            Composite(u8),
        }

        impl Expected {
            /// Its name in the specification.
            ///
            /// # Examples
            /// ```
            /// # use servicebus_core::wire::Expected;
            /// assert_eq!(Expected::MessageId.as_str(), "message-id");
            /// assert_eq!(Expected::Composite(0x10).as_str(), "amqp:open:list");
            /// ```
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Composite(code) => descriptor::name_of(code),
                }
            }
        }
    };
}

expected! {
    Boolean = "boolean",
    Ubyte = "ubyte",
    Ushort = "ushort",
    Uint = "uint",
    Ulong = "ulong",
    Byte = "byte",
    Short = "short",
    Int = "int",
    Long = "long",
    Float = "float",
    Double = "double",
    Char = "char",
    Timestamp = "timestamp",
    Uuid = "uuid",
    Binary = "binary",
    String = "string",
    Symbol = "symbol",
    List = "list",
    Map = "map",
    Array = "array",
    Described = "described value",
    Descriptor = "descriptor",
    Performative = "performative",
    SaslFrame = "SASL frame",
    Target = "target",
    DeliveryState = "delivery-state",
    Outcome = "outcome",
    MessageId = "message-id",
    MessageSection = "message section",
    Role = "role",
    SenderSettleMode = "snd-settle-mode",
    ReceiverSettleMode = "rcv-settle-mode",
    TerminusDurability = "terminus-durability",
    SaslCode = "sasl-code",
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names a field of a composite type.
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::Open;
/// use servicebus_core::wire::{Composite, DecodeError, FieldName, Reader};
///
/// let without_fields = [0x00, 0x53, 0x10, 0x45];
/// let container_id = FieldName::of(&Open::DEFINITION, 0);
/// assert_eq!(Reader::new(&without_fields).read::<Open<'_>>(), Err(DecodeError::MissingField(container_id)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldName {
    pub(super) composite: u8,
    pub(super) index: u8,
}

impl FieldName {
    /// The field at this place of the composite type with this descriptor.
    pub(super) const fn new(composite: u8, index: u8) -> Self {
        Self { composite, index }
    }

    /// The field at this place of a composite type.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Composite, FieldName, performative::Attach};
    /// assert_eq!(FieldName::of(&Attach::DEFINITION, 2).to_string(), "role");
    /// ```
    pub const fn of(definition: &Definition, index: usize) -> Self {
        // Neither goes beyond a byte.
        Self::new(definition.code as u8, index as u8)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("encoded value is cut short"),
            Self::UnknownFormatCode(code) => write!(f, "unknown format code {code:#04x}"),
            Self::UnexpectedType { expected, found } => {
                write!(f, "expected {expected}, found format code {found:#04x}")
            }
            Self::InvalidText => f.write_str("text is not valid for its type"),
            Self::UnexpectedDescriptor { expected, found } => {
                write!(f, "expected {expected}, found descriptor {found:#x}")
            }
            Self::MissingField(name) => write!(f, "mandatory field {name} is missing"),
            Self::TooDeep => f.write_str("values are nested too deeply"),
            Self::InvalidCount => f.write_str("item count does not fit the encoded size"),
            Self::InvalidField(expected) => write!(f, "{expected} has a value that is not allowed"),
            Self::InvalidSection(code) => write!(f, "message section {code:#x} is unknown, repeated or out of place"),
        }
    }
}

impl core::error::Error for DecodeError {}
