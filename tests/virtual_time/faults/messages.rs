//! Session id and partition key of a message that is sent; delivery annotations of one that is received.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::{Reader, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// A queue, a queue of sessions, and a topic with a subscription.
fn world() -> World {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    world
}

fn must_be_equal(ended: &Ended) -> bool {
    matches!(ended, Ended::Rejected(Some(failure)) if failure.text.contains("PartitionKey and SessionId"))
}

#[test]
fn an_empty_session_id_goes_with_any_partition_key_f19() {
    for entity in ["queue", "sessions", "topic"] {
        for key in ["k", "K", "0", "a longer partition key", "1/2"] {
            let mut world = world();
            let sender = world.sender(0, entity).unwrap();
            let message = MessageRef::new("x").with_session_id("").with_partition_key(key);
            let ended = world.send(0, sender, &message);
            assert_eq!(ended, Ended::Accepted, "'{key}' to {entity}");
            let ended = world.send_batch(0, sender, &[message, message]);
            assert_eq!(ended, Ended::Accepted, "'{key}' to {entity} in a batch");
        }
    }
    let mut world = world();
    let sender = world.sender(0, "queue").unwrap();
    let message = MessageRef::new("x").with_session_id("s").with_partition_key("k");
    assert!(must_be_equal(&world.send(0, sender, &message)), "another session");
}

/// The codes of a message's sections.
fn sections(bytes: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(bytes);
    let mut codes = Vec::new();
    while !reader.is_empty() {
        match reader.value().unwrap() {
            Value::Described(section) => codes.push(section.code().unwrap()),
            other => panic!("{other:?} is no section"),
        }
    }
    codes
}

#[test]
fn a_message_that_is_deleted_has_empty_delivery_annotations_f38() {
    const DELIVERY_ANNOTATIONS: u64 = 0x71;
    let mut judge = Judge::new();
    for (entity, path) in [
        ("queue", "queue"),
        ("topic", "topic/Subscriptions/sub"),
        ("queue", "queue/$DeadLetterQueue"),
        ("topic", "topic/Subscriptions/sub/$DeadLetterQueue"),
    ] {
        for batch in [false, true] {
            let mut world = world();
            let sender = world.sender(0, entity).unwrap();
            let message = MessageRef::new("x").with_time_to_live(Duration::from_secs(600));
            let sent = if batch { world.send_batch(0, sender, &[message]) } else { world.send(0, sender, &message) };
            assert_eq!(sent, Ended::Accepted);
            if let Some(owner) = path.strip_suffix("/$DeadLetterQueue") {
                let receiver = world.receiver(0, owner).unwrap();
                let message = world.receive_now(0, receiver, 1).remove(0);
                world.dead_letter(0, &message, "why", "");
            }
            let receiver = world.deleting_receiver(0, path).unwrap();
            let message = world.receive_now(0, receiver, 1).remove(0);
            assert!(message.view().delivery_annotations().unwrap().is_empty());
            let has = sections(&message.bytes).contains(&DELIVERY_ANNOTATIONS);
            judge.equal(format!("{path}, in a batch: {batch}"), has, true, false);
        }
    }
    judge.finish();
}

/// A life as the SDK for .NET writes its longest one: a header's field of 49 days, and the times from and until when.
#[test]
fn a_life_without_end_is_read_back_as_the_time_to_the_end_of_9999_f76() {
    use servicebus_core::time::Timestamp;
    use servicebus_core::wire::messaging::{Header, Properties, put_section};
    use servicebus_core::wire::{Encode as _, Sink};
    const END: i64 = 253_402_243_199_000;
    for entity in ["queue", "topic"] {
        for until in [253_402_300_799_999, 253_402_300_000_000, END] {
            let mut world = world();
            let mut bytes = Vec::new();
            let out = &mut Sink::from(&mut bytes);
            Header { ttl: Some(u32::MAX), ..Header::EMPTY }.encode(out);
            let (creation_time, absolute_expiry_time) = (Some(world.clock.utc), Some(Timestamp::from_millis(until)));
            Properties { creation_time, absolute_expiry_time, ..Properties::EMPTY }.encode(out);
            put_section(out, servicebus_core::wire::message::section::DATA);
            b"x"[..].encode(out);
            let sender = world.sender(0, entity).unwrap();
            assert_eq!(world.send_bytes(0, sender, bytes.into(), 0, None), Ended::Accepted, "{until} to {entity}");
            let path = if entity == "topic" { "topic/Subscriptions/sub" } else { entity };
            let receiver = world.receiver(0, path).unwrap();
            let message = world.receive_now(0, receiver, 1).remove(0);
            let read = message.view().properties().unwrap().absolute_expiry_time;
            assert_eq!(read.map(Timestamp::as_millis), Some(END), "{until} to {entity}");
        }
    }
}
