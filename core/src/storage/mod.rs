//! Where bytes and tables live.
//!
//! One type parameter, [`Storage`], decides for the whole state machine. `Heap` grows up to the limits it is given and
//! slices messages out of the read buffer without a copy; a storage that [`fixed_storage!`](crate::fixed_storage) makes
//! needs no allocator at all, its sizes and [capabilities](Features) written once. Both are types, not features: one
//! build holds both, and one test run tests both.

mod chain;
mod deadlines;
mod features;
mod fixed;
mod fixed_buffer;
mod fixed_table;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod heap_features;
mod marks;
pub mod room;
#[cfg(feature = "alloc")]
mod shared_text;
mod spare;
mod transaction_id;

use crate::wire::{Encode, Full};
use core::fmt::Debug;
use core::num::NonZeroU32;
use core::ops::Deref;

pub(crate) use chain::{Chain, Joint};
pub(crate) use spare::Spare;

#[cfg(feature = "alloc")]
pub use deadlines::HeapDeadlines;
pub use deadlines::{Deadlines, FixedDeadlines, ROWS, deadlines};
pub use features::{
    AllFeatures, ExternalTokens, Features, LockRenewal, NoFeatures, Prefetch, ReceiveAndDelete, Sessions,
    TransactionOf, Transactions,
};
pub use fixed::{
    FEW_NODES, FEW_RENEWALS, FEW_REQUESTS, FixedArena, FixedPayload, FixedPayloads, FixedPlace, FixedText, declared,
    half_or,
};
pub use fixed_buffer::FixedBuffer;
pub use fixed_table::{FixedIndex, FixedQueue, FixedSlots, FixedTable};
#[cfg(feature = "alloc")]
pub use heap::{Heap, HeapAssembly, HeapDescription, HeapIndex, HeapOutbox, HeapPayloads, HeapRx, HeapTable, HeapTx};
#[cfg(feature = "alloc")]
pub use marks::HeapMarks;
pub use marks::{FixedMarks, Marks};
pub use room::{MarksOf, QueueOf, Room, SlotsOf, TableOf};
#[cfg(feature = "alloc")]
pub use shared_text::SharedText;
pub use transaction_id::{NoTransactions, TransactionId};

/// What a table is asked to hold at most. `Fixed` tables are bounded by their type alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of a connection.
    pub sessions: usize,
    /// Links of a connection, over all sessions.
    pub links: usize,
    /// Deliveries that wait, are under way or unsettled, over all links and in both directions.
    pub deliveries: usize,
    /// Bytes of control frames that wait to be sent.
    pub outbox: usize,
    /// Bytes of one message that comes in on a link without a max-message-size of its own.
    pub message: usize,
    /// Bytes of messages that have come in and are not taken, over all links: beyond it the peer gets no window. One
    /// message always has room, whatever its size. Storage that bounds messages by places needs no such bound.
    pub buffered: usize,
}

impl Limits {
    /// The most that is ever buffered: the bound, or the largest message.
    pub(crate) fn largest_buffer(&self) -> usize {
        self.buffered.max(self.message)
    }
}

impl Default for Limits {
    /// What a server-side client needs: 5 000 sessions, 5 000 links, 100 000 deliveries, 1 MiB of control frames,
    /// messages of up to 128 MiB, and 64 MiB of them in all.
    fn default() -> Self {
        Self {
            sessions: 5_000,
            links: 5_000,
            deliveries: 100_000,
            outbox: 1 << 20,
            message: 128 << 20,
            buffered: 64 << 20,
        }
    }
}

