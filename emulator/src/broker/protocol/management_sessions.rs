//! `$management` for sessions.

use super::fault::Refusal;
use super::management::{Call, Reply, argument, body, is_sentinel};
use super::peer::Peer;
use super::response;
use crate::broker::budget::Holding;
use crate::broker::entities::{EntityError, name};
use crate::broker::shared::Shared;
use crate::broker::transactions::Operation;
use bytes::Bytes;
use servicebus_core::wire::{Compound, Encode, Value};
use std::sync::Arc;

/// Sessions of one page at most.
const MAX_PAGE: usize = 1_000;

impl Shared {
    pub(super) fn manage_sessions(&mut self, peer: &Peer, operation: &str, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (id, _) = self.stores(call)?;
        let utc = call.clock.utc;
        if operation == "get-message-sessions" {
            return self.list_sessions(call);
        }
        let session = call.request.text("session-id")?.ok_or_else(|| argument("The request names no session."))?;
        match operation {
            "renew-session-lock" => {
                self.check_session(peer, id, session, call.clock)?;
                let until = self.namespace.renew_session(id, session, utc)?;
                self.statistics.locks_renewed += 1;
                Ok(body(|out| response::put_single(out, "expiration", |out| until.encode(out))))
            }
            "get-session-state" => {
                let store = self.namespace.store(id);
                if !store.is_some_and(|store| store.settings().requires_session) {
                    return Err(EntityError::SessionNotSupported.into());
                }
                // A browsed session's state can be read without its lock (docs/evidence/pinned-behaviour.md SES22); one
                // whose lock was lost cannot.
                let associated = call.request.properties.get("associated-link-name").is_some();
                if associated {
                    self.check_session(peer, id, session, call.clock)?;
                }
                let state = store.and_then(|store| store.session_state(session));
                let value = state.as_deref().map_or(Value::Null, Value::Binary);
                Ok(body(|out| response::put_single(out, "session-state", |out| value.encode(out))))
            }
            _ => {
                self.check_session(peer, id, session, call.clock)?;
                // An empty state is none: that is how the SDK for Go clears it (docs/evidence/pinned-behaviour.md
                // SES19).
                let state = call.request.bytes("session-state")?.filter(|state| !state.is_empty());
                // It may be as large as a message (docs/evidence/wire-protocol.md §8).
                let limit = self.namespace.max_message_size(&name::key(call.address.entity));
                if state.is_some_and(|state| state.len() as u64 > limit) {
                    let text = format!("The state of a session must not exceed {limit} bytes.");
                    return Err(Refusal::new(servicebus_core::servicebus::Reason::MessageSizeExceeded, text));
                }
                // The session is there as long as its state: its name twice, as written and as compared.
                let keep = |state| {
                    self.budget.keep_beside(Holding::SessionStates, Bytes::copy_from_slice(state), 2 * session.len())
                };
                let state = state.map(keep).transpose()?;
                match &call.txn {
                    None => self.namespace.set_session_state(id, session, state, utc)?,
                    // It is set with the commit (docs/evidence/field-reports.md F71).
                    Some(txn) => {
                        let operation = Operation::SessionState { store: id, session: session.to_owned(), state };
                        self.enlist(peer, call.session, txn, operation, call.clock)?;
                    }
                }
                Ok(Reply::Done)
            }
        }
    }

    fn list_sessions(&mut self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let (id, _) = self.stores(call)?;
        let after = call.request.time("last-updated-time")?.filter(|time| !is_sentinel(*time));
        let skip = call.request.count("skip", 0)?;
        let top = call.request.count("top", 100)?.min(MAX_PAGE);
        let Some(store) = self.namespace.store(id) else { return Ok(Reply::Nothing) };
        let ids: Vec<Arc<str>> = store.list_sessions(after, skip).take(top).cloned().collect();
        if ids.is_empty() {
            return Ok(Reply::Nothing);
        }
        let next = i32::try_from(skip + ids.len()).unwrap_or(i32::MAX);
        Ok(body(|out| {
            let mark = out.begin();
            "skip".encode(out);
            next.encode(out);
            "sessions-ids".encode(out);
            response::put_strings(out, ids.iter().map(AsRef::as_ref));
            out.end(mark, Compound::Map, 4);
        }))
    }
}
