//! How a client ends a delivery: its outcome, or `update-disposition`.
// docs/evidence/wire-protocol.md §4.3, §5

use crate::broker::change::Settlement;
use crate::broker::entities::store::Ending;
use bytes::Bytes;
use servicebus_core::servicebus::key::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected};
use servicebus_core::wire::{self, Map, Reader, Value};

fn changes_of(map: Map<'_>) -> Vec<(String, Vec<u8>)> {
    map.iter()
        .map_while(Result::ok)
        .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), wire::to_vec(&value))))
        .collect()
}

impl Settlement {
    /// What an outcome means.
    pub(crate) fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Accepted => Self::plain(Ending::Complete),
            Outcome::Released => Self::plain(Ending::Release),
            Outcome::Modified(Modified { undeliverable_here, message_annotations, .. }) => {
                // Undeliverable-here tells deferring from abandoning; clients do not agree on delivery-failed.
                let ending = if *undeliverable_here == Some(true) { Ending::Defer } else { Ending::Abandon };
                Self::with_changes(ending, message_annotations.map(changes_of).unwrap_or_default())
            }
            Outcome::Rejected(Rejected { error }) => {
                let mut changes = Vec::new();
                if let Some(error) = error {
                    // Keys are symbols or strings; a reason that is null is none.
                    let info = error.info.map(changes_of).unwrap_or_default();
                    changes.extend(info.into_iter().filter(|(_, value)| value.as_slice() != [0x40]));
                    let has = |changes: &[(String, Vec<u8>)], key: &str| changes.iter().any(|(found, _)| found == key);
                    if error.condition.as_str() != "com.microsoft:dead-letter" && !has(&changes, DEAD_LETTER_REASON) {
                        let reason = Value::String(error.condition.as_str());
                        changes.push((DEAD_LETTER_REASON.into(), wire::to_vec(&reason)));
                    }
                    if let Some(text) = error.description
                        && !has(&changes, DEAD_LETTER_ERROR_DESCRIPTION)
                    {
                        changes.push((DEAD_LETTER_ERROR_DESCRIPTION.into(), wire::to_vec(text)));
                    }
                }
                Self::with_changes(Ending::DeadLetter, changes)
            }
        }
    }

    /// What `update-disposition` means; `None` for a status that is not known.
    pub(crate) fn of_status(
        status: &str,
        reason: Option<&str>,
        description: Option<&str>,
        properties: Option<Map<'_>>,
    ) -> Option<Self> {
        let ending = match status {
            "completed" => Ending::Complete,
            "abandoned" => Ending::Abandon,
            "suspended" => Ending::DeadLetter,
            // That spelling.
            "defered" => Ending::Defer,
            "released" | "unlocked" => Ending::Release,
            _ => return None,
        };
        let mut changes = properties.map(changes_of).unwrap_or_default();
        if ending == Ending::DeadLetter {
            for (key, text) in [(DEAD_LETTER_REASON, reason), (DEAD_LETTER_ERROR_DESCRIPTION, description)] {
                // The Python SDK sends an empty text for none.
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    changes.push((key.into(), wire::to_vec(text)));
                }
            }
        }
        Some(Self::with_changes(ending, changes))
    }

    /// The outcome that confirms it: of the same kind, and a rejected one without an error.
    // docs/evidence/wire-protocol.md §0 fact 8
    pub(crate) fn echo(&self) -> Outcome<'static> {
        match self.ending {
            Ending::Complete => Outcome::Accepted,
            Ending::Release | Ending::Expire => Outcome::Released,
            Ending::DeadLetter => Outcome::Rejected(Rejected { error: None }),
            Ending::Abandon | Ending::Defer => Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: Some(self.ending == Ending::Defer),
                message_annotations: None,
            }),
        }
    }
}

/// A delivery state kept beyond the frame it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// `accepted`, the usual one.
    Accepted,
    /// Any other, encoded; the deliveries of one disposition share it.
    Encoded(Bytes),
    /// None at all.
    None,
}

impl State {
    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Accepted | Self::None => 0,
        }
    }

    /// Keeps a state.
    pub(crate) fn keep(state: Option<&DeliveryState<'_>>) -> Self {
        match state {
            None => Self::None,
            Some(DeliveryState::Outcome(Outcome::Accepted)) => Self::Accepted,
            Some(state) => Self::Encoded(wire::to_vec(state).into()),
        }
    }

    /// Keeps a state that may be the same as this one. A disposition has one for all its deliveries.
    pub(crate) fn keep_after(before: Option<&Self>, state: Option<&DeliveryState<'_>>) -> Self {
        match before {
            Some(before @ Self::Encoded(_)) if state.is_some() && before.state().as_ref() == state => before.clone(),
            _ => Self::keep(state),
        }
    }

    /// The state again.
    pub(crate) fn state(&self) -> Option<DeliveryState<'_>> {
        match self {
            Self::Accepted => Some(DeliveryState::ACCEPTED),
            Self::Encoded(bytes) => Reader::new(bytes).read().ok(),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_comes_again_is_kept_once() {
        let text = |text| {
            DeliveryState::Outcome(Outcome::Rejected(Rejected {
                error: Some(servicebus_core::wire::performative::ErrorCondition {
                    condition: servicebus_core::wire::Symbol::new("com.microsoft:dead-letter"),
                    description: Some(text),
                    info: None,
                }),
            }))
        };
        let place = |state: &State| match state {
            State::Encoded(bytes) => bytes.as_ptr(),
            _ => core::ptr::null(),
        };
        let first = State::keep_after(None, Some(&text("one")));
        let same = State::keep_after(Some(&first), Some(&text("one")));
        let other = State::keep_after(Some(&first), Some(&text("two")));
        assert_eq!((place(&first), &first), (place(&same), &same));
        assert_eq!(other.state(), Some(text("two")));
        assert_eq!(State::keep_after(Some(&first), None), State::None);
        assert_eq!(State::keep_after(Some(&first), Some(&DeliveryState::ACCEPTED)), State::Accepted);
    }
}
