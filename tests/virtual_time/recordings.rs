//! Byte streams recorded from real endpoints, and what a fuzzer made of them, fed to the engine in both roles: no
//! panic, bounded memory, progress or an error that AMQP has a name for.

use servicebus_core::engine::{Config, Connection, ConnectionError, Event};
use servicebus_core::random::Random;
use servicebus_core::storage::{Limits, Storage};
use servicebus_core::time::Instant;
use servicebus_core::wire::Symbol;
use servicebus_core::wire::frame::{Frame, Protocol};
use servicebus_core::wire::performative::Role;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_tests::engine::{Heap, Side, Tiny, attach, frame, open};
use servicebus_tests::evidence;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what this thread holds, and the most it has held.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get() + layout.size();
        HELD.set(held);
        MOST.set(MOST.get().max(held));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a stream did to an engine, for as long as nothing was asked of it in between.
#[derive(Debug, PartialEq)]
struct Outcome {
    applied: Vec<String>,
    result: Result<(), ConnectionError>,
    events: Vec<Event>,
    sent: Vec<u8>,
    messages: Vec<Vec<u8>>,
    tables: (usize, usize, usize),
}

const MAX_FRAME_SIZE: u32 = 65_536;

/// Which end is fed, and how far it has come before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    /// A client that expects a SASL layer.
    Client,
    /// A client that has seen the server's open.
    OpenClient,
    /// A server that has seen nothing.
    Server,
    /// A server that has exchanged open with its client.
    OpenServer,
}

impl Start {
    /// The part of a stream that fits: behind the open, where that was seen before.
    fn part(self, stream: &[u8]) -> &[u8] {
        if matches!(self, Self::Client | Self::Server) {
            return stream;
        }
        let Some(header) = stream.windows(8).position(|window| window == Protocol::Amqp.header()) else {
            return stream;
        };
        let rest = &stream[header + 8..];
        match Frame::parse(rest, MAX_FRAME_SIZE) {
            Ok(Some(open)) => &rest[open.size..],
            _ => rest,
        }
    }
}

fn engine<S: Storage>(start: Start) -> Side<S> {
    let limits = Limits::new()
        .with_sessions(8)
        .with_links(16)
        .with_deliveries(64)
        .with_outbox_bytes(65_536)
        .with_message_bytes(1 << 20);
    let config = Config { max_frame_size: MAX_FRAME_SIZE, limits, ..Config::default() };
    if matches!(start, Start::Server | Start::OpenServer) {
        let mut side = Side::new(Connection::server(config, Instant::ZERO), MAX_FRAME_SIZE);
        if start == Start::OpenServer {
            side.feed(&Protocol::Amqp.header());
            side.feed(&frame(0, &open("client"), &[]));
            side.connection.open(&open("server")).expect("room");
            side.poll();
        }
        return side;
    }
    let init = SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };
    let init = (start == Start::Client).then_some(&init);
    let connection = Connection::client(config, Instant::ZERO, init, &open("client"));
    let mut side = Side::new(connection.expect("room"), MAX_FRAME_SIZE);
    if start == Start::OpenClient {
        side.feed(&Protocol::Amqp.header());
        side.feed(&frame(0, &open("server"), &[]));
    }
    // What the recorded client had asked for, as far as there is room: sessions, and links with credit.
    for _ in 0..2 {
        let Ok(session) = side.connection.begin() else { break };
        if start == Start::OpenClient {
            // Here the places are kept for the links that the stream brings.
            continue;
        }
        for (number, role) in [Role::Receiver, Role::Sender].into_iter().enumerate() {
            let Ok(link) = side.connection.attach(session, &attach("link", number as u32, role)) else { break };
            if role == Role::Receiver {
                let _ = side.connection.grant(link, 10);
            }
        }
    }
    side
}

/// Feeds a stream in pieces and looks at everything that came of it only then, so that how it was cut cannot show.
fn feed<S: Storage>(start: Start, stream: &[u8], mut size: impl FnMut(usize) -> usize) -> (Outcome, usize) {
    let mut side = engine::<S>(start);
    let base = HELD.get();
    MOST.set(base);
    side.feed_in(stream, &mut size);
    let most = MOST.get() - base;
    let log = std::mem::take(&mut side.log.0);
    side.poll();
    let messages = side
        .events
        .iter()
        .filter_map(|event| if let Event::Readable(link) = event { Some(*link) } else { None })
        .collect::<Vec<_>>()
        .into_iter()
        .flat_map(|link| std::iter::from_fn(|| side.connection.receive(link)).collect::<Vec<_>>())
        .map(|incoming| incoming.payload.as_ref().to_vec())
        .collect();
    let sent = side.transmit().0;
    let outcome = Outcome {
        applied: log,
        result: side.result,
        events: side.events,
        sent,
        messages,
        tables: side.connection.table_sizes(),
    };
    (outcome, most)
}

