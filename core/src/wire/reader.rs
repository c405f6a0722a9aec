//! A cursor over encoded bytes.

use super::value::{Array, Described, List, Map, Symbol, Uuid, Value};
use super::{Decode, DecodeError};
use crate::time::Timestamp;

/// How deep values may be nested before [`Reader::validate`] refuses them.
pub const MAX_DEPTH: usize = 64;

/// How many zero-width items (null, true, list0 …) an array may claim: they take no bytes, so their number is not
/// bounded by the input.
const MAX_ZERO_WIDTH_ITEMS: u32 = 65_536;

/// The payload that follows a format code (AMQP 1.0 §1.2: the subcategory is in the upper four bits).
enum Width {
    Fixed(usize),
    Small,
    Large,
}

fn width(code: u8) -> Result<Width, DecodeError> {
    Ok(match code {
        0x40..=0x45 => Width::Fixed(0),
        0x50..=0x56 => Width::Fixed(1),
        0x60 | 0x61 => Width::Fixed(2),
        0x70..=0x74 => Width::Fixed(4),
        0x80..=0x84 => Width::Fixed(8),
        0x94 | 0x98 => Width::Fixed(16),
        0xa0 | 0xa1 | 0xa3 | 0xc0 | 0xc1 | 0xe0 => Width::Small,
        0xb0 | 0xb1 | 0xb3 | 0xd0 | 0xd1 | 0xf0 => Width::Large,
        other => return Err(DecodeError::UnknownFormatCode(other)),
    })
}

