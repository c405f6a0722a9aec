//! The handshake: embedded-tls with the verifier in it, and the last word on whether the server is proven.

use super::cipher::Suite;
use super::socket::Socket;
use super::{Algorithms, CertificateError, Deferred, Encrypted, Refusal, Remembered, Root, Verifier};
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use embedded_io_async::{Read, Write};
use embedded_tls::{CryptoProvider, CryptoRngCore, TlsConfig, TlsConnection, TlsContext, TlsError};
use servicebus_core::time::Timestamp;

/// Whom to connect to, and whom to trust.
///
/// ```
/// use servicebus_core::time::Timestamp;
/// use servicebus_embassy::tls::{Algorithms, Peer, Root};
///
/// fn gateway<'a>(roots: &'a [Root<'a>], now: Timestamp) -> Peer<'a> {
///     Peer::new(roots, "gateway.example", now).with_algorithms(Algorithms::ECDSA)
/// }
/// # let _ = gateway(&[], Timestamp::from_millis(0));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Peer<'a> {
    /// The server's DNS name (up to 253 bytes) or IP address.
    pub host: &'a str,
    /// The authorities that its chain may end at.
    pub roots: &'a [Root<'a>],
    /// The signatures that are understood.
    pub algorithms: Algorithms,
    /// The time, for the certificates' validity.
    pub now: Timestamp,
    /// Whether a certificate that is not valid yet is refused; see
    /// [`Tls::without_not_before`](super::Tls::without_not_before).
    pub judges_not_before: bool,
    /// Where a chain that was verified is kept for the next handshakes with this peer.
    pub remembered: Option<&'a Remembered>,
}

impl<'a> Peer<'a> {
    /// The server `host`, a DNS name of up to 253 bytes or an IP address, at the time `now`. All of [`Algorithms`] are
    /// understood.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::Peer;
    /// let peer = Peer::new(&[], "contoso.servicebus.windows.net", Timestamp::from_secs(1_767_225_600));
    /// assert!(peer.judges_not_before && peer.remembered.is_none());
    /// ```
    pub const fn new(roots: &'a [Root<'a>], host: &'a str, now: Timestamp) -> Self {
        Self { host, roots, algorithms: Algorithms::ALL, now, judges_not_before: true, remembered: None }
    }

    /// Sets [`Peer::algorithms`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::{Algorithms, Peer};
    /// # let now = Timestamp::from_secs(1_767_225_600);
    /// let peer = Peer::new(&[], "gateway.local", now).with_algorithms(Algorithms::ECDSA);
    /// # drop(peer);
    /// ```
    #[must_use]
    pub const fn with_algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// Takes certificates that are not valid yet; see [`Tls::without_not_before`](super::Tls::without_not_before).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::Peer;
    /// let built_at = Timestamp::from_secs(1_767_225_600); // there is no other clock
    /// let peer = Peer::new(&[], "contoso.servicebus.windows.net", built_at).without_not_before();
    /// assert!(!peer.judges_not_before);
    /// ```
    #[must_use]
    pub const fn without_not_before(mut self) -> Self {
        self.judges_not_before = false;
        self
    }

    /// Sets [`Peer::remembered`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Duration, Timestamp};
    /// # use servicebus_embassy::tls::{Peer, Remembered};
    /// # let now = Timestamp::from_secs(1_767_225_600);
    /// let remembered = Remembered::new(Duration::from_secs(3_600)); // one for all handshakes
    /// let peer = Peer::new(&[], "contoso.servicebus.windows.net", now).with_remembered(&remembered);
    /// assert!(peer.remembered.is_some());
    /// ```
    #[must_use]
    pub const fn with_remembered(mut self, remembered: &'a Remembered) -> Self {
        self.remembered = Some(remembered);
        self
    }

    fn verifier(&self, deferred: &'a Deferred<'a>) -> Verifier<'a> {
        let verifier = Verifier::new(self.roots, self.host, self.now, self.algorithms).with_deferred(deferred);
        let verifier = if self.judges_not_before { verifier } else { verifier.without_not_before() };
        match self.remembered {
            Some(remembered) => verifier.with_remembered(remembered),
            None => verifier,
        }
    }
}

