//! A time server on the loopback (SNTP, RFC 4330), with a forger in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::UdpSocket;

/// Seconds from 1900 to 1970.
const TO_1970: i64 = 2_208_988_800;
/// What the forger says: 2000-01-01.
const FORGED: i64 = 946_684_800;

/// Runs until the process ends.
pub(crate) struct TimeServer {
    pub(crate) port: u16,
    answered: Arc<AtomicU32>,
}

impl TimeServer {
    /// Tells the time that it is `ahead` seconds from now.
    pub(crate) async fn start(ahead: i64) -> std::io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let port = socket.local_addr()?.port();
        let answered = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&answered);
        tokio::spawn(async move {
            let mut request = [0; 128];
            while let Ok((length, from)) = socket.recv_from(&mut request).await {
                // Version 4, from a client.
                if length != 48 || request[0] & 0b00_111_111 != 0b00_100_011 {
                    continue;
                }
                let mut nonce = [0; 8];
                nonce.copy_from_slice(&request[40..48]);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
                // The forger is faster, and has not seen the request.
                let _ = socket.send_to(&answer([0; 8], FORGED), from).await;
                let _ = socket.send_to(&answer(nonce, now + ahead), from).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { port, answered })
    }

    /// How many requests were answered.
    pub(crate) fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn answer(origin: [u8; 8], utc: i64) -> [u8; 48] {
    let time = ((utc + TO_1970) as u64) << 32;
    let mut packet = [0; 48];
    // No leap second, version 4, from a server that has it from a radio (stratum 1).
    packet[..4].copy_from_slice(&[0b00_100_100, 1, 6, 0xec]);
    packet[12..16].copy_from_slice(b"DCF\0");
    packet[16..24].copy_from_slice(&time.to_be_bytes());
    packet[24..32].copy_from_slice(&origin);
    packet[32..40].copy_from_slice(&time.to_be_bytes());
    packet[40..48].copy_from_slice(&time.to_be_bytes());
    packet
}
