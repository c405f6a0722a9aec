//! Reads, lists and deletes topics.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{Resource, TopicProperties, TopicRuntimeProperties};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
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
}
