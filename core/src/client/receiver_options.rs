//! How a receiver behaves.

use crate::machine::ReceiveMode;
use crate::servicebus::SubQueue;
use crate::storage::{Prefetch, ReceiveAndDelete, Storage};
use core::fmt;
use core::marker::PhantomData;

/// How a receiver behaves: in peek-lock mode and without prefetch, unless it is changed.
pub struct ReceiverOptions<S: Storage> {
    pub(super) mode: ReceiveMode,
    pub(super) prefetch: u32,
    pub(super) sub_queue: Option<SubQueue>,
    storage: PhantomData<fn() -> S>,
}

impl<S: Storage> ReceiverOptions<S> {
    /// Peek-lock mode, no prefetch, the entity itself.
    pub const fn new() -> Self {
        Self { mode: ReceiveMode::PeekLock, prefetch: 0, sub_queue: None, storage: PhantomData }
    }

    /// Locks messages, or takes them at once.
    #[must_use]
    pub const fn with_mode(self, mode: ReceiveMode) -> Self
    where
        S: ReceiveAndDelete,
    {
        Self { mode, ..self }
    }

    /// Keeps this many messages ready beyond those that a call asks for; their locks run meanwhile. Zero fetches only
    /// what calls ask for.
    #[must_use]
    pub const fn with_prefetch(self, messages: u32) -> Self
    where
        S: Prefetch,
    {
        Self { prefetch: messages, ..self }
    }

    /// Receives from this sub-queue instead of the entity itself.
    #[must_use]
    pub const fn with_sub_queue(self, sub_queue: SubQueue) -> Self {
        Self { sub_queue: Some(sub_queue), ..self }
    }

    /// The same for another storage, which ignores what it has no capability for.
    #[cfg(feature = "alloc")]
    pub(super) fn in_storage<T: Storage>(self) -> ReceiverOptions<T> {
        ReceiverOptions { mode: self.mode, prefetch: self.prefetch, sub_queue: self.sub_queue, storage: PhantomData }
    }

    /// Locks messages, or takes them at once.
    pub const fn mode(&self) -> ReceiveMode {
        self.mode
    }

    /// The number of messages that are kept ready.
    pub const fn prefetch(&self) -> u32 {
        self.prefetch
    }

    /// The sub-queue to receive from instead of the entity itself.
    pub const fn sub_queue(&self) -> Option<SubQueue> {
        self.sub_queue
    }
}

impl<S: Storage> Default for ReceiverOptions<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Storage> Clone for ReceiverOptions<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Storage> Copy for ReceiverOptions<S> {}

impl<S: Storage> PartialEq for ReceiverOptions<S> {
    fn eq(&self, other: &Self) -> bool {
        (self.mode, self.prefetch, self.sub_queue) == (other.mode, other.prefetch, other.sub_queue)
    }
}

impl<S: Storage> Eq for ReceiverOptions<S> {}

impl<S: Storage> fmt::Debug for ReceiverOptions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverOptions")
            .field("mode", &self.mode)
            .field("prefetch", &self.prefetch)
            .field("sub_queue", &self.sub_queue)
            .finish()
    }
}
