//! Deliveries: messages on their way out, and those that wait to be taken (AMQP 1.0 §2.6.12).

use super::entries::{Indexes, Number};
use super::id::{DeliveryId, DeliveryIndex, LinkId, LinkIndex};
use super::numbers::DeliveryNumber;
use super::{Capacity, Connection, EngineError};
use crate::storage::{Joint, Payloads, RxOf, Storage, TransactionOf};
use crate::wire::Tag;
use crate::wire::performative::Role;
use core::fmt;

/// How a message is sent.
///
/// # Examples
/// ```
/// # use servicebus_core::engine::*;
/// # use servicebus_core::wire::performative::Role;
/// # use servicebus_simulation::{Linked, exchange, linked};
/// # use bytes::Bytes;
/// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
/// use servicebus_core::engine::{SendOptions, Tag};
///
/// let options = SendOptions { tag: Tag::number(7), settled: true, ..SendOptions::default() };
/// client.send(link, &Bytes::from_static(b"two blue"), &options)?;
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SendOptions<S: Storage> {
    /// Identifies the delivery on its link.
    pub tag: Tag,
    /// The message format: zero, or Service Bus's batch format.
    pub format: u32,
    /// Whether no outcome is wanted.
    pub settled: bool,
    /// The transaction the message belongs to.
    pub transaction: Option<TransactionOf<S>>,
    /// A number of the application's, returned with [`super::Handler::state`].
    pub user: Option<u32>,
    /// Sends the message even when it is larger than the receiver said it takes: some receivers announce less than
    /// they want.
    pub oversize: bool,
    /// Tells the receiver that its outcome may wait for others, to travel with them (AMQP 1.0 §2.7.5).
    pub batchable: bool,
}

impl<S: Storage> Default for SendOptions<S> {
    /// An empty tag, format zero, unsettled, no transaction, no number, within the receiver's limit, not batchable.
    fn default() -> Self {
        Self {
            tag: Tag::EMPTY,
            format: 0,
            settled: false,
            transaction: None,
            user: None,
            oversize: false,
            batchable: false,
        }
    }
}

/// A message taken with [`Connection::receive`].
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
/// if let Some(Incoming { payload, settled, .. }) = server.receive(their_link) {
///     assert_eq!((payload, settled), (Bytes::from_static(b"two blue"), false));
/// }
/// # Ok::<(), servicebus_core::engine::EngineError>(())
/// ```
pub struct Incoming<P> {
    /// The delivery; stale at once when `settled`.
    pub delivery: DeliveryId,
    /// Its tag.
    pub tag: Tag,
    /// The message format.
    pub format: u32,
    /// Whether the sender wants no outcome.
    pub settled: bool,
    /// The encoded message; nothing where it was taken into a place of the caller's.
    pub payload: P,
}

/// Without the payload, as everything that holds a message.
impl<P> fmt::Debug for Incoming<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("delivery", &self.delivery).field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// A message in the payloads of a connection.
type KeptOf<S> = <<S as Storage>::Payloads as Payloads<<S as Storage>::Payload, RxOf<S>>>::Kept;

/// Where a delivery's payload is.
pub(super) enum Stage<S: Storage> {
    /// Waits to be sent, `sent` bytes of it gone; `batchable` when its outcome may wait for others.
    Outgoing { payload: KeptOf<S>, sent: u32, batchable: bool },
    /// Its frames are coming in.
    Assembling(KeptOf<S>),
    /// Waits for the application.
    Ready(KeptOf<S>),
    /// Sent, or taken by the application: only settlement is left.
    Bare,
}

impl<S: Storage> fmt::Debug for Stage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outgoing { .. } => "Outgoing",
            Self::Assembling(_) => "Assembling",
            Self::Ready(_) => "Ready",
            Self::Bare => "Bare",
        })
    }
}

/// A delivery state without fields, so that one disposition can cover a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Simple {
    Accepted,
    Released,
}

#[derive(Debug)]
pub(super) struct Delivery<S: Storage> {
    pub(super) link: LinkIndex,
    /// The delivery-id; of an outgoing delivery only once its first frame is written.
    pub(super) id: Option<u32>,
    pub(super) tag: Tag,
    pub(super) format: u32,
    pub(super) stage: Stage<S>,
    /// The next one in its link's chain, or among the dispositions.
    pub(super) next: DeliveryIndex,
    /// Sent or received as settled.
    pub(super) presettled: bool,
    /// Given to us to be sent, and no byte of it is written.
    pub(super) unsent: bool,
    pub(super) transaction: Option<TransactionOf<S>>,
    /// The application's number for it.
    pub(super) user: Option<u32>,
    /// The state and settled flag of our next disposition, if one is due.
    pub(super) due: Option<(Simple, bool)>,
    pub(super) in_dispositions: bool,
    /// Settled by us; the place is freed when the disposition is written.
    pub(super) settled: bool,
    /// Its neighbours among all deliveries of its link.
    pub(super) of_link: Joint,
}

