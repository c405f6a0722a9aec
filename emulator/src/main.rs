//! Serves an emulated Service Bus namespace.
#![warn(clippy::let_underscore_must_use, clippy::unused_result_ok)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod trimming;

use core::error::Error;
use servicebus_emulator::broker::Tier;
use servicebus_emulator::server::Identity;
use servicebus_emulator::{Emulator, StartError, config};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

const USAGE: &str = "\
Usage: servicebus-emulator [OPTIONS]

Every port takes AMQP, AMQP over WebSockets and the management API, without TLS or with it.

  --config FILE               entities, as a configuration file of Microsoft's emulator; its first namespace is the default
  --namespace NAME            a further namespace, which clients choose by the host NAME.…; may be given again
  --amqp-port PORT            the port of the first connection string (5672; 0 picks one)
  --admin-port PORT           a second one, where tools expect the management API (5300; 0 picks one)
  --tls-port PORT             one that takes TLS alone, as on Azure (0 picks one); may be given again
  --certificate FILE          certificate chain for TLS in PEM; one is made when it is not given
  --key FILE                  its key in PEM
  --write-certificate FILE    writes the certificate that clients have to trust, in PEM
  --tier standard|premium     sizes and limits (standard)
  --cross-entity-transactions lets every transaction span queues and topics, which the service refuses
  --host ADDRESS              where to listen (127.0.0.1)
  --memory SIZE               memory that clients can make it hold, as 512M or 2G (1G)
  --unsigned-tokens accept|refuse
                              JSON web tokens, which cannot be verified (accept on loopback, else refuse)
  --log FILTER                what to log on standard error, as RUST_LOG does: debug, or servicebus_emulator=trace
  -v, -vv                     logs links and requests, and every message
  -q                          logs errors alone
  -V, --version               the version
  -h, --help                  this text
";

#[derive(Default)]
struct Options {
    config: Option<String>,
    namespaces: Vec<String>,
    amqp_port: Option<u16>,
    admin_port: Option<u16>,
    tls_ports: Vec<u16>,
    certificate: Option<String>,
    key: Option<String>,
    write_certificate: Option<String>,
    host: Option<String>,
    memory: Option<usize>,
    tier: Option<Tier>,
    cross_entity_transactions: bool,
    unsigned_tokens: Option<bool>,
    log: Option<String>,
    verbose: u8,
    quiet: bool,
}

