//! What a namespace counts, so that tests can tell a healthy client from one that reconnects for every message.
// docs/evidence/wire-protocol.md §0 fact 8

/// Counters since the start.
///
/// # Examples
/// ```
/// # use servicebus_core::time::{Duration, Instant, Timestamp};
/// # use servicebus_emulator::Emulator;
/// # use servicebus_emulator::broker::*;
/// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
/// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
/// broker.connect(clock);
/// let counted: Statistics = broker.statistics();
/// assert_eq!((counted.connections_accepted, counted.messages_sent), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// Links attached.
    pub links_attached: u64,
    /// Tokens that clients put.
    pub tokens_put: u64,
    /// Tokens that were refused.
    pub tokens_refused: u64,
    /// Messages taken in.
    pub messages_sent: u64,
    /// Messages handed out.
    pub messages_delivered: u64,
    /// Messages settled by disposition.
    pub settled_on_links: u64,
    /// Messages settled by `update-disposition`.
    pub settled_by_management: u64,
    /// Requests to `$management` nodes.
    pub management_requests: u64,
    /// Locks renewed.
    pub locks_renewed: u64,
    /// Filters that messages of topics were compared with.
    pub filters_evaluated: u64,
    /// Messages, sessions, timers, receivers and entities that the broker looked at: the work it did, whatever the
    /// machine's speed.
    pub entries_touched: u64,
}

impl Statistics {
    /// Names and values, in order.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// for (name, count) in broker.statistics().entries() {
    ///     println!("{name}: {count}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entries(&self) -> [(&'static str, u64); 13] {
        [
            ("connections-accepted", self.connections_accepted),
            ("connections-open", self.connections_open),
            ("links-attached", self.links_attached),
            ("tokens-put", self.tokens_put),
            ("tokens-refused", self.tokens_refused),
            ("messages-sent", self.messages_sent),
            ("messages-delivered", self.messages_delivered),
            ("settled-on-links", self.settled_on_links),
            ("settled-by-management", self.settled_by_management),
            ("management-requests", self.management_requests),
            ("locks-renewed", self.locks_renewed),
            ("filters-evaluated", self.filters_evaluated),
            ("entries-touched", self.entries_touched),
        ]
    }

    /// Counters of two namespaces together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            connections_accepted: self.connections_accepted + other.connections_accepted,
            connections_open: self.connections_open + other.connections_open,
            links_attached: self.links_attached + other.links_attached,
            tokens_put: self.tokens_put + other.tokens_put,
            tokens_refused: self.tokens_refused + other.tokens_refused,
            messages_sent: self.messages_sent + other.messages_sent,
            messages_delivered: self.messages_delivered + other.messages_delivered,
            settled_on_links: self.settled_on_links + other.settled_on_links,
            settled_by_management: self.settled_by_management + other.settled_by_management,
            management_requests: self.management_requests + other.management_requests,
            locks_renewed: self.locks_renewed + other.locks_renewed,
            filters_evaluated: self.filters_evaluated + other.filters_evaluated,
            entries_touched: self.entries_touched + other.entries_touched,
        }
    }

    /// One JSON object of the entries.
    pub(crate) fn to_json(self) -> String {
        let entries = self.entries().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", entries.join(","))
    }
}
