//! Names of sessions, links and deliveries: ids with a generation for the layers above, plain indices inside.

use super::entries::{Id, Indexes, Number};
use crate::storage::Key;

macro_rules! ids {
    ($($(#[$meta:meta])* $id:ident, $index:ident, $noun:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $id(Key);

        impl $id {
            #[doc = concat!("The ", $noun, "'s index in its table, below the limit on ", $noun, "s; indices are used again.")]
            pub const fn index(self) -> usize {
                self.0.index as usize
            }

            pub(super) const fn at(self) -> $index {
                $index(self.0.index)
            }
        }

        impl Id for $id {
            fn of(key: Key) -> Self {
                Self(key)
            }

            fn key(self) -> Key {
                self.0
            }
        }

        #[doc = concat!("The index of a ", $noun, " in its table.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $index(u32);

        impl Number for $index {
            fn of(number: u32) -> Self {
                Self(number)
            }

            fn number(self) -> u32 {
                self.0
            }
        }

        impl Indexes for $index {
            type Id = $id;

            const NONE: Self = Self(u32::MAX);
        }
    )*};
}

ids! {
    /// Names a session.
    SessionId, SessionIndex, "session";
    /// Names a link. A stale id reads as detached, never as another link.
    LinkId, LinkIndex, "link";
    /// Names a delivery.
    DeliveryId, DeliveryIndex, "delivery";
}

#[cfg(all(test, feature = "alloc"))]
impl DeliveryId {
    /// An id for tests of tables that are keyed by deliveries.
    pub(crate) const fn numbered(index: u32, generation: crate::storage::Generation) -> Self {
        Self(Key { index, generation })
    }
}
