//! Counts for people and for Prometheus: what is open, what waits where, what was done and refused.

use super::budget::Holding;
use super::entities::Namespace;
use super::entities::namespace::RuntimeCounts;
use super::entities::queue::Stores;
use super::entities::store::Store;
use super::protocol::peer::Purpose;
use super::{Broker, Statistics};
use core::fmt::{self, Write as _};
use servicebus_core::storage::Table;

/// What is open at a broker.
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
    pub fn open(&self) -> OpenCounts {
        OpenCounts {
            connections: self.peers.len(),
            links: self.links().iter().sum(),
            locked_messages: entities(&self.shared.namespace).iter().map(|entity| entity.locks).sum(),
            transactions: self.open_transactions(),
        }
    }

    /// Links of each kind.
    fn links(&self) -> [usize; KINDS.len()] {
        let mut links = [0; KINDS.len()];
        for peer in (0..self.peers.end()).filter_map(|index| self.peers.get(index)) {
            for link in peer.links.iter().flatten() {
                if let Some(count) = links.get_mut(kind(&link.purpose)) {
                    *count += 1;
                }
            }
        }
        links
    }

    /// Metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let mut page = Page(String::new());
        page.family("connections", "gauge", "AMQP connections that are open.");
        page.sample("connections", &[], self.peers.len() as u64);
        page.family("links", "gauge", "Links that are attached.");
        for (kind, count) in KINDS.iter().zip(self.links()) {
            page.sample("links", &[("kind", kind)], count as u64);
        }
        page.family("transactions", "gauge", "Transactions that are open.");
        page.sample("transactions", &[], self.open_transactions() as u64);
        let entities = entities(&self.shared.namespace);
        page.family("messages", "gauge", "Messages in queues, topics and subscriptions.");
        for Entity { path, counts, .. } in &entities {
            for (state, count) in [
                ("active", counts.active),
                ("scheduled", counts.scheduled),
                ("dead-letter", counts.dead_letter),
                ("transfer-dead-letter", counts.transfer_dead_letter),
            ] {
                page.sample("messages", &[("entity", path), ("state", state)], count);
            }
        }
        page.family("message_bytes", "gauge", "Bytes of these messages.");
        for Entity { path, counts, .. } in &entities {
            page.sample("message_bytes", &[("entity", path)], counts.size_in_bytes);
        }
        page.family("locked_messages", "gauge", "Messages that are locked.");
        for Entity { path, locks, .. } in &entities {
            page.sample("locked_messages", &[("entity", path)], *locks as u64);
        }
        let budget = self.budget();
        page.family("memory_limit_bytes", "gauge", "Memory that clients can make the emulator hold.");
        page.sample("memory_limit_bytes", &[], budget.limit() as u64);
        page.family("memory_bytes", "gauge", "Memory that clients make the emulator hold, by purpose.");
        for holding in Holding::ALL {
            page.sample("memory_bytes", &[("for", holding.name())], budget.used_for(holding) as u64);
        }
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
        } = self.statistics();
        page.family("operations_total", "counter", "Operations that were carried out.");
        for (operation, count) in [
            ("connect", connections_accepted),
            ("attach", links_attached),
            ("put-token", tokens_put.saturating_sub(tokens_refused)),
            ("send", messages_sent),
            ("deliver", messages_delivered),
            ("settle", settled_on_links + settled_by_management),
            ("request", management_requests),
            ("renew-lock", locks_renewed),
        ] {
            page.sample("operations_total", &[("operation", operation)], count);
        }
        page.family("refusals_total", "counter", "Operations that were refused, by AMQP condition.");
        for (condition, count) in &self.shared.refused {
            page.sample("refusals_total", &[("condition", condition)], *count);
        }
        page.0
    }
}
