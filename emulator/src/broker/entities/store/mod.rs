//! The messages of a queue, a subscription or a sub-queue, keyed by sequence number.
//!
//! Indexes beside the messages make every operation logarithmic: what can be received (by arrival), locks by token,
//! messages by session, and one ordered set of timers for lock ends, expiries and schedules. What concerns others (a
//! message that goes to the dead-letter queue, a receiver to wake) is handed back as [`Effect`]s and [`StoreSignal`]s.
//! Operations count the entries that they look at.

mod emptying;
mod lock;
mod sessions;

use super::error::EntityError;
use super::message::{Message, MessageState};
use super::ranked::Ranked;
use super::remains::Life;
use super::session::{Session, session_key};
pub use super::settings::{DeadReason, Effect, Ending, Owner, StoreSettings, StoreSignal};
use crate::broker::id_map::{IdMap, IdSet};
use crate::broker::work::Work;
use lock::Lock;
use servicebus_core::servicebus::LockToken;
use servicebus_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The end of a lock that never ends: what the service shows of messages in the sub-queues of an entity with sessions.
// docs/evidence/service-evidence.md §10
const NEVER: Timestamp = Timestamp::from_secs(253_402_300_800);
/// Bytes of the states of all sessions at most.
const MAX_STATES: usize = 1 << 30;
/// Timers that one call of [`Store::handle_timers`] carries out at most: the rest stays due.
pub(in crate::broker) const MAX_TIMERS: u64 = 1_000;

#[derive(Debug)]
struct Entry {
    message: Message,
    /// The key of the session that it is received by; `None` in entities without sessions and in sub-queues.
    session: Option<Arc<str>>,
    /// Order of arrival: receivers get messages by it, abandoned ones keep it.
    position: u64,
    lock: Option<Lock>,
    /// The end of its lock, or of the last one it had: what a peek shows.
    // docs/evidence/service-evidence.md §10
    locked_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Schedule(i64),
    Lock(i64),
    Session(Arc<str>),
    Expiry(i64),
}

/// A message taken for good, with its place in case it has to come back.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The message.
    pub message: Message,
    position: u64,
}

/// The messages of one queue.
#[derive(Debug)]
pub struct Store {
    /// Whose it is.
    pub owner: Owner,
    settings: StoreSettings,
    next_sequence: i64,
    next_position: u64,
    entries: BTreeMap<i64, Entry>,
    available: BTreeSet<(u64, i64)>,
    /// Of a sub-queue, what is available by the time it was enqueued: messages come into it in another order.
    ages: BTreeSet<(Timestamp, u64, i64)>,
    /// By key, see [`session_key`].
    sessions: BTreeMap<Arc<str>, Session>,
    /// Sessions that can be taken over, by token.
    shared: IdMap<LockToken, Arc<str>>,
    ready: BTreeSet<(u64, Arc<str>)>,
    locks: IdMap<LockToken, i64>,
    timers: BTreeSet<(Timestamp, Timer)>,
    /// Of a store whose messages go on: places of messages that became available again.
    returned: Vec<u64>,
    signals: Vec<StoreSignal>,
    /// What is among the signals.
    signalled: IdSet<StoreSignal>,
    scheduled: usize,
    /// Messages that can be received, over all sessions.
    receivable: usize,
    bytes: u64,
    /// Bytes of the states of all sessions.
    states: usize,
    /// Sessions that are locked.
    held: BTreeSet<Arc<str>>,
    /// Sessions with messages or a state.
    listed: Ranked<Arc<str>>,
    /// Sessions with a state, by the time it was set.
    stated: Ranked<(Timestamp, Arc<str>)>,
    life: Arc<Life>,
    /// Whether a receiver waits for messages with credit: that is use of the entity.
    pub(in crate::broker) awaited: bool,
    work: Work,
}

