//! Entities as entries and feeds.
// docs/evidence/service-evidence.md §13.3, §13.4

use super::query::Query;
use super::refusal::Refusal;
use super::shown::Kept;
use super::{Call, bare_host, rule, settings};
use crate::broker::entities::Namespace;
use crate::broker::entities::name;
use crate::broker::entities::queue::{Queue, Times};
use crate::broker::entities::rule::StoredRule;
use crate::broker::entities::topic::{Subscription, Topic};
use servicebus_core::servicebus::administration::service::{Content, Entry, write_entry, write_feed};
use servicebus_core::servicebus::administration::{
    CreateQueueOptions, CreateSubscriptionOptions, CreateTopicOptions, Description, EntityState, MessageCountDetails,
    NamespaceProperties, Resource, RuleForm, RuleProperties,
};
use servicebus_core::time::Timestamp;

/// When an entity is told about: that decides which elements there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// In the answer to its creation.
    // docs/evidence/pinned-behaviour.md ADM9
    Created,
    /// In a get or a list (ADM11).
    Read,
}

/// Writes what a request is answered with.
pub(super) struct Writer<'a> {
    entities: &'a Namespace,
    properties: &'a NamespaceProperties,
    kept: &'a Kept,
    query: &'a Query<'a>,
    scheme: &'a str,
    host: &'a str,
    path_and_query: &'a str,
    utc: Timestamp,
}

fn count_details(active: u64, dead_letter: u64, scheduled: u64, transfer_dead_letter: u64) -> MessageCountDetails {
    let mut counts = MessageCountDetails::default();
    counts.active = active;
    counts.dead_letter = dead_letter;
    counts.scheduled = scheduled;
    counts.transfer_dead_letter = transfer_dead_letter;
    counts
}

impl<'a> Writer<'a> {
    pub(super) fn new(call: &'a Call<'_>, properties: &'a NamespaceProperties, kept: &'a Kept) -> Self {
        Self {
            entities: call.namespace,
            properties,
            kept,
            query: call.query,
            scheme: call.scheme,
            host: call.host,
            path_and_query: &call.request.path_and_query,
            utc: call.utc,
        }
    }

