//! Compares deliveries, grants, ended links, counts and peeks of the broker with the model.

use super::bench;
use super::run::{Held, Run};
use crate::broker::{Received, START};
use crate::model::Time;
use crate::model::entities::Place;
use crate::model::peeking::Peeked;
use crate::model::receiving::{Delivery, Link};
use servicebus_core::engine::LinkId;
use servicebus_core::time::Timestamp;
use std::collections::VecDeque;

/// After so many milliseconds a link may be detached for being idle.
const IDLE: Time = 600_000;

/// Milliseconds since the world began.
pub(crate) fn since_start(at: Timestamp) -> Time {
    u64::try_from(at.as_millis() - START.as_millis()).expect("later than the start")
}

pub(crate) fn session_of(message: &Received) -> Option<String> {
    message.view().properties().unwrap().group_id.map(str::to_owned)
}

pub(crate) fn body_of(message: &Received) -> u32 {
    message.body().parse().expect("a number")
}

pub(crate) fn peeked(message: &Received) -> Peeked {
    Peeked {
        number: message.number(),
        body: body_of(message),
        count: message.count(),
        state: message.state(),
        session: session_of(message),
        enqueued: since_start(message.enqueued()),
        reason: message.reason().map(str::to_owned),
    }
}

impl Run {
    /// Compares deliveries, grants, ended links and counts.
    pub(crate) fn compare(&mut self) -> Result<(), String> {
        self.compare_links()?;
        self.compare_grants()?;
        self.compare_deliveries()?;
        self.model.check_waiting()?;
        self.model.check_idle()?;
        let (expected, observed) = (self.model.transactions.len(), self.world.broker.open_transactions());
        if expected != observed {
            return Err(format!("open transactions: expected {expected}, observed {observed}"));
        }
        for path in self.model.entities.keys() {
            let (expected, observed) = (self.model.counts(path), bench::counts(&self.world, path));
            if Some(expected) != observed {
                return Err(format!("counts of {path}: expected {expected:?}, observed {observed:?}"));
            }
            // What is gone takes no room: the broker's index of sizes is consistent.
            let (bytes, states) = (bench::bytes(&self.world, path), self.model.state_bytes(path));
            let empty = expected.active + expected.dead + expected.scheduled + expected.transfer == 0;
            if bytes < states || empty != (bytes == states) {
                return Err(format!("{bytes} bytes in {path}, which holds {expected:?} and states of {states} bytes"));
            }
        }
        Ok(())
    }

    fn condition(&self, client: usize, link: LinkId) -> String {
        self.world.detached(client, link).map(|failure| failure.condition).unwrap_or_default()
    }

    fn compare_links(&mut self) -> Result<(), String> {
        for (number, conditions) in std::mem::take(&mut self.model.ended) {
            let Some((client, link)) = self.links.remove(&number) else { continue };
            let condition = self.condition(client, link);
            let legal = conditions.is_empty() || conditions.contains(&condition.as_str());
            if !self.world.is_detached(client, link) || !legal {
                return Err(format!("link {number} should be detached with one of {conditions:?}: {condition:?}"));
            }
        }
        for (number, (client, link)) in self.links.clone() {
            if self.world.is_detached(client, link) {
                let condition = self.condition(client, link);
                let late = |link: &Link| link.waits_until.is_some_and(|at| at <= self.model.now);
                if condition == "com.microsoft:timeout" && self.model.links.get(&number).is_some_and(late) {
                    self.links.remove(&number);
                    self.model.close(number);
                    continue;
                }
                let used = self.used.get(&number).copied().unwrap_or(0);
                if condition != "amqp:link:detach-forced" || self.model.now - used < IDLE {
                    return Err(format!("link {number} was detached: {:?}", self.world.detached(client, link)));
                }
                self.links.remove(&number);
                self.model.close(number);
            }
        }
        for client in 0..self.controls.len() {
            if self.controls[client].is_some_and(|link| self.world.is_detached(client, link)) {
                self.controls[client] = None;
                self.forget_transactions(client);
            }
        }
        Ok(())
    }

