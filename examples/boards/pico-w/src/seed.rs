//! Seeds made of the RP2040's ring oscillator. The chip has no generator of true random numbers, and its data sheet says that
//! the oscillator's bits are not for security: one bit is predictable in part, and neighbours depend on each other.

use sha2::{Digest, Sha256};

/// Bytes that are checked together.
const BLOCK: usize = 128;
/// 64 KiB in all. At an eighth of a bit of entropy in each sampled bit, what the checks assume, that is 256 times a seed.
const BLOCKS: usize = 512;
/// Equal bytes in a row, and bytes of a block that equal the one at a fixed distance: by the repetition count and adaptive
/// proportion tests of NIST SP 800-90B, for one bit of entropy in a byte and a false alarm in 2^30.
const RUN: usize = 31;
const REPEATS: usize = 99;
const DISTANCES: usize = 16;
/// Ones in a block of 1,024 bits, and zeros, by the same test.
const LIKELIEST: u32 = 993;

/// SHA-256 over `salt` and the samples; `None` when they show that the oscillator stands still, leans to one side or is
/// locked to the clock that samples it, with a short period.
pub(crate) fn seed(salt: &[u8], mut sample: impl FnMut() -> u8) -> Option<[u8; 32]> {
    let mut digest = Sha256::new().chain_update(salt);
    let (mut last, mut run) = (sample(), 1);
    for _ in 0..BLOCKS {
        let block: [u8; BLOCK] = core::array::from_fn(|_| sample());
        for byte in block {
            run = if byte == last { run + 1 } else { 1 };
            if run >= RUN {
                return None;
            }
            last = byte;
        }
        let ones: u32 = block.iter().map(|byte| byte.count_ones()).sum();
        let repeats = |distance| block.iter().zip(&block[distance..]).filter(|(one, other)| one == other).count();
        if ones.max(BLOCK as u32 * 8 - ones) >= LIKELIEST
            || (1..=DISTANCES).any(|distance| repeats(distance) >= REPEATS)
        {
            return None;
        }
        digest.update(block);
    }
    Some(digest.finalize().into())
}
