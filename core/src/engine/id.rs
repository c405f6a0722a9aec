//! Names of sessions, links and deliveries: ids with a generation for the layers above, plain indices inside. Those of
//! sessions and links take half a word: a connection has few of them ([`Limits`](crate::storage::Limits)).

use super::entries::{Id, Indexes, Number};
use crate::storage::{Key, SmallKey};

macro_rules! ids {
    ($($(#[$meta:meta])* $id:ident, $index:ident($width:ident), $noun:literal;)*) => {$(
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
                $index(self.0.index as $width)
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
        pub(super) struct $index($width);

        impl Number for $index {
            fn of(number: u32) -> Self {
                Self(number as $width)
            }

            fn number(self) -> u32 {
                self.0.into()
            }
        }

        impl Indexes for $index {
            type Id = $id;
            type Width = $width;

            const NONE: Self = Self($width::MAX);
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
    SessionId, SessionIndex(u16), "session";
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
    LinkId, LinkIndex(u16), "link";
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
    DeliveryId, DeliveryIndex(u32), "delivery";
}

impl From<LinkId> for SmallKey {
    fn from(link: LinkId) -> Self {
        Self::new(link.0)
    }
}

impl From<SmallKey> for LinkId {
    fn from(kept: SmallKey) -> Self {
        Self(kept.key())
    }
}

#[cfg(all(test, feature = "alloc"))]
impl DeliveryId {
    /// An id for tests of tables that are keyed by deliveries.
    pub(crate) const fn numbered(index: u32, generation: crate::storage::Generation) -> Self {
        Self(Key { index, generation })
    }
}
