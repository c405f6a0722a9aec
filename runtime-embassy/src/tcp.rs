//! embassy-net's TCP.

use crate::connect::{Close, Connect};
use crate::format::texts;
use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, Error, TcpSocket};
use embassy_net::{IpAddress, Stack, dns};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};

/// How long bytes may stay without an acknowledgement before a connection counts as dead.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an address has to answer while there is another one to try.
const ANSWER: Duration = Duration::from_secs(5);

/// Connects over embassy-net.
///
/// A name is looked up as an IPv4 and then, where that leads nowhere, as an IPv6 address; all of its addresses are tried
/// in turn, up to eight of each kind, each for five seconds while there is another one of its kind.
///
/// # Examples
///
/// ```
/// # use embassy_net::Stack;
/// use servicebus_embassy::{Plain, Tcp};
///
/// fn dialer(stack: Stack<'static>, [receive, transmit]: [&'static mut [u8; 4096]; 2]) -> Plain<Tcp<'static>> {
///     Plain::new(Tcp::new(stack, receive, transmit))
/// }
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use embassy_net::Stack;
    /// # use servicebus_embassy::Tcp;
    /// fn tcp(stack: Stack<'static>, [receive, transmit]: [&'static mut [u8; 4096]; 2]) -> Tcp<'static> {
    ///     Tcp::new(stack, receive, transmit)
    /// }
    /// ```
    pub fn new(stack: Stack<'d>, receive: &'d mut [u8], transmit: &'d mut [u8]) -> Self {
        let mut socket = TcpSocket::new(stack, receive, transmit);
        socket.set_timeout(Some(TIMEOUT));
        // Whole frames are written at once: there is nothing to wait for.
        socket.set_nagle_enabled(false);
        Self { stack, socket: RefCell::new(socket), address: None }
    }

    /// Connects to this address, whatever the host's name is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use embassy_net::Stack;
    /// # use servicebus_embassy::Tcp;
    /// fn without_dns(tcp: Tcp<'static>) -> Tcp<'static> {
    ///     tcp.with_address(embassy_net::Ipv4Address::new(192, 0, 2, 7))
    /// }
    /// ```
    #[must_use]
    pub fn with_address(mut self, address: impl Into<IpAddress>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Asks a silent peer this often whether it is still there; `None`, which is the default, never does.
    ///
    /// AMQP's heartbeats show a peer that is gone, so that this is for networks that forget idle connections sooner than
    /// those come. Each keep-alive and its answer are about 100 bytes on the wire, and wake a radio that sleeps.
    ///
    /// # Examples
    ///
    /// ```
    /// # use embassy_net::Stack;
    /// # use embassy_time::Duration;
    /// # use servicebus_embassy::Tcp;
    /// fn behind_a_gateway(tcp: Tcp<'static>) -> Tcp<'static> {
    ///     tcp.with_keep_alive(Some(Duration::from_secs(25))) // it forgets connections after 30 seconds
    /// }
    /// ```
    #[must_use]
    pub fn with_keep_alive(mut self, every: Option<Duration>) -> Self {
        self.socket.get_mut().set_keep_alive(every);
        self
    }

    /// How long bytes or a keep-alive may stay unanswered before the connection counts as dead: 30 s by default.
    /// `None` leaves it to AMQP's time-outs alone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use embassy_net::Stack;
    /// # use embassy_time::Duration;
    /// # use servicebus_embassy::Tcp;
    /// fn over_a_satellite(tcp: Tcp<'static>) -> Tcp<'static> {
    ///     tcp.with_timeout(Some(Duration::from_secs(90)))
    /// }
    /// ```
    #[must_use]
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.socket.get_mut().set_timeout(timeout);
        self
    }

    /// Connects the socket, whatever it was before.
    async fn open(&mut self, address: IpAddress, port: u16, within: Option<Duration>) -> Result<(), TcpError> {
        let socket = self.socket.get_mut();
        socket.abort();
        // Lets the reset of an earlier connection out; when it cannot leave, the time-out of the attempt ends it.
        let _ = socket.flush().await;
        #[cfg(feature = "defmt")]
        match core::net::IpAddr::from(address) {
            core::net::IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                defmt::debug!("TCP to {=u8}.{=u8}.{=u8}.{=u8}:{=u16}", a, b, c, d, port);
            }
            core::net::IpAddr::V6(address) => {
                defmt::debug!("TCP to {=[u8; 16]:02x}, port {=u16}", address.octets(), port);
            }
        }
        let connected = match within {
            Some(within) => {
                with_timeout(within, socket.connect((address, port))).await.unwrap_or(Err(ConnectError::TimedOut))
            }
            None => socket.connect((address, port)).await,
        };
        connected.map_err(TcpError::Connect)
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
        if let Some(address) = self.address {
            self.open(address, port, None).await?;
            return Ok(TcpStream { socket: &self.socket });
        }
        let mut failure = TcpError::NoAddress;
        for kind in [DnsQueryType::A, DnsQueryType::Aaaa] {
            let found = match self.stack.dns_query(host, kind).await {
                Ok(found) => found,
                Err(error) => {
                    // Why the first kind did not lead to the host says more than that there is none of the second.
                    if failure == TcpError::NoAddress {
                        failure = TcpError::Dns(error);
                    }
                    continue;
                }
            };
            for (number, address) in found.iter().enumerate() {
                let within = (number + 1 < found.len()).then_some(ANSWER);
                match self.open(*address, port, within).await {
                    Ok(()) => return Ok(TcpStream { socket: &self.socket }),
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }
}

/// An open connection.
///
/// # Examples
///
/// ```
/// # use embassy_net::Stack;
/// use servicebus_embassy::{Connect, Tcp, TcpError, TcpStream};
///
/// async fn connect<'a>(tcp: &'a mut Tcp<'static>) -> Result<TcpStream<'a, 'static>, TcpError> {
///     tcp.connect("emulator.local", 5672).await
/// }
/// ```
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

impl Close for TcpStream<'_, '_> {
    /// Waits until the peer has acknowledged all that was written, and the end.
    async fn close(&mut self) -> Result<(), Error> {
        self.socket.borrow_mut().close();
        poll_fn(|cx| pin!(self.socket.borrow_mut().flush()).poll(cx)).await
    }
}

/// Why there is no connection.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::TcpError;
///
/// assert_eq!(TcpError::NoAddress.to_string(), "the host's name has no address");
/// ```
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

texts! {
    TcpError {
        Self::Dns(_) => "the host's name could not be resolved",
        Self::NoAddress => "the host's name has no address",
        Self::Connect(ConnectError::ConnectionReset) => "the host refused the connection",
        Self::Connect(ConnectError::TimedOut) => "the host does not answer",
        Self::Connect(ConnectError::NoRoute) => "there is no route to the host",
        Self::Connect(ConnectError::InvalidState) => "the socket is in use",
    }
}

impl core::error::Error for TcpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            // embassy-net's error of DNS is no `Error`.
            Self::Dns(_) | Self::NoAddress => None,
        }
    }
}
