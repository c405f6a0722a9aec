//! A small AMQP client on the engine in the client's role, and a world of such clients around one broker, in virtual
//! time and without sockets.
#![allow(missing_docs, reason = "most methods are the verb of AMQP or Service Bus that they are named for")]

use bytes::{Bytes, BytesMut};
use servicebus_core::engine::{
    Config, Connection, DeliveryId, Event, Handler, LinkId, SendOptions, SessionId, StateUpdate, Subject, Tag,
};
use servicebus_core::servicebus::{BATCH_FORMAT, LockToken, MessageRef, sas};
use servicebus_core::storage::{Buffer as _, Heap, HeapBuffer, Limits};
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_core::wire::message::{Body, MessageView, section};
use servicebus_core::wire::messaging::{
    DeliveryState, MessageId, Modified, Outcome, Properties, Rejected, Source, Target, put_section,
};
use servicebus_core::wire::performative::{
    Attach, ErrorCondition, Open, Performative, PerformativeView, ReceiverSettleMode, Role, SenderSettleMode,
    TargetArchetype,
};
use servicebus_core::wire::sasl::SaslInit;
use servicebus_core::wire::{self, Compound, Encode, Map, MapWriter, Reader, Sink, Symbol, Uuid, Value, encode_map};
use servicebus_emulator::broker::entities::{QueueDescription, SubscriptionDescription, TopicDescription};
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, ConnectionId, NamespaceConfig, Tier};
use std::collections::HashMap;

pub const KEY_NAME: &str = "RootManageSharedAccessKey";
pub const KEY: &str = "SAS_KEY_VALUE";
/// Credit for the responses of a node: a client with many nodes has room for all of them.
const NODE_CREDIT: u32 = 100;
/// When the world begins.
pub const START: Timestamp = Timestamp::from_secs(1_795_000_000);

/// A condition and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub condition: String,
    pub text: String,
}

/// What ended a delivery, kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Accepted,
    Released,
    Modified { undeliverable_here: bool },
    Rejected(Option<Failure>),
    Declared(Vec<u8>),
    Transactional(Box<Ended>),
    Nothing,
}

fn failure(error: &ErrorCondition<'_>) -> Failure {
    Failure { condition: error.condition.as_str().to_owned(), text: error.description.unwrap_or_default().to_owned() }
}

fn ended(state: Option<&DeliveryState<'_>>) -> Ended {
    let outcome = |outcome: &Outcome<'_>| match outcome {
        Outcome::Accepted => Ended::Accepted,
        Outcome::Released => Ended::Released,
        Outcome::Modified(modified) => {
            Ended::Modified { undeliverable_here: modified.undeliverable_here == Some(true) }
        }
        Outcome::Rejected(rejected) => Ended::Rejected(rejected.error.as_ref().map(failure)),
    };
    match state {
        Some(DeliveryState::Outcome(found)) => outcome(found),
        Some(DeliveryState::Declared(declared)) => Ended::Declared(declared.txn_id.to_vec()),
        Some(DeliveryState::Transactional(state)) => {
            Ended::Transactional(Box::new(state.outcome.as_ref().map_or(Ended::Nothing, outcome)))
        }
        _ => Ended::Nothing,
    }
}

/// Credit and available of a link's flow.
pub type Granted = (Option<u32>, Option<u32>);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    states: Vec<(DeliveryId, bool, Ended)>,
    pub(crate) detaches: HashMap<LinkId, Option<Failure>>,
    attaches: HashMap<LinkId, Vec<u8>>,
    flows: HashMap<LinkId, Vec<Granted>>,
    closed: Option<Failure>,
}

impl Handler for Seen {
    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        match (subject, performative.whole().expect("well-formed")) {
            (Subject::Link(link), Performative::Detach(detach)) => {
                self.detaches.insert(link, detach.error.as_ref().map(failure));
            }
            (Subject::Link(link), Performative::Attach(attach)) => {
                let bytes = wire::to_vec(&attach);
                self.attaches.insert(link, bytes);
            }
            (Subject::Link(link), Performative::Flow(flow)) => {
                self.flows.entry(link).or_default().push((flow.link_credit, flow.available));
            }
            (Subject::Connection, Performative::Close(close)) => {
                self.closed = close.error.as_ref().map(failure);
            }
            _ => {}
        }
    }

    fn state(&mut self, update: &StateUpdate<'_>) {
        self.states.push((update.delivery, update.settled, ended(update.state)));
    }
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub delivery: Option<DeliveryId>,
    pub token: LockToken,
    pub settled: bool,
    pub bytes: Bytes,
}

