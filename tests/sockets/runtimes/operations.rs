//! Every operation of the client.

use crate::adapter::{Adapter, Connection};
use crate::bench::{Bench, Counts, MOMENT, QUEUE, SESSIONS, SOON, SUBSCRIPTION, TOPIC, active, failed_for};
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use servicebus_core::client::{
    DeadLetterOptions, ErrorKind, ProcessorMessage, ReceiverOptions, SessionProcessorOptions, SessionReceiver,
};
use servicebus_core::machine::ReceiveMode;
use servicebus_core::servicebus::{
    Argument, Body, CorrelationRuleFilterRef, Disposition, Entity, LockToken, MessageRef, Reason, RetryPolicy, Rule,
    RuleFilterRef, RuleRef,
};
use servicebus_core::time::Duration;
use servicebus_core::wire::{Uuid, Value, message as wire};
use servicebus_tests::handler::handler;
use servicebus_tests::told::Told;
use std::cell::RefCell;
use std::convert::Infallible;

pub(crate) fn a_message_goes_round<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        let properties = [("number", Value::Int(-7)), ("text", Value::String("ü"))];
        let message = MessageRef::new("hello")
            .with_message_id("id")
            .with_correlation_id("correlation")
            .with_subject("subject")
            .with_to("to")
            .with_reply_to("reply")
            .with_reply_to_session_id("reply-session")
            .with_partition_key("partition")
            .with_content_type("text/plain")
            .with_time_to_live(Duration::from_secs(600))
            .with_properties(&properties);
        sender.send(&message).await.unwrap();
        let receiver = client.receiver(QUEUE).unwrap();
        let received = receiver.receive(SOON).await.unwrap().expect("a message");
        assert_eq!(received.text().ok(), Some("hello"));
        assert_eq!(received.message_id(), Some("id".into()));
        assert_eq!(received.correlation_id(), Some("correlation".into()));
        assert_eq!(received.subject(), Some("subject"));
        assert_eq!(received.to(), Some("to"));
        assert_eq!(received.reply_to(), Some("reply"));
        assert_eq!(received.reply_to_session_id(), Some("reply-session"));
        assert_eq!(received.partition_key(), Some("partition"));
        assert_eq!(received.content_type(), Some("text/plain"));
        assert_eq!(received.time_to_live(), Some(Duration::from_secs(600)));
        assert_eq!(received.property("number"), Some(Value::Int(-7)));
        assert_eq!(received.property("text"), Some(Value::String("ü")));
        assert_eq!(received.delivery_count(), 0);
        assert!(received.lock_token().is_some() && received.locked_until().is_some());
        assert_eq!(bench.counts(QUEUE), Counts { active: 1, locks: 1, ..Counts::default() });
        receiver.complete(&received).await.unwrap();
        bench.until_counts(QUEUE, active(0)).await;
        assert!(receiver.receive(MOMENT).await.unwrap().is_none());
        client.close().await;
    });
}

pub(crate) fn a_large_message<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let large = vec![0x5a; 200_000];
        sender.send(&MessageRef::new(&large)).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.data(), large);
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

pub(crate) fn bodies_of_every_kind<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let data = vec![0x5a; 1_000];
        sender.send(&MessageRef::new(&data)).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.data(), data);
        receiver.complete(&message).await.unwrap();
        sender.send(&MessageRef::new("")).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert!(message.data().is_empty());
        receiver.complete(&message).await.unwrap();
        sender.send(&MessageRef::from_body(Body::Value(Value::Long(1 << 40)))).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert!(matches!(message.body(), Ok(wire::Body::Value(Value::Long(n))) if n == 1 << 40));
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

pub(crate) fn messages_travel_together<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        assert_eq!(sender.size_limits().await.unwrap().message, 256 * 1024);
        sender.send_all(&[MessageRef::new("0"), MessageRef::new("1")]).await.unwrap();
        let mut batch = sender.create_batch().await.unwrap();
        for body in ["2", "3", "4"] {
            batch.try_add(&MessageRef::new(body)).unwrap();
        }
        sender.send_batch(batch).await.unwrap();
        sender.send_all(&[""; 0]).await.unwrap();
        assert_eq!(bench.drain(QUEUE, 5).await, ["0", "1", "2", "3", "4"]);
        client.close().await;
    });
}

