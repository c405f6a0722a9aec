//! The client against the emulator, in virtual time.

use servicebus_core::client::ReceiverOptions;
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Skew, World};
use servicebus_tests::storages::Complete;

servicebus_core::fixed_storage! {
    /// Room for a sender and a receiver at a time.
    type Small {
        sessions: 1, links: 8, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn world(queue: QueueDescription) -> World {
    let world = World::new(BrokerConfig::default(), 7);
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
    });
    world
}

/// Runs a test on both storages.
macro_rules! on_both_storages {
    ($($name:ident => $test:ident;)*) => { $(
        #[test]
        fn $name() {
            $test::<Heap>();
            $test::<Small>();
        }
    )* };
}

on_both_storages! {
    a_message_goes_round => goes_round;
    a_receive_goes_on_over_a_lost_connection => lost_connection;
    a_receive_that_finds_nothing_leaves_no_credit => no_credit_left;
    an_unknown_queue_is_told_at_once => unknown_queue;
    more_messages_than_places_take_turns => take_turns;
    requests_to_one_entity_do_not_wait_for_each_other => two_requests;
    a_clock_that_is_ahead_gives_no_message_back => clock_ahead;
}

fn goes_round<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("one")).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        assert_eq!(message.text().ok(), Some("one"));
        receiver.complete(&message).await.unwrap();
        assert!(receiver.receive(SECOND).await.unwrap().is_none());
        receiver.close().await;
        client.close().await;
        assert_eq!(inner.connections_opened(), 1);
    });
}

fn lost_connection<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let sender = client.sender("q").unwrap();
        let receiver = client.receiver("q").unwrap();
        for number in 0..5u8 {
            sender.send(&MessageRef::new(&[number])).await.unwrap();
            let cutter = inner.clone();
            inner.spawn(async move {
                cutter.sleep(Duration::from_secs(20)).await;
                cutter.cut();
            });
            let message = receiver.next().await.unwrap();
            assert_eq!(message.data(), [number]);
            // The connection is cut while the message is held: it is settled by its lock token on the next one.
            inner.sleep(Duration::from_secs(25)).await;
            receiver.complete(&message).await.unwrap();
        }
        assert!(inner.connections_opened() >= 5);
        client.close().await;
    });
}

fn no_credit_left<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let receiver = client.receiver("q").unwrap();
        assert!(receiver.receive(SECOND).await.unwrap().is_none());
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("later")).await.unwrap();
        inner.sleep(Duration::from_secs(600)).await;
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        assert_eq!(message.delivery_count(), 0, "nobody held the message meanwhile");
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

fn take_turns<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let sender = client.sender("q").unwrap();
        // `Small` has places for five messages, and for eight calls.
        let began = inner.clock().now;
        let messages: [MessageRef<'_>; 7] = std::array::from_fn(|_| MessageRef::new("x"));
        let sends = messages.iter().map(|message| sender.send(message));
        for sent in futures_util::future::join_all(sends).await {
            sent.unwrap();
        }
        assert!(inner.clock().now.saturating_duration_since(began) < SECOND, "nobody waited for a time-out");
        // Messages that are in the application's hands take no places.
        let receiver = client.receiver("q").unwrap();
        for _ in 0..5 {
            assert!(receiver.receive(SECOND).await.unwrap().is_some());
        }
        client.close().await;
    });
}

fn two_requests<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        sender.send(&MessageRef::new("one")).await.unwrap();
        let began = inner.clock().now;
        for round in 0..20 {
            let mut peeked = 0;
            let peek = receiver.peek_each(1, 1, |message| {
                assert_eq!(message.text().ok(), Some("one"));
                peeked += 1;
            });
            let (later, message) = (inner.clock().utc + Duration::from_secs(3_600), MessageRef::new("later"));
            let schedule = sender.schedule(&message, later);
            // Whoever is polled last finds its response behind the other's.
            let number = if round % 2 == 0 {
                let (peek, schedule) = futures_util::future::join(peek, schedule).await;
                peek.unwrap();
                schedule.unwrap()
            } else {
                let (schedule, peek) = futures_util::future::join(schedule, peek).await;
                peek.unwrap();
                schedule.unwrap()
            };
            assert_eq!(peeked, 1);
            sender.cancel_scheduled(&[number]).await.unwrap();
        }
        assert!(inner.clock().now.saturating_duration_since(began) < SECOND);
        // A call that is given up leaves nothing in the way of the next.
        for _ in 0..5 {
            let peek = receiver.peek_each(1, 1, |_| {});
            assert!(futures_util::FutureExt::now_or_never(peek).is_none());
            inner.sleep(SECOND).await;
            receiver.peek_each(1, 1, |_| {}).await.unwrap();
        }
        client.close().await;
    });
}

