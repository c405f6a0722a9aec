//! Faults on request, and peers that break the rules.

use servicebus_core::servicebus::administration::{Headers, Method, Request};
use servicebus_core::servicebus::{MessageRef, sas};
use servicebus_core::storage::Buffer as _;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use servicebus_emulator::broker::Broker;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;

#[test]
fn throttling_lasts_for_as_many_operations_as_were_asked_for() {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    world.broker.throttle(2);
    let Ended::Rejected(Some(failure)) = world.send(0, sender, &MessageRef::new("a")) else { panic!("taken") };
    assert_eq!(failure.condition, "com.microsoft:server-busy");
    assert!(failure.text.contains("Error code : 50009. Please wait 2 seconds and try again."));
    let response = world.manage(0, "queue", "peek-message", &[("message-count", Value::Int(1))]);
    assert_eq!((response.status(), response.condition()), (503, Some("com.microsoft:server-busy")));
    assert_eq!(world.send(0, sender, &MessageRef::new("a")), Ended::Accepted);
}

#[test]
fn links_can_be_detached_and_connections_closed_on_request() {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    world.broker.force_detach("/Queue", world.clock);
    world.settle_down();
    assert_eq!(world.detached(0, sender).unwrap().condition, "amqp:link:detach-forced");
    let id = world.clients[0].id;
    world.broker.close_connection(id, world.clock);
    world.settle_down();
    assert_eq!(world.closed(0).unwrap().condition, "amqp:connection:forced");
    assert!(world.broker.is_closed(id));
}

#[test]
fn a_client_that_does_not_answer_close_loses_what_it_held_after_twenty_seconds() {
    let lock_duration = Duration::from_secs(300);
    let mut world =
        World::with_queue(QueueDescription { requires_session: true, lock_duration, ..QueueDescription::default() });
    world.session_receiver(0, "queue", Some("s"), None).unwrap();
    let other = world.connect();
    let id = world.clients[0].id;
    world.broker.close_connection(id, world.clock);
    let since = world.clock.now;
    // Nobody reads what the broker says.
    let mut calls = 0;
    while let Some(at) = world.broker.poll_timeout().filter(|at| *at <= since + Duration::from_secs(20)) {
        assert!(!world.broker.is_closed(id), "at {at:?}");
        let passed = at.saturating_duration_since(world.clock.now);
        world.clock.now = at;
        world.clock.utc = world.clock.utc + passed;
        world.broker.handle_timeout(world.clock);
        // Closing it again says nothing more.
        world.broker.close_connection(id, world.clock);
        calls += 1;
    }
    assert!(world.broker.is_closed(id) && calls < 10, "{calls} calls");
    assert_eq!(world.clock.now, since + Duration::from_secs(20));
    let metrics = world.broker.metrics();
    assert!(metrics.contains("amqp:connection:forced\"} 1\n"), "{metrics}");
    assert!(world.session_receiver(other, "queue", Some("s"), None).is_ok());
}

#[test]
fn links_can_be_detached_and_connections_closed_over_http() {
    let mut world = World::with_queue(QueueDescription::default());
    let sender = world.sender(0, "queue").unwrap();
    let mut token = String::new();
    let end = world.clock.utc + Duration::from_secs(60);
    sas::sign("http://localhost", KEY_NAME, KEY, end, &mut token).unwrap();
    let mut headers = Headers::new();
    headers.push("Authorization", &token);
    let request = |path: &str| Request {
        method: Method::Delete,
        path_and_query: path.into(),
        headers: headers.clone(),
        body: vec![],
    };
    assert_eq!(world.broker.manage(world.clock, "http", &request("/$emulator/links/Queue")).status, 200);
    world.settle_down();
    assert_eq!(world.detached(0, sender).unwrap().condition, "amqp:link:detach-forced");
    assert_eq!(world.broker.manage(world.clock, "http", &request("/$emulator/connections")).status, 200);
    world.settle_down();
    assert_eq!(world.closed(0).unwrap().condition, "amqp:connection:forced");
    // The order was for those that were there.
    let other = world.connect();
    world.sender(other, "queue").unwrap();
}

#[test]
fn a_connection_that_is_closed_before_it_is_open_just_ends() {
    let mut world = World::with_queue(QueueDescription::default());
    let id = world.broker.connect(world.clock).unwrap();
    let mut rx = Broker::rx();
    rx.spare()[..8].copy_from_slice(b"AMQP\x03\x01\x00\x00");
    rx.commit(8);
    world.broker.handle_input(id, world.clock, &mut rx).unwrap();
    assert!(!world.broker.is_closed(id));
    world.broker.close_connection(id, world.clock);
    assert!(world.broker.is_closed(id));
    world.broker.disconnect(id, world.clock);
    assert_eq!(world.broker.connections().len(), 1);
}

#[test]
fn bytes_that_are_not_amqp_end_the_connection() {
    let mut world = World::new();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"AMQP\x00\x00\x09\x01", b"\0\0\0\0"]
    {
        let id = world.broker.connect(world.clock).unwrap();
        let mut rx = Broker::rx();
        rx.spare()[..bytes.len()].copy_from_slice(bytes);
        rx.commit(bytes.len());
        assert!(world.broker.handle_input(id, world.clock, &mut rx).is_err());
        assert!(world.broker.is_closed(id));
        world.broker.disconnect(id, world.clock);
    }
    assert!(world.broker.connections().is_empty());
}

#[test]
fn a_connection_that_ends_leaves_nothing_behind() {
    let mut world = World::with_queue(QueueDescription::default());
    for _ in 0..50 {
        let c = world.connect();
        let sender = world.sender(c, "queue").unwrap();
        world.receiver(c, "queue").unwrap();
        world.send_texts(c, sender, &["a"]);
        let id = world.clients[c].id;
        world.broker.disconnect(id, world.clock);
        world.clients.remove(c);
    }
    assert_eq!(world.broker.connections().len(), 1);
    assert_eq!(world.peek(0, "queue", 0, 100).len(), 50);
}

#[test]
fn the_same_inputs_and_seed_give_the_same_messages() {
    let run = || {
        let mut world = World::with_queue(QueueDescription::default());
        let sender = world.sender(0, "queue").unwrap();
        let receiver = world.receiver(0, "queue").unwrap();
        world.send_texts(0, sender, &["a", "b"]);
        world.receive(0, receiver, 2).into_iter().map(|message| message.bytes).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
