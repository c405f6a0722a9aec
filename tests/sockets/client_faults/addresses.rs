//! A name with two addresses, of which the first does not answer.

use crate::calls;
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use servicebus_tests::known_fault;
use servicebus_tokio::Options;
use std::net::{SocketAddr, ToSocketAddrs as _};
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

#[known_fault("C11")]
#[ignore = "tests/run all, where localhost is both ::1 and 127.0.0.1"]
fn the_second_address_of_a_name_is_tried_c11() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio starts");
    let mut judge = Judge::new();
    for at in 0..5 {
        let (name, ended) = runtime.block_on(async {
            let emulator = Emulator::builder().queue("queue").start().await.expect("it starts");
            let any = tokio::net::TcpListener::bind("[::1]:0").await.expect("IPv6").local_addr().expect("its port");
            let found: Vec<_> = ("localhost", any.port()).to_socket_addrs().expect("localhost").collect();
            assert!(found.len() > 1, "localhost has one address here: {found:?}");
            let _hole = black_hole(found[0]).await;
            let listener = tokio::net::TcpListener::bind(found[1]).await.expect("the same port");
            tokio::spawn(forward(listener, emulator.amqp_address()));
            let direct = emulator.amqp_address().port().to_string();
            let text = emulator.connection_string().replace(&direct, &any.port().to_string());
            let mut retry = servicebus_core::servicebus::RetryPolicy::none();
            retry.try_timeout = Duration::from_secs(2);
            let client = Options::new(text).expect("it is valid").with_retry(retry).connect();
            let (name, call) = calls::all(&client).swap_remove(at);
            (name, calls::watch(call).await)
        });
        let right = |ended: &calls::Ending| ended.is_some_and(|(_, result)| result.is_ok());
        judge.case(name, ended, right, |ended| !right(ended));
    }
    runtime.shutdown_background();
    judge.finish();
}
