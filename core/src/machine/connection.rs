//! The connection: it is opened, is over, and what that means to each part.

use super::link_up::Loss;
use super::product;
use super::routes::Routes;
use super::settings::SHORTEST_IDLE;
use super::timers::{Timer, client};
use super::{Cause, ClientMachine, Clock, Failure, Target};
use crate::engine::{self, Connection};
use crate::log::Span;
use crate::storage::{Features, Storage};
use crate::time::Instant;
use crate::wire::Symbol;
use crate::wire::performative::Open;
use crate::wire::sasl::SaslInit;

impl<S: Storage> ClientMachine<S> {
    /// An attempt to connect begins. Returns when its whole opening must be done: transport, TLS, SASL, open and the
    /// first answer of `$cbs`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// let until = machine.handle_dialling(clock);
    /// assert_eq!(until, clock.now + machine.settings().retry.try_timeout);
    /// ```
    pub fn handle_dialling(&mut self, clock: Clock) -> Instant {
        let until = clock.now + self.settings.retry.try_timeout;
        self.timers.set(Timer::Client, client::OPENING, Some(until));
        self.notice_watchers();
        until
    }

    /// The host and port to dial, and whether to encrypt the connection.
    ///
    /// # Errors
    /// A connection string that is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::machine::Target;
    /// assert_eq!(machine.target()?, Target { host: "localhost", port: 5672, tls: false });
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn target(&self) -> Result<Target<'_>, Failure<S>> {
        let parsed = self.settings.parsed()?;
        Ok(Target { host: parsed.host, port: parsed.amqp_port(), tls: parsed.uses_tls() })
    }

    /// A transport is there.
    ///
    /// # Errors
    /// When the outbox cannot hold the first frames.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.handle_connected(clock)?;
    /// assert!(!machine.is_disconnected() && machine.has_work());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn handle_connected(&mut self, clock: Clock) -> Result<(), Failure<S>> {
        let settings = &self.settings;
        let config = engine::Config {
            max_frame_size: settings.max_frame_size,
            idle_time_out: Some(settings.idle_time_out.max(SHORTEST_IDLE)),
            limits: settings.limits,
            ..engine::Config::default()
        };
        let container = Self::name(self.link_up.container(), self.link_up.epoch());
        let host = settings.parsed()?.host;
        let mechanism = Symbol::new("ANONYMOUS");
        let init = SaslInit { mechanism, initial_response: Some(&[]), hostname: Some(host) };
        // Its bounds are those of the engine's configuration.
        let open = Open { hostname: Some(host), properties: Some(product::properties()), ..Open::new(&container) };
        let at_once = self.link_up.opens_at_once();
        let span = Span::connection(self.link_up.epoch().wrapping_add(1), host);
        // Apart from the next line, which builds it in its place: as an argument it would be on the stack.
        self.connection = None;
        self.connection = Some(Connection::silent_client(config, clock.now));
        let Some(connection) = &mut self.connection else { return Err(Failure::new(Cause::Closed)) };
        if let Err(error) = span.within(|| connection.greet(Some(&init), &open, at_once)) {
            self.connection = None;
            return Err(Failure::new(Cause::Engine(error)));
        }
        self.span = span;
        if self.timers.get(Timer::Client, client::OPENING).is_none() {
            let until = clock.now + self.settings.retry.try_timeout;
            self.timers.set(Timer::Client, client::OPENING, Some(until));
        }
        self.link_up.connected(clock.now);
        self.due = true;
        Ok(())
    }

    /// Whether the connection is over, or the client closes while there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(!machine.is_over());
    /// machine.close();
    /// assert!(machine.is_over());
    /// ```
    pub fn is_over(&self) -> bool {
        self.connection.as_ref().map_or(self.link_up.is_closing(), Connection::is_closed)
    }

    /// Whether the connection is over and the transport can be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// assert!(machine.is_disconnected());
    /// machine.handle_connected(clock)?;
    /// assert!(!machine.is_disconnected());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    pub fn is_disconnected(&self) -> bool {
        self.connection.as_ref().is_none_or(Connection::is_closed)
    }

    /// Why the client takes no more calls: it is closed, or its driver is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// use servicebus_core::servicebus::Cause;
    ///
    /// assert_eq!(machine.ended(), None);
    /// machine.close();
    /// assert_eq!(machine.ended(), Some(Cause::Closed));
    /// ```
    pub fn ended(&self) -> Option<Cause> {
        self.link_up.ended()
    }

    /// Whether the driver has ended, or was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// machine.close();
    /// assert!(!machine.is_stopped(), "the driver has yet to see it");
    /// machine.stop();
    /// assert!(machine.is_stopped());
    /// ```
    pub fn is_stopped(&self) -> bool {
        self.link_up.is_driver_gone()
    }

    /// The driver has ended, or it was dropped: every call that waits ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// # use servicebus_core::servicebus::Cause;
    /// machine.stop();
    /// assert_eq!(machine.ended(), Some(Cause::DriverStopped));
    /// ```
    #[inline(never)]
    pub fn stop(&mut self) {
        self.link_up.driver_gone();
        let cause = self.ended().unwrap_or(Cause::Closed);
        if cause == Cause::DriverStopped {
            log!(warn, "the driver was dropped before the client was closed");
        }
        let (connection, channels) = (self.connection.as_ref(), &self.channels);
        self.calls.fail_all(|state| Failure {
            uncertain: Self::may_be_done(connection, channels, state),
            ..Failure::new(cause)
        });
        self.connection = None;
        self.span = Span::default();
        if S::Features::LOCK_RENEWAL {
            self.release_renewals();
        }
        for place in 0..self.links.end() {
            self.drop_endpoint(place);
        }
        for place in 0..self.channels.requests_end() {
            self.free_request(place);
        }
        self.notice_all();
    }

    /// The transport could not be opened, or it is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::machine::{ClientMachine, Clock, Settings};
    /// # use servicebus_core::storage::{Buffer, Heap, Storage};
    /// # let settings = Settings::new(servicebus_simulation::CONNECTION_STRING.into(), 1);
    /// # let (mut machine, clock) = (ClientMachine::<Heap>::new(settings), Clock::default());
    /// use servicebus_core::servicebus::{Cause, Failure};
    ///
    /// machine.handle_connected(clock)?;
    /// machine.handle_disconnected(clock, Failure::new(Cause::Unreachable));
    /// assert!(machine.is_disconnected() && machine.last_failure().is_some());
    /// # Ok::<(), servicebus_core::servicebus::Failure<Heap>>(())
    /// ```
    #[inline(never)]
    pub fn handle_disconnected(&mut self, clock: Clock, failure: Failure<S>) {
        let span = core::mem::take(&mut self.span);
        span.within(|| self.disconnected(clock, failure));
    }

    fn disconnected(&mut self, clock: Clock, failure: Failure<S>) {
        self.timers.stop(Timer::Client, client::OPENING);
        if self.connection.is_some() {
            self.link_up.ended_opening();
        }
        // Until all that it is news for has it, the connection tells of which messages something was written.
        let keeps = self.has_remains();
        let loss = self.link_up.lost(clock, failure, &self.settings.retry, &mut self.random);
        let Loss { failure, lasted, left, gave_up, .. } = loss;
        let connection = self.link_up.epoch();
        match (loss.closed, loss.begins) {
            (true, _) => log!(info, "disconnected", connection = connection),
            // An outage is one warning.
            (false, true) => {
                log!(warn, "disconnected", connection = connection, failure = failure, pause_ms = loss.pause);
            }
            (false, false) => {
                log!(info, "still disconnected", connection = connection, failure = failure, pause_ms = loss.pause);
            }
        }
        for _ in 0..self.channels.count_active() {
            let Some(place) = self.channels.take_active() else { break };
            self.channels.down(place);
            self.timers.stop(Timer::Channel, place);
            let own = self.channels.error(place).cloned();
            // Those that never left wait for the next connection, unless this was no more than an attempt.
            self.lose_requests(place, clock, own.as_ref().unwrap_or(&failure), lasted && !gave_up);
            self.channels.learned_of_loss(place);
        }
        self.links.connection_lost();
        while let Some(place) = self.links.next_active() {
            let Some(endpoint) = self.links.get(place) else { continue };
            let (was_up, in_session, closing) = (endpoint.is_up(), endpoint.is_session(), endpoint.is_closing());
            let leaves = endpoint.leaves(self.connection.as_ref().filter(|_| keeps), true);
            let link = self.link_gone(place, leaves);
            if closing {
                self.drop_endpoint(place);
                continue;
            }
            self.fail_sent(place, &failure);
            if in_session && was_up {
                link.within(|| self.session_detached(place, was_up, &failure));
            } else if gave_up {
                // The reason why the link could not attach is more useful than "connection closed".
                let own = self.links.get_mut(place).and_then(|endpoint| endpoint.take_error());
                self.give_up(place, own.as_ref().unwrap_or(&failure));
            } else {
                if !lasted {
                    // A failed attempt to connect is a failed attempt of the calls that wait for a link: each tries
                    // again as often as its own policy wants.
                    self.fail_idle(place, &failure);
                }
                if (was_up || !lasted || left) && !self.has_pending(place) {
                    // Nobody waits: the next call connects again.
                    self.links.park(place, true);
                }
            }
            // A receive whose time is up has waited for the rest of its credit, which is gone with the link.
            if S::Features::RECEIVERS {
                self.calls.notice_late(place);
            }
            self.links.mark(place);
        }
        self.retire(keeps);
        self.tokens.handle_disconnected(&mut self.timers);
        // For calls that time out while they wait for the next connection.
        self.link_up.keep_error(failure);
        self.notice_watchers();
        // Credentials are asked only while there is a connection: a pending answer is dropped.
        self.timers.stop(Timer::Client, client::CREDENTIAL);
        self.timers.stop(Timer::Client, client::ANSWER);
        self.due = true;
        if self.link_up.is_closing() || left {
            self.notice_all();
        }
    }

    /// Drops the connection, or `keeps` it for the presettled messages on it that no call has taken yet.
    #[inline(never)]
    fn retire(&mut self, keeps: bool) {
        if self.connection.is_none() {
            return;
        }
        self.detaches = false;
        self.routes = Routes::new();
        if S::Features::RECEIVERS {
            self.settlement.clear();
        }
        if S::Features::RECEIVE_AND_DELETE && keeps {
            self.retired.keep_from(&mut self.connection);
        }
        self.connection = None;
    }
}
