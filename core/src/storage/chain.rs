//! Lists through the entries of a table: an entry is added and removed without a search, in either storage.

use super::Table;

/// No place.
const NONE: u32 = u32::MAX;

/// A first-in-first-out list of entries of one table. Each entry has a [`Joint`] for every chain that it can be in at
/// once. The first entry knows the last one, so that a chain takes a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    first: u32,
}

/// An entry's neighbours in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joint {
    /// The entry before this one; before the first, the last.
    before: u32,
    next: u32,
}

fn known(place: u32) -> Option<u32> {
    (place != NONE).then_some(place)
}

impl Joint {
    /// In no chain.
    pub(crate) const FREE: Self = Self { before: NONE, next: NONE };

    /// The entry behind this one.
    pub(crate) fn next(&self) -> Option<u32> {
        known(self.next)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Chain {
    /// Without an entry.
    pub(crate) const EMPTY: Self = Self { first: NONE };

    /// The oldest entry.
    pub(crate) fn first(&self) -> Option<u32> {
        known(self.first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The entry before the one with this joint at `place`.
    pub(crate) fn before(&self, place: u32, joint: &Joint) -> Option<u32> {
        known(joint.before).filter(|_| self.first != place)
    }

    /// Appends the entry at `place`, which is in no chain by this joint.
    pub(crate) fn push<T>(&mut self, entries: &mut impl Table<T>, place: u32, joint: impl Fn(&mut T) -> &mut Joint) {
        let mut last = place;
        if let Some(first) = entries.get_mut(self.first) {
            last = core::mem::replace(&mut joint(first).before, place);
        } else {
            self.first = place;
        }
        if last != place
            && let Some(last) = entries.get_mut(last)
        {
            joint(last).next = place;
        }
        if let Some(entry) = entries.get_mut(place) {
            *joint(entry) = Joint { before: last, next: NONE };
        }
    }

    /// Removes the entry at `place`, which is in this chain.
    pub(crate) fn remove<T>(&mut self, entries: &mut impl Table<T>, place: u32, joint: impl Fn(&mut T) -> &mut Joint) {
        let Some(entry) = entries.get_mut(place) else { return };
        let Joint { before, next } = core::mem::replace(joint(entry), Joint::FREE);
        if self.first == place {
            self.first = next;
        } else if let Some(entry) = entries.get_mut(before) {
            joint(entry).next = next;
        }
        // Behind the last one is the first, as far as its way back goes.
        let behind = known(next).unwrap_or(self.first);
        if let Some(entry) = entries.get_mut(behind) {
            joint(entry).before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::storage::FixedTable;
    use alloc::vec::Vec;

    fn joint(entry: &mut Joint) -> &mut Joint {
        entry
    }

    fn entries<T: Table<Joint>>(chain: &Chain, table: &T) -> Vec<u32> {
        let mut places = Vec::new();
        let mut at = chain.first();
        while let Some(place) = at {
            places.push(place);
            at = table.get(place).and_then(Joint::next);
        }
        places
    }

    /// Appends and removes at random in two chains, and compares with lists.
    fn as_lists<T: Table<Joint>>() {
        let mut random = Random::seeded(3);
        let mut table = T::bounded(8);
        for _ in 0..8 {
            table.insert(Joint::FREE).expect("room");
        }
        let (mut chains, mut lists) = ([Chain::EMPTY; 2], [Vec::new(), Vec::new()]);
        for _ in 0..2_000 {
            let (place, which) = (random.below(8) as u32, random.below(2) as usize);
            match lists.iter().position(|list: &Vec<u32>| list.contains(&place)) {
                None => {
                    chains[which].push(&mut table, place, joint);
                    lists[which].push(place);
                }
                Some(at) => {
                    chains[at].remove(&mut table, place, joint);
                    lists[at].retain(|known| *known != place);
                }
            }
            for (chain, list) in chains.iter().zip(&lists) {
                for pair in list.windows(2) {
                    assert_eq!(chain.before(pair[1], table.get(pair[1]).unwrap()), Some(pair[0]));
                }
                let first = list.first().map(|&first| chain.before(first, table.get(first).unwrap()));
                assert_eq!(first.flatten(), None);
                assert_eq!((&entries(chain, &table), chain.is_empty()), (list, list.is_empty()));
            }
        }
    }

    #[test]
    fn chains_of_a_fixed_table_are_lists() {
        as_lists::<FixedTable<Joint, 8>>();
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn chains_of_a_table_on_the_heap_are_lists() {
        as_lists::<crate::storage::HeapTable<Joint>>();
    }
}
