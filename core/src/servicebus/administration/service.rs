//! The service's side: reads what clients send and writes what they read.
// docs/evidence/service-evidence.md §13.3 to §13.5

use super::description::{Description, EntityOptions};
use super::element::{ElementValue, InvalidElement, Reading};
use super::iso8601::{TimestampForm, write_timestamp};
use super::namespace::NamespaceProperties;
use super::queue::CreateQueueOptions;
use super::rule::{RuleForm, RuleProperties};
use super::subscription::CreateSubscriptionOptions;
use super::topic::CreateTopicOptions;
use super::xml::{self, ATOM, Writer, XmlError};
use crate::time::Timestamp;
use alloc::string::{String, ToString};
use core::fmt;

/// The largest body of a request that is read, in bytes.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::XmlError;
/// use servicebus_core::servicebus::administration::service::{BodyError, MAX_REQUEST_BODY, read_body};
///
/// let body = vec![b' '; MAX_REQUEST_BODY + 1];
/// assert_eq!(read_body(&body), Err(BodyError::Xml(XmlError::TooLarge)));
/// ```
pub const MAX_REQUEST_BODY: usize = 256 << 10;

/// What a client asks to create, or to change an entity to.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::{SentDescription, read_body};
/// use servicebus_core::servicebus::administration::{ApiVersion, CreateQueueOptions, Endpoint, RequestBuilder};
///
/// let requests = RequestBuilder::new(Endpoint::new("localhost"), ApiVersion::default());
/// let creation = requests.create_queue("orders", CreateQueueOptions::new().with_requires_session(true))?;
/// match read_body(&creation.request().body)? {
///     SentDescription::Queue(queue) => assert_eq!(queue.options.requires_session, Some(true)),
///     other => println!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SentDescription {
    /// A queue.
    Queue(Description<CreateQueueOptions>),
    /// A topic.
    Topic(Description<CreateTopicOptions>),
    /// A subscription.
    Subscription(Description<CreateSubscriptionOptions>),
    /// A rule.
    Rule(RuleProperties),
}

/// Why a request's body was not read.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::{BodyError, read_body};
///
/// match read_body(b"<entry xmlns='http://www.w3.org/2005/Atom'/>") {
///     Ok(description) => println!("{description:?}"),
///     Err(BodyError::NoDescription) => println!("400: an entry without a description"),
///     Err(error) => println!("400: {error}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It is no document.
    Xml(XmlError),
    /// An element's value is not valid.
    Element(InvalidElement),
    /// It is no Atom entry with a description of an entity.
    NoDescription,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xml(error) => error.fmt(f),
            Self::Element(error) => error.fmt(f),
            Self::NoDescription => f.write_str("the body is no Atom entry with a description of an entity"),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Xml(error) => error.source(),
            Self::Element(error) => error.source(),
            Self::NoDescription => None,
        }
    }
}

/// Reads the body of a `PUT`. Elements that are not known are passed over, values that are not valid are refused.
///
/// # Errors
/// [`BodyError`].
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::service::{BodyError, read_body};
/// assert_eq!(read_body(b"<entry/>"), Err(BodyError::NoDescription));
/// ```
pub fn read_body(body: &[u8]) -> Result<SentDescription, BodyError> {
    let document = xml::parse(body, MAX_REQUEST_BODY).map_err(BodyError::Xml)?;
    let root = document.root_element();
    let content = Some(root).filter(|root| root.has_tag_name((ATOM, "entry")));
    let content = content.and_then(|entry| xml::child(entry, ATOM, "content"));
    let node = content.and_then(|content| xml::elements(content).next()).ok_or(BodyError::NoDescription)?;
    if node.tag_name().namespace() != Some(xml::SERVICE_BUS) {
        return Err(BodyError::NoDescription);
    }
    let description = match node.tag_name().name() {
        "QueueDescription" => Description::read(node, Reading::Strict).map(SentDescription::Queue),
        "TopicDescription" => Description::read(node, Reading::Strict).map(SentDescription::Topic),
        "SubscriptionDescription" => Description::read(node, Reading::Strict).map(SentDescription::Subscription),
        RuleProperties::ELEMENT => RuleProperties::read(node, Reading::Strict).map(SentDescription::Rule),
        _ => return Err(BodyError::NoDescription),
    };
    description.map_err(BodyError::Element)
}

