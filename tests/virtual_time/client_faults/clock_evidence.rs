//! What the service's answers say of its time, and what they do not.

use crate::stage::{HeapClient, MINUTE, SECOND, add_queue, observe, sessions, settings, within, world};
use servicebus_core::client::{AutoLockRenewer, ErrorKind, Receiver, ReceiverOptions};
use servicebus_core::servicebus::{Disposition, Entity, MessageRef, ReceivedMessage, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, Skew, World};

/// A queue with locks of this length.
fn locks(lock_duration: Duration) -> QueueDescription {
    QueueDescription { lock_duration, ..QueueDescription::default() }
}

type HeapReceiver = Receiver<Simulated<Heap>>;

/// A receiver that keeps messages ready, which say little about the service's time, and its first message.
async fn prefetched(client: &HeapClient, queue: &'static str) -> (HeapReceiver, ReceivedMessage<Heap>) {
    client.sender(queue).unwrap().send(&MessageRef::new("x")).await.unwrap();
    let receiver = client.receiver(ReceiverOptions::new(Entity::queue(queue)).with_prefetch(1)).unwrap();
    let message = receiver.receive(MINUTE).await.unwrap().unwrap();
    (receiver, message)
}

/// A second settlement of a message, whose first call was given up, fails here: the service has not said that the lock
/// ended.
#[test]
fn a_message_that_was_settled_in_another_way_says_nothing_of_the_time() {
    let kept = observe(&world(locks(MINUTE * 5)), async |world| {
        add_queue(&world, "short", locks(MINUTE));
        world.set_latency(SECOND / 5);
        let client = world.client::<Heap>();
        let (long, first) = prefetched(&client, "q").await;
        let (short, second) = prefetched(&client, "short").await;
        assert!(within(&world, SECOND / 10, long.complete(&first)).await.is_none(), "given up");
        let lost = long.abandon(&first).await.expect_err("it was completed");
        assert_eq!(lost.kind(), ErrorKind::LockLost);
        world.sleep(SECOND).await;
        short.complete(&second).await.map_err(|error| error.kind())
    });
    assert_eq!(kept, Ok(()), "the lock of a minute is seconds old");
}

/// A lock can be lost long before its end: what the client concludes of the service's time costs no other lock.
#[test]
fn a_lock_that_was_lost_before_its_end_costs_no_other_lock() {
    for lock in [SECOND * 30, MINUTE, MINUTE * 5] {
        for after in [SECOND, lock / 4, lock * 9 / 10] {
            let kept: Result<(), (Duration, ErrorKind)> = observe(&world(locks(lock)), async move |world| {
                let (client, other) = (world.client::<Heap>(), world.client::<Heap>());
                let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
                sender.send(&MessageRef::new("x")).await.unwrap();
                let first = receiver.receive(MINUTE).await.unwrap().unwrap();
                world.sleep(after).await;
                let token = first.lock_token().unwrap();
                other.receiver("q").unwrap().settle_by_token(token, Disposition::Complete).await.unwrap();
                let lost = receiver.complete(&first).await.expect_err("it is gone");
                assert_eq!(lost.kind(), ErrorKind::LockLost);
                for wait in [SECOND, lock / 2, lock * 9 / 10] {
                    sender.send(&MessageRef::new("x")).await.unwrap();
                    let next = receiver.receive(MINUTE).await.unwrap().unwrap();
                    world.sleep(wait).await;
                    receiver.complete(&next).await.map_err(|error| (wait, error.kind()))?;
                }
                Ok(())
            });
            assert_eq!(kept, Ok(()), "locks of {lock:?}, lost after {after:?}");
        }
    }
}

/// The number of renewals of a new lock within a quarter of a minute, by a client whose clock is two minutes ahead and
/// that has settled a message, or a message of a session, half a minute after it was locked.
fn renewals(in_session: bool, settles: bool) -> u64 {
    let queue = if in_session { sessions(MINUTE) } else { locks(MINUTE) };
    observe(&world(queue), async move |world: World| {
        add_queue(&world, "other", locks(MINUTE));
        let utc = world.utc_clock();
        utc.set_offset(Skew::Ahead(MINUTE * 2));
        let client = world.client_with_utc(settings(&world, RetryPolicy::default()), &utc);
        let receiver = if in_session {
            client.sender("q").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
            let session = client.accept_session("q", "s").await.unwrap();
            Receiver::clone(&session)
        } else {
            client.receiver(ReceiverOptions::new("q").with_prefetch(1)).unwrap()
        };
        if !in_session {
            client.sender("q").unwrap().send(&MessageRef::new("x")).await.unwrap();
        }
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        world.sleep(SECOND * 30).await;
        if settles {
            receiver.complete(&message).await.unwrap();
        }
        let (other, next) = prefetched(&client, "other").await;
        let renewed = || world.broker(|broker, _| broker.statistics().locks_renewed);
        let before = renewed();
        let _renewal = AutoLockRenewer::new(MINUTE * 10).message(&other, &next).unwrap();
        world.sleep(SECOND * 15).await;
        renewed() - before
    })
}

/// A settlement that was taken was inside of the lock: renewals need not hurry as if nothing were known.
#[test]
fn a_settlement_that_was_taken_tells_the_time() {
    for in_session in [false, true] {
        let (with, without) = (renewals(in_session, true), renewals(in_session, false));
        assert!(
            with <= 4 && with < without,
            "in a session: {in_session}; {with} renewals, {without} before a settlement"
        );
    }
}

