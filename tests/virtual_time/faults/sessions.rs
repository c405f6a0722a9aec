//! Locks of sessions, and peeks at them.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::Tier;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_tests::broker::*;
use servicebus_tests::coordinator::Control;

const SUB: &str = "topic/Subscriptions/sub";

/// The queue `queue` and the subscription `sub` of `topic`, of sessions, with these locks.
fn world(lock_duration: Duration) -> World {
    let description = QueueDescription { requires_session: true, lock_duration, ..QueueDescription::default() };
    let mut world = World::with_queue(description);
    let description =
        SubscriptionDescription { requires_session: true, lock_duration, ..SubscriptionDescription::default() };
    world.topic("topic", &[("sub", description)]);
    world
}

fn send(world: &mut World, entity: &str, session: &str, bodies: &[&str]) {
    let sender = world.sender(0, if entity == SUB { "topic" } else { entity }).unwrap();
    for body in bodies {
        assert_eq!(world.send(0, sender, &MessageRef::new(*body).with_session_id(session)), Ended::Accepted);
    }
}

#[test]
fn a_session_lock_ends_whatever_credit_is_left_f14() {
    for entity in ["queue", SUB] {
        for (messages, credit, seconds) in [(1, 1, 5), (1, 2, 5), (1, 10, 5), (1, 100, 30), (2, 3, 60), (3, 3, 5)] {
            let mut world = world(Duration::from_secs(seconds));
            send(&mut world, entity, "s", &["a", "b", "c"][..messages]);
            let link = world.session_receiver(0, entity, Some("s"), None).unwrap();
            assert_eq!(world.receive(0, link, credit).len(), messages);
            world.advance(Duration::from_secs(2 * seconds));
            let lost = world.detached(0, link).map(|failure| failure.condition);
            let other = world.connect();
            let free = world.session_receiver(other, entity, Some("s"), None).is_ok();
            let ended = (Some("com.microsoft:session-lock-lost"), true);
            assert_eq!(
                (lost.as_deref(), free),
                ended,
                "{entity}: {messages} messages, credit {credit}, lock {seconds} s"
            );
        }
    }
}

#[test]
fn an_entity_of_sessions_is_peeked_without_a_session_f31() {
    for entity in ["queue", SUB] {
        for (from, count, expected) in [(0, 10, 4), (0, 1, 1), (2, 10, 3), (4, 10, 1), (0, 3, 3)] {
            let mut world = world(Duration::from_secs(60));
            send(&mut world, entity, "one", &["a", "b"]);
            send(&mut world, entity, "two", &["c", "d"]);
            let entries = [("from-sequence-number", Value::Long(from)), ("message-count", Value::Int(count))];
            let response = world.manage(0, entity, "peek-message", &entries);
            let seen = (response.status(), response.messages().len());
            assert_eq!(seen, (200, expected), "{count} of {entity} from {from}");
        }
    }
}

/// Waits for the next session on three connections; one message of a new session: who gets it, in twenty rounds.
#[test]
fn no_order_is_promised_to_receivers_that_wait_for_a_session_f66() {
    for entity in ["queue", SUB] {
        let mut world = world(Duration::from_secs(60));
        let clients = [world.connect(), world.connect(), world.connect()];
        let mut granted = [0; 3];
        for round in 0..20 {
            let waits = clients.map(|client| world.begin_session_receiver(client, entity, None, Some(30_000)));
            world.settle_down();
            send(&mut world, entity, &round.to_string(), &["a"]);
            for (place, client) in clients.into_iter().enumerate() {
                if world.attached(client, waits[place]).is_ok() {
                    granted[place] += 1;
                    let message = world.receive(client, waits[place], 1).remove(0);
                    assert_eq!(world.complete(client, &message), Ended::Accepted);
                }
                world.detach(client, waits[place]);
            }
        }
        assert_eq!(granted.iter().sum::<i32>(), 20, "{entity}: one receiver gets each session");
        assert!(granted.iter().all(|count| *count > 0), "{entity}: {granted:?}");
    }
}

#[test]
fn a_session_is_taken_over_with_its_own_token_only_f76() {
    for entity in ["queue", SUB] {
        let mut world = world(Duration::from_secs(60));
        let second = world.connect();
        let one = world.shared_session_receiver(0, entity, Some("one"), None).unwrap();
        let other = world.shared_session_receiver(0, entity, Some("other"), None).unwrap();
        let (_, token) = world.granted_shared(0, one);
        let (_, foreign) = world.granted_shared(0, other);
        let unknown = servicebus_core::servicebus::LockToken::from_uuid(servicebus_core::wire::Uuid([7; 16]));
        for (session, token) in [(Some("one"), foreign), (Some("one"), unknown), (None, unknown), (Some("new"), token)]
        {
            let refused = world.shared_session_receiver(second, entity, session, Some(token)).unwrap_err();
            assert_eq!(refused.condition, "com.microsoft:session-lock-lost", "{session:?} at {entity}");
        }
        // The holders keep their sessions, and the right token takes one over.
        assert_eq!((world.detached(0, one), world.detached(0, other)), (None, None));
        let taken = world.shared_session_receiver(second, entity, None, Some(token)).unwrap();
        assert_eq!(world.granted_shared(second, taken), ("one".to_owned(), token));
    }
}

