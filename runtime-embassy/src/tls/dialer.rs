//! Dials with TLS.

use super::{Algorithms, HandshakeError, Peer, Records, Root, handshake};
use crate::clock::Utc;
use crate::connect::Connect;
use core::fmt;
use embedded_io_async::{Read, Write};
use embedded_tls::{Aes128GcmSha256, CryptoRngCore, TlsConnection, TlsError, TlsReader, TlsWriter};
use servicebus_core::driver::{Dial, Transport};
use servicebus_core::machine::Target;

/// Dials with TLS 1.3 over any [`Connect`], whatever the connection string says.
pub struct Tls<'r, C, G> {
    connect: C,
    random: G,
    roots: &'r [Root<'r>],
    algorithms: Algorithms,
    utc: &'r dyn Utc,
    records: Records<'r>,
}

impl<'r, C: Connect, G: CryptoRngCore> Tls<'r, C, G> {
    /// Trusts `roots`, at the time of `utc`. `random` has to be a cryptographic generator, freshly seeded.
    ///
    /// All of [`Algorithms`] are understood; see [`Tls::with_algorithms`].
    pub fn new(connect: C, random: G, roots: &'r [Root<'r>], utc: &'r dyn Utc, records: Records<'r>) -> Self {
        Self { connect, random, roots, algorithms: Algorithms::ALL, utc, records }
    }

    /// Understands only these.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }
}

impl<C, G> fmt::Debug for Tls<'_, C, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl<C: Connect, G: CryptoRngCore> Dial for Tls<'_, C, G> {
    type Transport<'a>
        = Encrypted<'a, C::Stream<'a>>
    where
        Self: 'a;
    type Error = TlsDialError<C::Error>;

    async fn dial<'a>(&'a mut self, target: Target<'_>) -> Result<Self::Transport<'a>, Self::Error> {
        let stream = self.connect.connect(target.host, target.port).await.map_err(TlsDialError::Connect)?;
        let peer = Peer { host: target.host, roots: self.roots, algorithms: self.algorithms, now: self.utc.now() };
        let records = Records { read: &mut *self.records.read, write: &mut *self.records.write };
        handshake(stream, records, peer, &mut self.random).await.map(Encrypted).map_err(TlsDialError::Handshake)
    }
}

/// Why there is no encrypted connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TlsDialError<E> {
    /// There is no stream.
    Connect(E),
    /// There is no TLS on it.
    Handshake(HandshakeError),
}

impl<E: fmt::Display> fmt::Display for TlsDialError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> core::error::Error for TlsDialError<E> {}

/// An encrypted connection.
pub struct Encrypted<'a, S: Read + Write + 'a>(TlsConnection<'a, S, Aes128GcmSha256>);

impl<S: Read + Write> fmt::Debug for Encrypted<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl<S: Read + Write + Clone> Transport for Encrypted<'_, S> {
    type Error = TlsError;
    type Reader<'b>
        = TlsReader<'b, S, Aes128GcmSha256>
    where
        Self: 'b;
    type Writer<'b>
        = TlsWriter<'b, S, Aes128GcmSha256>
    where
        Self: 'b;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        self.0.split()
    }
}
