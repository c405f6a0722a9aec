//! What comes in: each performative is applied whole before the next is read.

use super::delivery;
use super::link::{self, Link, NONE};
use super::reassembly::Place;
use super::session::{self, Session};
use super::verbs::refusal;
use super::{
    Condition, Connection, ConnectionError, DeliveryId, Farewell, Handler, Instant, LinkId, OutcomeKind, Phase,
    SessionId, Space, Subject, condition, index_key, name_hash,
};
use crate::storage::{Index, Rx, Storage, Table};
use crate::time::Duration;
use crate::wire::frame::{Frame, Kind};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::{Attach, Begin, Detach, Disposition, ErrorCondition, Flow, Open, Performative, Role};
use crate::wire::{Decode, DecodeError, Decoder};

/// A frame that ends the session it came on, with an AMQP condition.
pub(super) struct SessionViolation(pub(super) Condition);

impl<S: Storage> Connection<S> {
    /// Applies every whole frame in `rx`; what is left there is the start of a frame that is still coming.
    ///
    /// # Errors
    /// The reason why the connection is over, now or since earlier. The peer is told by what
    /// [`Connection::poll_transmit`] writes next; nothing more is read.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn handle_input<H: Handler>(
        &mut self,
        now: Instant,
        rx: &mut S::Rx,
        handler: &mut H,
    ) -> Result<(), ConnectionError> {
        if !rx.filled().is_empty() {
            self.last_received = now;
        }
        loop {
            if let Some(error) = self.failed {
                rx.clear();
                return Err(error);
            }
            let step = match self.phase {
                Phase::Amqp => self.frame(rx, handler),
                Phase::AwaitMechanisms | Phase::AwaitInit | Phase::AwaitSaslOutcome => self.sasl(rx, handler),
                Phase::AwaitFirstHeader | Phase::AwaitSaslHeader | Phase::AwaitHeader => self.header::<H>(rx),
            };
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => self.fail(error),
            }
        }
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn frame(&mut self, rx: &mut S::Rx, handler: &mut impl Handler) -> Result<bool, ConnectionError> {
        let limit = self.config.max_frame_size.min(rx.capacity() as u32);
        let Some(frame) = Frame::parse(rx.filled(), limit)? else { return Ok(false) };
        if frame.kind != Kind::Amqp {
            return Err(ConnectionError::Violation(condition::ILLEGAL_STATE));
        }
        let size = frame.size;
        if frame.body.is_empty() {
            rx.consume(size);
            return Ok(true);
        }
        let mut decoder = Decoder::new(frame.body);
        let performative = Performative::decode(&mut decoder);
        decoder.check()?;
        let Some(performative) = performative else { return Err(DecodeError::Truncated.into()) };
        log_frame!("receives", frame.channel, performative);
        if !self.open_received && !matches!(performative, Performative::Open(_)) {
            return Err(ConnectionError::Violation(condition::ILLEGAL_STATE));
        }
        if self.close_sent && !matches!(performative, Performative::Close(_)) {
            // Nothing may follow our close, so nothing is answered (AMQP 1.0 §2.4.6).
            rx.consume(size);
            return Ok(true);
        }
        if let Performative::Transfer(transfer) = &performative {
            let len = decoder.rest().len();
            let place = match self.session_at(frame.channel) {
                None => return Err(ConnectionError::Violation(condition::ILLEGAL_STATE)),
                Some(session) => match self.on_transfer(session, transfer, len, handler) {
                    Ok(place) => place,
                    Err(SessionViolation(condition)) => {
                        self.violated(session, condition);
                        Place::Nowhere
                    }
                },
            };
            self.store(place, size - len, size, rx);
            return Ok(true);
        }
        self.apply(frame.channel, &performative, handler)?;
        rx.consume(size);
        Ok(true)
    }

    /// The peer broke the protocol on a session: it ends.
    fn violated(&mut self, session: u32, condition: Condition) {
        self.end_session(session, Some(&condition.error()), Farewell(Some(condition)));
    }

    /// The peer broke the protocol on a link: it closes.
    pub(super) fn errant(&mut self, link: u32, condition: Condition) {
        self.errant_with(link, &condition.error(), condition);
    }

    pub(super) fn errant_with(&mut self, link: u32, error: &ErrorCondition<'_>, condition: Condition) {
        if let Some(found) = self.links.get_mut(link) {
            found.fault = Some(condition);
        }
        self.detach_link(link, true, Some(error));
    }

    /// Reports a drain that the last message has ended.
    pub(super) fn check_drain(&mut self, link: u32) {
        if self.links.get_mut(link).is_some_and(Link::end_drain) {
            self.flag_link(link, link::flag::DRAINED);
        }
    }

    pub(super) fn session_at(&self, channel: u16) -> Option<u32> {
        self.index.get(index_key(Space::Channel, 0, u32::from(channel)))
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn apply(
        &mut self,
        channel: u16,
        performative: &Performative<'_>,
        handler: &mut impl Handler,
    ) -> Result<(), ConnectionError> {
        match performative {
            Performative::Open(open) => {
                handler.performative(Subject::Connection, performative);
                return self.on_open(open);
            }
            Performative::Close(_) => {
                handler.performative(Subject::Connection, performative);
                self.close_received = true;
                if !self.close_sent {
                    self.close_sent = true;
                    self.close_owed = Some(Farewell(None));
                }
                self.failed = Some(ConnectionError::ClosedByPeer);
                self.closed_due = true;
                return Ok(());
            }
            Performative::Begin(begin) => {
                let session = self.on_begin(channel, begin)?;
                handler.performative(Subject::Session(session), performative);
                return Ok(());
            }
            _ => {}
        }
        let place = self.session_at(channel).ok_or(ConnectionError::Violation(condition::ILLEGAL_STATE))?;
        let Some(id) = self.sessions.key(place).map(SessionId) else { return Ok(()) };
        let live = self.sessions.get(place).is_some_and(|session| !session.end_sent);
        let result = match performative {
            Performative::End(_) => {
                handler.performative(Subject::Session(id), performative);
                self.on_end(place);
                Ok(())
            }
            // We have ended the session; the peer did not know yet.
            _ if !live => Ok(()),
            Performative::Attach(attach) => self.on_attach(place, attach).map(|link| {
                if let Some(link) = link {
                    handler.performative(Subject::Link(link), performative);
                }
            }),
            Performative::Flow(flow) => {
                let link = self.on_flow(place, flow);
                if let Ok(link) = link {
                    handler.performative(link.map_or(Subject::Session(id), Subject::Link), performative);
                }
                link.map(|_| ())
            }
            Performative::Disposition(disposition) => self.on_disposition(place, disposition, handler),
            Performative::Detach(detach) => {
                if let Some(link) = self.link_at(place, detach.handle) {
                    if let Some(link) = self.links.key(link).map(LinkId) {
                        handler.performative(Subject::Link(link), performative);
                    }
                    self.on_detach(link, detach);
                }
                Ok(())
            }
            _ => Ok(()),
        };
        match result {
            Err(SessionViolation(condition)) if condition == condition::FRAMING_ERROR => {
                // A handle beyond handle-max is the connection's affair (AMQP 1.0 §2.7.2).
                Err(ConnectionError::Violation(condition))
            }
            Err(SessionViolation(condition)) => {
                self.violated(place, condition);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn on_open(&mut self, open: &Open<'_>) -> Result<(), ConnectionError> {
        if self.open_received {
            return Err(ConnectionError::Violation(condition::ILLEGAL_STATE));
        }
        self.open_received = true;
        self.peer_max_frame_size = open.max_frame_size.max(crate::wire::frame::MIN_MAX_FRAME_SIZE);
        self.peer_channel_max = open.channel_max;
        let idle = open.idle_time_out.filter(|&idle| idle > 0);
        self.heartbeat = idle.map(|millis| Duration::from_micros(u64::from(millis) * 500));
        self.opened_due = true;
        Ok(())
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn on_begin(&mut self, channel: u16, begin: &Begin<'_>) -> Result<SessionId, ConnectionError> {
        let key = index_key(Space::Channel, 0, u32::from(channel));
        if self.index.get(key).is_some() {
            return Err(ConnectionError::Violation(condition::ILLEGAL_STATE));
        }
        let place = match begin.remote_channel {
            Some(ours) => (0..self.sessions.end())
                .find(|&place| {
                    self.sessions.get(place).is_some_and(|session| session.channel == ours && !session.begin_received)
                })
                .ok_or(ConnectionError::Violation(condition::ILLEGAL_STATE))?,
            None => {
                if channel > self.config.channel_max {
                    return Err(ConnectionError::Violation(condition::FRAMING_ERROR));
                }
                // The peer's number serves for our direction too, unless a session of our making has it.
                let ours = self.free_channel(u32::from(channel), NONE);
                let ours = ours.ok_or(ConnectionError::Violation(condition::RESOURCE_LIMIT_EXCEEDED))?;
                let mut session = Session::new(ours, self.config.incoming_window, self.config.handle_max);
                // The service mirrors the client's window (service-evidence.md §1).
                session.outgoing_window = begin.incoming_window;
                self.sessions
                    .insert(session)
                    .map_err(|_| ConnectionError::Violation(condition::RESOURCE_LIMIT_EXCEEDED))?
                    .index
            }
        };
        self.index.insert(key, place).map_err(|_| ConnectionError::Violation(condition::RESOURCE_LIMIT_EXCEEDED))?;
        let id = self.sessions.key(place).map(SessionId);
        let (Some(id), Some(session)) = (id, self.sessions.get_mut(place)) else {
            return Err(ConnectionError::Violation(condition::INTERNAL_ERROR));
        };
        session.begin_received = true;
        session.peer_channel = Some(channel);
        session.next_incoming_id = begin.next_outgoing_id;
        session.peer_incoming_window = begin.incoming_window;
        session.peer_handle_max = begin.handle_max;
        self.flag_session(place, session::flag::BEGUN);
        self.wake_links_of(place);
        Ok(id)
    }

    fn on_end(&mut self, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        session.end_received = true;
        // The peer may use its number again at once.
        if let Some(channel) = session.peer_channel.take() {
            self.index.remove(index_key(Space::Channel, 0, u32::from(channel)));
        }
        let Some(session) = self.sessions.get(place) else { return };
        if session.end_sent {
            self.finish_session(place);
        } else {
            self.flush_dispositions();
            self.end_session(place, None, Farewell(None));
        }
    }

    pub(super) fn link_at(&self, session: u32, handle: u32) -> Option<u32> {
        self.index.get(index_key(Space::Handle, session, handle))
    }

    fn on_attach(&mut self, session: u32, attach: &Attach<'_>) -> Result<Option<LinkId>, SessionViolation> {
        if attach.handle > self.config.handle_max {
            return Err(SessionViolation(condition::FRAMING_ERROR));
        }
        let key = index_key(Space::Handle, session, attach.handle);
        if self.index.get(key).is_some() {
            return Err(SessionViolation(condition::HANDLE_IN_USE));
        }
        let role = attach.role.other();
        let name = name_hash(attach.name);
        let ours = (0..self.links.end()).find(|&place| {
            self.links.get(place).is_some_and(|link| {
                link.session == session
                    && link.role == role
                    && link.name == name
                    && !link.attach_received
                    && !link.detach_received
            })
        });
        let place = match ours {
            Some(place) => place,
            None => {
                let mut link = Link::new(session, role, name);
                // Each end numbers for itself: the peer's number serves for our direction too, unless it is taken.
                let handle = self.free_handle(session, attach.handle);
                let handle = handle.map_err(|_| SessionViolation(condition::RESOURCE_LIMIT_EXCEEDED))?;
                link.output_handle = handle;
                match self.links.insert(link) {
                    Ok(key) => key.index,
                    Err(_) => return self.refuse_for_space(session, attach, handle).map(|()| None),
                }
            }
        };
        if self.index.insert(key, place).is_err() {
            if ours.is_none() {
                self.links.remove(place);
            }
            return Err(SessionViolation(condition::RESOURCE_LIMIT_EXCEEDED));
        }
        let Some(link) = self.links.get_mut(place) else { return Ok(None) };
        link.attach_received = true;
        link.input_handle = Some(crate::storage::Place::new(attach.handle));
        link.peer_accepts(attach.max_message_size);
        if ours.is_none() {
            link.sender_settle_mode = attach.snd_settle_mode;
            link.receiver_settle_mode = attach.rcv_settle_mode;
        }
        if role == Role::Receiver {
            // Some senders leave the count out although it is mandatory (invariants.md §2): zero is what they mean.
            let count = attach.initial_delivery_count.unwrap_or(0);
            let promised = link.promised();
            link.delivery_count = count;
            link.mark = count.wrapping_add(promised);
        }
        self.flag_link(place, link::flag::ATTACHED);
        self.flag_work(place);
        Ok(self.links.key(place).map(LinkId))
    }

    /// No place for another link: refuse it without taking one.
    fn refuse_for_space(&mut self, session: u32, attach: &Attach<'_>, handle: u32) -> Result<(), SessionViolation> {
        let error = condition::RESOURCE_LIMIT_EXCEEDED.error();
        let id = self.sessions.key(session).map(SessionId);
        let begun = id.is_some_and(|id| self.accept_session(id).is_ok());
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let refused = refusal(attach.name, handle, attach.role.other());
        let detach = Detach { handle, closed: true, error: Some(error) };
        if begun
            && self.push_frame(Kind::Amqp, channel, &refused).is_ok()
            && self.push_frame(Kind::Amqp, channel, &detach).is_ok()
        {
            return Ok(());
        }
        // Not even room to say so on the link.
        Err(SessionViolation(condition::RESOURCE_LIMIT_EXCEEDED))
    }

    fn on_detach(&mut self, place: u32, detach: &Detach<'_>) {
        let Some(link) = self.links.get_mut(place) else { return };
        link.detach_received = true;
        let (session, handle, assembling) =
            (link.session, link.input_handle.take().map(crate::storage::Place::index), link.assembling);
        self.break_promises(place);
        // The peer may use its number again at once.
        if let Some(handle) = handle {
            self.index.remove(index_key(Space::Handle, session, handle));
        }
        if assembling != NONE {
            self.drop_assembly(place, assembling);
        }
        let Some(link) = self.links.get(place) else { return };
        if link.detach_sent {
            self.close_link(place);
        } else {
            self.flush_dispositions();
            self.detach_link(place, detach.closed, None);
        }
    }

    fn on_flow(&mut self, place: u32, flow: &Flow<'_>) -> Result<Option<LinkId>, SessionViolation> {
        let Some(session) = self.sessions.get_mut(place) else { return Ok(None) };
        let opened = session.on_flow(flow.next_incoming_id, flow.incoming_window);
        if opened {
            self.wake_links_of(place);
        }
        let Some(handle) = flow.handle else {
            if flow.echo {
                self.flag_session_flow(place);
            }
            return Ok(None);
        };
        let Some(at) = self.link_at(place, handle) else {
            return Err(SessionViolation(condition::UNATTACHED_HANDLE));
        };
        let Some(link) = self.links.get_mut(at) else { return Ok(None) };
        if link.detach_sent || link.detach_received {
            return Ok(None);
        }
        let credit = flow.link_credit.unwrap_or(0);
        let mut flags = 0;
        match link.role {
            Role::Sender => {
                if link.on_receiver_flow(flow.delivery_count, credit, flow.drain) {
                    flags |= link::flag::CREDIT;
                }
                if flow.drain {
                    flags |= link::flag::DRAIN;
                }
            }
            Role::Receiver => {
                let before = link.promised();
                link.on_sender_flow(flow.delivery_count);
                self.promised -= (before - link.promised()) as usize;
                if link.end_drain() {
                    flags |= link::flag::DRAINED;
                }
            }
        }
        link.echo_due |= flow.echo;
        let work = link.echo_due || (link.role == Role::Sender && link.waiting.len > 0);
        if flags != 0 {
            self.flag_link(at, flags);
        }
        if work {
            self.flag_work(at);
        }
        Ok(self.links.key(at).map(LinkId))
    }

    /// Every sending link of a session may go on.
    fn wake_links_of(&mut self, session: u32) {
        for place in 0..self.links.end() {
            if self.links.get(place).is_some_and(|link| link.session == session && link.waiting.len > 0) {
                self.flag_work(place);
            }
        }
    }

    fn on_disposition(
        &mut self,
        session: u32,
        disposition: &Disposition<'_>,
        handler: &mut impl Handler,
    ) -> Result<(), SessionViolation> {
        let first = disposition.first;
        let last = disposition.last.unwrap_or(first);
        // A peer in the role of receiver speaks of what we sent.
        let space = if disposition.role == Role::Receiver { Space::Outgoing } else { Space::Incoming };
        let span = last.wrapping_sub(first);
        if (span as i32) < 0 {
            // Serial numbers (RFC 1982): the last lies before the first.
            return Err(SessionViolation(condition::INVALID_FIELD));
        }
        if span as usize > self.deliveries.len() {
            // More numbers than deliveries: walk the deliveries instead, or a hostile range would cost 2^32 steps.
            for place in 0..self.deliveries.end() {
                let id = self.deliveries.get(place).and_then(|delivery| delivery.id);
                if let Some(id) = id.filter(|id| id.wrapping_sub(first) <= span)
                    && self.index.get(index_key(space, session, id)) == Some(place)
                {
                    self.on_state(place, disposition, handler);
                }
            }
            return Ok(());
        }
        for step in 0..=span {
            if let Some(place) = self.index.get(index_key(space, session, first.wrapping_add(step))) {
                self.on_state(place, disposition, handler);
            }
        }
        Ok(())
    }

    fn on_state(&mut self, place: u32, disposition: &Disposition<'_>, handler: &mut impl Handler) {
        let Some(key) = self.deliveries.key(place) else { return };
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        if delivery.flags & delivery::flag::SETTLED != 0 {
            return;
        }
        let Some(link) = self.links.key(delivery.link).map(LinkId) else { return };
        if let Some(state) = &disposition.state {
            let outcome = match state {
                DeliveryState::Outcome(outcome) => Some(OutcomeKind::from(outcome)),
                DeliveryState::Transactional(state) => state.outcome.as_ref().map(OutcomeKind::from),
                DeliveryState::Declared(_) => Some(OutcomeKind::Accepted),
                DeliveryState::Received(_) => None,
            };
            delivery.outcome = outcome.or(delivery.outcome);
        }
        handler.state(DeliveryId(key), link, disposition.settled, disposition.state.as_ref());
        if let Some(user) = delivery.user {
            handler.outcome(user, disposition.settled, disposition.state.as_ref());
        }
        if disposition.settled {
            delivery.due = None;
            // The numbers are free for the next delivery from here on.
            self.unindex_delivery(place);
            self.flag_delivery(place, delivery::flag::SETTLED);
        } else {
            self.flag_delivery(place, delivery::flag::UPDATED);
        }
    }
}
