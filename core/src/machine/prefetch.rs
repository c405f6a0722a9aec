//! Messages that are kept ready for calls to come.
// docs/evidence/invariants.md §1 row 11

use super::attachment::ReceiveMode;
use super::id::EndpointId;
use super::{ClientMachine, Clock, Timer};
use crate::servicebus::key::LOCKED_UNTIL;
use crate::storage::Storage;
use crate::time::{Millis, Timestamp};
use crate::wire::message::MessageView;

/// How long before the end of its lock a message that waits is given back.
const HANDOVER: Millis = Millis::from_secs(2);

/// The end of the lock on an encoded message.
fn locked_until(message: &[u8]) -> Option<Timestamp> {
    MessageView::parse(message).ok()?.message_annotations().ok()?.get(LOCKED_UNTIL)?.as_timestamp()
}

impl<S: Storage> ClientMachine<S> {
    /// Suspends a receiver that keeps messages ready, or lets it go on: the rest of the credit is given back, and what
    /// has come is released. What was settled when it came is kept.
    // docs/evidence/invariants.md §1 row 11
    #[doc(hidden)]
    pub fn suspend(&mut self, endpoint: EndpointId, suspended: bool) {
        if self.links.find(endpoint).is_none_or(|found| found.is_closing()) {
            return;
        }
        let place = endpoint.0.index;
        let gives_back = self.credit.suspend(place, suspended);
        self.mark_link(place);
        if gives_back {
            self.release_waiting(place);
        }
    }

    /// Notes when the messages that wait on a receiver without a pending call have to be given back.
    pub(super) fn note_locks(&mut self, place: u32, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        let waits = self.credit.receives(place) == 0
            && self.credit.prefetch(place) > 0
            && endpoint.mode() == ReceiveMode::PeekLock
            && !endpoint.is_session()
            && !endpoint.is_closing();
        if !waits || self.timers.get(Timer::Prefetched, place).is_some() {
            return;
        }
        let link = endpoint.link();
        let front = link.and_then(|link| self.connection.as_ref()?.peek(link));
        let Some(until) = front.and_then(locked_until) else { return };
        let left = self.service_clock.left(clock, until);
        self.timers.start(Timer::Prefetched, place, clock.now, left.before_end(left, 4, HANDOVER));
    }

    /// The local clock was wrong: what was fetched ahead may have waited beyond the end of its lock, and comes again with
    /// a new one.
    pub(super) fn release_prefetched(&mut self) {
        for _ in 0..self.credit.count_stocked() {
            let Some(place) = self.credit.take_stocked() else { return };
            self.timers.stop(Timer::Prefetched, place);
            self.release_waiting(place);
        }
    }

    /// Whoever pauses lets no lock run out: that would count as a failed delivery, and in the end dead-letter the
    /// messages.
    // docs/evidence/invariants.md §1 row 11
    pub(super) fn pause_idle(&mut self, place: u32, clock: Clock) {
        let closes = self.links.get(place).is_none_or(|endpoint| endpoint.is_closing());
        if closes || !self.credit.idle(place) {
            return;
        }
        self.release_waiting(place);
        if self.supplied(place).expected > 0 {
            self.start_drain(place, clock);
        }
    }
}
