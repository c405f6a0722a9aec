//! Rows of docs/evidence/pinned-behaviour.md about sessions, locks, rules, transactions and deletion, through this
//! client.

use crate::stage::{MINUTE, SECOND, add_queue, counts, number, pair, play, send_numbers, world};
use servicebus_core::client::{DeadLetterOptions, ReceiverOptions, SessionReceiver};
use servicebus_core::machine::{ReceiveMode, Settings};
use servicebus_core::servicebus::{
    CorrelationRuleFilterRef, Disposition, Entity, MessageRef, Reason, RuleFilterRef, RuleRef,
};
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_simulation::{Simulated, World};
use std::cell::Cell;
use std::rc::Rc;

fn sessions() -> World {
    world(QueueDescription { requires_session: true, lock_duration: SECOND * 5, ..QueueDescription::default() })
}

async fn send_to(world: &World, sessions: &[&str]) {
    let client = world.client::<Heap>();
    let sender = client.sender("q").unwrap();
    for session in sessions {
        sender.send(&MessageRef::new(*session).with_session_id(session)).await.unwrap();
    }
    client.close().await;
}

async fn next(client: &servicebus_core::client::Client<Simulated<Heap>>) -> Option<SessionReceiver<Simulated<Heap>>> {
    client.accept_next_session(Entity::queue("q"), SECOND).await.unwrap()
}

#[test]
fn sessions_go_round_ses5_ses9_ses11_ses39_set28() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let began = world.clock().now;
        assert!(next(&client).await.is_none());
        assert!(world.clock().now.saturating_duration_since(began) < SECOND * 2);
        for _ in 0..10 {
            send_to(&world, &["a", "b", "c"]).await;
            for _ in 0..3 {
                let session = next(&client).await.expect("a session at once");
                session.complete(&session.next().await.unwrap()).await.unwrap();
                session.close().await;
            }
        }
        send_to(&world, &["a"]).await;
        let session = next(&client).await.expect("the session");
        let message = session.next().await.unwrap();
        world.cut();
        let failure = session.receive(SECOND).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        let failure = session.complete(&message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        // Again at once, with the same message.
        let session = client.accept_session(Entity::queue("q"), "a").await.unwrap();
        session.complete(&session.next().await.unwrap()).await.unwrap();
        client.close().await;
    });
}

#[test]
fn a_session_that_is_lost_is_somebody_elses_ses29_ses31_ses32_ses36_rad10() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        send_to(&world, &["a", "a", "a"]).await;
        let options = ReceiverOptions::new("q").with_mode(ReceiveMode::ReceiveAndDelete);
        let session = client.accept_session(options, "a").await.unwrap();
        let first = session.receive(SECOND).await.unwrap().expect("the first");
        let second = session.receive(SECOND).await.unwrap().expect("the second");
        assert!(first.sequence_number() < second.sequence_number());
        let until = session.locked_until().unwrap();
        world.sleep(SECOND).await;
        assert!(session.renew_session_lock().await.unwrap() > until);
        // Many requests at once on one link.
        let (session, done) = (Rc::new(session), Rc::new(Cell::new(0)));
        for _ in 0..500 {
            let (session, done) = (Rc::clone(&session), Rc::clone(&done));
            world.spawn(async move {
                session.renew_session_lock().await.unwrap();
                done.set(done.get() + 1);
            });
        }
        world.sleep(SECOND).await;
        assert_eq!(done.get(), 500);
        // Lost by time, taken by another.
        world.sleep(SECOND * 10).await;
        let other = world.client::<Heap>();
        let taken = other.accept_session(Entity::queue("q"), "a").await.unwrap();
        let mut settings: Settings<Heap> = world.settings();
        settings.retry.max_retries = 0;
        let third = world.client_with(settings);
        let failure = third.accept_session(Entity::queue("q"), "a").await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::SessionCannotBeLocked));
        // An update detaches; the session is accepted again and everything is there.
        world.broker(|broker, clock| {
            broker.with_namespace(clock, |namespace| {
                let queue = QueueDescription { requires_session: true, ..QueueDescription::default() };
                namespace.update_queue("q", queue, clock.utc).unwrap();
            });
        });
        world.sleep(SECOND).await;
        assert_eq!(taken.receive(SECOND).await.unwrap_err().reason(), Some(Reason::SessionLockLost));
        let again = other.accept_session(Entity::queue("q"), "a").await.unwrap();
        assert!(again.state().await.unwrap().is_none());
        again.complete(&again.next().await.unwrap()).await.unwrap();
        assert_eq!(counts(&world).active, 0);
        for client in [client, other, third] {
            client.close().await;
        }
    });
}

