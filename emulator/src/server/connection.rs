//! One connection of AMQP: reading and writing side by side, everything of a wake-up in one write.

use super::{Host, Phase};
use crate::broker::budget::Holding;
use crate::broker::{Broker, ConnectionId};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use servicebus_core::engine::ConnectionError;
use servicebus_core::storage::{Buffer as _, HeapBuffer};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a connection keeps itself: the first read after a pause, and the beginning of a frame.
const SMALL: usize = 2 << 10;

enum Step {
    /// Bytes came in.
    Read,
    /// Bytes went out, and there may be more to send.
    Written,
    /// Another connection made something for this one.
    Woken,
    /// The transport is over, for this reason.
    Over(&'static str),
}

/// The bytes of a connection. The large buffers are there only while bytes move.
struct Lent<'a> {
    host: &'a Host,
    rx: Option<HeapBuffer>,
    tx: Option<HeapBuffer>,
    /// The beginning of a frame, while there is no large buffer.
    begun: Vec<u8>,
}

impl Lent<'_> {
    /// Reads once.
    fn poll_read<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Poll<Step> {
        let mut small = [0; SMALL];
        let mut buffer = match &mut self.rx {
            Some(rx) => ReadBuf::new(rx.spare()),
            None => ReadBuf::new(&mut small),
        };
        let result = Pin::new(&mut *socket).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        match result {
            Poll::Pending => {
                self.shelve_rx();
                return Poll::Pending;
            }
            Poll::Ready(Ok(())) if count > 0 => {}
            Poll::Ready(Ok(())) => return Poll::Ready(Step::Over("the client ended it")),
            Poll::Ready(Err(_)) => return Poll::Ready(Step::Over("the transport failed")),
        }
        if let Some(rx) = &mut self.rx {
            rx.commit(count);
        } else {
            let mut rx = self.host.buffers.rx();
            for bytes in [self.begun.as_slice(), small.get(..count).unwrap_or_default()] {
                // A buffer has room for a frame and more than both of these.
                if let Some(room) = rx.spare().get_mut(..bytes.len()) {
                    room.copy_from_slice(bytes);
                    rx.commit(bytes.len());
                }
            }
            self.begun = Vec::new();
            if count == SMALL {
                // There may be more: the end of the stream and errors show again in the next read.
                let mut buffer = ReadBuf::new(rx.spare());
                if Pin::new(socket).poll_read(cx, &mut buffer).is_ready() {
                    let count = buffer.filled().len();
                    rx.commit(count);
                }
            }
            self.rx = Some(rx);
        }
        Poll::Ready(Step::Read)
    }

    /// Gives the receive buffer back before a wait, unless a good part of a frame is in it.
    fn shelve_rx(&mut self) {
        if let Some(rx) = self.rx.take_if(|rx| rx.filled().len() <= SMALL) {
            self.begun = rx.filled().to_vec();
            self.host.buffers.put_rx(rx);
        }
    }

    /// Bytes of the buffers that the connection keeps while it waits.
    fn memory(&self) -> usize {
        let large = self.rx.as_ref().map_or(0, HeapBuffer::memory) + self.tx.as_ref().map_or(0, HeapBuffer::memory);
        large + self.begun.capacity()
    }

    /// Fetches what the broker has to send. False when there is nothing left and the connection is closed.
    fn fetch(&mut self, id: ConnectionId) -> bool {
        if self.tx.is_some() {
            return true;
        }
        let clock = self.host.clock.now();
        let mut tx = self.host.buffers.tx();
        let wrote = self.host.with(Some(id), |broker| broker.poll_transmit(id, clock, &mut tx));
        if wrote && !tx.filled().is_empty() {
            self.tx = Some(tx);
            return true;
        }
        self.host.buffers.put_tx(tx);
        !self.host.with(Some(id), |broker| broker.is_closed(id))
    }

    /// Writes until nothing is left or the transport takes no more.
    fn poll_write<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Poll<Step> {
        while let Some(tx) = &mut self.tx {
            match Pin::new(&mut *socket).poll_write(cx, tx.filled()) {
                Poll::Ready(Ok(count)) if count > 0 => tx.consume(count),
                Poll::Ready(_) => return Poll::Ready(Step::Over("the transport failed")),
                Poll::Pending => return Poll::Pending,
            }
            if let Some(tx) = self.tx.take_if(|tx| tx.filled().is_empty()) {
                self.host.buffers.put_tx(tx);
                if Pin::new(&mut *socket).poll_flush(cx).map(|done| done.is_err()) == Poll::Ready(true) {
                    return Poll::Ready(Step::Over("the transport failed"));
                }
                return Poll::Ready(Step::Written);
            }
        }
        match Pin::new(socket).poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Step::Over("the transport failed")),
            _ => Poll::Pending,
        }
    }
}

/// `Ok` for a connection that has ended without a fault of what came in: by the client's close, or since it was idle.
fn ended(error: ConnectionError) -> Result<(), ConnectionError> {
    match error {
        ConnectionError::ClosedByPeer | ConnectionError::Disconnected | ConnectionError::IdleTimeout => Ok(()),
        refused => Err(refused),
    }
}

/// Serves a stream of AMQP until it ends. `name` is the host that the transport names, or empty.
pub(super) async fn serve<S>(host: Arc<Host>, mut socket: S, protocol: &'static str, name: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let clock = host.clock.now();
    let id = match host.with(None, |broker| broker.connect_to(clock, name)) {
        Ok(id) => id,
        Err(why) => {
            tracing::warn!(protocol, "refused: {why}");
            return;
        }
    };
    tracing::info!(protocol, "connected");
    let waker = host.waker(id);
    let mut memory = host.budget.empty(Holding::Connections);
    let mut lent = Lent { host: &host, rx: None, tx: None, begun: Vec::new() };
    let mut stopped = pin!(host.reached(Phase::Stopped));
    let reason = loop {
        if !lent.fetch(id) {
            break "closed";
        }
        let mut notified = pin!(waker.notified());
        let step = poll_fn(|cx| {
            if let Poll::Ready(step) = lent.poll_write(cx, &mut socket) {
                return Poll::Ready(step);
            }
            if let Poll::Ready(step) = lent.poll_read(cx, &mut socket) {
                return Poll::Ready(step);
            }
            if notified.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Woken);
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Over("the emulator stops"));
            }
            if memory.resize(lent.memory()).is_err() {
                return Poll::Ready(Step::Over("the memory budget is used up"));
            }
            Poll::Pending
        })
        .await;
        match step {
            Step::Read => {
                if let Some(rx) = &mut lent.rx {
                    let clock = host.clock.now();
                    // The connection's last words, which are written next, tell the client.
                    let result = host.with(Some(id), |broker: &mut Broker| broker.handle_input(id, clock, rx));
                    if let Err(error) = result.or_else(ended) {
                        tracing::warn!(%error, "refused: not AMQP as the service speaks it");
                    }
                }
            }
            Step::Written | Step::Woken => {}
            Step::Over(reason) => break reason,
        }
    };
    tracing::info!(reason, "disconnected");
    let clock = host.clock.now();
    host.with(Some(id), |broker| broker.disconnect(id, clock));
}
