//! Requirements of partitioned entities, and the annotation that they add.

use servicebus_core::servicebus::MessageRef;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_tests::broker::{Ended, Received, World};
use servicebus_tests::coordinator::refusal;
use servicebus_tests::fault::Judge;

const ENQUEUE_NUMBER: &str = "x-opt-enqueue-sequence-number";

/// A queue `entity`, or a topic of that name with a subscription `s`.
fn world(topic: bool, partitioned: bool, duplicates: bool, sessions: bool) -> World {
    let mut world = World::new();
    let clock = world.clock;
    if topic {
        world.broker.with_namespace(clock, |namespace| {
            let description = TopicDescription {
                enable_partitioning: partitioned,
                requires_duplicate_detection: duplicates,
                ..TopicDescription::default()
            };
            namespace.create_topic("entity", description, clock.utc).unwrap();
            let description =
                SubscriptionDescription { requires_session: sessions, ..SubscriptionDescription::default() };
            namespace.create_subscription("entity", "s", description, None, clock.utc).unwrap();
        });
    } else {
        let description = QueueDescription {
            enable_partitioning: partitioned,
            requires_duplicate_detection: duplicates,
            requires_session: sessions,
            ..QueueDescription::default()
        };
        world.queue("entity", description);
    }
    world.connect();
    world
}

fn answer(world: &mut World, messages: &[MessageRef<'_>], as_batch: bool) -> Ended {
    let sender = world.sender(0, "entity").unwrap();
    if as_batch { world.send_batch(0, sender, messages) } else { world.send(0, sender, &messages[0]) }
}

fn text(answer: &Ended) -> Option<String> {
    refusal(answer).map(|failure| failure.text)
}

/// Judges that something is refused with this text, and accepted today.
fn refused(judge: &mut Judge, name: &str, answer: &Ended, wanted: &str) {
    judge.case(name, text(answer), |text| text.as_ref().is_some_and(|text| text.contains(wanted)), Option::is_none);
}

#[test]
fn a_batch_for_a_partitioned_entity_has_one_key_f44() {
    const DISTINCT: &str = "Batching brokered messages with distinct SessionId or PartitionKey is not supported for an \
        entity with partitioning enabled";
    let m = || MessageRef::new("x");
    let mut judge = Judge::new();
    for topic in [false, true] {
        let batches = [
            ("two keys", false, vec![m().with_partition_key("1"), m().with_partition_key("2")]),
            ("three keys", false, ["a", "a", "b"].map(|key| m().with_partition_key(key)).to_vec()),
            ("two sessions", false, vec![m().with_session_id("1"), m().with_session_id("2")]),
            ("two sessions required", true, vec![m().with_session_id("1"), m().with_session_id("2")]),
        ];
        for (name, sessions, batch) in batches {
            let answer = answer(&mut world(topic, true, false, sessions), &batch, true);
            refused(&mut judge, &format!("{name}, topic: {topic}"), &answer, DISTINCT);
            let answer = answer_of_plain(topic, sessions, &batch);
            judge.control(format!("{name}, not partitioned"), text(&answer), Option::is_none);
        }
        for batch in [
            vec![m().with_partition_key("1"), m().with_partition_key("1")],
            vec![m().with_session_id("1"), m().with_session_id("1")],
            // One session (F67).
            vec![m().with_session_id("Abc"), m().with_session_id("aBC")],
            vec![m(), m()],
        ] {
            let answer = answer(&mut world(topic, true, false, false), &batch, true);
            judge.control("one key", text(&answer), Option::is_none);
        }
    }
    judge.finish();
}

fn answer_of_plain(topic: bool, sessions: bool, batch: &[MessageRef<'_>]) -> Ended {
    answer(&mut world(topic, false, false, sessions), batch, true)
}

#[test]
fn duplicates_are_detected_in_a_partition_by_id_or_key_f45() {
    const NEITHER: &str = "Message to a partitioned entity with duplicate detection enabled must have either \
        PartitionKey or MessageId set";
    const DISTINCT: &str = "distinct SessionId, PartitionKey, or MessageId is not supported for an entity with \
        partitioning and duplicate detection enabled";
    let m = || MessageRef::new("x");
    let mut judge = Judge::new();
    for topic in [false, true] {
        for (name, message) in
            [("bare", m()), ("subject", m().with_subject("s")), ("correlation", m().with_correlation_id("c"))]
        {
            let answer = answer(&mut world(topic, true, true, false), &[message], false);
            refused(&mut judge, &format!("{name}, topic: {topic}"), &answer, NEITHER);
        }
        for (name, batch) in [
            ("two ids", vec![m().with_message_id("1"), m().with_message_id("2")]),
            ("two keys", vec![m().with_partition_key("1"), m().with_partition_key("2")]),
            ("two sessions", vec![m().with_session_id("1"), m().with_session_id("2")]),
        ] {
            let answer = answer(&mut world(topic, true, true, false), &batch, true);
            refused(&mut judge, &format!("batch of {name}, topic: {topic}"), &answer, DISTINCT);
        }
        for message in
            [m().with_message_id("1"), m().with_partition_key("1"), m().with_session_id("1").with_message_id("2")]
        {
            let answer = answer(&mut world(topic, true, true, false), &[message], false);
            judge.control("id or key", text(&answer), Option::is_none);
        }
    }
    judge.finish();
}

/// The message, seen in some way: received, peeked, deferred and peeked, deferred and received.
fn seen(world: &mut World, session: &str, way: &str) -> Received {
    let sender = world.sender(0, "entity").unwrap();
    assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(session)), Ended::Accepted);
    let path = "entity/Subscriptions/s";
    let receiver = world.session_receiver(0, path, Some(session), None).unwrap();
    let entries =
        [("from-sequence-number", 0_i64.into()), ("message-count", 1_i32.into()), ("session-id", session.into())];
    let peek = |world: &mut World| world.manage(0, path, "peek-message", &entries).messages().remove(0);
    if way == "peeked" {
        return peek(world);
    }
    let message = world.receive_now(0, receiver, 1).remove(0);
    if way == "received" {
        return message;
    }
    world.defer(0, &message);
    peek(world)
}

