//! Steps of clients, chosen by the bytes, on the emulator and on the model of its broker: the emulator does what the model
//! allows. Known differences are tolerated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicebus_tests::model::driver::{quietly, report, run, tolerated};
use servicebus_tests::model::steps::Sequence;

/// Most steps of an input, so that one takes far less than a second.
const STEPS: usize = 200;
/// Steps that are run to shorten a sequence that fails: a few seconds of an input's ten.
const SHRINKING: usize = 20_000;

fuzz_target!(|bytes: &[u8]| {
    let sequence = Sequence::of_bytes(bytes, STEPS);
    if quietly(|| run(&sequence, &tolerated(), None)).is_err() {
        panic!("{}", report(&sequence, None, SHRINKING).1);
    }
});
