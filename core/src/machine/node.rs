//! The pairs of links that requests travel over: `$cbs` and `<entity>/$management` (docs/evidence/wire-protocol.md §2,
//! §5).

use super::endpoint::{Attachment, Path};
use super::id::{EntityId, TokenId};
use super::link_owner::LinkOwner;
use super::tokens::User;
use super::{Backoff, Capacity, Cause, ClientMachine, Clock, EngineError, Failure, Name, Timer};
use crate::log::Span;
use crate::storage::{Slots, Storage, Table};
use crate::time::Millis;
use crate::wire::performative::Role;

/// The two links to a node.
#[derive(Debug)]
pub(super) struct Node<S: Storage> {
    /// Whose `$management` it is, whose token must be there first; `None` for `$cbs`.
    pub(super) entity: Option<EntityId>,
    pub(super) sender: Attachment,
    pub(super) receiver: Attachment,
    /// Its links in what is told.
    pub(super) span: Span,
    /// The number in its links' names and in the address that responses go to.
    pub(super) name: u32,
    /// Pairs of links that failed in a row.
    pub(super) backoff: Backoff,
    /// What the peer's last detach said.
    pub(super) error: Option<Failure<S>>,
    /// Requests that were sent and have no response yet.
    pub(super) under_way: u32,
}

impl<S: Storage> Node<S> {
    pub(super) fn is_up(&self) -> bool {
        matches!((self.sender, self.receiver), (Attachment::Up(_), Attachment::Up(_)))
    }

    /// The links are gone, and with them every response that was to come.
    pub(super) fn down(&mut self) {
        self.sender = Attachment::Down;
        self.receiver = Attachment::Down;
        self.under_way = 0;
        self.span = Span::default();
    }

    pub(super) fn is_down(&self) -> bool {
        matches!((self.sender, self.receiver), (Attachment::Down, Attachment::Down))
    }
}

/// An entity's `$management` that nothing else keeps stays for this long after the last request.
const QUIET: Millis = Millis::from_secs(60);

