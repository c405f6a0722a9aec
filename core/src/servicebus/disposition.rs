//! What the application decides about a locked message.

use super::argument::{Argument, is_longer};
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

/// The longest reason and description of a dead letter, in characters (docs/evidence/field-reports.md C6).
pub const MAX_DEAD_LETTER_TEXT: usize = 4_096;

impl Disposition<'_> {
    /// Checks what the service would refuse.
    ///
    /// # Errors
    /// The text that is too long.
    pub(crate) fn validate(&self) -> Result<(), Argument> {
        let Self::DeadLetter { reason, description, .. } = self else { return Ok(()) };
        let texts = [(reason, Argument::DeadLetterReason), (description, Argument::DeadLetterDescription)];
        for (text, argument) in texts {
            if text.is_some_and(|text| is_longer(text, MAX_DEAD_LETTER_TEXT)) {
                return Err(argument);
            }
        }
        Ok(())
    }
}
