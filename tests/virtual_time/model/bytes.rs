//! Bytes hold sequences: `fuzz/targets/model.rs` lets a fuzzer change them.

use crate::LENGTH;
use servicebus_tests::model::steps::{CHUNK, Sequence};

#[test]
fn bytes_hold_the_sequence_of_a_seed() {
    for seed in 0..1_000 {
        let bytes = Sequence::bytes_of_seed(seed, LENGTH);
        assert_eq!(bytes.len(), CHUNK * (1 + LENGTH));
        assert_eq!(Sequence::of_bytes(&bytes, LENGTH), Sequence::of_seed(seed, LENGTH), "seed {seed}");
    }
}

#[test]
fn another_chunk_is_another_step_and_changes_no_other() {
    for seed in 0..100 {
        let mut bytes = Sequence::bytes_of_seed(seed, LENGTH);
        let at = 1 + usize::try_from(seed).unwrap() % LENGTH;
        for byte in &mut bytes[at * CHUNK..][..CHUNK] {
            *byte = byte.wrapping_add(101);
        }
        let (before, after) = (Sequence::of_seed(seed, LENGTH), Sequence::of_bytes(&bytes, LENGTH));
        assert_eq!(before.setup, after.setup);
        let differs = |number: &usize| before.steps[*number] != after.steps[*number];
        assert_eq!((0..LENGTH).filter(differs).collect::<Vec<_>>(), [at - 1], "seed {seed}");
    }
}

#[test]
fn any_bytes_are_a_sequence() {
    for length in 0..4 * CHUNK {
        for byte in [0, 1, 127, 255] {
            let sequence = Sequence::of_bytes(&vec![byte; length], LENGTH);
            assert_eq!(sequence.steps.len(), length.div_ceil(CHUNK).saturating_sub(1));
        }
    }
}
