//! What client and driver share.

use crate::machine::ClientMachine;
use crate::runtime::Runtime;
use crate::storage::{EncoderOf, Slots, Spare, room};
use core::fmt;
use core::task::{Poll, Waker};

/// A flag that one task waits for. Flag and waker change under the same lock, so no signal is lost.
#[derive(Debug, Default)]
pub struct Signal {
    given: bool,
    waker: Option<Waker>,
}

impl Signal {
    /// Takes the flag, or stores the waker.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if core::mem::take(&mut self.given) {
            return Poll::Ready(());
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Sets the flag; the waker is to be woken outside of the lock.
    pub(crate) fn give(&mut self) -> Option<Waker> {
        self.given = true;
        self.waker.take()
    }
}

/// How many tasks may wait without a slot before they have to take turns.
const OUTSIDE: usize = 4;

/// The machine, and who waits for it.
pub struct State<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) machine: ClientMachine<R::Storage>,
    /// Wakers of pending calls, by the places of their operations.
    pub(crate) wakers: Slots<R::Storage, room::Deliveries, Waker>,
    /// What messages are encoded into.
    pub(crate) arena: Spare<R::Storage, EncoderOf<R::Storage>>,
    pub(crate) driver: Signal,
    /// Tasks that wait for news of the client and found no free slot.
    outside: heapless::Vec<Waker, OUTSIDE>,
    pub(crate) handles: usize,
}

impl<R: Runtime> fmt::Debug for State<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<R: Runtime> State<R> {
    // Inlined as `ClientMachine::new` is.
    #[inline(always)]
    pub(crate) fn new(runtime: R, machine: ClientMachine<R::Storage>) -> Self {
        Self {
            runtime,
            machine,
            wakers: Default::default(),
            arena: Spare::of(Default::default()),
            driver: Signal::default(),
            outside: heapless::Vec::new(),
            handles: 0,
        }
    }

    /// Whether nothing uses it any more: the driver has ended, and the last handle is dropped.
    pub fn is_over(&self) -> bool {
        self.handles == 0 && self.machine.is_stopped()
    }

    /// The machine itself, for those that drive it by hand.
    pub fn machine(&mut self) -> &mut ClientMachine<R::Storage> {
        &mut self.machine
    }

    /// Signals the driver when the machine has something to do.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn wake_driver(&mut self) -> Option<Waker> {
        if self.machine.is_busy() { self.driver.give() } else { None }
    }

    /// Collects wakers of calls that have news, and those of tasks without a slot; true when there may be more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn take_wakers<const N: usize>(&mut self, wakers: &mut heapless::Vec<Waker, N>) -> bool {
        while !wakers.is_full()
            && let Some(waker) = self.outside.pop()
        {
            let _ = wakers.push(waker);
        }
        while !wakers.is_full() {
            let Some(place) = self.machine.poll_notice() else { return false };
            if let Some(waker) = self.wakers.take(place) {
                // There is room: it was just checked.
                let _ = wakers.push(waker);
            }
        }
        true
    }

    /// A task that has no slot waits for news of the client. Where there are more of them than places, one has to look
    /// again: its waker is to be woken outside of the lock.
    pub(crate) fn wait_outside(&mut self, waker: &Waker) -> Option<Waker> {
        if self.outside.iter().any(|known| known.will_wake(waker)) {
            return None;
        }
        let waker = self.outside.push(waker.clone()).err()?;
        self.outside.first_mut().map(|first| core::mem::replace(first, waker))
    }
}
