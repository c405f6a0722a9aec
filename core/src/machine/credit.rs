//! Credit: what receivers want and have granted, drains and their time-outs, and the receivers that wait for a place.
// docs/evidence/invariants.md §1 rows 4–11

use crate::storage::{Beside, Features, Marks, MarksOf, Slots, Storage, room};
use crate::time::{Instant, Millis};

/// Places in the table of deliveries that receivers leave free.
pub(super) const RESERVE: usize = 3;

/// How long a receiver with credit believes in a link on which nothing comes.
pub(super) const SILENCE: Millis = Millis::from_secs(300);

/// The shortest time that an answer to a drain is waited for.
pub(super) const ANSWER: Millis = Millis::new(50);

/// Time-out of a drain or detach: afterwards the client continues without the peer's answer.
pub(super) const PATIENCE: Millis = Millis::from_secs(5);

/// A link that has not answered a drain for this long is sick: a receive that finds nothing there cannot tell whether
/// the service has messages.
const SICK: Millis = Millis::new(500);

/// The credit that one more grant may add when `free` deliveries have room and `others` links may still come without
/// any. The first message of a link always has room; of the rest, a grant `halves` what there is, so that an appetite
/// without bounds leaves some to others.
// docs/evidence/field-reports.md C12
fn share(free: usize, others: usize, has_some: bool, halves: bool) -> u32 {
    // Requests, their responses and a message to send need places as well, or nothing would ever be settled.
    let spare = free.saturating_sub(RESERVE);
    let first = usize::from(!has_some && spare > 0);
    // In small tables, half of the places may go to one link, whatever the number of links; the last one is not for a link
    // that has credit.
    let most = if has_some { spare.div_ceil(2) } else { spare / 2 };
    let reserve = others.min(if halves { spare } else { most });
    let rest = spare.saturating_sub(first).saturating_sub(reserve);
    u32::try_from(first + if halves { rest.div_ceil(2) } else { rest }).unwrap_or(u32::MAX)
}

/// The places available to one receiver, and the credit of its link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Deliveries that have room.
    pub(super) free: usize,
    /// Links that may come for credit.
    pub(super) links: usize,
    /// Links that have credit.
    pub(super) creditors: usize,
    /// The link's credit.
    pub(super) credit: u32,
    /// Messages that wait on it.
    pub(super) waiting: u32,
    /// A grant leaves half of what there is to others.
    pub(super) halves: bool,
}

/// The next action for a receiver's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// It has enough.
    Nothing,
    /// To so much in all.
    Credit(u32),
    /// It wants some, and there is none.
    NoPlace,
}

/// What a drain that is not answered calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is waited for, with another deadline where there is one.
    Wait(Option<Millis>),
    /// The link is sick.
    Replace,
}

/// How long the answer to a drain has been missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Overdue {
    /// Not for longer than a healthy service takes.
    No,
    /// For longer: a receive whose time is up does not wait for it.
    Late,
    /// For so long that the link is held to be sick.
    Sick,
}

/// What a receiver wants; of senders, how far their end is.
#[derive(Debug)]
struct Supply {
    /// A drain is under way, or the end of an endpoint that closes.
    draining: bool,
    /// How long its answer has been missing.
    overdue: Overdue,
    /// A drain has ended: its messages are taken before new credit is granted.
    drained: bool,
    /// Its last receive is over: unused credit is given back.
    gives_back: bool,
    /// Messages that the pending receives want.
    demand: u32,
    /// Pending receives.
    receives: u32,
    /// Since when there always was a message that waited.
    stocked_since: Option<Instant>,
    /// When the oldest lock that it may have was asked for: by a receive call, or by its attach for a session.
    asked_at: Instant,
}

/// What a receiver keeps ready.
#[derive(Debug, Default)]
struct Ahead {
    /// Messages that are kept ready.
    prefetch: u32,
    /// They were given back: nothing is fetched ahead until the next call.
    idled: bool,
    /// Prefetching is paused by the application.
    suspended: bool,
}

/// What all receivers want, by the places of senders and receivers.
pub(super) struct Credit<S: Storage> {
    /// How long an answer of the service may take at most before something is wrong.
    answer_time: Millis,
    /// Receivers that want credit, and senders with messages, for which there was no place.
    without_places: MarksOf<S, room::Links>,
    /// Receivers on which messages wait that were fetched ahead.
    stocked: MarksOf<S, room::Prefetching>,
    aheads: Beside<S, room::Prefetching, Ahead>,
    supplies: Slots<S, room::Links, Supply>,
}

