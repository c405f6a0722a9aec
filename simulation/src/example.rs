//! The world in which the examples of the documentation run.

use crate::{Simulated, SimulatedAdministration, World};
use servicebus_core::client::{Client, ProcessorControl};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use std::error::Error;

/// What an example ends with.
pub type Outcome = Result<(), Box<dyn Error>>;

impl World {
    /// The world of the documentation's examples: the queues `orders` and `invoices`, the queue `jobs` with sessions, and
    /// the topic `events` with the subscriptions `all` and `audit`.
    ///
    /// # Panics
    /// Never: the entities are new.
    pub fn of_examples() -> Self {
        let world = Self::new(BrokerConfig::default(), 1);
        let made = world.broker(|broker, clock| {
            broker.with_namespace(clock, |namespace| {
                namespace.create_queue("orders", QueueDescription::default(), clock.utc)?;
                namespace.create_queue("invoices", QueueDescription::default(), clock.utc)?;
                let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
                namespace.create_queue("jobs", sessions, clock.utc)?;
                namespace.create_topic("events", TopicDescription::default(), clock.utc)?;
                for name in ["all", "audit"] {
                    let subscription = SubscriptionDescription::default();
                    namespace.create_subscription("events", name, subscription, None, clock.utc)?;
                }
                Ok::<_, servicebus_emulator::broker::entities::EntityError>(())
            })
        });
        made.expect("the entities are new");
        world
    }

    /// Stops the processor of an example in a minute, in which it has handled what there is.
    pub fn stop_soon(&self, control: &ProcessorControl<Simulated<Heap>>) {
        let (world, control) = (self.clone(), control.clone());
        self.spawn(async move {
            world.sleep(Duration::from_secs(60)).await;
            control.stop();
        });
    }
}

/// Runs an example of the documentation with a client, in virtual time. The namespace is that of [`World::of_examples`].
///
/// ```
/// servicebus_simulation::example(async |client| {
///     let orders = client.sender("orders")?;
///     orders.send("two of the blue ones").await?;
///     Ok(())
/// });
/// ```
///
/// # Panics
/// When the example ends with an error, or never.
pub fn example(example: impl AsyncFnOnce(Client<Simulated<Heap>>) -> Outcome + 'static) {
    example_in_world(async move |world| example(world.client()).await);
}

/// Runs an example of the documentation with an administration client, in virtual time. The namespace is that of
/// [`World::of_examples`].
///
/// ```
/// servicebus_simulation::administration_example(async |admin| {
///     assert!(admin.queue_exists("orders").await?);
///     Ok(())
/// });
/// ```
///
/// # Panics
/// When the example ends with an error, or never.
pub fn administration_example(example: impl AsyncFnOnce(SimulatedAdministration) -> Outcome + 'static) {
    example_in_world(async move |world| example(world.administration()).await);
}

/// Runs an example of the documentation that needs the world itself: to let time pass, or to cut the connection.
///
/// ```
/// use servicebus_core::storage::Heap;
/// use servicebus_core::time::Duration;
///
/// servicebus_simulation::example_in_world(async |world| {
///     let client = world.client::<Heap>();
///     world.sleep(Duration::from_secs(3_600)).await;
///     client.close().await;
///     Ok(())
/// });
/// ```
///
/// # Panics
/// When the example ends with an error, or never.
pub fn example_in_world(example: impl AsyncFnOnce(World) -> Outcome + 'static) {
    let world = World::of_examples();
    let handle = world.clone();
    if let Err(error) = world.run(async move { example(handle).await }) {
        panic!("the example failed: {error}");
    }
    world.end();
}
