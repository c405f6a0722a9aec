//! TLS 1.3 without an allocator: embedded-tls for the protocol, webpki for the certificates' chain.
//!
//! embedded-tls leaves it to its user to verify the server, and lets a handshake pass in which the server never showed
//! a certificate. [`Verifier`] does the first, and [`Verifier::is_proven`] must be asked after the second.

mod certificate;
mod ecdsa;
mod root;
mod rsa;
mod verifier;

pub use root::{Root, RootError};
pub use rustls_pki_types::{CertificateDer, TrustAnchor};
pub use verifier::{Algorithms, Refusal, Verifier};
