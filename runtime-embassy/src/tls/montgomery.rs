//! Powers modulo an odd number (Montgomery 1985; the finely integrated form of Koç, Acar, Kaliski 1996) over limbs of 32
//! bits, without an allocator, for public values only: nothing here runs in constant time.
//!
//! Why not a package: crypto-bigint 0.5 prepares a modulus by a division bit by bit, which takes fourteen times as long as
//! the power itself; later ones prepare it faster, multiply and reduce in two passes over limbs, and would be a second
//! crypto-bigint in the image beside that of the curves.
// docs/evidence/field-reports.md D2

/// Limbs of the largest modulus: 4 096 bits.
const MAX: usize = 128;

/// `base` to the power of `exponent` modulo `modulus`, all big-endian and of the same length, up to 512 bytes.
///
/// `None` for a modulus that is even or has a leading zero, a base that is not less than the modulus, or an exponent that
/// is even.
#[inline(never)]
pub(super) fn power(modulus: &[u8], exponent: u32, base: &[u8], result: &mut [u8]) -> Option<()> {
    let (mut m, mut b, mut x, mut y, mut t) = ([0; MAX], [0; MAX], [0; MAX], [0; MAX], [0; MAX]);
    let limbs = modulus.len().div_ceil(4);
    let m = read(modulus, m.get_mut(..limbs)?);
    let b = read(base, b.get_mut(..limbs)?);
    let field = Field::new(m)?;
    if exponent & 1 == 0 || *modulus.first()? == 0 || base.len() != modulus.len() || !less(b, m) {
        return None;
    }
    let (x, y, t) = (x.get_mut(..limbs)?, y.get_mut(..limbs)?, t.get_mut(..limbs)?);

    // The factor that leads into Montgomery's form: R², R being the first power of 2³² above the modulus.
    field.square_of_r(x, t)?;
    field.multiply(x, b, y);
    // y is the base in that form. All bits of the exponent but the last, from the second one on.
    copy(y, x);
    for bit in (1..exponent.checked_ilog2()?).rev() {
        field.multiply(x, x, t);
        if exponent >> bit & 1 == 1 {
            field.multiply(t, y, x);
        } else {
            copy(t, x);
        }
    }
    if exponent > 1 {
        field.multiply(x, x, t);
    }
    // The last bit, with the base as it is: that leads out of the form again.
    if exponent == 1 {
        copy(b, x);
    } else {
        field.multiply(t, b, x);
    }
    write(x, result);
    Some(())
}

/// Multiplication modulo an odd number.
struct Field<'m> {
    modulus: &'m [u32],
    /// The inverse of the modulus's negative, modulo 2³².
    inverse: u32,
}

impl<'m> Field<'m> {
    fn new(modulus: &'m [u32]) -> Option<Self> {
        let first = *modulus.first()?;
        if first & 1 == 0 {
            return None;
        }
        // Newton: right in the lowest three bits, and in twice as many after each step.
        let mut inverse = first;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2_u32.wrapping_sub(first.wrapping_mul(inverse)));
        }
        Some(Self { modulus, inverse: inverse.wrapping_neg() })
    }

    /// `a · b / R`, less than the modulus when one of both is.
    #[inline(never)]
    fn multiply(&self, a: &[u32], b: &[u32], result: &mut [u32]) {
        result.fill(0);
        // The limb above the result's: 0 or 1.
        let mut top = 0;
        let (Some((b_first, b_rest)), Some((m_first, m_rest))) = (b.split_first(), self.modulus.split_first()) else {
            return;
        };
        for a in a {
            let mut limbs = result.iter_mut();
            let Some(mut previous) = limbs.next() else { return };
            let (mut low, mut of_product) = multiply_add(*a, *b_first, *previous, 0);
            let factor = low.wrapping_mul(self.inverse);
            // Becomes zero by the choice of the factor, and falls away.
            let (_, mut of_modulus) = multiply_add(factor, *m_first, low, 0);
            for ((b, m), limb) in b_rest.iter().zip(m_rest).zip(limbs) {
                (low, of_product) = multiply_add(*a, *b, *limb, of_product);
                (*previous, of_modulus) = multiply_add(factor, *m, low, of_modulus);
                previous = limb;
            }
            let sum = u64::from(of_product) + u64::from(of_modulus) + u64::from(top);
            (*previous, top) = (sum as u32, (sum >> 32) as u32);
        }
        self.reduce(result, top);
    }

    /// Takes the modulus away once where the number, with a limb above it, is not less.
    fn reduce(&self, number: &mut [u32], top: u32) {
        if top != 0 || !less(number, self.modulus) {
            subtract(number, self.modulus);
        }
    }

    fn double(&self, number: &mut [u32]) {
        let mut carry = 0;
        for limb in number.iter_mut() {
            let shifted = *limb << 1 | carry;
            carry = *limb >> 31;
            *limb = shifted;
        }
        self.reduce(number, carry);
    }

    /// R², by way of 2 · R: a square of 2ⁿ · R in Montgomery's form is 2²ⁿ · R, and R itself is a power of two.
    fn square_of_r(&self, result: &mut [u32], spare: &mut [u32]) -> Option<()> {
        let bits = u32::try_from(self.modulus.len()).ok()?.checked_mul(32)?;
        // The highest power of two that is not above the modulus, doubled until it is R.
        let unused = self.modulus.last()?.leading_zeros();
        result.fill(0);
        *result.last_mut()? = 1_u32.checked_shl(31 - unused.min(31))?;
        for _ in 0..=unused {
            self.double(result);
        }
        // The leading bits of the exponent by doubling, where that is cheaper than squares.
        let rest = bits.checked_ilog2()?.saturating_sub(5);
        for _ in 0..bits >> rest {
            self.double(result);
        }
        for bit in (0..rest).rev() {
            self.multiply(result, result, spare);
            copy(spare, result);
            if bits >> bit & 1 == 1 {
                self.double(result);
            }
        }
        Some(())
    }
}

