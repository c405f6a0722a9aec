//! Addresses below an entity (its subscriptions, sub-queues and nodes) do not stand for the entity.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::{Reader, Sink, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::administrator::{Administrator, text};
use servicebus_tests::broker::*;

fn world() -> World {
    let mut world = World::with_queue(QueueDescription::default());
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    world
}

#[test]
fn messages_are_scheduled_for_queues_and_topics_alone() {
    for (path, entity, allowed) in [
        ("queue", "queue", true),
        ("topic", "topic", true),
        ("queue/$DeadLetterQueue", "queue", false),
        ("queue/$Transfer/$DeadLetterQueue", "queue", false),
        ("topic/Subscriptions/sub", "topic", false),
        ("topic/Subscriptions/sub/$DeadLetterQueue", "topic", false),
        ("topic/$DeadLetterQueue", "topic", false),
    ] {
        let mut world = world();
        let at = world.clock.utc + Duration::from_secs(60);
        let later = [MessageRef::new("x").with_scheduled_enqueue_time(at)];
        let first = world.schedule(0, entity, &later).numbers();
        let held = world.broker.namespace().held(entity);
        for answer in [world.schedule(0, path, &later), world.cancel(0, path, &first)] {
            assert_eq!(answer.status() == 200, allowed, "{path}: {}", answer.text());
            assert_eq!(answer.condition(), (!allowed).then_some("amqp:not-allowed"), "{path}");
        }
        assert_eq!(world.broker.namespace().held(entity), held, "{path}");
        // The first one was cancelled or is there still.
        let left = world.peek(0, entity, 0, 10);
        assert_eq!(left.len(), 1, "{path}");
        assert_eq!(left[0].number() == first[0], !allowed, "{path}");
    }
}

#[test]
fn only_a_subscription_itself_has_rules() {
    let mut filter = Vec::new();
    put_map(&mut Sink::from(&mut filter), &[("expression", Value::String("1=1"))]);
    let mut rule = Vec::new();
    put_map(&mut Sink::from(&mut rule), &[("sql-filter", Reader::new(&filter).value().unwrap())]);
    let rule = Reader::new(&rule).value().unwrap();
    for (path, allowed) in [
        ("topic/Subscriptions/sub", true),
        ("topic/Subscriptions/sub/$DeadLetterQueue", false),
        ("topic/Subscriptions/sub/$Transfer/$DeadLetterQueue", false),
        ("topic", false),
        ("queue", false),
    ] {
        let mut world = world();
        let add = [("rule-name", Value::String("r")), ("rule-description", rule)];
        for (operation, entries) in [("add-rule", &add[..]), ("enumerate-rules", &[]), ("remove-rule", &add[..1])] {
            let answer = world.manage(0, path, operation, entries);
            assert_eq!(answer.status() == 200, allowed, "{operation} {path}: {}", answer.text());
        }
    }
}

#[test]
fn a_topic_has_no_sub_queue_to_peek() {
    let mut world = world();
    let at = world.clock.utc + Duration::from_secs(60);
    world.schedule(0, "topic", &[MessageRef::new("x").with_scheduled_enqueue_time(at)]);
    let entries = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(1))];
    for (path, status) in [("topic", 200), ("topic/$DeadLetterQueue", 400), ("topic/$Transfer/$DeadLetterQueue", 400)] {
        assert_eq!(world.manage(0, path, "peek-message", &entries).status(), status, "{path}");
    }
}

/// A target of forwarding is a queue or a topic: an address below one was taken for the whole of it.
#[test]
fn messages_are_forwarded_to_queues_and_topics_alone() {
    let administrator = Administrator::default();
    for (target, allowed) in [
        ("queue", true),
        ("/QUEUE", true),
        ("topic", true),
        ("sb://sbemulatorns.servicebus.windows.net/queue", true),
        ("queue/$DeadLetterQueue", false),
        ("queue/$Transfer/$DeadLetterQueue", false),
        ("queue/$management", false),
        ("topic/Subscriptions/sub", false),
        ("topic/Subscriptions/sub/$DeadLetterQueue", false),
        ("sb://sbemulatorns.servicebus.windows.net/topic/Subscriptions/sub", false),
    ] {
        for element in ["ForwardTo", "ForwardDeadLetteredMessagesTo"] {
            for (path, kind) in
                [("/source", "QueueDescription"), ("/topic/Subscriptions/source", "SubscriptionDescription")]
            {
                for update in [false, true] {
                    let mut world = world();
                    let path = format!("{path}?api-version=2021-05");
                    if update {
                        assert_eq!(administrator.put(&mut world, &path, kind, "", false).status, 201);
                    }
                    let element = format!("<{element}>{target}</{element}>");
                    let answer = administrator.put(&mut world, &path, kind, &element, update);
                    let expected = if allowed { 200 + u16::from(!update) } else { 400 };
                    assert_eq!(answer.status, expected, "{path} {element}: {}", text(&answer));
                    assert!(allowed || text(&answer).contains("destination"), "{}", text(&answer));
                }
            }
        }
    }
}
