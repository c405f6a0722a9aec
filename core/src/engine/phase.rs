//! How far a connection is, which end of it this is, and the error that it ends with.

use super::Violation;
use crate::wire::performative::ErrorCondition;

/// The error of a close, end or detach that waits for room: what the peer did wrong, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending(pub(super) Option<Violation>);

impl Ending {
    pub(super) fn error(self) -> Option<ErrorCondition<'static>> {
        self.0.map(|violation| ErrorCondition::new(violation.condition()))
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Server: the first header, of either layer.
    AwaitFirstHeader,
    /// Client: the server's SASL header.
    AwaitSaslHeader,
    /// Client: the mechanisms.
    AwaitMechanisms,
    /// Server: the client's choice.
    AwaitInit,
    /// Client: the result.
    AwaitSaslOutcome,
    /// The peer's AMQP header.
    AwaitHeader,
    /// Frames.
    Amqp,
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionRole {
    Client,
    Server,
}
