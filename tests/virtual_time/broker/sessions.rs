//! Sessions: locks, order, state.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::{Uuid, Value};
use servicebus_emulator::broker::entities::{Namespace, QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;

fn world() -> (World, servicebus_core::engine::LinkId) {
    let mut world = World::new();
    world.queue("queue", QueueDescription { requires_session: true, ..QueueDescription::default() });
    world.queue("plain", QueueDescription::default());
    let c = world.connect();
    let sender = world.sender(c, "queue").unwrap();
    (world, sender)
}

fn send(world: &mut World, sender: servicebus_core::engine::LinkId, session: &str, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(world.send(0, sender, &MessageRef::new(*body).with_session_id(session)), Ended::Accepted);
    }
}

fn bodies(messages: &[Received]) -> Vec<String> {
    messages.iter().map(Received::body).collect()
}

#[test]
fn a_message_needs_a_session_id_and_an_empty_one_counts_snd5_snd6_snd7_ses14() {
    let (mut world, sender) = world();
    let Ended::Rejected(Some(failure)) = world.send(0, sender, &MessageRef::new("a")) else { panic!("not refused") };
    assert_eq!(failure.condition, "amqp:not-allowed");
    assert!(failure.text.starts_with("The SessionId was not set on a message, and it cannot be sent to the entity."));
    send(&mut world, sender, "", &["a"]);
    let link = world.session_receiver(0, "queue", Some(""), None).unwrap();
    assert_eq!(world.granted(0, link), "");
    assert_eq!(bodies(&world.receive(0, link, 1)), ["a"]);
}

#[test]
fn a_purge_leaves_sessions_with_their_holders_and_their_ends() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["1", "2"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    assert_eq!(bodies(&world.receive(0, link, 1)), ["1"]);
    let clock = world.clock;
    world.broker.with_namespace(clock, Namespace::purge);
    assert!(world.peek(0, "queue", 0, 10).is_empty());
    send(&mut world, sender, "s", &["3"]);
    assert!(world.session_receiver(0, "queue", Some("s"), None).is_err(), "it is held");
    assert_eq!(bodies(&world.receive(0, link, 1)), ["3"]);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.detached(0, link).unwrap().condition, "com.microsoft:session-lock-lost");
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let got = world.receive(0, link, 1);
    assert_eq!((bodies(&got), got[0].count()), (vec!["3".to_owned()], 1));
}

#[test]
fn the_lock_of_a_deferred_message_ends_though_nobody_holds_its_session() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["1"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let got = world.receive(0, link, 1).remove(0);
    let number = got.number();
    world.defer(0, &got);
    world.detach(0, link);
    let receive = |world: &mut World| {
        let clock = world.clock;
        world.broker.with_namespace(clock, |namespace| {
            let main = namespace.queue("queue").unwrap().stores.main;
            namespace.receive_deferred(main, &[number], None, true, clock.utc).is_ok()
        })
    };
    assert!(receive(&mut world) && !receive(&mut world));
    world.advance(Duration::from_secs(61));
    assert!(receive(&mut world));
}

#[test]
fn renewing_a_message_of_a_session_tells_the_end_of_the_sessions_lock_ses26() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["1"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let token = world.receive(0, link, 1).remove(0).token;
    world.advance(Duration::from_secs(30));
    let clock = world.clock;
    let until = world.broker.with_namespace(clock, |namespace| {
        let main = namespace.queue("queue").unwrap().stores.main;
        namespace.renew(&[main], token, clock.utc)
    });
    assert_eq!(until.unwrap(), START + Duration::from_secs(60));
    world.advance(Duration::from_secs(31));
    assert_eq!(world.detached(0, link).unwrap().condition, "com.microsoft:session-lock-lost");
}

#[test]
fn the_detach_of_an_accept_that_waits_is_answered() {
    let (mut world, sender) = world();
    for _ in 0..3 {
        let link = world.begin_session_receiver(0, "queue", None, None);
        world.settle_down();
        world.detach(0, link);
        world.with_attach(0, link, |attach| assert!(attach.source.is_none()));
        assert!(world.is_detached(0, link) && world.detached(0, link).is_none(), "answered without an error");
    }
    // Nobody who has gone gets the session.
    send(&mut world, sender, "s", &["1"]);
    let link = world.session_receiver(0, "queue", None, None).unwrap();
    assert_eq!(world.granted(0, link), "s");
}