impl Received {
    pub fn view(&self) -> MessageView<'_> {
        MessageView::parse(&self.bytes).unwrap()
    }

    /// The first data section as text.
    pub fn body(&self) -> String {
        match self.view().body().unwrap() {
            Body::Data(sections) => String::from_utf8(sections.data().next().unwrap().unwrap().to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    pub fn count(&self) -> u32 {
        self.view().header().unwrap().delivery_count.unwrap()
    }

    pub fn annotation(&self, key: &str) -> Option<Value<'_>> {
        self.view().message_annotations().unwrap().get(key)
    }

    pub fn number(&self) -> i64 {
        self.annotation("x-opt-sequence-number").unwrap().as_i64().unwrap()
    }

    pub fn state(&self) -> i64 {
        self.annotation("x-opt-message-state").and_then(|value| value.as_i64()).unwrap_or(0)
    }

    pub fn locked_until(&self) -> Timestamp {
        self.annotation("x-opt-locked-until").unwrap().as_timestamp().unwrap()
    }

    pub fn enqueued(&self) -> Timestamp {
        self.annotation("x-opt-enqueued-time").unwrap().as_timestamp().unwrap()
    }

    pub fn property(&self, key: &str) -> Option<Value<'_>> {
        self.view().application_properties().unwrap().get(key)
    }

    pub fn reason(&self) -> Option<&str> {
        self.property("DeadLetterReason")?.as_str()
    }
}

/// A response of a node.
#[derive(Clone, Debug)]
pub struct Response {
    bytes: Bytes,
}

impl Response {
    fn property(&self, key: &str) -> Option<Value<'_>> {
        MessageView::parse(&self.bytes).unwrap().application_properties().unwrap().get(key)
    }

    pub fn status(&self) -> i64 {
        self.property("statusCode").or(self.property("status-code")).unwrap().as_i64().unwrap()
    }

    pub fn text(&self) -> &str {
        self.property("statusDescription").or(self.property("status-description")).unwrap().as_str().unwrap()
    }

    pub fn condition(&self) -> Option<&str> {
        self.property("errorCondition").or(self.property("error-condition"))?.as_str()
    }

    pub fn body(&self) -> Map<'_> {
        match MessageView::parse(&self.bytes).unwrap().body().unwrap() {
            Body::Value(Value::Map(map)) => map,
            _ => Map::EMPTY,
        }
    }

    pub fn numbers(&self) -> Vec<i64> {
        match self.body().get("sequence-numbers") {
            Some(Value::Array(array)) => array.iter().map(|item| item.unwrap().as_i64().unwrap()).collect(),
            other => panic!("{other:?} is no array"),
        }
    }

    /// The names of the rules that `enumerate-rules` answered with.
    pub fn rule_names(&self) -> Vec<String> {
        let Some(Value::List(rules)) = self.body().get("rules") else { return Vec::new() };
        let name = |item: Value<'_>| {
            let Value::Map(item) = item else { return None };
            let Some(Value::Described(rule)) = item.get("rule-description") else { return None };
            let Ok(Value::List(fields)) = rule.value() else { return None };
            Some(fields.iter().nth(2)?.ok()?.as_str()?.to_owned())
        };
        rules.iter().map_while(Result::ok).filter_map(name).collect()
    }

    /// The messages of a peek or a receive by number.
    pub fn messages(&self) -> Vec<Received> {
        let Some(Value::List(list)) = self.body().get("messages") else { return Vec::new() };
        list.iter()
            .map(|item| {
                let Value::Map(item) = item.unwrap() else { panic!("no map") };
                let bytes = Bytes::copy_from_slice(item.get("message").unwrap().as_bytes().unwrap());
                let token = match item.get("lock-token") {
                    Some(Value::Uuid(uuid)) => uuid,
                    _ => Uuid::default(),
                };
                Received { delivery: None, token: LockToken::from_uuid(token), settled: false, bytes }
            })
            .collect()
    }
}

#[derive(Debug)]
pub struct Client {
    pub id: ConnectionId,
    pub engine: Connection<Heap>,
    pub session: SessionId,
    pub(crate) seen: Seen,
    events: Vec<Event>,
    tx: HeapBuffer,
    rx: HeapBuffer,
    broker_tx: HeapBuffer,
    broker_rx: HeapBuffer,
    pub(crate) nodes: HashMap<String, (LinkId, LinkId)>,
    /// The addresses of links for responses.
    replies: HashMap<LinkId, String>,
    names: u32,
    /// The bytes that the broker has written, while a test records them.
    pub written: Option<Vec<u8>>,
}

