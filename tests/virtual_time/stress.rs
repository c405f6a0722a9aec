//! The stress scenarios of docs/evidence/invariants.md §3 in virtual time: whole durations, counts scaled down where
//! one says so.

use crate::stage::{HOUR, MINUTE, SECOND, counts, locks, number, pair, play, send_numbers, world};
use servicebus_core::servicebus::{Entity, MessageRef};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Nothing arrives for 10 s every 3 minutes.
fn chaos(world: &World) {
    let world = world.clone();
    world.clone().spawn(async move {
        loop {
            world.sleep(MINUTE * 3).await;
            world.set_black_hole(true);
            world.sleep(SECOND * 10).await;
            world.set_black_hole(false);
        }
    });
}

async fn send_many(world: &World, count: u32, body: usize) {
    let client = world.client::<Heap>();
    let sender = client.sender("q").unwrap();
    let body = vec![1; body];
    let mut left = count;
    while left > 0 {
        let messages = vec![MessageRef::new(&body); left.min(100) as usize];
        sender.send_all(&messages).await.unwrap();
        left -= messages.len() as u32;
    }
    client.close().await;
}

/// 2 000 messages instead of 20 000.
#[test]
fn constant_detach() {
    let world = world(QueueDescription { lock_duration: MINUTE * 5, ..QueueDescription::default() });
    play(&world, async |world| {
        send_many(&world, 2_000, 1_024).await;
        let client = world.client::<Heap>();
        let receiver = client.receiver("q").unwrap();
        let other = world.clone();
        let done = Rc::new(Cell::new(false));
        let stop = Rc::clone(&done);
        world.spawn(async move {
            while !stop.get() {
                other.sleep(SECOND * 30).await;
                let queue = QueueDescription { lock_duration: MINUTE * 5, ..QueueDescription::default() };
                other.broker(|broker, clock| {
                    broker.with_namespace(clock, |namespace| namespace.update_queue("q", queue, clock.utc)).unwrap();
                });
            }
        });
        let mut completed = 0;
        while completed < 2_000 {
            for message in receiver.receive_messages(50, MINUTE).await.unwrap() {
                receiver.complete(&message).await.unwrap();
                completed += 1;
                world.sleep(Duration::from_millis(300)).await;
            }
        }
        done.set(true);
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

#[test]
fn constant_detachment_of_a_sender() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for _ in 0..100 {
            world.broker(|broker, clock| broker.force_detach("q", clock));
            sender.send(&MessageRef::new("single")).await.unwrap();
            world.broker(|broker, clock| broker.force_detach("q", clock));
            sender.send_all(&[MessageRef::new("batch")]).await.unwrap();
            world.sleep(SECOND).await;
        }
        assert_eq!(counts(&world).active, 200);
        client.close().await;
    });
}

/// 200 x 10 instead of 2 000 x 100.
#[test]
fn empty_sessions() {
    let world = world(QueueDescription { requires_session: true, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        for _ in 0..10 {
            let (done, all) = (Rc::new(Cell::new(0)), 200);
            for _ in 0..all {
                let (client, done, world) = (client.clone(), Rc::clone(&done), world.clone());
                world.clone().spawn(async move {
                    let began = world.clock().now;
                    let found = client.accept_next_session(Entity::queue("q"), MINUTE).await;
                    assert!(found.unwrap().is_none());
                    assert!(world.clock().now.saturating_duration_since(began) < MINUTE * 4);
                    done.set(done.get() + 1);
                });
            }
            while done.get() < all {
                world.sleep(SECOND).await;
            }
        }
        client.close().await;
    });
}

#[test]
fn finite_peeks() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        for round in 0..10_000 {
            assert_eq!(receiver.peek(0, 1).await.unwrap().len(), 1, "peek {round}");
            world.sleep(SECOND).await;
        }
        client.close().await;
    });
}

/// 5 000 messages instead of 50 000.
#[test]
fn finite_send_and_receive() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        send_many(&world, 5_000, 100).await;
        let client = world.client::<Heap>();
        let receiver = Rc::new(client.receiver("q").unwrap());
        let completed = Rc::new(Cell::new(0));
        while completed.get() < 5_000 {
            let messages = receiver.receive_messages(1_000, MINUTE).await.unwrap();
            assert!(!messages.is_empty());
            world.sleep(SECOND * 10).await;
            let before = completed.get();
            let all = messages.len() as u32;
            for message in messages {
                let (receiver, completed) = (Rc::clone(&receiver), Rc::clone(&completed));
                world.spawn(async move {
                    receiver.complete(&message).await.unwrap();
                    completed.set(completed.get() + 1);
                });
            }
            while completed.get() < before + all {
                world.settle().await;
            }
        }
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

