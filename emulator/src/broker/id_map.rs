//! Maps and sets whose keys the broker makes itself: ids that it counts, and random lock tokens.
//!
//! No client can choose such keys so that they collide, so that a cheap hash does. Names and message ids, which clients
//! choose, are kept in ordered maps or under the standard library's hash.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by an id.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
/// A set of ids.
pub(crate) type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// Multiplies each word into the state.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

/// An odd number without a pattern in its bits: the fraction of the golden ratio (Knuth, The Art of Computer
/// Programming, volume 3, 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl IdHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.add(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // A table takes its place from the low bits and its tag from the high ones: the product is good in the high ones.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    fn hash(id: impl Hash) -> u64 {
        let mut hasher = IdHasher::default();
        id.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn counted_ids_spread_over_the_places_and_the_tags_of_a_table() {
        for count in [16_u64, 1_000, 65_536] {
            let low: HashSet<u64> = (0..count).map(|id| hash(id) % (2 * count).next_power_of_two()).collect();
            assert!(low.len() as u64 * 2 > count, "{count} ids in {} places", low.len());
        }
        let tags: HashSet<u64> = (0..1_000_u32).map(|id| hash(id) >> 57).collect();
        assert!(tags.len() > 100, "{} of 128 tags", tags.len());
    }

    #[test]
    fn bytes_count_with_their_order() {
        assert_ne!(hash([1_u8, 2, 3]), hash([3_u8, 2, 1]));
        assert_ne!(hash((1_u32, 2_u64)), hash((2_u32, 1_u64)));
    }
}