/// One broker and its clients.
#[derive(Debug)]
pub struct World {
    pub broker: Broker,
    pub clock: Clock,
    pub clients: Vec<Client>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    pub fn new() -> Self {
        Self::of_tier(Tier::Standard)
    }

    /// A world of this tier.
    pub fn of_tier(tier: Tier) -> Self {
        let clock = Clock { now: Instant::ZERO, utc: START };
        let config =
            BrokerConfig { namespace: NamespaceConfig { tier, ..Default::default() }, ..BrokerConfig::default() };
        Self { broker: Broker::new(config, 7), clock, clients: Vec::new() }
    }

    /// A world with one queue and one client.
    pub fn with_queue(description: QueueDescription) -> Self {
        let mut world = Self::new();
        world.queue("queue", description);
        world.connect();
        world
    }

    pub fn queue(&mut self, name: &str, description: QueueDescription) {
        let clock = self.clock;
        self.broker.with_namespace(clock, |namespace| namespace.create_queue(name, description, clock.utc)).unwrap();
        self.settle_down();
    }

    pub fn topic(&mut self, name: &str, subscriptions: &[(&str, SubscriptionDescription)]) {
        let clock = self.clock;
        self.broker.with_namespace(clock, |namespace| {
            namespace.create_topic(name, TopicDescription::default(), clock.utc).unwrap();
            for (subscription, description) in subscriptions {
                namespace.create_subscription(name, subscription, description.clone(), None, clock.utc).unwrap();
            }
        });
    }

    /// A connection with a session and no token.
    pub fn connect_bare(&mut self) -> usize {
        let id = self.broker.connect(self.clock).unwrap();
        let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
        self.open_client(id, &init)
    }

    pub fn open_client(&mut self, id: ConnectionId, init: &SaslInit<'_>) -> usize {
        self.open_client_with(id, init, None)
    }

    /// A connection whose `open` has these properties.
    pub fn open_client_with(&mut self, id: ConnectionId, init: &SaslInit<'_>, properties: Option<Map<'_>>) -> usize {
        self.open_client_at(id, init, Some("localhost"), properties)
    }

    /// A connection whose `open` names this host.
    pub fn open_client_at(
        &mut self,
        id: ConnectionId,
        init: &SaslInit<'_>,
        hostname: Option<&str>,
        properties: Option<Map<'_>>,
    ) -> usize {
        // More places than the broker has for one connection: its bounds are what is tested.
        let limits = Limits::new().with_deliveries(200_000).with_links(6_000);
        let config = Config { idle_time_out: None, limits, ..Config::default() };
        let open = Open { hostname, channel_max: 0, properties, ..Open::new("client") };
        let mut engine = Connection::client(config, self.clock.now, Some(init), &open).unwrap();
        let session = engine.begin().unwrap();
        self.clients.push(Client {
            id,
            engine,
            session,
            seen: Seen::default(),
            events: Vec::new(),
            tx: Broker::tx(),
            rx: Broker::rx(),
            broker_tx: Broker::tx(),
            broker_rx: Broker::rx(),
            nodes: HashMap::new(),
            replies: HashMap::new(),
            names: 0,
            written: None,
        });
        self.settle_down();
        self.clients.len() - 1
    }

    /// A connection with a token for the whole namespace.
    pub fn connect(&mut self) -> usize {
        let client = self.connect_bare();
        let response = self.put_token(client, "sb://localhost/", KEY_NAME, KEY, Duration::from_secs(30 * 86_400));
        assert_eq!(response.status(), 202, "{}", response.text());
        client
    }

    pub fn put_token(&mut self, client: usize, audience: &str, name: &str, key: &str, life: Duration) -> Response {
        let mut token = String::new();
        sas::sign(audience, name, key, self.clock.utc + life, &mut token).unwrap();
        self.put_text(client, audience, &token)
    }

    pub fn put_text(&mut self, client: usize, audience: &str, token: &str) -> Response {
        let properties = [("operation", Value::from("put-token")), ("type", "jwt".into()), ("name", audience.into())];
        self.ask(client, "$cbs", &properties, |out| token.encode(out), None)
    }

