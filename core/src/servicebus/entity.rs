//! The name of an entity to send to or receive from.

use super::address::{Address, SubQueue};
use crate::storage::Storage;
use core::fmt;

/// A queue, a topic or a subscription, by name.
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
    pub fn queue(name: impl Into<S::Literal>) -> Self {
        Self { name: name.into(), subscription: None, sub_queue: None }
    }

    /// A subscription of a topic.
    pub fn subscription(topic: impl Into<S::Literal>, subscription: impl Into<S::Literal>) -> Self {
        Self { name: topic.into(), subscription: Some(subscription.into()), sub_queue: None }
    }

    /// Its dead-letter queue.
    #[must_use]
    pub fn dead_letter(self) -> Self {
        Self { sub_queue: Some(SubQueue::DeadLetter), ..self }
    }

    /// Its transfer dead-letter queue.
    #[must_use]
    pub fn transfer_dead_letter(self) -> Self {
        Self { sub_queue: Some(SubQueue::TransferDeadLetter), ..self }
    }

    /// The address on the wire.
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
