//! Locks of messages: taken, extended, and ended one way or another.

use super::{DeadReason, Effect, Ending, Store, Timer};
use crate::broker::entities::error::EntityError;
use crate::broker::entities::message::{Changes, MessageState};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::sync::Arc;

/// Messages that the end of one session's lock gives back in one step.
const MAX_UNLOCKED: usize = 500;

/// Who may settle a message, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    pub(super) token: LockToken,
    pub(super) until: Timestamp,
}

impl Store {
    /// Locks a message under this token; the end of the lock.
    pub(in crate::broker) fn lock_entry(&mut self, number: i64, token: LockToken, utc: Timestamp) -> Option<Timestamp> {
        self.make_unavailable(number);
        self.work.add(1);
        let id = self.entries.get(&number).and_then(|entry| entry.session.clone());
        let session_end = id.as_ref().and_then(|id| self.sessions.get(id)?.lock).map(|lock| lock.until);
        let entry = self.entries.get_mut(&number)?;
        let until = session_end.unwrap_or(utc + self.settings.lock_duration);
        entry.lock = Some(Lock { token, until });
        entry.locked_until = Some(until);
        self.locks.insert(token, number);
        if let Some(id) = &id {
            if let Some(session) = self.sessions.get_mut(id) {
                session.locked.insert(number);
            }
            self.refresh_session(id);
        }
        // The lock of a session guards its message.
        if session_end.is_none() {
            self.timers.insert((until, Timer::Lock(number)));
        }
        Some(until)
    }

    /// The number of the message under this lock.
    ///
    /// # Errors
    /// [`EntityError::MessageLockLost`].
    pub fn locked(&self, token: LockToken) -> Result<i64, EntityError> {
        self.locks.get(&token).copied().ok_or(EntityError::MessageLockLost)
    }

    /// Whether locks can end in this way here.
    ///
    /// # Errors
    /// [`EntityError::AlreadyDeadLettered`] in a dead-letter queue.
    pub(in crate::broker) fn check_ending(&self, ending: Ending) -> Result<(), EntityError> {
        if ending == Ending::DeadLetter && self.settings.sub_queue.is_some() {
            return Err(EntityError::AlreadyDeadLettered);
        }
        Ok(())
    }

    /// Ends the lock of a message.
    pub(in crate::broker) fn settle(
        &mut self,
        token: LockToken,
        ending: Ending,
        changes: &Changes<'_>,
        utc: Timestamp,
    ) -> Option<Effect> {
        let number = self.locks.get(&token).copied()?;
        if !changes.is_empty()
            && ending != Ending::Complete
            && let Some(entry) = self.entries.get_mut(&number)
        {
            let before = entry.message.size() as u64;
            entry.message.set_application_properties(changes);
            self.bytes = self.bytes + entry.message.size() as u64 - before;
        }
        self.unlock(number, ending, utc)
    }

    /// Ends the lock of a message, or what the lock of its session guarded.
    pub(super) fn unlock(&mut self, number: i64, ending: Ending, utc: Timestamp) -> Option<Effect> {
        match ending {
            Ending::Complete => {
                self.remove(number);
                return None;
            }
            Ending::DeadLetter => {
                return self.remove(number).map(|message| Effect::DeadLetter(message, DeadReason::Explicit));
            }
            _ => {}
        }
        let in_sub_queue = self.settings.sub_queue.is_some();
        let max = self.settings.max_delivery_count;
        self.work.add(1);
        let entry = self.entries.get_mut(&number)?;
        if let Some(lock) = entry.lock.take() {
            self.locks.remove(&lock.token);
            self.timers.remove(&(lock.until, Timer::Lock(number)));
        }
        // A lock that ends without success is a failed delivery, deferring included; not so in a dead-letter queue
        // (docs/evidence/service-evidence.md §9, docs/evidence/pinned-behaviour.md SET4, SET10).
        if ending != Ending::Release && !in_sub_queue {
            entry.message.delivery_count += 1;
        }
        let exhausted = !in_sub_queue && ending != Ending::Release && entry.message.delivery_count >= max;
        if ending == Ending::Defer {
            entry.message.state = MessageState::Deferred;
        }
        let expired = !in_sub_queue
            && entry.message.state == MessageState::Active
            && entry.message.expires_at().is_some_and(|at| at <= utc);
        let active = entry.message.state == MessageState::Active;
        let position = entry.position;
        // The timer was used up if it came while the lock was held; UTC may have gone back since.
        if !in_sub_queue
            && active
            && let Some(at) = entry.message.expires_at()
        {
            self.timers.insert((at, Timer::Expiry(number)));
        }
        if let Some(id) = self.entries.get(&number).and_then(|entry| entry.session.clone())
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.locked.remove(&number);
        }
        if exhausted {
            return self.remove(number).map(|message| Effect::DeadLetter(message, DeadReason::MaxDeliveryCount(max)));
        }
        if expired {
            return self.expire(number);
        }
        if active {
            self.note_returned(position);
            self.make_available(number);
        }
        None
    }

    /// Extends the lock of a message. One that the lock of its session guards lasts as long as that, which is not
    /// extended.
    // docs/evidence/pinned-behaviour.md SES26
    pub(in crate::broker) fn extend_lock(&mut self, token: LockToken, utc: Timestamp) {
        let Some(number) = self.locks.get(&token).copied() else { return };
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let Some(lock) = entry.lock.as_mut() else { return };
        let has_timer = self.timers.remove(&(lock.until, Timer::Lock(number)));
        let session = entry.session.as_ref().and_then(|id| self.sessions.get(id)?.lock);
        let until = match session {
            Some(session) if !has_timer => session.until,
            _ => utc + self.settings.lock_duration,
        };
        lock.until = until;
        entry.locked_until = Some(until);
        if has_timer {
            self.timers.insert((until, Timer::Lock(number)));
        }
    }

    /// Gives back messages that were locked under a session, up to a bound.
    pub(in crate::broker::entities) fn unlock_session(
        &mut self,
        id: &Arc<str>,
        ending: Ending,
        utc: Timestamp,
    ) -> Vec<Effect> {
        let locked: Vec<i64> =
            self.sessions.get(id).map(|it| it.locked.iter().copied().take(MAX_UNLOCKED).collect()).unwrap_or_default();
        locked.into_iter().filter_map(|number| self.unlock(number, ending, utc)).collect()
    }
}
