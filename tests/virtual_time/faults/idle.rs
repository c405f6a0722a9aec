//! Operations that count as use of an entity with AutoDeleteOnIdle.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;

const MINUTE: Duration = Duration::from_secs(60);
const SUB: &str = "topic/Subscriptions/sub";

/// The queue `queue` and the subscription `sub` of `topic`, which delete themselves after five idle minutes.
fn world(requires_session: bool) -> World {
    let auto_delete_on_idle = Some(5 * MINUTE);
    let lock_duration = 5 * MINUTE;
    let mut world = World::with_queue(QueueDescription {
        auto_delete_on_idle,
        lock_duration,
        requires_session,
        ..QueueDescription::default()
    });
    let description = SubscriptionDescription {
        auto_delete_on_idle,
        lock_duration,
        requires_session,
        ..SubscriptionDescription::default()
    };
    world.topic("topic", &[("sub", description)]);
    world
}

fn is_there(world: &World, entity: &str) -> bool {
    let namespace = world.broker.namespace();
    if entity == SUB { namespace.subscription("topic", "sub").is_some() } else { namespace.queue(entity).is_some() }
}

#[test]
fn a_receive_that_waits_keeps_its_entity_f7() {
    for (name, entity, credit, again) in [
        ("a prefetch that waits", "queue", 10, false),
        ("a prefetch that waits", SUB, 100, false),
        ("a single receive that waits", SUB, 1, false),
        ("a receive every minute", "queue", 1, true),
        ("a receive every minute", SUB, 1, true),
    ] {
        for deleting in [false, true] {
            let mut world = world(false);
            let link = if deleting { world.deleting_receiver(0, entity) } else { world.receiver(0, entity) }.unwrap();
            for minute in 0..8 {
                if world.detached(0, link).is_some() {
                    break;
                }
                if again {
                    world.receive_now(0, link, 1);
                } else if minute == 0 {
                    world.receive(0, link, credit);
                }
                world.advance(MINUTE);
            }
            let name = format!("{name} on {entity}, receive and delete: {deleting}");
            assert!(is_there(&world, entity), "{name}");
        }
    }
}

#[test]
fn a_settlement_counts_as_use_f7() {
    for entity in ["queue", SUB] {
        for how in ["complete", "abandon", "dead-letter", "defer"] {
            let mut world = world(false);
            let sender = world.sender(0, if entity == SUB { "topic" } else { entity }).unwrap();
            let receiver = world.receiver(0, entity).unwrap();
            world.send_texts(0, sender, &["a"]);
            let message = world.receive_now(0, receiver, 1).remove(0);
            world.advance(4 * MINUTE);
            match how {
                "complete" => world.complete(0, &message),
                "abandon" => world.abandon(0, &message),
                "defer" => world.defer(0, &message),
                _ => world.dead_letter(0, &message, "why", ""),
            };
            world.advance(3 * MINUTE);
            assert!(is_there(&world, entity), "{how} on {entity}");
        }
    }
}

#[test]
fn a_receiver_that_waits_for_a_session_does_not_keep_an_idle_subscription_f7() {
    for wait in [Some(10_000), Some(30_000), Some(60_000), Some(120_000), None] {
        let mut world = world(true);
        world.queue("beside", QueueDescription::default());
        // A connection without a link that works would be closed.
        let sender = world.sender(0, "beside").unwrap();
        let end = world.clock.utc + 12 * MINUTE;
        while world.clock.utc < end && is_there(&world, SUB) {
            world.send_texts(0, sender, &["x"]);
            world.begin_session_receiver(0, SUB, None, wait);
            world.advance(wait.map_or(Duration::from_secs(65), |wait| Duration::from_millis(wait.into())));
        }
        assert!(!is_there(&world, SUB), "accepts of {wait:?} ms, one after the other");
    }
}

#[test]
fn a_send_counts_as_use_f7() {
    for entity in ["queue", "topic"] {
        let mut world = world(false);
        let sender = world.sender(0, entity).unwrap();
        for _ in 0..4 {
            assert_eq!(world.send(0, sender, &MessageRef::new("x")), Ended::Accepted);
            world.advance(4 * MINUTE);
        }
        assert!(entity == "topic" || is_there(&world, entity));
    }
}
