//! What a client is made with: its [settings](Settings), the [two clocks](Clock) that a runtime has, and where a
//! [dialer](crate::driver::Dial) connects to.
//!
//! Below it the client is a pure state machine: its connection, its tokens, and the senders and receivers that outlive
//! its links. Bytes and time go in, bytes, deadlines and notices come out. [`driver::run`](crate::driver::run) drives it,
//! and nothing else: a program brings a [`Runtime`](crate::runtime::Runtime), a [`Dial`](crate::driver::Dial) and a
//! [`Credential`](crate::driver::Credential) of its own, and no driver.

mod access_token;
mod attach;
mod attachment;
mod backoff;
mod calls;
mod channels;
mod close;
mod connection;
mod control;
mod credit;
mod deadlines;
mod deleting;
mod drain;
mod effect;
mod events;
mod grant;
mod hold;
mod id;
mod link_up;
mod links;
mod lock_renewals;
mod node;
mod occupancy;
mod operation;
#[cfg(feature = "alloc")]
mod order;
mod owner;
mod phase;
mod prefetch;
mod product;
mod put_token;
mod receive;
mod renewal_end;
mod renewing;
mod request;
mod request_message;
mod routes;
mod send;
mod service_clock;
mod session_locks;
mod settings;
mod settle;
mod settlement;
mod size_limits;
#[cfg(feature = "alloc")]
mod slot_wait;
mod timers;
mod tokens;

#[cfg(all(test, feature = "alloc"))]
mod tests;

use crate::engine::{Capacity, Connection, EngineError};
use crate::log::Span;
use crate::random::Random;
use crate::servicebus::{Address, Argument};
use crate::storage::{Features, RxOf, Spare, Storage, TxOf};
use crate::time::{Instant, Timestamp};
use core::fmt;

use calls::Calls;
use channels::Channels;
use credit::Credit;
use effect::Effect;
use link_up::LinkUp;
use links::Links;
use lock_renewals::LockRenewals;
use owner::Owner;
use routes::Routes;
use service_clock::ServiceClock;
use session_locks::SessionLocks;
use settlement::Settlement;
use timers::{Timer, Timers, client};
use tokens::Tokens;

pub(crate) use crate::servicebus::disposition::{Disposition, Properties};
pub(crate) use crate::servicebus::entity::Entity;
pub(crate) use crate::servicebus::failure::{Cause, Failure, Offer};
pub(crate) use crate::servicebus::session_choice::SessionChoice;
pub(crate) use attach::Kind;
pub use attachment::ReceiveMode;
pub(crate) use backoff::HEALTHY;
#[doc(hidden)]
pub use calls::Outcome;
#[doc(hidden)]
pub use control::Control;
#[doc(hidden)]
pub use id::{EndpointId, OperationId, RenewalId};
#[doc(hidden)]
pub use link_up::{Phase, Want};
#[doc(hidden)]
pub use occupancy::Occupancy;
#[cfg(feature = "alloc")]
pub(crate) use order::PLACE_AND_TURN;
#[doc(hidden)]
pub use renewal_end::RenewalEnd;
pub use settings::Settings;
#[doc(hidden)]
pub use settlement::Locked;
pub use size_limits::SizeLimits;
#[doc(hidden)]
pub use tokens::Audience;

/// The two clocks at one moment.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Clock;
/// use servicebus_core::time::{Instant, Timestamp};
///
/// let at_boot = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_767_225_600) };
/// assert_eq!(at_boot.utc.to_string(), "2026-01-01T00:00:00.000Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic clock.
    pub now: Instant,
    /// UTC, in which tokens, locks and expiry are given.
    pub utc: Timestamp,
}

/// Where a connection leads.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Target;
///
/// fn describe(target: Target<'_>) -> String {
///     format!("{}:{}{}", target.host, target.port, if target.tls { " over TLS" } else { "" })
/// }
/// let azure = Target { host: "contoso.servicebus.windows.net", port: 5671, tls: true };
/// assert_eq!(describe(azure), "contoso.servicebus.windows.net:5671 over TLS");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host's name or address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether to encrypt the connection.
    pub tls: bool,
}

