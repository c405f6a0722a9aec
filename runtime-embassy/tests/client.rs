//! The client and its runner on the host: embassy-time's mock clock, and the emulator's broker at the other end of a
//! stream in memory. Time passes only when nothing else can happen.

#[cfg(feature = "spool")]
#[path = "client/flash.rs"]
mod flash;
#[cfg(feature = "spool")]
#[path = "client/spool.rs"]
mod spool;

use embassy_time::MockDriver;
use embedded_io_async::{ErrorType, Read, Write};
use futures_util::future::join;
use servicebus_core::client::ErrorKind;
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::{MessageRef, sas};
use servicebus_core::storage::Buffer;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_embassy::{Client, Close, Connect, FixedUtc, InUse, Plain, Resources, Utc, new, within};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, ConnectionId};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

// The mock clock's queue of timers is behind a critical section; on the host that is a mutex of std's.
use critical_section as _;

servicebus_core::fixed_storage! {
    /// One queue out, one in.
    type Board {
        sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}

/// 2026-01-01.
const BEGIN: Timestamp = Timestamp::from_secs(1_767_225_600);
const KEY: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

/// There is one mock clock.
static CLOCK: Mutex<()> = Mutex::new(());
static UTC: fn() -> Timestamp = || clock().utc;

fn clock() -> Clock {
    let micros = embassy_time::Instant::now().as_micros();
    Clock { now: Instant::from_micros(micros), utc: BEGIN + Duration::from_micros(micros) }
}

struct Server {
    broker: Broker,
    connection: Option<ConnectionId>,
    connections: u32,
    reachable: bool,
}

/// Connects to the broker.
#[derive(Clone)]
struct Memory(Rc<RefCell<Server>>);

impl Memory {
    fn new() -> Self {
        let mut broker = Broker::new(BrokerConfig::default(), 7);
        for name in ["readings", "commands", "spooled"] {
            let requires_duplicate_detection = name == "spooled";
            let duplicate_detection_history_time_window = Duration::from_secs(86_400);
            let queue = QueueDescription {
                requires_duplicate_detection,
                duplicate_detection_history_time_window,
                ..QueueDescription::default()
            };
            broker
                .with_namespace(clock(), |namespace| namespace.create_queue(name, queue, clock().utc))
                .expect("a queue");
        }
        Self(Rc::new(RefCell::new(Server { broker, connection: None, connections: 0, reachable: true })))
    }

    fn drop_connection(&self) {
        let server = &mut *self.0.borrow_mut();
        if let Some(id) = server.connection.take() {
            server.broker.disconnect(id, clock());
        }
    }
}

#[derive(Debug)]
struct Refused;

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody listens")
    }
}

impl Connect for Memory {
    type Stream<'a> = Wire;
    type StreamError = Infallible;
    type Error = Refused;

    async fn connect(&mut self, host: &str, port: u16) -> Result<Wire, Refused> {
        assert_eq!((host, port), ("localhost", 5672));
        let server = &mut *self.0.borrow_mut();
        if !server.reachable {
            return Err(Refused);
        }
        server.connections += 1;
        server.connection = server.broker.connect(clock());
        let id = server.connection.ok_or(Refused)?;
        Ok(Wire { server: Rc::clone(&self.0), id, input: Rc::new(RefCell::new(Broker::rx())) })
    }
}

#[derive(Clone)]
struct Wire {
    server: Rc<RefCell<Server>>,
    id: ConnectionId,
    input: Rc<RefCell<servicebus_core::storage::HeapBuffer>>,
}

impl ErrorType for Wire {
    type Error = Infallible;
}

