//! Random sequences of every verb against the broker and its model, in virtual time.
//!
//! `MODEL_STEPS=1000000` runs more steps, `MODEL_SEED=…` one sequence only: that of a failure.

mod bytes;
mod citations;
mod known;
mod known_answers;

use servicebus_tests::model::Plant;
use servicebus_tests::model::driver::{self, quietly, tolerated};
use servicebus_tests::model::steps::Sequence;
use std::time::Instant;

/// Steps of a sequence.
const LENGTH: usize = 100;

/// What a sequence that fails is reported as: its seed and its shortest form.
fn report(seed: u64, sequence: &Sequence, plant: Option<Plant>) -> (Sequence, String) {
    let (short, text) = driver::report(sequence, plant, usize::MAX);
    (short, format!("MODEL_SEED={seed}\n{text}"))
}

#[test]
fn random_sequences_do_what_the_model_allows() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let rows = &tolerated();
    let fails = move |seed: &u64| quietly(|| driver::run(&Sequence::of_seed(*seed, LENGTH), rows, None)).is_err();
    let seeds = match number("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MODEL_STEPS").unwrap_or(100_000).div_ceil(LENGTH as u64),
    };
    let steps = (seeds.end - seeds.start) * LENGTH as u64;
    let start = Instant::now();
    // A sequence is a world of its own: each core runs every n-th.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failed: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let seeds = seeds.clone().skip(core).step_by(cores);
                scope.spawn(move || seeds.filter(fails).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a sequence ends in a result")).collect()
    });
    failed.sort_unstable();
    if let [first, others @ ..] = &failed[..] {
        let text = report(*first, &Sequence::of_seed(*first, LENGTH), None).1;
        panic!("{text}\nseeds that fail too: {others:?}");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{steps} steps in {seconds:.1} s: {:.0} a second", steps as f64 / seconds);
}

#[test]
fn a_sequence_that_fails_shrinks_and_replays_from_its_seed() {
    let plant = Some(Plant::OneDeliveryMore);
    let rows = tolerated();
    let fails = |seed: &u64| driver::run(&Sequence::of_seed(*seed, LENGTH), &rows, plant).is_err();
    let seed = quietly(|| (0..200).find(fails)).expect("a seed that shows the wrong rule");
    let (short, text) = report(seed, &Sequence::of_seed(seed, LENGTH), plant);
    println!("{text}");
    assert!(short.steps.len() <= 15, "{text}");
    assert!(text.starts_with(&format!("MODEL_SEED={seed}\n")));
    let again = report(seed, &Sequence::of_seed(seed, LENGTH), plant);
    assert_eq!((short, text), again);
}
