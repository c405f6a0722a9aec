//! What goes out: control frames, flows, dispositions in ranges, transfers one frame per link and turn.

use super::delivery::{Simple, Stage};
use super::{Connection, ConnectionRole, Farewell, Instant, Phase, Space, index_key};
use crate::storage::{Index, Outbox, Payloads, Queue, Storage, Table, TransactionId, Tx};
use crate::wire::frame::{self, Kind, Outgoing};
use crate::wire::messaging::DeliveryState;
use crate::wire::performative::{Close, Detach, Disposition, End, Flow, Role, Transfer};
use crate::wire::transaction::TransactionalState;
use crate::wire::{Encode, Sink};
use core::fmt;

/// A fragment of a message smaller than this is not worth a frame of its own while the buffer can be flushed.
const MIN_FRAGMENT: usize = 256;

/// Writes a frame; false when there is no room for it.
fn write_frame(tx: &mut impl Tx, channel: u16, body: &(impl Encode + fmt::Debug)) -> bool {
    let Ok(size) = crate::wire::encode(&Outgoing { kind: Kind::Amqp, channel, body }, tx.spare()) else { return false };
    tx.commit(size);
    log_frame!("sends", channel, body);
    true
}

/// What became of a link's turn.
enum Turn {
    /// Nothing to send, or nothing that may be sent now.
    Idle,
    /// A frame was written and there may be more.
    Again,
    /// The buffer is full.
    Full,
}

