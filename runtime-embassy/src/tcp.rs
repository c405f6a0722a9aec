//! embassy-net's TCP.

use crate::connect::Connect;
use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, Error, TcpSocket};
use embassy_net::{IpAddress, Stack, dns};
use embassy_time::Duration;
use embedded_io_async::{ErrorType, Read, Write};

/// Silence on the wire after which a connection counts as dead: longer than the keep-alives below.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a silent peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Connects over embassy-net.
pub struct Tcp<'d> {
    stack: Stack<'d>,
    socket: RefCell<TcpSocket<'d>>,
    address: Option<IpAddress>,
}

impl fmt::Debug for Tcp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<'d> Tcp<'d> {
    /// Connections of `stack`, one at a time, with these buffers. Names are resolved by DNS, addresses are taken as
    /// they are.
    ///
    /// The receive buffer is the window that TCP offers: two segments (2 920 bytes) or more keep a connection fluent.
    pub fn new(stack: Stack<'d>, receive: &'d mut [u8], transmit: &'d mut [u8]) -> Self {
        let mut socket = TcpSocket::new(stack, receive, transmit);
        socket.set_timeout(Some(TIMEOUT));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        // Whole frames are written at once: there is nothing to wait for.
        socket.set_nagle_enabled(false);
        Self { stack, socket: RefCell::new(socket), address: None }
    }

    /// Connects to this address, whatever the host's name is.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<IpAddress>) -> Self {
        self.address = Some(address.into());
        self
    }
}

impl<'d> Connect for Tcp<'d> {
    type Stream<'a>
        = TcpStream<'a, 'd>
    where
        Self: 'a;
    type StreamError = Error;
    type Error = TcpError;

    async fn connect<'a>(&'a mut self, host: &str, port: u16) -> Result<TcpStream<'a, 'd>, TcpError> {
        let socket = self.socket.get_mut();
        socket.abort();
        // Lets the reset of an earlier connection out; when it cannot leave, the time-out of the attempt ends it.
        let _ = socket.flush().await;
        let address = match self.address {
            Some(address) => address,
            None => {
                let found = self.stack.dns_query(host, DnsQueryType::A).await.map_err(TcpError::Dns)?;
                *found.first().ok_or(TcpError::NoAddress)?
            }
        };
        #[cfg(feature = "defmt")]
        defmt::debug!("TCP to {}:{=u16}", defmt::Display2Format(&address), port);
        socket.connect((address, port)).await.map_err(TcpError::Connect)?;
        Ok(TcpStream { socket: &self.socket })
    }
}

/// An open connection.
#[derive(Clone, Copy)]
pub struct TcpStream<'a, 'd> {
    socket: &'a RefCell<TcpSocket<'d>>,
}

impl ErrorType for TcpStream<'_, '_> {
    type Error = Error;
}

impl Read for TcpStream<'_, '_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        // The socket is borrowed for a poll at a time: reading and writing go on side by side.
        poll_fn(|cx| pin!(self.socket.borrow_mut().read(buffer)).poll(cx)).await
    }
}

impl Write for TcpStream<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| pin!(self.socket.borrow_mut().write(bytes)).poll(cx)).await
    }

    /// TCP sends what it has by itself; embassy-net's flush would wait until the peer has acknowledged it.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpError {
    /// The name could not be resolved.
    Dns(dns::Error),
    /// The name has no address.
    NoAddress,
    /// TCP did not connect.
    Connect(ConnectError),
}

impl fmt::Display for TcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns(_) => "the host's name could not be resolved",
            Self::NoAddress => "the host's name has no address",
            Self::Connect(ConnectError::ConnectionReset) => "the host refused the connection",
            Self::Connect(ConnectError::TimedOut) => "the host does not answer",
            Self::Connect(ConnectError::NoRoute) => "there is no route to the host",
            Self::Connect(ConnectError::InvalidState) => "the socket is in use",
        })
    }
}

impl core::error::Error for TcpError {}