impl<S: Storage> Credit<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self {
            answer_time: ANSWER,
            without_places: Marks::empty(),
            stocked: Marks::empty(),
            aheads: Beside::default(),
            supplies: Slots::<S, room::Links, _>::default(),
        }
    }

    fn get(&self, place: u32) -> Option<&Supply> {
        self.supplies.get(place as usize)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Supply> {
        self.supplies.get_mut(place as usize)
    }

    /// A sender or receiver is added, which keeps so many messages ready.
    pub(super) fn add(&mut self, place: u32, prefetch: u32) {
        let supply = Supply {
            draining: false,
            overdue: Overdue::No,
            drained: false,
            gives_back: false,
            demand: 0,
            receives: 0,
            stocked_since: None,
            asked_at: Instant::ZERO,
        };
        self.supplies.put(place as usize, supply);
        if let Some(ahead) = self.ahead_mut(place) {
            *ahead = Ahead { prefetch, ..Ahead::default() };
        }
    }

    /// What it keeps ready, where messages are fetched ahead.
    fn ahead(&self, place: u32) -> Option<&Ahead> {
        if S::Features::PREFETCH { self.aheads.get(place) } else { None }
    }

    fn ahead_mut(&mut self, place: u32) -> Option<&mut Ahead> {
        if S::Features::PREFETCH { self.aheads.get_mut(place) } else { None }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, place: u32) {
        self.supplies.take(place as usize);
        // The place may get a new entry, whose marks are its own.
        self.without_places.clear(place);
        self.stocked.clear(place);
    }

    /// Its link is gone, and with it the credit and the messages not yet taken.
    pub(super) fn link_gone(&mut self, place: u32) {
        self.emptied(place);
        let Some(supply) = self.get_mut(place) else { return };
        (supply.drained, supply.draining, supply.gives_back) = (false, false, false);
    }

    /// The number of messages to prefetch now.
    pub(super) fn prefetch(&self, place: u32) -> u32 {
        let ahead = self.ahead(place).filter(|ahead| !ahead.suspended && !ahead.idled);
        ahead.map_or(0, |ahead| ahead.prefetch)
    }

    /// Pending receives.
    pub(super) fn receives(&self, place: u32) -> u32 {
        self.get(place).map_or(0, |supply| supply.receives)
    }

    /// A receive of so many messages begins; returns whether the receiver had released its prefetched messages.
    pub(super) fn begin(&mut self, place: u32, count: u32, asked_at: Option<Instant>) -> bool {
        let Some(supply) = self.get_mut(place) else { return false };
        supply.asked_at = asked_at.unwrap_or(supply.asked_at);
        supply.demand = supply.demand.saturating_add(count);
        supply.receives += 1;
        self.ahead_mut(place).is_some_and(|ahead| core::mem::take(&mut ahead.idled))
    }

    /// A receive has ended; credit that no other receive wants will be drained. Returns the number of pending receives.
    pub(super) fn end(&mut self, place: u32, count: u32) -> u32 {
        let Some(supply) = self.get_mut(place) else { return 0 };
        supply.demand = supply.demand.saturating_sub(count);
        supply.receives = supply.receives.saturating_sub(1);
        supply.drained = false;
        supply.gives_back |= supply.receives == 0;
        supply.receives
    }

    /// Locks are asked for now.
    pub(super) fn asked(&mut self, place: u32, now: Instant) {
        if let Some(supply) = self.get_mut(place) {
            supply.asked_at = now;
        }
    }

    /// When the oldest lock that it may have was asked for.
    pub(super) fn asked_at(&self, place: u32) -> Option<Instant> {
        self.get(place).map(|supply| supply.asked_at)
    }

    /// A message has come.
    pub(super) fn stocked(&mut self, place: u32, now: Instant) {
        let prefetches = self.prefetch(place) > 0;
        let Some(supply) = self.get_mut(place) else { return };
        supply.stocked_since.get_or_insert(now);
        if prefetches {
            self.stocked.mark(place);
        }
    }

    /// No message waits any more.
    pub(super) fn emptied(&mut self, place: u32) {
        self.stocked.clear(place);
        if let Some(supply) = self.get_mut(place) {
            supply.stocked_since = None;
        }
    }

    /// Since when there always was a message that waited.
    pub(super) fn stocked_since(&self, place: u32) -> Option<Instant> {
        self.get(place)?.stocked_since
    }

    /// As many as have messages that were fetched ahead, or more.
    pub(super) fn count_stocked(&self) -> usize {
        self.stocked.count()
    }

    /// The next receiver on which messages wait that were fetched ahead.
    pub(super) fn take_stocked(&mut self) -> Option<u32> {
        self.stocked.take()
    }

    /// Pauses or resumes prefetching; returns whether prefetched messages should be released.
    pub(super) fn suspend(&mut self, place: u32, suspended: bool) -> bool {
        if let Some(ahead) = self.ahead_mut(place) {
            ahead.suspended = suspended;
        }
        let Some(supply) = self.get_mut(place) else { return false };
        let gives_back = suspended && supply.receives == 0;
        supply.gives_back |= gives_back;
        gives_back
    }

    /// What was kept ready waits for too long; false when a receive is there for it.
    pub(super) fn idle(&mut self, place: u32) -> bool {
        if self.receives(place) > 0 {
            return false;
        }
        let Some(ahead) = self.ahead_mut(place) else { return false };
        ahead.idled = true;
        true
    }

    /// Whether the last receive is over, asked once.
    pub(super) fn take_gives_back(&mut self, place: u32) -> bool {
        self.get_mut(place).is_some_and(|supply| core::mem::take(&mut supply.gives_back))
    }

    /// Whether unused credit should be drained.
    pub(super) fn is_idle(&self, place: u32) -> bool {
        self.receives(place) == 0 && self.prefetch(place) == 0 && !self.is_draining(place)
    }

    /// A drain, or the end of an endpoint, is under way.
    pub(super) fn is_draining(&self, place: u32) -> bool {
        self.get(place).is_some_and(|supply| supply.draining)
    }

    /// The same, and for how long its answer has been missing.
    pub(super) fn overdue(&self, place: u32) -> Option<Overdue> {
        self.get(place).filter(|supply| supply.draining).map(|supply| supply.overdue)
    }

    /// A drain begins, or the end of an endpoint.
    pub(super) fn drain_begins(&mut self, place: u32) {
        if let Some(supply) = self.get_mut(place) {
            (supply.draining, supply.overdue) = (true, Overdue::No);
        }
    }

    /// It is over.
    pub(super) fn drained(&mut self, place: u32) {
        if let Some(supply) = self.get_mut(place) {
            supply.draining = false;
        }
    }

    /// Messages that a drain brought are taken before new credit is granted; false where no receive wants them.
    pub(super) fn take_drained(&mut self, place: u32) -> bool {
        let wanted = self.receives(place) > 0;
        if let Some(supply) = self.get_mut(place).filter(|_| wanted) {
            supply.drained = true;
        }
        wanted
    }

    /// The messages of a drain were taken, or there were none; returns whether a receive waited for them.
    pub(super) fn clear_drained(&mut self, place: u32) -> bool {
        self.get_mut(place).is_some_and(|supply| core::mem::take(&mut supply.drained))
    }

    /// The answer to a drain is missing for longer than it was. `seen` if the service has had the drain for that long.
    pub(super) fn escalate(&mut self, place: u32, seen: bool) -> Next {
        let (sick, answer) = (self.sick_after().get(), self.answer_time.get());
        let Some(supply) = self.get_mut(place) else { return Next::Wait(None) };
        let (overdue, wait) = match supply.overdue {
            // The service has not seen it yet, which proves nothing about the link.
            Overdue::No if !seen => (Overdue::Late, None),
            Overdue::No => (Overdue::Late, Some(sick - answer)),
            Overdue::Late => (Overdue::Sick, Some(PATIENCE.get() - sick)),
            Overdue::Sick => return Next::Replace,
        };
        supply.overdue = overdue;
        Next::Wait(wait.map(Millis::new))
    }

    /// How long an answer of the service may take at most before something is wrong.
    pub(super) fn answer_time(&self) -> Millis {
        self.answer_time
    }

    /// The service has answered the connection's open, `took` after the first byte.
    pub(super) fn note_answer_time(&mut self, took: Millis) {
        self.answer_time = Millis::new(took.get().saturating_mul(4)).max(ANSWER).min(PATIENCE);
    }

    /// After how long without an answer to its drain a link is held to be sick.
    pub(super) fn sick_after(&self) -> Millis {
        self.answer_time.max(SICK)
    }

    /// The credit that a receiver's prefetch or pending calls need. Credit is never lowered: unused credit is drained.
    pub(super) fn wants(&self, place: u32, budget: Budget) -> Grant {
        let Some(supply) = self.get(place) else { return Grant::Nothing };
        let idled = self.ahead(place).is_some_and(|ahead| ahead.idled);
        if supply.drained || supply.draining || idled {
            return Grant::Nothing;
        }
        let prefetch = self.prefetch(place);
        let wanted = if prefetch > 0 { prefetch } else { supply.demand }.saturating_sub(budget.waiting);
        let has_some = budget.credit > 0 || budget.waiting > 0;
        let others = budget.links.saturating_sub(budget.creditors + usize::from(!has_some));
        let possible = budget.credit.saturating_add(share(budget.free, others, has_some, budget.halves));
        // More is granted as messages arrive; a receiver that got none is tried again when a place becomes free.
        if wanted > 0 && possible == 0 && budget.waiting == 0 {
            return Grant::NoPlace;
        }
        let wanted = wanted.min(possible);
        // A window is renewed at half, so that a flow serves many messages.
        let enough = wanted <= budget.credit || (prefetch > 0 && budget.credit > prefetch.min(possible) / 2);
        if enough { Grant::Nothing } else { Grant::Credit(wanted) }
    }

    /// There was no place for its credit or its message: it waits for one, in turn.
    pub(super) fn wait_for_place(&mut self, place: u32) {
        self.without_places.mark(place);
    }

    /// Whether it waits for a place.
    pub(super) fn waits_for_place(&self, place: u32) -> bool {
        self.without_places.has(place)
    }

    /// The one whose turn it is.
    pub(super) fn take_without_place(&mut self) -> Option<u32> {
        self.without_places.take()
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
        assert_eq!(share(RESERVE + 1, 1, true, false), 0, "the last place is for a link that has none");
    }
}

