//! One topic or subscription, by a handle that knows its name.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{
    RuleDescription, RuleFilter, RuleProperties, SubscriptionDescription, SubscriptionProperties,
};
use alloc::string::String;
use core::fmt;

/// The subscriptions of a topic: [`AdministrationClient::topic`]. A cheap handle; it asks the service for nothing.
pub struct TopicAdministration<H, T> {
    client: AdministrationClient<H, T>,
    topic: String,
}

/// The rules of a subscription: [`TopicAdministration::subscription`]. A cheap handle; it asks the service for nothing.
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
    pub fn topic(&self, name: impl Into<String>) -> TopicAdministration<H, T> {
        TopicAdministration { client: self.clone(), topic: name.into() }
    }
}

impl<H: HttpClient, T: Timer> TopicAdministration<H, T> {
    /// The subscription of this name, whether it is there or not.
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
    pub async fn create_subscription_if_missing(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.client.create_if_missing(&self.described(name, filter)).await
    }

    /// The topic's subscriptions, by name.
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
    pub async fn create_rule_if_missing(
        &self,
        name: &str,
        filter: impl Into<RuleFilter>,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.client.create_if_missing(&self.described(name, filter)).await
    }

    /// The subscription's rules, by name.
    pub fn list_rules(&self) -> Pages<H, T, RuleProperties> {
        self.client.list_rules(&self.topic, &self.subscription)
    }
}
