//! Counts for people and for Prometheus: what is open, what waits where, what was done and refused.

use super::budget::Holding;
use super::entities::Namespace;
use super::entities::namespace::RuntimeCounts;
use super::entities::queue::Stores;
use super::entities::store::Store;
use super::protocol::link::Purpose;
use super::{Broker, NamespaceId, Statistics};
use core::fmt::{self, Write as _};
use servicebus_core::storage::Table;

/// What is open at a broker.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// broker.connect(clock);
/// let text = "1 connections, 0 links, 0 locked messages, 0 transactions";
/// assert_eq!(broker.open().to_string(), text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenCounts {
    /// Connections.
    pub connections: usize,
    /// Links, those to `$cbs` and `$management` among them.
    pub links: usize,
    /// Messages that are locked.
    pub locked_messages: usize,
    /// Transactions.
    pub transactions: usize,
}

impl fmt::Display for OpenCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, links, locked_messages, transactions } = self;
        write!(
            f,
            "{connections} connections, {links} links, {locked_messages} locked messages, {transactions} transactions"
        )
    }
}

/// The kinds of links, in the order of their counts.
const KINDS: [&str; 5] = ["sender", "receiver", "session-waiting", "request-response", "coordinator"];

/// The number of a kind.
fn kind(purpose: &Purpose) -> usize {
    match purpose {
        Purpose::Sender { .. } => 0,
        Purpose::Receiver(_) => 1,
        Purpose::Accepting { .. } => 2,
        Purpose::Requests(_) | Purpose::Responses(_) => 3,
        Purpose::Coordinator => 4,
    }
}

/// A queue or subscription with its counts.
struct Entity {
    path: String,
    counts: RuntimeCounts,
    locks: usize,
}

fn locks(namespace: &Namespace, stores: &Stores) -> usize {
    stores.all().iter().filter_map(|id| namespace.store(*id)).map(Store::lock_count).sum()
}

fn entities(namespace: &Namespace) -> Vec<Entity> {
    let mut all = Vec::new();
    let mut add = |path: String, stores: &Stores| {
        all.push(Entity { path, counts: namespace.counts(stores), locks: locks(namespace, stores) });
    };
    for queue in namespace.queues() {
        add(queue.name.clone(), &queue.stores);
    }
    for topic in namespace.topics() {
        for subscription in topic.subscriptions.values() {
            add(format!("{}/Subscriptions/{}", topic.name, subscription.name), &subscription.stores);
        }
    }
    for topic in namespace.topics() {
        all.push(Entity { path: topic.name.clone(), counts: namespace.topic_counts(topic), locks: 0 });
    }
    all
}

