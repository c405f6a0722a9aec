//! Sends, settlements and requests: what the broker answers, and what the model does.

use super::bench;
use super::compare::{body_of, forget_reasons, peeked, session_of, since_start};
use super::run::{Held, Run};
use crate::broker::{Ended, START, encoded, longs, put_map, uuids};
use crate::model::Answer;
use crate::model::entities::{Place, Sub};
use crate::model::messages::Message as Modelled;
use crate::model::rules::{Filter, Rule};
use crate::model::settlement::Ending;
use crate::model::steps::Draft;
use crate::model::transactions::Work;
use bytes::{Bytes, BytesMut};
use servicebus_core::servicebus::{BATCH_FORMAT, LockToken, MessageRef};
use servicebus_core::time::Duration;
use servicebus_core::wire::message::section;
use servicebus_core::wire::messaging::put_section;
use servicebus_core::wire::{Encode, Reader, Sink, Uuid, Value};

/// The condition that an outcome refuses with.
pub(crate) fn condition(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Rejected(Some(failure)) => Some(failure.condition.clone()),
        Ended::Transactional(inner) => condition(inner),
        Ended::Nothing => Some("no answer".into()),
        _ => None,
    }
}

/// A transaction that a step uses: the model's number and the id.
pub(crate) type Used = Option<(usize, Vec<u8>)>;

impl Run {
    /// The transaction of a step.
    pub(crate) fn used_transaction(&self, txn: Option<u8>) -> Used {
        let txn = usize::from(txn?);
        if self.transactions.is_empty() {
            return None;
        }
        let (number, _, id) = &self.transactions[txn % self.transactions.len()];
        Some((*number, id.clone()))
    }

    fn check_transaction(&mut self, used: &Used, client: usize, entity: &str) -> Answer {
        match used {
            Some((number, _)) => self.model.use_transaction(*number, client, entity),
            None => Answer::Done,
        }
    }

    fn wire(&self, message: &Modelled) -> Bytes {
        let body = message.body.to_string();
        let mut properties = Vec::new();
        properties.extend(message.color.as_deref().map(|color| ("color", Value::from(color))));
        properties.extend(message.quantity.map(|quantity| ("quantity", Value::Long(quantity))));
        let mut built = MessageRef::new(body.as_str()).with_properties(&properties);
        if let Some(id) = &message.id {
            built = built.with_message_id(id.as_str());
        }
        if let Some(session) = &message.session {
            built = built.with_session_id(session);
        }
        if let Some(ttl) = message.ttl {
            built = built.with_time_to_live(Duration::from_millis(ttl));
        }
        if let Some(at) = message.schedule {
            built = built.with_scheduled_enqueue_time(START + Duration::from_millis(at));
        }
        encoded(&built)
    }

    pub(crate) fn send(
        &mut self,
        client: usize,
        entity: &'static str,
        drafts: &[Draft],
        txn: Option<u8>,
        batch: bool,
    ) -> Result<(), String> {
        let key = (client, entity.to_owned());
        let link = self.senders.get(&key).copied().filter(|link| !self.world.is_detached(client, *link));
        let link = match link {
            Some(link) => Ok(link),
            None => self.world.sender(client, entity),
        };
        let refused = link.as_ref().err().map(|failure| failure.condition.clone());
        let expected = match self.model.can_send(entity) {
            true => Answer::Done,
            false => Answer::Refused(&["com.microsoft:entity-disabled", "amqp:not-found"]),
        };
        expected.check("attach of a sender", refused.as_deref())?;
        let Ok(link) = link else { return Ok(()) };
        self.senders.insert(key, link);
        let messages: Vec<Modelled> = drafts.iter().map(|draft| self.modelled(draft)).collect();
        let used = self.used_transaction(txn);
        let payload = match batch {
            false => self.wire(&messages[0]),
            true => {
                let mut out = BytesMut::new();
                let sink = &mut Sink::from(&mut out);
                for message in &messages {
                    put_section(sink, section::DATA);
                    self.wire(message)[..].encode(sink);
                }
                out.freeze()
            }
        };
        let format = if batch { BATCH_FORMAT } else { 0 };
        let transaction = self.check_transaction(&used, client, entity);
        let own = self.model.check_send(entity, &messages);
        let answer = self.world.send_bytes(client, link, payload, format, used.as_ref().map(|(_, id)| &id[..]));
        let observed = condition(&answer);
        match (&transaction, &own) {
            (Answer::Done, _) => own.check("send", observed.as_deref())?,
            (_, Answer::Done) => transaction.check("send in a transaction", observed.as_deref())?,
            _ if observed.is_some() => return Ok(()),
            _ => return Err("a send that is wrong twice was accepted".into()),
        }
        if transaction == Answer::Done && own == Answer::Done {
            match used {
                Some((number, _)) => self.model.add_work(number, Work::Send(entity.to_owned(), messages)),
                None => self.model.send(entity, &messages),
            }
        }
        Ok(())
    }

