//! What no client should send: nothing of it may panic, hang, or disturb others.

use proptest::prelude::*;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Buffer as _;
use servicebus_core::wire::frame::{Kind, header};
use servicebus_core::wire::messaging::{DeliveryState, Source, Target};
use servicebus_core::wire::performative::{
    Attach, Begin, Detach, Disposition, Flow, Open, ReceiverSettleMode, Role, SenderSettleMode, TargetArchetype,
    Transfer,
};
use servicebus_core::wire::{self, Encode, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, ConnectionId};
use servicebus_tests::broker::*;

fn feed(world: &mut World, id: ConnectionId, bytes: &[u8]) -> bool {
    feed_and_listen(world, id, bytes, &mut Vec::new())
}

/// Feeds bytes to the broker and adds what it answers to `said`; false when the connection is over.
fn feed_and_listen(world: &mut World, id: ConnectionId, mut bytes: &[u8], said: &mut Vec<u8>) -> bool {
    let (mut rx, mut tx) = (Broker::rx(), Broker::tx());
    while !bytes.is_empty() {
        let count = bytes.len().min(rx.spare().len());
        rx.spare()[..count].copy_from_slice(&bytes[..count]);
        rx.commit(count);
        bytes = &bytes[count..];
        let alive = world.broker.handle_input(id, world.clock, &mut rx).is_ok();
        while world.broker.poll_transmit(id, world.clock, &mut tx) {
            said.extend_from_slice(tx.filled());
            tx.clear();
        }
        if !alive {
            return false;
        }
    }
    true
}

fn frame(out: &mut Vec<u8>, channel: u16, body: &impl Encode, payload: &[u8]) {
    let mut encoded = wire::to_vec(body);
    encoded.extend_from_slice(payload);
    out.extend_from_slice(&header(encoded.len() as u32 + 8, Kind::Amqp, channel));
    out.extend_from_slice(&encoded);
}

const OPEN: Open<'static> = Open { max_frame_size: 65_536, channel_max: 100, ..Open::new("x") };

/// An attach that the engine takes and whose terminus cannot be read is answered: the connection ends with an error.
#[test]
fn an_attach_that_cannot_be_read() {
    let begin = Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 100,
        outgoing_window: 100,
        handle_max: 8,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    };
    let good = attach_of("link", Role::Sender, "queue", false, None, None);
    let good = wire::to_vec(&good);
    // The descriptors of source and target; the number of a map's items.
    for (what, from, to) in [
        ("source", &[0x00, 0x53, 0x28][..], &[0x00, 0x53, 0x73][..]),
        ("target", &[0x00, 0x53, 0x29], &[0x00, 0x53, 0x73]),
        ("address", b"queue", b"\xff\xff\xff\xff\xff"),
    ] {
        let mut world = World::with_queue(QueueDescription::default());
        let clock = world.clock;
        let id = world.broker.connect(clock).unwrap();
        let mut bytes = Vec::from(*b"AMQP\x00\x01\x00\x00");
        frame(&mut bytes, 0, &OPEN, &[]);
        frame(&mut bytes, 0, &begin, &[]);
        let at = good.windows(from.len()).rposition(|window| window == from).unwrap();
        let mut attach = good.clone();
        attach[at..at + from.len()].copy_from_slice(to);
        bytes.extend_from_slice(&header(attach.len() as u32 + 8, Kind::Amqp, 0));
        bytes.extend_from_slice(&attach);
        let mut said = Vec::new();
        feed_and_listen(&mut world, id, &bytes, &mut said);
        let has = |text: &[u8]| said.windows(text.len()).any(|window| window == text);
        assert!(has(b"amqp:decode-error") || has(b"amqp:invalid-field"), "{what}: {}", said.escape_ascii());
    }
}

