//! Handles are cloned and closed for all clones; `timeout` bounds their calls; the connection's state is reported.

use crate::stage::{MINUTE, Names, SECOND, Small, counts, pair, play, send_numbers, world};
use futures_util::StreamExt;
use servicebus_core::client::{Client, ConnectionState, ErrorKind, ErrorOutcome};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use std::pin::pin;
use std::task::Poll;

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
    clones_share_a_link_until_the_last_is_dropped => clones;
    closing_a_handle_closes_its_clones => closes;
    a_client_is_closed_for_all_clones => closes_the_client;
    a_timeout_bounds_calls_whatever_the_policy_allows => bounded;
    the_state_of_the_connection_is_reported => states;
    a_client_connects_eagerly => ready;
    who_watches_is_told_that_nothing_is_needed_any_more => idles;
    nothing_leaves_after_the_time_of_a_call => nothing_leaves_late;
}

fn clones<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        let other = sender.clone();
        send_numbers(&sender, 0..1).await;
        drop(sender);
        send_numbers(&other, 1..2).await;
        let third = other.clone();
        drop(other);
        send_numbers(&third, 2..3).await;
        let clone = receiver.clone();
        let message = receiver.next().await.unwrap();
        drop(receiver);
        // The lock stays with the link, which the clone holds.
        clone.complete(&message).await.unwrap();
        drop((third, clone));
        world.sleep(SECOND).await;
        assert_eq!(client.sender("q").map(drop).err().map(|error| error.kind()), None);
        client.close().await;
    });
}

fn closes<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        let (other, clone) = (sender.clone(), receiver.clone());
        send_numbers(&other, 0..1).await;
        sender.close().await;
        let error = other.send(&MessageRef::new("late")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, ErrorOutcome::NotSent), "{error}");
        other.close().await;
        receiver.close().await;
        assert_eq!(clone.receive(SECOND).await.unwrap_err().kind(), ErrorKind::Closed);
        // A handle that is closed leaves the place of a later one alone.
        let (again, _) = pair(&client);
        drop((sender, other, receiver, clone));
        send_numbers(&again, 1..2).await;
        client.close().await;
    });
}

fn closes_the_client<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..1).await;
        // Each waits for the end, however many there are.
        let (one, two, three) = (client.clone(), client.clone(), client.clone());
        futures_util::future::join3(one.close(), two.close(), three.close()).await;
        assert_eq!(sender.send(&MessageRef::new("late")).await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(matches!(client.state(), ConnectionState::Closed));
        client.close().await;
    });
}

fn bounded<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        world.set_reachable(false);
        world.cut();
        // What is handed to a connection that was just cut may have arrived.
        world.sleep(SECOND / 10).await;
        for limit in [SECOND / 10, SECOND, SECOND * 5, SECOND * 20] {
            let began = world.clock().now;
            let error = sender.timeout(limit).send(&MessageRef::new("x")).await.unwrap_err();
            let took = world.clock().now.saturating_duration_since(began);
            assert!(took <= limit, "{limit:?}: {error} after {took:?}");
            assert!(error.is_transient(), "{error}");
            assert_eq!(error.outcome(), ErrorOutcome::NotSent, "{error}");
            let began = world.clock().now;
            let peeked = receiver.timeout(limit).peek_each(1, 1, |_| {}).await.unwrap_err();
            assert!(world.clock().now.saturating_duration_since(began) <= limit, "{limit:?}: {peeked}");
            let began = world.clock().now;
            let _ = receiver.timeout(limit).receive(MINUTE).await;
            assert!(world.clock().now.saturating_duration_since(began) <= limit, "{limit:?}: a receive");
        }
        world.set_reachable(true);
        sender.timeout(MINUTE).send(&MessageRef::new("x")).await.unwrap();
        client.close().await;
    });
}

