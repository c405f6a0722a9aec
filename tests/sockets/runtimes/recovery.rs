//! Connections that break, and services that do not answer.

use crate::adapter::{Adapter, Connection};
use crate::bench::{BRIEF, Bench, Counts, QUEUE, SESSIONS, SOON, active, failed_for};
use futures_util::future::{join, join3};
use servicebus_core::client::ErrorKind;
use servicebus_core::servicebus::{Entity, MessageRef, Reason, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_tests::told::Told;
use std::collections::BTreeSet;

pub(crate) fn a_send_goes_on_over_a_cut<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        sender.send(&MessageRef::new("0")).await.unwrap();
        bench.proxy.cut();
        sender.send(&MessageRef::new("1")).await.unwrap();
        sender.send(&MessageRef::new("2")).await.unwrap();
        assert_eq!(bench.proxy.accepted(), 2);
        client.close().await;
        // The first send after the cut may have left twice: before the loss was seen, and again.
        let count = bench.counts(QUEUE).active as usize;
        let mut texts = bench.drain(QUEUE, count).await;
        texts.dedup();
        assert_eq!(texts, ["0", "1", "2"]);
    });
}

pub(crate) fn a_receive_goes_on_over_a_cut<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let (client, other) = (bench.client(), bench.client());
        let receiver = client.receiver(QUEUE).unwrap();
        let sender = other.sender(QUEUE).unwrap();
        let receive = receiver.receive(SOON);
        let send = async {
            for _ in 0..3 {
                bench.sleep(Duration::from_millis(10)).await;
                bench.proxy.cut();
            }
            bench.sleep(Duration::from_millis(10)).await;
            sender.send(&MessageRef::new("after the cuts")).await.unwrap();
        };
        let (received, ()) = join(receive, send).await;
        let message = received.unwrap().expect("a message");
        assert_eq!(message.text().ok(), Some("after the cuts"));
        receiver.complete(&message).await.unwrap();
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
        other.close().await;
    });
}

pub(crate) fn settling_survives_a_cut<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.send_all(&[MessageRef::new("completed"), MessageRef::new("abandoned")]).await.unwrap();
        let first = receiver.next().await.unwrap();
        let second = receiver.next().await.unwrap();
        bench.proxy.cut();
        bench.until("the connection is gone", || bench.emulator.statistics().connections_open == 0).await;
        // Both have outlived their link: their tokens settle them.
        receiver.complete(&first).await.unwrap();
        receiver.abandon(&second).await.unwrap();
        bench.until_counts(QUEUE, active(1)).await;
        let message = receiver.next().await.unwrap();
        assert_eq!((message.text().ok(), message.delivery_count()), (Some("abandoned"), 1));
        receiver.complete(&message).await.unwrap();
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn a_lost_session_says_so<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(SESSIONS).unwrap();
        sender.send(&MessageRef::new("kept").with_session_id("s")).await.unwrap();
        let entity = Entity::queue(SESSIONS);
        let session = client.accept_session(entity.clone(), "s").await.unwrap();
        let message = session.receive(SOON).await.unwrap().expect("a message");
        bench.proxy.cut();
        bench.until("the connection is gone", || bench.emulator.statistics().connections_open == 0).await;
        let lost = session.receive(SOON).await;
        assert!(failed_for(&lost, Told::Service(Reason::SessionLockLost)), "{lost:?}");
        let lost = session.complete(&message).await;
        assert!(failed_for(&lost, Told::Service(Reason::SessionLockLost)), "{lost:?}");
        let again = client.accept_session(entity, "s").await.unwrap();
        let message = again.receive(SOON).await.unwrap().expect("the message");
        again.complete(&message).await.unwrap();
        client.close().await;
        bench.until_counts(SESSIONS, active(0)).await;
    });
}

pub(crate) fn a_service_that_is_away_fails_calls_and_comes_back<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        bench.proxy.set_reachable(false);
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let failure = sender.send(&MessageRef::new("lost")).await.expect_err("nobody answers");
        assert!(failure.is_transient(), "{failure:?}");
        let failure = receiver.receive(SOON).await.expect_err("nobody answers");
        assert!(failure.is_transient(), "{failure:?}");
        bench.proxy.set_reachable(true);
        sender.send(&MessageRef::new("found")).await.unwrap();
        let message = receiver.receive(SOON).await.unwrap().expect("a message");
        assert_eq!(message.text().ok(), Some("found"));
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

