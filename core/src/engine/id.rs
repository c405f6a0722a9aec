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
            ///
            /// # Examples
            /// ```
            /// # use servicebus_core::wire::performative::Role;
            /// # use servicebus_simulation::{Linked, linked};
            /// # let Linked { mut client, session, link, .. } = linked(Role::Sender);
            /// # let delivery = client.send(link, &bytes::Bytes::new(), &Default::default())?;
            #[doc = concat!("let place = ", $noun, ".index();")]
            /// assert_eq!(place, 0);
            /// # Ok::<(), servicebus_core::engine::EngineError>(())
            /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # let (mut client, _) = servicebus_simulation::connected();
    /// let session: SessionId = client.begin()?;
    /// client.end(session, None);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    SessionId, SessionIndex, "session";
    /// Names a link. A stale id reads as detached, never as another link.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// client.detach(link, true, None)?;
    /// exchange(&mut client, &mut server);
    /// client.forget(link);
    /// assert_eq!(client.link(link), None);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    LinkId, LinkIndex, "link";
    /// Names a delivery.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # let message = Bytes::from_static(b"two blue");
    /// let delivery: DeliveryId = client.send(link, &message, &SendOptions::default())?;
    /// assert_eq!(client.first_delivery(link), Some(delivery));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    DeliveryId, DeliveryIndex, "delivery";
}

#[cfg(all(test, feature = "alloc"))]
impl DeliveryId {
    /// An id for tests of tables that are keyed by deliveries.
    pub(crate) const fn numbered(index: u32, generation: crate::storage::Generation) -> Self {
        Self(Key { index, generation })
    }
}
