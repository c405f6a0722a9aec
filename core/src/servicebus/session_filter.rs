//! The filters that ask for a session, and what a peer grants by them.
// docs/evidence/wire-protocol.md §4.6, §5

use super::lock_token::LockToken;
use super::session_choice::SessionChoice;
use crate::storage::{Storage, Text};
use crate::wire::{Compound, Encode, Full, Map, Sink, Symbol, Value};

/// Asks for a session by its id, or for any.
const EXCLUSIVE: &str = "com.microsoft:session-filter";
/// Asks for a session that others may take over, by id and token.
// docs/evidence/pinned-behaviour.md SES46
const NON_EXCLUSIVE: &str = "com.microsoft:non-exclusive-session-filter";
/// Describes the list of that filter; the symbol for it is the key with `:list` behind.
const NON_EXCLUSIVE_CODE: u64 = 0x0000_0013_7000_000e;

/// Bytes of the largest filter: a session id of 128 characters and a token.
pub(crate) const MAX_LEN: usize = 640;

/// The filter of a non-exclusive session.
struct NonExclusive<'a> {
    id: Option<&'a str>,
    token: Option<LockToken>,
}

impl Encode for NonExclusive<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        sink.put_byte(0x00);
        NON_EXCLUSIVE_CODE.encode(sink);
        let list = sink.begin();
        self.id.encode(sink);
        self.token.map(LockToken::uuid).encode(sink);
        sink.end(list, Compound::List, 2);
    }
}

/// The filter set that asks for a session, encoded into `buffer`.
///
/// # Errors
/// A session id that is too long.
pub(crate) fn encode<'b, S: Storage>(session: &SessionChoice<S>, buffer: &'b mut [u8]) -> Result<Map<'b>, Full> {
    let mut sink = Sink::new(buffer);
    match session {
        SessionChoice::Named(id) => {
            Symbol::new(EXCLUSIVE).encode(&mut sink);
            id.as_ref().encode(&mut sink);
        }
        SessionChoice::NextAvailable => {
            Symbol::new(EXCLUSIVE).encode(&mut sink);
            Value::Null.encode(&mut sink);
        }
        SessionChoice::NonExclusive { id, token } => {
            Symbol::new(NON_EXCLUSIVE).encode(&mut sink);
            NonExclusive { id: id.as_ref().map(AsRef::as_ref), token: *token }.encode(&mut sink);
        }
    }
    let len = sink.finish()?;
    Ok(Map::of_encoded(1, buffer.get(..len).unwrap_or_default()))
}