#[test]
fn locks_end_when_they_end_lck5_lck6_lck8() {
    let world = world(QueueDescription { lock_duration: SECOND * 5, ..QueueDescription::default() });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        let mut message = receiver.next().await.unwrap();
        for _ in 0..8 {
            world.sleep(SECOND * 4).await;
            receiver.renew_lock(&mut message).await.unwrap();
        }
        world.sleep(SECOND * 6).await;
        let failure = receiver.complete(&message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
        let message = receiver.next().await.unwrap();
        assert_eq!(message.delivery_count(), 1);
        world.sleep(SECOND * 6).await;
        let failure = receiver.complete(&message).await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::MessageLockLost));
        client.close().await;
    });
}

#[test]
fn rules_come_and_go_rul2_rul10_rul11_rul12_rul37_rul38_rul39_ses49() {
    let world = world(QueueDescription::default());
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_topic("t", Default::default(), clock.utc).unwrap();
            for (name, requires_session) in [("u", false), ("s", true)] {
                let description = SubscriptionDescription { requires_session, ..SubscriptionDescription::default() };
                namespace.create_subscription("t", name, description, None, clock.utc).unwrap();
            }
        });
    });
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let rules = client.rule_manager(Entity::subscription("t", "u"));
        let mut default = false;
        // The filter that takes everything is told as SQL.
        rules
            .list_each(|rule| default = rule.name == "$Default" && rule.filter == RuleFilterRef::Sql("1=1"))
            .await
            .unwrap();
        assert!(default || rules.list_each(|rule| assert_eq!(rule.filter, RuleFilterRef::True)).await.is_ok());
        rules.remove("$Default").await.unwrap();
        rules.add(&RuleRef::new("$Default", RuleFilterRef::False)).await.unwrap();
        let correlation = CorrelationRuleFilterRef::new().with_subject("red");
        rules.add(&RuleRef::new("a", RuleFilterRef::True)).await.unwrap();
        rules.add(&RuleRef::new("b", RuleFilterRef::True)).await.unwrap();
        rules.add(&RuleRef::new("c", RuleFilterRef::Sql("1=1"))).await.unwrap();
        rules.add(&RuleRef::new("d", RuleFilterRef::Correlation(correlation))).await.unwrap();
        assert_eq!(rules.list_each(|_| ()).await.unwrap(), 5);
        for name in ["a", "b", "c", "d"] {
            rules.remove(name).await.unwrap();
        }
        let filter = RuleFilterRef::Sql("sys.To = 'telemetry-event'");
        rules.add(&RuleRef::new("e", filter).with_action("SET sys.label='GREEN' SET a='b'")).await.unwrap();
        let sender = client.sender("t").unwrap();
        sender.send(&MessageRef::new("x").with_to("telemetry-event").with_session_id("one")).await.unwrap();
        let receiver = client.receiver(Entity::subscription("t", "u")).unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.subject(), Some("GREEN"));
        let mut listed = Vec::new();
        let entity = Entity::subscription("t", "s");
        client.list_sessions_each(entity, None, |id| listed.push(id.to_owned())).await.unwrap();
        assert_eq!(listed, ["one"]);
        client.close().await;
    });
}

