//! The administration client: entities at run time.
//!
//! ```no_run
//! use servicebus_core::servicebus::administration::CreateQueueOptions;
//! use servicebus_tokio::administration;
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
use crate::{Error, Tokio};
use bytes::Bytes;
use core::fmt;
use core::hash::{BuildHasher, Hasher};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use servicebus_core::client::administration::{AdministrationOptions, HttpClient};
use servicebus_core::driver::Dial;
use servicebus_core::machine::Target;
use servicebus_core::servicebus::administration::{Endpoint, Headers, MAX_RESPONSE_BODY, Method, Request, Response};
use servicebus_core::servicebus::{Argument, ConnectionString};
use std::collections::hash_map::RandomState;
use std::sync::{Mutex, PoisonError};

/// Makes, reads, changes and deletes entities; see
/// [`servicebus_core::client::administration::AdministrationClient`].
pub type AdministrationClient = servicebus_core::client::administration::AdministrationClient<Http, Tokio>;
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
    Ok(AdministrationClient::from_connection_string(&text, options, http, Tokio))
}

type Sender = SendRequest<Full<Bytes>>;

/// Connections that are kept for the next requests.
const MAX_IDLE: usize = 4;

/// HTTP/1.1 over TCP and TLS. Connections are used again.
#[derive(Debug)]
pub struct Http {
    pub(crate) dialer: Dialer,
    idle: Mutex<Vec<Sender>>,
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

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Sender>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Sender, HttpError> {
        let target = Target { host: endpoint.host(), port: endpoint.port(), tls: endpoint.use_tls() };
        // Each connection's task ends with the connection.
        let socket = self.dialer.clone().dial(target).await.map_err(HttpError::Dial)?.into_socket();
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(HttpError::Http)?;
        tokio::spawn(connection);
        Ok(sender)
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
        let (mut sender, response) = loop {
            let kept = self.idle().pop();
            let fresh = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open(endpoint).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => break (sender, response),
                // The service closed a connection that was kept: before anything was sent, or in that moment.
                Err(mut error) => match error.take_message().or_else(|| safe.clone()) {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(HttpError::Http(error.into_error())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE_BODY).collect().await.map_err(HttpError::Body)?.to_bytes();
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            headers.push(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        if sender.ready().await.is_ok() {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push(sender);
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
