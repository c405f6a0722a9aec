//! The engine's output to the layer above.

use super::entries::{Number, UNLISTED};
use super::error::ConnectionError;
use super::id::{LinkIndex, SessionIndex};
use super::{Connection, LinkId, SessionId, link, session};
use crate::storage::{Limits, Storage};

/// A change to handle. Events are flags on the entry that they name: repeated ones coalesce, and none is lost.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_core::wire::performative::Role;
/// # use servicebus_simulation::{Linked, exchange, linked};
/// # use bytes::Bytes;
/// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
/// # client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
/// # server.grant(their_link, 10)?;
/// # exchange(&mut client, &mut server);
/// while let Some(event) = server.poll_event() {
///     match event {
///         Event::Readable(link) => assert!(server.receive(link).is_some()),
///         Event::LinkDetached(link) => server.forget(link),
///         Event::Closed(error) => println!("the connection is over: {error}"),
///         _ => {}
///     }
/// }
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
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
    /// This end has detached the link for what the peer sent on it ([`LinkStatus::fault`](super::LinkStatus::fault)).
    /// Nothing more comes on it but [`Event::LinkDetached`], once the peer has answered.
    LinkFailed(LinkId),
    /// The link is over, and so is every delivery on it. The id is stale from now on.
    LinkDetached(LinkId),
    /// A sending link has credit, or has more than before.
    Credit(LinkId),
    /// The receiver asks a sending link to use up its credit; answer with [`drained`](super::Connection::drained).
    DrainRequested(LinkId),
    /// The flow that asks the sender of a link to [`drain`](super::Connection::drain) is written.
    DrainSent(LinkId),
    /// The sender has used up the credit of a link after a [`drain`](super::Connection::drain).
    Drained(LinkId),
    /// A whole message waits; take it with [`receive`](super::Connection::receive).
    Readable(LinkId),
}

/// An entry of the list of events: what has flags set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Session(SessionIndex),
    Link(LinkIndex),
}

/// The kind is in the highest bit: [`Limits::FEW`] leaves it and two numbers.
const LINK: u16 = 1 << 15;
/// What the last entry of the list names as the one behind it.
const LAST: u16 = u16::MAX - 1;

const _: () = assert!(Limits::FEW <= (LAST & !LINK) as usize, "no entry has the number of none");

/// Sessions and links with flags set, in the order in which they got them: a list through the entries (`next_event`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    first: u16,
    last: u16,
}

impl Events {
    pub(super) const EMPTY: Self = Self { first: LAST, last: LAST };
}

impl Changed {
    pub(super) fn of(number: u16) -> Self {
        let index = u32::from(number & !LINK);
        if number & LINK == 0 { Self::Session(SessionIndex::of(index)) } else { Self::Link(LinkIndex::of(index)) }
    }

    pub(super) fn number(self) -> u16 {
        match self {
            Self::Session(at) => at.number() as u16,
            Self::Link(at) => at.number() as u16 | LINK,
        }
    }
}

impl<S: Storage> Connection<S> {
    /// The next event.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// client.detach(link, true, None)?;
    /// exchange(&mut client, &mut server);
    /// assert_eq!(server.poll_event(), Some(Event::LinkDetached(their_link)));
    /// assert_eq!(server.poll_event(), None);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.opened_due) {
            return Some(Event::Opened);
        }
        while let Some(entry) = self.pop_event() {
            let event = match entry {
                Changed::Session(at) => self.session_event(at),
                Changed::Link(at) => self.link_event(at),
            };
            if event.is_some() {
                return event;
            }
        }
        if core::mem::take(&mut self.closed_due) {
            return Some(Event::Closed(self.failed.unwrap_or(ConnectionError::ClosedByPeer)));
        }
        None
    }

    /// Where an entry names the one behind it.
    fn next_event(&mut self, entry: u16) -> Option<&mut u16> {
        match Changed::of(entry) {
            Changed::Session(at) => self.sessions.get_mut(at).map(|session| &mut session.next_event),
            Changed::Link(at) => self.links.get_mut(at).map(|link| &mut link.next_event),
        }
    }

    /// Appends an entry that is not in the list.
    fn list_event(&mut self, entry: Changed) {
        let entry = entry.number();
        let Some(next) = self.next_event(entry) else { return };
        *next = LAST;
        match self.next_event(self.events.last) {
            Some(before) => *before = entry,
            None => self.events.first = entry,
        }
        self.events.last = entry;
    }

    fn pop_event(&mut self) -> Option<Changed> {
        let first = self.events.first;
        let next = core::mem::replace(self.next_event(first)?, UNLISTED);
        self.events.first = next;
        if next == LAST {
            self.events.last = LAST;
        }
        Some(Changed::of(first))
    }

    fn session_event(&mut self, at: SessionIndex) -> Option<Event> {
        let id = self.sessions.id(at)?;
        let session = self.sessions.get_mut(at)?;
        if session.flags & session::flag::BEGUN != 0 {
            session.flags &= !session::flag::BEGUN;
            if session.flags != 0 {
                self.list_event(Changed::Session(at));
            }
            return Some(Event::SessionBegun(id));
        }
        if session.flags & session::flag::ENDED != 0 {
            self.sessions_apart -= usize::from(session.apart);
            self.set_narrowed(at, false);
            self.sessions.free(at);
            self.freed = true;
            return Some(Event::SessionEnded(id));
        }
        None
    }

    fn link_event(&mut self, at: LinkIndex) -> Option<Event> {
        use link::flag;
        let id = self.links.id(at)?;
        let link = self.links.get_mut(at)?;
        if link.forgotten {
            self.links.free(at);
            self.freed = true;
            return None;
        }
        // The lowest flag comes first.
        let flag = link.flags & link.flags.wrapping_neg();
        link.flags &= !flag;
        if link.flags != 0 {
            self.list_event(Changed::Link(at));
        }
        Some(match flag {
            flag::ATTACHED => Event::LinkAttached(id),
            flag::CREDIT => Event::Credit(id),
            flag::READABLE => Event::Readable(id),
            flag::DRAIN => Event::DrainRequested(id),
            flag::DRAIN_SENT => Event::DrainSent(id),
            flag::DRAINED => Event::Drained(id),
            flag::FAILED => Event::LinkFailed(id),
            flag::DETACHED => Event::LinkDetached(id),
            _ => return None,
        })
    }

    pub(super) fn flag_session(&mut self, at: SessionIndex, flag: u8) {
        if let Some(session) = self.sessions.get_mut(at) {
            session.flags |= flag;
            if session.next_event == UNLISTED {
                self.list_event(Changed::Session(at));
            }
        }
    }

    pub(super) fn flag_link(&mut self, at: LinkIndex, flag: u8) {
        if let Some(link) = self.links.get_mut(at) {
            link.flags |= flag;
            if link.next_event == UNLISTED {
                self.list_event(Changed::Link(at));
            }
        }
    }
}
