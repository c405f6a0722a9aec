//! Reads the service's answers: an entry, or a feed of entries.
// docs/evidence/service-evidence.md §13.3, §13.4

use super::description::Description;
use super::element::{ElementValue, Reading};
use super::error::{Operation, ResponseError, ServiceError};
use super::etag::ETag;
use super::http::{MAX_RESPONSE_BODY, Response};
use super::namespace::NamespaceProperties;
use super::queue::{CreateQueueOptions, QueueProperties, QueueRuntimeProperties};
use super::resource::Resource;
use super::rule::RuleProperties;
use super::subscription::{CreateSubscriptionOptions, SubscriptionProperties, SubscriptionRuntimeProperties};
use super::topic::{CreateTopicOptions, TopicProperties, TopicRuntimeProperties};
use super::xml::{self, ATOM, Node, SERVICE_BUS};
use alloc::string::String;
use alloc::vec::Vec;

/// What an entry can be read as.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{
///     FromEntry, Operation, Resource, Response, ResponseError, read_one,
/// };
///
/// /// An entity as it was read, of any kind.
/// fn read<E: FromEntry>(response: &Response, name: &str) -> Result<E, ResponseError> {
///     read_one(response, &Resource::Entity(name.into()), Operation::Get)
/// }
/// # use servicebus_core::servicebus::administration::{Headers, QueueProperties};
/// # let response = Response { status: 404, headers: Headers::new(), body: Vec::new() };
/// # assert!(read::<QueueProperties>(&response, "orders").is_err());
/// ```
pub trait FromEntry: Sized + Read {}

pub(super) use sealed::Read;

mod sealed {
    use super::{ETag, Node, Resource, ResponseError, String};

    /// How an entry's content becomes the value.
    pub trait Read: Sized {
        /// The element in the entry's content.
        const ELEMENT: &'static str;

        /// Reads that element. `resource` was requested; `name` is the entry's title.
        fn read(node: Node<'_, '_>, resource: &Resource, name: String) -> Result<Self, ResponseError>;

        /// Notes the version that was read, where it is the entity's own.
        fn set_etag(&mut self, _etag: ETag) {}
    }
}

macro_rules! from_entry {
    ($($Type:ty = $element:literal, |$node:ident, $resource:ident, $name:ident| $value:expr $(, $etag:ident)?;)*) => { $(
        impl FromEntry for $Type {}

        impl Read for $Type {
            const ELEMENT: &'static str = $element;

            fn read($node: Node<'_, '_>, $resource: &Resource, $name: String) -> Result<Self, ResponseError> {
                Ok($value)
            }

            $(fn set_etag(&mut self, etag: ETag) {
                self.$etag = Some(etag);
            })?
        }
    )* };
}

from_entry! {
    QueueProperties = "QueueDescription", |node, _resource, name|
        Self::new(name, Description::<CreateQueueOptions>::read(node, Reading::Lenient)?.options), etag;
    QueueRuntimeProperties = "QueueDescription", |node, _resource, name|
        Self::new(name, &Description::<CreateQueueOptions>::read(node, Reading::Lenient)?.state);
    TopicProperties = "TopicDescription", |node, _resource, name|
        Self::new(name, Description::<CreateTopicOptions>::read(node, Reading::Lenient)?.options), etag;
    TopicRuntimeProperties = "TopicDescription", |node, _resource, name|
        Self::new(name, &Description::<CreateTopicOptions>::read(node, Reading::Lenient)?.state);
    SubscriptionProperties = "SubscriptionDescription", |node, resource, name|
        Self::new(resource.topic(), name, Description::<CreateSubscriptionOptions>::read(node, Reading::Lenient)?.options);
    SubscriptionRuntimeProperties = "SubscriptionDescription", |node, resource, name|
        Self::new(resource.topic().into(), name, &Description::<CreateSubscriptionOptions>::read(node, Reading::Lenient)?.state);
    RuleProperties = "RuleDescription", |node, _resource, name| {
        let rule = <RuleProperties as ElementValue>::read(node, Reading::Lenient)?;
        let name = if rule.name.is_empty() { name } else { rule.name };
        RuleProperties { name, ..rule }
    };
    NamespaceProperties = "NamespaceInfo", |node, _resource, _name| NamespaceProperties::read(node, Reading::Lenient)?;
}

/// One page of a list.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::write_feed;
/// use servicebus_core::servicebus::administration::{Headers, Page, QueueProperties, Resource, Response, read_page};
/// # use servicebus_core::time::Timestamp;
///
/// let next = Some("https://contoso.example/$Resources/queues?$skip=100");
/// let feed = write_feed("Queues", "https://contoso.example/$Resources/queues", Timestamp::UNIX_EPOCH, next, &[]);
/// let response = Response { status: 200, headers: Headers::new(), body: feed.into_bytes() };
/// let page: Page<QueueProperties> = read_page(&response, &Resource::Queues)?;
/// assert_eq!(page.next.as_deref(), next);
/// # Ok::<(), servicebus_core::servicebus::administration::ResponseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// The address of the next page; none after the last.
    pub next: Option<String>,
}

