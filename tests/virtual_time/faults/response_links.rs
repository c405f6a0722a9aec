//! A request whose response link does not exist is refused.

use bytes::BytesMut;
use servicebus_core::engine::{LinkId, SendOptions, Tag};
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{MessageId, Properties, put_section};
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::{Encode as _, Sink, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{World, attach_of, put_map};
use servicebus_tests::coordinator::refusal;
use servicebus_tests::fault::Judge;

fn node_link(world: &mut World, c: usize, role: Role, address: &str, name: &str) -> LinkId {
    world.attach(c, &attach_of(name, role, address, false, None, None)).unwrap()
}

/// A peek whose response goes to `reply_to`.
fn request(reply_to: &str) -> bytes::Bytes {
    let mut out = BytesMut::new();
    let sink = &mut Sink::from(&mut out);
    let id = Some(MessageId::String("request1"));
    Properties { message_id: id, reply_to: Some(reply_to), ..Properties::EMPTY }.encode(sink);
    put_section(sink, section::APPLICATION_PROPERTIES);
    put_map(sink, &[("operation", "com.microsoft:peek-message".into())]);
    put_section(sink, section::AMQP_VALUE);
    put_map(sink, &[("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(1))]);
    out.freeze()
}

/// Why it was refused.
fn peek(world: &mut World, requests: LinkId, reply_to: &str) -> Option<String> {
    refusal(&world.send_bytes(0, requests, request(reply_to), 0, None)).map(|failure| failure.text)
}

#[test]
fn a_request_without_a_response_link_is_refused_f51() {
    let mut judge = Judge::new();
    for entity in ["queue", "topic/Subscriptions/s"] {
        let mut world = World::with_queue(QueueDescription::default());
        world.queue("other", QueueDescription::default());
        world.topic("topic", &[("s", SubscriptionDescription::default())]);
        let node = format!("{entity}/$management");
        let requests = node_link(&mut world, 0, Role::Sender, &node, "requests");
        let gone = node_link(&mut world, 0, Role::Receiver, &node, "gone");
        world.detach(0, gone);
        node_link(&mut world, 0, Role::Receiver, "other/$management", "of another entity");
        node_link(&mut world, 0, Role::Receiver, entity, "of the entity itself");
        let another = world.connect();
        node_link(&mut world, another, Role::Receiver, &node, "of another connection");
        for name in ["X", "", "gone", "requests", "of another entity", "of the entity itself", "of another connection"]
        {
            let text = format!("The response link '{name}' was not found in the entity management node $management.");
            judge.case(
                format!("{name} at {entity}"),
                peek(&mut world, requests, name),
                |refused| refused.as_ref().is_some_and(|refused| refused.contains(&text)),
                Option::is_none,
            );
        }
        node_link(&mut world, 0, Role::Receiver, &node, "there");
        judge.control(format!("there at {entity}"), peek(&mut world, requests, "there"), Option::is_none);
    }
    judge.finish();
}

/// A request that is settled already cannot be rejected: its link is detached, with the same words.
#[test]
fn a_settled_request_without_a_response_link_ends_its_link_f51() {
    for entity in ["queue", "topic/Subscriptions/s"] {
        let mut world = World::with_queue(QueueDescription::default());
        world.topic("topic", &[("s", SubscriptionDescription::default())]);
        let requests = node_link(&mut world, 0, Role::Sender, &format!("{entity}/$management"), "requests");
        let options = SendOptions { tag: Tag::new(&[1]).unwrap(), settled: true, ..SendOptions::default() };
        world.clients[0].engine.send(requests, &request("X"), &options).unwrap();
        world.settle_down();
        let failure = world.detached(0, requests).expect("detached");
        assert_eq!(failure.condition, "amqp:not-allowed");
        assert!(failure.text.contains("The response link 'X' was not found"), "{}", failure.text);
    }
}

/// What is no request is not accepted.
#[test]
fn what_is_no_request_is_rejected_f51() {
    for address in ["queue/$management", "$cbs"] {
        let mut world = World::with_queue(QueueDescription::default());
        let (requests, _) = world.node(0, address);
        for bytes in [&b"\xff\xff"[..], &[0x00, 0x53, 0x77], &[0x40], &[0x00, 0x53, 0x74, 0xd1, 0, 0, 0, 9]] {
            let refused = refusal(&world.send_bytes(0, requests, bytes::Bytes::from_static(bytes), 0, None));
            assert_eq!(refused.map(|failure| failure.condition).as_deref(), Some("amqp:decode-error"), "{bytes:?}");
        }
    }
}
