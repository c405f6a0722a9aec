//! What the service means by an error status.
// docs/evidence/service-evidence.md §13.1, §13.5, docs/evidence/pinned-behaviour.md §15

use super::element::InvalidElement;
use super::http::{Headers, Response};
use super::iso8601::parse_timestamp;
use super::xml::{self, XmlError};
use crate::time::{Duration, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The kind of a request: the same status has different meanings.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     Headers, Operation, Response, ServiceError, ServiceErrorKind,
/// };
///
/// let refusal = Response { status: 409, headers: Headers::new(), body: Vec::new() };
/// let created = ServiceError::read(&refusal, Operation::Create);
/// let updated = ServiceError::read(&refusal, Operation::Update);
/// assert_eq!((created.kind, updated.kind), (ServiceErrorKind::AlreadyExists, ServiceErrorKind::Conflict));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Reading an entity or a list.
    Get,
    /// Creating an entity.
    Create,
    /// Changing an entity.
    Update,
    /// Deleting an entity.
    Delete,
}

/// What kind of refusal it is.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{QueueDescription, ServiceErrorKind};
/// # servicebus_simulation::administration_example(async |admin| {
/// match admin.create(&QueueDescription::new("orders")).await {
///     Ok(_) => println!("created"),
///     Err(error) => match error.kind() {
///         Some(ServiceErrorKind::AlreadyExists) => println!("there already"),
///         Some(ServiceErrorKind::Unauthorized) => println!("the key may not manage"),
///         _ => return Err(error.into()),
///     },
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceErrorKind {
    /// There is no such entity.
    NotFound,
    /// There is such an entity already.
    AlreadyExists,
    /// The token is not valid or does not grant the right.
    Unauthorized,
    /// The entity's state does not allow it, such as another change that is under way.
    Conflict,
    /// The request is not allowed, such as more entities than the namespace may have.
    QuotaExceeded,
    /// The entity is not of the version that was asked for.
    PreconditionFailed,
    /// A value is not valid; the detail names it.
    BadRequest,
    /// There were too many requests.
    Throttled,
    /// The service did not finish in time.
    Timeout,
    /// The service failed.
    Internal,
    /// Something else: see the status.
    Other,
}

/// A refusal by the service.
///
/// # Examples
///
/// ```
/// # use servicebus_core::client::administration::AdministrationError;
/// # servicebus_simulation::administration_example(async |admin| {
/// let error = admin.get_queue("baskets").await.unwrap_err();
/// let AdministrationError::Service(refusal) = error else { return Err(error.into()) };
/// println!("{} {} (tracking id {:?})", refusal.status, refusal.detail, refusal.tracking_id);
/// # assert_eq!(refusal.status, 404);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceError {
    /// What kind it is.
    pub kind: ServiceErrorKind,
    /// The HTTP status.
    pub status: u16,
    /// The service's finer code, such as 40900.
    pub sub_code: Option<u32>,
    /// The service's text, without its tracking identifiers.
    pub detail: String,
    /// The identifier that Microsoft's support asks for.
    pub tracking_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
}

/// The longest detail that is kept.
const MAX_DETAIL: usize = 4_096;

impl ServiceError {
    /// Reads a response that is no success. A body that is not the service's own is taken as text.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::service::write_error;
    /// use servicebus_core::servicebus::administration::{
    ///     Headers, Operation, Response, ServiceError, ServiceErrorKind,
    /// };
    ///
    /// let body = write_error(400, "SubCode=40000. The lock duration is too long. TrackingId:17_G2");
    /// let refusal = Response { status: 400, headers: Headers::new(), body: body.into_bytes() };
    /// let error = ServiceError::read(&refusal, Operation::Create);
    /// assert_eq!((error.kind, error.sub_code), (ServiceErrorKind::BadRequest, Some(40_000)));
    /// assert_eq!(error.tracking_id.as_deref(), Some("17_G2"));
    /// ```
    pub fn read(response: &Response, operation: Operation) -> Self {
        let full = detail(&response.body);
        let (text, tracking) = match full.split_once("TrackingId:") {
            Some((text, rest)) => (text, rest.split([',', ' ']).next().filter(|id| !id.is_empty())),
            None => (full.as_str(), None),
        };
        let sub_code = text.split_once("SubCode=").and_then(|(_, rest)| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        });
        Self {
            kind: kind(response.status, sub_code, operation),
            status: response.status,
            sub_code,
            detail: text.trim().into(),
            tracking_id: tracking.map(ToString::to_string),
            retry_after: retry_after(&response.headers),
        }
    }

    /// A missing entity, for which the service answers a list without entries.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{ServiceError, ServiceErrorKind};
    /// let error = ServiceError::not_found("there is no queue baskets");
    /// assert_eq!(error.kind, ServiceErrorKind::NotFound);
    /// ```
    // docs/evidence/pinned-behaviour.md ADM35
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self {
            kind: ServiceErrorKind::NotFound,
            status: 404,
            sub_code: None,
            detail: detail.into(),
            tracking_id: None,
            retry_after: None,
        }
    }

    /// Whether trying again can help.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{Headers, Operation, Response, ServiceError};
    /// let busy = Response { status: 429, headers: Headers::new(), body: Vec::new() };
    /// assert!(ServiceError::read(&busy, Operation::Get).is_transient());
    /// ```
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ServiceErrorKind::Throttled | ServiceErrorKind::Timeout | ServiceErrorKind::Internal => true,
            // Another change of the same entity is under way.
            ServiceErrorKind::Conflict => self.sub_code == Some(40_901),
            _ => false,
        }
    }
}