pub(crate) fn many_calls_at_once<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let texts: Vec<String> = (0..A::AT_ONCE).map(|n| n.to_string()).collect();
        let send = join_all(texts.iter().map(|text| async { sender.send(&MessageRef::new(text)).await.unwrap() }));
        let receive = join_all((0..4).map(|_| async {
            let mut got = Vec::new();
            for _ in 0..A::AT_ONCE / 4 {
                let message = receiver.next().await.unwrap();
                receiver.complete(&message).await.unwrap();
                got.push(message.text().unwrap().parse::<u32>().unwrap());
            }
            got
        }));
        let (_, got) = join(send, receive).await;
        let mut got: Vec<u32> = got.into_iter().flatten().collect();
        got.sort_unstable();
        assert_eq!(got, (0..A::AT_ONCE).collect::<Vec<u32>>());
        bench.until_counts(QUEUE, active(0)).await;
        assert_eq!(bench.emulator.statistics().connections_accepted, 1);
        client.close().await;
    });
}

pub(crate) fn messages_settle_in_every_way<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let note = [("note", Value::String("changed"))];

        sender.send(&MessageRef::new("abandoned")).await.unwrap();
        let message = receiver.next().await.unwrap();
        receiver.abandon(&message).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!(message.delivery_count(), 1);
        receiver.abandon_with(&message, &note).await.unwrap();
        let message = receiver.next().await.unwrap();
        assert_eq!((message.delivery_count(), message.property("note")), (2, Some(note[0].1)));
        receiver.complete(&message).await.unwrap();

        sender.send_all(&[MessageRef::new("deferred"), MessageRef::new("deferred too")]).await.unwrap();
        let message = receiver.next().await.unwrap();
        receiver.defer(&message).await.unwrap();
        let other = receiver.next().await.unwrap();
        receiver.defer_with(&other, &note).await.unwrap();
        let numbers = [message.sequence_number().unwrap(), other.sequence_number().unwrap()];
        assert!(receiver.receive(MOMENT).await.unwrap().is_none());
        let deferred = receiver.receive_deferred(&numbers).await.unwrap();
        assert_eq!(
            deferred.iter().map(|message| message.text().ok()).collect::<Vec<_>>(),
            [Some("deferred"), Some("deferred too")]
        );
        assert_eq!(deferred[1].property("note"), Some(note[0].1));
        for message in &deferred {
            receiver.complete(message).await.unwrap();
        }
        let again = receiver.receive_deferred(&numbers).await;
        assert!(failed_for(&again, Told::Service(Reason::MessageNotFound)), "{again:?}");

        sender.send(&MessageRef::new("dead")).await.unwrap();
        let message = receiver.next().await.unwrap();
        let options =
            DeadLetterOptions::new().with_reason("reason").with_description("description").with_properties(&note);
        receiver.dead_letter(&message, options).await.unwrap();
        assert_eq!(bench.counts(QUEUE), Counts { dead_letter: 1, ..Counts::default() });
        let options = ReceiverOptions::new(Entity::queue(QUEUE).dead_letter());
        let dead = client.receiver(options).unwrap();
        let message = dead.receive(SOON).await.unwrap().expect("a dead letter");
        assert_eq!(message.dead_letter_reason(), Some("reason"));
        assert_eq!(message.dead_letter_description(), Some("description"));
        assert_eq!(message.property("note"), Some(note[0].1));
        dead.complete(&message).await.unwrap();

        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn a_message_is_settled_once<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.send(&MessageRef::new("once")).await.unwrap();
        let message = receiver.next().await.unwrap();
        receiver.complete(&message).await.unwrap();
        let again = receiver.complete(&message).await;
        assert!(failed_for(&again, Told::Service(Reason::MessageLockLost)), "{again:?}");
        client.close().await;
    });
}

