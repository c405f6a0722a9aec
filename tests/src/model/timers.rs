//! Ends of locks, lives, waits and transactions, and activation of scheduled messages.

use super::entities::{Place, Sub};
use super::messages::{Message, State};
use super::receiving::Link;
use super::transactions::LIFE;
use super::{Model, Time};

impl Model {
    /// Milliseconds until the next timer.
    pub fn next_event(&self) -> Option<Time> {
        let mut due: Vec<Time> = Vec::new();
        let utc = |at: Time| at.saturating_sub(self.utc);
        for place in self.places() {
            let store = self.store(&place);
            for message in &store.messages {
                if let State::Scheduled(at) = message.state {
                    due.push(utc(at));
                }
                due.extend(message.lock.as_ref().and_then(|lock| lock.until).map(utc));
                if place.sub == Sub::Main && message.is_available() {
                    due.extend(message.ttl.map(|ttl| utc(message.enqueued + ttl)));
                }
            }
            let held = store.sessions.values().filter(|session| session.holder.is_some());
            due.extend(held.map(|session| utc(session.until)));
        }
        for topic in self.topics.values() {
            let times = topic.waiting.messages.iter().filter_map(|message| message.schedule);
            due.extend(times.map(utc));
        }
        due.extend(self.links.values().filter_map(|link| link.waits_until).map(|at| at.saturating_sub(self.now)));
        due.extend(
            self.transactions
                .values()
                .map(|transaction| transaction.declared + LIFE - self.now.min(transaction.declared + LIFE)),
        );
        due.into_iter().filter(|wait| *wait > 0).min()
    }

    /// The latest time that has come without an effect so far: the end of a life while the message is locked.
    pub fn latest_overdue(&self) -> Option<Time> {
        let mut overdue: Vec<Time> = Vec::new();
        for place in self.places() {
            let store = self.store(&place);
            overdue.extend(store.messages.iter().filter_map(|message| Some(message.enqueued + message.ttl?)));
        }
        overdue.into_iter().filter(|at| *at <= self.utc).max()
    }

    /// Lets time pass, no further than to the next event.
    pub fn advance(&mut self, by: Time) {
        self.moment += 1;
        self.now += by;
        self.utc += by;
        self.run_timers();
    }

    /// Carries out all that is due.
    pub fn run_timers(&mut self) {
        self.end_transactions();
        for place in self.places() {
            self.activate(&place.entity, place.sub);
        }
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.activate(&topic, Sub::Main);
        }
        for place in self.places() {
            self.end_sessions(&place);
            self.end_locks(&place);
            self.expire_all(&place);
        }
        for entity in self.entities.keys().cloned().collect::<Vec<_>>() {
            self.forward_letters(&entity);
        }
        // A link that waited in vain (docs/evidence/pinned-behaviour.md SES5). Where a session is free at that very
        // time, it may still get it.
        let late =
            |link: &Link| link.waits_until.is_some_and(|at| at <= self.now) && self.next_session(&link.place).is_none();
        let links: Vec<usize> = self.links.iter().filter(|(_, link)| late(link)).map(|(number, _)| *number).collect();
        for link in links {
            self.links.remove(&link);
            self.ended.push((link, &["com.microsoft:timeout"]));
        }
    }

    /// Numbers of the messages that are due, in the order of their times.
    fn due(&self, place: &Place, at: impl Fn(&Message) -> Option<Time>) -> Vec<i64> {
        let messages = self.store(place).messages.iter();
        let mut found: Vec<(Time, i64, i64)> =
            messages.filter_map(|message| Some((at(message)?, message.order, message.number))).collect();
        found.retain(|(at, _, _)| *at <= self.utc);
        found.sort_unstable();
        found.iter().map(|(_, _, number)| *number).collect()
    }

    /// A message whose time has come gets a new number and enqueued time (docs/evidence/service-evidence.md §8).
    fn activate(&mut self, entity: &str, sub: Sub) {
        if sub != Sub::Main {
            return;
        }
        let utc = self.utc;
        let store = self.waiting_store(entity);
        let mut due: Vec<(Time, i64)> = Vec::new();
        for message in &store.messages {
            if let State::Scheduled(at) = message.state
                && at <= utc
            {
                due.push((at, message.number));
            }
        }
        due.sort_unstable();
        let of_topic = self.topics.contains_key(entity);
        for (_, number) in due {
            let store = self.waiting_store(entity);
            let mut message = store.remove(number).expect("it was found");
            if !of_topic {
                message.number = store.next_number();
            }
            message.activated = true;
            message.taken = None;
            self.enqueue(entity, message);
        }
    }

    /// A lock ends at its time, and not earlier (docs/evidence/pinned-behaviour.md SET31, LCK6 and LCK12); a deferred
    /// message stays deferred (docs/evidence/service-evidence.md §10).
    fn end_locks(&mut self, place: &Place) {
        for number in self.due(place, |message| message.lock.as_ref()?.until) {
            if let Some(message) = self.store_mut(place).find(number) {
                message.taken = None;
            }
            self.fail_delivery(place, number);
        }
    }

    /// A session's lock ends at its time (docs/evidence/pinned-behaviour.md SES27), whatever credit its link has
    /// (docs/evidence/field-reports.md F14).
    fn end_sessions(&mut self, place: &Place) {
        let sessions = self.store(place).sessions.iter();
        let mut held: Vec<(Time, String)> = sessions
            .filter(|(_, session)| session.holder.is_some())
            .map(|(id, session)| (session.until, id.clone()))
            .collect();
        held.sort_unstable();
        for (until, id) in held {
            if until <= self.utc {
                self.lose_session(place, &id);
            }
        }
    }

    /// Messages expire when their life is over. The service's sweep may take longer; the broker has timers, also for
    /// messages of sessions (docs/evidence/mutations.md "time-to-live timers left out for messages of sessions").
    fn expire_all(&mut self, place: &Place) {
        if place.sub != Sub::Main {
            return;
        }
        let end = |message: &Message| Some(message.enqueued + message.ttl.filter(|_| message.is_available())?);
        for number in self.due(place, end) {
            self.expire(&place.entity, number);
        }
    }

    /// Drops or dead-letters a message whose life is over (docs/evidence/pinned-behaviour.md DLQ15).
    pub(super) fn expire(&mut self, entity: &str, number: i64) {
        let place = Place::main(entity);
        let Some(message) = self.store_mut(&place).remove(number) else { return };
        if self.settings(&place).dead_on_expiry {
            self.bury(entity, message, "TTLExpiredException");
        }
    }
}
