//! Locks work with a clock that is wrong.

use crate::stage::{HeapClient, MINUTE, SECOND, ending, observe, sessions, settings, world};
use servicebus_core::client::{
    ProcessorError, ProcessorMessage, ProcessorOptions, ReceiverOptions, SessionProcessorOptions,
};
use servicebus_core::machine::{Cause, Entity};
use servicebus_core::servicebus::{Message, Reason, RetryPolicy};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Skew, UtcClock, World};
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;
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
}

const FAULTS: [Fault; 9] = [
    Fault::Wrong(Skew::NONE),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(5))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(120))),
    Fault::Wrong(Skew::Ahead(Duration::from_secs(600))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(15))),
    Fault::Wrong(Skew::Behind(Duration::from_secs(120))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(120))),
    Fault::Jumps(Skew::Ahead(Duration::from_secs(600))),
    Fault::Jumps(Skew::Behind(Duration::from_secs(120))),
];

const LOCKS: [Duration; 3] = [Duration::from_secs(8), Duration::from_secs(30), MINUTE];

fn client(world: &World, fault: Fault) -> (HeapClient, UtcClock) {
    let utc = world.utc_clock();
    if let Fault::Wrong(by) = fault {
        utc.set_offset(by);
    }
    (world.client_with_utc(settings(world, RetryPolicy::default()), &utc), utc)
}

/// The result for one message whose handler takes longer than its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handled {
    /// How often it was handled.
    times: u32,
    /// Errors that the processor reported.
    errors: u32,
}

impl Handled {
    const ONCE: Self = Self { times: 1, errors: 0 };

    fn is_lost(&self) -> bool {
        self.errors > 0 || self.times > 1
    }
}

/// Handles a message for two locks and a half.
fn handle(fault: Fault, lock: Duration, in_session: bool) -> Handled {
    let queue = if in_session {
        sessions(lock)
    } else {
        QueueDescription { lock_duration: lock, ..QueueDescription::default() }
    };
    observe(&world(queue), async move |world| {
        let (client, utc) = client(&world, fault);
        let mut message = Message::new("x");
        message.session_id = in_session.then_some("s");
        world.client::<Heap>().sender("q").unwrap().send(&message).await.unwrap();
        let (times, errors) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (inner, counted) = (world.clone(), Rc::clone(&times));
        let handler = async move |_: &ProcessorMessage<'_, _>| {
            counted.set(counted.get() + 1);
            if let Fault::Jumps(by) = fault {
                utc.jump(by);
            }
            inner.sleep(lock * 5 / 2).await;
            Ok::<(), Infallible>(())
        };
        let reported = Rc::clone(&errors);
        let on_error = move |_: ProcessorError<Heap, Infallible>| reported.set(reported.get() + 1);
        if in_session {
            let processor = client.session_processor(Entity::queue("q"), SessionProcessorOptions::default());
            world.spawn(async move { drop(processor.run(handler, on_error).await) });
        } else {
            let processor = client.processor(Entity::queue("q"), ProcessorOptions::default());
            world.spawn(async move { drop(processor.run(handler, on_error).await) });
        }
        let end = world.clock().now + lock * 10;
        // Ten errors are enough.
        while world.clock().now < end && errors.get() < 10 {
            world.sleep(SECOND).await;
        }
        Handled { times: times.get(), errors: errors.get() }
    })
}

fn judge_handling(in_session: bool) {
    let mut judge = Judge::new();
    for fault in FAULTS {
        for lock in LOCKS {
            let handled = handle(fault, lock, in_session);
            if matches!(fault, Fault::Wrong(Skew::NONE)) {
                judge.control(format!("locks of {lock:?}"), handled, |seen| *seen == Handled::ONCE);
                continue;
            }
            judge.case(
                format!("{fault:?}, locks of {lock:?}"),
                handled,
                |seen| *seen == Handled::ONCE,
                Handled::is_lost,
            );
        }
    }
    judge.finish();
}

#[known_fault("C2")]
fn messages_are_handled_once_with_a_clock_that_is_wrong_c2() {
    judge_handling(false);
}

#[known_fault("C2")]
fn sessions_are_handled_once_with_a_clock_that_is_wrong_c2() {
    judge_handling(true);
}

#[known_fault("C2")]
fn a_message_is_settled_within_its_lock_with_a_clock_that_is_wrong_c2() {
    let mut judge = Judge::new();
    for fault in FAULTS {
        for lock in LOCKS {
            let queue = QueueDescription { lock_duration: lock, ..QueueDescription::default() };
            let settled = observe(&world(queue), async move |world| {
                let (client, utc) = client(&world, fault);
                client.sender("q").unwrap().send(&Message::new("x")).await.unwrap();
                let receiver = client.receiver("q").unwrap();
                let message = receiver.receive(MINUTE).await.unwrap().unwrap();
                if let Fault::Jumps(by) = fault {
                    utc.jump(by);
                }
                world.sleep(lock / 2).await;
                ending(&world, MINUTE, receiver.complete(&message)).await.map(|(_, result)| result)
            });
            if matches!(fault, Fault::Wrong(Skew::NONE)) {
                judge.control(format!("locks of {lock:?}"), settled, |settled| *settled == Some(Ok(())));
                continue;
            }
            let refused = Some(Err(Cause::Service(Reason::MessageLockLost)));
            judge.equal(format!("{fault:?}, locks of {lock:?}"), settled, Some(Ok(())), refused);
        }
    }
    judge.finish();
}

/// How often the messages of a busy session were handled, and how often its lock was lost.
fn busy_session(cap: Duration, lock: Duration, messages: u32, each: Duration) -> (u32, u32) {
    observe(&world(sessions(lock)), async move |world| {
        let client = world.client::<Heap>();
        let sender = client.sender("q").unwrap();
        for _ in 0..messages {
            sender.send(&Message::new("x").with_session_id("s")).await.unwrap();
        }
        let mut options = SessionProcessorOptions::default();
        options.processor.max_auto_lock_renewal = Some(cap);
        options.processor.receiver = ReceiverOptions::default();
        let (times, lost) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (inner, counted) = (world.clone(), Rc::clone(&times));
        let handler = async move |_: &ProcessorMessage<'_, _>| {
            counted.set(counted.get() + 1);
            inner.sleep(each).await;
            Ok::<(), Infallible>(())
        };
        let reported = Rc::clone(&lost);
        let on_error = move |_: ProcessorError<Heap, Infallible>| reported.set(reported.get() + 1);
        let processor = client.session_processor(Entity::queue("q"), options);
        world.spawn(async move { drop(processor.run(handler, on_error).await) });
        world.sleep(each * messages * 4 + MINUTE).await;
        (times.get(), lost.get())
    })
}

#[known_fault("C10")]
fn a_busy_session_loses_nothing_when_its_renewal_ends_c10() {
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
            busy_session(cap, lock, messages, each),
            |(times, lost)| *times == messages && *lost == 0,
            |(times, lost)| *times > messages && *lost > 0,
        );
    }
    judge.finish();
}
