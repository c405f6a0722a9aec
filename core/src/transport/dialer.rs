//! Opens connections: a stream of the network's, a tunnel, TLS, a WebSocket.

use super::either::Either;
use super::network::Network;
#[cfg(feature = "proxy")]
use super::proxy::{Proxy, ProxyError};
use super::roots::{Tls, TlsError};
use super::tls::TlsStream;
#[cfg(feature = "websockets")]
use super::websocket::{WebSocketError, WebSocketStream};
use crate::driver::Dial;
use crate::machine::Target;
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use rustls::pki_types::ServerName;
use std::io;

/// A stream of the network's, or TLS over it.
pub type Secured<T> = Either<T, TlsStream<T>>;

/// A stream that carries AMQP or HTTP.
#[cfg(feature = "websockets")]
pub type Opened<T> = Either<Secured<T>, WebSocketStream<Secured<T>>>;
/// A stream that carries AMQP or HTTP.
#[cfg(not(feature = "websockets"))]
pub type Opened<T> = Secured<T>;

/// Opens connections over a [`Network`].
#[derive(Clone, Debug)]
pub struct Dialer<N> {
    network: N,
    tls: Tls,
    endpoint: Option<(String, u16)>,
    #[cfg(feature = "websockets")]
    websockets: bool,
    #[cfg(feature = "proxy")]
    proxy: Option<Proxy>,
}

impl<N> Dialer<N> {
    /// A dialer that trusts what [`Tls::default`] trusts.
    pub fn new(network: N) -> Self {
        Self {
            network,
            tls: Tls::default(),
            endpoint: None,
            #[cfg(feature = "websockets")]
            websockets: false,
            #[cfg(feature = "proxy")]
            proxy: None,
        }
    }

    /// Opens streams over another network.
    #[must_use]
    pub fn with_network(mut self, network: N) -> Self {
        self.network = network;
        self
    }

    /// Sets which certificates are trusted.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Connects to this host and port instead of the target's; certificates are still checked for the target's name.
    #[must_use]
    pub fn with_endpoint(mut self, host: impl Into<String>, port: u16) -> Self {
        self.endpoint = Some((host.into(), port));
        self
    }

    /// Speaks AMQP over a WebSocket: to port 443, or to the target's port without TLS.
    #[cfg(feature = "websockets")]
    #[must_use]
    pub fn with_websockets(mut self) -> Self {
        self.websockets = true;
        self
    }

    /// Connects through an HTTP proxy.
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }
}

impl<N: Network> Dialer<N> {
    async fn connect(&self, host: &str, port: u16) -> Result<N::Stream, DialError> {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy
            && let Some(tunnel) = proxy.open(&self.network, host, port).await.map_err(DialError::Proxy)?
        {
            return Ok(tunnel);
        }
        self.network.connect(host, port).await.map_err(DialError::Connect)
    }

    /// Opens a stream to a target, with TLS if [`Target::tls`] is set.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self, target: Target<'_>) -> Result<Secured<N::Stream>, DialError> {
        let endpoint = self.endpoint.as_ref().map(|(host, port)| (host.as_str(), *port));
        let (host, port) = endpoint.unwrap_or((target.host, target.port));
        let encrypts = target.tls && !(matches!(self.tls, Tls::Stream) && self.network.is_own());
        if !encrypts {
            return self.connect(host, port).await.map(Either::Left);
        }
        let name = ServerName::try_from(target.host.to_owned()).map_err(|_| DialError::ServerName)?;
        let config = self.tls.config().map_err(DialError::Tls)?;
        let stream = self.connect(host, port).await?;
        TlsStream::open(stream, config, name).await.map(Either::Right).map_err(DialError::Handshake)
    }

    #[cfg(feature = "websockets")]
    async fn dial(&self, target: Target<'_>) -> Result<Opened<N::Stream>, DialError> {
        if !self.websockets {
            return self.open(target).await.map(Either::Left);
        }
        let port = if target.tls { super::websocket::PORT } else { target.port };
        let target = Target { port, ..target };
        let stream = self.open(target).await?;
        WebSocketStream::open(stream, target).await.map(Either::Right).map_err(DialError::WebSocket)
    }

    #[cfg(not(feature = "websockets"))]
    async fn dial(&self, target: Target<'_>) -> Result<Opened<N::Stream>, DialError> {
        self.open(target).await
    }
}

impl<N: Network> Dial for Dialer<N> {
    type Transport<'a>
        = Opened<N::Stream>
    where
        Self: 'a;
    type Error = DialError;

    async fn dial(&mut self, target: Target<'_>) -> Result<Opened<N::Stream>, DialError> {
        Dialer::dial(self, target).await
    }
}

/// Why a connection could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The name could not be resolved, or no address accepts the connection.
    Connect(io::Error),
    /// The trusted certificates cannot be used.
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

impl core::error::Error for DialError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            // The error of rustls is inside of an `io::Error`.
            Self::Handshake(error) => match error.get_ref() {
                Some(inner) => Some(inner),
                None => Some(error),
            },
            Self::Tls(error) => Some(error),
            Self::ServerName => None,
            #[cfg(feature = "websockets")]
            Self::WebSocket(error) => Some(error),
            #[cfg(feature = "proxy")]
            Self::Proxy(error) => Some(error),
        }
    }
}
