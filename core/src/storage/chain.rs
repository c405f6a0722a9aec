//! Lists through the entries of a table: an entry is added and removed without a search, in either storage.

use super::Table;
use core::marker::PhantomData;

/// What a chain keeps places in: a word, or half of one for a table that never has more than 65 535 entries.
pub(crate) trait Width: Copy + Eq {
    /// No place.
    const NONE: Self;
    /// A place of the table, in this width.
    fn of(place: u32) -> Self;
    /// The place; of none, one that no table has.
    fn place(self) -> u32;
}

impl Width for u32 {
    const NONE: Self = Self::MAX;

    fn of(place: u32) -> Self {
        place
    }

    fn place(self) -> u32 {
        self
    }
}

impl Width for u16 {
    const NONE: Self = Self::MAX;

    fn of(place: u32) -> Self {
        place as Self
    }

    fn place(self) -> u32 {
        u32::from(self)
    }
}

/// A first-in-first-out list of entries of one table. Each entry has a [`Joint`] for every chain that it can be in at
/// once. The first entry knows the last one, so that a chain takes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain<W = u32> {
    first: W,
}

/// An entry's neighbours in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joint<W = u32> {
    /// The entry before this one; before the first, the last.
    before: W,
    next: W,
}

fn known<W: Width>(place: W) -> Option<u32> {
    (place != W::NONE).then_some(place.place())
}

impl<W: Width> Joint<W> {
    /// In no chain.
    pub(crate) const FREE: Self = Self { before: W::NONE, next: W::NONE };

    /// The entry behind this one.
    pub(crate) fn next(&self) -> Option<u32> {
        known(self.next)
    }

    /// Whether its entry is in a chain.
    pub(crate) fn is_in_chain(&self) -> bool {
        self.before != W::NONE
    }
}

impl<W: Width> Default for Chain<W> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<W: Width> Chain<W> {
    /// Without an entry.
    pub(crate) const EMPTY: Self = Self { first: W::NONE };

    /// The oldest entry.
    pub(crate) fn first(&self) -> Option<u32> {
        known(self.first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == W::NONE
    }

    /// The entry before the one with this joint at `place`.
    pub(crate) fn before(&self, place: u32, joint: &Joint<W>) -> Option<u32> {
        known(joint.before).filter(|_| self.first != W::of(place))
    }

    /// Appends the entry at `place`, which is in no chain by this joint.
    #[inline]
    pub(crate) fn push<T>(&mut self, entries: &mut impl Table<T>, place: u32, joint: impl Fn(&mut T) -> &mut Joint<W>) {
        push(self, &mut Of { entries, joint, entry: PhantomData }, place);
    }

    /// Removes the entry at `place`, which is in this chain.
    #[inline]
    pub(crate) fn remove<T>(
        &mut self,
        entries: &mut impl Table<T>,
        place: u32,
        joint: impl Fn(&mut T) -> &mut Joint<W>,
    ) {
        remove(self, &mut Of { entries, joint, entry: PhantomData }, place);
    }
}

/// The joints of a table's entries, whatever these are: lists of all tables are changed by the same code.
trait Joints<W> {
    fn at(&mut self, place: u32) -> Option<&mut Joint<W>>;
}

/// One joint of each entry of a table.
struct Of<'a, E, J, T> {
    entries: &'a mut E,
    joint: J,
    entry: PhantomData<T>,
}

impl<W, T, E: Table<T>, J: Fn(&mut T) -> &mut Joint<W>> Joints<W> for Of<'_, E, J, T> {
    fn at(&mut self, place: u32) -> Option<&mut Joint<W>> {
        self.entries.get_mut(place).map(&self.joint)
    }
}

#[inline]
fn push<W: Width>(chain: &mut Chain<W>, joints: &mut dyn Joints<W>, place: u32) {
    let new = W::of(place);
    let mut last = new;
    if let Some(first) = joints.at(chain.first.place()) {
        last = core::mem::replace(&mut first.before, new);
    } else {
        chain.first = new;
    }
    if last != new
        && let Some(last) = joints.at(last.place())
    {
        last.next = new;
    }
    if let Some(joint) = joints.at(place) {
        *joint = Joint { before: last, next: W::NONE };
    }
}

#[inline]
fn remove<W: Width>(chain: &mut Chain<W>, joints: &mut dyn Joints<W>, place: u32) {
    let Some(joint) = joints.at(place) else { return };
    let Joint { before, next } = core::mem::replace(joint, Joint::FREE);
    if chain.first == W::of(place) {
        chain.first = next;
    } else if let Some(joint) = joints.at(before.place()) {
        joint.next = next;
    }
    // Behind the last one is the first, as far as its way back goes.
    let behind = if next == W::NONE { chain.first } else { next };
    if let Some(joint) = joints.at(behind.place()) {
        joint.before = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::storage::FixedTable;
    use alloc::vec::Vec;

    fn joint<W>(entry: &mut Joint<W>) -> &mut Joint<W> {
        entry
    }

    fn entries<W: Width, T: Table<Joint<W>>>(chain: &Chain<W>, table: &T) -> Vec<u32> {
        let mut places = Vec::new();
        let mut at = chain.first();
        while let Some(place) = at {
            places.push(place);
            at = table.get(place).and_then(Joint::next);
        }
        places
    }

    /// Appends and removes at random in two chains, and compares with lists.
    fn as_lists<W: Width, T: Table<Joint<W>>>() {
        let mut random = Random::seeded(3);
        let mut table = T::bounded(8);
        for _ in 0..8 {
            table.insert(Joint::FREE).expect("room");
        }
        let (mut chains, mut lists) = ([Chain::<W>::EMPTY; 2], [Vec::new(), Vec::new()]);
        for _ in 0..2_000 {
            let (place, which) = (random.below(8) as u32, random.below(2) as usize);
            let in_list = lists.iter().position(|list: &Vec<u32>| list.contains(&place));
            assert_eq!(table.get(place).unwrap().is_in_chain(), in_list.is_some());
            match in_list {
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
        as_lists::<u32, FixedTable<Joint, 8>>();
        as_lists::<u16, FixedTable<Joint<u16>, 8>>();
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn chains_of_a_table_on_the_heap_are_lists() {
        as_lists::<u32, crate::storage::HeapTable<Joint>>();
        as_lists::<u16, crate::storage::HeapTable<Joint<u16>>>();
    }
}
