//! Who a request is sent for.

use super::id::TokenId;
use crate::engine::OutcomeKind;
use crate::storage::Key;
use crate::time::Timestamp;

/// The call, lock or token that waits for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Operation(Key),
    /// A settlement and its disposition: only the response's status matters.
    Settlement(Key, OutcomeKind),
    /// The renewal of a lock.
    Renewal(Key),
    /// A token, and the end of the one that is put.
    Token(TokenId, Timestamp),
}

impl Owner {
    /// Whether the application has to go on with it.
    pub(super) fn is_operation(self) -> bool {
        matches!(self, Self::Operation(_) | Self::Settlement(..))
    }
}
