//! The AMQP 1.0 state machine: one connection, client or server, without I/O, clock or Service Bus words.
//!
//! Four kinds of method by name: `handle_*` takes input, plain verbs are the application's requests, `poll_*` returns
//! work for the driver, the rest are getters. Every method may be called at any time and in any
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
//!
//! [`Connection`] is declared here. One file for each concern: `connection` (open, close, heartbeat) and `negotiation` before it, `session` (windows),
//! `link` (attach, detach) with `free_handle`, `credit` (and drain), `delivery` and `reassembly`, `settlement`,
//! `frames` that come in, the `outbox` of those that go out, and the fair `turn` among links.
//!
//! # Examples
//! A client sends a message to a server in the same process. The examples of the methods have such a `client` and
//! `server` with a `link` between them, which is `their_link` at the server, and move bytes by the same `exchange`.
//!
//! ```
//! use bytes::Bytes;
//! use servicebus_core::engine::{Config, Connection, ConnectionError, Event, SendOptions};
//! use servicebus_core::storage::{Buffer, Heap, Storage};
//! use servicebus_core::time::Instant;
//! use servicebus_core::wire::messaging::{DeliveryState, Target};
//! use servicebus_core::wire::performative::{Attach, Open, Role, TargetArchetype};
//!
//! /// Moves what one end has to send to the other; false when there is nothing.
//! fn transfer(from: &mut Connection<Heap>, to: &mut Connection<Heap>) -> Result<bool, ConnectionError> {
//!     let (mut tx, mut rx) = (Heap::tx(65_536), Heap::rx(65_536));
//!     let mut moved = false;
//!     while from.poll_transmit(Instant::ZERO, &mut tx) {
//!         while !tx.filled().is_empty() {
//!             let spare = rx.spare();
//!             let count = spare.len().min(tx.filled().len());
//!             spare[..count].copy_from_slice(&tx.filled()[..count]);
//!             rx.commit(count);
//!             tx.consume(count);
//!             to.handle_input(Instant::ZERO, &mut rx, &mut ())?;
//!         }
//!         moved = true;
//!     }
//!     Ok(moved)
//! }
//!
//! /// Moves bytes in both directions until neither end has any to send.
//! fn exchange(client: &mut Connection<Heap>, server: &mut Connection<Heap>) -> Result<(), ConnectionError> {
//!     while transfer(client, server)? | transfer(server, client)? {}
//!     Ok(())
//! }
//!
//! let mut client = Connection::client(Config::default(), Instant::ZERO, None, &Open::new("till-3"))?;
//! let mut server = Connection::server(Config::default(), Instant::ZERO);
//!
//! let session = client.begin()?;
//! let target = Some(TargetArchetype::Target(Target::new(Some("orders"))));
//! let attach = Attach { target, ..Attach::new("orders-1", Role::Sender) };
//! let link = client.attach(session, &attach)?;
//! client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
//!
//! let mut received = Vec::new();
//! loop {
//!     exchange(&mut client, &mut server)?;
//!     match server.poll_event() {
//!         Some(Event::Opened) => server.open(&Open::new("shop"))?,
//!         Some(Event::SessionBegun(session)) => server.accept_session(session)?,
//!         Some(Event::LinkAttached(link)) => {
//!             server.accept_link(link, &attach)?;
//!             server.grant(link, 10)?;
//!         }
//!         Some(Event::Readable(link)) => {
//!             while let Some(message) = server.receive(link) {
//!                 server.settle(message.delivery, &DeliveryState::ACCEPTED, true)?;
//!                 received.push(message.payload);
//!             }
//!         }
//!         Some(_) => {}
//!         None => break,
//!     }
//! }
//! assert_eq!(received, ["two blue"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod credit;
mod delivery;
mod entries;
pub mod error;
mod event;
mod frames;
mod free_handle;
mod handler;
mod id;
mod link;
mod negotiation;
mod numbers;
mod outbox;
mod phase;
mod queue;
mod reassembly;
mod session;
mod settlement;
#[cfg(all(test, feature = "alloc"))]
mod tests;
mod turn;
mod wrong;

pub use crate::wire::Tag;
pub use connection::{Config, TimerReason};
pub use delivery::{Incoming, SendOptions};
pub use error::{
    Capacity, ConnectionError, ConnectionErrorKind, EngineError, OutcomeKind, Spoken, Violation, condition,
};
pub use event::Event;
pub use handler::{Handler, StateUpdate, Subject};
pub use id::{DeliveryId, LinkId, SessionId};
pub use link::LinkStatus;

use crate::storage::{BufferOf, Chain, Storage, TableOf, room};
use crate::time::{Instant, Millis};
use delivery::Delivery;
use entries::Entries;
use event::Events;
use id::{DeliveryIndex, LinkIndex, SessionIndex};
use link::Link;
use numbers::Numbers;
use phase::{ConnectionRole, Ending, Phase};
use session::Session;
use settlement::Dispositions;

/// One AMQP 1.0 connection.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{Config, Connection};
/// use servicebus_core::storage::Heap;
/// use servicebus_core::time::Instant;
/// use servicebus_core::wire::performative::Open;
///
/// let mut client: Connection<Heap> =
///     Connection::client(Config::default(), Instant::ZERO, None, &Open::new("till-3"))?;
/// client.begin()?;
/// assert_eq!((client.is_open(), client.table_sizes()), (false, (1, 0, 0)));
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
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
    /// Room was made since this was asked: a place in a table, credit, or bytes of the outbox.
    freed: bool,
    failed: Option<ConnectionError>,
    /// Bytes of the outbox that may be sent; the rest waits for the SASL layer.
    released: usize,
    peer_max_frame_size: u32,
    peer_channel_max: u16,
    /// Sessions with a flow due.
    flows: Chain<u16>,
    /// Sessions whose end is due.
    ends: Chain<u16>,
    /// Links whose detach is due.
    detaches: Chain<u16>,
    /// Links with a flow or a transfer to send.
    work: Chain<u16>,
    /// Bytes of deliveries that have come in and are not taken, where their number alone is no bound.
    buffered: usize,
    /// Those of whole messages among them.
    buffered_whole: usize,
    /// Sessions whose window is below their share because of buffered messages.
    narrowed: Chain<u16>,
    /// Sessions of the peer's making that there have been.
    sessions_made: u32,
    /// Sessions that have no share of the bytes that may be buffered.
    sessions_apart: usize,
    /// Deliveries that receiving links have granted credit for and that have not come yet.
    outstanding: usize,
    /// Links among them.
    creditors: usize,
    /// Our close is due, behind what the outbox holds; nothing follows it.
    close_due: Option<Ending>,
    /// The encoded sasl-init at the front of a client's outbox.
    init_len: usize,
    mechanism: u64,
    last_sent: Instant,
    last_received: Instant,
    config: Config,
    /// After how long without a frame of ours a heartbeat is due: half of the silence that the peer accepts.
    heartbeat: Option<Millis>,
    /// Deliveries with a disposition to send.
    dispositions: Dispositions,
    events: Events,
    numbers: Numbers<S::Index>,
    sessions: Entries<TableOf<S, room::Sessions, Session>, Session, SessionIndex>,
    links: Entries<TableOf<S, room::Links, Link>, Link, LinkIndex>,
    outbox: BufferOf<S, room::Outbox>,
    deliveries: Entries<TableOf<S, room::Deliveries, Delivery<S>>, Delivery<S>, DeliveryIndex>,
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
