//! An HTTP proxy on the way to the namespace: the connection goes through a tunnel that `CONNECT` opens (RFC 9110
//! §9.3.6).

use crate::Options;
use crate::dial::{DialError, Dialer, Socket};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;

/// The port of a proxy whose address names none.
const PORT: u16 = 80;

/// An HTTP proxy, spoken to without TLS; what goes through it is encrypted as it is without one.
#[derive(Clone)]
pub struct Proxy {
    matcher: Arc<Matcher>,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl Proxy {
    /// The proxy at `url`, such as `http://user:password@proxy:3128`. User and password are optional and
    /// percent-encoded, and so is the port, 80 without it.
    ///
    /// # Errors
    /// What is no URL of an HTTP proxy.
    pub fn new(url: &str) -> Result<Self, ProxyError> {
        let matcher = Matcher::builder().all(url).build();
        let any = Uri::from_static("https://a/");
        let found = matcher.intercept(&any).ok_or(ProxyError::Url)?;
        address(found.uri())?;
        Ok(Self { matcher: Arc::new(matcher) })
    }

    /// The proxy that the environment names in `HTTPS_PROXY` or `ALL_PROXY`, for hosts that `NO_PROXY` does not list; the
    /// names may be lower case. A direct way where there is none.
    pub fn from_environment() -> Self {
        Self { matcher: Arc::new(Matcher::from_env()) }
    }

    /// Opens a tunnel; `None` for a host that is reached without the proxy.
    pub(crate) async fn open(&self, host: &str, port: u16) -> Result<Option<Box<dyn Socket>>, ProxyError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority: Authority = format!("{host}:{port}").parse().map_err(|_| ProxyError::Host)?;
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query("/").build();
        match self.matcher.intercept(&uri.map_err(|_| ProxyError::Host)?) {
            Some(proxy) => tunnel(&proxy, authority).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Where a proxy is reached, by its URL.
fn address(url: &Uri) -> Result<(&str, u16), ProxyError> {
    let authority = url.authority().filter(|_| url.scheme() == Some(&Scheme::HTTP)).ok_or(ProxyError::Url)?;
    let host = authority.host();
    // What stands behind the host and is no port is not one that was left out.
    let port = if authority.as_str() == host { Some(PORT) } else { authority.port_u16() };
    Ok((host.trim_matches(['[', ']']), port.ok_or(ProxyError::Url)?))
}

async fn tunnel(proxy: &Intercept, destination: Authority) -> Result<Box<dyn Socket>, ProxyError> {
    let stream = TcpStream::connect(address(proxy.uri())?).await.map_err(ProxyError::Connect)?;
    stream.set_nodelay(true).map_err(ProxyError::Connect)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(ProxyError::Http)?;
    // The task ends with the answer: what becomes a tunnel has no HTTP on it any more.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    if let Ok(host) = destination.as_str().parse() {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(authorization) = proxy.basic_auth() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    *request.uri_mut() = destination.into();
    let response = sender.send_request(request).await.map_err(ProxyError::Http)?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or_default();
        return Err(ProxyError::Refused { status: status.as_u16(), reason });
    }
    let tunnel = hyper::upgrade::on(response).await.map_err(ProxyError::Http)?;
    Ok(Box::new(TokioIo::new(tunnel)))
}

impl Options {
    /// Connects through an HTTP proxy: with [`with_websockets`](Self::with_websockets) where it lets port 443 out only.
    /// Hosts are resolved by the proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.dialer = self.dialer.with_proxy(proxy);
        self
    }
}

impl Dialer {
    /// Connects through an HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }
}

#[cfg(feature = "administration")]
impl crate::administration::Http {
    /// Connects through an HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.dialer = self.dialer.with_proxy(proxy);
        self
    }
}

/// Why there is no way through a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's address is no URL of an HTTP proxy.
    Url,
    /// The destination's name cannot be in a request.
    Host,
    /// The proxy's name could not be resolved, or nobody answers there.
    Connect(io::Error),
    /// The proxy opens no tunnel: 407 when it wants a user and a password.
    Refused {
        /// The status of the answer.
        status: u16,
        /// What HTTP calls it; empty where it has no name.
        reason: &'static str,
    },
    /// The answer was not HTTP's, or the connection was lost before there was one.
    Http(hyper::Error),
}

impl From<ProxyError> for DialError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("the proxy's address is no URL of an HTTP proxy"),
            Self::Host => f.write_str("the host's name cannot be asked for at a proxy"),
            Self::Connect(error) => write!(f, "connecting to the proxy: {error}"),
            Self::Refused { status, reason } => write!(f, "the proxy opens no way: HTTP {status} {reason}"),
            Self::Http(error) => write!(f, "the proxy: {error}"),
        }
    }
}

impl std::error::Error for ProxyError {}
