//! Locks work with a clock that is wrong.

use crate::stage::{
    DAY, Ending, HOUR, MINUTE, SECOND, active, add_queue, ending, observe, on_both_storages, sessions, settings_of,
    world,
};
use servicebus_core::client::{
    AutoLockRenewer, Client, ProcessorError, ProcessorMessage, ProcessorOptions, Receiver, ReceiverOptions,
    SessionProcessorOptions,
};
use servicebus_core::servicebus::{Entity, MessageRef, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, Skew, UtcClock, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

/// The error of a client's clock.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is wrong from the start.
    Wrong(Skew),
    /// It is right until a message is handled.
    Jumps(Skew),
    /// It has been too fast by so many parts in a million for a day; negative for too slow.
    Drifts(i32),
}

const FAULTS: [Fault; 20] = [
    Fault::Wrong(Skew::NONE),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(2))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(5))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(15))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(120))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(600))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(2))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(15))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(120))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(600))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(2))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(15))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(120))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(600))),
    Fault::Jumps(Skew::Behind(Duration::from_secs(2))),
    Fault::Jumps(Skew::Behind(Duration::from_secs(15))),
    Fault::Jumps(Skew::Behind(Duration::from_secs(120))),
    Fault::Jumps(Skew::Behind(Duration::from_secs(600))),
    Fault::Drifts(100),
    Fault::Drifts(-100),
];

/// The shortest lock, the longest, and some between.
const LOCKS: [Duration; 5] =
    [Duration::from_secs(5), Duration::from_secs(8), Duration::from_secs(30), MINUTE, Duration::from_secs(300)];

/// A client with a clock of its own, which is at `fault`.
async fn client<S: Complete>(world: &World, fault: Fault) -> (Client<Simulated<S>>, UtcClock) {
    let utc = world.utc_clock();
    match fault {
        Fault::Wrong(by) => utc.set_offset(by),
        Fault::Jumps(_) => {}
        Fault::Drifts(parts) => utc.set_drift_ppm(parts),
    }
    let client = world.client_with_utc(settings_of(world, RetryPolicy::default()), &utc);
    if matches!(fault, Fault::Drifts(_)) {
        // What is known is a day old when the message comes.
        add_queue(world, "before", QueueDescription::default());
        client.sender("before").unwrap().send(&MessageRef::new("x")).await.unwrap();
        let receiver = client.receiver("before").unwrap();
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        receiver.complete(&message).await.unwrap();
        receiver.close().await;
        world.sleep(DAY).await;
    }
    (client, utc)
}

/// How a message is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Messages { prefetch: u32 },
    Session,
}

impl Way {
    fn queue(self, lock: Duration) -> QueueDescription {
        match self {
            Self::Session => sessions(lock),
            Self::Messages { .. } => QueueDescription { lock_duration: lock, ..QueueDescription::default() },
        }
    }
}

/// The result for messages whose handler takes longer than their locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handled {
    /// How often the message was handled.
    times: u32,
    /// Errors that the processor reported.
    errors: u32,
    /// Messages that are left in the queue.
    left: u64,
}

/// Handles a message, which was sent so long ago, for two locks and a half.
fn handle<S: Complete>(fault: Fault, lock: Duration, way: Way, age: Duration) -> Handled {
    observe(&world(way.queue(lock)), async move |world| {
        let (client, utc) = client::<S>(&world, fault).await;
        world.client::<Heap>().sender("q").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
        world.sleep(age).await;
        let (times, errors) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (inner, counted) = (world.clone(), Rc::clone(&times));
        let handler = handler(async move |_: ProcessorMessage<_>| {
            counted.set(counted.get() + 1);
            if let Fault::Jumps(by) = fault {
                utc.jump(by);
            }
            // A link on which nothing moves for ten minutes is detached.
            inner.sleep((lock * 5 / 2).min(MINUTE * 9)).await;
            Ok::<(), Infallible>(())
        });
        let reported = Rc::clone(&errors);
        let on_error = move |_: ProcessorError<S>| reported.set(reported.get() + 1);
        // Longer than any handler.
        let renewed = HOUR;
        match way {
            Way::Session => {
                let processor = ProcessorOptions::new().with_max_auto_lock_renewal(renewed);
                let options = SessionProcessorOptions::new().with_processor(processor);
                let processor = client.session_processor(Entity::queue("q"), options);
                world.spawn(async move { drop(processor.on_error(on_error).run(handler).await) });
            }
            Way::Messages { prefetch } => {
                let receiver = ReceiverOptions::new("q").with_prefetch(prefetch);
                let options = ProcessorOptions::new().with_max_auto_lock_renewal(renewed);
                let processor = client.processor(receiver, options);
                world.spawn(async move { drop(processor.on_error(on_error).run(handler).await) });
            }
        }
        let end = world.clock().now + lock * 10;
        // Ten errors are enough.
        while world.clock().now < end && errors.get() < 10 {
            world.sleep(SECOND).await;
        }
        let left = active(&world);
        Handled { times: times.get(), errors: errors.get(), left }
    })
}

