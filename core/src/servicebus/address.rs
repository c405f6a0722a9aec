//! Addresses of entities.
// docs/evidence/wire-protocol.md §0 fact 3, §2.2, §4.5

use core::fmt;

/// A queue below an entity.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Entity, SubQueue};
/// use servicebus_core::storage::Heap;
///
/// let dead = Entity::<Heap>::queue("orders").dead_letter();
/// match dead.sub_queue {
///     Some(SubQueue::DeadLetter) => println!("orders that failed"),
///     Some(SubQueue::TransferDeadLetter) => println!("orders that could not be forwarded"),
///     None => println!("orders"),
/// }
/// # assert_eq!(dead.sub_queue, Some(SubQueue::DeadLetter));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubQueue {
    /// `$DeadLetterQueue`
    DeadLetter,
    /// `$Transfer/$DeadLetterQueue`
    TransferDeadLetter,
}

impl SubQueue {
    /// The last part of the address.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::SubQueue;
    /// assert_eq!(SubQueue::DeadLetter.suffix(), "$DeadLetterQueue");
    /// ```
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::DeadLetter => "$DeadLetterQueue",
            Self::TransferDeadLetter => "$Transfer/$DeadLetterQueue",
        }
    }
}

impl fmt::Display for SubQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

/// The address of a queue, topic, subscription or sub-queue, as this library writes it: the bare path.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{Address, SubQueue};
///
/// let letters = Address::new("events", Some("audit"), Some(SubQueue::DeadLetter));
/// assert_eq!(letters.to_string(), "events/Subscriptions/audit/$DeadLetterQueue");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The queue or topic; may contain `/`.
    pub entity: &'a str,
    /// The subscription of a topic.
    pub subscription: Option<&'a str>,
    /// The sub-queue.
    pub sub_queue: Option<SubQueue>,
    /// The `$management` node of it.
    pub management: bool,
}

impl<'a> Address<'a> {
    /// An address of these parts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Address;
    /// assert_eq!(Address::new("events", Some("audit"), None).subscription, Some("audit"));
    /// ```
    pub const fn new(entity: &'a str, subscription: Option<&'a str>, sub_queue: Option<SubQueue>) -> Self {
        Self { entity, subscription, sub_queue, management: false }
    }

    /// The `$management` node of this entity.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Address;
    /// assert_eq!(Address::new("orders", None, None).management().to_string(), "orders/$management");
    /// ```
    #[must_use]
    pub const fn management(self) -> Self {
        Self { management: true, ..self }
    }

    /// The entity itself, without sub-queue and node: what a token is for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{Address, SubQueue};
    /// let letters = Address::new("orders", None, Some(SubQueue::DeadLetter));
    /// assert_eq!(letters.audience(), Address::new("orders", None, None));
    /// ```
    #[must_use]
    pub const fn audience(self) -> Self {
        Self { sub_queue: None, management: false, ..self }
    }

    /// Reads any form that a client sends: a full URI with any scheme and authority, an absolute path, a bare path;
    /// the fixed parts in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::Address;
    /// let read = Address::parse("sb://contoso.servicebus.windows.net/events/subscriptions/audit");
    /// assert_eq!(read, Address::new("events", Some("audit"), None));
    /// ```
    pub fn parse(text: &'a str) -> Self {
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => text,
        };
        let mut path = path.trim_matches('/');
        let management = strip_suffix(path, "$management").inspect(|rest| path = rest).is_some();
        let sub_queue = [SubQueue::TransferDeadLetter, SubQueue::DeadLetter]
            .into_iter()
            .find(|queue| strip_suffix(path, queue.suffix()).inspect(|rest| path = rest).is_some());
        const SUBSCRIPTIONS: &str = "/subscriptions/";
        let split = path.rfind('/').filter(|&last| {
            let start = (last + 1).checked_sub(SUBSCRIPTIONS.len());
            start.and_then(|start| path.get(start..=last)).is_some_and(|part| part.eq_ignore_ascii_case(SUBSCRIPTIONS))
        });
        let parts = split.and_then(|last| Some((path.get(..last + 1 - SUBSCRIPTIONS.len())?, path.get(last + 1..)?)));
        let (entity, subscription) = parts.map_or((path, None), |(topic, name)| (topic, Some(name)));
        Self { entity, subscription, sub_queue, management }
    }
}

/// The path in front of `/suffix`, ignoring the suffix's case.
fn strip_suffix<'a>(path: &'a str, suffix: &str) -> Option<&'a str> {
    let at = path.len().checked_sub(suffix.len())?;
    let (head, tail) = (path.get(..at)?, path.get(at..)?);
    if tail.eq_ignore_ascii_case(suffix) { head.strip_suffix('/') } else { None }
}

impl Address<'_> {
    /// Whether it leads to the queue or topic of this path, or to what is below that: a subscription or a sub-queue. The
    /// service does not tell cases apart.
    pub(crate) fn is_of(&self, path: &str) -> bool {
        Address::parse(self.entity).entity.eq_ignore_ascii_case(Address::parse(path).entity)
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entity)?;
        if let Some(subscription) = self.subscription {
            write!(f, "/Subscriptions/{subscription}")?;
        }
        if let Some(sub_queue) = self.sub_queue {
            write!(f, "/{}", sub_queue.suffix())?;
        }
        if self.management {
            f.write_str("/$management")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_client_form_is_read() {
        let plain = Address::new("queue", None, None);
        for text in ["queue", "/queue", "amqps://host/queue", "sb://host:5672/queue/", "AMQP://h/queue"] {
            assert_eq!(Address::parse(text), plain, "{text}");
        }
        let dead = Address::new("a/b", Some("s"), Some(SubQueue::DeadLetter));
        for text in ["a/b/Subscriptions/s/$DeadLetterQueue", "sb://h/a/b/subscriptions/s/$deadletterqueue"] {
            assert_eq!(Address::parse(text), dead, "{text}");
        }
        let node = Address::new("q", None, Some(SubQueue::TransferDeadLetter)).management();
        assert_eq!(node.to_string(), "q/$Transfer/$DeadLetterQueue/$management");
        assert_eq!(Address::parse(&node.to_string()), node);
        assert_eq!(Address::parse("").entity, "");
        assert_eq!(Address::parse("/subscriptions/").entity, "subscriptions");
        assert_eq!(Address::parse("ümläut/$management").entity, "ümläut");
    }
}
