//! The tasks that wait for the slot of a call.

use crate::machine::ClientMachine;
use crate::storage::Storage;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use core::task::Waker;

/// How many slots have to be free, and the number that the task was given. Those that want fewer come first: they may
/// be the turn that the others wait for.
pub(crate) type Ticket = (u8, u64);

/// A task that waits for a slot.
mod waiter {
    use crate::time::Instant;
    use core::task::Waker;

    /// Fields are read through methods only, so that a test can count the waiters visited.
    #[derive(Debug)]
    pub(crate) struct Waiter {
        waker: Waker,
        until: Option<Instant>,
    }

    impl Waiter {
        pub(crate) fn new(waker: Waker, until: Option<Instant>) -> Self {
            Self { waker, until }
        }

        pub(crate) fn until(&self) -> Option<Instant> {
            #[cfg(test)]
            crate::storage::tests::note();
            self.until
        }

        pub(crate) fn waker(self) -> Waker {
            #[cfg(test)]
            crate::storage::tests::note();
            self.waker
        }
    }
}

use waiter::Waiter;

/// Tasks that wait for slots, in order of their turns and of the ends of their waits: none of them is searched for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    waiters: BTreeMap<Ticket, Waiter>,
    /// Those of them that do not wait for longer than until a time.
    ends: BTreeSet<(Instant, Ticket)>,
    /// Those of them that have to look again when a processor is paused, resumed or stopped.
    watching: BTreeSet<Ticket>,
    /// The last number.
    last: u64,
    /// Those whose time is up, or that have to look again for another reason.
    called: Vec<Waker>,
}

impl Waiting {
    /// The number of a task that waits for `wanted` free slots, and `watches` processors meanwhile.
    pub(crate) fn ticket(&mut self, wanted: u8, watches: bool) -> Ticket {
        self.last += 1;
        let ticket = (wanted, self.last);
        if watches {
            self.watching.insert(ticket);
        }
        ticket
    }

    /// The task waits, at most until `until`. Returns its waker of before, which its caller drops outside of the lock.
    pub(crate) fn wait(&mut self, ticket: Ticket, waker: Waker, until: Option<Instant>) -> Option<Waker> {
        let before = self.waiters.insert(ticket, Waiter::new(waker, until));
        if let Some(before) = before.as_ref().and_then(Waiter::until) {
            self.ends.remove(&(before, ticket));
        }
        if let Some(until) = until {
            self.ends.insert((until, ticket));
        }
        before.map(Waiter::waker)
    }

