//! Where links wait: each is in one queue at most, by the same joint.

/// Where a link waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Nowhere,
    /// Among the links that have a flow or a transfer to send.
    Work,
    /// Among those of its session that wait for its window.
    Stalled,
    /// Among the links whose detach is due.
    Detaches,
}
