//! Storage that grows: messages are slices of the read buffer.

use super::{
    AllFeatures, Arena, Assembly, Encoder, Generation, HeapDeadlines, HeapMarks, Index, Key, Outbox, PayloadBuilder,
    Payloads, Queue, Room, Rx, SharedText, Slots, Storage, Table, Text, Tx,
};
use crate::wire::{Encode, Full, Sink, measure};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};

/// Storage on the heap, bounded by [`Limits`](super::Limits).
#[derive(Clone, Copy, Debug)]
pub struct Heap;

/// Room kept free for the next read, so that reads do not shrink to crumbs at the end of a buffer; what a buffer begins
/// with.
const MIN_SPARE: usize = 8 * 1024;

impl Storage for Heap {
    type Payload = Bytes;
    type Encoder = BytesMut;
    type Text = String;
    type Description = HeapDescription;
    type Boxed<T> = Box<T>;
    type Literal = SharedText;
    type Assembly = HeapAssembly;
    type Payloads = HeapPayloads;
    type Rx = HeapRx;
    type Tx = HeapTx;
    type Index = HeapIndex;
    type Outbox = HeapOutbox;
    type Arena = BytesMut;
    type Deadlines = HeapDeadlines;
    type Features = AllFeatures;

    const MAX_FRAME_SIZE: u32 = u32::MAX;
    const MESSAGE_IDS: bool = true;

    fn rx(max_frame_size: usize) -> Self::Rx {
        HeapRx::new(max_frame_size)
    }

    fn tx(max_frame_size: usize) -> Self::Tx {
        HeapTx { bytes: alloc::vec![0; max_frame_size], start: 0, end: 0 }
    }
}

/// Containers grow, whatever their room.
impl<R> Room<R> for Heap {
    type Table<T> = HeapTable<T>;
    type Slots<T> = Vec<Option<T>>;
    type Marks = HeapMarks;
    type Queue = VecDeque<u32>;
}

impl Encoder for BytesMut {
    type Payload = Bytes;

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        let start = self.len();
        let mut sink = Sink::from(&mut *self);
        value.encode(&mut sink);
        let done = sink.finish();
        if done.is_err() {
            self.truncate(start);
        }
        done.map(|_| ())
    }

    fn as_slice(&self) -> &[u8] {
        self
    }

    fn truncate(&mut self, len: usize) {
        Self::truncate(self, len);
    }

    fn finish(self) -> Bytes {
        self.freeze()
    }

    fn resume(payload: Bytes) -> Self {
        payload.into()
    }
}

impl Text for String {
    fn of(words: &dyn fmt::Display) -> Self {
        alloc::string::ToString::to_string(words)
    }

    fn cut(text: &str) -> Self {
        Self::from(text)
    }
}

/// The words that come with a failure, and the error of another library that it comes from, which failures share.
#[derive(Clone, Debug, Default)]
pub struct HeapDescription {
    words: String,
    source: Option<Arc<dyn core::error::Error + Send + Sync>>,
}

impl AsRef<str> for HeapDescription {
    fn as_ref(&self) -> &str {
        &self.words
    }
}

impl Text for HeapDescription {
    fn of(words: &dyn fmt::Display) -> Self {
        Self { words: String::of(words), source: None }
    }

    fn caused(error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self { words: String::of(&error), source: Some(Arc::new(error)) }
    }

    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

impl Arena for BytesMut {
    type Payload = Bytes;

    fn encode(&mut self, value: &dyn Encode) -> Result<Bytes, Full> {
        // What is left of the chunk may be too small, but is not likely to be: it is worth a try without measuring.
        make_room(self, ROOM, CHUNK);
        let mut sink = Sink::from(&mut *self);
        value.encode(&mut sink);
        let done = sink.finish();
        let payload = self.split().freeze();
        done.map(|_| payload)
    }
}

impl PayloadBuilder for Bytes {
    fn encode(value: &dyn Encode) -> Result<Self, Full> {
        let mut payload = BytesMut::with_capacity(measure(value));
        payload.append(value)?;
        Ok(payload.freeze())
    }

    fn copy_from(bytes: &[u8]) -> Result<Self, Full> {
        Ok(Self::copy_from_slice(bytes))
    }

    fn part(&self, part: &[u8]) -> Result<Self, Full> {
        Ok(self.slice_ref(part))
    }
}

/// The frames of a delivery: one is kept as a slice, several are copied together.
#[derive(Debug, Default)]
pub enum HeapAssembly {
    /// Nothing yet.
    #[default]
    Empty,
    /// A slice of the read buffer.
    One(Bytes),
    /// Several frames.
    Many(BytesMut),
}

impl Assembly for HeapAssembly {
    type Payload = Bytes;

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// Deliveries hold their messages themselves; their bytes are counted here.
#[derive(Debug, Default)]
pub struct HeapPayloads {
    held: usize,
}

impl Payloads for HeapPayloads {
    type Payload = Bytes;
    type Assembly = HeapAssembly;
    type Kept = Bytes;
    type Begun = HeapAssembly;

