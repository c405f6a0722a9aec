//! A TLS 1.3 server whose encrypted records can be replaced: rustls does the handshake, and its key log lends the keys for
//! any other record.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hmac;
use rustls::{KeyLog, ServerConfig, ServerConnection};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Content types of TLS.
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

#[derive(Debug, Default)]
struct Secrets(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(label.to_owned(), secret.to_owned());
    }
}

impl Secrets {
    fn get(&self, label: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }

    fn keys(&self, label: &str) -> Option<Keys> {
        self.get(label).map(|secret| Keys::of(&secret))
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
    /// Handshake messages, and behind them a Finished that is right for them (RFC 8446 §4.4.4): whoever has exchanged keys with
    /// the client can make it.
    Finished(Vec<u8>),
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

/// The server, without a network: what comes in, and what goes out.
pub(crate) struct Server<'a> {
    rustls: ServerConnection,
    secrets: Arc<Secrets>,
    script: Script<'a>,
    hello: Hello<'a>,
    pub(crate) output: Vec<u8>,
    /// The client's hello and the server's, as messages.
    hellos: Vec<u8>,
    /// The flight was sent.
    replaced: bool,
    /// All of the script was sent.
    done: bool,
}

impl<'a> Server<'a> {
    pub(crate) fn new(mut config: ServerConfig, script: Script<'a>, hello: Hello<'a>) -> Self {
        let secrets = Arc::new(Secrets::default());
        config.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
        config.send_tls13_tickets = 0;
        let rustls = ServerConnection::new(Arc::new(config)).expect("the configuration is whole");
        Self { rustls, secrets, script, hello, output: Vec::new(), hellos: Vec::new(), replaced: false, done: false }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    pub(crate) fn input(&mut self, mut bytes: &[u8]) {
        if !self.replaced {
            // The client's hello is one record, and comes at once.
            self.hellos.extend(bytes.get(5..).unwrap_or_default());
        }
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
        if let Some(mut keys) = self.secrets.keys("SERVER_HANDSHAKE_TRAFFIC_SECRET").filter(|_| !self.replaced) {
            self.replaced = true;
            let mut plain = Vec::new();
            for record in records(&written) {
                if record[0] == APPLICATION_DATA {
                    plain.extend(keys.open(record));
                } else {
                    if record[0] == HANDSHAKE {
                        self.hellos.extend(&record[5..]);
                    }
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
        let Some(mut keys) = self.secrets.keys(secret) else { return };
        for sent in sent {
            match sent {
                Sent::Raw(bytes) => self.output.extend_from_slice(bytes),
                Sent::Sealed(inner) => self.output.extend(keys.seal(inner)),
                Sent::Finished(messages) => {
                    let key = expand(&self.secrets.get(secret).unwrap_or_default(), "finished", 32);
                    let transcript = digest(&SHA256, &[&self.hellos[..], messages].concat());
                    let check = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), transcript.as_ref());
                    let finished = [&messages[..], &[20, 0, 0, 32], check.as_ref(), &[HANDSHAKE]].concat();
                    self.output.extend(keys.seal(&finished));
                }
            }
        }
    }
}
