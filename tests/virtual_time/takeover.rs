//! Messages that another than their receiver settles, and sessions that go from one receiver to the next
//! (docs/evidence/pinned-behaviour.md SES42–SES46).

use crate::stage::{MINUTE, SECOND, Small, add_queue, counts, locks, on_both_storages, play, with_store, world};
use servicebus_core::client::{
    AutoLockRenewer, Client, DeadLetterOptions, ErrorKind, ReceiverOptions, RenewalEnd, SessionReceiver,
};
use servicebus_core::machine::{ReceiveMode, Settings};
use servicebus_core::servicebus::{Disposition, Entity, LockToken, MessageRef, Reason};
use servicebus_core::storage::Heap;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::storages::Complete;
use servicebus_tests::told::{self, Told};
use std::cell::Cell;
use std::rc::Rc;

on_both_storages! {
    a_message_of_another_client_is_not_taken_for_ones_own => settle_for_another;
    a_session_is_taken_over_with_what_was_received_of_it_ses42_ses43_ses45 => take_over;
    a_session_is_taken_over_within_a_client => take_over_within;
    a_new_holder_is_known_after_a_while_ses44 => strangers;
    what_is_not_offered_is_told => not_offered;
    the_locks_of_sessions_that_change_hands_are_renewed => renewals;
}

fn settle_for_another<S: Complete>() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let (one, other, third) = (world.client::<S>(), world.client::<S>(), world.client::<S>());
        let sender = third.sender("q").unwrap();
        for body in ["a", "b"] {
            sender.send(&MessageRef::new(body)).await.unwrap();
        }
        third.close().await;
        // Each has one message at the same place of its tables.
        let (first, second) = (one.receiver("q").unwrap(), other.receiver("q").unwrap());
        let (a, b) = (first.next().await.unwrap(), second.next().await.unwrap());
        assert_eq!((a.text().ok(), b.text().ok()), (Some("a"), Some("b")));
        second.complete(&a).await.unwrap();
        assert_eq!(counts(&world).active, 1);
        second.abandon(&b).await.unwrap();
        let left = first.receive(SECOND).await.unwrap().expect("the other message");
        assert_eq!((left.text().ok(), left.delivery_count()), (Some("b"), 1));
        first.complete(&left).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        one.close().await;
        other.close().await;
    });
}

fn sessions() -> World {
    world(QueueDescription { requires_session: true, ..QueueDescription::default() })
}

async fn send(world: &World, bodies: &[&str]) {
    let client = world.client::<Heap>();
    let sender = client.sender("q").unwrap();
    for body in bodies {
        sender.send(&MessageRef::new(*body).with_session_id("s")).await.unwrap();
    }
    client.close().await;
}

async fn accept<S: Complete>(client: &Client<Simulated<S>>) -> SessionReceiver<Simulated<S>> {
    client.accept_non_exclusive_session(Entity::queue("q"), "s").await.expect("the session")
}

async fn take<S: Complete>(client: &Client<Simulated<S>>, token: LockToken) -> SessionReceiver<Simulated<S>> {
    client.take_over_session(Entity::queue("q"), "s", token).await.expect("the session")
}

fn settled_by_management(world: &World) -> u64 {
    world.broker(|broker, _| broker.statistics().settled_by_management)
}

