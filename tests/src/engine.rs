//! Engines in virtual time: two back to back, or one against a script of frames.

use servicebus_core::engine::{
    Config, Connection, ConnectionError, DeliveryId, Event, Handler, LinkId, OutcomeKind, SendOptions, SessionId,
    StateUpdate, Subject,
};
use servicebus_core::fixed_storage;
use servicebus_core::random::Random;
use servicebus_core::storage::{Buffer, Payload, RxOf, Storage, TxOf};
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::{self, Frame, Kind, Protocol};
use servicebus_core::wire::messaging::{Source, Target};
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::{SaslFrame, SaslInit};
use servicebus_core::wire::{Encode, Reader, Sink, Symbol};

pub use servicebus_core::storage::Heap;

fixed_storage! {
    /// Tables of one or two, the smallest frames, messages of 4 KiB.
    pub type Tiny { sessions: 1, links: 2, deliveries: 2, receive: 512, transmit: 512, message: 4096, engine_alone: true }
}

fixed_storage! {
    /// Fixed storage with a little room.
    pub type Small {
        sessions: 2, links: 4, deliveries: 8, receive: 1024, transmit: 1024, message: 4096, messages: 8,
        receivers: true, management: true,
    }
}

/// Makes a test of each generic function on `Heap` and on each of the fixed storages that are named.
#[macro_export]
macro_rules! on_storages {
    ($($name:ident: $($storage:ident)*;)*) => { $(
        #[allow(non_snake_case)]
        mod $name {
            $( #[test] fn $storage() { super::$name::<$crate::engine::$storage>(); } )*
        }
    )* };
}

/// An `open` that leaves everything to the engine's configuration.
pub fn open(name: &str) -> Open<'_> {
    Open::new(name)
}

/// A `begin` with wide windows.
pub fn begin(remote_channel: Option<u16>) -> Begin<'static> {
    Begin {
        remote_channel,
        next_outgoing_id: 0,
        incoming_window: 1_000,
        outgoing_window: 1_000,
        handle_max: u32::MAX,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

/// An `attach` to the node `queue`.
pub fn attach(name: &str, handle: u32, role: Role) -> Attach<'_> {
    Attach {
        handle,
        source: Some(Source::new(Some("queue"))),
        target: Some(TargetArchetype::Target(Target::new(Some("queue")))),
        ..Attach::new(name, role)
    }
}

/// A `flow` for a link.
pub fn flow(handle: u32, delivery_count: u32, credit: u32) -> Flow<'static> {
    Flow {
        next_incoming_id: Some(1),
        incoming_window: 1_000,
        next_outgoing_id: 0,
        outgoing_window: 1_000,
        handle: Some(handle),
        delivery_count: Some(delivery_count),
        link_credit: Some(credit),
        available: None,
        drain: false,
        echo: false,
        properties: None,
    }
}

/// The first frame of a delivery, unsettled, with a tag made of its number.
pub fn transfer(handle: u32, id: u32, more: bool) -> Transfer<'static> {
    Transfer {
        handle,
        delivery_id: Some(id),
        delivery_tag: Some(b"tag"),
        message_format: Some(0),
        settled: Some(false),
        more,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}

/// An AMQP frame.
pub fn frame(channel: u16, body: &impl Encode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; frame::HEADER_LEN];
    body.encode(&mut Sink::from(&mut bytes));
    bytes.extend_from_slice(payload);
    let header = frame::header(bytes.len() as u32, Kind::Amqp, channel);
    bytes[..frame::HEADER_LEN].copy_from_slice(&header);
    bytes
}

/// A SASL frame.
pub fn sasl_frame(body: &impl Encode) -> Vec<u8> {
    let mut bytes = frame(0, body, &[]);
    bytes[5] = 1;
    bytes
}

/// What an engine has sent, cut into frames.
#[derive(Debug, Default)]
pub struct Sent(pub Vec<u8>);

