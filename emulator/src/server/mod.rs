//! A broker behind sockets: one task for each connection, one lock for the broker, one timer.

mod clock;
mod connection;
mod management;
mod tls;
mod websocket;

use crate::broker::{Broker, ConnectionId};
use core::net::SocketAddr;
use servicebus_core::time::Instant;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

pub use clock::ClockSource;
pub use tls::{Identity, IdentityError};

/// What is served on a listener.
pub(crate) enum Service {
    /// AMQP, as it is or over WebSockets, with TLS where there is an identity.
    Amqp(Option<Identity>),
    /// The management API over HTTP, and over HTTPS on the same port where there is an identity.
    Management(Option<Identity>),
}

/// What tasks share.
pub(crate) struct Host {
    broker: Mutex<Broker>,
    pub(crate) clock: ClockSource,
    /// One for each place of a connection: told when it has something to send.
    wakers: Mutex<Vec<Arc<Notify>>>,
    /// Told when an earlier deadline has come up.
    timer: Notify,
    armed: Mutex<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere does not make the tables unusable for the others.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    pub(crate) fn new(broker: Broker, clock: ClockSource) -> Arc<Self> {
        Arc::new(Self {
            broker: Mutex::new(broker),
            clock,
            wakers: Mutex::new(Vec::new()),
            timer: Notify::new(),
            armed: Mutex::new(None),
            stop: watch::Sender::new(false),
        })
    }

    /// Works on the broker, then wakes those who have something to send, but not `own`.
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

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Runs the broker's timer until the host is stopped.
    pub(crate) async fn run_timer(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        loop {
            let deadline = *lock(&self.armed);
            let sleep = async {
                match deadline {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = self.timer.notified() => continue,
                () = sleep => {}
            }
            *lock(&self.armed) = None;
            let clock = self.clock.now();
            self.with(None, |broker| broker.handle_timeout(clock));
        }
    }

    /// Accepts connections until the host is stopped.
    pub(crate) async fn run_listener(self: Arc<Self>, listener: TcpListener, service: Service) {
        let mut stopped = self.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                // Out of descriptors, most likely: others must end first.
                tokio::time::sleep(core::time::Duration::from_millis(20)).await;
                continue;
            };
            let _ = socket.set_nodelay(true);
            let host = Arc::clone(&self);
            match &service {
                Service::Amqp(None) => drop(tokio::spawn(websocket::serve(host, socket))),
                Service::Amqp(Some(identity)) => drop(tokio::spawn(tls::serve(host, socket, identity.clone()))),
                Service::Management(identity) => drop(tokio::spawn(management::serve(host, socket, identity.clone()))),
            }
        }
    }
}

/// Binds a listener and says where it is.
pub(crate) async fn bind(host: &str, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((host, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
