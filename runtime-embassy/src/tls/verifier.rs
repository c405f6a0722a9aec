//! Is the server who it says it is?

use super::certificate::Certificate;
use super::deferred::{Chain, Deferred, Jobs};
use super::ecdsa::Algorithm as Signing;
use super::refusal::{CertificateError, Refusal, diagnose};
use super::remembered::{self, Remembered};
use super::{ecdsa, root::Root, rsa};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
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
/// Certificates that are looked at, the server's own among them.
const CERTIFICATES: usize = 9;
/// What the signatures of one chain may cost: as much as five of RSA with 4 096 bits, so that the longest poll stays under
/// 25 million instructions on a Cortex-M4. A server that is not verified yet chooses what is tried; without a bound it keeps
/// the device busy for seconds.
const WORK: u32 = 5 * cost(512);
/// Signatures of ECDSA that this pays for.
pub(super) const SHORT_SIGNATURES: usize = (WORK / cost(0)) as usize;
/// Signature algorithms in a chain.
const ALGORITHMS: usize = 10;
/// What a server signs in front of the handshake's digest (RFC 8446 §4.4.3).
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\x00";

type Algorithm = &'static dyn Signing;

/// Which signatures are understood. What is left out is left out of the image too.
///
/// # Examples
///
/// ```
/// use servicebus_embassy::Timestamp;
/// use servicebus_embassy::tls::{Algorithms, Peer};
///
/// // Azure Service Bus shows RSA; a gateway of the company's own may do without.
/// let now = Timestamp::from_secs(1_767_225_600);
/// let peer = Peer::new(&[], "gateway.local", now).with_algorithms(Algorithms::ECDSA);
/// # drop(peer);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Algorithms {
    /// In certificates.
    chain: &'static [Algorithm],
    /// In the handshake, by their number in TLS 1.3.
    handshake: &'static [(u16, Algorithm)],
}

impl Algorithms {
    /// ECDSA over P-256 and P-384.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Algorithms;
    /// const FOR_THE_GATEWAY: Algorithms = Algorithms::ECDSA;
    /// # _ = FOR_THE_GATEWAY;
    /// ```
    pub const ECDSA: Self = Self {
        chain: &[ecdsa::P256_SHA256, ecdsa::P384_SHA384, ecdsa::P256_SHA384, ecdsa::P384_SHA256],
        handshake: &[(0x0403, ecdsa::P256_SHA256), (0x0503, ecdsa::P384_SHA384)],
    };

    /// ECDSA, and RSA of 2 048 to 4 096 bits: PKCS #1 v1.5 in certificates only, PSS in certificates and handshakes.
    /// The chains of Azure Service Bus are RSA.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::Algorithms;
    /// const FOR_AZURE: Algorithms = Algorithms::ALL;
    /// # _ = FOR_AZURE;
    /// ```
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

/// The work of one chain.
#[derive(Debug)]
struct Meter {
    left: AtomicU32,
    /// The address of the content whose signature was found wrong, or was not verified for lack of work.
    failed: AtomicUsize,
}

/// An algorithm that verifies as long as there is work left, or puts off what can be put off.
#[derive(Debug)]
struct Metered<'w> {
    algorithm: Algorithm,
    meter: &'w Meter,
    jobs: Option<&'w Jobs>,
}

impl Metered<'_> {
    fn verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let Some(jobs) = self.jobs else { return self.algorithm.verify_signature(key, message, signature) };
        match self.algorithm.job(key, message, signature) {
            Some(job) => jobs.put(job?, message.as_ptr().addr()).ok_or(InvalidSignature),
            None => {
                self.algorithm.verify_signature(key, message, signature)?;
                jobs.put_none();
                Ok(())
            }
        }
    }
}

