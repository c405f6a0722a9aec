//! A server whose script answers some frames. The others are answered as by a healthy service: the opening, tokens, links
//! with plenty of credit, and messages, which are accepted.

use crate::stage::within;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::client::Client;
use servicebus_core::driver::{self, Credential, Dial, NoCredential, Transport};
use servicebus_core::machine::{Settings, Target};
use servicebus_core::servicebus::{Body, MessageRef};
use servicebus_core::storage::Storage;
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::message::MessageView;
use servicebus_core::wire::messaging::{self, DeliveryState, MessageId, Properties};
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::{SaslCode, SaslFrame, SaslMechanisms, SaslOutcome};
use servicebus_core::wire::{Encode, Multiple, Symbol, Value, encode_map, to_vec};
use servicebus_simulation::{Simulated, World};
use servicebus_tests::engine::{Item, Sent, attach, begin, flow, frame, open, sasl_frame, transfer};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One way through the simulated network.
const LATENCY: Duration = Duration::from_millis(1);

/// An idle server sends heartbeats this often.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A link as the client has attached it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) channel: u16,
    pub(crate) name: String,
    pub(crate) handle: u32,
    /// The client's role.
    pub(crate) role: Role,
    /// The node on the server's side.
    pub(crate) address: String,
}

/// Answers a frame instead of the default; false leaves the frame to the default.
pub(crate) type Script = Rc<RefCell<dyn FnMut(&mut Server, &Item<'_>) -> bool>>;

/// The server's end of one connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) links: Vec<Link>,
    /// The channel of the frame that is answered.
    channel: u16,
    /// Deliveries by channel.
    deliveries: BTreeMap<u16, u32>,
    /// Transfers by channel.
    transfers: BTreeMap<u16, u32>,
    outgoing: Vec<(Duration, Option<Vec<u8>>)>,
}

impl Server {
    /// Sends a frame on the channel of the one that is answered.
    pub(crate) fn send(&mut self, body: &impl Encode, payload: &[u8]) {
        self.send_on(self.channel, body, payload);
    }

    fn send_on(&mut self, channel: u16, body: &impl Encode, payload: &[u8]) {
        self.send_bytes(Duration::ZERO, frame(channel, body, payload));
    }

    /// Transfers that were sent on the session of a link.
    pub(crate) fn transfers(&self, link: &Link) -> u32 {
        self.transfers.get(&link.channel).copied().unwrap_or(0)
    }

    /// Sends bytes so long after what was sent before.
    pub(crate) fn send_bytes(&mut self, wait: Duration, bytes: Vec<u8>) {
        self.outgoing.push((wait, Some(bytes)));
    }

    /// Closes the connection so long after what was sent before.
    pub(crate) fn hang_up(&mut self, wait: Duration) {
        self.outgoing.push((wait, None));
    }

    /// Answers an attach.
    pub(crate) fn accept(&mut self, link: &Link, credit: u32) {
        let role = link.role.other();
        let (source, target) =
            (messaging::Source::new(Some(&link.address)), messaging::Target::new(Some(&link.address)));
        self.send_on(
            link.channel,
            &Attach {
                source: Some(source),
                target: Some(TargetArchetype::Target(target)),
                max_message_size: Some(1 << 20),
                ..attach(&link.name, link.handle, role)
            },
            &[],
        );
        if role == Role::Receiver && credit > 0 {
            self.send_on(link.channel, &flow(link.handle, 0, credit), &[]);
        }
    }

    /// Answers the attach of a receiver of sessions with this one, locked for a minute.
    pub(crate) fn accept_session(&mut self, link: &Link, session: &str) {
        let id = Value::String(session);
        let entries = [(Value::Symbol(Symbol::new("com.microsoft:session-filter")), id)];
        let mut buffer = [0; 256];
        let filter = encode_map(&entries, &mut buffer).expect("room");
        let source = messaging::Source { filter: Some(filter), ..messaging::Source::new(Some(&link.address)) };
        let answer = attach(&link.name, link.handle, Role::Sender);
        let answer = Attach { source: Some(source), target: None, max_message_size: Some(1 << 20), ..answer };
        self.send_on(link.channel, &answer, &[]);
    }