/// 5 rounds of 100 sessions instead of 100 rounds of 2 000.
fn finite_sessions_on(world: &World) {
    play(world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for round in 0..5 {
            let mut open = Vec::new();
            let mut seen = BTreeSet::new();
            for session in 0..100 {
                let id = format!("{round}-{session}");
                sender.send(&MessageRef::new(&id).with_session_id(&id)).await.unwrap();
                world.sleep(SECOND).await;
            }
            while seen.len() < 100 {
                let found = client.accept_next_session(Entity::queue("q"), MINUTE).await;
                let session = found.unwrap().expect("a session");
                // The session may have gone with its connection, or a send was stored twice.
                let Ok(Some(message)) = session.receive(MINUTE).await else { continue };
                assert_eq!(message.session_id(), Some(session.session_id()));
                assert_eq!(message.text().ok(), Some(session.session_id()));
                if session.complete(&message).await.is_ok() {
                    seen.insert(session.session_id().to_owned());
                }
                open.push(session);
            }
            for session in open {
                session.close().await;
            }
        }
        client.close().await;
    });
}

#[test]
fn finite_sessions() {
    finite_sessions_on(&world(QueueDescription { requires_session: true, ..QueueDescription::default() }));
}

#[test]
fn finite_sessions_with_chaos() {
    let world = world(QueueDescription { requires_session: true, ..QueueDescription::default() });
    chaos(&world);
    finite_sessions_on(&world);
}

#[test]
fn idle_fast_reconnect() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let mut settings = world.settings::<Heap>();
        settings.retry.delay = HOUR;
        settings.retry.max_delay = HOUR;
        let client = world.client_with(settings);
        let (sender, receiver) = pair(&client);
        for round in 0..10 {
            let began = world.clock().now;
            send_numbers(&sender, round..round + 1).await;
            let message = receiver.receive(SECOND * 5).await.unwrap().expect("a message");
            receiver.complete(&message).await.unwrap();
            assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5);
            world.sleep(MINUTE * 11).await;
        }
        client.close().await;
    });
}

/// Five days; a batch of 20 every two minutes instead of ten messages a second.
fn five_days(world: &World) {
    play(world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let sent = Rc::new(Cell::new(0u64));
        let (other, count) = (world.clone(), Rc::clone(&sent));
        world.spawn(async move {
            for _ in 0..5 * 24 * 30 {
                sender.send_all(&vec![MessageRef::new("x"); 20]).await.unwrap();
                count.set(count.get() + 20);
                other.sleep(MINUTE * 2).await;
            }
            sender.close().await;
        });
        let mut seen = 0;
        while seen < 5 * 24 * 30 * 20 {
            let got = receiver.receive_messages(20, MINUTE * 3).await.unwrap();
            assert!(!got.is_empty(), "{seen} of {} were received", sent.get());
            for message in &got {
                receiver.complete(message).await.unwrap();
            }
            seen += got.len() as u64;
        }
        client.close().await;
    });
}

#[test]
fn infinite_send_and_receive() {
    five_days(&world(QueueDescription::default()));
}

#[test]
fn infinite_send_and_receive_with_chaos() {
    let world = world(QueueDescription::default());
    chaos(&world);
    five_days(&world);
}

#[test]
fn long_running_renew_lock() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let mut message = receiver.next().await.unwrap();
        for _ in 0..3 * 720 {
            world.sleep(SECOND * 5).await;
            receiver.renew_lock(&mut message).await.unwrap();
        }
        receiver.complete(&message).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

#[test]
fn mostly_idle_receiver() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let minutes = [1, 3, 5, 9, 10, 11, 20, 60, 61, 600, 1_440, 4 * 1_440];
        for idle in [SECOND].into_iter().chain(minutes.map(|minutes| MINUTE * minutes)) {
            world.sleep(idle).await;
            let other = world.clone();
            send_numbers(&sender, 0..1).await;
            let began = other.clock().now;
            let message = receiver.receive(MINUTE).await.unwrap().expect("a message");
            receiver.complete(&message).await.unwrap();
            assert!(world.clock().now.saturating_duration_since(began) < SECOND * 5, "after {idle:?}");
            assert_eq!(counts(&world).total(), 0);
        }
        client.close().await;
    });
}