pub(crate) fn locks_are_renewed_and_settled_by_token<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.send_all(&[MessageRef::new("a"), MessageRef::new("b")]).await.unwrap();
        let mut message = receiver.next().await.unwrap();
        let before = message.locked_until().unwrap();
        bench.sleep(Duration::from_millis(5)).await;
        let until = receiver.renew_lock(&mut message).await.unwrap();
        assert!(until > before && message.locked_until() == Some(until));
        receiver.renew_lock_by_token(message.lock_token().unwrap()).await.unwrap();
        // Another client, which never saw the message.
        let other = bench.client();
        let other_receiver = other.receiver(QUEUE).unwrap();
        other_receiver.settle_by_token(message.lock_token().unwrap(), Disposition::Complete).await.unwrap();
        let lost = receiver.renew_lock(&mut message).await;
        assert!(failed_for(&lost, Told::Service(Reason::MessageLockLost)), "{lost:?}");
        client.close().await;
        other.close().await;
        assert_eq!(bench.drain(QUEUE, 1).await, ["b"]);
    });
}

pub(crate) fn received_and_deleted<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        sender.send_all(&texts.iter().map(MessageRef::new).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(bench.drain(QUEUE, 20).await, texts);
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn messages_as_a_stream<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.send_all(&[MessageRef::new("0"), MessageRef::new("1"), MessageRef::new("2")]).await.unwrap();
        let mut messages = receiver.messages();
        for expected in ["0", "1", "2"] {
            let message = messages.next().await.expect("it never ends").unwrap();
            assert_eq!(message.text().ok(), Some(expected));
            receiver.complete(&message).await.unwrap();
        }
        drop(messages);
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn prefetched_messages_are_kept_ready<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(QUEUE).unwrap();
        for _ in 0..10 {
            sender.send(&MessageRef::new("early")).await.unwrap();
        }
        let options = ReceiverOptions::new(QUEUE).with_prefetch(6);
        let receiver = client.receiver(options).unwrap();
        bench.until_counts(QUEUE, Counts { active: 10, locks: 6, ..Counts::default() }).await;
        for _ in 0..10 {
            let message = receiver.receive(SOON).await.unwrap().expect("a message");
            receiver.complete(&message).await.unwrap();
        }
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn messages_are_scheduled_and_cancelled<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let now = sender.now();
        let number = sender.schedule(&MessageRef::new("later"), now + Duration::from_secs(3_600)).await.unwrap();
        let messages = [MessageRef::new("b"), MessageRef::new("c").with_message_id("own")];
        let numbers = sender.schedule_all(&messages, now + Duration::from_secs(3_600)).await.unwrap();
        assert_eq!(numbers.len(), 2);
        assert_eq!(bench.counts(QUEUE), Counts { scheduled: 3, ..Counts::default() });
        sender.cancel_scheduled(&[number, numbers[0], numbers[1]]).await.unwrap();
        assert_eq!(bench.counts(QUEUE), active(0));
        let gone = sender.cancel_scheduled(&[number]).await;
        assert!(failed_for(&gone, Told::Service(Reason::MessageNotFound)), "{gone:?}");
        sender.schedule(&MessageRef::new("soon"), sender.now() + Duration::from_millis(40)).await.unwrap();
        let message = receiver.receive(SOON).await.unwrap().expect("its time has come");
        assert_eq!(message.text().ok(), Some("soon"));
        receiver.complete(&message).await.unwrap();
        client.close().await;
    });
}

