//! The certificate verifier in whole handshakes of embedded-tls with a rustls server that shows whatever it is told.

use embedded_io::ErrorType;
use embedded_tls::blocking::{CryptoProvider, TlsConfig, TlsConnection, TlsContext, TlsVerifier};
use embedded_tls::{Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef};
use embedded_tls::{CryptoRngCore, SignatureScheme, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, SigningKey, date_time_ymd,
};
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use servicebus_core::time::Timestamp;
use servicebus_embassy::tls::{Algorithms, CertificateError, Deferred, Refusal, Remembered, Root, RootError, Verifier};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};

const HOST: &str = "readings.servicebus.example";
/// 2026-06-01.
const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);

static RSA_KEY: LazyLock<Vec<u8>> =
    LazyLock::new(|| rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec());

#[derive(Clone, Copy)]
enum Kind {
    P256,
    P384,
    Rsa,
}

fn key(kind: Kind) -> KeyPair {
    match kind {
        Kind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        Kind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        Kind::Rsa => {
            let der = PrivateKeyDer::try_from(RSA_KEY.as_slice()).unwrap();
            KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap()
        }
    }
}

/// A certificate with its key, which may sign others whether it is allowed to or not.
struct Signed {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.into()));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority(name: &str, path: BasicConstraints) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(path);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(names: &[&str]) -> CertificateParams {
    let mut params = named("server");
    let names = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names = names.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn root(params: CertificateParams, kind: Kind) -> Signed {
    let key = key(kind);
    let der = params.self_signed(&key).unwrap().der().clone();
    Signed { der, issuer: Issuer::new(params, key) }
}

impl Signed {
    fn sign(&self, params: CertificateParams, kind: Kind) -> Self {
        let key = key(kind);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.issuer.key().serialize_der()).unwrap()
    }
}

struct Io(TcpStream);

impl ErrorType for Io {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Io {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buffer).map_err(|_| embedded_io::ErrorKind::Other)
    }
}

impl embedded_io::Write for Io {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(bytes).map_err(|_| embedded_io::ErrorKind::Other)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().map_err(|_| embedded_io::ErrorKind::Other)
    }
}

struct Provider<'a>(Verifier<'a>);

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = &'static [u8];

    fn rng(&mut self) -> impl CryptoRngCore {
        OsRng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.0)
    }
}

/// The rule that was broken, and the place in the chain of the certificate that broke it.
type Broken = (CertificateError, Option<u8>);

fn broken(refusal: Refusal) -> Broken {
    (refusal.error, refusal.certificate.map(|certificate| certificate.index()))
}

/// What the server shows and signs with, and what the client expects.
struct Attempt<'a> {
    chain: Vec<&'a Signed>,
    key: Option<&'a Signed>,
    root: &'a Signed,
    host: &'a str,
    now: Timestamp,
    algorithms: Algorithms,
    remembered: Option<&'a Remembered>,
}

impl<'a> Attempt<'a> {
    fn new(root: &'a Signed, chain: impl IntoIterator<Item = &'a Signed>) -> Self {
        let (chain, algorithms) = (chain.into_iter().collect(), Algorithms::ALL);
        Self { chain, key: None, root, host: HOST, now: NOW, algorithms, remembered: None }
    }

    fn run(&self) -> Result<(), Broken> {
        self.refusal().map_err(broken)
    }

    /// Both with signatures that are put off and with those that are verified where they are met.
    fn refusal(&self) -> Result<(), Refusal> {
        let deferred = self.run_once(true);
        let result = self.run_once(false);
        assert_eq!(deferred, result, "signatures that are put off");
        result
    }

