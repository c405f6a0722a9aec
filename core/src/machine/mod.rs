//! The client as a pure state machine: its connection, its tokens, and the senders and receivers that outlive its links.
//!
//! Pure like the engine below it: bytes and time go in, bytes, deadlines and notices come out. Nothing waits here; a
//! pending call is a slot that [`ClientMachine::poll_notice`] names when there is news for it.

mod access_token;
mod attach;
mod backoff;
mod calls;
mod channels;
mod close;
mod control;
mod credit;
mod deadlines;
mod deleting;
mod effect;
mod endpoint;
mod events;
mod id;
mod link_up;
mod lock_renewals;
mod node;
mod occupancy;
mod operation;
#[cfg(feature = "alloc")]
mod order;
mod phase;
mod prefetch;
mod receive;
mod renewing;
mod request;
mod routes;
mod send;
mod service_clock;
mod session_locks;
mod settings;
mod settlement;
mod timers;
mod tokens;

use crate::engine::{self, Capacity, Connection, ConnectionErrorKind, EngineError};
use crate::log::Span;
use crate::random::Random;
use crate::servicebus::Argument;
use crate::storage::{Features, Marks, MarksOf, RxOf, Spare, Storage, Table, TableOf, TxOf, room};
use crate::time::{Instant, Millis, Timestamp};
use crate::wire::performative::Open;
use crate::wire::sasl::SaslInit;
use crate::wire::{Symbol, Value, encode_map};
use core::fmt;

use backoff::{Backoff, HEALTHY};
use calls::Calls;
use channels::{Channels, Owner};
use effect::Effect;
use endpoint::{Endpoint, Path};
use id::{EntityId, RequestId, TokenId};
use link_up::Sessions;
use lock_renewals::LockRenewals;
use routes::Routes;
use service_clock::ServiceClock;
use session_locks::SessionLocks;
use settlement::Settlement;
use timers::{Timer, Timers, client};
use tokens::{Attempt, SAS_TOKEN, TokenText, Tokens, User};

pub use crate::servicebus::disposition::{Disposition, Properties};
pub use crate::servicebus::failure::{Cause, Failure, Offer};
pub use crate::servicebus::session_choice::SessionChoice;
pub use calls::{OperationId, Outcome};
pub use control::Control;
pub(crate) use endpoint::Kind;
pub use endpoint::{EndpointId, Entity, ReceiveMode};
pub use id::RenewalId;
pub use lock_renewals::RenewalEnd;
pub use occupancy::Occupancy;
pub use phase::Phase;
pub use send::SizeLimits;
pub use settings::Settings;
pub use settlement::Locked;
pub use tokens::Audience;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic clock.
    pub now: Instant,
    /// UTC; tokens, locks and expiry are told in it.
    pub utc: Timestamp,
}

/// A connection that ends sooner after the service's open was refused by it.
const BRIEF: Millis = Millis::from_secs(1);

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host's name or address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether the connection is to be encrypted.
    pub tls: bool,
}

/// What the driver is to do about the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Open one now.
    Dial,
    /// Open one at this time.
    DialAt(Instant),
    /// Nobody needs one.
    Nothing,
    /// The client is closed: stop.
    Stop,
}

