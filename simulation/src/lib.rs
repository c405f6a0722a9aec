//! Clients and an emulator in one thread and in virtual time: days pass in milliseconds, and every run with the same
//! seed is the same.
//!
//! ```text
//! let world = World::new(config, seed);
//! world.run(async {
//!     let client = world.client::<Heap>();
//!     …
//!     world.sleep(Duration::from_secs(3600)).await;
//! });
//! ```

mod administration;
mod engines;
mod example;
mod example_board;
mod example_flash;
mod example_network;
mod executor;
mod network;
mod parts;
mod peer;
mod utc;

use servicebus_core::client::{Client, State};
use servicebus_core::driver::{self, Credential, NoCredential};
use servicebus_core::machine::{Clock, Settings};
use servicebus_core::runtime::{RunTask, Runtime};
use servicebus_core::storage::Storage;
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::{self, Broker, BrokerConfig};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::Poll;

use executor::Executor;
use network::Network;

pub use administration::{SimulatedAdministration, SimulatedHttp};
pub use engines::{Linked, connected, exchange, exchange_with, linked};
pub use example::{Outcome, administration_example, example, example_in_world};
pub use example_board::{ExampleBoard, ExampleLine};
pub use example_flash::ExampleFlash;
pub use example_network::{EXAMPLE_AUTHORITY, ExampleHalf, ExampleStream};
pub use network::{Server, SimulatedDialer, Traffic};
pub use peer::{Answer, Factory, Output, Peer};
pub use utc::{Skew, UtcClock};

/// The connection string of the simulated namespace.
pub const CONNECTION_STRING: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

/// Longer than any scene lasts.
const MONTH: Duration = Duration::from_secs(31 * 24 * 3_600);

type Busy = Box<dyn Fn() -> Option<bool>>;

struct Inner {
    now: Rc<Cell<Instant>>,
    broker_utc: UtcClock,
    broker: RefCell<Broker>,
    network: RefCell<Network>,
    executor: Executor,
    /// Whether a client's driver has something to do; `None` once the client is gone.
    busy: RefCell<Vec<Busy>>,
    overslept: Cell<u64>,
    seeds: Cell<u64>,
}

/// A namespace, its clients, the network between them, and their time. Clones are handles to the same world.
#[derive(Clone)]
pub struct World(Rc<Inner>);

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.clock())
    }
}

/// The runtime of a simulated client, with the UTC that it sees.
pub struct Simulated<S>(World, UtcClock, PhantomData<fn() -> S>);

impl<S> Clone for Simulated<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone(), PhantomData)
    }
}

impl<S> fmt::Debug for Simulated<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Storage> Runtime for Simulated<S> {
    type Storage = S;
    type Shared = Rc<RefCell<State<Self>>>;

    fn clock(&self) -> Clock {
        Clock { now: self.0.0.now.get(), utc: self.1.utc() }
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        self.0.0.executor.sleep_until(self.0.clone(), at)
    }
}

/// Runs it in the place where the task is awaited: everything is in one thread, and a future may borrow.
impl<S: Storage, F: Future> RunTask<F> for Simulated<S> {
    type Task = F;

    fn run_task(&self, future: F) -> F {
        future
    }
}

/// Why a future did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// No timer and no byte is left.
    Idle,
    /// The time is over.
    Late,
    /// Too many steps in one second of virtual time.
    Spins,
}

/// What a simulated client and its driver share.
pub type SharedState<S> = Rc<RefCell<State<Simulated<S>>>>;

impl World {
    /// A world with an emulator. All randomness comes from the seed.
    pub fn new(config: BrokerConfig, seed: u64) -> Self {
        let now = Rc::new(Cell::new(utc::FIRST));
        Self(Rc::new(Inner {
            broker_utc: UtcClock::new(Rc::clone(&now)),
            now,
            broker: RefCell::new(Broker::new(config, seed)),
            network: RefCell::new(Network::default()),
            executor: Executor::default(),
            busy: RefCell::default(),
            overslept: Cell::new(0),
            seeds: Cell::new(seed),
        }))
    }

