//! What clients send has the type that it must have, or is refused and changes nothing: a value of another type must not
//! read as one that is missing.

use bytes::{Bytes, BytesMut};
use servicebus_core::engine::SendOptions;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected, put_section};
use servicebus_core::wire::performative::ErrorCondition;
use servicebus_core::wire::{Compound, Encode, Map, Reader, Sink, Symbol, Tag, Uuid, Value, encode_map};
use servicebus_emulator::broker::entities::namespace::RuntimeCounts;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::administrator::Administrator;
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::{Control, is_enlisted, refusal};

fn counts(world: &World) -> RuntimeCounts {
    let namespace = world.broker.namespace();
    namespace.counts(&namespace.queue("queue").unwrap().stores)
}

/// A list with one number.
fn list() -> Vec<u8> {
    let mut out = Vec::new();
    let sink = &mut Sink::from(&mut out);
    let mark = sink.begin();
    1_i32.encode(sink);
    sink.end(mark, Compound::List, 1);
    out
}

/// Every entry of a request's body but those with items, which have a test of their own in `hostile`.
#[test]
fn entries_of_requests() {
    let list = list();
    let list = Reader::new(&list).value().unwrap();
    let number = Value::Int(1);
    let text = Value::String("1");
    let mut buffer = [0; 64];
    let numbered = Value::Map(encode_map(&[(Value::Int(1), Value::Int(1))], &mut buffer).unwrap());
    for (operation, key, wrong) in [
        ("peek-message", "from-sequence-number", text),
        ("peek-message", "message-count", text),
        ("peek-message", "session-id", number),
        ("peek-message", "omit-message-body", number),
        ("batch-delete-messages", "message-count", text),
        ("batch-delete-messages", "enqueued-time-utc", Value::Long(5)),
        ("batch-delete-messages", "enqueued-time-utc", text),
        ("batch-delete-messages", "session-id", number),
        ("batch-delete-messages", "session-id", list),
        ("get-message-sessions", "last-updated-time", Value::Long(5)),
        ("get-message-sessions", "skip", text),
        ("get-message-sessions", "top", text),
        ("receive-by-sequence-number", "receiver-settle-mode", text),
        ("receive-by-sequence-number", "receiver-settle-mode", Value::Uint(2)),
        ("receive-by-sequence-number", "session-id", number),
        ("update-disposition", "disposition-status", number),
        ("update-disposition", "deadletter-reason", number),
        ("update-disposition", "deadletter-description", Value::Boolean(true)),
        ("update-disposition", "properties-to-modify", text),
        ("update-disposition", "properties-to-modify", list),
        ("update-disposition", "properties-to-modify", numbered),
        ("update-disposition", "session-id", number),
        ("get-session-state", "session-id", number),
        ("set-session-state", "session-id", number),
        ("set-session-state", "session-state", text),
        ("set-session-state", "session-state", number),
        ("renew-session-lock", "session-id", number),
    ] {
        let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
        let sender = world.sender(0, "queue").unwrap();
        for _ in 0..4 {
            world.send(0, sender, &MessageRef::new("x").with_session_id("1"));
        }
        let receiver = world.session_receiver(0, "queue", Some("1"), None).unwrap();
        let state = [("session-id", text), ("session-state", Value::Binary(b"state"))];
        assert_eq!(world.manage(0, "queue", "set-session-state", &state).status(), 200);
        let received = world.receive(0, receiver, 2);
        assert_eq!(world.defer(0, &received[0]), Ended::Modified { undeliverable_here: true });
        let (numbers, tokens) = (longs(&[received[0].number()]), uuids(&[received[1].token]));
        let (numbers, tokens) = (Reader::new(&numbers).value().unwrap(), Reader::new(&tokens).value().unwrap());
        let right = [
            ("session-id", text),
            ("message-count", number),
            ("sequence-numbers", numbers),
            ("receiver-settle-mode", Value::Uint(0)),
            ("lock-tokens", tokens),
            ("disposition-status", Value::String("suspended")),
            ("session-state", Value::Binary(b"other")),
        ];
        let mut entries: Vec<_> = right.into_iter().filter(|(name, _)| *name != key).collect();
        entries.push((key, wrong));
        let before = counts(&world);
        let answer = world.manage(0, "queue", operation, &entries);
        let case = format!("{operation} {key} {wrong:?}");
        assert_eq!(answer.status(), 400, "{case}: {}", answer.text());
        assert_eq!(answer.condition(), Some("com.microsoft:argument-error"), "{case}");
        assert_eq!(counts(&world), before, "{case}");
        let kept = world.manage(0, "queue", "get-session-state", &[("session-id", text)]);
        assert_eq!(kept.body().get("session-state"), Some(Value::Binary(b"state")), "{case}");
        assert_eq!(world.complete(0, &received[1]), Ended::Accepted, "{case}");
        // What was deferred is there still.
        let numbers = [("session-id", text), ("sequence-numbers", numbers), ("receiver-settle-mode", Value::Uint(1))];
        assert_eq!(world.manage(0, "queue", "receive-by-sequence-number", &numbers).messages().len(), 1, "{case}");
    }
}