#[test]
fn open_close_measurements() {
    for seconds in [1, 300, 630, 660] {
        let world = world(QueueDescription::default());
        play(&world, async move |world| {
            let client = world.client::<Heap>();
            let sender = client.sender("q").unwrap();
            send_numbers(&sender, 0..1).await;
            world.sleep(SECOND * seconds).await;
            let began = world.clock().now;
            sender.close().await;
            client.close().await;
            assert!(world.clock().now.saturating_duration_since(began) < SECOND, "after {seconds} s");
        });
    }
}

/// 20 clients x 50 instead of 100 x 1 000.
#[test]
fn rapid_open_close() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let done = Rc::new(Cell::new(0));
        for _ in 0..20 {
            let (world, done) = (world.clone(), Rc::clone(&done));
            world.clone().spawn(async move {
                let client = world.client::<Heap>();
                for round in 0..50 {
                    let sender = client.sender("q").unwrap();
                    send_numbers(&sender, round..round + 1).await;
                    sender.close().await;
                    let receiver = client.receiver("q").unwrap();
                    receiver.complete(&receiver.next().await.unwrap()).await.unwrap();
                    receiver.close().await;
                }
                client.close().await;
                done.set(done.get() + 1);
            });
        }
        while done.get() < 20 {
            world.sleep(SECOND).await;
        }
        assert_eq!((counts(&world).total(), locks(&world)), (0, 0));
    });
}

#[test]
fn receive_cancellation() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (client, state) = world.client_and_state::<Heap>(world.settings());
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..100).await;
        for _ in 0..10_000 {
            for message in receiver.receive_messages(95, Duration::ZERO).await.unwrap() {
                receiver.abandon(&message).await.unwrap();
            }
        }
        world.sleep(SECOND).await;
        assert_eq!(locks(&world), 0);
        let occupancy = state.borrow_mut().machine().occupancy();
        assert_eq!((occupancy.operations, occupancy.deliveries), (0, 0));
        client.close().await;
    });
}

/// 10 rounds of 200 messages instead of 1 000 of 2 000.
#[test]
fn send_and_receive_drain() {
    let world = world(QueueDescription { lock_duration: MINUTE * 5, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for round in 0..10u32 {
            let mut body = vec![0; 4_096];
            for at in 0..200u32 {
                body[..4].copy_from_slice(&(round * 200 + at).to_be_bytes());
                sender.send(&MessageRef::new(&body)).await.unwrap();
            }
            let receiver = client.receiver("q").unwrap();
            let mut seen = BTreeSet::new();
            while seen.len() < 200 {
                let got = receiver.receive_messages(50, MINUTE).await.unwrap();
                assert!(!got.is_empty(), "a minute without a message");
                for message in got {
                    assert!(seen.insert(number(&message.data()[..4])), "a duplicate");
                    receiver.complete(&message).await.unwrap();
                }
            }
            assert!(receiver.receive(SECOND).await.unwrap().is_none());
            receiver.close().await;
        }
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

/// 500 messages, each abandoned 20 times, instead of 100 000.
#[test]
fn benchmark_backup_settlement_leak() {
    let world = world(QueueDescription { max_delivery_count: 30, ..QueueDescription::default() });
    play(&world, async |world| {
        send_many(&world, 500, 10).await;
        let (client, state) = world.client_and_state::<Heap>(world.settings());
        let (one, other) = (client.receiver("q").unwrap(), client.receiver("q").unwrap());
        for _ in 0..20 {
            let mut settled = 0;
            while settled < 500 {
                for message in one.receive_messages(100, MINUTE).await.unwrap() {
                    other.abandon(&message).await.unwrap();
                    settled += 1;
                }
            }
        }
        let occupancy = state.borrow_mut().machine().occupancy();
        assert_eq!((occupancy.operations, occupancy.requests, occupancy.held, occupancy.deliveries), (0, 0, 0, 0));
        assert_eq!(locks(&world), 0);
        client.close().await;
    });
}
