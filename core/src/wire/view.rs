//! Composite values whose fields are decoded when they are asked for.

use super::composite::{Fields, FromFields, Mandatory};
use super::definition::Composite;
use super::{Decode, DecodeError, Decoder};
use core::marker::PhantomData;

/// A list whose descriptor was taken, with a cursor in it that can go back.
#[derive(Clone)]
pub(super) struct Items<'a> {
    cursor: Fields<'a>,
    start: Fields<'a>,
}

impl core::fmt::Debug for Items<'_> {
    /// Without the bytes: they may be a password's.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

impl<'a> Items<'a> {
    /// Takes a list whose descriptor, which is `code`, has been taken.
    pub(super) fn list(decoder: &mut Decoder<'a>, code: u8) -> Option<Self> {
        let start = Fields::list(decoder, code)?;
        Some(Self { cursor: start.clone(), start })
    }

    /// Goes to the field at this place.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn at(&mut self, place: u8) -> &mut Fields<'a> {
        self.cursor.rewind(&self.start);
        self.cursor.pass(place);
        &mut self.cursor
    }
}

/// A composite value as it came. Whoever wants a few of its fields does not pay for the others, neither in time nor in
/// the size of the program; [`View::whole`] decodes all of them at once.
///
/// A malformed field reads as absent, and [`View::check`] reports it. Fields that are not read are not decoded.
#[derive(Clone, Debug)]
pub struct View<'a, T> {
    items: Items<'a>,
    of: PhantomData<T>,
}

impl<'a, T> From<Items<'a>> for View<'a, T> {
    fn from(items: Items<'a>) -> Self {
        Self { items, of: PhantomData }
    }
}

impl<'a, T> View<'a, T> {
    /// The field at this place.
    #[inline]
    pub(super) fn field<F: Decode<'a>>(&mut self, place: u8) -> Option<F> {
        self.items.at(place).next()
    }

    /// The field at this place, which must be there.
    #[inline]
    pub(super) fn mandatory<F: Decode<'a> + Mandatory>(&mut self, place: u8) -> F {
        self.items.at(place).mandatory(place)
    }

    /// Whether the field at this place is there.
    pub(super) fn has(&mut self, place: u8) -> bool {
        self.items.at(place).present()
    }

    /// What was wrong with a field that was asked for.
    ///
    /// # Errors
    /// The first thing that was.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.items.cursor.check()
    }

    /// All fields. They are valid only if [`View::check`] succeeds.
    #[inline]
    pub(crate) fn all(&mut self) -> T
    where
        T: FromFields<'a>,
    {
        T::from_fields(self.items.at(0))
    }

    /// All fields.
    ///
    /// # Errors
    /// What is wrong with one of them.
    #[expect(private_bounds, reason = "every composite type is made of its fields")]
    pub fn whole(&mut self) -> Result<T, DecodeError>
    where
        T: FromFields<'a>,
    {
        let all = self.all();
        self.check()?;
        Ok(all)
    }
}

impl<'a, T: Composite> Decode<'a> for View<'a, T> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = const { T::DEFINITION.code as u8 };
        decoder.composite(code)?;
        Items::list(decoder, code).map(Self::from)
    }
}
