//! What a runtime must provide: two clocks, a way to sleep, and a cell that client and driver share.

use crate::client::State;
use crate::servicebus::namespace::Clock;
use crate::storage::Storage;
use crate::time::Instant;
use core::fmt::Debug;
use core::future::Future;

/// A runtime. Usually a unit struct; in simulations a handle to the simulated clock.
pub trait Runtime: Clone + Debug + Sized + 'static {
    /// Where bytes and tables live.
    type Storage: Storage;
    /// The cell that client and driver share.
    type Shared: Shared<State<Self>>;

    /// Both clocks, now.
    fn clock(&self) -> Clock;

    /// The monotonic clock alone, where it is cheaper than both.
    fn now(&self) -> Instant {
        self.clock().now
    }

    /// Waits until the monotonic clock has reached `at`. Dropping the future ends the wait.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
}

/// A handle to a shared value. Closures that run inside are short and never wait.
pub trait Shared<T>: Clone {
    /// Runs `f` on the value.
    fn with<O>(&self, f: impl FnOnce(&mut T) -> O) -> O;
}

#[cfg(feature = "std")]
impl<T> Shared<T> for alloc::sync::Arc<std::sync::Mutex<T>> {
    fn with<O>(&self, f: impl FnOnce(&mut T) -> O) -> O {
        // A panic inside a closure leaves the machine in one piece: its methods do not panic half-way.
        f(&mut self.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(feature = "alloc")]
impl<T> Shared<T> for alloc::rc::Rc<core::cell::RefCell<T>> {
    fn with<O>(&self, f: impl FnOnce(&mut T) -> O) -> O {
        f(&mut self.borrow_mut())
    }
}