pub(crate) fn messages_are_peeked_and_deleted<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        for text in ["a", "b", "c"] {
            sender.send(&MessageRef::new(text)).await.unwrap();
        }
        let peeked = receiver.peek(0, 10).await.unwrap();
        assert_eq!(peeked.iter().map(|message| message.text().unwrap()).collect::<String>(), "abc");
        let second = peeked[1].sequence_number().unwrap();
        let peeked = receiver.peek(second, 1).await.unwrap();
        assert_eq!(peeked[0].text().ok(), Some("b"));
        assert!(receiver.peek(second + 100, 1).await.unwrap().is_empty());
        bench.until_counts(QUEUE, active(3)).await;
        let later = sender.now() + Duration::from_secs(60);
        assert_eq!(receiver.delete_messages(2, later).await.unwrap(), 2);
        assert_eq!(receiver.purge(later).await.unwrap(), 1);
        bench.until_counts(QUEUE, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn sessions_are_opened_and_closed_by_a_processor<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(SESSIONS).unwrap();
        for session in ["one", "two"] {
            sender.send(&MessageRef::new("x").with_session_id(session)).await.unwrap();
        }
        let options = SessionProcessorOptions::new().with_max_concurrent_sessions(1).with_session_idle_timeout(MOMENT);
        let processor = client.session_processor(Entity::queue(SESSIONS), options);
        let control = processor.control();
        let calls = RefCell::new(Vec::new());
        let opened = handler(async |session: SessionReceiver<A::Runtime>| {
            calls.borrow_mut().push(format!("{} opened", session.session_id()));
            Ok::<_, &str>(())
        });
        let message = handler(async |message: ProcessorMessage<A::Runtime>| {
            calls.borrow_mut().push(message.session_id().unwrap_or_default().to_owned());
            Ok::<_, &str>(())
        });
        let closing = handler(async |session: SessionReceiver<A::Runtime>| {
            calls.borrow_mut().push(format!("{} closing", session.session_id()));
            if session.session_id() == "two" {
                control.stop();
            }
            Ok::<_, Infallible>(())
        });
        let processor = processor.on_session_opened(opened).on_session_closing(closing);
        processor.on_error(|error| panic!("{error}")).run_inline(message).await.unwrap();
        assert_eq!(*calls.borrow(), ["one opened", "one", "one closing", "two opened", "two", "two closing"]);
        bench.until_counts(SESSIONS, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn sessions_change_hands<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let (client, other) = (bench.client(), bench.client());
        let sender = client.sender(SESSIONS).unwrap();
        for text in ["a", "b"] {
            sender.send(&MessageRef::new(text).with_session_id("one")).await.unwrap();
        }
        let entity = || Entity::queue(SESSIONS);
        let next = client.accept_next_non_exclusive_session(entity(), SOON).await.unwrap();
        let first = next.expect("a session");
        assert_eq!(first.session_id(), "one");
        let message = first.receive(SOON).await.unwrap().expect("a message");
        let token = first.lock_token().expect("a token");
        let second = other.take_over_session(entity(), "one", token).await.unwrap();
        assert_eq!(second.lock_token(), Some(token));
        let lost = first.receive(SOON).await;
        assert!(failed_for(&lost, Told::Service(Reason::SessionLockLost)), "{lost:?}");
        second.complete(&message).await.unwrap();
        let message = second.receive(SOON).await.unwrap().expect("a message");
        assert_eq!(message.text().ok(), Some("b"));
        second.complete(&message).await.unwrap();
        second.set_state(Some(b"done")).await.unwrap();
        second.renew_session_lock().await.unwrap();
        bench.until_counts(SESSIONS, active(0)).await;
        let stale = other.take_over_session(entity(), "one", LockToken::from_uuid(Uuid([0; 16]))).await;
        assert!(failed_for(&stale, Told::Service(Reason::SessionLockLost)), "{stale:?}");
        second.close().await;
        let named = client.accept_non_exclusive_session(entity(), "one").await.unwrap();
        named.set_state(None).await.unwrap();
        client.close().await;
        other.close().await;
    });
}

pub(crate) fn sessions<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(SESSIONS).unwrap();
        for (session, text) in [("one", "1a"), ("two", "2a"), ("one", "1b")] {
            sender.send(&MessageRef::new(text).with_session_id(session)).await.unwrap();
        }
        let entity = || Entity::queue(SESSIONS);
        let one = client.accept_session(entity(), "one").await.unwrap();
        assert_eq!(one.session_id(), "one");
        let before = one.locked_until().expect("a lock");
        bench.sleep(Duration::from_millis(5)).await;
        assert!(one.renew_session_lock().await.unwrap() > before);
        for text in ["1a", "1b"] {
            let message = one.receive(SOON).await.unwrap().expect("a message");
            assert_eq!((message.text().ok(), message.session_id()), (Some(text), Some("one")));
            one.complete(&message).await.unwrap();
        }
        assert!(one.state().await.unwrap().is_none());
        one.set_state(Some(b"half-way")).await.unwrap();
        assert_eq!(one.state().await.unwrap().unwrap().as_ref(), b"half-way");

        let next = client.accept_next_session(entity(), SOON).await.unwrap();
        let next = next.expect("a session");
        assert_eq!(next.session_id(), "two");
        assert_eq!(next.peek(0, 10).await.unwrap().len(), 1);
        let none = client.accept_next_session(entity(), MOMENT).await.unwrap();
        assert!(none.is_none());
        let mut names = client.list_sessions(entity(), None).await.unwrap();
        names.sort();
        assert_eq!(names, ["one", "two"]);

        let hasty = bench.client_with(Connection::new(bench.connection_string(), RetryPolicy::none()));
        let held = hasty.accept_session(entity(), "one").await;
        assert!(failed_for(&held, Told::Service(Reason::SessionCannotBeLocked)), "{held:?}");
        one.close().await;
        let again = hasty.accept_session(entity(), "one").await.unwrap();
        again.set_state(None).await.unwrap();
        assert!(again.state().await.unwrap().is_none());
        drop(next);
        client.close().await;
        hasty.close().await;
    });
}

