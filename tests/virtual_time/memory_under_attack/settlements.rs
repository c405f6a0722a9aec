//! What settlements, names and copies add to what was sent: it counts like what was sent.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::wire::messaging::{MessageId, Properties};
use servicebus_core::wire::{self, MapWriter, Reader, Sink};
use servicebus_emulator::broker::budget::Holding;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, is_enlisted};

/// An encoded map of so many properties of so many bytes each.
fn properties(name: &str, count: usize, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sink = Sink::from(&mut out);
    let mut map = MapWriter::begin(&mut sink);
    for number in 0..count {
        map.put(&format!("{name}{number}"), "x".repeat(size).as_str());
    }
    map.end();
    out
}

fn abandon_with(world: &mut World, message: &Received, changes: &[u8]) -> Ended {
    world.settle(0, message, &modified(false, Some(Reader::new(changes).read().unwrap())))
}

fn world(memory: usize, description: QueueDescription) -> World {
    let mut world = World::new();
    world.broker = Broker::new(BrokerConfig { memory, ..BrokerConfig::default() }, 7);
    world.queue("queue", description);
    world.connect();
    world
}

fn condition(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Rejected(Some(failure)) => Some(failure.condition.to_string()),
        Ended::Modified { .. } => None,
        other => Some(format!("{other:?}")),
    }
}

#[test]
fn properties_that_a_settlement_sets_count_against_the_budget() {
    const LIMIT: usize = 8 << 20;
    const COUNT: usize = 400;
    let mut world = world(LIMIT, QueueDescription::default());
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    let before = world.broker.memory_used_for(Holding::Messages);
    world.send_texts(0, sender, &[""; COUNT]);
    let changes = properties("p", 2, 15_000);
    let mut taken = 0;
    let mut refused = None;
    for message in world.receive(0, receiver, COUNT as u32) {
        match condition(&abandon_with(&mut world, &message, &changes)) {
            None => taken += 1,
            Some(why) => refused = Some(why),
        }
        assert!(world.broker.budget().used() <= LIMIT);
    }
    assert!((150..240).contains(&taken), "{taken}");
    assert_eq!(refused.as_deref(), Some("amqp:resource-limit-exceeded"));
    assert!(world.broker.memory_used_for(Holding::Messages) >= taken * 30_000);
    // What was refused is still locked, and comes back with the end of its lock.
    world.advance(core::time::Duration::from_secs(61));
    let receiver = world.receiver(0, "queue").unwrap();
    while world.consume(0, receiver).is_some() {}
    assert_eq!(world.broker.memory_used_for(Holding::Messages), before);
}

#[test]
fn properties_that_a_settlement_sets_have_the_room_of_those_that_are_sent() {
    let mut world = world(64 << 20, QueueDescription { max_delivery_count: 100, ..QueueDescription::default() });
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    world.send_texts(0, sender, &["a"]);
    for (name, answer) in [
        ("a", None),
        // Others in place of the same.
        ("a", None),
        ("b", Some("amqp:link:message-size-exceeded")),
    ] {
        let message = world.receive(0, receiver, 1).remove(0);
        let ended = abandon_with(&mut world, &message, &properties(name, 2, 20_000));
        assert_eq!(condition(&ended).as_deref(), answer, "{name}");
    }
}

/// The size of a queue bounds what comes in: its messages can always be settled, and what that adds counts.
#[test]
fn a_message_of_a_full_queue_is_settled_in_every_way() {
    let mut world = world(64 << 20, QueueDescription { max_size_in_megabytes: 1, ..QueueDescription::default() });
    let (sender, receiver) = (world.sender(0, "queue").unwrap(), world.receiver(0, "queue").unwrap());
    for _ in 0..5 {
        assert_eq!(world.send(0, sender, &MessageRef::new(&vec![7; 200_000])), Ended::Accepted);
    }
    let messages = world.receive(0, receiver, 3);
    let changes = properties("p", 2, 15_000);
    assert_eq!(condition(&abandon_with(&mut world, &messages[0], &changes)), None);
    assert_eq!(condition(&abandon_with(&mut world, &messages[1], &changes)), None);
    world.dead_letter(0, &messages[2], "mine", "because");
    let full = condition(&world.send(0, sender, &MessageRef::new("x")));
    assert_eq!(full.as_deref(), Some("amqp:resource-limit-exceeded"));
}

#[test]
fn an_operation_that_a_transaction_refuses_is_not_counted() {
    let mut world = world(64 << 20, QueueDescription { requires_session: true, ..QueueDescription::default() });
    let sender = world.sender(0, "queue").unwrap();
    let control = Control::attach(&mut world, 0);
    let txn = control.declare(&mut world);
    let before = world.broker.memory_used_for(Holding::Transactions);
    for _ in 0..10 {
        let answer = world.send_in(0, sender, &txn, &MessageRef::new("it has no session"));
        assert!(!is_enlisted(&answer), "{answer:?}");
    }
    assert_eq!(world.broker.memory_used_for(Holding::Transactions), before);
}

#[test]
fn ids_of_any_type_and_names_of_sessions_are_bounded() {
    let mut world = world(64 << 20, QueueDescription::default());
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    let sender = world.sender(0, "queue").unwrap();
    for (length, taken) in [(128, true), (129, false), (1_000, false)] {
        let id = vec![1; length];
        let properties = Properties { message_id: Some(MessageId::Binary(&id)), ..Properties::EMPTY };
        let mut bytes = wire::to_vec(&properties);
        bytes.extend_from_slice(&[0x00, 0x53, 0x75, 0xa0, 0x01, 0x07]);
        assert_eq!(world.send_bytes(0, sender, bytes.into(), 0, None) == Ended::Accepted, taken, "{length} bytes");
        let name = "x".repeat(length.min(129));
        assert_eq!(world.session_receiver(0, "sessions", Some(&name), None).is_ok(), taken, "{length} characters");
    }
}

#[test]
fn copies_that_come_back_to_their_topic_stay_within_the_budget() {
    const LIMIT: usize = 2 << 20;
    let mut world = world(LIMIT, QueueDescription::default());
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let back = || SubscriptionDescription { forward_to: Some("topic".into()), ..SubscriptionDescription::default() };
    let subscriptions: Vec<_> = names.iter().map(|name| (name.as_str(), back())).collect();
    world.topic("topic", &subscriptions);
    let sender = world.sender(0, "topic").unwrap();
    assert_eq!(world.send(0, sender, &MessageRef::new("x")), Ended::Accepted);
    world.advance(core::time::Duration::from_secs(60));
    let used = world.broker.budget().used();
    assert!((LIMIT / 2..=LIMIT).contains(&used), "{used}");
}
