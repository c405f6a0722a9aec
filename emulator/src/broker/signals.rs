//! What follows from a change: messages for those who wait, sessions for those who ask, detaches.

use super::entities::store::StoreSignal;
use super::entities::{Signal, StoreId};
use super::protocol::access::covers;
use super::protocol::fault::Refusal;
use super::protocol::peer::{Peer, Purpose};
use super::shared::Shared;
use super::{Broker, Clock, ConnectionId};
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::Reason;
use servicebus_core::storage::Table;
use servicebus_core::time::{Duration, Instant};

/// How long after an update the links of an entity are detached.
const UPDATE_DELAY: Duration = Duration::from_secs(1);

/// An update of an entity whose links are still to be detached.
#[derive(Debug)]
pub(super) struct Update {
    at: Instant,
    path: String,
    /// Links that were attached since keep their places: their numbers are not below this one.
    before: u64,
}

impl Shared {
    /// A receiver was attached, perhaps with credit already.
    pub(crate) fn after_credit(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        while self.offer(peer, id, clock) {}
    }
}

impl Broker {
    /// Gives a receiver what there is for it.
    pub(super) fn serve_link(&mut self, id: ConnectionId, link: LinkId, clock: Clock) {
        let Self { shared, peers, .. } = self;
        let Some(peer) = peers.find_mut(id.0) else { return };
        let Some(Purpose::Receiver(receiver)) = peer.link(link).map(|link| &link.purpose) else { return };
        if receiver.session.is_some() || shared.watchers.get(&receiver.store).is_none_or(|all| all.len() < 2) {
            shared.after_credit(peer, link, clock);
            return;
        }
        let store = receiver.store;
        self.serve(store, clock);
    }

    /// Gives the receivers of a store what there is, in turn.
    fn serve(&mut self, store: StoreId, clock: Clock) {
        let Self { shared, peers, .. } = self;
        let Some(mut waiting) = shared.watchers.remove(&store) else { return };
        let mut served = Vec::new();
        let mut idle = 0;
        while idle < waiting.len() && shared.namespace.store(store).is_some_and(|store| store.has_available(None)) {
            let Some(consumer) = waiting.pop_front() else { break };
            let sent = match shared.consumers.get(&consumer) {
                Some(&(connection, link)) => peers.find_mut(connection.0).is_some_and(|peer| {
                    let sent = shared.offer(peer, link, clock);
                    if sent && !peer.ready {
                        served.push(connection);
                    }
                    sent
                }),
                None => false,
            };
            idle = if sent { 0 } else { idle + 1 };
            waiting.push_back(consumer);
        }
        shared.watchers.insert(store, waiting);
        for connection in served {
            self.mark_ready(connection);
        }
    }

    /// Carries out what the entities have told.
    pub(super) fn run_signals(&mut self, clock: Clock) {
        while self.shared.namespace.has_signals() {
            for signal in self.shared.namespace.take_signals() {
                match signal {
                    Signal::Store(store, StoreSignal::Messages) => self.serve(store, clock),
                    Signal::Store(_, StoreSignal::Session(holder)) => {
                        if let Some(&(connection, link)) = self.shared.consumers.get(&holder) {
                            self.serve_link(connection, link, clock);
                            self.mark_ready(connection);
                        }
                    }
                    Signal::Store(store, StoreSignal::SessionReady) => self.accept_waiting(store, clock),
                    Signal::Store(_, StoreSignal::SessionLost(holder)) => {
                        if let Some(&(connection, link)) = self.shared.consumers.get(&holder) {
                            if let Some(peer) = self.peers.find_mut(connection.0) {
                                self.shared.lose_session(peer, link, clock);
                            }
                            self.mark_ready(connection);
                        }
                    }
                    Signal::Updated(path) => self.detach_later(path, clock),
                    Signal::Deleted(path) => self.detach_path(&path, true, u64::MAX, clock),
                }
            }
        }
    }

