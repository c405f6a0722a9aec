//! Frames that come in: each performative is applied whole before the next is read (AMQP 1.0 §2.3).

use super::id::SessionIndex;
use super::phase::{Ending, Phase};
use super::reassembly::Destination;
use super::wrong::Wrong;
use super::{Connection, ConnectionError, Handler, Subject, Violation};
use crate::storage::{Buffer, RxOf, Storage};
use crate::time::Instant;
use crate::wire::frame::{Frame, Kind};
use crate::wire::performative::PerformativeView;
use crate::wire::{Decode, Decoder};

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
}
