//! A link endpoint: attachment, credit and the deliveries that wait on it (AMQP 1.0 §2.6).

use super::{Farewell, Violation};
use crate::storage::Place;
use crate::wire::performative::{ReceiverSettleMode, Role, SenderSettleMode};

/// The end of a chain of deliveries.
pub(super) const NONE: u32 = u32::MAX;

/// What has changed on a link since its last event.
pub(super) mod flag {
    pub(in crate::engine) const ATTACHED: u8 = 1;
    pub(in crate::engine) const CREDIT: u8 = 1 << 1;
    pub(in crate::engine) const READABLE: u8 = 1 << 2;
    pub(in crate::engine) const DRAIN: u8 = 1 << 3;
    pub(in crate::engine) const DRAINED: u8 = 1 << 4;
    pub(in crate::engine) const DETACHED: u8 = 1 << 5;
}

/// First-in-first-out chain of delivery places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) len: u32,
}

impl Chain {
    pub(super) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };
}

#[derive(Debug)]
// In this order: small machines reach small fields that lie in front with shorter instructions.
#[repr(C)]
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
    pub(super) flow_due: bool,
    pub(super) echo_due: bool,
    pub(super) in_work: bool,
    pub(super) flags: u8,
    pub(super) in_events: bool,
    pub(super) session: u32,
    pub(super) output_handle: u32,
    pub(super) delivery_count: u32,
    /// Where the count began: what a receiver means that has not seen it yet.
    pub(super) initial_delivery_count: u32,
    /// Deliveries that may still be sent (sender) or may still come (receiver).
    pub(super) credit: u32,
    /// The highest delivery-count that was ever promised to the peer: lowering the credit does not take back what is
    /// under way.
    pub(super) ceiling: u32,
    pub(super) available: u32,
    /// The largest message we accept; zero for no limit, and four gigabytes are as good as none.
    pub(super) max_message_size: u32,
    /// The largest message the peer accepts; zero for no limit.
    pub(super) peer_max_message_size: u32,
    /// The delivery whose frames are coming in.
    pub(super) assembling: u32,
    /// Our detach is due, and whether it closes: the link was not answered yet, or the outbox was full.
    pub(super) detach_owed: Option<(Farewell, bool)>,
    /// What the peer did wrong, when that is why we detached.
    pub(super) fault: Option<Violation>,
    /// Deliveries to be sent (sender) or to be taken (receiver).
    pub(super) waiting: Chain,
    /// A hash of the name: replies are matched by it, and the name itself is the application's to keep.
    pub(super) name: u64,
    pub(super) input_handle: Option<Place>,
}

/// A limit on messages as links keep it.
pub(super) fn limit(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl Link {
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn new(session: u32, role: Role, name: u64) -> Self {
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
            detach_owed: None,
            fault: None,
            delivery_count: 0,
            initial_delivery_count: 0,
            credit: 0,
            ceiling: 0,
            drain: false,
            drained: false,
            available: 0,
            max_message_size: 0,
            peer_max_message_size: 0,
            waiting: Chain::EMPTY,
            assembling: NONE,
            flow_due: false,
            echo_due: false,
            in_work: false,
            flags: 0,
            in_events: false,
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attach_sent && self.attach_received && !self.detach_sent && !self.detach_received
    }

    /// Whether the link is over for both ends, and its handles free.
    pub(super) fn is_over(&self) -> bool {
        self.detach_sent && self.detach_received && self.detach_owed.is_none()
    }

    /// Whether frames on this link still mean anything to us.
    pub(super) fn is_live(&self) -> bool {
        !self.detach_sent && !self.detach_received
    }

    /// Deliveries that may still arrive by what was promised.
    pub(super) fn promised(&self) -> u32 {
        match self.role {
            Role::Receiver => self.ceiling.wrapping_sub(self.delivery_count),
            Role::Sender => 0,
        }
    }

    /// Sets the credit of a receiving link.
    pub(super) fn set_credit(&mut self, credit: u32) {
        self.credit = credit;
        let limit = self.delivery_count.wrapping_add(credit);
        // Serial arithmetic (RFC 1982): the ceiling only rises.
        if (limit.wrapping_sub(self.ceiling) as i32) > 0 {
            self.ceiling = limit;
        }
        self.flow_due = true;
    }

    /// Applies the flow of a receiver to our sending link (AMQP 1.0 §2.6.7). Returns whether the credit rose.
    pub(super) fn on_receiver_flow(&mut self, delivery_count: Option<u32>, credit: u32, drain: bool) -> bool {
        // A receiver that has not seen our attach leaves its delivery-count out: our initial one then counts.
        let seen = delivery_count.unwrap_or(self.initial_delivery_count);
        let left = super::remaining(credit, self.delivery_count, seen);
        let rose = left > self.credit;
        self.credit = left;
        self.drain = drain;
        rose
    }

    /// Applies the flow of a sender to our receiving link.
    pub(super) fn on_sender_flow(&mut self, delivery_count: Option<u32>, available: Option<u32>) {
        if let Some(count) = delivery_count {
            let advanced = count.wrapping_sub(self.delivery_count);
            // A sender moves its count ahead only to use up credit, and never beyond what it was promised.
            if advanced <= self.promised() {
                self.delivery_count = count;
                self.credit = self.credit.saturating_sub(advanced);
            }
        }
        self.available = available.unwrap_or(self.available);
    }

    /// Ends a drain once the sender has used up all of its credit, by messages, by its flow or by both: a sender that
    /// has used it up by messages may not send a flow. Returns whether the drain has ended. A flow that crossed the
    /// request on its way says nothing of it, so only the count decides.
    pub(super) fn end_drain(&mut self) -> bool {
        let ended = self.drain && self.promised() == 0 && self.assembling == NONE;
        if ended {
            self.drain = false;
            self.credit = 0;
        }
        ended
    }
}