/// A cursor over encoded values. Cheap to copy: a copy is a bookmark.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next format code, without taking it.
    #[inline]
    pub fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.first().copied().ok_or(DecodeError::Truncated)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(head)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    /// The next value as `T`.
    #[inline]
    pub fn read<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// The next value, of any type.
    pub fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        let constructor = self.constructor()?;
        self.payload(constructor)
    }

    /// Takes a constructor: a format code, or `0x00`, a descriptor and a constructor.
    pub(super) fn constructor(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.bytes;
        loop {
            if self.byte()? != 0 {
                let len = start.len() - self.bytes.len();
                return start.get(..len).ok_or(DecodeError::Truncated);
            }
            self.skip()?;
        }
    }

    /// The payload's bytes for a format code, taken whole.
    fn payload_bytes(&mut self, code: u8) -> Result<&'a [u8], DecodeError> {
        let len = match width(code)? {
            Width::Fixed(len) => len,
            Width::Small => usize::from(self.byte()?),
            Width::Large => u32::from_be_bytes(self.array()?) as usize,
        };
        self.take(len)
    }

    /// The value whose constructor has been taken.
    pub(super) fn payload(&mut self, constructor: &'a [u8]) -> Result<Value<'a>, DecodeError> {
        let Some((&code, tail)) = constructor.split_first() else { return Err(DecodeError::Truncated) };
        if code == 0 {
            let mut descriptor = Reader::new(tail);
            descriptor.skip()?;
            let inner = descriptor.rest();
            let descriptor = tail.get(..tail.len() - inner.len()).ok_or(DecodeError::Truncated)?;
            let &last = constructor.last().ok_or(DecodeError::Truncated)?;
            let before = self.bytes;
            self.payload_bytes(last)?;
            let payload = before.get(..before.len() - self.bytes.len()).ok_or(DecodeError::Truncated)?;
            return Ok(Value::Described(Described { descriptor, constructor: inner, payload }));
        }
        Ok(match code {
            0x40 => Value::Null,
            0x41 => Value::Boolean(true),
            0x42 => Value::Boolean(false),
            0x43 => Value::Uint(0),
            0x44 => Value::Ulong(0),
            0x45 => Value::List(List { count: 0, items: &[] }),
            0x50 => Value::Ubyte(self.byte()?),
            0x51 => Value::Byte(self.byte()? as i8),
            0x52 => Value::Uint(u32::from(self.byte()?)),
            0x53 => Value::Ulong(u64::from(self.byte()?)),
            0x54 => Value::Int(i32::from(self.byte()? as i8)),
            0x55 => Value::Long(i64::from(self.byte()? as i8)),
            0x56 => match self.byte()? {
                0 => Value::Boolean(false),
                1 => Value::Boolean(true),
                _ => return Err(DecodeError::InvalidField("boolean")),
            },
            0x60 => Value::Ushort(u16::from_be_bytes(self.array()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.array()?)),
            0x70 => Value::Uint(u32::from_be_bytes(self.array()?)),
            0x71 => Value::Int(i32::from_be_bytes(self.array()?)),
            0x72 => Value::Float(f32::from_be_bytes(self.array()?)),
            0x73 => Value::Char(char::from_u32(u32::from_be_bytes(self.array()?)).ok_or(DecodeError::InvalidText)?),
            0x74 => Value::Decimal32(self.array()?),
            0x80 => Value::Ulong(u64::from_be_bytes(self.array()?)),
            0x81 => Value::Long(i64::from_be_bytes(self.array()?)),
            0x82 => Value::Double(f64::from_be_bytes(self.array()?)),
            0x83 => Value::Timestamp(Timestamp::from_millis(i64::from_be_bytes(self.array()?))),
            0x84 => Value::Decimal64(self.array()?),
            0x94 => Value::Decimal128(self.array()?),
            0x98 => Value::Uuid(Uuid(self.array()?)),
            0xa0 | 0xb0 => Value::Binary(self.payload_bytes(code)?),
            0xa1 | 0xb1 => {
                let text = self.payload_bytes(code)?;
                Value::String(core::str::from_utf8(text).map_err(|_| DecodeError::InvalidText)?)
            }
            0xa3 | 0xb3 => Value::Symbol(Symbol::from_bytes(self.payload_bytes(code)?)?),
            0xc0 | 0xd0 => Value::List(self.list_payload(code)?),
            0xc1 | 0xd1 => {
                let List { count, items } = self.list_payload(code)?;
                if count % 2 != 0 {
                    return Err(DecodeError::InvalidCount);
                }
                Value::Map(Map { count, items })
            }
            0xe0 | 0xf0 => Value::Array(self.array_payload(code)?),
            other => return Err(DecodeError::UnknownFormatCode(other)),
        })
    }

    fn counted(&mut self, code: u8) -> Result<(u32, Reader<'a>), DecodeError> {
        let mut inner = Reader::new(self.payload_bytes(code)?);
        let count = match code {
            0xc0 | 0xc1 | 0xe0 => u32::from(inner.byte()?),
            _ => u32::from_be_bytes(inner.array()?),
        };
        Ok((count, inner))
    }

    pub(super) fn list_payload(&mut self, code: u8) -> Result<List<'a>, DecodeError> {
        let (count, items) = self.counted(code)?;
        // Every item takes a byte at least, so a count beyond the size is a lie that a loop would pay for.
        if count as usize > items.rest().len() {
            return Err(DecodeError::InvalidCount);
        }
        Ok(List { count, items: items.rest() })
    }

    fn array_payload(&mut self, code: u8) -> Result<Array<'a>, DecodeError> {
        let (count, mut items) = self.counted(code)?;
        if count == 0 && items.is_empty() {
            return Ok(Array { count, constructor: &[0x40], items: &[] });
        }
        let constructor = items.constructor()?;
        let &last = constructor.last().ok_or(DecodeError::Truncated)?;
        let least = match width(last)? {
            Width::Fixed(0) if count > MAX_ZERO_WIDTH_ITEMS => return Err(DecodeError::InvalidCount),
            Width::Fixed(len) => len,
            Width::Small => 1,
            Width::Large => 4,
        };
        if (count as usize).checked_mul(least).is_none_or(|all| all > items.rest().len()) {
            return Err(DecodeError::InvalidCount);
        }
        Ok(Array { count, constructor, items: items.rest() })
    }

    /// Skips one value without looking inside it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let code = self.byte()?;
        if code != 0 { self.payload_bytes(code).map(|_| ()) } else { self.skip_described() }
    }

    /// Skips the rest of a described value.
    #[cold]
    fn skip_described(&mut self) -> Result<(), DecodeError> {
        // A described value is a descriptor and a value, either of which may be described again.
        let mut pending = 2usize;
        while pending > 0 {
            pending -= 1;
            match self.byte()? {
                0 => pending += 2,
                code => {
                    self.payload_bytes(code)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one value and returns its encoded bytes.
    pub fn skip_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.bytes;
        self.skip()?;
        start.get(..start.len() - self.bytes.len()).ok_or(DecodeError::Truncated)
    }

    /// Checks one value through and through (types, text, counts, nesting up to [`MAX_DEPTH`]) and takes it.
    pub fn validate(&mut self) -> Result<(), DecodeError> {
        /// A compound whose items are being checked.
        #[derive(Clone, Copy)]
        struct Level<'a> {
            items: Reader<'a>,
            left: u32,
            constructor: Option<&'a [u8]>,
        }
        let empty = Level { items: Reader::new(&[]), left: 0, constructor: None };
        let mut stack = [empty; MAX_DEPTH];
        let mut depth = 0usize;
        let mut value = self.value()?;
        loop {
            let level = match value {
                Value::List(list) => {
                    Some(Level { items: Reader::new(list.items), left: list.count, constructor: None })
                }
                Value::Map(map) => Some(Level { items: Reader::new(map.items), left: map.count, constructor: None }),
                Value::Array(array) => Some(Level {
                    items: Reader::new(array.items),
                    left: array.count,
                    constructor: Some(array.constructor),
                }),
                Value::Described(described) => {
                    // The descriptor is checked as one more level when it has parts, the value as the level below it.
                    let descriptor = Reader::new(described.descriptor);
                    let parts = matches!(
                        { descriptor }.value()?,
                        Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_)
                    );
                    if parts {
                        *stack.get_mut(depth).ok_or(DecodeError::TooDeep)? =
                            Level { items: descriptor, left: 1, constructor: None };
                        depth += 1;
                    }
                    Some(Level {
                        items: Reader::new(described.payload),
                        left: 1,
                        constructor: Some(described.constructor),
                    })
                }
                _ => None,
            };
            if let Some(level) = level {
                *stack.get_mut(depth).ok_or(DecodeError::TooDeep)? = level;
                depth += 1;
            }
            loop {
                let Some(level) = depth.checked_sub(1).and_then(|top| stack.get_mut(top)) else { return Ok(()) };
                if level.left == 0 {
                    if !level.items.is_empty() {
                        return Err(DecodeError::InvalidCount);
                    }
                    depth -= 1;
                    continue;
                }
                level.left -= 1;
                value = match level.constructor {
                    Some(constructor) => level.items.payload(constructor)?,
                    None => level.items.value()?,
                };
                break;
            }
        }
    }
}
