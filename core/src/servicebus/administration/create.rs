//! Creating and updating entities of any kind.

use super::etag::ETag;
use super::queue::QueueProperties;
use super::request::{InvalidRequest, RequestBuilder, UnsignedRequest};
use super::resource::Resource;
use super::response::FromEntry;
use super::rule::{CreateRuleOptions, RuleFilter, RuleProperties, SqlRuleAction};
use super::subscription::{SubscriptionDescription, SubscriptionProperties};
use super::topic::TopicProperties;
use alloc::string::String;

/// A queue, topic, subscription or rule to create: [`QueueDescription`](super::QueueDescription),
/// [`TopicDescription`](super::TopicDescription), [`SubscriptionDescription`], [`RuleDescription`].
#[allow(private_bounds, reason = "nobody else describes entities")]
pub trait EntityDescription: Creates {
    /// The settings of the entity once it is there.
    type Properties: FromEntry;
}

/// How an [`EntityDescription`] is created.
pub(crate) trait Creates {
    /// The entity.
    fn resource(&self) -> Resource;
    /// The request that creates it.
    fn request(&self, requests: &RequestBuilder) -> Result<UnsignedRequest, InvalidRequest>;
}

/// The settings of a queue, topic or subscription, which can be changed: [`QueueProperties`], [`TopicProperties`],
/// [`SubscriptionProperties`].
#[allow(private_bounds, reason = "nobody else describes entities")]
pub trait EntityProperties: Changes + FromEntry {}

/// [`EntityProperties`] whose version the service names: [`QueueProperties`] and [`TopicProperties`]. A subscription
/// has none of its own, since the service sends its topic's ETag with it.
// docs/evidence/service-evidence.md §13.3
pub trait VersionedProperties: EntityProperties {
    /// The version that was read; `None` unless a get brought these settings.
    fn etag(&self) -> Option<&ETag>;
}

/// How [`EntityProperties`] are changed.
pub(crate) trait Changes {
    /// The entity.
    fn resource(&self) -> Resource;
    /// The request that makes its settings these.
    fn request(&self, requests: &RequestBuilder) -> Result<UnsignedRequest, InvalidRequest>;
}

macro_rules! changes {
    ($($Properties:ident by $update:ident, ($($identity:ident),+);)*) => { $(
        impl EntityProperties for $Properties {}

        impl Changes for $Properties {
            fn resource(&self) -> Resource {
                Self::resource_of($( &self.$identity ),+)
            }

            fn request(&self, requests: &RequestBuilder) -> Result<UnsignedRequest, InvalidRequest> {
                requests.$update(self)
            }
        }
    )* };
}

changes! {
    QueueProperties by update_queue, (name);
    TopicProperties by update_topic, (name);
    SubscriptionProperties by update_subscription, (topic_name, name);
}

impl VersionedProperties for QueueProperties {
    fn etag(&self) -> Option<&ETag> {
        self.etag.as_ref()
    }
}

impl VersionedProperties for TopicProperties {
    fn etag(&self) -> Option<&ETag> {
        self.etag.as_ref()
    }
}

impl QueueProperties {
    pub(super) fn resource_of(name: &str) -> Resource {
        Resource::Entity(name.into())
    }
}

impl TopicProperties {
    pub(super) fn resource_of(name: &str) -> Resource {
        Resource::Entity(name.into())
    }
}

impl SubscriptionProperties {
    pub(super) fn resource_of(topic: &str, name: &str) -> Resource {
        Resource::Subscription { topic: topic.into(), name: name.into() }
    }
}

impl SubscriptionDescription {
    /// Sets the rule that the subscription starts with: it takes these messages instead of every one. The rule's name
    /// is `$Default`.
    ///
    /// ```
    /// use servicebus_core::servicebus::administration::{RuleFilter, SubscriptionDescription};
    ///
    /// let urgent = SubscriptionDescription::new("orders", "urgent").with_filter(RuleFilter::sql("priority > 5"));
    /// assert_eq!(urgent.name, "urgent");
    /// ```
    #[must_use]
    pub fn with_filter(self, filter: impl Into<RuleFilter>) -> Self {
        let options = CreateRuleOptions::new().with_filter(filter);
        self.with_default_rule(RuleProperties::new(super::DEFAULT_RULE_NAME, options))
    }
}

/// A rule to create. A subscription starts with the rule `$Default`, which takes every message: delete it, or
/// start with another one ([`SubscriptionDescription::with_filter`]), so that others count.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RuleDescription {
    /// The topic's name.
    pub topic_name: String,
    /// The subscription's name.
    pub subscription_name: String,
    /// The rule's name: up to 50 characters.
    pub name: String,
    /// What it takes and does.
    pub options: CreateRuleOptions,
}

impl RuleDescription {
    /// A rule of this name that takes every message and does nothing to it.
    pub fn new(topic_name: impl Into<String>, subscription_name: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            topic_name: topic_name.into(),
            subscription_name: subscription_name.into(),
            name: name.into(),
            options: CreateRuleOptions::new(),
        }
    }

    /// Which messages it takes.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<RuleFilter>) -> Self {
        self.options = self.options.with_filter(filter);
        self
    }

    /// What it does to them.
    #[must_use]
    pub fn with_action(mut self, action: SqlRuleAction) -> Self {
        self.options = self.options.with_action(action);
        self
    }
}

impl EntityDescription for RuleDescription {
    type Properties = RuleProperties;
}

impl Creates for RuleDescription {
    fn resource(&self) -> Resource {
        Resource::Rule {
            topic: self.topic_name.clone(),
            subscription: self.subscription_name.clone(),
            name: self.name.clone(),
        }
    }

    fn request(&self, requests: &RequestBuilder) -> Result<UnsignedRequest, InvalidRequest> {
        let rule = RuleProperties::new(self.name.as_str(), self.options.clone());
        requests.create_rule(&self.topic_name, &self.subscription_name, &rule)
    }
}
