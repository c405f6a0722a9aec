//! What is wrong with a frame.

use super::Violation;
use crate::wire::DecodeError;

/// What is wrong with a frame.
pub(super) enum Wrong {
    /// It ends the connection.
    Connection(Violation),
    /// It ends the session it came on.
    Session(Violation),
    /// A field of it cannot be decoded, which ends the connection.
    Field(DecodeError),
}

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Self::Field(error)
    }
}
