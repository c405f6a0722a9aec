//! Peeks and counts.

use super::entities::{Place, Sub};
use super::messages::{Message, State};
use super::{Model, Time};

/// A message as a peek shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The sequence number.
    pub number: i64,
    /// The message's identity.
    pub body: u32,
    /// The raw delivery count.
    pub count: u32,
    /// The state's code.
    pub state: i64,
    /// The session id.
    pub session: Option<String>,
    /// The enqueued time.
    pub enqueued: Time,
    /// Why it was dead-lettered.
    pub reason: Option<String>,
}

/// How many messages an entity holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// In the entity itself, those that wait for their time excepted.
    pub active: u64,
    /// Dead letters.
    pub dead: u64,
    /// Those that wait for their time.
    pub scheduled: u64,
    /// Failed transfers.
    pub transfer: u64,
}

impl Model {
    /// All that a peek from a number on shows, in the order of numbers: messages that are locked, deferred or scheduled
    /// too (docs/evidence/pinned-behaviour.md PEK3, PEK8, PEK10 and PEK11), of one session where one is named (PEK13).
    pub fn peek(&self, place: &Place, from: i64, session: Option<&str>) -> Vec<Peeked> {
        let key = session.map(|id| self.session_key(id));
        let of = |message: &&Message| key.is_none() || message.session.as_deref().map(|id| self.session_key(id)) == key;
        let store = self.store(place);
        let mut found: Vec<&Message> =
            store.messages.iter().filter(|message| message.number >= from).filter(of).collect();
        found.sort_by_key(|message| message.number);
        let peeked = |message: &&Message| Peeked {
            number: message.number,
            body: message.body,
            // Unchanged while it is locked (docs/evidence/service-evidence.md §9).
            count: message.count,
            state: if message.activated && message.state == State::Active { 0 } else { message.state.code() },
            session: message.session.clone(),
            enqueued: message.enqueued,
            reason: message.reason.map(str::to_owned),
        };
        found.iter().map(peeked).collect()
    }

    /// The counts of a queue or subscription (docs/evidence/pinned-behaviour.md DLQ11 and SCH16).
    pub fn counts(&self, entity: &str) -> Counts {
        let stored = |sub| &self.store(&Place { entity: entity.to_owned(), sub }).messages;
        let scheduled = stored(Sub::Main).iter().filter(|message| matches!(message.state, State::Scheduled(_))).count();
        Counts {
            active: (stored(Sub::Main).len() - scheduled) as u64,
            dead: stored(Sub::Dead).len() as u64,
            scheduled: scheduled as u64,
            transfer: stored(Sub::Transfer).len() as u64,
        }
    }

    /// Bytes of the states of its sessions, which count towards its size (docs/evidence/field-reports.md F80).
    pub fn state_bytes(&self, entity: &str) -> u64 {
        let sessions = self.store(&Place::main(entity)).sessions.values();
        sessions.flat_map(|session| &session.state).map(|state| state.len() as u64).sum()
    }
}
