//! Work that grows faster than its input: times of two sizes are compared, with wide gaps, since builds and
//! machines differ. A send to a topic is not among them: what it takes is linear in the filters that have to be
//! evaluated.

use servicebus_core::servicebus::Message;
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::Role;
use servicebus_emulator::broker::entities::{Namespace, QueueDescription};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;
use std::time::Instant;

/// The shortest of so many runs.
fn shortest(runs: usize, mut run: impl FnMut() -> std::time::Duration) -> std::time::Duration {
    (0..runs).map(|_| run()).min().unwrap_or_default()
}

/// How many times as long the larger size takes.
fn ratio(runs: usize, sizes: (usize, usize), mut run: impl FnMut(usize) -> std::time::Duration) -> f64 {
    let small = shortest(runs, || run(sizes.0)).as_secs_f64();
    let large = shortest(runs, || run(sizes.1)).as_secs_f64();
    large / small.max(1e-9)
}

/// Judges a ratio: up to three times of what linear growth has is linear.
fn judge_growth(judge: &mut Judge, name: &str, ratio: f64, linear: f64) {
    judge.case(name, ratio, |ratio| *ratio <= 3.0 * linear, |ratio| *ratio > 3.0 * linear);
}

const FEW: &str = "one kind of work, compared at two sizes";

fn time_of(work: impl FnOnce()) -> std::time::Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[known_fault("G1")]
#[ignore = "tests/run all: wall clock"]
fn session_locks_that_end_together_g1() {
    let mut judge = Judge::of_few(1, FEW);
    let ratio = ratio(3, (500, 8_000), |count| {
        let mut namespace = Namespace::new(1);
        let description = QueueDescription { requires_session: true, ..QueueDescription::default() };
        namespace.create_queue("queue", description, START).unwrap();
        let store = namespace.queue("queue").unwrap().stores.main;
        for n in 0..count {
            namespace.accept_session(store, Some(&n.to_string()), n as u64, START).unwrap();
        }
        namespace.take_signals();
        time_of(|| namespace.handle_timeout(START + Duration::from_secs(61)))
    });
    judge_growth(&mut judge, "8 000 to 500 locks", ratio, 16.0);
    judge.finish();
}

#[known_fault("G4")]
#[ignore = "tests/run all: wall clock"]
fn queues_that_delete_themselves_g4() {
    let mut judge = Judge::of_few(1, FEW);
    let ratio = ratio(3, (250, 4_000), |count| {
        let mut namespace = Namespace::new(1);
        let idle = Some(Duration::from_secs(600));
        time_of(|| {
            for n in 0..count {
                let description = QueueDescription { auto_delete_on_idle: idle, ..QueueDescription::default() };
                namespace.create_queue(&format!("queue-{n}"), description, START).unwrap();
            }
        })
    });
    judge_growth(&mut judge, "4 000 to 250 queues", ratio, 16.0);
    judge.finish();
}

/// Attaches so many receivers without credit at once.
fn attach_receivers(world: &mut World, client: usize, count: usize) {
    for _ in 0..count {
        let name = world.name(client);
        let attach = attach_of(&name, Role::Receiver, "queue", false, None, None);
        let found = &mut world.clients[client];
        found.engine.attach(found.session, &attach).unwrap();
    }
    world.settle_down();
}

/// A world with so many receivers without credit on one queue, over thirty connections, and a client beside them.
fn receivers(count: usize) -> World {
    let mut world = World::with_queue(QueueDescription::default());
    for _ in 0..30 {
        let client = world.connect();
        attach_receivers(&mut world, client, count / 30);
    }
    assert_eq!(world.broker.statistics().links_attached as usize, 2 * 31 + count);
    world
}

#[known_fault("G2")]
#[ignore = "tests/run all: wall clock"]
fn a_send_beside_receivers_without_credit_g2() {
    let mut judge = Judge::of_few(1, FEW);
    let ratio = ratio(1, (60, 6_000), |count| {
        let mut world = receivers(count);
        let sender = world.sender(0, "queue").unwrap();
        shortest(20, || time_of(|| world.send_texts(0, sender, &["x"])))
    });
    // Receivers without credit cost nothing.
    judge_growth(&mut judge, "a send beside 6 000 to 60 receivers", ratio, 1.0);
    judge.finish();
}

#[known_fault("G5")]
#[ignore = "tests/run all: wall clock"]
fn a_disconnect_among_many_receivers_g5() {
    let mut judge = Judge::of_few(1, FEW);
    let ratio = ratio(5, (60, 6_000), |others| {
        let mut world = receivers(others);
        let client = world.connect();
        attach_receivers(&mut world, client, 60);
        let (id, clock) = (world.clients[client].id, world.clock);
        time_of(|| world.broker.disconnect(id, clock))
    });
    judge_growth(&mut judge, "a disconnect of 60 among 6 000 to 60 receivers", ratio, 1.0);
    judge.finish();
}

#[known_fault("G6")]
fn one_call_ends_only_some_of_the_locks_g6() {
    let mut judge = Judge::new();
    // How many is undecided; each lock that ends keeps all connections waiting. The full size is a million.
    for (count, seconds) in [(20_000, 5), (20_000, 60), (25_000, 30), (30_000, 300), (40_000, 5)] {
        let mut namespace = Namespace::new(1);
        let lock_duration = Duration::from_secs(seconds);
        let description = QueueDescription { lock_duration, ..QueueDescription::default() };
        namespace.create_queue("queue", description, START).unwrap();
        let store = namespace.queue("queue").unwrap().stores.main;
        let bytes = encoded(&Message::new("x"));
        for _ in 0..count {
            let message = servicebus_emulator::broker::entities::Message::accept(bytes.clone()).unwrap();
            namespace.send("queue", message, START).unwrap();
            namespace.receive(store, None, START).unwrap();
        }
        namespace.handle_timeout(START + lock_duration + Duration::from_secs(1));
        let left = namespace.store(store).unwrap().lock_count();
        judge.case(format!("{count} locks of {seconds} s"), left, |left| *left > 0, |left| *left == 0);
    }
    judge.finish();
}
