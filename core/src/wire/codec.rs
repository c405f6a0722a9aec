//! Encoding and decoding of the primitive types, always in their shortest form.

use super::decoder::{Decode, Decoder};
use super::error::Expected;
use super::sink::{Compound, Encode, Full, Sink};
use super::uuid::Uuid;
use super::value::{Array, Described, List, Map, Symbol, Value};
use crate::time::Timestamp;

/// Encodes `value` at the start of `place` and returns its size.
///
/// # Errors
/// A place that is too small.
///
/// # Examples
/// ```
/// use servicebus_core::wire;
///
/// let mut memory = [0; 16];
/// let size = wire::encode(&"orders", &mut memory)?;
/// assert_eq!(memory[..size], *b"\xa1\x06orders");
/// assert_eq!(wire::encode(&"orders", &mut [0; 4]), Err(wire::Full));
/// # Ok::<(), wire::Full>(())
/// ```
pub fn encode(value: &dyn Encode, place: &mut [u8]) -> Result<usize, Full> {
    let mut sink = Sink::new(place);
    value.encode(&mut sink);
    sink.finish()
}

/// The encoded size of `value` in bytes.
///
/// # Examples
/// ```
/// use servicebus_core::wire::measure;
///
/// assert_eq!(measure(&7u32), 2);
/// assert_eq!(measure(&70_000u32), 5);
/// ```
pub fn measure(value: &dyn Encode) -> usize {
    let mut sink = Sink::new(&mut []);
    value.encode(&mut sink);
    sink.position()
}

/// The encoded value.
///
/// # Examples
/// ```
/// use servicebus_core::wire::to_vec;
///
/// assert_eq!(to_vec("orders"), b"\xa1\x06orders");
/// assert_eq!(to_vec(&true), [0x41]);
/// ```
#[cfg(feature = "alloc")]
pub fn to_vec(value: &(impl Encode + ?Sized)) -> alloc::vec::Vec<u8> {
    let mut bytes = alloc::vec::Vec::new();
    value.encode(&mut Sink::from(&mut bytes));
    bytes
}

impl<T: Encode> Encode for Option<T> {
    #[cfg_attr(feature = "alloc", inline(always))]
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Some(value) => value.encode(sink),
            None => sink.put_byte(0x40),
        }
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[cfg_attr(feature = "alloc", inline(always))]
    fn encode(&self, sink: &mut Sink<'_>) {
        (**self).encode(sink);
    }
}

impl Encode for bool {
    #[cfg_attr(feature = "alloc", inline(always))]
    fn encode(&self, sink: &mut Sink<'_>) {
        sink.put_byte(if *self { 0x41 } else { 0x42 });
    }
}

impl Encode for u32 {
    #[cfg_attr(feature = "alloc", inline(always))]
    fn encode(&self, sink: &mut Sink<'_>) {
        match u8::try_from(*self) {
            Ok(0) => sink.put_byte(0x43),
            Ok(small) => number(sink, 0x52, small.into()),
            Err(_) => number(sink, 0x70, (*self).into()),
        }
    }
}

impl Encode for u64 {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match u8::try_from(*self) {
            Ok(0) => sink.put_byte(0x44),
            Ok(small) => number(sink, 0x53, small.into()),
            Err(_) => number(sink, 0x80, *self),
        }
    }
}

impl Encode for i32 {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match i8::try_from(*self) {
            Ok(small) => number(sink, 0x54, small as u64),
            Err(_) => number(sink, 0x71, *self as u64),
        }
    }
}

impl Encode for i64 {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match i8::try_from(*self) {
            Ok(small) => number(sink, 0x55, small as u64),
            Err(_) => number(sink, 0x81, *self as u64),
        }
    }
}

/// Appends a constructor and the lowest bytes of a number, as many as the constructor's subcategory says: one for
/// `0x5_`, two for `0x6_`, four for `0x7_` and eight for `0x8_` (AMQP 1.0 §1.2).
#[cfg_attr(feature = "alloc", inline(always))]
pub(super) fn number(sink: &mut Sink<'_>, code: u8, number: u64) {
    let width = 1usize << ((code >> 4).wrapping_sub(5) & 3);
    sink.put_byte(code);
    sink.put(number.to_be_bytes().get(8 - width..).unwrap_or_default());
}

