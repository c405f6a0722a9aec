//! The message ids that an entity has seen within its window.

use servicebus_core::time::{Duration, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Ids that are remembered at most; then the oldest is forgotten before its time.
const MAX_IDS: usize = 1_000_000;

/// Ids with the time at which they came. UTC may go back: they are forgotten by their times and not by their order.
#[derive(Debug, Default)]
pub(in crate::broker) struct Duplicates {
    seen: HashMap<Arc<str>, Timestamp>,
    order: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Duplicates {
    /// Whether an id came within the window.
    pub(in crate::broker) fn contains(&self, id: &str, window: Duration, utc: Timestamp) -> bool {
        self.seen.get(id).is_some_and(|at| *at + window > utc)
    }

    /// Notes an id.
    pub(in crate::broker) fn remember(&mut self, id: &str, window: Duration, utc: Timestamp) {
        while self.order.first().is_some_and(|(at, _)| *at + window <= utc || self.order.len() >= MAX_IDS) {
            let Some((_, id)) = self.order.pop_first() else { break };
            self.seen.remove(&id);
        }
        // A table keeps the room that it once needed.
        if self.seen.capacity() > 1_024 && self.seen.capacity() / 8 > self.seen.len() {
            self.seen.shrink_to(2 * self.seen.len());
        }
        let id: Arc<str> = Arc::from(id);
        if let Some(before) = self.seen.insert(Arc::clone(&id), utc) {
            self.order.remove(&(before, Arc::clone(&id)));
        }
        self.order.insert((utc, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn ids_are_forgotten_when_their_window_has_passed() {
        let mut duplicates = Duplicates::default();
        duplicates.remember("a", WINDOW, at(0));
        duplicates.remember("b", WINDOW, at(30));
        assert!(duplicates.contains("a", WINDOW, at(59)));
        assert!(!duplicates.contains("a", WINDOW, at(60)));
        duplicates.remember("c", WINDOW, at(61));
        assert_eq!((duplicates.seen.len(), duplicates.order.len()), (2, 2));
    }

    #[test]
    fn ids_are_forgotten_wherever_utc_goes() {
        let mut duplicates = Duplicates::default();
        duplicates.remember("ahead", WINDOW, at(10_000));
        // UTC goes back: what came before holds up none that comes after.
        for second in 0..1_000 {
            duplicates.remember(&second.to_string(), WINDOW, at(second));
        }
        assert_eq!((duplicates.seen.len(), duplicates.order.len()), (61, 61));
        assert!(!duplicates.contains("1", WINDOW, at(999)));
        duplicates.remember("last", WINDOW, at(10_060));
        assert_eq!((duplicates.seen.len(), duplicates.order.len()), (1, 1));
    }

    #[test]
    fn an_id_that_comes_again_counts_from_then_on() {
        let mut duplicates = Duplicates::default();
        duplicates.remember("a", WINDOW, at(0));
        duplicates.remember("a", WINDOW, at(70));
        duplicates.remember("b", WINDOW, at(100));
        assert!(duplicates.contains("a", WINDOW, at(129)));
        assert_eq!(duplicates.order.len(), 2);
    }
}
