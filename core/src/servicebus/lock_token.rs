//! The token of a locked message or session.
// docs/evidence/wire-protocol.md §4.2, §5

use crate::wire::Uuid;
use core::fmt;
use core::str::FromStr;

/// Names the lock on a message or a non-exclusive session. On a link that of a message is the delivery-tag in .NET's
/// byte order, everywhere else it is a UUID in network order. As text it is the UUID in its usual form, in which it can
/// be handed to another process and parsed again.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{Disposition, LockToken};
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let text = receiver.next().await?.lock_token().ok_or("no lock")?.to_string();
///
/// // Later, elsewhere:
/// let token: LockToken = text.parse()?;
/// receiver.settle_by_token(token, Disposition::Complete).await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockToken(Uuid);

/// .NET writes the first three fields of a GUID in little-endian order.
const fn swap([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> [u8; 16] {
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

impl LockToken {
    /// The token of a delivery-tag; `None` when it is not 16 bytes long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::LockToken;
    /// let tag = *b"\xcd\x17\x4d\x6b\xb6\xe5\x89\x4f\x90\xed\x23\x0a\xac\x5a\x6a\xeb";
    /// let token = LockToken::from_delivery_tag(&tag).ok_or("not 16 bytes")?;
    /// assert_eq!(token.to_string(), "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb");
    /// # Ok::<(), &str>(())
    /// ```
    pub fn from_delivery_tag(tag: &[u8]) -> Option<Self> {
        Some(Self(Uuid(swap(tag.try_into().ok()?))))
    }

    /// The delivery-tag.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{InvalidLockToken, LockToken};
    /// let token: LockToken = "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb".parse()?;
    /// assert_eq!(token.to_delivery_tag()[..4], [0xcd, 0x17, 0x4d, 0x6b]);
    /// # Ok::<(), InvalidLockToken>(())
    /// ```
    pub const fn to_delivery_tag(self) -> [u8; 16] {
        swap(self.0.0)
    }

    /// The token of a UUID.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::LockToken;
    /// # use servicebus_core::wire::Uuid;
    /// let token = LockToken::from_uuid(Uuid([0x6b; 16]));
    /// assert_eq!(token.to_string(), "6b6b6b6b-6b6b-6b6b-6b6b-6b6b6b6b6b6b");
    /// ```
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::servicebus::{InvalidLockToken, LockToken};
    /// let token: LockToken = "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb".parse()?;
    /// assert_eq!(token.uuid().0[..4], [0x6b, 0x4d, 0x17, 0xcd]);
    /// # Ok::<(), InvalidLockToken>(())
    /// ```
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text is no lock token.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::{InvalidLockToken, LockToken};
///
/// assert_eq!("6b4d17cd".parse::<LockToken>(), Err(InvalidLockToken));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLockToken;

impl fmt::Display for InvalidLockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lock token is 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12 with hyphens between them")
    }
}

impl core::error::Error for InvalidLockToken {}

impl FromStr for LockToken {
    type Err = InvalidLockToken;

    fn from_str(text: &str) -> Result<Self, InvalidLockToken> {
        text.parse().map(Self).map_err(|_| InvalidLockToken)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_delivery_tag_is_a_guid_in_dotnet_order() {
        let tag = [0xcd, 0x17, 0x4d, 0x6b, 0xb6, 0xe5, 0x89, 0x4f, 0x90, 0xed, 0x23, 0x0a, 0xac, 0x5a, 0x6a, 0xeb];
        let token = LockToken::from_delivery_tag(&tag).unwrap();
        assert_eq!(token.to_string(), "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb");
        assert_eq!(token.to_delivery_tag(), tag);
        assert_eq!(LockToken::from_delivery_tag(&tag[1..]), None);
    }

    #[test]
    fn a_token_is_parsed_from_its_text() {
        let text = "6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb";
        let token: LockToken = text.parse().unwrap();
        assert_eq!(token.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(token));
        assert_eq!("6b4d17cd".parse::<LockToken>(), Err(InvalidLockToken));
    }
}
