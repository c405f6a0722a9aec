//! TLS over a stream, by rustls.

use crate::driver::Transport;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are read from the stream in one call: a record and its overhead.
const READ: usize = 18 << 10;

/// A TLS client over a stream. Its halves share rustls's state; a lock is held for a record, never across a wait.
///
/// # Examples
///
/// ```no_run
/// use servicebus_core::driver::Transport;
/// use servicebus_core::transport::{Tls, TlsStream};
/// use std::io;
///
/// /// TLS over a tunnel that leads to the namespace.
/// async fn encrypted<T: Transport<Error = io::Error>>(tunnel: T) -> Result<TlsStream<T>, Box<dyn std::error::Error>> {
///     let name = "contoso.servicebus.windows.net".try_into()?;
///     Ok(TlsStream::open(tunnel, Tls::default().config()?, name).await?)
/// }
/// ```
pub struct TlsStream<T> {
    stream: T,
    session: Mutex<ClientConnection>,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// Bytes of records that rustls has not taken yet.
struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The error that ended reading, until it is returned.
    failure: Option<io::Error>,
}

/// Records that the stream has not taken yet.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl<T> fmt::Debug for TlsStream<T> {
    /// Without keys and content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

fn lock(session: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    /// Reads more, and gives it to rustls.
    async fn fill(
        &mut self,
        reader: &mut impl Read<Error = io::Error>,
        session: &Mutex<ClientConnection>,
    ) -> io::Result<()> {
        if self.start == self.end {
            let count = reader.read(&mut self.bytes).await?;
            // Not before: a read may be dropped while it waits.
            (self.start, self.end) = (0, count);
        }
        let mut session = lock(session);
        // With nothing in it, rustls learns that the stream has ended.
        let mut bytes = self.bytes.get(self.start..self.end).unwrap_or_default();
        self.start += session.read_tls(&mut bytes)?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(())
    }
}

impl Outgoing {
    /// Takes the records that rustls has ready.
    fn take(&mut self, session: &mut ClientConnection) {
        while session.wants_write() {
            // A vector takes everything.
            let _ = session.write_tls(&mut self.bytes);
        }
    }

    async fn drain(&mut self, writer: &mut impl Write<Error = io::Error>) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match writer.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
        }
        self.bytes.clear();
        self.written = 0;
        Ok(())
    }
}

impl<T: Transport<Error = io::Error>> TlsStream<T> {
    /// Makes the handshake with the server that `name` names.
    ///
    /// # Errors
    /// The stream's, or rustls's as [`io::ErrorKind::InvalidData`], after the alert was sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # use servicebus_core::transport::{Tls, TlsStream};
    /// # world.set_server(servicebus_simulation::Server::Sends(b"220 mail.contoso.com ESMTP\r\n".to_vec()));
    /// # let (stream, company_ca) = (world.connect().await?, servicebus_simulation::EXAMPLE_AUTHORITY);
    /// let config = Tls::authorities_from_pem(company_ca.as_bytes())?.config()?;
    /// // The server speaks another protocol.
    /// let opened = TlsStream::open(stream, config, "contoso.servicebus.windows.net".try_into()?).await;
    /// assert_eq!(opened.err().map(|error| error.kind()), Some(std::io::ErrorKind::InvalidData));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn open(mut stream: T, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let session = Mutex::new(session);
        let mut incoming = Incoming { bytes: vec![0; READ], start: 0, end: 0, failure: None };
        let mut outgoing = Outgoing::default();
        {
            let (mut reader, mut writer) = stream.split();
            let mut result = Ok(());
            loop {
                let handshaking = {
                    let mut session = lock(&session);
                    outgoing.take(&mut session);
                    session.is_handshaking()
                };
                outgoing.drain(&mut writer).await?;
                writer.flush().await?;
                result?;
                if !handshaking {
                    break;
                }
                result = incoming.fill(&mut reader, &session).await;
                if result.is_ok() && incoming.end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(Self { stream, session, incoming, outgoing })
    }
}

impl<T: Transport<Error = io::Error>> Transport for TlsStream<T> {
    type Error = io::Error;
    type Reader<'a>
        = TlsReader<'a, T::Reader<'a>>
    where
        Self: 'a;
    type Writer<'a>
        = TlsWriter<'a, T::Writer<'a>>
    where
        Self: 'a;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        let (reader, writer) = self.stream.split();
        (
            TlsReader { reader, session: &self.session, incoming: &mut self.incoming },
            TlsWriter { writer, session: &self.session, outgoing: &mut self.outgoing },
        )
    }

    /// Sends `close_notify`, and closes the stream.
    async fn close(mut self) -> io::Result<()> {
        {
            let mut session = lock(&self.session);
            session.send_close_notify();
            self.outgoing.take(&mut session);
        }
        let (_, mut writer) = self.stream.split();
        self.outgoing.drain(&mut writer).await?;
        writer.flush().await?;
        drop(writer);
        self.stream.close().await
    }
}

/// The half that decrypts.
pub struct TlsReader<'a, R> {
    reader: R,
    session: &'a Mutex<ClientConnection>,
    incoming: &'a mut Incoming,
}

impl<R> fmt::Debug for TlsReader<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReader").finish_non_exhaustive()
    }
}

impl<R> ErrorType for TlsReader<'_, R> {
    type Error = io::Error;
}

impl<R: Read<Error = io::Error>> Read for TlsReader<'_, R> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match lock(self.session).reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if let Some(failure) = self.incoming.failure.take() {
                return Err(failure);
            }
            // What answers this, such as an update of keys, goes out with the next record (RFC 8446 §4.6.3). What has
            // come before a failure is read before it: it may say why.
            self.incoming.failure = self.incoming.fill(&mut self.reader, self.session).await.err();
        }
    }
}

/// The half that encrypts. A flush sends the written bytes.
pub struct TlsWriter<'a, W> {
    writer: W,
    session: &'a Mutex<ClientConnection>,
    outgoing: &'a mut Outgoing,
}

impl<W> fmt::Debug for TlsWriter<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWriter").finish_non_exhaustive()
    }
}

impl<W> ErrorType for TlsWriter<'_, W> {
    type Error = io::Error;
}

impl<W: Write<Error = io::Error>> Write for TlsWriter<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.drain(&mut self.writer).await?;
        let mut session = lock(self.session);
        // Rustls takes a bounded part, and all records of it leave in one write.
        let count = session.writer().write(bytes)?;
        self.outgoing.take(&mut session);
        Ok(count)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.outgoing.drain(&mut self.writer).await?;
        self.writer.flush().await
    }
}
