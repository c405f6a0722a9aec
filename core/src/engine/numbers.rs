//! The peer's numbers: channels, handles and delivery-ids, and the entries that they name.

use super::entries::Number;
use super::id::{DeliveryIndex, LinkIndex, SessionIndex};
use crate::storage::Index;
use crate::wire::Full;
use crate::wire::performative::Role;

/// A number on the wire, and the kind of entry that it names.
pub(super) trait Numbered: Copy {
    type At: Number;
    fn key(self) -> u64;
}

/// The channel on which the peer sends for a session.
#[derive(Clone, Copy)]
pub(super) struct Channel(pub(super) u16);

/// The handle by which the peer names a link of a session.
#[derive(Clone, Copy)]
pub(super) struct Handle(pub(super) SessionIndex, pub(super) u32);

/// The name of a link of ours, hashed with its session and role, while its attach is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkName(pub(super) u64);

/// A delivery-id; both directions of a session count for themselves.
#[derive(Clone, Copy)]
pub(super) struct DeliveryNumber {
    /// Our role on its link.
    pub(super) role: Role,
    pub(super) session: SessionIndex,
    pub(super) id: u32,
}

fn key(space: u64, session: SessionIndex, number: u32) -> u64 {
    space << 62 | u64::from(session.number()) << 32 | u64::from(number)
}

impl Numbered for Channel {
    type At = SessionIndex;

    fn key(self) -> u64 {
        u64::from(self.0)
    }
}

impl Numbered for Handle {
    type At = LinkIndex;

    fn key(self) -> u64 {
        key(1, self.0, self.1)
    }
}

impl Numbered for LinkName {
    type At = LinkIndex;

    fn key(self) -> u64 {
        // Channels have no number above their own 16 bits.
        self.0 & !(3 << 62) | 1 << 32
    }
}

impl Numbered for DeliveryNumber {
    type At = DeliveryIndex;

    fn key(self) -> u64 {
        key(if self.role == Role::Sender { 2 } else { 3 }, self.session, self.id)
    }
}

/// Finds entries by the peer's numbers.
#[repr(transparent)]
pub(super) struct Numbers<X>(X);

impl<X: Index> Numbers<X> {
    #[inline(always)]
    pub(super) fn bounded(limit: usize) -> Self {
        Self(X::bounded(limit))
    }

    pub(super) fn get<N: Numbered>(&self, number: N) -> Option<N::At> {
        self.0.get(number.key()).map(N::At::of)
    }

    pub(super) fn insert<N: Numbered>(&mut self, number: N, at: N::At) -> Result<(), Full> {
        self.0.insert(number.key(), at.number())
    }

    /// As [`Self::insert`], for deliveries: there is room for the number of each.
    pub(super) fn put(&mut self, number: DeliveryNumber, at: DeliveryIndex) {
        let put = self.insert(number, at);
        debug_assert!(put.is_ok(), "there is room for a number of each delivery");
    }

    pub(super) fn remove<N: Numbered>(&mut self, number: N) -> Option<N::At> {
        self.0.remove(number.key()).map(N::At::of)
    }
}
