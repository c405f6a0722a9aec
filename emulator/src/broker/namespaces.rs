//! The namespaces of a broker: the one that a connection or request is for, by the host that it names.

use super::budget::Budget;
use super::entities::{AuthorizationRule, Rights};
use super::protocol::access::plain_rights;
use super::shared::Shared;
use super::tier::{Limits, Tier};
use core::fmt;
use core::net::IpAddr;
use servicebus_core::random::Random;
use std::collections::HashMap;
use std::sync::Arc;

/// Names a namespace of a broker. They stay as long as it does.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// let default = NamespaceId::default();
/// assert_eq!(broker.namespace_of(default).name(), NamespaceConfig::DEFAULT_NAME);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(usize);

/// How a namespace behaves.
///
/// # Examples
/// ```
/// use servicebus_emulator::broker::{Broker, BrokerConfig, NamespaceConfig, Tier};
///
/// let shop = NamespaceConfig { tier: Tier::Premium, ..NamespaceConfig::named("shop") };
/// let broker = Broker::new(BrokerConfig { namespace: shop, ..BrokerConfig::default() }, 7);
/// assert_eq!(broker.namespace().name(), "shop");
/// ```
#[derive(Clone, Debug)]
pub struct NamespaceConfig {
    /// Its name: with several namespaces, clients choose it by the first label or labels of the host that they
    /// name.
    pub name: String,
    /// The pricing tier.
    pub tier: Tier,
    /// How much the namespace may hold; `None` for the limits of the tier.
    pub limits: Option<Limits>,
    /// Keys for the whole namespace.
    pub keys: Vec<AuthorizationRule>,
    /// Whether every transaction may span queues and topics. The service allows that only to clients that ask for it, and
    /// refuses it otherwise.
    pub cross_entity_transactions: bool,
}

impl NamespaceConfig {
    /// The name of the namespace of Microsoft's emulator.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::NamespaceConfig;
    /// assert_eq!(NamespaceConfig::default().name, NamespaceConfig::DEFAULT_NAME);
    /// ```
    pub const DEFAULT_NAME: &str = "sbemulatorns";

    /// A namespace of the Standard tier with the key name and key of Microsoft's emulator.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::NamespaceConfig;
    /// let archive = NamespaceConfig::named("archive");
    /// assert_eq!(archive.keys[0].key_name, "RootManageSharedAccessKey");
    /// ```
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tier: Tier::Standard,
            limits: None,
            keys: vec![AuthorizationRule {
                key_name: "RootManageSharedAccessKey".into(),
                primary_key: "SAS_KEY_VALUE".into(),
                secondary_key: String::new(),
                rights: Rights::ALL,
            }],
            cross_entity_transactions: false,
        }
    }

    /// Checks the name: labels of a host, since clients choose by it.
    ///
    /// # Errors
    /// [`InvalidNamespaceName`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::broker::NamespaceConfig;
    /// assert!(NamespaceConfig::named("orders.test").check_name().is_ok());
    /// assert!(NamespaceConfig::named("two words").check_name().is_err());
    /// ```
    pub fn check_name(&self) -> Result<(), InvalidNamespaceName> {
        let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        let is_label = |label: &str| !label.is_empty() && label.chars().all(is_allowed);
        let is_name = self.name.len() <= MAX_HOST && self.name.split('.').all(is_label);
        if is_name && self.name.parse::<IpAddr>().is_err() {
            Ok(())
        } else {
            Err(InvalidNamespaceName(self.name.clone()))
        }
    }
}

/// A name by which no client can choose a namespace.
///
/// # Examples
/// ```
/// # use servicebus_emulator::broker::NamespaceConfig;
/// let error = NamespaceConfig::named("").check_name().map_err(|error| error.to_string());
/// assert!(error.is_err_and(|text| text.starts_with("'' cannot be the name of a namespace")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNamespaceName(String);

impl fmt::Display for InvalidNamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' cannot be the name of a namespace: it must be the first label or labels of a host name, of letters, \
             digits, hyphens and underscores",
            self.0
        )
    }
}

impl core::error::Error for InvalidNamespaceName {}

impl Default for NamespaceConfig {
    /// The namespace, key name and key of Microsoft's emulator.
    fn default() -> Self {
        Self::named(Self::DEFAULT_NAME)
    }
}

/// The longest host name in bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 255;

/// A host without its port and without the dot of a full name, in lower case. An IPv6 address has colons of its own, in
/// brackets.
pub(crate) fn host_of(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The namespaces by name in lower case.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, NamespaceId>);

