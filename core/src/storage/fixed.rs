//! Storage without an allocator: every size is in the type.

use super::{Buffer, Payload, Payloads, Text};
use crate::wire::{self, Encode, Full};
use core::fmt;

/// Makes a storage without an allocator: a type with all sizes and capabilities.
///
/// ```
/// servicebus_core::fixed_storage! {
///     /// One queue out, one in, messages of up to 1 KiB.
///     pub type Board {
///         sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
///         receivers: true, management: true,
///     }
/// }
/// ```
///
/// Sizes, in any order:
///
/// | Key | Meaning | Left out |
/// |---|---|---|
/// | `links` | links of the connection: one for each sender and receiver, two for `$cbs`, two for each `$management` in use; at least 3 | |
/// | `deliveries` | messages that wait, are under way or unsettled, in both directions; at least 4 | |
/// | `receive` | bytes of the largest frame that is accepted, at least 512 (AMQP 1.0 §2.7.1) | |
/// | `transmit` | bytes of the largest frame that is sent, at least 512 | |
/// | `message` | bytes of one encoded message, in either direction; at least 512, since tokens are sent in messages | |
/// | `sessions` | AMQP sessions of the connection | 1 |
/// | `messages` | encoded messages that wait to be sent or to be taken; a delivery keeps its message only until that is written or taken. Three are for a request, its response and a message to send, the rest for messages that come in: of receivers that wait at once, so many get credit, and the others when one of these receives or ends | half of the deliveries and one more, at least 4 |
///
/// Sizes that no client can work with do not compile, and the error names the least that does. `engine_alone: true`
/// allows them for a [`Connection`](crate::engine::Connection) without a client.
///
/// Sending, one by one and in batches, is always there. Capabilities are off unless they are declared. A call that
/// needs one which is off does not compile, and what is off takes no memory ([`Features`](crate::storage::Features)):
///
/// | Key | Capability |
/// |---|---|
/// | `receivers: true` | receivers, and settling on the links that messages came on |
/// | `management: true` | requests to an entity's `$management`: schedule, peek, deferred messages, lock renewal, session states, rules, and settling by the lock token; without it a message whose link is gone cannot be settled and comes again |
/// | `session_receivers: 2` | receivers of sessions, so many at once; with `receivers`; without `management` a session lasts for one lock, has no state, and is not taken over |
/// | `lock_renewal: true` | automatic renewal of locks, two at once; with `receivers` and `management` |
/// | `transactions: true` | transactions; without `management`, a message whose settlement was rolled back comes again |
/// | `prefetch: true` | messages that are fetched ahead of calls; with `receivers` |
/// | `receive_and_delete: true` | receivers that take messages without locks; with `receivers` |
/// | `external_tokens: true` | tokens of a credential of the application |
///
/// ```compile_fail
/// servicebus_core::fixed_storage! {
///     pub type Board { links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024, cheese: true }
/// }
/// ```
///
/// What a capability needs is declared with it:
///
/// ```compile_fail
/// servicebus_core::fixed_storage! {
///     pub type Board { links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024, prefetch: true }
/// }
/// ```
#[macro_export]
macro_rules! fixed_storage {
    // The ids of transactions.
    (@transaction transactions: true $(, $($rest:tt)*)?) => { $crate::wire::Tag };
    (@transaction $key:ident: $value:expr $(, $($rest:tt)*)?) => { $crate::fixed_storage!(@transaction $($($rest)*)?) };
    (@transaction) => { $crate::storage::NoTransactions };
    // The traits of declared capabilities.
    (@declare $name:ident) => {};
    (@declare $name:ident session_receivers: $value:expr $(, $($rest:tt)*)?) => {
        impl $crate::storage::Sessions for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident receivers: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::Receivers for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident management: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::Management for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident lock_renewal: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::LockRenewal for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident transactions: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::Transactions for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident prefetch: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::Prefetch for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident receive_and_delete: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::ReceiveAndDelete for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident external_tokens: true $(, $($rest:tt)*)?) => {
        impl $crate::storage::ExternalTokens for $name {}
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident $key:ident: false $(, $($rest:tt)*)?) => {
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@declare $name:ident $key:ident: $value:expr $(, $($rest:tt)*)?) => {
        $crate::fixed_storage!(@size $key);
        $crate::fixed_storage!(@declare $name $($($rest)*)?);
    };
    (@size sessions) => {};
    (@size links) => {};
    (@size deliveries) => {};
    (@size receive) => {};
    (@size transmit) => {};
    (@size message) => {};
    (@size messages) => {};
    (@size engine_alone) => {};
    (@size $key:ident) => {
        compile_error!(concat!("`", stringify!($key), "` is no key of `fixed_storage!`, or its value must be `true` or `false`"));
    };
    // Containers of each size.
    (@rooms $name:ident $($room:ident: $size:expr,)*) => { $(
        impl Room<$crate::storage::room::$room> for $name {
            type Table<V> = FixedTable<V, { $size }>;
            type Slots<V: Default> = FixedSlots<V, { $size }>;
            type Marks = FixedMarks<{ $size }, { $crate::storage::words($size) }>;
            type Buffer = FixedBuffer<{ $size }>;

            fn grow<V: Default>(_slots: &mut Self::Slots<V>, _len: usize) {}
        }
    )* };
    // Every key with its value as a number.
    (@numbers $($key:ident: $value:expr),* $(,)?) => { &[$((stringify!($key), ($value) as usize)),*] };
    ($(#[$meta:meta])* $vis:vis type $name:ident { $($keys:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis enum $name {}

        $crate::fixed_storage!(@declare $name $($keys)*);

        const _: () = {
            // Outside of the block below, whose names are not for the values.
            const __NUMBERS: &[(&str, usize)] = $crate::fixed_storage!(@numbers $($keys)*);
        const _: () = {
            use $crate::storage::{
                Features, FixedBuffer, FixedDeadlines, FixedIndex, FixedMarks, FixedPayload, FixedPayloads,
                FixedSlots, FixedTable, FixedText, Inline, NoDescription, Room, Storage,
            };

            const fn number(key: &str, left_out: usize) -> usize {
                $crate::storage::declared(__NUMBERS, key, left_out)
            }

            const SESSIONS: usize = number("sessions", 1);
            const LINKS: usize = number("links", 0);
            const DELIVERIES: usize = number("deliveries", 0);
            const RECEIVE: usize = number("receive", 0);
            const TRANSMIT: usize = number("transmit", 0);
            const MESSAGE: usize = number("message", 0);
            const MESSAGES: usize = number("messages", $crate::storage::half_or(DELIVERIES + 2, 4));
            const SESSION_RECEIVERS: usize = number("session_receivers", 0);
            const RENEWALS: usize = if $name::LOCK_RENEWAL { $crate::storage::FEW_RENEWALS } else { 0 };
            const SLOTS: usize = SESSIONS + LINKS + DELIVERIES;
            const DEADLINES: usize = $crate::storage::deadlines(LINKS, DELIVERIES, $name::PREFETCH);

            assert!(RECEIVE >= 512 && TRANSMIT >= 512, "`receive` and `transmit` are at least 512 (AMQP 1.0 §2.7.1)");
            assert!(SESSIONS >= 1, "`sessions` is at least 1");
            if number("engine_alone", 0) == 0 {
                assert!(LINKS >= 3, "`links` is at least 3: two for `$cbs`, and one for a sender or receiver");
                assert!(DELIVERIES >= 4, "`deliveries` is at least 4: a request, its response, a message out and one in");
                assert!(MESSAGES >= 4, "`messages` is at least 4: a request, its response, a message out and one in");
                assert!(MESSAGE >= 512, "`message` is at least 512: a token with its request takes 400 bytes and more");
            }
            assert!(LINKS >= 1 && DELIVERIES >= 1 && MESSAGE >= 1, "every table needs a place");
            assert!(SLOTS < 1 << 14, "fixed tables are small ones");
            assert!(MESSAGES >= 1 && MESSAGES <= 256, "between 1 and 256 messages can wait");

            impl Features for $name {
                const RECEIVERS: bool = number("receivers", 0) > 0;
                const MANAGEMENT: bool = number("management", 0) > 0;
                const LOCK_RENEWAL: bool = number("lock_renewal", 0) > 0;
                const SESSIONS: bool = SESSION_RECEIVERS > 0;
                const PREFETCH: bool = number("prefetch", 0) > 0;
                const RECEIVE_AND_DELETE: bool = number("receive_and_delete", 0) > 0;
                const EXTERNAL_TOKENS: bool = number("external_tokens", 0) > 0;

                type Transaction = $crate::fixed_storage!(@transaction $($keys)*);
            }

            $crate::fixed_storage!(@rooms $name
                Sessions: SESSIONS,
                Links: LINKS,
                Prefetching: if $name::PREFETCH { LINKS } else { 0 },
                Deliveries: DELIVERIES,
                Held: if $name::RECEIVERS { DELIVERIES } else { 0 },
                Requests: $crate::storage::FEW_REQUESTS,
                Renewals: RENEWALS,
                Nodes: if $name::MANAGEMENT { $crate::storage::FEW_NODES } else { 1 },
                SessionReceivers: SESSION_RECEIVERS,
                Spare: 0,
                Receive: RECEIVE,
                Transmit: TRANSMIT,
                Outbox: $crate::storage::half_or(TRANSMIT, 512),
            );

            impl Storage for $name {
                type Payload = FixedPayload<MESSAGE>;
                type Text = FixedText;
                type Description = NoDescription;
                type Boxed<V> = Inline<V>;
                type Literal = &'static str;
                type Payloads = FixedPayloads<MESSAGE, MESSAGES>;
                type Index = FixedIndex<SLOTS>;
                type Deadlines = FixedDeadlines<LINKS, DELIVERIES, DEADLINES>;
                type Features = Self;

                const MAX_FRAME_SIZE: u32 = RECEIVE as u32;

                fn rx(_max_frame_size: usize) -> FixedBuffer<RECEIVE> {
                    FixedBuffer::new()
                }

                fn tx(_max_frame_size: usize) -> FixedBuffer<TRANSMIT> {
                    FixedBuffer::new()
                }
            }
        };
        };
    };
}

/// The number with this key, or `left_out`.
#[doc(hidden)]
pub const fn declared(numbers: &[(&str, usize)], key: &str, left_out: usize) -> usize {
    let mut at = 0;
    while at < numbers.len() {
        let (name, number) = numbers[at];
        if is_same(name.as_bytes(), key.as_bytes()) {
            return number;
        }
        at += 1;
    }
    left_out
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Half of a number, and never less than `least`.
#[doc(hidden)]
pub const fn half_or(number: usize, least: usize) -> usize {
    if number / 2 > least { number / 2 } else { least }
}

/// Room for a whole encoded message of up to `M` bytes.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{FixedPayload, Payload};
///
/// let payload = FixedPayload::<512>::encode(&"reading").map_err(|_| "it has no room")?;
/// assert_eq!(payload.len(), 9, "a string of AMQP: its type, its length, seven characters");
/// # Ok::<(), &str>(())
/// ```
pub type FixedPayload<const M: usize> = heapless::Vec<u8, M>;
/// Room for a short text: session ids have up to 128 characters; the last description is cut there.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::{FixedText, Text};
///
/// let session_id = FixedText::cut("sensor-7");
/// assert_eq!(session_id, "sensor-7");
/// ```
pub type FixedText = heapless::String<128>;
/// Requests under way at once: two of the application's, and one for a token or the renewal of a lock.
pub const FEW_REQUESTS: usize = 3;
/// Locks that are renewed at once.
pub const FEW_RENEWALS: usize = 2;
/// Nodes that are asked: `$cbs`, and two entities with the capability for that; one that was not asked for a while
/// makes room for another.
pub const FEW_NODES: usize = 3;

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

impl<const N: usize> Text for heapless::String<N> {
    fn of(words: &dyn fmt::Display) -> Self {
        let mut kept = Cut(Self::new());
        // The error is that it was cut.
        let _ = fmt::write(&mut kept, format_args!("{words}"));
        kept.0
    }

    fn cut(text: &str) -> Self {
        let mut kept = Cut(Self::new());
        // The error is that it was cut.
        let _ = fmt::Write::write_str(&mut kept, text);
        kept.0
    }
}

impl<const M: usize> Payload for heapless::Vec<u8, M> {
    type Encoder = Self;

    fn encode(value: &dyn Encode) -> Result<Self, Full> {
        let mut payload = Self::new();
        Self::append(&mut payload, value)?;
        Ok(payload)
    }

    /// Each payload has memory of its own.
    fn encode_in(place: &mut Option<Self>, _memory: Option<&mut Self>, value: &dyn Encode) -> Result<(), Full> {
        let encoded = Self::append(place.insert(Self::new()), value);
        if encoded.is_err() {
            *place = None;
        }
        encoded
    }

    fn append(encoder: &mut Self, value: &dyn Encode) -> Result<(), Full> {
        let start = encoder.len();
        let _ = encoder.resize_default(M);
        let size = wire::encode(value, encoder.get_mut(start..).unwrap_or_default());
        heapless::Vec::truncate(encoder, start + size.unwrap_or(0));
        size.map(|_| ())
    }

    fn truncate(encoder: &mut Self, len: usize) {
        heapless::Vec::truncate(encoder, len);
    }

    fn copy_from(bytes: &[u8]) -> Result<Self, Full> {
        Self::from_slice(bytes).map_err(|_| Full)
    }

    fn part(&self, part: &[u8]) -> Result<Self, Full> {
        Self::copy_from(part)
    }
}

/// `P` places for messages of up to `M` bytes.
#[derive(Debug)]
pub struct FixedPayloads<const M: usize, const P: usize> {
    places: [heapless::Vec<u8, M>; P],
    taken: [bool; P],
}

impl<const M: usize, const P: usize> Default for FixedPayloads<M, P> {
    #[inline(always)]
    fn default() -> Self {
        // One constant, which is written where the value goes: a loop over the places would fill an array on the stack.
        Self { places: const { [const { heapless::Vec::new() }; P] }, taken: [false; P] }
    }
}

impl<const M: usize, const P: usize> FixedPayloads<M, P> {
    fn reserve(&mut self) -> Option<FixedPlace> {
        let index = self.taken.iter().position(|taken| !taken)?;
        *self.taken.get_mut(index)? = true;
        self.places.get_mut(index)?.clear();
        Some(FixedPlace(index as u8))
    }

    fn release(&mut self, place: FixedPlace) {
        if let Some(taken) = self.taken.get_mut(usize::from(place.0)) {
            *taken = false;
        }
    }

    fn bytes_at(&self, place: &FixedPlace) -> &[u8] {
        self.places.get(usize::from(place.0)).map_or(&[], |place| place)
    }
}

impl<B: Buffer, const M: usize, const P: usize> Payloads<heapless::Vec<u8, M>, B> for FixedPayloads<M, P> {
    type Kept = FixedPlace;

    const BOUNDED: bool = true;

    fn keep(&mut self, payload: &heapless::Vec<u8, M>) -> Option<FixedPlace> {
        let place = self.reserve()?;
        // An empty place has room for any message.
        let _ = self.places.get_mut(usize::from(place.0))?.extend_from_slice(payload);
        Some(place)
    }

    fn begin(&mut self) -> Option<FixedPlace> {
        self.reserve()
    }

    fn receive(&mut self, kept: &mut FixedPlace, buffer: &mut B, offset: usize, size: usize) -> Result<(), Full> {
        let filled = buffer.filled();
        let bytes = filled.get(offset..size.min(filled.len())).unwrap_or_default();
        let place = self.places.get_mut(usize::from(kept.0));
        let received = place.map_or(Ok(()), |place| place.extend_from_slice(bytes)).map_err(|_| Full);
        buffer.consume(size);
        received
    }

    fn bytes<'a>(&'a self, kept: &'a FixedPlace) -> &'a [u8] {
        self.bytes_at(kept)
    }

    fn take(&mut self, kept: FixedPlace, place: &mut heapless::Vec<u8, M>) {
        place.clear();
        // Both are of one size.
        let _ = place.extend_from_slice(self.bytes_at(&kept));
        self.release(kept);
    }

    fn discard(&mut self, kept: FixedPlace) {
        self.release(kept);
    }

    fn free(&self) -> usize {
        self.taken.iter().filter(|taken| !**taken).count()
    }
}

/// Names a place of [`FixedPayloads`].
#[derive(Debug)]
pub struct FixedPlace(u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_has_no_room_leaves_its_place_empty() {
        let mut place = Some(FixedPayload::<8>::new());
        assert_eq!(Payload::encode_in(&mut place, None, &"longer than that"), Err(Full));
        assert_eq!(place, None);
        Payload::encode_in(&mut place, None, &"short").expect("it fits");
        assert_eq!(place.expect("it is there").as_slice(), b"\xa1\x05short");
    }
}
