//! Waits for the slot of a call while all are taken.

use crate::time::Instant;

/// Until when tasks wait for the slot of a call that have none.
#[derive(Debug, Default)]
pub(super) struct SlotWait {
    /// The end of the first of these waits.
    until: Option<Instant>,
    /// When one was over that its task does not know of yet.
    over: Option<Instant>,
}

impl SlotWait {
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            (self.until, self.over) = (None, Some(now));
        }
    }

    /// The end of the first wait, or an earlier deadline.
    pub(super) fn next(&self, other: Option<Instant>) -> Option<Instant> {
        self.until.into_iter().chain(other).min()
    }

    /// A task waits until then; whether it is the first whose wait ends.
    pub(super) fn begin(&mut self, until: Instant) -> bool {
        let first = self.until.is_none_or(|known| until < known);
        if first {
            self.until = Some(until);
        }
        first
    }

    /// When a wait was over, if one was since this was called last.
    pub(super) fn take_over(&mut self) -> Option<Instant> {
        self.over.take()
    }
}