impl Store {
    /// An empty store.
    pub fn new(owner: Owner, settings: StoreSettings) -> Self {
        Self {
            owner,
            settings,
            next_sequence: 1,
            next_position: 0,
            entries: BTreeMap::new(),
            available: BTreeSet::new(),
            ages: BTreeSet::new(),
            sessions: BTreeMap::new(),
            shared: IdMap::default(),
            ready: BTreeSet::new(),
            locks: IdMap::default(),
            timers: BTreeSet::new(),
            returned: Vec::new(),
            signals: Vec::new(),
            signalled: IdSet::default(),
            scheduled: 0,
            receivable: 0,
            bytes: 0,
            states: 0,
            held: BTreeSet::new(),
            listed: Ranked::default(),
            stated: Ranked::default(),
            life: Arc::default(),
            awaited: false,
            work: Work::default(),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Changes the settings; locks that are held keep their end.
    pub fn set_settings(&mut self, settings: StoreSettings) {
        self.settings = settings;
    }

    /// Messages that are not scheduled: available, locked and deferred ones.
    pub fn active_count(&self) -> usize {
        self.entries.len() - self.scheduled
    }

    /// Messages that wait for their time.
    pub fn scheduled_count(&self) -> usize {
        self.scheduled
    }

    /// Messages that can be received now, over all sessions.
    pub fn available_count(&self) -> usize {
        self.receivable
    }

    /// Locks that are held on messages.
    pub fn lock_count(&self) -> usize {
        self.locks.len()
    }

    /// Bytes of all messages and of the states of all sessions, which count as well.
    // docs/evidence/field-reports.md F80
    pub fn size(&self) -> u64 {
        self.bytes + self.states as u64
    }

    /// When [`Store::handle_timers`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes what those who wait should know.
    pub fn take_signals(&mut self) -> Vec<StoreSignal> {
        self.signalled.clear();
        core::mem::take(&mut self.signals)
    }

    fn signal(&mut self, signal: StoreSignal) {
        if self.signalled.insert(signal) {
            self.signals.push(signal);
        }
    }

    /// Counts entries that operations look at there.
    pub(in crate::broker) fn count_in(&mut self, work: Work) {
        self.work = work;
    }

    /// It goes with this life.
    pub(in crate::broker::entities) fn live_in(&mut self, life: Arc<Life>) {
        self.life = life;
    }

    /// Whether its entity is there.
    pub(in crate::broker::entities) fn is_there(&self) -> bool {
        !self.life.has_ended()
    }

    /// Reserves the next sequence number.
    pub fn reserve_number(&mut self) -> i64 {
        let number = self.next_sequence;
        self.next_sequence += 1;
        number
    }

    /// The number that the next message gets.
    pub fn next_number(&self) -> i64 {
        self.next_sequence
    }

    /// Takes a message in as it is: its number, state and times are given.
    pub(in crate::broker) fn place(&mut self, message: Message) {
        self.next_sequence = self.next_sequence.max(message.sequence_number + 1);
        let position = self.next_position();
        self.insert(message, position);
    }

    fn insert(&mut self, message: Message, position: u64) {
        let number = message.sequence_number;
        self.bytes += message.size() as u64;
        if message.state == MessageState::Scheduled {
            self.scheduled += 1;
            if let Some(at) = message.scheduled_enqueue_time {
                self.timers.insert((at, Timer::Schedule(number)));
            }
        }
        if self.settings.sub_queue.is_none()
            && message.state == MessageState::Active
            && let Some(at) = message.expires_at()
        {
            self.timers.insert((at, Timer::Expiry(number)));
        }
        let available = message.state == MessageState::Active;
        let session = if self.settings.requires_session { message.session_id.clone() } else { None };
        let session = session.map(|id| {
            let (key, session) = self.session_entry(&id);
            session.messages.insert(number);
            key
        });
        if let Some(key) = &session {
            self.list_session(key);
        }
        let locked_until = self.settings.of_sessions.then_some(NEVER);
        self.work.add(1);
        self.entries.insert(number, Entry { message, session, position, lock: None, locked_until });
        if available {
            self.make_available(number);
        }
    }

    fn next_position(&mut self) -> u64 {
        self.next_position += 1;
        self.next_position
    }

    /// Bytes of a message that waits for its time under this number.
    pub(in crate::broker) fn scheduled_size(&self, number: i64) -> Option<u64> {
        let message = self.message(number)?;
        (message.state == MessageState::Scheduled).then_some(message.size() as u64)
    }

    /// The message with this number.
    pub fn message(&self, number: i64) -> Option<&Message> {
        self.entries.get(&number).map(|entry| &entry.message)
    }

    /// A copy of a message with its place, to be put back if need be.
    pub(in crate::broker) fn copy_of(&self, number: i64) -> Option<Taken> {
        let entry = self.entries.get(&number)?;
        Some(Taken { message: entry.message.clone(), position: entry.position })
    }

    /// The message under a lock, and the lock's end.
    pub fn under_lock(&self, token: LockToken) -> Option<(&Message, Timestamp)> {
        let entry = self.entries.get(self.locks.get(&token)?)?;
        Some((&entry.message, entry.lock?.until))
    }

    /// Removes a message for good.
    pub(in crate::broker) fn delete(&mut self, number: i64) {
        self.remove(number);
    }

    /// Takes in a dead message under the number it had, behind those that came before.
    // docs/evidence/service-evidence.md §8
    pub fn bury(&mut self, mut message: Message) {
        message.state = MessageState::Active;
        if message.sequence_number <= 0 || self.entries.contains_key(&message.sequence_number) {
            message.sequence_number = self.reserve_number();
        }
        self.next_sequence = self.next_sequence.max(message.sequence_number + 1);
        let position = self.next_position();
        self.insert(message, position);
    }

    /// Puts a message back that was taken and not sent after all.
    pub fn put_back(&mut self, taken: Taken) {
        if !self.entries.contains_key(&taken.message.sequence_number) {
            self.note_returned(taken.position);
            self.insert(taken.message, taken.position);
        }
    }

    fn note_returned(&mut self, position: u64) {
        if self.settings.relays {
            self.returned.push(position);
        }
    }

    /// Takes the places of messages that became available again.
    pub(in crate::broker) fn take_returned(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.returned)
    }

    fn make_available(&mut self, number: i64) {
        let Some(entry) = self.entries.get(&number) else { return };
        let position = entry.position;
        self.work.add(1);
        match entry.session.clone() {
            None => {
                if self.available.insert((position, number)) {
                    self.receivable += 1;
                }
                if self.settings.sub_queue.is_some() {
                    self.ages.insert((entry.message.enqueued_time, position, number));
                }
                self.signal(StoreSignal::Messages);
            }
            Some(id) => {
                let Some(session) = self.sessions.get_mut(&id) else { return };
                if session.available.insert((position, number)) {
                    self.receivable += 1;
                }
                match session.lock {
                    Some(lock) => self.signal(StoreSignal::Session(lock.holder)),
                    None => self.refresh_session(&id),
                }
            }
        }
    }

    /// Takes a message out of the indexes of what can be received.
    fn make_unavailable(&mut self, number: i64) {
        let Some(entry) = self.entries.get(&number) else { return };
        let place = (entry.position, number);
        let removed = match &entry.session {
            None => {
                if self.settings.sub_queue.is_some() {
                    self.ages.remove(&(entry.message.enqueued_time, entry.position, number));
                }
                self.available.remove(&place)
            }
            Some(id) => self.sessions.get_mut(id).is_some_and(|session| session.available.remove(&place)),
        };
        if removed {
            self.receivable -= 1;
        }
    }

    fn remove(&mut self, number: i64) -> Option<Message> {
        self.make_unavailable(number);
        let entry = self.entries.remove(&number)?;
        self.work.add(1);
        let message = entry.message;
        self.bytes -= message.size() as u64;
        if message.state == MessageState::Scheduled {
            self.scheduled -= 1;
            if let Some(at) = message.scheduled_enqueue_time {
                self.timers.remove(&(at, Timer::Schedule(number)));
            }
        }
        if let Some(at) = message.expires_at() {
            self.timers.remove(&(at, Timer::Expiry(number)));
        }
        if let Some(lock) = entry.lock {
            self.locks.remove(&lock.token);
            self.timers.remove(&(lock.until, Timer::Lock(number)));
        }
        if let Some(id) = entry.session {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.locked.remove(&number);
                session.messages.remove(&number);
            }
            self.refresh_session(&id);
        }
        // A table keeps the room that it once needed.
        if self.locks.capacity() > 1_024 && self.locks.capacity() / 8 > self.locks.len() {
            self.locks.shrink_to(2 * self.locks.len());
        }
        Some(message)
    }

