//! Receivers that wait: for messages of a store, in turn, and for sessions of one.
//!
//! A receiver without credit has no turn and costs nothing; one that is gone costs what it takes to find it.

use super::entities::StoreId;
use super::id_map::IdMap;
use super::work::Work;
use servicebus_core::random::Random;
use std::collections::BTreeMap;

#[derive(Debug)]
struct Consumer<P> {
    place: P,
    store: StoreId,
    /// Its turn for messages, or its place among those that wait for a session.
    turn: Option<u64>,
}

/// Receivers by turn.
type Turns = BTreeMap<u64, u64>;

/// The receivers of a namespace by number, each with its place: where it is found.
#[derive(Debug)]
pub(crate) struct Consumers<P> {
    all: IdMap<u64, Consumer<P>>,
    last: u64,
    last_turn: u64,
    /// Receivers that have credit, by store.
    receivers: IdMap<StoreId, Turns>,
    /// Receivers that wait for a session, by store.
    acceptors: IdMap<StoreId, Turns>,
    work: Work,
}

impl<P: Copy> Consumers<P> {
    /// No receivers yet; those that are looked at are counted there.
    pub(crate) fn new(work: Work) -> Self {
        Self {
            all: IdMap::default(),
            last: 0,
            last_turn: 0,
            receivers: IdMap::default(),
            acceptors: IdMap::default(),
            work,
        }
    }

    /// A new receiver; its number.
    pub(crate) fn add(&mut self, place: P, store: StoreId) -> u64 {
        self.last += 1;
        self.all.insert(self.last, Consumer { place, store, turn: None });
        self.last
    }

    /// The place of a receiver.
    pub(crate) fn place(&self, consumer: u64) -> Option<P> {
        self.all.get(&consumer).map(|found| found.place)
    }

    /// Forgets a receiver; its store.
    pub(crate) fn remove(&mut self, consumer: u64) -> Option<StoreId> {
        self.rest(consumer);
        let found = self.all.remove(&consumer)?;
        self.work.add(1);
        if self.all.capacity() > 1_024 && self.all.capacity() / 8 > self.all.len() {
            self.all.shrink_to(2 * self.all.len());
        }
        Some(found.store)
    }

    /// Gives a receiver with credit the last turn, unless it has one. False when it is gone.
    pub(crate) fn want(&mut self, consumer: u64) -> bool {
        self.line_up(consumer, false)
    }

    /// Lets a receiver wait for a session.
    pub(crate) fn want_session(&mut self, consumer: u64) -> bool {
        self.line_up(consumer, true)
    }

    fn line_up(&mut self, consumer: u64, for_session: bool) -> bool {
        let Some(found) = self.all.get_mut(&consumer) else { return false };
        self.work.add(1);
        if found.turn.is_none() {
            self.last_turn += 1;
            found.turn = Some(self.last_turn);
            let waiting = if for_session { &mut self.acceptors } else { &mut self.receivers };
            waiting.entry(found.store).or_default().insert(self.last_turn, consumer);
        }
        true
    }

    /// Takes a receiver's turn away: it has no credit, or waits for a session no more.
    pub(crate) fn rest(&mut self, consumer: u64) {
        let Some(found) = self.all.get_mut(&consumer) else { return };
        let Some(turn) = found.turn.take() else { return };
        self.work.add(1);
        for waiting in [&mut self.receivers, &mut self.acceptors] {
            if let Some(turns) = waiting.get_mut(&found.store) {
                turns.remove(&turn);
                if turns.is_empty() {
                    waiting.remove(&found.store);
                }
            }
        }
    }

    /// Takes the turn of the receiver whose turn it is.
    pub(crate) fn next(&mut self, store: StoreId) -> Option<(u64, P)> {
        let consumer = *self.receivers.get(&store)?.first_key_value()?.1;
        let place = self.place(consumer)?;
        self.rest(consumer);
        Some((consumer, place))
    }

