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

/// Marks of up to `N` places.
#[derive(Debug)]
pub struct FixedMarks<const N: usize> {
    /// The place behind the one that was taken last.
    next: usize,
    marked: [bool; N],
}

/// Takes the first marked place from `next` on. Not generic: it is there once for all sizes.
#[inline(never)]
fn take(marked: &mut [bool], next: &mut usize) -> Option<u32> {
    for _ in 0..marked.len() {
        let place = *next;
        *next = if place + 1 < marked.len() { place + 1 } else { 0 };
        if core::mem::take(marked.get_mut(place)?) {
            return Some(place as u32);
        }
    }
    None
}

impl<const N: usize> FixedMarks<N> {
    fn set(&mut self, place: u32, value: bool) {
        if let Some(mark) = self.marked.get_mut(place as usize) {
            *mark = value;
        }
    }
}

impl<const N: usize> Marks for FixedMarks<N> {
    fn empty() -> Self {
        Self { next: 0, marked: [false; N] }
    }

    fn mark(&mut self, place: u32) {
        self.set(place, true);
    }

    fn clear(&mut self, place: u32) {
        self.set(place, false);
    }

    fn has(&self, place: u32) -> bool {
        self.marked.get(place as usize).is_some_and(|marked| *marked)
    }

    fn take(&mut self) -> Option<u32> {
        take(&mut self.marked, &mut self.next)
    }

    fn count(&self) -> usize {
        N
    }

    fn is_empty(&self) -> bool {
        !self.marked.contains(&true)
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
        each_has_its_turn::<FixedMarks<3>>();
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
