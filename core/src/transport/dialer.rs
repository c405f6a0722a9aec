//! Opens connections: a stream of the network's, a tunnel, TLS, a WebSocket.

use super::either::Either;
use super::network::Network;
#[cfg(feature = "proxy")]
use super::proxy::{Proxy, ProxyError};
use super::roots::{Tls, TlsError, Trust};
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
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example_network!(Tcp);
/// # servicebus_simulation::example_in_world(async |world| {
/// # let tcp = Tcp::new(&world);
/// use servicebus_core::machine::Target;
/// use servicebus_core::transport::{Dialer, Either, Network, Secured};
///
/// let emulator = Target { host: "localhost", port: 5672, tls: false };
/// let stream: Secured<<Tcp as Network>::Stream> = Dialer::new(tcp).open(emulator).await?;
/// assert!(matches!(stream, Either::Left(_)), "without TLS it is the network's own stream");
/// # Ok(())
/// # });
/// ```
pub type Secured<T> = Either<T, TlsStream<T>>;

/// A stream that carries AMQP or HTTP.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::{Either, Opened};
///
/// fn is_websocket<T>(stream: &Opened<T>) -> bool {
///     matches!(stream, Either::Right(_))
/// }
/// ```
#[cfg(feature = "websockets")]
pub type Opened<T> = Either<Secured<T>, WebSocketStream<Secured<T>>>;
/// A stream that carries AMQP or HTTP.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::{Either, Opened};
///
/// fn is_encrypted<T>(stream: &Opened<T>) -> bool {
///     matches!(stream, Either::Right(_))
/// }
/// ```
#[cfg(not(feature = "websockets"))]
pub type Opened<T> = Secured<T>;

/// Opens connections over a [`Network`].
///
/// # Examples
///
/// The connections of a client over a network of one's own:
///
/// ```
/// # servicebus_simulation::example_network!(Tcp);
/// # servicebus_simulation::example_in_world(async |world| {
/// use servicebus_core::client::Client;
/// use servicebus_core::driver::{self, NoCredential};
/// use servicebus_core::transport::Dialer;
/// # use servicebus_core::storage::Heap;
/// # use servicebus_simulation::Simulated;
/// # use std::cell::RefCell;
/// # use std::rc::Rc;
/// # let (tcp, runtime, settings) = (Tcp::new(&world), world.runtime::<Heap>(), world.settings());
/// # let spawn = |driver| world.spawn(driver);
/// # type Own = Simulated<Heap>;
///
/// // Of the runtime `Own`:
/// let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
/// let client = Client::<Own>::new(&shared, runtime.clone());
/// spawn(driver::run(shared, runtime, Dialer::new(tcp), NoCredential));
/// client.sender("orders")?.send("one").await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Dialer<N> {
    network: N,
    trust: Trust,
    endpoint: Option<(String, u16)>,
    #[cfg(feature = "websockets")]
    websockets: bool,
    #[cfg(feature = "proxy")]
    proxy: Option<Proxy>,
}

