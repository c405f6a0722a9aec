//! Sessions: channels, transfer-ids and windows (AMQP 1.0 §2.5).

use super::credit::remaining;
use super::entries::{Indexes, Number, UNLISTED};
use super::id::{LinkIndex, SessionId, SessionIndex};
use super::numbers::Channel;
use super::outbox::{OUTBOX_FULL, write_frame};
use super::phase::Ending;
use super::queue::Queued;
use super::wrong::Wrong;
use super::{Capacity, Connection, EngineError, Handler, Violation};
use crate::storage::{Chain, Joint, Payloads, Storage, TxOf};
use crate::wire::View;
use crate::wire::frame::Kind;
use crate::wire::performative::{Begin, End, ErrorCondition, Flow};

/// What has changed on a session since its last event.
pub(super) mod flag {
    pub(in crate::engine) const BEGUN: u8 = 1;
    pub(in crate::engine) const ENDED: u8 = 1 << 1;
}

/// The transfer-id of the first frame we send on a session.
const FIRST_OUTGOING_ID: u32 = 1;

#[derive(Debug)]
// In this order: small machines reach small fields that lie in front with shorter instructions.
#[repr(C)]
pub(super) struct Session {
    pub(super) begin_sent: bool,
    pub(super) begin_received: bool,
    pub(super) end_sent: bool,
    pub(super) end_received: bool,
    pub(super) flow_due: bool,
    /// The flow that is due asks the peer for its window: some renew it only when they have something else to say.
    pub(super) echo_due: bool,
    /// The peer has been asked since its window was last open.
    pub(super) asked: bool,
    /// For responses: its window stays open however much is buffered.
    pub(super) apart: bool,
    pub(super) flags: u8,
    pub(super) channel: u16,
    /// How many links it has that are not over.
    pub(super) link_count: u16,
    /// The entry behind it in the list of events.
    pub(super) next_event: u16,
    /// The transfer-id of the next frame we send.
    pub(super) next_outgoing_id: u32,
    /// The delivery-id of the next delivery we send: contiguous, since some peers drop what jumps.
    // docs/evidence/wire-protocol.md §0 fact 7
    pub(super) next_delivery_id: u32,
    /// The transfer-id of the next frame we expect.
    pub(super) next_incoming_id: u32,
    /// Frames that the peer may still send by the last flow.
    pub(super) incoming_left: u32,
    /// Frames that may still come by any flow: a smaller window does not take back frames under way.
    pub(super) incoming_promised: u32,
    /// The window of the last flow.
    pub(super) incoming_window: u32,
    /// Frames the peer is ready to take.
    pub(super) peer_incoming_window: u32,
    pub(super) outgoing_window: u32,
    pub(super) handle_max: u32,
    pub(super) peer_handle_max: u32,
    /// Our end is due: the session was not begun from here yet, or the outbox was full.
    pub(super) end_due: Option<Ending>,
    pub(super) peer_channel: Option<u16>,
    /// Its neighbours among the sessions with a flow or an end due.
    pub(super) queue: Joint<u16>,
    /// Its last window was less than its share.
    narrowed: bool,
    /// Its neighbours among those sessions.
    narrow: Joint<u16>,
    /// Its links that are not over.
    pub(super) links: Chain<u16>,
    /// Those that wait for its window.
    pub(super) stalled: Chain<u16>,
}

impl Session {
    pub(super) fn new(channel: u16, incoming_window: u32, handle_max: u32) -> Self {
        Self {
            channel,
            peer_channel: None,
            begin_sent: false,
            begin_received: false,
            end_sent: false,
            end_received: false,
            end_due: None,
            next_outgoing_id: FIRST_OUTGOING_ID,
            next_delivery_id: 0,
            next_incoming_id: 0,
            incoming_left: incoming_window,
            incoming_promised: incoming_window,
            incoming_window,
            peer_incoming_window: 0,
            outgoing_window: u32::MAX,
            handle_max,
            // The service's limit, until the peer's begin has its own.
            peer_handle_max: 255,
            flow_due: false,
            echo_due: false,
            asked: false,
            apart: false,
            flags: 0,
            link_count: 0,
            next_event: UNLISTED,
            queue: Joint::FREE,
            narrowed: false,
            narrow: Joint::FREE,
            links: Chain::EMPTY,
            stalled: Chain::EMPTY,
        }
    }

