//! AMQP values from and to the types of Rust.

use super::uuid::Uuid;
use super::value::{Array, Described, List, Map, Symbol, Value};
use crate::time::Timestamp;
use core::fmt;

macro_rules! value_from {
    ($($type:ty => $variant:ident),* $(,)?) => { $(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )* };
}

value_from! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, char => Char, Timestamp => Timestamp, Uuid => Uuid, &'a str => String,
    &'a [u8] => Binary, Symbol<'a> => Symbol, List<'a> => List, Map<'a> => Map, Array<'a> => Array,
    Described<'a> => Described,
}

/// A `long`, as counts are in the official SDKs; a `ulong` if it does not fit.
impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Self::Ulong(value as u64), Self::Long)
    }
}

/// A `long`.
impl From<isize> for Value<'_> {
    fn from(value: isize) -> Self {
        Self::Long(value as i64)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Binary(value)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::string::String> for Value<'a> {
    fn from(value: &'a alloc::string::String) -> Self {
        Self::String(value)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::vec::Vec<u8>> for Value<'a> {
    fn from(value: &'a alloc::vec::Vec<u8>) -> Self {
        Self::Binary(value)
    }
}

/// `None` is `null`.
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, T::into)
    }
}

#[cfg(feature = "uuid")]
mod uuids {
    use super::{Uuid, Value};
    use crate::wire::messaging::MessageId;

    impl From<uuid::Uuid> for Uuid {
        fn from(value: uuid::Uuid) -> Self {
            Self(value.into_bytes())
        }
    }

    impl From<Uuid> for uuid::Uuid {
        fn from(value: Uuid) -> Self {
            Self::from_bytes(value.0)
        }
    }

    impl From<uuid::Uuid> for Value<'_> {
        fn from(value: uuid::Uuid) -> Self {
            Self::Uuid(value.into())
        }
    }

    impl From<uuid::Uuid> for MessageId<'_> {
        fn from(value: uuid::Uuid) -> Self {
            Self::Uuid(value.into())
        }
    }

    impl TryFrom<Value<'_>> for uuid::Uuid {
        type Error = super::WrongValue;

        fn try_from(value: Value<'_>) -> Result<Self, super::WrongValue> {
            Uuid::try_from(value).map(Self::from)
        }
    }
}

/// A value is of another type, or beyond the range of the wanted one.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Value, WrongValue};
///
/// let quantity: Result<u8, WrongValue> = Value::Long(256).try_into();
/// let text = quantity.map_err(|error| error.to_string());
/// assert_eq!(text, Err("the value is no u8: its type is long".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WrongValue {
    wanted: &'static str,
    found: &'static str,
}

impl fmt::Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value is no {}: its type is {}", self.wanted, self.found)
    }
}

impl core::error::Error for WrongValue {}

/// A number comes from every integer type of AMQP whose value fits.
macro_rules! numbers_from_value {
    ($($type:ident)*) => { $(
        impl TryFrom<Value<'_>> for $type {
            type Error = WrongValue;

            fn try_from(value: Value<'_>) -> Result<Self, WrongValue> {
                let signed = value.as_i64().and_then(|number| number.try_into().ok());
                let number = signed.or_else(|| value.as_u64().and_then(|number| number.try_into().ok()));
                number.ok_or(WrongValue { wanted: stringify!($type), found: value.type_name() })
            }
        }
    )* };
}

numbers_from_value! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }

macro_rules! try_from_value {
    ($($type:ty, $wanted:literal, $method:ident;)*) => { $(
        impl<'a> TryFrom<Value<'a>> for $type {
            type Error = WrongValue;

            fn try_from(value: Value<'a>) -> Result<Self, WrongValue> {
                value.$method().ok_or(WrongValue { wanted: $wanted, found: value.type_name() })
            }
        }
    )* };
}

try_from_value! {
    bool, "bool", as_bool;
    char, "char", as_char;
    f64, "f64", as_f64;
    &'a str, "text", as_str;
    &'a [u8], "bytes", as_bytes;
    Timestamp, "timestamp", as_timestamp;
    Uuid, "uuid", as_uuid;
}

/// Each whole number up to this one, and its negative, is a double.
const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

/// Of a float, or of an integer up to 2²⁴, but not of a double, which may hold what no `f32` does.
impl TryFrom<Value<'_>> for f32 {
    type Error = WrongValue;

    fn try_from(value: Value<'_>) -> Result<Self, WrongValue> {
        let whole = |value: i64| (value.unsigned_abs() <= 1 << f32::MANTISSA_DIGITS).then_some(value as f32);
        match value {
            Value::Float(number) => Ok(number),
            _ => value.as_i64().and_then(whole).ok_or(WrongValue { wanted: "f32", found: value.type_name() }),
        }
    }
}

