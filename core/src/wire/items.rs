//! The items of compound values, decoded on demand.

use super::{Array, DecodeError, Decoder, Described, List, Map, Reader, Value};
use core::fmt;

impl<'a> List<'a> {
    /// The items in order; ends after the first error.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, encode_list};
    /// # let mut memory = [0; 32];
    /// let list = encode_list(&["red".into(), 3.into()], &mut memory)?;
    /// let items: Vec<_> = list.iter().collect::<Result<_, _>>()?;
    /// assert_eq!(items, [Value::String("red"), Value::Int(3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

impl<'a> Map<'a> {
    /// The entries in order; ends after the first error.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, encode_map};
    /// # let mut memory = [0; 32];
    /// let map = encode_map(&[("color".into(), "red".into())], &mut memory)?;
    /// for entry in map.iter() {
    ///     let (key, value) = entry?;
    ///     assert_eq!((key, value), (Value::String("color"), Value::String("red")));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Result<(Value<'a>, Value<'a>), DecodeError>> + use<'a> {
        let mut items = List { count: self.count, items: self.items }.iter();
        core::iter::from_fn(move || {
            let key = items.next()?;
            let value = items.next()?;
            Some(key.and_then(|key| value.map(|value| (key, value))))
        })
    }

    /// The value whose key is this text, as a string or as a symbol; malformed entries end the search.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Value, encode_map};
    /// # let mut memory = [0; 32];
    /// let map = encode_map(&[("quantity".into(), 3.into())], &mut memory)?;
    /// assert_eq!(map.get("quantity").and_then(|value| value.as_i64()), Some(3));
    /// assert_eq!(map.get("color"), None);
    /// # Ok::<(), servicebus_core::wire::Full>(())
    /// ```
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let mut items = Decoder::new(self.items);
        for _ in 0..self.count / 2 {
            let found = match items.rest() {
                // The short forms of symbol and string are compared as bytes; other values are not validated.
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

impl<'a> Array<'a> {
    /// The items in order; ends after the first error.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Array, Reader, Value};
    /// let array: Array<'_> = Reader::new(b"\xe0\x04\x02\x50\x01\x02").read()?;
    /// let items: Vec<_> = array.iter().collect::<Result<_, _>>()?;
    /// assert_eq!(items, [Value::Ubyte(1), Value::Ubyte(2)]);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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

/// A value of a formatted map: of maps inside of it only the size, so that no peer decides the depth of recursion.
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

impl<'a> Described<'a> {
    /// The descriptor.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Described, Reader, Value};
    /// let described: Described<'_> = Reader::new(b"\x00\xa3\x06filter\xa1\x03red").read()?;
    /// assert_eq!(described.descriptor()?, Value::symbol("filter"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn descriptor(&self) -> Result<Value<'a>, DecodeError> {
        Reader::new(self.descriptor).value()
    }

    /// The descriptor when it is a `ulong`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::Accepted;
    /// # use servicebus_core::wire::{Described, Reader, to_vec};
    /// let bytes = to_vec(&Accepted {});
    /// let described: Described<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(described.code(), Some(0x24));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn code(&self) -> Option<u64> {
        match self.descriptor() {
            Ok(Value::Ulong(code)) => Some(code),
            _ => None,
        }
    }

    /// The value that is described.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Described, Reader, Value};
    /// let described: Described<'_> = Reader::new(b"\x00\xa3\x06filter\xa1\x03red").read()?;
    /// assert_eq!(described.value()?, Value::String("red"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn value(&self) -> Result<Value<'a>, DecodeError> {
        Reader::new(self.payload).payload(self.constructor)
    }
}

/// Formats only the descriptor: frames are logged at trace level, and a filter in one may hold a secret.
impl fmt::Debug for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.descriptor() {
            Ok(Value::Ulong(code)) => write!(f, "Described({code:#x})"),
            Ok(Value::Symbol(name)) => write!(f, "Described({name:?})"),
            _ => f.write_str("Described"),
        }
    }
}
