//! The network of a simulation: connections that take time, break, and fall silent.

use super::World;
use super::peer::{Answer, Factory, Peer};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::driver::{Dial, Transport};
use servicebus_core::machine::Target;
use servicebus_core::storage::{Buffer as _, Heap, HeapBuffer, Storage as _};
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::{Broker, Clock, ConnectionId};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

/// The server behind every new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Server {
    /// The emulator.
    #[default]
    Emulator,
    /// Reads everything and sends nothing.
    Silent,
    /// Closes at once.
    Closes,
    /// Sends these bytes and ignores input.
    Sends(Vec<u8>),
    /// Sends these bytes and closes.
    SendsAndCloses(Vec<u8>),
    /// Sends each chunk after its delay and ignores input.
    SendsInSteps(Vec<(Duration, Vec<u8>)>),
    /// Scripted peers, over pipes of bounded size in both directions.
    Scripted(Factory),
}

/// Bytes that the pipe from a scripted peer holds before the peer waits.
const PIPE: usize = 65_536;

/// What was sent so far. Two runs that sent the same bytes at the same times have the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes in both directions.
    pub bytes: u64,
    /// Over times, directions and bytes.
    pub hash: u64,
}

impl Traffic {
    fn note(&mut self, at: Instant, to_client: bool, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let stamp = at.saturating_duration_since(Instant::ZERO).as_micros() as u64;
        let mut mix = |word: u64| self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        mix(stamp);
        mix(u64::from(to_client) << 32 | bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
}

/// The scripted end of a connection.
struct Scripted {
    peer: Box<dyn Peer>,
    reads: bool,
    /// Something came in since the last output.
    pending: bool,
}

/// Bytes under way.
struct Flight {
    arrives: Instant,
    bytes: Vec<u8>,
}

impl Flight {
    fn total(flights: &VecDeque<Self>) -> usize {
        flights.iter().map(|flight| flight.bytes.len()).sum()
    }
}

struct Wire {
    /// The emulator's connection; `None` for every other server.
    id: Option<ConnectionId>,
    rx: HeapBuffer,
    tx: HeapBuffer,
    to_broker: VecDeque<Flight>,
    to_client: VecDeque<Flight>,
    readable: VecDeque<u8>,
    reader: Option<Waker>,
    /// The client waits for room to write.
    writer: Option<Waker>,
    scripted: Option<Scripted>,
    /// The client has dropped its end.
    dropped: bool,
    /// Nothing more comes from the emulator.
    ended: bool,
    broken: bool,
}

impl Wire {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// The bytes that have arrived at the far end by now.
    fn take_arrived(&mut self, now: Instant) -> Vec<u8> {
        let mut arrived = Vec::new();
        while self.to_broker.front().is_some_and(|flight| flight.arrives <= now) {
            let Some(flight) = self.to_broker.pop_front() else { break };
            arrived.extend(flight.bytes);
        }
        arrived
    }

    /// Whether the pipe to the client takes more bytes of a scripted peer.
    fn has_room(&self) -> bool {
        !self.ended && Flight::total(&self.to_client) + self.readable.len() < PIPE
    }

    /// When a scripted peer acts next by itself.
    fn peer_acts(&self) -> Option<Instant> {
        let scripted = self.scripted.as_ref().filter(|_| self.has_room())?;
        scripted.peer.next()
    }

    /// Lets a scripted peer read and act; true when something moved.
    fn run_peer(&mut self, now: Instant, latency: Duration, traffic: &mut Traffic) -> bool {
        let mut moved = false;
        loop {
            let reads = self.scripted.as_ref().is_some_and(|scripted| scripted.reads) && !self.ended;
            let arrived = if reads { self.take_arrived(now) } else { Vec::new() };
            let room = self.has_room();
            let due = self.peer_acts().is_some_and(|at| at <= now);
            let Some(scripted) = &mut self.scripted else { return moved };
            if !arrived.is_empty() {
                scripted.peer.input(now, &arrived);
                scripted.pending = true;
                moved = true;
            }
            if let Some(writer) = self.writer.take_if(|_| !arrived.is_empty()) {
                writer.wake();
            }
            if !room || !(scripted.pending || due) {
                return moved;
            }
            scripted.pending = false;
            let output = scripted.peer.output(now);
            let quiet = output.bytes.is_empty() && output.reads == scripted.reads && !output.closes;
            scripted.reads = output.reads;
            if !output.bytes.is_empty() {
                traffic.note(now, true, &output.bytes);
                self.to_client.push_back(Flight { arrives: now + latency, bytes: output.bytes });
            }
            if output.closes {
                self.ended = true;
                self.wake();
            }
            if quiet {
                return moved;
            }
            moved = true;
        }
    }
}

/// All connections.
pub(super) struct Network {
    wires: Vec<Option<Wire>>,
    pub(super) latency: Duration,
    pub(super) reachable: bool,
    pub(super) black_hole: bool,
    writes_stalled: bool,
    pub(super) opened: u64,
    pub(super) server: Server,
    pub(super) traffic: Traffic,
    pub(super) tamper: Option<Tamper>,
    pub(super) tamper_to_emulator: Option<Tamper>,
}

/// Changes bytes on their way.
pub(super) type Tamper = Box<dyn FnMut(&mut Vec<u8>)>;

impl Default for Network {
    fn default() -> Self {
        Self {
            wires: Vec::new(),
            latency: Duration::from_millis(1),
            reachable: true,
            black_hole: false,
            writes_stalled: false,
            opened: 0,
            server: Server::Emulator,
            traffic: Traffic { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 },
            tamper: None,
            tamper_to_emulator: None,
        }
    }
}

impl Network {
    pub(super) fn cut_all(&mut self) {
        for wire in self.wires.iter_mut().flatten() {
            wire.broken = true;
            wire.to_broker.clear();
            wire.to_client.clear();
            wire.wake();
        }
    }

    /// Whether a client has bytes that it cannot write.
    pub(super) fn writes_stalled(&self) -> bool {
        self.writes_stalled || self.wires.iter().flatten().any(|wire| wire.writer.is_some())
    }

    pub(super) fn set_writes_stalled(&mut self, stalled: bool) {
        self.writes_stalled = stalled;
        for waker in self.wires.iter_mut().flatten().filter_map(|wire| wire.writer.take()) {
            waker.wake();
        }
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        if self.black_hole {
            return None;
        }
        let fronts = self.wires.iter().flatten().flat_map(|wire| {
            let read = wire.scripted.as_ref().is_none_or(|scripted| scripted.reads && !wire.ended);
            [wire.to_broker.front().filter(|_| read), wire.to_client.front()]
        });
        fronts.flatten().map(|flight| flight.arrives).min()
    }

    /// When a scripted peer acts next by itself.
    pub(super) fn next_act(&self) -> Option<Instant> {
        if self.black_hole {
            return None;
        }
        self.wires.iter().flatten().filter_map(Wire::peer_acts).min()
    }

    /// Carries what has arrived; true when something moved.
    pub(super) fn exchange(&mut self, broker: &mut Broker, clock: Clock) -> bool {
        let mut moved = false;
        // What is under way in a black hole comes out at its end, as after TCP's retransmissions.
        let wires = if self.black_hole { &mut [][..] } else { &mut self.wires[..] };
        for slot in wires {
            let Some(wire) = slot else { continue };
            if wire.dropped || wire.broken {
                if let Some(id) = wire.id.take() {
                    broker.disconnect(id, clock);
                    moved = true;
                }
                if wire.dropped {
                    *slot = None;
                    moved = true;
                }
                continue;
            }
            // What has arrived by now is read at once.
            if wire.scripted.is_some() {
                moved |= wire.run_peer(clock.now, self.latency, &mut self.traffic);
            } else {
                let arrived = wire.take_arrived(clock.now);
                moved |= !arrived.is_empty();
                let mut rest = arrived.as_slice();
                while !rest.is_empty() {
                    let spare = wire.rx.spare();
                    let count = rest.len().min(spare.len());
                    let (now, later) = rest.split_at(count);
                    spare[..count].copy_from_slice(now);
                    wire.rx.commit(count);
                    rest = later;
                    match wire.id {
                        Some(id) => _ = broker.handle_input(id, clock, &mut wire.rx),
                        None => wire.rx.clear(),
                    }
                }
            }
            while wire.to_client.front().is_some_and(|flight| flight.arrives <= clock.now) {
                let Some(flight) = wire.to_client.pop_front() else { break };
                moved = true;
                wire.readable.extend(flight.bytes);
                if let Some(waker) = wire.reader.take() {
                    waker.wake();
                }
            }
        }
        while let Some(id) = broker.poll_ready() {
            let Some(wire) = self.wires.iter_mut().flatten().find(|wire| wire.id == Some(id)) else { continue };
            while broker.poll_transmit(id, clock, &mut wire.tx) {
                moved = true;
                let mut bytes = wire.tx.filled().to_vec();
                wire.tx.clear();
                if let Some(tamper) = &mut self.tamper {
                    tamper(&mut bytes);
                }
                self.traffic.note(clock.now, true, &bytes);
                wire.to_client.push_back(Flight { arrives: clock.now + self.latency, bytes });
            }
            if broker.is_closed(id) && !wire.ended {
                wire.ended = true;
                moved = true;
                if let Some(waker) = wire.reader.take() {
                    waker.wake();
                }
            }
        }
        moved
    }

    /// Panics when the emulator still has bytes to send on a connection that [`Broker::poll_ready`] did not name.
    pub(super) fn check_nothing_is_left(&mut self, broker: &mut Broker, clock: Clock) {
        for wire in self.wires.iter_mut().flatten().filter(|wire| !wire.dropped && !wire.broken) {
            let Some(id) = wire.id else { continue };
            assert!(!broker.poll_transmit(id, clock, &mut wire.tx), "{id:?} has something to send and was not named");
        }
    }
}

/// Opens connections to the emulator of a world.
#[derive(Clone, Debug)]
pub struct SimulatedDialer(World);

impl SimulatedDialer {
    pub(super) fn new(world: World) -> Self {
        Self(world)
    }
}

/// A connection.
#[derive(Debug)]
pub struct SimulatedTransport {
    world: World,
    place: usize,
}

impl Drop for SimulatedTransport {
    fn drop(&mut self) {
        let mut network = self.world.0.network.borrow_mut();
        if let Some(Some(wire)) = network.wires.get_mut(self.place) {
            wire.dropped = true;
        }
    }
}

impl Dial for SimulatedDialer {
    type Transport<'a> = SimulatedTransport;
    type Error = io::Error;

    async fn dial(&mut self, _target: Target<'_>) -> io::Result<SimulatedTransport> {
        let latency = self.0.0.network.borrow().latency;
        self.0.sleep(latency * 2).await;
        if self.0.0.network.borrow().black_hole {
            // Neither accepted nor refused.
            std::future::pending::<()>().await;
        }
        if !self.0.0.network.borrow().reachable {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let server = self.0.0.network.borrow().server.clone();
        let mut scripted = None;
        if let Server::Scripted(factory) = &server {
            match factory.answer() {
                Answer::Accepts(mut peer) => {
                    peer.connected(self.0.clock().now);
                    scripted = Some(Scripted { peer, reads: true, pending: true });
                }
                Answer::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                Answer::Nothing => std::future::pending().await,
            }
        }
        let mut arrives = self.0.clock().now + latency;
        let sent = |bytes: &Vec<u8>| VecDeque::from([Flight { arrives, bytes: bytes.clone() }]);
        let (to_client, ended) = match &server {
            Server::Emulator | Server::Silent | Server::Scripted(_) => (VecDeque::new(), false),
            Server::Closes => (VecDeque::new(), true),
            Server::Sends(words) => (sent(words), false),
            Server::SendsAndCloses(words) => (sent(words), true),
            Server::SendsInSteps(lines) => {
                let flight = |(wait, bytes): &(Duration, Vec<u8>)| {
                    arrives += *wait;
                    Flight { arrives, bytes: bytes.clone() }
                };
                (lines.iter().map(flight).collect(), false)
            }
        };
        let id = match server {
            Server::Emulator => Some(
                self.0
                    .broker(servicebus_emulator::broker::Broker::connect)
                    .ok_or_else(|| io::Error::other("too many connections"))?,
            ),
            _ => None,
        };
        // Only the emulator's bytes pass these.
        let (rx, tx) = if id.is_some() { (Broker::rx(), Broker::tx()) } else { (Heap::rx(512), Heap::tx(512)) };
        let mut network = self.0.0.network.borrow_mut();
        network.opened += 1;
        let wire = Wire {
            id,
            rx,
            tx,
            to_broker: VecDeque::new(),
            to_client,
            readable: VecDeque::new(),
            reader: None,
            writer: None,
            scripted,
            dropped: false,
            ended,
            broken: false,
        };
        let place = network.wires.iter().position(Option::is_none).unwrap_or(network.wires.len());
        if place == network.wires.len() {
            network.wires.push(None);
        }
        network.wires[place] = Some(wire);
        Ok(SimulatedTransport { world: self.0.clone(), place })
    }
}

/// One half of a connection.
#[derive(Debug)]
pub struct Half<'a>(&'a SimulatedTransport);

impl Transport for SimulatedTransport {
    type Error = ErrorKind;
    type Reader<'a> = Half<'a>;
    type Writer<'a> = Half<'a>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(self), Half(self))
    }
}

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let mut network = self.0.world.0.network.borrow_mut();
            let Some(Some(wire)) = network.wires.get_mut(self.0.place) else { return Poll::Ready(Ok(0)) };
            if wire.broken {
                return Poll::Ready(Err(ErrorKind::ConnectionReset));
            }
            let count = wire.readable.len().min(buffer.len());
            if count == 0 {
                if wire.ended && wire.to_client.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                wire.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // Reading from a queue of bytes cannot fail.
            Poll::Ready(std::io::Read::read(&mut wire.readable, &mut buffer[..count]).map_err(|_| ErrorKind::Other))
        })
        .await
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let now = self.0.world.clock().now;
            let mut network = self.0.world.0.network.borrow_mut();
            let network = &mut *network;
            let Some(Some(wire)) = network.wires.get_mut(self.0.place) else {
                return Poll::Ready(Err(ErrorKind::NotConnected));
            };
            if wire.broken || (wire.scripted.is_some() && wire.ended) {
                return Poll::Ready(Err(ErrorKind::ConnectionReset));
            }
            let mut count = bytes.len();
            if let Some(scripted) = &wire.scripted {
                count = count.min(scripted.peer.window().saturating_sub(Flight::total(&wire.to_broker)));
            }
            if network.writes_stalled || (count == 0 && !bytes.is_empty()) {
                wire.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let mut bytes = bytes[..count].to_vec();
            if let Some(tamper) = &mut network.tamper_to_emulator {
                tamper(&mut bytes);
            }
            network.traffic.note(now, false, &bytes);
            wire.to_broker.push_back(Flight { arrives: now + network.latency, bytes });
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
