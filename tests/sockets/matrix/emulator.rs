//! The emulator's own futures, and that it ends whatever its clients do.

use crate::platform::SERVERS;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_emulator::server::ClockSource;
use servicebus_emulator::{Emulator, StartError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Binding three sockets and making a certificate takes milliseconds.
const STARTING: Duration = Duration::from_secs(10);

/// A wait that ends by an event of this process.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn an_emulator_starts_or_fails_soon() {
    SERVERS.block_on(async {
        let plain = timeout(STARTING, Emulator::start()).await.expect("in time").expect("it starts");
        let builder = Emulator::builder().queue("q").tls(0, None);
        timeout(STARTING, builder.start()).await.expect("in time").expect("it starts");
        let taken = Emulator::builder().amqp_port(plain.amqp_address().port());
        let failed = timeout(STARTING, taken.start()).await.expect("in time");
        assert!(matches!(failed, Err(StartError::Bind(_))), "{failed:?}");
        let nowhere = Emulator::builder().host("203.0.113.7");
        let failed = timeout(STARTING, nowhere.start()).await.expect("in time");
        assert!(matches!(failed, Err(StartError::Bind(_))), "{failed:?}");
    });
}

#[test]
fn a_clock_wakes_tasks_at_their_time() {
    SERVERS.block_on(async {
        let system = ClockSource::system();
        let at = system.now().now + Duration::from_millis(20);
        timeout(SOON, system.sleep_until(at)).await.expect("the time comes");
        assert!(system.now().now >= at);

        let standing = ClockSource::standing_at(Timestamp::UNIX_EPOCH);
        let at = Instant::ZERO + Duration::from_secs(3_600);
        timeout(Duration::from_millis(20), standing.sleep_until(at)).await.expect_err("the clock stands");
        let waiting = tokio::spawn({
            let standing = standing.clone();
            async move { standing.sleep_until(at).await }
        });
        standing.advance(Duration::from_secs(3_600));
        timeout(SOON, waiting).await.expect("the clock was moved").expect("it does not panic");
    });
}

/// Clients that stopped in the middle of something do not keep a dropped emulator's sockets.
#[test]
fn a_dropped_emulator_is_gone_whatever_its_clients_do() {
    SERVERS.block_on(async {
        let emulator = Emulator::builder().queue("q").tls(0, None).start().await.expect("it starts");
        let addresses =
            [emulator.amqp_address(), emulator.tls_address().expect("it serves TLS"), emulator.admin_address()];
        let beginnings: [&[u8]; 6] = [
            b"",
            b"AMQP",
            b"AMQP\x03\x01\x00\x00",
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\n",
            b"\xff\xff\xff\xff",
        ];
        let mut clients = Vec::new();
        for address in addresses {
            for beginning in beginnings {
                let mut client = TcpStream::connect(address).await.expect("it listens");
                client.write_all(beginning).await.expect("there is room for a few bytes");
                clients.push(client);
            }
        }
        drop(emulator);
        for address in addresses {
            let gone = async {
                while TcpStream::connect(address).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(SOON, gone).await.unwrap_or_else(|_| panic!("{address} still listens"));
        }
    });
}
