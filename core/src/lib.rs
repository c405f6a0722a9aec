//! Azure Service Bus as a pure state machine, and the client that is written over it once for every runtime.
//!
//! Most programs want an adapter: `servicebus-tokio`, `servicebus-async-std` (smol too) or `servicebus-embassy`. They
//! export the types of [`client`] for their runtime. This crate is for programs with a runtime or a transport of their
//! own (see [`runtime`]), for simulations, and for readers who want to know how it works.
//!
//! # Layers
//!
//! Folders are layers and arrows point one way: `wire ← engine ← servicebus ← machine ← client ← driver`; `storage` and
//! `time` stand below all of them.
//!
//! | layer | subject |
//! |---|---|
//! | [`wire`] | bytes and values: AMQP 1.0's types, frames, performatives, messages. No state, no allocation. |
//! | [`engine`] | one AMQP connection, client or server: sessions, links, credit, deliveries, settlement. |
//! | [`servicebus`] | what Azure adds: tokens, addresses, messages, locks, `$management`: vocabulary without state. |
//! | [`machine`] | the whole client without I/O: its connection, tokens, links, calls. |
//! | [`client`] | the public API: async, without a runtime. |
//! | [`driver`] | the only file that awaits I/O. |
//! | `transport` (feature `tls`) | the way to a namespace on runtimes of the standard library: TLS, WebSockets, proxy, HTTP. |
//!
//! Nothing below `client` waits, reads a clock or allocates in the fixed profile. Time, randomness and bytes come in as
//! arguments; the same inputs give the same bytes.
//!
//! # The run loop
//!
//! What [`driver::run`] does with a transport:
//!
//! ```text
//! machine.handle_connected(clock)
//! loop {
//!     read into rx, then   machine.handle_input(clock, &mut rx)
//!     while                machine.poll_transmit(clock, &mut tx)   { write tx }
//!     while let Some(op) = machine.poll_notice()                   { poll the call of this slot again }
//!     sleep until          machine.poll_timeout(), then            machine.handle_timeout(clock)
//! }
//! ```
//!
//! # Two memory profiles
//!
//! [`storage::Heap`] grows up to the limits it is given; what [`fixed_storage!`] makes needs no allocator, and has the
//! capabilities that it declares. Both are types, so one build can hold both.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `alloc` (default) | [`storage::Heap`], methods that return collections, the processors |
//! | `std` | implementations for types of the standard library; nothing here does I/O |
//! | `administration` | the management API: descriptions, requests, the administration client |
//! | `tls` | TLS by rustls with the dialer of the std adapters; `ring` for its cryptography unless the process has another provider, `platform-roots` and `bundled-roots` for the roots it trusts |
//! | `websockets`, `proxy`, `http` | AMQP over WebSockets, an HTTP proxy, the HTTP client of the administration client |
//! | `chrono`, `jiff`, `time`, `uuid` | conversions from and to the types of these crates |
//! | `stream` | the messages of a receiver as a stream of `futures-core` |
//! | `serde` | message bodies from and to types of `serde`, as JSON |
//! | `tracing` | events of connections, links, messages, settlement and retries; spans of connections, links, calls and handlers; frames as traces |
//! | `defmt` | the same events; `defmt::Format` for errors |
//!
//! Events of `tracing` have the target `servicebus`: a filter such as `servicebus=debug` shows them.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[macro_use]
mod log;

pub mod client;
pub mod driver;
pub mod engine;
#[cfg(feature = "defmt")]
mod format;
pub mod guide;
pub mod machine;
pub mod random;
pub mod runtime;
pub mod servicebus;
pub mod storage;
#[cfg(feature = "std")]
mod system_time;
pub mod time;
#[cfg(feature = "tls")]
pub mod transport;
pub mod wire;
