//! The client with a service that agrees to everything, in virtual time: how many entries of tables it touches.

use super::*;
use crate::engine::{Config, ConnectionErrorKind, DeliveryId, Event, Handler, LinkId, SendOptions, Subject, Tag};
use crate::storage::{Buffer, Heap, Limits, Payload, RxOf, TxOf, tests as touched};
use crate::time::{Duration, Millis};
use crate::wire::message::{MessageView, section};
use crate::wire::messaging::{self, DeliveryState, MessageId, Source, put_section};
use crate::wire::performative::{
    Attach, Open, PerformativeView, ReceiverSettleMode, Role, SenderSettleMode, TargetArchetype,
};
use crate::wire::{Encode, MapWriter, Sink, Value};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::task::Poll;

const LIMITS: Limits = Limits {
    sessions: 200,
    links: 20_000,
    deliveries: 100_000,
    outbox: 64 << 20,
    message: 1 << 20,
    buffered: 64 << 20,
};

/// What a peer attaches.
struct Asked {
    link: LinkId,
    name: String,
    source: String,
    target: String,
}

#[derive(Default)]
struct Attaches(Vec<Asked>);

impl Handler for Attaches {
    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        if let (Subject::Link(link), PerformativeView::Attach(attach)) = (subject, performative) {
            let address = |address: Option<Value<'_>>| address.and_then(|it| it.as_str().map(str::to_string));
            let source = attach.source().and_then(|source| address(source.address)).unwrap_or_default();
            let target = match attach.target() {
                Some(TargetArchetype::Target(target)) => address(target.address).unwrap_or_default(),
                _ => String::new(),
            };
            let name = attach.name().to_string();
            self.0.push(Asked { link, name, source, target });
        }
    }
}

/// The answer to a put-token.
struct Answer<'a>(MessageId<'a>);

impl Encode for Answer<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        messaging::Properties { correlation_id: Some(self.0), ..messaging::Properties::EMPTY }.encode(sink);
        put_section(sink, section::APPLICATION_PROPERTIES);
        let mut map = MapWriter::begin(sink);
        map.put("status-code", 202);
        map.end();
    }
}

/// A service with links of any name.
struct Service {
    connection: Connection<Heap>,
    attaches: Attaches,
    /// The link to the client that brings the answers of `$cbs`.
    answers: Option<LinkId>,
    requests: Option<LinkId>,
    /// Links to receivers, by their addresses.
    receivers: Vec<(String, LinkId)>,
    tags: u32,
    /// Messages are not settled but kept here.
    keeps: Option<Vec<DeliveryId>>,
}

impl Service {
    fn new() -> Self {
        let config = Config { limits: LIMITS, ..Config::default() };
        Self {
            connection: Connection::server(config, Instant::ZERO),
            attaches: Attaches::default(),
            answers: None,
            requests: None,
            receivers: Vec::new(),
            tags: 0,
            keeps: None,
        }
    }

    fn answer(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Opened => {
                    let open = Open { max_frame_size: 65_536, channel_max: 4_999, ..Open::new("service") };
                    self.connection.open(&open).expect("room");
                }
                Event::DrainRequested(link) => self.connection.drained(link).expect("a drain"),
                Event::Readable(link) => self.take(link),
                _ => {}
            }
        }
        for Asked { link, name, source, target } in core::mem::take(&mut self.attaches.0) {
            let mirrored = Attach {
                snd_settle_mode: SenderSettleMode::Unsettled,
                rcv_settle_mode: ReceiverSettleMode::Second,
                source: Some(Source::new(Some(&source))),
                target: Some(TargetArchetype::Target(messaging::Target::new(Some(&target)))),
                ..Attach::new(&name, Role::Sender)
            };
            self.connection.accept_link(link, &mirrored).expect("room");
            match (source.as_str(), target.as_str()) {
                ("$cbs", _) => self.answers = Some(link),
                (_, "$cbs") => self.requests = Some(link),
                _ if source.starts_with('q') => self.receivers.push((source, link)),
                _ => {}
            }
            // Of no effect on links that we send on.
            let _ = self.connection.grant(link, 1_000);
        }
    }

    fn take(&mut self, link: LinkId) {
        while let Some(incoming) = self.connection.receive(link) {
            if let Some(kept) = self.keeps.as_mut().filter(|_| self.requests != Some(link)) {
                kept.push(incoming.delivery);
                continue;
            }
            let _ = self.connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true);
            if self.requests != Some(link) {
                let _ = self.connection.grant(link, 1_000);
                continue;
            }
            let request = MessageView::parse(&incoming.payload).expect("a message");
            let id = request.properties_view().and_then(|mut properties| properties.message_id()).expect("an id");
            let answer = Payload::encode(&Answer(id)).expect("room");
            let _ = self.connection.grant(link, 1_000);
            self.send(self.answers.expect("a pair of links"), answer);
        }
    }

    fn send(&mut self, link: LinkId, payload: <Heap as Storage>::Payload) {
        self.tags += 1;
        let options = SendOptions { tag: Tag::number(self.tags), ..SendOptions::default() };
        assert!(self.connection.send(link, &payload, &options).is_ok());
    }
}

