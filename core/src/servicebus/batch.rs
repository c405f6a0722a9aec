//! Messages that travel together.
// docs/evidence/wire-protocol.md §3.3

use super::as_message::AsMessage;
use super::body::Body;
use super::message::{InvalidMessage, MessageRef};
use crate::random::Random;
use crate::storage::{EncoderOf, Payload, Storage};
use crate::time::Timestamp;
use crate::wire::message::section;
use crate::wire::messaging::{MessageId, put_section};
use crate::wire::{Encode, Full, Sink, Uuid, measure, put_binary_head};
use core::fmt;

/// The message format of a batch.
// docs/evidence/wire-protocol.md §3.3
#[doc(hidden)]
pub const BATCH_FORMAT: u32 = 0x8001_3700;

/// Why a message was not added to a batch.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::BatchError;
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let mut batch = orders.create_batch().await?;
/// for order in ["two of the blue ones", "three more"] {
///     match batch.try_add(order) {
///         Err(BatchError::Full) => {
///             orders.send_batch(std::mem::replace(&mut batch, orders.create_batch().await?)).await?;
///             batch.try_add(order)?;
///         }
///         other => other?,
///     }
/// }
/// orders.send_batch(batch).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BatchError {
    /// The batch has no room for it; it fits into an empty one.
    Full,
    /// No batch on this link can hold it: its size with the envelope, and the limit, in bytes.
    TooLarge {
        /// The batch's size with this message alone.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The message is not valid.
    Invalid(InvalidMessage),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the batch is full"),
            Self::TooLarge { size, limit } => {
                write!(f, "a batch of this message alone takes {size} bytes; the limit is {limit}")
            }
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl core::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => error.source(),
            Self::Full | Self::TooLarge { .. } => None,
        }
    }
}

/// More messages than this are refused by the service.
// docs/evidence/pinned-behaviour.md SND21
pub(crate) const MAX_BATCH_COUNT: usize = 4_500;

/// Messages that travel, and are stored, together. Its size is exact: it is the encoded batch itself.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let mut batch = orders.create_batch().await?;
/// for order in ["two of the blue ones", "three more"] {
///     batch.try_add(order)?;
/// }
/// orders.send_batch(batch).await?;
/// # Ok(())
/// # });
/// ```
pub struct MessageBatch<S: Storage> {
    encoded: Encoded<S>,
    count: usize,
    limit: usize,
    lacking: Lacking,
}

/// The bytes of a batch.
enum Encoded<S: Storage> {
    /// It is added to.
    Open(EncoderOf<S>),
    /// It is sent.
    Sealed(S::Payload),
}

impl<S: Storage> Encoded<S> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Open(encoder) => encoder.as_ref(),
            Self::Sealed(payload) => payload.as_ref(),
        }
    }

    /// The bytes to add to; those that could not be sent are opened again.
    fn open(&mut self) -> Option<&mut EncoderOf<S>> {
        if let Self::Sealed(payload) = self {
            *self = Self::Open(core::mem::take(payload).into());
        }
        if let Self::Open(encoder) = self { Some(encoder) } else { None }
    }

    /// The bytes to send.
    fn seal(&mut self) -> Option<&S::Payload> {
        if let Self::Open(encoder) = self {
            *self = Self::Sealed(core::mem::take(encoder).into());
        }
        if let Self::Sealed(payload) = self { Some(payload) } else { None }
    }
}

/// What messages get that they lack.
#[derive(Clone, Debug)]
struct Lacking {
    /// The time of creation, where that has to be sent.
    utc: Timestamp,
    /// Ids.
    ids: Option<Random>,
}

impl<S: Storage> fmt::Debug for MessageBatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageBatch({} messages, {} of {} bytes)", self.count, self.size_in_bytes(), self.limit)
    }
}

impl<S: Storage> MessageBatch<S> {
    /// An empty batch of up to `limit` encoded bytes; `utc` is the time now.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_core::servicebus::MessageBatch;
    /// use servicebus_core::storage::Heap;
    /// use servicebus_core::time::Timestamp;
    ///
    /// let mut batch = MessageBatch::<Heap>::new(256 * 1024, Timestamp::from_secs(1_800_000_000));
    /// batch.try_add("two of the blue ones")?;
    /// # Ok::<(), servicebus_core::servicebus::BatchError>(())
    /// ```
    pub fn new(limit: usize, utc: Timestamp) -> Self {
        Self { encoded: Encoded::Open(EncoderOf::<S>::default()), count: 0, limit, lacking: Lacking { utc, ids: None } }
    }

    /// The same batch, in which messages without an id get one from `ids`.
    pub(crate) fn with_ids(mut self, ids: Option<Random>) -> Self {
        self.lacking.ids = ids;
        self
    }

    /// Adds a message. The first one lends its message id, session id and partition key to the envelope, as the
    /// official SDKs do.
    ///
    /// # Errors
    /// [`BatchError`]; the batch is unchanged then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::BatchError;
    /// # servicebus_simulation::example(async |client| {
    /// let mut batch = client.sender("orders")?.create_batch().await?;
    /// batch.try_add("two of the blue ones")?;
    /// let photograph = vec![0; 2_000_000];
    /// assert!(matches!(batch.try_add(&photograph), Err(BatchError::TooLarge { .. })));
    /// assert_eq!(batch.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    // docs/evidence/wire-protocol.md §3.3
    pub fn try_add(&mut self, message: &(impl AsMessage + ?Sized)) -> Result<(), BatchError> {
        let mut message = message.as_message();
        if message.needs_expiry() {
            message.set_expiry(self.lacking.utc);
        }
        let ids = self.lacking.ids.as_mut().filter(|_| message.message_id.is_none());
        let text = ids.map(|ids| Uuid(ids.uuid()).text());
        message.message_id = message.message_id.or(text.as_ref().map(|text| MessageId::String(text.as_str())));
        self.add(&message)
    }

