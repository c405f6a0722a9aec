//! Links: attached when they are needed and may be, and again when they were lost.
// docs/evidence/wire-protocol.md §1.5, §6.4

use super::attachment::{ATTACH_ANSWER, Attachment, ReceiveMode, Work};
use super::id::EndpointId;
use super::link_up::Traffic;
use super::node::CBS;
use super::routes::Route;
use super::tokens::User;
use super::{Capacity, Cause, ClientMachine, Clock, EngineError, Entity, Failure, HEALTHY, Name, Path, Timer};
use crate::engine::{LinkId, Violation};
use crate::log::{Maybe, Span};
use crate::servicebus::session_filter;
use crate::servicebus::{Argument, Reason};
use crate::storage::{Features, Storage, TransactionOf};
use crate::time::Instant;
use crate::wire::messaging::{Source, Target};
use crate::wire::performative::{Attach, ReceiverSettleMode, Role, SenderSettleMode, TargetArchetype};
use crate::wire::transaction::Coordinator;
use crate::wire::{Symbol, Value, encode_map};

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

/// Links that the pair of `$cbs` takes as long as the connection lasts.
const CBS_LINKS: usize = 2;
/// How long the service may take to find a session.
const TIMEOUT: &str = "com.microsoft:timeout";
/// How a receiver names itself.
const RECEIVER_NAME: &str = "com.microsoft:receiver-name";

/// Whether a failure is that of an attach which waits for room.
pub(super) fn is_of_room<S: Storage>(failure: &Failure<S>) -> bool {
    let full = |capacity| matches!(capacity, Capacity::Links | Capacity::Sessions | Capacity::Outbox);
    matches!(failure.cause, Cause::Engine(EngineError::NoCapacity(capacity)) if full(capacity))
}

/// The attach of a link between two addresses. Not inlined: it is large, and its users change a field or two.
#[inline(never)]
pub(super) fn attach<'a>(name: &'a str, role: Role, source: &'a str, target: &'a str) -> Attach<'a> {
    Attach {
        snd_settle_mode: SenderSettleMode::Unsettled,
        source: Some(Source::new(Some(source))),
        target: Some(TargetArchetype::Target(Target::new(Some(target)))),
        ..Attach::new(name, role)
    }
}

impl<S: Storage> ClientMachine<S> {
    /// Makes all progress that is possible now: puts tokens, attaches links, sends requests, grants credit, closes.
    #[inline(never)]
    pub(super) fn advance(&mut self, clock: Clock) {
        if self.connection.as_ref().is_none_or(|connection| connection.failure().is_some()) {
            return;
        }
        self.pump(clock);
        self.advance_requests(clock);
        self.advance_links(clock);
        self.take_back_credit(clock);
        self.advance_close(clock);
    }

    /// Attaches a link to `$cbs` or `$management`, with default settings.
    pub(super) fn attach_plain(
        &mut self,
        name: &str,
        role: Role,
        source: &str,
        target: &str,
    ) -> Result<LinkId, EngineError> {
        let connection = self.connection.as_mut().ok_or(EngineError::Closed)?;
        // A request is part of a transaction only on the session of its coordinator.
        let is_cbs = source == CBS || target == CBS;
        let traffic = if self.transacts && !is_cbs { Traffic::Messages } else { Traffic::Requests };
        self.link_up.attach(connection, traffic, &attach(name, role, source, target))
    }

    /// Marks a sender or receiver for the next tick.
    pub(super) fn mark_link(&mut self, place: u32) {
        self.due = true;
        self.links.mark(place);
    }

    /// Advances the marked senders and receivers; marks set meanwhile are handled in the next round.
    fn advance_links(&mut self, clock: Clock) {
        if core::mem::take(&mut self.has_room) {
            for _ in 0..self.links.count_without_room() {
                let Some(place) = self.links.take_without_room() else { break };
                if !self.advance_link(place, clock) {
                    break;
                }
            }
        }
        for _ in 0..self.links.count_ready() {
            let Some(place) = self.links.take_ready() else { return };
            self.advance_link(place, clock);
        }
    }