/// The pause that an answer asks for: seconds, or a point in time (RFC 9110 §10.2.3), which is compared with the time of
/// the answer itself, since the clock here may be wrong.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let text = headers.get("Retry-After")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, date) = (http_date(text)?, http_date(headers.get("Date")?)?);
    let millis = until.as_millis().saturating_sub(date.as_millis());
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// A point in time in one of HTTP's three forms (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`, and the obsolete
/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let fields: Vec<&str> = text.split([' ', ',', '-']).filter(|field| !field.is_empty()).collect();
    let (day, month, year, time) = match *fields {
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    // Two digits are a year from 1970 to 2069: the clock here, which would decide, may be wrong.
    let century = match year.len() {
        2 if year < "70" => "20",
        2 => "19",
        _ => "",
    };
    let month = 1 + MONTHS.iter().position(|&name| name == month)?;
    parse_timestamp(&alloc::format!("{century}{year}-{month:02}-{day:0>2}T{time}Z"))
}

fn kind(status: u16, sub_code: Option<u32>, operation: Operation) -> ServiceErrorKind {
    match (status, operation) {
        (400, _) => ServiceErrorKind::BadRequest,
        (401, _) => ServiceErrorKind::Unauthorized,
        (403, _) if sub_code == Some(40_301) => ServiceErrorKind::BadRequest,
        (403, _) => ServiceErrorKind::QuotaExceeded,
        (404 | 410, _) => ServiceErrorKind::NotFound,
        (408 | 504, _) => ServiceErrorKind::Timeout,
        (409, Operation::Create) if sub_code != Some(40_901) => ServiceErrorKind::AlreadyExists,
        (409, _) => ServiceErrorKind::Conflict,
        (412, _) => ServiceErrorKind::PreconditionFailed,
        (429 | 503, _) => ServiceErrorKind::Throttled,
        (500 | 502, _) => ServiceErrorKind::Internal,
        _ => ServiceErrorKind::Other,
    }
}

/// The text of `<Error><Code/><Detail/></Error>`, or the body's beginning.
fn detail(body: &[u8]) -> String {
    if let Ok(document) = xml::parse(body, 64 << 10) {
        let root = document.root_element();
        let detail = xml::elements(root).find(|child| child.tag_name().name() == "Detail");
        if let (true, Some(detail)) = (root.tag_name().name() == "Error", detail) {
            return cut(&xml::text(detail)).into();
        }
    }
    let start = body.get(..body.len().min(MAX_DETAIL)).unwrap_or_default();
    String::from_utf8_lossy(start).trim().into()
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_DETAIL)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.kind, self.status, self.detail)
    }
}

impl core::error::Error for ServiceError {}

/// Why a response has no result.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     Headers, QueueProperties, Resource, Response, ResponseError, read_page,
/// };
///
/// let page = Response { status: 200, headers: Headers::new(), body: b"<html><body>Sign in".to_vec() };
/// match read_page::<QueueProperties>(&page, &Resource::Queues) {
///     Ok(page) => println!("{} queues", page.entries.len()),
///     Err(ResponseError::Service(refusal)) => println!("refused: {refusal}"),
///     Err(error) => println!("is there a proxy in between? {error}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The service refused.
    Service(ServiceError),
    /// The body is no document.
    Xml(XmlError),
    /// An element's value is not valid.
    Element(InvalidElement),
    /// The document does not describe the requested entity.
    Unexpected,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(error) => error.fmt(f),
            Self::Xml(error) => error.fmt(f),
            Self::Element(error) => error.fmt(f),
            Self::Unexpected => f.write_str("the service's answer is not what was asked for"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Service(error) => error.source(),
            Self::Xml(error) => error.source(),
            Self::Element(error) => error.source(),
            Self::Unexpected => None,
        }
    }
}

impl From<ServiceError> for ResponseError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<XmlError> for ResponseError {
    fn from(error: XmlError) -> Self {
        Self::Xml(error)
    }
}

impl From<InvalidElement> for ResponseError {
    fn from(error: InvalidElement) -> Self {
        Self::Element(error)
    }
}