#[test]
fn transactions_hold_together_txn3_txn9_txn11_txn15_def18() {
    let world = sessions();
    add_queue(&world, "plain", QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let controller = client.transactions("q").unwrap();
        let sender = client.sender("q").unwrap();
        for commit in [false, true] {
            let transaction = controller.begin().await.unwrap();
            transaction.send(&sender, &MessageRef::new("x").with_session_id("one")).await.unwrap();
            let two = MessageRef::new("y").with_session_id("two");
            transaction.schedule(&sender, &two, world.clock().utc).await.unwrap();
            assert!(next(&client).await.is_none());
            if commit {
                transaction.commit().await.unwrap();
            } else {
                transaction.roll_back().await.unwrap();
            }
        }
        for _ in 0..2 {
            let session = next(&client).await.expect("both sessions");
            session.complete(&session.next().await.unwrap()).await.unwrap();
            session.close().await;
        }
        assert!(next(&client).await.is_none());
        client.close().await;
        // Every disposition, and a deferred message by its token.
        let client = world.client::<Heap>();
        let controller = client.transactions("plain").unwrap();
        let (sender, receiver) = (client.sender("plain").unwrap(), client.receiver("plain").unwrap());
        send_numbers(&sender, 0..4).await;
        let messages = receiver.receive_messages(4, SECOND).await.unwrap();
        let transaction = controller.begin().await.unwrap();
        let dispositions = [
            Disposition::Complete,
            Disposition::Abandon { properties: &[] },
            Disposition::Defer { properties: &[] },
            Disposition::DeadLetter(DeadLetterOptions::new()),
        ];
        for (message, disposition) in messages.iter().zip(dispositions) {
            transaction.settle(&receiver, message, disposition).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let peeked = receiver.peek(0, 10).await.unwrap();
        let left: Vec<u32> = peeked.iter().map(|message| number(message.data())).collect();
        assert_eq!(left, [1, 2], "the abandoned and the deferred one");
        let deferred = messages[2].sequence_number().unwrap();
        for commit in [false, true] {
            let back = receiver.receive_deferred(&[deferred]).await.unwrap();
            let transaction = controller.begin().await.unwrap();
            transaction.complete(&receiver, &back[0]).await.unwrap();
            if commit {
                transaction.commit().await.unwrap();
                assert!(receiver.receive_deferred(&[deferred]).await.is_err());
            } else {
                transaction.roll_back().await.unwrap();
                receiver.abandon(&back[0]).await.unwrap();
            }
        }
        client.close().await;
    });
}

#[test]
fn messages_are_deleted_in_bulk_del5_del9_del10_del11_del12_del13() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = pair(&client);
        let before = world.clock().utc;
        for _ in 0..40 {
            sender.send_all(&[MessageRef::new("x"); 100]).await.unwrap();
        }
        sender.send(&MessageRef::new("last")).await.unwrap();
        world.sleep(SECOND).await;
        let now = world.clock().utc;
        assert_eq!(receiver.delete_messages(50, before).await.unwrap(), 0, "nothing is that old");
        assert_eq!(receiver.delete_messages(50, now).await.unwrap(), 50);
        assert_eq!(receiver.peek(0, 1).await.unwrap()[0].sequence_number(), Some(51), "the oldest first");
        assert_eq!(receiver.purge(now).await.unwrap(), 3_951);
        assert_eq!(counts(&world).total(), 0);
        client.close().await;
    });
}

#[test]
fn only_the_host_of_the_endpoint_matters_err14() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let text = "Endpoint=CheeseBurger://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
            SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";
        let client = world.client_with::<Heap>(Settings::new(text.into(), 3));
        let (sender, receiver) = pair(&client);
        send_numbers(&sender, 0..1).await;
        assert!(receiver.receive(Duration::from_secs(1)).await.unwrap().is_some());
        client.close().await;
    });
}

#[test]
fn a_session_outlives_a_minute_of_silence_err10_ses24() {
    let world = sessions();
    play(&world, async |world| {
        let client = world.client::<Heap>();
        send_to(&world, &["a"]).await;
        let session = next(&client).await.expect("the session");
        let message = session.next().await.unwrap();
        world.sleep(MINUTE).await;
        for failure in [
            session.complete(&message).await.unwrap_err(),
            session.renew_session_lock().await.unwrap_err(),
            session.state().await.unwrap_err(),
            session.receive(SECOND).await.unwrap_err(),
        ] {
            assert_eq!(failure.reason(), Some(Reason::SessionLockLost), "{failure}");
        }
        client.close().await;
    });
}

#[test]
fn deletion_stays_in_its_session_del16() {
    let world = sessions();
    play(&world, async |world| {
        send_to(&world, &["a", "b", "a", "b", "a"]).await;
        let client = world.client::<Heap>();
        let session = client.accept_session(Entity::queue("q"), "a").await.unwrap();
        world.sleep(SECOND).await;
        assert_eq!(session.delete_messages(500, world.clock().utc).await.unwrap(), 3);
        assert_eq!(counts(&world).active, 2);
        session.close().await;
        let session = client.accept_session(Entity::queue("q"), "b").await.unwrap();
        assert_eq!(session.next().await.unwrap().text().ok(), Some("b"));
        client.close().await;
    });
}
