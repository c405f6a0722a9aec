//! Messages that clients send into entities.

use super::attach::{BATCH_LIMIT, CREDIT, condition_of};
use super::fault::Refusal;
use super::peer::{Peer, Purpose};
use super::settlement::State;
use super::transaction::Operation;
use crate::broker::Clock;
use crate::broker::entities::Message;
use crate::broker::shared::Shared;
use bytes::Bytes;
use servicebus_core::engine::{Incoming, LinkId};
use servicebus_core::servicebus::Reason;
use servicebus_core::servicebus::message::BATCH_FORMAT;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::transaction::TransactionalState;

impl Shared {
    /// Takes what waits on a sender's link.
    pub(crate) fn on_messages(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        while let Some(incoming) = peer.engine.receive(id) {
            let Some(link) = peer.link_mut(id) else { continue };
            link.active = clock.now;
            let Purpose::Sender { entity, limit } = &link.purpose else { continue };
            let (entity, path) = (entity.clone(), link.path.clone());
            let limit = if incoming.format == BATCH_FORMAT { BATCH_LIMIT.min(*limit) } else { *limit };
            let state = peer.take_incoming(incoming.delivery);
            let txn = match state.as_ref().and_then(State::state) {
                Some(DeliveryState::Transactional(state)) => Some(state.txn_id.to_vec()),
                _ => None,
            };
            let size = incoming.payload.len() as u64;
            let result = if size > limit {
                Err(Refusal::new(
                    Reason::MessageSizeExceeded,
                    format!(
                        "The received message (delivery-id:0, size:{size} bytes) exceeds the limit ({limit} bytes) \
                         currently allowed on the link."
                    ),
                ))
            } else {
                self.take_in(peer, &entity, &incoming, txn.as_deref(), clock)
            };
            if incoming.settled {
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
            let _ = peer.engine.settle(incoming.delivery, &state, true);
        }
        if peer.engine.link(id).is_some_and(|status| status.credit < CREDIT / 2) {
            let _ = peer.engine.grant(id, CREDIT);
        }
    }

    /// Stores a message or the messages of a batch: all of them or none.
    fn take_in(
        &mut self,
        peer: &Peer,
        entity: &str,
        incoming: &Incoming<Bytes>,
        txn: Option<&[u8]>,
        clock: Clock,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = self.injected() {
            return Err(refusal);
        }
        let messages = if incoming.format == BATCH_FORMAT {
            Message::accept_batch(&incoming.payload)?
        } else {
            vec![Message::accept(incoming.payload.clone())?]
        };
        for message in &messages {
            self.namespace.check_send(entity, message)?;
        }
        self.statistics.messages_sent += messages.len() as u64;
        if let Some(txn) = txn {
            let Some(transaction) = self.transactions.get_mut(txn, peer.id) else {
                let text = "The transaction is not known on this connection.";
                return Err(Refusal::new(Reason::TransactionUnknown, text));
            };
            for message in messages {
                transaction.add(Operation::Send { entity: entity.to_owned(), message: Box::new(message) })?;
            }
            return Ok(());
        }
        for message in messages {
            self.namespace.send(entity, message, clock.utc)?;
        }
        Ok(())
    }
}
