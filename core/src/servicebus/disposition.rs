//! What the application decides about a locked message.

use super::argument::{Argument, is_longer};
use super::message::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use crate::engine::OutcomeKind;
use crate::wire::messaging::{self, Modified, Rejected};
use crate::wire::performative::ErrorCondition;
use crate::wire::{Encode, Map, Sink, Symbol, Value};

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

/// The entries of a disposition's map.
pub(crate) struct Entries<'a>(pub(crate) Disposition<'a>);

impl Entries<'_> {
    pub(crate) fn count(&self) -> usize {
        match self.0 {
            Disposition::Complete => 0,
            Disposition::Abandon { properties } | Disposition::Defer { properties } => properties.len(),
            Disposition::DeadLetter { reason, description, properties } => {
                usize::from(reason.is_some()) + usize::from(description.is_some()) + properties.len()
            }
        }
    }
}

impl Encode for Entries<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let mut put = |key: &str, value: &Value<'_>| {
            Symbol::new(key).encode(sink);
            value.encode(sink);
        };
        let properties = match self.0 {
            Disposition::Complete => &[][..],
            Disposition::Abandon { properties } | Disposition::Defer { properties } => properties,
            Disposition::DeadLetter { reason, description, properties } => {
                for (key, text) in [(DEAD_LETTER_REASON, reason), (DEAD_LETTER_ERROR_DESCRIPTION, description)] {
                    if let Some(text) = text {
                        put(key, &Value::String(text));
                    }
                }
                properties
            }
        };
        for (key, value) in properties {
            put(key, value);
        }
    }
}

impl<'a> Disposition<'a> {
    /// What becomes of the message, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Abandon { .. } => "abandon",
            Self::Defer { .. } => "defer",
            Self::DeadLetter { .. } => "dead-letter",
        }
    }

    /// How the service confirms it.
    pub(crate) const fn outcome(&self) -> OutcomeKind {
        match self {
            Self::Complete => OutcomeKind::Accepted,
            Self::Abandon { .. } | Self::Defer { .. } => OutcomeKind::Modified,
            Self::DeadLetter { .. } => OutcomeKind::Rejected,
        }
    }

    /// The state that tells it; `details` are its entries.
    pub(crate) fn state<'s>(&self, details: Map<'s>) -> messaging::Outcome<'s> {
        let modified = |undeliverable_here| {
            messaging::Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: Some(undeliverable_here),
                message_annotations: (!details.is_empty()).then_some(details),
            })
        };
        match self {
            Self::Complete => messaging::Outcome::Accepted,
            Self::Abandon { .. } => modified(false),
            Self::Defer { .. } => modified(true),
            Self::DeadLetter { .. } => messaging::Outcome::Rejected(Rejected {
                error: Some(ErrorCondition {
                    condition: Symbol::new("com.microsoft:dead-letter"),
                    description: None,
                    info: Some(details),
                }),
            }),
        }
    }
}
