//! Each effect comes as soon as its cause and the network allow, in virtual time. Without such a bound a heartbeat, an
//! idle timer or a retry hides a lost wake-up, seconds or minutes late, and a test that only waits passes.

use crate::stage::{MINUTE, SECOND, add_queue, counts, locks, on_both_storages, pair, play, world};
use servicebus_core::client::{AutoLockRenewer, ReceiverOptions};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Entity, LockToken, MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_simulation::World;
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A few ways over the network, which take a millisecond each: enough for one exchange on links that are attached.
const PROMPT: Duration = Duration::from_millis(10);
/// Enough to connect, authorize and attach.
const CONNECTED: Duration = Duration::from_millis(100);
const LOCK: Duration = Duration::from_secs(5);

on_both_storages! {
    a_message_reaches_a_waiting_receiver_of_another_client => send_and_receive;
    messages_reach_several_waiting_receivers => several;
    what_is_given_back_reaches_another_receiver => given_back;
    a_message_whose_lock_ends_reaches_another_receiver => lock_ends;
    calls_of_one_client_do_not_wait_for_its_other_calls => side_by_side;
    a_lock_is_renewed_in_time => renewed;
    a_session_that_is_closed_reaches_the_next_receiver => session_closed;
    a_session_whose_lock_ends_reaches_the_next_receiver => session_ends;
    a_session_whose_connection_is_lost_reaches_the_next_receiver => session_cut;
    a_new_session_reaches_a_waiting_receiver => session_begins;
    a_session_that_is_taken_over_is_lost_at_once => taken_over;
    a_scheduled_message_reaches_a_waiting_receiver_at_its_time => scheduled;
    a_forwarded_message_reaches_a_waiting_receiver => forwarded;
    a_dead_message_reaches_a_waiting_receiver => dead;
    a_commit_reaches_receivers_of_other_clients => committed;
    a_roll_back_leaves_the_lock_to_be_given_back_at_once => rolled_back;
    a_deleted_entity_ends_the_calls_that_wait_for_it => deleted;
    what_arrives_wakes_its_task_while_a_write_waits => stalled_write;
}

/// Runs a receiver of its own client beside the test; bodies of what it received, in order.
fn listen<S: Complete>(world: &World, entity: Entity<S>) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (bodies, client) = (Rc::clone(&seen), world.client::<S>());
    world.spawn(async move {
        let options = ReceiverOptions::new(entity).with_mode(ReceiveMode::ReceiveAndDelete);
        let receiver = client.receiver(options).expect("a receiver");
        while let Ok(message) = receiver.next().await {
            bodies.borrow_mut().push(message.text().unwrap_or_default().to_owned());
        }
    });
    seen
}

/// Waits until the listener has seen `count` messages.
async fn seen(world: &World, listener: &RefCell<Vec<String>>, count: usize) {
    let all = async {
        while listener.borrow().len() < count {
            world.settle().await;
        }
    };
    world.within(PROMPT, all).await;
}

fn sessions(lock_duration: Duration) -> World {
    world(QueueDescription { requires_session: true, lock_duration, ..QueueDescription::default() })
}

fn send_and_receive<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        world.within(CONNECTED, sender.send(&MessageRef::new("first"))).await.unwrap();
        let first = world.within(CONNECTED, receiver.next()).await.unwrap();
        world.within(PROMPT, receiver.complete(&first)).await.unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        world.sleep(CONNECTED).await;
        for count in 1..=20 {
            world.within(PROMPT, sender.send(&MessageRef::new("x"))).await.unwrap();
            seen(&world, &listener, count).await;
            // Long enough for timers of any kind to be due at different moments.
            world.sleep(SECOND * 7).await;
        }
    });
}

fn several<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let listeners: Vec<_> = (0..5).map(|_| listen(&world, Entity::<S>::queue("q"))).collect();
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        let all = |listeners: &[Rc<RefCell<Vec<String>>>]| listeners.iter().map(|it| it.borrow().len()).sum::<usize>();
        for round in 1..=6 {
            world.sleep(MINUTE).await;
            world.within(CONNECTED, sender.send_all(&[MessageRef::new("x"); 10])).await.unwrap();
            world
                .within(PROMPT, async {
                    while all(&listeners) < 10 * round {
                        world.settle().await;
                    }
                })
                .await;
        }
        client.close().await;
    });
}

fn given_back<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.next().await.unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        world.sleep(SECOND).await;
        world.within(PROMPT, receiver.abandon(&message)).await.unwrap();
        seen(&world, &listener, 1).await;
        client.close().await;
    });
}

