//! The broker: namespaces served to any number of connections, without I/O, clock or threads.
//!
//! ```text
//! let id = broker.connect(clock)
//! read into rx, then        broker.handle_input(id, clock, &mut rx)
//! while                     broker.poll_transmit(id, clock, &mut tx)  { write tx }
//! while let Some(other) =   broker.poll_ready()                       { do the same for `other` }
//! sleep until               broker.poll_timeout(), then broker.handle_timeout(clock)
//! ```
//!
//! What one connection sends makes another's receiver get something: [`Broker::poll_ready`] names those.
//!
//! # Examples
//! ```
//! use servicebus_core::storage::Buffer;
//! use servicebus_core::time::{Instant, Timestamp};
//! use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
//!
//! let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
//! let mut broker = Broker::new(BrokerConfig::default(), 7);
//! let id = broker.connect(clock).ok_or("there is no room")?;
//!
//! let (mut rx, mut tx) = (Broker::rx(), Broker::tx());
//! let header = b"AMQP\x03\x01\x00\x00";
//! rx.spare()[..8].copy_from_slice(header);
//! rx.commit(8);
//! broker.handle_input(id, clock, &mut rx)?;
//! assert!(broker.poll_transmit(id, clock, &mut tx));
//! assert!(tx.filled().starts_with(header));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod administration;
mod admission;
mod apply;
mod attachments;
mod backlog;
#[doc(hidden)]
pub mod budget;
#[doc(hidden)]
pub mod change;
mod clock;
mod commands;
mod consumers;
pub mod entities;
mod events;
mod faults;
mod id_map;
pub(crate) mod namespaces;
mod observation;
mod plan;
pub(crate) mod protocol;
mod relays;
mod requests;
mod routing;
mod sessions;
mod shared;
mod signals;
mod statistics;
mod tier;
mod timers;
pub(crate) mod transactions;
mod work;

use budget::{Budget, OverBudget};
use entities::Namespace;
use namespaces::Namespaces;
use protocol::fault::Refusal;
use protocol::link::{Node, Purpose};
use protocol::peer::Peer;
use protocol::recorder::Recorder;
use servicebus_core::engine::{Config, Connection, ConnectionError, Event};
use servicebus_core::servicebus::Reason;
use servicebus_core::storage::{Buffer as _, Generation, Heap, HeapBuffer, HeapTable, Key, Limits, Storage, Table};
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_core::wire::performative::Open;
use shared::Shared;
use std::collections::{BTreeSet, VecDeque};

pub use clock::Clock;
pub use namespaces::{InvalidNamespaceName, NamespaceConfig, NamespaceId};
pub use observation::OpenCounts;
pub use statistics::Statistics;
pub use tier::{Limits as NamespaceLimits, Tier, UnknownTier};

/// The largest frame in bytes, either way.
///
/// # Examples
/// ```
/// # use servicebus_core::storage::Buffer;
/// use servicebus_emulator::broker::{Broker, MAX_FRAME_SIZE};
///
/// assert_eq!(Broker::rx().capacity(), MAX_FRAME_SIZE);
/// ```
// docs/evidence/service-evidence.md §1
pub const MAX_FRAME_SIZE: usize = 65_536;

/// Links of a connection at most: the 4 999 of the service, and some for tokens.
const MAX_LINKS: usize = 5_100;

/// Places for deliveries of a connection: each link keeps its whole credit, since the broker takes a message in as it
/// comes and a place is used for a moment only; and there is room for what is with the client and for responses.
const MAX_DELIVERIES: usize = MAX_LINKS * protocol::attach::CREDIT as usize + 4 * protocol::peer::MAX_UNSETTLED;

/// Names a connection. A stale id reads as gone.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// use std::collections::HashMap;
///
/// let mut sockets: HashMap<ConnectionId, &str> = HashMap::new();
/// let id = broker.connect(clock).ok_or("there is no room")?;
/// sockets.insert(id, "till 3");
/// assert_eq!(broker.connections(), [id]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(Key);