    pub(crate) fn schedule(
        &mut self,
        client: usize,
        entity: &'static str,
        draft: &Draft,
        txn: Option<u8>,
    ) -> Result<(), String> {
        if !bench::is_open(&self.model, entity) {
            return Ok(());
        }
        let used = self.used_transaction(txn);
        let message = self.modelled(draft);
        let payload = self.wire(&message);
        let mut list = BytesMut::new();
        let sink = &mut Sink::from(&mut list);
        let mark = sink.begin();
        put_map(sink, &[("message", Value::Binary(&payload))]);
        sink.end(mark, servicebus_core::wire::Compound::List, 1);
        let entries = [("messages", Reader::new(&list).value().unwrap())];
        let transaction = self.check_transaction(&used, client, entity);
        let forwards = self.model.entities.get(entity).is_some_and(|found| found.settings.forward.is_some());
        let own = match forwards {
            true => Answer::Refused(&["amqp:not-allowed"]),
            false => self.model.check_send(entity, std::slice::from_ref(&message)),
        };
        let id = used.as_ref().map(|(_, id)| &id[..]);
        let response = self.request(client, entity, "schedule-message", &entries, id);
        let observed = response.condition().map(str::to_owned);
        match (&transaction, &own) {
            (Answer::Done, _) => own.check("schedule", observed.as_deref())?,
            (_, Answer::Done) => transaction.check("schedule in a transaction", observed.as_deref())?,
            _ if observed.is_some() => return Ok(()),
            _ => return Err("a schedule that is wrong twice was accepted".into()),
        }
        if observed.is_some() {
            return Ok(());
        }
        let number = self.model.reserve(entity);
        if response.numbers() != [number] {
            return Err(format!("scheduled under {:?}, expected {number}: {response:?}", response.numbers()));
        }
        self.scheduled.push((entity.to_owned(), number));
        match used {
            Some((txn, _)) => self.model.add_work(txn, Work::Schedule(entity.to_owned(), message, number)),
            None => self.model.schedule(entity, message, number),
        }
        Ok(())
    }

