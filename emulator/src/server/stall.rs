//! Ends a transport whose client does not read.

use super::ClockSource;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use servicebus_core::time::Duration;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A write that makes no progress for this long fails.
// docs/evidence/field-reports.md A2
const LIMIT: Duration = Duration::from_secs(20);

/// A transport whose writes end in time.
pub(super) struct Stall<S> {
    stream: S,
    clock: ClockSource,
    /// The end of the wait, while a write makes no progress.
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
}

impl<S> Stall<S> {
    pub(super) fn new(stream: S, clock: ClockSource) -> Self {
        Self { stream, clock, timer: None, ended: false }
    }

    /// Passes the result of a write on, unless it has been pending for too long.
    fn limit<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if result.is_ready() {
            self.timer = None;
            return result;
        }
        let timer = self.timer.get_or_insert_with(|| {
            let clock = self.clock.clone();
            let end = clock.now().now + LIMIT;
            Box::pin(async move { clock.sleep_until(end).await })
        });
        timer.as_mut().poll(cx).map(|()| {
            (self.timer, self.ended) = (None, true);
            tracing::warn!(seconds = LIMIT.as_secs(), "ended: the client does not read");
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limit(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        // A flush that is done says nothing of a write that is not.
        if self.timer.is_none() || result.is_pending() || self.ended { self.limit(cx, result) } else { result }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limit(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.limit(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