impl ConnectionId {
    /// The connection's place among those that are open; places are used again.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let first = broker.connect(clock).ok_or("there is no room")?;
    /// assert_eq!(first.index(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Why there is no room for a connection.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Instant, Timestamp};
/// use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, NoRoom};
///
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// let mut broker = Broker::new(BrokerConfig { max_connections: 0, ..BrokerConfig::default() }, 7);
/// match broker.connect_to(clock, "localhost") {
///     Ok(id) => println!("connection {}", id.index()),
///     Err(NoRoom::Connections) => println!("close one first"),
///     Err(error) => println!("{error}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoRoom {
    /// There are as many as [`BrokerConfig::max_connections`].
    Connections,
    /// [`BrokerConfig::memory`] is used up.
    Memory,
}

impl core::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Connections => "too many connections",
            Self::Memory => "the memory that clients may use is used up",
        })
    }
}

impl core::error::Error for NoRoom {}

/// How a broker behaves.
///
/// # Examples
/// ```
/// use servicebus_core::time::Duration;
/// use servicebus_emulator::broker::{Broker, BrokerConfig};
///
/// let config = BrokerConfig { idle_time_out: Duration::from_secs(30), memory: 64 << 20, ..BrokerConfig::default() };
/// let broker = Broker::new(config, 7);
/// assert_eq!(broker.namespace().name(), "sbemulatorns");
/// ```
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The namespace of clients that name no other.
    pub namespace: NamespaceConfig,
    /// Further namespaces, which clients choose by the host that they name. Of several with one name the first counts.
    pub others: Vec<NamespaceConfig>,
    /// Whether JSON web tokens are taken by their form, since nobody can sign for an emulator.
    pub accept_jwt: bool,
    /// Connections at most, over all namespaces.
    pub max_connections: usize,
    /// The silence after which a connection is given up, announced to clients.
    pub idle_time_out: Duration,
    /// Bytes of memory that clients can make the broker hold at most, over all namespaces.
    pub memory: usize,
}

impl Default for BrokerConfig {
    /// The namespace of Microsoft's emulator, web tokens taken, 10 000 connections, 120 s, 1 GiB.
    fn default() -> Self {
        Self {
            namespace: NamespaceConfig::default(),
            others: Vec::new(),
            accept_jwt: true,
            max_connections: 10_000,
            idle_time_out: Duration::from_secs(120),
            memory: Budget::DEFAULT_LIMIT,
        }
    }
}

/// Namespaces and their connections. What names no namespace is for the default one.
///
/// # Examples
/// ```
/// use servicebus_core::time::{Duration, Instant, Timestamp};
/// use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
///
/// let mut clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// let mut broker = Broker::new(BrokerConfig::default(), 7);
/// let id = broker.connect(clock).ok_or("there is no room")?;
///
/// clock = clock.after(Duration::from_secs(86_400));
/// broker.handle_timeout(clock);
/// let mut tx = Broker::tx();
/// while broker.poll_transmit(id, clock, &mut tx) {}
/// assert!(broker.is_closed(id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    namespaces: Namespaces,
    /// The memory of the whole process.
    budget: Budget,
    peers: HeapTable<Peer>,
    ready: VecDeque<ConnectionId>,
    timers: BTreeSet<(Instant, u32)>,
    clock: Clock,
    idle_time_out: Duration,
}

