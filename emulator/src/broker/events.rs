//! An event of `tracing` for each change of messages: entity, message id and sequence number, never a body.

use super::change::Change;
use super::entities::store::Ending;
use super::entities::{Message, MessageState, Namespace, StoreId};
use bytes::Bytes;
use servicebus_core::servicebus::key::{DEAD_LETTER_ERROR_DESCRIPTION, DEAD_LETTER_REASON};

/// The name of the event that a lock's end is.
const fn name(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "completed",
        Ending::Abandon => "abandoned",
        Ending::Defer => "deferred",
        Ending::DeadLetter => "dead-lettered",
        Ending::Release => "released",
        Ending::Expire => "expired",
    }
}

impl Namespace {
    /// Logs a change that is about to be made.
    pub(super) fn log_change(&self, change: &Change) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        match change {
            Change::Insert { store, message } => {
                let scheduled = message.state == MessageState::Scheduled;
                self.log_message(*store, message, if scheduled { "scheduled" } else { "enqueued" });
            }
            Change::Bury { store, message } => self.log_dead(*store, message),
            Change::Remove { store, number } => self.log_number(*store, *number, "removed"),
            Change::Lock { store, number, .. } => self.log_number(*store, *number, "locked"),
            Change::Expire { store, number, .. } => self.log_number(*store, *number, "expired"),
            Change::Restore { store, taken } => self.log_message(*store, &taken.message, "put back"),
            Change::Settle { store, token, settlement, .. } => {
                if let Some((message, _)) = self.store(*store).and_then(|store| store.under_lock(*token)) {
                    self.log_message(*store, message, name(settlement.ending));
                }
            }
            Change::Renew { store, token, .. } => {
                if let Some((message, _)) = self.store(*store).and_then(|store| store.under_lock(*token)) {
                    self.log_message(*store, message, "lock renewed");
                }
            }
            Change::SessionState { store, session, state, .. } => {
                let entity = self.store(*store).map(|store| &*store.owner.path);
                tracing::trace!(entity, session, bytes = state.as_ref().map(Bytes::len), "session state");
            }
            Change::Session { store, session, step, .. } => {
                let entity = self.store(*store).map(|store| &*store.owner.path);
                tracing::trace!(entity, session, ?step, "session lock");
            }
            Change::Queue { key, .. } | Change::Topic { key, .. } => {
                tracing::debug!(entity = key, "created or changed");
            }
            Change::Subscription { topic, name, .. } => {
                tracing::debug!(entity = topic, subscription = name, "created or changed");
            }
            Change::Rule { topic, subscription, rule, .. } => {
                tracing::debug!(entity = topic, subscription, rule = rule.name, "created or changed");
            }
            Change::RemoveRule { topic, subscription, rule } => {
                tracing::debug!(entity = topic, subscription, rule, "deleted");
            }
            Change::Delete { entity, subscription } => tracing::debug!(entity, subscription, "deleted"),
            Change::Clear => tracing::debug!("every entity deleted"),
            Change::Purge { store } => {
                let entity = self.store(*store).map(|store| &*store.owner.path);
                tracing::debug!(entity, "purged");
            }
            Change::Reserve { .. }
            | Change::Remember { .. }
            | Change::Forget { .. }
            | Change::Use { .. }
            | Change::Time { .. }
            | Change::LetGo => {}
        }
    }

    fn log_number(&self, id: StoreId, number: i64, event: &str) {
        if let Some(message) = self.store(id).and_then(|store| store.message(number)) {
            self.log_message(id, message, event);
        }
    }

    fn log_message(&self, id: StoreId, message: &Message, event: &str) {
        if tracing::enabled!(tracing::Level::TRACE) {
            let entity = self.store(id).map(|store| &*store.owner.path);
            let (message_id, sequence_number) = (message.message_id(), message.sequence_number);
            tracing::trace!(entity, message_id, sequence_number, "{event}");
        }
    }

    /// Logs a message that goes to this dead-letter queue.
    pub(super) fn log_dead(&self, id: StoreId, message: &Message) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            let entity = self.store(id).map(|store| &*store.owner.path);
            let properties = message.application_properties();
            let text = |key| properties.get(key).and_then(|value| value.as_str());
            let (reason, description) = (text(DEAD_LETTER_REASON), text(DEAD_LETTER_ERROR_DESCRIPTION));
            let (message_id, sequence_number) = (message.message_id(), message.sequence_number);
            tracing::debug!(entity, message_id, sequence_number, reason, description, "dead-lettered");
        }
    }
}
