//! Storage without an allocator: every size is in the type.

use super::{
    Arena, Assembly, Description, Encoder, Generation, Index, Key, NoDescription, NoSpare, Outbox, PayloadBuilder,
    Payloads, Queue, Rx, Slots, Storage, Table, Text, Tx,
};
use crate::wire::{self, Encode, Full};
use core::fmt;

/// Storage with compile-time sizes. Name one with [`fixed_storage!`](crate::fixed_storage) instead of writing the
/// parameters: `SLOTS` is the sum of `SESSIONS`, `LINKS` and `DELIVERIES`, `OUTBOX` follows from `TRANSMIT`.
#[derive(Clone, Copy)]
pub struct Fixed<
    const SESSIONS: usize,
    const LINKS: usize,
    const DELIVERIES: usize,
    const SLOTS: usize,
    const RECEIVE: usize,
    const TRANSMIT: usize,
    const OUTBOX: usize,
    const MESSAGE: usize,
    const MESSAGES: usize,
    const SESSION_RECEIVERS: usize,
>;

impl<
    const S: usize,
    const L: usize,
    const D: usize,
    const N: usize,
    const R: usize,
    const T: usize,
    const O: usize,
    const M: usize,
    const P: usize,
    const C: usize,
> fmt::Debug for Fixed<S, L, D, N, R, T, O, M, P, C>
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
/// frame that is sent; `message` bounds one encoded message in either direction. `messages` is how many of them can
/// wait at once, to be sent or to be taken: half of the deliveries and never less than four when it is left out, for
/// a delivery keeps its message only until that is written or taken. Three are for a request, its response and a
/// message to send, the rest for messages that come in. `session_receivers` is how many receivers can have a session
/// at a time, two when it is left out.
#[macro_export]
macro_rules! fixed_storage {
    ($(#[$meta:meta])* $vis:vis type $name:ident {
        sessions: $sessions:expr, links: $links:expr, deliveries: $deliveries:expr,
        receive: $receive:expr, transmit: $transmit:expr, message: $message:expr
        $(, messages: $messages:expr)? $(, session_receivers: $receivers:expr)? $(,)?
    }) => {
        $(#[$meta])*
        $vis type $name = $crate::storage::Fixed<
            { $sessions }, { $links }, { $deliveries }, { ($sessions) + ($links) + ($deliveries) },
            { $receive }, { $transmit }, { $crate::storage::half_or($transmit, 512) }, { $message },
            { $crate::storage::first_of(&[$($messages,)? $crate::storage::half_or($deliveries, 4)]) },
            { $crate::storage::first_of(&[$($receivers,)? 2]) },
        >;
        const _: () = {
            assert!($receive >= 512 && $transmit >= 512, "frames of 512 bytes must fit (AMQP 1.0 §2.7.1)");
            assert!($sessions >= 1 && $links >= 1 && $deliveries >= 1, "every table needs a place");
            assert!(($sessions) + ($links) + ($deliveries) < 1 << 14, "fixed tables are small ones");
            $( assert!($messages >= 1 && $messages <= 256, "between 1 and 256 messages can wait"); )?
        };
    };
}

/// The first of some numbers.
#[doc(hidden)]
pub const fn first_of(numbers: &[usize]) -> usize {
    match numbers {
        [first, ..] => *first,
        [] => 0,
    }
}

/// Half of a number, and never less than `least`.
#[doc(hidden)]
pub const fn half_or(number: usize, least: usize) -> usize {
    if number / 2 > least { number / 2 } else { least }
}

impl<
    const S: usize,
    const L: usize,
    const D: usize,
    const N: usize,
    const R: usize,
    const T: usize,
    const O: usize,
    const M: usize,
    const P: usize,
    const C: usize,
> Storage for Fixed<S, L, D, N, R, T, O, M, P, C>
{
    type Payload = heapless::Vec<u8, M>;
    type Encoder = heapless::Vec<u8, M>;
    type Text = heapless::String<TEXT>;
    type Description = NoDescription;
    type Literal = &'static str;
    type Requests<V> = FixedTable<V, REQUESTS>;
    type Assembly = heapless::Vec<u8, M>;
    type Payloads = FixedPayloads<M, P>;
    type Rx = FixedBuffer<R>;
    type Tx = FixedBuffer<T>;
    type Sessions<V> = FixedTable<V, S>;
    type Links<V> = FixedTable<V, L>;
    type Deliveries<V> = FixedTable<V, D>;
    type Index = FixedIndex<N>;
    type Queue = FixedQueue<N>;
    type Outbox = FixedBuffer<O>;
    type Slots<V> = heapless::Vec<Option<V>, D>;
    type LinkSlots<V> = heapless::Vec<Option<V>, L>;
    type Nodes<V> = FixedTable<V, NODES>;
    type Claims<V> = FixedTable<V, C>;
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

/// Session ids have up to 128 characters; the last description is cut there.
const TEXT: usize = 128;
/// Requests under way at once: a token's renewal and one of the application's.
const REQUESTS: usize = 2;
/// Nodes that are asked: `$cbs`, and two entities; one that was not asked for a while makes room for another.
const NODES: usize = 3;

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

/// Takes what fits and forgets the rest.
struct Cut<const N: usize>(heapless::String<N>);

impl<const N: usize> fmt::Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.0.push(character)).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> Description for heapless::String<N> {
    fn of(words: &dyn fmt::Display) -> Self {
        let mut kept = Cut(Self::new());
        // The error is that it was cut.
        let _ = fmt::write(&mut kept, format_args!("{words}"));
        kept.0
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

/// `P` places for messages of up to `M` bytes.
#[derive(Debug)]
pub struct FixedPayloads<const M: usize, const P: usize> {
    places: [heapless::Vec<u8, M>; P],
    taken: [bool; P],
}

impl<const M: usize, const P: usize> Default for FixedPayloads<M, P> {
    fn default() -> Self {
        Self { places: [const { heapless::Vec::new() }; P], taken: [false; P] }
    }
}

impl<const M: usize, const P: usize> Payloads for FixedPayloads<M, P> {
    type Payload = heapless::Vec<u8, M>;
    type Assembly = heapless::Vec<u8, M>;
    type Kept = FixedPlace;
    type Begun = FixedPlace;

    const BOUNDED: bool = true;

    fn keep(&mut self, payload: Self::Payload) -> Result<FixedPlace, Self::Payload> {
        let Some(mut place) = self.begin() else { return Err(payload) };
        if let Some(kept) = self.assembly(&mut place) {
            *kept = payload;
        }
        Ok(place)
    }

    fn begin(&mut self) -> Option<FixedPlace> {
        let index = self.taken.iter().position(|taken| !taken)?;
        *self.taken.get_mut(index)? = true;
        self.places.get_mut(index)?.clear();
        Some(FixedPlace(index as u8))
    }

    fn assembly<'a>(&'a mut self, begun: &'a mut FixedPlace) -> Option<&'a mut Self::Assembly> {
        self.places.get_mut(usize::from(begun.0))
    }

    fn finish(&mut self, begun: FixedPlace) -> FixedPlace {
        begun
    }

    fn bytes<'a>(&'a self, kept: &'a FixedPlace) -> &'a [u8] {
        self.places.get(usize::from(kept.0)).map_or(&[], |place| place)
    }

    fn take(&mut self, kept: FixedPlace) -> Self::Payload {
        let payload = self.places.get(usize::from(kept.0)).cloned().unwrap_or_default();
        self.discard(kept);
        payload
    }

    fn discard(&mut self, kept: FixedPlace) {
        if let Some(taken) = self.taken.get_mut(usize::from(kept.0)) {
            *taken = false;
        }
    }

    fn free(&self) -> usize {
        self.taken.iter().filter(|taken| !**taken).count()
    }
}

/// Names a place of [`FixedPayloads`].
#[derive(Debug)]
pub struct FixedPlace(u8);

/// Encodes each message in a place of its own.
#[derive(Debug, Default)]
pub struct FixedArena<const M: usize>;

impl<const M: usize> Arena for FixedArena<M> {
    type Payload = heapless::Vec<u8, M>;

    fn encode(&mut self, value: &dyn Encode) -> Result<Self::Payload, Full> {
        PayloadBuilder::encode(value)
    }
}

/// A table of `N` places.
#[derive(Debug)]
pub struct FixedTable<T, const N: usize> {
    /// How often each place that was ever used has been filled and emptied: an odd number, which is its generation,
    /// while it is filled. Apart from the values, whose alignment would double the room that they take.
    turns: heapless::Vec<u32, N>,
    values: heapless::Vec<Option<T>, N>,
    len: usize,
}

/// Fills a place. Not generic: it is there once for the tables of all kinds.
#[inline(never)]
fn fill(turns: &mut heapless::VecView<u32>) -> Option<Key> {
    let index = match turns.iter().position(|turn| turn % 2 == 0) {
        Some(index) => index,
        None => {
            turns.push(0).ok()?;
            turns.len() - 1
        }
    };
    let turn = turns.get_mut(index)?;
    *turn = turn.wrapping_add(1);
    Some(Key { index: index as u32, generation: Generation::new(*turn)? })
}

/// Empties a place, if it is filled. Not generic, as above.
#[inline(never)]
fn empty(turns: &mut [u32], index: u32) -> Option<()> {
    let turn = turns.get_mut(index as usize).filter(|turn| **turn % 2 == 1)?;
    *turn = turn.wrapping_add(1);
    Some(())
}

/// The key of a filled place. Not generic, as above.
#[inline(never)]
fn key_of(turns: &[u32], index: u32) -> Option<Key> {
    let turn = *turns.get(index as usize)?;
    if turn % 2 == 0 { None } else { Some(Key { index, generation: Generation::new(turn)? }) }
}

impl<T, const N: usize> Table<T> for FixedTable<T, N> {
    fn bounded(_limit: usize) -> Self {
        Self { turns: heapless::Vec::new(), values: heapless::Vec::new(), len: 0 }
    }

    #[inline(never)]
    fn insert(&mut self, value: T) -> Result<Key, T> {
        let Some(key) = fill(self.turns.as_mut_view()) else { return Err(value) };
        if self.values.len() <= key.index as usize {
            // As many as turns.
            let _ = self.values.push(None);
        }
        let Some(place) = self.values.get_mut(key.index as usize) else { return Err(value) };
        *place = Some(value);
        self.len += 1;
        Ok(key)
    }

    #[inline(never)]
    fn remove(&mut self, index: u32) -> Option<T> {
        empty(&mut self.turns, index)?;
        self.len -= 1;
        self.values.get_mut(index as usize)?.take()
    }

    #[inline(never)]
    fn get(&self, index: u32) -> Option<&T> {
        self.values.as_slice().get(index as usize)?.as_ref()
    }

    #[inline(never)]
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    fn key(&self, index: u32) -> Option<Key> {
        key_of(&self.turns, index)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        N
    }

    fn end(&self) -> u32 {
        self.turns.len() as u32
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

/// A number with a kind in its two highest bits, in half the room: tables have less than 2^14 places.
fn small(value: u32) -> u16 {
    (value >> 30 << 14) as u16 | (value & 0x3fff) as u16
}

/// The inverse of [`small`].
fn large(value: u16) -> u32 {
    u32::from(value >> 14) << 30 | u32::from(value & 0x3fff)
}

/// An index's key and its place, in the room that small tables need.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The key's lower half.
    number: u32,
    /// Its upper half.
    space: u16,
    index: u16,
}

/// `N` numbers and their places.
#[derive(Debug)]
pub struct FixedIndex<const N: usize> {
    entries: heapless::Vec<Entry, N>,
}

impl<const N: usize> FixedIndex<N> {
    fn position(&self, key: u64) -> Option<usize> {
        let (number, space) = (key as u32, small((key >> 32) as u32));
        self.entries.iter().position(|entry| entry.number == number && entry.space == space)
    }
}

impl<const N: usize> Index for FixedIndex<N> {
    fn bounded(_limit: usize) -> Self {
        Self { entries: heapless::Vec::new() }
    }

    #[inline(never)]
    fn insert(&mut self, key: u64, index: u32) -> Result<(), Full> {
        let entry = Entry { number: key as u32, space: small((key >> 32) as u32), index: index as u16 };
        match self.position(key).and_then(|at| self.entries.get_mut(at)) {
            Some(known) => *known = entry,
            None => self.entries.push(entry).map_err(|_| Full)?,
        }
        Ok(())
    }

    #[inline(never)]
    fn get(&self, key: u64) -> Option<u32> {
        let entry = self.entries.as_slice().get(self.position(key)?)?;
        Some(u32::from(entry.index))
    }

    #[inline(never)]
    fn remove(&mut self, key: u64) -> Option<u32> {
        let at = self.position(key)?;
        let last = self.entries.pop()?;
        // The last one takes the place of the one that goes, unless it is that one.
        let entry = match self.entries.get_mut(at) {
            Some(place) => core::mem::replace(place, last),
            None => last,
        };
        Some(u32::from(entry.index))
    }
}

/// A ring of `N` numbers.
#[derive(Debug)]
pub struct FixedQueue<const N: usize>(heapless::Deque<u16, N>);

impl<const N: usize> Queue for FixedQueue<N> {
    fn bounded(_limit: usize) -> Self {
        Self(heapless::Deque::new())
    }

    #[inline(never)]
    fn push(&mut self, value: u32) -> Result<(), Full> {
        self.0.push_back(small(value)).map_err(|_| Full)
    }

    #[inline(never)]
    fn pop(&mut self) -> Option<u32> {
        self.0.pop_front().map(large)
    }

    #[inline(never)]
    fn front(&self) -> Option<u32> {
        self.0.front().copied().map(large)
    }

    fn peek(&self, at: usize) -> Option<u32> {
        self.0.iter().nth(at).copied().map(large)
    }

    #[inline(never)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

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
