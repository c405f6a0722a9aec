//! ECDSA over P-256 and P-384 for webpki, by the RustCrypto curves.

use core::fmt;
use core::marker::PhantomData;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2_tls::{Digest, Sha256, Sha384};

/// P-256 with SHA-256.
pub(super) static P256_SHA256: &dyn SignatureVerificationAlgorithm = &P256::<Sha256>::new(alg_id::ECDSA_SHA256);
/// P-256 with SHA-384.
pub(super) static P256_SHA384: &dyn SignatureVerificationAlgorithm = &P256::<Sha384>::new(alg_id::ECDSA_SHA384);
/// P-384 with SHA-256.
pub(super) static P384_SHA256: &dyn SignatureVerificationAlgorithm = &P384::<Sha256>::new(alg_id::ECDSA_SHA256);
/// P-384 with SHA-384.
pub(super) static P384_SHA384: &dyn SignatureVerificationAlgorithm = &P384::<Sha384>::new(alg_id::ECDSA_SHA384);

macro_rules! curve {
    ($name:ident, $module:ident, $id:expr) => {
        struct $name<D> {
            signature: AlgorithmIdentifier,
            digest: PhantomData<fn() -> D>,
        }

        impl<D> $name<D> {
            const fn new(signature: AlgorithmIdentifier) -> Self {
                Self { signature, digest: PhantomData }
            }
        }

        impl<D> fmt::Debug for $name<D> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl<D: Digest> SignatureVerificationAlgorithm for $name<D> {
            fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
                let key = $module::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
                let signature = $module::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
                key.verify_prehash(&D::digest(message), &signature).map_err(|_| InvalidSignature)
            }

            fn public_key_alg_id(&self) -> AlgorithmIdentifier {
                $id
            }

            fn signature_alg_id(&self) -> AlgorithmIdentifier {
                self.signature
            }
        }
    };
}

curve!(P256, p256, alg_id::ECDSA_P256);
curve!(P384, p384, alg_id::ECDSA_P384);
