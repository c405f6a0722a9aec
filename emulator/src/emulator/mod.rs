//! An emulator in this process: a broker, its sockets on loopback, and a handle that stops it when dropped.

mod builder;
mod start_error;

pub use builder::EmulatorBuilder;
pub use start_error::StartError;

use crate::broker::entities::{AuthorizationRule, Namespace};
use crate::broker::{Broker, Clock, OpenCounts, Statistics};
use crate::server::{Host, Peer, Phase, Port, bare_host, serve};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A running emulator; it stops when it is dropped.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use servicebus_emulator::Emulator;
/// use std::time::Duration;
///
/// let emulator = Emulator::builder().queue("orders").start().await?;
/// let client = servicebus_tokio::connect(emulator.connection_string())?;
/// client.sender("orders")?.send("two of the blue ones").await?;
///
/// let orders = client.receiver("orders")?;
/// if let Some(order) = orders.receive(Duration::from_secs(10)).await? {
///     orders.complete(&order).await?;
/// }
/// emulator.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Emulator {
    host: Arc<Host>,
    /// The host as it was given.
    name: String,
    amqp: SocketAddr,
    admin: SocketAddr,
    tls: Vec<SocketAddr>,
    key: Option<AuthorizationRule>,
    /// The further namespaces, each with its first key.
    others: Vec<(String, Option<AuthorizationRule>)>,
}

/// The host by which clients name a namespace of an emulator at this host. An address has no names below it.
fn host_within(namespace: &str, host: &str) -> String {
    if host.parse::<IpAddr>().is_ok() { format!("{namespace}.localhost") } else { format!("{namespace}.{host}") }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.host.enter(Phase::Stopped);
    }
}

/// A client that does not answer the end of its connection is cut off after this time.
const DRAIN: Duration = Duration::from_secs(1);

