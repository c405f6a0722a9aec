//! Boards that sleep between wake-ups, each of which is a connection of its own: what one costs.

use crate::time_server::TimeServer;
use crate::{Checks, HOST, Result, authority, drain_readings, qemu, watch_board, with_queues};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use servicebus_emulator::Emulator;
use servicebus_emulator::server::Identity;
use servicebus_tokio::{MessageRef, connect};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// As in the firmware.
const WAKE_UPS: usize = 5;
/// From one end of the line to the other.
const ONE_WAY: Duration = Duration::from_millis(25);

/// What a wake-up without a command costs at most: what the guide says (`runtime-embassy/README.md`).
struct Cost {
    round_trips: u64,
    up: u64,
    down: u64,
}

const PLAIN: Cost = Cost { round_trips: 7, up: 1_900, down: 1_200 };
const ENCRYPTED: Cost = Cost { round_trips: 8, up: 2_500, down: 2_700 };

/// Carries what comes to the other end, each part when its time has come.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (parts, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if parts.send((Instant::now() + ONE_WAY, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
        drop(parts);
    };
    let write = async {
        while let Some((at, part)) = under_way.recv().await {
            sleep_until(at).await;
            if to.write_all(&part).await.is_err() {
                return;
            }
        }
        // A stream whose other end is gone has ended already.
        _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// A server that is far away.
struct Far {
    port: u16,
    /// How long each connection was, by the host's clock: that of a board in QEMU is late when the machine is busy.
    lasted: Arc<Mutex<Vec<Duration>>>,
}

impl Far {
    async fn start(upstream: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let lasted = Arc::<Mutex<Vec<Duration>>>::default();
        let all = Arc::clone(&lasted);
        tokio::spawn(async move {
            while let Ok((board, _)) = listener.accept().await {
                let begin = Instant::now();
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
                // Small parts are not kept back.
                _ = (board.set_nodelay(true), server.set_nodelay(true));
                let ((from_board, to_board), (from_server, to_server)) = (board.into_split(), server.into_split());
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    tokio::join!(carry(from_board, to_server), carry(from_server, to_board));
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(begin.elapsed());
                });
            }
        });
        Ok(Self { port, lasted })
    }
}

/// Over plain TCP.
pub(crate) async fn plain(folder: &Path) -> Result<Checks> {
    let emulator = with_queues(Emulator::builder()).start().await?;
    let far = Far::start(emulator.amqp_address().port()).await?;
    let board = || qemu(&folder.join("sleeping"), &[far.port.to_string()]);
    wake_ups(Checks::of("sleeping"), board, &emulator, &far, &PLAIN).await
}

/// Over TLS, under a chain of three certificates of P-256, two of which the server shows.
pub(crate) async fn encrypted(folder: &Path) -> Result<Checks> {
    let root = authority(folder, "sleeping-root")?;
    let mut middle = CertificateParams::default();
    middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    middle.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    middle.distinguished_name.push(rcgen::DnType::CommonName, "issuing");
    let middle_key = KeyPair::generate()?;
    let middle_certificate = middle.signed_by(&middle_key, &root.issuer)?;
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec![HOST.to_owned()])?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = server.signed_by(&key, &Issuer::new(middle, middle_key))?;
    let shown = certificate.der().len() + middle_certificate.der().len();
    println!("sleeping_tls: the server's certificates take {shown} bytes");
    let chain = certificate.pem() + &middle_certificate.pem();
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())?;
    let emulator = with_queues(Emulator::builder()).tls(0, Some(identity)).start().await?;
    let far = Far::start(emulator.tls_address().ok_or("no TLS")?.port()).await?;
    // Tokens and certificates are judged by the time of a server.
    let time = TimeServer::start(0).await?;
    let arguments = [far.port.to_string(), time.port.to_string(), root.der.display().to_string()];
    let board = || qemu(&folder.join("sleeping_tls"), &arguments);
    let mut checks = wake_ups(Checks::of("sleeping_tls"), board, &emulator, &far, &ENCRYPTED).await?;
    checks.check("the time is a server's", time.answered() == 1);
    Ok(checks)
}

/// The numbers of `... 0 commands taken, 1880 bytes up, 1170 bytes down, 7 round trips, 103 ms`.
fn numbers(line: &str) -> Option<[u64; 4]> {
    let (_, costs) = line.split_once(" 0 commands taken, ")?;
    let mut numbers = costs.split(", ").map(|part| part.split(' ').next()?.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??])
}

async fn wake_ups(
    mut checks: Checks,
    board: impl FnOnce() -> Result<Child>,
    emulator: &Emulator,
    far: &Far,
    cost: &Cost,
) -> Result<Checks> {
    let client = connect(emulator.connection_string())?;
    let commands = client.sender("commands")?;
    for number in 0..2 {
        commands.send(&MessageRef::new(&format!("led {number}"))).await?;
    }
    client.disconnect().await;
    let others = emulator.statistics().connections_accepted;
    let (status, lines) = watch_board(checks.of, board()?, |_| false).await?;
    checks.check("the board ends by itself, with status 0", status == Some(0));
    let wake_ups = lines.iter().filter(|line| line.contains(": 3 readings sent, ")).count();
    checks.check("each wake-up sends three readings, and prints what it took", wake_ups == WAKE_UPS);
    let commands = lines.iter().filter(|line| line.contains(" 2 commands taken")).count();
    checks.check("the first one takes the commands", commands == 1);
    let costs: Vec<_> = lines.iter().filter_map(|line| numbers(line)).collect();
    let Cost { round_trips, up, down } = cost;
    println!("{}: connections of {:?}", checks.of, far.lasted.lock().unwrap_or_else(PoisonError::into_inner));
    let all = |holds: &dyn Fn(&[u64; 4]) -> bool| costs.len() == WAKE_UPS - 1 && costs.iter().all(holds);
    checks.check(
        &format!("the others take {round_trips} round trips at most"),
        all(&|[.., trips, _]| trips <= round_trips),
    );
    checks.check(&format!("they take {up} bytes up at most"), all(&|[bytes, ..]| bytes <= up));
    checks.check(&format!("they take {down} bytes down at most"), all(&|[_, bytes, ..]| bytes <= down));
    let connections = emulator.statistics().connections_accepted - others;
    checks.check("each is one connection", connections == WAKE_UPS as u64);
    let found = drain_readings(&client).await?;
    checks.check("every reading is there, none twice", found.len() == 15 && found.values().all(|count| *count == 1));
    client.close().await;
    Ok(checks)
}
