//! The message ids that an entity has seen within its window.

use super::namespace::Namespace;
use super::store::MAX_TIMERS;
use crate::broker::budget::{Budget, Holding, Share};
use crate::broker::change::Change;
use servicebus_core::time::{Duration, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Ids that are remembered at most; then the oldest is forgotten before its time.
const MAX_IDS: usize = 1_000_000;

/// What an id takes beside its text, in both tables.
const ID: usize = 160;

/// Ids with the time at which they came. UTC may go back: they are forgotten by their times and not by their order.
#[derive(Debug)]
pub(in crate::broker) struct Duplicates {
    seen: HashMap<Arc<str>, Timestamp>,
    order: BTreeSet<(Timestamp, Arc<str>)>,
    /// When ids are to be forgotten, as it is known outside.
    pub(super) check: Option<Timestamp>,
    /// Their part of the memory budget.
    share: Share,
}

impl Duplicates {
    pub(super) fn new(budget: &Budget) -> Self {
        let share = budget.empty(Holding::MessageIds);
        Self { seen: HashMap::new(), order: BTreeSet::new(), check: None, share }
    }

    /// Whether the memory budget has room for so many more ids of this length together.
    pub(in crate::broker) fn has_room(&self, ids: usize, length: usize) -> bool {
        self.share.has_room(ids * ID + length)
    }

    /// Whether an id came within the window.
    pub(in crate::broker) fn contains(&self, id: &str, window: Duration, utc: Timestamp) -> bool {
        self.seen.get(id).is_some_and(|at| *at + window > utc)
    }

    /// Notes an id.
    pub(in crate::broker) fn remember(&mut self, id: &str, utc: Timestamp) {
        if self.order.len() >= MAX_IDS {
            self.forget_first();
        }
        let id: Arc<str> = Arc::from(id);
        match self.seen.insert(Arc::clone(&id), utc) {
            Some(before) => _ = self.order.remove(&(before, Arc::clone(&id))),
            None => self.share.set(self.share.bytes() + ID + id.len()),
        }
        self.order.insert((utc, id));
    }

    fn forget_first(&mut self) {
        let Some((_, id)) = self.order.pop_first() else { return };
        self.seen.remove(&id);
        self.share.set(self.share.bytes().saturating_sub(ID + id.len()));
    }

    /// When the first id is past the window.
    pub(super) fn next_end(&self, window: Duration) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at + window)
    }

    /// Forgets ids that are past the window, so many at most; how many they were.
    pub(super) fn forget(&mut self, window: Duration, utc: Timestamp, most: usize) -> usize {
        let mut forgotten = 0;
        while forgotten < most && self.next_end(window).is_some_and(|end| end <= utc) {
            self.forget_first();
            forgotten += 1;
        }
        // A table keeps the room that it once needed.
        if self.seen.capacity() > 1_024 && self.seen.capacity() / 8 > self.seen.len() {
            self.seen.shrink_to(2 * self.seen.len());
        }
        forgotten
    }

    /// Its entries, to be let go. What they take counts until the last is gone.
    pub(super) fn into_entries(self) -> impl Iterator<Item = ()> + Send {
        let Self { seen, order, share, .. } = self;
        let counted = core::iter::once(share).map(|_| ());
        seen.into_iter().map(|_| ()).chain(order.into_iter().map(|_| ())).chain(counted)
    }
}

impl Namespace {
    /// The ids of an entity with their window.
    fn duplicates_of(&mut self, key: &str) -> Option<(&mut Duplicates, Duration)> {
        if let Some(queue) = self.queues.get_mut(key) {
            return Some((&mut queue.duplicates, queue.description.duplicate_detection_history_time_window));
        }
        let topic = self.topics.get_mut(key)?;
        Some((&mut topic.duplicates, topic.description.duplicate_detection_history_time_window))
    }

    /// An entity remembers an id.
    pub(in crate::broker) fn remember_id(&mut self, key: &str, id: &str, utc: Timestamp) {
        let Some((duplicates, _)) = self.duplicates_of(key) else { return };
        duplicates.remember(id, utc);
        if duplicates.check.is_none() {
            self.watch_duplicates(key, utc);
        }
    }

