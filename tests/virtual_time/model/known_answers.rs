//! Answers of the broker where no document names one, so that the model leaves them out: what they are now.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::{EntityStatus, QueueDescription};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::Control;

fn bodies(world: &mut World, path: &str) -> Vec<String> {
    world.peek(0, path, 0, 100).iter().map(Received::body).collect()
}

/// A transaction whose entity is deleted cannot be committed, unless another has the name by then: that gets its messages.
#[test]
fn the_entity_of_a_transaction_is_deleted() {
    for again in [false, true] {
        let mut world = World::with_queue(QueueDescription::default());
        let control = Control::attach(&mut world, 0);
        let sender = world.sender(0, "queue").unwrap();
        let txn = control.declare(&mut world);
        let sent = world.send_in(0, sender, &txn, &MessageRef::new("x"));
        assert_eq!(sent, Ended::Transactional(Box::new(Ended::Accepted)), "{again}");
        let clock = world.clock;
        world.broker.with_namespace(clock, |namespace| namespace.delete("queue")).unwrap();
        if again {
            world.queue("queue", QueueDescription::default());
        }
        world.settle_down();
        let committed = control.commit(&mut world, &txn);
        assert_eq!(world.broker.open_transactions(), 0);
        match (again, committed) {
            (true, Ended::Accepted) => assert_eq!(bodies(&mut world, "queue"), ["x"]),
            (false, Ended::Rejected(Some(failure))) => assert_eq!(failure.condition, "amqp:transaction:rollback"),
            other => panic!("{other:?}"),
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