    fn run_once(&self, in_steps: bool) -> Result<(), Refusal> {
        let chain = self.chain.iter().map(|signed| signed.der.clone()).collect();
        let signing_key = any_supported_type(&self.key.unwrap_or(self.chain[0]).private_key()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, signing_key);
        // Named: where the workspace is built with all features, there are two providers.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let server = std::thread::spawn(move || {
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            let mut greeting = [0; 5];
            stream.read_exact(&mut greeting).and_then(|()| stream.write_all(&greeting)).is_ok()
        });

        let root = Root::from_certificate(&self.root.der).unwrap();
        let deferred = Deferred::new();
        let deferred = in_steps.then_some(&deferred);
        let verifier = Verifier::new(core::slice::from_ref(&root), self.host, self.now, self.algorithms);
        let verifier = match self.remembered {
            Some(remembered) => verifier.with_remembered(remembered),
            None => verifier,
        };
        let mut provider = Provider(match deferred {
            Some(deferred) => verifier.with_deferred(deferred),
            None => verifier,
        });
        let config = TlsConfig::new().enable_rsa_signatures().with_server_name(self.host);
        let (mut read, mut write) = ([0; 16640], [0; 4096]);
        let mut tls = TlsConnection::new(Io(client), &mut read, &mut write);
        let opened = tls.open(TlsContext::new(&config, &mut provider));
        let refusal = provider.0.refusal().or_else(|| {
            let deferred = deferred?;
            let due = deferred.is_due();
            assert_eq!(provider.0.is_proven(), !due, "not before all signatures are verified");
            loop {
                match deferred.step() {
                    Ok(true) => assert!(!provider.0.is_proven()),
                    Ok(false) => return None,
                    Err(refusal) => {
                        assert_eq!(deferred.step(), Err(refusal), "and ever after");
                        return Some(refusal);
                    }
                }
            }
        });
        let result = match refusal {
            Some(refusal) => {
                assert!(opened.is_err() || deferred.is_some());
                assert!(!provider.0.is_proven());
                Err(refusal)
            }
            None => {
                opened.unwrap();
                assert!(provider.0.is_proven());
                tls.write(b"hello").unwrap();
                tls.flush().unwrap();
                let mut answer = [0; 5];
                tls.read(&mut answer).unwrap();
                assert_eq!(&answer, b"hello");
                Ok(())
            }
        };
        drop(tls);
        assert_eq!(server.join().unwrap(), result.is_ok());
        result
    }
}

#[test]
fn good_chains_of_every_kind() {
    for kind in [Kind::P256, Kind::P384, Kind::Rsa] {
        let root = root(authority("root", BasicConstraints::Unconstrained), kind);
        let direct = root.sign(server(&[HOST]), kind);
        assert_eq!(Attempt::new(&root, [&direct]).run(), Ok(()));
        let middle = root.sign(authority("middle", BasicConstraints::Constrained(0)), kind);
        let leaf = middle.sign(server(&[HOST]), kind);
        assert_eq!(Attempt::new(&root, [&leaf, &middle]).run(), Ok(()));
    }
}

#[test]
fn kinds_can_be_mixed_and_left_out() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::Rsa);
    let middle = root.sign(authority("middle", BasicConstraints::Unconstrained), Kind::P384);
    let leaf = middle.sign(server(&[HOST]), Kind::P256);
    let mut attempt = Attempt::new(&root, [&leaf, &middle]);
    assert_eq!(attempt.run(), Ok(()));
    attempt.algorithms = Algorithms::ECDSA;
    assert_eq!(attempt.run(), Err((CertificateError::Algorithm, Some(1))));
}

#[test]
fn another_host_is_refused() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let mut common_name_only = server(&[]);
    common_name_only.distinguished_name = rcgen::DistinguishedName::new();
    common_name_only.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(HOST.into()));
    let others = [
        server(&["other.servicebus.example"]),
        server(&["servicebus.example"]),
        server(&["*.example"]),
        server(&["*.readings.servicebus.example"]),
        server(&["readings.servicebus.example.evil.example"]),
        server(&["10.0.2.2"]),
        common_name_only,
    ];
    for params in others {
        let leaf = root.sign(params, Kind::P256);
        assert_eq!(Attempt::new(&root, [&leaf]).run(), Err((CertificateError::Host, Some(0))));
    }
}

#[test]
fn every_alternative_name_counts() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let mut names: Vec<String> = (0..19).map(|number| format!("name-{number}.servicebus.example")).collect();
    names.push(HOST.into());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let leaf = root.sign(server(&names), Kind::P256);
    assert_eq!(Attempt::new(&root, [&leaf]).run(), Ok(()));

    let wildcard = root.sign(server(&["*.servicebus.example"]), Kind::P256);
    assert_eq!(Attempt::new(&root, [&wildcard]).run(), Ok(()));

    let address = root.sign(server(&["127.0.0.1"]), Kind::P256);
    let server = Attempt { host: "127.0.0.1", ..Attempt::new(&root, [&address]) };
    assert_eq!(server.run(), Ok(()));
}

