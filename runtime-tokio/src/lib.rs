#![doc = include_str!("../README.md")]
//!
//! The types are those of [`servicebus_core::client`] for this runtime; everything else is in [`servicebus_core`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "administration")]
pub mod administration;
mod network;
mod task;
#[doc = include_str!("tour.md")]
pub mod tour {}

use servicebus_core::driver::{self, NoCredential};
use servicebus_core::machine::Clock;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::ConnectionString;
use servicebus_core::storage::Heap;
use servicebus_core::time::Instant;
use servicebus_core::transport::Asked;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "administration")]
pub use administration::{
    AdministrationClient, AdministrationError, AdministrationOptions, QueueDescription, RuleDescription, RuleFilter,
    SubscriptionDescription, TopicDescription,
};
#[doc(hidden)]
pub use network::{Half, Other, Plain, Socket, Tcp};
pub use servicebus_core;
#[doc(inline)]
pub use servicebus_core::guide;
#[cfg(feature = "azure-identity")]
pub use servicebus_core::transport::AzureCredential;
#[cfg(feature = "websockets")]
pub use servicebus_core::transport::WebSocketError;
pub use servicebus_core::transport::{Credential, CredentialError, DialError, Tls, TlsError};
#[cfg(feature = "proxy")]
pub use servicebus_core::transport::{Proxy, ProxyError};
#[doc(hidden)]
pub use task::Task;

servicebus_core::client_names!(Tokio, "servicebus_tokio");

#[doc(hidden)]
/// Opens connections; see [`servicebus_core::transport::Dialer`].
pub type Dialer = servicebus_core::transport::Dialer<Tcp>;

/// The runtime, for code that is generic over it.
///
/// # Examples
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = servicebus_emulator::Emulator::builder().queue("orders").start().await?;
/// # let connection_string = emulator.connection_string();
/// use servicebus_tokio::servicebus_core::client;
/// use servicebus_tokio::servicebus_core::runtime::HeapRuntime;
/// use servicebus_tokio::{Client, Error, Tokio};
///
/// /// For this runtime and for the simulations of tests.
/// async fn place<R: HeapRuntime>(client: &client::Client<R>) -> Result<(), Error> {
///     client.sender("orders")?.send("one").await
/// }
///
/// let client: Client = servicebus_tokio::connect(connection_string)?;
/// place::<Tokio>(&client).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

/// The machine's two clocks at one moment.
static MACHINE: LazyLock<(std::time::Instant, SystemTime)> =
    LazyLock::new(|| (std::time::Instant::now(), SystemTime::now()));

/// UTC by tokio's clock: the system's, with all its corrections, unless tokio's clock was paused or advanced. Then UTC
/// stands and moves with tokio's clock, as deadlines do.
fn utc() -> SystemTime {
    let (began, utc) = *MACHINE;
    let before = std::time::Instant::now();
    let now = tokio::time::Instant::now().into_std();
    // Tokio does not report whether its clock is paused. One that runs is read between two readings of the machine's.
    if (before..=std::time::Instant::now()).contains(&now) {
        return SystemTime::now();
    }
    let moved = match now.checked_duration_since(began) {
        Some(since) => utc.checked_add(since),
        None => utc.checked_sub(began.saturating_duration_since(now)),
    };
    moved.unwrap_or(utc)
}

/// The start of the monotonic clock. It is the machine's, whichever runtime reads it first: a runtime whose clock was
/// advanced leaves the clocks of others alone. It lies in the past, since a clock that was paused before stands there.
static START: LazyLock<std::time::Instant> = LazyLock::new(|| {
    let (now, _) = *MACHINE;
    // As far back as the machine's clock goes, up to a day.
    (0..17).find_map(|halved| now.checked_sub(Duration::from_secs(86_400 >> halved))).unwrap_or(now)
});

/// Tokio's clock since the start.
fn elapsed() -> Duration {
    tokio::time::Instant::now().into_std().saturating_duration_since(*START)
}

impl Runtime for Tokio {
    type Storage = Heap;
    type Shared = Arc<Mutex<servicebus_core::client::State<Self>>>;

    fn clock(&self) -> Clock {
        let utc = utc().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let utc = Timestamp::from_millis(i64::try_from(utc.as_millis()).unwrap_or(i64::MAX));
        Clock { now: self.now(), utc }
    }

    fn now(&self) -> Instant {
        let elapsed = elapsed();
        Instant::from_micros(elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros()))
    }

    async fn sleep_until(&self, at: Instant) {
        // A year is as good as for ever, and far below what tokio's clock can tell.
        let since = Duration::from_micros(at.as_micros()).min(elapsed() + Duration::from_secs(31_536_000));
        tokio::time::sleep_until((*START + since).into()).await;
    }
}

servicebus_core::client_options!(Tcp, "servicebus_tokio", driver_thread: bool);

