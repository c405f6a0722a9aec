//! Buffers of a size that is in the type.

use super::{Outbox, Rx, Tx};
use crate::wire::{self, Encode, Full};
use core::fmt;

/// `N` bytes, filled at the end and emptied at the front.
// In this order: small machines reach the numbers with shorter instructions.
#[repr(C)]
pub struct FixedBuffer<const N: usize> {
    start: usize,
    end: usize,
    bytes: [u8; N],
}

impl<const N: usize> FixedBuffer<N> {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: [0; N], start: 0, end: 0 }
    }

    fn compact(&mut self) {
        // The two latter always hold; said here, they spare the move a check of its own.
        if self.start > 0 && self.start <= self.end && self.end <= N {
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
    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    #[inline(never)]
    fn grow(&mut self, count: usize) {
        self.end = (self.end + count).min(N);
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

impl<const N: usize> Default for FixedBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for FixedBuffer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedBuffer({} of {N} bytes)", self.end - self.start)
    }
}

impl<const N: usize, const M: usize> Rx<heapless::Vec<u8, M>> for FixedBuffer<N> {
    fn spare(&mut self) -> &mut [u8] {
        self.compact();
        self.room()
    }

    fn commit(&mut self, count: usize) {
        self.grow(count);
    }

    fn filled(&self) -> &[u8] {
        self.waiting()
    }

    fn consume(&mut self, count: usize) {
        self.drop_front(count);
    }

    fn take(&mut self, offset: usize, size: usize, assembly: &mut heapless::Vec<u8, M>) -> Result<(), Full> {
        let bytes = self.bytes.get(self.start + offset..(self.start + size).min(self.end)).unwrap_or_default();
        let taken = assembly.extend_from_slice(bytes).map_err(|_| Full);
        self.drop_front(size);
        taken
    }

    fn capacity(&self) -> usize {
        N
    }

    fn clear(&mut self) {
        self.drop_front(N);
    }
}

impl<const N: usize> Tx for FixedBuffer<N> {
    fn spare(&mut self) -> &mut [u8] {
        self.room()
    }

    fn commit(&mut self, count: usize) {
        self.grow(count);
    }

    fn filled(&self) -> &[u8] {
        self.waiting()
    }

    fn consume(&mut self, count: usize) {
        self.drop_front(count);
    }

    fn capacity(&self) -> usize {
        N
    }

    fn clear(&mut self) {
        self.drop_front(N);
    }
}

impl<const N: usize> Outbox for FixedBuffer<N> {
    fn bounded(_limit: usize) -> Self {
        Self::new()
    }

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        self.compact();
        self.end += wire::encode(value, self.bytes.get_mut(self.end..).unwrap_or_default())?;
        Ok(())
    }

    fn pending(&self) -> &[u8] {
        self.waiting()
    }

    fn consume(&mut self, count: usize) {
        self.drop_front(count);
    }
}
