//! The engine in the client role: each check is a connection of its own to a server that behaves as `serve` does.

use super::{Arguments, config, data_message, payload, value_message, value_of};
use servicebus_core::engine::{
    Connection, DeliveryId, Event, Handler, LinkId, OutcomeKind, SendOptions, SessionId, StateUpdate, Subject, Tag,
};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::Symbol;
use servicebus_core::wire::message::{Body, MessageView};
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Source, Target};
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_tests::engine::{attach, open};
use servicebus_tests::socket::Socket;
use servicebus_tests::tree::{Plain, Tree};
use std::net::TcpStream;

type Check = fn(&mut Client) -> Result<String, String>;

/// The checks by name.
const CHECKS: &[(&str, Check)] = &[
    ("values", values),
    ("large", large),
    ("credit", credit),
    ("two-phase", two_phase),
    ("settled", settled),
    ("outcomes", outcomes),
    ("refused", refused),
    ("kicked", kicked),
    ("links", links),
];

/// What the server said beside the events.
#[derive(Default)]
struct Heard {
    /// The conditions of its detaches.
    conditions: Vec<String>,
    /// Its outcomes, and whether they are final.
    outcomes: Vec<(DeliveryId, bool, Option<OutcomeKind>)>,
    /// The conditions in its outcomes.
    refusals: Vec<String>,
}

impl Handler for Heard {
    fn performative(&mut self, _: Subject, performative: &mut PerformativeView<'_>) {
        let error = match performative {
            PerformativeView::Detach(detach) => detach.error(),
            PerformativeView::End(end) => end.error(),
            PerformativeView::Close(close) => close.error(),
            _ => None,
        };
        self.conditions.extend(error.map(|error| error.condition.as_str().to_owned()));
    }

    fn state(&mut self, update: &StateUpdate<'_>) {
        self.outcomes.push((update.delivery, update.settled, update.outcome()));
        if let Some(DeliveryState::Outcome(Outcome::Rejected(rejected))) = update.state {
            self.refusals.extend(rejected.error.map(|error| error.condition.as_str().to_owned()));
        }
    }
}

/// The names of the checks.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

struct Client {
    socket: Socket,
    session: SessionId,
    heard: Heard,
    events: Vec<Event>,
    values: Vec<Tree>,
    tags: u32,
}

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments, port: &str, name: &str) -> Result<String, String> {
    let (_, check) = CHECKS.iter().find(|(check, _)| *check == name).ok_or("there is no such check")?;
    let port: u16 = port.parse().map_err(|_| "no port")?;
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let response = arguments.plain.as_ref().map(|(user, password)| format!("\0{user}\0{password}"));
    let init = SaslInit {
        mechanism: Symbol::new(if response.is_some() { "PLAIN" } else { "ANONYMOUS" }),
        initial_response: response.as_ref().map(std::string::String::as_bytes),
        hostname: Some("localhost"),
    };
    let open = Open { hostname: Some("localhost"), ..open("engine") };
    let connection = Connection::<Heap>::client(config(arguments.max_frame_size), Instant::ZERO, Some(&init), &open);
    let mut connection = connection.map_err(|error| error.to_string())?;
    let session = connection.begin().map_err(|error| error.to_string())?;
    let socket = Socket::new(connection, stream, arguments.max_frame_size).map_err(|error| error.to_string())?;
    let values = arguments.values.as_ref().map(|file| Tree::all_of(file)).unwrap_or_default();
    let mut client = Client { socket, session, heard: Heard::default(), events: Vec::new(), values, tags: 0 };
    let said = check(&mut client)?;
    client.socket.connection.close(None);
    while client.turn(PATIENCE)? {}
    match client.events.last() {
        Some(Event::Closed(servicebus_core::engine::ConnectionError::ClosedByPeer)) => Ok(said),
        other => Err(format!("the connection did not close: {other:?}")),
    }
}

impl Client {
    fn turn(&mut self, wait: Duration) -> Result<bool, String> {
        let more = self.socket.turn(&mut self.heard, wait).map_err(|error| error.to_string())?;
        while let Some(event) = self.socket.connection.poll_event() {
            self.events.push(event);
        }
        Ok(more)
    }