    /// The time, with true UTC: what a clock without faults shows.
    pub fn clock(&self) -> Clock {
        let now = self.0.now.get();
        Clock { now, utc: utc::true_utc(now) }
    }

    /// A new clock, which shows true UTC until it is changed; for [`World::client_with_utc`].
    pub fn utc_clock(&self) -> UtcClock {
        UtcClock::new(Rc::clone(&self.0.now))
    }

    /// The emulator's clock.
    pub fn broker_utc(&self) -> &UtcClock {
        &self.0.broker_utc
    }

    fn broker_clock(&self) -> broker::Clock {
        broker::Clock { now: self.0.now.get(), utc: self.0.broker_utc.utc() }
    }

    /// Does something to the emulator, with the time as its own clock shows it.
    pub fn broker<T>(&self, act: impl FnOnce(&mut Broker, broker::Clock) -> T) -> T {
        act(&mut self.0.broker.borrow_mut(), self.broker_clock())
    }

    /// Settings for a client with a seed of its own.
    pub fn settings<S: Storage>(&self) -> Settings<S> {
        let seed = self.0.seeds.get().wrapping_add(1);
        self.0.seeds.set(seed);
        Settings::new(CONNECTION_STRING.into(), seed)
    }

    /// A client with the default settings; its driver runs in this world.
    pub fn client<S: Storage>(&self) -> Client<Simulated<S>> {
        self.client_with(self.settings())
    }

    /// A client whose driver runs in this world.
    pub fn client_with<S: Storage>(&self, settings: Settings<S>) -> Client<Simulated<S>> {
        self.client_and_state(settings).0
    }

    /// A client that reads UTC from `utc`. Several clients of one machine can share a clock.
    pub fn client_with_utc<S: Storage>(&self, settings: Settings<S>, utc: &UtcClock) -> Client<Simulated<S>> {
        self.start(settings, utc, NoCredential).0
    }

    /// A client whose driver runs in this world, and the state that both share, to be looked at.
    pub fn client_and_state<S: Storage>(&self, settings: Settings<S>) -> (Client<Simulated<S>>, SharedState<S>) {
        self.start(settings, &self.utc_clock(), NoCredential)
    }

    /// A client whose tokens come from a credential.
    pub fn client_with_credential<S: Storage>(
        &self,
        settings: Settings<S>,
        credential: impl Credential<S::Payload> + 'static,
    ) -> Client<Simulated<S>> {
        self.client_with_utc_and_credential(settings, &self.utc_clock(), credential)
    }

    /// A client that reads UTC from `utc` and whose tokens come from a credential.
    pub fn client_with_utc_and_credential<S: Storage>(
        &self,
        mut settings: Settings<S>,
        utc: &UtcClock,
        credential: impl Credential<S::Payload> + 'static,
    ) -> Client<Simulated<S>> {
        settings.external_tokens = true;
        self.start(settings, utc, credential).0
    }

    fn start<S: Storage>(
        &self,
        settings: Settings<S>,
        utc: &UtcClock,
        credential: impl Credential<S::Payload> + 'static,
    ) -> (Client<Simulated<S>>, SharedState<S>) {
        let (client, shared, driver) = self.parts(settings, utc, credential);
        self.spawn(driver);
        (client, shared)
    }