    pub(crate) fn cancel(&mut self, client: usize, which: u8, txn: Option<u8>) -> Result<(), String> {
        if self.scheduled.is_empty() {
            return Ok(());
        }
        let (entity, number) = self.scheduled[usize::from(which) % self.scheduled.len()].clone();
        // A transaction that is open cancels it: no document says whether it can be cancelled elsewhere meanwhile.
        let taken = |message: &Modelled| message.number == number && message.taken.is_some();
        if !bench::is_open(&self.model, &entity) || self.model.waiting_store(&entity).messages.iter().any(taken) {
            return Ok(());
        }
        let used = self.used_transaction(txn);
        let numbers = longs(&[number]);
        let entries = [("sequence-numbers", Reader::new(&numbers).value().unwrap())];
        let transaction = self.check_transaction(&used, client, &entity);
        let id = used.as_ref().map(|(_, id)| &id[..]);
        let response = self.request(client, &entity, "cancel-scheduled-message", &entries, id);
        let condition = response.condition().map(str::to_owned);
        let expected = match transaction {
            Answer::Done => self.model.cancel(&entity, number, used.as_ref().map(|(number, _)| *number)),
            // Wrong twice: either refusal is legal.
            _ if self.model.clone().cancel(&entity, number, None) != Answer::Done && condition.is_some() => {
                return Ok(());
            }
            refused => refused,
        };
        expected.check("cancel", condition.as_deref())?;
        if let (Some((txn, _)), Answer::Done) = (used, expected) {
            self.model.add_work(txn, Work::Cancel(entity, number));
        }
        Ok(())
    }

