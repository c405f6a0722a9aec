//! Messages that are enqueued: their order, their outcomes, and what bounds them.

use crate::stage::{MINUTE, SECOND, counts, play, world};
use futures_util::future::{Either, join, join_all, select};
use servicebus_core::client::{Client, Delivery, Error, ErrorKind, ErrorOutcome, Sender, SenderOptions};
use servicebus_core::servicebus::{Reason, ReceivedMessage};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use std::pin::pin;

type Runtime = Simulated<Heap>;

fn sender(client: &Client<Runtime>, is_ordered: bool) -> Sender<Runtime> {
    let options = SenderOptions::new("q");
    client.sender(if is_ordered { options.ordered() } else { options }).unwrap()
}

async fn enqueue(sender: &Sender<Runtime>, numbers: std::ops::Range<usize>) -> Vec<Delivery<Runtime>> {
    let mut deliveries = Vec::new();
    for number in numbers {
        deliveries.push(sender.enqueue(number.to_string().as_str()).await.unwrap());
    }
    deliveries
}

/// The messages in the queue; one that was stored twice in a row counts once.
async fn stored(client: &Client<Runtime>) -> Vec<usize> {
    let receiver = client.receiver("q").unwrap();
    let messages = receiver.peek(0, 250).await.unwrap();
    let number = |message: &ReceivedMessage<Heap>| message.text().unwrap().parse::<usize>().unwrap();
    let mut found: Vec<_> = messages.iter().map(number).collect();
    found.dedup();
    found
}

/// What goes wrong while messages are sent.
type Fault = fn(&World);

const FAULTS: [(&str, Fault); 5] = [
    ("a busy service", |world| world.broker(|broker, _| broker.throttle(2))),
    ("refusals that can pass", |world| world.broker(|broker, _| broker.refuse(2, Reason::InternalError))),
    ("a lost connection", World::cut),
    ("a lost link", |world| world.broker(|broker, clock| broker.force_detach("q", clock))),
    ("two lost connections", |world| {
        world.cut();
        world.broker(|broker, _| broker.throttle(1));
    }),
];

/// Sends 30 messages at once while something goes wrong, and returns how they are stored.
fn under_fault(is_ordered: bool, fault: Fault, after: usize) -> Vec<usize> {
    let world = world(QueueDescription::default());
    world.run({
        let world = world.clone();
        async move {
            let client = world.client::<Heap>();
            let sender = sender(&client, is_ordered);
            sender.size_limits().await.unwrap();
            let (first, rest) = (enqueue(&sender, 0..after).await, enqueue(&sender, after..30));
            let sent = async {
                let rest = rest.await;
                fault(&world);
                join_all(first.into_iter().chain(rest)).await
            };
            for outcome in sent.await {
                outcome.unwrap();
            }
            let stored = stored(&client).await;
            client.close().await;
            stored
        }
    })
}

#[test]
fn nothing_overtakes_on_an_ordered_sender() {
    let expected: Vec<usize> = (0..30).collect();
    for (name, fault) in FAULTS {
        for after in [0, 1, 15, 29] {
            assert_eq!(under_fault(true, fault, after), expected, "{name}, {after}");
        }
    }
}

#[test]
fn without_order_a_message_that_is_tried_again_is_overtaken() {
    let (name, fault) = FAULTS[1];
    let stored = under_fault(false, fault, 0);
    assert!(!stored.is_sorted() && stored.len() == 30, "{name}: {stored:?}");
}

/// Turns outcomes of sends from accepted into released: of those that come after `after` others, `count`.
fn release(world: &World, after: usize, count: usize) {
    // A described list without fields; only the code differs.
    let (accepted, released) = ([0x00, 0x53, 0x24, 0x45], [0x00, 0x53, 0x26, 0x45]);
    let mut seen = 0;
    world.set_tamper(move |bytes| {
        let mut begin = 0;
        while let Some(at) = bytes[begin..].windows(4).position(|window| window == accepted) {
            begin += at + 4;
            if (after..after + count).contains(&seen) {
                bytes[begin - 4..begin].copy_from_slice(&released);
            }
            seen += 1;
        }
    });
}

/// Sends 30 messages at once, some of which the service releases; returns how they are stored, and how many in all.
fn under_releases(is_ordered: bool, after: usize, count: usize) -> (Vec<usize>, u64) {
    let world = world(QueueDescription::default());
    world.run({
        let world = world.clone();
        async move {
            let client = world.client::<Heap>();
            let sender = sender(&client, is_ordered);
            sender.size_limits().await.unwrap();
            release(&world, after, count);
            for outcome in join_all(enqueue(&sender, 0..30).await).await {
                outcome.unwrap();
            }
            world.end_tampering();
            let found = (stored(&client).await, counts(&world).active);
            client.close().await;
            found
        }
    })
}

/// A released message was not taken, whatever the emulator has done with it here: it is sent again, before what lies behind.
#[test]
fn nothing_overtakes_a_message_that_is_released() {
    let expected: Vec<usize> = (0..30).collect();
    for after in [0, 1, 15, 29] {
        for count in [1, 3] {
            let (stored, all) = under_releases(true, after, count);
            assert_eq!(stored, expected, "{count} after {after}");
            assert_eq!(all, 30 + count as u64, "each is sent again, {count} after {after}");
        }
    }
    let (stored, all) = under_releases(false, 0, 1);
    // One disposition may be for many messages.
    assert!(!stored.is_sorted() && all > 30, "without order it is overtaken: {stored:?}");
}

