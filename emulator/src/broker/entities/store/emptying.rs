//! Stores that are emptied: what they held is handed over as a whole, and let go in parts.

use super::Store;
use crate::broker::entities::session::Session;
use std::sync::Arc;

impl Store {
    /// Its entries, to be let go one by one.
    pub(in crate::broker::entities) fn into_entries(self) -> impl Iterator<Item = ()> + Send {
        let Self { entries, available, ages, sessions, shared, ready, timers, held, listed, stated, .. } = self;
        let lists = listed.into_entries().chain(stated.into_entries());
        let messages = entries.into_values().map(|_| ());
        let indexes = available.into_iter().map(|_| ()).chain(ages.into_iter().map(|_| ()));
        let sessions = sessions.into_values().flat_map(Session::into_entries);
        let of_sessions = shared.into_values().chain(held).map(|_| ()).chain(ready.into_iter().map(|_| ()));
        messages.chain(indexes).chain(lists).chain(sessions).chain(of_sessions).chain(timers.into_iter().map(|_| ()))
    }

    /// Whether it has neither messages nor sessions.
    pub(in crate::broker) fn is_pure(&self) -> bool {
        self.entries.is_empty() && self.sessions.is_empty()
    }

    /// Takes every message and every state out, to be let go one by one. Sessions that are held stay so, until their locks
    /// end.
    pub(in crate::broker::entities) fn purge(&mut self) -> impl Iterator<Item = ()> + Send + use<> {
        let mut fresh = Self::new(self.owner.clone(), self.settings.clone());
        fresh.next_sequence = self.next_sequence;
        fresh.next_position = self.next_position;
        fresh.awaited = self.awaited;
        fresh.work = self.work.clone();
        fresh.life = Arc::clone(&self.life);
        fresh.signals = core::mem::take(&mut self.signals);
        fresh.signalled = core::mem::take(&mut self.signalled);
        for key in &self.held {
            self.work.add(1);
            let Some(session) = self.sessions.get(key) else { continue };
            let Some(lock) = session.lock else { continue };
            if let Some(token) = lock.token {
                fresh.shared.insert(token, Arc::clone(key));
            }
            let name = Arc::clone(&session.name);
            fresh.sessions.insert(Arc::clone(key), Session { lock: session.lock, ..Session::named(name) });
            fresh.set_session_timer(key, None, Some(lock.until));
        }
        core::mem::replace(self, fresh).into_entries()
    }
}
