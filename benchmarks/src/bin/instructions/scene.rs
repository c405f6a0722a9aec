//! A client and a broker in one thread, joined by two buffers, while time stands still. Rounds of sending, receiving and
//! settling; one part of it is counted, in one phase.

use crate::{counted, shapes};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use futures_util::future::join_all;
use servicebus_core::client::{Client, State};
use servicebus_core::driver::{self, Dial, NoCredential, Transport};
use servicebus_core::machine::{Clock, Settings, Target};
use servicebus_core::runtime::Runtime;
use servicebus_core::storage::{Buffer as _, Heap, HeapBuffer};
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{self, Broker, BrokerConfig, ConnectionId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const CONNECTION_STRING: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

/// Messages of a round: as many are under way at once.
const WINDOW: u32 = 32;
/// Turns of client and broker after which nothing of a phase is left under way.
const REST: u32 = 8;
/// More turns than any run takes.
const TURNS: u32 = 10_000_000;

/// What the client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connecting, and whatever else is not counted.
    Other,
    Send,
    SendBatch,
    Receive,
    Settle,
}

/// Whose instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The calls, the client's machine and its driver.
    Client,
    /// The broker with its connection.
    Broker,
}

/// Time stands still.
#[derive(Clone, Debug)]
struct Still;

impl Runtime for Still {
    type Storage = Heap;
    type Shared = Rc<RefCell<State<Self>>>;

    fn clock(&self) -> Clock {
        let broker::Clock { now, utc } = clock();
        Clock { now, utc }
    }

    async fn sleep_until(&self, at: Instant) {
        if at > self.now() {
            std::future::pending::<()>().await;
        }
    }
}

fn clock() -> broker::Clock {
    broker::Clock { now: Instant::from_millis(1_000), utc: Timestamp::from_secs(1_795_000_000) }
}

/// The bytes under way in either direction.
#[derive(Default)]
struct Wires {
    to_broker: RefCell<Vec<u8>>,
    to_client: RefCell<VecDeque<u8>>,
}

struct Dialer<'w>(&'w Wires);
struct Half<'w>(&'w Wires);
struct Both<'w>(&'w Wires);

impl Dial for Dialer<'_> {
    type Transport<'a>
        = Both<'a>
    where
        Self: 'a;
    type Error = ErrorKind;

    async fn dial<'a>(&'a mut self, _: Target<'_>) -> Result<Both<'a>, ErrorKind> {
        Ok(Both(self.0))
    }
}

impl Transport for Both<'_> {
    type Error = ErrorKind;
    type Reader<'a>
        = Half<'a>
    where
        Self: 'a;
    type Writer<'a>
        = Half<'a>
    where
        Self: 'a;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(self.0), Half(self.0))
    }
}

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        // Every turn polls everything, so no waker is kept.
        poll_fn(|_| {
            let mut bytes = self.0.to_client.borrow_mut();
            if bytes.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(std::io::Read::read(&mut *bytes, buffer).map_err(|_| ErrorKind::Other))
        })
        .await
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.to_broker.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The broker with its end of the connection.
struct Service<'w> {
    broker: Broker,
    id: ConnectionId,
    rx: HeapBuffer,
    tx: HeapBuffer,
    wires: &'w Wires,
}

impl<'w> Service<'w> {
    fn new(wires: &'w Wires) -> Self {
        let mut broker = Broker::new(BrokerConfig::default(), 7);
        broker
            .with_namespace(clock(), |namespace| {
                namespace.create_queue("orders", QueueDescription::default(), clock().utc)
            })
            .expect("a queue");
        let id = broker.connect(clock()).expect("room");
        Self { broker, id, rx: Broker::rx(), tx: Broker::tx(), wires }
    }

    /// Reads the bytes that have come and writes those that are ready.
    fn turn(&mut self) {
        let mut bytes = self.wires.to_broker.borrow_mut();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let spare = self.rx.spare();
            let count = rest.len().min(spare.len());
            spare[..count].copy_from_slice(&rest[..count]);
            self.rx.commit(count);
            rest = &rest[count..];
            _ = self.broker.handle_input(self.id, clock(), &mut self.rx);
        }
        bytes.clear();
        while let Some(id) = self.broker.poll_ready() {
            while self.broker.poll_transmit(id, clock(), &mut self.tx) {
                self.wires.to_client.borrow_mut().extend(self.tx.filled());
                self.tx.clear();
            }
        }
    }
}

/// Which phase the client is in.
struct Stage(Cell<Phase>);

impl Stage {
    /// Ends a phase when nothing of it is under way any more, and begins another.
    async fn enter(&self, phase: Phase) {
        for _ in 0..REST {
            turn().await;
        }
        self.0.set(phase);
        turn().await;
    }
}

/// Ends with the next turn.
async fn turn() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn rounds(client: Client<Still>, stage: &Stage, batches: bool, count: u32) {
    let body = shapes::body();
    let message = shapes::message(&body);
    let sender = client.sender("orders").expect("a sender");
    let receiver = client.receiver("orders").expect("a receiver");
    sender.size_limits().await.expect("attached");
    // One round more than is asked for: tables and buffers have grown before the first that is counted by a difference.
    for _ in 0..=count.div_ceil(WINDOW) {
        if batches {
            stage.enter(Phase::SendBatch).await;
            let mut batch = sender.create_batch().await.expect("attached");
            (0..WINDOW).for_each(|_| batch.try_add(&message).expect("room"));
            sender.send_batch(batch).await.expect("sent");
        } else {
            stage.enter(Phase::Send).await;
            for sent in join_all((0..WINDOW).map(|_| sender.send(&message))).await {
                sent.expect("sent");
            }
        }
        stage.enter(Phase::Receive).await;
        let mut received = Vec::new();
        while received.len() < WINDOW as usize {
            let left = WINDOW - received.len() as u32;
            let wait = Some(Duration::from_secs(60));
            receiver.receive_each(left, wait, |message| received.push(message)).await.expect("received");
        }
        stage.enter(Phase::Settle).await;
        for settled in join_all(received.iter().map(|message| receiver.complete(message))).await {
            settled.expect("settled");
        }
        stage.enter(Phase::Other).await;
    }
}

/// Sends, receives and settles `count` messages, a multiple of [`WINDOW`].
pub(crate) fn run(phase: Phase, part: Part, count: u32) {
    assert!(count.is_multiple_of(WINDOW), "whole rounds of {WINDOW}");
    let (wires, stage) = (Wires::default(), Stage(Cell::new(Phase::Other)));
    let mut service = Service::new(&wires);
    let settings = Settings::new(CONNECTION_STRING.into(), 7);
    let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
    let client = Client::<Still>::new(&shared, Still);
    let mut driver = pin!(driver::run(Rc::clone(&shared), Still, Dialer(&wires), NoCredential));
    let mut calls = pin!(rounds(client, &stage, phase == Phase::SendBatch, count));
    let mut cx = Context::from_waker(Waker::noop());
    let act = |of: Part, act: &mut dyn FnMut()| {
        if of == part && stage.0.get() == phase { counted(act) } else { act() }
    };
    let mut done = false;
    for _ in 0..TURNS {
        act(Part::Client, &mut || {
            done = calls.as_mut().poll(&mut cx).is_ready();
            _ = driver.as_mut().poll(&mut cx);
        });
        if done {
            return;
        }
        act(Part::Broker, &mut || service.turn());
    }
    panic!("the client makes no progress in {:?}", stage.0.get());
}
