//! The coordinator: transactions declared and discharged.
// docs/evidence/wire-protocol.md §3.6, docs/evidence/pinned-behaviour.md §11

use super::attach::{CBS_CREDIT, condition_of};
use super::fault::Refusal;
use super::peer::Peer;
use crate::broker::Clock;
use crate::broker::shared::Shared;
use crate::broker::transactions::{Operation, TransactionError};
use servicebus_core::engine::{LinkId, SessionId};
use servicebus_core::servicebus::Reason;
use servicebus_core::wire::message::{Body, MessageView};
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::transaction::{Declare, Declared, Discharge};
use servicebus_core::wire::{self, Composite, Reader, Value};

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        let reason = match &error {
            TransactionError::Unknown => Reason::TransactionUnknown,
            TransactionError::TimedOut(_) => Reason::TransactionTimeout,
            TransactionError::TooMany | TransactionError::TooManyOperations | TransactionError::TooManySends => {
                Reason::QuotaExceeded
            }
            TransactionError::SpansEntities | TransactionError::SpansPartitions => Reason::NotAllowed,
            TransactionError::RolledBack(_) | TransactionError::Incomplete => Reason::TransactionRollback,
            TransactionError::Refused(error) => return error.clone().into(),
        };
        Self::new(reason, error.to_string())
    }
}

impl Shared {
    /// Takes what waits on a control link.
    pub(crate) fn on_control(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        while let Some(incoming) = peer.engine.receive(id) {
            if let Some(link) = peer.link_mut(id) {
                link.active = clock.now;
            }
            let mut txn = Vec::new();
            let result = self.control(peer, id, &incoming.payload, &mut txn, clock);
            if incoming.settled {
                continue;
            }
            let fault = result.err().map(|refusal| self.fault(refusal, "", clock));
            let state = match &fault {
                Some(fault) => DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(condition_of(fault)) })),
                None if txn.is_empty() => DeliveryState::ACCEPTED,
                None => DeliveryState::Declared(Declared { txn_id: &txn }),
            };
            peer.settle(incoming.delivery, &state);
        }
        if peer.engine.link(id).is_some_and(|status| status.credit < CBS_CREDIT / 2) {
            let granted = peer.engine.grant(id, CBS_CREDIT);
            peer.told(granted);
        }
    }

    fn control(
        &mut self,
        peer: &Peer,
        link: LinkId,
        bytes: &[u8],
        declared: &mut Vec<u8>,
        clock: Clock,
    ) -> Result<(), Refusal> {
        let malformed = || Refusal::new(Reason::DecodeError, "The message is neither declare nor discharge.");
        let view = MessageView::parse(bytes).map_err(|_| malformed())?;
        let Ok(Body::Value(Value::Described(body))) = view.body() else { return Err(malformed()) };
        let encoded = wire::to_vec(&body);
        match body.code() {
            Some(code) if code == Declare::DEFINITION.code => {
                let id = self.random.uuid().to_vec();
                let session = peer.link(link).map(|link| link.session).filter(|session| peer.spans_entities(*session));
                self.transactions.declare(peer.id, link, id.clone(), session, &self.budget, clock.now)?;
                *declared = id;
                Ok(())
            }
            Some(code) if code == Discharge::DEFINITION.code => {
                let discharge: Discharge<'_> = Reader::new(&encoded).read().map_err(|_| malformed())?;
                let Self { transactions, namespace, .. } = self;
                if discharge.fail == Some(true) {
                    transactions.roll_back(namespace, peer.id, discharge.txn_id)?;
                } else {
                    transactions.commit(namespace, peer.id, discharge.txn_id, clock.utc)?;
                }
                Ok(())
            }
            _ => Err(malformed()),
        }
    }

    /// Adds an operation, which came on this session, to a transaction.
    pub(crate) fn enlist(
        &mut self,
        peer: &Peer,
        session: SessionId,
        txn: &[u8],
        operation: Operation,
        clock: Clock,
    ) -> Result<(), Refusal> {
        let Self { transactions, namespace, .. } = self;
        Ok(transactions.enlist(namespace, peer.id, txn, session, operation, clock.utc)?)
    }
}
