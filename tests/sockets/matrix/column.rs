//! The columns of the matrix: every sick peer of this folder and of the library.

use crate::cell::Start;
use crate::peer::{Carrier, PEERS, Peer};
use servicebus_tests::calls::Needs;
use servicebus_tests::peers::{Fault, HALF_OPEN, HalfOpen, Layer, Node, SICK, Sick, Step};

/// A sick peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// A relay in front of an emulator.
    Relay(&'static Peer),
    /// A service that misbehaves in AMQP.
    Service(&'static Sick),
    /// A server that is silent within a layer, from the start.
    HalfOpen(&'static HalfOpen),
}

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relay(peer) => peer.name,
            Self::Service(sick) => sick.name,
            Self::HalfOpen(half) => half.name,
        }
    }

    pub(crate) fn carrier(self) -> Carrier {
        match self {
            Self::Relay(peer) => peer.carrier,
            Self::Service(_) => Carrier::Tcp,
            Self::HalfOpen(half) => match half.layer {
                Layer::Proxy => Carrier::Proxy,
                Layer::Tls => Carrier::Tls,
                Layer::WebSocket => Carrier::WebSocket,
            },
        }
    }

    /// Whether a call that needs this can start so.
    pub(crate) fn takes(self, needs: Needs, start: Start) -> bool {
        match (start, self) {
            (Start::Warm, Self::Relay(_) | Self::Service(_)) => true,
            // A service that is sick in the opening closes the connections that are open, and is met cold after all.
            (Start::Cold, Self::Service(_)) | (Start::Warm, Self::HalfOpen(_)) => false,
            (Start::Cold, Self::Relay(_) | Self::HalfOpen(_)) => needs.is_local(),
        }
    }

    /// Whether the default run makes this call.
    pub(crate) fn fits(self, label: &str, start: Start) -> bool {
        match self {
            Self::Relay(peer) => start == Start::Warm && peer.fitting.contains(&label),
            Self::Service(sick) => start == Start::Warm && label == reaching(sick),
            Self::HalfOpen(_) => start == Start::Cold && label == "Sender::send",
        }
    }
}

/// A call that gets as far as the step at which a service is sick.
fn reaching(sick: &Sick) -> &'static str {
    match sick.step {
        Step::Sends(Node::Management) => "Sender::schedule",
        _ if matches!(sick.fault, Fault::StopsReading { .. }) => "Sender::send #2",
        // Three links and a transaction come back before it.
        _ if matches!(sick.fault, Fault::CutAt(_)) => "Transaction::complete",
        // The session of the second row has a message in it.
        Step::Transfer(Node::Receiver) => "Receiver::receive #2",
        Step::Attach(Node::Receiver) | Step::Drained => "Receiver::receive",
        Step::Detach(Node::Receiver) => "Receiver::close",
        Step::Detach(_) => "Sender::close",
        Step::Settles => "Receiver::complete",
        Step::Close | Step::End => "Client::close",
        Step::Attach(node) | Step::Transfer(node) | Step::Credit(node) | Step::Accepts(node) | Step::Sends(node) => {
            match node {
                Node::Management => "Sender::schedule",
                Node::Coordinator => "TransactionController::begin",
                _ => "Sender::send",
            }
        }
        _ => "Sender::send",
    }
}

/// A sickness of the library that no client meets: it closes a connection without ending the session.
pub(crate) const NEVER_MET: &str = "silent from end";

/// All of them.
pub(crate) fn columns() -> impl Iterator<Item = Column> {
    let relays = PEERS.iter().map(Column::Relay);
    relays.chain(SICK.iter().map(Column::Service)).chain(HALF_OPEN.iter().map(Column::HalfOpen))
}