#[test]
fn a_named_session_is_granted_with_the_end_of_its_lock_ses1_ses13_ses33() {
    let (mut world, sender) = world();
    send(&mut world, sender, "other", &["x"]);
    send(&mut world, sender, "mine", &["1", "2", "3"]);
    let link = world.session_receiver(0, "queue", Some("mine"), None).unwrap();
    assert_eq!(world.granted(0, link), "mine");
    world.with_attach(0, link, |attach| {
        let until = attach.properties.unwrap().get("com.microsoft:locked-until-utc").unwrap();
        let Value::Long(ticks) = until else { panic!("{until:?} is no long") };
        assert_eq!(Timestamp::from_dotnet_ticks(ticks), START + Duration::from_secs(60));
    });
    let got = world.receive_now(0, link, 10);
    assert_eq!(bodies(&got), ["1", "2", "3"]);
    // Messages of a session have the annotation too (docs/evidence/service-evidence.md §12).
    assert_eq!(got[0].locked_until(), START + Duration::from_secs(60));
    let empty = world.session_receiver(0, "queue", Some("nobody"), None).unwrap();
    assert!(world.receive_now(0, empty, 1).is_empty());
}

#[test]
fn a_session_that_somebody_holds_cannot_be_locked_ses3_ses4_ses37() {
    let (mut world, _) = world();
    let other = world.connect();
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    for client in [0, other] {
        let failure = world.session_receiver(client, "queue", Some("s"), None).unwrap_err();
        assert_eq!(failure.condition, "com.microsoft:session-cannot-be-locked");
        let text = "The requested session 's' cannot be accepted. It may be locked by another receiver.";
        assert!(failure.text.starts_with(text));
    }
    world.session_receiver(other, "queue", Some("t"), None).unwrap();
    // Closing releases at once (SES10).
    world.detach(0, link);
    world.session_receiver(other, "queue", Some("s"), None).unwrap();
}

#[test]
fn the_next_session_is_one_with_messages_that_nobody_holds_ses2_ses8() {
    let (mut world, sender) = world();
    for session in ["a", "b", "c"] {
        send(&mut world, sender, session, &["x"]);
    }
    let mut granted = Vec::new();
    for _ in 0..3 {
        let link = world.session_receiver(0, "queue", None, Some(1_000)).unwrap();
        granted.push(world.granted(0, link));
    }
    assert_eq!(granted, ["a", "b", "c"]);
    let waiting = world.begin_session_receiver(0, "queue", None, Some(1_000));
    world.settle_down();
    assert_eq!(world.attached(0, waiting).unwrap_err().condition, "pending");
    world.advance(Duration::from_secs(1));
    let failure = world.attached(0, waiting).unwrap_err();
    assert_eq!(failure.condition, "com.microsoft:timeout");
    assert!(failure.text.starts_with("The operation did not complete within the allotted timeout of 00:00:01."));
}

#[test]
fn the_next_session_is_the_one_whose_oldest_message_has_waited_longest() {
    let (mut world, sender) = world();
    // The session with the oldest message has the newest one too.
    for session in ["b", "a", "c", "b"] {
        send(&mut world, sender, session, &["x"]);
    }
    let mut granted = Vec::new();
    for _ in 0..3 {
        let link = world.session_receiver(0, "queue", None, Some(1_000)).unwrap();
        granted.push(world.granted(0, link));
    }
    assert_eq!(granted, ["b", "a", "c"]);
}

#[test]
fn a_message_of_a_session_expires_whether_or_not_the_session_is_held() {
    let (mut world, sender) = world();
    let minute = Duration::from_secs(60);
    for session in ["held", "free"] {
        let message = MessageRef::new("short").with_session_id(session).with_time_to_live(minute / 2);
        assert_eq!(world.send(0, sender, &message), Ended::Accepted);
        send(&mut world, sender, session, &["long"]);
    }
    let held = world.session_receiver(0, "queue", Some("held"), None).unwrap();
    let left = |world: &World| {
        let namespace = world.broker.namespace();
        namespace.counts(&namespace.queue("queue").unwrap().stores).active
    };
    world.advance(minute / 2 - Duration::from_millis(1));
    assert_eq!(left(&world), 4);
    world.advance(Duration::from_millis(1));
    // By the timer: no receiver and no peek came for them.
    assert_eq!(left(&world), 2);
    assert_eq!(bodies(&world.receive_now(0, held, 10)), ["long"]);
}

