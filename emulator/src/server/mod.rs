//! A broker behind sockets: one task for each connection, one lock for the broker, one timer.
//!
//! # Examples
//! ```
//! # use servicebus_emulator::Emulator;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use servicebus_emulator::server::Identity;
//!
//! let emulator = Emulator::builder()
//!     .tls(0, Some(Identity::self_signed(vec!["localhost".into()])?))
//!     .start()
//!     .await?;
//! assert!(emulator.tls_connection_string().starts_with("Endpoint=sb://localhost:"));
//! # Ok(())
//! # }
//! ```

mod buffers;
mod clock;
mod connection;
mod http;
mod port;
mod stall;
mod tls;
mod websocket;

use crate::broker::budget::Budget;
use crate::broker::{Broker, ConnectionId};
use buffers::Buffers;
use core::fmt;
use core::net::SocketAddr;
use servicebus_core::time::Instant;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

#[doc(hidden)]
pub use clock::ClockSource;
pub(crate) use port::{Peer, Port, serve};
pub use tls::{Identity, IdentityError};

/// How far a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Connections are accepted.
    Running,
    /// Connections end once their answers are written; there are no new ones.
    Draining,
    /// Everything ends now.
    Stopped,
}

/// State that the tasks of a server share.
pub(crate) struct Host {
    broker: Mutex<Broker>,
    pub(crate) clock: ClockSource,
    /// The certificate that every port presents to clients that speak TLS.
    identity: Identity,
    buffers: Buffers,
    budget: Budget,
    /// One for each place of a connection: notified when it has bytes to send.
    wakers: Mutex<Vec<Arc<Notify>>>,
    /// Notified when an earlier deadline has come up.
    timer: Notify,
    armed: Mutex<Option<Instant>>,
    phase: watch::Sender<Phase>,
    /// Transports that are being served.
    serving: watch::Sender<usize>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere does not make the tables unusable for the others.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a transport for as long as it is served.
struct Serving(Arc<Host>);

impl Serving {
    fn new(host: Arc<Host>) -> Self {
        host.serving.send_modify(|count| *count += 1);
        Self(host)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.send_modify(|count| *count -= 1);
    }
}

impl Host {
    pub(crate) fn new(broker: Broker, clock: ClockSource, identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            budget: broker.budget().clone(),
            broker: Mutex::new(broker),
            clock,
            identity,
            buffers: Buffers::default(),
            wakers: Mutex::new(Vec::new()),
            timer: Notify::new(),
            armed: Mutex::new(None),
            phase: watch::Sender::new(Phase::Running),
            serving: watch::Sender::new(0),
        })
    }

    /// Works on the broker, then wakes the connections that have something to send, except `own`.
    pub(crate) fn with<T>(&self, own: Option<ConnectionId>, work: impl FnOnce(&mut Broker) -> T) -> T {
        let mut broker = lock(&self.broker);
        let result = work(&mut broker);
        let mut ready = Vec::new();
        while let Some(id) = broker.poll_ready() {
            if Some(id) != own {
                ready.push(id);
            }
        }
        let deadline = broker.poll_timeout();
        drop(broker);
        if !ready.is_empty() {
            let wakers = lock(&self.wakers);
            for id in ready {
                if let Some(waker) = wakers.get(id.index()) {
                    waker.notify_one();
                }
            }
        }
        let mut armed = lock(&self.armed);
        if deadline.is_some_and(|at| armed.is_none_or(|armed| at < armed)) {
            *armed = deadline;
            self.timer.notify_one();
        }
        result
    }

    fn waker(&self, id: ConnectionId) -> Arc<Notify> {
        let mut wakers = lock(&self.wakers);
        while wakers.len() <= id.index() {
            wakers.push(Arc::new(Notify::new()));
        }
        wakers.get(id.index()).cloned().unwrap_or_default()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Enters a phase; there is no way back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_modify(|current| *current = phase.max(*current));
    }

    /// Completes when the server is in this phase or past it.
    async fn reached(&self, phase: Phase) {
        let mut current = self.phase.subscribe();
        // It cannot be closed: `self` has the sender.
        _ = current.wait_for(|current| *current >= phase).await;
    }

    /// Completes when no transport is served any more.
    pub(crate) async fn drained(&self) {
        let mut serving = self.serving.subscribe();
        _ = serving.wait_for(|count| *count == 0).await;
    }

    /// Runs the broker's timer until the server is stopped.
    pub(crate) async fn run_timer(self: Arc<Self>) {
        loop {
            let deadline = *lock(&self.armed);
            let sleep = async {
                match deadline {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                () = self.reached(Phase::Stopped) => return,
                () = self.timer.notified() => continue,
                () = sleep => {}
            }
            *lock(&self.armed) = None;
            let clock = self.clock.now();
            self.with(None, |broker| broker.handle_timeout(clock));
        }
    }

    /// Accepts connections until the server drains or stops.
    pub(crate) async fn run_listener(self: Arc<Self>, listener: TcpListener, port: Port) {
        loop {
            let accepted = tokio::select! {
                () = self.reached(Phase::Draining) => return,
                accepted = listener.accept() => accepted,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: other connections must end first.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(core::time::Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Without it answers are late, not wrong.
            _ = socket.set_nodelay(true);
            tokio::spawn(serve(Arc::clone(&self), socket, Peer::At(address), port));
        }
    }
}

/// An address that cannot be listened on.
///
/// # Examples
/// ```
/// # use servicebus_emulator::Emulator;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use servicebus_emulator::StartError;
///
/// let first = Emulator::start().await?;
/// match Emulator::builder().admin_port(first.admin_address().port()).start().await {
///     Err(StartError::Bind(error)) => assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:")),
///     other => panic!("the port is taken: {other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BindError {
    address: String,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl core::error::Error for BindError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// An address without the brackets that an IPv6 one may stand in.
pub(crate) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Binds a listener; its address as it was bound.
pub(crate) async fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), BindError> {
    let host = bare_host(host);
    let bound = async {
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|error| {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        BindError { address, error }
    })
}
