//! The work that was done, in entries that were looked at: messages, sessions, timers, receivers, entities. Unlike time it
//! is the same on every machine, so that tests can bound it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A count of entries. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work(Arc<AtomicU64>);

impl Work {
    /// Counts entries.
    pub(in crate::broker) fn add(&self, entries: u64) {
        self.0.fetch_add(entries, Ordering::Relaxed);
    }

    /// The count.
    pub(in crate::broker) fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
