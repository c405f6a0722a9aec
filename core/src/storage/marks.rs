//! Marked places of a table.

/// Places of a table with pending work: each is in here once, and they are taken in turn.
pub trait Marks {
    /// No place.
    fn empty() -> Self;
    /// Marks a place.
    fn mark(&mut self, place: u32);
    /// Takes the mark from a place, whose entry is gone.
    fn clear(&mut self, place: u32);
    /// Whether a place is marked.
    fn has(&self, place: u32) -> bool;
    /// Takes a marked place; the one that was taken last comes last.
    fn take(&mut self) -> Option<u32>;
    /// As many places as are marked now, or more.
    fn count(&self) -> usize;
    /// Whether none is marked; false also where some were and were cleared.
    fn is_empty(&self) -> bool;
}

/// Marks of up to `N` places, a bit each, in `WORDS` words ([`words`]).
#[derive(Debug)]
pub struct FixedMarks<const N: usize, const WORDS: usize> {
    /// The place behind the one that was taken last.
    next: u32,
    marked: [u32; WORDS],
}

/// The words that `places` bits take.
#[doc(hidden)]
pub const fn words(places: usize) -> usize {
    places.div_ceil(u32::BITS as usize)
}

/// The word of a place, and its bit in there. A place beyond all words has none.
fn split(place: u32) -> (usize, u32) {
    ((place / u32::BITS) as usize, 1 << (place % u32::BITS))
}

/// Sets or clears a bit. Not generic: it is there once for all sizes.
#[inline(never)]
fn set(marked: &mut [u32], place: u32, value: bool) {
    let (word, bit) = split(place);
    if let Some(word) = marked.get_mut(word) {
        *word = if value { *word | bit } else { *word & !bit };
    }
}

/// The first marked place from `from` on.
fn first_from(marked: &[u32], from: u32) -> Option<u32> {
    let (start, bit) = split(from);
    // Of its word, this bit and those above it.
    let mut asked = bit.wrapping_neg();
    for (at, word) in marked.iter().enumerate().skip(start) {
        let found = word & asked;
        if found != 0 {
            return Some(at as u32 * u32::BITS + found.trailing_zeros());
        }
        asked = u32::MAX;
    }
    None
}

/// Takes the first marked place from `next` on, or else from the front. Not generic, as above.
#[inline(never)]
fn take(marked: &mut [u32], next: &mut u32) -> Option<u32> {
    let place = first_from(marked, *next).or_else(|| first_from(marked, 0))?;
    set(marked, place, false);
    *next = place + 1;
    Some(place)
}

impl<const N: usize, const WORDS: usize> Marks for FixedMarks<N, WORDS> {
    fn empty() -> Self {
        Self { next: 0, marked: [0; WORDS] }
    }

    fn mark(&mut self, place: u32) {
        set(&mut self.marked, place, true);
    }

    fn clear(&mut self, place: u32) {
        set(&mut self.marked, place, false);
    }

    fn has(&self, place: u32) -> bool {
        let (word, bit) = split(place);
        self.marked.get(word).is_some_and(|word| word & bit != 0)
    }

    fn take(&mut self) -> Option<u32> {
        take(&mut self.marked, &mut self.next)
    }

    fn count(&self) -> usize {
        N
    }

    fn is_empty(&self) -> bool {
        self.marked.iter().all(|word| *word == 0)
    }
}

#[cfg(feature = "alloc")]
pub use heap::HeapMarks;

#[cfg(feature = "alloc")]
mod heap {
    use super::Marks;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    /// Marks in a ring with one entry a place: one whose mark was cleared keeps it until its turn.
    #[derive(Debug)]
    pub struct HeapMarks {
        ring: VecDeque<u32>,
        places: Vec<Place>,
    }

    #[derive(Clone, Copy, Debug, Default)]
    struct Place {
        marked: bool,
        in_ring: bool,
    }

    impl Marks for HeapMarks {
        fn empty() -> Self {
            Self { ring: VecDeque::new(), places: Vec::new() }
        }

        fn mark(&mut self, place: u32) {
            let index = place as usize;
            if self.places.len() <= index {
                self.places.resize(index + 1, Place::default());
            }
            let Some(found) = self.places.get_mut(index) else { return };
            if !found.in_ring {
                self.ring.push_back(place);
            }
            *found = Place { marked: true, in_ring: true };
        }

        fn clear(&mut self, place: u32) {
            if let Some(found) = self.places.get_mut(place as usize) {
                found.marked = false;
            }
        }

        fn has(&self, place: u32) -> bool {
            self.places.get(place as usize).is_some_and(|place| place.marked)
        }

        fn take(&mut self) -> Option<u32> {
            loop {
                let place = self.ring.pop_front()?;
                #[cfg(all(test, feature = "alloc"))]
                crate::storage::tests::note();
                if core::mem::take(self.places.get_mut(place as usize)?).marked {
                    return Some(place);
                }
            }
        }

        fn count(&self) -> usize {
            self.ring.len()
        }

        fn is_empty(&self) -> bool {
            self.ring.is_empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn each_has_its_turn<T: Marks>() {
        let mut marks = T::empty();
        for place in [2, 0, 2, 1] {
            marks.mark(place);
        }
        marks.clear(1);
        assert!(marks.count() >= 2);
        assert_eq!([0, 1, 2, 3].map(|place| marks.has(place)), [true, false, true, false]);
        let first = marks.take().unwrap();
        assert!(!marks.has(first));
        marks.mark(first);
        let second = marks.take().unwrap();
        assert_ne!(first, second, "one that is marked again comes last");
        assert_eq!((marks.take(), marks.take()), (Some(first), None));
        marks.mark(1);
        assert_eq!((marks.take(), marks.take()), (Some(1), None), "a mark that was cleared can be set again");
    }

    #[test]
    fn fixed_marks_are_taken_in_turn() {
        each_has_its_turn::<FixedMarks<3, { words(3) }>>();
    }

    fn all(marks: &mut impl Marks) -> Vec<u32> {
        core::iter::from_fn(|| marks.take()).collect()
    }

    #[test]
    fn fixed_marks_take_a_bit_a_place_and_their_turn_goes_through_all_words() {
        type Many = FixedMarks<70, { words(70) }>;
        assert_eq!((words(0), words(1), words(32), words(33), size_of::<Many>()), (0, 1, 1, 2, 4 * (1 + 3)));
        let mut marks = Many::empty();
        for place in [69, 31, 0, 32, 64, 100] {
            marks.mark(place);
        }
        assert!(marks.has(64) && !marks.has(63) && !marks.has(100), "there is no place 100");
        assert_eq!(all(&mut marks), [0, 31, 32, 64, 69]);
        for place in [1, 68, 33] {
            marks.mark(place);
        }
        assert_eq!((marks.take(), marks.is_empty()), (Some(1), false), "from the front, behind the last one");
        marks.mark(2);
        marks.mark(0);
        assert_eq!(all(&mut marks), [2, 33, 68, 0]);
        assert!(marks.is_empty());
        let mut none = FixedMarks::<0, { words(0) }>::empty();
        none.mark(0);
        assert_eq!((none.take(), none.is_empty()), (None, true));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn marks_on_the_heap_are_taken_in_turn_and_have_one_entry_a_place() {
        each_has_its_turn::<HeapMarks>();
        let mut marks = HeapMarks::empty();
        for _ in 0..1_000 {
            marks.mark(0);
            marks.clear(0);
        }
        assert_eq!(marks.count(), 1);
    }
}
