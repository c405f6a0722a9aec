//! The runtimes whose clients are driven, with the service that they reach.

use crate::column::Column;
use crate::peer::{Carrier, Peer};
use crate::relay::Relay;
use servicebus_core::client::Client;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::time::Duration;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::server::Identity;
use servicebus_tests::calls::{QUEUE, SESSIONS, SUBSCRIPTION, Spawns, TOPIC};
use servicebus_tests::peers::{self, Pace, Service, Sick};
use std::sync::LazyLock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// More than any service has a reason to send, and little enough that many cells run beside each other.
const PACE: Pace = Pace { burst: 16, every: Duration::from_millis(5), payload: 4_096 };

/// The key of a new emulator.
const KEY: &str = "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE";

/// Where emulators and relays run.
pub(crate) static SERVERS: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio starts")
});

/// One certificate for all emulators.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    Identity::self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate can be made")
});

/// The server that a client meets, and its sickness.
enum Front {
    Relay { relay: Relay, _emulator: Emulator },
    Service { service: Service, sick: &'static Sick, serving: JoinHandle<()> },
    HalfOpen { serving: JoinHandle<()> },
}

/// A service, and the way to it.
pub(crate) struct Site {
    front: Front,
    carrier: Carrier,
    port: u16,
    connection_string: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        match &self.front {
            Front::Service { serving, .. } | Front::HalfOpen { serving } => serving.abort(),
            Front::Relay { .. } => {}
        }
    }
}

impl Site {
    /// Starts it. A half-open server is sick from the start.
    pub(crate) fn start(column: Column) -> Self {
        SERVERS.block_on(async {
            let carrier = column.carrier();
            let (front, port) = match column {
                Column::Relay(peer) => relay(peer).await,
                Column::Service(sick) => {
                    let (listener, port) = listener().await;
                    let service = Service::over_sockets(1);
                    service.set_pace(PACE);
                    let serving = tokio::spawn(peers::serve(listener, service.clone()));
                    (Front::Service { service, sick, serving }, port)
                }
                Column::HalfOpen(half) => {
                    let (listener, port) = listener().await;
                    (Front::HalfOpen { serving: tokio::spawn(peers::serve_script(listener, half.script)) }, port)
                }
            };
            let (host, emulated) = match carrier {
                Carrier::Tcp | Carrier::WebSocket => (format!("127.0.0.1:{port}"), true),
                Carrier::Tls => ("localhost".to_owned(), false),
                // Only the proxy knows the way.
                Carrier::Proxy => ("nowhere.invalid:1234".to_owned(), true),
            };
            let emulated = if emulated { ";UseDevelopmentEmulator=true" } else { "" };
            let connection_string = format!("Endpoint=sb://{host};{KEY}{emulated}");
            Self { front, carrier, port, connection_string }
        })
    }

    /// The peer is sick from now on.
    pub(crate) fn fall_sick(&self) {
        match &self.front {
            Front::Relay { relay, .. } => relay.fall_sick(),
            Front::Service { service, sick, .. } => service.fall_sick(sick),
            Front::HalfOpen { .. } => {}
        }
    }

    /// Whether the misbehaviour was met. A relay that is sick is so with every connection.
    pub(crate) fn was_met(&self) -> bool {
        match &self.front {
            Front::Service { service, .. } => service.hits() > 0,
            Front::Relay { .. } | Front::HalfOpen { .. } => true,
        }
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    (listener, port)
}

/// A relay in front of an emulator.
async fn relay(peer: &'static Peer) -> (Front, u16) {
    let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
    let builder = Emulator::builder().queue(QUEUE).queue_with(SESSIONS, sessions);
    let builder = builder.topic(TOPIC).subscription(SUBSCRIPTION);
    let tls = peer.carrier == Carrier::Tls;
    let builder = if tls { builder.tls(0, Some(IDENTITY.clone())) } else { builder };
    let emulator = builder.start().await.expect("the emulator starts");
    let target = emulator.tls_address().unwrap_or(emulator.amqp_address());
    let relay = Relay::start(peer, target).expect("the relay starts");
    let port = relay.port();
    (Front::Relay { relay, _emulator: emulator }, port)
}

/// A runtime of the matrix.
pub(crate) trait Platform: 'static {
    const NAME: &'static str;

    type Runtime: Spawns + Default;

    /// Runs a cell; its tasks may continue in the background.
    fn block_on<T>(cell: impl Future<Output = T>) -> T;

    /// A client of the site.
    fn connect(site: &Site, retry: RetryPolicy) -> Client<Self::Runtime>;
}

/// The options of an adapter crate, whose names are the same in each.
macro_rules! options {
    ($adapter:ident, $site:expr, $retry:expr) => {{
        let options = $adapter::Options::new($site.connection_string.clone()).expect("the connection string is valid");
        let options = options.with_retry($retry);
        match $site.carrier {
            Carrier::Tcp => options,
            Carrier::Proxy => {
                let url = format!("http://127.0.0.1:{}", $site.port);
                options.with_proxy($adapter::Proxy::new(&url).expect("it is a URL"))
            }
            Carrier::WebSocket => options.with_websockets(),
            Carrier::Tls => {
                let pem = IDENTITY.certificate_pem().expect("it was made here");
                let tls = $adapter::Tls::authorities_from_pem(pem.as_bytes()).expect("it is PEM");
                options.with_tls(tls).with_endpoint("127.0.0.1", $site.port)
            }
        }
    }};
}

/// tokio, in the cell's own thread.
pub(crate) struct Tokio;

impl Platform for Tokio {
    const NAME: &'static str = "tokio";

    type Runtime = servicebus_tokio::Tokio;

    fn block_on<T>(cell: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let output = runtime.block_on(cell);
        runtime.shutdown_background();
        output
    }

    fn connect(site: &Site, retry: RetryPolicy) -> Client<Self::Runtime> {
        options!(servicebus_tokio, site, retry).connect()
    }
}

/// smol, each client's driver in a thread of its own.
pub(crate) struct Smol;

impl Platform for Smol {
    const NAME: &'static str = "smol";

    type Runtime = servicebus_async_std::AsyncIo;

    fn block_on<T>(cell: impl Future<Output = T>) -> T {
        smol::future::block_on(cell)
    }

    fn connect(site: &Site, retry: RetryPolicy) -> Client<Self::Runtime> {
        let (client, driver) = smol_options(site, retry).into_parts();
        std::thread::spawn(move || smol::future::block_on(driver));
        client
    }
}

/// How a client on smol reaches the site.
pub(crate) fn smol_options(site: &Site, retry: RetryPolicy) -> servicebus_async_std::Options {
    options!(servicebus_async_std, site, retry)
}

/// Waits on the platform's timer.
pub(crate) async fn sleep<P: Platform>(duration: Duration) {
    let runtime = P::Runtime::default();
    runtime.sleep_until(runtime.now() + duration).await;
}
