//! A small seeded generator for names and jitter. Randomness, like time, is an input: the seed comes from outside.

/// SplitMix64: a counter through a mixing function. Not for secrets.
///
/// # Examples
///
/// ```
/// use servicebus_core::random::Random;
///
/// let mut random = Random::seeded(7);
/// let (first, second) = (random.next(), random.next());
/// assert_ne!(first, second);
/// assert_eq!(Random::seeded(7).next(), first);
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::random::Random;
    /// assert_eq!(Random::seeded(1).next(), Random::seeded(1).next());
    /// assert_ne!(Random::seeded(1).next(), Random::seeded(2).next());
    /// ```
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::random::Random;
    /// let mut random = Random::seeded(7);
    /// let jitter = random.next() % 100;
    /// assert!(jitter < 100);
    /// ```
    #[inline(never)]
    #[expect(clippy::should_implement_trait, reason = "a generator never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or zero when `bound` is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::random::Random;
    /// let mut random = Random::seeded(7);
    /// assert!((0..100).all(|_| random.below(6) < 6));
    /// assert_eq!(random.below(0), 0);
    /// ```
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// The bytes of a version 4 UUID (RFC 9562 §5.4).
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::random::Random;
    /// use servicebus_core::wire::Uuid;
    ///
    /// let id = Uuid(Random::seeded(7).uuid()).to_string();
    /// assert_eq!((id.len(), &id[14..15]), (36, "4"));
    /// ```
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (high, low) = (self.next().to_be_bytes(), self.next().to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(high.into_iter().chain(low)) {
            *to = from;
        }
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }
}
