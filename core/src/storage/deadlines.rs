//! Deadlines: one for each place of a few rows, and the earliest of all.

use crate::time::Instant;

/// Rows with a place for every link.
const LINK_ROWS: usize = 3;
/// Rows with a place for every delivery; they follow those of links.
const DELIVERY_ROWS: usize = 1;
/// Rows with a few places.
const SMALL_ROWS: usize = 5;
/// All rows. The last one has a place for every link where messages are fetched ahead, and none elsewhere.
pub const ROWS: usize = LINK_ROWS + DELIVERY_ROWS + SMALL_ROWS + 1;
/// Places of a small row in fixed storage.
const FEW: usize = 3;

/// Deadlines by row and place.
pub trait Deadlines {
    /// None at all.
    fn empty() -> Self;
    /// The deadline of a place.
    fn get(&self, row: usize, place: u32) -> Option<Instant>;
    /// Sets or clears the deadline of a place; true when [`Deadlines::next`] is earlier than before.
    fn set(&mut self, row: usize, place: u32, at: Option<Instant>) -> bool;
    /// The earliest deadline, or a time before it: cleared and postponed deadlines are not searched for.
    fn next(&self) -> Option<Instant>;
    /// Clears a deadline that has passed and returns its row and place.
    fn pop(&mut self, now: Instant) -> Option<(usize, u32)>;
}

/// Places for `links` and `deliveries`, and whether messages are fetched ahead.
#[doc(hidden)]
pub const fn deadlines(links: usize, deliveries: usize, prefetch: bool) -> usize {
    let rows = if prefetch { LINK_ROWS + 1 } else { LINK_ROWS };
    rows * links + DELIVERY_ROWS * deliveries + SMALL_ROWS * FEW
}

/// Deadlines for `L` links and `D` deliveries, `N` together ([`deadlines`]): a scan of a few entries finds the
/// earliest.
#[derive(Debug)]
pub struct FixedDeadlines<const L: usize, const D: usize, const N: usize> {
    next: Option<Instant>,
    /// One row behind another.
    places: [Option<Instant>; N],
}

/// The earliest of some deadlines, and its place. Not generic: it is there once for storages of all sizes.
#[inline(never)]
fn earliest(places: &[Option<Instant>]) -> Option<(usize, Instant)> {
    let mut earliest: Option<(usize, Instant)> = None;
    for (place, at) in places.iter().enumerate() {
        if let Some(at) = *at
            && earliest.is_none_or(|(_, known)| at < known)
        {
            earliest = Some((place, at));
        }
    }
    earliest
}

impl<const L: usize, const D: usize, const N: usize> FixedDeadlines<L, D, N> {
    /// How many places a row has.
    const fn len(row: usize) -> usize {
        match row {
            ..LINK_ROWS => L,
            LINK_ROWS => D,
            _ if row + 1 < ROWS => FEW,
            _ => L,
        }
    }

    /// Where a deadline is.
    const fn index(row: usize, place: u32) -> usize {
        let first = match row {
            ..=LINK_ROWS => row * L,
            _ => LINK_ROWS * L + D + (row - LINK_ROWS - 1) * FEW,
        };
        first + place as usize
    }
}

impl<const L: usize, const D: usize, const N: usize> Deadlines for FixedDeadlines<L, D, N> {
    fn empty() -> Self {
        Self { next: None, places: [None; N] }
    }

    #[inline(never)]
    fn get(&self, row: usize, place: u32) -> Option<Instant> {
        *self.places.get(Self::index(row, place))?
    }

    fn set(&mut self, row: usize, place: u32, at: Option<Instant>) -> bool {
        if let Some(entry) = self.places.get_mut(Self::index(row, place)) {
            *entry = at;
        }
        let sooner = at.is_some_and(|at| self.next.is_none_or(|next| at < next));
        if sooner {
            self.next = at;
        }
        sooner
    }

    fn next(&self) -> Option<Instant> {
        self.next
    }

    #[inline(never)]
    fn pop(&mut self, now: Instant) -> Option<(usize, u32)> {
        let found = earliest(&self.places);
        self.next = found.map(|(_, at)| at);
        let (mut place, _) = found.filter(|(_, at)| *at <= now)?;
        if let Some(entry) = self.places.get_mut(place) {
            *entry = None;
        }
        let mut row = 0;
        while place >= Self::len(row) {
            place -= Self::len(row);
            row += 1;
        }
        Some((row, place as u32))
    }
}

#[cfg(feature = "alloc")]
pub use heap::HeapDeadlines;

#[cfg(feature = "alloc")]
mod heap {
    use super::{Deadlines, ROWS};
    use crate::time::Instant;
    use alloc::vec::Vec;

    /// A place's deadline, and where it is in the heap.
    #[derive(Clone, Copy, Debug, Default)]
    struct Entry {
        at: Option<Instant>,
        /// Its place in the heap, and one; zero when it is not there.
        queued: u32,
    }

    /// Deadlines in a binary heap with one entry a place. An entry whose deadline was put off or cleared keeps its old
    /// time until that comes: most deadlines are cleared, and never looked for again.
    #[derive(Debug)]
    pub struct HeapDeadlines {
        rows: [Vec<Entry>; ROWS],
        heap: Vec<(Instant, u8, u32)>,
    }

    impl HeapDeadlines {
        fn entry(&mut self, row: usize, place: u32) -> Option<&mut Entry> {
            let row = self.rows.get_mut(row)?;
            if row.len() <= place as usize {
                row.resize(place as usize + 1, Entry::default());
            }
            row.get_mut(place as usize)
        }

