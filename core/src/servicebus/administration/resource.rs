//! The resource of a management request, from its path.
// docs/evidence/wire-protocol.md §7.1

use crate::servicebus::name::{InvalidName, MAX_ENTITY_NAME, MAX_SUBSCRIPTION_NAME, check};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a path leaves as it is: `$` is part of names such as `$Default`, `/` separates the parts of an entity's name.
const ENCODE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'$');

/// What a management request is about.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::Resource;
///
/// let rules = Resource::Rules { topic: "events".into(), subscription: "audit".into() };
/// assert_eq!(rules.to_string(), "/events/subscriptions/audit/rules");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// The namespace.
    Namespace,
    /// All queues.
    Queues,
    /// All topics.
    Topics,
    /// A queue or topic: the path does not tell which.
    Entity(String),
    /// All subscriptions of a topic.
    Subscriptions {
        /// The topic.
        topic: String,
    },
    /// A subscription.
    Subscription {
        /// The topic.
        topic: String,
        /// The subscription.
        name: String,
    },
    /// All rules of a subscription.
    Rules {
        /// The topic.
        topic: String,
        /// The subscription.
        subscription: String,
    },
    /// A rule.
    Rule {
        /// The topic.
        topic: String,
        /// The subscription.
        subscription: String,
        /// The rule.
        name: String,
    },
}

impl Resource {
    /// Whether the names can be names. The service decides about the rest.
    ///
    /// # Errors
    /// [`InvalidName`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::{InvalidName, Resource};
    /// assert_eq!(Resource::Entity("orders".into()).validate(), Ok(()));
    /// assert_eq!(Resource::Entity("orders#2".into()).validate(), Err(InvalidName::Character('#')));
    /// ```
    pub fn validate(&self) -> Result<(), InvalidName> {
        let (topic, subscription, rule) = match self {
            Self::Namespace | Self::Queues | Self::Topics => return Ok(()),
            Self::Entity(name) | Self::Subscriptions { topic: name } => (name, None, None),
            Self::Subscription { topic, name } => (topic, Some(name), None),
            Self::Rules { topic, subscription } => (topic, Some(subscription), None),
            Self::Rule { topic, subscription, name } => (topic, Some(subscription), Some(name)),
        };
        check(topic, MAX_ENTITY_NAME, true)?;
        subscription.into_iter().chain(rule).try_for_each(|name| check(name, MAX_SUBSCRIPTION_NAME, false))
    }

    /// Reads a path without its query; the fixed parts may have any case. `None` for a path that is none of these.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Resource;
    /// let audit = Resource::Subscription { topic: "events".into(), name: "audit".into() };
    /// assert_eq!(Resource::parse("/events/Subscriptions/audit"), Some(audit));
    /// ```
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let decode = |parts: &[&str]| percent_decode_str(&parts.join("/")).decode_utf8().ok().map(String::from);
        let is = |part: &str, name: &str| part.eq_ignore_ascii_case(name);
        if let [first, rest @ ..] = parts.as_slice() {
            let first = percent_decode_str(first).decode_utf8().ok()?;
            if is(&first, "$namespaceinfo") && rest.is_empty() {
                return Some(Self::Namespace);
            }
            if is(&first, "$Resources") {
                return match rest {
                    [kind] if is(kind, "queues") => Some(Self::Queues),
                    [kind] if is(kind, "topics") => Some(Self::Topics),
                    _ => None,
                };
            }
        }
        Some(match parts.as_slice() {
            [""] => return None,
            [topic @ .., fixed, subscription, rules, rule]
                if !topic.is_empty() && is(fixed, "subscriptions") && is(rules, "rules") =>
            {
                Self::Rule { topic: decode(topic)?, subscription: decode(&[*subscription])?, name: decode(&[*rule])? }
            }
            [topic @ .., fixed, subscription, rules]
                if !topic.is_empty() && is(fixed, "subscriptions") && is(rules, "rules") =>
            {
                Self::Rules { topic: decode(topic)?, subscription: decode(&[*subscription])? }
            }
            [topic @ .., fixed, name] if !topic.is_empty() && is(fixed, "subscriptions") => {
                Self::Subscription { topic: decode(topic)?, name: decode(&[*name])? }
            }
            [topic @ .., fixed] if !topic.is_empty() && is(fixed, "subscriptions") => {
                Self::Subscriptions { topic: decode(topic)? }
            }
            name => Self::Entity(decode(name)?),
        })
    }

    /// The name of the entity itself, empty for a collection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Resource;
    /// assert_eq!(Resource::Entity("orders".into()).name(), "orders");
    /// ```
    pub fn name(&self) -> &str {
        match self {
            Self::Entity(name) | Self::Subscription { name, .. } | Self::Rule { name, .. } => name,
            _ => "",
        }
    }

    /// The topic that it is below, empty for what is below none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::administration::Resource;
    /// assert_eq!(Resource::Subscriptions { topic: "events".into() }.topic(), "events");
    /// ```
    pub fn topic(&self) -> &str {
        match self {
            Self::Subscriptions { topic }
            | Self::Subscription { topic, .. }
            | Self::Rules { topic, .. }
            | Self::Rule { topic, .. } => topic,
            _ => "",
        }
    }
}