/// The client as a state machine.
///
/// # Examples
///
/// A client that is driven by hand, as far as its first bytes:
///
/// ```
/// # servicebus_simulation::example_in_world(async |world| {
/// use servicebus_core::client::Client;
/// use servicebus_core::machine::Want;
/// use servicebus_core::storage::{Buffer, Heap, Storage};
/// # use servicebus_simulation::Simulated;
/// # use std::cell::RefCell;
/// # use std::rc::Rc;
/// # let (settings, runtime, clock) = (world.settings(), world.runtime(), world.clock());
/// # type Own = Simulated<Heap>;
///
/// // Of the runtime `Own`:
/// let shared = Rc::new(RefCell::new(Client::<Own>::shared_state(settings)));
/// let client = Client::<Own>::new(&shared, runtime);
/// let orders = client.receiver("orders")?;
///
/// let mut state = shared.borrow_mut();
/// let machine = state.machine();
/// assert_eq!(machine.handle_want(), Want::Dial);
/// machine.handle_connected(clock)?;
/// let mut tx = Heap::tx(512);
/// machine.poll_transmit(clock, &mut tx);
/// assert!(tx.filled().starts_with(b"AMQP"));
/// # drop(state);
/// # drop(orders);
/// # Ok(())
/// # });
/// ```
// In this order: the places of small fields before the tables fit into the instructions of small machines.
#[doc(hidden)]
#[repr(C)]
pub struct ClientMachine<S: Storage> {
    /// Something may have to be attached, put or sent.
    due: bool,
    /// A link, a message or a request waits for room in the engine's tables or in the outbox.
    starved: bool,
    /// Links that wait for room may be attached.
    has_room: bool,
    /// A call has ended that may have been given a place in the engine's tables and not used it.
    unused: bool,
    /// Transactions were asked for.
    transacts: bool,
    /// The peer may owe the answer to a detach.
    detaches: bool,
    /// The service's time.
    service_clock: ServiceClock<S::Features>,
    names: u32,
    /// Counts deliveries: their tags are numbers.
    tags: u32,
    random: Random,
    /// The service is busy: no call begins an attempt before.
    paused_until: Option<Instant>,
    /// Until when locks may last that the application has renewed itself, of which nothing may be known here.
    renews_itself: Instant,
    link_up: LinkUp<S>,
    timers: Timers<S>,
    settings: Settings<S>,
    settlement: Settlement<S>,
    routes: Routes<S>,
    /// The last error text of the service or the transport.
    last_description: S::Text,
    /// An earlier connection that still holds messages.
    retired: Spare<S, Connection<S>>,
    /// Tracing span of the connection.
    span: Span,
    tokens: Tokens<S>,
    lock_renewals: LockRenewals<S>,
    channels: Channels<S>,
    session_locks: SessionLocks<S>,
    links: Links<S>,
    credit: Credit<S>,
    calls: Calls<S>,
    connection: Option<Connection<S>>,
    /// Waits of tasks that have no slot.
    #[cfg(feature = "alloc")]
    slot_wait: slot_wait::SlotWait,
}

