//! Transactions that begin on the client, in one entity and across entities (docs/evidence/field-reports.md F40 and F41).

use crate::stage::{MINUTE, SECOND, add_queue, on_both_storages, play, world};
use servicebus_core::client::{Client, ErrorKind};
use servicebus_core::servicebus::{MessageRef, ReceivedMessage};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::storages::Complete;

on_both_storages! {
    a_transaction_across_entities_happens_whole_or_not_at_all => across;
    a_transaction_across_entities_works_again_after_a_cut => across_a_cut;
    a_client_without_the_option_keeps_to_one_entity => one_entity;
    a_transaction_needs_a_sender_or_receiver_that_authorizes_it => nothing_to_authorize;
}

/// A world with the queues `q` and `outbox`.
fn two_queues() -> World {
    let world = world(QueueDescription::default());
    add_queue(&world, "outbox", QueueDescription::default());
    world
}

fn client<S: Complete>(world: &World, across: bool) -> Client<Simulated<S>> {
    world.client_with(world.settings::<S>().with_cross_entity_transactions(across))
}

fn count(world: &World, queue: &str) -> u64 {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        namespace.counts(&namespace.queue(queue).expect("the queue").stores).total()
    })
}

async fn take<S: Complete>(client: &Client<Simulated<S>>) -> ReceivedMessage<S> {
    client.receiver("q").unwrap().receive(MINUTE * 2).await.unwrap().expect("a message")
}

/// Moves a message from `q` to `outbox`, or rolls that back.
async fn move_one<S: Complete>(client: &Client<Simulated<S>>, message: &ReceivedMessage<S>, commits: bool) {
    let (receiver, outbox) = (client.receiver("q").unwrap(), client.sender("outbox").unwrap());
    let transaction = client.begin_transaction().await.unwrap();
    transaction.complete(&receiver, message).await.unwrap();
    transaction.send(&outbox, &MessageRef::new("reply")).await.unwrap();
    if commits { transaction.commit().await.unwrap() } else { transaction.roll_back().await.unwrap() }
}

fn across<S: Complete>() {
    let world = two_queues();
    play(&world, async |world| {
        let client = client::<S>(&world, true);
        client.sender("q").unwrap().send(&MessageRef::new("work")).await.unwrap();
        let message = take(&client).await;
        move_one(&client, &message, false).await;
        assert_eq!((count(&world, "q"), count(&world, "outbox")), (1, 0), "rolled back");
        move_one(&client, &message, true).await;
        assert_eq!((count(&world, "q"), count(&world, "outbox")), (0, 1), "committed");
        // The service pins the client to the first entity that it received from.
        let other = client.receiver("outbox").unwrap().receive(SECOND).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Rejected, "{other}");
        client.close().await;
    });
}

fn across_a_cut<S: Complete>() {
    let world = two_queues();
    play(&world, async |world| {
        let client = client::<S>(&world, true);
        for round in 1..=3 {
            client.sender("q").unwrap().send(&MessageRef::new("work")).await.unwrap();
            let message = take(&client).await;
            world.cut();
            world.sleep(SECOND).await;
            move_one(&client, &message, true).await;
            assert_eq!((count(&world, "q"), count(&world, "outbox")), (0, round));
        }
        client.close().await;
    });
}

fn one_entity<S: Complete>() {
    let world = two_queues();
    play(&world, async |world| {
        let client = client::<S>(&world, false);
        client.sender("q").unwrap().send(&MessageRef::new("work")).await.unwrap();
        let message = take(&client).await;
        let (receiver, sender) = (client.receiver("q").unwrap(), client.sender("q").unwrap());
        let transaction = client.begin_transaction().await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        transaction.send(&sender, &MessageRef::new("again")).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(count(&world, "q"), 1);
        let message = take(&client).await;
        assert_eq!(message.text().unwrap(), "again");
        let transaction = client.begin_transaction().await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        let outbox = client.sender("outbox").unwrap();
        let refused = transaction.send(&outbox, &MessageRef::new("reply")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
        drop(transaction);
        client.close().await;
        assert_eq!((count(&world, "q"), count(&world, "outbox")), (1, 0));
    });
}

fn nothing_to_authorize<S: Complete>() {
    let world = two_queues();
    play(&world, async |world| {
        let client = client::<S>(&world, true);
        let refused = client.begin_transaction().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
        let _sender = client.sender("q").unwrap();
        client.begin_transaction().await.unwrap().commit().await.unwrap();
        client.close().await;
    });
}
