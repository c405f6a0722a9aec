//! Where bytes and tables live.
//!
//! One type parameter, [`Storage`], decides for the whole state machine. `Heap` grows up to the limits it is given;
//! messages are copied out of the receive buffer into chunks that they share. A storage that
//! [`fixed_storage!`](crate::fixed_storage) makes needs no allocator at all, its sizes and [capabilities](Features)
//! written once. Both are types, not features: one build holds both, and one test run tests both.

mod chain;
#[cfg(feature = "alloc")]
mod chunk;
mod deadlines;
mod features;
mod fixed;
mod fixed_buffer;
mod fixed_table;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod heap_buffer;
#[cfg(feature = "alloc")]
mod heap_features;
mod marks;
#[doc(hidden)]
pub mod room;
#[cfg(feature = "alloc")]
mod shared_text;
mod slots;
mod spare;
#[cfg(all(test, feature = "alloc"))]
pub(crate) mod tests;
mod transaction_id;

use crate::wire::{Encode, Full};
use core::fmt::Debug;
use core::num::{NonZeroU16, NonZeroU32};
use core::ops::Deref;

pub(crate) use chain::{Chain, Joint, Width};
pub(crate) use slots::{Beside, Slots};
pub(crate) use spare::Spare;

pub use features::{
    ExternalTokens, Features, LockRenewal, Management, Prefetch, ReceiveAndDelete, Receivers, Sessions, Transactions,
};
pub use fixed::{FixedPayload, FixedText};
pub use fixed_buffer::FixedBuffer;
#[cfg(feature = "alloc")]
pub use heap::Heap;
#[cfg(feature = "alloc")]
pub use heap_buffer::HeapBuffer;
pub use room::{RxOf, TxOf};
#[cfg(feature = "alloc")]
pub use shared_text::SharedText;

// What storages are made of, for `fixed_storage!` and for crates that keep tables of their own in them.
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub use deadlines::HeapDeadlines;
#[doc(hidden)]
pub use deadlines::{Deadlines, FixedDeadlines, ROWS, deadlines};
#[doc(hidden)]
pub use features::{AllFeatures, NoFeatures, TransactionOf};
#[doc(hidden)]
pub use fixed::{FEW_NODES, FEW_RENEWALS, FEW_REQUESTS, FixedPayloads, FixedPlace, declared, half_or};
#[doc(hidden)]
pub use fixed_table::{FixedIndex, FixedSlots, FixedTable};
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub use heap::{HeapDescription, HeapIndex, HeapPayloads, HeapTable};
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub use marks::HeapMarks;
#[doc(hidden)]
pub use marks::{FixedMarks, Marks, words};
#[doc(hidden)]
pub use room::{BufferOf, MarksOf, Room, TableOf};
#[doc(hidden)]
pub use transaction_id::{NoTransactions, TransactionId};

/// What tables are asked to hold at most. Those of fixed storage are bounded by their type alone.
///
/// # Examples
///
/// A client on a small machine:
///
/// ```
/// use servicebus_core::storage::Limits;
///
/// let limits = Limits::new().with_links(50).with_deliveries(2_000).with_buffered_bytes(8 << 20);
/// assert_eq!((limits.links, limits.message), (50, 128 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions of a connection; at most 32 766.
    pub sessions: usize,
    /// Links of a connection, over all sessions; at most 32 766, where the service accepts 5 000.
    pub links: usize,
    /// Deliveries that wait, are under way or unsettled, over all links and in both directions.
    pub deliveries: usize,
    /// Bytes of control frames that wait to be sent.
    pub outbox: usize,
    /// Bytes of one message that comes in on a link without a max-message-size of its own.
    pub message: usize,
    /// Bytes of received messages that are not taken yet, over all links: beyond it the peer gets no window. One
    /// message always has room, however large. Storage that bounds messages by places needs no such bound.
    pub buffered: usize,
}

impl Limits {
    /// What a server-side client needs: 5 000 sessions, 5 000 links, 100 000 deliveries, 1 MiB of control frames,
    /// messages of up to 128 MiB, and 64 MiB of them in all.
    ///
    /// ```
    /// use servicebus_core::storage::Limits;
    ///
    /// let small = Limits::new().with_deliveries(1_000).with_buffered_bytes(8 << 20);
    /// assert_eq!(small.links, 5_000);
    /// ```
    pub const fn new() -> Self {
        Self {
            sessions: 5_000,
            links: 5_000,
            deliveries: 100_000,
            outbox: 1 << 20,
            message: 128 << 20,
            buffered: 64 << 20,
        }
    }

