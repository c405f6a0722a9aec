//! What the application waits for: one slot for each pending call.

use super::attach::is_of_room;
use super::endpoint::EndpointId;
use super::{Capacity, Cause, ClientMachine, EngineError, Failure, Timer};
use crate::engine::{DeliveryId, OutcomeKind};
use crate::servicebus::Reason;
use crate::storage::{Key, Place, Queue, Storage, Table};
use crate::time::{Instant, Millis};
use core::task::Poll;

/// Names a pending call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId(pub(super) Key);

impl OperationId {
    /// The slot, below the limit on deliveries; slots are used again.
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

/// How a pending call stands.
#[derive(Debug)]
pub(super) enum State<S: Storage> {
    /// Nothing has been handed to the engine.
    Idle,
    /// The engine has a delivery of it: a message or a settlement.
    Sent(DeliveryId),
    /// A request waits for its response.
    Requested(Key),
    /// A receive is registered with its endpoint, for this many messages.
    Receiving(u32),
    /// It has ended.
    Done(Result<Outcome<S>, Failure<S>>),
}

/// How a call ended well.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<S: Storage> {
    /// The peer's outcome for a delivery.
    Delivery(OutcomeKind),
    /// A transaction was declared; its id.
    Declared(S::Transaction),
}

/// A pending call.
// In this order: the places of small fields fit into the instructions of small machines.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Operation<S: Storage> {
    /// The deadline has passed.
    pub(super) expired: bool,
    /// Waits in the queue of notices.
    pub(super) noticed: bool,
    /// Given up while it waited in that queue.
    pub(super) dropped: bool,
    /// The endpoint it belongs to; `None` for those of the client itself.
    pub(super) endpoint: Option<Place>,
    pub(super) state: State<S>,
}

