//! The AMQP 1.0 state machine: one connection, client or server, without I/O, clock or Service Bus words.
//!
//! Four kinds of method, told apart by name: `handle_*` takes what happened, plain verbs are what the application
//! wants, `poll_*` is what the driver must do, the rest are getters. Every method may be called at any time and in any
//! order; there is nothing to drain first.
//!
//! ```text
//! loop {
//!     read into rx, then   connection.handle_input(now, &mut rx, &mut handler)
//!     while let Some(e) =  connection.poll_event()            { act on it with verbs }
//!     while                connection.poll_transmit(now, &mut tx) { write tx }
//!     sleep until          connection.poll_timeout(), then    connection.handle_timeout(now)
//! }
//! ```

mod delivery;
pub mod error;
mod event;
mod exchange;
mod input;
mod link;
mod negotiation;
mod reassembly;
mod session;
#[cfg(all(test, feature = "alloc"))]
mod tests;
mod transmit;
mod verbs;

use crate::storage::{Index, Key, Limits, Outbox, Payloads, Queue, Storage, Table};
use crate::time::{Duration, Instant, Millis};
use crate::wire::frame::{Kind, Outgoing, Protocol};
use crate::wire::performative::{Close, ErrorCondition, Open, Role};
use crate::wire::sasl::{SaslFrame, SaslInit};
use crate::wire::{Encode, Full, frame};

use delivery::{Delivery, Stage};
use link::Link;
use session::Session;

pub use crate::wire::Tag;
pub use error::{
    Capacity, ConnectionError, ConnectionErrorKind, EngineError, OutcomeKind, Spoken, Violation, condition,
};
pub use event::{Event, Handler, Subject};
pub use exchange::{Incoming, SendOptions};
pub use verbs::LinkStatus;

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Key);

/// Names a link. A stale id reads as detached, never as somebody else's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(Key);

/// Names a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(Key);