/// A frame made of numbers that mostly fit each other.
fn any_frame(kind: u8, a: u32, b: u32, flag: bool, payload: &[u8], out: &mut Vec<u8>) {
    let channel = (a % 2) as u16;
    let role = if flag { Role::Receiver } else { Role::Sender };
    let address = ["queue", "$cbs", "queue/$management", "", "queue/$DeadLetterQueue", "none"][b as usize % 6];
    match kind % 7 {
        0 => frame(
            out,
            channel,
            &Begin {
                remote_channel: None,
                next_outgoing_id: a,
                incoming_window: b,
                outgoing_window: b,
                handle_max: 8,
                offered_capabilities: None,
                desired_capabilities: None,
                properties: None,
            },
            &[],
        ),
        1 => frame(
            out,
            channel,
            &Attach {
                handle: b % 6,
                snd_settle_mode: if a.is_multiple_of(5) {
                    SenderSettleMode::Settled
                } else {
                    SenderSettleMode::Unsettled
                },
                rcv_settle_mode: ReceiverSettleMode::Second,
                source: (!a.is_multiple_of(7)).then(|| Source::new(Some(address))),
                target: (!a.is_multiple_of(11)).then(|| TargetArchetype::Target(Target::new(Some(address)))),
                initial_delivery_count: Some(a),
                ..Attach::new(["a", "b", "c"][a as usize % 3], role)
            },
            &[],
        ),
        2 => frame(
            out,
            channel,
            &Flow {
                next_incoming_id: Some(a),
                incoming_window: b,
                next_outgoing_id: a,
                outgoing_window: b,
                handle: (!a.is_multiple_of(3)).then_some(b % 6),
                delivery_count: Some(a),
                link_credit: Some(b),
                available: None,
                drain: flag,
                echo: flag,
                properties: None,
            },
            &[],
        ),
        3 => frame(
            out,
            channel,
            &Transfer {
                handle: b % 6,
                delivery_id: Some(a % 16),
                delivery_tag: Some(&[1]),
                message_format: Some(if a.is_multiple_of(2) { 0 } else { 0x8001_3700 }),
                settled: Some(flag),
                more: a.is_multiple_of(4),
                rcv_settle_mode: None,
                state: a.is_multiple_of(3).then_some(DeliveryState::ACCEPTED),
                resume: false,
                aborted: a.is_multiple_of(9),
                batchable: false,
            },
            payload,
        ),
        4 => frame(
            out,
            channel,
            &Disposition {
                role,
                first: a % 16,
                last: Some(b),
                settled: flag,
                state: Some(DeliveryState::ACCEPTED),
                batchable: false,
            },
            &[],
        ),
        5 => frame(out, channel, &Detach { handle: b % 6, closed: flag, error: None }, &[]),
        _ => out.extend_from_slice(payload),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn frames_in_any_order_do_no_harm(
        frames in proptest::collection::vec(
            (any::<u8>(), 0..40u32, prop_oneof![0..20u32, any::<u32>()], any::<bool>(),
             proptest::collection::vec(any::<u8>(), 0..40)),
            0..60,
        ),
    ) {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        world.send_texts(0, sender, &["a", "b"]);
        let id = world.broker.connect(world.clock).unwrap();
        // PLAIN, so that what follows is allowed something.
        let mut bytes = b"AMQP\x03\x01\x00\x00".to_vec();
        let init = servicebus_core::wire::sasl::SaslInit {
            mechanism: servicebus_core::wire::Symbol::new("PLAIN"),
            initial_response: Some(b"\0RootManageSharedAccessKey\0SAS_KEY_VALUE"),
            hostname: None,
        };
        let encoded = wire::to_vec(&init);
        bytes.extend_from_slice(&header(encoded.len() as u32 + 8, Kind::Sasl, 0));
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(b"AMQP\x00\x01\x00\x00");
        frame(&mut bytes, 0, &OPEN, &[]);
        let mut said = Vec::new();
        prop_assert!(feed(&mut world, id, &bytes));
        for (kind, a, b, flag, payload) in frames {
            let mut bytes = Vec::new();
            any_frame(kind, a, b, flag, &payload, &mut bytes);
            if !feed_and_listen(&mut world, id, &bytes, &mut said) {
                break;
            }
        }
        world.broker.disconnect(id, world.clock);
        // Others go on as if nothing had happened.
        world.send_texts(0, sender, &["c"]);
        world.advance(core::time::Duration::from_secs(61));
        prop_assert_eq!(world.broker.connections().len(), 1);
        // No message is lost: what was not delivered to that connection, which may have settled it, is still there.
        let mut left = world.peek(0, "queue", 0, 1_000);
        left.extend(world.peek(0, "queue/$DeadLetterQueue", 0, 1_000));
        for text in ["a", "b", "c"] {
            let body = [&[0x00, 0x53, 0x75, 0xa0, 0x01], text.as_bytes()].concat();
            let is_in = |bytes: &[u8]| bytes.windows(body.len()).any(|window| window == body);
            let delivered = text != "c" && is_in(&said);
            let there = left.iter().filter(|message| is_in(&message.bytes)).count();
            prop_assert!(there == 1 || (delivered && there == 0), "{} is there {} times", text, there);
        }
    }

    #[test]
    fn messages_of_any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), batch: bool) {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        let format = if batch { 0x8001_3700 } else { 0 };
        let ended = world.send_bytes(0, sender, bytes.into(), format, None);
        if batch && ended == Ended::Nothing {
            // A batch without data ends its link (docs/evidence/field-reports.md F46).
            prop_assert!(world.detached(0, sender).is_some());
            prop_assert!(world.peek(0, "queue", 0, 1).is_empty());
            return Ok(());
        }
        prop_assert!(matches!(ended, Ended::Accepted | Ended::Rejected(Some(_))), "{:?}", ended);
        for message in world.peek(0, "queue", 0, 100) {
            // What was taken can be read.
            prop_assert!(message.view().message_annotations().is_ok());
        }
        prop_assert_eq!(world.send(0, sender, &MessageRef::new("after")), Ended::Accepted);
    }

    #[test]
    fn requests_of_any_body_are_answered(key in "[a-z-]{1,24}", number: i64, text in ".{0,12}") {
        let mut world = World::with_queue(QueueDescription::default());
        for operation in [
            "peek-message", "schedule-message", "cancel-scheduled-message", "receive-by-sequence-number",
            "update-disposition", "renew-lock", "renew-session-lock", "get-session-state", "set-session-state",
            "get-message-sessions", "add-rule", "remove-rule", "enumerate-rules", "batch-delete-messages",
        ] {
            let entries = [
                (key.as_str(), Value::Long(number)), ("message-count", Value::Long(number)),
                ("from-sequence-number", Value::Long(number)), ("session-id", Value::String(&text)),
                ("sequence-numbers", Value::String(&text)), ("lock-tokens", Value::Long(number)),
                ("skip", Value::Long(number)), ("top", Value::Long(number)), ("rule-name", Value::String(&text)),
            ];
            let response = world.manage(0, "queue", operation, &entries);
            prop_assert!((200..=599).contains(&response.status()));
        }
    }
}