/// A size in bytes, or with one of the letters K, M and G.
fn size(text: &str) -> Option<usize> {
    let (number, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 10),
        (at, 'm' | 'M') => (text.get(..at)?, 20),
        (at, 'g' | 'G') => (text.get(..at)?, 30),
        _ => (text, 0),
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// The least memory: with a quarter of it a client gets in and sends a message, with an eighth none does.
const LEAST_MEMORY: usize = 1 << 20;

/// The value of an option that is a port.
fn port(option: &str, parser: &mut lexopt::Parser) -> Result<u16, Box<dyn Error>> {
    use lexopt::ValueExt;
    let text = parser.value()?.string()?;
    text.parse().map_err(|_| format!("{option}: '{text}' is not a port, which is a number up to 65535").into())
}

enum Command {
    Run(Options),
    Print(String),
}

fn command() -> Result<Command, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => options.config = Some(parser.value()?.string()?),
            Long("namespace") => options.namespaces.push(parser.value()?.string()?),
            Long("amqp-port") => options.amqp_port = Some(port("--amqp-port", &mut parser)?),
            Long("admin-port") => options.admin_port = Some(port("--admin-port", &mut parser)?),
            Long("tls-port") => options.tls_ports.push(port("--tls-port", &mut parser)?),
            Long("certificate") => options.certificate = Some(parser.value()?.string()?),
            Long("key") => options.key = Some(parser.value()?.string()?),
            Long("write-certificate") => options.write_certificate = Some(parser.value()?.string()?),
            Long("host") => options.host = Some(parser.value()?.string()?),
            Long("memory") => {
                let text = parser.value()?.string()?;
                let bytes =
                    size(&text).ok_or_else(|| format!("--memory: '{text}' is not a size such as 512M or 2G"))?;
                if bytes < LEAST_MEMORY {
                    return Err(format!("--memory: '{text}' is less than 1M, too little to serve clients").into());
                }
                options.memory = Some(bytes);
            }
            Long("cross-entity-transactions") => options.cross_entity_transactions = true,
            Long("tier") => {
                let tier = parser.value()?.string()?.parse::<Tier>();
                options.tier = Some(tier.map_err(|error| format!("--tier: {error}"))?);
            }
            Long("unsigned-tokens") => {
                options.unsigned_tokens = Some(match parser.value()?.string()?.as_str() {
                    "accept" => true,
                    "refuse" => false,
                    other => return Err(format!("--unsigned-tokens: '{other}' is neither accept nor refuse").into()),
                });
            }
            Long("log") => options.log = Some(parser.value()?.string()?),
            Short('v') => options.verbose = options.verbose.saturating_add(1),
            Short('q') => options.quiet = true,
            Long("version") | Short('V') => {
                return Ok(Command::Print(format!("servicebus-emulator {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Long("help") | Short('h') => return Ok(Command::Print(USAGE.to_owned())),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Run(options))
}

fn read(path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}").into())
}

/// Logs to standard error: `--log`, else `-v` or `-q`, else `RUST_LOG`, else a line for each connection and refusal.
fn log(options: &Options) -> Result<(), Box<dyn Error>> {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let filter = match (&options.log, options.quiet, options.verbose, variable) {
        (Some(filter), ..) => filter.clone(),
        (None, true, ..) => "error".to_owned(),
        (None, false, 0, Some(filter)) => filter,
        (None, false, 0, None) => "warn,servicebus_emulator=info".to_owned(),
        (None, false, 1, _) => "warn,servicebus_emulator=debug".to_owned(),
        (None, false, ..) => "warn,servicebus_emulator=trace".to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| format!("the log filter '{filter}': {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// Completes when the process is asked to end. As process 1 of a container it would get no signal without a handler.
#[cfg(unix)]
fn ended() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(not(unix))]
fn ended() -> std::io::Result<impl Future<Output = &'static str>> {
    Ok(async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // Without a handler the process runs until it is killed.
            Err(_) => core::future::pending().await,
        }
    })
}

/// The lines that are printed when it is ready.
fn ready(emulator: &Emulator, written: Option<&str>) -> String {
    let mut lines = format!("ready amqp={}", emulator.amqp_address());
    for address in emulator.tls_addresses() {
        lines.push_str(&format!(" tls={address}"));
    }
    lines.push_str(&format!(" admin={}\n", emulator.admin_address()));
    lines.push_str(&format!("{}\n{}\n", emulator.connection_string(), emulator.admin_connection_string()));
    let certificate = match written {
        Some(file) => format!("trust {file}"),
        None => "--write-certificate FILE writes the certificate to trust".to_owned(),
    };
    lines.push_str(&format!(
        "# Paste the first string for messages and administration alike. The second has the port where tools expect\n\
         # administration, and takes messages as well. Over TLS, as on Azure ({certificate}):\n# {}\n",
        emulator.tls_connection_string()
    ));
    for name in emulator.namespaces() {
        let string = emulator.connection_string_of(name).unwrap_or_default();
        lines.push_str(&format!("# Namespace {name}, where its host can be resolved:\n# {string}\n"));
    }
    lines
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder =
        Emulator::builder().amqp_port(options.amqp_port.unwrap_or(5672)).admin_port(options.admin_port.unwrap_or(5300));
    if let Some(host) = &options.host {
        builder = builder.host(host);
    }
    if let Some(bytes) = options.memory {
        builder = builder.memory(bytes);
    }
    if let Some(tier) = options.tier {
        builder = builder.tier(tier);
    }
    if options.cross_entity_transactions {
        builder = builder.cross_entity_transactions(true);
    }
    if let Some(accepted) = options.unsigned_tokens {
        builder = builder.unsigned_tokens(accepted);
    }
    if let Some(path) = &options.config {
        let text = String::from_utf8(read(path)?).map_err(|_| format!("{path}: not UTF-8"))?;
        let mut blueprints = config::parse(&text).map_err(|error| format!("{path}: {error}"))?;
        for blueprint in &mut blueprints {
            blueprint.tier = blueprint.tier.or(options.tier);
            blueprint.cross_entity_transactions |= options.cross_entity_transactions;
        }
        builder = builder.configuration(blueprints);
    }
    for name in &options.namespaces {
        builder = builder.namespace(name);
        if let Some(tier) = options.tier {
            builder = builder.tier(tier);
        }
        if options.cross_entity_transactions {
            builder = builder.cross_entity_transactions(true);
        }
    }
    for port in &options.tls_ports {
        builder = builder.tls(*port, None);
    }
    let mut given = None;
    match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let (chain, secret) = (read(certificate)?, read(key)?);
            let identity = Identity::from_pem(&chain, &secret);
            builder = builder.identity(identity.map_err(|error| format!("{certificate}, {key}: {error}"))?);
            given = Some(chain);
        }
        (None, None) => {}
        _ => return Err("--certificate and --key go together".into()),
    }
    let ended = ended()?;
    let emulator = builder.start().await.map_err(|error| match (error, &options.config) {
        // The names in the file were checked with their places.
        (StartError::NamespaceName(error), _) => format!("--namespace: {error}").into(),
        // What the file asks for and the broker refuses.
        (StartError::Entity(error), Some(path)) => format!("{path}: {error}").into(),
        (error, _) => Box::<dyn Error>::from(error),
    })?;
    if let Some(path) = &options.write_certificate {
        let made = emulator.certificate_pem().unwrap_or_default().as_bytes();
        std::fs::write(path, given.as_deref().unwrap_or(made)).map_err(|error| format!("{path}: {error}"))?;
    }
    if !emulator.amqp_address().ip().is_loopback() {
        tracing::warn!(
            address = %emulator.amqp_address(),
            "not on loopback: every machine that reaches this one may use the emulator, whose key is public"
        );
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let budget = emulator.with_broker(|broker, _| broker.budget().clone());
        tokio::spawn(trimming::run(move || budget.used()));
    }
    let certificate = options.write_certificate.as_deref().or(options.certificate.as_deref());
    // In one piece: a reader of the first line alone may be gone before the second.
    std::io::stdout().write_all(ready(&emulator, certificate).as_bytes())?;
    let signal = ended.await;
    let open = emulator.close().await;
    tracing::info!(signal, %open, "stopped");
    Ok(())
}

fn main() -> ExitCode {
    let result = match command() {
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => log(&options).and_then(|()| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(run(options))
        }),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("servicebus-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}
