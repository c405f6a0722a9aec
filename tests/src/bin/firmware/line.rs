//! The line between board and emulator.

use crate::attack::{self, ATTACKS};
use rustls::ServerConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// Attacks that are to come, each in the place of the server, and those that the board has withstood.
    attacks: Arc<AtomicUsize>,
    withstood: Arc<AtomicUsize>,
}

impl Line {
    pub(crate) async fn to(upstream: u16) -> std::io::Result<Self> {
        Self::with_attacks(upstream, None).await
    }

    /// The first connections are attacks of a server with this certificate.
    pub(crate) async fn with_attacks(upstream: u16, attacker: Option<ServerConfig>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let down = Arc::new(AtomicBool::new(false));
        let (cut, _) = watch::channel(());
        let attacks = Arc::new(AtomicUsize::new(if attacker.is_some() { ATTACKS } else { 0 }));
        let withstood = Arc::new(AtomicUsize::new(0));
        let (is_down, cuts, left, ended) =
            (Arc::clone(&down), cut.clone(), Arc::clone(&attacks), Arc::clone(&withstood));
        tokio::spawn(async move {
            while let Ok((mut board, _)) = listener.accept().await {
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let attack = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                if let (Ok(number), Some(config)) = (attack, attacker.clone()) {
                    let (Ok(board), ended) = (board.into_std(), Arc::clone(&ended)) else { continue };
                    // Without a runtime: what the server sends is decided by what came.
                    std::thread::spawn(move || {
                        if matches!(attack::attack(number - 1, board, config), Ok(true)) {
                            ended.fetch_add(1, Ordering::Relaxed);
                        }
                    });
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
        Ok(Self { port, down, cut, attacks, withstood })
    }

    /// Whether all attacks came, and the board ended each connection.
    pub(crate) fn all_withstood(&self) -> bool {
        self.attacks.load(Ordering::Relaxed) == 0 && self.withstood.load(Ordering::Relaxed) == ATTACKS
    }

    /// Cuts what is there, and lets nothing new through for a while.
    pub(crate) async fn outage(&self, length: Duration) {
        self.down.store(true, Ordering::Relaxed);
        self.cut.send_replace(());
        sleep(length).await;
        self.down.store(false, Ordering::Relaxed);
    }
}
