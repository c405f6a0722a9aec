//! The named values of an owned message, kept as they are sent.

use super::entries::Entries;
use crate::wire::{Decoder, Encode, Map, Sink, Value};
use alloc::vec::Vec;
use core::ops::Range;

/// The encoded entries of a map, without its head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EncodedEntries {
    count: u32,
    items: Vec<u8>,
}

impl EncodedEntries {
    /// A copy of these; `key` makes the key of a name.
    pub(super) fn of(entries: &Entries<'_>, key: fn(&str) -> Value<'_>) -> Self {
        let mut copy = Self::default();
        // Of a name that is there twice the last value counts.
        let put = if entries.is_slice() { Self::set } else { Self::append };
        entries.for_each(key, |key, value| put(&mut copy, key, value));
        copy
    }

    pub(super) fn as_entries(&self) -> Entries<'_> {
        Entries::encoded(self.as_map())
    }

    pub(super) fn as_map(&self) -> Map<'_> {
        Map::of_encoded(self.count, &self.items)
    }

    /// Appends an entry whose key is new.
    pub(super) fn append(&mut self, key: Value<'_>, value: Value<'_>) {
        let mut sink = Sink::from(&mut self.items);
        key.encode(&mut sink);
        value.encode(&mut sink);
        self.count += 1;
    }

    /// Sets the value of a key.
    pub(super) fn set(&mut self, key: Value<'_>, value: Value<'_>) {
        if let Some(place) = self.find(key) {
            self.items.drain(place);
            self.count -= 1;
        }
        self.append(key, value);
    }

    /// Where the entry with this key lies.
    fn find(&self, key: Value<'_>) -> Option<Range<usize>> {
        let mut items = Decoder::new(&self.items);
        let at = |items: &Decoder<'_>| self.items.len() - items.rest().len();
        while !items.rest().is_empty() {
            let start = at(&items);
            let found = items.value()?;
            items.skip()?;
            if found == key {
                return Some(start..at(&items));
            }
        }
        None
    }
}