    /// Answers the request to drain a link: all of its credit is given up. False for any other flow.
    pub(crate) fn drained(&mut self, request: &Flow<'_>) -> bool {
        let (Some(handle), Some(credit), true) = (request.handle, request.link_credit, request.drain) else {
            return false;
        };
        let count = request.delivery_count.unwrap_or(0) + credit;
        self.send(&Flow { drain: true, ..flow(handle, count, 0) }, &[]);
        true
    }

    /// Detaches a link for this reason.
    pub(crate) fn detach(&mut self, link: &Link, condition: &str) {
        let error = Some(ErrorCondition::new(condition).with_description("as the script wants"));
        self.send_on(link.channel, &Detach { handle: link.handle, closed: true, error }, &[]);
    }

    /// Sends the outcome of a delivery.
    pub(crate) fn settle(&mut self, id: u32, state: DeliveryState<'_>) {
        self.settle_as(id, Some(state));
    }

    /// Settles a delivery and leaves its outcome out.
    pub(crate) fn settle_without_state(&mut self, id: u32) {
        self.settle_as(id, None);
    }

    fn settle_as(&mut self, id: u32, state: Option<DeliveryState<'_>>) {
        let disposition =
            Disposition { role: Role::Receiver, first: id, last: None, settled: true, state, batchable: false };
        self.send(&disposition, &[]);
    }

    /// Sends a message, or a piece of one, to a receiver of the client's.
    pub(crate) fn deliver(&mut self, link: &Link, more: bool, payload: &[u8]) {
        let deliveries = self.deliveries.entry(link.channel).or_default();
        let id = *deliveries;
        *deliveries += u32::from(!more);
        *self.transfers.entry(link.channel).or_default() += 1;
        let tag = u128::from(id).to_be_bytes();
        self.send_on(link.channel, &Transfer { delivery_tag: Some(&tag), ..transfer(link.handle, id, more) }, payload);
    }

    /// Parses an attach and remembers it.
    fn remember(&mut self, attach: &Attach<'_>) -> Link {
        let of_source = attach.source.and_then(|source| source.address);
        let of_target = match attach.target {
            Some(TargetArchetype::Target(target)) => target.address,
            _ => None,
        };
        let address = if attach.role == Role::Sender { of_target } else { of_source };
        let address = address.and_then(|address| address.as_str()).unwrap_or_default().to_owned();
        let (name, channel) = (attach.name.to_owned(), self.channel);
        let link = Link { channel, name, handle: attach.handle, role: attach.role, address };
        self.links.retain(|known| (known.channel, known.handle) != (link.channel, link.handle));
        self.links.push(link.clone());
        link
    }

    /// The link that the frame which is answered names, as the client attached it.
    pub(crate) fn link(&self, handle: u32) -> Option<Link> {
        self.links.iter().find(|link| (link.channel, link.handle) == (self.channel, handle)).cloned()
    }

    fn answer(&mut self, item: &Item<'_>) {
        match item {
            Item::Header(Protocol::Sasl) => {
                let anonymous = [Symbol::new("ANONYMOUS")];
                let sasl_server_mechanisms = Multiple::new(&anonymous);
                let mechanisms = sasl_frame(&SaslMechanisms { sasl_server_mechanisms });
                self.send_bytes(Duration::ZERO, [&Protocol::Sasl.header()[..], &mechanisms].concat());
            }
            Item::Header(_) => self.send_bytes(Duration::ZERO, Protocol::Amqp.header().to_vec()),
            Item::Sasl(SaslFrame::Init(_)) => {
                let outcome = SaslOutcome { code: SaslCode::Ok, additional_data: None };
                self.send_bytes(Duration::ZERO, sasl_frame(&outcome));
            }
            Item::Sasl(_) | Item::Empty => {}
            Item::Frame(channel, performative, payload) => self.answer_frame(*channel, performative, payload),
        }
    }