#[test]
fn the_wait_for_a_session_is_65_seconds_by_default_and_ends_with_a_message_ses6_ses7() {
    let (mut world, sender) = world();
    let waiting = world.begin_session_receiver(0, "queue", None, None);
    world.advance(Duration::from_secs(64));
    assert_eq!(world.attached(0, waiting).unwrap_err().condition, "pending");
    send(&mut world, sender, "late", &["x"]);
    assert!(world.attached(0, waiting).is_ok());
    assert_eq!(world.granted(0, waiting), "late");
    // One that gave up holds nothing.
    let gone = world.begin_session_receiver(0, "queue", None, Some(500));
    world.advance(Duration::from_secs(1));
    assert_eq!(world.attached(0, gone).unwrap_err().condition, "com.microsoft:timeout");
    send(&mut world, sender, "new", &["x"]);
    let next = world.session_receiver(0, "queue", None, Some(500)).unwrap();
    assert_eq!(world.granted(0, next), "new");
}

#[test]
fn a_waiter_that_goes_away_leaves_the_session_to_others_ses7() {
    let (mut world, sender) = world();
    let other = world.connect();
    world.begin_session_receiver(other, "queue", None, None);
    world.settle_down();
    let id = world.clients[other].id;
    world.broker.disconnect(id, world.clock);
    world.clients.remove(other);
    send(&mut world, sender, "s", &["x"]);
    world.session_receiver(0, "queue", None, Some(100)).unwrap();
}

#[test]
fn plain_and_session_receivers_are_told_apart_ses15_ses16_pek18_err12() {
    let (mut world, _) = world();
    let failure = world.receiver(0, "queue").unwrap_err();
    assert_eq!(failure.condition, "amqp:not-allowed");
    assert!(failure.text.starts_with(
        "It is not possible for an entity that requires sessions to create a non-sessionful message receiver."
    ));
    let failure = world.session_receiver(0, "plain", Some("s"), None).unwrap_err();
    assert_eq!(failure.condition, "amqp:not-allowed");
    assert!(failure.text.starts_with("A sessionful message receiver cannot be created on an entity that does not"));
    // Its dead-letter queue is read with a plain receiver (DLQ2).
    world.receiver(0, "queue/$DeadLetterQueue").unwrap();
}

#[test]
fn closing_gives_unsettled_messages_back_uncounted_ses12_ses40() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a", "b"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    assert_eq!(world.receive(0, link, 1).len(), 1);
    world.detach(0, link);
    let link = world.session_receiver(0, "queue", None, Some(100)).unwrap();
    let got = world.receive(0, link, 2);
    assert_eq!(bodies(&got), ["a", "b"]);
    assert_eq!(got[0].count(), 0);
}

#[test]
fn a_lock_that_runs_out_is_told_once_and_counts_ses27_ses28_ses34_set3() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let message = world.receive(0, link, 1).remove(0);
    world.advance(Duration::from_secs(61));
    let failure = world.detached(0, link).expect("detached");
    assert_eq!(failure.condition, "com.microsoft:session-lock-lost");
    assert!(failure.text.starts_with("The session lock has expired on the MessageSession."));
    let session = [("session-id", Value::from("s"))];
    for operation in ["renew-session-lock", "set-session-state"] {
        let response = world.manage(0, "queue", operation, &session);
        assert_eq!((response.status(), response.condition()), (410, Some("com.microsoft:session-lock-lost")));
    }
    assert_eq!(world.update(0, "queue", message.token, "completed").status(), 410);
    let link = world.session_receiver(0, "queue", None, Some(100)).unwrap();
    let message = world.receive(0, link, 1).remove(0);
    assert_eq!(message.count(), 1);
    assert_eq!(world.complete(0, &message), Ended::Accepted);
}

#[test]
fn renewing_keeps_a_session_ses23_ses30_ses35() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let message = world.receive(0, link, 1).remove(0);
    for _ in 0..10 {
        world.advance(Duration::from_secs(50));
        let response = world.manage(0, "queue", "renew-session-lock", &[("session-id", "s".into())]);
        let until = response.body().get("expiration").unwrap().as_timestamp();
        assert_eq!(until, Some(world.clock.utc + Duration::from_secs(60)));
    }
    assert_eq!(world.complete(0, &message), Ended::Accepted);
}

#[test]
fn a_session_that_nobody_holds_cannot_be_renewed_ses25() {
    let (mut world, _) = world();
    let response = world.manage(0, "queue", "renew-session-lock", &[("session-id", "bogus".into())]);
    assert_eq!(response.status(), 410);
    assert!(response.text().starts_with("The session lock has expired on the MessageSession"));
    // Nor by another connection than the holder's.
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let other = world.connect();
    assert_eq!(world.manage(other, "queue", "renew-session-lock", &[("session-id", "s".into())]).status(), 410);
}

