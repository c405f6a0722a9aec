//! Random scripts of operations, cuts and latencies: the same seed sends the same bytes, and no message is lost.

use crate::stage::{MINUTE, SECOND, Small, play, world};
use servicebus_core::client::{Error, Receiver, ReceiverOptions, Sender};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::random::Random;
use servicebus_core::servicebus::{MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, Traffic, World};
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What the tasks of a script have seen.
#[derive(Default)]
struct Ledger {
    /// Sends that were confirmed.
    sent: Cell<u64>,
    /// Sequence numbers whose completion was confirmed, and those taken in receive-and-delete mode.
    completed: RefCell<BTreeSet<i64>>,
    /// Completions whose outcome was not learned.
    unknown: Cell<u64>,
    /// Tasks that have ended.
    ended: Cell<u32>,
}

impl Ledger {
    fn complete(&self, number: i64) {
        assert!(self.completed.borrow_mut().insert(number), "{number} was completed twice");
    }
}

fn below(random: &mut Random, bound: u64) -> u64 {
    random.below(bound)
}

async fn send_some<S: Complete>(world: World, sender: Sender<Simulated<S>>, mut random: Random, ledger: Rc<Ledger>) {
    for _ in 0..30 {
        let count = 1 + below(&mut random, 4) as usize;
        let bodies: Vec<Vec<u8>> = (0..count).map(|_| vec![7; below(&mut random, 40) as usize]).collect();
        let messages: Vec<MessageRef<'_>> = bodies.iter().map(MessageRef::new).collect();
        let result = match below(&mut random, 3) {
            0 => sender.send(&messages[0]).await.map(|()| 1),
            _ => sender.send_all(&messages).await.map(|()| count as u64).map_err(Error::from),
        };
        if let Ok(count) = result {
            ledger.sent.set(ledger.sent.get() + count);
        }
        world.sleep(Duration::from_millis(below(&mut random, 4_000))).await;
    }
    sender.close().await;
    ledger.ended.set(ledger.ended.get() + 1);
}

async fn receive_some<S: Complete>(
    world: World,
    receiver: Receiver<Simulated<S>>,
    mut random: Random,
    ledger: Rc<Ledger>,
) {
    for _ in 0..40 {
        let mut messages = Vec::new();
        let wait = Duration::from_millis(below(&mut random, 3_000));
        let count = 1 + below(&mut random, 5) as u32;
        let _ = receiver.receive_each(count, Some(wait), |message| messages.push(message)).await;
        for message in messages {
            let number = message.sequence_number().expect("a number");
            match below(&mut random, 8) {
                0 => _ = receiver.abandon(&message).await,
                1 => _ = receiver.dead_letter(&message, Default::default()).await,
                2 => drop(message),
                _ => match receiver.complete(&message).await {
                    Ok(()) => ledger.complete(number),
                    Err(_) => ledger.unknown.set(ledger.unknown.get() + 1),
                },
            }
            world.sleep(Duration::from_millis(below(&mut random, 300))).await;
        }
    }
    receiver.close().await;
    ledger.ended.set(ledger.ended.get() + 1);
}

async fn break_things(world: World, mut random: Random) {
    for _ in 0..12 {
        world.sleep(Duration::from_millis(2_000 + below(&mut random, 8_000))).await;
        match below(&mut random, 7) {
            0 => world.cut(),
            1 => world.broker(|broker, clock| broker.force_detach("q", clock)),
            2 => world.set_latency(Duration::from_micros(1 + below(&mut random, 200_000))),
            3 => {
                world.set_black_hole(true);
                world.sleep(SECOND * 10).await;
                world.set_black_hole(false);
            }
            4 => world.broker(|broker, _| broker.refuse(2, Reason::ServerBusy)),
            5 => world.broker(|broker, clock| {
                for id in broker.connections() {
                    broker.close_connection(id, clock);
                }
            }),
            _ => {
                world.set_reachable(false);
                world.sleep(SECOND * 3).await;
                world.set_reachable(true);
                world.cut();
            }
        }
    }
}

