//! Two engines in memory, for the examples of the documentation.

use servicebus_core::engine::{Config, Connection, Event, Handler, LinkId, SessionId};
use servicebus_core::storage::{Buffer, Heap, Storage};
use servicebus_core::time::Instant;
use servicebus_core::wire::messaging::{Source, Target};
use servicebus_core::wire::performative::{Attach, Open, Role, TargetArchetype};

/// A client and a server with a link between them, whose events are taken.
#[derive(Debug)]
pub struct Linked {
    /// The client's end.
    pub client: Connection<Heap>,
    /// The server's end.
    pub server: Connection<Heap>,
    /// The session of the link, at the client.
    pub session: SessionId,
    /// The link at the client.
    pub link: LinkId,
    /// The link at the server.
    pub their_link: LinkId,
}

/// An attach to the queue `orders`.
fn attach(role: Role) -> Attach<'static> {
    Attach {
        source: Some(Source::new(Some("orders"))),
        target: Some(TargetArchetype::Target(Target::new(Some("orders")))),
        ..Attach::new("orders-1", role)
    }
}

/// Moves bytes between the ends of a connection until neither has any to send.
pub fn exchange(client: &mut Connection<Heap>, server: &mut Connection<Heap>) {
    exchange_with(client, server, &mut ());
}

/// As [`exchange`], with a handler for the client.
pub fn exchange_with(client: &mut Connection<Heap>, server: &mut Connection<Heap>, handler: &mut impl Handler) {
    while pump(client, server, &mut ()) | pump(server, client, handler) {}
}

/// Moves the bytes that one end has to send; false when there are none.
fn pump(from: &mut Connection<Heap>, to: &mut Connection<Heap>, handler: &mut impl Handler) -> bool {
    let (mut tx, mut rx) = (Heap::tx(65_536), Heap::rx(65_536));
    let mut moved = false;
    while from.poll_transmit(Instant::ZERO, &mut tx) {
        moved = true;
        while !tx.filled().is_empty() {
            let spare = rx.spare();
            let count = spare.len().min(tx.filled().len());
            spare[..count].copy_from_slice(&tx.filled()[..count]);
            rx.commit(count);
            tx.consume(count);
            // The connection keeps its failure.
            let _ = to.handle_input(Instant::ZERO, &mut rx, handler);
        }
    }
    moved
}

/// A client and a server whose connection is open.
///
/// # Panics
/// Never: both have room.
pub fn connected() -> (Connection<Heap>, Connection<Heap>) {
    let client = Connection::client(Config::default(), Instant::ZERO, None, &Open::new("client"));
    let (mut client, mut server) = (client.expect("room"), Connection::server(Config::default(), Instant::ZERO));
    exchange(&mut client, &mut server);
    server.open(&Open::new("server")).expect("room");
    exchange(&mut client, &mut server);
    for end in [&mut client, &mut server] {
        while end.poll_event().is_some() {}
    }
    (client, server)
}

/// A client and a server with a link on which the client has this role.
///
/// # Panics
/// Never: both have room.
pub fn linked(role: Role) -> Linked {
    let (mut client, mut server) = connected();
    let session = client.begin().expect("room");
    let link = client.attach(session, &attach(role)).expect("room");
    exchange(&mut client, &mut server);
    let mut their_link = None;
    while let Some(event) = server.poll_event() {
        if let Event::LinkAttached(link) = event {
            server.accept_link(link, &attach(role.other())).expect("room");
            their_link = Some(link);
        }
    }
    exchange(&mut client, &mut server);
    while client.poll_event().is_some() {}
    Linked { client, server, session, link, their_link: their_link.expect("the client has attached") }
}
