//! Frames: each performative is applied whole before the next is read; those that go out wait in the outbox (AMQP 1.0
//! §2.3).

use super::connection::{ConnectionRole, Ending, Phase};
use super::id::SessionIndex;
use super::reassembly::Destination;
use super::{Capacity, Connection, ConnectionError, EngineError, Handler, Subject, Violation};
use crate::log::Logged;
use crate::storage::{Buffer, RxOf, Storage, TxOf};
use crate::time::Instant;
use crate::wire::frame::{Frame, Kind, Outgoing};
use crate::wire::performative::PerformativeView;
use crate::wire::sasl::SaslFrame;
use crate::wire::{Decode, DecodeError, Decoder, Encode, Full};

/// What is wrong with a frame.
pub(super) enum Wrong {
    /// It ends the connection.
    Connection(Violation),
    /// It ends the session it came on.
    Session(Violation),
    /// A field of it cannot be decoded, which ends the connection.
    Field(DecodeError),
}

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Self::Field(error)
    }
}

pub(super) const OUTBOX_FULL: EngineError = EngineError::NoCapacity(Capacity::Outbox);

/// Writes a frame; false when there is no room for it.
pub(super) fn write_frame(tx: &mut impl Buffer, channel: u16, body: &(impl Encode + Logged)) -> bool {
    let Ok(size) = crate::wire::encode(&Outgoing { kind: Kind::Amqp, channel, body }, tx.spare()) else { return false };
    tx.commit(size);
    log_frame!("sends", channel, body);
    true
}

