//! Values read one at a time, each with its result.

use super::decoder::{Decode, Decoder};
use super::error::DecodeError;
use super::value::Value;

/// How deep values may be nested before [`Reader::validate`] refuses them.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Compound, DecodeError, MAX_DEPTH, Reader, Sink};
///
/// let mut value = vec![0x40];
/// for _ in 0..=MAX_DEPTH {
///     let inner = std::mem::take(&mut value);
///     let mut sink = Sink::from(&mut value);
///     let mark = sink.begin();
///     sink.put(&inner);
///     sink.end(mark, Compound::List, 1);
/// }
/// assert_eq!(Reader::new(&value).validate(), Err(DecodeError::TooDeep));
/// ```
pub const MAX_DEPTH: usize = 64;

/// A cursor over encoded values. Cheap to copy: a copy is a bookmark.
///
/// # Examples
/// ```
/// use servicebus_core::wire::Reader;
///
/// let mut reader = Reader::new(b"\xa1\x06orders\x52\x0c");
/// let start = reader;
/// let queue: &str = reader.read()?;
/// let quantity: u32 = reader.read()?;
/// assert_eq!((queue, quantity, start.rest().len()), ("orders", 12, 10));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

/// Without the bytes: they may be a password's.
impl core::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Reader({} bytes)", self.bytes.len())
    }
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// assert_eq!(Reader::new(b"\x54\x07").value()?, Value::Int(7));
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\x54\x07two blue");
    /// reader.skip()?;
    /// assert_eq!(reader.rest(), b"two blue");
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\x54\x07\x54\x08");
    /// let mut sum = 0;
    /// while !reader.is_empty() {
    ///     sum += reader.read::<i32>()?;
    /// }
    /// assert_eq!(sum, 15);
    /// # Ok::<(), DecodeError>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\xa1\x06orders");
    /// assert_eq!(reader.read(), Ok("orders"));
    /// assert_eq!(reader.read::<&str>(), Err(DecodeError::Truncated));
    /// # Ok::<(), DecodeError>(())
    /// ```
    #[inline]
    pub fn read<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        self.step(T::decode)
    }

    /// The next value, of any type.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\x43\xa3\x03red");
    /// assert_eq!((reader.value()?, reader.value()?), (Value::Uint(0), Value::symbol("red")));
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        self.step(Decoder::value)
    }

    /// The value whose constructor has been taken.
    pub(super) fn payload(&mut self, constructor: &'a [u8]) -> Result<Value<'a>, DecodeError> {
        self.step(|decoder| decoder.payload(constructor))
    }

    /// Skips one value without looking inside it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\xa1\x06orders\x52\x0c");
    /// reader.skip()?;
    /// assert_eq!(reader.read(), Ok(12u32));
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.step(Decoder::skip)
    }

    /// Takes one value and returns its encoded bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let mut reader = Reader::new(b"\xa1\x03red\x52\x0c");
    /// assert_eq!(reader.skip_bytes()?, b"\xa1\x03red");
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub fn skip_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.step(Decoder::skip_bytes)
    }

    /// Validates one value completely (types, text, counts, nesting up to [`MAX_DEPTH`]) and takes it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Reader, Value};
    /// let list_with_bad_text = b"\xc0\x05\x01\xa1\x02\xff\xff";
    /// assert!(Reader::new(list_with_bad_text).value().is_ok());
    /// assert_eq!(Reader::new(list_with_bad_text).validate(), Err(DecodeError::InvalidText));
    /// # Ok::<(), DecodeError>(())
    /// ```
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
