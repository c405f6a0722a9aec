//! Storage that grows: messages are copied out of the receive buffer into chunks, which they share.

use super::chunk::CHUNK;
use super::{
    AllFeatures, Buffer, Generation, HeapBuffer, HeapDeadlines, HeapMarks, Index, Key, Payload, Payloads, Room,
    SharedText, Storage, Table, Text,
};
use crate::wire::{Encode, Full, Sink, measure};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};

/// Storage on the heap, bounded by [`Limits`](super::Limits).
///
/// # Examples
///
/// A type with this storage, for a runtime of one's own:
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::Client;
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Heap;
///
/// fn on_a_server<R: Runtime<Storage = Heap>>(client: Client<R>) -> Client<R> {
///     client
/// }
/// on_a_server(client).sender("orders")?.send("one").await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Heap;

impl Storage for Heap {
    type Payload = Bytes;
    type Text = String;
    type Description = HeapDescription;
    type Boxed<T> = Box<T>;
    type Literal = SharedText;
    type Payloads = HeapPayloads;
    type Index = HeapIndex;
    type Deadlines = HeapDeadlines;
    type Features = AllFeatures;

    const MAX_FRAME_SIZE: u32 = u32::MAX;
    const MESSAGE_IDS: bool = true;
    const PIPELINES: bool = false;
    const CHECKS: bool = true;

    fn rx(max_frame_size: usize) -> HeapBuffer {
        HeapBuffer::bounded(max_frame_size.max(crate::wire::frame::MIN_MAX_FRAME_SIZE as usize))
    }

    fn tx(max_frame_size: usize) -> HeapBuffer {
        HeapBuffer::whole(max_frame_size.max(crate::wire::frame::MIN_MAX_FRAME_SIZE as usize))
    }
}

/// Containers grow on demand.
impl<R> Room<R> for Heap {
    type Table<T> = HeapTable<T>;
    type Slots<T: Default> = Vec<T>;
    type Marks = HeapMarks;
    type Buffer = HeapBuffer;

    fn grow<T: Default>(slots: &mut Vec<T>, len: usize) {
        slots.resize_with(len, T::default);
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

    fn is_shared(&self) -> bool {
        self.source.as_ref().is_some_and(|source| Arc::strong_count(source) > 1)
    }
}

impl Payload for Bytes {
    type Encoder = BytesMut;

    fn encode(value: &dyn Encode) -> Result<Self, Full> {
        let mut payload = BytesMut::with_capacity(measure(value));
        Self::append(&mut payload, value)?;
        Ok(payload.freeze())
    }

    fn encode_in(place: &mut Option<Self>, memory: Option<&mut BytesMut>, value: &dyn Encode) -> Result<(), Full> {
        *place = None;
        *place = Some(match memory {
            Some(chunk) => encode_in_chunk(chunk, value)?,
            None => Self::encode(value)?,
        });
        Ok(())
    }

    fn append(encoder: &mut BytesMut, value: &dyn Encode) -> Result<(), Full> {
        let start = encoder.len();
        let mut sink = Sink::from(&mut *encoder);
        value.encode(&mut sink);
        let done = sink.finish();
        if done.is_err() {
            encoder.truncate(start);
        }
        done.map(|_| ())
    }

    fn truncate(encoder: &mut BytesMut, len: usize) {
        encoder.truncate(len);
    }

    fn copy_from(bytes: &[u8]) -> Result<Self, Full> {
        Ok(Self::copy_from_slice(bytes))
    }

    fn part(&self, part: &[u8]) -> Result<Self, Full> {
        Ok(self.slice_ref(part))
    }

    fn detached(self) -> Self {
        // Its owner may be any type.
        Self::copy_from_slice(&self)
    }
}

/// Encodes a value into the rest of a chunk, or into a new chunk in its place.
fn encode_in_chunk(chunk: &mut BytesMut, value: &dyn Encode) -> Result<Bytes, Full> {
    // Written in place: all of the chunk counts as written, and is cleared once for many messages. Memory that grows is
    // appended to piece by piece. What is left of the chunk may be too small, but is not likely to be: it is worth a
    // try without measuring.
    let mut is_new = chunk.len() < ROOM;
    loop {
        if is_new {
            chunk.clear();
            if !chunk.try_reclaim(CHUNK) {
                *chunk = BytesMut::with_capacity(CHUNK);
            }
            chunk.resize(CHUNK, 0);
        }
        let mut sink = Sink::new(chunk);
        value.encode(&mut sink);
        match sink.finish() {
            Ok(size) => return Ok(chunk.split_to(size).freeze()),
            // A large message has memory of its own.
            Err(Full) if is_new || sink.position() > CHUNK / 4 => return Bytes::encode(value),
            Err(Full) => is_new = true,
        }
    }
}

/// Deliveries hold their messages themselves; their bytes are counted here.
#[derive(Debug, Default)]
pub struct HeapPayloads {
    held: usize,
}

impl Payloads<Bytes, HeapBuffer> for HeapPayloads {
    type Kept = Bytes;

    const BOUNDED: bool = false;

    fn held(&self) -> usize {
        self.held
    }

    #[inline]
    fn keep(&mut self, payload: &Bytes) -> Option<Bytes> {
        self.held += payload.len();
        Some(payload.clone())
    }

    #[inline]
    fn begin(&mut self) -> Option<Bytes> {
        Some(Bytes::new())
    }

    fn receive(&mut self, kept: &mut Bytes, buffer: &mut HeapBuffer, offset: usize, size: usize) -> Result<(), Full> {
        let before = kept.len();
        *kept = if before == 0 {
            buffer.copy_out(offset, size)
        } else {
            let frame = buffer.frame(offset, size);
            // From the second frame on it has memory of its own, which grows.
            let mut message = core::mem::take(kept).try_into_mut().unwrap_or_else(|shared| {
                let mut message = BytesMut::with_capacity((before + frame.len()) * 2);
                message.extend_from_slice(&shared);
                message
            });
            message.extend_from_slice(frame);
            message.freeze()
        };
        buffer.consume(size);
        self.held += kept.len() - before;
        Ok(())
    }

    #[inline]
    fn bytes<'a>(&'a self, kept: &'a Bytes) -> &'a [u8] {
        kept
    }

    #[inline]
    fn take(&mut self, kept: Bytes, place: &mut Bytes) {
        self.held = self.held.saturating_sub(kept.len());
        *place = kept;
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

/// An entry is touched: tests count it.
#[inline(always)]
fn note() {
    #[cfg(all(test, feature = "alloc"))]
    super::tests::note();
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
        note();
        self.places.get(index as usize)?.value.as_ref().ok()
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        note();
        self.places.get_mut(index as usize)?.value.as_mut().ok()
    }

    #[inline]
    fn key(&self, index: u32) -> Option<Key> {
        note();
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

/// Room that a chunk has left for a message before that is encoded.
const ROOM: usize = 4 * 1024;
