//! Scripted peers without I/O: one implementation answers in virtual time and over sockets.

use servicebus_core::time::Instant;
use std::fmt;
use std::rc::Rc;

/// One end of a connection, driven from outside.
///
/// ```text
/// peer.connected(now)
/// bytes that came:               peer.input(now, bytes)   only while the last output `reads`
/// after that, and at next():     peer.output(now)         only while there is room for its bytes
/// ```
pub trait Peer {
    /// The connection is open.
    fn connected(&mut self, now: Instant);

    /// The other end sent `bytes`.
    fn input(&mut self, now: Instant, bytes: &[u8]);

    /// Returns what the peer does at this moment.
    fn output(&mut self, now: Instant) -> Output;

    /// When [`Peer::output`] is to be called next if nothing comes in.
    fn next(&self) -> Option<Instant>;

    /// The unread bytes that the pipe to it holds before the other end's writes wait. Zero is a socket whose buffer is
    /// full.
    fn window(&self) -> usize {
        65_536
    }
}

/// What a [`Peer`] does at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The bytes that it sends.
    pub bytes: Vec<u8>,
    /// Whether it reads from now on. While it does not, the other end's writes fill the pipe and then wait.
    pub reads: bool,
    /// Whether it closes the connection behind `bytes`.
    pub closes: bool,
}

impl Output {
    /// Reads and sends nothing.
    pub const NOTHING: Self = Self { bytes: Vec::new(), reads: true, closes: false };
}

/// How a dial ends.
#[expect(missing_debug_implementations, reason = "a peer need not be printable")]
pub enum Answer {
    /// This peer accepts it.
    Accepts(Box<dyn Peer>),
    /// The connection is refused.
    Refuses,
    /// Neither: the dial waits until the client cancels it.
    Nothing,
}

/// Makes the peer of each connection.
#[derive(Clone)]
pub struct Factory(Rc<dyn Fn() -> Answer>);

impl Factory {
    /// A factory that calls `make` for each dial.
    pub fn new(make: impl Fn() -> Answer + 'static) -> Self {
        Self(Rc::new(make))
    }

    pub(crate) fn answer(&self) -> Answer {
        (self.0)()
    }
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Factory")
    }
}

impl PartialEq for Factory {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Factory {}
