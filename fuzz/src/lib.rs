//! What the fuzz targets share: a namespace in virtual time, and a scene in it.
//!
//! - `wire`: frames, values and messages, and back.
//! - `text`: connection strings, signatures, SQL, XML, configurations, requests of the management API.
//! - `client`: a client whose peer says anything.
//! - `broker`: the emulator, to which anybody says anything.
//! - `recovery`: a client and the emulator, while bytes between them change and connections break; afterwards the client
//!   works again.
//! - `model`: steps of clients against the emulator and the model of its broker.
//!
//! `fuzz/run` builds them, makes the first inputs out of real traffic, and runs them.
#![forbid(unsafe_code)]

pub mod script;

use servicebus_core::client::{Client, Error};
use servicebus_core::servicebus::{Entity, MessageRef};
use servicebus_core::storage::{Management, Sessions, Storage};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock};
use servicebus_simulation::{Simulated, World};

servicebus_core::fixed_storage! {
    /// A microcontroller's tables.
    pub type Board {
        sessions: 1, links: 10, deliveries: 16, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true, session_receivers: 2,
        lock_renewal: true, prefetch: true, receive_and_delete: true,
    }
}

/// The seed of everything: the traffic that the first inputs are made of fits what the targets replay.
pub const SEED: u64 = 7;

/// A storage of clients that ask entities and hold sessions.
pub trait Names: Storage + Management + Sessions {}

impl<S: Storage + Management + Sessions> Names for S {}

/// What can go wrong for a client.
pub type Outcome<S> = Result<(), Error<S>>;

/// A client in a world.
pub type SimulatedClient<S> = Client<Simulated<S>>;

/// The queues `q` and, with sessions, `s`.
pub fn add_entities(broker: &mut Broker, clock: Clock) {
    broker.with_namespace(clock, |namespace| {
        let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
        namespace.create_queue("q", QueueDescription::default(), clock.utc).expect("a queue");
        namespace.create_queue("s", sessions, clock.utc).expect("a queue");
    });
}

/// A namespace with these queues.
pub fn world() -> World {
    let world = World::new(BrokerConfig::default(), SEED);
    world.broker(add_entities);
    world
}

/// Everything that a device does: sending, receiving and settling, requests, and a session.
///
/// # Errors
/// The first failure.
pub async fn scene<S: Names>(client: &SimulatedClient<S>) -> Outcome<S> {
    let second = Duration::from_secs(1);
    let sender = client.sender("q")?;
    let message = MessageRef::new("21.5").with_message_id("r-1").with_subject("celsius");
    sender.send(&message).await?;
    let receiver = client.receiver("q")?;
    if let Some(mut message) = receiver.receive(second).await? {
        look(&message);
        receiver.renew_lock(&mut message).await?;
        receiver.abandon(&message).await?;
    }
    if let Some(message) = receiver.receive(second).await? {
        receiver.defer(&message).await?;
        let number = message.sequence_number().unwrap_or_default();
        receiver.receive_deferred_each(&[number], |message| look(&message)).await?;
    }
    let number = sender.schedule(&message, sender.now() + Duration::from_secs(3_600)).await?;
    receiver.peek_each(1, 10, |message| look(&message)).await?;
    sender.cancel_scheduled(&[number]).await?;
    let mut batch = sender.create_batch().await?;
    let _ = batch.try_add(&message);
    let _ = batch.try_add(&message);
    sender.send_batch(batch).await?;
    let in_session = MessageRef::new("in a session").with_session_id("one");
    client.sender("s")?.send(&in_session).await?;
    let session = client.accept_session(Entity::queue("s"), "one").await?;
    session.set_state(Some(b"state")).await?;
    let _ = session.state().await?;
    if let Some(message) = session.receive(second).await? {
        look(&message);
        session.dead_letter(&message, Default::default()).await?;
    }
    session.close().await;
    receiver.close().await;
    sender.close().await;
    Ok(())
}

/// Reads everything that a message says.
pub fn look<S: Storage>(message: &servicebus_core::servicebus::ReceivedMessage<S>) {
    let _ = (message.data(), message.subject(), message.message_id(), message.property("unit"));
    let _ = (message.sequence_number(), message.locked_until(), message.lock_token(), message.delivery_count());
    let _ = (message.session_id(), message.text().ok(), message.state(), message.as_bytes().len());
    let _ = message.traceparent();
}
