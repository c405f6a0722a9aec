//! Named values that a message carries in one section: application properties, annotations or a footer.

use super::key::{
    DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON, DEAD_LETTER_SOURCE, ENQUEUED_SEQUENCE_NUMBER, ENQUEUED_TIME,
    LOCK_TOKEN, LOCKED_UNTIL, MESSAGE_STATE, PARTITION_ID, PARTITION_KEY, SCHEDULED_ENQUEUE_TIME, SEQUENCE_NUMBER,
    VIA_PARTITION_KEY,
};
use super::property::is_too_long;
use crate::wire::{Map, MapWriter, Value};
use core::fmt;

/// The named values of a message's section, borrowed: a slice of pairs, or the section of another message.
///
/// Names are meant to be unique; a slice that has one twice is sent as it is.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::MessageRef;
///
/// let properties = [("priority", 3.into()), ("customer", "contoso".into())];
/// let order = MessageRef::new("two of the blue ones").with_properties(&properties);
/// assert_eq!(order.properties.get("customer"), Some("contoso".into()));
/// ```
#[derive(Clone, Copy, Default)]
pub struct Entries<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Listed(&'a [(&'a str, Value<'a>)]),
    /// The map of another message, and how it is read.
    Map(Map<'a>, &'static Reading),
}

/// How the map of a message is read: as a table, so that a program holds the code only for maps that it makes.
#[derive(Debug)]
struct Reading {
    put: fn(Map<'_>, &mut MapWriter<'_, '_>),
    is_empty: fn(&Map<'_>) -> bool,
    is_kept: fn(&str) -> bool,
}

/// The map of an owned message.
#[cfg(feature = "alloc")]
static WHOLE: Reading =
    Reading { put: |map, writer| writer.put_map(map), is_empty: |map| map.is_empty(), is_kept: |_| true };

/// The map of a received message, of which the service's own entries are left out.
static RECEIVED: Reading = Reading {
    put: |map, writer| kept(&map).for_each(|(key, value)| writer.put_entry(&key, &value)),
    is_empty: |map| kept(map).next().is_none(),
    is_kept: |name| !NOT_FORWARDED.contains(&name),
};

/// What is sent on of a received message's map.
fn kept<'a>(map: &Map<'a>) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
    map.iter().map_while(Result::ok).filter(|(key, _)| key.as_str().is_none_or(|name| (RECEIVED.is_kept)(name)))
}

impl Default for Source<'_> {
    fn default() -> Self {
        Self::Listed(&[])
    }
}

/// Application properties and annotations that the service sets, and annotations that have a field of their own in a
/// message.
// docs/evidence/wire-protocol.md §4.7
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

impl<'a> Entries<'a> {
    /// What a received message brings and a copy of it keeps.
    pub(super) const fn received(map: Map<'a>) -> Self {
        Self(Source::Map(map, &RECEIVED))
    }

    /// A map that an owned message keeps encoded.
    #[cfg(feature = "alloc")]
    pub(super) const fn encoded(map: Map<'a>) -> Self {
        Self(Source::Map(map, &WHOLE))
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::MessageRef;
    /// assert!(MessageRef::new("two of the blue ones").properties.is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Listed(entries) => entries.is_empty(),
            Source::Map(map, reading) => (reading.is_empty)(map),
        }
    }

    /// The value with this name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{AsMessage, Message};
    /// let order = Message::new("two of the blue ones").with_property("priority", 3);
    /// assert_eq!(order.as_message().properties.get("priority"), Some(3.into()));
    /// assert_eq!(order.as_message().properties.get("customer"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        match &self.0 {
            Source::Listed(entries) => entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value),
            Source::Map(map, reading) => map.get(name).filter(|_| (reading.is_kept)(name)),
        }
    }

    /// Appends the entries to a map, application properties with strings as keys.
    #[inline]
    pub(super) fn put_properties(&self, writer: &mut MapWriter<'_, '_>) {
        match self.0 {
            Source::Listed(entries) => writer.put_all(entries),
            Source::Map(map, reading) => (reading.put)(map, writer),
        }
    }

    /// Appends the entries to a map, annotations with symbols as keys.
    pub(super) fn put_annotations(&self, writer: &mut MapWriter<'_, '_>) {
        match self.0 {
            Source::Listed(entries) => {
                for (key, value) in entries {
                    writer.put_symbol(key, value);
                }
            }
            Source::Map(map, reading) => (reading.put)(map, writer),
        }
    }

    /// Whether they are a slice, which may have a name twice.
    #[cfg(feature = "alloc")]
    pub(super) const fn is_slice(&self) -> bool {
        matches!(self.0, Source::Listed(_))
    }

    /// Whether the name or the value of a property is too long.
    pub(super) fn has_too_long(&self) -> bool {
        match self.0 {
            Source::Listed(entries) => entries.iter().any(|(name, value)| is_too_long(name, value)),
            Source::Map(map, _) => map
                .iter()
                .map_while(Result::ok)
                .any(|(key, value)| is_too_long(key.as_str().unwrap_or_default(), &value)),
        }
    }

    /// Gives out the entries with their keys; `key` makes the key of a name.
    #[cfg(feature = "alloc")]
    pub(super) fn for_each(&self, key: fn(&str) -> Value<'_>, mut take: impl FnMut(Value<'_>, Value<'_>)) {
        match self.0 {
            Source::Listed(entries) => entries.iter().for_each(|(name, value)| take(key(name), *value)),
            Source::Map(map, reading) => {
                let all = map.iter().map_while(Result::ok);
                all.filter(|(key, _)| key.as_str().is_none_or(|name| (reading.is_kept)(name)))
                    .for_each(|(key, value)| take(key, value));
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
            Source::Map(map, _) => map.fmt(f),
        }
    }
}
