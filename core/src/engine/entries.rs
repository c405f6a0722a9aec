//! Tables and queues that take the index of one kind only.

use crate::storage::{Chain, Joint, Key, Table, Width};
use crate::wire::Full;
use core::marker::PhantomData;

/// A number with a meaning.
pub(super) trait Number: Copy {
    fn of(number: u32) -> Self;
    fn number(self) -> u32;
}

/// A key with a meaning.
pub(super) trait Id: Copy {
    fn of(key: Key) -> Self;
    fn key(self) -> Key;
}

/// An index of a table, and the id that belongs to it.
pub(super) trait Indexes: Number {
    type Id: Id;
    /// What it takes in a chain.
    type Width: Width;
    /// No index: nothing is found there.
    const NONE: Self;
}

/// What an entry names as the one behind it while it is in no list of events.
pub(super) const UNLISTED: u16 = u16::MAX;

/// A table of `T` by indices of one kind.
#[cfg_attr(not(test), repr(transparent))]
pub(super) struct Entries<C, T, I>(C, PhantomData<(T, I)>, Touched);

/// How often entries were touched, so that tests can bound it.
#[derive(Default)]
pub(super) struct Touched(#[cfg(test)] core::cell::Cell<usize>);

impl Touched {
    #[inline(always)]
    fn note(&self) {
        #[cfg(test)]
        self.0.set(self.0.get() + 1);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.get()
    }
}

impl<T, C: Table<T>, I: Indexes> Entries<C, T, I> {
    #[inline(always)]
    pub(super) fn bounded(limit: usize) -> Self {
        Self(C::bounded(limit), PhantomData, Touched::default())
    }

    /// How often entries were touched.
    #[cfg(test)]
    pub(super) fn touched(&self) -> usize {
        self.2.count()
    }

    pub(super) fn insert(&mut self, value: T) -> Result<I::Id, Full> {
        self.0.insert(value).map(I::Id::of)
    }

    pub(super) fn free(&mut self, at: I) {
        self.0.free(at.number());
    }

    pub(super) fn get(&self, at: I) -> Option<&T> {
        self.2.note();
        self.0.get(at.number())
    }

    pub(super) fn get_mut(&mut self, at: I) -> Option<&mut T> {
        self.2.note();
        self.0.get_mut(at.number())
    }

    /// Appends the entry at an index to a chain.
    pub(super) fn chain(&mut self, chain: &mut Chain<I::Width>, at: I, joint: impl Fn(&mut T) -> &mut Joint<I::Width>) {
        chain.push(&mut self.0, at.number(), joint);
    }

    /// Removes the entry at an index from a chain.
    pub(super) fn unchain(
        &mut self,
        chain: &mut Chain<I::Width>,
        at: I,
        joint: impl Fn(&mut T) -> &mut Joint<I::Width>,
    ) {
        chain.remove(&mut self.0, at.number(), joint);
    }

    /// The id of the entry at an index.
    pub(super) fn id(&self, at: I) -> Option<I::Id> {
        self.2.note();
        self.0.key(at.number()).map(I::Id::of)
    }

    pub(super) fn find(&self, id: I::Id) -> Option<&T> {
        self.2.note();
        self.0.find(id.key())
    }

    pub(super) fn find_mut(&mut self, id: I::Id) -> Option<&mut T> {
        self.2.note();
        self.0.find_mut(id.key())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// One past the highest index ever used.
    pub(super) fn end(&self) -> u32 {
        self.0.end()
    }

    /// Every index that was ever used.
    pub(super) fn indices(&self) -> impl Iterator<Item = I> + use<C, T, I> {
        (0..self.0.end()).map(I::of)
    }
}