impl Read for Wire {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let mut output = Broker::tx();
        poll_fn(|_| {
            let server = &mut *self.server.borrow_mut();
            if server.connection != Some(self.id) {
                return Poll::Ready(Ok(0));
            }
            if output.filled().is_empty() {
                server.broker.poll_transmit(self.id, clock(), &mut output);
            }
            let count = output.filled().len().min(buffer.len());
            if count == 0 {
                return Poll::Pending;
            }
            // What does not fit would be lost: the board's frames are smaller than its buffer.
            assert_eq!(count, output.filled().len());
            buffer[..count].copy_from_slice(&output.filled()[..count]);
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Close for Wire {}

impl Write for Wire {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let (server, input) = (&mut *self.server.borrow_mut(), &mut *self.input.borrow_mut());
        if server.connection == Some(self.id) {
            let spare = input.spare();
            let count = bytes.len().min(spare.len());
            spare[..count].copy_from_slice(&bytes[..count]);
            input.commit(count);
            let _ = server.broker.handle_input(self.id, clock(), input);
            return Ok(count);
        }
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Runs `test` beside the runner, and lets a millisecond pass after each round.
fn run<F: Future<Output = ()>>(
    connection_string: &'static str,
    utc: &'static (dyn Utc + Sync),
    test: impl FnOnce(Client<Board>, Memory) -> F,
) {
    let _one: MutexGuard<'_, ()> = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = Memory::new();
    let resources = Box::leak(Box::new(Resources::<Board>::new()));
    let (client, runner) = new(resources, Settings::new(connection_string, 7), utc).expect("they are new");
    let both = join(runner.run(Plain::new(memory.clone())), test(client, memory.clone()));
    to_end(&memory, both);
}

/// Polls `future` to its end, and lets a millisecond pass after each round.
fn to_end<T>(memory: &Memory, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..400_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        pass_a_millisecond(memory);
    }
    panic!("it takes too long");
}

fn pass_a_millisecond(memory: &Memory) {
    MockDriver::get().advance(embassy_time::Duration::from_millis(1));
    memory.0.borrow_mut().broker.handle_timeout(clock());
}

async fn round_trip(client: &Client<Board>, count: u32) {
    let sender = client.sender("readings").expect("there is room");
    for number in 0..count {
        let text = number.to_string();
        sender.send(&MessageRef::new(&text).with_message_id(text.as_str())).await.expect("it is accepted");
    }
    sender.close().await;
    let receiver = client.receiver("readings").expect("there is room");
    for number in 0..count {
        let message = receiver.receive(Duration::from_secs(5)).await.expect("it comes").expect("it is there");
        assert_eq!(message.text().ok(), Some(number.to_string().as_str()));
        receiver.complete(&message).await.expect("the lock holds");
    }
    let rest = receiver.receive(Duration::from_secs(1)).await.expect("the link holds");
    assert!(rest.is_none());
    receiver.close().await;
}

#[test]
fn messages_go_round_and_the_runner_ends_with_the_client() {
    run(KEY, &UTC, |client, memory| async move {
        round_trip(&client, 20).await;
        client.close().await;
        assert_eq!(memory.0.borrow().connections, 1);
    });
}

#[test]
fn a_lost_connection_is_made_again_with_back_off() {
    run(KEY, &UTC, |client, memory| async move {
        round_trip(&client, 3).await;
        memory.drop_connection();
        memory.0.borrow_mut().reachable = false;
        let before = embassy_time::Instant::now();
        let sender = client.sender("commands").expect("there is room");
        let message = MessageRef::new("led 1");
        let back = async {
            embassy_time::Timer::after_secs(3).await;
            memory.0.borrow_mut().reachable = true;
        };
        let (sent, ()) = join(sender.send(&message), back).await;
        sent.expect("it is sent once somebody listens");
        assert!(before.elapsed() >= embassy_time::Duration::from_secs(3));
        sender.close().await;
        client.close().await;
    });
}

#[test]
fn a_board_without_a_clock_works_with_a_ready_signature() {
    let mut text = String::from("Endpoint=sb://localhost;UseDevelopmentEmulator=true;SharedAccessSignature=");
    let until = BEGIN + Duration::from_secs(30 * 24 * 3600);
    sas::sign("sb://localhost/", "RootManageSharedAccessKey", "SAS_KEY_VALUE", until, &mut text).expect("it fits");
    static STANDING: FixedUtc = FixedUtc(BEGIN);
    run(Box::leak(text.into_boxed_str()), &STANDING, |client, _| async move {
        round_trip(&client, 5).await;
        client.close().await;
    });
}

#[test]
fn plain_text_is_refused_where_tls_is_wanted() {
    let real = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE";
    run(real, &UTC, |client, memory| async move {
        let sender = client.sender("readings").expect("there is room");
        let failure = sender.send(&MessageRef::new("secret")).await.expect_err("it must not be sent");
        // The program has set it up so: it is not tried again.
        assert_eq!(failure.kind(), ErrorKind::InvalidArgument, "{failure}");
        assert!(client.last_description().contains("wants TLS"), "{failure}");
        assert_eq!(memory.0.borrow().connections, 0);
        drop(sender);
        client.close().await;
    });
}

/// `docs/evidence/field-reports.md` D3.
#[test]
fn resources_are_used_again_when_the_client_before_is_over() {
    const ELSEWHERE: &str =
        "Endpoint=sb://elsewhere;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true";
    let _one = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = Memory::new();
    let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    for round in 0..3 {
        let open = |text, seed| new(resources, Settings::new(text, seed), &UTC);
        // Closed before it ever connected: with a runner that was not run, and with one that was dropped.
        let (client, runner) = open(ELSEWHERE, 1).expect("nothing uses them");
        assert_eq!(open(KEY, 1).expect_err("its handle and its runner are there"), InUse);
        drop(client);
        assert_eq!(open(KEY, 1).expect_err("its runner is there"), InUse);
        drop(runner.run(Plain::new(memory.clone())));

        let (client, runner) = open(KEY, round).expect("nothing uses them");
        let sender = client.sender("readings").expect("there is room");
        let receiver = client.receiver("readings").expect("there is room");
        let (clone, other) = (client.clone(), sender.clone());
        let used = async {
            sender.send("21.5").await.expect("it is accepted");
            client.close().await;
            drop(client);
        };
        to_end(&memory, join(runner.run(Plain::new(memory.clone())), used));

        let late = to_end(&memory, other.send("21.5")).expect_err("the client is closed");
        assert_eq!(late.kind(), ErrorKind::Closed);
        let late = to_end(&memory, receiver.receive(Duration::from_secs(1))).expect_err("the client is closed");
        assert_eq!(late.kind(), ErrorKind::Closed);
        assert_eq!(clone.sender("readings").map(drop).expect_err("the client is closed").kind(), ErrorKind::Closed);
        drop(sender);
        assert_eq!(open(KEY, 1).expect_err("three handles are left"), InUse);
        drop((other, clone));
        assert_eq!(open(KEY, 1).expect_err("one handle is left"), InUse);
        drop(receiver);
    }
    assert_eq!(memory.0.borrow().connections, 3);
}

/// Wakes up, sends and takes a command, and sleeps: with the service there, with a work that takes too long, and without it.
#[test]
fn a_wake_up_has_one_deadline() {
    run(KEY, &UTC, |client, memory| async move {
        let limit = Duration::from_secs(20);
        let sender = client.sender("commands").expect("there is room");
        let receiver = client.receiver("commands").expect("there is room");
        for round in 1..=3 {
            let work = async {
                sender.send("led 1").await.expect("it is accepted");
                let command = receiver.receive(Duration::from_secs(2)).await.expect("it comes").expect("it is there");
                receiver.complete(&command).await.expect("the lock holds");
                round
            };
            let before = embassy_time::Instant::now();
            assert_eq!(within(&client, limit, work).await, Some(round));
            assert!(before.elapsed() < embassy_time::Duration::from_secs(2));
            assert_eq!(memory.0.borrow().connections, round);
            assert!(memory.0.borrow().connection.is_none_or(|id| memory.0.borrow().broker.is_closed(id)));
            embassy_time::Timer::after_secs(60).await;
        }
        for reachable in [true, false] {
            memory.0.borrow_mut().reachable = reachable;
            let before = embassy_time::Instant::now();
            let work = async { while sender.send("led 1").await.is_err() || reachable {} };
            assert_eq!(within(&client, limit, work).await, None);
            assert!(before.elapsed() >= embassy_time::Duration::from_secs(17), "{reachable}");
            assert!(before.elapsed() <= embassy_time::Duration::from_millis(20_001), "{reachable}");
        }
        drop((sender, receiver));
        client.close().await;
    });
}
