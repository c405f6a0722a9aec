//! What a connection tells while the bytes of a frame are there.

use super::error::OutcomeKind;
use super::{DeliveryId, LinkId, SessionId};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::{PerformativeView, Role};
use crate::wire::sasl::{SaslCode, SaslInit};

/// What a frame is about.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{Handler, Subject};
/// use servicebus_core::wire::performative::PerformativeView;
///
/// #[derive(Default)]
/// struct Frames {
///     of_links: u32,
///     of_others: u32,
/// }
///
/// impl Handler for Frames {
///     fn performative(&mut self, subject: Subject, _: &mut PerformativeView<'_>) {
///         match subject {
///             Subject::Link(_) => self.of_links += 1,
///             Subject::Session(_) | Subject::Connection => self.of_others += 1,
///         }
///     }
/// }
/// # let servicebus_simulation::Linked { mut client, mut server, link, their_link, .. } =
/// #     servicebus_simulation::linked(servicebus_core::wire::performative::Role::Sender);
/// # server.grant(their_link, 1)?;
/// # let mut frames = Frames::default();
/// # servicebus_simulation::exchange_with(&mut client, &mut server, &mut frames);
/// # assert_eq!((frames.of_links, frames.of_others), (1, 0));
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The connection.
    Connection,
    /// A session.
    Session(SessionId),
    /// A link.
    Link(LinkId),
}

/// Called with frames as they are applied, while their bytes are borrowed; it copies what it keeps. Events follow for
/// the changes to handle.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_core::wire::performative::Role;
/// # use servicebus_simulation::{Linked, exchange, linked};
/// # use bytes::Bytes;
/// # use servicebus_core::wire::messaging::DeliveryState;
/// # use servicebus_simulation::exchange_with;
/// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
/// use servicebus_core::engine::{Handler, OutcomeKind, StateUpdate};
/// use servicebus_core::wire::sasl::{SaslCode, SaslInit};
///
/// #[derive(Default)]
/// struct Outcomes(Vec<(Option<u32>, Option<OutcomeKind>)>);
///
/// impl Handler for Outcomes {
///     const SETTLES: bool = true;
///
///     fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
///         if init.mechanism.as_str() == "ANONYMOUS" { SaslCode::Ok } else { SaslCode::Auth }
///     }
///
///     fn state(&mut self, update: &StateUpdate<'_>) {
///         self.0.push((update.user, update.outcome()));
///     }
/// }
///
/// let mut outcomes = Outcomes::default();
/// let options = SendOptions { user: Some(7), ..SendOptions::default() };
/// client.send(link, &Bytes::from_static(b"two blue"), &options)?;
/// # server.grant(their_link, 1)?;
/// # exchange(&mut client, &mut server);
/// if let Some(message) = server.receive(their_link) {
///     server.settle(message.delivery, &DeliveryState::ACCEPTED, true)?;
/// }
/// exchange_with(&mut client, &mut server, &mut outcomes);
/// assert_eq!(outcomes.0, [(Some(7), Some(OutcomeKind::Accepted))]);
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
pub trait Handler {
    /// Whether the connection may be a server's. A program whose handlers all have `false` is linked without the code
    /// of servers: sessions and links that the peer begins are protocol violations there, and fields that only servers
    /// use are not decoded.
    const SERVES: bool = true;

    /// Whether outcomes that receivers propose for our messages are accepted, and the deliveries settled, at once.
    const SETTLES: bool = false;

    /// Whether a client may connect. Only asked on servers.
    fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
        let _ = init;
        SaslCode::Ok
    }

    /// A performative was applied, or is about to end its subject.
    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        let _ = (subject, performative);
    }

    /// A delivery got a state: by a disposition, or by the transfer that brought it. The only report of outcomes; a
    /// delivery that is settled by it is stale afterwards, unless it is not wholly sent or taken yet.
    fn state(&mut self, update: &StateUpdate<'_>) {
        let _ = update;
    }
}

/// The peer's word on a delivery.
///
/// # Examples
/// ```
/// use servicebus_core::engine::{DeliveryId, Handler, StateUpdate};
/// use std::collections::HashSet;
///
/// #[derive(Default)]
/// struct Settled(HashSet<DeliveryId>);
///
/// impl Handler for Settled {
///     fn state(&mut self, update: &StateUpdate<'_>) {
///         if update.settled {
///             self.0.insert(update.delivery);
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StateUpdate<'a> {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The link it is on.
    pub link: LinkId,
    /// Our role on the link.
    pub role: Role,
    /// The application's number for it: [`SendOptions::user`](super::SendOptions::user) or
    /// [`set_user`](super::Connection::set_user).
    pub user: Option<u32>,
    /// Whether the peer has settled it.
    pub settled: bool,
    /// Its state.
    pub state: Option<&'a DeliveryState<'a>>,
}

impl StateUpdate<'_> {
    /// The outcome, final or proposed, when there is one.
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::engine::{Handler, OutcomeKind, StateUpdate};
    ///
    /// struct Refused(u32);
    ///
    /// impl Handler for Refused {
    ///     fn state(&mut self, update: &StateUpdate<'_>) {
    ///         self.0 += u32::from(update.outcome() == Some(OutcomeKind::Rejected));
    ///     }
    /// }
    /// ```
    pub fn outcome(&self) -> Option<OutcomeKind> {
        match self.state? {
            DeliveryState::Outcome(outcome) => Some(OutcomeKind::from(outcome)),
            DeliveryState::Transactional(state) => state.outcome.as_ref().map(OutcomeKind::from),
            DeliveryState::Declared(_) => Some(OutcomeKind::Accepted),
            DeliveryState::Received(_) => None,
        }
    }
}

/// Sees nothing.
impl Handler for () {}
