//! The administration client: entities at run time.
//!
//! ```no_run
//! use servicebus_core::servicebus::administration::CreateQueueOptions;
//! use servicebus_async_std::administration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = administration::connect("Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…")?;
//! if !client.queue_exists("orders").await? {
//!     client.create_queue("orders", CreateQueueOptions::new().max_delivery_count(5)).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Of an emulator (`UseDevelopmentEmulator=true`), the connection string names the management port, 5300 unless it says
//! otherwise: `Endpoint=sb://localhost:5300;…`. The connection is plain HTTP there and HTTPS everywhere else.

use crate::dial::{DialError, Dialer};
use crate::tls::Tls;
use crate::{AsyncIo, Error};
use bytes::Bytes;
use core::fmt;
use core::future::poll_fn;
use core::hash::{BuildHasher, Hasher};
use core::pin::{Pin, pin};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use servicebus_core::client::administration::{AdministrationOptions, HttpClient};
use servicebus_core::driver::Dial;
use servicebus_core::machine::Target;
use servicebus_core::servicebus::administration::{Endpoint, Headers, MAX_RESPONSE_BODY, Method, Request, Response};
use servicebus_core::servicebus::{Argument, ConnectionString};
use smol_hyper::rt::FuturesIo;
use std::collections::hash_map::RandomState;
use std::sync::{Mutex, PoisonError};

/// Makes, reads, changes and deletes entities; see
/// [`servicebus_core::client::administration::AdministrationClient`].
pub type AdministrationClient = servicebus_core::client::administration::AdministrationClient<Http, AsyncIo>;
/// Why an operation failed; see [`servicebus_core::client::administration::AdministrationError`].
pub type AdministrationError = servicebus_core::client::administration::AdministrationError<HttpError>;

/// A client for the namespace of a connection string, with the defaults.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
pub fn connect(connection_string: &str) -> Result<AdministrationClient, Error> {
    // A hasher's keys are random for every one that is made.
    let seed = RandomState::new().build_hasher().finish();
    connect_with(connection_string, AdministrationOptions::default().seed(seed), Http::default())
}

/// A client for the namespace of a connection string.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
pub fn connect_with(
    connection_string: &str,
    options: AdministrationOptions,
    http: Http,
) -> Result<AdministrationClient, Error> {
    let text = ConnectionString::parse(connection_string)
        .map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
    Ok(AdministrationClient::from_connection_string(&text, options, http, AsyncIo))
}

/// What keeps a connection going; nothing once it is over.
type Connection = Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>;

/// A connection. It is polled while a request is under way, so that no executor is needed.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection,
}

/// Does `work` while the connection is kept going.
async fn drive<T>(connection: &mut Connection, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        // What the connection has to say is told by the request, once the connection is dropped.
        if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

/// Connections that are kept for the next requests.
const MAX_IDLE: usize = 4;

/// HTTP/1.1 over TCP and TLS. Connections are used again.
pub struct Http {
    dialer: Dialer,
    idle: Mutex<Vec<Kept>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

impl Default for Http {
    /// Trusts what [`Tls::default`] trusts.
    fn default() -> Self {
        Self::new(Tls::default(), None)
    }
}

/// Why there was no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// There is no connection.
    Dial(DialError),
    /// The request cannot be written as HTTP.
    Request(hyper::http::Error),
    /// The connection broke, or the peer does not speak HTTP.
    Http(hyper::Error),
    /// The response has a body that is too large, or that broke off.
    Body(Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Request(error) => write!(f, "the request: {error}"),
            Self::Http(error) => write!(f, "HTTP: {error}"),
            Self::Body(error) => write!(f, "the response's body: {error}"),
        }
    }
}

impl core::error::Error for HttpError {}

impl Http {
    /// A client that trusts what `tls` says, and connects to `endpoint` instead of the namespace where there is one.
    pub fn new(tls: Tls, endpoint: Option<(String, u16)>) -> Self {
        Self { dialer: Dialer::new(tls, endpoint), idle: Mutex::new(Vec::new()) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Kept, HttpError> {
        let target = Target { host: endpoint.host(), port: endpoint.port(), tls: endpoint.use_tls() };
        let socket = self.dialer.clone().dial(target).await.map_err(HttpError::Dial)?.into_socket();
        let (sender, connection) = handshake(FuturesIo::new(socket)).await.map_err(HttpError::Http)?;
        Ok(Kept { sender, connection: Some(Box::pin(connection)) })
    }
}

impl HttpClient for Http {
    type Error = HttpError;

    async fn send(&self, endpoint: &Endpoint, request: Request) -> Result<Response, HttpError> {
        let mut builder = hyper::Request::builder()
            .method(match request.method {
                Method::Get => hyper::Method::GET,
                Method::Put => hyper::Method::PUT,
                Method::Delete => hyper::Method::DELETE,
            })
            .uri(request.path_and_query)
            .header(hyper::header::HOST, endpoint.authority());
        for (name, value) in request.headers.iter() {
            builder = builder.header(name, value);
        }
        let mut request = builder.body(Full::new(Bytes::from(request.body))).map_err(HttpError::Request)?;
        // May be sent twice, as it changes nothing (RFC 9110 §9.2.2).
        let safe = (request.method() == hyper::Method::GET).then(|| request.clone());
        let (mut kept, response) = loop {
            let again = self.idle().pop();
            let fresh = again.is_none();
            let mut kept = match again {
                Some(kept) => kept,
                None => self.open(endpoint).await?,
            };
            let Kept { sender, connection } = &mut kept;
            match drive(connection, sender.try_send_request(request)).await {
                Ok(response) => break (kept, response),
                // The service closed a connection that was kept: before anything was sent, or in that moment.
                Err(mut error) => match error.take_message().or_else(|| safe.clone()) {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(HttpError::Http(error.into_error())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let Kept { sender, connection } = &mut kept;
        let body = drive(connection, Limited::new(body, MAX_RESPONSE_BODY).collect()).await;
        let body = body.map_err(HttpError::Body)?.to_bytes();
        let ready = drive(connection, sender.ready()).await.is_ok() && kept.connection.is_some();
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        if ready {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push(kept);
            }
        }
        Ok(Response { status: head.status.as_u16(), headers, body: body.into() })
    }
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<AdministrationClient>();
    crosses_threads::<AdministrationError>();
};
