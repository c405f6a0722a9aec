//! Links that receive, and the deliveries that are legal for them.

use super::entities::{Place, Status, Sub};
use super::messages::{Lock, Message, State};
use super::{Answer, Model, Time, Token};

/// A link that receives, or waits for a session to receive from.
#[derive(Clone, Debug)]
pub struct Link {
    /// The connection.
    pub client: usize,
    /// The place that it receives from.
    pub place: Place,
    /// Whether a delivery deletes.
    pub deleting: bool,
    /// Whether it receives from a session.
    pub of_session: bool,
    /// The session that it holds.
    pub session: Option<String>,
    /// Until when it waits for one.
    pub waits_until: Option<Time>,
    /// Messages that it may still be given.
    pub credit: u32,
}

/// A delivery as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The link.
    pub link: usize,
    /// The lock token, of a peek-lock.
    pub token: Option<Token>,
    /// The message's identity.
    pub body: u32,
    /// The sequence number.
    pub number: i64,
    /// The raw delivery count.
    pub count: u32,
    /// The state's code.
    pub state: i64,
    /// The session id.
    pub session: Option<String>,
    /// The end of the lock.
    pub locked_until: Option<Time>,
    /// The enqueued time.
    pub enqueued: Time,
}

impl Model {
    /// Whether an entity gives messages, and by a link of this kind: an entity with sessions only to a receiver of a
    /// session, its sub-queues only to plain ones (docs/evidence/pinned-behaviour.md SES15, SES16 and DLQ2); nothing
    /// is received from an entity that forwards (docs/evidence/wire-protocol.md §8).
    pub fn check_receiver(&self, place: &Place, of_session: bool) -> Answer {
        let Some(entity) = self.entities.get(&place.entity) else { return Answer::Refused(&["amqp:not-found"]) };
        let settings = &entity.settings;
        if matches!(settings.status, Status::Disabled | Status::ReceiveDisabled) {
            return Answer::Refused(&["com.microsoft:entity-disabled"]);
        }
        let sessions = settings.sessions && place.sub == Sub::Main;
        if sessions != of_session || (place.sub == Sub::Main && settings.forward.is_some()) {
            return Answer::Refused(&["amqp:not-allowed"]);
        }
        Answer::Done
    }

    fn may_get(&self, link: &Link, message: &Message) -> bool {
        let session = |id: &Option<String>| id.as_deref().map(|id| self.session_key(id));
        message.is_available()
            && !(link.place.sub == Sub::Main && message.is_expired(self.utc))
            && (!link.of_session || (link.session.is_some() && session(&message.session) == session(&link.session)))
    }

    /// The message that a link must get next: the oldest that it may get. Sessions are in order
    /// (docs/evidence/pinned-behaviour.md SES13), and an abandoned message is in its original place (SET15).
    pub fn next_for(&self, link: &Link) -> Option<&Message> {
        let messages = self.store(&link.place).messages.iter();
        messages.filter(|message| self.may_get(link, message)).min_by_key(|message| message.order)
    }

    /// Whether a message is one that a link may get next.
    pub fn is_next(&self, link: &Link, number: i64) -> bool {
        let Some(next) = self.next_for(link) else { return false };
        let found = self.store(&link.place).messages.iter().find(|message| message.number == number);
        found.is_some_and(|message| message.order == next.order && self.may_get(link, message))
    }