    fn parts<S: Storage, C: Credential<S::Payload> + 'static>(
        &self,
        settings: Settings<S>,
        utc: &UtcClock,
        credential: C,
    ) -> (Client<Simulated<S>>, SharedState<S>, impl Future<Output = ()> + use<S, C>) {
        let runtime = Simulated(self.clone(), utc.clone(), PhantomData);
        let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
        let client = Client::new(&shared, runtime.clone());
        let state = Rc::downgrade(&shared);
        self.0.busy.borrow_mut().push(Box::new(move || {
            let state = state.upgrade()?;
            let mut state = state.borrow_mut();
            let machine = state.machine();
            Some(machine.is_busy() && !machine.is_disconnected())
        }));
        let driver = driver::run(Rc::clone(&shared), runtime, self.dialer(), credential);
        (client, shared, driver)
    }

    /// A client and its driver, which runs where the caller polls it and ends when the caller drops it.
    pub fn client_and_driver<S: Storage>(
        &self,
        settings: Settings<S>,
    ) -> (Client<Simulated<S>>, impl Future<Output = ()> + use<S>) {
        let (client, _, driver) = self.parts(settings, &self.utc_clock(), NoCredential);
        (client, driver)
    }

    /// Runs a future beside the others.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.executor.spawn(future);
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        let at = self.clock().now + duration;
        self.0.executor.sleep_until(self.clone(), at).await;
    }

    /// Waits for an effect, which must come within `bound` of virtual time: without a bound, a heartbeat or a retry
    /// would bring in the end what a lost wake-up has lost.
    ///
    /// # Panics
    /// When the bound has passed.
    #[track_caller]
    pub fn within<T>(&self, bound: Duration, effect: impl Future<Output = T>) -> impl Future<Output = T> {
        let (world, caller) = (self.clone(), std::panic::Location::caller());
        async move {
            let mut effect = std::pin::pin!(effect);
            let mut end = std::pin::pin!(world.sleep(bound));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(output) = effect.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                assert!(end.as_mut().poll(cx).is_pending(), "no effect within {bound:?}, at {caller}");
                Poll::Pending
            })
            .await
        }
    }

    /// Lets everything that can happen at this moment happen.
    pub async fn settle(&self) {
        self.sleep(Duration::from_millis(1)).await;
    }

    /// How long bytes travel, one way.
    pub fn set_latency(&self, latency: Duration) {
        self.0.network.borrow_mut().latency = latency;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.0.network.borrow_mut().cut_all();
    }

    /// Whether new connections can be opened.
    pub fn set_reachable(&self, reachable: bool) {
        self.0.network.borrow_mut().reachable = reachable;
    }

    /// While set, nothing arrives in either direction, and neither side gets an error. Bytes under way arrive once it is
    /// unset, unless one side has closed the connection.
    pub fn set_black_hole(&self, on: bool) {
        self.0.network.borrow_mut().black_hole = on;
    }

    /// While set, the clients' writes wait, as when the other end does not read any more; what is sent to the clients
    /// still arrives.
    pub fn set_writes_stalled(&self, stalled: bool) {
        self.0.network.borrow_mut().set_writes_stalled(stalled);
    }

    /// Who answers the connections that are opened from now on.
    pub fn set_server(&self, server: Server) {
        self.0.network.borrow_mut().server = server;
    }

    /// The bytes that were sent so far, in both directions.
    pub fn traffic(&self) -> Traffic {
        self.0.network.borrow().traffic
    }

    /// Hands every flight of bytes from the emulator to `tamper` before it leaves.
    pub fn set_tamper(&self, tamper: impl FnMut(&mut Vec<u8>) + 'static) {
        self.0.network.borrow_mut().tamper = Some(Box::new(tamper));
    }

    /// Hands every write of a client to `tamper` before it leaves.
    pub fn set_tamper_to_emulator(&self, tamper: impl FnMut(&mut Vec<u8>) + 'static) {
        self.0.network.borrow_mut().tamper_to_emulator = Some(Box::new(tamper));
    }

    /// Lets all bytes be as they are.
    pub fn end_tampering(&self) {
        let mut network = self.0.network.borrow_mut();
        network.tamper = None;
        network.tamper_to_emulator = None;
    }

    /// How often time passed although a connected client had something to do: its driver slept, and only its next wake-up
    /// for another reason, such as a heartbeat, brings that about.
    pub fn overslept(&self) -> u64 {
        self.0.overslept.get()
    }

    /// Connections that were opened so far.
    pub fn connections_opened(&self) -> u64 {
        self.0.network.borrow().opened
    }

    /// Runs a future and everything else in this world until it ends.
    ///
    /// # Panics
    /// When the future does not end: no timer and no byte is left, a month has passed, or tasks run without end at one
    /// moment. Also when time would pass although the emulator has bytes to send on a connection that it did not name:
    /// later traffic, such as a heartbeat, would hide that.
    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        match self.try_run(future, MONTH, 10_000_000) {
            Ok(output) => output,
            Err(Stuck::Idle) => panic!("the future waits, and no timer and no byte is left"),
            Err(Stuck::Late) => panic!("the future still waits after a month"),
            Err(Stuck::Spins) => panic!("tasks run without end at one moment"),
        }
    }

    /// Runs a future and everything else in this world until it ends, for `limit` at most and with at most `steps`
    /// steps in each second of virtual time.
    ///
    /// # Errors
    /// Why the future did not end. It stays in the world: [`World::end`] drops it.
    pub fn try_run<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        limit: Duration,
        steps: u32,
    ) -> Result<T, Stuck> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.spawn(async move {
            let output = future.await;
            *slot.borrow_mut() = Some(output);
        });
        let (mut moment, mut taken) = (self.clock().now, 0u32);
        let end = moment + limit;
        loop {
            if let Some(output) = result.borrow_mut().take() {
                return Ok(output);
            }
            if !self.step() {
                return Err(Stuck::Idle);
            }
            let now = self.clock().now;
            if now >= end {
                return Err(Stuck::Late);
            }
            taken += 1;
            if now >= moment + Duration::from_secs(1) {
                (moment, taken) = (now, 0);
            }
            if taken >= steps {
                return Err(Stuck::Spins);
            }
        }
    }

    /// Drops everything that still runs in this world: it keeps the world as the world keeps it.
    pub fn end(self) {
        self.0.executor.clear();
    }

    /// Lets something happen; false when nothing ever will.
    fn step(&self) -> bool {
        // Tasks and the network take turns, so that a task can act between two arrivals of one instant.
        let ran = self.0.executor.run_woken();
        if self.exchange() || ran {
            return true;
        }
        self.check_nothing_is_left();
        let next = [
            self.0.executor.next_timer(),
            self.0.network.borrow().next_arrival(),
            self.0.network.borrow().next_act(),
            self.0.broker.borrow().poll_timeout(),
        ];
        let Some(next) = next.into_iter().flatten().min() else { return false };
        let clock = self.clock();
        // A deadline that has passed counts as now, and time must pass all the same.
        let elapsed = next.saturating_duration_since(clock.now);
        self.advance(elapsed.max(Duration::from_micros(1)));
        true
    }

    /// Before time passes, everything is done that can be done now: work that is left over was not announced.
    fn check_nothing_is_left(&self) {
        let mut network = self.0.network.borrow_mut();
        network.check_nothing_is_left(&mut self.0.broker.borrow_mut(), self.broker_clock());
        if network.writes_stalled() {
            return;
        }
        self.0.busy.borrow_mut().retain(|busy| {
            let busy = busy();
            self.0.overslept.set(self.0.overslept.get() + u64::from(busy == Some(true)));
            busy.is_some()
        });
    }

    fn advance(&self, elapsed: Duration) {
        let now = self.0.now.get() + elapsed;
        self.0.now.set(now);
        self.0.executor.fire_timers(now);
        let mut broker = self.0.broker.borrow_mut();
        // Only what the broker asked for: a timer that it forgets to announce must not be rescued.
        if broker.poll_timeout().is_some_and(|at| at <= now) {
            broker.handle_timeout(self.broker_clock());
        }
    }

    /// Carries bytes that are due; true when something moved.
    fn exchange(&self) -> bool {
        let clock = self.broker_clock();
        let mut broker = self.0.broker.borrow_mut();
        let mut network = self.0.network.borrow_mut();
        network.exchange(&mut broker, clock)
    }
}
