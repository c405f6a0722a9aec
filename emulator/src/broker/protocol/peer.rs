//! One connection: its engine, and what its links are for.

use super::access::Access;
use super::settlement::State;
use crate::broker::ConnectionId;
use crate::broker::entities::store::Taken;
use crate::broker::entities::{AuthorizationRule, Rights, StoreId};
use servicebus_core::engine::{Connection, DeliveryId, Handler, LinkId, SessionId, Subject};
use servicebus_core::servicebus::LockToken;
use servicebus_core::storage::Heap;
use servicebus_core::time::Instant;
use servicebus_core::wire;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::PerformativeView;
use servicebus_core::wire::sasl::{SaslCode, SaslInit};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a link is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Requests to `$cbs` or to a `$management` node.
    Requests(Node),
    /// Responses of such a node.
    Responses(Node),
    /// Messages into an entity.
    Sender {
        /// The key of the queue or topic.
        entity: String,
        /// The largest message in bytes.
        limit: u64,
    },
    /// Messages out of an entity.
    Receiver(Receiver),
    /// A receiver that waits for a session.
    Accepting {
        /// Where sessions are.
        store: StoreId,
        /// The number of the receiver to be.
        consumer: u64,
        /// When to give up.
        deadline: Instant,
        /// The wait as it is told when it is over.
        allotted: core::time::Duration,
        /// The attach to answer.
        attach: Vec<u8>,
    },
    /// Transactions.
    Coordinator,
}

/// A node that answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `$cbs`
    Cbs,
    /// `$management` of this address; empty for the namespace itself.
    Management(String),
}

/// A receiving client.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) store: StoreId,
    /// Its number among those who wait.
    pub(crate) consumer: u64,
    /// Receive-and-delete.
    pub(crate) settled: bool,
    /// The session it holds.
    pub(crate) session: Option<Arc<str>>,
    /// Messages that were taken for good and may not be on the wire yet.
    pub(crate) pending: VecDeque<(DeliveryId, Taken)>,
    /// The session's lock is gone: nothing is to be released any more.
    pub(crate) lost: bool,
}

/// A link of a client.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) session: SessionId,
    pub(crate) name: String,
    /// The client's own end: where responses are addressed to.
    pub(crate) own_address: Option<String>,
    /// The path that rights are checked on, in lower case; empty for nodes of the namespace.
    pub(crate) path: String,
    pub(crate) purpose: Purpose,
    /// When something last moved on it.
    pub(crate) active: Instant,
    /// A count of messages sent, for delivery-tags.
    pub(crate) tags: u32,
    /// It is being detached.
    pub(crate) closing: bool,
}

/// A message that is with a client, locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: DeliveryId,
    pub(crate) link: LinkId,
    pub(crate) store: StoreId,
    pub(crate) token: LockToken,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) engine: Connection<Heap>,
    pub(crate) access: Access,
    pub(crate) host: String,
    pub(crate) links: Vec<Option<Link>>,
    pub(crate) outgoing: Vec<Option<Outgoing>>,
    /// States that incoming messages came with, by the place of the delivery.
    incoming: Vec<Option<(DeliveryId, State)>>,
    /// It is in the list of connections that have something to send.
    pub(crate) ready: bool,
    /// The engine took no message: nothing is offered until the client has said something.
    pub(crate) stalled: bool,
    /// Some receiver was held back because much waits to be written.
    pub(crate) throttled: bool,
    pub(crate) connected: Instant,
    /// Whether `open` has been answered.
    pub(crate) opened: bool,
    /// Since when there is no link to an entity.
    pub(crate) linkless: Instant,
    pub(crate) had_links: bool,
    pub(crate) closed: bool,
    /// The timer that is set for it.
    pub(crate) timer: Option<Instant>,
}

impl Peer {
    pub(crate) fn new(id: ConnectionId, engine: Connection<Heap>, now: Instant) -> Self {
        Self {
            id,
            engine,
            access: Access::default(),
            host: String::new(),
            links: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            ready: false,
            stalled: false,
            throttled: false,
            connected: now,
            opened: false,
            linkless: now,
            had_links: false,
            closed: false,
            timer: None,
        }
    }