    /// Carries out a delivery, or returns why it is not legal as the next one.
    ///
    /// # Errors
    /// A description of the difference.
    pub fn deliver(&mut self, seen: &Delivery) -> Result<(), String> {
        let Some(link) = self.links.get(&seen.link).cloned() else {
            return Err(format!("a delivery on a link that has ended: {seen:?}"));
        };
        // A receiver gets what it has credit for (docs/evidence/pinned-behaviour.md CRD6).
        if link.credit == 0 {
            return Err(format!("a delivery without credit: {seen:?}"));
        }
        let Some(mut next) = self.next_for(&link).cloned() else {
            return Err(format!("a delivery of what cannot be received: {seen:?}"));
        };
        if self.is_next(&link, seen.number) {
            let messages = self.store(&link.place).messages.iter();
            next.clone_from(messages.into_iter().find(|message| message.number == seen.number).expect("it was found"));
        }
        self.check_delivery(&link, &next, seen)?;
        self.links.get_mut(&seen.link).expect("it was found").credit -= 1;
        let utc = self.utc;
        let until = (!link.of_session).then(|| utc + self.settings(&link.place).lock);
        let store = self.store_mut(&link.place);
        match seen.token {
            // Gone at once (docs/evidence/pinned-behaviour.md RAD1).
            None => {
                store.remove(next.number);
            }
            Some(token) => {
                let message = store.find(next.number).expect("it was found");
                message.lock = Some(Lock { token, until });
            }
        }
        Ok(())
    }

    fn check_delivery(&self, link: &Link, next: &Message, seen: &Delivery) -> Result<(), String> {
        let expected = Delivery {
            link: seen.link,
            token: seen.token,
            body: next.body,
            number: next.number,
            count: next.count,
            // A message that waited for its time may say so (docs/evidence/field-reports.md F18).
            state: if next.activated && seen.state == 2 { 2 } else { next.state.code() },
            session: next.session.clone(),
            locked_until: match (link.deleting, link.of_session) {
                // No lock (docs/evidence/pinned-behaviour.md RAD3).
                (true, _) => None,
                // The session's lock counts; which end is shown is undecided (docs/evidence/field-reports.md F76).
                (false, true) => seen.locked_until,
                // Delivery and lock duration (docs/evidence/pinned-behaviour.md LCK1).
                (false, false) => Some(self.utc + self.settings(&link.place).lock),
            },
            enqueued: next.enqueued,
        };
        if link.deleting != seen.token.is_none() {
            return Err(format!("a delivery with the wrong mode: {seen:?}"));
        }
        if *seen == expected { Ok(()) } else { Err(format!("expected {expected:?}, observed {seen:?}")) }
    }

    /// Objects when a link with credit was not given a message that it may get: a message is delivered when it arrives
    /// (docs/evidence/pinned-behaviour.md CRD5).
    ///
    /// # Errors
    /// A description of the difference.
    pub fn check_idle(&self) -> Result<(), String> {
        for (number, link) in &self.links {
            if link.credit > 0
                && let Some(message) = self.next_for(link)
            {
                return Err(format!("link {number} has credit {} and does not get {message:?}", link.credit));
            }
        }
        Ok(())
    }

    /// Receives a deferred message by its number. One that is unknown, not deferred, locked or expired refuses it
    /// (docs/evidence/pinned-behaviour.md DEF2, docs/evidence/service-evidence.md §7 and §10).
    pub fn receive_deferred(&mut self, place: &Place, number: i64, token: Option<Token>) -> Result<Message, Answer> {
        const MISSING: Answer = Answer::Refused(&["com.microsoft:message-not-found"]);
        let (utc, settings) = (self.utc, self.settings(place).clone());
        let found = self
            .store_mut(place)
            .find(number)
            .filter(|message| message.state == State::Deferred && message.lock.is_none() && message.taken.is_none());
        let Some(message) = found else { return Err(MISSING) };
        if message.is_expired(utc) && place.sub == Sub::Main {
            self.expire(&place.entity, number);
            return Err(MISSING);
        }
        match token {
            // A lock like any other (docs/evidence/pinned-behaviour.md DEF12), in a session the session's.
            Some(token) => {
                let until = (!(settings.sessions && place.sub == Sub::Main)).then_some(utc + settings.lock);
                message.lock = Some(Lock { token, until });
                Ok(message.clone())
            }
            // Gone (docs/evidence/pinned-behaviour.md DEF11).
            None => Ok(self.store_mut(place).remove(number).expect("it was found")),
        }
    }
}
