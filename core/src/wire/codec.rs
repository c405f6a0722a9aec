//! Encoding and decoding of the primitive types, always in their shortest form.

use super::value::{Array, Described, List, Map, Symbol, Uuid, Value};
use super::{DecodeError, Full, Reader, Sink};
use crate::time::Timestamp;

/// A value that can be appended to a [`Sink`].
pub trait Encode {
    /// Appends the encoded value; after [`Full`] the sink's end is unspecified.
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full>;
}

/// Encodes `value`. With an allocator each kind of sink has code of its own, inlined; without one all sinks share one
/// copy of it and pay an indirect call for each piece: that halves the encoders' size.
pub fn encode<T: Encode + ?Sized, W: Sink>(value: &T, sink: &mut W) -> Result<(), Full> {
    #[cfg(feature = "alloc")]
    return value.encode(sink);
    #[cfg(not(feature = "alloc"))]
    {
        let mut sink: &mut dyn Sink = sink;
        value.encode(&mut sink)
    }
}

/// A value that can be read from encoded bytes that live for `'a`.
pub trait Decode<'a>: Sized {
    /// Takes one value from `reader`.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

impl<T: Encode> Encode for Option<T> {
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match self {
            Some(value) => value.encode(sink),
            None => sink.put(&[0x40]),
        }
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        (**self).encode(sink)
    }
}

impl Encode for bool {
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        sink.put(&[if *self { 0x41 } else { 0x42 }])
    }
}

impl Encode for u8 {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        sink.put(&[0x50, *self])
    }
}

impl Encode for i8 {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        sink.put(&[0x51, *self as u8])
    }
}

impl Encode for u32 {
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match u8::try_from(*self) {
            Ok(0) => sink.put(&[0x43]),
            Ok(small) => sink.put(&[0x52, small]),
            Err(_) => {
                let [a, b, c, d] = self.to_be_bytes();
                sink.put(&[0x70, a, b, c, d])
            }
        }
    }
}

impl Encode for u64 {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match u8::try_from(*self) {
            Ok(0) => sink.put(&[0x44]),
            Ok(small) => sink.put(&[0x53, small]),
            Err(_) => fixed(sink, 0x80, self.to_be_bytes()),
        }
    }
}

impl Encode for i32 {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match i8::try_from(*self) {
            Ok(small) => sink.put(&[0x54, small as u8]),
            Err(_) => fixed(sink, 0x71, self.to_be_bytes()),
        }
    }
}

impl Encode for i64 {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match i8::try_from(*self) {
            Ok(small) => sink.put(&[0x55, small as u8]),
            Err(_) => fixed(sink, 0x81, self.to_be_bytes()),
        }
    }
}

#[cfg_attr(feature = "alloc", inline)]
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn fixed<W: Sink, const N: usize>(sink: &mut W, code: u8, bytes: [u8; N]) -> Result<(), Full> {
    sink.put(&[code])?;
    sink.put(&bytes)
}

macro_rules! encode_fixed {
    ($($type:ty => $code:literal, |$value:ident| $bytes:expr;)*) => { $(
        impl Encode for $type {
            fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
                let $value = *self;
                fixed(sink, $code, $bytes)
            }
        }
    )* };
}

encode_fixed! {
    u16 => 0x60, |v| v.to_be_bytes();
    i16 => 0x61, |v| v.to_be_bytes();
    f32 => 0x72, |v| v.to_be_bytes();
    f64 => 0x82, |v| v.to_be_bytes();
    char => 0x73, |v| u32::from(v).to_be_bytes();
    Timestamp => 0x83, |v| v.as_millis().to_be_bytes();
    Uuid => 0x98, |v| v.0;
}

#[cfg_attr(feature = "alloc", inline)]
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn variable<W: Sink>(sink: &mut W, small: u8, bytes: &[u8]) -> Result<(), Full> {
    match u8::try_from(bytes.len()) {
        Ok(len) => sink.put(&[small, len])?,
        Err(_) => {
            let [a, b, c, d] = u32::try_from(bytes.len()).map_err(|_| Full)?.to_be_bytes();
            // The 32-bit forms lie 0x10 above the 8-bit ones.
            sink.put(&[small + 0x10, a, b, c, d])?;
        }
    }
    sink.put(bytes)
}

impl Encode for [u8] {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        variable(sink, 0xa0, self)
    }
}

impl Encode for str {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        variable(sink, 0xa1, self.as_bytes())
    }
}

impl Encode for Symbol<'_> {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        variable(sink, 0xa3, self.as_str().as_bytes())
    }
}

#[cold]
fn unexpected<T>(expected: &'static str, found: u8) -> Result<T, DecodeError> {
    Err(DecodeError::UnexpectedType { expected, found })
}

macro_rules! decode {
    ($($type:ty, $name:literal, |$reader:ident| { $($pattern:pat => $result:expr),* $(,)? })*) => { $(
        impl<'a> Decode<'a> for $type {
            #[inline]
            fn decode($reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                match $reader.byte()? {
                    $($pattern => $result,)*
                    found => unexpected($name, found),
                }
            }
        }
    )* };
}

