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
pub const MAX_REQUEST_BODY: usize = 256 << 10;

/// What a client asks to create, or to change an entity to.
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
pub fn write_entry(entry: &Entry) -> String {
    let mut writer = Writer::new();
    entry.write(&[("xmlns", ATOM)], &mut writer);
    writer.finish().0
}

/// Writes a list. `id` is the request's address, `next` that of the next page.
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
pub fn write_error(status: u16, detail: &str) -> String {
    let mut writer = Writer::new();
    writer.start("Error", &[]);
    writer.element("Code", &[], &status.to_string());
    writer.element("Detail", &[], detail);
    writer.end("Error");
    writer.finish().0
}