fn success(response: &Response, operation: Operation) -> Result<(), ResponseError> {
    if (200..300).contains(&response.status) { Ok(()) } else { Err(ServiceError::read(response, operation).into()) }
}

/// The value in an entry; `None` when it holds another kind of entity.
fn read_entry<T: FromEntry>(entry: Node<'_, '_>, resource: &Resource) -> Result<Option<T>, ResponseError> {
    let content = xml::child(entry, ATOM, "content").and_then(|content| xml::elements(content).next());
    let Some(node) = content.filter(|node| node.has_tag_name((SERVICE_BUS, T::ELEMENT))) else { return Ok(None) };
    let title = xml::child(entry, ATOM, "title").map(xml::text).filter(|title| !title.is_empty());
    T::read(node, resource, title.unwrap_or_else(|| resource.name().into())).map(Some)
}

/// Reads the answer to a get, a creation or an update. An entity that is not there, or is of another kind, is
/// [`ServiceErrorKind::NotFound`](super::ServiceErrorKind::NotFound).
///
/// # Errors
/// [`ResponseError`].
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::{Content, Entry, write_entry};
/// use servicebus_core::servicebus::administration::{
///     CreateQueueOptions, Description, EntityState, Headers, Operation, QueueProperties, Resource, Response, read_one,
/// };
/// # use servicebus_core::time::Timestamp;
///
/// let options = CreateQueueOptions::new().with_max_delivery_count(3);
/// let entry = Entry {
///     id: "https://contoso.example/orders".into(),
///     title: "orders".into(),
///     published: None,
///     updated: Timestamp::from_secs(1_800_000_000),
///     author: None,
///     href: "https://contoso.example/orders".into(),
///     content: Content::Queue(Description::new(options, EntityState::default())),
/// };
/// let response = Response { status: 200, headers: Headers::new(), body: write_entry(&entry).into_bytes() };
/// let orders: QueueProperties = read_one(&response, &Resource::Entity("orders".into()), Operation::Get)?;
/// assert_eq!((orders.name.as_str(), orders.max_delivery_count), ("orders", 3));
/// # Ok::<(), servicebus_core::servicebus::administration::ResponseError>(())
/// ```
// docs/evidence/pinned-behaviour.md ADM35, ADM42
pub fn read_one<T: FromEntry>(
    response: &Response,
    resource: &Resource,
    operation: Operation,
) -> Result<T, ResponseError> {
    success(response, operation)?;
    let document = xml::parse(&response.body, MAX_RESPONSE_BODY)?;
    let root = document.root_element();
    let entry = if root.has_tag_name((ATOM, "entry")) {
        read_entry(root, resource)?
    } else if root.has_tag_name((ATOM, "feed")) {
        None
    } else {
        return Err(ResponseError::Unexpected);
    };
    let mut entry: Option<T> = entry;
    // The answer to a change names the version before it (docs/evidence/pinned-behaviour.md ADM6).
    if let (Some(entry), Operation::Get, Some(etag)) = (&mut entry, operation, response.headers.get("ETag")) {
        entry.set_etag(ETag::new(etag));
    }
    entry.ok_or_else(|| ServiceError::not_found(alloc::format!("there is no {} at {resource}", T::ELEMENT)).into())
}

/// Reads one page of a list. Entries of another kind are passed over.
///
/// # Errors
/// [`ResponseError`].
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{Headers, Resource, Response, TopicProperties, read_page};
/// let feed = b"<feed xmlns='http://www.w3.org/2005/Atom'></feed>".to_vec();
/// let response = Response { status: 200, headers: Headers::new(), body: feed };
/// let page = read_page::<TopicProperties>(&response, &Resource::Topics)?;
/// assert!(page.entries.is_empty() && page.next.is_none());
/// # Ok::<(), servicebus_core::servicebus::administration::ResponseError>(())
/// ```
pub fn read_page<T: FromEntry>(response: &Response, resource: &Resource) -> Result<Page<T>, ResponseError> {
    success(response, Operation::Get)?;
    let document = xml::parse(&response.body, MAX_RESPONSE_BODY)?;
    let root = document.root_element();
    if !root.has_tag_name((ATOM, "feed")) {
        return Err(ResponseError::Unexpected);
    }
    let mut page = Page { entries: Vec::new(), next: None };
    for child in xml::elements(root).filter(|child| child.tag_name().namespace() == Some(ATOM)) {
        match child.tag_name().name() {
            "entry" => page.entries.extend(read_entry(child, resource)?),
            "link" if child.attribute("rel") == Some("next") => page.next = child.attribute("href").map(Into::into),
            _ => {}
        }
    }
    Ok(page)
}

/// Reads the answer to a deletion, which has no body.
///
/// # Errors
/// [`ResponseError`].
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{Headers, Response, read_deleted};
/// let response = |status| Response { status, headers: Headers::new(), body: Vec::new() };
/// assert!(read_deleted(&response(200)).is_ok());
/// assert!(read_deleted(&response(404)).is_err());
/// ```
pub fn read_deleted(response: &Response) -> Result<(), ResponseError> {
    success(response, Operation::Delete)
}
