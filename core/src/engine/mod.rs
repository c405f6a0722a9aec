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
//! One file for each concern: `connection` (open, close, heartbeat) and `negotiation` before it, `session` (windows),
//! `link` (attach, detach) with `free_handle`, `credit` (and drain), `delivery` and `reassembly`, `settlement`,
//! `frames` in and out, and the fair `turn` among links.
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
mod id;
mod link;
mod negotiation;
mod numbers;
mod queue;
mod reassembly;
mod session;
mod settlement;
#[cfg(all(test, feature = "alloc"))]
mod tests;
mod turn;

pub use crate::wire::Tag;
pub use connection::{Config, Connection, TimerReason};
pub use delivery::{Incoming, SendOptions};
pub use error::{
    Capacity, ConnectionError, ConnectionErrorKind, EngineError, OutcomeKind, Spoken, Violation, condition,
};
pub use event::{Event, Handler, StateUpdate, Subject};
pub use id::{DeliveryId, LinkId, SessionId};
pub use link::LinkStatus;
