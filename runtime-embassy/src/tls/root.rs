//! Whom the device trusts.

use super::certificate::Certificate;
use crate::format::texts;
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// An authority that chains may end at.
///
/// Its validity period is not looked at: a device outlives its roots' dates more often than it is updated, and who
/// puts a certificate here has decided to trust its key.
///
/// # Examples
///
/// ```
/// # use rustls::pki_types::pem::PemObject;
/// # use servicebus_embassy::tls::RootError;
/// use servicebus_embassy::tls::{CertificateDer, Root};
///
/// # let der = CertificateDer::from_pem_slice(servicebus_simulation::EXAMPLE_AUTHORITY.as_bytes()).expect("it is PEM");
/// // `der` is `CertificateDer::from_slice(include_bytes!("root.der"))`.
/// let roots = [Root::from_certificate(&der)?];
/// # drop(roots);
/// # Ok::<(), RootError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Root<'a> {
    pub(super) anchor: TrustAnchor<'a>,
    pub(super) path_length: Option<u8>,
}

impl<'a> Root<'a> {
    /// An authority by its certificate, in DER.
    ///
    /// Errors: [`RootError::Malformed`] when it is no X.509 certificate, [`RootError::NotAnAuthority`] when its
    /// extensions do not let it sign certificates.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::tls::{CertificateDer, Root, RootError};
    /// let der = CertificateDer::from_slice(b"no certificate");
    /// assert!(matches!(Root::from_certificate(&der), Err(RootError::Malformed)));
    /// ```
    pub fn from_certificate(certificate: &'a CertificateDer<'a>) -> Result<Self, RootError> {
        let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|_| RootError::Malformed)?;
        let parsed = Certificate::parse(certificate).map_err(|_| RootError::Malformed)?;
        let constraints = parsed.basic_constraints.ok_or(RootError::NotAnAuthority)?;
        if !constraints.authority || parsed.key_usage.is_some_and(|usage| !usage.certificate_sign) {
            return Err(RootError::NotAnAuthority);
        }
        Ok(Self { anchor, path_length: constraints.path_length })
    }
}

/// A bare name and key, such as those of the `webpki-roots` package: without a path length.
impl<'a> From<TrustAnchor<'a>> for Root<'a> {
    fn from(anchor: TrustAnchor<'a>) -> Self {
        Self { anchor, path_length: None }
    }
}

/// Why a certificate cannot be a [`Root`].
///
/// # Examples
///
/// ```
/// use servicebus_embassy::tls::RootError;
///
/// assert_eq!(RootError::NotAnAuthority.to_string(), "the certificate may not sign certificates");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootError {
    /// It is not a certificate.
    Malformed,
    /// Its basicConstraints or keyUsage do not allow it to sign certificates.
    NotAnAuthority,
}

texts! {
    RootError {
        Self::Malformed => "not an X.509 certificate",
        Self::NotAnAuthority => "the certificate may not sign certificates",
    }
}

impl core::error::Error for RootError {}
