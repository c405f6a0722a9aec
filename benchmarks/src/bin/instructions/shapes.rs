//! One function each, over fixed input: performatives, a message with sections, what Service Bus makes of it.

use crate::counted;
use servicebus_core::servicebus::{LockToken, MessageBatch, MessageRef, ReceivedMessage};
use servicebus_core::storage::{Heap, Payload as _, Storage};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::message::{MessageView, section};
use servicebus_core::wire::messaging::{DeliveryState, Source, Target, put_section};
use servicebus_core::wire::performative::{Attach, Disposition, Flow, Performative, Role, TargetArchetype, Transfer};
use servicebus_core::wire::{self, Encode, MapWriter, Reader, Sink, Value};
use std::hint::black_box;

/// Bytes of a message's body.
const BODY: usize = 1_024;

/// Application properties of three types.
const PROPERTIES: &[(&str, Value<'static>)] = &[
    ("tenant", Value::String("contoso")),
    ("attempt", Value::Int(3)),
    ("weight", Value::Double(0.75)),
    ("urgent", Value::Boolean(true)),
];

/// The message that every figure sends or reads.
pub(crate) fn message(body: &[u8]) -> MessageRef<'_> {
    MessageRef::new(body)
        .with_message_id("0b8c5c2e-order-000017")
        .with_subject("order.created")
        .with_content_type("application/json")
        .with_correlation_id("checkout-42")
        .with_time_to_live(Duration::from_secs(3_600))
        .with_properties(PROPERTIES)
}

pub(crate) fn body() -> Vec<u8> {
    (0..BODY).map(|byte| byte as u8).collect()
}

fn repeat(count: u32, mut work: impl FnMut()) {
    counted(&mut || {
        for _ in 0..count {
            work();
        }
    });
}

/// Hands the performatives of a link's life to `each`.
fn performatives(each: &mut dyn FnMut(&dyn Encode)) {
    each(&Attach {
        source: Some(Source::new(Some("orders-5f2b"))),
        target: Some(TargetArchetype::Target(Target::new(Some("orders")))),
        max_message_size: Some(262_144),
        ..Attach::new("orders-5f2b", Role::Sender)
    });
    each(&Flow {
        next_incoming_id: Some(1),
        incoming_window: 5_000,
        next_outgoing_id: 17,
        outgoing_window: 5_000,
        handle: Some(0),
        delivery_count: Some(12),
        link_credit: Some(100),
        available: None,
        drain: false,
        echo: false,
        properties: None,
    });
    each(&Transfer {
        handle: 0,
        delivery_id: Some(17),
        delivery_tag: Some(&[7; 16]),
        message_format: Some(0),
        settled: Some(false),
        more: false,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: true,
    });
    each(&Disposition {
        role: Role::Receiver,
        first: 17,
        last: Some(19),
        settled: true,
        state: Some(DeliveryState::ACCEPTED),
        batchable: false,
    });
}

pub(crate) fn encode_performatives(count: u32) {
    let mut place = [0; 1_024];
    repeat(count, || {
        performatives(&mut |performative| {
            black_box(wire::encode(performative, &mut place)).expect("room");
        });
    });
}

pub(crate) fn decode_performatives(count: u32) {
    let mut encoded = Vec::new();
    performatives(&mut |performative| {
        let mut bytes = vec![0; wire::measure(performative)];
        wire::encode(performative, &mut bytes).expect("room");
        encoded.push(bytes);
    });
    repeat(count, || {
        for bytes in &encoded {
            black_box(Reader::new(black_box(bytes)).read::<Performative<'_>>()).expect("a performative");
        }
    });
}

pub(crate) fn encode_message(count: u32) {
    let (body, mut place) = (body(), [0; 2_048]);
    let message = message(&body);
    repeat(count, || _ = black_box(wire::encode(black_box(&message), &mut place)).expect("room"));
}

/// The message as the service delivers it: with a header's count and its own annotations.
fn delivered() -> Vec<u8> {
    let body = body();
    let mut bytes = Vec::new();
    let sink = &mut Sink::from(&mut bytes);
    put_section(sink, section::MESSAGE_ANNOTATIONS);
    let mut annotations = MapWriter::begin(sink);
    annotations.put_symbol("x-opt-enqueued-time", Timestamp::from_secs(1_795_000_000));
    annotations.put_symbol("x-opt-sequence-number", 17_i64);
    annotations.put_symbol("x-opt-locked-until", Timestamp::from_secs(1_795_000_060));
    annotations.put_symbol("x-opt-enqueue-sequence-number", 17_i64);
    annotations.end();
    message(&body).encode(sink);
    bytes
}

pub(crate) fn decode_message(count: u32) {
    let bytes = delivered();
    repeat(count, || {
        let view = MessageView::parse(black_box(&bytes)).expect("a message");
        black_box((view.header().expect("a header"), view.properties().expect("properties")));
        for map in [view.message_annotations(), view.application_properties()] {
            map.expect("a map").iter().for_each(|entry| _ = black_box(entry));
        }
        _ = black_box(view.body()).expect("a body");
    });
}

pub(crate) fn fill_batch(count: u32) {
    let body = body();
    let message = message(&body);
    let mut batch = MessageBatch::<Heap>::new(1 << 20, Timestamp::UNIX_EPOCH);
    repeat(count, || {
        if batch.len() == 64 {
            batch = MessageBatch::new(1 << 20, Timestamp::UNIX_EPOCH);
        }
        batch.try_add(black_box(&message)).expect("room");
    });
}

pub(crate) fn read_received(count: u32) {
    let payload = <Heap as Storage>::Payload::copy_from(&delivered()).expect("room");
    let tag = [7; 16];
    repeat(count, || {
        let message = ReceivedMessage::<Heap>::from_bytes(black_box(&payload).clone()).expect("a message");
        black_box((LockToken::from_delivery_tag(black_box(&tag)), message.data(), message.message_id()));
        black_box((message.subject(), message.content_type(), message.correlation_id(), message.delivery_count()));
        black_box((message.sequence_number(), message.enqueued_time(), message.locked_until(), message.time_to_live()));
        black_box((message.property("tenant"), message.property("urgent")));
    });
}