impl<S: Storage> Delivery<S> {
    pub(super) fn new(link: LinkIndex, tag: Tag, format: u32, stage: Stage<S>) -> Self {
        Self {
            link,
            id: None,
            tag,
            format,
            stage,
            next: DeliveryIndex::NONE,
            presettled: false,
            unsent: false,
            transaction: None,
            user: None,
            due: None,
            in_dispositions: false,
            settled: false,
            of_link: Joint::FREE,
        }
    }
}

/// The deliveries that wait on a link, first in, first out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) head: DeliveryIndex,
    pub(super) tail: DeliveryIndex,
    pub(super) len: u32,
}

impl Waiting {
    pub(super) const EMPTY: Self = Self { head: DeliveryIndex::NONE, tail: DeliveryIndex::NONE, len: 0 };
}

impl<S: Storage> Connection<S> {
    /// Sends a message as soon as there is credit. [`super::Handler::state`] reports the outcome.
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::IllegalState`] for a receiving link, [`EngineError::NoCapacity`] when
    /// the table of deliveries is full, and [`EngineError::MessageTooLarge`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// let message = Bytes::from_static(b"two blue");
    /// let options = SendOptions { user: Some(7), ..SendOptions::default() };
    /// let delivery = client.send(link, &message, &options)?;
    /// assert_eq!(client.user(delivery), Some(7));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn send(
        &mut self,
        link: LinkId,
        payload: &S::Payload,
        options: &SendOptions<S>,
    ) -> Result<DeliveryId, EngineError> {
        self.alive()?;
        let place = link.at();
        let found = self.links.find(link).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        if found.role != Role::Sender {
            return Err(EngineError::IllegalState);
        }
        let (size, limit) = (payload.as_ref().len(), found.max_message_size);
        let limit = limit as usize;
        if limit != 0 && size > limit && !options.oversize {
            return Err(EngineError::MessageTooLarge);
        }
        let full = EngineError::NoCapacity(Capacity::Deliveries);
        if self.free_deliveries() == 0 {
            return Err(full);
        }
        // A place for a delivery and one for its message: both are free.
        let payload = self.payloads.keep(payload).ok_or(full)?;
        let stage = Stage::Outgoing { payload, sent: 0, batchable: options.batchable };
        let mut delivery = Delivery::new(place, options.tag, options.format, stage);
        delivery.presettled = options.settled;
        delivery.unsent = true;
        delivery.transaction = options.transaction;
        delivery.user = options.user;
        let id = self.deliveries.insert(delivery).map_err(|_| full)?;
        self.own(place, id.at());
        self.append(place, id.at());
        self.flag_work(place);
        Ok(id)
    }

    /// Whether nothing of a message that was given to [`Connection::send`] has been written yet. It stays so for a
    /// message whose link ended first, until the link is forgotten.
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
    /// assert!(client.is_unsent(delivery));
    /// server.grant(their_link, 1)?;
    /// exchange(&mut client, &mut server);
    /// assert!(!client.is_unsent(delivery));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn is_unsent(&self, delivery: DeliveryId) -> bool {
        self.deliveries.find(delivery).is_some_and(|found| found.unsent)
    }

    /// Takes back a message that has not begun to be sent. Returns whether it could be taken back.
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
    /// assert!(client.cancel(delivery));
    /// assert!(!client.cancel(delivery));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn cancel(&mut self, delivery: DeliveryId) -> bool {
        let place = delivery.at();
        let Some(found) = self.deliveries.find(delivery) else { return false };
        if !matches!(found.stage, Stage::Outgoing { sent: 0, .. }) || found.id.is_some() {
            return false;
        }
        let taken = self.unchain(found.link, place);
        if taken {
            self.free_delivery(place);
        }
        taken
    }

    /// Adds a delivery to those of its link.
    pub(super) fn own(&mut self, link: LinkIndex, delivery: DeliveryIndex) {
        if let Some(link) = self.links.get_mut(link) {
            self.deliveries.chain(&mut link.deliveries, delivery, |delivery| &mut delivery.of_link);
        }
    }

    /// Takes a delivery from its link, whose place may get a new one.
    pub(super) fn disown(&mut self, delivery: DeliveryIndex) {
        let Some(found) = self.deliveries.get_mut(delivery) else { return };
        let link = core::mem::replace(&mut found.link, LinkIndex::NONE);
        if let Some(link) = self.links.get_mut(link) {
            self.deliveries.unchain(&mut link.deliveries, delivery, |delivery| &mut delivery.of_link);
        }
    }

    /// Appends a delivery to its link's chain.
    pub(super) fn append(&mut self, link: LinkIndex, delivery: DeliveryIndex) {
        let Some(found) = self.links.get_mut(link) else { return };
        let tail = found.waiting.tail;
        found.waiting.tail = delivery;
        found.waiting.len += 1;
        if tail == DeliveryIndex::NONE {
            found.waiting.head = delivery;
        } else if let Some(before) = self.deliveries.get_mut(tail) {
            before.next = delivery;
        }
    }

    /// Takes a delivery from its link's chain, wherever it is there; false when it is not.
    pub(super) fn unchain(&mut self, link: LinkIndex, delivery: DeliveryIndex) -> bool {
        let Some((role, chain, all)) = self.links.get(link).map(|link| (link.role, link.waiting, link.deliveries))
        else {
            return false;
        };
        let (mut before, mut at) = (DeliveryIndex::NONE, chain.head);
        // What waits to be sent is the rest of the link's deliveries: the one before it is the one before it there.
        if role == Role::Sender
            && at != delivery
            && let Some(found) =
                self.deliveries.get(delivery).filter(|found| matches!(found.stage, Stage::Outgoing { .. }))
        {
            before = all.before(delivery.number(), &found.of_link).map_or(before, DeliveryIndex::of);
            at = delivery;
        }
        while at != delivery {
            let Some(found) = self.deliveries.get(at) else { return false };
            before = at;
            at = found.next;
        }
        let Some(found) = self.deliveries.get_mut(delivery) else { return false };
        let next = core::mem::replace(&mut found.next, DeliveryIndex::NONE);
        if let Some(found) = self.deliveries.get_mut(before) {
            found.next = next;
        }
        if let Some(link) = self.links.get_mut(link) {
            link.waiting.head = if chain.head == delivery { next } else { chain.head };
            link.waiting.tail = if chain.tail == delivery { before } else { chain.tail };
            link.waiting.len -= 1;
        }
        true
    }

    /// Takes the next whole message of a receiving link, also after its detach.
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
    /// let message = server.receive(their_link).map(|incoming| incoming.payload);
    /// assert_eq!(message, Some(Bytes::from_static(b"two blue")));
    /// assert!(server.receive(their_link).is_none());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn receive(&mut self, link: LinkId) -> Option<Incoming<S::Payload>> {
        let mut payload = S::Payload::default();
        let Incoming { delivery, tag, format, settled, .. } = self.receive_into(link, &mut payload)?;
        Some(Incoming { delivery, tag, format, settled, payload })
    }

    /// The same into a place for the message.
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
    /// let mut message = Bytes::new();
    /// if server.receive_into(their_link, &mut message).is_some() {
    ///     assert_eq!(message, "two blue");
    /// }
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn receive_into(&mut self, link: LinkId, payload: &mut S::Payload) -> Option<Incoming<()>> {
        let first = self.deliveries.id(self.links.find(link)?.waiting.head)?;
        self.take_into(first, payload)
    }

    /// Takes a whole message, wherever it is among those that wait on its receiving link.
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
    /// let first = server.first_delivery(their_link);
    /// let mut message = Bytes::new();
    /// if let Some((second, _)) = server.peek_behind(their_link, first) {
    ///     server.take_into(second, &mut message);
    /// }
    /// assert_eq!(message, "red");
    /// assert_eq!(server.peek(their_link), Some(&b"blue"[..]));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn take_into(&mut self, delivery: DeliveryId, payload: &mut S::Payload) -> Option<Incoming<()>> {
        let id = delivery;
        let place = self.taken(id)?;
        let delivery = self.deliveries.get_mut(place)?;
        let kept = match core::mem::replace(&mut delivery.stage, Stage::Bare) {
            Stage::Ready(payload) | Stage::Assembling(payload) | Stage::Outgoing { payload, .. } => Some(payload),
            Stage::Bare => None,
        };
        self.freed = true;
        if let Some(kept) = kept {
            self.payloads.take(kept, payload);
        }
        let (tag, format, settled) = (delivery.tag, delivery.format, delivery.presettled);
        let incoming = Incoming { delivery: id, tag, format, settled, payload: () };
        if settled {
            self.free_delivery(place);
        }
        if self.bounds_bytes() {
            self.unbuffer(payload.as_ref().len(), true);
        }
        Some(incoming)
    }

    /// Drops a whole message from anywhere in its link's queue of received messages; returns whether it was presettled.
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
    /// let delivery = server.first_delivery(their_link);
    /// let was_settled = delivery.and_then(|delivery| server.discard(delivery));
    /// assert_eq!((was_settled, server.peek(their_link)), (Some(false), None));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn discard(&mut self, delivery: DeliveryId) -> Option<bool> {
        let place = self.taken(delivery)?;
        self.drop_payload(place);
        let settled = self.deliveries.get(place)?.presettled;
        if settled {
            self.free_delivery(place);
        }
        Some(settled)
    }

    /// The place of a message that waited on its receiving link until now.
    fn taken(&mut self, id: DeliveryId) -> Option<DeliveryIndex> {
        let link = self.deliveries.find(id)?.link;
        let waited = self.links.get(link)?.role == Role::Receiver && self.unchain(link, id.at());
        waited.then_some(id.at())
    }

    /// The next message that [`Connection::receive`] would take.
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
    /// assert_eq!(server.peek(their_link), Some(&b"two blue"[..]));
    /// assert!(server.receive(their_link).is_some());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn peek(&self, link: LinkId) -> Option<&[u8]> {
        self.peek_behind(link, None).map(|(_, message)| message)
    }

    /// The message that waits on a receiving link behind another one, or as the first.
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
    /// let (mut messages, mut last) = (Vec::new(), None);
    /// while let Some((delivery, message)) = server.peek_behind(their_link, last) {
    ///     messages.push(message.to_vec());
    ///     last = Some(delivery);
    /// }
    /// assert_eq!(messages, [&b"blue"[..], b"red"]);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn peek_behind(&self, link: LinkId, other: Option<DeliveryId>) -> Option<(DeliveryId, &[u8])> {
        let place = match other {
            Some(other) => self.deliveries.find(other)?.next,
            None => self.links.find(link)?.waiting.head,
        };
        match &self.deliveries.get(place)?.stage {
            Stage::Ready(payload) => Some((self.deliveries.id(place)?, self.payloads.bytes(payload))),
            _ => None,
        }
    }

    /// Attaches a number of the application's to a delivery, returned with [`super::Handler::state`].
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
    /// client.set_user(delivery, Some(7));
    /// assert_eq!(client.user(delivery), Some(7));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn set_user(&mut self, delivery: DeliveryId, user: Option<u32>) {
        if let Some(found) = self.deliveries.find_mut(delivery) {
            found.user = user;
        }
    }

    /// The link a delivery is on; `None` when the delivery is settled or gone.
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
    /// assert_eq!(client.link_of(delivery), Some(link));
    /// client.cancel(delivery);
    /// assert_eq!(client.link_of(delivery), None);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn link_of(&self, delivery: DeliveryId) -> Option<LinkId> {
        self.links.id(self.deliveries.find(delivery)?.link)
    }

    /// The number of the application's on a delivery.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # let message = Bytes::from_static(b"two blue");
    /// let options = SendOptions { user: Some(7), ..SendOptions::default() };
    /// let delivery = client.send(link, &message, &options)?;
    /// assert_eq!(client.user(delivery), Some(7));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn user(&self, delivery: DeliveryId) -> Option<u32> {
        self.deliveries.find(delivery)?.user
    }

    /// Drops the messages of a link that wait to be sent.
    pub(super) fn drop_outgoing(&mut self, at: LinkIndex) {
        let Some(found) = self.links.get_mut(at).filter(|found| found.role == Role::Sender) else { return };
        let mut next = core::mem::replace(&mut found.waiting, Waiting::EMPTY).head;
        while let Some(delivery) = self.deliveries.get(next) {
            let place = core::mem::replace(&mut next, delivery.next);
            self.drop_payload(place);
        }
    }

    /// Bytes of messages that are coming in, wait to be taken or wait to be sent; zero where storage has places for
    /// them.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
    /// assert_eq!(client.payload_bytes(), 8);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn payload_bytes(&self) -> usize {
        self.payloads.held()
    }

    /// Bytes of the message that is coming in on a link and has not come wholly; zero where there is none.
    ///
    /// # Examples
    /// A message of two frames, of which the first has come:
    ///
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # use servicebus_core::time::Instant;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// server.grant(their_link, 1)?;
    /// # exchange(&mut client, &mut server);
    /// client.send(link, &Bytes::from(vec![7; 100_000]), &SendOptions::default())?;
    /// # let (mut tx, mut rx) = (Heap::tx(65_536), Heap::rx(65_536));
    /// # client.poll_transmit(Instant::ZERO, &mut tx);
    /// # while !tx.filled().is_empty() {
    /// #     let spare = rx.spare();
    /// #     let count = spare.len().min(tx.filled().len());
    /// #     spare[..count].copy_from_slice(&tx.filled()[..count]);
    /// #     rx.commit(count);
    /// #     tx.consume(count);
    /// #     server.handle_input(Instant::ZERO, &mut rx, &mut ())?;
    /// # }
    /// assert!((60_000..66_000).contains(&server.partial_len(their_link)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partial_len(&mut self, link: LinkId) -> usize {
        let Some(found) = self.links.find(link) else { return 0 };
        match self.deliveries.get_mut(found.assembling).map(|delivery| &mut delivery.stage) {
            Some(Stage::Assembling(begun)) => self.payloads.bytes(begun).len(),
            _ => 0,
        }
    }

    /// Places for deliveries with their messages that are neither in use nor covered by granted credit.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// let free = client.free_deliveries();
    /// client.grant(link, 10)?;
    /// assert_eq!(client.free_deliveries(), free - 10);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn free_deliveries(&self) -> usize {
        self.places_left().saturating_sub(self.outstanding)
    }

    /// Places for deliveries with their messages that are not taken.
    pub(super) fn places_left(&self) -> usize {
        self.deliveries.capacity().saturating_sub(self.deliveries.len()).min(self.payloads.free())
    }

    /// Whether room was made since this was asked: a place for a session, a link, a delivery or its message, credit
    /// that came back, or bytes of the outbox.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # let message = Bytes::from_static(b"two blue");
    /// # client.take_freed();
    /// let delivery = client.send(link, &message, &SendOptions::default())?;
    /// client.cancel(delivery);
    /// assert!(client.take_freed());
    /// assert!(!client.take_freed());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn take_freed(&mut self) -> bool {
        core::mem::take(&mut self.freed)
    }

    /// Whether [`Connection::take_freed`] would be true.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # let message = Bytes::from_static(b"two blue");
    /// # client.take_freed();
    /// let delivery = client.send(link, &message, &SendOptions::default())?;
    /// client.cancel(delivery);
    /// assert!(client.has_freed() && client.take_freed());
    /// assert!(!client.has_freed());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn has_freed(&self) -> bool {
        self.freed
    }

    /// Frees a delivery's place, or leaves that to the dispositions that still list it.
    pub(super) fn free_delivery(&mut self, place: DeliveryIndex) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        if delivery.in_dispositions {
            delivery.settled = true;
            delivery.due = None;
            self.drop_payload(place);
            return;
        }
        self.drop_payload(place);
        self.unindex_delivery(place);
        self.disown(place);
        self.deliveries.free(place);
        self.freed = true;
    }

    /// Bytes of a message that came in are no longer buffered.
    fn unbuffer(&mut self, bytes: usize, whole: bool) {
        self.buffered = self.buffered.saturating_sub(bytes);
        if whole {
            self.buffered_whole = self.buffered_whole.saturating_sub(bytes);
        }
        if !self.narrowed.is_empty() {
            self.widen_windows();
        }
    }

    /// Drops what a delivery has of its message.
    pub(super) fn drop_payload(&mut self, place: DeliveryIndex) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        let (kept, comes, whole) = match core::mem::replace(&mut delivery.stage, Stage::Bare) {
            Stage::Bare => return,
            Stage::Outgoing { payload, .. } => (payload, false, false),
            Stage::Ready(payload) => (payload, true, true),
            Stage::Assembling(payload) => (payload, true, false),
        };
        if comes && self.bounds_bytes() {
            self.unbuffer(self.payloads.bytes(&kept).len(), whole);
        }
        self.payloads.discard(kept);
        self.freed = true;
    }

    pub(super) fn unindex_delivery(&mut self, place: DeliveryIndex) {
        let Some(delivery) = self.deliveries.get_mut(place) else { return };
        let (Some(id), Some(link)) = (delivery.id, self.links.get(delivery.link)) else { return };
        if matches!(delivery.stage, Stage::Bare) {
            // No frame of it is left to send: it needs no delivery-id, and no lookup by it.
            delivery.id = None;
        }
        let key = DeliveryNumber { role: link.role, session: link.session, id };
        // Another delivery may have taken the number over on a session begun later in the same place.
        if let Some(other) = self.numbers.remove(key)
            && other != place
        {
            self.numbers.put(key, other);
        }
    }
}
