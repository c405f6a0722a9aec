//! Sick peers for both roles, without I/O: the same peer runs in virtual time and over sockets.
//!
//! ```text
//! let service = Service::new(VIRTUAL, 1);                  // an emulator behind a filter of frames
//! world.set_server(Server::Scripted(service.factory()));   // in virtual time
//! peers::serve(listener, service).await                    // or over sockets
//! service.fall_sick(peers::sick("silent from open"));
//! …
//! service.heal();
//! ```
//!
//! A new sickness is a line in [`SICK`]; a new kind of misbehaviour is a variant of [`Fault`] and an arm in
//! `connection.rs`. [`ScriptedClient`] is the other role: a client against the emulator.

mod broker_with_peers;
mod client;
mod connection;
mod edit;
mod links;
#[cfg(feature = "sockets")]
mod serve;
mod service;
mod sick;
mod transports;

pub use broker_with_peers::{BrokerWithPeers, Seen};
pub use client::{Act, CLIENTS, HostileClient, ScriptedClient, actions};
pub use edit::{Verdict, cut, edit};
pub use links::{Links, Node, Step};
#[cfg(feature = "sockets")]
pub use serve::{connect, serve, serve_script};
pub use service::{Pace, Service, VIRTUAL};
pub use servicebus_simulation::{Answer, Factory, Output, Peer};
pub use sick::{Fault, Flood, SICK, Sick, sick};
pub use transports::{HALF_OPEN, HalfOpen, Layer};
