//! Deadlines that have passed: each is handed to the part that set it.

use super::backoff::Backoff;
use super::timers::{Timer, client};
use super::{Cause, ClientMachine, Clock, Failure};
use crate::engine::{Connection, LinkId};
use crate::storage::{Features, Storage};
use crate::time::{Duration, Instant};

impl<S: Storage> ClientMachine<S> {
    /// Deadlines have passed. Without any it does nothing.
    ///
    /// # Examples
    ///
    /// A server that never answers:
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # let mut clock = clock;
    /// machine.handle_connected(clock)?;
    /// while !machine.is_over() {
    ///     let Some(at) = machine.poll_timeout() else { break };
    ///     clock.now = clock.now.max(at);
    ///     machine.handle_timeout(clock);
    /// #   let mut tx = Heap::tx(512);
    /// #   machine.poll_transmit(clock, &mut tx);
    /// }
    /// assert_eq!(clock.now.as_micros(), 60_000_000, "the time of an attempt");
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn handle_timeout(&mut self, clock: Clock) {
        self.within(|machine| machine.handle_timers(clock));
    }

    /// Handles due work and passed deadlines without a transport; returns whether more is left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.handle_due(clock, None), "nothing is to be done");
    /// ```
    pub fn handle_due(&mut self, clock: Clock, deadline: Option<Instant>) -> bool {
        self.within(|machine| {
            if deadline.is_none_or(|deadline| deadline <= clock.now) {
                machine.handle_timers(clock);
            }
            machine.act(clock);
            machine.process_events(clock);
            machine.timers.announced();
            machine.is_due()
        })
    }

    #[inline(never)]
    fn handle_timers(&mut self, clock: Clock) {
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(clock.now);
        }
        while let Some((timer, entry)) = self.timers.pop(clock.now) {
            match timer {
                Timer::Token => {
                    self.tokens.handle_timer(entry);
                    self.due = true;
                }
                Timer::Link => self.link_timer(entry, clock),
                Timer::Credit => self.credit_timer(entry, clock),
                Timer::Prefetched => {
                    if S::Features::PREFETCH {
                        self.pause_idle(entry, clock);
                    }
                }
                Timer::Call => self.call_timer(entry, clock),
                Timer::Client if entry == client::OPENING => self.opening_expired(clock),
                Timer::Client if entry == client::CREDENTIAL => self.credential_expired(),
                Timer::Client => self.answer_missing(),
                Timer::Channel => self.channel_timer(entry, clock),
                Timer::ChannelIdle => self.channel_idle(entry, clock),
                Timer::Request => self.request_expired(entry, clock),
                Timer::Renewal => {
                    if S::Features::LOCK_RENEWAL {
                        self.renew(entry, clock);
                    }
                }
            }
        }
        #[cfg(feature = "alloc")]
        self.slot_wait.handle_timeout(clock.now);
        self.process_events(clock);
        self.timers.announced();
    }

    /// An opening that takes longer than an attempt may is given up, transport and all.
    fn opening_expired(&mut self, clock: Clock) {
        let Some(connection) = &mut self.connection else { return };
        // A credential that is slow is not the connection's fault.
        if connection.is_open() && !self.tokens.awaits_service() {
            // A policy without time must not look again at once.
            let at = clock.now + self.settings.retry.try_timeout.max(Duration::from_secs(1));
            self.timers.set(Timer::Client, client::OPENING, Some(at));
            return;
        }
        self.drop_connection("the connection was not open in the time of an attempt");
    }

    /// The peer has not answered our close; or it is time to see whether it has answered attaches or their detaches. Where
    /// neither is answered still, the connection goes: such a link keeps its place.
    fn answer_missing(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if self.link_up.close_sent() {
            return connection.handle_disconnect();
        }
        let owed = connection.look_for_answers();
        self.detaches = owed.is_some();
        if owed == Some(true) {
            self.drop_connection("links are not answered");
        }
        // To look again.
        self.due = true;
    }

    /// Detaches a link; whether it is answered is looked for in its time.
    #[inline(never)]
    pub(super) fn detach(&mut self, link: LinkId) {
        if let Some(connection) = &mut self.connection {
            let _ = connection.detach(link, true, None);
            self.detaches = true;
            self.due = true;
        }
    }

    /// Gives up a connection whose peer is late, transport and all.
    fn drop_connection(&mut self, late: &'static str) {
        self.link_up.ends_by(|| Failure::explained(Cause::Timeout, &late));
        if let Some(connection) = &mut self.connection {
            connection.handle_disconnect();
        }
    }

    /// The next point in time at which [`ClientMachine::handle_timeout`] is due; there may be nothing to do then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert_eq!(machine.poll_timeout(), None);
    /// machine.handle_dialling(clock);
    /// assert_eq!(machine.poll_timeout(), Some(clock.now + machine.settings().retry.try_timeout));
    /// ```
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline(self.connection.as_ref().and_then(Connection::poll_timeout).map(|(at, _)| at))
    }

    /// The next point in time at which [`ClientMachine::handle_due`] is due.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.handle_dialling(clock);
    /// let deadline = machine.poll_timeout_without_output();
    /// assert!(!machine.handle_due(clock, deadline));
    /// ```
    pub fn poll_timeout_without_output(&self) -> Option<Instant> {
        self.next_deadline(self.connection.as_ref().and_then(Connection::poll_idle_timeout))
    }

    fn next_deadline(&self, connection: Option<Instant>) -> Option<Instant> {
        let own = self.timers.next();
        #[cfg(feature = "alloc")]
        let own = self.slot_wait.next(own);
        // Nothing is tried any more on a connection that has failed.
        match connection.filter(|_| self.connection.as_ref().is_some_and(|connection| connection.failure().is_none())) {
            Some(at) => Some(own.map_or(at, |own| own.min(at))),
            None => own,
        }
    }

    /// When to try again after a failure; `None` for at once.
    #[inline(never)]
    pub(super) fn retry_at(&mut self, backoff: Backoff, now: Instant, failure: &Failure<S>) -> Option<Instant> {
        backoff.retry_at(&self.settings.retry, now, failure.reason(), &mut self.random)
    }
}
