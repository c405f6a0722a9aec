//! The order of the messages of a sender that keeps it: one call after the other, retries and all.
//!
//! A call has a slot for its place in the order, beside those of its attempts: the calls of a sender are in a chain in
//! which they began, and the first place in it has its turn.

use super::calls::State;
use super::id::{EndpointId, OperationId};
use super::{Capacity, Cause, ClientMachine, Failure, Timer};
use crate::storage::Storage;
use crate::time::Instant;
use core::task::Poll;

/// Slots that are free before a message gets a place in an order: its own, and one for the attempts of that whose turn
/// it is.
pub(crate) const PLACE_AND_TURN: u8 = 2;

impl<S: Storage> ClientMachine<S> {
    /// The place of a call in the order of its sender.
    ///
    /// # Errors
    /// As [`ClientMachine::start`]; the last slot is left for the attempts of the call whose turn it is.
    pub(crate) fn start_in_order(&mut self, sender: EndpointId) -> Result<OperationId, Failure<S>> {
        if !self.has_slots(PLACE_AND_TURN) {
            return Err(Failure::no_capacity(Capacity::Deliveries));
        }
        let operation = self.start(Some(sender), None)?;
        self.calls.set_state(operation, State::InOrder);
        Ok(operation)
    }

    /// Waits until the calls before this one are over. `ahead` is the one whose turn it was last: each may take until
    /// `limit` from now.
    ///
    /// # Errors
    /// The sender is closed, or a call before this one is neither polled nor dropped.
    pub(crate) fn poll_in_order(
        &mut self,
        operation: OperationId,
        ahead: &mut Option<u32>,
        limit: Instant,
    ) -> Poll<Result<(), Failure<S>>> {
        if let Some(result) = self.calls.take_result(operation) {
            return Poll::Ready(result.map(|_| ()));
        }
        let place = operation.0.index;
        let Some(sender) = self.calls.endpoint(operation) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        let first = self.calls.first_in_order(sender);
        if first == Some(place) {
            self.timers.stop(Timer::Call, place);
            return Poll::Ready(Ok(()));
        }
        if core::mem::replace(ahead, first) != first {
            self.calls.prolong(place);
            self.timers.set(Timer::Call, place, Some(limit));
        } else if self.calls.is_expired(operation) {
            return Poll::Ready(Err(Failure::described(Cause::Timeout, "the message before it is not awaited")));
        }
        Poll::Pending
    }

    /// A call is over: the next one in its sender's order has its turn.
    pub(super) fn pass_turn(&mut self, sender: Option<u32>) {
        if let Some(next) = sender.and_then(|sender| self.calls.first_in_order(sender)) {
            self.calls.notice(next);
        }
    }

    /// How many more calls may be pending.
    pub(crate) fn free_calls(&self) -> usize {
        self.calls.capacity().saturating_sub(self.calls.len())
    }

    /// Whether a call may begin that leaves so many slots less one to others; no call waits for a client that has
    /// ended.
    pub(crate) fn has_slots(&self, count: u8) -> bool {
        self.ended().is_some() || (self.check_tables().is_ok() && self.free_calls() >= usize::from(count))
    }

    /// A task waits for a slot until then.
    pub(crate) fn end_slot_wait(&mut self, until: Instant) {
        if self.slot_wait.begin(until) {
            self.timers.moves();
        }
    }

    /// When a wait for a slot ended, if one did since the last call: the deadlines of the others must be announced
    /// again.
    pub(crate) fn take_ended_slot_wait(&mut self) -> Option<Instant> {
        self.slot_wait.take_over()
    }
}