#[test]
fn counts_of_requests_are_not_negative() {
    for (path, operation, key) in [
        ("queue", "peek-message", "message-count"),
        ("queue", "batch-delete-messages", "message-count"),
        ("queue", "get-message-sessions", "skip"),
        ("queue", "get-message-sessions", "top"),
        ("topic/Subscriptions/sub", "enumerate-rules", "skip"),
        ("topic/Subscriptions/sub", "enumerate-rules", "top"),
    ] {
        for number in [-1, i64::MIN] {
            let mut world = World::with_queue(QueueDescription::default());
            world.topic("topic", &[("sub", SubscriptionDescription::default())]);
            let answer = world.manage(0, path, operation, &[(key, Value::Long(number))]);
            assert_eq!(answer.condition(), Some("com.microsoft:argument-out-of-range"), "{operation} {key} {number}");
        }
    }
}

/// A message: sections of our own, and a body.
fn message(write: impl FnOnce(&mut Sink<'_>)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut Sink::from(&mut out));
    out.freeze()
}

fn annotated(key: &str, value: Value<'_>) -> Bytes {
    message(|sink| {
        put_section(sink, section::MESSAGE_ANNOTATIONS);
        let mut buffer = [0; 256];
        encode_map(&[(Value::Symbol(Symbol::new(key)), value)], &mut buffer).unwrap().encode(sink);
        put_section(sink, section::DATA);
        Value::Binary(b"x").encode(sink);
    })
}

#[test]
fn annotations_of_messages() {
    let list = list();
    let list = Reader::new(&list).value().unwrap();
    for (key, value, expected) in [
        ("x-opt-scheduled-enqueue-time", Value::String("2033-03-26T01:31:28Z"), false),
        ("x-opt-scheduled-enqueue-time", Value::Boolean(true), false),
        ("x-opt-scheduled-enqueue-time", list, false),
        ("x-opt-scheduled-enqueue-time", Value::Timestamp(Timestamp::from_millis(1_995_413_488_250)), true),
        ("x-opt-scheduled-enqueue-time", Value::Long(1_995_413_488_250), true),
        ("x-opt-partition-key", Value::Int(5), false),
        ("x-opt-partition-key", Value::Binary(b"k"), false),
        ("x-opt-partition-key", list, false),
        ("x-opt-partition-key", Value::Symbol(Symbol::new("k")), true),
        ("x-opt-partition-key", Value::Null, true),
        ("x-opt-via-partition-key", Value::Int(5), false),
        ("x-opt-via-partition-key", Value::String("k"), true),
        ("x-mine", list, true),
    ] {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        let ended = world.send_bytes(0, sender, annotated(key, value), 0, None);
        let case = format!("{key} {value:?}: {ended:?}");
        match refusal(&ended) {
            None => assert!(expected, "{case}"),
            Some(failure) => assert!(!expected && failure.condition == "com.microsoft:argument-error", "{case}"),
        }
        assert_eq!(counts(&world).total(), u64::from(expected), "{case}");
        // A batch with it is refused as a whole, and so is a request to schedule it.
        let batch = message(|sink| {
            for bytes in [encoded(&MessageRef::new("good")), annotated(key, value)] {
                put_section(sink, section::DATA);
                Value::Binary(&bytes).encode(sink);
            }
        });
        let ended = world.send_bytes(0, sender, batch, 0x8001_3700, None);
        assert_eq!(refusal(&ended).is_none(), expected, "{case}");
        assert_eq!(counts(&world).total(), 3 * u64::from(expected), "{case}");
    }
}

#[test]
fn bodies_of_messages() {
    let body = |code, value: Value<'_>| {
        message(|sink| {
            put_section(sink, code);
            value.encode(sink);
        })
    };
    let list = list();
    let list = Reader::new(&list).value().unwrap();
    for (bytes, expected) in [
        (body(section::DATA, Value::String("x")), false),
        (body(section::DATA, Value::Null), false),
        (body(section::DATA, list), false),
        (body(section::DATA, Value::Binary(b"")), true),
        (body(section::AMQP_SEQUENCE, Value::Binary(b"x")), false),
        (body(section::AMQP_SEQUENCE, list), true),
        (body(section::AMQP_VALUE, list), true),
        (body(section::AMQP_VALUE, Value::Null), true),
    ] {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        let ended = world.send_bytes(0, sender, bytes.clone(), 0, None);
        let refused = refusal(&ended).map(|failure| failure.condition);
        assert_eq!(refused.as_deref(), (!expected).then_some("amqp:decode-error"), "{bytes:?}");
        assert_eq!(counts(&world).total(), u64::from(expected), "{bytes:?}");
    }
}