impl SessionId {
    /// The session's place in its table, below the limit on sessions; places are used again.
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

impl LinkId {
    /// The link's place in its table, below the limit on links; places are used again.
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

impl DeliveryId {
    /// The delivery's place in its table, below the limit on deliveries; places are used again.
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

/// What this end of the connection is ready to do.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerReason {
    /// A heartbeat is due (AMQP 1.0 §2.4.5).
    Heartbeat,
    /// The peer has been silent for too long.
    IdleTimeout,
}

/// What the last frame of an endpoint (close, end, detach) will say when it can go out: what the peer did wrong, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Farewell(Option<Violation>);

impl Farewell {
    fn error(self) -> Option<ErrorCondition<'static>> {
        self.0.map(|violation| ErrorCondition::new(violation.condition()))
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Server: the first header, of either layer.
    AwaitFirstHeader,
    /// Client: the server's SASL header.
    AwaitSaslHeader,
    /// Client: the mechanisms.
    AwaitMechanisms,
    /// Server: the client's choice.
    AwaitInit,
    /// Client: the result.
    AwaitSaslOutcome,
    /// The peer's AMQP header.
    AwaitHeader,
    /// Frames.
    Amqp,
}

/// The index's key spaces.
#[derive(Clone, Copy)]
enum Space {
    Channel = 0,
    Handle = 1,
    Outgoing = 2,
    Incoming = 3,
}

fn index_key(space: Space, session: u32, number: u32) -> u64 {
    (space as u64) << 62 | u64::from(session) << 32 | u64::from(number)
}

/// What is left of `allowed` when the count stands at `count` and the peer has seen it at `seen` (RFC 1982: both are
/// serial numbers, so the difference tells which is ahead). All of 32 bits may be allowed at once.
fn remaining(allowed: u32, count: u32, seen: u32) -> u32 {
    let under_way = count.wrapping_sub(seen);
    if (under_way as i32) >= 0 {
        allowed.saturating_sub(under_way)
    } else {
        allowed.saturating_add(under_way.wrapping_neg())
    }
}

/// One AMQP 1.0 connection.
// In this order: the places of small fields before the tables fit into the instructions of small machines.
#[repr(C)]
pub struct Connection<S: Storage> {
    role: ConnectionRole,
    phase: Phase,
    open_sent: bool,
    open_received: bool,
    close_sent: bool,
    close_received: bool,
    opened_due: bool,
    closed_due: bool,
    /// A place of [`Self::payloads`] has become free since this was asked.
    freed: bool,
    failed: Option<ConnectionError>,
    /// Bytes of the outbox that may be sent; the rest waits for the SASL layer.
    released: usize,
    peer_max_frame_size: u32,
    peer_channel_max: u16,
    /// Sessions with a flow due.
    session_flows: usize,
    /// Deliveries that the receiving links were promised and that have not come yet.
    promised: usize,
    /// Sessions and links whose last frame is due.
    farewells: usize,
    /// Our close is due, behind what the outbox holds; nothing follows it.
    close_owed: Option<Farewell>,
    /// The encoded sasl-init at the front of a client's outbox.
    init_len: usize,
    mechanism: u64,
    last_sent: Instant,
    last_received: Instant,
    config: Config,
    /// After how long without a frame of ours a heartbeat is due: half of the silence that the peer accepts.
    heartbeat: Option<Millis>,
    /// Links with a flow or a transfer to send.
    work: S::LinkQueue,
    /// Deliveries with a disposition to send.
    dispositions: S::DeliveryQueue,
    events: S::Queue,
    index: S::Index,
    sessions: S::Sessions<Session>,
    links: S::Links<Link>,
    outbox: S::Outbox,
    deliveries: S::Deliveries<Delivery<S>>,
    /// Their messages.
    payloads: S::Payloads,
}

impl<S: Storage> core::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("failed", &self.failed)
            .field("sessions", &self.sessions.len())
            .field("links", &self.links.len())
            .field("deliveries", &self.deliveries.len())
            .finish_non_exhaustive()
    }
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionRole {
    Client,
    Server,
}

impl<S: Storage> Connection<S> {
    fn new(role: ConnectionRole, phase: Phase, mut config: Config, now: Instant) -> Self {
        let limits = config.limits;
        let sessions: S::Sessions<Session> = Table::bounded(limits.sessions);
        let links: S::Links<Link> = Table::bounded(limits.links);
        // What is promised to the peer must fit: a peer that keeps its word cannot overflow a table or a buffer.
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
            close_owed: None,
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
            deliveries: Table::bounded(limits.deliveries),
            payloads: S::Payloads::default(),
            freed: false,
            index: Index::bounded(slots),
            work: Queue::bounded(limits.links),
            dispositions: Queue::bounded(limits.deliveries),
            events: Queue::bounded(slots),
            outbox: Outbox::bounded(limits.outbox),
            session_flows: 0,
            promised: 0,
            farewells: 0,
        }
    }

    /// The client's end. Everything up to `open` is queued at once; sessions and links may be begun right away and
    /// follow in the same write (AMQP 1.0 §2.4.1 allows it). Without `sasl` there is no SASL layer.
    ///
    /// # Errors
    /// [`EngineError::NoCapacity`] when the outbox cannot hold the two frames.
    pub fn client(
        config: Config,
        now: Instant,
        sasl: Option<&SaslInit<'_>>,
        open: &Open<'_>,
    ) -> Result<Self, EngineError> {
        let mut connection = Self::silent_client(config, now);
        connection.greet(sasl, open)?;
        Ok(connection)
    }

    /// The client's end before its first word. Apart from [`Connection::greet`], so that it can be made in its place: it
    /// is the largest thing that a small machine would otherwise have on its stack, several times over.
    pub(crate) fn silent_client(config: Config, now: Instant) -> Self {
        Self::new(ConnectionRole::Client, Phase::AwaitHeader, config, now)
    }

