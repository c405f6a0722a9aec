//! An Azure Service Bus to run, test and simulate against.
//!
//! [`broker`] is the whole of it without I/O: bytes and time in, bytes and deadlines out, randomness from a seed.
//! `Emulator` (feature `server`) serves a broker on sockets of this process.
#![forbid(unsafe_code)]

pub mod blueprint;
pub mod broker;
pub mod config;
pub mod duration;
#[cfg(feature = "server")]
mod emulator;
pub mod filter;
mod management;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub use emulator::{Emulator, EmulatorBuilder, StartError};
