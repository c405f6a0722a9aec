//! Rows 1 to 12 of docs/evidence/invariants.md §1: waiting, credit, closing and locks.

use crate::stage::{
    HOUR, MINUTE, SECOND, Small, counts, locks, number, on_both_storages, pair, play, send_numbers, with_store, world,
};
use servicebus_core::client::ReceiverOptions;
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::store::Store;
use servicebus_emulator::broker::entities::{EntityStatus, QueueDescription};
use servicebus_tests::storages::Complete;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

on_both_storages! {
    row_01_a_waiting_receiver_notices_a_link_that_died_silently => dead_link;
    row_02_an_idle_detach_is_invisible_to_a_waiting_receiver => idle_detach;
    row_03_a_receiver_resumes_after_its_entity_was_disabled => disabled_entity;
    row_04_a_closed_receiver_holds_no_lock => close_releases;
    row_05_a_close_that_is_given_up_goes_on => close_given_up;
    row_07_a_receive_that_ends_empty_has_locked_nothing => max_wait_race;
    row_08_no_more_is_locked_than_was_asked_for => credit_is_what_was_asked;
    row_10_no_message_is_handed_out_whose_lock_has_ended => expired_prefetch;
    row_11_a_paused_receiver_sends_nothing_to_the_dead_letter_queue => paused;
    row_12_messages_in_hand_do_not_count_for_the_prefetch_window => window_of_undelivered;
}

fn dead_link<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        let sent = Rc::new(RefCell::new(None));
        let (other, at) = (world.clone(), Rc::clone(&sent));
        world.spawn(async move {
            other.sleep(SECOND * 30).await;
            other.broker(|broker, clock| broker.forget_links("q", clock));
            other.sleep(SECOND * 30).await;
            let client = other.client::<S>();
            *at.borrow_mut() = Some(other.clock().now);
            client.sender("q").unwrap().send(&MessageRef::new("after")).await.unwrap();
            client.close().await;
        });
        let message = receiver.next().await.unwrap();
        assert_eq!(message.text().ok(), Some("after"));
        let waited = world.clock().now.saturating_duration_since(sent.borrow().expect("it was sent"));
        assert!(waited <= MINUTE * 5 + SECOND * 10, "{waited:?}");
        assert_eq!(world.connections_opened(), 2, "the connection itself was well");
        drop((sender, receiver));
        client.close().await;
    });
}

fn idle_detach<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let receiver = client.receiver("q").unwrap();
        let other = world.clone();
        world.spawn(async move {
            other.sleep(HOUR * 3).await;
            let client = other.client::<S>();
            client.sender("q").unwrap().send(&MessageRef::new("at last")).await.unwrap();
            client.close().await;
        });
        assert_eq!(receiver.next().await.unwrap().text().ok(), Some("at last"));
        client.close().await;
    });
}

fn set_status(world: &servicebus_simulation::World, status: EntityStatus) {
    let description = QueueDescription { status, ..QueueDescription::default() };
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.update_queue("q", description, clock.utc)).expect("updated");
    });
}

fn disabled_entity<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        let other = world.clone();
        world.spawn(async move {
            other.sleep(MINUTE).await;
            set_status(&other, EntityStatus::Disabled);
            other.sleep(HOUR).await;
            set_status(&other, EntityStatus::Active);
        });
        let failure = receiver.next().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityDisabled), "{failure}");
        // Asking again and again is legal, and says the same every time.
        for _ in 0..5 {
            world.sleep(MINUTE).await;
            assert_eq!(receiver.receive(SECOND).await.unwrap_err().reason(), Some(Reason::EntityDisabled));
        }
        world.sleep(HOUR).await;
        send_numbers(&sender, 0..1).await;
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

fn prefetching<S: Complete>(prefetch: u32) -> ReceiverOptions<S> {
    ReceiverOptions::new("q").with_prefetch(prefetch)
}

fn close_releases<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..20).await;
        for prefetch in [0, 5] {
            let receiver = client.receiver(prefetching(prefetch)).unwrap();
            let message = receiver.next().await.unwrap();
            receiver.complete(&message).await.unwrap();
            world.sleep(SECOND).await;
            assert_eq!(locks(&world), prefetch as usize);
            receiver.close().await;
            assert_eq!(locks(&world), 0, "prefetch {prefetch}");
        }
        // The same when it is only dropped, and a message arrives on its way out.
        let receiver = client.receiver(prefetching(5)).unwrap();
        drop(receiver.receive(SECOND).await.unwrap());
        drop(receiver);
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 1, "the one in the application's hands");
        world.sleep(MINUTE * 2).await;
        let counts: Vec<u32> = {
            let receiver = client.receiver("q").unwrap();
            let mut seen = Vec::new();
            while let Some(message) = receiver.receive(SECOND).await.unwrap() {
                seen.push(message.delivery_count());
                receiver.complete(&message).await.unwrap();
            }
            seen
        };
        assert_eq!(counts.len(), 18);
        assert_eq!(counts.iter().sum::<u32>(), 1, "only the one that was held counts as delivered: {counts:?}");
        drop(sender);
        client.close().await;
    });
}

fn close_given_up<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (client, state) = world.client_and_state::<S>(world.settings());
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..10).await;
        let receiver = client.receiver(prefetching(4)).unwrap();
        receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 4);
        // Polled once and dropped.
        let mut close = Box::pin(receiver.close());
        core::future::poll_fn(|cx| {
            assert!(close.as_mut().poll(cx).is_pending());
            core::task::Poll::Ready(())
        })
        .await;
        drop(close);
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 0);
        assert_eq!(state.borrow_mut().machine().occupancy().endpoints, 1, "the sender alone is left");
        client.close().await;
    });
}