impl<S: Storage> ClientMachine<S> {
    /// The node of an entity that was acquired for a channel, or `$cbs`; made when there is none.
    pub(super) fn use_node(&mut self, entity: Option<EntityId>) -> Result<u32, Failure<S>> {
        let same = |&place: &u32| self.nodes.get(place).is_some_and(|node| node.entity == entity);
        if let Some(place) = (0..self.nodes.end()).find(same) {
            // It has a use of its own.
            if let Some(entity) = entity {
                self.release(entity.token, User::Channel);
            }
            return Ok(place);
        }
        let mut left = None;
        if self.nodes.is_full() {
            // One that nobody asks makes room: it is attached again when it is needed.
            let idle = |&place: &u32| self.is_management(place) && !self.node_is_asked(place);
            if let Some(place) = (0..self.nodes.end()).find(idle) {
                left = self.remove_node(place);
            }
        }
        let node = Node {
            entity,
            sender: Attachment::Down,
            receiver: Attachment::Down,
            span: Span::default(),
            name: self.next_number(),
            backoff: Backoff::default(),
            error: None,
            under_way: 0,
        };
        let inserted = self.nodes.insert(node);
        if inserted.is_err() {
            left = entity;
        }
        // Only now: both may be of one entity.
        if let Some(left) = left {
            self.release(left.token, User::Channel);
        }
        match inserted {
            Ok(key) => Ok(key.index),
            Err(_) => Err(Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Links)))),
        }
    }

    /// An entity's `$management` goes with its last sender or receiver, unless it still owes a response or renews a
    /// lock: a client that sees many entities in its life keeps links only to those that it uses.
    pub(super) fn drop_idle_nodes(&mut self, token: TokenId) {
        for place in 0..self.nodes.end() {
            let node = self.nodes.get(place).and_then(|node| node.entity);
            if node.is_some_and(|entity| entity.token == token) && !self.node_is_asked(place) {
                self.drop_node(place);
            }
        }
    }

    /// The same after a quiet minute where there never was a sender or receiver, as for rules. Elsewhere it goes with the
    /// endpoint.
    pub(super) fn channel_idle(&mut self, place: u32, clock: Clock) {
        if self.node_is_asked(place) {
            self.node_used(place, clock);
        } else if !self.node_has_endpoint(place) {
            self.drop_node(place);
        }
    }

    /// Somebody asks a node, or will.
    pub(super) fn node_used(&mut self, place: u32, clock: Clock) {
        self.timers.start(Timer::ChannelIdle, place, clock.now, QUIET);
    }

    /// The pause for which a node waited is over, or its links have lived long enough to be healthy.
    pub(super) fn channel_timer(&mut self, place: u32) {
        self.due = true;
        if let Some(node) = self.nodes.get_mut(place).filter(|node| node.is_up()) {
            node.backoff.healthy();
        }
    }

    /// Whether a node owes a response or renews a lock.
    fn node_is_asked(&self, place: u32) -> bool {
        let mut requests = (0..self.requests.end()).filter_map(|at| self.requests.get(at));
        requests.any(|found| found.node == place) || self.node_renews(place)
    }

    fn node_has_endpoint(&self, place: u32) -> bool {
        let entity = self.nodes.get(place).and_then(|node| node.entity);
        entity.is_some_and(|entity| self.tokens.has_links(entity.token))
    }

    fn is_management(&self, place: u32) -> bool {
        self.nodes.get(place).is_some_and(|node| node.entity.is_some())
    }

    /// Lets go of an entity's `$management`; `$cbs` stays.
    fn drop_node(&mut self, place: u32) {
        if let Some(entity) = self.remove_node(place) {
            self.release(entity.token, User::Channel);
        }
    }

    /// The same, but for the token of the entity that it was of.
    fn remove_node(&mut self, place: u32) -> Option<EntityId> {
        if !self.is_management(place) {
            return None;
        }
        let node = self.nodes.get(place)?;
        let entity = node.entity;
        for link in [node.sender.link(), node.receiver.link()].into_iter().flatten() {
            if let Some(connection) = &mut self.connection {
                let _ = connection.detach(link, true, None);
            }
        }
        self.nodes.free(place);
        self.timers.stop(Timer::Channel, place);
        self.timers.stop(Timer::ChannelIdle, place);
        entity
    }

    pub(super) fn node_name(&self, node: u32) -> Name {
        Self::name(self.container, self.nodes.get(node).map_or(0, |node| node.name))
    }

    /// Puts the address of a node into `path`.
    ///
    /// # Errors
    /// One that is too long.
    pub(super) fn put_node_address(&self, node: u32, path: &mut Path) -> Result<(), EngineError> {
        match self.nodes.get(node).and_then(|node| node.entity) {
            Some(entity) => self.put_path(entity, true, path),
            None => path.push_str("$cbs").map_err(|_| EngineError::IllegalState),
        }
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn attach_node(&mut self, place: u32) -> Result<(), EngineError> {
        let name = self.node_name(place);
        let mut address = Path::new();
        self.put_node_address(place, &mut address)?;
        // Both links have names of their own: peers differ in whether roles share one name space.
        let span = Span::link("requests", &name, &address);
        let mut receiver_name = name.clone();
        let _ = receiver_name.push('r');
        let sender = self.attach_plain(&name, Role::Sender, &name, &address)?;
        let receiver = match self.attach_plain(&receiver_name, Role::Receiver, &address, &name) {
            Ok(receiver) => receiver,
            Err(error) => {
                if let Some(connection) = &mut self.connection {
                    let _ = connection.detach(sender, true, None);
                }
                return Err(error);
            }
        };
        let _ = self.owners.put(sender.index(), LinkOwner::Sender(place).into());
        let _ = self.owners.put(receiver.index(), LinkOwner::Receiver(place).into());
        if let Some(node) = self.nodes.get_mut(place) {
            node.sender = Attachment::Pending(sender);
            node.receiver = Attachment::Pending(receiver);
            node.span = span;
            node.error = None;
        }
        Ok(())
    }

    /// One of a node's links is gone: so is the other.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn node_detached(&mut self, place: u32, clock: Clock) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        for link in [node.sender.link(), node.receiver.link()].into_iter().flatten() {
            if let Some(connection) = &mut self.connection {
                let _ = connection.detach(link, true, None);
            }
        }
        node.down();
        let failure = node.error.clone().unwrap_or_else(|| Failure::new(Cause::LinkLost));
        node.backoff.failed();
        let backoff = node.backoff;
        let retry_at = self.retry_at(backoff, clock.now, &failure);
        self.timers.set(Timer::Channel, place, retry_at);
        let hopeless = !failure.is_transient() || backoff.is_exhausted(&self.settings.retry);
        self.fail_requests(place, clock, &failure, !hopeless);
        self.due = true;
    }
}