const WAYS: [Way; 3] = [Way::Messages { prefetch: 0 }, Way::Messages { prefetch: 10 }, Way::Session];

fn messages_are_handled_once<S: Complete>() {
    for way in WAYS {
        for fault in FAULTS {
            for lock in LOCKS {
                let handled = handle::<S>(fault, lock, way, Duration::ZERO);
                let once = Handled { times: 1, errors: 0, left: 0 };
                assert_eq!(handled, once, "{way:?}, {fault:?}, locks of {lock:?}");
            }
        }
    }
}

/// An old message says little about the service's time: with a clock that is behind, its first lock may be lost.
fn old_messages_are_lost_once_at_most<S: Complete>() {
    for way in WAYS {
        for fault in FAULTS {
            for lock in LOCKS {
                let handled = handle::<S>(fault, lock, way, HOUR);
                let behind =
                    matches!(fault, Fault::Wrong(Skew::Behind(_)) | Fault::Jumps(Skew::Behind(_)) | Fault::Drifts(..0));
                // A handler of a lost session or message goes on beside the one that gets it again.
                let most = if behind { 2 } else { 1 };
                assert!(
                    (1..=most).contains(&handled.times) && handled.left == 0,
                    "{way:?}, {fault:?}, locks of {lock:?}: {handled:?}"
                );
                assert!(behind || handled.errors == 0, "{way:?}, {fault:?}, locks of {lock:?}: {handled:?}");
            }
        }
    }
}

/// Settles a message that was received so, and whose lock is renewed if `renews`, when half of its lock has passed, or
/// three of them where it is renewed.
fn settle<S: Complete>(fault: Fault, lock: Duration, way: Way, renews: bool) -> Ending {
    observe(&world(way.queue(lock)), async move |world| {
        let (client, utc) = client::<S>(&world, fault).await;
        client.sender("q").unwrap().send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
        let (receiver, session) = match way {
            Way::Messages { prefetch } => {
                let options = ReceiverOptions::new("q").with_prefetch(prefetch);
                (client.receiver(options).unwrap(), None)
            }
            Way::Session => {
                let session = client.accept_session("q", "s").await.unwrap();
                (Receiver::clone(&session), Some(session))
            }
        };
        let message = receiver.receive(MINUTE).await.unwrap().unwrap();
        let renewer = AutoLockRenewer::new(HOUR);
        let _renewal = renews.then(|| match &session {
            Some(session) => renewer.session(session).unwrap(),
            None => renewer.message(&receiver, &message).unwrap(),
        });
        if let Fault::Jumps(by) = fault {
            utc.jump(by);
        }
        // A link on which nothing moves for ten minutes is detached.
        world.sleep(if renews { (lock * 3).min(MINUTE * 9) } else { lock / 2 }).await;
        ending(&world, MINUTE, receiver.complete(&message)).await
    })
}

fn a_message_is_settled_within_its_lock<S: Complete>() {
    for way in WAYS {
        for fault in FAULTS {
            for lock in LOCKS {
                let settled = settle::<S>(fault, lock, way, false).map(|(_, result)| result);
                assert_eq!(settled, Some(Ok(())), "{way:?}, {fault:?}, locks of {lock:?}");
            }
        }
    }
}

fn a_renewer_keeps_locks<S: Complete>() {
    for way in WAYS {
        for fault in FAULTS {
            for lock in LOCKS {
                let settled = settle::<S>(fault, lock, way, true).map(|(_, result)| result);
                assert_eq!(settled, Some(Ok(())), "{way:?}, {fault:?}, locks of {lock:?}");
            }
        }
    }
}