    /// Whether the session is over for both ends, and its channel free.
    pub(super) fn is_over(&self) -> bool {
        self.end_sent && self.end_received && self.end_due.is_none()
    }

    pub(super) fn is_live(&self) -> bool {
        !self.end_sent && !self.end_received
    }

    /// Applies the session part of a flow (AMQP 1.0 §2.5.6). Returns whether frames may be sent that could not before.
    pub(super) fn on_flow(&mut self, next_incoming_id: Option<u32>, incoming_window: u32) -> bool {
        let before = self.peer_incoming_window;
        // A peer that has not seen our begin leaves its next-incoming-id out: our first id then counts.
        let seen = next_incoming_id.unwrap_or(FIRST_OUTGOING_ID);
        self.peer_incoming_window = remaining(incoming_window, self.next_outgoing_id, seen);
        self.asked &= self.peer_incoming_window == 0;
        before == 0 && self.peer_incoming_window > 0
    }

    /// Counts an incoming transfer frame: `None` when it exceeds the window, else whether to renew the window.
    /// It is renewed at half, whether or not any link has a flow to send.
    // docs/evidence/peers.md: a window that is never re-advertised without link flow
    pub(super) fn on_transfer(&mut self) -> Option<bool> {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        self.incoming_promised = self.incoming_promised.checked_sub(1)?;
        self.incoming_left = self.incoming_left.saturating_sub(1);
        Some(self.incoming_left <= self.incoming_window / 2)
    }
}

impl Session {
    /// Renews the window.
    pub(super) fn open_window(&mut self, window: u32) {
        self.incoming_window = window;
        self.incoming_left = window;
        self.incoming_promised = self.incoming_promised.max(window);
    }

    /// The session part of a flow.
    pub(super) fn flow(&self) -> Flow<'static> {
        Flow {
            next_incoming_id: self.begin_received.then_some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: self.outgoing_window,
            handle: None,
            delivery_count: None,
            link_credit: None,
            available: None,
            drain: false,
            echo: false,
            properties: None,
        }
    }
}

