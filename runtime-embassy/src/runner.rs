//! A client, the task that carries its bytes, and the memory of both.

use crate::Client;
use crate::clock::{self, Utc};
use core::cell::{RefCell, RefMut};
use core::fmt;
use core::future::Future;
use servicebus_core::client;
use servicebus_core::driver::{self, Credential, Dial, NoCredential};
use servicebus_core::machine::{Clock, Settings};
use servicebus_core::runtime::{RunTask, Runtime, Shared};
use servicebus_core::storage::Storage;
use servicebus_core::time::Instant;

/// What client and runner share.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// use servicebus_embassy::State;
///
/// // What a client of this storage takes, most of the `Resources`.
/// assert!(size_of::<State<Board>>() <= size_of::<Resources<Board>>());
/// ```
pub type State<S> = client::State<Embassy<S>>;

/// The memory of one client: `static RESOURCES: StaticCell<Resources<Board>>`. Its size is that of the storage `S`
/// with the client's own tables; the two frame buffers are in the [`Runner`]'s future.
///
/// One client at a time: [`new`] takes it again once the last one is closed and gone.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// // `resources` is what `RESOURCES.init(Resources::new())` returns, of the `StaticCell` above.
/// let settings = Settings::new("Endpoint=sb://contoso.servicebus.windows.net;SharedAccessSignature=…", 1);
/// let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
/// # drop((client, runner));
/// # Ok::<(), servicebus_embassy::InUse>(())
/// ```
pub struct Resources<S: Storage> {
    state: RefCell<Place<S>>,
}

/// The place of a client's state.
// With a tag of its own, which is zero while nothing is there: an `Option` would mark that by some number amid the state,
// and a static that is not all zeros is kept in flash as well.
#[repr(C)]
enum Place<S: Storage> {
    Empty,
    /// From the first client on.
    Filled(State<S>),
}

impl<S: Storage> Resources<S> {
    /// Memory that is not in use yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// const NOTHING_YET: Resources<Board> = Resources::new();
    /// # drop(NOTHING_YET);
    /// ```
    pub const fn new() -> Self {
        Self { state: RefCell::new(Place::Empty) }
    }
}

impl<S: Storage> Default for Resources<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A client for the namespace of `settings`, and the runner that connects it.
///
/// Both stay on one executor; every task there can have a clone of the client. The same resources can be used again, with
/// other settings, when that client is over: `close` it, let its runner end, and drop its senders, receivers and clones.
/// Their calls fail with `ErrorKind::Closed` until then.
///
/// # Errors
/// [`InUse`] while a handle of the last client is left or its runner has not ended.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # servicebus_simulation::example_in_world(async |world| {
/// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
/// # world.spawn(async {
/// runner.run(dialer).await; // in a task of its own
/// # });
/// client.sender("orders")?.send("21.5 °C").await?;
/// client.close().await;
/// # Ok(())
/// # });
/// ```
// Apart: what it needs of the stack would be in the frame of the task that calls it for good.
#[inline(never)]
pub fn new<S: Storage>(
    resources: &'static Resources<S>,
    settings: Settings<S>,
    utc: &'static (dyn Utc + Sync),
) -> Result<(Client<S>, Runner<S>), InUse> {
    let runtime = Embassy { utc, storage: core::marker::PhantomData };
    {
        let mut place = resources.state.try_borrow_mut().map_err(|_| InUse)?;
        if matches!(&*place, Place::Filled(state) if !state.is_over()) {
            return Err(InUse);
        }
        // Apart from the next line, which builds the state in its place rather than on the stack.
        *place = Place::Empty;
        *place = Place::Filled(Client::shared_state(settings));
    }
    let shared = Handle(&resources.state);
    Ok((Client::new(&shared, runtime.clone()), Runner { shared, runtime }))
}

/// The [`Resources`] belong to a client that is not over.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// # let settings = || Settings::new(servicebus_simulation::CONNECTION_STRING, 1);
/// use servicebus_embassy::InUse;
///
/// let first = servicebus_embassy::new(resources, settings(), &UTC)?;
/// assert_eq!(servicebus_embassy::new(resources, settings(), &UTC).err(), Some(InUse));
/// drop(first);
/// assert!(servicebus_embassy::new(resources, settings(), &UTC).is_err(), "its runner was dropped before it ran");
/// # Ok::<(), InUse>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InUse;

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the resources belong to a client that has a handle left, or whose runner has not ended")
    }
}