/// Application properties have no lists, maps or arrays (docs/evidence/pinned-behaviour.md SND27), whoever sets them.
#[test]
fn properties_that_settlements_set() {
    let (list, array) = (list(), longs(&[1]));
    let mut buffer = [0; 64];
    let map = Value::Map(encode_map(&[(Value::String("k"), Value::Int(1))], &mut buffer).unwrap());
    for value in [Reader::new(&list).value().unwrap(), Reader::new(&array).value().unwrap(), map] {
        let mut buffer = [0; 256];
        let properties: Map<'_> = encode_map(&[(Value::String("key"), value)], &mut buffer).unwrap();
        let error = ErrorCondition { info: Some(properties), ..ErrorCondition::new("com.microsoft:dead-letter") };
        let modify = |undeliverable| {
            DeliveryState::Outcome(Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: Some(undeliverable),
                message_annotations: Some(properties),
            }))
        };
        let rejected = DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(error) }));
        for state in [modify(false), modify(true), rejected] {
            let mut world = World::with_queue(QueueDescription::default());
            let sender = world.sender(0, "queue").unwrap();
            world.send_texts(0, sender, &["x"]);
            let receiver = world.receiver(0, "queue").unwrap();
            let received = world.receive(0, receiver, 1).remove(0);
            let before = counts(&world);
            let failure = refusal(&world.settle(0, &received, &state)).unwrap();
            assert_eq!(failure.condition, "amqp:not-allowed", "{state:?}");
            let tokens = uuids(&[received.token]);
            for status in ["abandoned", "defered", "suspended"] {
                let entries = [
                    ("lock-tokens", Reader::new(&tokens).value().unwrap()),
                    ("disposition-status", Value::String(status)),
                    ("properties-to-modify", Value::Map(properties)),
                ];
                let answer = world.manage(0, "queue", "update-disposition", &entries);
                assert_eq!(answer.condition(), Some("amqp:not-allowed"), "{status} {value:?}");
            }
            assert_eq!(counts(&world), before);
            // The lock is held as before.
            assert_eq!(world.update(0, "queue", received.token, "completed").status(), 200);
        }
    }
}

/// What is sent settled has no answer: where it is refused in a transaction, the commit is.
#[test]
fn a_settled_refusal_in_a_transaction() {
    for refused in ["nothing", "message", "settlement"] {
        let mut world = World::with_queue(QueueDescription::default());
        let control = Control::attach(&mut world, 0);
        let sender = world.sender(0, "queue").unwrap();
        world.send_texts(0, sender, &["before"]);
        let receiver = world.receiver(0, "queue").unwrap();
        let received = world.receive(0, receiver, 1).remove(0);
        let txn = control.declare(&mut world);
        let send = |world: &mut World, bytes: Bytes| {
            let options = SendOptions {
                tag: Tag::new(&[1]).unwrap(),
                transaction: Some(Tag::new(&txn).unwrap()),
                settled: true,
                ..SendOptions::default()
            };
            world.clients[0].engine.send(sender, &bytes, &options).unwrap();
            world.settle_down();
        };
        send(&mut world, encoded(&MessageRef::new("good")));
        if refused == "message" {
            send(&mut world, annotated("x-opt-partition-key", Value::Int(1)));
        }
        if refused == "settlement" {
            // The lock ends before its settlement comes.
            world.advance(Duration::from_secs(61));
            let delivery = received.delivery.unwrap();
            let state = DeliveryState::Transactional(servicebus_core::wire::transaction::TransactionalState {
                txn_id: &txn,
                outcome: Some(Outcome::Accepted),
            });
            world.clients[0].engine.settle(delivery, &state, true).unwrap();
            world.settle_down();
        }
        assert_eq!(counts(&world).total(), 1, "{refused}");
        let committed = control.commit(&mut world, &txn);
        if refused == "nothing" {
            assert_eq!((committed, counts(&world).total()), (Ended::Accepted, 2));
        } else {
            let failure = refusal(&committed).unwrap();
            assert_eq!(failure.condition, "amqp:transaction:rollback", "{refused}");
            assert!(failure.text.contains("sent settled"), "{}", failure.text);
            assert_eq!((counts(&world).total(), world.broker.open_transactions()), (1, 0), "{refused}");
        }
    }
}

