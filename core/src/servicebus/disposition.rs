//! What the application decides about a locked message.

use crate::wire::Value;

/// Application properties and their new values.
pub type Properties<'a> = &'a [(&'a str, Value<'a>)];

/// What becomes of a locked message (docs/evidence/wire-protocol.md §4.3).
#[derive(Clone, Copy, Debug)]
pub enum Disposition<'a> {
    /// It is done and goes.
    Complete,
    /// It is available again at once, with its delivery count raised.
    Abandon {
        /// Application properties to change.
        properties: Properties<'a>,
    },
    /// It is set aside; only its sequence number brings it back.
    Defer {
        /// Application properties to change.
        properties: Properties<'a>,
    },
    /// It moves to the dead-letter queue.
    DeadLetter {
        /// Why.
        reason: Option<&'a str>,
        /// Details.
        description: Option<&'a str>,
        /// Application properties to change.
        properties: Properties<'a>,
    },
}
