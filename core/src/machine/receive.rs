//! Receiving: calls that wait for messages, and the messages that wait for the application.
// docs/evidence/invariants.md §1 rows 4–10

use super::attach::is_of_room;
use super::attachment::{Attachment, ReceiveMode};
use super::calls::State;
use super::credit::Overdue;
use super::id::{EndpointId, OperationId};
use super::service_clock::SHORTEST_LOCK;
use super::{Cause, ClientMachine, Clock, Failure, Timer};
use crate::log::Maybe;
use crate::servicebus::lock_token::LockToken;
use crate::servicebus::received::{Origin, ReceivedMessage};
use crate::storage::{Features, Storage};
use crate::time::Timestamp;
use crate::wire::messaging::DeliveryState;
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// Waits for messages and takes up to `max` of them; none when the operation's deadline passes first. Messages are
    /// taken by the call that returns them: one that is given up before has taken none. No more than `room` are taken
    /// now; [`ClientMachine::take_more`] has the rest.
    #[doc(hidden)]
    #[inline(never)]
    pub fn poll_receive(
        &mut self,
        clock: Clock,
        operation: OperationId,
        endpoint: EndpointId,
        max: u32,
        room: u32,
        take: &mut impl FnMut(ReceivedMessage<S>),
    ) -> Poll<Result<u32, Failure<S>>> {
        let closed = || Poll::Ready(Err(Failure::new(Cause::Closed)));
        let place = endpoint.0.index;
        let expired = self.calls.is_expired(operation);
        match self.calls.state(operation) {
            None => return closed(),
            Some(State::Idle) => {
                self.calls.set_state(operation, State::Receiving(max));
                let Some(found) = self.links.find(endpoint) else { return closed() };
                let down = found.attachment() == Attachment::Down;
                let idle = !found.is_session() && self.credit.receives(place) == 0 && {
                    let stock = self.supplied(place);
                    stock.ready == 0 && stock.expected == 0 && !stock.draining
                };
                let idled = self.credit.begin(place, max, idle.then_some(clock.now));
                if idled || down {
                    self.mark_link(place);
                }
                // What was fetched ahead is taken now, and not given back; other calls leave that as it is.
                self.timers.stop(Timer::Prefetched, place);
                self.prove_before(operation, clock);
                self.top_up(place);
                // The driver looks for places that can be freed.
                self.due |= self.starved;
            }
            Some(State::Done(_)) => {
                return match self.calls.take_result(operation) {
                    Some(Err(failure)) => Poll::Ready(Err(failure)),
                    _ => closed(),
                };
            }
            Some(_) => {}
        }
        let Some(found) = self.links.find(endpoint) else { return closed() };
        let prefetches = self.credit.prefetch(place) > 0;
        // What a link that is not up yet brings is given back when it comes.
        let up = found.is_up();
        let stock = self.supplied(place);
        let settled_down = prefetches || (stock.expected == 0 && !stock.draining);
        // All that the service has now, and the rest of the credit back: then nothing is locked without an owner.
        let drains = (stock.ready > 0 || (expired && up)) && !settled_down && stock.ready < max;
        let drains = drains && (stock.draining || self.start_drain(place, clock));
        let answer = self.credit.overdue(place);
        let waits = if expired { Overdue::Late } else { Overdue::Sick };
        if drains && answer.is_none_or(|overdue| overdue < waits) {
            return Poll::Pending;
        }
        if stock.ready >= max || (stock.ready > 0 && (settled_down || drains)) {
            let taken = self.take_messages(place, clock, max.min(room), take);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            // All of them had lost their locks.
            self.credit.clear_drained(place);
            self.top_up(place);
        }
        if expired && up && answer == Some(Overdue::Sick) {
            return Poll::Ready(Err(Failure::described(Cause::Timeout, "the link does not answer")));
        }
        if expired {
            let found = self.links.get(place).filter(|found| !found.is_up());
            // A link that was there before comes back by itself; one that never was is worth a word.
            let wrong = found.is_some_and(|found| {
                let known = found.error();
                let reason = known.or(self.link_up.known());
                known.is_some_and(is_of_room) || (!found.was_up() && reason.is_some())
            });
            return Poll::Ready(if wrong { Err(self.timeout(Some(place))) } else { Ok(0) });
        }
        // A drain that only proved the link alive, or that another call wanted.
        if self.credit.clear_drained(place) {
            self.top_up(place);
        }
        Poll::Pending
    }

    /// Takes up to `max` of the messages that are there, for a call of which [`ClientMachine::poll_receive`] has taken
    /// some.
    #[doc(hidden)]
    pub fn take_more(
        &mut self,
        clock: Clock,
        endpoint: EndpointId,
        max: u32,
        take: &mut impl FnMut(ReceivedMessage<S>),
    ) -> u32 {
        match self.links.find(endpoint) {
            Some(_) => self.take_messages(endpoint.0.index, clock, max, take),
            None => 0,
        }
    }

    /// A receive has ended: drains the credit that no other receive wants.
    pub(super) fn end_receive(&mut self, endpoint: Option<u32>, count: u32) {
        let Some(place) = endpoint else { return };
        let Some(found) = self.links.get(place) else { return };
        let closing = found.is_closing();
        if self.credit.end(place, count) > 0 {
            self.top_up(place);
            if self.supplied(place).ready > 0 {
                // What is left is for the next one.
                self.calls.notice_first(place);
            }
            return;
        }
        if self.credit.prefetch(place) == 0 && !closing {
            let stock = self.supplied(place);
            if stock.expected == 0 && stock.ready > 0 && !stock.draining {
                self.release_waiting(place);
            }
        }
        self.mark_link(place);
    }

    /// A whole message has come.
    pub(super) fn endpoint_readable(&mut self, place: u32, clock: Clock) {
        self.note_alive(place, clock);
        self.link_moved(place);
        let Some(endpoint) = self.links.get(place) else { return };
        self.credit.stocked(place, clock.now);
        if self.credit.receives(place) > 0 {
            self.calls.notice_first(place);
            return;
        }
        if endpoint.is_closing() || self.credit.is_draining(place) {
            return;
        }
        if self.credit.prefetch(place) > 0 {
            self.note_locks(place, clock);
        } else {
            self.release_waiting(place);
        }
    }

    /// Gives back what waits on a receiver that locks messages; what was settled when it came is kept.
    pub(super) fn release_waiting(&mut self, place: u32) {
        let Some(endpoint) = self.links.get(place) else { return };
        if endpoint.mode() == ReceiveMode::ReceiveAndDelete {
            return;
        }
        self.credit.emptied(place);
        let (Some(link), Some(connection)) = (endpoint.link(), &mut self.connection) else { return };
        while let Some((delivery, _)) = connection.peek_behind(link, None)
            && let Some(settled) = connection.discard(delivery)
        {
            if !settled {
                let _ = connection.settle(delivery, &DeliveryState::RELEASED, true);
            }
        }
    }

    fn take_messages(&mut self, place: u32, clock: Clock, max: u32, take: &mut impl FnMut(ReceivedMessage<S>)) -> u32 {
        let Some(endpoint) = self.links.get(place) else { return 0 };
        let (in_session, connection_id) = (endpoint.is_session(), self.link_up.connection_id());
        let live = endpoint.link();
        // A message that arrived less than the shortest lock ago is still locked, whatever the clocks show.
        let fresh = self.credit.stocked_since(place).filter(|since| clock.now < since.after(SHORTEST_LOCK));
        // What was fetched ahead may have been locked at any time; a session's messages have no locks of their own.
        let asked_at = self.credit.asked_at(place).filter(|_| self.credit.prefetch(place) == 0);
        let mut taken = if S::Features::RECEIVE_AND_DELETE { self.take_remains(place, max, take) } else { 0 };
        while taken < max {
            let (Some(link), Some(connection)) = (live, &mut self.connection) else { break };
            let mut message = ReceivedMessage::empty();
            let Some(incoming) = connection.receive_into(link, &mut message.payload) else { break };
            if incoming.settled {
                message.came(None, Origin::NONE);
                take(message);
                taken += 1;
                continue;
            }
            let token = LockToken::from_delivery_tag(incoming.tag.as_bytes());
            let origin = Origin { delivery: Some(incoming.delivery), connection: connection_id, in_session };
            message.came(token, origin);
            let locked_until = message.locked_until.filter(|_| !in_session).unwrap_or(Timestamp::DOTNET_MAX);
            if taken == 0 {
                // One message of a call is evidence enough.
                let enqueued = message.enqueued_time();
                self.message_came(clock, enqueued, asked_at, locked_until);
            }
            if self.service_clock.has_passed(clock, locked_until) {
                let Some(since) = fresh else {
                    // The message may be locked by another receiver already (docs/evidence/invariants.md §1 row 10).
                    if let Some(connection) = &mut self.connection {
                        let _ = connection.settle(incoming.delivery, &DeliveryState::RELEASED, true);
                    }
                    continue;
                };
                // No lock is that short: the service's clock was set back.
                self.lock_held(clock, since, locked_until);
            }
            let lock = Maybe(message.lock_token);
            log!(debug, "received", lock = lock, traceparent = Maybe(message.traceparent()));
            self.settlement.taken(incoming.delivery, locked_until);
            take(message);
            taken += 1;
        }
        self.note_stock(place);
        // A call that is answered asks for nothing more.
        if self.credit.prefetch(place) > 0 {
            self.top_up(place);
        }
        taken
    }

    /// Notes whether a receiver's messages are all taken.
    fn note_stock(&mut self, place: u32) {
        let link = self.links.get(place).and_then(|endpoint| endpoint.link());
        let waiting = link.and_then(|link| self.connection.as_ref()?.link(link));
        if waiting.is_none_or(|status| status.waiting == 0) {
            self.credit.emptied(place);
        }
    }
}
