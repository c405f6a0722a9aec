//! Deadlines: of calls, requests, drains and tokens, of links and nodes that come back, and of the connection.

use super::{Cause, ClientMachine, Clock, Failure};
use crate::engine::Connection;
use crate::storage::{Storage, Table};
use crate::time::Instant;

/// Brings a deadline forward.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn sooner(earliest: &mut Option<Instant>, at: &Option<Instant>) {
    if let Some(at) = at
        && earliest.is_none_or(|earliest| *at < earliest)
    {
        *earliest = Some(*at);
    }
}

impl<S: Storage> ClientMachine<S> {
    /// Deadlines have passed. Without any it does nothing.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_timeout(&mut self, clock: Clock) {
        self.within(|machine| machine.timers(clock));
    }

    /// Does what is due, and what a deadline announced once it has passed, without a transport; whether there is more.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_due(&mut self, clock: Clock, deadline: Option<Instant>) -> bool {
        self.within(|machine| {
            if deadline.is_none_or(|deadline| deadline <= clock.now) {
                machine.timers(clock);
            }
            machine.act(clock);
            machine.process_events(clock);
            machine.moved = false;
            machine.is_due()
        })
    }

    fn timers(&mut self, clock: Clock) {
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(clock.now);
        }
        self.expire_opening(clock.now);
        if let Some(renewing) = self.renewing {
            (renewing.advance)(self, clock);
        }
        self.expire_operations(clock.now);
        self.expire_requests(clock);
        self.expire_nodes(clock);
        self.expire_drains(clock);
        self.probe_links(clock);
        if let Some(prefetching) = self.prefetching {
            (prefetching.pause_idle)(self, clock);
        }
        let passed = |at: &Instant| *at <= clock.now;
        for place in 0..self.endpoints.end() {
            if let Some(endpoint) = self.endpoints.get_mut(place)
                && endpoint.retry_at().as_ref().is_some_and(passed)
            {
                endpoint.retry(None);
            }
        }
        for place in 0..self.nodes.end() {
            if let Some(node) = self.nodes.get_mut(place) {
                node.retry_at.take_if(|at| passed(at));
            }
        }
        self.due = true;
        self.process_events(clock);
        self.moved = false;
    }

    /// An opening that takes longer than an attempt may is given up, transport and all.
    fn expire_opening(&mut self, now: Instant) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.opening_until.is_some_and(|at| at <= now))
        else {
            return;
        };
        // A credential that is slow is not the connection's fault.
        let mut tokens = (0..self.tokens.end()).filter_map(|place| self.tokens.get(place));
        if connection.is_open() && (self.access_token_pending || !tokens.any(|token| !token.valid && !token.parked)) {
            self.opening_until = Some(now + self.settings.retry.try_timeout);
            return;
        }
        if self.ending.is_none() {
            self.ending = Some(Failure::told(Cause::Timeout, &"the connection was not open in the time of an attempt"));
        }
        self.opening_until = None;
        connection.handle_disconnect();
    }

    /// The next point in time at which [`ClientMachine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connection = self.connection.as_ref().and_then(Connection::poll_timeout).map(|(at, _)| at);
        self.next_deadline(connection)
    }

    /// The next point in time at which [`ClientMachine::handle_due`] is due.
    pub fn poll_timeout_without_output(&self) -> Option<Instant> {
        self.next_deadline(self.connection.as_ref().and_then(Connection::poll_idle_timeout))
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn next_deadline(&self, connection: Option<Instant>) -> Option<Instant> {
        let mut earliest = self.earliest;
        let first = &mut earliest;
        for place in 0..self.requests.end() {
            if let Some(request) = self.requests.get(place).filter(|request| !request.is_answered()) {
                sooner(first, &Some(request.deadline));
            }
        }
        sooner(first, &self.renewal_at);
        // Nothing is tried any more on a connection that has failed.
        if self.connection.as_ref().is_none_or(|connection| connection.failure().is_some()) {
            return earliest;
        }
        sooner(first, &connection);
        sooner(first, &self.close_deadline);
        sooner(first, &self.opening_until);
        for place in 0..self.endpoints.end() {
            if let Some(endpoint) = self.endpoints.get(place) {
                sooner(first, &endpoint.retry_at());
                sooner(first, &endpoint.drain_deadline());
                sooner(first, &endpoint.release_at);
            }
            sooner(first, &self.probe_at(place));
        }
        for place in 0..self.nodes.end() {
            if let Some(node) = self.nodes.get(place) {
                sooner(first, &node.retry_at);
                sooner(first, &node.idle_at);
            }
        }
        for place in 0..self.tokens.end() {
            if let Some(token) = self.tokens.get(place) {
                sooner(first, &token.refresh_at);
            }
        }
        earliest
    }

    /// When to try again after so many attempts in a row that failed; `None` for at once.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn try_again_at(&mut self, now: Instant, attempts: u32, failure: &Failure<S>) -> Option<Instant> {
        let wait = self.settings.retry.wait(attempts.checked_sub(1)?, failure.reason(), &mut self.random);
        (wait.get() > 0).then(|| now.after(wait))
    }
}
