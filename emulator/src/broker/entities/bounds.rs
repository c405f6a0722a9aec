//! What clients can set on entities: the service's bounds, by tier. The configuration file and the builder are freer
//! ([`QueueDescription::validate`]), since tests need short lives and small entities.

use super::description::{
    AuthorizationRule, MAX_DELIVERY_COUNT, QueueDescription, SubscriptionDescription, TopicDescription,
};
use crate::broker::tier::Tier;
use core::fmt;
use servicebus_core::time::Duration;

/// Most keys of one entity.
const MAX_KEYS: usize = 12;
/// Most characters of the user's own text.
const MAX_METADATA: usize = 1_024;
/// The longest lock.
const LONGEST_LOCK: Duration = Duration::from_secs(300);
/// The shortest idle time.
const SHORTEST_IDLE: Duration = Duration::from_secs(300);

/// A setting that a client cannot have, displayed in the service's words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutOfBounds {
    /// A lock of more than five minutes.
    LockTooLong(Duration),
    /// A lock of no time.
    NoLock,
    /// A number of deliveries that is none.
    DeliveryCount(u32),
    /// Lives of less than a second.
    TimeToLive,
    /// A text of more than 1 024 characters.
    UserMetadata,
    /// A size that the tier does not have.
    EntitySize {
        /// In MB.
        asked: u64,
        /// Those that it has.
        sizes: &'static [u64],
    },
    /// A largest message that the tier does not have.
    MessageSize {
        /// In KB.
        asked: u64,
        /// The tier.
        tier: Tier,
    },
    /// An express entity where the tier has none.
    Express,
    /// A partitioned entity where the tier has none.
    Partitioned,
    /// A window of less than 20 seconds or more than seven days.
    DuplicateWindow,
    /// An idle time of less than five minutes.
    Idle,
    /// Sessions and forwarding.
    // docs/evidence/pinned-behaviour.md FWD11
    SessionsAndForwarding,
    /// More than twelve keys.
    TooManyKeys,
    /// A key without a name, or with that of another one.
    KeyName(String),
    /// A key without rights, or with the right to manage alone.
    KeyRights(String),
}

impl OutOfBounds {
    /// The setting and its value, where the service tells them.
    pub fn parameter(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::LockTooLong(lock) => ("LockDuration", dotnet(*lock)),
            Self::NoLock => ("LockDuration", dotnet(Duration::ZERO)),
            Self::DeliveryCount(count) => ("MaxDeliveryCount", count.to_string()),
            Self::MessageSize { asked, tier: Tier::Premium } => ("MaxMessageSizeInKilobytes", asked.to_string()),
            Self::Express => ("EnableExpress", "True".into()),
            Self::Partitioned => ("EnablePartitioning", "True".into()),
            _ => return None,
        })
    }

    /// Whether the service refuses it without a reason.
    // docs/evidence/field-reports.md F22; Azure/ResourceModules#2629
    pub fn is_unexplained(&self) -> bool {
        matches!(self, Self::SessionsAndForwarding | Self::MessageSize { tier: Tier::Standard, .. })
    }
}

