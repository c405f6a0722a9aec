//! What client and driver share.

use super::Runtime;
use crate::machine::{ClientMachine, Failure};
#[cfg(feature = "alloc")]
use crate::storage::Text;
use crate::storage::{EncoderOf, Slots, Spare, Storage, room};
use core::fmt;
use core::task::{Poll, Waker};

/// A flag that one task waits for. Flag and waker change under the same lock, so no signal is lost.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    given: bool,
    waker: Option<Waker>,
}

impl Signal {
    /// Takes the flag, or stores a clone of the waker if that is a new one: the caller makes it in `clone`, and drops
    /// what is left there, outside of the lock. `None` when a clone is needed and missing.
    pub(crate) fn poll(&mut self, waker: &Waker, clone: &mut Option<Waker>) -> Option<Poll<()>> {
        if core::mem::take(&mut self.given) {
            return Some(Poll::Ready(()));
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            clone.as_ref()?;
            core::mem::swap(&mut self.waker, clone);
        }
        Some(Poll::Pending)
    }

    /// Sets the flag for a task that checks it before it waits again.
    #[cfg(feature = "alloc")]
    fn keep(&mut self) {
        self.given = true;
    }

    /// Sets the flag. Wake the returned waker outside of the lock.
    pub(crate) fn give(&mut self) -> Option<Waker> {
        self.given = true;
        self.waker.take()
    }
}

/// How many tasks may wait without a slot before they have to take turns.
const OUTSIDE: usize = 4;

/// What a client and its driver share: a [`Runtime`] names the cell that it is kept in, [`Client::shared_state`]
/// makes it, and [`driver::run`](crate::driver::run) drives it.
///
/// [`Client::shared_state`]: crate::client::Client::shared_state
///
/// ```
/// # use servicebus_core::machine::Clock;
/// use servicebus_core::client::State;
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Heap;
/// use servicebus_core::time::{Instant, Timestamp};
/// use std::sync::{Arc, Mutex};
///
/// /// A runtime whose driver runs on another thread than the client.
/// #[derive(Clone, Debug)]
/// struct Own;
///
/// impl Runtime for Own {
///     type Storage = Heap;
///     type Shared = Arc<Mutex<State<Self>>>;
///     # fn clock(&self) -> Clock {
///     #     Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH }
///     # }
///     # async fn sleep_until(&self, _: Instant) {}
///     // …
/// }
/// ```
// In this order: the connection, which is the largest part and is not there at first, comes last. Between others its
// room would be copied with them when the state is made.
#[repr(C)]
pub struct State<R: Runtime> {
    /// Wakers of pending calls, by the places of their operations.
    pub(crate) wakers: Slots<R::Storage, room::Deliveries, Waker>,
    /// What messages are encoded into.
    pub(crate) arena: Spare<R::Storage, EncoderOf<R::Storage>>,
    pub(crate) driver: Signal,
    /// Tasks that wait for news of the client and found no free slot.
    outside: heapless::Vec<Waker, OUTSIDE>,
    pub(crate) handles: usize,
    /// Tasks that wait for the slot of a call.
    #[cfg(feature = "alloc")]
    pub(crate) without_slot: super::waiting::Waiting,
    /// Failures with errors of other libraries: held here so that none is dropped under the lock.
    #[cfg(feature = "alloc")]
    sources: alloc::collections::VecDeque<Failure<R::Storage>>,
    pub(crate) machine: ClientMachine<R::Storage>,
}

impl<R: Runtime> fmt::Debug for State<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<R: Runtime<Storage = S>, S: Storage> State<R> {
    // Inlined as `ClientMachine::new` is.
    #[inline(always)]
    pub(crate) fn new(machine: ClientMachine<S>) -> Self {
        Self {
            machine,
            wakers: Default::default(),
            arena: Spare::of(Default::default()),
            driver: Signal::default(),
            outside: heapless::Vec::new(),
            handles: 0,
            #[cfg(feature = "alloc")]
            without_slot: super::waiting::Waiting::default(),
            #[cfg(feature = "alloc")]
            sources: alloc::collections::VecDeque::new(),
        }
    }