impl SignatureVerificationAlgorithm for Metered<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let left = self.meter.left.load(Ordering::Relaxed).checked_sub(cost(signature.len()));
        self.meter.left.store(left.unwrap_or_default(), Ordering::Relaxed);
        let verified = match left {
            Some(_) => self.verify(key, message, signature),
            None => Err(InvalidSignature),
        };
        if verified.is_err() {
            self.meter.failed.store(message.as_ptr().addr(), Ordering::Relaxed);
        }
        verified
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
///
/// # Examples
///
/// For those that drive embedded-tls themselves; [`handshake`](super::handshake) does it all:
///
/// ```
/// use servicebus_embassy::Timestamp;
/// use servicebus_embassy::tls::{Algorithms, Root, Verifier};
///
/// # let roots: [Root<'_>; 0] = [];
/// let now = Timestamp::from_secs(1_767_225_600);
/// let verifier = Verifier::new(&roots, "contoso.servicebus.windows.net", now, Algorithms::ALL);
/// // The handshake is made here, with a `CryptoProvider` that returns the verifier. Then:
/// assert!(!verifier.is_proven(), "the server has shown nothing");
/// ```
#[derive(Debug)]
pub struct Verifier<'a> {
    roots: &'a [Root<'a>],
    host: &'a str,
    now: Timestamp,
    algorithms: Algorithms,
    judges_not_before: bool,
    remembered: Option<&'a Remembered>,
    deferred: Option<&'a Deferred<'a>>,
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::{Algorithms, Verifier};
    /// # let now = Timestamp::from_secs(1_767_225_600);
    /// let verifier = Verifier::new(&[], "contoso.servicebus.windows.net", now, Algorithms::ALL);
    /// assert!(verifier.refusal().is_none());
    /// ```
    pub const fn new(roots: &'a [Root<'a>], host: &'a str, now: Timestamp, algorithms: Algorithms) -> Self {
        Self {
            roots,
            host,
            now,
            algorithms,
            judges_not_before: true,
            remembered: None,
            deferred: None,
            state: State::Waiting,
            refusal: None,
        }
    }

    /// Takes a chain that was verified before, as [`Remembered`] says, and remembers the one that is verified.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Duration, Timestamp};
    /// # use servicebus_embassy::tls::{Algorithms, Remembered, Verifier};
    /// # let (now, host) = (Timestamp::from_secs(1_767_225_600), "contoso.servicebus.windows.net");
    /// let remembered = Remembered::new(Duration::from_secs(3_600));
    /// let verifier = Verifier::new(&[], host, now, Algorithms::ALL).with_remembered(&remembered);
    /// # drop(verifier);
    /// ```
    #[must_use]
    pub const fn with_remembered(mut self, remembered: &'a Remembered) -> Self {
        self.remembered = Some(remembered);
        self
    }

    /// Puts signatures of ECDSA off: they are verified by [`Deferred::step`], in parts that other tasks can wait for. Until
    /// nothing is left there, the server is not proven.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::{Algorithms, Deferred, Verifier};
    /// # let (now, host) = (Timestamp::from_secs(1_767_225_600), "contoso.servicebus.windows.net");
    /// let deferred = Deferred::new();
    /// let verifier = Verifier::new(&[], host, now, Algorithms::ALL).with_deferred(&deferred);
    /// # drop(verifier);
    /// ```
    #[must_use]
    pub const fn with_deferred(mut self, deferred: &'a Deferred<'a>) -> Self {
        self.deferred = Some(deferred);
        self
    }

    /// Takes certificates that are not valid yet; see [`Tls::without_not_before`](super::Tls::without_not_before).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::{Algorithms, Verifier};
    /// # let (built_at, host) = (Timestamp::from_secs(1_767_225_600), "contoso.servicebus.windows.net");
    /// let verifier = Verifier::new(&[], host, built_at, Algorithms::ALL).without_not_before();
    /// # drop(verifier);
    /// ```
    #[must_use]
    pub const fn without_not_before(mut self) -> Self {
        self.judges_not_before = false;
        self
    }

    /// Whether the server has shown a valid chain *and* signed the handshake with its key.
    ///
    /// Ask it after the handshake, before anything is sent: embedded-tls does not insist on either message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::{CertificateError, Refusal, Verifier};
    /// /// After the handshake.
    /// fn check(verifier: &Verifier<'_>) -> Result<(), Option<Refusal>> {
    ///     if verifier.is_proven() { Ok(()) } else { Err(verifier.refusal()) }
    /// }
    /// ```
    pub fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven) && self.deferred.is_none_or(Deferred::holds)
    }

    /// Why the server was refused; `None` as long as it was not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Timestamp;
    /// # use servicebus_embassy::tls::{Algorithms, Verifier};
    /// # let (now, host) = (Timestamp::from_secs(1_767_225_600), "contoso.servicebus.windows.net");
    /// # let verifier = Verifier::new(&[], host, now, Algorithms::ALL);
    /// if let Some(refusal) = verifier.refusal() {
    ///     println!("{refusal}"); // such as "certificate 1 (Contoso Proxy CA): untrusted"
    /// }
    /// ```
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse(&mut self, refusal: Refusal) -> TlsError {
        self.state = State::Waiting;
        self.refusal = Some(refusal);
        match refusal.error {
            CertificateError::Signature | CertificateError::HandshakeSignature | CertificateError::Algorithm => {
                TlsError::InvalidSignature
            }
            _ => TlsError::InvalidCertificate,
        }
    }

    /// Checks the chain and the name.
    #[inline(never)]
    fn verify_chain(&self, certificates: &CertificateRef<'_>) -> Result<(), Refusal> {
        let mut shown = heapless::Vec::<_, CERTIFICATES>::new();
        for entry in &certificates.entries {
            let CertificateEntryRef::X509(der) = entry else {
                return Err(Refusal::new(CertificateError::Malformed));
            };
            let refused = |_| Refusal::of(CertificateError::TooLong, CERTIFICATES, der);
            shown.push(CertificateDer::from(*der)).map_err(refused)?;
        }
        let (leaf, intermediates) = shown.split_first().ok_or(Refusal::new(CertificateError::Missing))?;
        let refused = |error| Refusal::of(error, 0, leaf);

        let server = EndEntityCert::try_from(leaf).map_err(|error| refused(CertificateError::from(&error)))?;
        let name = ServerName::try_from(self.host).map_err(|_| Refusal::new(CertificateError::Host))?;
        server.verify_is_valid_for_subject_name(&name).map_err(|_| refused(CertificateError::Host))?;

        let parsed = Certificate::parse(leaf).map_err(|_| refused(CertificateError::Malformed))?;
        if parsed.key_usage.is_some_and(|usage| !usage.digital_signature) {
            return Err(refused(CertificateError::KeyUsage));
        }
        let now = u64::try_from(self.now.as_secs()).map_err(|_| Refusal::new(CertificateError::Clock))?;
        let now = Duration::from_secs(now);
        let memory = self
            .remembered
            .map(|remembered| (remembered, remembered::digest(self.host, self.roots, &self.algorithms, shown.iter())));
        if !memory.as_ref().is_some_and(|(remembered, digest)| remembered.has(digest, now)) {
            // The latest first day, and the earliest last one.
            let (mut begin, mut end) = (parsed.not_before, parsed.not_after);
            for (number, intermediate) in (1..).zip(intermediates) {
                let parsed = Certificate::parse(intermediate)
                    .map_err(|_| Refusal::of(CertificateError::Malformed, number, intermediate))?;
                (begin, end) = (begin.max(parsed.not_before), end.min(parsed.not_after));
            }
            let time = UnixTime::since_unix_epoch(if self.judges_not_before { now } else { now.max(begin) });
            let meter = Meter { left: AtomicU32::new(WORK), failed: AtomicUsize::new(0) };
            let refused = |error: &webpki::Error, failed: usize| {
                diagnose(error, &shown, failed, time, self.algorithms.chain, self.roots)
            };
            let found = self.verify_path(&server, intermediates, time, &meter);
            let spent = meter.left.load(Ordering::Relaxed) == 0;
            let cut = || refused(&webpki::Error::MaximumSignatureChecksExceeded, meter.failed.load(Ordering::Relaxed));
            let put_off = self.deferred.filter(|deferred| deferred.is_due());
            match (found, put_off) {
                (Ok(()), _) => {}
                (Err(_), Some(deferred)) => {
                    let wrong = webpki::Error::InvalidSignatureForPublicKey;
                    deferred.jobs().name(|content| refused(&wrong, content), spent.then(cut));
                }
                (Err(_), None) if spent => return Err(cut()),
                (Err(error), None) => return Err(refused(&error, meter.failed.load(Ordering::Relaxed))),
            }
            if let Some((remembered, digest)) = memory {
                let chain = Chain { remembered, digest, now, end };
                match put_off {
                    Some(deferred) => deferred.remember(chain),
                    None => chain.remember(),
                }
            }
        }
        Ok(())
    }

    /// Keeps what the server's signature is verified with. Apart, since the stack is deepest where the chain is checked.
    #[inline(never)]
    fn keep(&mut self, leaf: &[u8], digest: &[u8]) -> Result<(), CertificateError> {
        let parsed = Certificate::parse(leaf).map_err(|_| CertificateError::Malformed)?;
        let key = heapless::Vec::from_slice(parsed.key).map_err(|_| CertificateError::Algorithm)?;
        let digest = heapless::Vec::from_slice(digest).map_err(|_| CertificateError::Algorithm)?;
        self.state = State::Chained { key, digest };
        Ok(())
    }

    /// Looks for a path to one of the roots. It fails when signatures on all of them are put off.
    #[inline(never)]
    fn verify_path(
        &self,
        server: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        time: UnixTime,
        meter: &Meter,
    ) -> Result<(), webpki::Error> {
        let jobs = self.deferred.map(Deferred::jobs);
        let metered =
            gathered(self.algorithms.chain.iter().map(|algorithm| Metered { algorithm: *algorithm, meter, jobs }));
        let algorithms = gathered(metered.iter().map(|metered| metered as &dyn SignatureVerificationAlgorithm));
        let mut refusal = webpki::Error::UnknownIssuer;
        for root in self.roots {
            let path = server.verify_for_usage(
                &algorithms,
                core::slice::from_ref(&root.anchor),
                intermediates,
                time,
                webpki::KeyUsage::server_auth(),
                None,
                Some(&|path| {
                    let signatures = check_authorities(root, path)? + 1;
                    // Where some are put off, another path may have to do.
                    let holds = jobs.is_none_or(|jobs| jobs.path(signatures));
                    holds.then_some(()).ok_or(webpki::Error::InvalidSignatureForPublicKey)
                }),
            );
            match path {
                Ok(_) => {
                    jobs.inspect(|jobs| jobs.clear());
                    return Ok(());
                }
                Err(error) if meter.left.load(Ordering::Relaxed) == 0 => return Err(error),
                Err(webpki::Error::UnknownIssuer) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    #[inline(never)]
    fn verify_handshake(&mut self, verify: &CertificateVerifyRef<'_>) -> Result<(), CertificateError> {
        let State::Chained { key, digest } = core::mem::replace(&mut self.state, State::Waiting) else {
            return Err(CertificateError::Missing);
        };
        let mut message = heapless::Vec::<u8, { 64 + CONTEXT.len() + DIGEST }>::new();
        message.resize(64, b' ').map_err(|_| CertificateError::HandshakeSignature)?;
        message.extend_from_slice(CONTEXT).map_err(|_| CertificateError::HandshakeSignature)?;
        message.extend_from_slice(&digest).map_err(|_| CertificateError::HandshakeSignature)?;

        let algorithm = self.algorithms.of_handshake(verify.signature_scheme).ok_or(CertificateError::Algorithm)?;
        let key = SubjectPublicKeyInfoDer::from(key.as_slice());
        let server = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::Malformed)?;
        let meter = Meter { left: AtomicU32::new(WORK), failed: AtomicUsize::new(0) };
        let jobs = self.deferred.map(Deferred::jobs);
        let wrong = CertificateError::HandshakeSignature;
        let algorithm = Metered { algorithm, meter: &meter, jobs };
        server.verify_signature(&algorithm, &message, verify.signature).map_err(|_| wrong)?;
        jobs.inspect(|jobs| jobs.close(Refusal::new(wrong)));
        Ok(())
    }
}

/// As many as there is room for, which is for all; collecting them would panic otherwise.
fn gathered<T>(all: impl Iterator<Item = T>) -> heapless::Vec<T, ALGORITHMS> {
    let mut gathered = heapless::Vec::new();
    for one in all {
        if gathered.push(one).is_err() {
            break;
        }
    }
    gathered
}

/// What webpki leaves out: keyUsage of the authorities on the path, and the root's path length. Returns how many they are.
fn check_authorities(root: &Root<'_>, path: &VerifiedPath<'_>) -> Result<usize, webpki::Error> {
    let mut authorities = 0;
    for authority in path.intermediate_certificates() {
        authorities += 1;
        let der = authority.der();
        if !Certificate::parse(&der).map_err(|_| webpki::Error::BadDer)?.may_sign_certificates() {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
    }
    match root.path_length {
        Some(limit) if authorities > usize::from(limit) => Err(webpki::Error::PathLenConstraintViolated),
        _ => Ok(authorities),
    }
}

impl<C: TlsCipherSuite> TlsVerifier<C> for Verifier<'_> {
    /// The name sent to the server has to be the one that is verified.
    fn set_hostname_verification(&mut self, hostname: &str) -> Result<(), TlsError> {
        if hostname.eq_ignore_ascii_case(self.host) {
            Ok(())
        } else {
            Err(self.refuse(Refusal::new(CertificateError::Host)))
        }
    }

    fn verify_certificate(&mut self, transcript: &C::Hash, certificates: CertificateRef<'_>) -> Result<(), TlsError> {
        self.deferred.inspect(|deferred| deferred.clear());
        self.verify_chain(&certificates).map_err(|refusal| self.refuse(refusal))?;
        let Some(CertificateEntryRef::X509(leaf)) = certificates.entries.first() else {
            return Err(self.refuse(Refusal::new(CertificateError::Missing)));
        };
        let kept = self.keep(leaf, &transcript.clone().finalize());
        kept.map_err(|error| self.refuse(Refusal::of(error, 0, leaf)))
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        self.verify_handshake(&verify).map_err(|error| self.refuse(Refusal::new(error)))?;
        self.state = State::Proven;
        Ok(())
    }
}
