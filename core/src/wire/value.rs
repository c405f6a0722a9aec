//! AMQP 1.0's type system as borrowed values (AMQP 1.0 §1.6).

use super::uuid::Uuid;
use crate::time::Timestamp;
use core::fmt;

/// An ASCII name (AMQP 1.0 §1.6.21).
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Reader, Symbol, to_vec};
///
/// let bytes = to_vec(&Symbol::new("ANONYMOUS"));
/// let mechanism: Symbol<'_> = Reader::new(&bytes).read()?;
/// assert_eq!(mechanism.to_string(), "ANONYMOUS");
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol<'a>(&'a str);

impl<'a> Symbol<'a> {
    /// A symbol of this text; characters outside ASCII are the caller's mistake and are sent as they are.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Symbol, Value};
    /// const PRODUCT: Symbol<'static> = Symbol::new("product");
    /// assert_eq!(Value::from(PRODUCT), Value::symbol("product"));
    /// ```
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The symbol's text.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Symbol;
    /// assert_eq!(Symbol::new("product").as_str(), "product");
    /// ```
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

/// Any AMQP value. Compound values are views that decode their items on demand.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Reader, Value};
///
/// let quantity = match Reader::new(b"\x55\x0c").value()? {
///     Value::Int(number) => i64::from(number),
///     Value::Long(number) => number,
///     other => panic!("no quantity: {other}"),
/// };
/// assert_eq!(quantity, 12);
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::symbol("product").to_string(), "product");
    /// assert_ne!(Value::symbol("product"), Value::String("product"));
    /// ```
    pub const fn symbol(text: &'a str) -> Self {
        Self::Symbol(Symbol::new(text))
    }

    /// Whether this is `null`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert!(Value::from(None::<u32>).is_null());
    /// ```
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string or symbol.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::symbol("red").as_str(), Some("red"));
    /// assert_eq!(Value::Int(3).as_str(), None);
    /// ```
    pub const fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// Any integer type's value, when it fits. Peers disagree on widths.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Ubyte(3).as_i64(), Some(3));
    /// assert_eq!(Value::Ulong(u64::MAX).as_i64(), None);
    /// ```
    // docs/evidence/wire-protocol.md §0 fact 10
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Binary(b"blue").as_bytes(), Some(&b"blue"[..]));
    /// ```
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A timestamp's value.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// use servicebus_core::time::Timestamp;
    ///
    /// let enqueued = Value::Timestamp(Timestamp::from_secs(1_700_000_000));
    /// assert_eq!(enqueued.as_timestamp(), Some(Timestamp::from_secs(1_700_000_000)));
    /// ```
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        match *self {
            Self::Timestamp(timestamp) => Some(timestamp),
            _ => None,
        }
    }
}

/// A list's items, decoded on demand.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Value, encode_list};
///
/// let mut memory = [0; 32];
/// let list = encode_list(&["red".into(), "blue".into()], &mut memory)?;
/// let colors = list.iter().filter_map(|item| item.ok()?.as_str());
/// assert_eq!(colors.collect::<Vec<_>>(), ["red", "blue"]);
/// # Ok::<(), servicebus_core::wire::Full>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

impl List<'_> {
    /// How many items the list claims.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{List, Reader};
    /// let list: List<'_> = Reader::new(b"\xc0\x03\x02\x41\x42").read()?;
    /// assert_eq!(list.len(), 2);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{List, Reader};
    /// let list: List<'_> = Reader::new(b"\x45").read()?;
    /// assert!(list.is_empty());
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A map's entries, decoded on demand.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Value, encode_map};
///
/// let mut memory = [0; 64];
/// let map = encode_map(&[("color".into(), "red".into()), ("quantity".into(), 3.into())], &mut memory)?;
/// assert_eq!(map.get("color"), Some(Value::String("red")));
/// assert_eq!(Value::Map(map).to_string(), "{color: red, quantity: 3}");
/// # Ok::<(), servicebus_core::wire::Full>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Map<'a> {
    /// Keys and values together.
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

impl<'a> Map<'a> {
    /// The map without entries.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, to_vec};
    /// assert_eq!(Map::EMPTY.iter().count(), 0);
    /// assert_eq!(to_vec(&Map::EMPTY), [0xc1, 1, 0]);
    /// ```
    pub const EMPTY: Self = Self { count: 0, items: &[] };

    /// The map of `entries` keys and values that lie encoded in `items`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, Value};
    /// let map = Map::of_encoded(1, b"\xa1\x05color\xa1\x03red");
    /// assert_eq!(map.get("color"), Some(Value::String("red")));
    /// ```
    pub const fn of_encoded(entries: u32, items: &'a [u8]) -> Self {
        Self { count: entries.saturating_mul(2), items }
    }

    /// How many entries the map claims.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::encode_map;
    /// # let mut memory = [0; 32];
    /// let map = encode_map(&[("color".into(), "red".into())], &mut memory)?;
    /// assert_eq!(map.len(), 1);
    /// # Ok::<(), servicebus_core::wire::Full>(())
    /// ```
    pub const fn len(&self) -> usize {
        self.count as usize / 2
    }

    /// Whether there are none.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Map;
    /// assert!(Map::EMPTY.is_empty());
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.count < 2
    }
}

/// An array's items, decoded on demand.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Array, Reader};
///
/// let counts: Array<'_> = Reader::new(b"\xe0\x04\x02\x50\x01\x02").read()?;
/// let numbers = counts.iter().filter_map(|item| item.ok()?.as_i64());
/// assert_eq!(numbers.sum::<i64>(), 3);
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Array, Reader};
    /// let array: Array<'_> = Reader::new(b"\xe0\x04\x02\x50\x01\x02").read()?;
    /// assert_eq!(array.len(), 2);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Array, Reader};
    /// let array: Array<'_> = Reader::new(b"\xe0\x02\x00\x50").read()?;
    /// assert!(array.is_empty());
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A value with a descriptor.
///
/// # Examples
/// ```
/// use servicebus_core::wire::messaging::Released;
/// use servicebus_core::wire::{Described, Reader, Value, to_vec};
///
/// let bytes = to_vec(&Released {});
/// let described: Described<'_> = Reader::new(&bytes).read()?;
/// assert_eq!(described.code(), Some(0x26));
/// assert!(matches!(described.value()?, Value::List(fields) if fields.is_empty()));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Described<'a> {
    /// The encoded descriptor.
    pub(super) descriptor: &'a [u8],
    /// The constructor of the value.
    pub(super) constructor: &'a [u8],
    /// The value behind its constructor.
    pub(super) payload: &'a [u8],
}
