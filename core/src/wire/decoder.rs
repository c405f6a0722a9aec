//! A cursor that takes values and remembers the first error.

use super::descriptor;
use super::error::{DecodeError, Expected, FieldName};
use super::uuid::Uuid;
use super::value::{Array, Described, List, Map, Symbol, Value};
use crate::time::Timestamp;

/// How many zero-width items (null, true, list0 …) an array may claim: they take no bytes, so their number is not
/// bounded by the input.
const MAX_ZERO_WIDTH_ITEMS: u32 = 65_536;

/// The payload that follows a format code (AMQP 1.0 §1.2: the subcategory is in the upper four bits).
enum Width {
    Fixed(usize),
    Small,
    Large,
}

/// The types of each subcategory, one bit for each (AMQP 1.0 §1.6).
const TYPES: [u16; 16] =
    [0, 0, 0, 0, 0x003f, 0x007f, 0x0003, 0x001f, 0x001f, 0x0110, 0x000b, 0x000b, 0x0003, 0x0003, 0x0001, 0x0001];

fn width(code: u8) -> Option<Width> {
    let category = code >> 4;
    let types = TYPES.get(usize::from(category)).copied().unwrap_or(0);
    if types >> (code & 0x0f) & 1 == 0 {
        return None;
    }
    Some(match category {
        0x4 => Width::Fixed(0),
        0x5..=0x9 => Width::Fixed(1 << (category - 5)),
        _ if category.is_multiple_of(2) => Width::Small,
        _ => Width::Large,
    })
}

/// The number that up to eight bytes are; nothing that counts for more of them.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    if let Some(place) = 8usize.checked_sub(bytes.len()).and_then(|free| all.get_mut(free..)) {
        place.copy_from_slice(bytes);
    }
    u64::from_be_bytes(all)
}

/// A value that can be taken from encoded bytes that live for `'a`.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Decode, Decoder, Reader, to_vec};
///
/// #[derive(Debug, PartialEq)]
/// struct Quantity(u32);
///
/// impl<'a> Decode<'a> for Quantity {
///     fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
///         decoder.read().map(Self)
///     }
/// }
///
/// assert_eq!(Reader::new(&to_vec(&12u32)).read(), Ok(Quantity(12)));
/// ```
pub trait Decode<'a>: Sized {
    /// Takes one value. `None` when it is not one of this type; and any value counts only if [`Decoder::check`] says so
    /// afterwards.
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self>;
}

/// Takes values from encoded bytes one by one. What is wrong is kept beside them and asked for once, at the end, by
/// [`Decoder::check`]: until then a composite value may have been made of what could be taken, and from the first error
/// on nothing more can be. That is a good deal less code than an error carried out of every field.
///
/// # Examples
/// ```
/// use servicebus_core::wire::Decoder;
///
/// let mut decoder = Decoder::new(b"\xa1\x06orders\x52\x0c");
/// let queue: Option<&str> = decoder.read();
/// let quantity: Option<u32> = decoder.read();
/// decoder.check()?;
/// assert_eq!((queue, quantity), (Some("orders"), Some(12)));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    error: Option<DecodeError>,
}

/// Without the bytes: they may be a password's.
impl core::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Decoder({} bytes, {:?})", self.bytes.len(), self.error)
    }
}

