//! Where encoded bytes go.

use core::fmt;

/// The sink has no room for the bytes.
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
    List,
    /// `map` (AMQP 1.0 §1.6.23).
    Map,
    /// `array` (AMQP 1.0 §1.6.24); the items start with the constructor.
    Array,
}

/// Bytes reserved by [`Sink::begin`] for the short form: constructor, size, count.
const SHORT: usize = 3;
/// What the long form needs beyond the short one.
const EXTRA: usize = 6;

/// A contiguous place that encoded bytes are appended to.
pub trait Sink {
    /// Bytes appended so far.
    fn position(&self) -> usize;

    /// Appends `bytes`, or nothing and [`Full`].
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;

    /// The appended bytes, for patching sizes; `None` for a sink that only counts.
    fn written(&mut self) -> Option<&mut [u8]>;

    /// Forgets everything after `position`.
    fn truncate(&mut self, position: usize);

    /// Starts a compound value: reserves its head and returns the mark for [`Sink::end`].
    fn begin(&mut self) -> Result<usize, Full> {
        let mark = self.position();
        self.put(&[0; SHORT])?;
        Ok(mark)
    }

    /// Ends the compound value begun at `mark`, in the shortest form that fits.
    fn end(&mut self, mark: usize, compound: Compound, count: u32) -> Result<(), Full> {
        let size = self.position() - mark - SHORT;
        if count == 0 && compound == Compound::List {
            self.truncate(mark);
            return self.put(&[0x45]);
        }
        let (short, long) = match compound {
            Compound::List => (0xc0, 0xd0),
            Compound::Map => (0xc1, 0xd1),
            Compound::Array => (0xe0, 0xf0),
        };
        if let (Ok(size), Ok(count)) = (u8::try_from(size + 1), u8::try_from(count)) {
            if let Some(head) = self.written().and_then(|all| all.get_mut(mark..mark + SHORT)) {
                head.copy_from_slice(&[short, size, count]);
            }
            return Ok(());
        }
        self.put(&[0; EXTRA])?;
        let Ok(long_size) = u32::try_from(size + 4) else { return Err(Full) };
        if let Some(all) = self.written() {
            all.copy_within(mark + SHORT..mark + SHORT + size, mark + SHORT + EXTRA);
            let mut head = [long; SHORT + EXTRA];
            head[1..5].copy_from_slice(&long_size.to_be_bytes());
            head[5..].copy_from_slice(&count.to_be_bytes());
            if let Some(place) = all.get_mut(mark..mark + SHORT + EXTRA) {
                place.copy_from_slice(&head);
            }
        }
        Ok(())
    }
}

/// A sink over borrowed memory.
#[derive(Debug)]
pub struct Buffer<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Buffer<'a> {
    /// An empty sink over `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// What was appended.
    pub fn into_written(self) -> &'a mut [u8] {
        let len = self.len;
        self.bytes.get_mut(..len).unwrap_or_default()
    }
}

impl Sink for Buffer<'_> {
    #[inline]
    fn position(&self) -> usize {
        self.len
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len.checked_add(bytes.len()).ok_or(Full)?;
        self.bytes.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    #[inline]
    fn written(&mut self) -> Option<&mut [u8]> {
        self.bytes.get_mut(..self.len)
    }

    fn truncate(&mut self, position: usize) {
        self.len = self.len.min(position);
    }
}

/// A sink that keeps nothing and counts, to learn an encoded size beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter(usize);

impl Counter {
    /// The encoded size of `value` in bytes.
    pub fn measure(value: &impl super::Encode) -> usize {
        let mut counter = Self(0);
        // A counter is never full.
        let _ = super::encode(value, &mut counter);
        counter.0
    }
}

impl Sink for Counter {
    fn position(&self) -> usize {
        self.0
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }

    fn written(&mut self) -> Option<&mut [u8]> {
        None
    }

    fn truncate(&mut self, position: usize) {
        self.0 = self.0.min(position);
    }
}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn position(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes).map_err(|_| Full)
    }

    fn written(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }

    fn truncate(&mut self, position: usize) {
        heapless::Vec::truncate(self, position);
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn position(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn written(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }

    fn truncate(&mut self, position: usize) {
        alloc::vec::Vec::truncate(self, position);
    }
}

#[cfg(feature = "alloc")]
impl Sink for bytes::BytesMut {
    fn position(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn written(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }

    fn truncate(&mut self, position: usize) {
        bytes::BytesMut::truncate(self, position);
    }
}

impl<W: Sink + ?Sized> Sink for &mut W {
    fn position(&self) -> usize {
        (**self).position()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        (**self).put(bytes)
    }

    fn written(&mut self) -> Option<&mut [u8]> {
        (**self).written()
    }

    fn truncate(&mut self, position: usize) {
        (**self).truncate(position);
    }
}
