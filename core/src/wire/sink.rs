//! Where encoded bytes go.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
#[cfg(feature = "alloc")]
use bytes::BytesMut;
use core::fmt;

/// There is no room for the encoded bytes.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{self, Full};
///
/// let mut memory = [0; 4];
/// match wire::encode(&"orders", &mut memory) {
///     Ok(size) => println!("{size} bytes"),
///     Err(Full) => assert_eq!(wire::measure(&"orders"), 8),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for the encoded bytes")
    }
}

impl core::error::Error for Full {}

/// A value that can be appended to a [`Sink`].
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Encode, Sink, to_vec};
///
/// struct Quantity(u32);
///
/// impl Encode for Quantity {
///     fn encode(&self, sink: &mut Sink<'_>) {
///         self.0.encode(sink);
///     }
/// }
///
/// assert_eq!(to_vec(&Quantity(12)), [0x52, 12]);
/// ```
pub trait Encode {
    /// Appends the encoded value.
    fn encode(&self, sink: &mut Sink<'_>);
}

/// The compound types whose size is known only after their items.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Compound, Encode, Sink};
///
/// let mut bytes = Vec::new();
/// let mut sink = Sink::from(&mut bytes);
/// let mark = sink.begin();
/// "red".encode(&mut sink);
/// true.encode(&mut sink);
/// sink.end(mark, Compound::List, 2);
/// assert_eq!(bytes, b"\xc0\x07\x02\xa1\x03red\x41");
/// ```
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
/// Appending never fails: a sink over fixed memory keeps counting beyond its end, and [`Sink::finish`] reports once
/// whether everything fitted. So the position is the encoded size even where the memory is too small for it.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{Encode, Sink};
///
/// let mut memory = [0; 16];
/// let mut sink = Sink::new(&mut memory);
/// "orders".encode(&mut sink);
/// 12u32.encode(&mut sink);
/// let size = sink.finish()?;
/// assert_eq!(memory[..size], *b"\xa1\x06orders\x52\x0c");
/// # Ok::<(), servicebus_core::wire::Full>(())
/// ```
#[derive(Debug)]
pub struct Sink<'a> {
    /// Memory of a fixed size; none when it is memory that grows.
    bytes: &'a mut [u8],
    len: usize,
    #[cfg(feature = "alloc")]
    growing: Option<Growing<'a>>,
    /// A size or a count went beyond the four bytes for it.
    beyond: bool,
}

