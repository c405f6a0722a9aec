//! What the scenes share.

use servicebus_core::client::{Client, Receiver, Sender};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::{Management, Receivers, Storage};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::entities::namespace::RuntimeCounts;
use servicebus_emulator::broker::entities::store::Store;
use servicebus_simulation::{Simulated, World};
use std::cell::Cell;

servicebus_core::fixed_storage! {
    /// A microcontroller's tables, with room for two senders or receivers beside what they need.
    pub(crate) type Small {
        sessions: 1, links: 10, deliveries: 16, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A storage of clients that send, receive and ask entities.
pub(crate) trait Names: Storage + Receivers + Management {}

impl<S: Storage + Receivers + Management> Names for S {}

/// A world with the queue `q`.
pub(crate) fn world(queue: QueueDescription) -> World {
    let world = World::new(BrokerConfig::default(), 7);
    add_queue(&world, "q", queue);
    world
}

pub(crate) fn add_queue(world: &World, name: &str, queue: QueueDescription) {
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_queue(name, queue, clock.utc)).expect("a queue");
    });
}

thread_local! {
    /// How often drivers slept too early, while [`overslept_in`] counts that.
    static OVERSLEPT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// How often a driver goes to sleep in a scene although its client has something to do.
pub(crate) fn overslept_in(scene: fn()) -> u64 {
    OVERSLEPT.set(Some(0));
    scene();
    OVERSLEPT.take().unwrap_or_default()
}

/// Runs a scene to its end. No driver may sleep while its client has something to do.
pub(crate) fn play<F: Future<Output = ()> + 'static>(world: &World, scene: impl FnOnce(World) -> F) {
    world.run(scene(world.clone()));
    if let Some(count) = OVERSLEPT.get() {
        OVERSLEPT.set(Some(count + world.overslept()));
        return;
    }
    assert!(world.overslept() == 0, "a driver slept while its client had something to do");
}

/// Looks at the messages of `q`.
pub(crate) fn with_store<T>(world: &World, look: impl FnOnce(&Store) -> T) -> T {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        let queue = namespace.queue("q").expect("the queue");
        look(namespace.store(queue.stores.main).expect("its messages"))
    })
}

/// Messages of `q` that are locked.
pub(crate) fn locks(world: &World) -> usize {
    with_store(world, Store::lock_count)
}

/// What is in `q`.
pub(crate) fn counts(world: &World) -> RuntimeCounts {
    world.broker(|broker, _| broker.namespace().counts(&broker.namespace().queue("q").expect("the queue").stores))
}

/// Sends `count` messages whose bodies are their numbers.
pub(crate) async fn send_numbers<S: Names>(sender: &Sender<Simulated<S>>, numbers: core::ops::Range<u32>) {
    for number in numbers {
        sender.send(&MessageRef::new(&number.to_be_bytes())).await.expect("a send");
    }
}

/// The number in a message's body.
pub(crate) fn number(data: &[u8]) -> u32 {
    u32::from_be_bytes(data.try_into().expect("four bytes"))
}

/// A sender and a receiver of `q`.
pub(crate) fn pair<S: Names>(client: &Client<Simulated<S>>) -> (Sender<Simulated<S>>, Receiver<Simulated<S>>) {
    (client.sender("q").expect("a sender"), client.receiver("q").expect("a receiver"))
}

/// Runs a scene on both storages.
macro_rules! on_both_storages {
    ($($(#[$meta:meta])* $name:ident => $scene:ident;)*) => { $(
        $(#[$meta])*
        #[test]
        pub(crate) fn $name() {
            $scene::<servicebus_core::storage::Heap>();
            $scene::<$crate::stage::Small>();
        }
    )* };
}
pub(crate) use on_both_storages;
