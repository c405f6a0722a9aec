//! Receive-and-delete receivers: presettled messages belong to the application, even when their link is lost.

use super::ClientMachine;
use super::attachment::{Attachment, ReceiveMode};
use super::grant::Supplied;
use super::id::EndpointId;
use super::links::{Endpoint, Sort};
use super::routes::Route;
use crate::engine::LinkId;
use crate::servicebus::received::{Origin, ReceivedMessage};
use crate::storage::{Features, Spare, Storage};

/// Gives a message away.
type Take<'t, S> = &'t mut dyn FnMut(ReceivedMessage<S>);

impl<S: Storage> ClientMachine<S> {
    /// Whether a receiver takes messages instead of locking them.
    #[doc(hidden)]
    pub fn deletes(&self, endpoint: EndpointId) -> bool {
        self.links.find(endpoint).is_some_and(|endpoint| endpoint.mode() == ReceiveMode::ReceiveAndDelete)
    }

    /// The number of messages buffered on a receive-and-delete receiver, at least one while more may come; `None`
    /// without any, or for a receiver that locks messages.
    #[doc(hidden)]
    pub fn leftover(&self, endpoint: EndpointId) -> Option<u32> {
        if !self.deletes(endpoint) {
            return None;
        }
        let Supplied { ready, expected, draining } = self.supplied(endpoint.0.index);
        (ready > 0 || expected > 0 || draining).then(|| ready.max(1))
    }

    /// The number of messages that the last link of an endpoint has left.
    pub(super) fn remain(&self, endpoint: &Endpoint<S>) -> u32 {
        let Some((link, retired)) = endpoint.remains() else { return 0 };
        let holder = if retired { self.retired.kept() } else { self.connection.as_ref() };
        holder.and_then(|connection| connection.link(link)).map_or(0, |status| status.waiting)
    }

    /// Takes some of them.
    pub(super) fn take_remains(&mut self, place: u32, max: u32, take: Take<'_, S>) -> u32 {
        let Some(endpoint) = self.links.get(place) else { return 0 };
        let Some((link, retired)) = endpoint.remains() else { return 0 };
        let holder = if retired { self.retired.kept_mut() } else { self.connection.as_mut() };
        let mut taken = 0;
        if let Some(connection) = holder {
            while taken < max {
                let mut message = ReceivedMessage::empty();
                if connection.receive_into(link, &mut message.payload).is_none() {
                    break;
                }
                message.came(None, Origin::NONE);
                take(message);
                taken += 1;
            }
            if connection.link(link).is_some_and(|status| status.waiting > 0) {
                return taken;
            }
        }
        if !retired {
            self.forget_link(link);
        }
        self.links.detached(place, Attachment::Down);
        self.mark_link(place);
        if retired && self.links.count(Sort::Retired) == 0 {
            self.retired = Spare::default();
        }
        taken
    }

    /// A link is gone from the connection and leaves messages, which are still found by it.
    pub(super) fn keep_link(&mut self, link: LinkId, place: u32) {
        self.routes.add(link, Route::Endpoint(place));
    }

    /// Whether a connection that is over holds any, and can be kept for them.
    pub(super) fn has_remains(&self) -> bool {
        if !S::Features::RECEIVE_AND_DELETE || !self.retired.has_room() || self.links.count(Sort::Deleting) == 0 {
            return false;
        }
        let connection = self.connection.as_ref();
        (0..self.links.end())
            .filter_map(|place| self.links.get(place))
            .any(|endpoint| endpoint.leaves(connection, true) != Attachment::Down)
    }
}