#[cfg(feature = "alloc")]
impl TryFrom<Value<'_>> for alloc::string::String {
    type Error = WrongValue;

    fn try_from(value: Value<'_>) -> Result<Self, WrongValue> {
        <&str>::try_from(value).map(Self::from)
    }
}

impl<'a> Value<'a> {
    /// The name of its type in AMQP (AMQP 1.0 §1.6).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::from(21.5).type_name(), "double");
    /// assert_eq!(Value::symbol("red").type_name(), "symbol");
    /// ```
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Ubyte(_) => "ubyte",
            Self::Ushort(_) => "ushort",
            Self::Uint(_) => "uint",
            Self::Ulong(_) => "ulong",
            Self::Byte(_) => "byte",
            Self::Short(_) => "short",
            Self::Int(_) => "int",
            Self::Long(_) => "long",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Decimal32(_) => "decimal32",
            Self::Decimal64(_) => "decimal64",
            Self::Decimal128(_) => "decimal128",
            Self::Char(_) => "char",
            Self::Timestamp(_) => "timestamp",
            Self::Uuid(_) => "uuid",
            Self::Binary(_) => "binary",
            Self::String(_) => "string",
            Self::Symbol(_) => "symbol",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Array(_) => "array",
            Self::Described(_) => "described",
        }
    }

    /// A boolean's value.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Boolean(true).as_bool(), Some(true));
    /// assert_eq!(Value::Int(1).as_bool(), None);
    /// ```
    pub const fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// Any integer type's value, when it is not negative.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Int(3).as_u64(), Some(3));
    /// assert_eq!(Value::Int(-3).as_u64(), None);
    /// ```
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Ulong(value) => Some(value),
            _ => self.as_i64().and_then(|value| value.try_into().ok()),
        }
    }

    /// A float's or double's value, and that of an integer up to 2⁵³, which a double holds exactly. Peers disagree here too:
    /// the SDK for JavaScript sends 1000.5 as a double, and 1000 as an integer.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Float(1.5).as_f64(), Some(1.5));
    /// assert_eq!(Value::Uint(1000).as_f64(), Some(1000.0));
    /// assert_eq!(Value::Long(i64::MAX).as_f64(), None, "it would be another number");
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(value) => Some(value.into()),
            Self::Double(value) => Some(value),
            _ => self.as_i64().filter(|value| value.unsigned_abs() <= EXACT).map(|value| value as f64),
        }
    }

    /// A char's value.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Value;
    /// assert_eq!(Value::Char('ä').as_char(), Some('ä'));
    /// assert_eq!(Value::String("ä").as_char(), None);
    /// ```
    pub const fn as_char(&self) -> Option<char> {
        match *self {
            Self::Char(value) => Some(value),
            _ => None,
        }
    }

    /// A UUID's value.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Uuid, Value};
    /// let lock_token = Value::Uuid(Uuid([7; 16]));
    /// assert_eq!(lock_token.as_uuid(), Some(Uuid([7; 16])));
    /// ```
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match *self {
            Self::Uuid(value) => Some(value),
            _ => None,
        }
    }
}

/// Text as it is, numbers in decimal, times in ISO 8601, bytes and decimals in hexadecimal digits. Items of a list, map
/// or array are shown, and of what lies deeper the size alone, so that no peer decides how deep this goes.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => commas(f, '[', list.iter().map_while(Result::ok).map(Item), ']'),
            Self::Array(array) => commas(f, '[', array.iter().map_while(Result::ok).map(Item), ']'),
            Self::Map(map) => commas(f, '{', map.iter().map_while(Result::ok).map(Entry), '}'),
            value => Item(*value).fmt(f),
        }
    }
}