/// A lock that the application has renewed itself was held, and is held from the request on.
#[test]
fn a_renewal_by_the_application_tells_the_time() {
    let renewals = |renews: bool| {
        observe(&world(locks(MINUTE)), async move |world: World| {
            add_queue(&world, "other", locks(MINUTE));
            let utc = world.utc_clock();
            utc.set_offset(Skew::Ahead(MINUTE * 2));
            let client = world.client_with_utc(settings(&world, RetryPolicy::default()), &utc);
            let (receiver, mut message) = prefetched(&client, "q").await;
            world.sleep(SECOND * 30).await;
            if renews {
                receiver.renew_lock(&mut message).await.unwrap();
            }
            let (other, next) = prefetched(&client, "other").await;
            let renewed = || world.broker(|broker, _| broker.statistics().locks_renewed);
            let before = renewed();
            let _renewal = AutoLockRenewer::new(MINUTE * 10).message(&other, &next).unwrap();
            world.sleep(SECOND * 15).await;
            renewed() - before
        })
    };
    let (with, without) = (renewals(true), renewals(false));
    assert!(with == 0 && without > 0, "{with} renewals, {without} without one of the application's");
}

/// What happens to a message, whose lock of a minute ends later than its receiver was told.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// It is renewed by a registration whose handle is gone before it is settled.
    Renewed,
    /// The answers to its renewals are lost for minutes, then one comes.
    AnswersLost,
    /// The same, and it is settled before one has come, while the registration is there or not.
    SettledBlind { registered: bool },
    /// The application renews it by its token, or gives that up each time.
    ByToken { awaited: bool },
    /// The application renews it, gives that up each time but the last, and does not settle it.
    ByMessage,
    /// The first call of its settlement was given up, and the second gets the answer to that.
    SettledTwice,
}

/// Goes through a story with a message that is so old, and whether a lock of half a minute is renewed in time then, of
/// another message that is as old: what is concluded of the service's time must not be behind it.
fn renewed_in_time_after(story: Story, age: Duration) -> Result<(), ErrorKind> {
    observe(&world(locks(MINUTE)), async move |world: World| {
        add_queue(&world, "other", locks(SECOND * 30));
        let sending = world.client::<Heap>();
        for queue in ["q", "other"] {
            sending.sender(queue).unwrap().send(&MessageRef::new("x")).await.unwrap();
        }
        world.sleep(age).await;
        let client = world.client::<Heap>();
        let (receiver, other) = (client.receiver("q").unwrap(), client.receiver("other").unwrap());
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        let renewer = AutoLockRenewer::new(MINUTE * 20);
        match story {
            Story::Renewed => {
                let renewal = renewer.message(&receiver, &message).unwrap();
                world.sleep(MINUTE * 4).await;
                drop(renewal);
                receiver.complete(&message).await.unwrap();
            }
            Story::AnswersLost | Story::SettledBlind { .. } => {
                let renewal = renewer.message(&receiver, &message).unwrap();
                world.broker(|broker, _| broker.lose_responses(10_000));
                world.sleep(MINUTE * 4).await;
                world.broker(|broker, _| broker.lose_responses(0));
                match story {
                    Story::AnswersLost => world.sleep(SECOND * 10).await,
                    Story::SettledBlind { registered: true } => receiver.complete(&message).await.unwrap(),
                    _ => {
                        drop(renewal);
                        receiver.complete(&message).await.unwrap();
                    }
                }
            }
            Story::ByToken { awaited } => {
                for number in 0..8 {
                    world.sleep(SECOND * 30).await;
                    let renewal = receiver.renew_lock_by_token(message.lock_token().unwrap());
                    if awaited {
                        renewal.await.unwrap();
                    } else {
                        // The request is at the service by then, the first one after the attach of its links.
                        let limit = if number == 0 { SECOND * 7 / 20 } else { SECOND * 3 / 20 };
                        world.set_latency(SECOND / 10);
                        assert!(within(&world, limit, renewal).await.is_none(), "given up");
                    }
                }
                receiver.complete(&message).await.unwrap();
            }
            Story::ByMessage => {
                let mut message = message;
                world.set_latency(SECOND / 10);
                for number in 0..8 {
                    world.sleep(SECOND * 30).await;
                    let limit = if number == 0 { SECOND * 7 / 20 } else { SECOND * 3 / 20 };
                    let renewal = receiver.renew_lock(&mut message);
                    assert!(within(&world, limit, renewal).await.is_none(), "given up");
                }
                receiver.renew_lock(&mut message).await.unwrap();
            }
            Story::SettledTwice => {
                world.set_latency(SECOND * 50);
                assert!(within(&world, SECOND, receiver.complete(&message)).await.is_none(), "given up");
                world.sleep(SECOND * 94).await;
                receiver.complete(&message).await.unwrap();
            }
        }
        world.set_latency(Duration::ZERO);
        let message = other.receive(MINUTE * 3).await.unwrap().unwrap();
        let _renewal = renewer.message(&other, &message).unwrap();
        world.sleep(MINUTE * 2).await;
        other.complete(&message).await.map_err(|error| error.kind())
    })
}

/// Nothing is concluded from the end of a lock that may have been renewed.
#[test]
fn a_lock_that_was_renewed_unseen_says_nothing_of_the_time() {
    let stories = [
        Story::Renewed,
        Story::AnswersLost,
        Story::SettledBlind { registered: true },
        Story::SettledBlind { registered: false },
        Story::ByToken { awaited: true },
        Story::ByToken { awaited: false },
        Story::ByMessage,
        Story::SettledTwice,
    ];
    let mut wrong = Vec::new();
    for story in stories {
        // With an old message little is certain.
        for age in [MINUTE * 10, MINUTE] {
            let result = renewed_in_time_after(story, age);
            if result != Ok(()) {
                wrong.push((story, age, result));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
