//! An HTTP proxy on the way to the namespace: the connection goes through a tunnel that `CONNECT` opens (RFC 9110
//! §9.3.6).

use super::head;
use super::network::Network;
use crate::driver::Transport;
use ::http::Uri;
use ::http::uri::{Authority, Scheme};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::io;

/// The port of a proxy whose address names none.
const PORT: u16 = 80;

/// An HTTP proxy, spoken to without TLS; what goes through it is encrypted as it is without one.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::Proxy;
///
/// let proxy = Proxy::new("http://user:secret@proxy.contoso.com:3128")?;
/// assert!(!format!("{proxy:?}").contains("secret"));
/// # Ok::<(), servicebus_core::transport::ProxyError>(())
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::transport::{Proxy, ProxyError};
    /// assert!(Proxy::new("http://proxy.contoso.com").is_ok());
    /// assert!(matches!(Proxy::new("socks5://proxy.contoso.com"), Err(ProxyError::Url)));
    /// ```
    pub fn new(url: &str) -> Result<Self, ProxyError> {
        let matcher = Matcher::builder().all(url).build();
        let any = Uri::from_static("https://a/");
        let found = matcher.intercept(&any).ok_or(ProxyError::Url)?;
        address(found.uri())?;
        Ok(Self { matcher: Arc::new(matcher) })
    }

    /// The proxy that the environment names in `HTTPS_PROXY` or `ALL_PROXY`, for hosts that `NO_PROXY` does not list;
    /// the names may be lower case. A direct way where there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::transport::{Dialer, Proxy};
    /// # let tcp = Tcp::new(&world);
    /// let dialer = Dialer::new(tcp).with_proxy(Proxy::from_environment());
    /// # drop(dialer);
    /// # Ok(())
    /// # });
    /// ```
    pub fn from_environment() -> Self {
        Self { matcher: Arc::new(Matcher::from_env()) }
    }

    /// The proxy for a host, and the host's name as it is asked for; `None` for one that is reached without the proxy.
    fn intercept(&self, host: &str, port: u16) -> Result<Option<(Intercept, Authority)>, ProxyError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority: Authority = format!("{host}:{port}").parse().map_err(|_| ProxyError::Host)?;
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query("/").build();
        let proxy = self.matcher.intercept(&uri.map_err(|_| ProxyError::Host)?);
        Ok(proxy.map(|proxy| (proxy, authority)))
    }

    /// Whether a host is reached through the proxy.
    pub(super) fn is_on_the_way_to(&self, host: &str, port: u16) -> Result<bool, ProxyError> {
        Ok(self.intercept(host, port)?.is_some())
    }

    /// Opens a tunnel; `None` for a host that is reached without the proxy.
    pub(super) async fn open<N: Network>(
        &self,
        network: &N,
        host: &str,
        port: u16,
    ) -> Result<Option<N::Stream>, ProxyError> {
        match self.intercept(host, port)? {
            Some((proxy, authority)) => tunnel(network, &proxy, &authority).await.map(Some),
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

async fn tunnel<N: Network>(network: &N, proxy: &Intercept, destination: &Authority) -> Result<N::Stream, ProxyError> {
    let (host, port) = address(proxy.uri())?;
    let mut stream = network.connect(host, port).await.map_err(ProxyError::Connect)?;
    let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n").into_bytes();
    if let Some(authorization) = proxy.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let head = {
        let (mut reader, mut writer) = stream.split();
        head::write(&mut writer, &request).await.map_err(ProxyError::Http)?;
        head::read(&mut reader).await.map_err(|error| ProxyError::Http(error.into_io()))?
    };
    if !(200..300).contains(&head.status) {
        return Err(ProxyError::Refused { status: head.status, reason: head::reason(head.status) });
    }
    // Who is at the far end of the tunnel waits for our first bytes: TLS, AMQP and HTTP begin with the client's.
    if !head.rest.is_empty() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "bytes behind the answer");
        return Err(ProxyError::Http(error));
    }
    Ok(stream)
}

/// Why there is no way through a proxy.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::ProxyError;
///
/// let error = ProxyError::Refused { status: 407, reason: "Proxy Authentication Required" };
/// assert_eq!(error.to_string(), "the proxy opens no way: HTTP 407 Proxy Authentication Required");
/// if let ProxyError::Refused { status: 407, .. } = error {
///     println!("the proxy wants a user and a password");
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's address is no URL of an HTTP proxy.
    Url,
    /// The destination's name cannot be in a request.
    Host,
    /// The proxy's name could not be resolved, or no address accepts the connection.
    Connect(io::Error),
    /// The proxy opens no tunnel: 407 when it wants a user and a password.
    Refused {
        /// The status of the answer.
        status: u16,
        /// What HTTP calls it; empty where it has no name.
        reason: &'static str,
    },
    /// The answer was not HTTP's, or the connection was lost before there was one.
    Http(io::Error),
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

impl core::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Http(error) => Some(error),
            Self::Url | Self::Host | Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Answering, now};
    use super::*;

    fn status(answer: &'static str) -> Result<(), ProxyError> {
        let proxy = Proxy::new("http://proxy:3128").expect("an address");
        let network = Answering::new(answer);
        let tunnel = now(proxy.open(&network, "contoso.servicebus.windows.net", 5671))?;
        assert!(tunnel.is_some(), "the way goes through the proxy");
        Ok(())
    }

    #[test]
    fn every_successful_status_opens_the_tunnel() {
        for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 201 Created\r\n\r\n", "HTTP/1.1 299 Tunnel\r\n\r\n"] {
            assert!(status(answer).is_ok(), "{answer}");
        }
        let refused = status("HTTP/1.1 300 Multiple Choices\r\n\r\n");
        assert!(matches!(refused, Err(ProxyError::Refused { status: 300, .. })));
    }
}
