//! TLS with a given certificate or one made on the spot.

use core::fmt;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate chain and its key.
///
/// # Examples
/// ```
/// # use servicebus_emulator::Emulator;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use servicebus_emulator::server::Identity;
///
/// let identity = Identity::self_signed(vec!["localhost".into()])?;
/// let emulator = Emulator::builder().tls(0, Some(identity)).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Identity {
    acceptor: TlsAcceptor,
    certificate_pem: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why a certificate or key cannot be used.
///
/// # Examples
/// ```
/// use servicebus_emulator::server::Identity;
///
/// let error = Identity::from_pem(b"no certificate", b"no key").map(|_| ()).map_err(|error| error.to_string());
/// assert!(error.is_err_and(|text| text.starts_with("the certificate or its key cannot be used: ")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError(String);

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate or its key cannot be used: {}", self.0)
    }
}

impl core::error::Error for IdentityError {}

fn error(error: impl fmt::Display) -> IdentityError {
    IdentityError(error.to_string())
}

/// Without the text, of which the error repeats the line where a section begins: the whole key, where the line breaks
/// of a text are lost.
fn pem_error(error: pem::Error) -> IdentityError {
    let fault = match error {
        pem::Error::MissingSectionEnd { .. } => "a section of the PEM text has no end",
        pem::Error::IllegalSectionStart { .. } => "the line that begins a section of the PEM text goes on behind it",
        pem::Error::Base64Decode(_) => "a section of the PEM text is not in base64",
        pem::Error::NoItemsFound => "there is none in the PEM text",
        _ => "the PEM text cannot be read",
    };
    IdentityError(fault.to_owned())
}

impl Identity {
    /// A certificate chain and a key, both in PEM.
    ///
    /// # Errors
    /// [`IdentityError`].
    ///
    /// # Examples
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use servicebus_emulator::server::Identity;
    ///
    /// let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
    /// assert_eq!(identity.certificate_pem(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(pem_error)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem_error)?;
        Self::new(chain, key, None)
    }

    /// A certificate made now for these host names, signed by itself. Clients have to be told to trust
    /// [`Identity::certificate_pem`].
    ///
    /// # Errors
    /// [`IdentityError`].
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::server::Identity;
    /// let identity = Identity::self_signed(vec!["localhost".into(), "shop.test".into()])?;
    /// assert!(identity.certificate_pem().is_some());
    /// # Ok::<(), servicebus_emulator::server::IdentityError>(())
    /// ```
    pub fn self_signed(names: Vec<String>) -> Result<Self, IdentityError> {
        let made = rcgen::generate_simple_self_signed(names).map_err(error)?;
        let pem = made.cert.pem();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(error)?;
        Self::new(vec![made.cert.der().clone()], key, Some(pem))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        pem: Option<String>,
    ) -> Result<Self, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(error)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(error)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate_pem: pem })
    }

    /// The certificate, when it was made here.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::server::Identity;
    /// let identity = Identity::self_signed(vec!["localhost".into()])?;
    /// let file = std::env::temp_dir().join("emulator.pem");
    /// # let file = std::env::temp_dir().join(format!("emulator-{}.pem", std::process::id()));
    /// std::fs::write(&file, identity.certificate_pem().unwrap_or_default())?;
    /// # std::fs::remove_file(&file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }
}

/// A handshake that takes longer is cut off.
const HANDSHAKE: core::time::Duration = core::time::Duration::from_secs(10);

impl Identity {
    /// The encrypted stream, once the handshake is done.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        match tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
