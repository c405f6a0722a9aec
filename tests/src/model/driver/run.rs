//! Runs a sequence against the broker and the model at once.

use super::bench::{self, ALIVE, Entities};
use crate::broker::{Received, Response, World};
use crate::model::entities::{Place, Settings, Status, Sub};
use crate::model::known::Row;
use crate::model::messages::Message as Modelled;
use crate::model::receiving::Link;
use crate::model::steps::{Change, Draft, Kind, Pass, Sequence, Setup, Step};
use crate::model::{Answer, Model, Plant, Time, Token};
use servicebus_core::engine::LinkId;
use servicebus_core::time::Duration;
use servicebus_core::wire::Value;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Connections of a world.
pub(crate) const CLIENTS: usize = 2;
/// The longest step of time between two requests that keep links from being idle.
const SLICE: Time = 240_000;
/// All that a peek shows is compared after so many steps.
const CONTENTS: usize = 10;

/// A delivery that was received.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) client: usize,
    /// The link it can be settled on.
    pub(crate) link: Option<usize>,
    pub(crate) received: Option<Received>,
    pub(crate) place: Place,
    pub(crate) token: Token,
    pub(crate) session: Option<String>,
    pub(crate) number: i64,
}

/// A sequence in progress.
pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) entities: Entities,
    /// Links by the model's numbers.
    pub(crate) links: BTreeMap<usize, (usize, LinkId)>,
    /// When a link was last used.
    pub(crate) used: BTreeMap<usize, Time>,
    pub(crate) senders: HashMap<(usize, String), LinkId>,
    pub(crate) held: Vec<Held>,
    /// Messages that were scheduled, and those that were deferred.
    pub(crate) scheduled: Vec<(String, i64)>,
    pub(crate) deferred: Vec<(Place, i64, Option<String>)>,
    pub(crate) controls: [Option<LinkId>; CLIENTS],
    /// The model's number, the connection and the id.
    pub(crate) transactions: Vec<(usize, usize, Vec<u8>)>,
    pub(crate) numbers: usize,
    pub(crate) bodies: u32,
}

/// The first difference.
#[derive(Debug)]
pub struct Failed {
    /// The step it failed at.
    pub step: usize,
    /// What was expected and what was observed, or the broker's panic.
    pub text: String,
}

impl Run {
    pub(crate) fn new(setup: &Setup, tolerated: &[Row], plant: Option<Plant>) -> Self {
        let mut world = World::new();
        let mut model = Model::new(tolerated.iter().copied());
        model.plant = plant;
        let entities = bench::create(setup, &mut world, &mut model);
        for _ in 0..CLIENTS {
            world.connect();
        }
        Self {
            setup: *setup,
            world,
            model,
            entities,
            links: BTreeMap::new(),
            used: BTreeMap::new(),
            senders: HashMap::new(),
            held: Vec::new(),
            scheduled: Vec::new(),
            deferred: Vec::new(),
            controls: [None; CLIENTS],
            transactions: Vec::new(),
            numbers: 0,
            bodies: 0,
        }
    }

