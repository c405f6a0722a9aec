//! Transactions: what waits for a commit, the bytes that are reserved for it, and its two minutes.

use super::ConnectionId;
use super::admission::Target;
use super::backlog::Backlog;
use super::budget::{Budget, Holding, OverBudget, Share};
use super::change::Settlement;
use super::entities::store::MAX_TIMERS;
use super::entities::{EntityError, Message, Namespace, StoreId};
use super::id_map::{IdMap, IdSet};
use super::plan::{Balance, Plan, StateGrowth, not_scheduled};
use bytes::Bytes;
use core::fmt;
use servicebus_core::engine::{LinkId, SessionId};
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::{Duration, Instant, Timestamp};
use std::collections::hash_map::IntoIter;
use std::collections::{BTreeMap, VecDeque};
use std::iter::{self, Repeat, Zip};
use std::vec;

/// Operations of a transaction at most.
const MAX_OPERATIONS: usize = 10_000;
/// Messages sent in a transaction at most.
// docs/evidence/field-reports.md F42
const MAX_SENDS: usize = 100;
/// Transactions of a namespace at most.
const MAX_TRANSACTIONS: usize = 10_000;
/// Transactions of a connection at most that are remembered as timed out.
const MAX_TIMED_OUT: usize = 1_000;
/// A transaction that is not discharged is rolled back.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a transaction takes beside its operations.
const TRANSACTION: usize = 1_024;

fn over(error: OverBudget) -> TransactionError {
    TransactionError::Refused(error.into())
}

/// Why an operation is not part of a transaction, or a transaction not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransactionError {
    /// Not declared on this connection, or discharged.
    Unknown,
    /// Rolled back after its two minutes.
    TimedOut(Vec<u8>),
    /// Too many transactions are open.
    TooMany,
    /// It has too many operations.
    TooManyOperations,
    /// It has too many sends.
    TooManySends,
    /// It would belong to two entities.
    SpansEntities,
    /// It would belong to two partitions of an entity.
    SpansPartitions,
    /// The operation itself is refused.
    Refused(EntityError),
    /// The commit failed.
    RolledBack(EntityError),
    /// Something of it was refused that was sent settled, so that it could not be told before.
    Incomplete,
}

/// The text for what may not span entities, with transactions or without.
pub(crate) const SPANS_ENTITIES: &str =
    "Local transactions cannot span multiple top-level entities such as queue or topic.";

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("Transaction hasn't been declared yet, or has already been discharged."),
            Self::TimedOut(id) => {
                f.write_str("No active Transaction was found for ID 'txn:")?;
                for byte in id {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str(
                    "'. The Transaction may have timed out or attempted to span multiple top-level entities such as \
                     Queue or Topic. The server Transaction timeout is: 00:02:00.",
                )
            }
            Self::TooMany => f.write_str("Too many transactions are open."),
            Self::TooManyOperations => f.write_str("The transaction has too many operations."),
            Self::TooManySends => {
                write!(f, "Cannot send more than {MAX_SENDS} messages in a single transaction.")
            }
            Self::SpansEntities => f.write_str(SPANS_ENTITIES),
            Self::SpansPartitions => f.write_str("A transaction cannot span multiple partitions of an entity."),
            Self::Refused(error) => error.fmt(f),
            Self::RolledBack(error) => write!(f, "The transaction was rolled back. {error}"),
            Self::Incomplete => {
                f.write_str("The transaction was rolled back. Something that was sent settled was refused.")
            }
        }
    }
}

/// Something that happens when a transaction commits.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Messages for an entity; a scheduled one has its number already.
    Send { entity: String, messages: Vec<Message> },
    /// The end of locks, each held in one of these stores: what one request settles is enlisted as a whole or not at all.
    Settle { stores: Vec<StoreId>, tokens: Vec<LockToken>, settlement: Settlement },
    /// Scheduled messages taken back.
    Cancel { entity: String, numbers: Vec<i64> },
    /// The state of a session.
    SessionState { store: StoreId, session: String, state: Option<Bytes> },
}

