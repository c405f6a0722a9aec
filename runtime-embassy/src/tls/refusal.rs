//! Why a server was refused: the rule that it broke, and the certificate that broke it.

use super::certificate::{Certificate, key_algorithm};
use super::ecdsa::Algorithm;
use super::root::Root;
use crate::format::texts;
use core::fmt;
use core::time::Duration;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error};

/// Authorities in one path, behind the server's certificate.
pub(super) const AUTHORITIES: usize = 6;
/// Bytes of a serial number that are shown.
const SERIAL: usize = 8;

/// Why a server was refused.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::Refusal;
///
/// /// For a log with little room.
/// fn line(refusal: &Refusal) -> String {
///     match &refusal.certificate {
///         Some(certificate) => format!("{}: {:?}", certificate.name(), refusal.error),
///         None => format!("{:?}", refusal.error),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The rule that the server broke.
    pub error: CertificateError,
    /// The certificate that broke it; `None` where none of those shown did, as with a missing one.
    pub certificate: Option<RefusedCertificate>,
}

impl Refusal {
    /// A refusal of the whole chain.
    pub(super) const fn new(error: CertificateError) -> Self {
        Self { error, certificate: None }
    }

    /// A refusal for the certificate at this place of the chain.
    pub(super) fn of(error: CertificateError, index: usize, der: &[u8]) -> Self {
        Self { error, certificate: Some(RefusedCertificate::new(index, der)) }
    }
}

/// One certificate of a chain. It was not verified: its name is what the server claims.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::RefusedCertificate;
///
/// fn whose(certificate: &RefusedCertificate) -> &'static str {
///     if certificate.index() == 0 { "the server's own" } else { "an authority's" }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RefusedCertificate {
    index: u8,
    length: u8,
    name: [u8; RefusedCertificate::NAME],
}

impl RefusedCertificate {
    /// The longest name, in bytes; a longer one is cut.
    ///
    /// # Examples
    ///
    /// ```
    /// use servicebus_embassy::tls::RefusedCertificate;
    ///
    /// assert_eq!(RefusedCertificate::NAME, 40);
    /// ```
    pub const NAME: usize = 40;

    fn new(index: usize, der: &[u8]) -> Self {
        let mut named = Self { index: u8::try_from(index).unwrap_or(u8::MAX), length: 0, name: [0; Self::NAME] };
        if let Ok(certificate) = Certificate::parse(der) {
            match certificate.common_name().filter(|name| !name.is_empty()) {
                Some(name) => named.extend(name.iter().copied()),
                None => {
                    named.extend(*b"serial ");
                    let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
                    let serial = certificate.serial.iter().take(SERIAL);
                    named.extend(serial.flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]));
                }
            }
        }
        named
    }

    /// Characters that could confuse a log, or are not ASCII, become `?`.
    fn extend(&mut self, bytes: impl IntoIterator<Item = u8>) {
        let free = self.name.iter_mut().skip(usize::from(self.length));
        for (place, byte) in free.zip(bytes) {
            *place = if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'?' };
            self.length += 1;
        }
    }

    /// Its place in the chain as the server showed it: 0 is the server's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Refusal;
    /// fn is_of_the_server(refusal: &Refusal) -> bool {
    ///     refusal.certificate.is_some_and(|certificate| certificate.index() == 0)
    /// }
    /// ```
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// Its subject's common name, or `serial ` with the first eight bytes of its serial number in hexadecimal digits; empty
    /// for a certificate that cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Refusal;
    /// fn is_of_the_proxy(refusal: &Refusal) -> bool {
    ///     refusal.certificate.is_some_and(|certificate| certificate.name() == "Contoso Proxy CA")
    /// }
    /// ```
    pub fn name(&self) -> &str {
        self.name.get(..usize::from(self.length)).and_then(|name| str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for RefusedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedCertificate").field("index", &self.index).field("name", &self.name()).finish()
    }
}

