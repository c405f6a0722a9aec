//! A proxy for TCP that cuts connections, refuses them and falls silent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug)]
struct Mood {
    /// Connections of an earlier number are cut.
    generation: u64,
    reachable: bool,
    silent: bool,
}

/// A proxy on loopback. It lives as long as the tokio runtime that it was started on.
pub(crate) struct Proxy {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    accepted: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy to `target`.
    pub(crate) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mood, observer) = watch::channel(Mood { generation: 0, reachable: true, silent: false });
        let accepted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let _ = client.set_nodelay(true);
                if !observer.borrow().reachable {
                    reset(&client);
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, target, observer.clone()));
            }
        });
        Ok(Self { address, mood, accepted })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were let through so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.mood.send_modify(|mood| mood.generation += 1);
    }

    /// Whether connections are let through. Those that are open stay.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.mood.send_modify(|mood| mood.reachable = reachable);
    }

    /// While set, bytes wait in the proxy.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.mood.send_modify(|mood| mood.silent = silent);
    }
}

/// Makes the end of a connection a reset instead of an orderly one.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn carry(mut client: TcpStream, target: SocketAddr, observer: watch::Receiver<Mood>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = server.set_nodelay(true);
    let generation = observer.borrow().generation;
    let cut = {
        let (client_reader, client_writer) = client.split();
        let (server_reader, server_writer) = server.split();
        let mut cuts = observer.clone();
        tokio::select! {
            ((), ()) = async {
                tokio::join!(
                    copy(client_reader, server_writer, observer.clone()),
                    copy(server_reader, client_writer, observer.clone()),
                )
            } => false,
            _ = cuts.wait_for(|mood| mood.generation != generation) => true,
        }
    };
    if cut {
        reset(&client);
        reset(&server);
    }
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut observer: watch::Receiver<Mood>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        if observer.wait_for(|mood| !mood.silent).await.is_err() {
            return;
        }
        if count == 0 {
            let _ = to.shutdown().await;
            return;
        }
        let Some(bytes) = buffer.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