impl Operation {
    /// Bytes that it takes beside those of its messages, which are counted by themselves.
    fn bytes(&self) -> usize {
        const OPERATION: usize = 256;
        /// A token, number or session, here and in a set or map of the transaction.
        const ENTRY: usize = 64;
        let own = match self {
            Self::Send { entity, .. } => entity.len(),
            Self::Settle { stores, tokens, settlement } => {
                size_of_val(&stores[..]) + tokens.len() * ENTRY + settlement.size()
            }
            Self::Cancel { entity, numbers } => entity.len() + numbers.len() * ENTRY,
            // In the operation, and in the transaction's growth of states.
            Self::SessionState { session, .. } => 2 * session.len() + ENTRY,
        };
        OPERATION + own
    }

    /// Plans the operation; what is planned earlier counts.
    fn plan(&self, plan: &mut Plan<'_>) -> Result<(), EntityError> {
        match self {
            Self::Send { entity, messages } => plan.send_batch(entity, messages.clone()),
            Self::Settle { stores, tokens, settlement } => {
                tokens.iter().try_for_each(|token| plan.settle(stores, *token, settlement))
            }
            Self::Cancel { entity, numbers } => plan.cancel(entity, numbers),
            Self::SessionState { store, session, state } => plan.set_session_state(*store, session, state.clone()),
        }
    }

    /// What it belongs to; `None` for what is not there, which the plan refuses.
    ///
    /// # Errors
    /// [`TransactionError::SpansPartitions`].
    fn scope(&self, namespace: &Namespace) -> Result<Option<Scope>, TransactionError> {
        let Some((entity, messages)) = self.subject(namespace) else { return Ok(None) };
        let Ok(target) = Target::find(namespace, &entity) else { return Ok(None) };
        let partition = target.partition_of(messages).map_err(|_| TransactionError::SpansPartitions)?;
        Ok(Some(Scope { entity, arrivals: target.arrivals, partition, balance: Balance::default() }))
    }

