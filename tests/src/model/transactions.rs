//! Transactions: all of it, or nothing.

use super::entities::Place;
use super::messages::Message;
use super::settlement::Ending;
use super::{Answer, Model, Time, Token};

/// A transaction that is older is rolled back (docs/evidence/field-reports.md F36).
pub const LIFE: Time = 120_000;

const UNKNOWN: Answer = Answer::Refused(&["amqp:transaction:unknown-id", "amqp:transaction:timeout", "amqp:not-found"]);
const ROLLED_BACK: Answer =
    Answer::Refused(&["amqp:transaction:rollback", "amqp:transaction:timeout", "amqp:transaction:unknown-id"]);

/// One operation of a transaction, carried out by the commit.
#[derive(Clone, Debug)]
pub enum Work {
    /// Sends to an entity.
    Send(String, Vec<Message>),
    /// Schedules under a number.
    Schedule(String, Message, i64),
    /// Cancels a scheduled message.
    Cancel(String, i64),
    /// Ends a delivery.
    Settle(Place, Token, i64, Ending),
    /// Sets a session's state.
    State(usize, Place, String, Option<Vec<u8>>),
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The connection.
    pub client: usize,
    /// When it was declared.
    pub declared: Time,
    /// When it was declared, by UTC.
    pub declared_utc: Time,
    /// Its operations in order.
    pub work: Vec<Work>,
}

impl Transaction {
    /// One without work.
    pub fn new(client: usize, declared: Time, declared_utc: Time) -> Self {
        Self { client, declared, declared_utc, work: Vec::new() }
    }

    /// Whether its life is over by one clock and not by the other: which of them counts is decided by no document.
    pub fn is_disputed(&self, now: Time, utc: Time) -> bool {
        (self.declared + LIFE <= now) != (self.declared_utc + LIFE <= utc)
    }

    /// The entities that it uses.
    pub fn entities(&self) -> impl Iterator<Item = &str> {
        self.work.iter().map(|work| match work {
            Work::Send(entity, _) | Work::Schedule(entity, ..) | Work::Cancel(entity, _) => entity.as_str(),
            Work::Settle(place, ..) | Work::State(_, place, ..) => place.entity.as_str(),
        })
    }
}

impl Model {
    /// Whether a transaction can be used: by its own connection (docs/evidence/pinned-behaviour.md TXN13), within its
    /// life (docs/evidence/field-reports.md F48) and with one entity (docs/evidence/field-reports.md F41), that of its first
    /// operation which was not refused.
    pub fn use_transaction(&self, number: usize, client: usize, entity: &str) -> Answer {
        let now = self.now;
        let Some(found) = self.transactions.get(&number) else { return UNKNOWN };
        if found.client != client || found.declared + LIFE <= now {
            return UNKNOWN;
        }
        if found.entities().next().is_some_and(|first| first != entity) {
            return Answer::Refused(&["amqp:not-allowed"]);
        }
        Answer::Done
    }

    /// Adds work to a transaction.
    pub fn add_work(&mut self, number: usize, work: Work) {
        self.transactions.get_mut(&number).expect("it was used").work.push(work);
    }

    /// Undoes a transaction: locks stay valid (docs/evidence/pinned-behaviour.md TXN7 and TXN8), sends
    /// never arrive (TXN2), cancelled messages are still there (TXN5).
    pub fn roll_back(&mut self, number: usize) -> Answer {
        if self.transactions.remove(&number).is_none() {
            return UNKNOWN;
        }
        for place in self.places() {
            for message in &mut self.store_mut(&place).messages {
                message.taken = message.taken.filter(|taken| *taken != number);
            }
        }
        for topic in self.topics.values_mut() {
            for message in &mut topic.waiting.messages {
                message.taken = message.taken.filter(|taken| *taken != number);
            }
        }
        self.run_timers();
        Answer::Done
    }

    /// Does all that a transaction holds (docs/evidence/pinned-behaviour.md TXN1, TXN6 and TXN12), or nothing where a
    /// lock has ended meanwhile or its life is over.
    pub fn commit(&mut self, number: usize) -> Answer {
        let Some(transaction) = self.transactions.get(&number).cloned() else { return UNKNOWN };
        let valid = |work: &Work| match work {
            Work::Settle(place, token, message, _) => self.entities.get(&place.entity).is_some_and(|entity| {
                entity.store(place.sub).messages.iter().any(|found| {
                    found.number == *message
                        && found.taken == Some(number)
                        && found.lock.as_ref().is_some_and(|lock| lock.token == *token)
                })
            }),
            // Its time may have come meanwhile (docs/evidence/pinned-behaviour.md SCH8).
            Work::Cancel(entity, message) => {
                let waiting = match self.topics.get(entity) {
                    Some(topic) => &topic.waiting,
                    None => self.store(&Place::main(entity)),
                };
                waiting.messages.iter().any(|found| found.number == *message && found.taken == Some(number))
            }
            _ => true,
        };
        let over = transaction.declared + LIFE <= self.now;
        if over || !transaction.work.iter().all(valid) {
            self.roll_back(number);
            return ROLLED_BACK;
        }
        self.transactions.remove(&number);
        for work in transaction.work {
            match work {
                Work::Send(entity, messages) => self.send(&entity, &messages),
                Work::Schedule(entity, message, number) => self.schedule(&entity, message, number),
                Work::Cancel(entity, message) => {
                    self.waiting_store(&entity).remove(message);
                }
                Work::Settle(place, _, message, ending) => self.end(&place, message, ending),
                Work::State(client, place, session, state) => {
                    self.set_state(client, &place, &session, state);
                }
            }
        }
        Answer::Done
    }

    fn taken(&mut self, place: &Place, token: Token) -> Option<&mut Message> {
        let entity = self.entities.get_mut(&place.entity)?;
        let mut messages = entity.store_mut(place.sub).messages.iter_mut();
        messages.find(|found| found.taken.is_some() && found.lock.as_ref().is_some_and(|lock| lock.token == token))
    }

    /// Whether another transaction than this one has settled the message under a lock.
    pub fn in_other_transaction(&mut self, place: &Place, token: Token, number: Option<usize>) -> bool {
        self.taken(place, token).is_some_and(|message| message.taken != number)
    }

    /// The message under a lock is no longer settled by a transaction, which so cannot be committed.
    pub fn take_from_transaction(&mut self, place: &Place, token: Token) {
        if let Some(message) = self.taken(place, token) {
            message.taken = None;
        }
    }

    /// Rolls back transactions that are too old.
    pub(super) fn end_transactions(&mut self) {
        let over = |found: &Transaction| found.declared + LIFE <= self.now;
        let old: Vec<usize> =
            self.transactions.iter().filter(|(_, found)| over(found)).map(|(number, _)| *number).collect();
        for number in old {
            self.roll_back(number);
        }
    }

    /// Ends a connection: its links close and its transactions are rolled back
    /// (docs/evidence/pinned-behaviour.md SES11, docs/evidence/wire-protocol.md §6.4).
    pub fn disconnect(&mut self, client: usize) {
        let links: Vec<usize> =
            self.links.iter().filter(|(_, link)| link.client == client).map(|(number, _)| *number).collect();
        for link in links {
            self.close(link);
        }
        let open: Vec<usize> =
            self.transactions.iter().filter(|(_, found)| found.client == client).map(|(number, _)| *number).collect();
        for number in open {
            self.roll_back(number);
        }
    }
}
