//! How large properties may be.

use crate::wire::Value;

/// The name and the value of an application property have this many bytes at most.
// docs/evidence/wire-protocol.md §8
pub(super) const MAX_PROPERTY: usize = 32 << 10;
/// Everything of a message but its body takes this many bytes at most.
// docs/evidence/wire-protocol.md §8
pub(super) const MAX_HEADER: usize = 64 << 10;

/// Whether the name or the value of a property is too long. Values of a fixed size are never.
pub(super) fn is_too_long(name: &str, value: &Value<'_>) -> bool {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Symbol(symbol) => symbol.as_str().len(),
        Value::Binary(bytes) => bytes.len(),
        _ => 0,
    };
    name.len().max(length) > MAX_PROPERTY
}