/// The client as a state machine.
// In this order: the places of small fields before the tables fit into the instructions of small machines.
#[repr(C)]
pub struct ClientMachine<S: Storage> {
    /// Something may have to be attached, put or sent.
    due: bool,
    /// A link, a message or a request waits for room in the engine's tables or in the outbox.
    starved: bool,
    /// Links that wait for room may be attached.
    has_room: bool,
    closing: bool,
    close_sent: bool,
    /// The connection ends because nothing needs it for now.
    leaving: bool,
    /// Transactions were asked for.
    transacts: bool,
    /// The service's time.
    service_clock: ServiceClock,
    /// The driver was dropped before the client was closed.
    driver_gone: bool,
    /// Counts connections.
    epoch: u32,
    /// Connections that failed in a row.
    dials: Backoff,
    container: u32,
    names: u32,
    /// Counts deliveries: their tags are numbers.
    tags: u32,
    random: Random,
    dial_at: Option<Instant>,
    /// The service is busy: no call begins an attempt before.
    paused_until: Option<Instant>,
    /// Since when there is no connection, though one was wanted.
    lost_at: Option<Timestamp>,
    /// A connection was needed when the driver looked last.
    needs: bool,
    /// When the service answered the connection's open.
    opened_at: Option<Instant>,
    /// When the transport was there.
    connected_at: Instant,
    /// How long an answer of the service may take at most before something is wrong.
    answer_time: Millis,
    timers: Timers<S>,
    /// Senders and receivers for which something can be done now.
    ready: MarksOf<S, room::Links>,
    /// Senders and receivers that wait for their tokens.
    without_token: MarksOf<S, room::Links>,
    /// Senders and receivers whose attach waits for room.
    without_room: MarksOf<S, room::Links>,
    /// Receivers that want credit, and senders with messages, for which there was no place.
    without_places: MarksOf<S, room::Links>,
    settings: Settings<S>,
    sessions: Sessions<S>,
    settlement: Settlement<S>,
    routes: Routes<S>,
    /// Why the last connection ended.
    last_error: Option<Failure<S>>,
    /// Why this connection ends, in the peer's words or the engine's.
    ending: Option<Failure<S>>,
    /// What the service or the transport said last about something that did not work.
    last_description: S::Text,
    /// An earlier connection that still holds messages.
    retired: Spare<S, Connection<S>>,
    /// The connection in what is told.
    span: Span,
    tokens: Tokens<S>,
    lock_renewals: LockRenewals<S>,
    channels: Channels<S>,
    session_locks: SessionLocks<S>,
    endpoints: TableOf<S, room::Links, Endpoint<S>>,
    calls: Calls<S>,
    connection: Option<Connection<S>>,
}

