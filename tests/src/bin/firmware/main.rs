//! Runs the firmwares in QEMU against an emulator in this process, and checks at the emulator what came of it.
//!
//! `firmware FOLDER [NAME]...`: the folder holds the images `telemetry`, `telemetry_tls`, `telemetry_defmt`, `sleeping`,
//! `sleeping_tls`, `spooling` and `signed`; without names all of them run, side by side. Every check prints a line; the last one counts them as `cargo test` does.

mod attack;
mod back_end;
// The server that the tests of known faults attack with.
#[allow(dead_code)]
#[path = "../../../virtual_time/device_faults/forged.rs"]
mod forged;
mod frames;
mod line;
mod sleeping;
mod time_server;

use back_end::BackEnd;
use frames::Frames;
use line::Line;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::server::Identity;
use servicebus_tokio::{Client, MessageRef, connect};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time_server::TimeServer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
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
/// So many seconds the time server is ahead of the host: the board has the time from nowhere else. Less than a lock
/// lasts: to a clock further ahead each would seem to be over.
const AHEAD: i64 = 30;
/// So many another one is behind: a token lives no two days.
const BEHIND: i64 = -2 * 24 * 3600;
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

type Result<T> = core::result::Result<T, Box<dyn Error>>;

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

/// Bytes of stack that the firmwares may use, by name; over TLS with an ECDSA chain.
const STACKS: [(&str, u32); 2] = [("telemetry", 10_000), ("telemetry_tls", 20_000)];

/// What a board tells through `defmt`: a line of each kind begins so.
const LOGGED: [&str; 6] =
    ["info: connected", "debug: link attached", "debug: received", "debug: settled", "trace: ", "printed: telemetry: "];
/// The average size of a frame, with every event and each frame of the protocol: indices and values, no text.
const FRAME: usize = 32;
/// What no log may have in it: the key, the token made of it, the bodies of commands.
const SECRETS: [&str; 3] = ["SAS_KEY_VALUE", "SharedAccessSignature", "led "];

/// What was checked of one firmware.
struct Checks {
    of: &'static str,
    passed: u32,
    failed: u32,
}

impl Checks {
    fn of(firmware: &'static str) -> Self {
        Self { of: firmware, passed: 0, failed: 0 }
    }

    fn check(&mut self, what: &str, holds: bool) {
        println!("check: {}: {what}: {}", self.of, if holds { "ok" } else { "FAILED" });
        if holds { self.passed += 1 } else { self.failed += 1 }
    }
}

