//! Sends, schedules and cancels; fan-out, forwarding and dead letters.

use super::entities::{Place, Status, Sub};
use super::messages::{Message, State};
use super::rules::matching;
use super::{Answer, Model};

/// Most transfers of a message (docs/evidence/wire-protocol.md §8).
const MAX_HOPS: u8 = 4;

impl Model {
    fn status(&self, entity: &str) -> Status {
        self.entities.get(entity).map_or(Status::Active, |found| found.settings.status)
    }

    /// Whether an entity takes messages of senders.
    pub fn can_send(&self, entity: &str) -> bool {
        let exists = self.entities.contains_key(entity) || self.topics.contains_key(entity);
        exists && matches!(self.status(entity), Status::Active | Status::ReceiveDisabled)
    }

    /// Whether messages are accepted: an entity with sessions needs a session id, which may be empty
    /// (docs/evidence/pinned-behaviour.md SND5 and SND7). A batch is taken as a whole or not at all
    /// (docs/evidence/field-reports.md F35).
    pub fn check_send(&self, entity: &str, messages: &[Message]) -> Answer {
        let sessions = self.entities.get(entity).is_some_and(|found| found.settings.sessions);
        if sessions && messages.iter().any(|message| message.session.is_none()) {
            return Answer::Refused(&["amqp:not-allowed"]);
        }
        Answer::Done
    }

    /// Stores messages that are accepted, in their order (docs/evidence/pinned-behaviour.md SND20).
    pub fn send(&mut self, entity: &str, messages: &[Message]) {
        for message in messages {
            self.accept(entity, message.clone(), 0);
        }
    }

    /// Schedules under a number that was given before: `schedule-message` answers with it, in a transaction before
    /// the commit (docs/evidence/pinned-behaviour.md SCH1 and TXN4).
    pub fn schedule(&mut self, entity: &str, mut message: Message, number: i64) {
        message.number = number;
        self.set_life(entity, &mut message);
        message.enqueued = self.utc;
        match message.schedule {
            Some(at) if at > self.utc => {
                message.state = State::Scheduled(at);
                message.order = number;
                self.waiting_store(entity).messages.push(message);
            }
            // The number stays where the time has come already (docs/evidence/service-evidence.md §8).
            _ => self.enqueue(entity, message),
        }
    }

    /// A number for a message that is to be scheduled.
    pub fn reserve(&mut self, entity: &str) -> i64 {
        self.waiting_store(entity).next_number()
    }

    pub(super) fn waiting_store(&mut self, entity: &str) -> &mut super::entities::Store {
        if self.topics.contains_key(entity) {
            return &mut self.topics.get_mut(entity).expect("it was found").waiting;
        }
        self.store_mut(&Place::main(entity))
    }

    /// Cancels scheduled messages: all, or none if one is unknown (docs/evidence/pinned-behaviour.md SCH5 and SCH9).
    pub fn cancel(&mut self, entity: &str, number: i64, transaction: Option<usize>) -> Answer {
        let scheduled = |message: &Message| matches!(message.state, State::Scheduled(_)) && message.taken.is_none();
        match self.waiting_store(entity).find(number).filter(|message| scheduled(message)) {
            None => Answer::Refused(&["com.microsoft:message-not-found"]),
            // Rolled back, it is still there (docs/evidence/pinned-behaviour.md TXN5).
            Some(message) if transaction.is_some() => {
                message.taken = transaction;
                Answer::Done
            }
            Some(_) => {
                self.waiting_store(entity).remove(number);
                Answer::Done
            }
        }
    }

