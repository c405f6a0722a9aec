//! Futures that are dropped after each of their polls, at once or after a while: nothing is lost, nothing comes twice
//! that was not promised to, nothing hangs, and no lock stays behind.

use crate::adapter::Adapter;
use crate::bench::{Bench, ClientOf, Counts, QUEUE, SESSIONS, SOON, active, failed_for, interrupted};
use futures_util::StreamExt as _;
use servicebus_core::client::ReceiverOptions;
use servicebus_core::servicebus::{Entity, MessageRef, Reason};
use servicebus_core::time::Duration;
use servicebus_tests::told::Told;

/// Runs `attempt` with one poll, two polls and so on, until the future ends by itself: then it returns true.
async fn each_poll(mut attempt: impl AsyncFnMut(usize, bool) -> bool) {
    for hold in [false, true] {
        let mut polls = 1;
        while !attempt(polls, hold).await {
            polls += 1;
            assert!(polls < 60, "the future never ends");
        }
    }
}

/// Takes what a queue holds, once it holds between `least` and `most` messages and nothing is locked, by a client of
/// its own, so that nothing hides in the first one's hands. Their texts.
async fn rest<A: Adapter>(bench: &Bench<A>, least: u64, most: u64) -> Vec<String> {
    bench.until("no lock stays", || bench.counts(QUEUE).locks == 0).await;
    bench.until("enough messages", || bench.counts(QUEUE).active >= least).await;
    let counts = bench.counts(QUEUE);
    assert!((least..=most).contains(&counts.active), "{counts:?}");
    if counts.active == 0 {
        return Vec::new();
    }
    bench.drain(QUEUE, counts.active as usize).await
}

async fn store<A: Adapter>(client: &ClientOf<A>, queue: &'static str, texts: &[&str]) {
    let sender = client.sender(queue).unwrap();
    for text in texts {
        let message = MessageRef::new(*text);
        let message = if queue == SESSIONS { message.with_session_id("s") } else { message };
        sender.send(&message).await.unwrap();
    }
    sender.close().await;
}

pub(crate) fn of_send<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        // While it connects, and on a link that is there.
        for warm in [false, true] {
            each_poll(async |polls, hold| {
                let client = bench.client();
                let sender = client.sender(QUEUE).unwrap();
                if warm {
                    sender.size_limits().await.unwrap();
                }
                let (a, b) = (MessageRef::new("a"), MessageRef::new("b"));
                let sent = interrupted(bench, polls, hold, sender.send(&a)).await;
                sender.send(&b).await.unwrap();
                client.close().await;
                let texts = rest(bench, 1, 2).await;
                let whole: &[&str] = &["a", "b"];
                assert!(texts == whole || (sent.is_none() && texts == ["b"]), "{polls} polls: {texts:?}");
                if let Some(result) = sent {
                    result.unwrap();
                    return true;
                }
                false
            })
            .await;
        }
    });
}

pub(crate) fn of_send_while_the_service_is_busy<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let sender = client.sender(QUEUE).unwrap();
            sender.size_limits().await.unwrap();
            bench.emulator.throttle(2);
            let a = MessageRef::new("a");
            let sent = interrupted(bench, polls, hold, sender.send(&a)).await;
            bench.emulator.throttle(0);
            sender.send(&MessageRef::new("b")).await.unwrap();
            client.close().await;
            let texts = rest(bench, 1, 2).await;
            assert!(texts == ["a", "b"] || (sent.is_none() && texts == ["b"]), "{polls} polls: {texts:?}");
            sent.inspect(|result| assert!(result.is_ok(), "{result:?}")).is_some()
        })
        .await;
    });
}

pub(crate) fn of_send_batch<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let sender = client.sender(QUEUE).unwrap();
            let messages = [MessageRef::new("a"), MessageRef::new("b"), MessageRef::new("c")];
            let sent = interrupted(bench, polls, hold, sender.send_all(&messages)).await;
            sender.send(&MessageRef::new("d")).await.unwrap();
            client.close().await;
            let texts = rest(bench, 1, 4).await.concat();
            assert!(texts == "abcd" || (sent.is_none() && texts == "d"), "{polls} polls: {texts}");
            sent.inspect(|result| assert!(result.is_ok(), "{result:?}")).is_some()
        })
        .await;
    });
}

