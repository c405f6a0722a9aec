//! Buffers of a size that is in the type.

use crate::wire::{self, Encode, Full};
use core::fmt;

/// `N` bytes, filled at the end and emptied at the front.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Buffer, FixedBuffer};
///
/// let mut transmit = FixedBuffer::<16>::new();
/// transmit.append(&"short").map_err(|_| "it has no room")?;
/// assert!(transmit.append(&"longer than that").is_err());
/// assert_eq!(transmit.filled().len(), 7, "what has no room changes nothing");
/// # Ok::<(), &str>(())
/// ```
pub struct FixedBuffer<const N: usize>(Contents<[u8; N]>);

/// The same of any size: its functions are there once for buffers of all sizes.
// In this order: small machines reach the numbers with shorter instructions.
#[repr(C)]
struct Contents<B: ?Sized> {
    start: usize,
    end: usize,
    bytes: B,
}

impl Contents<[u8]> {
    fn compact(&mut self) {
        // The two latter always hold; said here, they spare the move a check of its own.
        if self.start > 0 && self.start <= self.end && self.end <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    #[inline(never)]
    fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    #[inline(never)]
    fn compacted(&mut self) -> &mut [u8] {
        self.compact();
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    #[inline(never)]
    fn grow(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    #[inline(never)]
    fn drop_front(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }
}

impl<const N: usize> FixedBuffer<N> {
    /// An empty buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::storage::{Buffer, FixedBuffer};
    ///
    /// static EMPTY: FixedBuffer<512> = FixedBuffer::new();
    /// assert_eq!((EMPTY.capacity(), EMPTY.filled().len()), (512, 0));
    /// ```
    // Inlined, it is made in its place.
    #[inline(always)]
    pub const fn new() -> Self {
        Self(Contents { bytes: [0; N], start: 0, end: 0 })
    }

    fn buffer(&self) -> &Contents<[u8]> {
        &self.0
    }

    fn buffer_mut(&mut self) -> &mut Contents<[u8]> {
        &mut self.0
    }
}

impl<const N: usize> Default for FixedBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for FixedBuffer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedBuffer({} of {N} bytes)", self.0.end - self.0.start)
    }
}

impl<const N: usize> super::Buffer for FixedBuffer<N> {
    #[inline(always)]
    fn bounded(_limit: usize) -> Self {
        Self::new()
    }

    fn spare(&mut self) -> &mut [u8] {
        self.buffer_mut().compacted()
    }

    fn commit(&mut self, count: usize) {
        self.buffer_mut().grow(count);
    }

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        let size = wire::encode(value, self.buffer_mut().compacted())?;
        self.buffer_mut().grow(size);
        Ok(())
    }

    fn filled(&self) -> &[u8] {
        self.buffer().waiting()
    }

    fn consume(&mut self, count: usize) {
        self.buffer_mut().drop_front(count);
    }

    fn capacity(&self) -> usize {
        N
    }

    fn clear(&mut self) {
        self.buffer_mut().drop_front(N);
    }
}
