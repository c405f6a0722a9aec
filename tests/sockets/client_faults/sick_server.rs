//! A server that stops reading. One that never stops writing (H1) is in virtual time only: over sockets the machine
//! decides which of both is faster.

use crate::calls::{self, Ending, IN_TIME};
use futures_util::future::join_all;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::fault::Judge;
use servicebus_tests::told::Told;
use servicebus_tokio::{Client, MessageRef};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

fn runtime(threads: bool) -> Runtime {
    let mut builder = if threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build().expect("tokio starts")
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
        let queue = QueueDescription { max_message_size_in_kilobytes: Some(102_400), ..QueueDescription::default() };
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
        sender.send(&MessageRef::new("x")).await.unwrap();
        shut.store(true, Ordering::Relaxed);
        let large = vec![0; 32 << 20];
        let sending: calls::Calling =
            Box::pin(async move { sender.send(&MessageRef::new(&large)).await.map_err(|error| Told::of(&error)) });
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

#[test]
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
