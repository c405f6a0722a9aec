//! Decimal numbers, which .NET senders use.

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// A decimal number: coefficient × 10^exponent. AMQP writes it as an IEEE 754-2008 decimal with a binary integer
/// coefficient (AMQP 1.0 §1.6.13 to §1.6.15).
///
/// # Examples
/// ```
/// use servicebus_emulator::filter::{Decimal, Value};
///
/// let one = Decimal::from_decimal32([0x32, 0x80, 0, 1]);
/// assert_eq!(one.map(|one| one.to_string()), Some("1".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Below 2^113.
    coefficient: u128,
    /// From -6176 on, below 6112 (decimal128's range).
    exponent: i16,
}

/// What the exponent of a `decimal128` lacks that the SDK for .NET wrote.
const DOTNET_LOST: i16 = -4_608;
/// Most digits behind the point in a .NET decimal.
const MAX_SCALE: u8 = 28;
/// The largest coefficient of a .NET decimal: 96 bits.
const MAX_COEFFICIENT: u128 = (1 << 96) - 1;

/// Where a format keeps its parts.
struct Format {
    bits: u32,
    exponent_bits: u32,
    bias: i16,
}

impl Decimal {
    /// The number of a `decimal32`; `None` for infinities and not-a-number.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Decimal;
    /// let price = Decimal::from_decimal32([0x31, 0x80, 0, 125]);
    /// assert_eq!(price.map(|price| price.to_string()), Some("1.25".to_owned()));
    /// ```
    pub fn from_decimal32(bytes: [u8; 4]) -> Option<Self> {
        Self::decode(u32::from_be_bytes(bytes).into(), &Format { bits: 32, exponent_bits: 8, bias: 101 })
    }

    /// The number of a `decimal64`; `None` for infinities and not-a-number.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Decimal;
    /// let price = Decimal::from_decimal64(0x3180_0000_0000_007d_u64.to_be_bytes());
    /// assert_eq!(price.map(|price| price.to_string()), Some("1.25".to_owned()));
    /// ```
    pub fn from_decimal64(bytes: [u8; 8]) -> Option<Self> {
        Self::decode(u64::from_be_bytes(bytes).into(), &Format { bits: 64, exponent_bits: 10, bias: 398 })
    }

    /// The number of a `decimal128`; `None` for infinities and not-a-number.
    ///
    /// The SDK for .NET drops two bits of the exponent, 4 608 of its value, and its own reader does not miss them. A
    /// number that is so small otherwise is one of these.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Decimal;
    /// let price = Decimal::from_decimal128((0x303c_u128 << 112 | 125).to_be_bytes());
    /// assert_eq!(price.map(|price| price.to_string()), Some("1.25".to_owned()));
    /// ```
    // docs/evidence/field-reports.md §8, F52
    pub fn from_decimal128(bytes: [u8; 16]) -> Option<Self> {
        let number = Self::decode(u128::from_be_bytes(bytes), &Format { bits: 128, exponent_bits: 14, bias: 6176 })?;
        let is_dotnet = (DOTNET_LOST - i16::from(MAX_SCALE)..=DOTNET_LOST).contains(&number.exponent);
        let exponent = if is_dotnet { number.exponent - DOTNET_LOST } else { number.exponent };
        Some(Self { exponent, ..number })
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
    ///
    /// # Examples
    /// ```
    /// # use servicebus_emulator::filter::Decimal;
    /// let bytes = (0x303c_u128 << 112 | 125).to_be_bytes();
    /// assert_eq!(Decimal::from_decimal128(bytes).map(Decimal::to_decimal128), Some(bytes));
    /// ```
    pub fn to_decimal128(self) -> [u8; 16] {
        let exponent = u128::from(self.exponent.saturating_add(6176).unsigned_abs());
        (u128::from(self.negative) << 127 | exponent << 113 | self.coefficient).to_be_bytes()
    }

    /// The nearest double; infinite beyond its range.
    pub(super) fn to_f64(self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        // The standard library rounds correctly and reads any exponent.
        format!("{sign}{}e{}", self.coefficient, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    /// As .NET prints it: with every digit that it has behind the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative && self.coefficient > 0 { "-" } else { "" };
        let digits = self.coefficient.to_string();
        match usize::try_from(-i32::from(self.exponent)) {
            Ok(scale) if scale <= usize::from(MAX_SCALE) => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                let point = if fraction.is_empty() { "" } else { "." };
                write!(f, "{sign}{whole}{point}{fraction}")
            }
            _ => write!(f, "{sign}{digits}E{}", self.exponent),
        }
    }
}

impl FromStr for Decimal {
    type Err = ();

