//! A map whose entries are appended one by one.

use super::{Compound, Encode, Map, Sink, Symbol, Value};

/// Writes a map and counts its entries.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Map, MapWriter, Reader, Sink, Value};
///
/// let mut bytes = Vec::new();
/// let mut sink = Sink::from(&mut bytes);
/// let mut properties = MapWriter::begin(&mut sink);
/// properties.put("color", "red");
/// properties.put("quantity", 3);
/// properties.end();
///
/// let map: Map<'_> = Reader::new(&bytes).read()?;
/// assert_eq!(map.get("quantity"), Some(Value::Int(3)));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct MapWriter<'s, 'a> {
    sink: &'s mut Sink<'a>,
    mark: usize,
    count: usize,
}

impl<'s, 'a> MapWriter<'s, 'a> {
    /// Begins a map.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink};
    /// # let mut bytes = Vec::new();
    /// let mut sink = Sink::from(&mut bytes);
    /// MapWriter::begin(&mut sink).end();
    /// assert_eq!(Reader::new(&bytes).read(), Ok(Map::EMPTY));
    /// ```
    pub fn begin(sink: &'s mut Sink<'a>) -> Self {
        let mark = sink.begin();
        Self { sink, mark, count: 0 }
    }

    /// Appends the key of an entry; the caller then appends its value to the sink.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// use servicebus_core::wire::Encode;
    ///
    /// let mut map = MapWriter::begin(&mut sink);
    /// "red".encode(map.key("color"));
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(format!("{map:?}"), r#"{String("color"): String("red")}"#);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn key(&mut self, key: &str) -> &mut Sink<'a> {
        key.encode(self.sink);
        self.count += 2;
        self.sink
    }

    /// Appends an entry.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put("color", "red");
    /// map.put("sold", true);
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(map.len(), 2);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn put(&mut self, key: &str, value: impl Encode) {
        value.encode(self.key(key));
    }

    /// Appends an entry, if there is a value.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_if("color", Some("red"));
    /// map.put_if("size", None::<u32>);
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!((map.len(), map.get("size")), (1, None));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn put_if(&mut self, key: &str, value: Option<impl Encode>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// Appends an entry for each of these.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_all(&[("color", "red".into()), ("quantity", 3.into())]);
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(map.len(), 2);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn put_all(&mut self, entries: &[(&str, Value<'_>)]) {
        for (key, value) in entries {
            self.put(key, value);
        }
    }

    /// Appends an entry whose key is of any type.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink, Value};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_entry(&Value::Ulong(0x28), &Value::String("source"));
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(map.iter().next(), Some(Ok((Value::Ulong(0x28), Value::String("source")))));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn put_entry(&mut self, key: &Value<'_>, value: &Value<'_>) {
        key.encode(self.sink);
        value.encode(self.sink);
        self.count += 2;
    }

    /// Appends the entries of a map as they are encoded.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink, Value, encode_map};
    /// # let (mut bytes, mut memory) = (Vec::new(), [0; 32]);
    /// let known = encode_map(&[("color".into(), "red".into())], &mut memory)?;
    ///
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put_map(known);
    /// map.put("quantity", 3);
    /// map.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(map.get("color"), Some(Value::String("red")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_map(&mut self, map: Map<'_>) {
        self.sink.put(map.items);
        self.count += map.count as usize;
    }

    /// Appends an entry whose key is a symbol.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Map, MapWriter, Reader, Sink, Value};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut annotations = MapWriter::begin(&mut sink);
    /// annotations.put_symbol("x-opt-partition-key", "red");
    /// annotations.end();
    /// # let map: Map<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(map.iter().next(), Some(Ok((Value::symbol("x-opt-partition-key"), "red".into()))));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn put_symbol(&mut self, key: &str, value: impl Encode) {
        value.encode(self.symbol(key));
    }

    fn symbol(&mut self, key: &str) -> &mut Sink<'a> {
        Symbol::new(key).encode(self.sink);
        self.count += 2;
        self.sink
    }

    /// Ends the map.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Encode, Map, MapWriter, Reader, Sink, Value};
    /// # let mut bytes = Vec::new();
    /// # let mut sink = Sink::from(&mut bytes);
    /// let mut map = MapWriter::begin(&mut sink);
    /// map.put("color", "red");
    /// map.end();
    /// "behind it".encode(&mut sink);
    ///
    /// let mut reader = Reader::new(&bytes);
    /// let map: Map<'_> = reader.read()?;
    /// assert_eq!((map.len(), reader.value()?), (1, Value::String("behind it")));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn end(self) {
        self.sink.end(self.mark, Compound::Map, self.count);
    }
}