pub(crate) fn of_receive<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        for (warm, prefetch) in [(false, 0), (true, 0), (true, 2)] {
            each_poll(async |polls, hold| {
                let client = bench.client();
                let options = ReceiverOptions::new(QUEUE).with_prefetch(prefetch);
                let receiver = client.receiver(options).unwrap();
                if warm {
                    assert!(receiver.receive(Duration::from_millis(1)).await.unwrap().is_none());
                }
                store::<A>(&client, QUEUE, &["a", "b", "c"]).await;
                let received = interrupted(bench, polls, hold, receiver.receive(SOON)).await;
                let mut texts = Vec::new();
                let first = received.map(|result| result.unwrap().expect("a message"));
                let ended = first.is_some();
                if let Some(message) = first {
                    texts.push(message.text().unwrap().to_owned());
                    receiver.complete(&message).await.unwrap();
                }
                // The same receiver still gives everything else, each once and in order.
                while texts.len() < 2 {
                    let message = receiver.receive(SOON).await.unwrap().expect("a message");
                    texts.push(message.text().unwrap().to_owned());
                    receiver.complete(&message).await.unwrap();
                }
                client.close().await;
                texts.extend(rest(bench, 1, 1).await);
                assert_eq!(texts.concat(), "abc", "{polls} polls");
                ended
            })
            .await;
        }
        // Nothing is counted as a failed delivery that the application has not seen.
        each_poll(async |polls, hold| {
            let client = bench.client();
            let receiver = client.receiver(QUEUE).unwrap();
            store::<A>(&client, QUEUE, &["a"]).await;
            let received = interrupted(bench, polls, hold, receiver.receive(SOON)).await;
            let ended = received.is_some();
            if let Some(result) = received {
                receiver.complete(&result.unwrap().expect("a message")).await.unwrap();
            }
            receiver.close().await;
            if !ended {
                bench.until_counts(QUEUE, active(1)).await;
                let receiver = client.receiver(QUEUE).unwrap();
                let message = receiver.receive(SOON).await.unwrap().expect("a message");
                assert_eq!(message.delivery_count(), 0, "{polls} polls, {hold}");
                receiver.complete(&message).await.unwrap();
            }
            client.close().await;
            bench.until_counts(QUEUE, active(0)).await;
            ended
        })
        .await;
    });
}

pub(crate) fn of_stream<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let receiver = client.receiver(QUEUE).unwrap();
            store::<A>(&client, QUEUE, &["a", "b", "c"]).await;
            let mut texts = String::new();
            let mut messages = receiver.messages();
            let ended = interrupted(bench, polls, hold, async {
                for _ in 0..2 {
                    let message = messages.next().await.expect("it never ends").unwrap();
                    texts.push_str(message.text().unwrap());
                    // Not completed: its lock ends with the abandon below, or with the client.
                    receiver.complete(&message).await.unwrap();
                }
            })
            .await
            .is_some();
            drop(messages);
            while !texts.contains('b') {
                let message = receiver.receive(SOON).await.unwrap().expect("a message");
                // A completion that was given up may not have happened; the message is still ours then, and locked.
                texts.push_str(message.text().unwrap());
                receiver.complete(&message).await.unwrap();
            }
            client.close().await;
            bench.until("completed", || bench.counts(QUEUE).active - bench.counts(QUEUE).locks as u64 == 1).await;
            assert_eq!(texts, "ab", "{polls} polls");
            if bench.counts(QUEUE).locks == 0 {
                assert_eq!(rest(bench, 1, 1).await, ["c"]);
            } else {
                panic!("a completion that was begun was not sent: {polls} polls, {hold}");
            }
            ended
        })
        .await;
    });
}

