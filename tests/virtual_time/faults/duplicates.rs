//! Duplicate detection of partitioned entities.

use servicebus_core::servicebus::MessageRef;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// The queue `queue` and the topic `topic`, which detect duplicates.
fn world(enable_partitioning: bool) -> World {
    let mut world = World::with_queue(QueueDescription {
        requires_duplicate_detection: true,
        enable_partitioning,
        ..QueueDescription::default()
    });
    let clock = world.clock;
    let topic =
        TopicDescription { requires_duplicate_detection: true, enable_partitioning, ..TopicDescription::default() };
    world.broker.with_namespace(clock, |namespace| {
        namespace.create_topic("topic", topic, clock.utc).unwrap();
        let description = SubscriptionDescription::default();
        namespace.create_subscription("topic", "sub", description, None, clock.utc).unwrap();
    });
    world
}

/// Sends one message id under both partition keys; how many messages are kept.
fn kept(partitioned: bool, entity: &str, id: &str, keys: [&str; 2]) -> usize {
    let mut world = world(partitioned);
    let sender = world.sender(0, entity).unwrap();
    for key in keys {
        let message = MessageRef::new("x").with_message_id(id).with_partition_key(key);
        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
    }
    world.peek(0, if entity == "topic" { "topic/Subscriptions/sub" } else { entity }, 0, 10).len()
}

#[test]
fn messages_of_one_id_and_two_partition_keys_are_kept_f32() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic"] {
        for (id, keys) in [
            ("1", ["a", "b"]),
            ("id", ["a", "aa"]),
            ("id", ["k", "K"]),
            ("id", ["", "b"]),
            ("id/2", ["partition 1", "partition 2"]),
        ] {
            judge.equal(format!("{entity}, {id}, {keys:?}"), kept(true, entity, id, keys), 2, 1);
        }
        judge.control(format!("{entity}, the same key"), kept(true, entity, "id", ["a", "a"]), |kept| *kept == 1);
        judge.control(format!("{entity}, not partitioned"), kept(false, entity, "id", ["a", "b"]), |kept| *kept == 1);
    }
    judge.finish();
}
