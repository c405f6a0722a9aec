//! How calls begin, end and learn of news.

use super::attach::is_of_room;
use super::calls::{GIVEN_UP, Outcome, State};
use super::channels::Channels;
use super::id::{EndpointId, OperationId, RequestId};
use super::{Capacity, Cause, ClientMachine, Failure, Timer};
use crate::engine::{Connection, DeliveryId};
use crate::servicebus::Reason;
use crate::storage::{Features, Storage};
use crate::time::{Instant, Millis};
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// A slot for a call that has to wait. An endpoint that had given up tries again.
    ///
    /// # Errors
    /// [`Cause::Closed`], what ended the endpoint for good, or [`Capacity::Deliveries`] when there are too many.
    #[doc(hidden)]
    #[inline(never)]
    pub fn start(
        &mut self,
        endpoint: Option<EndpointId>,
        deadline: Option<Instant>,
    ) -> Result<OperationId, Failure<S>> {
        if let Some(cause) = self.ended() {
            return Err(Failure::new(cause));
        }
        self.check_tables()?;
        if let Some(id) = endpoint {
            let closed = || Failure::new(Cause::Closed);
            let again = self.links.begin_call(id).map_err(|ended| ended.unwrap_or_else(closed))?;
            if let Some(token) = again {
                self.tokens.retry(token);
                self.due = true;
            }
        }
        let full = |_| Failure::no_capacity(Capacity::Deliveries);
        let operation = self.calls.begin(endpoint.map(|id| id.0.index)).map_err(full)?;
        self.timers.set(Timer::Call, operation.0.index, deadline);
        Ok(operation)
    }

    /// A slot for a call that waits before its next attempt.
    ///
    /// # Errors
    /// As [`ClientMachine::start`].
    pub(crate) fn start_pause(&mut self, until: Instant) -> Result<OperationId, Failure<S>> {
        let operation = self.start(None, Some(until))?;
        self.calls.set_state(operation, State::Pausing);
        Ok(operation)
    }

    /// A slot for a call that waits for the end of the client, which closes already or is about to. `None` when there
    /// are too many calls.
    #[doc(hidden)]
    pub fn start_closing(&mut self) -> Option<OperationId> {
        self.calls.begin(None).ok()
    }

    /// Rejects tables too small to make progress: calls need places for a request, its response, a message out and one
    /// in.
    pub(super) fn check_tables(&self) -> Result<(), Failure<S>> {
        if self.calls.capacity() > super::credit::RESERVE {
            Ok(())
        } else {
            Err(Failure::no_capacity(Capacity::Deliveries))
        }
    }

    /// Frees a call that has ended or was dropped. A message of which nothing is written, for want of credit or of its
    /// turn, is not sent and leaves its place to others; what has begun to be sent goes on. A dropped receive loses no
    /// message.
    #[doc(hidden)]
    pub fn finish(&mut self, operation: OperationId) {
        let place = operation.0.index;
        let endpoint = self.calls.endpoint(operation);
        let Some(state) = self.calls.set_state(operation, State::Idle) else { return };
        match state {
            State::Sent(delivery) => {
                if !self.take_message_back(delivery, endpoint)
                    && let Some(connection) = &mut self.connection
                {
                    connection.set_user(delivery, Some(GIVEN_UP));
                }
            }
            State::Requested(key) if S::Features::MANAGEMENT => self.drop_request(key),
            State::Receiving(count) if S::Features::RECEIVERS => self.end_receive(endpoint, count),
            #[cfg(feature = "alloc")]
            State::InOrder => self.pass_turn(endpoint),
            // It may have been given a place that another one waits for.
            State::Idle | State::Done(_) => self.unused |= self.starved,
            State::Requested(_) | State::Receiving(_) | State::Watching | State::Opening | State::Pausing => {}
        }
        self.timers.stop(Timer::Call, place);
        self.calls.free(place);
    }

    /// Takes back a message of which nothing is written; returns whether that was so. A close that waits for it goes on.
    fn take_message_back(&mut self, delivery: DeliveryId, endpoint: Option<u32>) -> bool {
        let taken = self.connection.as_mut().is_some_and(|connection| connection.cancel(delivery));
        // Without an allocator a close waits no longer than for a service that does not answer.
        #[cfg(feature = "alloc")]
        if taken
            && let Some(place) = endpoint
            && (self.links.get(place).is_some_and(|endpoint| endpoint.is_closing()) || self.link_up.is_leaving())
        {
            self.mark_link(place);
        }
        #[cfg(not(feature = "alloc"))]
        let _ = endpoint;
        taken
    }

    /// Leaves the message of a call to itself: whatever becomes of the call, it is sent when there is credit.
    #[cfg(feature = "alloc")]
    pub(crate) fn leave_message(&mut self, operation: OperationId) {
        if let (Some(&State::Sent(delivery)), Some(connection)) = (self.calls.state(operation), &mut self.connection) {
            connection.set_user(delivery, Some(GIVEN_UP));
            self.calls.set_state(operation, State::Idle);
        }
    }

    /// A call has ended for good that needed the connection: there may be nothing to dial for.
    pub(crate) fn needs_less(&mut self) {
        self.due |= self.connection.is_none();
    }

    /// Every call on an endpoint that waits for its link ends with `failure`.
    pub(super) fn fail_waiting(&mut self, endpoint: u32, failure: &Failure<S>) {
        let first = self.calls.first(endpoint);
        self.fail_calls(endpoint, first, failure, |state| matches!(state, State::Idle | State::Receiving(_)));
    }

    /// Every call on an endpoint that waits for its link, and receives nothing, ends with `failure`.
    pub(super) fn fail_idle(&mut self, endpoint: u32, failure: &Failure<S>) {
        let first = self.calls.first(endpoint);
        self.fail_calls(endpoint, first, failure, |state| matches!(state, State::Idle));
    }

    /// Every call on an endpoint whose delivery was on the link that is gone ends with `failure`.
    pub(super) fn fail_sent(&mut self, endpoint: u32, failure: &Failure<S>) {
        let first = self.calls.first_other(endpoint);
        self.fail_calls(endpoint, first, failure, |state| matches!(state, State::Sent(_)));
    }

    #[inline(never)]
    fn fail_calls(&mut self, endpoint: u32, first: Option<u32>, failure: &Failure<S>, ends: fn(&State<S>) -> bool) {
        let mut at = first;
        while let Some(place) = at {
            at = self.calls.next(place);
            let Some(state) = self.calls.state_at(place).filter(|state| ends(state)) else { continue };
            let uncertain = Self::may_be_done(self.connection.as_ref(), &self.channels, state);
            if let Some(State::Receiving(count)) = self.calls.end(place, Err(failure.of_call(uncertain)))
                && S::Features::RECEIVERS
            {
                self.end_receive(Some(endpoint), count);
            }
        }
    }

    /// Whether the service may do what a call in this state asked for: not where nothing of its message is written.
    pub(super) fn may_be_done(connection: Option<&Connection<S>>, channels: &Channels<S>, state: &State<S>) -> bool {
        let delivery = match *state {
            State::Sent(delivery) => Some(delivery),
            State::Requested(key) if channels.has(RequestId::new(key)) => channels.delivery(key.index),
            _ => None,
        };
        delivery.is_some_and(|delivery| Self::is_written(connection, delivery))
    }

    /// Whether the service may have something of a message: not where the engine knows that nothing of it is written.
    pub(super) fn is_written(connection: Option<&Connection<S>>, delivery: DeliveryId) -> bool {
        connection.is_none_or(|connection| !connection.is_unsent(delivery))
    }

    /// Whether a call on an endpoint is pending that has not ended.
    pub(super) fn has_pending(&self, endpoint: u32) -> bool {
        self.calls.any(endpoint, |state| !matches!(state, State::Done(_)))
    }

    /// Every call has news.
    pub(crate) fn notice_all(&mut self) {
        self.calls.notice_all();
    }

    /// The slot of an operation that has news.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # machine.close();
    /// // The tasks of these calls are woken.
    /// while let Some(slot) = machine.poll_notice() {
    ///     println!("the call in slot {slot} has news");
    /// }
    /// assert_eq!(machine.poll_notice(), None);
    /// ```
    #[inline(never)]
    pub fn poll_notice(&mut self) -> Option<usize> {
        self.calls.poll_notice().map(|place| place as usize)
    }

    /// Whether the deadline of a call has passed.
    #[doc(hidden)]
    pub fn is_late(&self, operation: OperationId) -> bool {
        self.calls.is_expired(operation)
    }

    /// Waits for the operation's deadline and nothing else.
    #[doc(hidden)]
    pub fn poll_sleep(&mut self, operation: OperationId) -> Poll<()> {
        let sleeps = self.calls.state(operation).is_some() && !self.calls.is_expired(operation);
        if sleeps && self.ended().is_none() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The result of an operation that has ended; [`Cause::Timeout`] once its deadline has passed.
    pub(super) fn poll_done(&mut self, operation: OperationId) -> Poll<Result<Outcome<S>, Failure<S>>> {
        if self.calls.state(operation).is_none() {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        }
        if let Some(result) = self.calls.take_result(operation) {
            return Poll::Ready(result);
        }
        if self.calls.is_expired(operation) {
            let (state, endpoint) = (self.calls.state(operation), self.calls.endpoint(operation));
            let uncertain =
                state.is_some_and(|state| Self::may_be_done(self.connection.as_ref(), &self.channels, state));
            // A message that waits for credit is taken back: with that of another attempt it would be stored twice.
            if let Some(&State::Sent(delivery)) = state {
                self.take_message_back(delivery, endpoint);
            }
            return Poll::Ready(Err(Failure { uncertain, ..self.timeout(endpoint) }));
        }
        Poll::Pending
    }

    /// Counts a failed attempt and returns the delay before the next one; `None` when the call has no attempt left.
    /// Errors during a session takeover do not count as attempts.
    pub(crate) fn retry_delay(
        &mut self,
        endpoint: Option<EndpointId>,
        attempt: &mut u32,
        failure: &Failure<S>,
    ) -> Option<Millis> {
        let reason = failure.reason();
        if S::Features::SESSIONS
            && let (Some(Reason::SessionLockLost), Some(id)) = (reason, endpoint)
            && self.is_taking_over(id)
        {
            return Some(super::session_locks::TAKEOVER_POLL);
        }
        if !failure.is_transient() {
            return None;
        }
        let wait = self.settings.retry.next(*attempt, reason, &mut self.random)?;
        *attempt += 1;
        Some(wait)
    }

    /// The failure of a call on an endpoint, or on the client itself, whose time is up before it has begun.
    pub(crate) fn late(&self, endpoint: Option<EndpointId>) -> Failure<S> {
        self.timeout(endpoint.map(|id| id.0.index))
    }

    /// A timeout, with what was known to be wrong meanwhile; what was missing where the link waited for room.
    pub(super) fn timeout(&self, endpoint: Option<u32>) -> Failure<S> {
        let known = endpoint.and_then(|place| self.links.get(place)?.error());
        if let Some(known) = known.filter(|known| is_of_room(known)) {
            return known.clone();
        }
        let known = known.or(self.link_up.known());
        Failure::after(Cause::Timeout, known)
    }
}