impl<S: Storage> Connection<S> {
    /// Applies every whole frame in `rx`; what is left there is the start of a frame that is still coming.
    ///
    /// # Errors
    /// The reason why the connection has ended, now or earlier. [`Connection::poll_transmit`] next writes the close
    /// that reports it to the peer; nothing more is read.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::engine::*;
    /// # use servicebus_simulation::{connected, exchange};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # use servicebus_core::time::Instant;
    /// # let (mut client, mut server) = connected();
    /// client.begin()?;
    /// let (mut tx, mut rx) = (Heap::tx(65_536), Heap::rx(65_536));
    /// client.poll_transmit(Instant::ZERO, &mut tx);
    ///
    /// let size = tx.filled().len();
    /// rx.spare()[..size].copy_from_slice(tx.filled());
    /// rx.commit(size);
    /// server.handle_input(Instant::ZERO, &mut rx, &mut ())?;
    /// assert!(matches!(server.poll_event(), Some(Event::SessionBegun(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(never)]
    pub fn handle_input<H: Handler>(
        &mut self,
        now: Instant,
        rx: &mut RxOf<S>,
        handler: &mut H,
    ) -> Result<(), ConnectionError> {
        if !rx.filled().is_empty() {
            self.last_received = now;
        }
        loop {
            if let Some(error) = self.failed {
                rx.clear();
                return Err(error);
            }
            let step = match self.phase {
                Phase::Amqp => self.frame(rx, handler),
                Phase::AwaitMechanisms | Phase::AwaitInit | Phase::AwaitSaslOutcome => self.sasl(rx, handler),
                Phase::AwaitFirstHeader | Phase::AwaitSaslHeader | Phase::AwaitHeader => self.header::<H>(rx),
            };
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => self.fail(error),
            }
        }
    }

    #[inline(never)]
    fn frame<H: Handler>(&mut self, rx: &mut RxOf<S>, handler: &mut H) -> Result<bool, ConnectionError> {
        let limit = self.config.max_frame_size.min(rx.capacity() as u32);
        let Some(frame) = Frame::parse(rx.filled(), limit)? else { return Ok(false) };
        if frame.kind != Kind::Amqp {
            return Err(ConnectionError::Violation(Violation::IllegalState));
        }
        let size = frame.size;
        if frame.body.is_empty() {
            rx.consume(size);
            return Ok(true);
        }
        let mut decoder = Decoder::new(frame.body);
        let performative = PerformativeView::decode(&mut decoder);
        let mut performative = decoder.result(performative)?;
        if H::SERVES {
            // What a client ignores, a server may look at: a frame is right as a whole before any of it is applied.
            performative.whole()?;
        }
        log_frame!("receives", frame.channel, performative);
        if !self.open_received && !matches!(performative, PerformativeView::Open(_)) {
            return Err(ConnectionError::Violation(Violation::IllegalState));
        }
        if self.close_sent && !matches!(performative, PerformativeView::Close(_)) {
            // Nothing may follow our close, so nothing is answered (AMQP 1.0 §2.4.6).
            rx.consume(size);
            return Ok(true);
        }
        let len = decoder.rest().len();
        let destination = match self.apply(frame.channel, &mut performative, len, handler) {
            Ok(destination) => destination,
            Err(Wrong::Connection(violation) | Wrong::Session(violation)) => {
                return Err(ConnectionError::Violation(violation));
            }
            Err(Wrong::Field(error)) => return Err(error.into()),
        };
        self.store::<H>(destination, size - len, size, rx);
        Ok(true)
    }

    /// Applies a performative; `len` bytes follow it in its frame. Returns where these go.
    #[inline(never)]
    fn apply<H: Handler>(
        &mut self,
        channel: u16,
        performative: &mut PerformativeView<'_>,
        len: usize,
        handler: &mut H,
    ) -> Result<Destination, Wrong> {
        let subject = match performative {
            PerformativeView::Open(open) => {
                self.on_open(open)?;
                Subject::Connection
            }
            PerformativeView::Close(_) => {
                self.on_close();
                Subject::Connection
            }
            PerformativeView::Begin(begin) => Subject::Session(self.on_begin::<H>(channel, begin)?),
            _ => {
                let at = self.session_at(channel).ok_or(Wrong::Connection(Violation::IllegalState))?;
                return match self.apply_to(at, performative, len, handler) {
                    Err(Wrong::Session(violation)) => {
                        self.end_session(at, None, Ending(Some(violation)));
                        Ok(Destination::Nowhere)
                    }
                    other => other,
                };
            }
        };
        handler.performative(subject, performative);
        Ok(Destination::Nowhere)
    }

    /// The same on a session.
    fn apply_to<H: Handler>(
        &mut self,
        at: SessionIndex,
        performative: &mut PerformativeView<'_>,
        len: usize,
        handler: &mut H,
    ) -> Result<Destination, Wrong> {
        let Some(id) = self.sessions.id(at) else { return Ok(Destination::Nowhere) };
        let live = self.sessions.get(at).is_some_and(|session| !session.end_sent);
        let mut subject = Subject::Session(id);
        match performative {
            PerformativeView::End(_) => {
                handler.performative(subject, performative);
                self.on_end(at);
                return Ok(Destination::Nowhere);
            }
            // We have ended the session; the peer did not know yet.
            _ if !live => return Ok(Destination::Nowhere),
            PerformativeView::Transfer(transfer) => return self.on_transfer(at, transfer, len, handler),
            PerformativeView::Disposition(disposition) => {
                self.on_disposition(at, disposition, handler)?;
                return Ok(Destination::Nowhere);
            }
            PerformativeView::Attach(attach) => match self.on_attach::<H>(at, attach)? {
                Some(link) => subject = Subject::Link(link),
                None => return Ok(Destination::Nowhere),
            },
            PerformativeView::Flow(flow) => {
                if let Some(link) = self.on_flow(at, flow)? {
                    subject = Subject::Link(link);
                }
            }
            PerformativeView::Detach(detach) => {
                let (handle, closed) = (detach.handle(), detach.closed());
                detach.check()?;
                let Some(link) = self.link_at(at, handle) else { return Ok(Destination::Nowhere) };
                if let Some(id) = self.links.id(link) {
                    handler.performative(Subject::Link(id), performative);
                }
                self.on_detach(link, closed);
                return Ok(Destination::Nowhere);
            }
            _ => return Ok(Destination::Nowhere),
        }
        handler.performative(subject, performative);
        Ok(Destination::Nowhere)
    }

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
