//! The broker: a namespace served to any number of connections, without I/O, clock or threads.
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

mod admission;
mod apply;
mod attachments;
pub mod budget;
pub mod change;
mod clock;
mod commands;
mod consumers;
pub mod entities;
mod events;
mod faults;
mod id_map;
mod observation;
mod plan;
pub(crate) mod protocol;
mod relays;
mod routing;
mod sessions;
mod shared;
mod signals;
mod statistics;
mod tier;
mod timers;
pub(crate) mod transactions;
mod work;

use crate::management::{self, Authority, Management, Order};
use budget::{Budget, OverBudget};
use entities::{AuthorizationRule, Namespace, Rights};
use protocol::fault::Refusal;
use protocol::peer::{Node, Peer, Purpose};
use protocol::recorder::Recorder;
use servicebus_core::engine::{Config, Connection, ConnectionError, Event};
use servicebus_core::random::Random;
use servicebus_core::servicebus::Reason;
use servicebus_core::servicebus::administration::{Request, Response};
use servicebus_core::storage::{Generation, Heap, HeapRx, HeapTable, HeapTx, Key, Limits, Rx as _, Storage, Table};
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_core::wire::performative::Open;
use shared::Shared;
use signals::Update;
use std::collections::{BTreeSet, VecDeque};

pub use clock::Clock;
pub use observation::OpenCounts;
pub use statistics::Statistics;
pub use tier::{Limits as NamespaceLimits, Tier, UnknownTier};

/// The largest frame in bytes, either way (docs/evidence/service-evidence.md §1).
pub const MAX_FRAME_SIZE: usize = 65_536;

/// Links of a connection at most: the 4 999 of the service, and some for tokens.
const MAX_LINKS: usize = 5_100;

/// Places for deliveries of a connection: each link keeps its whole credit, since the broker takes a message in as it
/// comes and a place is used for a moment only; and there is room for what is with the client and for responses.
const MAX_DELIVERIES: usize = MAX_LINKS * protocol::attach::CREDIT as usize + 4 * protocol::peer::MAX_UNSETTLED;

/// Sets the randomness of the management endpoint apart from that of the connections.
const MANAGEMENT_SEED: u64 = 0x6d61_6e61_6765;

/// Names a connection. A stale id reads as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(Key);

impl ConnectionId {
    /// The connection's place among those that are open; places are used again.
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// How a broker behaves.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The namespace's name.
    pub name: String,
    /// The pricing tier.
    pub tier: Tier,
    /// How much the namespace may hold; `None` for the limits of the tier.
    pub limits: Option<NamespaceLimits>,
    /// Keys for the whole namespace.
    pub keys: Vec<AuthorizationRule>,
    /// Whether JSON web tokens are taken by their form, since nobody can sign for an emulator.
    pub accept_jwt: bool,
    /// Connections at most.
    pub max_connections: usize,
    /// The silence after which a connection is given up, announced to clients.
    pub idle_time_out: Duration,
    /// Bytes of memory that clients can make the broker hold at most.
    pub memory: usize,
    /// Whether every transaction may span queues and topics. The service allows that only to clients that ask for it, and
    /// refuses it otherwise.
    pub cross_entity_transactions: bool,
}

impl Default for BrokerConfig {
    /// The namespace, key name and key of Microsoft's emulator, the Standard tier, web tokens taken, 10 000 connections,
    /// 120 s, 1 GiB.
    fn default() -> Self {
        Self {
            name: "sbemulatorns".into(),
            tier: Tier::Standard,
            limits: None,
            keys: vec![AuthorizationRule {
                key_name: "RootManageSharedAccessKey".into(),
                primary_key: "SAS_KEY_VALUE".into(),
                secondary_key: String::new(),
                rights: Rights::ALL,
            }],
            accept_jwt: true,
            max_connections: 10_000,
            idle_time_out: Duration::from_secs(120),
            memory: Budget::DEFAULT_LIMIT,
            cross_entity_transactions: false,
        }
    }
}

/// A namespace and its connections.
#[derive(Debug)]
pub struct Broker {
    shared: Shared,
    peers: HeapTable<Peer>,
    ready: VecDeque<ConnectionId>,
    timers: BTreeSet<(Instant, u32)>,
    clock: Clock,
    idle_time_out: Duration,
    management: Management,
    /// Updates of entities whose links are still to be detached, in order.
    updates: VecDeque<Update>,
}

