//! Cuts a stream of bytes into frames, and changes single frames.

use crate::engine::frame;
use servicebus_core::wire::Reader;
use servicebus_core::wire::frame::{Frame, Kind};
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Received, Rejected};
use servicebus_core::wire::performative::{Detach, ErrorCondition, Performative};

/// Takes the whole frames and protocol headers at the start of `bytes`; the rest stays.
///
/// # Panics
/// When the bytes are no AMQP.
pub fn cut(bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    let mut from = 0;
    loop {
        let rest = &bytes[from..];
        let size = if rest.len() >= 8 && rest.starts_with(b"AMQP") {
            8
        } else {
            match Frame::parse(rest, u32::MAX).expect("a frame") {
                Some(frame) => frame.size,
                None => break,
            }
        };
        units.push(rest[..size].to_vec());
        from += size;
    }
    bytes.drain(..from);
    units
}

/// The channel, performative and payload of an AMQP frame; `None` for headers, SASL frames and heartbeats.
pub(super) fn performative(unit: &[u8]) -> Option<(u16, Performative<'_>, &[u8])> {
    if unit.starts_with(b"AMQP") {
        return None;
    }
    let frame = Frame::parse(unit, u32::MAX).ok()??;
    if frame.kind != Kind::Amqp || frame.body.is_empty() {
        return None;
    }
    let mut reader = Reader::new(frame.body);
    let performative = reader.read().ok()?;
    Some((frame.channel, performative, reader.rest()))
}

/// The frame with its performative changed; other units come back as they are.
pub fn edit(unit: &[u8], change: impl for<'a> FnOnce(&mut Performative<'a>)) -> Vec<u8> {
    let Some((channel, mut performative, payload)) = performative(unit) else { return unit.to_vec() };
    change(&mut performative);
    frame(channel, &performative, payload)
}

/// A closing detach of this handle.
pub(super) fn detach(channel: u16, handle: u32, condition: &str) -> Vec<u8> {
    frame(channel, &Detach { handle, closed: true, error: Some(error(condition)) }, &[])
}

/// An error whose text names the peer.
pub(super) fn error(condition: &str) -> ErrorCondition<'_> {
    ErrorCondition::new(condition).with_description("refused by a sick peer")
}

/// The outcome that a peer gives instead of `accepted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `released`
    Released,
    /// `modified`
    Modified,
    /// `rejected` with this condition.
    Rejected(&'static str),
    /// `received`: no outcome, yet settled.
    Received,
    /// No state at all, yet settled.
    Nothing,
}

impl Verdict {
    pub(super) fn state(self) -> Option<DeliveryState<'static>> {
        let outcome = match self {
            Self::Released => Outcome::Released,
            Self::Modified => Outcome::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: None,
                message_annotations: None,
            }),
            Self::Rejected(condition) => Outcome::Rejected(Rejected { error: Some(error(condition)) }),
            Self::Received => return Some(DeliveryState::Received(Received { section_number: 0, section_offset: 0 })),
            Self::Nothing => return None,
        };
        Some(DeliveryState::Outcome(outcome))
    }
}