/// The rules that certificates and servers can break.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::CertificateError;
///
/// fn advice(error: CertificateError) -> &'static str {
///     match error {
///         CertificateError::Untrusted => "add the root, or look for a proxy that opens TLS",
///         CertificateError::Expired | CertificateError::NotYetValid | CertificateError::Clock => "set the clock",
///         CertificateError::Algorithm => "dial with `Algorithms::ALL`",
///         _ => "look at the server's chain",
///     }
/// }
/// assert_eq!(advice(CertificateError::Clock), "set the clock");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The server showed no certificate, or did not sign the handshake.
    Missing,
    /// It cannot be read.
    Malformed,
    /// It has a critical extension that is not understood.
    Extension,
    /// The chain has more certificates than are looked at, six behind the server's own, or its signatures take more work than
    /// five of RSA with 4 096 bits, or ten of ECDSA. It is the first one that is too many.
    TooLong,
    /// None of its alternative names is the host's.
    Host,
    /// Its issuer is neither among the certificates shown nor one of the roots.
    Untrusted,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// The device's clock is before 1970: nothing is valid then.
    Clock,
    /// It signed a certificate, and its basicConstraints make it no authority.
    NotAnAuthority,
    /// It is an authority's, and was shown as a server's.
    AuthorityAsServer,
    /// More authorities are below it than its path length allows; no certificate is named when it is the root's.
    PathLength,
    /// Its names are not among those that an authority above it may sign.
    NameConstraint,
    /// Its keyUsage does not allow what its key did: sign a handshake, or sign certificates.
    KeyUsage,
    /// Its extended key usage does not name servers.
    ExtendedKeyUsage,
    /// Its signature is of a kind that is not among the [`Algorithms`](super::Algorithms), or does not go with its issuer's
    /// key; no certificate is named when it is the handshake's signature.
    Algorithm,
    /// Its signature was not made with its issuer's key.
    Signature,
    /// The server's signature over the handshake was not made with the key of its certificate.
    HandshakeSignature,
}

impl From<&Error> for CertificateError {
    fn from(error: &Error) -> Self {
        match error {
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::EndEntityUsedAsCa => Self::NotAnAuthority,
            Error::CaUsedAsEndEntity => Self::AuthorityAsServer,
            Error::PathLenConstraintViolated => Self::PathLength,
            Error::MaximumPathDepthExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumSignatureChecksExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => Self::TooLong,
            Error::UnsupportedCriticalExtension => Self::Extension,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::ExtendedKeyUsage,
            Error::InvalidSignatureForPublicKey => Self::Signature,
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Algorithm,
            Error::NameConstraintViolation => Self::NameConstraint,
            Error::UnknownIssuer => Self::Untrusted,
            _ => Self::Malformed,
        }
    }
}