    /// The task waits no longer. Returns its waker, which its caller drops outside of the lock.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        self.watching.remove(&ticket);
        self.take(ticket)
    }

    /// Takes the waker of a task, which may wait again with the same number.
    fn take(&mut self, ticket: Ticket) -> Option<Waker> {
        let waiter = self.waiters.remove(&ticket)?;
        if let Some(until) = waiter.until() {
            self.ends.remove(&(until, ticket));
        }
        Some(waiter.waker())
    }

    fn call(&mut self, ticket: Ticket) {
        let waker = self.take(ticket);
        self.called.extend(waker);
    }

    /// Whether the driver has tasks to wake.
    pub(crate) fn has_news<S: Storage>(&self, machine: &ClientMachine<S>) -> bool {
        !self.called.is_empty()
            || self.waiters.first_key_value().is_some_and(|((wanted, _), _)| machine.has_slots(*wanted))
    }

    /// All of them have to look again: the client has ended.
    pub(crate) fn call_all(&mut self) {
        self.ends.clear();
        self.called.extend(core::mem::take(&mut self.waiters).into_values().map(Waiter::waker));
    }

    /// A processor is paused, resumed or stopped: those that watch one have to look again.
    pub(crate) fn call_watching(&mut self) {
        let mut next = self.watching.first().copied();
        while let Some(ticket) = next {
            self.call(ticket);
            next = self.watching.range((Bound::Excluded(ticket), Bound::Unbounded)).next().copied();
        }
    }

    /// Those whose time is up have to look again. Returns when that of the next one is.
    pub(crate) fn call_late(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let &(until, ticket) = self.ends.first()?;
            if until > now {
                return Some(until);
            }
            self.call(ticket);
        }
    }

    /// Collects wakers of those that have to look again, and of those for whom there are slots; true when there may be
    /// more.
    pub(crate) fn take_wakers<const N: usize>(
        &mut self,
        mut free: usize,
        wakers: &mut heapless::Vec<Waker, N>,
    ) -> bool {
        while !wakers.is_full() {
            let waker = match self.called.pop() {
                Some(waker) => Some(waker),
                None => match self.waiters.first_key_value().map(|(ticket, _)| *ticket) {
                    Some(first) if usize::from(first.0) <= free => {
                        free -= 1;
                        self.take(first)
                    }
                    _ => return false,
                },
            };
            // There is room: it was just checked.
            wakers.extend(waker);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests as touched;
    use crate::time::Millis;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn second(at: u32) -> Instant {
        Instant::ZERO.after(Millis::from_secs(at))
    }

    /// So many tasks wait for a slot with ends a second apart, and as many without an end.
    fn waiting(count: u32) -> (Waiting, Vec<Ticket>, Arc<Count>) {
        let (mut waiting, woken) = (Waiting::default(), Arc::new(Count::default()));
        let tickets = (0..2 * count).map(|number| {
            let ticket = waiting.ticket(1, number == 0);
            let until = (number < count).then(|| second(number + 1));
            assert!(waiting.wait(ticket, Arc::clone(&woken).into(), until).is_none());
            ticket
        });
        let tickets = tickets.collect();
        (waiting, tickets, woken)
    }

    fn wake(waiting: &mut Waiting, free: usize) {
        let mut wakers = heapless::Vec::<Waker, 4>::new();
        while waiting.take_wakers(free, &mut wakers) {
            wakers.drain(..).for_each(Waker::wake);
        }
        wakers.drain(..).for_each(Waker::wake);
    }

    #[test]
    fn each_wait_ends_in_its_time_and_is_called_once() {
        let (mut waiting, tickets, woken) = waiting(3);
        assert_eq!(waiting.call_late(second(2)), Some(second(3)));
        assert_eq!(waiting.call_late(second(2)), Some(second(3)));
        wake(&mut waiting, 0);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(waiting.leave(tickets[2]).is_some() && waiting.leave(tickets[2]).is_none());
        assert_eq!(waiting.call_late(second(9)), None, "those that are left have no end");
        // One that waits again has a new end.
        assert!(waiting.wait(tickets[0], Arc::clone(&woken).into(), Some(second(20))).is_none());
        assert!(waiting.wait(tickets[0], Arc::clone(&woken).into(), Some(second(10))).is_some());
        assert_eq!((waiting.call_late(second(10)), waiting.call_late(second(20))), (None, None));
        wake(&mut waiting, 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 4, "and one gets a slot");
    }

    #[test]
    fn a_processor_that_is_paused_calls_those_that_watch_processors_alone() {
        let (mut waiting, tickets, woken) = waiting(3);
        waiting.call_watching();
        waiting.call_watching();
        wake(&mut waiting, 0);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(waiting.wait(tickets[0], Arc::clone(&woken).into(), None).is_none());
        waiting.call_watching();
        waiting.leave(tickets[0]);
        waiting.call_watching();
        wake(&mut waiting, 0);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2, "it watches until it leaves");
    }

    #[test]
    fn no_wake_up_looks_at_those_that_go_on_waiting() {
        let touched_by = |count| {
            let (mut waiting, tickets, _) = waiting(count);
            let before = touched::count();
            assert!(waiting.call_late(second(1)).is_some());
            wake(&mut waiting, 1);
            waiting.call_watching();
            waiting.leave(tickets[1]);
            touched::count() - before
        };
        assert_eq!(touched_by(10), touched_by(10_000));
    }
}
