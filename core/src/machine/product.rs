//! What the client tells of itself when it opens a connection.

use crate::wire::Map;

const ENTRIES: [(&str, &str); 3] = [
    ("product", "servicebus-rs"),
    ("version", env!("CARGO_PKG_VERSION")),
    ("user-agent", concat!("servicebus-rs/", env!("CARGO_PKG_VERSION"))),
];

/// The constructors of a short symbol and of a short string (AMQP 1.0 §1.6.20, §1.6.21).
const SYMBOL: u8 = 0xa3;
const STRING: u8 = 0xa1;

const SIZE: usize = {
    let (mut size, mut at) = (0, 0);
    while at < ENTRIES.len() {
        size += 2 + ENTRIES[at].0.len() + 2 + ENTRIES[at].1.len();
        at += 1;
    }
    size
};

/// The entries as they are sent: what is the same each time is encoded when the program is built.
static ENCODED: [u8; SIZE] = {
    let (mut encoded, mut end, mut at) = ([0; SIZE], 0, 0);
    while at < ENTRIES.len() {
        (encoded, end) = append(encoded, end, SYMBOL, ENTRIES[at].0);
        (encoded, end) = append(encoded, end, STRING, ENTRIES[at].1);
        at += 1;
    }
    encoded
};

const fn append(mut encoded: [u8; SIZE], end: usize, code: u8, text: &str) -> ([u8; SIZE], usize) {
    assert!(text.len() < 256, "the short form");
    encoded[end] = code;
    encoded[end + 1] = text.len() as u8;
    let mut at = 0;
    while at < text.len() {
        encoded[end + 2 + at] = text.as_bytes()[at];
        at += 1;
    }
    (encoded, end + 2 + text.len())
}

/// The properties of the client's open.
pub(super) const fn properties() -> Map<'static> {
    Map::of_encoded(ENTRIES.len() as u32, &ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Symbol, Value, encode_map};

    #[test]
    fn they_are_encoded_as_any_map_is() {
        let mut buffer = [0; 256];
        let entries = ENTRIES.map(|(key, value)| (Value::Symbol(Symbol::new(key)), Value::String(value)));
        assert_eq!(Ok(properties()), encode_map(&entries, &mut buffer));
    }
}
