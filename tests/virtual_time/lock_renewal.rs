//! Locks that are renewed by the machine, in virtual time (docs/evidence/invariants.md §1 rows 13–15,
//! docs/evidence/pinned-behaviour.md §9).

use servicebus_core::client::{AutoLockRenewer, Client, LockRenewal, Receiver, ReceiverOptions, RenewalEnd};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{Disposition, Entity, MessageRef, Reason, ReceivedMessage};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::{self, Told};
use std::cell::Cell;

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
const MINUTE: Duration = Duration::from_secs(60);
/// Longer than any test.
const ALWAYS: AutoLockRenewer = AutoLockRenewer::new(Duration::from_secs(1_000_000));

fn world(lock_duration: Duration, requires_session: bool) -> World {
    let world = World::new(BrokerConfig::default(), 11);
    let queue = QueueDescription { lock_duration, requires_session, ..QueueDescription::default() };
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| namespace.create_queue("q", queue, clock.utc)).expect("a queue");
    });
    world
}

fn renewals(world: &World) -> u64 {
    world.broker(|broker, _| broker.statistics().locks_renewed)
}

/// A client that has sent a message and received it.
async fn received<S: Complete>(world: &World) -> (Client<Simulated<S>>, Receiver<Simulated<S>>, ReceivedMessage<S>) {
    let client = world.client::<S>();
    let sender = client.sender("q").unwrap();
    sender.send(&MessageRef::new("work")).await.unwrap();
    sender.close().await;
    let receiver = client.receiver("q").unwrap();
    let message = receiver.receive(SECOND).await.unwrap().expect("a message");
    (client, receiver, message)
}

/// Runs a test on both storages.
macro_rules! on_both_storages {
    ($($name:ident, $lock:expr => $test:ident;)*) => { $(
        #[test]
        fn $name() {
            let one = world($lock, false);
            one.run($test::<Heap>(one.clone()));
            let other = world($lock, false);
            other.run($test::<Small>(other.clone()));
        }
    )* };
}

on_both_storages! {
    a_lock_is_kept_for_75_minutes, SECOND * 30 => kept_for_75_minutes;
    the_shortest_lock_is_kept, SECOND * 5 => shortest_lock;
    a_lock_is_kept_over_lost_connections, SECOND * 30 => lost_connections;
    a_short_outage_costs_no_lock, SECOND * 60 => short_outage;
    a_lost_lock_is_told_once_with_its_cause, SECOND * 30 => lost_once;
    a_lock_that_somebody_else_ended_is_told_at_once, SECOND * 30 => ended_elsewhere;
    a_lock_is_renewed_after_its_receiver_is_closed, SECOND * 30 => receiver_closed;
    settling_ends_the_renewal, SECOND * 30 => settling;
    a_registration_that_is_dropped_renews_no_more, SECOND * 30 => dropped;
    the_longest_duration_is_kept, SECOND * 30 => longest_duration;
    a_lock_renewed_by_hand_can_be_settled_later, SECOND * 30 => by_hand;
    the_end_of_a_client_ends_the_renewal, SECOND * 30 => client_closed;
}

async fn kept_for_75_minutes<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let first_end = message.locked_until().unwrap();
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    world.sleep(MINUTE * 75).await;
    assert!(renewal.is_active());
    // Each renewal comes when a third of the lock is left: every 20 s.
    assert!((220..=230).contains(&renewals(&world)), "{}", renewals(&world));
    assert!(renewal.locked_until().unwrap() > first_end + MINUTE * 74);
    receiver.complete(&message).await.unwrap();
    assert_eq!(world.broker(|broker, _| broker.statistics().messages_delivered), 1);
    drop(renewal);
    client.close().await;
}

async fn receiver_closed<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    receiver.close().await;
    // What others do meanwhile does not take its place.
    let other = client.receiver("q").unwrap();
    other.close().await;
    world.sleep(MINUTE * 10).await;
    assert!(renewal.is_active(), "{:?}", renewal.error());
    assert!(renewals(&world) > 20, "{}", renewals(&world));
    drop(renewal);
    client.receiver("q").unwrap().complete(&message).await.unwrap();
    client.close().await;
}

async fn shortest_lock<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    for _ in 0..600 {
        world.sleep(Duration::from_millis(100)).await;
        let left = renewal.locked_until().unwrap().saturating_duration_since(world.clock().utc);
        assert!(left > SECOND, "{left:?} left");
    }
    assert!((17..=19).contains(&renewals(&world)), "{}", renewals(&world));
    receiver.complete(&message).await.unwrap();
    drop(renewal);
    client.close().await;
}

async fn lost_connections<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    for _ in 0..20 {
        world.sleep(SECOND * 17).await;
        world.cut();
    }
    assert!(renewal.is_active(), "{:?}", renewal.error());
    receiver.complete(&message).await.unwrap();
    assert_eq!(world.broker(|broker, _| broker.statistics().settled_by_management), 1);
    drop(renewal);
    client.close().await;
}