/// Each request names a transaction that is open, also one that is no part of it.
#[test]
fn requests_of_a_transaction_that_is_not_open() {
    for operation in ["peek-message", "batch-delete-messages", "renew-lock", "get-message-sessions"] {
        let mut world = World::with_queue(QueueDescription::default());
        let control = Control::attach(&mut world, 0);
        let sender = world.sender(0, "queue").unwrap();
        world.send_texts(0, sender, &["x"]);
        let tokens = uuids(&[]);
        let entries = [("message-count", Value::Int(1)), ("lock-tokens", Reader::new(&tokens).value().unwrap())];
        let txn = control.declare(&mut world);
        assert!(world.manage_in(0, "queue", operation, &entries, Some(&txn)).status() < 300, "{operation}");
        let sent = world.send_in(0, sender, &txn, &MessageRef::new("y"));
        assert!(is_enlisted(&sent));
        assert_eq!(control.commit(&mut world, &txn), Ended::Accepted);
        let before = counts(&world);
        let answer = world.manage_in(0, "queue", operation, &entries, Some(&txn));
        assert_eq!(answer.condition(), Some("amqp:transaction:unknown-id"), "{operation}");
        assert_eq!(counts(&world), before, "{operation}");
    }
}

/// Values of filters that come over HTTP are compared by their type, as those that come over AMQP.
#[test]
fn typed_values_of_filters() {
    let administrator = Administrator::default();
    let uuid = Value::Uuid(Uuid([0xab; 16]));
    let guid = "abababab-abab-abab-abab-abababababab";
    for (kind, namespace, text, property, expected) in [
        ("guid", "http://schemas.microsoft.com/2003/10/Serialization/", guid, uuid, Some(true)),
        ("guid", "http://schemas.microsoft.com/2003/10/Serialization/", guid, Value::String(guid), Some(false)),
        ("guid", "http://schemas.microsoft.com/2003/10/Serialization/", "ab", uuid, None),
        (
            "unsignedLong",
            "http://www.w3.org/2001/XMLSchema",
            "18446744073709551615",
            Value::Ulong(u64::MAX),
            Some(true),
        ),
        ("unsignedLong", "http://www.w3.org/2001/XMLSchema", "-1", Value::Ulong(1), None),
        ("decimal", "http://www.w3.org/2001/XMLSchema", "10.50", Value::String("10.50"), Some(false)),
        ("decimal", "http://www.w3.org/2001/XMLSchema", "ten", Value::Int(10), None),
    ] {
        let mut world = World::new();
        world.topic("topic", &[]);
        world.connect();
        let rule = format!(
            "<DefaultRuleDescription><Filter i:type=\"CorrelationFilter\"><Properties><KeyValueOfstringanyType><Key>k</Key>\
             <Value i:type=\"d:{kind}\" xmlns:d=\"{namespace}\">{text}</Value></KeyValueOfstringanyType></Properties>\
             </Filter><Name>r</Name></DefaultRuleDescription>"
        );
        let path = "/topic/Subscriptions/sub?api-version=2021-05";
        let made = administrator.put(&mut world, path, "SubscriptionDescription", &rule, false);
        let case = format!("{kind} {text} {property:?}");
        assert_eq!(made.status, if expected.is_some() { 201 } else { 400 }, "{case}");
        let Some(expected) = expected else { continue };
        let sender = world.sender(0, "topic").unwrap();
        let bytes = message(|sink| {
            put_section(sink, section::APPLICATION_PROPERTIES);
            put_map(sink, &[("k", property)]);
            put_section(sink, section::DATA);
            Value::Binary(b"x").encode(sink);
        });
        assert_eq!(world.send_bytes(0, sender, bytes, 0, None), Ended::Accepted);
        let found = world.peek(0, "topic/Subscriptions/sub", 0, 10);
        assert_eq!(found.len(), usize::from(expected), "{case}");
        // It is read back as it was written.
        let rules = administrator.get(&mut world, "/topic/Subscriptions/sub/Rules?api-version=2021-05");
        let shown = servicebus_tests::administrator::text(&rules);
        assert!(
            shown.contains(&format!(":{kind}\"")) && shown.contains(&format!(">{text}</Value>")),
            "{case}: {shown}"
        );
    }
}