pub(crate) fn of_complete<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        // On the link, and by token after the link is gone.
        for cut in [false, true] {
            each_poll(async |polls, hold| {
                let client = bench.client();
                let receiver = client.receiver(QUEUE).unwrap();
                store::<A>(&client, QUEUE, &["a"]).await;
                let message = receiver.receive(SOON).await.unwrap().expect("a message");
                if cut {
                    bench.proxy.cut();
                    bench.until("it is gone", || bench.emulator.statistics().connections_open == 0).await;
                }
                let completed = interrupted(bench, polls, hold, receiver.complete(&message)).await;
                let ended = completed.is_some();
                match completed {
                    Some(result) => result.unwrap(),
                    None => {
                        let again = receiver.complete(&message).await;
                        let done = failed_for(&again, Told::Service(Reason::MessageLockLost));
                        assert!(again.is_ok() || done, "{polls} polls: {again:?}");
                    }
                }
                bench.until_counts(QUEUE, active(0)).await;
                client.close().await;
                ended
            })
            .await;
        }
    });
}

pub(crate) fn of_receive_deferred<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let receiver = client.receiver(QUEUE).unwrap();
            store::<A>(&client, QUEUE, &["a"]).await;
            let message = receiver.receive(SOON).await.unwrap().expect("a message");
            receiver.defer(&message).await.unwrap();
            let number = message.sequence_number().unwrap();
            let received = interrupted(bench, polls, hold, receiver.receive_deferred(&[number])).await;
            let ended = received.is_some();
            let messages = match received {
                Some(result) => result.unwrap(),
                // It may be locked now, until the lock runs out. Its neighbours are served.
                None => receiver.receive_deferred(&[number]).await.unwrap_or_default(),
            };
            for message in &messages {
                receiver.complete(message).await.unwrap();
            }
            client.close().await;
            if messages.is_empty() {
                // Locked by the request that was given up: it is the service's to give back.
                assert_eq!(bench.counts(QUEUE).active, 1, "{polls} polls");
                bench.emulator.with_broker(|broker, clock| {
                    broker.with_namespace(clock, |namespace| {
                        namespace.delete(QUEUE).unwrap();
                        namespace.create_queue(QUEUE, Default::default(), clock.utc).unwrap();
                    });
                });
            } else {
                bench.until_counts(QUEUE, active(0)).await;
            }
            ended
        })
        .await;
    });
}

pub(crate) fn of_requests<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
            let at = sender.now() + Duration::from_secs(3_600);
            let message = MessageRef::new("later");
            let scheduled = interrupted(bench, polls, hold, sender.schedule(&message, at)).await;
            let ended = scheduled.is_some();
            // Further requests get their own answers, not that of the one that was given up.
            assert!(receiver.peek(i64::MAX, 1).await.unwrap().is_empty());
            let number = sender.schedule(&MessageRef::new("other"), at).await.unwrap();
            sender.cancel_scheduled(&[number]).await.unwrap();
            client.close().await;
            let left = bench.counts(QUEUE).scheduled;
            assert!(if ended { left == 1 } else { left <= 1 }, "{polls} polls: {left}");
            if let Some(result) = scheduled {
                result.unwrap();
            }
            let client = bench.client();
            let receiver = client.receiver(QUEUE).unwrap();
            let peeked = receiver.peek(0, 10).await.unwrap();
            let numbers: Vec<i64> =
                peeked.iter().filter_map(servicebus_core::servicebus::ReceivedMessage::sequence_number).collect();
            client.sender(QUEUE).unwrap().cancel_scheduled(&numbers).await.unwrap();
            bench.until_counts(QUEUE, active(0)).await;
            client.close().await;
            ended
        })
        .await;
    });
}

pub(crate) fn of_accept_session<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let other = bench.client();
        store::<A>(&other, SESSIONS, &["a"]).await;
        let entity = Entity::queue(SESSIONS);
        each_poll(async |polls, hold| {
            let client = bench.client();
            let accept = client.accept_session(entity.clone(), "s");
            let accepted = interrupted(bench, polls, hold, accept).await;
            let ended = accepted.is_some();
            if let Some(result) = accepted {
                result.unwrap().close().await;
            }
            // The client lives, and holds nothing: everybody else can have the session.
            bench.until_counts(SESSIONS, active(1)).await;
            let session = other.accept_session(entity.clone(), "s").await;
            let session = session.unwrap_or_else(|failure| panic!("{polls} polls, {hold}: {failure}"));
            session.close().await;
            client.close().await;
            ended
        })
        .await;
        other.close().await;
    });
}

