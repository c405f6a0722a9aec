//! Servers that stop reading, and servers that never stop writing.

use crate::calls::{self, Ending, IN_TIME};
use futures_util::future::join_all;
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::{Disposition, Open, Role};
use servicebus_core::wire::sasl::{SaslCode, SaslMechanisms, SaslOutcome};
use servicebus_core::wire::{Multiple, Symbol};
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::{begin, frame, open, sasl_frame};
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;
use servicebus_tokio::{Client, Message};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const KEYS: &str = "UseDevelopmentEmulator=true;SharedAccessKeyName=n;SharedAccessKey=k";

fn runtime(threads: bool) -> Runtime {
    let mut builder = if threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build().expect("tokio starts")
}

/// Opens a connection and then sends this again and again.
async fn flood(again: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let anonymous = [Symbol::new("ANONYMOUS")];
    let opening = [
        Protocol::Sasl.header().to_vec(),
        sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Multiple::new(&anonymous) }),
        sasl_frame(&SaslOutcome { code: SaslCode::Ok, additional_data: None }),
        Protocol::Amqp.header().to_vec(),
        frame(0, &Open { max_frame_size: 65_536, ..open("server") }, &[]),
        frame(0, &begin(Some(0)), &[]),
    ]
    .concat();
    let again = again.repeat(4_000);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (opening, again) = (opening.clone(), again.clone());
            tokio::spawn(async move {
                // It ends with the connection.
                let mut result = stream.write_all(&opening).await;
                while result.is_ok() {
                    result = stream.write_all(&again).await;
                }
            });
        }
    });
    address
}

#[known_fault("H1")]
fn calls_end_in_their_time_under_a_flood_of_input_h1() {
    let mut judge = Judge::new();
    let settled = Disposition {
        role: Role::Receiver,
        first: 0,
        last: None,
        settled: true,
        state: Some(DeliveryState::ACCEPTED),
        batchable: false,
    };
    for (flooded_with, bytes) in
        [("dispositions", frame(0, &settled, &[])), ("heartbeats", vec![0, 0, 0, 8, 2, 0, 0, 0])]
    {
        let server = runtime(true);
        let address = server.block_on(flood(bytes));
        let client_runtime = runtime(true);
        let ended = client_runtime.block_on(async {
            let connect = || calls::options(&format!("Endpoint=sb://{address};{KEYS}")).connect();
            // A client for closing, and one for the rest.
            let (client, closed) = (connect(), connect());
            let mut calls = calls::all(&client);
            calls.pop();
            calls.extend(calls::all(&closed).pop());
            // The flood has begun.
            closed.sender("queue").unwrap();
            tokio::time::sleep(calls::TRY).await;
            join_all(calls.into_iter().map(async |(name, call)| (name, calls::watch(call).await))).await
        });
        client_runtime.shutdown_background();
        server.shutdown_background();
        for (name, ended) in ended {
            let right = |ended: &Ending| ended.is_some_and(|(took, _)| took <= IN_TIME);
            judge.case(format!("{name} under {flooded_with}"), ended, right, |ended| !right(ended));
        }
    }
    judge.finish();
}

/// A way to an emulator that stops reading from the client once the flag is set.
async fn valve(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let shut = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&shut);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.expect("the emulator");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (near.into_split(), far.into_split());
            let shut = Arc::clone(&flag);
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while !shut.load(Ordering::Relaxed) {
                    let Ok(count @ 1..) = from_client.read(&mut buffer).await else { return };
                    if to_server.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            });
        }
    });
    (address, shut)
}

/// How calls end beside a message that is larger than what sockets hold, with a peer that does not read.
fn blocked(threads: bool) -> Vec<(&'static str, Ending)> {
    let server = runtime(true);
    let (_emulator, text, shut) = server.block_on(async {
        let queue = QueueDescription { max_message_size_in_kilobytes: 102_400, ..QueueDescription::default() };
        let emulator = Emulator::builder().queue_with("queue", queue).start().await.expect("it starts");
        let (address, shut) = valve(emulator.amqp_address()).await;
        let direct = emulator.amqp_address().port().to_string();
        let text = emulator.connection_string().replace(&direct, &address.port().to_string());
        (emulator, text, shut)
    });
    let client_runtime = runtime(threads);
    let ended = client_runtime.block_on(async {
        let client: Client = calls::options(&text).connect();
        let sender = client.sender("queue").unwrap();
        sender.send(&Message::new("x")).await.unwrap();
        shut.store(true, Ordering::Relaxed);
        let large = vec![0; 32 << 20];
        let sending: calls::Calling =
            Box::pin(async move { sender.send(&Message::new(&large)).await.map_err(|error| error.cause) });
        let mut calls = calls::all(&client);
        calls[0] = ("send 32 MiB", sending);
        let closing = calls.pop().expect("there is one");
        let mut ended = join_all(calls.into_iter().map(async |(name, call)| (name, calls::watch(call).await))).await;
        // Closing waits for a peer that does not answer, up to its own patience: it is judged in virtual time.
        drop(closing);
        ended.retain(|(name, _)| *name != "close");
        ended
    });
    client_runtime.shutdown_background();
    server.shutdown_background();
    ended
}

#[known_fault("C1")]
fn calls_end_in_their_time_while_a_socket_takes_nothing_c1() {
    let mut judge = Judge::new();
    for threads in [false, true] {
        for (name, ended) in blocked(threads) {
            let right = |ended: &Ending| ended.is_some_and(|(took, _)| took <= IN_TIME);
            judge.case(format!("{name}, a runtime with threads: {threads}"), ended, right, Option::is_none);
        }
    }
    judge.finish();
}