/// Prints what the board prints, until it stops; the board's exit status and its lines.
async fn watch_board(name: &str, mut board: Child, until: impl Fn(&str) -> bool) -> Result<(Option<i32>, Vec<String>)> {
    let mut lines = Vec::new();
    let output = board.stdout.take().ok_or("no output")?;
    let mut output = BufReader::new(output).lines();
    let status = timeout(PATIENCE, async {
        while let Some(line) = output.next_line().await? {
            println!("{name}: {line}");
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
            println!("{name}: did not end within {PATIENCE:?}");
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
            *found.entry(message.message_id().map_or_else(|| "none".to_owned(), |id| id.to_string())).or_insert(0) += 1;
            receiver.complete(message).await?;
        }
    }
}

fn with_queues(builder: servicebus_emulator::EmulatorBuilder) -> servicebus_emulator::EmulatorBuilder {
    let readings = QueueDescription { requires_duplicate_detection: true, ..QueueDescription::default() };
    builder.queue_with("readings", readings).queue("commands")
}

/// The whole of the telemetry device, through closed connections and an outage; its lines.
async fn telemetry(checks: &mut Checks, emulator: Emulator, board: Child, line: &Line) -> Result<Vec<String>> {
    let name = checks.of;
    let client = connect(emulator.connection_string())?;
    let commands = client.sender("commands")?;
    for number in 0..COMMANDS / 2 {
        commands.send(&MessageRef::new(&format!("led {number}"))).await?;
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
        reach(OUTAGE_AT).await;
        line.outage(OUTAGE).await;
        reach(CLOSED_AT[2]).await;
        emulator.drop_connections();
        for number in COMMANDS / 2..COMMANDS {
            commands.send(&MessageRef::new(&format!("led {number}"))).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    // Where it stands, for whoever reads the log of a run that hangs.
    let tell = async {
        loop {
            sleep(Duration::from_secs(10)).await;
            println!("{name}: emulator: {:?}", emulator.statistics());
        }
    };
    let (board, trouble) = tokio::select! {
        ended = async { tokio::join!(watch_board(name, board, |_| false), timeout(PATIENCE, trouble)) } => ended,
        () = tell => return Err("it never ends".into()),
    };
    let (status, lines) = board?;
    checks.check("the connection was closed three times, and cut for half a minute", matches!(trouble, Ok(Ok(()))));
    checks.check("the board ends by itself, with status 0", status == Some(0));
    let taken = lines.iter().find(|line| line.contains("flash") && line.contains("static RAM"));
    let stack = taken.and_then(|line| line.split_once("stack at most ")?.1.split(' ').next()?.parse::<u32>().ok());
    checks.check("it prints what it takes of flash, RAM and stack", stack.is_some());
    let most = STACKS.iter().find(|(firmware, _)| *firmware == name).map_or(0, |(_, most)| *most);
    checks.check(&format!("its stack stays below {most} bytes"), stack.is_some_and(|stack| stack <= most));
    let found = drain_readings(&client).await?;
    let all = (0..READINGS).all(|number| found.contains_key(&format!("r-{number}")));
    checks.check(&format!("every reading is there ({} are)", found.len()), all && found.len() as u64 == READINGS);
    checks.check("none is there twice", found.values().all(|count| *count == 1));
    let left = client.receiver("commands")?.receive(Duration::from_secs(1)).await?;
    checks.check("every command is completed", left.is_none());
    client.close().await;
    Ok(lines)
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

/// The seconds of the Unix epoch in the board's line `clock: set to 2026-11-25T01:00:00.000Z`: of the day alone.
fn told_time(lines: &[String]) -> Option<i64> {
    let time = lines.iter().find_map(|line| line.strip_prefix("clock: set to ")?.split_once('T'))?.1;
    let mut parts = time.splitn(3, ':').map(|part| part.get(..2)?.parse::<i64>().ok());
    Some(parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??)
}

/// Over plain TCP, with the time from a server.
async fn plain(folder: &Path) -> Result<Checks> {
    let mut checks = Checks::of("telemetry");
    let image = folder.join("telemetry");

    // A clock that is wrong makes tokens that are over: the board has no other than the server's.
    let late = TimeServer::start(BEHIND).await?;
    let emulator = with_queues(Emulator::builder()).start().await?;
    let arguments = [emulator.amqp_address().port().to_string(), late.port.to_string()];
    let (_, lines) =
        watch_board("telemetry, late", qemu(&image, &arguments)?, |line| line.contains("token is expired")).await?;
    checks.check(
        "tokens of a clock that is two days late are refused",
        lines.iter().any(|line| line.contains("token is expired")) && emulator.statistics().messages_sent == 0,
    );

    let emulator = with_queues(Emulator::builder()).start().await?;
    let line = Line::to(emulator.amqp_address().port()).await?;
    let time = TimeServer::start(AHEAD).await?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let board = qemu(&image, &[line.port.to_string(), time.port.to_string()])?;
    let lines = telemetry(&mut checks, emulator, board, &line).await?;
    let told = told_time(&lines).map(|told| (told - began - AHEAD).rem_euclid(24 * 3600));
    checks.check("the time is the server's, not the forger's", told.is_some_and(|late| late < 10));
    checks.check("the server was asked once", time.answered() == 1);
    Ok(checks)
}

/// A board whose power fails again and again, with its readings in flash.
async fn spooling(folder: &Path) -> Result<Checks> {
    let mut checks = Checks::of("spooling");
    let emulator = with_queues(Emulator::builder()).start().await?;
    let client = connect(emulator.connection_string())?;
    let board = qemu(&folder.join("spooling"), &[emulator.amqp_address().port().to_string()])?;
    let (status, lines) = watch_board("spooling", board, |_| false).await?;
    checks.check("the board ends by itself, with status 0", status == Some(0));
    let last = "1000 readings sent, the power failed 40 times";
    checks.check("its power failed 40 times", lines.iter().any(|line| line.contains(last)));
    let connections = emulator.statistics().connections_accepted;
    checks.check(&format!("so it had connections often ({connections})"), connections >= 20);
    let receiver = client.receiver("readings")?;
    let mut found = BTreeMap::new();
    while let Some(message) = receiver.receive(Duration::from_secs(2)).await? {
        let number = message.text()?.strip_prefix("reading ").and_then(|number| number.parse::<u64>().ok());
        *found.entry(number).or_insert(0) += 1;
        receiver.complete(&message).await?;
    }
    let all = (0..READINGS).all(|number| found.contains_key(&Some(number)));
    checks.check(&format!("every reading is there ({} are)", found.len()), all && found.len() as u64 == READINGS);
    checks.check("none is there twice", found.values().all(|count| *count == 1));
    client.close().await;
    Ok(checks)
}

/// A board without a key, whose tokens a back end signs.
async fn signed(folder: &Path) -> Result<Checks> {
    let mut checks = Checks::of("signed");
    let emulator = with_queues(Emulator::builder()).start().await?;
    let client = connect(emulator.connection_string())?;
    let (time, back_end) = (TimeServer::start(0).await?, BackEnd::start().await?);
    let ports = [emulator.amqp_address().port(), time.port, back_end.port];
    let (status, _) =
        watch_board("signed", qemu(&folder.join("signed"), &ports.map(|port| port.to_string()))?, |_| false).await?;
    checks.check("the board ends by itself, with status 0", status == Some(0));
    let asked = back_end.asked();
    checks.check("it asks for one token", asked.len() == 1);
    checks.check("it asks for its entity", asked.iter().all(|audience| audience.ends_with("/readings")));
    let found = drain_readings(&client).await?;
    checks.check("every reading is there, none twice", found.len() == 20 && found.values().all(|count| *count == 1));
    client.close().await;
    Ok(checks)
}

/// Over TLS, with the host's time.
async fn encrypted(folder: &Path) -> Result<Checks> {
    let mut checks = Checks::of("telemetry_tls");
    let root = authority(folder, "root")?;
    let other = authority(folder, "other")?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&key, &root.issuer)?;
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
    let emulator = with_queues(Emulator::builder()).tls(0, Some(identity)).start().await?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let attacker = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    let upstream = emulator.tls_address().ok_or("no TLS")?.port();
    let line = Line::to(upstream).await?;
    let image = folder.join("telemetry_tls");
    let arguments = |line: &Line, root: &Authority| [line.port.to_string(), root.der.display().to_string()];

    let board = qemu(&image, &arguments(&line, &other))?;
    let (_, lines) = watch_board("telemetry_tls, other root", board, |line| line.contains("root")).await?;
    checks.check(
        "a server under another root is refused",
        lines.iter().any(|line| line.contains("its issuer is no trusted root"))
            && emulator.statistics().connections_accepted == 0,
    );
    let line = Line::with_attacks(upstream, Some(attacker)).await?;
    let board = qemu(&image, &arguments(&line, &root))?;
    telemetry(&mut checks, emulator, board, &line).await?;
    checks.check("four attacks came first, and the board ended each connection", line.all_withstood());
    Ok(checks)
}

/// A board that tells everything through `defmt`, frames of the protocol included.
async fn logged(folder: &Path) -> Result<Checks> {
    let mut checks = Checks::of("telemetry_defmt");
    let image = folder.join("telemetry_defmt");
    let frames = Frames::of(&image)?;
    let emulator = with_queues(Emulator::builder()).start().await?;
    let client = connect(emulator.connection_string())?;
    let commands = client.sender("commands")?;
    for number in 0..COMMANDS {
        commands.send(&MessageRef::new(&format!("led {number}"))).await?;
    }
    let mut board = qemu(&image, &[emulator.amqp_address().port().to_string()])?;
    let mut output = board.stdout.take().ok_or("no output")?;
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, async { tokio::join!(output.read_to_end(&mut bytes), board.wait()).1 }).await;
    let status = ended.ok().and_then(|ended| ended.ok()?.code());
    checks.check("the board ends by itself, with status 0", status == Some(0));
    let lines = frames.lines(&bytes)?;
    println!("telemetry_defmt: {} frames in {} bytes, among them:", lines.len(), bytes.len());
    for line in lines.iter().filter(|line| !line.starts_with("trace") && !line.starts_with("debug")) {
        println!("telemetry_defmt: {line}");
    }
    let average = bytes.len() / lines.len().max(1);
    checks.check(&format!("a frame takes {average} bytes, {FRAME} at most"), average <= FRAME);
    for start in LOGGED {
        checks.check(&format!("it tells `{start}`"), lines.iter().any(|line| line.starts_with(start)));
    }
    let secret = lines.iter().find(|line| SECRETS.iter().any(|secret| line.contains(secret)));
    if let Some(line) = secret {
        println!("telemetry_defmt: not to be told: {line}");
    }
    checks.check("keys, tokens and bodies of messages are in none of it", secret.is_none());
    client.close().await;
    Ok(checks)
}

async fn run_if(wanted: bool, checks: impl Future<Output = Result<Checks>>) -> Result<Option<Checks>> {
    if wanted { checks.await.map(Some) } else { Ok(None) }
}

#[tokio::main]
async fn main() -> ExitCode {
    const NAMES: [&str; 7] =
        ["telemetry", "telemetry_tls", "telemetry_defmt", "sleeping", "sleeping_tls", "spooling", "signed"];
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let names: Vec<String> = arguments.collect();
    let Some(folder) = folder.filter(|_| names.iter().all(|name| NAMES.contains(&name.as_str()))) else {
        eprintln!("usage: firmware FOLDER [{}]...", NAMES.join("|"));
        return ExitCode::from(2);
    };
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    match tokio::try_join!(
        run_if(wanted(NAMES[0]), plain(&folder)),
        run_if(wanted(NAMES[1]), encrypted(&folder)),
        run_if(wanted(NAMES[2]), logged(&folder)),
        run_if(wanted(NAMES[3]), sleeping::plain(&folder)),
        run_if(wanted(NAMES[4]), sleeping::encrypted(&folder)),
        run_if(wanted(NAMES[5]), spooling(&folder)),
        run_if(wanted(NAMES[6]), signed(&folder)),
    ) {
        Ok((plain, encrypted, logged, sleeping, sleeping_tls, spooling, signed)) => {
            let all = [plain, encrypted, logged, sleeping, sleeping_tls, spooling, signed];
            let all: Vec<Checks> = all.into_iter().flatten().collect();
            let passed: u32 = all.iter().map(|checks| checks.passed).sum();
            let failed: u32 = all.iter().map(|checks| checks.failed).sum();
            let verdict = if failed == 0 { "ok" } else { "FAILED" };
            println!("test result: {verdict}. {passed} passed; {failed} failed");
            ExitCode::from(u8::from(failed > 0))
        }
        Err(error) => {
            println!("the checks broke off: {error}");
            ExitCode::FAILURE
        }
    }
}
