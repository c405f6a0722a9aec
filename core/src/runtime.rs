//! What a runtime must provide: two clocks, a way to sleep, and a cell that client and driver share.
//!
//! # A runtime or a transport of one's own
//!
//! The adapter crates are thin, and everything that they do can be done elsewhere. Four pieces make a client:
//!
//! 1. A type with [`Runtime`]: its clock and timers. Its `Shared` is `Arc<Mutex<_>>` where the driver runs
//!    on another thread, and `Rc<RefCell<_>>` where everything stays on one.
//! 2. A type with [`Dial`](crate::driver::Dial): it opens a [`Transport`](crate::driver::Transport), any stream of bytes
//!    whose halves have embedded-io-async's `Read` and `Write`, and an error that threads can hand on. Where
//!    `Target::tls` is set the stream has to be encrypted, with a peer that proves to be `Target::host`. Reads and
//!    writes that the driver has begun are polled to their end as long as the connection lasts, so they need not
//!    survive being dropped.
//! 3. The state that both share: [`Client::shared_state`](crate::client::Client::shared_state) in a `Shared`, and
//!    [`Client::new`](crate::client::Client::new) over it, with the runtime.
//! 4. [`driver::run`](crate::driver::run) over the same state: a future to be polled until the client is closed.
//!
//! ```
//! use servicebus_core::client::{Client, State};
//! use servicebus_core::runtime::Runtime;
//! use servicebus_core::machine::{Clock, Settings};
//! use servicebus_core::storage::Heap;
//! use servicebus_core::time::{Instant, Timestamp};
//! use std::cell::RefCell;
//! use std::rc::Rc;
//!
//! /// A runtime whose time stands still.
//! #[derive(Clone, Debug)]
//! struct Still;
//!
//! impl Runtime for Still {
//!     type Storage = Heap;
//!     type Shared = Rc<RefCell<State<Self>>>;
//!
//!     fn clock(&self) -> Clock {
//!         Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH }
//!     }
//!
//!     async fn sleep_until(&self, at: Instant) {
//!         if at > Instant::ZERO {
//!             core::future::pending().await
//!         }
//!     }
//! }
//!
//! let settings = Settings::new("Endpoint=sb://localhost;UseDevelopmentEmulator=true".into(), 1);
//! let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
//! let client = Client::<Still>::new(&shared, Still);
//! let sender = client.sender("orders").expect("there is room for one");
//! ```
//!
//! The example `own_runtime_and_transport` is the whole of it: an executor in one thread and sockets of the Unix
//! family, in two hundred lines.

pub(crate) mod state;
#[cfg(feature = "alloc")]
pub(crate) mod waiting;

use crate::machine::Clock;
use crate::storage::Storage;
use crate::time::Instant;
use core::fmt::Debug;
use core::future::Future;
use state::State;

/// A runtime. Usually a unit struct; in simulations a handle to the simulated clock. It is called without the lock on the
/// client's state: it may itself use a client.
///
/// # Examples
///
/// Code that is generic over its runtime, with the client's clock; [the module](self) has an implementation:
///
/// ```
/// use core::future::Future;
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::time::Duration;
///
/// async fn timed<T>(runtime: &impl Runtime, work: impl Future<Output = T>) -> (T, Duration) {
///     let began = runtime.now();
///     let output = work.await;
///     (output, runtime.now().saturating_duration_since(began))
/// }
/// # servicebus_simulation::example_in_world(async |world| {
/// # let runtime = world.runtime::<servicebus_core::storage::Heap>();
/// # let work = world.sleep(Duration::from_secs(3));
/// let ((), took) = timed(&runtime, work).await;
/// assert_eq!(took, Duration::from_secs(3));
/// # Ok(())
/// # });
/// ```
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

/// A runtime that runs futures of this type as tasks of their own, such as the handlers of a
/// [`Processor`](crate::client::Processor::run).
///
/// tokio, smol and async-std spawn futures that are `Send + 'static`; a runtime without a spawner runs any future in the place
/// where its task is awaited.
///
/// # Examples
///
/// Code that is generic over a runtime and spawns:
///
/// ```
/// use core::future::Future;
/// use servicebus_core::runtime::RunTask;
///
/// async fn count<R: RunTask<F>, F: Future<Output = u32>>(runtime: R, orders: F, invoices: F) -> u32 {
///     let (orders, invoices) = (runtime.run_task(orders), runtime.run_task(invoices));
///     orders.await + invoices.await
/// }
/// # servicebus_simulation::example_in_world(async |world| {
/// # use servicebus_core::storage::Heap;
/// # let runtime = world.runtime::<Heap>();
/// assert_eq!(count(runtime, core::future::ready(2), core::future::ready(3)).await, 5);
/// # Ok(())
/// # });
/// ```
pub trait RunTask<F: Future>: Runtime {
    /// The future under way. Dropped, it is cancelled.
    type Task: Future<Output = F::Output>;

    /// Starts a future.
    fn run_task(&self, future: F) -> Self::Task;
}

/// A runtime whose clients are on the heap: tokio, smol, async-std, and simulations of them. For code that is generic over
/// its runtime, so that production and a simulation run the same function.
///
/// ```
/// use servicebus_core::client::{Client, Error, ProcessorOptions};
/// use servicebus_core::runtime::HeapRuntime;
/// use servicebus_core::storage::Heap;
///
/// async fn worker<R: HeapRuntime>(client: Client<R>) -> Result<(), Error<Heap>> {
///     let processor = client.processor("orders", ProcessorOptions::new());
///     // `run` would have to name how this runtime spawns.
///     processor
///         .run_inline(|message| async move {
///             println!("{}", message.text()?);
///             Ok(())
///         })
///         .await
/// }
/// ```
#[cfg(feature = "alloc")]
pub trait HeapRuntime: Runtime<Storage = crate::storage::Heap> {}

#[cfg(feature = "alloc")]
impl<R: Runtime<Storage = crate::storage::Heap>> HeapRuntime for R {}

/// A handle to a shared value. Closures that run inside are short and never wait.
///
/// # Examples
///
/// ```
/// use servicebus_core::runtime::Shared;
/// use std::sync::{Arc, Mutex};
///
/// let orders = Arc::new(Mutex::new(vec!["one"]));
/// let handle = orders.clone();
/// handle.with(|orders| orders.push("two"));
/// assert_eq!(orders.with(|orders| orders.len()), 2);
/// ```
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
