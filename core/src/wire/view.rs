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
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::Open;
/// use servicebus_core::wire::{Reader, View, to_vec};
///
/// let bytes = to_vec(&Open { channel_max: 4_999, ..Open::new("till-3") });
/// let mut open: View<'_, Open<'_>> = Reader::new(&bytes).read()?;
/// let (container, channels) = (open.container_id(), open.channel_max());
/// open.check()?;
/// assert_eq!((container, channels), ("till-3", 4_999));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::Open;
    /// # use servicebus_core::wire::{Reader, View};
    /// let without_fields = [0x00, 0x53, 0x10, 0x45];
    /// let mut open: View<'_, Open<'_>> = Reader::new(&without_fields).read()?;
    /// assert!(open.check().is_ok());
    /// assert_eq!(open.container_id(), "");
    /// let error = open.check().map_err(|error| error.to_string());
    /// assert_eq!(error, Err("mandatory field container_id is missing".to_owned()));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::Detach;
    /// # use servicebus_core::wire::{Reader, View, to_vec};
    /// let sent = Detach { handle: 3, closed: true, error: None };
    /// let bytes = to_vec(&sent);
    /// let mut detach: View<'_, Detach<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(detach.whole()?, sent);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
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