    /// The request's own address, as it was sent.
    fn address(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.path_and_query)
    }

    /// The address in the answer to a get of what is below a topic.
    // docs/evidence/pinned-behaviour.md ADM8
    fn address_below(&self) -> String {
        let scheme = if self.query.has_message_size() { self.scheme } else { "sb" };
        format!("{scheme}://{}{}", self.host, self.path_and_query)
    }

    fn single(
        &self,
        title: &str,
        address: String,
        published: Option<Timestamp>,
        updated: Timestamp,
        author: bool,
        content: Content,
    ) -> String {
        write_entry(&Entry {
            id: address.clone(),
            title: title.into(),
            published,
            updated,
            author: author.then(|| self.properties.name.clone()),
            href: address,
            content,
        })
    }

    pub(super) fn namespace(&self) -> String {
        let content = Content::Namespace(self.properties.clone());
        let modified = self.properties.modified_at.unwrap_or(Timestamp::DOTNET_MIN);
        self.single(&self.properties.name, self.address(), None, modified, true, content)
    }

    fn queue_description(&self, queue: &Queue, moment: Moment) -> Description<CreateQueueOptions> {
        let mut options = settings::told_queue(&queue.description, self.entities.tier(), bare_host(self.host));
        let shown = self.kept.get(&queue.name, "", queue.stores.main);
        shown.tell_queue(&mut options, &queue.description.authorization_rules);
        if !self.query.has_message_size() {
            options.max_message_size_in_kilobytes = None;
        }
        let counts = self.entities.counts(&queue.stores);
        let read = moment == Moment::Read;
        let details = count_details(counts.active, counts.dead_letter, counts.scheduled, counts.transfer_dead_letter);
        let state = EntityState {
            size_in_bytes: Some(counts.size_in_bytes),
            message_count: Some(counts.total()),
            created_at: Some(queue.times.created),
            updated_at: Some(queue.times.updated),
            accessed_at: read.then_some(queue.times.accessed),
            count_details: read.then_some(details),
            ..EntityState::default()
        };
        Description::new(options, state)
    }

    fn topic_description(&self, topic: &Topic, moment: Moment) -> Description<CreateTopicOptions> {
        let mut options = settings::told_topic(&topic.description, self.entities.tier());
        let shown = self.kept.get(&topic.name, "", topic.transit);
        shown.tell_topic(&mut options, &topic.description.authorization_rules);
        if !self.query.has_message_size() {
            options.max_message_size_in_kilobytes = None;
        }
        let own = self.entities.topic_counts(topic);
        let read = moment == Moment::Read;
        // A filter is an SQL filter unless it is a correlation filter: the one that takes everything counts (RUL46).
        let correlations = topic.rules.correlation_filters();
        let (filters, counted) = (topic.rules.rules(), read && self.query.has_filter_counts());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let state = EntityState {
            size_in_bytes: Some(self.entities.stored(&topic.name)),
            created_at: Some(topic.times.created),
            updated_at: Some(topic.times.updated),
            accessed_at: read.then_some(topic.times.accessed),
            count_details: read.then(|| count_details(0, 0, own.scheduled, 0)),
            subscription_count: read.then(|| number(topic.subscriptions.len())),
            sql_filter_count: counted.then(|| number(filters - correlations)),
            correlation_filter_count: counted.then(|| number(correlations)),
            ..EntityState::default()
        };
        Description::new(options, state)
    }

    fn subscription_description(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        moment: Moment,
    ) -> Description<CreateSubscriptionOptions> {
        let mut options = settings::told_subscription(&subscription.description, bare_host(self.host));
        let shown = self.kept.get(&topic.name, &subscription.name, subscription.stores.main);
        shown.tell_subscription(&mut options);
        if !self.query.has_message_size() {
            options.is_client_affine = None;
        }
        let counts = self.entities.counts(&subscription.stores);
        let read = moment == Moment::Read;
        let details = count_details(counts.active, counts.dead_letter, counts.scheduled, counts.transfer_dead_letter);
        let state = EntityState {
            message_count: Some(counts.total()),
            created_at: Some(subscription.times.created),
            updated_at: Some(subscription.times.updated),
            accessed_at: Some(if read { subscription.times.accessed } else { Timestamp::DOTNET_MIN }),
            count_details: read.then_some(details),
            ..EntityState::default()
        };
        Description::new(options, state)
    }

    fn queue_or_topic(&self, path: &str, moment: Moment) -> Option<String> {
        let (name, times, content) = if let Some(queue) = self.entities.queue(path) {
            (&queue.name, queue.times, Content::Queue(self.queue_description(queue, moment)))
        } else {
            let topic = self.entities.topic(path)?;
            (&topic.name, topic.times, Content::Topic(self.topic_description(topic, moment)))
        };
        Some(self.single(name, self.address(), Some(times.created), times.updated, true, content))
    }

    pub(super) fn entity(&self, path: &str) -> Option<String> {
        self.queue_or_topic(path, Moment::Read)
    }

    pub(super) fn created_queue(&self, path: &str) -> String {
        self.queue_or_topic(path, Moment::Created).unwrap_or_default()
    }

    pub(super) fn created_topic(&self, path: &str) -> String {
        self.queue_or_topic(path, Moment::Created).unwrap_or_default()
    }

    /// An update is answered with what was sent, and without the time of creation.
    // docs/evidence/pinned-behaviour.md ADM10
    pub(super) fn echo_queue(&self, path: &str, sent: Description<CreateQueueOptions>) -> String {
        self.single(&name::key(path), self.address(), None, self.utc, true, Content::Queue(sent))
    }

    pub(super) fn echo_topic(&self, path: &str, sent: Description<CreateTopicOptions>) -> String {
        self.single(&name::key(path), self.address(), None, self.utc, true, Content::Topic(sent))
    }

    pub(super) fn echo_subscription(
        &self,
        _topic: &str,
        name: &str,
        sent: Description<CreateSubscriptionOptions>,
    ) -> String {
        self.single(name, self.address(), None, self.utc, false, Content::Subscription(sent))
    }

    pub(super) fn subscription(&self, topic: &str, name: &str) -> Option<String> {
        let topic = self.entities.topic(topic)?;
        let subscription = self.entities.subscription(&topic.name, name)?;
        let content = Content::Subscription(self.subscription_description(topic, subscription, Moment::Read));
        let times = subscription.times;
        Some(self.single(&subscription.name, self.address_below(), Some(times.created), times.updated, false, content))
    }

    pub(super) fn created_subscription(&self, topic: &str, name: &str) -> String {
        let found = self.entities.topic(topic).zip(self.entities.subscription(topic, name));
        found.map_or(String::new(), |(topic, subscription)| {
            let description = self.subscription_description(topic, subscription, Moment::Created);
            let created = subscription.times.created;
            self.single(
                &subscription.name,
                self.address(),
                Some(created),
                created,
                false,
                Content::Subscription(description),
            )
        })
    }

    pub(super) fn rule(&self, topic: &str, subscription: &str, name: &str) -> Option<String> {
        let subscription = self.entities.subscription(topic, subscription)?;
        let found = subscription.rules.get(&name::key(name))?;
        let content = Content::Rule(rule::from_rule(&found.rule, found.created_at), RuleForm::Stored);
        let created = found.created_at;
        Some(self.single(&found.rule.name, self.address_below(), Some(created), created, false, content))
    }

    /// The answer to a rule's creation or update: what was sent, and when.
    pub(super) fn sent_rule(&self, topic: &str, subscription: &str, sent: &RuleProperties, update: bool) -> String {
        let found = self.entities.subscription(topic, subscription);
        let found = found.and_then(|found| found.rules.get(&name::key(&sent.name)));
        let created = found.map_or(self.utc, |rule| rule.created_at);
        let mut told = sent.clone();
        told.created_at = Some(created);
        let content = Content::Rule(told, RuleForm::Sent);
        self.single(&sent.name, self.address(), (!update).then_some(created), created, false, content)
    }

    fn entry(
        &self,
        name: &str,
        path: &str,
        link: &str,
        created: Timestamp,
        updated: Timestamp,
        author: bool,
        content: Content,
    ) -> Entry {
        let version = self.query.api_version;
        Entry {
            id: format!("{}://{}{path}?api-version={version}", self.scheme, self.host),
            title: name.into(),
            published: Some(created),
            updated,
            author: author.then(|| self.properties.name.clone()),
            href: format!("{link}?api-version={version}"),
            content,
        }
    }

    fn queue_entry(&self, queue: &Queue) -> Entry {
        let path = Resource::Entity(queue.name.clone()).to_string();
        let content = Content::Queue(self.queue_description(queue, Moment::Read));
        let Times { created, updated, .. } = queue.times;
        self.entry(&queue.name, &path, &format!("..{path}"), created, updated, true, content)
    }

    fn topic_entry(&self, topic: &Topic) -> Entry {
        let path = Resource::Entity(topic.name.clone()).to_string();
        let content = Content::Topic(self.topic_description(topic, Moment::Read));
        let Times { created, updated, .. } = topic.times;
        self.entry(&topic.name, &path, &format!("..{path}"), created, updated, true, content)
    }

    /// One more entry than the page holds tells whether there is another one.
    fn page(&self, title: &str, mut entries: Vec<Entry>, skip: usize, top: usize) -> String {
        let next = (top > 0 && entries.len() > top).then(|| {
            format!(
                "{}://{}{}?%24skip={}&%24top={top}&api-version={}",
                self.scheme,
                self.host,
                self.query.path,
                skip + top,
                self.query.api_version
            )
        });
        entries.truncate(top);
        write_feed(title, &self.address(), self.utc, next.as_deref(), &entries)
    }

    /// The entities of the namespace, queues first: what its root answers.
    // docs/evidence/field-reports.md F20
    pub(super) fn entities(&self) -> Result<String, Refusal> {
        let (skip, top) = self.query.page()?;
        let mut entries: Vec<Entry> =
            self.entities.page_of_queues(skip, top + 1).map(|queue| self.queue_entry(queue)).collect();
        let (left, behind) = (top + 1 - entries.len(), skip.saturating_sub(self.entities.queue_count()));
        entries.extend(self.entities.page_of_topics(behind, left).map(|topic| self.topic_entry(topic)));
        Ok(self.page("Publicly Listed Services", entries, skip, top))
    }

    /// A page of a list, by name.
    pub(super) fn feed(&self, resource: &Resource) -> Result<String, Refusal> {
        let (skip, top) = self.query.page()?;
        // The JavaScript SDK takes names out of these addresses, and knows their fixed parts with capitals only.
        let root = |topic: &str| Resource::Entity(topic.to_owned());
        let (title, entries): (_, Vec<Entry>) = match resource {
            Resource::Queues => {
                let page = self.entities.page_of_queues(skip, top + 1);
                ("Queues", page.map(|queue| self.queue_entry(queue)).collect())
            }
            Resource::Topics => {
                let page = self.entities.page_of_topics(skip, top + 1);
                ("Topics", page.map(|topic| self.topic_entry(topic)).collect())
            }
            Resource::Subscriptions { topic } => {
                let missing = || Refusal::missing_below(&format!("{}:Topic:{topic}", self.properties.name));
                let topic = self.entities.topic(topic).ok_or_else(missing)?;
                let page = self.entities.page_of_subscriptions(topic, skip, top + 1);
                let entries = page.map(|subscription| {
                    let path = format!("{}/Subscriptions/{}", root(&topic.name), subscription.name);
                    let content =
                        Content::Subscription(self.subscription_description(topic, subscription, Moment::Read));
                    let Times { created, updated, .. } = subscription.times;
                    let link = format!("subscriptions/{}", subscription.name);
                    self.entry(&subscription.name, &path, &link, created, updated, false, content)
                });
                ("Subscriptions", entries.collect())
            }
            below => {
                let (topic, subscription) = match below {
                    Resource::Rules { topic, subscription } => (topic.as_str(), subscription.as_str()),
                    _ => ("", ""),
                };
                let missing =
                    || Refusal::missing_below(&format!("{}:Topic:{topic}|{subscription}", self.properties.name));
                let found = self.entities.subscription(topic, subscription).ok_or_else(missing)?;
                let page = self.entities.page_of_rules(found, skip, top + 1);
                let entries = page.map(|found: &StoredRule| {
                    let name = &found.rule.name;
                    let link = format!("rules/{name}");
                    let path = format!("{}/Subscriptions/{subscription}/Rules/{name}", root(&name::key(topic)));
                    let content = Content::Rule(rule::from_rule(&found.rule, found.created_at), RuleForm::Stored);
                    self.entry(name, &path, &link, found.created_at, found.created_at, false, content)
                });
                ("Rules", entries.collect())
            }
        };
        Ok(self.page(title, entries, skip, top))
    }
}
