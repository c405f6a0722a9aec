//! The message ids that an entity has seen within its window.

use servicebus_core::time::{Duration, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Ids that are remembered at most; then the oldest is forgotten before its time.
const MAX_IDS: usize = 1_000_000;

/// Ids with the time at which they came.
#[derive(Debug, Default)]
pub(in crate::broker) struct Duplicates {
    seen: HashMap<String, Timestamp>,
    order: VecDeque<(Timestamp, String)>,
}

impl Duplicates {
    /// Whether an id came within the window.
    pub(in crate::broker) fn contains(&self, id: &str, window: Duration, utc: Timestamp) -> bool {
        self.seen.get(id).is_some_and(|at| *at + window > utc)
    }

    /// Notes an id.
    pub(in crate::broker) fn remember(&mut self, id: String, window: Duration, utc: Timestamp) {
        while let Some((at, id)) = self.order.front()
            && (*at + window <= utc || self.order.len() >= MAX_IDS)
        {
            // One that came again since has a later entry.
            if self.seen.get(id) == Some(at) {
                self.seen.remove(id);
            }
            self.order.pop_front();
        }
        self.seen.insert(id.clone(), utc);
        self.order.push_back((utc, id));
    }
}