    /// The entity that it is about, and its messages that say in which partition.
    fn subject<'a>(&'a self, namespace: &'a Namespace) -> Option<(String, Vec<&'a Message>)> {
        Some(match self {
            // A batch is of one partition, which is checked with its other messages.
            Self::Send { entity, messages } => (entity.clone(), messages.first().into_iter().collect()),
            Self::Cancel { entity, .. } => (entity.clone(), Vec::new()),
            Self::SessionState { store, .. } => (namespace.top_level(*store)?.to_owned(), Vec::new()),
            Self::Settle { stores, tokens, .. } => {
                let find = |token: &LockToken| {
                    let store = namespace.find_lock(stores, *token).ok()?;
                    Some((store, namespace.store(store)?.under_lock(*token)?.0))
                };
                let found = tokens.iter().map(find).collect::<Option<Vec<_>>>()?;
                let (store, _) = found.first()?;
                (namespace.top_level(*store)?.to_owned(), found.iter().map(|(_, message)| *message).collect())
            }
        })
    }

    /// The scheduled messages that it takes back.
    fn cancelled(&self, namespace: &Namespace) -> Vec<(StoreId, i64)> {
        match self {
            Self::Cancel { entity, numbers } => {
                let store = namespace.schedule_store(entity).ok();
                store.into_iter().flat_map(|store| numbers.iter().map(move |number| (store, *number))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The locks that it ends.
    fn tokens(&self) -> &[LockToken] {
        match self {
            Self::Settle { tokens, .. } => tokens,
            _ => &[],
        }
    }
}

/// A queue or topic that a transaction belongs to.
#[derive(Debug)]
struct Scope {
    entity: String,
    /// Where its messages come in: another entity that gets the name later is not meant.
    arrivals: StoreId,
    /// Its partition, where there is one.
    partition: Option<String>,
    /// The bytes that it gains and loses.
    balance: Balance,
}

impl Scope {
    /// Whether the entity is there.
    fn is_there(&self, namespace: &Namespace) -> bool {
        namespace.store(self.arrivals).is_some()
    }
}

/// What a client has begun and not ended.
#[derive(Debug)]
struct Transaction {
    ends: Instant,
    serial: u64,
    /// The session whose links it may span entities on, if any.
    session: Option<SessionId>,
    operations: Vec<Operation>,
    sends: usize,
    settled: IdSet<LockToken>,
    /// The scheduled messages that it takes back.
    cancelled: IdSet<(StoreId, i64)>,
    /// What is reserved for the states of sessions, in the balances of its entities.
    state_growth: StateGrowth,
    /// The entities that it belongs to.
    scopes: Vec<Scope>,
    /// Its part of the memory budget.
    share: Share,
    /// Whether something that was sent settled was refused: nobody has heard of it.
    is_incomplete: bool,
}

/// By their ids.
type OfLink = IdMap<Vec<u8>, Transaction>;
/// The same of a control link that is gone, with its connection.
type EndedOfLink = Zip<Repeat<ConnectionId>, IntoIter<Vec<u8>, Transaction>>;

#[derive(Debug, Default)]
struct OfConnection {
    /// Those that are open, by their control links.
    open: IdMap<LinkId, OfLink>,
    /// The control link of each. One whose link is gone stays until it is let go.
    links: IdMap<Vec<u8>, LinkId>,
    /// Ids of those that were rolled back after their time, the latest last.
    timed_out: VecDeque<Vec<u8>>,
}

impl OfConnection {
    fn find(&self, id: &[u8]) -> Option<&Transaction> {
        self.open.get(self.links.get(id)?)?.get(id)
    }

    fn find_mut(&mut self, id: &[u8]) -> Option<&mut Transaction> {
        self.open.get_mut(self.links.get(id)?)?.get_mut(id)
    }

    fn remove(&mut self, id: &[u8]) -> Option<Transaction> {
        let link = self.links.remove(id)?;
        let of_link = self.open.get_mut(&link)?;
        let transaction = of_link.remove(id);
        if of_link.is_empty() {
            self.open.remove(&link);
        }
        transaction
    }
}

/// All transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Whether every transaction may span entities.
    pub(crate) span_entities: bool,
    connections: IdMap<ConnectionId, OfConnection>,
    /// By their ends.
    timers: BTreeMap<(Instant, u64), (ConnectionId, Vec<u8>)>,
    serial: u64,
    now: Instant,
    /// Those whose control link is gone.
    ended: Backlog<EndedOfLink>,
    /// Operations of those that are rolled back.
    remains: Backlog<vec::IntoIter<Operation>>,
}

impl Transactions {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// When the next one ends; at once while there is something to be let go.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !(self.ended.is_empty() && self.remains.is_empty()) {
            return Some(Instant::ZERO);
        }
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Rolls back those whose time is over, up to a bound. The rest is due at once, and takes nothing in.
    pub(crate) fn handle_timeout(&mut self, namespace: &mut Namespace, now: Instant) {
        self.now = now;
        let end = namespace.work().done() + MAX_TIMERS;
        while namespace.work().done() < end
            && let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now)
        {
            let (connection, id) = entry.remove();
            let Some(found) = self.connections.get_mut(&connection) else { continue };
            if let Some(transaction) = found.remove(&id) {
                if found.timed_out.len() == MAX_TIMED_OUT {
                    found.timed_out.pop_front();
                }
                found.timed_out.push_back(id);
                self.remains.push(transaction.end(namespace));
            }
        }
        self.let_go(namespace, end);
    }

    /// Rolls back what has ended, until so many entries have been looked at.
    fn let_go(&mut self, namespace: &mut Namespace, end: u64) {
        while namespace.work().done() < end {
            if self.remains.next().is_some() {
                namespace.work().add(1);
            } else if let Some((connection, (id, transaction))) = self.ended.next() {
                if let Some(found) = self.connections.get_mut(&connection) {
                    found.links.remove(&id);
                }
                self.timers.remove(&(transaction.ends, transaction.serial));
                self.remains.push(transaction.end(namespace));
            } else {
                break;
            }
        }
    }

    /// Begins one.
    pub(crate) fn declare(
        &mut self,
        connection: ConnectionId,
        link: LinkId,
        id: Vec<u8>,
        session: Option<SessionId>,
        budget: &Budget,
        now: Instant,
    ) -> Result<(), TransactionError> {
        if self.len() >= MAX_TRANSACTIONS {
            return Err(TransactionError::TooMany);
        }
        self.serial += 1;
        let (serial, ends) = (self.serial, now + TIMEOUT);
        let transaction = Transaction {
            ends,
            serial,
            session,
            operations: Vec::new(),
            sends: 0,
            settled: IdSet::default(),
            cancelled: IdSet::default(),
            state_growth: StateGrowth::default(),
            scopes: Vec::new(),
            share: budget.share(Holding::Transactions, TRANSACTION).map_err(over)?,
            is_incomplete: false,
        };
        self.timers.insert((ends, serial), (connection, id.clone()));
        let of_connection = self.connections.entry(connection).or_default();
        of_connection.links.insert(id.clone(), link);
        of_connection.open.entry(link).or_default().insert(id, transaction);
        Ok(())
    }

    fn missing(&self, connection: ConnectionId, id: &[u8]) -> TransactionError {
        let timed_out = self.connections.get(&connection).is_some_and(|found| {
            found.find(id).is_some_and(|due| due.ends <= self.now) || found.timed_out.iter().any(|of| of == id)
        });
        if timed_out { TransactionError::TimedOut(id.to_vec()) } else { TransactionError::Unknown }
    }

    /// Checks that a transaction of this connection is open: others cannot take part.
    // docs/evidence/pinned-behaviour.md TXN13
    pub(crate) fn check(&self, connection: ConnectionId, id: &[u8]) -> Result<(), TransactionError> {
        let found = self.connections.get(&connection).and_then(|found| found.find(id));
        if found.is_some_and(|found| found.ends > self.now) { Ok(()) } else { Err(self.missing(connection, id)) }
    }

    /// Adds an operation, which came on this session, to a transaction, and reserves what it needs.
    pub(crate) fn enlist(
        &mut self,
        namespace: &mut Namespace,
        connection: ConnectionId,
        id: &[u8],
        session: SessionId,
        operation: Operation,
        utc: Timestamp,
    ) -> Result<(), TransactionError> {
        self.check(connection, id)?;
        let all = self.span_entities;
        let found = self.connections.get_mut(&connection).and_then(|found| found.find_mut(id));
        let transaction = found.ok_or(TransactionError::Unknown)?;
        let spans = all || transaction.session == Some(session);
        let before = transaction.share.bytes();
        transaction.share.resize(before + operation.bytes()).map_err(over)?;
        let added = transaction.add(namespace, spans, operation, utc);
        if added.is_err() {
            // What is refused is not kept.
            transaction.share.set(before);
        }
        added
    }

    /// Notes that an operation of a transaction was refused and its client cannot be told: the commit fails.
    pub(crate) fn note_incomplete(&mut self, connection: ConnectionId, id: &[u8]) {
        if let Some(found) = self.connections.get_mut(&connection).and_then(|found| found.find_mut(id)) {
            found.is_incomplete = true;
        }
    }

    fn take(
        &mut self,
        namespace: &mut Namespace,
        connection: ConnectionId,
        id: &[u8],
    ) -> Result<Transaction, TransactionError> {
        self.check(connection, id)?;
        let found = self.connections.get_mut(&connection).and_then(|found| found.remove(id));
        let transaction = found.ok_or(TransactionError::Unknown)?;
        self.timers.remove(&(transaction.ends, transaction.serial));
        transaction.give_back(namespace);
        Ok(transaction)
    }

    /// Ends a transaction without effect.
    pub(crate) fn roll_back(
        &mut self,
        namespace: &mut Namespace,
        connection: ConnectionId,
        id: &[u8],
    ) -> Result<(), TransactionError> {
        self.take(namespace, connection, id).map(|_| ())
    }

    /// Carries everything out, or nothing: also where an entity is gone, whatever has its name by now.
    pub(crate) fn commit(
        &mut self,
        namespace: &mut Namespace,
        connection: ConnectionId,
        id: &[u8],
        utc: Timestamp,
    ) -> Result<(), TransactionError> {
        let transaction = self.take(namespace, connection, id)?;
        if transaction.is_incomplete {
            return Err(TransactionError::Incomplete);
        }
        transaction.check_entities(namespace).map_err(TransactionError::RolledBack)?;
        namespace
            .execute(utc, |plan| transaction.operations.iter().try_for_each(|operation| operation.plan(plan)))
            .map_err(TransactionError::RolledBack)
    }

    /// Rolls back what was begun on a control link that is gone, in parts: nobody finds it any more.
    pub(crate) fn roll_back_link(&mut self, namespace: &mut Namespace, connection: ConnectionId, link: LinkId) {
        let found = self.connections.get_mut(&connection).and_then(|found| found.open.remove(&link));
        if let Some(of_link) = found {
            self.ended.push(iter::repeat(connection).zip(of_link));
            self.let_go(namespace, namespace.work().done() + MAX_TIMERS);
        }
    }

    /// Rolls back what a connection began that is gone, in parts.
    pub(crate) fn roll_back_connection(&mut self, namespace: &mut Namespace, connection: ConnectionId) {
        let Some(found) = self.connections.remove(&connection) else { return };
        self.ended.extend(found.open.into_values().map(|of_link| iter::repeat(connection).zip(of_link)));
        self.let_go(namespace, namespace.work().done() + MAX_TIMERS);
    }
}

