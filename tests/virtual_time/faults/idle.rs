//! Operations that count as use of an entity with AutoDeleteOnIdle.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_emulator::filter::{Filter, Rule};
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

/// The queue `queue` and the topic `topic` with a subscription, which delete themselves after five idle minutes, with a
/// message for later in one of them. A connection that says nothing is closed meanwhile.
fn with_a_message_for_later(entity: &str, minutes: u32, by_request: bool) -> (World, i64) {
    let auto_delete_on_idle = Some(5 * MINUTE);
    let mut world = World::with_queue(QueueDescription { auto_delete_on_idle, ..QueueDescription::default() });
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let topic = TopicDescription { auto_delete_on_idle, ..TopicDescription::default() };
        namespace.create_topic("topic", topic, clock.utc).unwrap();
        namespace.create_subscription("topic", "sub", SubscriptionDescription::default(), None, clock.utc).unwrap();
    });
    let message = MessageRef::new("later").with_scheduled_enqueue_time(clock.utc + minutes * MINUTE);
    if by_request {
        let numbers = world.schedule(0, entity, &[message]).numbers();
        return (world, numbers[0]);
    }
    let sender = world.sender(0, entity).unwrap();
    assert_eq!(world.send(0, sender, &message), Ended::Accepted);
    let number = world.peek(0, entity, 0, 1)[0].number();
    (world, number)
}

#[test]
fn an_entity_with_messages_for_later_is_not_idle_f79() {
    for entity in ["queue", "topic"] {
        for (minutes, by_request) in [(6, false), (20, false), (20, true), (34, true)] {
            let case = format!("{entity}, due after {minutes} minutes, by request: {by_request}");
            let (mut world, _) = with_a_message_for_later(entity, minutes, by_request);
            world.advance(minutes * MINUTE - Duration::from_secs(1));
            assert!(world.broker.namespace().exists(entity), "{case}: it waits");
            // It comes as if it were sent then.
            world.advance(5 * MINUTE);
            assert!(world.broker.namespace().exists(entity), "{case}: it has come");
            let client = world.connect();
            let received = if entity == "topic" { SUB } else { entity };
            assert_eq!(world.peek(client, received, 0, 9).len(), 1, "{case}");
            world.advance(10 * MINUTE);
            assert!(!world.broker.namespace().exists(entity), "{case}: idle since then");
        }
    }
}

#[test]
fn an_entity_whose_messages_for_later_are_cancelled_is_idle_f79() {
    for entity in ["queue", "topic"] {
        for by_request in [false, true] {
            let (mut world, number) = with_a_message_for_later(entity, 60, by_request);
            assert_eq!(world.cancel(0, entity, &[number]).status(), 200);
            world.advance(4 * MINUTE);
            assert!(world.broker.namespace().exists(entity), "{entity}");
            world.advance(2 * MINUTE);
            assert!(!world.broker.namespace().exists(entity), "{entity}");
        }
    }
}

#[test]
fn a_rule_that_is_added_or_changed_counts_as_use_f79() {
    for changes in [false, true] {
        let mut world = world(false);
        for at in 0..4 {
            world.advance(4 * MINUTE);
            assert!(is_there(&world, SUB), "changed: {changes}");
            let name = if changes { Rule::DEFAULT_NAME.to_owned() } else { format!("rule-{at}") };
            let rule = Rule { name, filter: Filter::False, action: None };
            let utc = world.clock.utc;
            let done = world.broker.with_namespace(world.clock, |namespace| {
                if changes {
                    namespace.update_rule("topic", "sub", rule, utc)
                } else {
                    namespace.create_rule("topic", "sub", rule, utc)
                }
            });
            done.unwrap();
        }
        world.advance(6 * MINUTE);
        assert!(!is_there(&world, SUB), "changed: {changes}");
    }
}

/// A topic that deletes itself after five idle minutes, with a subscription that does not.
fn topic_with_subscription(subscription: SubscriptionDescription) -> World {
    let mut world = World::with_queue(QueueDescription::default());
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let topic = TopicDescription { auto_delete_on_idle: Some(5 * MINUTE), ..TopicDescription::default() };
        namespace.create_topic("topic", topic, clock.utc).unwrap();
        namespace.create_subscription("topic", "sub", subscription, None, clock.utc).unwrap();
    });
    world
}

fn update(world: &mut World, description: SubscriptionDescription) {
    let utc = world.clock.utc;
    let done = world
        .broker
        .with_namespace(world.clock, |namespace| namespace.update_subscription("topic", "sub", description, utc));
    done.unwrap();
}

#[test]
fn a_topic_is_in_use_while_its_subscriptions_are_f83() {
    let plain = SubscriptionDescription::default;
    let is_there = |world: &World| world.broker.namespace().topic("topic").is_some();
    for credit in [1, 100] {
        let mut world = topic_with_subscription(plain());
        let link = world.receiver(0, SUB).unwrap();
        world.receive(0, link, credit);
        world.advance(8 * MINUTE);
        assert!(is_there(&world), "a receiver waits with a credit of {credit}");
        world.detach(0, link);
        world.advance(4 * MINUTE);
        assert!(is_there(&world), "it waited until four minutes ago");
        world.advance(2 * MINUTE);
        assert!(!is_there(&world), "nobody waits");
    }
    let mut world = topic_with_subscription(SubscriptionDescription { forward_to: Some("queue".into()), ..plain() });
    world.advance(30 * MINUTE);
    assert!(is_there(&world), "its subscription forwards");
    for deliveries in 2..6 {
        update(&mut world, SubscriptionDescription { max_delivery_count: deliveries, ..plain() });
        world.advance(4 * MINUTE);
        assert!(is_there(&world), "its subscription is changed every four minutes");
    }
    world.advance(2 * MINUTE);
    assert!(!is_there(&world), "its subscription was not changed any more");
}