/// What an entry describes.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::Content;
/// use servicebus_core::servicebus::administration::{CreateTopicOptions, Description, EntityState};
///
/// let state = EntityState { subscription_count: Some(2), ..EntityState::default() };
/// let events = Content::Topic(Description::new(CreateTopicOptions::new(), state));
/// # let _ = events;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// A queue.
    Queue(Description<CreateQueueOptions>),
    /// A topic.
    Topic(Description<CreateTopicOptions>),
    /// A subscription.
    Subscription(Description<CreateSubscriptionOptions>),
    /// A rule.
    Rule(RuleProperties, RuleForm),
    /// The namespace.
    Namespace(NamespaceProperties),
}

/// Writes what the description has, in the service's order. A description that still knows the elements that were
/// sent is written with just these, as the answer to an update is.
// docs/evidence/pinned-behaviour.md ADM10
fn write_description<O: EntityOptions>(description: &Description<O>, writer: &mut Writer) {
    if description.elements.is_empty() {
        description.write(O::RESPONSE_ORDER, writer);
    } else {
        description.write(&description.elements, writer);
    }
}

impl Content {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Queue(description) => write_description(description, writer),
            Self::Topic(description) => write_description(description, writer),
            Self::Subscription(description) => write_description(description, writer),
            Self::Rule(rule, form) => rule.write_description(*form, writer),
            Self::Namespace(namespace) => namespace.write(writer),
        }
    }
}

/// An Atom entry.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::service::{Content, Entry, write_entry};
/// use servicebus_core::servicebus::administration::{CreateQueueOptions, Description, EntityState};
/// use servicebus_core::time::Timestamp;
///
/// let entry = Entry {
///     id: "https://contoso.example/orders".into(),
///     title: "orders".into(),
///     published: Some(Timestamp::from_secs(1_800_000_000)),
///     updated: Timestamp::from_secs(1_800_000_000),
///     author: Some("contoso".into()),
///     href: "https://contoso.example/orders".into(),
///     content: Content::Queue(Description::new(CreateQueueOptions::new(), EntityState::default())),
/// };
/// assert!(write_entry(&entry).contains("<title type=\"text\">orders</title>"));
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    /// The request's address for a single entity, that of the entity in a feed.
    pub id: String,
    /// The entity's name.
    pub title: String,
    /// When it was created; not in the answer to an update.
    pub published: Option<Timestamp>,
    /// When it was last changed.
    pub updated: Timestamp,
    /// The namespace's name: for queues, topics and the namespace only.
    pub author: Option<String>,
    /// The entity's address: absolute for a single entity, relative to the base in a feed.
    pub href: String,
    /// What it describes.
    pub content: Content,
}

/// Atom's points in time have whole seconds.
fn seconds(time: Timestamp) -> String {
    write_timestamp(Timestamp::from_secs(time.as_secs()), TimestampForm::Trimmed)
}

impl Entry {
    fn write(&self, attributes: &[(&str, &str)], writer: &mut Writer) {
        writer.start("entry", attributes);
        writer.element("id", &[], &self.id);
        writer.element("title", &[("type", "text")], &self.title);
        if let Some(published) = self.published {
            writer.element("published", &[], &seconds(published));
        }
        writer.element("updated", &[], &seconds(self.updated));
        if let Some(author) = &self.author {
            writer.start("author", &[]);
            writer.element("name", &[], author);
            writer.end("author");
        }
        writer.empty("link", &[("rel", "self"), ("href", &self.href)]);
        writer.start("content", &[("type", "application/xml")]);
        self.content.write(writer);
        writer.end("content");
        writer.end("entry");
    }
}

