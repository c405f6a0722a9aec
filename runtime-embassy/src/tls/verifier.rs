//! Is the server who it says it is?

use super::certificate::Certificate;
use super::remembered::{self, Remembered};
use super::{ecdsa, root::Root, rsa};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use embedded_tls::{CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme};
use embedded_tls::{TlsCipherSuite, TlsError, TlsVerifier};
use rustls_pki_types::{AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use servicebus_core::time::Timestamp;
use sha2_tls::Digest;
use webpki::{EndEntityCert, RawPublicKeyEntity, VerifiedPath};

/// The longest SubjectPublicKeyInfo: RSA with 4 096 bits takes 550 bytes.
const KEY: usize = 600;
/// The longest digest of a handshake.
const DIGEST: usize = 64;
/// Certificates behind the server's own that are looked at.
const INTERMEDIATES: usize = 8;
/// What the signatures of one chain may cost: as much as five of RSA with 4 096 bits, so that the longest poll stays under
/// 25 million instructions on a Cortex-M4. A server that is not verified yet chooses what is tried; without a bound it keeps
/// the device busy for seconds.
const WORK: u32 = 5 * cost(512);
/// Signature algorithms in a chain.
const ALGORITHMS: usize = 10;
/// What a server signs in front of the handshake's digest (RFC 8446 §4.4.3).
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\x00";

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// Which signatures are understood. What is left out is left out of the image too.
#[derive(Clone, Copy, Debug)]
pub struct Algorithms {
    /// In certificates.
    chain: &'static [Algorithm],
    /// In the handshake, by their number in TLS 1.3.
    handshake: &'static [(u16, Algorithm)],
}

impl Algorithms {
    /// ECDSA over P-256 and P-384.
    pub const ECDSA: Self = Self {
        chain: &[ecdsa::P256_SHA256, ecdsa::P384_SHA384, ecdsa::P256_SHA384, ecdsa::P384_SHA256],
        handshake: &[(0x0403, ecdsa::P256_SHA256), (0x0503, ecdsa::P384_SHA384)],
    };

    /// ECDSA, and RSA of 2 048 to 4 096 bits: PKCS #1 v1.5 in certificates only, PSS in certificates and handshakes.
    /// The chains of Azure Service Bus are RSA.
    pub const ALL: Self = Self {
        chain: &[
            ecdsa::P256_SHA256,
            ecdsa::P384_SHA384,
            ecdsa::P256_SHA384,
            ecdsa::P384_SHA256,
            rsa::PKCS1_SHA256,
            rsa::PKCS1_SHA384,
            rsa::PKCS1_SHA512,
            rsa::PSS_SHA256,
            rsa::PSS_SHA384,
            rsa::PSS_SHA512,
        ],
        handshake: &[
            (0x0403, ecdsa::P256_SHA256),
            (0x0503, ecdsa::P384_SHA384),
            (0x0804, rsa::PSS_SHA256),
            (0x0805, rsa::PSS_SHA384),
            (0x0806, rsa::PSS_SHA512),
        ],
    };

    /// How many there are for certificates.
    pub(super) fn count(&self) -> u8 {
        self.chain.len() as u8
    }

    /// Whether RSA is among them.
    pub(super) fn has_rsa(&self) -> bool {
        self.handshake.iter().any(|(number, _)| number >> 8 == 0x08)
    }

    fn of_handshake(&self, scheme: SignatureScheme) -> Option<Algorithm> {
        self.handshake.iter().find(|(number, _)| *number == scheme.as_u16()).map(|(_, algorithm)| *algorithm)
    }
}

/// What a signature of so many bytes costs to verify: RSA by the square of its length, each of the shorter ones of ECDSA as
/// half of the longest of RSA.
const fn cost(length: usize) -> u32 {
    if length < 256 { cost(512) / 2 } else { (length / 32 * (length / 32)) as u32 }
}

/// An algorithm that verifies as long as there is work left.
#[derive(Debug)]
struct Metered<'w> {
    algorithm: Algorithm,
    left: &'w AtomicU32,
}

impl SignatureVerificationAlgorithm for Metered<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(cost(signature.len()));
        self.left.store(left.unwrap_or_default(), Ordering::Relaxed);
        left.ok_or(InvalidSignature)?;
        self.algorithm.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// Verifies one server in one handshake: its chain up to one of the roots with every certificate's validity,
/// basicConstraints, keyUsage, extended key usage, name constraints and path length, its name among the alternative
/// names (DNS with wildcards, or an address; the common name does not count), and its signature over the handshake.
///
/// Revocation is not checked.
#[derive(Debug)]
pub struct Verifier<'a> {
    roots: &'a [Root<'a>],
    host: &'a str,
    now: Timestamp,
    algorithms: Algorithms,
    judges_not_before: bool,
    remembered: Option<&'a Remembered>,
    state: State,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
enum State {
    /// No certificate yet.
    Waiting,
    /// The chain holds; the server has still to sign.
    Chained { key: heapless::Vec<u8, KEY>, digest: heapless::Vec<u8, DIGEST> },
    /// The server has signed.
    Proven,
}

