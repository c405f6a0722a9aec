//! Drains: they take back unused credit, and probe whether a silent link is alive.
// docs/evidence/invariants.md §1 rows 1, 4–10

use super::attachment::Attachment;
use super::credit::{ANSWER, Next, PATIENCE, SILENCE};
use super::id::OperationId;
use super::{ClientMachine, Clock, Timer};
use crate::storage::{Features, Storage};
use crate::time::Millis;

impl<S: Storage> ClientMachine<S> {
    /// A receiver without a pending call gives unused credit back.
    pub(super) fn give_back(&mut self, place: u32, clock: Clock) {
        if S::Features::PREFETCH {
            self.note_locks(place, clock);
        }
        if self.credit.is_idle(place) && self.supplied(place).expected > 0 {
            self.start_drain(place, clock);
        }
    }

    /// A drain has begun, or the end of an endpoint that closes.
    pub(super) fn drain_begins(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        let ends = endpoint.is_closing() || self.link_up.is_leaving();
        self.credit.drain_begins(place);
        let patience = if ends { PATIENCE } else { self.credit.answer_time() };
        self.timers.start(Timer::Credit, place, clock.now, patience);
    }

    /// A link is attached, or the flow of a drain on it is written. Once it is both, the service has the drain, and the
    /// time for its answer begins.
    pub(super) fn drain_seen(&mut self, place: u32, clock: Clock) {
        let ends = self.link_up.is_leaving() || self.links.get(place).is_none_or(|endpoint| endpoint.is_closing());
        if !ends && self.credit.is_draining(place) && self.has_drain(place) {
            self.drain_begins(place, clock);
        }
    }

    /// Whether the service has the drain of a link.
    fn has_drain(&self, place: u32) -> bool {
        let link = self.links.get(place).and_then(|endpoint| endpoint.link_up());
        link.and_then(|link| self.connection.as_ref()?.link(link)).is_some_and(|status| status.drain_sent)
    }

    /// A receive has begun: a drain proves before its end that the link is alive, so that it ends in time and its
    /// result is true. Its deadline is reached in two steps.
    // docs/evidence/field-reports.md H5
    pub(super) fn prove_before(&mut self, operation: OperationId, clock: Clock) {
        let call = operation.0.index;
        let Some(deadline) = self.timers.get(Timer::Call, call) else { return };
        let wait = deadline.left(clock.now);
        let lead = self.credit.sick_after().min(Millis::new(wait.get() / 4));
        if lead >= ANSWER {
            self.calls.prove_before(operation, lead);
            self.timers.start(Timer::Call, call, clock.now, Millis::new(wait.get() - lead.get()));
        }
    }

    /// The deadline of a call has passed, or the time has come at which a receive proves that its link is alive.
    pub(super) fn call_timer(&mut self, call: u32, clock: Clock) {
        if let Some((place, left)) = self.calls.expire(call)
            && S::Features::RECEIVERS
        {
            self.timers.start(Timer::Call, call, clock.now, left);
            self.probe(place, clock);
        }
    }

    /// The link is alive: a frame has arrived on it. The end of a drain is not put off.
    pub(super) fn note_alive(&mut self, place: u32, clock: Clock) {
        if self.links.get(place).is_some() && !self.credit.is_draining(place) {
            self.timers.start(Timer::Credit, place, clock.now, SILENCE);
        }
    }

    /// Asks a link that has credit whether it is alive; false where there is nothing to ask.
    pub(super) fn probe(&mut self, place: u32, clock: Clock) -> bool {
        let up = self.links.get(place).is_some_and(|endpoint| endpoint.is_up() && !endpoint.is_closing());
        up && !self.credit.is_draining(place) && self.supplied(place).expected > 0 && self.start_drain(place, clock)
    }

    /// Takes the rest of a receiver's credit back; false when its link is not there any more.
    pub(super) fn start_drain(&mut self, place: u32, clock: Clock) -> bool {
        let link = self.links.get(place).and_then(|endpoint| endpoint.link());
        let (Some(link), Some(connection)) = (link, &mut self.connection) else { return false };
        let drains = connection.drain(link).is_ok();
        if drains {
            self.drain_begins(place, clock);
        }
        drains
    }

    /// The service has answered the drain: its messages are sent, the rest of the credit is returned.
    pub(super) fn endpoint_drained(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        let ends = endpoint.is_closing() || self.link_up.is_leaving();
        self.mark_link(place);
        if ends {
            return;
        }
        self.credit.drained(place);
        self.timers.stop(Timer::Credit, place);
        self.note_alive(place, clock);
        if self.credit.take_drained(place) {
            self.calls.notice_late(place);
        } else if self.credit.prefetch(place) == 0 {
            self.release_waiting(place);
        }
    }

    /// A drain was not answered in its time, or a link has been silent for long. A link can be gone without a word
    /// while the connection is well: the answer to a drain proves that it is not, and a link that gives none is
    /// replaced.
    // docs/evidence/invariants.md §1 row 1
    pub(super) fn credit_timer(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        if endpoint.is_closing() || self.link_up.is_leaving() {
            self.mark_link(place);
            return;
        }
        if !S::Features::RECEIVERS {
            return;
        }
        if !self.credit.is_draining(place) {
            if !self.probe(place, clock) {
                self.note_alive(place, clock);
            }
            return;
        }
        let seen = self.has_drain(place);
        match self.credit.escalate(place, seen) {
            Next::Replace => return self.replace_link(place, clock),
            Next::Wait(Some(wait)) => self.timers.start(Timer::Credit, place, clock.now, wait),
            Next::Wait(None) => {}
        }
        // Receives whose time is up do not wait for longer.
        self.calls.notice_late(place);
    }

    /// Replaces a link that does not answer a drain: its credit goes with it.
    fn replace_link(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        log!(warn, "a link does not answer a drain: it is replaced", place = place);
        if let Some(link) = endpoint.link() {
            self.detach(link);
        }
        self.release_waiting(place);
        self.endpoint_detached(place, clock, Attachment::Down, None);
    }
}
