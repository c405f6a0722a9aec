//! What every handle of a client holds: the shared state, and the runtime beside it.

use super::State;
use crate::machine::Clock;
use crate::runtime::{Runtime, Shared};
use crate::time::Instant;

/// The state of a client, and its runtime. The runtime is the application's code: it lies outside of the state, so that
/// its clocks cannot be read under the lock.
pub(crate) struct Access<R: Runtime> {
    shared: R::Shared,
    runtime: R,
}

impl<R: Runtime> Clone for Access<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), runtime: self.runtime.clone() }
    }
}

impl<R: Runtime> Access<R> {
    pub(crate) fn new(shared: R::Shared, runtime: R) -> Self {
        Self { shared, runtime }
    }

    /// Runs `f` on the state, under the lock: no code of the application may run in it, and no waker be cloned, dropped
    /// or woken.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<R>) -> T) -> T {
        self.shared.with(f)
    }

    /// Changes the state, and wakes the driver when it has something to do then.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State<R>) -> T) -> T {
        let (result, driver) = self.with(|state| (change(state), state.wake_driver()));
        if let Some(waker) = driver {
            waker.wake();
        }
        result
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.runtime
    }

    /// Both clocks, now.
    pub(crate) fn clock(&self) -> Clock {
        self.runtime.clock()
    }

    /// The monotonic clock, now.
    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }
}
