//! The link up to the service: whether there is a connection, which one it is, when to dial again, why the last one
//! ended, whether this one is to end, and its AMQP sessions.

use super::backoff::{Backoff, HEALTHY};
use super::{Cause, Clock, Failure};
use crate::engine::{Capacity, Connection, ConnectionErrorKind, EngineError, LinkId, SessionId};
use crate::random::Random;
use crate::servicebus::RetryPolicy;
use crate::storage::{Storage, Table, TableOf, room};
use crate::time::{Instant, Millis, Timestamp};
use crate::wire::messaging::Source;
use crate::wire::performative::{Attach, Role, SenderSettleMode, TargetArchetype};
use crate::wire::transaction::Coordinator;
use core::fmt;

/// A connection that ends sooner after the service's open was refused by it.
const BRIEF: Millis = Millis::from_secs(1);

/// What the driver is to do about the transport.
///
/// # Examples
///
/// What a driver without a transport does:
///
/// ```
/// use servicebus_core::machine::Want;
/// use servicebus_core::time::Instant;
///
/// fn next_step(want: Want, now: Instant) -> &'static str {
///     match want {
///         Want::Stop => "return",
///         Want::Dial => "dial",
///         Want::DialAt(at) if at <= now => "dial",
///         Want::DialAt(_) | Want::Nothing => "sleep until woken",
///     }
/// }
/// assert_eq!(next_step(Want::DialAt(Instant::MAX), Instant::ZERO), "sleep until woken");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Open one now.
    Dial,
    /// Open one at this time.
    DialAt(Instant),
    /// Nobody needs one.
    Nothing,
    /// The client is closed: stop.
    Stop,
}

/// How the connection stands.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Phase;
/// use servicebus_core::time::{Duration, Timestamp};
///
/// /// For how long there has been an outage.
/// fn outage(phase: Phase, utc: Timestamp) -> Option<Duration> {
///     match phase {
///         Phase::Recovering(since) => Some(utc.saturating_duration_since(since)),
///         _ => None,
///     }
/// }
/// let phase = Phase::Recovering(Timestamp::from_secs(100));
/// assert_eq!(outage(phase, Timestamp::from_secs(103)), Some(Duration::from_secs(3)));
/// ```
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

/// How the end of a connection affects its users.
#[derive(Debug)]
pub(super) struct Loss<S: Storage> {
    /// Why, in the peer's words where it has said it.
    pub(super) failure: Failure<S>,
    /// The peer has answered our close.
    pub(super) closed: bool,
    /// The first failure in a row.
    pub(super) begins: bool,
    /// It was more than an attempt to connect.
    pub(super) lasted: bool,
    /// It was to end, since nothing needed it for now.
    pub(super) left: bool,
    /// Waiting for the next connection does not help.
    pub(super) gave_up: bool,
    /// How long until the next attempt, in milliseconds.
    pub(super) pause: u32,
}

/// How connections are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// Everything at once, which no connection has shown to work.
    AtOnce,
    /// Step by step, since the last connection, opened at once, failed before the service's open.
    StepByStep,
    /// At once or step by step, for good: the settings say so, or this has worked first.
    Always { at_once: bool },
}

/// What is known of the connection.
// In this order: the places of small fields fit into the instructions of small machines.
#[repr(C)]
pub(super) struct LinkUp<S: Storage> {
    closing: bool,
    close_sent: bool,
    /// The connection ends because nothing needs it for now.
    leaving: bool,
    /// The driver was dropped before the client was closed.
    driver_gone: bool,
    /// A connection was needed when the driver looked last.
    needs: bool,
    opening: Opening,
    container: u32,
    /// Counts connections.
    epoch: u32,
    /// Connections that failed in a row.
    dials: Backoff,
    dial_at: Option<Instant>,
    /// Since when there is no connection, though one was wanted.
    lost_at: Option<Timestamp>,
    /// When the service answered the connection's open.
    opened_at: Option<Instant>,
    /// When the transport was there.
    connected_at: Instant,
    /// Why the last connection ended.
    last_error: Option<Failure<S>>,
    /// Why this connection ends, in the peer's words or the engine's.
    ending: Option<Failure<S>>,
    sessions: Sessions<S>,
}