fn lock_ends<S: Complete>() {
    let world = world(QueueDescription { lock_duration: LOCK, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.next().await.unwrap();
        let until = message.locked_until().expect("a lock");
        let listener = listen(&world, Entity::<S>::queue("q"));
        world.sleep(until.saturating_duration_since(world.clock().utc) - PROMPT).await;
        assert!(listener.borrow().is_empty());
        world.sleep(PROMPT).await;
        seen(&world, &listener, 1).await;
        client.close().await;
    });
}

fn side_by_side<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("0")).await.unwrap();
        let message = receiver.next().await.unwrap();
        receiver.complete(&message).await.unwrap();
        // The receiver waits on the connection on which the sender sends, and the driver sleeps between.
        for _ in 0..10 {
            let waiting = async { receiver.next().await.unwrap() };
            let sending = async {
                world.sleep(SECOND * 9).await;
                world.within(PROMPT, sender.send(&MessageRef::new("x"))).await.unwrap();
                world.clock().now
            };
            let (message, sent) = futures_util::future::join(waiting, sending).await;
            assert!(world.clock().now.saturating_duration_since(sent) <= PROMPT);
            world.within(PROMPT, receiver.complete(&message)).await.unwrap();
        }
        client.close().await;
    });
}

fn renewed<S: Complete>() {
    let world = world(QueueDescription { lock_duration: LOCK, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let mut message = receiver.next().await.unwrap();
        world.sleep(SECOND).await;
        let until = world.within(CONNECTED, receiver.renew_lock(&mut message)).await.unwrap();
        let left = until.saturating_duration_since(world.clock().utc);
        assert!(left <= LOCK && left > LOCK - PROMPT, "{left:?}");
        // By itself as well, again and again, and always before the lock ends.
        let mut renewal = AutoLockRenewer::new(MINUTE).message(&receiver, &message).unwrap();
        for _ in 0..50 {
            world.sleep(SECOND).await;
            let until = renewal.locked_until().expect("a lock");
            assert!(until > world.clock().utc, "renewed after its end");
        }
        world.within(PROMPT, receiver.complete(&message)).await.unwrap();
        world.within(PROMPT, renewal.ended()).await;
        client.close().await;
    });
}

/// Another client waits for any session while `cause` releases the session `s`.
async fn handed_over<S: Complete>(world: &World, cause: impl Future<Output = ()>) {
    let client = world.client::<S>();
    // Connected before, so that only the hand-over is timed.
    client.sender("q").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
    let accepting = async {
        let receiver = client.accept_next_session(Entity::queue("q"), MINUTE).await;
        (receiver.unwrap().expect("a session"), world.clock().now)
    };
    let ending = async {
        world.sleep(SECOND).await;
        cause.await;
        world.clock().now
    };
    let ((receiver, accepted), ended) = futures_util::future::join(accepting, ending).await;
    assert_eq!(receiver.session_id(), "s");
    let took = accepted.saturating_duration_since(ended);
    assert!(accepted + PROMPT >= ended && took <= PROMPT, "{took:?}");
    let message = world.within(PROMPT, receiver.receive(SECOND)).await.unwrap().expect("its message");
    world.within(PROMPT, receiver.complete(&message)).await.unwrap();
    client.close().await;
}

fn session_closed<S: Complete>() {
    let world = sessions(MINUTE);
    play(&world, async |world| {
        let client = world.client::<S>();
        let held = client.accept_session(Entity::queue("q"), "s").await.unwrap();
        handed_over::<S>(&world, async { world.within(PROMPT, held.close()).await }).await;
        client.close().await;
    });
}

fn session_ends<S: Complete>() {
    let world = sessions(LOCK);
    play(&world, async |world| {
        let client = world.client::<S>();
        let _held = client.accept_session(Entity::queue("q"), "s").await.unwrap();
        let end = world.clock().now + LOCK;
        handed_over::<S>(&world, async {
            world.sleep(end.saturating_duration_since(world.clock().now)).await;
        })
        .await;
        client.close().await;
    });
}

fn session_cut<S: Complete>() {
    let world = sessions(MINUTE);
    play(&world, async |world| {
        let client = world.client::<S>();
        let _held = client.accept_session(Entity::queue("q"), "s").await.unwrap();
        // The connection is given up: its session is free at once, and need not wait for its lock to end.
        handed_over::<S>(&world, async { world.within(PROMPT * 2, client.close()).await }).await;
    });
}

