//! Values of properties, constants and parameters.

use super::decimal::Decimal;
use super::time::{DateTime, print_span, print_time};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::{self, Encode, Sink, Symbol, Uuid};
use std::borrow::Cow;

/// .NET's `TimeSpan` as Service Bus describes it.
const TIMESPAN: &str = "com.microsoft:timespan";
/// .NET's `DateTimeOffset` as Service Bus describes it.
const DATETIME_OFFSET: &str = "com.microsoft:datetime-offset";
/// .NET's `Uri` as Service Bus describes it.
const URI: &str = "com.microsoft:uri";

/// A value of a property, with the type it has on the wire. `Value<'static>` owns its text.
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::Value;
///
/// let wanted = [("color", Value::String("red".into())), ("quantity", Value::Long(12))];
/// let text = match &wanted[1].1 {
///     Value::Long(number) => number.to_string(),
///     Value::String(text) => text.to_string(),
///     _ => String::new(),
/// };
/// assert_eq!(text, "12");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// There, but without a value.
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
    /// `decimal32`, `decimal64` or `decimal128`; written as the last.
    Decimal(Decimal),
    /// `char`
    Char(char),
    /// `timestamp`, or a .NET `DateTimeOffset`
    Timestamp(Timestamp),
    /// A time that a rule names, as it was written; a timestamp in messages.
    DateTime(DateTime),
    /// A .NET `TimeSpan`: ticks of 100 ns.
    Duration(i64),
    /// `uuid`
    Uuid(Uuid),
    /// `binary`
    Binary(Cow<'a, [u8]>),
    /// `string`, `symbol`, or a .NET `Uri`
    String(Cow<'a, str>),
    /// Anything else: there, but equal to nothing. Written as null.
    Opaque,
}

impl Value<'_> {
    /// The same value with text and bytes of its own.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Value;
    /// let line = String::from("color=red");
    /// let value: Value<'static> = Value::String(line["color=".len()..].into()).into_owned();
    /// drop(line);
    /// assert_eq!(value.as_str(), Some("red"));
    /// ```
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Binary(bytes) => Value::Binary(Cow::Owned(bytes.into_owned())),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Null => Value::Null,
            Self::Boolean(v) => Value::Boolean(v),
            Self::Ubyte(v) => Value::Ubyte(v),
            Self::Ushort(v) => Value::Ushort(v),
            Self::Uint(v) => Value::Uint(v),
            Self::Ulong(v) => Value::Ulong(v),
            Self::Byte(v) => Value::Byte(v),
            Self::Short(v) => Value::Short(v),
            Self::Int(v) => Value::Int(v),
            Self::Long(v) => Value::Long(v),
            Self::Float(v) => Value::Float(v),
            Self::Double(v) => Value::Double(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Char(v) => Value::Char(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::DateTime(v) => Value::DateTime(v),
            Self::Duration(v) => Value::Duration(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Opaque => Value::Opaque,
        }
    }

    /// The same value, borrowing its text and bytes from this one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Value;
    /// let value = Value::String("red".into());
    /// assert_eq!(value.borrowed(), value);
    /// ```
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Binary(bytes) => Value::Binary(Cow::Borrowed(bytes)),
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// The text of a string.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Value;
    /// assert_eq!(Value::String("red".into()).as_str(), Some("red"));
    /// assert_eq!(Value::Long(12).as_str(), None);
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as .NET prints it in the invariant culture; `None` for bytes, and for what is no value.
    pub(super) fn to_text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(match self {
            Self::String(text) => return Some(Cow::Borrowed(text)),
            Self::Boolean(true) => "True".into(),
            Self::Boolean(false) => "False".into(),
            Self::Ubyte(v) => v.to_string(),
            Self::Ushort(v) => v.to_string(),
            Self::Uint(v) => v.to_string(),
            Self::Ulong(v) => v.to_string(),
            Self::Byte(v) => v.to_string(),
            Self::Short(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Long(v) => v.to_string(),
            Self::Float(v) => v.to_string(),
            Self::Double(v) => v.to_string(),
            Self::Decimal(v) => v.to_string(),
            Self::Char(v) => v.to_string(),
            Self::Timestamp(v) => print_time(*v),
            Self::DateTime(v) => print_time(v.timestamp()),
            Self::Duration(ticks) => print_span(*ticks),
            Self::Uuid(v) => LockToken::from_uuid(*v).to_string(),
            Self::Null | Self::Binary(_) | Self::Opaque => return None,
        }))
    }
}

