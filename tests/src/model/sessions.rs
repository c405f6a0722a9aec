//! Sessions: who holds them, for how long, and their state.

use super::entities::{Place, Session};
use super::messages::Message;
use super::receiving::Link;
use super::{Answer, Model, Time};

const LOST: Answer = Answer::Refused(&["com.microsoft:session-lock-lost"]);

impl Model {
    fn session(&mut self, place: &Place, id: &str) -> &mut Session {
        let key = self.session_key(id);
        self.store_mut(place).sessions.entry(key).or_default()
    }

    fn holder(&self, place: &Place, id: &str) -> Option<usize> {
        self.store(place).sessions.get(&self.session_key(id))?.holder
    }

    /// Whether a connection holds a session.
    pub fn holds(&self, client: usize, place: &Place, id: &str) -> bool {
        self.holder(place, id).and_then(|link| self.links.get(&link)).is_some_and(|link| link.client == client)
    }

    /// Accepts a named session, with messages or without (docs/evidence/pinned-behaviour.md SES1), unless it is held
    /// (SES3).
    pub fn accept_named(&mut self, number: usize, mut link: Link, id: &str) -> Answer {
        let answer = self.check_receiver(&link.place, true);
        if answer != Answer::Done {
            return answer;
        }
        if self.holder(&link.place, id).is_some() {
            return Answer::Refused(&["com.microsoft:session-cannot-be-locked"]);
        }
        link.waits_until = None;
        let place = link.place.clone();
        self.links.insert(number, link);
        self.grant(number, &place, id);
        Answer::Done
    }

    fn grant(&mut self, number: usize, place: &Place, id: &str) {
        // Accept time and lock duration (docs/evidence/pinned-behaviour.md SES33).
        let until = self.utc + self.settings(place).lock;
        let session = self.session(place, id);
        session.holder = Some(number);
        session.until = until;
        let link = self.links.get_mut(&number).expect("the link exists");
        link.session = Some(id.to_owned());
        link.waits_until = None;
    }

    /// The session that is accepted next: one with messages that can be received and without a holder
    /// (docs/evidence/service-evidence.md §12, docs/evidence/pinned-behaviour.md SES8 and SES41). Its order is the
    /// broker's own promise, as docs/evidence/field-reports.md F66 leaves it open: that of the oldest message that waits
    /// (docs/evidence/mutations.md "next session by its newest").
    pub fn next_session(&self, place: &Place) -> Option<String> {
        let free = |message: &&Message| {
            let id = message.session.as_deref();
            message.is_available()
                && !message.is_expired(self.utc)
                && id.is_some_and(|id| self.holder(place, id).is_none())
        };
        let oldest = self.store(place).messages.iter().filter(free).min_by_key(|message| message.order)?;
        oldest.session.as_deref().map(|id| self.session_key(id))
    }

    /// Gives a link that waits the session that was observed.
    ///
    /// # Errors
    /// A description of the difference.
    pub fn accept_next(&mut self, number: usize, id: &str) -> Result<(), String> {
        let Some(link) = self.links.get(&number) else { return Err(format!("link {number} has ended")) };
        let place = link.place.clone();
        let next = self.next_session(&place);
        if link.waits_until.is_none() || next.as_deref() != Some(&self.session_key(id)) {
            return Err(format!("link {number} was granted {id:?}, next is {next:?}"));
        }
        self.grant(number, &place, id);
        Ok(())
    }

    /// Objects when a link waits although a session is free (docs/evidence/pinned-behaviour.md SES9).
    ///
    /// # Errors
    /// A description of the difference.
    pub fn check_waiting(&self) -> Result<(), String> {
        for (number, link) in &self.links {
            if link.waits_until.is_some()
                && let Some(session) = self.next_session(&link.place)
            {
                return Err(format!("link {number} waits although {session:?} is free"));
            }
        }
        Ok(())
    }

    /// Renews a session's lock for its holder (docs/evidence/pinned-behaviour.md SES23 and SES25).
    pub fn renew_session(&mut self, client: usize, place: &Place, id: &str) -> Result<Time, Answer> {
        if !self.holds(client, place, id) {
            return Err(LOST);
        }
        let until = self.utc + self.settings(place).lock;
        self.session(place, id).until = until;
        Ok(until)
    }

    /// Sets or clears a session's state for its holder (docs/evidence/pinned-behaviour.md SES18, SES19 and SES27).
    pub fn set_state(&mut self, client: usize, place: &Place, id: &str, state: Option<Vec<u8>>) -> Answer {
        if !self.holds(client, place, id) {
            return LOST;
        }
        self.session(place, id).state = state;
        Answer::Done
    }

    /// A session's state: it outlives messages, locks and receivers (docs/evidence/pinned-behaviour.md SES20), and can
    /// be read without the lock (SES22).
    pub fn state(&self, place: &Place, id: &str) -> Option<Vec<u8>> {
        self.store(place).sessions.get(&self.session_key(id))?.state.clone()
    }

    /// Numbers of messages that are locked in a session.
    fn locked_in(&self, place: &Place, id: &str) -> Vec<i64> {
        let key = Some(self.session_key(id));
        let of = |message: &&Message| message.session.as_deref().map(|id| self.session_key(id)) == key;
        let messages = self.store(place).messages.iter().filter(of);
        let mut locked: Vec<&Message> = messages.filter(|message| message.lock.is_some()).collect();
        locked.sort_by_key(|message| message.order);
        locked.iter().map(|message| message.number).collect()
    }

    /// Ends a link. A session is free at once and its messages with it, uncounted (docs/evidence/pinned-behaviour.md
    /// SES10 and SES12, docs/evidence/wire-protocol.md §8); other locks stay (SET40).
    pub fn close(&mut self, number: usize) {
        let Some(link) = self.links.remove(&number) else { return };
        let Some(id) = &link.session else { return };
        for locked in self.locked_in(&link.place, id) {
            if let Some(message) = self.store_mut(&link.place).find(locked) {
                message.lock = None;
                message.taken = None;
            }
            self.expire_if_due(&link.place, locked);
        }
        self.session(&link.place, id).holder = None;
    }

    /// Ends a session's lock: the link is detached (docs/evidence/wire-protocol.md §4.6), and its deliveries count
    /// (docs/evidence/pinned-behaviour.md SES34 and SET3).
    pub(super) fn lose_session(&mut self, place: &Place, id: &str) {
        let Some(number) = self.holder(place, id) else { return };
        self.session(place, id).holder = None;
        self.links.remove(&number);
        self.ended.push((number, &["com.microsoft:session-lock-lost"]));
        for locked in self.locked_in(place, id) {
            if let Some(message) = self.store_mut(place).find(locked) {
                message.taken = None;
            }
            self.fail_delivery(place, locked);
        }
    }
}