impl<S: Storage> ClientMachine<S> {
    /// A slot for a call that has to wait. An endpoint that had given up tries again.
    ///
    /// # Errors
    /// [`Cause::Closed`], what ended the endpoint for good, or [`Capacity::Deliveries`] when there are too many.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
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
            let found = self.endpoints.find_mut(id.0).filter(|endpoint| !endpoint.closing);
            let endpoint = found.ok_or(Failure::new(Cause::Closed))?;
            if endpoint.over {
                return Err(endpoint.error.clone().unwrap_or_else(|| Failure::new(Cause::Closed)));
            }
            let parked = core::mem::take(&mut endpoint.parked);
            let token = endpoint.entity().token;
            if parked {
                endpoint.error = None;
                self.tokens.retry(token);
                self.mark_link(id.0.index);
            }
        }
        let operation = Operation {
            endpoint: endpoint.map(|id| Place::new(id.0.index)),
            state: State::Idle,
            expired: false,
            noticed: false,
            dropped: false,
        };
        let key = self
            .operations
            .insert(operation)
            .map_err(|_| Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries))))?;
        self.timers.set(Timer::Call, key.index, deadline);
        Ok(OperationId(key))
    }

    /// A table of deliveries that has no place for a request, its response, a message out and one in would make calls
    /// wait for ever: that is told instead.
    pub(super) fn check_tables(&self) -> Result<(), Failure<S>> {
        if self.operations.capacity() > super::credit::RESERVE {
            Ok(())
        } else {
            Err(Failure::new(Cause::Engine(EngineError::NoCapacity(Capacity::Deliveries))))
        }
    }

    /// The call has ended, or nobody waits for it any more. A message that was handed over may still be sent; a
    /// receive takes nothing with it.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn finish(&mut self, operation: OperationId) {
        let place = operation.0.index;
        let Some(found) = self.operations.find_mut(operation.0) else { return };
        let state = core::mem::replace(&mut found.state, State::Idle);
        let endpoint = found.endpoint.map(Place::index);
        match state {
            State::Sent(delivery) => {
                if let Some(connection) = &mut self.connection {
                    connection.set_user(delivery, None);
                }
            }
            State::Requested(key) => self.drop_request(key),
            State::Receiving(count) => self.end_receive(endpoint, place, count),
            State::Idle | State::Done(_) => {}
        }
        self.timers.stop(Timer::Call, place);
        let Some(found) = self.operations.get_mut(place) else { return };
        if found.noticed {
            found.dropped = true;
        } else {
            self.operations.free(place);
        }
    }

    pub(super) fn notice(&mut self, place: u32) {
        if let Some(operation) = self.operations.get_mut(place)
            && !operation.noticed
        {
            operation.noticed = true;
            let _ = self.notices.push(place);
        }
    }

    /// Every call on an endpoint has news.
    pub(super) fn notice_endpoint(&mut self, endpoint: u32) {
        for place in 0..self.operations.end() {
            if self.operations.get(place).is_some_and(|operation| operation.endpoint == Some(Place::new(endpoint))) {
                self.notice(place);
            }
        }
    }

    /// Every call has news.
    pub(crate) fn notice_all(&mut self) {
        for place in 0..self.operations.end() {
            self.notice(place);
        }
    }

    /// Every call on an endpoint that waits for its link ends with `failure`.
    pub(super) fn fail_waiting(&mut self, endpoint: u32, failure: &Failure<S>) {
        for place in 0..self.operations.end() {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            if operation.endpoint != Some(Place::new(endpoint)) {
                continue;
            }
            match operation.state {
                State::Idle => operation.state = State::Done(Err(failure.clone())),
                State::Receiving(count) => {
                    operation.state = State::Done(Err(failure.clone()));
                    self.end_receive(Some(endpoint), place, count);
                }
                _ => continue,
            }
            self.notice(place);
        }
    }

    /// Every call on an endpoint that waits for its link, and receives nothing, ends with `failure`.
    pub(super) fn fail_idle(&mut self, endpoint: u32, failure: &Failure<S>) {
        for place in 0..self.operations.end() {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            if operation.endpoint == Some(Place::new(endpoint)) && matches!(operation.state, State::Idle) {
                operation.state = State::Done(Err(failure.clone()));
                self.notice(place);
            }
        }
    }

    /// Every call on an endpoint whose delivery was on the link that is gone ends with `failure`.
    pub(super) fn fail_sent(&mut self, endpoint: u32, failure: &Failure<S>) {
        for place in 0..self.operations.end() {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            if operation.endpoint == Some(Place::new(endpoint)) && matches!(operation.state, State::Sent(_)) {
                operation.state = State::Done(Err(failure.maybe_done()));
                self.notice(place);
            }
        }
    }

    /// Whether a call on an endpoint is pending.
    pub(super) fn has_operations(&self, endpoint: u32) -> bool {
        (0..self.operations.end())
            .filter_map(|place| self.operations.get(place))
            .any(|operation| operation.endpoint == Some(Place::new(endpoint)) && !operation.dropped)
    }

    /// Whether a call on an endpoint is pending that has not ended.
    pub(super) fn has_pending(&self, endpoint: u32) -> bool {
        (0..self.operations.end()).filter_map(|place| self.operations.get(place)).any(|operation| {
            operation.endpoint == Some(Place::new(endpoint))
                && !operation.dropped
                && !matches!(operation.state, State::Done(_))
        })
    }

    /// The deadline of a call has passed.
    pub(super) fn call_expired(&mut self, place: u32) {
        if let Some(operation) = self.operations.get_mut(place) {
            operation.expired = true;
            self.notice(place);
        }
    }

    /// The slot of an operation that has news.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_notice(&mut self) -> Option<usize> {
        while let Some(place) = self.notices.pop() {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            operation.noticed = false;
            if operation.dropped {
                self.operations.free(place);
                continue;
            }
            return Some(place as usize);
        }
        None
    }

    /// Waits for the operation's deadline and nothing else.
    pub fn poll_sleep(&mut self, operation: OperationId) -> Poll<()> {
        match self.operations.find(operation.0) {
            Some(found) if !found.expired && self.ended().is_none() => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// The result of an operation that has ended; [`Cause::Timeout`] once its deadline has passed.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn poll_done(&mut self, operation: OperationId) -> Poll<Result<Outcome<S>, Failure<S>>> {
        let Some(found) = self.operations.find_mut(operation.0) else {
            return Poll::Ready(Err(Failure::new(Cause::Closed)));
        };
        if matches!(found.state, State::Done(_)) {
            return match core::mem::replace(&mut found.state, State::Idle) {
                State::Done(result) => Poll::Ready(result),
                _ => Poll::Pending,
            };
        }
        if found.expired {
            let (endpoint, state) = (found.endpoint.map(Place::index), &found.state);
            let uncertain = match *state {
                State::Sent(_) => true,
                State::Requested(key) => self.requests.find(key).is_some_and(|request| !request.waits()),
                _ => false,
            };
            return Poll::Ready(Err(Failure { uncertain, ..self.timeout(endpoint) }));
        }
        Poll::Pending
    }

    /// How long to wait before an attempt that failed is repeated, and counts it; `None` when there is to be no other.
    /// What a new holder of a session is told while the service has not noticed yet does not count.
    pub(crate) fn retry_delay(
        &mut self,
        endpoint: Option<EndpointId>,
        attempt: &mut u32,
        failure: &Failure<S>,
    ) -> Option<Millis> {
        let reason = failure.reason();
        if let (Some(Reason::SessionLockLost), Some(claiming), Some(id)) = (reason, self.claiming, endpoint)
            && (claiming.is_taking_over)(self, id)
        {
            return Some(super::session::TAKEOVER_POLL);
        }
        if !failure.is_transient() {
            return None;
        }
        let wait = self.settings.retry.next(*attempt, reason, &mut self.random)?;
        *attempt += 1;
        Some(wait)
    }

    /// A timeout, with what was known to be wrong meanwhile; what was missing where the link waited for room.
    pub(super) fn timeout(&self, endpoint: Option<u32>) -> Failure<S> {
        let known = endpoint.and_then(|place| self.endpoints.get(place)).and_then(|endpoint| endpoint.error.as_ref());
        if let Some(known) = known.filter(|known| is_of_room(known)) {
            return known.clone();
        }
        let known = known.or(self.ending.as_ref()).or(self.last_error.as_ref());
        Failure::after(Cause::Timeout, known)
    }
}