#[test]
fn renewing_the_lock_of_a_sessions_message_is_accepted_ses26() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let message = world.receive(0, link, 1).remove(0);
    assert_eq!(world.renew(0, "queue", &[message.token]).status(), 200);
}

#[test]
fn state_is_null_set_replaced_cleared_and_outlives_the_receiver_ses17_ses18_ses19_ses20_ses21_ses22() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let get = |world: &mut World| {
        let response = world.manage(0, "queue", "get-session-state", &[("session-id", "s".into())]);
        response.body().get("session-state").unwrap().as_bytes().map(<[u8]>::to_vec)
    };
    let set = |world: &mut World, state: Value<'_>| {
        let entries = [("session-id", Value::from("s")), ("session-state", state)];
        assert_eq!(world.manage(0, "queue", "set-session-state", &entries).status(), 200);
    };
    assert_eq!(get(&mut world), None);
    set(&mut world, Value::Binary(b"one"));
    world.consume(0, link).unwrap();
    set(&mut world, Value::Binary(b"two"));
    assert_eq!(get(&mut world), Some(b"two".to_vec()));
    world.detach(0, link);
    assert_eq!(get(&mut world), Some(b"two".to_vec()));
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    set(&mut world, Value::Null);
    assert_eq!(get(&mut world), None);
    set(&mut world, Value::Binary(b"three"));
    set(&mut world, Value::Binary(b""));
    assert_eq!(get(&mut world), None);
}

#[test]
fn sessions_are_listed_by_messages_or_state_and_by_time_of_state_ses47_ses48_ses50_ses51() {
    let (mut world, sender) = world();
    let list = |world: &mut World, after: Timestamp, skip: i32| {
        let entries =
            [("last-updated-time", Value::Timestamp(after)), ("skip", Value::Int(skip)), ("top", Value::Int(100))];
        let response = world.manage(0, "queue", "get-message-sessions", &entries);
        match response.body().get("sessions-ids") {
            Some(Value::Array(ids)) => {
                let ids: Vec<_> = ids.iter().map(|id| id.unwrap().as_str().unwrap().to_owned()).collect();
                // Where the next page begins.
                let next = response.body().get("skip").and_then(|skip| skip.as_i64());
                assert_eq!(next, Some(i64::from(skip) + ids.len() as i64));
                ids
            }
            _ => {
                assert_eq!(response.status(), 204);
                Vec::new()
            }
        }
    };
    let all = Timestamp::from_millis(253_402_300_800_000);
    assert!(list(&mut world, all, 0).is_empty());
    for i in 0..120 {
        send(&mut world, sender, &format!("m{i:03}"), &["x"]);
    }
    world.session_receiver(0, "queue", Some("state"), None).unwrap();
    let entries = [("session-id", Value::from("state")), ("session-state", Value::Binary(b"s"))];
    world.manage(0, "queue", "set-session-state", &entries);
    let mut ids = list(&mut world, all, 0);
    assert_eq!(ids.len(), 100);
    ids.extend(list(&mut world, all, 100));
    assert_eq!(ids.len(), 121);
    assert_eq!(list(&mut world, START - Duration::from_secs(1), 0), ["state"]);
    assert!(list(&mut world, START + Duration::from_secs(3_600), 0).is_empty());
}

#[test]
fn a_session_with_deferred_messages_only_is_not_offered_ses41_def16() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    let link = world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let message = world.receive_now(0, link, 1).remove(0);
    world.defer(0, &message);
    world.detach(0, link);
    assert_eq!(world.session_receiver(0, "queue", None, Some(10)).unwrap_err().condition, "pending");
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let encoded = longs(&[1]);
    let entries = [
        ("sequence-numbers", servicebus_core::wire::Reader::new(&encoded).value().unwrap()),
        ("receiver-settle-mode", Value::Uint(1)),
        ("session-id", "s".into()),
    ];
    let response = world.manage(0, "queue", "receive-by-sequence-number", &entries);
    assert_eq!(response.messages()[0].body(), "a");
}

#[test]
fn peek_sees_one_session_pek13_pek17() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    send(&mut world, sender, "t", &["b"]);
    let entries = |session: &'static str| {
        [
            ("from-sequence-number", Value::Long(0)),
            ("message-count", Value::Int(10)),
            ("session-id", Value::from(session)),
        ]
    };
    assert_eq!(bodies(&world.manage(0, "queue", "peek-message", &entries("t")).messages()), ["b"]);
    let plain = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(10))];
    assert_eq!(bodies(&world.manage(0, "queue", "peek-message", &plain).messages()), ["a", "b"]);
}

