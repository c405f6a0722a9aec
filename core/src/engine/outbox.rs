//! The outbox: frames that go out wait there for room in the transmit buffer.

use super::phase::ConnectionRole;
use super::{Capacity, Connection, EngineError};
use crate::log::Logged;
use crate::storage::{Buffer, Storage, TxOf};
use crate::wire::frame::{Kind, Outgoing};
use crate::wire::sasl::SaslFrame;
use crate::wire::{Encode, Full};

pub(super) const OUTBOX_FULL: EngineError = EngineError::NoCapacity(Capacity::Outbox);

/// Writes a frame; false when there is no room for it.
pub(super) fn write_frame(tx: &mut impl Buffer, channel: u16, body: &(impl Encode + Logged)) -> bool {
    let Ok(size) = crate::wire::encode(&Outgoing { kind: Kind::Amqp, channel, body }, tx.spare()) else { return false };
    tx.commit(size);
    log_frame!("sends", channel, body);
    true
}

impl<S: Storage> Connection<S> {
    /// Bytes of control frames that wait to be sent.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// client.begin()?;
    /// assert!(client.outbox_bytes() > 0);
    /// exchange(&mut client, &mut server);
    /// assert_eq!(client.outbox_bytes(), 0);
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.filled().len()
    }

    /// Whether [`Connection::poll_transmit`] would find something to write.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # let (mut client, mut server) = connected();
    /// assert!(!client.has_output());
    /// client.begin()?;
    /// assert!(client.has_output());
    /// # Ok::<(), servicebus_core::engine::EngineError>(())
    /// ```
    pub fn has_output(&self) -> bool {
        let held = self.role == ConnectionRole::Client && self.released == 0;
        (!self.outbox.filled().is_empty() && !held)
            || self.close_due.is_some()
            || (!self.close_sent
                && self.failed.is_none()
                && self.open_sent
                && (!self.dispositions.is_empty()
                    || !self.work.is_empty()
                    || !self.flows.is_empty()
                    || !self.detaches.is_empty()
                    || !self.ends.is_empty()))
    }

    /// Appends a frame to the outbox, or nothing.
    pub(super) fn push_frame(&mut self, kind: Kind, channel: u16, body: &(impl Encode + Logged)) -> Result<(), Full> {
        self.push_body(kind, channel, body)?;
        if kind == Kind::Amqp {
            log_frame!("sends", channel, body);
        }
        Ok(())
    }

    fn push_body(&mut self, kind: Kind, channel: u16, body: &dyn Encode) -> Result<(), Full> {
        self.outbox.append(&Outgoing { kind, channel, body })
    }

    /// Sends a SASL frame.
    pub(super) fn push_sasl(&mut self, body: &SaslFrame<'_>) {
        let pushed = self.push_frame(Kind::Sasl, 0, body);
        debug_assert!(pushed.is_ok(), "an outbox that was just made has room for SASL frames");
    }

    /// Moves frames that may be sent from the outbox to `tx`; true when the outbox is empty.
    pub(super) fn transmit_outbox(&mut self, tx: &mut TxOf<S>) -> bool {
        loop {
            let pending = self.outbox.filled();
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
            self.freed = true;
            if self.released != usize::MAX {
                self.released -= count;
            }
        }
    }
}