#[cfg(all(test, feature = "alloc"))]
mod part_tests {
    use super::*;
    use crate::storage::Heap;

    const BUDGET: Budget = Budget { free: 1_000, links: 1, creditors: 0, credit: 0, waiting: 0, halves: true };

    #[test]
    fn receives_ask_for_what_they_want_and_give_back_the_rest_when_the_last_one_ends() {
        let mut credit = Credit::<Heap>::new();
        credit.add(3, 0);
        assert_eq!(credit.wants(3, BUDGET), Grant::Nothing);
        assert!(!credit.begin(3, 10, None) && !credit.begin(3, 5, Some(Instant::from_millis(7))));
        assert_eq!((credit.wants(3, BUDGET), credit.asked_at(3)), (Grant::Credit(15), Some(Instant::from_millis(7))));
        assert_eq!(credit.wants(3, Budget { waiting: 15, ..BUDGET }), Grant::Nothing, "they are there");
        assert_eq!(credit.wants(3, Budget { free: RESERVE, ..BUDGET }), Grant::NoPlace);
        assert_eq!((credit.end(3, 10), credit.take_gives_back(3)), (1, false));
        assert_eq!((credit.end(3, 5), credit.take_gives_back(3), credit.take_gives_back(3)), (0, true, false));
    }

