//! RSA signatures of 2 048 to 4 096 bits for webpki, without an allocator: PKCS #1 v1.5 and PSS (RFC 8017 §8).
//!
//! Only public values take part, so nothing here has to run in constant time.

use super::ecdsa::Algorithm;
use super::montgomery;
use core::fmt;
use core::marker::PhantomData;
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Reader};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2_tls::{Digest, Sha256, Sha384, Sha512};

/// PKCS #1 v1.5 with SHA-256.
pub(super) static PKCS1_SHA256: &dyn Algorithm = &Rsa::<Sha256, Pkcs1>::new(alg_id::RSA_PKCS1_SHA256);
/// PKCS #1 v1.5 with SHA-384.
pub(super) static PKCS1_SHA384: &dyn Algorithm = &Rsa::<Sha384, Pkcs1>::new(alg_id::RSA_PKCS1_SHA384);
/// PKCS #1 v1.5 with SHA-512.
pub(super) static PKCS1_SHA512: &dyn Algorithm = &Rsa::<Sha512, Pkcs1>::new(alg_id::RSA_PKCS1_SHA512);
/// PSS with SHA-256.
pub(super) static PSS_SHA256: &dyn Algorithm = &Rsa::<Sha256, Pss>::new(alg_id::RSA_PSS_SHA256);
/// PSS with SHA-384.
pub(super) static PSS_SHA384: &dyn Algorithm = &Rsa::<Sha384, Pss>::new(alg_id::RSA_PSS_SHA384);
/// PSS with SHA-512.
pub(super) static PSS_SHA512: &dyn Algorithm = &Rsa::<Sha512, Pss>::new(alg_id::RSA_PSS_SHA512);

/// Bytes of the largest modulus.
const MAX: usize = 512;
/// Bytes of the smallest modulus.
const MIN: usize = 256;

struct Rsa<D, P> {
    signature: AlgorithmIdentifier,
    padding: PhantomData<fn() -> (D, P)>,
}

impl<D, P> Rsa<D, P> {
    const fn new(signature: AlgorithmIdentifier) -> Self {
        Self { signature, padding: PhantomData }
    }
}

impl<D, P> fmt::Debug for Rsa<D, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rsa")
    }
}

impl<D: Digest, P: Padding<D>> Algorithm for Rsa<D, P> {}

impl<D: Digest, P: Padding<D>> SignatureVerificationAlgorithm for Rsa<D, P> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = PublicKey::parse(key).ok_or(InvalidSignature)?;
        let mut encoded = [0; MAX];
        let encoded = encoded.get_mut(..key.modulus.len()).ok_or(InvalidSignature)?;
        key.recover(signature, encoded).ok_or(InvalidSignature)?;
        P::verify(encoded, key.bits(), &D::digest(message)).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

struct PublicKey<'a> {
    /// Big-endian, without leading zeros, odd, 256 to 512 bytes.
    modulus: &'a [u8],
    exponent: u32,
}