impl Sent {
    /// The protocol headers, SASL frames and performatives in order, each named, heartbeats as `empty`.
    ///
    /// # Panics
    /// When the engine has sent something that is not AMQP.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.each(|item| {
            names.push(match item {
                Item::Header(protocol) => format!("{protocol:?}").to_lowercase() + "-header",
                Item::Sasl(body) => name_of(&format!("{body:?}")),
                Item::Empty => "empty".into(),
                Item::Frame(_, performative, _) => name_of(&format!("{performative:?}")),
            });
        });
        names
    }

    /// Calls `each` with everything that was sent.
    ///
    /// # Panics
    /// When the engine has sent something that is not AMQP.
    pub fn each(&self, mut each: impl FnMut(Item<'_>)) {
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            if let Some(header) = rest.first_chunk::<8>().filter(|header| header.starts_with(b"AMQP")) {
                each(Item::Header(Protocol::parse(*header).expect("a header of AMQP 1.0")));
                rest = &rest[8..];
                continue;
            }
            let parsed = Frame::parse(rest, u32::MAX).expect("a frame").expect("a whole frame");
            let mut reader = Reader::new(parsed.body);
            match (parsed.kind, parsed.body.is_empty()) {
                (Kind::Sasl, _) => each(Item::Sasl(reader.read().expect("a SASL body"))),
                (Kind::Amqp, true) => each(Item::Empty),
                (Kind::Amqp, false) => {
                    let performative = reader.read::<Performative<'_>>().expect("a performative");
                    each(Item::Frame(parsed.channel, performative, reader.rest()));
                }
            }
            rest = &rest[parsed.size..];
        }
    }

    /// The condition of the last performative, a detach, an end or a close.
    pub fn condition(&self) -> Option<String> {
        let mut found = None;
        self.each(|item| {
            let error = match item {
                Item::Frame(_, Performative::Detach(detach), _) => detach.error,
                Item::Frame(_, Performative::End(end), _) => end.error,
                Item::Frame(_, Performative::Close(close), _) => close.error,
                _ => return,
            };
            found = error.map(|error| error.condition.as_str().to_owned());
        });
        found
    }
}

fn name_of(debug: &str) -> String {
    debug.split('(').next().unwrap_or_default().to_lowercase()
}

/// A part of what was sent.
#[derive(Debug)]
pub enum Item<'a> {
    /// A protocol header.
    Header(Protocol),
    /// A SASL frame.
    Sasl(SaslFrame<'a>),
    /// A heartbeat.
    Empty,
    /// Channel, performative and payload of an AMQP frame.
    Frame(u16, Performative<'a>, &'a [u8]),
}

/// A delivery that the peer has settled, or proposed an outcome for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The link it is on.
    pub link: LinkId,
    /// Whether it is settled.
    pub settled: bool,
    /// The outcome.
    pub outcome: Option<OutcomeKind>,
}

impl Reported {
    /// A delivery that is settled as accepted.
    pub fn accepted(delivery: DeliveryId, link: LinkId) -> Self {
        Self { delivery, link, settled: true, outcome: Some(OutcomeKind::Accepted) }
    }
}

/// Writes down what the engine applies, and what it reports of deliveries.
#[derive(Debug, Default)]
pub struct Log(pub Vec<String>, pub Vec<Reported>);

impl Handler for Log {
    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        self.0.push(format!("{subject:?} {performative:?}"));
    }

    fn state(&mut self, update: &StateUpdate<'_>) {
        let StateUpdate { delivery, link, settled, state, .. } = *update;
        // Which place a delivery has depends on when others were taken.
        self.0.push(format!("{link:?} {settled} {state:?}"));
        self.1.push(Reported { delivery, link, settled, outcome: update.outcome() });
    }
}

/// One engine with its buffers.
#[expect(missing_debug_implementations, reason = "buffers need not say anything")]
pub struct Side<S: Storage> {
    /// The engine.
    pub connection: Connection<S>,
    /// Its transmit buffer.
    pub tx: TxOf<S>,
    /// Its receive buffer.
    pub rx: RxOf<S>,
    /// Every event so far.
    pub events: Vec<Event>,
    /// Everything it has applied.
    pub log: Log,
    /// What the engine reported when it was fed.
    pub result: Result<(), ConnectionError>,
    /// The time.
    pub now: Instant,
}