    /// Moves bytes until nothing happens any more, at this moment and as the broker's contract has it: a connection is
    /// written to after its own input and when [`Broker::poll_ready`] names it, and at no other time.
    ///
    /// # Panics
    /// When the broker has something to send after that: it did not name the connection.
    pub fn settle_down(&mut self) {
        loop {
            let mut moved = false;
            for client in 0..self.clients.len() {
                if self.carry_input(client) {
                    self.carry_output(client);
                    moved = true;
                }
            }
            while let Some(id) = self.broker.poll_ready() {
                // Connections that a test drives by hand are written to by that test.
                if let Some(client) = self.clients.iter().position(|client| client.id == id) {
                    moved |= self.carry_output(client);
                }
            }
            if !moved {
                break;
            }
        }
        for client in &mut self.clients {
            let left = self.broker.poll_transmit(client.id, self.clock, &mut client.broker_tx);
            assert!(!left, "{:?} has something to send and was not named", client.id);
        }
    }

    /// Carries a client's bytes to the broker; true when there were any.
    fn carry_input(&mut self, client: usize) -> bool {
        let Self { broker, clock, clients } = self;
        let client = &mut clients[client];
        let mut moved = false;
        while client.engine.poll_transmit(clock.now, &mut client.tx) || !client.tx.filled().is_empty() {
            moved = true;
            let spare = client.broker_rx.spare();
            let count = client.tx.filled().len().min(spare.len());
            spare[..count].copy_from_slice(&client.tx.filled()[..count]);
            client.broker_rx.commit(count);
            client.tx.consume(count);
            let _ = broker.handle_input(client.id, *clock, &mut client.broker_rx);
        }
        moved
    }

    /// Carries the broker's bytes to a client; true when there were any.
    fn carry_output(&mut self, client: usize) -> bool {
        let Self { broker, clock, clients } = self;
        let client = &mut clients[client];
        let mut moved = false;
        while broker.poll_transmit(client.id, *clock, &mut client.broker_tx) || !client.broker_tx.filled().is_empty() {
            moved = true;
            let spare = client.rx.spare();
            let count = client.broker_tx.filled().len().min(spare.len());
            spare[..count].copy_from_slice(&client.broker_tx.filled()[..count]);
            client.rx.commit(count);
            if let Some(written) = &mut client.written {
                written.extend_from_slice(&client.broker_tx.filled()[..count]);
            }
            client.broker_tx.consume(count);
            let _ = client.engine.handle_input(clock.now, &mut client.rx, &mut client.seen);
        }
        while let Some(event) = client.engine.poll_event() {
            client.events.push(event);
            moved = true;
        }
        moved
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub fn advance(&mut self, by: Duration) {
        self.settle_down();
        let end = self.clock.after(by);
        while let Some(at) = self.next_deadline().filter(|at| *at <= end.now) {
            let step = at.saturating_duration_since(self.clock.now).max(Duration::from_millis(1));
            self.move_to(self.clock.after(step.min(end.now.saturating_duration_since(self.clock.now))));
            if self.clock.now >= end.now {
                break;
            }
        }
        self.move_to(end);
    }

    /// Moves the clock and calls the broker where it asked for that, and only there.
    fn move_to(&mut self, clock: Clock) {
        self.clock = clock;
        if self.broker.poll_timeout().is_some_and(|at| at <= clock.now) {
            self.broker.handle_timeout(clock);
        }
        self.settle_down();
    }

    /// The next time at which the broker has something to do, or a client's heartbeat is due.
    fn next_deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(|client| client.engine.poll_timeout());
        clients.map(|(at, _)| at).chain(self.broker.poll_timeout()).min()
    }

    pub fn attach(&mut self, client: usize, attach: &Attach<'_>) -> Result<LinkId, Failure> {
        let found = &mut self.clients[client];
        let link = found.engine.attach(found.session, attach).unwrap();
        self.settle_down();
        self.attached(client, link)
    }

    /// Whether an attach has been answered, and how.
    pub fn attached(&mut self, client: usize, link: LinkId) -> Result<LinkId, Failure> {
        let found = &self.clients[client];
        match found.seen.detaches.get(&link) {
            Some(error) => Err(error.clone().unwrap_or(Failure { condition: String::new(), text: String::new() })),
            None if found.engine.link(link).is_some_and(|status| status.attached) => Ok(link),
            None => Err(Failure { condition: "pending".into(), text: String::new() }),
        }
    }

    /// A name that no other link of the client has.
    pub fn name(&mut self, client: usize) -> String {
        self.clients[client].names += 1;
        format!("link-{}-{}", client, self.clients[client].names)
    }

