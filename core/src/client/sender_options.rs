//! What is sent to, and how.

use crate::machine::Entity;
use crate::storage::Storage;
use core::fmt;

/// What is sent to, and how: without an identifier, and without order beyond that of
/// [`Sender::send`](super::Sender::send), unless it is changed.
///
/// Where a sender is made, the entity alone or its name stands for the options with their defaults.
///
/// ```
/// # use servicebus_core::client::{Client, Error, SenderOptions};
/// # use servicebus_core::{runtime::Runtime, storage::Heap};
/// # async fn example<R: Runtime<Storage = Heap>>(client: Client<R>) -> Result<(), Error<Heap>> {
/// let orders = client.sender("orders")?;
/// let steps = client.sender(SenderOptions::new("steps").ordered().with_identifier("intake-7"))?;
/// # Ok(())
/// # }
/// ```
pub struct SenderOptions<S: Storage> {
    pub(super) entity: Entity<S>,
    pub(super) identifier: Option<S::Literal>,
    #[cfg(feature = "alloc")]
    pub(super) is_ordered: bool,
}

impl<S: Storage> SenderOptions<S> {
    /// The defaults for a queue or topic.
    pub fn new(entity: impl Into<Entity<S>>) -> Self {
        Self {
            entity: entity.into(),
            identifier: None,
            #[cfg(feature = "alloc")]
            is_ordered: false,
        }
    }

    /// Names the sender in the service's logs and messages, with up to 128 characters.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<S::Literal>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Keeps the order of messages and batches: those of [`Sender::send`](super::Sender::send),
    /// [`Sender::enqueue`](super::Sender::enqueue) and the calls for batches, over all clones of the sender. Nothing
    /// overtakes: one is under way at once, and those behind it wait through its retries, across lost connections as
    /// well. One that fails in the end is left out.
    ///
    /// A message then costs a round trip to the service: many at once go faster in batches. Scheduled messages and
    /// those of transactions keep no order.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// What is sent to.
    pub const fn entity(&self) -> &Entity<S> {
        &self.entity
    }

    /// What the service knows the sender by.
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_ref().map(AsRef::as_ref)
    }

    /// Whether messages keep their order.
    #[cfg(feature = "alloc")]
    pub const fn is_ordered(&self) -> bool {
        self.is_ordered
    }
}

/// An entity or its name, with the defaults.
impl<S: Storage, E: Into<Entity<S>>> From<E> for SenderOptions<S> {
    fn from(entity: E) -> Self {
        Self::new(entity)
    }
}

impl<S: Storage> Clone for SenderOptions<S> {
    fn clone(&self) -> Self {
        Self {
            entity: self.entity.clone(),
            identifier: self.identifier.clone(),
            #[cfg(feature = "alloc")]
            is_ordered: self.is_ordered,
        }
    }
}

impl<S: Storage> fmt::Debug for SenderOptions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("SenderOptions");
        text.field("entity", &self.entity).field("identifier", &self.identifier);
        #[cfg(feature = "alloc")]
        text.field("is_ordered", &self.is_ordered);
        text.finish()
    }
}