    /// Queues everything up to `open`; for [`Connection::silent_client`], once.
    ///
    /// # Errors
    /// As [`Connection::client`]; the connection is of no use then.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn greet(&mut self, sasl: Option<&SaslInit<'_>>, open: &Open<'_>) -> Result<(), EngineError> {
        let full = |_: Full| EngineError::NoCapacity(Capacity::Outbox);
        if let Some(init) = sasl {
            self.phase = Phase::AwaitSaslHeader;
            self.outbox.append(&Protocol::Sasl).map_err(full)?;
            self.released = self.outbox.pending().len();
            self.push_frame(Kind::Sasl, 0, init).map_err(full)?;
            self.init_len = self.outbox.pending().len() - self.released;
            self.mechanism = name_hash(init.mechanism.as_str());
        }
        self.outbox.append(&Protocol::Amqp).map_err(full)?;
        self.open(open)
    }

    /// The server's end. It answers the protocol headers and the SASL layer by itself, asking
    /// [`Handler::authenticate`]; the peer's `open` is an event.
    pub fn server(config: Config, now: Instant) -> Self {
        Self::new(ConnectionRole::Server, Phase::AwaitFirstHeader, config, now)
    }

    /// Sends `open`, with the limits of this end's configuration and the rest from `open`: a client's is sent by
    /// [`Connection::client`], a server calls this once after [`Event::Opened`].
    ///
    /// # Errors
    /// [`EngineError::IllegalState`] when it was sent before, [`EngineError::NoCapacity`] for the outbox.
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
        self.push_frame(Kind::Amqp, 0, &open).map_err(|_| EngineError::NoCapacity(Capacity::Outbox))?;
        self.open_sent = true;
        Ok(())
    }

    /// Closes the connection; what is queued before is still sent. [`Event::Closed`] follows when the peer has
    /// answered.
    pub fn close(&mut self, error: Option<&ErrorCondition<'_>>) {
        if self.close_sent || self.failed.is_some() {
            return;
        }
        self.flush_dispositions();
        self.close_sent = true;
        let close = Close { error: error.copied() };
        // Nothing goes out before our open, and without room for the text the close itself still must.
        if !self.open_sent || self.push_frame(Kind::Amqp, 0, &close).is_err() {
            self.close_owed = Some(Farewell(None));
        }
    }

    /// Why the connection is over, if it is.
    pub fn failure(&self) -> Option<ConnectionError> {
        self.failed
    }

    /// Whether `open` has been seen from both ends and nothing has ended since.
    pub fn is_open(&self) -> bool {
        self.open_sent && self.open_received && !self.close_sent && !self.close_received && self.failed.is_none()
    }

    /// Whether `close` has been sent and answered, or the connection has failed.
    pub fn is_closed(&self) -> bool {
        self.failed.is_some() || (self.close_sent && self.close_received)
    }

    /// The largest frame the peer accepts, in bytes.
    pub fn peer_max_frame_size(&self) -> u32 {
        self.peer_max_frame_size
    }

    /// Places for deliveries with their messages that are neither taken nor promised to a peer.
    pub fn free_deliveries(&self) -> usize {
        self.places_left().saturating_sub(self.promised)
    }

    /// Places for deliveries with their messages that are not taken.
    fn places_left(&self) -> usize {
        self.deliveries.capacity().saturating_sub(self.deliveries.len()).min(self.payloads.free())
    }

    /// Whether a message was written or taken since this was asked, so that there is room for another. Always false
    /// where messages have no places of their own.
    pub fn take_freed(&mut self) -> bool {
        core::mem::take(&mut self.freed)
    }

    /// Whether [`Connection::take_freed`] would be true.
    pub fn has_freed(&self) -> bool {
        self.freed
    }

    /// Entries in the tables of sessions, links and deliveries.
    pub fn table_sizes(&self) -> (usize, usize, usize) {
        (self.sessions.len(), self.links.len(), self.deliveries.len())
    }

    /// The transport is gone: nothing more will come or go.
    pub fn handle_disconnect(&mut self) {
        if self.failed.is_none() {
            let clean = self.close_sent && self.close_received;
            self.failed = Some(if clean { ConnectionError::ClosedByPeer } else { ConnectionError::Disconnected });
            self.closed_due = true;
        }
    }

    /// Carries out what [`Connection::poll_timeout`] announced; at any other time it does nothing.
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

    /// When the peer has been silent for twice as long as it was told that it may be.
    fn overdue(&self, idle: Duration) -> Instant {
        let idle = Millis::from(idle);
        self.last_received.after(idle).after(idle)
    }

    /// Whether [`Connection::poll_transmit`] would find something to write.
    pub fn has_output(&self) -> bool {
        let held = self.role == ConnectionRole::Client && self.released == 0;
        (!self.outbox.pending().is_empty() && !held)
            || self.close_owed.is_some()
            || (!self.close_sent
                && self.failed.is_none()
                && self.open_sent
                && (!self.dispositions.is_empty()
                    || !self.work.is_empty()
                    || self.session_flows > 0
                    || self.farewells > 0))
    }

    /// Queues a link for [`Connection::poll_transmit`].
    fn flag_work(&mut self, place: u32) {
        if let Some(link) = self.links.get_mut(place)
            && !link.in_work
        {
            link.in_work = true;
            let _ = self.work.push(place);
        }
    }

    fn flag_session_flow(&mut self, place: u32) {
        if let Some(session) = self.sessions.get_mut(place)
            && !session.flow_due
        {
            session.flow_due = true;
            self.session_flows += 1;
        }
    }

    /// Frees a delivery's place, or leaves that to the queue that still holds it.
    fn free_delivery(&mut self, place: u32) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        if delivery.in_events || delivery.in_dispositions {
            delivery.settled = true;
            delivery.due = None;
            self.drop_payload(place);
            return;
        }
        self.drop_payload(place);
        self.unindex_delivery(place);
        self.deliveries.free(place);
    }

    /// Drops what a delivery has of its message.
    fn drop_payload(&mut self, place: u32) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        let kept = match core::mem::replace(&mut delivery.stage, Stage::Bare) {
            Stage::Bare => return,
            Stage::Outgoing { payload, .. } | Stage::Ready(payload) => payload,
            Stage::Assembling(begun) => self.payloads.finish(begun),
        };
        self.payloads.discard(kept);
        self.freed = S::Payloads::BOUNDED;
    }

    fn unindex_delivery(&mut self, place: u32) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        let (Some(id), Some(link)) = (delivery.id, self.links.get(delivery.link)) else { return };
        if matches!(delivery.stage, Stage::Bare) {
            // Nothing of it is to be sent any more: it needs no number, and is not looked for again.
            delivery.id = None;
        }
        let space = if link.role == Role::Sender { Space::Outgoing } else { Space::Incoming };
        let key = index_key(space, link.session, id);
        // Another delivery may have taken the number over on a session begun later in the same place.
        if let Some(other) = self.index.remove(key)
            && other != place
        {
            let _ = self.index.insert(key, other);
        }
    }

    /// Appends a frame to the outbox, or nothing.
    fn push_frame(&mut self, kind: Kind, channel: u16, body: &(impl Encode + core::fmt::Debug)) -> Result<(), Full> {
        self.push_body(kind, channel, body)?;
        if kind == Kind::Amqp {
            log_frame!("sends", channel, body);
        }
        Ok(())
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn push_body(&mut self, kind: Kind, channel: u16, body: &dyn Encode) -> Result<(), Full> {
        self.outbox.append(&Outgoing { kind, channel, body })
    }

    /// The peer broke the protocol, or went away: tell it, and read nothing more.
    fn fail(&mut self, error: ConnectionError) {
        if self.failed.is_some() {
            return;
        }
        if !self.close_sent {
            self.close_sent = true;
            self.close_owed = Some(Farewell(Some(error.violation())));
        }
        self.failed = Some(error);
        self.closed_due = true;
    }

    /// Sends a SASL frame.
    fn push_sasl(&mut self, body: &SaslFrame<'_>) {
        // An outbox that has just been made always has room for these.
        let _ = self.push_frame(Kind::Sasl, 0, body);
    }
}

/// FNV-1a: link names are compared by it.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
