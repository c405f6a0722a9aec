//! The line between board and emulator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Stands between the board and the emulator, and can be taken away.
pub(crate) struct Line {
    pub(crate) port: u16,
    down: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Line {
    pub(crate) async fn to(upstream: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let down = Arc::new(AtomicBool::new(false));
        let (cut, _) = watch::channel(());
        let (is_down, cuts) = (Arc::clone(&down), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut board, _)) = listener.accept().await {
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut board, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, down, cut })
    }

    /// Cuts what is there, and lets nothing new through for a while.
    pub(crate) async fn outage(&self, length: Duration) {
        self.down.store(true, Ordering::Relaxed);
        self.cut.send_replace(());
        sleep(length).await;
        self.down.store(false, Ordering::Relaxed);
    }
}
