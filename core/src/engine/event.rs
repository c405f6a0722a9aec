//! What the engine tells the layer above.

use super::error::{ConnectionError, OutcomeKind};
use super::{DeliveryId, LinkId, SessionId};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::Performative;
use crate::wire::sasl::{SaslCode, SaslInit};

/// Something to look at. Events are flags on the thing they name: several of a kind fold into one, none is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer's `open` arrived; a server answers with [`open`](super::Connection::open).
    Opened,
    /// The connection is over.
    Closed(ConnectionError),
    /// The peer's `begin` arrived; a server answers with [`accept_session`](super::Connection::accept_session).
    SessionBegun(SessionId),
    /// The session is over, and so is every link on it. The id is stale from now on.
    SessionEnded(SessionId),
    /// The peer's `attach` arrived; on a link of the peer's making, answer with
    /// [`accept_link`](super::Connection::accept_link) or [`refuse_link`](super::Connection::refuse_link).
    LinkAttached(LinkId),
    /// The link is over, and so is every delivery on it. The id is stale from now on.
    LinkDetached(LinkId),
    /// A sending link has credit, or has more than before.
    Credit(LinkId),
    /// The receiver asks a sending link to use up its credit; answer with [`drained`](super::Connection::drained).
    DrainRequested(LinkId),
    /// The sender has used up the credit of a link that was told to [`drain`](super::Connection::drain).
    Drained(LinkId),
    /// A whole message waits; take it with [`receive`](super::Connection::receive).
    Readable(LinkId),
    /// The peer reported a state without settling, usually the first half of a two-phase settlement.
    Updated {
        /// The delivery.
        delivery: DeliveryId,
        /// The link it is on.
        link: LinkId,
        /// The outcome that the peer proposes.
        outcome: Option<OutcomeKind>,
    },
    /// The peer settled a delivery. The id is stale from now on.
    Settled {
        /// The delivery.
        delivery: DeliveryId,
        /// The link it is on.
        link: LinkId,
        /// The outcome, when there was one.
        outcome: Option<OutcomeKind>,
    },
}

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The connection.
    Connection,
    /// A session.
    Session(SessionId),
    /// A link.
    Link(LinkId),
}

/// Sees frames as they are applied, while their bytes are still there; what it wants to keep it copies. The events
/// that follow say what to do.
pub trait Handler {
    /// Whether a client may connect. Only asked on servers.
    fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
        let _ = init;
        SaslCode::Ok
    }

    /// A performative was applied.
    fn performative(&mut self, subject: Subject, performative: &Performative<'_>) {
        let _ = (subject, performative);
    }

    /// A delivery got a state: by a disposition, or by the transfer that brought it.
    fn state(&mut self, delivery: DeliveryId, link: LinkId, settled: bool, state: Option<&DeliveryState<'_>>) {
        let _ = (delivery, link, settled, state);
    }

    /// The same, for a delivery that the application has put a number on with
    /// [`set_user`](super::Connection::set_user) or [`SendOptions::user`](super::SendOptions::user).
    fn outcome(&mut self, user: u32, settled: bool, state: Option<&DeliveryState<'_>>) {
        let _ = (user, settled, state);
    }
}

/// Sees nothing.
impl Handler for () {}
