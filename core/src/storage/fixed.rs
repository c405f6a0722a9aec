//! Storage without an allocator: every size is in the type.

use super::{
    Arena, Assembly, Encoder, Index, Key, NoSpare, Outbox, PayloadBuilder, Queue, Rx, Slots, Storage, Table, Text, Tx,
};
use crate::wire::{self, Encode, Full};
use core::fmt;

/// Storage with compile-time sizes. Name one with [`fixed_storage!`](crate::fixed_storage) instead of writing the
/// parameters: `SLOTS` is the sum of `SESSIONS`, `LINKS` and `DELIVERIES`.
#[derive(Clone, Copy)]
pub struct Fixed<
    const SESSIONS: usize,
    const LINKS: usize,
    const DELIVERIES: usize,
    const SLOTS: usize,
    const RECEIVE: usize,
    const TRANSMIT: usize,
    const MESSAGE: usize,
>;

impl<const S: usize, const L: usize, const D: usize, const N: usize, const R: usize, const T: usize, const M: usize>
    fmt::Debug for Fixed<S, L, D, N, R, T, M>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fixed")
    }
}

/// Names a [`Fixed`] storage by its sizes.
///
/// ```
/// servicebus_core::fixed_storage! {
///     /// One queue out, one in, messages of up to 1 KiB.
///     pub type Board { sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024 }
/// }
/// ```
///
/// `receive` is the largest frame that is accepted and at least 512 (AMQP 1.0 §2.7.1); `transmit` is the largest
/// frame that is sent; `message` bounds one encoded message in either direction.
#[macro_export]
macro_rules! fixed_storage {
    ($(#[$meta:meta])* $vis:vis type $name:ident {
        sessions: $sessions:expr, links: $links:expr, deliveries: $deliveries:expr,
        receive: $receive:expr, transmit: $transmit:expr, message: $message:expr $(,)?
    }) => {
        $(#[$meta])*
        $vis type $name = $crate::storage::Fixed<
            { $sessions }, { $links }, { $deliveries }, { ($sessions) + ($links) + ($deliveries) },
            { $receive }, { $transmit }, { $message },
        >;
        const _: () = {
            assert!($receive >= 512 && $transmit >= 512, "frames of 512 bytes must fit (AMQP 1.0 §2.7.1)");
            assert!($sessions >= 1 && $links >= 1 && $deliveries >= 1, "every table needs a place");
        };
    };
}

impl<const S: usize, const L: usize, const D: usize, const N: usize, const R: usize, const T: usize, const M: usize>
    Storage for Fixed<S, L, D, N, R, T, M>
{
    type Payload = heapless::Vec<u8, M>;
    type Encoder = heapless::Vec<u8, M>;
    type Text = heapless::String<TEXT>;
    type Literal = &'static str;
    type Requests<V> = FixedTable<V, REQUESTS>;
    type Assembly = heapless::Vec<u8, M>;
    type Rx = FixedBuffer<R>;
    type Tx = FixedBuffer<T>;
    type Sessions<V> = FixedTable<V, S>;
    type Links<V> = FixedTable<V, L>;
    type Deliveries<V> = FixedTable<V, D>;
    type Index = heapless::LinearMap<u64, u32, N>;
    type Queue = heapless::Deque<u32, N>;
    type Outbox = FixedBuffer<T>;
    type Slots<V> = heapless::Vec<Option<V>, D>;
    type Spare<V> = NoSpare;
    type Arena = FixedArena<M>;

    const MAX_FRAME_SIZE: u32 = R as u32;

    fn rx(_max_frame_size: usize) -> Self::Rx {
        FixedBuffer::new()
    }

    fn tx(_max_frame_size: usize) -> Self::Tx {
        FixedBuffer::new()
    }
}

/// Session ids have up to 128 characters; descriptions are cut there.
const TEXT: usize = 128;
/// Requests under way at once: a token's renewal and one of the application's.
const REQUESTS: usize = 2;

impl<const M: usize> Encoder for heapless::Vec<u8, M> {
    type Payload = Self;

    fn append(&mut self, value: &dyn Encode) -> Result<(), Full> {
        let start = self.as_slice().len();
        let _ = self.resize_default(M);
        let size = wire::encode(value, self.get_mut(start..).unwrap_or_default());
        heapless::Vec::truncate(self, start + size.unwrap_or(0));
        size.map(|_| ())
    }

    fn as_slice(&self) -> &[u8] {
        self
    }

    fn truncate(&mut self, len: usize) {
        heapless::Vec::truncate(self, len);
    }

    fn finish(self) -> Self {
        self
    }

    fn resume(payload: Self) -> Self {
        payload
    }
}

impl<const N: usize> Text for heapless::String<N> {
    fn cut(text: &str) -> Self {
        let mut end = text.len().min(N);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut kept = Self::new();
        // It fits.
        let _ = kept.push_str(text.get(..end).unwrap_or_default());
        kept
    }
}

impl<const M: usize> PayloadBuilder for heapless::Vec<u8, M> {
    fn encode(value: &dyn Encode) -> Result<Self, Full> {
        let mut payload = Self::new();
        payload.append(value)?;
        Ok(payload)
    }

    fn copy_from(bytes: &[u8]) -> Result<Self, Full> {
        Self::from_slice(bytes).map_err(|_| Full)
    }

    fn part(&self, part: &[u8]) -> Result<Self, Full> {
        Self::copy_from(part)
    }
}

impl<const M: usize> Assembly for heapless::Vec<u8, M> {
    type Payload = Self;

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn finish(self) -> Self {
        self
    }
}

/// Encodes each message in a place of its own.
#[derive(Debug, Default)]
pub struct FixedArena<const M: usize>;

impl<const M: usize> Arena for FixedArena<M> {
    type Payload = heapless::Vec<u8, M>;

    fn encode(&mut self, value: &dyn Encode) -> Result<Self::Payload, Full> {
        PayloadBuilder::encode(value)
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// A table of `N` places.
#[derive(Debug)]
pub struct FixedTable<T, const N: usize> {
    places: heapless::Vec<Place<T>, N>,
    len: usize,
}

impl<T, const N: usize> Table<T> for FixedTable<T, N> {
    fn bounded(_limit: usize) -> Self {
        Self { places: heapless::Vec::new(), len: 0 }
    }

    #[inline(never)]
    fn insert(&mut self, value: T) -> Result<Key, T> {
        let index = match self.places.iter().position(|place| place.value.is_none()) {
            Some(index) => index,
            None => {
                if self.places.push(Place { generation: 0, value: None }).is_err() {
                    return Err(value);
                }
                self.places.len() - 1
            }
        };
        let Some(place) = self.places.get_mut(index) else { return Err(value) };
        place.generation = place.generation.wrapping_add(1);
        place.value = Some(value);
        self.len += 1;
        Ok(Key { index: index as u32, generation: place.generation })
    }

    #[inline(never)]
    fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.places.get_mut(index as usize)?.value.take()?;
        self.len -= 1;
        Some(value)
    }

    #[inline(never)]
    fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.value.as_ref()
    }

    #[inline(never)]
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.value.as_mut()
    }

    #[inline(never)]
    fn key(&self, index: u32) -> Option<Key> {
        let place = self.places.get(index as usize)?;
        place.value.as_ref()?;
        Some(Key { index, generation: place.generation })
    }

    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        N
    }

    fn end(&self) -> u32 {
        self.places.len() as u32
    }
}

