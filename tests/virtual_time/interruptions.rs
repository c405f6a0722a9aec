//! Calls that are given up, services that fall silent, and closes in the middle of things, in virtual time.

use futures_util::future::{Either, select};
use servicebus_core::client::ReceiverOptions;
use servicebus_core::servicebus::{MessageRef, Reason};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::BrokerConfig;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

servicebus_core::fixed_storage! {
    /// Room for two of everything.
    type Small {
        sessions: 1, links: 12, deliveries: 12, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
        session_receivers: 2, lock_renewal: true, transactions: true, prefetch: true,
        receive_and_delete: true, external_tokens: true,
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// The network's latency: times between events are parts of it.
const LATENCY: Duration = Duration::from_millis(4);

fn world() -> World {
    let world = World::new(BrokerConfig::default(), 11);
    world.set_latency(LATENCY);
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_queue("q", QueueDescription::default(), clock.utc).expect("a queue");
            let sessions =
                QueueDescription { requires_session: true, max_delivery_count: 1_000, ..QueueDescription::default() };
            namespace.create_queue("s", sessions, clock.utc).expect("a queue");
        });
    });
    world
}

/// Messages in a queue, and how many of them are locked.
fn counts(world: &World, queue: &str) -> (usize, usize) {
    world.broker(|broker, _| {
        let namespace = broker.namespace();
        let store = namespace.queue(queue).and_then(|queue| namespace.store(queue.stores.main)).expect("a queue");
        (store.active_count(), store.lock_count())
    })
}

/// When a call is given up.
#[derive(Clone, Copy, Debug)]
struct Moment {
    after: Duration,
    /// How often everybody else has their turn at that instant before.
    turns: u32,
}

