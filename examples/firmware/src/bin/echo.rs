//! Proves the board support: sends a megabyte to an echo server on the host and checks what comes back.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::tcp::TcpSocket;
use embassy_time::Instant;
use servicebus_firmware::board::{self, println};
use servicebus_firmware::device::Device;

const TOTAL: usize = 1 << 20;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let device = Device::start(spawner).await;
    let (mut receive, mut transmit) = ([0; 4096], [0; 4096]);
    let mut socket = TcpSocket::new(device.stack, &mut receive, &mut transmit);
    socket.connect((board::HOST, device.port)).await.expect("the echo server accepts");
    let started = Instant::now();
    let (mut reader, mut writer) = socket.split();
    let pattern = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    let send = async {
        let mut chunk = [0; 1000];
        let mut sent = 0;
        while sent < TOTAL {
            let length = chunk.len().min(TOTAL - sent);
            chunk[..length].iter_mut().enumerate().for_each(|(at, byte)| *byte = pattern(sent + at));
            sent += writer.write(&chunk[..length]).await.expect("the connection stays");
        }
        writer.flush().await.expect("the connection stays");
    };
    let check = async {
        let mut chunk = [0; 1000];
        let mut received = 0;
        while received < TOTAL {
            let length = reader.read(&mut chunk).await.expect("the connection stays");
            assert!(length > 0, "the server closed after {received} bytes");
            for (at, byte) in chunk[..length].iter().enumerate() {
                assert_eq!(*byte, pattern(received + at), "byte {}", received + at);
            }
            received += length;
        }
    };
    join(send, check).await;
    println!("echo: {TOTAL} bytes in {} ms", started.elapsed().as_millis());
    println!("echo: {}", board::usage());
    board::exit(0);
}
