#![doc = include_str!("../README.md")]
//!
//! The types are those of [`servicebus_core::client`] for this runtime; everything else is in [`servicebus_core`].
//!
//! Sockets and timers are async-io's, which both runtimes stand on, so one type serves both; they differ in who runs
//! the driver. With feature `smol` (default) that is smol's executor, with feature `async-std` it is async-std's; where
//! both are on, whoever connects from a task of async-std's gets that. An executor of one's own, such as a
//! `LocalExecutor`, runs what [`Options::into_parts`] returns; then neither feature is needed.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "administration")]
pub mod administration;
mod network;
#[cfg(any(feature = "async-std", feature = "smol"))]
mod task;

use async_io::Timer;
use futures_lite::io::{AsyncRead, AsyncWrite};
use servicebus_core::driver::{self, NoCredential};
use servicebus_core::machine::Clock;
use servicebus_core::runtime::Runtime;
#[cfg(any(feature = "async-std", feature = "smol"))]
use servicebus_core::servicebus::ConnectionString;
use servicebus_core::storage::Heap;
use servicebus_core::time::Instant;
use servicebus_core::transport::Asked;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

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
#[cfg(any(feature = "async-std", feature = "smol"))]
#[doc(hidden)]
pub use task::Task;

servicebus_core::client_names!(AsyncIo, "servicebus_async_std");

#[doc(hidden)]
/// Opens connections; see [`servicebus_core::transport::Dialer`].
pub type Dialer = servicebus_core::transport::Dialer<Tcp>;

/// The runtime, for code that is generic over it: async-io, beneath smol and async-std.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
/// # let connection_string = emulator.connection_string();
/// # smol::block_on(async {
/// use servicebus_async_std::servicebus_core::client;
/// use servicebus_async_std::servicebus_core::runtime::HeapRuntime;
/// use servicebus_async_std::{AsyncIo, Client, Error};
///
/// /// For this runtime and for the simulations of tests.
/// async fn place<R: HeapRuntime>(client: &client::Client<R>) -> Result<(), Error> {
///     client.sender("orders")?.send("one").await
/// }
///
/// let client: Client = servicebus_async_std::connect(connection_string)?;
/// place::<AsyncIo>(&client).await?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncIo;

/// The start of the monotonic clock.
static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

impl Runtime for AsyncIo {
    type Storage = Heap;
    type Shared = Arc<Mutex<servicebus_core::client::State<Self>>>;

    fn clock(&self) -> Clock {
        let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let utc = Timestamp::from_millis(i64::try_from(utc.as_millis()).unwrap_or(i64::MAX));
        Clock { now: self.now(), utc }
    }

    fn now(&self) -> Instant {
        let elapsed = START.elapsed();
        Instant::from_micros(elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros()))
    }

    async fn sleep_until(&self, at: Instant) {
        // Later than the clock can tell is never.
        let at = START.checked_add(Duration::from_micros(at.as_micros()));
        at.map_or_else(Timer::never, Timer::at).await;
    }
}

