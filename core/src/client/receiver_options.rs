//! What is received from, and how.

use crate::machine::{Entity, Kind, ReceiveMode};
use crate::storage::{Prefetch, ReceiveAndDelete, Storage};
use core::fmt;

/// What is received from, and how: in peek-lock mode and without prefetch, unless it is changed.
///
/// Where a receiver is made, the entity alone or its name stands for the options with their defaults.
///
/// ```
/// # use servicebus_core::client::{Client, Error, ReceiverOptions};
/// # use servicebus_core::{machine::ReceiveMode, runtime::Runtime, servicebus::Entity, storage::Heap};
/// # async fn example<R: Runtime<Storage = Heap>>(client: Client<R>) -> Result<(), Error<Heap>> {
/// let orders = client.receiver("orders")?;
/// let dead = client.receiver(Entity::queue("orders").dead_letter())?;
///
/// let deleting = ReceiverOptions::new("events").with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(100);
/// let events = client.receiver(deleting)?;
/// # Ok(())
/// # }
/// ```
pub struct ReceiverOptions<S: Storage> {
    pub(super) entity: Entity<S>,
    pub(super) mode: ReceiveMode,
    pub(super) prefetch: u32,
    pub(super) identifier: Option<S::Literal>,
}

impl<S: Storage> ReceiverOptions<S> {
    /// Peek-lock mode, no prefetch, no identifier.
    pub fn new(entity: impl Into<Entity<S>>) -> Self {
        Self { entity: entity.into(), mode: ReceiveMode::PeekLock, prefetch: 0, identifier: None }
    }

    /// Locks messages, or takes them at once.
    #[must_use]
    pub fn with_mode(self, mode: ReceiveMode) -> Self
    where
        S: ReceiveAndDelete,
    {
        Self { mode, ..self }
    }

    /// Keeps this many messages ready beyond those that a call asks for; their locks run meanwhile. Zero fetches only
    /// what calls ask for.
    #[must_use]
    pub fn with_prefetch(self, messages: u32) -> Self
    where
        S: Prefetch,
    {
        Self { prefetch: messages, ..self }
    }

    /// Names the receiver in the service's logs and messages, with up to 128 characters.
    #[must_use]
    pub fn with_identifier(self, identifier: impl Into<S::Literal>) -> Self {
        Self { identifier: Some(identifier.into()), ..self }
    }

    /// What is received from.
    pub const fn entity(&self) -> &Entity<S> {
        &self.entity
    }

    /// Locks messages, or takes them at once.
    pub const fn mode(&self) -> ReceiveMode {
        self.mode
    }

    /// The number of messages that are kept ready.
    pub const fn prefetch(&self) -> u32 {
        self.prefetch
    }

    /// What the service knows the receiver by.
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_ref().map(AsRef::as_ref)
    }

    pub(super) const fn kind(&self) -> Kind {
        Kind::Receiver { mode: self.mode, prefetch: self.prefetch }
    }
}

/// An entity or its name, with the defaults.
impl<S: Storage, E: Into<Entity<S>>> From<E> for ReceiverOptions<S> {
    fn from(entity: E) -> Self {
        Self::new(entity)
    }
}

impl<S: Storage> Clone for ReceiverOptions<S> {
    fn clone(&self) -> Self {
        let Self { entity, mode, prefetch, identifier } = self;
        Self { entity: entity.clone(), mode: *mode, prefetch: *prefetch, identifier: identifier.clone() }
    }
}

impl<S: Storage> fmt::Debug for ReceiverOptions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverOptions")
            .field("entity", &self.entity)
            .field("mode", &self.mode)
            .field("prefetch", &self.prefetch)
            .field("identifier", &self.identifier)
            .finish()
    }
}
