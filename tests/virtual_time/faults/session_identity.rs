//! A session is the same whatever case its id is written in.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Timestamp;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{Ended, World};

const PAIRS: [(&str, &str); 6] =
    [("Abc", "abc"), ("Case", "CASE"), ("abc", "ABC"), ("order-A/1", "ORDER-a/1"), ("x", "X"), ("same", "same")];

/// A session queue `queue` and a topic `topic` with a session subscription.
fn world() -> World {
    let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
    let sessions = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
    world.topic("topic", &[("s", sessions)]);
    world
}

const ENTITIES: [(&str, &str); 2] = [("queue", "queue"), ("topic", "topic/Subscriptions/s")];

#[test]
fn a_session_is_accepted_by_its_id_in_any_case_f67() {
    for (target, source) in ENTITIES {
        for (sent, accepted) in PAIRS {
            let mut world = world();
            let sender = world.sender(0, target).unwrap();
            assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(sent)), Ended::Accepted);
            let receiver = world.session_receiver(0, source, Some(accepted), None).unwrap();
            let received = world.receive_now(0, receiver, 1).len();
            assert_eq!(received, 1, "{sent} accepted as {accepted} at {source}");
            // Its id is told as it was asked for, and the message keeps its own.
            assert_eq!(world.granted(0, receiver), accepted);
        }
    }
}

#[test]
fn a_session_has_one_holder_in_any_case_f67() {
    for (_, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let second = world.connect();
            world.session_receiver(0, source, Some(one), None).unwrap();
            let condition = world.session_receiver(second, source, Some(other), None).err();
            let condition = condition.map(|failure| failure.condition);
            assert_eq!(
                condition.as_deref(),
                Some("com.microsoft:session-cannot-be-locked"),
                "{one} and {other} at {source}"
            );
        }
    }
}

#[test]
fn a_session_has_one_state_in_any_case_f67() {
    for (_, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            world.session_receiver(0, source, Some(one), None).unwrap();
            let entries = [("session-id", Value::from(one)), ("session-state", Value::Binary(b"state"))];
            assert_eq!(world.manage(0, source, "set-session-state", &entries).status(), 200);
            let response = world.manage(0, source, "get-session-state", &[("session-id", other.into())]);
            let state = response.body().get("session-state").and_then(|value| value.as_bytes().map(<[u8]>::to_vec));
            assert_eq!(state.as_deref(), Some(&b"state"[..]), "{one} and {other} at {source}");
        }
    }
}

#[test]
fn a_request_names_a_session_in_any_case_f67() {
    for (target, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let sender = world.sender(0, target).unwrap();
            assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(one)), Ended::Accepted);
            world.session_receiver(0, source, Some(one), None).unwrap();
            let entries = [
                ("session-id", Value::from(other)),
                ("from-sequence-number", Value::Long(0)),
                ("message-count", Value::Int(10)),
            ];
            let peeked = world.manage(0, source, "peek-message", &entries).messages().len();
            let renewed = world.manage(0, source, "renew-session-lock", &entries[..1]).status();
            assert_eq!((peeked, renewed), (1, 200), "{one} named as {other} at {source}");
        }
    }
}

/// Messages under both forms are one session's, in their order.
#[test]
fn messages_belong_to_one_session_in_any_case_f67() {
    for (target, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let sender = world.sender(0, target).unwrap();
            for session in [one, other, one] {
                assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(session)), Ended::Accepted);
            }
            let receiver = world.session_receiver(0, source, None, None).unwrap();
            let received: Vec<i64> =
                world.receive_now(0, receiver, 10).iter().map(servicebus_tests::broker::Received::number).collect();
            assert_eq!(received, [1, 2, 3], "{one} and {other} at {source}");
            // The next session is told by the id that it was first written with.
            assert_eq!(world.granted(0, receiver), one);
        }
    }
}

/// The second holder comes after the first one has gone, and finds what that one kept.
#[test]
fn a_session_is_taken_over_in_any_case_f67() {
    for (target, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let sender = world.sender(0, target).unwrap();
            assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(one)), Ended::Accepted);
            let first = world.session_receiver(0, source, Some(one), None).unwrap();
            assert_eq!(world.receive_now(0, first, 1).len(), 1);
            let entries = [("session-id", Value::from(one)), ("session-state", Value::Binary(b"state"))];
            assert_eq!(world.manage(0, source, "set-session-state", &entries).status(), 200);
            world.detach(0, first);
            let c = world.connect();
            let second = world.session_receiver(c, source, Some(other), None).unwrap();
            let response = world.manage(c, source, "get-session-state", &[("session-id", other.into())]);
            let state = response.body().get("session-state").and_then(|value| value.as_bytes().map(<[u8]>::to_vec));
            let received = world.receive_now(c, second, 1).len();
            let seen = (state.as_deref(), received);
            assert_eq!(seen, (Some(&b"state"[..]), 1), "{one} taken over as {other} at {source}");
        }
    }
}

/// Under the token of a session that several may hold.
#[test]
fn a_shared_session_is_taken_over_in_any_case_f67() {
    for (_, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let second = world.connect();
            let first = world.shared_session_receiver(0, source, Some(one), None).unwrap();
            let (_, token) = world.granted_shared(0, first);
            let taken = world.shared_session_receiver(second, source, Some(other), Some(token));
            let granted = world.granted_shared(second, taken.unwrap());
            assert_eq!(granted, (other.to_owned(), token), "{one} taken over as {other} at {source}");
        }
    }
}

#[test]
fn a_session_is_listed_once_in_any_case_f67() {
    for (target, source) in ENTITIES {
        for (one, other) in PAIRS {
            let mut world = world();
            let sender = world.sender(0, target).unwrap();
            for session in [one, other, "beside"] {
                assert_eq!(world.send(0, sender, &MessageRef::new("x").with_session_id(session)), Ended::Accepted);
            }
            // The time that asks for sessions with messages.
            let all = Timestamp::from_millis(253_402_300_800_000);
            let entries =
                [("last-updated-time", Value::Timestamp(all)), ("skip", Value::Int(0)), ("top", Value::Int(100))];
            let response = world.manage(0, source, "get-message-sessions", &entries);
            let Some(Value::Array(ids)) = response.body().get("sessions-ids") else { panic!("no sessions") };
            let mut ids: Vec<_> = ids.iter().map(|id| id.unwrap().as_str().unwrap().to_owned()).collect();
            ids.retain(|id| id != "beside");
            assert_eq!(ids, [one], "{one} and {other} at {source}");
        }
    }
}