pub(crate) fn rules_choose_messages<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let rules = client.rule_manager(Entity::subscription(TOPIC, SUBSCRIPTION));
        rules.remove("$Default").await.unwrap();
        let red = CorrelationRuleFilterRef::new().with_subject("red");
        rules.add(&RuleRef::new("red", RuleFilterRef::Correlation(red))).await.unwrap();
        let large = RuleRef::new("large", RuleFilterRef::Sql("size > 10")).with_action("SET seen = TRUE");
        rules.add(&large).await.unwrap();
        let twice = rules.add(&large).await;
        assert!(failed_for(&twice, Told::Service(Reason::EntityAlreadyExists)), "{twice:?}");
        let mut names = Vec::new();
        rules.list_each(|rule| names.push(rule.name.to_owned())).await.unwrap();
        names.sort();
        assert_eq!(names, ["large", "red"]);
        let owned = rules.list().await.unwrap();
        assert_eq!(owned.iter().map(Rule::name).collect::<Vec<_>>(), names);
        assert_eq!(owned[0].action(), Some("SET seen = TRUE"));
        assert_eq!(owned[1].filter(), RuleFilterRef::Correlation(red));

        let sender = client.sender(TOPIC).unwrap();
        sender.send(&MessageRef::new("red one").with_subject("red")).await.unwrap();
        sender.send(&MessageRef::new("blue one").with_subject("blue")).await.unwrap();
        let size = [("size", Value::Int(11))];
        sender.send(&MessageRef::new("large one").with_properties(&size)).await.unwrap();
        let receiver = client.receiver(Entity::subscription(TOPIC, SUBSCRIPTION)).unwrap();
        let first = receiver.receive(SOON).await.unwrap().expect("a message");
        let second = receiver.receive(SOON).await.unwrap().expect("a message");
        assert_eq!((first.text().ok(), second.text().ok()), (Some("red one"), Some("large one")));
        assert_eq!(second.property("seen"), Some(Value::Boolean(true)));
        receiver.complete(&first).await.unwrap();
        receiver.complete(&second).await.unwrap();
        bench.until_counts(SUBSCRIPTION, active(0)).await;
        client.close().await;
    });
}

pub(crate) fn transactions<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let controller = client.transactions(QUEUE).unwrap();
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        sender.send(&MessageRef::new("in")).await.unwrap();
        let message = receiver.next().await.unwrap();

        let transaction = controller.begin().await.unwrap();
        transaction.send(&sender, &MessageRef::new("never")).await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        transaction.roll_back().await.unwrap();
        assert_eq!(bench.counts(QUEUE).active, 1);

        let transaction = controller.begin().await.unwrap();
        transaction.send(&sender, &MessageRef::new("never either")).await.unwrap();
        drop(transaction);
        bench.until("rolled back", || bench.emulator.with_broker(|broker, _| broker.open_transactions()) == 0).await;
        assert_eq!(bench.counts(QUEUE).active, 1);

        let transaction = controller.begin().await.unwrap();
        transaction.send(&sender, &MessageRef::new("out")).await.unwrap();
        transaction.complete(&receiver, &message).await.unwrap();
        assert_eq!(bench.counts(QUEUE).active, 1);
        transaction.commit().await.unwrap();
        controller.close().await;
        client.close().await;
        assert_eq!(bench.drain(QUEUE, 1).await, ["out"]);
    });
}