async fn short_outage<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    world.sleep(SECOND * 49).await;
    world.set_reachable(false);
    world.cut();
    world.sleep(SECOND * 8).await;
    world.set_reachable(true);
    world.sleep(SECOND * 30).await;
    assert!(renewal.is_active(), "{:?}", renewal.error());
    receiver.complete(&message).await.unwrap();
    drop(renewal);
    client.close().await;
}

async fn lost_once<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let mut renewal = ALWAYS.message(&receiver, &message).unwrap();
    world.sleep(SECOND * 5).await;
    world.set_reachable(false);
    world.cut();
    let told = Cell::new(0);
    let work = world.sleep(SECOND * 120);
    renewal
        .during(work, |failure| {
            told.set(told.get() + 1);
            assert!(world.clock().utc >= message.locked_until().unwrap(), "it was tried until the end");
            assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
            assert!(told::words(&failure).is_none_or(|words| !words.is_empty()), "the cause is told");
        })
        .await;
    assert_eq!(told.get(), 1);
    assert!(!renewal.is_active());
    assert!(renewal.error().is_some());
    assert!(receiver.lock_renewal_error(&message).is_some());
    let failure = receiver.complete(&message).await.unwrap_err();
    assert_eq!(failure.reason(), Some(Reason::MessageLockLost), "told without asking the service");
    world.set_reachable(true);
    drop(renewal);
    assert!(receiver.lock_renewal_error(&message).is_none());
    client.close().await;
}

async fn ended_elsewhere<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let mut renewal = ALWAYS.message(&receiver, &message).unwrap();
    let other = world.client::<Heap>();
    let elsewhere = other.receiver("q").unwrap();
    elsewhere.settle_by_token(message.lock_token().unwrap(), Disposition::Complete).await.unwrap();
    let began = world.clock().now;
    let RenewalEnd::Lost(failure) = renewal.ended().await else { panic!("the lock is gone") };
    assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
    assert!(world.clock().now < began + SECOND * 21, "told by the first renewal");
    drop(renewal);
    other.close().await;
    client.close().await;
}

async fn settling<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let mut renewal = ALWAYS.message(&receiver, &message).unwrap();
    world.sleep(SECOND * 50).await;
    receiver.complete(&message).await.unwrap();
    assert!(!renewal.is_active());
    assert!(matches!(renewal.ended().await, RenewalEnd::Released));
    let before = renewals(&world);
    world.sleep(MINUTE * 5).await;
    assert_eq!(renewals(&world), before);
    assert!(renewal.error().is_none());
    drop(renewal);
    client.close().await;
}

async fn dropped<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = ALWAYS.message(&receiver, &message).unwrap();
    // Renewed at 20 s until 50 s, and given up.
    world.sleep(SECOND * 25).await;
    drop(renewal);
    world.cut();
    world.sleep(SECOND * 20).await;
    assert_eq!(renewals(&world), 1);
    assert!(message.locked_until().unwrap() < world.clock().utc, "the end that the message itself knows");
    receiver.complete(&message).await.unwrap();
    client.close().await;
}

async fn longest_duration<S: Complete>(world: World) {
    // Renewed for up to 38 s: completing at 35 s is in time (LCK7).
    let (client, receiver, message) = received::<S>(&world).await;
    let renewal = AutoLockRenewer::new(SECOND * 38).message(&receiver, &message).unwrap();
    world.sleep(SECOND * 35).await;
    receiver.complete(&message).await.unwrap();
    drop(renewal);
    client.close().await;
    // Renewed for up to 35 s: completing at 55 s is not (LCK8).
    let (client, receiver, message) = received::<S>(&world).await;
    let mut renewal = AutoLockRenewer::new(SECOND * 35).message(&receiver, &message).unwrap();
    let began = world.clock().now;
    assert!(matches!(renewal.ended().await, RenewalEnd::Elapsed));
    assert_eq!(world.clock().now, began + SECOND * 35);
    assert!(renewal.error().is_none());
    world.sleep(SECOND * 20).await;
    let failure = receiver.complete(&message).await.unwrap_err();
    assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
    drop(renewal);
    client.close().await;
}

async fn by_hand<S: Complete>(world: World) {
    let (client, receiver, mut message) = received::<S>(&world).await;
    for _ in 0..10 {
        world.sleep(SECOND * 20).await;
        receiver.renew_lock(&mut message).await.unwrap();
    }
    receiver.complete(&message).await.unwrap();
    client.close().await;
}

async fn client_closed<S: Complete>(world: World) {
    let (client, receiver, message) = received::<S>(&world).await;
    let mut renewal = ALWAYS.message(&receiver, &message).unwrap();
    let closer = world.clone();
    world.spawn(async move {
        closer.sleep(SECOND).await;
        client.close().await;
    });
    let began = world.clock().now;
    assert!(matches!(renewal.ended().await, RenewalEnd::Released));
    assert!(world.clock().now <= began + SECOND * 2);
    assert!(!renewal.is_active());
}