fn take_over<S: Complete>() {
    let world = sessions();
    play(&world, async |world| {
        send(&world, &["1", "2", "3", "4", "5", "6"]).await;
        let (one, other) = (world.client::<S>(), world.client::<S>());
        let first = accept(&one).await;
        assert_eq!(first.session_id(), "s");
        first.set_state(Some(b"so far")).await.unwrap();
        let mut received = Vec::new();
        for _ in 0..5 {
            received.push(first.next().await.unwrap());
        }
        // What it received itself is settled on its link.
        first.complete(&received.remove(0)).await.unwrap();
        assert_eq!(settled_by_management(&world), 0);
        // Without the token the session is as locked as any.
        let mut settings: Settings<S> = world.settings();
        settings.retry.max_retries = 0;
        let stranger = world.client_with(settings);
        let entity = Entity::queue("q");
        let failure = stranger.accept_non_exclusive_session(entity.clone(), "s").await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionCannotBeLocked), "{failure}");
        let failure = stranger.accept_session(entity.clone(), "s").await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionCannotBeLocked), "{failure}");
        // The token travels as text.
        let text = first.lock_token().expect("a token").to_string();
        let token = text.parse().unwrap();
        world.sleep(SECOND * 30).await;
        let second = take(&other, token).await;
        assert_eq!((second.session_id(), second.lock_token()), ("s", Some(token)));
        assert!(second.locked_until().unwrap() > world.clock().utc + SECOND * 59);
        // The former holder is told, in every call.
        for failure in [
            first.receive(SECOND).await.unwrap_err(),
            first.complete(&received[0]).await.unwrap_err(),
            first.renew_session_lock().await.unwrap_err(),
            first.state().await.unwrap_err(),
            first.settle_by_token(received[0].lock_token().unwrap(), Disposition::Complete).await.unwrap_err(),
        ] {
            assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        }
        assert_eq!(first.lock_token(), Some(token));
        // Not with the token of nobody.
        let nobody = LockToken::from_uuid(servicebus_core::wire::Uuid([7; 16]));
        let failure = stranger.take_over_session(entity.clone(), "s", nobody).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        // The new one goes on where the former one was.
        assert_eq!(second.state().await.unwrap().as_ref().map(AsRef::as_ref), Some(&b"so far"[..]));
        assert_eq!(locks(&world), 4);
        second.complete(&received[0]).await.unwrap();
        second.dead_letter(&received[1], DeadLetterOptions::default()).await.unwrap();
        second.defer(&received[2]).await.unwrap();
        second.settle_by_token(received[3].lock_token().unwrap(), Disposition::Complete).await.unwrap();
        assert_eq!(settled_by_management(&world), 4);
        assert_eq!((locks(&world), counts(&world).dead_letter), (0, 1));
        second.renew_session_lock().await.unwrap();
        let last = second.next().await.unwrap();
        assert_eq!(last.text().ok(), Some("6"));
        second.abandon(&last).await.unwrap();
        second.complete(&second.next().await.unwrap()).await.unwrap();
        let mut deferred = Vec::new();
        let numbers = [received[2].sequence_number().unwrap()];
        second.receive_deferred_each(&numbers, |message| deferred.push(message)).await.unwrap();
        second.complete(&deferred[0]).await.unwrap();
        assert_eq!(settled_by_management(&world), 5);
        assert_eq!((counts(&world).active, counts(&world).total()), (0, 1));
        // A lock that is over is not taken over.
        second.close().await;
        let failure = stranger.take_over_session(entity.clone(), "s", token).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        let exclusive = stranger.accept_session(entity, "s").await.unwrap();
        assert_eq!(exclusive.lock_token(), None);
        for client in [one, other, stranger] {
            client.close().await;
        }
    });
}

fn take_over_within<S: Complete>() {
    let world = sessions();
    play(&world, async |world| {
        send(&world, &["1", "2"]).await;
        let client = world.client::<S>();
        let first = accept(&client).await;
        let message = first.next().await.unwrap();
        let second = take(&client, first.lock_token().unwrap()).await;
        // Nobody has listened on the former link yet, and the message's delivery is still in the tables.
        second.complete(&message).await.unwrap();
        assert_eq!(settled_by_management(&world), 1);
        second.complete(&second.next().await.unwrap()).await.unwrap();
        assert_eq!((settled_by_management(&world), counts(&world).total()), (1, 0));
        let failure = first.receive(SECOND).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        // Closing what is lost takes nothing from the one that holds it.
        first.close().await;
        second.set_state(Some(b"x")).await.unwrap();
        client.close().await;
    });
}

fn strangers<S: Complete>() {
    let world = sessions();
    play(&world, async |world| {
        world.broker(|broker, _| broker.delay_take_over(SECOND * 3));
        send(&world, &["1", "2"]).await;
        let (one, other) = (world.client::<S>(), world.client::<S>());
        let first = accept(&one).await;
        let message = first.next().await.unwrap();
        let began = world.clock().now;
        let second = take(&other, first.lock_token().unwrap()).await;
        second.complete(&message).await.unwrap();
        let took = world.clock().now.saturating_duration_since(began);
        assert!((SECOND * 3..SECOND * 4).contains(&took), "{took:?}");
        assert!(second.state().await.unwrap().is_none());
        let third = take(&one, second.lock_token().unwrap()).await;
        third.renew_session_lock().await.unwrap();
        // One that is lost for good is not asked for again and again.
        let began = world.clock().now;
        let failure = second.state().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        assert!(world.clock().now.saturating_duration_since(began) < SECOND);
        // Nor is one that stays a stranger.
        world.broker(|broker, _| broker.delay_take_over(MINUTE));
        let fourth = take(&other, third.lock_token().unwrap()).await;
        let began = world.clock().now;
        let failure = fourth.state().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        let took = world.clock().now.saturating_duration_since(began);
        assert!((SECOND * 29..SECOND * 31).contains(&took), "{took:?}");
        one.close().await;
        other.close().await;
    });
}

