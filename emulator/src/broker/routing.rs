//! Where messages go: hops, copies for subscriptions, dead letters. Nothing here changes anything.

use super::admission::is_header_too_large;
use super::budget::Budget;
use super::entities::queue::Stores;
use super::entities::{EntityError, Message, Namespace, StoreId, rule};
use servicebus_core::random::Random;
use servicebus_core::servicebus::key::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Value;

/// A message moves on this often at most.
// docs/evidence/wire-protocol.md §8
pub(super) const MAX_HOPS: u8 = 4;

/// A message with the reason why it is dead.
pub(super) fn dead(mut message: Message, reason: &str, description: &str) -> Message {
    message.set_application_properties(&[
        (DEAD_LETTER_REASON, Value::String(reason)),
        (DEAD_LETTER_ERROR_DESCRIPTION, Value::String(description)),
    ]);
    message
}

/// A message that an entity with sessions cannot take.
// docs/evidence/field-reports.md F57
pub(super) fn dead_without_session(message: Message) -> Message {
    let text = "Session enabled entity doesn't allow a message whose session identifier is null.";
    dead(message, "Session id is null.", text)
}

/// A message that was forwarded as often as it may be.
pub(super) fn dead_after_hops(message: Message) -> Message {
    let text = "The maximum number of allowed hops when forwarding between entities was exceeded.";
    dead(message, "MaxTransferHopCountExceeded", text)
}

/// A message that its target does not take.
pub(super) fn dead_in_transfer(message: Message, why: &EntityError) -> Message {
    match why {
        // It stays with the source (docs/evidence/pinned-behaviour.md FWD10).
        EntityError::SessionIdMissing => dead_without_session(message),
        why => dead(message, "TransferFailed", &why.to_string()),
    }
}

/// A message on its way from one entity to the next.
pub(super) fn hop(message: &Message) -> Message {
    let mut moved = message.clone();
    moved.enqueued_sequence_number = moved.enqueued_sequence_number.or(Some(moved.sequence_number));
    moved.sequence_number = 0;
    moved.hops += 1;
    moved
}

/// A copy of a message for a subscription.
#[derive(Debug)]
pub(super) enum Copy {
    /// For its messages.
    Alive(Message),
    /// For its dead-letter queue, with a number of the store of its messages.
    Dead { message: Message, main: StoreId },
}

/// What the subscriptions of a topic get of a message.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    /// The copies, with the stores for them.
    pub(super) copies: Vec<(StoreId, Copy)>,
    /// Filters that had to be evaluated.
    pub(super) evaluated: u64,
    /// The memory budget has no room for the copies: these are not all of them.
    pub(super) is_cut: bool,
}

/// The copies that the subscriptions of a topic get of a message.
pub(super) fn fan_out(
    namespace: &Namespace,
    topic: &str,
    message: &Message,
    random: &mut Random,
    utc: Timestamp,
) -> FanOut {
    let mut copies = FanOut::default();
    let Some(found) = namespace.topics.get(topic) else { return copies };
    let mut base = message.clone();
    base.sequence_number = 0;
    base.enqueued_time = utc;
    base.limit_life(found.description.default_message_time_to_live);
    let push_dead = |copies: &mut FanOut, stores: &Stores, message| {
        copies.copies.push((stores.dead_letter, Copy::Dead { message, main: stores.main }));
    };
    for (_, subscription, rules) in found.candidates(&base) {
        let before = copies.copies.len();
        // The first copy takes the place of the message itself.
        if before > 0 && !base.has_room(Budget::ENTRY) {
            copies.is_cut = true;
            return copies;
        }
        let description = &subscription.description;
        let made = rule::copies(rules.into_iter(), &base, random);
        copies.evaluated += made.evaluated;
        for mut copy in made.messages {
            copy.limit_life(description.default_message_time_to_live);
            if description.requires_session && copy.session_id.is_none() {
                push_dead(&mut copies, &subscription.stores, dead_without_session(copy));
            } else if is_header_too_large(&copy) {
                let text = "The size quota for this stream has been exceeded.";
                push_dead(&mut copies, &subscription.stores, dead(copy, "HeaderSizeExceeded", text));
            } else {
                copies.copies.push((subscription.stores.main, Copy::Alive(copy)));
            }
        }
        if description.dead_lettering_on_filter_evaluation_exceptions
            && let Some(error) = made.errors.first()
        {
            let copy = dead(base.clone(), "FilterEvaluationException", &error.to_string());
            push_dead(&mut copies, &subscription.stores, copy);
        }
        for (_, copy) in copies.copies.iter_mut().skip(before.max(1)) {
            match copy {
                Copy::Alive(message) | Copy::Dead { message, .. } => message.take_place(),
            }
        }
    }
    copies
}
