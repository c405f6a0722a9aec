//! What travels over HTTP.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a request does.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{Method, Request};
///
/// fn changes_something(request: &Request) -> bool {
///     request.method != Method::Get
/// }
/// # use servicebus_core::servicebus::administration::Headers;
/// # let path_and_query = "/orders".into();
/// # let request = Request { method: Method::Get, path_and_query, headers: Headers::new(), body: Vec::new() };
/// # assert!(!changes_something(&request));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or updates.
    Put,
    /// Deletes.
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Method;
    /// assert_eq!(Method::Put.as_str(), "PUT");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Header fields; names compare in any case.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::Headers;
///
/// let mut headers = Headers::new();
/// headers.push("Retry-After", "5");
/// assert_eq!(headers.get("retry-after"), Some("5"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Headers;
    /// assert_eq!(Headers::new().iter().count(), 0);
    /// ```
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a field.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Headers;
    /// let mut headers = Headers::new();
    /// headers.push("Via", "proxy-1");
    /// headers.push("Via", "proxy-2");
    /// assert_eq!(headers.iter().count(), 2);
    /// ```
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a field in place of those of its name.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self.push(name, value);
    }

    /// The first field of this name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Headers;
    /// let mut headers = Headers::new();
    /// headers.push("ETag", "\"7\"");
    /// assert_eq!(headers.get("etag"), Some("\"7\""));
    /// assert_eq!(headers.get("Location"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Headers;
    /// let mut headers = Headers::new();
    /// headers.push("ETag", "\"7\"");
    /// let text: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    /// assert_eq!(text, "ETag: \"7\"\r\n");
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Hides tokens.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |name: &str| name.to_ascii_lowercase().ends_with("authorization");
        f.debug_map().entries(self.iter().map(|(name, value)| (name, if secret(name) { ".." } else { value }))).finish()
    }
}

/// An HTTP request.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::Request;
///
/// /// The head of a request as HTTP/1.1 writes it.
/// fn head(request: &Request, host: &str) -> String {
///     let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method.as_str(), request.path_and_query);
///     for (name, value) in request.headers.iter() {
///         head += &format!("{name}: {value}\r\n");
///     }
///     head + &format!("Content-Length: {}\r\n\r\n", request.body.len())
/// }
/// # use servicebus_core::servicebus::administration::{Headers, Method};
/// # let path_and_query = "/orders".into();
/// # let request = Request { method: Method::Get, path_and_query, headers: Headers::new(), body: Vec::new() };
/// # assert!(head(&request, "localhost").starts_with("GET /orders HTTP/1.1\r\nHost: localhost\r\n"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// The path, percent-encoded, and the query.
    pub path_and_query: String,
    /// The header fields, without `Host` and `Content-Length`.
    pub headers: Headers,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// Without the body, which may hold keys.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path_and_query", &self.path_and_query)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// An HTTP response.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{Headers, Operation, Response, ServiceError};
///
/// let response = Response { status: 503, headers: Headers::new(), body: Vec::new() };
/// assert!(ServiceError::read(&response, Operation::Get).is_transient());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// Without the body, which may hold keys.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// The largest body of a response that is read, in bytes. A page of 100 entities takes about 300 KB at most.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::MAX_RESPONSE_BODY;
///
/// fn take(body: &mut Vec<u8>, chunk: &[u8]) -> Result<(), &'static str> {
///     if body.len() + chunk.len() > MAX_RESPONSE_BODY {
///         return Err("the response is too large");
///     }
///     body.extend_from_slice(chunk);
///     Ok(())
/// }
/// # take(&mut Vec::new(), b"<feed/>")?;
/// # Ok::<(), &str>(())
/// ```
pub const MAX_RESPONSE_BODY: usize = 4 << 20;
