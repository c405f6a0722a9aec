//! One connection: its engine, and what its links are for.

use super::access::Access;
use super::link::{Link, Node, Outgoing, Purpose, Receiver};
use super::link_index::LinkIndex;
use super::settlement::State;
use crate::broker::attachments::Attachment;
use crate::broker::budget::{Budget, Holding, OverBudget, Share};
use crate::broker::entities::store::Taken;
use crate::broker::entities::{Rights, StoreId};
use crate::broker::work::Work;
use crate::broker::{ConnectionId, NamespaceId};
use servicebus_core::engine::{Connection, DeliveryId, EngineError, LinkId, SessionId};
use servicebus_core::storage::Heap;
use servicebus_core::time::Instant;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::Role;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What an AMQP session takes.
const SESSION: usize = 256;
/// What a connection takes beside its buffers and links.
const CONNECTION: usize = 4_096;
/// Messages at most that a connection's client has and has not settled.
pub(crate) const MAX_UNSETTLED: usize = 100_000;

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) engine: Connection<Heap>,
    pub(crate) access: Access,
    /// Whose entities it uses.
    pub(crate) namespace: NamespaceId,
    /// The one that the transport names: that of the TLS handshake, or of the request that opened a WebSocket.
    pub(crate) transport: Option<NamespaceId>,
    /// The host of `open`.
    pub(crate) host: String,
    /// Whether `open` has told the namespace.
    entered: bool,
    /// What SASL PLAIN grants, by namespace.
    plain: Vec<(NamespaceId, Rights)>,
    pub(crate) links: Vec<Option<Link>>,
    pub(super) index: LinkIndex,
    /// Paths whose token has ended, each with the last link below it that was looked at.
    pub(crate) ended_tokens: VecDeque<(Arc<str>, Option<Attachment>)>,
    outgoing: Vec<Option<Outgoing>>,
    /// How many there are.
    unsettled: usize,
    /// Links with messages that were taken for good and may not be on the wire yet.
    links_with_taken: Vec<LinkId>,
    /// Receivers that get messages when there is room.
    held_back: Vec<LinkId>,
    /// Links to entities and to `$management` nodes.
    entity_links: usize,
    /// When links have to be looked at, with their places.
    link_timers: BTreeSet<(Instant, usize)>,
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
    /// Sessions for transactions across entities, each with the entity that it receives from.
    cross_entity: Vec<(SessionId, Option<String>)>,
    pub(crate) closed: bool,
    /// Links that waited for a session until the client detached them: to be answered.
    pub(crate) given_up: Vec<LinkId>,
    /// When the broker sent its `close`, for a reason of its own.
    pub(crate) closing_since: Option<Instant>,
    /// The timer that is set for it.
    pub(crate) timer: Option<Instant>,
    /// The client wants to be one of JMS 2.0.
    pub(crate) is_client_provider: bool,
    /// Responses that are not wholly written, with their sizes.
    pub(super) answers: Vec<(DeliveryId, usize)>,
    /// Their sizes together.
    pub(super) answers_size: usize,
    /// Links with requests that wait until their responses have room.
    pub(super) waiting_requests: Vec<LinkId>,
    /// Something that the client must be told had no room: it does not read.
    pub(crate) overflowed: bool,
    /// Bytes that its links and the states of incoming messages take.
    held: usize,
    /// The connection's part of the memory budget, and
    memory: Share,
    /// that of messages on their way in or out.
    deliveries: Share,
}

impl Peer {
    /// A connection, where the memory budget has room for it.
    pub(crate) fn new(
        id: ConnectionId,
        transport: Option<NamespaceId>,
        engine: Connection<Heap>,
        now: Instant,
        budget: &Budget,
        work: Work,
    ) -> Result<Self, OverBudget> {
        Ok(Self {
            id,
            engine,
            access: Access::default(),
            namespace: transport.unwrap_or_default(),
            transport,
            host: String::new(),
            entered: false,
            plain: Vec::new(),
            links: Vec::new(),
            index: LinkIndex::new(work),
            ended_tokens: VecDeque::new(),
            outgoing: Vec::new(),
            unsettled: 0,
            links_with_taken: Vec::new(),
            held_back: Vec::new(),
            entity_links: 0,
            link_timers: BTreeSet::new(),
            incoming: Vec::new(),
            ready: false,
            stalled: false,
            throttled: false,
            connected: now,
            opened: false,
            linkless: now,
            had_links: false,
            cross_entity: Vec::new(),
            closed: false,
            given_up: Vec::new(),
            closing_since: None,
            timer: None,
            is_client_provider: false,
            answers: Vec::new(),
            answers_size: 0,
            waiting_requests: Vec::new(),
            overflowed: false,
            held: 0,
            memory: budget.share(Holding::Connections, CONNECTION)?,
            deliveries: budget.empty(Holding::Deliveries),
        })
    }

