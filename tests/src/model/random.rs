//! Numbers that steps are chosen by: those of a seed, or those that bytes hold.

/// A source of numbers that depends on nothing but its seed or its bytes.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    /// The numbers of a seed; the bytes that hold them are kept.
    Recorded(u64, Vec<u8>),
    Bytes(Vec<u8>, usize),
}

impl Random {
    /// One that begins with a seed.
    pub const fn new(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// One that begins with a seed and records its numbers: [`Self::recorded`].
    pub const fn recording(seed: u64) -> Self {
        Self(Source::Recorded(seed, Vec::new()))
    }

    /// One that reads its numbers from bytes, each from as few as hold it; behind their end all are 0.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Source::Bytes(bytes.to_vec(), 0))
    }

    /// Takes the bytes that have been recorded.
    pub fn recorded(&mut self) -> Vec<u8> {
        match &mut self.0 {
            Source::Recorded(_, bytes) => std::mem::take(bytes),
            _ => Vec::new(),
        }
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        // As many bytes as the largest number has.
        let width = 8 - (limit.saturating_sub(1).leading_zeros() as usize / 8).min(7);
        match &mut self.0 {
            Source::Seed(state) => mixed(state) % limit,
            Source::Recorded(state, bytes) => {
                let number = mixed(state) % limit;
                bytes.extend(&number.to_be_bytes()[8 - width..]);
                number
            }
            Source::Bytes(bytes, at) => {
                let next = bytes.get(*at..).unwrap_or_default().iter().copied().chain(std::iter::repeat(0));
                *at += width;
                next.take(width).fold(0, |number, byte| (number << 8) | u64::from(byte)) % limit
            }
        }
    }

    /// A number below a limit.
    pub fn small(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(u64::from(limit))).expect("it is below the limit")
    }

    /// True in one of so many cases.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// One of several values.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).expect("it is below the length")]
    }
}

/// The next number of a seed (the mixing function is SplitMix64's).
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
