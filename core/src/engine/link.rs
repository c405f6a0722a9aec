//! Links: handles, attach and detach (AMQP 1.0 §2.6).

use super::delivery::Waiting;
use super::entries::{Indexes, Number, UNLISTED};
use super::id::{DeliveryId, DeliveryIndex, LinkId, LinkIndex, SessionId, SessionIndex};
use super::numbers::{Handle, LinkName};
use super::outbox::OUTBOX_FULL;
use super::phase::Ending;
use super::queue::Queued;
use super::wrong::Wrong;
use super::{Capacity, Connection, EngineError, Handler, Violation};
use crate::storage::{Chain, Joint, SmallPlace, Storage};
use crate::wire::View;
use crate::wire::frame::Kind;
use crate::wire::performative::{Attach, Detach, ErrorCondition, ReceiverSettleMode, Role, SenderSettleMode};

/// A link at a glance.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_core::wire::performative::Role;
/// # use servicebus_simulation::{Linked, exchange, linked};
/// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
/// server.grant(their_link, 10)?;
/// exchange(&mut client, &mut server);
/// if let Some(LinkStatus { attached, credit, waiting, .. }) = client.link(link) {
///     assert_eq!((attached, credit, waiting), (true, 10, 0));
/// }
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
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
    /// The flow that asks for the drain is written.
    pub drain_sent: bool,
    /// The largest message the peer of a sending link accepts, in bytes; zero for no limit.
    pub peer_max_message_size: u64,
    /// Why this end detached the link, when it was for what the peer sent.
    pub fault: Option<Violation>,
}

/// What has changed on a link since its last event.
pub(super) mod flag {
    pub(in crate::engine) const ATTACHED: u8 = 1;
    pub(in crate::engine) const CREDIT: u8 = 1 << 1;
    pub(in crate::engine) const READABLE: u8 = 1 << 2;
    pub(in crate::engine) const DRAIN: u8 = 1 << 3;
    pub(in crate::engine) const DRAIN_SENT: u8 = 1 << 4;
    pub(in crate::engine) const DRAINED: u8 = 1 << 5;
    pub(in crate::engine) const FAILED: u8 = 1 << 6;
    pub(in crate::engine) const DETACHED: u8 = 1 << 7;
}

#[derive(Debug)]
// In this order: small machines reach small fields that lie in front with shorter instructions. As with points in time,
// words of 32 bits are aligned for.
#[repr(C, packed(4))]
pub(super) struct Link {
    /// Our role.
    pub(super) role: Role,
    pub(super) sender_settle_mode: SenderSettleMode,
    pub(super) receiver_settle_mode: ReceiverSettleMode,
    pub(super) attach_sent: bool,
    pub(super) attach_received: bool,
    pub(super) detach_sent: bool,
    pub(super) detach_received: bool,
    /// The peer asked us to drain (sender), or we asked the peer (receiver).
    pub(super) drain: bool,
    /// The application has nothing more to send for the drain that the peer asked for.
    pub(super) drained: bool,
    /// After our detach: how many times the peer's answers may be missing yet when they are looked for.
    pub(super) patience: u8,
    pub(super) flow_due: bool,
    pub(super) echo_due: bool,
    /// Its place is freed with its last event.
    pub(super) forgotten: bool,
    pub(super) flags: u8,
    /// Our detach is due, and whether it closes: the link was not answered yet, or the outbox was full.
    pub(super) detach_due: Option<bool>,
    /// What the peer did wrong, when that is why we detached.
    pub(super) fault: Option<Violation>,
    /// Where it waits for its turn.
    pub(super) queued: Queued,
    pub(super) session: SessionIndex,
    /// The entry behind it in the list of events.
    pub(super) next_event: u16,
    /// Both handles are below the limit on links.
    pub(super) output_handle: u16,
    pub(super) input_handle: Option<SmallPlace>,
    /// Its neighbours where it waits for its turn.
    pub(super) queue: Joint<u16>,
    /// Its neighbours among the links of its session that are not over.
    pub(super) of_session: Joint<u16>,
    pub(super) delivery_count: u32,
    /// Deliveries that may still be sent (sender) or may still come (receiver).
    pub(super) credit: u32,
    /// Of a receiver, the highest delivery-count that the peer was ever given credit for: lowering the credit does not
    /// take back messages under way. Of a sender, the initial delivery-count, which a receiver assumes until it sees
    /// the sender's.
    pub(super) delivery_limit: u32,
    /// The largest message that the receiver of the link accepts, be that us or the peer; zero for no limit, and four
    /// gigabytes are as good as none.
    pub(super) max_message_size: u32,
    /// The delivery whose frames are coming in.
    pub(super) assembling: DeliveryIndex,
    /// Deliveries to be sent (sender) or to be taken (receiver).
    pub(super) waiting: Waiting,
    /// A hash of the name, session and role: replies are matched by it, and the name itself is the application's to
    /// keep.
    pub(super) name: LinkName,
    /// All of its deliveries.
    pub(super) deliveries: Chain,
}

