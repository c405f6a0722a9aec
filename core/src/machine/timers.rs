//! The deadlines of all parts: one for each entry and reason.

use crate::storage::{Deadlines, ROWS, Storage};
use crate::time::{Instant, Millis};

/// What a deadline is for. Its entry is an index: of a token, a sender or receiver, a call, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A token is put again.
    Token,
    /// A link is attached again; one that is up has lived long enough to be healthy.
    Link,
    /// A drain has taken too long, or nothing has come on a link with credit.
    Credit,
    /// A call ends.
    Call,
    /// The client's own, by the numbers in [`client`].
    Client,
    /// A channel is attached again; one that is up has lived long enough to be healthy.
    Channel,
    /// A channel without requests is let go.
    ChannelIdle,
    /// A request gets no response any more.
    Request,
    /// A lock is renewed.
    Renewal,
    /// Messages that were fetched ahead are given back.
    Prefetched,
}

/// The entries of the client's own deadlines.
pub(super) mod client {
    /// The peer's answer to our close, and before that to our detaches.
    pub(in super::super) const ANSWER: u32 = 0;
    /// The whole opening of the connection: transport, SASL, open and the first answer of `$cbs`.
    pub(in super::super) const OPENING: u32 = 1;
    /// The credential's answer.
    pub(in super::super) const CREDENTIAL: u32 = 2;
}

/// In the order of the rows that storage has for them.
const TIMERS: [Timer; ROWS] = [
    Timer::Token,
    Timer::Link,
    Timer::Credit,
    Timer::Call,
    Timer::Client,
    Timer::Channel,
    Timer::ChannelIdle,
    Timer::Request,
    Timer::Renewal,
    Timer::Prefetched,
];

const _: () = {
    let mut row = 0;
    while row < TIMERS.len() {
        assert!(TIMERS[row] as usize == row, "a timer's number is its row");
        row += 1;
    }
};

/// Deadlines by reason and entry.
pub(super) struct Timers<S: Storage> {
    deadlines: S::Deadlines,
    /// The earliest is earlier than the driver knows.
    moved: bool,
}

impl<S: Storage> Timers<S> {
    pub(super) fn new() -> Self {
        Self { deadlines: Deadlines::empty(), moved: false }
    }

    /// The deadline of an entry.
    pub(super) fn get(&self, timer: Timer, entry: u32) -> Option<Instant> {
        self.deadlines.get(timer as usize, entry)
    }

    /// Sets or clears the deadline of an entry.
    pub(super) fn set(&mut self, timer: Timer, entry: u32, at: Option<Instant>) {
        self.moved |= self.deadlines.set(timer as usize, entry, at);
    }

    /// Sets the deadline of an entry, so long from now on.
    pub(super) fn start(&mut self, timer: Timer, entry: u32, now: Instant, millis: Millis) {
        self.set(timer, entry, Some(now.after(millis)));
    }

    /// Clears the deadline of an entry.
    pub(super) fn stop(&mut self, timer: Timer, entry: u32) {
        self.set(timer, entry, None);
    }

    /// When [`Timers::pop`] may have a deadline that has passed.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Takes a deadline that has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Timer, u32)> {
        let (row, entry) = self.deadlines.pop(now)?;
        Some((*TIMERS.get(row)?, entry))
    }

    /// Whether [`Timers::next`] is earlier than when the driver asked last.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    /// A deadline that is kept elsewhere is earlier than the driver knows.
    #[cfg(feature = "alloc")]
    pub(super) fn moves(&mut self) {
        self.moved = true;
    }

    /// The driver asks for [`Timers::next`] now.
    pub(super) fn announced(&mut self) {
        self.moved = false;
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;

    #[test]
    fn a_deadline_is_taken_once_with_its_reason() {
        let mut timers = Timers::<Heap>::new();
        let at = Instant::from_millis;
        timers.set(Timer::Renewal, 3, Some(at(20)));
        timers.set(Timer::Call, 7, Some(at(10)));
        timers.set(Timer::Link, 1, Some(at(5)));
        timers.set(Timer::Link, 1, None);
        assert!(timers.has_moved());
        timers.announced();
        timers.set(Timer::Token, 0, Some(at(30)));
        assert!(!timers.has_moved(), "a later deadline wakes nobody");
        assert_eq!(timers.pop(at(4)), None);
        assert_eq!(timers.pop(at(20)), Some((Timer::Call, 7)));
        assert_eq!(timers.pop(at(20)), Some((Timer::Renewal, 3)));
        assert_eq!((timers.pop(at(20)), timers.next()), (None, Some(at(30))));
    }
}