#[test]
fn a_message_of_a_partitioned_topic_has_the_number_that_it_was_sent_under_f74() {
    for session in ["s", "another session"] {
        for way in ["received", "peeked", "deferred and peeked"] {
            let mut world = world(true, true, false, true);
            let message = seen(&mut world, session, way);
            let number = message.annotation(ENQUEUE_NUMBER).and_then(|value| value.as_i64());
            assert!(number.is_some(), "{way}, {session}");
        }
    }
}

#[test]
fn deferred_messages_of_several_partitions_are_not_received_at_once_f82() {
    const PARTITIONS: &str = "ReceiveBatch of sequence numbers from different partitions is not supported for an entity \
        with partitioning enabled.";
    for topic in [false, true] {
        let path = if topic { "entity/Subscriptions/s" } else { "entity" };
        for (keys, partitioned, taken) in [
            (["a", "a", "a"], true, true),
            (["a", "a", "b"], true, false),
            (["a", "b", "c"], true, false),
            (["a", "b", "c"], false, true),
        ] {
            for lock in [false, true] {
                let case = format!("{path}, {keys:?}, partitioned: {partitioned}, locks: {lock}");
                let mut world = world(topic, partitioned, false, false);
                let (sender, receiver) = (world.sender(0, "entity").unwrap(), world.receiver(0, path).unwrap());
                for key in keys {
                    let message = MessageRef::new("x").with_partition_key(key);
                    assert_eq!(world.send(0, sender, &message), Ended::Accepted);
                }
                let messages = world.receive_now(0, receiver, 3);
                let numbers: Vec<i64> = messages.iter().map(Received::number).collect();
                for message in &messages {
                    world.defer(0, message);
                }
                let answer = world.receive_deferred(0, path, &numbers, lock);
                if taken {
                    assert_eq!(answer.messages().len(), 3, "{case}");
                    continue;
                }
                assert_eq!(answer.condition(), Some("amqp:not-allowed"), "{case}");
                assert!(answer.text().contains(PARTITIONS), "{case}: {}", answer.text());
                // None of them is locked or gone: each can be received by itself.
                for number in numbers {
                    assert_eq!(world.receive_deferred(0, path, &[number], lock).messages().len(), 1, "{case}");
                }
            }
        }
    }
}
