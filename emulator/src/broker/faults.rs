//! Faults on request, for tests of how clients take them.

/// What is to go wrong next.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    busy: u64,
}

impl Faults {
    /// The next `operations` sends and management requests are answered with server-busy.
    pub(crate) fn set_busy(&mut self, operations: u64) {
        self.busy = operations;
    }

    pub(crate) fn take_busy(&mut self) -> bool {
        let busy = self.busy > 0;
        self.busy = self.busy.saturating_sub(1);
        busy
    }
}
