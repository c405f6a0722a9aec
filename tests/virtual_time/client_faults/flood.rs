//! A flood of input leaves every other part of the driver its turn.
//!
//! Where the read is always ready, a driver that reads on within one poll gives neither its writes nor its timers a
//! turn; on tokio, whose budget of polls then is used up by reads, they get none after it either.

use crate::stage::{on_both_storages, policy, settings_of, world};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::client::Client;
use servicebus_core::driver::{self, Dial, NoCredential, Transport};
use servicebus_core::machine::Target;
use servicebus_core::time::Duration;
use servicebus_core::wire::Encode;
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::{Disposition, Open, Role};
use servicebus_core::wire::sasl::{SaslCode, SaslMechanisms, SaslOutcome};
use servicebus_core::wire::{Multiple, Symbol};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::{begin, flow, frame, open, sasl_frame};
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Reads in one poll after which the flood pauses, so that the test ends.
const ENOUGH: u32 = 10_000;

/// Counts the reads of a client that can always read.
#[derive(Clone, Default)]
struct Counter {
    in_this_poll: Rc<Cell<u32>>,
    most: Rc<Cell<u32>>,
}

#[derive(Clone)]
struct Flood {
    opening: Rc<RefCell<Vec<u8>>>,
    again: Rc<Vec<u8>>,
    reads: Counter,
}

impl Dial for Flood {
    type Transport<'a> = Self;
    type Error = ErrorKind;

    async fn dial(&mut self, _target: Target<'_>) -> Result<Self, ErrorKind> {
        Ok(self.clone())
    }
}

impl Transport for Flood {
    type Error = ErrorKind;
    type Reader<'a> = Self;
    type Writer<'a> = Self;

    fn split(&mut self) -> (Self, Self) {
        (self.clone(), self.clone())
    }
}

impl ErrorType for Flood {
    type Error = ErrorKind;
}

impl Read for Flood {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let Counter { in_this_poll, most } = &self.reads;
            if in_this_poll.get() >= ENOUGH {
                return Poll::Pending;
            }
            in_this_poll.set(in_this_poll.get() + 1);
            most.set(most.get().max(in_this_poll.get()));
            let mut opening = self.opening.borrow_mut();
            let bytes = if opening.is_empty() { &self.again[..] } else { &opening[..] };
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            if !opening.is_empty() {
                opening.drain(..count);
            }
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for Flood {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The bytes of a server's opening.
pub(crate) fn opening() -> Vec<u8> {
    let anonymous = [Symbol::new("ANONYMOUS")];
    let parts = [
        Protocol::Sasl.header().to_vec(),
        sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Multiple::new(&anonymous) }),
        sasl_frame(&SaslOutcome { code: SaslCode::Ok, additional_data: None }),
        Protocol::Amqp.header().to_vec(),
        frame(0, &Open { max_frame_size: 65_536, ..open("server") }, &[]),
        frame(0, &begin(Some(0)), &[]),
    ];
    parts.concat()
}

/// The most reads in one poll of the driver.
fn reads_in_a_poll<S: Complete>(again: Vec<u8>) -> u32 {
    let world = world(QueueDescription::default());
    let reads = Counter::default();
    let dialer = Flood { opening: Rc::new(RefCell::new(opening())), again: Rc::new(again), reads: reads.clone() };
    let runtime = world.runtime::<S>();
    let shared = Rc::new(RefCell::new(Client::shared_state(settings_of(&world, policy(2)))));
    let client = Client::new(&shared, runtime.clone());
    let counter = reads.clone();
    world.spawn(async move {
        let mut driver = pin!(driver::run(shared, runtime, dialer, NoCredential));
        poll_fn(|cx| {
            counter.in_this_poll.set(0);
            driver.as_mut().poll(cx)
        })
        .await;
    });
    world.run({
        let world = world.clone();
        async move {
            let sender = client.sender("q").expect("a sender");
            world.sleep(Duration::from_millis(10)).await;
            drop(sender);
        }
    });
    world.end();
    reads.most.get()
}

fn reads_and_timers_take_turns<S: Complete>() {
    let disposition = |role, state| {
        let settled = true;
        frame(0, &Disposition { role, first: 0, last: Some(100), settled, state, batchable: false }, &[])
    };
    let heartbeat = vec![0, 0, 0, 8, 2, 0, 0, 0];
    let of = |body: &dyn Fn() -> Vec<u8>, times: usize| body().repeat(times);
    let session_flow = || {
        let body = servicebus_core::wire::performative::Flow {
            handle: None,
            delivery_count: None,
            link_credit: None,
            ..flow(0, 0, 0)
        };
        encoded(&body)
    };
    let mut judge = Judge::new();
    for (name, bytes) in [
        ("heartbeats", heartbeat.clone()),
        ("heartbeats, a thousand in a read", heartbeat.repeat(1_000)),
        ("dispositions of a receiver", disposition(Role::Receiver, Some(DeliveryState::ACCEPTED))),
        (
            "dispositions of a receiver, many in a read",
            disposition(Role::Receiver, Some(DeliveryState::RELEASED)).repeat(50),
        ),
        ("dispositions of a sender", disposition(Role::Sender, None)),
        ("flows of the session", of(&session_flow, 1)),
        ("flows of the session, many in a read", of(&session_flow, 40)),
    ] {
        judge.case(name, reads_in_a_poll::<S>(bytes), |reads| (1..=128).contains(reads), |reads| *reads >= ENOUGH);
    }
    judge.finish();
}

fn encoded(body: &impl Encode) -> Vec<u8> {
    frame(0, body, &[])
}

on_both_storages! {
    reads_and_timers_take_turns_h1 => reads_and_timers_take_turns;
}
