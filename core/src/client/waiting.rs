//! The tasks that wait for the slot of a call.

use crate::machine::ClientMachine;
use crate::storage::Storage;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::task::Waker;

/// How many slots have to be free, and the number that the task was given. Those that want fewer come first: they may be the
/// turn that the others wait for.
pub(super) type Ticket = (u8, u64);

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
    /// The number of a task that waits for `wanted` free slots.
    pub(super) fn ticket(&mut self, wanted: u8) -> Ticket {
        self.last += 1;
        (wanted, self.last)
    }

    /// The task waits, at most until `until`. Returns its waker of before, which its caller drops outside of the lock.
    pub(super) fn wait(&mut self, ticket: Ticket, waker: Waker, until: Option<Instant>) -> Option<Waker> {
        self.waiters.insert(ticket, Waiter { waker, until }).map(|before| before.waker)
    }

    /// The task waits no longer. Returns its waker, which its caller drops outside of the lock.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        self.waiters.remove(&ticket).map(|before| before.waker)
    }

    /// Whether the driver has tasks to wake.
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
