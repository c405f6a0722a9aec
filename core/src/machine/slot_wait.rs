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

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u64) -> Instant {
        Instant::from_micros(at * 1_000_000)
    }

    #[test]
    fn the_earliest_wait_is_the_deadline_and_its_end_is_told_once() {
        let mut wait = SlotWait::default();
        assert_eq!(wait.next(None), None);
        // Only the first wait that ends sets the deadline.
        assert_eq!([5, 3, 4].map(|until| wait.begin(second(until))), [true, true, false]);
        assert_eq!(wait.next(Some(second(9))), Some(second(3)));
        assert_eq!(wait.next(Some(second(1))), Some(second(1)), "another deadline is earlier");
        wait.handle_timeout(second(2));
        assert_eq!(wait.take_over(), None, "too early");
        wait.handle_timeout(second(3));
        assert_eq!((wait.next(None), wait.take_over(), wait.take_over()), (None, Some(second(3)), None));
    }
}
