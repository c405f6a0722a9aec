//! A map whose entries are appended one by one.

use super::{Compound, Encode, Map, Sink, Symbol, Value};

/// Writes a map and counts its entries.
#[derive(Debug)]
pub struct MapWriter<'s, 'a> {
    sink: &'s mut Sink<'a>,
    mark: usize,
    count: usize,
}

impl<'s, 'a> MapWriter<'s, 'a> {
    /// Begins a map.
    pub fn begin(sink: &'s mut Sink<'a>) -> Self {
        let mark = sink.begin();
        Self { sink, mark, count: 0 }
    }

    /// Appends the key of an entry; the caller then appends its value to the sink.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn key(&mut self, key: &str) -> &mut Sink<'a> {
        key.encode(self.sink);
        self.count += 2;
        self.sink
    }

    /// Appends an entry.
    #[inline]
    pub fn put(&mut self, key: &str, value: impl Encode) {
        value.encode(self.key(key));
    }

    /// Appends an entry, if there is a value.
    #[inline]
    pub fn put_if(&mut self, key: &str, value: Option<impl Encode>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// Appends an entry for each of these.
    pub fn put_all(&mut self, entries: &[(&str, Value<'_>)]) {
        for (key, value) in entries {
            self.put(key, value);
        }
    }

    /// Appends an entry whose key is of any type.
    pub fn put_entry(&mut self, key: &Value<'_>, value: &Value<'_>) {
        key.encode(self.sink);
        value.encode(self.sink);
        self.count += 2;
    }

    /// Appends the entries of a map as they are encoded.
    pub fn put_map(&mut self, map: Map<'_>) {
        self.sink.put(map.items);
        self.count += map.count as usize;
    }

    /// Appends an entry whose key is a symbol.
    #[inline]
    pub fn put_symbol(&mut self, key: &str, value: impl Encode) {
        value.encode(self.symbol(key));
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn symbol(&mut self, key: &str) -> &mut Sink<'a> {
        Symbol::new(key).encode(self.sink);
        self.count += 2;
        self.sink
    }

    /// Ends the map.
    pub fn end(self) {
        self.sink.end(self.mark, Compound::Map, self.count);
    }
}
