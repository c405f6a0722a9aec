//! What follows from a change: messages for those who wait, sessions for those who ask, detaches.

use super::attachments::Attachment;
use super::entities::store::StoreSignal;
use super::entities::{Signal, StoreId};
use super::protocol::access::covers;
use super::protocol::fault::Refusal;
use super::protocol::link::{Purpose, Receiver};
use super::protocol::peer::Peer;
use super::protocol::receiving::Offer;
use super::shared::Shared;
use super::{Broker, Clock, ConnectionId, NamespaceId};
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::Reason;
use servicebus_core::storage::Table;
use servicebus_core::time::{Duration, Instant};

/// How long after an update the links of an entity are detached.
const UPDATE_DELAY: Duration = Duration::from_secs(1);

/// An entity that was changed or deleted, and whose links are still to be detached.
#[derive(Debug)]
pub(crate) struct Update {
    at: Instant,
    path: String,
    /// Links that were attached since keep their places: their numbers are not below this one.
    before: u64,
    deleted: bool,
    /// The last link that was looked at.
    after: Option<Attachment>,
}

impl Update {
    /// When they are.
    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// Updates that a new one is compared with.
const MAX_COMPARED: usize = 16;
/// Messages and sessions that one call hands out, and links that it detaches, at most: the rest goes on in the next.
const MAX_HANDOUTS: usize = 4_096;

/// The receiver that a link is.
fn receiver_of(peer: &Peer, id: LinkId) -> Option<&Receiver> {
    match &peer.link(id)?.purpose {
        Purpose::Receiver(receiver) => Some(receiver),
        _ => None,
    }
}

impl Shared {
    /// A receiver was attached or got credit: a session's gets what there is for it, and another gets a turn.
    pub(crate) fn after_credit(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        let Some(receiver) = receiver_of(peer, id) else { return };
        if receiver.session.is_none() {
            let store = receiver.store;
            self.line_up(peer, id, clock);
            if self.namespace.store(store).is_some_and(|store| store.has_available(None)) {
                self.namespace.signal(Signal::Store(store, StoreSignal::Messages));
            }
            return;
        }
        loop {
            match self.offer(peer, id, clock) {
                Offer::Sent => {}
                Offer::HeldBack => return peer.hold_back(id),
                Offer::NoMessage | Offer::NoCredit => return,
            }
        }
    }

    /// Gives a receiver a turn if it has credit, and none otherwise.
    fn line_up(&mut self, peer: &Peer, id: LinkId, clock: Clock) {
        let Some(receiver) = receiver_of(peer, id) else { return };
        if peer.engine.link(id).is_some_and(|status| status.credit > status.waiting) {
            self.consumers.want(receiver.consumer);
        } else {
            self.consumers.rest(receiver.consumer);
        }
        self.note_awaited(receiver.store, clock);
    }

    /// A receiver gives its credit back.
    pub(crate) fn rest(&mut self, peer: &Peer, id: LinkId, clock: Clock) {
        if let Some(receiver) = receiver_of(peer, id) {
            self.consumers.rest(receiver.consumer);
            self.note_awaited(receiver.store, clock);
        }
    }

    /// A client said something about credit: to ask for messages is use of the entity.
    pub(crate) fn note_flow(&mut self, peer: &Peer, id: LinkId, clock: Clock) {
        let Some(receiver) = receiver_of(peer, id) else { return };
        self.namespace.used(receiver.store, clock.utc);
        if peer.engine.link(id).is_some_and(|status| status.credit <= status.waiting) {
            self.rest(peer, id, clock);
        }
    }
}

impl Shared {
    /// The links that an entity has now are detached a little after its update: operations that come right behind it are
    /// carried out.
    // docs/evidence/field-reports.md F6
    fn detach_later(&mut self, path: String, clock: Clock) {
        let before = self.coming_link();
        // One of several updates at once is enough.
        let known = |update: &Update| update.path == path && update.before == before && !update.deleted;
        let last = self.updates.iter().rev().take_while(|update| update.before == before).take(MAX_COMPARED);
        if !last.into_iter().any(known) {
            let at = clock.now + UPDATE_DELAY;
            self.updates.push_back(Update { at, path, before, deleted: false, after: None });
        }
    }

    /// The links that an entity has now are detached, before those of others that were updated.
    fn detach_now(&mut self, path: String, deleted: bool, clock: Clock) {
        let before = self.coming_link();
        self.updates.push_front(Update { at: clock.now, path, before, deleted, after: None });
    }

