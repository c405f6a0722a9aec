//! Scheduled messages.

use bytes::BytesMut;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::{Compound, Reader, Sink, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

const LATER: Duration = Duration::from_secs(60);

/// A queue, a queue of sessions, and a topic with a subscription.
fn world() -> World {
    let mut world = World::with_queue(QueueDescription::default());
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    world
}

/// Messages of every kind in a namespace.
fn stored(world: &World) -> u64 {
    let namespace = world.broker.namespace();
    let queues: u64 = namespace.queues().map(|queue| namespace.counts(&queue.stores).total()).sum();
    let topics: u64 = namespace.topics().map(|topic| namespace.topic_counts(topic).scheduled).sum();
    queues + topics
}

/// Asks for messages to be scheduled; the status of the answer, if one comes.
fn schedule(world: &mut World, entity: &str, messages: &[MessageRef<'_>]) -> Option<i64> {
    let mut list = BytesMut::new();
    let sink = &mut Sink::from(&mut list);
    let mark = sink.begin();
    for message in messages {
        put_map(sink, &[("message", Value::Binary(&encoded(message)))]);
    }
    sink.end(mark, Compound::List, messages.len());
    let entries = [("messages", Reader::new(&list).value().unwrap())];
    let operation = [("operation", "com.microsoft:schedule-message".into())];
    let address = format!("{entity}/$management");
    Some(world.try_ask(0, &address, &operation, |out| put_map(out, &entries), None)?.status())
}

#[test]
fn a_scheduled_message_over_the_entitys_size_is_refused_f17() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic", "sessions"] {
        for kilobytes in [200, 257, 300, 1_024, 5_120] {
            let mut world = world();
            let body = "x".repeat(kilobytes << 10);
            let at = world.clock.utc + LATER;
            let message = MessageRef::new(&body).with_session_id("s").with_scheduled_enqueue_time(at);
            let (link, _) = world.node(0, &format!("{entity}/$management"));
            let status = schedule(&mut world, entity, &[message]);
            let closed = world.detached(0, link).map(|failure| failure.condition);
            let fits = kilobytes < 256;
            judge.case(
                format!("{kilobytes} KB for {entity}"),
                (status, closed, stored(&world)),
                |(status, closed, stored)| match fits {
                    true => *status == Some(200) && closed.is_none() && *stored == 1,
                    false => closed.as_deref() == Some("amqp:link:message-size-exceeded") && *stored == 0,
                },
                |(status, closed, stored)| !fits && *status == Some(200) && closed.is_none() && *stored == 1,
            );
        }
    }
    judge.finish();
}

#[test]
fn a_message_that_was_scheduled_is_received_in_state_2_f18() {
    let mut judge = Judge::new();
    for (entity, path) in [("queue", "queue"), ("sessions", "sessions"), ("topic", "topic/Subscriptions/sub")] {
        for how in ["sent with a time", "scheduled", "sent at once"] {
            for deleting in [false, true] {
                if deleting && entity == "sessions" {
                    continue;
                }
                let mut world = world();
                let at = world.clock.utc + LATER;
                let message = MessageRef::new("x").with_session_id("s");
                let sender = world.sender(0, entity).unwrap();
                match how {
                    "scheduled" => {
                        world.schedule(0, entity, &[message.with_scheduled_enqueue_time(at)]);
                    }
                    "sent at once" => assert_eq!(world.send(0, sender, &message), Ended::Accepted),
                    _ => {
                        let message = message.with_scheduled_enqueue_time(at);
                        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
                    }
                }
                world.advance(2 * LATER);
                let link = match (entity, deleting) {
                    ("sessions", _) => world.session_receiver(0, path, Some("s"), None),
                    (_, true) => world.deleting_receiver(0, path),
                    (_, false) => world.receiver(0, path),
                }
                .unwrap();
                let message = world.receive_now(0, link, 1).remove(0);
                let state = message.annotation("x-opt-message-state").and_then(|value| value.as_i64());
                let (right, wrong) = if how == "sent at once" { (None, Some(2)) } else { (Some(2), None) };
                judge.equal(format!("{path}, {how}, deleting: {deleting}"), state, right, wrong);
            }
        }
    }
    judge.finish();
}