    /// Gives sessions to those who have waited for one.
    fn accept_waiting(&mut self, store: StoreId, clock: Clock) {
        while let Some(&consumer) = self.shared.acceptors.get(&store).and_then(|waiting| waiting.front()) {
            let place = self.shared.consumers.get(&consumer).copied();
            let Some((connection, link)) = place else {
                self.shared.forget_consumer(store, consumer);
                continue;
            };
            let Ok(Some((session, until))) = self.shared.namespace.accept_session(store, None, consumer, clock.utc)
            else {
                return;
            };
            if let Some(waiting) = self.shared.acceptors.get_mut(&store) {
                waiting.pop_front();
            }
            let Self { shared, peers, .. } = self;
            let taken = peers.find_mut(connection.0).and_then(|peer| Some((peer.take_link(link)?, peer)));
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
                    shared.forget_consumer(store, consumer);
                }
            }
        }
    }

    /// The links that an entity has now are detached a little after its update: operations that come right behind it are
    /// carried out (docs/evidence/field-reports.md F6).
    fn detach_later(&mut self, path: String, clock: Clock) {
        let before = self.shared.coming_link();
        // One of several updates at once is enough.
        let known = |update: &Update| update.path == path && update.before == before;
        if !self.updates.iter().rev().take_while(|update| update.before == before).any(known) {
            self.updates.push_back(Update { at: clock.now + UPDATE_DELAY, path, before });
        }
    }

    /// Detaches links whose entity was updated a while ago.
    pub(super) fn detach_updated(&mut self, clock: Clock) {
        while self.updates.front().is_some_and(|update| update.at <= clock.now) {
            let Some(Update { path, before, .. }) = self.updates.pop_front() else { return };
            self.detach_path(&path, false, before, clock);
        }
    }

    /// When links are to be detached next.
    pub(super) fn next_update(&self) -> Option<Instant> {
        self.updates.front().map(|update| update.at)
    }

    /// Detaches the links of an entity that was changed or deleted (docs/evidence/service-evidence.md §2, §5): those whose
    /// attach has a number below `before`.
    pub(super) fn detach_path(&mut self, path: &str, deleted: bool, before: u64, clock: Clock) {
        for id in self.connections() {
            let Self { shared, peers, .. } = self;
            let Some(peer) = peers.find_mut(id.0) else { continue };
            let concerned: Vec<(LinkId, String)> = peer
                .links
                .iter()
                .flatten()
                .filter(|link| link.number < before && !link.path.is_empty() && covers(path, &link.path))
                .filter(|link| deleted || !matches!(link.purpose, Purpose::Requests(_) | Purpose::Responses(_)))
                .map(|link| (link.id, link.name.clone()))
                .collect();
            if concerned.is_empty() {
                continue;
            }
            for (link, name) in concerned {
                let refusal = if deleted {
                    let text = format!("The messaging entity 'sb://{}/{path}' could not be found.", peer.host);
                    Refusal::new(Reason::EntityNotFound, text)
                } else {
                    let text = format!(
                        "The link '{name}' is force detached. Code: consumer({name}). Details: InnerMessageReceiver was \
                         closed."
                    );
                    Refusal::new(Reason::DetachForced, text)
                };
                shared.detach(peer, link, refusal, clock);
            }
            self.mark_ready(id);
        }
    }

    /// Forgets the receivers of an entity without a word to anybody: their links look well and get nothing any more.
    pub fn forget_links(&mut self, path: &str, clock: Clock) {
        self.advance(clock);
        let path = path.trim_matches('/').to_ascii_lowercase();
        for id in self.connections() {
            let Self { shared, peers, .. } = self;
            let Some(peer) = peers.find_mut(id.0) else { continue };
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
        self.run_signals(clock);
    }

    /// Detaches every link of an entity, as the service does when it moves it; its path as it is addressed.
    pub fn force_detach(&mut self, path: &str, clock: Clock) {
        self.advance(clock);
        self.detach_path(&path.trim_matches('/').to_ascii_lowercase(), false, u64::MAX, clock);
        self.run_signals(clock);
    }
}
