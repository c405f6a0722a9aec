//! Work that one call is not to pay for: collections that are gone through item by item.

use std::collections::VecDeque;

/// Several iterators, one after the other. Each call takes as many items as it may.
#[derive(Debug)]
pub(super) struct Backlog<I>(VecDeque<I>);

impl<I> Backlog<I> {
    pub(super) fn push(&mut self, items: I) {
        self.0.push_back(items);
    }

    /// False also where the iterators that are left have no items any more: the next call of `next` finds that out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<I> Default for Backlog<I> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<I> Extend<I> for Backlog<I> {
    fn extend<T: IntoIterator<Item = I>>(&mut self, more: T) {
        self.0.extend(more);
    }
}

impl<I: Iterator> Iterator for Backlog<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        loop {
            match self.0.front_mut()?.next() {
                Some(item) => return Some(item),
                None => _ = self.0.pop_front(),
            }
        }
    }
}
