//! Credit and drain (AMQP 1.0 §2.6.7).

use super::entries::{Indexes, Number};
use super::id::{DeliveryIndex, LinkId, LinkIndex, SessionIndex};
use super::link::{Link, flag};
use super::outbox::write_frame;
use super::queue::Queued;
use super::wrong::Wrong;
use super::{Connection, EngineError, Violation};
use crate::storage::{Storage, TxOf};
use crate::wire::View;
use crate::wire::performative::{Flow, Role};

/// The rest of `allowed` at delivery-count `count`, when the peer last saw `seen` (RFC 1982: both are serial numbers,
/// so the difference shows which is ahead). All of 32 bits may be allowed at once.
pub(super) fn remaining(allowed: u32, count: u32, seen: u32) -> u32 {
    let under_way = count.wrapping_sub(seen);
    if (under_way as i32) >= 0 {
        allowed.saturating_sub(under_way)
    } else {
        allowed.saturating_add(under_way.wrapping_neg())
    }
}

impl Link {
    /// Deliveries that may still arrive for the credit that was granted.
    pub(super) fn outstanding(&self) -> u32 {
        match self.role {
            Role::Receiver => self.delivery_limit.wrapping_sub(self.delivery_count),
            Role::Sender => 0,
        }
    }

    /// Sets the credit of a receiving link.
    pub(super) fn set_credit(&mut self, credit: u32) {
        self.credit = credit;
        let limit = self.delivery_count.wrapping_add(credit);
        // Serial arithmetic (RFC 1982): the limit only rises.
        if (limit.wrapping_sub(self.delivery_limit) as i32) > 0 {
            self.delivery_limit = limit;
        }
        self.flow_due = true;
    }

    /// Applies the flow of a receiver to our sending link (AMQP 1.0 §2.6.7). Returns whether the credit rose.
    pub(super) fn on_receiver_flow(&mut self, delivery_count: Option<u32>, credit: u32, drain: bool) -> bool {
        // A receiver that has not seen our attach leaves its delivery-count out: our initial one then counts.
        let seen = delivery_count.unwrap_or(self.delivery_limit);
        let left = remaining(credit, self.delivery_count, seen);
        let rose = left > self.credit;
        self.credit = left;
        self.drain = drain;
        rose
    }

    /// Applies the flow of a sender to our receiving link.
    pub(super) fn on_sender_flow(&mut self, delivery_count: Option<u32>) {
        if let Some(count) = delivery_count {
            let advanced = count.wrapping_sub(self.delivery_count);
            // A sender moves its count ahead only to use up credit, and never beyond the granted credit.
            if advanced <= self.outstanding() {
                self.delivery_count = count;
                self.credit = self.credit.saturating_sub(advanced);
            }
        }
    }

    /// Ends a drain once the sender has used up all of its credit, by messages, by its flow or by both: a sender that
    /// has used it up by messages may not send a flow. Returns whether the drain has ended. A flow that crossed the
    /// request on its way does not answer it, so only the count decides.
    pub(super) fn end_drain(&mut self) -> bool {
        let ended = self.drain && self.outstanding() == 0 && self.assembling == DeliveryIndex::NONE;
        if ended {
            self.drain = false;
            self.credit = 0;
        }
        ended
    }
}

