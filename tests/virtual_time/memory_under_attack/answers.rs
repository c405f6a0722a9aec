//! Answers to a client that does not read them.

use crate::live;
use bytes::{Bytes, BytesMut};
use servicebus_core::engine::{LinkId, SendOptions, Tag};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Buffer as _;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{MessageId, Properties, put_section};
use servicebus_core::wire::{Encode as _, Sink, Value};
use servicebus_emulator::broker::Broker;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// A request to peek so many messages.
pub(crate) fn peek(count: i32, reply_to: &str) -> Bytes {
    let mut out = BytesMut::new();
    let sink = &mut Sink::from(&mut out);
    Properties { message_id: Some(MessageId::String("1")), reply_to: Some(reply_to), ..Properties::EMPTY }.encode(sink);
    put_section(sink, section::APPLICATION_PROPERTIES);
    put_map(sink, &[("operation", Value::String("com.microsoft:peek-message"))]);
    put_section(sink, section::AMQP_VALUE);
    put_map(sink, &[("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(count))]);
    out.freeze()
}

/// Sends on a link and reads nothing of what the broker answers.
pub(crate) fn send_only(world: &mut World, client: usize, link: LinkId, payload: Bytes) {
    let (mut tx, mut rx) = (Broker::tx(), Broker::rx());
    let options = SendOptions { tag: Tag::new(&[1]).unwrap(), ..SendOptions::default() };
    let World { broker, clock, clients } = world;
    let client = &mut clients[client];
    client.engine.send(link, &payload, &options).unwrap();
    while client.engine.poll_transmit(clock.now, &mut tx) || !tx.filled().is_empty() {
        let count = tx.filled().len().min(rx.spare().len());
        rx.spare()[..count].copy_from_slice(&tx.filled()[..count]);
        rx.commit(count);
        tx.consume(count);
        _ = broker.handle_input(client.id, *clock, &mut rx);
    }
}

/// Bytes that the broker keeps for forty peeks more, each of `count` messages of `size` bytes.
fn kept(size: usize, count: usize) -> isize {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let body = vec![7; size];
    for _ in 0..count {
        assert_eq!(world.send(0, sender, &MessageRef::new(&body)), Ended::Accepted);
    }
    let client = world.connect();
    let (request, response) = world.node(client, "queue/$management");
    let reply_to = world.reply_to(client, response).to_owned();
    let mut peeks = |times: usize| {
        for _ in 0..times {
            send_only(&mut world, client, request, peek(count as i32, &reply_to));
        }
        live()
    };
    // Some answers may wait in buffers.
    let before = peeks(20);
    peeks(40) - before
}

#[test]
fn answers_that_are_not_read_are_not_made_a1() {
    let mut judge = Judge::new();
    for (size, count) in [(2_000_usize, 50_usize), (50_000, 2), (100_000, 4), (240_000, 1), (240_000, 4)] {
        let answers = 40 * size.cast_signed() * count.cast_signed();
        judge.case(
            format!("40 peeks of {count} messages of {size} bytes"),
            kept(size, count),
            |kept| *kept < answers / 8,
            |kept| *kept > answers / 2,
        );
    }
    judge.finish();
}

/// Requests that waited for their responses to be read are carried out then: none is lost, and none is made twice.
#[test]
fn responses_that_waited_come_when_they_are_read_a1() {
    for (size, count, requests) in [(1_000, 1, 90), (100_000, 4, 40), (240_000, 4, 20)] {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        for _ in 0..count {
            assert_eq!(world.send(0, sender, &MessageRef::new(&vec![7; size])), Ended::Accepted);
        }
        let client = world.connect();
        let (request, response) = world.node(client, "queue/$management");
        let reply_to = world.reply_to(client, response).to_owned();
        for _ in 0..requests {
            send_only(&mut world, client, request, peek(count, &reply_to));
        }
        world.settle_down();
        let engine = &mut world.clients[client].engine;
        let mut answers = 0;
        while let Some(answer) = engine.receive(response) {
            assert!(answer.payload.len() > size * count as usize, "{} bytes", answer.payload.len());
            answers += 1;
        }
        assert_eq!(answers, requests, "{count} messages of {size} bytes");
    }
}
