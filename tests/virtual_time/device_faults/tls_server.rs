//! A TLS 1.3 server in memory whose encrypted records can be replaced: rustls does the handshake, and its key log lends
//! the keys for any other record.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use rsa::rand_core::OsRng;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{KeyLog, ServerConfig, ServerConnection};
use servicebus_core::driver::Transport;
use servicebus_core::time::Timestamp;
use servicebus_embassy::Close;
use servicebus_embassy::tls::{Algorithms, HandshakeError, Peer, Records, Refusal, Root, handshake};
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) const HOST: &str = "readings.servicebus.example";
/// 2026-06-01; certificates begin with 2026 and end with it.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
/// 2026-01-01.
pub(crate) const NOT_BEFORE: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Content types of TLS.
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

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

#[derive(Debug, Default)]
struct Secrets(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(label.to_owned(), secret.to_owned());
    }
}

impl Secrets {
    fn keys(&self, label: &str) -> Keys {
        Keys::of(&self.0.lock().unwrap_or_else(PoisonError::into_inner)[label])
    }
}

/// The keys of one direction (RFC 8446 §7.3) for AES-128-GCM with SHA-256, the only suite that the client offers.
struct Keys {
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

fn expand(secret: &[u8], label: &str, length: u8) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let mut info = vec![0, length, label.len() as u8];
    info.extend_from_slice(label.as_bytes());
    // An empty context, and the number of the only block.
    info.extend_from_slice(&[0, 1]);
    let block = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &info);
    block.as_ref()[..usize::from(length)].to_vec()
}

impl Keys {
    fn of(secret: &[u8]) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &expand(secret, "key", 16)).unwrap());
        Self { key, iv: expand(secret, "iv", 12), sequence: 0 }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence += 1;
        nonce.iter_mut().zip(&self.iv).for_each(|(byte, iv)| *byte ^= iv);
        Nonce::assume_unique_for_key(nonce)
    }

    /// A record around an inner plaintext: content, its type, padding; any of them can be missing.
    fn seal(&mut self, inner: &[u8]) -> Vec<u8> {
        let mut record = vec![APPLICATION_DATA, 3, 3];
        record.extend_from_slice(&(inner.len() as u16 + 16).to_be_bytes());
        let (mut body, nonce) = (inner.to_vec(), self.nonce());
        self.key.seal_in_place_append_tag(nonce, Aad::from(&record), &mut body).unwrap();
        record.append(&mut body);
        record
    }

    /// The content of a record.
    fn open(&mut self, record: &[u8]) -> Vec<u8> {
        let (mut body, nonce) = (record[5..].to_vec(), self.nonce());
        let inner = self.key.open_in_place(nonce, Aad::from(&record[..5]), &mut body).unwrap();
        let end = inner.iter().rposition(|byte| *byte != 0).expect("a content type");
        inner[..end].to_vec()
    }
}

/// The records of a scripted server, in place of rustls'.
#[derive(Clone)]
pub(crate) enum Sent {
    /// A record as it is.
    Raw(Vec<u8>),
    /// An inner plaintext, to be encrypted.
    Sealed(Vec<u8>),
}

/// Content with its type, as one inner plaintext.
pub(crate) fn inner(content: &[u8], kind: u8) -> Sent {
    Sent::Sealed([content, &[kind]].concat())
}

/// Replaces the encrypted part of the server's handshake.
pub(crate) type Flight<'a> = &'a dyn Fn(&[u8]) -> Vec<Sent>;

/// Replaces a record of the server that is not encrypted.
pub(crate) type Hello<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// One handshake message for each record.
pub(crate) fn whole(flight: &[u8]) -> Vec<Sent> {
    vec![inner(flight, HANDSHAKE)]
}

pub(crate) struct Script<'a> {
    /// The records in place of EncryptedExtensions to Finished.
    pub(crate) flight: Flight<'a>,
    /// The records after the client's Finished.
    pub(crate) after: Vec<Sent>,
}

fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while bytes.len() >= 5 {
        let length = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        found.push(&bytes[..length]);
        bytes = &bytes[length..];
    }
    found
}

struct Server<'a> {
    rustls: ServerConnection,
    secrets: Arc<Secrets>,
    script: Script<'a>,
    hello: Hello<'a>,
    output: Vec<u8>,
    /// The flight was sent.
    replaced: bool,
    /// All of the script was sent.
    done: bool,
}

impl Server<'_> {
    fn input(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.rustls.read_tls(&mut bytes).unwrap();
            // A failure is for the client to notice: rustls' alert follows.
            _ = self.rustls.process_new_packets();
        }
        let mut written = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut written).unwrap();
        }
        // An alert of rustls' behind the flight is of no interest: its place in the sequence is taken.
        if !std::mem::replace(&mut self.replaced, true) {
            let mut keys = self.secrets.keys("SERVER_HANDSHAKE_TRAFFIC_SECRET");
            let mut plain = Vec::new();
            for record in records(&written) {
                if record[0] == APPLICATION_DATA {
                    plain.extend(keys.open(record));
                } else {
                    self.output.extend((self.hello)(record));
                }
            }
            let sent = (self.script.flight)(&plain);
            self.send("SERVER_HANDSHAKE_TRAFFIC_SECRET", &sent);
        }
        if !self.rustls.is_handshaking() && !self.done {
            self.done = true;
            let sent = std::mem::take(&mut self.script.after);
            self.send("SERVER_TRAFFIC_SECRET_0", &sent);
        }
    }

    fn send(&mut self, secret: &str, sent: &[Sent]) {
        let mut keys = self.secrets.keys(secret);
        for sent in sent {
            match sent {
                Sent::Raw(bytes) => self.output.extend_from_slice(bytes),
                Sent::Sealed(inner) => self.output.extend(keys.seal(inner)),
            }
        }
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
    /// The server was refused.
    Refused(Refusal),
    /// The handshake or a read failed otherwise.
    Failed(String),
    /// The client waits for more.
    Waits,
    /// The panic's text.
    Panicked(String),
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
        let mut config = self.chain.config();
        let secrets = Arc::new(Secrets::default());
        config.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
        config.send_tls13_tickets = 0;
        let reads = !self.script.after.is_empty();
        let rustls = ServerConnection::new(Arc::new(config)).unwrap();
        let (script, hello) = (self.script, self.hello);
        let server = Server { rustls, secrets, script, hello, output: Vec::new(), replaced: false, done: false };
        let socket = Socket(Rc::new(RefCell::new(server)));

        let root = Root::from_certificate(&self.chain.root.der).unwrap();
        let peer = Peer {
            host: HOST,
            roots: core::slice::from_ref(&root),
            algorithms: Algorithms::ALL,
            now: self.now,
            judges_not_before: self.judges_not_before,
            remembered: None,
        };
        let (mut read, mut write) = (vec![0; self.buffer], vec![0; 4_096]);
        let records = Records { read: &mut read, write: &mut write };
        let attempt = async {
            match handshake(socket, records, peer, OsRng).await {
                Err(HandshakeError::Refused(refusal)) => Ended::Refused(refusal),
                Err(error) => Ended::Failed(error.to_string()),
                Ok(_) if !reads => Ended::Opened(None),
                Ok(mut connection) => match connection.split().0.read(&mut [0; 256]).await {
                    Ok(count) => Ended::Opened(Some(count)),
                    Err(error) => Ended::Failed(format!("{error:?}")),
                },
            }
        };
        let to_end = AssertUnwindSafe(|| {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut attempt = pin!(attempt);
            loop {
                match attempt.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(ended) => return ended,
                    // It lets other tasks have their turn.
                    Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
                    Poll::Pending => return Ended::Waits,
                }
            }
        });
        catch_unwind(to_end).unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            Ended::Panicked(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default())
        })
    }
}