fn states<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        assert!(matches!(client.state(), ConnectionState::Idle), "{:?}", client.state());
        let watcher = client.clone();
        let seen = async move {
            let (mut seen, mut state) = (Vec::new(), watcher.state());
            while !matches!(state, ConnectionState::Closed) {
                seen.push(match &state {
                    ConnectionState::Idle => "idle",
                    ConnectionState::Connecting => "connecting",
                    ConnectionState::Connected => "connected",
                    ConnectionState::Recovering { since, error } => {
                        assert!(*since > Default::default() && error.kind() == ErrorKind::Disconnected, "{error}");
                        "recovering"
                    }
                    _ => "closed",
                });
                state = watcher.state_changed(&state).await;
            }
            seen
        };
        let scene = async {
            let sender = client.sender("q").unwrap();
            send_numbers(&sender, 0..1).await;
            world.set_reachable(false);
            world.cut();
            let lost = sender.timeout(SECOND * 3).send(&MessageRef::new("x")).await;
            assert_eq!(lost.unwrap_err().kind(), ErrorKind::Disconnected);
            world.set_reachable(true);
            send_numbers(&sender, 1..2).await;
            client.close().await;
        };
        let (seen, ()) = futures_util::future::join(seen, scene).await;
        assert_eq!(seen[..3], ["idle", "connecting", "connected"]);
        assert!(seen[3..].contains(&"recovering") && seen.ends_with(&["connected"]), "{seen:?}");
    });
}

fn ready<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        client.ready(MINUTE).await.unwrap();
        assert!(matches!(client.state(), ConnectionState::Connected));
        client.ready(SECOND).await.unwrap();
        client.close().await;
        assert_eq!(client.ready(SECOND).await.unwrap_err().kind(), ErrorKind::Closed);
        // Without a service it ends in its time, with the cause.
        world.set_reachable(false);
        let client = world.client::<S>();
        let began = world.clock().now;
        let error = client.ready(SECOND * 30).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(world.clock().now.saturating_duration_since(began), SECOND * 30);
        client.close().await;
    });
}

fn idles<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        world.set_reachable(false);
        let rules = client.rule_manager("q");
        let asking = async {
            let removing = pin!(rules.remove("rule"));
            futures_util::future::select(removing, pin!(world.sleep(SECOND * 3))).await;
        };
        let watching = async {
            let mut state = client.state();
            while !matches!(state, ConnectionState::Recovering { .. }) {
                state = client.state_changed(&state).await;
            }
            state = client.state_changed(&state).await;
            assert!(matches!(state, ConnectionState::Idle), "{state:?}");
            world.clock().now
        };
        let began = world.clock().now;
        let (idle, ()) = futures_util::future::join(watching, asking).await;
        // The request was dropped then, whether it waited for the connection or between two attempts, and nothing else
        // needs one.
        let after = idle.saturating_duration_since(began);
        assert!(after >= SECOND * 3 && after < SECOND * 4, "{after:?}");
        client.close().await;
    });
}

fn nothing_leaves_late<S: Names>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        send_numbers(&sender, 0..1).await;
        world.broker(|broker, _| broker.throttle(1));
        let message = MessageRef::new("x");
        let first = sender.send(&message);
        // Its time is up while all calls wait for the service.
        let late = async {
            world.sleep(SECOND).await;
            let error = sender.timeout(SECOND).send(&MessageRef::new("late")).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, ErrorOutcome::NotSent), "{error}");
        };
        let (first, ()) = futures_util::future::join(first, late).await;
        first.unwrap();
        world.sleep(MINUTE).await;
        assert_eq!(counts(&world).active, 2);
        client.close().await;
    });
}

#[test]
fn whoever_finds_no_slot_waits_all_the_same() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        receiver.next().await.unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            let mut receiving = Box::pin(receiver.next());
            match futures_util::poll!(receiving.as_mut()) {
                Poll::Pending => waiting.push(receiving),
                Poll::Ready(ended) => break ended.unwrap_err(),
            }
        };
        assert_eq!(full.kind(), ErrorKind::Capacity, "{full}");
        let began = world.clock().now;
        let cut = async {
            world.sleep(SECOND).await;
            world.set_reachable(false);
            world.cut();
        };
        let watch = async || client.state_changed(&ConnectionState::Connected).await;
        let (one, two, ()) = futures_util::future::join3(watch(), watch(), cut).await;
        assert!(!matches!(one, ConnectionState::Connected) && !matches!(two, ConnectionState::Connected));
        assert!(world.clock().now.saturating_duration_since(began) >= SECOND);
        world.set_reachable(true);
        let closing = [client.clone(), client.clone(), client.clone()];
        futures_util::future::join_all(closing.iter().map(Client::close)).await;
        drop(waiting);
    });
}

#[test]
fn a_stream_owns_its_receiver_and_ends_with_the_client() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..3).await;
        let mut messages = receiver.messages();
        drop(receiver);
        for _ in 0..3 {
            assert!(messages.next().await.is_some_and(|message| message.is_ok()));
        }
        let ended = async {
            assert!(messages.next().await.is_none());
            assert!(messages.next().await.is_none());
        };
        futures_util::future::join(ended, async { client.close().await }).await;
    });
}