impl Transaction {
    fn add(
        &mut self,
        namespace: &mut Namespace,
        spans: bool,
        operation: Operation,
        utc: Timestamp,
    ) -> Result<(), TransactionError> {
        if self.operations.len() >= MAX_OPERATIONS || self.settled.len() + operation.tokens().len() > MAX_OPERATIONS {
            return Err(TransactionError::TooManyOperations);
        }
        let sends = match &operation {
            Operation::Send { messages, .. } => messages.len(),
            _ => 0,
        };
        if self.sends + sends > MAX_SENDS {
            return Err(TransactionError::TooManySends);
        }
        if operation.tokens().iter().any(|token| self.settled.contains(token)) {
            // Within the transaction the lock is gone already (docs/evidence/pinned-behaviour.md SET33).
            return Err(TransactionError::Refused(EntityError::MessageLockLost));
        }
        let cancelled = operation.cancelled(namespace);
        if let Some((_, number)) = cancelled.iter().find(|place| self.cancelled.contains(*place)) {
            // The same for a message that it has taken back.
            return Err(TransactionError::Refused(not_scheduled(*number)));
        }
        self.check_entities(namespace).map_err(TransactionError::Refused)?;
        let scope = operation.scope(namespace)?;
        if let Some(scope) = &scope {
            self.check_scope(scope, spans)?;
        }
        let (gained, state_growth) = {
            let mut plan = Plan::new(namespace, utc);
            for scope in &self.scopes {
                plan.assume_freed(&scope.entity, scope.balance.freed);
            }
            if let Operation::SessionState { store, session, .. } = &operation {
                plan.assume_state_growth(&self.state_growth, *store, session);
            }
            operation.plan(&mut plan).map_err(TransactionError::Refused)?;
            plan.into_reservations()
        };
        if let Some(scope) = scope {
            match self.scopes.iter_mut().find(|of| of.entity == scope.entity) {
                Some(of) => of.partition = of.partition.take().or(scope.partition),
                None => self.scopes.push(scope),
            }
        }
        for (entity, Balance { added, freed }) in gained {
            let Some(scope) = self.scopes.iter_mut().find(|of| of.entity == entity) else { continue };
            *namespace.reserved.entry(entity).or_default() += added;
            scope.balance.added += added;
            scope.balance.freed = freed;
        }
        self.settled.extend(operation.tokens());
        self.cancelled.extend(cancelled);
        self.state_growth.extend(state_growth);
        self.sends += sends;
        self.operations.push(operation);
        Ok(())
    }