    /// Reads what C# reads as a decimal: digits, perhaps with a sign and a point.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || digits.len() > 38 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let coefficient = digits.parse().map_err(|_| ())?;
        let scale = i16::try_from(fraction.len()).map_err(|_| ())?;
        Fixed::of(Self { negative, coefficient, exponent: -scale }).map(Self::from).ok_or(())
    }
}

/// A decimal as .NET computes with it: 96 bits, up to 28 digits behind the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    negative: bool,
    coefficient: u128,
    scale: u8,
}

impl From<Fixed> for Decimal {
    fn from(number: Fixed) -> Self {
        Self { negative: number.negative, coefficient: number.coefficient, exponent: -i16::from(number.scale) }
    }
}

impl Fixed {
    /// The number, rounded to 28 digits behind the point; `None` when it is too large.
    pub(super) fn of(number: Decimal) -> Option<Self> {
        let Decimal { negative, coefficient, exponent } = number;
        match u32::try_from(exponent) {
            Ok(_) if coefficient == 0 => Some(Self { negative, coefficient, scale: 0 }),
            Ok(exponent) => {
                let coefficient = 10u128.checked_pow(exponent)?.checked_mul(coefficient)?;
                Self::rounded(negative, Wide::from(coefficient), 0)
            }
            Err(_) => Self::rounded(negative, Wide::from(coefficient), u32::from(exponent.unsigned_abs())),
        }
    }

    /// The number when it is within 96 bits.
    pub(super) fn of_integer(number: i128) -> Option<Self> {
        Self::rounded(number < 0, Wide::from(number.unsigned_abs()), 0)
    }

    /// As C# converts a double: 15 significant digits.
    pub(super) fn of_double(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let text = format!("{number:.14e}");
        let (digits, exponent) = text.split_once('e')?;
        let digits = digits.replace('.', "");
        let negative = digits.starts_with('-');
        let coefficient: u128 = digits.trim_start_matches('-').parse().ok()?;
        let mut exponent = exponent.parse::<i16>().ok()?.checked_sub(14)?;
        let mut coefficient = coefficient;
        if coefficient == 0 {
            exponent = 0;
        }
        while coefficient != 0 && coefficient.is_multiple_of(10) && exponent < 0 {
            coefficient /= 10;
            exponent += 1;
        }
        Self::of(Decimal { negative, coefficient, exponent })
    }

    /// The number of so many digits behind the point, rounded to even as far as it must be; `None` when it is too large.
    fn rounded(negative: bool, mut wide: Wide, mut scale: u32) -> Option<Self> {
        let (mut digit, mut sticky) = (0, false);
        while scale > u32::from(MAX_SCALE) || wide.coefficient().is_none() {
            if wide.is_zero() {
                return Some(Self { negative: false, coefficient: 0, scale: MAX_SCALE });
            }
            scale = scale.checked_sub(1)?;
            sticky |= digit != 0;
            digit = wide.divide_by_10();
        }
        let mut coefficient = wide.coefficient()?;
        if digit > 5 || digit == 5 && (sticky || coefficient % 2 == 1) {
            coefficient += 1;
            if coefficient > MAX_COEFFICIENT {
                return Self::rounded(negative, Wide::from(coefficient), scale);
            }
        }
        Some(Self { negative, coefficient, scale: u8::try_from(scale).ok()? })
    }

    pub(super) fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    /// The number when it is whole.
    pub(super) fn to_integer(self) -> Option<i128> {
        let power = 10i128.checked_pow(self.scale.into())?;
        (self.signed() % power == 0).then(|| self.signed() / power)
    }

    pub(super) fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    /// Both coefficients, with sign, for the larger of the scales. One that is beyond what 128 bits hold is rounded.
    fn aligned(self, other: Self) -> (i128, i128, u8) {
        let scale = self.scale.max(other.scale);
        let (mut a, mut b, mut scale_a, mut scale_b) = (self.signed(), other.signed(), self.scale, other.scale);
        let grow = |value: &mut i128, at: &mut u8| {
            while *at < scale {
                let Some(grown) = value.checked_mul(10) else { break };
                (*value, *at) = (grown, *at + 1);
            }
        };
        grow(&mut a, &mut scale_a);
        grow(&mut b, &mut scale_b);
        let least = scale_a.min(scale_b);
        let shrink = |value: i128, from: u8| {
            let Some(power) = 10i128.checked_pow(u32::from(from - least)) else { return 0 };
            let (quotient, rest) = (value / power, value % power);
            let up = rest.unsigned_abs() * 2 > power.unsigned_abs()
                || rest.unsigned_abs() * 2 == power.unsigned_abs() && quotient % 2 != 0;
            if up { quotient + value.signum() } else { quotient }
        };
        (shrink(a, scale_a), shrink(b, scale_b), least)
    }

