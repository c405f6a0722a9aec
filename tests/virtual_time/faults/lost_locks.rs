//! Which lock was lost: a message's, as long as its session is held.

use servicebus_core::servicebus::{LockToken, MessageRef};
use servicebus_core::wire::{Reader, Uuid, Value};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::{Response, World, uuids};
use servicebus_tests::fault::Judge;

const SESSION: &str = "held";

fn update(world: &mut World, entity: &str, token: LockToken, status: &str, named: bool) -> Response {
    let tokens = uuids(&[token]);
    let mut entries =
        vec![("disposition-status", Value::from(status)), ("lock-tokens", Reader::new(&tokens).value().unwrap())];
    if named {
        entries.push(("session-id", SESSION.into()));
    }
    world.manage(0, entity, "update-disposition", &entries)
}

/// A deferred message of a held session that was received and completed: its token.
fn used_token(world: &mut World, target: &str, source: &str) -> LockToken {
    let sender = world.sender(0, target).unwrap();
    world.send(0, sender, &MessageRef::new("x").with_session_id(SESSION));
    let receiver = world.session_receiver(0, source, Some(SESSION), None).unwrap();
    let message = world.receive_now(0, receiver, 1).remove(0);
    world.defer(0, &message);
    let numbers = servicebus_tests::broker::longs(&[message.number()]);
    let entries = [
        ("sequence-numbers", Reader::new(&numbers).value().unwrap()),
        ("receiver-settle-mode", Value::Uint(1)),
        ("session-id", SESSION.into()),
    ];
    let token = world.manage(0, source, "receive-by-sequence-number", &entries).messages().remove(0).token;
    assert_eq!(update(world, source, token, "completed", true).status(), 200);
    token
}

#[test]
fn a_message_lock_is_lost_while_the_session_is_held_f70() {
    let sessions = SubscriptionDescription { requires_session: true, ..SubscriptionDescription::default() };
    let mut judge = Judge::new();
    for (target, source) in [("queue", "queue"), ("topic", "topic/Subscriptions/s")] {
        let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
        world.topic("topic", &[("s", sessions.clone())]);
        let used = used_token(&mut world, target, source);
        let unknown = LockToken::from_uuid(Uuid([7; 16]));
        for (which, token) in [("used", used), ("unknown", unknown)] {
            for named in [true, false] {
                for status in ["completed", "abandoned", "defered", "suspended"] {
                    let response = update(&mut world, source, token, status, named);
                    judge.equal(
                        format!("{status} with a token that is {which} at {source}, session named: {named}"),
                        response.condition().unwrap_or_default().to_owned(),
                        "com.microsoft:message-lock-lost".to_owned(),
                        "com.microsoft:session-lock-lost".to_owned(),
                    );
                }
            }
            let response = world.renew(0, source, &[token]);
            judge.equal(
                format!("renewal with a token that is {which} at {source}"),
                response.condition().unwrap_or_default().to_owned(),
                "com.microsoft:message-lock-lost".to_owned(),
                "com.microsoft:session-lock-lost".to_owned(),
            );
        }
    }
    judge.finish();
}

/// Without the session's lock, that is the lock that was lost.
#[test]
fn a_session_lock_is_lost_when_the_session_is_not_held_f70() {
    let mut world = World::with_queue(QueueDescription { requires_session: true, ..QueueDescription::default() });
    for status in ["completed", "abandoned", "defered", "suspended"] {
        let response = update(&mut world, "queue", LockToken::from_uuid(Uuid([7; 16])), status, true);
        assert_eq!(response.condition(), Some("com.microsoft:session-lock-lost"), "{status}");
    }
}
