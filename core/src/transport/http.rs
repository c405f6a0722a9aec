//! HTTP/1.1 for the administration client. Connections are used again.

use super::dialer::{DialError, Dialer, Secured};
use super::head::{self, Head, HeadError};
use super::network::Network;
use super::roots::Tls;
use crate::client::administration::HttpClient;
use crate::driver::Transport;
use crate::machine::Target;
use crate::servicebus::administration::{Endpoint, Headers, MAX_RESPONSE_BODY, Method, Request, Response};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, ready};
use core::time::Duration;
use embedded_io_async::Read;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, Stream};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Connections that are kept for the next requests.
const MAX_IDLE: usize = 4;
/// How long an idle connection is kept. Routers and load balancers drop the state of idle connections without notice to
/// either end, Azure's after four minutes: a request on such a connection gets no answer.
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);

/// HTTP/1.1 over a [`Dialer`].
///
/// # Examples
///
/// The client of the management API over a network of one's own:
///
/// ```
/// # servicebus_simulation::example_network!(Tcp);
/// # servicebus_simulation::example_in_world(async |world| {
/// # let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
/// # world.set_server(servicebus_simulation::Server::Sends(answer.to_vec()));
/// # let tcp = Tcp::new(&world);
/// use servicebus_core::client::administration::HttpClient;
/// use servicebus_core::servicebus::ConnectionString;
/// use servicebus_core::servicebus::administration::{Endpoint, Headers, Method, Request};
/// use servicebus_core::transport::{Dialer, Http};
///
/// let http = Http::new(Dialer::new(tcp));
/// # let connection_string = servicebus_simulation::CONNECTION_STRING;
/// let parsed = ConnectionString::parse(connection_string)?;
/// let endpoint = Endpoint::from_connection_string(&parsed);
/// let (path_and_query, headers) = ("/orders".into(), Headers::new());
/// let request = Request { method: Method::Get, path_and_query, headers, body: vec![] };
/// assert_eq!(http.send(&endpoint, request).await?.status, 404);
/// # Ok(())
/// # });
/// ```
pub struct Http<N: Network> {
    dialer: Dialer<N>,
    /// The one that was used last is at the end.
    idle: Mutex<Vec<Idle<Secured<N::Stream>>>>,
    closed: AtomicBool,
}

/// A connection that is kept, and where it leads.
struct Idle<T> {
    host: String,
    port: u16,
    tls: bool,
    /// When its last request was answered.
    since: Instant,
    stream: T,
}

impl<T> Idle<T> {
    fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.port == endpoint.port() && self.tls == endpoint.uses_tls() && self.host == endpoint.host()
    }
}

impl<N: Network + fmt::Debug> fmt::Debug for Http<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

impl<N: Network + Default> Default for Http<N> {
    /// Trusts what [`Tls::default`] trusts.
    fn default() -> Self {
        Self::new(Dialer::new(N::default()))
    }
}

/// Why there was no response.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::{DialError, HttpError};
///
/// let error = HttpError::Dial(DialError::Connect(std::io::ErrorKind::ConnectionRefused.into()));
/// assert_eq!(error.to_string(), "connecting: connection refused");
/// assert!(matches!(error, HttpError::Dial(_)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// There is no connection.
    Dial(DialError),
    /// The request cannot be written as HTTP.
    Request,
    /// The connection broke, or the peer does not speak HTTP.
    Http(io::Error),
    /// The response has a body that is too large, or that broke off.
    Body(io::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Request => f.write_str("the request: a path or a field has a character that HTTP does not allow"),
            Self::Http(error) => write!(f, "HTTP: {error}"),
            Self::Body(error) => write!(f, "the response's body: {error}"),
        }
    }
}

impl core::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Dial(error) => Some(error),
            Self::Request => None,
            Self::Http(error) | Self::Body(error) => Some(error),
        }
    }
}

impl<N: Network> Http<N> {
    /// A client over these connections.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let tcp = Tcp::new(&world);
    /// # use servicebus_core::transport::{Dialer, Http};
    /// let http = Http::new(Dialer::new(tcp));
    /// # drop(http);
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(dialer: Dialer<N>) -> Self {
        Self { dialer, idle: Mutex::new(Vec::new()), closed: AtomicBool::new(false) }
    }