    fn signed(self) -> i128 {
        let magnitude = self.coefficient.cast_signed();
        if self.negative { -magnitude } else { magnitude }
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other);
        // A sum beyond 128 bits loses its last digit, which a decimal has no place for anyway.
        let (sum, scale) = match a.checked_add(b) {
            Some(sum) => (sum, scale),
            None => (a / 10 + b / 10, scale.checked_sub(1)?),
        };
        Self::rounded(sum < 0, Wide::from(sum.unsigned_abs()), u32::from(scale))
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        let product = Wide::product(self.coefficient, other.coefficient);
        Self::rounded(self.negative != other.negative, product, u32::from(self.scale) + u32::from(other.scale))
    }

    /// The quotient; `None` for a division by zero and for one that is too large.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        let negative = self.negative != other.negative;
        let mut quotient = self.coefficient.checked_div(other.coefficient)?;
        let mut rest = self.coefficient % other.coefficient;
        let mut scale = i32::from(self.scale) - i32::from(other.scale);
        // Below zero the quotient lacks digits in front of the point.
        while (rest != 0 && scale <= i32::from(MAX_SCALE)) || scale < 0 {
            let Some(grown) = quotient.checked_mul(10).filter(|grown| *grown >> 100 == 0) else {
                if scale < 0 {
                    return None;
                }
                break;
            };
            quotient = grown + rest * 10 / other.coefficient;
            rest = rest * 10 % other.coefficient;
            scale += 1;
        }
        let mut wide = Wide::from(quotient);
        if rest != 0 {
            // One digit more that stands for all that follow it: it only decides how a tie is rounded.
            wide = Wide::product(quotient, 10);
            wide.make_odd();
            scale += 1;
        }
        Self::rounded(negative, wide, u32::try_from(scale).ok()?)
    }

    /// The remainder, with the sign of the first operand; `None` for a division by zero.
    pub(super) fn modulo(self, other: Self) -> Option<Self> {
        if other.coefficient == 0 {
            return None;
        }
        let mut coefficient = self.coefficient;
        let mut divisor = other.coefficient;
        let mut scale = self.scale;
        if self.scale <= other.scale {
            coefficient %= divisor;
            while scale < other.scale {
                coefficient = coefficient * 10 % divisor;
                scale += 1;
            }
        } else {
            for _ in other.scale..self.scale {
                // A divisor that is larger than any number divides none of them.
                let Some(grown) = divisor.checked_mul(10) else { return Some(self) };
                divisor = grown;
            }
            coefficient %= divisor;
        }
        Some(Self { negative: self.negative, coefficient, scale })
    }

    pub(super) fn order(self, other: Self) -> Ordering {
        // Exact: a coefficient that does not fit into 128 bits is larger than any that did not grow.
        let grown = |number: Self, scale: u8| {
            let power = 10i128.checked_pow(u32::from(scale - number.scale))?;
            number.signed().checked_mul(power)
        };
        let by_sign = |number: Self| if number.negative { Ordering::Less } else { Ordering::Greater };
        let scale = self.scale.max(other.scale);
        match (grown(self, scale), grown(other, scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, _) => by_sign(self),
            (_, None) => by_sign(other).reverse(),
        }
    }
}

/// An integer of 256 bits, the lowest limb first.
#[derive(Clone, Copy)]
struct Wide([u64; 4]);

impl From<u128> for Wide {
    fn from(number: u128) -> Self {
        Self([number as u64, (number >> 64) as u64, 0, 0])
    }
}

impl Wide {
    fn product(a: u128, b: u128) -> Self {
        let limbs = |number: u128| [number as u64, (number >> 64) as u64];
        let mut product = Self([0; 4]);
        for (at, a) in limbs(a).into_iter().enumerate() {
            let mut carry = 0;
            for (offset, b) in limbs(b).into_iter().enumerate() {
                if let Some(limb) = product.0.get_mut(at + offset) {
                    let sum = u128::from(a) * u128::from(b) + u128::from(*limb) + carry;
                    *limb = sum as u64;
                    carry = sum >> 64;
                }
            }
            if let Some(limb) = product.0.get_mut(at + 2) {
                *limb = carry as u64;
            }
        }
        product
    }

    /// Sets the lowest bit of an even number.
    fn make_odd(&mut self) {
        let [lowest, ..] = &mut self.0;
        *lowest |= 1;
    }

    /// Divides by ten; the rest.
    fn divide_by_10(&mut self) -> u64 {
        self.0.iter_mut().rev().fold(0, |rest, limb| {
            let value = u128::from(rest) << 64 | u128::from(*limb);
            *limb = (value / 10) as u64;
            (value % 10) as u64
        })
    }

