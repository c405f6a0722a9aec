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
/// # servicebus_simulation::example(async |client| {
/// use servicebus_core::client::SenderOptions;
///
/// let orders = client.sender("orders")?;
/// let steps = client.sender(SenderOptions::new("invoices").ordered().with_identifier("intake-7"))?;
/// # orders.send("two of the blue ones").await?;
/// # steps.send("write it").await?;
/// # Ok(())
/// # });
/// ```
pub struct SenderOptions<S: Storage> {
    pub(super) entity: Entity<S>,
    pub(super) identifier: Option<S::Literal>,
    #[cfg(feature = "alloc")]
    pub(super) is_ordered: bool,
}

impl<S: Storage> SenderOptions<S> {
    /// The defaults for a queue or topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::SenderOptions;
    ///
    /// let orders = client.sender(SenderOptions::new("orders"))?; // as `client.sender("orders")`
    /// orders.send("two of the blue ones").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(entity: impl Into<Entity<S>>) -> Self {
        Self {
            entity: entity.into(),
            identifier: None,
            #[cfg(feature = "alloc")]
            is_ordered: false,
        }
    }

    /// Names the sender in the service's logs and messages, with up to 128 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::{ErrorKind, SenderOptions};
    ///
    /// let sender = client.sender(SenderOptions::new("orders").with_identifier("shop-2"))?;
    /// # drop(sender);
    /// let too_long = SenderOptions::new("orders").with_identifier("2".repeat(129));
    /// assert_eq!(client.sender(too_long).unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<servicebus_core::storage::Heap>();
    /// use futures_util::future::join;
    /// use servicebus_core::client::SenderOptions;
    ///
    /// let steps = client.sender(SenderOptions::new("orders").ordered())?;
    /// let (first, second) = (steps.send("cut the wood"), steps.send("paint it"));
    /// # steps.size_limits().await?;
    /// # world.cut();
    /// let (first, second) = join(first, second).await; // over a connection that is lost meanwhile
    /// first?;
    /// second?;
    /// assert_eq!(client.receiver("orders")?.next().await?.text()?, "cut the wood");
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// What is sent to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::SenderOptions;
    /// # use servicebus_core::storage::Heap;
    /// assert_eq!(SenderOptions::<Heap>::new("orders").entity().to_string(), "orders");
    /// ```
    pub const fn entity(&self) -> &Entity<S> {
        &self.entity
    }

    /// What the service knows the sender by.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::SenderOptions;
    /// # use servicebus_core::storage::Heap;
    /// let options = SenderOptions::<Heap>::new("orders").with_identifier("shop-2");
    /// assert_eq!(options.identifier(), Some("shop-2"));
    /// ```
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_ref().map(AsRef::as_ref)
    }

    /// Whether messages keep their order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::SenderOptions;
    /// # use servicebus_core::storage::Heap;
    /// assert!(!SenderOptions::<Heap>::new("orders").is_ordered());
    /// assert!(SenderOptions::<Heap>::new("orders").ordered().is_ordered());
    /// ```
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
