//! A client that ends its connection and keeps its senders and receivers, and one whose key is exchanged.

use crate::stage::{HOUR, MINUTE, Names, SECOND, counts, locks, on_both_storages, play, send_numbers, world};
use futures_util::future::{Either, select};
use servicebus_core::client::ReceiverOptions;
use servicebus_core::servicebus::{Argument, MessageRef};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Server, World};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;

on_both_storages! {
    what_was_fetched_is_given_back_and_the_next_call_connects_again => comes_back;
    a_message_in_hand_is_settled_over_the_next_connection => settled_later;
    a_call_that_waits_goes_on_over_another_connection => waiting;
    a_message_under_way_is_waited_for => under_way;
    an_idle_session_receiver_does_not_hold_it_up => with_session;
    a_client_without_a_connection_disconnects_at_once => nothing_to_do;
    a_service_that_answers_nothing_is_left_in_time => silent;
    the_next_token_is_made_with_another_key => another_key;
}

/// Connections that the service has open.
fn open(world: &World) -> u64 {
    world.broker(|broker, _| broker.statistics().connections_open)
}

fn comes_back<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..4).await;
        let options = ReceiverOptions::new("q").with_prefetch(2);
        let receiver = client.receiver(options).unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        receiver.complete(&message).await.unwrap();
        world.sleep(SECOND).await;
        assert_eq!((open(&world), locks(&world)), (1, 2));
        client.disconnect().await;
        assert_eq!((open(&world), locks(&world)), (0, 0), "nothing stays locked");
        world.sleep(HOUR).await;
        assert_eq!(world.connections_opened(), 1, "nothing connects for nobody");
        sender.send(&MessageRef::new("after")).await.unwrap();
        assert_eq!(world.connections_opened(), 2);
        for _ in 0..4 {
            let message = receiver.receive(SECOND).await.unwrap().expect("a message");
            assert_eq!(message.delivery_count(), 0, "what was given back does not count");
            receiver.complete(&message).await.unwrap();
        }
        client.disconnect().await;
        client.disconnect().await;
        assert_eq!((open(&world), counts(&world).active), (0, 0));
        client.close().await;
    });
}

fn settled_later<S: Names>() {
    let world = world(QueueDescription { lock_duration: MINUTE * 5, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        send_numbers(&client.sender("q").unwrap(), 0..1).await;
        let receiver = client.receiver("q").unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        client.disconnect().await;
        assert_eq!((open(&world), locks(&world)), (0, 1));
        receiver.complete(&message).await.unwrap();
        assert_eq!((locks(&world), counts(&world).active), (0, 0));
        client.close().await;
    });
}

fn waiting<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let receiver = client.receiver("q").unwrap();
        let mut next = std::pin::pin!(receiver.receive(MINUTE));
        let pause = std::pin::pin!(world.sleep(SECOND));
        let is_early = matches!(select(next.as_mut(), pause).await, Either::Left(_));
        assert!(!is_early, "nothing was sent yet");
        client.disconnect().await;
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.unwrap();
        let message = next.await.unwrap().expect("a message");
        receiver.complete(&message).await.unwrap();
        assert_eq!(world.connections_opened(), 2);
        client.close().await;
    });
}

fn under_way<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        sender.send(&MessageRef::new("first")).await.unwrap();
        assert!(receiver.receive(SECOND).await.unwrap().is_some());
        for round in 1..4 {
            let message = MessageRef::new("x");
            let mut send = std::pin::pin!(sender.send(&message));
            let moment = std::pin::pin!(world.sleep(Duration::from_micros(1)));
            let is_early = matches!(select(send.as_mut(), moment).await, Either::Left(_));
            assert!(!is_early, "its outcome takes a way");
            let began = world.clock().now;
            client.disconnect().await;
            assert!(world.clock().now < began + SECOND, "{:?}", world.clock().now);
            assert_eq!(open(&world), 0);
            send.await.unwrap();
            assert_eq!(counts(&world).active, 2 * round);
            // Whoever comes afterwards is served.
            client.sender("q").unwrap().send(&MessageRef::new("y")).await.unwrap();
            assert!(receiver.receive(SECOND).await.unwrap().is_some());
        }
        client.close().await;
    });
}

fn with_session<S: Complete>() {
    let world = world(QueueDescription { requires_session: true, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<S>();
        client.sender("q").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
        let session = client.accept_session("q", "s").await.unwrap();
        let message = session.receive(SECOND).await.unwrap().expect("a message");
        session.complete(&message).await.unwrap();
        let began = world.clock().now;
        client.disconnect().await;
        assert!(world.clock().now < began + SECOND, "{:?}", world.clock().now);
        assert_eq!(open(&world), 0);
        client.close().await;
    });
}

fn nothing_to_do<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let began = world.clock().now;
        let client = world.client::<S>();
        client.disconnect().await;
        assert_eq!((world.clock().now, world.connections_opened()), (began, 0));
        client.close().await;
    });
}

fn silent<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("x")).await.unwrap();
        world.set_writes_stalled(true);
        let began = world.clock().now;
        client.disconnect().await;
        assert!(world.clock().now < began + SECOND * 13, "{:?}", world.clock().now);
        world.set_writes_stalled(false);
        world.set_server(Server::Emulator);
        sender.send(&MessageRef::new("y")).await.unwrap();
        client.close().await;
    });
}

fn another_key<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let right = world.settings::<S>().connection_string;
        let text: &str = right.as_ref();
        let wrong: &'static str = text.replace("SAS_KEY_VALUE", "b3RoZXI=").leak();
        let right: &'static str = text.to_owned().leak();
        let mut settings = world.settings::<S>();
        settings.connection_string = wrong.into();
        let client = world.client_with::<S>(settings);
        let sender = client.sender("q").unwrap();
        assert!(sender.send(&MessageRef::new("x")).await.is_err());
        client.set_connection_string(right).unwrap();
        sender.send(&MessageRef::new("x")).await.unwrap();
        for refused in [&*text.replace("localhost", "elsewhere").leak(), "Endpoint=sb://localhost"] {
            let failure = client.set_connection_string(refused).unwrap_err();
            assert_eq!(Told::of(&failure), Told::Argument(Argument::ConnectionString), "{refused}");
        }
        client.close().await;
    });
}