#[test]
fn sends_and_batches_keep_the_order_of_their_sender_too() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = sender(&client, true);
        let other = sender.clone().timeout(MINUTE);
        let mut batch = sender.create_batch().await.unwrap();
        batch.try_add("2").unwrap();
        batch.try_add("3").unwrap();
        world.broker(|broker, _| broker.refuse(1, Reason::InternalError));
        let deliveries = enqueue(&sender, 0..2).await;
        let sends = join(other.send_batch(batch), other.send("4"));
        let (outcomes, (batch, message)) = join(join_all(deliveries), sends).await;
        assert!(outcomes.iter().all(Result::is_ok));
        batch.unwrap();
        message.unwrap();
        assert_eq!(stored(&client).await, [0, 1, 2, 3, 4]);
        client.close().await;
    });
}

#[test]
fn each_delivery_has_its_own_outcome() {
    for is_ordered in [true, false] {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<Heap>();
            let sender = sender(&client, is_ordered);
            sender.size_limits().await.unwrap();
            world.broker(|broker, _| broker.refuse(2, Reason::NotAllowed));
            let deliveries = enqueue(&sender, 0..5).await;
            let outcomes: Vec<_> = join_all(deliveries).await;
            let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(Error::reason)).collect();
            let refused = Some(Some(Reason::NotAllowed));
            assert_eq!(kinds, [refused, refused, None, None, None], "ordered: {is_ordered}");
            assert_eq!(stored(&client).await, [2, 3, 4]);
            client.close().await;
        });
    }
}

#[test]
fn outcomes_may_be_awaited_late_and_in_any_order() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let mut deliveries = enqueue(&sender(&client, false), 0..4).await;
        world.sleep(MINUTE).await;
        while let Some(delivery) = deliveries.pop() {
            delivery.await.unwrap();
        }
        assert_eq!(stored(&client).await, [0, 1, 2, 3]);
        client.close().await;
    });
}

#[test]
fn a_dropped_delivery_leaves_a_message_that_is_under_way() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = sender(&client, false);
        drop(enqueue(&sender, 0..3).await);
        world.sleep(SECOND).await;
        assert_eq!(stored(&client).await, [0, 1, 2]);
        client.close().await;
    });
}

#[test]
fn a_dropped_delivery_of_an_ordered_sender_lets_the_next_one_pass() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = sender(&client, true);
        sender.size_limits().await.unwrap();
        let mut deliveries = enqueue(&sender, 0..4).await;
        // The first is under way; the second waits.
        drop(deliveries.remove(1));
        drop(deliveries.remove(0));
        for outcome in join_all(deliveries).await {
            outcome.unwrap();
        }
        assert_eq!(stored(&client).await, [0, 2, 3]);
        client.close().await;
    });
}

#[test]
fn a_message_behind_one_that_nobody_awaits_ends_in_its_time() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = sender(&client, true).timeout(MINUTE);
        sender.size_limits().await.unwrap();
        let mut deliveries = enqueue(&sender, 0..2).await;
        let (second, first) = (deliveries.pop().unwrap(), deliveries.pop().unwrap());
        let began = world.clock().now;
        let error = second.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, ErrorOutcome::NotSent), "{error}");
        assert!(world.clock().now.saturating_duration_since(began) <= MINUTE);
        first.await.unwrap();
        sender.send("2").await.unwrap();
        assert_eq!(stored(&client).await, [0, 2]);
        client.close().await;
    });
}

#[test]
fn a_closed_sender_ends_what_waits_for_its_turn() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = sender(&client, true);
        sender.size_limits().await.unwrap();
        let deliveries = enqueue(&sender, 0..3).await;
        let (outcomes, ()) = join(join_all(deliveries), sender.close()).await;
        let stored = stored(&client).await.len();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(()) => assert!(number < stored),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
            }
        }
        client.close().await;
    });
}

#[test]
fn enqueue_waits_while_the_tables_are_full_and_no_longer_than_it_may() {
    for is_ordered in [true, false] {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let mut settings = world.settings::<Heap>();
            settings.limits.deliveries = 16;
            let client = world.client_with(settings);
            let sender = sender(&client, is_ordered);
            sender.size_limits().await.unwrap();
            let mut deliveries = Vec::new();
            while let Either::Left((placed, _)) = select(pin!(sender.enqueue("x")), pin!(world.sleep(SECOND))).await {
                deliveries.push(placed.unwrap());
            }
            let began = world.clock().now;
            let error = sender.timeout(10 * SECOND).enqueue("x").await.unwrap_err();
            let took = world.clock().now.saturating_duration_since(began);
            assert!(took >= 9 * SECOND && took <= 11 * SECOND, "{took:?}");
            assert_eq!(error.kind(), ErrorKind::Capacity, "{error}");
            assert!((10..=16).contains(&deliveries.len()), "{}", deliveries.len());
            // Room is passed on at once.
            let began = world.clock().now;
            let first = deliveries.remove(0);
            let (placed, outcome) = join(sender.enqueue("late"), async {
                world.sleep(SECOND).await;
                first.await
            })
            .await;
            outcome.unwrap();
            assert!(world.clock().now.saturating_duration_since(began) <= 2 * SECOND);
            deliveries.push(placed.unwrap());
            // One that is given up leaves its place in the queue of those that wait.
            let waits = pin!(sender.enqueue("never"));
            drop(select(waits, pin!(world.sleep(SECOND))).await);
            for outcome in join_all(deliveries).await {
                outcome.unwrap();
            }
            sender.send("last").await.unwrap();
            assert!(counts(&world).active > 10);
            client.close().await;
        });
    }
}