    /// Sets the number of AMQP sessions of a connection; at most 32 766.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Limits;
    /// assert_eq!(Limits::new().with_sessions(10).sessions, 10);
    /// ```
    #[must_use]
    pub const fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets the number of links of a connection, over all sessions; at most 32 766.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::storage::{Heap, Limits};
    /// let limits = Limits::new().with_links(1);
    /// # let client = world.client_with::<Heap>(world.settings().with_limits(limits));
    /// // With a client of these limits:
    /// let orders = client.sender("orders")?;
    /// assert!(client.sender("invoices").is_err(), "there is room for one");
    /// # drop(orders);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub const fn with_links(mut self, links: usize) -> Self {
        self.links = links;
        self
    }

    /// Sets the number of deliveries that wait, are under way or unsettled: of calls, that is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Limits;
    /// // As many calls as may wait at once.
    /// assert_eq!(Limits::new().with_deliveries(2_000).deliveries, 2_000);
    /// ```
    #[must_use]
    pub const fn with_deliveries(mut self, deliveries: usize) -> Self {
        self.deliveries = deliveries;
        self
    }

    /// Sets the bytes of control frames that may wait to be sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Limits;
    /// assert_eq!(Limits::new().with_outbox_bytes(64 << 10).outbox, 65_536);
    /// ```
    #[must_use]
    pub const fn with_outbox_bytes(mut self, outbox: usize) -> Self {
        self.outbox = outbox;
        self
    }

    /// Sets the size of the largest message that may come in.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Limits;
    /// let standard_tier = Limits::new().with_message_bytes(256 << 10);
    /// assert_eq!(standard_tier.message, 262_144);
    /// ```
    #[must_use]
    pub const fn with_message_bytes(mut self, message: usize) -> Self {
        self.message = message;
        self
    }

    /// Sets the bytes of messages that have come in and are not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::storage::Limits;
    /// assert_eq!(Limits::new().with_buffered_bytes(8 << 20).buffered, 8_388_608);
    /// ```
    #[must_use]
    pub const fn with_buffered_bytes(mut self, buffered: usize) -> Self {
        self.buffered = buffered;
        self
    }

    /// The most sessions and links: what names them takes half a word, a bit of it for the kind, and two numbers name
    /// none.
    pub(crate) const FEW: usize = (1 << 15) - 2;

    /// The same with no more sessions and links than there can be.
    pub(crate) fn bounded(self) -> Self {
        Self { sessions: self.sessions.min(Self::FEW), links: self.links.min(Self::FEW), ..self }
    }

    /// The most that is ever buffered: the bound, or the largest message.
    pub(crate) fn largest_buffer(&self) -> usize {
        self.buffered.max(self.message)
    }
}

impl Default for Limits {
    /// What a server-side client needs: 5 000 sessions, 5 000 links, 100 000 deliveries, 1 MiB of control frames,
    /// messages of up to 128 MiB, and 64 MiB of them in all.
    fn default() -> Self {
        Self::new()
    }
}

/// The containers of one connection and of the client on it; made by [`fixed_storage!`](crate::fixed_storage), or the
/// heap's.
///
/// # Examples
///
/// Code for clients of every storage, servers' and boards':
///
/// ```
/// use servicebus_core::client::{Client, Error};
/// use servicebus_core::runtime::Runtime;
/// use servicebus_core::storage::Storage;
///
/// async fn report<R: Runtime<Storage = S>, S: Storage>(client: &Client<R>, words: &str) -> Result<(), Error<S>> {
///     client.sender("events")?.send(words).await
/// }
/// # servicebus_simulation::example(async |client| {
/// report(&client, "it has begun").await?;
/// # Ok(())
/// # });
/// ```
pub trait Storage:
    Room<room::Sessions>
    + Room<room::Links>
    + Room<room::Prefetching>
    + Room<room::Deliveries>
    + Room<room::Held>
    + Room<room::Requests>
    + Room<room::Renewals>
    + Room<room::Nodes>
    + Room<room::SessionReceivers>
    + Room<room::Spare>
    + Room<room::Receive>
    + Room<room::Transmit>
    + Room<room::Outbox>
    + Clone
    + Debug
    + Sized
    + 'static
{
    /// A whole encoded message.
    type Payload: Payload;
    /// A short text of the peer's, such as a session's id; cut where it does not fit.
    type Text: Text + PartialEq;
    /// The words that come with each failure, where there is room for them.
    type Description: Text;
    /// A value that many results carry: behind a pointer where there is an allocator.
    type Boxed<T>: From<T> + Deref<Target = T>;
    /// A text of the application's whose clones cost nothing: shared on the heap, `&'static str` in fixed storage.
    type Literal: AsRef<str> + Clone + Debug + From<&'static str>;
    /// Where the messages of deliveries are, while they wait to be sent or to be taken.
    type Payloads: Payloads<Self::Payload, RxOf<Self>>;
    /// Finds sessions by channel, links by handle and deliveries by id.
    type Index: Index;
    /// Deadlines of links, deliveries and some more.
    type Deadlines: Deadlines;
    /// The capabilities of the client.
    type Features: Features;

    /// The largest frame that the receive buffer can hold: an upper bound for the setting.
    const MAX_FRAME_SIZE: u32;
    /// Whether messages without an id get one, unless the settings say otherwise.
    const MESSAGE_IDS: bool = false;
    /// Whether a connection is opened without waiting for each of the service's answers, unless the settings say
    /// otherwise.
    const PIPELINES: bool = true;

    /// Whether names, SQL and times are checked before anything is sent for them. Names in fixed storage are
    /// literals of the program, and a device has no room for the code.
    const CHECKS: bool = false;

    /// A receive buffer for frames of up to `max_frame_size` bytes. The driver owns it.
    fn rx(max_frame_size: usize) -> RxOf<Self>;
    /// A transmit buffer for frames of up to `max_frame_size` bytes. The driver owns it.
    fn tx(max_frame_size: usize) -> TxOf<Self>;
}

