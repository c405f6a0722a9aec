//! Idle receivers cost nothing.
//!
//! The work of one step is compared between clients with few and with many idle receivers. Its shortest of many times
//! is taken: a machine that is busy makes some of them longer, and not all. Where each step scans all receivers,
//! twenty times as many take about twenty times as long.

use crate::stage::{SECOND, observe, settings, world};
use servicebus_core::machine::{ClientMachine, Clock};
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::storage::{Heap, Storage, TxOf};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::Server;
use servicebus_tests::fault::Judge;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Idle receivers: few, and twenty times as many.
const FEW: usize = 200;
const MANY: usize = 4_000;

type Step = fn(&mut ClientMachine<Heap>, Clock, &mut TxOf<Heap>);

/// The shortest time of a step.
fn shortest(machine: &mut ClientMachine<Heap>, clock: Clock, step: Step) -> Duration {
    let mut tx = Heap::tx(65_536);
    let times = (0..200).map(|_| {
        let began = Instant::now();
        step(machine, clock, &mut tx);
        began.elapsed()
    });
    times.min().unwrap_or_default()
}

const STEPS: [(&str, Step); 5] = [
    ("poll_timeout", |machine, _, _| {
        black_box(machine.poll_timeout());
    }),
    ("handle_timeout", |machine, clock, _| machine.handle_timeout(clock)),
    ("poll_transmit after a timeout", |machine, clock, tx| {
        machine.handle_timeout(clock);
        machine.poll_transmit(clock, tx);
    }),
    ("a call that begins and ends", |machine, clock, _| {
        let operation = machine.start(None, Some(clock.now + SECOND)).expect("room");
        machine.finish(operation);
    }),
    ("poll_notice", |machine, _, _| {
        black_box(machine.poll_notice());
    }),
];

/// The shortest times of each step beside so many idle receivers.
fn times(receivers: usize) -> Vec<Duration> {
    observe(&world(QueueDescription::default()), async move |world| {
        // No link is attached: that alone would take minutes here, and an idle receiver is an entry all the same.
        world.set_server(Server::Sends(crate::flood::opening()));
        let (client, state) = world.client_and_state(settings(&world, RetryPolicy::default()));
        let kept: Vec<_> = (0..receivers).map(|_| client.receiver("q").unwrap()).collect();
        world.sleep(SECOND / 10).await;
        let clock = world.clock();
        let mut state = state.borrow_mut();
        let machine = state.machine();
        let times = STEPS.iter().map(|(_, step)| shortest(machine, clock, *step)).collect();
        drop(state);
        drop(kept);
        times
    })
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn no_step_takes_longer_with_more_idle_receivers_c22() {
    let (few, many) = (times(FEW), times(MANY));
    let mut judge = Judge::new();
    for (((name, _), few), many) in STEPS.iter().zip(few).zip(many) {
        // The clock cannot measure steps of nanoseconds.
        let floor = Duration::from_micros(2);
        let ratio = many.max(floor).as_nanos() / few.max(floor).as_nanos();
        println!("{name}: {few:?} with {FEW}, {many:?} with {MANY}");
        judge.case(format!("{name}: {few:?}, {many:?}"), ratio, |ratio| *ratio < 6, |ratio| *ratio >= 6);
    }
    judge.finish();
}