    /// An entity that is gone ends the transaction: what was enlisted for it has no place any more.
    fn check_entities(&self, namespace: &Namespace) -> Result<(), EntityError> {
        match self.scopes.iter().find(|scope| !scope.is_there(namespace)) {
            Some(gone) => Err(EntityError::NotFound(gone.entity.clone())),
            None => Ok(()),
        }
    }

    fn check_scope(&self, scope: &Scope, spans: bool) -> Result<(), TransactionError> {
        if !spans && self.scopes.iter().any(|of| of.entity != scope.entity) {
            return Err(TransactionError::SpansEntities);
        }
        let other = |of: &Scope| of.entity == scope.entity && of.partition.is_some() && of.partition != scope.partition;
        if scope.partition.is_some() && self.scopes.iter().any(other) {
            return Err(TransactionError::SpansPartitions);
        }
        Ok(())
    }

    /// Ends it without effect, and gives back what is reserved in the entities that are there; its operations.
    fn end(self, namespace: &mut Namespace) -> vec::IntoIter<Operation> {
        self.give_back(namespace);
        self.operations.into_iter()
    }

    fn give_back(&self, namespace: &mut Namespace) {
        namespace.work().add(1);
        for scope in &self.scopes {
            namespace.work().add(1);
            if scope.is_there(namespace)
                && let Some(reserved) = namespace.reserved.get_mut(&scope.entity)
            {
                *reserved = reserved.saturating_sub(scope.balance.added);
                if *reserved == 0 {
                    namespace.reserved.remove(&scope.entity);
                }
            }
        }
    }
}
