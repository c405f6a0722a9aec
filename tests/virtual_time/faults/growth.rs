//! Work that must not grow with what waits, is locked, listens or exists. The broker counts the entries that it looks at;
//! for one operation they are the same at any size, within a factor of two, and one call does a bounded part. The full
//! sizes and the times of two sizes, which are compared with wide gaps, are for `tests/run all`.

use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Buffer as _;
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_core::wire::{Symbol, Value};
use servicebus_emulator::broker::entities::{self, EntityStatus, Namespace, QueueDescription, StoreId};
use servicebus_emulator::broker::{Broker, BrokerConfig, NamespaceLimits, Tier};
use servicebus_tests::broker::*;
use servicebus_tests::engine::{begin, frame, open, sasl_frame};
use std::time::Instant;

/// Entries that one call looks at, at most: timers, and what each of them leads to.
pub(crate) const CALL: u64 = 5_000;

/// The same operation at several sizes.
pub(crate) fn assert_flat(name: &str, sizes: &[usize], mut entries: impl FnMut(usize) -> u64) {
    let counts: Vec<u64> = sizes.iter().map(|size| entries(*size)).collect();
    println!("{name}: {counts:?} entries at {sizes:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 0 && *most <= 2 * least, "{name}: {counts:?} entries at {sizes:?}");
}

/// Entries that the broker looks at while `act` runs.
pub(crate) fn entries_of(world: &mut World, act: impl FnOnce(&mut World)) -> u64 {
    let before = world.broker.statistics().entries_touched;
    act(world);
    world.broker.statistics().entries_touched - before
}

pub(crate) fn namespace(description: QueueDescription) -> (Namespace, StoreId) {
    let mut namespace = Namespace::new(1);
    namespace.create_queue("queue", description, START).unwrap();
    let store = namespace.queue("queue").unwrap().stores.main;
    (namespace, store)
}

pub(crate) fn message(session: Option<&str>) -> entities::Message {
    let body = "x".repeat(100);
    let message = MessageRef::new(&body[..]);
    entities::Message::accept(encoded(&session.map_or(message, |id| message.with_session_id(id)))).unwrap()
}

/// A namespace whose queue has so many messages, all of them locked.
fn locked(count: usize, description: QueueDescription) -> (Namespace, StoreId) {
    let (mut namespace, store) = namespace(description);
    for _ in 0..count {
        namespace.send("queue", message(None), START).unwrap();
        namespace.receive(store, None, START).unwrap();
    }
    (namespace, store)
}

/// A namespace whose queue has so many locked sessions, without messages.
fn locked_sessions(count: usize) -> (Namespace, StoreId) {
    let (mut namespace, store) = namespace(QueueDescription { requires_session: true, ..Default::default() });
    for n in 0..count {
        namespace.accept_session(store, Some(&n.to_string()), n as u64 + 1, START).unwrap();
    }
    namespace.take_signals();
    (namespace, store)
}

/// A namespace without limits with so many queues, which delete themselves when they are idle.
fn idle_queues(count: usize) -> Namespace {
    let mut namespace = Namespace::new(1);
    namespace.set_tier(Tier::Standard, Some(NamespaceLimits::LIFTED));
    for n in 0..count {
        namespace.create_queue(&format!("queue-{n}"), idle(), START).unwrap();
    }
    namespace
}

fn idle() -> QueueDescription {
    QueueDescription { auto_delete_on_idle: Some(Duration::from_secs(600)), ..QueueDescription::default() }
}

/// Entries of a message that is sent to the queue and received from it by a client beside others.
fn send_and_consume(world: &mut World) -> u64 {
    let sender = world.sender(0, "queue").unwrap();
    let receiver = world.receiver(0, "queue").unwrap();
    entries_of(world, |world| {
        world.send_texts(0, sender, &["x"]);
        assert!(world.consume(0, receiver).is_some());
    })
}

/// Carries out all that is due, in as many calls as it takes; entries in all of them.
pub(crate) fn end_all(namespace: &mut Namespace, utc: Timestamp) -> u64 {
    let begun = namespace.entries_touched();
    while namespace.poll_timeout().is_some_and(|at| at <= utc) {
        let before = namespace.entries_touched();
        namespace.handle_timeout(utc);
        let entries = namespace.entries_touched() - before;
        assert!(entries <= CALL, "{entries} entries in one call");
    }
    namespace.entries_touched() - begun
}

fn session_locks(sizes: &[usize]) {
    assert_flat("the end of a session's lock", sizes, |count| {
        let (mut namespace, store) = locked_sessions(count);
        let entries = end_all(&mut namespace, START + Duration::from_secs(61));
        assert!((0..count).all(|n| namespace.store(store).unwrap().session_lock(&n.to_string()).is_none()));
        entries / count as u64
    });
}

#[test]
fn session_locks_that_end_together_g1() {
    session_locks(&[1, 1_000, 10_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn fifty_thousand_session_locks_g1() {
    session_locks(&[1, 50_000, 500_000]);
}

fn message_locks(sizes: &[usize]) {
    assert_flat("the end of a message's lock", sizes, |count| {
        let (mut namespace, store) = locked(count, QueueDescription::default());
        let entries = end_all(&mut namespace, START + Duration::from_secs(61));
        assert_eq!(namespace.store(store).unwrap().lock_count(), 0);
        entries / count as u64
    });
}

#[test]
fn one_call_ends_only_some_of_the_locks_g6() {
    message_locks(&[1, 1_000, 20_000]);
    for (count, seconds) in [(20_000, 5), (3_000, 60), (2_500, 30), (2_001, 300), (4_000, 5)] {
        let lock_duration = Duration::from_secs(seconds);
        let (mut namespace, store) = locked(count, QueueDescription { lock_duration, ..QueueDescription::default() });
        namespace.handle_timeout(START + lock_duration + Duration::from_secs(1));
        let left = namespace.store(store).unwrap().lock_count();
        assert!((1..count).contains(&left), "{left} of {count} locks of {seconds} s");
    }
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_million_message_locks_g6() {
    message_locks(&[1, 100_000, 1_000_000]);
}

/// Lives and schedules are timers as locks are.
#[test]
fn one_call_ends_only_some_lives_and_schedules_g6() {
    for scheduled in [false, true] {
        let (mut namespace, store) = namespace(QueueDescription::default());
        let due = START + Duration::from_secs(60);
        for _ in 0..5_000 {
            let body = MessageRef::new("x");
            let sent = if scheduled {
                body.with_scheduled_enqueue_time(due)
            } else {
                body.with_time_to_live(Duration::from_secs(60))
            };
            namespace.send("queue", entities::Message::accept(encoded(&sent)).unwrap(), START).unwrap();
        }
        let entries = end_all(&mut namespace, due + Duration::from_secs(1));
        let store = namespace.store(store).unwrap();
        let seen = (store.available_count(), store.scheduled_count());
        assert_eq!(seen, (if scheduled { 5_000 } else { 0 }, 0), "scheduled: {scheduled}");
        assert!(entries < 8 * 5_000, "{entries} entries");
    }
}

fn waiting_messages(sizes: &[usize]) {
    for sessions in [false, true] {
        let world_of = |count: usize| {
            let mut world = World::with_queue(QueueDescription { requires_session: sessions, ..Default::default() });
            let clock = world.clock;
            world.broker.with_namespace(clock, |namespace| {
                for n in 0..count {
                    let session = (n % 1_000).to_string();
                    namespace.send("queue", message(sessions.then_some(&session[..])), clock.utc).unwrap();
                }
            });
            world
        };
        let session = sessions.then_some("0");
        let mut counts = Vec::new();
        for count in sizes {
            let mut world = world_of(*count);
            let sender = world.sender(0, "queue").unwrap();
            let send = entries_of(&mut world, |world| {
                let sent = MessageRef::new("x");
                let sent = session.map_or(sent, |session| sent.with_session_id(session));
                assert_eq!(world.send(0, sender, &sent), Ended::Accepted);
            });
            let receive = entries_of(&mut world, |world| {
                let receiver = match session {
                    Some(_) => world.session_receiver(0, "queue", session, None).unwrap(),
                    None => world.receiver(0, "queue").unwrap(),
                };
                let message = world.receive_now(0, receiver, 1).remove(0);
                world.abandon(0, &message);
                world.detach(0, receiver);
            });
            let peek = entries_of(&mut world, |world| {
                let of_session = [
                    ("from-sequence-number", Value::Long(2)),
                    ("message-count", Value::Int(1)),
                    ("session-id", Value::from(session.unwrap_or_default())),
                ];
                let entries = if sessions { &of_session[..] } else { &of_session[..2] };
                assert_eq!(world.manage(0, "queue", "peek-message", entries).messages().len(), 1);
            });
            let delete = entries_of(&mut world, |world| {
                let before = Value::Timestamp(world.clock.utc + Duration::from_secs(1));
                let entries = [("message-count", Value::Int(1)), ("enqueued-time-utc", before)];
                let response = world.manage(0, "queue", "batch-delete-messages", &entries);
                assert_eq!(response.body().get("message-count"), Some(Value::Int(1)));
            });
            counts.push([send, receive, peek, delete]);
        }
        for (at, name) in ["send", "receive and abandon", "peek", "batch delete"].into_iter().enumerate() {
            let mut counts = counts.iter().map(|counts| counts[at]);
            assert_flat(&format!("{name}, sessions: {sessions}"), sizes, |_| counts.next().unwrap());
        }
    }
}

#[test]
fn operations_beside_waiting_messages() {
    waiting_messages(&[1, 1_000, 20_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn operations_beside_a_million_waiting_messages() {
    waiting_messages(&[1, 100_000, 1_000_000]);
}

fn entities_made_and_gone(sizes: &[usize]) {
    assert_flat("a queue created, changed and deleted", sizes, |count| {
        let mut namespace = idle_queues(count);
        let before = namespace.entries_touched();
        namespace.create_queue("another", idle(), START).unwrap();
        let disabled = QueueDescription { status: EntityStatus::Disabled, ..idle() };
        namespace.update_queue("another", disabled, START).unwrap();
        namespace.delete("another").unwrap();
        let entries = namespace.entries_touched() - before;
        end_all(&mut namespace, START + Duration::from_secs(601));
        assert_eq!(namespace.queues().count(), 0);
        entries
    });
}

#[test]
fn queues_that_delete_themselves_g4() {
    entities_made_and_gone(&[1, 1_000, 5_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_hundred_thousand_queues_g4() {
    entities_made_and_gone(&[1, 10_000, 100_000]);
}

/// Attaches so many receivers without credit at once.
pub(crate) fn attach_receivers(world: &mut World, client: usize, count: usize) {
    for n in 0..count {
        if n > 0 && n % 200 == 0 {
            // A session has 255 links.
            world.settle_down();
            world.begin_session(client);
        }
        let name = world.name(client);
        let attach = attach_of(&name, Role::Receiver, "queue", false, None, None);
        let found = &mut world.clients[client];
        found.engine.attach(found.session, &attach).unwrap();
    }
    world.settle_down();
}

/// A world with so many receivers without credit on one queue, on connections of 200, and a client beside them.
fn receivers(count: usize) -> World {
    let mut world = World::with_queue(QueueDescription::default());
    let mut left = count;
    let mut connections = 1;
    while left > 0 {
        let client = world.connect();
        attach_receivers(&mut world, client, left.min(200));
        left -= left.min(200);
        connections += 1;
    }
    assert_eq!(world.broker.statistics().links_attached as usize, 2 * connections + count);
    world
}

fn beside_receivers(sizes: &[usize]) {
    assert_flat("a send and a receive beside receivers without credit", sizes, |count| {
        let mut world = receivers(count);
        send_and_consume(&mut world)
    });
}

#[test]
fn a_send_beside_receivers_without_credit_g2() {
    beside_receivers(&[1, 200, 1_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn a_send_beside_ten_thousand_receivers_without_credit_g2() {
    beside_receivers(&[1, 10_000]);
}

#[test]
fn a_disconnect_among_many_receivers_g5() {
    assert_flat("a disconnect of 60 receivers", &[60, 300, 1_200], |others| {
        let mut world = receivers(others);
        let client = world.connect();
        attach_receivers(&mut world, client, 60);
        let (id, clock) = (world.clients[client].id, world.clock);
        entries_of(&mut world, |world| world.broker.disconnect(id, clock))
    });
}

fn beside_connections(sizes: &[usize]) {
    assert_flat("a send and a receive beside connections", sizes, |count| {
        let config = BrokerConfig { max_connections: count + 1, ..BrokerConfig::default() };
        let mut world = World { broker: Broker::new(config, 7), ..World::new() };
        world.queue("queue", QueueDescription::default());
        world.connect();
        let (mut rx, mut tx) = (Broker::rx(), Broker::tx());
        let opening = opening();
        for _ in 0..count {
            let id = world.broker.connect(world.clock).unwrap();
            rx.spare()[..opening.len()].copy_from_slice(&opening);
            rx.commit(opening.len());
            world.broker.handle_input(id, world.clock, &mut rx).unwrap();
            while world.broker.poll_transmit(id, world.clock, &mut tx) {
                tx.clear();
            }
        }
        assert_eq!(world.broker.statistics().connections_open as usize, count + 1);
        send_and_consume(&mut world)
    });
}

/// A client's bytes up to its session.
fn opening() -> Vec<u8> {
    let response = &b"\0RootManageSharedAccessKey\0SAS_KEY_VALUE"[..];
    let init = SaslInit { mechanism: Symbol::new("PLAIN"), initial_response: Some(response), hostname: None };
    let sasl = [Protocol::Sasl.header().to_vec(), sasl_frame(&init)].concat();
    let amqp = [Protocol::Amqp.header().to_vec(), frame(0, &open("raw"), &[]), frame(0, &begin(None), &[])].concat();
    [sasl, amqp].concat()
}

#[test]
fn operations_beside_connections() {
    beside_connections(&[1, 50, 1_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn operations_beside_ten_thousand_connections() {
    beside_connections(&[1, 10_000]);
}

/// What many receivers with credit get at once is handed out in parts as well.
#[test]
fn one_call_hands_out_a_bounded_number_of_messages() {
    let mut world = World::with_queue(QueueDescription::default());
    let mut links = Vec::new();
    for _ in 0..150 {
        links.push(world.receiver(0, "queue").unwrap());
        let link = *links.last().unwrap();
        world.receive(0, link, 60);
    }
    let clock = world.clock;
    let before = world.broker.statistics();
    world.broker.with_namespace(clock, |namespace| {
        for _ in 0..8_000 {
            namespace.send("queue", message(None), clock.utc).unwrap();
        }
    });
    let delivered = world.broker.statistics().messages_delivered - before.messages_delivered;
    assert!((1_000..=5_000).contains(&delivered), "{delivered} of 8000");
    assert_eq!(world.broker.poll_timeout(), Some(clock.now), "the rest is due at once");
    world.advance(Duration::from_millis(100));
    let received: usize = links.iter().map(|link| world.taken(0, *link).len()).sum();
    assert_eq!(received, 8_000);
}

// Times.

/// The shortest of so many runs.
fn shortest(runs: usize, mut run: impl FnMut() -> std::time::Duration) -> std::time::Duration {
    (0..runs).map(|_| run()).min().unwrap_or_default()
}

/// Asserts that the larger size takes at most three times what linear growth has.
fn assert_linear(runs: usize, sizes: (usize, usize), linear: f64, mut run: impl FnMut(usize) -> std::time::Duration) {
    let small = shortest(runs, || run(sizes.0)).as_secs_f64();
    let large = shortest(runs, || run(sizes.1)).as_secs_f64();
    let ratio = large / small.max(1e-9);
    assert!(ratio <= 3.0 * linear, "{} takes {ratio} times as long as {}", sizes.1, sizes.0);
}

fn time_of(work: impl FnOnce()) -> std::time::Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn the_time_of_session_locks_that_end_together_g1() {
    assert_linear(3, (500, 8_000), 16.0, |count| {
        let (mut namespace, _) = locked_sessions(count);
        time_of(|| _ = end_all(&mut namespace, START + Duration::from_secs(61)))
    });
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn the_time_of_queues_that_delete_themselves_g4() {
    assert_linear(3, (250, 4_000), 16.0, |count| time_of(|| _ = idle_queues(count)));
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn the_time_of_a_send_beside_receivers_without_credit_g2() {
    // Receivers without credit cost nothing.
    assert_linear(1, (60, 6_000), 1.0, |count| {
        let mut world = receivers(count);
        let sender = world.sender(0, "queue").unwrap();
        shortest(20, || time_of(|| world.send_texts(0, sender, &["x"])))
    });
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn the_time_of_a_disconnect_among_many_receivers_g5() {
    assert_linear(5, (60, 6_000), 1.0, |others| {
        let mut world = receivers(others);
        let client = world.connect();
        attach_receivers(&mut world, client, 60);
        let (id, clock) = (world.clients[client].id, world.clock);
        time_of(|| world.broker.disconnect(id, clock))
    });
}
