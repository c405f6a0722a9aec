//! Values beside the entries of a table.

use super::Room;

/// Values kept by the places of a table of room `R`.
pub(crate) struct Slots<S: Room<R>, R, T>(S::Slots<T>);

impl<S: Room<R>, R, T> Default for Slots<S, R, T> {
    #[inline(always)]
    fn default() -> Self {
        Self(S::Slots::default())
    }
}

impl<S: Room<R>, R, T> Slots<S, R, T> {
    /// Puts a value at a place and returns the previous one; out of bounds it returns the value itself.
    pub(crate) fn put(&mut self, index: usize, value: T) -> Option<T> {
        if self.end() <= index {
            S::grow(&mut self.0, index + 1);
        }
        match self.0.as_mut().get_mut(index) {
            Some(slot) => slot.replace(value),
            None => Some(value),
        }
    }

    /// Takes the value from a place.
    pub(crate) fn take(&mut self, index: usize) -> Option<T> {
        self.0.as_mut().get_mut(index)?.take()
    }

    /// The value at a place.
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.0.as_ref().get(index)?.as_ref()
    }

    /// The value at a place.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.as_mut().get_mut(index)?.as_mut()
    }

    /// One past the highest place ever used.
    pub(crate) fn end(&self) -> usize {
        self.0.as_ref().len()
    }
}