/// The containers of one connection and of the client on it. Tables, and what belongs to their entries, are chosen by a
/// [`Room`]: [`TableOf<S, room::Links, T>`](TableOf).
pub trait Storage:
    Room<room::Sessions>
    + Room<room::Links>
    + Room<room::Deliveries>
    + Room<room::Changes>
    + Room<room::Requests>
    + Room<room::Renewals>
    + Room<room::Nodes>
    + Room<room::Claims>
    + Room<room::Spare>
    + Clone
    + Debug
    + Sized
    + 'static
{
    /// A whole encoded message.
    type Payload: AsRef<[u8]> + Clone + Debug + Default + PayloadBuilder + Unpin;
    /// A payload that is being encoded.
    type Encoder: Encoder<Payload = Self::Payload>;
    /// A short text of the peer's, such as a session's id; cut where it does not fit.
    type Text: Text + PartialEq;
    /// The words that come with each failure, where there is room for them.
    type Description: Text;
    /// A value that many results carry: behind a pointer where there is an allocator.
    type Boxed<T>: From<T> + Deref<Target = T>;
    /// A text of the application's whose clones cost nothing: shared on the heap, `&'static str` in fixed storage.
    type Literal: AsRef<str> + Clone + Debug;
    /// A message whose frames are still coming in.
    type Assembly: Assembly<Payload = Self::Payload>;
    /// Where the messages of deliveries are, while they wait to be sent or to be taken.
    type Payloads: Payloads<Payload = Self::Payload, Assembly = Self::Assembly>;
    /// The receive buffer, owned by the driver.
    type Rx: Rx<Self::Assembly>;
    /// The transmit buffer, owned by the driver.
    type Tx: Tx;
    /// Finds sessions by channel, links by handle and deliveries by id.
    type Index: Index;
    /// Encoded control frames that wait to be sent.
    type Outbox: Outbox;
    /// Where messages are encoded.
    type Arena: Arena<Payload = Self::Payload>;
    /// Deadlines of links, deliveries and some more.
    type Deadlines: Deadlines;
    /// The capabilities of the client.
    type Features: Features;

    /// The largest frame that the receive buffer can hold, whatever is asked for.
    const MAX_FRAME_SIZE: u32;
    /// Whether messages without an id get one, unless the settings say otherwise.
    const MESSAGE_IDS: bool = false;

    /// A receive buffer for frames of up to `max_frame_size` bytes.
    fn rx(max_frame_size: usize) -> Self::Rx;
    /// A transmit buffer for frames of up to `max_frame_size` bytes.
    fn tx(max_frame_size: usize) -> Self::Tx;
}

/// Encoded values, one behind another, that become a payload.
pub trait Encoder: Default {
    /// What comes of it.
    type Payload;
    /// Appends a value, or nothing and [`Full`].
    fn append(&mut self, value: &dyn Encode) -> Result<(), Full>;
    /// What was appended.
    fn as_slice(&self) -> &[u8];
    /// The size of what was appended, in bytes.
    fn len(&self) -> usize {
        self.as_slice().len()
    }
    /// Whether nothing was appended.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Forgets everything after `len` bytes.
    fn truncate(&mut self, len: usize);
    /// The encoded bytes.
    fn finish(self) -> Self::Payload;
    /// Goes on behind what was encoded.
    fn resume(payload: Self::Payload) -> Self;
}

/// A text of the peer's or of another library's, cut where it does not fit.
pub trait Text: AsRef<str> + Clone + Debug + Default {
    /// What `words` say.
    fn of(words: &dyn core::fmt::Display) -> Self;
    /// As much of `text` as fits.
    fn cut(text: &str) -> Self {
        Self::of(&text)
    }
    /// The words of an error of another library, and the error itself where there is room for it.
    fn caused(error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::of(&error)
    }
    /// The error of another library, where it is kept.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        None
    }
}

/// No words: fixed storage has many places for failures, and keeps only the last words that were said
/// ([`ClientMachine::last_description`](crate::machine::ClientMachine::last_description)).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDescription;

impl AsRef<str> for NoDescription {
    fn as_ref(&self) -> &str {
        ""
    }
}

impl Text for NoDescription {
    fn of(_words: &dyn core::fmt::Display) -> Self {
        Self
    }
}

/// A value in its place, without an allocator.
#[derive(Clone, Copy, Debug)]
pub struct Inline<T>(T);

