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
use crate::servicebus::{ConnectionString, sas};
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The version of the API, which decides the elements that the service returns.
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Header fields; names compare in any case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a field.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a field in place of those of its name.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self.push(name, value);
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields.
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
pub const MAX_RESPONSE_BODY: usize = 4 << 20;

/// The management port of an emulator.
pub const EMULATOR_PORT: u16 = 5_300;

/// Where a namespace is managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: Option<u16>,
    tls: bool,
}

impl Endpoint {
    /// A namespace of the cloud, by its host name.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), port: None, tls: true }
    }

    /// The endpoint of a connection string. With `UseDevelopmentEmulator=true` it is plain HTTP on the port that the
    /// string's endpoint names (`Endpoint=sb://localhost:5300;…`), or on [`EMULATOR_PORT`]; otherwise HTTPS on the
    /// usual port, unless the string names another one that is not that of AMQP.
    pub fn from_connection_string(text: &ConnectionString<'_>) -> Self {
        let port = match (text.use_development_emulator, text.port) {
            (true, port) => Some(port.unwrap_or(EMULATOR_PORT)),
            (false, Some(443 | 5_671)) => None,
            (false, port) => port,
        };
        Self { host: text.host.into(), port, tls: !text.use_development_emulator }
    }

    /// With another port, for an emulator whose ports are not the usual ones.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether to encrypt the connection: always, except for an emulator.
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// The host as URIs write it, with the port when it is not the usual one.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { alloc::format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => alloc::format!("{host}:{port}"),
            None => host,
        }
    }

    /// What tokens are for: the whole namespace. The scheme is `https` even where the connection is plain, as the
    /// official SDKs have it.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedRequest {
    request: Request,
    audience: String,
    forward_to: Option<String>,
    forward_dead_lettered_messages_to: Option<String>,
}

/// The header with the token for the target of forwarded messages.
pub const SUPPLEMENTARY_AUTHORIZATION: &str = "ServiceBusSupplementaryAuthorization";
/// The header with the token for the target of forwarded dead-lettered messages.
pub const DLQ_SUPPLEMENTARY_AUTHORIZATION: &str = "ServiceBusDlqSupplementaryAuthorization";

impl UnsignedRequest {
    /// The request with a token from `token` for each audience: the namespace, and the addresses of entities that
    /// messages are to be forwarded to.
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
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// How long a token lasts that is made for one attempt.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// The token that the key grants for an audience, for an hour from `now`.
pub fn shared_access_token(audience: &str, key_name: &str, key: &str, now: Timestamp) -> String {
    let mut token = String::new();
    // Neither a key of any length nor a growing string can fail.
    let _ = sas::sign(audience, key_name, key, now + TOKEN_LIFETIME, &mut token);
    token
}

/// Builds the requests for one namespace.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    endpoint: Endpoint,
    api_version: ApiVersion,
}

impl RequestBuilder {
    /// A builder for this namespace.
    pub fn new(endpoint: Endpoint, api_version: ApiVersion) -> Self {
        Self { endpoint, api_version }
    }

    /// Where the requests go.
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
    pub fn list(&self, resource: &Resource, skip: u32, top: u32) -> Result<UnsignedRequest, InvalidRequest> {
        resource.validate()?;
        let mut path_and_query = alloc::format!("{resource}?$skip={skip}&$top={top}");
        let _ = write!(path_and_query, "&api-version={}", self.api_version);
        Ok(self.request(Method::Get, path_and_query))
    }

    /// Reads the page that the page before it named. Of the address only path and query are used, so that no answer
    /// can send a token elsewhere.
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
    pub fn create_queue(&self, name: &str, options: CreateQueueOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_forwarding(&Resource::Entity(name.into()), false, options, |options| {
            (&mut options.forward_to, &mut options.forward_dead_lettered_messages_to)
        })
    }

    /// Changes a queue's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
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
    pub fn create_topic(&self, name: &str, options: CreateTopicOptions) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(name.into()), false, options)
    }

    /// Changes a topic's settings to these.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    pub fn update_topic(&self, topic: &TopicProperties) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_entity(&Resource::Entity(topic.name.clone()), true, CreateTopicOptions::from(topic))
    }

    /// Creates a subscription.
    ///
    /// # Errors
    /// [`InvalidRequest`].
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
    pub fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<UnsignedRequest, InvalidRequest> {
        self.put_rule(topic, subscription, rule, true)
    }
}