fn not_offered<S: Complete>() {
    let world = sessions();
    add_queue(&world, "plain", QueueDescription::default());
    play(&world, async |world| {
        send(&world, &["1"]).await;
        let client = world.client::<S>();
        client.sender("plain").unwrap().send(&MessageRef::new("x")).await.unwrap();
        // A peer that does not know the filter refuses a receiver without a session, or grants it where it can.
        world.broker(|broker, _| broker.offer_non_exclusive_sessions(false));
        for (queue, said) in [("q", "entity that requires sessions"), ("plain", "")] {
            let options = ReceiverOptions::new(queue).with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(2);
            for failure in [
                client.accept_non_exclusive_session(options.clone(), "s").await.unwrap_err(),
                client.accept_next_non_exclusive_session(options, SECOND).await.unwrap_err(),
            ] {
                assert!(matches!(Told::of(&failure), Told::Kind(ErrorKind::NotOffered)), "{failure}");
                assert!(failure.to_string().contains("non-exclusive sessions"), "{failure}");
                assert!(told::words(&failure).is_none_or(|words| words.contains(said)), "{failure}");
            }
        }
        world.broker(|broker, _| broker.offer_non_exclusive_sessions(true));
        // Nothing was taken.
        let plain = client.receiver("plain").unwrap();
        assert_eq!(plain.receive(SECOND).await.unwrap().expect("the message").text(), Ok("x"));
        plain.close().await;
        // Nor is it taken for granted where the answer leaves the filter out; that session is locked, and let go of.
        world.set_tamper(|bytes| {
            let (known, other) = (&b"com.microsoft:non-exclusive-session-filter"[..], &b"com.microsoft:non"[..]);
            while let Some(at) = bytes.windows(known.len()).position(|window| window == known) {
                bytes[at + other.len()] = b'_';
            }
        });
        let failure = client.accept_non_exclusive_session(Entity::queue("q"), "s").await.unwrap_err();
        assert!(matches!(Told::of(&failure), Told::Kind(ErrorKind::NotOffered)), "{failure}");
        world.sleep(SECOND).await;
        assert_eq!(with_store(&world, |store| store.session_lock("s").map(|lock| lock.holder)), None);
        world.set_tamper(|_| ());
        let session = accept(&client).await;
        session.complete(&session.next().await.unwrap()).await.unwrap();
        client.close().await;
    });
}

fn renewals<S: Complete>() {
    let world = world(QueueDescription { requires_session: true, lock_duration: SECOND * 15, ..Default::default() });
    play(&world, async |world| {
        world.broker(|broker, _| broker.delay_take_over(SECOND * 12));
        send(&world, &["1"]).await;
        let (one, other) = (world.client::<S>(), world.client::<S>());
        let first = accept(&one).await;
        let mut kept = AutoLockRenewer::new(MINUTE * 60).session(&first).unwrap();
        world.sleep(MINUTE * 5).await;
        assert!(kept.is_active());
        let second = take(&other, first.lock_token().unwrap()).await;
        let RenewalEnd::Lost(failure) = kept.ended().await else { panic!("the session was taken over") };
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        assert!(first.session_lock_renewal_error().is_some());
        // The new one is still a stranger when its lock is to be renewed for the first time, and goes on.
        let kept = AutoLockRenewer::new(MINUTE * 60).session(&second).unwrap();
        world.sleep(MINUTE * 8).await;
        assert!(kept.is_active(), "{:?}", kept.error());
        second.complete(&second.next().await.unwrap()).await.unwrap();
        drop(kept);
        one.close().await;
        other.close().await;
    });
}

#[test]
fn an_id_that_is_cut_is_no_session() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<Small>();
        let id = "\u{1f980}".repeat(100);
        for failure in [
            client.accept_session(Entity::queue("q"), &id).await.unwrap_err(),
            client.accept_non_exclusive_session(Entity::queue("q"), &id).await.unwrap_err(),
        ] {
            assert!(matches!(Told::of(&failure), Told::Argument(_)), "{failure}");
        }
        let heap = world.client::<Heap>();
        let session = heap.accept_session(Entity::queue("q"), &id).await.unwrap();
        assert_eq!(session.session_id(), id);
        heap.close().await;
        client.close().await;
    });
}

