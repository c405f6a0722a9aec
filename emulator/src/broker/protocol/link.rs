//! The links of a connection: what each is for.

use crate::broker::entities::StoreId;
use crate::broker::entities::store::Taken;
use servicebus_core::engine::{DeliveryId, LinkId, SessionId};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a link takes beside its texts.
const LINK: usize = 512;
/// A link without traffic is detached after this time.
const LINK_IDLE: Duration = Duration::from_secs(600);

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
    /// How many of its messages the client has not settled, and
    pub(crate) unsettled: usize,
    /// which of them may not be on the wire yet, the oldest first: [`MAX_WAITING`](super::receiving::MAX_WAITING) and one
    /// at most.
    pub(crate) unsent: VecDeque<Outgoing>,
    /// It is among the links that were held back.
    pub(crate) held_back: bool,
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
    /// The number of its attach among all that the broker has had: tells which links an update finds.
    pub(crate) number: u64,
    /// The time under which it is among the connection's timers.
    pub(crate) timer: Option<Instant>,
}

impl Link {
    /// When it has to be looked at, unless something moves on it before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.purpose {
            Purpose::Accepting { deadline, .. } => Some(deadline),
            Purpose::Sender { .. } | Purpose::Receiver(_) => Some(self.active + LINK_IDLE),
            _ => None,
        }
    }

    pub(super) fn is_of_entity(&self) -> bool {
        !matches!(self.purpose, Purpose::Requests(Node::Cbs) | Purpose::Responses(Node::Cbs))
    }

    /// Bytes that it holds: its places in the tables of engine and broker, and its texts as often as they stand there.
    pub(super) fn bytes(&self) -> usize {
        let more = match &self.purpose {
            Purpose::Accepting { attach, .. } => attach.len(),
            Purpose::Sender { entity, .. } => entity.len(),
            Purpose::Requests(Node::Management(path)) => path.len(),
            Purpose::Responses(Node::Management(path)) => 4 * path.len(),
            Purpose::Receiver(receiver) => receiver.session.as_ref().map_or(0, |session| session.len()),
            _ => 0,
        };
        let own = self.own_address.as_ref().map_or(0, String::len);
        LINK + 5 * self.name.len() + 3 * own + 3 * self.path.len() + more
    }
}

/// A message that is with a client, locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: DeliveryId,
    pub(crate) link: LinkId,
    pub(crate) store: StoreId,
    pub(crate) token: LockToken,
}
