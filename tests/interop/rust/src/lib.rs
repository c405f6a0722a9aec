//! The emulator in a process of its own, for one test.

use azservicebus::primitives::service_bus_retry_options::ServiceBusRetryOptions;
use azservicebus::{ServiceBusClient, ServiceBusClientOptions, ServiceBusRetryMode};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// The client's own.
pub type Client = ServiceBusClient<azservicebus::core::BasicRetryPolicy>;

/// How long anything that happens at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An emulator that ends with the test.
pub struct Emulator {
    process: Child,
    host: Ipv4Addr,
}

impl Emulator {
    /// Starts one. The client knows no other port than AMQP's own: each test has an address of loopback for itself.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        static HOSTS: AtomicU8 = AtomicU8::new(1);
        let host = Ipv4Addr::new(127, 83, 66, HOSTS.fetch_add(1, Ordering::Relaxed));
        let program = std::env::var("SERVICEBUS_EMULATOR").expect("SERVICEBUS_EMULATOR names the emulator");
        let namespace = concat!(env!("CARGO_MANIFEST_DIR"), "/../namespace.json");
        let mut process = Command::new(program)
            .args([
                "-q",
                "--host",
                &host.to_string(),
                "--amqp-port",
                "5672",
                "--admin-port",
                "0",
                "--config",
                namespace,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("it tells that it is ready");
        assert!(line.starts_with("ready "), "{line}");
        Self { process, host }
    }

    /// A client with every right.
    ///
    /// # Panics
    /// When there is no connection.
    pub async fn client(&self) -> Client {
        let text = format!(
            "Endpoint=sb://{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE",
            self.host
        );
        let retry_options = ServiceBusRetryOptions {
            max_retries: 3,
            delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(1),
            try_timeout: PATIENCE,
            mode: ServiceBusRetryMode::Fixed,
        };
        let options = ServiceBusClientOptions { retry_options, ..Default::default() };
        Client::unsecured().new_from_connection_string(text, options).await.expect("the client connects")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