    #[test]
    fn nothing_is_granted_while_a_drain_lasts_nor_before_its_messages_are_taken() {
        let mut credit = Credit::<Heap>::new();
        credit.add(0, 0);
        credit.begin(0, 1, None);
        credit.drain_begins(0);
        assert_eq!((credit.wants(0, BUDGET), credit.overdue(0)), (Grant::Nothing, Some(Overdue::No)));
        credit.drained(0);
        assert!(credit.take_drained(0), "a receive waits for it");
        assert_eq!((credit.wants(0, BUDGET), credit.overdue(0)), (Grant::Nothing, None));
        assert!(credit.clear_drained(0));
        assert_eq!(credit.wants(0, BUDGET), Grant::Credit(1));
    }

    #[test]
    fn a_drain_without_an_answer_is_late_then_sick_then_the_link_is_replaced() {
        let mut credit = Credit::<Heap>::new();
        credit.note_answer_time(Millis::new(50));
        credit.add(0, 0);
        credit.drain_begins(0);
        assert_eq!(credit.escalate(0, true), Next::Wait(Some(Millis::new(300))), "sick after half a second");
        assert_eq!(credit.escalate(0, true), Next::Wait(Some(Millis::new(4_500))));
        assert_eq!((credit.overdue(0), credit.escalate(0, true)), (Some(Overdue::Sick), Next::Replace));
        credit.drain_begins(0);
        assert_eq!(credit.escalate(0, false), Next::Wait(None), "the service has not seen it");
        credit.link_gone(0);
        assert!(!credit.is_draining(0));
    }

    #[test]
    fn what_was_fetched_ahead_is_found_without_those_that_have_nothing() {
        let mut credit = Credit::<Heap>::new();
        for place in 0..100 {
            credit.add(place, 10);
        }
        credit.stocked(7, Instant::ZERO);
        credit.stocked(9, Instant::ZERO);
        credit.emptied(7);
        assert_eq!((credit.take_stocked(), credit.take_stocked()), (Some(9), None));
        assert!(credit.idle(9), "nobody receives");
        assert_eq!((credit.prefetch(9), credit.begin(9, 1, None), credit.prefetch(9)), (0, true, 10));
        credit.suspend(9, true);
        assert_eq!(credit.prefetch(9), 0);
    }
}
