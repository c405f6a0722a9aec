//! The responses of a connection's nodes: on which link they go out, and how many may wait.

use super::link::{Node, Purpose};
use super::peer::Peer;
use bytes::Bytes;
use servicebus_core::engine::{LinkId, SendOptions, SessionId, Tag};
use servicebus_core::time::Instant;

/// Responses that wait on a connection at most, in bytes. More requests are not carried out until the client has read.
const MAX_ANSWERS: usize = 1 << 20;

impl Peer {
    /// Whether a response may be made for this link: there is room for it, and no other waits there for credit.
    pub(crate) fn can_answer(&self, link: LinkId) -> bool {
        self.answers_size < MAX_ANSWERS
            && self.engine.free_deliveries() > 0
            && self.engine.link(link).is_some_and(|status| status.waiting == 0 || status.credit > status.waiting)
    }

    /// Sends a response, settled: there is nothing to confirm, and some clients never settle what they get here.
    pub(crate) fn answer(&mut self, id: LinkId, response: Bytes, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        link.active = now;
        link.tags = link.tags.wrapping_add(1);
        // A counter in little-endian order, as the service numbers them (docs/evidence/service-evidence.md §3).
        let tag = Tag::new(&link.tags.to_le_bytes()).unwrap_or(Tag::EMPTY);
        let size = response.len();
        let sent = self.engine.send(id, &response, &SendOptions { tag, settled: true, ..SendOptions::default() });
        match sent {
            Ok(delivery) => {
                self.answers.push((delivery, size));
                self.answers_size += size;
            }
            Err(error) => self.told::<()>(Err(error)),
        }
    }

    /// Lets the requests of a link wait until the client has read responses.
    pub(crate) fn let_wait(&mut self, requests: LinkId) {
        if !self.waiting_requests.contains(&requests) {
            self.waiting_requests.push(requests);
        }
    }

    /// The links with requests that wait; they wait no more.
    pub(crate) fn take_waiting_requests(&mut self) -> Vec<LinkId> {
        core::mem::take(&mut self.waiting_requests)
    }

    /// Forgets responses that are written.
    pub(crate) fn sweep_answers(&mut self) {
        let Self { engine, answers, answers_size, .. } = self;
        answers.retain(|(delivery, size)| {
            let waits = engine.link_of(*delivery).is_some();
            if !waits {
                *answers_size -= size;
            }
            waits
        });
    }

    /// The link that a response goes out on: the one of the node that the request names, by its address or its name. A
    /// connection has one link for responses of `$cbs`: it is meant where none is named.
    // docs/evidence/wire-protocol.md §2.1, §5
    pub(crate) fn response_link(&self, node: &Node, session: SessionId, reply_to: Option<&str>) -> Option<LinkId> {
        let attached = |id: &LinkId| self.is_attached(*id);
        let named = reply_to.and_then(|name| self.index.replies(node, name, session).find(attached));
        let is_response = |id: &LinkId| {
            let link = self.link(*id).filter(|link| !link.closing);
            link.is_some_and(|link| matches!(link.purpose, Purpose::Responses(Node::Cbs)))
        };
        match node {
            Node::Cbs => named.or_else(|| self.index.cbs().find(|id| is_response(id) && attached(id))),
            Node::Management(_) => named,
        }
    }
}