    fn answer_frame(&mut self, channel: u16, performative: &Performative<'_>, payload: &[u8]) {
        match performative {
            Performative::Open(_) => self.send(&Open { max_frame_size: 65_536, ..open("server") }, &[]),
            Performative::Begin(_) => self.send(&Begin { incoming_window: 100_000, ..begin(Some(channel)) }, &[]),
            Performative::Attach(_) => {
                let link = self.links.last().cloned().expect("it was remembered");
                self.accept(&link, 1_000);
            }
            Performative::Transfer(transfer) => {
                let Some(link) = self.link(transfer.handle) else { return };
                if transfer.more {
                    return;
                }
                if let Some(id) = transfer.delivery_id
                    && transfer.settled != Some(true)
                {
                    self.settle(id, DeliveryState::ACCEPTED);
                }
                if link.address.starts_with('$') || link.address.ends_with("$management") {
                    self.respond(&link, payload);
                }
            }
            Performative::Detach(Detach { handle, closed, .. }) => {
                self.links.retain(|link| (link.channel, link.handle) != (channel, *handle));
                self.send(&Detach { handle: *handle, closed: *closed, error: None }, &[]);
            }
            Performative::End(_) => self.send(&End { error: None }, &[]),
            Performative::Close(_) => {
                self.send(&Close { error: None }, &[]);
                self.hang_up(Duration::ZERO);
            }
            Performative::Flow(_) | Performative::Disposition(_) => {}
        }
    }

    /// Answers a request: it was carried out.
    fn respond(&mut self, request_link: &Link, payload: &[u8]) {
        let status = [("statusCode", Value::Int(202)), ("statusDescription", Value::String("Accepted"))];
        self.respond_with(request_link, payload, |id| id, &status, Body::Value(Value::Null));
    }

