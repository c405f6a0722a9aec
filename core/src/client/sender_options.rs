//! How a sender behaves.

use crate::storage::Storage;

/// How a sender behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SenderOptions<S: Storage> {
    pub(super) identifier: Option<S::Literal>,
    #[cfg(feature = "alloc")]
    pub(super) is_ordered: bool,
}

impl<S: Storage> Default for SenderOptions<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Storage> SenderOptions<S> {
    /// The defaults: no identifier, and no order beyond that of [`Sender::send`](super::Sender::send).
    pub const fn new() -> Self {
        Self {
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
    /// overtakes: one is under way at a time, and those behind it wait while it is tried again, over lost connections as
    /// well. One that fails in the end is left out.
    ///
    /// A message then costs a round trip to the service: many at once go faster in batches. Scheduled messages and those of
    /// transactions keep no order.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }
}
