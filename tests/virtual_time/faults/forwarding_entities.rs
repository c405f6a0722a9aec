//! Requests that an entity refuses when it forwards its messages.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::World;
use servicebus_tests::fault::Judge;

/// Queues and subscriptions that forward to `end` or to the topic `topic`, and some that do not.
fn world() -> (World, usize) {
    let mut world = World::new();
    let to = |target: &str| QueueDescription { forward_to: Some(target.into()), ..QueueDescription::default() };
    world.queue("end", QueueDescription::default());
    let forwards = SubscriptionDescription { forward_to: Some("end".into()), ..SubscriptionDescription::default() };
    world.topic("topic", &[("forwards", forwards), ("keeps", SubscriptionDescription::default())]);
    world.queue("to-queue", to("end"));
    world.queue("to-topic", to("topic"));
    world.queue("first-of-two", to("to-queue"));
    world.queue("as-address", to("sb://localhost/end"));
    let dead_letters =
        QueueDescription { forward_dead_lettered_messages_to: Some("end".into()), ..QueueDescription::default() };
    world.queue("dead-letters", dead_letters);
    let c = world.connect();
    (world, c)
}

/// Status and text of a peek from the beginning.
fn peek(world: &mut World, c: usize, entity: &str) -> (i64, String) {
    let entries = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(10))];
    let response = world.manage(c, entity, "peek-message", &entries);
    (response.status(), response.text().to_owned())
}

#[test]
fn an_entity_that_forwards_cannot_be_browsed_f43() {
    let (mut world, c) = world();
    let mut judge = Judge::new();
    for entity in ["to-queue", "to-topic", "first-of-two", "as-address", "topic/Subscriptions/forwards"] {
        judge.case(
            format!("peek {entity}"),
            peek(&mut world, c, entity),
            |(status, text)| {
                *status >= 400
                    && text.contains("Cannot create a message browser on an entity with auto-forwarding enabled.")
            },
            |(status, _)| *status == 204,
        );
    }
    for entity in ["end", "dead-letters", "topic/Subscriptions/keeps", "to-queue/$deadletterqueue"] {
        judge.control(format!("peek {entity}"), peek(&mut world, c, entity).0, |status| *status == 204);
    }
    let rules = world.manage(c, "topic/Subscriptions/forwards", "enumerate-rules", &[("top", 100_i32.into())]);
    judge.control("rules can be listed", rules.status(), |status| *status == 200);
    judge.finish();
}

#[test]
fn nothing_is_scheduled_on_an_entity_that_forwards_f43() {
    let (mut world, c) = world();
    let at = world.clock.utc + Duration::from_secs(60);
    let mut judge = Judge::new();
    for (entity, forwards) in [
        ("to-queue", true),
        ("to-topic", true),
        ("first-of-two", true),
        ("as-address", true),
        ("end", false),
        ("dead-letters", false),
        ("topic", false),
    ] {
        let status = world.schedule(c, entity, &[MessageRef::new("x").with_scheduled_enqueue_time(at)]).status();
        judge.case(
            format!("schedule to {entity}"),
            status,
            |status| if forwards { *status >= 400 } else { *status == 200 },
            |status| forwards && *status == 200,
        );
    }
    judge.finish();
}
