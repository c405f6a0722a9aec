//! AMQP 1.0's type system as borrowed values (AMQP 1.0 §1.6).

use crate::time::Timestamp;
use core::fmt;

/// An ASCII name (AMQP 1.0 §1.6.21).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol<'a>(&'a str);

impl<'a> Symbol<'a> {
    /// A symbol of this text; characters outside ASCII are the caller's mistake and are sent as they are.
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The symbol's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.0)
    }
}

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A UUID in network order (AMQP 1.0 §1.6.18). As text it has its usual form, in lower case.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The text of a UUID: 32 hexadecimal digits in five groups.
#[derive(Clone, Copy, Debug)]
pub struct UuidText([u8; 36]);

impl UuidText {
    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Uuid {
    /// Its text.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn text(self) -> UuidText {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let digit = |four: u8| DIGITS.get(usize::from(four & 15)).copied().unwrap_or_default();
        let mut place = 0;
        for (number, byte) in self.0.into_iter().enumerate() {
            place += usize::from(matches!(number, 4 | 6 | 8 | 10));
            if let Some([high, low]) = text.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
                (*high, *low) = (digit(byte >> 4), digit(byte));
            }
            place += 2;
        }
        UuidText(text)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// Any AMQP value. Compound values are views that decode their items on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `boolean`
    Boolean(bool),
    /// `ubyte`
    Ubyte(u8),
    /// `ushort`
    Ushort(u16),
    /// `uint`
    Uint(u32),
    /// `ulong`
    Ulong(u64),
    /// `byte`
    Byte(i8),
    /// `short`
    Short(i16),
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `float`
    Float(f32),
    /// `double`
    Double(f64),
    /// `decimal32`, IEEE 754-2008 bytes in network order
    Decimal32([u8; 4]),
    /// `decimal64`
    Decimal64([u8; 8]),
    /// `decimal128`
    Decimal128([u8; 16]),
    /// `char`
    Char(char),
    /// `timestamp`
    Timestamp(Timestamp),
    /// `uuid`
    Uuid(Uuid),
    /// `binary`
    Binary(&'a [u8]),
    /// `string`
    String(&'a str),
    /// `symbol`
    Symbol(Symbol<'a>),
    /// `list`
    List(List<'a>),
    /// `map`
    Map(Map<'a>),
    /// `array`
    Array(Array<'a>),
    /// A described value (AMQP 1.0 §1.1.2).
    Described(Described<'a>),
}

impl<'a> Value<'a> {
    /// A symbol of this text: what names annotations.
    pub const fn symbol(text: &'a str) -> Self {
        Self::Symbol(Symbol::new(text))
    }

    /// Whether this is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string or symbol.
    pub const fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// Any integer type's value, when it fits. Peers disagree on widths (docs/evidence/wire-protocol.md §0 fact 10).
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::Ubyte(v) => i64::from(v),
            Self::Ushort(v) => i64::from(v),
            Self::Uint(v) => i64::from(v),
            Self::Ulong(v) => i64::try_from(v).ok()?,
            Self::Byte(v) => i64::from(v),
            Self::Short(v) => i64::from(v),
            Self::Int(v) => i64::from(v),
            Self::Long(v) => v,
            _ => return None,
        })
    }

    /// A binary's bytes.
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A timestamp's value.
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        match *self {
            Self::Timestamp(timestamp) => Some(timestamp),
            _ => None,
        }
    }
}

/// A list's items, decoded on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

impl List<'_> {
    /// How many items the list claims.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A map's entries, decoded on demand.
#[derive(Clone, Copy, PartialEq)]
pub struct Map<'a> {
    /// Keys and values together.
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

impl<'a> Map<'a> {
    /// The map without entries.
    pub const EMPTY: Self = Self { count: 0, items: &[] };

    /// The map of `entries` keys and values that lie encoded in `items`.
    pub const fn of_encoded(entries: u32, items: &'a [u8]) -> Self {
        Self { count: entries.saturating_mul(2), items }
    }

    /// How many entries the map claims.
    pub const fn len(&self) -> usize {
        self.count as usize / 2
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count < 2
    }
}

/// An array's items, decoded on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    pub(super) count: u32,
    pub(super) constructor: &'a [u8],
    pub(super) items: &'a [u8],
}

impl<'a> Array<'a> {
    /// No items.
    pub(super) const EMPTY: Self = Self { count: 0, constructor: &[], items: &[] };

    /// How many items the array claims.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A value with a descriptor.
#[derive(Clone, Copy, PartialEq)]
pub struct Described<'a> {
    /// The encoded descriptor.
    pub(super) descriptor: &'a [u8],
    /// The constructor of the value.
    pub(super) constructor: &'a [u8],
    /// The value behind its constructor.
    pub(super) payload: &'a [u8],
}
