//! Answers of the broker where no document names one, so that the model leaves them out: what they are now.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::{Reader, Value};
use servicebus_emulator::broker::entities::{EntityStatus, QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, refusal};

fn bodies(world: &mut World, path: &str) -> Vec<String> {
    world.peek(0, path, 0, 100).iter().map(Received::body).collect()
}

/// What a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Enlisted {
    Send,
    Completion,
    Schedule,
    Cancel,
    SendToTopic,
    CompletionInSubscription,
}

/// A transaction whose queue, topic or subscription is deleted takes nothing in any more and cannot be committed, whatever
/// has the name by then: that is another entity, which gets nothing of it and holds no room for it.
#[test]
fn the_entity_of_a_transaction_is_deleted() {
    use Enlisted::*;
    for of in [Send, Completion, Schedule, Cancel, SendToTopic, CompletionInSubscription] {
        for again in [false, true] {
            let mut world = World::with_queue(QueueDescription::default());
            let make = |world: &mut World| {
                world.topic("topic", &[("sub", SubscriptionDescription::default())]);
            };
            make(&mut world);
            let is_topic = matches!(of, SendToTopic | CompletionInSubscription);
            let (entity, source) = if is_topic { ("topic", "topic/Subscriptions/sub") } else { ("queue", "queue") };
            let control = Control::attach(&mut world, 0);
            let sender = world.sender(0, entity).unwrap();
            let receiver = world.receiver(0, source).unwrap();
            let soon = world.clock.utc + Duration::from_secs(60);
            let scheduled = [MessageRef::new("x").with_scheduled_enqueue_time(soon)];
            let numbers = longs(&world.schedule(0, entity, &scheduled).numbers());
            world.send_texts(0, sender, &["before"]);
            let received = world.receive_now(0, receiver, 1).remove(0);
            let txn = control.declare(&mut world);
            let enlisted = Ended::Transactional(Box::new(Ended::Accepted));
            match of {
                Send | SendToTopic => {
                    assert_eq!(world.send_in(0, sender, &txn, &MessageRef::new("x")), enlisted);
                }
                Completion | CompletionInSubscription => {
                    assert_eq!(world.complete_in(0, &received, &txn), enlisted);
                }
                Schedule => assert_eq!(world.schedule_in(0, entity, &scheduled, Some(&txn)).status(), 200),
                Cancel => {
                    let entries = [("sequence-numbers", Reader::new(&numbers).value().unwrap())];
                    let cancelled = world.manage_in(0, entity, "cancel-scheduled-message", &entries, Some(&txn));
                    assert_eq!(cancelled.status(), 200);
                }
            }
            let clock = world.clock;
            world.broker.with_namespace(clock, |namespace| namespace.delete(entity)).unwrap();
            if again {
                match is_topic {
                    true => make(&mut world),
                    false => world.queue("queue", QueueDescription::default()),
                }
                world.settle_down();
                world.forget_detached_nodes(0);
                let fresh = world.sender(0, entity).unwrap();
                let refused = refusal(&world.send_in(0, fresh, &txn, &MessageRef::new("y"))).unwrap();
                assert_eq!(refused.condition, "amqp:not-found", "{of:?}");
                assert_eq!(world.broker.namespace().held(entity), 0, "{of:?}");
                world.schedule(0, entity, &scheduled);
                world.send_texts(0, fresh, &["after"]);
            }
            let held = world.broker.namespace().held(entity);
            let refused = refusal(&control.commit(&mut world, &txn)).unwrap();
            assert_eq!(refused.condition, "amqp:transaction:rollback", "{of:?}");
            assert_eq!((world.broker.open_transactions(), world.broker.namespace().held(entity)), (0, held));
            if again {
                let left = if is_topic { vec!["after"] } else { vec!["x", "after"] };
                assert_eq!(bodies(&mut world, source), left, "{of:?}");
            }
        }
    }
}

/// An id counts as taken when its message is sent, not when its time has come.
#[test]
fn a_scheduled_message_takes_its_id_when_it_is_sent() {
    let mut world = World::with_queue(QueueDescription {
        requires_duplicate_detection: true,
        duplicate_detection_history_time_window: Duration::from_secs(60),
        ..QueueDescription::default()
    });
    let sender = world.sender(0, "queue").unwrap();
    let at = world.clock.utc + Duration::from_secs(90);
    let scheduled = MessageRef::new("later").with_message_id("1").with_scheduled_enqueue_time(at);
    assert_eq!(world.send(0, sender, &scheduled), Ended::Accepted);
    assert_eq!(world.send(0, sender, &MessageRef::new("now").with_message_id("1")), Ended::Accepted);
    assert_eq!(bodies(&mut world, "queue"), ["later"]);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.send(0, sender, &MessageRef::new("again").with_message_id("1")), Ended::Accepted);
    world.advance(Duration::from_secs(30));
    assert_eq!(bodies(&mut world, "queue"), ["again", "later"]);
}

/// A message waits for its time in the entity that it was sent to, and is forwarded then.
#[test]
fn a_scheduled_message_is_forwarded_when_its_time_has_come() {
    let mut world = World::new();
    world.queue("target", QueueDescription::default());
    world.queue("source", QueueDescription { forward_to: Some("target".into()), ..QueueDescription::default() });
    world.connect();
    let sender = world.sender(0, "source").unwrap();
    let at = world.clock.utc + Duration::from_secs(10);
    assert_eq!(world.send(0, sender, &MessageRef::new("x").with_scheduled_enqueue_time(at)), Ended::Accepted);
    assert_eq!(bodies(&mut world, "target"), Vec::<String>::new());
    world.advance(Duration::from_secs(10));
    assert_eq!(bodies(&mut world, "target"), ["x"]);
}

/// `$management` of an entity that is disabled.
#[test]
fn requests_to_a_disabled_entity() {
    for (status, peeks) in [
        (EntityStatus::Active, true),
        (EntityStatus::SendDisabled, true),
        (EntityStatus::ReceiveDisabled, true),
        (EntityStatus::Disabled, true),
    ] {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        world.send_texts(0, sender, &["x"]);
        let clock = world.clock;
        let description = QueueDescription { status, ..QueueDescription::default() };
        world
            .broker
            .with_namespace(clock, |namespace| namespace.update_queue("queue", description, clock.utc))
            .unwrap();
        world.advance(Duration::from_secs(5));
        world.forget_detached_nodes(0);
        let entries = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(1))];
        let response = world.manage(0, "queue", "peek-message", &entries);
        assert_eq!(response.status() == 200, peeks, "{status:?}");
    }
}

/// Where UTC goes back, an id stays until the window has passed by UTC.
#[test]
fn ids_are_remembered_by_utc() {
    let mut world = World::with_queue(QueueDescription {
        requires_duplicate_detection: true,
        duplicate_detection_history_time_window: Duration::from_secs(60),
        ..QueueDescription::default()
    });
    let sender = world.sender(0, "queue").unwrap();
    let send = |world: &mut World, body: &str| {
        assert_eq!(world.send(0, sender, &MessageRef::new(body).with_message_id("1")), Ended::Accepted);
    };
    send(&mut world, "first");
    world.clock.utc = world.clock.utc - Duration::from_secs(30);
    world.advance(Duration::from_secs(61));
    send(&mut world, "dropped");
    world.advance(Duration::from_secs(30));
    send(&mut world, "second");
    assert_eq!(bodies(&mut world, "queue"), ["first", "second"]);
}
