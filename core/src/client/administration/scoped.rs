//! One topic or subscription, by a handle that knows its name.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{
    RuleDescription, RuleFilter, RuleProperties, SubscriptionDescription, SubscriptionProperties,
};
use alloc::string::String;
use core::fmt;

/// The subscriptions of a topic: [`AdministrationClient::topic`]. A cheap handle; it asks the service for nothing.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::RuleFilter;
/// # servicebus_simulation::administration_example(async |admin| {
/// let events = admin.topic("events");
/// events.create_subscription_if_missing("big", RuleFilter::sql("total >= 1000")).await?;
/// assert_eq!(events.list_subscriptions().all().await?.len(), 3);
/// # Ok(())
/// # });
/// ```
pub struct TopicAdministration<H, T> {
    client: AdministrationClient<H, T>,
    topic: String,
}

/// The rules of a subscription: [`TopicAdministration::subscription`]. A cheap handle; it asks the service for nothing.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::administration::RuleFilter;
/// # servicebus_simulation::administration_example(async |admin| {
/// let audit = admin.topic("events").subscription("audit");
/// audit.create_rule("big", RuleFilter::sql("total >= 1000")).await?;
/// assert_eq!(audit.list_rules().all().await?.len(), 2);
/// # Ok(())
/// # });
/// ```
pub struct SubscriptionAdministration<H, T> {
    client: AdministrationClient<H, T>,
    topic: String,
    subscription: String,
}

impl<H, T> Clone for TopicAdministration<H, T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), topic: self.topic.clone() }
    }
}

impl<H, T> Clone for SubscriptionAdministration<H, T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), topic: self.topic.clone(), subscription: self.subscription.clone() }
    }
}

impl<H, T> fmt::Debug for TopicAdministration<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicAdministration({:?})", self.topic)
    }
}

impl<H, T> fmt::Debug for SubscriptionAdministration<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionAdministration({:?}, {:?})", self.topic, self.subscription)
    }
}

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// The topic of this name, whether it is there or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let events = admin.topic("events");
    /// for subscription in events.list_subscriptions().all().await? {
    ///     println!("{}", subscription.name);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn topic(&self, name: impl Into<String>) -> TopicAdministration<H, T> {
        TopicAdministration { client: self.clone(), topic: name.into() }
    }
}

impl<H: HttpClient, T: Timer> TopicAdministration<H, T> {
    /// The subscription of this name, whether it is there or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let audit = admin.topic("events").subscription("audit");
    /// assert_eq!(audit.list_rules().all().await?[0].name, "$Default");
    /// # Ok(())
    /// # });
    /// ```
    pub fn subscription(&self, name: impl Into<String>) -> SubscriptionAdministration<H, T> {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        SubscriptionAdministration { client, topic, subscription: name.into() }
    }

    fn described(&self, name: &str, filter: impl Into<RuleFilter>) -> SubscriptionDescription {
        SubscriptionDescription::new(self.topic.as_str(), name).with_filter(filter)
    }

    /// Creates a subscription that takes these messages, such as [`RuleFilter::sql("priority > 5")`](RuleFilter::sql);
    /// [`RuleFilter::True`] for all. For other settings, give
    /// [`AdministrationClient::create`] a [`SubscriptionDescription`].
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`AdministrationClient::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let big = admin.topic("events").create_subscription("big", RuleFilter::sql("total >= 1000")).await?;
    /// assert_eq!(big.max_delivery_count, 10);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_subscription(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<SubscriptionProperties, AdministrationError<H::Error>> {
        self.client.create(&self.described(name, filter)).await
    }

    /// As [`create_subscription`](Self::create_subscription), unless there is one of this name, which stays as it is, with
    /// its rules. Returns whether this call saw it being created. The filter is a [`RuleFilter`], such as
    /// [`RuleFilter::sql("priority > 5")`](RuleFilter::sql).
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`AdministrationClient::create_if_missing`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let events = admin.topic("events");
    /// assert!(!events.create_subscription_if_missing("audit", RuleFilter::True).await?);
    /// assert!(events.create_subscription_if_missing("big", RuleFilter::sql("total >= 1000")).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_subscription_if_missing(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.client.create_if_missing(&self.described(name, filter)).await
    }

    /// The topic's subscriptions, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let names: Vec<String> =
    ///     admin.topic("events").list_subscriptions().all().await?.into_iter().map(|audit| audit.name).collect();
    /// assert_eq!(names, ["all", "audit"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_subscriptions(&self) -> Pages<H, T, SubscriptionProperties> {
        self.client.list_subscriptions(&self.topic)
    }
}

impl<H: HttpClient, T: Timer> SubscriptionAdministration<H, T> {
    fn described(&self, name: &str, filter: impl Into<RuleFilter>) -> RuleDescription {
        RuleDescription::new(self.topic.as_str(), self.subscription.as_str(), name).with_filter(filter)
    }

    /// Creates a rule that takes these messages. For one that changes them, give [`AdministrationClient::create`] a
    /// [`RuleDescription`].
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`AdministrationClient::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{CorrelationRuleFilter, DEFAULT_RULE_NAME};
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let refunds = CorrelationRuleFilter::new().with_subject("refund");
    /// admin.topic("events").subscription("audit").create_rule("refunds", refunds).await?;
    /// // The subscription starts with a rule that takes everything.
    /// admin.delete_rule("events", "audit", DEFAULT_RULE_NAME).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_rule(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        self.client.create(&self.described(name, filter)).await
    }

    /// As [`create_rule`](Self::create_rule), unless there is one of this name, which stays as it is. Returns whether this
    /// call saw it being created.
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// As [`AdministrationClient::create_if_missing`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let audit = admin.topic("events").subscription("audit");
    /// assert!(audit.create_rule_if_missing("big", RuleFilter::sql("total >= 1000")).await?);
    /// assert!(!audit.create_rule_if_missing("big", RuleFilter::sql("total >= 5000")).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_rule_if_missing(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.client.create_if_missing(&self.described(name, filter)).await
    }

    /// The subscription's rules, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.topic("events").subscription("audit").list_rules().all().await?[0].name, "$Default");
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_rules(&self) -> Pages<H, T, RuleProperties> {
        self.client.list_rules(&self.topic, &self.subscription)
    }
}
