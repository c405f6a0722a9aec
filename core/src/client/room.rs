//! Waiting for the slot of a call while all are taken.

use super::Access;
use crate::engine::{Capacity, EngineError};
use crate::machine::{Cause, Failure};
use crate::runtime::Runtime;
use crate::runtime::waiting::Ticket;
use crate::storage::Storage;
use crate::time::Instant;
use core::future::poll_fn;
use core::task::{Context, Poll};

/// The failure of a call that could not begin, since there are too many.
pub(super) fn full<S: Storage>() -> Failure<S> {
    Failure::no_capacity(Capacity::Deliveries)
}

/// Whether a call could not begin, since there are too many.
pub(super) fn is_full<S: Storage>(failure: &Failure<S>) -> bool {
    failure.cause == Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries))
}

/// The wait of a task for a slot.
#[derive(Debug, Default)]
pub(super) struct Room {
    ticket: Option<Ticket>,
}

impl Room {
    /// Waits until a call may begin that needs `wanted` free slots, or until `is_over` for one that watches processors,
    /// which is called under the lock. Ready with false at `until`. Its owner has to call [`Room::leave`] when it waits no
    /// longer.
    pub(super) fn poll<R: Runtime>(
        &mut self,
        shared: &Access<R>,
        cx: &Context<'_>,
        wanted: u8,
        until: Option<Instant>,
        is_over: Option<&dyn Fn() -> bool>,
    ) -> Poll<bool> {
        if until.is_some_and(|until| until <= shared.now()) {
            self.leave(shared);
            return Poll::Ready(false);
        }
        // Wakers come and go outside of the lock.
        let mut waker = Some(cx.waker().clone());
        let ticket = &mut self.ticket;
        let (polled, _gone) = shared.change(|state| {
            let waiting = &mut state.without_slot;
            if state.machine.has_slots(wanted) || is_over.is_some_and(|is_over| is_over()) {
                return (Poll::Ready(true), ticket.take().and_then(|ticket| waiting.leave(ticket)));
            }
            let ticket = *ticket.get_or_insert_with(|| waiting.ticket(wanted, is_over.is_some()));
            if let Some(until) = until {
                state.machine.end_slot_wait(until);
            }
            let gone = waker.take().and_then(|waker| waiting.wait(ticket, waker, until));
            (Poll::Pending, gone)
        });
        polled
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }

    /// Waits no longer.
    pub(super) fn leave<R: Runtime>(&mut self, shared: &Access<R>) {
        if let Some(ticket) = self.ticket.take() {
            let _gone = shared.change(|state| state.without_slot.leave(ticket));
        }
    }
}

/// A wait that ends when it is dropped.
struct Guard<'c, R: Runtime> {
    shared: &'c Access<R>,
    room: Room,
}

impl<R: Runtime> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        self.room.leave(self.shared);
    }
}

/// Waits until a call may begin, or until `is_over`; false at `until`.
pub(super) async fn room<R: Runtime>(shared: &Access<R>, until: Option<Instant>, is_over: impl Fn() -> bool) -> bool {
    let mut guard = Guard { shared, room: Room::default() };
    poll_fn(|cx| guard.room.poll(shared, cx, 1, until, Some(&is_over))).await
}
