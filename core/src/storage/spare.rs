//! A place for something that fixed storage has no room for.

use super::{Storage, Table, TableOf, room};
use core::fmt;

/// A place that holds something large, or nothing; fixed storage has none.
pub(crate) struct Spare<S: Storage, T>(TableOf<S, room::Spare, T>);

impl<S: Storage, T> Default for Spare<S, T> {
    fn default() -> Self {
        Self(Table::bounded(1))
    }
}

impl<S: Storage, T> fmt::Debug for Spare<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spare({} of {})", self.0.len(), self.0.capacity())
    }
}

impl<S: Storage, T> Spare<S, T> {
    /// A place that holds a value, where it has room for one.
    pub(crate) fn of(value: T) -> Self {
        let mut place = Self::default();
        place.keep(value);
        place
    }

    /// Keeps a value, or drops it where there is no place.
    #[inline(always)]
    pub(crate) fn keep(&mut self, value: T) {
        if self.0.capacity() > 0 {
            self.0.free(0);
            let _ = self.0.insert(value);
        }
    }

    /// Moves the value of another place here; the other place is empty afterwards. Storage without room drops the
    /// value.
    #[inline(always)]
    pub(crate) fn keep_from(&mut self, place: &mut Option<T>) {
        if self.0.capacity() == 0 {
            *place = None;
        } else if let Some(value) = place.take() {
            self.keep(value);
        }
    }

    /// Whether something can be kept.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.0.capacity() > 0
    }

    /// What is kept.
    #[inline(always)]
    pub(crate) fn kept(&self) -> Option<&T> {
        if self.0.capacity() > 0 { self.0.get(0) } else { None }
    }

    /// What is kept.
    #[inline(always)]
    pub(crate) fn kept_mut(&mut self) -> Option<&mut T> {
        if self.0.capacity() > 0 { self.0.get_mut(0) } else { None }
    }

    /// Takes out what is kept.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.0.capacity() > 0 { self.0.remove(0) } else { None }
    }
}
