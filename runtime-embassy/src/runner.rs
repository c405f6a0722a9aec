//! A client, the task that carries its bytes, and the memory of both.

use crate::Client;
use crate::clock::{self, Utc};
use core::cell::{RefCell, RefMut};
use core::future::Future;
use servicebus_core::client;
use servicebus_core::driver::{self, Credential, Dial, NoCredential};
use servicebus_core::machine::{Clock, Settings};
use servicebus_core::runtime::{Runtime, Shared};
use servicebus_core::storage::Storage;
use servicebus_core::time::Instant;

/// What client and runner share.
pub type State<S> = client::State<Embassy<S>>;

/// The memory of one client: `static RESOURCES: StaticCell<Resources<Board>>`. Its size is that of the storage `S`
/// with the client's own tables; the two frame buffers are in the [`Runner`]'s future.
pub struct Resources<S: Storage> {
    state: Option<RefCell<State<S>>>,
}

impl<S: Storage> Resources<S> {
    /// Memory that is not in use yet.
    pub const fn new() -> Self {
        Self { state: None }
    }
}

impl<S: Storage> Default for Resources<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A client for the namespace of `settings`, and the runner that connects it.
///
/// Both stay on one executor; every task there can have a clone of the client.
pub fn new<S: Storage>(
    resources: &'static mut Resources<S>,
    settings: Settings<S>,
    utc: &'static (dyn Utc + Sync),
) -> (Client<S>, Runner<S>) {
    let runtime = Embassy { utc, storage: core::marker::PhantomData };
    let shared =
        Handle(resources.state.get_or_insert_with(|| RefCell::new(Client::shared_state(runtime.clone(), settings))));
    (Client::new(&shared), Runner { shared, runtime })
}

/// Connects the client and carries its bytes.
#[must_use = "without its runner a client does nothing"]
pub struct Runner<S: Storage> {
    shared: Handle<S>,
    runtime: Embassy<S>,
}

impl<S: Storage> Runner<S> {
    /// Runs until the client is closed or its last handle is dropped: connects when something is to be sent or
    /// received, and again, with the back-off of the settings' retry policy, when the connection is lost.
    // Not async functions: each would hold the driver's future twice, and move it there over the stack.
    pub fn run<D: Dial>(self, dialer: D) -> impl Future<Output = ()> {
        self.run_with_credential(dialer, NoCredential)
    }

    /// As [`Runner::run`], with access tokens from `credential`.
    pub fn run_with_credential<D: Dial, C: Credential<S::Payload>>(
        self,
        dialer: D,
        credential: C,
    ) -> impl Future<Output = ()> {
        driver::run::<Embassy<S>, D, C>(self.shared, self.runtime, dialer, credential)
    }
}

/// The runtime: embassy-time's clock and timers, and UTC from the board.
pub struct Embassy<S> {
    utc: &'static (dyn Utc + Sync),
    storage: core::marker::PhantomData<fn() -> S>,
}

impl<S> Clone for Embassy<S> {
    fn clone(&self) -> Self {
        Self { utc: self.utc, storage: core::marker::PhantomData }
    }
}

impl<S: Storage> Runtime for Embassy<S> {
    type Storage = S;
    type Shared = Handle<S>;

    #[inline(never)]
    fn clock(&self) -> Clock {
        Clock { now: clock::now(), utc: self.utc.now() }
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        clock::sleep_until(at)
    }
}

/// The state's place in the [`Resources`].
pub struct Handle<S: Storage>(&'static RefCell<State<S>>);

impl<S: Storage> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<S: Storage> Shared<State<S>> for Handle<S> {
    fn with<O>(&self, f: impl FnOnce(&mut State<S>) -> O) -> O {
        f(&mut self.borrow())
    }
}

impl<S: Storage> Handle<S> {
    /// In one place: each of many short closures would have the check of its own.
    #[inline(never)]
    fn borrow(&self) -> RefMut<'_, State<S>> {
        self.0.borrow_mut()
    }
}