/// A client and its service.
struct World {
    clock: Clock,
    client: ClientMachine<Heap>,
    service: Service,
    buffers: (TxOf<Heap>, RxOf<Heap>, TxOf<Heap>, RxOf<Heap>),
    /// Entries that the client has touched.
    touched: usize,
}

impl World {
    fn new() -> Self {
        let mut settings = Settings::new("Endpoint=sb://here;SharedAccessKeyName=name;SharedAccessKey=a2V5".into(), 7);
        settings.limits = LIMITS;
        Self {
            clock: Clock { now: Instant::from_millis(1), utc: Timestamp::from_millis(1_700_000_000_000) },
            client: ClientMachine::new(settings),
            service: Service::new(),
            buffers: (Heap::tx(65_536), Heap::rx(65_536), Heap::tx(65_536), Heap::rx(65_536)),
            touched: 0,
        }
    }

    /// Does something with the client; what it touches counts.
    fn with<T>(&mut self, act: impl FnOnce(&mut ClientMachine<Heap>, Clock) -> T) -> T {
        let before = touched::count();
        let output = act(&mut self.client, self.clock);
        self.touched += touched::count() - before;
        output
    }

    fn connect(&mut self) {
        self.service = Service::new();
        self.buffers.1.clear();
        self.buffers.3.clear();
        assert_eq!(self.with(|client, _| client.handle_want()), Want::Dial);
        self.with(|client, clock| {
            client.handle_dialling(clock);
            client.handle_connected(clock).expect("room");
        });
        self.settle_down();
        assert_eq!(self.client.phase(), Phase::Connected);
    }

