//! TLS probe.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Runner, StackResources};
use embassy_time::Instant;
use embedded_io_async::{Read, Write};
use rand_chacha::rand_core::SeedableRng;
use servicebus_core::time::Timestamp;
use servicebus_embassy::tls::{self, Algorithms, CertificateDer, Peer, Records, Root};
use servicebus_firmware::board::{self, Board, Lan9118, println};
use static_cell::StaticCell;

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Lan9118>) -> ! {
    runner.run().await
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static RESOURCES: StaticCell<StackResources<3>> = StaticCell::new();
    let board = Board::take();
    let port = board::port_argument();
    let (stack, runner) =
        embassy_net::new(board.ethernet, board::network(), RESOURCES.init(StackResources::new()), board.seed);
    spawner.spawn(network(runner).expect("the network's task is spawned once"));
    stack.wait_config_up().await;
    static R: StaticCell<[u8; 16640]> = StaticCell::new();
    static W: StaticCell<[u8; 4096]> = StaticCell::new();

    let (mut receive, mut transmit) = ([0; 4096], [0; 4096]);
    let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
    socket.connect((board::HOST, port)).await.expect("the echo server accepts");
    let started = Instant::now();
    static ROOT: CertificateDer<'static> = CertificateDer::from_slice(include_bytes!("/tmp/emb-pki/root.der"));
    let roots = [Root::from_certificate(&ROOT).expect("root")];
    let peer = Peer { host: "localhost", roots: &roots, algorithms: Algorithms::ALL, now: Timestamp::from_secs(board::unix_seconds().unwrap() as i64) };
    let mut seed = [0; 32];
    board::random_bytes(&mut seed);
    let random = rand_chacha::ChaCha20Rng::from_seed(seed);
    let records = Records { read: R.init([0; 16640]), write: W.init([0; 4096]) };
    let mut tls = match tls::handshake(&mut socket, records, peer, random).await { Ok(t) => t, Err(e) => panic!("{e}") };
    println!("handshake: {} ms {}", started.elapsed().as_millis(), board::usage());
    tls.write_all(b"hello").await.unwrap();
    tls.flush().await.unwrap();
    let mut b = [0; 5];
    tls.read_exact(&mut b).await.unwrap();
    println!("tls: {} {:?}", board::usage(), b);
    board::exit(0);
}