#[test]
fn any_session_can_be_accepted_non_exclusively_ses46() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let entity = Entity::queue("q");
        let none = client.accept_next_non_exclusive_session(entity.clone(), SECOND).await.unwrap();
        assert!(none.is_none());
        send(&world, &["1"]).await;
        let next = client.accept_next_non_exclusive_session(entity.clone(), SECOND).await.unwrap();
        let first = next.expect("the session");
        assert_eq!(first.session_id(), "s");
        let second = take(&client, first.lock_token().expect("a token")).await;
        second.complete(&second.next().await.unwrap()).await.unwrap();
        client.close().await;
    });
}

#[test]
fn a_take_over_that_is_given_up_leaves_no_lock() {
    for polls in 0..40 {
        let world = sessions();
        play(&world, async move |world| {
            send(&world, &["1"]).await;
            let (one, other) = (world.client::<Heap>(), world.client::<Heap>());
            let first = accept(&one).await;
            let token = first.lock_token().unwrap();
            {
                let mut taking = std::pin::pin!(take(&other, token));
                for _ in 0..polls {
                    if futures_util::poll!(taking.as_mut()).is_ready() {
                        break;
                    }
                    world.sleep(servicebus_core::time::Duration::from_micros(500)).await;
                }
            }
            world.sleep(SECOND).await;
            // Either the former one still has it, or nobody.
            let held = with_store(&world, |store| store.session_lock("s").is_some());
            let alive = first.receive(SECOND).await.is_ok();
            assert_eq!(held, alive, "after {polls} polls");
            one.close().await;
            other.close().await;
        });
    }
}

/// Takes the detaches out of what the emulator sends.
fn without_detaches(bytes: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(size) = bytes.get(at..at + 4) {
        let end = at + u32::from_be_bytes(size.try_into().expect("four bytes")) as usize;
        if bytes.get(at + 8..at + 11) == Some(&[0x00, 0x53, 0x16]) {
            bytes.drain(at..end);
        } else {
            at = end;
        }
    }
}

#[test]
fn a_former_holder_that_knows_nothing_yet_is_not_settled_on() {
    let world = sessions();
    play(&world, async |world| {
        send(&world, &["1"]).await;
        let client = world.client::<Heap>();
        let first = accept(&client).await;
        let message = first.next().await.unwrap();
        world.set_tamper(without_detaches);
        let second = take(&client, first.lock_token().unwrap()).await;
        let began = world.clock().now;
        second.complete(&message).await.unwrap();
        assert!(world.clock().now.saturating_duration_since(began) < SECOND);
        assert_eq!(settled_by_management(&world), 1);
    });
}

#[test]
fn the_token_of_a_session_is_not_told_of_its_receiver() {
    let world = sessions();
    let told = Rc::new(Cell::new(String::new()));
    let slot = Rc::clone(&told);
    play(&world, async move |world| {
        let client = world.client::<Heap>();
        let session = accept(&client).await;
        slot.set(format!("{session:?} {}", session.lock_token().unwrap()));
        client.close().await;
    });
    let told = told.take();
    let (debug, token) = told.rsplit_once(' ').unwrap();
    assert!(!debug.contains(token) && debug.contains("\"s\""), "{debug}");
    let bytes = format!("{:?}", token.parse::<LockToken>().unwrap());
    assert!(!debug.contains(&bytes), "{debug}");
}

#[test]
fn what_a_former_holder_received_is_settled_in_a_transaction() {
    let world = sessions();
    play(&world, async |world| {
        send(&world, &["1", "2"]).await;
        let client = world.client::<Heap>();
        let first = accept(&client).await;
        let messages = first.receive_messages(2, SECOND).await.unwrap();
        let second = take(&client, first.lock_token().unwrap()).await;
        let controller = client.transactions("q").unwrap();
        for (message, commit) in messages.iter().zip([false, true]) {
            let transaction = controller.begin().await.unwrap();
            transaction.complete(&second, message).await.unwrap();
            if commit { transaction.commit().await.unwrap() } else { transaction.roll_back().await.unwrap() }
        }
        second.complete(&messages[0]).await.unwrap();
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}