fn clock_ahead<S: Complete>() {
    let world = world(QueueDescription::default());
    let utc = world.utc_clock();
    utc.set_offset(Skew::Ahead(Duration::from_secs(600)));
    let inner = world.clone();
    world.run(async move {
        let client = inner.client_with_utc(inner.settings::<S>(), &utc);
        let sender = client.sender("q").unwrap();
        for prefetch in [0, 1] {
            for text in ["one", "two"] {
                sender.send(&MessageRef::new(text)).await.unwrap();
            }
            let options = ReceiverOptions::new("q").with_prefetch(prefetch);
            let receiver = client.receiver(options).unwrap();
            for text in ["one", "two"] {
                let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                assert_eq!((message.text().ok(), message.delivery_count()), (Some(text), 0));
                let until = message.locked_until().expect("the service's time");
                assert!(until > inner.clock().utc && until <= inner.clock().utc + SECOND * 61);
                receiver.complete(&message).await.unwrap();
            }
            assert!(receiver.receive(SECOND).await.unwrap().is_none());
            receiver.close().await;
        }
        client.close().await;
    });
}

fn unknown_queue<S: Complete>() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<S>();
        let began = inner.clock().now;
        let failure = client.sender("missing").unwrap().send(&MessageRef::new("x")).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
        let failure = client.receiver("missing").unwrap().receive(SECOND * 60).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::EntityNotFound), "{failure}");
        assert!(inner.clock().now.saturating_duration_since(began) < SECOND * 10);
        client.close().await;
    });
}

#[test]
fn messages_that_were_never_settled_make_room_a_minute_after_their_locks_have_ended() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Small>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        for _ in 0..20 {
            sender.send(&MessageRef::new("x")).await.unwrap();
        }
        let mut forgotten = 0;
        while let Ok(Some(_)) = receiver.receive(SECOND).await {
            forgotten += 1;
        }
        assert!((1..20).contains(&forgotten), "the table of deliveries was to be full: {forgotten}");
        inner.sleep(SECOND * 110).await;
        assert!(!matches!(receiver.receive(SECOND).await, Ok(Some(_))), "their locks ended less than a minute ago");
        inner.sleep(SECOND * 15).await;
        for _ in 0..20 {
            let message = inner.within(SECOND, receiver.next()).await.unwrap();
            inner.within(SECOND, receiver.complete(&message)).await.unwrap();
        }
        client.close().await;
    });
}

#[test]
fn receive_and_delete_loses_nothing_that_was_received() {
    let world = world(QueueDescription::default());
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let sender = client.sender("q").unwrap();
        let bodies: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let messages: Vec<MessageRef<'_>> = bodies.iter().map(|body| MessageRef::new(body.as_str())).collect();
        sender.send_all(&messages).await.unwrap();
        let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(50);
        let receiver = client.receiver(options).unwrap();
        let mut seen = 0;
        while seen < 100 {
            let got = receiver.receive_messages(7, SECOND).await.unwrap();
            seen += got.len();
            // What is on its way when the connection is cut is lost in this mode; what has arrived is not.
            inner.sleep(Duration::from_millis(10)).await;
            if seen % 3 == 0 {
                inner.cut();
            }
            inner.settle().await;
            assert!(!got.is_empty(), "only {seen} came");
        }
        client.close().await;
    });
}

/// What came for a call that was given up in that moment is given back, and not kept until its lock ends.
#[test]
fn messages_for_a_call_that_is_dropped_are_given_back_at_once() {
    for at_once in [1, 3] {
        let world = world(QueueDescription { max_delivery_count: 1, ..QueueDescription::default() });
        world.run({
            let world = world.clone();
            async move {
                let sender = world.client::<Heap>().sender("q").unwrap();
                let receiver = world.client::<Heap>().receiver("q").unwrap();
                let mut call = Box::pin(receiver.receive_messages(at_once, SECOND * 60));
                std::future::poll_fn(|cx| {
                    assert!(call.as_mut().poll(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                world.sleep(SECOND).await;
                for _ in 0..at_once {
                    sender.send(&MessageRef::new("x")).await.unwrap();
                }
                world.sleep(SECOND).await;
                assert_eq!(crate::stage::locks(&world), at_once as usize, "they have come");
                drop(call);
                world.sleep(SECOND).await;
                assert_eq!(crate::stage::locks(&world), 0);
                assert_eq!(crate::stage::counts(&world).active, u64::from(at_once));
            }
        });
        world.end();
    }
}
