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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let namespace = admin.get_namespace_properties().await?;
    /// println!("{} is a namespace of the tier {}", namespace.name, namespace.messaging_sku);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let orders = admin.get_queue("orders").await?;
    /// assert_eq!((orders.max_delivery_count, orders.requires_session), (10, false));
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (admin, client) = (world.administration(), world.client::<Heap>());
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// let orders = admin.get_queue_runtime_properties("orders").await?;
    /// assert_eq!(orders.message_count_details.active, 1);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.delete_queue("invoices").await?;
    /// assert!(!admin.queue_exists("invoices").await?);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.queue_exists("orders").await?);
    /// assert!(!admin.queue_exists("baskets").await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn queue_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<QueueProperties>(Resource::Entity(name.into())).await
    }

    /// All queues, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let names: Vec<String> = admin.list_queues().all().await?.into_iter().map(|queue| queue.name).collect();
    /// assert_eq!(names, ["invoices", "jobs", "orders"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_queues(&self) -> Pages<H, T, QueueProperties> {
        Pages::new(self, Resource::Queues)
    }

    /// What all queues hold, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let queues = admin.list_queues_runtime_properties().all().await?;
    /// let waiting: u64 = queues.iter().map(|queue| queue.message_count_details.active).sum();
    /// assert_eq!(waiting, 0);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let events = admin.get_topic("events").await?;
    /// assert_eq!(events.max_size_in_megabytes, 1_024);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.get_topic_runtime_properties("events").await?.subscription_count, 2);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.delete_topic("events").await?;
    /// assert!(!admin.topic_exists("events").await?);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.topic_exists("events").await?);
    /// assert!(!admin.topic_exists("orders").await?, "that is a queue");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn topic_exists(&self, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<TopicProperties>(Resource::Entity(name.into())).await
    }

    /// All topics, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.list_topics().all().await?[0].name, "events");
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_topics(&self) -> Pages<H, T, TopicProperties> {
        Pages::new(self, Resource::Topics)
    }

    /// What all topics hold, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// for topic in admin.list_topics_runtime_properties().all().await? {
    ///     println!("{}: {} subscriptions", topic.name, topic.subscription_count);
    /// }
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let audit = admin.get_subscription("events", "audit").await?;
    /// assert_eq!((audit.topic_name.as_str(), audit.name.as_str()), ("events", "audit"));
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let audit = admin.get_subscription_runtime_properties("events", "audit").await?;
    /// assert_eq!(audit.total_message_count, 0);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.delete_subscription("events", "audit").await?;
    /// assert!(!admin.subscription_exists("events", "audit").await?);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.subscription_exists("events", "audit").await?);
    /// assert!(!admin.subscription_exists("events", "reports").await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn subscription_exists(&self, topic: &str, name: &str) -> Result<bool, AdministrationError<H::Error>> {
        self.exists::<SubscriptionProperties>(Resource::Subscription { topic: topic.into(), name: name.into() }).await
    }

    /// All of a topic's subscriptions, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.list_subscriptions("events").all().await?.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_subscriptions(&self, topic: &str) -> Pages<H, T, SubscriptionProperties> {
        Pages::new(self, Resource::Subscriptions { topic: topic.into() })
    }

    /// What all of a topic's subscriptions hold, by name.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// for subscription in admin.list_subscriptions_runtime_properties("events").all().await? {
    ///     println!("{}: {} messages", subscription.name, subscription.total_message_count);
    /// }
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert_eq!(admin.get_rule("events", "audit", "$Default").await?.filter, RuleFilter::True);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::RuleFilter;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut rule = admin.get_rule("events", "audit", "$Default").await?;
    /// rule.filter = RuleFilter::sql("total >= 1000");
    /// admin.update_rule("events", "audit", &rule).await?;
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// admin.delete_rule("events", "audit", "$Default").await?;
    /// assert!(admin.list_rules("events", "audit").all().await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.rule_exists("events", "audit", "$Default").await?);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// for rule in admin.list_rules("events", "audit").all().await? {
    ///     println!("{}: {:?}", rule.name, rule.filter);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn list_rules(&self, topic: &str, subscription: &str) -> Pages<H, T, RuleProperties> {
        Pages::new(self, Resource::Rules { topic: topic.into(), subscription: subscription.into() })
    }
}