/// A span as .NET prints it: `[d.]hh:mm:ss[.fffffff]`.
fn dotnet(span: Duration) -> String {
    let seconds = span.as_secs();
    let days = if seconds >= 86_400 { format!("{}.", seconds / 86_400) } else { String::new() };
    let fraction = span.subsec_nanos() / 100;
    let fraction = if fraction > 0 { format!(".{fraction:07}") } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}{fraction}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockTooLong(_) => {
                f.write_str("The supplied lock time exceeds the allowed maximum of '5' minutes.")
            }
            Self::NoLock => f.write_str("The lock time must be greater than zero."),
            Self::DeliveryCount(_) => write!(
                f,
                "The value of the property 'MaxDeliveryCount' must be between 1 and {MAX_DELIVERY_COUNT}."
            ),
            Self::TimeToLive => {
                f.write_str("The value of the property 'DefaultMessageTimeToLive' must be at least 1 second.")
            }
            Self::UserMetadata => {
                f.write_str("The value of the property 'UserMetadata' must not exceed 1024 characters.")
            }
            Self::EntitySize { asked, sizes } => {
                let sizes: Vec<_> = sizes.iter().map(u64::to_string).collect();
                write!(
                    f,
                    "The specified value {asked} is invalid. The property 'MaxSizeInMegabytes', must be one of the \
                     following values: {}.",
                    sizes.join(";")
                )
            }
            Self::MessageSize { tier, .. } => write!(
                f,
                "The property value for 'MaxMessageSizeInKilobytes' must be {} when the namespace is using '{tier}' tier.",
                match tier {
                    Tier::Standard => "256",
                    Tier::Premium => "between 1024 and 102400",
                }
            ),
            Self::Express => f.write_str("Express entities are not supported in the Premium tier."),
            Self::Partitioned => f.write_str(
                "Partitioned entities are not allowed in a non-partitioned namespace of the Premium tier.",
            ),
            Self::DuplicateWindow => f.write_str(
                "The value of the property 'DuplicateDetectionHistoryTimeWindow' must be between 20 seconds and 7 days.",
            ),
            Self::Idle => f.write_str("The value of the property 'AutoDeleteOnIdle' must be at least 5 minutes."),
            Self::SessionsAndForwarding => {
                f.write_str("An entity that requires sessions cannot forward its messages.")
            }
            Self::TooManyKeys => write!(f, "An entity cannot have more than {MAX_KEYS} authorization rules."),
            Self::KeyName(name) => {
                write!(f, "The key name '{name}' of an authorization rule is empty or used twice.")
            }
            Self::KeyRights(name) => write!(
                f,
                "The authorization rule '{name}' must have rights, and 'Manage' requires 'Send' and 'Listen'."
            ),
        }
    }
}

impl core::error::Error for OutOfBounds {}

fn refuse_if(refused: bool, why: OutOfBounds) -> Result<(), OutOfBounds> {
    if refused { Err(why) } else { Ok(()) }
}

fn check_lock(lock: Duration) -> Result<(), OutOfBounds> {
    refuse_if(lock > LONGEST_LOCK, OutOfBounds::LockTooLong(lock))?;
    refuse_if(lock.is_zero(), OutOfBounds::NoLock)
}

fn check_deliveries(count: u32) -> Result<(), OutOfBounds> {
    refuse_if(!(1..=MAX_DELIVERY_COUNT).contains(&count), OutOfBounds::DeliveryCount(count))
}

fn check_lives(
    time_to_live: Option<Duration>,
    idle: Option<Duration>,
    metadata: Option<&String>,
) -> Result<(), OutOfBounds> {
    refuse_if(time_to_live.is_some_and(|life| life < Duration::from_secs(1)), OutOfBounds::TimeToLive)?;
    refuse_if(idle.is_some_and(|idle| idle < SHORTEST_IDLE), OutOfBounds::Idle)?;
    refuse_if(metadata.is_some_and(|text| text.chars().count() > MAX_METADATA), OutOfBounds::UserMetadata)
}

fn check_sizes(megabytes: u64, kilobytes: Option<u64>, tier: Tier) -> Result<(), OutOfBounds> {
    let sizes = tier.entity_megabytes();
    refuse_if(!sizes.contains(&megabytes), OutOfBounds::EntitySize { asked: megabytes, sizes })?;
    match kilobytes {
        Some(asked) if !tier.takes_message_kilobytes(asked) => Err(OutOfBounds::MessageSize { asked, tier }),
        _ => Ok(()),
    }
}

fn check_window(window: Duration) -> Result<(), OutOfBounds> {
    let allowed = Duration::from_secs(20)..=Duration::from_secs(7 * 86_400);
    refuse_if(!allowed.contains(&window), OutOfBounds::DuplicateWindow)
}

fn check_kind(partitioned: bool, express: bool, tier: Tier) -> Result<(), OutOfBounds> {
    let has = tier.has_partitioned_and_express_entities();
    refuse_if(partitioned && !has, OutOfBounds::Partitioned)?;
    refuse_if(express && !has, OutOfBounds::Express)
}

fn check_keys(rules: &[AuthorizationRule]) -> Result<(), OutOfBounds> {
    refuse_if(rules.len() > MAX_KEYS, OutOfBounds::TooManyKeys)?;
    for (at, rule) in rules.iter().enumerate() {
        let name = &rule.key_name;
        let mut before = rules.iter().take(at);
        let is_taken = before.any(|other| other.key_name.eq_ignore_ascii_case(name));
        refuse_if(name.is_empty() || is_taken, OutOfBounds::KeyName(name.clone()))?;
        let rights = rule.rights;
        let is_partial = rights.manage && !(rights.send && rights.listen);
        let is_none = !(rights.manage || rights.send || rights.listen);
        refuse_if(is_none || is_partial, OutOfBounds::KeyRights(name.clone()))?;
    }
    Ok(())
}