servicebus_core::client_options!(Tcp, "servicebus_async_std", #[cfg(any(feature = "async-std", feature = "smol"))] driver_thread: bool);

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
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
    /// # let connection_string = emulator.connection_string();
    /// # smol::block_on(async {
    /// use servicebus_async_std::Options;
    ///
    /// let through_the_vpn = |host: String, port| async move { smol::net::TcpStream::connect((host, port)).await };
    /// let client = Options::new(connection_string)?.with_connector(through_the_vpn).connect();
    /// client.sender("orders")?.send("one").await?;
    /// # Ok(())
    /// # })
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

    /// Runs the driver on a thread of its own instead of a task of the executor: then handlers and other tasks that block
    /// the threads of the executor stop no renewal of a lock, no heartbeat and no settlement. The thread ends with the client.
    /// Where the system gives no thread, the client's calls fail with [`ErrorKind::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
    /// # let connection_string = emulator.connection_string();
    /// # smol::block_on(async {
    /// use servicebus_async_std::Options;
    /// use std::time::Duration;
    ///
    /// let client = Options::new(connection_string)?.with_driver_thread().connect();
    /// client.ready(Duration::from_secs(5)).await?;
    /// // A handler that blocks its thread holds nothing up.
    /// std::thread::sleep(Duration::from_millis(10));
    /// client.close().await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[cfg(any(feature = "async-std", feature = "smol"))]
    #[must_use]
    pub fn with_driver_thread(mut self) -> Self {
        self.driver_thread = true;
        self
    }

    /// Makes the client. Its driver runs on the executor, or on a [thread of its own](Options::with_driver_thread), and
    /// connects when it is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
    /// # let connection_string = emulator.connection_string();
    /// # smol::block_on(async {
    /// use servicebus_async_std::Options;
    /// use std::time::Duration;
    ///
    /// let client = Options::new(connection_string)?.with_idle_timeout(Duration::from_secs(120)).connect();
    /// client.sender("orders")?.send("one").await?;
    /// client.close().await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[cfg(any(feature = "async-std", feature = "smol"))]
    pub fn connect(self) -> Client {
        let spawn = self.spawner();
        let (client, driver) = self.into_parts();
        spawn(Box::pin(driver));
        client
    }

    /// Makes a client whose tokens come from `credential` instead of the connection string, such as Entra ID's; of the
    /// connection string only the endpoint counts. `credential` is asked again before a token ends: a closure that returns
    /// a future, a [`Credential`], or with feature `azure-identity` an `AzureCredential`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn token_of_the_identity_provider() -> Result<(String, u64), std::io::Error> { Ok((String::new(), 0)) }
    /// # fn example() -> Result<(), servicebus_async_std::Error> {
    /// use servicebus_async_std::{Options, Timestamp, Token};
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
    #[cfg(any(feature = "async-std", feature = "smol"))]
    pub fn connect_with_credential(self, credential: impl Credential) -> Client {
        let spawn = self.spawner();
        let (client, driver) = self.into_parts_with_credential(credential);
        spawn(Box::pin(driver));
        client
    }

    /// Starts the driver where the options want it.
    #[cfg(any(feature = "async-std", feature = "smol"))]
    fn spawner(&self) -> fn(Driver) {
        if self.driver_thread { on_a_thread } else { spawn }
    }

    /// The client, and its driver for an executor of one's own: nothing happens unless it is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
    /// # let connection_string = emulator.connection_string();
    /// # smol::block_on(async {
    /// use servicebus_async_std::Options;
    ///
    /// let (client, driver) = Options::new(connection_string)?.into_parts();
    /// let executor = smol::LocalExecutor::new();
    /// let driver = executor.spawn(driver);
    /// executor.run(async { client.sender("orders")?.send("one").await }).await?;
    /// # drop(driver);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn into_parts(self) -> (Client, impl Future<Output = ()> + Send + use<>) {
        let (client, shared, dialer) = self.prepare();
        (client, driver::run(shared, AsyncIo, dialer, NoCredential))
    }

    /// As [`Options::into_parts`], with tokens as for a client that is
    /// [made with a credential](Options::connect_with_credential).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example() -> Result<(), servicebus_async_std::Error> {
    /// use servicebus_async_std::{Options, Timestamp, Token};
    ///
    /// let entra_id = || async { Ok::<_, std::io::Error>(Token::jwt("eyJ0…", Timestamp::from_secs(1_767_225_600))) };
    /// let options = Options::for_namespace("contoso.servicebus.windows.net")?;
    /// let (client, driver) = options.into_parts_with_credential(entra_id);
    /// smol::spawn(driver).detach();
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_parts_with_credential<C: Credential>(
        mut self,
        credential: C,
    ) -> (Client, impl Future<Output = ()> + Send + use<C>) {
        self.settings.external_tokens = true;
        let (client, shared, dialer) = self.prepare();
        (client, driver::run(shared, AsyncIo, dialer, Asked(credential)))
    }

    fn prepare(self) -> (Client, <AsyncIo as Runtime>::Shared, Dialer) {
        let shared = Arc::new(Mutex::new(Client::shared_state(self.settings)));
        (Client::new(&shared, AsyncIo), shared, self.dialer)
    }
}

/// A driver.
#[cfg(any(feature = "async-std", feature = "smol"))]
type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a driver on a thread of its own. Dropped for want of a thread, it ends every call.
#[cfg(any(feature = "async-std", feature = "smol"))]
fn on_a_thread(driver: Driver) {
    let run = move || async_io::block_on(driver);
    let _ = std::thread::Builder::new().name("servicebus".to_owned()).spawn(run);
}

/// Runs a driver in the background: on async-std's executor when it is called from there, else on smol's.
#[cfg(any(feature = "async-std", feature = "smol"))]
fn spawn(driver: Driver) {
    #[cfg(all(feature = "async-std", feature = "smol"))]
    if async_std::task::try_current().is_none() {
        return smol::spawn(driver).detach();
    }
    #[cfg(feature = "async-std")]
    async_std::task::spawn(driver);
    #[cfg(all(feature = "smol", not(feature = "async-std")))]
    smol::spawn(driver).detach();
}

/// Connects to a namespace by its connection string, as [`Options`] with its defaults.
///
/// # Errors
/// A connection string that is not valid; the text names the key.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let emulator = runtime.block_on(servicebus_emulator::Emulator::builder().queue("orders").start())?;
/// # let connection_string = emulator.connection_string();
/// # smol::block_on(async {
/// use std::time::Duration;
///
/// let client = servicebus_async_std::connect(connection_string)?;
/// client.sender("orders")?.send("one").await?;
///
/// let receiver = client.receiver("orders")?;
/// let order = receiver.receive(Duration::from_secs(5)).await?.ok_or("no order")?;
/// assert_eq!(order.text()?, "one");
/// receiver.complete(&order).await?;
/// client.close().await;
/// # Ok(())
/// # })
/// # }
/// ```
#[cfg(any(feature = "async-std", feature = "smol"))]
pub fn connect(connection_string: impl Into<String>) -> Result<Client, Error> {
    let connection_string = connection_string.into();
    ConnectionString::parse(&connection_string).map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
    Ok(Options::new(connection_string)?.connect())
}
