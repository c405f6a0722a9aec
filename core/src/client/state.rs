//! What client and driver share.

use crate::machine::ClientMachine;
use crate::runtime::Runtime;
use crate::storage::{Slots, Storage};
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

/// The machine, and who waits for it.
pub struct State<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) machine: ClientMachine<R::Storage>,
    /// Wakers of pending calls, by the places of their operations.
    pub(crate) wakers: <R::Storage as Storage>::Slots<Waker>,
    /// What messages are encoded into.
    pub(crate) arena: <R::Storage as Storage>::Arena,
    pub(crate) driver: Signal,
    closed: Signal,
    stopped: bool,
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
            arena: Default::default(),
            driver: Signal::default(),
            closed: Signal::default(),
            stopped: false,
            handles: 0,
        }
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

    /// Collects wakers of calls that have news; true when there may be more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn take_wakers<const N: usize>(&mut self, wakers: &mut heapless::Vec<Waker, N>) -> bool {
        while !wakers.is_full() {
            let Some(place) = self.machine.poll_notice() else { return false };
            if let Some(waker) = self.wakers.take(place) {
                // There is room: it was just checked.
                let _ = wakers.push(waker);
            }
        }
        true
    }

    /// The driver has ended, or it was dropped; the waker is to be woken outside of the lock.
    pub(crate) fn stop(&mut self) -> Option<Waker> {
        self.stopped = true;
        self.machine.stop();
        self.closed.give()
    }

    pub(crate) fn poll_stopped(&mut self, waker: &Waker) -> Poll<()> {
        if self.stopped {
            return Poll::Ready(());
        }
        self.closed.poll(waker)
    }
}
