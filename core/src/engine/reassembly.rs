//! Reassembles deliveries of several transfers (AMQP 1.0 §2.6.14).

use super::delivery::{Delivery, Stage};
use super::entries::Indexes;
use super::handler::StateUpdate;
use super::id::{DeliveryIndex, LinkIndex, SessionIndex};
use super::link::flag;
use super::numbers::DeliveryNumber;
use super::wrong::Wrong;
use super::{Connection, Handler, Violation};
use crate::storage::{Buffer, Payloads, RxOf, Storage};
use crate::wire::Tag;
use crate::wire::View;
use crate::wire::frame::Kind;
use crate::wire::messaging::{DeliveryState, Outcome, Rejected};
use crate::wire::performative::{Disposition, ErrorCondition, Role, Transfer};
use core::fmt::Write as _;

/// Where the payload of a transfer frame goes.
pub(super) enum Destination {
    /// Into this delivery; the flag says whether it is complete with it.
    Delivery(DeliveryIndex, bool),
    /// Nowhere: the link does not want it any more.
    Nowhere,
}

impl<S: Storage> Connection<S> {
    /// Puts the payload of a transfer frame where it belongs.
    pub(super) fn store<H: Handler>(&mut self, destination: Destination, offset: usize, size: usize, rx: &mut RxOf<S>) {
        let Destination::Delivery(at, complete) = destination else {
            rx.consume(size);
            return;
        };
        let bounds_bytes = self.bounds_bytes();
        let Some(delivery) = self.deliveries.get_mut(at) else {
            rx.consume(size);
            return;
        };
        let Stage::Assembling(begun) = &mut delivery.stage else {
            rx.consume(size);
            return;
        };
        let before = self.payloads.bytes(begun).len();
        if self.payloads.receive(begun, rx, offset, size).is_err() {
            // Fixed storage: the message is larger than the place for one.
            let link = delivery.link;
            let id = delivery.id.filter(|_| !delivery.presettled);
            self.drop_assembly(link, at);
            self.too_large::<H>(link, id, (before + size) as u64, before as u64);
            return;
        }
        let whole = self.payloads.bytes(begun).len();
        if bounds_bytes {
            self.buffered += whole - before;
            if complete {
                self.buffered_whole += whole;
            } else if self.buffered_whole == 0 && self.buffered > self.config.limits.largest_buffer() {
                // No message can be taken, and more pieces have no room.
                let link = delivery.link;
                self.drop_assembly(link, at);
                self.detach_for(link, Violation::ResourceLimitExceeded);
                return;
            }
        }
        if complete {
            if let Stage::Assembling(payload) = core::mem::replace(&mut delivery.stage, Stage::Bare) {
                delivery.stage = Stage::Ready(payload);
            }
            let link = delivery.link;
            if let Some(found) = self.links.get_mut(link) {
                found.assembling = DeliveryIndex::NONE;
            }
            self.append(link, at);
            self.flag_link(link, flag::READABLE);
            self.check_drain(link);
        }
    }

    pub(super) fn drop_assembly(&mut self, link: LinkIndex, at: DeliveryIndex) {
        if let Some(found) = self.links.get_mut(link) {
            found.assembling = DeliveryIndex::NONE;
        }
        self.free_delivery(at);
    }

