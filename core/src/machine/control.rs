//! The coordinator's link: transactions begin and end by messages on it (AMQP 1.0 §4.3, §4.4).

use super::id::{EndpointId, OperationId};
use super::{ClientMachine, Entity, Failure};
use crate::engine::{SendOptions, Tag};
use crate::storage::{Payload, Storage, TransactionId, TransactionOf};
use crate::wire::message::section;
use crate::wire::messaging::put_section;
use crate::wire::transaction::{Declare, Discharge};
use crate::wire::{Encode, Sink};
use core::task::Poll;

/// A request to the transaction coordinator.
#[derive(Clone, Copy, Debug)]
pub enum Control<S: Storage> {
    /// A transaction begins.
    Declare,
    /// A transaction ends.
    Discharge {
        /// The transaction.
        id: TransactionOf<S>,
        /// Whether it is rolled back.
        fail: bool,
    },
}

impl<S: Storage> Encode for Control<S> {
    fn encode(&self, sink: &mut Sink<'_>) {
        put_section(sink, section::AMQP_VALUE);
        match self {
            Self::Declare => Declare { global_id: None }.encode(sink),
            Self::Discharge { id, fail } => Discharge { txn_id: id.as_bytes(), fail: Some(*fail) }.encode(sink),
        }
    }
}

impl<S: Storage> ClientMachine<S> {
    /// An entity whose right can authorize a coordinator.
    #[doc(hidden)]
    pub fn used_entity(&self) -> Option<Entity<S>> {
        self.tokens.used()
    }

    /// Tells the coordinator, and waits for its answer: the id of a transaction that was declared.
    #[doc(hidden)]
    pub fn poll_control(
        &mut self,
        operation: OperationId,
        endpoint: EndpointId,
        unsent: &mut Option<&S::Payload>,
    ) -> Poll<Result<Option<TransactionOf<S>>, Failure<S>>> {
        if unsent.is_some() {
            return self.poll_send(operation, endpoint, unsent, 0, None).map_ok(|()| None);
        }
        self.poll_declared(operation)
    }

    /// Tells the coordinator without waiting for an answer, if its link is there.
    #[doc(hidden)]
    pub fn send_control(&mut self, endpoint: EndpointId, control: &Control<S>) {
        let Some(found) = self.links.find(endpoint) else { return };
        let (Some(link), Some(connection)) = (found.link_up(), &mut self.connection) else { return };
        let Ok(payload) = S::Payload::encode(control) else { return };
        self.tags = self.tags.wrapping_add(1);
        let tag = Tag::number(self.tags);
        let _ = connection.send(link, &payload, &SendOptions { tag, ..SendOptions::default() });
    }
}
