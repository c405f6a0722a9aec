//! The name of an entity to send to or receive from.

use super::address::{Address, SubQueue};
use crate::storage::Storage;
use core::fmt;
use core::hash::{Hash, Hasher};

/// A queue, a topic or a subscription, by name.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::Entity;
/// # servicebus_simulation::example(async |client| {
/// let orders = client.sender("orders")?;
/// let audit = client.receiver(Entity::subscription("events", "audit"))?;
/// let letters = client.receiver(Entity::queue("orders").dead_letter())?;
/// # let _ = (orders, audit, letters);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entity<S: Storage> {
    /// The queue or topic.
    pub name: S::Literal,
    /// The subscription of the topic.
    pub subscription: Option<S::Literal>,
    /// The sub-queue.
    pub sub_queue: Option<SubQueue>,
}

/// A queue or topic.
impl<'a, S: Storage<Literal: From<&'a str>>> From<&'a str> for Entity<S> {
    fn from(name: &'a str) -> Self {
        Self::queue(name)
    }
}

/// A queue or topic.
#[cfg(feature = "alloc")]
impl<'a, S: Storage<Literal: From<&'a str>>> From<&'a alloc::string::String> for Entity<S> {
    fn from(name: &'a alloc::string::String) -> Self {
        Self::queue(name.as_str())
    }
}

/// A queue or topic.
#[cfg(feature = "alloc")]
impl<S: Storage<Literal: From<alloc::string::String>>> From<alloc::string::String> for Entity<S> {
    fn from(name: alloc::string::String) -> Self {
        Self::queue(name)
    }
}

impl<S: Storage> From<&Self> for Entity<S> {
    fn from(entity: &Self) -> Self {
        entity.clone()
    }
}

impl<S: Storage> fmt::Display for Entity<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl<S: Storage> Entity<S> {
    /// A queue or topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let orders = client.receiver(Entity::queue("orders"))?;
    /// assert_eq!(orders.entity().to_string(), "orders");
    /// # Ok(())
    /// # });
    /// ```
    pub fn queue(name: impl Into<S::Literal>) -> Self {
        Self { name: name.into(), subscription: None, sub_queue: None }
    }

    /// A subscription of a topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let audit = client.receiver(Entity::subscription("events", "audit"))?;
    /// assert_eq!(audit.entity().to_string(), "events/Subscriptions/audit");
    /// # Ok(())
    /// # });
    /// ```
    pub fn subscription(topic: impl Into<S::Literal>, subscription: impl Into<S::Literal>) -> Self {
        Self { name: topic.into(), subscription: Some(subscription.into()), sub_queue: None }
    }

    /// Its dead-letter queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let letters = client.receiver(Entity::subscription("events", "audit").dead_letter())?;
    /// assert_eq!(letters.entity().to_string(), "events/Subscriptions/audit/$DeadLetterQueue");
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn dead_letter(self) -> Self {
        Self { sub_queue: Some(SubQueue::DeadLetter), ..self }
    }

    /// Its transfer dead-letter queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Entity;
    /// # servicebus_simulation::example(async |client| {
    /// let letters = client.receiver(Entity::queue("orders").transfer_dead_letter())?;
    /// assert_eq!(letters.entity().to_string(), "orders/$Transfer/$DeadLetterQueue");
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn transfer_dead_letter(self) -> Self {
        Self { sub_queue: Some(SubQueue::TransferDeadLetter), ..self }
    }

    /// The address on the wire.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Address, Entity};
    /// # use servicebus_core::storage::Heap;
    /// let audit = Entity::<Heap>::subscription("events", "audit");
    /// assert_eq!(audit.address(), Address::new("events", Some("audit"), None));
    /// ```
    pub fn address(&self) -> Address<'_> {
        Address::new(self.name.as_ref(), self.subscription.as_ref().map(AsRef::as_ref), self.sub_queue)
    }
}

/// Whether two names are those of the same entity: the service does not tell cases apart.
fn same(one: &str, other: &str) -> bool {
    // Both are nearly always the same text.
    core::ptr::eq(one, other) || one.eq_ignore_ascii_case(other)
}

impl<S: Storage> PartialEq for Entity<S> {
    fn eq(&self, other: &Self) -> bool {
        let subscriptions = match (&self.subscription, &other.subscription) {
            (Some(one), Some(other)) => same(one.as_ref(), other.as_ref()),
            (None, None) => true,
            _ => false,
        };
        subscriptions && self.sub_queue == other.sub_queue && same(self.name.as_ref(), other.name.as_ref())
    }
}

impl<S: Storage> Eq for Entity<S> {}

/// As they are compared: cases do not count.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::Entity;
/// use servicebus_core::storage::Heap;
/// use std::collections::HashSet;
///
/// let mut seen = HashSet::new();
/// assert!(seen.insert(Entity::<Heap>::subscription("events", "audit")));
/// assert!(!seen.insert(Entity::subscription("Events", "AUDIT")), "the service does not tell cases apart");
/// assert!(seen.insert(Entity::queue("events")));
/// assert!(seen.insert(Entity::queue("events").dead_letter()));
/// assert!(seen.insert(Entity::subscription("event", "saudit")));
/// ```
impl<S: Storage> Hash for Entity<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut put = |name: &str| {
            name.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
            state.write_u8(0xff);
        };
        put(self.name.as_ref());
        if let Some(subscription) = &self.subscription {
            put(subscription.as_ref());
        }
        self.sub_queue.hash(state);
    }
}