impl<T> From<T> for Inline<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Inline<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Makes a payload from what is encoded.
pub trait PayloadBuilder: Sized {
    /// Encodes `value`, whose encoded size the implementation may measure first.
    fn encode(value: &dyn Encode) -> Result<Self, Full>;
    /// Copies `bytes`.
    fn copy_from(bytes: &[u8]) -> Result<Self, Full>;
    /// A payload of its own of `part`, which is a part of this one; shared where the storage can.
    fn part(&self, part: &[u8]) -> Result<Self, Full>;
}

/// Names an entry of a [`Table`]. The generation tells it from later entries in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The place.
    pub index: u32,
    /// How often the place has been filled.
    pub generation: Generation,
}

/// A place in a table, of which an `Option` takes no more room than itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(NonZeroU32);

impl Place {
    /// The place with this index; the very last one that there could be reads as the one before.
    pub const fn new(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    /// Its index.
    pub const fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// How often a place of a table has been filled; never zero, so that an `Option<Key>` takes no more room than a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(NonZeroU32);

impl Generation {
    /// The first.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The one with this number; `None` for zero.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The one after it; after the last, the first again.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }
}

/// A slab: entries keep their place until they are removed.
pub trait Table<T> {
    /// An empty table for up to `limit` entries.
    fn bounded(limit: usize) -> Self;
    /// Adds an entry, unless the table is full.
    ///
    /// # Errors
    /// [`Full`]; the entry is dropped.
    fn insert(&mut self, value: T) -> Result<Key, Full>;
    /// Takes an entry out.
    fn remove(&mut self, index: u32) -> Option<T>;
    /// Drops the entry at a place: less code than to take it out.
    fn free(&mut self, index: u32) {
        self.remove(index);
    }
    /// The entry at a place.
    fn get(&self, index: u32) -> Option<&T>;
    /// The entry at a place.
    fn get_mut(&mut self, index: u32) -> Option<&mut T>;
    /// The full key of the entry at a place.
    fn key(&self, index: u32) -> Option<Key>;
    /// How many entries there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How many entries there can be.
    fn capacity(&self) -> usize;
    /// Whether there can be no more of them.
    fn is_full(&self) -> bool {
        self.len() >= self.capacity()
    }
    /// One past the highest place ever used, to walk all entries.
    fn end(&self) -> u32;

    /// The entry with this key; `None` when it is gone, whoever took its place.
    fn find(&self, key: Key) -> Option<&T> {
        if self.key(key.index) == Some(key) { self.get(key.index) } else { None }
    }

    /// The entry with this key; `None` when it is gone, whoever took its place.
    fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        if self.key(key.index) == Some(key) { self.get_mut(key.index) } else { None }
    }
}

/// Memory that messages are encoded into, many to one allocation where there is an allocator.
pub trait Arena: Default {
    /// What comes of it.
    type Payload;
    /// Encodes `value`.
    ///
    /// # Errors
    /// A value that has no room.
    fn encode(&mut self, value: &dyn Encode) -> Result<Self::Payload, Full>;
}

/// Values kept by the places of a table.
pub trait Slots<T>: Default {
    /// Puts a value at a place and gives back what was there; out of bounds the value itself comes back.
    fn put(&mut self, index: usize, value: T) -> Option<T>;
    /// Takes the value from a place.
    fn take(&mut self, index: usize) -> Option<T>;
    /// The value at a place.
    fn get(&self, index: usize) -> Option<&T>;
    /// One past the highest place ever used.
    fn end(&self) -> usize;
}

/// A map from numbers to places in a table.
pub trait Index {
    /// An empty index for up to `limit` entries.
    fn bounded(limit: usize) -> Self;
    /// Adds or replaces an entry.
    fn insert(&mut self, key: u64, index: u32) -> Result<(), Full>;
    /// Finds an entry.
    fn get(&self, key: u64) -> Option<u32>;
    /// Takes an entry out.
    fn remove(&mut self, key: u64) -> Option<u32>;
}

/// A ring of numbers. Its users push a number at most once for each entry of their tables, so it cannot overflow.
pub trait Queue {
    /// An empty ring for up to `limit` numbers.
    fn bounded(limit: usize) -> Self;
    /// Appends a number.
    fn push(&mut self, value: u32) -> Result<(), Full>;
    /// Takes the oldest number.
    fn pop(&mut self) -> Option<u32>;
    /// The oldest number.
    fn front(&self) -> Option<u32>;
    /// The number that is `at` places behind the oldest.
    fn peek(&self, at: usize) -> Option<u32>;
    /// How many numbers wait.
    fn len(&self) -> usize;
    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Encoded frames that wait to be sent: appended at the end, taken from the front.
pub trait Outbox {
    /// An empty outbox for up to `limit` bytes.
    fn bounded(limit: usize) -> Self;
    /// Appends a value, or nothing and [`Full`].
    fn append(&mut self, value: &dyn Encode) -> Result<(), Full>;
    /// What waits.
    fn pending(&self) -> &[u8];
    /// Takes `count` bytes from the front.
    fn consume(&mut self, count: usize);
}

/// Messages that wait to be sent or to be taken, and those that are coming in. Most deliveries have none: they were
/// sent, or taken, and wait for their settlement.
pub trait Payloads: Default {
    /// A whole message.
    type Payload;
    /// A message whose frames are coming in.
    type Assembly: Assembly<Payload = Self::Payload>;
    /// Names a message in here, or is it; given back with [`Payloads::take`] or [`Payloads::discard`].
    type Kept: Debug;
    /// Names a message that is coming in, or is it; given back with [`Payloads::finish`].
    type Begun: Debug;