/// How many times the peer's answers to a link and its detach may be missing when they are looked for.
const PATIENCE: u8 = 1;

/// A limit on messages as links keep it.
fn limit(size: Option<u64>) -> u32 {
    u32::try_from(size.unwrap_or(0)).unwrap_or(u32::MAX)
}

impl Link {
    #[inline(never)]
    pub(super) fn new(session: SessionIndex, role: Role, name: LinkName) -> Self {
        Self {
            session,
            role,
            name,
            output_handle: 0,
            input_handle: None,
            sender_settle_mode: SenderSettleMode::Mixed,
            receiver_settle_mode: ReceiverSettleMode::First,
            attach_sent: false,
            attach_received: false,
            detach_sent: false,
            detach_received: false,
            detach_due: None,
            fault: None,
            delivery_count: 0,
            credit: 0,
            delivery_limit: 0,
            drain: false,
            drained: false,
            patience: 0,
            max_message_size: 0,
            waiting: Waiting::EMPTY,
            assembling: DeliveryIndex::NONE,
            flow_due: false,
            echo_due: false,
            forgotten: false,
            queued: Queued::Nowhere,
            queue: Joint::FREE,
            of_session: Joint::FREE,
            deliveries: Chain::EMPTY,
            flags: 0,
            next_event: UNLISTED,
        }
    }

    /// Notes the largest message that we accept, as our attach tells it: of a receiver.
    pub(super) fn accepts(&mut self, size: Option<u64>) {
        if self.role == Role::Receiver {
            self.max_message_size = limit(size);
        }
    }

