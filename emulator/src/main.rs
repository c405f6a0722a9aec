//! Serves an emulated Service Bus namespace.

use core::error::Error;
use servicebus_emulator::broker::Tier;
use servicebus_emulator::server::Identity;
use servicebus_emulator::{Emulator, config};
use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: servicebus-emulator [OPTIONS]

  --config FILE        entities, as a configuration file of Microsoft's emulator
  --amqp-port PORT     plain AMQP, as it is or over WebSockets (5672; 0 picks one)
  --admin-port PORT    the management API (5300; 0 picks one)
  --tls-port PORT      AMQP over TLS as well (0 picks one); the management API then takes HTTPS too
  --certificate FILE   certificate chain for TLS in PEM; one is made when it is not given
  --key FILE           its key in PEM
  --tier TIER          standard or premium (standard): sizes and limits
  --host ADDRESS       where to listen (127.0.0.1)
  --memory SIZE        memory that clients can make it hold, as 512M or 2G (1G)
  --help               this text
";

struct Options {
    config: Option<String>,
    amqp_port: u16,
    admin_port: u16,
    tls_port: Option<u16>,
    certificate: Option<String>,
    key: Option<String>,
    host: Option<String>,
    memory: Option<usize>,
    tier: Option<Tier>,
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

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut options = Options {
        config: None,
        amqp_port: 5672,
        admin_port: 5300,
        tls_port: None,
        certificate: None,
        key: None,
        host: None,
        memory: None,
        tier: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => options.config = Some(parser.value()?.string()?),
            Long("amqp-port") => options.amqp_port = parser.value()?.parse()?,
            Long("admin-port") => options.admin_port = parser.value()?.parse()?,
            Long("tls-port") => options.tls_port = Some(parser.value()?.parse()?),
            Long("certificate") => options.certificate = Some(parser.value()?.string()?),
            Long("key") => options.key = Some(parser.value()?.string()?),
            Long("host") => options.host = Some(parser.value()?.string()?),
            Long("memory") => {
                let text = parser.value()?.string()?;
                let bytes =
                    size(&text).ok_or_else(|| format!("--memory: '{text}' is not a size such as 512M or 2G"))?;
                options.memory = Some(bytes);
            }
            Long("tier") => options.tier = Some(parser.value()?.parse()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn read(path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}").into())
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder = Emulator::builder().amqp_port(options.amqp_port).admin_port(options.admin_port);
    if let Some(host) = &options.host {
        builder = builder.host(host);
    }
    if let Some(bytes) = options.memory {
        builder = builder.memory(bytes);
    }
    if let Some(path) = &options.config {
        let text = String::from_utf8(read(path)?).map_err(|_| format!("{path}: not UTF-8"))?;
        builder = builder.blueprint(config::parse(&text).map_err(|error| format!("{path}: {error}"))?);
    }
    if let Some(tier) = options.tier {
        builder = builder.tier(tier);
    }
    if let Some(port) = options.tls_port {
        let identity = match (&options.certificate, &options.key) {
            (Some(certificate), Some(key)) => Some(Identity::from_pem(&read(certificate)?, &read(key)?)?),
            (None, None) => None,
            _ => return Err("--certificate and --key go together".into()),
        };
        builder = builder.tls(port, identity);
    }
    let emulator = builder.start().await?;
    let mut ready = format!("ready amqp={}", emulator.amqp_address());
    if let Some(address) = emulator.tls_address() {
        ready.push_str(&format!(" tls={address}"));
    }
    ready.push_str(&format!(" admin={}", emulator.admin_address()));
    // In one piece: whoever reads the first line alone may be gone before the second.
    let told = format!("{ready}\n{}\n", emulator.connection_string());
    std::io::stdout().write_all(told.as_bytes())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn main() -> ExitCode {
    let result = match options() {
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(options)) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(run(options))),
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