#[test]
fn names_may_have_253_bytes() {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(name.len(), 253);
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = root.sign(server(&[&name]), Kind::P256);
    let mut attempt = Attempt { host: &name, ..Attempt::new(&root, [&leaf]) };
    assert_eq!(attempt.run(), Ok(()));
    let other = name.replacen('b', "c", 1);
    attempt.host = &other;
    assert_eq!(attempt.run(), Err((CertificateError::Host, Some(0))));
}

#[test]
fn an_untrusted_root_is_refused() {
    let trusted = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let elsewhere = root(authority("elsewhere", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = elsewhere.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&trusted, [&leaf]).run(), Err((CertificateError::Untrusted, Some(0))));
    assert_eq!(Attempt::new(&trusted, [&leaf, &elsewhere]).run(), Err((CertificateError::Untrusted, Some(1))));
    // The same name with another key.
    let impostor = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = impostor.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&trusted, [&leaf]).run(), Err((CertificateError::Signature, Some(0))));
    // Signed by nobody but itself.
    let itself = root(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&trusted, [&itself]).run(), Err((CertificateError::Untrusted, Some(0))));
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let mut middle = authority("middle", BasicConstraints::Unconstrained);
    middle.not_after = date_time_ymd(2026, 5, 1);
    let middle = root.sign(middle, Kind::P256);
    let leaf = root.sign(server(&[HOST]), Kind::P256);
    let under_expired = middle.sign(server(&[HOST]), Kind::P256);
    let mut attempt = Attempt::new(&root, [&leaf]);
    // 2027-01-02, 2025-12-31, and a device that has no clock.
    for (now, broken) in [
        (1_798_848_000, (CertificateError::Expired, Some(0))),
        (1_767_139_200, (CertificateError::NotYetValid, Some(0))),
        (0, (CertificateError::NotYetValid, Some(0))),
        (-1, (CertificateError::Clock, None)),
    ] {
        attempt.now = Timestamp::from_secs(now);
        assert_eq!(attempt.run(), Err(broken));
    }
    let attempt = Attempt::new(&root, [&under_expired, &middle]);
    assert_eq!(attempt.run(), Err((CertificateError::Expired, Some(1))));
    // Its place is the one in which it was shown; what lies beside the path does not count.
    let attempt = Attempt::new(&root, [&under_expired, &leaf, &middle]);
    assert_eq!(attempt.run(), Err((CertificateError::Expired, Some(2))));
}

#[test]
fn only_authorities_sign_certificates() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = root.sign(server(&["stolen.servicebus.example"]), Kind::P256);
    let rogue = leaf.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&root, [&rogue, &leaf]).run(), Err((CertificateError::NotAnAuthority, Some(1))));

    let mut without_sign = authority("middle", BasicConstraints::Unconstrained);
    without_sign.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let middle = root.sign(without_sign, Kind::P256);
    let rogue = middle.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&root, [&rogue, &middle]).run(), Err((CertificateError::KeyUsage, Some(1))));

    // An authority is not a server either.
    let mut both = server(&[HOST]);
    both.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let both = root.sign(both, Kind::P256);
    assert_eq!(Attempt::new(&root, [&both]).run(), Err((CertificateError::AuthorityAsServer, Some(0))));
}

#[test]
fn path_lengths_bind() {
    let short = root(authority("root", BasicConstraints::Constrained(0)), Kind::P256);
    let middle = short.sign(authority("middle", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = middle.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&short, [&leaf, &middle]).run(), Err((CertificateError::PathLength, None)));

    let root = root(authority("root", BasicConstraints::Constrained(2)), Kind::P256);
    let outer = root.sign(authority("outer", BasicConstraints::Constrained(0)), Kind::P256);
    let inner = outer.sign(authority("inner", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = inner.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&root, [&leaf, &inner, &outer]).run(), Err((CertificateError::PathLength, Some(2))));
}

#[test]
fn uses_and_names_are_constrained() {
    let plain = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let mut client = server(&[HOST]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = plain.sign(client, Kind::P256);
    assert_eq!(Attempt::new(&plain, [&leaf]).run(), Err((CertificateError::ExtendedKeyUsage, Some(0))));

    let mut encipher = server(&[HOST]);
    encipher.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let leaf = plain.sign(encipher, Kind::P256);
    assert_eq!(Attempt::new(&plain, [&leaf]).run(), Err((CertificateError::KeyUsage, Some(0))));

    let mut constrained = authority("root", BasicConstraints::Unconstrained);
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("elsewhere.example".into())],
        excluded_subtrees: vec![],
    });
    let root = root(constrained, Kind::P256);
    let leaf = root.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Attempt::new(&root, [&leaf]).run(), Err((CertificateError::NameConstraint, Some(0))));
}

