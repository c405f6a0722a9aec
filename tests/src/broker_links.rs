//! Links of clients that the broker has detached.

use crate::broker::World;
use servicebus_core::engine::LinkId;

impl World {
    /// Whether a link was detached, with an error or without.
    pub fn is_detached(&self, client: usize, link: LinkId) -> bool {
        self.clients[client].seen.detaches.contains_key(&link)
    }

    /// Forgets the links to nodes that were detached: the next request attaches new ones.
    pub fn forget_detached_nodes(&mut self, client: usize) {
        let found = &mut self.clients[client];
        let detaches = &found.seen.detaches;
        found
            .nodes
            .retain(|_, (request, response)| !detaches.contains_key(request) && !detaches.contains_key(response));
    }
}
