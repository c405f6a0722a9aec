//! Shared access signatures.
// docs/evidence/wire-protocol.md §2.3

use super::connection_string::{cut, decimal};
use super::hash::Hash;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt::{self, Write};
use hmac::{KeyInit, Mac, SimpleHmac};
use percent_encoding::{percent_decode_str, percent_encode_byte};

/// What a token starts with.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::sas;
/// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
/// assert!(token.starts_with(sas::SCHEME));
/// ```
pub const SCHEME: &str = "SharedAccessSignature ";

/// Feeds text to the signature as it is written.
struct Signer(SimpleHmac<Hash>);

impl Write for Signer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn signer(key: &str) -> Option<Signer> {
    SimpleHmac::new_from_slice(key.as_bytes()).ok().map(Signer)
}

/// A signature in base64. The library's encoder is made for long texts: this one is a fifth of its size.
fn base64(signature: [u8; 32]) -> [u8; 44] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 32 bytes are 43 digits, and the one that pads them.
    let mut text = [b'='; 44];
    for (place, digit) in text.iter_mut().take(43).enumerate() {
        let bit = place * 6;
        let byte = |at: usize| u32::from(signature.get(at).copied().unwrap_or(0));
        let bits = (byte(bit / 8) << 8 | byte(bit / 8 + 1)) >> (10 - bit % 8);
        *digit = DIGITS.get(bits as usize & 0x3f).copied().unwrap_or_default();
    }
    text
}

/// Writes the token that grants the rights of `key_name` on `audience` until `expiry`. The key is used as it is
/// printed, not decoded.
///
/// # Errors
/// When `out` has no room.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::sas;
/// use servicebus_core::time::Timestamp;
///
/// let mut token = String::new();
/// let end = Timestamp::from_secs(1_800_000_000);
/// sas::sign("sb://contoso.servicebus.windows.net/orders", "Orders", "c2VjcmV0", end, &mut token)?;
/// assert!(token.ends_with("&se=1800000000&skn=Orders"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn sign(
    audience: impl fmt::Display,
    key_name: &str,
    key: &str,
    expiry: Timestamp,
    out: &mut impl Write,
) -> fmt::Result {
    write_token(&audience, key_name, key, expiry.as_secs(), out)
}

fn write_token(
    audience: &dyn fmt::Display,
    key_name: &str,
    key: &str,
    expiry: i64,
    out: &mut dyn Write,
) -> fmt::Result {
    let mut signer = signer(key).ok_or(fmt::Error)?;
    let encoded = Encoded(audience);
    write!(signer, "{encoded}\n{expiry}")?;
    let signature = base64(signer.0.finalize().into_bytes().into());
    let signature = core::str::from_utf8(&signature).map_err(|_| fmt::Error)?;
    write!(out, "{SCHEME}sr={encoded}&sig={}&se={expiry}&skn={}", Encoded(&signature), Encoded(&key_name))
}

/// The fields of a token, in any order; none where the text is no shared access signature.
fn fields(token: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let scheme = token.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    let mut rest = scheme.and_then(|_| token.get(SCHEME.len()..));
    core::iter::from_fn(move || {
        let (field, behind) = cut(rest?, b'&');
        rest = behind;
        Some(cut(field.trim_ascii(), b'='))
    })
}

/// When a token ends; never, when it does not tell in a number (as the Python SDK reads it).
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::sas;
/// # use servicebus_core::time::Timestamp;
/// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
/// assert_eq!(sas::expiry(token), Timestamp::from_secs(1_800_000_000));
/// ```
pub fn expiry(token: &str) -> Timestamp {
    // The first of several counts.
    let told = fields(token).find_map(|(name, value)| value.filter(|_| name == "se"));
    ends(told.unwrap_or_default())
}

/// The end in a token's `se` field.
fn ends(field: &str) -> Timestamp {
    decimal(field).map_or(Timestamp::DOTNET_MAX, |seconds| Timestamp::from_secs(i64::from(seconds)))
}

/// Percent-encodes the text written through it, except for the characters that form encoding leaves alone.
struct Encoded<'a>(&'a dyn fmt::Display);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Encoder<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Encoder<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.bytes().try_for_each(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                        self.0.write_char(char::from(byte))
                    }
                    _ => self.0.write_str(percent_encode_byte(byte)),
                })
            }
        }
        write!(Encoder(f), "{}", self.0)
    }
}

/// A token taken apart.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::sas::{self, SharedAccessSignature};
/// use servicebus_core::time::{Duration, Timestamp};
///
/// let (now, hour) = (Timestamp::from_secs(1_800_000_000), Duration::from_secs(3_600));
/// let mut token = String::new();
/// sas::sign("sb://contoso.servicebus.windows.net/orders", "Orders", "c2VjcmV0", now + hour, &mut token)?;
///
/// let signature = SharedAccessSignature::parse(&token)?;
/// signature.verify("c2VjcmV0", now)?;
/// assert!(signature.key_name_is("Orders"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct SharedAccessSignature<'a> {
    audience: &'a str,
    signature: &'a str,
    expiry: &'a str,
    key_name: &'a str,
}

