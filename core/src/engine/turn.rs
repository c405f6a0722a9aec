//! The fair turn: control frames first, then one frame of each link that is ready, so that no link starves another.

use super::Connection;
use super::delivery::Stage;
use super::entries::Number;
use super::id::{DeliveryIndex, LinkIndex, SessionIndex};
use super::numbers::DeliveryNumber;
use super::outbox::write_frame;
use super::phase::{ConnectionRole, Ending};
use super::queue::Queued;
use super::session::Session;
use crate::storage::{Buffer, Payloads, Storage, TransactionId, TxOf};
use crate::time::Instant;
use crate::wire::frame::{self, Kind};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::{Detach, Role, Transfer};
use crate::wire::transaction::TransactionalState;
use crate::wire::{Encode, Sink};

/// A fragment of a message smaller than this is not worth a frame of its own while the buffer can be flushed.
const MIN_FRAGMENT: usize = 256;

/// What became of a link's turn.
enum Turn {
    /// Nothing to send, or nothing that may be sent now.
    Idle,
    /// The session's window is closed.
    Stalled,
    /// A frame was written and there may be more.
    Again,
    /// The buffer is full.
    Full,
}

impl<S: Storage> Connection<S> {
    /// Writes frames into `tx` until it is full or there is nothing to say; true when something was written: send it
    /// and call again.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # use servicebus_core::time::Instant;
    /// # let (mut client, mut server) = connected();
    /// let mut tx = Heap::tx(65_536);
    /// client.begin()?;
    /// assert!(client.poll_transmit(Instant::ZERO, &mut tx));
    /// assert!(tx.filled().starts_with(&(tx.filled().len() as u32).to_be_bytes()));
    /// assert!(!client.poll_transmit(Instant::ZERO, &mut tx));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    #[inline(never)]
    pub fn poll_transmit(&mut self, now: Instant, tx: &mut TxOf<S>) -> bool {
        let before = tx.filled().len();
        self.transmit(tx);
        if tx.filled().len() == before {
            self.transmit_heartbeat(now, tx);
        }
        let wrote = tx.filled().len() > before;
        if wrote {
            self.last_sent = now;
        }
        wrote
    }

    fn transmit(&mut self, tx: &mut TxOf<S>) {
        if !self.transmit_outbox(tx) {
            return;
        }
        if self.close_sent || self.failed.is_some() {
            self.transmit_close(tx);
            return;
        }
        let client_waits = self.role == ConnectionRole::Client && self.released != usize::MAX;
        if client_waits || !self.open_sent {
            return;
        }
        if !(self.transmit_detaches(tx) && self.transmit_ends(tx) && self.transmit_session_flows(tx)) {
            return;
        }
        if !self.transmit_dispositions(tx) {
            return;
        }
        // One frame per ready link and turn, so that no link starves another.
        while let Some(at) = self.work.first().map(LinkIndex::of) {
            let turn = self.link_turn(at, tx);
            if matches!(turn, Turn::Full) {
                return;
            }
            self.enqueue(at, Queued::Nowhere);
            match turn {
                Turn::Again => self.enqueue(at, Queued::Work),
                Turn::Stalled => self.enqueue(at, Queued::Stalled),
                Turn::Idle | Turn::Full => {}
            }
        }
        // A window was used up just now.
        self.transmit_session_flows(tx);
    }

    /// Writes the detaches that are due, except for links that are not answered yet: a detach without an attach would
    /// be another violation.
    pub(super) fn transmit_detaches(&mut self, tx: &mut TxOf<S>) -> bool {
        while let Some(at) = self.detaches.first().map(LinkIndex::of) {
            let Some(link) = self.links.get_mut(at) else { return true };
            let channel = self.sessions.get(link.session).map_or(0, |session| session.channel);
            let closed = link.detach_due.unwrap_or(true);
            let detach = Detach { handle: link.output_handle.into(), closed, error: Ending(link.fault).error() };
            if !write_frame(tx, channel, &detach) {
                return false;
            }
            link.detach_due = None;
            let answered = link.detach_received;
            self.enqueue(at, Queued::Nowhere);
            if answered {
                self.close_link(at);
            }
        }
        true
    }

    /// Queues a link for [`Connection::poll_transmit`].
    pub(super) fn flag_work(&mut self, at: LinkIndex) {
        if self.links.get(at).is_some_and(|link| link.queued != Queued::Detaches) {
            self.enqueue(at, Queued::Work);
        }
    }

    /// Moves a link to the end of a queue, unless it is in it.
    pub(super) fn enqueue(&mut self, at: LinkIndex, to: Queued) {
        let Some(link) = self.links.get_mut(at) else { return };
        let (from, session) = (link.queued, link.session);
        if from == to {
            return;
        }
        link.queued = to;
        let Self { links, sessions, work, detaches, .. } = self;
        for (queue, joins) in [(from, false), (to, true)] {
            let chain = match queue {
                Queued::Nowhere => None,
                Queued::Work => Some(&mut *work),
                Queued::Stalled => sessions.get_mut(session).map(|session| &mut session.stalled),
                Queued::Detaches => Some(&mut *detaches),
            };
            match chain {
                Some(chain) if joins => links.chain(chain, at, |link| &mut link.queue),
                Some(chain) => links.unchain(chain, at, |link| &mut link.queue),
                None => {}
            }
        }
    }

