//! Buffers of connections: lent while bytes move, so that an idle connection holds none.
// docs/evidence/field-reports.md A6

use super::lock;
use crate::broker::Broker;
use core::fmt;
use servicebus_core::storage::{Buffer as _, HeapBuffer};
use std::sync::Mutex;

/// Buffers of a kind that are kept for later; more are given back to the system.
const KEPT: usize = 16;

/// Buffers that no connection uses.
#[derive(Default)]
pub(super) struct Buffers {
    rx: Mutex<Vec<HeapBuffer>>,
    tx: Mutex<Vec<HeapBuffer>>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl Buffers {
    pub(super) fn rx(&self) -> HeapBuffer {
        lock(&self.rx).pop().unwrap_or_else(Broker::rx)
    }

    pub(super) fn tx(&self) -> HeapBuffer {
        lock(&self.tx).pop().unwrap_or_else(Broker::tx)
    }

    pub(super) fn put_rx(&self, mut buffer: HeapBuffer) {
        buffer.clear();
        let mut kept = lock(&self.rx);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }

    pub(super) fn put_tx(&self, mut buffer: HeapBuffer) {
        buffer.clear();
        let mut kept = lock(&self.tx);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}