#[cfg_attr(feature = "alloc", inline(always))]
pub(super) fn fixed(sink: &mut Sink<'_>, code: u8, bytes: &[u8]) {
    sink.put_byte(code);
    sink.put(bytes);
}

macro_rules! encode_number {
    ($($type:ty => $code:literal, |$value:ident| $number:expr;)*) => { $(
        impl Encode for $type {
            #[inline]
            fn encode(&self, sink: &mut Sink<'_>) {
                let $value = *self;
                number(sink, $code, $number);
            }
        }
    )* };
}

encode_number! {
    u8 => 0x50, |v| v.into();
    i8 => 0x51, |v| v as u64;
    u16 => 0x60, |v| v.into();
    i16 => 0x61, |v| v as u64;
    f32 => 0x72, |v| v.to_bits().into();
    f64 => 0x82, |v| v.to_bits();
    char => 0x73, |v| v.into();
    Timestamp => 0x83, |v| v.as_millis() as u64;
}

impl Encode for Uuid {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        fixed(sink, 0x98, &self.0);
    }
}

#[cfg_attr(feature = "alloc", inline(always))]
fn variable(sink: &mut Sink<'_>, small: u8, bytes: &[u8]) {
    head(sink, small, bytes.len());
    sink.put(bytes);
}

/// Writes the constructor and the size of a `binary` whose `len` bytes follow.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Sink, put_binary_head, to_vec};
///
/// let mut bytes = Vec::new();
/// let mut sink = Sink::from(&mut bytes);
/// put_binary_head(&mut sink, 8);
/// sink.put(b"two ");
/// sink.put(b"blue");
/// assert_eq!(bytes, to_vec(&b"two blue"[..]));
/// ```
pub fn put_binary_head(sink: &mut Sink<'_>, len: usize) {
    head(sink, 0xa0, len);
}

#[cfg_attr(feature = "alloc", inline(always))]
fn head(sink: &mut Sink<'_>, small: u8, len: usize) {
    match u8::try_from(len) {
        Ok(len) => sink.put(&[small, len]),
        // The 32-bit forms lie 0x10 above the 8-bit ones.
        Err(_) => {
            let [a, b, c, d] = sink.size(len);
            sink.put(&[small + 0x10, a, b, c, d]);
        }
    }
}

impl Encode for [u8] {
    #[cfg_attr(feature = "alloc", inline(always))]
    fn encode(&self, sink: &mut Sink<'_>) {
        variable(sink, 0xa0, self);
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        variable(sink, 0xa1, self.as_bytes());
    }
}

impl Encode for Symbol<'_> {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        variable(sink, 0xa3, self.as_str().as_bytes());
    }
}

macro_rules! decode {
    ($($type:ty, $name:ident, |$decoder:ident| { $($pattern:pat => $result:expr),* $(,)? })*) => { $(
        impl<'a> Decode<'a> for $type {
            #[inline]
            fn decode($decoder: &mut Decoder<'a>) -> Option<Self> {
                match $decoder.byte()? {
                    $($pattern => $result,)*
                    found => $decoder.unexpected(Expected::$name, found),
                }
            }
        }
    )* };
}

decode! {
    u32, Uint, |d| { 0x43 => Some(0), 0x52 => d.byte().map(u32::from), 0x70 => d.array().map(u32::from_be_bytes) }
    bool, Boolean, |d| {
        0x41 => Some(true), 0x42 => Some(false),
        0x56 => { let byte = d.byte()?; d.truth(byte) },
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    #[inline]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        decoder.variable(0xa0, Expected::Binary)
    }
}

impl<'a> Decode<'a> for &'a str {
    #[inline]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let bytes = decoder.variable(0xa1, Expected::String)?;
        decoder.text(bytes)
    }
}

impl<'a> Decode<'a> for Symbol<'a> {
    #[inline]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let bytes = decoder.variable(0xa3, Expected::Symbol)?;
        decoder.symbol(bytes)
    }
}