/// Feeds a stream and answers what comes of it as a server does, and any client that takes what it gets. How many
/// messages were taken.
fn converse<S: Storage>(start: Start, stream: &[u8], mut size: impl FnMut(usize) -> usize) -> usize {
    let mut taken = 0;
    let mut side = engine::<S>(start);
    let mut rest = stream;
    while !rest.is_empty() && side.result.is_ok() {
        let (piece, after) = rest.split_at(size(rest.len()).clamp(1, rest.len()));
        rest = after;
        side.feed(piece);
        while let Some(event) = side.connection.poll_event() {
            let connection = &mut side.connection;
            match event {
                Event::Opened => drop(connection.open(&open("server"))),
                Event::SessionBegun(session) => drop(connection.accept_session(session)),
                Event::LinkAttached(link) => {
                    let role = connection.link(link).map_or(Role::Sender, |status| status.role);
                    let _ = connection.accept_link(link, &attach("link", 0, role));
                    let _ = connection.grant(link, 100);
                }
                Event::Readable(link) => {
                    while let Some(incoming) = connection.receive(link) {
                        taken += 1;
                        use servicebus_core::wire::messaging::DeliveryState;
                        let _ = connection.settle(incoming.delivery, &DeliveryState::ACCEPTED, true);
                    }
                    let _ = connection.grant(link, 100);
                }
                Event::LinkDetached(link) => connection.forget(link),
                Event::DrainRequested(link) => drop(connection.drained(link)),
                _ => {}
            }
        }
        // What is sent must be AMQP, whatever was received.
        side.transmit().each(|_| {});
    }
    side.transmit().each(|_| {});
    side.connection.handle_disconnect();
    side.poll();
    taken
}

fn check(error: Result<(), ConnectionError>, name: &str) {
    if let Err(error) = error {
        assert!(error.condition().starts_with("amqp:"), "{name}: {error}");
        assert!(!error.to_string().is_empty());
    }
}

fn replay<S: Storage>(bound: usize) {
    let folder = evidence::fixture("go-amqp-recordings/conn");
    let files = evidence::files(&folder);
    assert_eq!(files.len(), 353);
    let (mut applied, mut messages) = (0, 0);
    for (number, (name, bytes)) in files.iter().enumerate() {
        let mut stream = Vec::new();
        let mut rest = &bytes[..];
        while let Some(at) = rest.windows(6).position(|window| window == b"SPLIT\n") {
            stream.extend_from_slice(&rest[..at]);
            rest = &rest[at + 6..];
        }
        stream.extend_from_slice(rest);
        for start in [Start::Client, Start::OpenClient, Start::Server, Start::OpenServer] {
            let stream = start.part(&stream);
            let (whole, most) = feed::<S>(start, stream, |_| usize::MAX);
            // The log of the test holds text for each frame; what is left is the engine's.
            let log: usize = whole.applied.iter().map(String::capacity).sum::<usize>() * 3 + 4_096;
            assert!(most < bound + log, "{name} took {most} bytes and {log} for the log");
            check(whole.result, name);
            applied += whole.applied.len();
            let (bytewise, _) = feed::<S>(start, stream, |_| 1);
            assert_eq!(whole, bytewise, "{name}");
            for round in 0..3 {
                let mut random = Random::seeded((number * 3 + round) as u64);
                let (chopped, _) = feed::<S>(start, stream, |_| 1 + random.below(40) as usize);
                assert_eq!(whole, chopped, "{name}, round {round}");
                messages += converse::<S>(start, stream, |_| 1 + random.below(200) as usize);
            }
            messages += converse::<S>(start, stream, |left| left);
        }
    }
    assert!(applied > 400, "{applied} frames applied");
    assert!(messages > 100, "{messages} messages received");
}

#[test]
fn on_heap() {
    // The read buffer is replaced when messages hold on to it; a message is bounded by Limits::message.
    replay::<Heap>(4 << 20);
}

#[test]
fn on_fixed_tables_of_one_or_two() {
    replay::<Tiny>(0);
}