    pub(super) fn on_transfer<'a, H: Handler>(
        &mut self,
        session: SessionIndex,
        view: &mut View<'a, Transfer<'a>>,
        len: usize,
        handler: &mut H,
    ) -> Result<Destination, Wrong> {
        let transfer = view.all();
        view.check()?;
        let Some(found) = self.sessions.get_mut(session) else { return Ok(Destination::Nowhere) };
        if found.end_sent {
            return Ok(Destination::Nowhere);
        }
        match found.on_transfer() {
            None => return Err(Wrong::Session(Violation::WindowViolation)),
            Some(true) => self.flag_session_flow(session),
            Some(false) => {}
        }
        let Some(at) = self.link_at(session, transfer.handle) else {
            return Err(Wrong::Session(Violation::UnattachedHandle));
        };
        let Some(id) = self.links.id(at) else { return Ok(Destination::Nowhere) };
        let Some(link) = self.links.get_mut(at) else { return Ok(Destination::Nowhere) };
        if link.role != Role::Receiver {
            return Err(Wrong::Session(Violation::NotAllowed));
        }
        if link.detach_sent || link.detach_received {
            return Ok(Destination::Nowhere);
        }
        let limit = match link.max_message_size {
            0 => self.config.limits.message as u64,
            limit => u64::from(limit),
        };
        let assembling = link.assembling;
        if assembling != DeliveryIndex::NONE {
            let Some(delivery) = self.deliveries.get_mut(assembling) else { return Ok(Destination::Nowhere) };
            if transfer.delivery_id.is_some() && transfer.delivery_id != delivery.id {
                return Err(Wrong::Session(Violation::IllegalState));
            }
            if transfer.aborted {
                self.drop_assembly(at, assembling);
                self.check_drain(at);
                return Ok(Destination::Nowhere);
            }
            let so_far = match &delivery.stage {
                Stage::Assembling(begun) => self.payloads.bytes(begun).len(),
                _ => 0,
            };
            if transfer.settled == Some(true) && !delivery.presettled {
                delivery.presettled = true;
            }
            if (so_far + len) as u64 > limit {
                let id = delivery.id.filter(|_| !delivery.presettled);
                self.drop_assembly(at, assembling);
                self.too_large::<H>(at, id, (so_far + len) as u64, limit);
                return Ok(Destination::Nowhere);
            }
            return Ok(Destination::Delivery(assembling, !transfer.more));
        }
        if link.outstanding() == 0 {
            self.detach_for(at, Violation::TransferLimitExceeded);
            return Ok(Destination::Nowhere);
        }
        let Some(number) = transfer.delivery_id else { return Err(Wrong::Session(Violation::InvalidField)) };
        let Some(tag) = Tag::new(transfer.delivery_tag.unwrap_or_default()) else {
            return Err(Wrong::Session(Violation::InvalidField));
        };
        link.delivery_count = link.delivery_count.wrapping_add(1);
        link.credit = link.credit.saturating_sub(1);
        let left = link.outstanding();
        self.note_outstanding(left + 1, left);
        if transfer.aborted {
            self.check_drain(at);
            return Ok(Destination::Nowhere);
        }
        if len as u64 > limit {
            let id = Some(number).filter(|_| transfer.settled != Some(true));
            self.too_large::<H>(at, id, len as u64, limit);
            return Ok(Destination::Nowhere);
        }
        let begun = if self.deliveries.is_full() { None } else { self.payloads.begin() };
        let Some(begun) = begun else {
            self.detach_for(at, Violation::ResourceLimitExceeded);
            return Ok(Destination::Nowhere);
        };
        let format = transfer.message_format.unwrap_or(0);
        let mut delivery = Delivery::new(at, tag, format, Stage::Assembling(begun));
        delivery.id = Some(number);
        delivery.presettled = transfer.settled == Some(true);
        let presettled = delivery.presettled;
        let Ok(delivery) = self.deliveries.insert(delivery) else { return Ok(Destination::Nowhere) };
        self.own(at, delivery.at());
        if !presettled {
            let number = DeliveryNumber { role: Role::Receiver, session, id: number };
            self.numbers.put(number, delivery.at());
        }
        if let Some(link) = self.links.get_mut(at) {
            link.assembling = delivery.at();
        }
        if transfer.state.is_some() {
            handler.state(&StateUpdate {
                delivery,
                link: id,
                role: Role::Receiver,
                user: None,
                settled: false,
                state: transfer.state.as_ref(),
            });
        }
        Ok(Destination::Delivery(delivery.at(), !transfer.more))
    }

    /// A message is larger than its link takes: the link closes, and a server rejects the message first. The service
    /// does both, and clients tell their users only one of them. A receiver of an entity's messages must not: the
    /// service would dead-letter what another can hold.
    fn too_large<H: Handler>(&mut self, at: LinkIndex, unsettled: Option<u32>, size: u64, limit: u64) {
        if !(H::SERVES && self.is_server()) {
            return self.detach_for(at, Violation::MessageSizeExceeded);
        }
        let mut text = heapless::String::<160>::new();
        let id = unsettled.unwrap_or_default();
        // As the service words it (docs/evidence/service-evidence.md §5); three numbers fit.
        let _ = write!(
            text,
            "The received message (delivery-id:{id}, size:{size} bytes) exceeds the limit ({limit} bytes) currently \
             allowed on the link."
        );
        let violation = Violation::MessageSizeExceeded;
        let error = ErrorCondition::new(violation.condition()).with_description(&text);
        let session = self.links.get(at).and_then(|link| self.sessions.get(link.session));
        if let (Some(first), Some(session)) = (unsettled, session) {
            let state = Some(DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(error) })));
            let channel = session.channel;
            let disposition =
                Disposition { role: Role::Receiver, first, last: None, settled: true, state, batchable: false };
            // Without room for it, only the link's detach reports it.
            _ = self.push_frame(Kind::Amqp, channel, &disposition);
        }
        self.detach_for_with(at, violation, Some(&error));
    }
}
