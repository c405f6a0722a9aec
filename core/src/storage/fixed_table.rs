//! Tables, indexes and rings of a size that is in the type.

use super::{Generation, Index, Key, Table};
use crate::wire::Full;

/// A table of `N` places.
#[derive(Debug)]
// In this order: what is done to the turns needs no offset.
#[repr(C)]
pub struct FixedTable<T, const N: usize> {
    /// How often each place has been filled and emptied: an odd number, which is its generation, while it is filled.
    /// Apart from the values, whose alignment would double the room that they take.
    turns: [u32; N],
    values: [Option<T>; N],
}

/// Fills a place. Not generic: it is there once for the tables of all kinds.
#[inline(never)]
fn fill(turns: &mut [u32]) -> Option<Key> {
    let index = turns.iter().position(|turn| turn % 2 == 0)?;
    let turn = turns.get_mut(index)?;
    *turn = turn.wrapping_add(1);
    Some(Key { index: index as u32, generation: Generation::new(*turn)? })
}

/// Empties a place, if it is filled. Not generic, as above.
#[inline(never)]
fn empty(turns: &mut [u32], index: u32) -> Option<()> {
    let turn = turns.get_mut(index as usize).filter(|turn| **turn % 2 == 1)?;
    *turn = turn.wrapping_add(1);
    Some(())
}

/// The key of a filled place. Not generic, as above.
#[inline(never)]
fn key_of(turns: &[u32], index: u32) -> Option<Key> {
    let turn = *turns.get(index as usize)?;
    if turn % 2 == 0 { None } else { Some(Key { index, generation: Generation::new(turn)? }) }
}

/// The place of the entry with this key; beyond all places when it is gone. Not generic, as above.
#[inline(never)]
fn place_of(turns: &[u32], key: Key) -> u32 {
    if turns.get(key.index as usize) == Some(&key.generation.get()) { key.index } else { u32::MAX }
}

/// How many places are filled. Not generic, as above.
#[inline(never)]
fn filled(turns: &[u32]) -> usize {
    turns.iter().filter(|turn| **turn % 2 == 1).count()
}

impl<T, const N: usize> Table<T> for FixedTable<T, N> {
    // Inlined, it is made in its place.
    #[inline(always)]
    fn bounded(_limit: usize) -> Self {
        Self { turns: [0; N], values: [const { None }; N] }
    }

    fn insert(&mut self, value: T) -> Result<Key, Full> {
        let key = fill(&mut self.turns).ok_or(Full)?;
        if let Some(place) = self.values.get_mut(key.index as usize) {
            *place = Some(value);
        }
        Ok(key)
    }

    #[inline(never)]
    fn remove(&mut self, index: u32) -> Option<T> {
        empty(&mut self.turns, index)?;
        self.values.get_mut(index as usize)?.take()
    }

    #[inline(never)]
    fn free(&mut self, index: u32) {
        if let (Some(()), Some(place)) = (empty(&mut self.turns, index), self.values.get_mut(index as usize)) {
            *place = None;
        }
    }

    #[inline(never)]
    fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index as usize)?.as_ref()
    }

    #[inline(never)]
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    fn key(&self, index: u32) -> Option<Key> {
        key_of(&self.turns, index)
    }

    fn len(&self) -> usize {
        filled(&self.turns)
    }

    fn capacity(&self) -> usize {
        N
    }

    fn end(&self) -> u32 {
        N as u32
    }

    #[inline(never)]
    fn find(&self, key: Key) -> Option<&T> {
        self.get(place_of(&self.turns, key))
    }

    #[inline(never)]
    fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        self.get_mut(place_of(&self.turns, key))
    }
}

/// Something beside each of `N` places of a table.
#[derive(Debug)]
pub struct FixedSlots<T, const N: usize>([T; N]);

impl<T: Default, const N: usize> Default for FixedSlots<T, N> {
    #[inline(always)]
    fn default() -> Self {
        Self(core::array::from_fn(|_| T::default()))
    }
}

impl<T, const N: usize> AsRef<[T]> for FixedSlots<T, N> {
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> AsMut<[T]> for FixedSlots<T, N> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// A number with a kind in its two highest bits, in half the room: tables have less than 2^14 places.
fn small(value: u32) -> u16 {
    (value >> 30 << 14) as u16 | (value & 0x3fff) as u16
}

/// An index's key and its place, in the room that small tables need.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The key's lower half.
    number: u32,
    /// Its upper half.
    space: u16,
    index: u16,
}

/// `N` numbers and their places.
#[derive(Debug)]
pub struct FixedIndex<const N: usize> {
    entries: heapless::Vec<Entry, N>,
}

impl<const N: usize> FixedIndex<N> {
    fn position(&self, key: u64) -> Option<usize> {
        let (number, space) = (key as u32, small((key >> 32) as u32));
        self.entries.iter().position(|entry| entry.number == number && entry.space == space)
    }
}

impl<const N: usize> Index for FixedIndex<N> {
    // Inlined, as above.
    #[inline(always)]
    fn bounded(_limit: usize) -> Self {
        Self { entries: heapless::Vec::new() }
    }

    #[inline(never)]
    fn insert(&mut self, key: u64, index: u32) -> Result<(), Full> {
        let entry = Entry { number: key as u32, space: small((key >> 32) as u32), index: index as u16 };
        match self.position(key).and_then(|at| self.entries.get_mut(at)) {
            Some(known) => *known = entry,
            None => self.entries.push(entry).map_err(|_| Full)?,
        }
        Ok(())
    }

    #[inline(never)]
    fn get(&self, key: u64) -> Option<u32> {
        let entry = self.entries.as_slice().get(self.position(key)?)?;
        Some(u32::from(entry.index))
    }

    #[inline(never)]
    fn remove(&mut self, key: u64) -> Option<u32> {
        let at = self.position(key)?;
        let last = self.entries.pop()?;
        // The last one takes the place of the one that goes, unless it is that one.
        let entry = match self.entries.get_mut(at) {
            Some(place) => core::mem::replace(place, last),
            None => last,
        };
        Some(u32::from(entry.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_filled_again_is_not_found_by_its_old_key() {
        let mut table = FixedTable::<u8, 2>::bounded(2);
        let (one, two) = (table.insert(1).unwrap(), table.insert(2).unwrap());
        assert!(table.insert(3).is_err());
        table.free(one.index);
        assert_eq!((table.find(one), table.find(two), table.len()), (None, Some(&2), 1));
        let again = table.insert(3).unwrap();
        assert_eq!((again.index, table.find(one), table.find(again)), (one.index, None, Some(&3)));
    }
}