#[test]
fn a_request_for_a_session_receivers_link_is_about_its_session() {
    let (mut world, sender) = world();
    send(&mut world, sender, "s", &["a"]);
    send(&mut world, sender, "t", &["b"]);
    let link = world.session_receiver(0, "queue", Some("t"), None).unwrap();
    let name = world.with_attach(0, link, |attach| attach.name.to_owned());
    let ask = |world: &mut World, operation: &str, link: &str, entries: &[(&str, Value<'_>)]| {
        let properties = [("operation", Value::from(operation)), ("associated-link-name", link.into())];
        world.ask(0, "queue/$management", &properties, |out| put_map(out, entries), None)
    };
    let peek = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(10))];
    assert_eq!(bodies(&ask(&mut world, "com.microsoft:peek-message", &name, &peek).messages()), ["b"]);
    let other = ask(&mut world, "com.microsoft:peek-message", "another", &peek);
    assert_eq!(other.condition(), Some("amqp:not-allowed"));
    let message = world.receive(0, link, 1).remove(0);
    world.defer(0, &message);
    let encoded = longs(&[message.number()]);
    let numbers = [("sequence-numbers", servicebus_core::wire::Reader::new(&encoded).value().unwrap())];
    let deferred = ask(&mut world, "com.microsoft:receive-by-sequence-number", &name, &numbers);
    assert_eq!(bodies(&deferred.messages()), ["b"]);
}

#[test]
fn a_message_without_session_id_is_dead_lettered_by_a_subscription_with_sessions_dlq17() {
    let mut world = World::new();
    let description = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
    world.topic("topic", &[("sub", description)]);
    let c = world.connect();
    let sender = world.sender(c, "topic").unwrap();
    world.send_texts(c, sender, &["a"]);
    let dead = world.receiver(c, "topic/Subscriptions/sub/$DeadLetterQueue").unwrap();
    let message = world.receive_now(c, dead, 1).remove(0);
    let text = "Session enabled entity doesn't allow a message whose session identifier is null.";
    assert_eq!(message.property("DeadLetterErrorDescription"), Some(text.into()));
}

#[test]
fn order_starts_again_where_the_lock_was_lost_ses38() {
    let (mut world, sender) = world();
    let texts: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    send(&mut world, sender, "s", &texts);
    let mut seen = Vec::new();
    let link = world.session_receiver(0, "queue", None, Some(10)).unwrap();
    for _ in 0..5 {
        seen.push(world.consume(0, link).unwrap().body());
    }
    seen.push(world.receive(0, link, 1)[0].body());
    world.advance(Duration::from_secs(61));
    let link = world.session_receiver(0, "queue", None, Some(10)).unwrap();
    while let Some(message) = world.consume(0, link) {
        seen.push(message.body());
    }
    assert_eq!(seen.concat(), "01234556789");
}

#[test]
fn a_waiter_that_detaches_leaves_the_session_to_others_ses7() {
    let (mut world, sender) = world();
    let gone = world.begin_session_receiver(0, "queue", None, None);
    world.settle_down();
    let _ = world.clients[0].engine.detach(gone, true, None);
    world.settle_down();
    send(&mut world, sender, "s", &["x"]);
    let link = world.session_receiver(0, "queue", None, Some(100)).unwrap();
    assert_eq!(world.granted(0, link), "s");
}