impl Options {
    /// Connects by streams of the program's own instead of TCP, such as those of a SOCKS proxy, a Unix socket or a VPN's
    /// library. `connect` is called with a host and a port whenever a connection is needed, and its future is dropped when
    /// it takes longer than an attempt may.
    ///
    /// TLS goes over the stream as it would over TCP. Where the stream is encrypted already and has proven the host's
    /// name, [`Tls::Stream`] says so.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = servicebus_emulator::Emulator::builder().queue("orders").start().await?;
    /// # let connection_string = emulator.connection_string();
    /// use servicebus_tokio::Options;
    ///
    /// let through_the_vpn = |host: String, port| async move { tokio::net::TcpStream::connect((host, port)).await };
    /// let client = Options::new(connection_string)?.with_connector(through_the_vpn).connect();
    /// client.sender("orders")?.send("one").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_connector<F, T, S>(mut self, connect: F) -> Self
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = std::io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.dialer = self.dialer.with_network(Tcp::by(connect));
        self
    }

    /// Runs the driver on a thread of its own instead of a task of the current runtime: then handlers and other tasks that block
    /// the threads of the executor stop no renewal of a lock, no heartbeat and no settlement. The thread ends with the client.
    /// Where the system gives no thread, the client's calls fail with [`ErrorKind::Closed`].
    ///
    /// The thread has a runtime of its own, with a clock that runs: not for tests that pause tokio's. [`Options::connect`] may
    /// then be called outside of a runtime, and so may the client's calls: what they wait for comes from that thread. Only
    /// `Processor::run` and `SessionProcessor::run` need a runtime of their caller, which they spawn handlers on;
    /// `run_inline` does not.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = servicebus_emulator::Emulator::builder().queue("orders").start().await?;
    /// # let connection_string = emulator.connection_string();
    /// use servicebus_tokio::Options;
    /// use std::time::Duration;
    ///
    /// let client = Options::new(connection_string)?.with_driver_thread().connect();
    /// client.ready(Duration::from_secs(5)).await?;
    /// // A handler that blocks its thread holds nothing up.
    /// std::thread::sleep(Duration::from_millis(10));
    /// client.close().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_driver_thread(mut self) -> Self {
        self.driver_thread = true;
        self
    }

    /// Makes the client. Its driver runs as a task of the current tokio runtime, or on a
    /// [thread of its own](Options::with_driver_thread), and connects when it is needed.
    ///
    /// # Panics
    /// Outside of a tokio runtime, unless the driver has a thread of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = servicebus_emulator::Emulator::builder().queue("orders").start().await?;
    /// # let connection_string = emulator.connection_string();
    /// use servicebus_tokio::Options;
    /// use std::time::Duration;
    ///
    /// let client = Options::new(connection_string)?.with_idle_timeout(Duration::from_secs(120)).connect();
    /// client.sender("orders")?.send("one").await?;
    /// client.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(self) -> Client {
        let spawn = self.spawner();
        let (client, shared, dialer) = self.prepare();
        spawn(Box::pin(driver::run(shared, Tokio, dialer, NoCredential)));
        client
    }

    /// Makes a client whose tokens come from `credential` instead of the connection string, such as Entra ID's; of the
    /// connection string only the endpoint counts. `credential` is asked again before a token ends: a closure that returns
    /// a future, a [`Credential`], or with feature `azure-identity` an `AzureCredential`.
    ///
    /// # Panics
    /// As [`Options::connect`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn token_of_the_identity_provider() -> Result<(String, u64), std::io::Error> { Ok((String::new(), 0)) }
    /// # fn example() -> Result<(), servicebus_tokio::Error> {
    /// use servicebus_tokio::{Options, Timestamp, Token};
    ///
    /// let entra_id = || async {
    ///     let (token, expires_at) = token_of_the_identity_provider().await?;
    ///     Ok::<_, std::io::Error>(Token::jwt(token, Timestamp::from_secs(expires_at as i64)))
    /// };
    /// let client = Options::for_namespace("contoso.servicebus.windows.net")?.connect_with_credential(entra_id);
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_with_credential(mut self, credential: impl Credential) -> Client {
        self.settings.external_tokens = true;
        let spawn = self.spawner();
        let (client, shared, dialer) = self.prepare();
        spawn(Box::pin(driver::run(shared, Tokio, dialer, Asked(credential))));
        client
    }

    /// Starts the driver where the options want it.
    fn spawner(&self) -> fn(Pin<Box<dyn Future<Output = ()> + Send>>) {
        if self.driver_thread { on_a_thread } else { |driver| drop(tokio::spawn(driver)) }
    }

    fn prepare(self) -> (Client, <Tokio as Runtime>::Shared, Dialer) {
        let shared = Arc::new(Mutex::new(Client::shared_state(self.settings)));
        (Client::new(&shared, Tokio), shared, self.dialer)
    }
}

/// Runs a driver on a thread of its own. Dropped for want of a thread or a runtime, it ends every call.
fn on_a_thread(driver: Pin<Box<dyn Future<Output = ()> + Send>>) {
    let run = move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(driver);
        }
    };
    let _ = std::thread::Builder::new().name("servicebus".to_owned()).spawn(run);
}

/// Connects to a namespace by its connection string, as [`Options`] with its defaults.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// # Examples
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = servicebus_emulator::Emulator::builder().queue("orders").start().await?;
/// # let connection_string = emulator.connection_string();
/// use std::time::Duration;
///
/// let client = servicebus_tokio::connect(connection_string)?;
/// client.sender("orders")?.send("one").await?;
///
/// let receiver = client.receiver("orders")?;
/// let order = receiver.receive(Duration::from_secs(5)).await?.ok_or("no order")?;
/// assert_eq!(order.text()?, "one");
/// receiver.complete(&order).await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
pub fn connect(connection_string: impl Into<String>) -> Result<Client, Error> {
    let connection_string = connection_string.into();
    ConnectionString::parse(&connection_string).map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
    Ok(Options::new(connection_string)?.connect())
}
