//! Rows of docs/evidence/pinned-behaviour.md about peeking, deletion, transactions over several entities and `$cbs`,
//! through this client.

use crate::stage::{
    MINUTE, Names, SECOND, Small, add_queue, counts, on_both_storages, pair, play, send_numbers, world,
};
use servicebus_core::servicebus::{MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::Tier;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;

on_both_storages! {
    a_peeker_goes_on_where_it_was_pek2_pek4 => peeks;
}

fn peeks<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..3).await;
        let mut peeker = receiver.peeker();
        for (wanted, count) in [(2, 2), (2, 1), (1, 0)] {
            assert_eq!(peeker.peek_each(wanted, |_| ()).await.unwrap(), count);
        }
        // What is peeked by its number does not move it back, and it sees what comes later.
        assert_eq!(receiver.peek_each(1, 1, |_| ()).await.unwrap(), 1);
        assert_eq!(peeker.peek_each(1, |_| ()).await.unwrap(), 0);
        send_numbers(&sender, 3..4).await;
        let mut numbers = Vec::new();
        peeker.peek_each(5, |message| numbers.push(message.sequence_number())).await.unwrap();
        assert_eq!(numbers, [Some(4)]);
        assert_eq!(peeker.position(), 5);
        client.close().await;
    });
}

fn requests(world: &World) -> u64 {
    world.broker(|broker, _| broker.statistics().management_requests)
}

#[test]
fn deletion_has_a_limit_for_each_request_del15_del17() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        for _ in 0..12 {
            sender.send_all(&[MessageRef::new("x"); 100]).await.unwrap();
        }
        world.sleep(SECOND).await;
        let now = world.clock().utc;
        // None is none, without asking; what is too much is left to the service.
        assert_eq!((receiver.delete_messages(0, now).await.unwrap(), requests(&world)), (0, 0));
        let failure = receiver.delete_messages(501, now).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::ArgumentOutOfRange), "{failure}");
        assert_eq!((counts(&world).active, requests(&world)), (1_200, 1));
        // A purge asks for 500 at a time, until there are none.
        assert_eq!(receiver.purge(now).await.unwrap(), 1_200);
        assert_eq!(requests(&world), 5);
        for _ in 0..40 {
            sender.send_all(&[MessageRef::new("x"); 100]).await.unwrap();
        }
        sender.send(&MessageRef::new("x")).await.unwrap();
        world.sleep(SECOND).await;
        world.broker(|broker, clock| broker.with_namespace(clock, |namespace| namespace.set_tier(Tier::Premium, None)));
        let failure = receiver.delete_messages(4_001, world.clock().utc).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::ArgumentOutOfRange), "{failure}");
        assert_eq!(receiver.delete_messages(4_000, world.clock().utc).await.unwrap(), 4_000);
        client.close().await;
    });
}

/// Two queues more, `b` and `c`.
fn three_queues() -> World {
    let world = world(QueueDescription::default());
    for name in ["b", "c"] {
        add_queue(&world, name, QueueDescription::default());
    }
    world
}

#[test]
fn a_transaction_begins_with_a_send_txn21_txn24() {
    let world = three_queues();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        // The first operation of all is inside of the transaction.
        let controller = client.transactions("b").unwrap();
        let transaction = controller.begin().await.unwrap();
        let (b, c) = (client.sender("b").unwrap(), client.sender("c").unwrap());
        transaction.send(&b, &MessageRef::new("to b")).await.unwrap();
        transaction.send(&c, &MessageRef::new("to c")).await.unwrap();
        transaction.commit().await.unwrap();
        // The session of such transactions receives from its first entity only (docs/evidence/field-reports.md F40).
        let other = world.client::<Heap>();
        let (from_b, from_c) = (client.receiver("b").unwrap(), other.receiver("c").unwrap());
        let message = from_b.receive(SECOND).await.unwrap().expect("a message");
        let second = from_c.receive(SECOND).await.unwrap().expect("a message");
        assert_eq!((message.text().ok(), second.text().ok()), (Some("to b"), Some("to c")));
        from_c.complete(&second).await.unwrap();
        // Then what came is completed together with a send to elsewhere.
        let transaction = controller.begin().await.unwrap();
        transaction.complete(&from_b, &message).await.unwrap();
        transaction.send(&c, &MessageRef::new("on to c")).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(from_c.receive(SECOND).await.unwrap().expect("a message").text(), Ok("on to c"));
        assert_eq!(from_b.peek(0, 1).await.unwrap().len(), 0);
        client.close().await;
        other.close().await;
    });
}

#[test]
fn a_send_that_fails_leaves_the_rest_of_a_transaction_txn23() {
    let world = three_queues();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        client.sender("b").unwrap().send(&MessageRef::new("x")).await.unwrap();
        let receiver = client.receiver("b").unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("the message");
        let controller = client.transactions("b").unwrap();
        let transaction = controller.begin().await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        // The sender of another client is on another connection, which does not know the transaction.
        let other = world.client::<Heap>();
        let stranger = other.sender("c").unwrap();
        assert!(transaction.send(&stranger, &MessageRef::new("y")).await.is_err());
        transaction.commit().await.unwrap();
        assert_eq!(receiver.peek(0, 1).await.unwrap().len(), 0);
        assert_eq!(client.receiver("c").unwrap().peek(0, 1).await.unwrap().len(), 0);
        client.close().await;
        other.close().await;
    });
}

#[test]
fn a_connection_has_one_pair_of_links_to_cbs_crd15() {
    let world = three_queues();
    play(&world, async |world| {
        let attached = |world: &World| world.broker(|broker, _| broker.statistics().links_attached);
        let client = world.client::<Small>();
        let senders: Vec<_> = ["q", "b", "c"].map(|name| client.sender(name).unwrap()).into();
        for sender in &senders {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let tokens = world.broker(|broker, _| broker.statistics().tokens_put);
        assert_eq!((attached(&world), tokens), (2 + 3, 3), "a pair for tokens, and a link for each queue");
        // Tokens that are renewed come over the same pair.
        for _ in 0..12 {
            world.sleep(MINUTE * 5).await;
            for sender in &senders {
                sender.send(&MessageRef::new("x")).await.unwrap();
            }
        }
        let tokens = world.broker(|broker, _| broker.statistics().tokens_put);
        assert!(tokens > 3, "{tokens}");
        assert_eq!(attached(&world), 2 + 3);
        client.close().await;
    });
}