    /// Advances a sender or receiver; false when its attach waits for room.
    fn advance_link(&mut self, place: u32, clock: Clock) -> bool {
        let Some(endpoint) = self.links.get(place) else { return true };
        if endpoint.is_closing() || self.link_up.is_leaving() {
            self.wind_down(place, clock);
            return true;
        }
        if S::Features::RECEIVERS && self.credit.take_gives_back(place) {
            self.give_back(place, clock);
        }
        let Some(endpoint) = self.links.get(place) else { return true };
        if !endpoint.wants_link() {
            self.top_up(place);
        } else if self.timers.get(Timer::Link, place).is_none() {
            if !self.tokens.is_valid(endpoint.entity().token) {
                self.links.wait_for_token(place);
            } else {
                match self.attach_endpoint(place, clock.now) {
                    Ok(()) => {}
                    // The only session that there can be is about to end.
                    Err(EngineError::Detached) => self.endpoint_detached(place, clock, Attachment::Down, None),
                    Err(error) if self.may_fit(error) => {
                        self.wait_for_room(place, error);
                        return false;
                    }
                    Err(error) => self.give_up(place, &Failure::of_engine(error)),
                }
            }
        }
        true
    }

    /// Whether an attach that failed for want of room may have it later: links are detached, and the outbox is sent.
    pub(super) fn may_fit(&self, error: EngineError) -> bool {
        match error {
            EngineError::NoCapacity(Capacity::Outbox) => {
                self.connection.as_ref().is_some_and(|connection| connection.outbox_bytes() > 0)
            }
            EngineError::NoCapacity(Capacity::Links) => self.links.capacity() > CBS_LINKS,
            EngineError::NoCapacity(Capacity::Sessions) => true,
            _ => false,
        }
    }

    /// An attach waits for room. Calls whose time ends first report what was missing.
    fn wait_for_room(&mut self, place: u32, error: EngineError) {
        self.starved = true;
        self.links.wait_for_room(place, Failure::of_engine(error));
    }

    /// The pause for which a link waited is over, its attach got no answer, or it has lived long enough to be healthy.
    pub(super) fn link_timer(&mut self, place: u32, clock: Clock) {
        // One that closes has its detach under way.
        let Some(endpoint) = self.links.get_mut(place).filter(|endpoint| !endpoint.is_closing()) else { return };
        let pending = endpoint.link().filter(|_| !endpoint.is_up());
        if let Some(link) = pending {
            self.detach(link);
            self.endpoint_detached(place, clock, Attachment::Down, None);
            return;
        }
        if !endpoint.is_up() {
            self.mark_link(place);
            return;
        }
        endpoint.healthy();
        if let Some(lock) = endpoint.session_lock() {
            self.session_locks.settle_in(lock);
        }
    }

    /// A delivery of the application's has moved on a link: link and connection are healthy.
    pub(super) fn link_moved(&mut self, place: u32) {
        let Some(endpoint) = self.links.get_mut(place) else { return };
        endpoint.healthy();
        self.link_up.healthy();
        if endpoint.is_closing() || self.link_up.is_leaving() {
            self.mark_link(place);
        }
    }

    /// An endpoint's link is gone, but for what it `leaves`; returns its span for the events that remain.
    pub(super) fn link_gone(&mut self, place: u32, leaves: Attachment) -> Span {
        for timer in [Timer::Link, Timer::Credit, Timer::Prefetched] {
            self.timers.stop(timer, place);
        }
        self.credit.link_gone(place);
        // It may have been the last one that a connection waits for which is to end.
        self.due |= self.link_up.is_leaving();
        self.links.detached(place, leaves)
    }

