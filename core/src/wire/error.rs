//! What can be wrong with encoded bytes.

use core::fmt;

/// Why bytes are not the AMQP value that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value needs more bytes than there are, or a compound's items end beyond its size.
    Truncated,
    /// No type has this format code (AMQP 1.0 §1.6).
    UnknownFormatCode(u8),
    /// The value is of another type; `found` is its format code.
    UnexpectedType {
        /// What was asked for.
        expected: &'static str,
        /// The format code that was there.
        found: u8,
    },
    /// A string that is not UTF-8, a symbol that is not ASCII, or a char that is no Unicode scalar value.
    InvalidText,
    /// A descriptor that names another type, or none that is known here.
    UnexpectedDescriptor {
        /// What was asked for.
        expected: &'static str,
        /// The descriptor's code; zero when it was symbolic and not known.
        found: u64,
    },
    /// A mandatory field is absent or null; the field's name.
    MissingField(&'static str),
    /// Values are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A count that its bytes cannot hold, a map with an odd number of items, or an array of more zero-width items
    /// than this library is willing to walk.
    InvalidCount,
    /// A value outside what its field allows; the field's name.
    InvalidField(&'static str),
    /// A section of a message that is repeated, out of place or unknown; the descriptor's code.
    InvalidSection(u64),
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
            Self::InvalidField(name) => write!(f, "field {name} has a value that is not allowed"),
            Self::InvalidSection(code) => write!(f, "message section {code:#x} is unknown, repeated or out of place"),
        }
    }
}

impl core::error::Error for DecodeError {}
