//! Batches without data, beyond the limit, or of many messages; and that each accepted message is stored.

use bytes::Bytes;
use servicebus_core::servicebus::{BATCH_FORMAT, MessageRef};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::{Ended, Failure, World, encoded};
use servicebus_tests::coordinator::refusal;
use servicebus_tests::fault::Judge;

/// Whether a link went as that of a publisher does that sends a batch without data.
fn no_data(detached: Option<&Failure>) -> bool {
    detached.is_some_and(|failure| {
        failure.condition == "amqp:not-allowed"
            && failure.text.contains("is force detached by the broker because publisher(link")
            && failure.text.contains("received a batch message with no data in it. Detach origin: Publisher.")
    })
}

/// An `amqp-value` section.
fn value(encoded: &[u8]) -> Vec<u8> {
    [&[0x00, 0x53, 0x77], encoded].concat()
}

fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing at all", vec![]),
        ("null", value(&[0x40])),
        ("an amqp-value", value(b"\xa1\x05hello")),
        ("an amqp-value of bytes", value(b"\xa0\x05hello")),
        ("an amqp-sequence", b"\x00\x53\x76\xc0\x03\x01\x54\x01".to_vec()),
        ("properties alone", b"\x00\x53\x73\xc0\x04\x01\xa1\x01i".to_vec()),
        ("text", b"hello".to_vec()),
        ("0xff", vec![0xff; 8]),
        ("zeros", vec![0; 16]),
    ]
}

#[test]
fn a_batch_without_data_ends_its_link_f46() {
    let mut judge = Judge::new();
    for (name, payload) in payloads() {
        for entity in ["queue", "topic"] {
            let mut world = World::with_queue(QueueDescription::default());
            world.topic("topic", &[]);
            let sender = world.sender(0, entity).unwrap();
            let answer = world.send_bytes(0, sender, Bytes::from(payload.clone()), BATCH_FORMAT, None);
            judge.case(
                format!("{name} to the {entity}"),
                (answer, world.detached(0, sender)),
                |(_, detached)| no_data(detached.as_ref()),
                // Bodies of another kind are refused today, but by themselves and for another reason.
                |(answer, detached)| {
                    let condition = refusal(answer).map(|failure| failure.condition);
                    detached.is_none() && matches!(condition.as_deref(), None | Some("amqp:decode-error"))
                },
            );
        }
    }
    judge.finish();
}

#[test]
fn every_accepted_message_is_kept_f46() {
    let mut judge = Judge::new();
    let mut message = payloads();
    message.push(("data cut short", b"\x00\x53\x75\xa0\x05he".to_vec()));
    message.push(("data of garbage", b"\x00\x53\x75\xa0\x05hello".to_vec()));
    message.push(("a message", encoded(&MessageRef::new("x")).to_vec()));
    for (name, payload) in message {
        for format in [0, 1, 0x8001_3700, 0x8001_3701, u32::MAX] {
            let mut world = World::with_queue(QueueDescription::default());
            let sender = world.sender(0, "queue").unwrap();
            let answer = world.send_bytes(0, sender, Bytes::from(payload.clone()), format, None);
            let kept = !world.peek(0, "queue", 0, 1).is_empty();
            if name == "a message" && format != BATCH_FORMAT {
                judge.control(format!("a message in format {format:#x}"), kept, |kept| *kept);
            }
            judge.case(
                format!("{name} in format {format:#x}"),
                (answer == Ended::Accepted, kept),
                |(accepted, kept)| accepted == kept,
                |seen| *seen == (true, false),
            );
        }
    }
    judge.finish();
}

/// A queue as only the premium tier has it, for messages of 10 MB.
fn premium() -> QueueDescription {
    QueueDescription { max_message_size_in_kilobytes: Some(10_240), ..QueueDescription::default() }
}

#[test]
fn a_batch_beyond_its_limit_is_one_without_data_f47() {
    let mut judge = Judge::new();
    for (count, kilobytes) in [(3, 700), (2, 600), (4, 300), (2, 1_100), (11, 100), (2, 500), (3, 100)] {
        let mut world = World::with_queue(premium());
        let sender = world.sender(0, "queue").unwrap();
        let body = vec![b'x'; kilobytes * 1_000];
        let answer = world.send_batch(0, sender, &vec![MessageRef::new(&body); count]);
        let condition = refusal(&answer).map(|failure| failure.condition);
        let fits = count * kilobytes <= 1_000;
        judge.case(
            format!("{count} of {kilobytes} KB"),
            (condition, world.detached(0, sender)),
            |(condition, detached)| {
                if fits { condition.is_none() && detached.is_none() } else { no_data(detached.as_ref()) }
            },
            |(condition, _)| !fits && condition.as_deref() == Some("amqp:link:message-size-exceeded"),
        );
    }
    judge.finish();
}

/// Reports about the standard tier are divided (docs/evidence/field-reports.md F75); in the premium tier, which
/// alone has entities for messages of more than 256 KB, both reports agree on up to 15 000.
#[test]
fn a_batch_of_the_premium_tier_has_no_limit_of_messages_f75() {
    let mut judge = Judge::new();
    for count in [4_499, 4_500, 4_501, 4_502, 6_000, 9_001, 15_000] {
        let mut world = World::with_queue(premium());
        let sender = world.sender(0, "queue").unwrap();
        let answer = world.send_batch(0, sender, &vec![MessageRef::new("x"); count]);
        judge.case(count, refusal(&answer).map(|failure| failure.condition), Option::is_none, |condition| {
            count > 4_500 && condition.as_deref() == Some("amqp:internal-error")
        });
    }
    judge.finish();
}
