//! Settlements, sessions and transactions: what the broker answers, and what the model does.

use super::bench;
use super::compare::since_start;
use super::run::Run;
use super::verbs::{answers, condition};
use crate::broker::{Ended, uuids};
use crate::model::Answer;
use crate::model::entities::Place;
use crate::model::settlement::Ending;
use crate::model::transactions::{Transaction, Work};
use bytes::BytesMut;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::LockToken;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected, Source, put_section};
use servicebus_core::wire::performative::{Attach, ErrorCondition, Role, SenderSettleMode, TargetArchetype};
use servicebus_core::wire::transaction::{Coordinator, Declare, Discharge, TransactionalState};
use servicebus_core::wire::{Encode, Reader, Sink, Symbol, Uuid, Value, encode_map};

/// Most transactions that are open at once.
const OPEN: usize = 4;

fn outcome<'a>(ending: Ending, info: Option<servicebus_core::wire::Map<'a>>) -> Outcome<'a> {
    let modified = |defer| {
        Outcome::Modified(Modified {
            delivery_failed: Some(true),
            undeliverable_here: Some(defer),
            message_annotations: None,
        })
    };
    match ending {
        Ending::Complete => Outcome::Accepted,
        Ending::Release => Outcome::Released,
        Ending::Abandon => modified(false),
        Ending::Defer => modified(true),
        Ending::Reject => {
            let error = ErrorCondition { info, ..ErrorCondition::new("com.microsoft:dead-letter") };
            Outcome::Rejected(Rejected { error: Some(error) })
        }
    }
}

impl Run {
    pub(crate) fn settle(
        &mut self,
        client: usize,
        which: u8,
        ending: Ending,
        managed: bool,
        txn: Option<u8>,
    ) -> Result<(), String> {
        if self.held.is_empty() {
            return Ok(());
        }
        let at = usize::from(which) % self.held.len();
        let held = self.held[at].clone();
        if !bench::is_open(&self.model, &held.place.entity) {
            return Ok(());
        }
        let used = self.used_transaction(txn);
        let on_link = held.link.filter(|link| self.links.contains_key(link) && !managed);
        // `$management` knows no release.
        let ending = if on_link.is_none() && ending == Ending::Release { Ending::Abandon } else { ending };
        let client = if on_link.is_some() { held.client } else { client };
        let transaction = match &used {
            Some((number, _)) => self.model.use_transaction(*number, client, &held.place.entity),
            None => Answer::Done,
        };
        let id = used.as_ref().map(|(_, id)| id.clone());
        let (observed, ended) = match on_link {
            Some(_) => {
                self.held[at].link = None;
                let info = [(Value::Symbol(Symbol::new("DeadLetterReason")), Value::from("rejected"))];
                let mut buffer = [0; 64];
                let outcome = outcome(ending, Some(encode_map(&info, &mut buffer).unwrap()));
                let state = match &id {
                    Some(id) => DeliveryState::Transactional(TransactionalState { txn_id: id, outcome: Some(outcome) }),
                    None => DeliveryState::Outcome(outcome),
                };
                let received = held.received.as_ref().expect("it came on a link");
                let ended = self.world.settle(client, received, &state);
                (condition(&ended), Some(ended))
            }
            None => (
                self.settle_managed(client, &held.place, held.session.as_deref(), held.token, ending, id.as_deref()),
                None,
            ),
        };
        let number = used.map(|(number, _)| number);
        let (place, session) = (&held.place, held.session.as_deref());
        if self.model.in_other_transaction(place, held.token, number) {
            // Settled in a transaction that is open: whether it can be settled elsewhere meanwhile is in no document. One
            // of the two counts.
            if observed.is_some() {
                return Ok(());
            }
            self.model.take_from_transaction(place, held.token);
        }
        let expected = match transaction {
            Answer::Done => self.model.settle(client, place, session, held.token, ending, number),
            // Wrong twice: either refusal is legal.
            _ if self.model.clone().settle(client, place, session, held.token, ending, None) != Answer::Done => {
                return if observed.is_some() { Ok(()) } else { Err("settled in a wrong transaction".into()) };
            }
            refused => refused,
        };
        expected.check(&format!("settle {ending:?} of {:?}", held.place), observed.as_deref())?;
        if expected != Answer::Done {
            return Ok(());
        }
        if ended.as_ref().is_some_and(|ended| !answers(ended, ending)) {
            return Err(format!("{ending:?} was answered by {ended:?}"));
        }
        if ending == Ending::Defer {
            self.deferred.push((held.place.clone(), held.number, held.session.clone()));
        }
        if let Some(number) = number {
            self.model.add_work(number, Work::Settle(held.place, held.token, held.number, ending));
        }
        Ok(())
    }

