//! Requests of the management API, and the endpoint that makes them.
// docs/evidence/wire-protocol.md §7.1

use super::description::{Description, EntityOptions, EntityState};
use super::etag::ETag;
use super::queue::{CreateQueueOptions, QueueProperties};
use super::resource::{InvalidName, Resource};
use super::rule::{RuleForm, RuleProperties};
use super::subscription::{CreateSubscriptionOptions, SubscriptionProperties};
use super::topic::{CreateTopicOptions, TopicProperties};
use super::xml::{ATOM, Writer};
use crate::servicebus::connection_string::parse_endpoint;
use crate::servicebus::{ConnectionString, sas};
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The version of the API, which decides the elements that the service returns.
///
/// # Examples
///
/// ```
/// use servicebus_core::client::administration::AdministrationOptions;
/// use servicebus_core::servicebus::administration::ApiVersion;
///
/// let options = AdministrationOptions::new().with_api_version(ApiVersion::V2021_05);
/// assert_eq!(options.api_version.to_string(), "2021-05");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// The oldest that clients still use.
    V2017_04,
    /// Adds the largest message of an entity.
    V2021_05,
    /// Adds a topic's counts of filters.
    #[default]
    V2024_05,
}

impl ApiVersion {
    /// The version as it is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::ApiVersion;
    /// assert_eq!(ApiVersion::default().as_str(), "2024-05");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2017_04 => "2017-04",
            Self::V2021_05 => "2021-05",
            Self::V2024_05 => "2024-05",
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request does.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{Method, Request};
///
/// fn changes_something(request: &Request) -> bool {
///     match request.method {
///         Method::Get => false,
///         Method::Put | Method::Delete => true,
///     }
/// }
/// # use servicebus_core::servicebus::administration::Headers;
/// # let path_and_query = "/orders".into();
/// # let request = Request { method: Method::Get, path_and_query, headers: Headers::new(), body: Vec::new() };
/// # assert!(!changes_something(&request));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// The management port of an emulator.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::ConnectionString;
/// use servicebus_core::servicebus::administration::{EMULATOR_PORT, Endpoint};
///
/// let text = "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";
/// assert_eq!(Endpoint::from_connection_string(&ConnectionString::parse(text)?).port(), EMULATOR_PORT);
/// # Ok::<(), servicebus_core::servicebus::ConnectionStringError<'_>>(())
/// ```
pub const EMULATOR_PORT: u16 = 5_300;

/// Where a namespace is managed.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::Endpoint;
///
/// let contoso = Endpoint::new("contoso.servicebus.windows.net");
/// assert_eq!((contoso.port(), contoso.uses_tls()), (443, true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: Option<u16>,
    tls: bool,
}

/// A port, unless it is the usual one of HTTPS or of AMQP.
fn unusual(port: Option<u16>) -> Option<u16> {
    port.filter(|port| !matches!(port, 443 | 5_671))
}

impl Endpoint {
    /// A namespace of the cloud, by its host name. Of an address, such as the one that the portal shows, the host counts,
    /// and a port that is not that of AMQP.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// let contoso = Endpoint::new("contoso.servicebus.windows.net");
    /// assert_eq!(contoso.audience(), "https://contoso.servicebus.windows.net");
    /// assert_eq!(contoso, Endpoint::new("https://contoso.servicebus.windows.net:443/"));
    /// ```
    pub fn new(host: impl Into<String>) -> Self {
        let host = host.into();
        match parse_endpoint(&host) {
            Some((host, port)) => Self { host: host.into(), port: unusual(port), tls: true },
            None => Self { host, port: None, tls: true },
        }
    }

    /// The endpoint of a connection string. With `UseDevelopmentEmulator=true` it is plain HTTP on the port that the
    /// string's endpoint names (`Endpoint=sb://localhost:5300;…`), or on [`EMULATOR_PORT`]; otherwise HTTPS on the
    /// usual port, unless the string names another one that is not that of AMQP.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::ConnectionString;
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// let text = "Endpoint=sb://[::1]:8300;SharedAccessKeyName=Root;SharedAccessKey=k;UseDevelopmentEmulator=true";
    /// let emulator = Endpoint::from_connection_string(&ConnectionString::parse(text)?);
    /// assert_eq!((emulator.port(), emulator.uses_tls()), (8_300, false));
    /// # Ok::<(), servicebus_core::servicebus::ConnectionStringError<'_>>(())
    /// ```
    pub fn from_connection_string(text: &ConnectionString<'_>) -> Self {
        let port = match (text.use_development_emulator, text.port) {
            (true, port) => Some(port.unwrap_or(EMULATOR_PORT)),
            (false, port) => unusual(port),
        };
        Self { host: text.host.into(), port, tls: !text.use_development_emulator }
    }