    /// Takes turns until `found` finds what it looks for.
    fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> Result<T, String> {
        let began = std::time::Instant::now();
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("waited in vain for {what}; {:?}", self.events));
            }
            if let Some(error) = self.socket.connection.failure() {
                return Err(format!("{error} while waiting for {what}; {:?}", self.heard.conditions));
            }
            self.turn(Duration::from_millis(100))?;
        }
    }

    fn link(&mut self, address: &str, role: Role, second: bool) -> Result<LinkId, String> {
        let name = format!("{address} {role:?} {}", self.events.len());
        let asked = Attach {
            source: Some(Source::new(Some(address))),
            target: Some(TargetArchetype::Target(Target::new(Some(address)))),
            rcv_settle_mode: if second { ReceiverSettleMode::Second } else { ReceiverSettleMode::First },
            ..attach(&name, 0, role)
        };
        self.socket.connection.attach(self.session, &asked).map_err(|error| error.to_string())
    }

    fn send(&mut self, link: LinkId, message: &[u8], settled: bool) -> Result<DeliveryId, String> {
        self.tags += 1;
        let tag = Tag::new(&self.tags.to_be_bytes()).unwrap_or(Tag::EMPTY);
        let options = SendOptions { tag, settled, ..SendOptions::default() };
        self.socket.connection.send(link, &payload(message), &options).map_err(|error| error.to_string())
    }

    fn outcome(&mut self, delivery: DeliveryId) -> Result<Option<OutcomeKind>, String> {
        self.until("an outcome", |client| {
            client
                .heard
                .outcomes
                .iter()
                .find_map(|&(found, settled, outcome)| (found == delivery && settled).then_some(outcome))
        })
    }

    fn receive(&mut self, link: LinkId) -> Result<Vec<u8>, String> {
        let incoming = self.until("a message", |client| client.socket.connection.receive(link))?;
        if !incoming.settled {
            let settled = self.socket.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true);
            settled.map_err(|error| error.to_string())?;
        }
        Ok(incoming.payload.to_vec())
    }

    fn grant(&mut self, link: LinkId, credit: u32) -> Result<(), String> {
        self.socket.connection.grant(link, credit).map(drop).map_err(|error| error.to_string())
    }
}