    /// Whether a receiver with credit waits for messages of a store.
    pub(crate) fn is_awaited(&self, store: StoreId) -> bool {
        self.receivers.contains_key(&store)
    }

    /// Whether a receiver waits for a session.
    pub(crate) fn has_acceptor(&self, store: StoreId) -> bool {
        self.acceptors.contains_key(&store)
    }

    /// One of the receivers that wait for a session. No document names an order, so that none is promised: the seed
    /// chooses.
    // docs/evidence/field-reports.md F66
    pub(crate) fn choose_acceptor(&mut self, store: StoreId, random: &mut Random) -> Option<(u64, P)> {
        let turns = self.acceptors.get(&store)?;
        let (first, last) = (*turns.first_key_value()?.0, *turns.last_key_value()?.0);
        let from = first + random.below(last - first + 1);
        let consumer = *turns.range(from..).next()?.1;
        self.work.add(1);
        Some((consumer, self.place(consumer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::entities::{Namespace, QueueDescription};
    use servicebus_core::time::Timestamp;

    fn stores() -> [StoreId; 2] {
        let mut namespace = Namespace::new(1);
        ["a", "b"].map(|name| {
            namespace.create_queue(name, QueueDescription::default(), Timestamp::UNIX_EPOCH).unwrap();
            namespace.queue(name).unwrap().stores.main
        })
    }

    #[test]
    fn receivers_with_credit_take_turns() {
        let [a, b] = stores();
        let mut consumers = Consumers::new(Work::default());
        let numbers = ['x', 'y', 'z'].map(|place| consumers.add(place, a));
        let other = consumers.add('o', b);
        assert_eq!(consumers.next(a), None, "none has credit");
        for number in [numbers[1], numbers[0], numbers[1], numbers[2], other] {
            assert!(consumers.want(number));
        }
        let mut order = Vec::new();
        for _ in 0..5 {
            let (number, place) = consumers.next(a).unwrap();
            order.push(place);
            consumers.want(number);
        }
        assert_eq!(order, ['y', 'x', 'z', 'y', 'x']);
        consumers.rest(numbers[2]);
        assert_eq!(consumers.remove(numbers[1]), Some(a));
        assert!(!consumers.want(numbers[1]));
        assert_eq!((consumers.next(a), consumers.next(a)), (Some((numbers[0], 'x')), None));
        assert_eq!((consumers.is_awaited(a), consumers.is_awaited(b)), (false, true));
    }

    #[test]
    fn every_receiver_that_waits_for_a_session_is_chosen_at_times() {
        let [a, _] = stores();
        let mut consumers = Consumers::new(Work::default());
        let mut random = Random::seeded(3);
        assert_eq!(consumers.choose_acceptor(a, &mut random), None);
        for place in 0..5 {
            let number = consumers.add(place, a);
            consumers.want_session(number);
        }
        // One that has gone leaves a gap.
        let (gone, missing) = consumers.choose_acceptor(a, &mut random).unwrap();
        consumers.remove(gone);
        let mut chosen = [0; 5];
        for _ in 0..100 {
            let (_, place) = consumers.choose_acceptor(a, &mut random).unwrap();
            chosen[place] += 1;
        }
        assert!((0..5).all(|place| (chosen[place] > 0) == (place != missing)), "{chosen:?}");
        assert!(consumers.has_acceptor(a) && !consumers.is_awaited(a));
    }

    #[test]
    fn the_work_is_the_same_beside_many_that_want_nothing() {
        let [a, _] = stores();
        let work = Work::default();
        let mut consumers = Consumers::new(work.clone());
        for place in 0..10_000 {
            consumers.add(place, a);
        }
        let number = consumers.add(10_000, a);
        let before = work.done();
        consumers.want(number);
        assert_eq!(consumers.next(a), Some((number, 10_000)));
        consumers.remove(number);
        assert!(work.done() - before < 10);
    }
}
