//! Closing: nothing stays locked at the service for something that is closed.
// docs/evidence/invariants.md §1 row 4

use super::attachment::{ATTACH_ANSWER, Attachment, ReceiveMode};
use super::calls::State;
use super::credit::PATIENCE;
use super::id::{EndpointId, OperationId};
use super::links::{Gone, Sort};
use super::tokens::User;
use super::{Cause, ClientMachine, Clock, Failure, Timer, client};
use crate::engine::LinkId;
use crate::storage::{Features, Storage};
use crate::time::Instant;
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// Closes a sender or receiver. Messages under way are waited for, what a receiver has not handed out is released,
    /// and then the link is detached.
    #[doc(hidden)]
    pub fn close_endpoint(&mut self, id: EndpointId) {
        let place = id.0.index;
        if !self.links.close(id) {
            return;
        }
        self.credit.drained(place);
        let Some(endpoint) = self.links.get(place) else { return };
        let down = endpoint.link().is_none();
        if endpoint.is_session() {
            self.session_renewals_end(id, None);
        }
        self.fail_waiting(place, &Failure::new(Cause::Closed));
        if down {
            self.drop_endpoint(place);
        }
        self.due = true;
    }

    /// Another handle to a sender or receiver is made.
    #[doc(hidden)]
    pub fn share_endpoint(&mut self, id: EndpointId) {
        self.links.share(id);
    }

    /// A handle to a sender or receiver is dropped; with the last one it is closed.
    #[doc(hidden)]
    pub fn release_endpoint(&mut self, id: EndpointId) {
        if self.links.unshare(id) {
            self.close_endpoint(id);
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
    #[doc(hidden)]
    pub fn is_gone(&self, id: EndpointId) -> bool {
        self.links.find(id).is_none()
    }

    /// Brings a closing endpoint one step further.
    #[inline(never)]
    pub(super) fn wind_down(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        let Some(link) = endpoint.link() else {
            if endpoint.is_closing() {
                self.drop_endpoint(place);
            }
            return;
        };
        let (attached, is_receiver, in_session) = (endpoint.is_up(), endpoint.is_receiver(), endpoint.is_session());
        let releases = is_receiver && endpoint.mode() == ReceiveMode::PeekLock;
        if !self.credit.is_draining(place) {
            self.drain_begins(place, clock);
        }
        let late = self.timers.get(Timer::Credit, place).is_none();
        // A session that is not granted yet holds nothing, and its attach may be answered late: the detach is enough.
        let late = (in_session && !attached) || late;
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
            if attached && !late && (status.waiting > 0 || self.calls.has_sent(place)) {
                return;
            }
        }
        if releases {
            self.release_waiting(place);
        }
        self.detach(link);
        if S::Features::RECEIVERS && in_session && !attached {
            self.await_session_answer(place, link);
        }
        if late {
            // The peer does not answer: the link keeps its place until it does, or the connection is given up for that.
            self.link_gone(place, Attachment::Down);
            let keeps = self.links.get(place).is_some_and(|endpoint| !endpoint.is_closing());
            if in_session && attached && keeps {
                // Its lock goes with the link: whoever uses it is told.
                self.session_detached(place, true, &Failure::new(Cause::LinkLost));
            } else {
                self.wound_down(place);
            }
        }
    }

    /// Nobody waits for a session any more. The service may still use all the time that it has to find one, and answers
    /// neither the attach nor the detach before.
    fn await_session_answer(&mut self, place: u32, link: LinkId) {
        let lock = self.links.get(place).and_then(|endpoint| endpoint.session_lock());
        let time = lock.and_then(|lock| self.session_locks.accept_timeout(lock));
        if let (Some(time), Some(connection)) = (time, &mut self.connection) {
            let looks = time / ATTACH_ANSWER.get() + 1;
            connection.be_patient(link, u8::try_from(looks).unwrap_or(u8::MAX));
        }
    }

    /// The link of an endpoint is gone that closes, or that nothing needs for now.
    pub(super) fn wound_down(&mut self, place: u32) {
        if self.links.get(place).is_some_and(|endpoint| !endpoint.is_closing()) {
            self.links.park(place, !self.calls.has_any(place));
            self.due = true;
        } else {
            self.drop_endpoint(place);
        }
    }

    pub(super) fn drop_endpoint(&mut self, place: u32) {
        let Some(Gone { left, session_lock, token }) = self.links.remove(place) else { return };
        for timer in [Timer::Link, Timer::Credit, Timer::Prefetched] {
            self.timers.stop(timer, place);
        }
        self.credit.remove(place);
        if let Some(link) = left {
            self.forget_link(link);
        }
        if let Some(lock) = session_lock {
            self.session_locks.release(lock);
        }
        self.release(token, User::Link);
        let (connection, channels) = (self.connection.as_ref(), &self.channels);
        let closed = |state: &State<S>| Failure {
            uncertain: Self::may_be_done(connection, channels, state),
            ..Failure::new(Cause::Closed)
        };
        self.calls.leave(place, closed);
        self.due = true;
    }

    /// Closes: receivers drain and release, links are detached, then the connection is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.close();
    /// assert!(machine.is_closing());
    /// ```
    pub fn close(&mut self) {
        self.link_up.close();
        if S::Features::LOCK_RENEWAL {
            self.release_renewals();
        }
        for place in 0..self.links.end() {
            if let Some(id) = self.links.id(place) {
                self.close_endpoint(id);
            }
        }
        self.due = true;
        self.notice_all();
    }

    /// Ends the connection, if there is one, and keeps senders and receivers: messages under way are waited for, receivers
    /// drain and release, links are detached, then the connection is closed. The next call opens another.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.disconnect();
    /// assert!(!machine.is_closing(), "the next call opens another connection");
    /// ```
    pub fn disconnect(&mut self) {
        if self.connection.is_none() || self.link_up.is_closing() {
            return;
        }
        self.link_up.leave();
        for place in 0..self.links.end() {
            if self.links.get(place).is_some_and(|endpoint| endpoint.link().is_some()) {
                self.mark_link(place);
            }
        }
        self.due = true;
    }

    /// Waits until the connection has ended that [`ClientMachine::disconnect`] was to end.
    #[doc(hidden)]
    pub fn poll_disconnected(&mut self, operation: OperationId) -> Poll<()> {
        if self.link_up.is_leaving() && self.poll_done(operation).is_pending() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Whether [`ClientMachine::close`] has been called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.is_closing());
    /// machine.close();
    /// assert!(machine.is_closing());
    /// ```
    pub fn is_closing(&self) -> bool {
        self.link_up.is_closing()
    }

    /// Closes the connection once no endpoint is left. Before that, the answers to detaches are looked for in their time.
    pub(super) fn advance_close(&mut self, clock: Clock) {
        if let Some(connection) = &mut self.connection
            && self.link_up.closes(self.links.len() > 0, self.links.count(Sort::Linked) > 0)
        {
            connection.close(None);
            self.timers.start(Timer::Client, client::ANSWER, clock.now, PATIENCE);
        } else if self.detaches && self.timers.get(Timer::Client, client::ANSWER).is_none() {
            self.timers.start(Timer::Client, client::ANSWER, clock.now, ATTACH_ANSWER);
        }
    }
}
