//! Deadlines: of the entities, and of each connection and its links.
// docs/evidence/wire-protocol.md §6.4

use super::protocol::attach::condition_of;
use super::protocol::fault::Refusal;
use super::protocol::link::Purpose;
use super::protocol::peer::Peer;
use super::shared::Shared;
use super::signals::Update;
use super::{Broker, Clock, ConnectionId, NamespaceId};
use servicebus_core::servicebus::Reason;
use servicebus_core::storage::Table;
use servicebus_core::time::{Duration, Instant};

/// A connection must show a token within this time.
const TOKEN_WAIT: Duration = Duration::from_secs(20);
/// A client that was told `close` must answer within this time.
const CLOSE_WAIT: Duration = Duration::from_secs(20);
/// A connection whose links are all gone is closed after this time, and
const LINKLESS: Duration = Duration::from_secs(300);
/// one that never had any after this.
const NEVER_LINKED: Duration = Duration::from_secs(60);

/// Connections that one call looks at: the rest is due in the next.
const MAX_CONNECTIONS: usize = 1_000;
/// Links and tokens of these connections that one call looks at.
const MAX_LINKS: usize = 4_000;

fn linkless_limit(peer: &Peer) -> Duration {
    if peer.had_links { LINKLESS } else { NEVER_LINKED }
}

fn deadline(peer: &Peer, clock: Clock) -> Option<Instant> {
    if peer.closed || peer.engine.is_closed() {
        return None;
    }
    if let Some(since) = peer.closing_since {
        return Some(since + CLOSE_WAIT);
    }
    let mut first = peer.engine.poll_timeout().map(|(at, _)| at);
    let mut consider = |at: Instant| first = Some(first.map_or(at, |first| first.min(at)));
    if !peer.access.is_authorized() {
        consider(peer.connected + TOKEN_WAIT);
    }
    if !peer.has_entity_links() {
        consider(peer.linkless + linkless_limit(peer));
    }
    if let Some(at) = peer.next_link_timer() {
        consider(at);
    }
    if let Some(at) = Shared::next_token_expiry(peer, clock.utc) {
        consider(clock.instant_of(at));
    }
    first
}

impl Shared {
    /// When something is due in the namespace, its connections left out.
    fn poll_timeout(&self, clock: Clock) -> Option<Instant> {
        if self.namespace.has_signals() {
            // More than one call carries out.
            return Some(clock.now);
        }
        let entities = self.namespace.poll_timeout().map(|at| clock.instant_of(at));
        let update = self.updates.front().map(Update::at);
        [entities, self.transactions.poll_timeout(), update].into_iter().flatten().min()
    }
}

impl Broker {
    /// Sets the timer of a connection anew.
    pub(super) fn set_timer(&mut self, id: ConnectionId, clock: Clock) {
        let Some(peer) = self.peers.find_mut(id.0) else { return };
        let next = deadline(peer, clock);
        let index = id.0.index;
        if peer.timer != next {
            if let Some(old) = peer.timer {
                self.timers.remove(&(old, index));
            }
            peer.timer = next;
            if let Some(next) = next {
                self.timers.insert((next, index));
            }
        }
    }

    /// The time of a namespace's entities moves on.
    pub(super) fn advance(&mut self, namespace: NamespaceId, clock: Clock) {
        self.clock = clock;
        let Shared { transactions, namespace: entities, .. } = self.namespaces.get_mut(namespace);
        transactions.handle_timeout(entities, clock.now);
        if entities.poll_timeout().is_some_and(|at| at <= clock.utc) {
            entities.handle_timeout(clock.utc);
        }
        self.run_signals(namespace, clock);
    }

