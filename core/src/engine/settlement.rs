//! Settlement: dispositions in both directions (AMQP 1.0 §2.6.12, §2.7.6).

use super::delivery::{Simple, Stage};
use super::entries::Indexes;
use super::handler::StateUpdate;
use super::id::{DeliveryId, DeliveryIndex, SessionIndex};
use super::numbers::DeliveryNumber;
use super::outbox::{OUTBOX_FULL, write_frame};
use super::wrong::Wrong;
use super::{Connection, EngineError, Handler, Violation};
use crate::storage::{Storage, TxOf};
use crate::wire::frame::{self, Kind};
use crate::wire::messaging::{DeliveryState, Outcome};
use crate::wire::performative::{Disposition, Role};
use crate::wire::{View, measure};

/// Deliveries with a disposition to send, in the order in which they were settled: a list through their `next`. None of
/// them is in its link's: they were sent or taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispositions {
    first: DeliveryIndex,
    last: DeliveryIndex,
}

impl Dispositions {
    pub(super) const EMPTY: Self = Self { first: DeliveryIndex::NONE, last: DeliveryIndex::NONE };

    pub(super) fn is_empty(&self) -> bool {
        self.first == DeliveryIndex::NONE
    }
}

impl<S: Storage> Connection<S> {
    /// Tells the peer the state of a delivery. With `settled` that is the end of it; without, the peer's report by
    /// [`Handler::state`] is. Plain outcomes of neighbouring deliveries travel in one frame. A state that was not final
    /// and has not left yet is replaced.
    ///
    /// # Errors
    /// [`EngineError::Detached`] when the delivery or its link is gone, [`EngineError::IllegalState`] when it was
    /// settled before, or is not wholly sent or taken yet, [`EngineError::NoCapacity`] when a state with details finds
    /// no room in the outbox, [`EngineError::MessageTooLarge`] when it does not fit into a frame of the peer's.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # use bytes::Bytes;
    /// # use servicebus_core::wire::messaging::DeliveryState;
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Sender);
    /// # client.send(link, &Bytes::from_static(b"two blue"), &SendOptions::default())?;
    /// # server.grant(their_link, 10)?;
    /// # exchange(&mut client, &mut server);
    /// if let Some(message) = server.receive(their_link) {
    ///     server.settle(message.delivery, &DeliveryState::ACCEPTED, true)?;
    /// }
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.table_sizes(), (1, 1, 0));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn settle(
        &mut self,
        delivery: DeliveryId,
        state: &DeliveryState<'_>,
        settled: bool,
    ) -> Result<(), EngineError> {
        self.alive()?;
        let at = delivery.at();
        let found = self.deliveries.find(delivery).ok_or(EngineError::Detached)?;
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
            let found = self.deliveries.get_mut(at).ok_or(EngineError::Detached)?;
            found.due = Some((simple, settled));
            found.settled = settled;
            if !found.in_dispositions {
                found.in_dispositions = true;
                found.next = DeliveryIndex::NONE;
                let last = core::mem::replace(&mut self.dispositions.last, at);
                match self.deliveries.get_mut(last) {
                    Some(before) => before.next = at,
                    None => self.dispositions.first = at,
                }
            }
            return Ok(());
        }
        let (role, session) = (link.role, link.session);
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        let disposition = Disposition { role, first: id, last: None, settled, state: Some(*state), batchable: false };
        // A disposition must fit one frame.
        if measure(&disposition) + frame::HEADER_LEN > self.peer_max_frame_size as usize {
            return Err(EngineError::MessageTooLarge);
        }
        self.push_frame(Kind::Amqp, channel, &disposition).map_err(|_| OUTBOX_FULL)?;
        if let Some(found) = self.deliveries.get_mut(at) {
            found.due = None;
        }
        if settled {
            self.free_delivery(at);
        }
        Ok(())
    }

    pub(super) fn on_disposition<'a, H: Handler>(
        &mut self,
        session: SessionIndex,
        view: &mut View<'a, Disposition<'a>>,
        handler: &mut H,
    ) -> Result<(), Wrong> {
        let disposition = &view.all();
        view.check()?;
        let first = disposition.first;
        let last = disposition.last.unwrap_or(first);
        // A peer in the role of receiver speaks of messages that we sent.
        let number = |id| DeliveryNumber { role: disposition.role.other(), session, id };
        let span = last.wrapping_sub(first);
        if (span as i32) < 0 {
            // Serial numbers (RFC 1982): the last lies before the first.
            return Err(Wrong::Session(Violation::InvalidField));
        }
        if span as usize > self.deliveries.len() {
            // More numbers than deliveries: walk the deliveries instead, or a hostile range would cost 2^32 steps.
            for at in self.deliveries.indices() {
                let id = self.deliveries.get(at).and_then(|delivery| delivery.id);
                if let Some(id) = id.filter(|id| id.wrapping_sub(first) <= span)
                    && self.numbers.get(number(id)) == Some(at)
                {
                    self.on_state(at, disposition, handler);
                }
            }
            return Ok(());
        }
        for step in 0..=span {
            if let Some(at) = self.numbers.get(number(first.wrapping_add(step))) {
                self.on_state(at, disposition, handler);
            }
        }
        Ok(())
    }

    fn on_state<H: Handler>(&mut self, at: DeliveryIndex, disposition: &Disposition<'_>, handler: &mut H) {
        let Some(id) = self.deliveries.id(at) else { return };
        let Some(delivery) = self.deliveries.get_mut(at) else { return };
        let Some(link) = self.links.id(delivery.link) else { return };
        let settled = disposition.settled;
        let role = disposition.role.other();
        let update =
            StateUpdate { delivery: id, link, role, user: delivery.user, settled, state: disposition.state.as_ref() };
        handler.state(&update);
        if settled {
            let sent = matches!(delivery.stage, Stage::Bare);
            // Settled before it was wholly sent, or before it was taken: it goes when that has happened.
            delivery.presettled |= !sent;
            // The numbers are free for the next delivery from here on.
            self.unindex_delivery(at);
            if sent {
                self.free_delivery(at);
            }
        } else if H::SETTLES && role == Role::Sender && update.outcome().is_some() {
            // The receiver waits for our half of the settlement.
            let _ = self.settle(id, &DeliveryState::ACCEPTED, true);
        }
    }

    /// Writes the dispositions that are due into the outbox, ahead of the frames that are appended next.
    pub(super) fn flush_dispositions(&mut self) {
        while !self.dispositions.is_empty() {
            let Some((channel, disposition, count)) = self.next_dispositions() else { continue };
            if self.push_frame(Kind::Amqp, channel, &disposition).is_err() {
                return;
            }
            self.finish_dispositions(count);
        }
    }

    pub(super) fn transmit_dispositions(&mut self, tx: &mut TxOf<S>) -> bool {
        while !self.dispositions.is_empty() {
            let Some((channel, disposition, count)) = self.next_dispositions() else { continue };
            if !write_frame(tx, channel, &disposition) {
                return false;
            }
            self.finish_dispositions(count);
        }
        true
    }

    /// The disposition for the longest run at the front of the queue that one frame can tell. Entries without one are
    /// dropped on the way. The entries stay queued until [`Self::finish_dispositions`].
    fn next_dispositions(&mut self) -> Option<(u16, Disposition<'static>, usize)> {
        let front = self.deliveries.get(self.dispositions.first)?;
        let mut next = front.next;
        let found = front.due.zip(front.id).map(|(due, id)| (due, id, front.link));
        let live = found.and_then(|(due, id, link)| {
            let link = self.links.get(link).filter(|link| link.is_live())?;
            Some((due, id, link.role, link.session))
        });
        let Some(((simple, settled), first, role, session)) = live else {
            self.finish_dispositions(1);
            return None;
        };
        let channel = self.sessions.get(session).map_or(0, |session| session.channel);
        // The queue keeps the order in which deliveries were settled: a run of ascending ids on one session is folded.
        let (mut last, mut count) = (first, 1usize);
        while let Some(found) = self.deliveries.get(next) {
            let link = self.links.get(found.link);
            let folds = found.due == Some((simple, settled))
                && found.id == Some(last.wrapping_add(1))
                && link.is_some_and(|link| link.is_live() && link.role == role && link.session == session);
            next = found.next;
            if !folds {
                break;
            }
            last = last.wrapping_add(1);
            count += 1;
        }
        let state = Some(match simple {
            Simple::Accepted => DeliveryState::ACCEPTED,
            Simple::Released => DeliveryState::RELEASED,
        });
        let last = (last != first).then_some(last);
        Some((channel, Disposition { role, first, last, settled, state, batchable: false }, count))
    }

    /// Takes the first `count` entries from the queue; settled deliveries are over with it.
    fn finish_dispositions(&mut self, count: usize) {
        for _ in 0..count {
            let at = self.dispositions.first;
            let Some(delivery) = self.deliveries.get_mut(at) else { return };
            let next = core::mem::replace(&mut delivery.next, DeliveryIndex::NONE);
            self.dispositions.first = next;
            if next == DeliveryIndex::NONE {
                self.dispositions.last = next;
            }
            delivery.in_dispositions = false;
            delivery.due = None;
            if delivery.settled {
                self.free_delivery(at);
            }
        }
    }
}