    const BOUNDED: bool = false;

    fn held(&self) -> usize {
        self.held
    }

    #[inline]
    fn grew(&mut self, bytes: usize) {
        self.held += bytes;
    }

    #[inline]
    fn keep(&mut self, payload: Bytes) -> Result<Bytes, Bytes> {
        self.held += payload.len();
        Ok(payload)
    }

    #[inline]
    fn begin(&mut self) -> Option<HeapAssembly> {
        Some(HeapAssembly::Empty)
    }

    #[inline]
    fn assembly<'a>(&'a mut self, begun: &'a mut HeapAssembly) -> Option<&'a mut HeapAssembly> {
        Some(begun)
    }

    #[inline]
    fn finish(&mut self, begun: HeapAssembly) -> Bytes {
        begun.finish()
    }

    #[inline]
    fn bytes<'a>(&'a self, kept: &'a Bytes) -> &'a [u8] {
        kept
    }

    #[inline]
    fn take(&mut self, kept: Bytes) -> Bytes {
        self.held = self.held.saturating_sub(kept.len());
        kept
    }

    fn discard(&mut self, kept: Bytes) {
        self.held = self.held.saturating_sub(kept.len());
    }

    #[inline]
    fn free(&self) -> usize {
        usize::MAX
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: Generation,
    value: Result<T, u32>,
}

/// A growing table whose free places are chained.
#[derive(Debug)]
pub struct HeapTable<T> {
    places: Vec<Place<T>>,
    free: u32,
    len: usize,
    limit: usize,
}

/// The end of the chain of free places.
const NONE: u32 = u32::MAX;

impl<T> Table<T> for HeapTable<T> {
    fn bounded(limit: usize) -> Self {
        Self { places: Vec::new(), free: NONE, len: 0, limit: limit.min(NONE as usize) }
    }

    fn insert(&mut self, value: T) -> Result<Key, Full> {
        if self.len >= self.limit {
            return Err(Full);
        }
        self.len += 1;
        if let Some(place) = self.places.get_mut(self.free as usize) {
            let index = self.free;
            if let Err(next) = place.value {
                self.free = next;
            }
            place.generation = place.generation.next();
            place.value = Ok(value);
            return Ok(Key { index, generation: place.generation });
        }
        let index = self.places.len() as u32;
        self.places.push(Place { generation: Generation::FIRST, value: Ok(value) });
        Ok(Key { index, generation: Generation::FIRST })
    }

    fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        if place.value.is_err() {
            return None;
        }
        let value = core::mem::replace(&mut place.value, Err(self.free)).ok()?;
        self.free = index;
        self.len -= 1;
        Some(value)
    }

    #[inline]
    fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.value.as_ref().ok()
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.value.as_mut().ok()
    }

    #[inline]
    fn key(&self, index: u32) -> Option<Key> {
        let place = self.places.get(index as usize)?;
        place.value.is_ok().then_some(Key { index, generation: place.generation })
    }

    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        self.limit
    }

    fn end(&self) -> u32 {
        self.places.len() as u32
    }
}

/// Keys are small structured numbers made here, so one multiplication spreads them well enough.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte) ^ self.0);
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A hash map from numbers to places.
#[derive(Debug)]
#[allow(private_interfaces, reason = "the hasher is a detail")]
pub struct HeapIndex(hashbrown::HashMap<u64, u32, BuildHasherDefault<KeyHasher>>);

impl Index for HeapIndex {
    fn bounded(_limit: usize) -> Self {
        Self(hashbrown::HashMap::default())
    }

    fn insert(&mut self, key: u64, index: u32) -> Result<(), Full> {
        self.0.insert(key, index);
        Ok(())
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u32> {
        self.0.get(&key).copied()
    }

    #[inline]
    fn remove(&mut self, key: u64) -> Option<u32> {
        self.0.remove(&key)
    }
}

impl<T> Slots<T> for Vec<Option<T>> {
    fn put(&mut self, index: usize, value: T) -> Option<T> {
        if self.len() <= index {
            self.resize_with(index + 1, || None);
        }
        match self.get_mut(index) {
            Some(slot) => slot.replace(value),
            None => Some(value),
        }
    }

    fn take(&mut self, index: usize) -> Option<T> {
        self.get_mut(index)?.take()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)?.as_ref()
    }

    fn end(&self) -> usize {
        self.len()
    }
}

impl Queue for VecDeque<u32> {
    fn bounded(_limit: usize) -> Self {
        Self::new()
    }

    fn push(&mut self, value: u32) -> Result<(), Full> {
        self.push_back(value);
        Ok(())
    }

    fn pop(&mut self) -> Option<u32> {
        self.pop_front()
    }

    fn front(&self) -> Option<u32> {
        VecDeque::front(self).copied()
    }