impl<S: Storage> fmt::Debug for ClientMachine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMachine")
            .field("connection", &self.connection)
            .field("endpoints", &self.links.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// Room for the longest address: 260 characters of an entity, 50 of a subscription, sub-queue and node.
type Path = heapless::String<400>;

/// A link's or container's name.
type Name = heapless::String<32>;

impl<S: Storage> ClientMachine<S> {
    /// A machine without a connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::machine::{ClientMachine, Settings};
    /// use servicebus_core::storage::Heap;
    ///
    /// # let connection_string = servicebus_simulation::CONNECTION_STRING;
    /// let machine = ClientMachine::<Heap>::new(Settings::new(connection_string.into(), 1));
    /// assert!(machine.is_disconnected());
    /// ```
    // Inlined so that it is built in place: on a small machine it would otherwise be the largest value on the stack.
    #[inline(always)]
    pub fn new(settings: Settings<S>) -> Self {
        let limits = settings.limits.bounded();
        let mut random = Random::seeded(settings.seed);
        let container = random.next() as u32;
        Self {
            random,
            connection: None,
            span: Span::default(),
            paused_until: None,
            retired: Spare::default(),
            last_description: S::Text::default(),
            names: 0,
            tags: 0,
            transacts: settings.spans_entities(),
            detaches: false,
            service_clock: ServiceClock::default(),
            link_up: LinkUp::new(container, limits.sessions, settings.spans_entities(), settings.pipelined_opening),
            links: Links::new(limits.links),
            credit: Credit::new(),
            channels: Channels::new(limits.links, limits.deliveries),
            session_locks: SessionLocks::new(limits.links),
            tokens: Tokens::new(limits.links),
            calls: Calls::bounded(limits.deliveries),
            lock_renewals: LockRenewals::new(limits.deliveries),
            routes: Routes::new(),
            settlement: Settlement::new(),
            due: false,
            starved: false,
            has_room: false,
            unused: false,
            renews_itself: Instant::ZERO,
            timers: Timers::new(),
            #[cfg(feature = "alloc")]
            slot_wait: slot_wait::SlotWait::default(),
            settings,
        }
    }

    /// How the client behaves.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert_eq!(machine.settings().max_frame_size, 65_536);
    /// ```
    pub fn settings(&self) -> &Settings<S> {
        &self.settings
    }

    /// Exchanges the connection string: the next token and the next connection are made with it.
    ///
    /// # Errors
    /// One that is not valid, or that is for another host or, by its `EntityPath`, for another entity.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// let second_key = servicebus_simulation::CONNECTION_STRING.replace("SAS_KEY_VALUE", "YQ==");
    /// machine.set_connection_string(second_key.into())?;
    /// assert!(machine.set_connection_string("Endpoint=sb://other.servicebus.windows.net".into()).is_err());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    pub fn set_connection_string(&mut self, connection_string: S::Literal) -> Result<(), Failure<S>> {
        let given = Settings { connection_string, ..self.settings.clone() };
        if given.parsed()?.host != self.settings.parsed()?.host {
            let why = "it is for another host than that of the client";
            return Err(Failure::explained(Cause::Argument(Argument::ConnectionString), &why));
        }
        if S::CHECKS
            && let (Some(new), Some(old)) = (given.entity_path(), self.settings.entity_path())
            && !Address::parse(new).is_of(old)
        {
            let why = "it is for another entity than that of the client";
            return Err(Failure::explained(Cause::Argument(Argument::ConnectionString), &why));
        }
        self.settings = given;
        self.tokens.exchanged(&self.timers);
        self.due = true;
        Ok(())
    }

    /// Tokens are made from the connection string, whatever the settings say.
    #[doc(hidden)]
    pub fn use_connection_string(&mut self) {
        self.settings.external_tokens = false;
    }

    /// The last error text of the service or the transport, possibly cut. The service's texts have the tracking id that
    /// its support asks for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert_eq!(machine.last_description(), "", "nothing has failed yet");
    /// ```
    pub fn last_description(&self) -> &str {
        self.last_description.as_ref()
    }

    /// Records the text of an error outside of the machine, such as the transport's.
    #[doc(hidden)]
    pub fn describe_last(&mut self, text: S::Text) {
        self.last_description = text;
    }

    /// Until when the calls of the client wait together, since the service is busy.
    #[doc(hidden)]
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The service is busy: no call begins an attempt before `until`.
    #[doc(hidden)]
    pub fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// The generator that jitter comes from.
    #[doc(hidden)]
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    #[inline(never)]
    fn name(container: u32, number: u32) -> Name {
        let mut name = Name::new();
        let _ = fmt::write(&mut name, format_args!("sb-{container:08x}-{number:x}"));
        name
    }

    fn next_number(&mut self) -> u32 {
        self.names = self.names.wrapping_add(1);
        self.names
    }

    /// Bytes arrived.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.handle_connected(clock)?;
    /// let mut rx = Heap::rx(512);
    /// rx.spare()[..8].copy_from_slice(b"AMQP\x03\x01\x00\x00");
    /// rx.commit(8);
    /// machine.handle_input(clock, &mut rx);
    /// assert!(rx.filled().is_empty(), "the header of SASL was taken");
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn handle_input(&mut self, clock: Clock, rx: &mut RxOf<S>) {
        self.within(|machine| {
            machine.input(clock, rx);
            machine.process_events(clock);
        });
    }

    /// Runs `act` in the connection's span.
    fn within<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let span = core::mem::take(&mut self.span);
        let output = span.within(|| act(self));
        self.span = span;
        output
    }

    /// Writes pending output to `tx`; true when there may be more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.handle_connected(clock)?;
    /// let mut tx = Heap::tx(512);
    /// while machine.poll_transmit(clock, &mut tx) {}
    /// assert!(tx.filled().starts_with(b"AMQP\x03\x01\x00\x00"));
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn poll_transmit(&mut self, clock: Clock, tx: &mut TxOf<S>) -> bool {
        self.within(|machine| machine.transmit(clock, tx))
    }

    fn transmit(&mut self, clock: Clock, tx: &mut TxOf<S>) -> bool {
        self.act(clock);
        let wrote = self.connection.as_mut().is_some_and(|connection| connection.poll_transmit(clock.now, tx));
        // A link may be over by a detach that only now found room.
        self.process_events(clock);
        // The deadlines are read after this.
        self.timers.announced();
        wrote
    }

    /// Handles due work.
    pub(super) fn act(&mut self, clock: Clock) {
        if self.starved {
            if S::Features::RECEIVERS {
                self.sweep_held(clock);
            }
            let unused = core::mem::take(&mut self.unused);
            if self.connection.as_mut().is_some_and(Connection::take_freed) || unused {
                self.room_made();
            }
        }
        if core::mem::take(&mut self.due) {
            self.advance(clock);
        }
    }

    /// Whether [`ClientMachine::poll_transmit`] has more to do, with bytes or without.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # let mut tx = Heap::tx(512);
    /// machine.handle_connected(clock)?;
    /// assert!(machine.has_work());
    /// while machine.poll_transmit(clock, &mut tx) {}
    /// assert!(!machine.has_work());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    pub fn has_work(&self) -> bool {
        self.is_due()
            || self.connection.as_ref().is_some_and(|connection| connection.has_output() || connection.is_closed())
    }

    /// Whether there is something to do that needs no transport.
    pub(super) fn is_due(&self) -> bool {
        self.due
            || (self.starved
                && (self.unused
                    || self.settlement.is_searching()
                    || self.connection.as_ref().is_some_and(Connection::has_freed)))
    }

    /// Whether the driver has something to do now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.is_busy());
    /// machine.handle_connected(clock)?;
    /// assert!(machine.is_busy());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    pub fn is_busy(&self) -> bool {
        self.timers.has_moved() || self.calls.has_notices() || self.has_work()
    }

    /// A message has come, enqueued at one time and locked until another, not before `asked_at` where that is known.
    fn message_came(
        &mut self,
        clock: Clock,
        enqueued: Option<Timestamp>,
        asked_at: Option<Instant>,
        locked_until: Timestamp,
    ) {
        let mut turned = enqueued.is_some_and(|time| self.service_clock.enqueued(clock, time));
        turned |= self.service_clock.locked(clock, asked_at, locked_until);
        self.replan(turned, clock);
    }

    /// The service has given a lock, not before `asked_at` where that is known.
    fn lock_given(&mut self, clock: Clock, asked_at: Option<Instant>, until: Timestamp) {
        let turned = self.service_clock.locked(clock, asked_at, until);
        self.replan(turned, clock);
    }

    /// At `since` or later, a lock until `until` was still held.
    fn lock_held(&mut self, clock: Clock, since: Instant, until: Timestamp) {
        let turned = self.service_clock.within(clock, since, until);
        self.replan(turned, clock);
    }

    /// The service takes a lock until `until` for over.
    fn lock_ended(&mut self, clock: Clock, until: Timestamp) {
        let turned = self.service_clock.ended(clock, until);
        self.replan(turned, clock);
    }

    /// Reschedules deadlines that were computed with a wrong local clock.
    fn replan(&mut self, turned: bool, clock: Clock) {
        if turned {
            // A lock may be lost for another reason than its end.
            if self.service_clock.is_surely_wrong() {
                log!(warn, "the local clock is wrong", utc = clock.utc, service = self.service_clock.utc(clock));
            }
            if S::Features::LOCK_RENEWAL {
                self.replan_renewals(clock);
            }
            let (tokens, mut attempt) = self.token_attempt(clock);
            tokens.replan(&mut attempt);
            if S::Features::PREFETCH {
                self.release_prefetched();
            }
        }
    }

    /// Carries out what the parts ask for, until none asks for anything.
    fn pump(&mut self, clock: Clock) {
        // What an entry may pass through in one pump: more means that it goes back.
        let most = if cfg!(debug_assertions) { 8 * (self.tokens.len() + 1) } else { 0 };
        let mut count = 0;
        while let Some(effect) = self.tokens.poll_effect() {
            count += 1;
            debug_assert!(count <= most, "a pump that does not end");
            self.carry_out(effect, clock);
        }
    }

    /// One arm for each effect: calls to other parts, and no rule.
    fn carry_out(&mut self, effect: Effect<S>, clock: Clock) {
        match effect {
            Effect::Put(token) => {
                let deadline = clock.now + self.settings.retry.try_timeout;
                let node = self.use_node(None);
                // `$cbs` may have taken the place of the idle channel that was the last to use this token.
                if S::Features::MANAGEMENT && !self.tokens.has(token) {
                    return;
                }
                let begun = node
                    .and_then(|node| self.start_request(node, Owner::Token(token, Timestamp::DOTNET_MIN), deadline));
                match begun {
                    Ok(request) => self.tokens.begun(token, request.index),
                    Err(failure) => {
                        let (tokens, mut attempt) = self.token_attempt(clock);
                        tokens.refused(token, failure, false, &mut attempt);
                    }
                }
            }
            Effect::Usable(token) => {
                for channel in self.channels.of_token(token).into_iter().flatten() {
                    self.channels.mark(channel);
                }
                self.links.token_came(token);
                self.due = true;
            }
            Effect::Refused { token, failure, hopeless } => {
                let mut at = self.links.first(token);
                while let Some(place) = at {
                    at = self.links.next(place);
                    if hopeless {
                        self.give_up(place, &failure);
                    } else if let Some(endpoint) = self.links.get_mut(place) {
                        endpoint.set_error(Some(failure.clone()));
                    }
                }
                self.fail_node_requests(token, clock, &failure, hopeless);
            }
        }
    }
}
