//! Storage without an allocator: every size is in the type.

use super::{
    Arena, Assembly, Description, Encoder, FixedBuffer, FixedDeadlines, FixedIndex, FixedMarks, FixedQueue, FixedSlots,
    FixedTable, Inline, NoDescription, NoSpare, NoTransactions, PayloadBuilder, Payloads, Storage, Text, TransactionId,
};
use crate::wire::{self, Encode, Full};
use core::fmt;
use core::marker::PhantomData;

/// Storage with compile-time sizes. Name one with [`fixed_storage!`](crate::fixed_storage) instead of writing the
/// parameters: `SLOTS` is the sum of `SESSIONS`, `LINKS` and `DELIVERIES`, `OUTBOX` follows from `TRANSMIT`, and
/// `DEADLINES` from `LINKS` and `DELIVERIES`.
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
    const DEADLINES: usize,
    X: TransactionId = NoTransactions,
>(PhantomData<fn() -> X>);

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
    const E: usize,
    X: TransactionId,
> fmt::Debug for Fixed<S, L, D, N, R, T, O, M, P, C, E, X>
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
/// wait at once, to be sent or to be taken: half of the deliveries and one more when it is left out, never less than
/// four, for a delivery keeps its message only until that is written or taken. Three are for a request, its response
/// and a message to send, the rest for messages that come in. `session_receivers` is how many receivers can have a
/// session at a time, two when it is left out. `transactions: true` makes room for transactions.
#[macro_export]
macro_rules! fixed_storage {
    (@transactions true) => { $crate::wire::Tag };
    (@transactions $(false)?) => { $crate::storage::NoTransactions };
    ($(#[$meta:meta])* $vis:vis type $name:ident {
        sessions: $sessions:expr, links: $links:expr, deliveries: $deliveries:expr,
        receive: $receive:expr, transmit: $transmit:expr, message: $message:expr
        $(, messages: $messages:expr)? $(, session_receivers: $receivers:expr)?
        $(, transactions: $transactions:tt)? $(,)?
    }) => {
        $(#[$meta])*
        $vis type $name = $crate::storage::Fixed<
            { $sessions }, { $links }, { $deliveries }, { ($sessions) + ($links) + ($deliveries) },
            { $receive }, { $transmit }, { $crate::storage::half_or($transmit, 512) }, { $message },
            { $crate::storage::first_of(&[$($messages,)? $crate::storage::half_or(($deliveries) + 2, 4)]) },
            { $crate::storage::first_of(&[$($receivers,)? 2]) },
            { $crate::storage::deadlines($links, $deliveries) },
            $crate::fixed_storage!(@transactions $($transactions)?),
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
    const E: usize,
    X: TransactionId,
> Storage for Fixed<S, L, D, N, R, T, O, M, P, C, E, X>
{
    type Payload = heapless::Vec<u8, M>;
    type Encoder = heapless::Vec<u8, M>;
    type Text = heapless::String<TEXT>;
    type Description = NoDescription;
    type Boxed<V> = Inline<V>;
    type Literal = &'static str;
    type Requests<V> = FixedTable<V, REQUESTS>;
    type Renewals<V> = FixedTable<V, RENEWALS>;
    type Assembly = heapless::Vec<u8, M>;
    type Payloads = FixedPayloads<M, P>;
    type Rx = FixedBuffer<R>;
    type Tx = FixedBuffer<T>;
    type Sessions<V> = FixedTable<V, S>;
    type Links<V> = FixedTable<V, L>;
    type Deliveries<V> = FixedTable<V, D>;
    type Index = FixedIndex<N>;
    type Queue = FixedQueue<N>;
    type LinkQueue = FixedQueue<L>;
    type DeliveryQueue = FixedQueue<D>;
    type Outbox = FixedBuffer<O>;
    type Slots<V> = FixedSlots<V, D>;
    type LinkSlots<V> = FixedSlots<V, L>;
    type Nodes<V> = FixedTable<V, NODES>;
    type Claims<V> = FixedTable<V, C>;
    type LinkMarks = FixedMarks<L>;
    type Deadlines = FixedDeadlines<L, D, E>;
    type Transaction = X;
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
/// Requests under way at once: two of the application's, and one for a token or the renewal of a lock.
const REQUESTS: usize = 3;
/// Locks that are renewed at once.
const RENEWALS: usize = 2;
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
        let mut kept = Cut(Self::new());
        // The error is that it was cut.
        let _ = fmt::Write::write_str(&mut kept, text);
        kept.0
    }
}

/// Takes what fits, up to the end of a character.
struct Cut<const N: usize>(heapless::String<N>);

impl<const N: usize> fmt::Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(N - self.0.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(text.get(..end).unwrap_or_default()).map_err(|_| fmt::Error)?;
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
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
