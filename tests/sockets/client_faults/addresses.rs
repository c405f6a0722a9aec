//! A name with two addresses, of which the first does not answer.

use crate::calls;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::transport::first_to_connect;
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Connections that fill the backlog of a listener, so that it answers no other.
async fn black_hole(address: SocketAddr) -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.bind(address).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let mut kept = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        kept.push(stream.expect("it connects or waits"));
        assert!(kept.len() < 1_000, "the backlog does not fill up");
    }
    (listener, kept)
}

/// Passes connections on.
async fn forward(listener: tokio::net::TcpListener, to: SocketAddr) {
    while let Ok((mut near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await.expect("the emulator");
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        });
    }
}

/// A connection to the first of these addresses of a made-up name that answers.
macro_rules! options {
    ($adapter:ident, $stream:ty, $sleep:expr, $text:expr, $addresses:expr) => {{
        let mut retry = RetryPolicy::none();
        retry.try_timeout = Duration::from_secs(2);
        let addresses: [SocketAddr; 2] = $addresses;
        let connect = move |_, _| first_to_connect(addresses, <$stream>::connect, $sleep);
        $adapter::Options::new($text).expect("it is valid").with_retry(retry).with_connector(connect)
    }};
}

#[test]
fn the_second_address_of_a_name_is_tried_c11() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio starts");
    let mut judge = Judge::new();
    for at in 0..5 {
        let ended = runtime.block_on(async {
            let emulator = Emulator::builder().queue("queue").start().await.expect("it starts");
            let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.expect("a second address");
            let good = listener.local_addr().expect("its address");
            let hole = SocketAddr::from(([127, 0, 0, 1], good.port()));
            let _hole = black_hole(hole).await;
            tokio::spawn(forward(listener, emulator.amqp_address()));
            let text = emulator.connection_string();
            let tokio = options!(servicebus_tokio, TcpStream, tokio::time::sleep, &*text, [hole, good]).connect();
            let smol_sleep = |pause| async move {
                smol::Timer::after(pause).await;
            };
            let smol = options!(servicebus_async_std, smol::net::TcpStream, smol_sleep, &*text, [hole, good]).connect();
            let (name, call) = calls::all(&tokio).swap_remove(at);
            let on_tokio = (format!("{name} on tokio"), calls::watch(call).await);
            let (name, call) = calls::all(&smol).swap_remove(at);
            [on_tokio, (format!("{name} on smol"), calls::watch(call).await)]
        });
        for (name, ended) in ended {
            judge.case(name, ended, |ended| ended.is_some_and(|(_, result)| result.is_ok()), |_| false);
        }
    }
    runtime.shutdown_background();
    judge.finish();
}
