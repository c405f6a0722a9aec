//! The whole TLS client of a device against a server in memory, whose certificates and records are chosen.

use crate::forged::{Hello, Script, Server, whole};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rsa::rand_core::OsRng;
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use servicebus_core::driver::Transport;
use servicebus_core::time::Timestamp;
use servicebus_embassy::Close;
use servicebus_embassy::tls::{CertificateError, HandshakeError, Peer, Records, Root, handshake};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) const HOST: &str = "readings.servicebus.example";
/// 2026-06-01; certificates begin with 2026 and end with it.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
/// 2026-01-01.
pub(crate) const NOT_BEFORE: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.into()));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server() -> CertificateParams {
    let mut params = named("server");
    params.subject_alt_names = CertificateParams::new(vec![HOST.to_owned()]).unwrap().subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A critical extension that no verifier knows.
pub(crate) fn unknown_critical(mut params: CertificateParams) -> CertificateParams {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn root() -> Signed {
    let (params, key) = (authority("root"), key());
    let der = params.self_signed(&key).unwrap().der().clone();
    Signed { der, issuer: Issuer::new(params, key) }
}

impl Signed {
    pub(crate) fn sign(&self, params: CertificateParams) -> Self {
        let key = key();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }
}

/// The root, and the chain below it: the server's certificate first.
pub(crate) struct Chain {
    pub(crate) root: Signed,
    pub(crate) shown: Vec<Signed>,
}

impl Chain {
    /// A server's certificate below so many intermediates, each of which `change` can alter.
    pub(crate) fn new(intermediates: usize, change: impl Fn(usize, CertificateParams) -> CertificateParams) -> Self {
        let root = root();
        let mut shown: Vec<Signed> = Vec::new();
        for number in 0..=intermediates {
            let leaf = number == intermediates;
            let params = if leaf { server() } else { authority(&format!("intermediate {number}")) };
            let params = change(intermediates - number, params);
            let signed = shown.first().unwrap_or(&root).sign(params);
            shown.insert(0, signed);
        }
        Self { root, shown }
    }

    pub(crate) fn plain() -> Self {
        Self::new(0, |_, params| params)
    }

    /// A server that shows this chain.
    pub(crate) fn config(&self) -> ServerConfig {
        let chain = self.shown.iter().map(|signed| signed.der.clone()).collect();
        let key = PrivateKeyDer::try_from(self.shown[0].issuer.key().serialize_der()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, any_supported_type(&key).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
    }
}

#[derive(Clone)]
struct Socket<'a>(Rc<RefCell<Server<'a>>>);

impl ErrorType for Socket<'_> {
    type Error = ErrorKind;
}

impl Read for Socket<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        std::future::poll_fn(|_| {
            let output = &mut self.0.borrow_mut().output;
            let count = output.len().min(buffer.len());
            if count == 0 {
                return Poll::Pending;
            }
            buffer[..count].copy_from_slice(&output[..count]);
            output.drain(..count);
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Close for Socket<'_> {}

impl Write for Socket<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().input(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Whether the future wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The handshake is done; and a read, where there was one, gave so many bytes.
    Opened(Option<usize>),
    /// The server was refused: the rule, and the place in the chain of the certificate that broke it.
    Refused(CertificateError, Option<u8>),
    /// The handshake or a read failed otherwise.
    Failed(String),
    /// The client waits for more.
    Waits,
    /// The panic's text.
    Panicked(String),
}

/// What can be seen of a handshake.
pub(crate) struct Watched {
    pub(crate) ended: Ended,
    pub(crate) polls: usize,
    /// The server has had the client's Finished.
    pub(crate) answered: bool,
}

/// The server's side of a handshake.
pub(crate) struct Attempt<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) now: Timestamp,
    /// Whether a certificate that is not valid yet is refused.
    pub(crate) judges_not_before: bool,
    pub(crate) script: Script<'a>,
    /// What becomes of the records that are not encrypted.
    pub(crate) hello: Hello<'a>,
    /// Bytes of the device's buffer for records.
    pub(crate) buffer: usize,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            now: NOW,
            judges_not_before: true,
            script: Script { flight: &whole, after: Vec::new() },
            hello: &<[u8]>::to_vec,
            buffer: 16_640,
        }
    }

    /// Runs the handshake, and one read where the script has records for it.
    pub(crate) fn run(self) -> Ended {
        self.watch().ended
    }

    /// The same, with what can be seen from outside.
    pub(crate) fn watch(self) -> Watched {
        let reads = !self.script.after.is_empty();
        let server = Server::new(self.chain.config(), self.script, self.hello);
        let server = Rc::new(RefCell::new(server));
        let socket = Socket(Rc::clone(&server));

        let root = Root::from_certificate(&self.chain.root.der).unwrap();
        let peer = Peer::new(core::slice::from_ref(&root), HOST, self.now);
        let peer = if self.judges_not_before { peer } else { peer.without_not_before() };
        let (mut read, mut write) = (vec![0; self.buffer], vec![0; 4_096]);
        let records = Records::new(&mut read, &mut write);
        let attempt = async {
            match handshake(socket, records, peer, OsRng).await {
                Err(HandshakeError::Refused(refusal)) => {
                    Ended::Refused(refusal.error, refusal.certificate.map(|certificate| certificate.index()))
                }
                Err(error) => Ended::Failed(error.to_string()),
                Ok(_) if !reads => Ended::Opened(None),
                Ok(mut connection) => match connection.split().0.read(&mut [0; 256]).await {
                    Ok(count) => Ended::Opened(Some(count)),
                    Err(error) => Ended::Failed(format!("{error:?}")),
                },
            }
        };
        let mut polls = 0;
        let to_end = AssertUnwindSafe(|| {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut attempt = pin!(attempt);
            loop {
                polls += 1;
                match attempt.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(ended) => return ended,
                    // It lets other tasks have their turn.
                    Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
                    Poll::Pending => return Ended::Waits,
                }
            }
        });
        let ended = catch_unwind(to_end).unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            Ended::Panicked(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default())
        });
        let answered = !server.borrow().is_handshaking();
        Watched { ended, polls, answered }
    }
}