impl fmt::Debug for SharedAccessSignature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SharedAccessSignature {{ sr: {:?}, se: {:?}, skn: {:?} }}",
            self.audience, self.expiry, self.key_name
        )
    }
}

/// Why a token is refused.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::sas::{SasError, SharedAccessSignature};
/// use servicebus_core::time::Timestamp;
///
/// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
/// let now = Timestamp::from_secs(1_700_000_000);
/// match SharedAccessSignature::parse(token).and_then(|signature| signature.verify("c2VjcmV0", now)) {
///     Ok(()) => println!("come in"),
///     Err(SasError::Expired) => println!("ask for another token"),
///     Err(error) => println!("{error}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SasError {
    /// The text is no shared access signature, or lacks a field.
    Malformed,
    /// The signature is not that of the key.
    InvalidSignature,
    /// The token has ended.
    Expired,
}

impl fmt::Display for SasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the text is no shared access signature",
            Self::InvalidSignature => "the signature does not belong to the key",
            Self::Expired => "the shared access signature has expired",
        })
    }
}

impl core::error::Error for SasError {}

impl<'a> SharedAccessSignature<'a> {
    /// Takes a token apart; its fields may come in any order.
    ///
    /// # Errors
    /// [`SasError::Malformed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::{SasError, SharedAccessSignature};
    /// assert_eq!(SharedAccessSignature::parse("Bearer eyJhbGciOi").err(), Some(SasError::Malformed));
    /// ```
    pub fn parse(token: &'a str) -> Result<Self, SasError> {
        let (mut audience, mut signature, mut expiry, mut key_name) = (None, None, None, None);
        for (name, value) in fields(token) {
            let slot = match name {
                "sr" => &mut audience,
                "sig" => &mut signature,
                "se" => &mut expiry,
                "skn" => &mut key_name,
                _ => continue,
            };
            // The first of several counts.
            *slot = slot.or(value);
        }
        let (Some(audience), Some(signature), Some(expiry)) = (audience, signature, expiry) else {
            return Err(SasError::Malformed);
        };
        Ok(Self { audience, signature, expiry, key_name: key_name.unwrap_or_default() })
    }

    /// When the token ends; never, when its field is no number (as the Python SDK reads it).
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::SharedAccessSignature;
    /// # use servicebus_core::time::Timestamp;
    /// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
    /// assert_eq!(SharedAccessSignature::parse(token)?.expiry(), Timestamp::from_secs(1_800_000_000));
    /// # Ok::<(), servicebus_core::servicebus::sas::SasError>(())
    /// ```
    pub fn expiry(&self) -> Timestamp {
        ends(self.expiry)
    }

    /// When the token ends, where its field is a second of the calendar in digits and nothing else: what a service goes
    /// by.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::SharedAccessSignature;
    /// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=soon&skn=Orders";
    /// assert_eq!(SharedAccessSignature::parse(token)?.exact_expiry(), None);
    /// # Ok::<(), servicebus_core::servicebus::sas::SasError>(())
    /// ```
    pub fn exact_expiry(&self) -> Option<Timestamp> {
        let digits = !self.expiry.is_empty() && self.expiry.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = self.expiry.parse().ok().filter(|_| digits)?;
        Some(Timestamp::from_secs(seconds)).filter(|end| *end < Timestamp::DOTNET_MAX)
    }