    /// The shorter life counts, the message's or the entity's (docs/evidence/wire-protocol.md §8).
    fn set_life(&self, entity: &str, message: &mut Message) {
        let limit = self.entities.get(entity).and_then(|found| found.settings.ttl);
        message.ttl = match (message.ttl, limit) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        };
    }

    fn is_duplicate(&mut self, entity: &str, message: &Message) -> bool {
        let window = self.entities.get(entity).and_then(|found| found.settings.duplicates);
        let (Some(window), Some(id)) = (window, &message.id) else { return false };
        let utc = self.utc;
        let remembered = &mut self.store_mut(&Place::main(entity)).remembered;
        // An id is remembered until the window has passed, and not for its last millisecond: the documents name a length
        // and no edge; docs/evidence/mutations.md "duplicate window's edge" wants it held.
        remembered.retain(|(_, at)| utc < at + window);
        if remembered.iter().any(|(found, _)| found == id) {
            return true;
        }
        remembered.push((id.clone(), utc));
        false
    }

    fn accept(&mut self, entity: &str, mut message: Message, hops: u8) {
        message.hops = hops;
        // Accepted and dropped (docs/evidence/service-evidence.md §11).
        if self.is_duplicate(entity, &message) {
            return;
        }
        // A topic numbers what waits in it; copies get numbers of their subscriptions (docs/evidence/service-evidence.md §8).
        let passes = self.topics.contains_key(entity) && message.schedule.is_none_or(|at| at <= self.utc);
        let number = if passes { 0 } else { self.reserve(entity) };
        self.schedule(entity, message, number);
    }

    /// Makes a message available, or hands it on to subscriptions or to where the entity forwards.
    pub(super) fn enqueue(&mut self, entity: &str, mut message: Message) {
        message.state = State::Active;
        message.enqueued = self.utc;
        message.order = message.number;
        if let Some(topic) = self.topics.get(entity) {
            for subscription in matching(topic, &message) {
                let mut copy = message.clone();
                copy.number = self.reserve(&subscription);
                self.set_life(&subscription, &mut copy);
                // A copy without a session id is dead-lettered where sessions are required
                // (docs/evidence/service-evidence.md §9).
                if self.entities[&subscription].settings.sessions && copy.session.is_none() {
                    self.bury(&subscription, copy, "Session id is null.");
                } else {
                    self.enqueue(&subscription, copy);
                }
            }
            return;
        }
        match self.entities[entity].settings.forward.clone() {
            Some(target) => {
                if let Err(refused) = self.transfer(&target, message) {
                    let (message, reason) = *refused;
                    self.fail_transfer(entity, message, reason);
                }
            }
            None => {
                // A number that was given before later messages came, and stored after them: whether number or arrival
                // counts is decided by no document.
                let store = self.store_mut(&Place::main(entity));
                let last = store.messages.iter().map(|found| found.order).max();
                message.order = message.number.max(last.unwrap_or(0));
                store.messages.push(message);
            }
        }
    }

    /// Moves a message to another entity, or returns why it cannot go there: over the last hop, to an entity that is
    /// disabled or gone, or without a session id into sessions (docs/evidence/pinned-behaviour.md FWD10).
    fn transfer(&mut self, target: &str, message: Message) -> Result<(), Box<(Message, &'static str)>> {
        if message.hops >= MAX_HOPS {
            return Err(Box::new((message, "MaxTransferHopCountExceeded")));
        }
        // SendDisabled does not stop a transfer (docs/evidence/field-reports.md F13).
        let open = self.status(target) != Status::Disabled;
        if !open || !(self.entities.contains_key(target) || self.topics.contains_key(target)) {
            return Err(Box::new((message, "")));
        }
        if self.entities.get(target).is_some_and(|found| found.settings.sessions) && message.session.is_none() {
            return Err(Box::new((message, "Session id is null.")));
        }
        let hops = message.hops + 1;
        let moved = Message { lock: None, count: 0, schedule: None, ..message };
        self.accept(target, moved, hops);
        Ok(())
    }

    /// A message that cannot be transferred goes to the dead-letter queue of the entity that it comes from, over the last
    /// hop to that of its transfers (docs/evidence/field-reports.md F11).
    fn fail_transfer(&mut self, entity: &str, message: Message, reason: &'static str) {
        let sub = if reason == "MaxTransferHopCountExceeded" { Sub::Transfer } else { Sub::Dead };
        self.put_dead(entity, sub, message, Some(reason).filter(|reason| !reason.is_empty()));
    }

    /// Dead-letters a message: number and count stay (docs/evidence/service-evidence.md §8,
    /// docs/evidence/pinned-behaviour.md SET8), or it is forwarded (DLQ10).
    pub(super) fn bury(&mut self, entity: &str, message: Message, reason: &'static str) {
        self.put_dead(entity, Sub::Dead, message, Some(reason));
        self.forward_letters(entity);
    }

    /// Dead letters go on where their entity forwards them, with their reason, as soon as the target takes them
    /// (docs/evidence/field-reports.md F12). Their life has ended, and does not end again in the target (F78).
    pub(super) fn forward_letters(&mut self, entity: &str) {
        let Some(target) = self.entities.get(entity).and_then(|found| found.settings.forward_dead.clone()) else {
            return;
        };
        let place = Place::dead(entity);
        let mut free: Vec<(i64, i64)> = Vec::new();
        for message in self.store(&place).messages.iter().filter(|message| message.is_available()) {
            free.push((message.order, message.number));
        }
        free.sort_unstable();
        for (_, number) in free {
            let letter = self.store_mut(&place).remove(number).expect("it was found");
            if let Err(refused) = self.transfer(&target, letter) {
                self.store_mut(&place).messages.push(refused.0);
            }
        }
    }

    /// Dead letters are received in the order in which they came (docs/evidence/pinned-behaviour.md SET20), those of one
    /// moment in any.
    fn put_dead(&mut self, entity: &str, sub: Sub, mut message: Message, reason: Option<&'static str>) {
        message.reason = reason;
        message.state = State::Active;
        message.lock = None;
        message.taken = None;
        // Nothing expires there (docs/evidence/wire-protocol.md §8).
        message.ttl = None;
        message.order = self.moment;
        self.store_mut(&Place { entity: entity.to_owned(), sub }).messages.push(message);
    }
}
