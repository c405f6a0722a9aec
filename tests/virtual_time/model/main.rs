//! Random sequences of every verb against the broker and its model, in virtual time.
//!
//! `MODEL_STEPS=1000000` runs more steps, `MODEL_SEED=…` one sequence only: that of a failure.

mod bench;
mod citations;
mod compare;
mod endings;
mod known;
mod run;
mod verbs;

use run::{Failed, Run};
use servicebus_tests::model::Plant;
use servicebus_tests::model::known::{KNOWN, Row};
use servicebus_tests::model::shrinking::shrink;
use servicebus_tests::model::steps::Sequence;
use std::time::Instant;

/// Steps of a sequence.
const LENGTH: usize = 100;

fn tolerated() -> Vec<Row> {
    KNOWN.iter().map(|known| known.row).collect()
}

fn quietly<T>(act: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = act();
    std::panic::set_hook(hook);
    result
}

/// The report on a sequence that fails: its seed and its shortest form.
fn report(seed: u64, sequence: &Sequence, plant: Option<Plant>) -> (Sequence, String) {
    let rows = tolerated();
    let fails = |sequence: &Sequence| Run::sequence(sequence, &rows, plant).is_err();
    let short = quietly(|| shrink(sequence, fails));
    let Err(Failed { step, text }) = quietly(|| Run::sequence(&short, &rows, plant)) else { panic!("it fails") };
    let mut lines = format!("MODEL_SEED={seed}\n{:?}\n", short.setup);
    for (number, step) in short.steps.iter().enumerate() {
        lines += &format!("{number:3}: {step:?}\n");
    }
    (short, format!("{lines}step {step} differs: {text}"))
}

#[test]
fn random_sequences_do_what_the_model_allows() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let rows = tolerated();
    let check = |seed| {
        let sequence = Sequence::of_seed(seed, LENGTH);
        if quietly(|| Run::sequence(&sequence, &rows, None)).is_err() {
            panic!("{}", report(seed, &sequence, None).1);
        }
    };
    if let Some(seed) = number("MODEL_SEED") {
        return check(seed);
    }
    let steps = number("MODEL_STEPS").unwrap_or(100_000);
    let start = Instant::now();
    for seed in 0..steps.div_ceil(LENGTH as u64) {
        check(seed);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{steps} steps in {seconds:.1} s: {:.0} a second", steps as f64 / seconds);
}

#[test]
fn a_sequence_that_fails_shrinks_and_replays_from_its_seed() {
    let plant = Some(Plant::OneDeliveryMore);
    let rows = tolerated();
    let fails = |seed: &u64| Run::sequence(&Sequence::of_seed(*seed, LENGTH), &rows, plant).is_err();
    let seed = quietly(|| (0..200).find(fails)).expect("a seed that shows the wrong rule");
    let (short, text) = report(seed, &Sequence::of_seed(seed, LENGTH), plant);
    println!("{text}");
    assert!(short.steps.len() <= 15, "{text}");
    assert!(text.starts_with(&format!("MODEL_SEED={seed}\n")));
    let again = report(seed, &Sequence::of_seed(seed, LENGTH), plant);
    assert_eq!((short, text), again);
}
