//! Which certificates are trusted.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// Which certificates are trusted.
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
    /// Whatever this configuration says.
    Config(Arc<ClientConfig>),
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
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A text that is not PEM.
    Pem(rustls::pki_types::pem::Error),
    /// A certificate that is not valid, or a platform without a store.
    Certificate(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => write!(f, "trusted certificates: {error}"),
            Self::Certificate(error) => write!(f, "trusted certificates: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Trusts the authorities in a PEM text and no others.
    ///
    /// # Errors
    /// A text that is not PEM.
    pub fn authorities_from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map(Self::Authorities).map_err(TlsError::Pem)
    }

    /// The configuration of a TLS client.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Certificate)?;
        let config = match self {
            #[cfg(feature = "platform-roots")]
            Self::Platform => {
                use rustls_platform_verifier::BuilderVerifierExt;
                builder.with_platform_verifier().map_err(TlsError::Certificate)?.with_no_client_auth()
            }
            #[cfg(feature = "bundled-roots")]
            Self::Bundled => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Authorities(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone()).map_err(TlsError::Certificate)?;
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Config(config) => return Ok(config.clone()),
        };
        Ok(Arc::new(config))
    }
}