fn script<S: Complete>(seed: u64) -> Traffic {
    let queue = QueueDescription { max_delivery_count: 5, lock_duration: SECOND * 10, ..QueueDescription::default() };
    let world = world(queue);
    play(&world, async move |world| {
        let ledger = Rc::new(Ledger::default());
        let mut random = Random::seeded(seed);
        let clients = [world.client::<S>(), world.client::<S>()];
        for client in &clients {
            let part = Random::seeded(random.next());
            world.spawn(send_some(world.clone(), client.sender("q").unwrap(), part, Rc::clone(&ledger)));
            let prefetch = [0, 3][below(&mut random, 2) as usize];
            let options = ReceiverOptions::new("q").with_prefetch(prefetch);
            let receiver = client.receiver(options).unwrap();
            let part = Random::seeded(random.next());
            world.spawn(receive_some(world.clone(), receiver, part, Rc::clone(&ledger)));
        }
        break_things(world.clone(), Random::seeded(random.next())).await;
        for _ in 0..600 {
            if ledger.ended.get() == 4 {
                break;
            }
            world.sleep(SECOND).await;
        }
        assert_eq!(ledger.ended.get(), 4, "seed {seed}: a call never ended");
        for client in clients {
            let began = world.clock().now;
            client.close().await;
            assert!(world.clock().now.saturating_duration_since(began) < SECOND * 12, "seed {seed}");
        }
        world.sleep(MINUTE).await;
        let (stored, counts, locks) = world.broker(|broker, _| {
            let namespace = broker.namespace();
            let stores = namespace.queue("q").unwrap().stores;
            let locks = namespace.store(stores.main).unwrap().lock_count();
            (broker.statistics().messages_sent, namespace.counts(&stores), locks)
        });
        assert_eq!(locks, 0, "seed {seed}");
        assert!(stored >= ledger.sent.get(), "seed {seed}: {stored} of {} are stored", ledger.sent.get());
        let gone = stored - counts.active - counts.dead_letter;
        let known = ledger.completed.borrow().len() as u64;
        assert!(
            (known..=known + ledger.unknown.get()).contains(&gone),
            "seed {seed}: {gone} are gone, {known} were completed, of {} it is not known",
            ledger.unknown.get()
        );
    });
    world.traffic()
}

#[test]
fn no_message_is_lost_whatever_breaks() {
    for seed in 0..60 {
        script::<Heap>(seed);
        script::<Small>(seed);
    }
}

#[test]
fn the_same_seed_sends_the_same_bytes_at_the_same_times() {
    for seed in 100..106 {
        let (one, other) = (script::<Heap>(seed), script::<Heap>(seed));
        assert_eq!(one, other, "seed {seed}");
        assert_eq!(script::<Small>(seed), script::<Small>(seed), "seed {seed}");
        assert_ne!(one, script::<Heap>(seed + 1_000));
        assert!(one.bytes > 10_000);
    }
}

#[test]
fn what_is_deleted_when_it_is_sent_is_received_once_while_the_network_is_well() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let mut random = Random::seeded(9);
        let sender = client.sender("q").unwrap();
        let mut seen = BTreeSet::new();
        let mut sent = 0;
        for _ in 0..60 {
            let prefetch = [0, 8][below(&mut random, 2) as usize];
            let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(prefetch);
            let receiver = client.receiver(options).unwrap();
            for _ in 0..below(&mut random, 10) {
                sender.send(&MessageRef::new("x")).await.unwrap();
                sent += 1;
            }
            // Everything that has come is taken before the receiver is closed.
            loop {
                let wait = Duration::from_millis(50 + below(&mut random, 100));
                let got = receiver.receive_messages(1 + below(&mut random, 12) as u32, wait).await.unwrap();
                if got.is_empty() {
                    break;
                }
                for message in got {
                    assert!(seen.insert(message.sequence_number().unwrap()));
                }
            }
            receiver.close().await;
        }
        assert_eq!(seen.len(), sent);
        client.close().await;
    });
}
