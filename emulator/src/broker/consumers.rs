//! Receivers that wait: for messages of a store, in turn, and for sessions of one.
//!
//! A receiver without credit has no turn and costs nothing; one that is gone costs what it takes to find it.

use super::ConnectionId;
use super::entities::StoreId;
use super::work::Work;
use servicebus_core::engine::LinkId;
use servicebus_core::random::Random;
use std::collections::{BTreeMap, HashMap};

#[derive(Debug)]
struct Consumer {
    connection: ConnectionId,
    link: LinkId,
    store: StoreId,
    /// Its turn for messages, or its place among those that wait for a session.
    turn: Option<u64>,
}

/// Receivers by turn.
type Turns = BTreeMap<u64, u64>;

/// The receivers of a namespace by number.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    all: HashMap<u64, Consumer>,
    last: u64,
    last_turn: u64,
    /// Receivers that have credit, by store.
    receivers: HashMap<StoreId, Turns>,
    /// Receivers that wait for a session, by store.
    acceptors: HashMap<StoreId, Turns>,
    work: Work,
}

impl Consumers {
    /// No receivers yet; those that are looked at are counted there.
    pub(crate) fn new(work: Work) -> Self {
        Self { work, ..Self::default() }
    }

    /// A new receiver; its number.
    pub(crate) fn add(&mut self, connection: ConnectionId, link: LinkId, store: StoreId) -> u64 {
        self.last += 1;
        self.all.insert(self.last, Consumer { connection, link, store, turn: None });
        self.last
    }

    /// The link of a receiver.
    pub(crate) fn place(&self, consumer: u64) -> Option<(ConnectionId, LinkId)> {
        self.all.get(&consumer).map(|found| (found.connection, found.link))
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
    pub(crate) fn next(&mut self, store: StoreId) -> Option<(u64, ConnectionId, LinkId)> {
        let consumer = *self.receivers.get(&store)?.first_key_value()?.1;
        let (connection, link) = self.place(consumer)?;
        self.rest(consumer);
        Some((consumer, connection, link))
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
    /// chooses (docs/evidence/field-reports.md F66).
    pub(crate) fn choose_acceptor(
        &mut self,
        store: StoreId,
        random: &mut Random,
    ) -> Option<(u64, ConnectionId, LinkId)> {
        let turns = self.acceptors.get(&store)?;
        let (first, last) = (*turns.first_key_value()?.0, *turns.last_key_value()?.0);
        let from = first + random.below(last - first + 1);
        let consumer = *turns.range(from..).next()?.1;
        self.work.add(1);
        let (connection, link) = self.place(consumer)?;
        Some((consumer, connection, link))
    }
}