impl<S: Storage> Connection<S> {
    /// Begins a session. Links may be attached at once.
    ///
    /// # Errors
    /// [`EngineError::NoCapacity`] when the table, the peer's channel-max or the outbox is exhausted.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// let session = client.begin()?;
    /// exchange(&mut client, &mut server);
    /// assert!(matches!(server.poll_event(), Some(Event::SessionBegun(_))));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn begin(&mut self) -> Result<SessionId, EngineError> {
        self.begin_session(false)
    }

    /// Begins a session for links whose messages are taken as they come, such as responses: messages that wait on other
    /// sessions do not close its window.
    ///
    /// # Errors
    /// As [`Connection::begin`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// let (orders, responses) = (client.begin()?, client.begin_apart()?);
    /// assert_ne!(orders, responses);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn begin_apart(&mut self) -> Result<SessionId, EngineError> {
        self.begin_session(true)
    }

    fn begin_session(&mut self, apart: bool) -> Result<SessionId, EngineError> {
        self.alive()?;
        let full = EngineError::NoCapacity(Capacity::Sessions);
        let mut session = Session::new(0, self.config.incoming_window, self.config.handle_max);
        session.apart = apart;
        let id = self.sessions.insert(session).map_err(|_| full)?;
        let at = id.at();
        let Some(channel) = self.free_channel(at.number(), at) else {
            self.sessions.free(at);
            return Err(full);
        };
        let window = self.window(at);
        if let Some(session) = self.sessions.get_mut(at) {
            session.channel = channel;
            (session.incoming_promised, session.incoming_left, session.incoming_window) = (window, window, window);
        }
        if let Err(error) = self.send_begin(at, None) {
            self.set_narrowed(at, false);
            self.sessions.free(at);
            return Err(error);
        }
        if apart {
            self.sessions_apart += 1;
        } else {
            self.share_windows(at);
        }
        Ok(id)
    }

    /// Whether the bytes of incoming messages are bounded by the sessions' windows.
    pub(super) fn bounds_bytes(&self) -> bool {
        !S::Payloads::BOUNDED && self.config.limits.buffered != usize::MAX
    }

    /// Bytes of messages that may be buffered. While no message is whole, none can be taken: the largest that is
    /// accepted has room then, or it would never end.
    pub(super) fn buffer_limit(&self) -> usize {
        let limits = &self.config.limits;
        if self.buffered_whole == 0 { limits.largest_buffer() } else { limits.buffered }
    }

    /// The sessions that the bytes which may be buffered are shared among, or more: rounded up, so that a session that
    /// begins seldom takes from others.
    fn sharing(&self, sessions: usize) -> usize {
        sessions.saturating_sub(self.sessions_apart).max(1).next_power_of_two()
    }

    /// The frames that a session may be sent now: its share of the bytes that may still be buffered.
    pub(super) fn window(&mut self, at: SessionIndex) -> u32 {
        let most = self.config.incoming_window;
        if !self.bounds_bytes() || self.sessions.get(at).is_some_and(|session| session.apart) {
            return most;
        }
        let sharing = self.sharing(self.sessions.len());
        let frames = |bytes: usize| bytes / self.config.max_frame_size as usize / sharing;
        let share = frames(self.config.limits.buffered).max(1);
        let free = frames(self.buffer_limit().saturating_sub(self.buffered));
        self.set_narrowed(at, free < share);
        // With nothing to take there is always one, and the link that exceeds the limit by it is closed.
        let free = if self.buffered_whole == 0 { free.max(1) } else { free };
        u32::try_from(free.min(share)).unwrap_or(u32::MAX).min(most)
    }

    /// Notes whether a session's window is less than its share.
    pub(super) fn set_narrowed(&mut self, at: SessionIndex, narrowed: bool) {
        if !self.bounds_bytes() {
            return;
        }
        let Some(session) = self.sessions.get_mut(at) else { return };
        if core::mem::replace(&mut session.narrowed, narrowed) == narrowed {
            return;
        }
        if narrowed {
            self.sessions.chain(&mut self.narrowed, at, |session| &mut session.narrow);
        } else {
            self.sessions.unchain(&mut self.narrowed, at, |session| &mut session.narrow);
        }
    }

    /// A new session lowers the shares of the others: narrows those whose windows are larger.
    fn share_windows(&mut self, begun: SessionIndex) {
        let sessions = self.sessions.len();
        if !self.bounds_bytes() || self.sharing(sessions) == self.sharing(sessions - 1) {
            return;
        }
        for at in self.sessions.indices() {
            let other = self.sessions.get(at).filter(|found| !found.apart && found.begin_received && found.is_live());
            if at != begun && other.is_some() {
                self.flag_session_flow(at);
            }
        }
    }

    /// Bytes of messages were taken or dropped: windows that they had narrowed open again.
    pub(super) fn widen_windows(&mut self) {
        let room = self.buffered <= self.config.limits.buffered / 2 || self.buffered_whole == 0;
        if !room || !self.bounds_bytes() {
            return;
        }
        while let Some(at) = self.narrowed.first().map(SessionIndex::of) {
            self.set_narrowed(at, false);
            if self.sessions.get(at).is_some_and(|session| session.begin_sent && session.is_live()) {
                self.flag_session_flow(at);
            }
        }
    }

    /// A channel that no other session than the one at `at` sends on: `wanted`, or the lowest.
    pub(super) fn free_channel(&self, wanted: u32, at: SessionIndex) -> Option<u16> {
        let limit = u32::from(self.peer_channel_max);
        // A session of our making has its own place for a channel, unless one of the peer's making is on that.
        if wanted == at.number() && wanted <= limit && self.sessions_made == 0 {
            return u16::try_from(wanted).ok();
        }
        let free = |channel: u32| {
            !self.sessions.indices().filter(|&other| other != at).any(|other| {
                self.sessions
                    .get(other)
                    .is_some_and(|session| u32::from(session.channel) == channel && !session.is_over())
            })
        };
        let lowest = || (0..=limit.min(self.sessions.end())).find(|&channel| free(channel));
        Some(wanted)
            .filter(|&wanted| wanted <= limit && free(wanted))
            .or_else(lowest)
            .and_then(|it| u16::try_from(it).ok())
    }

    /// Answers a session of the peer's making; attaching or accepting a link on it does so too.
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::NoCapacity`] for the outbox.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// let session = client.begin()?;
    /// exchange(&mut client, &mut server);
    /// if let Some(Event::SessionBegun(session)) = server.poll_event() {
    ///     server.accept_session(session)?;
    /// }
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.poll_event(), Some(Event::SessionBegun(session)));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn accept_session(&mut self, session: SessionId) -> Result<(), EngineError> {
        self.alive()?;
        let at = session.at();
        let found = self.sessions.find(session).ok_or(EngineError::Detached)?;
        if found.begin_sent {
            return Ok(());
        }
        self.send_begin(at, found.peer_channel)
    }

    fn send_begin(&mut self, at: SessionIndex, remote_channel: Option<u16>) -> Result<(), EngineError> {
        if !self.open_sent {
            return Err(EngineError::IllegalState);
        }
        let session = self.sessions.get(at).ok_or(EngineError::Detached)?;
        let begin = Begin {
            remote_channel,
            next_outgoing_id: session.next_outgoing_id,
            incoming_window: session.incoming_window,
            outgoing_window: session.outgoing_window,
            handle_max: session.handle_max,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        let channel = session.channel;
        self.push_frame(Kind::Amqp, channel, &begin).map_err(|_| OUTBOX_FULL)?;
        if let Some(session) = self.sessions.get_mut(at) {
            session.begin_sent = true;
            if session.end_due.is_some() {
                self.sessions.chain(&mut self.ends, at, |session| &mut session.queue);
            }
        }
        Ok(())
    }

    /// Ends a session and every link on it. Nothing follows the connection's close, so then it does nothing.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, session, link, .. } = linked(Role::Sender);
    /// client.end(session, None);
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.poll_event(), Some(Event::LinkDetached(link)));
    /// assert_eq!(client.poll_event(), Some(Event::SessionEnded(session)));
    /// ```
    pub fn end(&mut self, session: SessionId, error: Option<&ErrorCondition<'_>>) {
        if self.alive().is_ok() && self.sessions.find(session).is_some() {
            self.flush_dispositions();
            self.end_session(session.at(), error, Ending(None));
        }
    }

    /// Ends a session now, or with `ending` when a begin must go out first or the outbox is full.
    pub(super) fn end_session(&mut self, at: SessionIndex, error: Option<&ErrorCondition<'_>>, ending: Ending) {
        let Some(session) = self.sessions.get_mut(at) else { return };
        if session.end_sent {
            return;
        }
        session.end_sent = true;
        let (channel, begun) = (session.channel, session.begin_sent);
        self.unflag_session_flow(at);
        let said =
            begun && self.push_frame(Kind::Amqp, channel, &End { error: error.copied().or(ending.error()) }).is_ok();
        if !said && let Some(session) = self.sessions.get_mut(at) {
            session.end_due = Some(ending);
            if begun {
                self.sessions.chain(&mut self.ends, at, |session| &mut session.queue);
            }
        }
        self.detach_links_of(at);
        self.finish_session(at);
    }

    /// Every link of an ended session is over without a detach of its own (AMQP 1.0 §2.5.6).
    pub(super) fn detach_links_of(&mut self, session: SessionIndex) {
        while let Some(at) = self.sessions.get(session).and_then(|session| session.links.first()) {
            let at = LinkIndex::of(at);
            self.enqueue(at, Queued::Nowhere);
            let Some(found) = self.links.get_mut(at) else { return };
            found.detach_sent = true;
            found.detach_received = true;
            found.detach_due = None;
            self.revoke_credit(at);
            self.close_link(at);
        }
    }

    /// Reports the end of a session that is over.
    pub(super) fn finish_session(&mut self, at: SessionIndex) {
        let Some(session) = self.sessions.get(at) else { return };
        if session.is_over() {
            self.flag_session(at, flag::ENDED);
        }
    }

    pub(super) fn session_at(&self, channel: u16) -> Option<SessionIndex> {
        self.numbers.get(Channel(channel))
    }

    /// The session that we have begun on a channel and that is not answered: it has its own place for a channel, unless
    /// that was taken.
    fn begun_on(&self, channel: u16) -> Option<SessionIndex> {
        let is_it = |&at: &SessionIndex| {
            self.sessions.get(at).is_some_and(|session| session.channel == channel && !session.begin_received)
        };
        let own = Some(SessionIndex::of(u32::from(channel))).filter(is_it);
        own.or_else(|| if self.sessions_made == 0 { None } else { self.sessions.indices().find(is_it) })
    }

    #[inline(never)]
    pub(super) fn on_begin<'a, H: Handler>(
        &mut self,
        channel: u16,
        begin: &mut View<'a, Begin<'a>>,
    ) -> Result<SessionId, Wrong> {
        let key = Channel(channel);
        if self.numbers.get(key).is_some() {
            return Err(Wrong::Connection(Violation::IllegalState));
        }
        let (answered, window) = (begin.remote_channel(), begin.incoming_window());
        let (next_outgoing_id, handle_max) = (begin.next_outgoing_id(), begin.handle_max());
        begin.check()?;
        let at = match answered {
            Some(ours) => self.begun_on(ours).ok_or(Wrong::Connection(Violation::IllegalState))?,
            None if !H::SERVES => return Err(Wrong::Connection(Violation::NotAllowed)),
            None => {
                if channel > self.config.channel_max {
                    return Err(Wrong::Connection(Violation::FramingError));
                }
                // The peer's number serves for our direction too, unless a session of our making has it.
                let ours = self.free_channel(u32::from(channel), SessionIndex::NONE);
                let ours = ours.ok_or(Wrong::Connection(Violation::ResourceLimitExceeded))?;
                let mut session = Session::new(ours, self.config.incoming_window, self.config.handle_max);
                // The service mirrors the client's window (docs/evidence/service-evidence.md §1).
                session.outgoing_window = window;
                self.sessions_made += 1;
                self.sessions.insert(session).map_err(|_| Wrong::Connection(Violation::ResourceLimitExceeded))?.at()
            }
        };
        let full = Wrong::Connection(Violation::ResourceLimitExceeded);
        let id = self.sessions.id(at);
        let (Some(id), Some(session)) = (id, self.sessions.get_mut(at)) else { return Err(full) };
        self.numbers.insert(key, at).map_err(|_| full)?;
        session.begin_received = true;
        session.peer_channel = Some(channel);
        session.next_incoming_id = next_outgoing_id;
        session.peer_incoming_window = window;
        session.peer_handle_max = handle_max;
        self.flag_session(at, flag::BEGUN);
        self.wake_links_of(at);
        Ok(id)
    }

    pub(super) fn on_end(&mut self, at: SessionIndex) {
        let Some(session) = self.sessions.get_mut(at) else { return };
        session.end_received = true;
        let answered = session.end_sent;
        // The peer may use its number again at once.
        if let Some(channel) = session.peer_channel.take() {
            self.numbers.remove(Channel(channel));
        }
        if answered {
            self.finish_session(at);
        } else {
            self.flush_dispositions();
            self.end_session(at, None, Ending(None));
        }
    }

    pub(super) fn flag_session_flow(&mut self, at: SessionIndex) {
        if let Some(session) = self.sessions.get_mut(at)
            && !session.flow_due
            && !session.end_sent
        {
            session.flow_due = true;
            self.sessions.chain(&mut self.flows, at, |session| &mut session.queue);
        }
    }

    /// The flow of a session is not due any more.
    pub(super) fn unflag_session_flow(&mut self, at: SessionIndex) {
        if let Some(session) = self.sessions.get_mut(at)
            && core::mem::take(&mut session.flow_due)
        {
            session.echo_due = false;
            self.sessions.unchain(&mut self.flows, at, |session| &mut session.queue);
        }
    }

    pub(super) fn transmit_session_flows(&mut self, tx: &mut TxOf<S>) -> bool {
        while let Some(at) = self.flows.first().map(SessionIndex::of) {
            let window = self.window(at);
            let Some(session) = self.sessions.get_mut(at) else { return true };
            if session.is_live() && session.begin_sent {
                session.open_window(window);
                let flow = Flow { echo: session.echo_due, ..session.flow() };
                if !write_frame(tx, session.channel, &flow) {
                    return false;
                }
            }
            self.unflag_session_flow(at);
        }
        true
    }

    /// Writes the ends that are due, except for sessions that are not answered yet: an end without a begin would be
    /// another violation.
    pub(super) fn transmit_ends(&mut self, tx: &mut TxOf<S>) -> bool {
        while let Some(at) = self.ends.first().map(SessionIndex::of) {
            let Some(session) = self.sessions.get_mut(at) else { return true };
            let ending = session.end_due.unwrap_or(Ending(None));
            if !write_frame(tx, session.channel, &End { error: ending.error() }) {
                return false;
            }
            session.end_due = None;
            self.sessions.unchain(&mut self.ends, at, |session| &mut session.queue);
            self.finish_session(at);
        }
        true
    }
}