    fn add(&mut self, message: &MessageRef<'_>) -> Result<(), BatchError> {
        message.validate_for::<S>().map_err(BatchError::Invalid)?;
        let start = self.size_in_bytes();
        let size = measure(message);
        message.validate_sizes::<S>(size).map_err(BatchError::Invalid)?;
        let result = self.append(message, size);
        let end = self.size_in_bytes();
        if result.is_ok() && end <= self.limit && self.count < MAX_BATCH_COUNT {
            self.count += 1;
            return Ok(());
        }
        if let Some(encoded) = self.encoded.open() {
            S::Payload::truncate(encoded, start);
        }
        let alone = measure(&Envelope(message)) + section_size(size);
        if self.count == 0 || alone > self.limit {
            return Err(BatchError::TooLarge { size: alone, limit: self.limit });
        }
        Err(BatchError::Full)
    }

    fn append(&mut self, message: &MessageRef<'_>, size: usize) -> Result<(), Full> {
        let encoded = self.encoded.open().ok_or(Full)?;
        if self.count == 0 {
            S::Payload::append(encoded, &Envelope(message))?;
        }
        S::Payload::append(encoded, &Enclosed { message, size })
    }

    /// How many messages there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let mut batch = client.sender("orders")?.create_batch().await?;
    /// batch.try_add("two of the blue ones")?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.sender("orders")?;
    /// let batch = orders.create_batch().await?;
    /// if !batch.is_empty() {
    ///     orders.send_batch(batch).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded size so far.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let mut batch = client.sender("orders")?.create_batch().await?;
    /// batch.try_add("two of the blue ones")?;
    /// assert!(batch.size_in_bytes() > "two of the blue ones".len());
    /// # Ok(())
    /// # });
    /// ```
    pub fn size_in_bytes(&self) -> usize {
        self.encoded.as_bytes().len()
    }

    /// The largest encoded size.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// let batch = client.sender("orders")?.create_batch().await?;
    /// let free = batch.max_size_in_bytes() - batch.size_in_bytes();
    /// assert!(free > 100_000);
    /// # Ok(())
    /// # });
    /// ```
    pub fn max_size_in_bytes(&self) -> usize {
        self.limit
    }

    /// The batch as it is sent; nothing when it is empty.
    pub(crate) fn seal(&mut self) -> Option<&S::Payload> {
        if self.is_empty() { None } else { self.encoded.seal() }
    }
}

/// A data section around `size` bytes.
fn section_size(size: usize) -> usize {
    size + if size < 256 { 5 } else { 8 }
}

/// What a batch carries besides its messages.
struct Envelope<'m, 'a>(&'m MessageRef<'a>);

impl Encode for Envelope<'_, '_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        let Self(first) = self;
        let mut envelope = MessageRef::from_body(Body::Empty);
        envelope.message_id = first.message_id;
        envelope.session_id = first.session_id;
        envelope.partition_key = first.partition_key;
        envelope.encode(sink);
    }
}

/// A message as a data section of a batch.
struct Enclosed<'m, 'a> {
    message: &'m MessageRef<'a>,
    size: usize,
}

impl Encode for Enclosed<'_, '_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        put_section(sink, section::DATA);
        put_binary_head(sink, self.size);
        self.message.encode(sink);
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use alloc::vec::Vec;

    crate::fixed_storage! {
        type Small { sessions: 1, links: 4, deliveries: 6, receive: 512, transmit: 512, message: 512 }
    }

    fn bytes<S: Storage>(batch: &mut MessageBatch<S>) -> Vec<u8> {
        batch.seal().expect("it is not empty").as_ref().to_vec()
    }

    /// A batch that could not be sent is added to, while the engine may still share what it was before.
    fn goes_on<S: Storage>() {
        let new = || MessageBatch::<S>::new(500, Timestamp::UNIX_EPOCH);
        let mut whole = new();
        for text in ["one", "two"] {
            whole.try_add(text).unwrap();
        }
        let mut batch = new();
        assert!(batch.seal().is_none());
        batch.try_add("one").unwrap();
        let shared = batch.seal().unwrap().clone();
        let first = shared.as_ref().to_vec();
        assert!(matches!(batch.try_add(&[7_u8; 600][..]), Err(BatchError::TooLarge { limit: 500, .. })));
        assert_eq!(bytes(&mut batch), first);
        batch.try_add("two").unwrap();
        assert_eq!((bytes(&mut batch), batch.len()), (bytes(&mut whole), 2));
        assert_eq!(shared.as_ref(), first);
    }

    #[test]
    fn a_batch_that_comes_back_is_added_to() {
        goes_on::<Heap>();
        goes_on::<Small>();
    }

    #[test]
    fn a_time_beyond_the_calendar_is_refused_where_the_storage_checks() {
        let message = MessageRef::new("x").with_scheduled_enqueue_time(Timestamp::DOTNET_MAX);
        let refused = MessageBatch::<Heap>::new(500, Timestamp::UNIX_EPOCH).try_add(&message);
        assert_eq!(refused, Err(BatchError::Invalid(InvalidMessage::ScheduledEnqueueTime)));
        assert_eq!(MessageBatch::<Small>::new(500, Timestamp::UNIX_EPOCH).try_add(&message), Ok(()));
    }
}