    /// Notes what SASL PLAIN grants.
    pub(crate) fn note_plain(&mut self, mut plain: Vec<(NamespaceId, Rights)>) {
        self.plain.append(&mut plain);
        let own = self.plain.iter().find(|(namespace, _)| *namespace == self.namespace);
        self.access.plain = own.map(|(_, rights)| *rights);
    }

    /// Takes the client into the namespace that its `open` names, once; false when it is there already.
    pub(crate) fn enter(&mut self, host: String, namespace: NamespaceId, budget: &Budget, work: &Work) -> bool {
        if core::mem::replace(&mut self.entered, true) {
            return false;
        }
        self.host = host;
        if self.namespace == namespace {
            return false;
        }
        self.namespace = namespace;
        self.note_plain(Vec::new());
        self.index.count_in(work.clone());
        for (share, holding) in [(&mut self.memory, Holding::Connections), (&mut self.deliveries, Holding::Deliveries)]
        {
            let bytes = share.bytes();
            *share = budget.empty(holding);
            share.set(bytes);
        }
        true
    }

    fn memory(&self) -> usize {
        CONNECTION + self.held + self.engine.outbox_bytes()
    }

    /// Counts what the connection holds: in any case, since it is there already.
    pub(crate) fn count_memory(&mut self) {
        self.deliveries.set(self.engine.payload_bytes());
        self.memory.set(self.memory());
    }

    /// The same; false when it has become more and the budget has no room for that.
    pub(crate) fn counts_within_budget(&mut self) -> bool {
        let deliveries = self.deliveries.resize(self.engine.payload_bytes());
        let memory = self.memory.resize(self.memory());
        let within = deliveries.is_ok() && memory.is_ok();
        if !within {
            self.count_memory();
        }
        within
    }

    /// Links on which a part of a message has come.
    pub(crate) fn partial_links(&mut self) -> Vec<LinkId> {
        let Self { engine, links, .. } = self;
        links.iter().flatten().map(|link| link.id).filter(|link| engine.partial_len(*link) > 0).collect()
    }

    /// Notes what the engine made of something that the client is to be told. Without room for it the connection ends:
    /// the client does not read. A link, delivery or connection that is gone needs to be told nothing.
    pub(crate) fn told<T>(&mut self, result: Result<T, EngineError>) {
        self.overflowed |= matches!(result, Err(EngineError::NoCapacity(_)));
    }

    /// Tells the client what became of a delivery.
    pub(crate) fn settle(&mut self, delivery: DeliveryId, state: &DeliveryState<'_>) {
        let result = self.engine.settle(delivery, state, true);
        self.told(result);
    }

