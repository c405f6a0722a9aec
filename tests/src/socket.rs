//! An engine on a blocking socket, for peers that others wrote.

use servicebus_core::engine::{Connection, ConnectionError, Handler};
use servicebus_core::storage::{Buffer, Heap, RxOf, Storage, TxOf};
use servicebus_core::time::{Duration, Instant};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

/// A connection and its socket.
#[expect(missing_debug_implementations, reason = "buffers need not say anything")]
pub struct Socket {
    /// The engine.
    pub connection: Connection<Heap>,
    stream: TcpStream,
    rx: RxOf<Heap>,
    tx: TxOf<Heap>,
    began: std::time::Instant,
}

impl Socket {
    /// Puts an engine on a connected socket, with buffers for frames of up to `max_frame_size` bytes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn new(connection: Connection<Heap>, stream: TcpStream, max_frame_size: u32) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let size = max_frame_size as usize;
        Ok(Self {
            connection,
            stream,
            rx: Heap::rx(size),
            tx: Heap::tx(size.max(65_536)),
            began: std::time::Instant::now(),
        })
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }

    /// Writes all there is to say, waits up to `wait` for the peer, and applies what it said; false at the end.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn turn(&mut self, handler: &mut impl Handler, wait: Duration) -> std::io::Result<bool> {
        let now = self.now();
        while self.connection.poll_transmit(now, &mut self.tx) {
            let written = self.stream.write_all(self.tx.filled());
            self.tx.clear();
            written?;
        }
        if self.connection.is_closed() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        match self.stream.read(self.rx.spare()) {
            Ok(0) => {
                self.connection.handle_disconnect();
                return Ok(false);
            }
            Ok(count) => {
                self.rx.commit(count);
                let now = self.now();
                if let Err(error) = self.connection.handle_input(now, &mut self.rx, handler)
                    && error != ConnectionError::ClosedByPeer
                {
                    eprintln!("{error}");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let now = self.now();
        self.connection.handle_timeout(now);
        Ok(true)
    }
}
