//! Receivers that delete what they receive: messages that were settled when they came are the application's, whatever
//! becomes of their link.

use super::ClientMachine;
use super::credit::Stock;
use super::endpoint::{Attachment, Endpoint, EndpointId, ReceiveMode};
use crate::engine::Connection;
use crate::servicebus::received::{Origin, ReceivedMessage};
use crate::storage::{Features, Spare, Storage, Table};

/// Gives a message away.
type Take<'t, S> = &'t mut dyn FnMut(ReceivedMessage<S>);

impl<S: Storage> Endpoint<S> {
    /// Returns the attachment after the link is gone from a connection, which is retired or continues: messages that
    /// were settled when they came may remain. Those of an earlier connection stay, unless this one takes the one place
    /// for retired connections.
    pub(super) fn leaves(&self, connection: Option<&Connection<S>>, retired: bool) -> Attachment {
        if !S::Features::RECEIVE_AND_DELETE {
            return Attachment::Down;
        }
        let link = match self.attachment {
            Attachment::Down => return Attachment::Down,
            Attachment::Remains { retired: true, .. } if connection.is_none() => return self.attachment,
            Attachment::Remains { retired: true, .. } => return Attachment::Down,
            Attachment::Remains { link, .. } | Attachment::Pending(link) | Attachment::Up(link) => link,
        };
        let keeps = self.mode() == ReceiveMode::ReceiveAndDelete && !self.closing;
        let waiting = connection.filter(|_| keeps).and_then(|connection| connection.link(link));
        if waiting.is_some_and(|status| status.waiting > 0) {
            Attachment::Remains { link, retired }
        } else {
            Attachment::Down
        }
    }
}

impl<S: Storage> ClientMachine<S> {
    /// Whether a receiver takes messages instead of locking them.
    pub fn deletes(&self, endpoint: EndpointId) -> bool {
        self.endpoints.find(endpoint.0).is_some_and(|endpoint| endpoint.mode() == ReceiveMode::ReceiveAndDelete)
    }

    /// How many messages wait on a receiver that deletes what it receives, one at least while more may come; `None` when
    /// there is none, or the receiver locks messages.
    pub fn leftover(&self, endpoint: EndpointId) -> Option<u32> {
        if !self.deletes(endpoint) {
            return None;
        }
        let Stock { ready, expected, draining } = self.stock(endpoint.0.index);
        (ready > 0 || expected > 0 || draining).then(|| ready.max(1))
    }

    /// The number of messages that the last link of an endpoint has left.
    pub(super) fn remain(&self, endpoint: &Endpoint<S>) -> u32 {
        let Attachment::Remains { link, retired } = endpoint.attachment else { return 0 };
        let holder = if retired { self.retired.kept() } else { self.connection.as_ref() };
        holder.and_then(|connection| connection.link(link)).map_or(0, |status| status.waiting)
    }

    /// Takes some of them.
    pub(super) fn take_remains(&mut self, place: u32, max: u32, take: Take<'_, S>) -> u32 {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return 0 };
        let Attachment::Remains { link, retired } = endpoint.attachment else { return 0 };
        let holder = if retired { self.retired.kept_mut() } else { self.connection.as_mut() };
        let mut taken = 0;
        if let Some(connection) = holder {
            while taken < max
                && let Some(incoming) = connection.receive(link)
            {
                take(ReceivedMessage::new(incoming.payload, None, Origin::NONE));
                taken += 1;
            }
            if connection.link(link).is_some_and(|status| status.waiting > 0) {
                return taken;
            }
            connection.forget(link);
        }
        endpoint.attachment = Attachment::Down;
        self.mark_link(place);
        if retired {
            let needed = (0..self.endpoints.end())
                .filter_map(|place| self.endpoints.get(place))
                .any(|endpoint| endpoint.attachment.is_retired());
            if !needed {
                self.retired = Spare::default();
            }
        }
        taken
    }

    /// Keeps a connection that is over, if there are any on it; whether it did.
    pub(super) fn retire_with_remains(&mut self) -> bool {
        let connection = self.connection.as_ref();
        let keeps = (0..self.endpoints.end())
            .filter_map(|place| self.endpoints.get(place))
            .any(|endpoint| endpoint.leaves(connection, true) != Attachment::Down);
        if keeps {
            self.retired.keep_from(&mut self.connection);
        }
        keeps
    }
}
