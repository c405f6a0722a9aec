//! What a runtime gives.

use crate::driver::Transport;
use core::future::Future;
use std::io;

/// Opens streams of bytes to hosts: a runtime's TCP, or what a program puts in its place.
///
/// # Examples
///
/// A network that knows the address of a host better than DNS does:
///
/// ```
/// use servicebus_core::transport::Network;
/// use std::io;
///
/// struct Pinned<N> {
///     network: N,
///     host: &'static str,
///     address: &'static str,
/// }
///
/// impl<N: Network> Network for Pinned<N> {
///     type Stream = N::Stream;
///
///     async fn connect(&self, host: &str, port: u16) -> io::Result<N::Stream> {
///         let host = if host == self.host { self.address } else { host };
///         self.network.connect(host, port).await
///     }
/// }
/// # servicebus_simulation::example_network!(Tcp);
/// # servicebus_simulation::example_in_world(async |world| {
/// # let tcp = Tcp::new(&world);
///
/// let network = Pinned { network: tcp.clone(), host: "contoso.servicebus.windows.net", address: "10.0.0.4" };
/// network.connect("contoso.servicebus.windows.net", 5671).await?;
/// assert_eq!(tcp.asked(), ["10.0.0.4:5671"]);
/// # Ok(())
/// # });
/// ```
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
