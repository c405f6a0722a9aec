//! Holds the broker against the model: runs a sequence on both in virtual time and reports the first difference.

mod administering;
mod bench;
mod compare;
mod endings;
mod run;
mod verbs;

pub use run::Failed;

use super::Plant;
use super::known::{KNOWN, Row};
use super::shrinking::shrink;
use super::steps::Sequence;
use run::Run;
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Once;

/// The rows of all known differences.
pub fn tolerated() -> Vec<Row> {
    KNOWN.iter().map(|known| known.row).collect()
}

/// Runs all steps of a sequence, against a model that tolerates the differences of these rows.
///
/// # Errors
/// The first difference.
pub fn run(sequence: &Sequence, tolerated: &[Row], plant: Option<Plant>) -> Result<(), Failed> {
    Run::sequence(sequence, tolerated, plant)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `act` without a message for each panic of this thread: the broker's panics are differences too, and are caught.
pub fn quietly<T>(act: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                hook(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = act();
    QUIET.set(before);
    result
}

/// The shortest form of a sequence that fails, and its text: the world, the steps and the difference.
///
/// Shrinking ends after about this many steps were run.
pub fn report(sequence: &Sequence, plant: Option<Plant>, steps: usize) -> (Sequence, String) {
    let rows = tolerated();
    let mut left = steps;
    let fails = |sequence: &Sequence| {
        let affordable = left > 0;
        left = left.saturating_sub(sequence.steps.len());
        affordable && run(sequence, &rows, plant).is_err()
    };
    let short = quietly(|| shrink(sequence, fails));
    let Err(Failed { step, text }) = quietly(|| run(&short, &rows, plant)) else { panic!("it fails") };
    let mut lines = format!("{:?}\n", short.setup);
    for (number, step) in short.steps.iter().enumerate() {
        writeln!(lines, "{number:3}: {step:?}").expect("a text takes everything");
    }
    (short, format!("{lines}step {step} differs: {text}"))
}
