//! What a client keeps of the messages that its application has taken.

use crate::stage::{HOUR, MINUTE, SECOND, add_queue, observe, settings, world};
use servicebus_core::client::AutoLockRenewer;
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;

/// What is left when a receiver's link is lost while its connection lives.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Messages that the machine holds, before and after.
    held: (usize, usize),
    /// Renewals while other messages are sent, whose deliveries take the places of the former ones.
    renewed: u64,
    /// Whether the message can be settled by request.
    settled: bool,
}

#[test]
fn a_lost_link_leaves_no_message_behind() {
    let lock_duration = Duration::from_secs(300);
    let left = observe(&world(QueueDescription { lock_duration, ..QueueDescription::default() }), async |world| {
        add_queue(&world, "other", QueueDescription::default());
        let (client, state) = world.client_and_state::<Heap>(settings(&world, RetryPolicy::default()));
        let held = || state.borrow_mut().machine().occupancy().held;
        let renewed = || world.broker(|broker, _| broker.statistics().locks_renewed);
        let sender = client.sender("other").unwrap();
        let receiver = client.receiver("q").unwrap();
        let mut messages = Vec::new();
        for _ in 0..3 {
            client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
            messages.push(receiver.receive(MINUTE).await.unwrap().unwrap());
        }
        let message = &messages[0];
        let _renewal = AutoLockRenewer::new(HOUR).message(&receiver, message).unwrap();
        let before = held();
        // A link on which nothing moves for ten minutes is detached; the sender keeps the connection.
        for _ in 0..12 {
            world.sleep(MINUTE).await;
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let after = held();
        // Just behind a renewal none is due.
        let count = renewed();
        while renewed() == count {
            world.sleep(SECOND).await;
        }
        let count = renewed();
        for _ in 0..10 {
            sender.send(&MessageRef::new("x")).await.unwrap();
            world.sleep(SECOND).await;
        }
        let renewed = renewed() - count;
        Left { held: (before, after), renewed, settled: receiver.complete(message).await.is_ok() }
    });
    assert_eq!(left, Left { held: (3, 0), renewed: 0, settled: true });
}