impl Broker {
    /// A broker without entities. All randomness comes from the seed.
    pub fn new(config: BrokerConfig, seed: u64) -> Self {
        let budget = Budget::new(config.memory);
        let mut shared = Shared::new(&config.name, config.keys, config.accept_jwt, budget, seed);
        shared.namespace.set_tier(config.tier, config.limits);
        shared.transactions.span_entities = config.cross_entity_transactions;
        Self {
            shared,
            peers: HeapTable::bounded(config.max_connections),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            clock: Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH },
            idle_time_out: config.idle_time_out,
            updates: VecDeque::new(),
            management: Management::new(&config.name, Random::seeded(seed ^ MANAGEMENT_SEED).next()),
        }
    }

    /// A receive buffer for a connection.
    pub fn rx() -> HeapRx {
        Heap::rx(MAX_FRAME_SIZE)
    }

    /// A transmit buffer for a connection.
    pub fn tx() -> HeapTx {
        Heap::tx(4 * MAX_FRAME_SIZE)
    }

    /// What clients have made the process hold, and its limit: for whatever holds more on their behalf.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// The entities.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// Changes entities or messages; what follows from it for connections happens before this returns.
    pub fn with_namespace<T>(&mut self, clock: Clock, change: impl FnOnce(&mut Namespace) -> T) -> T {
        self.advance(clock);
        let result = change(&mut self.shared.namespace);
        self.run_signals(clock);
        result
    }

    /// Answers a request of the management API; what follows from it for connections happens before this returns.
    /// `scheme` is the one that the client used, `http` or `https`. The emulator has requests of its own, which its README
    /// lists under "Management endpoint".
    pub fn manage(&mut self, clock: Clock, scheme: &str, request: &Request) -> Response {
        self.manage_from(clock, scheme, request, false)
    }

    /// Answers a request of the management API; a client on this machine (`local`) may read counters and metrics without
    /// a token.
    pub fn manage_from(&mut self, clock: Clock, scheme: &str, request: &Request, local: bool) -> Response {
        self.advance(clock);
        let own = management::is_own(&self.shared.namespace, request);
        let throttled = !own && self.shared.injected().is_some();
        let statistics = self.statistics();
        let authority =
            Authority { keys: &self.shared.keys, accept_jwt: self.shared.accept_jwt, throttled, statistics, local };
        let mut response = self.management.handle(&mut self.shared.namespace, authority, scheme, request, clock.utc);
        self.run_signals(clock);
        match self.management.take_order() {
            Some(Order::CloseConnections) => {
                for id in self.connections() {
                    self.close_connection(id, clock);
                }
            }
            Some(Order::Detach(path)) => self.force_detach(&path, clock),
            Some(Order::Metrics) => response.body = self.metrics().into_bytes(),
            None => {}
        }
        let (method, path) = (request.method, request.path_and_query.as_str());
        tracing::debug!(?method, path, status = response.status, "management");
        response
    }

    /// The text of the last management answer's status line, where it is not the status's own.
    pub fn take_reason_phrase(&mut self) -> Option<String> {
        self.management.take_reason_phrase()
    }

    /// Whether a request of the management API shows a token that grants anything. It is asked before its body is kept.
    pub fn is_authorized(&self, clock: Clock, request: &Request) -> bool {
        let Shared { namespace, keys, accept_jwt, .. } = &self.shared;
        management::is_authorized(namespace, keys, *accept_jwt, request, clock.utc)
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        Statistics { connections_open: self.peers.len() as u64, ..self.shared.counted() }
    }

    /// Transactions that are open.
    pub fn open_transactions(&self) -> usize {
        self.shared.transactions.len()
    }

    /// A new connection; `None` when there are too many, or when the memory budget is used up.
    pub fn connect(&mut self, clock: Clock) -> Option<ConnectionId> {
        self.advance(clock);
        let config = Config {
            max_frame_size: MAX_FRAME_SIZE as u32,
            idle_time_out: Some(self.idle_time_out),
            // The budget of the process bounds what clients send.
            limits: Limits {
                outbox: 4 << 20,
                buffered: usize::MAX,
                links: MAX_LINKS,
                deliveries: MAX_DELIVERIES,
                ..Limits::default()
            },
            ..Config::default()
        };
        let engine = Connection::server(config, clock.now);
        let placeholder = ConnectionId(Key { index: 0, generation: Generation::FIRST });
        let peer = Peer::new(placeholder, engine, clock.now, &self.shared.budget).ok()?;
        let key = self.peers.insert(peer).ok()?;
        let id = ConnectionId(key);
        if let Some(peer) = self.peers.find_mut(key) {
            peer.id = id;
        }
        self.shared.statistics.connections_accepted += 1;
        self.set_timer(id, clock);
        Some(id)
    }

    /// Applies what a client sent.
    ///
    /// # Errors
    /// Why the connection is over. What it still has to say is sent by [`Broker::poll_transmit`].
    pub fn handle_input(&mut self, id: ConnectionId, clock: Clock, rx: &mut HeapRx) -> Result<(), ConnectionError> {
        self.advance(clock);
        let Self { shared, peers, .. } = self;
        let Some(peer) = peers.find_mut(id.0) else {
            rx.clear();
            return Err(ConnectionError::Disconnected);
        };
        peer.throttled |= core::mem::take(&mut peer.stalled);
        let mut recorder = Recorder::new(&shared.keys);
        let result = peer.engine.handle_input(clock.now, rx, &mut recorder);
        let Recorder { plain, host, mut attaches, states, flows, detaches, is_client_provider, .. } = recorder;
        peer.is_client_provider |= is_client_provider;
        peer.access.plain = plain.or(peer.access.plain);
        if let Some(host) = host {
            peer.host = host;
        }
        let retime = !attaches.is_empty() || !detaches.is_empty() || peer.timer.is_none();
        for (delivery, link, settled, state) in states {
            shared.on_state(peer, delivery, link, settled, state, clock);
        }
        self.run_events(id, &mut attaches, clock);
        let Self { shared, peers, .. } = self;
        if let Some(peer) = peers.find_mut(id.0) {
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
        self.run_signals(clock);
        let closing = self.peers.find(id.0).is_some_and(|peer| peer.closing_since.is_some());
        if retime || closing {
            self.set_timer(id, clock);
        }
        self.mark_ready(id);
        result
    }

    /// Ends what a connection holds beyond the memory budget: links on which a message is coming in, else the connection.
    fn bound_memory(&mut self, id: ConnectionId, clock: Clock) {
        let Self { shared, peers, .. } = self;
        let Some(peer) = peers.find_mut(id.0) else { return };
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
            let Self { shared, peers, .. } = self;
            let Some(peer) = peers.find_mut(id.0) else { return };
            let Some(event) = peer.engine.poll_event() else { return };
            match event {
                Event::Opened => {
                    let container = format!("{}_G0", shared.tracker.hex());
                    let open = Open {
                        container_id: &container,
                        hostname: None,
                        max_frame_size: peer.engine.peer_max_frame_size(),
                        channel_max: 0,
                        idle_time_out: None,
                        outgoing_locales: None,
                        incoming_locales: None,
                        offered_capabilities: None,
                        desired_capabilities: None,
                        properties: None,
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
                    let Self { shared, peers, .. } = self;
                    if let Some(peer) = peers.find_mut(id.0).filter(|peer| peer.link(link).is_some()) {
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
        let Self { shared, peers, .. } = self;
        let Some(peer) = peers.find_mut(id.0) else { return };
        let links: Vec<_> = peer.links.iter().flatten().map(|link| link.id).collect();
        for link in links {
            shared.on_detached(peer, link, clock);
        }
        shared.transactions.roll_back_connection(&mut shared.namespace, id);
    }

    /// Writes what a connection has to say into `tx`; true when there is something: send it and call again.
    pub fn poll_transmit(&mut self, id: ConnectionId, clock: Clock, tx: &mut HeapTx) -> bool {
        let mut wrote = false;
        loop {
            let Self { shared, peers, .. } = self;
            let Some(peer) = peers.find_mut(id.0) else { return wrote };
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
            self.run_signals(clock);
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
            self.run_signals(clock);
            if !more {
                return wrote;
            }
        }
    }

    /// A connection that may have something to send since the last call.
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
    pub fn is_closed(&self, id: ConnectionId) -> bool {
        self.peers.find(id.0).is_none_or(|peer| peer.closed || peer.engine.is_closed())
    }

    /// The transport of a connection is gone.
    pub fn disconnect(&mut self, id: ConnectionId, clock: Clock) {
        self.advance(clock);
        if let Some(peer) = self.peers.find_mut(id.0) {
            peer.engine.handle_disconnect();
            if let Some(timer) = peer.timer.take() {
                self.timers.remove(&(timer, id.0.index));
            }
        }
        self.drop_links(id, clock);
        if self.peers.find(id.0).is_some() {
            self.peers.remove(id.0.index);
        }
        self.run_signals(clock);
    }

    /// The connections that are open.
    pub fn connections(&self) -> Vec<ConnectionId> {
        (0..self.peers.end()).filter_map(|index| self.peers.key(index).map(ConnectionId)).collect()
    }

    /// The next `operations` sends and management requests are answered with server-busy.
    pub fn throttle(&mut self, operations: u64) {
        self.refuse(operations, Reason::ServerBusy);
    }

    /// The next `operations` sends and management requests are refused for this reason.
    pub fn refuse(&mut self, operations: u64, reason: Reason) {
        self.shared.faults.refuse_operations(operations, reason);
    }

    /// The next `count` tokens are refused for this reason.
    pub fn refuse_tokens(&mut self, count: u64, reason: Reason) {
        self.shared.faults.refuse_tokens(count, reason);
    }

    /// What the next `count` requests to `$management` ask for is done, and their responses are lost.
    pub fn lose_responses(&mut self, count: u64) {
        self.shared.faults.lost_responses = count;
    }

    /// Whether sessions can be accepted non-exclusively, as they can unless this is called: where the service does not
    /// offer that, it does not know the filter either.
    pub fn offer_non_exclusive_sessions(&mut self, offered: bool) {
        self.shared.faults.exclusive_only = !offered;
    }

    /// Who takes a session over is taken for a stranger by `$management` for this long, as it can happen at the service
    /// (docs/evidence/pinned-behaviour.md SES44).
    pub fn delay_take_over(&mut self, delay: Duration) {
        self.shared.faults.takeover_delay = delay;
    }
}
