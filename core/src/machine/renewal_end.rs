//! How the renewal of a lock ended.

use super::Failure;
use crate::storage::Storage;
use core::fmt;

/// How the renewal of a lock ended.
pub enum RenewalEnd<S: Storage> {
    /// The message was settled, or the session, the receiver or the client was closed.
    Released,
    /// The longest time for which the lock was to be renewed has passed; the lock ends by itself.
    Elapsed,
    /// The lock is lost.
    Lost(Failure<S>),
}

impl<S: Storage> fmt::Debug for RenewalEnd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("Released"),
            Self::Elapsed => f.write_str("Elapsed"),
            Self::Lost(failure) => f.debug_tuple("Lost").field(failure).finish(),
        }
    }
}