/// The future's output, or nothing when it has not ended by `moment`: then it is dropped.
async fn until<T>(world: &World, moment: Moment, future: impl Future<Output = T>) -> Option<T> {
    let given_up = async {
        world.sleep(moment.after).await;
        for _ in 0..moment.turns {
            yield_now().await;
        }
    };
    match select(pin!(future), pin!(given_up)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

async fn within<T>(world: &World, after: Duration, future: impl Future<Output = T>) -> Option<T> {
    until(world, Moment { after, turns: 0 }, future).await
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Gives a call up at every moment from its start to its end, before, between and after the things that happen at one
/// instant: `attempt` says whether it ended.
async fn at_each_moment(mut attempt: impl AsyncFnMut(Moment) -> bool) {
    for turns in 0..3 {
        let mut after = Duration::ZERO;
        while !attempt(Moment { after, turns }).await {
            after += LATENCY / 2;
            assert!(after < SECOND, "the call never ends");
        }
    }
}

/// Runs each test on both storages.
macro_rules! on_both_storages {
    ($($name:ident)*) => { $(
        mod $name {
            #[test]
            fn heap() {
                super::tests::$name::<servicebus_core::storage::Heap>();
            }
            #[test]
            fn small() {
                super::tests::$name::<super::Small>();
            }
        }
    )* };
}

on_both_storages! {
    a_close_before_the_link_is_up_leaves_no_lock
    a_receive_ends_in_time_when_the_service_falls_silent
    a_receive_ends_when_its_last_wait_loses_the_connection
    a_settlement_that_was_given_up_can_be_made_again
    a_service_that_does_not_answer_delays_a_close_by_seconds
    accepting_a_session_leaves_no_lock
    receiving_loses_nothing
    sending_sends_once_or_not_at_all
    two_settlements_at_once_do_not_hang
}

mod tests {
    use super::*;

    pub(super) fn a_receive_ends_in_time_when_the_service_falls_silent<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<S>();
            let receiver = client.receiver("q").unwrap();
            assert!(receiver.receive(SECOND).await.unwrap().is_none());
            inner.set_black_hole(true);
            let started = inner.clock().now;
            // The rest of its credit cannot be taken back, and is not waited for for ever.
            let result = within(&inner, SECOND * 30, receiver.receive(SECOND)).await.expect("it hangs");
            assert!(result.unwrap().is_none());
            assert!(inner.clock().now <= started + SECOND * 7);
        });
    }

    pub(super) fn a_receive_ends_when_its_last_wait_loses_the_connection<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<S>();
            let receiver = client.receiver("q").unwrap();
            assert!(receiver.receive(SECOND).await.unwrap().is_none());
            inner.set_black_hole(true);
            let cutter = inner.clone();
            inner.spawn(async move {
                cutter.sleep(SECOND * 2).await;
                cutter.cut();
            });
            let started = inner.clock().now;
            let result = within(&inner, SECOND * 30, receiver.receive(SECOND)).await.expect("it hangs");
            assert!(result.unwrap().is_none());
            assert!(inner.clock().now <= started + SECOND * 3);
        });
    }

    pub(super) fn a_service_that_does_not_answer_delays_a_close_by_seconds<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            // Silent from the beginning, and later.
            for silent_after in [Duration::ZERO, LATENCY, LATENCY * 5, SECOND] {
                inner.set_black_hole(false);
                let client = inner.client::<S>();
                let _receiver = client.receiver("q").unwrap();
                inner.sleep(silent_after).await;
                inner.set_black_hole(true);
                let started = inner.clock().now;
                within(&inner, SECOND * 30, client.close()).await.expect("it hangs");
                assert!(inner.clock().now <= started + SECOND * 11, "silent after {silent_after:?}");
            }
        });
    }

    pub(super) fn a_close_before_the_link_is_up_leaves_no_lock<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<S>();
            let sender = client.sender("q").unwrap();
            for _ in 0..3 {
                sender.send(&MessageRef::new("kept")).await.unwrap();
            }
            let mut time = Duration::ZERO;
            while time < LATENCY * 12 {
                for dropped in [false, true] {
                    let options = ReceiverOptions::new("q").with_prefetch(2);
                    let receiver = client.receiver(options).unwrap();
                    inner.sleep(time).await;
                    if dropped {
                        drop(receiver);
                        inner.sleep(SECOND).await;
                    } else {
                        receiver.close().await;
                        inner.sleep(LATENCY * 2).await;
                    }
                    assert_eq!(counts(&inner, "q"), (3, 0), "closed after {time:?}, dropped: {dropped}");
                }
                time += LATENCY / 2;
            }
            client.close().await;
        });
    }

    pub(super) fn a_settlement_that_was_given_up_can_be_made_again<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<S>();
            let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
            for (cut, abandon) in [(false, false), (false, true), (true, false)] {
                at_each_moment(async |moment| {
                    sender.send(&MessageRef::new("settled")).await.unwrap();
                    let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                    if cut {
                        inner.cut();
                    }
                    if let Some(result) = until(&inner, moment, receiver.complete(&message)).await {
                        result.unwrap();
                        return true;
                    }
                    let again =
                        if abandon { receiver.abandon(&message).await } else { receiver.complete(&message).await };
                    let gone = counts(&inner, "q") == (0, 0);
                    if abandon && again.is_ok() {
                        // What it says is so: the message is there again.
                        assert!(!gone, "given up at {moment:?}");
                        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                        assert_eq!(message.delivery_count(), 1);
                        receiver.complete(&message).await.unwrap();
                        return false;
                    }
                    let lost = again.as_ref().is_err_and(|failure| failure.reason() == Some(Reason::MessageLockLost));
                    assert!(gone && (again.is_ok() || lost), "given up at {moment:?}: {again:?}");
                    false
                })
                .await;
            }
            client.close().await;
            assert_eq!(counts(&inner, "q"), (0, 0));
        });
    }

    pub(super) fn two_settlements_at_once_do_not_hang<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let client = inner.client::<S>();
            let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
            for wait in [Duration::ZERO, LATENCY / 2, LATENCY] {
                sender.send(&MessageRef::new("once")).await.unwrap();
                let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                let second = async {
                    inner.sleep(wait).await;
                    receiver.abandon(&message).await
                };
                let (first, second) = futures_util::future::join(receiver.complete(&message), second).await;
                first.unwrap();
                assert!(matches!(second, Err(failure) if matches!(Told::of(&failure), Told::Argument(_))));
                assert_eq!(counts(&inner, "q"), (0, 0));
            }
            client.close().await;
        });
    }

    pub(super) fn sending_sends_once_or_not_at_all<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            at_each_moment(async |moment| {
                let client = inner.client::<S>();
                let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
                let sent = until(&inner, moment, sender.send(&MessageRef::new("a"))).await;
                sender.send(&MessageRef::new("b")).await.unwrap();
                let mut texts = String::new();
                while !texts.ends_with('b') {
                    let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                    texts.push_str(message.text().unwrap());
                    receiver.complete(&message).await.unwrap();
                }
                assert!(texts == "ab" || (sent.is_none() && texts == "b"), "given up at {moment:?}: {texts}");
                client.close().await;
                assert_eq!(counts(&inner, "q"), (0, 0));
                sent.is_some()
            })
            .await;
        });
    }

    pub(super) fn receiving_loses_nothing<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            for prefetch in [0, 2] {
                at_each_moment(async |moment| {
                    let client = inner.client::<S>();
                    let sender = client.sender("q").unwrap();
                    for text in ["a", "b", "c"] {
                        sender.send(&MessageRef::new(text)).await.unwrap();
                    }
                    sender.close().await;
                    let options = ReceiverOptions::new("q").with_prefetch(prefetch);
                    let receiver = client.receiver(options).unwrap();
                    let mut texts = String::new();
                    let received = until(&inner, moment, receiver.receive(SECOND)).await;
                    let ended = received.is_some();
                    if let Some(result) = received {
                        let message = result.unwrap().expect("a message");
                        texts.push_str(message.text().unwrap());
                        receiver.complete(&message).await.unwrap();
                    } else if prefetch == 0 {
                        // What nobody waits for is given back, uncounted.
                        inner.sleep(SECOND).await;
                        assert_eq!(counts(&inner, "q"), (3, 0), "given up at {moment:?}");
                    }
                    while texts.len() < 3 {
                        let message = receiver.receive(SECOND).await.unwrap().expect("a message");
                        assert_eq!(message.delivery_count(), 0);
                        texts.push_str(message.text().unwrap());
                        receiver.complete(&message).await.unwrap();
                    }
                    assert_eq!(texts, "abc");
                    client.close().await;
                    assert_eq!(counts(&inner, "q"), (0, 0));
                    ended
                })
                .await;
            }
        });
    }

    pub(super) fn accepting_a_session_leaves_no_lock<S: Complete>() {
        let world = world();
        let inner = world.clone();
        world.run(async move {
            let other = inner.client::<S>();
            let sender = other.sender("s").unwrap();
            sender.send(&MessageRef::new("kept").with_session_id("one")).await.unwrap();
            let options = ReceiverOptions::new("s").with_prefetch(2);
            for next in [false, true] {
                at_each_moment(async |moment| {
                    let client = inner.client::<S>();
                    let options = options.clone();
                    let accepted = until(&inner, moment, async {
                        if next {
                            client.accept_next_session(options, SECOND).await.unwrap().expect("a session")
                        } else {
                            client.accept_session(options, "one").await.unwrap()
                        }
                    })
                    .await;
                    let ended = accepted.is_some();
                    drop(accepted);
                    inner.sleep(LATENCY * 4).await;
                    let session = other.accept_session("s", "one").await;
                    let session = session.unwrap_or_else(|failure| panic!("given up at {moment:?}: {failure}"));
                    let message = session.receive(SECOND).await.unwrap().expect("a message");
                    session.abandon(&message).await.unwrap();
                    session.close().await;
                    client.close().await;
                    assert_eq!(counts(&inner, "s"), (1, 0), "given up at {moment:?}");
                    ended
                })
                .await;
            }
            other.close().await;
        });
    }
}
