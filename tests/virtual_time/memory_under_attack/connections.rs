//! Connections to the server that do nothing much, and connections that read nothing.

use crate::{live, opening};
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_core::wire::frame::{EMPTY, Protocol};
use servicebus_core::wire::messaging::{Source, Target};
use servicebus_core::wire::performative::{Attach, Role, TargetArchetype};
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities;
use servicebus_tests::broker::{START, encoded};
use servicebus_tests::engine::{attach, begin, flow, frame, transfer};
use servicebus_tests::fault::Judge;
use std::future::Future;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Runs client and server on this thread, whose bytes are counted.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) async fn emulator() -> Emulator {
    Emulator::builder().amqp_port(0).admin_port(0).queue("queue").virtual_clock(START).start().await.unwrap()
}

/// Lets the server do what it can.
pub(crate) async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

fn link(name: &str, handle: u32, role: Role, address: &str) -> Vec<u8> {
    link_on(0, name, handle, role, address)
}

fn link_on(channel: u16, name: &str, handle: u32, role: Role, address: &str) -> Vec<u8> {
    let attach = Attach {
        source: Some(Source::new(Some(address))),
        target: Some(TargetArchetype::Target(Target::new(Some(address)))),
        ..attach(name, handle, role)
    };
    frame(channel, &attach, &[])
}

/// Bytes for each of forty connections that have sent these, and read what was answered.
async fn idle(bytes: Vec<u8>) -> isize {
    const COUNT: usize = 40;
    let emulator = emulator().await;
    let mut sockets: Vec<TcpStream> = Vec::with_capacity(COUNT + 1);
    let mut buffer = vec![0; 65_536];
    let mut before = 0;
    for number in 0..=COUNT {
        let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        pause().await;
        while tokio::time::timeout(std::time::Duration::from_millis(5), socket.read(&mut buffer)).await.is_ok() {}
        sockets.push(socket);
        if number == 0 {
            emulator.purge();
            // The first one pays for what all share.
            before = live();
        }
    }
    // Messages in the queue are the queue's.
    emulator.purge();
    (live() - before) / COUNT.cast_signed()
}

#[test]
fn an_idle_connection_takes_little_a6() {
    let mut judge = Judge::new();
    let sender = [opening(true), link("sender", 0, Role::Sender, "queue")].concat();
    // Messages of 200 KB in frames of 50 KB, which need the buffers for a while.
    let chunk = vec![7; 50_000];
    let sent = (0..5).flat_map(|id| (0..4).map(move |part| (id, part))).flat_map(|(id, part)| {
        let head = encoded(&MessageRef::new(&chunk));
        let payload = if part == 0 { &head[..] } else { &[0x00, 0x53, 0x75, 0xa0, 1, 7] };
        frame(0, &transfer(0, id, part < 3), payload)
    });
    let busy = [sender.clone(), sent.collect()].concat();
    for (name, bytes) in [
        ("silent", Vec::new()),
        ("three bytes of a header", Protocol::Sasl.header()[..3].to_vec()),
        ("a header", Protocol::Sasl.header().to_vec()),
        ("open without a name", opening(false)),
        ("open with the key", opening(true)),
        ("one link", sender),
        ("five messages of 50 KB", busy),
    ] {
        let each = run(idle(bytes));
        judge.case(name, each, |each| *each < 64 << 10, |each| *each > 256 << 10);
    }
    judge.finish();
}

/// Whether a connection is open after two minutes in which its client sent heartbeats and read nothing of the answers
/// to `bytes`.
async fn is_kept(size: usize, bytes: Vec<u8>) -> bool {
    let emulator = emulator().await;
    emulator.with_broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            let body = encoded(&MessageRef::new(&vec![7; size]));
            for _ in 0..16_000_000 / size {
                namespace.send("queue", entities::Message::accept(body.clone()).unwrap(), clock.utc).unwrap();
            }
        });
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(emulator.amqp_address()).await.unwrap();
    let mut rest = bytes.as_slice();
    for _ in 0..12 {
        // The server may have stopped reading, or may have ended the connection.
        let write = async {
            while !rest.is_empty() {
                let count = socket.write(rest).await?;
                rest = &rest[count..];
            }
            socket.write_all(&EMPTY).await
        };
        if let Ok(Err(_)) = tokio::time::timeout(std::time::Duration::from_millis(500), write).await {
            return false;
        }
        pause().await;
        emulator.advance(Duration::from_secs(10));
        pause().await;
    }
    let kept = emulator.statistics().connections_open > 0;
    if kept {
        // More than the system's buffers hold: the server did wait for its client.
        let (mut unread, mut buffer) = (0, vec![0; 65_536]);
        let limit = std::time::Duration::from_millis(200);
        while let Ok(Ok(count @ 1..)) = tokio::time::timeout(limit, socket.read(&mut buffer)).await {
            unread += count;
        }
        println!("{unread} bytes were not read");
        assert!(unread > 5 << 20, "{unread} bytes");
    }
    kept
}

#[test]
fn a_connection_that_does_not_read_is_ended_a2() {
    let mut judge = Judge::new();
    // Links that are refused: an answer names the link, and says what is missing.
    let refused = |length: usize, sessions: u16| {
        let links = (0..sessions).flat_map(|channel| {
            let begin = if channel == 0 { Vec::new() } else { frame(channel, &begin(None), &[]) };
            let links = (0..256).flat_map(move |handle| {
                let name = format!("{handle:0length$}");
                link_on(channel, &name, handle, Role::Receiver, "queue")
            });
            begin.into_iter().chain(links)
        });
        [opening(false), links.collect()].concat()
    };
    let receiver =
        [opening(true), link("receiver", 0, Role::Receiver, "queue"), frame(0, &flow(0, 0, 5_000), &[])].concat();
    for (name, size, bytes) in [
        ("refused links", 100_000, refused(1_000, 30)),
        ("fewer refused links with longer names", 100_000, refused(4_000, 12)),
        ("messages of 10 KB", 10_000, receiver.clone()),
        ("messages of 100 KB", 100_000, receiver.clone()),
        ("messages of 250 KB", 250_000, receiver),
    ] {
        judge.equal(name, run(is_kept(size, bytes)), false, true);
    }
    judge.finish();
}

/// The harness of the tests above: a client that reads is served.
#[test]
fn a_client_that_reads_keeps_its_connection_a2() {
    run(async {
        let emulator = emulator().await;
        let mut socket = TcpStream::connect(emulator.amqp_address()).await.unwrap();
        // Without a link it would be closed after a minute.
        let attached = [opening(true), link("receiver", 0, Role::Receiver, "queue")].concat();
        socket.write_all(&attached).await.unwrap();
        let mut buffer = vec![0; 4_096];
        for _ in 0..12 {
            socket.write_all(&EMPTY).await.unwrap();
            pause().await;
            emulator.advance(Duration::from_secs(10));
            let read = tokio::time::timeout(std::time::Duration::from_millis(100), socket.read(&mut buffer)).await;
            assert!(read.is_err() || read.is_ok_and(|count| count.unwrap() > 0));
        }
        assert_eq!(emulator.statistics().connections_open, 1);
    });
}