impl Names {
    /// The namespace that a host names as a whole or by its first labels, as many as a name has: the longest counts. An
    /// address has no labels.
    pub(crate) fn at_host(&self, host: &str) -> Option<NamespaceId> {
        let host = host_of(host);
        let named = |end: usize| self.0.get(host.get(..end)?).copied();
        let is_name = host.len() <= MAX_HOST && host.parse::<IpAddr>().is_err();
        let dots = host.rmatch_indices('.').filter(|_| is_name);
        named(host.len()).or_else(|| dots.map(|(at, _)| at).find_map(named))
    }
}

/// Every namespace. Their number is the configuration's: no client can add one.
#[derive(Debug)]
pub(crate) struct Namespaces {
    default: Shared,
    others: Vec<Shared>,
    names: Arc<Names>,
}

impl Namespaces {
    /// Of several with one name the first counts.
    pub(super) fn new(
        default: NamespaceConfig,
        mut others: Vec<NamespaceConfig>,
        accept_jwt: bool,
        budget: &Budget,
        seed: u64,
    ) -> Self {
        let mut names = Names(HashMap::from([(default.name.to_ascii_lowercase(), NamespaceId(0))]));
        others.retain(|config| {
            let id = NamespaceId(names.0.len());
            *names.0.entry(config.name.to_ascii_lowercase()).or_insert(id) == id
        });
        let names = Arc::new(names);
        let mut seeds = Random::seeded(seed);
        let make = |config, id, seed| {
            let mut shared = Shared::new(config, accept_jwt, budget.of_namespace(), seed);
            (shared.id, shared.names) = (id, Arc::clone(&names));
            shared
        };
        let default = make(default, NamespaceId(0), seed);
        let others = others.into_iter().enumerate();
        let others = others.map(|(at, config)| make(config, NamespaceId(at + 1), seeds.next())).collect();
        Self { default, others, names }
    }

    pub(super) fn get(&self, id: NamespaceId) -> &Shared {
        id.0.checked_sub(1).and_then(|at| self.others.get(at)).unwrap_or(&self.default)
    }

    pub(super) fn get_mut(&mut self, id: NamespaceId) -> &mut Shared {
        let other = id.0.checked_sub(1).and_then(|at| self.others.get_mut(at));
        other.unwrap_or(&mut self.default)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NamespaceId> + use<> {
        (0..=self.others.len()).map(NamespaceId)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Shared> {
        core::iter::once(&self.default).chain(&self.others)
    }

    /// The namespace of this name.
    pub(super) fn named(&self, name: &str) -> Option<NamespaceId> {
        self.names.0.get(&name.to_ascii_lowercase()).copied()
    }

    /// As [`Names::at_host`].
    pub(super) fn at_host(&self, host: &str) -> Option<NamespaceId> {
        self.names.at_host(host)
    }

    /// What a name and key in SASL PLAIN grant: in the namespace that the host names, else in that of the transport, else
    /// in each that has the key. `open` tells later which one counts.
    pub(crate) fn plain_rights(
        &self,
        host: &str,
        transport: Option<NamespaceId>,
        name: &[u8],
        key: &[u8],
    ) -> Vec<(NamespaceId, Rights)> {
        let named = self.names.at_host(host).or(transport);
        let candidates = self.ids().filter(|id| named.is_none_or(|named| named == *id));
        candidates.filter_map(|id| Some((id, plain_rights(&self.get(id).keys, name, key)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_namespaces_by_their_first_labels() {
        let others = ["a", "B.example", "a", "127", "a.b"].map(NamespaceConfig::named).to_vec();
        let all = Namespaces::new(NamespaceConfig::default(), others, true, &Budget::new(1 << 20), 1);
        let [default, a, b, number, below] = [0, 1, 2, 3, 4].map(NamespaceId);
        assert_eq!(all.ids().collect::<Vec<_>>(), [default, a, b, number, below]);
        for (host, id) in [
            ("a", Some(a)),
            ("A.servicebus.windows.net", Some(a)),
            ("a.localhost:5672", Some(a)),
            ("b.example", Some(b)),
            ("b.example:1", Some(b)),
            ("b.example.localhost:5672", Some(b)),
            ("b.example.servicebus.windows.net.", Some(b)),
            ("b.examples", None),
            ("a.b.localhost", Some(below)),
            ("a.bc.localhost", Some(a)),
            ("a.", Some(a)),
            ("127.0.0.1:5672", None),
            ("127.localhost", Some(number)),
            ("b", None),
            ("localhost", None),
            ("[::1]:5672", None),
            ("", None),
            ("sbemulatorns.servicebus.windows.net", Some(default)),
        ] {
            assert_eq!(all.at_host(host), id, "{host}");
        }
        assert_eq!((all.named("A"), all.named("x")), (Some(a), None));
        assert_eq!(all.get(b).namespace.name, "B.example");
    }
}
