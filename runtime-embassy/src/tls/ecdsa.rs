//! ECDSA over P-256 and P-384, by the arithmetic of the RustCrypto curves, in steps.
//!
//! Their own verification takes P-384 in one go, which is 84 million instructions on a Cortex-M4. Only public values take
//! part, so that both multiplications share their doublings, and additions of nothing are left out.

use core::fmt;
use core::marker::PhantomData;
use p256::NistP256;
use p256::elliptic_curve::group::{Curve as _, Group};
use p256::elliptic_curve::ops::{Invert, Reduce};
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize};
use p256::elliptic_curve::{NonZeroScalar, PrimeField, ProjectivePoint, PublicKey, Scalar};
use p384::NistP384;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2_tls::{Digest, Sha256, Sha384};

/// P-256 with SHA-256.
pub(super) static P256_SHA256: &dyn Algorithm = &P256::<Sha256>::new(alg_id::ECDSA_SHA256);
/// P-256 with SHA-384.
pub(super) static P256_SHA384: &dyn Algorithm = &P256::<Sha384>::new(alg_id::ECDSA_SHA384);
/// P-384 with SHA-256.
pub(super) static P384_SHA256: &dyn Algorithm = &P384::<Sha256>::new(alg_id::ECDSA_SHA256);
/// P-384 with SHA-384.
pub(super) static P384_SHA384: &dyn Algorithm = &P384::<Sha384>::new(alg_id::ECDSA_SHA384);

/// Bytes of a coordinate of the larger curve.
const FIELD: usize = 48;
/// Bytes of a key: a tag and two coordinates.
const KEY: usize = 1 + 2 * FIELD;
/// Bytes of both multipliers that a step takes.
const STEP: usize = 4;

/// An algorithm whose signatures can be verified later than they are met.
pub(super) trait Algorithm: SignatureVerificationAlgorithm {
    /// What is to be verified; `None` for an algorithm that verifies at once.
    fn job(&self, _key: &[u8], _message: &[u8], _signature: &[u8]) -> Option<Result<Job, InvalidSignature>> {
        None
    }
}

/// A signature that is to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    curve: Curve,
    /// As it is encoded (SEC 1 §2.3.3).
    key: heapless::Vec<u8, KEY>,
    /// Big-endian, with zeros in front for the smaller curve.
    r: [u8; FIELD],
    s: [u8; FIELD],
    /// Of the digest, what the curve takes.
    digest: [u8; FIELD],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

/// `bytes` with zeros in front.
fn padded(bytes: &[u8]) -> [u8; FIELD] {
    let mut padded = [0; FIELD];
    padded.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(to, byte)| *to = *byte);
    padded
}

/// The last bytes, as many as the curve's field has.
fn field<C: CurveArithmetic>(padded: &[u8; FIELD]) -> FieldBytes<C> {
    let mut field = FieldBytes::<C>::default();
    field.iter_mut().rev().zip(padded.iter().rev()).for_each(|(to, byte)| *to = *byte);
    field
}

/// A verification that has begun.
#[derive(Debug)]
pub(super) enum Run {
    P256(Ladder<NistP256>),
    P384(Ladder<NistP384>),
}

impl Run {
    /// `None` when the signature is wrong as it stands.
    #[inline(never)]
    pub(super) fn start(job: &Job) -> Option<Self> {
        Some(match job.curve {
            Curve::P256 => Self::P256(Ladder::start(job)?),
            Curve::P384 => Self::P384(Ladder::start(job)?),
        })
    }

    /// Goes on; whether the signature holds, when it is known.
    #[inline(never)]
    pub(super) fn step(&mut self) -> Option<bool> {
        match self {
            Self::P256(ladder) => ladder.step(),
            Self::P384(ladder) => ladder.step(),
        }
    }
}

/// `u₁ · G + u₂ · Q` (SEC 1 §4.1.4), G being the curve's generator and Q the key: bit by bit of both multipliers, from the
/// highest one on.
#[derive(Debug)]
pub(super) struct Ladder<C: CurveArithmetic> {
    sum: ProjectivePoint<C>,
    key: ProjectivePoint<C>,
    /// `G + Q`.
    both: ProjectivePoint<C>,
    /// `u₁` and `u₂`.
    multipliers: [FieldBytes<C>; 2],
    r: Scalar<C>,
    /// Bytes of the multipliers that are done.
    done: usize,
}