/// The memory of one TLS connection.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::Records;
///
/// let (mut read, mut write) = ([0; 16_640], [0; 4_096]); // static on a board
/// let records = Records::new(&mut read, &mut write);
/// assert_eq!(records.read.len(), 16_640);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Records<'a> {
    /// For a record from the server; 16 640 bytes hold the largest there is, and the server chooses.
    pub read: &'a mut [u8],
    /// For a record to the server, the handshake's first among them: 1 024 bytes are enough, 4 096 save overhead.
    pub write: &'a mut [u8],
}

impl<'a> Records<'a> {
    /// A record from the server is read into `read`, one to the server is written in `write`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Records;
    /// let (mut read, mut write) = ([0; 16_640], [0; 1_024]);
    /// let records = Records::new(&mut read, &mut write);
    /// # drop(records);
    /// ```
    pub const fn new(read: &'a mut [u8], write: &'a mut [u8]) -> Self {
        Self { read, write }
    }
}

/// Opens a TLS 1.3 connection over `socket`, and returns it only when the server is proven to be `peer`.
///
/// `random` has to be a cryptographic generator with a fresh seed.
///
/// Errors: see [`HandshakeError`].
///
/// # Examples
///
/// ```no_run
/// # use embedded_io_async::{Read, Write};
/// # use servicebus_embassy::Timestamp;
/// use servicebus_embassy::tls::{CryptoRngCore, Encrypted, HandshakeError, Peer, Records, Root, handshake};
///
/// async fn connect<'a, S: Read + Write + 'a>(
///     (socket, records): (S, Records<'a>),
///     (roots, now): (&[Root<'_>], Timestamp),
///     random: impl CryptoRngCore,
/// ) -> Result<Encrypted<'a, S>, HandshakeError> {
///     handshake(socket, records, Peer::new(roots, "contoso.servicebus.windows.net", now), random).await
/// }
/// ```
pub async fn handshake<'a, S, G>(
    socket: S,
    records: Records<'a>,
    peer: Peer<'_>,
    random: G,
) -> Result<Encrypted<'a, S>, HandshakeError>
where
    S: Read + Write + 'a,
    G: CryptoRngCore,
{
    let config = TlsConfig::new().with_server_name(peer.host);
    let config = if peer.algorithms.has_rsa() { config.enable_rsa_signatures() } else { config };
    let mut deferred = None;
    let deferred = &*make_in(&mut deferred, Deferred::new);
    let mut provider = None;
    let provider = make_in(&mut provider, || Provider { verifier: peer.verifier(deferred), random });
    // The length of a record has 16 bits.
    let size = records.read.len().min(usize::from(u16::MAX));
    let read = &mut records.read[..size];
    let mut connection = None;
    let opening = make_in(&mut connection, || TlsConnection::new(Socket::new(socket, size), read, records.write));
    let opened = in_steps(pin!(opening.open(TlsContext::new(&config, &mut *provider))), deferred).await;
    let proven = match (provider.verifier.refusal(), opened) {
        (Some(refusal), _) => Err(HandshakeError::Refused(refusal)),
        (None, Err(error)) => Err(error),
        // embedded-tls is content without a certificate and without a signature.
        (None, Ok(())) if !provider.verifier.is_proven() => {
            Err(HandshakeError::Refused(Refusal::new(CertificateError::Missing)))
        }
        (None, Ok(())) => Ok(()),
    };
    #[cfg(feature = "defmt")]
    match &proven {
        Ok(()) => defmt::debug!("TLS: {=str} is proven", peer.host),
        Err(error) => defmt::warn!("TLS: {=str}: {}", peer.host, error),
    }
    proven?;
    connection.map(Encrypted::new).ok_or(HandshakeError::Tls(TlsError::InternalError))
}

/// Makes a value in its place, and keeps what that takes of the stack out of the caller's frame, below which a server is
/// verified.
#[inline(never)]
fn make_in<T>(place: &mut Option<T>, make: impl FnOnce() -> T) -> &mut T {
    place.insert(make())
}