    fn is_zero(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The number when it is within a decimal's 96 bits.
    fn coefficient(&self) -> Option<u128> {
        let [lowest, next, 0, 0] = self.0 else { return None };
        Some(u128::from(next) << 64 | u128::from(lowest)).filter(|number| *number <= MAX_COEFFICIENT)
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
    }

    #[test]
    fn large_coefficients_and_specials() {
        // 9999999 needs 24 bits: the form with the implied leading bits.
        let bits = 0b11u32 << 29 | 101 << 21 | (9_999_999 & 0x1f_ffff);
        assert_eq!(Decimal::from_decimal32(bits.to_be_bytes()).map(|number| number.coefficient), Some(9_999_999));
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
                assert!(!number.to_f64().is_nan());
                assert!(!number.to_string().is_empty());
                if let Some(fixed) = Fixed::of(number) {
                    assert!(fixed.coefficient <= MAX_COEFFICIENT && fixed.scale <= MAX_SCALE);
                }
            }
        }
    }
    fn fixed(text: &str) -> Fixed {
        Fixed::of(text.parse().unwrap()).unwrap()
    }

    fn printed(number: Option<Fixed>) -> Option<String> {
        number.map(|number| Decimal::from(number).to_string())
    }

    #[test]
    fn decimals_are_computed_as_dotnet_computes_them() {
        const MAX: &str = "79228162514264337593543950335";
        for (a, operator, b, result) in [
            ("10.5", '+', "1", Some("11.5")),
            ("10.50", '-', "0.5", Some("10.00")),
            ("0.1", '+', "0.2", Some("0.3")),
            ("10.5", '*', "2", Some("21.0")),
            ("-10.5", '*', "-0.5", Some("5.25")),
            ("10.5", '/', "2", Some("5.25")),
            ("1", '/', "3", Some("0.3333333333333333333333333333")),
            ("2", '/', "3", Some("0.6666666666666666666666666667")),
            ("100", '/', "0.01", Some("10000")),
            ("7.5", '%', "2", Some("1.5")),
            ("-7.5", '%', "2", Some("-1.5")),
            ("7", '%', "0.3", Some("0.1")),
            ("0.5", '%', MAX, Some("0.5")),
            (MAX, '+', "0.4", Some(MAX)),
            (MAX, '+', "0.5", None),
            (MAX, '*', "2", None),
            (MAX, '*', "0.1", Some("7922816251426433759354395033.5")),
            (MAX, '/', "0.1", None),
            ("1", '/', "0", None),
            ("1", '%', "0", None),
            // A tie goes to the even digit.
            ("0.0000000000000000000000000005", '*', "0.1", Some("0.0000000000000000000000000000")),
            ("0.0000000000000000000000000015", '*', "0.1", Some("0.0000000000000000000000000002")),
        ] {
            let (left, right) = (fixed(a), fixed(b));
            let found = match operator {
                '+' => left.plus(right),
                '-' => left.plus(right.negated()),
                '*' => left.times(right),
                '/' => left.over(right),
                _ => left.modulo(right),
            };
            assert_eq!(printed(found).as_deref(), result, "{a} {operator} {b}");
        }
    }

    #[test]
    fn decimals_are_ordered_whatever_their_digits() {
        let sorted = [
            "-79228162514264337593543950335",
            "-1.0000000000000000000000000001",
            "-1",
            "-0.1",
            "0",
            "0.1",
            "0.1000000000000000000000000001",
            "1",
            "1.5",
            "79228162514264337593543950334",
            "79228162514264337593543950335",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(fixed(a).order(fixed(b)), at.cmp(&other), "{a} and {b}");
            }
        }
        assert!(fixed("1.50").order(fixed("1.5")).is_eq());
    }

    #[test]
    fn doubles_become_the_decimals_that_they_are_written_as() {
        for (double, text) in [(10.5, "10.5"), (0.1, "0.1"), (-2.0, "-2"), (1e20, "100000000000000000000"), (0.0, "0")]
        {
            assert_eq!(printed(Fixed::of_double(double)).as_deref(), Some(text));
        }
        assert!(Fixed::of_double(1e300).is_none() && Fixed::of_double(f64::NAN).is_none());
        assert_eq!(printed(Fixed::of_integer(-7)).as_deref(), Some("-7"));
        assert!(Fixed::of_integer(i128::MAX).is_none());
    }

    #[test]
    fn the_exponent_that_dotnet_writes_is_read() {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&[0x0c, 0x3e]);
        bytes[15] = 105;
        assert_eq!(Decimal::from_decimal128(bytes).unwrap().to_string(), "10.5");
        for bad in ["", "-", ".", "1.2.3", "1e5", "x", "12345678901234567890123456789012345678901"] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }
}
