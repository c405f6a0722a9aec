//! Credit: demand, fair shares among receivers, drains, and probes of silent links (docs/evidence/invariants.md §1 rows
//! 4–10).

use super::close::PATIENCE;
use super::endpoint::{Attachment, Overdue};
use super::{ClientMachine, Clock, Timer};
use crate::engine::Connection;
use crate::storage::{Features, Marks, Payloads, Storage, Table};
use crate::time::{Instant, Millis};

/// Places in the table of deliveries that receivers leave free.
pub(super) const RESERVE: usize = 3;

/// How long a receiver with credit believes in a link on which nothing comes.
const SILENCE: Millis = Millis::from_secs(300);

/// The shortest time that an answer to a drain is waited for.
pub(super) const ANSWER: Millis = Millis::new(50);

/// A link that has not answered a drain for this long is sick: a receive that finds nothing there cannot tell whether the
/// service has messages.
const SICK: Millis = Millis::new(500);

/// The credit that one more grant may add when `free` deliveries have room and `others` links may still come without
/// any. The first message of a link always has room; of the rest, a grant `halves` what there is, so that an appetite
/// without bounds leaves some to others (docs/evidence/field-reports.md C12).
fn share(free: usize, others: usize, has_some: bool, halves: bool) -> u32 {
    // Requests, their responses and a message to send need places as well, or nothing would ever be settled.
    let spare = free.saturating_sub(RESERVE);
    let first = usize::from(!has_some && spare > 0);
    // Where places are few, half of them may go to one link, whatever the others are.
    let reserve = others.min(if halves { spare } else { spare / 2 });
    let rest = spare.saturating_sub(first).saturating_sub(reserve);
    u32::try_from(first + if halves { rest.div_ceil(2) } else { rest }).unwrap_or(u32::MAX)
}

/// What a receiver has and expects.
pub(super) struct Stock {
    /// Messages that can be taken.
    pub(super) ready: u32,
    /// Messages that may still come.
    pub(super) expected: u32,
    pub(super) draining: bool,
}

impl<S: Storage> ClientMachine<S> {
    pub(super) fn stock(&self, place: u32) -> Stock {
        let endpoint = self.endpoints.get(place);
        let live = endpoint.and_then(|endpoint| self.connection.as_ref()?.link(endpoint.attachment.link()?));
        let remains = endpoint.filter(|_| S::Features::RECEIVE_AND_DELETE).map_or(0, |endpoint| self.remain(endpoint));
        Stock {
            ready: live.map_or(0, |status| status.waiting) + remains,
            expected: live.map_or(0, |status| status.credit),
            draining: endpoint.is_some_and(|endpoint| endpoint.is_draining()),
        }
    }

    /// Grants the credit that a receiver's prefetch or its pending calls ask for; false where none is left, which it
    /// waits for then. Credit is never lowered: what was promised is taken back by a drain.
    pub(super) fn top_up(&mut self, place: u32) -> bool {
        let Some(endpoint) = self.endpoints.get(place) else { return true };
        if !endpoint.is_receiver() || endpoint.closing || endpoint.harvest || endpoint.idled || endpoint.is_draining() {
            return true;
        }
        if !self.may_grant(endpoint) {
            return true;
        }
        let (prefetch, demand) = (endpoint.prefetch(), endpoint.demand);
        let link = endpoint.attachment.link();
        // Where places are few, those that are declared are for the links that there are.
        let links = if S::Payloads::BOUNDED { self.receivers() } else { self.endpoints.capacity() };
        let (Some(link), Some(connection)) = (link, &mut self.connection) else { return true };
        let Some(status) = connection.link(link) else { return true };
        let wanted = if prefetch > 0 { prefetch } else { demand }.saturating_sub(status.waiting);
        let has_some = status.credit > 0 || status.waiting > 0;
        let others = links.saturating_sub(connection.creditors() + usize::from(!has_some));
        let share = share(connection.free_deliveries(), others, has_some, !S::Payloads::BOUNDED);
        let possible = status.credit.saturating_add(share);
        // More comes with the messages; none at all is asked for again when a place becomes free.
        let none = wanted > 0 && possible == 0 && status.waiting == 0;
        let wanted = wanted.min(possible);
        // A window is renewed at half, so that a flow serves many messages.
        let enough = wanted <= status.credit || (prefetch > 0 && status.credit > prefetch.min(possible) / 2);
        if none || (!enough && connection.grant(link, wanted) == Ok(0)) {
            self.starved = true;
            self.without_places.mark(place);
            return false;
        }
        true
    }