impl Emulator {
    /// An emulator to be started.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// An emulator without entities. Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// emulator.with_broker(|broker, clock| {
    ///     broker.with_namespace(clock, |namespace| {
    ///         namespace.create_queue("orders", Default::default(), clock.utc)
    ///     })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Closes every connection as the service does, once requests under way are answered, and stops. What was open when
    /// it was called.
    ///
    /// Needs a tokio runtime with time, as [`EmulatorBuilder::start`] does: a program on another runtime keeps the tokio
    /// runtime that it started the emulator on, and calls `runtime.block_on(emulator.close())`, or drops the emulator.
    ///
    /// Cancel safety: a dropped future stops the emulator at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let open = emulator.close().await;
    /// assert_eq!((open.connections, open.locked_messages), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self) -> OpenCounts {
        let open = self.host.with(None, |broker| broker.open());
        self.host.enter(Phase::Draining);
        self.drop_connections();
        // Clients that do not read are cut off by the drop of `self`.
        _ = tokio::time::timeout(DRAIN, self.host.drained()).await;
        open
    }

    /// Serves a stream as a port serves a socket: AMQP, WebSockets or HTTP, each with TLS or without. For simulated
    /// networks and in-memory pipes such as `tokio::io::duplex`. The future completes when the stream or the emulator ends.
    ///
    /// Cancel safety: a dropped future ends the connection.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let emulator = Emulator::start().await?;
    /// let (mut ours, theirs) = tokio::io::duplex(65_536);
    /// tokio::spawn(emulator.serve(theirs));
    ///
    /// ours.write_all(b"AMQP\x03\x01\x00\x00").await?;
    /// let mut header = [0; 8];
    /// ours.read_exact(&mut header).await?;
    /// assert_eq!(&header, b"AMQP\x03\x01\x00\x00");
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        serve(Arc::clone(&self.host), stream, Peer::InProcess, Port::Any)
    }

    /// The address for messages and administration.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let socket = tokio::net::TcpStream::connect(emulator.amqp_address()).await?;
    /// # drop(socket);
    /// # Ok(())
    /// # }
    /// ```
    pub fn amqp_address(&self) -> SocketAddr {
        self.amqp
    }

    /// The first address that takes TLS alone, if there is one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().tls(0, None).start().await?;
    /// assert_eq!(emulator.tls_address().as_ref(), emulator.tls_addresses().first());
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.first().copied()
    }

    /// The addresses that take TLS alone.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().tls(0, None).tls(0, None).start().await?;
    /// assert_eq!(emulator.tls_addresses().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// The certificate that clients have to trust when they speak TLS, unless an [`Identity`] was given.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let pem = emulator.certificate_pem().unwrap_or_default();
    /// assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn certificate_pem(&self) -> Option<&str> {
        self.host.identity().certificate_pem()
    }

    /// The second address for messages and administration.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// assert_eq!(emulator.admin_address().ip(), emulator.amqp_address().ip());
    /// # Ok(())
    /// # }
    /// ```
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A connection string for messages and administration.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let client = servicebus_tokio::connect(emulator.connection_string())?;
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connection_string(&self) -> String {
        self.connection_string_to(self.amqp, "UseDevelopmentEmulator=true;")
    }

    /// A connection string with the second port, for programs that have a port for administration.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let port = format!(":{};", emulator.admin_address().port());
    /// assert!(emulator.admin_connection_string().contains(&port));
    /// # Ok(())
    /// # }
    /// ```
    pub fn admin_connection_string(&self) -> String {
        self.connection_string_to(self.admin, "UseDevelopmentEmulator=true;")
    }

    /// A connection string for messages and administration over TLS, as on Azure: to the first port that takes TLS alone,
    /// or to the port for everything.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().tls(0, None).start().await?;
    /// assert!(!emulator.tls_connection_string().contains("UseDevelopmentEmulator"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls_connection_string(&self) -> String {
        self.connection_string_to(self.tls_address().unwrap_or(self.amqp), "")
    }

    /// The host to connect to, with the port of this address.
    fn host_of(&self, address: SocketAddr) -> String {
        let port = address.port();
        match address.ip() {
            // A name that was given leads here.
            _ if bare_host(&self.name).parse::<IpAddr>().is_err() => format!("{}:{port}", self.name),
            ip if ip.is_unspecified() || ip == IpAddr::from([127, 0, 0, 1]) => format!("localhost:{port}"),
            _ => address.to_string(),
        }
    }

    fn connection_string_to(&self, address: SocketAddr, development: &str) -> String {
        connection_string(&self.host_of(address), self.key.as_ref(), development)
    }

    /// The further namespaces, in the order in which they were added.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().namespace("archive").namespace("audit").start().await?;
    /// assert_eq!(emulator.namespaces().collect::<Vec<_>>(), ["archive", "audit"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(|(name, _)| name.as_str())
    }

    /// A connection string for messages and administration in a further namespace; `None` when there is none of this
    /// name. It names the host `NAME.localhost`, or `NAME` below the host that the emulator was given: clients must be
    /// able to resolve that.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().namespace("archive").start().await?;
    /// let archive = emulator.connection_string_of("archive").unwrap_or_default();
    /// assert!(archive.starts_with("Endpoint=sb://archive.localhost:"));
    /// assert_eq!(emulator.connection_string_of("audit"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connection_string_of(&self, namespace: &str) -> Option<String> {
        let (name, key) = self.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(namespace))?;
        let host = format!("{}:{}", host_within(name, bare_host(&self.name)), self.amqp.port());
        Some(connection_string(&host, key.as_ref(), "UseDevelopmentEmulator=true;"))
    }

    /// Removes every message from every entity, in all namespaces.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let client = servicebus_tokio::connect(emulator.connection_string())?;
    /// client.sender("orders")?.send("two of the blue ones").await?;
    /// emulator.purge();
    /// assert!(client.receiver("orders")?.peeker().peek(1).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn purge(&self) {
        self.in_all_namespaces(Namespace::purge);
    }

    /// Deletes every entity, in all namespaces.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// emulator.clear();
    /// assert!(!emulator.with_broker(|broker, _| broker.namespace().exists("orders")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear(&self) {
        self.in_all_namespaces(Namespace::clear);
    }

    fn in_all_namespaces(&self, work: impl Fn(&mut Namespace)) {
        self.with_broker(|broker, clock| {
            for id in broker.namespace_ids() {
                broker.with_namespace_of(id, clock, &work);
            }
        });
    }

    /// What was counted.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let client = servicebus_tokio::connect(emulator.connection_string())?;
    /// let orders = client.sender("orders")?;
    /// orders.send("two of the blue ones").await?;
    /// orders.send("one red").await?;
    /// let counted = emulator.statistics();
    /// assert_eq!((counted.connections_accepted, counted.messages_sent), (1, 2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.host.with(None, |broker| broker.statistics())
    }

    /// The time as the emulator has it.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_core::time::Timestamp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().virtual_clock(Timestamp::from_secs(1_795_000_000)).start().await?;
    /// assert_eq!(emulator.clock().utc, Timestamp::from_secs(1_795_000_000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(&self) -> Clock {
        self.host.clock.now()
    }

    /// Moves a virtual clock, and carries out what becomes due, before this returns.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_core::time::{Duration, Timestamp};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().virtual_clock(Timestamp::from_secs(1_795_000_000)).start().await?;
    /// emulator.advance(Duration::from_secs(86_400));
    /// assert_eq!(emulator.clock().utc, Timestamp::from_secs(1_795_086_400));
    /// # Ok(())
    /// # }
    /// ```
    pub fn advance(&self, by: Duration) {
        self.host.clock.advance(by);
        let clock = self.host.clock.now();
        self.host.with(None, |broker| broker.handle_timeout(clock));
    }

    /// Works on the broker itself: entities, faults, counts. What follows for connections is sent afterwards.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// emulator.with_broker(|broker, clock| {
    ///     broker.with_namespace(clock, |namespace| {
    ///         namespace.create_queue("invoices", Default::default(), clock.utc)
    ///     })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_broker<T>(&self, work: impl FnOnce(&mut Broker, Clock) -> T) -> T {
        let clock = self.host.clock.now();
        self.host.with(None, |broker| work(broker, clock))
    }

    /// The next `operations` sends and management requests are answered with server-busy.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_tokio::{ErrorKind, Options, RetryPolicy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let options = Options::new(emulator.connection_string())?.with_retry(RetryPolicy::none());
    /// let orders = options.connect().sender("orders")?;
    /// emulator.throttle(1);
    /// let refused = orders.send("two of the blue ones").await.map_err(|error| error.kind());
    /// assert_eq!(refused, Err(ErrorKind::Throttled));
    /// # Ok(())
    /// # }
    /// ```
    pub fn throttle(&self, operations: u64) {
        self.with_broker(|broker, _| broker.throttle(operations));
    }

    /// Detaches every link of an entity, as the service does when it moves one.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let client = servicebus_tokio::connect(emulator.connection_string())?;
    /// let orders = client.sender("orders")?;
    /// orders.send("two of the blue ones").await?;
    /// emulator.force_detach("orders");
    /// orders.send("one red").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn force_detach(&self, path: &str) {
        self.with_broker(|broker, clock| broker.force_detach(path, clock));
    }

    /// Closes every connection.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().queue("orders").start().await?;
    /// let client = servicebus_tokio::connect(emulator.connection_string())?;
    /// let orders = client.sender("orders")?;
    /// orders.send("two of the blue ones").await?;
    /// emulator.drop_connections();
    /// orders.send("one red").await?;
    /// assert_eq!(emulator.statistics().connections_accepted, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_connections(&self) {
        self.with_broker(|broker, clock| {
            for id in broker.connections() {
                broker.close_connection(id, clock);
            }
        });
    }
}

fn connection_string(host: &str, key: Option<&AuthorizationRule>, development: &str) -> String {
    let (name, key) = key.map_or(("", ""), |rule| (rule.key_name.as_str(), rule.primary_key.as_str()));
    format!("Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey={key};{development}")
}