/// A shared access signature that is signed by a clock that is hours behind has ended when it is used.
fn a_token_is_signed_again<S: Complete>() {
    for behind in [MINUTE * 10, MINUTE * 59, MINUTE * 61, MINUTE * 90, HOUR * 2] {
        let sent = observe(&world(QueueDescription::default()), async move |world| {
            let (client, _) = client::<S>(&world, Fault::Wrong(Skew::Behind(behind))).await;
            ending(&world, MINUTE, client.sender("q").unwrap().send(&MessageRef::new("x")))
                .await
                .map(|(_, result)| result)
        });
        assert_eq!(sent, Some(Ok(())), "{behind:?} behind");
    }
}

/// A client that only sends learns nothing of the service's clock: its token must last all the same.
fn a_sender_never_fails<S: Complete>() {
    for by in [Skew::Ahead(MINUTE * 10), Skew::NONE, Skew::Behind(MINUTE * 10)] {
        let failures = observe(&world(QueueDescription::default()), async move |world| {
            let (client, _) = client::<S>(&world, Fault::Wrong(by)).await;
            let sender = client.sender("q").unwrap();
            let mut failures = 0;
            for _ in 0..240 {
                failures += u32::from(sender.send(&MessageRef::new("x")).await.is_err());
                world.sleep(MINUTE).await;
            }
            (failures, world.connections_opened())
        });
        assert_eq!(failures, (0, 1), "{by:?}");
    }
}

/// How often the messages of a busy session were handled, and how often its lock was lost.
fn busy_session<S: Complete>(cap: Duration, lock: Duration, messages: u32, each: Duration) -> (u32, u32) {
    observe(&world(sessions(lock)), async move |world| {
        let client = world.client::<S>();
        let sender = client.sender("q").unwrap();
        for _ in 0..messages {
            sender.send(&MessageRef::new("x").with_session_id("s")).await.unwrap();
        }
        let mut options = SessionProcessorOptions::default();
        options.processor.max_auto_lock_renewal = Some(cap);
        let (times, lost) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (inner, counted) = (world.clone(), Rc::clone(&times));
        let handler = handler(async move |_: ProcessorMessage<_>| {
            counted.set(counted.get() + 1);
            inner.sleep(each).await;
            Ok::<(), Infallible>(())
        });
        let reported = Rc::clone(&lost);
        let on_error = move |_: ProcessorError<S>| reported.set(reported.get() + 1);
        let processor = client.session_processor(Entity::queue("q"), options);
        world.spawn(async move { drop(processor.on_error(on_error).run(handler).await) });
        world.sleep(each * messages * 4 + MINUTE).await;
        (times.get(), lost.get())
    })
}

fn a_busy_session_loses_nothing<S: Complete>() {
    let mut judge = Judge::new();
    for (cap, lock, messages, each) in [
        (SECOND * 3, SECOND * 5, 20, SECOND),
        (SECOND * 2, SECOND * 5, 30, SECOND / 2),
        (SECOND * 5, SECOND * 8, 20, SECOND * 2),
        (SECOND * 20, SECOND * 10, 30, SECOND * 3),
        (MINUTE * 5, MINUTE, 20, SECOND * 30),
        (MINUTE * 5, MINUTE, 3, SECOND * 30),
    ] {
        judge.case(
            format!("renewal for {cap:?}, locks of {lock:?}, {messages} messages of {each:?}"),
            busy_session::<S>(cap, lock, messages, each),
            |(times, lost)| *times == messages && *lost == 0,
            |(times, lost)| *times > messages && *lost > 0,
        );
    }
    judge.finish();
}

on_both_storages! {
    messages_are_handled_once_with_a_clock_that_is_wrong_c2 => messages_are_handled_once;
    old_messages_are_lost_once_at_most_while_a_clock_is_learned_c2 => old_messages_are_lost_once_at_most;
    a_message_is_settled_within_its_lock_with_a_clock_that_is_wrong_c2 => a_message_is_settled_within_its_lock;
    a_renewer_keeps_locks_with_a_clock_that_is_wrong_c2 => a_renewer_keeps_locks;
    a_token_that_is_refused_as_expired_is_signed_again_c2 => a_token_is_signed_again;
    a_sender_with_a_clock_ten_minutes_off_never_fails_c2 => a_sender_never_fails;
    a_busy_session_loses_nothing_when_its_renewal_ends_c10 => a_busy_session_loses_nothing;
}