/// Writes an entry of its own.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::service::{Content, Entry, write_entry};
/// # use servicebus_core::servicebus::administration::{MessagingSku, NamespaceProperties};
/// # use servicebus_core::time::Timestamp;
/// let created = Timestamp::from_secs(1_800_000_000);
/// let namespace = NamespaceProperties::new("contoso", MessagingSku::Premium);
/// let entry = Entry {
///     id: "https://contoso.example/$namespaceinfo".into(),
///     title: "contoso".into(),
///     published: None,
///     updated: created,
///     author: None,
///     href: "https://contoso.example/$namespaceinfo".into(),
///     content: Content::Namespace(namespace),
/// };
/// assert!(write_entry(&entry).contains("<MessagingSKU>Premium</MessagingSKU>"));
/// ```
pub fn write_entry(entry: &Entry) -> String {
    let mut writer = Writer::new();
    entry.write(&[("xmlns", ATOM)], &mut writer);
    writer.finish().0
}

/// Writes a list. `id` is the request's address, `next` that of the next page.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::service::write_feed;
/// # use servicebus_core::time::Timestamp;
/// let now = Timestamp::from_secs(1_800_000_000);
/// let feed = write_feed("Queues", "https://contoso.example/$Resources/queues", now, None, &[]);
/// assert!(feed.contains("<updated>2027-01-15T08:00:00Z</updated>"));
/// ```
pub fn write_feed(title: &str, id: &str, updated: Timestamp, next: Option<&str>, entries: &[Entry]) -> String {
    let mut writer = Writer::new();
    writer.start("feed", &[("xmlns", ATOM)]);
    writer.element("title", &[("type", "text")], title);
    writer.element("id", &[], id);
    writer.element("updated", &[], &seconds(updated));
    writer.empty("link", &[("rel", "self"), ("href", id)]);
    if let Some(next) = next {
        writer.empty("link", &[("rel", "next"), ("href", next)]);
    }
    for entry in entries {
        entry.write(&[("xml:base", id)], &mut writer);
    }
    writer.end("feed");
    writer.finish().0
}

/// Writes the list without entries that answers a get of an entity that is not there. `uuid` and `number` tell answers
/// apart.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::service::write_not_found_feed;
/// # use servicebus_core::time::Timestamp;
/// let now = Timestamp::from_secs(1_800_000_000);
/// let feed = write_not_found_feed("9d1d7b0c-6b4d-4f89-90ed-230aac5a6aeb", 1, now);
/// assert!(feed.contains("Publicly Listed Services"));
/// ```
// docs/evidence/pinned-behaviour.md ADM35
pub fn write_not_found_feed(uuid: &str, number: u64, updated: Timestamp) -> String {
    let mut writer = Writer::new();
    writer.start("feed", &[("xmlns", ATOM)]);
    writer.element("title", &[("type", "text")], "Publicly Listed Services");
    writer.element(
        "subtitle",
        &[("type", "text")],
        "This is the list of publicly-listed services currently available.",
    );
    writer.element("id", &[], &alloc::format!("uuid:{uuid};id={number}"));
    writer.element("updated", &[], &seconds(updated));
    writer.element("generator", &[], "Service Bus 1.1");
    writer.end("feed");
    writer.finish().0
}

/// Writes the body of a refusal.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::service::write_error;
/// assert_eq!(write_error(404, "no orders"), "<Error><Code>404</Code><Detail>no orders</Detail></Error>");
/// ```
pub fn write_error(status: u16, detail: &str) -> String {
    let mut writer = Writer::new();
    writer.start("Error", &[]);
    writer.element("Code", &[], &status.to_string());
    writer.element("Detail", &[], detail);
    writer.end("Error");
    writer.finish().0
}