impl Broker {
    /// A broker without entities. All randomness comes from the seed.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::{Broker, BrokerConfig};
    /// let broker = Broker::new(BrokerConfig::default(), 7);
    /// assert_eq!(broker.namespace().queues().count(), 0);
    /// ```
    pub fn new(config: BrokerConfig, seed: u64) -> Self {
        let budget = Budget::new(config.memory);
        Self {
            namespaces: Namespaces::new(config.namespace, config.others, config.accept_jwt, &budget, seed),
            budget,
            peers: HeapTable::bounded(config.max_connections),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            clock: Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH },
            idle_time_out: config.idle_time_out,
        }
    }

    /// A receive buffer for a connection.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Buffer;
    /// # use servicebus_emulator::broker::Broker;
    /// let mut rx = Broker::rx();
    /// rx.spare()[..4].copy_from_slice(b"AMQP");
    /// rx.commit(4);
    /// assert_eq!(rx.filled(), b"AMQP");
    /// ```
    pub fn rx() -> HeapBuffer {
        Heap::rx(MAX_FRAME_SIZE)
    }

    /// A transmit buffer for a connection.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Buffer;
    /// # use servicebus_emulator::broker::Broker;
    /// let tx = Broker::tx();
    /// assert!(tx.filled().is_empty());
    /// ```
    pub fn tx() -> HeapBuffer {
        Heap::tx(4 * MAX_FRAME_SIZE)
    }

    /// What clients have made the process hold, and its limit: for whatever holds more on their behalf.
    #[doc(hidden)]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The namespaces, the default one first.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").broker(clock)?;
    /// let names: Vec<_> = broker.namespace_ids().map(|id| broker.namespace_of(id).name().to_owned()).collect();
    /// assert_eq!(names, ["sbemulatorns", "archive"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace_ids(&self) -> impl Iterator<Item = NamespaceId> + use<> {
        self.namespaces.ids()
    }

    /// The namespace of this name.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").broker(clock)?;
    /// let archive = broker.find_namespace("Archive");
    /// assert_eq!(archive.map(|id| broker.namespace_of(id).name()), Some("archive"));
    /// assert_eq!(broker.find_namespace("audit"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_namespace(&self, name: &str) -> Option<NamespaceId> {
        self.namespaces.named(name)
    }

    /// The entities of the default namespace.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert!(broker.namespace().queue("orders").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace(&self) -> &Namespace {
        self.namespace_of(NamespaceId::default())
    }

    /// The entities of a namespace.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// for id in broker.namespace_ids() {
    ///     println!("{}: {} queues", broker.namespace_of(id).name(), broker.namespace_of(id).queues().count());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace_of(&self, id: NamespaceId) -> &Namespace {
        &self.namespaces.get(id).namespace
    }

    /// Changes entities or messages of the default namespace; what follows from it for connections happens before this
    /// returns.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_emulator::broker::entities::QueueDescription;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.with_namespace(clock, |namespace| {
    ///     namespace.create_queue("invoices", QueueDescription::default(), clock.utc)
    /// })?;
    /// assert!(broker.namespace().exists("invoices"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_namespace<T>(&mut self, clock: Clock, change: impl FnOnce(&mut Namespace) -> T) -> T {
        self.with_namespace_of(NamespaceId::default(), clock, change)
    }

    /// As [`Broker::with_namespace`], for any namespace.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").queue("orders").broker(clock)?;
    /// if let Some(archive) = broker.find_namespace("archive") {
    ///     broker.with_namespace_of(archive, clock, |namespace| namespace.clear());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_namespace_of<T>(
        &mut self,
        id: NamespaceId,
        clock: Clock,
        change: impl FnOnce(&mut Namespace) -> T,
    ) -> T {
        self.advance(id, clock);
        let result = change(&mut self.namespaces.get_mut(id).namespace);
        self.run_signals(id, clock);
        result
    }

    /// What was counted, over all namespaces.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// broker.connect(clock);
    /// assert_eq!(broker.statistics().connections_open, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn statistics(&self) -> Statistics {
        let counted = self.namespaces.all().map(Shared::counted);
        let sum = counted.fold(Statistics::default(), Statistics::plus);
        Statistics { connections_open: self.peers.len() as u64, ..sum }
    }

    /// What was counted in a namespace.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").broker(clock)?;
    /// broker.connect_to(clock, "archive.localhost")?;
    /// let archive = broker.find_namespace("archive").map(|id| broker.statistics_of(id));
    /// assert_eq!(archive.map(|counted| counted.connections_open), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn statistics_of(&self, id: NamespaceId) -> Statistics {
        let shared = self.namespaces.get(id);
        Statistics { connections_open: shared.connections, ..shared.counted() }
    }

    /// Transactions that are open.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert_eq!(broker.open_transactions(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_transactions(&self) -> usize {
        self.namespaces.all().map(|shared| shared.transactions.len()).sum()
    }

    /// A connection with its namespace.
    fn find(&mut self, id: ConnectionId) -> Option<(&mut Shared, &mut Peer)> {
        let peer = self.peers.find_mut(id.0)?;
        Some((self.namespaces.get_mut(peer.namespace), peer))
    }

    /// The namespace of a connection; the default one for a connection that is gone.
    fn namespace_id(&self, id: ConnectionId) -> NamespaceId {
        self.peers.find(id.0).map(|peer| peer.namespace).unwrap_or_default()
    }

    /// A new connection; `None` when there are too many, or when the memory budget is used up.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock);
    /// assert!(id.is_some_and(|id| !broker.is_closed(id)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(&mut self, clock: Clock) -> Option<ConnectionId> {
        self.connect_to(clock, "").ok()
    }

    /// A new connection to a host that the transport names: that of the TLS handshake, or of the request that opened a
    /// WebSocket. The host of `open` comes before it.
    ///
    /// # Errors
    /// Why there is no room for it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").broker(clock)?;
    /// broker.connect_to(clock, "archive.servicebus.windows.net")?;
    /// let default = broker.find_namespace("sbemulatorns").map(|id| broker.statistics_of(id).connections_open);
    /// assert_eq!(default, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect_to(&mut self, clock: Clock, host: &str) -> Result<ConnectionId, NoRoom> {
        let transport = self.namespaces.at_host(host);
        let namespace = transport.unwrap_or_default();
        self.advance(namespace, clock);
        let config = Config {
            max_frame_size: MAX_FRAME_SIZE as u32,
            idle_time_out: Some(self.idle_time_out),
            // The budget of the process bounds what clients send.
            limits: Limits::new()
                .with_outbox_bytes(4 << 20)
                .with_buffered_bytes(usize::MAX)
                .with_links(MAX_LINKS)
                .with_deliveries(MAX_DELIVERIES),
            ..Config::default()
        };
        let engine = Connection::server(config, clock.now);
        let placeholder = ConnectionId(Key { index: 0, generation: Generation::FIRST });
        let shared = self.namespaces.get_mut(namespace);
        let peer =
            Peer::new(placeholder, transport, engine, clock.now, &shared.budget, shared.namespace.work().clone())
                .map_err(|OverBudget| NoRoom::Memory)?;
        let key = self.peers.insert(peer).map_err(|_| NoRoom::Connections)?;
        let id = ConnectionId(key);
        if let Some(peer) = self.peers.find_mut(key) {
            peer.id = id;
        }
        shared.statistics.connections_accepted += 1;
        shared.connections += 1;
        self.set_timer(id, clock);
        Ok(id)
    }

    /// Applies what a client sent.
    ///
    /// # Errors
    /// Why the connection is over. What it still has to say is sent by [`Broker::poll_transmit`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_core::storage::Buffer;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock).ok_or("there is no room")?;
    /// let mut rx = Broker::rx();
    /// rx.spare()[..8].copy_from_slice(b"HTTP/1.1");
    /// rx.commit(8);
    /// let error = broker.handle_input(id, clock, &mut rx).map_err(|error| error.to_string());
    /// assert_eq!(error, Err("the peer speaks HTTP, not AMQP".to_owned()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle_input(&mut self, id: ConnectionId, clock: Clock, rx: &mut HeapBuffer) -> Result<(), ConnectionError> {
        self.advance(self.namespace_id(id), clock);
        let Self { namespaces, peers, .. } = self;
        let Some(peer) = peers.find_mut(id.0) else {
            rx.clear();
            return Err(ConnectionError::Disconnected);
        };
        peer.throttled |= core::mem::take(&mut peer.stalled);
        let mut recorder = Recorder::new(namespaces, peer.transport);
        let result = peer.engine.handle_input(clock.now, rx, &mut recorder);
        let Recorder { plain, host, mut attaches, states, flows, detaches, is_client_provider, .. } = recorder;
        peer.is_client_provider |= is_client_provider;
        peer.note_plain(plain);
        if let Some(host) = host {
            let namespace = namespaces.at_host(&host).or(peer.transport).unwrap_or_default();
            let before = peer.namespace;
            let Shared { budget, namespace: entities, .. } = namespaces.get(namespace);
            if peer.enter(host, namespace, budget, entities.work()) {
                let left = namespaces.get_mut(before);
                left.statistics.connections_accepted -= 1;
                left.connections -= 1;
                let entered = namespaces.get_mut(namespace);
                entered.statistics.connections_accepted += 1;
                entered.connections += 1;
            }
        }
        let shared = namespaces.get_mut(peer.namespace);
        let retime = !attaches.is_empty() || !detaches.is_empty() || peer.timer.is_none();
        for (delivery, link, settled, state) in states {
            shared.on_state(peer, delivery, link, settled, state, clock);
        }
        self.run_events(id, &mut attaches, clock);
        if let Some((shared, peer)) = self.find(id) {
            for link in flows {
                if let Some(found) = peer.link_mut(link) {
                    found.active = clock.now;
                }
                shared.note_flow(peer, link, clock);
            }
            for link in detaches {
                shared.give_up_accept(peer, link, clock);
            }
        }
        self.bound_memory(id, clock);
        self.run_signals(self.namespace_id(id), clock);
        let closing = self.peers.find(id.0).is_some_and(|peer| peer.closing_since.is_some());
        if retime || closing {
            self.set_timer(id, clock);
        }
        self.mark_ready(id);
        result
    }

    /// Ends what a connection holds beyond the memory budget: links on which a message is coming in, else the connection.
    fn bound_memory(&mut self, id: ConnectionId, clock: Clock) {
        let Some((shared, peer)) = self.find(id) else { return };
        if peer.closed || peer.closing_since.is_some() {
            return;
        }
        if !peer.counts_within_budget() {
            let partial = peer.partial_links();
            for link in &partial {
                shared.detach(peer, *link, OverBudget.into(), clock);
            }
            if partial.is_empty() {
                return timers::close_with(shared, peer, OverBudget.into(), clock);
            }
        }
        if peer.overflowed {
            let text = "What the connection must be told finds no room: it does not read.";
            timers::close_with(shared, peer, Refusal::new(Reason::QuotaExceeded, text), clock);
        }
    }

    fn run_events(
        &mut self,
        id: ConnectionId,
        attaches: &mut Vec<(servicebus_core::engine::LinkId, Vec<u8>)>,
        clock: Clock,
    ) {
        loop {
            let Some((shared, peer)) = self.find(id) else { return };
            let Some(event) = peer.engine.poll_event() else { return };
            match event {
                Event::Opened => {
                    let container = format!("{}_G0", shared.tracker.hex());
                    let open = Open {
                        max_frame_size: peer.engine.peer_max_frame_size(),
                        channel_max: 0,
                        ..Open::new(&container)
                    };
                    let opened = peer.engine.open(&open);
                    peer.opened = opened.is_ok();
                    peer.told(opened);
                    if peer.is_client_provider && shared.namespace.tier() == Tier::Standard {
                        // The words of the service (Azure/azure-sdk-for-java#13644).
                        let text = "Full JMS 2.0 parity over AMQP is a feature supported only by a Premium Messaging \
                                    namespace.";
                        timers::close_with(shared, peer, Refusal::new(Reason::NotImplemented, text), clock);
                    }
                }
                Event::SessionBegun(session) => {
                    peer.count_session(true);
                    let accepted = peer.engine.accept_session(session);
                    peer.told(accepted);
                }
                Event::LinkAttached(link) => {
                    if let Some(at) = attaches.iter().position(|(of, _)| *of == link) {
                        let (_, bytes) = attaches.swap_remove(at);
                        shared.statistics.links_attached += 1;
                        shared.on_attach(peer, link, bytes, clock);
                    }
                }
                Event::Readable(link) => match peer.link(link).map(|link| &link.purpose) {
                    Some(Purpose::Sender { .. }) => shared.on_messages(peer, link, clock),
                    Some(Purpose::Requests(node)) => {
                        let retime = *node == Node::Cbs;
                        shared.on_requests(peer, link, clock);
                        if retime {
                            self.set_timer(id, clock);
                        }
                    }
                    Some(Purpose::Coordinator) => shared.on_control(peer, link, clock),
                    _ => while peer.engine.receive(link).is_some() {},
                },
                Event::Credit(link) => match peer.link(link).map(|link| &link.purpose) {
                    Some(Purpose::Responses(_)) => {
                        shared.on_room_for_answers(peer, clock);
                    }
                    _ => self.serve_link(id, link, clock),
                },
                Event::DrainRequested(link) => {
                    self.serve_link(id, link, clock);
                    if let Some((shared, peer)) = self.find(id)
                        && peer.link(link).is_some()
                    {
                        shared.rest(peer, link, clock);
                        let drained = peer.engine.drained(link);
                        peer.told(drained);
                    }
                }
                Event::LinkDetached(link) => {
                    shared.on_detached(peer, link, clock);
                    shared.on_room_for_answers(peer, clock);
                    self.set_timer(id, clock);
                }
                Event::SessionEnded(_) => peer.count_session(false),
                Event::Closed(_) => {
                    peer.closed = true;
                    self.drop_links(id, clock);
                }
                _ => {}
            }
        }
    }

    /// Everything a connection held is given up.
    fn drop_links(&mut self, id: ConnectionId, clock: Clock) {
        let Some((shared, peer)) = self.find(id) else { return };
        let links: Vec<_> = peer.links.iter().flatten().map(|link| link.id).collect();
        for link in links {
            shared.on_detached(peer, link, clock);
        }
        shared.transactions.roll_back_connection(&mut shared.namespace, id);
    }

    /// Writes what a connection has to say into `tx`; true when there is something: send it and call again.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock).ok_or("there is no room")?;
    /// let mut tx = Broker::tx();
    /// assert!(!broker.poll_transmit(id, clock, &mut tx));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_transmit(&mut self, id: ConnectionId, clock: Clock, tx: &mut HeapBuffer) -> bool {
        let mut wrote = false;
        loop {
            let Some((shared, peer)) = self.find(id) else { return wrote };
            peer.ready = false;
            // The end of their session answers them as well, where it has come meanwhile.
            shared.answer_given_up(peer, clock);
            let more = peer.engine.poll_transmit(clock.now, tx);
            wrote |= more;
            peer.sweep_sent();
            peer.sweep_answers();
            let throttled = core::mem::take(&mut peer.throttled);
            let answered = shared.on_room_for_answers(peer, clock);
            peer.count_memory();
            // A link whose detach came before its attach was answered is over once both answers are sent.
            self.run_events(id, &mut Vec::new(), clock);
            self.run_signals(self.namespace_id(id), clock);
            if answered && !more {
                continue;
            }
            if !throttled {
                return wrote;
            }
            let Some(peer) = self.peers.find_mut(id.0) else { return wrote };
            // There is room for receivers that were held back.
            for link in peer.take_held_back() {
                self.serve_link(id, link, clock);
            }
            self.run_signals(self.namespace_id(id), clock);
            if !more {
                return wrote;
            }
        }
    }

    /// A connection that may have something to send since the last call.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// # let id = broker.connect(clock).ok_or("there is no room")?;
    /// broker.close_connection(id, clock);
    /// assert_eq!(broker.poll_ready(), Some(id));
    /// assert_eq!(broker.poll_ready(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(peer) = self.peers.find_mut(id.0)
                && core::mem::take(&mut peer.ready)
            {
                return Some(id);
            }
        }
    }

    fn mark_ready(&mut self, id: ConnectionId) {
        if let Some(peer) = self.peers.find_mut(id.0)
            && !peer.ready
        {
            peer.ready = true;
            self.ready.push_back(id);
        }
    }

    /// Whether a connection is over: send what [`Broker::poll_transmit`] still has, then drop it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock).ok_or("there is no room")?;
    /// broker.disconnect(id, clock);
    /// assert!(broker.is_closed(id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_closed(&self, id: ConnectionId) -> bool {
        self.peers.find(id.0).is_none_or(|peer| peer.closed || peer.engine.is_closed())
    }

    /// The transport of a connection is gone.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock).ok_or("there is no room")?;
    /// broker.disconnect(id, clock);
    /// assert!(broker.connections().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn disconnect(&mut self, id: ConnectionId, clock: Clock) {
        let namespace = self.namespace_id(id);
        self.advance(namespace, clock);
        if let Some(peer) = self.peers.find_mut(id.0) {
            peer.engine.handle_disconnect();
            if let Some(timer) = peer.timer.take() {
                self.timers.remove(&(timer, id.0.index));
            }
        }
        self.drop_links(id, clock);
        if self.peers.find(id.0).is_some() {
            self.peers.remove(id.0.index);
            self.namespaces.get_mut(namespace).connections -= 1;
        }
        self.run_signals(namespace, clock);
    }

    /// The connections that are open.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let (first, second) = (broker.connect(clock), broker.connect(clock));
    /// assert_eq!(broker.connections(), [first, second].into_iter().flatten().collect::<Vec<_>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connections(&self) -> Vec<ConnectionId> {
        (0..self.peers.end()).filter_map(|index| self.peers.key(index).map(ConnectionId)).collect()
    }

    /// The connections of a namespace.
    fn connections_of(&self, namespace: NamespaceId) -> Vec<ConnectionId> {
        let mut all = self.connections();
        all.retain(|id| self.namespace_id(*id) == namespace);
        all
    }
}