/// A text of the peer's or of another library's, cut where it does not fit.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{FixedText, Text};
///
/// let kept = FixedText::cut(&"ä".repeat(100));
/// assert_eq!(kept.chars().count(), 64, "as many characters as fit into 128 bytes");
/// assert_eq!(String::cut("the heap has room"), "the heap has room");
/// ```
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
    /// Whether another clone keeps the same error.
    fn is_shared(&self) -> bool {
        false
    }
}

/// No words: fixed storage has many places for failures.
#[doc(hidden)]
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
#[doc(hidden)]
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

/// A whole encoded message.
///
/// # Examples
///
/// A token in the memory of any storage:
///
/// ```
/// use servicebus_core::driver::Token;
/// use servicebus_core::storage::{FixedPayload, Payload};
/// use servicebus_core::time::Timestamp;
///
/// fn token<P: Payload>(text: &str, expires_at: Timestamp) -> Option<Token<P>> {
///     Some(Token::jwt(P::copy_from(text.as_bytes()).ok()?, expires_at))
/// }
/// assert!(token::<FixedPayload<512>>("eyJ0…", Timestamp::from_secs(1_767_225_600)).is_some());
/// assert!(token::<FixedPayload<4>>("eyJ0…", Timestamp::from_secs(1_767_225_600)).is_none(), "it has no room");
/// ```
pub trait Payload: AsRef<[u8]> + Clone + Debug + Default + Unpin {
    /// Encoded values, one behind another, that become a payload; or one that is appended to.
    type Encoder: AsRef<[u8]> + Default + From<Self> + Into<Self>;

    /// Encodes `value`, whose encoded size the implementation may measure first.
    ///
    /// # Errors
    /// A value that has no room; so do the others.
    fn encode(value: &dyn Encode) -> Result<Self, Full>;
    /// Encodes `value` in its `place`, which is empty where it has no room; in memory that earlier payloads have left,
    /// many to one allocation.
    fn encode_in(place: &mut Option<Self>, memory: Option<&mut Self::Encoder>, value: &dyn Encode) -> Result<(), Full>;
    /// Appends a value, or nothing and [`Full`].
    fn append(encoder: &mut Self::Encoder, value: &dyn Encode) -> Result<(), Full>;
    /// Forgets everything after `len` bytes.
    fn truncate(encoder: &mut Self::Encoder, len: usize);
    /// Copies `bytes`.
    fn copy_from(bytes: &[u8]) -> Result<Self, Full>;
    /// The same without anything of the application's that would be dropped with it.
    #[must_use]
    fn detached(self) -> Self {
        self
    }
    /// A payload of its own of `part`, which is a part of this one; shared where the storage can.
    fn part(&self, part: &[u8]) -> Result<Self, Full>;
}

/// What payloads of storage `S` are encoded into.
#[doc(hidden)]
pub type EncoderOf<S> = <<S as Storage>::Payload as Payload>::Encoder;

/// Names an entry of a [`Table`]. The generation distinguishes it from later entries in the same place.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The place.
    pub index: u32,
    /// How often the place has been filled.
    pub generation: Generation,
}