/// The types that are seldom met: what decodes any value decodes them as well.
macro_rules! decode_value {
    ($($type:ty = $variant:ident;)*) => { $(
        impl<'a> Decode<'a> for $type {
            fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
                let found = decoder.peek()?;
                match decoder.value()? {
                    Value::$variant(value) => Some(value),
                    _ => decoder.unexpected(Expected::$variant, found),
                }
            }
        }
    )* };
}

decode_value! {
    u8 = Ubyte;
    i8 = Byte;
    u16 = Ushort;
    i16 = Short;
    u64 = Ulong;
    i32 = Int;
    i64 = Long;
    f32 = Float;
    f64 = Double;
    Timestamp = Timestamp;
    Uuid = Uuid;
    char = Char;
    List<'a> = List;
    Map<'a> = Map;
    Array<'a> = Array;
    Described<'a> = Described;
}

/// A field that may hold several symbols: null, one symbol, or an array of them (AMQP 1.0 §1.4, `multiple`).
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Multiple, Reader, Symbol, to_vec};
///
/// let offered = [Symbol::new("PLAIN"), Symbol::new("ANONYMOUS")];
/// let bytes = to_vec(&Multiple::new(&offered));
///
/// let mechanisms: Multiple<'_> = Reader::new(&bytes).read()?;
/// assert!(mechanisms.iter().any(|name| name.as_str() == "ANONYMOUS"));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Multiple<'a>(Source<'a>);

#[derive(Clone, Copy, Default, PartialEq)]
enum Source<'a> {
    #[default]
    None,
    Listed(&'a [Symbol<'a>]),
    /// One value, as it is encoded.
    Encoded(&'a [u8]),
}

impl<'a> Multiple<'a> {
    /// No symbol: encoded as null.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, to_vec};
    /// assert_eq!(to_vec(&Multiple::NONE), [0x40]);
    /// assert_eq!(Multiple::NONE.iter().count(), 0);
    /// ```
    pub const NONE: Self = Self(Source::None);

    /// These symbols, sent as an array.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Multiple, Symbol};
    /// let capabilities = [Symbol::new("queue")];
    /// assert_eq!(format!("{:?}", Multiple::new(&capabilities)), "[:queue]");
    /// assert_eq!(Multiple::new(&[]), Multiple::NONE);
    /// ```
    pub const fn new(symbols: &'a [Symbol<'a>]) -> Self {
        if symbols.is_empty() { Self::NONE } else { Self(Source::Listed(symbols)) }
    }

    /// The symbols in order; values of other types are skipped.
    ///
    /// # Examples
    /// A single symbol is as good as an array of one:
    ///
    /// ```
    /// # use servicebus_core::wire::{Multiple, Reader, Symbol, to_vec};
    /// let bytes = to_vec(&Symbol::new("PLAIN"));
    /// let mechanisms: Multiple<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(mechanisms.iter().collect::<Vec<_>>(), [Symbol::new("PLAIN")]);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let (listed, encoded) = match self.0 {
            Source::None => (&[][..], None),
            Source::Listed(listed) => (listed, None),
            Source::Encoded(bytes) => (&[][..], Decoder::new(bytes).one_or_many()),
        };
        let (mut listed, mut encoded) = (listed.iter(), encoded.unwrap_or(Array::EMPTY).iter());
        core::iter::from_fn(move || {
            loop {
                if let Some(&symbol) = listed.next() {
                    return Some(symbol);
                }
                if let Value::Symbol(symbol) = encoded.next()?.ok()? {
                    return Some(symbol);
                }
            }
        })
    }
}

impl core::fmt::Debug for Multiple<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Encode for Multiple<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self.0 {
            Source::None => sink.put_byte(0x40),
            Source::Encoded(bytes) => sink.put(bytes),
            Source::Listed(symbols) => {
                // The service writes its own lists as sym32 (docs/evidence/service-evidence.md §1); every peer reads
                // that.
                let mark = sink.begin();
                sink.put_byte(0xb3);
                for symbol in symbols {
                    sink.put_size(symbol.as_str().len());
                    sink.put(symbol.as_str().as_bytes());
                }
                sink.end(mark, Compound::Array, symbols.len());
            }
        }
    }
}

impl<'a> Decode<'a> for Multiple<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        decoder.checked_bytes().map(|bytes| Self(Source::Encoded(bytes)))
    }
}
