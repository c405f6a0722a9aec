//! Reads, lists and deletes subscriptions.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{Resource, SubscriptionProperties, SubscriptionRuntimeProperties};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
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
}