    /// When [`Broker::handle_timeout`] is to be called.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().broker(clock)?;
    /// assert_eq!(broker.poll_timeout(), None);
    /// broker.connect(clock);
    /// assert!(broker.poll_timeout().is_some_and(|at| at > clock.now));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connections = self.timers.first().map(|(at, _)| *at);
        let namespaces = self.namespaces.all().filter_map(|shared| shared.poll_timeout(self.clock));
        connections.into_iter().chain(namespaces).min()
    }

    /// Carries out what is due; then ask [`Broker::poll_ready`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// # let id = broker.connect(clock).ok_or("there is no room")?;
    /// let later = clock.after(Duration::from_secs(60));
    /// broker.handle_timeout(later);
    /// assert_eq!(broker.poll_ready(), Some(id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle_timeout(&mut self, clock: Clock) {
        for namespace in self.namespaces.ids() {
            self.advance(namespace, clock);
        }
        // A connection is looked at once per call: what it finds not yet due is set again behind this moment.
        let mut due = Vec::new();
        while due.len() < MAX_CONNECTIONS && self.timers.first().is_some_and(|(at, _)| *at <= clock.now) {
            let Some((_, index)) = self.timers.pop_first() else { break };
            let Some(id) = self.peers.key(index).map(ConnectionId) else { continue };
            if let Some((shared, peer)) = self.find(id) {
                shared.namespace.work().add(1);
                peer.timer = None;
            }
            due.push(id);
        }
        let mut left = MAX_LINKS;
        for id in due {
            self.connection_timeout(id, &mut left, clock);
            self.run_events(id, &mut Vec::new(), clock);
            self.run_signals(self.namespace_id(id), clock);
            self.mark_ready(id);
            self.set_timer(id, clock);
            // A heartbeat stays due until it is written: look again a little later.
            if let Some(peer) = self.peers.find_mut(id.0)
                && let Some(timer) = peer.timer
                && timer <= clock.now
                && left > 0
            {
                let later = clock.now + Duration::from_millis(100);
                self.timers.remove(&(timer, id.0.index));
                peer.timer = Some(later);
                self.timers.insert((later, id.0.index));
            }
        }
    }

    fn connection_timeout(&mut self, id: ConnectionId, left: &mut usize, clock: Clock) {
        let Some((shared, peer)) = self.find(id) else { return };
        if let Some(since) = peer.closing_since {
            // Nothing else counts any more. What the connection holds goes when its end is seen.
            if clock.now >= since + CLOSE_WAIT {
                peer.engine.handle_disconnect();
            }
            return;
        }
        peer.engine.handle_timeout(clock.now);
        if !peer.access.is_authorized() && clock.now >= peer.connected + TOKEN_WAIT {
            let text = "The connection was not authorized within 20000 milliseconds and is closed.";
            return close_with(shared, peer, Refusal::new(Reason::ConnectionForced, text), clock);
        }
        let limit = linkless_limit(peer);
        if !peer.has_entity_links() && clock.now >= peer.linkless + limit {
            let text = format!(
                "The connection was inactive for more than the allowed {} milliseconds and is closed by container \
                 'LinkTracker'.",
                limit.as_millis()
            );
            return close_with(shared, peer, Refusal::orderly(text), clock);
        }
        while *left > 0
            && let Some(link) = peer.next_due_link(clock.now)
        {
            *left -= 1;
            shared.namespace.work().add(1);
            let Some(found) = peer.link(link) else { continue };
            match &found.purpose {
                Purpose::Accepting { allotted, consumer, .. } => {
                    let consumer = *consumer;
                    let text = format!(
                        "The operation did not complete within the allotted timeout of {}. The time allotted to this \
                         operation may have been a portion of a longer timeout.",
                        time_span(*allotted)
                    );
                    shared.forget_consumer(consumer, clock);
                    if let Some(found) = shared.take_link(peer, link) {
                        peer.note_linkless(clock.now);
                        let refusal = Refusal::new(Reason::Timeout, text);
                        shared.refuse(peer, link, &found.name, &found.path, refusal, clock);
                    }
                }
                Purpose::Sender { .. } | Purpose::Receiver(_) => {
                    let (code, who) = match found.purpose {
                        Purpose::Sender { .. } => ("publisher", "AmqpMessagePublisher"),
                        _ => ("consumer", "AmqpMessageConsumer"),
                    };
                    let text = format!(
                        "The link '{}' is force detached. Code: {code}(link{}). Details: {who}.IdleTimerExpired: Idle \
                         timeout: 00:10:00.",
                        found.name,
                        link.index()
                    );
                    shared.detach(peer, link, Refusal::new(Reason::DetachForced, text), clock);
                }
                _ => {}
            }
        }
        shared.expire_tokens(peer, left, clock);
    }

    /// Closes a connection by force.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let id = broker.connect(clock).ok_or("there is no room")?;
    /// broker.close_connection(id, clock);
    /// assert_eq!(broker.poll_ready(), Some(id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close_connection(&mut self, id: ConnectionId, clock: Clock) {
        if let Some((shared, peer)) = self.find(id) {
            close_with(shared, peer, Refusal::orderly("The connection was closed on request."), clock);
        }
        self.set_timer(id, clock);
        self.mark_ready(id);
    }
}

/// Closes a connection with an error, once; its timer is to be set anew.
pub(super) fn close_with(shared: &mut Shared, peer: &mut Peer, refusal: Refusal, clock: Clock) {
    if peer.closing_since.is_some() {
        return;
    }
    if !peer.opened {
        // Nothing can be said before `open`, and a client that is opening would wait for its answer.
        peer.engine.handle_disconnect();
        return;
    }
    let fault = shared.fault(refusal, "", clock);
    peer.engine.close(Some(&condition_of(&fault)));
    peer.closing_since = Some(clock.now);
}

/// A duration as .NET writes it.
fn time_span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let ticks = duration.subsec_nanos() / 100;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if ticks == 0 {
        format!("{hours:02}:{minutes:02}:{rest:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{rest:02}.{ticks:07}")
    }
}
