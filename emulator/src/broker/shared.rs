//! One namespace of a broker: what its connections share.

use super::attachments::Attachments;
use super::budget::Budget;
use super::consumers::Consumers;
use super::entities::{AuthorizationRule, Namespace, StoreId};
use super::faults::Faults;
use super::namespaces::{Names, NamespaceConfig, NamespaceId, host_of};
use super::protocol::access::SigningKey;
use super::protocol::fault::{Fault, Refusal, Tracker};
use super::protocol::link::Link;
use super::protocol::peer::Peer;
use super::signals::Update;
use super::statistics::Statistics;
use super::transactions::Transactions;
use super::{Clock, ConnectionId};
use crate::management::Management;
use servicebus_core::engine::LinkId;
use servicebus_core::random::Random;
use servicebus_core::servicebus::{Address, Reason};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Sets the randomness of the management endpoint apart from that of the connections.
const MANAGEMENT_SEED: u64 = 0x6d61_6e61_6765;

/// Entities, those who wait for them, and what is counted.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NamespaceId,
    /// The names of all namespaces.
    pub(crate) names: Arc<Names>,
    pub(crate) namespace: Namespace,
    pub(crate) tracker: Tracker,
    pub(crate) random: Random,
    pub(crate) statistics: Statistics,
    /// Connections that are open.
    pub(crate) connections: u64,
    /// Refusals by condition.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) faults: Faults,
    pub(crate) transactions: Transactions,
    pub(crate) keys: Vec<AuthorizationRule>,
    pub(crate) accept_jwt: bool,
    pub(crate) budget: Budget,
    next_link: u64,
    pub(crate) consumers: Consumers<(ConnectionId, LinkId)>,
    pub(crate) attachments: Attachments<(ConnectionId, LinkId)>,
    pub(crate) management: Management,
    /// Updates of entities whose links are still to be detached, in order.
    pub(crate) updates: VecDeque<Update>,
}

impl Shared {
    pub(crate) fn new(config: NamespaceConfig, accept_jwt: bool, budget: Budget, seed: u64) -> Self {
        let NamespaceConfig { name, tier, limits, keys, cross_entity_transactions } = config;
        let mut transactions = Transactions::default();
        transactions.span_entities = cross_entity_transactions;
        let mut random = Random::seeded(seed);
        let mut namespace = Namespace::new(random.next());
        namespace.set_tier(tier, limits);
        let management = Management::new(&name, Random::seeded(seed ^ MANAGEMENT_SEED).next());
        namespace.name.clone_from(&name);
        namespace.budget = budget.clone();
        let consumers = Consumers::new(namespace.work().clone());
        let attachments = Attachments::new(namespace.work().clone());
        Self {
            id: NamespaceId::default(),
            names: Arc::default(),
            namespace,
            tracker: Tracker::new(name, random.next()),
            random,
            statistics: Statistics::default(),
            connections: 0,
            refused: BTreeMap::new(),
            faults: Faults::default(),
            transactions,
            keys,
            accept_jwt,
            budget,
            next_link: 0,
            consumers,
            attachments,
            management,
            updates: VecDeque::new(),
        }
    }

    /// Whether a token for this host is one for the namespace: where there are several, it names this one, or the client
    /// calls this one so.
    pub(crate) fn is_own_host(&self, host: &str, peer: &Peer) -> bool {
        self.names.at_host(host).unwrap_or_default() == self.id || host == host_of(&peer.host)
    }

    /// The number of the next attach.
    pub(crate) fn next_link(&mut self) -> u64 {
        self.next_link += 1;
        self.next_link
    }

    /// The number that the next attach will have.
    pub(crate) fn coming_link(&self) -> u64 {
        self.next_link + 1
    }

    /// What was counted, connections left out.
    pub(crate) fn counted(&self) -> Statistics {
        Statistics {
            filters_evaluated: self.namespace.filters_evaluated,
            entries_touched: self.namespace.entries_touched(),
            ..self.statistics
        }
    }

