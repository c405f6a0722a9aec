//! Named values that a message carries in one section: application properties, annotations or a footer.

use super::key::{
    DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SOURCE, ENQUEUED_SEQUENCE_NUMBER, ENQUEUED_TIME,
    LOCK_TOKEN, LOCKED_UNTIL, MESSAGE_STATE, PARTITION_ID, PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, SEQUENCE_NUMBER,
    VIA_PARTITION_KEY,
};
use crate::wire::{Map, MapWriter, Value};
use core::fmt;

/// The named values of a message's section, borrowed: a slice of pairs, or the section of another message.
///
/// Names are meant to be unique; a slice that has one twice is sent as it is.
#[derive(Clone, Copy, Default)]
pub struct Entries<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Listed(&'a [(&'a str, Value<'a>)]),
    /// The map of an owned message.
    #[cfg(feature = "alloc")]
    Encoded(Map<'a>),
    /// The map of a received message, of which the service's own entries are left out.
    Received(Map<'a>),
}

impl Default for Source<'_> {
    fn default() -> Self {
        Self::Listed(&[])
    }
}

/// Application properties and annotations that the service sets (docs/evidence/wire-protocol.md §4.7), and annotations
/// that have a field of their own in a message.
const NOT_FORWARDED: [&str; 13] = [
    DEAD_LETTER_REASON,
    DEAD_LETTER_ERROR_DESCRIPTION,
    DEAD_LETTER_SOURCE,
    ENQUEUED_SEQUENCE_NUMBER,
    ENQUEUED_TIME,
    LOCK_TOKEN,
    LOCKED_UNTIL,
    MESSAGE_STATE,
    PARTITION_ID,
    PARTITION_KEY,
    SCHEDULED_ENQUEUE_TIME,
    SEQUENCE_NUMBER,
    VIA_PARTITION_KEY,
];

fn is_forwarded(key: &Value<'_>) -> bool {
    key.as_str().is_none_or(|key| !NOT_FORWARDED.contains(&key))
}

impl<'a> Entries<'a> {
    /// What a received message brings and a copy of it keeps.
    pub(super) const fn received(map: Map<'a>) -> Self {
        Self(Source::Received(map))
    }

    /// A map that an owned message keeps encoded.
    #[cfg(feature = "alloc")]
    pub(super) const fn encoded(map: Map<'a>) -> Self {
        Self(Source::Encoded(map))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self.0 {
            Source::Listed(entries) => entries.is_empty(),
            #[cfg(feature = "alloc")]
            Source::Encoded(map) => map.is_empty(),
            Source::Received(map) => !map.iter().map_while(Result::ok).any(|(key, _)| is_forwarded(&key)),
        }
    }

    /// The value with this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        match self.0 {
            Source::Listed(entries) => entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value),
            #[cfg(feature = "alloc")]
            Source::Encoded(map) => map.get(name),
            Source::Received(map) => {
                if NOT_FORWARDED.contains(&name) {
                    None
                } else {
                    map.get(name)
                }
            }
        }
    }

    /// Appends the entries to a map, application properties with strings as keys.
    pub(super) fn put_properties(&self, map: &mut MapWriter<'_, '_>) {
        match self.0 {
            Source::Listed(entries) => map.put_all(entries),
            _ => self.put_map(map),
        }
    }

    /// Appends the entries to a map, annotations with symbols as keys.
    pub(super) fn put_annotations(&self, map: &mut MapWriter<'_, '_>) {
        match self.0 {
            Source::Listed(entries) => {
                for (key, value) in entries {
                    map.put_symbol(key, value);
                }
            }
            _ => self.put_map(map),
        }
    }

    /// Whether they are a slice, which may have a name twice.
    #[cfg(feature = "alloc")]
    pub(super) const fn is_slice(&self) -> bool {
        matches!(self.0, Source::Listed(_))
    }

    /// Gives out the entries with their keys; `key` makes the key of a name.
    #[cfg(feature = "alloc")]
    pub(super) fn for_each(&self, key: fn(&str) -> Value<'_>, mut take: impl FnMut(Value<'_>, Value<'_>)) {
        match self.0 {
            Source::Listed(entries) => entries.iter().for_each(|(name, value)| take(key(name), *value)),
            Source::Encoded(map) | Source::Received(map) => {
                let all = matches!(self.0, Source::Encoded(_));
                for (key, value) in map.iter().map_while(Result::ok).filter(|(key, _)| all || is_forwarded(key)) {
                    take(key, value);
                }
            }
        }
    }

    fn put_map(&self, writer: &mut MapWriter<'_, '_>) {
        match self.0 {
            Source::Listed(_) => {}
            #[cfg(feature = "alloc")]
            Source::Encoded(map) => writer.put_map(map),
            Source::Received(map) => {
                for (key, value) in map.iter().map_while(Result::ok).filter(|(key, _)| is_forwarded(key)) {
                    writer.put_entry(&key, &value);
                }
            }
        }
    }
}

impl<'a> From<&'a [(&'a str, Value<'a>)]> for Entries<'a> {
    fn from(entries: &'a [(&'a str, Value<'a>)]) -> Self {
        Self(Source::Listed(entries))
    }
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Listed(entries) => f.debug_map().entries(entries.iter().copied()).finish(),
            #[cfg(feature = "alloc")]
            Source::Encoded(map) => map.fmt(f),
            Source::Received(map) => map.fmt(f),
        }
    }
}