        /// Puts an entry into its place of the heap.
        fn place(&mut self, at: usize, entry: (Instant, u8, u32)) {
            if let Some(slot) = self.heap.get_mut(at) {
                *slot = entry;
            }
            let (_, row, place) = entry;
            if let Some(found) = self.rows.get_mut(usize::from(row)).and_then(|row| row.get_mut(place as usize)) {
                found.queued = at as u32 + 1;
            }
        }

        fn rise(&mut self, mut at: usize, entry: (Instant, u8, u32)) {
            while at > 0 {
                let parent = (at - 1) / 2;
                let Some(&above) = self.heap.get(parent).filter(|above| **above > entry) else { break };
                self.place(at, above);
                at = parent;
            }
            self.place(at, entry);
        }

        fn sink(&mut self, mut at: usize, entry: (Instant, u8, u32)) {
            loop {
                let left = at * 2 + 1;
                let Some(&first) = self.heap.get(left) else { break };
                let (child, below) = match self.heap.get(left + 1) {
                    Some(&second) if second < first => (left + 1, second),
                    _ => (left, first),
                };
                if below >= entry {
                    break;
                }
                self.place(at, below);
                at = child;
            }
            self.place(at, entry);
        }

        /// Takes the root out.
        fn remove_first(&mut self) {
            let Some(last) = self.heap.pop() else { return };
            if !self.heap.is_empty() {
                self.sink(0, last);
            }
        }
    }

    impl Deadlines for HeapDeadlines {
        fn empty() -> Self {
            Self { rows: [const { Vec::new() }; ROWS], heap: Vec::new() }
        }

        #[inline]
        fn get(&self, row: usize, place: u32) -> Option<Instant> {
            self.rows.get(row)?.get(place as usize)?.at
        }

        fn set(&mut self, row: usize, place: u32, at: Option<Instant>) -> bool {
            let Some(entry) = self.entry(row, place) else { return false };
            entry.at = at;
            let queued = entry.queued as usize;
            let Some(at) = at else { return false };
            let new = (at, row as u8, place);
            let sooner = self.heap.first().is_none_or(|first| at < first.0);
            if queued == 0 {
                self.heap.push(new);
                self.rise(self.heap.len() - 1, new);
            } else if self.heap.get(queued - 1).is_some_and(|known| at < known.0) {
                self.rise(queued - 1, new);
            }
            sooner
        }

        #[inline]
        fn next(&self) -> Option<Instant> {
            self.heap.first().map(|first| first.0)
        }

        fn pop(&mut self, now: Instant) -> Option<(usize, u32)> {
            loop {
                let &(_, number, place) = self.heap.first().filter(|first| first.0 <= now)?;
                let row = usize::from(number);
                let entry = self.entry(row, place)?;
                match entry.at {
                    // It was put off.
                    Some(at) if at > now => self.sink(0, (at, number, place)),
                    found => {
                        *entry = Entry::default();
                        self.remove_first();
                        if found.is_some() {
                            return Some((row, place));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use alloc::vec::Vec;

    /// Sets and clears deadlines at random, and compares with a list.
    fn as_a_list<T: Deadlines>() {
        for seed in 0..50 {
            let mut random = Random::seeded(seed);
            let mut deadlines = T::empty();
            let mut list: Vec<((usize, u32), Instant)> = Vec::new();
            let mut now = 0;
            for _ in 0..400 {
                let row = random.below(ROWS as u64) as usize;
                let place = random.below(3) as u32;
                let at = (random.below(3) > 0).then(|| Instant::from_micros(now + random.below(1_000)));
                list.retain(|(known, _)| *known != (row, place));
                let first = deadlines.next();
                let moved = deadlines.set(row, place, at);
                list.extend(at.map(|at| ((row, place), at)));
                assert_eq!(deadlines.get(row, place), at);
                assert_eq!(moved, deadlines.next() != first, "whether the earliest moved");
                let earliest = list.iter().map(|(_, at)| *at).min();
                assert!(deadlines.next() <= earliest || earliest.is_none(), "late");
                assert!(deadlines.next().is_some() || earliest.is_none(), "forgotten");
                now += random.below(200);
                let moment = Instant::from_micros(now);
                while let Some(popped) = deadlines.pop(moment) {
                    let at = list.iter().position(|(known, at)| *known == popped && *at <= moment);
                    list.remove(at.expect("a deadline that has passed"));
                }
                assert!(list.iter().all(|(_, at)| *at > moment), "one was left");
                assert!(deadlines.next().is_none_or(|next| next > moment), "polled without end");
            }
        }
    }

    #[test]
    fn fixed_deadlines_are_those_of_a_list() {
        as_a_list::<FixedDeadlines<3, 4, { deadlines(3, 4, true) }>>();
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn deadlines_on_the_heap_are_those_of_a_list() {
        as_a_list::<HeapDeadlines>();
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_place_has_one_entry_however_often_it_is_set() {
        let mut deadlines = HeapDeadlines::empty();
        for round in 0..10_000 {
            deadlines.set(4, 0, Some(Instant::from_micros(60_000_000 + round)));
            deadlines.set(4, 0, Some(Instant::from_micros(round)));
            deadlines.set(4, 0, None);
            assert_eq!(deadlines.pop(Instant::from_micros(round)), None);
        }
        assert_eq!(deadlines.next(), None);
    }
}
