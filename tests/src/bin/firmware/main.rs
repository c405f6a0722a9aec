//! Runs the firmwares in QEMU against an emulator in this process, and checks at the emulator what came of it.
//!
//! `firmware FOLDER`: the folder holds the images `telemetry` and `telemetry_tls`. Every check prints a line; the last
//! one counts them as `cargo test` does.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::server::Identity;
use servicebus_tokio::{Client, Message, connect};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// As in the firmware.
const READINGS: u64 = 1_000;
const COMMANDS: u64 = 20;
const HOST: &str = "readings.servicebus.example";
/// After so many readings the server closes the connection.
const CLOSED_AT: [u64; 3] = [150, 300, 600];
/// After so many, nobody is there for a while.
const OUTAGE_AT: u64 = 400;
const OUTAGE: Duration = Duration::from_secs(30);
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// Stands between the board and the emulator, and can be taken away.
struct Line {
    port: u16,
    down: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Line {
    async fn to(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let down = Arc::new(AtomicBool::new(false));
        let (cut, _) = watch::channel(());
        let (is_down, cuts) = (Arc::clone(&down), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut board, _)) = listener.accept().await {
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut board, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, down, cut })
    }

    /// Cuts what is there, and lets nothing new through for a while.
    async fn outage(&self, length: Duration) {
        self.down.store(true, Ordering::Relaxed);
        self.cut.send_replace(());
        sleep(length).await;
        self.down.store(false, Ordering::Relaxed);
    }
}