    /// Detaches a link of an entity that was changed or deleted, if its attach has a number below `before`.
    fn detach_from(
        &mut self,
        peer: &mut Peer,
        link: LinkId,
        path: &str,
        deleted: bool,
        before: u64,
        clock: Clock,
    ) -> bool {
        let Some(found) = peer.link(link).filter(|link| link.number < before) else { return false };
        if !deleted && matches!(found.purpose, Purpose::Requests(_) | Purpose::Responses(_)) {
            return false;
        }
        let refusal = if deleted {
            let path = if path.is_empty() { &found.path } else { path };
            let text = format!("The messaging entity 'sb://{}/{path}' could not be found.", peer.host);
            Refusal::new(Reason::EntityNotFound, text)
        } else {
            let name = &found.name;
            let text = format!(
                "The link '{name}' is force detached. Code: consumer({name}). Details: InnerMessageReceiver was \
                 closed."
            );
            Refusal::new(Reason::DetachForced, text)
        };
        self.detach(peer, link, refusal, clock);
        true
    }
}

impl Broker {
    /// Gives a receiver what there is for it.
    pub(super) fn serve_link(&mut self, id: ConnectionId, link: LinkId, clock: Clock) {
        let Some((shared, peer)) = self.find(id) else { return };
        let Some(receiver) = receiver_of(peer, link) else { return };
        let (store, plain, namespace) = (receiver.store, receiver.session.is_none(), peer.namespace);
        shared.after_credit(peer, link, clock);
        if plain {
            let mut left = MAX_HANDOUTS;
            self.serve(namespace, store, &mut left, clock);
        }
    }

    /// Gives the receivers of a store what there is, in turn.
    fn serve(&mut self, namespace: NamespaceId, store: StoreId, left: &mut usize, clock: Clock) {
        let Self { namespaces, peers, ready, .. } = self;
        let shared = namespaces.get_mut(namespace);
        while shared.namespace.store(store).is_some_and(|store| store.has_available(None)) {
            if *left == 0 {
                shared.namespace.signal(Signal::Store(store, StoreSignal::Messages));
                break;
            }
            let Some((consumer, (connection, link))) = shared.consumers.next(store) else { break };
            *left -= 1;
            let Some(peer) = peers.find_mut(connection.0) else { continue };
            match shared.offer(peer, link, clock) {
                Offer::Sent => {
                    shared.consumers.want(consumer);
                    if !peer.ready {
                        peer.ready = true;
                        ready.push_back(connection);
                    }
                }
                Offer::NoMessage => {
                    shared.consumers.want(consumer);
                    break;
                }
                Offer::NoCredit => {}
                Offer::HeldBack => peer.hold_back(link),
            }
        }
        shared.note_awaited(store, clock);
    }

    /// Carries out what the entities of a namespace have told, up to a bound; the rest is due at once, see
    /// [`Broker::poll_timeout`].
    pub(super) fn run_signals(&mut self, namespace: NamespaceId, clock: Clock) {
        let mut left = MAX_HANDOUTS;
        loop {
            self.detach_due(namespace, &mut left, clock);
            let shared = self.namespaces.get_mut(namespace);
            if left == 0 {
                return;
            }
            let Some(signal) = shared.namespace.next_signal() else { return };
            left -= 1;
            match signal {
                Signal::Store(store, StoreSignal::Messages) => self.serve(namespace, store, &mut left, clock),
                Signal::Store(_, StoreSignal::Session(holder)) => {
                    if let Some((connection, link)) = shared.consumers.place(holder) {
                        self.serve_link(connection, link, clock);
                        self.mark_ready(connection);
                    }
                }
                Signal::Store(store, StoreSignal::SessionReady) => {
                    self.accept_waiting(namespace, store, &mut left, clock);
                }
                Signal::Store(_, StoreSignal::SessionLost(holder)) => {
                    if let Some((connection, link)) = shared.consumers.place(holder) {
                        if let Some(peer) = self.peers.find_mut(connection.0) {
                            shared.lose_session(peer, link, clock);
                        }
                        self.mark_ready(connection);
                    }
                }
                Signal::Updated(path) => shared.detach_later(path, clock),
                Signal::Deleted(path) => shared.detach_now(path, true, clock),
                Signal::Cleared => shared.detach_now(String::new(), true, clock),
            }
        }
    }

