//! Buffers that grow as they are used.

use super::Buffer;
use super::chunk::{CHUNK, make_room};
use crate::wire::{Encode, Full, Sink};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;

/// Room kept free for the next read, so that reads do not shrink to crumbs at the end of a buffer; what a buffer begins
/// with.
const MIN_SPARE: usize = 8 * 1024;
/// The first chunk of a receive buffer; each further one is twice as large, up to [`CHUNK`].
const FIRST_CHUNK: usize = 4 * 1024;
/// A message that takes so large a part of a chunk has memory of its own: it would pin what others no longer need.
const OWN_MEMORY: usize = CHUNK / 4;

/// A buffer that is filled and emptied over and over. It grows to its capacity as reads fill it, and a driver that has
/// nothing to read can make it small again. Messages are copied out of it into chunks: a copy costs what clearing a new
/// buffer for each read would cost, and a message that is kept for long pins its chunk only.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Buffer, HeapBuffer};
///
/// let mut received = HeapBuffer::bounded(65_536);
/// received.spare()[..4].copy_from_slice(b"AMQP"); // a read from a socket
/// received.commit(4);
/// assert_eq!(received.filled(), b"AMQP");
/// ```
pub struct HeapBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The largest frame that fits.
    capacity: usize,
    /// Room that is made for the next read; none where the buffer has its size from the beginning.
    min_spare: usize,
    chunk: BytesMut,
    /// The size of the next chunk.
    next_chunk: usize,
}

impl HeapBuffer {
    /// A buffer that has its size from the beginning, so that frames are never cut smaller.
    pub(super) fn whole(size: usize) -> Self {
        Self { bytes: alloc::vec![0; size], min_spare: 0, ..Self::bounded(size) }
    }

    /// Gives back what an empty buffer has grown beyond its first size.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::{Buffer, HeapBuffer};
    /// let mut received = HeapBuffer::bounded(65_536);
    /// while received.memory() < 65_536 {
    ///     let count = received.spare().len();
    ///     received.commit(count); // a server that sends much
    /// }
    /// received.clear();
    /// received.shrink();
    /// assert!(received.memory() < 65_536);
    /// ```
    pub fn shrink(&mut self) {
        if self.min_spare > 0 && self.filled().is_empty() && self.bytes.len() > MIN_SPARE {
            self.bytes = Vec::new();
        }
        if self.chunk.is_empty() {
            self.chunk = BytesMut::new();
        }
    }

    /// Bytes of memory that it holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::{Buffer, HeapBuffer};
    /// let mut received = HeapBuffer::bounded(65_536);
    /// assert_eq!(received.memory(), 0, "it grows as it is used");
    /// received.spare();
    /// assert!(received.memory() >= 8_192);
    /// ```
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.chunk.capacity()
    }

    /// What is behind `offset` in a frame of `size` bytes at the front.
    pub(super) fn frame(&self, offset: usize, size: usize) -> &[u8] {
        self.bytes.get(self.start + offset..(self.start + size).min(self.end)).unwrap_or_default()
    }

    /// A copy of the same, in a chunk that messages share.
    pub(super) fn copy_out(&mut self, offset: usize, size: usize) -> Bytes {
        let end = (self.start + size).min(self.end);
        let frame = self.bytes.get(self.start + offset..end).unwrap_or_default();
        if frame.len() >= OWN_MEMORY {
            return Bytes::copy_from_slice(frame);
        }
        if make_room(&mut self.chunk, frame.len(), self.next_chunk) {
            self.next_chunk = (self.next_chunk * 2).min(CHUNK);
        }
        self.chunk.extend_from_slice(frame);
        self.chunk.split().freeze()
    }

    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }
}

impl fmt::Debug for HeapBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapBuffer({} bytes)", self.end - self.start)
    }
}

impl Buffer for HeapBuffer {
    fn bounded(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            capacity: limit,
            min_spare: MIN_SPARE,
            chunk: BytesMut::new(),
            next_chunk: FIRST_CHUNK,
        }
    }

    fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < self.min_spare {
            if self.start > 0 {
                self.compact();
            }
            // As large as it was again, each time that reads have filled it.
            let full = self.capacity + MIN_SPARE;
            if self.bytes.len() - self.end < MIN_SPARE && self.bytes.len() < full {
                self.bytes.resize((self.bytes.len() * 2).max(self.end + MIN_SPARE).min(full), 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        // What was sent makes room once it is the larger part, or a peer that reads slowly would let the buffer grow.
        if self.start > 0 && self.start * 2 >= self.end {
            self.compact();
        }
        self.bytes.truncate(self.end);
        let mut sink = Sink::from(&mut self.bytes);
        value.encode(&mut sink);
        if sink.finish().is_err() || self.bytes.len() - self.start > self.capacity {
            self.bytes.truncate(self.end);
            return Err(Full);
        }
        self.end = self.bytes.len();
        Ok(())
    }

    #[inline]
    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Protocol;

    /// What was appended comes out in order, and memory stays within twice the limit however slowly it is taken.
    #[test]
    fn appended_values_come_out_in_order_and_what_was_taken_makes_room() {
        let mut buffer = HeapBuffer::bounded(64);
        let mut taken = Vec::new();
        for round in 0..1_000 {
            while buffer.append(&Protocol::Amqp).is_ok() {}
            assert!(buffer.filled().len() <= 64, "beyond the limit");
            let count = 1 + round % 24;
            taken.extend_from_slice(&buffer.filled()[..count]);
            buffer.consume(count);
            assert!(buffer.memory() <= 256, "{} bytes", buffer.memory());
        }
        assert!(taken.chunks(8).all(|chunk| b"AMQP\0\x01\0\0".starts_with(chunk)));
    }

    #[test]
    fn a_whole_buffer_keeps_its_size() {
        let mut buffer = HeapBuffer::whole(100);
        assert_eq!((buffer.spare().len(), buffer.capacity()), (100, 100));
        buffer.commit(60);
        buffer.shrink();
        assert_eq!((buffer.spare().len(), buffer.filled().len()), (40, 60));
        buffer.clear();
        assert_eq!(buffer.spare().len(), 100);
    }
}
