//! After a close nothing of ours stays behind (docs/evidence/invariants.md §1 row 4), and nothing waits for ever.

use crate::adapter::Adapter;
use crate::bench::{Bench, Counts, MOMENT, QUEUE, SESSIONS, SOON, active, failed_for};
use futures_util::future::{join, join_all};
use servicebus_core::client::{ErrorKind, ReceiverOptions};
use servicebus_core::servicebus::{Entity, MessageRef};
use servicebus_core::storage::Prefetch;
use servicebus_core::time::Duration;
use servicebus_tests::told::Told;

fn prefetching<S: Prefetch>() -> ReceiverOptions<S> {
    ReceiverOptions::new(QUEUE).with_prefetch(10)
}

/// Stores messages by a client of its own.
async fn fill<A: Adapter>(bench: &Bench<A>, count: usize) {
    let client = bench.client();
    let sender = client.sender(QUEUE).unwrap();
    for number in 0..count {
        sender.send(&MessageRef::new(&number.to_string())).await.unwrap();
    }
    client.close().await;
}

pub(crate) fn a_closed_receiver_gives_back_what_it_had<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        fill(bench, 10).await;
        let client = bench.client();
        let receiver = client.receiver(prefetching()).unwrap();
        bench.until("it fetches", || bench.counts(QUEUE).locks == 10).await;
        let kept = receiver.receive(SOON).await.unwrap().expect("a message");
        receiver.close().await;
        // The one that was handed out keeps its lock, and its token still settles it.
        bench.until_counts(QUEUE, Counts { active: 10, locks: 1, ..Counts::default() }).await;
        let receiver = client.receiver(QUEUE).unwrap();
        receiver.complete(&kept).await.unwrap();
        bench.until_counts(QUEUE, active(9)).await;
        let next = receiver.receive(SOON).await.unwrap().expect("a message");
        assert_eq!(next.text().ok(), Some("1"));
        receiver.abandon(&next).await.unwrap();
        client.close().await;
        bench.until_counts(QUEUE, active(9)).await;
        bench.until("closed", || bench.emulator.statistics().connections_open == 0).await;
    });
}

pub(crate) fn what_is_dropped_is_closed<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        fill(bench, 10).await;
        let client = bench.client();
        let receiver = client.receiver(prefetching()).unwrap();
        bench.until("it fetches", || bench.counts(QUEUE).locks == 10).await;
        drop(receiver);
        bench.until_counts(QUEUE, active(10)).await;
        // A session is free again when its receiver is dropped.
        let sender = client.sender(SESSIONS).unwrap();
        sender.send(&MessageRef::new("").with_session_id("s")).await.unwrap();
        for _ in 0..3 {
            drop(client.accept_session(Entity::queue(SESSIONS), "s").await.unwrap());
        }
        client.close().await;
    });
}

pub(crate) fn a_closed_sender_has_sent<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        sender.size_limits().await.unwrap();
        // Handed over, and the outcome is asked for after the close.
        let texts: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let messages: Vec<MessageRef<'_>> = texts.iter().map(MessageRef::new).collect();
        let mut sends = join_all(messages.iter().map(|message| sender.send(message)));
        let _ = futures_util::poll!(&mut sends);
        sender.close().await;
        assert_eq!(bench.drain(QUEUE, 20).await.len(), 20);
        for result in sends.await {
            result.unwrap();
        }
        client.close().await;
    });
}

pub(crate) fn a_closed_client_fails_what_is_pending<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (receiver, sender) = (client.receiver(QUEUE).unwrap(), client.sender(QUEUE).unwrap());
        sender.send(&MessageRef::new("taken")).await.unwrap();
        let taken = receiver.receive(SOON).await.unwrap().expect("a message");
        let handle = client.clone();
        let pending = join_all((0..3).map(|_| receiver.receive(SOON)));
        let (results, ()) = join(pending, async {
            bench.sleep(Duration::from_millis(10)).await;
            handle.close().await;
        })
        .await;
        for result in results {
            assert!(failed_for(&result, Told::Kind(ErrorKind::Closed)), "{result:?}");
        }
        assert!(failed_for(&receiver.receive(MOMENT).await, Told::Kind(ErrorKind::Closed)));
        assert!(failed_for(&receiver.complete(&taken).await, Told::Kind(ErrorKind::Closed)));
        assert!(failed_for(&sender.send(&MessageRef::new("late")).await, Told::Kind(ErrorKind::Closed)));
        assert!(client.sender(QUEUE).is_err());
        assert_eq!(bench.emulator.statistics().connections_open, 0);
        // Twice is once.
        client.close().await;
    });
}

pub(crate) fn a_dropped_client_closes<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        fill(bench, 10).await;
        bench.until("closed", || bench.emulator.statistics().connections_open == 0).await;
        let client = bench.client();
        let receiver = client.receiver(prefetching()).unwrap();
        drop(client);
        // It lives as long as its receivers.
        let message = receiver.receive(SOON).await.unwrap().expect("a message");
        receiver.complete(&message).await.unwrap();
        drop(receiver);
        bench.until("closed", || bench.emulator.statistics().connections_open == 0).await;
        bench.until_counts(QUEUE, active(9)).await;
    });
}

pub(crate) fn closing_does_not_wait_for_a_service_that_is_away<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        bench.proxy.set_reachable(false);
        let client = bench.client();
        let _sender = client.sender(QUEUE).unwrap();
        bench.sleep(Duration::from_millis(5)).await;
        client.close().await;
        // A client that never did anything.
        bench.client().close().await;
    });
}