/// The session that the peer's attach grants; `None` when it names no session, or no token where one is needed: a peer
/// that does not know a filter leaves it out of its answer (AMQP 1.0 §3.5.3).
pub(crate) fn granted<S: Storage>(asked: &SessionChoice<S>, filters: Map<'_>) -> Option<SessionChoice<S>> {
    let get = |name| match filters.get(name) {
        // Some peers describe the value, others do not (docs/evidence/wire-protocol.md §0 fact 9).
        Some(Value::Described(described)) => described.value().ok(),
        other => other,
    };
    if !matches!(asked, SessionChoice::NonExclusive { .. }) {
        return Some(SessionChoice::Named(S::Text::cut(get(EXCLUSIVE)?.as_str()?)));
    }
    let Value::List(fields) = get(NON_EXCLUSIVE)? else { return None };
    let mut fields = fields.iter().map_while(Result::ok);
    let id = S::Text::cut(fields.next()?.as_str()?);
    let Value::Uuid(token) = fields.next()? else { return None };
    Some(SessionChoice::NonExclusive { id: Some(id), token: Some(LockToken::from_uuid(token)) })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::storage::Heap;
    use crate::wire::{Reader, Uuid, to_vec};
    use std::string::String;

    const TOKEN: LockToken = LockToken::from_uuid(Uuid(*b"0123456789abcdef"));

    fn text<T: Text>(text: &str) -> T {
        T::cut(text)
    }

    #[test]
    fn the_filter_of_a_non_exclusive_session_is_a_described_list_ses46() {
        let mut buffer = [0; MAX_LEN];
        let asked = SessionChoice::<Heap>::NonExclusive { id: Some(text("one")), token: Some(TOKEN) };
        let filters = encode(&asked, &mut buffer).unwrap();
        let Some(Value::Described(filter)) = filters.get(NON_EXCLUSIVE) else { panic!("{filters:?}") };
        assert_eq!(filter.code(), Some(0x0000_0013_7000_000e));
        let Ok(Value::List(fields)) = filter.value() else { panic!("{filter:?}") };
        let fields: std::vec::Vec<_> = fields.iter().map(Result::unwrap).collect();
        assert_eq!(fields, [Value::String("one"), Value::Uuid(TOKEN.uuid())]);
        assert_eq!(filters.get(EXCLUSIVE), None);
        assert_eq!(filters.len(), 1);
        // Any session, and no token yet.
        let mut buffer = [0; MAX_LEN];
        let asked = SessionChoice::<Heap>::NonExclusive { id: None, token: None };
        let filters = encode(&asked, &mut buffer).unwrap();
        let Some(Value::Described(filter)) = filters.get(NON_EXCLUSIVE) else { panic!("{filters:?}") };
        let Ok(Value::List(fields)) = filter.value() else { panic!("{filter:?}") };
        assert!(fields.iter().all(|field| field == Ok(Value::Null)) && fields.len() == 2);
    }

    #[test]
    fn the_longest_session_id_fits() {
        let id: String = core::iter::repeat_n('\u{1f980}', 128).collect();
        let asked = SessionChoice::<Heap>::NonExclusive { id: Some(text(&id)), token: Some(TOKEN) };
        let mut buffer = [0; MAX_LEN];
        let filters = encode(&asked, &mut buffer).unwrap();
        assert_eq!(granted(&asked, filters), Some(asked));
        let mut buffer = [0; MAX_LEN];
        assert!(encode(&SessionChoice::<Heap>::Named(text(&id)), &mut buffer).is_ok());
    }

    #[test]
    fn only_what_is_wholly_granted_counts() {
        let asked = SessionChoice::<Heap>::NonExclusive { id: Some(text("one")), token: None };
        for (id, token, granted_here) in [
            (Some("one"), Some(TOKEN), true),
            // Echoed as it was asked for, without a token: the peer took it for something else.
            (Some("one"), None, false),
            (None, Some(TOKEN), false),
        ] {
            let mut buffer = [0; MAX_LEN];
            let answer = SessionChoice::<Heap>::NonExclusive { id: id.map(text), token };
            let filters = encode(&answer, &mut buffer).unwrap();
            assert_eq!(granted(&asked, filters), granted_here.then_some(answer));
        }
        // Left out, and answered by an exclusive lock.
        assert_eq!(granted(&asked, Map::EMPTY), None);
        let mut buffer = [0; MAX_LEN];
        let exclusive = encode(&SessionChoice::<Heap>::Named(text("one")), &mut buffer).unwrap();
        assert_eq!(granted(&asked, exclusive), None);
        assert_eq!(granted(&SessionChoice::<Heap>::NextAvailable, exclusive), Some(SessionChoice::Named(text("one"))));
    }

    #[test]
    fn whatever_a_peer_answers_is_no_session_and_no_panic() {
        let asked = SessionChoice::<Heap>::NonExclusive { id: None, token: None };
        let mut whole = to_vec(&Symbol::new(NON_EXCLUSIVE));
        whole.extend(to_vec(&NonExclusive { id: Some("one"), token: Some(TOKEN) }));
        for end in 0..whole.len() {
            assert_eq!(granted(&asked, Map::of_encoded(1, &whole[..end])), None);
        }
        let mut other = to_vec(&Symbol::new(NON_EXCLUSIVE));
        other.extend(to_vec(&Value::String("one")));
        assert!(Reader::new(&other).value().is_ok());
        assert_eq!(granted(&asked, Map::of_encoded(1, &other)), None);
    }

    #[test]
    fn a_token_is_not_told() {
        let session = SessionChoice::<Heap>::NonExclusive { id: Some(text("one")), token: Some(TOKEN) };
        let told = std::format!("{session:?}");
        assert!(told.contains("one") && !told.contains("48, 49"), "{told}");
        assert!(!told.contains("3031"), "{told}");
    }
}
