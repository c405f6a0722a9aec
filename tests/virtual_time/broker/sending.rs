//! What can be sent, and what of it comes back.

use bytes::{Bytes, BytesMut};
use servicebus_core::servicebus::Body as SendBody;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::frame::Frame;
use servicebus_core::wire::message::Body;
use servicebus_core::wire::messaging::MessageId;
use servicebus_core::wire::performative::{Attach, Performative, Role};
use servicebus_core::wire::{Encode, Reader, Sink, Symbol, Uuid, Value, encode_list};
use servicebus_emulator::broker::entities::{EntityStatus, QueueDescription, SubscriptionDescription};
use servicebus_emulator::filter::{Dialect, Filter, Rule, SqlAction};
use servicebus_tests::broker::*;

fn world() -> (World, servicebus_core::engine::LinkId, servicebus_core::engine::LinkId) {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    (world, sender, receiver)
}

fn rejected(ended: Ended) -> Failure {
    match ended {
        Ended::Rejected(Some(failure)) => failure,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_plain_message_gets_exactly_the_services_annotations_snd36_snd37() {
    let (mut world, sender, receiver) = world();
    world.send_texts(0, sender, &["a"]);
    let message = world.receive(0, receiver, 1).remove(0);
    let keys = |map: servicebus_core::wire::Map<'_>| {
        let mut keys: Vec<_> = map.iter().map(|entry| entry.unwrap().0.as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    let view = message.view();
    assert_eq!(
        keys(view.message_annotations().unwrap()),
        ["x-opt-enqueued-time", "x-opt-locked-until", "x-opt-sequence-number"]
    );
    assert_eq!(keys(view.delivery_annotations().unwrap()), ["x-opt-lock-token"]);
    assert_eq!(view.delivery_annotations().unwrap().get("x-opt-lock-token"), Some(Value::Uuid(message.token.uuid())));
    assert!(view.properties().unwrap().message_id.is_some());
    assert_eq!(message.number(), 1);
    assert_eq!(message.enqueued(), START);
}

#[test]
fn keys_of_annotations_and_footers_come_back_as_symbols_snd33() {
    let (mut world, sender, receiver) = world();
    // Delivery annotations, message annotations, a body of nothing, a footer: each map `{"own": 5}` with a string for a
    // key, as the official client for Java sends footers.
    let map = *b"\xc1\x08\x02\xa1\x03own\x54\x05";
    let mut bytes = BytesMut::new();
    for section in [0x71, 0x72, 0x78] {
        if section == 0x78 {
            bytes.extend_from_slice(b"\x00\x53\x77\x40");
        }
        bytes.extend_from_slice(&[0, 0x53, section]);
        bytes.extend_from_slice(&map);
    }
    assert_eq!(world.send_bytes(0, sender, bytes.freeze(), 0, None), Ended::Accepted);
    let message = world.receive(0, receiver, 1).remove(0);
    let view = message.view();
    for map in [view.delivery_annotations(), view.message_annotations(), view.footer()] {
        let own = map.unwrap().iter().map(Result::unwrap).find(|(key, _)| key.as_str() == Some("own"));
        assert_eq!(own, Some((Value::Symbol(Symbol::new("own")), Value::Int(5))));
    }
}

#[test]
fn every_settable_property_comes_back_snd29_snd32_snd34_snd35() {
    let (mut world, sender, receiver) = world();
    let properties = [
        ("s", Value::from("text")),
        ("i", 5i32.into()),
        ("l", 5i64.into()),
        ("ub", 128u8.into()),
        ("d", 400.1f64.into()),
        ("t", Timestamp::from_millis(946_688_523_000).into()),
        ("u", Uuid([7; 16]).into()),
        ("c", 'ß'.into()),
        ("n", Value::Null),
        ("b", true.into()),
    ];
    let annotations = [("x-mine", Value::from("m"))];
    let delivery = [("x-theirs", Value::from(1i32))];
    let footer = [("x-foot", Value::from("f"))];
    let message = MessageRef::new("body")
        .with_message_id("id")
        .with_session_id("s")
        .with_partition_key("s")
        .with_correlation_id("c")
        .with_subject("subject")
        .with_to("to")
        .with_reply_to("")
        .with_reply_to_session_id("rs")
        .with_content_type("text/plain")
        .with_content_encoding("gzip")
        .with_user_id(b"user")
        .with_group_sequence(9)
        .with_creation_time(Timestamp::from_millis(1_000))
        .with_absolute_expiry_time(Timestamp::from_millis(9_999_999_999_000))
        .with_priority(100)
        .with_durable(true)
        .with_first_acquirer(true)
        .with_properties(&properties)
        .with_annotations(&annotations)
        .with_delivery_annotations(&delivery)
        .with_footer(&footer);
    assert_eq!(world.send(0, sender, &message), Ended::Accepted);
    let got = world.receive(0, receiver, 1).remove(0);
    let view = got.view();
    let (sent, back) = (encoded(&message), view.properties().unwrap());
    assert_eq!(servicebus_core::wire::message::MessageView::parse(&sent).unwrap().properties().unwrap(), back);
    // Null and empty are kept apart (SND28).
    assert_eq!(back.reply_to, Some(""));
    let header = view.header().unwrap();
    assert_eq!((header.priority, header.durable, header.first_acquirer), (Some(100), Some(true), Some(true)));
    for (key, value) in properties {
        assert_eq!(got.property(key), Some(value), "{key}");
    }
    assert_eq!(got.annotation("x-mine"), Some("m".into()));
    assert_eq!(got.annotation("x-opt-partition-key"), Some("s".into()));
    assert_eq!(view.delivery_annotations().unwrap().get("x-theirs"), Some(1i32.into()));
    assert_eq!(view.footer().unwrap().get("x-foot"), Some("f".into()));
}

#[test]
fn every_kind_of_body_comes_back_as_it_was_snd38_snd39_snd40_snd41() {
    let (mut world, sender, receiver) = world();
    let mut buffer = [0; 64];
    let list = encode_list(&["A1".into(), 1i64.into(), 2i32.into()], &mut buffer).unwrap();
    let lists = [list, list];
    let bodies = [
        SendBody::DataSections(&[b"one", b"two"]),
        SendBody::Value(100.0f64.into()),
        SendBody::Value(101i64.into()),
        SendBody::Value("text".into()),
        SendBody::Value(Value::Binary(b"bytes")),
        SendBody::Value(list.into()),
        SendBody::Value(Value::Null),
        SendBody::Sequence(&lists),
        SendBody::Empty,
    ];
    for body in bodies {
        let message = MessageRef::from_body(body);
        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
        let got = world.receive(0, receiver, 1).remove(0);
        let sent = encoded(&message);
        let sent = servicebus_core::wire::message::MessageView::parse(&sent).unwrap();
        assert_eq!(got.view().body_bytes(), sent.body_bytes(), "{body:?}");
        if matches!(body, SendBody::Empty) {
            assert_eq!(got.view().body(), Ok(Body::Empty));
        }
    }
}

#[test]
fn service_owned_fields_from_a_client_are_ignored_snd44_snd46() {
    let (mut world, sender, receiver) = world();
    let annotations = [
        ("x-opt-locked-until", Value::Null),
        ("x-opt-sequence-number", 99i64.into()),
        ("x-opt-enqueued-time", Value::Null),
        ("x-opt-partition-key", Value::Null),
        ("x-opt-deadletter-source", Value::Null),
    ];
    let message = MessageRef::new("a").with_annotations(&annotations);
    assert_eq!(world.send(0, sender, &message), Ended::Accepted);
    let got = world.receive(0, receiver, 1).remove(0);
    assert_eq!((got.number(), got.enqueued()), (1, START));
    // Handed on as null (SND43).
    assert_eq!(got.annotation("x-opt-partition-key"), Some(Value::Null));
    assert_eq!(got.annotation("x-opt-deadletter-source"), Some(Value::Null));
}

#[test]
fn null_system_annotations_and_compound_properties_are_refused_snd45_snd27() {
    let (mut world, sender, _) = world();
    for key in ["x-opt-scheduled-enqueue-time", "x-opt-message-state", "x-opt-enqueue-sequence-number"] {
        let annotations = [(key, Value::Null)];
        let ended = world.send(0, sender, &MessageRef::new("a").with_annotations(&annotations));
        rejected(ended);
    }
    let mut buffer = [0; 16];
    let list = encode_list(&[1i32.into()], &mut buffer).unwrap();
    let properties = [("list", Value::List(list))];
    let failure = rejected(world.send(0, sender, &MessageRef::new("a").with_properties(&properties)));
    assert!(failure.text.starts_with("Serialization operation failed due to unsupported type"), "{}", failure.text);
    assert!(world.peek(0, "queue", 0, 1).is_empty());
}

#[test]
fn bytes_that_are_no_message_are_refused_and_the_link_lives_on() {
    let (mut world, sender, receiver) = world();
    for bytes in [&b"\x00\x53\x75"[..], b"\xff", b"\x00\x53\x74\xc1\x02\x01\xa1", b"\x00\x53\x72\xa1\x01x"] {
        rejected(world.send_bytes(0, sender, Bytes::copy_from_slice(bytes), 0, None));
    }
    world.send_texts(0, sender, &["a"]);
    assert_eq!(world.receive(0, receiver, 1).len(), 1);
}

#[test]
fn a_batch_is_stored_in_order_or_not_at_all_snd3_snd18_snd20_snd22() {
    let (mut world, sender, receiver) = world();
    let messages =
        [MessageRef::new("a").with_session_id("1"), MessageRef::new("b").with_session_id("2"), MessageRef::new("")];
    assert_eq!(world.send_batch(0, sender, &messages), Ended::Accepted);
    let got = world.receive_now(0, receiver, 10);
    assert_eq!(got.iter().map(Received::body).collect::<Vec<_>>(), ["a", "b", ""]);
    assert_eq!(got.iter().map(Received::number).collect::<Vec<_>>(), [1, 2, 3]);
    let id = "x".repeat(129);
    let messages = [MessageRef::new("a"), MessageRef::new("b").with_message_id(id.as_str())];
    assert_eq!(rejected(world.send_batch(0, sender, &messages)).condition, "com.microsoft:argument-error");
    assert!(world.receive_now(0, receiver, 10).is_empty());
}

#[test]
fn the_link_tells_the_limit_and_the_largest_body_fits_snd11_snd12() {
    let (mut world, sender, _) = world();
    world.with_attach(0, sender, |attach| assert_eq!(attach.max_message_size, Some(262_144)));
    let fits = vec![7; 262_067];
    assert_eq!(world.send(0, sender, &MessageRef::new(&fits)), Ended::Accepted);
}

#[test]
fn large_messages_go_through_where_the_entity_allows_them() {
    let description = QueueDescription { max_message_size_in_kilobytes: Some(102_400), ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    let body: Vec<u8> = (0..10_000_000u32).map(|i| i as u8).collect();
    assert_eq!(world.send(0, sender, &MessageRef::new(&body)), Ended::Accepted);
    let got = world.receive(0, receiver, 1).remove(0);
    let Body::Data(sections) = got.view().body().unwrap() else { panic!("no data") };
    assert_eq!(sections.data().next().unwrap().unwrap(), &body[..]);
}

/// A sender is refused (docs/evidence/field-reports.md F49); what an action makes too large is dead-lettered.
#[test]
fn a_copy_whose_header_is_too_large_is_dead_lettered_dlq16() {
    let (mut world, ..) = world();
    world.topic("topic", &[("sub", SubscriptionDescription::default())]);
    let clock = world.clock;
    world.broker.with_namespace(clock, |namespace| {
        let action = SqlAction::parse("SET more = long; SET most = long", Vec::new(), &Dialect::default()).unwrap();
        let rule = Rule { name: "r".into(), filter: Filter::True, action: Some(action) };
        namespace.delete_rule("topic", "sub", "$Default").unwrap();
        namespace.create_rule("topic", "sub", rule, clock.utc).unwrap();
    });
    let sender = world.sender(0, "topic").unwrap();
    let text = "x".repeat(30_000);
    let properties = [("long", Value::from(text.as_str()))];
    let message = MessageRef::new("a").with_properties(&properties);
    assert_eq!(world.send(0, sender, &message), Ended::Accepted);
    assert!(world.peek(0, "topic/Subscriptions/sub", 0, 1).is_empty());
    let dead = world.peek(0, "topic/Subscriptions/sub/$DeadLetterQueue", 0, 1);
    assert_eq!(dead[0].reason(), Some("HeaderSizeExceeded"));
}

#[test]
fn a_partition_key_must_be_the_session_id() {
    let (mut world, sender, _) = world();
    let message = MessageRef::new("a").with_session_id("s").with_partition_key("p");
    assert_eq!(rejected(world.send(0, sender, &message)).condition, "amqp:not-allowed");
}

#[test]
fn time_to_live_writes_both_times_dlq4() {
    let (mut world, sender, receiver) = world();
    let message = MessageRef::new("a").with_time_to_live(Duration::from_secs(60));
    world.send(0, sender, &message);
    let got = world.receive(0, receiver, 1).remove(0);
    let properties = got.view().properties().unwrap();
    assert_eq!(got.view().header().unwrap().ttl, Some(60_000));
    assert_eq!(properties.creation_time, Some(START));
    assert_eq!(properties.absolute_expiry_time, Some(START + Duration::from_secs(60)));
}

#[test]
fn duplicates_are_accepted_and_dropped_within_the_window() {
    let description = QueueDescription {
        requires_duplicate_detection: true,
        duplicate_detection_history_time_window: Duration::from_secs(60),
        ..QueueDescription::default()
    };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    let send = |world: &mut World, body: &str| {
        assert_eq!(world.send(0, sender, &MessageRef::new(body).with_message_id("1")), Ended::Accepted);
    };
    send(&mut world, "first");
    send(&mut world, "second");
    assert_eq!(world.consume(0, receiver).unwrap().body(), "first");
    send(&mut world, "third");
    assert!(world.consume(0, receiver).is_none());
    world.advance(Duration::from_secs(61));
    send(&mut world, "fourth");
    assert_eq!(world.consume(0, receiver).unwrap().body(), "fourth");
}

#[test]
fn a_message_id_is_new_again_exactly_when_the_window_has_passed() {
    const WINDOW: Duration = Duration::from_secs(60);
    for (after, stored) in [(WINDOW - Duration::from_millis(1), 1), (WINDOW, 2), (WINDOW + Duration::from_millis(1), 2)]
    {
        let mut world = World::with_queue(QueueDescription {
            requires_duplicate_detection: true,
            duplicate_detection_history_time_window: WINDOW,
            ..QueueDescription::default()
        });
        let sender = world.sender(0, "queue").unwrap();
        let message = MessageRef::new("a").with_message_id("1");
        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
        world.advance(after);
        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
        assert_eq!(world.peek(0, "queue", 0, 10).len(), stored, "after {after:?}");
    }
}

#[test]
fn a_full_entity_refuses() {
    let description = QueueDescription { max_size_in_megabytes: 1, ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let sender = world.sender(0, "queue").unwrap();
    let body = vec![0; 200_000];
    let mut ended = Vec::new();
    for _ in 0..6 {
        ended.push(world.send(0, sender, &MessageRef::new(&body)));
    }
    let failure = rejected(ended.pop().unwrap());
    assert_eq!(failure.condition, "amqp:resource-limit-exceeded");
    let text = "The maximum entity size has been reached or exceeded for Queue: 'SBEMULATORNS:QUEUE:QUEUE'.";
    assert!(failure.text.starts_with(text), "{}", failure.text);
}

#[test]
fn disabled_entities_refuse_links_in_their_direction() {
    let mut world = World::new();
    for (name, status) in [
        ("off", EntityStatus::Disabled),
        ("nosend", EntityStatus::SendDisabled),
        ("norecv", EntityStatus::ReceiveDisabled),
    ] {
        world.queue(name, QueueDescription { status, ..QueueDescription::default() });
    }
    let c = world.connect();
    for (name, sends, receives) in [("off", false, false), ("nosend", false, true), ("norecv", true, false)] {
        let check = |result: Result<_, Failure>, allowed: bool| match result {
            Ok(_) => assert!(allowed, "{name}"),
            Err(failure) => {
                assert!(!allowed, "{name}");
                assert_eq!(failure.condition, "com.microsoft:entity-disabled");
            }
        };
        check(world.sender(c, name), sends);
        check(world.receiver(c, name), receives);
    }
}

#[test]
fn every_form_of_address_is_taken_and_comes_back_as_it_was() {
    let (mut world, ..) = world();
    for address in ["queue", "/queue", "amqps://localhost:5671/queue", "sb://localhost/QUEUE"] {
        let sender = world.sender(0, address).unwrap();
        world.with_attach(0, sender, |attach| {
            let Some(servicebus_core::wire::performative::TargetArchetype::Target(target)) = attach.target else {
                panic!("no target")
            };
            assert_eq!(target.address, Some(address.into()));
            assert!(attach.source.is_some());
        });
        let receiver = world.receiver(0, address).unwrap();
        world.with_attach(0, receiver, |attach| {
            assert_eq!(attach.source.unwrap().address, Some(address.into()));
            assert_eq!(attach.initial_delivery_count, Some(0));
            assert!(attach.target.is_some());
        });
    }
}

#[test]
fn ids_of_every_type_are_kept() {
    let (mut world, sender, receiver) = world();
    for id in [MessageId::Ulong(7), MessageId::Uuid(Uuid([1; 16])), MessageId::Binary(b"x"), MessageId::String("s")] {
        let properties = servicebus_core::wire::messaging::Properties {
            message_id: Some(id),
            content_type: Some(Symbol::new("a/b")),
            ..servicebus_core::wire::messaging::Properties::EMPTY
        };
        let mut out = BytesMut::new();
        properties.encode(&mut Sink::from(&mut out));
        assert_eq!(world.send_bytes(0, sender, out.freeze(), 0, None), Ended::Accepted);
        let got = world.receive(0, receiver, 1).remove(0);
        assert_eq!(got.view().properties().unwrap(), properties);
    }
}

#[test]
fn a_sender_is_told_that_nothing_is_available() {
    // docs/evidence/service-evidence.md §2: the service writes the field from the first flow on.
    let (mut world, sender, _) = world();
    assert_eq!(world.flows(0, sender), [(Some(1_000), Some(0))]);
    for _ in 0..501 {
        world.send_texts(0, sender, &["a"]);
    }
    assert_eq!(world.flows(0, sender), [(Some(1_000), Some(0)), (Some(1_000), Some(0))]);
}

#[test]
fn messages_are_batchable_and_responses_are_not() {
    // docs/evidence/service-evidence.md §3.
    let (mut world, sender, receiver) = world();
    let mut transfers = |act: &mut dyn FnMut(&mut World)| {
        world.clients[0].written = Some(Vec::new());
        act(&mut world);
        let bytes = world.clients[0].written.take().unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while let Some(frame) = Frame::parse(rest, u32::MAX).unwrap() {
            if let Ok(Performative::Transfer(transfer)) = Reader::new(frame.body).read::<Performative<'_>>() {
                found.push(transfer.batchable);
            }
            rest = &rest[frame.size..];
        }
        found
    };
    let messages = transfers(&mut |world| {
        world.send_texts(0, sender, &["a", "b"]);
        assert_eq!(world.receive(0, receiver, 2).len(), 2);
    });
    assert_eq!(messages, [true, true]);
    let responses = transfers(&mut |world| {
        world.put_token(0, "sb://localhost/", KEY_NAME, KEY, Duration::from_secs(60));
    });
    assert_eq!(responses, [false]);
}

#[test]
fn a_batch_has_a_megabyte_at_most_whatever_the_entity_takes() {
    let large = QueueDescription { max_message_size_in_kilobytes: Some(10_240), ..QueueDescription::default() };
    let mut world = World::with_queue(large);
    let sender = world.sender(0, "queue").unwrap();
    let told = |world: &World, link| {
        let limit = |attach: &Attach<'_>| attach.properties?.get("com.microsoft:max-message-batch-size")?.as_i64();
        world.with_attach(0, link, limit)
    };
    assert_eq!(told(&world, sender), Some(1_048_576));
    world.queue("plain", QueueDescription::default());
    let plain = world.sender(0, "plain").unwrap();
    assert_eq!(told(&world, plain), None);
    let bytes = vec![0; 5_000_000];
    let half = MessageRef::new(&bytes[..500_000]);
    assert_eq!(world.send_batch(0, sender, &[half, half]), Ended::Accepted);
    assert_eq!(world.send(0, sender, &MessageRef::new(&bytes)), Ended::Accepted);
    // Where single messages may be larger, a batch beyond its limit is one without data (docs/evidence/field-reports.md
    // F47).
    world.send_batch(0, sender, &[half, half, half]);
    let failure = world.detached(0, sender).unwrap();
    assert!(failure.text.contains("received a batch message with no data in it"), "{}", failure.text);
}

#[test]
fn a_batch_of_more_than_4500_messages_is_refused_whole_snd21() {
    let (mut world, sender, receiver) = world();
    let mut messages = vec![MessageRef::new("a"); 4_501];
    let failure = rejected(world.send_batch(0, sender, &messages));
    assert_eq!(failure.condition, "amqp:internal-error");
    assert!(failure.text.starts_with("The service was unable to process the request; please retry the operation."));
    assert!(world.receive_now(0, receiver, 1).is_empty());
    messages.pop();
    assert_eq!(world.send_batch(0, sender, &messages), Ended::Accepted);
    assert_eq!(world.receive_now(0, receiver, 5_000).len(), 4_500);
}

#[test]
fn a_link_to_an_entity_of_another_kind_is_refused_snd10() {
    let mut world = World::new();
    world.queue("queue", QueueDescription::default());
    world.topic("topic", &[("sub", Default::default())]);
    let c = world.connect();
    let (queue, topic, subscription) = (Value::Int(0), Value::Int(1), Value::Int(2));
    let path = "topic/Subscriptions/sub";
    let refused = [
        (Role::Sender, "queue", topic),
        (Role::Sender, "topic", queue),
        (Role::Receiver, "topic", queue),
        (Role::Sender, path, queue),
        (Role::Receiver, path, queue),
        (Role::Receiver, path, topic),
        (Role::Receiver, "queue", subscription),
    ];
    for (role, address, kind) in refused {
        let failure = world.typed_link(c, role, address, kind).unwrap_err();
        assert_eq!(failure.condition, "amqp:not-allowed", "{role:?} {address} {kind:?}");
    }
    let granted = [
        (Role::Sender, "queue", queue),
        (Role::Receiver, "queue", queue),
        (Role::Receiver, "queue/$DeadLetterQueue", queue),
        (Role::Sender, "topic", topic),
        (Role::Receiver, path, subscription),
        // What is no kind of entity with messages says nothing.
        (Role::Sender, "queue", Value::Int(10)),
        (Role::Sender, "queue", Value::from("entity-mgmt")),
    ];
    for (role, address, kind) in granted {
        assert!(world.typed_link(c, role, address, kind).is_ok(), "{role:?} {address} {kind:?}");
    }
    // docs/evidence/service-evidence.md §5.
    let failure = world.sender(c, path).unwrap_err();
    assert_eq!(failure.condition, "amqp:not-allowed");
    assert!(failure.text.starts_with("Cannot create a message sender for a subscription"), "{}", failure.text);
    // A missing entity is missing, whatever was expected.
    assert_eq!(world.typed_link(c, Role::Sender, "nothing", topic).unwrap_err().condition, "amqp:not-found");
}
