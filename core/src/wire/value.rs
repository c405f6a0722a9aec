//! AMQP 1.0's type system as borrowed values (AMQP 1.0 §1.6).

use super::codec::{Encode, fixed};
use super::sink::{Compound, Full, Sink};
use super::{Decode, DecodeError, Decoder, Reader};
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

impl<'a> List<'a> {
    /// How many items the list claims.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The items in order; ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, DecodeError>> + use<'a> {
        let mut items = Reader::new(self.items);
        let mut left = self.count;
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let item = items.value();
            if item.is_err() {
                left = 0;
            }
            Some(item)
        })
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

    /// The entries in order; ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Value<'a>, Value<'a>), DecodeError>> + use<'a> {
        let mut items = List { count: self.count, items: self.items }.iter();
        core::iter::from_fn(move || {
            let key = items.next()?;
            let value = items.next()?;
            Some(key.and_then(|key| value.map(|value| (key, value))))
        })
    }

    /// The value whose key is this text, as a string or as a symbol; malformed entries end the search.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let mut items = Decoder::new(self.items);
        for _ in 0..self.count / 2 {
            let found = match items.rest() {
                // The short forms of symbol and string are compared as they are, without a look at what is not wanted.
                [0xa1 | 0xa3, len, ..] => items.take(2 + usize::from(*len))?.get(2..) == Some(key.as_bytes()),
                _ => items.value()?.as_str() == Some(key),
            };
            if found {
                return items.value();
            }
            items.skip()?;
        }
        None
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

    /// The items in order; ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, DecodeError>> + use<'a> {
        let mut items = Reader::new(self.items);
        let mut left = self.count;
        let constructor = self.constructor;
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let item = items.payload(constructor);
            if item.is_err() {
                left = 0;
            }
            Some(item)
        })
    }
}

/// A value in a map that is told: of maps inside of it only the size, so that no peer decides how deep this goes.
struct Shallow<'a>(Value<'a>);

impl fmt::Debug for Shallow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Map(map) => write!(f, "Map({} entries)", map.len()),
            value => value.fmt(f),
        }
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().map_while(Result::ok);
        f.debug_map().entries(entries.map(|(key, value)| (Shallow(key), Shallow(value)))).finish()
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

impl<'a> Described<'a> {
    /// The descriptor.
    pub fn descriptor(&self) -> Result<Value<'a>, DecodeError> {
        Reader::new(self.descriptor).value()
    }

    /// The descriptor when it is a `ulong`.
    pub fn code(&self) -> Option<u64> {
        match self.descriptor() {
            Ok(Value::Ulong(code)) => Some(code),
            _ => None,
        }
    }

    /// The value that is described.
    pub fn value(&self) -> Result<Value<'a>, DecodeError> {
        Reader::new(self.payload).payload(self.constructor)
    }
}

/// Tells the descriptor alone: frames are told at the level of traces, and a filter in one may hold a secret.
impl fmt::Debug for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.descriptor() {
            Ok(Value::Ulong(code)) => write!(f, "Described({code:#x})"),
            Ok(Value::Symbol(name)) => write!(f, "Described({name:?})"),
            _ => f.write_str("Described"),
        }
    }
}

/// Encodes `items` as a list into `buffer` and returns the view, to nest it in another value.
pub fn encode_list<'a>(items: &[Value<'_>], buffer: &'a mut [u8]) -> Result<List<'a>, Full> {
    let mut sink = Sink::new(buffer);
    for item in items {
        item.encode(&mut sink);
    }
    let len = sink.finish()?;
    let count = u32::try_from(items.len()).map_err(|_| Full)?;
    Ok(List { count, items: buffer.get(..len).unwrap_or_default() })
}

/// Encodes `entries` as a map into `buffer` and returns the view, to nest it in another value.
pub fn encode_map<'a>(entries: &[(Value<'_>, Value<'_>)], buffer: &'a mut [u8]) -> Result<Map<'a>, Full> {
    let mut sink = Sink::new(buffer);
    for (key, value) in entries {
        key.encode(&mut sink);
        value.encode(&mut sink);
    }
    let len = sink.finish()?;
    let count = u32::try_from(entries.len()).ok().and_then(|entries| entries.checked_mul(2)).ok_or(Full)?;
    Ok(Map { count, items: buffer.get(..len).unwrap_or_default() })
}

fn encode_items(sink: &mut Sink<'_>, compound: Compound, count: u32, items: [&[u8]; 2]) {
    let mark = sink.begin();
    sink.put(items[0]);
    sink.put(items[1]);
    sink.end(mark, compound, count as usize);
}

impl Encode for List<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        encode_items(sink, Compound::List, self.count, [self.items, &[]]);
    }
}

impl Encode for Map<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        encode_items(sink, Compound::Map, self.count, [self.items, &[]]);
    }
}

impl Encode for Array<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        encode_items(sink, Compound::Array, self.count, [self.constructor, self.items]);
    }
}

impl Encode for Described<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        sink.put_byte(0);
        sink.put(self.descriptor);
        sink.put(self.constructor);
        sink.put(self.payload);
    }
}

impl Encode for Value<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match *self {
            Self::Null => sink.put_byte(0x40),
            Self::Boolean(v) => v.encode(sink),
            Self::Ubyte(v) => v.encode(sink),
            Self::Ushort(v) => v.encode(sink),
            Self::Uint(v) => v.encode(sink),
            Self::Ulong(v) => v.encode(sink),
            Self::Byte(v) => v.encode(sink),
            Self::Short(v) => v.encode(sink),
            Self::Int(v) => v.encode(sink),
            Self::Long(v) => v.encode(sink),
            Self::Float(v) => v.encode(sink),
            Self::Double(v) => v.encode(sink),
            Self::Decimal32(v) => fixed(sink, 0x74, &v),
            Self::Decimal64(v) => fixed(sink, 0x84, &v),
            Self::Decimal128(v) => fixed(sink, 0x94, &v),
            Self::Char(v) => v.encode(sink),
            Self::Timestamp(v) => v.encode(sink),
            Self::Uuid(v) => v.encode(sink),
            Self::Binary(v) => v.encode(sink),
            Self::String(v) => v.encode(sink),
            Self::Symbol(v) => v.encode(sink),
            Self::List(v) => v.encode(sink),
            Self::Map(v) => v.encode(sink),
            Self::Array(v) => v.encode(sink),
            Self::Described(v) => v.encode(sink),
        }
    }
}

impl<'a> Decode<'a> for Value<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        decoder.value()
    }
}
