//! UUIDs and their text.

use core::fmt;
use core::str::FromStr;

/// A UUID in network order (AMQP 1.0 §1.6.18). As text it has its usual form, in lower case.
///
/// # Examples
/// ```
/// use servicebus_core::wire::Uuid;
///
/// let lock_token = Uuid(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8_u128.to_be_bytes());
/// assert_eq!(lock_token.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
/// assert_eq!("67E55044-10B1-426F-9247-BB680E5FE0C8".parse(), Ok(lock_token));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The text of a UUID: 32 hexadecimal digits in five groups.
///
/// # Examples
/// A text without an allocator:
///
/// ```
/// use servicebus_core::wire::{Uuid, UuidText};
///
/// let text: UuidText = Uuid([0x11; 16]).text();
/// assert!(text.as_str().starts_with("11111111-"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UuidText([u8; 36]);

impl UuidText {
    /// The text.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Uuid;
    /// assert_eq!(Uuid([0x11; 16]).text().as_str(), "11111111-1111-1111-1111-111111111111");
    /// ```
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Uuid {
    /// Its text.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::Uuid;
    /// assert_eq!(Uuid([0xab; 16]).text().as_str().len(), 36);
    /// ```
    pub fn text(self) -> UuidText {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let digit = |four: u8| DIGITS.get(usize::from(four & 15)).copied().unwrap_or_default();
        let mut place = 0;
        for (number, byte) in self.0.into_iter().enumerate() {
            place += usize::from(matches!(number, 4 | 6 | 8 | 10));
            if let Some([high, low]) = text.get_mut(place..).and_then(|rest| rest.first_chunk_mut()) {
                (*high, *low) = (digit(byte >> 4), digit(byte));
            }
            place += 2;
        }
        UuidText(text)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// A text is no UUID.
///
/// # Examples
/// ```
/// use servicebus_core::wire::{InvalidUuid, Uuid};
///
/// assert_eq!("67e55044".parse::<Uuid>(), Err(InvalidUuid));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID is 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12 with hyphens between them")
    }
}

impl core::error::Error for InvalidUuid {}

/// Its usual form, in either case.
impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        let mut value = 0u128;
        for (place, character) in text.chars().enumerate() {
            if matches!(place, 8 | 13 | 18 | 23) {
                if character != '-' {
                    return Err(InvalidUuid);
                }
                continue;
            }
            let digit = character.to_digit(16).ok_or(InvalidUuid)?;
            value = value << 4 | u128::from(digit);
        }
        if text.len() == 36 { Ok(Self(value.to_be_bytes())) } else { Err(InvalidUuid) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_uuid_is_parsed_from_its_text() {
        let text = "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(uuid));
        for wrong in [
            "",
            "6b4d17cd",
            "6b4d17cde5b64f8990ed230aac5a6aeb",
            "6b4d17cd-e5b6-4f89-90ed-230aac5a6ae",
            "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb0",
            "6b4d17cd-e5b6-4f89-90ed+230aac5a6aeb",
            "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeg",
            "6b4d17cd-e5b6-4f89-90ed-230aac5a6a\u{e4}",
        ] {
            assert_eq!(wrong.parse::<Uuid>(), Err(InvalidUuid), "{wrong}");
        }
    }
}
