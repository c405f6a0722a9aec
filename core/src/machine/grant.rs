//! Grants credit: within the room of the connection's tables, to waiting receivers in turn.

use super::credit::{Budget, Grant};
use super::links::{Endpoint, Sort};
use super::{ClientMachine, Clock};
use crate::engine::Connection;
use crate::storage::{Features, Payloads, Storage};

/// The messages that a receiver has and expects.
pub(super) struct Supplied {
    /// Messages that can be taken.
    pub(super) ready: u32,
    /// Messages that may still come.
    pub(super) expected: u32,
    pub(super) draining: bool,
}

impl<S: Storage> ClientMachine<S> {
    pub(super) fn supplied(&self, place: u32) -> Supplied {
        let endpoint = self.links.get(place);
        let live = endpoint.and_then(|endpoint| self.connection.as_ref()?.link(endpoint.link()?));
        let remains = endpoint.filter(|_| S::Features::RECEIVE_AND_DELETE).map_or(0, |endpoint| self.remain(endpoint));
        Supplied {
            ready: live.map_or(0, |status| status.waiting) + remains,
            expected: live.map_or(0, |status| status.credit),
            draining: self.credit.is_draining(place),
        }
    }

    /// Grants the credit that a receiver's prefetch or its pending calls ask for; false where none is left, which it
    /// waits for then.
    pub(super) fn top_up(&mut self, place: u32) -> bool {
        let Some(endpoint) = self.links.get(place) else { return true };
        if !endpoint.is_receiver() || endpoint.is_closing() || !self.may_grant(endpoint) {
            return true;
        }
        // Where places are few, those that are declared are for the links that there are.
        let links = if S::Payloads::BOUNDED { self.links.count(Sort::Receiving) } else { self.links.capacity() };
        let (Some(link), Some(connection)) = (endpoint.link(), &mut self.connection) else { return true };
        let Some(status) = connection.link(link) else { return true };
        let budget = Budget {
            free: connection.free_deliveries(),
            links,
            creditors: connection.creditors(),
            credit: status.credit,
            waiting: status.waiting,
            halves: !S::Payloads::BOUNDED,
        };
        let none = match self.credit.wants(place, budget) {
            Grant::Nothing => false,
            Grant::Credit(wanted) => connection.grant(link, wanted) == Ok(0),
            Grant::NoPlace => true,
        };
        if none {
            self.starved = true;
            self.credit.wait_for_place(place);
        }
        !none
    }

    /// Where places are few, all of them may be promised to receivers that came first: while a receiver has none, the
    /// one with the most unused credit gives it back by a drain, and asks for its share anew.
    // docs/evidence/field-reports.md C12
    pub(super) fn take_back_credit(&mut self, clock: Clock) {
        if !S::Features::RECEIVERS || !S::Payloads::BOUNDED || !self.starved {
            return;
        }
        let (mut most, mut greediest, mut lacks) = (1, None, false);
        for place in 0..self.links.end() {
            if self.credit.is_draining(place) {
                return;
            }
            let credit = self.supplied(place).expected;
            let receives = self.links.get(place).is_some_and(Endpoint::is_receiver);
            lacks |= receives && credit == 0 && self.credit.waits_for_place(place);
            if receives && credit > most {
                (most, greediest) = (credit, Some(place));
            }
        }
        if let Some(place) = greediest.filter(|_| lacks) {
            self.probe(place, clock);
        }
    }

    /// Room was made: requests, links and messages get it in turn, as far as it goes.
    #[inline(never)]
    pub(super) fn room_made(&mut self) {
        self.starved = false;
        self.has_room = true;
        self.due = true;
        let mut free = self.connection.as_ref().map_or(0, Connection::free_deliveries);
        while free > 0 {
            let Some(place) = self.credit.take_without_place() else { return };
            if self.calls.give_place(place) {
                // The next message has its turn after those of others.
                self.credit.wait_for_place(place);
                free -= 1;
            } else if !self.top_up(place) {
                return;
            }
        }
        self.starved = true;
    }
}