impl<'a> PublicKey<'a> {
    /// An RSAPublicKey (RFC 8017 §A.1.1).
    fn parse(der: &'a [u8]) -> Option<Self> {
        let (modulus, exponent) = AnyRef::from_der(der)
            .ok()?
            .sequence(|fields| Ok((fields.decode::<UintRef<'a>>()?, fields.decode::<u32>()?)))
            .ok()?;
        let modulus = modulus.as_bytes();
        let strong = (MIN + 1..=MAX).contains(&modulus.len()) || modulus.len() == MIN && *modulus.first()? >= 0x80;
        let odd = modulus.last()? & 1 == 1;
        (strong && odd && exponent >= 3 && exponent & 1 == 1).then_some(Self { modulus, exponent })
    }

    fn bits(&self) -> usize {
        let leading = self.modulus.first().map_or(0, |byte| byte.leading_zeros());
        self.modulus.len() * 8 - leading as usize
    }

    /// RSAVP1 and I2OSP (RFC 8017 §5.2.2, §4.1): `signature` to the power of the exponent.
    fn recover(&self, signature: &[u8], encoded: &mut [u8]) -> Option<()> {
        if signature.len() != self.modulus.len() {
            return None;
        }
        montgomery::power(self.modulus, self.exponent, signature, encoded)
    }
}

/// How a digest is laid out in the integer that is signed.
trait Padding<D> {
    /// `Some` when `encoded`, for a modulus of `bits` bits, carries `digest`.
    fn verify(encoded: &mut [u8], bits: usize, digest: &[u8]) -> Option<()>;
}

/// EMSA-PKCS1-v1_5 (RFC 8017 §9.2).
struct Pkcs1;

impl<D: Digest> Padding<D> for Pkcs1 {
    fn verify(encoded: &mut [u8], _bits: usize, digest: &[u8]) -> Option<()> {
        let prefix: &[u8] = match digest.len() {
            32 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            48 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            64 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
            _ => return None,
        };
        let rest = encoded.strip_suffix(digest)?.strip_suffix(prefix)?;
        let padding = rest.strip_prefix(b"\x00\x01")?.strip_suffix(b"\x00")?;
        (padding.len() >= 8 && padding.iter().all(|byte| *byte == 0xff)).then_some(())
    }
}

/// EMSA-PSS (RFC 8017 §9.1.2) with MGF1 and a salt as long as the digest, as TLS 1.3 has it (RFC 8446 §4.2.3).
struct Pss;

impl<D: Digest> Padding<D> for Pss {
    fn verify(encoded: &mut [u8], bits: usize, digest: &[u8]) -> Option<()> {
        // One bit less than the modulus: with 8k + 1 bits the first byte is not part of the encoding.
        let encoded = if bits % 8 == 1 {
            let (first, rest) = encoded.split_first_mut()?;
            (*first == 0).then_some(rest)?
        } else {
            encoded
        };
        let unused = (8 - (bits - 1) % 8) % 8;
        let (trailer, encoded) = encoded.split_last_mut()?;
        let at = encoded.len().checked_sub(digest.len())?;
        let (masked, hash) = encoded.split_at_mut_checked(at)?;
        let keep = 0xff_u8.checked_shr(unused as u32)?;
        if *trailer != 0xbc || *masked.first()? & !keep != 0 {
            return None;
        }
        for (counter, block) in masked.chunks_mut(digest.len()).enumerate() {
            let mask = D::new().chain_update(&*hash).chain_update((counter as u32).to_be_bytes()).finalize();
            block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        *masked.first_mut()? &= keep;
        let (padding, salt) = masked.split_at_checked(masked.len().checked_sub(digest.len())?)?;
        let (one, zeros) = padding.split_last()?;
        if *one != 1 || zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        let expected = D::new().chain_update([0; 8]).chain_update(digest).chain_update(salt).finalize();
        (expected.as_slice() == &*hash).then_some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use ::rsa::pkcs1::EncodeRsaPublicKey;
    use ::rsa::rand_core::OsRng;
    use ::rsa::{Pkcs1v15Sign, Pss as PssSign, RsaPrivateKey};
    use std::vec::Vec;

    const MESSAGE: &[u8] = b"what is signed";

    fn check(algorithm: &dyn SignatureVerificationAlgorithm, key: &RsaPrivateKey, signature: &[u8]) {
        let public = key.to_public_key().to_pkcs1_der().unwrap();
        let verify = |message: &[u8], signature: &[u8]| {
            algorithm.verify_signature(public.as_bytes(), message, signature).is_ok()
        };
        assert!(verify(MESSAGE, signature));
        assert!(!verify(b"what is not signed", signature));
        assert!(!verify(MESSAGE, &signature[1..]));
        assert!(!verify(MESSAGE, &std::vec![0xff; signature.len()]));
        let mut longer = Vec::from([0]);
        longer.extend_from_slice(signature);
        assert!(!verify(MESSAGE, &longer));
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut damaged = signature.to_vec();
            damaged[at] ^= 1;
            assert!(!verify(MESSAGE, &damaged));
        }
    }

    /// All lengths of the first byte's used bits, where PSS differs, and both integer sizes.
    #[test]
    fn signatures_of_every_kind_are_verified() {
        for bits in [2048, 2049, 2050, 2055, 3072] {
            let key = RsaPrivateKey::new(&mut OsRng, bits).unwrap();
            let (d256, d384, d512) = (Sha256::digest(MESSAGE), Sha384::digest(MESSAGE), Sha512::digest(MESSAGE));
            check(PKCS1_SHA256, &key, &key.sign(Pkcs1v15Sign::new::<Sha256>(), &d256).unwrap());
            check(PKCS1_SHA384, &key, &key.sign(Pkcs1v15Sign::new::<Sha384>(), &d384).unwrap());
            check(PKCS1_SHA512, &key, &key.sign(Pkcs1v15Sign::new::<Sha512>(), &d512).unwrap());
            check(PSS_SHA256, &key, &key.sign_with_rng(&mut OsRng, PssSign::new::<Sha256>(), &d256).unwrap());
            check(PSS_SHA384, &key, &key.sign_with_rng(&mut OsRng, PssSign::new::<Sha384>(), &d384).unwrap());
            check(PSS_SHA512, &key, &key.sign_with_rng(&mut OsRng, PssSign::new::<Sha512>(), &d512).unwrap());
            let short_salt = key.sign_with_rng(&mut OsRng, PssSign::new_with_salt::<Sha256>(20), &d256).unwrap();
            let public = key.to_public_key().to_pkcs1_der().unwrap();
            assert!(PSS_SHA256.verify_signature(public.as_bytes(), MESSAGE, &short_salt).is_err());
        }
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let weak = RsaPrivateKey::new(&mut OsRng, 2040).unwrap();
        let signature = weak.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(MESSAGE)).unwrap();
        let public = weak.to_public_key().to_pkcs1_der().unwrap();
        assert!(PKCS1_SHA256.verify_signature(public.as_bytes(), MESSAGE, &signature).is_err());
        for der in
            [&b""[..], b"\x30\x00", b"\x30\x06\x02\x01\x03\x02\x01\x03", public.as_bytes().split_last().unwrap().1]
        {
            assert!(PKCS1_SHA256.verify_signature(der, MESSAGE, &signature).is_err());
        }
    }
}
