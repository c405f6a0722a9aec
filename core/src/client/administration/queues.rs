//! Reads, lists and deletes queues.

use super::{AdministrationClient, AdministrationError, HttpClient, Pages, Timer};
use crate::servicebus::administration::{QueueProperties, QueueRuntimeProperties, Resource};

impl<H: HttpClient, T: Timer> AdministrationClient<H, T> {
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
}
