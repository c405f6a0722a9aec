//! Sending: a message is handed to the engine once its link is there, and its outcome is waited for.

use super::calls::{Outcome, State};
use super::id::{EndpointId, OperationId};
use super::size_limits::SizeLimits;
use super::{Capacity, Cause, ClientMachine, EngineError, Failure};
use crate::engine::{OutcomeKind, SendOptions, Tag};
use crate::log::Maybe;
use crate::servicebus::Reason;
use crate::storage::{Storage, TransactionOf};
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// Waits until an endpoint's link is there.
    #[doc(hidden)]
    #[inline(never)]
    pub fn poll_attached(
        &mut self,
        operation: OperationId,
        endpoint: EndpointId,
    ) -> Poll<Result<SizeLimits, Failure<S>>> {
        if let Poll::Ready(result) = self.poll_done(operation) {
            return Poll::Ready(Err(result.err().unwrap_or_else(|| Failure::new(Cause::Closed))));
        }
        let Some(found) = self.links.find(endpoint) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        let (Some(link), Some(connection)) = (found.link_up(), &self.connection) else {
            return Poll::Pending;
        };
        let told = connection.link(link).map_or(0, |status| status.peer_max_message_size);
        Poll::Ready(Ok(SizeLimits::of(told, found.max_batch_size())))
    }

    /// Sends a message once the link is there and waits for the outcome. `unsent` is the encoded message until the engine has
    /// a copy of it, and nothing afterwards.
    #[doc(hidden)]
    #[inline(never)]
    pub fn poll_send(
        &mut self,
        operation: OperationId,
        endpoint: EndpointId,
        unsent: &mut Option<&S::Payload>,
        format: u32,
        transaction: Option<TransactionOf<S>>,
    ) -> Poll<Result<(), Failure<S>>> {
        let Some(payload) = *unsent else {
            return self.poll_done(operation).map(|result| match result? {
                Outcome::Delivery(OutcomeKind::Accepted) => {
                    let entity = || self.links.find(endpoint).map(|found| found.entity());
                    log!(debug, "sent", entity = Maybe(entity().and_then(|entity| self.tokens.address(entity))));
                    Ok(())
                }
                Outcome::Delivery(OutcomeKind::Rejected) => Err(Failure::answered(Cause::Service(Reason::Other))),
                Outcome::Delivery(kind) => Err(Failure::new(Cause::NotAccepted(kind))),
                Outcome::Declared(_) => Err(Failure::new(Cause::LinkLost)),
            });
        };
        match self.poll_attached(operation, endpoint) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
            Poll::Ready(Ok(_)) => {}
        }
        let (Some(connection), Some(found)) = (&mut self.connection, self.links.find(endpoint)) else {
            return Poll::Pending;
        };
        let Some(link) = found.link_up() else { return Poll::Pending };
        self.tags = self.tags.wrapping_add(1);
        let options = SendOptions {
            tag: Tag::number(self.tags),
            format,
            user: Some(operation.0.index),
            transaction,
            ..SendOptions::default()
        };
        match connection.send(link, payload, &options) {
            Ok(delivery) => {
                *unsent = None;
                self.calls.set_state(operation, State::Sent(delivery));
                Poll::Pending
            }
            Err(EngineError::NoCapacity(Capacity::Deliveries)) => {
                // The table is full of messages under way: the next settlement makes room.
                self.calls.wait_for_place(operation);
                self.credit.wait_for_place(endpoint.0.index);
                self.starved = true;
                Poll::Pending
            }
            Err(error @ EngineError::MessageTooLarge) => {
                let size = payload.as_ref().len();
                let limit = connection.link(link).map_or(0, |status| status.peer_max_message_size);
                let sizes = format_args!("{size} bytes, and the link takes {limit}");
                Poll::Ready(Err(Failure::explained(Cause::Engine(error), &sizes)))
            }
            Err(error) => Poll::Ready(Err(Failure::of_engine(error))),
        }
    }

    /// The coordinator's answer: the id of a transaction that was declared, or none.
    pub(super) fn poll_declared(
        &mut self,
        operation: OperationId,
    ) -> Poll<Result<Option<TransactionOf<S>>, Failure<S>>> {
        self.poll_done(operation).map(|result| match result? {
            Outcome::Declared(id) => Ok(Some(id)),
            Outcome::Delivery(OutcomeKind::Accepted) => Ok(None),
            Outcome::Delivery(kind) => Err(Failure::new(Cause::NotAccepted(kind))),
        })
    }
}