pub(crate) fn refusals_say_why<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client_with(Connection::new(bench.connection_string(), RetryPolicy::none()));
        let absent = client.sender("absent").unwrap().send(&MessageRef::new("lost")).await;
        assert!(failed_for(&absent, Told::Service(Reason::EntityNotFound)), "{absent:?}");
        let absent = client.receiver("absent").unwrap().receive(SOON).await;
        assert!(failed_for(&absent, Told::Service(Reason::EntityNotFound)), "{absent:?}");
        let large = vec![0; 300_000];
        let large = client.sender(QUEUE).unwrap().send(&MessageRef::new(&large)).await;
        assert!(large.is_err_and(|error| error.kind() == ErrorKind::TooLarge && error.reason().is_none()));
        let no_session = client.sender(SESSIONS).unwrap().send(&MessageRef::new("without a session")).await;
        assert!(no_session.is_err());
        let id = "x".repeat(200);
        let invalid = client.sender(QUEUE).unwrap().send(&MessageRef::new("").with_message_id(id.as_str())).await;
        assert!(failed_for(&invalid, Told::Argument(Argument::MessageId)), "{invalid:?}");
        client.close().await;

        let wrong = bench.connection_string().replace("SharedAccessKey=", "SharedAccessKey=wrong");
        let client = bench.client_with(Connection::new(wrong, RetryPolicy::none()));
        let refused = client.sender(QUEUE).unwrap().send(&MessageRef::new("lost")).await;
        assert!(failed_for(&refused, Told::Service(Reason::AuthFailed)), "{refused:?}");
        client.close().await;
        assert_eq!(bench.counts(QUEUE), active(0));
    });
}

pub(crate) fn over_tls<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let direct = bench.emulator.connection_string();
        let secure = direct.replace(&format!("localhost:{}", bench.emulator.amqp_address().port()), "localhost");
        let secure = secure.replace(";UseDevelopmentEmulator=true", "");
        let port = bench.emulator.tls_address().expect("it serves TLS").port();
        let connection = |authority: Option<String>| Connection {
            authority,
            endpoint: Some(("127.0.0.1".into(), port)),
            ..Connection::new(secure.clone(), RetryPolicy::none())
        };
        let client = bench.client_with(connection(bench.emulator.certificate_pem().map(str::to_owned)));
        let (sender, receiver) = (client.sender(QUEUE).unwrap(), client.receiver(QUEUE).unwrap());
        let large = vec![7; 100_000];
        let (sent, received) = join(
            async {
                for _ in 0..10 {
                    sender.send(&MessageRef::new(&large)).await.unwrap();
                }
            },
            async {
                for _ in 0..10 {
                    let message = receiver.next().await.unwrap();
                    assert_eq!(message.data(), large);
                    receiver.complete(&message).await.unwrap();
                }
            },
        )
        .await;
        let ((), ()) = (sent, received);
        client.close().await;
        bench.until("closed", || bench.emulator.statistics().connections_open == 0).await;

        // A certificate of an authority that nobody trusts.
        let client = bench.client_with(connection(None));
        let refused = client.sender(QUEUE).unwrap().send(&MessageRef::new("lost")).await;
        assert!(failed_for(&refused, Told::Kind(ErrorKind::Disconnected)), "{refused:?}");
        client.close().await;
    });
}

pub(crate) fn receive_modes_of_an_entity<A: Adapter>() {
    Bench::<A>::run(async |bench| {
        let client = bench.client();
        let sender = client.sender(TOPIC).unwrap();
        sender.send(&MessageRef::new("to the subscription")).await.unwrap();
        let options =
            ReceiverOptions::new(Entity::subscription(TOPIC, SUBSCRIPTION)).with_mode(ReceiveMode::ReceiveAndDelete);
        let receiver = client.receiver(options).unwrap();
        let message = receiver.receive(SOON).await.unwrap().expect("a message");
        assert_eq!((message.text().ok(), message.lock_token()), (Some("to the subscription"), None));
        assert_eq!(bench.counts(SUBSCRIPTION), active(0));
        client.close().await;
    });
}
