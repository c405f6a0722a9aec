//! One sender or receiver: what it is, how far its link is, and which sorts it counts as.

use crate::engine::{Connection, LinkId};
use crate::log::Span;
use crate::machine::Failure;
use crate::machine::attachment::{Attachment, ReceiveMode, Work};
use crate::machine::backoff::Backoff;
use crate::machine::id::{EntityId, SessionLockId, TokenId};
use crate::servicebus::address::SubQueue;
use crate::storage::{Features, Joint, SmallKey, Storage};
use core::fmt;

/// A sender or receiver.
// In this order: the places of small fields fit into the instructions of small machines.
#[repr(C)]
pub(in crate::machine) struct Endpoint<S: Storage> {
    /// It has been attached before.
    pub(super) was_up: bool,
    /// The link is not needed, or it failed for a reason that waiting does not mend: the next call tries again.
    pub(super) parked: bool,
    /// It never comes back.
    pub(super) over: bool,
    /// The application has dropped it: it goes when its link has.
    pub(super) closing: bool,
    /// It waits for its token, and is in the chain of those.
    pub(super) without_token: bool,
    /// The loss of a connection that it has seen last, or that was last when it began to need one.
    pub(super) losses: bool,
    pub(super) sub_queue: Option<SubQueue>,
    pub(super) work: Work,
    pub(super) attachment: Attachment,
    /// What the peer said last; for good when `over`.
    pub(super) error: Option<Failure<S>>,
    /// Links that failed in a row.
    pub(super) backoff: Backoff,
    /// The lock of its session, when it is for one.
    pub(super) session_lock: Option<SessionLockId>,
    pub(super) token: TokenId,
    /// In a chain of its token.
    pub(super) joint: Joint<u16>,
    /// The link that is there or comes, or has left messages; otherwise it tells nothing.
    pub(super) link: Option<SmallKey>,
    /// The application's handles beyond the first.
    pub(super) clones: u32,
    /// Of a sender, the limit on batches that its link has announced; zero for none.
    pub(super) max_batch_size: u32,
    /// Tracing span of its link.
    pub(super) span: Span,
    /// The number in its link's name.
    pub(super) name: u32,
    /// How the application names it to the service.
    pub(super) identifier: Option<S::Literal>,
}

impl<S: Storage> Endpoint<S> {
    /// What it sends to or receives from.
    pub(in crate::machine) fn entity(&self) -> EntityId {
        EntityId { token: self.token, sub_queue: self.sub_queue }
    }

    pub(in crate::machine) fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// The link that is there, or comes.
    pub(in crate::machine) fn link(&self) -> Option<LinkId> {
        self.link_where(self.is_linked())
    }

    /// The link that is there.
    pub(in crate::machine) fn link_up(&self) -> Option<LinkId> {
        self.link_where(self.is_up())
    }

    /// The link that has left messages, and whether it was on an earlier connection.
    pub(in crate::machine) fn remains(&self) -> Option<(LinkId, bool)> {
        let left = matches!(self.attachment, Attachment::Remains | Attachment::Retired);
        Some((self.link_where(left)?, self.attachment == Attachment::Retired))
    }

    pub(in crate::machine) fn is_up(&self) -> bool {
        self.attachment == Attachment::Up
    }

    /// Whether a link is there, or comes.
    fn is_linked(&self) -> bool {
        matches!(self.attachment, Attachment::Pending | Attachment::Refused | Attachment::Up)
    }

    fn link_where(&self, known: bool) -> Option<LinkId> {
        self.link.filter(|_| known).map(LinkId::from)
    }

    /// Whether a link is wanted.
    pub(in crate::machine) fn wants_link(&self) -> bool {
        self.attachment == Attachment::Down && !self.closing && !self.parked && !self.over
    }

    pub(in crate::machine) fn was_up(&self) -> bool {
        self.was_up
    }

    /// Whether it has ended for good, with its error.
    pub(in crate::machine) fn is_over(&self) -> bool {
        self.over
    }

    pub(in crate::machine) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether the peer has refused its attach; a detach with the reason follows.
    pub(in crate::machine) fn is_refused(&self) -> bool {
        self.attachment == Attachment::Refused
    }

    pub(in crate::machine) fn work(&self) -> Work {
        self.work
    }

    /// The lock of its session, when it is for one.
    pub(in crate::machine) fn session_lock(&self) -> Option<SessionLockId> {
        if S::Features::SESSIONS { self.session_lock } else { None }
    }

    pub(in crate::machine) fn set_session_lock(&mut self, lock: SessionLockId) {
        self.session_lock = Some(lock);
    }

    pub(in crate::machine) fn is_session(&self) -> bool {
        self.session_lock().is_some()
    }

    /// The limit on batches that the link has announced; zero for none, and for receivers.
    pub(in crate::machine) fn max_batch_size(&self) -> u32 {
        self.max_batch_size
    }

    pub(in crate::machine) fn is_receiver(&self) -> bool {
        S::Features::RECEIVERS && matches!(self.work, Work::Receiver { .. })
    }

