//! Messages that clients send into entities.

use super::attach::{BATCH_LIMIT, CREDIT, condition_of};
use super::fault::Refusal;
use super::link::Purpose;
use super::peer::Peer;
use super::settlement::State;
use crate::broker::Clock;
use crate::broker::entities::Message;
use crate::broker::shared::Shared;
use crate::broker::transactions::Operation;
use bytes::Bytes;
use servicebus_core::engine::{Incoming, LinkId, SessionId};
use servicebus_core::servicebus::{BATCH_FORMAT, Reason};
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::transaction::TransactionalState;

/// Messages of one batch at most in the standard tier.
// docs/evidence/pinned-behaviour.md SND21
const MAX_BATCH: usize = 4_500;
/// The largest message of the standard tier.
const STANDARD_LIMIT: u64 = 256 << 10;

impl Shared {
    /// Takes what waits on a sender's link.
    pub(crate) fn on_messages(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        while let Some(incoming) = peer.engine.receive(id) {
            let Some(link) = peer.link_mut(id) else { continue };
            link.active = clock.now;
            let Purpose::Sender { entity, limit } = &link.purpose else { continue };
            let (entity, path, limit) = (entity.clone(), link.path.clone(), *limit);
            let session = link.session;
            let state = peer.take_incoming(incoming.delivery);
            let txn = match state.as_ref().and_then(State::state) {
                Some(DeliveryState::Transactional(state)) => Some(state.txn_id.to_vec()),
                _ => None,
            };
            let Incoming { delivery, format, settled, payload, .. } = incoming;
            let result = match check_size(format, payload.len() as u64, limit) {
                Ok(()) => self.take_in(peer, session, &entity, format, payload, limit, txn.as_deref(), clock),
                Err(rejection) => Err(rejection),
            };
            let result = match result {
                Ok(()) => Ok(()),
                Err(Rejection::Message(refusal)) => Err(refusal),
                Err(Rejection::Link) => return self.detach_without_data(peer, id, clock),
            };
            if txn.is_some() && result.is_ok() {
                // The first entity of all is the one that the session may receive from.
                peer.pin(session, &entity);
            }
            if settled {
                if let (Some(txn), Err(_)) = (&txn, &result) {
                    self.transactions.note_incomplete(peer.id, txn);
                }
                continue;
            }
            let fault = result.err().map(|refusal| self.fault(refusal, &path, clock));
            // Never released or modified, and the error always in full (docs/evidence/wire-protocol.md §0 fact 13).
            let outcome = match &fault {
                None => Outcome::Accepted,
                Some(fault) => Outcome::Rejected(Rejected { error: Some(condition_of(fault)) }),
            };
            let state = match &txn {
                Some(txn) if fault.is_none() => {
                    DeliveryState::Transactional(TransactionalState { txn_id: txn, outcome: Some(outcome) })
                }
                _ => DeliveryState::Outcome(outcome),
            };
            peer.settle(delivery, &state);
        }
        if peer.engine.link(id).is_some_and(|status| status.credit < CREDIT / 2) {
            let granted = peer.engine.grant(id, CREDIT);
            peer.told(granted);
        }
    }

    /// Stores a message or the messages of a batch: all of them or none.
    fn take_in(
        &mut self,
        peer: &Peer,
        session: SessionId,
        entity: &str,
        format: u32,
        payload: Bytes,
        limit: u64,
        txn: Option<&[u8]>,
        clock: Clock,
    ) -> Result<(), Rejection> {
        if let Some(refusal) = self.injected() {
            return Err(refusal.into());
        }
        let mut messages = if format == BATCH_FORMAT {
            // Reports of a limit are of the standard tier, where a link takes 256 KiB (docs/evidence/field-reports.md
            // F75).
            let count = if limit > STANDARD_LIMIT { usize::MAX } else { MAX_BATCH };
            Message::accept_batch(&payload, count)?.ok_or(Rejection::Link)?
        } else {
            vec![Message::accept(payload)?]
        };
        for message in &mut messages {
            message.hold(&self.budget)?;
        }
        let count = messages.len() as u64;
        match txn {
            Some(txn) => {
                self.enlist(peer, session, txn, Operation::Send { entity: entity.to_owned(), messages }, clock)?;
            }
            None => self.namespace.execute(clock.utc, |plan| plan.send_batch(entity, messages))?,
        }
        self.statistics.messages_sent += count;
        Ok(())
    }

    /// Detaches a link that has sent a batch without messages.
    // docs/evidence/field-reports.md F46
    fn detach_without_data(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        let name = peer.link(id).map(|link| link.name.clone()).unwrap_or_default();
        let text = format!(
            "The link '{name}' is force detached by the broker because publisher(link{}) received a batch message with no \
             data in it. Detach origin: Publisher.",
            id.index()
        );
        self.detach(peer, id, Refusal::new(Reason::NotAllowed, text), clock);
    }
}

/// Why a message is not taken.
enum Rejection {
    /// It is refused by itself.
    Message(Refusal),
    /// The link is detached with it.
    Link,
}

impl<T: Into<Refusal>> From<T> for Rejection {
    fn from(refusal: T) -> Self {
        Self::Message(refusal.into())
    }
}

/// Checks the size of a message, or of a batch.
fn check_size(format: u32, size: u64, limit: u64) -> Result<(), Rejection> {
    let batch = format == BATCH_FORMAT;
    if batch && size > BATCH_LIMIT && limit > BATCH_LIMIT {
        // Where single messages may be larger, the service takes it for one without data
        // (docs/evidence/field-reports.md F47).
        return Err(Rejection::Link);
    }
    if size <= limit {
        return Ok(());
    }
    Err(Rejection::Message(too_large(size, limit)))
}

/// The refusal of a message of this size.
pub(super) fn too_large(size: u64, limit: u64) -> Refusal {
    let text = format!(
        "The received message (delivery-id:0, size:{size} bytes) exceeds the limit ({limit} bytes) currently allowed on \
         the link."
    );
    Refusal::new(Reason::MessageSizeExceeded, text)
}