/// A configuration with frames of 512 bytes and windows of 8 frames.
pub fn config() -> Config {
    Config { max_frame_size: 512, incoming_window: 8, ..Config::default() }
}

impl<S: Storage> Side<S> {
    /// An engine with buffers for frames of up to `max_frame_size` bytes.
    pub fn new(connection: Connection<S>, max_frame_size: u32) -> Self {
        let size = max_frame_size as usize;
        let (tx, rx) = (S::tx(size), S::rx(size));
        Self { connection, tx, rx, events: Vec::new(), log: Log::default(), result: Ok(()), now: Instant::ZERO }
    }

    /// A client without a SASL layer that has begun a session and has seen the server's open and begin.
    ///
    /// # Panics
    /// When the engine does not get that far.
    pub fn client() -> (Self, SessionId) {
        let connection = Connection::client(config(), Instant::ZERO, None, &open("client")).expect("room");
        let mut side = Self::new(connection, 512);
        let session = side.connection.begin().expect("room");
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &Open { max_frame_size: 512, ..open("server") }, &[]));
        side.feed(&frame(0, &begin(Some(0)), &[]));
        side.transmit();
        side.events.clear();
        (side, session)
    }

    /// A client with a link that is attached from both ends; the server's handle is zero. A receiving link has
    /// credit for `credit` messages.
    ///
    /// # Panics
    /// When the engine does not get that far.
    pub fn linked(role: Role, credit: u32) -> (Self, LinkId) {
        let (mut side, session) = Self::client();
        let link = side.connection.attach(session, &attach("link", 0, role)).expect("room");
        side.feed(&frame(0, &attach("link", 0, role.other()), &[]));
        if credit > 0 {
            assert_eq!(side.connection.grant(link, credit), Ok(credit));
        }
        side.transmit();
        side.poll();
        side.events.clear();
        (side, link)
    }

    /// A server without a SASL layer that has answered the client's open.
    ///
    /// # Panics
    /// When the engine does not get that far.
    pub fn server() -> Self {
        let mut side = Self::new(Connection::server(config(), Instant::ZERO), 512);
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &open("client"), &[]));
        assert_eq!(side.connection.poll_event(), Some(Event::Opened));
        side.connection.open(&open("server")).expect("room");
        side.transmit();
        side
    }

    /// Hands bytes to the engine, as many at a time as fit.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.feed_in(bytes, |_| usize::MAX);
    }

    /// Hands bytes to the engine, at most as many at a time as `size` says when it is told how many are left.
    ///
    /// # Panics
    /// When the engine neither takes bytes nor fails: it would hang.
    pub fn feed_in(&mut self, mut bytes: &[u8], mut size: impl FnMut(usize) -> usize) {
        while !bytes.is_empty() {
            let spare = self.rx.spare();
            let count = size(bytes.len()).min(bytes.len()).min(spare.len());
            assert!(count > 0, "no room in the receive buffer, and no frame in it");
            spare[..count].copy_from_slice(&bytes[..count]);
            self.rx.commit(count);
            bytes = &bytes[count..];
            self.result = self.connection.handle_input(self.now, &mut self.rx, &mut self.log);
            if self.result.is_err() {
                return;
            }
        }
    }

    /// Everything the engine has to send.
    pub fn transmit(&mut self) -> Sent {
        let mut sent = Vec::new();
        while self.connection.poll_transmit(self.now, &mut self.tx) || !self.tx.filled().is_empty() {
            sent.extend_from_slice(self.tx.filled());
            let count = self.tx.filled().len();
            self.tx.consume(count);
        }
        Sent(sent)
    }

    /// Takes what was reported of deliveries.
    pub fn reported(&mut self) -> Vec<Reported> {
        std::mem::take(&mut self.log.1)
    }

    /// Adds what happened to [`Side::events`].
    pub fn poll(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }
}