impl<'a> From<wire::Value<'a>> for Value<'a> {
    fn from(value: wire::Value<'a>) -> Self {
        match value {
            wire::Value::Null => Self::Null,
            wire::Value::Boolean(v) => Self::Boolean(v),
            wire::Value::Ubyte(v) => Self::Ubyte(v),
            wire::Value::Ushort(v) => Self::Ushort(v),
            wire::Value::Uint(v) => Self::Uint(v),
            wire::Value::Ulong(v) => Self::Ulong(v),
            wire::Value::Byte(v) => Self::Byte(v),
            wire::Value::Short(v) => Self::Short(v),
            wire::Value::Int(v) => Self::Int(v),
            wire::Value::Long(v) => Self::Long(v),
            wire::Value::Float(v) => Self::Float(v),
            wire::Value::Double(v) => Self::Double(v),
            wire::Value::Decimal32(v) => Decimal::from_decimal32(v).map_or(Self::Opaque, Self::Decimal),
            wire::Value::Decimal64(v) => Decimal::from_decimal64(v).map_or(Self::Opaque, Self::Decimal),
            wire::Value::Decimal128(v) => Decimal::from_decimal128(v).map_or(Self::Opaque, Self::Decimal),
            wire::Value::Char(v) => Self::Char(v),
            wire::Value::Timestamp(v) => Self::Timestamp(v),
            wire::Value::Uuid(v) => Self::Uuid(v),
            wire::Value::Binary(v) => Self::Binary(Cow::Borrowed(v)),
            wire::Value::String(v) => Self::String(Cow::Borrowed(v)),
            wire::Value::Symbol(v) => Self::String(Cow::Borrowed(v.as_str())),
            wire::Value::Described(described) => match (described.descriptor(), described.value()) {
                (Ok(wire::Value::Symbol(name)), Ok(value)) => match (name.as_str(), value) {
                    (TIMESPAN, wire::Value::Long(ticks)) => Self::Duration(ticks),
                    (DATETIME_OFFSET, wire::Value::Long(ticks)) => Self::Timestamp(Timestamp::from_dotnet_ticks(ticks)),
                    (URI, wire::Value::String(text)) => Self::String(Cow::Borrowed(text)),
                    _ => Self::Opaque,
                },
                _ => Self::Opaque,
            },
            _ => Self::Opaque,
        }
    }
}

impl Encode for Value<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Null | Self::Opaque => sink.put_byte(0x40),
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
            Self::Decimal(v) => wire::Value::Decimal128(v.to_decimal128()).encode(sink),
            Self::Char(v) => v.encode(sink),
            Self::Timestamp(v) => v.encode(sink),
            Self::DateTime(v) => v.timestamp().encode(sink),
            Self::Duration(ticks) => {
                sink.put_byte(0);
                Symbol::new(TIMESPAN).encode(sink);
                ticks.encode(sink);
            }
            Self::Uuid(v) => v.encode(sink),
            Self::Binary(v) => wire::Value::Binary(v).encode(sink),
            Self::String(v) => wire::Value::String(v).encode(sink),
        }
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),* $(,)?) => { $(
        impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )* };
}

value_from! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, char => Char, Timestamp => Timestamp, Uuid => Uuid, Decimal => Decimal,
    DateTime => DateTime,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl From<Duration> for Value<'_> {
    /// The longest duration when it is beyond what ticks can count.
    fn from(duration: Duration) -> Self {
        Self::Duration(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicebus_core::wire::Reader;

    #[test]
    fn every_kind_comes_back_from_the_wire() {
        let decimal = Decimal::from_decimal32(((101 - 1) << 23 | 15u32).to_be_bytes()).expect("a number");
        for value in [
            Value::Null,
            true.into(),
            1u8.into(),
            2u16.into(),
            3u32.into(),
            4u64.into(),
            (-1i8).into(),
            (-2i16).into(),
            (-3i32).into(),
            (-4i64).into(),
            1.5f32.into(),
            2.5f64.into(),
            decimal.into(),
            'ß'.into(),
            Timestamp::from_millis(5).into(),
            Duration::from_secs(90).into(),
            Uuid([7; 16]).into(),
            Value::Binary(Cow::Borrowed(b"bytes")),
            "text".into(),
        ] {
            let bytes = wire::to_vec(&value);
            let read = Reader::new(&bytes).value().expect("well-formed");
            assert_eq!(Value::from(read), value);
        }
    }
}
