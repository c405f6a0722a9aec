//! Decimal numbers, which .NET senders use.

/// A decimal number: coefficient × 10^exponent. AMQP writes it as an IEEE 754-2008 decimal with a binary integer
/// coefficient (AMQP 1.0 §1.6.13 to §1.6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Below 2^113.
    coefficient: u128,
    /// From -6176 on, below 6112 (decimal128's range).
    exponent: i16,
}

/// Where a format keeps its parts.
struct Format {
    bits: u32,
    exponent_bits: u32,
    bias: i16,
}

impl Decimal {
    /// The number of a `decimal32`; `None` for infinities and not-a-number.
    pub fn from_decimal32(bytes: [u8; 4]) -> Option<Self> {
        Self::decode(u32::from_be_bytes(bytes).into(), &Format { bits: 32, exponent_bits: 8, bias: 101 })
    }

    /// The number of a `decimal64`; `None` for infinities and not-a-number.
    pub fn from_decimal64(bytes: [u8; 8]) -> Option<Self> {
        Self::decode(u64::from_be_bytes(bytes).into(), &Format { bits: 64, exponent_bits: 10, bias: 398 })
    }

    /// The number of a `decimal128`; `None` for infinities and not-a-number.
    pub fn from_decimal128(bytes: [u8; 16]) -> Option<Self> {
        Self::decode(u128::from_be_bytes(bytes), &Format { bits: 128, exponent_bits: 14, bias: 6176 })
    }

    fn decode(raw: u128, format: &Format) -> Option<Self> {
        let negative = raw >> (format.bits - 1) & 1 == 1;
        let leading = raw >> (format.bits - 3) & 0b11;
        let exponent_mask = (1u128 << format.exponent_bits) - 1;
        // The usual form keeps the exponent behind the sign. Where the two bits behind the sign are set, they only say
        // that the exponent stands two bits further on and that the coefficient starts with 0b100.
        let (shift, implied) = if leading != 0b11 {
            (format.bits - 1 - format.exponent_bits, 0)
        } else if raw >> (format.bits - 5) & 0b1111 == 0b1111 {
            return None;
        } else {
            let shift = format.bits - 3 - format.exponent_bits;
            (shift, 0b100u128 << shift)
        };
        let coefficient = raw & ((1u128 << shift) - 1) | implied;
        // A coefficient beyond the format's digits stands for zero. Only the 113 bits of the widest usual form are
        // kept, which no canonical number exceeds.
        let coefficient = if coefficient >> 113 == 0 { coefficient } else { 0 };
        let exponent = i16::try_from(raw >> shift & exponent_mask).ok()? - format.bias;
        Some(Self { negative, coefficient, exponent })
    }

    /// The number as `decimal128`.
    pub fn to_decimal128(self) -> [u8; 16] {
        let exponent = u128::from(self.exponent.saturating_add(6176).unsigned_abs());
        (u128::from(self.negative) << 127 | exponent << 113 | self.coefficient).to_be_bytes()
    }

    /// The number when it is whole and within `i128`.
    pub(super) fn to_integer(self) -> Option<i128> {
        let mut coefficient = i128::try_from(self.coefficient).ok()?;
        let mut exponent = self.exponent;
        if coefficient == 0 {
            return Some(0);
        }
        while exponent < 0 {
            if coefficient % 10 != 0 {
                return None;
            }
            coefficient /= 10;
            exponent += 1;
        }
        let power = 10i128.checked_pow(u32::try_from(exponent).ok()?)?;
        let magnitude = coefficient.checked_mul(power)?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The nearest double; infinite beyond its range.
    pub(super) fn to_f64(self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        // The standard library rounds correctly and reads any exponent.
        format!("{sign}{}e{}", self.coefficient, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        // 1.5, 10 and -0.001 by the formats' definitions.
        let number = |negative, coefficient, exponent| Decimal { negative, coefficient, exponent };
        let encode = |exponent: u128, coefficient: u128| ((exponent + 6176) << 113 | coefficient).to_be_bytes();
        assert_eq!(Decimal::from_decimal128(encode(0, 10)), Some(number(false, 10, 0)));
        assert_eq!(Decimal::from_decimal32(((101 - 1) << 23 | 15u32).to_be_bytes()), Some(number(false, 15, -1)));
        let bits = 1u64 << 63 | (398 - 3) << 53 | 1;
        assert_eq!(Decimal::from_decimal64(bits.to_be_bytes()), Some(number(true, 1, -3)));
        assert_eq!(number(false, 15, -1).to_f64(), 1.5);
        assert_eq!(number(false, 150, -1).to_integer(), Some(15));
        assert_eq!(number(false, 15, -1).to_integer(), None);
        assert_eq!(number(true, 7, 3).to_integer(), Some(-7000));
    }

    #[test]
    fn large_coefficients_and_specials() {
        // 9999999 needs 24 bits: the form with the implied leading bits.
        let bits = 0b11u32 << 29 | 101 << 21 | (9_999_999 & 0x1f_ffff);
        assert_eq!(Decimal::from_decimal32(bits.to_be_bytes()).and_then(Decimal::to_integer), Some(9_999_999));
        assert_eq!(Decimal::from_decimal32(0x7800_0000u32.to_be_bytes()), None);
        assert_eq!(Decimal::from_decimal128([0x7c; 16]), None);
    }

    #[test]
    fn every_bit_pattern_reads_and_prints() {
        let mut random = servicebus_core::random::Random::seeded(7);
        for _ in 0..20_000 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&random.next().to_be_bytes());
            bytes[8..].copy_from_slice(&random.next().to_be_bytes());
            if let Some(number) = Decimal::from_decimal128(bytes) {
                assert_eq!(Decimal::from_decimal128(number.to_decimal128()), Some(number));
                let _ = (number.to_integer(), number.to_f64());
            }
        }
    }
}