    /// The audience, still percent-encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::SharedAccessSignature;
    /// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
    /// assert_eq!(SharedAccessSignature::parse(token)?.encoded_audience(), "sb%3A%2F%2Fcontoso");
    /// # Ok::<(), servicebus_core::servicebus::sas::SasError>(())
    /// ```
    pub fn encoded_audience(&self) -> &'a str {
        self.audience
    }

    /// The audience's characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::SharedAccessSignature;
    /// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=Orders";
    /// assert!(SharedAccessSignature::parse(token)?.audience().eq("sb://contoso".bytes()));
    /// # Ok::<(), servicebus_core::servicebus::sas::SasError>(())
    /// ```
    pub fn audience(&self) -> impl Iterator<Item = u8> + use<'a> {
        percent_decode_str(self.audience)
    }

    /// The key name's bytes. The Python SDK encodes it twice, which is undone here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::SharedAccessSignature;
    /// let token = "SharedAccessSignature sr=sb%3A%2F%2Fcontoso&sig=c2ln&se=1800000000&skn=New%20orders";
    /// assert!(SharedAccessSignature::parse(token)?.key_name_is("New orders"));
    /// # Ok::<(), servicebus_core::servicebus::sas::SasError>(())
    /// ```
    // docs/evidence/wire-protocol.md §2.3
    pub fn key_name_is(&self, name: &str) -> bool {
        let mut twice = [0u8; 256];
        let mut length = 0;
        for byte in percent_decode_str(self.key_name) {
            let Some(slot) = twice.get_mut(length) else { return false };
            *slot = byte;
            length += 1;
        }
        let once = twice.get(..length).unwrap_or_default();
        once == name.as_bytes() || percent_encoding::percent_decode(once).eq(name.bytes())
    }

    /// Checks the signature over the audience as it was encoded, and the time.
    ///
    /// # Errors
    /// [`SasError::InvalidSignature`], [`SasError::Expired`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::sas::{self, SasError, SharedAccessSignature};
    /// # use servicebus_core::time::Timestamp;
    /// let mut token = String::new();
    /// sas::sign("sb://contoso", "Orders", "c2VjcmV0", Timestamp::from_secs(1_800_000_000), &mut token)?;
    /// let signature = SharedAccessSignature::parse(&token)?;
    /// assert_eq!(signature.verify("c2VjcmV0", Timestamp::from_secs(1_799_999_999)), Ok(()));
    /// assert_eq!(signature.verify("c2VjcmV0", Timestamp::from_secs(1_800_000_000)), Err(SasError::Expired));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self, key: &str, now: Timestamp) -> Result<(), SasError> {
        let mut encoded = [0u8; 64];
        let mut length = 0;
        for byte in percent_decode_str(self.signature) {
            *encoded.get_mut(length).ok_or(SasError::InvalidSignature)? = byte;
            length += 1;
        }
        let mut signature = [0u8; 48];
        let length = STANDARD
            .decode_slice(encoded.get(..length).unwrap_or_default(), &mut signature)
            .map_err(|_| SasError::InvalidSignature)?;
        let mut signer = signer(key).ok_or(SasError::InvalidSignature)?;
        let _ = write!(signer, "{}\n{}", self.audience, self.expiry);
        signer.0.verify_slice(signature.get(..length).unwrap_or_default()).map_err(|_| SasError::InvalidSignature)?;
        if self.expiry() <= now { Err(SasError::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    const AUDIENCE: &str = "sb://localhost/queue.1";
    const NAME: &str = "RootManageSharedAccessKey";

    #[test]
    fn tokens_are_signed_as_the_official_sdks_sign_them() {
        for (expiry, signature) in [
            (1_795_413_488, "I7U5T0aRAduvqL8nWBvRN%2FBY%2F9Uu1q5ymYveWb2SWAE%3D"),
            (1_795_413_612, "pr8cBb6MhAC0imBYcb5u7BfOfTuEvm6Id0Z6wAfC19A%3D"),
        ] {
            let mut token = String::new();
            sign(AUDIENCE, NAME, "SAS_KEY_VALUE", Timestamp::from_secs(expiry), &mut token).unwrap();
            assert_eq!(
                token,
                std::format!(
                    "SharedAccessSignature sr=sb%3A%2F%2Flocalhost%2Fqueue.1&sig={signature}&se={expiry}&skn={NAME}"
                )
            );
            let parsed = SharedAccessSignature::parse(&token).unwrap();
            let before = Timestamp::from_secs(expiry - 1);
            assert_eq!(parsed.verify("SAS_KEY_VALUE", before), Ok(()));
            assert_eq!(parsed.verify("other", before), Err(SasError::InvalidSignature));
            assert_eq!(parsed.verify("SAS_KEY_VALUE", Timestamp::from_secs(expiry)), Err(SasError::Expired));
            assert!(parsed.key_name_is(NAME));
            assert!(parsed.audience().eq(AUDIENCE.bytes()));
        }
        assert_eq!(SharedAccessSignature::parse("SharedAccessSignature sr=1").err(), Some(SasError::Malformed));
        assert_eq!(SharedAccessSignature::parse("ü").err(), Some(SasError::Malformed));
    }

    /// A key that is longer than a block of the hash is hashed itself (RFC 2104 §2).
    #[test]
    fn a_key_of_any_length_signs() {
        for (key, signature) in [
            ("k".repeat(64), "sTBsoFA2ky1E5QM9WWKOChXwACsjVThwvk7Vl45Ah%2BQ%3D"),
            ("k".repeat(65), "%2FHQOOm0J4lQ3gI7TnHrfn88mXyKxnIz8nqbwhp78%2FUQ%3D"),
            ("k".repeat(300), "sYczEJeEV0aDRkQ5ZkWSURjVGW%2B%2BAv7OUZQdunwwqHA%3D"),
            (String::new(), "LA4S5dFWZoBfkpGzLwXWbR0wkNRvceE02Y1tJ2qbSxg%3D"),
            (String::from("schlüssel-ключ"), "EyfGl3ikegmZJlbCz7wLOtm4qYGcNiAKupVD1ydpMm0%3D"),
        ] {
            let mut token = String::new();
            sign(AUDIENCE, NAME, &key, Timestamp::from_secs(1_795_413_488), &mut token).unwrap();
            assert!(token.contains(&std::format!("&sig={signature}&se=")), "{key:?}: {token}");
        }
    }
}