    /// Notes when ids of an entity are forgotten next: not before now.
    pub(super) fn watch_duplicates(&mut self, key: &str, utc: Timestamp) {
        let Some((duplicates, window)) = self.duplicates_of(key) else { return };
        let next = duplicates.next_end(window).map(|end| end.max(utc));
        let before = core::mem::replace(&mut duplicates.check, next);
        if before != next {
            if let Some(before) = before {
                self.duplicate_checks.remove(&(before, key.to_owned()));
            }
            self.duplicate_checks.extend(next.map(|at| (at, key.to_owned())));
        }
    }

    /// The ids of an entity that is gone are not looked at.
    pub(super) fn forget_duplicates_of(&mut self, key: &str) {
        let Some((duplicates, _)) = self.duplicates_of(key) else { return };
        if let Some(before) = duplicates.check.take() {
            self.duplicate_checks.remove(&(before, key.to_owned()));
        }
    }

    /// Forgets ids of the next entity where that is due; false when there is none.
    pub(super) fn forget_next_ids(&mut self, utc: Timestamp) -> bool {
        if self.duplicate_checks.first().is_none_or(|(at, _)| *at > utc) {
            return false;
        }
        let Some((_, entity)) = self.duplicate_checks.pop_first() else { return false };
        self.work().add(1);
        if let Some((duplicates, _)) = self.duplicates_of(&entity) {
            duplicates.check = None;
        }
        self.apply(Change::Forget { entity, utc });
        true
    }

    /// Forgets ids of an entity that are past its window, up to a bound.
    pub(in crate::broker) fn forget_ids(&mut self, key: &str, utc: Timestamp) {
        let Some((duplicates, window)) = self.duplicates_of(key) else { return };
        let forgotten = duplicates.forget(window, utc, MAX_TIMERS as usize);
        self.work().add(1 + forgotten as u64);
        self.watch_duplicates(key, utc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    fn duplicates() -> (Duplicates, Budget) {
        let budget = Budget::new(1 << 20);
        (Duplicates::new(&budget), budget)
    }

    #[test]
    fn ids_are_forgotten_when_their_window_has_passed() {
        let (mut duplicates, budget) = duplicates();
        duplicates.remember("a", at(0));
        duplicates.remember("b", at(30));
        assert!(duplicates.contains("a", WINDOW, at(59)));
        assert!(!duplicates.contains("a", WINDOW, at(60)));
        assert_eq!(duplicates.next_end(WINDOW), Some(at(60)));
        assert_eq!((duplicates.forget(WINDOW, at(59), 9), duplicates.forget(WINDOW, at(61), 9)), (0, 1));
        assert_eq!((duplicates.seen.len(), duplicates.order.len()), (1, 1));
        assert_eq!(budget.used_for(Holding::MessageIds), ID + 1);
        assert_eq!((duplicates.forget(WINDOW, at(90), 9), budget.used()), (1, 0));
    }

    #[test]
    fn some_are_forgotten_at_once_wherever_utc_goes() {
        let (mut duplicates, _) = duplicates();
        duplicates.remember("ahead", at(10_000));
        for second in 0..1_000 {
            duplicates.remember(&second.to_string(), at(second));
        }
        assert_eq!(duplicates.forget(WINDOW, at(999), 500), 500);
        assert_eq!(duplicates.forget(WINDOW, at(999), 500), 440);
        assert_eq!((duplicates.seen.len(), duplicates.order.len()), (61, 61));
        assert!(duplicates.contains("ahead", WINDOW, at(10_059)));
        assert_eq!(duplicates.forget(WINDOW, at(10_060), 500), 61);
    }

    #[test]
    fn an_id_that_comes_again_counts_from_then_on() {
        let (mut duplicates, budget) = duplicates();
        duplicates.remember("a", at(0));
        duplicates.remember("a", at(70));
        duplicates.remember("b", at(100));
        assert_eq!(duplicates.forget(WINDOW, at(100), 9), 0);
        assert!(duplicates.contains("a", WINDOW, at(129)));
        assert_eq!((duplicates.order.len(), budget.used()), (2, 2 * (ID + 1)));
        assert_eq!(duplicates.into_entries().count(), 5);
        assert_eq!(budget.used(), 0);
    }
}