    /// The first message that can be received, of this session where the entity has sessions: its place and number.
    pub(in crate::broker) fn first(&self, session: Option<&str>) -> Option<(u64, i64)> {
        match session {
            None => self.available.first().copied(),
            Some(id) => self.sessions.get(session_key(id).as_ref())?.available.first().copied(),
        }
    }

    /// The first message behind a place that can be received.
    pub(in crate::broker) fn first_after(&self, position: Option<u64>) -> Option<(u64, i64)> {
        match position {
            None => self.available.first().copied(),
            Some(position) => self.available.range((position + 1, i64::MIN)..).next().copied(),
        }
    }

    /// Whether there is something to receive.
    pub fn has_available(&self, session: Option<&str>) -> bool {
        self.first(session).is_some()
    }

    pub(in crate::broker) fn expire(&mut self, number: i64) -> Option<Effect> {
        let message = self.remove(number)?;
        self.settings.dead_letter_on_expiry.then_some(Effect::DeadLetter(message, DeadReason::Expired))
    }

    /// The messages from a number on, in order; of one session where asked for.
    pub fn peek<'a>(&'a self, from: i64, session: Option<&str>) -> impl Iterator<Item = Peeked<'a>> {
        let all = session.is_none().then(|| self.entries.range(from..).map(|(_, entry)| entry));
        let messages = session.and_then(|id| Some(&self.sessions.get(session_key(id).as_ref())?.messages));
        let of_session = messages.map(|numbers| numbers.range(from..).filter_map(|number| self.entries.get(number)));
        let entries = all.into_iter().flatten().chain(of_session.into_iter().flatten());
        entries
            .inspect(|_| self.work.add(1))
            .map(|entry| Peeked { message: &entry.message, locked_until: entry.locked_until })
    }

    /// Checks that all of these are deferred, unlocked, alive and, where a session is named, of it; expired ones are
    /// to go the way of expired messages.
    ///
    /// # Errors
    /// [`EntityError::MessageNotFound`]: the whole request fails with one of them.
    // docs/evidence/service-evidence.md §10
    pub fn check_deferred(
        &self,
        numbers: &[i64],
        session: Option<&str>,
        utc: Timestamp,
        expired: &mut Vec<i64>,
    ) -> Result<(), EntityError> {
        let mut missing = false;
        for &number in numbers {
            let Some(entry) = self.entries.get(&number) else {
                missing = true;
                continue;
            };
            if entry.message.state != MessageState::Deferred
                || entry.lock.is_some()
                || session.is_some_and(|id| entry.session.as_deref() != Some(session_key(id).as_ref()))
            {
                missing = true;
            } else if self.settings.sub_queue.is_none() && entry.message.expires_at().is_some_and(|at| at <= utc) {
                missing = true;
                expired.push(number);
            }
        }
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if missing || sorted.len() != numbers.len() {
            return Err(EntityError::MessageNotFound(
                "Failed to lock one or more specified messages. Either the message is already locked or does not \
                 exist."
                    .into(),
            ));
        }
        Ok(())
    }

    /// Up to `count` messages that are neither locked nor deferred nor scheduled and were enqueued before `cutoff`, the
    /// oldest first.
    pub fn deletable(&self, count: usize, cutoff: Timestamp, session: Option<&str>) -> Vec<i64> {
        let old = |number: &i64| {
            self.work.add(1);
            self.entries.get(number).is_some_and(|entry| entry.message.enqueued_time < cutoff)
        };
        if self.settings.sub_queue.is_some() && session.is_none() {
            return self.ages.range(..(cutoff, 0, i64::MIN)).take(count).map(|(_, _, number)| *number).collect();
        }
        // Messages are enqueued in the order of their places.
        let of = |set: &BTreeSet<(u64, i64)>| {
            set.iter().map(|(_, number)| *number).take_while(old).take(count).collect::<Vec<_>>()
        };
        match session {
            Some(id) => self.sessions.get(session_key(id).as_ref()).map(|it| of(&it.available)).unwrap_or_default(),
            None if self.settings.requires_session => self.oldest_of_sessions(count, old),
            None => of(&self.available),
        }
    }

    /// Carries out what is due, up to a bound: [`Store::next_deadline`] tells whether more is.
    pub fn handle_timers(&mut self, utc: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        let end = self.work.done() + MAX_TIMERS;
        while self.work.done() < end && self.timers.first().is_some_and(|(at, _)| *at <= utc) {
            let Some((_, timer)) = self.timers.pop_first() else { break };
            self.work.add(1);
            match timer {
                Timer::Lock(number) => effects.extend(self.unlock(number, Ending::Expire, utc)),
                Timer::Session(id) => effects.extend(self.session_timer(&id, utc)),
                Timer::Expiry(number) => {
                    let free = |entry: &Entry| entry.lock.is_none() && entry.message.state == MessageState::Active;
                    if self.entries.get(&number).is_some_and(free) {
                        effects.extend(self.expire(number));
                    }
                }
                Timer::Schedule(number) => effects.extend(self.remove(number).map(|mut message| {
                    // Activation enqueues anew, with a new number (docs/evidence/service-evidence.md §8).
                    message.sequence_number = 0;
                    message.state = MessageState::Active;
                    Effect::Activate(message)
                })),
            }
        }
        effects
    }
}

/// A message seen without a lock.
#[derive(Clone, Copy, Debug)]
pub struct Peeked<'a> {
    /// The message.
    pub message: &'a Message,
    /// The end of the lock that somebody holds on it, or held last.
    pub locked_until: Option<Timestamp>,
}