    /// Receivers that may take credit. A walk, for tables with a few places.
    fn receivers(&self) -> usize {
        let endpoints = (0..self.endpoints.end()).filter_map(|place| self.endpoints.get(place));
        endpoints.filter(|endpoint| endpoint.is_receiver() && !endpoint.closing && !endpoint.parked).count()
    }

    /// A receiver without a pending call gives unused credit back.
    pub(super) fn give_back(&mut self, place: u32, clock: Clock) {
        if S::Features::PREFETCH {
            self.note_locks(place, clock);
        }
        let idle = self
            .endpoints
            .get(place)
            .is_some_and(|endpoint| endpoint.receives == 0 && endpoint.prefetch() == 0 && !endpoint.is_draining());
        if idle && self.stock(place).expected > 0 {
            self.start_drain(place, clock);
        }
    }

    /// A drain has begun, or the end of an endpoint that closes.
    pub(super) fn drain_begins(&mut self, place: u32, clock: Clock) {
        if let Some(endpoint) = self.endpoints.get_mut(place) {
            endpoint.draining = true;
            endpoint.overdue = Overdue::No;
            let patience = if endpoint.closing || self.leaving { PATIENCE } else { self.answer_time };
            self.timers.start(Timer::Credit, place, clock.now, patience);
        }
    }

    /// A link is attached, or the flow of a drain on it is written. Once it is both, the service has the drain, and the
    /// time for its answer begins.
    pub(super) fn drain_seen(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.draining
            && !endpoint.closing
            && !self.leaving
            && endpoint.attachment.is_up()
            && self.is_drain_sent(place)
        {
            self.drain_begins(place, clock);
        }
    }

    fn is_drain_sent(&self, place: u32) -> bool {
        let link = self.endpoints.get(place).and_then(|endpoint| endpoint.attachment.link());
        link.and_then(|link| self.connection.as_ref()?.link(link)).is_some_and(|status| status.drain_sent)
    }

    /// After how long without an answer to its drain a link is held to be sick.
    pub(super) fn sick_after(&self) -> Millis {
        self.answer_time.max(SICK)
    }

    /// A receive has begun and finds nothing: a drain proves before its end that the link is alive, so that it ends in
    /// time and its result is true (docs/evidence/field-reports.md H5).
    pub(super) fn prove_before(&mut self, place: u32, deadline: Option<Instant>, clock: Clock) {
        let Some(deadline) = deadline else { return };
        let wait = deadline.left(clock.now);
        let lead = self.sick_after().min(Millis::new(wait.get() / 4));
        let at = clock.now.after(Millis::new(wait.get() - lead.get()));
        let sooner = self.timers.get(Timer::Credit, place).is_none_or(|known| at < known);
        if lead >= ANSWER && sooner && self.endpoints.get(place).is_some_and(|endpoint| !endpoint.is_draining()) {
            self.timers.set(Timer::Credit, place, Some(at));
        }
    }

    /// The service has answered the connection's open, `took` after the first byte.
    pub(super) fn note_answer_time(&mut self, took: Millis) {
        self.answer_time = Millis::new(took.get().saturating_mul(4)).max(ANSWER).min(PATIENCE);
    }