fn session_begins<S: Complete>() {
    let world = sessions(MINUTE);
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("y").with_session_id("other")).await.unwrap();
        let waiting = world.client::<S>();
        let accept = || waiting.accept_next_session(Entity::queue("q"), MINUTE);
        let other = accept().await.unwrap().expect("a session");
        let accepting = async { (accept().await.unwrap().expect("a session"), world.clock().now) };
        let sending = async {
            world.sleep(SECOND * 9).await;
            world.within(PROMPT, sender.send(&MessageRef::new("z").with_session_id("new"))).await.unwrap();
            world.clock().now
        };
        let ((receiver, accepted), sent) = futures_util::future::join(accepting, sending).await;
        assert_eq!((other.session_id(), receiver.session_id()), ("other", "new"));
        assert!(accepted.saturating_duration_since(sent) <= PROMPT);
        client.close().await;
        waiting.close().await;
    });
}

fn taken_over<S: Complete>() {
    let world = sessions(MINUTE);
    play(&world, async |world| {
        let (one, other) = (world.client::<S>(), world.client::<S>());
        let first = one.accept_non_exclusive_session(Entity::queue("q"), "s").await.unwrap();
        let token: LockToken = first.lock_token().expect("a token");
        let waiting = async {
            let failure = first.next().await.expect_err("the session is lost");
            assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
            world.clock().now
        };
        let taking = async {
            world.sleep(SECOND * 9).await;
            let taken = other.take_over_session(Entity::queue("q"), "s", token);
            let taken = world.within(CONNECTED, taken).await.unwrap();
            (taken, world.clock().now)
        };
        let (lost, (taken, at)) = futures_util::future::join(waiting, taking).await;
        assert!(lost.saturating_duration_since(at) <= PROMPT);
        assert_eq!(taken.session_id(), "s");
        one.close().await;
        other.close().await;
    });
}

fn scheduled<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        for count in 1..=5 {
            let at = world.clock().utc + SECOND * 33;
            world.within(CONNECTED, sender.schedule(&MessageRef::new("x"), at)).await.unwrap();
            world.sleep(at.saturating_duration_since(world.clock().utc) - PROMPT).await;
            assert_eq!(listener.borrow().len(), count - 1);
            world.sleep(PROMPT).await;
            seen(&world, &listener, count).await;
        }
        client.close().await;
    });
}

/// The topic `t`, whose subscription `s` forwards to `q`, which forwards dead messages to `d`.
fn forwarding() -> World {
    let world = World::new(BrokerConfig::default(), 7);
    add_queue(&world, "d", QueueDescription::default());
    let queue = QueueDescription {
        max_delivery_count: 1,
        dead_lettering_on_message_expiration: true,
        forward_dead_lettered_messages_to: Some("d".into()),
        ..QueueDescription::default()
    };
    add_queue(&world, "q", queue);
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", TopicDescription::default(), clock.utc).unwrap();
            let forward =
                SubscriptionDescription { forward_to: Some("q".into()), ..SubscriptionDescription::default() };
            namespace.create_subscription("t", "s", forward, None, clock.utc).unwrap();
        });
    });
    world
}

fn forwarded<S: Complete>() {
    let world = forwarding();
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("t").unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        for count in 1..=5 {
            world.within(CONNECTED, sender.send(&MessageRef::new("x"))).await.unwrap();
            seen(&world, &listener, count).await;
            world.sleep(MINUTE).await;
        }
        client.close().await;
    });
}

fn dead<S: Complete>() {
    let world = forwarding();
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        let listener = listen(&world, Entity::<S>::queue("d"));
        // By its last failed delivery, and by the end of its life.
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.next().await.unwrap();
        world.within(PROMPT, receiver.abandon(&message)).await.unwrap();
        seen(&world, &listener, 1).await;
        receiver.close().await;
        world.within(PROMPT, sender.send(&MessageRef::new("x").with_time_to_live(SECOND * 33))).await.unwrap();
        world.sleep(SECOND * 33).await;
        seen(&world, &listener, 2).await;
        client.close().await;
    });
}

fn committed<S: Complete>() {
    let world = world(QueueDescription::default());
    add_queue(&world, "b", QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let controller = client.transactions("q").unwrap();
        let sender = client.sender("q").unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        for count in 1..=3 {
            let transaction = world.within(CONNECTED, controller.begin()).await.unwrap();
            world.within(CONNECTED, transaction.send(&sender, &MessageRef::new("x"))).await.unwrap();
            world.sleep(SECOND * 9).await;
            assert_eq!(listener.borrow().len(), count - 1);
            world.within(PROMPT, transaction.commit()).await.unwrap();
            seen(&world, &listener, count).await;
        }
        client.close().await;
    });
}

