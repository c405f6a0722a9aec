//! A broker with peers around it, in virtual time: what a peer does not read stays in the broker.

use super::Peer;
use servicebus_core::storage::{Buffer as _, HeapBuffer};
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::{Broker, Clock, ConnectionId};

/// The traffic and the end of a peer's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that the peer sent.
    pub sent: usize,
    /// Bytes that the peer read.
    pub read: usize,
    /// When the broker closed the connection.
    pub closed: Option<Instant>,
}

struct Connection {
    peer: Box<dyn Peer>,
    id: ConnectionId,
    rx: HeapBuffer,
    tx: HeapBuffer,
    reads: bool,
    seen: Seen,
    gone: bool,
}

/// A broker and its peers.
#[expect(missing_debug_implementations, reason = "a peer need not be printable")]
pub struct BrokerWithPeers {
    /// The broker.
    pub broker: Broker,
    clock: Clock,
    connections: Vec<Connection>,
}

impl BrokerWithPeers {
    /// A broker without peers at this moment.
    pub fn new(broker: Broker, clock: Clock) -> Self {
        Self { broker, clock, connections: Vec::new() }
    }

    /// The time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Connects a peer; [`BrokerWithPeers::seen`] takes the number that this returns.
    ///
    /// # Panics
    /// When the broker accepts no more connections.
    pub fn connect(&mut self, mut peer: impl Peer + 'static) -> usize {
        let id = self.broker.connect(self.clock).expect("room for a connection");
        peer.connected(self.clock.now);
        let (rx, tx) = (Broker::rx(), Broker::tx());
        let connection =
            Connection { peer: Box::new(peer), id, rx, tx, reads: true, seen: Seen::default(), gone: false };
        self.connections.push(connection);
        self.connections.len() - 1
    }

    /// The traffic and the end of a peer's connection.
    pub fn seen(&self, connection: usize) -> Seen {
        self.connections[connection].seen
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.now + time;
        loop {
            while self.exchange() {}
            let peers = self
                .connections
                .iter()
                .filter(|connection| !connection.gone)
                .filter_map(|connection| connection.peer.next());
            let next = peers.chain(self.broker.poll_timeout()).min();
            let next = next.filter(|at| *at < end).unwrap_or(end);
            // A deadline that has passed counts as now, and time must pass all the same.
            let elapsed = next.saturating_duration_since(self.clock.now).max(Duration::from_micros(1));
            self.clock = Clock { now: self.clock.now + elapsed, utc: self.clock.utc + elapsed };
            self.broker.handle_timeout(self.clock);
            if self.clock.now >= end {
                while self.exchange() {}
                return;
            }
        }
    }

    fn exchange(&mut self) -> bool {
        let Self { broker, clock, connections } = self;
        let mut moved = false;
        for connection in connections.iter_mut().filter(|connection| !connection.gone) {
            let output = connection.peer.output(clock.now);
            connection.reads = output.reads;
            connection.seen.sent += output.bytes.len();
            moved |= !output.bytes.is_empty();
            let mut rest = &output.bytes[..];
            while !rest.is_empty() {
                let spare = connection.rx.spare();
                let count = rest.len().min(spare.len());
                if count == 0 {
                    break;
                }
                spare[..count].copy_from_slice(&rest[..count]);
                connection.rx.commit(count);
                rest = &rest[count..];
                // The broker answers wrong input by itself.
                _ = broker.handle_input(connection.id, *clock, &mut connection.rx);
            }
            // As over sockets, the broker is polled for more once its last bytes are written.
            if connection.tx.filled().is_empty() {
                moved |= broker.poll_transmit(connection.id, *clock, &mut connection.tx);
            }
            if connection.reads && !connection.tx.filled().is_empty() {
                connection.seen.read += connection.tx.filled().len();
                connection.peer.input(clock.now, connection.tx.filled());
                connection.tx.clear();
                moved = true;
            }
            if broker.is_closed(connection.id) && connection.tx.filled().is_empty() {
                connection.seen.closed = Some(clock.now);
                connection.gone = true;
            }
            if output.closes || connection.gone {
                connection.gone = true;
                broker.disconnect(connection.id, *clock);
                moved = true;
            }
        }
        while broker.poll_ready().is_some() {}
        moved
    }
}
