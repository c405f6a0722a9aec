//! The connection's phase, and the calls that watch it.

use super::calls::State;
use super::id::OperationId;
use super::link_up::{Phase, Want};
use super::links::Sort;
use super::{Cause, ClientMachine, Failure, Timer, client};
use crate::storage::Storage;
use crate::time::Instant;
use core::task::Poll;

impl<S: Storage> ClientMachine<S> {
    /// How the connection stands.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::machine::Phase;
    /// assert_eq!(machine.phase(), Phase::Idle);
    /// machine.handle_dialling(clock);
    /// assert_eq!(machine.phase(), Phase::Connecting);
    /// ```
    pub fn phase(&self) -> Phase {
        self.link_up.phase(|| {
            let opens = self.connection.is_some() || self.timers.get(Timer::Client, client::OPENING).is_some();
            opens || self.needs_connection(self.poll_want())
        })
    }

    /// Why the connection was lost or could not be opened last.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::servicebus::{Cause, Failure};
    /// assert!(machine.last_failure().is_none());
    /// machine.handle_disconnected(clock, Failure::new(Cause::Timeout));
    /// assert!(machine.last_failure().is_some());
    /// ```
    pub fn last_failure(&self) -> Option<&Failure<S>> {
        self.link_up.last_error()
    }

    /// Whether there is something to connect for, now or after a pause.
    fn needs_connection(&self, want: Want) -> bool {
        want != Want::Nothing || self.calls.has_pausing()
    }

    /// What the driver is to do about the transport while it has none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::machine::Want;
    /// assert_eq!(machine.poll_want(), Want::Nothing, "there is no receiver and no call");
    /// ```
    #[inline(never)]
    pub fn poll_want(&self) -> Want {
        let waits = self.links.count(Sort::Wanting) > 0 || self.channels.requests_len() > 0;
        self.link_up.want(waits || self.calls.has_opening())
    }

    /// What the driver should do about the connection. Watching calls are notified when a connection becomes needed or
    /// unneeded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::machine::Want;
    /// machine.close();
    /// assert_eq!(machine.handle_want(), Want::Stop);
    /// ```
    pub fn handle_want(&mut self) -> Want {
        let want = self.poll_want();
        let needs = self.needs_connection(want);
        if self.link_up.set_needs(needs) {
            self.notice_watchers();
        }
        want
    }

    /// A slot for a call that waits for another phase; `None` when there are too many calls, or nothing changes any
    /// more.
    #[doc(hidden)]
    pub fn start_watch(&mut self) -> Option<OperationId> {
        self.start_watch_until(None).ok()
    }

    /// The same, until `deadline`.
    ///
    /// # Errors
    /// As [`ClientMachine::start`].
    pub(crate) fn start_watch_until(&mut self, deadline: Option<Instant>) -> Result<OperationId, Failure<S>> {
        self.watch(deadline, State::Watching)
    }

    /// A call that waits until the connection is open, which is opened for it.
    ///
    /// # Errors
    /// As [`ClientMachine::start`].
    #[doc(hidden)]
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
    #[doc(hidden)]
    pub fn poll_opened(&mut self, operation: OperationId) -> Poll<Result<(), Failure<S>>> {
        if self.phase() == Phase::Connected {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(result) = self.poll_done(operation) {
            return Poll::Ready(result.and(Err(Failure::new(Cause::Closed))));
        }
        match self.link_up.hopeless() {
            Some(failure) => Poll::Ready(Err(failure.clone())),
            None => Poll::Pending,
        }
    }

    /// The phase may be another one, or a processor has something else to do.
    pub(crate) fn notice_watchers(&mut self) {
        self.calls.notice_watchers();
    }
}