    /// Whether nothing uses it any more: the driver has ended, and the last handle is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::runtime::Shared;
    ///
    /// # let (client, state) = world.client_and_state(world.settings::<servicebus_core::storage::Heap>());
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// client.close().await;
    /// assert!(!state.with(|state| state.is_over())); // there is a handle
    ///
    /// drop(client);
    /// # world.settle().await;
    /// assert!(state.with(|state| state.is_over()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_over(&self) -> bool {
        self.handles == 0 && self.machine.is_stopped()
    }

    /// The machine itself, for the workspace's own tests: only the driver knows which tasks to wake.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use servicebus_core::runtime::Shared;
    ///
    /// # let (client, state) = world.client_and_state(world.settings::<servicebus_core::storage::Heap>());
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// assert!(!state.with(|state| state.machine().is_over()));
    /// # Ok(())
    /// # });
    /// ```
    #[doc(hidden)]
    pub fn machine(&mut self) -> &mut ClientMachine<S> {
        &mut self.machine
    }

    /// Keeps the source error of a failure, and returns sources that are no longer referenced: drop them outside of the
    /// lock.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub(crate) fn keep_source(&mut self, failure: &Failure<S>) -> alloc::vec::Vec<Failure<S>> {
        if failure.description.source().is_some() {
            self.sources.push_back(failure.clone());
        }
        // Two for each that comes: those that applications keep do not make the next failure dearer.
        let mut gone = alloc::vec::Vec::new();
        for _ in 0..2 {
            match self.sources.pop_front() {
                Some(held) if held.description.is_shared() => self.sources.push_back(held),
                Some(held) => gone.push(held),
                None => break,
            }
        }
        gone
    }

    /// Fixed storage keeps no errors of other libraries, and has none to drop.
    #[cfg(not(feature = "alloc"))]
    #[must_use]
    pub(crate) fn keep_source(&mut self, _: &Failure<S>) -> [Failure<S>; 0] {
        []
    }

    /// Signals the driver when the machine has something to do.
    #[inline(never)]
    pub(crate) fn wake_driver(&mut self) -> Option<Waker> {
        #[cfg(feature = "alloc")]
        let is_busy = self.machine.is_busy() || self.without_slot.has_news(&self.machine);
        #[cfg(not(feature = "alloc"))]
        let is_busy = self.machine.is_busy();
        if is_busy { self.driver.give() } else { None }
    }

    /// Collects wakers of calls that have news, and those of tasks without a slot; true when there may be more.
    #[inline(never)]
    pub(crate) fn take_wakers<const N: usize>(&mut self, wakers: &mut heapless::Vec<Waker, N>) -> bool {
        while !wakers.is_full()
            && let Some(waker) = self.outside.pop()
        {
            let _ = wakers.push(waker);
        }
        while !wakers.is_full() {
            let Some(place) = self.machine.poll_notice() else {
                #[cfg(feature = "alloc")]
                return self.take_without_slot(wakers);
                #[cfg(not(feature = "alloc"))]
                return false;
            };
            if let Some(waker) = self.wakers.take(place) {
                // There is room: it was just checked.
                let _ = wakers.push(waker);
            }
        }
        true
    }

    /// Collects wakers of tasks that wait for slots, as many as there are; true when there may be more.
    #[cfg(feature = "alloc")]
    fn take_without_slot<const N: usize>(&mut self, wakers: &mut heapless::Vec<Waker, N>) -> bool {
        if self.machine.ended().is_some() {
            self.without_slot.call_all();
        } else if let Some(now) = self.machine.take_ended_slot_wait()
            && let Some(until) = self.without_slot.call_late(now)
        {
            self.machine.end_slot_wait(until);
            // The driver, which collects them, may have asked for the deadline before.
            self.driver.keep();
        }
        self.without_slot.take_wakers(self.machine.free_calls(), wakers)
    }

    /// A task without a slot waits for a change of the client; a known waker is left in `waker`. With more such tasks
    /// than places, one must poll again: wake the returned waker outside of the lock.
    pub(crate) fn wait_outside(&mut self, waker: &mut Option<Waker>) -> Option<Waker> {
        let new = waker.take()?;
        if self.outside.iter().any(|known| known.will_wake(&new)) {
            *waker = Some(new);
            return None;
        }
        let new = self.outside.push(new).err()?;
        match self.outside.first_mut() {
            Some(first) => Some(core::mem::replace(first, new)),
            None => Some(new),
        }
    }
}