fn rolled_back<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.next().await.unwrap();
        let controller = client.transactions("q").unwrap();
        let transaction = controller.begin().await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        let listener = listen(&world, Entity::<S>::queue("q"));
        world.sleep(SECOND).await;
        world.within(PROMPT, transaction.roll_back()).await.unwrap();
        assert!(listener.borrow().is_empty());
        world.within(CONNECTED, receiver.abandon(&message)).await.unwrap();
        seen(&world, &listener, 1).await;
        client.close().await;
    });
}

fn deleted<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let receiver = client.receiver("q").unwrap();
        let waiting = async {
            let failure = receiver.next().await.expect_err("the queue is gone");
            assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
            world.clock().now
        };
        let deleting = async {
            world.sleep(SECOND * 9).await;
            world.broker(|broker, clock| broker.with_namespace(clock, |namespace| namespace.delete("q"))).unwrap();
            world.clock().now
        };
        let (failed, at) = futures_util::future::join(waiting, deleting).await;
        // It attaches once more, to see whether the queue is there again.
        assert!(failed.saturating_duration_since(at) <= PROMPT * 2);
        client.close().await;
    });
}

fn stalled_write<S: Complete>() {
    let world = world(QueueDescription::default());
    add_queue(&world, "b", QueueDescription::default());
    play(&world, async |world| {
        let (client, other) = (world.client::<S>(), world.client::<Heap>());
        let (to_b, from_q) = (client.sender("b").unwrap(), client.receiver("q").unwrap());
        let sender = other.sender("q").unwrap();
        to_b.send(&MessageRef::new("x")).await.unwrap();
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = from_q.next().await.unwrap();
        from_q.complete(&message).await.unwrap();
        // A message is on its way to the waiting receiver when the client's connection takes no more bytes.
        let latency = SECOND;
        world.set_latency(latency);
        let sent = world.clock().now;
        // A task of its own: in one with the others it would be polled whenever they are.
        let received = Rc::new(Cell::new(None));
        let (at, here) = (Rc::clone(&received), world.clone());
        world.spawn(async move {
            let message = from_q.next().await.unwrap();
            at.set(Some(here.clock().now));
            from_q.complete(&message).await.unwrap();
        });
        let sending = async {
            sender.send(&MessageRef::new("x")).await.unwrap();
        };
        let stalling = async {
            world.sleep(PROMPT).await;
            world.set_writes_stalled(true);
            to_b.send(&MessageRef::new("x")).await.unwrap();
        };
        let resuming = async {
            world.sleep(latency * 4).await;
            world.set_writes_stalled(false);
        };
        futures_util::future::join3(sending, stalling, resuming).await;
        world.sleep(latency * 2 + PROMPT).await;
        let took = received.get().expect("a message").saturating_duration_since(sent);
        assert!(took <= latency * 2 + PROMPT, "{took:?}");
        assert_eq!(locks(&world), 0);
        client.close().await;
        other.close().await;
    });
}

#[test]
fn an_idle_queue_is_deleted_at_its_time() {
    let idle = MINUTE * 10;
    let world = world(QueueDescription { auto_delete_on_idle: Some(idle), ..QueueDescription::default() });
    play(&world, async move |world| {
        let there = || world.broker(|broker, _| broker.namespace().queue("q").is_some());
        let client = world.client::<Heap>();
        client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
        let begin = world.clock().now;
        // With no connection there is no heartbeat that could make up for the timer.
        world.sleep(idle - CONNECTED).await;
        assert!(there());
        world.sleep(CONNECTED + PROMPT).await;
        assert!(!there(), "{:?} after its last use", world.clock().now.saturating_duration_since(begin));
    });
}

#[test]
fn messages_are_sent_while_the_network_is_slow_in_two_ways_each() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = receiver.next().await.unwrap();
        receiver.complete(&message).await.unwrap();
        let latency = Duration::from_millis(200);
        world.set_latency(latency);
        for _ in 0..10 {
            world.within(latency * 2 + PROMPT, sender.send(&MessageRef::new("x"))).await.unwrap();
            let message = world.within(latency * 2 + PROMPT, receiver.next()).await.unwrap();
            world.within(latency * 2 + PROMPT, receiver.complete(&message)).await.unwrap();
        }
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}
