//! Waiting for the slot of a call while all are taken.

use super::Access;
use crate::engine::{Capacity, EngineError};
use crate::machine::{Cause, ClientMachine, Failure};
use crate::runtime::Runtime;
use crate::storage::Storage;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// The failure of a call that could not begin, since there are too many.
pub(super) fn full<S: Storage>() -> Failure<S> {
    Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries)))
}

/// Whether a call could not begin, since there are too many.
pub(super) fn is_full<S: Storage>(failure: &Failure<S>) -> bool {
    failure.cause == Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries))
}

/// How many slots have to be free, and the number that the task was given. Those that want fewer come first: they may be the
/// turn that the others wait for.
type Ticket = (u8, u64);

/// A task that waits for a slot.
#[derive(Debug)]
struct Waiter {
    waker: Waker,
    until: Option<Instant>,
}

/// Tasks that wait for slots.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    waiters: BTreeMap<Ticket, Waiter>,
    /// The last number.
    last: u64,
    /// Those whose time is up, or that have to look again for another reason.
    called: Vec<Waker>,
}

impl Waiting {
    /// Whether the driver has somebody to wake.
    pub(super) fn has_news<S: Storage>(&self, machine: &ClientMachine<S>) -> bool {
        !self.called.is_empty()
            || self.waiters.first_key_value().is_some_and(|((wanted, _), _)| machine.has_slots(*wanted))
    }

    /// All of them have to look again.
    pub(super) fn call_all(&mut self) {
        self.called.extend(core::mem::take(&mut self.waiters).into_values().map(|waiter| waiter.waker));
    }

    /// Those whose time is up have to look again. Returns when that of the next one is.
    pub(super) fn call_late(&mut self, now: Instant) -> Option<Instant> {
        let waiters = core::mem::take(&mut self.waiters).into_iter();
        let (late, rest): (BTreeMap<_, _>, _) =
            waiters.partition(|(_, waiter)| waiter.until.is_some_and(|at| at <= now));
        self.waiters = rest;
        self.called.extend(late.into_values().map(|waiter: Waiter| waiter.waker));
        self.waiters.values().filter_map(|waiter| waiter.until).min()
    }

    /// Collects wakers of those that have to look again, and of those for whom there are slots; true when there may be more.
    pub(super) fn take_wakers<const N: usize>(
        &mut self,
        mut free: usize,
        wakers: &mut heapless::Vec<Waker, N>,
    ) -> bool {
        while !wakers.is_full() {
            let waker = match self.called.pop() {
                Some(waker) => waker,
                None => match self.waiters.first_entry().filter(|first| usize::from(first.key().0) <= free) {
                    Some(first) => {
                        free -= 1;
                        first.remove().waker
                    }
                    None => return false,
                },
            };
            // There is room: it was just checked.
            let _ = wakers.push(waker);
        }
        true
    }
}

/// The wait of a task for a slot.
#[derive(Debug, Default)]
pub(super) struct Room {
    ticket: Option<Ticket>,
}

impl Room {
    /// Waits until a call may begin that needs `wanted` free slots, or until `is_over`, which is looked at under the lock.
    /// Ready with false at `until`. Its owner has to call [`Room::leave`] when it waits no longer.
    pub(super) fn poll<R: Runtime>(
        &mut self,
        shared: &Access<R>,
        cx: &Context<'_>,
        wanted: u8,
        until: Option<Instant>,
        is_over: impl FnOnce() -> bool,
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
            if state.machine.has_slots(wanted) || is_over() {
                return (Poll::Ready(true), ticket.take().and_then(|ticket| waiting.waiters.remove(&ticket)));
            }
            let ticket = *ticket.get_or_insert_with(|| {
                waiting.last += 1;
                (wanted, waiting.last)
            });
            if let Some(until) = until {
                state.machine.end_slot_wait(until);
            }
            let gone = waker.take().and_then(|waker| waiting.waiters.insert(ticket, Waiter { waker, until }));
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
            let _gone = shared.change(|state| state.without_slot.waiters.remove(&ticket));
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
    poll_fn(|cx| guard.room.poll(shared, cx, 1, until, &is_over)).await
}