    /// With another port, for an emulator whose ports are not the usual ones.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").with_port(8_443).authority(), "contoso.example:8443");
    /// ```
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The host's name or address.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").host(), "contoso.example");
    /// ```
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").port(), 443);
    /// ```
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether to encrypt the connection: always, except for an emulator.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert!(Endpoint::new("contoso.example").uses_tls());
    /// ```
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// The host as URIs write it, with the port when it is not the usual one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("::1").with_port(5_300).authority(), "[::1]:5300");
    /// ```
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { alloc::format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => alloc::format!("{host}:{port}"),
            None => host,
        }
    }

    /// What tokens are for: the whole namespace. The scheme is `https` even where the connection is plain, as the
    /// official SDKs have it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Endpoint;
    /// assert_eq!(Endpoint::new("contoso.example").audience(), "https://contoso.example");
    /// ```
    pub fn audience(&self) -> String {
        alloc::format!("https://{}", self.authority())
    }

    /// The full address of an entity that messages are forwarded to; an address stays as it is.
    fn forwarding_address(&self, target: &str) -> String {
        if target.contains("://") {
            return target.into();
        }
        alloc::format!("sb://{}/{}", self.host, target.trim_start_matches('/'))
    }
}

/// A request that cannot be sent as it is.
///
/// # Examples
///
/// ```
/// # use servicebus_core::client::administration::AdministrationError;
/// # use servicebus_core::servicebus::administration::{InvalidRequest, QueueDescription};
/// # servicebus_simulation::administration_example(async |admin| {
/// match admin.create(&QueueDescription::new("what?")).await {
///     Err(AdministrationError::Request(InvalidRequest::Name(why))) => println!("not a name: {why}"),
///     other => println!("{:?}", other?),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A name is not valid.
    Name(InvalidName),
    /// A text has characters that XML cannot carry.
    Text,
    /// Settings that were not read with their version cannot be changed by it.
    NoETag,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Text => f.write_str("a text has control characters that cannot be sent"),
            Self::NoETag => f.write_str("the settings have no ETag: they were not read by a get"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for InvalidRequest {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Name(error) => error.source(),
            Self::Text | Self::NoETag => None,
        }
    }
}

impl From<InvalidName> for InvalidRequest {
    fn from(error: InvalidName) -> Self {
        Self::Name(error)
    }
}

/// A request without its tokens: they are added for each attempt, since they end.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     ApiVersion, Endpoint, RequestBuilder, Resource, shared_access_token,
/// };
/// use servicebus_core::time::Timestamp;
///
/// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
/// let now = Timestamp::from_secs(1_800_000_000);
/// let unsigned = requests.get(&Resource::Queues)?;
/// let signed = unsigned.sign(|audience| shared_access_token(audience, "Root", "c2VjcmV0", now));
/// assert!(signed.headers.get("Authorization").is_some());
/// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedRequest {
    request: Request,
    audience: String,
    forward_to: Option<String>,
    forward_dead_lettered_messages_to: Option<String>,
}

/// The header with the token for the target of forwarded messages.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     ApiVersion, CreateQueueOptions, Endpoint, RequestBuilder, SUPPLEMENTARY_AUTHORIZATION,
/// };
///
/// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
/// let unsigned = requests.create_queue("orders", CreateQueueOptions::new().with_forward_to("audit"))?;
/// let signed = unsigned.sign(|audience| format!("a token for {audience}"));
/// let token = "a token for sb://contoso.servicebus.windows.net/audit";
/// assert_eq!(signed.headers.get(SUPPLEMENTARY_AUTHORIZATION), Some(token));
/// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
/// ```
pub const SUPPLEMENTARY_AUTHORIZATION: &str = "ServiceBusSupplementaryAuthorization";
/// The header with the token for the target of forwarded dead-lettered messages.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     ApiVersion, CreateQueueOptions, DLQ_SUPPLEMENTARY_AUTHORIZATION, Endpoint, RequestBuilder,
/// };
///
/// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
/// let options = CreateQueueOptions::new().with_forward_dead_lettered_messages_to("letters");
/// let signed = requests.create_queue("orders", options)?.sign(|audience| format!("a token for {audience}"));
/// let token = "a token for sb://contoso.servicebus.windows.net/letters";
/// assert_eq!(signed.headers.get(DLQ_SUPPLEMENTARY_AUTHORIZATION), Some(token));
/// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
/// ```
pub const DLQ_SUPPLEMENTARY_AUTHORIZATION: &str = "ServiceBusDlqSupplementaryAuthorization";

