//! A stream for tests: its input is scripted, or answers each request; its output is kept.

#[cfg(any(feature = "http", feature = "proxy"))]
use super::network::Network;
use crate::driver::Transport;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
#[cfg(any(feature = "http", feature = "proxy"))]
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};
use std::io;

/// Both halves of a stream, and the test's handle on it.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) incoming: Rc<RefCell<VecDeque<u8>>>,
    pub(super) written: Rc<RefCell<Vec<u8>>>,
    /// The peer does not read.
    pub(super) blocks: Rc<Cell<bool>>,
    /// The peer has reset the connection: writes fail.
    pub(super) fails: Rc<Cell<bool>>,
    /// What comes in after every flush.
    answer: Rc<str>,
    closes: Closes,
}

/// Counters of closed streams.
#[derive(Clone, Default)]
pub(super) struct Closes {
    /// How many of the next closes never complete.
    pub(super) stalled: Rc<Cell<usize>>,
    /// How many have completed.
    pub(super) completed: Rc<Cell<usize>>,
}

impl Script {
    pub(super) fn answering(answer: &str) -> Self {
        Self { answer: answer.into(), ..Self::default() }
    }
}

impl ErrorType for Script {
    type Error = io::Error;
}

impl Read for Script {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|_| {
            let mut incoming = self.incoming.borrow_mut();
            let count = incoming.len().min(buffer.len());
            for (place, byte) in buffer.iter_mut().zip(incoming.drain(..count)) {
                *place = byte;
            }
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        })
        .await
    }
}

impl Write for Script {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|_| if self.blocks.get() { Poll::Pending } else { Poll::Ready(()) }).await;
        if self.fails.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.incoming.borrow_mut().extend(self.answer.bytes());
        Ok(())
    }
}

impl Transport for Script {
    type Error = io::Error;
    type Reader<'a> = Self;
    type Writer<'a> = Self;

    fn split(&mut self) -> (Self, Self) {
        (self.clone(), self.clone())
    }

    async fn close(self) -> io::Result<()> {
        let Closes { stalled, completed } = &self.closes;
        if let Some(left) = stalled.get().checked_sub(1) {
            stalled.set(left);
            pending::<()>().await;
        }
        completed.set(completed.get() + 1);
        Ok(())
    }
}

/// Streams that answer every request alike, and where they went.
#[cfg(any(feature = "http", feature = "proxy"))]
pub(super) struct Answering {
    pub(super) answer: &'static str,
    pub(super) connected: Rc<RefCell<Vec<(String, u16)>>>,
    /// Shared by all streams.
    pub(super) closes: Closes,
}

#[cfg(any(feature = "http", feature = "proxy"))]
impl Answering {
    pub(super) fn new(answer: &'static str) -> Self {
        Self { answer, connected: Rc::default(), closes: Closes::default() }
    }
}

#[cfg(any(feature = "http", feature = "proxy"))]
impl Network for Answering {
    type Stream = Script;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Script> {
        self.connected.borrow_mut().push((host.into(), port));
        Ok(Script { closes: self.closes.clone(), ..Script::answering(self.answer) })
    }
}

pub(super) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The result of a future that has nothing to wait for.
pub(super) fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}