impl<S: Storage> Connection<S> {
    /// Writes frames into `tx` until it is full or there is nothing to say; true when something was written: send it
    /// and call again.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub fn poll_transmit(&mut self, now: Instant, tx: &mut S::Tx) -> bool {
        let before = tx.filled().len();
        self.transmit(tx);
        let idle = self.heartbeat.is_some_and(|idle| now >= self.last_sent.after(idle));
        if tx.filled().len() == before
            && idle
            && self.phase == Phase::Amqp
            && self.open_sent
            && !self.close_sent
            && self.failed.is_none()
            && let Some(place) = tx.spare().first_chunk_mut::<{ frame::HEADER_LEN }>()
        {
            *place = frame::EMPTY;
            tx.commit(frame::HEADER_LEN);
        }
        let wrote = tx.filled().len() > before;
        if wrote {
            self.last_sent = now;
        }
        wrote
    }

    fn transmit(&mut self, tx: &mut S::Tx) {
        if !self.transmit_outbox(tx) {
            return;
        }
        if self.close_sent || self.failed.is_some() {
            if self.open_sent
                && let Some(farewell) = self.close_owed
                && write_frame(tx, 0, &Close { error: farewell.error() })
            {
                self.close_owed = None;
            }
            return;
        }
        let client_waits = self.role == ConnectionRole::Client && self.released != usize::MAX;
        if client_waits || !self.open_sent {
            return;
        }
        if self.farewells > 0 && !self.transmit_farewells(tx) {
            return;
        }
        if self.session_flows > 0 && !self.transmit_session_flows(tx) {
            return;
        }
        if !self.transmit_dispositions(tx) {
            return;
        }
        // One frame per ready link and turn, so that no link starves another.
        while let Some(place) = self.work.front() {
            match self.link_turn(place, tx) {
                Turn::Full => return,
                turn => {
                    self.work.pop();
                    let again = matches!(turn, Turn::Again);
                    if let Some(link) = self.links.get_mut(place) {
                        link.in_work = again;
                    }
                    if again {
                        let _ = self.work.push(place);
                    }
                }
            }
        }
        if self.session_flows > 0 {
            // A window was used up just now.
            self.transmit_session_flows(tx);
        }
    }

    /// Moves what may be sent of the outbox; true when nothing of it is left.
    fn transmit_outbox(&mut self, tx: &mut S::Tx) -> bool {
        loop {
            let pending = self.outbox.pending();
            let count = pending.len().min(self.released);
            if count == 0 {
                return pending.is_empty();
            }
            let spare = tx.spare();
            let count = count.min(spare.len());
            if count == 0 {
                return false;
            }
            if let (Some(to), Some(from)) = (spare.get_mut(..count), pending.get(..count)) {
                to.copy_from_slice(from);
            }
            tx.commit(count);
            self.outbox.consume(count);
            if self.released != usize::MAX {
                self.released -= count;
            }
        }
    }

    /// Writes the detaches and ends that are due. Those of endpoints that are not answered yet go on waiting: a detach
    /// without an attach, or an end without a begin, would be another violation.
    fn transmit_farewells(&mut self, tx: &mut S::Tx) -> bool {
        for place in 0..self.links.end() {
            let Some(link) = self.links.get_mut(place).filter(|link| link.attach_sent) else { continue };
            let Some(closed) = link.detach_owed else { continue };
            let channel = self.sessions.get(link.session).map_or(0, |session| session.channel);
            let detach = Detach { handle: link.output_handle, closed, error: Farewell(link.fault).error() };
            if !write_frame(tx, channel, &detach) {
                return false;
            }
            link.detach_owed = None;
            self.farewells -= 1;
            if link.detach_received {
                self.close_link(place);
            }
        }
        for place in 0..self.sessions.end() {
            let Some(session) = self.sessions.get_mut(place).filter(|session| session.begin_sent) else { continue };
            let Some(farewell) = session.end_owed else { continue };
            if !write_frame(tx, session.channel, &End { error: farewell.error() }) {
                return false;
            }
            session.end_owed = None;
            self.farewells -= 1;
            self.finish_session(place);
        }
        true
    }

    fn transmit_session_flows(&mut self, tx: &mut S::Tx) -> bool {
        for place in 0..self.sessions.end() {
            let Some(session) = self.sessions.get_mut(place).filter(|session| session.flow_due) else { continue };
            if session.is_live() && session.begin_sent {
                let flow = Flow { echo: session.echo_due, ..session.flow() };
                if !write_frame(tx, session.channel, &flow) {
                    return false;
                }
                session.incoming_left = session.incoming_window;
            }
            session.echo_due = false;
            session.flow_due = false;
            self.session_flows -= 1;
        }
        true
    }

    /// Writes the dispositions that are due into the outbox, so that what is appended there next stays behind them.
    pub(super) fn flush_dispositions(&mut self) {
        while !self.dispositions.is_empty() {
            let Some((channel, disposition, count)) = self.next_dispositions() else { continue };
            if self.push_frame(Kind::Amqp, channel, &disposition).is_err() {
                return;
            }
            self.finish_dispositions(count);
        }
    }

    fn transmit_dispositions(&mut self, tx: &mut S::Tx) -> bool {
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
        let place = self.dispositions.front()?;
        let found = self.deliveries.get(place).and_then(|found| Some((found.due?, found.id?, found.link)));
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
        while let Some(place) = self.dispositions.peek(count) {
            let folds = self.deliveries.get(place).is_some_and(|found| {
                found.due == Some((simple, settled))
                    && found.id == Some(last.wrapping_add(1))
                    && self
                        .links
                        .get(found.link)
                        .is_some_and(|link| link.is_live() && link.role == role && link.session == session)
            });
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
            let Some(place) = self.dispositions.pop() else { return };
            let Some(delivery) = self.deliveries.get_mut(place) else { continue };
            delivery.in_dispositions = false;
            delivery.due = None;
            if delivery.settled {
                self.free_delivery(place);
            }
        }
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn link_turn(&mut self, place: u32, tx: &mut S::Tx) -> Turn {
        let server = self.is_server();
        let Some(link) = self.links.get_mut(place) else { return Turn::Idle };
        if !link.attach_sent || !link.is_live() {
            return Turn::Idle;
        }
        let Some(session) = self.sessions.get_mut(link.session).filter(|session| session.is_live()) else {
            return Turn::Idle;
        };
        // Without credit the drain is over as well, however much waits; what has begun to go out is finished first.
        let begun = || self.deliveries.get(link.waiting.head).is_some_and(|delivery| delivery.id.is_some());
        if link.role == Role::Sender
            && link.drained
            && (link.waiting.len == 0 || (link.drain && link.credit == 0 && !begun()))
        {
            link.drained = false;
            if link.drain {
                link.delivery_count = link.delivery_count.wrapping_add(link.credit);
                link.credit = 0;
                link.flow_due = true;
            }
        }
        if link.flow_due || link.echo_due {
            let flow = Flow {
                handle: Some(link.output_handle),
                // Unknown to a receiver until the sender's attach has come.
                delivery_count: (link.role == Role::Sender || link.attach_received).then_some(link.delivery_count),
                link_credit: Some(link.credit),
                // What waits for credit. A receiver may repeat what the sender last told (AMQP 1.0 §2.7.4); the service
                // does so from the start (docs/evidence/service-evidence.md §2), and a client saves the byte.
                available: match link.role {
                    Role::Sender => Some(link.waiting.len),
                    Role::Receiver => server.then_some(0),
                },
                drain: link.drain,
                ..session.flow()
            };
            if !write_frame(tx, session.channel, &flow) {
                return Turn::Full;
            }
            session.incoming_left = session.incoming_window;
            if session.flow_due && !session.echo_due {
                session.flow_due = false;
                self.session_flows -= 1;
            }
            if link.role == Role::Sender && link.credit == 0 {
                link.drain = false;
            }
            link.flow_due = false;
            link.echo_due = false;
            return Turn::Again;
        }
        if link.role == Role::Sender && link.waiting.len > 0 { self.transfer(place, tx) } else { Turn::Idle }
    }

    /// Writes one frame of the first message that waits on a link.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn transfer(&mut self, place: u32, tx: &mut S::Tx) -> Turn {
        let Some(link) = self.links.get_mut(place) else { return Turn::Idle };
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
            return Turn::Idle;
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
            handle: link.output_handle,
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
                let _ = self.index.insert(index_key(Space::Outgoing, link.session, id), head);
            }
        }
        if !more {
            self.finish_transfer(place, head);
        }
        Turn::Again
    }

    /// A message is wholly written: only its settlement is left.
    fn finish_transfer(&mut self, link: u32, head: u32) {
        self.unchain(link, head);
        self.drop_payload(head);
        if self.deliveries.get(head).is_some_and(|delivery| delivery.presettled) {
            self.free_delivery(head);
        }
    }
}

impl super::Session {
    /// The session part of a flow.
    fn flow(&self) -> Flow<'static> {
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
