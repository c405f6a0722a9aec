//! The connection: open, close and heartbeat (AMQP 1.0 §2.4).

use super::entries::Entries;
use super::event::Events;
use super::link::{Link, name_hash};
use super::numbers::Numbers;
use super::outbox::{OUTBOX_FULL, write_frame};
use super::phase::{ConnectionRole, Ending, Phase};
use super::session::Session;
use super::settlement::Dispositions;
use super::wrong::Wrong;
use super::{Connection, ConnectionError, EngineError, Violation};
use crate::storage::{Buffer, Chain, Limits, Storage, TableOf, TxOf, room};
use crate::time::{Duration, Instant, Millis};
use crate::wire::frame::{self, Kind, Protocol};
use crate::wire::performative::{Close, ErrorCondition, Open};
use crate::wire::sasl::SaslInit;
use crate::wire::{Full, View};

/// What this end of the connection is ready to do.
///
/// # Examples
/// ```
/// use servicebus_core::engine::Config;
/// use servicebus_core::time::Duration;
///
/// let config = Config {
///     max_frame_size: 8_192,
///     idle_time_out: Some(Duration::from_secs(30)),
///     ..Config::default()
/// };
/// assert_eq!((config.handle_max, config.incoming_window), (255, 5_000));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest frame that is accepted, in bytes; lowered to what the receive buffer of the storage holds.
    pub max_frame_size: u32,
    /// The highest channel that the peer may use; lowered to what the table of sessions holds.
    pub channel_max: u16,
    /// The highest handle that the peer may use in a session; lowered to what the table of links holds.
    pub handle_max: u32,
    /// The silence that is announced to the peer; the connection is given up after twice as long.
    pub idle_time_out: Option<Duration>,
    /// Transfer frames a session accepts before its window is renewed.
    pub incoming_window: u32,
    /// Bounds of the tables.
    pub limits: Limits,
}

impl Default for Config {
    /// 64 KiB frames, 4 999 channels, 255 handles, 60 s, 5 000 frames.
    fn default() -> Self {
        Self {
            max_frame_size: 65_536,
            channel_max: 4_999,
            handle_max: 255,
            idle_time_out: Some(Duration::from_secs(60)),
            incoming_window: 5_000,
            limits: Limits::default(),
        }
    }
}

/// Why [`Connection::poll_timeout`] names its deadline.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_simulation::{connected, exchange};
/// # let (mut client, mut server) = connected();
/// let what = match client.poll_timeout() {
///     Some((_, TimerReason::Heartbeat)) => "a heartbeat is due",
///     Some((_, TimerReason::IdleTimeout)) => "the server has been silent for too long",
///     _ => "nothing",
/// };
/// assert_eq!(what, "a heartbeat is due");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerReason {
    /// A heartbeat is due (AMQP 1.0 §2.4.5).
    Heartbeat,
    /// The peer has been silent for too long.
    IdleTimeout,
}