fn qemu(image: &Path, arguments: &[String]) -> Result<Child> {
    let mut semihosting = String::from("enable=on,target=native,arg=firmware");
    for argument in arguments {
        semihosting.push_str(",arg=");
        semihosting.push_str(argument);
    }
    let mut command = Command::new("qemu-system-arm");
    command
        .args(["-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "null", "-netdev", "user,id=n0"])
        .args(["-net", "nic,model=lan9118,netdev=n0", "-semihosting-config", &semihosting, "-kernel"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command.spawn()?)
}

struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    fn check(&mut self, what: &str, holds: bool) {
        println!("check: {what}: {}", if holds { "ok" } else { "FAILED" });
        if holds { self.passed += 1 } else { self.failed += 1 }
    }
}

/// Prints what the board prints, until it stops; the board's exit status and its lines.
async fn watch_board(mut board: Child, until: impl Fn(&str) -> bool) -> Result<(Option<i32>, Vec<String>)> {
    let mut lines = Vec::new();
    let output = board.stdout.take().ok_or("no output")?;
    let mut output = BufReader::new(output).lines();
    let status = timeout(PATIENCE, async {
        while let Some(line) = output.next_line().await? {
            println!("board: {line}");
            let stop = until(&line);
            lines.push(line);
            if stop {
                return Ok(None);
            }
        }
        Ok::<_, Box<dyn Error>>(board.wait().await?.code())
    })
    .await;
    match status {
        Ok(status) => Ok((status?, lines)),
        Err(_) => {
            println!("the board did not end within {PATIENCE:?}");
            Ok((None, lines))
        }
    }
}

/// How often each reading is in the queue.
async fn drain_readings(client: &Client) -> Result<BTreeMap<String, u32>> {
    let receiver = client.receiver("readings")?;
    let mut found = BTreeMap::new();
    loop {
        let messages = receiver.receive_messages(200, Duration::from_secs(2)).await?;
        if messages.is_empty() {
            return Ok(found);
        }
        for message in &messages {
            *found.entry(message.message_id().unwrap_or("none").to_owned()).or_insert(0) += 1;
            receiver.complete(message).await?;
        }
    }
}

fn with_queues(builder: servicebus_emulator::EmulatorBuilder) -> servicebus_emulator::EmulatorBuilder {
    let readings = QueueDescription { requires_duplicate_detection: true, ..QueueDescription::default() };
    builder.queue_with("readings", readings).queue("commands")
}

/// The whole of the telemetry device, through closed connections and, where asked for, an outage.
async fn telemetry(
    checks: &mut Checks,
    name: &str,
    emulator: Emulator,
    board: Child,
    line: &Line,
    with_outage: bool,
) -> Result<()> {
    let client = connect(emulator.connection_string())?;
    let commands = client.sender("commands")?;
    for number in 0..COMMANDS / 2 {
        commands.send(&Message::new(&format!("led {number}"))).await?;
    }
    let trouble = async {
        let reach = async |count: u64| {
            while emulator.statistics().messages_sent < count + COMMANDS / 2 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        reach(CLOSED_AT[0]).await;
        emulator.drop_connections();
        reach(CLOSED_AT[1]).await;
        emulator.drop_connections();
        if with_outage {
            reach(OUTAGE_AT).await;
            line.outage(OUTAGE).await;
        }
        reach(CLOSED_AT[2]).await;
        emulator.drop_connections();
        for number in COMMANDS / 2..COMMANDS {
            commands.send(&Message::new(&format!("led {number}"))).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    // Where it stands, for whoever reads the log of a run that hangs.
    let tell = async {
        loop {
            sleep(Duration::from_secs(10)).await;
            println!("emulator: {:?}", emulator.statistics());
        }
    };
    let (board, trouble) = tokio::select! {
        ended = async { tokio::join!(watch_board(board, |_| false), timeout(PATIENCE, trouble)) } => ended,
        () = tell => return Err("it never ends".into()),
    };
    let (status, lines) = board?;
    checks.check(&format!("{name}: the connection was closed three times"), matches!(trouble, Ok(Ok(()))));
    checks.check(&format!("{name}: the board ends by itself, with status 0"), status == Some(0));
    checks.check(
        &format!("{name}: it prints what it takes of flash, RAM and stack"),
        lines.iter().any(|line| line.contains("flash") && line.contains("stack at most")),
    );
    let found = drain_readings(&client).await?;
    let all = (0..READINGS).all(|number| found.contains_key(&format!("r-{number}")));
    checks
        .check(&format!("{name}: every reading is there ({} are)", found.len()), all && found.len() as u64 == READINGS);
    checks.check(&format!("{name}: none is there twice"), found.values().all(|count| *count == 1));
    let left = client.receiver("commands")?.receive(Duration::from_secs(1)).await?;
    checks.check(&format!("{name}: every command is completed"), left.is_none());
    client.close().await;
    Ok(())
}

struct Authority {
    der: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A root, written where the board can read it.
fn authority(folder: &Path, name: &str) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate()?;
    let der = folder.join(format!("{name}.der"));
    std::fs::write(&der, params.self_signed(&key)?.der())?;
    Ok(Authority { der, issuer: Issuer::new(params, key) })
}

async fn run(folder: &Path) -> Result<Checks> {
    let mut checks = Checks { passed: 0, failed: 0 };

    let emulator = with_queues(Emulator::builder()).start().await?;
    let line = Line::to(emulator.amqp_address().port()).await?;
    let board = qemu(&folder.join("telemetry"), &[line.port.to_string()])?;
    telemetry(&mut checks, "telemetry", emulator, board, &line, true).await?;

    let root = authority(folder, "root")?;
    let other = authority(folder, "other")?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&key, &root.issuer)?;
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
    let emulator = with_queues(Emulator::builder()).tls(0, Some(identity)).start().await?;
    let line = Line::to(emulator.tls_address().ok_or("no TLS")?.port()).await?;
    let image = folder.join("telemetry_tls");
    let arguments = |root: &Authority| [line.port.to_string(), root.der.display().to_string()];

    let (_, lines) = watch_board(qemu(&image, &arguments(&other))?, |line| line.contains("root")).await?;
    checks.check(
        "telemetry_tls: a server under another root is refused",
        lines.iter().any(|line| line.contains("the chain ends at no trusted root"))
            && emulator.statistics().connections_accepted == 0,
    );
    let board = qemu(&image, &arguments(&root))?;
    telemetry(&mut checks, "telemetry_tls", emulator, board, &line, false).await?;
    Ok(checks)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: firmware FOLDER");
        return ExitCode::from(2);
    };
    match run(&folder).await {
        Ok(checks) => {
            let verdict = if checks.failed == 0 { "ok" } else { "FAILED" };
            println!("test result: {verdict}. {} passed; {} failed", checks.passed, checks.failed);
            ExitCode::from(u8::from(checks.failed > 0))
        }
        Err(error) => {
            println!("the checks broke off: {error}");
            ExitCode::FAILURE
        }
    }
}