    /// Something has come on a link. The end of a drain is not put off, nor the proof that a receive waits for.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn hear(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get(place).filter(|endpoint| !endpoint.draining) else { return };
        let proves = endpoint.receives > 0 && self.timers.get(Timer::Credit, place).is_some_and(|at| at > clock.now);
        if !proves {
            self.timers.start(Timer::Credit, place, clock.now, SILENCE);
        }
    }

    /// Takes the rest of a receiver's credit back; false when its link is not there any more.
    pub(super) fn start_drain(&mut self, place: u32, clock: Clock) -> bool {
        let link = self.endpoints.get(place).and_then(|endpoint| endpoint.attachment.link());
        let (Some(link), Some(connection)) = (link, &mut self.connection) else { return false };
        let drains = connection.drain(link).is_ok();
        if drains {
            self.drain_begins(place, clock);
        }
        drains
    }

    /// The service has sent what it had and given the rest of the credit back.
    pub(super) fn endpoint_drained(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.closing || self.leaving {
            self.mark_link(place);
            return;
        }
        endpoint.drained();
        self.timers.stop(Timer::Credit, place);
        self.hear(place, clock);
        self.mark_link(place);
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.receives > 0 {
            endpoint.harvest = true;
            self.calls.notice_endpoint(place);
        } else if endpoint.prefetch() == 0 {
            self.release_waiting(place);
        }
    }

    /// A drain was not answered in its time, or a link has been silent for long. A link can be gone without a word while
    /// the connection is well (docs/evidence/invariants.md §1 row 1): the answer to a drain proves that it is not, and a
    /// link that gives none is replaced.
    pub(super) fn credit_timer(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get(place) else { return };
        if endpoint.closing || self.leaving {
            self.mark_link(place);
            return;
        }
        if !endpoint.is_draining() {
            let probes = endpoint.attachment.is_up() && self.stock(place).expected > 0;
            if !probes || !self.start_drain(place, clock) {
                self.hear(place, clock);
            }
            return;
        }
        let (overdue, next) = match endpoint.overdue {
            // The service has not seen it yet, which tells nothing about the link.
            Overdue::No if !endpoint.attachment.is_up() || !self.is_drain_sent(place) => (Overdue::Late, None),
            Overdue::No => (Overdue::Late, Some(self.sick_after().get() - self.answer_time.get())),
            Overdue::Late => (Overdue::Sick, Some(PATIENCE.get() - self.sick_after().get())),
            Overdue::Sick => return self.replace_link(place, clock),
        };
        if let Some(endpoint) = self.endpoints.get_mut(place) {
            endpoint.overdue = overdue;
        }
        if let Some(next) = next {
            self.timers.start(Timer::Credit, place, clock.now, Millis::new(next));
        }
        // Receives whose time is up do not wait for longer.
        self.calls.notice_endpoint(place);
    }

    /// Replaces a link that does not answer a drain: its credit goes with it.
    fn replace_link(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.endpoints.get(place) else { return };
        log!(warn, "a link does not answer a drain: it is replaced", place = place);
        if let (Some(link), Some(connection)) = (endpoint.attachment.link(), &mut self.connection) {
            let _ = connection.detach(link, true, None);
        }
        self.release_waiting(place);
        self.endpoint_detached(place, clock, Attachment::Down, None);
    }

    /// Room was made: requests look for it themselves, links and messages get it in turn, as far as it goes.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn room_made(&mut self) {
        self.starved = false;
        self.has_room = true;
        self.due = true;
        self.channels.room_made();
        let mut free = self.connection.as_ref().map_or(0, Connection::free_deliveries);
        while free > 0 {
            let Some(place) = self.without_places.take() else { return };
            if self.calls.give_place(place) {
                // The next message has its turn after those of others.
                self.without_places.mark(place);
                free -= 1;
            } else if !self.top_up(place) {
                return;
            }
        }
        self.starved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_gets_a_first_message_however_much_the_first_ones_want() {
        let (places, links) = (100_000, 4_999);
        let (mut free, mut least, mut most) = (places, u32::MAX, 0);
        for funded in 0..links {
            let granted = share(free, links - funded, false, true);
            free -= granted as usize;
            (least, most) = (least.min(granted), most.max(granted));
        }
        assert!(least >= 1, "each of {links} links gets {least} to {most}");
        assert!(most as usize > places / 4, "one link alone gets much");
        assert!(free >= RESERVE, "{free} places are left for requests");
    }

    #[test]
    fn a_link_that_asks_again_and_again_never_takes_all() {
        let (mut free, mut credit) = (100_000, 0);
        for _ in 0..1_000 {
            let granted = share(free, 5_000, credit > 0, true);
            credit += granted;
            free -= granted as usize;
        }
        assert!(share(free, 5_000, false, true) >= 1, "{credit} of 100000");
        for free in 0..=RESERVE {
            assert_eq!(share(free, 1, false, true), 0, "requests have places left");
        }
        assert_eq!(share(RESERVE + 1, 1, false, true), 1);
        assert_eq!(share(16, 1, false, false), 12, "where places are few, one is left for the other link");
    }
}