impl<'a> Decoder<'a> {
    /// A cursor at the start of `bytes`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Decoder, Value};
    /// assert_eq!(Decoder::new(b"\x54\x07").value(), Some(Value::Int(7)));
    /// ```
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, error: None }
    }

    /// What has not been taken; nothing after an error.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Decoder;
    /// let mut decoder = Decoder::new(b"\x54\x07two blue");
    /// decoder.skip();
    /// assert_eq!(decoder.rest(), b"two blue");
    /// ```
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// What was wrong, if anything was.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{DecodeError, Decoder};
    /// let mut decoder = Decoder::new(b"\xa1\x06ord");
    /// assert_eq!(decoder.read::<&str>(), None);
    /// assert_eq!(decoder.check(), Err(DecodeError::Truncated));
    /// ```
    #[inline]
    pub fn check(&self) -> Result<(), DecodeError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The value, if nothing was wrong.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Decoder;
    /// let mut decoder = Decoder::new(b"\x54\x07");
    /// let queue: Option<&str> = decoder.read();
    /// let text = decoder.result(queue).map_err(|error| error.to_string());
    /// assert_eq!(text, Err("expected string, found format code 0x54".to_owned()));
    /// ```
    #[inline]
    pub fn result<T>(&self, value: Option<T>) -> Result<T, DecodeError> {
        self.check()?;
        // There is no value without an error.
        value.ok_or(DecodeError::Truncated)
    }

    /// Keeps an error, unless there is an earlier one, and ends the bytes.
    #[cold]
    #[inline(never)]
    fn keep(&mut self, error: DecodeError) {
        self.error.get_or_insert(error);
        self.bytes = &[];
    }

    #[cold]
    pub(super) fn fail<T>(&mut self, error: DecodeError) -> Option<T> {
        self.keep(error);
        None
    }

    #[cold]
    #[inline(never)]
    fn end_early(&mut self) {
        self.keep(DecodeError::Truncated);
    }

    #[cold]
    fn truncated<T>(&mut self) -> Option<T> {
        self.end_early();
        None
    }

    #[cold]
    pub(super) fn unexpected<T>(&mut self, expected: Expected, found: u8) -> Option<T> {
        self.fail(DecodeError::UnexpectedType { expected, found })
    }

    /// The next format code, without taking it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.bytes.first() {
            Some(&code) => Some(code),
            None => self.truncated(),
        }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let Some((&first, rest)) = self.bytes.split_first() else { return self.truncated() };
        self.bytes = rest;
        Some(first)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let Some((head, rest)) = self.bytes.split_at_checked(len) else { return self.truncated() };
        self.bytes = rest;
        Some(head)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else { return self.truncated() };
        self.bytes = rest;
        Some(*head)
    }

    #[inline]
    fn size(&mut self) -> Option<usize> {
        Some(u32::from_be_bytes(self.array()?) as usize)
    }

    /// The next value as `T`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Decoder, Symbol};
    /// let mut decoder = Decoder::new(b"\xa3\x05PLAIN");
    /// assert_eq!(decoder.read(), Some(Symbol::new("PLAIN")));
    /// ```
    #[inline]
    pub fn read<T: Decode<'a>>(&mut self) -> Option<T> {
        T::decode(self)
    }

    /// What was taken since the cursor stood at `start`.
    fn since(&mut self, start: &'a [u8]) -> Option<&'a [u8]> {
        match start.len().checked_sub(self.bytes.len()).and_then(|len| start.get(..len)) {
            Some(taken) if self.error.is_none() => Some(taken),
            _ => self.truncated(),
        }
    }

    /// The next value, of any type.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Decoder, Value};
    /// let mut decoder = Decoder::new(b"\x43\xa3\x03red");
    /// assert_eq!(decoder.value(), Some(Value::Uint(0)));
    /// assert_eq!(decoder.value(), Some(Value::symbol("red")));
    /// ```
    pub fn value(&mut self) -> Option<Value<'a>> {
        let constructor = self.constructor()?;
        self.payload(constructor)
    }

    /// Takes a constructor: a format code, or `0x00`, a descriptor and a constructor.
    pub(super) fn constructor(&mut self) -> Option<&'a [u8]> {
        let start = self.bytes;
        while self.byte()? == 0 {
            self.skip()?;
        }
        self.since(start)
    }

    fn width(&mut self, code: u8) -> Option<Width> {
        match width(code) {
            None => self.fail(DecodeError::UnknownFormatCode(code)),
            known => known,
        }
    }

    /// The payload's bytes for a format code, taken whole.
    #[inline(never)]
    fn payload_bytes(&mut self, code: u8) -> Option<&'a [u8]> {
        let len = match self.width(code)? {
            Width::Fixed(len) => len,
            Width::Small => usize::from(self.byte()?),
            Width::Large => self.size()?,
        };
        self.take(len)
    }

    /// The bytes of a type whose short form has the code `small` and whose long form lies 0x10 above.
    pub(super) fn variable(&mut self, small: u8, expected: Expected) -> Option<&'a [u8]> {
        let code = self.byte()?;
        let len = if code == small {
            usize::from(self.byte()?)
        } else if code == small + 0x10 {
            self.size()?
        } else {
            return self.unexpected(expected, code);
        };
        self.take(len)
    }

    pub(super) fn text(&mut self, bytes: &'a [u8]) -> Option<&'a str> {
        match core::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => self.fail(DecodeError::InvalidText),
        }
    }

    pub(super) fn symbol(&mut self, bytes: &'a [u8]) -> Option<Symbol<'a>> {
        if !bytes.is_ascii() {
            return self.fail(DecodeError::InvalidText);
        }
        self.text(bytes).map(Symbol::new)
    }

    fn described(&mut self, constructor: &'a [u8]) -> Option<Value<'a>> {
        let (Some((_, tail)), Some(&code)) = (constructor.split_first(), constructor.last()) else {
            return self.truncated();
        };
        let mut behind = Decoder::new(tail);
        // The descriptor has been passed over once: it is whole.
        let descriptor = behind.skip_bytes().unwrap_or_default();
        let start = self.bytes;
        self.payload_bytes(code)?;
        let payload = self.since(start)?;
        Some(Value::Described(Described { descriptor, constructor: behind.bytes, payload }))
    }

    /// The value whose constructor has been taken.
    pub(super) fn payload(&mut self, constructor: &'a [u8]) -> Option<Value<'a>> {
        let &code = constructor.first()?;
        if code == 0 {
            return self.described(constructor);
        }
        let bytes = self.payload_bytes(code)?;
        let number = number(bytes);
        Some(match code {
            0x40 => Value::Null,
            0x41 => Value::Boolean(true),
            0x42 => Value::Boolean(false),
            0x56 => Value::Boolean(self.truth(number as u8)?),
            0x50 => Value::Ubyte(number as u8),
            0x60 => Value::Ushort(number as u16),
            0x43 | 0x52 | 0x70 => Value::Uint(number as u32),
            0x44 | 0x53 | 0x80 => Value::Ulong(number),
            0x51 => Value::Byte(number as i8),
            0x61 => Value::Short(number as i16),
            0x54 => Value::Int(i32::from(number as i8)),
            0x71 => Value::Int(number as i32),
            0x55 => Value::Long(i64::from(number as i8)),
            0x81 => Value::Long(number as i64),
            0x72 => Value::Float(f32::from_bits(number as u32)),
            0x82 => Value::Double(f64::from_bits(number)),
            0x73 => Value::Char(self.character(number as u32)?),
            0x74 => Value::Decimal32((number as u32).to_be_bytes()),
            0x83 => Value::Timestamp(Timestamp::from_millis(number as i64)),
            0x84 => Value::Decimal64(number.to_be_bytes()),
            0x94 => Value::Decimal128(*bytes.first_chunk()?),
            0x98 => Value::Uuid(Uuid(*bytes.first_chunk()?)),
            0xa0 | 0xb0 => Value::Binary(bytes),
            0xa1 | 0xb1 => Value::String(self.text(bytes)?),
            0xa3 | 0xb3 => Value::Symbol(self.symbol(bytes)?),
            0x45 => Value::List(List { count: 0, items: &[] }),
            0xe0 | 0xf0 => return self.array_value(code, bytes),
            _ => {
                let List { count, items } = self.list_items(code, bytes)?;
                match code {
                    0xc0 | 0xd0 => Value::List(List { count, items }),
                    _ if count % 2 != 0 => return self.fail(DecodeError::InvalidCount),
                    _ => Value::Map(Map { count, items }),
                }
            }
        })
    }

    pub(super) fn truth(&mut self, byte: u8) -> Option<bool> {
        match byte {
            0 => Some(false),
            1 => Some(true),
            _ => self.invalid(Expected::Boolean),
        }
    }

    pub(super) fn character(&mut self, number: u32) -> Option<char> {
        match char::from_u32(number) {
            None => self.fail(DecodeError::InvalidText),
            known => known,
        }
    }

    /// The count of a compound value, taken from its payload; the items are what is left of that.
    fn count(&mut self, code: u8, items: &mut Decoder<'a>) -> Option<u32> {
        let count = match code {
            0xc0 | 0xc1 | 0xe0 => items.byte().map(u32::from),
            _ => items.array().map(u32::from_be_bytes),
        };
        if count.is_none() { self.truncated() } else { count }
    }

    fn list_items(&mut self, code: u8, payload: &'a [u8]) -> Option<List<'a>> {
        let mut items = Decoder::new(payload);
        let count = self.count(code, &mut items)?;
        // Every item takes a byte at least, so a count beyond the size is a lie that a loop would pay for.
        if count as usize > items.rest().len() {
            return self.fail(DecodeError::InvalidCount);
        }
        Some(List { count, items: items.rest() })
    }

    // Apart from the other values, which need no part of it.
    #[inline(never)]
    fn array_value(&mut self, code: u8, payload: &'a [u8]) -> Option<Value<'a>> {
        let mut items = Decoder::new(payload);
        let count = self.count(code, &mut items)?;
        if count == 0 && items.rest().is_empty() {
            return Some(Value::Array(Array { count, constructor: &[0x40], items: &[] }));
        }
        let constructor = items.constructor();
        let Some((constructor, &last)) = constructor.and_then(|all| Some((all, all.last()?))) else {
            return self.fail(items.check().err().unwrap_or(DecodeError::Truncated));
        };
        let least = match self.width(last)? {
            Width::Fixed(0) if count > MAX_ZERO_WIDTH_ITEMS => return self.fail(DecodeError::InvalidCount),
            Width::Fixed(len) => len,
            Width::Small => 1,
            Width::Large => 4,
        };
        if (count as usize).checked_mul(least).is_none_or(|all| all > items.rest().len()) {
            return self.fail(DecodeError::InvalidCount);
        }
        Some(Value::Array(Array { count, constructor, items: items.rest() }))
    }

    /// An array, or the one item of an array that is not there (AMQP 1.0 §1.4, `multiple`).
    pub(super) fn one_or_many(&mut self) -> Option<Array<'a>> {
        let constructor = self.constructor()?;
        let items = self.bytes;
        match self.payload(constructor)? {
            Value::Array(array) => Some(array),
            _ => Some(Array { count: 1, constructor, items }),
        }
    }

    /// Skips one value without looking inside it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Decoder;
    /// let mut decoder = Decoder::new(b"\xa1\x06orders\x52\x0c");
    /// decoder.skip();
    /// assert_eq!(decoder.read(), Some(12u32));
    /// ```
    #[inline]
    pub fn skip(&mut self) -> Option<()> {
        let code = self.byte()?;
        if code != 0 { self.payload_bytes(code).map(|_| ()) } else { self.skip_described() }
    }

    /// Skips the rest of a described value.
    #[cold]
    fn skip_described(&mut self) -> Option<()> {
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
        Some(())
    }

    /// Takes one value and returns its encoded bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Decoder;
    /// let mut decoder = Decoder::new(b"\xa1\x03red\x52\x0c");
    /// assert_eq!(decoder.skip_bytes(), Some(&b"\xa1\x03red"[..]));
    /// ```
    pub fn skip_bytes(&mut self) -> Option<&'a [u8]> {
        let start = self.bytes;
        self.skip()?;
        self.since(start)
    }

    /// Takes one value, checked as [`Decoder::value`] checks it, and returns its encoded bytes.
    pub(super) fn checked_bytes(&mut self) -> Option<&'a [u8]> {
        let start = self.bytes;
        self.value()?;
        self.since(start)
    }

    /// Takes a list.
    pub(super) fn list(&mut self) -> Option<List<'a>> {
        match self.byte()? {
            0x45 => Some(List { count: 0, items: &[] }),
            code @ (0xc0 | 0xd0) => {
                let payload = self.payload_bytes(code)?;
                self.list_items(code, payload)
            }
            found => self.unexpected(Expected::List, found),
        }
    }

    /// Goes back to where `start` stands.
    #[inline]
    pub(super) fn rewind(&mut self, start: &Self) {
        self.bytes = start.bytes;
    }

    /// Notes that a field must be there and is not, unless something was wrong before it.
    #[cold]
    #[inline(never)]
    pub(super) fn missing(&mut self, composite: u8, index: u8) {
        self.keep(DecodeError::MissingField(FieldName::new(composite, index)));
    }

    /// Whether an item other than null comes next; a null is taken.
    #[inline]
    pub(super) fn present(&mut self) -> bool {
        match self.bytes {
            [0x40, rest @ ..] => {
                self.bytes = rest;
                false
            }
            [] => {
                self.end_early();
                false
            }
            _ => true,
        }
    }

    /// Takes `0x00` and a descriptor, as its number: that of a symbolic one, zero if its name is not known. Only AMQP's
    /// own are told, which are all below 256.
    #[inline]
    pub(super) fn descriptor(&mut self, expected: Expected) -> Option<u8> {
        if let [0x00, 0x53, code, rest @ ..] = self.bytes {
            // The form that every known peer sends.
            self.bytes = rest;
            return Some(*code);
        }
        self.unusual_descriptor(expected)
    }

    #[cold]
    #[inline(never)]
    fn unusual_descriptor(&mut self, expected: Expected) -> Option<u8> {
        match self.byte()? {
            0 => {}
            found => return self.unexpected(expected, found),
        }
        let found = self.peek()?;
        let code = match self.value()? {
            Value::Ulong(code) => code,
            Value::Symbol(name) => u64::from(descriptor::code_of(name.as_str())),
            _ => return self.unexpected(Expected::Descriptor, found),
        };
        match u8::try_from(code) {
            Ok(code) => Some(code),
            Err(_) => self.unexpected_descriptor(expected, 0),
        }
    }

    /// Takes `0x00` and the descriptor of a composite type.
    pub(super) fn composite(&mut self, code: u8) -> Option<()> {
        match self.descriptor(Expected::Composite(code))? {
            found if found == code => Some(()),
            found => self.unexpected_descriptor(Expected::Composite(code), found),
        }
    }

    /// A descriptor that names another type.
    #[cold]
    pub(super) fn unexpected_descriptor<T>(&mut self, expected: Expected, found: u8) -> Option<T> {
        self.fail(DecodeError::UnexpectedDescriptor { expected, found })
    }

    /// A value that its type does not allow.
    #[cold]
    pub(super) fn invalid<T>(&mut self, expected: Expected) -> Option<T> {
        self.fail(DecodeError::InvalidField(expected))
    }
}