/// Names the certificate that `error` is about, which webpki does not. `failed` is the address of the content whose signature
/// failed.
// Apart, and after the verification: what it needs of the stack is not below the deepest place.
#[inline(never)]
pub(super) fn diagnose(
    error: &Error,
    shown: &[CertificateDer<'_>],
    failed: usize,
    time: UnixTime,
    algorithms: &[&'static dyn Algorithm],
    roots: &[Root<'_>],
) -> Refusal {
    let chain = Chain { shown };
    let seconds = |time: &UnixTime| Duration::from_secs(time.as_secs());
    let mut rule = CertificateError::from(error);
    let index = match (rule, error) {
        (_, Error::CertExpired { not_after, .. }) => chain.first(|found| found.not_after == seconds(not_after)),
        (_, Error::CertNotValidYet { not_before, .. }) => chain.first(|found| found.not_before == seconds(not_before)),
        (_, Error::MaximumPathDepthExceeded) => Some(AUTHORITIES + 1),
        (CertificateError::Signature | CertificateError::TooLong, _) => shown
            .iter()
            .position(|der| der.as_ptr_range().start.addr() <= failed && failed < der.as_ptr_range().end.addr()),
        (CertificateError::Untrusted, _) => chain.path().last().map(|(index, _)| index),
        (CertificateError::NotAnAuthority, _) => {
            let authorities = || chain.path().skip(1);
            // Refused by webpki for the one, by `check_authorities` for the other.
            let by_constraints = authorities().find(|(_, found)| !found.is_authority());
            let by_usage = authorities().find(|(_, found)| !found.may_sign_certificates());
            if by_constraints.is_none() && by_usage.is_some() {
                rule = CertificateError::KeyUsage;
            }
            by_constraints.or(by_usage).map(|(index, _)| index)
        }
        (CertificateError::PathLength, _) => {
            let limit = |found: &Certificate<'_>| found.basic_constraints?.path_length.map(usize::from);
            let authorities = chain.path().skip(1).enumerate();
            authorities
                .filter(|(below, (_, found))| limit(found).is_some_and(|limit| *below > limit))
                .map(|(_, (index, _))| index)
                .next()
        }
        (CertificateError::ExtendedKeyUsage, _) => {
            chain.path().find(|(_, found)| !found.server_authentication).map(|(index, _)| index)
        }
        (CertificateError::Algorithm, _) => chain.first(|found| {
            let issuer = shown
                .iter()
                .filter_map(|der| Certificate::parse(der).ok())
                .find(|issuer| issuer.subject == found.issuer)
                .and_then(|issuer| issuer.key_algorithm());
            let root = || roots.iter().find(|root| *root.anchor.subject == *found.issuer);
            let key = issuer.or_else(|| key_algorithm(&root()?.anchor.subject_public_key_info));
            !algorithms.iter().any(|algorithm| {
                *algorithm.signature_alg_id() == *found.signature_algorithm
                    && key.is_none_or(|key| *algorithm.public_key_alg_id() == *key)
            })
        }),
        // The names of servers are constrained.
        (CertificateError::AuthorityAsServer | CertificateError::NameConstraint, _) => Some(0),
        _ => shown.iter().position(|der| alone(der, time).is_err_and(|error| CertificateError::from(&error) == rule)),
    };
    match index.and_then(|index| Some((index, shown.get(index)?))) {
        Some((index, der)) => Refusal::of(rule, index, der),
        None => Refusal::new(rule),
    }
}

/// What webpki checks of a certificate without its issuer; never `Ok`, since there is no root.
fn alone(der: &CertificateDer<'_>, time: UnixTime) -> Result<(), Error> {
    let certificate = EndEntityCert::try_from(der)?;
    certificate.verify_for_usage(&[], &[], &[], time, webpki::KeyUsage::server_auth(), None, None).map(drop)
}

/// The certificates as they were shown.
#[derive(Clone, Copy)]
struct Chain<'c> {
    shown: &'c [CertificateDer<'c>],
}

impl<'c> Chain<'c> {
    fn first(self, is_it: impl Fn(&Certificate<'_>) -> bool) -> Option<usize> {
        self.shown.iter().position(|der| Certificate::parse(der).is_ok_and(|found| is_it(&found)))
    }

    /// From the server's certificate to that of its issuer and so on, as far as they are shown.
    fn path(self) -> impl Iterator<Item = (usize, Certificate<'c>)> {
        let at = move |index: usize| Certificate::parse(self.shown.get(index)?).ok().map(|found| (index, found));
        core::iter::successors(at(0), move |(index, found)| {
            (0..self.shown.len())
                .filter(|other| other != index)
                .filter_map(at)
                .find(|(_, other)| other.subject == found.issuer)
        })
        // Names can go round in circles.
        .take(self.shown.len())
    }
}

texts! {
    CertificateError {
        Self::Missing => "no certificate, or no signature of the handshake",
        Self::Malformed => "malformed",
        Self::Extension => "unknown critical extension",
        Self::TooLong => "the chain takes too many certificates or signatures",
        Self::Host => "not for this host",
        Self::Untrusted => "its issuer is no trusted root",
        Self::Expired => "expired",
        Self::NotYetValid => "not valid yet",
        Self::Clock => "the clock is not set",
        Self::NotAnAuthority => "it signed a certificate and is no authority",
        Self::AuthorityAsServer => "an authority's, not a server's",
        Self::PathLength => "path length exceeded",
        Self::NameConstraint => "name constraint violated",
        Self::KeyUsage => "key usage does not allow it",
        Self::ExtendedKeyUsage => "extended key usage is not for servers",
        Self::Algorithm => "unknown kind of signature",
        Self::Signature => "wrong signature",
        Self::HandshakeSignature => "wrong signature of the handshake",
    }
}

impl core::error::Error for CertificateError {}

impl fmt::Display for RefusedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {} ({})", self.index, self.name())
    }
}

/// At most 118 bytes, so that it is in `last_description` whole.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certificate {
            Some(certificate) => write!(f, "{certificate}: {}", self.error),
            None => write!(f, "TLS server refused: {}", self.error),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for RefusedCertificate {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "certificate {=u8} ({=str})", self.index, self.name());
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Refusal {
    fn format(&self, f: defmt::Formatter<'_>) {
        match &self.certificate {
            Some(certificate) => defmt::write!(f, "{}: {}", certificate, self.error),
            None => defmt::write!(f, "{}", self.error),
        }
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
