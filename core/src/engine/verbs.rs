//! What the application wants of sessions and links.

use super::link::{Chain, Link};
use super::session::Session;
use super::{
    Capacity, Connection, ConnectionRole, EngineError, Farewell, LinkId, SessionId, Space, Violation, index_key, link,
    name_hash,
};
use crate::storage::{Index, Storage, Table};
use crate::wire::frame::Kind;
use crate::wire::performative::{Attach, Begin, Detach, End, ErrorCondition, Role};

/// A link at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Our role.
    pub role: Role,
    /// Both attaches were seen and no detach.
    pub attached: bool,
    /// Credit: what we may send, or what the peer may still send us.
    pub credit: u32,
    /// Messages that wait to be sent, or to be taken.
    pub waiting: u32,
    /// A drain is under way.
    pub draining: bool,
    /// The largest message the peer of a sending link accepts, in bytes; zero for no limit.
    pub peer_max_message_size: u64,
    /// Why this end detached the link, when it was for what the peer sent.
    pub fault: Option<Violation>,
}

pub(super) const OUTBOX_FULL: EngineError = EngineError::NoCapacity(Capacity::Outbox);

impl<S: Storage> Connection<S> {
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn alive(&self) -> Result<(), EngineError> {
        if self.failed.is_some() || self.close_sent || self.close_received { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// Begins a session. Links may be attached at once.
    ///
    /// # Errors
    /// [`EngineError::NoCapacity`] when the table, the peer's channel-max or the outbox is exhausted.
    pub fn begin(&mut self) -> Result<SessionId, EngineError> {
        self.alive()?;
        let full = EngineError::NoCapacity(Capacity::Sessions);
        let session = Session::new(0, self.config.incoming_window, self.config.handle_max);
        let key = self.sessions.insert(session).map_err(|_| full)?;
        let id = SessionId(key);
        let Some(channel) = self.free_channel(key.index, key.index) else {
            self.sessions.free(key.index);
            return Err(full);
        };
        if let Some(session) = self.sessions.get_mut(key.index) {
            session.channel = channel;
        }
        if let Err(error) = self.send_begin(key.index, None) {
            self.sessions.free(key.index);
            return Err(error);
        }
        Ok(id)
    }

    /// A channel that no other session than the one at `place` sends on: `wanted`, or the lowest.
    pub(super) fn free_channel(&self, wanted: u32, place: u32) -> Option<u16> {
        let limit = u32::from(self.peer_channel_max);
        let free = |channel: u32| {
            !(0..self.sessions.end()).filter(|&other| other != place).any(|other| {
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
    pub fn accept_session(&mut self, session: SessionId) -> Result<(), EngineError> {
        self.alive()?;
        let place = session.0.index;
        let found = self.sessions.find(session.0).ok_or(EngineError::Detached)?;
        if found.begin_sent {
            return Ok(());
        }
        self.send_begin(place, found.peer_channel)
    }

    fn send_begin(&mut self, place: u32, remote_channel: Option<u16>) -> Result<(), EngineError> {
        if !self.open_sent {
            return Err(EngineError::IllegalState);
        }
        let session = self.sessions.get(place).ok_or(EngineError::Detached)?;
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
        if let Some(session) = self.sessions.get_mut(place) {
            session.begin_sent = true;
        }
        Ok(())
    }

    /// Ends a session and every link on it. Nothing follows the connection's close, so then it does nothing.
    pub fn end(&mut self, session: SessionId, error: Option<&ErrorCondition<'_>>) {
        if self.alive().is_ok() && self.sessions.find(session.0).is_some() {
            self.flush_dispositions();
            self.end_session(session.0.index, error, Farewell(None));
        }
    }

    /// Ends a session now, or with `farewell` when a begin must go out first or the outbox is full.
    pub(super) fn end_session(&mut self, place: u32, error: Option<&ErrorCondition<'_>>, farewell: Farewell) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.end_sent {
            return;
        }
        session.end_sent = true;
        let (channel, begun) = (session.channel, session.begin_sent);
        let said =
            begun && self.push_frame(Kind::Amqp, channel, &End { error: error.copied().or(farewell.error()) }).is_ok();
        if !said && let Some(session) = self.sessions.get_mut(place) {
            session.end_owed = Some(farewell);
            self.farewells += 1;
        }
        self.detach_links_of(place);
        self.finish_session(place);
    }

    /// Every link of an ended session is over without a detach of its own (AMQP 1.0 §2.5.6).
    pub(super) fn detach_links_of(&mut self, session: u32) {
        for place in 0..self.links.end() {
            let Some(found) = self.links.get_mut(place).filter(|link| link.session == session) else { continue };
            if found.is_over() {
                continue;
            }
            self.promised -= found.promised() as usize;
            found.mark = found.delivery_count;
            found.detach_sent = true;
            found.detach_received = true;
            if found.detach_owed.take().is_some() {
                self.farewells -= 1;
            }
            self.close_link(place);
        }
    }

    pub(super) fn finish_session(&mut self, place: u32) {
        let Some(session) = self.sessions.get(place) else { return };
        if session.is_over() {
            self.flag_session(place, super::session::flag::ENDED);
        }
    }

    /// The handles in use among the 64 from `base` on, as bits.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn used_handles(&self, session: u32, base: u32) -> u64 {
        (0..self.links.end())
            .filter_map(|place| self.links.get(place))
            .filter(|link| link.session == session && !link.is_over())
            .filter_map(|link| link.output_handle.checked_sub(base).filter(|&bit| bit < u64::BITS))
            .fold(0u64, |used, bit| used | 1 << bit)
    }

    /// A handle that no link of the session sends on: `wanted`, or the lowest.
    pub(super) fn free_handle(&self, session: u32, wanted: u32) -> Result<u32, EngineError> {
        let limit = self.sessions.get(session).ok_or(EngineError::Detached)?.peer_handle_max;
        let used = |base| self.used_handles(session, base);
        if wanted <= limit && used(wanted) & 1 == 0 {
            return Ok(wanted);
        }
        (0..=self.links.end() / u64::BITS)
            .map(|block| block * u64::BITS)
            .find_map(|base| Some(base + (!used(base)).trailing_zeros()).filter(|&handle| handle < base + u64::BITS))
            .filter(|&handle| handle <= limit)
            .ok_or(EngineError::NoCapacity(Capacity::Links))
    }

    /// Attaches a link. Of `attach`, the handle is chosen here and the rest is sent as it is; the name must be unique
    /// among the links of both roles. Credit may be granted and messages may be sent at once.
    ///
    /// # Errors
    /// [`EngineError::Detached`] for a stale session, [`EngineError::NoCapacity`] for links and outbox.
    pub fn attach(&mut self, session: SessionId, attach: &Attach<'_>) -> Result<LinkId, EngineError> {
        self.alive()?;
        let found = self.sessions.find(session.0).ok_or(EngineError::Detached)?;
        if !found.is_live() {
            return Err(EngineError::Detached);
        }
        self.accept_session(session)?;
        let handle = self.free_handle(session.0.index, 0)?;
        let mut link = Link::new(session.0.index, attach.role, name_hash(attach.name));
        link.output_handle = handle;
        link.attach_sent = true;
        link.sender_settle_mode = attach.snd_settle_mode;
        link.receiver_settle_mode = attach.rcv_settle_mode;
        link.accepts(attach.max_message_size);
        link.delivery_count = attach.initial_delivery_count.unwrap_or(0);
        link.mark = link.delivery_count;
        let key = self.links.insert(link).map_err(|_| EngineError::NoCapacity(Capacity::Links))?;
        let channel = self.sessions.get(session.0.index).map_or(0, |session| session.channel);
        let mut attach = *attach;
        attach.handle = handle;
        if self.push_frame(Kind::Amqp, channel, &attach).is_err() {
            self.links.free(key.index);
            return Err(OUTBOX_FULL);
        }
        Ok(LinkId(key))
    }

    /// Answers a link of the peer's making; the role and the handle are set here.
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::NoCapacity`] for the outbox, [`EngineError::IllegalState`] for a link
    /// that was answered before.
    pub fn accept_link(&mut self, link: LinkId, attach: &Attach<'_>) -> Result<(), EngineError> {
        self.alive()?;
        let found = self.links.find(link.0).ok_or(EngineError::Detached)?;
        if found.attach_sent {
            return Err(EngineError::IllegalState);
        }
        // A link that is to be detached, by the peer or for what the peer did, is answered first all the same.
        if found.is_over() {
            return Err(EngineError::Detached);
        }
        let (session, role, handle) = (found.session, found.role, found.output_handle);
        let id = SessionId(self.sessions.key(session).ok_or(EngineError::Detached)?);
        self.accept_session(id)?;
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let initial_delivery_count = (role == Role::Sender).then_some(attach.initial_delivery_count.unwrap_or(0));
        let attach = Attach { handle, role, initial_delivery_count, ..*attach };
        self.push_frame(Kind::Amqp, channel, &attach).map_err(|_| OUTBOX_FULL)?;
        if let Some(found) = self.links.get_mut(link.0.index) {
            found.attach_sent = true;
            found.sender_settle_mode = attach.snd_settle_mode;
            found.receiver_settle_mode = attach.rcv_settle_mode;
            found.accepts(attach.max_message_size);
            if let Some(count) = attach.initial_delivery_count {
                // Credit that came before this is counted from here as well.
                found.delivery_count = count;
                found.mark = count;
            }
        }
        self.flag_work(link.0.index);
        Ok(())
    }

    /// Takes messages of up to `bytes` on a receiving link, whatever its attach said; zero for no limit. A server that
    /// would rather refuse a message for its size than the link takes a little more than it promised.
    ///
    /// # Errors
    /// [`EngineError::Detached`].
    pub fn set_max_message_size(&mut self, link: LinkId, bytes: u64) -> Result<(), EngineError> {
        self.links.find_mut(link.0).ok_or(EngineError::Detached)?.accepts(Some(bytes));
        Ok(())
    }

    /// Refuses a link of the peer's making: an attach without source and target, and a detach with the error
    /// (AMQP 1.0 §2.6.3).
    ///
    /// # Errors
    /// As [`Connection::accept_link`].
    pub fn refuse_link(&mut self, link: LinkId, name: &str, error: &ErrorCondition<'_>) -> Result<(), EngineError> {
        let found = self.links.find(link.0).ok_or(EngineError::Detached)?;
        let attach = refusal(name, found.output_handle, found.role);
        self.accept_link(link, &attach)?;
        self.detach(link, true, Some(error))
    }

    /// Detaches a link. Messages that were not sent are dropped; [`super::Event::LinkDetached`] follows when the peer
    /// has answered.
    ///
    /// # Errors
    /// [`EngineError::Closed`], [`EngineError::Detached`] when the id is stale, [`EngineError::IllegalState`] for a link
    /// of the peer's making that was not answered: that is refused instead. Detaching twice is fine.
    pub fn detach(
        &mut self,
        link: LinkId,
        closed: bool,
        error: Option<&ErrorCondition<'_>>,
    ) -> Result<(), EngineError> {
        let found = self.links.find(link.0).ok_or(EngineError::Detached)?;
        if found.detach_sent {
            return Ok(());
        }
        self.alive()?;
        if !found.attach_sent {
            return Err(EngineError::IllegalState);
        }
        self.flush_dispositions();
        self.detach_link(link.0.index, closed, error);
        Ok(())
    }

    /// Detaches a link now, or with no more than its fault when an attach must go out first or the outbox is full.
    pub(super) fn detach_link(&mut self, place: u32, closed: bool, error: Option<&ErrorCondition<'_>>) {
        self.break_promises(place);
        let Some(found) = self.links.get_mut(place) else { return };
        found.detach_sent = true;
        let (handle, session, attached) = (found.output_handle, found.session, found.attach_sent);
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let detach = Detach { handle, closed, error: error.copied().or(Farewell(found.fault).error()) };
        let said = attached && self.push_frame(Kind::Amqp, channel, &detach).is_ok();
        if !said && let Some(found) = self.links.get_mut(place) {
            found.detach_owed = Some(closed);
            self.farewells += 1;
        }
        self.drop_outgoing(place);
        if self.links.get(place).is_some_and(|found| found.detach_received) {
            self.close_link(place);
        }
    }

    /// Both ends have detached, unless our detach is still to be sent.
    pub(super) fn close_link(&mut self, place: u32) {
        let Some(found) = self.links.get_mut(place).filter(|found| found.is_over()) else { return };
        let (session, handle) = (found.session, found.input_handle.take().map(crate::storage::Place::index));
        found.credit = 0;
        if let Some(handle) = handle {
            self.index.remove(index_key(Space::Handle, session, handle));
        }
        self.drop_outgoing(place);
        // The numbers of its deliveries mean nothing any more, and the session's place may get a new tenant.
        for delivery in 0..self.deliveries.end() {
            if self.deliveries.get(delivery).is_some_and(|delivery| delivery.link == place) {
                self.unindex_delivery(delivery);
                if let Some(delivery) = self.deliveries.get_mut(delivery) {
                    delivery.id = None;
                }
            }
        }
        self.flag_link(place, link::flag::DETACHED);
    }

    /// Forgets a detached link: its id, what was not taken from it, and every delivery on it.
    pub fn forget(&mut self, link: LinkId) {
        let place = link.0.index;
        let Some(found) = self.links.find(link.0) else { return };
        if !found.is_over() {
            return;
        }
        for delivery in 0..self.deliveries.end() {
            if self.deliveries.get(delivery).is_some_and(|delivery| delivery.link == place) {
                if let Some(delivery) = self.deliveries.get_mut(delivery) {
                    delivery.flags = 0;
                }
                self.free_delivery(delivery);
            }
        }
        let Some(found) = self.links.get_mut(place) else { return };
        if found.in_work || found.in_events || self.has_deliveries(place) {
            // A queue still names the place; whoever pops it there finds nothing to do and frees it.
            if let Some(found) = self.links.get_mut(place) {
                found.flags = 0;
            }
            self.forgotten(place);
            return;
        }
        self.links.free(place);
    }

    fn has_deliveries(&self, link: u32) -> bool {
        (0..self.deliveries.end()).any(|place| self.deliveries.get(place).is_some_and(|found| found.link == link))
    }

    /// Clears the queues of entries that belong to a forgotten link, then frees it.
    fn forgotten(&mut self, place: u32) {
        use crate::storage::Queue as _;
        for _ in 0..self.work.len() {
            if let Some(entry) = self.work.pop()
                && entry != place
            {
                let _ = self.work.push(entry);
            }
        }
        for _ in 0..self.events.len() {
            let Some(entry) = self.events.pop() else { break };
            let at = entry & !super::event::EVENT_KIND;
            let ours = match entry & super::event::EVENT_KIND {
                super::event::LINK_EVENT => at == place,
                super::event::DELIVERY_EVENT => self.deliveries.get(at).is_none_or(|found| found.link == place),
                _ => false,
            };
            if !ours {
                let _ = self.events.push(entry);
            }
        }
        for _ in 0..self.dispositions.len() {
            let Some(entry) = self.dispositions.pop() else { break };
            if self.deliveries.get(entry).is_some_and(|found| found.link != place) {
                let _ = self.dispositions.push(entry);
            }
        }
        for delivery in 0..self.deliveries.end() {
            if let Some(found) = self.deliveries.get_mut(delivery).filter(|found| found.link == place) {
                found.in_events = false;
                found.in_dispositions = false;
                self.free_delivery(delivery);
            }
        }
        self.links.free(place);
    }

    /// Drops the messages of a link that wait to be sent.
    fn drop_outgoing(&mut self, place: u32) {
        let Some(found) = self.links.get_mut(place).filter(|found| found.role == Role::Sender) else { return };
        let mut next = core::mem::replace(&mut found.waiting, Chain::EMPTY).head;
        while let Some(delivery) = self.deliveries.get(next) {
            let place = core::mem::replace(&mut next, delivery.next);
            self.drop_payload(place);
        }
    }

    /// A link at a glance; `None` when the id is stale.
    pub fn link(&self, link: LinkId) -> Option<LinkStatus> {
        let found = self.links.find(link.0)?;
        Some(LinkStatus {
            role: found.role,
            attached: found.is_attached(),
            credit: found.credit,
            waiting: found.waiting.len,
            draining: found.drain,
            peer_max_message_size: if found.role == Role::Sender { u64::from(found.max_message_size) } else { 0 },
            fault: found.fault,
        })
    }

    /// The session a link is on; `None` when the id is stale.
    pub fn session_of(&self, link: LinkId) -> Option<SessionId> {
        let found = self.links.find(link.0)?;
        self.sessions.key(found.session).map(SessionId)
    }

    /// Whether this is a server's end.
    pub fn is_server(&self) -> bool {
        self.role == ConnectionRole::Server
    }
}

/// The attach that refuses a link: null termini and nothing else (docs/evidence/service-evidence.md §1).
pub(super) fn refusal(name: &str, handle: u32, role: Role) -> Attach<'_> {
    Attach {
        name,
        handle,
        role,
        snd_settle_mode: crate::wire::performative::SenderSettleMode::Mixed,
        rcv_settle_mode: crate::wire::performative::ReceiverSettleMode::First,
        source: None,
        target: None,
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: (role == Role::Sender).then_some(0),
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}
