//! Messages and their settlement: what travels over links once they are attached.

use super::delivery::{Delivery, Simple, Stage};
use super::link::NONE;
use super::verbs::OUTBOX_FULL;
use super::{Capacity, Connection, DeliveryId, EngineError, LinkId, link};
use crate::storage::{Key, Payloads, Storage, Table};
use crate::wire::Tag;
use crate::wire::frame::Kind;
use crate::wire::messaging::{DeliveryState, Outcome};
use crate::wire::performative::{Disposition, Role};

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions<S: Storage> {
    /// Identifies the delivery on its link.
    pub tag: Tag,
    /// The message format: zero, or Service Bus's batch format.
    pub format: u32,
    /// Whether no outcome is wanted.
    pub settled: bool,
    /// The transaction the message belongs to.
    pub transaction: Option<S::Transaction>,
    /// A number of the application's, given back with [`super::Handler::outcome`].
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
#[derive(Debug)]
pub struct Incoming<P> {
    /// The delivery; stale at once when `settled`.
    pub delivery: DeliveryId,
    /// Its tag.
    pub tag: Tag,
    /// The message format.
    pub format: u32,
    /// Whether the sender wants no outcome.
    pub settled: bool,
    /// The encoded message.
    pub payload: P,
}

impl<S: Storage> Connection<S> {
    /// Sends a message as soon as there is credit. [`super::Event::Settled`] reports the outcome.
    ///
    /// # Errors
    /// The payload comes back with [`EngineError::Detached`], [`EngineError::IllegalState`] for a receiving link,
    /// [`EngineError::NoCapacity`] when the table of deliveries is full, and [`EngineError::MessageTooLarge`].
    pub fn send(
        &mut self,
        link: LinkId,
        payload: S::Payload,
        options: &SendOptions<S>,
    ) -> Result<DeliveryId, (EngineError, S::Payload)> {
        if let Err(error) = self.alive() {
            return Err((error, payload));
        }
        let place = link.0.index;
        let Some(found) = self.links.find(link.0).filter(|found| found.is_live()) else {
            return Err((EngineError::Detached, payload));
        };
        if found.role != Role::Sender {
            return Err((EngineError::IllegalState, payload));
        }
        let (size, limit) = (payload.as_ref().len(), found.max_message_size);
        let limit = limit as usize;
        if limit != 0 && size > limit && !options.oversize {
            return Err((EngineError::MessageTooLarge, payload));
        }
        let full = EngineError::NoCapacity(Capacity::Deliveries);
        if self.free_deliveries() == 0 {
            return Err((full, payload));
        }
        let mut delivery = Delivery::new(place, options.tag, options.format, Stage::Bare);
        delivery.presettled = options.settled;
        delivery.unsent = true;
        delivery.transaction = options.transaction;
        delivery.user = options.user;
        let Ok(key) = self.deliveries.insert(delivery) else { return Err((full, payload)) };
        let kept = self.payloads.keep(payload);
        match (kept, self.deliveries.get_mut(key.index)) {
            (Ok(payload), Some(delivery)) => {
                delivery.stage = Stage::Outgoing { payload, sent: 0, batchable: options.batchable };
            }
            (Err(payload), _) => {
                self.deliveries.free(key.index);
                return Err((full, payload));
            }
            (Ok(_), None) => {}
        }
        self.append(place, key.index);
        self.flag_work(place);
        Ok(DeliveryId(key))
    }

    /// Whether nothing of a message that was given to [`Connection::send`] has been written yet. It stays so for a
    /// message whose link ended first, until the link is forgotten.
    pub fn is_unsent(&self, delivery: DeliveryId) -> bool {
        self.deliveries.find(delivery.0).is_some_and(|found| found.unsent)
    }

    /// Takes back a message that has not begun to be sent. Returns whether it could be taken back.
    pub fn cancel(&mut self, delivery: DeliveryId) -> bool {
        let place = delivery.0.index;
        let Some(found) = self.deliveries.find(delivery.0) else { return false };
        if !matches!(found.stage, Stage::Outgoing { sent: 0, .. }) || found.id.is_some() {
            return false;
        }
        let taken = self.unchain(found.link, place);
        if taken {
            self.free_delivery(place);
        }
        taken
    }

    /// Appends a delivery to its link's chain.
    pub(super) fn append(&mut self, link: u32, delivery: u32) {
        let Some(found) = self.links.get_mut(link) else { return };
        let tail = found.waiting.tail;
        found.waiting.tail = delivery;
        found.waiting.len += 1;
        if tail == NONE {
            found.waiting.head = delivery;
        } else if let Some(before) = self.deliveries.get_mut(tail) {
            before.next = delivery;
        }
    }

    /// Takes a delivery from its link's chain, wherever it is there; false when it is not.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn unchain(&mut self, link: u32, delivery: u32) -> bool {
        let Some(chain) = self.links.get(link).map(|link| link.waiting) else { return false };
        let (mut before, mut at) = (NONE, chain.head);
        while at != delivery {
            let Some(found) = self.deliveries.get(at) else { return false };
            before = at;
            at = found.next;
        }
        let Some(found) = self.deliveries.get_mut(delivery) else { return false };
        let next = core::mem::replace(&mut found.next, NONE);
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

    /// Nothing more comes on a receiving link: what it was promised goes back.
    pub(super) fn break_promises(&mut self, place: u32) {
        if let Some(link) = self.links.get_mut(place) {
            self.promised -= link.promised() as usize;
            link.mark = link.delivery_count;
        }
    }

    /// Sets the credit of a receiving link to `credit` messages from now on, as far as the table of deliveries has
    /// room for them; returns what was granted. Lowering it does not take back what the peer has been promised: use
    /// [`Connection::drain`].
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::IllegalState`] for a sending link.
    pub fn grant(&mut self, link: LinkId, credit: u32) -> Result<u32, EngineError> {
        let found = self.links.find(link.0).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        if found.role != Role::Receiver {
            return Err(EngineError::IllegalState);
        }
        let own = found.promised() as usize;
        let free = self.places_left().saturating_sub(self.promised.saturating_sub(own));
        let credit = credit.min(u32::try_from(free).unwrap_or(u32::MAX));
        let found = self.links.get_mut(link.0.index).ok_or(EngineError::Detached)?;
        if found.credit != credit || found.drain {
            found.drain = false;
            found.set_credit(credit);
            self.promised = self.promised - own + found.promised() as usize;
            self.flag_work(link.0.index);
        }
        Ok(credit)
    }

    /// Asks the sender to send what it has and to give up the rest of the credit; [`super::Event::Drained`] follows.
    ///
    /// # Errors
    /// As [`Connection::grant`].
    pub fn drain(&mut self, link: LinkId) -> Result<(), EngineError> {
        let found = self.links.find_mut(link.0).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        if found.role != Role::Receiver {
            return Err(EngineError::IllegalState);
        }
        // What was promised and then lowered must come back as well.
        found.credit = found.promised();
        if found.credit == 0 && found.assembling == NONE {
            self.flag_link(link.0.index, link::flag::DRAINED);
            return Ok(());
        }
        found.drain = true;
        found.flow_due = true;
        self.flag_work(link.0.index);
        Ok(())
    }

    /// Answers [`super::Event::DrainRequested`]: once what waits is sent, the rest of the credit is given up.
    ///
    /// # Errors
    /// [`EngineError::Detached`].
    pub fn drained(&mut self, link: LinkId) -> Result<(), EngineError> {
        let found = self.links.find_mut(link.0).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        found.drained = true;
        self.flag_work(link.0.index);
        Ok(())
    }

    /// Takes the next whole message of a receiving link, also after its detach.
    pub fn receive(&mut self, link: LinkId) -> Option<Incoming<S::Payload>> {
        let first = self.deliveries.key(self.links.find(link.0)?.waiting.head)?;
        self.take(DeliveryId(first))
    }

    /// Takes a whole message, wherever it is among those that wait on its receiving link.
    pub fn take(&mut self, delivery: DeliveryId) -> Option<Incoming<S::Payload>> {
        let key = delivery.0;
        let place = self.taken(key)?;
        let delivery = self.deliveries.get_mut(place)?;
        let kept = match core::mem::replace(&mut delivery.stage, Stage::Bare) {
            Stage::Ready(payload) | Stage::Outgoing { payload, .. } => Some(payload),
            Stage::Assembling(begun) => Some(self.payloads.finish(begun)),
            Stage::Bare => None,
        };
        self.freed = S::Payloads::BOUNDED;
        let payload = kept.map_or_else(S::Payload::default, |kept| self.payloads.take(kept));
        let incoming = Incoming {
            delivery: DeliveryId(key),
            tag: delivery.tag,
            format: delivery.format,
            settled: delivery.presettled,
            payload,
        };
        if delivery.presettled {
            self.free_delivery(place);
        }
        Some(incoming)
    }

    /// Drops a whole message, wherever it is among those that wait on its receiving link, and tells whether its sender
    /// wants no outcome.
    pub fn discard(&mut self, delivery: DeliveryId) -> Option<bool> {
        let place = self.taken(delivery.0)?;
        self.drop_payload(place);
        let settled = self.deliveries.get(place)?.presettled;
        if settled {
            self.free_delivery(place);
        }
        Some(settled)
    }

    /// The place of a message that waited on its receiving link until now.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn taken(&mut self, key: Key) -> Option<u32> {
        let link = self.deliveries.find(key)?.link;
        let waited = self.links.get(link)?.role == Role::Receiver && self.unchain(link, key.index);
        waited.then_some(key.index)
    }

    /// The next message that [`Connection::receive`] would take.
    pub fn peek(&self, link: LinkId) -> Option<&[u8]> {
        self.peek_behind(link, None).map(|(_, message)| message)
    }

    /// The message that waits on a receiving link behind another one, or as the first.
    pub fn peek_behind(&self, link: LinkId, other: Option<DeliveryId>) -> Option<(DeliveryId, &[u8])> {
        let place = match other {
            Some(other) => self.deliveries.find(other.0)?.next,
            None => self.links.find(link.0)?.waiting.head,
        };
        match &self.deliveries.get(place)?.stage {
            Stage::Ready(payload) => Some((DeliveryId(self.deliveries.key(place)?), self.payloads.bytes(payload))),
            _ => None,
        }
    }

    /// Tells the peer the state of a delivery. With `settled` that is the end of it; without, the peer's
    /// [`super::Event::Settled`] is. Plain outcomes of neighbouring deliveries travel in one frame. A state that was not
    /// final and has not left yet is replaced.
    ///
    /// # Errors
    /// [`EngineError::Detached`] when the delivery or its link is gone, [`EngineError::IllegalState`] when it was
    /// settled before, or is not wholly sent or taken yet, [`EngineError::NoCapacity`] when a state with details finds no room in the outbox.
    pub fn settle(
        &mut self,
        delivery: DeliveryId,
        state: &DeliveryState<'_>,
        settled: bool,
    ) -> Result<(), EngineError> {
        self.alive()?;
        let place = delivery.0.index;
        let found = self.deliveries.find(delivery.0).ok_or(EngineError::Detached)?;
        let gone = matches!(found.stage, Stage::Bare);
        if found.settled || found.presettled || !gone {
            return Err(EngineError::IllegalState);
        }
        let link = self.links.get(found.link).filter(|link| link.is_live()).ok_or(EngineError::Detached)?;
        let Some(id) = found.id else { return Err(EngineError::IllegalState) };
        let simple = match state {
            DeliveryState::Outcome(Outcome::Accepted) => Some(Simple::Accepted),
            DeliveryState::Outcome(Outcome::Released) => Some(Simple::Released),
            _ => None,
        };
        if let Some(simple) = simple {
            let found = self.deliveries.get_mut(place).ok_or(EngineError::Detached)?;
            found.due = Some((simple, settled));
            found.settled = settled;
            if !found.in_dispositions {
                found.in_dispositions = true;
                let _ = crate::storage::Queue::push(&mut self.dispositions, place);
            }
            return Ok(());
        }
        let (role, session) = (link.role, link.session);
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let disposition = Disposition { role, first: id, last: None, settled, state: Some(*state), batchable: false };
        self.push_frame(Kind::Amqp, channel, &disposition).map_err(|_| OUTBOX_FULL)?;
        if let Some(found) = self.deliveries.get_mut(place) {
            found.due = None;
        }
        if settled {
            self.free_delivery(place);
        }
        Ok(())
    }

    /// Puts a number of the application's on a delivery, given back with [`super::Handler::outcome`].
    pub fn set_user(&mut self, delivery: DeliveryId, user: Option<u32>) {
        if let Some(found) = self.deliveries.find_mut(delivery.0) {
            found.user = user;
        }
    }

    /// The link a delivery is on; `None` when the delivery is settled or gone.
    pub fn link_of(&self, delivery: DeliveryId) -> Option<LinkId> {
        self.links.key(self.deliveries.find(delivery.0)?.link).map(LinkId)
    }

    /// The number of the application's on a delivery.
    pub fn user(&self, delivery: DeliveryId) -> Option<u32> {
        self.deliveries.find(delivery.0)?.user
    }
}
