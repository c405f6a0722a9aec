//! Values read one at a time, each with its result.

use super::decoder::{Decode, Decoder};
use super::error::DecodeError;
use super::value::Value;

/// How deep values may be nested before [`Reader::validate`] refuses them.
pub const MAX_DEPTH: usize = 64;

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

    /// Takes what `read` takes.
    #[inline]
    fn step<T>(&mut self, read: impl FnOnce(&mut Decoder<'a>) -> Option<T>) -> Result<T, DecodeError> {
        let mut decoder = Decoder::new(self.bytes);
        let value = read(&mut decoder);
        self.bytes = decoder.rest();
        decoder.result(value)
    }

    /// The next value as `T`.
    #[inline]
    pub fn read<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        self.step(T::decode)
    }

    /// The next value, of any type.
    pub fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        self.step(Decoder::value)
    }

    /// The value whose constructor has been taken.
    pub(super) fn payload(&mut self, constructor: &'a [u8]) -> Result<Value<'a>, DecodeError> {
        self.step(|decoder| decoder.payload(constructor))
    }

    /// Skips one value without looking inside it.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.step(Decoder::skip)
    }

    /// Takes one value and returns its encoded bytes.
    pub fn skip_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.step(Decoder::skip_bytes)
    }

    /// Validates one value completely (types, text, counts, nesting up to [`MAX_DEPTH`]) and takes it.
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