/// The path, percent-encoded.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |name| utf8_percent_encode(name, ENCODE);
        match self {
            Self::Namespace => f.write_str("/$namespaceinfo"),
            Self::Queues => f.write_str("/$Resources/queues"),
            Self::Topics => f.write_str("/$Resources/topics"),
            Self::Entity(name) => write!(f, "/{}", encode(name)),
            Self::Subscriptions { topic } => write!(f, "/{}/subscriptions", encode(topic)),
            Self::Subscription { topic, name } => write!(f, "/{}/subscriptions/{}", encode(topic), encode(name)),
            Self::Rules { topic, subscription } => {
                write!(f, "/{}/subscriptions/{}/rules", encode(topic), encode(subscription))
            }
            Self::Rule { topic, subscription, name } => {
                write!(f, "/{}/subscriptions/{}/rules/{}", encode(topic), encode(subscription), encode(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn paths_go_both_ways() {
        let (topic, subscription) = (String::from("a/b"), String::from("s"));
        for (path, resource) in [
            ("/$namespaceinfo", Resource::Namespace),
            ("/$Resources/queues", Resource::Queues),
            ("/$Resources/topics", Resource::Topics),
            ("/q", Resource::Entity("q".into())),
            ("/a/b/subscriptions", Resource::Subscriptions { topic: topic.clone() }),
            ("/a/b/subscriptions/s", Resource::Subscription { topic: topic.clone(), name: "s".into() }),
            (
                "/a/b/subscriptions/s/rules",
                Resource::Rules { topic: topic.clone(), subscription: subscription.clone() },
            ),
            ("/a/b/subscriptions/s/rules/$Default", Resource::Rule { topic, subscription, name: "$Default".into() }),
            ("/subscriptions", Resource::Entity("subscriptions".into())),
            ("/a%20b%25%C3%A9", Resource::Entity("a b%é".into())),
        ] {
            assert_eq!(Resource::parse(path), Some(resource.clone()), "{path}");
            assert_eq!(resource.to_string(), path);
        }
        assert_eq!(Resource::parse("/%24Resources/Queues/"), Some(Resource::Queues));
        assert_eq!(
            Resource::parse("t/Subscriptions/s/Rules/r"),
            Some(Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "r".into() })
        );
        for none in ["", "/", "/$Resources", "/$Resources/eventhubs", "/%ff"] {
            assert_eq!(Resource::parse(none), None, "{none}");
        }
    }

    #[test]
    fn adm69_names_that_cannot_be_are_refused_before_sending() {
        for name in ["qq@", "qq/", "/qq", "qq\\", "qq?", "qq#", "", " ", "a//b", "a/../b", "..", "q\n"] {
            assert!(Resource::Entity(name.into()).validate().is_err(), "{name:?}");
        }
        let subscription = |name: &str| Resource::Subscription { topic: "t".into(), name: name.into() }.validate();
        assert_eq!(subscription("q/q"), Err(InvalidName::Character('/')));
        assert_eq!(subscription(&"s".repeat(51)), Err(InvalidName::TooLong(50)));
        assert_eq!(subscription(&"s".repeat(50)), Ok(()));
        assert_eq!(Resource::Entity("a/b.c-d_e".into()).validate(), Ok(()));
        assert_eq!(Resource::Entity("e".repeat(261)).validate(), Err(InvalidName::TooLong(260)));
        let rule = Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "$Default".into() };
        assert_eq!(rule.validate(), Ok(()));
    }
}