/// A connection by hand, with one session and a sender on handle 0; what the broker answers is collected.
fn raw_sender(world: &mut World) -> ConnectionId {
    let id = world.broker.connect(world.clock).unwrap();
    let mut bytes = b"AMQP\x03\x01\x00\x00".to_vec();
    let init = servicebus_core::wire::sasl::SaslInit {
        mechanism: servicebus_core::wire::Symbol::new("PLAIN"),
        initial_response: Some(b"\0RootManageSharedAccessKey\0SAS_KEY_VALUE"),
        hostname: None,
    };
    let encoded = wire::to_vec(&init);
    bytes.extend_from_slice(&header(encoded.len() as u32 + 8, Kind::Sasl, 0));
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(b"AMQP\x00\x01\x00\x00");
    frame(&mut bytes, 0, &OPEN, &[]);
    any_frame(0, 2, 5_000, false, &[], &mut bytes);
    any_frame(1, 6, 0, false, &[], &mut bytes);
    assert!(feed(world, id, &bytes));
    id
}

/// Sends a message of so many bytes in parts, whatever the link allows, and returns what the broker says.
fn send_parts(world: &mut World, id: ConnectionId, size: usize) -> Vec<u8> {
    let mut payload = vec![0x00, 0x53, 0x75, 0xb0];
    payload.extend_from_slice(&(size as u32).to_be_bytes());
    payload.resize(payload.len() + size, 7);
    let (mut rx, mut tx, mut said) = (Broker::rx(), Broker::tx(), Vec::new());
    let count = payload.chunks(60_000).len();
    for (at, part) in payload.chunks(60_000).enumerate() {
        let transfer = Transfer {
            handle: 0,
            delivery_id: Some(0),
            delivery_tag: Some(&[1]),
            message_format: Some(0),
            settled: Some(false),
            more: at + 1 < count,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        };
        let mut bytes = Vec::new();
        frame(&mut bytes, 0, &transfer, part);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let count = rest.len().min(rx.spare().len());
            rx.spare()[..count].copy_from_slice(&rest[..count]);
            rx.commit(count);
            rest = &rest[count..];
            world.broker.handle_input(id, world.clock, &mut rx).unwrap();
        }
        while world.broker.poll_transmit(id, world.clock, &mut tx) {
            said.extend_from_slice(tx.filled());
            tx.clear();
        }
    }
    said
}

#[test]
fn a_message_above_the_limit_is_refused_by_itself_and_one_far_above_ends_the_link_snd13_snd14() {
    let mut world = World::with_queue(QueueDescription::default());
    let id = raw_sender(&mut world);
    let said = send_parts(&mut world, id, 300_000);
    let has = |said: &[u8], text: &[u8]| said.windows(text.len()).any(|window| window == text);
    assert!(has(&said, b"amqp:link:message-size-exceeded"));
    assert!(has(&said, b"The received message (delivery-id:0, size:300008 bytes) exceeds the limit (262144 bytes)"));
    assert!(has(&said, &[0x00, 0x53, 0x15]) && !has(&said, &[0x00, 0x53, 0x16]));
    let id = raw_sender(&mut world);
    let said = send_parts(&mut world, id, 3_000_000);
    assert!(has(&said, b"amqp:link:message-size-exceeded") && has(&said, &[0x00, 0x53, 0x16]));
    assert!(world.peek(0, "queue", 0, 1).is_empty());
}