impl QueueDescription {
    /// Checks what a client sets; `is_new` unless it changes a queue.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    #[doc(hidden)]
    pub fn check_bounds(&self, tier: Tier, is_new: bool) -> Result<(), OutOfBounds> {
        check_kind(self.enable_partitioning && is_new, self.enable_express && is_new, tier)?;
        refuse_if(self.requires_session && self.forward_to.is_some(), OutOfBounds::SessionsAndForwarding)?;
        check_lock(self.lock_duration)?;
        check_sizes(self.max_size_in_megabytes, self.max_message_size_in_kilobytes, tier)?;
        check_lives(self.default_message_time_to_live, self.auto_delete_on_idle, self.user_metadata.as_ref())?;
        check_window(self.duplicate_detection_history_time_window)?;
        check_deliveries(self.max_delivery_count)?;
        check_keys(&self.authorization_rules)
    }
}

impl TopicDescription {
    /// As [`QueueDescription::check_bounds`].
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    #[doc(hidden)]
    pub fn check_bounds(&self, tier: Tier, is_new: bool) -> Result<(), OutOfBounds> {
        check_kind(self.enable_partitioning && is_new, self.enable_express && is_new, tier)?;
        check_sizes(self.max_size_in_megabytes, self.max_message_size_in_kilobytes, tier)?;
        check_lives(self.default_message_time_to_live, self.auto_delete_on_idle, self.user_metadata.as_ref())?;
        check_window(self.duplicate_detection_history_time_window)?;
        check_keys(&self.authorization_rules)
    }
}

impl SubscriptionDescription {
    /// As [`QueueDescription::check_bounds`].
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    #[doc(hidden)]
    pub fn check_bounds(&self) -> Result<(), OutOfBounds> {
        refuse_if(self.requires_session && self.forward_to.is_some(), OutOfBounds::SessionsAndForwarding)?;
        check_lock(self.lock_duration)?;
        check_lives(self.default_message_time_to_live, self.auto_delete_on_idle, self.user_metadata.as_ref())?;
        check_deliveries(self.max_delivery_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::entities::Rights;

    #[test]
    fn the_defaults_are_within_the_bounds_of_both_tiers() {
        for tier in [Tier::Standard, Tier::Premium] {
            assert_eq!(QueueDescription::default().check_bounds(tier, true), Ok(()));
            assert_eq!(TopicDescription::default().check_bounds(tier, true), Ok(()));
        }
        assert_eq!(SubscriptionDescription::default().check_bounds(), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_its_value() {
        let of = |change: fn(&mut QueueDescription)| {
            let mut queue = QueueDescription::default();
            change(&mut queue);
            queue.check_bounds(Tier::Standard, true).unwrap_err()
        };
        let lock = of(|queue| queue.lock_duration = Duration::from_secs(301));
        assert_eq!(lock.parameter(), Some(("LockDuration", "00:05:01".into())));
        let count = of(|queue| queue.max_delivery_count = 0);
        assert_eq!(count.parameter(), Some(("MaxDeliveryCount", "0".into())));
        let size = of(|queue| queue.max_size_in_megabytes = 1);
        assert!(size.to_string().ends_with("values: 1024;2048;3072;4096;5120."), "{size}");
        let message = of(|queue| queue.max_message_size_in_kilobytes = Some(1_024));
        assert!(message.is_unexplained() && message.parameter().is_none());
        let key = of(|queue| {
            let rights = Rights { manage: true, ..Rights::SEND };
            queue.authorization_rules = vec![AuthorizationRule {
                key_name: "k".into(),
                primary_key: "p".into(),
                secondary_key: String::new(),
                rights,
            }];
        });
        assert_eq!(key, OutOfBounds::KeyRights("k".into()));
    }

    #[test]
    fn spans_are_printed_as_dotnet_prints_them() {
        assert_eq!(dotnet(Duration::from_secs(25 * 86_400)), "25.00:00:00");
        assert_eq!(dotnet(Duration::from_secs(301)), "00:05:01");
        assert_eq!(dotnet(Duration::from_millis(400_500)), "00:06:40.5000000");
    }
}