/// A value within another one.
struct Item<'a>(Value<'a>);

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => value.fmt(f),
            Value::Ubyte(value) => value.fmt(f),
            Value::Ushort(value) => value.fmt(f),
            Value::Uint(value) => value.fmt(f),
            Value::Ulong(value) => value.fmt(f),
            Value::Byte(value) => value.fmt(f),
            Value::Short(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Long(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Double(value) => value.fmt(f),
            Value::Decimal32(bytes) => digits(f, bytes),
            Value::Decimal64(bytes) => digits(f, bytes),
            Value::Decimal128(bytes) => digits(f, bytes),
            Value::Char(value) => value.fmt(f),
            Value::Timestamp(value) => value.fmt(f),
            Value::Uuid(value) => value.fmt(f),
            Value::Binary(bytes) => digits(f, bytes),
            Value::String(text) => f.write_str(text),
            Value::Symbol(symbol) => symbol.fmt(f),
            Value::List(list) => write!(f, "[{} items]", list.len()),
            Value::Array(array) => write!(f, "[{} items]", array.len()),
            Value::Map(map) => write!(f, "{{{} entries}}", map.len()),
            Value::Described(described) => fmt::Debug::fmt(described, f),
        }
    }
}

struct Entry<'a>((Value<'a>, Value<'a>));

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.0;
        write!(f, "{}: {}", Item(key), Item(value))
    }
}

fn digits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn commas(
    f: &mut fmt::Formatter<'_>,
    open: char,
    items: impl Iterator<Item = impl fmt::Display>,
    close: char,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (number, item) in items.enumerate() {
        write!(f, "{}{item}", if number == 0 { "" } else { ", " })?;
    }
    write!(f, "{close}")
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::wire::{encode_list, encode_map};
    use alloc::string::{String, ToString};

    #[test]
    fn literals_and_numbers_become_values() {
        let values: [Value<'_>; 6] = [3.into(), 3i64.into(), 3usize.into(), 21.5.into(), true.into(), "text".into()];
        let names = values.map(|value| value.type_name());
        assert_eq!(names, ["int", "long", "long", "double", "boolean", "string"]);
        assert_eq!(Value::from(None::<i32>), Value::Null);
        assert_eq!(Value::from(Some(&String::from("x"))), Value::String("x"));
    }

    #[test]
    fn values_become_numbers_that_hold_them() {
        assert_eq!(u8::try_from(Value::Long(255)), Ok(255));
        assert_eq!(u64::try_from(Value::Ulong(u64::MAX)), Ok(u64::MAX));
        assert_eq!(i8::try_from(Value::Ulong(100)), Ok(100));
        assert_eq!(f64::try_from(Value::Float(1.5)), Ok(1.5));
        for whole in [Value::Uint(1_000), Value::Long(1_000), Value::Ubyte(0), Value::Int(-7), Value::Ulong(1 << 53)] {
            let number = whole.as_i64().unwrap();
            assert_eq!(f64::try_from(whole).map(|double| double as i64), Ok(number), "{whole}");
        }
        assert!(
            [Value::Ulong((1 << 53) + 1), Value::Long(i64::MIN), Value::Ulong(u64::MAX)]
                .iter()
                .all(|value| value.as_f64().is_none())
        );
        assert!(Value::from(true).as_f64().is_none() && Value::from("1").as_f64().is_none());
        assert_eq!(f32::try_from(Value::Float(1.5)), Ok(1.5));
        assert_eq!(f32::try_from(Value::Uint(1 << 24)), Ok(16_777_216.0));
        assert!(f32::try_from(Value::Double(1.5)).is_err() && f32::try_from(Value::Uint((1 << 24) + 1)).is_err());
        assert_eq!(char::try_from(Value::from('x')), Ok('x'));
        assert_eq!(String::try_from(Value::symbol("x")), Ok("x".into()));
        let error = u8::try_from(Value::Long(256)).unwrap_err();
        assert_eq!(error.to_string(), "the value is no u8: its type is long");
        assert!(u32::try_from(Value::Int(-1)).is_err() && i64::try_from(Value::Ulong(u64::MAX)).is_err());
        assert!(bool::try_from(Value::Int(1)).is_err() && <&str>::try_from(Value::Binary(b"x")).is_err());
    }

    #[test]
    fn values_are_shown_for_people() {
        let (mut inner, mut outer, mut map) = ([0; 32], [0; 64], [0; 64]);
        let list = encode_list(&[1.into(), "a".into()], &mut inner).unwrap();
        let nested = encode_list(&[Value::List(list), Value::Null], &mut outer).unwrap();
        let entries = encode_map(&[("k".into(), 1.5.into()), (Value::symbol("s"), true.into())], &mut map).unwrap();
        for (value, text) in [
            (Value::List(list), "[1, a]"),
            (Value::List(nested), "[[2 items], null]"),
            (Value::Map(entries), "{k: 1.5, s: true}"),
            (Value::Binary(&[0, 255]), "0x00ff"),
            (Value::Timestamp(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000Z"),
            (Value::Uuid(Uuid([0x11; 16])), "11111111-1111-1111-1111-111111111111"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
