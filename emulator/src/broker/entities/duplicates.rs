//! The message ids that an entity has seen within its window.

use servicebus_core::time::{Duration, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Ids that are remembered at most; then the oldest is forgotten before its time.
const MAX_IDS: usize = 1_000_000;

/// Ids with the time at which they came.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    seen: HashMap<String, Timestamp>,
    order: VecDeque<(Timestamp, String)>,
}

impl Duplicates {
    /// Notes an id; whether it was there within the window.
    pub(super) fn is_repeated(&mut self, id: &str, window: Duration, utc: Timestamp) -> bool {
        while let Some((at, id)) = self.order.front()
            && (*at + window <= utc || self.order.len() >= MAX_IDS)
        {
            self.seen.remove(id);
            self.order.pop_front();
        }
        if self.seen.contains_key(id) {
            return true;
        }
        self.seen.insert(id.to_owned(), utc);
        self.order.push_back((utc, id.to_owned()));
        false
    }
}