#[test]
fn a_deferred_message_of_a_session_is_locked_as_long_as_the_session_f76() {
    for entity in ["queue", SUB] {
        for seconds in [0, 20, 50] {
            let mut world = world(Duration::from_secs(60));
            send(&mut world, entity, "s", &["a"]);
            let link = world.session_receiver(0, entity, Some("s"), None).unwrap();
            let message = world.receive_now(0, link, 1).remove(0);
            world.defer(0, &message);
            let end = world.clock.utc + Duration::from_secs(60);
            world.advance(Duration::from_secs(seconds));
            let numbers = longs(&[message.number()]);
            let entries = [
                ("sequence-numbers", servicebus_core::wire::Reader::new(&numbers).value().unwrap()),
                ("receiver-settle-mode", Value::Uint(1)),
                ("session-id", Value::from("s")),
            ];
            let response = world.manage(0, entity, "receive-by-sequence-number", &entries);
            assert_eq!(response.messages()[0].locked_until(), end, "{entity} after {seconds} s");
        }
    }
}

fn set_state(world: &mut World, entity: &str, session: &str, state: &[u8], txn: Option<&[u8]>) -> Response {
    let entries = [("session-id", Value::from(session)), ("session-state", Value::Binary(state))];
    world.manage_in(0, entity, "set-session-state", &entries, txn)
}

#[test]
fn the_state_of_a_session_may_be_as_large_as_a_message_f80() {
    const KB: usize = 1 << 10;
    for (tier, of_entity, limit) in [
        (Tier::Standard, None, 256 * KB),
        (Tier::Premium, None, 1_024 * KB),
        (Tier::Premium, Some(3_000), 3_000 * KB),
        (Tier::Standard, Some(1_024), 1_024 * KB),
        (Tier::Standard, Some(10), 10 * KB),
    ] {
        for entity in ["queue", SUB] {
            let mut world = World::of_tier(tier);
            let max_message_size_in_kilobytes = of_entity;
            let queue = QueueDescription {
                requires_session: true,
                max_message_size_in_kilobytes,
                ..QueueDescription::default()
            };
            world.queue("queue", queue);
            let clock = world.clock;
            world.broker.with_namespace(clock, |namespace| {
                let topic = TopicDescription { max_message_size_in_kilobytes, ..TopicDescription::default() };
                namespace.create_topic("topic", topic, clock.utc).unwrap();
                let sub = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
                namespace.create_subscription("topic", "sub", sub, None, clock.utc).unwrap();
            });
            world.connect();
            world.session_receiver(0, entity, Some("s"), None).unwrap();
            let case = format!("{entity} of {tier} with {of_entity:?}");
            let state = vec![7; limit];
            assert_eq!(set_state(&mut world, entity, "s", &state, None).status(), 200, "{case}");
            let refused = set_state(&mut world, entity, "s", &vec![8; limit + 1], None);
            assert_eq!(refused.condition(), Some("amqp:link:message-size-exceeded"), "{case}");
            let kept = world.manage(0, entity, "get-session-state", &[("session-id", "s".into())]);
            let kept = kept.body().get("session-state").and_then(|state| state.as_bytes().map(<[u8]>::to_vec));
            assert!(kept == Some(state), "{case}");
        }
    }
}

#[test]
fn the_states_of_sessions_count_towards_the_size_of_their_entity_f80() {
    for entity in ["queue", SUB] {
        let mut world = World::new();
        let max_size_in_megabytes = 1;
        let queue = QueueDescription { requires_session: true, max_size_in_megabytes, ..QueueDescription::default() };
        world.queue("queue", queue);
        let clock = world.clock;
        world.broker.with_namespace(clock, |namespace| {
            let topic = TopicDescription { max_size_in_megabytes, ..TopicDescription::default() };
            namespace.create_topic("topic", topic, clock.utc).unwrap();
            let sub = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
            namespace.create_subscription("topic", "sub", sub, None, clock.utc).unwrap();
        });
        world.connect();
        let sender = world.sender(0, if entity == SUB { "topic" } else { entity }).unwrap();
        let body = "x".repeat(200_000);
        let message = MessageRef::new(&body).with_session_id("other");
        let states = ["1", "2", "3", "4", "5"];
        for session in states {
            world.session_receiver(0, entity, Some(session), None).unwrap();
            assert_eq!(set_state(&mut world, entity, session, &[7; 200_000], None).status(), 200);
        }
        let size = |world: &World| {
            let namespace = world.broker.namespace();
            let of_queue = namespace.queue(entity).map(|queue| queue.stores);
            let stores = of_queue.or_else(|| namespace.subscription("topic", "sub").map(|sub| sub.stores));
            namespace.counts(&stores.unwrap()).size_in_bytes
        };
        assert_eq!(size(&world), 1_000_000, "{entity}");
        let Ended::Rejected(Some(full)) = world.send(0, sender, &message) else { panic!("{entity}: not refused") };
        assert_eq!(full.condition, "amqp:resource-limit-exceeded", "{entity}");
        assert!(full.text.contains("QuotaType: EntitySize"), "{}", full.text);
        // What a transaction clears makes room with its commit, however often it clears it.
        let control = Control::attach(&mut world, 0);
        for commits in [false, true] {
            let txn = control.declare(&mut world);
            for session in ["1", "1", "1", "2"] {
                assert_eq!(set_state(&mut world, entity, session, b"", Some(&txn)).status(), 200);
            }
            let sent = world.send_in(0, sender, &txn, &message);
            let refused = servicebus_tests::coordinator::refusal(&sent).map(|failure| failure.condition);
            assert_eq!(refused.as_deref(), Some("amqp:resource-limit-exceeded"), "{entity}");
            let ended = if commits { control.commit(&mut world, &txn) } else { control.roll_back(&mut world, &txn) };
            assert_eq!(ended, Ended::Accepted, "{entity}");
            assert_eq!(size(&world), if commits { 600_000 } else { 1_000_000 }, "{entity}");
        }
        assert_eq!(world.send(0, sender, &message), Ended::Accepted, "{entity}");
        let clock = world.clock;
        world.broker.with_namespace(clock, servicebus_emulator::broker::entities::Namespace::purge);
        assert_eq!(size(&world), 0, "{entity}");
    }
}
