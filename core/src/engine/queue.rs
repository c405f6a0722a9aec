//! Where links wait: each is in one queue at most, by the same joint.

use super::Connection;
use super::id::LinkIndex;
use crate::storage::Storage;

/// Where a link waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Nowhere,
    /// Among the links that have a flow or a transfer to send.
    Work,
    /// Among those of its session that wait for its window.
    Stalled,
    /// Among the links whose detach is due.
    Detaches,
}

impl<S: Storage> Connection<S> {
    /// Queues a link for [`Connection::poll_transmit`].
    pub(super) fn flag_work(&mut self, at: LinkIndex) {
        if self.links.get(at).is_some_and(|link| link.queued != Queued::Detaches) {
            self.enqueue(at, Queued::Work);
        }
    }

    /// Moves a link to the end of a queue, unless it is in it.
    pub(super) fn enqueue(&mut self, at: LinkIndex, to: Queued) {
        let Some(link) = self.links.get_mut(at) else { return };
        let (from, session) = (link.queued, link.session);
        if from == to {
            return;
        }
        link.queued = to;
        let Self { links, sessions, work, detaches, .. } = self;
        for (queue, joins) in [(from, false), (to, true)] {
            let chain = match queue {
                Queued::Nowhere => None,
                Queued::Work => Some(&mut *work),
                Queued::Stalled => sessions.get_mut(session).map(|session| &mut session.stalled),
                Queued::Detaches => Some(&mut *detaches),
            };
            match chain {
                Some(chain) if joins => links.chain(chain, at, |link| &mut link.queue),
                Some(chain) => links.unchain(chain, at, |link| &mut link.queue),
                None => {}
            }
        }
    }
}