impl<S: Storage> Connection<S> {
    /// Sets the credit of a receiving link to `credit` messages from now on, as far as the table of deliveries has
    /// room for them; returns the granted credit. Lowering it does not take back credit that the peer already has: use
    /// [`Connection::drain`].
    ///
    /// # Errors
    /// [`EngineError::Detached`], [`EngineError::IllegalState`] for a sending link.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// assert_eq!(client.grant(link, 10)?, 10);
    /// exchange(&mut client, &mut server);
    /// assert_eq!(server.poll_event(), Some(Event::Credit(their_link)));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn grant(&mut self, link: LinkId, credit: u32) -> Result<u32, EngineError> {
        let found = self.links.find(link).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        if found.role != Role::Receiver {
            return Err(EngineError::IllegalState);
        }
        let own = found.outstanding() as usize;
        let free = self.places_left().saturating_sub(self.outstanding.saturating_sub(own));
        let credit = credit.min(u32::try_from(free).unwrap_or(u32::MAX));
        let found = self.links.get_mut(link.at()).ok_or(EngineError::Detached)?;
        if found.credit != credit || found.drain {
            found.drain = false;
            found.set_credit(credit);
            let after = found.outstanding();
            self.note_outstanding(own as u32, after);
            self.flag_work(link.at());
        }
        Ok(credit)
    }

    /// Asks the sender to send its available messages and to use up the rest of the credit; [`super::Event::Drained`]
    /// follows.
    ///
    /// # Errors
    /// As [`Connection::grant`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// client.grant(link, 10)?;
    /// client.drain(link)?;
    /// exchange(&mut client, &mut server);
    /// server.drained(their_link)?;
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.poll_event(), Some(Event::DrainSent(link)));
    /// assert_eq!(client.poll_event(), Some(Event::Drained(link)));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn drain(&mut self, link: LinkId) -> Result<(), EngineError> {
        let found = self.links.find_mut(link).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        if found.role != Role::Receiver {
            return Err(EngineError::IllegalState);
        }
        // Credit that was granted and then lowered must come back as well.
        found.credit = found.outstanding();
        if found.credit == 0 && found.assembling == DeliveryIndex::NONE {
            self.flag_link(link.at(), flag::DRAINED);
            return Ok(());
        }
        found.drain = true;
        found.flow_due = true;
        self.flag_work(link.at());
        Ok(())
    }

    /// Answers [`super::Event::DrainRequested`]: once what waits is sent, the rest of the credit is given up.
    ///
    /// # Errors
    /// [`EngineError::Detached`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// # client.grant(link, 10)?;
    /// # client.drain(link)?;
    /// # exchange(&mut client, &mut server);
    /// while let Some(event) = server.poll_event() {
    ///     if let Event::DrainRequested(link) = event {
    ///         server.drained(link)?;
    ///     }
    /// }
    /// exchange(&mut client, &mut server);
    /// assert_eq!(server.link(their_link).map(|link| link.credit), Some(0));
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn drained(&mut self, link: LinkId) -> Result<(), EngineError> {
        let found = self.links.find_mut(link).filter(|found| found.is_live()).ok_or(EngineError::Detached)?;
        found.drained = true;
        self.flag_work(link.at());
        Ok(())
    }

    /// The outstanding credit of a link changes.
    pub(super) fn note_outstanding(&mut self, before: u32, after: u32) {
        self.outstanding = self.outstanding + after as usize - before as usize;
        self.freed |= after < before;
        self.creditors = self.creditors + usize::from(after > 0) - usize::from(before > 0);
    }

    /// Links with credit that is not used up.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_core::wire::performative::Role;
    /// # use servicebus_simulation::{Linked, exchange, linked};
    /// # let Linked { mut client, mut server, link, their_link, .. } = linked(Role::Receiver);
    /// assert_eq!(client.creditors(), 0);
    /// client.grant(link, 10)?;
    /// assert_eq!(client.creditors(), 1);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn creditors(&self) -> usize {
        self.creditors
    }

    /// Nothing more comes on a receiving link: revokes its outstanding credit.
    pub(super) fn revoke_credit(&mut self, at: LinkIndex) {
        let Some(link) = self.links.get_mut(at) else { return };
        let before = link.outstanding();
        link.delivery_limit = link.delivery_count;
        self.note_outstanding(before, 0);
    }

    /// Reports a drain that the last message has ended.
    pub(super) fn check_drain(&mut self, link: LinkIndex) {
        if self.links.get_mut(link).is_some_and(Link::end_drain) {
            self.flag_link(link, flag::DRAINED);
        }
    }

    #[inline(never)]
    pub(super) fn on_flow<'a>(
        &mut self,
        session: SessionIndex,
        view: &mut View<'a, Flow<'a>>,
    ) -> Result<Option<LinkId>, Wrong> {
        let flow = view.all();
        view.check()?;
        let Some(found) = self.sessions.get_mut(session) else { return Ok(None) };
        let opened = found.on_flow(flow.next_incoming_id, flow.incoming_window);
        if opened {
            self.wake_links_of(session);
        }
        let Some(handle) = flow.handle else {
            if flow.echo {
                self.flag_session_flow(session);
            }
            return Ok(None);
        };
        let Some(at) = self.link_at(session, handle) else {
            return Err(Wrong::Session(Violation::UnattachedHandle));
        };
        let Some(link) = self.links.get_mut(at) else { return Ok(None) };
        if link.detach_sent || link.detach_received {
            return Ok(None);
        }
        let credit = flow.link_credit.unwrap_or(0);
        let (mut flags, mut outstanding) = (0, (0, 0));
        match link.role {
            Role::Sender => {
                if link.on_receiver_flow(flow.delivery_count, credit, flow.drain) {
                    flags |= flag::CREDIT;
                }
                if flow.drain {
                    flags |= flag::DRAIN;
                }
            }
            Role::Receiver => {
                let before = link.outstanding();
                link.on_sender_flow(flow.delivery_count);
                let after = link.outstanding();
                if link.end_drain() {
                    flags |= flag::DRAINED;
                }
                outstanding = (before, after);
            }
        }
        link.echo_due |= flow.echo;
        let work = link.echo_due || (link.role == Role::Sender && link.waiting.len > 0);
        self.note_outstanding(outstanding.0, outstanding.1);
        if flags != 0 {
            self.flag_link(at, flags);
        }
        if work {
            self.flag_work(at);
        }
        Ok(self.links.id(at))
    }

    /// The window of a session is open: links that wait for it continue.
    pub(super) fn wake_links_of(&mut self, session: SessionIndex) {
        while let Some(at) = self.sessions.get(session).and_then(|session| session.stalled.first()) {
            self.enqueue(LinkIndex::of(at), Queued::Work);
        }
    }

    /// Ends the drain of a sending link that has nothing more to send. Without credit it is over as well, however much
    /// waits; a message whose first frame was sent is finished first.
    pub(super) fn finish_drain(&mut self, at: LinkIndex) {
        let Some(link) = self.links.get_mut(at) else { return };
        if link.role != Role::Sender || !link.drained {
            return;
        }
        let begun = || self.deliveries.get(link.waiting.head).is_some_and(|delivery| delivery.id.is_some());
        if link.waiting.len == 0 || (link.drain && link.credit == 0 && !begun()) {
            link.drained = false;
            if link.drain {
                link.delivery_count = link.delivery_count.wrapping_add(link.credit);
                link.credit = 0;
                link.flow_due = true;
            }
        }
    }

    /// Writes the flow that is due on a link; `None` when there is no room for it.
    pub(super) fn transmit_link_flow(&mut self, at: LinkIndex, tx: &mut TxOf<S>) -> Option<()> {
        let server = self.is_server();
        let window = self.window(self.links.get(at)?.session);
        let link = self.links.get_mut(at)?;
        let session = self.sessions.get_mut(link.session)?;
        session.open_window(window);
        let flow = Flow {
            handle: Some(link.output_handle.into()),
            // Unknown to a receiver until the sender's attach has come.
            delivery_count: (link.role == Role::Sender || link.attach_received).then_some(link.delivery_count),
            link_credit: Some(link.credit),
            // The messages that wait for credit. A receiver may repeat the sender's last value (AMQP 1.0 §2.7.4); the
            // service does so from the start (docs/evidence/service-evidence.md §2), and a client saves the byte.
            available: match link.role {
                Role::Sender => Some(link.waiting.len),
                Role::Receiver => server.then_some(0),
            },
            drain: link.drain,
            ..session.flow()
        };
        if !write_frame(tx, session.channel, &flow) {
            return None;
        }
        if link.role == Role::Sender && link.credit == 0 {
            link.drain = false;
        }
        link.echo_due = false;
        if core::mem::take(&mut link.flow_due) && link.drain {
            self.flag_link(at, flag::DRAIN_SENT);
        }
        Some(())
    }
}
