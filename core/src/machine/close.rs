//! Closing: nothing stays locked at the service for something that is closed (docs/evidence/invariants.md §1 row 4).

use super::calls::{OperationId, State};
use super::endpoint::{Attachment, EndpointId, ReceiveMode};
use super::tokens::User;
use super::{Cause, ClientMachine, Clock, Failure, Timer, client};
use crate::storage::{Features, Marks, Storage, Table};
use crate::time::{Instant, Millis};
use core::task::Poll;

/// How long the peer may take to answer a drain or a detach before the rest goes on without it.
pub(super) const PATIENCE: Millis = Millis::from_secs(5);

impl<S: Storage> ClientMachine<S> {
    /// Closes a sender or receiver. Messages under way are waited for, what a receiver has not handed out is released,
    /// and then the link is detached.
    pub fn close_endpoint(&mut self, id: EndpointId) {
        let place = id.0.index;
        let Some(endpoint) = self.endpoints.find_mut(id.0) else { return };
        if endpoint.closing {
            return;
        }
        endpoint.closing = true;
        endpoint.drained();
        let down = endpoint.attachment.link().is_none();
        if endpoint.is_session() {
            self.session_renewals_end(id, None);
        }
        self.fail_waiting(place, &Failure::new(Cause::Closed));
        if down {
            self.drop_endpoint(place);
        }
        self.mark_link(place);
        self.due = true;
    }

    /// Another handle to a sender or receiver is made.
    pub fn share_endpoint(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.find_mut(id.0) {
            endpoint.clones = endpoint.clones.saturating_add(1);
        }
    }

    /// A handle to a sender or receiver is dropped; with the last one it is closed.
    pub fn release_endpoint(&mut self, id: EndpointId) {
        match self.endpoints.find_mut(id.0) {
            Some(endpoint) if endpoint.clones > 0 => endpoint.clones -= 1,
            _ => self.close_endpoint(id),
        }
    }

    /// A call that has news when an endpoint that closes is gone.
    ///
    /// # Errors
    /// As [`ClientMachine::start`].
    pub(crate) fn start_close(&mut self, id: EndpointId, until: Option<Instant>) -> Result<OperationId, Failure<S>> {
        let operation = self.start(None, until)?;
        if !self.is_gone(id) {
            self.calls.follow(operation, id.0.index);
        }
        Ok(operation)
    }

    /// Whether an endpoint is gone, link and all.
    pub fn is_gone(&self, id: EndpointId) -> bool {
        self.endpoints.find(id.0).is_none()
    }

    /// Brings a closing endpoint one step further.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn wind_down(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let Some(link) = endpoint.attachment.link() else {
            if endpoint.closing {
                self.drop_endpoint(place);
            }
            return;
        };
        let attached = endpoint.attachment.is_up();
        if !endpoint.is_draining() {
            self.drain_begins(place, clock);
        }
        let late = self.timers.get(Timer::Credit, place).is_none();
        let Some(endpoint) = self.endpoints.get(place) else { return };
        let is_receiver = endpoint.is_receiver();
        let in_session = endpoint.is_session();
        // A session that is not granted yet holds nothing, and its attach may be answered late: the detach is enough.
        let late = (in_session && !attached) || late;
        let releases = is_receiver && endpoint.mode() == ReceiveMode::PeekLock;
        let Some(connection) = &mut self.connection else { return };
        let Some(status) = connection.link(link) else { return };
        if is_receiver {
            // Draining counts the credit down to nothing; asking again while it lasts changes nothing. Credit may have
            // travelled with the attach, and messages come for it as soon as that is answered.
            if !late && (status.credit > 0 || status.draining) {
                if !status.draining {
                    let _ = connection.drain(link);
                }
                return;
            }
        } else {
            let under_way = self.calls.any(place, |state| matches!(state, State::Sent(_)));
            if attached && !late && (status.waiting > 0 || under_way) {
                return;
            }
        }
        if releases {
            self.release_waiting(place);
        }
        if let Some(connection) = &mut self.connection {
            let _ = connection.detach(link, true, None);
        }
        if late {
            // The peer does not answer: it is dropped with the connection, or when the answer comes after all.
            self.link_gone(place, Attachment::Down);
            let keeps = self.endpoints.get(place).is_some_and(|endpoint| !endpoint.closing);
            if in_session && attached && keeps {
                // Its lock goes with the link: whoever uses it is told.
                self.session_detached(place, true, &Failure::new(Cause::LinkLost));
            } else {
                self.wound_down(place);
            }
        }
    }

    /// The link of an endpoint is gone that closes, or that nothing needs for now.
    pub(super) fn wound_down(&mut self, place: u32) {
        let wanted = self.calls.has_any(place);
        match self.endpoints.get_mut(place) {
            Some(endpoint) if !endpoint.closing => {
                endpoint.parked = !wanted;
                self.due = true;
            }
            _ => self.drop_endpoint(place),
        }
    }

    pub(super) fn drop_endpoint(&mut self, place: u32) {
        let Some(endpoint) = self.endpoints.get(place) else { return };
        let (attachment, lock, token) = (endpoint.attachment, endpoint.session_lock(), endpoint.entity().token);
        self.link_gone(place, Attachment::Down);
        self.endpoints.free(place);
        // The place may get a new entry, whose marks are its own.
        self.ready.clear(place);
        self.without_token.clear(place);
        self.without_room.clear(place);
        self.without_places.clear(place);
        if let (Attachment::Remains { link, retired: false }, Some(connection)) = (attachment, &mut self.connection) {
            connection.forget(link);
        }
        if let Some(lock) = lock {
            self.session_locks.release(lock);
        }
        self.release(token, User::Link);
        self.calls.leave(place, &Failure::new(Cause::Closed));
        self.due = true;
    }

    /// Closes: receivers drain and release, links are detached, then the connection is closed.
    pub fn close(&mut self) {
        self.closing = true;
        if S::Features::LOCK_RENEWAL {
            self.release_renewals();
        }
        for place in 0..self.endpoints.end() {
            if let Some(key) = self.endpoints.key(place) {
                self.close_endpoint(EndpointId(key));
            }
        }
        self.due = true;
        self.notice_all();
    }

    /// Ends the connection, if there is one, and keeps senders and receivers: messages under way are waited for, receivers
    /// drain and release, links are detached, then the connection is closed. The next call opens another.
    pub fn disconnect(&mut self) {
        if self.connection.is_none() || self.closing {
            return;
        }
        self.leaving = true;
        for place in 0..self.endpoints.end() {
            if self.endpoints.get(place).is_some() {
                self.mark_link(place);
            }
        }
        self.due = true;
    }

    /// Waits until the connection has ended that [`ClientMachine::disconnect`] was to end.
    pub fn poll_disconnected(&mut self, operation: OperationId) -> Poll<()> {
        if self.leaving && self.poll_done(operation).is_pending() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether [`ClientMachine::close`] has been called.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Closes the connection once no endpoint is left.
    pub(super) fn advance_close(&mut self, clock: Clock) {
        let ends = if self.closing {
            self.endpoints.is_empty()
        } else {
            let mut endpoints = (0..self.endpoints.end()).filter_map(|place| self.endpoints.get(place));
            self.leaving && !endpoints.any(|endpoint| endpoint.attachment.link().is_some())
        };
        if ends
            && !self.close_sent
            && let Some(connection) = &mut self.connection
        {
            connection.close(None);
            self.close_sent = true;
            self.timers.start(Timer::Client, client::CLOSE, clock.now, PATIENCE);
        }
    }
}