pub(crate) fn of_accept_next_session<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let other = bench.client();
        store::<A>(&other, SESSIONS, &["a"]).await;
        each_poll(async |polls, hold| {
            let client = bench.client();
            let options = ReceiverOptions::new(SESSIONS).with_prefetch(5);
            let accept = client.accept_next_session(options.clone(), SOON);
            let accepted = interrupted(bench, polls, hold, accept).await;
            let ended = accepted.is_some();
            if let Some(result) = accepted {
                result.unwrap().expect("a session").close().await;
            }
            let session = other.accept_next_session(options, SOON).await.unwrap();
            let session = session.unwrap_or_else(|| panic!("{polls} polls, {hold}: nobody gave it back"));
            assert_eq!(session.session_id(), "s");
            session.close().await;
            client.close().await;
            bench.until_counts(SESSIONS, active(1)).await;
            ended
        })
        .await;
        other.close().await;
    });
}

pub(crate) fn of_closing_a_receiver<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        store::<A>(&client, QUEUE, &["a", "b", "c"]).await;
        each_poll(async |polls, hold| {
            let options = ReceiverOptions::new(QUEUE).with_prefetch(3);
            let receiver = client.receiver(options).unwrap();
            let locked = Counts { active: 3, locks: 3, ..Counts::default() };
            bench.until_counts(QUEUE, locked).await;
            let closed = interrupted(bench, polls, hold, receiver.close()).await;
            bench.until_counts(QUEUE, active(3)).await;
            closed.is_some()
        })
        .await;
        client.close().await;
        assert_eq!(bench.drain(QUEUE, 3).await.concat(), "abc");
    });
}

pub(crate) fn of_closing_a_client<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        store::<A>(&client, QUEUE, &["a", "b", "c"]).await;
        client.close().await;
        each_poll(async |polls, hold| {
            let client = bench.client();
            let options = ReceiverOptions::new(QUEUE).with_prefetch(3);
            let receiver = client.receiver(options).unwrap();
            let locked = Counts { active: 3, locks: 3, ..Counts::default() };
            bench.until_counts(QUEUE, locked).await;
            let closed = interrupted(bench, polls, hold, client.close()).await;
            bench.until_counts(QUEUE, active(3)).await;
            bench.until("closed", || bench.emulator.statistics().connections_open == 0).await;
            drop(receiver);
            closed.is_some()
        })
        .await;
        assert_eq!(bench.drain(QUEUE, 3).await.concat(), "abc");
    });
}

pub(crate) fn of_transactions<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        each_poll(async |polls, hold| {
            let client = bench.client();
            let controller = client.transactions(QUEUE).unwrap();
            let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
            store::<A>(&client, QUEUE, &["in"]).await;
            let message = receiver.receive(SOON).await.unwrap().expect("a message");
            let out = MessageRef::new("out");
            let ended = interrupted(bench, polls, hold, async {
                let transaction = controller.begin().await.unwrap();
                transaction.complete(&receiver, &message).await.unwrap();
                transaction.send(&sender, &out).await.unwrap();
                transaction.commit().await.unwrap();
            })
            .await
            .is_some();
            let open = || bench.emulator.with_broker(|broker, _| broker.open_transactions());
            controller.close().await;
            bench.until("no transaction stays", || open() == 0).await;
            // All of it or nothing: either the message is still locked, or the other one is there.
            let counts = bench.counts(QUEUE);
            assert_eq!(counts.active, 1);
            if counts.locks == 1 {
                assert!(!ended, "{polls} polls");
                receiver.abandon(&message).await.unwrap();
            }
            client.close().await;
            let expected = if counts.locks == 1 { "in" } else { "out" };
            assert_eq!(bench.drain(QUEUE, 1).await, [expected], "{polls} polls, {hold}");
            ended
        })
        .await;
    });
}