    /// Notes the largest message that the peer accepts, as its attach tells it: of a sender.
    pub(super) fn peer_accepts(&mut self, size: Option<u64>) {
        if self.role == Role::Sender {
            self.max_message_size = limit(size);
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attach_sent && self.attach_received && !self.detach_sent && !self.detach_received
    }

    /// Whether the link is over for both ends, and its handles free.
    pub(super) fn is_over(&self) -> bool {
        self.detach_sent && self.detach_received && self.detach_due.is_none()
    }

    /// Whether frames on this link still mean anything to us.
    pub(super) fn is_live(&self) -> bool {
        !self.detach_sent && !self.detach_received
    }
}

impl<S: Storage> Connection<S> {
    /// Adds a link to those of its session.
    fn join_session(&mut self, at: LinkIndex, session: SessionIndex) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.link_count = session.link_count.saturating_add(1);
            self.links.chain(&mut session.links, at, |link| &mut link.of_session);
        }
    }

    /// Attaches a link. Of `attach`, the handle is chosen here and the rest is sent as it is; the name must be unique
    /// among the links of both roles. Credit may be granted and messages may be sent at once.
    ///
    /// # Errors
    /// [`EngineError::Detached`] for a stale session, [`EngineError::NoCapacity`] for links and outbox.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, session, .. } = linked(Role::Sender);
    /// use servicebus_core::wire::messaging::Source;
    /// use servicebus_core::wire::performative::{Attach, Role};
    ///
    /// let source = Some(Source::new(Some("orders")));
    /// let link = client.attach(session, &Attach { source, ..Attach::new("orders-2", Role::Receiver) })?;
    /// client.grant(link, 10)?;
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn attach(&mut self, session: SessionId, attach: &Attach<'_>) -> Result<LinkId, EngineError> {
        self.alive()?;
        let found = self.sessions.find(session).ok_or(EngineError::Detached)?;
        if !found.is_live() {
            return Err(EngineError::Detached);
        }
        self.accept_session(session)?;
        let handle = self.free_handle(session.at(), 0)?;
        let name = link_name(session.at(), attach.role, attach.name);
        let mut link = Link::new(session.at(), attach.role, name);
        link.output_handle = handle as u16;
        link.attach_sent = true;
        link.sender_settle_mode = attach.snd_settle_mode;
        link.receiver_settle_mode = attach.rcv_settle_mode;
        link.accepts(attach.max_message_size);
        link.delivery_count = attach.initial_delivery_count.unwrap_or(0);
        link.delivery_limit = link.delivery_count;
        let id = self.links.insert(link).map_err(|_| EngineError::NoCapacity(Capacity::Links))?;
        let channel = self.sessions.get(session.at()).map_or(0, |session| session.channel);
        let mut attach = *attach;
        attach.handle = handle;
        if self.push_frame(Kind::Amqp, channel, &attach).is_err() {
            self.links.free(id.at());
            return Err(OUTBOX_FULL);
        }
        let named = self.numbers.insert(name, id.at());
        debug_assert!(named.is_ok(), "there is room for a number of each link");
        self.join_session(id.at(), session.at());
        Ok(id)
    }

    /// Answers a link of the peer's making; the role and the handle are set here.
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::NoCapacity`] for the outbox, [`EngineError::IllegalState`] for a link
    /// that was answered before.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::wire::messaging::Source;
    /// # use servicebus_core::wire::performative::{Attach, ErrorCondition, Role};
    /// # let (mut client, mut server) = connected();
    /// # let source = Some(Source::new(Some("orders")));
    /// # let attach = Attach { source, ..Attach::new("orders-1", Role::Receiver) };
    /// # let session = client.begin()?;
    /// # let link = client.attach(session, &attach)?;
    /// # exchange(&mut client, &mut server);
    /// while let Some(event) = server.poll_event() {
    ///     if let Event::LinkAttached(link) = event {
    ///         let source = Some(Source::new(Some("orders")));
    ///         server.accept_link(link, &Attach { source, ..Attach::new("orders-1", Role::Sender) })?;
    ///     }
    /// }
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.link(link).map(|link| link.attached), Some(true));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn accept_link(&mut self, link: LinkId, attach: &Attach<'_>) -> Result<(), EngineError> {
        self.alive()?;
        let found = self.links.find(link).ok_or(EngineError::Detached)?;
        if found.attach_sent {
            return Err(EngineError::IllegalState);
        }
        // The peer's attach is answered first, even if the link will be detached at once.
        if found.is_over() {
            return Err(EngineError::Detached);
        }
        let (session, role, handle) = (found.session, found.role, u32::from(found.output_handle));
        let id = self.sessions.id(session).ok_or(EngineError::Detached)?;
        self.accept_session(id)?;
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let initial_delivery_count = (role == Role::Sender).then_some(attach.initial_delivery_count.unwrap_or(0));
        let attach = Attach { handle, role, initial_delivery_count, ..*attach };
        self.push_frame(Kind::Amqp, channel, &attach).map_err(|_| OUTBOX_FULL)?;
        if let Some(found) = self.links.get_mut(link.at()) {
            found.attach_sent = true;
            found.sender_settle_mode = attach.snd_settle_mode;
            found.receiver_settle_mode = attach.rcv_settle_mode;
            found.accepts(attach.max_message_size);
            if let Some(count) = attach.initial_delivery_count {
                // Credit that came before this is counted from here as well.
                found.delivery_count = count;
                found.delivery_limit = count;
            }
            if found.detach_due.is_some() {
                self.enqueue(link.at(), Queued::Detaches);
            }
        }
        self.flag_work(link.at());
        Ok(())
    }

    /// Accepts messages of up to `bytes` on a receiving link, in place of the limit in its attach; zero for no limit. A
    /// server that refuses a large message, rather than the link, accepts a little more than it announced.
    ///
    /// # Errors
    /// [`EngineError::Detached`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// server.set_max_message_size(their_link, 1 << 20)?;
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn set_max_message_size(&mut self, link: LinkId, bytes: u64) -> Result<(), EngineError> {
        self.links.find_mut(link).ok_or(EngineError::Detached)?.accepts(Some(bytes));
        Ok(())
    }

    /// Refuses a link of the peer's making: an attach without source and target, and a detach with the error
    /// (AMQP 1.0 §2.6.3).
    ///
    /// # Errors
    /// As [`Connection::accept_link`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::wire::messaging::Source;
    /// # use servicebus_core::wire::performative::{Attach, ErrorCondition, Role};
    /// # let (mut client, mut server) = connected();
    /// # let source = Some(Source::new(Some("orders")));
    /// # let attach = Attach { source, ..Attach::new("orders-1", Role::Receiver) };
    /// # let session = client.begin()?;
    /// # let link = client.attach(session, &attach)?;
    /// # exchange(&mut client, &mut server);
    /// let unknown = ErrorCondition::new(condition::NOT_FOUND).with_description("no queue has this name");
    /// while let Some(event) = server.poll_event() {
    ///     if let Event::LinkAttached(link) = event {
    ///         server.refuse_link(link, "orders-1", &unknown)?;
    ///     }
    /// }
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.link(link).map(|link| link.attached), Some(false));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn refuse_link(&mut self, link: LinkId, name: &str, error: &ErrorCondition<'_>) -> Result<(), EngineError> {
        let found = self.links.find(link).ok_or(EngineError::Detached)?;
        let attach = refusal(name, found.output_handle.into(), found.role);
        self.accept_link(link, &attach)?;
        self.detach(link, true, Some(error))
    }

    /// Detaches a link. Messages that were not sent are dropped; [`super::Event::LinkDetached`] follows when the peer
    /// has answered.
    ///
    /// # Errors
    /// [`EngineError::Closed`], [`EngineError::Detached`] when the id is stale, [`EngineError::IllegalState`] for a
    /// link of the peer's making that was not answered: that is refused instead. Detaching twice is fine.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// client.detach(link, true, None)?;
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.poll_event(), Some(Event::LinkDetached(link)));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn detach(
        &mut self,
        link: LinkId,
        closed: bool,
        error: Option<&ErrorCondition<'_>>,
    ) -> Result<(), EngineError> {
        let found = self.links.find(link).ok_or(EngineError::Detached)?;
        if found.detach_sent {
            return Ok(());
        }
        self.alive()?;
        if !found.attach_sent {
            return Err(EngineError::IllegalState);
        }
        self.flush_dispositions();
        self.detach_link(link.at(), closed, error);
        Ok(())
    }

    /// Looks for links of which the peer has answered neither the attach nor the detach that followed; whether it has been
    /// waited for in vain as often as it may.
    pub(crate) fn look_for_answers(&mut self) -> Option<bool> {
        let mut known = None;
        for at in 0..self.links.end() {
            let link = self.links.get_mut(LinkIndex::of(at));
            if let Some(link) = link.filter(|link| link.detach_sent && !link.detach_received && !link.attach_received) {
                known = known.max(Some(link.patience == 0));
                link.patience = link.patience.saturating_sub(1);
            }
        }
        known
    }

    /// The peer may take longer to answer a link that was detached: so many looks more.
    pub(crate) fn be_patient(&mut self, link: LinkId, looks: u8) {
        if let Some(link) = self.links.find_mut(link) {
            link.patience = PATIENCE.saturating_add(looks);
        }
    }

    /// Detaches a link now, or with no more than its fault when an attach must go out first or the outbox is full.
    pub(super) fn detach_link(&mut self, at: LinkIndex, closed: bool, error: Option<&ErrorCondition<'_>>) {
        self.revoke_credit(at);
        let Some(found) = self.links.get_mut(at) else { return };
        (found.detach_sent, found.patience) = (true, PATIENCE);
        let (handle, session, attached) = (u32::from(found.output_handle), found.session, found.attach_sent);
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let assembling = found.assembling;
        let detach = Detach { handle, closed, error: error.copied().or(Ending(found.fault).error()) };
        let said = attached && self.push_frame(Kind::Amqp, channel, &detach).is_ok();
        self.enqueue(at, if attached && !said { Queued::Detaches } else { Queued::Nowhere });
        if !said && let Some(found) = self.links.get_mut(at) {
            found.detach_due = Some(closed);
        }
        self.drop_outgoing(at);
        // Of a message that is coming in, nothing more is read.
        if assembling != DeliveryIndex::NONE {
            self.drop_assembly(at, assembling);
        }
        if self.links.get(at).is_some_and(|found| found.detach_received) {
            self.close_link(at);
        }
    }

    /// Both ends have detached, unless our detach is still to be sent.
    pub(super) fn close_link(&mut self, at: LinkIndex) {
        let Some(found) = self.links.get_mut(at).filter(|found| found.is_over()) else { return };
        let (session, handle) = (found.session, found.input_handle.take().map(SmallPlace::index));
        found.credit = 0;
        let name = Some(found.name).filter(|_| found.attach_sent && !found.attach_received);
        if let Some(name) = name.filter(|name| self.numbers.get(*name) == Some(at)) {
            self.numbers.remove(name);
        }
        if let Some(handle) = handle {
            self.numbers.remove(Handle(session, handle));
        }
        if found.of_session.is_in_chain()
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.link_count = session.link_count.saturating_sub(1);
            self.links.unchain(&mut session.links, at, |link| &mut link.of_session);
        }
        self.drop_outgoing(at);
        // The numbers of its deliveries mean nothing any more, and the session's place may get a new tenant.
        let mut next = self.links.get(at).and_then(|link| link.deliveries.first()).map(DeliveryIndex::of);
        while let Some(delivery) = next {
            self.unindex_delivery(delivery);
            let Some(found) = self.deliveries.get_mut(delivery) else { break };
            found.id = None;
            next = found.of_link.next().map(DeliveryIndex::of);
        }
        self.flag_link(at, flag::DETACHED);
    }

    /// Forgets a detached link: its id, its received messages, and every delivery on it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// client.detach(link, true, None)?;
    /// exchange(&mut client, &mut server);
    /// client.forget(link);
    /// assert_eq!(client.link(link), None);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn forget(&mut self, link: LinkId) {
        let at = link.at();
        if !self.links.find(link).is_some_and(Link::is_over) {
            return;
        }
        self.enqueue(at, Queued::Nowhere);
        while let Some(delivery) = self.links.get(at).and_then(|link| link.deliveries.first()) {
            let delivery = DeliveryIndex::of(delivery);
            self.unindex_delivery(delivery);
            self.disown(delivery);
            self.free_delivery(delivery);
        }
        let Some(found) = self.links.get_mut(at) else { return };
        if found.next_event != UNLISTED {
            // It is in the list of events, and goes when it is taken from there.
            found.forgotten = true;
            return;
        }
        self.links.free(at);
        self.freed = true;
    }

    /// The oldest delivery of a link.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # let message = Bytes::from_static(b"two blue");
    /// let delivery = client.send(link, &message, &SendOptions::default())?;
    /// assert_eq!(client.first_delivery(link), Some(delivery));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn first_delivery(&self, link: LinkId) -> Option<DeliveryId> {
        self.deliveries.id(DeliveryIndex::of(self.links.find(link)?.deliveries.first()?))
    }

    /// The delivery behind another one of the same link.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # for message in ["blue", "red"] {
    /// #     client.send(link, &Bytes::from_static(message.as_bytes()), &SendOptions::default())?;
    /// # }
    /// # server.grant(their_link, 10)?;
    /// # exchange(&mut client, &mut server);
    /// let mut deliveries = 0;
    /// let mut next = client.first_delivery(link);
    /// while let Some(delivery) = next {
    ///     deliveries += 1;
    ///     next = client.next_delivery(delivery);
    /// }
    /// assert_eq!(deliveries, 2);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn next_delivery(&self, delivery: DeliveryId) -> Option<DeliveryId> {
        self.deliveries.id(DeliveryIndex::of(self.deliveries.find(delivery)?.of_link.next()?))
    }

    /// A link at a glance; `None` when the id is stale.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
    /// let status = client.link(link);
    /// assert_eq!(status.map(|link| (link.credit, link.waiting)), Some((0, 1)));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn link(&self, link: LinkId) -> Option<LinkStatus> {
        let found = self.links.find(link).filter(|found| !found.forgotten)?;
        Some(LinkStatus {
            role: found.role,
            attached: found.is_attached(),
            credit: found.credit,
            waiting: found.waiting.len,
            draining: found.drain,
            drain_sent: found.drain && !found.flow_due,
            peer_max_message_size: if found.role == Role::Sender { u64::from(found.max_message_size) } else { 0 },
            fault: found.fault,
        })
    }

    /// The session a link is on; `None` when the id is stale.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { client, session, link, .. } = linked(Role::Sender);
    /// assert_eq!(client.session_of(link), Some(session));
    /// ```
    pub fn session_of(&self, link: LinkId) -> Option<SessionId> {
        let found = self.links.find(link).filter(|found| !found.forgotten)?;
        self.sessions.id(found.session)
    }

    pub(super) fn link_at(&self, session: SessionIndex, handle: u32) -> Option<LinkIndex> {
        self.numbers.get(Handle(session, handle))
    }

    #[inline(never)]
    pub(super) fn on_attach<'a, H: Handler>(
        &mut self,
        session: SessionIndex,
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
        let key = Handle(session, handle);
        if self.numbers.get(key).is_some() {
            return Err(Wrong::Session(Violation::HandleInUse));
        }
        let hash = link_name(session, role, name);
        let ours = self.numbers.get(hash).filter(|&at| {
            let waits = |link: &Link| !link.attach_received && !link.detach_received;
            self.links.get(at).is_some_and(|link| link.session == session && link.role == role && waits(link))
        });
        let at = match ours {
            Some(at) => {
                self.numbers.remove(hash);
                at
            }
            None if !H::SERVES => return Err(Wrong::Session(Violation::NotAllowed)),
            None => {
                let mut link = Link::new(session, role, hash);
                link.sender_settle_mode = attach.snd_settle_mode();
                link.receiver_settle_mode = attach.rcv_settle_mode();
                // Each end numbers for itself: the peer's number serves for our direction too, unless it is taken.
                let free = self.free_handle(session, handle);
                let free = free.map_err(|_| Wrong::Session(Violation::ResourceLimitExceeded))?;
                link.output_handle = free as u16;
                match self.links.insert(link) {
                    Ok(id) => id.at(),
                    Err(_) => return self.refuse_for_space(session, &refusal(name, free, role)).map(|()| None),
                }
            }
        };
        if self.numbers.insert(key, at).is_err() {
            if H::SERVES && ours.is_none() {
                self.links.free(at);
            }
            return Err(Wrong::Session(Violation::ResourceLimitExceeded));
        }
        if ours.is_none() {
            self.join_session(at, session);
        }
        let Some(link) = self.links.get_mut(at) else { return Ok(None) };
        link.attach_received = true;
        link.input_handle = Some(SmallPlace::new(handle));
        link.peer_accepts(max_message_size);
        if role == Role::Receiver {
            let outstanding = link.outstanding();
            link.delivery_count = count;
            link.delivery_limit = count.wrapping_add(outstanding);
        }
        self.flag_link(at, flag::ATTACHED);
        self.flag_work(at);
        Ok(self.links.id(at))
    }

    /// No at for another link: refuse it without taking one.
    fn refuse_for_space(&mut self, session: SessionIndex, refused: &Attach<'_>) -> Result<(), Wrong> {
        let error = ErrorCondition::new(Violation::ResourceLimitExceeded.condition());
        let id = self.sessions.id(session);
        let begun = id.is_some_and(|id| self.accept_session(id).is_ok());
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let detach = Detach { handle: refused.handle, closed: true, error: Some(error) };
        if begun
            && self.push_frame(Kind::Amqp, channel, refused).is_ok()
            && self.push_frame(Kind::Amqp, channel, &detach).is_ok()
        {
            return Ok(());
        }
        // Without room for a detach either, the session ends.
        Err(Wrong::Session(Violation::ResourceLimitExceeded))
    }

    pub(super) fn on_detach(&mut self, at: LinkIndex, closed: bool) {
        let Some(link) = self.links.get_mut(at) else { return };
        link.detach_received = true;
        let (session, handle, assembling) = (link.session, link.input_handle.take(), link.assembling);
        let answered = link.detach_sent;
        self.revoke_credit(at);
        // The peer may use its number again at once.
        if let Some(handle) = handle {
            self.numbers.remove(Handle(session, handle.index()));
        }
        if assembling != DeliveryIndex::NONE {
            self.drop_assembly(at, assembling);
        }
        if answered {
            self.close_link(at);
        } else {
            self.flush_dispositions();
            self.detach_link(at, closed, None);
        }
    }

    /// The peer broke the protocol on a link: it is closed.
    pub(super) fn detach_for(&mut self, link: LinkIndex, violation: Violation) {
        self.detach_for_with(link, violation, None);
    }

    pub(super) fn detach_for_with(
        &mut self,
        link: LinkIndex,
        violation: Violation,
        error: Option<&ErrorCondition<'_>>,
    ) {
        if let Some(found) = self.links.get_mut(link) {
            found.fault = Some(violation);
        }
        self.detach_link(link, true, error);
        self.flag_link(link, flag::FAILED);
    }
}

/// The attach that refuses a link: null termini and nothing else.
// docs/evidence/service-evidence.md §1
pub(super) fn refusal(name: &str, handle: u32, role: Role) -> Attach<'_> {
    Attach { handle, ..Attach::new(name, role) }
}

/// The number by which the answer to an attach finds its link.
fn link_name(session: SessionIndex, role: Role, name: &str) -> LinkName {
    LinkName(name_hash(name) ^ u64::from(session.number()) << 1 ^ u64::from(role == Role::Receiver))
}

/// FNV-1a: link names are compared by it.
#[inline(never)]
pub(super) fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