impl<S: Storage> fmt::Debug for ClientMachine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMachine")
            .field("connection", &self.connection)
            .field("endpoints", &self.endpoints.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// A link's or container's name.
type Name = heapless::String<32>;

impl<S: Storage> ClientMachine<S> {
    /// A machine without a connection.
    // Inlined, it is made in its place: on a small machine's stack it would be the largest thing there ever is.
    #[inline(always)]
    pub fn new(settings: Settings<S>) -> Self {
        let limits = settings.limits;
        let mut random = Random::seeded(settings.seed);
        let container = random.next() as u32;
        Self {
            random,
            connection: None,
            span: Span::default(),
            epoch: 0,
            driver_gone: false,
            dials: Backoff::default(),
            dial_at: None,
            paused_until: None,
            lost_at: None,
            needs: false,
            opened_at: None,
            connected_at: Instant::ZERO,
            answer_time: credit::ANSWER,
            retired: Spare::default(),
            last_error: None,
            ending: None,
            last_description: S::Text::default(),
            container,
            names: 0,
            tags: 0,
            closing: false,
            close_sent: false,
            leaving: false,
            transacts: settings.spans_entities(),
            service_clock: ServiceClock::default(),
            sessions: Sessions::new(limits.sessions, settings.spans_entities()),
            endpoints: Table::bounded(limits.links),
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
            timers: Timers::new(),
            ready: Marks::empty(),
            without_token: Marks::empty(),
            without_room: Marks::empty(),
            without_places: Marks::empty(),
            settings,
        }
    }

    /// How the client behaves.
    pub fn settings(&self) -> &Settings<S> {
        &self.settings
    }

    /// Exchanges the connection string: the next token and the next connection are made with it.
    ///
    /// # Errors
    /// One that is not valid, or that is for another host.
    pub fn set_connection_string(&mut self, connection_string: S::Literal) -> Result<(), Failure<S>> {
        let given = Settings { connection_string, ..self.settings.clone() };
        if given.parsed()?.host != self.settings.parsed()?.host {
            return Err(Failure::new(Cause::Argument(Argument::ConnectionString)));
        }
        self.settings = given;
        self.tokens.exchanged(&self.timers);
        self.due = true;
        Ok(())
    }

    /// Tokens are made from the connection string, whatever the settings say.
    pub fn use_connection_string(&mut self) {
        self.settings.external_tokens = false;
    }

    /// What the service or the transport said last when something did not work, whole or cut: the service's texts have
    /// the tracking id that its support asks for.
    pub fn last_description(&self) -> &str {
        self.last_description.as_ref()
    }

    /// Notes what an error outside of the machine says, such as the transport's.
    pub fn describe_last(&mut self, text: S::Text) {
        self.last_description = text;
    }

    /// Until when the calls of the client wait together, since the service is busy.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The service is busy: no call begins an attempt before `until`.
    pub fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// The generator that jitter comes from.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn name(container: u32, number: u32) -> Name {
        let mut name = Name::new();
        let _ = fmt::write(&mut name, format_args!("sb-{container:08x}-{number:x}"));
        name
    }

    /// Names the connection that is there, or was last: among those of this client, and but for one chance in four
    /// thousand million among those of others.
    fn connection_id(&self) -> u32 {
        self.container.wrapping_add(self.epoch)
    }

    fn next_number(&mut self) -> u32 {
        self.names = self.names.wrapping_add(1);
        self.names
    }

    /// What the driver is to do about the transport while it has none.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_want(&self) -> Want {
        if self.closing {
            return Want::Stop;
        }
        // Parked endpoints alone are no reason to connect again.
        let waiting = (0..self.endpoints.end())
            .filter_map(|place| self.endpoints.get(place))
            .any(|endpoint| !endpoint.parked && !endpoint.over);
        if !waiting && self.channels.requests_len() == 0 && !self.calls.has_opening() {
            return Want::Nothing;
        }
        match self.dial_at {
            Some(at) => Want::DialAt(at),
            None => Want::Dial,
        }
    }

    /// An attempt to connect begins. Returns when its whole opening must be done: transport, TLS, SASL, open and the first
    /// answer of `$cbs`.
    pub fn handle_dialling(&mut self, clock: Clock) -> Instant {
        let until = clock.now + self.settings.retry.try_timeout;
        self.timers.set(Timer::Client, client::OPENING, Some(until));
        self.notice_watchers();
        until
    }

    /// The host and port to dial, and whether the connection is to be encrypted.
    ///
    /// # Errors
    /// A connection string that is not valid.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn target(&self) -> Result<Target<'_>, Failure<S>> {
        let parsed = self.settings.parsed()?;
        Ok(Target { host: parsed.host, port: parsed.amqp_port(), tls: parsed.use_tls() })
    }

    /// A transport is there.
    ///
    /// # Errors
    /// When the outbox cannot hold the first frames.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_connected(&mut self, clock: Clock) -> Result<(), Failure<S>> {
        let settings = &self.settings;
        let config = engine::Config {
            max_frame_size: settings.max_frame_size,
            idle_time_out: Some(settings.idle_time_out),
            limits: settings.limits,
            ..engine::Config::default()
        };
        let container = Self::name(self.container, self.epoch);
        let mut buffer = [0; 256];
        let entry = |key, value| (Value::Symbol(Symbol::new(key)), Value::String(value));
        let entries = [
            entry("product", "servicebus-rs"),
            entry("version", env!("CARGO_PKG_VERSION")),
            entry("user-agent", concat!("servicebus-rs/", env!("CARGO_PKG_VERSION"))),
        ];
        let properties = encode_map(&entries, &mut buffer).ok();
        let host = settings.parsed()?.host;
        let mechanism = Symbol::new("ANONYMOUS");
        let init = SaslInit { mechanism, initial_response: Some(&[]), hostname: Some(host) };
        let open = Open {
            container_id: &container,
            hostname: Some(host),
            max_frame_size: settings.max_frame_size,
            channel_max: 0,
            idle_time_out: None,
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties,
        };
        let span = Span::connection(self.epoch.wrapping_add(1), host);
        let connection = self.connection.insert(Connection::silent_client(config, clock.now));
        if let Err(error) = span.within(|| connection.greet(Some(&init), &open)) {
            self.connection = None;
            return Err(Failure::new(Cause::Engine(error)));
        }
        self.span = span;
        self.opened_at = None;
        if self.timers.get(Timer::Client, client::OPENING).is_none() {
            let until = clock.now + self.settings.retry.try_timeout;
            self.timers.set(Timer::Client, client::OPENING, Some(until));
        }
        self.connected_at = clock.now;
        self.epoch = self.epoch.wrapping_add(1);
        self.sessions = Sessions::new(self.settings.limits.sessions, self.settings.spans_entities());
        self.dial_at = None;
        self.due = true;
        Ok(())
    }

    /// Whether the connection is over, or the client closes while there is none.
    pub fn is_over(&self) -> bool {
        self.connection.as_ref().map_or(self.closing, Connection::is_closed)
    }

    /// Whether the connection is over and the transport can be dropped.
    pub fn is_disconnected(&self) -> bool {
        self.connection.as_ref().is_none_or(Connection::is_closed)
    }

    /// Bytes arrived.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_input(&mut self, clock: Clock, rx: &mut RxOf<S>) {
        self.within(|machine| {
            machine.input(clock, rx);
            machine.process_events(clock);
        });
    }

    /// Does something that is told as the connection's, whoever's call it is done in.
    fn within<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let span = core::mem::take(&mut self.span);
        let output = span.within(|| act(self));
        self.span = span;
        output
    }

    /// Writes what is to be sent; true when there may be more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_transmit(&mut self, clock: Clock, tx: &mut TxOf<S>) -> bool {
        self.within(|machine| machine.transmit(clock, tx))
    }

    fn transmit(&mut self, clock: Clock, tx: &mut TxOf<S>) -> bool {
        self.act(clock);
        let wrote = self.connection.as_mut().is_some_and(|connection| connection.poll_transmit(clock.now, tx));
        // A link may be over by a detach that only now found room.
        self.process_events(clock);
        // The deadlines are read after this.
        self.timers.told();
        wrote
    }

    /// Does what is due.
    pub(super) fn act(&mut self, clock: Clock) {
        if self.starved {
            self.sweep_held(clock);
            if self.connection.as_mut().is_some_and(Connection::take_freed) {
                self.room_made();
            }
        }
        if core::mem::take(&mut self.due) {
            self.advance(clock);
        }
    }

    /// Whether [`ClientMachine::poll_transmit`] has more to do, with bytes or without.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn has_work(&self) -> bool {
        self.is_due()
            || self.connection.as_ref().is_some_and(|connection| connection.has_output() || connection.is_closed())
    }

    /// Whether there is something to do that needs no transport.
    pub(super) fn is_due(&self) -> bool {
        self.due
            || (self.starved
                && (self.settlement.is_searching() || self.connection.as_ref().is_some_and(Connection::has_freed)))
    }

    /// Whether the driver has something to do now.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
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

    /// Schedules again what a wrong local clock has scheduled.
    fn replan(&mut self, turned: bool, clock: Clock) {
        if turned {
            log!(warn, "the local clock is wrong", utc = clock.utc, service = self.service_clock.utc(clock));
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

    /// Why the client takes no more calls: it is closed, or its driver is gone.
    pub fn ended(&self) -> Option<Cause> {
        match (self.closing, self.driver_gone) {
            (true, _) => Some(Cause::Closed),
            (false, true) => Some(Cause::DriverStopped),
            (false, false) => None,
        }
    }

    /// Whether the driver has ended, or was dropped.
    pub fn is_stopped(&self) -> bool {
        self.driver_gone
    }

    /// The driver has ended, or it was dropped: every call that waits ends.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn stop(&mut self) {
        self.driver_gone = true;
        let cause = self.ended().unwrap_or(Cause::Closed);
        if cause == Cause::DriverStopped {
            log!(warn, "the driver was dropped before the client was closed");
        }
        self.connection = None;
        self.span = Span::default();
        if S::Features::LOCK_RENEWAL {
            self.release_renewals();
        }
        let channels = &self.channels;
        self.calls.fail_all(|state| Failure { uncertain: Self::may_be_done(channels, state), ..Failure::new(cause) });
        for place in 0..self.endpoints.end() {
            self.drop_endpoint(place);
        }
        for place in 0..self.channels.requests_end() {
            self.free_request(place);
        }
        self.notice_all();
    }

    /// The transport could not be opened, or it is gone.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_disconnected(&mut self, clock: Clock, failure: Failure<S>) {
        let span = core::mem::take(&mut self.span);
        span.within(|| self.disconnected(clock, failure));
    }

    fn disconnected(&mut self, clock: Clock, failure: Failure<S>) {
        let opened = self.opened_at.take();
        // One that ends sooner was refused: it is no more than an attempt.
        let lasted = opened.is_some_and(|at| at.after(BRIEF) <= clock.now);
        if opened.is_some_and(|at| at.after(HEALTHY) <= clock.now) {
            self.dials.healthy();
        }
        self.timers.stop(Timer::Client, client::OPENING);
        // What the peer said about it tells more than that it is gone.
        let failure = self.ending.take().unwrap_or(failure);
        let closed = self.close_sent && failure.cause == Cause::Connection(ConnectionErrorKind::ClosedByPeer);
        let outage_begins = opened.is_some() || self.dials.failures() == 0;
        let keeps = self.retire();
        let left = core::mem::take(&mut self.leaving);
        self.close_sent &= self.closing;
        self.dial_at = None;
        if !left {
            self.lost_at = self.lost_at.or(Some(clock.utc));
            self.dials.failed();
            self.dial_at = self.retry_at(self.dials, clock.now, &failure);
        }
        let pause = self.dial_at.map_or(0, |at| at.left(clock.now).get());
        if closed {
            log!(info, "disconnected", connection = self.epoch);
        }
        // An outage is one warning.
        if !closed && outage_begins {
            log!(warn, "disconnected", connection = self.epoch, failure = failure, pause_ms = pause);
        }
        if !closed && !outage_begins {
            log!(info, "still disconnected", connection = self.epoch, failure = failure, pause_ms = pause);
        }
        let lasted = lasted || left;
        let gave_up = !left && (self.dials.is_exhausted(&self.settings.retry) || !failure.is_transient());
        for place in 0..self.channels.end() {
            self.channels.down(place);
            self.timers.stop(Timer::Channel, place);
        }
        for place in 0..self.channels.requests_end() {
            let Some((channel, owner)) = self.channels.request(place) else { continue };
            // Those that never left wait for the next connection, unless this was no more than an attempt.
            let waits = self.channels.waits(place) && lasted && !gave_up && owner.is_operation();
            if !waits {
                let own = self.channels.error(channel).cloned();
                self.lose_request(place, clock, own.as_ref().unwrap_or(&failure));
            }
        }
        for place in 0..self.endpoints.end() {
            let Some(endpoint) = self.endpoints.get_mut(place) else { continue };
            let was_up = endpoint.attachment.is_up();
            let leaves = endpoint.leaves(self.retired.kept().filter(|_| keeps), true);
            let (closing, in_session) = (endpoint.closing, endpoint.is_session());
            let link = self.link_gone(place, leaves);
            if closing {
                self.drop_endpoint(place);
                continue;
            }
            self.fail_sent(place, &failure);
            if in_session && was_up {
                link.within(|| self.session_detached(place, was_up, &failure));
            } else if gave_up {
                // What kept the link from coming up tells more than that the connection was closed meanwhile.
                let own = self.endpoints.get_mut(place).and_then(|endpoint| endpoint.error.take());
                self.give_up(place, own.as_ref().unwrap_or(&failure));
            } else {
                if !lasted {
                    // A failed attempt to connect is a failed attempt of the calls that wait for a link: each tries again
                    // as often as its own policy wants.
                    self.fail_idle(place, &failure);
                }
                if (was_up || !lasted || left)
                    && !self.has_pending(place)
                    && let Some(endpoint) = self.endpoints.get_mut(place)
                {
                    // Nobody waits: the next call connects again.
                    endpoint.parked = true;
                }
            }
            // A receive whose time is up has waited for the rest of its credit, which is gone with the link.
            self.calls.notice_endpoint(place);
            self.mark_link(place);
        }
        self.tokens.handle_disconnected(&mut self.timers);
        // For those who time out waiting for the next connection.
        self.last_error = Some(failure);
        self.notice_watchers();
        // The credential is asked while there is a connection: an answer that was under way is lost.
        self.timers.stop(Timer::Client, client::CREDENTIAL);
        self.timers.stop(Timer::Client, client::CLOSE);
        self.due = true;
        if self.closing || left {
            self.notice_all();
        }
    }

    /// Drops the connection, but for messages that were settled when they came and that nobody has taken yet; whether
    /// there are any.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn retire(&mut self) -> bool {
        if self.connection.is_none() {
            return false;
        }
        self.routes = Routes::new();
        self.settlement.clear();
        let keeps = S::Features::RECEIVE_AND_DELETE && self.retire_with_remains();
        self.connection = None;
        keeps
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
                let begun = self
                    .use_node(None)
                    .and_then(|node| self.start_request(node, Owner::Token(token, Timestamp::DOTNET_MIN), deadline));
                match begun {
                    Ok(request) => self.tokens.begun(token, RequestId::new(request)),
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
                for _ in 0..self.without_token.count() {
                    let Some(place) = self.without_token.take() else { break };
                    if self.endpoints.get(place).is_some_and(|endpoint| endpoint.entity().token == token) {
                        self.mark_link(place);
                    } else {
                        self.without_token.mark(place);
                    }
                }
            }
            Effect::Refused { token, failure, hopeless } => {
                for place in 0..self.endpoints.end() {
                    let endpoint = self.endpoints.get_mut(place).filter(|endpoint| endpoint.entity().token == token);
                    let Some(endpoint) = endpoint else { continue };
                    endpoint.error = Some(failure.clone());
                    if hopeless {
                        endpoint.parked = true;
                        self.fail_waiting(place, &failure);
                    }
                }
                self.fail_node_requests(token, clock, &failure, hopeless);
            }
        }
    }

    /// The tokens, and what an attempt to put one needs.
    fn token_attempt(&mut self, clock: Clock) -> (&mut Tokens<S>, Attempt<'_, S>) {
        let utc = self.service_clock.utc(clock);
        let attempt = Attempt {
            now: clock.now,
            utc,
            settings: &self.settings,
            random: &mut self.random,
            timers: &mut self.timers,
        };
        (&mut self.tokens, attempt)
    }

    /// Begins a use of an entity, and puts its token again if that was given up.
    ///
    /// # Errors
    /// [`Capacity::Links`] when there are too many.
    fn acquire(&mut self, entity: &Entity<S>, user: User) -> Result<EntityId, Failure<S>> {
        let full = |_| Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Links)));
        let id = self.tokens.acquire(entity, user).map_err(full)?;
        self.tokens.retry(id.token);
        self.due = true;
        Ok(id)
    }

    /// Ends a use of an entity.
    fn release(&mut self, token: TokenId, user: User) {
        let released = self.tokens.release(token, user, &mut self.timers);
        if let Some(request) = released.request {
            self.drop_request(request.key());
        }
        if released.without_links && user == User::Link {
            self.drop_idle_nodes(token);
        }
    }

    /// Puts the address, of an entity or of its `$management`, into `path`.
    ///
    /// # Errors
    /// One that is too long.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn put_path(&self, entity: EntityId, management: bool, path: &mut Path) -> Result<(), EngineError> {
        let address = self.tokens.address(entity).ok_or(EngineError::Detached)?;
        let address = if management { address.management() } else { address };
        fmt::write(path, format_args!("{address}")).map_err(|_| EngineError::IllegalState)
    }

    /// Sends the request that puts a token. It goes on waiting while the credential that makes the token is asked.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn send_token(&mut self, token: TokenId, request: u32, clock: Clock) -> Result<(), Failure<S>> {
        if self.settings.takes_tokens() {
            self.tokens.want_text(token);
            return Ok(());
        }
        let audience = self.tokens.audience(token, &self.settings)?;
        let mut text = TokenText::new();
        let expiry = Tokens::sign(&audience, &self.settings, self.service_clock.utc(clock), &mut text)?;
        self.put_token(token, request, &audience, (SAS_TOKEN, &text), expiry)
    }

    /// Sends the request that puts this token, of this type.
    fn put_token(
        &mut self,
        token: TokenId,
        request: u32,
        audience: &str,
        (kind, text): (&str, &str),
        expiry: Timestamp,
    ) -> Result<(), Failure<S>> {
        let properties = [
            ("type", Value::String(kind)),
            ("name", Value::String(audience)),
            ("expiration", Value::Timestamp(expiry)),
        ];
        self.tokens.sent(token);
        self.channels.set_owner(request, Owner::Token(token, expiry));
        self.send_request(request, "put-token", &properties, &text, None)
    }

    /// The service has answered a put-token, or none came.
    fn token_answered(&mut self, token: TokenId, expiry: Timestamp, clock: Clock, result: Result<(), Failure<S>>) {
        self.due = true;
        let failure = match result {
            Ok(()) => {
                let (tokens, mut attempt) = self.token_attempt(clock);
                return tokens.accepted(token, expiry, &mut attempt);
            }
            Err(failure) => failure,
        };
        // Fixed storage keeps the words of the last failure alone, which is this one.
        let kept = failure.description.as_ref();
        let words = if kept.is_empty() { self.last_description.as_ref() } else { kept };
        let expired = failure.reason().is_some() && Tokens::<S>::says_expired(words);
        if expired {
            self.lock_ended(clock, expiry);
        }
        let (tokens, mut attempt) = self.token_attempt(clock);
        tokens.refused(token, failure, expired, &mut attempt);
    }
}