    fn compare_grants(&mut self) -> Result<(), String> {
        let mut granted = Vec::new();
        for (number, (client, link)) in &self.links {
            let waits = self.model.links.get(number).is_some_and(|link| link.waits_until.is_some());
            if waits && self.world.attached(*client, *link).is_ok() {
                granted.push((*number, self.world.granted(*client, *link)));
            }
        }
        while !granted.is_empty() {
            let next = granted.iter().position(|(number, id)| {
                let place = &self.model.links[number].place;
                self.model.next_session(place) == Some(self.model.session_key(id))
            });
            let (number, id) = granted.remove(next.unwrap_or(0));
            self.model.accept_next(number, &id)?;
        }
        Ok(())
    }

    fn compare_deliveries(&mut self) -> Result<(), String> {
        let mut seen: Vec<(usize, VecDeque<(Delivery, Received)>)> = Vec::new();
        for (number, (client, link)) in self.links.clone() {
            let messages = self.world.taken(client, link);
            if !messages.is_empty() {
                self.used.insert(number, self.model.now);
                seen.push((
                    number,
                    messages.into_iter().map(|message| (delivery(number, &message), message)).collect(),
                ));
            }
        }
        while !seen.is_empty() {
            // Any link may be served first; on each the order is fixed.
            let next = seen.iter().position(|(number, messages)| {
                let link = self.model.links.get(number);
                link.is_some_and(|link| self.model.is_next(link, messages[0].0.number))
            });
            let at = next.unwrap_or(0);
            let (number, messages) = &mut seen[at];
            let (number, (delivery, received)) = (*number, messages.pop_front().expect("it is not empty"));
            if messages.is_empty() {
                seen.remove(at);
            }
            self.model.deliver(&delivery)?;
            if let Some(token) = delivery.token {
                let (client, _) = self.links[&number];
                let place = self.model.links[&number].place.clone();
                self.hold(Held {
                    client,
                    link: Some(number),
                    received: Some(received),
                    place,
                    token,
                    session: delivery.session,
                    number: delivery.number,
                });
            }
        }
        Ok(())
    }

    /// Compares the contents of every entity, by peeks.
    pub(crate) fn compare_contents(&mut self) -> Result<(), String> {
        self.keep_alive();
        for place in self.model.places() {
            let settings = self.model.settings(&place);
            if !bench::is_open(&self.model, &place.entity) || settings.forward.is_some() {
                continue;
            }
            if !bench::of_sessions(&self.model, &place) {
                self.compare_peek(&place, None)?;
                continue;
            }
            for session in bench::SESSIONS {
                self.compare_peek(&place, Some(session))?;
            }
        }
        Ok(())
    }

    fn compare_peek(&mut self, place: &Place, session: Option<&str>) -> Result<(), String> {
        let expected = self.model.peek(place, 1, session);
        let response = self.peek_messages(0, place, session, 1, 250);
        if response.status() >= 400 {
            return Err(format!("peek of {place:?}: {:?}", response.condition()));
        }
        let mut observed: Vec<Peeked> = response.messages().iter().map(peeked).collect();
        forget_reasons(&expected, &mut observed);
        if expected == observed {
            return Ok(());
        }
        Err(format!("peek of {place:?} {session:?}: expected {expected:#?}, observed {observed:#?}"))
    }
}

fn delivery(link: usize, message: &Received) -> Delivery {
    let until = message.annotation("x-opt-locked-until").and_then(|value| value.as_timestamp());
    Delivery {
        link,
        token: (!message.settled).then_some(message.token.uuid().0),
        body: body_of(message),
        number: message.number(),
        count: message.count(),
        state: message.state(),
        session: session_of(message),
        locked_until: until.filter(|_| !message.settled).map(since_start),
        enqueued: since_start(message.enqueued()),
    }
}

/// No document names the reasons of all failed transfers.
pub(crate) fn forget_reasons(expected: &[Peeked], observed: &mut [Peeked]) {
    for (expected, observed) in expected.iter().zip(observed) {
        if expected.reason.is_none() && observed.reason.as_deref() == Some("TransferFailed") {
            observed.reason = None;
        }
    }
}