    /// A link that works, or waits for a session.
    pub(crate) fn add_link(&mut self, peer: &mut Peer, link: Link) {
        if !link.path.is_empty() {
            self.attachments.add(&link.path, link.number, (peer.id, link.id));
        }
        peer.add_link(link);
    }

    /// Takes a link away.
    pub(crate) fn take_link(&mut self, peer: &mut Peer, id: LinkId) -> Option<Link> {
        let link = peer.take_link(id)?;
        self.attachments.remove(&link.path, link.number);
        Some(link)
    }

    /// A receiver is gone.
    pub(crate) fn forget_consumer(&mut self, consumer: u64, clock: Clock) {
        if let Some(store) = self.consumers.remove(consumer) {
            self.note_awaited(store, clock);
        }
    }

    /// Tells a store whether a receiver waits for its messages.
    pub(crate) fn note_awaited(&mut self, store: StoreId, clock: Clock) {
        let awaited = self.consumers.is_awaited(store);
        self.namespace.set_awaited(store, awaited, clock.utc);
    }

    /// Whether a receiver is on this connection.
    pub(crate) fn holder_is(&self, consumer: u64, connection: ConnectionId) -> bool {
        self.consumers.place(consumer).is_some_and(|(of, _)| of == connection)
    }

    /// The keys that can sign tokens for an entity: the namespace's and its own.
    pub(crate) fn signing_keys(&self, entity: &str) -> Vec<SigningKey> {
        let mut keys: Vec<SigningKey> =
            self.keys.iter().map(|rule| SigningKey { rule: rule.clone(), scope: String::new() }).collect();
        let own = match (self.namespace.queue(entity), self.namespace.topic(entity)) {
            (Some(queue), _) => &queue.description.authorization_rules[..],
            (None, Some(topic)) => &topic.description.authorization_rules[..],
            (None, None) => &[],
        };
        let scope = super::entities::name::key(entity);
        keys.extend(own.iter().map(|rule| SigningKey { rule: rule.clone(), scope: scope.clone() }));
        keys
    }

    /// A refusal with the tracking block of the entity on this path, or of the gateway for none.
    pub(crate) fn fault(&mut self, refusal: Refusal, path: &str, clock: Clock) -> Fault {
        let condition = refusal.reason.condition();
        *self.refused.entry(condition).or_default() += 1;
        if refusal.is_orderly {
            tracing::info!(condition, reason = refusal.text, "closed");
        } else {
            tracing::warn!(entity = path, condition, reason = refusal.text, "refused");
        }
        let address = Address::parse(path);
        let tracker = if path.is_empty() || refusal.reason == Reason::Unauthorized {
            None
        } else if self.namespace.topic(address.entity).is_some() {
            Some(match address.subscription {
                Some(subscription) => format!("Topic:{}|{subscription}", address.entity),
                None => format!("Topic:{}", address.entity),
            })
        } else {
            Some(format!("Queue:{}", address.entity))
        };
        self.tracker.fault(refusal, tracker.as_deref(), clock.utc)
    }

    /// A text with the gateway's tracking block.
    pub(crate) fn tracked(&mut self, text: String, clock: Clock) -> String {
        self.tracker.fault(Refusal::new(Reason::Other, text), None, clock.utc).description
    }

    /// The refusal that was asked for next, if any.
    pub(crate) fn injected(&mut self) -> Option<Refusal> {
        let reason = self.faults.take_operation()?;
        Some(self.injected_refusal(reason))
    }

    /// A refusal on request; that of an operation that is throttled in the service's words.
    // docs/evidence/service-evidence.md §5
    pub(crate) fn injected_refusal(&self, reason: Reason) -> Refusal {
        let text = match reason {
            Reason::ServerBusy => format!(
                "The request was terminated because the namespace {} is being throttled. Error code : 50009. Please \
                 wait 2 seconds and try again. To know more visit https://aka.ms/sbResourceMgrExceptions",
                self.tracker.namespace()
            ),
            other => format!("The operation was refused on request: {}.", other.condition()),
        };
        Refusal::new(reason, text)
    }
}