    #[inline(never)]
    fn attach_endpoint(&mut self, place: u32, now: Instant) -> Result<(), EngineError> {
        let number = self.next_number();
        let name: Name = Self::name(self.link_up.container(), number);
        let endpoint = self.links.get(place).ok_or(EngineError::Detached)?;
        let mut path = Path::new();
        self.put_path(endpoint.entity(), false, &mut path)?;
        let mut filter_buffer = [0; session_filter::MAX_LEN];
        let mut properties_buffer = [0; 300];
        let identifier = endpoint.identifier().unwrap_or(&name);
        let (kind, sends) = match endpoint.work() {
            Work::Sender => ("sender", true),
            Work::Coordinator => ("coordinator", true),
            Work::Receiver { .. } => ("receiver", false),
        };
        let span = Span::link(kind, &name, &path);
        let mut attach = if sends {
            attach(&name, Role::Sender, identifier, &path)
        } else {
            attach(&name, Role::Receiver, &path, identifier)
        };
        match endpoint.work() {
            Work::Sender => {}
            // As with sessions: without transactions none of this is linked.
            Work::Coordinator if size_of::<TransactionOf<S>>() == 0 => {}
            Work::Coordinator => {
                attach.target = Some(TargetArchetype::Coordinator(Coordinator { capabilities: None }));
            }
            Work::Receiver { .. } if !S::Features::RECEIVERS => {}
            Work::Receiver { mode, .. } => {
                let too_long = |_| EngineError::IllegalState;
                let mut timeout = None;
                if let Some(lock) = endpoint.session_lock() {
                    let filter;
                    (filter, timeout) = self.session_locks.ask(lock, &mut filter_buffer).map_err(too_long)?;
                    if let Some(source) = &mut attach.source {
                        source.filter = Some(filter);
                    }
                }
                let properties = [
                    (Value::Symbol(Symbol::new(RECEIVER_NAME)), Value::String(identifier)),
                    (Value::Symbol(Symbol::new(TIMEOUT)), Value::Uint(timeout.unwrap_or(0))),
                ];
                let count = if timeout.is_some() { 2 } else { 1 };
                let properties = properties.get(..count).unwrap_or_default();
                attach.properties = Some(encode_map(properties, &mut properties_buffer).map_err(too_long)?);
                (attach.snd_settle_mode, attach.rcv_settle_mode) = match mode {
                    ReceiveMode::PeekLock => (SenderSettleMode::Unsettled, ReceiverSettleMode::Second),
                    ReceiveMode::ReceiveAndDelete => (SenderSettleMode::Settled, ReceiverSettleMode::First),
                };
            }
        }
        let connection = self.connection.as_mut().ok_or(EngineError::Closed)?;
        let link = self.link_up.attach(connection, Traffic::Messages, &attach)?;
        self.routes.add(link, Route::Endpoint(place));
        let in_session = endpoint.is_session();
        self.links.attaching(place, link, number, span);
        if S::Features::RECEIVERS {
            self.credit.asked(place, now);
        }
        if !in_session {
            self.timers.start(Timer::Link, place, now, ATTACH_ANSWER);
        }
        // Credit travels with the attach: the first message needs no round trip of its own.
        self.top_up(place);
        Ok(())
    }

    /// Both attaches were seen.
    pub(super) fn endpoint_attached(&mut self, place: u32, link: LinkId, clock: Clock) {
        let Some(endpoint) = self.links.get(place) else { return };
        if endpoint.is_refused() || endpoint.link() != Some(link) {
            return;
        }
        if endpoint.is_session() && !self.session_attached(place, link, clock) {
            return;
        }
        self.links.attached(place, link);
        self.timers.start(Timer::Link, place, clock.now, HEALTHY);
        if S::Features::RECEIVERS {
            self.note_alive(place, clock);
            self.drain_seen(place, clock);
        }
        let Some(endpoint) = self.links.get(place) else { return };
        let entity = endpoint.entity();
        endpoint.span().within(|| log!(debug, "link attached", entity = Maybe(self.tokens.address(entity))));
        let receives = endpoint.is_receiver();
        self.link_up.works();
        if receives {
            self.calls.notice_others(place);
        } else {
            self.calls.notice_endpoint(place);
        }
        self.mark_link(place);
    }

