//! Memory that clients can make the process hold: one limit for all of it, over all connections, entities and requests.
//!
//! Every holder keeps a [`Share`], which counts until it is dropped. The counters are atomic, so that sockets and HTTP
//! requests are counted outside of the broker's lock.

use bytes::Bytes;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Holding {
    /// Messages in entities.
    Messages,
    /// States of sessions.
    SessionStates,
    /// Queues, topics, subscriptions and rules, with their names and settings.
    Entities,
    /// Message ids that are remembered for the detection of duplicates.
    MessageIds,
    /// Messages and settlements of open transactions.
    Transactions,
    /// Tokens of connections.
    Tokens,
    /// Messages and requests of which a part has come, requests that wait, messages and responses that the client has not
    /// read.
    Deliveries,
    /// Connections with their buffers, links and control frames.
    Connections,
    /// Bodies of HTTP requests.
    Bodies,
}

impl Holding {
    /// Every use, in the order of [`Budget::used_for`]'s counters.
    pub const ALL: [Self; 9] = [
        Self::Messages,
        Self::SessionStates,
        Self::Entities,
        Self::MessageIds,
        Self::Transactions,
        Self::Tokens,
        Self::Deliveries,
        Self::Connections,
        Self::Bodies,
    ];

    /// A name for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::SessionStates => "session-states",
            Self::Entities => "entities",
            Self::MessageIds => "message-ids",
            Self::Transactions => "transactions",
            Self::Tokens => "tokens",
            Self::Deliveries => "deliveries",
            Self::Connections => "connections",
            Self::Bodies => "bodies",
        }
    }

    /// Whether it stays when its client is gone.
    const fn is_stored(self) -> bool {
        matches!(self, Self::Messages | Self::SessionStates | Self::Entities | Self::MessageIds)
    }
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The memory that the namespace may use is used up. Receive or delete messages, or raise the limit.")
    }
}

impl core::error::Error for OverBudget {}

/// What the process uses.
#[derive(Debug)]
struct Process {
    limit: usize,
    used: AtomicUsize,
    /// The part that is not stored in entities.
    passing: AtomicUsize,
}

#[derive(Debug)]
struct Counters {
    process: Arc<Process>,
    /// What is used of it here: in a namespace, or outside of all.
    by_use: [AtomicUsize; Holding::ALL.len()],
}

/// A limit on memory and what of it is used. Clones share both; the budgets of namespaces share the limit with that of
/// the process, and count their own uses.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counters>);

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

impl Budget {
    /// 1 GiB.
    pub const DEFAULT_LIMIT: usize = 1 << 30;
    /// What a message or session takes beside its bytes: its place in the tables of an entity.
    pub const ENTRY: usize = 512;

    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self::of(Arc::new(Process { limit, used: AtomicUsize::new(0), passing: AtomicUsize::new(0) }))
    }

    fn of(process: Arc<Process>) -> Self {
        let by_use = core::array::from_fn(|_| AtomicUsize::new(0));
        Self(Arc::new(Counters { process, by_use }))
    }

    /// A part of the same budget with uses of its own.
    pub fn of_namespace(&self) -> Self {
        Self::of(Arc::clone(&self.0.process))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.0.process.limit
    }

    /// Bytes in use, over all namespaces.
    pub fn used(&self) -> usize {
        self.0.process.used.load(Ordering::Relaxed)
    }

    /// Bytes in use here for one purpose.
    pub fn used_for(&self, holding: Holding) -> usize {
        self.counter(holding).load(Ordering::Relaxed)
    }

    /// Whether so many more bytes may be used, in large pieces. What is not stored in entities takes half of the limit at
    /// most: clients that never read or never finish cannot keep others from storing messages. What is stored leaves an
    /// eighth.
    pub fn has_room(&self, holding: Holding, bytes: usize) -> bool {
        self.fits(holding, bytes, false)
    }

    /// A client that needs little goes on beside those that hold all they can: small shares find room in another eighth of
    /// the limit, and connections find room where entities are full.
    fn fits(&self, holding: Holding, bytes: usize, small: bool) -> bool {
        let limit = self.limit();
        let fits = |used: &AtomicUsize, limit: usize| {
            used.load(Ordering::Relaxed).checked_add(bytes).is_some_and(|used| used <= limit)
        };
        let reserved = match (holding.is_stored(), small) {
            (true, false) => limit / 8,
            (true, true) => limit / 16,
            (false, _) => 0,
        };
        let passing = if small { limit / 2 + limit / 8 } else { limit / 2 };
        let process = &self.0.process;
        fits(&process.used, limit - reserved) && (holding.is_stored() || fits(&process.passing, passing))
    }

    /// The size up to which a share counts as small.
    fn small(&self) -> usize {
        (16 << 10).min(self.limit() / 64)
    }

    /// Takes a share.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn share(&self, holding: Holding, bytes: usize) -> Result<Share, OverBudget> {
        let mut share = self.empty(holding);
        share.resize(bytes)?;
        Ok(share)
    }

    /// Bytes that take their share with them, until their last clone is dropped.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn keep(&self, holding: Holding, bytes: Bytes) -> Result<Bytes, OverBudget> {
        self.keep_beside(holding, bytes, 0)
    }

    /// The same, with so many bytes more for what is held beside them.
    pub(crate) fn keep_beside(&self, holding: Holding, bytes: Bytes, more: usize) -> Result<Bytes, OverBudget> {
        struct Kept {
            bytes: Bytes,
            _share: Share,
        }
        impl AsRef<[u8]> for Kept {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        let share = self.share(holding, bytes.len() + Self::ENTRY + more)?;
        Ok(Bytes::from_owner(Kept { bytes, _share: share }))
    }

    /// A share without bytes yet.
    pub fn empty(&self, holding: Holding) -> Share {
        Share { budget: self.clone(), holding, bytes: 0 }
    }

    fn counter(&self, holding: Holding) -> &AtomicUsize {
        let [messages, states, entities, ids, transactions, tokens, deliveries, connections, bodies] = &self.0.by_use;
        match holding {
            Holding::Messages => messages,
            Holding::SessionStates => states,
            Holding::Entities => entities,
            Holding::MessageIds => ids,
            Holding::Transactions => transactions,
            Holding::Tokens => tokens,
            Holding::Deliveries => deliveries,
            Holding::Connections => connections,
            Holding::Bodies => bodies,
        }
    }

    /// The counters that a use is part of.
    fn counters(&self, holding: Holding) -> impl Iterator<Item = &AtomicUsize> {
        let process = &self.0.process;
        let passing = (!holding.is_stored()).then_some(&process.passing);
        [&process.used, self.counter(holding)].into_iter().chain(passing)
    }
}

