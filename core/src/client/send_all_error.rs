//! Messages of which not all were sent.

use super::Error;
use crate::storage::Storage;
use core::fmt;

/// Not all of the messages of a call were sent.
pub struct SendAllError<S: Storage> {
    error: Error<S>,
    stored: usize,
}

impl<S: Storage> SendAllError<S> {
    pub(super) fn new(error: Error<S>, stored: usize) -> Self {
        Self { error, stored }
    }

    /// Why the next ones were not sent.
    pub fn error(&self) -> &Error<S> {
        &self.error
    }

    /// How many messages are stored: the first ones that were given. The one behind them was not valid or too large, or
    /// begins the batch that was not taken; where the [outcome](Error::outcome) is unknown, that batch may be stored as
    /// well.
    pub fn stored(&self) -> usize {
        self.stored
    }
}

impl<S: Storage> fmt::Debug for SendAllError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAllError").field("stored", &self.stored).field("error", &self.error).finish()
    }
}

impl<S: Storage> fmt::Display for SendAllError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} messages: {}", self.stored, self.error)
    }
}

impl<S: Storage> core::error::Error for SendAllError<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

impl<S: Storage> From<SendAllError<S>> for Error<S> {
    fn from(error: SendAllError<S>) -> Self {
        error.error
    }
}