/// A place in a table, of which an `Option` takes no more room than itself.
#[doc(hidden)]
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

/// A place as [`Place`], in half the room: in a table of no more than [`Limits::FEW`] entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SmallPlace(NonZeroU16);

impl SmallPlace {
    /// The place with this index.
    pub(crate) const fn new(index: u32) -> Self {
        Self(NonZeroU16::MIN.saturating_add(index as u16))
    }

    /// Its index.
    pub(crate) const fn index(self) -> u32 {
        self.0.get() as u32 - 1
    }
}

/// A key as [`Key`], in three half words instead of four: in a table of no more than [`Limits::FEW`] entries.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
pub(crate) struct SmallKey {
    generation: Generation,
    index: u16,
}

impl SmallKey {
    pub(crate) const fn new(key: Key) -> Self {
        Self { generation: key.generation, index: key.index as u16 }
    }

    pub(crate) const fn key(self) -> Key {
        Key { index: self.index as u32, generation: self.generation }
    }
}

/// How often a place of a table has been filled; never zero, so that an `Option<Key>` takes no more room than a key.
#[doc(hidden)]
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
#[doc(hidden)]
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

    /// The entry with this key; `None` when it is gone, even if its place has a new entry.
    fn find(&self, key: Key) -> Option<&T> {
        if self.key(key.index) == Some(key) { self.get(key.index) } else { None }
    }

    /// The entry with this key; `None` when it is gone, even if its place has a new entry.
    fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        if self.key(key.index) == Some(key) { self.get_mut(key.index) } else { None }
    }
}

/// A map from numbers to places in a table.
#[doc(hidden)]
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

/// Messages that wait to be sent or to be taken, and those that are coming in. Most deliveries have none: they were
/// sent, or taken, and wait for their settlement.
///
/// `P` is a whole message, `B` the buffer that frames are received in.
#[doc(hidden)]
pub trait Payloads<P, B>: Default {
    /// Names a message in here, or is it; given back with [`Payloads::take`] or [`Payloads::discard`].
    type Kept: Debug;

    /// Whether there can be too many.
    const BOUNDED: bool;

    /// Bytes of the messages in here, where they are counted.
    fn held(&self) -> usize {
        0
    }
    /// Keeps a copy of a message, when there is a place; on the heap the bytes are shared.
    fn keep(&mut self, payload: &P) -> Option<Self::Kept>;
    /// A place for a message that is coming in, when there is one.
    fn begin(&mut self) -> Option<Self::Kept>;
    /// Takes a frame of `size` bytes from the front of `buffer` and adds what is behind `offset` to a message.
    ///
    /// # Errors
    /// [`Full`]; the message is unchanged then, and the frame is gone.
    fn receive(&mut self, kept: &mut Self::Kept, buffer: &mut B, offset: usize, size: usize) -> Result<(), Full>;
    /// The message's bytes, as far as they have come.
    fn bytes<'a>(&'a self, kept: &'a Self::Kept) -> &'a [u8];
    /// Takes the message out, into `place`.
    fn take(&mut self, kept: Self::Kept, place: &mut P);
    /// Drops the message.
    fn discard(&mut self, kept: Self::Kept);
    /// How many places are free.
    fn free(&self) -> usize;
}

/// A buffer that is filled at the end and emptied from the front: for received bytes, for bytes to send, and for
/// control frames that wait for room among the latter.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{Buffer, FixedBuffer};
///
/// let mut received = FixedBuffer::<512>::new();
/// received.spare()[..4].copy_from_slice(b"AMQP"); // a read from a socket
/// received.commit(4);
/// assert_eq!(received.filled(), b"AMQP");
/// received.consume(4);
/// assert!(received.filled().is_empty());
/// ```
pub trait Buffer {
    /// An empty buffer for up to `limit` bytes.
    fn bounded(limit: usize) -> Self;
    /// Room to write into, contiguous; never empty while a receive buffer holds no whole frame.
    fn spare(&mut self) -> &mut [u8];
    /// Notes that `count` bytes were written into [`Buffer::spare`].
    fn commit(&mut self, count: usize);
    /// Appends a value.
    ///
    /// # Errors
    /// [`Full`]; the buffer is unchanged then.
    fn append(&mut self, value: &dyn Encode) -> Result<(), Full>;
    /// The bytes that wait.
    fn filled(&self) -> &[u8];
    /// Drops `count` bytes from the front.
    fn consume(&mut self, count: usize);
    /// The largest frame that fits into an empty buffer.
    fn capacity(&self) -> usize;
    /// Drops everything.
    fn clear(&mut self);
}
