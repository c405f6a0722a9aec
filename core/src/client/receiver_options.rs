//! What is received from, and how.

use crate::machine::{Entity, Kind, ReceiveMode};
use crate::storage::{Prefetch, ReceiveAndDelete, Storage};
use core::fmt;

/// What is received from, and how: in peek-lock mode and without prefetch, unless it is changed.
///
/// Where a receiver is made, the entity alone or its name stands for the options with their defaults.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::ReceiverOptions;
/// use servicebus_core::machine::ReceiveMode;
/// use servicebus_core::servicebus::Entity;
///
/// let orders = client.receiver("orders")?;
/// let dead = client.receiver(Entity::queue("orders").dead_letter())?;
///
/// let audit = ReceiverOptions::new(Entity::subscription("events", "audit"));
/// let audit = client.receiver(audit.with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(100))?;
/// # client.sender("events")?.send("started").await?;
/// # assert_eq!(audit.next().await?.text()?, "started");
/// # Ok(())
/// # });
/// ```
pub struct ReceiverOptions<S: Storage> {
    pub(super) entity: Entity<S>,
    pub(super) mode: ReceiveMode,
    pub(super) prefetch: u32,
    pub(super) identifier: Option<S::Literal>,
}

impl<S: Storage> ReceiverOptions<S> {
    /// Peek-lock mode, no prefetch, no identifier.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ReceiverOptions;
    /// # use servicebus_core::storage::Heap;
    /// use servicebus_core::machine::ReceiveMode;
    ///
    /// let options = ReceiverOptions::<Heap>::new("orders");
    /// assert_eq!((options.mode(), options.prefetch()), (ReceiveMode::PeekLock, 0));
    /// ```
    pub fn new(entity: impl Into<Entity<S>>) -> Self {
        Self { entity: entity.into(), mode: ReceiveMode::PeekLock, prefetch: 0, identifier: None }
    }

    /// Locks messages, or takes them at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ReceiverOptions;
    /// use servicebus_core::machine::ReceiveMode;
    ///
    /// # client.sender("orders")?.send("two of the blue ones").await?;
    /// let deleting = client.receiver(ReceiverOptions::new("orders").with_mode(ReceiveMode::ReceiveAndDelete))?;
    /// let message = deleting.next().await?; // gone from the queue: there is nothing to complete
    /// assert_eq!(message.lock_token(), None);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_mode(self, mode: ReceiveMode) -> Self
    where
        S: ReceiveAndDelete,
    {
        Self { mode, ..self }
    }

    /// Keeps this many messages ready beyond those that a call asks for; their locks run meanwhile. Zero fetches only
    /// what calls ask for.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ReceiverOptions;
    ///
    /// # client.sender("orders")?.send_all(&["one", "two"]).await?;
    /// let receiver = client.receiver(ReceiverOptions::new("orders").with_prefetch(100))?;
    /// let first = receiver.next().await?;
    /// let second = receiver.next().await?; // it came with the first
    /// # assert_eq!(second.text()?, "two");
    /// # drop(first);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_prefetch(self, messages: u32) -> Self
    where
        S: Prefetch,
    {
        Self { prefetch: messages, ..self }
    }

    /// Names the receiver in the service's logs and messages, with up to 128 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::{ErrorKind, ReceiverOptions};
    ///
    /// let receiver = client.receiver(ReceiverOptions::new("orders").with_identifier("packer-3"))?;
    /// # drop(receiver);
    /// let too_long = ReceiverOptions::new("orders").with_identifier("3".repeat(129));
    /// assert_eq!(client.receiver(too_long).unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_identifier(self, identifier: impl Into<S::Literal>) -> Self {
        Self { identifier: Some(identifier.into()), ..self }
    }

    /// What is received from.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ReceiverOptions;
    /// # use servicebus_core::storage::Heap;
    /// assert_eq!(ReceiverOptions::<Heap>::new("orders").entity().to_string(), "orders");
    /// ```
    pub const fn entity(&self) -> &Entity<S> {
        &self.entity
    }

    /// Locks messages, or takes them at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ReceiverOptions;
    /// # use servicebus_core::machine::ReceiveMode;
    /// # use servicebus_core::storage::Heap;
    /// let options = ReceiverOptions::<Heap>::new("orders").with_mode(ReceiveMode::ReceiveAndDelete);
    /// assert_eq!(options.mode(), ReceiveMode::ReceiveAndDelete);
    /// ```
    pub const fn mode(&self) -> ReceiveMode {
        self.mode
    }

    /// The number of messages that are kept ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ReceiverOptions;
    /// # use servicebus_core::storage::Heap;
    /// assert_eq!(ReceiverOptions::<Heap>::new("orders").with_prefetch(100).prefetch(), 100);
    /// ```
    pub const fn prefetch(&self) -> u32 {
        self.prefetch
    }

    /// What the service knows the receiver by.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::ReceiverOptions;
    /// # use servicebus_core::storage::Heap;
    /// let options = ReceiverOptions::<Heap>::new("orders").with_identifier("packer-3");
    /// assert_eq!(options.identifier(), Some("packer-3"));
    /// ```
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