    /// Answers a request with these properties and body, and a correlation id made of its message id.
    pub(crate) fn respond_with(
        &mut self,
        request_link: &Link,
        payload: &[u8],
        correlation: for<'a> fn(Option<MessageId<'a>>) -> Option<MessageId<'a>>,
        status: &[(&str, Value<'_>)],
        body: Body<'_>,
    ) {
        let to = |link: &&Link| link.role == Role::Receiver && link.address == request_link.address;
        let Some(link) = self.links.iter().find(to).cloned() else { return };
        let properties = MessageView::parse(payload).and_then(|view| view.properties()).expect("a request");
        let head = Properties { correlation_id: correlation(properties.message_id), ..Properties::EMPTY };
        let rest = MessageRef::from_body(body).with_properties(status);
        self.deliver(&link, false, &[to_vec(&head), to_vec(&rest)].concat());
    }

    /// Sends a frame on another channel than that of the frame which is answered.
    pub(crate) fn send_elsewhere(&mut self, channel: u16, body: &impl Encode) {
        self.send_on(channel, body, &[]);
    }

    /// Answers a frame as a healthy service does.
    pub(crate) fn answer_well(&mut self, item: &Item<'_>) {
        match item {
            Item::Frame(_, Performative::Flow(flow), _) if self.drained(flow) => {}
            _ => self.answer(item),
        }
    }
}

/// A client whose every connection is answered by the script, with the number of its dials.
pub(crate) fn client<S: Storage>(
    world: &World,
    settings: Settings<S>,
    script: impl FnMut(&mut Server, &Item<'_>) -> bool + 'static,
) -> (Client<Simulated<S>>, Rc<Cell<u32>>) {
    client_with_credential(world, settings, NoCredential, script)
}

/// As [`client`], with tokens of a credential where the settings want them.
pub(crate) fn client_with_credential<S: Storage>(
    world: &World,
    settings: Settings<S>,
    credential: impl Credential<S::Payload> + 'static,
    script: impl FnMut(&mut Server, &Item<'_>) -> bool + 'static,
) -> (Client<Simulated<S>>, Rc<Cell<u32>>) {
    let (client, driver, dials) = client_and_driver(world, settings, credential, script);
    world.spawn(driver);
    (client, dials)
}

/// As [`client_with_credential`], with the driver, which does not run yet.
pub(crate) fn client_and_driver<S: Storage>(
    world: &World,
    settings: Settings<S>,
    credential: impl Credential<S::Payload> + 'static,
    script: impl FnMut(&mut Server, &Item<'_>) -> bool + 'static,
) -> (Client<Simulated<S>>, impl Future<Output = ()> + 'static, Rc<Cell<u32>>) {
    let runtime = world.runtime::<S>();
    let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
    let client = Client::new(&shared, runtime.clone());
    let dials = Rc::new(Cell::new(0));
    let dialer = Dialer { world: world.clone(), script: Rc::new(RefCell::new(script)), dials: Rc::clone(&dials) };
    (client, driver::run(shared, runtime, dialer, credential), dials)
}

struct Dialer {
    world: World,
    script: Script,
    dials: Rc<Cell<u32>>,
}

impl Dial for Dialer {
    type Transport<'a> = Scripted;
    type Error = ErrorKind;

    async fn dial(&mut self, _target: Target<'_>) -> Result<Scripted, ErrorKind> {
        self.dials.set(self.dials.get() + 1);
        self.world.sleep(LATENCY * 2).await;
        let server = Server {
            links: Vec::new(),
            channel: 0,
            deliveries: BTreeMap::new(),
            transfers: BTreeMap::new(),
            outgoing: Vec::new(),
        };
        let wire = Wire { server, to_client: VecDeque::new(), readable: VecDeque::new(), reader: None };
        Ok(Scripted { world: self.world.clone(), script: Rc::clone(&self.script), wire: RefCell::new(wire) })
    }
}

struct Wire {
    server: Server,
    /// When what arrives; `None` for the end.
    to_client: VecDeque<(Instant, Option<Vec<u8>>)>,
    readable: VecDeque<u8>,
    reader: Option<Waker>,
}

pub(crate) struct Scripted {
    world: World,
    script: Script,
    wire: RefCell<Wire>,
}

pub(crate) struct Half<'a>(&'a Scripted);

impl Transport for Scripted {
    type Error = ErrorKind;
    type Reader<'a> = Half<'a>;
    type Writer<'a> = Half<'a>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(self), Half(self))
    }
}

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            let next = {
                let mut wire = self.0.wire.borrow_mut();
                let now = self.0.world.clock().now;
                while wire.to_client.front().is_some_and(|(at, bytes)| *at <= now && bytes.is_some()) {
                    let arrived = wire.to_client.pop_front().and_then(|(_, bytes)| bytes).unwrap_or_default();
                    wire.readable.extend(arrived);
                }
                let count = wire.readable.len().min(buffer.len());
                if count > 0 {
                    return std::io::Read::read(&mut wire.readable, &mut buffer[..count]).map_err(|_| ErrorKind::Other);
                }
                match wire.to_client.front() {
                    Some((at, None)) if *at <= now => return Ok(0),
                    front => front.map(|(at, _)| at.saturating_duration_since(now)),
                }
            };
            match next {
                Some(wait) => self.0.world.sleep(wait).await,
                None => {
                    let more = poll_fn(|cx| {
                        let mut wire = self.0.wire.borrow_mut();
                        if !wire.to_client.is_empty() {
                            return Poll::Ready(());
                        }
                        wire.reader = Some(cx.waker().clone());
                        Poll::Pending
                    });
                    if within(&self.0.world, HEARTBEAT, more).await.is_none() {
                        self.0.wire.borrow_mut().readable.extend([0, 0, 0, 8, 2, 0, 0, 0]);
                    }
                }
            }
        }
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut wire = self.0.wire.borrow_mut();
        let Wire { server, to_client, reader, .. } = &mut *wire;
        // The client writes whole frames.
        Sent(bytes.to_vec()).each(|item| {
            if let Item::Frame(channel, performative, _) = &item {
                server.channel = *channel;
                if let Performative::Attach(attach) = performative {
                    server.remember(attach);
                }
            }
            if !(self.0.script.borrow_mut())(server, &item) {
                server.answer(&item);
            }
        });
        let mut at = self.0.world.clock().now + LATENCY * 2;
        if let Some((last, _)) = to_client.back() {
            at = at.max(*last);
        }
        for (wait, outgoing) in server.outgoing.drain(..) {
            at += wait;
            to_client.push_back((at, outgoing));
        }
        if let Some(waker) = reader.take() {
            waker.wake();
        }
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
