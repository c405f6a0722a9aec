//! Opening TCP and TLS connections, and WebSockets over them.

use crate::tls::{Tls, TlsError};
#[cfg(feature = "websockets")]
use crate::websocket::WebSocketError;
use async_io::Async;
use embedded_io_async::{ErrorType, Read, Write};
use futures_lite::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use servicebus_core::driver::Dial;
use servicebus_core::machine::Target;
use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};

/// Opens connections: TCP without delay, and TLS over it.
#[derive(Clone, Debug)]
pub struct Dialer {
    pub(crate) tls: Tls,
    pub(crate) endpoint: Option<(String, u16)>,
    #[cfg(feature = "websockets")]
    pub(crate) websockets: bool,
}

impl Dialer {
    /// A dialer that trusts what `tls` says, and leads to `endpoint` instead of the target where there is one.
    pub fn new(tls: Tls, endpoint: Option<(String, u16)>) -> Self {
        Self {
            tls,
            endpoint,
            #[cfg(feature = "websockets")]
            websockets: false,
        }
    }

    pub(crate) async fn open(&self, target: Target<'_>) -> Result<Transport, DialError> {
        let (host, port) = self.endpoint.clone().unwrap_or_else(|| (target.host.to_owned(), target.port));
        let stream = connect(host, port).await.map_err(DialError::Connect)?;
        if !target.tls {
            return Ok(Transport::Plain(stream));
        }
        let name = ServerName::try_from(target.host.to_owned()).map_err(|_| DialError::ServerName)?;
        let config = self.tls.config().map_err(DialError::Tls)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(DialError::Handshake)?;
        Ok(Transport::Over(Box::new(stream)))
    }
}

/// Why a connection could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The name could not be resolved, or nobody answers there.
    Connect(io::Error),
    /// The certificates that are to be trusted cannot be used.
    Tls(TlsError),
    /// The host's name cannot be in a certificate.
    ServerName,
    /// The handshake failed, usually because the certificate is not trusted.
    Handshake(io::Error),
    /// No WebSocket was opened.
    #[cfg(feature = "websockets")]
    WebSocket(WebSocketError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connecting: {error}"),
            Self::Tls(error) => error.fmt(f),
            Self::ServerName => f.write_str("the host's name cannot be in a certificate"),
            Self::Handshake(error) => write!(f, "TLS: {error}"),
            #[cfg(feature = "websockets")]
            Self::WebSocket(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Handshake(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::ServerName => None,
            #[cfg(feature = "websockets")]
            Self::WebSocket(error) => Some(error),
        }
    }
}

/// What carries bytes both ways.
pub trait Socket: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Socket for T {}

/// An open connection.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP, to an emulator.
    Plain(Async<TcpStream>),
    /// What TCP carries: TLS, or a WebSocket.
    Over(Box<dyn Socket>),
}

impl Transport {
    /// What carries the connection's bytes, of whatever kind it is.
    pub fn into_socket(self) -> Box<dyn Socket> {
        match self {
            Self::Plain(stream) => Box::new(stream),
            Self::Over(stream) => stream,
        }
    }
}

/// Connects to the first address of a host that answers.
async fn connect(host: String, port: u16) -> io::Result<Async<TcpStream>> {
    // Names are resolved by the operating system, which only knows how to block.
    let addresses = blocking::unblock(move || (host, port).to_socket_addrs()).await?;
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        result = Async::<TcpStream>::connect(address).await;
        if result.is_ok() {
            break;
        }
    }
    let stream = result?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

impl Dial for Dialer {
    type Transport<'a> = Transport;
    type Error = DialError;

    async fn dial(&mut self, target: Target<'_>) -> Result<Transport, DialError> {
        #[cfg(feature = "websockets")]
        if self.websockets {
            return self.open_websocket(target).await;
        }
        self.open(target).await
    }
}

/// One half of a connection.
#[derive(Debug)]
pub enum Half<'a, T> {
    /// Of plain TCP, which both halves can use at once.
    Plain(&'a Async<TcpStream>),
    /// Of what TCP carries.
    Over(T),
}

/// The half that reads.
type Reader<'a> = Half<'a, io::ReadHalf<&'a mut Box<dyn Socket>>>;
/// The half that writes.
type Writer<'a> = Half<'a, io::WriteHalf<&'a mut Box<dyn Socket>>>;

impl servicebus_core::driver::Transport for Transport {
    type Error = io::Error;
    type Reader<'a> = Reader<'a>;
    type Writer<'a> = Writer<'a>;

    fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Plain(stream) => (Half::Plain(stream), Half::Plain(stream)),
            Self::Over(stream) => {
                let (reader, writer) = io::split(stream);
                (Half::Over(reader), Half::Over(writer))
            }
        }
    }

    /// Ends WebSocket, TLS and TCP.
    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.close().await,
            Self::Over(stream) => stream.close().await,
        }
    }
}

impl<T> ErrorType for Half<'_, T> {
    type Error = io::Error;
}

impl<T: AsyncRead + Unpin> Read for Half<'_, T> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Over(half) => half.read(buffer).await,
        }
    }
}

impl<T: AsyncWrite + Unpin> Write for Half<'_, T> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes).await,
            Self::Over(half) => half.write(bytes).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush().await,
            Self::Over(half) => half.flush().await,
        }
    }
}