#[test]
fn thousand_locks_are_kept_side_by_side() {
    let world = world(SECOND * 30, false);
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Heap>();
        let sender = client.sender("q").unwrap();
        let messages = vec![MessageRef::new("work"); 1_000];
        sender.send_all(&messages).await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let mut messages = Vec::new();
        while messages.len() < 1_000 {
            messages.extend(receiver.receive_messages(1_000, SECOND).await.unwrap());
        }
        let renewals: Vec<LockRenewal<'_, _>> =
            messages.iter().map(|message| ALWAYS.message(&receiver, message).unwrap()).collect();
        inner.sleep(MINUTE * 9).await;
        for (message, renewal) in messages.iter().zip(&renewals) {
            assert!(renewal.is_active());
            receiver.complete(message).await.unwrap();
            assert!(!renewal.is_active());
        }
        drop(renewals);
        client.close().await;
    });
}

#[test]
fn what_has_no_lock_of_its_own_is_refused() {
    let world = world(SECOND * 30, false);
    let inner = world.clone();
    world.run(async move {
        let (client, receiver, message) = received::<Heap>(&inner).await;
        receiver.complete(&message).await.unwrap();
        let sender = client.sender("q").unwrap();
        sender.send(&MessageRef::new("taken")).await.unwrap();
        let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete);
        let deleting = client.receiver(options).unwrap();
        let message = deleting.receive(SECOND).await.unwrap().expect("a message");
        let failure = ALWAYS.message(&deleting, &message).unwrap_err();
        assert!(matches!(Told::of(&failure), Told::Argument(_)), "{failure}");
        sender.send(&MessageRef::new("late")).await.unwrap();
        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
        inner.sleep(SECOND * 31).await;
        let failure = ALWAYS.message(&receiver, &message).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
        client.close().await;
    });
}

#[test]
fn fixed_storage_says_when_there_is_no_room() {
    let world = world(SECOND * 30, false);
    let inner = world.clone();
    world.run(async move {
        let client = inner.client::<Small>();
        let sender = client.sender("q").unwrap();
        for _ in 0..3 {
            sender.send(&MessageRef::new("work")).await.unwrap();
        }
        let receiver = client.receiver("q").unwrap();
        let mut messages = Vec::new();
        while messages.len() < 3 {
            messages.extend(receiver.receive(SECOND).await.unwrap());
        }
        let one = ALWAYS.message(&receiver, &messages[0]).unwrap();
        let two = ALWAYS.message(&receiver, &messages[1]).unwrap();
        let failure = ALWAYS.message(&receiver, &messages[2]).unwrap_err();
        assert!(failure.is_transient(), "{failure}");
        // A registration that is given up makes room, even while the end of its lock is remembered.
        inner.sleep(SECOND * 25).await;
        drop(one);
        let three = ALWAYS.message(&receiver, &messages[2]).unwrap();
        inner.sleep(MINUTE).await;
        assert!(two.is_active() && three.is_active());
        receiver.complete(&messages[1]).await.unwrap();
        receiver.complete(&messages[2]).await.unwrap();
        drop((two, three));
        client.close().await;
    });
}

async fn accepted(world: &World) -> servicebus_core::client::SessionReceiver<Simulated<Heap>> {
    let client = world.client::<Heap>();
    let sender = client.sender("q").unwrap();
    sender.send(&MessageRef::new("work").with_session_id("s")).await.unwrap();
    client.accept_session(Entity::queue("q"), "s").await.unwrap()
}

#[test]
fn a_session_is_kept() {
    let world = world(SECOND * 10, true);
    let inner = world.clone();
    world.run(async move {
        let session = accepted(&inner).await;
        let mut renewal = ALWAYS.session(&session).unwrap();
        let first_end = session.locked_until().unwrap();
        let message = session.receive(SECOND).await.unwrap().expect("a message");
        let failure = ALWAYS.message(&session, &message).unwrap_err();
        assert!(matches!(Told::of(&failure), Told::Argument(_)), "the session's lock protects its messages");
        // Not as long as a link may be idle.
        inner.sleep(MINUTE * 9).await;
        assert!(session.locked_until().unwrap() > first_end + MINUTE * 8);
        session.complete(&message).await.unwrap();
        // A session goes with its link: that is said at once, and once.
        inner.cut();
        let RenewalEnd::Lost(failure) = renewal.ended().await else { panic!("the session is lost") };
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost));
        assert_eq!(session.session_lock_renewal_error().unwrap().reason(), Some(Reason::SessionLockLost));
    });
}

#[test]
fn a_session_that_is_given_up_is_renewed_no_more() {
    let world = world(SECOND * 10, true);
    let inner = world.clone();
    world.run(async move {
        let session = accepted(&inner).await;
        let renewal = ALWAYS.session(&session).unwrap();
        inner.sleep(SECOND * 30).await;
        assert!(renewal.is_active());
        drop(renewal);
        let before = renewals(&inner);
        inner.sleep(SECOND * 30).await;
        assert_eq!(renewals(&inner), before);
        session.close().await;
    });
}