/// A part of the budget that is in use until this is dropped. Holders that copy what they hold for one another, as the
/// subscriptions of a topic do with a message, keep it in an `Arc`.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    holding: Holding,
    bytes: usize,
}

impl Share {
    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its budget has room for so many more bytes of the same use.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.budget.has_room(self.holding, bytes)
    }

    /// One more of the same use, for what is held already.
    pub(crate) fn another(&self, bytes: usize) -> Self {
        let mut share = self.budget.empty(self.holding);
        share.set(bytes);
        share
    }

    /// Makes it larger or smaller. Only growth can be refused, and leaves it as it was then.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.budget.fits(self.holding, more, bytes <= self.budget.small()) {
            return Err(OverBudget);
        }
        self.set(bytes);
        Ok(())
    }

    /// Counts what is held already, within the budget or not.
    pub fn set(&mut self, bytes: usize) {
        let before = core::mem::replace(&mut self.bytes, bytes);
        for counter in self.budget.counters(self.holding) {
            if bytes >= before {
                counter.fetch_add(bytes - before, Ordering::Relaxed);
            } else {
                counter.fetch_sub(before - bytes, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_until_it_is_dropped() {
        let budget = Budget::new(1_000);
        let message = budget.share(Holding::Messages, 600).unwrap();
        assert_eq!((budget.used(), budget.used_for(Holding::Messages), message.bytes()), (600, 600, 600));
        assert_eq!(budget.share(Holding::Messages, 401).map(|share| share.bytes()), Err(OverBudget));
        let mut state = budget.share(Holding::SessionStates, 275).unwrap();
        assert_eq!(state.resize(276), Err(OverBudget));
        state.resize(100).unwrap();
        assert_eq!((budget.used(), state.bytes()), (700, 100));
        drop(message);
        drop(state);
        assert_eq!(Holding::ALL.map(|holding| budget.used_for(holding)), [0; 9]);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn bytes_take_their_share_with_them() {
        let budget = Budget::new(1_000);
        let kept = budget.keep(Holding::SessionStates, Bytes::from_static(b"state")).unwrap();
        assert_eq!(budget.keep(Holding::SessionStates, Bytes::from_static(b"other")), Err(OverBudget));
        let part = kept.slice(1..3);
        drop(kept);
        assert_eq!((&part[..], budget.used()), (&b"ta"[..], 5 + Budget::ENTRY));
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_passes_through_takes_half_at_most() {
        let budget = Budget::new(1_000);
        let mut shares = Vec::new();
        for holding in [Holding::Tokens, Holding::Deliveries, Holding::Connections, Holding::Bodies] {
            shares.push(budget.share(holding, 125).unwrap());
        }
        assert!(budget.share(Holding::Transactions, 16).is_err());
        assert!(budget.share(Holding::Messages, 501).is_err());
        shares.push(budget.share(Holding::Messages, 375).unwrap());
        assert!(budget.share(Holding::Messages, 16).is_err());
        assert_eq!(budget.used(), 875);
    }

    #[test]
    fn namespaces_share_the_limit_and_count_by_themselves() {
        let process = Budget::new(1_000);
        let (one, other) = (process.of_namespace(), process.of_namespace());
        let _held = one.share(Holding::Messages, 600).unwrap();
        assert!(other.share(Holding::Messages, 276).is_err());
        let _beside = other.share(Holding::Messages, 200).unwrap();
        let used = [&one, &other, &process].map(|budget| budget.used_for(Holding::Messages));
        assert_eq!((used, one.used(), process.used()), ([600, 200, 0], 800, 800));
    }

    #[test]
    fn a_small_share_finds_room_beside_large_ones() {
        let budget = Budget::new(64_000);
        let _large = budget.share(Holding::Deliveries, 32_000).unwrap();
        assert!(budget.share(Holding::Deliveries, 1_001).is_err());
        let small: Vec<_> = (0..8).map(|_| budget.share(Holding::Connections, 1_000).unwrap()).collect();
        assert!(budget.share(Holding::Connections, 1_000).is_err());
        drop(small);
        assert_eq!(budget.used(), 32_000);
    }

    #[test]
    fn what_is_held_already_counts_without_being_asked_for() {
        let budget = Budget::new(100);
        let mut share = budget.empty(Holding::Deliveries);
        share.set(usize::MAX);
        assert!(!budget.has_room(Holding::Messages, 1));
        assert!(!budget.has_room(Holding::Messages, usize::MAX));
        share.set(0);
        assert!(budget.has_room(Holding::Messages, 88) && !budget.has_room(Holding::Messages, 89));
        assert!(!budget.has_room(Holding::Deliveries, 51));
    }
}
