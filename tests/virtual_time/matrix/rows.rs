//! Rows of the matrix that no single call of the table is.

use crate::cell::{Judged, STEPS, Sim, cell, client, heal, judge, retry, works, world};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_tests::calls::{QUEUE, calls, policy};
use servicebus_tests::peers::{Node, Sick, Step};

/// Judges the cell of a row with a peer; `None` where the peer's step is not part of the row.
pub(crate) type Judge = fn(&'static Sick, u64) -> Option<Judged>;

/// All of them, by name.
pub(crate) const ROWS: &[(&str, Judge)] = &[
    ("Sender::send and Receiver::receive, fixed storage", fixed),
    ("Sender::send beside the sick connection", beside),
    ("Processor::run for a minute", minute),
];

servicebus_core::fixed_storage! {
    /// A microcontroller's tables.
    pub(crate) type Small {
        sessions: 1, links: 10, deliveries: 16, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

/// A send and a receive with fixed storage, which the calls of the table do not have.
fn fixed(sick: &'static Sick, seed: u64) -> Option<Judged> {
    const WAIT: Duration = Duration::from_secs(1);
    let (world, service) = world(seed);
    let client = client::<Small>(&world);
    let handles = (client.sender(QUEUE).expect("a sender"), client.receiver(QUEUE).expect("a receiver"));
    let prepared = async move {
        let (sender, receiver) = handles;
        sender.send(&MessageRef::new(b"prepared")).await.expect("a send");
        let message = receiver.receive(Duration::from_secs(5)).await.expect("a receive").expect("the message");
        receiver.complete(&message).await.expect("a settlement");
        sender.send(&MessageRef::new(b"waits")).await.expect("a send");
        (sender, receiver)
    };
    let prepared = world.try_run(prepared, Duration::from_secs(60), STEPS);
    let (sender, receiver) = prepared.expect("a healthy service answers");
    service.fall_sick(sick);
    let before = service.demands();
    let running = async move {
        let sent = sender.send(&MessageRef::new(b"sent")).await.is_ok();
        let received = receiver.receive(WAIT).await.is_ok();
        drop((sender, receiver));
        (sent, received)
    };
    let judged = judge(&world, policy(&retry()) + WAIT, running);
    let judged = Judged::new(judged.map(drop), &service, before).and(|| heal(&world, &service, client));
    world.end();
    Some(judged)
}

/// Whether every call needs a connection that has passed this step.
fn is_opened_by(step: Step) -> bool {
    match step {
        Step::Tcp | Step::SaslHeader | Step::SaslMechanisms | Step::SaslOutcome => true,
        Step::AmqpHeader | Step::Open | Step::Begin => true,
        Step::Attach(node) | Step::Credit(node) | Step::Transfer(node) => node == Node::Cbs,
        _ => false,
    }
}

/// The first connection is sick in its opening and stays so, every other one works: the whole opening is bounded by the
/// try time-out, so the next send has a new connection in time (field report H3).
fn beside(sick: &'static Sick, seed: u64) -> Option<Judged> {
    if !is_opened_by(sick.step) {
        return None;
    }
    let (world, service) = world(seed);
    service.fall_sick(sick);
    let client = client::<Heap>(&world);
    let sender = client.sender(QUEUE).expect("a sender");
    let first = async move { _ = sender.send(&MessageRef::new(b"first")).await };
    let judged = judge(&world, policy(&retry()), first);
    let judged = Judged::new(judged, &service, 0).and(|| {
        service.heal_new();
        works(&world, client)
    });
    world.end();
    Some(judged)
}

/// A processor pauses between its attempts while a service is sick for longer (field reports H2 and C17).
fn minute(sick: &'static Sick, seed: u64) -> Option<Judged> {
    let calls = calls::<Sim>();
    let processor = calls.iter().find(|call| call.name == "Processor::run")?;
    Some(cell(processor, sick, seed, Duration::from_secs(60)))
}