impl<'a> Verifier<'a> {
    /// Expects the server `host`, a DNS name of up to 253 bytes or an IP address, at the time `now`.
    pub const fn new(roots: &'a [Root<'a>], host: &'a str, now: Timestamp, algorithms: Algorithms) -> Self {
        Self {
            roots,
            host,
            now,
            algorithms,
            judges_not_before: true,
            remembered: None,
            state: State::Waiting,
            refusal: None,
        }
    }

    /// Takes a chain that was verified before, as [`Remembered`] says, and remembers the one that is verified.
    #[must_use]
    pub const fn remembering(mut self, remembered: &'a Remembered) -> Self {
        self.remembered = Some(remembered);
        self
    }

    /// Takes certificates that are not valid yet; see [`Tls::without_not_before`](super::Tls::without_not_before).
    #[must_use]
    pub const fn without_not_before(mut self) -> Self {
        self.judges_not_before = false;
        self
    }

    /// Whether the server has shown a valid chain *and* signed the handshake with its key.
    ///
    /// Ask it after the handshake, before anything is sent: embedded-tls does not insist on either message.
    pub const fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    /// Why the server was refused; `None` as long as it was not.
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse(&mut self, refusal: Refusal) -> TlsError {
        self.state = State::Waiting;
        self.refusal = Some(refusal);
        match refusal {
            Refusal::Signature | Refusal::Algorithm => TlsError::InvalidSignature,
            _ => TlsError::InvalidCertificate,
        }
    }

    /// Checks the chain and the name, and returns the server's key.
    fn verify_chain(&self, certificates: &CertificateRef<'_>) -> Result<heapless::Vec<u8, KEY>, Refusal> {
        let mut entries = certificates.entries.iter().map(|entry| match entry {
            CertificateEntryRef::X509(der) => Ok(CertificateDer::from(*der)),
            CertificateEntryRef::RawPublicKey(_) => Err(Refusal::Malformed),
        });
        let leaf = entries.next().ok_or(Refusal::Missing)??;
        let mut intermediates = heapless::Vec::<_, INTERMEDIATES>::new();
        for entry in entries {
            intermediates.push(entry?).map_err(|_| Refusal::TooLong)?;
        }

        let server = EndEntityCert::try_from(&leaf).map_err(Refusal::from)?;
        let name = ServerName::try_from(self.host).map_err(|_| Refusal::Host)?;
        server.verify_is_valid_for_subject_name(&name).map_err(|_| Refusal::Host)?;

        let parsed = Certificate::parse(&leaf).map_err(|_| Refusal::Malformed)?;
        if parsed.key_usage.is_some_and(|usage| !usage.digital_signature) {
            return Err(Refusal::Usage);
        }
        let now = Duration::from_secs(u64::try_from(self.now.as_secs()).map_err(|_| Refusal::Time)?);
        let shown = || core::iter::once(&leaf).chain(&intermediates);
        let memory = self
            .remembered
            .map(|remembered| (remembered, remembered::digest(self.host, self.roots, &self.algorithms, shown())));
        if !memory.as_ref().is_some_and(|(remembered, digest)| remembered.has(digest, now)) {
            // The latest first day, and the earliest last one.
            let (mut begin, mut end) = (parsed.not_before, parsed.not_after);
            for intermediate in &intermediates {
                let parsed = Certificate::parse(intermediate).map_err(|_| Refusal::Malformed)?;
                (begin, end) = (begin.max(parsed.not_before), end.min(parsed.not_after));
            }
            let time = UnixTime::since_unix_epoch(if self.judges_not_before { now } else { now.max(begin) });
            self.verify_path(&server, &intermediates, time)?;
            if let Some((remembered, digest)) = memory {
                remembered.put(digest, now, end);
            }
        }
        // Copied last: the stack is deepest above.
        heapless::Vec::from_slice(parsed.key).map_err(|_| Refusal::Algorithm)
    }

    /// Looks for a path to one of the roots.
    #[inline(never)]
    fn verify_path(
        &self,
        server: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        time: UnixTime,
    ) -> Result<(), Refusal> {
        let left = AtomicU32::new(WORK);
        let metered: heapless::Vec<_, ALGORITHMS> =
            self.algorithms.chain.iter().map(|algorithm| Metered { algorithm: *algorithm, left: &left }).collect();
        let algorithms: heapless::Vec<&dyn SignatureVerificationAlgorithm, ALGORITHMS> =
            metered.iter().map(|metered| metered as _).collect();
        let mut refusal = Refusal::Untrusted;
        for root in self.roots {
            let path = server.verify_for_usage(
                &algorithms,
                core::slice::from_ref(&root.anchor),
                intermediates,
                time,
                webpki::KeyUsage::server_auth(),
                None,
                Some(&|path| check_authorities(root, path)),
            );
            match path {
                Ok(_) => return Ok(()),
                Err(_) if left.load(Ordering::Relaxed) == 0 => return Err(Refusal::TooLong),
                Err(webpki::Error::UnknownIssuer) => {}
                Err(error) => refusal = Refusal::from(error),
            }
        }
        Err(refusal)
    }

    fn verify_handshake(&mut self, verify: &CertificateVerifyRef<'_>) -> Result<(), Refusal> {
        let State::Chained { key, digest } = core::mem::replace(&mut self.state, State::Waiting) else {
            return Err(Refusal::Missing);
        };
        let mut message = heapless::Vec::<u8, { 64 + CONTEXT.len() + DIGEST }>::new();
        message.resize(64, b' ').map_err(|_| Refusal::Signature)?;
        message.extend_from_slice(CONTEXT).map_err(|_| Refusal::Signature)?;
        message.extend_from_slice(&digest).map_err(|_| Refusal::Signature)?;

        let algorithm = self.algorithms.of_handshake(verify.signature_scheme).ok_or(Refusal::Algorithm)?;
        let key = SubjectPublicKeyInfoDer::from(key.as_slice());
        let server = RawPublicKeyEntity::try_from(&key).map_err(|_| Refusal::Malformed)?;
        server.verify_signature(algorithm, &message, verify.signature).map_err(|_| Refusal::Signature)
    }
}