#[test]
fn the_server_has_to_hold_the_key() {
    for kind in [Kind::P256, Kind::P384] {
        let root = root(authority("root", BasicConstraints::Unconstrained), kind);
        let leaf = root.sign(server(&[HOST]), kind);
        let thief = root.sign(server(&["thief.servicebus.example"]), kind);
        let attempt = Attempt { key: Some(&thief), ..Attempt::new(&root, [&leaf]) };
        assert_eq!(attempt.run(), Err((CertificateError::HandshakeSignature, None)));
    }
}

/// embedded-tls lets a server finish that skips its certificate, or its signature: neither may count as proven.
#[test]
fn nothing_is_proven_before_both_messages() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = root.sign(server(&[HOST]), Kind::P256);
    let roots = [Root::from_certificate(&root.der).unwrap()];
    let transcript = Sha256::new().chain_update(b"a handshake");
    let content = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &transcript.clone().finalize()].concat();
    let signature = leaf.issuer.key().sign(&content).unwrap();
    let verify =
        || CertificateVerifyRef { signature_scheme: SignatureScheme::EcdsaSecp256r1Sha256, signature: &signature };
    let show = |verifier: &mut Verifier<'_>, signed: &Signed| {
        let mut certificates = CertificateRef::with_context(&[]);
        certificates.add(CertificateEntryRef::X509(&signed.der)).unwrap();
        TlsVerifier::<Aes128GcmSha256>::verify_certificate(verifier, &transcript, certificates).is_ok()
    };
    let prove =
        |verifier: &mut Verifier<'_>| TlsVerifier::<Aes128GcmSha256>::verify_signature(verifier, verify()).is_ok();
    let fresh = || Verifier::new(&roots, HOST, NOW, Algorithms::ALL);

    let mut verifier = fresh();
    assert!(!verifier.is_proven());
    assert!(!prove(&mut verifier) && !verifier.is_proven());
    assert_eq!(verifier.refusal().map(broken), Some((CertificateError::Missing, None)));

    let mut verifier = fresh();
    assert!(show(&mut verifier, &leaf) && !verifier.is_proven());
    assert!(prove(&mut verifier) && verifier.is_proven());
    // A second chain after the signature starts all over.
    assert!(show(&mut verifier, &leaf) && !verifier.is_proven());
    // A signature counts once.
    assert!(prove(&mut verifier));
    assert!(!prove(&mut verifier) && !verifier.is_proven());

    let mut verifier = fresh();
    let certificates = CertificateRef::with_context(&[]);
    assert!(TlsVerifier::<Aes128GcmSha256>::verify_certificate(&mut verifier, &transcript, certificates).is_err());
    assert_eq!(verifier.refusal().map(broken), Some((CertificateError::Missing, None)));

    let other = root.sign(server(&[HOST]), Kind::P256);
    let mut verifier = fresh();
    assert!(show(&mut verifier, &other) && !prove(&mut verifier));
    assert_eq!(verifier.refusal().map(broken), Some((CertificateError::HandshakeSignature, None)));
}

#[test]
fn pkcs1_is_for_certificates_only() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::Rsa);
    let leaf = root.sign(server(&[HOST]), Kind::Rsa);
    let roots = [Root::from_certificate(&root.der).unwrap()];
    let transcript = Sha256::new();
    let content = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &transcript.clone().finalize()].concat();
    let signature = leaf.issuer.key().sign(&content).unwrap();
    let mut verifier = Verifier::new(&roots, HOST, NOW, Algorithms::ALL);
    let mut certificates = CertificateRef::with_context(&[]);
    certificates.add(CertificateEntryRef::X509(&leaf.der)).unwrap();
    TlsVerifier::<Aes128GcmSha256>::verify_certificate(&mut verifier, &transcript, certificates).unwrap();
    let verify = CertificateVerifyRef { signature_scheme: SignatureScheme::RsaPkcs1Sha256, signature: &signature };
    assert!(TlsVerifier::<Aes128GcmSha256>::verify_signature(&mut verifier, verify).is_err());
    assert_eq!(verifier.refusal().map(broken), Some((CertificateError::Algorithm, None)));
}

