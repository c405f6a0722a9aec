//! Encoding of compound values, and of values of any type.

use super::codec::fixed;
use super::{Array, Compound, Decode, Decoder, Described, Encode, Full, List, Map, Sink, Value};

/// Encodes `items` as a list into `buffer` and returns the view, to nest it in another value.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Value, encode_list};
///
/// let mut memory = [0; 32];
/// let list = encode_list(&["red".into(), 3.into()], &mut memory)?;
/// assert_eq!(Value::List(list).to_string(), "[red, 3]");
/// # Ok::<(), servicebus_core::wire::Full>(())
/// ```
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
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Value, encode_map};
///
/// let mut memory = [0; 32];
/// let annotations = encode_map(&[(Value::symbol("color"), "red".into())], &mut memory)?;
/// assert_eq!(annotations.get("color"), Some(Value::String("red")));
/// # Ok::<(), servicebus_core::wire::Full>(())
/// ```
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
