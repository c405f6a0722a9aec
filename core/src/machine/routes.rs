//! Routes: which entry of which part a link of the engine's belongs to.

use crate::engine::LinkId;
use crate::storage::{Place, Slots, Storage, room};

/// The entry that a link belongs to, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A sender or receiver.
    Endpoint(u32),
    /// A channel, as its sending link.
    Sender(u32),
    /// A channel, as its receiving link.
    Receiver(u32),
}

/// The kind is in the two highest bits: a route takes a word.
const SENDER: u32 = 1 << 30;
const RECEIVER: u32 = 2 << 30;
const KIND: u32 = 3 << 30;

impl From<Place> for Route {
    fn from(place: Place) -> Self {
        let (kind, index) = (place.index() & KIND, place.index() & !KIND);
        match kind {
            SENDER => Self::Sender(index),
            RECEIVER => Self::Receiver(index),
            _ => Self::Endpoint(index),
        }
    }
}

impl From<Route> for Place {
    fn from(route: Route) -> Self {
        Self::new(match route {
            Route::Endpoint(index) => index,
            Route::Sender(index) => index | SENDER,
            Route::Receiver(index) => index | RECEIVER,
        })
    }
}

/// The routes of a connection's links. A link that its owner has let go of has none.
pub(super) struct Routes<S: Storage> {
    links: Slots<S, room::Links, Place>,
}

impl<S: Storage> Routes<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { links: Slots::<S, room::Links, _>::default() }
    }

    /// A link was attached for an entry.
    pub(super) fn add(&mut self, link: LinkId, route: Route) {
        let _ = self.links.put(link.index(), route.into());
    }

    /// The entry that a link belongs to.
    pub(super) fn of(&self, link: LinkId) -> Option<Route> {
        self.links.get(link.index()).copied().map(Route::from)
    }

    /// The same, for a link that is over.
    pub(super) fn take(&mut self, link: LinkId) -> Option<Route> {
        self.links.take(link.index()).map(Route::from)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use crate::wire::performative::{Attach, Role, SenderSettleMode};

    #[test]
    fn a_route_is_the_same_after_it_was_kept() {
        for index in [0, 1, 4_999, (1 << 30) - 2] {
            for route in [Route::Endpoint(index), Route::Sender(index), Route::Receiver(index)] {
                assert_eq!(Route::from(Place::from(route)), route);
            }
        }
    }

    #[test]
    fn a_link_that_is_over_leads_nowhere() {
        let mut connection = crate::engine::Connection::<Heap>::silent_client(
            crate::engine::Config::default(),
            crate::time::Instant::ZERO,
        );
        let open = crate::wire::performative::Open {
            max_frame_size: 512,
            channel_max: 0,
            ..crate::wire::performative::Open::new("a")
        };
        connection.greet(None, &open, false).expect("room");
        let mut routes = Routes::<Heap>::new();
        let session = connection.begin().expect("room");
        let attach = Attach { snd_settle_mode: SenderSettleMode::Unsettled, ..Attach::new("a", Role::Sender) };
        let link = connection.attach(session, &attach).expect("room");
        assert_eq!(routes.of(link), None);
        routes.add(link, Route::Receiver(3));
        assert_eq!((routes.of(link), routes.take(link)), (Some(Route::Receiver(3)), Some(Route::Receiver(3))));
        assert_eq!(routes.of(link), None);
    }
}
