//! Links of one connection: however many they are, each of them works.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{MessageRef, sas};
use servicebus_core::time::Duration;
use servicebus_core::wire::{Encode, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;

/// A world with so many queues `q0`, `q1` and so on, and one client.
fn queues(count: usize, requires_session: bool) -> World {
    let mut world = World::new();
    for n in 0..count {
        world.queue(&format!("q{n}"), QueueDescription { requires_session, ..QueueDescription::default() });
    }
    world.connect();
    world
}

fn open(count: usize, mut attach: impl FnMut(usize) -> Result<LinkId, Failure>) -> Vec<LinkId> {
    (0..count).map_while(|n| attach(n).ok()).collect()
}

/// Whether a peek on this entity is answered.
fn peek_is_answered(world: &mut World, entity: &str) -> bool {
    let entries = [("from-sequence-number", Value::Long(0)), ("message-count", Value::Int(1))];
    let operation = [("operation", "com.microsoft:peek-message".into())];
    let address = format!("{entity}/$management");
    world.try_ask(0, &address, &operation, |out| put_map(out, &entries), None).is_some()
}

/// Whether a new token is answered.
fn token_is_answered(world: &mut World) -> bool {
    let audience = "sb://localhost/";
    let mut token = String::new();
    sas::sign(audience, KEY_NAME, KEY, world.clock.utc + Duration::from_secs(3_600), &mut token).unwrap();
    let properties = [("operation", Value::from("put-token")), ("type", "jwt".into()), ("name", audience.into())];
    world.try_ask(0, "$cbs", &properties, |out| token[..].encode(out), None).is_some()
}

#[test]
fn every_sender_of_a_connection_can_send_f1() {
    for count in [20, 50, 110, 150, 200] {
        let mut world = queues(1, false);
        let senders = open(count, |_| world.sender(0, "q0"));
        let sent =
            senders.iter().filter(|link| world.send(0, **link, &MessageRef::new("x")) == Ended::Accepted).count();
        assert_eq!(sent, count);
    }
}

#[test]
fn every_management_node_of_a_connection_answers_f1() {
    for (senders, receivers, sessions) in [(10, 0, 0), (51, 0, 0), (60, 0, 0), (0, 101, 0), (0, 0, 120), (30, 60, 0)] {
        let count = senders + receivers + sessions;
        let mut world = queues(count, sessions > 0);
        let answered = (0..count)
            .filter(|n| {
                // A session has 256 handles, and each entity takes three here.
                if n % 50 == 49 {
                    world.clients[0].session = world.clients[0].engine.begin().unwrap();
                }
                let name = format!("q{n}");
                let link = if sessions > 0 {
                    world.session_receiver(0, &name, Some("s"), None)
                } else if *n < senders {
                    world.sender(0, &name)
                } else {
                    world.receiver(0, &name)
                };
                link.is_ok() && peek_is_answered(&mut world, &name)
            })
            .count();
        assert_eq!(answered, count, "{senders} senders, {receivers} receivers, {sessions} session receivers");
    }
}

#[test]
fn a_token_is_answered_however_many_links_there_are_f1() {
    for count in [10, 90, 99, 100, 120, 180] {
        let mut world = queues(1, false);
        open(count, |_| world.sender(0, "q0"));
        let answered = token_is_answered(&mut world);
        assert!(answered, "{count} senders");
    }
}

#[test]
fn receivers_alone_take_no_room_from_each_other_f1() {
    let mut world = queues(1, false);
    let receivers = open(200, |_| world.receiver(0, "q0"));
    assert_eq!(receivers.len(), 200);
    let sender = world.sender(0, "q0").unwrap();
    for link in receivers {
        assert_eq!(world.send(0, sender, &MessageRef::new("x")), Ended::Accepted);
        assert_eq!(world.receive_now(0, link, 1).len(), 1);
    }
}

/// As many links as the service allows on one connection, of every kind, over sessions of 240 links each.
fn links_of_any_mix(count: usize) {
    let mut world = queues(1, false);
    world.queue("sessions", QueueDescription { requires_session: true, ..QueueDescription::default() });
    let beside = world.connect();
    let (to_plain, to_sessions) = (world.sender(beside, "q0").unwrap(), world.sender(beside, "sessions").unwrap());
    let mut links = Vec::new();
    for n in 0..count {
        if n % 240 == 239 {
            world.clients[0].session = world.clients[0].engine.begin().unwrap();
        }
        let session = format!("s{n}");
        let link = match n % 4 {
            0 => world.sender(0, "q0"),
            1 => world.receiver(0, "q0"),
            2 => world.session_receiver(0, "sessions", Some(&session), None),
            _ => world.deleting_receiver(0, "q0"),
        };
        links.push(link.unwrap());
    }
    // Each has the credit that the service gives, and moves a message, the first one as the last one.
    for (n, link) in links.into_iter().enumerate() {
        match n % 4 {
            0 => {
                assert_eq!(world.flows(0, link).first(), Some(&(Some(1_000), Some(0))), "link {n}");
                assert_eq!(world.send(0, link, &MessageRef::new("x")), Ended::Accepted, "link {n}");
                continue;
            }
            2 => {
                let message = MessageRef::new("x");
                let session = format!("s{n}");
                assert_eq!(world.send(beside, to_sessions, &message.with_session_id(&session)), Ended::Accepted);
            }
            _ => assert_eq!(world.send(beside, to_plain, &MessageRef::new("x")), Ended::Accepted),
        }
        // Unsettled messages stay with the client, and their places are used.
        assert_eq!(world.receive(0, link, 1).len(), 1, "link {n}");
    }
    assert!(token_is_answered(&mut world));
    assert!(peek_is_answered(&mut world, "q0"));
}

#[test]
fn a_connection_has_many_links_of_any_mix_f1() {
    links_of_any_mix(1_000);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_connection_has_4_999_links_of_any_mix_f1() {
    // Four are those of `$cbs` and `$management`.
    links_of_any_mix(4_995);
}

/// One receiver cannot take the last places of the others.
#[test]
fn a_receiver_with_much_credit_leaves_a_place_for_each_other_f1() {
    let mut world = queues(2, false);
    let greedy = world.receiver(0, "q0").unwrap();
    let modest = world.receiver(0, "q1").unwrap();
    let clock = world.clock;
    let bytes = encoded(&MessageRef::new("x"));
    world.broker.with_namespace(clock, |namespace| {
        for name in ["q0", "q1"] {
            for _ in 0..if name == "q0" { 100_100 } else { 1 } {
                let message = servicebus_emulator::broker::entities::Message::accept(bytes.clone()).unwrap();
                namespace.send(name, message, clock.utc).unwrap();
            }
        }
    });
    let mut received = 0;
    for _ in 0..11 {
        received += world.receive_now(0, greedy, 10_000).len();
    }
    assert!((99_000..100_000).contains(&received), "{received}");
    assert_eq!(world.receive(0, modest, 10).len(), 1);
}
