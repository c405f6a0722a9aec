//! How the connection stands, for those who watch it.

use super::calls::{OperationId, State};
use super::{Cause, ClientMachine, Failure, Timer, Want, client};
use crate::storage::Storage;
use crate::time::{Instant, Timestamp};
use core::task::Poll;

/// How the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none, and none is needed.
    Idle,
    /// The first one is being opened.
    Connecting,
    /// It is open.
    Connected,
    /// It was lost, or could not be opened, and is needed: the time is that of the first failure.
    Recovering(Timestamp),
    /// There will be none any more.
    Closed,
}

impl<S: Storage> ClientMachine<S> {
    /// How the connection stands.
    pub fn phase(&self) -> Phase {
        if self.ended().is_some() {
            return Phase::Closed;
        }
        if self.opened_at.is_some() {
            return Phase::Connected;
        }
        let opening = self.connection.is_some() || self.timers.get(Timer::Client, client::OPENING).is_some();
        if !opening && !self.needs_connection(self.poll_want()) {
            return Phase::Idle;
        }
        self.lost_at.map_or(Phase::Connecting, Phase::Recovering)
    }

    /// Why the connection was lost or could not be opened last.
    pub fn last_failure(&self) -> Option<&Failure<S>> {
        self.last_error.as_ref()
    }

    /// Whether there is something to connect for, now or after a pause.
    fn needs_connection(&self, want: Want) -> bool {
        want != Want::Nothing || self.calls.has_pausing()
    }

    /// What the driver is to do about a connection. Those who watch have news when one is needed, and when none is any
    /// more.
    pub fn handle_want(&mut self) -> Want {
        let want = self.poll_want();
        let needs = self.needs_connection(want);
        if core::mem::replace(&mut self.needs, needs) != needs {
            self.notice_watchers();
        }
        want
    }

    /// A slot for a call that waits for another phase; `None` when there are too many calls, or nothing changes any more.
    pub fn start_watch(&mut self) -> Option<OperationId> {
        self.watch(None, State::Watching).ok()
    }

    /// A call that waits until the connection is open, which is opened for it.
    ///
    /// # Errors
    /// As [`ClientMachine::start`].
    pub fn start_opening(&mut self, deadline: Instant) -> Result<OperationId, Failure<S>> {
        let operation = self.watch(Some(deadline), State::Opening)?;
        self.notice_watchers();
        Ok(operation)
    }

    fn watch(&mut self, deadline: Option<Instant>, state: State<S>) -> Result<OperationId, Failure<S>> {
        let operation = self.start(None, deadline)?;
        self.calls.set_state(operation, state);
        self.due = true;
        Ok(operation)
    }

    /// Waits until the connection is open.
    pub fn poll_opened(&mut self, operation: OperationId) -> Poll<Result<(), Failure<S>>> {
        if self.phase() == Phase::Connected {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(result) = self.poll_done(operation) {
            return Poll::Ready(result.and(Err(Failure::new(Cause::Closed))));
        }
        match (&self.last_error, self.lost_at) {
            // Waiting does not help.
            (Some(failure), Some(_)) if !failure.is_transient() => Poll::Ready(Err(failure.clone())),
            _ => Poll::Pending,
        }
    }

    /// The phase may be another one.
    pub(super) fn notice_watchers(&mut self) {
        self.calls.notice_watchers();
    }
}