impl<C: CurveArithmetic> Ladder<C>
where
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C> + AffineCoordinates<FieldRepr = FieldBytes<C>>,
    FieldBytesSize<C>: ModulusSize,
{
    #[inline(never)]
    fn start(job: &Job) -> Option<Self> {
        let key = PublicKey::<C>::from_sec1_bytes(&job.key).ok()?.to_projective();
        let scalar = |bytes| Option::<NonZeroScalar<C>>::from(NonZeroScalar::<C>::from_repr(field::<C>(bytes)));
        let (r, s) = (*scalar(&job.r)?, scalar(&job.s)?);
        let inverse = *s.invert_vartime();
        let digest = <Scalar<C> as Reduce<C::Uint>>::reduce_bytes(&field::<C>(&job.digest));
        let multipliers = [(digest * inverse).to_repr(), (r * inverse).to_repr()];
        let both = ProjectivePoint::<C>::generator() + key;
        Some(Self { sum: ProjectivePoint::<C>::identity(), key, both, multipliers, r, done: 0 })
    }

    #[inline(never)]
    fn step(&mut self) -> Option<bool> {
        let [first, second] = &self.multipliers;
        let mut left = STEP;
        for (first, second) in first.iter().zip(second).skip(self.done).take(STEP) {
            for bit in (0..8).rev() {
                self.sum = self.sum.double();
                match (first >> bit & 1, second >> bit & 1) {
                    (0, 0) => {}
                    (_, 0) => self.sum += ProjectivePoint::<C>::generator(),
                    (0, _) => self.sum += &self.key,
                    _ => self.sum += &self.both,
                }
            }
            left -= 1;
        }
        if left == 0 {
            self.done += STEP;
            return None;
        }
        // The lengths of both fields are multiples of a step: nothing was left to do. At infinity x is zero, which r is not.
        let x = self.sum.to_affine().x();
        Some(<Scalar<C> as Reduce<C::Uint>>::reduce_bytes(&x) == self.r)
    }
}

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

        impl<D: Digest> Algorithm for $name<D> {
            fn job(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Option<Result<Job, InvalidSignature>> {
                Some(self.parse(key, message, signature).ok_or(InvalidSignature))
            }
        }

        impl<D: Digest> $name<D> {
            fn parse(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Option<Job> {
                Self::job_of(key, &D::digest(message), signature)
            }

            fn job_of(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<Job> {
                // Neither r nor s is zero, or as large as the group.
                let (r, s) = $module::ecdsa::Signature::from_der(signature).ok()?.split_bytes();
                let key = heapless::Vec::from_slice(key).ok()?;
                // The leftmost bits of a digest that is longer than the group's order (SEC 1 §4.1.4).
                let digest = digest.get(..digest.len().min(r.len()))?;
                Some(Job { curve: Curve::$name, key, r: padded(&r), s: padded(&s), digest: padded(digest) })
            }
        }

        impl<D: Digest> SignatureVerificationAlgorithm for $name<D> {
            fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
                let job = self.parse(key, message, signature).ok_or(InvalidSignature)?;
                let mut run = Run::start(&job).ok_or(InvalidSignature)?;
                loop {
                    if let Some(holds) = run.step() {
                        return holds.then_some(()).ok_or(InvalidSignature);
                    }
                }
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use rsa::rand_core::{OsRng, RngCore};
    use std::vec;
    use std::vec::Vec;

    fn holds(job: Option<Job>) -> bool {
        let Some(mut run) = job.as_ref().and_then(Run::start) else { return false };
        (0..20).find_map(|_| run.step()).expect("no run is endless")
    }

    /// A positive integer in DER.
    fn integer(bytes: &[u8]) -> Vec<u8> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1);
        let bytes = &bytes[zeros..];
        let sign: &[u8] = if bytes[0] < 0x80 { &[] } else { &[0] };
        [&[2, (sign.len() + bytes.len()) as u8], sign, bytes].concat()
    }

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let content = [integer(r), integer(s)].concat();
        [&[0x30, content.len() as u8], &content[..]].concat()
    }

    macro_rules! tests {
        ($name:ident, $module:ident, $curve:ident) => {
            mod $name {
                use super::*;
                use $module::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
                use $module::ecdsa::{Signature, SigningKey, VerifyingKey};
                use $module::elliptic_curve::ff::Field;
                use $module::elliptic_curve::point::DecompressPoint;
                use $module::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};

                const SIZE: usize = size_of::<FieldBytes>();

                /// What the curve's own verification says, and this one has to say as well.
                fn both(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
                    let expected = VerifyingKey::from_sec1_bytes(key)
                        .and_then(|key| key.verify_prehash(digest, &Signature::from_der(signature)?))
                        .is_ok();
                    let job = $curve::<Sha256>::job_of(key, digest, signature);
                    assert_eq!(holds(job), expected, "{key:x?} {digest:x?} {signature:x?}");
                    expected
                }

                fn encoded(point: &ProjectivePoint) -> Vec<u8> {
                    point.to_affine().to_encoded_point(false).as_bytes().to_vec()
                }

                /// The group's order and a small number.
                fn order_plus(number: i8) -> Vec<u8> {
                    let mut bytes = (-Scalar::ONE).to_repr().to_vec();
                    let last = bytes.last_mut().unwrap();
                    *last = last.checked_add_signed(1 + number).expect("no carry");
                    bytes
                }

                #[test]
                fn signatures_are_judged_as_by_the_crate() {
                    for turn in 0..2 {
                        let key = SigningKey::random(&mut OsRng);
                        let point = key.verifying_key().to_encoded_point(false);
                        let compressed = key.verifying_key().to_encoded_point(true);
                        for length in [32, 48] {
                            let mut digest = vec![0; length];
                            OsRng.fill_bytes(&mut digest);
                            let signature: Signature = key.sign_prehash(&digest).unwrap();
                            let signature = signature.to_der().as_bytes().to_vec();
                            assert!(both(point.as_bytes(), &digest, &signature));
                            assert!(both(compressed.as_bytes(), &digest, &signature));
                            digest[length / 3] ^= 1;
                            assert!(!both(point.as_bytes(), &digest, &signature));
                            digest[length / 3] ^= 1;
                            // What lies behind as many bits as the order has is not looked at.
                            digest[length - 1] ^= 1;
                            assert_eq!(both(point.as_bytes(), &digest, &signature), length > SIZE);
                            digest[length - 1] ^= 1;
                            for at in (turn..signature.len()).step_by(9) {
                                let mut damaged = signature.clone();
                                damaged[at] ^= 1 << (at % 8);
                                assert!(!both(point.as_bytes(), &digest, &damaged), "byte {at}");
                                assert!(!both(point.as_bytes(), &digest, &signature[..at]), "{at} bytes");
                            }
                            for at in (turn..point.as_bytes().len()).step_by(16) {
                                let mut damaged = point.as_bytes().to_vec();
                                damaged[at] ^= 1 << (at % 8);
                                assert!(!both(&damaged, &digest, &signature), "byte {at} of the key");
                            }
                        }
                    }
                }

                #[test]
                fn numbers_at_the_ends_of_their_range() {
                    let key = SigningKey::random(&mut OsRng);
                    let point = key.verifying_key().to_encoded_point(false);
                    let numbers: Vec<Vec<u8>> =
                        [vec![0], vec![1], vec![2], vec![0xff; SIZE], [&[1][..], &[0; SIZE]].concat()]
                            .into_iter()
                            .chain((-2..3).map(order_plus))
                            .collect();
                    for r in &numbers {
                        for s in &numbers {
                            assert!(!both(point.as_bytes(), &[0xff; 32], &der(r, s)));
                        }
                    }
                    // Keys that are none.
                    let signature = der(&[1], &[1]);
                    for key in [&[][..], &[0], &[4; 1], &[0; 2 * SIZE + 1], &[4; 2 * SIZE + 1], &[4; 200]] {
                        assert!(!both(key, &[7; 32], &signature));
                    }
                }

                /// Multipliers that meet infinity, the generator, or the same point twice on their way.
                #[test]
                fn sums_of_points_that_are_not_all_different() {
                    let (one, generator) = (Scalar::ONE, ProjectivePoint::GENERATOR);
                    let mut found = 0;
                    for key in [one, -one, one.double().invert().unwrap()] {
                        let point = encoded(&(generator * key));
                        for first in [Scalar::ZERO, one, -one, one.double(), Scalar::random(&mut OsRng)] {
                            for second in [one, -one, one.double(), -first, first * key.invert().unwrap()] {
                                // u₁ = z / s and u₂ = r / s, so that any two of them are met by a choice of s and z.
                                let sum = generator * first + generator * key * second;
                                let x = <Scalar as Reduce<_>>::reduce_bytes(&sum.to_affine().x());
                                for r in [x, one] {
                                    let s = Option::<Scalar>::from(second.invert()).map(|inverse| r * inverse);
                                    let Some(s) = s else { continue };
                                    let z = first * s;
                                    let signature = der(&r.to_repr(), &s.to_repr());
                                    found += usize::from(both(&point, &z.to_repr(), &signature));
                                }
                            }
                        }
                    }
                    assert!(found > 30, "{found}");
                }

                /// The sum's x is not less than the order, and r is what is left of it.
                #[test]
                fn a_coordinate_may_be_larger_than_the_order() {
                    let mut found = 0;
                    for r in 1..12_u8 {
                        let mut x = FieldBytes::default();
                        x.copy_from_slice(&order_plus(r as i8));
                        let Some(sum) = Option::<AffinePoint>::from(AffinePoint::decompress(&x, 0.into())) else {
                            continue;
                        };
                        found += 1;
                        let (first, second) = (Scalar::random(&mut OsRng), Scalar::random(&mut OsRng));
                        let key = (ProjectivePoint::from(sum) - ProjectivePoint::GENERATOR * first)
                            * second.invert().unwrap();
                        let s = Scalar::from(u64::from(r)) * second.invert().unwrap();
                        let z = first * s;
                        assert!(both(&encoded(&key), &z.to_repr(), &der(&[r], &s.to_repr())));
                        assert!(!both(&encoded(&key), &z.to_repr(), &der(&[r + 1], &s.to_repr())));
                        // As a number it is not in its range.
                        assert!(!both(&encoded(&key), &z.to_repr(), &der(&x, &s.to_repr())));
                    }
                    assert!(found > 1, "{found}");
                }
            }
        };
    }

    tests!(p256_tests, p256, P256);
    tests!(p384_tests, p384, P384);
}
