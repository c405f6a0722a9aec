//! A broker with peers around it, in virtual time: what a peer does not read stays in the broker.

use super::Peer;
use servicebus_core::storage::{HeapRx, HeapTx, Rx as _, Tx as _};
use servicebus_core::time::{Duration, Instant};
use servicebus_emulator::broker::{Broker, Clock, ConnectionId};

/// What became of a peer's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that the peer sent.
    pub sent: usize,
    /// Bytes that the peer read.
    pub read: usize,
    /// When the broker closed the connection.
    pub closed: Option<Instant>,
}

struct Guest {
    peer: Box<dyn Peer>,
    id: ConnectionId,
    rx: HeapRx,
    tx: HeapTx,
    reads: bool,
    seen: Seen,
    gone: bool,
}

/// A broker and its peers.
#[expect(missing_debug_implementations, reason = "a peer need not be printable")]
pub struct Meeting {
    /// The broker.
    pub broker: Broker,
    clock: Clock,
    guests: Vec<Guest>,
}

impl Meeting {
    /// A meeting that begins at this moment.
    pub fn new(broker: Broker, clock: Clock) -> Self {
        Self { broker, clock, guests: Vec::new() }
    }

    /// The time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Connects a peer; [`Meeting::seen`] takes the number that this returns.
    ///
    /// # Panics
    /// When the broker accepts no more connections.
    pub fn connect(&mut self, mut peer: impl Peer + 'static) -> usize {
        let id = self.broker.connect(self.clock).expect("room for a connection");
        peer.connected(self.clock.now);
        let (rx, tx) = (Broker::rx(), Broker::tx());
        let guest = Guest { peer: Box::new(peer), id, rx, tx, reads: true, seen: Seen::default(), gone: false };
        self.guests.push(guest);
        self.guests.len() - 1
    }

    /// What became of a peer.
    pub fn seen(&self, guest: usize) -> Seen {
        self.guests[guest].seen
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.now + time;
        loop {
            while self.exchange() {}
            let peers = self.guests.iter().filter(|guest| !guest.gone).filter_map(|guest| guest.peer.next());
            let next = peers.chain(self.broker.poll_timeout()).min();
            let next = next.filter(|at| *at < end).unwrap_or(end);
            // A deadline that has passed counts as now, but time goes on.
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
        let Self { broker, clock, guests } = self;
        let mut moved = false;
        for guest in guests.iter_mut().filter(|guest| !guest.gone) {
            let output = guest.peer.output(clock.now);
            guest.reads = output.reads;
            guest.seen.sent += output.bytes.len();
            moved |= !output.bytes.is_empty();
            let mut rest = &output.bytes[..];
            while !rest.is_empty() {
                let spare = guest.rx.spare();
                let count = rest.len().min(spare.len());
                if count == 0 {
                    break;
                }
                spare[..count].copy_from_slice(&rest[..count]);
                guest.rx.commit(count);
                rest = &rest[count..];
                // What is wrong with the input is in what the broker sends next.
                _ = broker.handle_input(guest.id, *clock, &mut guest.rx);
            }
            // As over sockets, the broker is asked for more once what it said is written.
            if guest.tx.filled().is_empty() {
                moved |= broker.poll_transmit(guest.id, *clock, &mut guest.tx);
            }
            if guest.reads && !guest.tx.filled().is_empty() {
                guest.seen.read += guest.tx.filled().len();
                guest.peer.input(clock.now, guest.tx.filled());
                guest.tx.clear();
                moved = true;
            }
            if broker.is_closed(guest.id) && guest.tx.filled().is_empty() {
                guest.seen.closed = Some(clock.now);
                guest.gone = true;
            }
            if output.closes || guest.gone {
                guest.gone = true;
                broker.disconnect(guest.id, *clock);
                moved = true;
            }
        }
        while broker.poll_ready().is_some() {}
        moved
    }
}