    /// Runs all steps of a sequence.
    pub(crate) fn sequence(sequence: &Sequence, tolerated: &[Row], plant: Option<Plant>) -> Result<(), Failed> {
        let mut run = Self::new(&sequence.setup, tolerated, plant);
        for (number, step) in sequence.steps.iter().enumerate() {
            let last = number + 1 == sequence.steps.len();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                run.step(step)?;
                run.compare()?;
                if last || number % CONTENTS == CONTENTS - 1 { run.compare_contents() } else { Ok(()) }
            }));
            let text = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(text)) => text,
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    format!("panic: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
                }
            };
            return Err(Failed { step: number, text });
        }
        Ok(())
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push(held);
        if self.held.len() > 16 {
            self.held.remove(0);
        }
    }

    pub(crate) fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn place(&self, place: u8) -> Place {
        self.entities.places[usize::from(place) % self.entities.places.len()].clone()
    }

    pub(crate) fn target(&self, entity: u8) -> &'static str {
        self.entities.targets[usize::from(entity) % self.entities.targets.len()]
    }

    /// The receiver that a step means, if there is one.
    fn receiver(&self, which: u8) -> Option<(usize, usize, LinkId)> {
        let open = |(number, _): &(&usize, &(usize, LinkId))| {
            self.model.links.get(number).is_some_and(|link| link.waits_until.is_none())
        };
        let open: Vec<_> = self.links.iter().filter(open).collect();
        if open.is_empty() {
            return None;
        }
        let (number, (client, link)) = open[usize::from(which) % open.len()];
        Some((*number, *client, *link))
    }

    /// A request that every connection makes so that it is not idle.
    pub(crate) fn keep_alive(&mut self) {
        for client in 0..CLIENTS {
            self.world.forget_detached_nodes(client);
            self.world.peek(client, ALIVE, 1, 1);
        }
    }

    /// A request of `$management`.
    pub(crate) fn request(
        &mut self,
        client: usize,
        address: &str,
        operation: &str,
        entries: &[(&str, Value<'_>)],
        txn: Option<&[u8]>,
    ) -> Response {
        self.world.forget_detached_nodes(client);
        self.world.manage_in(client, address, operation, entries, txn)
    }

    pub(crate) fn peek_messages(
        &mut self,
        client: usize,
        place: &Place,
        session: Option<&str>,
        from: i64,
        count: i32,
    ) -> Response {
        let mut entries = vec![("from-sequence-number", Value::Long(from)), ("message-count", Value::Int(count))];
        entries.extend(session.map(|session| ("session-id", Value::String(session))));
        self.request(client, &place.address(), "peek-message", &entries, None)
    }

    /// A message of a draft, as the model has it.
    pub(crate) fn modelled(&mut self, draft: &Draft) -> Modelled {
        self.bodies += 1;
        Modelled {
            id: draft.id.map(|id| format!("id{id}")),
            session: draft.session.map(|id| bench::SESSIONS[usize::from(id) % bench::SESSIONS.len()].to_owned()),
            color: draft.color.map(|color| bench::COLORS[usize::from(color) % bench::COLORS.len()].to_owned()),
            quantity: draft.quantity.map(i64::from),
            ttl: draft.ttl,
            schedule: draft.delay.map(|delay| self.model.utc + delay),
            ..Modelled::new(self.bodies)
        }
    }

    pub(crate) fn forget_transactions(&mut self, client: usize) {
        for (number, _, _) in self.transactions.iter().filter(|(_, of, _)| *of == client) {
            self.model.roll_back(*number);
        }
        self.transactions.retain(|(_, of, _)| *of != client);
    }

    /// Opens a receiver and compares the answer.
    fn open(&mut self, client: usize, place: Place, deleting: bool) -> Result<(), String> {
        let expected = self.model.check_receiver(&place, false);
        let address = place.address();
        let opened = match deleting {
            true => self.world.deleting_receiver(client, &address),
            false => self.world.receiver(client, &address),
        };
        let condition = opened.as_ref().err().map(|failure| failure.condition.clone());
        expected.check("attach", condition.as_deref())?;
        if let Ok(link) = opened {
            let number = self.number();
            let modelled =
                Link { client, place, deleting, of_session: false, session: None, waits_until: None, credit: 0 };
            self.model.links.insert(number, modelled);
            self.links.insert(number, (client, link));
            self.used.insert(number, self.model.now);
        }
        Ok(())
    }

    fn accept(&mut self, client: usize, place: Place, session: Option<&str>, wait: Time) -> Result<(), String> {
        let wait_millis = u32::try_from(wait).expect("minutes");
        let link = self.world.begin_session_receiver(client, &place.address(), session, Some(wait_millis));
        self.world.settle_down();
        let number = self.number();
        let waits_until = Some(self.model.now + wait);
        let modelled = Link {
            client,
            place: place.clone(),
            deleting: false,
            of_session: true,
            session: None,
            waits_until,
            credit: 0,
        };
        let expected = match session {
            Some(id) => self.model.accept_named(number, modelled, id),
            None => {
                let answer = self.model.check_receiver(&place, true);
                if answer == Answer::Done {
                    self.model.links.insert(number, modelled);
                }
                answer
            }
        };
        let answer = self.world.attached(client, link);
        let condition = answer.err().map(|failure| failure.condition).filter(|condition| {
            // A link that waits has no answer yet.
            session.is_some() || condition != "pending"
        });
        expected.check("accept", condition.as_deref())?;
        if expected == Answer::Done {
            self.links.insert(number, (client, link));
            self.used.insert(number, self.model.now);
        }
        Ok(())
    }

    fn disconnect(&mut self, client: usize) {
        let id = self.world.clients[client].id;
        let (broker, clock) = (&mut self.world.broker, self.world.clock);
        broker.disconnect(id, clock);
        self.world.connect();
        self.world.clients.swap_remove(client);
        self.model.disconnect(client);
        self.transactions.retain(|(_, of, _)| *of != client);
        self.controls[client] = None;
        self.links.retain(|_, (of, _)| *of != client);
        self.senders.retain(|(of, _), _| *of != client);
        for held in self.held.iter_mut().filter(|held| held.client == client) {
            held.link = None;
        }
    }

    /// Lets time pass, looking at each event of the model.
    pub(crate) fn pass(&mut self, time: Time) -> Result<(), String> {
        let mut left = time;
        while left > 0 {
            let wait = self.model.next_event().unwrap_or(left).min(left).min(SLICE);
            if wait < left || wait > 1_000 {
                self.keep_alive();
            }
            self.world.advance(Duration::from_millis(wait));
            self.model.advance(wait);
            self.compare()?;
            left -= wait;
        }
        Ok(())
    }

    /// UTC jumps: what is due then happens at once, on the broker's next call.
    fn jump(&mut self, to: Time) -> Result<(), String> {
        if to >= self.model.utc {
            self.world.clock.utc = self.world.clock.utc + Duration::from_millis(to - self.model.utc);
        } else {
            self.world.clock.utc = self.world.clock.utc - Duration::from_millis(self.model.utc - to);
        }
        self.model.utc = to;
        self.model.moment += 1;
        self.world.broker.handle_timeout(self.world.clock);
        self.world.settle_down();
        self.model.run_timers();
        self.compare()
    }

    fn time(&mut self, pass: Pass) -> Result<(), String> {
        let next = self.model.next_event().unwrap_or(1_000);
        match pass {
            Pass::Some(time) => self.pass(time),
            Pass::BeforeNext => self.pass(next - 1),
            Pass::ToNext => self.pass(next),
            Pass::EdgeOfWindow(past) => {
                let remembered = self.model.entities.get("q").map(|found| {
                    let utc = self.model.utc;
                    let ids = &found.store(Sub::Main).remembered;
                    ids.iter().map(|(_, at)| at + bench::WINDOW - u64::from(!past)).filter(|at| *at > utc).min()
                });
                self.pass(remembered.flatten().map_or(1, |at| at - self.model.utc))
            }
            Pass::Forwards(time) => self.jump(self.model.utc + time),
            Pass::Backwards(time) => {
                // Whether a time counts as come that UTC goes back behind, before it had an effect, is decided by no
                // document.
                let earliest = self.model.latest_overdue().unwrap_or(0);
                self.jump(self.model.utc.saturating_sub(time).max(earliest))
            }
        }
    }

    /// Puts a change into the model; the settings then. `None` where there is no such entity, and where a target does
    /// not exist: an update is refused then.
    pub(crate) fn changed(&mut self, entity: &str, change: Change) -> Option<Settings> {
        let found = self.model.entities.get(entity)?;
        let mut targets = found.settings.forward.iter().chain(&found.settings.forward_dead);
        if !targets.all(|target| self.model.entities.contains_key(target)) {
            return None;
        }
        let found = self.model.entities.get_mut(entity)?;
        match change {
            Change::Status(status) => found.settings.status = status,
            Change::MaxDelivery(maximum) => found.settings.max_delivery = maximum,
            Change::Lock(lock) => found.settings.lock = lock,
        }
        Some(found.settings.clone())
    }

    fn update(&mut self, entity: &str, change: Change) -> Result<(), String> {
        let Some(settings) = self.changed(entity, change) else { return Ok(()) };
        self.model.detach_all(entity);
        bench::update(&mut self.world, entity, &settings);
        // Dead letters that waited for this entity go on.
        self.model.run_timers();
        self.compare()
    }

    /// Queues are deleted, unless a transaction uses them.
    fn may_delete(&self, entity: &str) -> bool {
        !entity.contains('/') && self.is_unused(entity)
    }

    fn delete(&mut self, entity: &str) {
        if !self.model.entities.contains_key(entity) {
            return;
        }
        self.model.delete(entity);
        let clock = self.world.clock;
        self.world.broker.with_namespace(clock, |namespace| namespace.delete(entity).unwrap());
        self.world.settle_down();
    }

    /// The settings of an entity that is created.
    pub(crate) fn fresh(&self, entity: &str) -> Settings {
        let mut settings = bench::settings(&self.setup);
        let is_subscription = entity.contains('/');
        settings.sessions = (self.setup.kind == Kind::Sessions) || (is_subscription && entity.ends_with("grouped"));
        settings.duplicates = (self.setup.kind == Kind::Duplicates).then_some(bench::WINDOW);
        let is_there = |name: &str| self.model.entities.contains_key(name);
        if entity == "b" && is_there("c") {
            settings.forward_dead = Some("c".into());
        }
        settings
    }

    fn recreate(&mut self, entity: &str) -> Result<(), String> {
        let mut settings = match self.model.entities.get(entity) {
            Some(old) => Settings { status: Status::Active, ..old.settings.clone() },
            None => self.fresh(entity),
        };
        self.delete(entity);
        self.compare()?;
        if !self.model.entities.contains_key("b") && entity == "a" {
            settings.forward = None;
        }
        if !self.model.entities.contains_key("c") && entity == "b" {
            settings.forward_dead = None;
        }
        self.world.queue(entity, bench::queue(&settings));
        self.model.create(entity, settings);
        // Dead letters that waited for this entity go on.
        self.model.run_timers();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let of = |client: u8| usize::from(client) % CLIENTS;
        self.model.moment += 1;
        match *step {
            Step::Send { client, entity, draft, txn } => {
                self.send(of(client), self.target(entity), &[draft], txn, false)
            }
            Step::Batch { client, entity, draft, count } => {
                // Like the first, one in two with another id.
                let other = |number: u8| Draft { id: draft.id.map(|id| (id + number % 2) % 5), ..draft };
                let drafts: Vec<Draft> = (0..count).map(other).collect();
                self.send(of(client), self.target(entity), &drafts, None, true)
            }
            Step::Schedule { client, entity, draft, txn } => {
                self.schedule(of(client), self.target(entity), &draft, txn)
            }
            Step::Cancel { client, which, txn } => self.cancel(of(client), which, txn),
            Step::Open { client, place, deleting } => self.open(of(client), self.place(place), deleting),
            Step::Accept { client, place, session } => {
                let session = bench::SESSIONS[usize::from(session) % bench::SESSIONS.len()];
                self.accept(of(client), self.place(place), Some(session), 0)
            }
            Step::AcceptNext { client, place, wait } => self.accept(of(client), self.place(place), None, wait),
            Step::Credit { link, count } => {
                let Some((number, client, link)) = self.receiver(link) else { return Ok(()) };
                self.used.insert(number, self.model.now);
                // Credit is taken back by draining only.
                let modelled = self.model.links.get_mut(&number).expect("it is open");
                modelled.credit = modelled.credit.max(u32::from(count));
                self.world.clients[client].engine.grant(link, modelled.credit).unwrap();
                self.world.settle_down();
                Ok(())
            }
            Step::Drain { link } => {
                let Some((number, client, link)) = self.receiver(link) else { return Ok(()) };
                self.used.insert(number, self.model.now);
                self.model.links.get_mut(&number).expect("it is open").credit = 0;
                self.world.clients[client].engine.drain(link).unwrap();
                self.world.settle_down();
                self.model.run_timers();
                Ok(())
            }
            Step::Settle { client, which, ending, managed, txn } => {
                self.settle(of(client), which, ending, managed, txn)
            }
            Step::Deferred { client, which, locking } => self.receive_deferred(of(client), which, locking),
            Step::Peek { client, place, session, from, count } => {
                let session = session.map(|id| bench::SESSIONS[usize::from(id) % bench::SESSIONS.len()]);
                self.peek(of(client), &self.place(place), session, i64::from(from), i32::from(count))
            }
            Step::Renew { client, which } => self.renew(of(client), which),
            Step::RenewSession { client, place, session } => {
                self.renew_session(of(client), &self.place(place), session)
            }
            Step::SetState { client, place, session, state, txn } => {
                self.set_state(of(client), &self.place(place), session, state, txn)
            }
            Step::GetState { client, place, session } => self.get_state(of(client), &self.place(place), session),
            Step::Close { link } => {
                let Some((number, client, link)) = self.receiver(link) else { return Ok(()) };
                self.world.detach(client, link);
                self.links.remove(&number);
                self.model.close(number);
                Ok(())
            }
            Step::Disconnect { client } => {
                self.disconnect(of(client));
                Ok(())
            }
            Step::AddRule { client, rule } => self.add_rule(of(client), &bench::rule(rule)),
            Step::RemoveRule { client, rule } => self.remove_rule(of(client), &bench::rule(rule).name),
            Step::Declare { client } => {
                self.declare(of(client));
                Ok(())
            }
            Step::Discharge { which, fail } => self.discharge(which, fail),
            Step::Update { entity, change } => {
                let entity = self.place(entity).entity;
                self.update(&entity, change)
            }
            Step::Recreate { entity } => {
                let entity = self.place(entity).entity;
                if self.may_delete(&entity) { self.recreate(&entity) } else { Ok(()) }
            }
            Step::Delete { entity } => {
                let entity = self.place(entity).entity;
                if self.may_delete(&entity) {
                    self.delete(&entity);
                }
                Ok(())
            }
            Step::Manage { client, entity, verb } => {
                let entity = self.place(entity).entity;
                self.administer(of(client), &entity, verb)
            }
            Step::Time(pass) => self.time(pass),
        }
    }
}