impl<N> Dialer<N> {
    /// A dialer that trusts what [`Tls::default`] trusts.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_core::transport::Dialer;
    /// # let tcp = Tcp::new(&world);
    /// let dialer = Dialer::new(tcp.clone());
    /// dialer.open(Target { host: "localhost", port: 5672, tls: false }).await?;
    /// assert_eq!(tcp.asked(), ["localhost:5672"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(network: N) -> Self {
        Self {
            network,
            trust: Trust::default(),
            endpoint: None,
            #[cfg(feature = "websockets")]
            websockets: false,
            #[cfg(feature = "proxy")]
            proxy: None,
        }
    }

    /// Opens streams over another network.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_core::transport::Dialer;
    /// # let (tcp, vpn) = (Tcp::new(&world), Tcp::new(&world));
    /// # let target = Target { host: "localhost", port: 5672, tls: false };
    /// let dialer = Dialer::new(tcp.clone()).with_network(vpn.clone());
    /// dialer.open(target).await?;
    /// assert_eq!((tcp.asked().len(), vpn.asked().len()), (0, 1));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_network(mut self, network: N) -> Self {
        self.network = network;
        self
    }

    /// Sets which certificates are trusted.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # let (tcp, company_ca) = (Tcp::new(&world), servicebus_simulation::EXAMPLE_AUTHORITY);
    /// use servicebus_core::transport::{DialError, Dialer, Tls};
    ///
    /// let dialer = Dialer::new(tcp).with_tls(Tls::authorities_from_pem(company_ca.as_bytes())?);
    /// let target = Target { host: "contoso.servicebus.windows.net", port: 5671, tls: true };
    /// # world.set_server(servicebus_simulation::Server::Closes);
    /// // Who is there does not speak TLS.
    /// assert!(matches!(dialer.open(target).await, Err(DialError::Handshake(_))));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.trust = tls.into();
        self
    }

    /// Connects to this host and port instead of the target's; certificates are still checked for the target's name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_core::transport::Dialer;
    /// # let tcp = Tcp::new(&world);
    /// let dialer = Dialer::new(tcp.clone()).with_endpoint("10.0.0.4", 5672);
    /// dialer.open(Target { host: "localhost", port: 5671, tls: false }).await?;
    /// assert_eq!(tcp.asked(), ["10.0.0.4:5672"]);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_endpoint(mut self, host: impl Into<String>, port: u16) -> Self {
        // An IPv6 address may stand in the brackets of a URL.
        self.endpoint = Some((host.into().trim_matches(['[', ']']).to_owned(), port));
        self
    }

    /// Speaks AMQP over a WebSocket: to port 443, or to the target's port without TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::driver::Dial;
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_core::transport::{DialError, Dialer};
    /// # let tcp = Tcp::new(&world);
    /// let mut dialer = Dialer::new(tcp).with_websockets();
    /// # world.set_server(servicebus_simulation::Server::Sends(b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()));
    /// // At this port is a server that knows no WebSocket.
    /// let dialled = dialer.dial(Target { host: "localhost", port: 5300, tls: false }).await;
    /// assert!(matches!(dialled, Err(DialError::WebSocket(_))));
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "websockets")]
    #[must_use]
    pub fn with_websockets(mut self) -> Self {
        self.websockets = true;
        self
    }

    /// Connects through an HTTP proxy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # let tcp = Tcp::new(&world);
    /// # world.set_server(servicebus_simulation::Server::Sends(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    /// use servicebus_core::transport::{Dialer, Proxy};
    ///
    /// let dialer = Dialer::new(tcp.clone()).with_proxy(Proxy::new("http://proxy.contoso.com:3128")?);
    /// dialer.open(Target { host: "localhost", port: 5672, tls: false }).await?;
    /// assert_eq!(tcp.asked(), ["proxy.contoso.com:3128"]);
    /// # Ok(())
    /// # });
    /// ```
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

    /// Whether a stream of the network's is encrypted already, up to this host.
    fn is_encrypted(&self, host: &str, port: u16) -> Result<bool, DialError> {
        if !matches!(self.trust.tls, Tls::Stream) || !self.network.is_own() {
            return Ok(false);
        }
        // The program's stream to a proxy ends there: in the tunnel, nothing would be encrypted.
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy {
            return Ok(!proxy.is_on_the_way_to(host, port).map_err(DialError::Proxy)?);
        }
        #[cfg(not(feature = "proxy"))]
        let _ = (host, port);
        Ok(true)
    }

    /// Opens a stream to a target, with TLS if [`Target::tls`] is set.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::machine::Target;
    /// # use servicebus_core::transport::Dialer;
    /// # let dialer = Dialer::new(Tcp::new(&world));
    /// use servicebus_core::driver::Transport;
    ///
    /// let stream = dialer.open(Target { host: "localhost", port: 5672, tls: false }).await?;
    /// stream.close().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn open(&self, target: Target<'_>) -> Result<Secured<N::Stream>, DialError> {
        let endpoint = self.endpoint.as_ref().map(|(host, port)| (host.as_str(), *port));
        let (host, port) = endpoint.unwrap_or((target.host, target.port));
        if !target.tls || self.is_encrypted(host, port)? {
            return self.connect(host, port).await.map(Either::Left);
        }
        let name = ServerName::try_from(target.host.to_owned()).map_err(|_| DialError::ServerName)?;
        let config = self.trust.config().map_err(DialError::Tls)?;
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

    fn is_permanent(error: &DialError) -> bool {
        match error {
            DialError::Tls(_) | DialError::ServerName => true,
            #[cfg(feature = "proxy")]
            DialError::Proxy(error) => matches!(error, ProxyError::Url | ProxyError::Host),
            _ => false,
        }
    }
}

/// Why a connection could not be opened.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::DialError;
///
/// fn advice(error: &DialError) -> &'static str {
///     match error {
///         DialError::Connect(_) => "is the network up, and port 5671 open?",
///         DialError::Handshake(_) | DialError::Tls(_) => "is the authority of the certificate trusted?",
///         _ => "",
///     }
/// }
/// let error = DialError::Connect(std::io::ErrorKind::ConnectionRefused.into());
/// assert_eq!(error.to_string(), "connecting: connection refused");
/// assert_eq!(advice(&error), "is the network up, and port 5671 open?");
/// ```
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