#[test]
fn row_06_receive_and_delete_loses_nothing_between_calls() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for prefetch in [0, 20] {
            let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(prefetch);
            let receiver = client.receiver(options).unwrap();
            let mut seen = BTreeSet::new();
            for round in 0..20 {
                // Some are there before the call, some come while it waits, some after it has returned.
                send_numbers(&sender, round * 10..round * 10 + 4).await;
                let (other, late) = (world.clone(), client.sender("q").unwrap());
                world.spawn(async move {
                    other.sleep(Duration::from_millis(u64::from(round) * 7)).await;
                    send_numbers(&late, round * 10 + 4..round * 10 + 10).await;
                });
                for message in receiver.receive_messages(30, Duration::from_millis(50)).await.unwrap() {
                    assert!(seen.insert(number(message.data())), "twice");
                }
            }
            loop {
                let more = receiver.receive_messages(30, SECOND).await.unwrap();
                if more.is_empty() {
                    break;
                }
                seen.extend(more.iter().map(|message| number(message.data())));
            }
            assert_eq!(seen.len(), 200, "prefetch {prefetch}");
            receiver.close().await;
        }
        client.close().await;
    });
}

fn max_wait_race<S: Complete>() {
    // Latencies of 1 to 40 ms against a wait of 100 ms: the message comes before, at and after the deadline.
    for offset in 0..60 {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            world.set_latency(Duration::from_millis(1 + offset % 40));
            let client = world.client::<S>();
            let (sender, receiver) = pair(&client);
            sender.size_limits().await.unwrap();
            receiver.receive(Duration::from_millis(1)).await.unwrap();
            let other = world.clone();
            world.spawn(async move {
                other.sleep(Duration::from_millis(70 + offset)).await;
                sender.send(&MessageRef::new("x")).await.unwrap();
            });
            let got = receiver.receive(Duration::from_millis(100)).await.unwrap();
            let now = usize::from(got.is_some());
            world.sleep(SECOND).await;
            assert_eq!(locks(&world), now, "offset {offset}");
            let message = match got {
                Some(message) => message,
                None => receiver.receive(SECOND).await.unwrap().expect("it is there"),
            };
            assert_eq!(message.delivery_count(), 0);
            receiver.complete(&message).await.unwrap();
            client.close().await;
        });
    }
}

fn credit_is_what_was_asked<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..12).await;
        assert_eq!(receiver.receive_each(0, Some(SECOND), |_| panic!("none was asked for")).await.unwrap(), 0);
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 0, "no credit for nothing");
        let mut held = Vec::new();
        for asked in [1, 3, 2] {
            receiver.receive_each(asked, Some(SECOND), |message| held.push(message)).await.unwrap();
            world.sleep(SECOND).await;
            assert_eq!(locks(&world), held.len());
        }
        assert_eq!(held.len(), 6);
        client.close().await;
    });
}

#[test]
fn row_09_credit_stays_exact_over_calls_that_are_given_up() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        // A thousand calls for up to 7 messages, all given up at once: nothing piles up.
        for wait in 0..1_000 {
            receiver.receive_messages(1 + wait % 7, Duration::from_millis(u64::from(wait % 5))).await.unwrap();
        }
        send_numbers(&sender, 0..50).await;
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 0);
        let got = receiver.receive_messages(7, SECOND).await.unwrap();
        world.sleep(SECOND).await;
        assert_eq!((got.len(), locks(&world)), (7, 7));
        client.close().await;
    });
}

fn expired_prefetch<S: Complete>() {
    let lock_duration = SECOND * 5;
    let world = world(QueueDescription { lock_duration, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..8).await;
        let receiver = client.receiver(prefetching(8)).unwrap();
        let first = receiver.next().await.unwrap();
        receiver.complete(&first).await.unwrap();
        let mut seen = 0;
        // Pauses shorter and longer than a lock.
        for pause in [1, 6, 4, 30, 0, 11, 2] {
            world.sleep(SECOND * pause).await;
            let message = receiver.next().await.unwrap();
            assert!(message.locked_until().unwrap() > world.clock().utc, "after {pause} s");
            receiver.complete(&message).await.unwrap();
            seen += 1;
        }
        assert_eq!(seen, 7);
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

fn paused<S: Complete>() {
    let lock_duration = SECOND * 5;
    let world = world(QueueDescription { lock_duration, max_delivery_count: 3, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..6).await;
        let receiver = client.receiver(prefetching(5)).unwrap();
        for _ in 0..3 {
            // Nobody receives for an hour, then one message is taken.
            world.sleep(HOUR).await;
            receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
        }
        assert_eq!(counts(&world).dead_letter, 0);
        assert_eq!(counts(&world).active, 3);
        client.close().await;
        assert_eq!(locks(&world), 0);
    });
}

fn window_of_undelivered<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..10).await;
        let receiver = client.receiver(prefetching(2)).unwrap();
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(receiver.receive(SECOND).await.unwrap().expect("the window goes on"));
        }
        for message in &held {
            receiver.complete(message).await.unwrap();
        }
        assert_eq!(with_store(&world, Store::active_count), 0);
        client.close().await;
    });
}

#[test]
fn row_08_is_the_same_in_receive_and_delete() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..10).await;
        let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete);
        let receiver = client.receiver(options).unwrap();
        assert!(receiver.receive(SECOND).await.unwrap().is_some());
        world.sleep(SECOND).await;
        assert_eq!(counts(&world).active, 9);
        client.close().await;
        assert_eq!(counts(&world).active, 9);
    });
}