    pub(in crate::machine) fn mode(&self) -> ReceiveMode {
        match self.work {
            Work::Receiver { mode } if S::Features::RECEIVE_AND_DELETE => mode,
            _ => ReceiveMode::PeekLock,
        }
    }

    pub(in crate::machine) fn span(&self) -> &Span {
        &self.span
    }

    /// The number in its link's name.
    pub(in crate::machine) fn name(&self) -> u32 {
        self.name
    }

    /// How the application names it to the service.
    pub(in crate::machine) fn identifier(&self) -> Option<&str> {
        self.identifier.as_ref().map(AsRef::as_ref)
    }

    /// The peer's last error, or what its attach waits for.
    pub(in crate::machine) fn error(&self) -> Option<&Failure<S>> {
        self.error.as_ref()
    }

    pub(in crate::machine) fn set_error(&mut self, error: Option<Failure<S>>) {
        self.error = error;
    }

    pub(in crate::machine) fn take_error(&mut self) -> Option<Failure<S>> {
        self.error.take()
    }

    /// A link has failed.
    pub(in crate::machine) fn failed(&mut self) -> Backoff {
        self.backoff.failed();
        self.backoff
    }

    /// Its link works.
    pub(in crate::machine) fn healthy(&mut self) {
        self.backoff.healthy();
    }

    /// The peer's attach has come: without a terminus it is a refusal. That of a link that was let go of is no news.
    pub(in crate::machine) fn answered(&mut self, link: LinkId, refused: bool, batch_size: Option<i64>) {
        if refused && self.link() == Some(link) {
            self.attachment = Attachment::Refused;
        }
        if self.work == Work::Sender {
            // More than four gigabytes are as good as no limit.
            self.max_batch_size = u32::try_from(batch_size.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
        }
    }

    /// Returns the attachment after the link is gone from a connection, which is retired or continues: messages that
    /// were settled when they came may remain. Those of an earlier connection stay, unless this one takes the one place
    /// for retired connections.
    pub(in crate::machine) fn leaves(&self, connection: Option<&Connection<S>>, retired: bool) -> Attachment {
        if !S::Features::RECEIVE_AND_DELETE {
            return Attachment::Down;
        }
        match self.attachment {
            Attachment::Down => return Attachment::Down,
            Attachment::Retired if connection.is_none() => return Attachment::Retired,
            Attachment::Retired => return Attachment::Down,
            Attachment::Remains | Attachment::Pending | Attachment::Refused | Attachment::Up => {}
        }
        let keeps = self.mode() == ReceiveMode::ReceiveAndDelete && !self.closing;
        let waiting = connection.filter(|_| keeps).and_then(|connection| connection.link(self.link?.into()));
        match waiting.is_some_and(|status| status.waiting > 0) {
            true if retired => Attachment::Retired,
            true => Attachment::Remains,
            false => Attachment::Down,
        }
    }

    /// Whether its last link has left messages on an earlier connection.
    fn is_retired(&self) -> bool {
        S::Features::RECEIVE_AND_DELETE && self.attachment == Attachment::Retired
    }

    fn is(&self, sort: Sort) -> bool {
        match sort {
            Sort::Wanting => !self.parked && !self.over,
            Sort::Linked => self.is_linked(),
            Sort::Retired => self.is_retired(),
            Sort::Deleting => {
                self.mode() == ReceiveMode::ReceiveAndDelete
                    && self.attachment != Attachment::Down
                    && !self.is_retired()
            }
            Sort::Receiving => self.is_receiver() && !self.closing && !self.parked,
        }
    }

    /// Whether the loss of a connection is news for it.
    fn is_active(&self) -> bool {
        self.is(Sort::Wanting) || self.attachment != Attachment::Down || self.closing
    }

    pub(super) fn standing(&self) -> Standing {
        let sorts = SORTS.into_iter().fold(0, |sorts, sort| sorts | u8::from(self.is(sort)) << sort as u8);
        Standing(sorts | u8::from(self.is_active()) << ACTIVE)
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

/// Sorts of senders and receivers that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Sort {
    /// Those that need a connection. Parked ones alone are no reason to connect again.
    Wanting,
    /// Those with a link that is there, or comes.
    Linked,
    /// Those whose last link has left messages on an earlier connection.
    Retired,
    /// Receivers that may take credit.
    Receiving,
    /// Receivers that delete what they receive and have, or had, a link on this connection.
    Deleting,
}

pub(super) const SORTS: [Sort; 5] = [Sort::Wanting, Sort::Linked, Sort::Retired, Sort::Receiving, Sort::Deleting];

/// The counted properties of an endpoint, a bit each: a loop over them is less code than a comparison of each.
#[derive(Clone, Copy)]
pub(super) struct Standing(u8);

/// The bit behind those of sorts.
const ACTIVE: usize = SORTS.len();

impl Standing {
    /// One, if the endpoint is of the sort with this number.
    pub(super) fn count(self, sort: usize) -> u32 {
        u32::from(self.0 >> sort & 1)
    }

    /// Whether the loss of a connection is news for it.
    pub(super) fn is_active(self) -> bool {
        self.count(ACTIVE) > 0
    }
}
