//! Where encoded bytes go.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
#[cfg(feature = "alloc")]
use bytes::BytesMut;
use core::fmt;

/// There is no room for the encoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for the encoded bytes")
    }
}

impl core::error::Error for Full {}

/// The compound types whose size is known only after their items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compound {
    /// `list` (AMQP 1.0 §1.6.22).
    List = 0xc0,
    /// `map` (AMQP 1.0 §1.6.23).
    Map = 0xc1,
    /// `array` (AMQP 1.0 §1.6.24); the items start with the constructor.
    Array = 0xe0,
}

/// Bytes reserved by [`Sink::begin`] for the short form: constructor, size, count.
const SHORT: usize = 3;
/// What the long form needs beyond the short one.
const EXTRA: usize = 6;
/// The long forms' codes lie so far above the short ones'.
const LONG: u8 = 0x10;

/// Encoded bytes, appended to memory of a fixed size or to memory that grows.
///
/// Appending never fails: a sink over fixed memory goes on counting beyond its end, and whether everything had its place
/// is asked once, of [`Sink::finish`]. So the position is the encoded size even where the memory is too small for it.
#[derive(Debug)]
pub struct Sink<'a> {
    memory: Memory<'a>,
    /// A size or a count went beyond the four bytes for it.
    beyond: bool,
}

#[derive(Debug)]
enum Memory<'a> {
    Fixed {
        bytes: &'a mut [u8],
        len: usize,
    },
    #[cfg(feature = "alloc")]
    Vec(&'a mut Vec<u8>),
    #[cfg(feature = "alloc")]
    Bytes(&'a mut BytesMut),
}

impl<'a> Sink<'a> {
    /// An empty sink over `bytes`.
    #[inline]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { memory: Memory::Fixed { bytes, len: 0 }, beyond: false }
    }

    /// Where the next byte goes. Memory that grows counts what it held before.
    #[inline]
    pub fn position(&self) -> usize {
        match &self.memory {
            Memory::Fixed { len, .. } => *len,
            #[cfg(feature = "alloc")]
            Memory::Vec(bytes) => bytes.len(),
            #[cfg(feature = "alloc")]
            Memory::Bytes(bytes) => bytes.len(),
        }
    }

    /// Appends `bytes`.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn put(&mut self, bytes: &[u8]) {
        match &mut self.memory {
            Memory::Fixed { bytes: all, len } => {
                write(all, *len, bytes);
                *len = len.saturating_add(bytes.len());
            }
            #[cfg(feature = "alloc")]
            Memory::Vec(all) => all.extend_from_slice(bytes),
            #[cfg(feature = "alloc")]
            Memory::Bytes(all) => all.extend_from_slice(bytes),
        }
    }

    /// Appends one byte.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends a size of four bytes.
    #[cfg_attr(feature = "alloc", inline)]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn put_size(&mut self, size: usize) {
        match u32::try_from(size) {
            Ok(size) => self.put(&size.to_be_bytes()),
            Err(_) => self.beyond = true,
        }
    }

    /// Forgets everything after `position`.
    pub fn truncate(&mut self, position: usize) {
        match &mut self.memory {
            Memory::Fixed { len, .. } => *len = position.min(*len),
            #[cfg(feature = "alloc")]
            Memory::Vec(bytes) => bytes.truncate(position),
            #[cfg(feature = "alloc")]
            Memory::Bytes(bytes) => bytes.truncate(position),
        }
    }

    /// Writes over what was appended at `position`.
    #[inline]
    pub(super) fn patch(&mut self, position: usize, bytes: &[u8]) {
        write(self.memory.bytes(), position, bytes);
    }

    /// Starts a compound value: reserves its head and returns the mark for [`Sink::end`].
    #[inline]
    pub fn begin(&mut self) -> usize {
        let mark = self.position();
        self.put(&[0; SHORT]);
        mark
    }

    /// Ends the compound value begun at `mark`, in the shortest form that fits.
    pub fn end(&mut self, mark: usize, compound: Compound, count: usize) {
        if count == 0 && compound == Compound::List {
            self.truncate(mark);
            return self.put_byte(0x45);
        }
        let size = self.position().saturating_sub(mark + SHORT);
        if let (Ok(size), Ok(count)) = (u8::try_from(size + 1), u8::try_from(count)) {
            return self.patch(mark, &[compound as u8, size, count]);
        }
        self.put(&[0; EXTRA]);
        let (Ok(long_size), Ok(count)) = (u32::try_from(size + 4), u32::try_from(count)) else {
            self.beyond = true;
            return;
        };
        if let Some(items) = self.memory.bytes().get_mut(mark + SHORT..mark + SHORT + size + EXTRA) {
            items.copy_within(..size, EXTRA);
        }
        let mut head = [compound as u8 + LONG; SHORT + EXTRA];
        let [_, place @ ..] = &mut head;
        place[..4].copy_from_slice(&long_size.to_be_bytes());
        place[4..].copy_from_slice(&count.to_be_bytes());
        self.patch(mark, &head);
    }

    /// The position, when everything has its place.
    ///
    /// # Errors
    /// The memory is too small: the position is the size that it would need.
    #[inline]
    pub fn finish(&self) -> Result<usize, Full> {
        match &self.memory {
            Memory::Fixed { bytes, len } if *len > bytes.len() => Err(Full),
            _ if self.beyond => Err(Full),
            _ => Ok(self.position()),
        }
    }
}

/// Copies `bytes` to a position, if there is room for all of them.
#[inline]
fn write(memory: &mut [u8], position: usize, bytes: &[u8]) {
    if let Some(place) = memory.get_mut(position..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

impl Memory<'_> {
    #[inline]
    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Fixed { bytes, .. } => bytes,
            #[cfg(feature = "alloc")]
            Self::Vec(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a mut Vec<u8>> for Sink<'a> {
    fn from(bytes: &'a mut Vec<u8>) -> Self {
        Self { memory: Memory::Vec(bytes), beyond: false }
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a mut BytesMut> for Sink<'a> {
    fn from(bytes: &'a mut BytesMut) -> Self {
        Self { memory: Memory::Bytes(bytes), beyond: false }
    }
}