    /// A link whose attach names the kind of entity that it expects.
    pub fn typed_link(&mut self, client: usize, role: Role, address: &str, kind: Value<'_>) -> Result<LinkId, Failure> {
        let mut properties = [0; 64];
        let entry = (Value::Symbol(Symbol::new("com.microsoft:entity-type")), kind);
        let properties = encode_map(&[entry], &mut properties).unwrap();
        let name = self.name(client);
        self.attach(client, &attach_of(&name, role, address, false, None, Some(properties)))
    }

    pub fn sender(&mut self, client: usize, address: &str) -> Result<LinkId, Failure> {
        let name = self.name(client);
        self.attach(client, &attach_of(&name, Role::Sender, address, false, None, None))
    }

    pub fn receiver(&mut self, client: usize, address: &str) -> Result<LinkId, Failure> {
        let name = self.name(client);
        self.attach(client, &attach_of(&name, Role::Receiver, address, false, None, None))
    }

    /// A receiver that deletes what it gets.
    pub fn deleting_receiver(&mut self, client: usize, address: &str) -> Result<LinkId, Failure> {
        let name = self.name(client);
        self.attach(client, &attach_of(&name, Role::Receiver, address, true, None, None))
    }

    /// A receiver of a session: the named one, or the next that comes within `wait` milliseconds.
    pub fn session_receiver(
        &mut self,
        client: usize,
        address: &str,
        session: Option<&str>,
        wait: Option<u32>,
    ) -> Result<LinkId, Failure> {
        let link = self.begin_session_receiver(client, address, session, wait);
        self.settle_down();
        self.attached(client, link)
    }

    /// A receiver of a session that others may take over: a new one, or the one under a token.
    pub fn shared_session_receiver(
        &mut self,
        client: usize,
        address: &str,
        session: Option<&str>,
        token: Option<LockToken>,
    ) -> Result<LinkId, Failure> {
        let mut filter = vec![0x00, 0x80];
        filter.extend_from_slice(&0x0000_0013_7000_000e_u64.to_be_bytes());
        let mut sink = Sink::from(&mut filter);
        let list = sink.begin();
        session.encode(&mut sink);
        token.map(LockToken::uuid).encode(&mut sink);
        sink.end(list, Compound::List, 2);
        let value = Reader::new(&filter).value().unwrap();
        let key = Value::Symbol(Symbol::new("com.microsoft:non-exclusive-session-filter"));
        let mut buffer = [0; 512];
        let filter = encode_map(&[(key, value)], &mut buffer).unwrap();
        let name = self.name(client);
        self.attach(client, &attach_of(&name, Role::Receiver, address, false, Some(filter), None))
    }

    /// The session and the token that an attach was answered with.
    pub fn granted_shared(&self, client: usize, link: LinkId) -> (String, LockToken) {
        self.with_attach(client, link, |attach| {
            let filter = attach.source.unwrap().filter.unwrap();
            let Some(Value::Described(described)) = filter.get("com.microsoft:non-exclusive-session-filter") else {
                panic!("no echo")
            };
            assert_eq!(described.code(), Some(0x0000_0013_7000_000e));
            let Ok(Value::List(list)) = described.value() else { panic!("no list") };
            let fields: Vec<_> = list.iter().map(Result::unwrap).collect();
            let [Value::String(session), Value::Uuid(token)] = fields[..] else { panic!("{fields:?}") };
            (session.to_owned(), LockToken::from_uuid(token))
        })
    }

    pub fn begin_session_receiver(
        &mut self,
        client: usize,
        address: &str,
        session: Option<&str>,
        wait: Option<u32>,
    ) -> LinkId {
        let (mut filter, mut properties) = ([0; 256], [0; 64]);
        let key = Value::Symbol(Symbol::new("com.microsoft:session-filter"));
        let filter = encode_map(&[(key, session.map_or(Value::Null, Value::String))], &mut filter).unwrap();
        let timeout = wait.map(|wait| {
            let key = Value::Symbol(Symbol::new("com.microsoft:timeout"));
            encode_map(&[(key, Value::Uint(wait))], &mut properties).unwrap()
        });
        let name = self.name(client);
        let attach = attach_of(&name, Role::Receiver, address, false, Some(filter), timeout);
        let found = &mut self.clients[client];
        found.engine.attach(found.session, &attach).unwrap()
    }

