//! Which certificates are trusted, and by whose cryptography.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::sync::OnceLock;

/// Which certificates are trusted.
///
/// Cryptography is that of the process's default provider
/// ([`CryptoProvider::install_default`](rustls::crypto::CryptoProvider::install_default)) where the program has
/// installed one, else aws-lc-rs (feature `aws-lc-rs`), else ring (feature `ring`, a default of the adapters): a
/// program that turns `aws-lc-rs` on gets it, even where another dependency has left `ring` on.
///
/// A client reads certificates and chooses the provider for its first connection and keeps both: authorities that the
/// operating system trusts later count for a client that is made later. The connections of a client resume TLS sessions
/// where the server offers that.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::Tls;
///
/// // In place of what the operating system trusts: the company's own authority.
/// # let company_ca = servicebus_simulation::EXAMPLE_AUTHORITY;
/// let tls = Tls::authorities_from_pem(company_ca.as_bytes())?;
/// assert!(matches!(&tls, Tls::Authorities(authorities) if authorities.len() == 1));
/// # Ok::<(), servicebus_core::transport::TlsError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Tls {
    /// Those of the operating system.
    #[cfg(feature = "platform-roots")]
    Platform,
    /// Mozilla's, compiled in.
    #[cfg(feature = "bundled-roots")]
    Bundled,
    /// These authorities and no others.
    Authorities(Vec<CertificateDer<'static>>),
    /// The roots of this configuration.
    Config(Arc<ClientConfig>),
    /// The stream that the program opens itself is encrypted already and has proven the host's name. Refused for TCP,
    /// and for a host behind a proxy, to which that stream does not lead.
    Stream,
}

impl Default for Tls {
    /// The operating system's, else the bundled ones, else none.
    fn default() -> Self {
        #[cfg(feature = "platform-roots")]
        return Self::Platform;
        #[cfg(all(feature = "bundled-roots", not(feature = "platform-roots")))]
        return Self::Bundled;
        #[cfg(not(any(feature = "bundled-roots", feature = "platform-roots")))]
        Self::Authorities(Vec::new())
    }
}

/// Why certificates cannot be used.
///
/// # Examples
///
/// ```
/// use servicebus_core::transport::{Tls, TlsError};
///
/// let error = Tls::authorities_from_pem(b"-----BEGIN CERTIFICATE-----").err();
/// assert!(matches!(error, Some(TlsError::Pem(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A text that is not PEM, and what is wrong with it. The text is left out: a bundle may hold a private key too.
    Pem(&'static str),
    /// A certificate that is not valid, or a platform without a store.
    Certificate(rustls::Error),
    /// Features `ring` and `aws-lc-rs` are off, and the process has no default provider.
    NoProvider,
    /// [`Tls::Stream`] without a stream of the program's own to the host itself.
    NotEncrypted,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => write!(f, "trusted certificates: {error}"),
            Self::Certificate(error) => write!(f, "trusted certificates: {error}"),
            Self::NoProvider => {
                f.write_str("TLS: no crypto provider; enable feature `ring` or `aws-lc-rs`, or install one")
            }
            Self::NotEncrypted => {
                f.write_str("TLS: `Tls::Stream` needs a stream of the program's own, without a proxy")
            }
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Certificate(error) => Some(error),
            Self::Pem(_) | Self::NoProvider | Self::NotEncrypted => None,
        }
    }
}

/// What the connections of a dialer trust.
#[derive(Clone, Default)]
pub(super) struct Trust {
    pub(super) tls: Tls,
    /// Made for the first connection: reading the roots of the operating system takes milliseconds, and sessions are
    /// resumed within one configuration. Clones share it.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl From<Tls> for Trust {
    fn from(tls: Tls) -> Self {
        Self { tls, config: Arc::default() }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

impl Trust {
    /// The configuration of every connection. One that cannot be made is tried again.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let made = self.tls.config()?;
        Ok(Arc::clone(self.config.get_or_init(|| made)))
    }
}

/// What is wrong with a PEM text. The error itself repeats the line where a section begins: all of a text whose line
/// breaks are lost.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "the line that begins a section goes on behind it",
        pem::Error::Base64Decode(_) => "a section is not in base64",
        pem::Error::NoItemsFound => "there is no certificate in it",
        _ => "it cannot be read",
    }
}

/// The provider of cryptography.
fn provider() -> Option<Arc<CryptoProvider>> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Some(Arc::clone(installed));
    }
    #[cfg(feature = "aws-lc-rs")]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    None
}

impl Tls {
    /// Trusts the authorities in a PEM text and no others.
    ///
    /// # Errors
    /// A text that is not PEM.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::transport::Tls;
    /// # let company_ca = servicebus_simulation::EXAMPLE_AUTHORITY;
    /// let tls = Tls::authorities_from_pem(company_ca.as_bytes())?;
    /// # drop(tls);
    /// # Ok::<(), servicebus_core::transport::TlsError>(())
    /// ```
    pub fn authorities_from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map(Self::Authorities)
            .map_err(|error| TlsError::Pem(fault(&error)))
    }

    /// The configuration of a TLS client.
    ///
    /// # Errors
    /// Certificates that cannot be used, or no provider of cryptography; [`TlsError::NotEncrypted`] for
    /// [`Tls::Stream`], which has none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::transport::{Tls, TlsError};
    /// # let company_ca = servicebus_simulation::EXAMPLE_AUTHORITY;
    /// let config = Tls::authorities_from_pem(company_ca.as_bytes())?.config()?;
    /// assert!(config.alpn_protocols.is_empty());
    /// assert!(matches!(Tls::Stream.config(), Err(TlsError::NotEncrypted)));
    /// # Ok::<(), TlsError>(())
    /// ```
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = || {
            ClientConfig::builder_with_provider(provider().ok_or(TlsError::NoProvider)?)
                .with_safe_default_protocol_versions()
                .map_err(TlsError::Certificate)
        };
        let config = match self {
            #[cfg(feature = "platform-roots")]
            Self::Platform => {
                use rustls_platform_verifier::BuilderVerifierExt;
                builder()?.with_platform_verifier().map_err(TlsError::Certificate)?.with_no_client_auth()
            }
            #[cfg(feature = "bundled-roots")]
            Self::Bundled => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                builder()?.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Authorities(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone()).map_err(TlsError::Certificate)?;
                }
                builder()?.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Config(config) => return Ok(Arc::clone(config)),
            Self::Stream => return Err(TlsError::NotEncrypted),
        };
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_made_once_for_a_dialer_and_its_clones() {
        let trust = Trust::from(Tls::Authorities(Vec::new()));
        let clone = trust.clone();
        let config = trust.config().unwrap();
        assert!(Arc::ptr_eq(&config, &trust.config().unwrap()));
        assert!(Arc::ptr_eq(&config, &clone.config().unwrap()));
        assert!(!Arc::ptr_eq(&config, &Trust::from(trust.tls).config().unwrap()));
        // What there is none of is asked for again.
        assert!(matches!(Trust::from(Tls::Stream).config(), Err(TlsError::NotEncrypted)));
    }
}
