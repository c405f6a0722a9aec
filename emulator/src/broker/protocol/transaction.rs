//! Transactions: what waits for a commit, and the coordinator (docs/evidence/wire-protocol.md §3.6,
//! docs/evidence/pinned-behaviour.md §11).

use super::attach::{CBS_CREDIT, condition_of};
use super::fault::Refusal;
use super::peer::Peer;
use super::settlement::Settlement;
use crate::broker::entities::{EntityError, Message, StoreId};
use crate::broker::shared::Shared;
use crate::broker::{Clock, ConnectionId};
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{LockToken, Reason};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_core::wire::message::{Body, MessageView};
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::transaction::{Declare, Declared, Discharge};
use servicebus_core::wire::{self, Composite, Reader, Value};
use std::collections::HashMap;

/// Operations of a transaction at most.
const MAX_OPERATIONS: usize = 10_000;
/// Transactions of a namespace at most.
const MAX_TRANSACTIONS: usize = 10_000;
/// A transaction that is not discharged is rolled back.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Something that happens when a transaction commits.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A message for an entity; a scheduled one has its number already.
    Send { entity: String, message: Box<Message> },
    /// The end of a lock, held in one of these stores.
    Settle { stores: Vec<StoreId>, token: LockToken, settlement: Settlement },
    /// Scheduled messages taken back.
    Cancel { entity: String, numbers: Vec<i64> },
}

/// What a client has begun and not ended.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: ConnectionId,
    link: LinkId,
    ends: Timestamp,
    operations: Vec<Operation>,
}

impl Transaction {
    /// Adds an operation.
    pub(crate) fn add(&mut self, operation: Operation) -> Result<(), Refusal> {
        if self.operations.len() >= MAX_OPERATIONS {
            return Err(Refusal::new(Reason::QuotaExceeded, "The transaction has too many operations."));
        }
        if let Operation::Settle { token, .. } = &operation {
            let ended = |other: &Operation| matches!(other, Operation::Settle { token: of, .. } if of == token);
            if self.operations.iter().any(ended) {
                // Within the transaction the lock is gone already (docs/evidence/pinned-behaviour.md SET33).
                return Err(EntityError::MessageLockLost.into());
            }
        }
        self.operations.push(operation);
        Ok(())
    }
}

/// All transactions by id.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<Vec<u8>, Transaction>,
}

impl Transactions {
    /// A transaction of this connection: others cannot take part (docs/evidence/pinned-behaviour.md TXN13).
    pub(crate) fn get_mut(&mut self, txn: &[u8], connection: ConnectionId) -> Option<&mut Transaction> {
        self.open.get_mut(txn).filter(|transaction| transaction.connection == connection)
    }

    /// Rolls back what was begun on a control link that is gone.
    pub(crate) fn roll_back_link(&mut self, connection: ConnectionId, link: LinkId) {
        self.open.retain(|_, transaction| transaction.connection != connection || transaction.link != link);
    }

    /// Rolls back what a connection began that is gone.
    pub(crate) fn roll_back_connection(&mut self, connection: ConnectionId) {
        self.open.retain(|_, transaction| transaction.connection != connection);
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
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
            let _ = peer.engine.settle(incoming.delivery, &state, true);
        }
        if peer.engine.link(id).is_some_and(|status| status.credit < CBS_CREDIT / 2) {
            let _ = peer.engine.grant(id, CBS_CREDIT);
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
                if self.transactions.open.len() >= MAX_TRANSACTIONS {
                    return Err(Refusal::new(Reason::QuotaExceeded, "Too many transactions are open."));
                }
                *declared = self.random.uuid().to_vec();
                let transaction =
                    Transaction { connection: peer.id, link, ends: clock.utc + TIMEOUT, operations: Vec::new() };
                self.transactions.open.insert(declared.clone(), transaction);
                Ok(())
            }
            Some(code) if code == Discharge::DEFINITION.code => {
                let discharge: Discharge<'_> = Reader::new(&encoded).read().map_err(|_| malformed())?;
                let known = self.transactions.get_mut(discharge.txn_id, peer.id).is_some();
                let transaction = self.transactions.open.remove(discharge.txn_id).filter(|_| known);
                let Some(transaction) = transaction else {
                    return Err(Refusal::new(Reason::TransactionUnknown, "The transaction is not known."));
                };
                if discharge.fail == Some(true) {
                    return Ok(());
                }
                if transaction.ends <= clock.utc {
                    return Err(Refusal::new(Reason::TransactionTimeout, "The transaction took too long."));
                }
                self.commit(transaction.operations, clock)
            }
            _ => Err(malformed()),
        }
    }

    /// Carries everything out, or nothing.
    fn commit(&mut self, operations: Vec<Operation>, clock: Clock) -> Result<(), Refusal> {
        for operation in &operations {
            let checked = match operation {
                Operation::Send { entity, message } => self.namespace.check_send(entity, message),
                Operation::Settle { stores, token, .. } => self.namespace.find_lock(stores, *token).map(|_| ()),
                Operation::Cancel { entity, numbers } => self.namespace.check_scheduled(entity, numbers),
            };
            checked.map_err(|error| {
                Refusal::new(Reason::TransactionRollback, format!("The transaction was rolled back. {error}"))
            })?;
        }
        for operation in operations {
            let _ = match operation {
                Operation::Send { entity, message } => {
                    self.namespace.send(&entity, *message, clock.utc).map(|_| ()).map_err(Refusal::from)
                }
                Operation::Settle { stores, token, settlement } => self.settle(&stores, token, &settlement, clock),
                Operation::Cancel { entity, numbers } => {
                    self.namespace.cancel_scheduled(&entity, &numbers).map_err(Refusal::from)
                }
            };
        }
        Ok(())
    }
}
