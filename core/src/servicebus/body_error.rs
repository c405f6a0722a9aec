//! Errors for a body of another kind than requested.

use crate::wire::DecodeError;
use core::fmt;

/// A body is not the text or the bytes that were asked for.
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::BodyError;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// sender.send(b"\xff\xfe").await?;
/// let order = receiver.next().await?;
/// match order.text() {
///     Ok(text) => println!("{text}"),
///     Err(BodyError::NotUtf8) => println!("{} bytes", order.bytes()?.len()),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BodyError {
    /// It cannot be decoded.
    Malformed(DecodeError),
    /// It has bytes that are not UTF-8.
    NotUtf8,
    /// It is of another kind: there is none, or it has several sections, or a value that is neither text nor bytes.
    OtherKind,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the body cannot be decoded: {error}"),
            Self::NotUtf8 => f.write_str("the body is not text in UTF-8"),
            Self::OtherKind => f.write_str("the body is not one section of bytes or text"),
        }
    }
}

impl core::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::NotUtf8 | Self::OtherKind => None,
        }
    }
}
