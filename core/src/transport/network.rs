//! What a runtime gives.

use crate::driver::Transport;
use core::future::Future;
use std::io;

/// Opens streams of bytes to hosts: a runtime's TCP, or what a program puts in its place.
pub trait Network {
    /// A stream to a host.
    type Stream: Transport<Error = io::Error>;

    /// Whether streams are the program's own, which may be encrypted already (`Tls::Stream`).
    fn is_own(&self) -> bool {
        false
    }

    /// Connects to a port of a host, a DNS name or an IP address without brackets. The future is dropped when it takes
    /// too long.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>>;
}
