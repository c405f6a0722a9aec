//! Values beside the entries of a table.

use super::Room;

/// A value for each place of a table of room `R`: at first, and for a new entry unless it was changed, its default.
pub(crate) struct Beside<S: Room<R>, R, T: Default>(S::Slots<T>);

impl<S: Room<R>, R, T: Default> Default for Beside<S, R, T> {
    #[inline(always)]
    fn default() -> Self {
        Self(S::Slots::default())
    }
}

impl<S: Room<R>, R, T: Default> Beside<S, R, T> {
    /// The value of a place.
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.0.as_ref().get(place as usize)
    }

    /// The value of a place; none beyond the table's end.
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        grown::<S, R, T>(&mut self.0, place as usize)
    }
}

/// A place, with those before it, made where it is not there yet; `None` where there is no room.
#[inline]
fn grown<S: Room<R>, R, T: Default>(slots: &mut S::Slots<T>, index: usize) -> Option<&mut T> {
    if slots.as_ref().len() <= index {
        S::grow(slots, index + 1);
    }
    slots.as_mut().get_mut(index)
}

/// Values kept by the places of a table of room `R`.
pub(crate) struct Slots<S: Room<R>, R, T>(S::Slots<Option<T>>);

impl<S: Room<R>, R, T> Default for Slots<S, R, T> {
    #[inline(always)]
    fn default() -> Self {
        Self(S::Slots::default())
    }
}

impl<S: Room<R>, R, T> Slots<S, R, T> {
    /// Puts a value at a place and returns the previous one; out of bounds it returns the value itself.
    pub(crate) fn put(&mut self, index: usize, value: T) -> Option<T> {
        match grown::<S, R, _>(&mut self.0, index) {
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