/// Drives the handshake; whenever it has put signatures off, it stands still until they are verified, a part in each poll.
/// Its reads and writes are pending once before they take or give anything ([`Socket`]), so that nothing is sent to a
/// server that is not proven.
async fn in_steps(
    mut open: Pin<&mut impl Future<Output = Result<(), TlsError>>>,
    deferred: &Deferred<'_>,
) -> Result<(), HandshakeError> {
    let mut opened = None;
    poll_fn(|cx| {
        if !deferred.step().map_err(HandshakeError::Refused)? {
            let state = match opened.take() {
                Some(()) => Poll::Ready(()),
                None => open.as_mut().poll(cx).map_err(HandshakeError::Tls)?,
            };
            if !deferred.is_due() {
                return state.map(Ok);
            }
            opened = state.is_ready().then_some(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

struct Provider<'a, G> {
    verifier: Verifier<'a>,
    random: G,
}

impl<G: CryptoRngCore> CryptoProvider for Provider<'_, G> {
    type CipherSuite = Suite;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl embedded_tls::TlsVerifier<Suite>, TlsError> {
        Ok(&mut self.verifier)
    }
}

/// Why there is no TLS connection.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::{CertificateError, HandshakeError, TlsError};
///
/// fn needs_the_time(error: &HandshakeError) -> bool {
///     let HandshakeError::Refused(refusal) = error else { return false };
///     matches!(refusal.error, CertificateError::Expired | CertificateError::NotYetValid | CertificateError::Clock)
/// }
/// assert!(!needs_the_time(&HandshakeError::Tls(TlsError::ConnectionClosed)));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server is not proven to be the one that was meant.
    Refused(Refusal),
    /// The handshake failed otherwise.
    Tls(TlsError),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Tls(error) => write!(f, "TLS handshake: {error:?}"),
        }
    }
}

impl core::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refusal) => refusal.source(),
            Self::Tls(error) => Some(error),
        }
    }
}

/// The names of embedded-tls' errors. Its own feature `defmt` would log its keys' derivation too.
#[cfg(feature = "defmt")]
impl defmt::Format for HandshakeError {
    fn format(&self, f: defmt::Formatter<'_>) {
        macro_rules! names {
            ($error:ident: $($name:ident = $text:literal)*) => {
                match $error {
                    $(TlsError::$name => defmt::intern!($text),)*
                    TlsError::HandshakeAborted(..) | TlsError::AbortHandshake(..) => defmt::intern!("alert"),
                    TlsError::ParseError(_) => defmt::intern!("ParseError"),
                    TlsError::Io(_) => defmt::intern!("Io"),
                }
            };
        }
        match self {
            Self::Refused(refusal) => defmt::write!(f, "{}", refusal),
            Self::Tls(TlsError::HandshakeAborted(_, description)) => {
                defmt::write!(f, "TLS handshake: the server's alert {=u8}", *description as u8);
            }
            Self::Tls(error) => {
                let name = names!(error:
                    ConnectionClosed = "ConnectionClosed"
                    Unimplemented = "Unimplemented"
                    MissingHandshake = "MissingHandshake"
                    IoError = "IoError"
                    InternalError = "InternalError"
                    InvalidRecord = "InvalidRecord"
                    UnknownContentType = "UnknownContentType"
                    InvalidNonceLength = "InvalidNonceLength"
                    InvalidTicketLength = "InvalidTicketLength"
                    UnknownExtensionType = "UnknownExtensionType"
                    InsufficientSpace = "InsufficientSpace"
                    InvalidHandshake = "InvalidHandshake"
                    InvalidCipherSuite = "InvalidCipherSuite"
                    InvalidSignatureScheme = "InvalidSignatureScheme"
                    InvalidSignature = "InvalidSignature"
                    InvalidExtensionsLength = "InvalidExtensionsLength"
                    InvalidSessionIdLength = "InvalidSessionIdLength"
                    InvalidSupportedVersions = "InvalidSupportedVersions"
                    InvalidApplicationData = "InvalidApplicationData"
                    InvalidKeyShare = "InvalidKeyShare"
                    InvalidCertificate = "InvalidCertificate"
                    InvalidCertificateEntry = "InvalidCertificateEntry"
                    InvalidCertificateRequest = "InvalidCertificateRequest"
                    InvalidPrivateKey = "InvalidPrivateKey"
                    UnableToInitializeCryptoEngine = "UnableToInitializeCryptoEngine"
                    OutOfMemory = "OutOfMemory"
                    CryptoError = "CryptoError"
                    EncodeError = "EncodeError"
                    DecodeError = "DecodeError"
                );
                defmt::write!(f, "TLS handshake: {=istr}", name);
            }
        }
    }
}