    pub(crate) fn receive_deferred(&mut self, client: usize, which: u8, locking: bool) -> Result<(), String> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let (place, number, session) = self.deferred[usize::from(which) % self.deferred.len()].clone();
        if !bench::is_open(&self.model, &place.entity) {
            return Ok(());
        }
        let in_session = bench::of_sessions(&self.model, &place);
        let session = session.filter(|_| in_session);
        let numbers = longs(&[number]);
        let mut entries = vec![
            ("sequence-numbers", Reader::new(&numbers).value().unwrap()),
            ("receiver-settle-mode", Value::Uint(u32::from(locking))),
        ];
        entries.extend(session.as_deref().map(|session| ("session-id", Value::String(session))));
        let response = self.request(client, &place.address(), "receive-by-sequence-number", &entries, None);
        let observed = response.condition();
        if in_session && !session.as_deref().is_some_and(|session| self.model.holds(client, &place, session)) {
            return Answer::Refused(&["com.microsoft:session-lock-lost"]).check("receive deferred", observed);
        }
        let messages = if observed.is_none() { response.messages() } else { Vec::new() };
        let token = messages.first().map_or([0; 16], |message| message.token.uuid().0);
        let expected = self.model.receive_deferred(&place, number, locking.then_some(token));
        match (expected, messages.first()) {
            (Err(refused), _) => refused.check("receive deferred", observed),
            (Ok(message), Some(found)) => {
                let expected = (message.number, message.body, message.count, 1, message.session.clone());
                let observed = (found.number(), body_of(found), found.count(), found.state(), session_of(found));
                if expected != observed || since_start(found.enqueued()) != message.enqueued {
                    return Err(format!("deferred: expected {message:?}, observed {observed:?}"));
                }
                if locking {
                    self.hold(Held { client, link: None, received: None, place, token, session, number });
                }
                Ok(())
            }
            (Ok(message), None) => Err(format!("expected deferred {message:?}, observed {observed:?}")),
        }
    }

    pub(crate) fn peek(
        &mut self,
        client: usize,
        place: &Place,
        session: Option<&str>,
        from: i64,
        count: i32,
    ) -> Result<(), String> {
        if !bench::is_open(&self.model, &place.entity) {
            return Ok(());
        }
        let in_session = bench::of_sessions(&self.model, place);
        let session = session.filter(|_| in_session);
        let response = self.peek_messages(client, place, session, from, count);
        let observed = response.condition();
        let forwards = place.sub == Sub::Main && self.model.settings(place).forward.is_some();
        if forwards {
            return Answer::Refused(&["amqp:not-allowed"]).check("peek", observed);
        }
        Answer::Done.check("peek", observed)?;
        let mut expected = self.model.peek(place, from, session);
        expected.truncate(usize::try_from(count).expect("a count"));
        let mut observed: Vec<_> = response.messages().iter().map(peeked).collect();
        forget_reasons(&expected, &mut observed);
        if expected == observed { Ok(()) } else { Err(format!("peek: expected {expected:?}, observed {observed:?}")) }
    }

    pub(crate) fn renew(&mut self, client: usize, which: u8) -> Result<(), String> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = self.held[usize::from(which) % self.held.len()].clone();
        let gone = !bench::is_open(&self.model, &held.place.entity);
        let in_transaction = |found: &Modelled| {
            found.taken.is_some() && found.lock.as_ref().is_some_and(|lock| lock.token == held.token)
        };
        if gone || self.model.store(&held.place).messages.iter().any(in_transaction) {
            return Ok(());
        }
        let tokens = uuids(&[LockToken::from_uuid(Uuid(held.token))]);
        let entries = [("lock-tokens", Reader::new(&tokens).value().unwrap())];
        let response = self.request(client, &held.place.address(), "renew-lock", &entries, None);
        let condition = response.condition().map(str::to_owned);
        let Some(until) = self.model.renew(&held.place, held.token) else {
            let lost = Answer::Refused(&["com.microsoft:message-lock-lost", "com.microsoft:session-lock-lost"]);
            return lost.check("renew", condition.as_deref());
        };
        Answer::Done.check("renew", condition.as_deref())?;
        let Some(Value::Array(ends)) = response.body().get("expirations") else { return Err("no expirations".into()) };
        let end = ends.iter().next().and_then(Result::ok).and_then(|end| end.as_timestamp()).map(since_start);
        if until.is_some() && until != end {
            return Err(format!("renewed until {end:?}, expected {until:?}"));
        }
        Ok(())
    }

    pub(crate) fn add_rule(&mut self, client: usize, rule: &Rule) -> Result<(), String> {
        if !bench::is_open(&self.model, bench::RULED) {
            return Ok(());
        }
        let text = match &rule.filter {
            Filter::Sql(condition) => condition.sql(),
            _ => "1=1".into(),
        };
        let mut inner = BytesMut::new();
        match rule.filter {
            Filter::Color(color) => {
                let mut properties = BytesMut::new();
                put_map(&mut Sink::from(&mut properties), &[("Color", Value::from(color))]);
                let properties = Reader::new(&properties).value().unwrap();
                put_map(&mut Sink::from(&mut inner), &[("properties", properties)]);
            }
            _ => put_map(&mut Sink::from(&mut inner), &[("expression", Value::String(&text))]),
        }
        let kind = if matches!(rule.filter, Filter::Color(_)) { "correlation-filter" } else { "sql-filter" };
        let mut description = BytesMut::new();
        put_map(&mut Sink::from(&mut description), &[(kind, Reader::new(&inner).value().unwrap())]);
        let entries = [
            ("rule-name", Value::String(&rule.name)),
            ("rule-description", Reader::new(&description).value().unwrap()),
        ];
        let response = self.request(client, bench::RULED, "add-rule", &entries, None);
        let condition = response.condition().map(str::to_owned);
        self.model.add_rule(bench::RULED, rule.clone()).check("add rule", condition.as_deref())
    }

    pub(crate) fn remove_rule(&mut self, client: usize, name: &str) -> Result<(), String> {
        if !bench::is_open(&self.model, bench::RULED) {
            return Ok(());
        }
        let response = self.request(client, bench::RULED, "remove-rule", &[("rule-name", Value::String(name))], None);
        let condition = response.condition().map(str::to_owned);
        self.model.remove_rule(bench::RULED, name).check("remove rule", condition.as_deref())
    }
}

/// Keeps the endings apart that a link's answer shows.
pub(crate) fn answers(ended: &Ended, ending: Ending) -> bool {
    match ended {
        Ended::Transactional(inner) => answers(inner, ending),
        _ => matches!(
            (ended, ending),
            (Ended::Accepted, Ending::Complete)
                | (Ended::Released, Ending::Release)
                | (Ended::Modified { undeliverable_here: false }, Ending::Abandon)
                | (Ended::Modified { undeliverable_here: true }, Ending::Defer)
                | (Ended::Rejected(None), Ending::Reject)
        ),
    }
}