    /// Sets which certificates are trusted.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (tcp, company_ca) = (Tcp::new(&world), servicebus_simulation::EXAMPLE_AUTHORITY);
    /// # use servicebus_core::transport::{Dialer, Http, Tls};
    /// let http = Http::new(Dialer::new(tcp)).with_tls(Tls::authorities_from_pem(company_ca.as_bytes())?);
    /// # drop(http);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.dialer = self.dialer.with_tls(tls);
        self
    }

    /// Connects to this host and port instead of the namespace's; certificates and tokens still go by its own name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::client::administration::HttpClient;
    /// # use servicebus_core::servicebus::ConnectionString;
    /// # use servicebus_core::servicebus::administration::{Endpoint, Headers, Method, Request};
    /// # use servicebus_core::transport::{Dialer, Http};
    /// # let tcp = Tcp::new(&world);
    /// # let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    /// # world.set_server(servicebus_simulation::Server::Sends(answer.to_vec()));
    /// # let parsed = ConnectionString::parse(servicebus_simulation::CONNECTION_STRING)?;
    /// # let endpoint = Endpoint::from_connection_string(&parsed);
    /// # let (path_and_query, headers) = ("/orders".into(), Headers::new());
    /// # let request = Request { method: Method::Get, path_and_query, headers, body: vec![] };
    /// let http = Http::new(Dialer::new(tcp.clone())).with_endpoint("10.0.0.4", 8_080);
    /// http.send(&endpoint, request).await?;
    /// assert_eq!(tcp.asked(), ["10.0.0.4:8080"]);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_endpoint(mut self, host: impl Into<String>, port: u16) -> Self {
        self.dialer = self.dialer.with_endpoint(host, port);
        self
    }

    /// Connects through an HTTP proxy.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_network!(Tcp);
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let tcp = Tcp::new(&world);
    /// # use servicebus_core::transport::{Dialer, Http, Proxy};
    /// let http = Http::new(Dialer::new(tcp)).with_proxy(Proxy::new("http://proxy.contoso.com:3128")?);
    /// # drop(http);
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "proxy")]
    #[must_use]
    pub fn with_proxy(mut self, proxy: super::Proxy) -> Self {
        self.dialer = self.dialer.with_proxy(proxy);
        self
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle<Secured<N::Stream>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Secured<N::Stream>, HttpError> {
        let target = Target { host: endpoint.host(), port: endpoint.port(), tls: endpoint.uses_tls() };
        self.dialer.open(target).await.map_err(HttpError::Dial)
    }

    /// A connection to this endpoint that was kept and is still open.
    fn kept(&self, endpoint: &Endpoint) -> Option<Secured<N::Stream>> {
        loop {
            let mut kept = {
                let mut idle = self.idle();
                let place = idle.iter().rposition(|idle| idle.leads_to(endpoint))?;
                idle.remove(place)
            };
            if kept.since.elapsed() < MAX_IDLE_TIME && is_quiet(&mut kept.stream) {
                return Some(kept.stream);
            }
        }
    }

    /// Keeps a connection for the next requests. Returns the one that is not kept: that which has waited longest where
    /// there are enough, this one when the client was closed.
    fn keep(&self, endpoint: &Endpoint, stream: Secured<N::Stream>) -> Option<Secured<N::Stream>> {
        let (host, since) = (endpoint.host().into(), Instant::now());
        let new = Idle { host, port: endpoint.port(), tls: endpoint.uses_tls(), since, stream };
        let mut idle = self.idle();
        // Under the lock: `close` sets the flag before it takes the idle connections, so that none is added after that.
        if self.closed.load(Ordering::Acquire) {
            return Some(new.stream);
        }
        let oldest = if idle.len() < MAX_IDLE { None } else { Some(idle.remove(0).stream) };
        idle.push(new);
        oldest
    }
}

/// Whether a connection on which nothing is under way is open: one that has ended, or on which something comes, is not.
fn is_quiet<T: Transport>(stream: &mut T) -> bool {
    let (mut reader, _writer) = stream.split();
    let mut byte = [0];
    reader.read(&mut byte).now_or_never().is_none()
}

/// Whether a text can stand in a request's line or field.
fn is_clean(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control())
}