    /// Whether there can be too many.
    const BOUNDED: bool;

    /// Bytes of the messages in here, where they are counted.
    fn held(&self) -> usize {
        0
    }
    /// A message that is coming in has become so much longer.
    #[inline]
    fn grew(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Keeps a message, or gives it back when there is no place.
    fn keep(&mut self, payload: Self::Payload) -> Result<Self::Kept, Self::Payload>;
    /// A place for a message that is coming in, when there is one.
    fn begin(&mut self) -> Option<Self::Begun>;
    /// What has come so far.
    fn assembly<'a>(&'a mut self, begun: &'a mut Self::Begun) -> Option<&'a mut Self::Assembly>;
    /// All of it has come.
    fn finish(&mut self, begun: Self::Begun) -> Self::Kept;
    /// The message's bytes.
    fn bytes<'a>(&'a self, kept: &'a Self::Kept) -> &'a [u8];
    /// Takes the message out.
    fn take(&mut self, kept: Self::Kept) -> Self::Payload;
    /// Drops the message.
    fn discard(&mut self, kept: Self::Kept);
    /// How many places are free.
    fn free(&self) -> usize;
}

/// Collects the frames of a delivery.
pub trait Assembly: Default {
    /// What comes of it.
    type Payload;
    /// Bytes so far.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The finished message.
    fn finish(self) -> Self::Payload;
}

/// The receive buffer: filled by the driver, emptied by the engine.
pub trait Rx<A> {
    /// Room to read into; never empty while the buffer holds no whole frame.
    fn spare(&mut self) -> &mut [u8];
    /// Notes that `count` bytes were read into [`Rx::spare`].
    fn commit(&mut self, count: usize);
    /// The bytes that wait.
    fn filled(&self) -> &[u8];
    /// Drops `count` bytes from the front.
    fn consume(&mut self, count: usize);
    /// Takes `size` bytes from the front and adds those behind `offset` to `assembly`.
    fn take(&mut self, offset: usize, size: usize, assembly: &mut A) -> Result<(), Full>;
    /// The largest frame that fits.
    fn capacity(&self) -> usize;
    /// Drops everything.
    fn clear(&mut self);
}

/// The transmit buffer: filled by the engine, emptied by the driver.
pub trait Tx {
    /// Room to write into, contiguous.
    fn spare(&mut self) -> &mut [u8];
    /// Notes that `count` bytes were written into [`Tx::spare`].
    fn commit(&mut self, count: usize);
    /// The bytes that wait to be sent.
    fn filled(&self) -> &[u8];
    /// Drops `count` bytes from the front.
    fn consume(&mut self, count: usize);
    /// The largest frame that fits into an empty buffer.
    fn capacity(&self) -> usize;
    /// Drops everything.
    fn clear(&mut self);
}
