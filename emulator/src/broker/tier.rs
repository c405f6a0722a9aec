//! The pricing tier of a namespace, and the limits that follow from it.
// docs/evidence/wire-protocol.md §8

use core::fmt;
use core::str::FromStr;

/// The pricing tier of a namespace.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::Tier;
///
/// let tier: Tier = "premium".parse()?;
/// let needs_messaging_units = match tier {
///     Tier::Standard => false,
///     Tier::Premium => true,
/// };
/// assert!(needs_messaging_units);
/// # Ok::<(), servicebus_emulator::broker::UnknownTier>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Messages of 256 KB, partitioned and express entities.
    #[default]
    Standard,
    /// One messaging unit: messages of 1 MB, up to 100 MB where an entity is created so; JMS 2.0.
    Premium,
}

impl Tier {
    /// The largest message of an entity that is created without a size, in KB.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert_eq!(Tier::Standard.default_message_kilobytes(), 256);
    /// ```
    pub const fn default_message_kilobytes(self) -> u64 {
        match self {
            Self::Standard => 256,
            Self::Premium => 1_024,
        }
    }

    /// Whether an entity can be created with this largest message.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert!(Tier::Premium.takes_message_kilobytes(102_400));
    /// assert!(!Tier::Standard.takes_message_kilobytes(1_024));
    /// ```
    // docs/evidence/field-reports.md F24, docs/evidence/pinned-behaviour.md ADM29
    pub const fn takes_message_kilobytes(self, kilobytes: u64) -> bool {
        match self {
            Self::Standard => kilobytes == 256,
            Self::Premium => 1_024 <= kilobytes && kilobytes <= 102_400,
        }
    }

    /// The sizes that an entity can have, in MB.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert_eq!(Tier::Standard.entity_megabytes().last(), Some(&5_120));
    /// ```
    pub const fn entity_megabytes(self) -> &'static [u64] {
        match self {
            Self::Standard => &[1_024, 2_048, 3_072, 4_096, 5_120],
            Self::Premium => &[1_024, 2_048, 3_072, 4_096, 5_120, 10_240, 20_480, 40_960, 81_920],
        }
    }

    /// Messages that one `batch-delete-messages` request removes at most.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert_eq!((Tier::Standard.batch_delete(), Tier::Premium.batch_delete()), (500, 4_000));
    /// ```
    // docs/evidence/field-reports.md F21
    pub const fn batch_delete(self) -> u32 {
        match self {
            Self::Standard => 500,
            Self::Premium => 4_000,
        }
    }

    /// Whether single entities can be partitioned or express ones. In the Premium tier a namespace is partitioned as a
    /// whole when it is created, and express entities do not exist.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert!(!Tier::Premium.has_partitioned_and_express_entities());
    /// ```
    pub const fn has_partitioned_and_express_entities(self) -> bool {
        matches!(self, Self::Standard)
    }

    /// How much a namespace may hold.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::Tier;
    /// assert_eq!(Tier::Standard.limits().entities, 10_000);
    /// ```
    pub const fn limits(self) -> Limits {
        Limits {
            entities: match self {
                Self::Standard => 10_000,
                Self::Premium => 1_000,
            },
            subscriptions: 2_000,
            sql_filters: 2_000,
            correlation_filters: 100_000,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "Standard",
            Self::Premium => "Premium",
        })
    }
}

/// A text that names no tier.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::{Tier, UnknownTier};
///
/// let tier: Result<Tier, UnknownTier> = "basic".parse();
/// assert_eq!(tier.map_err(|error| error.to_string()), Err("'basic' is neither standard nor premium".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTier(String);

impl fmt::Display for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is neither standard nor premium", self.0)
    }
}

impl core::error::Error for UnknownTier {}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        [Self::Standard, Self::Premium]
            .into_iter()
            .find(|tier| text.eq_ignore_ascii_case(&tier.to_string()))
            .ok_or_else(|| UnknownTier(text.to_owned()))
    }
}

/// How much a namespace may hold: by default what its tier allows.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::{NamespaceConfig, NamespaceLimits, Tier};
///
/// let limits = NamespaceLimits { entities: 10, ..Tier::Standard.limits() };
/// let small = NamespaceConfig { limits: Some(limits), ..NamespaceConfig::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Queues and topics.
    pub entities: usize,
    /// Subscriptions of a topic.
    pub subscriptions: usize,
    /// SQL filters of all subscriptions of a topic, those that are always true or false included.
    pub sql_filters: usize,
    /// Correlation filters of all subscriptions of a topic.
    pub correlation_filters: usize,
}

impl Limits {
    /// No limits, for tests beyond what a tier allows.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::{NamespaceConfig, NamespaceLimits};
    /// let large = NamespaceConfig { limits: Some(NamespaceLimits::LIFTED), ..NamespaceConfig::default() };
    /// # assert!(large.limits.is_some());
    /// ```
    pub const LIFTED: Self = Self {
        entities: usize::MAX,
        subscriptions: usize::MAX,
        sql_filters: usize::MAX,
        correlation_filters: usize::MAX,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tiers_know_no_case() {
        for text in ["standard", "Standard", "STANDARD"] {
            assert_eq!(text.parse(), Ok(Tier::Standard));
        }
        assert_eq!("premium".parse(), Ok(Tier::Premium));
        let error = "basic".parse::<Tier>().unwrap_err();
        assert_eq!(error.to_string(), "'basic' is neither standard nor premium");
    }

    #[test]
    fn the_default_size_of_messages_is_one_that_can_be_asked_for() {
        for tier in [Tier::Standard, Tier::Premium] {
            assert!(tier.takes_message_kilobytes(tier.default_message_kilobytes()));
        }
    }
}
