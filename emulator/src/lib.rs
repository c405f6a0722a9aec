//! An Azure Service Bus to run, test and simulate against.
//!
//! Three ways to have one:
//!
//! - [`broker`] is the whole of it without I/O: bytes and time in, bytes and deadlines out, randomness from a seed. Days
//!   pass in milliseconds.
//! - `Emulator` (feature `server`) serves a broker on sockets of this process, or on any stream, and stops when it is
//!   dropped; `Emulator::builder()` names the entities, `connection_string()` is for messages and administration.
//! - The binary `servicebus-emulator` (feature `binary`) serves the entities of a configuration file ([`config`]), which is that of
//!   Microsoft's emulator, or none, to be made over the management endpoint.
//!
//! Clients authenticate as with the service: shared access signatures are verified, rights are checked at attach. JSON
//! web tokens are taken by their form and end, since nobody can sign for an emulator.
//!
//! Connections, links, operations and refusals are events of `tracing`; no event has a body or a key.
//!
//! What a namespace has counted is told in process by [`broker::Broker::statistics`], and over AMQP by the operation
//! `com.servicebus-emulator:statistics` of any `$management` node, also of the namespace's own (address `$management`):
//! the response's body is a map of longs with the names of [`broker::Statistics::entries`].
//!
//! # Examples
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use servicebus_emulator::Emulator;
//!
//! let emulator = Emulator::builder().queue("orders").start().await?;
//! let client = servicebus_tokio::connect(emulator.connection_string())?;
//! client.sender("orders")?.send("two of the blue ones").await?;
//! assert_eq!(emulator.statistics().messages_sent, 1);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::let_underscore_must_use, clippy::unused_result_ok))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod blueprint;
pub mod broker;
pub mod config;
#[doc(hidden)]
pub mod duration;
#[cfg(feature = "server")]
mod emulator;
pub mod filter;
mod management;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub use emulator::{Emulator, EmulatorBuilder, StartError};

/// Keeps the examples of the README true.
#[doc(hidden)]
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