    /// The attach that answered ours.
    pub fn with_attach<T>(&self, client: usize, link: LinkId, look: impl FnOnce(&Attach<'_>) -> T) -> T {
        look(&Reader::new(&self.clients[client].seen.attaches[&link]).read::<Attach<'_>>().unwrap())
    }

    /// The session that an attach was answered with.
    pub fn granted(&self, client: usize, link: LinkId) -> String {
        self.with_attach(client, link, |attach| {
            let filter = attach.source.unwrap().filter.unwrap();
            filter.get("com.microsoft:session-filter").unwrap().as_str().unwrap().to_owned()
        })
    }

    pub fn detach(&mut self, client: usize, link: LinkId) {
        self.clients[client].engine.detach(link, true, None).unwrap();
        self.settle_down();
    }

    /// Why a link was detached, or `None` when it is attached.
    pub fn detached(&self, client: usize, link: LinkId) -> Option<Failure> {
        self.clients[client].seen.detaches.get(&link).cloned().flatten()
    }

    /// The flows that have come for a link.
    pub fn flows(&self, client: usize, link: LinkId) -> &[Granted] {
        self.clients[client].seen.flows.get(&link).map_or(&[], Vec::as_slice)
    }

    pub fn closed(&self, client: usize) -> Option<Failure> {
        self.clients[client].seen.closed.clone()
    }

    pub fn send_bytes(
        &mut self,
        client: usize,
        link: LinkId,
        payload: Bytes,
        format: u32,
        txn: Option<&[u8]>,
    ) -> Ended {
        let transaction = txn.map(|txn| Tag::new(txn).unwrap());
        let options = SendOptions { tag: Tag::new(&[1]).unwrap(), format, transaction, ..SendOptions::default() };
        let delivery = self.clients[client].engine.send(link, &payload, &options).unwrap();
        self.settle_down();
        self.ended(client, delivery)
    }

    fn ended(&mut self, client: usize, delivery: DeliveryId) -> Ended {
        let states = &mut self.clients[client].seen.states;
        match states.iter().position(|(of, settled, _)| *of == delivery && *settled) {
            Some(at) => states.remove(at).2,
            None => Ended::Nothing,
        }
    }

    pub fn send(&mut self, client: usize, link: LinkId, message: &MessageRef<'_>) -> Ended {
        self.send_bytes(client, link, encoded(message), 0, None)
    }

    /// Sends texts, each a message of its own.
    pub fn send_texts(&mut self, client: usize, link: LinkId, texts: &[&str]) {
        for text in texts {
            assert_eq!(self.send(client, link, &MessageRef::new(*text)), Ended::Accepted);
        }
    }

    pub fn send_batch(&mut self, client: usize, link: LinkId, messages: &[MessageRef<'_>]) -> Ended {
        let mut out = BytesMut::new();
        let sink = &mut Sink::from(&mut out);
        for message in messages {
            put_section(sink, section::DATA);
            encoded(message)[..].encode(sink);
        }
        self.send_bytes(client, link, out.freeze(), BATCH_FORMAT, None)
    }

    /// Grants credit for so many messages and takes what comes.
    pub fn receive(&mut self, client: usize, link: LinkId, count: u32) -> Vec<Received> {
        self.clients[client].engine.grant(link, count).unwrap();
        self.settle_down();
        self.taken(client, link)
    }

    /// Takes what has come on a link.
    pub fn taken(&mut self, client: usize, link: LinkId) -> Vec<Received> {
        let engine = &mut self.clients[client].engine;
        let mut messages = Vec::new();
        while let Some(incoming) = engine.receive(link) {
            let token = LockToken::from_delivery_tag(incoming.tag.as_bytes()).unwrap();
            messages.push(Received {
                delivery: Some(incoming.delivery),
                token,
                settled: incoming.settled,
                bytes: incoming.payload,
            });
        }
        messages
    }

    /// Grants, takes, and gives the rest of the credit back.
    pub fn receive_now(&mut self, client: usize, link: LinkId, count: u32) -> Vec<Received> {
        let mut messages = self.receive(client, link, count);
        self.clients[client].engine.drain(link).unwrap();
        self.settle_down();
        messages.extend(self.taken(client, link));
        messages
    }

    pub fn settle(&mut self, client: usize, message: &Received, state: &DeliveryState<'_>) -> Ended {
        let delivery = message.delivery.unwrap();
        self.clients[client].engine.settle(delivery, state, false).unwrap();
        self.settle_down();
        let answer = self.ended(client, delivery);
        if answer != Ended::Nothing {
            let _ = self.clients[client].engine.settle(delivery, state, true);
        }
        answer
    }

    pub fn complete(&mut self, client: usize, message: &Received) -> Ended {
        self.settle(client, message, &DeliveryState::ACCEPTED)
    }

    pub fn abandon(&mut self, client: usize, message: &Received) -> Ended {
        self.settle(client, message, &modified(false, None))
    }

    pub fn defer(&mut self, client: usize, message: &Received) -> Ended {
        self.settle(client, message, &modified(true, None))
    }

    pub fn dead_letter(&mut self, client: usize, message: &Received, reason: &str, description: &str) -> Ended {
        let mut info = [0; 512];
        let info = encode_map(
            &[
                (Value::Symbol(Symbol::new("DeadLetterReason")), reason.into()),
                (Value::Symbol(Symbol::new("DeadLetterErrorDescription")), description.into()),
            ],
            &mut info,
        )
        .unwrap();
        let error = ErrorCondition { info: Some(info), ..ErrorCondition::new("com.microsoft:dead-letter") };
        self.settle(client, message, &DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(error) })))
    }