#[cfg(feature = "alloc")]
#[derive(Debug)]
enum Growing<'a> {
    Vec(&'a mut Vec<u8>),
    Bytes(&'a mut BytesMut),
}

impl<'a> Sink<'a> {
    /// An empty sink over `bytes`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut memory = [0; 4];
    /// let sink = Sink::new(&mut memory);
    /// assert_eq!(sink.position(), 0);
    /// ```
    #[inline]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            len: 0,
            #[cfg(feature = "alloc")]
            growing: None,
            beyond: false,
        }
    }

    /// The position of the next byte. In growing memory, earlier contents count.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut nothing = Sink::new(&mut []);
    /// "orders".encode(&mut nothing);
    /// assert_eq!(nothing.position(), 8);
    /// ```
    #[inline]
    pub const fn position(&self) -> usize {
        self.len
    }

    /// Appends `bytes`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// Sink::from(&mut bytes).put(b"blue");
    /// assert_eq!(bytes, b"blue");
    /// ```
    // This and the other leaves of an encoder are the only functions whose hint depends on the profile: always inlined they
    // save a server one instruction in twenty of a send, and cost a device 5 KB of flash.
    #[cfg_attr(feature = "alloc", inline(always))]
    pub fn put(&mut self, bytes: &[u8]) {
        match write(self.bytes, self.len, bytes) {
            // As long as the memory at most.
            Some(()) => self.len = self.len.wrapping_add(bytes.len()),
            None => self.put_behind(bytes),
        }
    }

    /// Appends to memory that grows, or counts what has no room.
    #[inline(never)]
    fn put_behind(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
        #[cfg(feature = "alloc")]
        match &mut self.growing {
            None => {}
            Some(Growing::Vec(all)) => all.extend_from_slice(bytes),
            Some(Growing::Bytes(all)) => all.extend_from_slice(bytes),
        }
    }

    /// Appends one byte.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// Sink::from(&mut bytes).put_byte(0x40);
    /// assert_eq!(bytes, [0x40]);
    /// ```
    #[inline]
    pub fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends a size of four bytes.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// let mut sink = Sink::from(&mut bytes);
    /// sink.put_byte(0xb0);
    /// sink.put_size(4);
    /// sink.put(b"blue");
    /// assert_eq!(bytes, b"\xb0\0\0\0\x04blue");
    /// ```
    #[inline]
    pub fn put_size(&mut self, size: usize) {
        let size = self.size(size);
        self.put(&size);
    }

    /// A size in four bytes.
    #[inline]
    pub(crate) fn size(&mut self, size: usize) -> [u8; 4] {
        u32::try_from(size).map_or_else(
            |_| {
                self.beyond = true;
                [0xff; 4]
            },
            u32::to_be_bytes,
        )
    }

    /// Forgets everything after `position`.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// let mut sink = Sink::from(&mut bytes);
    /// "red".encode(&mut sink);
    /// let start = sink.position();
    /// "blue".encode(&mut sink);
    /// sink.truncate(start);
    /// assert_eq!(bytes, b"\xa1\x03red");
    /// ```
    pub fn truncate(&mut self, position: usize) {
        self.len = self.len.min(position);
        #[cfg(feature = "alloc")]
        match &mut self.growing {
            None => {}
            Some(Growing::Vec(bytes)) => bytes.truncate(position),
            Some(Growing::Bytes(bytes)) => bytes.truncate(position),
        }
    }

    #[inline]
    fn written(&mut self) -> &mut [u8] {
        #[cfg(feature = "alloc")]
        match &mut self.growing {
            None => {}
            Some(Growing::Vec(bytes)) => return bytes,
            Some(Growing::Bytes(bytes)) => return bytes,
        }
        self.bytes
    }

    /// Writes over what was appended at `position`.
    #[inline]
    pub(super) fn patch(&mut self, position: usize, bytes: &[u8]) {
        // What is beyond the memory was not written in the first place.
        let _ = write(self.written(), position, bytes);
    }

    /// Starts a compound value: reserves its head and returns the mark for [`Sink::end`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// let mut sink = Sink::from(&mut bytes);
    /// let mark = sink.begin();
    /// sink.end(mark, Compound::List, 0);
    /// assert_eq!(bytes, [0x45]);
    /// ```
    #[inline]
    pub fn begin(&mut self) -> usize {
        let mark = self.position();
        self.put(&[0; SHORT]);
        mark
    }

    /// Ends the compound value begun at `mark`, in the shortest form that fits.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut bytes = Vec::new();
    /// let mut sink = Sink::from(&mut bytes);
    /// let mark = sink.begin();
    /// "color".encode(&mut sink);
    /// "red".encode(&mut sink);
    /// sink.end(mark, Compound::Map, 2);
    /// assert_eq!(bytes, b"\xc1\x0d\x02\xa1\x05color\xa1\x03red");
    /// ```
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
        let (long_size, count) = (self.size(size.saturating_add(4)), self.size(count));
        let place = mark + SHORT..mark + SHORT + size + EXTRA;
        // The length is known; said here, it spares the move a check of its own.
        if let Some(items) =
            self.written().get_mut(place).filter(|items| size <= items.len() && EXTRA <= items.len() - size)
        {
            items.copy_within(..size, EXTRA);
        }
        let mut head = [compound as u8 + LONG; SHORT + EXTRA];
        let [_, place @ ..] = &mut head;
        place[..4].copy_from_slice(&long_size);
        place[4..].copy_from_slice(&count);
        self.patch(mark, &head);
    }

    /// The position, when everything has its place.
    ///
    /// # Errors
    /// The memory is too small: the position is the size that it would need.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::{Compound, Encode, Full, Sink};
    /// let mut memory = [0; 4];
    /// let mut sink = Sink::new(&mut memory);
    /// "orders".encode(&mut sink);
    /// assert_eq!((sink.finish(), sink.position()), (Err(Full), 8));
    /// ```
    #[inline]
    pub fn finish(&self) -> Result<usize, Full> {
        #[cfg(feature = "alloc")]
        let grows = self.growing.is_some();
        #[cfg(not(feature = "alloc"))]
        let grows = false;
        if self.beyond || (self.len > self.bytes.len() && !grows) { Err(Full) } else { Ok(self.len) }
    }
}

/// Copies `bytes` to a position; `None` if there is no room for all of them.
#[inline]
fn write(memory: &mut [u8], position: usize, bytes: &[u8]) -> Option<()> {
    memory.get_mut(position..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a mut Vec<u8>> for Sink<'a> {
    fn from(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes: &mut [], len: bytes.len(), growing: Some(Growing::Vec(bytes)), beyond: false }
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a mut BytesMut> for Sink<'a> {
    fn from(bytes: &'a mut BytesMut) -> Self {
        Self { bytes: &mut [], len: bytes.len(), growing: Some(Growing::Bytes(bytes)), beyond: false }
    }
}
