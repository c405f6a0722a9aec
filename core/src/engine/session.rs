//! A session endpoint: channels, transfer ids and windows (AMQP 1.0 §2.5).

use super::Farewell;

/// What has changed on a session since its last event.
pub(super) mod flag {
    pub(in crate::engine) const BEGUN: u8 = 1;
    pub(in crate::engine) const ENDED: u8 = 1 << 1;
}

/// The transfer-id of the first frame we send on a session.
const FIRST_OUTGOING_ID: u32 = 1;

#[derive(Debug)]
// In this order: small machines reach small fields that lie in front with shorter instructions.
#[repr(C)]
pub(super) struct Session {
    pub(super) begin_sent: bool,
    pub(super) begin_received: bool,
    pub(super) end_sent: bool,
    pub(super) end_received: bool,
    pub(super) flow_due: bool,
    /// The flow that is due asks the peer for its window: some renew it only when they have something else to say.
    pub(super) echo_due: bool,
    /// The peer has been asked since its window was last open.
    pub(super) asked: bool,
    pub(super) flags: u8,
    pub(super) in_events: bool,
    pub(super) channel: u16,
    /// The transfer-id of the next frame we send.
    pub(super) next_outgoing_id: u32,
    /// The delivery-id of the next delivery we send: contiguous, since some peers drop what jumps
    /// (docs/evidence/wire-protocol.md §0 fact 7).
    pub(super) next_delivery_id: u32,
    /// The transfer-id of the next frame we expect.
    pub(super) next_incoming_id: u32,
    /// Frames the peer may still send before it needs another flow.
    pub(super) incoming_left: u32,
    /// The window that flows renew.
    pub(super) incoming_window: u32,
    /// Frames the peer is ready to take.
    pub(super) peer_incoming_window: u32,
    pub(super) outgoing_window: u32,
    pub(super) handle_max: u32,
    pub(super) peer_handle_max: u32,
    /// Our end is due: the session was not begun from here yet, or the outbox was full.
    pub(super) end_owed: Option<Farewell>,
    pub(super) peer_channel: Option<u16>,
}

impl Session {
    pub(super) fn new(channel: u16, incoming_window: u32, handle_max: u32) -> Self {
        Self {
            channel,
            peer_channel: None,
            begin_sent: false,
            begin_received: false,
            end_sent: false,
            end_received: false,
            end_owed: None,
            next_outgoing_id: FIRST_OUTGOING_ID,
            next_delivery_id: 0,
            next_incoming_id: 0,
            incoming_left: incoming_window,
            incoming_window,
            peer_incoming_window: 0,
            outgoing_window: u32::MAX,
            handle_max,
            // The service's limit, until the peer's begin tells its own.
            peer_handle_max: 255,
            flow_due: false,
            echo_due: false,
            asked: false,
            flags: 0,
            in_events: false,
        }
    }

    /// Whether the session is over for both ends, and its channel free.
    pub(super) fn is_over(&self) -> bool {
        self.end_sent && self.end_received && self.end_owed.is_none()
    }

    pub(super) fn is_live(&self) -> bool {
        !self.end_sent && !self.end_received
    }

    /// Applies the session part of a flow (AMQP 1.0 §2.5.6). Returns whether frames may be sent that could not before.
    pub(super) fn on_flow(&mut self, next_incoming_id: Option<u32>, incoming_window: u32) -> bool {
        let before = self.peer_incoming_window;
        // A peer that has not seen our begin leaves its next-incoming-id out: our first id then counts.
        let seen = next_incoming_id.unwrap_or(FIRST_OUTGOING_ID);
        self.peer_incoming_window = super::remaining(incoming_window, self.next_outgoing_id, seen);
        self.asked &= self.peer_incoming_window == 0;
        before == 0 && self.peer_incoming_window > 0
    }

    /// Counts an incoming transfer frame: `None` when it exceeds the window, else whether the window is to be renewed.
    /// It is renewed at half, whether or not any link has a flow to send (docs/evidence/peers.md: a window that is
    /// never re-advertised without link flow).
    pub(super) fn on_transfer(&mut self) -> Option<bool> {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        self.incoming_left = self.incoming_left.checked_sub(1)?;
        Some(self.incoming_left <= self.incoming_window / 2)
    }
}
