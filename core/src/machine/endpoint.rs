//! A sender or receiver as the application holds it: it outlives the links that serve it.

use super::Failure;
use super::backoff::Backoff;
use super::id::{EntityId, SessionLockId, TokenId};
use crate::engine::LinkId;
use crate::log::Span;
use crate::servicebus::address::SubQueue;
pub use crate::servicebus::entity::Entity;
use crate::storage::{Features, Key, Storage};
use crate::time::Instant;
use core::fmt;

/// Names a sender or receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId(pub(super) Key);

/// Whether a receiver locks messages or takes them at once (docs/evidence/wire-protocol.md §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Messages are locked until they are settled.
    #[default]
    PeekLock,
    /// Messages are gone from the entity when they are sent: lost if the receiver dies.
    ReceiveAndDelete,
}

/// Room for the longest address: 260 characters of an entity, 50 of a subscription, sub-queue and node.
pub(super) type Path = heapless::String<400>;

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sends messages.
    Sender,
    /// Begins and ends transactions.
    Coordinator,
    /// Receives messages.
    Receiver {
        /// Locks or deletes.
        mode: ReceiveMode,
        /// Messages that are kept ready.
        prefetch: u32,
    },
}

/// What an endpoint does, and what only one of its kind knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// `max_batch_size` is the link's limit, where the service tells one, and zero where not.
    Sender {
        max_batch_size: u32,
    },
    Coordinator,
    Receiver {
        mode: ReceiveMode,
        prefetch: u32,
    },
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// None.
    Down,
    /// Attach is sent.
    Pending(LinkId),
    /// Both attaches were seen.
    Up(LinkId),
    /// It is gone, and still holds messages that were settled when they came.
    Remains {
        link: LinkId,
        /// It was on an earlier connection.
        retired: bool,
    },
}

impl Attachment {
    /// The link that is there, or comes.
    pub(super) fn link(self) -> Option<LinkId> {
        match self {
            Self::Down | Self::Remains { .. } => None,
            Self::Pending(link) | Self::Up(link) => Some(link),
        }
    }

    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up(_))
    }

    /// Whether what the last link left is on an earlier connection.
    pub(super) fn is_retired(self) -> bool {
        matches!(self, Self::Remains { retired: true, .. })
    }
}

/// A sender or receiver.
// In this order: the places of small fields fit into the instructions of small machines.
#[repr(C)]
pub(super) struct Endpoint<S: Storage> {
    /// It has been attached before.
    pub(super) was_up: bool,
    /// Nobody needs the link, or it failed for a reason that waiting does not mend: the next call tries again.
    pub(super) parked: bool,
    /// It never comes back.
    pub(super) over: bool,
    /// The peer's attach had no terminus: a detach with the reason follows.
    pub(super) refused: bool,
    /// The application wants nothing kept ready for now, whatever the prefetch.
    pub(super) suspended: bool,
    /// A drain has ended: what came of it is taken before new credit is granted.
    pub(super) harvest: bool,
    /// A drain is under way, or the end of an endpoint that closes.
    pub(super) draining: bool,
    /// How long its answer has been missing.
    pub(super) overdue: Overdue,
    /// Its last receive is over: unused credit is given back.
    pub(super) gives_back: bool,
    /// They were given back: nothing is fetched ahead until the next call.
    pub(super) idled: bool,
    /// The application has dropped it: it goes when its link has.
    pub(super) closing: bool,
    pub(super) sub_queue: Option<SubQueue>,
    /// The application's handles beyond the first.
    pub(super) clones: u32,
    /// Links that failed in a row.
    pub(super) backoff: Backoff,
    pub(super) work: Work,
    /// The lock of its session, when it is for one.
    pub(super) claim: Option<SessionLockId>,
    pub(super) token: TokenId,
    pub(super) attachment: Attachment,
    /// Its link in what is told.
    pub(super) span: Span,
    /// The number in its link's name.
    pub(super) name: u32,
    /// Messages that the pending receives want.
    pub(super) demand: u32,
    /// Pending receives.
    pub(super) receives: u32,
    /// How the application names it to the service.
    pub(super) identifier: Option<S::Literal>,
    /// What the peer said last; for good when `over`.
    pub(super) error: Option<Failure<S>>,
    /// Since when there always was a message that waited.
    pub(super) stocked_since: Option<Instant>,
    /// When the oldest lock that it may have was asked for: by a receive call, or by its attach for a session.
    pub(super) asked_at: Instant,
}

/// How long the answer to a drain has been missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Overdue {
    /// Not for longer than a healthy service takes.
    No,
    /// For longer: a receive whose time is up does not wait for it.
    Late,
    /// For so long that the link is held to be sick.
    Sick,
}

impl<S: Storage> Endpoint<S> {
    pub(super) fn new(work: Work, entity: EntityId, identifier: Option<S::Literal>) -> Self {
        Self {
            work,
            claim: None,
            token: entity.token,
            sub_queue: entity.sub_queue,
            attachment: Attachment::Down,
            span: Span::default(),
            name: 0,
            was_up: false,
            clones: 0,
            backoff: Backoff::default(),
            gives_back: false,
            draining: false,
            overdue: Overdue::No,
            parked: false,
            error: None,
            over: false,
            refused: false,
            demand: 0,
            suspended: false,
            receives: 0,
            harvest: false,
            stocked_since: None,
            asked_at: Instant::ZERO,
            idled: false,
            identifier,
            closing: false,
        }
    }

    /// What it sends to or receives from.
    pub(super) fn entity(&self) -> EntityId {
        EntityId { token: self.token, sub_queue: self.sub_queue }
    }

    /// Whether a link is wanted.
    pub(super) fn wants_link(&self) -> bool {
        self.attachment == Attachment::Down && !self.closing && !self.parked && !self.over
    }

    /// Both attaches were seen.
    pub(super) fn attached(&mut self, link: LinkId) {
        self.attachment = Attachment::Up(link);
        self.was_up = true;
        self.error = None;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// It is over.
    pub(super) fn drained(&mut self) {
        self.draining = false;
    }

    /// The link is gone, but for what it `leaves`; what is still to be told of it goes into what this returns.
    pub(super) fn detached(&mut self, leaves: Attachment) -> Span {
        self.attachment = leaves;
        self.refused = false;
        self.harvest = false;
        self.draining = false;
        self.gives_back = false;
        self.stocked_since = None;
        core::mem::take(&mut self.span)
    }

    pub(super) fn is_session(&self) -> bool {
        self.session_lock().is_some()
    }

    /// The lock of its session.
    pub(super) fn session_lock(&self) -> Option<SessionLockId> {
        if S::Features::SESSIONS { self.claim } else { None }
    }

    pub(super) fn is_receiver(&self) -> bool {
        matches!(self.work, Work::Receiver { .. })
    }

    pub(super) fn mode(&self) -> ReceiveMode {
        match self.work {
            Work::Receiver { mode, .. } if S::Features::RECEIVE_AND_DELETE => mode,
            _ => ReceiveMode::PeekLock,
        }
    }

    pub(super) fn prefetch(&self) -> u32 {
        match self.work {
            Work::Receiver { prefetch, .. } if S::Features::PREFETCH && !self.suspended && !self.idled => prefetch,
            _ => 0,
        }
    }
}

impl<S: Storage> fmt::Debug for Endpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("work", &self.work)
            .field("attachment", &self.attachment)
            .finish_non_exhaustive()
    }
}