/// One value of each type at least, whether or not a file of values is given.
fn built_in() -> Vec<Tree> {
    let text = |text: &str| Tree::string(text);
    [
        Plain::Null,
        Plain::Boolean(true),
        Plain::Boolean(false),
        Plain::Ubyte(255),
        Plain::Ushort(65_535),
        Plain::Uint(0),
        Plain::Uint(255),
        Plain::Uint(u32::MAX),
        Plain::Ulong(0),
        Plain::Ulong(255),
        Plain::Ulong(u64::MAX),
        Plain::Byte(-128),
        Plain::Short(-32_768),
        Plain::Int(-1),
        Plain::Int(i32::MIN),
        Plain::Long(-128),
        Plain::Long(i64::MIN),
        Plain::Float(0x3fc0_0000),
        Plain::Double(0x4009_21fb_5444_2d18),
        Plain::Char('€'),
        Plain::Timestamp(-62_135_596_800_000),
        Plain::Uuid(*b"0123456789abcdef"),
        Plain::Binary(vec![0, 1, 254, 255]),
        Plain::Binary(vec![7; 300]),
        Plain::String("grüße 👋".into()),
        Plain::String("s".repeat(300)),
        Plain::Symbol("a:symbol".into()),
        Plain::Decimal32([0x22, 0x50, 0, 1]),
        Plain::Decimal64([0x22, 0x34, 0, 0, 0, 0, 0, 1]),
        Plain::Decimal128([0x22, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ]
    .map(Tree::Plain)
    .into_iter()
    .chain([
        Tree::List(vec![]),
        Tree::List(vec![text("one"), Tree::List(vec![Tree::Plain(Plain::Long(2))])]),
        Tree::Map(vec![(text("key"), Tree::Map(vec![(text("inner"), Tree::Plain(Plain::Uint(1)))]))]),
        Tree::Array("int".into(), (0..100).map(|v| Tree::Plain(Plain::Int(v))).collect()),
    ])
    .collect()
}

fn values(client: &mut Client) -> Result<String, String> {
    let sender = client.link("values", Role::Sender, false)?;
    let receiver = client.link("values", Role::Receiver, false)?;
    client.grant(receiver, 1_000)?;
    let mut values = built_in();
    values.append(&mut client.values);
    for value in &values {
        let delivery = client.send(sender, &value_message(value), false)?;
        let back = client.receive(receiver).map_err(|why| format!("{value:?}: {why}"))?;
        let back = value_of(&back)?;
        if !back.same(value) {
            return Err(format!("{value:?} came back as {back:?}"));
        }
        match client.outcome(delivery)? {
            Some(OutcomeKind::Accepted) => client.events.clear(),
            other => return Err(format!("{value:?} was {other:?}")),
        }
    }
    Ok(format!("{} values", values.len()))
}

fn large(client: &mut Client) -> Result<String, String> {
    let sender = client.link("large", Role::Sender, false)?;
    let receiver = client.link("large", Role::Receiver, false)?;
    client.grant(receiver, 1)?;
    let data: Vec<u8> = (0..10_000_000u32).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    let began = std::time::Instant::now();
    let delivery = client.send(sender, &data_message(&data), false)?;
    if client.outcome(delivery)? != Some(OutcomeKind::Accepted) {
        return Err("not accepted".into());
    }
    let back = client.receive(receiver)?;
    let view = MessageView::parse(&back).map_err(|error| error.to_string())?;
    let Ok(Body::Data(sections)) = view.body() else { return Err("no data".into()) };
    let whole: Vec<u8> = sections.data().filter_map(Result::ok).flatten().copied().collect();
    if whole != data {
        return Err(format!("{} bytes came back, and others than were sent", whole.len()));
    }
    Ok(format!("10 MB out and back in {} ms", began.elapsed().as_millis()))
}

fn credit(client: &mut Client) -> Result<String, String> {
    let receiver = client.link("burst", Role::Receiver, false)?;
    client.until("the attach", |client| client.socket.connection.link(receiver).filter(|link| link.attached))?;
    let mut got = 0u8;
    for (credit, upto) in [(3, 3u8), (4, 7)] {
        client.grant(receiver, credit)?;
        while got < upto {
            let value = value_of(&client.receive(receiver)?)?;
            if value != Tree::Plain(Plain::Ubyte(got)) {
                return Err(format!("{value:?} instead of {got}"));
            }
            got += 1;
        }
        client.turn(Duration::from_millis(300))?;
        if client.socket.connection.receive(receiver).is_some() {
            return Err(format!("more than the {upto} messages that were granted"));
        }
    }
    // Three are left; the rest of the credit comes back.
    client.grant(receiver, 10)?;
    client.socket.connection.drain(receiver).map_err(|error| error.to_string())?;
    client.until("the drain", |client| client.events.contains(&Event::Drained(receiver)).then_some(()))?;
    while client.socket.connection.receive(receiver).is_some() {
        got += 1;
    }
    if got != 10 || client.socket.connection.link(receiver).is_none_or(|link| link.credit != 0) {
        return Err(format!("{got} of 10 messages after the drain"));
    }
    // A drain of a node that has nothing.
    client.events.clear();
    client.grant(receiver, 5)?;
    client.socket.connection.drain(receiver).map_err(|error| error.to_string())?;
    client.until("the second drain", |client| client.events.contains(&Event::Drained(receiver)).then_some(()))?;
    Ok("10 messages by credit and drain".into())
}

fn two_phase(client: &mut Client) -> Result<String, String> {
    let sender = client.link("two-phase", Role::Sender, true)?;
    let receiver = client.link("two-phase", Role::Receiver, true)?;
    client.grant(receiver, 10)?;
    for number in 0..5u8 {
        // The receiver proposes, the sender settles.
        let delivery = client.send(sender, &value_message(&Tree::Plain(Plain::Ubyte(number))), false)?;
        let outcome = client.until("a proposed outcome", |client| {
            client
                .heard
                .outcomes
                .iter()
                .find_map(|&(found, settled, outcome)| (found == delivery).then_some((outcome, settled)))
        })?;
        if outcome != (Some(OutcomeKind::Accepted), false) {
            return Err(format!("{outcome:?} instead of a proposal"));
        }
        client.socket.connection.settle(delivery, &DeliveryState::ACCEPTED, true).map_err(|error| error.to_string())?;
        // And the other way round.
        let incoming = client.until("a message", |client| client.socket.connection.receive(receiver))?;
        let proposed = client.socket.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, false);
        proposed.map_err(|error| error.to_string())?;
        client.outcome(incoming.delivery)?;
    }
    client.turn(Duration::from_millis(100))?;
    match client.socket.connection.table_sizes() {
        (1, 2, 0) => Ok("5 messages each way".into()),
        other => Err(format!("deliveries are left over: {other:?}")),
    }
}

fn settled(client: &mut Client) -> Result<String, String> {
    let sender = client.link("settled", Role::Sender, false)?;
    let receiver = client.link("settled", Role::Receiver, false)?;
    client.grant(receiver, 100)?;
    for number in 0..100u8 {
        client.send(sender, &value_message(&Tree::Plain(Plain::Ubyte(number))), true)?;
    }
    for number in 0..100u8 {
        let value = value_of(&client.receive(receiver)?)?;
        if value != Tree::Plain(Plain::Ubyte(number)) {
            return Err(format!("{value:?} instead of {number}"));
        }
    }
    Ok("100 messages in order".into())
}

fn outcomes(client: &mut Client) -> Result<String, String> {
    let cases = [
        ("reject", OutcomeKind::Rejected),
        ("release", OutcomeKind::Released),
        ("modify", OutcomeKind::Modified),
        ("accept", OutcomeKind::Accepted),
    ];
    for (address, expected) in cases {
        let sender = client.link(address, Role::Sender, false)?;
        let delivery = client.send(sender, &value_message(&Tree::string(address)), false)?;
        let outcome = client.outcome(delivery)?;
        if outcome != Some(expected) {
            return Err(format!("{address}: {outcome:?}"));
        }
    }
    match client.heard.refusals.first().map(String::as_str) {
        Some("test:refused") => Ok("four outcomes".into()),
        other => Err(format!("the rejection says {other:?}")),
    }
}

fn refused(client: &mut Client) -> Result<String, String> {
    for role in [Role::Sender, Role::Receiver] {
        client.heard.conditions.clear();
        let link = client.link("refuse", role, false)?;
        client.until("the refusal", |client| client.events.contains(&Event::LinkDetached(link)).then_some(()))?;
        if client.heard.conditions != ["amqp:not-found"] {
            return Err(format!("{:?}", client.heard.conditions));
        }
        client.socket.connection.forget(link);
    }
    // The session lives.
    settled(client)
}

fn kicked(client: &mut Client) -> Result<String, String> {
    let link = client.link("kick", Role::Sender, false)?;
    client.send(link, &value_message(&Tree::string("x")), false)?;
    client.until("the detach", |client| client.events.contains(&Event::LinkDetached(link)).then_some(()))?;
    if client.heard.conditions != ["amqp:resource-deleted"] {
        return Err(format!("{:?}", client.heard.conditions));
    }
    if client.send(link, b"", false).is_ok() {
        return Err("sent on a detached link".into());
    }
    client.socket.connection.forget(link);
    settled(client)
}

fn links(client: &mut Client) -> Result<String, String> {
    for round in 0..50u8 {
        let sender = client.link("links", Role::Sender, false)?;
        let receiver = client.link("links", Role::Receiver, false)?;
        client.grant(receiver, 1)?;
        client.send(sender, &value_message(&Tree::Plain(Plain::Ubyte(round))), false)?;
        client.receive(receiver)?;
        for link in [sender, receiver] {
            client.socket.connection.detach(link, true, None).map_err(|error| error.to_string())?;
            client.until("the detach", |client| client.events.contains(&Event::LinkDetached(link)).then_some(()))?;
            client.socket.connection.forget(link);
        }
        client.events.clear();
    }
    match client.socket.connection.table_sizes() {
        (1, 0, 0) => Ok("100 links came and went".into()),
        other => Err(format!("something is left over: {other:?}")),
    }
}
