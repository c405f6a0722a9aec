//! Dials with TLS.

use super::cipher::Suite;
use super::socket::Socket;
use super::{Algorithms, HandshakeError, Peer, Records, Remembered, Root, handshake};
use crate::clock::Utc;
use crate::connect::{Close, Connect};
use core::fmt;
use embedded_io_async::{Error as _, Read, Write};
use embedded_tls::{CryptoRngCore, TlsConnection, TlsError, TlsReader, TlsWriter};
use servicebus_core::driver::{Dial, Transport};
use servicebus_core::machine::Target;

/// Dials with TLS 1.3 over any [`Connect`], whatever the connection string says.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::{CryptoRngCore, Records, Root, Tls};
/// use servicebus_embassy::{Connect, Dial, Utc};
///
/// fn dialer<'r>(
///     tcp: impl Connect,
///     random: impl CryptoRngCore, // such as ChaCha20, with a seed of the board's generator
///     roots: &'r [Root<'r>],
///     utc: &'r dyn Utc,
///     [read, write]: [&'r mut [u8]; 2], // 16 640 and 4 096 bytes
/// ) -> impl Dial {
///     Tls::new(tcp, random, roots, utc, Records::new(read, write))
/// }
/// ```
pub struct Tls<'r, C, G> {
    connect: C,
    random: G,
    roots: &'r [Root<'r>],
    algorithms: Algorithms,
    judges_not_before: bool,
    remembered: Option<Remembered>,
    utc: &'r dyn Utc,
    records: Records<'r>,
}

impl<'r, C: Connect, G: CryptoRngCore> Tls<'r, C, G> {
    /// Trusts `roots`, at the time of `utc`. `random` has to be a cryptographic generator, freshly seeded.
    ///
    /// All of [`Algorithms`] are understood; see [`Tls::with_algorithms`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::{CryptoRngCore, Records, Root, Tls};
    /// # use servicebus_embassy::{Connect, Utc};
    /// fn dialer<'r, C: Connect, G: CryptoRngCore>(
    ///     (tcp, random): (C, G),
    ///     (roots, utc): (&'r [Root<'r>], &'r dyn Utc),
    ///     records: Records<'r>,
    /// ) -> Tls<'r, C, G> {
    ///     Tls::new(tcp, random, roots, utc, records)
    /// }
    /// ```
    pub fn new(connect: C, random: G, roots: &'r [Root<'r>], utc: &'r dyn Utc, records: Records<'r>) -> Self {
        let algorithms = Algorithms::ALL;
        Self { connect, random, roots, algorithms, judges_not_before: true, remembered: None, utc, records }
    }

    /// Understands only these.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Connect;
    /// # use servicebus_embassy::tls::{Algorithms, CryptoRngCore, Tls};
    /// /// For a gateway with a certificate of the company's own; RSA is left out of the image.
    /// fn to_the_gateway<C: Connect, G: CryptoRngCore>(tls: Tls<'_, C, G>) -> Tls<'_, C, G> {
    ///     tls.with_algorithms(Algorithms::ECDSA)
    /// }
    /// ```
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// Takes certificates that are not valid yet: for a board whose clock may be behind, such as one that knows no
    /// other time than that of its build. Otherwise it is cut off when the service renews its certificate.
    ///
    /// What it gives up: a certificate is as good before its first day as on it. When a certificate has ended is judged
    /// by the clock or by the latest first day among those shown, whichever is later, so that a chain that contradicts
    /// itself is refused; a board whose clock is behind takes a certificate that has ended since, as it would in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Connect;
    /// # use servicebus_embassy::tls::{CryptoRngCore, Tls};
    /// fn without_a_clock<C: Connect, G: CryptoRngCore>(tls: Tls<'_, C, G>) -> Tls<'_, C, G> {
    ///     tls.without_not_before()
    /// }
    /// ```
    #[must_use]
    pub fn without_not_before(mut self) -> Self {
        self.judges_not_before = false;
        self
    }
}