impl core::error::Error for InUse {}

/// Connects the client and carries its bytes.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # servicebus_simulation::example_in_world(async |world| {
/// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
/// use servicebus_embassy::{Dial, Runner};
///
/// // `#[embassy_executor::task]`
/// async fn carry(runner: Runner<Board>, dialer: impl Dial) {
///     runner.run(dialer).await;
/// }
/// # world.spawn(carry(runner, dialer));
/// # client.sender("orders")?.send("21.5 °C").await?;
/// # Ok(())
/// # });
/// ```
#[must_use = "without its runner a client does nothing"]
pub struct Runner<S: Storage> {
    shared: Handle<S>,
    runtime: Embassy<S>,
}

impl<S: Storage> Runner<S> {
    /// Runs until the client is closed or its last handle is dropped: connects when something is to be sent or
    /// received, and again, with the back-off of the settings' retry policy, when the connection is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
    /// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    /// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
    /// let carry = runner.run(dialer);
    /// # world.spawn(carry);
    /// # client.close().await;
    /// # Ok(())
    /// # });
    /// ```
    // Not async functions: each would hold the driver's future twice, and move it there over the stack.
    pub fn run<D: Dial>(self, dialer: D) -> impl Future<Output = ()> {
        self.run_with_credential(dialer, NoCredential)
    }

    /// As [`Runner::run`], with access tokens from `credential`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// # servicebus_embassy::fixed_storage! {
    /// #     pub type Gateway {
    /// #         links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024, external_tokens: true,
    /// #     }
    /// # }
    /// # let resources: &'static Resources<Gateway> = Box::leak(Box::new(Resources::new()));
    /// # async fn token_of_the_gateway() -> Result<[u8; 4], core::fmt::Error> { Ok(*b"eyJ0") }
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let dialer = world.dialer();
    /// use servicebus_embassy::{Token, TokenFn};
    ///
    /// // The storage has `external_tokens: true`.
    /// let settings = Settings::new("Endpoint=sb://contoso.servicebus.windows.net", 1).with_external_tokens();
    /// let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
    /// let credential = TokenFn(async || {
    ///     let token = token_of_the_gateway().await?;
    ///     Ok::<_, core::fmt::Error>(Token::jwt(token, Timestamp::from_secs(1_767_229_200)))
    /// });
    /// let carry = runner.run_with_credential(dialer, credential);
    /// # drop((client, carry));
    /// # Ok(())
    /// # });
    /// ```
    pub fn run_with_credential<D: Dial, C: Credential<S::Payload>>(
        self,
        dialer: D,
        credential: C,
    ) -> impl Future<Output = ()> {
        driver::run::<Embassy<S>, D, C>(self.shared, self.runtime, dialer, credential)
    }
}

/// The runtime: embassy-time's clock and timers, and UTC from the board.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// use servicebus_core::client::Sender;
/// use servicebus_embassy::Embassy;
///
/// /// The same type as `servicebus_embassy::Sender<Board>`.
/// fn name(sender: &Sender<Embassy<Board>>) -> &servicebus_embassy::Sender<Board> {
///     sender
/// }
/// ```
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

    fn now(&self) -> Instant {
        clock::now()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        clock::sleep_until(at)
    }
}

/// Runs it in the place where the task is awaited.
impl<S: Storage, F: Future> RunTask<F> for Embassy<S> {
    type Task = F;

    fn run_task(&self, future: F) -> F {
        future
    }
}

/// The state's place in the [`Resources`].
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// use servicebus_core::runtime::Runtime;
/// use servicebus_embassy::{Embassy, Handle};
///
/// /// What client and runner share, for code that names it.
/// fn shared<S: servicebus_core::storage::Storage>(handle: Handle<S>) -> <Embassy<S> as Runtime>::Shared {
///     handle
/// }
/// ```
pub struct Handle<S: Storage>(&'static RefCell<Place<S>>);

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
        RefMut::map(self.0.borrow_mut(), |place| match place {
            Place::Filled(state) => state,
            // The state is there before its first handle, and is replaced after its last one.
            Place::Empty => unreachable!(),
        })
    }
}
