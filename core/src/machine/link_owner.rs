//! Whose a link of the engine's is.

use crate::engine::LinkId;
use crate::storage::{Place, Slots, Storage};

/// Whose a link is, by the place in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkOwner {
    /// A sender's or receiver's.
    Endpoint(u32),
    /// The sending one of a node.
    Sender(u32),
    /// The receiving one of a node.
    Receiver(u32),
}

/// The kind is in the two highest bits: a word is all that a link's owner takes.
const SENDER: u32 = 1 << 30;
const RECEIVER: u32 = 2 << 30;
const KIND: u32 = 3 << 30;

impl LinkOwner {
    /// Of a link, where it is anybody's.
    pub(super) fn of<S: Storage>(owners: &S::LinkSlots<Place>, link: LinkId) -> Option<Self> {
        owners.get(link.index()).copied().map(Self::from)
    }
}

impl From<Place> for LinkOwner {
    fn from(place: Place) -> Self {
        let (kind, index) = (place.index() & KIND, place.index() & !KIND);
        match kind {
            SENDER => Self::Sender(index),
            RECEIVER => Self::Receiver(index),
            _ => Self::Endpoint(index),
        }
    }
}

impl From<LinkOwner> for Place {
    fn from(owner: LinkOwner) -> Self {
        Self::new(match owner {
            LinkOwner::Endpoint(index) => index,
            LinkOwner::Sender(index) => index | SENDER,
            LinkOwner::Receiver(index) => index | RECEIVER,
        })
    }
}
