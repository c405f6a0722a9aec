//! The runtimes whose clients are driven, with the service that they reach.

use crate::peer::{Carrier, Peer};
use crate::relay::Relay;
use servicebus_core::client::Client;
use servicebus_core::runtime::Runtime;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_emulator::server::Identity;
use servicebus_tests::calls::{QUEUE, SESSIONS, SUBSCRIPTION, TOPIC};
use std::sync::LazyLock;

/// Where emulators and relays run.
pub(crate) static SERVERS: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio starts")
});

/// One certificate for all emulators.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    Identity::self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate can be made")
});

/// A service, and the peer in front of it.
pub(crate) struct Site {
    pub(crate) relay: Relay,
    carrier: Carrier,
    connection_string: String,
    /// It lives as long as the site.
    _emulator: Emulator,
}

impl Site {
    /// Starts both.
    pub(crate) fn start(peer: &'static Peer) -> Self {
        SERVERS.block_on(async {
            let sessions = QueueDescription { requires_session: true, ..QueueDescription::default() };
            let builder = Emulator::builder().queue(QUEUE).queue_with(SESSIONS, sessions);
            let builder = builder.topic(TOPIC).subscription(SUBSCRIPTION);
            let tls = peer.carrier == Carrier::Tls;
            let builder = if tls { builder.tls(0, Some(IDENTITY.clone())) } else { builder };
            let emulator = builder.start().await.expect("the emulator starts");
            let direct = emulator.amqp_address();
            let target = emulator.tls_address().unwrap_or(direct);
            let relay = Relay::start(peer, target).expect("the relay starts");
            let local = format!("localhost:{}", direct.port());
            let text = emulator.connection_string();
            let connection_string = match peer.carrier {
                Carrier::Tcp | Carrier::WebSocket => text.replace(&local, &format!("127.0.0.1:{}", relay.port())),
                Carrier::Tls => text.replace(&local, "localhost").replace(";UseDevelopmentEmulator=true", ""),
                // Only the proxy knows the way.
                Carrier::Proxy => text.replace(&local, "nowhere.invalid:1234"),
            };
            Self { relay, carrier: peer.carrier, connection_string, _emulator: emulator }
        })
    }
}

/// A runtime of the matrix.
pub(crate) trait Platform: 'static {
    const NAME: &'static str;

    type Runtime: Runtime<Storage = Heap> + Default;

    /// Whether its clients can go this way.
    fn offers(carrier: Carrier) -> bool;

    /// Runs a cell; what it has spawned may go on in the background.
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
            Carrier::Tcp | Carrier::Proxy => options,
            Carrier::WebSocket => options.with_websockets(),
            Carrier::Tls => {
                let pem = IDENTITY.certificate_pem().expect("it was made here");
                let tls = $adapter::Tls::authorities_from_pem(pem.as_bytes()).expect("it is PEM");
                options.with_tls(tls).with_endpoint("127.0.0.1", $site.relay.port())
            }
        }
    }};
}

/// tokio, in the cell's own thread.
pub(crate) struct Tokio;

impl Platform for Tokio {
    const NAME: &'static str = "tokio";

    type Runtime = servicebus_tokio::Tokio;

    fn offers(_: Carrier) -> bool {
        true
    }

    fn block_on<T>(cell: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let output = runtime.block_on(cell);
        runtime.shutdown_background();
        output
    }

    fn connect(site: &Site, retry: RetryPolicy) -> Client<Self::Runtime> {
        let mut options = options!(servicebus_tokio, site, retry);
        if site.carrier == Carrier::Proxy {
            let url = format!("http://127.0.0.1:{}", site.relay.port());
            options = options.with_proxy(servicebus_tokio::Proxy::new(&url).expect("it is a URL"));
        }
        options.connect()
    }
}

/// smol, each client's driver in a thread of its own.
pub(crate) struct Smol;

impl Platform for Smol {
    const NAME: &'static str = "smol";

    type Runtime = servicebus_async_std::AsyncIo;

    fn offers(carrier: Carrier) -> bool {
        carrier != Carrier::Proxy
    }

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
