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
