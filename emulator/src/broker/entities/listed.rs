//! A map by key that is listed in pages: a page costs what is on it, wherever it begins.

use super::ranked::Ranked;
use core::ops::{Bound, Deref};
use std::collections::BTreeMap;

/// The map. It is read as the one that it holds.
#[derive(Debug)]
pub struct Listed<V> {
    entries: BTreeMap<String, V>,
    ranks: Ranked<Box<str>>,
}

impl<V> Default for Listed<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), ranks: Ranked::default() }
    }
}

impl<V> Deref for Listed<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &BTreeMap<String, V> {
        &self.entries
    }
}

impl<V> Listed<V> {
    pub(in crate::broker) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Puts a value under a key; the one that was there.
    pub(super) fn insert(&mut self, key: String, value: V) -> Option<V> {
        let place = Box::from(key.as_str());
        let before = self.entries.insert(key, value);
        if before.is_none() {
            self.ranks.insert(place);
        }
        before
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        let removed = self.entries.remove(key)?;
        self.ranks.remove(&Box::from(key));
        Some(removed)
    }

    /// The entries from this rank on, in the order of their keys.
    pub fn from_rank(&self, rank: usize) -> impl Iterator<Item = &V> {
        let first = self.ranks.at(rank);
        let from = first.map(|key| self.entries.range::<str, _>((Bound::Included(&**key), Bound::Unbounded)));
        from.into_iter().flatten().map(|(_, value)| value)
    }

    /// Its entries, and what tells their order, to be let go one by one.
    pub(super) fn into_parts(self) -> (BTreeMap<String, V>, impl Iterator<Item = ()> + Send) {
        (self.entries, self.ranks.into_entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_anywhere() {
        let mut listed = Listed::default();
        for number in (0..500).rev() {
            assert_eq!(listed.insert(format!("{number:03}"), number), None);
        }
        assert_eq!(listed.insert("007".into(), 1_007), Some(7));
        assert_eq!((listed.remove("003"), listed.remove("003"), listed.len()), (Some(3), None, 499));
        for (rank, expected) in [(0, [0, 1]), (2, [2, 4]), (6, [1_007, 8]), (497, [498, 499])] {
            assert_eq!(listed.from_rank(rank).copied().take(2).collect::<Vec<_>>(), expected);
        }
        assert_eq!((listed.from_rank(498).count(), listed.from_rank(499).count()), (1, 0));
        let (entries, ranks) = listed.into_parts();
        assert_eq!((entries.len(), ranks.count()), (499, 499));
    }
}
