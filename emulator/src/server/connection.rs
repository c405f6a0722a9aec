//! One socket: reading and writing side by side, everything of a wake-up in one write.

use super::Host;
use crate::broker::Broker;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use servicebus_core::storage::{Rx as _, Tx as _};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

enum Step {
    /// Bytes came in.
    Read(usize),
    /// Bytes went out, and there may be more to say.
    Written,
    /// Another connection made something for this one.
    Woken,
    /// The socket is over.
    Over,
}

/// Serves a socket until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(host: Arc<Host>, mut socket: S) {
    let clock = host.clock.now();
    let Some(id) = host.with(None, |broker| broker.connect(clock)) else { return };
    let waker = host.waker(id);
    let mut stopped = host.stop.subscribe();
    let (mut rx, mut tx) = (Broker::rx(), Broker::tx());
    let mut open = true;
    while open {
        // The buffer bounds what waits for a slow peer; the rest stays in the broker.
        if tx.filled().is_empty() {
            let clock = host.clock.now();
            let wrote = host.with(Some(id), |broker| broker.poll_transmit(id, clock, &mut tx));
            if !wrote && host.with(Some(id), |broker| broker.is_closed(id)) {
                break;
            }
        }
        let mut notified = pin!(waker.notified());
        let mut stop = pin!(stopped.wait_for(|stop| *stop));
        let step = poll_fn(|cx| {
            let mut written = false;
            while !tx.filled().is_empty() {
                match Pin::new(&mut socket).poll_write(cx, tx.filled()) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        tx.consume(count);
                        written = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(Step::Over),
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(Err(_)) = Pin::new(&mut socket).poll_flush(cx) {
                return Poll::Ready(Step::Over);
            }
            if written && tx.filled().is_empty() {
                return Poll::Ready(Step::Written);
            }
            let mut buffer = ReadBuf::new(rx.spare());
            match Pin::new(&mut socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Step::Over),
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Read(buffer.filled().len())),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::Over),
                Poll::Pending => {}
            }
            if notified.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Woken);
            }
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Over);
            }
            Poll::Pending
        })
        .await;
        match step {
            Step::Read(count) => {
                rx.commit(count);
                let clock = host.clock.now();
                // What is wrong with the input is told to the peer by what is written next.
                let _ = host.with(Some(id), |broker| broker.handle_input(id, clock, &mut rx));
            }
            Step::Written | Step::Woken => {}
            Step::Over => open = false,
        }
    }
    let clock = host.clock.now();
    host.with(Some(id), |broker| broker.disconnect(id, clock));
}