impl<S: Storage> Connection<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    fn new(role: ConnectionRole, phase: Phase, mut config: Config, now: Instant) -> Self {
        let limits = config.limits.bounded();
        let sessions = Entries::<TableOf<S, room::Sessions, Session>, _, _>::bounded(limits.sessions);
        let links = Entries::<TableOf<S, room::Links, Link>, _, _>::bounded(limits.links);
        // The limits announced to the peer must fit the tables: a peer that respects them cannot overflow one.
        let highest = |capacity: usize| u32::try_from(capacity.saturating_sub(1)).unwrap_or(u32::MAX);
        config.channel_max = config.channel_max.min(highest(sessions.capacity()).try_into().unwrap_or(u16::MAX));
        config.handle_max = config.handle_max.min(highest(links.capacity()));
        config.max_frame_size = config.max_frame_size.min(S::MAX_FRAME_SIZE).max(frame::MIN_MAX_FRAME_SIZE);
        let slots = limits.sessions.saturating_add(limits.links).saturating_add(limits.deliveries);
        Self {
            role,
            config,
            phase,
            failed: None,
            open_sent: false,
            open_received: false,
            close_sent: false,
            close_received: false,
            close_due: None,
            released: usize::MAX,
            init_len: 0,
            mechanism: 0,
            peer_max_frame_size: frame::MIN_MAX_FRAME_SIZE,
            peer_channel_max: u16::MAX,
            heartbeat: None,
            last_sent: now,
            last_received: now,
            opened_due: false,
            closed_due: false,
            sessions,
            links,
            deliveries: Entries::bounded(limits.deliveries),
            payloads: S::Payloads::default(),
            freed: false,
            numbers: Numbers::bounded(slots),
            dispositions: Dispositions::EMPTY,
            events: Events::EMPTY,
            outbox: Buffer::bounded(limits.outbox),
            flows: Chain::EMPTY,
            ends: Chain::EMPTY,
            detaches: Chain::EMPTY,
            work: Chain::EMPTY,
            buffered: 0,
            buffered_whole: 0,
            narrowed: Chain::EMPTY,
            sessions_made: 0,
            sessions_apart: 0,
            outstanding: 0,
            creditors: 0,
        }
    }

    /// The client's end. Everything up to `open` is queued at once; sessions and links may be begun right away and
    /// follow in the same write (AMQP 1.0 §2.4.1 allows it). Without `sasl` there is no SASL layer.
    ///
    /// # Errors
    /// [`EngineError::NoCapacity`] when the outbox cannot hold the two frames.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::storage::Heap;
    /// # use servicebus_core::time::Instant;
    /// # use servicebus_core::wire::performative::Open;
    /// use servicebus_core::wire::Symbol;
    /// use servicebus_core::wire::sasl::SaslInit;
    ///
    /// let sasl = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
    /// let open = Open { hostname: Some("shop.servicebus.windows.net"), ..Open::new("till-3") };
    /// let client = Connection::<Heap>::client(Config::default(), Instant::ZERO, Some(&sasl), &open)?;
    /// assert!(client.has_output());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn client(
        config: Config,
        now: Instant,
        sasl: Option<&SaslInit<'_>>,
        open: &Open<'_>,
    ) -> Result<Self, EngineError> {
        let mut connection = Self::silent_client(config, now);
        connection.greet(sasl, open, false)?;
        Ok(connection)
    }

    /// The client's end before its first frame. Separate from [`Connection::greet`], so that it can be built in place:
    /// on a small machine it would otherwise be the largest value on the stack, several times over.
    #[inline(always)]
    pub(crate) fn silent_client(config: Config, now: Instant) -> Self {
        Self::new(ConnectionRole::Client, Phase::AwaitHeader, config, now)
    }

    /// Queues everything up to `open`; for [`Connection::silent_client`], once. `at_once` sends it without waiting for
    /// the answers of the SASL layer, of which the mechanisms are known to hold the one that is chosen.
    ///
    /// # Errors
    /// As [`Connection::client`]; the connection is unusable then.
    #[inline(never)]
    pub(crate) fn greet(
        &mut self,
        sasl: Option<&SaslInit<'_>>,
        open: &Open<'_>,
        at_once: bool,
    ) -> Result<(), EngineError> {
        let full = |_: Full| OUTBOX_FULL;
        if let Some(init) = sasl {
            self.phase = Phase::AwaitSaslHeader;
            self.outbox.append(&Protocol::Sasl).map_err(full)?;
            self.released = self.outbox.filled().len();
            self.push_frame(Kind::Sasl, 0, init).map_err(full)?;
            self.init_len = self.outbox.filled().len() - self.released;
            if at_once {
                (self.released, self.init_len) = (usize::MAX, 0);
            }
            self.mechanism = name_hash(init.mechanism.as_str());
        }
        self.outbox.append(&Protocol::Amqp).map_err(full)?;
        self.open(open)
    }

    /// The server's end. It answers the protocol headers and the SASL layer by itself, asking
    /// [`super::Handler::authenticate`]; the peer's `open` is an event.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::storage::Heap;
    /// # use servicebus_core::time::Instant;
    /// # use servicebus_core::wire::performative::Open;
    /// let server = Connection::<Heap>::server(Config::default(), Instant::ZERO);
    /// assert!(server.is_server() && !server.has_output());
    /// ```
    pub fn server(config: Config, now: Instant) -> Self {
        Self::new(ConnectionRole::Server, Phase::AwaitFirstHeader, config, now)
    }

    /// Sends `open`, with the limits of this end's configuration and the rest from `open`: a client's is sent by
    /// [`Connection::client`], a server calls this once after [`super::Event::Opened`].
    ///
    /// # Errors
    /// [`EngineError::IllegalState`] when it was sent before, [`EngineError::NoCapacity`] for the outbox.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::storage::Heap;
    /// # use servicebus_core::time::Instant;
    /// # use servicebus_core::wire::performative::Open;
    /// # use servicebus_simulation::exchange;
    /// # let mut client = Connection::client(Config::default(), Instant::ZERO, None, &Open::new("till-3"))?;
    /// # let mut server = Connection::server(Config::default(), Instant::ZERO);
    /// # exchange(&mut client, &mut server);
    /// if let Some(Event::Opened) = server.poll_event() {
    ///     server.open(&Open::new("shop"))?;
    /// }
    /// exchange(&mut client, &mut server);
    /// assert!(client.is_open() && server.is_open());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn open(&mut self, open: &Open<'_>) -> Result<(), EngineError> {
        if self.open_sent {
            return Err(EngineError::IllegalState);
        }
        let mut max_frame_size = self.config.max_frame_size;
        if self.role == ConnectionRole::Server {
            // The service never answers with more than it was offered (docs/evidence/service-evidence.md §1).
            max_frame_size = max_frame_size.min(open.max_frame_size);
        }
        let idle_time_out = self.config.idle_time_out.map(|idle| Millis::from(idle).get());
        let mut open = *open;
        (open.max_frame_size, open.channel_max) = (max_frame_size, self.config.channel_max);
        open.idle_time_out = idle_time_out;
        self.push_frame(Kind::Amqp, 0, &open).map_err(|_| OUTBOX_FULL)?;
        self.open_sent = true;
        Ok(())
    }

    /// Closes the connection after the frames that are queued already. [`super::Event::Closed`] follows when the peer
    /// has answered.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// client.close(None);
    /// exchange(&mut client, &mut server);
    /// assert_eq!(server.poll_event(), Some(Event::Closed(ConnectionError::ClosedByPeer)));
    /// assert!(client.is_closed());
    /// ```
    pub fn close(&mut self, error: Option<&ErrorCondition<'_>>) {
        if self.close_sent || self.failed.is_some() {
            return;
        }
        self.flush_dispositions();
        self.close_sent = true;
        let close = Close { error: error.copied() };
        // Nothing goes out before our open, and without room for the text the close itself still must.
        if !self.open_sent || self.push_frame(Kind::Amqp, 0, &close).is_err() {
            self.close_due = Some(Ending(None));
        }
    }

    /// Why the connection is over, if it is.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// assert_eq!(client.failure(), None);
    /// client.handle_disconnect();
    /// assert_eq!(client.failure(), Some(ConnectionError::Disconnected));
    /// ```
    pub fn failure(&self) -> Option<ConnectionError> {
        self.failed
    }

    /// Whether `open` has been seen from both ends and nothing has ended since.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// assert!(client.is_open());
    /// client.close(None);
    /// assert!(!client.is_open());
    /// ```
    pub fn is_open(&self) -> bool {
        self.open_sent && self.open_received && !self.close_sent && !self.close_received && self.failed.is_none()
    }

    /// Whether `close` has been sent and answered, or the connection has failed.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// client.close(None);
    /// assert!(!client.is_closed());
    /// exchange(&mut client, &mut server);
    /// assert!(client.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.failed.is_some() || (self.close_sent && self.close_received)
    }

    pub(super) fn alive(&self) -> Result<(), EngineError> {
        if self.failed.is_some() || self.close_sent || self.close_received { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// Whether this is a server's end.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// assert_eq!((client.is_server(), server.is_server()), (false, true));
    /// ```
    pub fn is_server(&self) -> bool {
        self.role == ConnectionRole::Server
    }

    /// The largest frame the peer accepts, in bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// assert_eq!(client.peer_max_frame_size(), Config::default().max_frame_size);
    /// ```
    pub fn peer_max_frame_size(&self) -> u32 {
        self.peer_max_frame_size
    }

    /// Entries in the tables of sessions, links and deliveries.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// assert_eq!(client.table_sizes(), (1, 1, 0));
    /// client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
    /// assert_eq!(client.table_sizes(), (1, 1, 1));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn table_sizes(&self) -> (usize, usize, usize) {
        (self.sessions.len(), self.links.len(), self.deliveries.len())
    }

    /// The transport is gone: nothing more will come or go.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// client.handle_disconnect();
    /// assert_eq!(client.poll_event(), Some(Event::Closed(ConnectionError::Disconnected)));
    /// ```
    pub fn handle_disconnect(&mut self) {
        if self.failed.is_none() {
            let clean = self.close_sent && self.close_received;
            self.failed = Some(if clean { ConnectionError::ClosedByPeer } else { ConnectionError::Disconnected });
            self.closed_due = true;
        }
    }

    /// Carries out what [`Connection::poll_timeout`] announced; at any other time it does nothing.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::storage::{Heap, Storage};
    /// # let mut tx = Heap::tx(65_536);
    /// # let (mut client, mut server) = connected();
    /// while let Some((at, reason)) = client.poll_timeout() {
    ///     client.handle_timeout(at);
    ///     if reason == TimerReason::Heartbeat {
    ///         client.poll_transmit(at, &mut tx);
    ///     }
    /// }
    /// assert_eq!(client.failure(), Some(ConnectionError::IdleTimeout));
    /// ```
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failed.is_none()
            && let Some(idle) = self.config.idle_time_out
            && now >= self.overdue(idle)
        {
            self.fail(ConnectionError::IdleTimeout);
        }
    }

    /// The next point in time at which [`Connection::handle_timeout`] and then [`Connection::poll_transmit`] must be
    /// called, and why.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::time::{Duration, Instant};
    /// # let (mut client, mut server) = connected();
    /// let half_of_the_idle_time_out = Instant::ZERO + Duration::from_secs(30);
    /// assert_eq!(client.poll_timeout(), Some((half_of_the_idle_time_out, TimerReason::Heartbeat)));
    /// ```
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        if self.failed.is_some() {
            return None;
        }
        let idle = self.config.idle_time_out.map(|idle| (self.overdue(idle), TimerReason::IdleTimeout));
        let heartbeat = self
            .heartbeat
            .filter(|_| self.open_sent && !self.close_sent)
            .map(|idle| (self.last_sent.after(idle), TimerReason::Heartbeat));
        match (idle, heartbeat) {
            (Some(idle), Some(heartbeat)) => Some(if heartbeat.0 <= idle.0 { heartbeat } else { idle }),
            (one, other) => one.or(other),
        }
    }

    /// As [`Connection::poll_timeout`], while nothing can be written: without the next heartbeat.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::time::{Duration, Instant};
    /// # let (mut client, mut server) = connected();
    /// let twice_the_idle_time_out = Instant::ZERO + Duration::from_secs(120);
    /// assert_eq!(client.poll_idle_timeout(), Some(twice_the_idle_time_out));
    /// ```
    pub fn poll_idle_timeout(&self) -> Option<Instant> {
        self.config.idle_time_out.filter(|_| self.failed.is_none()).map(|idle| self.overdue(idle))
    }

    /// When the peer has been silent for twice the idle time-out that we announced.
    fn overdue(&self, idle: Duration) -> Instant {
        let idle = Millis::from(idle);
        self.last_received.after(idle).after(idle)
    }

    /// The peer broke the protocol, or went away: tell it, and read nothing more.
    pub(super) fn fail(&mut self, error: ConnectionError) {
        if self.failed.is_some() {
            return;
        }
        if !self.close_sent {
            self.close_sent = true;
            self.close_due = Some(Ending(Some(error.violation())));
        }
        self.failed = Some(error);
        self.closed_due = true;
    }

    pub(super) fn on_open<'a>(&mut self, open: &mut View<'a, Open<'a>>) -> Result<(), Wrong> {
        if self.open_received {
            return Err(Wrong::Connection(Violation::IllegalState));
        }
        self.peer_max_frame_size = open.max_frame_size().max(frame::MIN_MAX_FRAME_SIZE);
        self.peer_channel_max = open.channel_max();
        let idle = open.idle_time_out().filter(|&idle| idle > 0);
        open.check()?;
        self.heartbeat = idle.map(|millis| Millis::new((millis / 2).max(1)));
        self.open_received = true;
        self.opened_due = true;
        Ok(())
    }

    pub(super) fn on_close(&mut self) {
        self.close_received = true;
        if !self.close_sent {
            self.close_sent = true;
            self.close_due = Some(Ending(None));
        }
        self.failed = Some(ConnectionError::ClosedByPeer);
        self.closed_due = true;
    }

    /// Writes the close that is due; nothing follows it.
    pub(super) fn transmit_close(&mut self, tx: &mut TxOf<S>) {
        if self.open_sent
            && let Some(ending) = self.close_due
            && write_frame(tx, 0, &Close { error: ending.error() })
        {
            self.close_due = None;
        }
    }

    /// Writes an empty frame when nothing was sent for half of the peer's idle time-out.
    pub(super) fn transmit_heartbeat(&mut self, now: Instant, tx: &mut TxOf<S>) {
        let idle = self.heartbeat.is_some_and(|idle| now >= self.last_sent.after(idle));
        if idle
            && self.phase == Phase::Amqp
            && self.open_sent
            && !self.close_sent
            && self.failed.is_none()
            && let Some(place) = tx.spare().first_chunk_mut::<{ frame::HEADER_LEN }>()
        {
            *place = frame::EMPTY;
            tx.commit(frame::HEADER_LEN);
        }
    }
}