impl<C, G> Tls<'_, C, G> {
    /// Remembers the chain that was verified last for `life`, so that a connection soon after another one checks one
    /// signature instead of one for each certificate; see [`Remembered`]. A certificate that a root's owner takes back counts
    /// as it would anyhow, since revocation is not checked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Duration, tls::Tls};
    /// /// Readings are sent every ten minutes: one handshake of an hour's six verifies the chain.
    /// fn often<C, G>(tls: Tls<'_, C, G>) -> Tls<'_, C, G> {
    ///     tls.with_remembered_chain(Duration::from_secs(3_600))
    /// }
    /// ```
    #[must_use]
    pub fn with_remembered_chain(mut self, life: core::time::Duration) -> Self {
        self.remembered = Some(Remembered::new(life));
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
        let peer = Peer {
            host: target.host,
            roots: self.roots,
            algorithms: self.algorithms,
            now: self.utc.now(),
            judges_not_before: self.judges_not_before,
            remembered: self.remembered.as_ref(),
        };
        let records = Records::new(&mut *self.records.read, &mut *self.records.write);
        handshake(stream, records, peer, &mut self.random).await.map_err(TlsDialError::Handshake)
    }
}

/// Why there is no encrypted connection.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::{HandshakeError, TlsDialError};
///
/// fn advice<E>(error: &TlsDialError<E>) -> &'static str {
///     match error {
///         TlsDialError::Connect(_) => "is there a network?",
///         TlsDialError::Handshake(HandshakeError::Refused(_)) => "is the root of the server's chain among ours?",
///         _ => "",
///     }
/// }
/// assert_eq!(advice(&TlsDialError::Connect("no link")), "is there a network?");
/// ```
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

/// Transparent: text and source are those of the inner error.
impl<E: core::error::Error> core::error::Error for TlsDialError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Connect(error) => error.source(),
            Self::Handshake(error) => error.source(),
        }
    }
}

#[cfg(feature = "defmt")]
impl<E: defmt::Format> defmt::Format for TlsDialError<E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Connect(error) => defmt::write!(f, "{}", error),
            Self::Handshake(error) => defmt::write!(f, "{}", error),
        }
    }
}

/// An encrypted connection.
///
/// # Examples
///
/// ```no_run
/// # use embedded_io_async::{Read, Write};
/// # use servicebus_embassy::Timestamp;
/// use servicebus_core::driver::Transport;
/// use servicebus_embassy::Close;
/// use servicebus_embassy::tls::{CryptoRngCore, Encrypted, HandshakeError, Peer, Records, Root, handshake};
///
/// async fn encrypted<'a, S: Read + Write + Close + Clone + 'a>(
///     (socket, records): (S, Records<'a>),
///     (roots, now): (&[Root<'_>], Timestamp),
///     random: impl CryptoRngCore,
/// ) -> Result<(), HandshakeError> {
///     let peer = Peer::new(roots, "contoso.servicebus.windows.net", now);
///     let mut connection: Encrypted<'a, S> = handshake(socket, records, peer, random).await?;
///     let (reader, writer) = connection.split();
/// #   drop((reader, writer));
///     Ok(())
/// }
/// ```
pub struct Encrypted<'a, S: Read + Write + 'a>(TlsConnection<'a, Socket<S>, Suite>);

impl<'a, S: Read + Write + 'a> Encrypted<'a, S> {
    /// A connection whose handshake is over.
    pub(super) const fn new(connection: TlsConnection<'a, Socket<S>, Suite>) -> Self {
        Self(connection)
    }
}

impl<S: Read + Write> fmt::Debug for Encrypted<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl<S: Read + Write + Close + Clone> Transport for Encrypted<'_, S> {
    type Error = TlsError;
    type Reader<'b>
        = TlsReader<'b, Socket<S>, Suite>
    where
        Self: 'b;
    type Writer<'b>
        = TlsWriter<'b, Socket<S>, Suite>
    where
        Self: 'b;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        self.0.split()
    }

    /// Sends `close_notify`, and closes the stream.
    async fn close(self) -> Result<(), TlsError> {
        let (mut stream, ended) = match self.0.close().await {
            Ok(stream) => (stream, Ok(())),
            Err((stream, error)) => (stream, Err(error)),
        };
        let closed = stream.close().await.map_err(|error| TlsError::Io(error.kind()));
        ended.and(closed)
    }
}
