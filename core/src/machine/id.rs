//! Ids of the parts' entries: parts name one another's entries by these, and know nothing else of each other.

use crate::servicebus::address::SubQueue;
use crate::storage::{Key, SmallPlace};

/// Declares ids. The generation distinguishes an entry from later ones in the same place: a stale id finds nothing.
macro_rules! ids {
    ($($(#[$meta:meta])* $visibility:vis $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility struct $name(Key);

        impl $name {
            pub(super) const fn new(key: Key) -> Self {
                Self(key)
            }

            pub(super) const fn key(self) -> Key {
                self.0
            }

            /// The entry's place: the key for timers and side tables.
            pub(super) const fn index(self) -> u32 {
                self.0.index
            }
        }
    )*};
}

ids! {
    /// A request of `channels`.
    pub(super) RequestId;
    /// Names a registration of a lock that is renewed.
    pub RenewalId;
}

/// Declares ids of entries that are there as long as anything names them, so that a place is enough. There are no more of
/// them than senders and receivers.
macro_rules! place_ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(SmallPlace);

        impl $name {
            pub(super) const fn new(index: u32) -> Self {
                Self(SmallPlace::new(index))
            }

            /// The entry's place: the key for timers and side tables.
            pub(super) const fn index(self) -> u32 {
                self.0.index()
            }
        }
    )*};
}

place_ids! {
    /// A token of [`Tokens`](super::tokens::Tokens): what names it has begun a use of it, and its request ends with it.
    TokenId;
    /// The lock of a session: its receiver's.
    SessionLockId;
}

/// Names a sender or receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId(pub(super) Key);

/// Names a pending call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId(pub(super) Key);

impl OperationId {
    /// The slot, below the limit on deliveries; slots are used again.
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

/// An entity that is in use, by its token, which its sub-queues share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntityId {
    pub(super) token: TokenId,
    pub(super) sub_queue: Option<SubQueue>,
}
