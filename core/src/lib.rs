//! Azure Service Bus as a pure state machine.
//!
//! Folders are layers and arrows point one way: `wire ← engine ← servicebus ← client ← driver`; `storage` and
//! `time` stand below all of them.
#![no_std]
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
pub mod random;
pub mod runtime;
pub mod servicebus;
pub mod storage;
pub mod time;
pub mod wire;
