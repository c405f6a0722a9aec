//! Opening TCP and TLS connections, and WebSockets over them.

use crate::tls::{Tls, TlsError};
#[cfg(feature = "websockets")]
use crate::websocket::{self, WebSocket};
use embedded_io_async::{ErrorType, Read, Write};
use rustls::pki_types::ServerName;
use servicebus_core::driver::Dial;
use servicebus_core::servicebus::namespace::Target;
use std::fmt;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Opens connections: TCP without delay, and TLS over it.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Tls,
    endpoint: Option<(String, u16)>,
    #[cfg(feature = "websockets")]
    websockets: bool,
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

    /// Whether connections are made over WebSockets.
    #[cfg(feature = "websockets")]
    #[must_use]
    pub fn with_websockets(mut self, websockets: bool) -> Self {
        self.websockets = websockets;
        self
    }

    async fn open(&self, target: Target<'_>) -> Result<Transport, DialError> {
        let address = match &self.endpoint {
            Some((host, port)) => (host.as_str(), *port),
            None => (target.host, target.port),
        };
        let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        if !target.tls {
            return Ok(Transport::Plain(stream));
        }
        let name = ServerName::try_from(target.host.to_owned()).map_err(|_| DialError::ServerName)?;
        let config = self.tls.config().map_err(DialError::Tls)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(DialError::Handshake)?;
        Ok(Transport::Tls(Box::new(stream)))
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
    /// Whoever answered HTTP did not open a WebSocket, such as a proxy on the way.
    #[cfg(feature = "websockets")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// What HTTP calls it; empty where it has no name.
        reason: &'static str,
    },
    /// What was answered was no WebSocket, or the connection was lost before it was one.
    #[cfg(feature = "websockets")]
    WebSocket(io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connecting: {error}"),
            Self::Tls(error) => error.fmt(f),
            Self::ServerName => f.write_str("the host's name cannot be in a certificate"),
            Self::Handshake(error) => write!(f, "TLS: {error}"),
            #[cfg(feature = "websockets")]
            Self::Refused { status, reason } => {
                write!(f, "no WebSocket was opened: the answer was HTTP {status} {reason}")
            }
            #[cfg(feature = "websockets")]
            Self::WebSocket(error) => write!(f, "WebSocket: {error}"),
        }
    }
}

impl std::error::Error for DialError {}

/// An open connection.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP, to an emulator.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// A WebSocket over either.
    #[cfg(feature = "websockets")]
    WebSocket(Box<WebSocket>),
}

/// What HTTP runs over.
#[cfg(any(feature = "administration", feature = "websockets"))]
pub(crate) trait Socket: tokio::io::AsyncRead + tokio::io::AsyncWrite + fmt::Debug + Send + Unpin {}

#[cfg(any(feature = "administration", feature = "websockets"))]
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + fmt::Debug + Send + Unpin> Socket for T {}

#[cfg(any(feature = "administration", feature = "websockets"))]
impl Transport {
    pub(crate) fn into_socket(self) -> Box<dyn Socket> {
        match self {
            Self::Plain(stream) => Box::new(stream),
            Self::Tls(stream) => stream,
            #[cfg(feature = "websockets")]
            Self::WebSocket(stream) => stream,
        }
    }
}

impl Dial for Dialer {
    type Transport<'a> = Transport;
    type Error = DialError;

    async fn dial(&mut self, target: Target<'_>) -> Result<Transport, DialError> {
        #[cfg(feature = "websockets")]
        if self.websockets {
            let target = websocket::target(target);
            let socket = self.open(target).await?.into_socket();
            return Ok(Transport::WebSocket(Box::new(WebSocket::open(socket, target).await?)));
        }
        self.open(target).await
    }
}

/// The half that reads.
#[derive(Debug)]
pub enum Reader<'a> {
    /// Of plain TCP.
    Plain(tcp::ReadHalf<'a>),
    /// Of TLS.
    Tls(tokio::io::ReadHalf<&'a mut TlsStream<TcpStream>>),
    /// Of a WebSocket.
    #[cfg(feature = "websockets")]
    WebSocket(tokio::io::ReadHalf<&'a mut WebSocket>),
}

/// The half that writes.
#[derive(Debug)]
pub enum Writer<'a> {
    /// Of plain TCP.
    Plain(tcp::WriteHalf<'a>),
    /// Of TLS.
    Tls(tokio::io::WriteHalf<&'a mut TlsStream<TcpStream>>),
    /// Of a WebSocket.
    #[cfg(feature = "websockets")]
    WebSocket(tokio::io::WriteHalf<&'a mut WebSocket>),
}

impl servicebus_core::driver::Transport for Transport {
    type Reader<'a> = Reader<'a>;
    type Writer<'a> = Writer<'a>;

    fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Plain(stream) => {
                let (reader, writer) = stream.split();
                (Reader::Plain(reader), Writer::Plain(writer))
            }
            Self::Tls(stream) => {
                let (reader, writer) = tokio::io::split(&mut **stream);
                (Reader::Tls(reader), Writer::Tls(writer))
            }
            #[cfg(feature = "websockets")]
            Self::WebSocket(stream) => {
                let (reader, writer) = tokio::io::split(&mut **stream);
                (Reader::WebSocket(reader), Writer::WebSocket(writer))
            }
        }
    }
}

impl ErrorType for Reader<'_> {
    type Error = io::Error;
}

impl Read for Reader<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.read(buffer).await,
            Self::Tls(half) => half.read(buffer).await,
            #[cfg(feature = "websockets")]
            Self::WebSocket(half) => half.read(buffer).await,
        }
    }
}

impl ErrorType for Writer<'_> {
    type Error = io::Error;
}

impl Write for Writer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.write(bytes).await,
            Self::Tls(half) => half.write(bytes).await,
            #[cfg(feature = "websockets")]
            Self::WebSocket(half) => half.write(bytes).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.flush().await,
            Self::Tls(half) => half.flush().await,
            #[cfg(feature = "websockets")]
            Self::WebSocket(half) => half.flush().await,
        }
    }
}