/// The bytes of a request.
fn encode(endpoint: &Endpoint, request: &Request) -> Result<Vec<u8>, HttpError> {
    let method = request.method.as_str();
    let is_field = |(name, value): (&str, &str)| is_clean(name) && !name.contains([' ', ':']) && is_clean(value);
    if !is_clean(&request.path_and_query)
        || request.path_and_query.contains(' ')
        || !request.headers.iter().all(is_field)
    {
        return Err(HttpError::Request);
    }
    let (path, host) = (&request.path_and_query, endpoint.authority());
    // Without the last field any coding would do (RFC 9110 §12.5.3), and none is read here.
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n");
    for (name, value) in request.headers.iter() {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    if request.method == Method::Put || !request.body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    Ok(bytes)
}

/// How a body ends (RFC 9112 §6.3).
enum Length {
    Known(usize),
    Chunked,
    /// With the connection.
    Unknown,
}

fn length(head: &Head) -> io::Result<Length> {
    if matches!(head.status, 204 | 304) {
        return Ok(Length::Known(0));
    }
    if let Some(coding) = head.field("transfer-encoding") {
        return if coding.trim().eq_ignore_ascii_case("chunked") {
            Ok(Length::Chunked)
        } else {
            Err(invalid("coding"))
        };
    }
    // Fields of one name count as one list; a length that is said twice is the same one (RFC 9110 §8.6).
    let lengths = head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut known = None;
    for text in lengths.flat_map(|(_, list)| list.split(',')) {
        let length = digits(text.trim_matches([' ', '\t'])).ok_or_else(|| invalid("length"))?;
        if known.replace(length).is_some_and(|former| former != length) {
            return Err(invalid("length"));
        }
    }
    Ok(known.map_or(Length::Unknown, Length::Known))
}

/// A number of digits alone: `parse` takes a sign as well.
fn digits(text: &str) -> Option<usize> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer's {what} is not valid"))
}

/// A body that is read: what has come of the connection, and what of it was used.
struct Body<'r, R> {
    reader: &'r mut R,
    bytes: Vec<u8>,
    used: usize,
}

impl<R: Read<Error = io::Error>> Body<'_, R> {
    /// Reads more; whether there was any.
    async fn more(&mut self) -> io::Result<bool> {
        if self.bytes.len() - self.used > MAX_RESPONSE_BODY {
            return Err(too_large());
        }
        let mut part = [0; 4096];
        let count = self.reader.read(&mut part).await?;
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(part.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// Takes this many bytes.
    async fn take(&mut self, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
        if count > MAX_RESPONSE_BODY.saturating_sub(body.len()) {
            return Err(too_large());
        }
        while self.bytes.len() - self.used < count {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        body.extend_from_slice(self.bytes.get(self.used..self.used + count).unwrap_or_default());
        self.used += count;
        Ok(())
    }

    /// The size of the next chunk.
    async fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            let bytes = self.bytes.get(self.used..).unwrap_or_default();
            // Without a digit it would be read as 0, and the body would end here.
            if bytes.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
                return Err(invalid("chunk"));
            }
            match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.used += length;
                    return usize::try_from(size).map_err(|_| too_large());
                }
                Ok(httparse::Status::Partial) if self.bytes.len() - self.used < 1024 => {}
                _ => return Err(invalid("chunk")),
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads past the end of a line and returns the line.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > 8 << 10 {
                return Err(invalid("trailer"));
            }
            self.take(1, &mut line).await?;
        }
        Ok(line)
    }

    async fn read(&mut self, length: Length) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        match length {
            Length::Known(length) => self.take(length, &mut body).await?,
            Length::Chunked => {
                loop {
                    let size = self.chunk_size().await?;
                    if size == 0 {
                        break;
                    }
                    self.take(size, &mut body).await?;
                    if self.line().await? != b"\r\n" {
                        return Err(invalid("chunk"));
                    }
                }
                // Fields behind the body are of no use here.
                while self.line().await? != b"\r\n" {}
            }
            Length::Unknown => {
                while self.more().await? {}
                body = core::mem::take(&mut self.bytes);
                if body.len() > MAX_RESPONSE_BODY {
                    return Err(too_large());
                }
            }
        }
        Ok(body)
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is larger than the service's answers are")
}