    /// Receives one message and completes it, or reports that there is none.
    pub fn consume(&mut self, client: usize, link: LinkId) -> Option<Received> {
        let message = self.receive_now(client, link, 1).pop()?;
        assert_eq!(self.complete(client, &message), Ended::Accepted);
        Some(message)
    }

    /// The pair of links to a node.
    pub fn node(&mut self, client: usize, address: &str) -> (LinkId, LinkId) {
        if let Some(pair) = self.clients[client].nodes.get(address) {
            return *pair;
        }
        let (one, other) = (self.name(client), self.name(client));
        let request = self.attach(client, &attach_of(&one, Role::Sender, address, false, None, None)).unwrap();
        let response = self.attach(client, &attach_of(&other, Role::Receiver, address, false, None, None)).unwrap();
        self.clients[client].engine.grant(response, NODE_CREDIT).unwrap();
        self.clients[client].replies.insert(response, other);
        self.clients[client].nodes.insert(address.to_owned(), (request, response));
        (request, response)
    }

    /// The address that a request names for its response on this link.
    pub fn reply_to(&self, client: usize, response: LinkId) -> &str {
        self.clients[client].replies.get(&response).map_or("", String::as_str)
    }

    pub fn ask(
        &mut self,
        client: usize,
        address: &str,
        properties: &[(&str, Value<'_>)],
        body: impl FnOnce(&mut Sink<'_>),
        txn: Option<&[u8]>,
    ) -> Response {
        self.try_ask(client, address, properties, body, txn).expect("a response")
    }

    /// A request to a node and its response, if one comes at once.
    pub fn try_ask(
        &mut self,
        client: usize,
        address: &str,
        properties: &[(&str, Value<'_>)],
        body: impl FnOnce(&mut Sink<'_>),
        txn: Option<&[u8]>,
    ) -> Option<Response> {
        let (request, response) = self.node(client, address);
        let mut out = BytesMut::new();
        let sink = &mut Sink::from(&mut out);
        let reply_to = Some(self.reply_to(client, response));
        Properties { message_id: Some(MessageId::String("1")), reply_to, ..Properties::EMPTY }.encode(sink);
        put_section(sink, section::APPLICATION_PROPERTIES);
        put_map(sink, properties);
        put_section(sink, section::AMQP_VALUE);
        body(sink);
        self.send_bytes(client, request, out.freeze(), 0, txn);
        let bytes = self.taken_response(client, response)?;
        let engine = &mut self.clients[client].engine;
        if engine.link(response).is_some_and(|status| status.credit < NODE_CREDIT / 2) {
            engine.grant(response, NODE_CREDIT).unwrap();
        }
        Some(Response { bytes })
    }

    fn taken_response(&mut self, client: usize, link: LinkId) -> Option<Bytes> {
        Some(self.clients[client].engine.receive(link)?.payload)
    }

    /// A `$management` request of an entity.
    pub fn manage(&mut self, client: usize, entity: &str, operation: &str, entries: &[(&str, Value<'_>)]) -> Response {
        self.manage_in(client, entity, operation, entries, None)
    }

    pub fn manage_in(
        &mut self,
        client: usize,
        entity: &str,
        operation: &str,
        entries: &[(&str, Value<'_>)],
        txn: Option<&[u8]>,
    ) -> Response {
        let operation = format!("com.microsoft:{operation}");
        let address = format!("{entity}/$management");
        self.ask(client, &address, &[("operation", Value::String(&operation))], |sink| put_map(sink, entries), txn)
    }

    pub fn peek(&mut self, client: usize, entity: &str, from: i64, count: i32) -> Vec<Received> {
        let entries = [("from-sequence-number", Value::Long(from)), ("message-count", Value::Int(count))];
        self.manage(client, entity, "peek-message", &entries).messages()
    }

    pub fn receive_deferred(&mut self, client: usize, entity: &str, numbers: &[i64], lock: bool) -> Response {
        let encoded = longs(numbers);
        let entries = [
            ("sequence-numbers", Reader::new(&encoded).value().unwrap()),
            ("receiver-settle-mode", Value::Uint(u32::from(lock))),
        ];
        self.manage(client, entity, "receive-by-sequence-number", &entries)
    }

    pub fn update(&mut self, client: usize, entity: &str, token: LockToken, status: &str) -> Response {
        let encoded = uuids(&[token]);
        let entries =
            [("disposition-status", Value::String(status)), ("lock-tokens", Reader::new(&encoded).value().unwrap())];
        self.manage(client, entity, "update-disposition", &entries)
    }

    pub fn renew(&mut self, client: usize, entity: &str, tokens: &[LockToken]) -> Response {
        let encoded = uuids(tokens);
        let entries = [("lock-tokens", Reader::new(&encoded).value().unwrap())];
        self.manage(client, entity, "renew-lock", &entries)
    }

    pub fn schedule(&mut self, client: usize, entity: &str, messages: &[MessageRef<'_>]) -> Response {
        self.schedule_in(client, entity, messages, None)
    }

    pub fn schedule_in(
        &mut self,
        client: usize,
        entity: &str,
        messages: &[MessageRef<'_>],
        txn: Option<&[u8]>,
    ) -> Response {
        let mut list = BytesMut::new();
        let sink = &mut Sink::from(&mut list);
        let mark = sink.begin();
        for message in messages {
            put_map(sink, &[("message", Value::Binary(&encoded(message)))]);
        }
        sink.end(mark, Compound::List, messages.len());
        let entries = [("messages", Reader::new(&list).value().unwrap())];
        self.manage_in(client, entity, "schedule-message", &entries, txn)
    }

    pub fn cancel(&mut self, client: usize, entity: &str, numbers: &[i64]) -> Response {
        let encoded = longs(numbers);
        let entries = [("sequence-numbers", Reader::new(&encoded).value().unwrap())];
        self.manage(client, entity, "cancel-scheduled-message", &entries)
    }
}

pub fn modified(defer: bool, annotations: Option<Map<'_>>) -> DeliveryState<'_> {
    DeliveryState::Outcome(Outcome::Modified(Modified {
        delivery_failed: Some(true),
        undeliverable_here: Some(defer),
        message_annotations: annotations,
    }))
}

pub fn encoded(message: &MessageRef<'_>) -> Bytes {
    wire::to_vec(message).into()
}

pub fn put_map(sink: &mut Sink<'_>, entries: &[(&str, Value<'_>)]) {
    let mut map = MapWriter::begin(sink);
    map.put_all(entries);
    map.end();
}

fn array<const N: usize>(code: u8, items: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sink = Sink::from(&mut out);
    let (mark, count) = (sink.begin(), items.len());
    sink.put_byte(code);
    for item in items {
        sink.put(&item);
    }
    sink.end(mark, Compound::Array, count);
    out
}

pub fn longs(numbers: &[i64]) -> Vec<u8> {
    array(0x81, numbers.iter().map(|number| number.to_be_bytes()))
}

pub fn uuids(tokens: &[LockToken]) -> Vec<u8> {
    array(0x98, tokens.iter().map(|token| token.uuid().0))
}

/// The attach of a link without anything special.
pub fn attach_of<'a>(
    name: &'a str,
    role: Role,
    address: &'a str,
    settled: bool,
    filter: Option<Map<'a>>,
    properties: Option<Map<'a>>,
) -> Attach<'a> {
    let (source, target) = match role {
        Role::Sender => (name, address),
        Role::Receiver => (address, name),
    };
    Attach {
        snd_settle_mode: if settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled },
        rcv_settle_mode: if settled { ReceiverSettleMode::First } else { ReceiverSettleMode::Second },
        source: Some(Source { filter, ..Source::new(Some(source)) }),
        target: Some(TargetArchetype::Target(Target::new(Some(target)))),
        properties,
        ..Attach::new(name, role)
    }
}
