//! The runtimes under test.

use servicebus_core::client::Client;
use servicebus_core::driver::Token;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::storage::{Heap, Payload as _, Storage};
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_tests::storages::Complete;
use std::future::ready;
use std::pin::Pin;

pub(crate) use crate::embassy::EmbassyFixed;

/// How a client is to connect.
pub(crate) struct Connection {
    pub(crate) connection_string: String,
    pub(crate) retry: RetryPolicy,
    /// The authority that is trusted, in PEM.
    pub(crate) authority: Option<String>,
    /// Where to connect to instead of where the connection string says.
    pub(crate) endpoint: Option<(String, u16)>,
}

impl Connection {
    pub(crate) fn new(connection_string: impl Into<String>, retry: RetryPolicy) -> Self {
        Self { connection_string: connection_string.into(), retry, authority: None, endpoint: None }
    }
}

/// A runtime under test.
pub(crate) trait Adapter: 'static {
    type Storage: Complete + Storage<Payload: Send>;
    type Runtime: Runtime<Storage = Self::Storage>;

    /// How many messages its storage can have under way at once, or more; a multiple of four.
    const AT_ONCE: u32 = 200;

    /// The runtime's clock.
    fn now() -> Instant;

    /// Waits on the runtime's timer.
    fn sleep(duration: Duration) -> impl Future<Output = ()>;

    /// Runs a test on the runtime.
    fn block_on(test: impl Future<Output = ()>);

    /// A client on the runtime.
    fn connect(connection: Connection) -> Client<Self::Runtime>;

    /// A client whose credential answers so.
    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Self::Storage> + Send + 'static,
    ) -> Client<Self::Runtime>;

    /// A client whose credential gives this token, or none.
    fn connect_with_token(connection: Connection, token: Option<String>) -> Client<Self::Runtime> {
        Self::connect_with_credential(connection, move || Box::pin(ready(access::<Self::Storage>(token.as_deref()))))
    }
}

/// The answer of a credential.
pub(crate) type Answer<S> = Pin<Box<dyn Future<Output = std::io::Result<Token<<S as Storage>::Payload>>> + Send>>;

/// A driver, which runs where it is polled.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// An adapter that leaves the driver to the caller.
pub(crate) trait InParts: Adapter {
    /// A client and its driver.
    fn in_parts(connection: Connection) -> (Client<Self::Runtime>, Driver);
}

/// The options of an adapter crate, whose names are the same in each.
macro_rules! options {
    ($adapter:ident, $connection:expr) => {{
        let connection = $connection;
        let mut options = $adapter::Options::new(connection.connection_string)
            .expect("the connection string is valid")
            .with_retry(connection.retry);
        if let Some(authority) = connection.authority {
            options = options.with_tls($adapter::Tls::authorities_from_pem(authority.as_bytes()).expect("it is PEM"));
        }
        if let Some((host, port)) = connection.endpoint {
            options = options.with_endpoint(host, port);
        }
        options
    }};
}

/// The clock of a runtime that needs nothing but its type.
macro_rules! clock {
    () => {
        fn now() -> Instant {
            Self::Runtime::default().now()
        }

        async fn sleep(duration: Duration) {
            Self::Runtime::default().sleep_until(Self::now() + duration).await;
        }
    };
}

/// A token that lasts, or the reason why there is none.
pub(crate) fn access<S: Storage>(token: Option<&str>) -> std::io::Result<Token<S::Payload>> {
    let token = token.ok_or_else(|| std::io::Error::other("nobody is signed in"))?;
    let token = S::Payload::copy_from(token.as_bytes()).map_err(|_| std::io::Error::other("the token is too long"))?;
    Ok(Token::jwt(token, Timestamp::from_secs(4_000_000_000)))
}

/// tokio with threads.
pub(crate) struct TokioThreads;

impl Adapter for TokioThreads {
    type Storage = Heap;
    type Runtime = servicebus_tokio::Tokio;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("tokio starts").block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_tokio, connection).connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        options!(servicebus_tokio, connection).connect_with_credential(credential)
    }
}

/// tokio in one thread.
pub(crate) struct TokioCurrentThread;

impl Adapter for TokioCurrentThread {
    type Storage = Heap;
    type Runtime = servicebus_tokio::Tokio;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("tokio starts").block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_tokio, connection).connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        options!(servicebus_tokio, connection).connect_with_credential(credential)
    }
}

/// tokio, with AMQP over WebSockets.
pub(crate) struct TokioWebSockets;

impl Adapter for TokioWebSockets {
    type Storage = Heap;
    type Runtime = servicebus_tokio::Tokio;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        TokioThreads::block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_tokio, connection).with_websockets().connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        let options = options!(servicebus_tokio, connection).with_websockets();
        options.connect_with_credential(credential)
    }
}

/// smol, with AMQP over WebSockets.
pub(crate) struct SmolWebSockets;

impl Adapter for SmolWebSockets {
    type Storage = Heap;
    type Runtime = servicebus_async_std::AsyncIo;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        smol::block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_async_std, connection).with_websockets().connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        let options = options!(servicebus_async_std, connection).with_websockets();
        options.connect_with_credential(credential)
    }
}

/// smol.
pub(crate) struct Smol;

impl Adapter for Smol {
    type Storage = Heap;
    type Runtime = servicebus_async_std::AsyncIo;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        smol::block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_async_std, connection).connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        options!(servicebus_async_std, connection).connect_with_credential(credential)
    }
}

/// An executor of one's own, on a thread of its own, over async-io.
pub(crate) struct AnyExecutor;

/// Runs a driver on a thread of its own.
fn drive(driver: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(move || smol::future::block_on(driver));
}

impl Adapter for AnyExecutor {
    type Storage = Heap;
    type Runtime = servicebus_async_std::AsyncIo;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        smol::future::block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        let (client, driver) = options!(servicebus_async_std, connection).into_parts();
        drive(driver);
        client
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        let options = options!(servicebus_async_std, connection);
        let (client, driver) = options.into_parts_with_credential(credential);
        drive(driver);
        client
    }
}

/// async-std.
pub(crate) struct AsyncStd;

impl Adapter for AsyncStd {
    type Storage = Heap;
    type Runtime = servicebus_async_std::AsyncIo;

    clock!();

    fn block_on(test: impl Future<Output = ()>) {
        async_std::task::block_on(test);
    }

    fn connect(connection: Connection) -> Client<Self::Runtime> {
        options!(servicebus_async_std, connection).connect()
    }

    fn connect_with_credential(
        connection: Connection,
        credential: impl FnMut() -> Answer<Heap> + Send + 'static,
    ) -> Client<Self::Runtime> {
        options!(servicebus_async_std, connection).connect_with_credential(credential)
    }
}

/// smol and async-std differ in who runs the driver.
macro_rules! in_parts {
    ($($adapter:ident)*) => { $(
        impl InParts for $adapter {
            fn in_parts(connection: Connection) -> (Client<Self::Runtime>, Driver) {
                let (client, driver) = options!(servicebus_async_std, connection).into_parts();
                (client, Box::pin(driver))
            }
        }
    )* };
}

in_parts! { Smol AsyncStd AnyExecutor }
