//! The settlement of one message, attempt after attempt.

use super::StorageOf;
use super::attempts::{Attempt, Turn, start_try};
use super::call::Endpoint;
use super::pending::TransactionOf;
use crate::machine::{Cause, ClientMachine, Clock, Disposition, EndpointId, Entity, Failure, Locked, OperationId};
use crate::runtime::Runtime;
use crate::servicebus::{Argument, ReceivedMessage};
use core::task::{Poll, Waker};

/// Settling a message once.
pub(super) struct Settling<'c, R: Runtime> {
    pub(super) endpoint: &'c Endpoint<R>,
    pub(super) message: Locked,
    pub(super) disposition: Disposition<'c>,
    pub(super) transaction: Option<TransactionOf<R>>,
    /// Why it is not even begun.
    pub(super) refused: Option<Failure<StorageOf<R>>>,
}

/// Nothing in it is pinned.
impl<R: Runtime> Unpin for Settling<'_, R> {}

impl<'c, R: Runtime> Settling<'c, R> {
    /// Settles a message through a receiver of its entity.
    pub(super) fn new(
        endpoint: &'c Endpoint<R>,
        message: &ReceivedMessage<StorageOf<R>>,
        disposition: Disposition<'c>,
        transaction: Option<TransactionOf<R>>,
    ) -> Self {
        Self { endpoint, message: message.locked(), disposition, transaction, refused: other_entity(endpoint, message) }
    }
}

/// The failure for a message of another entity than the receiver's.
pub(super) fn other_entity<R: Runtime>(
    endpoint: &Endpoint<R>,
    message: &ReceivedMessage<StorageOf<R>>,
) -> Option<Failure<StorageOf<R>>> {
    let (theirs, ours) = (message.entity()?, &endpoint.entity);
    let names = format_args!("it is of {theirs}, and the receiver of {ours}");
    (theirs != ours).then(|| Failure::explained(Cause::Argument(Argument::OtherEntity), &names))
}

impl<R: Runtime> Attempt<R> for Settling<'_, R> {
    fn entity(&self) -> &Entity<StorageOf<R>> {
        &self.endpoint.entity
    }

    fn endpoint(&self) -> Option<EndpointId> {
        Some(self.endpoint.id)
    }

    fn clock(&self) -> Clock {
        self.endpoint.shared.clock()
    }

    fn start(&mut self, turn: &mut Turn, waker: &Waker) -> Result<OperationId, Failure<StorageOf<R>>> {
        match self.refused.take() {
            Some(refused) => Err(refused),
            None => start_try::<R>(&self.endpoint.shared, Some(self.endpoint.id), turn, waker),
        }
    }

    fn poll(
        &mut self,
        machine: &mut ClientMachine<StorageOf<R>>,
        clock: Clock,
        operation: OperationId,
    ) -> Poll<Result<(), Failure<StorageOf<R>>>> {
        let Self { endpoint, message, disposition, transaction, .. } = self;
        machine.poll_settle(clock, operation, &endpoint.entity, message, disposition, *transaction)
    }
}