pub(crate) fn a_silent_service_is_noticed<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        // Long enough for a try on a loaded machine: only the two tries of the send that nothing answers take all of it.
        let retry = Bench::<A>::retry().with_try_timeout(Duration::from_secs(1)).with_max_retries(1);
        let client = bench.client_with(Connection::new(bench.connection_string(), retry));
        let sender = client.sender(QUEUE).unwrap();
        sender.send(&MessageRef::new("0")).await.unwrap();
        bench.proxy.set_silent(true);
        let late = sender.send(&MessageRef::new("1")).await;
        assert!(failed_for(&late, Told::Kind(ErrorKind::Timeout)), "{late:?}");
        bench.proxy.set_silent(false);
        sender.send(&MessageRef::new("2")).await.unwrap();
        client.close().await;
        bench.until_counts(QUEUE, active(bench.counts(QUEUE).active)).await;
        let count = bench.counts(QUEUE).active as usize;
        let mut texts = bench.drain(QUEUE, count).await;
        // The one in the middle was tried twice, and both times it was only late.
        texts.dedup();
        assert_eq!(texts, ["0", "1", "2"]);
    });
}

pub(crate) fn a_service_that_moves_an_entity_or_closes<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        for round in 0..6 {
            let text = round.to_string();
            let (received, ()) = join(receiver.receive(SOON), async {
                bench.sleep(Duration::from_millis(5)).await;
                if round % 2 == 0 {
                    bench.emulator.force_detach(QUEUE);
                } else {
                    bench.emulator.drop_connections();
                }
                sender.send(&MessageRef::new(&text)).await.unwrap();
            })
            .await;
            let message = received.unwrap().expect("a message");
            assert_eq!(message.text().ok(), Some(&*text));
            receiver.complete(&message).await.unwrap();
        }
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn a_busy_service_is_asked_again<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.size_limits().await.unwrap();
        bench.emulator.throttle(2);
        sender.send(&MessageRef::new("patient")).await.unwrap();
        bench.until_counts(QUEUE, active(1)).await;
        bench.emulator.throttle(2);
        assert_eq!(receiver.peek(0, 5).await.unwrap().len(), 1);
        bench.emulator.throttle(1_000);
        let refused = sender.send(&MessageRef::new("refused")).await;
        assert!(failed_for(&refused, Told::Service(Reason::ServerBusy)), "{refused:?}");
        bench.emulator.throttle(0);
        client.close().await;
        bench.until_counts(QUEUE, active(1)).await;
    });
}

pub(crate) fn a_cut_loses_nothing_under_load<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        const MESSAGES: u32 = 150;
        let client = bench.client();
        let (sender, receiver) = (client.sender(BRIEF).unwrap(), client.receiver(BRIEF).unwrap());
        let sending = async {
            for number in 0..MESSAGES {
                sender.send(&MessageRef::new(&number.to_string())).await.unwrap();
            }
        };
        let receiving = async {
            let mut seen = BTreeSet::new();
            while seen.len() < MESSAGES as usize {
                let message = receiver.receive(SOON).await.unwrap().expect("a message");
                seen.insert(message.text().unwrap().parse::<u32>().unwrap());
                // A completion whose answer was lost is tried again by its token, which then is gone.
                let result = receiver.complete(&message).await;
                let lost = failed_for(&result, Told::Service(Reason::MessageLockLost));
                assert!(result.is_ok() || lost, "{result:?}");
            }
        };
        let cutting = async {
            for _ in 0..8 {
                bench.sleep(Duration::from_millis(7)).await;
                bench.proxy.cut();
            }
        };
        join3(sending, receiving, cutting).await;
        // Twice sent ones may be left. Locks of messages that were on their way to a lost connection run out.
        client.close().await;
        bench.until("no lock stays", || bench.counts(BRIEF).locks == 0).await;
        assert!(bench.counts(BRIEF).active <= 8, "{:?}", bench.counts(BRIEF));
        assert_eq!(bench.counts(BRIEF), Counts { active: bench.counts(BRIEF).active, ..Counts::default() });
    });
}

pub(crate) fn tokens_come_from_a_credential<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let refusing = A::connect_with_token(Connection::new(bench.connection_string(), RetryPolicy::none()), None);
        let refused = refusing.sender(QUEUE).unwrap().send(&MessageRef::new("lost")).await;
        assert!(failed_for(&refused, Told::Kind(ErrorKind::Credential)), "{refused:?}");
        refusing.close().await;
        let token = "a token of somebody else's".to_owned();
        let connection = Connection::new(bench.connection_string(), RetryPolicy::none());
        let client = A::connect_with_token(connection, Some(token));
        let refused = client.sender(QUEUE).unwrap().send(&MessageRef::new("lost")).await;
        // The emulator knows no such token, and says so: it has travelled.
        assert!(failed_for(&refused, Told::Service(Reason::AuthFailed)), "{refused:?}");
        assert!(bench.emulator.statistics().tokens_refused > 0);
        client.close().await;
    });
}