    pub(crate) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.index())?.as_ref().filter(|link| link.id == id)
    }

    pub(crate) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index())?.as_mut().filter(|link| link.id == id)
    }

    pub(crate) fn add_link(&mut self, link: Link) {
        let index = link.id.index();
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.links.get_mut(index) {
            *slot = Some(link);
        }
        self.had_links = true;
    }

    pub(crate) fn take_link(&mut self, id: LinkId) -> Option<Link> {
        self.link(id)?;
        self.links.get_mut(id.index())?.take()
    }

    /// Starts the time that a connection may go without links to entities, when the last one has gone.
    pub(crate) fn note_linkless(&mut self, now: Instant) {
        if !self.has_entity_links() {
            self.linkless = now;
        }
    }

    pub(crate) fn note_outgoing(&mut self, outgoing: Outgoing) {
        let index = outgoing.id.index();
        if self.outgoing.len() <= index {
            self.outgoing.resize(index + 1, None);
        }
        if let Some(slot) = self.outgoing.get_mut(index) {
            *slot = Some(outgoing);
        }
    }

    pub(crate) fn take_outgoing(&mut self, id: DeliveryId) -> Option<Outgoing> {
        let slot = self.outgoing.get_mut(id.index())?;
        if slot.is_some_and(|outgoing| outgoing.id == id) { slot.take() } else { None }
    }

    /// Keeps the state that a message came with.
    pub(crate) fn note_incoming(&mut self, id: DeliveryId, state: State) {
        let index = id.index();
        if self.incoming.len() <= index {
            self.incoming.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.incoming.get_mut(index) {
            *slot = Some((id, state));
        }
    }

    /// The state that a message came with.
    pub(crate) fn take_incoming(&mut self, id: DeliveryId) -> Option<State> {
        let slot = self.incoming.get_mut(id.index())?;
        slot.take().filter(|(of, _)| *of == id).map(|(_, state)| state)
    }

    /// Whether there is a link to an entity or to a `$management` node.
    pub(crate) fn has_entity_links(&self) -> bool {
        self.links
            .iter()
            .flatten()
            .any(|link| !matches!(link.purpose, Purpose::Requests(Node::Cbs) | Purpose::Responses(Node::Cbs)))
    }

    /// The link that a response goes out on: of the same node and session, best the one that was asked for
    /// (docs/evidence/wire-protocol.md §2.1, §5).
    pub(crate) fn response_link(&self, node: &Node, session: SessionId, reply_to: Option<&str>) -> Option<LinkId> {
        let all = || {
            self.links
                .iter()
                .flatten()
                .filter(|link| !link.closing && matches!(&link.purpose, Purpose::Responses(of) if of == node))
        };
        let named =
            |link: &&Link| reply_to.is_some_and(|name| link.name == name || link.own_address.as_deref() == Some(name));
        let here = |link: &&Link| link.session == session;
        all()
            .find(|link| here(link) && named(link))
            .or_else(|| all().find(here))
            .or_else(|| all().find(named))
            .or_else(|| all().next())
            .map(|link| link.id)
    }
}

/// Keeps what the engine shows of frames while it applies them.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    pub(crate) keys: &'a [AuthorizationRule],
    pub(crate) plain: Option<Rights>,
    pub(crate) host: Option<String>,
    pub(crate) attaches: Vec<(LinkId, Vec<u8>)>,
    pub(crate) states: Vec<(DeliveryId, LinkId, bool, State)>,
    pub(crate) flows: Vec<LinkId>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(keys: &'a [AuthorizationRule]) -> Self {
        Self { keys, plain: None, host: None, attaches: Vec::new(), states: Vec::new(), flows: Vec::new() }
    }
}

impl Handler for Recorder<'_> {
    fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
        if init.mechanism.as_str() != "PLAIN" {
            // The others say that a token follows.
            return SaslCode::Ok;
        }
        let mut parts = init.initial_response.unwrap_or_default().split(|byte| *byte == 0);
        let (_, name, key) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let rule = self.keys.iter().find(|rule| {
            rule.key_name.as_bytes() == name
                && !key.is_empty()
                && (rule.primary_key.as_bytes() == key || rule.secondary_key.as_bytes() == key)
        });
        match rule {
            Some(rule) => {
                self.plain = Some(rule.rights);
                SaslCode::Ok
            }
            None => SaslCode::Auth,
        }
    }

    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        match (subject, performative) {
            (_, PerformativeView::Open(open)) => self.host = open.hostname().map(str::to_owned),
            (Subject::Link(link), PerformativeView::Attach(attach)) => {
                if let Ok(attach) = attach.whole() {
                    self.attaches.push((link, wire::to_vec(&attach)));
                }
            }
            (Subject::Link(link), PerformativeView::Flow(_)) => self.flows.push(link),
            _ => {}
        }
    }

    fn state(&mut self, delivery: DeliveryId, link: LinkId, settled: bool, state: Option<&DeliveryState<'_>>) {
        self.states.push((delivery, link, settled, State::keep(state)));
    }
}