/// `a · b + c + d`, which always fits, as its lower and its upper half: one instruction on cores with UMAAL.
#[inline(always)]
fn multiply_add(a: u32, b: u32, c: u32, d: u32) -> (u32, u32) {
    let wide = u64::from(a) * u64::from(b) + u64::from(c) + u64::from(d);
    (wide as u32, (wide >> 32) as u32)
}

/// Copies without the check of the lengths that `copy_from_slice` panics on: they are the same.
fn copy(from: &[u32], to: &mut [u32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn less(one: &[u32], other: &[u32]) -> bool {
    one.iter().rev().lt(other.iter().rev())
}

/// `number - other` modulo R.
fn subtract(number: &mut [u32], other: &[u32]) {
    let mut borrow = false;
    for (limb, other) in number.iter_mut().zip(other) {
        let (difference, first) = limb.overflowing_sub(*other);
        let (difference, second) = difference.overflowing_sub(u32::from(borrow));
        (*limb, borrow) = (difference, first | second);
    }
}

/// Reads big-endian bytes.
fn read<'l>(bytes: &[u8], limbs: &'l mut [u32]) -> &'l [u32] {
    for (limb, bytes) in limbs.iter_mut().zip(bytes.rchunks(4)) {
        *limb = bytes.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte));
    }
    limbs
}

/// Writes big-endian bytes, as many as there is room for.
fn write(limbs: &[u32], bytes: &mut [u8]) {
    let from = limbs.iter().flat_map(|limb| limb.to_le_bytes());
    bytes.iter_mut().rev().zip(from).for_each(|(to, byte)| *to = byte);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use ::rsa::BigUint;
    use ::rsa::rand_core::{OsRng, RngCore};
    use std::vec;
    use std::vec::Vec;

    fn expected(modulus: &[u8], exponent: u32, base: &[u8]) -> Vec<u8> {
        let modulus_value = BigUint::from_bytes_be(modulus);
        let result = BigUint::from_bytes_be(base).modpow(&BigUint::from(exponent), &modulus_value).to_bytes_be();
        let mut padded = vec![0; modulus.len() - result.len()];
        padded.extend_from_slice(&result);
        padded
    }

    fn check(modulus: &[u8], exponent: u32, base: &[u8]) {
        let mut result = vec![0xaa; modulus.len()];
        power(modulus, exponent, base, &mut result).expect("both are valid");
        assert_eq!(result, expected(modulus, exponent, base), "{modulus:x?} {exponent} {base:x?}");
    }

    /// Every length of modulus from one byte, in all of its leading bits, with bases at both ends.
    #[test]
    fn powers_are_those_of_another_implementation() {
        for length in (1..=40).chain([63, 64, 65, 255, 256, 257, 258, 384, 509, 510, 511, 512]) {
            for leading in 0..8 {
                let mut modulus = vec![0; length];
                OsRng.fill_bytes(&mut modulus);
                modulus[0] = modulus[0] >> leading | 0x80 >> leading;
                modulus[length - 1] |= 1;
                if modulus == [1] {
                    continue;
                }
                let mut base = modulus.clone();
                *base.last_mut().unwrap() -= 1;
                check(&modulus, 65_537, &base);
                base.fill(0);
                check(&modulus, 3, &base);
                base[length - 1] = 1;
                check(&modulus, 65_537, &base);
                OsRng.fill_bytes(&mut base);
                base[0] %= modulus[0].max(1);
                if modulus[0] != 0 && base < modulus {
                    for exponent in [1, 3, 5, 17, 257, 65_535, 65_537, u32::MAX] {
                        check(&modulus, exponent, &base);
                    }
                }
            }
        }
    }

    /// Limbs that are all ones or all zeros: carries go through all of them.
    #[test]
    fn carries_go_all_the_way() {
        for length in [4, 8, 12, 256, 384, 512] {
            let ones = vec![0xff_u8; length];
            let mut sparse = vec![0; length];
            (sparse[0], sparse[length - 1]) = (0x80, 1);
            let mut dense = vec![0xff; length];
            dense[length / 2] = 0;
            for modulus in [&ones, &sparse, &dense] {
                for mut base in [modulus.clone(), vec![0; length]] {
                    let last: &mut u8 = base.last_mut().unwrap();
                    *last = last.wrapping_sub(1) & 0xfe;
                    base[0] &= 0x7f;
                    for exponent in [3, 65_537] {
                        check(modulus, exponent, &base);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_modulus_or_no_base_is_refused() {
        let mut result = [0; 4];
        for (modulus, exponent, base) in [
            (&[0x80, 0, 0, 2], 3, [0, 0, 0, 1]),
            (&[0, 0x80, 0, 1], 3, [0, 0, 0, 1]),
            (&[0x80, 0, 0, 1], 3, [0x80, 0, 0, 1]),
            (&[0x80, 0, 0, 1], 3, [0x80, 0, 0, 2]),
            (&[0x80, 0, 0, 1], 2, [0, 0, 0, 1]),
            (&[0x80, 0, 0, 1], 0, [0, 0, 0, 1]),
        ] {
            assert_eq!(power(modulus, exponent, &base, &mut result), None);
        }
        assert_eq!(power(&[], 3, &[], &mut []), None);
        assert_eq!(power(&[0x80, 1], 3, &[1], &mut result), None);
        assert_eq!(power(&[0xff; 516], 3, &[1; 516], &mut [0; 516]), None);
    }
}
