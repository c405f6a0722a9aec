//! How a delivery ends, and renewal of its lock.

use super::entities::{Place, Sub};
use super::messages::State;
use super::{Answer, Model, Plant, Time, Token};

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Removes the message.
    Complete,
    /// Gives it back, uncounted.
    Release,
    /// Gives it back, counted.
    Abandon,
    /// Keeps it to be received by its number.
    Defer,
    /// Dead-letters it.
    Reject,
}

const LOST: Answer = Answer::Refused(&["com.microsoft:message-lock-lost"]);
const SESSION_LOST: Answer = Answer::Refused(&["com.microsoft:session-lock-lost"]);

impl Model {
    /// The answer where a lock is lost (docs/evidence/pinned-behaviour.md SET31, SET32 and SES27). In a session that the
    /// client holds it is the message's lock that is lost (docs/evidence/field-reports.md F70).
    fn lost(&self, client: usize, place: &Place, session: Option<&str>) -> Answer {
        if place.sub != Sub::Main || !self.settings(place).sessions {
            return LOST;
        }
        match session {
            Some(session) if self.holds(client, place, session) => LOST,
            _ => SESSION_LOST,
        }
    }

    /// Settles by a lock token: on the link that delivered, or from anywhere by `$management` on an entity without
    /// sessions (docs/evidence/pinned-behaviour.md SET26, SET39 and SET40).
    pub fn settle(
        &mut self,
        client: usize,
        place: &Place,
        session: Option<&str>,
        token: Token,
        ending: Ending,
        transaction: Option<usize>,
    ) -> Answer {
        if !self.entities.contains_key(&place.entity) {
            return LOST;
        }
        let in_session = place.sub == Sub::Main && self.settings(place).sessions;
        let held = !in_session || session.is_some_and(|session| self.holds(client, place, session));
        let Some(number) = self.store(place).locked(token).filter(|_| held).map(|message| message.number) else {
            return self.lost(client, place, session);
        };
        if ending == Ending::Reject && place.sub != Sub::Main {
            // A dead letter stays where it is (docs/evidence/pinned-behaviour.md DLQ7 and SET34,
            // docs/evidence/field-reports.md F15 and F37).
            return Answer::Refused(&["amqp:not-allowed"]);
        }
        match transaction {
            Some(_) => self.store_mut(place).find(number).expect("it was found").taken = transaction,
            None => self.end(place, number, ending),
        }
        Answer::Done
    }

    /// Ends a delivery.
    pub(super) fn end(&mut self, place: &Place, number: i64, ending: Ending) {
        let Some(message) = self.store_mut(place).find(number) else { return };
        message.taken = None;
        match ending {
            // Gone (docs/evidence/pinned-behaviour.md SET14).
            Ending::Complete => {
                self.store_mut(place).remove(number);
            }
            // Not counted (docs/evidence/wire-protocol.md §8).
            Ending::Release => {
                message.lock = None;
                self.expire_if_due(place, number);
            }
            Ending::Abandon => self.fail_delivery(place, number),
            Ending::Defer => {
                message.state = State::Deferred;
                self.fail_delivery(place, number);
            }
            Ending::Reject => {
                let message = self.store_mut(place).remove(number).expect("it was found");
                self.bury(&place.entity, message, "rejected");
            }
        }
    }

    /// A delivery that failed counts: by abandoning (docs/evidence/pinned-behaviour.md SET2), by deferring (SET4), by
    /// the end of the lock (SET3). Where the count reaches the maximum the message is dead-lettered (SET13).
    /// In a dead-letter queue nothing counts (SET10).
    pub(super) fn fail_delivery(&mut self, place: &Place, number: i64) {
        let maximum = self.settings(place).max_delivery + u32::from(self.plant == Some(Plant::OneDeliveryMore));
        let sub = place.sub;
        let Some(message) = self.store_mut(place).find(number) else { return };
        message.lock = None;
        if sub != Sub::Main {
            return;
        }
        message.count += 1;
        if message.count >= maximum {
            let message = self.store_mut(place).remove(number).expect("it was found");
            self.bury(&place.entity, message, "MaxDeliveryCountExceeded");
        } else {
            self.expire_if_due(place, number);
        }
    }

    /// A message whose life ended while it was locked expires when the lock is given up
    /// (docs/evidence/pinned-behaviour.md DLQ18). A deferred one waits for its receiver
    /// (docs/evidence/service-evidence.md §10).
    pub(super) fn expire_if_due(&mut self, place: &Place, number: i64) {
        let utc = self.utc;
        let due =
            self.store_mut(place).find(number).is_some_and(|message| message.is_available() && message.is_expired(utc));
        if due && place.sub == Sub::Main {
            self.expire(&place.entity, number);
        }
    }

    /// Renews a message's lock: from now on for the lock's duration (docs/evidence/pinned-behaviour.md LCK2). `None`
    /// where the lock is lost (LCK4).
    pub fn renew(&mut self, place: &Place, token: Token) -> Option<Option<Time>> {
        if !self.entities.contains_key(&place.entity) {
            return None;
        }
        let until = self.utc + self.settings(place).lock;
        let number = self
            .store(place)
            .messages
            .iter()
            .find(|message| message.lock.as_ref().is_some_and(|lock| lock.token == token))?;
        let number = number.number;
        let lock = self.store_mut(place).find(number)?.lock.as_mut()?;
        // In a session it is accepted (docs/evidence/pinned-behaviour.md SES26), and the session's lock counts.
        if lock.until.is_some() {
            lock.until = Some(until);
        }
        Some(lock.until)
    }
}