    fn link_turn(&mut self, at: LinkIndex, tx: &mut TxOf<S>) -> Turn {
        let Some(link) = self.links.get(at) else { return Turn::Idle };
        let live = |session: SessionIndex| self.sessions.get(session).is_some_and(Session::is_live);
        if !link.attach_sent || !link.is_live() || !live(link.session) {
            return Turn::Idle;
        }
        self.finish_drain(at);
        let Some(link) = self.links.get(at) else { return Turn::Idle };
        if link.flow_due || link.echo_due {
            return if self.transmit_link_flow(at, tx).is_some() { Turn::Again } else { Turn::Full };
        }
        if link.role == Role::Sender && link.waiting.len > 0 { self.transfer(at, tx) } else { Turn::Idle }
    }

    /// Writes one frame of the first message that waits on a link.
    fn transfer(&mut self, at: LinkIndex, tx: &mut TxOf<S>) -> Turn {
        let Some(link) = self.links.get_mut(at) else { return Turn::Idle };
        let Some(session) = self.sessions.get_mut(link.session) else { return Turn::Idle };
        let head = link.waiting.head;
        let Some(delivery) = self.deliveries.get_mut(head) else { return Turn::Idle };
        let first = delivery.id.is_none();
        if (first && link.credit == 0) || !link.attach_received {
            return Turn::Idle;
        }
        if session.peer_incoming_window == 0 {
            if session.begin_received && !session.asked {
                session.asked = true;
                session.echo_due = true;
                let session = link.session;
                self.flag_session_flow(session);
            }
            return Turn::Stalled;
        }
        let id = delivery.id.unwrap_or(session.next_delivery_id);
        let Stage::Outgoing { payload, sent, batchable } = &mut delivery.stage else { return Turn::Idle };
        let batchable = first && *batchable;
        let rest = self.payloads.bytes(payload).get(*sent as usize..).unwrap_or_default();

        let empty = tx.filled().is_empty();
        let limit = (self.peer_max_frame_size as usize).min(tx.capacity());
        let spare = tx.spare();
        let room = spare.len().min(limit);
        let Some((header, body)) = spare.get_mut(..room).and_then(|frame| frame.split_first_chunk_mut()) else {
            return Turn::Full;
        };
        let transaction = delivery.transaction.as_ref().filter(|_| first);
        let mut transfer = Transfer {
            handle: link.output_handle.into(),
            delivery_id: first.then_some(id),
            delivery_tag: first.then_some(delivery.tag.as_bytes()),
            message_format: first.then_some(delivery.format),
            settled: (first && delivery.presettled).then_some(true),
            more: false,
            rcv_settle_mode: None,
            state: transaction
                .map(|txn| DeliveryState::Transactional(TransactionalState { txn_id: txn.as_bytes(), outcome: None })),
            resume: false,
            aborted: false,
            batchable,
        };
        let (start, count) = loop {
            let mut sink = Sink::new(body);
            transfer.encode(&mut sink);
            let Ok(start) = sink.finish() else { return Turn::Full };
            let left = body.len() - start;
            // The flag that more frames follow does not change the size.
            if rest.len() <= left || transfer.more {
                break (start, rest.len().min(left));
            }
            // Flush first when that makes the frame larger.
            if !empty && (left < MIN_FRAGMENT || room < limit) {
                return Turn::Full;
            }
            transfer.more = true;
        };
        let more = transfer.more;
        let (Some(room), Some(chunk)) = (body.get_mut(start..start + count), rest.get(..count)) else {
            return Turn::Full;
        };
        room.copy_from_slice(chunk);
        let size = header.len() + start + count;
        *header = frame::header(size as u32, Kind::Amqp, session.channel);
        tx.commit(size);
        log!(trace, "sends a transfer", handle = link.output_handle, delivery = id, bytes = count, more = more);

        session.next_outgoing_id = session.next_outgoing_id.wrapping_add(1);
        session.peer_incoming_window -= 1;
        *sent += count as u32;
        if first {
            session.next_delivery_id = id.wrapping_add(1);
            delivery.id = Some(id);
            delivery.unsent = false;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            link.credit = link.credit.saturating_sub(1);
            if !delivery.presettled {
                self.numbers.put(DeliveryNumber { role: Role::Sender, session: link.session, id }, head);
            }
        }
        if !more {
            self.finish_transfer(at, head);
        }
        Turn::Again
    }

    /// A message is wholly written: only its settlement is left.
    fn finish_transfer(&mut self, link: LinkIndex, head: DeliveryIndex) {
        self.unchain(link, head);
        self.drop_payload(head);
        if self.deliveries.get(head).is_some_and(|delivery| delivery.presettled) {
            self.free_delivery(head);
        }
    }
}