    /// Moves bytes and time until nothing happens any more.
    fn settle_down(&mut self) {
        loop {
            self.clock.now = self.clock.now.after(Millis::new(1));
            let mut moved = self.with(|client, clock| {
                client.handle_want();
                client.handle_timeout(clock);
                client.has_work()
            });
            let (mut tx, mut rx, mut their_tx, mut their_rx) =
                core::mem::replace(&mut self.buffers, (Heap::tx(512), Heap::rx(512), Heap::tx(512), Heap::rx(512)));
            while self.with(|client, clock| client.poll_transmit(clock, &mut tx)) || !tx.filled().is_empty() {
                moved = true;
                copy(&mut tx, &mut their_rx);
                let Service { connection, attaches, .. } = &mut self.service;
                connection.handle_input(self.clock.now, &mut their_rx, attaches).expect("a client that keeps to it");
                self.service.answer();
            }
            while self.service.connection.poll_transmit(self.clock.now, &mut their_tx) || !their_tx.filled().is_empty()
            {
                moved = true;
                copy(&mut their_tx, &mut rx);
                self.with(|client, clock| client.handle_input(clock, &mut rx));
            }
            self.buffers = (tx, rx, their_tx, their_rx);
            while self.with(|client, _| client.poll_notice()).is_some() {
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn add(&mut self, kind: Kind, number: usize) -> EndpointId {
        let entity = Entity::queue(alloc::format!("q{number}"));
        self.with(|client, _| client.add_endpoint(kind, entity, None).expect("room"))
    }

    /// A message to the service.
    fn send(&mut self, sender: EndpointId) {
        let deadline = self.clock.now.after(Millis::from_secs(60));
        let payload = <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi");
        let mut unsent = Some(&payload);
        let operation = self.with(|client, _| client.start(Some(sender), Some(deadline)).expect("room"));
        loop {
            let polled = self.with(|client, _| client.poll_send(operation, sender, &mut unsent, 0, None));
            match polled {
                Poll::Ready(result) => {
                    result.expect("it is taken");
                    return self.with(|client, _| client.finish(operation));
                }
                Poll::Pending => self.settle_down(),
            }
        }
    }

    /// Sends messages whose calls are dropped, which keep their places until the service answers, until there is none left:
    /// the call of the one that waits for a place.
    fn send_until_one_waits(&mut self, sender: EndpointId) -> OperationId {
        let deadline = self.clock.now.after(Millis::from_secs(3_600));
        loop {
            let payload = <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi");
            let mut unsent = Some(&payload);
            let call = self.with(|client, _| {
                let call = client.start(Some(sender), Some(deadline)).expect("room");
                assert!(client.poll_send(call, sender, &mut unsent, 0, None).is_pending());
                call
            });
            self.settle_down();
            if unsent.is_some() {
                return call;
            }
            self.with(|client, _| client.finish(call));
        }
    }

    /// A receive that waits.
    fn wait(&mut self, receiver: EndpointId) -> OperationId {
        let deadline = self.clock.now.after(Millis::from_secs(3_600));
        self.with(|client, clock| {
            let operation = client.start(Some(receiver), Some(deadline)).expect("room");
            assert!(client.poll_receive(clock, operation, receiver, 1, 1, &mut |_| ()).is_pending());
            operation
        })
    }
}

fn copy(from: &mut TxOf<Heap>, to: &mut RxOf<Heap>) {
    while !from.filled().is_empty() {
        let spare = to.spare();
        let count = from.filled().len().min(spare.len());
        spare[..count].copy_from_slice(&from.filled()[..count]);
        to.commit(count);
        from.consume(count);
    }
}

#[test]
fn bounds_that_no_connection_lives_with_are_rounded_up_in_the_fields_too() {
    let mut world = World::new();
    let mut settings = world.client.settings().clone();
    (settings.max_frame_size, settings.idle_time_out) = (0, Duration::ZERO);
    world.client = ClientMachine::new(settings);
    world.add(Kind::Sender, 0);
    world.connect();
    assert_eq!(world.service.connection.peer_max_frame_size(), 512);
    // Nothing is overdue a moment later.
    world.clock.now = world.clock.now.after(Millis::new(900));
    world.settle_down();
    assert_eq!(world.client.phase(), Phase::Connected);
}

const RECEIVER: Kind = Kind::Receiver { mode: ReceiveMode::PeekLock, prefetch: 0 };

/// How many entries are touched for one message sent and one received, beside so many receivers that wait.
fn touched_for_a_message(others: usize) -> usize {
    const MESSAGES: usize = 50;
    let mut world = World::new();
    let sender = world.add(Kind::Sender, 0);
    let receivers: Vec<_> = (0..=others).map(|number| world.add(RECEIVER, number)).collect();
    let mut calls: Vec<_> = receivers.iter().map(|&receiver| world.wait(receiver)).collect();
    world.connect();
    world.send(sender);
    world.touched = 0;
    for _ in 0..MESSAGES {
        world.send(sender);
        let (_, link) = world.service.receivers.iter().find(|(address, _)| address == "q0").expect("attached");
        let link = *link;
        world.service.send(link, <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi"));
        world.settle_down();
        let (receiver, call) = (receivers[0], calls[0]);
        let received = world.with(|client, clock| client.poll_receive(clock, call, receiver, 1, 1, &mut |_| ()));
        assert!(matches!(received, Poll::Ready(Ok(1))), "{received:?}");
        world.with(|client, _| client.finish(call));
        calls[0] = world.wait(receiver);
        world.settle_down();
    }
    world.touched / MESSAGES
}

/// No wake-up walks what waits.
// docs/evidence/field-reports.md C22
#[test]
fn a_message_costs_the_same_however_many_receivers_wait_c22() {
    let counts = [1, 100, 10_000].map(touched_for_a_message);
    let [few, more, many] = counts;
    assert!(more <= few * 11 / 10 && many <= few * 11 / 10, "{counts:?} entries for a message");
}

/// How many entries are touched when a connection is lost and dialled in vain, beside so many receivers that nobody
/// uses.
fn touched_for_an_outage(parked: usize) -> usize {
    let mut world = World::new();
    let sender = world.add(Kind::Sender, 0);
    let receivers: Vec<_> = (1..=parked).map(|number| world.add(RECEIVER, number)).collect();
    world.connect();
    world.send(sender);
    let lost = |world: &mut World| {
        let failure = Failure::new(Cause::Connection(ConnectionErrorKind::Disconnected));
        world.with(|client, clock| client.handle_disconnected(clock, failure));
        world.settle_down();
    };
    // Nobody waits: the receivers are parked.
    lost(&mut world);
    assert_eq!(world.with(|client, _| client.handle_want()), Want::Nothing);
    let deadline = world.clock.now.after(Millis::from_secs(3_600));
    let call = world.with(|client, _| client.start(Some(sender), Some(deadline)).expect("room"));
    world.touched = 0;
    for _ in 0..10 {
        world.with(|client, clock| client.handle_dialling(clock));
        lost(&mut world);
        world.with(|client, _| client.handle_want());
    }
    let touched = world.touched;
    world.with(|client, _| client.finish(call));
    drop(receivers);
    touched / 10
}

/// A connection that is lost touches those that need one, and no others.
#[test]
fn an_outage_costs_the_same_however_many_receivers_are_parked_c22() {
    let (few, many) = (touched_for_an_outage(1), touched_for_an_outage(5_000));
    assert!(many <= few * 11 / 10, "{few} entries for an attempt to connect, {many} beside 5000 that nobody uses");
}

/// What ends beside receives that go on waiting.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// The time of a receive.
    TimeOut,
    /// A receive, whose task drops it.
    Dropped,
    /// A link, which the service detaches.
    Link,
    /// A receiver, whose last handle is dropped.
    Closed,
    /// A message that has not left, whose task drops it.
    Send,
}

/// Where the others wait.
#[derive(Clone, Copy, Debug)]
enum Beside {
    /// Each on a receiver of its own.
    OtherReceivers,
    /// On the receiver of the one that ends.
    SameReceiver,
}

const ENDS: [Ends; 5] = [Ends::TimeOut, Ends::Dropped, Ends::Link, Ends::Closed, Ends::Send];

impl World {
    /// Time passes.
    fn pass(&mut self, time: Millis) {
        self.clock.now = self.clock.now.after(time);
        self.settle_down();
    }

    /// A receive of a second.
    fn receive(&mut self, receiver: EndpointId) -> OperationId {
        let deadline = self.clock.now.after(Millis::from_secs(1));
        let operation = self.with(|client, clock| {
            let operation = client.start(Some(receiver), Some(deadline)).expect("room");
            assert!(client.poll_receive(clock, operation, receiver, 1, 1, &mut |_| ()).is_pending());
            operation
        });
        self.settle_down();
        operation
    }

    fn end(&mut self, ends: Ends, sender: EndpointId, receiver: EndpointId) {
        match ends {
            Ends::TimeOut => {
                let operation = self.receive(receiver);
                let began = self.clock.now;
                let ended = loop {
                    let polled =
                        self.with(|client, clock| client.poll_receive(clock, operation, receiver, 1, 1, &mut |_| ()));
                    match polled {
                        Poll::Ready(ended) => break ended,
                        Poll::Pending => self.pass(Millis::new(100)),
                    }
                };
                assert!(matches!(ended, Ok(0)) && self.clock.now < began.after(Millis::new(1_500)), "{ended:?}");
                self.with(|client, _| client.finish(operation));
            }
            Ends::Dropped => {
                let operation = self.receive(receiver);
                self.with(|client, _| client.finish(operation));
            }
            Ends::Link => {
                // One that has lived for long is attached again soon.
                self.pass(Millis::from_secs(31));
                let link = |world: &Self| {
                    let mut all = world.service.receivers.iter().rev();
                    all.find(|(address, _)| address == "q0").expect("attached").1
                };
                let old = link(self);
                self.service.connection.detach(old, true, None).expect("it is attached");
                self.settle_down();
                self.pass(Millis::from_secs(5));
                assert_ne!(link(self), old, "it is attached again");
            }
            Ends::Closed => {
                let other = self.add(RECEIVER, 1_000_000);
                self.receive(other);
                self.with(|client, _| client.release_endpoint(other));
            }
            Ends::Send => {
                let deadline = self.clock.now.after(Millis::from_secs(1));
                let payload = <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi");
                let mut unsent = Some(&payload);
                self.with(|client, _| {
                    let operation = client.start(Some(sender), Some(deadline)).expect("room");
                    assert!(client.poll_send(operation, sender, &mut unsent, 0, None).is_pending());
                    client.finish(operation);
                });
            }
        }
        self.settle_down();
    }
}

/// How many entries are touched when something ends, beside so many receives that wait.
fn touched_for_ends(beside: Beside, others: usize) -> [usize; ENDS.len()] {
    const TIMES: usize = 5;
    let mut world = World::new();
    let (sender, receiver) = (world.add(Kind::Sender, 0), world.add(RECEIVER, 0));
    world.wait(receiver);
    for number in 1..=others {
        let other = match beside {
            Beside::OtherReceivers => world.add(RECEIVER, number),
            Beside::SameReceiver => receiver,
        };
        world.wait(other);
    }
    world.connect();
    world.send(sender);
    // All links have lived for long.
    world.pass(Millis::from_secs(31));
    ENDS.map(|ends| {
        world.touched = 0;
        for _ in 0..TIMES {
            world.end(ends, sender, receiver);
        }
        world.touched / TIMES
    })
}

/// A free handle is found among as many as a session has.
const HANDLES: usize = 255;

/// What ends is news for nothing but itself.
#[test]
fn what_ends_costs_the_same_however_many_receives_wait_c22() {
    for beside in [Beside::OtherReceivers, Beside::SameReceiver] {
        let (few, many) = (touched_for_ends(beside, 1), touched_for_ends(beside, 10_000));
        for ((ends, few), many) in ENDS.iter().zip(few).zip(many) {
            let most = few * 11 / 10 + HANDLES;
            assert!(many <= most, "{ends:?} {beside:?}: {few} entries, {many} beside 10000");
        }
    }
}

/// How many entries are touched for each outcome that a sender which closes still waits for, beside so many that have come
/// and that no task has taken.
fn touched_for_an_outcome(ended: usize) -> usize {
    const LAST: usize = 10;
    let mut world = World::new();
    let sender = world.add(Kind::Sender, 0);
    world.connect();
    world.send(sender);
    world.service.keeps = Some(Vec::new());
    let payload = <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi");
    let deadline = world.clock.now.after(Millis::from_secs(3_600));
    for _ in 0..ended + LAST {
        world.with(|client, _| {
            let call = client.start(Some(sender), Some(deadline)).expect("room");
            assert!(client.poll_send(call, sender, &mut Some(&payload), 0, None).is_pending());
        });
        // Within the credit.
        if world.service.keeps.as_ref().is_some_and(|kept| kept.len() % 100 == 0) {
            world.settle_down();
        }
    }
    world.settle_down();
    let mut kept = world.service.keeps.take().expect("they are kept");
    assert_eq!(kept.len(), ended + LAST);
    let settle = |world: &mut World, deliveries: Vec<DeliveryId>| {
        for delivery in deliveries {
            world.service.connection.settle(delivery, &DeliveryState::ACCEPTED, true).expect("it is there");
        }
        world.settle_down();
    };
    let last = kept.split_off(ended);
    settle(&mut world, kept);
    world.with(|client, _| client.close_endpoint(sender));
    world.settle_down();
    assert!(!world.client.is_gone(sender), "it waits for the last outcomes");
    world.touched = 0;
    let (end, before) = last.split_last().expect("some");
    for delivery in before {
        settle(&mut world, Vec::from([*delivery]));
    }
    let touched = world.touched / before.len();
    settle(&mut world, Vec::from([*end]));
    assert!(world.client.is_gone(sender), "with the last one it is gone");
    touched
}

/// A sender that closes does not look through what has ended.
#[test]
fn an_outcome_costs_a_sender_that_closes_the_same_however_many_came_before() {
    let (few, many) = (touched_for_an_outcome(10), touched_for_an_outcome(900));
    assert!(many <= few * 11 / 10, "{few} entries for an outcome, {many} beside 900 that have come");
}

/// How a call goes whose message was given a place.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// Its task drops it.
    Dropped,
    /// Its sender is closed, and the task drops it after that.
    Closed,
}

/// A place that was given to a message goes to the next one when its call ends before it is polled again.
#[test]
fn a_place_that_a_call_leaves_goes_to_the_next() {
    for how in [Leaves::Dropped, Leaves::Closed] {
        let mut world = World::new();
        world.client.settings.limits.deliveries = 16;
        world.client = ClientMachine::new(world.client.settings.clone());
        let senders: Vec<_> = (0..2).map(|number| world.add(Kind::Sender, number)).collect();
        world.connect();
        for &sender in &senders {
            world.send(sender);
        }
        world.service.keeps = Some(Vec::new());
        let waiting: Vec<_> = senders.iter().map(|&sender| world.send_until_one_waits(sender)).collect();
        let [first, second] = waiting[..] else { panic!("{waiting:?}") };
        let settled = world.service.keeps.as_mut().and_then(Vec::pop).expect("a message");
        world.service.connection.settle(settled, &DeliveryState::ACCEPTED, true).expect("it is there");
        world.settle_down();
        if let Leaves::Closed = how {
            world.with(|client, _| client.close_endpoint(senders[0]));
        }
        world.with(|client, _| client.finish(first));
        assert!(world.client.has_work(), "{how:?}: the driver has something to do");
        let mut tx = Heap::tx(512);
        let noticed = world.with(|client, clock| {
            client.poll_transmit(clock, &mut tx);
            core::iter::from_fn(|| client.poll_notice()).collect::<Vec<_>>()
        });
        assert_eq!(noticed, [second.index()], "{how:?}");
    }
}

/// A guess at the service's time gives no message back that the application may still settle.
#[test]
fn messages_in_the_applications_hands_are_kept_in_spite_of_a_guess() {
    let mut world = World::new();
    let receiver = world.add(RECEIVER, 0);
    let call = world.wait(receiver);
    world.connect();
    let (_, link) = world.service.receivers[0];
    world.service.send(link, <Heap as Storage>::Payload::from_static(b"\x00\x53\x77\xa1\x02hi"));
    world.settle_down();
    let mut delivery = None;
    world.with(|client, clock| {
        let taken = client.poll_receive(clock, call, receiver, 1, 1, &mut |message| delivery = message.origin.delivery);
        assert!(matches!(taken, Poll::Ready(Ok(1))), "{taken:?}");
        client.finish(call);
    });
    let delivery = delivery.expect("one with a lock");
    let minutes = |clock: Clock, count: u32| clock.utc.after(Millis::from_secs(60 * count));
    let held = |world: &mut World| {
        world.with(|client, clock| {
            client.starved = true;
            client.act(clock);
        });
        // A place is free when the disposition is written.
        world.settle_down();
        world.client.connection.as_ref().is_some_and(|connection| connection.link_of(delivery).is_some())
    };
    world.with(|client, clock| {
        client.settlement.renewed(delivery, minutes(clock, 5));
        client.lock_ended(clock, minutes(clock, 60));
        assert!(client.service_clock.utc(clock) >= minutes(clock, 60), "what is scheduled goes by it");
    });
    assert!(held(&mut world), "its lock may last");
    world.clock.now = world.clock.now.after(Millis::from_secs(10));
    world.with(|client, clock| client.message_came(clock, Some(minutes(clock, 60)), None, Timestamp::DOTNET_MAX));
    assert!(!held(&mut world), "its lock has surely ended long ago");
}

/// Requests for tokens that are of no use any more.
fn requests_of_no_token(client: &ClientMachine<Heap>) -> usize {
    let owners = (0..client.channels.requests_end()).filter_map(|place| client.channels.request(place));
    owners.filter(|(_, owner)| matches!(owner, owner::Owner::Token(token, _) if !client.tokens.has(*token))).count()
}

/// `$cbs` takes the place of an idle channel, whose token is not asked for then: its place may get another token, which
/// would be answered for it.
#[test]
fn a_token_that_goes_with_its_channel_is_not_asked_for() {
    let mut world = World::new();
    world.client.settings.limits.links = 3;
    world.client = ClientMachine::new(world.client.settings.clone());
    for number in 0..3 {
        let entity = Entity::queue(alloc::format!("q{number}"));
        world.with(|client, clock| {
            let call = client.start(None, Some(clock.now.after(Millis::from_secs(1)))).expect("room");
            let request = crate::servicebus::management::GetSessionState { session_id: "s" };
            assert!(client.poll_request(clock, call, &entity, &request, None).is_pending());
            client.finish(call);
        });
    }
    world.with(|client, clock| {
        client.handle_want();
        client.handle_dialling(clock);
        client.handle_connected(clock).expect("room");
        client.act(clock);
    });
    assert_eq!((world.client.tokens.len(), requests_of_no_token(&world.client)), (2, 0));
    assert_eq!(world.client.channels.requests_len(), 2, "one for each token");
}