    /// An endpoint's link is gone, but for what it `leaves`.
    pub(super) fn endpoint_detached(&mut self, place: u32, clock: Clock, leaves: Attachment, fault: Option<Violation>) {
        let was_up = self.links.get(place).is_some_and(|endpoint| endpoint.is_up());
        let span = self.link_gone(place, leaves);
        let Some(endpoint) = self.links.get_mut(place) else { return };
        let session_lock = endpoint.session_lock();
        if endpoint.is_closing() || (self.link_up.is_leaving() && session_lock.is_none()) {
            self.wound_down(place);
            return;
        }
        let failure = match fault {
            // The message has no room in fixed storage: coming back for it would not help.
            Some(Violation::MessageSizeExceeded) => Failure::no_capacity(Capacity::Message),
            _ => endpoint.take_error().unwrap_or_else(|| Failure::new(Cause::LinkLost)),
        };
        let entity = endpoint.entity();
        span.within(|| {
            log!(debug, "link detached", entity = Maybe(self.tokens.address(entity)), failure = failure);
        });
        endpoint.set_error(Some(failure.clone()));
        self.fail_sent(place, &failure);
        if let Some(lock) = session_lock {
            if failure.reason() == Some(Reason::SessionLockLost)
                && let Some(until) = self.session_locks.lock_end(lock)
            {
                self.lock_ended(clock, until);
            }
            span.within(|| self.session_detached(place, was_up, &failure));
            return;
        }
        let Some(endpoint) = self.links.get_mut(place) else { return };
        let backoff = endpoint.failed();
        let retry_at = self.retry_at(backoff, clock.now, &failure);
        self.timers.set(Timer::Link, place, retry_at);
        if !failure.is_transient() || backoff.is_exhausted(&self.settings.retry) {
            self.give_up(place, &failure);
            return;
        }
        // Without a call that waits, the next one attaches again. A paused receiver would fetch messages whose locks
        // run out, until they are dead-lettered (docs/evidence/invariants.md §1 row 11).
        self.links.park(place, !self.calls.has_any(place));
        // A receive whose time is up has waited for the rest of its credit, which is gone with the link.
        if S::Features::RECEIVERS {
            self.calls.notice_late(place);
        }
        self.mark_link(place);
    }

    /// Fails the waiting calls, which waiting would not help; the next call tries again.
    pub(super) fn give_up(&mut self, place: u32, failure: &Failure<S>) {
        self.links.give_up(place, failure);
        self.fail_waiting(place, failure);
    }

    /// Adds a sender or receiver; it attaches as soon as there is a connection.
    ///
    /// # Errors
    /// [`Cause::Closed`], [`Capacity::Links`] when there are too many, or an identifier of more than 128 characters.
    pub(crate) fn add_endpoint(
        &mut self,
        kind: Kind,
        entity: Entity<S>,
        identifier: Option<S::Literal>,
    ) -> Result<EndpointId, Failure<S>> {
        if self.link_up.is_closing() {
            return Err(Failure::new(Cause::Closed));
        }
        self.check_tables()?;
        let too_long = identifier
            .as_ref()
            .is_some_and(|identifier| identifier.as_ref().chars().count() > crate::servicebus::message::MAX_ID_LEN);
        if too_long {
            return Err(Failure::new(Cause::Argument(Argument::Identifier)));
        }
        let (work, prefetch) = match kind {
            Kind::Sender => (Work::Sender, 0),
            Kind::Coordinator => {
                self.transacts = true;
                (Work::Coordinator, 0)
            }
            Kind::Receiver { mode, prefetch } => (Work::Receiver { mode }, prefetch),
        };
        let entity = self.acquire(&entity, User::Link)?;
        let added = self.links.insert(work, entity, identifier);
        match &added {
            Ok(id) => self.credit.add(id.0.index, prefetch),
            Err(_) => self.release(entity.token, User::Link),
        }
        self.due = true;
        added.map_err(|_| Failure::no_capacity(Capacity::Links))
    }
}