    /// Gives sessions to receivers that wait for one.
    fn accept_waiting(&mut self, id: NamespaceId, store: StoreId, left: &mut usize, clock: Clock) {
        loop {
            let Self { namespaces, peers, .. } = self;
            let shared = namespaces.get_mut(id);
            if !shared.consumers.has_acceptor(store) {
                return;
            }
            if *left == 0 {
                return shared.namespace.signal(Signal::Store(store, StoreSignal::SessionReady));
            }
            *left -= 1;
            let Shared { consumers, random, namespace, .. } = shared;
            let Some((consumer, (connection, link))) = consumers.choose_acceptor(store, random) else { return };
            let Ok(Some((session, until))) = namespace.accept_session(store, None, consumer, clock.utc) else { return };
            consumers.rest(consumer);
            let taken = peers.find_mut(connection.0).and_then(|peer| Some((shared.take_link(peer, link)?, peer)));
            match taken {
                Some((mut found, peer)) => {
                    let purpose = core::mem::replace(&mut found.purpose, Purpose::Coordinator);
                    if let Purpose::Accepting { attach, .. } = purpose {
                        shared.start_session(peer, found, &attach, store, consumer, session, until, clock);
                    }
                    self.mark_ready(connection);
                }
                None => {
                    shared.namespace.release_session(store, &session, consumer, clock.utc);
                    shared.forget_consumer(consumer, clock);
                }
            }
        }
    }

    /// Detaches links whose entity was deleted, or updated a while ago, as far as one call goes.
    // docs/evidence/service-evidence.md §2, §5
    fn detach_due(&mut self, namespace: NamespaceId, left: &mut usize, clock: Clock) {
        while *left > 0 {
            *left -= 1;
            let shared = self.namespaces.get_mut(namespace);
            let Some(update) = shared.updates.front_mut().filter(|update| update.at <= clock.now) else { return };
            let Some((next, (id, link))) = shared.attachments.next(&update.path, update.after.as_ref()) else {
                shared.updates.pop_front();
                continue;
            };
            let (path, before, deleted) = (update.path.clone(), update.before, update.deleted);
            update.after = Some(next);
            if let Some((shared, peer)) = self.find(id)
                && shared.detach_from(peer, link, &path, deleted, before, clock)
            {
                self.mark_ready(id);
            }
        }
    }

    /// Forgets the receivers of an entity without a word to anybody: their links look well and get nothing any more.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::Duration;
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let orders = client.receiver("orders")?;
    /// # orders.receive(Duration::from_secs(1)).await?;
    /// # world.broker(|broker, clock| {
    /// broker.forget_links("orders", clock);
    /// # });
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// assert!(orders.receive(Duration::from_secs(1)).await?.is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn forget_links(&mut self, path: &str, clock: Clock) {
        let namespace = NamespaceId::default();
        self.advance(namespace, clock);
        let path = path.trim_matches('/').to_ascii_lowercase();
        for id in self.connections_of(namespace) {
            let Some((shared, peer)) = self.find(id) else { continue };
            let concerned: Vec<LinkId> = peer
                .links
                .iter()
                .flatten()
                .filter(|link| matches!(link.purpose, Purpose::Receiver(_)) && covers(&path, &link.path))
                .map(|link| link.id)
                .collect();
            for link in concerned {
                shared.on_detached(peer, link, clock);
            }
        }
        self.run_signals(namespace, clock);
    }

    /// Detaches every link of an entity of the default namespace, as the service does when it moves it; its path as it is
    /// addressed.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let client = world.client::<Heap>();
    /// # let orders = client.sender("orders")?;
    /// # orders.send("two of the blue ones").await?;
    /// # world.broker(|broker, clock| {
    /// broker.force_detach("orders", clock);
    /// # });
    /// orders.send("one red").await?;
    /// # assert!(world.broker(|broker, _| broker.statistics().messages_sent) == 2);
    /// # Ok(())
    /// # });
    /// ```
    pub fn force_detach(&mut self, path: &str, clock: Clock) {
        self.force_detach_in(NamespaceId::default(), path, clock);
    }

    /// As [`Broker::force_detach`], for any namespace.
    pub(super) fn force_detach_in(&mut self, namespace: NamespaceId, path: &str, clock: Clock) {
        self.advance(namespace, clock);
        let path = path.trim_matches('/').to_ascii_lowercase();
        self.namespaces.get_mut(namespace).detach_now(path, false, clock);
        self.run_signals(namespace, clock);
    }
}
