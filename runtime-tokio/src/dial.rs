//! Opening TCP and TLS connections, and WebSockets over them.

#[cfg(feature = "proxy")]
use crate::proxy::{Proxy, ProxyError};
use crate::tls::{Tls, TlsError};
#[cfg(feature = "websockets")]
use crate::websocket::WebSocketError;
use embedded_io_async::{ErrorType, Read, Write};
use rustls::pki_types::ServerName;
use servicebus_core::driver::Dial;
use servicebus_core::machine::Target;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp;
use tokio_rustls::TlsConnector;

/// Opens connections: TCP without delay, and TLS over it.
#[derive(Clone, Debug)]
pub struct Dialer {
    pub(crate) tls: Tls,
    pub(crate) endpoint: Option<(String, u16)>,
    #[cfg(feature = "websockets")]
    pub(crate) websockets: bool,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<Proxy>,
}

impl Dialer {
    /// A dialer that trusts what `tls` says, and leads to `endpoint` instead of the target where there is one.
    pub fn new(tls: Tls, endpoint: Option<(String, u16)>) -> Self {
        Self {
            tls,
            endpoint,
            #[cfg(feature = "websockets")]
            websockets: false,
            #[cfg(feature = "proxy")]
            proxy: None,
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Transport, DialError> {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy
            && let Some(tunnel) = proxy.open(host, port).await?
        {
            return Ok(Transport::Over(tunnel));
        }
        let stream = TcpStream::connect((host, port)).await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        Ok(Transport::Plain(stream))
    }

    pub(crate) async fn open(&self, target: Target<'_>) -> Result<Transport, DialError> {
        let endpoint = self.endpoint.as_ref().map(|(host, port)| (host.as_str(), *port));
        let (host, port) = endpoint.unwrap_or((target.host, target.port));
        let transport = self.connect(host, port).await?;
        if !target.tls {
            return Ok(transport);
        }
        let stream = transport.into_socket();
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
    /// There is no way through the proxy.
    #[cfg(feature = "proxy")]
    Proxy(ProxyError),
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
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => error.fmt(f),
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
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => Some(error),
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
    Plain(TcpStream),
    /// What TCP carries: TLS, a WebSocket, or a proxy's tunnel.
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

/// A half of a connection: of plain TCP, or of what TCP carries.
#[derive(Debug)]
pub enum Half<P, O> {
    /// Of plain TCP.
    Plain(P),
    /// Of what TCP carries.
    Over(O),
}

type Reader<'a> = Half<tcp::ReadHalf<'a>, tokio::io::ReadHalf<&'a mut Box<dyn Socket>>>;
type Writer<'a> = Half<tcp::WriteHalf<'a>, tokio::io::WriteHalf<&'a mut Box<dyn Socket>>>;

impl servicebus_core::driver::Transport for Transport {
    type Error = io::Error;
    type Reader<'a> = Reader<'a>;
    type Writer<'a> = Writer<'a>;

    fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Plain(stream) => {
                let (reader, writer) = stream.split();
                (Half::Plain(reader), Half::Plain(writer))
            }
            Self::Over(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Half::Over(reader), Half::Over(writer))
            }
        }
    }

    /// Ends WebSocket, TLS and TCP.
    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Over(stream) => stream.shutdown().await,
        }
    }
}

impl<P, O> ErrorType for Half<P, O> {
    type Error = io::Error;
}

impl<P: AsyncRead + Unpin, O: AsyncRead + Unpin> Read for Half<P, O> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.read(buffer).await,
            Self::Over(half) => half.read(buffer).await,
        }
    }
}

impl<P: AsyncWrite + Unpin, O: AsyncWrite + Unpin> Write for Half<P, O> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.write(bytes).await,
            Self::Over(half) => half.write(bytes).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.flush().await,
            Self::Over(half) => half.flush().await,
        }
    }
}
