//! Reads, lists and deletes entities of each kind.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{
    NamespaceProperties, Operation, QueueProperties, QueueRuntimeProperties, Resource, RuleProperties,
    SubscriptionProperties, SubscriptionRuntimeProperties, TopicProperties, TopicRuntimeProperties,
};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// The properties of the namespace.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_namespace_properties(&self) -> Result<NamespaceProperties, AdministrationError<H::Error>> {
        self.get(Resource::Namespace).await
    }

    /// The settings of a queue.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_queue(&self, name: &str) -> Result<QueueProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// What a queue holds and when it was used.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_queue_runtime_properties(
        &self,
        name: &str,
    ) -> Result<QueueRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// Deletes a queue. Its messages go with it.
    ///
    /// Cancel safety: a dropped future may still have deleted it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_queue(&self, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Entity(name.into())).await
    }

    /// Whether there is a queue of this name.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn queue_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<QueueProperties>(Resource::Entity(name.into())).await
    }

    /// All queues, by name.
    pub fn list_queues(&self) -> Pages<H, T, QueueProperties> {
        Pages::new(self, Resource::Queues)
    }

    /// What all queues hold, by name.
    pub fn list_queues_runtime_properties(&self) -> Pages<H, T, QueueRuntimeProperties> {
        Pages::new(self, Resource::Queues)
    }

    /// The settings of a topic.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_topic(&self, name: &str) -> Result<TopicProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// What a topic holds and when it was used.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_topic_runtime_properties(
        &self,
        name: &str,
    ) -> Result<TopicRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Entity(name.into())).await
    }

    /// Deletes a topic. Its subscriptions and their messages go with it.
    ///
    /// Cancel safety: a dropped future may still have deleted it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Entity(name.into())).await
    }

    /// Whether there is a topic of this name.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn topic_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<TopicProperties>(Resource::Entity(name.into())).await
    }

    /// All topics, by name.
    pub fn list_topics(&self) -> Pages<H, T, TopicProperties> {
        Pages::new(self, Resource::Topics)
    }

    /// What all topics hold, by name.
    pub fn list_topics_runtime_properties(&self) -> Pages<H, T, TopicRuntimeProperties> {
        Pages::new(self, Resource::Topics)
    }

    /// The settings of a subscription.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_subscription(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<SubscriptionProperties, AdministrationError<H::Error>> {
        self.get(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// What a subscription holds and when it was used.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_subscription_runtime_properties(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<SubscriptionRuntimeProperties, AdministrationError<H::Error>> {
        self.get(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// Deletes a subscription. Its messages go with it.
    ///
    /// Cancel safety: a dropped future may still have deleted it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_subscription(&self, topic: &str, name: &str) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// Whether the topic has a subscription of this name.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn subscription_exists(&self, topic: &str, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<SubscriptionProperties>(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// All of a topic's subscriptions, by name.
    pub fn list_subscriptions(&self, topic: &str) -> Pages<H, T, SubscriptionProperties> {
        Pages::new(self, Resource::Subscriptions { topic: topic.into() })
    }

    /// What all of a topic's subscriptions hold, by name.
    pub fn list_subscriptions_runtime_properties(&self, topic: &str) -> Pages<H, T, SubscriptionRuntimeProperties> {
        Pages::new(self, Resource::Subscriptions { topic: topic.into() })
    }

    /// A rule.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn get_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        self.get(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Replaces a rule by this one, for messages that come from now on.
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn update_rule(
        &self,
        topic: &str,
        subscription: &str,
        rule: &RuleProperties,
    ) -> Result<RuleProperties, AdministrationError<H::Error>> {
        let unsigned = self.requests().update_rule(topic, subscription, rule)?;
        let (topic, subscription, name) = (topic.into(), subscription.into(), rule.name.clone());
        self.put(unsigned, Resource::Rule { topic, subscription, name }, Operation::Update).await
    }

    /// Deletes a rule.
    ///
    /// Cancel safety: a dropped future may still have deleted it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn delete_rule(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<(), AdministrationError<H::Error>> {
        self.delete(Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }).await
    }

    /// Whether the subscription has a rule of this name.
    ///
    /// Cancel safety: nothing is lost.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn rule_exists(
        &self,
        topic: &str,
        subscription: &str,
        name: &str,
    ) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<RuleProperties>(Resource::Rule {
            topic: topic.into(),
            subscription: subscription.into(),
            name: name.into(),
        })
        .await
    }

    /// All of a subscription's rules, by name.
    pub fn list_rules(&self, topic: &str, subscription: &str) -> Pages<H, T, RuleProperties> {
        Pages::new(self, Resource::Rules { topic: topic.into(), subscription: subscription.into() })
    }
}
