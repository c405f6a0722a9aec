//! Names of entities and rules: what no name can be, whatever the service would say.
// docs/evidence/pinned-behaviour.md ADM69; docs/evidence/wire-protocol.md §8

use super::address::Address;
use super::argument::is_longer;
use core::fmt;

/// The longest name of a queue or topic.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{InvalidName, MAX_ENTITY_NAME, Resource};
///
/// let name = "x".repeat(MAX_ENTITY_NAME + 1);
/// assert_eq!(Resource::Entity(name).validate(), Err(InvalidName::TooLong(MAX_ENTITY_NAME)));
/// ```
pub const MAX_ENTITY_NAME: usize = 260;
/// The longest name of a subscription or rule.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::MAX_SUBSCRIPTION_NAME;
///
/// let host = "a-host-whose-name-is-longer-than-any-subscription-may-be.example";
/// let subscription: String = host.chars().take(MAX_SUBSCRIPTION_NAME).collect();
/// assert_eq!(subscription.len(), 50);
/// ```
pub const MAX_SUBSCRIPTION_NAME: usize = 50;

/// A name that no entity can have.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::{InvalidName, Resource};
///
/// match Resource::Entity("what?".into()).validate() {
///     Err(InvalidName::Character(letter)) => println!("a name cannot have {letter:?}"),
///     Err(error) => println!("{error}"),
///     Ok(()) => println!("a name"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    Empty,
    /// The name has more characters than these.
    TooLong(usize),
    /// The character cannot be part of a name, or not at this place.
    Character(char),
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong(limit) => write!(f, "the name has more than {limit} characters"),
            Self::Character(c) => write!(f, "{c:?} cannot be at this place of a name"),
        }
    }
}

impl core::error::Error for InvalidName {}

/// Whether a name has up to `limit` characters that names can have.
pub(crate) fn check(name: &str, limit: usize, slash: bool) -> Result<(), InvalidName> {
    if name.trim().is_empty() {
        return Err(InvalidName::Empty);
    }
    if is_longer(name, limit) {
        return Err(InvalidName::TooLong(limit));
    }
    let refused = |c: char| matches!(c, '@' | '?' | '#' | '*' | '\\') || c.is_control() || c == '/' && !slash;
    if let Some(c) = name.chars().find(|&c| refused(c)) {
        return Err(InvalidName::Character(c));
    }
    // A part between slashes that is empty, `.` or `..` would name something else.
    let misplaced = name.split('/').find(|part| matches!(*part, "" | "." | ".."));
    misplaced.map_or(Ok(()), |part| Err(InvalidName::Character(part.chars().next().unwrap_or('/'))))
}

/// Whether an address can lead to an entity. Its name may be a whole path, as in `orders/$DeadLetterQueue`.
pub(crate) fn check_address(address: Address<'_>) -> Result<(), InvalidName> {
    // In characters and parts; the lengths are those of the parts.
    check(address.entity, usize::MAX, true)?;
    let path = Address::parse(address.entity);
    // Nodes of the service, such as `$cbs`, are no entities.
    if path.management || path.entity.starts_with('$') {
        return Err(InvalidName::Character('$'));
    }
    check(path.entity, MAX_ENTITY_NAME, true)?;
    path.subscription
        .into_iter()
        .chain(address.subscription)
        .try_for_each(|name| check(name, MAX_SUBSCRIPTION_NAME, false))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn paths_of_entities_are_addresses() {
        let (longest, subscription) = ("x".repeat(260), "s".repeat(50));
        let whole = std::format!("{longest}/Subscriptions/{subscription}/$DeadLetterQueue");
        for name in ["orders", "shop/orders", "orders/$DeadLetterQueue", "e/subscriptions/audit", &longest, &whole] {
            assert_eq!(check_address(Address::new(name, None, None)), Ok(()), "{name}");
        }
        assert_eq!(check_address(Address::new("events", Some(&subscription), None)), Ok(()));
    }

    #[test]
    fn what_would_lead_elsewhere_is_no_address() {
        use InvalidName::*;
        let long: String = "ä".repeat(261);
        let below = std::format!("e/Subscriptions/{}", "s".repeat(51));
        for (name, fault) in [
            ("", Empty),
            (" ", Empty),
            ("/", Character('/')),
            ("orders/", Character('/')),
            ("sb://contoso.servicebus.windows.net/orders", Character('/')),
            ("orders?x", Character('?')),
            ("orders\0", Character('\0')),
            ("..", Character('.')),
            ("$cbs", Character('$')),
            ("orders/$management", Character('$')),
            (&long, TooLong(260)),
            (&below, TooLong(50)),
        ] {
            assert_eq!(check_address(Address::new(name, None, None)), Err(fault), "{name}");
        }
        assert_eq!(check_address(Address::new("events", Some(""), None)), Err(Empty));
        assert_eq!(check_address(Address::new("events", Some("a/b"), None)), Err(Character('/')));
    }
}
