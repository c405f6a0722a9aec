//! Messages that another than their receiver settles, and sessions that go from one receiver to the next.

use crate::stage::{Names, SECOND, counts, on_both_storages, play, world};
use servicebus_core::servicebus::Message;
use servicebus_emulator::broker::entities::QueueDescription;

on_both_storages! {
    a_message_of_another_client_is_not_taken_for_ones_own => settle_for_another;
}

fn settle_for_another<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (one, other, third) = (world.client::<S>(), world.client::<S>(), world.client::<S>());
        let sender = third.sender("q").unwrap();
        for body in ["a", "b"] {
            sender.send(&Message::new(body)).await.unwrap();
        }
        third.close().await;
        // Each has one message at the same place of its tables.
        let (first, second) = (one.receiver("q").unwrap(), other.receiver("q").unwrap());
        let (a, b) = (first.next().await.unwrap(), second.next().await.unwrap());
        assert_eq!((a.text(), b.text()), (Some("a"), Some("b")));
        second.complete(&a).await.unwrap();
        assert_eq!(counts(&world).active, 1);
        second.abandon(&b).await.unwrap();
        let left = first.receive(SECOND).await.unwrap().expect("the other message");
        assert_eq!((left.text(), left.delivery_count()), (Some("b"), 1));
        first.complete(&left).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        one.close().await;
        other.close().await;
    });
}