    fn peek(&self, at: usize) -> Option<u32> {
        self.get(at).copied()
    }

    fn len(&self) -> usize {
        VecDeque::len(self)
    }
}

/// Control frames that wait to be sent.
#[derive(Debug)]
pub struct HeapOutbox {
    bytes: Vec<u8>,
    start: usize,
    limit: usize,
}

impl Outbox for HeapOutbox {
    fn bounded(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, limit }
    }

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        let start = self.bytes.len();
        let mut sink = Sink::from(&mut self.bytes);
        value.encode(&mut sink);
        if sink.finish().is_err() || self.bytes.len() - self.start > self.limit {
            self.bytes.truncate(start);
            return Err(Full);
        }
        Ok(())
    }

    fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        // What was sent makes room once it is the larger part, or a peer that reads slowly would let the vector grow.
        if self.start * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Room that a chunk has left for a message before that is encoded.
const ROOM: usize = 4 * 1024;
/// Messages are packed into chunks of this size, many to one allocation.
const CHUNK: usize = 64 * 1024;

/// Room for `len` more bytes at the end of `chunk`: its own memory again when no message holds on to it any more, else
/// a new chunk of this size. True when it is a new one.
fn make_room(chunk: &mut BytesMut, len: usize, size: usize) -> bool {
    if chunk.capacity() - chunk.len() >= len || chunk.try_reclaim(size.max(len)) {
        return false;
    }
    let mut fresh = BytesMut::with_capacity(size.max(len));
    fresh.extend_from_slice(chunk);
    *chunk = fresh;
    true
}

/// The first chunk of a receive buffer; each further one is twice as large, up to [`CHUNK`].
const FIRST_CHUNK: usize = 4 * 1024;
/// A message that takes so large a part of a chunk has memory of its own: it would pin what others no longer need.
const OWN_MEMORY: usize = CHUNK / 4;

/// The receive buffer, filled and emptied over and over. It grows to its capacity as reads fill it, and a driver that has
/// nothing to read can make it small again. Messages are copied out of it into chunks: a copy costs what
/// clearing a new buffer for each read would cost, and a message that is kept for long pins its chunk only.
pub struct HeapRx {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The largest frame that fits.
    capacity: usize,
    chunk: BytesMut,
    /// The size of the next chunk.
    next_chunk: usize,
}

impl HeapRx {
    fn new(max_frame_size: usize) -> Self {
        let capacity = max_frame_size.max(crate::wire::frame::MIN_MAX_FRAME_SIZE as usize);
        Self { bytes: Vec::new(), start: 0, end: 0, capacity, chunk: BytesMut::new(), next_chunk: FIRST_CHUNK }
    }

    /// Gives back what an empty buffer has grown beyond its first size.
    pub fn shrink(&mut self) {
        if self.filled().is_empty() && self.bytes.len() > MIN_SPARE {
            self.bytes = Vec::new();
        }
        if self.chunk.is_empty() {
            self.chunk = BytesMut::new();
        }
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.chunk.capacity()
    }
}

impl fmt::Debug for HeapRx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapRx({} bytes)", self.end - self.start)
    }
}

impl Rx<HeapAssembly> for HeapRx {
    fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < MIN_SPARE && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // As large as it was again, each time that reads have filled it.
        let full = self.capacity + MIN_SPARE;
        if self.bytes.len() - self.end < MIN_SPARE && self.bytes.len() < full {
            self.bytes.resize((self.bytes.len() * 2).max(self.end + MIN_SPARE).min(full), 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
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

    fn take(&mut self, offset: usize, size: usize, assembly: &mut HeapAssembly) -> Result<(), Full> {
        let end = (self.start + size).min(self.end);
        let frame = self.bytes.get(self.start + offset..end).unwrap_or_default();
        *assembly = match core::mem::take(assembly) {
            HeapAssembly::Empty if frame.len() >= OWN_MEMORY => HeapAssembly::One(Bytes::copy_from_slice(frame)),
            HeapAssembly::Empty => {
                if make_room(&mut self.chunk, frame.len(), self.next_chunk) {
                    self.next_chunk = (self.next_chunk * 2).min(CHUNK);
                }
                self.chunk.extend_from_slice(frame);
                HeapAssembly::One(self.chunk.split().freeze())
            }
            HeapAssembly::One(first) => {
                let mut many = BytesMut::with_capacity((first.len() + frame.len()) * 2);
                many.extend_from_slice(&first);
                many.extend_from_slice(frame);
                HeapAssembly::Many(many)
            }
            HeapAssembly::Many(mut many) => {
                many.extend_from_slice(frame);
                HeapAssembly::Many(many)
            }
        };
        self.consume(size);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// The transmit buffer.
pub struct HeapTx {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl HeapTx {
    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

impl fmt::Debug for HeapTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapTx({} bytes)", self.end - self.start)
    }
}

impl Tx for HeapTx {
    fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.consume(self.end);
    }
}