    fn settle_managed(
        &mut self,
        client: usize,
        place: &Place,
        session: Option<&str>,
        token: [u8; 16],
        ending: Ending,
        txn: Option<&[u8]>,
    ) -> Option<String> {
        let tokens = uuids(&[LockToken::from_uuid(Uuid(token))]);
        let status = match ending {
            Ending::Complete => "completed",
            Ending::Release | Ending::Abandon => "abandoned",
            Ending::Defer => "defered",
            Ending::Reject => "suspended",
        };
        let mut entries =
            vec![("disposition-status", Value::from(status)), ("lock-tokens", Reader::new(&tokens).value().unwrap())];
        if ending == Ending::Reject {
            entries.push(("deadletter-reason", Value::from("rejected")));
        }
        if bench::of_sessions(&self.model, place) {
            entries.extend(session.map(|session| ("session-id", Value::String(session))));
        }
        let response = self.request(client, &place.address(), "update-disposition", &entries, txn);
        response.condition().map(str::to_owned)
    }

    pub(crate) fn renew_session(&mut self, client: usize, place: &Place, session: u8) -> Result<(), String> {
        let session = bench::SESSIONS[usize::from(session) % bench::SESSIONS.len()];
        if !bench::of_sessions(&self.model, place) || !bench::is_open(&self.model, &place.entity) {
            return Ok(());
        }
        let entries = [("session-id", Value::from(session))];
        let response = self.request(client, &place.address(), "renew-session-lock", &entries, None);
        match self.model.renew_session(client, place, session) {
            Err(refused) => refused.check("renew session", response.condition()),
            Ok(until) => {
                Answer::Done.check("renew session", response.condition())?;
                let end = response.body().get("expiration").and_then(|end| end.as_timestamp()).map(since_start);
                if end == Some(until) { Ok(()) } else { Err(format!("renewed until {end:?}, expected {until}")) }
            }
        }
    }

    pub(crate) fn set_state(
        &mut self,
        client: usize,
        place: &Place,
        session: u8,
        state: Option<u8>,
        txn: Option<u8>,
    ) -> Result<(), String> {
        let session = bench::SESSIONS[usize::from(session) % bench::SESSIONS.len()];
        if !bench::of_sessions(&self.model, place) || !bench::is_open(&self.model, &place.entity) {
            return Ok(());
        }
        let used = self.used_transaction(txn);
        let state = state.map(|byte| vec![byte]);
        let value = state.as_deref().map_or(Value::Null, Value::Binary);
        let entries = [("session-id", Value::from(session)), ("session-state", value)];
        let response = match &used {
            Some((_, id)) => self.request(client, &place.address(), "set-session-state", &entries, Some(id)),
            None => self.request(client, &place.address(), "set-session-state", &entries, None),
        };
        let observed = response.condition().map(str::to_owned);
        let transaction = match &used {
            Some((number, _)) => self.model.use_transaction(*number, client, &place.entity),
            None => Answer::Done,
        };
        if transaction != Answer::Done {
            return if observed.is_some() { Ok(()) } else { Err("state was set in a wrong transaction".into()) };
        }
        match used {
            Some((number, _)) if self.model.holds(client, place, session) => {
                Answer::Done.check("set state", observed.as_deref())?;
                self.model.add_work(number, Work::State(client, place.clone(), session.to_owned(), state));
                Ok(())
            }
            _ => self.model.set_state(client, place, session, state).check("set state", observed.as_deref()),
        }
    }

