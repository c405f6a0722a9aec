//! Creating and updating entities of any kind.

use super::etag::ETag;
use super::queue::QueueProperties;
use super::request_builder::RequestBuilder;
use super::resource::Resource;
use super::response::FromEntry;
use super::rule::{CreateRuleOptions, RuleFilter, RuleProperties, SqlRuleAction};
use super::subscription::{SubscriptionDescription, SubscriptionProperties};
use super::topic::TopicProperties;
use super::unsigned_request::{InvalidRequest, UnsignedRequest};
use alloc::string::String;

/// A queue, topic, subscription or rule to create: [`QueueDescription`](super::QueueDescription),
/// [`TopicDescription`](super::TopicDescription), [`SubscriptionDescription`], [`RuleDescription`].
///
/// # Examples
///
/// ```
/// use servicebus_core::client::administration::{AdministrationClient, AdministrationError, HttpClient, Timer};
/// use servicebus_core::servicebus::administration::EntityDescription;
///
/// /// Creates what is missing of a program's own entities.
/// async fn deploy<H: HttpClient, T: Timer, D: EntityDescription>(
///     admin: &AdministrationClient<H, T>,
///     descriptions: &[D],
/// ) -> Result<(), AdministrationError<H::Error>> {
///     for description in descriptions {
///         admin.create_if_missing(description).await?;
///     }
///     Ok(())
/// }
/// # use servicebus_core::servicebus::administration::QueueDescription;
/// # servicebus_simulation::administration_example(async |admin| {
/// # deploy(&admin, &[QueueDescription::new("baskets"), QueueDescription::new("orders")]).await?;
/// # assert!(admin.queue_exists("baskets").await?);
/// # Ok(())
/// # });
/// ```
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
///
/// # Examples
///
/// ```
/// use servicebus_core::client::administration::{AdministrationClient, AdministrationError, HttpClient, Timer};
/// use servicebus_core::servicebus::administration::EntityProperties;
///
/// async fn save<H: HttpClient, T: Timer, P: EntityProperties>(
///     admin: &AdministrationClient<H, T>,
///     settings: &P,
/// ) -> Result<P, AdministrationError<H::Error>> {
///     admin.update(settings).await
/// }
/// # servicebus_simulation::administration_example(async |admin| {
/// # save(&admin, &admin.get_queue("orders").await?).await?;
/// # Ok(())
/// # });
/// ```
#[allow(private_bounds, reason = "nobody else describes entities")]
pub trait EntityProperties: Changes + FromEntry {}

/// [`EntityProperties`] whose version the service names: [`QueueProperties`] and [`TopicProperties`]. A subscription
/// has none of its own, since the service sends its topic's ETag with it.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::VersionedProperties;
/// # servicebus_simulation::administration_example(async |admin| {
/// let orders = admin.get_queue("orders").await?;
/// println!("{:?}", VersionedProperties::etag(&orders));
/// # assert!(orders.etag.is_some());
/// # Ok(())
/// # });
/// ```
// docs/evidence/service-evidence.md §13.3
pub trait VersionedProperties: EntityProperties {
    /// The version that was read; `None` unless a get brought these settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::VersionedProperties;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(VersionedProperties::etag(&admin.get_queue("orders").await?).is_some());
    /// # Ok(())
    /// # });
    /// ```
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
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::{RuleDescription, RuleFilter};
/// # servicebus_simulation::administration_example(async |admin| {
/// let big = RuleDescription::new("events", "audit", "big").with_filter(RuleFilter::sql("total >= 1000"));
/// admin.create(&big).await?;
/// assert!(admin.rule_exists("events", "audit", "big").await?);
/// # Ok(())
/// # });
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{RuleDescription, RuleFilter};
    /// let all = RuleDescription::new("events", "audit", "all");
    /// assert_eq!(all.options.filter, RuleFilter::True);
    /// ```
    pub fn new(topic_name: impl Into<String>, subscription_name: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            topic_name: topic_name.into(),
            subscription_name: subscription_name.into(),
            name: name.into(),
            options: CreateRuleOptions::new(),
        }
    }

    /// Which messages it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{RuleDescription, RuleFilter};
    /// let big = RuleDescription::new("events", "audit", "big").with_filter(RuleFilter::sql("total >= 1000"));
    /// assert_eq!(big.options.filter, RuleFilter::sql("total >= 1000"));
    /// ```
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<RuleFilter>) -> Self {
        self.options = self.options.with_filter(filter);
        self
    }

    /// What it does to them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{RuleDescription, SqlRuleAction};
    /// let seen = RuleDescription::new("events", "audit", "all").with_action(SqlRuleAction::new("SET seen = TRUE"));
    /// assert_eq!(seen.options.action, Some(SqlRuleAction::new("SET seen = TRUE")));
    /// ```
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
