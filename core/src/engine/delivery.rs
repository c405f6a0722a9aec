//! A delivery: its payload on the way in or out, and its settlement (AMQP 1.0 §2.6.12).

use super::error::OutcomeKind;
use crate::storage::{Payloads, Storage};
use crate::wire::Tag;
use core::fmt;

/// A message in the payloads of a connection.
type KeptOf<S> = <<S as Storage>::Payloads as Payloads>::Kept;

/// Where a delivery's payload is.
pub(super) enum Stage<S: Storage> {
    /// Waits to be sent, `sent` bytes of it gone; `batchable` when its outcome may wait for others.
    Outgoing { payload: KeptOf<S>, sent: u32, batchable: bool },
    /// Its frames are coming in.
    Assembling(<S::Payloads as Payloads>::Begun),
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

/// A state that needs no bytes beyond its name, so that ranges of it can be told in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Simple {
    Accepted,
    Released,
}

/// What has changed on a delivery since its last event.
pub(super) mod flag {
    pub(in crate::engine) const UPDATED: u8 = 1;
    pub(in crate::engine) const SETTLED: u8 = 1 << 1;
}

#[derive(Debug)]
pub(super) struct Delivery<S: Storage> {
    pub(super) link: u32,
    /// The delivery-id; of an outgoing delivery only once its first frame is written.
    pub(super) id: Option<u32>,
    pub(super) tag: Tag,
    pub(super) format: u32,
    pub(super) stage: Stage<S>,
    /// The next one in its link's chain.
    pub(super) next: u32,
    /// Sent or received as settled.
    pub(super) presettled: bool,
    /// Given to us to be sent, and no byte of it is written.
    pub(super) unsent: bool,
    pub(super) transaction: Option<S::Transaction>,
    /// The application's number for it.
    pub(super) user: Option<u32>,
    /// What our next disposition says, when one is due.
    pub(super) due: Option<(Simple, bool)>,
    pub(super) in_dispositions: bool,
    /// Settled by us; the place is freed when the disposition is written.
    pub(super) settled: bool,
    pub(super) outcome: Option<OutcomeKind>,
    pub(super) flags: u8,
    pub(super) in_events: bool,
}

impl<S: Storage> Delivery<S> {
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn new(link: u32, tag: Tag, format: u32, stage: Stage<S>) -> Self {
        Self {
            link,
            id: None,
            tag,
            format,
            stage,
            next: super::link::NONE,
            presettled: false,
            unsent: false,
            transaction: None,
            user: None,
            due: None,
            in_dispositions: false,
            settled: false,
            outcome: None,
            flags: 0,
            in_events: false,
        }
    }
}