#[test]
fn a_session_that_is_not_exclusive_is_taken_over_by_its_token_ses42_ses43_ses45_ses46() {
    let (mut world, sender) = world();
    let other = world.connect();
    send(&mut world, sender, "mine", &["1", "2"]);
    let first = world.shared_session_receiver(0, "queue", Some("mine"), None).unwrap();
    let (session, token) = world.granted_shared(0, first);
    assert_eq!(session, "mine");
    let received = world.receive(0, first, 1).remove(0);
    // Without the token it is held as any other is.
    for wanted in [None, Some(servicebus_core::servicebus::LockToken::from_uuid(Uuid([9; 16])))] {
        let failure = world.shared_session_receiver(other, "queue", Some("mine"), wanted).unwrap_err();
        let condition = if wanted.is_none() { "session-cannot-be-locked" } else { "session-lock-lost" };
        assert_eq!(failure.condition, format!("com.microsoft:{condition}"));
    }
    world.advance(Duration::from_secs(40));
    let second = world.shared_session_receiver(other, "queue", Some("mine"), Some(token)).unwrap();
    assert_eq!(world.granted_shared(other, second), ("mine".to_owned(), token));
    // The lock has one holder: the former one is told that it has lost it.
    assert_eq!(world.detached(0, first).unwrap().condition, "com.microsoft:session-lock-lost");
    world.advance(Duration::from_secs(40));
    assert!(world.detached(other, second).is_none(), "the lock was not extended");
    // What the former one received stays locked, and the new one settles it.
    assert_eq!(bodies(&world.receive_now(other, second, 10)), ["2"]);
    // Not by the former one, in the name of the session.
    let tokens = uuids(&[received.token]);
    let complete = [
        ("disposition-status", Value::from("completed")),
        ("lock-tokens", servicebus_core::wire::Reader::new(&tokens).value().unwrap()),
        ("session-id", "mine".into()),
    ];
    let response = world.manage(0, "queue", "update-disposition", &complete);
    assert_eq!((response.status(), response.condition()), (410, Some("com.microsoft:session-lock-lost")));
    assert_eq!(world.manage(other, "queue", "update-disposition", &complete).status(), 200);
    let state = [("session-id", Value::from("mine"))];
    assert_eq!(world.manage(other, "queue", "get-session-state", &state).status(), 200);
    world.detach(other, second);
    let after = world.session_receiver(0, "queue", Some("mine"), None).unwrap();
    assert_eq!(bodies(&world.receive_now(0, after, 10)), ["2"]);
}

#[test]
fn a_session_that_is_not_exclusive_may_be_any_ses46() {
    let (mut world, sender) = world();
    send(&mut world, sender, "a", &["1"]);
    let first = world.shared_session_receiver(0, "queue", None, None).unwrap();
    let (session, token) = world.granted_shared(0, first);
    assert_eq!(session, "a");
    // The token alone names the session.
    let second = world.shared_session_receiver(0, "queue", None, Some(token)).unwrap();
    assert_eq!(world.granted_shared(0, second), ("a".to_owned(), token));
    assert_eq!(bodies(&world.receive(0, second, 1)), ["1"]);
    // A lock that is over is not taken over, and an exclusive one has no token.
    world.detach(0, second);
    let failure = world.shared_session_receiver(0, "queue", None, Some(token)).unwrap_err();
    assert_eq!(failure.condition, "com.microsoft:session-lock-lost");
    let failure = world.shared_session_receiver(0, "plain", Some("a"), None).unwrap_err();
    assert_eq!(failure.condition, "amqp:not-allowed");
}

#[test]
fn the_new_holder_of_a_session_may_be_a_stranger_for_a_while_ses44() {
    let (mut world, sender) = world();
    world.broker.delay_take_over(Duration::from_secs(3));
    send(&mut world, sender, "mine", &["1"]);
    let first = world.shared_session_receiver(0, "queue", Some("mine"), None).unwrap();
    let token = world.granted_shared(0, first).1;
    let session = [("session-id", Value::from("mine"))];
    // It is no stranger that has taken nothing over.
    assert_eq!(world.manage(0, "queue", "renew-session-lock", &session).status(), 200);
    let other = world.connect();
    let second = world.shared_session_receiver(other, "queue", Some("mine"), Some(token)).unwrap();
    let response = world.manage(other, "queue", "renew-session-lock", &session);
    assert_eq!((response.status(), response.condition()), (410, Some("com.microsoft:session-lock-lost")));
    // Its link is well meanwhile.
    assert_eq!(bodies(&world.receive(other, second, 1)), ["1"]);
    world.advance(Duration::from_secs(3));
    assert_eq!(world.manage(other, "queue", "renew-session-lock", &session).status(), 200);
}

#[test]
fn a_filter_that_is_not_known_asks_for_no_session() {
    let (mut world, _) = world();
    world.broker.offer_non_exclusive_sessions(false);
    let failure = world.shared_session_receiver(0, "queue", Some("mine"), None).unwrap_err();
    assert_eq!(failure.condition, "amqp:not-allowed");
    assert!(failure.text.starts_with("It is not possible for an entity that requires sessions"), "{}", failure.text);
    let plain = world.shared_session_receiver(0, "plain", Some("mine"), None).unwrap();
    world.with_attach(0, plain, |attach| assert!(attach.properties.is_none()));
    world.broker.offer_non_exclusive_sessions(true);
    world.shared_session_receiver(0, "queue", Some("mine"), None).unwrap();
}