impl UnsignedRequest {
    /// The request with a token from `token` for each audience: the namespace, and the addresses of entities that
    /// messages are to be forwarded to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let signed = requests.get(&Resource::Queues)?.sign(|_| "Bearer eyJ0eXAiOi".into());
    /// assert_eq!(signed.headers.get("Authorization"), Some("Bearer eyJ0eXAiOi"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn sign(&self, mut token: impl FnMut(&str) -> String) -> Request {
        let mut request = self.request.clone();
        request.headers.push("Authorization", token(&self.audience));
        if let Some(address) = &self.forward_to {
            request.headers.push(SUPPLEMENTARY_AUTHORIZATION, token(address));
        }
        if let Some(address) = &self.forward_dead_lettered_messages_to {
            request.headers.push(DLQ_SUPPLEMENTARY_AUTHORIZATION, token(address));
        }
        request
    }

    /// The update for entities of this version only; any other one is refused as
    /// [`ServiceErrorKind::PreconditionFailed`](super::ServiceErrorKind::PreconditionFailed).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateQueueOptions, ETag, Endpoint, QueueProperties, RequestBuilder,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let orders = QueueProperties::new("orders", CreateQueueOptions::new());
    /// let update = requests.update_queue(&orders)?.if_match(&ETag::new("\"7\""));
    /// assert_eq!(update.request().headers.get("If-Match"), Some("\"7\""));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    #[must_use]
    pub fn if_match(mut self, etag: &ETag) -> Self {
        self.request.headers.set("If-Match", etag.as_str());
        self
    }

    /// Whether it asks for one version. When its answer is lost, a second attempt finds the version that the first has
    /// made.
    #[cfg(feature = "alloc")]
    pub(crate) fn asks_for_version(&self) -> bool {
        self.request.headers.get("If-Match").is_some_and(|version| version != "*")
    }

    /// The request as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let unsigned = requests.get(&Resource::Entity("orders".into()))?;
    /// assert_eq!(unsigned.request().path_and_query, "/orders?enrich=false&api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// How long a token lasts that is made for one attempt.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// The token that the key grants for an audience, for an hour from `now`.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{administration::shared_access_token, sas};
/// # use servicebus_core::time::{Duration, Timestamp};
/// let now = Timestamp::from_secs(1_800_000_000);
/// let token = shared_access_token("https://contoso.servicebus.windows.net", "Root", "c2VjcmV0", now);
/// assert_eq!(sas::expiry(&token), now + Duration::from_secs(3_600));
/// ```
pub fn shared_access_token(audience: &str, key_name: &str, key: &str, now: Timestamp) -> String {
    let mut token = String::new();
    // Neither a key of any length nor a growing string can fail.
    let _ = sas::sign(audience, key_name, key, now + TOKEN_LIFETIME, &mut token);
    token
}

/// Builds the requests for one namespace.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
///
/// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
/// let deletion = requests.delete(&Resource::Entity("orders".into()))?;
/// assert_eq!(deletion.request().method.as_str(), "DELETE");
/// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    endpoint: Endpoint,
    api_version: ApiVersion,
}

impl RequestBuilder {
    /// A builder for this namespace.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// assert_eq!(requests.endpoint().port(), 443);
    /// ```
    pub fn new(endpoint: Endpoint, api_version: ApiVersion) -> Self {
        Self { endpoint, api_version }
    }