#[test]
fn malformed_certificates_are_refused() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = root.sign(server(&[HOST]), Kind::P256);
    let roots = [Root::from_certificate(&root.der).unwrap()];
    let transcript = Sha256::new();
    let refusal = |der: &[u8]| {
        let mut verifier = Verifier::new(&roots, HOST, NOW, Algorithms::ALL);
        let mut certificates = CertificateRef::with_context(&[]);
        certificates.add(CertificateEntryRef::X509(der)).unwrap();
        let verified = TlsVerifier::<Aes128GcmSha256>::verify_certificate(&mut verifier, &transcript, certificates);
        assert_eq!(verified.is_err(), verifier.refusal().is_some());
        verifier.refusal().map(broken)
    };
    assert_eq!(refusal(&leaf.der), None);
    for length in 0..leaf.der.len() {
        assert_eq!(refusal(&leaf.der[..length]), Some((CertificateError::Malformed, Some(0))));
    }
    for at in 0..leaf.der.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut damaged = leaf.der.to_vec();
            damaged[at] ^= bit;
            let (error, index) = refusal(&damaged).expect("a damaged certificate is refused");
            assert_eq!(index, Some(0), "byte {at}: {error}");
        }
    }
    // In the serial number, the key, and the signature: what is read is still a certificate.
    let key = leaf.der.windows(4).position(|window| window == [3, 66, 0, 4]).unwrap();
    for at in [20, key + 10, leaf.der.len() - 4] {
        let mut damaged = leaf.der.to_vec();
        damaged[at] ^= 1;
        assert_eq!(refusal(&damaged), Some((CertificateError::Signature, Some(0))), "byte {at}");
    }
}

#[test]
fn roots_are_authorities() {
    let root_certificate = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let leaf = root_certificate.sign(server(&[HOST]), Kind::P256);
    assert_eq!(Root::from_certificate(&leaf.der).unwrap_err(), RootError::NotAnAuthority);
    let mut without_sign = authority("root", BasicConstraints::Unconstrained);
    without_sign.key_usages = vec![KeyUsagePurpose::CrlSign];
    let without_sign = root(without_sign, Kind::P256);
    assert_eq!(Root::from_certificate(&without_sign.der).unwrap_err(), RootError::NotAnAuthority);
    let nonsense = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert_eq!(Root::from_certificate(&nonsense).unwrap_err(), RootError::Malformed);
}

/// A chain that is remembered replaces the signatures of its certificates, and no other check.
#[test]
fn a_remembered_chain_lets_no_other_server_in() {
    let kind = Kind::P256;
    let trusted = root(authority("root", BasicConstraints::Unconstrained), kind);
    let middle = trusted.sign(authority("middle", BasicConstraints::Unconstrained), kind);
    let leaf = middle.sign(server(&[HOST]), kind);
    let other = root(authority("root", BasicConstraints::Unconstrained), kind);
    let stranger = other.sign(server(&[HOST]), kind);
    let remembered = Remembered::new(std::time::Duration::from_secs(3_600));
    let with = |root, chain: Vec<_>| Attempt { remembered: Some(&remembered), ..Attempt::new(root, chain) };
    for _ in 0..3 {
        assert_eq!(with(&trusted, vec![&leaf, &middle]).run(), Ok(()));
        // The same chain without its key, under another root of the same name, for another host, when it has ended.
        let stolen = Attempt { key: Some(&stranger), ..with(&trusted, vec![&leaf, &middle]) };
        assert_eq!(stolen.run(), Err((CertificateError::HandshakeSignature, None)));
        assert_eq!(with(&other, vec![&leaf, &middle]).run(), Err((CertificateError::Signature, Some(1))));
        let elsewhere = Attempt { host: "other.servicebus.example", ..with(&trusted, vec![&leaf, &middle]) };
        assert_eq!(elsewhere.run(), Err((CertificateError::Host, Some(0))));
        let late = Attempt { now: Timestamp::from_secs(1_830_000_000), ..with(&trusted, vec![&leaf, &middle]) };
        assert_eq!(late.run(), Err((CertificateError::Expired, Some(0))));
        // Other chains.
        assert_eq!(with(&trusted, vec![&stranger]).run(), Err((CertificateError::Signature, Some(0))));
        assert_eq!(with(&trusted, vec![&stranger, &middle]).run(), Err((CertificateError::Signature, Some(0))));
        assert_eq!(with(&trusted, vec![&leaf]).run(), Err((CertificateError::Untrusted, Some(0))));
        assert_eq!(with(&trusted, vec![&leaf, &middle, &stranger]).run(), Ok(()));
    }
}

