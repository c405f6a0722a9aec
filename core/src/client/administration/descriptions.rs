//! Creates and changes entities of every kind by their descriptions.

use super::{AdministrationClient, AdministrationError, HttpClient, Timer};
use crate::servicebus::administration::{
    Changes, Creates, EntityDescription, EntityProperties, InvalidRequest, Operation, VersionedProperties,
};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
    /// Creates a queue, topic, subscription or rule.
    ///
    /// ```
    /// use core::time::Duration;
    /// use servicebus_core::servicebus::administration::{QueueDescription, QueueProperties};
    ///
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let baskets = QueueDescription::new("baskets").with_lock_duration(Duration::from_secs(30));
    /// let created: QueueProperties = admin.create(&baskets).await?;
    /// assert_eq!(created.lock_duration, Duration::from_secs(30));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_already_exists`](AdministrationError::is_already_exists) where there is an entity
    /// of this name.
    #[doc(alias = "create_queue")]
    #[doc(alias = "create_topic")]
    #[doc(alias = "create_subscription")]
    #[doc(alias = "create_rule")]
    pub async fn create<D: EntityDescription>(
        &self,
        description: &D,
    ) -> Result<D::Properties, AdministrationError<H::Error>> {
        let unsigned = Creates::request(description, self.requests())?;
        self.put(unsigned, Creates::resource(description), Operation::Create).await
    }

    /// Creates a queue, topic, subscription or rule unless there is one of this name, whose settings stay as they are.
    /// Returns whether this call saw it being created.
    ///
    /// `false` does not show who created it: when the answer to the first attempt was lost, the next one finds the
    /// entity that the first has created. `true` is certain.
    ///
    /// Cancel safety: a dropped future may still have created it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]. A queue with the name of the new topic, or the other way round, counts as existing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::QueueDescription;
    /// # servicebus_simulation::administration_example(async |admin| {
    /// assert!(admin.create_if_missing(&QueueDescription::new("baskets")).await?);
    /// assert!(!admin.create_if_missing(&QueueDescription::new("baskets")).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_if_missing<D: EntityDescription>(
        &self,
        description: &D,
    ) -> Result<bool, AdministrationError<H::Error>> {
        match self.create(description).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces the settings of a queue, topic or subscription: read them, change them, and send them back. Open links
    /// are detached and come back by themselves. A change that was made in between is lost; see
    /// [`update_if_unchanged`](Self::update_if_unchanged).
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at least once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_not_found`](AdministrationError::is_not_found) where the entity is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut orders = admin.get_queue("orders").await?;
    /// orders.dead_lettering_on_message_expiration = true;
    /// let orders = admin.update(&orders).await?;
    /// assert!(orders.dead_lettering_on_message_expiration);
    /// # Ok(())
    /// # });
    /// ```
    #[doc(alias = "update_queue")]
    #[doc(alias = "update_topic")]
    #[doc(alias = "update_subscription")]
    pub async fn update<P: EntityProperties>(&self, properties: &P) -> Result<P, AdministrationError<H::Error>> {
        let unsigned = Changes::request(properties, self.requests())?;
        self.put(unsigned, Changes::resource(properties), Operation::Update).await
    }

    /// As [`update`](Self::update), for settings that are still those that were read: they are compared by their ETag,
    /// which `get_queue` and `get_topic` bring. Subscriptions have none: the service sends their topic's ETag with
    /// them, which an update of the subscription does not change.
    ///
    /// An attempt that may have changed the settings is not repeated, since the repetition would find another version
    /// and call that a conflict: it ends as `Transport`, `Timeout`, or what the service said. Read the settings to
    /// learn what is true. Only where the service is too busy to begin is it tried again, as the retry policy says.
    ///
    /// Whether Azure compares the ETag is not known from its documents; an emulator does.
    ///
    /// Cancel safety: a dropped future may still have changed it.
    ///
    /// Bound: the retry policy.
    ///
    /// Guarantee: at most once.
    ///
    /// # Errors
    /// [`AdministrationError`]; [`is_conflict`](AdministrationError::is_conflict) where the settings were changed in
    /// between: read them again. [`InvalidRequest::NoETag`] for settings that were not read by a get.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// loop {
    ///     let mut orders = admin.get_queue("orders").await?;
    ///     orders.max_delivery_count += 1;
    ///     match admin.update_if_unchanged(&orders).await {
    ///         Err(error) if error.is_conflict() => continue,
    ///         other => break other?,
    ///     }
    /// };
    /// # Ok(())
    /// # });
    /// ```
    pub async fn update_if_unchanged<P: VersionedProperties>(
        &self,
        properties: &P,
    ) -> Result<P, AdministrationError<H::Error>> {
        let etag = properties.etag().ok_or(InvalidRequest::NoETag)?;
        let unsigned = Changes::request(properties, self.requests())?.if_match(etag);
        self.put(unsigned, Changes::resource(properties), Operation::Update).await
    }
}