    pub(crate) fn get_state(&mut self, client: usize, place: &Place, session: u8) -> Result<(), String> {
        let session = bench::SESSIONS[usize::from(session) % bench::SESSIONS.len()];
        if !bench::of_sessions(&self.model, place) || !bench::is_open(&self.model, &place.entity) {
            return Ok(());
        }
        let entries = [("session-id", Value::from(session))];
        let response = self.request(client, &place.address(), "get-session-state", &entries, None);
        let observed = response.body().get("session-state").and_then(|state| state.as_bytes().map(<[u8]>::to_vec));
        let expected = self.model.state(place, session);
        if expected == observed { Ok(()) } else { Err(format!("state {observed:?}, expected {expected:?}")) }
    }

    fn control(&mut self, client: usize) -> LinkId {
        if let Some(link) = self.controls[client] {
            return link;
        }
        let name = format!("control-{}", self.number());
        let attach = Attach {
            snd_settle_mode: SenderSettleMode::Unsettled,
            source: Some(Source::new(Some("control"))),
            target: Some(TargetArchetype::Coordinator(Coordinator { capabilities: None })),
            ..Attach::new(&name, Role::Sender)
        };
        // On a session of its own, as where transactions belong to one entity (docs/evidence/field-reports.md F40).
        let links = self.world.clients[client].session;
        self.world.begin_session(client);
        let found = &mut self.world.clients[client];
        let link = found.engine.attach(found.session, &attach).unwrap();
        found.session = links;
        self.world.settle_down();
        let link = self.world.attached(client, link).unwrap();
        self.controls[client] = Some(link);
        link
    }

    fn coordinate(&mut self, client: usize, body: &impl Encode) -> Ended {
        let link = self.control(client);
        let mut out = BytesMut::new();
        put_section(&mut Sink::from(&mut out), section::AMQP_VALUE);
        body.encode(&mut Sink::from(&mut out));
        self.world.send_bytes(client, link, out.freeze(), 0, None)
    }

    pub(crate) fn declare(&mut self, client: usize) {
        if self.transactions.len() >= OPEN {
            return;
        }
        let Ended::Declared(id) = self.coordinate(client, &Declare { global_id: None }) else { panic!("not declared") };
        let number = self.number();
        self.model.transactions.insert(number, Transaction::new(client, self.model.now, self.model.utc));
        self.transactions.push((number, client, id));
    }

    pub(crate) fn discharge(&mut self, which: u8, fail: bool) -> Result<(), String> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let at = usize::from(which) % self.transactions.len();
        let (number, client, id) = self.transactions.remove(at);
        let ended = self.coordinate(client, &Discharge { txn_id: &id, fail: Some(fail) });
        let open = self
            .model
            .transactions
            .get(&number)
            .is_none_or(|found| found.entities().all(|entity| bench::is_open(&self.model, entity)));
        if !open && condition(&ended).is_some() {
            // Whether a commit counts for an entity that has been disabled meanwhile is in no document.
            self.model.roll_back(number);
            return Ok(());
        }
        let (now, utc) = (self.model.now, self.model.utc);
        if let Some(found) = self.model.transactions.get_mut(&number).filter(|found| found.is_disputed(now, utc)) {
            if condition(&ended).is_some() {
                self.model.roll_back(number);
                return Ok(());
            }
            found.declared = now;
        }
        let expected = if fail { self.model.roll_back(number) } else { self.model.commit(number) };
        expected.check(if fail { "roll back" } else { "commit" }, condition(&ended).as_deref())
    }
}