decode! {
    u8, "ubyte", |r| { 0x50 => r.byte() }
    i8, "byte", |r| { 0x51 => r.byte().map(|v| v as i8) }
    u16, "ushort", |r| { 0x60 => r.array().map(u16::from_be_bytes) }
    i16, "short", |r| { 0x61 => r.array().map(i16::from_be_bytes) }
    u32, "uint", |r| { 0x43 => Ok(0), 0x52 => r.byte().map(u32::from), 0x70 => r.array().map(u32::from_be_bytes) }
    u64, "ulong", |r| { 0x44 => Ok(0), 0x53 => r.byte().map(u64::from), 0x80 => r.array().map(u64::from_be_bytes) }
    i32, "int", |r| { 0x54 => r.byte().map(|v| i32::from(v as i8)), 0x71 => r.array().map(i32::from_be_bytes) }
    i64, "long", |r| { 0x55 => r.byte().map(|v| i64::from(v as i8)), 0x81 => r.array().map(i64::from_be_bytes) }
    f32, "float", |r| { 0x72 => r.array().map(f32::from_be_bytes) }
    f64, "double", |r| { 0x82 => r.array().map(f64::from_be_bytes) }
    Timestamp, "timestamp", |r| { 0x83 => r.array().map(|v| Timestamp::from_millis(i64::from_be_bytes(v))) }
    Uuid, "uuid", |r| { 0x98 => r.array().map(Uuid) }
    bool, "boolean", |r| {
        0x41 => Ok(true), 0x42 => Ok(false),
        0x56 => match r.byte()? { 0 => Ok(false), 1 => Ok(true), _ => Err(DecodeError::InvalidField("boolean")) },
    }
    char, "char", |r| { 0x73 => char::from_u32(u32::from_be_bytes(r.array()?)).ok_or(DecodeError::InvalidText) }
}

fn variable_bytes<'a>(reader: &mut Reader<'a>, small: u8, expected: &'static str) -> Result<&'a [u8], DecodeError> {
    let code = reader.byte()?;
    let len = if code == small {
        usize::from(reader.byte()?)
    } else if code == small + 0x10 {
        u32::from_be_bytes(reader.array()?) as usize
    } else {
        return unexpected(expected, code);
    };
    reader.take(len)
}

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        variable_bytes(reader, 0xa0, "binary")
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        core::str::from_utf8(variable_bytes(reader, 0xa1, "string")?).map_err(|_| DecodeError::InvalidText)
    }
}

impl<'a> Decode<'a> for Symbol<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Symbol::from_bytes(variable_bytes(reader, 0xa3, "symbol")?)
    }
}

macro_rules! decode_compound {
    ($($type:ident, $name:literal)*) => { $(
        impl<'a> Decode<'a> for $type<'a> {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let found = reader.peek()?;
                match reader.value()? {
                    Value::$type(value) => Ok(value),
                    _ => unexpected($name, found),
                }
            }
        }
    )* };
}

decode_compound! { List, "list" Map, "map" Array, "array" Described, "described value" }

/// A field that may hold several symbols: null, one symbol, or an array of them (AMQP 1.0 §1.4, `multiple`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Multiple<'a>(Source<'a>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Source<'a> {
    #[default]
    None,
    Listed(&'a [Symbol<'a>]),
    Encoded(Value<'a>),
}

impl<'a> Multiple<'a> {
    /// No symbol: encoded as null.
    pub const NONE: Self = Self(Source::None);

    /// These symbols, sent as an array.
    pub const fn new(symbols: &'a [Symbol<'a>]) -> Self {
        if symbols.is_empty() { Self::NONE } else { Self(Source::Listed(symbols)) }
    }

    /// The symbols in order; what is no symbol is passed over.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let symbol = |value: Value<'a>| match value {
            Value::Symbol(symbol) => Some(symbol),
            _ => None,
        };
        let (listed, single, array) = match self.0 {
            Source::None => (&[][..], None, None),
            Source::Listed(listed) => (listed, None, None),
            Source::Encoded(Value::Array(array)) => (&[][..], None, Some(array)),
            Source::Encoded(value) => (&[][..], symbol(value), None),
        };
        let array = array.into_iter().flat_map(|array| array.iter().map_while(Result::ok)).filter_map(symbol);
        listed.iter().copied().chain(single).chain(array)
    }
}

impl Encode for Multiple<'_> {
    fn encode<W: Sink>(&self, sink: &mut W) -> Result<(), Full> {
        match self.0 {
            Source::None => sink.put(&[0x40]),
            Source::Encoded(value) => value.encode(sink),
            Source::Listed(symbols) => {
                // The service writes its own lists as sym32 (service-evidence.md §1); every peer reads that.
                let mark = sink.begin()?;
                sink.put(&[0xb3])?;
                for symbol in symbols {
                    let text = symbol.as_str().as_bytes();
                    sink.put(&u32::try_from(text.len()).map_err(|_| Full)?.to_be_bytes())?;
                    sink.put(text)?;
                }
                sink.end(mark, super::Compound::Array, u32::try_from(symbols.len()).map_err(|_| Full)?)
            }
        }
    }
}

impl<'a> Decode<'a> for Multiple<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.value().map(|value| Self(Source::Encoded(value)))
    }
}