impl<S: Storage> LinkUp<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(container: u32, sessions: usize, coordinated: bool, at_once: bool) -> Self {
        Self {
            closing: false,
            close_sent: false,
            leaving: false,
            driver_gone: false,
            needs: false,
            opening: if at_once { Opening::AtOnce } else { Opening::Always { at_once } },
            container,
            epoch: 0,
            dials: Backoff::default(),
            dial_at: None,
            lost_at: None,
            opened_at: None,
            connected_at: Instant::ZERO,
            last_error: None,
            ending: None,
            sessions: Sessions::new(sessions, coordinated),
        }
    }

    /// The number in the names of the client's links and containers.
    pub(super) fn container(&self) -> u32 {
        self.container
    }

    /// Which connection this is, or was last.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The id of the current or last connection: unique within this client, and with high probability (32 bits) among
    /// others.
    pub(super) fn connection_id(&self) -> u32 {
        self.container.wrapping_add(self.epoch)
    }

    /// Why the client takes no more calls: it is closed, or its driver is gone.
    pub(super) fn ended(&self) -> Option<Cause> {
        match (self.closing, self.driver_gone) {
            (true, _) => Some(Cause::Closed),
            (false, true) => Some(Cause::DriverStopped),
            (false, false) => None,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The client closes.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn is_driver_gone(&self) -> bool {
        self.driver_gone
    }

    /// The driver has ended, or was dropped.
    pub(super) fn driver_gone(&mut self) {
        self.driver_gone = true;
    }

    /// Whether the connection ends because nothing needs it for now.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The connection is to end, and others may come.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether our close was sent.
    pub(super) fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Whether to close the connection now; true once. `has_any` and `used`: the client has senders or receivers, and
    /// some of them have links.
    pub(super) fn closes(&mut self, has_any: bool, used: bool) -> bool {
        let ends = if self.closing { !has_any } else { self.leaving && !used };
        ends && !core::mem::replace(&mut self.close_sent, true)
    }

    /// What the driver should do about the transport; `needed` by a call, sender or receiver.
    pub(super) fn want(&self, needed: bool) -> Want {
        match self.dial_at {
            _ if self.closing => Want::Stop,
            _ if !needed => Want::Nothing,
            Some(at) => Want::DialAt(at),
            None => Want::Dial,
        }
    }

    /// No pause before the next attempt.
    pub(super) fn dial_now(&mut self) {
        self.dial_at = None;
    }

    /// Whether a connection is needed; true when that has changed.
    pub(super) fn set_needs(&mut self, needs: bool) -> bool {
        core::mem::replace(&mut self.needs, needs) != needs
    }

    /// How the connection stands; `opening` if one comes or is needed.
    pub(super) fn phase(&self, opening: impl FnOnce() -> bool) -> Phase {
        if self.ended().is_some() {
            return Phase::Closed;
        }
        if self.opened_at.is_some() {
            return Phase::Connected;
        }
        if !opening() {
            return Phase::Idle;
        }
        self.lost_at.map_or(Phase::Connecting, Phase::Recovering)
    }

    /// A transport is there.
    pub(super) fn connected(&mut self, now: Instant) {
        self.opened_at = None;
        self.connected_at = now;
        self.epoch = self.epoch.wrapping_add(1);
        self.sessions = Sessions::new(self.sessions.table.capacity(), self.sessions.coordinated);
        self.dial_at = None;
    }

    /// Whether the next connection is opened at once, without a wait for each answer.
    pub(super) fn opens_at_once(&self) -> bool {
        matches!(self.opening, Opening::AtOnce | Opening::Always { at_once: true })
    }

    /// A connection is over. While no way has worked, one that failed before the service's open has the next one opened
    /// in the other way: whether the way was the reason, or the network, shows then.
    pub(super) fn ended_opening(&mut self) {
        if self.opened_at.is_some() || self.leaving {
            return;
        }
        self.opening = match self.opening {
            Opening::AtOnce => Opening::StepByStep,
            Opening::StepByStep => Opening::AtOnce,
            always @ Opening::Always { .. } => always,
        };
    }

    /// The service has answered the open. Returns how long that took.
    pub(super) fn opened(&mut self, now: Instant) -> Millis {
        self.opened_at = Some(now);
        self.opening = Opening::Always { at_once: self.opens_at_once() };
        self.lost_at = None;
        now.left(self.connected_at)
    }

    /// A link is up: what went wrong before is over.
    pub(super) fn works(&mut self) {
        self.last_error = None;
        self.ending = None;
    }

    /// A delivery of the application's has moved.
    pub(super) fn healthy(&mut self) {
        self.dials.healthy();
    }

    /// The peer's close has an error.
    pub(super) fn ends(&mut self, failure: Failure<S>) {
        self.ending = Some(failure);
    }

    /// The connection ends for this reason, unless another one is known.
    pub(super) fn ends_by(&mut self, failure: impl FnOnce() -> Failure<S>) {
        if self.ending.is_none() {
            self.ending = Some(failure());
        }
    }

    /// The error of this connection, or of the last one.
    pub(super) fn known(&self) -> Option<&Failure<S>> {
        self.ending.as_ref().or(self.last_error.as_ref())
    }

    /// Why the last connection ended, or could not be opened.
    pub(super) fn last_error(&self) -> Option<&Failure<S>> {
        self.last_error.as_ref()
    }

    /// Waiting for a connection does not help.
    pub(super) fn hopeless(&self) -> Option<&Failure<S>> {
        self.last_error.as_ref().filter(|failure| self.lost_at.is_some() && !failure.is_transient())
    }

    /// The connection is gone, or could not be opened.
    pub(super) fn lost(
        &mut self,
        clock: Clock,
        failure: Failure<S>,
        retry: &RetryPolicy,
        random: &mut Random,
    ) -> Loss<S> {
        let opened = self.opened_at.take();
        // One that ends sooner was refused: it is no more than an attempt.
        let lasted = opened.is_some_and(|at| at.after(BRIEF) <= clock.now);
        if opened.is_some_and(|at| at.after(HEALTHY) <= clock.now) {
            self.dials.healthy();
        }
        // The peer's reason is more useful than "connection lost".
        let mut failure = self.ending.take().unwrap_or(failure);
        if self.opening == Opening::StepByStep
            && !failure.is_transient()
            && !matches!(failure.cause, Cause::Argument(_))
        {
            // The way of opening may be all that was refused, and the next connection is opened in the other one.
            let cause = Cause::Connection(ConnectionErrorKind::Disconnected);
            failure = Failure::after(cause, Some(&failure));
        }
        let closed = self.close_sent && failure.cause == Cause::Connection(ConnectionErrorKind::ClosedByPeer);
        let begins = self.lost_at.is_none();
        let left = core::mem::take(&mut self.leaving);
        self.close_sent &= self.closing;
        self.dial_at = None;
        if !left {
            self.lost_at = self.lost_at.or(Some(clock.utc));
            self.dials.failed();
            self.dial_at = self.dials.retry_at(retry, clock.now, failure.reason(), random);
        }
        let pause = self.dial_at.map_or(0, |at| at.left(clock.now).get());
        let gave_up = !left && (self.dials.is_exhausted(retry) || !failure.is_transient());
        Loss { failure, closed, begins, lasted: lasted || left, left, gave_up, pause }
    }

    /// Why the last connection ended, for calls that time out while they wait for the next one.
    pub(super) fn keep_error(&mut self, failure: Failure<S>) {
        self.last_error = Some(failure);
    }

    /// Attaches a link on a session for its traffic.
    ///
    /// # Errors
    /// No room for a session, a link or a frame.
    pub(super) fn attach(
        &mut self,
        connection: &mut Connection<S>,
        traffic: Traffic,
        attach: &Attach<'_>,
    ) -> Result<LinkId, EngineError> {
        self.sessions.attach(connection, traffic, attach)
    }

    /// A session is over.
    pub(super) fn session_ended(&mut self, id: SessionId) {
        self.sessions.ended(id);
    }
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Messages of the application.
    Messages,
    /// Requests and their responses.
    Requests,
}

/// An AMQP session.
#[derive(Clone, Copy, Debug)]
struct Session {
    id: SessionId,
    traffic: Traffic,
}

/// The AMQP sessions of a connection. Requests have one of their own, so that neither messages that wait to be taken
/// nor a peer that grants no window for messages can stop tokens and settlements. Where there is one place for a
/// session, they share it. With transactions, requests to entities are on the session of the coordinator.
struct Sessions<S: Storage> {
    /// Each session for messages begins with a coordinator: transactions span entities then.
    coordinated: bool,
    table: TableOf<S, room::Sessions, Session>,
}

impl<S: Storage> Sessions<S> {
    fn new(limit: usize, coordinated: bool) -> Self {
        Self { coordinated, table: Table::bounded(limit) }
    }

    /// Attaches on the newest session for this traffic that has a free handle, or on a new one: the service allows 255
    /// links each. Where no other can begin, on any.
    ///
    /// # Errors
    /// No room for a session, a link or a frame.
    fn attach(
        &mut self,
        connection: &mut Connection<S>,
        traffic: Traffic,
        attach: &Attach<'_>,
    ) -> Result<LinkId, EngineError> {
        let shares = self.table.capacity() == 1;
        let traffic = if shares { Traffic::Messages } else { traffic };
        let mut full = None;
        for own in [true, false] {
            for place in (0..self.table.end()).rev() {
                let found = self.table.get(place).filter(|session| (session.traffic == traffic) == own);
                let Some(&Session { id, .. }) = found else { continue };
                match connection.attach(id, attach) {
                    Err(error @ (EngineError::NoCapacity(Capacity::Links) | EngineError::Detached)) => {
                        full = Some(error);
                    }
                    other => return other,
                }
            }
            if own {
                let error = match self.begin(connection, traffic) {
                    Ok(session) => {
                        if self.coordinated && traffic == Traffic::Messages {
                            coordinate(connection, session, attach.name)?;
                        }
                        return connection.attach(session, attach);
                    }
                    Err(error) => error,
                };
                full.get_or_insert(error);
                if shares || error != EngineError::NoCapacity(Capacity::Sessions) {
                    break;
                }
            }
        }
        Err(full.unwrap_or(EngineError::NoCapacity(Capacity::Sessions)))
    }

    fn begin(&mut self, connection: &mut Connection<S>, traffic: Traffic) -> Result<SessionId, EngineError> {
        let id = match traffic {
            Traffic::Messages => connection.begin(),
            Traffic::Requests => connection.begin_apart(),
        }?;
        if self.table.insert(Session { id, traffic }).is_err() {
            connection.end(id, None);
            return Err(EngineError::NoCapacity(Capacity::Sessions));
        }
        Ok(id)
    }

    /// A session is over.
    fn ended(&mut self, id: SessionId) {
        for place in 0..self.table.end() {
            if self.table.get(place).is_some_and(|session| session.id == id) {
                self.table.free(place);
            }
        }
    }
}

/// Attaches the coordinator that a session begins with. No transaction uses it, as in the official SDKs (recording
/// `transaction-cross-entity`): the service looks at the session's first link.
fn coordinate<S: Storage>(connection: &mut Connection<S>, session: SessionId, name: &str) -> Result<(), EngineError> {
    // Known to the compiler: without transactions none of this is linked.
    if size_of::<crate::storage::TransactionOf<S>>() == 0 {
        return Ok(());
    }
    let mut own = heapless::String::<40>::new();
    fmt::write(&mut own, format_args!("{name}-c")).map_err(|_| EngineError::IllegalState)?;
    let coordinator = Attach {
        snd_settle_mode: SenderSettleMode::Unsettled,
        source: Some(Source::new(Some(&own))),
        target: Some(TargetArchetype::Coordinator(Coordinator { capabilities: None })),
        ..Attach::new(&own, Role::Sender)
    };
    connection.attach(session, &coordinator)?;
    Ok(())
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;
    use alloc::vec::Vec;

    fn clock(millis: u64) -> Clock {
        Clock { now: Instant::from_millis(millis), utc: Timestamp::from_millis(millis as i64) }
    }

    fn lost(link_up: &mut LinkUp<Heap>, at: u64) -> Loss<Heap> {
        let failure = Failure::new(Cause::Connection(ConnectionErrorKind::Disconnected));
        link_up.lost(clock(at), failure, &RetryPolicy::default(), &mut Random::seeded(1))
    }

    #[test]
    fn a_connection_that_lasted_comes_back_at_once_and_one_that_did_not_after_growing_pauses() {
        let mut link_up = LinkUp::<Heap>::new(7, 10, false, false);
        assert_eq!((link_up.want(false), link_up.want(true)), (Want::Nothing, Want::Dial));
        assert_eq!(link_up.phase(|| true), Phase::Connecting);
        link_up.connected(Instant::from_millis(10));
        assert_eq!(link_up.opened(Instant::from_millis(25)), Millis::new(15));
        assert_eq!((link_up.phase(|| true), link_up.connection_id()), (Phase::Connected, 8));
        let first = lost(&mut link_up, 60_000);
        assert!(first.lasted && first.begins && !first.gave_up && first.pause == 0, "{first:?}");
        assert_eq!(link_up.want(true), Want::Dial);
        let second = lost(&mut link_up, 60_001);
        assert!(!second.lasted && !second.begins && second.pause > 0, "{second:?}");
        assert_eq!(link_up.phase(|| true), Phase::Recovering(Timestamp::from_millis(60_000)));
        let third = lost(&mut link_up, 70_000);
        assert!(third.pause > second.pause, "{second:?} {third:?}");
        link_up.dial_now();
        assert_eq!(link_up.want(true), Want::Dial);
    }

    /// The ways in which connections are opened that succeed or fail in turn.
    fn ways(at_once: bool, opens: &[bool]) -> Vec<bool> {
        let mut link_up = LinkUp::<Heap>::new(7, 10, false, at_once);
        let open = |&opens: &bool| {
            let way = link_up.opens_at_once();
            link_up.connected(Instant::ZERO);
            if opens {
                link_up.opened(Instant::ZERO);
            }
            link_up.ended_opening();
            lost(&mut link_up, 10);
            way
        };
        opens.iter().map(open).collect()
    }

    #[test]
    fn until_a_way_of_opening_has_worked_a_failure_has_the_other_one_tried() {
        assert_eq!(ways(true, &[false, false, false, true, false]), [true, false, true, false, false]);
        assert_eq!(ways(true, &[true, false, false]), [true, true, true]);
        assert_eq!(ways(true, &[false, true, false, false]), [true, false, false, false]);
        assert_eq!(ways(false, &[false, true, false]), [false, false, false]);
    }

    #[test]
    fn a_refusal_of_what_was_sent_at_once_is_not_final() {
        for (at_once, refusals) in [(true, [false, true, false]), (false, [true, true, true])] {
            let mut link_up = LinkUp::<Heap>::new(7, 10, false, at_once);
            for gives_up in refusals {
                link_up.connected(Instant::ZERO);
                link_up.ends_by(|| Failure::new(Cause::Connection(ConnectionErrorKind::NoMechanism)));
                link_up.ended_opening();
                let loss = lost(&mut link_up, 10);
                assert_eq!((loss.gave_up, loss.failure.is_transient()), (gives_up, !gives_up), "{at_once} {loss:?}");
            }
        }
    }

    #[test]
    fn what_the_peer_said_about_the_end_comes_before_that_it_is_gone() {
        let mut link_up = LinkUp::<Heap>::new(7, 10, false, false);
        link_up.connected(Instant::ZERO);
        link_up.opened(Instant::ZERO);
        link_up.ends_by(|| Failure::new(Cause::Timeout));
        link_up.ends_by(|| Failure::new(Cause::LinkLost));
        let loss = lost(&mut link_up, 10);
        assert_eq!(loss.failure.cause, Cause::Timeout);
        link_up.keep_error(loss.failure);
        assert_eq!(link_up.known().map(|failure| failure.cause), Some(Cause::Timeout));
        link_up.works();
        assert!(link_up.known().is_none() && link_up.hopeless().is_none());
    }

    #[test]
    fn a_connection_closes_once_when_nothing_uses_it() {
        let mut link_up = LinkUp::<Heap>::new(7, 10, false, false);
        assert!(!link_up.closes(false, false), "nobody has asked for it");
        link_up.leave();
        assert!(!link_up.closes(true, true) && link_up.closes(true, false) && !link_up.closes(true, false));
        link_up.connected(Instant::ZERO);
        let loss = lost(&mut link_up, 10);
        assert!(loss.left && !link_up.is_leaving() && link_up.want(true) == Want::Dial, "{loss:?}");
        link_up.close();
        assert!(!link_up.closes(true, false) && link_up.closes(false, false));
        assert_eq!((link_up.want(true), link_up.ended()), (Want::Stop, Some(Cause::Closed)));
    }
}
