//! TLS 1.3 without an allocator: embedded-tls for the protocol, webpki for the certificates' chain.
//!
//! embedded-tls leaves it to its user to verify the server, and lets a handshake pass in which the server never showed
//! a certificate. [`handshake`] closes both gaps; [`Verifier`] is its part for those who drive embedded-tls themselves.

mod certificate;
mod cipher;
mod deferred;
mod dialer;
mod ecdsa;
mod handshake;
mod joined;
mod montgomery;
mod refusal;
mod remembered;
mod root;
mod rsa;
mod socket;
mod verifier;

pub use deferred::Deferred;
pub use dialer::{Encrypted, Tls, TlsDialError};
pub use embedded_tls::{CryptoRng, CryptoRngCore, TlsError};
pub use handshake::{HandshakeError, Peer, Records, handshake};
pub use refusal::{CertificateError, Refusal, RefusedCertificate};
pub use remembered::Remembered;
pub use root::{Root, RootError};
pub use rustls_pki_types::{CertificateDer, TrustAnchor};
pub use verifier::{Algorithms, Verifier};
