//! Deadlines: of calls, requests, drains and tokens, of links and nodes that come back, and of the connection.

use super::{ClientMachine, Clock, Failure};
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

    fn timers(&mut self, clock: Clock) {
        self.moved = false;
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(clock.now);
        }
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
    }

    /// The next point in time at which [`ClientMachine::handle_timeout`] is due.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut earliest = self.earliest;
        let first = &mut earliest;
        for place in 0..self.requests.end() {
            if let Some(request) = self.requests.get(place).filter(|request| !request.is_answered()) {
                sooner(first, &Some(request.deadline));
            }
        }
        sooner(first, &self.renewal_at);
        let Some(connection) = &self.connection else { return earliest };
        sooner(first, &connection.poll_timeout().map(|(at, _)| at));
        sooner(first, &self.close_deadline);
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