/// A client and a server, joined by pipes that cut the bytes wherever a seed says.
#[expect(missing_debug_implementations, reason = "buffers need not say anything")]
pub struct Pair<S: Storage> {
    /// The client.
    pub client: Side<S>,
    /// The server. It answers what a server answers by itself.
    pub server: Side<S>,
    /// The delivery-count that the server's sending links begin with.
    pub initial_delivery_count: u32,
    random: Random,
}

impl<S: Storage> Pair<S> {
    /// A pair that has not exchanged anything yet, with a SASL layer.
    ///
    /// # Panics
    /// When the storage has no room for it.
    pub fn new(seed: u64, config: Config) -> Self {
        let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
        let client = Connection::client(config, Instant::ZERO, Some(&init), &open("client")).expect("room");
        let server = Connection::server(config, Instant::ZERO);
        Self {
            client: Side::new(client, config.max_frame_size),
            server: Side::new(server, config.max_frame_size),
            initial_delivery_count: 0,
            random: Random::seeded(seed),
        }
    }

    /// A pair with one link, named `link`, on which the client has this role: the link at both ends.
    ///
    /// # Panics
    /// When the engines do not get that far.
    pub fn linked(seed: u64, role: Role) -> (Self, LinkId, LinkId) {
        let mut pair = Self::new(seed, config());
        let session = pair.client.connection.begin().expect("room");
        let (ours, theirs) = pair.attach(session, "link", role);
        (pair, ours, theirs)
    }

    /// Attaches a link and waits for the answer: the link at both ends.
    ///
    /// # Panics
    /// When the server does not see it.
    pub fn attach(&mut self, session: SessionId, name: &str, role: Role) -> (LinkId, LinkId) {
        let before = self.server.events.len();
        let ours = self.client.connection.attach(session, &attach(name, 0, role)).expect("room");
        self.run();
        let theirs = self.server.events[before..].iter().find_map(|event| match event {
            Event::LinkAttached(link) => Some(*link),
            _ => None,
        });
        (ours, theirs.expect("the server sees the link"))
    }

    /// Moves bytes until nothing moves any more.
    pub fn run(&mut self) {
        loop {
            let mut moved = self.step(true);
            moved |= self.step(false);
            self.client.poll();
            moved |= self.answer();
            if !moved {
                return;
            }
        }
    }

    fn step(&mut self, to_server: bool) -> bool {
        let (from, to) =
            if to_server { (&mut self.client, &mut self.server) } else { (&mut self.server, &mut self.client) };
        let sent = from.transmit();
        let random = &mut self.random;
        to.feed_in(&sent.0, |left| 1 + random.below(left as u64).min(random.below(2_000)) as usize);
        !sent.0.is_empty()
    }

    fn answer(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.server.connection.poll_event() {
            let connection = &mut self.server.connection;
            match event {
                Event::Opened => connection.open(&open("server")).expect("room"),
                Event::SessionBegun(session) => connection.accept_session(session).expect("room"),
                Event::LinkAttached(link) => {
                    if let Some(status) = connection.link(link) {
                        let answer = Attach {
                            initial_delivery_count: Some(self.initial_delivery_count),
                            ..attach("link", 0, status.role)
                        };
                        // The name of the answer is the one that was asked for.
                        let name = self.server.log.0.iter().rev().find_map(|line| attach_name(line, link));
                        let answer = Attach { name: name.unwrap_or("link"), ..answer };
                        let _ = connection.accept_link(link, &answer);
                    }
                }
                _ => {}
            }
            self.server.events.push(event);
            moved = true;
        }
        moved
    }

    /// Sends `bytes` from the client as one message.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub fn send(&mut self, link: LinkId, bytes: &[u8]) -> DeliveryId {
        let payload = S::Payload::copy_from(bytes).expect("room");
        self.client.connection.send(link, &payload, &SendOptions::default()).expect("the message is taken")
    }
}

/// The name in the log's line about the attach of a link.
fn attach_name(line: &str, link: LinkId) -> Option<&str> {
    let rest = line.strip_prefix(&format!("{:?} Attach(Attach {{ name: \"", Subject::Link(link)))?;
    rest.split('"').next()
}
