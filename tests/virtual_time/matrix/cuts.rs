//! A connection that dies at any byte: the call ends, and the next one works.

use crate::cell::{Wrong, client, ended, heal, retry, world};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_tests::calls::{QUEUE, policy};
use servicebus_tests::peers::{Fault, Sick, Step};

/// A send and a receive by a client that is not connected yet. Every connection is cut behind `bytes` bytes.
fn cut_at(bytes: usize) -> Result<(), Wrong> {
    let (world, service) = world(bytes as u64);
    let sick = Box::leak(Box::new(Sick { name: "cut", step: Step::Tcp, fault: Fault::CutAt(bytes) }));
    service.fall_sick(sick);
    let client = client::<Heap>(&world);
    let other = client.clone();
    let calls = async move {
        let (sender, receiver) = (other.sender(QUEUE).expect("a sender"), other.receiver(QUEUE).expect("a receiver"));
        _ = sender.send(&MessageRef::new(b"sent")).await;
        receiver.receive(Duration::from_secs(1)).await.map(drop).map_err(drop)
    };
    let begin = world.clock().now;
    let judged = ended(&world, calls).and_then(|(_, end)| {
        let limit = policy(&retry()) + Duration::from_millis(1_050);
        if end.saturating_duration_since(begin) > limit { Err(Wrong::Late) } else { Ok(()) }
    });
    let judged = judged.and_then(|()| heal(&world, &service, client));
    world.end();
    judged
}

#[test]
fn a_connection_may_die_at_any_byte() {
    // The service sends somewhat over two thousand bytes for a send and a receive. Every byte of the first frames, then
    // one in 23, which falls into every part of a frame.
    let places = (1..=120).chain((121..2_600).step_by(23));
    let wrong: Vec<_> = places.filter_map(|bytes| cut_at(bytes).err().map(|wrong| (bytes, wrong))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