/// What webpki leaves out: keyUsage of the authorities on the path, and the root's path length.
fn check_authorities(root: &Root<'_>, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    let mut authorities = 0;
    for authority in path.intermediate_certificates() {
        authorities += 1;
        let parsed = Certificate::parse(&authority.der()).map_err(|_| webpki::Error::BadDer)?.key_usage;
        if parsed.is_some_and(|usage| !usage.certificate_sign) {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
    }
    match root.path_length {
        Some(limit) if authorities > usize::from(limit) => Err(webpki::Error::PathLenConstraintViolated),
        _ => Ok(()),
    }
}

impl<C: TlsCipherSuite> TlsVerifier<C> for Verifier<'_> {
    /// The name sent to the server has to be the one that is verified.
    fn set_hostname_verification(&mut self, hostname: &str) -> Result<(), TlsError> {
        if hostname.eq_ignore_ascii_case(self.host) { Ok(()) } else { Err(self.refuse(Refusal::Host)) }
    }

    fn verify_certificate(&mut self, transcript: &C::Hash, certificates: CertificateRef<'_>) -> Result<(), TlsError> {
        let key = self.verify_chain(&certificates).map_err(|refusal| self.refuse(refusal))?;
        let digest = heapless::Vec::from_slice(&transcript.clone().finalize()).map_err(|_| TlsError::CryptoError)?;
        self.state = State::Chained { key, digest };
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        self.verify_handshake(&verify).map_err(|refusal| self.refuse(refusal))?;
        self.state = State::Proven;
        Ok(())
    }
}

/// Why a server was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It showed no certificate.
    Missing,
    /// A certificate cannot be read.
    Malformed,
    /// A certificate has a critical extension that is not understood.
    Extension,
    /// The chain has more certificates than are looked at, six behind the server's own, or its signatures take more work than
    /// five of RSA with 4 096 bits, or ten of ECDSA.
    TooLong,
    /// None of the certificate's alternative names is the host's.
    Host,
    /// The chain ends at no root of ours.
    Untrusted,
    /// A certificate is not valid yet, or not any more, or the device does not know the time.
    Time,
    /// A certificate signed what it may not sign.
    Authority,
    /// The path is longer than one of its authorities allows.
    PathLength,
    /// The server's certificate is not for this use.
    Usage,
    /// A signature is of a kind that is not among the [`Algorithms`].
    Algorithm,
    /// A signature is wrong.
    Signature,
}

impl From<webpki::Error> for Refusal {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Self::Time,
            Error::EndEntityUsedAsCa | Error::CaUsedAsEndEntity => Self::Authority,
            Error::PathLenConstraintViolated => Self::PathLength,
            Error::MaximumPathDepthExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumSignatureChecksExceeded => Self::TooLong,
            Error::UnsupportedCriticalExtension => Self::Extension,
            Error::RequiredEkuNotFoundContext(_) => Self::Usage,
            Error::InvalidSignatureForPublicKey => Self::Signature,
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Algorithm,
            Error::NameConstraintViolation | Error::UnknownIssuer => Self::Untrusted,
            _ => Self::Malformed,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the server showed no certificate",
            Self::Malformed => "a certificate cannot be read",
            Self::Extension => "a certificate has a critical extension that is not understood",
            Self::TooLong => "the chain has too many certificates",
            Self::Host => "the certificate is for another host",
            Self::Untrusted => "the chain ends at no trusted root",
            Self::Time => "a certificate is not valid now",
            Self::Authority => "a certificate was signed by one that may not sign",
            Self::PathLength => "the path is longer than allowed",
            Self::Usage => "the certificate is not for servers",
            Self::Algorithm => "a signature is of an unknown kind",
            Self::Signature => "a signature is wrong",
        })
    }
}

impl core::error::Error for Refusal {}