/// Writes metrics in Prometheus' text format.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // A string takes everything.
        _ = writeln!(self.0, "# HELP servicebus_{name} {help}\n# TYPE servicebus_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        _ = write!(self.0, "servicebus_{name}");
        for (number, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = write!(self.0, "{}{label}=\"{text}\"", if number == 0 { '{' } else { ',' });
        }
        _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

impl Broker {
    /// What is open.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// assert_eq!(broker.open(), OpenCounts::default());
    /// broker.connect(clock);
    /// assert_eq!(broker.open().connections, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self) -> OpenCounts {
        let namespaces = self.namespaces.all();
        let locks = namespaces.flat_map(|shared| entities(&shared.namespace)).map(|entity| entity.locks);
        OpenCounts {
            connections: self.peers.len(),
            links: self.namespaces.ids().flat_map(|id| self.links(id)).sum(),
            locked_messages: locks.sum(),
            transactions: self.open_transactions(),
        }
    }

    /// Links of each kind in a namespace.
    fn links(&self, namespace: NamespaceId) -> [usize; KINDS.len()] {
        let mut links = [0; KINDS.len()];
        let peers = (0..self.peers.end()).filter_map(|index| self.peers.get(index));
        for peer in peers.filter(|peer| peer.namespace == namespace) {
            for link in peer.links.iter().flatten() {
                if let Some(count) = links.get_mut(kind(&link.purpose)) {
                    *count += 1;
                }
            }
        }
        links
    }

    /// Bytes of the memory budget in use for one purpose, over all namespaces and outside of them.
    #[doc(hidden)]
    pub fn memory_used_for(&self, holding: Holding) -> usize {
        let namespaces = self.namespaces.all().map(|shared| shared.budget.used_for(holding));
        namespaces.sum::<usize>() + self.budget().used_for(holding)
    }

    /// Metrics of all namespaces in Prometheus' text format.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let page = broker.metrics();
    /// assert!(page.contains("servicebus_connections{namespace=\"sbemulatorns\"} 0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> String {
        self.page_of(None)
    }

    /// Metrics of a namespace in Prometheus' text format.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().namespace("archive").broker(clock)?;
    /// let page = broker.find_namespace("archive").map(|id| broker.metrics_of(id)).unwrap_or_default();
    /// assert!(page.contains("servicebus_connections{namespace=\"archive\"} 0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics_of(&self, id: NamespaceId) -> String {
        self.page_of(Some(id))
    }

    /// The metrics of one namespace, or of all and what is outside of them.
    fn page_of(&self, one: Option<NamespaceId>) -> String {
        let mut page = Page(String::new());
        let ids = self.namespaces.ids().filter(|id| one.is_none_or(|one| one == *id));
        let all: Vec<_> = ids.map(|id| (id, self.namespaces.get(id))).collect();
        let entities: Vec<(&str, Entity)> = all
            .iter()
            .flat_map(|(_, shared)| entities(&shared.namespace).into_iter().map(|it| (shared.namespace.name(), it)))
            .collect();
        page.family("connections", "gauge", "AMQP connections that are open.");
        for (_, shared) in &all {
            page.sample("connections", &[("namespace", shared.namespace.name())], shared.connections);
        }
        page.family("links", "gauge", "Links that are attached.");
        for (id, shared) in &all {
            for (kind, count) in KINDS.iter().zip(self.links(*id)) {
                page.sample("links", &[("namespace", shared.namespace.name()), ("kind", kind)], count as u64);
            }
        }
        page.family("transactions", "gauge", "Transactions that are open.");
        for (_, shared) in &all {
            let count = shared.transactions.len();
            page.sample("transactions", &[("namespace", shared.namespace.name())], count as u64);
        }
        page.family("messages", "gauge", "Messages in queues, topics and subscriptions.");
        for (namespace, Entity { path, counts, .. }) in &entities {
            for (state, count) in [
                ("active", counts.active),
                ("scheduled", counts.scheduled),
                ("dead-letter", counts.dead_letter),
                ("transfer-dead-letter", counts.transfer_dead_letter),
            ] {
                page.sample("messages", &[("namespace", namespace), ("entity", path), ("state", state)], count);
            }
        }
        page.family("message_bytes", "gauge", "Bytes of these messages.");
        for (namespace, Entity { path, counts, .. }) in &entities {
            page.sample("message_bytes", &[("namespace", namespace), ("entity", path)], counts.size_in_bytes);
        }
        page.family("locked_messages", "gauge", "Messages that are locked.");
        for (namespace, Entity { path, locks, .. }) in &entities {
            page.sample("locked_messages", &[("namespace", namespace), ("entity", path)], *locks as u64);
        }
        let budget = self.budget();
        page.family("memory_limit_bytes", "gauge", "Memory that clients can make the emulator hold.");
        page.sample("memory_limit_bytes", &[], budget.limit() as u64);
        page.family("memory_bytes", "gauge", "Memory that clients make the emulator hold, by purpose.");
        // What is held outside of namespaces has none: sockets and HTTP requests.
        let namespaces = all.iter().map(|(_, shared)| (shared.namespace.name(), &shared.budget));
        let outside = one.is_none().then_some(("", budget));
        for (namespace, budget) in namespaces.chain(outside) {
            for holding in Holding::ALL {
                let labels = [("namespace", namespace), ("for", holding.name())];
                page.sample("memory_bytes", &labels, budget.used_for(holding) as u64);
            }
        }
        page.family("operations_total", "counter", "Operations that were carried out.");
        for (_, shared) in &all {
            for (operation, count) in operations(shared.counted()) {
                let labels = [("namespace", shared.namespace.name()), ("operation", operation)];
                page.sample("operations_total", &labels, count);
            }
        }
        page.family("refusals_total", "counter", "Operations that were refused, by AMQP condition.");
        for (_, shared) in &all {
            for (condition, count) in &shared.refused {
                let labels = [("namespace", shared.namespace.name()), ("condition", *condition)];
                page.sample("refusals_total", &labels, *count);
            }
        }
        page.0
    }
}

/// Operations by name.
fn operations(counted: Statistics) -> [(&'static str, u64); 8] {
    let Statistics {
        connections_accepted,
        links_attached,
        tokens_put,
        tokens_refused,
        messages_sent,
        messages_delivered,
        settled_on_links,
        settled_by_management,
        management_requests,
        locks_renewed,
        ..
    } = counted;
    [
        ("connect", connections_accepted),
        ("attach", links_attached),
        ("put-token", tokens_put.saturating_sub(tokens_refused)),
        ("send", messages_sent),
        ("deliver", messages_delivered),
        ("settle", settled_on_links + settled_by_management),
        ("request", management_requests),
        ("renew-lock", locks_renewed),
    ]
}