    pub(crate) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.index())?.as_ref().filter(|link| link.id == id)
    }

    pub(crate) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index())?.as_mut().filter(|link| link.id == id)
    }

    pub(crate) fn add_link(&mut self, mut link: Link) {
        self.held += link.bytes();
        let index = link.id.index();
        link.timer = link.deadline();
        self.link_timers.extend(link.timer.map(|at| (at, index)));
        self.entity_links += usize::from(link.is_of_entity());
        self.index.add(&link);
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.links.get_mut(index) {
            *slot = Some(link);
        }
        self.had_links = true;
    }

    /// A session begins with a coordinator: that is how clients ask for transactions across entities. Links to `$cbs` do
    /// not count, since clients with one session have them there. Sessions without links are forgotten.
    // The recording `transaction-cross-entity` in docs/evidence/data/dotnet-wire.
    pub(crate) fn note_coordinator(&mut self, session: SessionId) {
        let Self { index, cross_entity, .. } = self;
        cross_entity.retain(|(known, _)| index.is_used(*known));
        if !index.is_used(session) {
            cross_entity.push((session, None));
        }
    }

    /// Whether transactions of this session may span entities.
    pub(crate) fn spans_entities(&self, session: SessionId) -> bool {
        self.cross_entity.iter().any(|(known, _)| *known == session)
    }

    /// Notes that a session uses an entity. A session for transactions across entities stays with the first one; false
    /// for another.
    // docs/evidence/pinned-behaviour.md TXN20
    pub(crate) fn pin(&mut self, session: SessionId, entity: &str) -> bool {
        let found = self.cross_entity.iter_mut().find(|(known, _)| *known == session);
        found.is_none_or(|(_, pinned)| pinned.get_or_insert_with(|| entity.to_owned()) == entity)
    }

    pub(crate) fn take_link(&mut self, id: LinkId) -> Option<Link> {
        self.link(id)?;
        let mut link = self.links.get_mut(id.index())?.take()?;
        if let Some(at) = link.timer.take() {
            self.link_timers.remove(&(at, id.index()));
        }
        self.entity_links -= usize::from(link.is_of_entity());
        self.index.remove(&link);
        self.held = self.held.saturating_sub(link.bytes());
        Some(link)
    }

    /// Starts the time that a connection may go without links to entities, when the last one has gone.
    pub(crate) fn note_linkless(&mut self, now: Instant) {
        if !self.has_entity_links() {
            self.linkless = now;
        }
    }

    /// When a link has to be looked at.
    pub(crate) fn next_link_timer(&self) -> Option<Instant> {
        self.link_timers.first().map(|(at, _)| *at)
    }

    /// A link whose time has come. Where something moved on a link since its timer was set, that is set anew.
    pub(crate) fn next_due_link(&mut self, now: Instant) -> Option<LinkId> {
        while let Some(&(at, index)) = self.link_timers.first().filter(|(at, _)| *at <= now) {
            self.link_timers.remove(&(at, index));
            let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else { continue };
            link.timer = None;
            match link.deadline().filter(|_| !link.closing) {
                Some(later) if later > now => {
                    link.timer = Some(later);
                    self.link_timers.insert((later, index));
                }
                Some(_) => return Some(link.id),
                None => {}
            }
        }
        None
    }

    /// Places for messages that the client settles.
    pub(crate) fn places_left(&self) -> usize {
        MAX_UNSETTLED.saturating_sub(self.unsettled)
    }

    /// Notes a receiver that gets messages when there is room.
    pub(crate) fn hold_back(&mut self, id: LinkId) {
        if let Some(Purpose::Receiver(receiver)) = self.link_mut(id).map(|link| &mut link.purpose)
            && !core::mem::replace(&mut receiver.held_back, true)
        {
            self.held_back.push(id);
        }
    }

    /// The receivers that were held back.
    pub(crate) fn take_held_back(&mut self) -> Vec<LinkId> {
        let held_back = core::mem::take(&mut self.held_back);
        for id in &held_back {
            if let Some(Purpose::Receiver(receiver)) = self.link_mut(*id).map(|link| &mut link.purpose) {
                receiver.held_back = false;
            }
        }
        held_back
    }

    /// Keeps a message that was taken for good until it is on the wire.
    pub(crate) fn note_taken(&mut self, id: LinkId, delivery: DeliveryId, taken: Taken) {
        if let Some(Purpose::Receiver(receiver)) = self.link_mut(id).map(|link| &mut link.purpose) {
            receiver.pending.push_back((delivery, taken));
            if receiver.pending.len() == 1 {
                self.links_with_taken.push(id);
            }
        }
    }

    /// Forgets messages taken for good once they are on the wire.
    pub(crate) fn sweep_sent(&mut self) {
        let Self { engine, links, links_with_taken, .. } = self;
        links_with_taken.retain(|id| {
            let link = links.get_mut(id.index()).and_then(Option::as_mut).filter(|link| link.id == *id);
            let Some(Purpose::Receiver(receiver)) = link.map(|link| &mut link.purpose) else { return false };
            while receiver.pending.front().is_some_and(|(delivery, _)| !engine.is_unsent(*delivery)) {
                receiver.pending.pop_front();
            }
            !receiver.pending.is_empty()
        });
    }

    pub(crate) fn note_outgoing(&mut self, outgoing: Outgoing) {
        let index = outgoing.id.index();
        let Self { links, engine, .. } = self;
        let link =
            links.get_mut(outgoing.link.index()).and_then(Option::as_mut).filter(|link| link.id == outgoing.link);
        if let Some(Purpose::Receiver(receiver)) = link.map(|link| &mut link.purpose) {
            receiver.unsettled += 1;
            self.unsettled += 1;
            while receiver.unsent.front().is_some_and(|sent| !engine.is_unsent(sent.id)) {
                receiver.unsent.pop_front();
            }
            receiver.unsent.push_back(outgoing);
        }
        if self.outgoing.len() <= index {
            self.outgoing.resize(index + 1, None);
        }
        // What was there is of a link that has gone, for which nothing counts any more.
        let before = self.outgoing.get_mut(index).and_then(|slot| slot.replace(outgoing));
        if let Some(Purpose::Receiver(receiver)) =
            before.and_then(|before| self.link_mut(before.link)).map(|link| &mut link.purpose)
        {
            receiver.unsettled -= 1;
            self.unsettled -= 1;
        }
    }

    pub(crate) fn take_outgoing(&mut self, id: DeliveryId) -> Option<Outgoing> {
        let slot = self.outgoing.get_mut(id.index())?;
        let outgoing = slot.take_if(|outgoing| outgoing.id == id)?;
        // Room for receivers that were held back for lack of places.
        self.throttled |= self.places_left() <= self.links.len() && !self.held_back.is_empty();
        if let Some(Purpose::Receiver(receiver)) = self.link_mut(outgoing.link).map(|link| &mut link.purpose) {
            receiver.unsettled -= 1;
            self.unsettled -= 1;
        }
        Some(outgoing)
    }

    /// Forgets the messages of a receiver that has gone; those that are not on the wire.
    pub(crate) fn forget_outgoing(&mut self, receiver: &mut Receiver) -> VecDeque<Outgoing> {
        self.unsettled -= receiver.unsettled;
        let Self { outgoing, engine, .. } = self;
        let mut unsent = core::mem::take(&mut receiver.unsent);
        unsent.retain(|sent| {
            let is_there = outgoing.get(sent.id.index()).and_then(Option::as_ref).is_some_and(|it| it.id == sent.id);
            is_there && engine.is_unsent(sent.id)
        });
        unsent
    }

    /// Keeps the state that a message came with.
    pub(crate) fn note_incoming(&mut self, id: DeliveryId, state: State) {
        let index = id.index();
        if self.incoming.len() <= index {
            self.incoming.resize_with(index + 1, || None);
        }
        self.held += state.len();
        if let Some(slot) = self.incoming.get_mut(index)
            && let Some((_, before)) = slot.replace((id, state))
        {
            self.held = self.held.saturating_sub(before.len());
        }
    }

    /// The state that a message came with.
    pub(crate) fn take_incoming(&mut self, id: DeliveryId) -> Option<State> {
        let (of, state) = self.incoming.get_mut(id.index())?.take()?;
        self.held = self.held.saturating_sub(state.len());
        (of == id).then_some(state)
    }

    /// Whether there is a link to `$cbs` in this role of the client.
    pub(crate) fn has_cbs_link(&self, role: Role) -> bool {
        self.index.cbs().filter_map(|id| self.link(id)).any(|link| {
            let same = match link.purpose {
                Purpose::Requests(Node::Cbs) => role == Role::Sender,
                Purpose::Responses(Node::Cbs) => role == Role::Receiver,
                _ => false,
            };
            same && self.is_attached(link.id)
        })
    }

    pub(super) fn is_attached(&self, link: LinkId) -> bool {
        self.engine.link(link).is_some_and(|status| status.attached)
    }

    /// An AMQP session begins or ends.
    pub(crate) fn count_session(&mut self, begins: bool) {
        self.held = if begins { self.held + SESSION } else { self.held.saturating_sub(SESSION) };
    }

    /// A link is being detached: it gets no responses any more.
    pub(crate) fn close_link(&mut self, id: LinkId) {
        let Self { links, index, .. } = self;
        if let Some(link) = links.get_mut(id.index()).and_then(Option::as_mut).filter(|link| link.id == id) {
            link.closing = true;
            index.forget_replies(link);
        }
    }

    /// The session of a receiver is lost.
    pub(crate) fn lose_session(&mut self, id: LinkId) {
        let Self { links, index, .. } = self;
        let link = links.get_mut(id.index()).and_then(Option::as_mut).filter(|link| link.id == id);
        if let Some(Purpose::Receiver(receiver)) = link.map(|link| &mut link.purpose)
            && !core::mem::replace(&mut receiver.lost, true)
            && receiver.session.is_some()
        {
            index.forget_holder(receiver.store);
        }
    }

    /// Whether a receiver of the connection holds a session of this store.
    pub(crate) fn holds_session(&self, store: StoreId) -> bool {
        self.index.holds_session(store)
    }

    /// The session of a receiver of this store by the name of its link.
    pub(crate) fn session_named(&self, name: &str, store: StoreId) -> Option<&str> {
        self.index.named(name).filter_map(|id| self.link(id)).find_map(|link| match &link.purpose {
            Purpose::Receiver(receiver) if receiver.store == store => receiver.session.as_deref(),
            _ => None,
        })
    }

    /// The next link of an entity, or of what lies below it.
    pub(crate) fn next_link_below(&self, path: &str, after: Option<&Attachment>) -> Option<(Attachment, LinkId)> {
        self.index.next_below(path, after)
    }

    /// Whether there is a link to an entity or to a `$management` node.
    pub(crate) fn has_entity_links(&self) -> bool {
        self.entity_links > 0
    }
}