    /// Where the requests go.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// assert_eq!(requests.endpoint().host(), "contoso.servicebus.windows.net");
    /// ```
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn request(&self, method: Method, path_and_query: String) -> UnsignedRequest {
        let mut headers = Headers::new();
        headers.push("Accept", "application/atom+xml, application/xml");
        UnsignedRequest {
            request: Request { method, path_and_query, headers, body: Vec::new() },
            audience: self.endpoint.audience(),
            forward_to: None,
            forward_dead_lettered_messages_to: None,
        }
    }

    /// Reads an entity or the namespace.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let audit = Resource::Subscription { topic: "events".into(), name: "audit".into() };
    /// let path = requests.get(&audit)?.request().path_and_query.clone();
    /// assert_eq!(path, "/events/subscriptions/audit?enrich=false&api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn get(&self, resource: &Resource) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let enrich = if *resource == Resource::Namespace { "" } else { "enrich=false&" };
        let path_and_query = alloc::format!("{resource}?{enrich}api-version={}", self.api_version);
        Ok(self.request(Method::Get, path_and_query))
    }

    /// Reads one page of a collection: at most `top` entries after the first `skip`.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let second_page = requests.list(&Resource::Queues, 100, 100)?;
    /// assert!(second_page.request().path_and_query.starts_with("/$Resources/queues?$skip=100&$top=100"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn list(&self, resource: &Resource, skip: u32, top: u32) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let mut path_and_query = alloc::format!("{resource}?$skip={skip}&$top={top}");
        let _ = write!(path_and_query, "&api-version={}", self.api_version);
        Ok(self.request(Method::Get, path_and_query))
    }

    /// Reads the page that the page before it named. Of the address only path and query are used, so that no answer
    /// can send a token elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let next = requests.follow("https://elsewhere.example/$Resources/queues?$skip=100");
    /// assert_eq!(next.request().path_and_query, "/$Resources/queues?$skip=100");
    /// ```
    pub fn follow(&self, next: &str) -> UnsignedRequest {
        let path = match next.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => next,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let clean = path.split('#').next().unwrap_or_default();
        let clean: String = clean.chars().filter(|c| c.is_ascii_graphic()).collect();
        self.request(Method::Get, alloc::format!("{slash}{clean}"))
    }

    /// Deletes an entity and all that is in it.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, Endpoint, RequestBuilder, Resource};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let deletion = requests.delete(&Resource::Entity("orders".into()))?;
    /// assert_eq!(deletion.request().path_and_query, "/orders?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn delete(&self, resource: &Resource) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        Ok(self.request(Method::Delete, alloc::format!("{resource}?api-version={}", self.api_version)))
    }

    fn put(
        &self,
        resource: &Resource,
        update: bool,
        content: impl FnOnce(&mut Writer),
    ) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let mut writer = Writer::new();
        writer.start("entry", &[("xmlns", ATOM)]);
        writer.start("content", &[("type", "application/xml")]);
        content(&mut writer);
        writer.end("content");
        writer.end("entry");
        let (body, true) = writer.finish() else { return Err(InvalidRequest::Text) };
        let mut unsigned = self.request(Method::Put, alloc::format!("{resource}?api-version={}", self.api_version));
        unsigned.request.body = body.into_bytes();
        unsigned.request.headers.push("Content-Type", "application/atom+xml;type=entry;charset=utf-8");
        if update {
            unsigned.request.headers.push("If-Match", "*");
        }
        Ok(unsigned)
    }

    fn put_entity<O: EntityOptions>(
        &self,
        resource: &Resource,
        update: bool,
        options: O,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let description = Description::new(options, EntityState::default());
        self.put(resource, update, |writer| description.write(O::REQUEST_ORDER, writer))
    }

    fn put_forwarding<O: EntityOptions>(
        &self,
        resource: &Resource,
        update: bool,
        mut options: O,
        forwarding: impl FnOnce(&mut O) -> (&mut Option<String>, &mut Option<String>),
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let (forward_to, forward_dead) = forwarding(&mut options);
        for target in [&mut *forward_to, &mut *forward_dead] {
            *target = target
                .take()
                .filter(|target| !target.is_empty())
                .map(|target| self.endpoint.forwarding_address(&target));
        }
        let (forward_to, forward_dead) = (forward_to.clone(), forward_dead.clone());
        let mut unsigned = self.put_entity(resource, update, options)?;
        unsigned.forward_to = forward_to;
        unsigned.forward_dead_lettered_messages_to = forward_dead;
        Ok(unsigned)
    }

    /// Creates a queue.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, CreateQueueOptions, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_queue("orders", CreateQueueOptions::new().with_max_delivery_count(3))?;
    /// let body = String::from_utf8_lossy(&creation.request().body);
    /// assert!(body.contains("<MaxDeliveryCount>3</MaxDeliveryCount>"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_queue(&self, name: &str, options: CreateQueueOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_forwarding(&Resource::Entity(name.into()), false, options, |options| {
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    /// Changes a queue's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateQueueOptions, Endpoint, QueueProperties, RequestBuilder,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let orders = QueueProperties::new("orders", CreateQueueOptions::new().with_max_delivery_count(3));
    /// assert_eq!(requests.update_queue(&orders)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_queue(&self, queue: &QueueProperties) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_forwarding(
            &Resource::Entity(queue.name.clone()),
            true,
            queue.into(),
            |options: &mut CreateQueueOptions| {
                (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
            },
        )
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ApiVersion, CreateTopicOptions, Endpoint, RequestBuilder};
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_topic("events", CreateTopicOptions::new())?;
    /// assert_eq!(creation.request().path_and_query, "/events?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_topic(&self, name: &str, options: CreateTopicOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(name.into()), false, options)
    }

    /// Changes a topic's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateTopicOptions, Endpoint, RequestBuilder, TopicProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let events = TopicProperties::new("events", CreateTopicOptions::new());
    /// assert_eq!(requests.update_topic(&events)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_topic(&self, topic: &TopicProperties) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(topic.name.clone()), true, CreateTopicOptions::from(topic))
    }

    /// Creates a subscription.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateSubscriptionOptions, Endpoint, RequestBuilder,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let creation = requests.create_subscription("events", "audit", CreateSubscriptionOptions::new())?;
    /// assert_eq!(creation.request().path_and_query, "/events/subscriptions/audit?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_subscription(
        &self,
        topic: &str,
        name: &str,
        options: CreateSubscriptionOptions,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource = Resource::Subscription { topic: topic.into(), name: name.into() };
        self.put_forwarding(&resource, false, options, |options| {
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    /// Changes a subscription's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateSubscriptionOptions, Endpoint, RequestBuilder, SubscriptionProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let audit = SubscriptionProperties::new("events", "audit", CreateSubscriptionOptions::new());
    /// assert_eq!(requests.update_subscription(&audit)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_subscription(
        &self,
        subscription: &SubscriptionProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource =
            Resource::Subscription { topic: subscription.topic_name.clone(), name: subscription.name.clone() };
        self.put_forwarding(&resource, true, subscription.into(), |options: &mut CreateSubscriptionOptions| {
            // Only clients of another kind set it.
            options.is_client_affine = options.is_client_affine.filter(|affine| *affine);
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    fn put_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
        update: bool,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        let resource =
            Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: rule.name.clone() };
        // The service sets the time of creation.
        let rule = RuleProperties { created_at: None, ..rule.clone() };
        self.put(&resource, update, |writer| rule.write_description(RuleForm::Sent, writer))
    }

    /// Creates a rule.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateRuleOptions, Endpoint, RequestBuilder, RuleFilter, RuleProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let options = CreateRuleOptions::new().with_filter(RuleFilter::sql("total >= 1000"));
    /// let creation = requests.create_rule("events", "audit", &RuleProperties::new("big", options))?;
    /// assert_eq!(creation.request().path_and_query, "/events/subscriptions/audit/rules/big?api-version=2024-05");
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn create_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_rule(topic, subscription, rule, false)
    }

    /// Replaces a rule.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{
    /// #     ApiVersion, CreateRuleOptions, Endpoint, RequestBuilder, RuleProperties,
    /// # };
    /// # let requests = RequestBuilder::new(Endpoint::new("contoso.servicebus.windows.net"), ApiVersion::default());
    /// let all = RuleProperties::new("$Default", CreateRuleOptions::new());
    /// assert_eq!(requests.update_rule("events", "audit", &all)?.request().headers.get("If-Match"), Some("*"));
    /// # Ok::<(), servicebus_core::servicebus::administration::InvalidRequest>(())
    /// ```
    pub fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_rule(topic, subscription, rule, true)
    }
}
