//! Requests before they are signed.

use super::etag::ETag;
use super::http::Request;
use crate::servicebus::name::InvalidName;
use crate::servicebus::sas;
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use core::fmt;

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
    pub(super) request: Request,
    pub(super) audience: String,
    pub(super) forward_to: Option<String>,
    pub(super) forward_dead_lettered_messages_to: Option<String>,
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