/// A server that is not verified yet chooses what is tried: certificates of one name, each of which may be the signer.
#[test]
fn a_server_cannot_keep_the_device_busy_with_signatures() {
    let trusted = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    let same_name = || trusted.sign(authority("middle", BasicConstraints::Unconstrained), Kind::P256);
    let signer = same_name();
    let leaf = signer.sign(server(&[HOST]), Kind::P256);
    let others: Vec<_> = (0..6).map(|_| same_name()).collect();
    let mut chain = vec![&leaf];
    chain.extend(&others);
    assert_eq!(Attempt::new(&trusted, chain).run(), Err((CertificateError::TooLong, Some(6))));
    // Two of a name, as when an authority has renewed its key, are no reason to refuse.
    assert_eq!(Attempt::new(&trusted, [&leaf, &others[0], &signer]).run(), Ok(()));
    let mut chain = vec![&leaf];
    chain.extend(&others[..4]);
    chain.push(&signer);
    assert_eq!(Attempt::new(&trusted, chain).run(), Ok(()), "as many as the work allows");
}

/// A log names the certificate as people know it, whatever a server that is not verified puts there.
#[test]
fn refusals_name_the_certificate() {
    let root = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
    for (common_name, name) in [
        ("Contoso Issuing CA 07", "Contoso Issuing CA 07"),
        ("M\u{fc}ller\r\nroot: trusted \u{1b}[0m", "M??ller??root: trusted ?[0m"),
        (&"long ".repeat(20), "long long long long long long long long "),
    ] {
        let mut middle = authority(common_name, BasicConstraints::Unconstrained);
        middle.not_after = date_time_ymd(2026, 5, 1);
        let middle = root.sign(middle, Kind::P256);
        let leaf = middle.sign(server(&[HOST]), Kind::P256);
        let refusal = Attempt::new(&root, [&leaf, &middle]).refusal().unwrap_err();
        assert_eq!(refusal.to_string(), format!("certificate 1 ({name}): expired"));
    }
    let mut nameless = server(&["other.example"]);
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    nameless.serial_number = Some(vec![0x0a, 1, 2, 3, 4, 5, 6, 0xff, 8, 9].into());
    let nameless = root.sign(nameless, Kind::P256);
    let refusal = Attempt::new(&root, [&nameless]).refusal().unwrap_err();
    assert_eq!(refusal.to_string(), "certificate 0 (serial 0a010203040506ff): not for this host");
    assert_eq!(refusal.certificate.unwrap().name(), "serial 0a010203040506ff");
}

/// Each rule, broken by another certificate than the server's.
#[test]
fn the_place_in_the_chain_is_that_of_the_certificate() {
    type Change = fn(&mut CertificateParams);
    let rules: [(CertificateError, Change); 5] = [
        (CertificateError::Expired, |params| params.not_after = date_time_ymd(2026, 5, 1)),
        (CertificateError::NotYetValid, |params| params.not_before = date_time_ymd(2026, 7, 1)),
        (CertificateError::NotAnAuthority, |params| params.is_ca = IsCa::ExplicitNoCa),
        (CertificateError::KeyUsage, |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
        (CertificateError::ExtendedKeyUsage, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }),
    ];
    for (error, change) in rules {
        for bearer in 1..=3 {
            let trusted = root(authority("root", BasicConstraints::Unconstrained), Kind::P256);
            let mut chain: Vec<Signed> = Vec::new();
            for place in (0..=3).rev() {
                let name = format!("authority {place}");
                let mut params = match place {
                    0 => server(&[HOST]),
                    _ => authority(&name, BasicConstraints::Unconstrained),
                };
                if place == bearer {
                    change(&mut params);
                }
                let signed = chain.first().unwrap_or(&trusted).sign(params, Kind::P256);
                chain.insert(0, signed);
            }
            let refusal = Attempt::new(&trusted, &chain).refusal().unwrap_err();
            assert_eq!(broken(refusal), (error, Some(bearer)));
            assert_eq!(refusal.certificate.unwrap().name(), format!("authority {bearer}"));
        }
    }
}
