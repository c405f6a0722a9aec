//! What comes in: each performative is applied whole before the next is read.

use super::delivery;
use super::link::{self, Link, NONE};
use super::reassembly::Place;
use super::session::{self, Session};
use super::verbs::refusal;
use super::{
    Connection, ConnectionError, DeliveryId, Farewell, Handler, Instant, LinkId, OutcomeKind, Phase, SessionId, Space,
    Subject, Violation, index_key, name_hash,
};
use crate::storage::{Index, Rx, Storage, Table};
use crate::time::Millis;
use crate::wire::frame::{Frame, Kind};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::{
    Attach, Begin, Detach, Disposition, ErrorCondition, Flow, Open, PerformativeView, Role,
};
use crate::wire::{Decode, DecodeError, Decoder, View};

/// What is wrong with a frame.
pub(super) enum Wrong {
    /// It ends the connection.
    Connection(Violation),
    /// It ends the session it came on.
    Session(Violation),
    /// A field of it cannot be decoded, which ends the connection.
    Field(DecodeError),
}

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Self::Field(error)
    }
}

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
    fn frame<H: Handler>(&mut self, rx: &mut S::Rx, handler: &mut H) -> Result<bool, ConnectionError> {
        let limit = self.config.max_frame_size.min(rx.capacity() as u32);
        let Some(frame) = Frame::parse(rx.filled(), limit)? else { return Ok(false) };
        if frame.kind != Kind::Amqp {
            return Err(ConnectionError::Violation(Violation::IllegalState));
        }
        let size = frame.size;
        if frame.body.is_empty() {
            rx.consume(size);
            return Ok(true);
        }
        let mut decoder = Decoder::new(frame.body);
        let performative = PerformativeView::decode(&mut decoder);
        let mut performative = decoder.result(performative)?;
        if H::SERVES {
            // What a client ignores, a server may look at: a frame is right as a whole before any of it is applied.
            performative.whole()?;
        }
        log_frame!("receives", frame.channel, performative);
        if !self.open_received && !matches!(performative, PerformativeView::Open(_)) {
            return Err(ConnectionError::Violation(Violation::IllegalState));
        }
        if self.close_sent && !matches!(performative, PerformativeView::Close(_)) {
            // Nothing may follow our close, so nothing is answered (AMQP 1.0 §2.4.6).
            rx.consume(size);
            return Ok(true);
        }
        let len = decoder.rest().len();
        let place = match self.apply(frame.channel, &mut performative, len, handler) {
            Ok(place) => place,
            Err(Wrong::Connection(violation) | Wrong::Session(violation)) => {
                return Err(ConnectionError::Violation(violation));
            }
            Err(Wrong::Field(error)) => return Err(error.into()),
        };
        self.store::<H>(place, size - len, size, rx);
        Ok(true)
    }

    /// The peer broke the protocol on a link: it closes.
    pub(super) fn errant(&mut self, link: u32, violation: Violation) {
        self.errant_with(link, violation, None);
    }

    pub(super) fn errant_with(&mut self, link: u32, violation: Violation, error: Option<&ErrorCondition<'_>>) {
        if let Some(found) = self.links.get_mut(link) {
            found.fault = Some(violation);
        }
        self.detach_link(link, true, error);
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

    /// Applies a performative; `len` bytes follow it in its frame. Returns where these go.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn apply<H: Handler>(
        &mut self,
        channel: u16,
        performative: &mut PerformativeView<'_>,
        len: usize,
        handler: &mut H,
    ) -> Result<Place, Wrong> {
        let subject = match performative {
            PerformativeView::Open(open) => {
                self.on_open(open)?;
                Subject::Connection
            }
            PerformativeView::Close(_) => {
                self.close_received = true;
                if !self.close_sent {
                    self.close_sent = true;
                    self.close_owed = Some(Farewell(None));
                }
                self.failed = Some(ConnectionError::ClosedByPeer);
                self.closed_due = true;
                Subject::Connection
            }
            PerformativeView::Begin(begin) => Subject::Session(self.on_begin::<H>(channel, begin)?),
            _ => {
                let place = self.session_at(channel).ok_or(Wrong::Connection(Violation::IllegalState))?;
                return match self.apply_to(place, performative, len, handler) {
                    Err(Wrong::Session(violation)) => {
                        self.end_session(place, None, Farewell(Some(violation)));
                        Ok(Place::Nowhere)
                    }
                    other => other,
                };
            }
        };
        handler.performative(subject, performative);
        Ok(Place::Nowhere)
    }

    /// The same on a session.
    fn apply_to<H: Handler>(
        &mut self,
        place: u32,
        performative: &mut PerformativeView<'_>,
        len: usize,
        handler: &mut H,
    ) -> Result<Place, Wrong> {
        let Some(id) = self.sessions.key(place).map(SessionId) else { return Ok(Place::Nowhere) };
        let live = self.sessions.get(place).is_some_and(|session| !session.end_sent);
        let mut subject = Subject::Session(id);
        match performative {
            PerformativeView::End(_) => {
                handler.performative(subject, performative);
                self.on_end(place);
                return Ok(Place::Nowhere);
            }
            // We have ended the session; the peer did not know yet.
            _ if !live => return Ok(Place::Nowhere),
            PerformativeView::Transfer(transfer) => return self.on_transfer(place, transfer, len, handler),
            PerformativeView::Disposition(disposition) => {
                self.on_disposition(place, disposition, handler)?;
                return Ok(Place::Nowhere);
            }
            PerformativeView::Attach(attach) => match self.on_attach::<H>(place, attach)? {
                Some(link) => subject = Subject::Link(link),
                None => return Ok(Place::Nowhere),
            },
            PerformativeView::Flow(flow) => {
                if let Some(link) = self.on_flow(place, flow)? {
                    subject = Subject::Link(link);
                }
            }
            PerformativeView::Detach(detach) => {
                let (handle, closed) = (detach.handle(), detach.closed());
                detach.check()?;
                let Some(link) = self.link_at(place, handle) else { return Ok(Place::Nowhere) };
                if let Some(id) = self.links.key(link).map(LinkId) {
                    handler.performative(Subject::Link(id), performative);
                }
                self.on_detach(link, closed);
                return Ok(Place::Nowhere);
            }
            _ => return Ok(Place::Nowhere),
        }
        handler.performative(subject, performative);
        Ok(Place::Nowhere)
    }

    fn on_open<'a>(&mut self, open: &mut View<'a, Open<'a>>) -> Result<(), Wrong> {
        if self.open_received {
            return Err(Wrong::Connection(Violation::IllegalState));
        }
        self.peer_max_frame_size = open.max_frame_size().max(crate::wire::frame::MIN_MAX_FRAME_SIZE);
        self.peer_channel_max = open.channel_max();
        let idle = open.idle_time_out().filter(|&idle| idle > 0);
        open.check()?;
        self.heartbeat = idle.map(|millis| Millis::new((millis / 2).max(1)));
        self.open_received = true;
        self.opened_due = true;
        Ok(())
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn on_begin<'a, H: Handler>(&mut self, channel: u16, begin: &mut View<'a, Begin<'a>>) -> Result<SessionId, Wrong> {
        let key = index_key(Space::Channel, 0, u32::from(channel));
        if self.index.get(key).is_some() {
            return Err(Wrong::Connection(Violation::IllegalState));
        }
        let (answered, window) = (begin.remote_channel(), begin.incoming_window());
        let (next_outgoing_id, handle_max) = (begin.next_outgoing_id(), begin.handle_max());
        begin.check()?;
        let place = match answered {
            Some(ours) => (0..self.sessions.end())
                .find(|&place| {
                    self.sessions.get(place).is_some_and(|session| session.channel == ours && !session.begin_received)
                })
                .ok_or(Wrong::Connection(Violation::IllegalState))?,
            None if !H::SERVES => return Err(Wrong::Connection(Violation::NotAllowed)),
            None => {
                if channel > self.config.channel_max {
                    return Err(Wrong::Connection(Violation::FramingError));
                }
                // The peer's number serves for our direction too, unless a session of our making has it.
                let ours = self.free_channel(u32::from(channel), NONE);
                let ours = ours.ok_or(Wrong::Connection(Violation::ResourceLimitExceeded))?;
                let mut session = Session::new(ours, self.config.incoming_window, self.config.handle_max);
                // The service mirrors the client's window (docs/evidence/service-evidence.md §1).
                session.outgoing_window = window;
                self.sessions.insert(session).map_err(|_| Wrong::Connection(Violation::ResourceLimitExceeded))?.index
            }
        };
        let full = Wrong::Connection(Violation::ResourceLimitExceeded);
        let id = self.sessions.key(place).map(SessionId);
        let (Some(id), Some(session)) = (id, self.sessions.get_mut(place)) else { return Err(full) };
        self.index.insert(key, place).map_err(|_| full)?;
        session.begin_received = true;
        session.peer_channel = Some(channel);
        session.next_incoming_id = next_outgoing_id;
        session.peer_incoming_window = window;
        session.peer_handle_max = handle_max;
        self.flag_session(place, session::flag::BEGUN);
        self.wake_links_of(place);
        Ok(id)
    }

    fn on_end(&mut self, place: u32) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        session.end_received = true;
        let answered = session.end_sent;
        // The peer may use its number again at once.
        if let Some(channel) = session.peer_channel.take() {
            self.index.remove(index_key(Space::Channel, 0, u32::from(channel)));
        }
        if answered {
            self.finish_session(place);
        } else {
            self.flush_dispositions();
            self.end_session(place, None, Farewell(None));
        }
    }

    pub(super) fn link_at(&self, session: u32, handle: u32) -> Option<u32> {
        self.index.get(index_key(Space::Handle, session, handle))
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn on_attach<'a, H: Handler>(
        &mut self,
        session: u32,
        attach: &mut View<'a, Attach<'a>>,
    ) -> Result<Option<LinkId>, Wrong> {
        let (name, handle, role) = (attach.name(), attach.handle(), attach.role().other());
        let max_message_size = attach.max_message_size();
        // Some senders leave the count out although it is mandatory (docs/evidence/invariants.md §2): zero is what they
        // mean.
        let count = attach.initial_delivery_count().unwrap_or(0);
        attach.check()?;
        if handle > self.config.handle_max {
            // A handle beyond handle-max is the connection's affair (AMQP 1.0 §2.7.2).
            return Err(Wrong::Connection(Violation::FramingError));
        }
        let key = index_key(Space::Handle, session, handle);
        if self.index.get(key).is_some() {
            return Err(Wrong::Session(Violation::HandleInUse));
        }
        let hash = name_hash(name);
        let ours = (0..self.links.end()).find(|&place| {
            self.links.get(place).is_some_and(|link| {
                link.session == session
                    && link.role == role
                    && link.name == hash
                    && !link.attach_received
                    && !link.detach_received
            })
        });
        let place = match ours {
            Some(place) => place,
            None if !H::SERVES => return Err(Wrong::Session(Violation::NotAllowed)),
            None => {
                let mut link = Link::new(session, role, hash);
                link.sender_settle_mode = attach.snd_settle_mode();
                link.receiver_settle_mode = attach.rcv_settle_mode();
                // Each end numbers for itself: the peer's number serves for our direction too, unless it is taken.
                let free = self.free_handle(session, handle);
                let free = free.map_err(|_| Wrong::Session(Violation::ResourceLimitExceeded))?;
                link.output_handle = free;
                match self.links.insert(link) {
                    Ok(key) => key.index,
                    Err(_) => return self.refuse_for_space(session, &refusal(name, free, role)).map(|()| None),
                }
            }
        };
        if self.index.insert(key, place).is_err() {
            if H::SERVES && ours.is_none() {
                self.links.free(place);
            }
            return Err(Wrong::Session(Violation::ResourceLimitExceeded));
        }
        let Some(link) = self.links.get_mut(place) else { return Ok(None) };
        link.attach_received = true;
        link.input_handle = Some(crate::storage::Place::new(handle));
        link.peer_accepts(max_message_size);
        if role == Role::Receiver {
            let promised = link.promised();
            link.delivery_count = count;
            link.mark = count.wrapping_add(promised);
        }
        self.flag_link(place, link::flag::ATTACHED);
        self.flag_work(place);
        Ok(self.links.key(place).map(LinkId))
    }

    /// No place for another link: refuse it without taking one.
    fn refuse_for_space(&mut self, session: u32, refused: &Attach<'_>) -> Result<(), Wrong> {
        let error = ErrorCondition::new(Violation::ResourceLimitExceeded.condition());
        let id = self.sessions.key(session).map(SessionId);
        let begun = id.is_some_and(|id| self.accept_session(id).is_ok());
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let detach = Detach { handle: refused.handle, closed: true, error: Some(error) };
        if begun
            && self.push_frame(Kind::Amqp, channel, refused).is_ok()
            && self.push_frame(Kind::Amqp, channel, &detach).is_ok()
        {
            return Ok(());
        }
        // Not even room to say so on the link.
        Err(Wrong::Session(Violation::ResourceLimitExceeded))
    }

    fn on_detach(&mut self, place: u32, closed: bool) {
        let Some(link) = self.links.get_mut(place) else { return };
        link.detach_received = true;
        let (session, handle, assembling) = (link.session, link.input_handle.take(), link.assembling);
        let answered = link.detach_sent;
        self.break_promises(place);
        // The peer may use its number again at once.
        if let Some(handle) = handle {
            self.index.remove(index_key(Space::Handle, session, handle.index()));
        }
        if assembling != NONE {
            self.drop_assembly(place, assembling);
        }
        if answered {
            self.close_link(place);
        } else {
            self.flush_dispositions();
            self.detach_link(place, closed, None);
        }
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn on_flow<'a>(&mut self, place: u32, view: &mut View<'a, Flow<'a>>) -> Result<Option<LinkId>, Wrong> {
        let flow = view.all();
        view.check()?;
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
            return Err(Wrong::Session(Violation::UnattachedHandle));
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

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn on_disposition<'a>(
        &mut self,
        session: u32,
        view: &mut View<'a, Disposition<'a>>,
        handler: &mut impl Handler,
    ) -> Result<(), Wrong> {
        let disposition = &view.all();
        view.check()?;
        let first = disposition.first;
        let last = disposition.last.unwrap_or(first);
        // A peer in the role of receiver speaks of what we sent.
        let space = if disposition.role == Role::Receiver { Space::Outgoing } else { Space::Incoming };
        let span = last.wrapping_sub(first);
        if (span as i32) < 0 {
            // Serial numbers (RFC 1982): the last lies before the first.
            return Err(Wrong::Session(Violation::InvalidField));
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