/// A response, and whether another request can follow on its connection.
async fn exchange<T: Transport<Error = io::Error>>(
    stream: &mut T,
    request: &[u8],
) -> Result<(Response, bool), HttpError> {
    let (mut reader, mut writer) = stream.split();
    head::write(&mut writer, request).await.map_err(HttpError::Http)?;
    let mut head = head::read(&mut reader).await.map_err(|error| HttpError::Http(HeadError::into_io(error)))?;
    let length = length(&head).map_err(HttpError::Http)?;
    let ends = matches!(length, Length::Unknown) || !head.keeps_open || head.has_token("connection", "close");
    let bytes = core::mem::take(&mut head.rest);
    let mut reading = Body { reader: &mut reader, bytes, used: 0 };
    let body = reading.read(length).await.map_err(HttpError::Body)?;
    let left = reading.bytes.len() > reading.used;
    let mut headers = Headers::new();
    for (name, value) in &head.fields {
        headers.push(name.as_str(), value.as_str());
    }
    Ok((Response { status: head.status, headers, body }, !ends && !left))
}

impl<N: Network> HttpClient for Http<N> {
    type Error = HttpError;

    async fn send(&self, endpoint: &Endpoint, request: Request) -> Result<Response, HttpError> {
        let bytes = encode(endpoint, &request)?;
        // May be sent twice, as it changes nothing (RFC 9110 §9.2.2).
        let is_safe = request.method == Method::Get;
        let (stream, response, open) = loop {
            let (kept, mut stream) = match self.kept(endpoint) {
                Some(stream) => (true, stream),
                None => (false, self.open(endpoint).await?),
            };
            match exchange(&mut stream, &bytes).await {
                Ok((response, open)) => break (stream, response, open),
                // The service closed a connection that was kept, in this moment.
                Err(HttpError::Http(_)) if kept && is_safe => {}
                Err(error) => return Err(error),
            }
        };
        let unused = if open { self.keep(endpoint, stream) } else { Some(stream) };
        if let Some(stream) = unused {
            // As far as that needs no waiting: a response that is there does not wait for TLS's alerts.
            let _ = stream.close().now_or_never();
        }
        Ok(response)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let kept = core::mem::take(&mut *self.idle());
        // Side by side: one that does not end keeps no other open.
        let mut closing: FuturesUnordered<_> = kept.into_iter().map(|kept| kept.stream.close()).collect();
        poll_fn(|cx| {
            while ready!(Pin::new(&mut closing).poll_next(cx)).is_some() {}
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Answering, Script, now, poll};
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::rc::Rc;
    use alloc::string::ToString;
    use alloc::vec;
    use core::cell::RefCell;
    use core::pin::pin;

    type Connected = Rc<RefCell<Vec<(String, u16)>>>;

    /// A client whose service has one answer for every request, and where it has connected to.
    fn client() -> (Http<Answering>, Connected) {
        let network = Answering::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let connected = Rc::clone(&network.connected);
        (Http::new(Dialer::new(network)), connected)
    }

    fn endpoint(host: &str, port: u16) -> Endpoint {
        let text = format!(
            "Endpoint=sb://{host}:{port};SharedAccessKeyName=n;SharedAccessKey=a2V5;UseDevelopmentEmulator=true"
        );
        Endpoint::from_connection_string(&crate::servicebus::ConnectionString::parse(&text).expect("it is valid"))
    }

    fn get(client: &Http<Answering>, endpoint: &Endpoint) -> Result<Response, HttpError> {
        let (method, path_and_query) = (Method::Get, "/queue".to_string());
        now(client.send(endpoint, Request { method, path_and_query, headers: Headers::new(), body: Vec::new() }))
    }

    #[test]
    fn a_connection_is_used_again_for_its_own_endpoint_only() {
        let (client, connected) = client();
        let mut expected = vec![];
        for (host, port) in [("a", 1), ("b", 1), ("b", 2)] {
            get(&client, &endpoint(host, port)).expect("a response");
            expected.push((host.to_string(), port));
            assert_eq!(*connected.borrow(), expected);
        }
        for (host, port) in [("a", 1), ("b", 2), ("b", 1), ("a", 1)] {
            get(&client, &endpoint(host, port)).expect("a response");
        }
        assert_eq!(*connected.borrow(), expected, "each was kept");
    }

    #[test]
    fn the_endpoints_used_last_keep_their_connections() {
        let (client, connected) = client();
        for port in 1..=6 {
            get(&client, &endpoint("a", port)).expect("a response");
        }
        assert_eq!(client.idle().len(), MAX_IDLE);
        get(&client, &endpoint("a", 6)).expect("a response");
        assert_eq!(connected.borrow().len(), 6);
    }

    #[test]
    fn a_connection_that_rests_for_long_is_not_used_again() {
        let (client, connected) = client();
        let endpoint = endpoint("a", 1);
        for (rest, expected) in [(0, 1), (MAX_IDLE_TIME.as_secs() - 5, 1), (MAX_IDLE_TIME.as_secs(), 2)] {
            let rest = Duration::from_secs(rest);
            for kept in client.idle().iter_mut() {
                kept.since = kept.since.checked_sub(rest).expect("the clock goes back that far");
            }
            get(&client, &endpoint).expect("a response");
            assert_eq!(connected.borrow().len(), expected, "{rest:?}");
        }
        assert_eq!(client.idle().len(), 1);
    }

    #[test]
    fn a_response_does_not_wait_for_the_end_of_its_connection() {
        let network = Answering::new("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n");
        let closes = network.closes.clone();
        let client = Http::new(Dialer::new(network));
        for (stalled, completed) in [(0, 1), (1, 1)] {
            closes.stalled.set(stalled);
            assert_eq!(get(&client, &endpoint("a", 1)).expect("a response").status, 200);
            assert_eq!((closes.stalled.get(), closes.completed.get()), (0, completed));
        }
        assert!(client.idle().is_empty());
    }

    #[test]
    fn a_connection_that_does_not_end_keeps_no_other_open() {
        let network = Answering::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let closes = network.closes.clone();
        let client = Http::new(Dialer::new(network));
        for port in 1..=3 {
            get(&client, &endpoint("a", port)).expect("a response");
        }
        closes.stalled.set(1);
        {
            let mut closing = pin!(client.close());
            assert!(poll(closing.as_mut()).is_pending());
            assert_eq!(closes.completed.get(), 2);
        }
        assert!(client.idle().is_empty());
        get(&client, &endpoint("a", 1)).expect("a response");
        assert_eq!(closes.completed.get(), 3, "nothing is kept any more");
    }

    #[test]
    fn a_request_says_that_no_coding_is_read() {
        let (method, path_and_query) = (Method::Get, "/queue".to_string());
        let request = Request { method, path_and_query, headers: Headers::new(), body: Vec::new() };
        let bytes = encode(&endpoint("a", 1), &request).expect("it is valid");
        assert_eq!(bytes, b"GET /queue HTTP/1.1\r\nHost: a:1\r\nAccept-Encoding: identity\r\n\r\n");
    }

    #[test]
    fn chunks_are_put_together_and_none_is_made_up() {
        let body = |chunks: &str| {
            let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n{chunks}");
            let mut script = Script::answering(&answer);
            now(exchange(&mut script, b"GET")).map(|(response, open)| (response.body, open))
        };
        for (chunks, open) in [
            ("2\r\nab\r\n1;x=\"y\"\r\nc\r\n0\r\n\r\n", true),
            ("0002 \r\nab\r\n1\r\nc\r\n000\r\nX: y\r\nz: y\r\n\r\n", true),
            ("3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200", false),
        ] {
            assert_eq!(body(chunks).expect("it is whole"), (b"abc".to_vec(), open), "{chunks:?}");
        }
        let many = "1\r\nx\r\n".repeat(10_000) + "0\r\n\r\n";
        assert_eq!(body(&many).expect("it is whole").0.len(), 10_000);
        let endless = "0\r\n".to_owned() + &"x".repeat(9_000);
        for refused in [
            "3\r\nabc\r\n\r\n\r\n",
            "\r\n\r\n",
            ";\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3\nabc\n0\n\n",
            "2\r\nabc\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nabc",
            "1ffffffffffffffff\r\nabc",
            "400001\r\nabc",
            &endless,
        ] {
            assert!(matches!(body(refused), Err(HttpError::Body(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_length_is_digits_and_the_same_everywhere() {
        let lengths = |values: &[&str]| {
            let fields = values.iter().map(|value| ("Content-Length".to_string(), value.to_string())).collect();
            match length(&Head { status: 200, fields, rest: vec![], keeps_open: true }) {
                Ok(Length::Known(length)) => Some(length),
                Ok(_) => panic!("there is a length"),
                Err(_) => None,
            }
        };
        for valid in [&["5"][..], &["5", "5"], &["5, 5"]] {
            assert_eq!(lengths(valid), Some(5), "{valid:?}");
        }
        let too_long = "9".repeat(40);
        for refused in [&["+5"][..], &["-5"], &["5 5"], &[""], &["5,"], &["0x5"], &[&too_long], &["5", "6"], &["5, 6"]]
        {
            assert_eq!(lengths(refused), None, "{refused:?}");
        }
    }
}
