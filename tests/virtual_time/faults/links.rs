//! Links of one connection: however many they are, each of them works.

use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{Message, sas};
use servicebus_core::time::Duration;
use servicebus_core::wire::{Encode, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;

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

#[known_fault("F1")]
fn every_sender_of_a_connection_can_send_f1() {
    let mut judge = Judge::new();
    for count in [20, 50, 110, 150, 200] {
        let mut world = queues(1, false);
        let senders = open(count, |_| world.sender(0, "q0"));
        let sent = senders.iter().filter(|link| world.send(0, **link, &Message::new("x")) == Ended::Accepted).count();
        // Each reserves a share: those that come too late get none.
        let starved = |sent: &usize| count > 50 && (50..count).contains(sent);
        judge.case(format!("{count} senders"), sent, |sent| *sent == count, starved);
    }
    judge.finish();
}

#[known_fault("F1")]
fn every_management_node_of_a_connection_answers_f1() {
    let mut judge = Judge::new();
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
        let name = format!("{senders} senders, {receivers} receivers, {sessions} session receivers");
        judge.case(name, answered, |answered| *answered == count, |answered| *answered < count);
    }
    judge.finish();
}

#[known_fault("F1")]
fn a_token_is_answered_however_many_links_there_are_f1() {
    let mut judge = Judge::new();
    for count in [10, 90, 99, 100, 120, 180] {
        let mut world = queues(1, false);
        open(count, |_| world.sender(0, "q0"));
        let answered = token_is_answered(&mut world);
        judge.case(format!("{count} senders"), answered, |answered| *answered, |answered| count >= 100 && !answered);
    }
    judge.finish();
}

#[test]
fn receivers_alone_take_no_room_from_each_other_f1() {
    let mut world = queues(1, false);
    let receivers = open(200, |_| world.receiver(0, "q0"));
    assert_eq!(receivers.len(), 200);
    let sender = world.sender(0, "q0").unwrap();
    for link in receivers {
        assert_eq!(world.send(0, sender, &Message::new("x")), Ended::Accepted);
        assert_eq!(world.receive_now(0, link, 1).len(), 1);
    }
}
