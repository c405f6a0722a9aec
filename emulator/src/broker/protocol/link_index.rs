//! The links of a connection by what is asked about them, so that no request walks over all of them.

use super::link::{Link, Node, Purpose};
use crate::broker::attachments::{Attachment, Attachments};
use crate::broker::entities::StoreId;
use crate::broker::id_map::IdMap;
use crate::broker::work::Work;
use servicebus_core::engine::{LinkId, SessionId};
use std::collections::BTreeMap;

/// A node and the name or address of a link for its responses.
type Reply = (String, String);

/// Links in the order of their places.
type Places = BTreeMap<usize, LinkId>;

/// The links of a connection.
#[derive(Debug)]
pub(super) struct LinkIndex {
    /// Links to entities by path.
    paths: Attachments<LinkId>,
    /// By name.
    names: BTreeMap<(String, usize), LinkId>,
    /// Links for responses that are not being detached, by node and name or address.
    replies: BTreeMap<Reply, Places>,
    /// Links for responses by AMQP session as well.
    replies_here: BTreeMap<Reply, IdMap<SessionId, Places>>,
    /// Links to and from `$cbs`.
    cbs: Places,
    /// Links to entities and `$management` nodes of each AMQP session.
    of_sessions: IdMap<SessionId, usize>,
    /// Receivers that hold a session, by store.
    holders: IdMap<StoreId, usize>,
}

/// The text by which a node is found: no address of an entity is that of `$cbs`.
fn node_key(node: &Node) -> String {
    match node {
        Node::Cbs => "$cbs".to_owned(),
        Node::Management(path) => path.clone(),
    }
}

/// The texts by which a response link is found.
fn replies_of(link: &Link) -> Vec<Reply> {
    let Purpose::Responses(node) = &link.purpose else { return Vec::new() };
    let mut texts = vec![link.name.clone()];
    texts.extend(link.own_address.clone().filter(|address| *address != link.name));
    texts.into_iter().map(|text| (node_key(node), text)).collect()
}

fn less<K: Copy + Eq + core::hash::Hash>(counts: &mut IdMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl LinkIndex {
    pub(super) fn new(work: Work) -> Self {
        Self {
            paths: Attachments::new(work),
            names: BTreeMap::new(),
            replies: BTreeMap::new(),
            replies_here: BTreeMap::new(),
            cbs: Places::new(),
            of_sessions: IdMap::default(),
            holders: IdMap::default(),
        }
    }

    /// From now on links that are looked at are counted there.
    pub(super) fn count_in(&mut self, work: Work) {
        self.paths.count_in(work);
    }

    pub(super) fn add(&mut self, link: &Link) {
        let (index, id) = (link.id.index(), link.id);
        self.names.insert((link.name.clone(), index), id);
        for reply in replies_of(link) {
            self.replies.entry(reply.clone()).or_default().insert(index, id);
            self.replies_here.entry(reply).or_default().entry(link.session).or_default().insert(index, id);
        }
        match &link.purpose {
            Purpose::Requests(Node::Cbs) | Purpose::Responses(Node::Cbs) => _ = self.cbs.insert(index, id),
            Purpose::Requests(_) | Purpose::Responses(_) | Purpose::Coordinator => {}
            Purpose::Sender { .. } | Purpose::Receiver(_) | Purpose::Accepting { .. } => {
                self.paths.add(&link.path, link.number, id);
            }
        }
        if link.is_of_entity() {
            *self.of_sessions.entry(link.session).or_default() += 1;
        }
        if let Purpose::Receiver(receiver) = &link.purpose
            && receiver.session.is_some()
        {
            *self.holders.entry(receiver.store).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, link: &Link) {
        self.names.remove(&(link.name.clone(), link.id.index()));
        self.forget_replies(link);
        self.cbs.remove(&link.id.index());
        self.paths.remove(&link.path, link.number);
        if link.is_of_entity() {
            less(&mut self.of_sessions, link.session);
        }
        if let Purpose::Receiver(receiver) = &link.purpose
            && receiver.session.is_some()
            && !receiver.lost
        {
            less(&mut self.holders, receiver.store);
        }
    }

    /// A link that is being detached gets no responses.
    pub(super) fn forget_replies(&mut self, link: &Link) {
        let index = link.id.index();
        for reply in replies_of(link) {
            if let Some(places) = self.replies.get_mut(&reply) {
                places.remove(&index);
                if places.is_empty() {
                    self.replies.remove(&reply);
                }
            }
            if let Some(sessions) = self.replies_here.get_mut(&reply) {
                if let Some(places) = sessions.get_mut(&link.session) {
                    places.remove(&index);
                    if places.is_empty() {
                        sessions.remove(&link.session);
                    }
                }
                if sessions.is_empty() {
                    self.replies_here.remove(&reply);
                }
            }
        }
    }

    /// A receiver's session is lost.
    pub(super) fn forget_holder(&mut self, store: StoreId) {
        less(&mut self.holders, store);
    }

    /// Whether a receiver of the connection holds a session of this store.
    pub(super) fn holds_session(&self, store: StoreId) -> bool {
        self.holders.contains_key(&store)
    }

    /// Whether an AMQP session has links to entities or `$management` nodes.
    pub(super) fn is_used(&self, session: SessionId) -> bool {
        self.of_sessions.contains_key(&session)
    }

    /// The links to and from `$cbs`.
    pub(super) fn cbs(&self) -> impl Iterator<Item = LinkId> {
        self.cbs.values().copied()
    }

    /// The links of this name, of any session.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = LinkId> {
        let end = (name.to_owned(), usize::MAX);
        self.names.range((name.to_owned(), 0)..=end).map(|(_, id)| *id)
    }

    /// The links for responses of a node under a name or address: those of this session, then all.
    pub(super) fn replies(&self, node: &Node, text: &str, session: SessionId) -> impl Iterator<Item = LinkId> {
        let reply = (node_key(node), text.to_owned());
        let here = self.replies_here.get(&reply).and_then(|sessions| sessions.get(&session));
        let all = self.replies.get(&reply);
        let here = here.into_iter().flatten().map(|(_, id)| *id);
        here.chain(all.into_iter().flatten().map(|(_, id)| *id))
    }

    /// As [`Attachments::next`], of the connection's links.
    pub(super) fn next_below(&self, path: &str, after: Option<&Attachment>) -> Option<(Attachment, LinkId)> {
        self.paths.next(path, after)
    }
}
