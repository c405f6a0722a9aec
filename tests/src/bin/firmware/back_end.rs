//! A back end that signs tokens for its boards, which have no key.

use servicebus_core::servicebus::sas;
use servicebus_core::time::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Seconds that a token lives: the board's clock is as slow as its machine is busy.
const LIFE: i64 = 600;

/// Runs until the process ends.
pub(crate) struct BackEnd {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl BackEnd {
    /// Answers each connection's line, an audience, with another one: the token's end and the token.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let audiences = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((board, _)) = listener.accept().await {
                let mut board = BufReader::new(board);
                let mut audience = String::new();
                if board.read_line(&mut audience).await.is_err() {
                    continue;
                }
                let audience = audience.trim_end();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
                let mut answer = format!("{} ", now + LIFE);
                let end = Timestamp::from_secs(now + LIFE);
                // A string has room.
                _ = sas::sign(audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", end, &mut answer);
                audiences.lock().unwrap_or_else(PoisonError::into_inner).push(audience.to_owned());
                _ = board.get_mut().write_all(answer.as_bytes()).await;
                _ = board.get_mut().shutdown().await;
            }
        });
        Ok(Self { port, asked })
    }

    /// The audiences that tokens were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