impl<T, const N: usize> Slots<T> for heapless::Vec<Option<T>, N> {
    #[inline(never)]
    fn put(&mut self, index: usize, value: T) -> Option<T> {
        while self.as_slice().len() <= index {
            if self.push(None).is_err() {
                return Some(value);
            }
        }
        match self.as_mut_slice().get_mut(index) {
            Some(slot) => slot.replace(value),
            None => Some(value),
        }
    }

    fn take(&mut self, index: usize) -> Option<T> {
        self.as_mut_slice().get_mut(index)?.take()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)?.as_ref()
    }

    fn end(&self) -> usize {
        self.as_slice().len()
    }
}

impl<const N: usize> Index for heapless::LinearMap<u64, u32, N> {
    fn bounded(_limit: usize) -> Self {
        Self::new()
    }

    #[inline(never)]
    fn insert(&mut self, key: u64, index: u32) -> Result<(), Full> {
        heapless::LinearMap::insert(self, key, index).map(|_| ()).map_err(|_| Full)
    }

    #[inline(never)]
    fn get(&self, key: u64) -> Option<u32> {
        heapless::LinearMap::get(self, &key).copied()
    }

    #[inline(never)]
    fn remove(&mut self, key: u64) -> Option<u32> {
        heapless::LinearMap::remove(self, &key)
    }
}

impl<const N: usize> Queue for heapless::Deque<u32, N> {
    fn bounded(_limit: usize) -> Self {
        Self::new()
    }

    #[inline(never)]
    fn push(&mut self, value: u32) -> Result<(), Full> {
        self.push_back(value).map_err(|_| Full)
    }

    #[inline(never)]
    fn pop(&mut self) -> Option<u32> {
        self.pop_front()
    }

    fn front(&self) -> Option<u32> {
        heapless::Deque::front(self).copied()
    }

    fn peek(&self, at: usize) -> Option<u32> {
        self.iter().nth(at).copied()
    }

    fn len(&self) -> usize {
        heapless::Deque::len(self)
    }
}

/// `N` bytes, filled at the end and emptied at the front.
pub struct FixedBuffer<const N: usize> {
    bytes: [u8; N],
    start: usize,
    end: usize,
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
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(N);
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
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
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(N);
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
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
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.drop_front(count);
    }
}
